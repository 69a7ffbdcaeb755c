"""Network devices: the driver for this host, and a function for each of its methods.

    from refnet import netdev

    netdev.create_bridge("br100")
    netdev.create_tap_dev("tap1", "52:54:00:12:34:56", mtu=1400)
    netdev.add_bridge_port("br100", "tap1")

The functions use the default driver (:func:`get_driver` without an argument). What they take, do and raise stands with
the method of the same name in :class:`~refnet.netdev.driver.NetDevDriver`.
"""

from __future__ import annotations

from collections.abc import Sequence

from refnet import config
from refnet.netdev.driver import NetDevDriver
from refnet.netdev.model import (
    Address,
    Capability,
    Device,
    Kind,
    LinkState,
    OvsPort,
    VirtualFunction,
    Vlan,
    VlanMode,
)

__all__ = [
    "Address",
    "Capability",
    "Device",
    "Kind",
    "LinkState",
    "NetDevDriver",
    "OvsPort",
    "VirtualFunction",
    "Vlan",
    "VlanMode",
    "add_bridge_port",
    "add_device_address",
    "bridge_ports",
    "capabilities",
    "create_bridge",
    "create_ivs_vif_port",
    "create_ovs_patch_ports",
    "create_ovs_vif_port",
    "create_tap_dev",
    "create_veth_pair",
    "delete_bridge",
    "delete_device_address",
    "delete_ivs_vif_port",
    "delete_net_dev",
    "delete_ovs_bridge",
    "delete_ovs_vif_port",
    "device",
    "device_exists",
    "ensure_bridge",
    "ensure_gateway_address",
    "ensure_ovs_bridge",
    "ensure_vlan",
    "ensure_vlan_bridge",
    "get_driver",
    "ovs_port",
    "ovs_ports",
    "ovs_set_vhostuser_port_type",
    "probe",
    "remove_bridge_port",
    "restore_virtual_function",
    "set_device_disabled",
    "set_device_enabled",
    "set_device_link_state",
    "set_device_macaddr",
    "set_device_macaddr_and_vlan",
    "set_device_mtu",
    "set_device_trust",
    "set_ovs_port_vlan",
    "virtual_function_at",
    "virtual_function_device",
    "virtual_functions",
]

#: The group of entry points that other drivers are found in.
ENTRY_POINTS = "refnet.netdev"

#: Those of this process, by choice.
_drivers: config.Instances[str, NetDevDriver] = config.Instances()


def get_driver(choice: str | None = None) -> NetDevDriver:
    """Return the driver: the one named by ``choice``, by ``REFNET_NETDEV``, or the platform's default.

    ``choice`` is an entry-point name of the group ``refnet.netdev`` or ``package.module:Class``. The same choice
    gives the same instance each time, in all threads.

    Raises:
        Unsupported: there is no driver for this platform, which the message names.
        DriverNotFound: the choice names nothing that could be imported.
    """
    chosen = config.choice(ENTRY_POINTS, choice)
    return _drivers.get(chosen, lambda: config.load_class(ENTRY_POINTS, chosen, NetDevDriver)())  # type: ignore[type-abstract]


def probe(capability: Capability) -> str | None:
    """See :meth:`NetDevDriver.probe`."""
    return get_driver().probe(capability)


def capabilities() -> frozenset[Capability]:
    """See :meth:`NetDevDriver.capabilities`."""
    return get_driver().capabilities()


def device_exists(dev: str) -> bool:
    """See :meth:`NetDevDriver.device_exists`."""
    return get_driver().device_exists(dev)


def device(dev: str) -> Device:
    """See :meth:`NetDevDriver.device`."""
    return get_driver().device(dev)


def delete_net_dev(dev: str) -> None:
    """See :meth:`NetDevDriver.delete_net_dev`."""
    get_driver().delete_net_dev(dev)


def set_device_mtu(dev: str, mtu: int) -> None:
    """See :meth:`NetDevDriver.set_device_mtu`."""
    get_driver().set_device_mtu(dev, mtu)


def set_device_macaddr(dev: str, mac_address: str) -> None:
    """See :meth:`NetDevDriver.set_device_macaddr`."""
    get_driver().set_device_macaddr(dev, mac_address)


def set_device_enabled(dev: str) -> None:
    """See :meth:`NetDevDriver.set_device_enabled`."""
    get_driver().set_device_enabled(dev)


def set_device_disabled(dev: str) -> None:
    """See :meth:`NetDevDriver.set_device_disabled`."""
    get_driver().set_device_disabled(dev)


def add_device_address(dev: str, address: str) -> None:
    """See :meth:`NetDevDriver.add_device_address`."""
    get_driver().add_device_address(dev, address)


