"""Where a rule stands: tables, hooks, chains that several rules jump to, and the devices that a hook knows."""

from __future__ import annotations

from conformance.harness import FirewallUnderTest
from conformance.spec import spec
from conformance.specs.firewall.ground import drop, lay, model, standing
from conformance.specs.firewall.probes import BOTH, FILTER
from conformance.specs.firewall.tampering import accepted_before, double_rules
from conformance.system import LINUX
from conformance.topology.routed import HOST, Flow, Routed
from conformance.topology.sandbox import Sandbox
from refnet.firewall import ACCEPT, DROP, Capability, Jump, Mark, Rule, SetMark, Snat

#: Who goes by each hook, and who does not.
_BY_HOOK: dict[str, tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]] = {
    "prerouting": ((("a", "b"), ("a", HOST)), ((HOST, "b"),)),
    "input": ((("a", HOST),), (("a", "b"), (HOST, "b"))),
    "forward": ((("a", "b"),), (("a", HOST), (HOST, "b"))),
    "output": (((HOST, "b"),), (("a", "b"), ("a", HOST))),
    "postrouting": ((("a", "b"), (HOST, "b")), (("a", HOST),)),
}
_OPEN = Flow(dport=7000)


# -- tables and hooks ---------------------------------------------------------------------------------


