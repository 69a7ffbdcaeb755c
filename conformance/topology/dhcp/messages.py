"""DHCP on the wire (RFC 2131, RFC 2132, RFC 3396). Pure, of the standard library."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from conformance.topology.dhcp import domains
from conformance.topology.packets import DHCP_CLIENT, DHCP_SERVER, UDP, Checksum, parse

#: RFC 2132, 9.6, and RFC 3203.
KINDS = {
    "DISCOVER": 1,
    "OFFER": 2,
    "REQUEST": 3,
    "DECLINE": 4,
    "ACK": 5,
    "NAK": 6,
    "RELEASE": 7,
    "INFORM": 8,
    "FORCERENEW": 9,
}
#: Codes of options that the suite's own client uses.
MASK, ROUTER, DNS, NAME, DOMAIN, REQUESTED, LEASE_TIME, OVERLOAD, KIND, SERVER, PARAMETERS, MESSAGE = (
    *(1, 3, 6, 12, 15),
    *(50, 51, 52, 53, 54, 55, 56),
)
VENDOR_CLASS, CLIENT_ID, SEARCH, ROUTES, AGENT = 60, 61, 119, 121, 82

NOWHERE, EVERYBODY = "0.0.0.0", "255.255.255.255"  # noqa: S104
_REQUEST, _REPLY = 1, 2
_ETHERNET = 1
_BROADCAST = 0x8000
_COOKIE = bytes.fromhex("63825363")
_HEAD = struct.Struct("!BBBBIHH4s4s4s4s16s")
_SNAME, _FILE = 64, 128
_PAD, _END = 0, 255
#: RFC 1542, 2.1: what a relay agent may take for the least.
_LEAST = 300
_KIND_NAMES = {number: name for name, number in KINDS.items()}


@dataclass(frozen=True, slots=True)
class Message:
    """A message of DHCP, and how it came.

    Attributes:
        kind: a word of :data:`KINDS`; of an unknown one its number; "": it does not say (BOOTP).
        op: 1 of a client, 2 of a server.
        xid, secs, flags, hops: as RFC 2131 has them.
        ciaddr, yiaddr, siaddr, giaddr: addresses; 0.0.0.0 is none.
        mac: the client's MAC address (chaddr).
        options: contents by code, those of several parts joined (RFC 3396), in the order of the message.
        sname, file: what stands there, zeros at the end left out; empty if options stand there (option 52).
        source_mac, destination_mac, source, destination, sport, dport: of the frame that it came in.
        checksum: what is to be said of the checksum of UDP.
    """

    kind: str
    mac: str
    op: int = _REQUEST
    xid: int = 0
    secs: int = 0
    flags: int = 0
    hops: int = 0
    ciaddr: str = NOWHERE
    yiaddr: str = NOWHERE
    siaddr: str = NOWHERE
    giaddr: str = NOWHERE
    options: Mapping[int, bytes] = field(default_factory=dict)
    sname: bytes = b""
    file: bytes = b""
    source_mac: str = ""
    destination_mac: str = ""
    source: str = ""
    destination: str = ""
    sport: int = 0
    dport: int = 0
    checksum: Checksum = Checksum.NONE

    # -- what an option says --------------------------------------------------------------------------

    def address(self, code: int) -> str:
        """Return the address that an option has; "": it is not there, or is no address."""
        data = self.options.get(code, b"")
        return socket.inet_ntoa(data) if len(data) == 4 else ""

    def addresses(self, code: int) -> list[str]:
        """Return the addresses that an option has, in their order."""
        data = self.options.get(code, b"")
        return [socket.inet_ntoa(data[at : at + 4]) for at in range(0, len(data) - 3, 4)]

    def number(self, code: int) -> int:
        """Return the number that an option has, of however many octets.

        Raises:
            AssertionError: the option is not there.
        """
        data = self.options.get(code, b"")
        if not data:
            raise AssertionError(f"{self} has no option {code}")
        return int.from_bytes(data, "big")

    def text(self, code: int) -> str:
        """Return the text that an option has, without zeros at its end; "": it is not there."""
        return self.options.get(code, b"").rstrip(b"\0").decode("utf-8", "replace")

    def routes(self) -> list[tuple[str, str]]:
        """Return the classless routes (RFC 3442) as destination and gateway: ``("10.0.0.0/8", "10.9.0.1")``.

        Raises:
            AssertionError: the option is not of whole routes.
        """
        data, found = self.options.get(ROUTES, b""), []
        while data:
            size = (data[0] + 7) // 8
            if data[0] > 32 or len(data) < size + 5:
                raise AssertionError(f"{self}: option {ROUTES} is not of whole routes: {self.options[ROUTES].hex(':')}")
            destination = socket.inet_ntoa(data[1 : 1 + size].ljust(4, b"\0"))
            found.append((f"{destination}/{data[0]}", socket.inet_ntoa(data[1 + size : 5 + size])))
            data = data[5 + size :]
        return found

    def search(self) -> list[str]:
        """Return the domains that names are looked up in (RFC 3397).

        Raises:
            AssertionError: the option is not of whole names.
        """
        data = self.options.get(SEARCH, b"")
        try:
            return domains.names(data)
        except ValueError as error:
            raise AssertionError(f"{self}: option {SEARCH} is not of whole names: {error}: {data.hex(':')}") from None

    @property
    def lease_time(self) -> int:
        """Seconds that the lease is for.

        Raises:
            AssertionError: nothing is said of it.
        """
        return self.number(LEASE_TIME)

    @property
    def server(self) -> str:
        """The server's address, as it says itself (option 54)."""
        return self.address(SERVER)

    @property
    def broadcast(self) -> bool:
        """Whether the client asks for answers to everybody."""
        return bool(self.flags & _BROADCAST)

    @property
    def checksum_ok(self) -> bool | None:
        """Whether the checksum of UDP is right as it is, with nothing left to a device; None: there is none."""
        return None if self.checksum is Checksum.NONE else self.checksum is Checksum.GOOD

    def __str__(self) -> str:
        """Give kind, client and address, as in ``ACK to 02:00:00:00:00:01 of 10.9.0.100``."""
        address = self.yiaddr if self.op == _REPLY else self.address(REQUESTED) or self.ciaddr
        words = f"{self.kind or 'BOOTP'} {'to' if self.op == _REPLY else 'of'} {self.mac}"
        return words + (f" {'of' if self.op == _REPLY else 'for'} {address}" if address not in ("", NOWHERE) else "")


