"""Network devices: the driver for this host, and a function for each of its methods.

    from refnet import netdev

    netdev.create_bridge("br100")
    netdev.create_tap_dev("tap1", "52:54:00:12:34:56", mtu=1400)
    netdev.add_bridge_port("br100", "tap1")

The functions use the default driver (:func:`get_driver` without an argument). What they take, do and raise stands with
the method of the same name in :class:`~refnet.netdev.driver.NetDevDriver`.
"""

from __future__ import annotations

import functools

from refnet import config
from refnet.netdev.driver import Address, Capability, Device, Kind, NetDevDriver, Vlan

__all__ = [
    "Address",
    "Capability",
    "Device",
    "Kind",
    "NetDevDriver",
    "Vlan",
    "add_bridge_port",
    "add_device_address",
    "bridge_ports",
    "capabilities",
    "create_bridge",
    "create_tap_dev",
    "create_veth_pair",
    "delete_bridge",
    "delete_device_address",
    "delete_net_dev",
    "device",
    "device_exists",
    "ensure_bridge",
    "ensure_gateway_address",
    "ensure_vlan",
    "ensure_vlan_bridge",
    "get_driver",
    "probe",
    "remove_bridge_port",
    "set_device_disabled",
    "set_device_enabled",
    "set_device_macaddr",
    "set_device_mtu",
]

#: The group of entry points that other drivers are found in.
ENTRY_POINTS = "refnet.netdev"


def get_driver(choice: str | None = None) -> NetDevDriver:
    """Return the driver: the one named by ``choice``, by ``REFNET_NETDEV``, or the platform's default.

    ``choice`` is an entry-point name of the group ``refnet.netdev`` or ``package.module:Class``. The same choice
    gives the same instance each time.

    Raises:
        Unsupported: there is no driver for this platform, which the message names.
        DriverNotFound: the choice names nothing that could be imported.
    """
    return _instance(config.choice(ENTRY_POINTS, choice))


@functools.cache
def _instance(chosen: str) -> NetDevDriver:
    return config.load_class(ENTRY_POINTS, chosen, NetDevDriver)()  # type: ignore[type-abstract]


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
