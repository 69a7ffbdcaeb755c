"""DHCP on the wire as the suite's clients speak it, against scapy and against what real programs have sent."""

import pytest
from dhcp_frames import FRAMES
from hypothesis import given
from hypothesis import strategies as some
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from conformance.topology import packets
from conformance.topology.dhcp import domains, messages
from conformance.topology.dhcp.messages import KINDS, Message
from conformance.topology.packets import Checksum

MAC = "02:00:00:00:00:0a"
addresses = some.ip_addresses(v=4).map(str)
codes = some.integers(1, 254).filter(lambda code: code not in (messages.OVERLOAD, messages.KIND))
hosts = some.builds(
    Message,
    kind=some.sampled_from([*KINDS]),
    mac=some.binary(min_size=6, max_size=6).map(lambda octets: octets.hex(":")),
    op=some.sampled_from([1, 2]),
    xid=some.integers(0, 2**32 - 1),
    secs=some.integers(0, 0xFFFF),
    flags=some.sampled_from([0, 0x8000]),
    hops=some.integers(0, 255),
    ciaddr=addresses,
    yiaddr=addresses,
    siaddr=addresses,
    giaddr=addresses,
    options=some.dictionaries(codes, some.binary(max_size=700), max_size=5),
)


def framed(payload, sport=67, dport=68, **how):
    return packets.ether(MAC, MAC, packets.udp("10.9.0.1", "10.9.0.9", sport, dport, payload, **how))


def said(message):
    """Return a message without how it came, and its options without its kind, which stands among them."""
    options = {code: data for code, data in message.options.items() if code != messages.KIND}
    fields = [getattr(message, name) for name in Message.__slots__[:11] if name != "options"]
    return fields, options


@given(message=hosts)
def test_what_is_written_is_read(message):
    found = messages.read(messages.payload(message))
    assert said(found) == said(message)
    assert found.options[messages.KIND] == bytes([KINDS[message.kind]])


@given(message=hosts)
def test_scapy_reads_it_the_same_way(message):
    read = BOOTP(messages.payload(message))
    assert (read.op, read.xid, read.secs, int(read.flags), read.hops) == (
        *(message.op, message.xid, message.secs, message.flags, message.hops),
    )
    assert (read.ciaddr, read.yiaddr, read.siaddr, read.giaddr) == (
        *(message.ciaddr, message.yiaddr, message.siaddr, message.giaddr),
    )
    assert read.chaddr[:6].hex(":") == message.mac
    assert ("message-type", KINDS[message.kind]) in read[DHCP].options
    assert len(bytes(read)) >= 300, "RFC 1542, 2.1: what relay agents may take for the least"


@given(data=some.binary(max_size=400))
def test_rubbish_is_no_message_and_no_error(data):
    messages.read(data)
    messages.read(messages.payload(Message("DISCOVER", MAC))[:240] + data)
    messages.arrived(framed(data))
    messages.arrived(data)


def test_a_real_offer_is_read_with_what_stands_in_the_file_field():
    offer = messages.arrived(FRAMES["dnsmasq-offer"])
    assert (offer.kind, offer.op, offer.mac, offer.yiaddr) == ("OFFER", 2, "02:00:00:00:00:0b", "10.9.0.104")
    assert (offer.source, offer.destination, offer.sport, offer.dport) == ("10.9.0.1", "10.9.0.104", 67, 68)
    assert (offer.destination_mac, offer.server) == ("02:00:00:00:00:0b", "10.9.0.1")
    assert offer.options[messages.OVERLOAD] == b"\1"
    assert (offer.options[224], offer.options[225], offer.options[226]) == (b"x" * 120, b"y" * 110, b"z" * 50)
    assert (offer.file, offer.sname) == (b"", b"")
    assert (offer.lease_time, offer.number(58), offer.number(26)) == (120, 60, 1450)
    assert (offer.address(messages.MASK), offer.addresses(messages.DNS)) == ("255.255.255.0", ["10.9.0.1"])
    assert offer.text(messages.DOMAIN) == "x.example"
    assert offer.search() == ["x.example", "y.x.example"]
    assert offer.routes() == [("10.0.0.0/8", "10.9.0.1"), ("0.0.0.0/0", "10.9.0.1")]
    assert (offer.checksum, offer.checksum_ok) == (Checksum.PARTIAL, False)
    assert str(offer) == "OFFER to 02:00:00:00:00:0b of 10.9.0.104"


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("dhclient-discover", "DISCOVER", {12: b"web", 55: b"\x01\x1c\x03\x0f\x06w\x0c\x1a*y"}),
        ("dhclient-request", "REQUEST", {50: b"\x0a\x09\x00\x67", 54: b"\x0a\x09\x00\x01", 12: b"web"}),
        ("udhcpc-discover", "DISCOVER", {57: b"\x02@", 60: b"udhcp 1.35.0", 61: b"\x01\x02\0\0\0\0\x0c"}),
        ("udhcpc-request", "REQUEST", {50: b"\x0a\x09\x00\x69", 61: b"\x01\x02\0\0\0\0\x0c"}),
    ],
)
def test_real_clients_messages_are_read(name, kind, expected):
    frame = FRAMES[name]
    found = messages.arrived(frame)
    assert (found.kind, found.op, found.checksum_ok, found.broadcast) == (kind, 1, True, False)
    assert (found.source, found.destination, found.sport, found.dport) == ("0.0.0.0", "255.255.255.255", 68, 67)
    assert {code: found.options.get(code) for code in expected} == expected
    assert found.xid == Ether(frame)[BOOTP].xid
    # What is read is written as these programs wrote it, but for the padding.
    assert messages.payload(found) == bytes(Ether(frame)[UDP].payload)


