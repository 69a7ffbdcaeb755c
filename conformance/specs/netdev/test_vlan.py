"""VLAN devices: the tag that frames carry on the parent, and who gets them."""

from __future__ import annotations

from conformance.harness import DriverUnderTest
from conformance.spec import spec
from conformance.specs.netdev.refused import refusal, refused
from conformance.topology import frames
from conformance.topology.base import Guest
from conformance.topology.frames import Frame
from conformance.topology.sandbox import Sandbox
from refnet.errors import AlreadyExists, InvalidArgument, Mismatch, NoSuchDevice, RefnetError, WrongKind
from refnet.netdev.driver import Capability, Kind, Vlan

VLAN = Capability.VLAN
BRIDGED = (Capability.VLAN, Capability.BRIDGE)

BAD_TAGS = (0, 4095, 4096, -1, 65541, "5", True, 5.0, None, b"5")
BAD_NAMES = ("", "vlan012345678901", "vlan%d", "v/5", "v 5", "v:5", ".", "..", "v*", 7)


def inside(netdev: DriverUnderTest, net: Sandbox, vlan: str, name: str = "in", bridge: str = "br0") -> Guest:
    """Make a bridge with a VLAN device, made already, as a port, and a guest on another port."""
    net.look.need(vlan)
    guest = net.guest(name)
    netdev.create_bridge(bridge)
    netdev.add_bridge_port(bridge, vlan)
    netdev.add_bridge_port(bridge, guest.port)
    return guest


def retagged(frame: Frame, tag: int | None) -> Frame:
    """Return a frame that has no tag with one, or (None) one that has a tag without it."""
    put = frames.ETHERTYPE_8021Q.to_bytes(2, "big") + tag.to_bytes(2, "big") if tag is not None else b""
    return Frame(frame.data[:12] + put + frame.data[12 if put else 16 :], frame.token)


def leaves_tagged(net: Sandbox, sender: Guest, trunk: Guest, tag: int) -> None:
    """Prove that a guest's frame comes out of the parent with a tag and otherwise as it was."""
    for destination in (trunk.mac, frames.BROADCAST):
        frame = net.frame(sender, destination, size=1496)
        net.delivers(
            sender, frame, trunk, arrives_as=retagged(frame, tag), what=f"a frame to {destination} through VLAN {tag}"
        )


def arrives_untagged(net: Sandbox, trunk: Guest, receiver: Guest, tag: int) -> None:
    """Prove that a frame that enters the parent with a tag comes to a guest without it and otherwise as it was."""
    for destination in (receiver.mac, frames.BROADCAST):
        frame = net.frame(trunk, destination, vlan=tag, size=1496)
        net.delivers(
            trunk, frame, receiver, arrives_as=retagged(frame, None), what=f"a frame to {destination} with tag {tag}"
        )


# -- frames -------------------------------------------------------------------------------------------


@spec(
    "VL-01",
    "A frame sent through a VLAN device leaves the parent with exactly that tag, and otherwise byte for byte.",
    capability=BRIDGED,
)
def test_tag_is_put_on(netdev: DriverUnderTest, net: Sandbox) -> None:
    trunk = net.guest("trunk")
    guest = inside(netdev, net, netdev.ensure_vlan(5, trunk.port))
    leaves_tagged(net, guest, trunk, 5)


@spec(
    "VL-02",
    "A frame that comes to the parent with a VLAN device's tag leaves that device without it, otherwise byte for byte.",
    capability=BRIDGED,
)
def test_tag_is_taken_off(netdev: DriverUnderTest, net: Sandbox) -> None:
    trunk = net.guest("trunk")
    guest = inside(netdev, net, netdev.ensure_vlan(5, trunk.port))
    arrives_untagged(net, trunk, guest, 5)


@spec("VL-03", "A frame with another tag, or with none, does not come out of a VLAN device.", capability=BRIDGED)
def test_other_tags_stay_out(netdev: DriverUnderTest, net: Sandbox) -> None:
    trunk = net.guest("trunk")
    guest = inside(netdev, net, netdev.ensure_vlan(5, trunk.port))
    for tag in (6, 4, 261, None):
        leak = net.frame(trunk, frames.BROADCAST, vlan=tag)
        fence = (trunk, net.frame(trunk, frames.BROADCAST, vlan=5))
        net.withholds(trunk, leak, guest, fence=fence, what=f"a frame with tag {tag} at the parent of VLAN 5")


