"""Protocols and ICMP types by name and number (IANA's registries), independent of a host's /etc/protocols."""

from __future__ import annotations

import re

from refnet.errors import InvalidArgument
from refnet.firewall.values import IcmpType, plain, whole
from refnet.names import shown

#: IANA, "Assigned Internet Protocol Numbers": those that the packet filters of Linux and FreeBSD know by name.
_NUMBERS = {
    "icmp": 1,
    "igmp": 2,
    "ipencap": 4,
    "tcp": 6,
    "udp": 17,
    "dccp": 33,
    "ipv6": 41,
    "gre": 47,
    "esp": 50,
    "ah": 51,
    "ipv6-icmp": 58,
    "ospf": 89,
    "pim": 103,
    "vrrp": 112,
    "sctp": 132,
    "udplite": 136,
}
_NAMES = {number: name for name, number in _NUMBERS.items()}
_ALIASES = {"icmpv6": "ipv6-icmp", "icmp6": "ipv6-icmp", "ipip": "ipencap", "carp": "vrrp"}
_KNOWN = {name: name for name in _NUMBERS} | _ALIASES

WITH_PORTS = ("tcp", "udp", "sctp", "dccp", "udplite")
#: The protocols that belong to one family.
FAMILY = {"icmp": 4, "ipv6-icmp": 6}
#: Extension headers of IPv6 (RFC 7045; 59 is "nothing follows"): packet filters look behind them for the protocol.
IPV6_HEADERS = ("43", "44", "ah", "59", "60", "135", "139", "140")

#: IANA, "ICMP Type Numbers" and "ICMPv6 Parameters": the names that iptables-extensions(8) has.
_ICMP = {
    "echo-reply": IcmpType(0),
    "destination-unreachable": IcmpType(3),
    "network-unreachable": IcmpType(3, 0),
    "host-unreachable": IcmpType(3, 1),
    "protocol-unreachable": IcmpType(3, 2),
    "port-unreachable": IcmpType(3, 3),
    "fragmentation-needed": IcmpType(3, 4),
    "source-quench": IcmpType(4),
    "redirect": IcmpType(5),
    "echo-request": IcmpType(8),
    "router-advertisement": IcmpType(9),
    "router-solicitation": IcmpType(10),
    "time-exceeded": IcmpType(11),
    "parameter-problem": IcmpType(12),
    "timestamp-request": IcmpType(13),
    "timestamp-reply": IcmpType(14),
}
_ICMPV6 = {
    "destination-unreachable": IcmpType(1),
    "no-route": IcmpType(1, 0),
    "port-unreachable": IcmpType(1, 4),
    "packet-too-big": IcmpType(2),
    "time-exceeded": IcmpType(3),
    "parameter-problem": IcmpType(4),
    "echo-request": IcmpType(128),
    "echo-reply": IcmpType(129),
    "router-solicitation": IcmpType(133),
    "router-advertisement": IcmpType(134),
    "neighbour-solicitation": IcmpType(135),
    "neighbor-solicitation": IcmpType(135),
    "neighbour-advertisement": IcmpType(136),
    "neighbor-advertisement": IcmpType(136),
    "redirect": IcmpType(137),
}


def name(value: object) -> str:
    """Return a protocol by its name, or where it has none here, by its number as text.

    Raises:
        InvalidArgument: it is none: neither a name that is known here nor a number from 1 to 255. (0 is "any" in some
            tools: a rule about any protocol leaves it out.)
    """
    number = whole(value)
    if isinstance(value, str):
        known = _KNOWN.get(plain(value).lower())
        if known:
            return known
        number = int(value) if re.fullmatch(r"[0-9]{1,3}", value, re.ASCII) else None
    if number is not None and 1 <= number <= 255:
        return _NAMES.get(number, str(number))
    raise InvalidArgument(f"protocol {shown(value)} is neither a number from 1 to 255 nor one of {', '.join(_NUMBERS)}")


def number(protocol: str) -> int:
    """Return the number of a protocol that :func:`name` returned."""
    return _NUMBERS[protocol] if protocol in _NUMBERS else int(protocol)


def icmp_type(value: object, protocol: object) -> IcmpType:
    """Return an ICMP type, given by number (8), as type and code ("3/4", (3, 4)), or by name ("echo-request").

    Raises:
        InvalidArgument: the protocol has no such type.
    """
    is_six = protocol is not None and name(protocol) == "ipv6-icmp"
    if isinstance(value, str):
        by_name = (_ICMPV6 if is_six else _ICMP).get(plain(value).lower())
        if by_name:
            return by_name
        match = re.fullmatch(r"([0-9]{1,3})(?:/([0-9]{1,3}))?", value, re.ASCII)
        given: tuple[object, ...] = (int(match[1]), int(match[2]) if match[2] else None) if match else (None,)
    else:
        given = value if isinstance(value, tuple) else (value,)
    kind, code = (*given, None)[:2] if 1 <= len(given) <= 2 else (None, None)
    numbers = _octet(kind), _octet(code)
    if numbers[0] is not None and (code is None or numbers[1] is not None):
        return IcmpType(numbers[0], numbers[1])
    names = ", ".join(_ICMPV6 if is_six else _ICMP)
    raise InvalidArgument(f"ICMP type {shown(value)} is neither a number such as 8, nor '3/4', nor one of {names}")


def _octet(value: object) -> int | None:
    number = whole(value)
    return number if number is not None and 0 <= number <= 255 else None
