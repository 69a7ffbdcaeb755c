"""os-vif's Open vSwitch plugin with refnet in place of its helpers: what it says of VIFs stays, what it does goes.

Left to os-vif is what refnet has no method for: records of QoS, sysctl settings of the hybrid bridge, how to find a
representor.
"""

from __future__ import annotations

from typing import Any

import os_vif
import vif_plug_ovs.linux_net
from os_vif import objects
from vif_plug_ovs import ovs
from vif_plug_ovs.ovsdb import ovsdb_lib

from refnet import netdev


def take_over() -> None:
    """Have os-vif use this from now on."""
    helpers = vif_plug_ovs.linux_net
    for function in (delete_net_dev, create_veth_pair, update_veth_pair, create_tap, ensure_bridge, delete_bridge):
        setattr(helpers, function.__name__, function)
    for function in (add_bridge_port, set_device_mtu, set_interface_state):
        setattr(helpers, function.__name__, function)
    ovs.ip_lib = Looking()
    extension = os_vif._EXT_MANAGER["ovs"]
    extension.obj = Plugin(extension.obj.config)


# -- vif_plug_ovs.linux_net ---------------------------------------------------------------------------


class Looking:
    """In place of os_vif.internal.ip: what the plugin itself asks."""

    exists = staticmethod(netdev.device_exists)


def delete_net_dev(dev: str) -> None:
    netdev.delete_net_dev(dev)


def create_veth_pair(dev1_name: str, dev2_name: str, mtu: int) -> None:
    netdev.create_veth_pair(dev1_name, dev2_name, mtu=mtu)


def update_veth_pair(dev1_name: str, dev2_name: str, mtu: int) -> None:
    netdev.create_veth_pair(dev1_name, dev2_name, mtu=mtu)


def create_tap(dev: str, mtu: int, mac: str, multiqueue: bool = False) -> None:
    # Not with the guest's own MAC address: then nothing has to keep the host from answering for the guest's.
    netdev.create_tap_dev(dev, multi_queue=multiqueue, mtu=mtu)


def ensure_bridge(bridge: str) -> None:
    netdev.ensure_bridge(bridge, stp=False, forward_delay=0, ageing_time=0, multicast_snooping=False)
    vif_plug_ovs.linux_net._disable_ipv6(bridge)
    vif_plug_ovs.linux_net._arp_filtering(bridge)


def delete_bridge(bridge: str, dev: str) -> None:
    netdev.delete_bridge(bridge)
    if dev and netdev.device_exists(dev):
        netdev.set_device_disabled(dev)


def add_bridge_port(bridge: str, dev: str) -> None:
    netdev.add_bridge_port(bridge, dev)


def set_device_mtu(dev: str, mtu: int) -> None:
    if netdev.device_exists(dev):
        netdev.set_device_mtu(dev, mtu)


def set_interface_state(interface_name: str, port_state: str) -> None:
    (netdev.set_device_enabled if port_state == "up" else netdev.set_device_disabled)(interface_name)


# -- vif_plug_ovs.ovsdb.ovsdb_lib ---------------------------------------------------------------------


class Database(ovsdb_lib.BaseOVS):
    """Ports and bridges by refnet."""

    def ensure_ovs_bridge(self, bridge: str, datapath_type: str | None) -> None:
        netdev.ensure_ovs_bridge(bridge, datapath_type=datapath_type)

    def delete_ovs_bridge(self, bridge: str) -> None:
        netdev.delete_ovs_bridge(bridge)

    def create_ovs_vif_port(
        self,
        bridge: str,
        dev: str,
        iface_id: str,
        mac: str,
        instance_id: str,
        mtu: int | None = None,
        interface_type: str | None = None,
        vhost_server_path: str | None = None,
        tag: int | None = None,
        trunks: int | None = None,
        vlan_mode: str | None = None,
        datapath_type: str | None = None,
        **more: Any,
    ) -> None:
        if datapath_type:
            netdev.ensure_ovs_bridge(bridge, datapath_type=datapath_type)
        # It is the hypervisor's to make then, and to give an MTU.
        later = not interface_type and not netdev.device_exists(dev)
        netdev.create_ovs_vif_port(
            bridge,
            dev,
            iface_id,
            mac,
            instance_id,
            mtu=None if later else mtu,
            interface_type=interface_type,
            vhost_server_path=vhost_server_path,
            tag=tag,
            trunks=() if trunks is None else (trunks,),
            vlan_mode=vlan_mode,
            device_later=later,
        )

    def create_patch_port_pair(
        self,
        port_bridge: str,
        port_bridge_port: str,
        int_bridge: str,
        int_bridge_port: str,
        iface_id: str,
        mac: str,
        instance_id: str,
        tag: int | None = None,
    ) -> None:
        netdev.create_ovs_patch_ports(
            int_bridge,
            int_bridge_port,
            port_bridge,
            port_bridge_port,
            tag=tag,
            iface_id=iface_id,
            mac_address=mac,
            instance_id=instance_id,
        )

    def update_ovs_vif_port(self, dev: str, mtu: int | None = None, interface_type: str | None = None) -> None:
        if not interface_type and mtu:
            netdev.set_device_mtu(dev, mtu)

    def delete_ovs_vif_port(
        self, bridge: str, dev: str, delete_netdev: bool = True, qos_type: str | None = None
    ) -> None:
        netdev.delete_ovs_vif_port(bridge, dev, delete_dev=delete_netdev)
        if qos_type:
            self.delete_qos_if_exists(dev, qos_type)


class Plugin(ovs.OvsPlugin):
    """The plugin, which makes a guest's tap before its port.

    os-vif makes it afterwards: then the switch, which waits for it, sets the device's flags at the same time as os-vif,
    and may set it down again.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.ovsdb = Database(config)

    def _create_vif_port(self, vif: Any, vif_name: str, instance_info: Any, **more: Any) -> None:
        profile = vif.port_profile
        is_ours = isinstance(vif, objects.vif.VIFOpenVSwitch) and "create_tap" in profile and profile.create_tap
        if is_ours and not netdev.device_exists(vif_name):
            several = "multiqueue" in profile and bool(profile.multiqueue)
            create_tap(vif_name, self._get_mtu(vif), vif.address, multiqueue=several)
        super()._create_vif_port(vif, vif_name, instance_info, **more)