@spec("VL-04", "The tags 1, 2, 5 and 4094 are carried, each as it is.", level="full", capability=BRIDGED)
def test_sampled_tags(netdev: DriverUnderTest, net: Sandbox) -> None:
    trunk, guest = net.guest("trunk"), net.guest("in")
    netdev.create_bridge("br0")
    netdev.add_bridge_port("br0", guest.port)
    for tag in (1, 2, 5, 4094):
        name = netdev.ensure_vlan(tag, trunk.port)
        netdev.add_bridge_port("br0", name)
        leaves_tagged(net, guest, trunk, tag)
        arrives_untagged(net, trunk, guest, tag)
        netdev.remove_bridge_port("br0", name)


@spec("VL-05", "Two VLANs of one parent never exchange frames.", capability=BRIDGED)
def test_two_vlans_are_apart(netdev: DriverUnderTest, net: Sandbox) -> None:
    trunk, five, six = net.guest("trunk"), net.guest("five"), net.guest("six")
    for tag, guest in ((5, five), (6, six)):
        netdev.ensure_vlan_bridge(tag, f"br{tag}", trunk.port)
        netdev.add_bridge_port(f"br{tag}", guest.port)
    for destination in (six.mac, frames.BROADCAST, frames.UNREGISTERED_GROUP):
        leak = net.frame(five, destination)
        fence = (trunk, net.frame(trunk, frames.BROADCAST, vlan=6))
        net.withholds(five, leak, six, fence=fence, witness=trunk, what=f"a frame to {destination} in another VLAN")


# -- one device ---------------------------------------------------------------------------------------


@spec(
    "VL-06",
    "A new VLAN device is up, and is called as asked, else vlan<N>; that name is returned, device() says what it is.",
    capability=VLAN,
)
def test_name(netdev: DriverUnderTest, net: Sandbox) -> None:
    trunk = net.guest("trunk")
    for tag, asked, expected in ((5, None, "vlan5"), (4094, None, "vlan4094"), (7, "office", "office")):
        name = netdev.ensure_vlan(tag, trunk.port, asked)
        assert name == expected, f"ensure_vlan of tag {tag} as {asked} returns {name!r}, not {expected!r}"
        assert net.look.up(name), f"the new VLAN device {name} is down"
        said = netdev.device(name)
        assert said.kind is Kind.VLAN, f"device() says that {name} is of kind {said.kind}"
        assert said.vlan == Vlan(tag, trunk.port), f"device() says of {name}: {said.vlan}"


@spec("VL-07", "ensure_vlan of what is there as asked changes and writes nothing.", capability=VLAN)
def test_ensure_twice(netdev: DriverUnderTest, net: Sandbox) -> None:
    trunk, mac = net.guest("trunk"), net.new_mac()
    netdev.ensure_vlan(5, trunk.port, mac_address=mac, mtu=1400)
    net.look.need("vlan5")
    another = netdev.fresh()
    with net.look.unwritten("ensure_vlan of a VLAN device that is there"):
        name = another.ensure_vlan(5, trunk.port)
        netdev.ensure_vlan(5, trunk.port, "vlan5", mac_address=mac.upper(), mtu=1400)
    another.close()
    assert name == "vlan5", f"ensure_vlan of vlan5, which is there, returns {name!r}"


@spec("VL-08", "A new VLAN device has the MAC address and the MTU that were asked for.", capability=VLAN)
def test_properties(netdev: DriverUnderTest, net: Sandbox) -> None:
    trunk, mac = net.guest("trunk"), net.new_mac()
    netdev.ensure_vlan(5, trunk.port, mac_address=mac, mtu=1400)
    assert net.look.mtu("vlan5") == 1400, f"vlan5 has MTU {net.look.mtu('vlan5')}, not the 1400 asked for"
    netdev.add_device_address("vlan5", "192.0.2.1/24")
    seen = net.source_mac(trunk, "192.0.2.1", "192.0.2.2")
    assert seen == mac, f"what the host sends through vlan5 comes from MAC address {seen}, not from {mac}"


