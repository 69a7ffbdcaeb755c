"""DNS on the wire as specs ask it, against scapy; and a resolver and a server of the suite's own, with each other."""

import contextlib
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as some
from scapy.layers.dns import DNS, DNSQR, DNSRR

from conformance.errors import Inconclusive
from conformance.topology.dhcp import dns
from conformance.topology.dhcp.names import Upstream, no_reply, query

NAME = "web.cloud.example"
labels = some.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=20)
names = some.lists(labels, min_size=1, max_size=5).map(".".join)


@given(number=some.integers(0, 0xFFFF), name=names, kind=some.sampled_from(["A", "AAAA", "TXT", "SOA", "ANY"]))
def test_scapy_reads_a_query_the_same_way(number, name, kind):
    text = dns.question(number, name, kind)
    read = DNS(text)
    assert (read.id, read.qr, read.rd, read.qdcount) == (number, 0, 1, 1)
    assert (read.qd[0].qname.decode(), read.qd[0].qtype, read.qd[0].qclass) == (f"{name}.", dns.TYPES[kind], 1)
    assert dns.asked(text) == (number, name, kind)


@pytest.mark.parametrize(
    ("address", "name"),
    [("10.9.0.1", "1.0.9.10.in-addr.arpa"), ("2001:db8::1", f"1.{'0.' * 23}8.b.d.0.1.0.0.2.ip6.arpa")],
)
def test_an_address_is_asked_for_by_its_reverse_name(address, name):
    assert dns.asked(dns.question(7, address, "PTR")) == (7, name, "PTR")


def test_what_scapy_writes_is_read_with_its_pointers():
    made = DNS(
        id=9,
        qr=1,
        aa=1,
        ra=1,
        qd=[DNSQR(qname=NAME)],
        an=[
            DNSRR(rrname=NAME, type="CNAME", rdata="www.cloud.example"),
            DNSRR(rrname="www.cloud.example", type="A", rdata="192.0.2.7"),
            DNSRR(rrname="www.cloud.example", type="AAAA", rdata="2001:db8::7"),
            DNSRR(rrname="7.2.0.192.in-addr.arpa", type="PTR", rdata="www.cloud.example"),
            DNSRR(rrname=NAME, type="TXT", rdata=[b"one ", b"two"]),
        ],
    )
    for text in (bytes(made), bytes(made.compress())):
        reply = dns.read(text, 9)
        assert reply.rcode == "NOERROR"
        assert (reply.authoritative, reply.recursion_available, reply.truncated) == (True, True, False)
        assert reply.answers == (
            (NAME, "CNAME", "www.cloud.example"),
            ("www.cloud.example", "A", "192.0.2.7"),
            ("www.cloud.example", "AAAA", "2001:db8::7"),
            ("7.2.0.192.in-addr.arpa", "PTR", "www.cloud.example"),
            (NAME, "TXT", "one two"),
        )
    assert len(bytes(made.compress())) < len(bytes(made)), "this was about pointers"


@pytest.mark.parametrize(("code", "word"), [(0, "NOERROR"), (2, "SERVFAIL"), (3, "NXDOMAIN"), (5, "REFUSED"), (9, "9")])
def test_codes_have_their_names(code, word):
    assert dns.read(bytes(DNS(id=1, qr=1, rcode=code, qd=[DNSQR(qname=NAME)])), 1).rcode == word


def test_what_is_no_reply_to_the_query_is_none():
    reply = bytes(DNS(id=1, qr=1, qd=[DNSQR(qname=NAME)]))
    assert dns.read(reply, 2) is None
    assert dns.read(dns.question(1, NAME), 1) is None
    assert dns.read(reply[:-5] + b"\xc0", 1) is None
    assert dns.asked(reply) is None


@given(data=some.binary(max_size=200))
def test_rubbish_is_no_reply_and_no_error(data):
    dns.asked(data)
    dns.read(data, 1)
    head = struct.pack("!HHHHHH", 1, 0x8000, 1, 2, 1, 0)
    dns.read(head + data, 1)


def test_pointers_that_go_round_end():
    head = struct.pack("!HHHHHH", 1, 0x8000, 1, 0, 0, 0)
    assert dns.read(head + b"\xc0\x0c" + bytes(4), 1) is None


