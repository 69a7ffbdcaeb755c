"""Packets as the specs about firewalls send them. Pure, of the standard library: scapy is not everywhere.

What makes packets returns an IP packet as bytes; :func:`ether` puts it on the wire. Addresses say the family. Checksums
are right unless one is asked for. :func:`parse` takes a frame apart again.
"""

from __future__ import annotations

import socket
import struct
import zlib
from collections.abc import Sequence

from conformance.topology.frames import BROADCAST, ETHERTYPE_8021Q
from conformance.topology.parsing import (
    ARP,
    ARP_REPLY,
    ARP_REQUEST,
    ECHO_REPLY,
    ECHO_REQUEST,
    FLAGS,
    FRAGMENT,
    ICMP,
    ICMPV6,
    IPV4,
    IPV6,
    NEIGHBOUR_ADVERTISEMENT,
    NEIGHBOUR_SOLICITATION,
    PREFIX,
    ROUTER_ADVERTISEMENT,
    TARGET_MAC,
    TCP,
    TIME_EXCEEDED,
    UDP,
    UNREACHABLE,
    Checksum,
    Packet,
    ones_sum,
    packed,
    parse,
    parse_ip,
    pseudo_header,
    reassemble,
)

#: RFC 2131.
DHCP_SERVER, DHCP_CLIENT = 67, 68

__all__ = [
    "ARP",
    "ARP_REPLY",
    "ARP_REQUEST",
    "DHCP_CLIENT",
    "DHCP_SERVER",
    "ECHO_REPLY",
    "ECHO_REQUEST",
    "ICMP",
    "ICMPV6",
    "IPV4",
    "IPV6",
    "NEIGHBOUR_ADVERTISEMENT",
    "NEIGHBOUR_SOLICITATION",
    "ROUTER_ADVERTISEMENT",
    "TCP",
    "TIME_EXCEEDED",
    "UDP",
    "UNREACHABLE",
    "Checksum",
    "Packet",
    "arp",
    "dhcp",
    "echo",
    "ether",
    "fragments",
    "icmp",
    "icmp_error",
    "ip",
    "neighbour_advertisement",
    "parse",
    "parse_ip",
    "reassemble",
    "router_advertisement",
    "tcp",
    "udp",
]


def ip(
    source: str,
    destination: str,
    protocol: int,
    payload: bytes,
    *,
    ttl: int = 64,
    identification: int = 0,
    dont_fragment: bool = False,
) -> bytes:
    """Return an IP packet of any protocol, of the addresses' family."""
    if ":" in source:
        return _ipv6(source, destination, protocol, payload, ttl)
    return _ipv4(source, destination, protocol, payload, ttl, identification, 0x4000 if dont_fragment else 0)


def _ipv4(
    source: str, destination: str, protocol: int, payload: bytes, ttl: int, identification: int, fragment: int
) -> bytes:
    length = 20 + len(payload)
    head = struct.pack("!BBHHHBBH", 0x45, 0, length, identification, fragment, ttl, protocol, 0)
    head += socket.inet_aton(source) + socket.inet_aton(destination)
    return head[:10] + struct.pack("!H", ones_sum(head) ^ 0xFFFF) + head[12:] + payload


def _ipv6(source: str, destination: str, protocol: int, payload: bytes, ttl: int) -> bytes:
    head = struct.pack("!IHBB", 6 << 28, len(payload), protocol, ttl)
    return head + packed(source) + packed(destination) + payload


def udp(
    source: str,
    destination: str,
    sport: int,
    dport: int,
    payload: bytes = b"",
    *,
    ttl: int = 64,
    checksum: int | None = None,
) -> bytes:
    """Return a UDP datagram; ``checksum`` stands in the place of the right one."""
    data = struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload
    if checksum is None:
        # RFC 768: one that is zero is sent as its other form.
        checksum = ones_sum(pseudo_header(source, destination, UDP, len(data)) + data) ^ 0xFFFF or 0xFFFF
    return ip(source, destination, UDP, data[:6] + struct.pack("!H", checksum) + data[8:], ttl=ttl)


