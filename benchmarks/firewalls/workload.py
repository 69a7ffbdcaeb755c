"""The rules: those of a host whose guests have security groups, IPv4, in the filter table.

A chain ``guests`` on hook forward jumps by device to one chain of twenty rules for each guest. Before these it jumps to
three long lists of addresses that nobody may talk to, each a twentieth of all rules. Texts are as iptables-save prints
them: Neutron's code compares them by their letters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_LISTS = 3
_A_LIST = 20
_OF_A_GUEST = 20
_STATES = ("RELATED,ESTABLISHED", "INVALID")
_NFT_STATES = {"RELATED,ESTABLISHED": "{ established, related }", "INVALID": "invalid"}


@dataclass(frozen=True, slots=True)
class Line:
    """One rule. Its target is a verdict in capitals, or the name of a chain; its ports are ``80`` or ``8000:8010``."""

    chain: str
    target: str
    protocol: str = ""
    source: str = ""
    source_port: str = ""
    port: str = ""
    in_device: str = ""
    out_device: str = ""
    states: str = ""

    def is_jump(self) -> bool:
        """Return whether the target is a chain."""
        return not self.target.isupper()

    def iptables(self, prefix: str) -> str:
        """Write it behind ``-A chain``; names of chains begin with ``prefix``."""
        tcp_or_udp = f"-m {self.protocol}" if self.port else ""
        return " ".join(
            part
            for part in (
                self.source and f"-s {self.source}",
                self.in_device and f"-i {self.in_device}",
                self.out_device and f"-o {self.out_device}",
                self.protocol and f"-p {self.protocol}",
                tcp_or_udp,
                self.source_port and f"--sport {self.source_port}",
                self.port and f"--dport {self.port}",
                self.states and f"-m conntrack --ctstate {self.states}",
                f"-j {prefix}{self.target}" if self.is_jump() else f"-j {self.target}",
            )
            if part
        )

    def nft(self) -> str:
        """Write it behind ``add rule inet table chain``, with a counter."""
        return " ".join(
            part
            for part in (
                "" if self.source else "meta nfproto ipv4",
                self.protocol == "icmp" and "meta l4proto 1",
                self.in_device and f'iifname "{self.in_device}"',
                self.out_device and f'oifname "{self.out_device}"',
                self.source and f"ip saddr {self.source.removesuffix('/32')}",
                self.source_port and f"{self.protocol} sport {self.source_port}",
                self.port and f"{self.protocol} dport {self.port.replace(':', '-')}",
                self.states and f"ct state {_NFT_STATES[self.states]}",
                "counter",
                f"jump filter.{self.target}" if self.is_jump() else self.target.lower(),
            )
            if part
        )


def guests(count: int) -> int:
    """Return how many guests there are on a host with so many rules."""
    return (count - _LISTS - _LISTS * (count // _A_LIST)) // (_OF_A_GUEST + 1)


def chains(count: int) -> list[str]:
    """Return the names of all chains but ``guests``, which is on the hook."""
    return [*(f"deny{number}" for number in range(_LISTS)), *(_guest(number) for number in range(guests(count)))]


def lines(count: int) -> Iterator[Line]:
    """Give ``count`` rules, chain by chain, first those of chain ``guests``."""
    number = guests(count)
    long = count // _A_LIST
    left = count - _LISTS - _LISTS * long - number * (_OF_A_GUEST + 1)
    for one in range(_LISTS):
        yield Line("guests", f"deny{one}", in_device="eth0")
    for guest in range(number):
        yield Line("guests", _guest(guest), out_device=f"tap{guest:04}")
    for one in range(_LISTS):
        for at in range(long + (left if one == 0 else 0)):
            yield Line(f"deny{one}", "DROP", source=f"198.{18 + one}.{at // 250}.{at % 250}/32")
    for guest in range(number):
        yield from _of_guest(guest)


def more(at: int, count: int) -> Line:
    """Return a rule that is not among the others, one for each number, each for another guest."""
    guest = at * 37 % guests(count)
    return Line(_guest(guest), "ACCEPT", "tcp", f"203.0.113.{at % 250}/32", port=str(20_000 + at))


def _guest(number: int) -> str:
    return f"i{number:04}"


def _of_guest(number: int) -> Iterator[Line]:
    chain = _guest(number)
    for states, target in zip(_STATES, ("ACCEPT", "DROP"), strict=True):
        yield Line(chain, target, states=states)
    yield Line(chain, "ACCEPT", "udp", f"10.{number // 250}.{number % 250}.1/32", source_port="67", port="68")
    yield Line(chain, "ACCEPT", "icmp")
    for at in range(_OF_A_GUEST - 5):
        port = 1000 + 10 * at
        yield Line(
            chain,
            "ACCEPT",
            "udp" if at % 5 == 4 else "tcp",
            f"10.{number // 250}.{at}.0/24",
            port=f"{port}:{port + 9}" if at % 5 == 3 else str(port),
        )
    yield Line(chain, "DROP")
