"""What a rule does with the packets that it matches: the portable actions, each a frozen value.

``ACCEPT``, ``DROP``, ``RETURN`` and ``CHECKSUM_FILL`` have no parameters and are constants; the others are made with
what they need, such as ``Jump("local")`` or ``Dnat("192.0.2.10", ports=(8080, 8080))``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from refnet import names
from refnet.errors import InvalidArgument
from refnet.firewall import values
from refnet.firewall.values import PortRange
from refnet.names import IPAddress, shown


class Answer(str, Enum):
    """What the sender of a rejected packet is told (the words are iptables-extensions(8)'s, without "icmp")."""

    PORT_UNREACHABLE = "port-unreachable"
    HOST_UNREACHABLE = "host-unreachable"
    NET_UNREACHABLE = "net-unreachable"
    ADMIN_PROHIBITED = "admin-prohibited"
    #: TCP only: a segment with RST.
    TCP_RESET = "tcp-reset"

    __str__ = str.__str__
    __repr__ = str.__repr__


@dataclass(frozen=True, slots=True)
class Accept:
    """Let the packet pass this hook; no later rule at this hook is asked."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Take the packet away without a word."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Take the packet away and tell its sender."""

    answer: Answer = Answer.PORT_UNREACHABLE

    def __post_init__(self) -> None:
        """Take the answer by its name as well."""
        try:
            object.__setattr__(self, "answer", Answer(self.answer))
        except ValueError:
            known = ", ".join(Answer)
            raise InvalidArgument(f"a packet cannot be rejected with {shown(self.answer)}: known are {known}") from None


@dataclass(frozen=True, slots=True)
class Return:
    """Go back to the rule behind the jump to this chain; in a chain on a hook: on to the next chain there."""


@dataclass(frozen=True, slots=True)
class Jump:
    """Ask the rules of another chain of the same owner and table, and go on here if none of them decides."""

    chain: str

    def __post_init__(self) -> None:
        """Validate the name."""
        object.__setattr__(self, "chain", values.chain_name(self.chain))


@dataclass(frozen=True, slots=True)
class Snat:
    """Replace the source address, with ``ports`` also the source port, by one of them. Table nat, postrouting."""

    address: IPAddress
    ports: PortRange | None = None

    def __init__(self, address: str | IPAddress, ports: PortRange | tuple[int, int] | int | None = None) -> None:
        """Validate both.

        Raises:
            InvalidArgument: they are not an address and ports.
        """
        object.__setattr__(self, "address", _address(address, "SNAT"))
        object.__setattr__(self, "ports", None if ports is None else values.port_range(ports))


@dataclass(frozen=True, slots=True)
class Dnat:
    """Replace the destination address, with ``ports`` also the port. Table nat, prerouting or output."""

    address: IPAddress
    ports: PortRange | None = None

    def __init__(self, address: str | IPAddress, ports: PortRange | tuple[int, int] | int | None = None) -> None:
        """Validate both.

        Raises:
            InvalidArgument: they are not an address and ports.
        """
        object.__setattr__(self, "address", _address(address, "DNAT"))
        object.__setattr__(self, "ports", None if ports is None else values.port_range(ports))


@dataclass(frozen=True, slots=True)
class Redirect:
    """Send the packet to this host itself, to one of these ports. Table nat, prerouting or output."""

    ports: PortRange

    def __init__(self, ports: PortRange | tuple[int, int] | int) -> None:
        """Validate the ports.

        Raises:
            InvalidArgument: they are none.
        """
        object.__setattr__(self, "ports", values.port_range(ports))


@dataclass(frozen=True, slots=True)
class Masquerade:
    """Replace the source address by that of the device that the packet leaves by. Table nat, postrouting."""

    ports: PortRange | None = None

    def __init__(self, ports: PortRange | tuple[int, int] | int | None = None) -> None:
        """Validate the ports.

        Raises:
            InvalidArgument: they are none.
        """
        object.__setattr__(self, "ports", None if ports is None else values.port_range(ports))


@dataclass(frozen=True, slots=True)
class Log:
    """Write a line about the packet to the system's log, and go on. ``prefix``: up to 29 printable characters."""

    prefix: str = ""

    def __post_init__(self) -> None:
        """Validate the prefix (29: iptables-extensions(8), LOG)."""
        object.__setattr__(self, "prefix", values.text(self.prefix, "log prefix", 29) if self.prefix != "" else "")


@dataclass(frozen=True, slots=True)
class SetMark:
    """Give the packet a mark that later rules and routing can match, and go on: ``mask``'s bits become ``value``."""

    value: int
    mask: int = 0xFFFFFFFF

    def __post_init__(self) -> None:
        """Validate both numbers."""
        made = values.mark(self.value, self.mask)
        object.__setattr__(self, "value", made.value)
        object.__setattr__(self, "mask", made.mask)


@dataclass(frozen=True, slots=True)
class ChecksumFill:
    """Compute the checksum here and go on: for clients that see what a device would have filled in."""


Action = Accept | Drop | Reject | Return | Jump | Snat | Dnat | Redirect | Masquerade | Log | SetMark | ChecksumFill

ACCEPT = Accept()
DROP = Drop()
RETURN = Return()
CHECKSUM_FILL = ChecksumFill()


def _address(value: str | IPAddress, what: str) -> IPAddress:
    address = names.ip_address(value, f"{what}'s address")
    if address.is_unspecified or address.is_multicast:
        raise InvalidArgument(f"{what}'s address {address} is no unicast address")
    return address
