"""Patch ports of Open vSwitch: cables between two bridges of one switch."""

from __future__ import annotations

from conformance.harness import DriverUnderTest
from conformance.spec import spec
from conformance.specs.netdev.switched import BRIDGE, carries, plug, plugged, withheld
from conformance.topology.frame_streams import streaming
from conformance.topology.sandbox import Sandbox
from refnet.netdev.model import Capability

OVS = Capability.OVS
OUTSIDE = "br-ext"
#: As long as names of patch ports may be; no device has to bear them.
LONG = "int-" + "x" * 59, "ext-" + "x" * 59


@spec(
    "OV-55",
    "Patch ports connect two bridges: frames pass both ways with the tags that they have.",
    capability=OVS,
)
def test_patch(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, five = plugged(netdev, net, a={}, five={"tag": 5})
    b, sixth = plugged(netdev, net, OUTSIDE, b={}, fifth={"tag": 5})
    netdev.create_ovs_patch_ports(BRIDGE, "int-patch", OUTSIDE, "ext-patch")
    for tag in (None, 5):
        carries(net, a, b, tag=tag, arrives_with=tag, what=f"through the patch with tag {tag}")
        carries(net, b, a, tag=tag, arrives_with=tag, what=f"back through the patch with tag {tag}")
    carries(net, five, sixth, what="through the patch, from one access port to another")
    withheld(net, a, sixth, control=five, what="through the patch, without a tag to an access port")
    for bridge, port in ((BRIDGE, "int-patch"), (OUTSIDE, "ext-patch")):
        said = netdev.ovs_port(port)
        assert (said.bridge, said.interface_type) == (bridge, "patch"), f"ovs_port says of {port}: {said!r}"


@spec(
    "OV-56",
    "A patch port with a tag lets its VLAN pass, without the tag at the other end, and no other.",
    capability=OVS,
)
def test_tagged_patch(netdev: DriverUnderTest, net: Sandbox) -> None:
    five, six, every = plugged(netdev, net, five={"tag": 5}, six={"tag": 6}, every={})
    b, c = plugged(netdev, net, OUTSIDE, b={}, c={})
    netdev.create_ovs_patch_ports(BRIDGE, LONG[0], OUTSIDE, LONG[1], tag=5)
    carries(net, five, b, what="from the VLAN of the patch")
    carries(net, b, five, what="to the VLAN of the patch")
    withheld(net, six, b, control=five, what="from another VLAN through a patch with tag 5")
    withheld(net, b, six, control=every, control_tag=6, what="to another VLAN through a patch with tag 5")
    withheld(net, every, b, control=five, what="without a tag through a patch with tag 5")
    withheld(net, b, five, control=every, tag=5, control_tag=5, what="with the tag of the patch from outside")
    carries(net, b, c, tag=5, arrives_with=5, what="in the second bridge")


@spec(
    "OV-57",
    "A patch that is deleted, by either end, lets nothing pass from the moment that the call returns, and traffic in "
    "the two bridges loses no frame.",
    capability=OVS,
)
def test_deleted_patch(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b, c = plugged(netdev, net, a={}, b={}, c={})
    d, e, f = plugged(netdev, net, OUTSIDE, d={}, e={}, f={})
    ends = ((BRIDGE, "int-patch"), (OUTSIDE, "ext-patch"))
    for first, last in (ends, ends[::-1]):
        netdev.create_ovs_patch_ports(BRIDGE, "int-patch", OUTSIDE, "ext-patch")
        carries(net, c, f, what="through the patch")
        with streaming(net, (a, b), (d, e), what="within the bridges, while the patch is deleted"):
            netdev.delete_ovs_vif_port(*first)
            withheld(net, c, f, control=d, what="through a patch with one end")
            withheld(net, f, c, control=a, what="back through a patch with one end")
            netdev.delete_ovs_vif_port(*last)
            withheld(net, c, f, control=d, what="through a patch that was deleted")
    for bridge, guests in ((BRIDGE, (a, b, c)), (OUTSIDE, (d, e, f))):
        ports = tuple(netdev.ovs_ports(bridge))
        assert ports == tuple(sorted(guest.port for guest in guests)), f"{bridge} has the ports {ports}"


@spec(
    "OV-58",
    "Patch ports that are there are adopted: asked for again, their traffic loses no frame and their numbers stay.",
    capability=OVS,
)
def test_patch_again(netdev: DriverUnderTest, net: Sandbox) -> None:
    (a,) = plugged(netdev, net, a={})
    (b,) = plugged(netdev, net, OUTSIDE, b={})
    ends = "int-patch", "ext-patch"
    netdev.create_ovs_patch_ports(BRIDGE, ends[0], OUTSIDE, ends[1])
    numbers = [netdev.ovs_port(end).ofport for end in ends]
    with streaming(net, (a, b), (b, a), what="through a patch that is asked for again") as streams:
        for _ in range(3):
            netdev.create_ovs_patch_ports(BRIDGE, ends[0], OUTSIDE, ends[1])
            netdev.create_ovs_patch_ports(OUTSIDE, ends[1], BRIDGE, ends[0])
            streams.more()
    after = [netdev.ovs_port(end).ofport for end in ends]
    assert after == numbers, f"the ends of the patch had the numbers {numbers}, and have {after} since"


@spec(
    "OV-59",
    "A bridge that is deleted takes its ports and patches along; their devices stay, and can be ports of another.",
    capability=OVS,
)
def test_deleted_bridge(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b = plugged(netdev, net, a={}, b={})
    c, d = plugged(netdev, net, OUTSIDE, c={}, d={})
    netdev.create_ovs_patch_ports(BRIDGE, "int-patch", OUTSIDE, "ext-patch")
    carries(net, a, c, what="through the patch")
    with streaming(net, (c, d), what="in one bridge, while the other is deleted"):
        netdev.delete_ovs_bridge(BRIDGE)
    assert net.look.link(BRIDGE) is None, f"the device {BRIDGE} is still there, and the bridge was deleted"
    for guest in (a, b):
        net.look.need(guest.port)
        plug(netdev, guest, OUTSIDE)
    carries(net, a, c, what="in the bridge that is left")
    carries(net, a, b, what="in the bridge that is left")