def delete_device_address(dev: str, address: str) -> None:
    """See :meth:`NetDevDriver.delete_device_address`."""
    get_driver().delete_device_address(dev, address)


def ensure_gateway_address(dev: str, address: str) -> None:
    """See :meth:`NetDevDriver.ensure_gateway_address`."""
    get_driver().ensure_gateway_address(dev, address)


def create_bridge(
    bridge: str,
    *,
    mac_address: str | None = None,
    mtu: int | None = None,
    stp: bool | None = None,
    forward_delay: float | None = None,
    ageing_time: float | None = None,
    multicast_snooping: bool | None = None,
) -> None:
    """See :meth:`NetDevDriver.create_bridge`."""
    get_driver().create_bridge(
        bridge,
        mac_address=mac_address,
        mtu=mtu,
        stp=stp,
        forward_delay=forward_delay,
        ageing_time=ageing_time,
        multicast_snooping=multicast_snooping,
    )


def delete_bridge(bridge: str) -> None:
    """See :meth:`NetDevDriver.delete_bridge`."""
    get_driver().delete_bridge(bridge)


def add_bridge_port(bridge: str, port: str, *, move: bool = False) -> None:
    """See :meth:`NetDevDriver.add_bridge_port`."""
    get_driver().add_bridge_port(bridge, port, move=move)


def remove_bridge_port(bridge: str, port: str) -> None:
    """See :meth:`NetDevDriver.remove_bridge_port`."""
    get_driver().remove_bridge_port(bridge, port)


def bridge_ports(bridge: str) -> tuple[str, ...]:
    """See :meth:`NetDevDriver.bridge_ports`."""
    return get_driver().bridge_ports(bridge)


def ensure_bridge(
    bridge: str,
    interface: str | None = None,
    *,
    move: bool = False,
    mac_address: str | None = None,
    mtu: int | None = None,
    stp: bool | None = None,
    forward_delay: float | None = None,
    ageing_time: float | None = None,
    multicast_snooping: bool | None = None,
) -> None:
    """See :meth:`NetDevDriver.ensure_bridge`."""
    get_driver().ensure_bridge(
        bridge,
        interface,
        move=move,
        mac_address=mac_address,
        mtu=mtu,
        stp=stp,
        forward_delay=forward_delay,
        ageing_time=ageing_time,
        multicast_snooping=multicast_snooping,
    )


def ensure_vlan(
    vlan_num: int, parent: str, dev: str | None = None, *, mac_address: str | None = None, mtu: int | None = None
) -> str:
    """See :meth:`NetDevDriver.ensure_vlan`."""
    return get_driver().ensure_vlan(vlan_num, parent, dev, mac_address=mac_address, mtu=mtu)


def ensure_vlan_bridge(
    vlan_num: int,
    bridge: str,
    parent: str,
    dev: str | None = None,
    *,
    mac_address: str | None = None,
    mtu: int | None = None,
) -> str:
    """See :meth:`NetDevDriver.ensure_vlan_bridge`."""
    return get_driver().ensure_vlan_bridge(vlan_num, bridge, parent, dev, mac_address=mac_address, mtu=mtu)


def create_tap_dev(
    dev: str,
    mac_address: str | None = None,
    *,
    multi_queue: bool = False,
    mtu: int | None = None,
    owner: int | str | None = None,
    group: int | str | None = None,
) -> None:
    """See :meth:`NetDevDriver.create_tap_dev`."""
    get_driver().create_tap_dev(dev, mac_address, multi_queue=multi_queue, mtu=mtu, owner=owner, group=group)


def create_veth_pair(dev: str, peer: str, *, mtu: int | None = None) -> None:
    """See :meth:`NetDevDriver.create_veth_pair`."""
    get_driver().create_veth_pair(dev, peer, mtu=mtu)


def ensure_ovs_bridge(
    bridge: str,
    *,
    datapath_type: str | None = None,
    fail_mode: str | None = None,
    mac_address: str | None = None,
    mtu: int | None = None,
) -> None:
    """See :meth:`NetDevDriver.ensure_ovs_bridge`."""
    get_driver().ensure_ovs_bridge(
        bridge, datapath_type=datapath_type, fail_mode=fail_mode, mac_address=mac_address, mtu=mtu
    )


def delete_ovs_bridge(bridge: str) -> None:
    """See :meth:`NetDevDriver.delete_ovs_bridge`."""
    get_driver().delete_ovs_bridge(bridge)


def ovs_ports(bridge: str) -> tuple[str, ...]:
    """See :meth:`NetDevDriver.ovs_ports`."""
    return get_driver().ovs_ports(bridge)


