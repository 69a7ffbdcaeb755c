"""Layer 2: guards that are changed under traffic, flushed, left by an earlier manager, failed, killed and torn down."""

from __future__ import annotations

from conformance import faults
from conformance.errors import SuiteError
from conformance.harness import FirewallUnderTest
from conformance.spec import spec
from conformance.specs.firewall.each_request import counting, dies_at
from conformance.specs.firewall.frames_of_guests import FOREIGN, guard, guarded
from conformance.specs.firewall.test_ownership import lost
from conformance.topology.routed import Bridged, Flow
from conformance.topology.sandbox import Sandbox
from refnet.errors import RefnetError
from refnet.firewall import Capability, PortGuard

LAYER2 = Capability.LAYER2
#: What guest a is allowed in some guards and not in others.
_MORE = {4: "10.1.0.78", 6: "fd01::78"}
_FAMILIES = (4, 6)


class Interruption(Exception):
    """What leaves a block that is deferred."""


def _guards(topology: Bridged, what: str, name: str = "a", receiver: str = "b") -> None:
    """Prove that a guest's port is guarded: its own packets pass, and those from a foreign address do not."""
    for family in _FAMILIES:
        own = Flow(name, receiver, family=family)
        topology.passes(own, what=f"a packet of {name}'s own, {what}")
        topology.stops(own.but(source=FOREIGN[family]), control=own, what=f"a packet from a foreign address, {what}")


def _guards_nothing(topology: Bridged, what: str, name: str = "a", receiver: str = "b") -> None:
    for family in _FAMILIES:
        flow = Flow(name, receiver, family=family, source=FOREIGN[family])
        topology.passes(flow, what=f"a packet from a foreign address, {what}")


def _wider(topology: Bridged) -> PortGuard:
    """Return guest a's guard with an address of each family more."""
    own = [topology.address("a", family) for family in _FAMILIES]
    return PortGuard(topology.port("a"), topology.guests["a"].mac, [*own, *_MORE.values()])


def _of(topology: Bridged, name: str) -> PortGuard:
    addresses = [topology.address(name, family) for family in _FAMILIES]
    return PortGuard(topology.port(name), topology.guests[name].mac, addresses)


