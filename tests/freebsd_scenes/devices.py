"""Scenes of any device: capabilities, properties, deletion, and calls without privilege."""

from __future__ import annotations

from freebsd_scenes.scene import BRIDGE, BRIDGED, DUAL, HOLDER, MAC, PAIR, TAP, VLAN, Scene, addresses, is_device
from refnet.errors import InvalidArgument, KernelRefused, NoSuchDevice, PermissionDenied, Unsupported
from refnet.netdev.driver import Capability, Kind, Vlan

#: What neither is there where the scenes are recorded, nor where they are played.
OF_SWITCHES = {one for one in Capability if one.value.startswith("ovs")} | {Capability.IVS}

SCENES = (
    # -- capabilities ---------------------------------------------------------------------------------
    Scene(
        "capabilities",
        lambda d: d.capabilities(),
        returns=lambda found: (
            found
            == set(Capability)
            - {
                Capability.BRIDGE_STP,
                Capability.BRIDGE_MULTICAST_SNOOPING,
                Capability.TAP_MULTI_QUEUE,
                Capability.SRIOV,
            }
            - OF_SWITCHES
        ),
    ),
    Scene("probe", lambda d: d.probe(Capability.TAP_OWNER)),
    # -- any device -----------------------------------------------------------------------------------
    Scene("device_exists", lambda d: d.device_exists("br0"), (BRIDGE,), lambda found: found is True),
    Scene("device_exists of nothing", lambda d: d.device_exists("nosuch0"), (), lambda found: found is False),
    Scene(
        "device_exists -a", lambda d: d.device_exists("-a"), ("ifconfig bridge create name -a",), lambda found: found
    ),
    Scene(
        "device of a bridge",
        lambda d: d.device("br0"),
        (f"{BRIDGE}; ifconfig br0 ether {MAC}; ifconfig br0 mtu 1400",),
        is_device(name="br0", kind=Kind.BRIDGE, mac_address=MAC, mtu=1400, up=True, master=None),
    ),
    Scene(
        "device of a port",
        lambda d: d.device("epair0a"),
        BRIDGED,
        is_device(kind=Kind.VETH, master="br0", peer="epair0b", carrier=True),
    ),
    Scene(
        "device of a VLAN",
        lambda d: d.device("vlan5"),
        VLAN,
        is_device(kind=Kind.VLAN, vlan=Vlan(5, "epair0a")),
    ),
    Scene(
        "device of a VLAN whose parent is gone",
        lambda d: d.device("vlan5"),
        (*VLAN, "ifconfig epair0a destroy"),
        is_device(kind=Kind.VLAN, vlan=Vlan(0, None)),
    ),
    Scene(
        "device of a tap",
        lambda d: d.device("tap5"),
        (TAP,),
        is_device(kind=Kind.TAP, carrier=False, up=True, multi_queue=False, owner=None, group=None),
    ),
    Scene(
        "device of a tap that was renamed",
        lambda d: d.device("vm1"),
        ("ifconfig tap5 create name vm1",),
        is_device(kind=Kind.TAP, up=False),
    ),
    Scene("device of a tun", lambda d: d.device("tun5"), ("ifconfig tun5 create",), is_device(kind=Kind.TUN)),
    Scene(
        "device of the loopback",
        lambda d: d.device("lo0"),
        (),
        is_device(kind=Kind.LOOPBACK, mtu=16384, mac_address=None),
    ),
    Scene(
        "device with addresses",
        lambda d: d.device("epair0a"),
        DUAL,
        lambda device: (
            addresses(device) == ["192.0.2.5/24", "192.0.2.6/24", "2001:db8::1/64", "fe80::77/64", "2001:db8::7/64"]
        ),
    ),
    Scene("device of nothing", lambda d: d.device("nosuch0"), raises=NoSuchDevice),
    Scene("delete_net_dev", lambda d: d.delete_net_dev("epair0b"), (PAIR,)),
    Scene("delete_net_dev of nothing", lambda d: d.delete_net_dev("nosuch0")),
    Scene("delete_net_dev of the loopback", lambda d: d.delete_net_dev("lo0"), raises=Unsupported, says="keeps it"),
    Scene(
        "delete_net_dev of a tap that is held",
        lambda d: d.delete_net_dev("tap5"),
        (TAP, f"sleep 60 </dev/tap5 >/dev/null 2>&1 & echo $! > {HOLDER}; sleep 1"),
        after=f"kill $(cat {HOLDER}); rm {HOLDER}; sleep 1",
        raises=KernelRefused,
        says="is held by process",
    ),
    Scene(
        "delete_net_dev of a VLAN with a VLAN on it",
        lambda d: d.delete_net_dev("vlan5"),
        (*VLAN, "ifconfig vlan create vlan 6 vlandev vlan5 vlanproto 802.1ad name vlan6"),
        # The kernel would never come to the end of this network stack (if_clone_detach, sys/net/if_clone.c).
        after="ifconfig vlan6 destroy",
        raises=KernelRefused,
        says="Device busy",
    ),
    Scene("set_device_mtu", lambda d: d.set_device_mtu("epair0a", 1400), (PAIR,)),
    Scene("set_device_mtu to what it is", lambda d: d.set_device_mtu("epair0a", 1500), (PAIR,)),
    Scene("set_device_mtu of a bridge", lambda d: d.set_device_mtu("br0", 1400), BRIDGED),
    Scene("set_device_mtu of a port", lambda d: d.set_device_mtu("epair0a", 1400), BRIDGED),
    Scene("set_device_mtu too small", lambda d: d.set_device_mtu("br0", 100), (BRIDGE,), raises=InvalidArgument),
    Scene("set_device_mtu of nothing", lambda d: d.set_device_mtu("nosuch0", 1400), raises=NoSuchDevice),
    Scene("set_device_macaddr", lambda d: d.set_device_macaddr("br0", MAC.upper()), (BRIDGE,)),
    Scene("set_device_macaddr of nothing", lambda d: d.set_device_macaddr("nosuch0", MAC), raises=NoSuchDevice),
    Scene("set_device_enabled", lambda d: d.set_device_enabled("br0"), (BRIDGE,)),
    Scene("set_device_enabled of nothing", lambda d: d.set_device_enabled("nosuch0"), raises=NoSuchDevice),
    Scene("set_device_disabled", lambda d: d.set_device_disabled("br0"), (BRIDGE,)),
    # -- without privilege ----------------------------------------------------------------------------
    *(
        Scene(f"{what} without privilege", call, BRIDGED, raises=PermissionDenied, says="root", unprivileged=True)
        for what, call in (
            ("create_bridge", lambda d: d.create_bridge("br9")),
            ("delete_bridge", lambda d: d.delete_bridge("br0")),
            ("add_bridge_port", lambda d: d.add_bridge_port("br0", "epair0b")),
            ("set_device_mtu", lambda d: d.set_device_mtu("br0", 1400)),
            ("set_device_macaddr", lambda d: d.set_device_macaddr("br0", MAC)),
            ("set_device_disabled", lambda d: d.set_device_disabled("br0")),
            ("add_device_address", lambda d: d.add_device_address("br0", "192.0.2.1/24")),
            ("ensure_bridge", lambda d: d.ensure_bridge("br0", "epair0b")),
            ("ensure_vlan", lambda d: d.ensure_vlan(5, "epair0b")),
            ("create_tap_dev", lambda d: d.create_tap_dev("tap5")),
            ("create_veth_pair", lambda d: d.create_veth_pair("v0", "v1")),
            ("delete_net_dev", lambda d: d.delete_net_dev("epair0b")),
        )
    ),
)
