"""Filtering: what decides about a packet, in which order, and at which hook."""

from __future__ import annotations

from typing import Any

from conformance.errors import Inconclusive
from conformance.harness import FirewallUnderTest
from conformance.spec import spec
from conformance.specs.firewall.probes import BOTH, CHAIN, FILTER, apply_rules, replace_rules, sorts
from conformance.topology.parsing import Checksum
from conformance.topology.routed import HOST, Flow, Routed
from conformance.topology.sandbox import Sandbox
from refnet.firewall import ACCEPT, CHECKSUM_FILL, DROP, RETURN, Capability, Jump, Log, Mark, Rule, SetMark

#: The ways through, to, and from the sandbox, by the hook that is on each.
_WAYS = {"forward": ("a", "b"), "input": ("a", HOST), "output": (HOST, "b")}
_A, _B, _C, _D = (Flow(dport=port) for port in (7001, 7002, 7003, 7004))


def _udp(*ports: int | str) -> dict[str, Any]:
    return {"protocol": "udp", "destination_ports": ports}


# -- defaults -----------------------------------------------------------------------------------------


@spec("FW-01", "What no rule decides passes, at every hook and in both families.", capability=BOTH)
def test_nothing_decides(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b")
    with firewall.deferred():
        for hook in _WAYS:
            firewall.add_chain(hook, hook=hook)
            firewall.add_rule(hook, Rule(DROP, **_udp(9)))
    for hook, (sender, receiver) in _WAYS.items():
        for family in (4, 6):
            flow = Flow(sender, receiver, family=family)
            topology.passes(flow, what=f"{flow} at {hook}, where no rule is about it")


@spec("FW-02", "A rule without conditions stops every packet at its hook, of any kind and family.", capability=BOTH)
def test_all_is_dropped(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b")
    apply_rules(firewall, "forward", Rule(DROP))
    for family in (4, 6):
        for protocol in ("udp", "tcp", "icmp", 253):
            flow = Flow(protocol=protocol, family=family)
            topology.stops(flow, control=Flow(HOST, "b", family=family), what=f"{flow}, with all dropped")


@spec("FW-03", "Rules take effect with apply, and not before.", capability=FILTER)
def test_nothing_before_apply(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b", families=(4,))
    firewall.add_chain(CHAIN, hook="forward")
    firewall.add_rule(CHAIN, Rule(DROP, **_udp(_A.dport)))
    topology.passes(_A, what="a rule that was not applied")
    firewall.apply()
    sorts(topology, passing=[_B], stopped=[_A], what="the rule applied")


@spec(
    "FW-04",
    "A rule that is removed, by itself, with all of its chain's or with the chain, has no effect from the next apply.",
    capability=FILTER,
)
def test_removed(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b", families=(4,))
    one, other, third = (Rule(DROP, **_udp(flow.dport)) for flow in (_A, _B, _C))
    apply_rules(firewall, "forward", one, other, third)
    sorts(topology, passing=[_D], stopped=[_A, _B, _C], what="three rules")
    firewall.remove_rule(CHAIN, one)
    firewall.apply()
    sorts(topology, passing=[_A], stopped=[_B, _C], what="the first rule removed")
    replace_rules(firewall, one)
    sorts(topology, passing=[_B, _C], stopped=[_A], what="the chain emptied, and the first rule added again")
    firewall.remove_chain(CHAIN)
    firewall.apply()
    topology.passes(_A, what="the chain removed")


# -- order --------------------------------------------------------------------------------------------


@spec("FW-05", "The first rule that decides about a packet is the one that counts.", capability=FILTER)
def test_first_match(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b", families=(4,))
    apply_rules(
        firewall,
        "forward",
        Rule(ACCEPT, **_udp(_A.dport)),
        Rule(DROP, **_udp(_A.dport, _B.dport)),
        Rule(ACCEPT, **_udp(_B.dport)),
    )
    sorts(topology, passing=[_A], stopped=[_B], what="rules that say different things")


@spec(
    "FW-06",
    "A rule added with first=True comes before all that are there, the latest at the very top.",
    capability=FILTER,
)
def test_first(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b", families=(4,))
    apply_rules(firewall, "forward", Rule(DROP, protocol="udp"))
    firewall.add_rule(CHAIN, Rule(ACCEPT, **_udp(f"{_A.dport}-{_B.dport}")), first=True)
    firewall.apply()
    sorts(topology, passing=[_A, _B], stopped=[_C], what="a rule added first to a chain that stands")
    firewall.add_rule(CHAIN, Rule(DROP, **_udp(_B.dport)), first=True)
    firewall.add_rule(CHAIN, Rule(ACCEPT, **_udp(_C.dport)), first=True)
    firewall.apply()
    sorts(topology, passing=[_A, _C], stopped=[_B], what="two more added first")


@spec(
    "FW-07", "A rule that its chain has already stays where it is, and goes when it is removed once.", capability=FILTER
)
def test_added_again(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b", families=(4,))
    accept, drop = (
        Rule(ACCEPT, **_udp(_A.dport)),
        Rule(DROP, protocol="udp", destination_ports=f"{_A.dport}-{_B.dport}"),
    )
    apply_rules(firewall, "forward", accept, drop)
    firewall.add_rule(CHAIN, accept)
    firewall.add_rule(CHAIN, drop, first=True)
    firewall.apply()
    sorts(topology, passing=[_A], stopped=[_B], what="both rules added again at other places")
    firewall.remove_rule(CHAIN, drop)
    firewall.apply()
    topology.passes(_B, what="the rule that was added twice and removed once")


@spec("FW-08", "Chains on one hook are asked in the order in which they were added.", capability=FILTER)
def test_two_chains(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b", families=(4,))
    with firewall.deferred():
        # By their names, they would be asked the other way round.
        for chain in ("zeta", "alpha"):
            firewall.add_chain(chain, hook="forward")
        firewall.add_rule("alpha", Rule(DROP, **_udp(_A.dport, _B.dport)))
        firewall.add_rule("alpha", Rule(ACCEPT, **_udp(_C.dport)))
        firewall.add_rule("zeta", Rule(ACCEPT, **_udp(_A.dport)))
        firewall.add_rule("zeta", Rule(DROP, **_udp(_C.dport)))
    sorts(topology, passing=[_A, _D], stopped=[_B, _C], what="two chains on a hook")


@spec("FW-09", "With 200 rules, each of them counts, to the very last.", capability=FILTER)
def test_many_rules(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b", families=(4,))
    rules = [Rule(DROP, protocol="udp", destination_ports=20_000 + number) for number in range(198)]
    apply_rules(firewall, "forward", *rules, Rule(ACCEPT, **_udp(_A.dport)), Rule(DROP, protocol="udp"))
    stopped = [Flow(dport=20_000), Flow(dport=20_100), Flow(dport=20_197), _B]
    sorts(topology, passing=[_A], stopped=stopped, what="the decision is in one of 200 rules")


# -- families -----------------------------------------------------------------------------------------


@spec("FW-10", "A rule of one family leaves the other alone.", capability=BOTH)
def test_families_apart(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b")
    drop_four, drop_six = (Rule(DROP, family=family, **_udp(_A.dport)) for family in (4, 6))
    apply_rules(firewall, "forward", drop_four)
    sorts(topology, passing=[_A.but(family=6)], stopped=[], what="a rule about IPv4")
    sorts(topology, passing=[_B], stopped=[_A], what="a rule about IPv4")
    replace_rules(firewall, drop_six)
    sorts(topology, passing=[_A], stopped=[], what="a rule about IPv6")
    sorts(topology, passing=[_B.but(family=6)], stopped=[_A.but(family=6)], what="a rule about IPv6")


@spec("FW-11", "A rule of no family is about both.", capability=BOTH)
def test_both_families(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b")
    apply_rules(firewall, "forward", Rule(ACCEPT, **_udp(_A.dport)), Rule(DROP, protocol="udp"))
    for family in (4, 6):
        sorts(topology, passing=[_A.but(family=family)], stopped=[_B.but(family=family)], what=f"IPv{family}")


@spec("FW-12", "Letting ICMP pass does not let ICMPv6 pass, nor the other way round.", capability=BOTH)
def test_icmp_is_not_icmpv6(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b")
    four, six = Flow(protocol="icmp"), Flow(protocol="icmp", family=6)
    apply_rules(firewall, "forward", Rule(ACCEPT, protocol="icmp"), Rule(DROP))
    topology.passes(four, what="ICMP, which is accepted")
    topology.stops(six, control=Flow(HOST, "b", family=6), what="ICMPv6, where ICMP is accepted")
    replace_rules(firewall, Rule(ACCEPT, protocol="ipv6-icmp"), Rule(DROP))
    topology.passes(six, what="ICMPv6, which is accepted")
    topology.stops(four, control=Flow(HOST, "b"), what="ICMP, where ICMPv6 is accepted")


# -- hooks --------------------------------------------------------------------------------------------


def _at_hook_only(firewall: FirewallUnderTest, net: Sandbox, hook: str) -> None:
    topology = Routed(net, "a", "b")
    apply_rules(firewall, hook, Rule(DROP, **_udp(_A.dport)))
    for family in (4, 6):
        for other, (sender, receiver) in _WAYS.items():
            flow = _A.but(sender=sender, receiver=receiver, family=family)
            if other == hook:
                sorts(topology, passing=[flow.but(dport=_B.dport)], stopped=[flow], what=f"a rule at {hook}")
            else:
                topology.passes(flow, what=f"a rule at {hook}: {flow} does not go by there")


@spec("FW-13", "At hook input are the packets to this host, and no others.", capability=BOTH)
def test_input(firewall: FirewallUnderTest, net: Sandbox) -> None:
    _at_hook_only(firewall, net, "input")


@spec("FW-14", "At hook forward are the packets through this host, and no others.", capability=BOTH)
def test_forward(firewall: FirewallUnderTest, net: Sandbox) -> None:
    _at_hook_only(firewall, net, "forward")


@spec("FW-15", "At hook output are this host's own packets, and no others.", capability=BOTH)
def test_output(firewall: FirewallUnderTest, net: Sandbox) -> None:
    _at_hook_only(firewall, net, "output")


# -- chains that are jumped to ------------------------------------------------------------------------


@spec(
    "FW-16",
    "A jump takes the packets that its rule matches, and no others, to another chain; those that it does not decide "
    "come back.",
    capability=FILTER,
)
def test_jump(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b", "c", families=(4,))
    with firewall.deferred():
        firewall.add_chain("empty")
        firewall.add_chain("guests")
        firewall.add_rule("guests", Rule(DROP, **_udp(_A.dport)))
        firewall.add_chain(CHAIN, hook="forward")
        firewall.add_rule(CHAIN, Rule(Jump("empty")))
        firewall.add_rule(CHAIN, Rule(Jump("guests"), source=topology.address("a")))
        firewall.add_rule(CHAIN, Rule(DROP, **_udp(_B.dport)))
    sorts(topology, passing=[_C], stopped=[_A, _B], what="a jump")
    topology.passes(_A.but(sender="c"), what="a packet that the jump is not about")


@spec("FW-17", "RETURN goes back to the rule behind the jump, one chain up, and decides nothing.", capability=FILTER)
def test_return(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b", families=(4,))
    with firewall.deferred():
        for chain in ("inner", "outer"):
            firewall.add_chain(chain)
        firewall.add_rule("inner", Rule(RETURN, **_udp(f"{_A.dport}-{_C.dport}")))
        firewall.add_rule("inner", Rule(DROP, **_udp(f"{_A.dport}-{_D.dport}")))
        firewall.add_rule("outer", Rule(Jump("inner")))
        firewall.add_rule("outer", Rule(DROP, **_udp(_B.dport)))
        firewall.add_chain(CHAIN, hook="forward")
        firewall.add_rule(CHAIN, Rule(Jump("outer")))
        firewall.add_rule(CHAIN, Rule(DROP, **_udp(_C.dport)))
    # One that is decided by nobody, one in the chain that is returned to, one above it, one that does not return.
    sorts(topology, passing=[_A], stopped=[_B, _C, _D], what="a return")


@spec("FW-18", "ACCEPT in a chain that is jumped to decides for all rules that called it.", capability=FILTER)
def test_accept_below(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b", families=(4,))
    with firewall.deferred():
        for chain in ("inner", "outer"):
            firewall.add_chain(chain)
        firewall.add_rule("inner", Rule(ACCEPT, **_udp(_A.dport)))
        firewall.add_rule("outer", Rule(Jump("inner")))
        firewall.add_rule("outer", Rule(DROP, **_udp(f"{_A.dport}-{_B.dport}")))
        firewall.add_chain(CHAIN, hook="forward")
        firewall.add_rule(CHAIN, Rule(Jump("outer")))
        firewall.add_rule(CHAIN, Rule(DROP, **_udp(_A.dport, _C.dport)))
    sorts(topology, passing=[_A], stopped=[_B, _C], what="an accept two chains down")


@spec("FW-19", "RETURN in a chain on a hook goes on with the next chain there.", capability=FILTER)
def test_return_on_hook(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b", families=(4,))
    with firewall.deferred():
        firewall.add_chain("one", hook="forward")
        firewall.add_chain("two", hook="forward")
        firewall.add_rule("one", Rule(RETURN, **_udp(f"{_A.dport}-{_B.dport}")))
        firewall.add_rule("one", Rule(DROP, **_udp(f"{_A.dport}-{_C.dport}")))
        firewall.add_rule("two", Rule(DROP, **_udp(_B.dport)))
    sorts(topology, passing=[_A], stopped=[_B, _C], what="a return in a chain on a hook")


@spec("FW-20", "Chains whose names of 64 characters differ in the last one are two.", level="full", capability=FILTER)
def test_long_names(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b", families=(4,))
    one, other = "chain-" + 57 * "x" + "1", "chain-" + 57 * "x" + "2"
    with firewall.deferred():
        for chain, flow in ((one, _A), (other, _B)):
            firewall.add_chain(chain)
            firewall.add_rule(chain, Rule(DROP, **_udp(flow.dport)))
        firewall.add_chain(CHAIN, hook="forward")
        firewall.add_rule(CHAIN, Rule(Jump(one)))
    sorts(topology, passing=[_B], stopped=[_A], what="a jump to the first")
    firewall.add_rule(CHAIN, Rule(Jump(other)))
    firewall.apply()
    sorts(topology, passing=[_C], stopped=[_A, _B], what="a jump to the second as well")


# -- what goes on -------------------------------------------------------------------------------------


@spec("FW-21", "LOG decides nothing: the rules behind it do.", level="full", capability=(FILTER, Capability.LOG))
def test_log_goes_on(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b", families=(4,))
    log = Rule(Log("suite: a; {} $(x)"), protocol="udp")
    apply_rules(firewall, "forward", log, Rule(ACCEPT, **_udp(_A.dport)), Rule(Log()), Rule(DROP, protocol="udp"))
    sorts(topology, passing=[_A], stopped=[_B], what="rules behind a log")


@spec(
    "FW-22",
    "A mark that the mangle table gives a packet, later rules match by the bits of their mask; giving it goes on.",
    level="full",
    capability=(FILTER, Capability.MARK),
)
def test_mark(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b", families=(4,))
    with firewall.deferred():
        firewall.add_chain("marks", hook="prerouting", table="mangle")
        for rule in (
            Rule(SetMark(0x57), **_udp(_A.dport, _B.dport)),
            Rule(SetMark(0x30, 0xF0), **_udp(_B.dport)),  # 0x37
            Rule(SetMark(0x02), **_udp(_C.dport)),
        ):
            firewall.add_rule("marks", rule, table="mangle")
        firewall.add_chain(CHAIN, hook="forward")
        firewall.add_rule(CHAIN, Rule(ACCEPT, protocol="udp", mark=Mark(0x37)))
        firewall.add_rule(CHAIN, Rule(DROP, protocol="udp", mark=Mark(0x07, 0x0F)))
        for wrong in (0x2, 0x30):
            firewall.add_rule(CHAIN, Rule(DROP, protocol="udp", mark=Mark(wrong)))
    sorts(topology, passing=[_D, _B], stopped=[_A, _C], what="marks")


@spec(
    "FW-23",
    "A rule that fills in checksums has the datagrams that it is about leave computed, where a device was to do it.",
    level="full",
    capability=(FILTER, Capability.CHECKSUM_FILL),
)
def test_checksum_is_filled_in(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a")
    with firewall.deferred():
        firewall.add_chain("sums", hook="postrouting", table="mangle")
        firewall.add_rule("sums", Rule(CHECKSUM_FILL, **_udp(68), out_interface=topology.port("a")), table="mangle")
    for family in (4, 6):
        to_client = Flow(HOST, "a", dport=68, family=family)
        other = topology.datagram(to_client.but(dport=69), what="a datagram that no rule is about")
        if other.checksum is not Checksum.PARTIAL:
            raise Inconclusive(f"nothing is left to a device here: the checksum is {other.checksum.value}")
        packet = topology.datagram(to_client, what="a datagram whose checksum is filled in")
        assert packet.checksum is Checksum.GOOD, f"the checksum of {packet} is {packet.checksum.value}"
