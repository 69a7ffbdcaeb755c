"""Translation of addresses and ports: what the other side sees, what comes back, and what is left alone."""

from __future__ import annotations

from conformance.harness import FirewallUnderTest
from conformance.spec import spec
from conformance.specs.firewall.ground import lay
from conformance.system import LINUX
from conformance.topology import packets
from conformance.topology.proofs import Watch
from conformance.topology.routed import Bridged, Flow, Routed
from conformance.topology.sandbox import Sandbox
from refnet.firewall import ACCEPT, DROP, Capability, Dnat, Masquerade, Not, Redirect, Rule, Snat

NAT = Capability.NAT
NAT_AND_FILTER = (Capability.NAT, Capability.FILTER)


def on_leaving(firewall: FirewallUnderTest, *rules: Rule) -> str:
    """Lay rules that translate what leaves, and apply them."""
    chain = lay(firewall, *rules, hook="postrouting", table="nat")
    firewall.apply()
    return chain


def on_coming(firewall: FirewallUnderTest, *rules: Rule) -> str:
    """Lay rules that translate what comes, and apply them."""
    chain = lay(firewall, *rules, hook="prerouting", table="nat")
    firewall.apply()
    return chain


@spec(
    "NA-01",
    "What is masqueraded has the address of the device that it leaves by, and its answers come back; the rest its own.",
    capability=NAT,
)
def test_masquerade(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    plain = r.passes(Flow("a", "b", "udp", 53), what="a datagram without a rule")
    assert plain.source == r.address("a"), f"without a rule, b sees {plain.source}"
    on_leaving(firewall, Rule(Masquerade(), source=r.network("a"), out_interface=r.device("b")))
    for protocol in ("udp", "tcp", "icmp"):
        seen = r.passes(Flow("a", "b", protocol, 53), what=f"{protocol} that is masqueraded")
        assert seen.source == r.gateway("b"), f"{protocol} is masqueraded, and b sees {seen.source}"
    other_way = r.passes(Flow("b", "a", "udp", 53), what="a datagram in the other direction")
    assert other_way.source == r.address("b"), f"what no rule is about has the source {other_way.source}"
    talk = r.talks(Flow("a", "b", "tcp", 8000), what="a connection that is masqueraded")
    assert talk.peer == r.gateway("b"), f"b talks to {talk.peer}, and not to the router"


@spec(
    "NA-02",
    "SNAT gives a flow the address that was asked for, and its answers come back to whom it belongs.",
    capability=NAT,
)
def test_snat(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    on_leaving(firewall, Rule(Snat("192.0.2.7"), source=r.network("a")))
    flow = Flow("a", "b", "udp", 53, sport=5001)
    seen = r.passes(flow, what="a datagram with SNAT")
    assert seen.source == "192.0.2.7", f"SNAT to 192.0.2.7, and b sees {seen.source}"
    answer = flow.back(destination="192.0.2.7", dport=seen.sport)
    back = r.passes(answer, what="the answer to a flow with SNAT")
    assert (back.destination, back.dport) == (r.address("a"), 5001), f"a gets the answer as {back}"


@spec("NA-03", "SNAT with ports gives each flow a port of its own, out of those that were asked for.", capability=NAT)
def test_snat_ports(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    on_leaving(firewall, Rule(Snat(r.gateway("b"), ports=(40000, 40015)), protocol="udp", source=r.network("a")))
    seen = [
        r.passes(Flow("a", "b", "udp", 53, sport=sport), what=f"a datagram from port {sport} with SNAT").sport
        for sport in (5001, 5002, 5003, 5004)
    ]
    outside = [port for port in seen if port is None or not 40000 <= port <= 40015]
    assert not outside, f"SNAT to ports 40000 to 40015, and b sees {outside}"
    assert len(set(seen)) == len(seen), f"four flows share ports: {seen}"


@spec(
    "NA-04",
    "DNAT leads the port of a protocol to the address and port that it names; another port, or the same one of another "
    "protocol, it leads nowhere.",
    capability=NAT,
)
def test_dnat(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    here, there = r.gateway("a"), r.address("b")
    on_coming(
        firewall,
        Rule(Dnat(there, ports=80), protocol="tcp", destination=here, destination_ports=8080),
        Rule(Dnat(there, ports=53), protocol="udp", destination=here, destination_ports=5300),
    )
    web, names = Flow("a", "b", "tcp", 8080, destination=here), Flow("a", "b", "udp", 5300, destination=here)
    for flow, port in ((web, 80), (names, 53)):
        seen = r.passes(flow, what=f"a forwarded {flow.protocol} port")
        assert (seen.destination, seen.dport) == (there, port), f"{flow.protocol} is forwarded, and b sees {seen}"
    r.stops(web.but(dport=8081), control=web, what="the port next to a forwarded one")
    r.stops(web.but(dport=5300), control=web, what="the forwarded port of another protocol")
    talk = r.talks(web.but(listen=there, listen_port=80), what="a connection to a forwarded port")
    assert talk.peer == r.address("a"), f"b talks to {talk.peer}, and not to a"


@spec("NA-05", "Ports that are forwarded as a range keep their numbers, both ends included.", capability=NAT)
def test_dnat_range(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    here = r.gateway("a")
    on_coming(firewall, Rule(Dnat(r.address("b")), protocol="tcp", destination=here, destination_ports="8000-8010"))
    flow = Flow("a", "b", "tcp", 8000, destination=here)
    for port in (8000, 8005, 8010):
        seen = r.passes(flow.but(dport=port), what=f"port {port} of the forwarded 8000 to 8010")
        assert seen.dport == port, f"port {port} of a forwarded range arrives at port {seen.dport}"
    for port in (7999, 8011):
        r.stops(flow.but(dport=port), control=flow, what=f"port {port} beside the forwarded 8000 to 8010")


@spec("NA-06", "A redirected flow comes to the router itself, at the port that was asked for.", capability=NAT)
def test_redirect(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    on_coming(firewall, Rule(Redirect(3128), protocol="tcp", source=r.network("a"), destination_ports=80))
    through = Flow("a", "host", "tcp", 80, destination=r.address("b"), listen=r.gateway("a"), listen_port=3128)
    talk = r.talks(through, what="a redirected connection")
    assert talk.peer == r.address("a"), f"the router talks to {talk.peer}, and not to a"
    r.passes(Flow("a", "b", "tcp", 81), what="a port that is not redirected")


@spec("NA-07", "What is forwarded for one address of the router is not forwarded for another.", capability=NAT)
def test_dnat_one_address(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    on_coming(
        firewall,
        Rule(Dnat(r.address("b"), ports=80), protocol="udp", destination=r.gateway("a"), destination_ports=8080),
    )
    bound = Flow("a", "b", "udp", 8080, destination=r.gateway("a"))
    r.stops(bound.but(destination=r.gateway("b")), control=bound, what="the forwarded port at another address")


@spec(
    "NA-08",
    "A client reaches the forwarded port of a server in its own network by the router's address (hairpin).",
    capability=NAT,
)
def test_hairpin(firewall: FirewallUnderTest, net: Sandbox) -> None:
    b = Bridged(net, "a", "b", families=(4,))
    net.forward(4)
    here, there = b.gateway("a"), b.address("b")
    lay(
        firewall,
        Rule(Dnat(there, ports=80), protocol="tcp", destination=here, destination_ports=8080),
        hook="prerouting",
        table="nat",
    )
    on_leaving(
        firewall,
        Rule(Masquerade(), protocol="tcp", source=b.network("a"), destination=there, destination_ports=80),
    )
    flow = Flow("a", "b", "tcp", 8080, destination=here, listen=there, listen_port=80)
    talk = b.talks(flow, what="a connection to a port that is forwarded into the client's own network")
    assert talk.peer == here, f"the server talks to {talk.peer}, which does not lead back by the router"


@spec("NA-09", "ACCEPT in a table of translations means: no translation, whatever rules follow.", capability=NAT)
def test_accept(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", "c", families=(4,))
    on_leaving(
        firewall,
        Rule(ACCEPT, source=r.network("a"), destination=r.network("c")),
        Rule(Masquerade(), source=r.network("a")),
    )
    excluded = r.passes(Flow("a", "c", "udp", 53), what="a datagram that is excluded from translation")
    assert excluded.source == r.address("a"), f"it was excluded from translation, and c sees {excluded.source}"
    translated = r.passes(Flow("a", "b", "udp", 53), what="a datagram that is not excluded")
    assert translated.source == r.gateway("b"), f"it was not excluded from translation, and b sees {translated.source}"


@spec("NA-10", "What is translated everywhere but to one network is left alone to that one.", capability=NAT)
def test_all_but_one(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", "c", families=(4,))
    on_leaving(firewall, Rule(Masquerade(), source=r.network("a"), destination=Not(r.network("c"))))
    left_alone = r.passes(Flow("a", "c", "tcp", 80), what="a segment to the network that is left out")
    assert left_alone.source == r.address("a"), f"its network is left out, and c sees {left_alone.source}"
    translated = r.passes(Flow("a", "b", "tcp", 80), what="a segment to another network")
    assert translated.source == r.gateway("b"), f"its network is not left out, and b sees {translated.source}"


@spec("NA-11", "When a translation has been removed, the next new flow is not translated any more.", capability=NAT)
def test_removed(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    here = r.gateway("a")
    out = Rule(Masquerade(), source=r.network("a"))
    forwarded = Rule(Dnat(r.address("b"), ports=80), protocol="udp", destination=here, destination_ports=8080)
    coming = lay(firewall, forwarded, hook="prerouting", table="nat")
    leaving = on_leaving(firewall, out)
    seen = r.passes(Flow("a", "b", "udp", 8080, destination=here), what="a forwarded datagram")
    assert (seen.source, seen.dport) == (r.gateway("b"), 80), f"it was to be translated, and b sees {seen}"
    firewall.remove_rule(leaving, out, table="nat")
    firewall.remove_rule(coming, forwarded, table="nat")
    firewall.apply()
    plain = r.passes(Flow("a", "b", "udp", 8080), what="a datagram after the translation was removed")
    assert plain.source == r.address("a"), f"the translation was removed, and b sees {plain.source}"
    r.stops(
        Flow("a", "b", "udp", 8080, destination=here),
        control=Flow("a", "b", "udp", 8080),
        what="a port that is not forwarded any more",
    )


@spec(
    "NA-12",
    "Rules of the filter see a forwarded flow's translated destination, and not the one that it was sent to.",
    capability=NAT_AND_FILTER,
)
def test_filter_sees_translated(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    here, there = r.gateway("a"), r.address("b")
    lay(
        firewall,
        Rule(DROP, protocol="tcp", destination=there, destination_ports=80),
        Rule(DROP, protocol="tcp", destination=here),
        Rule(DROP, protocol="tcp", destination_ports=8081),
    )
    on_coming(
        firewall,
        Rule(Dnat(there, ports=80), protocol="tcp", destination=here, destination_ports=8080),
        Rule(Dnat(there, ports=81), protocol="tcp", destination=here, destination_ports=8081),
    )
    filtered = Flow("a", "b", "tcp", 8080, destination=here)
    r.stops(filtered, control=filtered.but(dport=8081), what="a flow whose translated destination is filtered")


@spec(
    "NA-13",
    "Answers to a forwarded flow come from the address and port that the flow was sent to.",
    capability=NAT,
)
def test_answers(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    here, there = r.gateway("a"), r.address("b")
    on_coming(
        firewall,
        Rule(Dnat(there, ports=80), protocol="tcp", destination=here, destination_ports=8080),
        Rule(Dnat(there, ports=53), protocol="udp", destination=here, destination_ports=5300),
    )
    for protocol, outer, inner in (("tcp", 8080, 80), ("udp", 5300, 53)):
        flow = Flow("a", "b", protocol, outer, sport=5001, destination=here)
        r.passes(flow, what=f"a forwarded {protocol} flow")
        answer = flow.back(source=there, sport=inner)
        seen = r.passes(answer, what=f"the answer to a forwarded {protocol} flow")
        assert (seen.source, seen.sport) == (here, outer), (
            f"a has sent {protocol} to {here} port {outer}, and gets the answer as {seen}"
        )


@spec(
    "NA-14",
    "IPv6 is translated as IPv4 is, answers included, and rules of one family leave the other alone.",
    capability=(Capability.NAT, Capability.NAT_IPV6),
)
def test_ipv6(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b")
    here, there = r.gateway("a", 6), r.address("b", 6)
    forwarded = Rule(Dnat(there, ports=80), protocol="tcp", destination=here, destination_ports=8080)
    lay(firewall, forwarded, hook="prerouting", table="nat")
    on_leaving(firewall, Rule(Masquerade(), source=r.network("a", 6)))
    flow = Flow("a", "b", "tcp", 8080, family=6, sport=5001, destination=here)
    seen = r.passes(flow, what="a forwarded and masqueraded IPv6 flow")
    assert (seen.source, seen.destination, seen.dport) == (r.gateway("b", 6), there, 80), (
        f"IPv6 is forwarded and masqueraded, and b sees {seen}"
    )
    answer = flow.back(source=there, sport=80, destination=seen.source, dport=seen.sport)
    back = r.passes(answer, what="the answer to a forwarded and masqueraded IPv6 flow")
    assert (back.source, back.sport) == (here, 8080), f"a gets the answer as {back}"
    four = r.passes(Flow("a", "b", "tcp", 80), what="IPv4 beside rules for IPv6")
    assert four.source == r.address("a"), f"no rule is about IPv4, and b sees {four.source}"


@spec(
    "NA-15",
    "What the host itself sends is forwarded by rules on its output, and by no others.",
    capability=NAT,
    systems=(LINUX,),
)
def test_output(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    lay(
        firewall,
        Rule(Dnat(r.address("b"), ports=80), protocol="udp", destination="192.0.2.80", destination_ports=8080),
        hook="output",
        table="nat",
    )
    firewall.apply()
    net.add_route("192.0.2.0/24", r.address("a"), r.device("a"))
    own = Flow("host", "b", "udp", 8080, destination="192.0.2.80")
    seen = r.passes(own, what="what the host sends to a forwarded address")
    assert (seen.destination, seen.dport) == (r.address("b"), 80), f"it was to be forwarded, and b sees {seen}"
    of_guest = own.but(sender="a")
    r.stops(of_guest, control=own, what="what a guest sends to an address that is forwarded for the host")


@spec(
    "NA-16",
    "Masquerading with ports gives each flow a port of its own, out of those that were asked for.",
    capability=NAT,
)
def test_masquerade_ports(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    rules = [Rule(Masquerade(ports=(40000, 40015)), protocol=one, source=r.network("a")) for one in ("udp", "tcp")]
    on_leaving(firewall, *rules)
    for protocol in ("udp", "tcp"):
        flow = Flow("a", "b", protocol, 53)
        seen = [
            r.passes(flow.but(sport=sport), what=f"{protocol} from port {sport} that is masqueraded")
            for sport in (5001, 5002, 5003)
        ]
        others = [one.source for one in seen if one.source != r.gateway("b")]
        assert not others, f"{protocol} is masqueraded with ports, and b sees {others}"
        ports = [one.sport for one in seen]
        outside = [port for port in ports if port is None or not 40000 <= port <= 40015]
        assert not outside, f"{protocol} is masqueraded with ports 40000 to 40015, and b sees {outside}"
        assert len(set(ports)) == len(ports), f"three flows of {protocol} share ports: {ports}"


@spec(
    "NA-17",
    "DNAT to a range of ports leads each flow to one of them, and its answers come from where it was sent to.",
    capability=NAT,
)
def test_dnat_to_range(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    here, there = r.gateway("a"), r.address("b")
    on_coming(
        firewall, Rule(Dnat(there, ports=(8000, 8003)), protocol="udp", destination=here, destination_ports="80-82")
    )
    for port in (80, 81, 82):
        flow = Flow("a", "b", "udp", port, sport=5001, destination=here)
        seen = r.passes(flow, what=f"port {port}, which is forwarded to a range")
        assert seen.destination == there, f"port {port} is forwarded to b, who sees {seen}"
        assert seen.dport is not None, f"port {port} is forwarded, and b sees {seen}"
        assert 8000 <= seen.dport <= 8003, f"port {port} is forwarded to ports 8000 to 8003, and b sees {seen.dport}"
        back = r.passes(flow.back(source=there, sport=seen.dport), what=f"the answer from port {seen.dport}")
        assert (back.source, back.sport) == (here, port), f"a has sent to {here} port {port}, and is answered by {back}"


@spec(
    "NA-18",
    "What is redirected to a range of ports comes to the router itself, at one of them.",
    capability=NAT,
)
def test_redirect_to_range(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    on_coming(firewall, Rule(Redirect((3128, 3131)), protocol="udp", source=r.network("a"), destination_ports="80-82"))
    own = [net.own_end(packets.UDP, r.gateway("a"), port) for port in range(3128, 3132)]
    for port in (80, 81, 82):
        watch = Watch(own)
        token = r.send(Flow("a", "host", "udp", port, destination=r.address("b")))[0].token
        seen = watch.until(lambda seen, token=token: any(token in one for one in seen), net.arrival_limit)  # type: ignore[misc]
        arrived = [packets.parse(one).dport for one in seen if token in one]
        assert len(arrived) == 1, f"port {port} is redirected to 3128 to 3131, and one datagram arrives at {arrived}"


@spec(
    "NA-19",
    "A redirected IPv6 flow comes to the router itself, at the port that was asked for.",
    capability=(Capability.NAT, Capability.NAT_IPV6),
)
def test_redirect_ipv6(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(6,))
    on_coming(firewall, Rule(Redirect(3128), protocol="tcp", source=r.network("a", 6), destination_ports=80))
    here, there = r.gateway("a", 6), r.address("b", 6)
    through = Flow("a", "host", "tcp", 80, family=6, destination=there, listen=here, listen_port=3128)
    talk = r.talks(through, what="a redirected IPv6 connection")
    assert talk.peer == r.address("a", 6), f"the router talks to {talk.peer}, and not to a"
    r.passes(Flow("a", "b", "tcp", 81, family=6), what="an IPv6 port that is not redirected")
