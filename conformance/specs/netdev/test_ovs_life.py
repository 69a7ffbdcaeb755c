"""Open vSwitch: what becomes of bridges, ports and their ids in the switch's database."""

from __future__ import annotations

from conformance.harness import DriverUnderTest
from conformance.spec import spec
from conformance.specs.netdev.refused import refused
from conformance.specs.netdev.switch_rows import (
    GIVEN_UP,
    bridge_of,
    external_ids,
    interface_id,
    made,
    number,
    plug,
    plugged,
    vm_id,
)
from conformance.system import LINUX
from conformance.topology.sandbox import Sandbox
from refnet.errors import SwitchRefused
from refnet.netdev import Capability

OVS = Capability.OVS
_MAC = "02:00:00:00:00:0b"


@spec(
    "OV-01",
    "ensure_ovs_bridge makes a bridge with the datapath, fail mode, MAC address and MTU that it is given; its device "
    "is up when the call returns, and it carries frames.",
    capability=OVS,
)
def test_bridge_is_made(netdev: DriverUnderTest, net: Sandbox) -> None:
    switch = net.open_vswitch()
    made(netdev, net, "br-int")
    assert net.look.up("br-int"), "the bridge's device is not up"
    assert switch.vsctl("get", "Bridge", "br-int", "datapath_type").strip('"') in (switch.datapath, ""), (
        "the bridge has another datapath"
    )
    a, b = plugged(netdev, net, "br-int", "a", "b")
    net.delivers(a, net.frame(a, b), b, what="unicast")
    made(netdev, net, "br-ex", fail_mode="secure", mac_address=_MAC, mtu=1400)
    assert net.look.up("br-ex"), "the device of a bridge with a fail mode of its own is not up"
    assert net.look.mac("br-ex") == _MAC, f"the bridge's device has the MAC address {net.look.mac('br-ex')}"
    assert net.look.mtu("br-ex") == 1400, f"the bridge's device has an MTU of {net.look.mtu('br-ex')}"
    said = switch.vsctl("get-fail-mode", "br-ex")
    assert said == "secure", f"the switch says that the fail mode is {said!r}"


@spec(
    "OV-02",
    "Ensuring a bridge again, as it is or with nothing said of it, changes and writes nothing; what is said changes, "
    "and nothing else.",
    capability=OVS,
)
def test_bridge_is_ensured_twice(netdev: DriverUnderTest, net: Sandbox) -> None:
    switch = net.open_vswitch()
    made(netdev, net, "br-int", fail_mode="secure", mac_address=_MAC, mtu=1400)
    (a,) = plugged(netdev, net, "br-int", "a")
    with net.look.unwritten("a second ensure_ovs_bridge"):
        made(netdev, net, "br-int", fail_mode="secure", mac_address=_MAC, mtu=1400)
        netdev.ensure_ovs_bridge("br-int")
    before = switch.rows()
    netdev.ensure_ovs_bridge("br-int", fail_mode="standalone")
    said = switch.vsctl("get-fail-mode", "br-int")
    assert said in ("standalone", ""), f"the fail mode was to become standalone, and is {said!r}"
    after = switch.rows()
    for rows in (before, after):
        rows["Bridge br-int"].pop("fail_mode", None)
    assert after == before, "with another fail mode, something else has become different"
    assert bridge_of(net, a.port) == "br-int", "with another fail mode, the bridge has lost a port"


@spec(
    "OV-03",
    "delete_ovs_bridge takes the bridge away with its ports; devices that were ports stay as they were, and go into "
    "another bridge. Again, it writes nothing.",
    capability=OVS,
)
def test_bridge_is_deleted(netdev: DriverUnderTest, net: Sandbox) -> None:
    before = net.open_vswitch().rows()
    made(netdev, net, "br-one")
    a, b = plugged(netdev, net, "br-one", "a", "b")
    netdev.create_ovs_vif_port("br-one", "gw0", "gateway", _MAC, interface_type="internal")
    netdev.delete_ovs_bridge("br-one")
    left = [name for name in net.open_vswitch().rows() if name not in before]
    assert not left, f"the bridge is deleted, and in the switch's database there is still: {', '.join(left)}"
    assert net.look.link("br-one") is None, "the bridge is deleted, and its device is still there"
    assert net.look.link("gw0") is None, "the bridge is deleted, and the device that the switch had made is still there"
    for guest in (a, b):
        assert net.look.link(guest.port) is not None, f"with the bridge, the device {guest.port} was deleted"
        assert net.look.up(guest.port), f"with the bridge, the device {guest.port} was set down"
    with net.look.unwritten("a second delete_ovs_bridge"):
        netdev.delete_ovs_bridge("br-one")
    made(netdev, net, "br-two")
    for guest in (a, b):
        plug(netdev, "br-two", guest)
    net.delivers(a, net.frame(a, b), b, what="unicast over another bridge")