def ovs_port(dev: str) -> OvsPort:
    """See :meth:`NetDevDriver.ovs_port`."""
    return get_driver().ovs_port(dev)


def create_ovs_vif_port(
    bridge: str,
    dev: str,
    iface_id: str,
    mac_address: str,
    instance_id: str | None = None,
    *,
    mtu: int | None = None,
    interface_type: str | None = None,
    vhost_server_path: str | None = None,
    tag: int | None = None,
    trunks: Sequence[int] = (),
    vlan_mode: VlanMode | str | None = None,
    device_later: bool = False,
) -> None:
    """See :meth:`NetDevDriver.create_ovs_vif_port`."""
    get_driver().create_ovs_vif_port(
        bridge,
        dev,
        iface_id,
        mac_address,
        instance_id,
        mtu=mtu,
        interface_type=interface_type,
        vhost_server_path=vhost_server_path,
        tag=tag,
        trunks=trunks,
        vlan_mode=vlan_mode,
        device_later=device_later,
    )


def delete_ovs_vif_port(bridge: str, dev: str, *, delete_dev: bool = True) -> None:
    """See :meth:`NetDevDriver.delete_ovs_vif_port`."""
    get_driver().delete_ovs_vif_port(bridge, dev, delete_dev=delete_dev)


def set_ovs_port_vlan(
    dev: str, *, tag: int | None = None, trunks: Sequence[int] = (), vlan_mode: VlanMode | str | None = None
) -> None:
    """See :meth:`NetDevDriver.set_ovs_port_vlan`."""
    get_driver().set_ovs_port_vlan(dev, tag=tag, trunks=trunks, vlan_mode=vlan_mode)


def create_ovs_patch_ports(
    bridge: str,
    port: str,
    peer_bridge: str,
    peer_port: str,
    *,
    tag: int | None = None,
    trunks: Sequence[int] = (),
    vlan_mode: VlanMode | str | None = None,
    iface_id: str | None = None,
    mac_address: str | None = None,
    instance_id: str | None = None,
) -> None:
    """See :meth:`NetDevDriver.create_ovs_patch_ports`."""
    get_driver().create_ovs_patch_ports(
        bridge,
        port,
        peer_bridge,
        peer_port,
        tag=tag,
        trunks=trunks,
        vlan_mode=vlan_mode,
        iface_id=iface_id,
        mac_address=mac_address,
        instance_id=instance_id,
    )


def ovs_set_vhostuser_port_type(dev: str) -> None:
    """See :meth:`NetDevDriver.ovs_set_vhostuser_port_type`."""
    get_driver().ovs_set_vhostuser_port_type(dev)


def create_ivs_vif_port(dev: str, iface_id: str, mac_address: str, instance_id: str) -> None:
    """See :meth:`NetDevDriver.create_ivs_vif_port`."""
    get_driver().create_ivs_vif_port(dev, iface_id, mac_address, instance_id)


def delete_ivs_vif_port(dev: str) -> None:
    """See :meth:`NetDevDriver.delete_ivs_vif_port`."""
    get_driver().delete_ivs_vif_port(dev)


def virtual_functions(dev: str) -> tuple[VirtualFunction, ...]:
    """See :meth:`NetDevDriver.virtual_functions`."""
    return get_driver().virtual_functions(dev)


def virtual_function_at(pci_address: str) -> VirtualFunction:
    """See :meth:`NetDevDriver.virtual_function_at`."""
    return get_driver().virtual_function_at(pci_address)


def virtual_function_device(pci_address: str) -> str | None:
    """See :meth:`NetDevDriver.virtual_function_device`."""
    return get_driver().virtual_function_device(pci_address)


def set_device_macaddr_and_vlan(dev: str, vf_num: int, mac_address: str, vlan: int) -> None:
    """See :meth:`NetDevDriver.set_device_macaddr_and_vlan`."""
    get_driver().set_device_macaddr_and_vlan(dev, vf_num, mac_address, vlan)


def set_device_trust(dev: str, vf_num: int, trusted: bool) -> None:
    """See :meth:`NetDevDriver.set_device_trust`."""
    get_driver().set_device_trust(dev, vf_num, trusted)


def set_device_link_state(dev: str, vf_num: int, state: LinkState | str) -> None:
    """See :meth:`NetDevDriver.set_device_link_state`."""
    get_driver().set_device_link_state(dev, vf_num, state)


def restore_virtual_function(dev: str, vf_num: int) -> None:
    """See :meth:`NetDevDriver.restore_virtual_function`."""
    get_driver().restore_virtual_function(dev, vf_num)
