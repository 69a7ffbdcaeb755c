"""Iptables's text word by word, and the values in it: networks, ports, numbers, translated addresses (iptables(8)).

What iptables would read otherwise than it looks, it refuses: ``010`` is 8 there, and ``10.1`` is 10.0.0.1.
"""

from __future__ import annotations

import functools
import ipaddress
import re
import shlex
from typing import NoReturn

from refnet.errors import InvalidArgument, Unsupported
from refnet.firewall.text import words
from refnet.firewall.values import PortRange
from refnet.names import IPNetwork, shown

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,4}", re.ASCII)
_NUMBER = re.compile(r"(0[xX][0-9a-fA-F]{1,8})|(0[0-7]{1,11})|(0|[1-9][0-9]{0,9})", re.ASCII)
_RATE = re.compile(r"([1-9][0-9]{0,7})(?:/([A-Za-z]+))?", re.ASCII)
_IN_BRACKETS = re.compile(r"\[([^\[\]]*)\](?::(.*))?")
_FULL = {4: 0xFFFFFFFF, 6: (1 << 128) - 1}


def unsupported(what: str, capability: str) -> NoReturn:
    """Refuse what iptables knows and the rule model does not."""
    raise Unsupported(f"{what}: iptables has it, refnet's rules have not", capability=capability)


def split(text: object) -> list[str]:
    """Return the words of a rule's text, as a shell would."""
    if not isinstance(text, str):
        raise InvalidArgument(f"a rule's text is a str, not {type(text).__name__}")
    if not text.isprintable():
        odd = next(one for one in text if not one.isprintable())
        raise InvalidArgument(f"a rule's text is one line of printable characters: it has {odd!r}")
    if not any(one in text for one in "\"'\\"):
        return text.split()
    try:
        return shlex.split(text)
    except ValueError as error:
        raise InvalidArgument(f"the quotes of the rule do not match: {error}") from None


@functools.lru_cache(maxsize=1024)
def networks(text: str, family: int) -> tuple[IPNetwork, ...]:
    """Return the networks of a list such as ``192.0.2.1,10.0.0.5/255.0.0.0``, without host bits."""
    return tuple(_network(one, family) for one in text.split(","))


def _network(text: str, family: int) -> IPNetwork:
    address, slash, mask = text.partition("/")
    number = _address(address, family, text)
    bits = 32 if family == 4 else 128
    length = bits
    if slash:
        if _DECIMAL.fullmatch(mask):
            length = int(mask)
            if length > bits:
                raise InvalidArgument(f"prefix length {mask} of {shown(text)} is more than {bits}")
        else:
            inverted = _address(mask, family, text) ^ _FULL[family]
            if inverted & (inverted + 1):
                unsupported(f"mask {mask}, whose ones are not all in front", "mask with holes")
            length = bits - inverted.bit_length()
    left = bits - length
    kept = number >> left << left
    return ipaddress.IPv4Network((kept, length)) if family == 4 else ipaddress.IPv6Network((kept, length))


def _address(text: str, family: int, whole: str) -> int:
    try:
        if "%" in text:
            raise ValueError
        return int(ipaddress.IPv4Address(text) if family == 4 else ipaddress.IPv6Address(text))
    except ValueError:
        raise InvalidArgument(
            f"{shown(whole)} is not an IPv{family} address or network (and names are not looked up)"
        ) from None


def network_range(text: str, family: int) -> list[IPNetwork]:
    """Return the networks that make up a range of addresses such as ``192.0.2.5-192.0.2.9``."""
    first, minus, last = text.partition("-")
    low = _address(first, family, text)
    high = _address(last, family, text) if minus else low
    if low > high:
        raise InvalidArgument(f"range {shown(text)} ends before it begins")
    if family == 4:
        return list(ipaddress.summarize_address_range(ipaddress.IPv4Address(low), ipaddress.IPv4Address(high)))
    return list(ipaddress.summarize_address_range(ipaddress.IPv6Address(low), ipaddress.IPv6Address(high)))


def port_range(text: str) -> PortRange:
    """Return a port or a range such as ``80``, ``80:90``, ``1024:``, ``http``."""
    first, colon, last = text.partition(":")
    low = _port(first or "0" if colon else first, text)
    high = _port(last or "65535", text) if colon else low
    if low > high:
        raise InvalidArgument(f"port range {shown(text)} ends before it begins")
    return PortRange(low, high)


def new_ports(text: str) -> PortRange:
    """Return the ports that a translation chooses from, such as ``80`` or ``1024-2047``."""
    if "/" in text:
        unsupported(f"ports {text}, shifted by a base", "port shift")
    first, minus, last = text.partition("-")
    low = _port(first, text)
    high = _port(last, text) if minus else low
    if low > high:
        raise InvalidArgument(f"port range {shown(text)} ends before it begins")
    return PortRange(low, high)


def _port(text: str, whole: str) -> int:
    number = int(text) if _DECIMAL.fullmatch(text) else words.SERVICES.get(text.lower(), 65536)
    if number > 65535:
        raise InvalidArgument(
            f"port {shown(whole)} is neither a number from 0 to 65535, nor a range, nor a service that is known here"
        )
    return number


def number(text: str) -> int:
    """Return a number as C reads it: ``0x1f``, ``017`` or ``15``."""
    match = _NUMBER.fullmatch(text)
    if not match:
        raise InvalidArgument(f"{shown(text)} is not a number of up to 32 bits")
    return int(match[1], 16) if match[1] else int(match[2], 8) if match[2] else int(match[3])


def masked(text: str) -> tuple[int, int]:
    """Return a mark and its mask, such as ``0x1/0xff``; without a mask, that of all bits."""
    value, slash, mask = text.partition("/")
    return number(value), number(mask) if slash else _FULL[4]


def see_decimal(text: str) -> None:
    """Refuse ``010``, which iptables takes for 8."""
    if text.isdigit() and text != "0" and text.startswith("0"):
        raise InvalidArgument(f"number {shown(text)} begins with 0: iptables would take it for an octal one")


def rate(text: str) -> tuple[int, str]:
    """Return packets and unit of a rate such as ``10/minute``, ``10/m`` or ``10`` (a second)."""
    match = _RATE.fullmatch(text)
    unit = (match[2] or "second").lower() if match else "?"
    units = [one for one in ("second", "minute", "hour", "day") if one.startswith(unit)]
    if not match or not units:
        raise InvalidArgument(f"limit {shown(text)} is not a rate such as 10/minute")
    return int(match[1]), units[0]


def translation(text: str, family: int) -> tuple[str, PortRange | None]:
    """Return address and ports of ``192.0.2.1:80``, ``192.0.2.1:80-90``, ``[2001:db8::1]:80`` or an address alone."""
    address, ports = text, None
    match = _IN_BRACKETS.fullmatch(text)
    if match:
        address, ports = match[1], match[2]
    elif family == 4 and ":" in text:
        address, _, ports = text.partition(":")
    if not address:
        unsupported(f"{text}: only the port is translated", "translation without an address")
    if "-" in address:
        unsupported(f"{text}: several addresses to choose from", "address range")
    _address(address, family, text)
    return address, None if ports is None else new_ports(ports)
