"""DHCPv6 on the wire (RFC 8415). Pure, of the standard library."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from conformance.topology.dhcp import domains
from conformance.topology.packets import UDP, Checksum, Packet

CLIENT_PORT, SERVER_PORT = 546, 547
#: RFC 8415, 7.1: all relay agents and servers of a link, and the MAC address of that group.
SERVERS, SERVERS_MAC = "ff02::1:2", "33:33:00:01:00:02"

#: RFC 8415, 7.3.
KINDS = {
    "SOLICIT": 1,
    "ADVERTISE": 2,
    "REQUEST": 3,
    "CONFIRM": 4,
    "RENEW": 5,
    "REBIND": 6,
    "REPLY": 7,
    "RELEASE": 8,
    "DECLINE": 9,
    "RECONFIGURE": 10,
    "INFORMATION-REQUEST": 11,
}
#: RFC 8415, 21; DNS is RFC 3646, the name RFC 4704.
CLIENT_ID, SERVER_ID, IA_NA, IA_ADDRESS, REQUESTED, PREFERENCE, ELAPSED, STATUS, RAPID = 1, 2, 3, 5, 6, 7, 8, 13, 14
DNS_SERVERS, DOMAINS, NAME = 23, 24, 39
#: RFC 8415, 21.13.
STATUSES = ("Success", "UnspecFail", "NoAddrsAvail", "NoBinding", "NotOnLink", "UseMulticast")

_KIND_NAMES = {number: name for name, number in KINDS.items()}


class Leased(NamedTuple):
    """An address in a message, with its lifetimes in seconds."""

    address: str
    preferred: int
    valid: int


class Association(NamedTuple):
    """An identity association for addresses (IA_NA): its number, T1 and T2 in seconds, addresses, status."""

    iaid: int
    renew: int
    rebind: int
    addresses: tuple[Leased, ...]
    #: One of :data:`STATUSES`; None: nothing is said.
    status: str | None


@dataclass(frozen=True, slots=True)
class Message6:
    """A message of DHCPv6, and the packet that it came in.

    Attributes:
        kind: a word of :data:`KINDS`; of an unknown one its number.
        transaction: its number, of 24 bits.
        options: codes and contents, in the order of the message.
        packet: what it came in: addresses, ports, checksum.
    """

    kind: str
    transaction: int
    options: tuple[tuple[int, bytes], ...]
    packet: Packet

    def option(self, code: int) -> bytes | None:
        """Return an option's content, the first if there are several; None: it is not there."""
        return next((data for number, data in self.options if number == code), None)

    @property
    def associations(self) -> tuple[Association, ...]:
        """The identity associations."""
        return tuple(_association(data) for code, data in self.options if code == IA_NA and len(data) >= 12)

    @property
    def leased(self) -> tuple[Leased, ...]:
        """The addresses of all identity associations."""
        return tuple(one for association in self.associations for one in association.addresses)

    @property
    def addresses(self) -> tuple[str, ...]:
        """The same as text, without lifetimes."""
        return tuple(one.address for one in self.leased)

    @property
    def statuses(self) -> tuple[str, ...]:
        """All that is said of success and failure: of the whole message first, then of each identity association."""
        whole = _status(self.options)
        parts = (one.status for one in self.associations)
        return tuple(one for one in (whole, *parts) if one is not None)

    @property
    def server_id(self) -> bytes | None:
        """The server's DUID."""
        return self.option(SERVER_ID)

    @property
    def client_id(self) -> bytes | None:
        """The client's DUID."""
        return self.option(CLIENT_ID)

    @property
    def dns_servers(self) -> tuple[str, ...]:
        """The DNS servers that are told (RFC 3646)."""
        return addresses(self.option(DNS_SERVERS) or b"")

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains that are told to look names up in (RFC 3646)."""
        return search_list(self.option(DOMAINS) or b"")

    def __str__(self) -> str:
        """Give kind, addresses and status, as in ``REPLY fd09::10 (Success)``."""
        words = [self.kind, *self.addresses]
        return " ".join(words) + (f" ({', '.join(self.statuses)})" if self.statuses else "")


def message(kind: str, transaction: int, options: Iterable[tuple[int, bytes]]) -> bytes:
    """Return what goes into UDP."""
    return struct.pack("!I", KINDS[kind] << 24 | transaction) + encoded(options)


def encoded(options: Iterable[tuple[int, bytes]]) -> bytes:
    """Return options one behind the other."""
    return b"".join(struct.pack("!HH", code, len(data)) + data for code, data in options)


def association(iaid: int, wanted: Iterable[str] = ()) -> tuple[int, bytes]:
    """Return an identity association that asks for addresses, and leaves the times to the server."""
    inner = encoded((IA_ADDRESS, packed(one) + bytes(8)) for one in wanted)
    return IA_NA, struct.pack("!III", iaid, 0, 0) + inner


def requested(codes: Iterable[int]) -> tuple[int, bytes]:
    """Return the option that asks for options."""
    return REQUESTED, b"".join(struct.pack("!H", code) for code in codes)


def name(text: str) -> tuple[int, bytes]:
    """Return the option that tells a client's name, whole or not, and leaves the entry in DNS to the server.

    RFC 4704, 4.2: what is not whole has no zero at its end.
    """
    return NAME, b"\x01" + domains.encoded(text).removesuffix(b"\0")


def read(packet: Packet) -> Message6 | None:
    """Return the message that a packet to a client carries; None: it carries none."""
    if packet.protocol != UDP or packet.dport != CLIENT_PORT or len(packet.payload) < 4:
        return None
    (head,) = struct.unpack_from("!I", packet.payload)
    kind = _KIND_NAMES.get(head >> 24, str(head >> 24))
    return Message6(kind, head & 0xFFFFFF, tuple(_options(packet.payload[4:])), packet)


def packed(address: str) -> bytes:
    """Return an IPv6 address as its 16 octets."""
    return socket.inet_pton(socket.AF_INET6, address)


def addresses(data: bytes) -> tuple[str, ...]:
    """Return the IPv6 addresses that stand one behind the other."""
    return tuple(socket.inet_ntop(socket.AF_INET6, data[at : at + 16]) for at in range(0, len(data) - 15, 16))


def search_list(data: bytes) -> tuple[str, ...]:
    """Return the domain names that stand one behind the other, and leave padding out (RFC 8415, 10; RFC 8106, 5.2).

    Raises:
        AssertionError: they are not whole.
    """
    try:
        return tuple(one for one in domains.names(data) if one)
    except ValueError as error:
        raise AssertionError(f"domains to look names up in are not whole: {error}: {data.hex(':')}") from None


def _options(data: bytes) -> Iterable[tuple[int, bytes]]:
    while len(data) >= 4:
        code, size = struct.unpack_from("!HH", data)
        yield code, data[4 : 4 + size]
        data = data[4 + size :]


def _association(data: bytes) -> Association:
    iaid, renew, rebind = struct.unpack_from("!III", data)
    inner = tuple(_options(data[12:]))
    found = []
    for code, content in inner:
        if code == IA_ADDRESS and len(content) >= 24:
            preferred, valid = struct.unpack_from("!II", content, 16)
            found.append(Leased(addresses(content[:16])[0], preferred, valid))
    return Association(iaid, renew, rebind, tuple(found), _status(inner))


def _status(options: Iterable[tuple[int, bytes]]) -> str | None:
    for code, data in options:
        if code == STATUS and len(data) >= 2:
            (number,) = struct.unpack_from("!H", data)
            return STATUSES[number] if number < len(STATUSES) else str(number)
    return None


def is_intact(one: Message6) -> bool:
    """Whether its checksum is right, or right once the sender's device will have filled it in."""
    return one.packet.checksum in (Checksum.GOOD, Checksum.PARTIAL)
