"""Packets as the specs about firewalls send them, against scapy, which shares no code with them."""

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as some
from scapy.layers.dhcp import BOOTP
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_RA,
    ICMPv6NDOptPrefixInfo,
    IPv6,
    IPv6ExtHdrFragment,
)
from scapy.layers.l2 import ARP, Dot1Q, Ether

from conformance.topology import packets
from conformance.topology.packets import Checksum

FOUR = ("10.0.1.2", "10.0.2.2")
SIX = ("fd00:0:0:1::2", "fd00:0:0:2::2")
MACS = ("02:00:00:00:00:0a", "02:00:00:00:00:0b")
TOKEN = b"refnet-00000001-0123456789abcdef"

families = pytest.mark.parametrize("ends", [FOUR, SIX], ids=["IPv4", "IPv6"])


def by_scapy(packet):
    return (IPv6 if packet[0] >> 4 == 6 else IP)(packet)


def rebuilt(packet):
    """Have scapy compute all checksums and lengths anew."""
    read = by_scapy(packet)
    for layer in (IP, UDP, TCP, ICMP, ICMPv6EchoRequest, ICMPv6ND_NA, ICMPv6ND_RA):
        if layer in read:
            for name in ("chksum", "cksum"):
                if name in [field.name for field in read[layer].fields_desc]:
                    delattr(read[layer], name)
    return bytes(read)


def parse(packet, **how):
    return packets.parse(packets.ether(*MACS, packet, **how))


@families
@given(payload=some.binary(max_size=600))
def test_udp_is_as_scapy_would_make_it(ends, payload):
    packet = packets.udp(*ends, 4000, 53, payload)
    assert rebuilt(packet) == packet
    seen = parse(packet)
    assert (seen.source, seen.destination, seen.sport, seen.dport, seen.payload) == (*ends, 4000, 53, payload)
    assert (seen.protocol, seen.checksum, seen.header_valid, seen.ttl) == (packets.UDP, Checksum.GOOD, True, 64)


@families
@given(flags=some.text("FSRPAUEC", max_size=8), payload=some.binary(max_size=60), seq=some.integers(-5, 1 << 33))
def test_tcp_is_as_scapy_would_make_it(ends, flags, payload, seq):
    packet = packets.tcp(*ends, 4000, 22, flags, payload, seq=seq, ack=7, window=99, ttl=3)
    assert rebuilt(packet) == packet
    assert set(str(by_scapy(packet)[TCP].flags)) == set(flags)
    seen = parse(packet)
    assert set(seen.flags) == set(flags)
    assert (seen.seq, seen.ack, seen.window, seen.ttl) == (seq % (1 << 32), 7, 99, 3)
    assert (seen.payload, seen.checksum) == (payload, Checksum.GOOD)


@families
def test_an_echo_is_as_scapy_would_make_it(ends):
    packet = packets.echo(*ends, 77, TOKEN, seq=5)
    assert rebuilt(packet) == packet
    seen = parse(packet)
    assert (seen.sport, seen.dport, seen.seq, seen.payload) == (77, 77, 5, TOKEN)
    assert seen.icmp_type == packets.ECHO_REQUEST[":" in ends[0]]
    assert parse(packets.echo(*ends, 77, reply=True)).icmp_type == packets.ECHO_REPLY[":" in ends[0]]


@families
def test_an_error_quotes_what_it_is_about(ends):
    about = packets.udp(*ends, 4000, 53, TOKEN)
    kind = packets.UNREACHABLE[":" in ends[0]]
    seen = parse(packets.icmp_error(ends[1], ends[0], about, kind, 3))
    assert (seen.icmp_type, seen.icmp_code, seen.checksum) == (kind, 3, Checksum.GOOD)
    quoted = seen.quoted
    assert (quoted.source, quoted.destination, quoted.sport, quoted.dport) == (*ends, 4000, 53)
    assert quoted.payload == TOKEN


