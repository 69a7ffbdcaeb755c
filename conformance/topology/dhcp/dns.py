"""DNS on the wire (RFC 1035). Pure, of the standard library."""

from __future__ import annotations

import contextlib
import ipaddress
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from conformance.topology.dhcp.domains import encoded, name_at

#: RFC 1035, 3.2.2; RFC 3596, RFC 2782.
TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33, "ANY": 255}
#: RFC 1035, 4.1.1.
CODES = ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED")
_TYPE_NAMES = {number: name for name, number in TYPES.items()}
_CHAOS = 3
_HEAD = struct.Struct("!HHHHHH")
_RESPONSE, _AUTHORITATIVE, _TRUNCATED, _RECURSION, _AVAILABLE = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080


class Record(NamedTuple):
    """A resource record. ``data``: an address, a name, text; of what is not known, hexadecimal octets."""

    name: str
    type: str
    data: str


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer to a query.

    Attributes:
        rcode: one of :data:`CODES`; of an unknown one its number.
        answers: the records that answer, in their order.
        authority: those that say who else would know.
        authoritative, recursion_available, truncated: the flags AA, RA and TC.
    """

    rcode: str
    answers: tuple[Record, ...]
    authority: tuple[Record, ...] = ()
    authoritative: bool = False
    recursion_available: bool = False
    truncated: bool = False

    @property
    def data(self) -> list[str]:
        """What the answers say, without names and types."""
        return [one.data for one in self.answers]

    def __str__(self) -> str:
        """Give the code and the answers, as in ``NOERROR web.example A 10.9.0.10``."""
        return " ".join([self.rcode, *(f"{one.name} {one.type} {one.data}" for one in self.answers)])


def question(number: int, name: str, kind: str = "A", *, is_chaos: bool = False, recursion: bool = True) -> bytes:
    """Return a query; for ``PTR`` the name may be an address."""
    if kind == "PTR":
        with contextlib.suppress(ValueError):
            name = ipaddress.ip_address(name).reverse_pointer
    head = _HEAD.pack(number, _RECURSION if recursion else 0, 1, 0, 0, 0)
    return head + encoded(name) + struct.pack("!HH", TYPES[kind], _CHAOS if is_chaos else 1)


def asked(data: bytes) -> tuple[int, str, str] | None:
    """Return number, name and type of what a query asks; None: it is none."""
    try:
        number, flags, count, *_ = _HEAD.unpack_from(data)
        if flags & _RESPONSE or count != 1:
            return None
        name, at = name_at(data, _HEAD.size)
        kind, _ = struct.unpack_from("!HH", data, at)
    except (struct.error, ValueError):
        return None
    return number, name, _TYPE_NAMES.get(kind, str(kind))


def answer(query: bytes, records: Sequence[tuple[str, str]] | None) -> bytes:
    """Return the reply to a query that has these records, as (type, data); None: there is no such name."""
    found = asked(query)
    assert found is not None, "what is to be answered is no query"
    number, name, _ = found
    _, end = name_at(query, _HEAD.size)
    code = 3 if records is None else 0
    head = _HEAD.pack(number, _RESPONSE | _RECURSION | _AVAILABLE | code, 1, len(records or ()), 0, 0)
    body = b"".join(
        encoded(name) + struct.pack("!HHIH", TYPES[kind], 1, 60, len(data)) + data
        for kind, data in ((kind, _data(kind, text)) for kind, text in records or ())
    )
    return head + query[_HEAD.size : end + 4] + body


def read(data: bytes, number: int) -> Reply | None:
    """Return the reply to the query of a number; None: it is none, or cannot be read."""
    try:
        found, flags, questions, answers, authority, _ = _HEAD.unpack_from(data)
        if found != number or not flags & _RESPONSE:
            return None
        at = _HEAD.size
        for _ in range(questions):
            _, at = name_at(data, at)
            at += 4
        records, at = _records(data, at, answers)
        others, _ = _records(data, at, authority)
    except (struct.error, ValueError, OSError):
        return None
    code = flags & 0xF
    return Reply(
        rcode=CODES[code] if code < len(CODES) else str(code),
        answers=records,
        authority=others,
        authoritative=bool(flags & _AUTHORITATIVE),
        recursion_available=bool(flags & _AVAILABLE),
        truncated=bool(flags & _TRUNCATED),
    )


def _records(data: bytes, at: int, count: int) -> tuple[tuple[Record, ...], int]:
    found = []
    for _ in range(count):
        name, at = name_at(data, at)
        kind, _, _, size = struct.unpack_from("!HHIH", data, at)
        at += 10
        word = _TYPE_NAMES.get(kind, str(kind))
        found.append(Record(name, word, _text(word, data, at, size)))
        at += size
    return tuple(found), at


def _text(kind: str, data: bytes, at: int, size: int) -> str:
    content = data[at : at + size]
    if kind in ("A", "AAAA"):
        return str(ipaddress.ip_address(content))
    if kind in ("PTR", "CNAME", "NS"):
        return name_at(data, at)[0]
    if kind == "TXT":
        parts = []
        while content:
            parts.append(content[1 : 1 + content[0]].decode("utf-8", "replace"))
            content = content[1 + content[0] :]
        return "".join(parts)
    return content.hex()


def _data(kind: str, text: str) -> bytes:
    if kind in ("A", "AAAA"):
        return ipaddress.ip_address(text).packed
    return bytes([len(text)]) + text.encode() if kind == "TXT" else encoded(text)
