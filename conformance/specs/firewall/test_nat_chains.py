"""Translation: chains of table nat in their order and under jumps, the device that packets come by, sources of IPv6."""

from __future__ import annotations

from conformance.harness import FirewallUnderTest
from conformance.spec import spec
from conformance.specs.firewall.ground import lay
from conformance.topology.routed import Bridged, Flow, Routed
from conformance.topology.sandbox import Sandbox
from refnet.firewall import ACCEPT, Capability, Dnat, Jump, Masquerade, Not, Rule, Snat

NAT = Capability.NAT
NAT_IPV6 = (Capability.NAT, Capability.NAT_IPV6)


@spec(
    "NA-20",
    "Chains of table nat are asked in the order in which they were added, and the first translation counts; a jump "
    "takes the flows that it matches, and no others, to another chain.",
    capability=NAT,
)
def test_chains(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", "c", families=(4,))
    # By their names, they would be asked the other way round.
    lay(firewall, hook=None, table="nat", chain="floating")
    firewall.add_rule("floating", Rule(Snat("192.0.2.9"), protocol="udp"), table="nat")
    jump = Rule(Jump("floating"), source=r.address("a"))
    own = Rule(Snat("192.0.2.7"), protocol="udp", destination_ports=53)
    lay(firewall, own, jump, hook="postrouting", table="nat", chain="zeta")
    lay(firewall, Rule(Snat("192.0.2.8"), protocol="udp"), hook="postrouting", table="nat", chain="alpha")
    firewall.apply()
    for flow, source, what in (
        (Flow("a", "b", "udp", 53), "192.0.2.7", "what the first chain translates"),
        (Flow("a", "b", "udp", 54), "192.0.2.9", "what the chain translates that is jumped to"),
        (Flow("c", "b", "udp", 54), "192.0.2.8", "what the jump is not about, and the second chain translates"),
    ):
        seen = r.passes(flow, what=what)
        assert seen.source == source, f"{what} is to come from {source}, and b sees {seen.source}"


@spec(
    "NA-21",
    "SNAT of IPv6 gives a flow the address that was asked for, and its answers come back to whom it belongs.",
    capability=NAT_IPV6,
)
def test_snat_ipv6(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b")
    lay(firewall, Rule(Snat("2001:db8::7"), source=r.network("a", 6)), hook="postrouting", table="nat")
    firewall.apply()
    flow = Flow("a", "b", "udp", 53, family=6, sport=5001)
    seen = r.passes(flow, what="a datagram of IPv6 with SNAT")
    assert seen.source == "2001:db8::7", f"it was sent with SNAT to 2001:db8::7, and b sees {seen.source}"
    back = r.passes(flow.back(destination="2001:db8::7", dport=seen.sport), what="the answer to a flow with SNAT")
    assert (back.destination, back.dport) == (r.address("a", 6), 5001), f"a gets the answer as {back}"


@spec(
    "NA-22",
    "What is forwarded by a rule about the device that it comes by is forwarded from there, and from no other.",
    capability=(NAT, Capability.FILTER),
)
def test_dnat_by_device(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", "c", families=(4,))
    here, there = r.gateway("a"), r.address("c")
    forwarded = Rule(
        Dnat(there, ports=80), protocol="udp", in_interface=r.device("a"), destination=here, destination_ports=8080
    )
    lay(firewall, forwarded, hook="prerouting", table="nat")
    firewall.apply()
    flow = Flow("a", "c", "udp", 8080, destination=here)
    seen = r.passes(flow, what="what comes by the device that is meant")
    assert (seen.destination, seen.dport) == (there, 80), f"it is forwarded, and c sees {seen}"
    r.stops(flow.but(sender="b"), control=flow, what="what comes by another device")


@spec(
    "NA-23",
    "SNAT and masquerading of IPv6 with ports give each flow a port of its own, out of those that were asked for.",
    capability=NAT_IPV6,
)
def test_ports_ipv6(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(6,))
    network, ports = r.network("a", 6), (40000, 40015)
    rules = {
        "udp": Rule(Snat("2001:db8::7", ports=ports), protocol="udp", source=network),
        "tcp": Rule(Masquerade(ports=ports), protocol="tcp", source=network),
    }
    sources = {"udp": "2001:db8::7", "tcp": r.gateway("b", 6)}
    lay(firewall, *rules.values(), hook="postrouting", table="nat")
    firewall.apply()
    for protocol, source in sources.items():
        flow = Flow("a", "b", protocol, 53, family=6)
        seen = [
            r.passes(flow.but(sport=sport), what=f"{protocol} from port {sport} that is translated")
            for sport in (5001, 5002, 5003)
        ]
        found = {one.source for one in seen}
        assert found == {source}, f"{protocol} is to come from {source}, and b sees {found}"
        outside = [one.sport for one in seen if one.sport is None or not ports[0] <= one.sport <= ports[1]]
        assert not outside, f"{protocol} is translated to ports 40000 to 40015, and b sees {outside}"
        assert len({one.sport for one in seen}) == 3, f"three flows of {protocol} share ports: {seen}"


@spec(
    "NA-24",
    "What is excluded from a translation of IPv6, by ACCEPT or by a rule about all but one network, is left alone.",
    capability=NAT_IPV6,
)
def test_exclusions_ipv6(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", "c", "d")
    network = r.network("a", 6)
    excluded = Rule(ACCEPT, source=network, destination=r.network("c", 6))
    others = Rule(Masquerade(), source=network, destination=Not(r.network("d", 6)))
    lay(firewall, excluded, others, hook="postrouting", table="nat")
    firewall.apply()
    for name, source in (("c", r.address("a", 6)), ("d", r.address("a", 6)), ("b", r.gateway("b", 6))):
        seen = r.passes(Flow("a", name, "udp", 53, family=6), what=f"a datagram to {name}")
        assert seen.source == source, f"a datagram to {name} is to come from {source}, and {name} sees {seen.source}"


@spec(
    "NA-25",
    "A client reaches the forwarded port of an IPv6 server in its own network by the router's address (hairpin).",
    capability=NAT_IPV6,
)
def test_hairpin_ipv6(firewall: FirewallUnderTest, net: Sandbox) -> None:
    b = Bridged(net, "a", "b", families=(6,))
    net.forward(6)
    here, there = b.gateway("a", 6), b.address("b", 6)
    forwarded = Rule(Dnat(there, ports=80), protocol="tcp", destination=here, destination_ports=8080)
    lay(firewall, forwarded, hook="prerouting", table="nat")
    out = Rule(Masquerade(), protocol="tcp", source=b.network("a", 6), destination=there, destination_ports=80)
    lay(firewall, out, hook="postrouting", table="nat")
    firewall.apply()
    flow = Flow("a", "b", "tcp", 8080, family=6, destination=here, listen=there, listen_port=80)
    talk = b.talks(flow, what="a connection to a port that is forwarded into the client's own network of IPv6")
    assert talk.peer == here, f"the server talks to {talk.peer}, which does not lead back by the router"