@pytest.mark.parametrize("make", [packets.udp, packets.tcp])
def test_the_ports_are_read_from_as_little_as_an_error_has_to_quote(make):
    about = make(*FOUR, 4000, 53)[:28]
    quoted = parse(packets.icmp_error(FOUR[1], FOUR[0], about, 3, 3)).quoted
    assert (quoted.sport, quoted.dport, quoted.checksum) == (
        4000,
        53,
        Checksum.NONE if make is packets.tcp else Checksum.GOOD,
    )


@families
def test_another_protocol_is_payload(ends):
    seen = parse(packets.ip(*ends, 253, TOKEN))
    assert (seen.protocol, seen.payload, seen.checksum, seen.sport) == (253, TOKEN, Checksum.NONE, None)


def test_arp_is_as_scapy_reads_it():
    frame = packets.arp(packets.ARP_REPLY, MACS[0], FOUR[0], FOUR[1], target_mac=MACS[1], trailer=TOKEN, vlan=[5, 7])
    read = Ether(frame)
    assert [tag.vlan for tag in (read[Dot1Q], read[Dot1Q].payload)] == [5, 7]
    assert (read[ARP].op, read[ARP].hwsrc, read[ARP].psrc, read[ARP].hwdst, read[ARP].pdst) == (
        *(2, MACS[0], FOUR[0]),
        *(MACS[1], FOUR[1]),
    )
    seen = packets.parse(frame)
    assert (seen.arp, seen.sender_mac, seen.source, seen.target_mac, seen.destination, seen.vlans) == (
        *(2, MACS[0], FOUR[0], MACS[1], FOUR[1]),
        (5, 7),
    )
    assert seen.payload == TOKEN
    assert packets.parse(packets.arp(1, MACS[0], *FOUR, source_mac=MACS[1])).source_mac == MACS[1]


def test_a_neighbour_advertisement_is_as_scapy_reads_it():
    packet = packets.neighbour_advertisement(SIX[0], SIX[1], SIX[0], MACS[0], TOKEN)
    assert rebuilt(packet) == packet
    read = by_scapy(packet)
    assert (read[ICMPv6ND_NA].tgt, read[ICMPv6ND_NA].O, read.hlim) == (SIX[0], 1, 255)
    assert parse(packet).target_mac == MACS[0]
    assert TOKEN in packet


def test_a_router_advertisement_is_as_scapy_reads_it():
    packet = packets.router_advertisement("fe80::1", "2001:db8::", TOKEN)
    assert rebuilt(packet) == packet
    read = by_scapy(packet)
    assert (read[ICMPv6ND_RA].routerlifetime, read.hlim) == (1800, 255)
    prefix = read[ICMPv6NDOptPrefixInfo]
    assert (prefix.prefix, prefix.prefixlen, prefix.A, prefix.L) == ("2001:db8::", 64, 1, 1)
    assert TOKEN in packet


@pytest.mark.parametrize("reply", [False, True])
def test_dhcp_is_as_scapy_reads_it(reply):
    packet = packets.dhcp(MACS[0], TOKEN, reply=reply)
    assert rebuilt(packet) == packet
    read = by_scapy(packet)
    assert (read[UDP].sport, read[UDP].dport) == ((67, 68) if reply else (68, 67))
    assert read[BOOTP].chaddr[:6] == bytes.fromhex(MACS[0].replace(":", ""))
    assert dict(option[:2] for option in read["DHCP options"].options if isinstance(option, tuple))["message-type"] == (
        2 if reply else 1
    )
    assert TOKEN in packet


@families
@given(size=some.integers(1, 40).map(lambda number: 8 * number), length=some.integers(0, 700))
def test_fragments_can_be_put_together_again(ends, size, length):
    whole = packets.udp(*ends, 4000, 53, bytes(index % 251 for index in range(length)))
    cut = packets.fragments(whole, size)
    seen = [parse(one) for one in cut]
    assert all(one.is_fragment for one in seen) or len(cut) == 1
    assert all(one.protocol == packets.UDP for one in seen)
    (again,) = packets.reassemble(reversed(seen))
    wanted = parse(whole)
    assert (again.payload, again.checksum, again.sport) == (wanted.payload, Checksum.GOOD, 4000)
    if len(cut) > 1:
        assert packets.reassemble(seen[1:]) == seen[1:], "what has a gap is left as it is"
        read = [by_scapy(one) for one in cut]
        if ends is SIX:
            assert [one[IPv6ExtHdrFragment].offset * 8 for one in read] == [one.fragment_offset for one in seen]
        else:
            assert [one.frag * 8 for one in read] == [one.fragment_offset for one in seen]


