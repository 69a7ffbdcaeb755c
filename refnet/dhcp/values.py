"""The values that networks are made of, validated: before any of them reaches a file or a server.

Each function returns the value in its normal form or raises :class:`~refnet.errors.InvalidArgument`, saying what was
wrong, what was expected, and with which value.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from refnet import names
from refnet.errors import InvalidArgument
from refnet.names import IPAddress, IPNetwork, ip_address, ip_network, shown

T = TypeVar("T")

#: Seconds. dnsmasq makes less than two minutes two minutes; DHCP's largest value means for ever (RFC 2131, 3.3).
MIN_LEASE_TIME, MAX_LEASE_TIME = 120, 0xFFFFFFFE
#: RFC 4861, 6.2.1: an interval of 4 to 1800 seconds, and a lifetime of 0 or from the interval to 9000 seconds.
MIN_INTERVAL, MAX_INTERVAL, MAX_ROUTER_LIFETIME = 4, 1800, 9000
#: RFC 8200, 5.
MIN_IPV6_MTU = 1280
#: RFC 2132, 9.14, and RFC 8415, 11.1: octets of a client identifier, and of a DUID.
MAX_CLIENT_ID = 130
#: Characters of a domain name (RFC 1035, 2.3.4: 255 octets, with a length before each label and one at the end).
MAX_NAME = 253

_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)
_IDENTIFIER = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2})+", re.ASCII)


class Ipv6Mode(str, Enum):
    """How the clients of an IPv6 network come to addresses (RFC 4861, 4.2; RFC 4862; RFC 8415)."""

    #: They make their own from the advertised prefix; there is no DHCPv6.
    SLAAC = "slaac"
    #: They make their own, and ask DHCPv6 for the rest (flag O).
    STATELESS = "stateless"
    #: They ask DHCPv6 for addresses (flags M and O), and make none.
    STATEFUL = "stateful"
    #: They ask DHCPv6 for addresses, and make their own besides.
    STATEFUL_SLAAC = "stateful-slaac"

    __str__ = str.__str__

    @property
    def is_stateful(self) -> bool:
        """Whether DHCPv6 gives addresses."""
        return self in (Ipv6Mode.STATEFUL, Ipv6Mode.STATEFUL_SLAAC)

    @property
    def is_autonomous(self) -> bool:
        """Whether clients make addresses of their own."""
        return self is not Ipv6Mode.STATEFUL


@dataclass(frozen=True, slots=True)
class Range:
    """Addresses that are given to whoever asks, from ``first`` to ``last``, both included.

    Attributes:
        first: the first of them.
        last: the last of them.
        network: the network that they are in, where that is none of the server's own: clients there ask through a
            relay (RFC 2131, giaddr). IPv4 only.
    """

    first: IPAddress
    last: IPAddress
    network: IPNetwork | None = None

    def __init__(self, first: str | IPAddress, last: str | IPAddress, network: str | IPNetwork | None = None) -> None:
        """Validate.

        Raises:
            InvalidArgument: a value is none, the order is wrong, or an address is not in the network.
        """
        low, high = ip_address(first, "range's first address"), ip_address(last, "range's last address")
        if low.version != high.version or int(low) > int(high):
            raise InvalidArgument(f"range {low} to {high} is none: the first address is to be the lower one")
        within = None if network is None else ip_network(network)
        if within is not None and within.version != 4:
            raise InvalidArgument(f"range {low} to {high}: only IPv4 is served through relays, not {within}")
        if within is not None and not (low in within and high in within):
            raise InvalidArgument(f"range {low} to {high} is not within {within}")
        if low.is_multicast or low.is_loopback or low.is_unspecified:
            raise InvalidArgument(f"range {low} to {high}: these are no addresses that a client can have")
        object.__setattr__(self, "first", low)
        object.__setattr__(self, "last", high)
        object.__setattr__(self, "network", within)

    def __contains__(self, one: object) -> bool:
        """Whether an address is one of them."""
        if not isinstance(one, ipaddress.IPv4Address | ipaddress.IPv6Address):
            return False
        return one.version == self.first.version and int(self.first) <= int(one) <= int(self.last)

    def __str__(self) -> str:
        """Give ``192.0.2.100-192.0.2.199``."""
        return f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class Route:
    """A route that clients are told (RFC 3442, option 121): by ``gateway``, one of their network, to ``destination``.

    A gateway of 0.0.0.0 means that the destination is on the clients' own link.
    """

    destination: ipaddress.IPv4Network
    gateway: ipaddress.IPv4Address

    def __init__(self, destination: str | IPNetwork, gateway: str | IPAddress) -> None:
        """Validate.

        Raises:
            InvalidArgument: a value is none, or not of IPv4.
        """
        to = ip_network(destination)
        object.__setattr__(self, "gateway", ipv4_address(gateway, "route's gateway"))
        if to.version != 4:
            raise InvalidArgument(f"route to {to}: DHCP tells routes of IPv4 only; routers tell those of IPv6")
        object.__setattr__(self, "destination", to)


@dataclass(frozen=True, slots=True)
class RouterAdvertisement:
    """What is advertised to the clients of an IPv6 network (RFC 4861).

    The prefixes are those of the server's addresses, and the flags follow from :class:`Ipv6Mode`. DNS servers and the
    search list are told in it as well (RFC 8106).

    Attributes:
        interval: seconds between two advertisements, at most.
        lifetime: seconds for which this host is a default router; 0: it is none.
        preference: ``"low"``, ``"medium"`` or ``"high"``, among several routers (RFC 4191).
        mtu: bytes, the MTU of the link that is told; None: none is told.
    """

    interval: int = 600
    lifetime: int = 1800
    preference: str = "medium"
    mtu: int | None = None

    def __post_init__(self) -> None:
        """Validate.

        Raises:
            InvalidArgument: a value is none.
        """
        whole_number(self.interval, "interval", MIN_INTERVAL, MAX_INTERVAL, "seconds")
        if self.lifetime != 0 or isinstance(self.lifetime, bool):
            whole_number(self.lifetime, "router lifetime", self.interval, MAX_ROUTER_LIFETIME, "seconds, or 0")
        if self.preference not in ("low", "medium", "high"):
            raise InvalidArgument(f"preference {shown(self.preference)} is none of 'low', 'medium' and 'high'")
        if self.mtu is not None and names.mtu(self.mtu) < MIN_IPV6_MTU:
            raise InvalidArgument(f"MTU {self.mtu} is less than IPv6's least, {MIN_IPV6_MTU} bytes (RFC 8200)")


@dataclass(frozen=True, slots=True)
class Dns:
    """How the server answers DNS queries of the network's clients.

    It answers for its hosts and for clients that have told it a name. What else is asked goes to ``forwarders``, or
    is refused if there are none. Names of the network's own domain, and addresses of its own networks, never go to
    others.

    Attributes:
        forwarders: the addresses of the servers that are asked, in their order.
    """

    forwarders: tuple[IPAddress, ...] = ()

    def __init__(self, forwarders: str | IPAddress | Iterable[str | IPAddress] = ()) -> None:
        """Validate.

        Raises:
            InvalidArgument: a value is no address, or not one that a server can be reached by.
        """
        found = several(forwarders, "DNS forwarder", ip_address)
        for one in found:
            if one.is_unspecified or one.is_multicast or (one.version == 6 and one.is_link_local):
                raise InvalidArgument(f"DNS forwarder {one} is no address that one server can be reached by from here")
        object.__setattr__(self, "forwarders", found)


def several(value: object, what: str, normal: Callable[[object, str], T]) -> tuple[T, ...]:
    """Return one value or several (an iterable) as a tuple, each in its normal form, in their order.

    Raises:
        InvalidArgument: a value is none, or is there twice.
    """
    # Text, networks and mappings can be iterated over and are one value all the same.
    if isinstance(value, str) or not isinstance(value, Iterable) or isinstance(value, bytes | IPNetwork | Mapping):
        return (normal(value, what),)
    found = tuple(normal(one, what) for one in value)
    if len(found) > 1 and len(set(found)) < len(found):
        twice = next(one for number, one in enumerate(found) if one in found[:number])
        raise InvalidArgument(f"{what} {twice} is there twice")
    return found


def whole_number(value: object, what: str, least: int, most: int, unit: str) -> int:
    """Return a number within bounds.

    Raises:
        InvalidArgument: it is not an int from ``least`` to ``most``.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidArgument(f"{what} {shown(value)} is not a whole number of {unit} from {least} to {most}")
    return value