def test_a_long_option_is_split_and_joined_again():
    written = messages.payload(Message("ACK", MAC, op=2, options={224: bytes(range(256)) * 2}))
    assert written.count(bytes([224, 255])) == 2
    assert messages.read(written).options[224] == bytes(range(256)) * 2


def test_options_of_three_fields_are_joined_in_their_order():
    head = messages.payload(Message("OFFER", MAC, op=2))
    parts = {"file": bytes([224, 2]) + b"bb\xff", "sname": bytes([224, 2]) + b"cc\xff"}
    text = head[:44] + parts["sname"].ljust(64, b"\0") + parts["file"].ljust(128, b"\0") + head[236:240]
    found = messages.read(text + bytes([52, 1, 3, 224, 2]) + b"aa" + bytes([53, 1, 2, 255]))
    assert found.options[224] == b"aabbcc"
    assert (found.kind, found.sname, found.file) == ("OFFER", b"", b"")


def test_what_stands_behind_the_end_and_what_is_cut_off_is_left_out():
    head = messages.payload(Message("", MAC))[:240]
    found = messages.read(head + bytes([0, 1, 4, 255, 255, 255, 0, 255, 3, 4, 1, 2, 3, 4]))
    assert dict(found.options) == {1: b"\xff\xff\xff\0"}
    assert found.kind == ""
    assert dict(messages.read(head + bytes([3, 8, 1, 2, 3])).options) == {}


@pytest.mark.parametrize(
    ("sport", "dport", "is_one"), [(67, 68, True), (68, 67, True), (67, 67, True), (53, 68, False), (67, 53, False)]
)
def test_ports_say_what_is_dhcp(sport, dport, is_one):
    assert bool(messages.arrived(framed(messages.payload(Message("ACK", MAC, op=2)), sport, dport))) is is_one


def test_checksums_are_told():
    text = messages.payload(Message("ACK", MAC, op=2))
    assert messages.arrived(framed(text)).checksum_ok is True
    assert messages.arrived(framed(text, checksum=0)).checksum_ok is None
    assert messages.arrived(framed(text, checksum=1)).checksum is Checksum.BAD


def test_other_hardware_is_told():
    text = bytearray(messages.payload(Message("DISCOVER", MAC)))
    text[1] = 32
    assert messages.read(bytes(text)).mac == f"32-{MAC}"


@pytest.mark.parametrize(
    ("data", "routes"),
    [
        (bytes([24, 10, 0, 1, 10, 9, 0, 1]), [("10.0.1.0/24", "10.9.0.1")]),
        (bytes([25, 10, 0, 1, 128, 0, 0, 0, 0]), [("10.0.1.128/25", "0.0.0.0")]),
        (bytes([0, 10, 9, 0, 1, 32, 1, 2, 3, 4, 10, 9, 0, 2]), [("0.0.0.0/0", "10.9.0.1"), ("1.2.3.4/32", "10.9.0.2")]),
    ],
)
def test_routes_are_read(data, routes):
    assert Message("ACK", MAC, options={messages.ROUTES: data}).routes() == routes


@pytest.mark.parametrize("data", [bytes([24, 10, 0]), bytes([33, *range(9)]), bytes([0, 1, 2, 3])])
def test_routes_that_are_none_fail_the_spec(data):
    with pytest.raises(AssertionError, match="option 121 is not of whole routes"):
        Message("ACK", MAC, options={messages.ROUTES: data}).routes()


@pytest.mark.parametrize("data", [b"\x03ab", b"\xc0\x00", b"\x80", b"\xc0"])
def test_a_search_list_that_is_none_fails_the_spec(data):
    with pytest.raises(AssertionError, match="option 119 is not of whole names"):
        Message("ACK", MAC, options={messages.SEARCH: data}).search()


def test_an_option_that_is_not_there_is_not_made_up():
    message = Message("ACK", MAC, op=2)
    assert (message.address(3), message.addresses(6), message.text(15), message.routes()) == ("", [], "", [])
    with pytest.raises(AssertionError, match="has no option 51"):
        _ = message.lease_time


labels = some.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=20)
names = some.lists(labels, min_size=1, max_size=6).map(".".join)


@given(several=some.lists(names, max_size=6))
def test_names_are_read_as_they_are_written(several):
    assert domains.names(b"".join(map(domains.encoded, several))) == several


def test_ip_sees_the_payload_whole():
    read = IP(packets.udp("0.0.0.0", "255.255.255.255", 68, 67, messages.payload(Message("DISCOVER", MAC))))
    assert read[BOOTP].chaddr[:6].hex(":") == MAC
