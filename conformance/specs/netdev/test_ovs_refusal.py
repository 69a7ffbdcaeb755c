"""Open vSwitch: what is refused before anything has changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance.harness import DriverUnderTest
from conformance.spec import spec
from conformance.specs.netdev.refused import Refusal, refused
from conformance.specs.netdev.switch_rows import bridge_of, made, plug, plugged
from conformance.topology.base import Guest
from conformance.topology.sandbox import Sandbox
from refnet.errors import AlreadyEnslaved, InvalidArgument, InvalidName, NoSuchDevice, WrongKind
from refnet.netdev import Capability, Kind

OVS = Capability.OVS
_MAC = "02:00:00:00:00:0b"
_BAD_NAMES: tuple[Any, ...] = ("", "a/b", "sixteen-chars-xx", "a b", "a;b", "br%d", None, 7)
_BAD_MACS: tuple[Any, ...] = ("", "02:00:00:00:00", "01:00:5e:00:00:01", "02-00-00-00-00-0b", None, 7)
_BAD_TAGS: tuple[Any, ...] = (0, -1, 4096, "5", True, 1.5)
_BAD_TRUNKS: tuple[Any, ...] = ((0,), (5, 4096), ("5",), (True,), 5)
_BAD_MODES: tuple[Any, ...] = ("both", "ACCESS", 1)
_BAD_MTUS: tuple[Any, ...] = (0, -1, 67, 65536, "1500", True)
_BAD_IDS: tuple[Any, ...] = ("", None, 7, b"bytes", "a\x00b", "a\nb")


@spec(
    "OV-04",
    "The name of another device, or of a port, is refused with WrongKind by what makes and deletes bridges, and "
    "nothing changes.",
    capability=(OVS, Capability.TAP, Capability.BRIDGE),
)
def test_another_kind(netdev: DriverUnderTest, net: Sandbox) -> None:
    made(netdev, net, "br-int")
    a, b = plugged(netdev, net, "br-int", "a", "b")
    net.foreign("theirs0", Kind.TAP)
    net.foreign("theirs1", Kind.BRIDGE)
    datapath = net.open_vswitch().datapath
    for name in ("theirs0", "theirs1", net.loopback, a.port):
        with refused(net, WrongKind, f"ensure_ovs_bridge({name!r})") as refusal:
            netdev.ensure_ovs_bridge(name, datapath_type=datapath)
        assert refusal.names(name), f"the refusal does not name {name}: {refusal.error}"
        with refused(net, WrongKind, f"delete_ovs_bridge({name!r})"):
            netdev.delete_ovs_bridge(name)
    net.delivers(a, net.frame(a, b), b, what="unicast after refusals")


@spec(
    "OV-05",
    "A name, MAC address, tag, MTU, mode, type, path or id that no switch could honour is refused with InvalidArgument "
    "by every call of Open vSwitch, and nothing changes.",
    capability=OVS,
)
def test_bad_input(netdev: DriverUnderTest, net: Sandbox) -> None:
    made(netdev, net, "br-int")
    (a,) = plugged(netdev, net, "br-int", "a")
    free = net.guest("free").port
    with net.look.unwritten("calls with impossible arguments"):
        for what, call in _bad_calls(netdev, free):
            _is_refused(what, call, InvalidArgument)
        for name in _BAD_NAMES:
            for what, call in _calls_with(netdev, name, free):
                _is_refused(f"{what} with the name {name!r}", call, InvalidName)
    assert bridge_of(net, a.port) == "br-int", "calls with impossible arguments have taken a port away"


def _calls_with(netdev: DriverUnderTest, name: Any, free: str) -> list[tuple[str, Callable[[], object]]]:
    return [
        ("ensure_ovs_bridge", lambda: netdev.ensure_ovs_bridge(name)),
        ("delete_ovs_bridge", lambda: netdev.delete_ovs_bridge(name)),
        ("ovs_ports", lambda: netdev.ovs_ports(name)),
        ("create_ovs_vif_port (bridge)", lambda: netdev.create_ovs_vif_port(name, free, "id", _MAC)),
        ("create_ovs_vif_port (device)", lambda: netdev.create_ovs_vif_port("br-int", name, "id", _MAC)),
        ("delete_ovs_vif_port (bridge)", lambda: netdev.delete_ovs_vif_port(name, free)),
        ("create_ovs_patch_ports", lambda: netdev.create_ovs_patch_ports(name, "p1", "br-int", "p2")),
        ("create_ovs_patch_ports (peer)", lambda: netdev.create_ovs_patch_ports("br-int", "p1", name, "p2")),
    ]


def _bad_calls(netdev: DriverUnderTest, free: str) -> list[tuple[str, Callable[[], object]]]:
    def ensure(**options: Any) -> tuple[str, Callable[[], object]]:
        return f"ensure_ovs_bridge with {options}", lambda: netdev.ensure_ovs_bridge("br-new", **options)

    def create(iface_id: Any = "id", mac: Any = _MAC, **options: Any) -> tuple[str, Callable[[], object]]:
        what = f"create_ovs_vif_port with {iface_id!r}, {mac!r} and {options}"
        return what, lambda: netdev.create_ovs_vif_port("br-int", free, iface_id, mac, **options)

    def vlan(**options: Any) -> tuple[str, Callable[[], object]]:
        return f"set_ovs_port_vlan with {options}", lambda: netdev.set_ovs_port_vlan("p-a", **options)

    def patch(**options: Any) -> tuple[str, Callable[[], object]]:
        what = f"create_ovs_patch_ports with {options}"
        return what, lambda: netdev.create_ovs_patch_ports("br-int", "p1", "br-int", "p2", **options)

    return [
        *(ensure(datapath_type=one) for one in ("kernel", "", 7)),
        *(ensure(fail_mode=one) for one in ("open", "", 7)),
        *(ensure(mac_address=one) for one in _BAD_MACS if one is not None),
        *(ensure(mtu=one) for one in _BAD_MTUS),
        *(create(iface_id=one) for one in _BAD_IDS),
        *(create(mac=one) for one in _BAD_MACS),
        *(create(instance_id=one) for one in _BAD_IDS if one is not None),
        *(create(mtu=one) for one in _BAD_MTUS),
        *(create(interface_type=one) for one in ("vxlan", "gre", "patch", 7)),
        # The hypervisor's socket: where it is has to be said, and only for what has one.
        create(interface_type="dpdkvhostuserclient"),
        create(interface_type="dpdkvhostuserclient", vhost_server_path="relative.sock"),
        create(interface_type="internal", vhost_server_path="/run/vhost.sock"),
        create(vhost_server_path="/run/vhost.sock"),
        *(call(tag=one) for call in (create, vlan, patch) for one in _BAD_TAGS),
        *(call(trunks=one) for call in (create, vlan, patch) for one in _BAD_TRUNKS),
        *(call(vlan_mode=one) for call in (create, vlan, patch) for one in _BAD_MODES),
    ]


def _is_refused(what: str, call: Callable[[], object], kind: type[InvalidArgument]) -> None:
    try:
        call()
    except kind:
        return
    except Exception as error:
        raise AssertionError(
            f"{what} was not refused with {kind.__name__} but with {type(error).__name__}: {error}"
        ) from None
    raise AssertionError(f"{what} was not refused with {kind.__name__}")


@spec(
    "OV-06",
    "A bridge, device or port that is not there is refused with NoSuchDevice, which names it, and nothing changes.",
    capability=OVS,
)
def test_what_is_not_there(netdev: DriverUnderTest, net: Sandbox) -> None:
    made(netdev, net, "br-int")
    free = net.guest("free").port
    calls: list[tuple[str, str, Callable[[], object]]] = [
        ("a port for a bridge", "br-none", lambda: netdev.create_ovs_vif_port("br-none", free, "id", _MAC)),
        ("a port for a device", "p-none", lambda: netdev.create_ovs_vif_port("br-int", "p-none", "id", _MAC)),
        ("the ports of a bridge", "br-none", lambda: netdev.ovs_ports("br-none")),
        ("the ports of a device", free, lambda: netdev.ovs_ports(free)),
        ("a port", free, lambda: netdev.ovs_port(free)),
        ("the tag of a port", free, lambda: netdev.set_ovs_port_vlan(free, tag=5)),
        ("a cable", "br-none", lambda: netdev.create_ovs_patch_ports("br-int", "p1", "br-none", "p2")),
        ("a cable back", "br-none", lambda: netdev.create_ovs_patch_ports("br-none", "p1", "br-int", "p2")),
    ]
    for what, missing, call in calls:
        with refused(net, NoSuchDevice, f"{what} that is not there") as refusal:
            call()
        assert refusal.error.device == missing, (
            f"{what} that is not there: what is missing is {missing}, and the refusal names {refusal.error.device!r}"
        )


def _names_bridge(refusal: Refusal, guest: Guest, bridge: str) -> None:
    master = getattr(refusal.error, "master", None)
    assert master == bridge, f"{guest.port} is a port of {bridge}, and the refusal says of {master}"


@spec(
    "OV-07",
    "A port of another bridge of the switch is refused with AlreadyEnslaved, which names that bridge; a bridge is, "
    "with WrongKind. The port's traffic goes on.",
    capability=OVS,
)
def test_port_of_another_bridge(netdev: DriverUnderTest, net: Sandbox) -> None:
    made(netdev, net, "br-one")
    made(netdev, net, "br-two")
    a, b = plugged(netdev, net, "br-one", "a", "b")
    with refused(net, AlreadyEnslaved, "a port of another bridge") as refusal:
        plug(netdev, "br-two", a)
    _names_bridge(refusal, a, "br-one")
    with refused(net, WrongKind, "a bridge as a port"):
        netdev.create_ovs_vif_port("br-two", "br-one", "id", _MAC)
    net.delivers(a, net.frame(a, b), b, what="unicast from a port that another bridge was to have")
    net.delivers(b, net.frame(b, a), a, what="unicast to a port that another bridge was to have")


@spec(
    "OV-08",
    "A port of one of the system's own bridges is refused with AlreadyEnslaved, which names that bridge, and such a "
    "bridge with WrongKind; its traffic goes on.",
    capability=(OVS, Capability.BRIDGE),
)
def test_port_of_the_systems_bridge(netdev: DriverUnderTest, net: Sandbox) -> None:
    made(netdev, net, "br-int")
    a, b = net.guest("a"), net.guest("b")
    net.plain_bridge("theirs0", a.port, b.port)
    net.remove_in_the_end("theirs0")
    net.delivers(a, net.frame(a, b), b, what="unicast over the system's bridge")
    with refused(net, AlreadyEnslaved, "a port of the system's bridge") as refusal:
        plug(netdev, "br-int", a)
    _names_bridge(refusal, a, "theirs0")
    with refused(net, WrongKind, "the system's bridge as a port"):
        netdev.create_ovs_vif_port("br-int", "theirs0", "id", _MAC)
    net.delivers(a, net.frame(a, b), b, what="unicast from a port that the switch was to have")
    net.delivers(b, net.frame(b, a), a, what="unicast to a port that the switch was to have")