def tcp(
    source: str,
    destination: str,
    sport: int,
    dport: int,
    flags: str = "S",
    payload: bytes = b"",
    *,
    seq: int = 1000,
    ack: int = 0,
    window: int = 65535,
    ttl: int = 64,
    checksum: int | None = None,
) -> bytes:
    """Return a TCP segment; ``flags`` are letters of ``FSRPAUEC``."""
    bits = sum(1 << FLAGS.index(letter) for letter in {*flags})
    modulus = 1 << 32
    data = struct.pack("!HHIIBBHHH", sport, dport, seq % modulus, ack % modulus, 5 << 4, bits, window, 0, 0) + payload
    if checksum is None:
        checksum = ones_sum(pseudo_header(source, destination, TCP, len(data)) + data) ^ 0xFFFF
    return ip(source, destination, TCP, data[:16] + struct.pack("!H", checksum) + data[18:], ttl=ttl)


def icmp(source: str, destination: str, kind: int, code: int, rest: bytes, *, ttl: int = 64) -> bytes:
    """Return a message of ICMP, or of ICMPv6: its type, its code, and what is behind the checksum."""
    data = struct.pack("!BBH", kind, code, 0) + rest
    is_six = ":" in source
    pseudo = pseudo_header(source, destination, ICMPV6, len(data)) if is_six else b""
    data = data[:2] + struct.pack("!H", ones_sum(pseudo + data) ^ 0xFFFF) + rest
    return ip(source, destination, ICMPV6 if is_six else ICMP, data, ttl=ttl)


def echo(
    source: str,
    destination: str,
    identifier: int,
    payload: bytes = b"",
    *,
    seq: int = 1,
    reply: bool = False,
    ttl: int = 64,
) -> bytes:
    """Return an ICMP echo request, or a reply."""
    kind = (ECHO_REPLY if reply else ECHO_REQUEST)[":" in source]
    return icmp(source, destination, kind, 0, struct.pack("!HH", identifier, seq) + payload, ttl=ttl)


def icmp_error(source: str, destination: str, about: bytes, kind: int, code: int = 0, *, value: int = 0) -> bytes:
    """Return an ICMP error that quotes the IP packet ``about``; ``value`` is what stands before it (an MTU, say)."""
    return icmp(source, destination, kind, code, struct.pack("!I", value) + about)


def arp(
    operation: int,
    sender_mac: str,
    sender: str,
    target: str,
    *,
    target_mac: str = "00:00:00:00:00:00",
    source_mac: str | None = None,
    destination_mac: str = BROADCAST,
    vlan: int | Sequence[int] | None = None,
    trailer: bytes = b"",
) -> bytes:
    """Return a frame with an ARP request or reply; ``trailer`` is padding behind it, where a token has room.

    ``source_mac`` is the frame's, if it is not the one that ARP tells of.
    """
    addresses = _octets(sender_mac) + socket.inet_aton(sender) + _octets(target_mac) + socket.inet_aton(target)
    data = struct.pack("!HHBBH", 1, IPV4, 6, 4, operation) + addresses + trailer
    return _frame(source_mac or sender_mac, destination_mac, ARP, data, vlan)


def neighbour_advertisement(source: str, destination: str, target: str, mac: str, token: bytes = b"") -> bytes:
    """Return the message of ICMPv6 that says which MAC address a target's address is at; overriding, unsolicited."""
    override = 0x20000000
    rest = struct.pack("!I", override) + packed(target) + _option(TARGET_MAC, _octets(mac)) + _carrier(token)
    return icmp(source, destination, NEIGHBOUR_ADVERTISEMENT, 0, rest, ttl=255)


