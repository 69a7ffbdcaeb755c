"""Scenes of VLANs, taps and virtual cables."""

from __future__ import annotations

from freebsd_scenes.scene import BRIDGE, BRIDGED, MAC, PAIR, TAP, VLAN, Scene
from refnet.errors import AlreadyExists, InvalidArgument, KernelRefused, Mismatch, NoSuchDevice, Unsupported, WrongKind

SCENES = (
    # -- VLANs ----------------------------------------------------------------------------------------
    Scene("ensure_vlan", lambda d: d.ensure_vlan(5, "epair0a"), (PAIR,), lambda name: name == "vlan5"),
    Scene(
        "ensure_vlan with all properties",
        lambda d: d.ensure_vlan(5, "epair0a", "office", mac_address=MAC, mtu=1400),
        (PAIR,),
        lambda name: name == "office",
    ),
    Scene("ensure_vlan that is there", lambda d: d.ensure_vlan(5, "epair0a"), VLAN, lambda name: name == "vlan5"),
    Scene(
        "ensure_vlan that differs",
        lambda d: d.ensure_vlan(5, "epair0a", mac_address=MAC, mtu=1400),
        (*VLAN, "ifconfig vlan5 down"),
        lambda name: name == "vlan5",
    ),
    Scene(
        "ensure_vlan that is a port and differs",
        lambda d: d.ensure_vlan(5, "epair0a", mtu=1400),
        (*VLAN, BRIDGE, "ifconfig br0 addm vlan5"),
        lambda name: name == "vlan5",
    ),
    Scene(
        "ensure_vlan by another's name", lambda d: d.ensure_vlan(5, "epair0a", "br0"), (PAIR, BRIDGE), raises=WrongKind
    ),
    Scene(
        "ensure_vlan with another tag",
        lambda d: d.ensure_vlan(6, "epair0a", "vlan5"),
        VLAN,
        raises=Mismatch,
        says="tag 5",
    ),
    Scene(
        "ensure_vlan of another parent", lambda d: d.ensure_vlan(5, "epair0b"), VLAN, raises=Mismatch, says="epair0a"
    ),
    Scene(
        "ensure_vlan by another name",
        lambda d: d.ensure_vlan(5, "epair0a", "v0"),
        VLAN,
        raises=AlreadyExists,
        says="vlan5",
    ),
    Scene("ensure_vlan of nothing", lambda d: d.ensure_vlan(5, "nosuch0"), raises=NoSuchDevice),
    Scene(
        "ensure_vlan of a parent that is down",
        lambda d: d.ensure_vlan(5, "epair0a"),
        ("ifconfig epair create",),
        raises=KernelRefused,
        says="epair0a is down",
    ),
    Scene(
        "ensure_vlan with too large an MTU",
        lambda d: d.ensure_vlan(5, "epair0a", mtu=1501),
        (PAIR,),
        raises=InvalidArgument,
    ),
    Scene(
        "ensure_vlan with too small an MTU",
        lambda d: d.ensure_vlan(5, "epair0a", mtu=70),
        (PAIR,),
        raises=InvalidArgument,
    ),
    Scene(
        "ensure_vlan on a bridge",
        lambda d: d.ensure_vlan(5, "br0"),
        (BRIDGE,),
        raises=Unsupported,
        says="no such parent",
    ),
    Scene(
        "ensure_vlan_bridge",
        lambda d: d.ensure_vlan_bridge(5, "br0", "epair0a", mac_address=MAC, mtu=1400),
        (PAIR,),
        lambda name: name == "vlan5",
    ),
    Scene(
        "ensure_vlan_bridge that is there",
        lambda d: d.ensure_vlan_bridge(5, "br0", "epair0a"),
        (*VLAN, BRIDGE, "ifconfig br0 addm vlan5"),
        lambda name: name == "vlan5",
    ),
    Scene(
        "ensure_vlan_bridge that fails at the bridge",
        lambda d: d.ensure_vlan_bridge(5, "epair0b", "epair0a"),
        (PAIR,),
        raises=WrongKind,
    ),
    # -- taps -----------------------------------------------------------------------------------------
    Scene("create_tap_dev", lambda d: d.create_tap_dev("tap5", MAC, mtu=1400)),
    Scene("create_tap_dev by a name of its own", lambda d: d.create_tap_dev("vm1", MAC)),
    Scene(
        "create_tap_dev whose number is in use",
        lambda d: d.create_tap_dev("tap5"),
        ("ifconfig tap5 create name other",),
    ),
    Scene("create_tap_dev that is there", lambda d: d.create_tap_dev("tap5"), (TAP,)),
    Scene(
        "create_tap_dev that differs",
        lambda d: d.create_tap_dev("tap5", MAC, mtu=1400),
        ("ifconfig tap5 create",),
    ),
    Scene("create_tap_dev with an owner", lambda d: d.create_tap_dev("tap5", owner=1, group="daemon")),
    Scene("create_tap_dev with another owner", lambda d: d.create_tap_dev("tap5", owner="daemon"), (TAP,)),
    Scene("create_tap_dev with its owner", lambda d: d.create_tap_dev("tap5", owner=66), (TAP,)),
    Scene("create_tap_dev with a bad MTU", lambda d: d.create_tap_dev("tap5", mtu=70), raises=InvalidArgument),
    Scene("create_tap_dev by another's name", lambda d: d.create_tap_dev("br0"), (BRIDGE,), raises=WrongKind),
    Scene("create_tap_dev by a tun's name", lambda d: d.create_tap_dev("tun5"), raises=InvalidArgument),
    # -- virtual cables -------------------------------------------------------------------------------
    Scene("create_veth_pair", lambda d: d.create_veth_pair("v0", "v1", mtu=1400)),
    Scene("create_veth_pair beside another", lambda d: d.create_veth_pair("v0", "v1"), (PAIR,)),
    Scene("create_veth_pair that is there", lambda d: d.create_veth_pair("epair0b", "epair0a"), (PAIR,)),
    Scene(
        "create_veth_pair that differs",
        lambda d: d.create_veth_pair("epair0a", "epair0b", mtu=1400),
        ("ifconfig epair create",),
    ),
    Scene(
        "create_veth_pair with a port that differs",
        lambda d: d.create_veth_pair("epair0a", "epair0b", mtu=1400),
        (*BRIDGED, "ifconfig epair0a down"),
    ),
    Scene("create_veth_pair with a bad MTU", lambda d: d.create_veth_pair("v0", "v1", mtu=70), raises=InvalidArgument),
    Scene(
        "create_veth_pair with another end",
        lambda d: d.create_veth_pair("epair0a", "v1"),
        (PAIR,),
        raises=Mismatch,
        says="epair0b",
    ),
    Scene(
        "create_veth_pair of ends of two",
        lambda d: d.create_veth_pair("epair0a", "epair1a"),
        (PAIR, "ifconfig epair create"),
        raises=Mismatch,
        says="epair0b",
    ),
    Scene(
        "create_veth_pair whose other end is elsewhere",
        lambda d: d.create_veth_pair("epair0a", "epair0b"),
        (PAIR, "jail -c name=elsewhere persist vnet path=/; ifconfig epair0b vnet elsewhere"),
        after="jail -r elsewhere",
        raises=Mismatch,
        says="another network stack",
    ),
    Scene(
        "create_veth_pair by another's name",
        lambda d: d.create_veth_pair("v0", "br0"),
        (BRIDGE,),
        raises=WrongKind,
    ),
)
