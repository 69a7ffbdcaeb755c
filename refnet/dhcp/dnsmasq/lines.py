"""How options are written for dnsmasq. Pure: nothing is looked at.

dnsmasq has types for the options that it knows, also where they are given by number (its ``dhcp-common.c``), and takes
the value of each type in one way only. What it has no type for is written as octets.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable

from refnet.dhcp.capabilities import Capability
from refnet.dhcp.options import Option, decode_names
from refnet.errors import Unsupported
from refnet.names import IPAddress

_ADDRESSES = {
    4: frozenset({1, 3, 6, 7, 9, 16, 21, 28, 32, 33, 41, 42, 44, 45, 48, 49, 65, 68, 69, 70, 71, 74, 150}),
    6: frozenset({22, 23, 27, 28, 31}),
}
_TEXTS = {4: frozenset({12, 15, 17, 18, 40, 64, 66, 67, 100, 101}), 6: frozenset({41, 42, 59})}
_NAMES = {4: frozenset({119}), 6: frozenset({21, 24, 29, 30})}
_SECONDS = {4: frozenset({58, 59}), 6: frozenset({32})}
_STRINGS = {4: frozenset[int](), 6: frozenset({60})}
#: DHCPv4 options that dnsmasq withholds if they are empty; others it would send without data.
DEFAULTS = frozenset({1, 3, 6, 12, 15, 28})
#: Addresses that dnsmasq replaces by its own.
_SELF = frozenset({"0.0.0.0", "::", "fd00::", "fe80::"})  # noqa: S104 - nothing is bound

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\t": "\\t", "\n": "\\n", "\b": "\\b", "\r": "\\r", "\x1b": "\\e"}
#: dnsmasq takes the last letter of such a value for a size.
_SIZED = re.compile(r"[0-9]+[bsi]", re.ASCII)


def option_line(option: Option, version: int, tags: Iterable[str] = ()) -> str:
    """Return the line that sets an option for clients that have all of these tags.

    Raises:
        Unsupported: dnsmasq has no way to send these octets.
    """
    code = f"option6:{option.code}" if version == 6 else str(option.code)
    parts = [*(f"tag:{tag}" for tag in tags), code]
    if option.data is not None:
        parts.append(_value(option, version))
    return ",".join(parts)


def bracketed(address: IPAddress) -> str:
    """Return an address as dnsmasq wants it among others."""
    return f"[{address}]" if address.version == 6 else address_text(address)


def address_text(address: IPAddress) -> str:
    """Return ``str(address)``, in a third of the time: there are thousands of them."""
    return socket.inet_ntoa(address.packed) if address.version == 4 else str(address)


def quoted(text: str) -> str:
    """Return a text as dnsmasq reads it from a file, whatever printable characters it has."""
    return '"' + "".join(_ESCAPES.get(mark, mark) for mark in text) + '"'


def _value(option: Option, version: int) -> str:
    code, data = option.code, option.data or b""
    if code in _ADDRESSES[version]:
        return _addresses(option, version)
    if code in _TEXTS[version]:
        return _text(data, option, version)
    if code in _NAMES[version]:
        return ",".join(decode_names(data))
    if code in _STRINGS[version]:
        return ",".join(_text(one, option, version) for one in _strings(data, option, version))
    if code in _SECONDS[version]:
        if len(data) != 4:
            raise _impossible(option, version, "it is no number of four octets")
        return str(int.from_bytes(data, "big"))
    return f"{data[0]}b" if len(data) == 1 else data.hex(":")


def _addresses(option: Option, version: int) -> str:
    data = option.data or b""
    size = 4 if version == 4 else 16
    if len(data) % size:
        raise _impossible(option, version, "they are no addresses")
    kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    found = [kind(data[at : at + size]) for at in range(0, len(data), size)]
    for one in found:
        if str(one) in _SELF:
            raise _impossible(option, version, f"it would put its own address in place of {one}")
    return ",".join(map(bracketed, found))


def _text(data: bytes, option: Option, version: int) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise _impossible(option, version, "it is no text") from None
    if any((mark < " " and mark not in _ESCAPES) or mark == "\x7f" for mark in text):
        raise _impossible(option, version, "it has control characters")
    if text != text.strip() or _SIZED.fullmatch(text) or not text:
        raise _impossible(option, version, f"the text {text!r} would be sent without its end")
    return quoted(text)


def _strings(data: bytes, option: Option, version: int) -> list[bytes]:
    found, at = [], 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 2], "big")
        one = data[at + 2 : at + 2 + length]
        if len(one) != length:
            raise _impossible(option, version, "it is no list of texts")
        found.append(one)
        at += 2 + length
    return found


def _impossible(option: Option, version: int, why: str) -> Unsupported:
    kind, capability = ("DHCP", Capability.DHCP) if version == 4 else ("DHCPv6", Capability.DHCP_IPV6)
    octets = (option.data or b"").hex(":")
    return Unsupported(
        f"dnsmasq cannot send option {option.code} of {kind} with the octets {octets}: {why}", capability=capability
    )