@spec(
    "OV-09",
    "A port that the switch has given up, its ofport -1, is made anew by create_ovs_vif_port, and carries frames.",
    capability=OVS,
)
def test_given_up_port_is_made_anew(netdev: DriverUnderTest, net: Sandbox) -> None:
    switch = net.open_vswitch()
    made(netdev, net, "br-int")
    a, b = net.guest("a"), net.guest("b")
    plug(netdev, "br-int", b)
    # A tunnel to nowhere is what no switch can make.
    switch.vsctl("add-port", "br-int", a.port, "--", "set", "Interface", a.port, "type=vxlan")
    assert number(net, a.port) == GIVEN_UP, "the scene is not what it is meant to be"
    plug(netdev, "br-int", a)
    found = number(net, a.port)
    assert found.isdigit(), f"the port that the switch had given up has the number {found}"
    net.delivers(a, net.frame(a, b), b, what="unicast from a port that was given up")
    net.delivers(b, net.frame(b, a), a, what="unicast to a port that was given up")


@spec(
    "OV-10",
    "Creating a healthy port again writes nothing; with other ids or another tag it keeps its ofport, and what was "
    "said last holds.",
    capability=OVS,
)
def test_port_is_created_twice(netdev: DriverUnderTest, net: Sandbox) -> None:
    made(netdev, net, "br-int")
    a, b = plugged(netdev, net, "br-int", "a", "b")
    numbers = {guest.port: number(net, guest.port) for guest in (a, b)}
    with net.look.unwritten("a second create_ovs_vif_port"):
        plug(netdev, "br-int", a)
    netdev.create_ovs_vif_port("br-int", a.port, "other", a.mac, tag=7)
    netdev.create_ovs_vif_port("br-int", b.port, interface_id("b"), b.mac, vm_id("b"), tag=7)
    for port, was in numbers.items():
        found = number(net, port)
        assert found == was, f"{port} had the number {was}, and has {found} after it was created again"
    ids = external_ids(net, a.port)
    assert ids.get("iface-id") == "other", f"after a call with another id the port has the ids {ids}"
    assert "vm-uuid" not in ids, f"the last call named no instance, and the port has the ids {ids}"
    net.delivers(a, net.frame(a, b), b, what="unicast between ports of one tag")
    with net.look.unwritten("a second create_ovs_vif_port with a tag"):
        plug(netdev, "br-int", b, tag=7)
    plug(netdev, "br-int", a, trunks=(5, 6))
    row = net.open_vswitch().rows()[f"Port {a.port}"]
    assert "tag" not in row, f"the last call named trunks and no tag, and the port has the tag {row.get('tag')}"
    assert number(net, a.port) == numbers[a.port], f"as a trunk, {a.port} has the number {number(net, a.port)}"