def payload(message: Message) -> bytes:
    """Return what goes into UDP; the message's kind goes before its options."""
    head = _HEAD.pack(
        message.op,
        _ETHERNET,
        6,
        message.hops,
        message.xid,
        message.secs,
        message.flags,
        *(socket.inet_aton(one) for one in (message.ciaddr, message.yiaddr, message.siaddr, message.giaddr)),
        bytes.fromhex(message.mac.replace(":", "")),
    )
    first = [(KIND, bytes([KINDS[message.kind]]))] if message.kind else []
    rest = [(code, data) for code, data in message.options.items() if code != KIND]
    text = head + message.sname.ljust(_SNAME, b"\0") + message.file.ljust(_FILE, b"\0") + _COOKIE
    return (text + _encoded([*first, *rest]) + bytes([_END])).ljust(_LEAST, b"\0")


def read(data: bytes) -> Message | None:
    """Return the message that UDP carries; None: it carries none. What is cut off is left out."""
    fixed = _HEAD.size + _SNAME + _FILE
    if len(data) < fixed + len(_COOKIE) or data[fixed : fixed + 4] != _COOKIE:
        return None
    op, hardware, length, hops, xid, secs, flags, ciaddr, yiaddr, siaddr, giaddr, chaddr = _HEAD.unpack_from(data)
    sname, file = data[_HEAD.size : _HEAD.size + _SNAME], data[_HEAD.size + _SNAME : fixed]
    options: dict[int, bytes] = {}
    _take(options, data[fixed + 4 :])
    overload = options.get(OVERLOAD, b"\0")[0:1]
    # RFC 3396, 5: one after the other, the file first.
    if overload in (b"\1", b"\3"):
        _take(options, file)
        file = b""
    if overload in (b"\2", b"\3"):
        _take(options, sname)
        sname = b""
    said = options.get(KIND, b"")
    return Message(
        kind=_KIND_NAMES.get(said[0], str(said[0])) if said else "",
        mac=chaddr[:6].hex(":") if (hardware, length) == (_ETHERNET, 6) else f"{hardware}-{chaddr[:length].hex(':')}",
        op=op,
        xid=xid,
        secs=secs,
        flags=flags,
        hops=hops,
        ciaddr=socket.inet_ntoa(ciaddr),
        yiaddr=socket.inet_ntoa(yiaddr),
        siaddr=socket.inet_ntoa(siaddr),
        giaddr=socket.inet_ntoa(giaddr),
        options=options,
        sname=sname.rstrip(b"\0"),
        file=file.rstrip(b"\0"),
    )


def arrived(frame: bytes) -> Message | None:
    """Return the message that a frame brings, with all that is to be said of the frame; None: it brings none."""
    packet = parse(frame)
    ports = (DHCP_CLIENT, DHCP_SERVER)
    if packet.family != 4 or packet.protocol != UDP or packet.sport not in ports or packet.dport not in ports:
        return None
    message = read(packet.payload)
    if message is None or packet.sport is None or packet.dport is None:
        return None
    return replace(
        message,
        source_mac=packet.source_mac,
        destination_mac=packet.destination_mac,
        source=packet.source,
        destination=packet.destination,
        sport=packet.sport,
        dport=packet.dport,
        checksum=packet.checksum,
    )


def _encoded(options: Iterable[tuple[int, bytes]]) -> bytes:
    """Return options one behind the other; one that is too long for its length is split (RFC 3396)."""
    parts = []
    for code, data in options:
        for at in range(0, len(data) or 1, 255):
            part = data[at : at + 255]
            parts.append(bytes([code, len(part)]) + part)
    return b"".join(parts)


def _take(options: dict[int, bytes], data: bytes) -> None:
    """Add the options of a field to those of the fields before it."""
    while data and data[0] != _END:
        if data[0] == _PAD:
            data = data[1:]
            continue
        if len(data) < 2 or len(data) < 2 + data[1]:
            return
        options[data[0]] = options.get(data[0], b"") + data[2 : 2 + data[1]]
        data = data[2 + data[1] :]