def ipv6_mode(value: object) -> Ipv6Mode:
    """Return how clients come to IPv6 addresses.

    Raises:
        InvalidArgument: it is no such word.
    """
    try:
        return Ipv6Mode(value)
    except ValueError:
        raise InvalidArgument(f"ipv6 {shown(value)} is none of {', '.join(map(repr, map(str, Ipv6Mode)))}") from None


def lease_events(value: object) -> str | None:
    """Return where lease events go: ``"log"``, the path of a Unix socket, or None.

    Raises:
        InvalidArgument: it is neither ``"log"`` nor an absolute path that a socket can have.
    """
    if value is None or value == "log":
        return value
    # unix(7): sun_path has 108 bytes on Linux, unix(4): 104 on FreeBSD, the terminating zero included.
    if not isinstance(value, str) or not value.startswith("/") or not value.isprintable() or len(value.encode()) > 103:
        raise InvalidArgument(f"lease events {shown(value)} are neither 'log' nor a path of at most 103 bytes")
    return value


def lease_time(value: object) -> int | None:
    """Return a lease time in seconds; None: for ever.

    Raises:
        InvalidArgument: it is not a whole number of seconds of at least two minutes, dnsmasq's least.
    """
    return None if value is None else whole_number(value, "lease time", MIN_LEASE_TIME, MAX_LEASE_TIME, "seconds")