def router_advertisement(source: str, prefix: str, token: bytes = b"", *, destination: str = "ff02::1") -> bytes:
    """Return the message of ICMPv6 that makes a default router of a link-local source, with a /64 prefix."""
    lifetime, on_link_and_autonomous = 1800, 0xC0
    information = struct.pack("!BBIII", 64, on_link_and_autonomous, 3600, 1800, 0) + packed(prefix)
    rest = struct.pack("!BBHII", 64, 0, lifetime, 0, 0) + _option(PREFIX, information) + _carrier(token)
    return icmp(source, destination, ROUTER_ADVERTISEMENT, 0, rest, ttl=255)


def dhcp(
    mac: str,
    token: bytes = b"",
    *,
    source: str = "0.0.0.0",  # noqa: S104
    destination: str = "255.255.255.255",
    reply: bool = False,
) -> bytes:
    """Return what looks like DHCP: a client's discover from port 68 to 67, or a server's offer from 67 to 68."""
    # RFC 2131, figure 1; RFC 1497's cookie; options 53 (message type) and 43 (of the vendor, for the token).
    operation, kind, ports = (2, 2, (DHCP_SERVER, DHCP_CLIENT)) if reply else (1, 1, (DHCP_CLIENT, DHCP_SERVER))
    head = struct.pack("!BBBBIHH", operation, 1, 6, 0, 0x5EED, 0, 0x8000) + bytes(16)
    head += _octets(mac) + bytes(10) + bytes(64 + 128) + bytes.fromhex("63825363")
    options = bytes([53, 1, kind]) + (bytes([43, len(token)]) + token if token else b"") + b"\xff"
    return udp(source, destination, *ports, head + options)


def fragments(packet: bytes, size: int, *, identification: int | None = None) -> list[bytes]:
    """Cut an IP packet into fragments with so many bytes of what it carries in each (a multiple of 8).

    If it is not said, what identifies them as parts of one packet follows from the packet.
    """
    if identification is None:
        identification = zlib.crc32(packet) & 0xFFFF
    is_six = packet[0] >> 4 == 6
    head, carried = packet[: 40 if is_six else 20], packet[40 if is_six else 20 :]
    cut = []
    for offset in range(0, len(carried), size):
        part, more = carried[offset : offset + size], offset + size < len(carried)
        if is_six:
            # RFC 8200, section 4.5
            part = struct.pack("!BBHI", head[6], 0, offset | more, identification) + part
            addresses = (socket.inet_ntop(socket.AF_INET6, head[8:24]), socket.inet_ntop(socket.AF_INET6, head[24:40]))
            cut.append(_ipv6(*addresses, FRAGMENT, part, head[7]))
        else:
            addresses = (socket.inet_ntoa(head[12:16]), socket.inet_ntoa(head[16:20]))
            cut.append(_ipv4(*addresses, head[9], part, head[8], identification, offset // 8 | more << 13))
    return cut


def ether(source_mac: str, destination_mac: str, packet: bytes, *, vlan: int | Sequence[int] | None = None) -> bytes:
    """Return a frame with an IP packet in it, and with VLAN tags in front, the outermost first."""
    return _frame(source_mac, destination_mac, IPV6 if packet[0] >> 4 == 6 else IPV4, packet, vlan)


def _frame(
    source_mac: str, destination_mac: str, ethertype: int, data: bytes, vlan: int | Sequence[int] | None
) -> bytes:
    ids = () if vlan is None else (vlan,) if isinstance(vlan, int) else tuple(vlan)
    tags = b"".join(struct.pack("!HH", ETHERTYPE_8021Q, one) for one in ids)
    return _octets(destination_mac) + _octets(source_mac) + tags + struct.pack("!H", ethertype) + data


def _octets(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def _option(number: int, data: bytes) -> bytes:
    """Return an option of neighbour discovery (RFC 4861, section 4.6): its length is told in units of 8 bytes."""
    length = (len(data) + 2 + 7) // 8
    return (bytes([number, length]) + data).ljust(8 * length, b"\0")


def _carrier(token: bytes) -> bytes:
    """Return an option that carries a token: one for experiments (RFC 4727), which everybody passes over."""
    return _option(253, token) if token else b""