@families
@pytest.mark.parametrize("make", [packets.udp, packets.tcp])
def test_a_checksum_is_judged(ends, make):
    good = make(*ends, 4000, 53, **({"payload": TOKEN} if make is packets.udp else {}))
    assert parse(good).checksum is Checksum.GOOD
    assert parse(make(*ends, 4000, 53, checksum=0x1234)).checksum is Checksum.BAD
    # What a kernel leaves in its place for the device to go on with: the sum of the pseudo header.
    data = good[40:] if ends is SIX else good[20:]
    number = packets.UDP if make is packets.udp else packets.TCP
    family = socket.AF_INET6 if ends is SIX else socket.AF_INET
    addresses = b"".join(socket.inet_pton(family, one) for one in ends)
    words = struct.unpack(f"!{len(addresses) // 2}H", addresses)
    total = sum(words) + number + len(data)
    partial = (total & 0xFFFF) + (total >> 16)
    payload = {"payload": TOKEN} if make is packets.udp else {}
    assert parse(make(*ends, 4000, 53, checksum=partial, **payload)).checksum is Checksum.PARTIAL


def test_udp_without_a_checksum_is_valid_over_ipv4_only():
    assert parse(packets.udp(*FOUR, 1, 2, checksum=0)).checksum is Checksum.NONE
    assert parse(packets.udp(*SIX, 1, 2, checksum=0)).checksum is Checksum.BAD


def test_padding_of_the_frame_is_none_of_the_packet():
    frame = packets.ether(*MACS, packets.udp(*FOUR, 1, 2, b"short")) + bytes(13)
    assert (packets.parse(frame).payload, packets.parse(frame).checksum) == (b"short", Checksum.GOOD)


@given(some.binary(max_size=120), some.sampled_from([0x0800, 0x86DD, 0x0806, 0x8100, 0x1234]))
def test_what_is_no_packet_is_no_error(data, ethertype):
    packets.parse(data)
    packets.parse(bytes(12) + struct.pack("!H", ethertype) + data)
    for head in (b"\x45", b"\x60"):
        str(packets.parse(bytes(12) + struct.pack("!H", ethertype) + head + data))


@families
def test_a_packet_cut_short_anywhere_is_no_error(ends):
    inner = packets.tcp(*ends, 4000, 53, "SA", TOKEN)
    whole = packets.ether(*MACS, packets.icmp_error(ends[1], ends[0], inner, packets.UNREACHABLE[":" in ends[0]]))
    for length in range(len(whole)):
        packets.parse(whole[:length])


def test_packets_can_be_read_by_people():
    assert str(parse(packets.udp(*FOUR, 4000, 53), vlan=5)) == "vlan 5 10.0.1.2 > 10.0.2.2 udp 4000 > 53"
    assert str(parse(packets.tcp(*FOUR, 4000, 53, "SA"))) == "10.0.1.2 > 10.0.2.2 tcp 4000 > 53 flags SA"
    about = packets.udp(*SIX, 4000, 53)
    assert str(parse(packets.icmp_error(SIX[1], SIX[0], about, 1, 4))) == (
        "fd00:0:0:2::2 > fd00:0:0:1::2 icmpv6 type 1 code 4 about [fd00:0:0:1::2 > fd00:0:0:2::2 udp 4000 > 53]"
    )
    assert str(packets.parse(packets.arp(1, MACS[0], *FOUR))) == f"10.0.1.2 > 10.0.2.2 arp 1 ({MACS[0]})"