@spec(
    "L2-25",
    "When somebody has flushed all rules, resync guards the ports again and isolates the address.",
    capability=LAYER2,
)
def test_flushed(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = guarded(firewall, net)
    _guards(topology, "before the flush")
    net.flush_rules()
    _guards_nothing(topology, "after somebody has flushed all rules")
    net.prepare_firewall()
    firewall.resync()
    _guards(topology, "after a flush and resync")


@spec(
    "L2-26",
    "The guards that an earlier manager of the owner has left go with the first apply, and those that are wanted stay.",
    capability=LAYER2,
)
def test_left_over(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Bridged(net, "a", "b", "c")
    earlier = firewall.fresh()
    for name in ("a", "b"):
        earlier.guard_port(_of(topology, name))
    earlier.apply()
    for name in ("a", "b"):
        _guards(topology, f"which an earlier manager guards ({name})", name, "c")
    firewall.guard_port(_of(topology, "a"))
    firewall.apply()
    _guards(topology, "which the new manager guards as well", "a", "c")
    _guards_nothing(topology, "which the new manager does not guard", "b", "c")


@spec(
    "L2-27",
    "Guards and isolated addresses leave other rules of layer 2 as they are; teardown takes them away, an earlier "
    "manager's as well, and all rules are as before.",
    capability=LAYER2,
)
def test_teardown(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Bridged(net, "a", "b")
    net.foreign_rules(firewall.owner)
    before = net.look.rules()
    for who, manager in (("its own", firewall), ("an earlier manager's", firewall.fresh())):
        manager.guard_port(_of(topology, "a"))
        manager.isolate_dhcp_address(topology.port("b"), topology.address("host"))
        manager.apply()
        missing = lost(before, net.look.rules())
        assert not missing, f"others have lost {'; '.join(missing[:5])}"
        _guards(topology, f"before teardown of {who}")
        firewall.teardown()
        left = net.look.rules()
        assert left == before, f"after teardown of {who}, all rules are {left}"
        assert not firewall.port_guards(), f"after teardown, the model has {firewall.port_guards()}"
        assert not firewall.dhcp_isolations(), f"after teardown, the model has {firewall.dhcp_isolations()}"
        _guards_nothing(topology, f"after teardown of {who}")


@spec(
    "L2-28",
    "When an exception leaves deferred(), guards and isolated addresses are as before, in the model and on the host.",
    capability=LAYER2,
)
def test_deferred_exception(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = guarded(firewall, net)
    before = firewall.port_guards()
    try:
        with firewall.deferred():
            firewall.unguard_port(topology.port("a"))
            firewall.guard_port(_of(topology, "b"))
            firewall.isolate_dhcp_address(topology.port("b"), topology.address("host"))
            firewall.apply()
            raise Interruption
    except Interruption:
        pass
    found = firewall.port_guards()
    assert found == before, f"an exception has left deferred(), and the guards are {found}"
    assert not firewall.dhcp_isolations(), f"an exception has left deferred(): {firewall.dhcp_isolations()}"
    firewall.apply()
    _guards(topology, "after a block that an exception has left")
    _guards_nothing(topology, "of a port that such a block was to guard", "b", "a")


@spec(
    "L2-29",
    "A manager that is killed anywhere in the apply of another guard leaves the port guarded, by the old or by the new "
    "one; the next one's apply finishes it.",
    capability=LAYER2,
)
def test_killed(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = guarded(firewall, net)
    own: list[FirewallUnderTest] = []

    def before() -> None:
        # A manager of the process's own, which knows what stands: a fork of this one would have to look first.
        own.append(firewall.fresh())
        guard(own[0], topology)

    def change() -> None:
        own[0].guard_port(_wider(topology))
        own[0].apply()

    for at in dies_at("the apply of another guard", change, before):
        _guards(topology, f"after a kill at request {at} of the apply of another guard")
        with firewall.fresh() as after:
            after.guard_port(_wider(topology))
            after.apply()
        for family in _FAMILIES:
            more = Flow(family=family, source=_MORE[family])
            topology.passes(more, what=f"from the new address, after a kill at request {at} and another apply")
        firewall.resync()


@spec(
    "L2-30",
    "Whichever request of the apply of a guard fails, it raises, the port is guarded as before or as asked, and the "
    "next apply goes through.",
    capability=LAYER2,
)
def test_fails(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = guarded(firewall, net)
    for at in counting("the apply of another guard"):
        firewall.guard_port(_wider(topology))
        error: RefnetError | None = None
        with faults.injected(at) as injection:
            try:
                firewall.apply()
            except RefnetError as found:
                error = found
        _guards(topology, f"when request {at} of the apply of another guard failed")
        if error is not None:
            firewall.apply()
        for family in _FAMILIES:
            said = "failed, and it has said nothing" if error is None else "failed, and the next apply went through"
            more = Flow(family=family, source=_MORE[family])
            topology.passes(more, what=f"from the new address: request {at} of the apply of another guard {said}")
        if not injection.hit:
            assert error is None, f"the apply of another guard fails without a fault: {error}"
            if at == 1:
                raise SuiteError("the apply of a guard makes no request that could fail: this proves nothing")
            break
        guard(firewall, topology)


@spec(
    "RL-12",
    "While guards come, change and go, not one packet from a foreign address passes a guarded port, and not one of its "
    "own is lost.",
    capability=LAYER2,
)
def test_under_traffic(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = guarded(firewall, net)
    own = [Flow(family=family) for family in _FAMILIES]
    foreign = [flow.but(source=FOREIGN[flow.family]) for flow in own]
    with topology.streaming(passing=own, stopped=foreign, fresh=True, what="guards that come and go") as streams:
        for _ in range(4):
            firewall.guard_port(_wider(topology))
            firewall.apply()
            streams.more(5)
            firewall.guard_port(_of(topology, "b"))
            firewall.isolate_dhcp_address(topology.port("b"), topology.address("host"))
            firewall.apply()
            streams.more(5)
            firewall.unguard_port(topology.port("b"))
            firewall.remove_isolate_dhcp_address(topology.port("b"), topology.address("host"))
            guard(firewall, topology)
            streams.more(5)
            firewall.resync()
        with firewall.fresh() as other:
            other.guard_port(_wider(topology))
            other.apply()
            streams.more(5)


@spec(
    "OW-10",
    "Owners never touch each other's guards, neither at apply nor at teardown.",
    capability=LAYER2,
)
def test_owners(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Bridged(net, "a", "b", "c")
    short, long = firewall.fresh("a"), firewall.fresh("a-b")
    short.guard_port(_of(topology, "a"))
    long.guard_port(_of(topology, "b"))
    for manager in (short, long):
        manager.apply()
    short.guard_port(_wider(topology))
    for what, step in (("apply", short.apply), ("resync", short.resync)):
        step()
        _guards(topology, f"what a stops, after {what} of a's", "a", "c")
        _guards(topology, f"what a-b stops, after {what} of a's", "b", "c")
    short.teardown()
    _guards_nothing(topology, "what a stopped, after its teardown", "a", "c")
    _guards(topology, "what a-b stops, after a's teardown", "b", "c")
