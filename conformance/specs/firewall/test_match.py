"""What a rule matches: protocols, ports, ICMP types, and the rest of its fields but addresses and interfaces."""

from __future__ import annotations

from typing import Any

from conformance.harness import FirewallUnderTest
from conformance.spec import spec
from conformance.specs.firewall.probes import (
    ABOUT_ONE,
    BOTH,
    CHAIN,
    CONTROL,
    FILTER,
    ONE,
    apply_rules,
    replace_rules,
    sorts,
)
from conformance.topology import packets
from conformance.topology.routed import Flow, Routed
from conformance.topology.sandbox import Sandbox
from refnet.firewall import ACCEPT, DROP, Capability, Not, Rate, Rule

_PORT = ONE.dport


# -- protocols and ports ------------------------------------------------------------------------------


@spec("FW-30", "A rule about a protocol, by name, is about no other.", capability=BOTH)
def test_protocol(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b")
    flows = {"udp": ONE, "tcp": ONE.but(protocol="tcp")}
    apply_rules(firewall, "forward", Rule(DROP, protocol="udp"))
    for family in (4, 6):
        others = [flows["tcp"].but(family=family), Flow(protocol="icmp", family=family)]
        sorts(topology, passing=others, stopped=[], what="a rule about UDP")
        topology.stops(ONE.but(family=family), control=others[0], what=f"UDP over IPv{family}, which is dropped")
    replace_rules(firewall, Rule(DROP, protocol="tcp"))
    sorts(topology, passing=[ONE], stopped=[], what="a rule about TCP")
    topology.stops(flows["tcp"], control=ONE, what="TCP, which is dropped")


@spec("FW-31", "A rule about a protocol's number is about that one, named or not.", capability=BOTH)
def test_protocol_by_number(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b")
    apply_rules(firewall, "forward", Rule(DROP, protocol=253), Rule(DROP, protocol="17"))
    for family in (4, 6):
        other = Flow(protocol=254, family=family)
        topology.passes(other, what="protocol 254, where 253 is dropped")
        for protocol in (253, "udp"):
            flow = Flow(protocol=protocol, family=family)
            topology.stops(flow, control=other, what=f"{flow}, dropped by its number")


@spec("FW-32", "A rule about a port, of TCP or UDP, is about that port alone.", capability=BOTH)
def test_port(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b")
    rules = [Rule(ACCEPT, protocol=name, destination_ports=_PORT) for name in ("tcp", "udp")]
    apply_rules(firewall, "forward", *rules, Rule(DROP))
    for family in (4, 6):
        for protocol in ("tcp", "udp"):
            flow = Flow(protocol=protocol, dport=_PORT, family=family)
            # The port as the source port is another matter.
            closed = [flow.but(dport=_PORT - 1), flow.but(dport=_PORT + 1), flow.but(dport=9, sport=_PORT)]
            sorts(topology, passing=[flow], stopped=closed, what=f"port {_PORT} is open")


@spec("FW-33", "A range of ports holds its first and its last port, and no port beside them.", capability=FILTER)
def test_port_range(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b", families=(4,))
    for protocol in ("udp", "tcp"):
        rule = Rule(ACCEPT, protocol=protocol, destination_ports=["8000-8010", "65535", (0, 1)])
        with firewall.deferred():
            firewall.add_chain(CHAIN, hook="forward")
            firewall.empty_chain(CHAIN)
            firewall.add_rule(CHAIN, rule)
            firewall.add_rule(CHAIN, Rule(DROP, protocol=protocol))
        inside, outside = (8000, 8005, 8010, 65535, 1), (7999, 8011, 65534, 2)
        passing, stopped = ([Flow(protocol=protocol, dport=port) for port in ports] for ports in (inside, outside))
        sorts(topology, passing=passing, stopped=stopped, what="ranges of ports")


@spec("FW-34", "A rule about source ports is about those that a packet comes from.", capability=BOTH)
def test_source_port(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b")
    apply_rules(firewall, "forward", Rule(DROP, protocol="udp", source_ports="5000-5001", destination_ports=_PORT))
    for family in (4, 6):
        flow = ONE.but(family=family)
        passing = [flow.but(sport=4999), flow.but(sport=5002), flow.but(dport=5000), flow.but(sport=5000, dport=9)]
        stopped = [flow.but(sport=5000), flow.but(sport=5001)]
        for one in passing:
            topology.passes(
                one, fence=CONTROL.but(family=family), what=f"{one}, where from ports 5000 and 5001 nothing passes"
            )
        for one in stopped:
            topology.stops(one, control=CONTROL.but(family=family), what=f"{one}, from a port that is dropped")


#: More than the 15 that iptables' multiport takes, a range counting twice.
_MANY_PORTS = [*range(3000, 3100, 5), *(f"{first}-{first + 4}" for first in range(4000, 4100, 10))]


@spec("FW-35", "A rule can be about any number of ports and ranges, and matches each of them.", capability=FILTER)
def test_many_ports(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b", families=(4,))
    inside, outside = (3000, 3070, 3095, 4000, 4054, 4094), (3001, 3100, 3999, 4055, 4095)
    listed, others = ([Flow(dport=port) for port in ports] for ports in (inside, outside))
    apply_rules(firewall, "forward", Rule(DROP, protocol="udp", destination_ports=_MANY_PORTS))
    sorts(topology, passing=others, stopped=listed, what="a list of 30 ports and ranges")


@spec("FW-36", "A rule about all ports but some is about none of those, however many.", capability=FILTER)
def test_not_these_ports(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b", families=(4,))
    apply_rules(firewall, "forward", Rule(DROP, protocol="udp", destination_ports=Not(_PORT)))
    sorts(topology, passing=[ONE], stopped=[Flow(dport=_PORT - 1), Flow(dport=_PORT + 1)], what="all but one port")
    replace_rules(firewall, Rule(DROP, protocol="udp", destination_ports=Not(*_MANY_PORTS)))
    inside, outside = (3000, 3095, 4000, 4094), (2999, 3001, 4095)
    passing, stopped = ([Flow(dport=port) for port in ports] for ports in (inside, outside))
    sorts(topology, passing=passing, stopped=stopped, what="all but a list of 30 ports and ranges")


@spec(
    "FW-37",
    "With lists of source ports and of destination ports, a rule matches every pair of them and nothing else.",
    level="full",
    capability=FILTER,
)
def test_ports_of_both_sides(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b", families=(4,))
    apply_rules(
        firewall, "forward", Rule(DROP, protocol="udp", source_ports=_MANY_PORTS, destination_ports=_MANY_PORTS)
    )
    passing = [ONE, Flow(sport=3000, dport=3001), Flow(sport=3001, dport=3000), Flow(sport=4095, dport=4094)]
    for flow in passing:
        topology.passes(flow, fence=CONTROL, what=f"{flow}, of which one port is not in the lists")
    for flow in (Flow(sport=3000, dport=3000), Flow(sport=4094, dport=3000), Flow(sport=3095, dport=4094)):
        topology.stops(flow, control=CONTROL, what=f"{flow}, of which both ports are in the lists")


# -- the rest -----------------------------------------------------------------------------------------


def _error(family: int, kind: int, code: int) -> Flow:
    """Return a flow of ICMP errors from a to b, about a packet from b to a that none has seen."""
    ends = ("10.0.1.2", "10.0.2.2") if family == 4 else ("fd00:0:0:1::2", "fd00:0:0:2::2")

    def craft(token: bytes) -> bytes:
        return packets.icmp_error(*ends, packets.udp(ends[1], ends[0], 4000, 4001, token), kind, code)

    return Flow(protocol="icmp", family=family, craft=craft)


@spec("FW-60", "A rule about a type of ICMP, or of ICMPv6, is about no other type.", capability=BOTH)
def test_icmp_type(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b")
    rules = (Rule(DROP, protocol=name, icmp_type="echo-request") for name in ("icmp", "ipv6-icmp"))
    apply_rules(firewall, "forward", *rules)
    for family, unreachable in ((4, (3, 1)), (6, (1, 3))):
        other = _error(family, *unreachable)
        topology.passes(other, what=f"an error of ICMP over IPv{family}, where echo requests are dropped")
        echo = Flow(protocol="icmp", family=family)
        topology.stops(echo, control=other, what=f"an echo request over IPv{family}, which is dropped")


@spec(
    "FW-61",
    "A rule about a type and a code of ICMP is about no other code; without a code, about all.",
    capability=BOTH,
)
def test_icmp_code(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b")
    cases = ((4, "icmp", 3, (1, 13)), (6, "ipv6-icmp", 1, (1, 3)))
    apply_rules(
        firewall, "forward", *(Rule(DROP, protocol=name, icmp_type=(kind, codes[0])) for _, name, kind, codes in cases)
    )
    for family, _, kind, (code, other) in cases:
        passing = _error(family, kind, other)
        topology.passes(passing, what=f"type {kind} code {other}, where code {code} is dropped")
        topology.stops(_error(family, kind, code), control=passing, what=f"type {kind} code {code}, which is dropped")
    replace_rules(firewall, *(Rule(DROP, protocol=name, icmp_type=kind) for _, name, kind, _ in cases))
    for family, _, kind, codes in cases:
        for code in codes:
            flow = _error(family, kind, code)
            topology.stops(
                flow, control=Flow(protocol="icmp", family=family), what=f"type {kind} code {code}, by its type"
            )


@spec(
    "FW-62",
    "A rule about a source MAC address is about no other sender.",
    level="full",
    capability=(*BOTH, Capability.SOURCE_MAC),
)
def test_source_mac(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b")
    own, other = topology.guests["a"].mac, net.new_mac()
    for hook, receiver in (("forward", "b"), ("input", "host")):
        apply_rules(firewall, hook, Rule(DROP, source_mac=own.upper(), **ABOUT_ONE), chain=f"{hook}-mac")
        for family in (4, 6):
            flow = ONE.but(receiver=receiver, family=family)
            from_other, control = flow.but(source_mac=other), flow.but(dport=CONTROL.dport)
            topology.passes(from_other, fence=control, what=f"{flow} from {other}, where {own} is dropped")
            topology.stops(flow, control=control, what=f"{flow} from {own}, which is dropped")
    replace_rules(firewall, Rule(DROP, source_mac=Not(own), **ABOUT_ONE), chain="forward-mac")
    topology.passes(ONE, fence=CONTROL, what=f"{ONE} from {own}, where all but that are dropped")
    topology.stops(ONE.but(source_mac=other), control=CONTROL, what=f"{ONE} from {other}")


@spec(
    "FW-63",
    "A comment says nothing about what a rule matches or does; with another one it is another rule.",
    capability=FILTER,
)
def test_comment(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b", families=(4,))
    tricky = "} ; accept # $(reboot) -j ACCEPT %s & | <x> [!] * ?"
    accept, drop = Rule(ACCEPT, comment=100 * "x", **ABOUT_ONE), Rule(DROP, protocol="udp", comment=tricky)
    apply_rules(firewall, "forward", accept, drop, Rule(DROP, protocol="udp"))
    control = Flow(protocol="icmp")
    topology.passes(ONE, what="a rule with a comment")
    topology.stops(CONTROL, control=control, what="a rule with a comment")
    firewall.remove_rule(CHAIN, drop)
    firewall.apply()
    topology.stops(CONTROL, control=control, what="the rule without the comment")
    firewall.remove_rule(CHAIN, Rule(DROP, protocol="udp"))
    firewall.apply()
    topology.passes(CONTROL, what="neither of the two rules")


@spec(
    "FW-64",
    "A rule with a limit matches as many packets as its burst says at once, and then no more.",
    level="full",
    capability=(FILTER, Capability.RATE_LIMIT),
)
def test_limit(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b", families=(4,))
    # Three an hour: what comes in addition while this runs is not one.
    apply_rules(
        firewall, "forward", Rule(ACCEPT, family=4, limit=Rate(3, "hour", 3), **ABOUT_ONE), Rule(DROP, **ABOUT_ONE)
    )
    for number in (1, 2, 3):
        topology.passes(ONE, fence=CONTROL, what=f"packet {number} of a burst of 3")
    for number in (4, 5):
        topology.stops(ONE, control=CONTROL, what=f"packet {number} of a burst of 3")


@spec(
    "FW-68",
    "A limit of a rule about several addresses and ports is one for all of them together.",
    level="full",
    capability=(FILTER, Capability.RATE_LIMIT),
)
def test_limit_of_several(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b", families=(4,))
    sources = ("10.0.1.2", "10.0.1.77", "10.0.1.200")
    ports = tuple(range(7001, 7041, 2))
    about: dict[str, Any] = {"protocol": "udp", "source": sources, "destination_ports": ports}
    apply_rules(firewall, "forward", Rule(ACCEPT, limit=Rate(2, "hour", 2), **about), Rule(DROP, **about))
    flows = [ONE.but(source=source, dport=port) for source, port in zip(sources, ports, strict=False)]
    flows += [ONE.but(source=source, dport=port) for source, port in zip(sources, ports[-3:], strict=False)]
    for flow in flows[:2]:
        topology.passes(flow, fence=CONTROL, what=f"{flow}, of a burst of 2 that several share")
    for flow in flows[2:]:
        topology.stops(flow, control=CONTROL, what=f"{flow}, after a burst of 2 that several share")
