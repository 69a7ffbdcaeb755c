"""Ports of Open vSwitch with VLANs: which tags they take, which they put on and take off, and who is kept apart."""

from __future__ import annotations

from collections.abc import Callable

from conformance.harness import DriverUnderTest
from conformance.spec import spec
from conformance.specs.netdev.switched import bridged, carries, ceases, plug, plugged, withheld
from conformance.topology import frames, packets
from conformance.topology.base import Guest
from conformance.topology.frame_streams import streaming
from conformance.topology.frames import Frame
from conformance.topology.sandbox import Sandbox
from refnet.netdev.model import Capability, VlanMode

OVS = Capability.OVS
ALL_NODES, ALL_NODES_MAC = "ff02::1", "33:33:00:00:00:01"


def as_asked(netdev: DriverUnderTest, guest: Guest, *words: object) -> None:
    """Assert what ovs_port() says of a port's VLANs: tag, trunks, mode."""
    said = netdev.ovs_port(guest.port)
    found = (said.tag, tuple(said.trunks), said.vlan_mode)
    assert found == words, f"ovs_port says of {guest.port}: tag, trunks and mode are {found}, not {words}"


# -- access -------------------------------------------------------------------------------------------


@spec(
    "OV-40",
    "Frames of a guest on an access port are of its VLAN: a trunk port has them with its tag, and frames with that tag "
    "come to the guest without one.",
    capability=OVS,
)
def test_access(netdev: DriverUnderTest, net: Sandbox) -> None:
    five, top, trunk = plugged(netdev, net, five={"tag": 5}, top={"tag": 4094}, trunk={})
    for guest, tag in ((five, 5), (top, 4094)):
        carries(net, guest, trunk, arrives_with=tag, what=f"from a port with tag {tag} to a trunk")
        carries(net, trunk, guest, tag=tag, what=f"from a trunk to a port with tag {tag}")
    as_asked(netdev, five, 5, (), None)