@spec(
    "VL-09",
    "ensure_vlan of what is there otherwise sets it up, with the MAC address and the MTU asked for.",
    capability=VLAN,
)
def test_reconciles_what_is_there(netdev: DriverUnderTest, net: Sandbox) -> None:
    trunk, old, new = net.guest("trunk"), net.new_mac(), net.new_mac()
    netdev.ensure_vlan(5, trunk.port, mac_address=old, mtu=1300)
    netdev.set_device_disabled("vlan5")
    netdev.ensure_vlan(5, trunk.port, mac_address=new, mtu=1400)
    assert net.look.up("vlan5"), "vlan5 was down, and is still down"
    assert net.look.mtu("vlan5") == 1400, f"vlan5 has MTU {net.look.mtu('vlan5')}, not the 1400 asked for anew"
    netdev.add_device_address("vlan5", "192.0.2.1/24")
    seen = net.source_mac(trunk, "192.0.2.1", "192.0.2.2")
    assert seen == new, f"what the host sends through vlan5 comes from MAC address {seen}, not from {new}"


@spec(
    "VL-10",
    "Deleting a VLAN device leaves its parent as it was, and deleting it again is no error and writes nothing.",
    capability=VLAN,
)
def test_delete(netdev: DriverUnderTest, net: Sandbox) -> None:
    trunk = net.guest("trunk", "192.0.2.2/24")
    netdev.add_device_address(trunk.port, "192.0.2.1/24")
    with net.look.unchanged("a VLAN device's life"):
        netdev.ensure_vlan(5, trunk.port)
        net.look.need("vlan5")
        netdev.delete_net_dev("vlan5")
    net.reaches(net, "192.0.2.1", trunk, "192.0.2.2", what="the parent of a VLAN device that was deleted")
    with net.look.unwritten("deleting vlan5 again"):
        netdev.delete_net_dev("vlan5")


# -- refusals -----------------------------------------------------------------------------------------


@spec("VL-11", "A tag that is no whole number from 1 to 4094 is refused with InvalidArgument before anything is made.")
def test_bad_tags(netdev: DriverUnderTest, net: Sandbox) -> None:
    trunk = net.guest("trunk")
    with net.look.unchanged("VLANs with bad tags"):
        for bad in BAD_TAGS:
            for dev in (None, "v0"):
                with refusal(InvalidArgument, f"ensure_vlan of tag {bad!r} as {dev}"):
                    netdev.ensure_vlan(bad, trunk.port, dev)
                with refusal(InvalidArgument, f"ensure_vlan_bridge of tag {bad!r} as {dev}"):
                    netdev.ensure_vlan_bridge(bad, "br0", trunk.port, dev)


@spec(
    "VL-12",
    "A bad name of device, parent or bridge, a bad MAC address and a bad MTU are refused with InvalidArgument before "
    "anything is made.",
)
def test_bad_arguments(netdev: DriverUnderTest, net: Sandbox) -> None:
    trunk = net.guest("trunk")
    with net.look.unchanged("VLANs with bad arguments"):
        for bad in BAD_NAMES:
            with refusal(InvalidArgument, f"ensure_vlan as {bad!r}"):
                netdev.ensure_vlan(5, trunk.port, bad)
            with refusal(InvalidArgument, f"ensure_vlan of the parent {bad!r}"):
                netdev.ensure_vlan(5, bad)
            with refusal(InvalidArgument, f"ensure_vlan_bridge with the bridge {bad!r}"):
                netdev.ensure_vlan_bridge(5, bad, trunk.port)
        for mac in ("", "52:54:00:12:34", "01:00:5e:00:00:01", "00:00:00:00:00:00", 5):
            with refusal(InvalidArgument, f"ensure_vlan with MAC address {mac!r}"):
                netdev.ensure_vlan(5, trunk.port, mac_address=mac)
        for mtu in (0, 67, 65536, -1, "1500", 1500.0, True):
            with refusal(InvalidArgument, f"ensure_vlan with MTU {mtu!r}"):
                netdev.ensure_vlan(5, trunk.port, mtu=mtu)


