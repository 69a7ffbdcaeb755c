"""Wrong in FreeBSD's own ways: servers that share a port, and what a jail is and is not."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from conformance import mutants
from conformance.mutants.dhcp.making import patched
from conformance.system import FREEBSD
from refnet.dhcp import DhcpManager, DhcpNetwork
from refnet.dhcp.dnsmasq import freebsd_jail, freebsd_process, rules
from refnet.firewall import DROP

mutant = functools.partial(mutants.mutant, systems=(FREEBSD,), bases=("DnsmasqManager",))


def launching(base: Any, rewrite: Callable[[list[str]], list[str]]) -> type[DhcpManager]:
    """Return a wrong class that starts servers by other commands."""
    original = freebsd_jail.launched

    def launched(network: DhcpNetwork, argv: Sequence[str]) -> list[str]:
        return rewrite(original(network, argv))

    return patched(base, freebsd_jail, "launched", launched)


@mutant(
    "freebsd-no-jails",
    "has all servers share a port: what is sent to one address goes to the one that was started last",
    {"DH-28": "nobody answered"},
)
def no_jails(base: Any) -> type[DhcpManager]:
    def unjailed(argv: list[str]) -> list[str]:
        at = next(number for number, word in enumerate(argv) if word.startswith("command="))
        return [argv[at].removeprefix("command="), *argv[at + 1 :]]

    return launching(base, unjailed)


@mutant(
    "freebsd-one-address",
    "has servers in jails with one address, whose sockets are bound to it and hear no broadcast",
    {"DH-01": "nobody answered"},
)
def one_address(base: Any) -> type[DhcpManager]:
    return launching(base, lambda argv: [word.partition(",")[0] if "ip4.addr" in word else word for word in argv])


@mutant(
    "freebsd-sleeps",
    "leaves the loss of a server's first packet to a client",
    {"DL-01": "nobody answered"},
)
def sleeps(base: Any) -> type[DhcpManager]:
    return patched(base, freebsd_jail, "wake", lambda network, disturb=lambda: None: disturb())


@mutant(
    "freebsd-takes-ports",
    "takes no notice of a port that another program has: a jail gets it all the same",
    {"DF-10": "goes through"},
)
def takes_ports(base: Any) -> type[DhcpManager]:
    return patched(base, freebsd_jail, "taken", lambda network: None)


@mutant(
    "freebsd-blind",
    "looks for its servers in its own jail alone, where they are not",
    {"DL-01": "dnsmasq has ended"},
)
def blind(base: Any) -> type[DhcpManager]:
    return patched(base, freebsd_process, "_is_here", lambda jail: jail == 0)


@mutant(
    "freebsd-open-resolver",
    "answers DNS queries whatever device they come by, though there is a firewall",
    {"DW-07": "from another network"},
)
def open_resolver(base: Any) -> type[DhcpManager]:
    original = rules.accepting
    return patched(
        base, rules, "accepting", lambda network: [rule for rule in original(network) if rule.action != DROP]
    )
