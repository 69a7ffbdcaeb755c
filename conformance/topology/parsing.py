"""What is in a packet that has arrived. Pure, of the standard library."""

from __future__ import annotations

import enum
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from conformance.topology.frames import ETHERTYPE_8021Q

IPV4, IPV6, ARP = 0x0800, 0x86DD, 0x0806
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
#: IPv6's extension headers: hop-by-hop options, routing, fragment, destination options.
FRAGMENT = 44
_EXTENSIONS = (0, 43, FRAGMENT, 60)
#: ICMP types by what they are, as (IPv4, IPv6): RFC 792, RFC 4443, RFC 4861.
ECHO_REQUEST, ECHO_REPLY = (8, 128), (0, 129)
UNREACHABLE, TIME_EXCEEDED = (3, 1), (11, 3)
_ERRORS = ((3, 4, 5, 11, 12), (1, 2, 3, 4))
ROUTER_ADVERTISEMENT, NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT = 134, 135, 136
ARP_REQUEST, ARP_REPLY = 1, 2
FLAGS = "FSRPAUEC"
#: Options of neighbour discovery.
SOURCE_MAC, TARGET_MAC, PREFIX = 1, 2, 3
_TAGS = (ETHERTYPE_8021Q, 0x88A8)
_NOBODY = "00:00:00:00:00:00"


class Checksum(str, enum.Enum):
    """What is to be said of the checksum of UDP, TCP or ICMP."""

    GOOD = "good"
    BAD = "bad"
    #: Only the sum of the pseudo header is in its place: the device was to do the rest (checksum offload).
    PARTIAL = "partial"
    #: UDP over IPv4 may go without (zero); a fragment cannot be judged; other protocols have none.
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Packet:
    """What is in a frame. What the frame has no such thing of is None, or empty.

    Attributes:
        source_mac, destination_mac, ethertype: of the frame.
        vlans: the ids of its VLAN tags, from the outside to the inside.
        family: 4 or 6; of ARP: 4.
        source, destination: addresses; of ARP: the sender's and the target's.
        protocol: its number, behind IPv6's extension headers; the protocol of a fragment is that of the whole.
        ttl: time to live, or hop limit.
        identification, fragment_offset, more_fragments: of a fragment, the offset in bytes.
        sport, dport: of UDP and TCP; of an ICMP echo both are its identifier.
        flags: of TCP, letters of ``FSRPAUEC``.
        seq, ack, window: of TCP; ``seq`` of an ICMP echo too.
        icmp_type, icmp_code: of ICMP, ICMPv6. arp: the operation of ARP.
        payload: what is behind the last header that is understood.
        carried: all that IP carries, headers of UDP, TCP and ICMP included.
        header_valid: whether IPv4's own checksum is right.
        checksum: see :class:`Checksum`.
        quoted: of an ICMP error, the packet that it is about, as far as it is quoted.
        sender_mac, target_mac: what ARP, or an option of a neighbour's message, says.
    """

    source_mac: str
    destination_mac: str
    ethertype: int
    vlans: tuple[int, ...] = ()
    family: int | None = None
    source: str = ""
    destination: str = ""
    protocol: int | None = None
    ttl: int | None = None
    identification: int | None = None
    fragment_offset: int = 0
    more_fragments: bool = False
    sport: int | None = None
    dport: int | None = None
    flags: str = ""
    seq: int | None = None
    ack: int | None = None
    window: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None
    arp: int | None = None
    payload: bytes = b""
    carried: bytes = field(default=b"", repr=False)
    header_valid: bool = True
    checksum: Checksum = Checksum.NONE
    quoted: Packet | None = None
    sender_mac: str = ""
    target_mac: str = ""

    @property
    def is_fragment(self) -> bool:
        """Whether it is a part of a packet."""
        return self.more_fragments or self.fragment_offset > 0

    def __str__(self) -> str:
        """Say in one line what it is, as in ``10.0.1.2 > 10.0.2.2 udp 4000 > 53``."""
        tags = "".join(f"vlan {vlan} " for vlan in self.vlans)
        if self.family is None:
            return f"{tags}{self.source_mac} > {self.destination_mac} type 0x{self.ethertype:04x}"
        what = {ICMP: "icmp", ICMPV6: "icmpv6", TCP: "tcp", UDP: "udp"}.get(
            self.protocol or 0, f"protocol {self.protocol}"
        )
        if self.arp is not None:
            what = f"arp {self.arp} ({self.sender_mac})"
        elif self.icmp_type is not None:
            what += f" type {self.icmp_type} code {self.icmp_code}"
        elif self.sport is not None:
            what += f" {self.sport} > {self.dport}{f' flags {self.flags}' if self.protocol == TCP else ''}"
        if self.is_fragment:
            what += f" (fragment at {self.fragment_offset})"
        about = f" about [{self.quoted}]" if self.quoted else ""
        return f"{tags}{self.source} > {self.destination} {what}{about}"


