"""Ports of Open vSwitch that are asked for again, and ports whose devices go and come."""

from __future__ import annotations

import time
from collections.abc import Callable

from conformance.harness import DriverUnderTest
from conformance.spec import spec
from conformance.specs.netdev.switched import BRIDGE, bridged, carries, plug, plugged, resumes, withheld
from conformance.topology.frame_streams import streaming
from conformance.topology.sandbox import Sandbox
from refnet.netdev.model import Capability, OvsPort

OVS = Capability.OVS
AGAIN = 5
#: How many times the limit for one frame's arrival a switch has to see that a device has gone, or come.
_LIMITS = 12


def until(netdev: DriverUnderTest, net: Sandbox, port: str, is_so: Callable[[OvsPort], bool]) -> OvsPort:
    """Return what ovs_port() comes to say of a port whose device has gone, or come."""
    deadline = time.monotonic() + _LIMITS * net.arrival_limit
    while True:
        said: OvsPort = netdev.ovs_port(port)
        if is_so(said) or time.monotonic() > deadline:
            return said
        time.sleep(0.05)


@spec(
    "OV-65",
    "A healthy port that is asked for again keeps its number, and its traffic loses no frame: neither as it is, nor "
    "with other ids.",
    capability=OVS,
)
def test_again_under_traffic(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b = plugged(netdev, net, a={"tag": 5}, b={"tag": 5})
    number = netdev.ovs_port(a.port).ofport
    with streaming(net, (a, b), (b, a), what="through a port that is asked for again") as streams:
        for _ in range(AGAIN):
            plug(netdev, a, tag=5)
            streams.more()
        netdev.create_ovs_vif_port(BRIDGE, a.port, "iface-another", a.mac, "an-instance", tag=5)
        streams.more()
    said = netdev.ovs_port(a.port)
    assert said.ofport == number, f"the port had number {number}, and has {said.ofport} since it was asked for again"
    assert said.iface_id == "iface-another", f"ovs_port says that the port's iface_id is {said.iface_id}"


@spec(
    "OV-66",
    "A port whose device was deleted and made again under the same name is repaired by the same call: frames flow, "
    "with its tag, and those of others lost none.",
    capability=OVS,
)
def test_device_made_again(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b, five, six, sixth = plugged(netdev, net, a={}, b={}, five={"tag": 5}, six={"tag": 6}, sixth={"tag": 6})
    old = net.guest("old")
    plug(netdev, old, tag=5)
    carries(net, old, five, what="before the device is deleted")
    with streaming(net, (a, b), (b, a), what="the others, while a port is repaired"):
        net.remove_plain(old.port)
        new = net.guest("old")
        plug(netdev, new, tag=5)
        carries(net, new, five, what="from a device that was made again")
        carries(net, five, new, what="to a device that was made again")
        withheld(net, new, six, control=sixth, what="from a device that was made again, to another VLAN")
    said = netdev.ovs_port(new.port)
    assert said.ofport is not None, f"ovs_port says that the repaired port has no number: {said.error}"
    assert not said.error, f"ovs_port says of the repaired port: {said.error}"


@spec(
    "OV-67",
    "A port whose device has vanished is told of: it has no number, and an error; it is deleted as any other.",
    capability=OVS,
)
def test_orphan(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b, c = plugged(netdev, net, a={}, b={}, c={})
    carries(net, a, c, what="before the device is deleted")
    net.remove_plain(c.port)
    said = until(netdev, net, c.port, lambda said: said.ofport is None and bool(said.error))
    assert said.ofport is None, f"the device of {c.port} has gone, and ovs_port says that its number is {said.ofport}"
    assert said.error, f"the device of {c.port} has gone, and ovs_port has no error"
    assert c.port in netdev.ovs_ports(BRIDGE), f"ovs_ports does not list {c.port}, whose device has gone"
    with streaming(net, (a, b), (b, a), what="the others, while an orphan is deleted"):
        netdev.delete_ovs_vif_port(BRIDGE, c.port)
    ports = tuple(netdev.ovs_ports(BRIDGE))
    assert ports == (a.port, b.port), f"an orphan was deleted, and ovs_ports says {ports}"
    new = net.guest("c")
    plug(netdev, new)
    carries(net, a, new, what="to a new port of an orphan's name")


@spec(
    "OV-68",
    "A port that is made before its device (device_later) lets frames pass when the device has come and is up, "
    "with its tag, and without another call.",
    capability=OVS,
)
def test_device_later(netdev: DriverUnderTest, net: Sandbox) -> None:
    five, six, sixth = plugged(netdev, net, five={"tag": 5}, six={"tag": 6}, sixth={"tag": 6})
    mac = net.new_mac()
    netdev.create_ovs_vif_port(BRIDGE, "p-late", "iface-late", mac, tag=5, device_later=True)
    waiting = netdev.ovs_port("p-late")
    assert waiting.ofport is None, f"the port has no device yet, and ovs_port says that its number is {waiting.ofport}"
    late = net.guest("late", mac=mac)
    said = until(netdev, net, "p-late", lambda said: said.ofport is not None)
    assert said.ofport is not None, f"the port's device is there, and ovs_port says that it has no number: {said.error}"
    # A switch that takes a device at the moment in which it is set up may set it down (it reads flags and writes them).
    netdev.set_device_enabled("p-late")
    resumes(net, late, five, what="from a device that came after its port")
    carries(net, five, late, what="to a device that came after its port")
    withheld(net, late, six, control=sixth, what="from a device that came after its port, to another VLAN")
    netdev.create_ovs_vif_port(BRIDGE, "p-late", "iface-late", mac, tag=5)
    after = netdev.ovs_port("p-late").ofport
    assert after == said.ofport, f"the port had number {said.ofport}, and has {after} since it was asked for again"


@spec(
    "OV-69",
    "Ports that come and go disturb nobody: the traffic of others loses no frame, and their numbers stay.",
    level="full",
    capability=OVS,
)
def test_others_unharmed(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b = plugged(netdev, net, a={}, b={})
    numbers = [netdev.ovs_port(guest.port).ofport for guest in (a, b)]
    plain = [f"x{number}" for number in range(AGAIN)]
    net.plain_cables(*plain)
    with streaming(net, (a, b), (b, a), what="the others, while ports come and go") as streams:
        for tag in (5, 6):
            for port in plain:
                netdev.create_ovs_vif_port(BRIDGE, port, f"iface-{port}", net.new_mac(), tag=tag)
            streams.more()
            for port in plain:
                netdev.delete_ovs_vif_port(BRIDGE, port, delete_dev=False)
            streams.more()
        bridged(netdev, net, "br-ext")
        netdev.delete_ovs_bridge("br-ext")
    after = [netdev.ovs_port(guest.port).ofport for guest in (a, b)]
    assert after == numbers, f"the ports had the numbers {numbers}, and have {after}"
    net.remove_plain(*plain)