@pytest.mark.parametrize(
    "records",
    [None, [], [("A", "192.0.2.7"), ("A", "192.0.2.8")], [("AAAA", "2001:db8::7")], [("TXT", "t")], [("PTR", "a.b")]],
)
def test_scapy_reads_the_servers_answers_the_same_way(records):
    text = dns.answer(dns.question(4, NAME), records)
    read = DNS(text)
    assert (read.id, read.qr, read.ancount, read.rcode) == (4, 1, len(records or ()), 3 if records is None else 0)
    reply = dns.read(text, 4)
    assert [(one.type, one.data) for one in reply.answers] == (records or [])
    assert {one.name for one in reply.answers} <= {NAME}


# -- asking -----------------------------------------------------------------------------------------------

HERE, EVERY = "127.0.0.1", "0.0.0.0"


@pytest.mark.parametrize("tcp", [False, True], ids=["UDP", "TCP"])
def test_a_resolver_and_a_server_talk(stack, tcp):
    with Upstream(stack, HERE, {NAME: "192.0.2.7", "Text.example.": [("TXT", "t"), ("AAAA", "2001:db8::1")]}) as server:
        assert query(stack, HERE, NAME, tcp=tcp).answers == ((NAME, "A", "192.0.2.7"),)
        assert query(stack, HERE, NAME, "AAAA", tcp=tcp).answers == ()
        assert query(stack, HERE, "text.example", "TXT", tcp=tcp).data == ["t"]
        assert query(stack, HERE, "elsewhere.example", tcp=tcp).rcode == "NXDOMAIN"
        assert server.asked == [
            (NAME, "A"),
            (NAME, "AAAA"),
            ("text.example", "TXT"),
            ("elsewhere.example", "A"),
        ]


@pytest.mark.parametrize("tcp", [False, True], ids=["UDP", "TCP"])
def test_who_gets_no_answer_says_so(stack, tcp):
    with pytest.raises(
        AssertionError, match=f"sandbox asked {HERE} for {NAME} A{' by TCP' if tcp else ''}, and got no"
    ):
        query(stack, HERE, NAME, tcp=tcp, limit=0.3)


@pytest.mark.parametrize("tcp", [False, True], ids=["UDP", "TCP"])
def test_a_silence_is_proven_by_what_is_answered_after_it(stack, tcp):
    stack.add_address("lo", "10.9.0.1/32")

    def control():
        query(stack, "10.9.0.1", NAME, limit=1.0)

    def silent():
        no_reply(stack, HERE, NAME, control=control, what="the proof", tcp=tcp, limit=1.0)

    with pytest.raises(Inconclusive, match="the proof: the control was not answered"):
        silent()
    with Upstream(stack, "10.9.0.1", {NAME: "192.0.2.7"}):
        silent()
    # One server on both addresses: it answers one after the other.
    with Upstream(stack, EVERY, {NAME: "192.0.2.7"}), pytest.raises(AssertionError, match=r"the proof: .* and got"):
        silent()


@pytest.mark.parametrize("tcp", [False, True], ids=["UDP", "TCP"])
def test_a_socket_that_takes_queries_and_says_nothing_is_silent(stack, tcp):
    stack.add_address("lo", "10.9.0.1/32")
    mute = stack.stream_socket(HERE, 53) if tcp else stack.datagram_socket(HERE, 53)
    with mute, Upstream(stack, "10.9.0.1"):
        if tcp:
            mute.listen()

        def control():
            query(stack, "10.9.0.1", NAME)

        no_reply(stack, HERE, NAME, control=control, what="the proof", tcp=tcp, limit=0.5)


def test_a_server_goes_on_after_who_goes_away(stack):
    with Upstream(stack, HERE, {NAME: "192.0.2.7"}):
        for said in (b"", b"\0", b"\0\xff\0", struct.pack("!H", 3) + b"abc"):
            with contextlib.suppress(OSError), socket.create_connection((HERE, 53)) as sock:
                sock.sendall(said)
        with stack.datagram_socket(HERE) as sock:
            sock.sendto(b"rubbish", (HERE, 53))
        assert query(stack, HERE, NAME).data == ["192.0.2.7"]
        assert query(stack, HERE, NAME, tcp=True).data == ["192.0.2.7"]
