"""What DHCP options are made of: for each type, its octets from a value, and the value from its octets.

``encode`` raises :class:`~refnet.errors.InvalidArgument` for a value that is none of the type. ``decode`` gives values
that are plain data (text, numbers, lists of them) and that ``encode`` takes, and raises ``ValueError`` for octets that
are none of the type.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from refnet.dhcp import values
from refnet.dhcp.values import Route
from refnet.errors import InvalidArgument
from refnet.names import IPAddress, IPNetwork, ip_address, shown


class OptionType(NamedTuple):
    """A type of option."""

    #: What a value of it is, in words: "an IPv4 address".
    words: str
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


def encode_routes(routes: Iterable[Any]) -> bytes:
    """Return the data of option 121: each route as the significant octets of its destination, and its gateway.

    A route is a :class:`~refnet.dhcp.values.Route`, or a pair of destination and gateway. Their number is the
    caller's business.

    Raises:
        InvalidArgument: one is none.
    """
    made = b""
    for one in routes:
        if isinstance(one, Route):
            route = one
        elif isinstance(one, list | tuple) and len(one) == 2:
            route = Route(*one)
        else:
            raise InvalidArgument(f"{shown(one)} is no route: give a Route, or a pair of destination and gateway")
        length = route.destination.prefixlen
        significant = route.destination.network_address.packed[: (length + 7) // 8]
        made += bytes([length]) + significant + route.gateway.packed
    return made


def decode_routes(data: bytes) -> list[list[str]]:
    """Return the routes of option 121 as pairs of destination and gateway (RFC 3442).

    Raises:
        ValueError: it has none.
    """
    found, at = [], 0
    while at < len(data):
        length = data[at]
        count = (length + 7) // 8
        octets, gateway = data[at + 1 : at + 1 + count], data[at + 1 + count : at + 5 + count]
        at += 5 + count
        if length > 32 or len(gateway) != 4:
            raise ValueError("a route is cut off")
        destination = ipaddress.IPv4Network((octets.ljust(4, b"\0"), length))
        found.append([str(destination), str(ipaddress.IPv4Address(gateway))])
    return found


def encode_search(domains: Iterable[str]) -> bytes:
    """Return the data of option 119 (RFC 3397): names as DNS writes them, with pointers to what stands there already.

    Their number is the caller's business.

    Raises:
        InvalidArgument: one is no domain name.
    """
    made = b""
    there: dict[tuple[str, ...], int] = {}
    for one in domains:
        labels = tuple(values.domain(one).split("."))
        for number in range(len(labels)):
            at = there.get(labels[number:])
            if at is not None:
                # RFC 1035, 4.1.4: two bits that are 1, and the place, here from the beginning of the option.
                made += (0xC000 | at).to_bytes(2, "big")
                break
            # Behind this place a pointer could not tell it.
            if len(made) < 0x4000:
                there[labels[number:]] = len(made)
            made += _label(labels[number])
        else:
            made += b"\0"
    return made


def encode_names(domains: Iterable[str]) -> bytes:
    """Return domain names as DHCPv6 has them (RFC 8415, 10): as DNS writes them, without pointers.

    Raises:
        InvalidArgument: one is no domain name.
    """
    return b"".join(b"".join(map(_label, values.domain(one).split("."))) + b"\0" for one in domains)


def decode_names(data: bytes) -> list[str]:
    """Return the domain names of such an option, with pointers or without.

    Raises:
        ValueError: there is a label or a pointer that cannot be, or a name that is none.
    """
    found, at = [], 0
    while at < len(data):
        labels, at = _name(data, at)
        try:
            found.append(values.domain(".".join(labels)))
        except InvalidArgument as error:
            raise ValueError(error.message) from None
    return found


def _label(label: str) -> bytes:
    return bytes([len(label)]) + label.encode()


def _name(data: bytes, at: int) -> tuple[list[str], int]:
    """Return the labels of the name at a place, and the place behind it."""
    labels: list[str] = []
    behind: int | None = None
    while True:
        head = data[at : at + 2]
        if not head:
            raise ValueError("a name is cut off")
        if head[0] == 0:
            return labels, at + 1 if behind is None else behind
        if head[0] < 64:
            label = data[at + 1 : at + 1 + head[0]]
            at += 1 + head[0]
            labels.append(label.decode("ascii"))
            continue
        target = int.from_bytes(head, "big") & 0x3FFF
        # Only backwards: a pointer to itself, or around in a circle, would never end.
        if head[0] < 0xC0 or len(head) < 2 or target >= at or len(labels) > 127:
            raise ValueError("a pointer leads nowhere")
        behind = at + 2 if behind is None else behind
        at = target


# -- the types ----------------------------------------------------------------------------------------------


def _listed(value: Any) -> list[Any]:
    """Return one value or several as a list of at least one."""
    # Networks can be iterated over and are no list of addresses.
    several = isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping | IPNetwork)
    found = list(value) if several else [value]
    if not found:
        raise InvalidArgument("there is nothing in it: leave the option out, or give None to withhold it")
    return found


def _address(value: Any, version: int) -> bytes:
    parsed: IPAddress = ip_address(value, "address")
    if parsed.version != version:
        raise InvalidArgument(f"address {parsed} is not of IPv{version}")
    if parsed.is_unspecified:
        raise InvalidArgument(f"address {parsed} is nobody's")
    return parsed.packed


def _addresses(version: int, several: int = 0) -> OptionType:
    """Return the type of one address, or of any number of them, in groups of ``several`` at once."""
    size = 4 if version == 4 else 16
    kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address

    def encode(value: Any) -> bytes:
        given = _listed(value)
        if (not several and len(given) != 1) or (several and len(given) % several):
            raise InvalidArgument(f"there are {len(given)} addresses in it")
        return b"".join(_address(one, version) for one in given)

    def decode(data: bytes) -> Any:
        if not data or len(data) % (size * (several or 1)) or (not several and len(data) != size):
            raise ValueError(f"{len(data)} octets are no addresses of {size}")
        found = [str(kind(data[at : at + size])) for at in range(0, len(data), size)]
        if str(kind(0)) in found:
            raise ValueError(f"{kind(0)} is nobody's address")
        return found if several else found[0]

    much = {0: f"an IPv{version} address", 1: f"IPv{version} addresses"}
    return OptionType(much.get(several, f"pairs of IPv{version} addresses"), encode, decode)


def _number(form: str, least: int, most: int, several: bool = False) -> OptionType:
    packer = struct.Struct(form)

    def encode(value: Any) -> bytes:
        numbers = _listed(value) if several else [value]
        for one in numbers:
            if isinstance(one, bool) or not isinstance(one, int) or not least <= one <= most:
                raise InvalidArgument(f"{shown(one)} is not a whole number from {least} to {most}")
        return b"".join(map(packer.pack, numbers))

    def decode(data: bytes) -> Any:
        if not data or len(data) % packer.size or (not several and len(data) != packer.size):
            raise ValueError(f"{len(data)} octets are no number of {packer.size}")
        found = [one for (one,) in packer.iter_unpack(data)]
        return found if several else found[0]

    return OptionType(f"{'numbers' if several else 'a number'} from {least} to {most}", encode, decode)


def _encode_flag(value: Any) -> bytes:
    if not isinstance(value, bool):
        raise InvalidArgument(f"{shown(value)} is neither True nor False")
    return bytes([value])


def _decode_flag(data: bytes) -> bool:
    if data not in (b"\0", b"\1"):
        raise ValueError("it is neither 0 nor 1")
    return data == b"\1"


def _encode_text(value: Any) -> bytes:
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or not value:
        raise InvalidArgument(f"{shown(value)} is not a text of printable ASCII characters")
    return value.encode()


def _decode_text(data: bytes) -> str:
    text = data.decode("ascii")
    if not text.isprintable():
        raise ValueError("it has characters that cannot be printed")
    return text


def _encode_sip(value: Any) -> bytes:
    """RFC 3361: one octet says whether names or addresses follow."""
    given = _listed(value)
    try:
        return b"\1" + b"".join(_address(one, 4) for one in given)
    except InvalidArgument:
        return b"\0" + encode_search(given)


def _decode_sip(data: bytes) -> list[str]:
    if data[:1] == b"\1":
        found: list[str] = ADDRESSES.decode(data[1:])
        return found
    if data[:1] == b"\0" and len(data) > 1:
        return decode_names(data[1:])
    raise ValueError("it begins with neither 0 nor 1")


def _encode_ntp(value: Any) -> bytes:
    """RFC 5908: a sub-option for each server: 1 for its address, 2 for a multicast group, 3 for its name."""
    made = b""
    for one in _listed(value):
        try:
            data = _address(one, 6)
        except InvalidArgument:
            code, data = 3, encode_names([one])
        else:
            code = 2 if data[0] == 0xFF else 1
        made += struct.pack("!HH", code, len(data)) + data
    return made


def _decode_ntp(data: bytes) -> list[str]:
    found: list[str] = []
    at = 0
    while at < len(data):
        code, length = struct.unpack_from("!HH", data.ljust(at + 4, b"\0"), at)
        body = data[at + 4 : at + 4 + length]
        at += 4 + length
        if code not in (1, 2, 3):
            raise ValueError(f"a server is given by {code}, which is none of 1, 2 and 3")
        servers = decode_names(body) if code == 3 else [ADDRESS6.decode(body)]
        if at > len(data) or len(servers) != 1:
            raise ValueError("a server is cut off")
        found += servers
    return found


def _encode_strings(value: Any) -> bytes:
    """RFC 5970, 3.2: each parameter with its length before it."""
    texts = [_encode_text(one) for one in _listed(value)]
    return b"".join(struct.pack("!H", len(one)) + one for one in texts)


def _decode_strings(data: bytes) -> list[str]:
    return [_decode_text(one) for one in _pieces(data, 2)]


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    """Take apart what has a length before each piece."""
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at : at + size], "big")
        piece = data[at + size : at + size + length]
        if not piece or len(piece) != length:
            raise ValueError("a piece is cut off")
        yield piece
        at += size + length


def _encode_opaque(value: Any) -> bytes:
    raise InvalidArgument(f"{shown(value)} is not bytes, which this option takes")


def _decode_opaque(data: bytes) -> Any:
    raise ValueError("only bytes")


def _several(encode: Callable[[Sequence[Any]], bytes]) -> Callable[[Any], bytes]:
    return lambda value: encode(_listed(value))


ADDRESS, ADDRESSES, ADDRESS_PAIRS = _addresses(4), _addresses(4, 1), _addresses(4, 2)
ADDRESS6, ADDRESSES6 = _addresses(6), _addresses(6, 1)
U8, U16, U32 = _number("!B", 0, 0xFF), _number("!H", 0, 0xFFFF), _number("!I", 0, 0xFFFFFFFF)
S32, U8S, U16S = _number("!i", -(2**31), 2**31 - 1), _number("!B", 0, 0xFF, True), _number("!H", 0, 0xFFFF, True)
FLAG = OptionType("True or False", _encode_flag, _decode_flag)
TEXT = OptionType("text of printable ASCII characters", _encode_text, _decode_text)
#: One domain name as text (option 15), and several as DNS writes them.
DOMAIN = OptionType("a domain name", lambda value: values.domain(value).encode(), _decode_text)
SEARCH = OptionType("domain names", _several(encode_search), decode_names)
NAMES = OptionType("domain names", _several(encode_names), decode_names)
ROUTES = OptionType("routes, or pairs of destination and gateway", _several(encode_routes), decode_routes)
SIP = OptionType("IPv4 addresses, or else domain names", _encode_sip, _decode_sip)
NTP6 = OptionType("IPv6 addresses and domain names", _encode_ntp, _decode_ntp)
STRINGS = OptionType("texts of printable ASCII characters", _encode_strings, _decode_strings)
OPAQUE = OptionType("bytes", _encode_opaque, _decode_opaque)
