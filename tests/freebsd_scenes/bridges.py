"""Scenes of bridges and their ports."""

from __future__ import annotations

from freebsd_scenes.scene import BRIDGE, BRIDGED, DUAL, MAC, OTHER_MAC, PAIR, TWO_BRIDGES, UNFIT, Scene
from refnet.errors import AlreadyEnslaved, AlreadyExists, InvalidArgument, NoSuchDevice, Unsupported, WrongKind

SCENES = (
    # -- bridges --------------------------------------------------------------------------------------
    Scene("create_bridge", lambda d: d.create_bridge("br0")),
    Scene(
        "create_bridge with all options",
        lambda d: d.create_bridge("br0", mac_address=MAC, mtu=1400, forward_delay=4, ageing_time=60),
    ),
    Scene("create_bridge that is there", lambda d: d.create_bridge("br0"), (BRIDGE,), raises=AlreadyExists),
    Scene("create_bridge by another's name", lambda d: d.create_bridge("epair0a"), (PAIR,), raises=WrongKind),
    Scene("create_bridge with a bad delay", lambda d: d.create_bridge("br0", forward_delay=2), raises=InvalidArgument),
    Scene("create_bridge with a bad MTU", lambda d: d.create_bridge("br0", mtu=100), raises=InvalidArgument),
    Scene("delete_bridge", lambda d: d.delete_bridge("br0"), BRIDGED),
    Scene("delete_bridge of nothing", lambda d: d.delete_bridge("br0")),
    Scene("delete_bridge of another kind", lambda d: d.delete_bridge("epair0a"), (PAIR,), raises=WrongKind),
    Scene("add_bridge_port", lambda d: d.add_bridge_port("br0", "epair0b"), BRIDGED),
    Scene("add_bridge_port again", lambda d: d.add_bridge_port("br0", "epair0a"), BRIDGED),
    Scene(
        "add_bridge_port with another MTU",
        lambda d: d.add_bridge_port("br0", "epair0b"),
        (*BRIDGED, "ifconfig epair0b mtu 1400"),
    ),
    Scene(
        "add_bridge_port to a bridge that was given an MTU",
        lambda d: d.add_bridge_port("br0", "epair0a"),
        (PAIR, BRIDGE, "ifconfig br0 mtu 4000 group refnet-mtu"),
    ),
    Scene(
        "add_bridge_port of another bridge",
        lambda d: d.add_bridge_port("br1", "epair0a"),
        TWO_BRIDGES,
        raises=AlreadyEnslaved,
        says="br0",
    ),
    Scene("add_bridge_port with a move", lambda d: d.add_bridge_port("br1", "epair0a", move=True), TWO_BRIDGES),
    Scene(
        "add_bridge_port that cannot have the MTU",
        lambda d: d.add_bridge_port("br0", "vlan5"),
        UNFIT,
        raises=InvalidArgument,
    ),
    Scene(
        "add_bridge_port with a move that cannot have the MTU",
        lambda d: d.add_bridge_port("br0", "vlan5", move=True),
        (*UNFIT, "ifconfig bridge create name br1 up; ifconfig br1 addm vlan5"),
        raises=InvalidArgument,
    ),
    Scene(
        "add_bridge_port that is not there",
        lambda d: d.add_bridge_port("br0", "nosuch0"),
        (BRIDGE,),
        raises=NoSuchDevice,
    ),
    Scene("add_bridge_port to nothing", lambda d: d.add_bridge_port("br9", "epair0a"), (PAIR,), raises=NoSuchDevice),
    Scene(
        "add_bridge_port to another kind", lambda d: d.add_bridge_port("epair0a", "epair0b"), (PAIR,), raises=WrongKind
    ),
    Scene(
        "add_bridge_port of the loopback", lambda d: d.add_bridge_port("br0", "lo0"), (BRIDGE,), raises=InvalidArgument
    ),
    Scene("add_bridge_port of itself", lambda d: d.add_bridge_port("br0", "br0"), (BRIDGE,), raises=InvalidArgument),
    Scene(
        "add_bridge_port of a bridge", lambda d: d.add_bridge_port("br0", "br1"), TWO_BRIDGES, raises=InvalidArgument
    ),
    Scene("remove_bridge_port", lambda d: d.remove_bridge_port("br0", "epair0a"), BRIDGED),
    Scene("remove_bridge_port that is none", lambda d: d.remove_bridge_port("br0", "epair0b"), BRIDGED),
    Scene("remove_bridge_port of nothing", lambda d: d.remove_bridge_port("br9", "epair0b")),
    Scene(
        "remove_bridge_port of another kind",
        lambda d: d.remove_bridge_port("epair0a", "epair0b"),
        (PAIR,),
        raises=WrongKind,
    ),
    Scene("bridge_ports", lambda d: d.bridge_ports("br0"), BRIDGED, lambda ports: ports == ("epair0a",)),
    Scene("bridge_ports of nothing", lambda d: d.bridge_ports("br9"), raises=NoSuchDevice),
    Scene("bridge_ports of another kind", lambda d: d.bridge_ports("epair0a"), (PAIR,), raises=WrongKind),
    Scene("ensure_bridge", lambda d: d.ensure_bridge("br0", mac_address=MAC, mtu=1400)),
    Scene("ensure_bridge that is there", lambda d: d.ensure_bridge("br0"), (BRIDGE,)),
    Scene(
        "ensure_bridge that differs",
        lambda d: d.ensure_bridge("br0", mac_address=MAC, mtu=1400, forward_delay=4, ageing_time=60),
        ("ifconfig bridge create name br0",),
    ),
    Scene(
        "ensure_bridge that refuses",
        lambda d: d.ensure_bridge("br0", mac_address=MAC, mtu=1400, forward_delay=2, ageing_time=60),
        (f"ifconfig bridge create name br0; ifconfig br0 ether {OTHER_MAC}",),
        raises=InvalidArgument,
    ),
    Scene("ensure_bridge of another kind", lambda d: d.ensure_bridge("epair0a"), (PAIR,), raises=WrongKind),
    Scene("ensure_bridge with a port", lambda d: d.ensure_bridge("br0", "epair0a"), (PAIR,)),
    Scene("ensure_bridge with a port that is one", lambda d: d.ensure_bridge("br0", "epair0a"), BRIDGED),
    Scene(
        "ensure_bridge with a port that is down",
        lambda d: d.ensure_bridge("br0", "epair0a"),
        ("ifconfig epair create", BRIDGE, "ifconfig br0 addm epair0a"),
    ),
    Scene("ensure_bridge with addresses and routes", lambda d: d.ensure_bridge("br0", "epair0a"), DUAL),
    Scene(
        "ensure_bridge with addresses and routes to a bridge that is there",
        lambda d: d.ensure_bridge("br0", "epair0a", mtu=1400),
        (*DUAL, BRIDGE, "ifconfig br0 inet 198.51.100.1/24"),
    ),
    Scene(
        "ensure_bridge with addresses of a port that cannot have the MTU",
        lambda d: d.ensure_bridge("br0", "vlan5"),
        UNFIT,
        raises=InvalidArgument,
    ),
    Scene(
        "ensure_bridge made for a port that cannot have the MTU",
        lambda d: d.ensure_bridge("br9", "vlan5", mtu=9000),
        UNFIT,
        raises=InvalidArgument,
    ),
    Scene(
        "ensure_bridge with a route by a link-local gateway alone",
        lambda d: d.ensure_bridge("br0", "epair0a"),
        (
            PAIR,
            "ifconfig epair0a inet6 no_dad -auto_linklocal fe80::77/64",
            "route -6 add default fe80::2%epair0a",
        ),
        raises=Unsupported,
    ),
    Scene(
        "ensure_bridge with link-local addresses on both",
        lambda d: d.ensure_bridge("br0", "epair0a"),
        (*DUAL, BRIDGE, "ifconfig br0 inet6 no_dad fe80::99/64"),
        raises=Unsupported,
        says="allow_llz_overlap",
    ),
    Scene(
        "ensure_bridge with a port of another bridge",
        lambda d: d.ensure_bridge("br1", "epair0a"),
        TWO_BRIDGES,
        raises=AlreadyEnslaved,
    ),
    Scene("ensure_bridge with a move", lambda d: d.ensure_bridge("br1", "epair0a", move=True), TWO_BRIDGES),
    Scene("ensure_bridge with nothing", lambda d: d.ensure_bridge("br0", "nosuch0"), raises=NoSuchDevice),
    Scene("ensure_bridge with the loopback", lambda d: d.ensure_bridge("br0", "lo0"), raises=InvalidArgument),
)