def packed(address: str) -> bytes:
    """Return an address of either family as bytes."""
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def pseudo_header(source: str, destination: str, protocol: int, length: int) -> bytes:
    """Return what UDP, TCP and ICMPv6 count into their checksums beside themselves (RFC 768, RFC 8200)."""
    addresses = b"".join(map(packed, (source, destination)))
    return addresses + struct.pack("!IHBB", length, 0, 0, protocol)


def ones_sum(data: bytes) -> int:
    """Return the ones' complement sum of RFC 1071."""
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def parse(frame: bytes) -> Packet:
    """Take a frame apart, as far as it goes: never an error, what is cut off or unknown is payload."""
    if len(frame) < 14:
        return Packet("", "", 0, payload=frame)
    source_mac, destination_mac = frame[6:12].hex(":"), frame[:6].hex(":")
    (ethertype,), data, vlans = struct.unpack_from("!H", frame, 12), frame[14:], []
    while ethertype in _TAGS and len(data) >= 4:
        tci, ethertype = struct.unpack_from("!HH", data)
        vlans.append(tci & 0xFFF)
        data = data[4:]
    packet = Packet(source_mac, destination_mac, ethertype, tuple(vlans), payload=data)
    if ethertype == ARP and len(data) >= 28:
        return _parse_arp(packet, data)
    if ethertype in (IPV4, IPV6):
        return _parse_ip(packet, data)
    return packet


def parse_ip(packet: bytes) -> Packet:
    """Take an IP packet apart that has no frame around it; its MAC addresses are zeros."""
    ethertype = IPV6 if packet[:1] and packet[0] >> 4 == 6 else IPV4
    return parse(bytes(12) + struct.pack("!H", ethertype) + packet)


def _parse_arp(packet: Packet, data: bytes) -> Packet:
    return replace(
        packet,
        family=4,
        arp=struct.unpack_from("!H", data, 6)[0],
        sender_mac=data[8:14].hex(":"),
        source=socket.inet_ntoa(data[14:18]),
        target_mac=data[18:24].hex(":"),
        destination=socket.inet_ntoa(data[24:28]),
        payload=data[28:],
    )


def _parse_ip(packet: Packet, data: bytes) -> Packet:
    if len(data) >= 20 and data[0] >> 4 == 4:
        length, identification, fragment, ttl, protocol = struct.unpack_from("!2xHHHBB", data)
        size = 4 * (data[0] & 0xF)
        packet = replace(
            packet,
            family=4,
            source=socket.inet_ntoa(data[12:16]),
            destination=socket.inet_ntoa(data[16:20]),
            protocol=protocol,
            ttl=ttl,
            identification=identification,
            fragment_offset=8 * (fragment & 0x1FFF),
            more_fragments=bool(fragment & 0x2000),
            header_valid=ones_sum(data[:size]) == 0xFFFF,
            # What is behind is Ethernet's padding; a quotation may be shorter than what it quotes.
            payload=data[size:length],
        )
        return _parse_carried(packet, length - size)
    if len(data) >= 40 and data[0] >> 4 == 6:
        length, protocol, ttl = struct.unpack_from("!4xHBB", data)
        packet = replace(
            packet,
            family=6,
            source=socket.inet_ntop(socket.AF_INET6, data[8:24]),
            destination=socket.inet_ntop(socket.AF_INET6, data[24:40]),
            protocol=protocol,
            ttl=ttl,
            payload=data[40 : 40 + length],
        )
        return _parse_extensions(packet, length)
    return packet


def _parse_extensions(packet: Packet, length: int) -> Packet:
    while packet.protocol in _EXTENSIONS and len(packet.payload) >= 8:
        data = packet.payload
        following, size = data[0], 8 * (data[1] + 1)
        if packet.protocol == FRAGMENT:
            place, identification = struct.unpack_from("!HI", data, 2)
            packet = replace(
                packet, identification=identification, fragment_offset=place & 0xFFF8, more_fragments=bool(place & 1)
            )
            size = 8
        packet = replace(packet, protocol=following, payload=data[size:])
        length -= size
        if packet.fragment_offset:
            break
    return _parse_carried(packet, length)


