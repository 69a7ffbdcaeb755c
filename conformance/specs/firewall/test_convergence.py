"""The host and the model: what apply costs, what brings them together again, and what deferred() holds back."""

from __future__ import annotations

from conformance import faults
from conformance.errors import SuiteError
from conformance.harness import FirewallUnderTest, in_child
from conformance.spec import spec
from conformance.specs.firewall.ground import drop, lay, model, standing
from conformance.specs.firewall.tampering import accept_before, remove_rules
from conformance.system import LINUX
from conformance.topology.routed import Flow, Routed
from conformance.topology.sandbox import Sandbox
from refnet.firewall import ACCEPT, DROP, Capability, Jump, Rule

FILTER = Capability.FILTER
OPEN = Flow("a", "b", "udp", 7000)
CLOSED = OPEN.but(dport=7001)


class Interruption(Exception):
    """What leaves a block that is deferred."""


@spec(
    "CV-01",
    "With nothing to do, apply writes nothing and starts no program; with a rule added and removed again neither.",
    capability=FILTER,
)
def test_second_apply(firewall: FirewallUnderTest, net: Sandbox) -> None:
    chain = lay(firewall, drop(7001), drop(7002))
    lay(firewall, drop(7003), hook="input")
    firewall.apply()
    with net.look.unwritten("the second apply"), faults.injected(0) as seen:
        firewall.apply()
        firewall.apply()
        assert not seen.requests, f"the second apply has started {seen.requests} programs or the like"
        firewall.add_rule(chain, drop(7004))
        firewall.add_rule(chain, drop(7001))
        firewall.remove_rule(chain, drop(7004))
        firewall.remove_rule(chain, drop(7005))
        firewall.apply()
        assert not seen.requests, f"with a rule added and removed, apply has started {seen.requests} programs"


@spec("CV-02", "A manager without rules, where none of its owner stand, changes nothing.", capability=FILTER)
def test_empty(firewall: FirewallUnderTest, net: Sandbox) -> None:
    net.foreign_rules(firewall.owner)
    for what, call in (("apply", firewall.apply), ("resync", firewall.resync), ("teardown", firewall.teardown)):
        with net.look.unchanged(f"{what} of an empty manager"):
            call()


