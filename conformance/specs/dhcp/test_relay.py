"""Relays: clients of networks that the server is not in, for which somebody else asks."""

from __future__ import annotations

from conformance.harness import DhcpUnderTest
from conformance.spec import spec
from conformance.specs.dhcp.told import HERE, MASK, POOL, SERVER, given, octets, tells
from conformance.topology.dhcp.messages import AGENT
from conformance.topology.dhcp.relay import Relay
from conformance.topology.dhcp.segment import Segment
from conformance.topology.sandbox import Sandbox
from refnet.dhcp import Capability, Host, Range

DHCP = Capability.DHCP
#: A network behind a relay, where the relay is in it, and what is given there.
FAR_NETWORK, FAR_RELAY = "10.20.0.0/22", "10.20.0.1"
FAR = Range("10.20.0.100", "10.20.0.199", FAR_NETWORK)


@spec(
    "DH-25",
    "A client whose network the server is not in gets an address of the range of that network through a relay, "
    "with its mask; answers go to the relay, with what it has put in (option 82); and the client renews with the "
    "server itself.",
    capability=DHCP,
)
def test_relayed(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net)
    relay = Relay(s, giaddr=FAR_RELAY, network=FAR_NETWORK)
    plain, far = s.client("near"), relay.client(agent=b"\x01\x06port-7\x02\x03abc")
    host = relay.client()
    dhcp.start(s.network(ranges=[POOL, FAR], hosts=Host(host.mac, "10.20.1.10")))
    offer = far.discover(parameters=(MASK,))
    ack = far.request(offer, parameters=(MASK,))
    for message, what in ((offer, "a relayed offer"), (ack, "a relayed acknowledgement")):
        given(message, FAR, what=what)
        way = (message.destination, message.dport, message.giaddr)
        assert way == (FAR_RELAY, 67, FAR_RELAY), f"{what} goes to port {way[1]} of {way[0]}, by giaddr {way[2]}"
        expected = {MASK: octets("255.255.252.0"), SERVER: octets(HERE), AGENT: b"\x01\x06port-7\x02\x03abc"}
        tells(message, expected, what=what)
    renewed = far.renew().yiaddr
    assert renewed == ack.yiaddr, f"a client behind a relay renews {ack.yiaddr}, and gets {renewed}"
    known = host.lease().yiaddr
    assert known == "10.20.1.10", f"the host with 10.20.1.10 behind a relay gets {known}"
    given(plain.lease(), what="a client of the server's own network")


@spec(
    "DH-26",
    "A relay that asks for a network which the server has no range of gets no answer.",
    capability=DHCP,
)
def test_unknown_relay(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net)
    known = Relay(s, "known", giaddr=FAR_RELAY, network=FAR_NETWORK)
    unknown = Relay(s, "unknown", address="10.9.0.3", giaddr="10.77.0.1", network="10.77.0.0/24")
    # It would be asked for while the control is looked at, and say nothing.
    net.add_neighbour(s.device, unknown.address, unknown.endpoint.mac)
    dhcp.start(s.network(ranges=[POOL, FAR]))
    unknown.client().no_offer(known.client(), "a relay of a network that is not served")