def ipv4_address(value: object, what: str) -> ipaddress.IPv4Address:
    """Return an IPv4 address.

    Raises:
        InvalidArgument: it is none.
    """
    parsed = ip_address(value, what)
    if not isinstance(parsed, ipaddress.IPv4Address):
        raise InvalidArgument(f"{what} {parsed} is not an IPv4 address")
    return parsed


def host_name(value: object) -> str:
    """Return a host's name, in lower case: one label (RFC 1123, 2.1), without its domain.

    Raises:
        InvalidArgument: it is not 1 to 63 letters, digits and hyphens, with no hyphen at an end; or it is "localhost",
            which every host has for itself (RFC 6761, 6.3).
    """
    if not isinstance(value, str) or not _LABEL.fullmatch(value):
        advice = ": its domain is the network's" if isinstance(value, str) and "." in value else ""
        raise InvalidArgument(
            f"host name {shown(value)} is not 1 to 63 letters, digits and hyphens (and no hyphen at an end){advice}"
        )
    name = value.lower()
    if name == "localhost":
        raise InvalidArgument("host name 'localhost' is what every host calls itself: give another one")
    return name


def domain(value: object, what: str = "domain") -> str:
    """Return a domain name in lower case, without a dot at its end.

    Raises:
        InvalidArgument: it is not labels of letters, digits and hyphens with dots between, 253 characters at most, the
            last label no number (RFC 1123, 2.1: addresses are told from names by it).
    """
    text = value.removesuffix(".") if isinstance(value, str) else ""
    labels = text.split(".") if len(text) <= MAX_NAME else [""]
    if not all(_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        raise InvalidArgument(f"{what} {shown(value)} is not a domain name such as 'cloud.example.org'")
    return text.lower()


def client_id(value: object, what: str = "client identifier") -> str:
    """Return a client identifier, or a DUID, as octets in hexadecimal with colons, in lower case.

    ``bytes`` are taken as well.

    Raises:
        InvalidArgument: it is not 2 to 130 octets.
    """
    text = value.hex(":") if isinstance(value, bytes) else value.lower() if isinstance(value, str) else ""
    if not _IDENTIFIER.fullmatch(text) or len(text) > 3 * MAX_CLIENT_ID - 1:
        raise InvalidArgument(
            f"{what} {shown(value)} is not 2 to {MAX_CLIENT_ID} hexadecimal octets such as '01:52:54:00:12:34:56'"
        )
    return text