def _parse_carried(packet: Packet, length: int) -> Packet:
    """Take apart what IP carries, which is ``length`` bytes long where it is not cut off."""
    data, protocol = packet.payload, packet.protocol
    packet = replace(packet, carried=data)
    # Behind a fragment's first part there are no headers.
    if packet.fragment_offset or len(data) < {UDP: 8, TCP: 20, ICMP: 4, ICMPV6: 4}.get(protocol or 0, 1 << 16):
        # An error quotes as little as 8 bytes of what it is about (RFC 792): the ports.
        if protocol == TCP and len(data) >= 8 and not packet.fragment_offset:
            sport, dport, seq = struct.unpack_from("!HHI", data)
            return replace(packet, sport=sport, dport=dport, seq=seq, payload=data[8:])
        return packet
    packet = replace(packet, checksum=_judge(packet, data, length))
    if protocol == UDP:
        sport, dport = struct.unpack_from("!HH", data)
        return replace(packet, sport=sport, dport=dport, payload=data[8:])
    if protocol == TCP:
        sport, dport, seq, ack, offset, bits, window = struct.unpack_from("!HHIIBBH", data)
        flags = "".join(letter for at, letter in enumerate(FLAGS) if bits >> at & 1)
        behind = data[4 * (offset >> 4) :]
        return replace(packet, sport=sport, dport=dport, seq=seq, ack=ack, flags=flags, window=window, payload=behind)
    return _parse_icmp(packet, data)


def _parse_icmp(packet: Packet, data: bytes) -> Packet:
    is_six = packet.protocol == ICMPV6
    kind = data[0]
    packet = replace(packet, icmp_type=kind, icmp_code=data[1], payload=data[4:])
    if kind in (ECHO_REQUEST[is_six], ECHO_REPLY[is_six]) and len(data) >= 8:
        identifier, seq = struct.unpack_from("!HH", data, 4)
        return replace(packet, sport=identifier, dport=identifier, seq=seq, payload=data[8:])
    if kind in _ERRORS[is_six] and len(data) >= 8:
        about = _parse_ip(Packet(_NOBODY, _NOBODY, packet.ethertype), data[8:])
        return replace(packet, quoted=about if about.family else None, payload=data[8:])
    if is_six and kind in (NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT):
        options = data[24:]
        while len(options) >= 8 and options[1]:
            if options[0] == SOURCE_MAC:
                packet = replace(packet, sender_mac=options[2:8].hex(":"))
            if options[0] == TARGET_MAC:
                packet = replace(packet, target_mac=options[2:8].hex(":"))
            options = options[8 * options[1] :]
    return packet


def _judge(packet: Packet, data: bytes, length: int) -> Checksum:
    protocol = packet.protocol or 0
    if packet.is_fragment or len(data) < length:
        return Checksum.NONE
    (found,) = struct.unpack_from("!H", data, {UDP: 6, TCP: 16}.get(protocol, 2))
    if protocol == UDP and found == 0:
        return Checksum.NONE if packet.family == 4 else Checksum.BAD
    pseudo = b"" if protocol == ICMP else pseudo_header(packet.source, packet.destination, protocol, len(data))
    if ones_sum(pseudo + data) == 0xFFFF:
        return Checksum.GOOD
    return Checksum.PARTIAL if pseudo and found == ones_sum(pseudo) else Checksum.BAD


def reassemble(packets: Iterable[Packet]) -> list[Packet]:
    """Put fragments together again; what is none, and what has gaps, is returned as it is."""
    whole = []
    parts: dict[tuple[object, ...], list[Packet]] = {}
    for packet in packets:
        if packet.is_fragment:
            key = (packet.source, packet.destination, packet.protocol, packet.identification)
            parts.setdefault(key, []).append(packet)
        else:
            whole.append(packet)
    for group in parts.values():
        group.sort(key=lambda one: one.fragment_offset)
        ends = [one.fragment_offset + len(one.carried) for one in group]
        if [one.fragment_offset for one in group] != [0, *ends[:-1]] or group[-1].more_fragments:
            whole += group
            continue
        carried = b"".join(one.carried for one in group)
        first = replace(group[0], more_fragments=False, payload=carried)
        whole.append(_parse_carried(first, len(carried)))
    return whole
