"""Clients of DHCP as specs use them, against a dnsmasq that is started by hand, and against a server of a test's own.

Each verb has to hold where the server does as it should, to fail where it does not, and to be inconclusive where its
control is lost.
"""

import subprocess
import threading
from dataclasses import replace

import pytest
from waiting import wait_until

from conformance import features
from conformance.errors import Inconclusive
from conformance.topology import packets
from conformance.topology.dhcp import messages, real
from conformance.topology.dhcp.client import Client, Refused
from conformance.topology.dhcp.messages import Message
from conformance.topology.dhcp.names import query
from conformance.topology.dhcp.relay import Relay
from conformance.topology.dhcp.segment import Segment
from conformance.topology.frames import Frame
from conformance.topology.packets import Checksum
from refnet.netdev.driver import Kind

FIRST, LAST = "10.9.0.100", "10.9.0.101"
SERVER_MAC = "02:00:00:00:00:fe"
WHAT = "the proof"


class Dnsmasq:
    """A dnsmasq that is ready when it has been made."""

    def __init__(self, segment, directory, *arguments):
        self.log = directory / "log"
        self.process = subprocess.Popen(
            [
                *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-hosts", "--no-resolv"),
                *("--user=", "--group=", "--bind-dynamic", "--except-interface=lo", f"--interface={segment.device}"),
                *(f"--dhcp-range={FIRST},{LAST},1h", "--dhcp-authoritative", "--no-ping", "--domain=cloud.example"),
                *(f"--dhcp-leasefile={directory}/leases", f"--pid-file={directory}/pid", f"--log-facility={self.log}"),
                *arguments,
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        ready = "DHCP, sockets bound"
        wait_until(lambda: self.process.poll() is not None or ready in self.said(), "dnsmasq is ready")
        assert self.process.poll() is None, self.process.stderr.read()

    def said(self):
        return self.log.read_text() if self.log.exists() else ""

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()


@pytest.fixture
def segment(stack):
    return Segment(stack)


@pytest.fixture
def serve(segment, tmp_path):
    """Start a server, in place of the one before."""
    running = []

    def serve(*arguments):
        while running:
            running.pop().stop()
        running.append(Dnsmasq(segment, tmp_path, *arguments))
        return running[0]

    yield serve
    for one in running:
        one.stop()


# -- against dnsmasq --------------------------------------------------------------------------------------


def test_a_lease_from_beginning_to_end(segment, serve):
    serve("--dhcp-option=121,10.0.0.0/8,10.9.0.1")
    client = segment.client(hostname="web")
    offer = client.discover()
    ack = client.request(offer)
    assert (offer.kind, ack.kind, client.address) == ("OFFER", "ACK", offer.yiaddr)
    assert client.address in (FIRST, LAST)
    assert (ack.server, ack.source, ack.source_mac) == ("10.9.0.1", segment.address, segment.mac)
    assert (ack.lease_time, ack.text(messages.DOMAIN), ack.text(messages.NAME)) == (3600, "cloud.example", "web")
    assert ack.routes() == [("10.0.0.0/8", "10.9.0.1")]
    address = client.address
    assert client.renew().yiaddr == client.rebind().yiaddr == client.reboot(address).yiaddr == address
    assert [one.kind for one in client.messages] == ["OFFER", "ACK", "ACK", "ACK", "ACK"]
    client.release()
    assert client.address == ""
    other = segment.client("c2")
    assert {other.lease().yiaddr, segment.client("c3").lease().yiaddr} == {FIRST, LAST}


def test_what_is_declined_is_not_offered(segment, serve):
    serve()
    client = segment.client()
    first = client.lease().yiaddr
    client.decline()
    assert client.lease().yiaddr == ({FIRST, LAST} - {first}).pop()


def test_options_are_asked_for_without_an_address(segment, serve):
    serve("--dhcp-option=42,10.9.0.3")
    client = segment.client()
    ack = client.inform("10.9.0.50", parameters=(42,))
    assert (ack.yiaddr, ack.address(42), ack.destination) == ("0.0.0.0", "10.9.0.3", "10.9.0.50")
    assert client.address == ""


def test_fields_reach_the_server(segment, serve):
    server = serve("--log-dhcp")
    client = segment.client(client_id=b"\x00web", vendor_class="of all messages")
    client.lease(requested=LAST, broadcast=True, options={77: b"abc"}, parameters=(1, 252))
    wait_until(lambda: "DHCPACK" in server.said(), "the server has written down what was asked")
    said = server.said()
    assert client.address == LAST
    assert "vendor class: of all messages" in said
    assert "user class: abc" in said
    assert "requested options: 1:netmask, 252" in said
    assert {one.destination for one in client.messages} == {"255.255.255.255"}


def test_a_client_with_a_mac_address_of_its_own(segment, serve):
    serve()
    client = segment.client(mac="02:00:00:00:00:55")
    assert client.lease().mac == client.endpoint.mac == "02:00:00:00:00:55"


def test_refusals(segment, serve):
    serve()
    one, other = segment.client("a"), segment.client("b")
    address = one.lease().yiaddr
    assert other.refused("192.0.2.1").kind == "NAK"
    assert other.refused(address).kind == other.refused(address, by="request").kind == "NAK"
    with pytest.raises(Refused, match="and was refused") as refusal:
        other.reboot("192.0.2.1")
    assert refusal.value.message.kind == "NAK"
    with pytest.raises(AssertionError, match=f"asked for {address}, which is to be refused, and got ACK to"):
        one.refused(address)
    with pytest.raises(AssertionError, match="which is to be refused, and got ACK to"):
        other.refused(({FIRST, LAST} - {address}).pop(), by="request")


def test_silence_is_proven_by_an_answer_to_another(stack, segment, serve):
    server = serve("--dhcp-host=02:00:00:00:00:99,ignore")
    stranger, control = segment.client("a", mac="02:00:00:00:00:99"), segment.client("b")
    stranger.no_offer(control, WHAT)
    stranger.no_answer_to_reboot(FIRST, control, WHAT)
    with pytest.raises(AssertionError, match=f"{WHAT}: b sent DISCOVER .* and got OFFER"):
        control.no_offer(segment.client("c"), WHAT)
    with pytest.raises(AssertionError, match=f"{WHAT}: b sent REQUEST .* and got NAK"):
        control.no_answer_to_reboot("192.0.2.1", segment.client("d"), WHAT)
    server.stop()
    stack.arrival_limit = 0.3
    with pytest.raises(Inconclusive, match=f"{WHAT}: the control was not answered: b sent DISCOVER"):
        stranger.no_offer(control, WHAT)


def test_nobody_answers(stack, segment):
    stack.arrival_limit = 1.5
    client = segment.client()
    with pytest.raises(AssertionError, match=r"c1 sent DISCOVER of .*, and nobody answered"):
        client.discover()
    sent = [messages.arrived(one.data) for one in client.endpoint.record if one.sent]
    assert [one.kind for one in sent] == ["DISCOVER", "DISCOVER"], "what may have been lost is sent again"
    assert sent[0] == sent[1]


def test_many_at_once(segment, serve):
    serve()
    client = segment.client()
    asked = {client.send_discover() for _ in range(20)}
    wait_until(lambda: asked <= {one.xid for one in client.poll() if one.kind == "OFFER"}, "all are answered")


def test_a_relay_agent(segment, serve):
    serve("--dhcp-range=10.8.0.100,10.8.0.101,255.255.255.0,1h", "--dhcp-option=tag:!known,224,01:02")
    relay = Relay(segment)
    client = relay.client(agent=b"\x01\x04abcd")
    ack = client.lease(parameters=(1, 224))
    assert (ack.giaddr, ack.destination, ack.sport, ack.dport) == ("10.8.0.1", "10.8.0.1", 67, 67)
    assert (ack.options[messages.AGENT], ack.address(messages.MASK)) == (b"\x01\x04abcd", "255.255.255.0")
    assert ack.yiaddr in ("10.8.0.100", "10.8.0.101")
    assert (client.renew().dport, client.rebind().dport) == (68, 67)
    other = relay.client()
    assert other.lease().yiaddr != ack.yiaddr
    client.release()
    assert relay.client().lease().yiaddr == ack.yiaddr


def test_a_client_on_a_tap(stack, tap, segment, serve):
    serve()
    stack.foreign("tap-guest", Kind.TAP)
    segment.join("tap-guest")
    client = segment.tap_client("tap-guest")
    assert client.lease().yiaddr == client.renew().yiaddr


@pytest.mark.parametrize("name", features.REAL_CLIENTS)
def test_real_clients(stack, segment, serve, name):
    reason = features.lacking(name)
    assert reason is None, f"{reason} ('.ci/setup' does it)"
    serve(
        "--dhcp-option=121,10.0.0.0/8,10.9.0.1,0.0.0.0/0,10.9.0.1",
        "--dhcp-option=option:domain-search,cloud.example,example",
        "--dhcp-option-force=26,1450",
        "--dhcp-host=id:00:77:65:62,10.9.0.77",
    )
    before = stack.look.state(), stack.look.process_state()
    guest = segment.guest("real")
    found = real.lease(guest, name, hostname="web", client_id=b"\x00web")
    assert (found.address, found.server, found.domain) == ("10.9.0.77/24", "10.9.0.1", "cloud.example")
    assert (found.dns_servers, found.search) == (("10.9.0.1",), ("cloud.example", "example"))
    assert found.routes == (("10.0.0.0/8", "10.9.0.1"), ("0.0.0.0/0", "10.9.0.1"))
    assert (found.mtu, found.lease_time) == (1450, 3600)
    assert query(guest, "10.9.0.1", "web.cloud.example").data == ["10.9.0.77"], "the guest has the address"
    assert before[0].sections["process"] == stack.look.state().sections["process"]
    assert before[0].sections["file"] == stack.look.state().sections["file"]


def test_a_real_client_without_a_server_fails_the_spec(segment, monkeypatch):
    monkeypatch.setattr(real, "_LIMIT", 1.0)
    with pytest.raises(AssertionError, match=r"dhclient comes to no lease in real: .*DHCPDISCOVER on eth0"):
        real.lease(segment.guest("real"), "dhclient")


@pytest.mark.parametrize(
    ("said", "routes"),
    [
        ("new_classless_routes=8 10 10 9 0 1", (("10.0.0.0/8", "10.9.0.1"),)),
        (
            "new_rfc3442_classless_static_routes=0 10 9 0 1 25 1 2 3 128 0 0 0 0",
            (("0.0.0.0/0", "10.9.0.1"), ("1.2.3.128/25", "0.0.0.0")),
        ),
        ("new_classless_static_routes=10.0.0.0/8 10.9.0.1", (("10.0.0.0/8", "10.9.0.1"),)),
        ("new_routers=10.9.0.1", ()),
    ],
)
def test_what_clients_say_of_routes(said, routes):
    found = real.parsed(f"PATH=/bin\nnew_ip_address=10.9.0.5\nnew_subnet_mask=255.255.255.0\n{said}\n")
    assert (found.address, found.routes, found.mtu) == ("10.9.0.5/24", routes, None)


def test_a_client_that_has_no_address_fails_the_spec():
    with pytest.raises(AssertionError, match="without an address and a mask"):
        real.parsed("reason=BOUND\nnew_ip_address=10.9.0.5\n")


# -- against a server that does it wrong --------------------------------------------------------------------


class Wrong:
    """A server of a test's own at the end of a cable: it says what it is told to, to the first that asks."""

    def __init__(self, segment, answers, **udp):
        self.guest = segment.guest("wrong")
        self.answers = answers
        self.udp = udp
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.is_ending = False
        self.thread.start()

    def run(self):
        while not self.is_ending:
            for data in self.guest.receive():
                asked = messages.arrived(data)
                for answer in self.answers(asked) if asked and asked.op == 1 else ():
                    source = answer.source or "10.9.0.66"
                    text = messages.payload(answer)
                    packet = packets.udp(source, "255.255.255.255", 67, 68, text, **self.udp)
                    frame = packets.ether(self.guest.mac, "ff:ff:ff:ff:ff:ff", packet)
                    self.guest.send(Frame(frame, frame))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.is_ending = True
        self.thread.join()


def offer(asked, **fields):
    options = {messages.SERVER: b"\x0a\x09\x00\x42"}
    fields = {"yiaddr": "10.9.0.9", "options": options, **fields}
    return Message("OFFER", asked.mac, op=2, xid=asked.xid, **fields)


@pytest.mark.parametrize(
    ("answer", "udp", "words"),
    [
        (lambda asked: [offer(asked, options={})], {}, "does not say which server's it is"),
        (lambda asked: [offer(asked)], {"checksum": 7}, "whose checksum is wrong"),
        (lambda asked: [offer(asked, yiaddr="0.0.0.0")], {}, "an OFFER without an address"),
        (lambda asked: [replace(offer(asked), kind="ACK")], {}, "which is no OFFER"),
        (lambda asked: [replace(offer(asked), kind="NAK", options={56: b"not here"})], {}, "was refused: not here"),
        (lambda asked: [replace(offer(asked), xid=asked.xid ^ 1)], {}, "nobody answered"),
        (lambda asked: [replace(offer(asked), mac="02:00:00:00:00:01")], {}, "nobody answered"),
        (lambda asked: [replace(offer(asked), op=1)], {}, "nobody answered"),
    ],
    ids=["no server", "checksum", "no address", "kind", "refusal", "number", "another's", "a client's"],
)
def test_a_wrong_answer_fails_the_spec(stack, segment, answer, udp, words):
    stack.arrival_limit = 1.2
    client = segment.client()
    with Wrong(segment, answer, **udp), pytest.raises(AssertionError, match=words):
        client.discover()


def test_a_second_offer_is_no_answer_to_a_request(segment):
    client = segment.client()
    kinds = {"DISCOVER": ["OFFER"], "REQUEST": ["OFFER", "ACK"]}
    with Wrong(segment, lambda asked: [replace(offer(asked), kind=kind) for kind in kinds[asked.kind]]):
        ack = client.lease()
    assert (ack.kind, ack.checksum) == ("ACK", Checksum.GOOD)


def test_clients_at_one_end_of_a_cable_get_what_is_theirs(segment, serve):
    serve()
    first = segment.client("a")
    second = Client(segment.net, first.endpoint, mac="02:00:00:00:00:02")
    asked = first.send_discover()
    offer = second.discover()
    wait_until(lambda: asked in {found.xid for found in first.poll()}, "what the second has taken in is not lost")
    assert {found.mac for found in first.messages} == {first.mac}
    assert [found.mac for found in second.messages] == [offer.mac] == [second.mac]
    with pytest.raises(AssertionError, match="and got OFFER"):
        first.no_offer(second, WHAT)
