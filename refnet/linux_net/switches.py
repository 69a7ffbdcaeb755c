"""Ports of Open vSwitch and IVS."""

from __future__ import annotations

from refnet import netdev
from refnet.linux_net.settings import options
from refnet.linux_net.values import number_or_none


def create_ovs_vif_port(
    bridge: str,
    dev: str,
    iface_id: str,
    mac: str,
    instance_id: str | None,
    mtu: int | str | None = None,
    interface_type: str | None = None,
) -> None:
    """Make a device a port of Open vSwitch: :meth:`NetDevDriver.create_ovs_vif_port`.

    A port that is there keeps its VLAN: that is another agent's to set (Neutron's). A device that is not there yet is
    waited for by the port. Without ``mtu`` it is ``network_device_mtu``, if that is set.
    """
    netdev.create_ovs_vif_port(
        bridge,
        dev,
        iface_id,
        mac,
        instance_id or None,
        mtu=number_or_none(mtu or options.network_device_mtu, "MTU"),
        interface_type=interface_type or None,
        device_later=(interface_type or "system") == "system" and not netdev.device_exists(dev),
    )


def delete_ovs_vif_port(bridge: str, dev: str, delete_dev: bool = True) -> None:
    """Take a port out of Open vSwitch, and delete its device: :meth:`NetDevDriver.delete_ovs_vif_port`."""
    netdev.delete_ovs_vif_port(bridge, dev, delete_dev=delete_dev)


def ovs_set_vhostuser_port_type(dev: str) -> None:
    """Make a port one of type ``dpdkvhostuser``: :meth:`NetDevDriver.ovs_set_vhostuser_port_type`."""
    netdev.ovs_set_vhostuser_port_type(dev)


def create_ivs_vif_port(dev: str, iface_id: str, mac: str, instance_id: str) -> None:
    """Make a device a port of IVS: :meth:`NetDevDriver.create_ivs_vif_port`."""
    netdev.create_ivs_vif_port(dev, iface_id, mac, instance_id)


def delete_ivs_vif_port(dev: str) -> None:
    """Take a port out of IVS, and delete its device: :meth:`NetDevDriver.delete_ivs_vif_port`."""
    netdev.delete_ivs_vif_port(dev)
