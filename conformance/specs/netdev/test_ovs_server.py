"""Open vSwitch: a switch that is not there, ends, hangs and comes back, and several who use it at once."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from dataclasses import dataclass

from conformance import faults
from conformance.errors import SuiteError
from conformance.harness import DriverUnderTest, in_child, in_children, within
from conformance.oracles.state import difference
from conformance.spec import spec
from conformance.specs.netdev.refused import refused
from conformance.specs.netdev.switch_rows import (
    external_ids,
    interface_id,
    made,
    number,
    plug,
    plugged,
    without_numbers,
)
from conformance.topology.sandbox import Sandbox
from refnet.errors import RefnetError, SwitchUnreachable
from refnet.netdev import Capability

OVS = Capability.OVS
_MAC = "02:00:00:00:00:0b"
#: Seconds for a driver to see that nobody answers: more than any should take on any machine.
_PATIENCE = 60.0
#: More requests than any call makes.
_MOST_REQUESTS = 200
_PROCESSES, _EACH = 4, 10


@spec(
    "OV-13",
    "Where no Open vSwitch answers, because it does not run or hangs, every call is refused with SwitchUnreachable, a "
    "lack of the capability ovs, within a minute; nothing changes.",
    capability=OVS,
)
def test_nobody_answers(netdev: DriverUnderTest, net: Sandbox) -> None:
    switch = net.open_vswitch()
    made(netdev, net, "br-int")
    (a,) = plugged(netdev, net, "br-int", "a")
    switch.stop_daemon()
    switch.stop_database()
    fresh = netdev.fresh()
    for who, one in (("an instance that knew the switch", netdev), ("a new instance", fresh)):
        for name, call in _calls(one, a.port):
            with refused(net, SwitchUnreachable, f"{name} without a switch, by {who}") as refusal:
                _bounded(f"{name} without a switch", call)
            lacking = refusal.error.capability  # type: ignore[attr-defined]
            assert lacking == OVS, f"{name} without a switch: the refusal names the capability {lacking!r}"
        assert one.probe(OVS), f"there is no switch, and {who} declares {OVS}"
    switch.mend()
    with switch.hung_database(), refused(net, SwitchUnreachable, "a port where the database hangs"):
        _bounded("a port where the database hangs", lambda: plug(fresh, "br-int", a, tag=5))
    fresh.close()


def _calls(netdev: DriverUnderTest, port: str) -> list[tuple[str, Callable[[], object]]]:
    return [
        ("ensure_ovs_bridge", lambda: netdev.ensure_ovs_bridge("br-new")),
        ("delete_ovs_bridge", lambda: netdev.delete_ovs_bridge("br-int")),
        ("ovs_ports", lambda: netdev.ovs_ports("br-int")),
        ("ovs_port", lambda: netdev.ovs_port(port)),
        ("create_ovs_vif_port", lambda: netdev.create_ovs_vif_port("br-int", port, "id", _MAC)),
        ("delete_ovs_vif_port", lambda: netdev.delete_ovs_vif_port("br-int", port)),
        ("set_ovs_port_vlan", lambda: netdev.set_ovs_port_vlan(port, tag=5)),
        ("create_ovs_patch_ports", lambda: netdev.create_ovs_patch_ports("br-int", "p1", "br-int2", "p2")),
    ]


def _bounded(what: str, call: Callable[[], object]) -> None:
    with within(_PATIENCE, what):
        call()


@spec(
    "OV-14",
    "A driver goes on after the database's server was restarted, killed, or gone for a while, without being told.",
    capability=OVS,
)
def test_database_comes_back(netdev: DriverUnderTest, net: Sandbox) -> None:
    switch = net.open_vswitch()
    made(netdev, net, "br-int")
    a, b, c = (net.guest(name) for name in "abc")
    plug(netdev, "br-int", a)
    switch.stop_database()
    switch.start_database()
    _goes_on(lambda: plug(netdev, "br-int", b), "a restart of the database's server")
    net.delivers(a, net.frame(a, b), b, what="unicast after a restart of the database's server")
    switch.stop_database(kill=True)
    with refused(net, SwitchUnreachable, "a port while the database's server is gone"):
        _bounded("a port while the database's server is gone", lambda: plug(netdev, "br-int", c))
    switch.start_database()
    _goes_on(lambda: plug(netdev, "br-int", c), "the database's server was gone for a while")
    net.delivers(a, net.frame(a, c), c, what="unicast after the database's server was gone for a while")
    switch.restart(kill=True)
    _goes_on(lambda: plug(netdev, "br-int", c, tag=5), "all of the switch was killed")
    found = netdev.ovs_ports("br-int")
    assert found == (a.port, b.port, c.port), f"the driver says that the bridge has the ports {found}"


def _goes_on(call: Callable[[], object], after: str) -> None:
    try:
        _bounded(f"a call after {after}", call)
    except RefnetError as error:
        raise AssertionError(f"the same driver does not go on after {after}: {error}") from None


@spec(
    "OV-15",
    "Where the switch takes nothing over from its database, a call is refused with SwitchUnreachable within a minute "
    "and the database is as it was; when it is back, the same call goes through.",
    capability=OVS,
)
def test_daemon_does_nothing(netdev: DriverUnderTest, net: Sandbox) -> None:
    switch = net.open_vswitch()
    made(netdev, net, "br-int")
    a, b = net.guest("a"), net.guest("b")
    plug(netdev, "br-int", a)
    with switch.hung_daemon(), refused(net, SwitchUnreachable, "a port while the switch hangs"):
        _bounded("a port while the switch hangs", lambda: plug(netdev, "br-int", b))
    switch.stop_daemon(kill=True)
    with refused(net, SwitchUnreachable, "a port while the switch is gone"):
        _bounded("a port while the switch is gone", lambda: plug(netdev, "br-int", b))
    switch.start_daemon()
    _goes_on(lambda: plug(netdev, "br-int", b), "the switch was gone for a while")
    assert number(net, b.port).isdigit(), f"{b.port} has the number {number(net, b.port)}"
    net.delivers(a, net.frame(a, b), b, what="unicast after the switch was gone")


@dataclass(frozen=True)
class _Scene:
    """A call, and what takes it back."""

    what: str
    call: Callable[[DriverUnderTest], object]
    undo: Callable[[], object]


def _scenes(netdev: DriverUnderTest, net: Sandbox) -> list[_Scene]:
    made(netdev, net, "br-int")
    port = net.guest("a").port
    datapath = net.open_vswitch().datapath

    def unplug() -> None:
        netdev.delete_ovs_vif_port("br-int", port, delete_dev=False)
        netdev.set_device_mtu(port, 1500)

    return [
        _Scene(
            "ensure_ovs_bridge",
            lambda one: one.ensure_ovs_bridge("br-new", datapath_type=datapath, mac_address=_MAC, mtu=1400),
            lambda: netdev.delete_ovs_bridge("br-new"),
        ),
        _Scene(
            "create_ovs_vif_port",
            lambda one: one.create_ovs_vif_port("br-int", port, interface_id("a"), _MAC, mtu=1400, tag=5),
            unplug,
        ),
        _Scene(
            "create_ovs_vif_port of an internal port",
            lambda one: one.create_ovs_vif_port("br-int", "gw0", "gateway", _MAC, interface_type="internal", mtu=1400),
            lambda: netdev.delete_ovs_vif_port("br-int", "gw0"),
        ),
    ]


@spec(
    "OV-17",
    "A call that makes a bridge or a port of Open vSwitch, whichever of its requests fails, leaves all as it was, or "
    "is done.",
    capability=OVS,
)
def test_requests_fail(netdev: DriverUnderTest, net: Sandbox) -> None:
    for scene in _scenes(netdev, net):
        _fails_cleanly(netdev, net, scene)


@spec(
    "OV-79",
    "A call that makes a bridge or a port of Open vSwitch, killed at any of its requests, is brought to its end by the "
    "same call.",
    capability=OVS,
)
def test_killed_half_way(netdev: DriverUnderTest, net: Sandbox) -> None:
    for scene in _scenes(netdev, net):
        _survives_kills(netdev, net, scene)


def _fails_cleanly(netdev: DriverUnderTest, net: Sandbox, scene: _Scene) -> None:
    what, call, undo = scene.what, scene.call, scene.undo
    call(netdev)
    done = _facts(net)
    for at in range(1, _MOST_REQUESTS):
        undo()
        before = net.look.state()
        with faults.injected(at) as injection:
            refusal: RefnetError | None = None
            try:
                call(netdev)
            except RefnetError as error:
                refusal = error
        if not injection.hit:
            break
        if refusal is None:
            found = _facts(net)
            assert found == done, f"request {at} of {what} failed, the call said nothing, and left {found} for {done}"
            continue
        changed = difference(before, net.look.state())
        assert not changed, (
            f"request {at} of {what} failed, and the host is not as before: {'; '.join(changed)} ({refusal})"
        )
    if at == 1:
        raise SuiteError(f"{what} makes no request that could fail: this proves nothing")
    assert refusal is None, f"{what} fails without a fault, after others with one: {refusal}"
    undo()


def _survives_kills(netdev: DriverUnderTest, net: Sandbox, scene: _Scene) -> None:
    what, call, undo = scene.what, scene.call, scene.undo
    call(netdev)
    done = _facts(net)
    for at in range(1, _MOST_REQUESTS):
        undo()
        status = in_child(lambda at=at: _killed(netdev, call, at))  # type: ignore[misc]
        if status != -signal.SIGKILL:
            assert status == 0, f"{what} fails in another process, with nothing in its way"
            break
        with contextlib.closing(netdev.fresh()) as other:
            try:
                call(other)
            except RefnetError as error:
                raise AssertionError(f"after a kill at request {at} of {what}, a second call fails: {error}") from None
        found = _facts(net)
        assert found == done, (
            f"after a kill at request {at} of {what}, a second call does not finish it: it leaves {found} for {done}"
        )
    undo()


def _killed(netdev: DriverUnderTest, call: Callable[[DriverUnderTest], object], at: int) -> None:
    with faults.injected(at, kill=True):
        call(netdev.fresh())


def _facts(net: Sandbox) -> dict[str, object]:
    """Return what a call is to achieve: what is in the database, and devices."""
    links = net.look.listing().links
    devices = {name: ("UP" in link["flags"], link["mtu"], link["address"]) for name, link in links.items()}
    # The MAC address of a bridge that was given none follows its ports'.
    devices.pop("br-int")
    return {**without_numbers(net), **{f"device {name}": facts for name, facts in devices.items()}}


@spec(
    "OV-18",
    "Of ports that several processes create at once, by instances of their own and by one from before the fork, none "
    "is lost; and so it is with bridges.",
    capability=OVS,
)
def test_several_at_once(netdev: DriverUnderTest, net: Sandbox) -> None:
    made(netdev, net, "br-int")
    datapath = net.open_vswitch().datapath

    def create(process: int) -> None:
        one = netdev if process % 2 else netdev.fresh()
        one.ensure_ovs_bridge("br-new", datapath_type=datapath)
        for at in range(_EACH):
            name = f"gw{process}-{at}"
            one.create_ovs_vif_port("br-int", name, name, _MAC, interface_type="internal")

    try:
        statuses = in_children(_PROCESSES, create, time_limit=_PATIENCE)
        assert statuses == [0] * _PROCESSES, f"of {_PROCESSES} processes that created ports, some failed: {statuses}"
        wanted = tuple(sorted(f"gw{process}-{at}" for process in range(_PROCESSES) for at in range(_EACH)))
        lost = sorted({*wanted} - {*net.open_vswitch().vsctl("list-ports", "br-int").split()})
        assert not lost, f"of {len(wanted)} ports, {len(lost)} are lost: {', '.join(lost)}"
        assert netdev.ovs_ports("br-int") == wanted, f"the driver says that the ports are {netdev.ovs_ports('br-int')}"
        wrong = {name: ids for name in wanted if (ids := external_ids(net, name).get("iface-id")) != name}
        assert not wrong, f"ports have ids of others: {wrong}"
        assert net.look.link("br-new") is not None, "the bridge that all of them ensured is not there"
    finally:
        # Made by others, it is taken back by nobody.
        netdev.delete_ovs_bridge("br-new")