@spec(
    "VL-13",
    "A name that a device of another kind has is refused with WrongKind, and that device stays as it is.",
    capability=BRIDGED,
)
def test_wrong_kind(netdev: DriverUnderTest, net: Sandbox) -> None:
    trunk = net.guest("trunk")
    net.foreign("bridge9", Kind.BRIDGE)
    for name in ("bridge9", trunk.port, net.loopback):
        with refused(net, WrongKind, f"ensure_vlan as {name}, which is no VLAN device,") as taken:
            netdev.ensure_vlan(5, trunk.port, name, mac_address=net.new_mac(), mtu=1400)
        assert taken.error.device == name, f"the error is about {taken.error.device}, not about {name}"


@spec(
    "VL-14",
    "A name that a VLAN device with another tag has is refused with Mismatch, and that device stays as it is.",
    capability=VLAN,
)
def test_another_tag(netdev: DriverUnderTest, net: Sandbox) -> None:
    trunk = net.guest("trunk")
    netdev.ensure_vlan(5, trunk.port, "v0")
    with refused(net, Mismatch, "ensure_vlan of tag 6 as v0, which has tag 5,") as taken:
        netdev.ensure_vlan(6, trunk.port, "v0", mac_address=net.new_mac(), mtu=1400)
    assert taken.names("5"), f"the error does not name the tag that v0 has: {taken.error}"


@spec(
    "VL-15",
    "A name that a VLAN device of another parent has is refused with Mismatch, and that device stays as it is.",
    capability=VLAN,
)
def test_another_parent(netdev: DriverUnderTest, net: Sandbox) -> None:
    trunk, other = net.guest("trunk"), net.guest("other")
    netdev.ensure_vlan(5, trunk.port, "v0")
    with refused(net, Mismatch, f"ensure_vlan of {other.port} as v0, which is a VLAN of {trunk.port},"):
        netdev.ensure_vlan(5, other.port, "v0", mac_address=net.new_mac(), mtu=1400)


@spec(
    "VL-16",
    "A tag that the parent has under another name is refused with AlreadyExists, which names the device that has it.",
    capability=VLAN,
)
def test_tag_under_another_name(netdev: DriverUnderTest, net: Sandbox) -> None:
    trunk, other = net.guest("trunk"), net.guest("other")
    netdev.ensure_vlan(6, trunk.port, "decoy6")
    netdev.ensure_vlan(5, other.port, "decoy5")
    netdev.ensure_vlan(5, trunk.port, "holder")
    with refused(net, AlreadyExists, "ensure_vlan as v0 of the tag that holder has") as taken:
        netdev.ensure_vlan(5, trunk.port, "v0")
    assert taken.names("holder"), f"the error does not name the device that has the tag, holder: {taken.error}"


@spec("VL-17", "A parent that is not there is refused with NoSuchDevice, which names it.", capability=VLAN)
def test_missing_parent(netdev: DriverUnderTest, net: Sandbox) -> None:
    with refused(net, NoSuchDevice, "ensure_vlan of a parent that is not there") as taken:
        netdev.ensure_vlan(5, "nobody0")
    assert taken.error.device == "nobody0", f"the error is about {taken.error.device}, not about nobody0: {taken.error}"
    with refused(net, NoSuchDevice, "ensure_vlan_bridge of a parent that is not there"):
        netdev.ensure_vlan_bridge(5, "br0", "nobody0")


@spec(
    "VL-18",
    "An MTU above the parent's is refused with InvalidArgument: no device is made, and one that is there stays as it "
    "is.",
    capability=VLAN,
)
def test_mtu_above_the_parents(netdev: DriverUnderTest, net: Sandbox) -> None:
    trunk = net.guest("trunk", mtu=1400)
    with refused(net, InvalidArgument, "a new VLAN device with MTU 1401 of a parent with MTU 1400"):
        netdev.ensure_vlan(5, trunk.port, mtu=1401)
    netdev.ensure_vlan(5, trunk.port, mtu=1300)
    with refused(net, InvalidArgument, "MTU 1401 for a VLAN device that is there, of a parent with MTU 1400"):
        netdev.ensure_vlan(5, trunk.port, mac_address=net.new_mac(), mtu=1401)
    netdev.ensure_vlan(5, trunk.port, mtu=1400)
    assert net.look.mtu("vlan5") == 1400, f"vlan5 has MTU {net.look.mtu('vlan5')}, not the 1400 that its parent has"