@spec(
    "OV-11",
    "A port's ids are iface-id, iface-status, attached-mac and vm-uuid, in the database and for those who ask the "
    "driver; what others have written there, and ports of theirs, stay as they are.",
    capability=OVS,
)
def test_ids_and_what_others_wrote(netdev: DriverUnderTest, net: Sandbox) -> None:
    switch = net.open_vswitch()
    made(netdev, net, "br-int")
    a, b, theirs = net.guest("a"), net.guest("b"), net.guest("theirs")
    plug(netdev, "br-int", a, tag=7)
    wanted = {
        "iface-id": interface_id("a"),
        "iface-status": "active",
        "attached-mac": a.mac,
        "vm-uuid": vm_id("a"),
    }
    assert external_ids(net, a.port) == wanted, f"the ids in the switch's database are {external_ids(net, a.port)}"
    told = netdev.ovs_port(a.port)
    found = (told.name, told.bridge, told.iface_id, told.iface_status, told.attached_mac, told.vm_uuid, told.tag)
    assert found == (a.port, "br-int", *wanted.values(), 7), f"the driver says of the port: {told}"
    assert str(told.ofport) == number(net, a.port), f"the driver says that the port has the number {told.ofport}"
    switch.vsctl("set", "Interface", a.port, "external_ids:theirs=kept", "other_config:theirs=kept")
    switch.vsctl("set", "Port", a.port, "external_ids:theirs=kept", "other_config:priority-tags=always")
    switch.vsctl("set", "Bridge", "br-int", "external_ids:theirs=kept", "other_config:mac-aging-time=77")
    switch.vsctl("set", "Open_vSwitch", ".", "external_ids:theirs=kept")
    switch.vsctl("add-port", "br-int", theirs.port, "tag=7", "--", "set", "Interface", theirs.port, "external_ids:x=y")
    before = switch.rows()
    netdev.create_ovs_vif_port("br-int", a.port, interface_id("a"), a.mac)
    netdev.set_ovs_port_vlan(a.port, tag=8)
    netdev.set_ovs_port_vlan(a.port)
    plug(netdev, "br-int", b)
    netdev.ensure_ovs_bridge("br-int", fail_mode="secure")
    netdev.ensure_ovs_bridge("br-int", fail_mode="standalone")
    plug(netdev, "br-int", a, tag=7)
    netdev.delete_ovs_vif_port("br-int", b.port, delete_dev=False)
    after = switch.rows()
    for rows in (before, after):
        rows["Bridge br-int"].pop("fail_mode", None)
    changed = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    assert not changed, f"what others had written is not as it was: {', '.join(changed)}"
    switch.vsctl("del-port", "br-int", theirs.port)
    switch.vsctl("clear", "Open_vSwitch", ".", "external_ids")


@spec(
    "OV-12",
    "delete_ovs_vif_port takes a port out, and its device away unless that is to stay; without a port it deletes the "
    "device, and again it writes nothing. A port of another bridge is left alone with its device.",
    capability=(OVS, Capability.TAP),
)
def test_port_is_deleted(netdev: DriverUnderTest, net: Sandbox) -> None:
    made(netdev, net, "br-one")
    made(netdev, net, "br-two")
    for tap in ("tap1", "tap2", "tap3"):
        netdev.create_tap_dev(tap)
    for bridge, tap in (("br-one", "tap1"), ("br-one", "tap2"), ("br-two", "tap3")):
        netdev.create_ovs_vif_port(bridge, tap, tap, _MAC)
    netdev.delete_ovs_vif_port("br-one", "tap1")
    assert bridge_of(net, "tap1") is None, "tap1 is still a port"
    assert net.look.link("tap1") is None, "tap1 is no port any more, and its device is still there"
    netdev.delete_ovs_vif_port("br-one", "tap2", delete_dev=False)
    assert bridge_of(net, "tap2") is None, "tap2 is still a port"
    assert net.look.link("tap2") is not None, "the device of tap2 was to stay, and was deleted"
    with net.look.unwritten("a second delete_ovs_vif_port"):
        netdev.delete_ovs_vif_port("br-one", "tap1")
        netdev.delete_ovs_vif_port("br-one", "tap2", delete_dev=False)
        netdev.delete_ovs_vif_port("br-none", "tap4")
    netdev.delete_ovs_vif_port("br-one", "tap2")
    assert net.look.link("tap2") is None, "tap2 was no port, and its device was not deleted"
    with net.look.unchanged("delete_ovs_vif_port of a port of another bridge"):
        netdev.delete_ovs_vif_port("br-one", "tap3")
    assert netdev.ovs_ports("br-one") == (), f"the driver says that br-one has the ports {netdev.ovs_ports('br-one')}"
    assert netdev.ovs_ports("br-two") == ("tap3",), f"the driver says that br-two has {netdev.ovs_ports('br-two')}"


@spec(
    "OV-16",
    "A port that the switch cannot make is refused with SwitchRefused, which names it and has what the switch says of "
    "it in its detail; the database is as it was.",
    capability=OVS,
    systems=(LINUX,),
)
def test_what_the_switch_cannot_do(netdev: DriverUnderTest, net: Sandbox) -> None:
    made(netdev, net, "br-int")
    a, b = plugged(netdev, net, "br-int", "a", "b")
    # What the switch itself calls the device of its tunnels (lib/netdev.c, netdev_is_reserved_name).
    with refused(net, SwitchRefused, "a port with a name that the switch reserves") as refusal:
        netdev.create_ovs_vif_port("br-int", "gre_sys", "id", _MAC, interface_type="internal")
    said = refusal.error
    assert said.detail, f"the refusal has not what the switch says of it: {said}"
    assert said.device == "gre_sys", f"the refusal names the device {said.device!r}"
    net.delivers(a, net.frame(a, b), b, what="unicast after a refusal")