@spec(
    "FW-27",
    "A chain of table mangle is asked at its hook, which may be any of the five, and at no other.",
    level="full",
    capability=(*BOTH, Capability.MARK),
)
def test_mangle_at_each_hook(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b")
    # A mark as well: what cannot be given one has no table mangle.
    for hook, (by_it, not_by_it) in _BY_HOOK.items():
        chain = lay(firewall, Rule(SetMark(1), protocol="udp"), drop(7001), hook=hook, table="mangle")
        firewall.apply()
        for family in (4, 6):
            for sender, receiver in not_by_it:
                other = Flow(sender, receiver, dport=7001, family=family)
                topology.passes(other, what=f"a rule of table mangle at {hook}: {other} does not go by there")
            for sender, receiver in by_it:
                flow = Flow(sender, receiver, dport=7001, family=family)
                topology.stops(flow, control=flow.but(dport=7000), what=f"a rule of table mangle at {hook}")
        firewall.remove_chain(chain, table="mangle")


@spec(
    "FW-26",
    "A mark that is given on the way through, or out, is there for the filter at that hook, in both families.",
    level="full",
    capability=(*BOTH, Capability.MARK),
)
def test_marks_on_the_way(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b")
    for hook in ("forward", "output"):
        lay(
            firewall,
            Rule(SetMark(0x57), protocol="udp", destination_ports=7001),
            Rule(SetMark(0x58), protocol="udp", destination_ports=7002),
            hook=hook,
            table="mangle",
        )
        lay(firewall, Rule(DROP, mark=Mark(0x57)), hook=hook)
    firewall.apply()
    for family in (4, 6):
        for sender in ("a", HOST):
            flow = Flow(sender, "b", dport=7001, family=family)
            topology.passes(flow.but(dport=7002), what="what has another mark")
            topology.stops(flow, control=flow.but(dport=7000), what="what is dropped by its mark")


@spec(
    "FW-55",
    "A rule about the interface that packets to this host come by, or its own leave by, is about no other.",
    capability=BOTH,
)
def test_interfaces_of_this_host(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b")
    device = topology.device("a")
    lay(firewall, Rule(DROP, in_interface=device, protocol="udp", destination_ports=7001), hook="input")
    lay(firewall, Rule(DROP, out_interface=device, protocol="udp", destination_ports=7001), hook="output")
    firewall.apply()
    for family in (4, 6):
        for about, other in ((("a", HOST), ("b", HOST)), ((HOST, "a"), (HOST, "b"))):
            flow = Flow(*other, dport=7001, family=family)
            topology.passes(flow, what=f"{flow}, where {device} is meant: it did not arrive")
            flow = Flow(*about, dport=7001, family=family)
            topology.stops(flow, control=flow.but(dport=7000), what=f"{flow}, where {device} is meant")


# -- chains -------------------------------------------------------------------------------------------


@spec(
    "FW-25",
    "Several rules, at several hooks, can jump to one chain; when one of them goes, it is asked for the others.",
    capability=FILTER,
)
def test_shared_chain(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b", "c", families=(4,))
    with firewall.deferred():
        firewall.add_chain("shared")
        firewall.add_rule("shared", drop(7001))
        jumps = {name: Rule(Jump("shared"), source=topology.address(name)) for name in ("a", "c")}
        forward = lay(firewall, *jumps.values())
        lay(firewall, Rule(Jump("shared")), hook="input")
    to_host, through, of_c = Flow("a", HOST, dport=7001), Flow("a", "b", dport=7001), Flow("c", "b", dport=7001)
    for flow in (through, of_c, to_host):
        topology.stops(flow, control=flow.but(dport=7000), what="a chain that several rules jump to")
    firewall.remove_rule(forward, jumps["a"])
    firewall.apply()
    topology.passes(through, what="a packet that no rule sends to the shared chain any more")
    for flow in (of_c, to_host):
        topology.stops(flow, control=flow.but(dport=7000), what="a shared chain, one of the jumps removed")
    firewall.add_rule("shared", drop(7002))
    firewall.apply()
    for flow in (of_c, to_host):
        topology.stops(flow.but(dport=7002), control=flow.but(dport=7000), what="a rule that a shared chain has got")


@spec(
    "CV-16",
    "Chains of one name in several tables are several chains: each is filled, emptied and removed by itself.",
    capability=(FILTER, Capability.NAT),
)
def test_name_in_two_tables(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    lay(firewall, drop(7001), drop(7002), chain="guests")
    lay(firewall, Rule(Snat("192.0.2.7"), protocol="udp"), hook="postrouting", table="nat", chain="guests")
    firewall.apply()

    def see(*, dropped: bool, source: str, after: str) -> None:
        flow = Flow(dport=7001)
        if dropped:
            r.stops(flow, control=_OPEN, what=f"what table filter drops, after {after}")
        else:
            r.passes(flow, what=f"what table filter dropped, after {after}")
        seen = r.passes(_OPEN, what=f"what table nat translates at most, after {after}")
        assert seen.source == source, f"what table nat makes of it, after {after}: b sees {seen.source}, not {source}"

    see(dropped=True, source="192.0.2.7", after="the first apply")
    firewall.empty_chain("guests")
    firewall.apply()
    see(dropped=False, source="192.0.2.7", after="the chain of table filter was emptied")
    firewall.add_rule("guests", drop(7001))
    firewall.remove_chain("guests", table="nat")
    firewall.apply()
    see(dropped=True, source=r.address("a"), after="the chain of table nat was removed")
    assert standing(firewall) == model(firewall), f"there stands {standing(firewall)}"


@spec(
    "CV-17",
    "A manager that comes after has its chains asked in its own order, not in that of the manager before.",
    capability=FILTER,
)
def test_other_turn(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    chains = {"one": drop(7001), "two": Rule(ACCEPT, protocol="udp", destination_ports=7001)}
    earlier = firewall.fresh()
    for name, rule in chains.items():
        lay(earlier, rule, chain=name)
    earlier.apply()
    flow = Flow(dport=7001)
    r.stops(flow, control=_OPEN, what="what is dropped before it is accepted")
    for name in reversed(chains):
        lay(firewall, chains[name], chain=name)
    firewall.apply()
    r.passes(flow, what="what is accepted first now")
    earlier.resync()
    r.stops(flow, control=_OPEN, what="what is dropped first again")


@spec(
    "CV-18",
    "When somebody has had one of the owner's rules stand twice, or in another order, resync mends it.",
    capability=FILTER,
    systems=(LINUX,),
)
def test_doubled(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    accept = Rule(ACCEPT, protocol="udp", destination_ports="7001-7002")
    rules = [accept, drop(7001), drop(7002)]
    chain = lay(firewall, *rules)
    firewall.apply()
    expected = model(firewall)
    other = firewall.fresh()
    lay(other, *reversed(rules))
    other.apply()
    r.stops(Flow(dport=7001), control=_OPEN, what="what rules drop that somebody has reversed")
    firewall.resync()
    r.passes(Flow(dport=7001), what="what rules accept, after resync over their reverse")
    double_rules(net, 7001)
    firewall.resync()
    found = standing(firewall)
    assert found == expected, f"after resync over a rule that stood twice, there stands {found}"
    firewall.remove_rule(chain, accept)
    firewall.remove_rule(chain, drop(7001))
    firewall.apply()
    r.passes(Flow(dport=7001), what="what a rule dropped that was removed, after resync over two of it")
    r.stops(Flow(dport=7002), control=_OPEN, what="what the other rule drops, after that")


@spec(
    "OW-11",
    "When somebody has put rules before the owner's at a hook, resync has the owner's come first again.",
    capability=(FILTER, Capability.POSITION),
    systems=(LINUX,),
)
def test_first_again(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    lay(firewall, drop(7001))
    firewall.apply()
    flow = Flow(dport=7001)
    r.stops(flow, control=_OPEN, what="what the owner's rules drop")
    with accepted_before(net, 7001):
        firewall.resync()
        r.stops(flow, control=_OPEN, what="what the owner's rules drop, after resync over rules of somebody else's")
        assert standing(firewall) == model(firewall), f"after resync, there stands {standing(firewall)}"