@spec(
    "OV-41",
    "Tagged frames that a guest on an access port sends are refused, those with the port's own tag as well.",
    capability=OVS,
)
def test_guests_tags(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, five, six, trunk = plugged(netdev, net, a={"tag": 5}, five={"tag": 5}, six={"tag": 6}, trunk={})
    for tag in (5, 6, 7):
        withheld(net, a, five, control=a, tag=tag, what=f"with tag {tag}, to a guest of the same VLAN")
        withheld(net, a, six, control=trunk, tag=tag, control_tag=6, what=f"with tag {tag}, to another VLAN")
        withheld(net, a, trunk, control=a, tag=tag, what=f"with tag {tag}, to a trunk")


@spec("OV-42", "Ports with different tags never exchange frames, although they are on one bridge.", capability=OVS)
def test_two_tags(netdev: DriverUnderTest, net: Sandbox) -> None:
    five, fifth, six, sixth = plugged(netdev, net, five={"tag": 5}, fifth={"tag": 5}, six={"tag": 6}, sixth={"tag": 6})
    carries(net, five, fifth, what="between ports of one tag")
    withheld(net, five, six, control=sixth, what="from tag 5 to tag 6")
    withheld(net, six, five, control=fifth, what="from tag 6 to tag 5")


@spec(
    "OV-43",
    "Broadcast, IPv6 multicast and frames to unknown addresses go to all ports of their VLAN, and to no other.",
    capability=OVS,
)
def test_flooding(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b, c, six, sixth = plugged(
        netdev, net, a={"tag": 5}, b={"tag": 5}, c={"tag": 5}, six={"tag": 6}, sixth={"tag": 6}
    )

    def six_to_all() -> Frame:
        token = net.new_token()
        message = packets.udp("fe80::5", ALL_NODES, 5353, 5353, token)
        return Frame(packets.ether(a.mac, ALL_NODES_MAC, message), token)

    made: tuple[Callable[[], Frame], ...] = (
        lambda: net.frame(a, frames.BROADCAST),
        six_to_all,
        lambda: net.frame(a, "02:00:00:00:00:77"),
    )
    for make in made:
        net.delivers(a, make(), b, c, what="what goes to all of a VLAN")
        fence = (sixth, net.frame(sixth, frames.BROADCAST))
        net.withholds(a, make(), six, fence=fence, witness=c, what="what goes to all of another VLAN")


@spec(
    "OV-44",
    "One MAC address in two VLANs is known in each by itself: frames to it leave by the port of their own VLAN.",
    capability=OVS,
)
def test_same_mac_twice(netdev: DriverUnderTest, net: Sandbox) -> None:
    bridged(netdev, net)
    mac = net.new_mac()
    twin5, twin6 = net.guest("twin5", mac=mac), net.guest("twin6", mac=mac)
    five, six, other5, other6 = (net.guest(name) for name in ("five", "six", "other5", "other6"))
    for guest in (twin5, five, other5):
        plug(netdev, guest, tag=5)
    for guest in (twin6, six, other6):
        plug(netdev, guest, tag=6)
    for _ in range(2):
        net.delivers(twin5, net.frame(twin5, frames.BROADCAST), five, other5, what="the address in VLAN 5")
        net.delivers(twin6, net.frame(twin6, frames.BROADCAST), six, other6, what="the address in VLAN 6")
        for sender, twin, other in ((five, twin5, other5), (six, twin6, other6)):
            net.delivers(sender, net.frame(sender, mac), twin, what=f"from {sender.name} to the address")
            fence = (sender, net.frame(sender, other))
            what = f"from {sender.name} to the address, at another port of the VLAN"
            net.withholds(sender, net.frame(sender, mac), other, fence=fence, witness=twin, what=what)


@spec("OV-45", "A port with tag 4095 exchanges no frame with ports of other tags or trunks of them.", capability=OVS)
def test_dead_vlan(netdev: DriverUnderTest, net: Sandbox) -> None:
    dead, five, fifth, t5, trunk = plugged(
        netdev, net, dead={"tag": 4095}, five={"tag": 5}, fifth={"tag": 5}, t5={"trunks": (5,)}, trunk={}
    )
    withheld(net, dead, five, control=fifth, what="from tag 4095 to tag 5")
    withheld(net, dead, t5, control=five, what="from tag 4095 to a trunk of tag 5")
    with net.attached(dead) as behind:
        way = (five, fifth)
        withheld(net, five, dead, control=behind, through=way, what="from tag 5 to tag 4095")
        withheld(net, trunk, dead, control=behind, through=way, what="from a trunk to tag 4095")
        withheld(net, trunk, dead, control=behind, through=way, tag=5, what="from a trunk, with tag 5, to tag 4095")
    as_asked(netdev, dead, 4095, (), None)


# -- trunks -------------------------------------------------------------------------------------------


@spec("OV-46", "A port of which no tag was said passes all tags as they are, and untagged frames.", capability=OVS)
def test_all_tags(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b = plugged(netdev, net, a={}, b={})
    for tag in (None, 1, 5, 4094):
        carries(net, a, b, tag=tag, arrives_with=tag, what=f"with tag {tag}")
    as_asked(netdev, a, None, (), None)


@spec(
    "OV-47",
    "A trunk port passes frames of its trunks with their tags, both ways, and none of other tags or without a tag.",
    capability=OVS,
)
def test_trunk(netdev: DriverUnderTest, net: Sandbox) -> None:
    trunk, five, six, seven, every = plugged(
        netdev, net, trunk={"trunks": (6, 5)}, five={"tag": 5}, six={"tag": 6}, seven={"tag": 7}, every={}
    )
    for guest, tag in ((five, 5), (six, 6)):
        carries(net, trunk, guest, tag=tag, what=f"from the trunk with tag {tag}")
        carries(net, guest, trunk, arrives_with=tag, what=f"to the trunk from tag {tag}")
        carries(net, every, trunk, tag=tag, arrives_with=tag, what=f"to the trunk with tag {tag}")
    withheld(net, trunk, seven, control=every, tag=7, control_tag=7, what="from a trunk with a tag that is none of its")
    withheld(net, trunk, every, control=trunk, control_tag=5, what="from a trunk without a tag")
    withheld(net, seven, trunk, control=five, what="to a trunk from a tag that is none of its")
    withheld(net, every, trunk, control=five, what="to a trunk without a tag")
    as_asked(netdev, trunk, None, (5, 6), None)


@spec(
    "OV-48",
    "A trunk with a tag of its own (native-untagged) has frames of it without the tag on the wire, both ways, and "
    "those of its trunks with theirs.",
    capability=OVS,
)
def test_native_untagged(netdev: DriverUnderTest, net: Sandbox) -> None:
    untagged = {"tag": 5, "trunks": (6,)}
    asked = {**untagged, "vlan_mode": VlanMode.NATIVE_UNTAGGED}
    plain, said, five, six, seven, every = plugged(
        netdev, net, plain=untagged, said=asked, five={"tag": 5}, six={"tag": 6}, seven={"tag": 7}, every={}
    )
    for native in (plain, said):
        carries(net, native, five, what=f"from {native.name} without a tag")
        carries(net, five, native, what=f"to {native.name} from its own VLAN")
        carries(net, native, six, tag=6, what=f"from {native.name} with a tag of its trunks")
        carries(net, six, native, arrives_with=6, what=f"to {native.name} from a VLAN of its trunks")
        withheld(net, native, seven, control=every, tag=7, control_tag=7, what=f"from {native.name} with another tag")
        withheld(net, seven, native, control=five, what=f"to {native.name} from another VLAN")
    as_asked(netdev, said, 5, (6,), VlanMode.NATIVE_UNTAGGED)


@spec(
    "OV-49",
    "A native-tagged port takes untagged frames for its own VLAN, and gives frames of it with the tag.",
    capability=OVS,
)
def test_native_tagged(netdev: DriverUnderTest, net: Sandbox) -> None:
    words = {"tag": 5, "trunks": (6,), "vlan_mode": "native-tagged"}
    native, five, six, seven, every = plugged(
        netdev, net, native=words, five={"tag": 5}, six={"tag": 6}, seven={"tag": 7}, every={}
    )
    carries(net, native, five, what="from a native-tagged port without a tag")
    carries(net, native, five, tag=5, what="from a native-tagged port with its own tag")
    carries(net, five, native, arrives_with=5, what="to a native-tagged port from its own VLAN")
    carries(net, six, native, arrives_with=6, what="to a native-tagged port from a VLAN of its trunks")
    withheld(net, native, seven, control=every, tag=7, control_tag=7, what="from a native-tagged port with another tag")
    withheld(net, seven, native, control=five, what="to a native-tagged port from another VLAN")
    as_asked(netdev, native, 5, (6,), VlanMode.NATIVE_TAGGED)


# -- living ports -------------------------------------------------------------------------------------


def moves(netdev: DriverUnderTest, net: Sandbox, retag: Callable[[Guest, int], None]) -> None:
    """Prove that a guest goes from VLAN 5 to VLAN 6 when ``retag`` is called with it and the new tag, and back."""
    guest, five, six, trunk = plugged(netdev, net, guest={"tag": 5}, five={"tag": 5}, six={"tag": 6}, trunk={})
    number = netdev.ovs_port(guest.port).ofport
    old, was, new, now = five, 5, six, 6
    for _ in range(2):
        # The switch remembers these ways, and has to forget them.
        net.delivers(guest, net.frame(guest, old), old, what=f"in VLAN {was}, before the tag is set")
        net.delivers(old, net.frame(old, guest), guest, what=f"in VLAN {was}, before the tag is set")
        retag(guest, now)
        carries(net, guest, new, what=f"in VLAN {now}, as soon as the tag is set")
        carries(net, new, guest, what=f"in VLAN {now}, as soon as the tag is set")
        withheld(net, guest, old, control=trunk, control_tag=was, what=f"to VLAN {was}, as soon as the tag is {now}")
        withheld(net, old, guest, control=new, what=f"from VLAN {was}, as soon as the tag is {now}")
        ceases(net, guest, old, control=trunk, control_tag=was, what=f"to VLAN {was}: what was under way")
        ceases(net, old, guest, control=new, what=f"from VLAN {was}: what was under way")
        as_asked(netdev, guest, now, (), None)
        old, was, new, now = new, now, old, was
    after = netdev.ovs_port(guest.port).ofport
    assert after == number, f"the port had number {number}, and has {after} since its tag was set"


@spec(
    "OV-50",
    "A tag that set_ovs_port_vlan sets on a living port counts when the call returns: frames go to and come from the "
    "new VLAN, and none of the old one.",
    capability=OVS,
)
def test_retag(netdev: DriverUnderTest, net: Sandbox) -> None:
    moves(netdev, net, lambda guest, tag: netdev.set_ovs_port_vlan(guest.port, tag=tag))


@spec(
    "OV-51",
    "A tag that a second create_ovs_vif_port brings counts when the call returns, as that of set_ovs_port_vlan does.",
    capability=OVS,
)
def test_retag_by_create(netdev: DriverUnderTest, net: Sandbox) -> None:
    moves(netdev, net, lambda guest, tag: plug(netdev, guest, tag=tag))


@spec(
    "OV-52",
    "What is said of a living port's VLANs takes the rest off it: an access port becomes a trunk of the tags that are "
    "said, and by set_ovs_port_vlan without any of all tags.",
    capability=OVS,
)
def test_words_taken_off(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest, five, six, every = plugged(netdev, net, guest={"tag": 5}, five={"tag": 5}, six={"tag": 6}, every={})
    carries(net, guest, five, what="as an access port")
    netdev.set_ovs_port_vlan(guest.port, trunks=(6,))
    carries(net, guest, six, tag=6, what="as a trunk of tag 6")
    withheld(net, guest, five, control=every, control_tag=5, what="as a trunk of tag 6, without a tag")
    withheld(net, five, guest, control=six, what="as a trunk of tag 6, from the VLAN that it was in")
    as_asked(netdev, guest, None, (6,), None)
    netdev.set_ovs_port_vlan(guest.port)
    for tag in (None, 5, 6):
        carries(net, guest, every, tag=tag, arrives_with=tag, what=f"as a trunk of all tags, with tag {tag}")
    as_asked(netdev, guest, None, (), None)
    plug(netdev, guest, tag=5)
    carries(net, guest, five, what="as an access port again")
    plug(netdev, guest, trunks=(6,))
    carries(net, six, guest, arrives_with=6, what="as a trunk of tag 6 again")
    withheld(net, five, guest, control=six, what="as a trunk of tag 6 again, from the VLAN that it was in")
    as_asked(netdev, guest, None, (6,), None)


@spec(
    "OV-53",
    "A port that is asked for again without a word of VLANs keeps what it has, whoever has set it, and its traffic "
    "loses no frame.",
    capability=OVS,
)
def test_no_word_of_vlans(netdev: DriverUnderTest, net: Sandbox) -> None:
    switch = net.open_vswitch()
    guest, five, six, sixth, every = plugged(
        netdev, net, guest={}, five={"tag": 5}, six={"tag": 6}, sixth={"tag": 6}, every={}
    )
    switch.vsctl("set", "Port", guest.port, "tag=5")
    with streaming(net, (guest, five), (five, guest), what="a port that is asked for again") as streams:
        plug(netdev, guest)
        streams.more()
    carries(net, guest, every, arrives_with=5, what="a port that is asked for again, to a trunk")
    withheld(net, guest, six, control=sixth, what="a port that is asked for again, to another VLAN")
    withheld(net, every, guest, control=five, what="to a port that is asked for again, without a tag")
    as_asked(netdev, guest, 5, (), None)
    switch.vsctl("clear", "Port", guest.port, "tag", "--", "set", "Port", guest.port, "trunks=5,6")
    plug(netdev, guest)
    carries(net, six, guest, arrives_with=6, what="to a trunk that is asked for again")
    as_asked(netdev, guest, None, (5, 6), None)