@spec(
    "CV-03",
    "When somebody has flushed all rules, resync restores the owner's.",
    capability=FILTER,
)
def test_flushed(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    lay(firewall, drop(7001))
    firewall.apply()
    r.stops(CLOSED, control=OPEN, what="what the rules drop")
    net.flush_rules()
    r.passes(CLOSED, what="what the rules dropped that somebody has flushed")
    net.prepare_firewall()
    firewall.resync()
    r.stops(CLOSED, control=OPEN, what="what the rules drop, after a flush and resync")
    expected = model(firewall)
    found = standing(firewall.fresh())
    assert found == expected, f"after a flush and resync, there stands {found}"


@spec(
    "CV-04",
    "When somebody has removed one of the owner's rules, added one, or moved one, resync restores rules and order.",
    capability=FILTER,
)
def test_tampered(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    chain = lay(firewall, drop(7001), drop(7002), drop(7003))
    firewall.apply()
    expected = model(firewall)
    tampered = ((drop(7002), drop(7003)), (drop(7000), drop(7001), drop(7002), drop(7003)), (drop(7003), drop(7001)))
    for rules in tampered:
        # Whoever it is that has tampered with them: that they stand so is all that the manager can see.
        other = firewall.fresh()
        lay(other, *rules)
        other.apply()
        firewall.resync()
        r.stops(CLOSED, control=OPEN, what=f"what the rules drop, after resync over {len(rules)} rules")
        found = standing(firewall)
        assert found == expected, f"after resync over {rules}, there stands {found}"
    assert firewall.rules(chain) == (drop(7001), drop(7002), drop(7003)), "resync has changed the model"


@spec(
    "CV-05",
    "A manager of a new process with the same rules leaves them standing and counting, and works on from there.",
    capability=FILTER,
)
def test_new_process(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    rules = (drop(7001), drop(7002))

    def earlier() -> None:
        manager = firewall.fresh()
        lay(manager, *rules)
        manager.apply()

    assert in_child(earlier) == 0, "a manager does not work in a child process"
    chain = lay(firewall, *rules)
    r.stops(CLOSED, control=OPEN, what="what the earlier process drops")
    counted = {(one.place, one.rule): one.packets for one in net.look.counters() if one.packets}
    if not counted:
        raise SuiteError("a rule has dropped a packet, and no rule has counted any: this proves nothing")
    with net.look.unannounced("the apply of a new process, over the same rules"):
        firewall.apply()
    count_now = {(one.place, one.rule): one.packets for one in net.look.counters()}
    reset = [
        f"{place}: {rule}" for (place, rule), packets in counted.items() if count_now.get((place, rule), 0) < packets
    ]
    assert not reset, f"the apply of a new process, over the same rules, has begun to count anew: {reset}"
    firewall.add_rule(chain, drop(7003))
    firewall.remove_rule(chain, drop(7002))
    firewall.apply()
    for port in (7001, 7003):
        r.stops(OPEN.but(dport=port), control=OPEN, what=f"port {port}, which this process drops")
    r.passes(OPEN.but(dport=7002), what="port 7002, which this process does not drop any more")


@spec("CV-06", "Within deferred() nothing is applied; its end applies all of it.", capability=FILTER)
def test_deferred(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    with firewall.deferred():
        with net.look.unwritten("what is called within deferred()"), faults.injected(0) as seen:
            chain = lay(firewall, drop(7001))
            firewall.apply()
            firewall.add_rule(chain, drop(7002))
            firewall.apply()
        assert not seen.requests, f"within deferred(), {seen.requests} programs or the like were started"
        r.passes(CLOSED, what="what is to be dropped, before the end of deferred()")
    for port in (7001, 7002):
        r.stops(OPEN.but(dport=port), control=OPEN, what=f"port {port}, after the end of deferred()")


@spec(
    "CV-07",
    "When an exception leaves deferred(), nothing is applied, and the model is as before it.",
    capability=FILTER,
)
def test_deferred_exception(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    chain = lay(firewall, drop(7001), drop(7002))
    firewall.apply()
    before = model(firewall)
    with net.look.unwritten("a block that an exception has left"):
        try:
            with firewall.deferred():
                firewall.remove_rule(chain, drop(7001))
                firewall.add_rule(chain, drop(7003), first=True)
                lay(firewall, drop(7004), chain="another")
                firewall.apply()
                raise Interruption
        except Interruption:
            pass
        found = model(firewall)
        assert found == before, f"an exception has left deferred(), and the model is {found}"
        firewall.apply()
    r.stops(CLOSED, control=OPEN, what="what is dropped as before the block")
    r.passes(OPEN.but(dport=7003), what="what was to be dropped by the block that an exception has left")
    firewall.add_rule(chain, drop(7005))
    firewall.apply()
    assert standing(firewall) == model(firewall), f"after a block that failed, there stands {standing(firewall)}"


@spec("CV-08", "Of deferred() blocks within each other, the end of the outermost applies.", capability=FILTER)
def test_nested(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    chain = lay(firewall, drop(7009))
    firewall.apply()
    with firewall.deferred():
        with firewall.deferred():
            firewall.add_rule(chain, drop(7001))
        r.passes(CLOSED, what="what is to be dropped, at the end of the inner block")
        firewall.apply()
        r.passes(CLOSED, what="what is to be dropped, at an apply in the outer block")
    r.stops(CLOSED, control=OPEN, what="what is dropped, at the end of the outer block")


@spec(
    "CV-09",
    "A rule that is removed, a chain that is emptied and one that is removed have no effect from the next apply on.",
    capability=FILTER,
)
def test_removals(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    one = lay(firewall, drop(7001), drop(7002), chain="one")
    two = lay(firewall, drop(7003), chain="two")
    three = lay(firewall, drop(7004), chain="three")
    firewall.apply()
    firewall.remove_rule(one, drop(7001))
    firewall.empty_chain(two)
    firewall.remove_chain(three)
    for port in (7001, 7003, 7004):
        r.stops(OPEN.but(dport=port), control=OPEN, what=f"port {port}, before the apply")
    firewall.apply()
    for port, what in ((7001, "rule"), (7003, "chain that was emptied"), (7004, "chain")):
        r.passes(OPEN.but(dport=port), what=f"what a {what} dropped that is removed")
    r.stops(OPEN.but(dport=7002), control=OPEN, what="what the rule drops that is left")


@spec(
    "CV-10",
    "Whatever is added, removed and moved between two applies, what stands is the model.",
    level="full",
    capability=FILTER,
)
def test_many_steps(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    firewall.add_chain("one", hook="forward")
    for _ in range(8):
        for _ in range(6):
            port, first = net.random.randrange(7001, 7009), net.random.random() < 0.5
            step = net.random.randrange(5)
            if step < 3:
                firewall.add_rule("one", drop(port), first=first)
            elif step == 3:
                firewall.remove_rule("one", drop(port))
            else:
                firewall.add_chain("two")
                firewall.add_rule("two", drop(port + 100), first=first)
                firewall.add_rule("one", Rule(Jump("two")), first=first)
        if net.random.random() < 0.3:
            firewall.remove_rule("one", Rule(Jump("two")))
            firewall.remove_chain("two")
        firewall.apply()
        expected = {name: rules for name, rules in model(firewall).items() if rules}
        found = {name: rules for name, rules in standing(firewall).items() if rules}
        assert found == expected, f"after these steps there is to stand {expected}, and there stands {found}"
    for port in range(7001, 7009):
        flow = OPEN.but(dport=port)
        if drop(port) in firewall.rules("one"):
            r.stops(flow, control=OPEN, what=f"port {port}, which a rule drops")
        else:
            r.passes(flow, what=f"port {port}, which no rule drops")


@spec(
    "CV-11",
    "When somebody has flushed all rules, the next apply of a change restores the others with it.",
    capability=FILTER,
)
def test_flushed_and_changed(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    chain = lay(firewall, drop(7001), drop(7002))
    firewall.apply()
    net.flush_rules()
    net.prepare_firewall()
    firewall.add_rule(chain, drop(7003))
    firewall.remove_rule(chain, drop(7002))
    firewall.apply()
    for port in (7001, 7003):
        r.stops(OPEN.but(dport=port), control=OPEN, what=f"port {port}, after a flush and the apply of a change")
    r.passes(OPEN.but(dport=7002), what="what a rule dropped that was removed after a flush")
    assert standing(firewall) == model(firewall), f"after a flush and a change, there stands {standing(firewall)}"


@spec(
    "CV-12",
    "When somebody has removed one of the owner's rules by the system's tools, or put one before it, resync mends it.",
    capability=FILTER,
    systems=(LINUX,),
)
def test_mended(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    lay(firewall, drop(7002), drop(7001))
    firewall.apply()
    for what, tamper in (("removed", remove_rules), ("preceded by another", accept_before)):
        tamper(net, 7001)
        r.passes(CLOSED, what=f"what a rule dropped that was {what}")
        firewall.resync()
        r.stops(CLOSED, control=OPEN, what=f"what a rule drops that was {what}, after resync")
        found = standing(firewall)
        assert found == model(firewall), f"a rule was {what}, and after resync there stands {found}"


@spec(
    "CV-13",
    "A chain that is removed and added again at another hook, or behind others, is asked there and nowhere else.",
    capability=FILTER,
)
def test_moved_chain(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    lay(firewall, drop(7001), chain="moving")
    lay(firewall, drop(7003), chain="staying")
    firewall.apply()
    firewall.remove_chain("moving")
    lay(firewall, drop(7001), hook="input", chain="moving")
    firewall.apply()
    to_host, fence = (Flow("a", "host", "udp", port) for port in (7001, 7000))
    r.stops(to_host, control=fence, what="what a chain drops that has moved to hook input")
    r.passes(CLOSED, what="what a chain dropped that was on hook forward before")
    firewall.remove_chain("moving")
    lay(firewall, Rule(ACCEPT, protocol="udp", destination_ports=7004), drop(7003), chain="moving")
    lay(firewall, drop(7004), chain="last")
    firewall.apply()
    r.passes(to_host, what="what a chain dropped that was on hook input before")
    r.passes(OPEN.but(dport=7004), what="what a chain accepts before one that drops it")
    firewall.remove_chain("moving")
    lay(firewall, Rule(ACCEPT, protocol="udp", destination_ports=7004), chain="moving")
    firewall.apply()
    r.stops(
        OPEN.but(dport=7004), control=OPEN, what="what a chain accepts that was added again, behind one that drops it"
    )
    assert standing(firewall) == model(firewall), f"after chains have moved, there stands {standing(firewall)}"


@spec(
    "CV-14",
    "Of hundreds of rules each stands in its place, and one more or less changes no other.",
    level="full",
    capability=FILTER,
)
def test_hundreds(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    of_others = [Rule(DROP, source=f"192.0.2.{number}") for number in range(1, 201)]
    chain = lay(firewall, *of_others[:100], drop(7001), *of_others[100:], Rule(ACCEPT, protocol="udp"))
    firewall.apply()
    expected = model(firewall)
    assert standing(firewall) == expected, "of hundreds of rules, not all stand in their places"
    r.stops(CLOSED, control=OPEN, what="what a rule in the middle drops")
    firewall.remove_rule(chain, drop(7001))
    firewall.add_rule(chain, drop(7002), first=True)
    firewall.add_rule(chain, drop(7003))
    for rule in of_others[::40]:
        firewall.remove_rule(chain, rule)
    firewall.apply()
    r.passes(CLOSED, what="what a rule in the middle dropped that was removed")
    r.stops(OPEN.but(dport=7002), control=OPEN, what="what a rule drops that was added before hundreds")
    r.passes(OPEN.but(dport=7003), what="what a rule drops that was added behind one that accepts it")
    found = standing(firewall.fresh())
    assert found == model(firewall), "after changes among hundreds of rules, not all stand in their places"


@spec(
    "CV-15",
    "When an exception leaves a deferred() block in which defer_apply_on and defer_apply_off were called, host and "
    "model are as before, and the next apply works.",
    capability=FILTER,
)
def test_switched_in_block(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    chain = lay(firewall, drop(7001))
    firewall.apply()
    before = model(firewall)
    with net.look.unwritten("a block in which deferral was switched on and off, and that an exception has left"):
        try:
            with firewall.deferred():
                firewall.defer_apply_on()
                firewall.remove_rule(chain, drop(7001))
                firewall.add_rule(chain, drop(7002))
                firewall.defer_apply_off()
                firewall.apply()
                raise Interruption
        except Interruption:
            pass
    found = model(firewall)
    assert found == before, f"an exception has left a block with switches in it, and the model is {found}"
    firewall.add_rule(chain, drop(7003))
    firewall.apply()
    for port in (7001, 7003):
        r.stops(OPEN.but(dport=port), control=OPEN, what=f"port {port}, in the apply after a block with switches in it")
    r.passes(OPEN.but(dport=7002), what="what was to be dropped by a block with switches in it that has failed")
    assert standing(firewall) == model(firewall), f"after a block that failed, there stands {standing(firewall)}"