@spec(
    "VL-19",
    "A VLAN device that cannot be up because its parent is down is refused with an error that names the parent.",
    level="full",
    capability=VLAN,
)
def test_parent_is_down(netdev: DriverUnderTest, net: Sandbox) -> None:
    trunk, other = net.guest("trunk"), net.guest("other")
    netdev.ensure_vlan(5, other.port)
    for parent, tag, state in ((trunk.port, 6, "a new VLAN device"), (other.port, 5, "a VLAN device that is there")):
        netdev.set_device_disabled(parent)
        with refused(net, RefnetError, f"{state} of a parent that is down") as taken:
            netdev.ensure_vlan(tag, parent)
        assert taken.names(parent), f"the error does not name the parent that is down, {parent}: {taken.error}"
        assert taken.names("down"), f"the error does not say that {parent} is down: {taken.error}"


# -- a device and a bridge ----------------------------------------------------------------------------


@spec(
    "VL-20",
    "With ensure_vlan_bridge a guest on the bridge talks, tagged, to whoever is behind the parent, and both ways.",
    capability=BRIDGED,
)
def test_bridge(netdev: DriverUnderTest, net: Sandbox) -> None:
    trunk, guest = net.guest("trunk"), net.guest("in", "192.0.2.2/24")
    trunk.tagged(5, "192.0.2.3/24")
    name = netdev.ensure_vlan_bridge(5, "br0", trunk.port)
    assert name == "vlan5", f"ensure_vlan_bridge returns {name!r}, not the VLAN device's name"
    netdev.add_bridge_port("br0", guest.port)
    net.reaches(guest, "192.0.2.2", trunk, "192.0.2.3", what="through the VLAN's bridge")
    leaves_tagged(net, guest, trunk, 5)
    arrives_untagged(net, trunk, guest, 5)


@spec("VL-21", "ensure_vlan_bridge of what is there changes and writes nothing.", capability=BRIDGED)
def test_bridge_twice(netdev: DriverUnderTest, net: Sandbox) -> None:
    trunk, mac = net.guest("trunk"), net.new_mac()
    netdev.ensure_vlan_bridge(5, "br0", trunk.port, mac_address=mac, mtu=1400)
    net.look.need("vlan5")
    with net.look.unwritten("ensure_vlan_bridge of a VLAN device and a bridge that are there"):
        netdev.ensure_vlan_bridge(5, "br0", trunk.port)
        name = netdev.ensure_vlan_bridge(5, "br0", trunk.port, "vlan5", mac_address=mac, mtu=1400)
    assert name == "vlan5", f"ensure_vlan_bridge of what is there returns {name!r}"


@spec(
    "VL-22",
    "A bridge made by ensure_vlan_bridge has the VLAN device's MAC address and MTU.",
    level="full",
    capability=BRIDGED,
)
def test_bridge_takes_over(netdev: DriverUnderTest, net: Sandbox) -> None:
    trunk, mac = net.guest("trunk"), net.new_mac()
    netdev.ensure_vlan_bridge(5, "br0", trunk.port, "v0", mac_address=mac, mtu=1400)
    for name in ("v0", "br0"):
        seen = (net.look.mac(name), net.look.mtu(name))
        assert seen == (mac, 1400), f"{name} has MAC address {seen[0]} and MTU {seen[1]}, not {mac} and 1400"


@spec(
    "VL-23",
    "When ensure_vlan_bridge fails at the bridge, a VLAN device that it has made is gone, and one from before stays.",
    capability=BRIDGED,
)
def test_bridge_fails(netdev: DriverUnderTest, net: Sandbox) -> None:
    trunk, other = net.guest("trunk"), net.guest("other")
    with refused(net, WrongKind, "ensure_vlan_bridge with a cable for the bridge"):
        netdev.ensure_vlan_bridge(5, other.port, trunk.port)
    netdev.ensure_vlan(6, trunk.port)
    with refused(net, WrongKind, "ensure_vlan_bridge with a VLAN device that is there and a cable for the bridge"):
        netdev.ensure_vlan_bridge(6, other.port, trunk.port)
