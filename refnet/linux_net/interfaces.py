"""Interface drivers: how a network host's own end of a network is plugged. Nova's option chooses one by its name.

``network`` is Nova's: a mapping or an object with ``bridge``, ``bridge_interface``, ``vlan``, ``mtu``, ``uuid``,
``cidr``, ``dhcp_server``, ``share_address`` where they are needed.
"""

from __future__ import annotations

import abc
import contextlib
import hashlib
import threading
from collections.abc import Iterable
from typing import Any

from refnet import config, netdev, process
from refnet.errors import NoSuchDevice
from refnet.linux_net import devices, forwarding, switches
from refnet.linux_net.settings import options
from refnet.linux_net.tables import iptables_manager
from refnet.linux_net.values import field, needed, number, number_or_none, text, with_prefix
from refnet.names import device_name
from refnet.names import mac_address as normal_mac

__all__ = [
    "LinuxBridgeInterfaceDriver",
    "LinuxNetInterfaceDriver",
    "LinuxOVSInterfaceDriver",
    "NeutronLinuxBridgeInterfaceDriver",
    "QuantumLinuxBridgeInterfaceDriver",
    "ensure_bridge",
    "ensure_vlan_bridge",
    "get_dev",
    "plug",
    "unplug",
]

_NOVAS = "nova.network.linux_net."
_OURS = "refnet.linux_net."
#: Whichever of these a bridge speaks.
_OPENFLOW = "OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14"


class LinuxNetInterfaceDriver(abc.ABC):
    """What an interface driver does."""

    @abc.abstractmethod
    def plug(self, network: Any, mac_address: str, gateway: bool = True) -> str:
        """Make sure of the network's device on this host, as a gateway or as none; return the device's name."""

    @abc.abstractmethod
    def unplug(self, network: Any) -> str | None:
        """Take away what :meth:`plug` has made; return the device's name."""

    @abc.abstractmethod
    def get_dev(self, network: Any) -> str:
        """Return the name of the network's device."""


class LinuxBridgeInterfaceDriver(LinuxNetInterfaceDriver):
    """A bridge of the system, on an interface or on a VLAN of one."""

    def plug(self, network: Any, mac_address: str, gateway: bool = True) -> str:
        """Make sure of the bridge, of its rules, and of the isolation of a shared DHCP address; return its name.

        ``mac_address`` is for the VLAN's device, and so for a new bridge on it; a flat network's bridge has its
        interface's.

        Raises: what :meth:`NetDevDriver.ensure_vlan_bridge` raises.
        """
        bridge, vlan = needed(network, "bridge"), field(network, "vlan", None)
        if vlan is not None:
            parent = options.vlan_interface or needed(network, "bridge_interface")
            interface: str | None = self.ensure_vlan_bridge(
                vlan, bridge, parent, network, mac_address, field(network, "mtu", None)
            )
            forwarding.let_forward(bridge, gateway)
        else:
            interface = options.flat_interface or text(network, "bridge_interface")
            self.ensure_bridge(bridge, interface, network, gateway)
        if interface and _is_shared(network):
            forwarding.isolate_dhcp_address(interface, needed(network, "dhcp_server"))
        iptables_manager.apply()
        return bridge

    def unplug(self, network: Any, gateway: bool = True) -> str:
        """Delete the bridge, its VLAN, its rules and the isolation; return its name."""
        bridge, vlan = needed(network, "bridge"), field(network, "vlan", None)
        if vlan is not None:
            interface: str | None = _vlan_name(vlan)
            self.remove_vlan_bridge(vlan, bridge)
        else:
            interface = options.flat_interface or text(network, "bridge_interface")
            self.remove_bridge(bridge, gateway)
        if interface and _is_shared(network):
            forwarding.remove_isolate_dhcp_address(interface, needed(network, "dhcp_server"))
        iptables_manager.apply()
        return bridge

    def get_dev(self, network: Any) -> str:
        """Return the bridge's name."""
        return needed(network, "bridge")

    def get_bridge(self, network: Any) -> str:
        """Return the bridge's name."""
        return needed(network, "bridge")

    @staticmethod
    def ensure_vlan_bridge(
        vlan_num: int | str,
        bridge: str,
        bridge_interface: str,
        net_attrs: Any = None,
        mac_address: str | None = None,
        mtu: int | str | None = None,
    ) -> str:
        """Make sure of a VLAN's device and of a bridge on it that is a gateway; return the VLAN device's name.

        A failure takes back what this call has done to the devices: :meth:`NetDevDriver.ensure_vlan_bridge`. The rules
        are in the tables only; :meth:`plug` applies them.
        """
        del net_attrs  # Nova reads nothing of it either
        name = netdev.ensure_vlan_bridge(
            number(vlan_num, "VLAN id"),
            bridge,
            bridge_interface,
            mac_address=mac_address or None,
            mtu=number_or_none(mtu or options.network_device_mtu, "MTU"),
        )
        forwarding.let_forward(bridge, gateway=True)
        return name

    @staticmethod
    def remove_vlan_bridge(vlan_num: int | str, bridge: str) -> None:
        """Delete a bridge with its rules, and the VLAN's device."""
        LinuxBridgeInterfaceDriver.remove_bridge(bridge)
        LinuxBridgeInterfaceDriver.remove_vlan(vlan_num)

    @staticmethod
    def ensure_vlan(
        vlan_num: int | str,
        bridge_interface: str,
        mac_address: str | None = None,
        mtu: int | str | None = None,
        interface: str | None = None,
    ) -> str:
        """Make sure of a VLAN's device; see :func:`refnet.linux_net.ensure_vlan`."""
        return devices.ensure_vlan(vlan_num, bridge_interface, mac_address, mtu, interface)

    @staticmethod
    def remove_vlan(vlan_num: int | str) -> None:
        """Delete a VLAN's device, if it is there: the one that is named ``vlan<N>``."""
        netdev.delete_net_dev(_vlan_name(vlan_num))

    @staticmethod
    def ensure_bridge(
        bridge: str, interface: str | None, net_attrs: Any = None, gateway: bool = True, filtering: bool = True
    ) -> None:
        """Make sure of a bridge, with ``interface`` as a port whose addresses and routes go over to it.

        See :meth:`NetDevDriver.ensure_bridge`. With ``filtering`` its rules come into the tables, those of a gateway or
        of none; :meth:`plug` applies them.
        """
        del net_attrs  # Nova reads nothing of it either
        netdev.ensure_bridge(bridge, interface or None)
        if filtering:
            forwarding.let_forward(bridge, gateway)

    @staticmethod
    def remove_bridge(bridge: str, gateway: bool = True, filtering: bool = True) -> None:
        """Delete a bridge, if it is there, and with ``filtering`` its rules, whether it was a gateway or not."""
        del gateway
        netdev.delete_bridge(bridge)
        if filtering:
            forwarding.forget_forwarding(bridge)


class LinuxOVSInterfaceDriver(LinuxNetInterfaceDriver):
    """An internal port of Open vSwitch's integration bridge."""

    def plug(self, network: Any, mac_address: str, gateway: bool = True) -> str:
        """Make sure of the port, up, and of its rules; return its name.

        A port that is no gateway passes ARP and DHCP only: by flows of its own, and by rules that forward nothing.

        Raises: what :meth:`NetDevDriver.create_ovs_vif_port` raises; CommandFailed, ToolMissing: ``ovs-ofctl``.
        """
        dev, bridge = self.get_dev(network), self.get_bridge(network)
        mac = normal_mac(mac_address)
        was_there = dev in netdev.ovs_ports(bridge)
        switches.create_ovs_vif_port(bridge, dev, dev, mac, None, field(network, "mtu", None), "internal")
        try:
            _set_flows(bridge, dev, () if gateway else _dhcp_only(dev, mac))
        except BaseException:
            if not was_there:
                netdev.delete_ovs_vif_port(bridge, dev)  # rather none than an open one
            raise
        forwarding.let_forward(dev, gateway)
        iptables_manager.apply()
        return dev

    def unplug(self, network: Any) -> str:
        """Delete the port, its flows and its rules; return its name."""
        dev, bridge = self.get_dev(network), self.get_bridge(network)
        netdev.delete_ovs_vif_port(bridge, dev)
        with contextlib.suppress(NoSuchDevice):  # without the bridge there are no flows
            netdev.ovs_ports(bridge)
            _set_flows(bridge, dev, ())
        forwarding.forget_forwarding(dev)
        iptables_manager.apply()
        return dev

    def get_dev(self, network: Any) -> str:
        """Return ``gw-`` and the first characters of the network's UUID."""
        return _by_uuid("gw-", network)

    def get_bridge(self, network: Any) -> str:
        """Return the integration bridge's name."""
        del network
        return options.linuxnet_ovs_integration_bridge


class NeutronLinuxBridgeInterfaceDriver(LinuxNetInterfaceDriver):
    """A tap that Neutron's agent makes a port of its bridge."""

    BRIDGE_NAME_PREFIX = "brq"
    GATEWAY_INTERFACE_PREFIX = "gw-"

    def plug(self, network: Any, mac_address: str, gateway: bool = True) -> str:
        """Make sure of the tap, of a bridge that has the network's address, and of the rules; return the tap's name.

        One that is no gateway has the rules alone; then the bridge's name is returned.
        """
        dev, bridge = self.get_dev(network), self.get_bridge(network)
        if gateway:
            address = with_prefix(needed(network, "dhcp_server"), needed(network, "cidr"))
            devices.create_tap_dev(dev, mac_address)
            if not netdev.device_exists(bridge):
                netdev.ensure_bridge(bridge, mac_address=mac_address)
            netdev.add_device_address(bridge, address)
        forwarding.let_forward(bridge, gateway)
        iptables_manager.apply()
        return dev if gateway else bridge

    def unplug(self, network: Any) -> str | None:
        """Delete the tap and the rules; return its name, or None if it was not there. The bridge is Neutron's."""
        dev = self.get_dev(network)
        was_there = netdev.device_exists(dev)
        netdev.delete_net_dev(dev)
        forwarding.forget_forwarding(self.get_bridge(network))
        iptables_manager.apply()
        return dev if was_there else None

    def get_dev(self, network: Any) -> str:
        """Return ``gw-`` and the first characters of the network's UUID."""
        return _by_uuid(self.GATEWAY_INTERFACE_PREFIX, network)

    def get_bridge(self, network: Any) -> str:
        """Return ``brq`` and the first characters of the network's UUID."""
        return _by_uuid(self.BRIDGE_NAME_PREFIX, network)


#: What it was called before Neutron was.
QuantumLinuxBridgeInterfaceDriver = NeutronLinuxBridgeInterfaceDriver


#: As functions, which is how os-vif and others had them after the split.
ensure_bridge = LinuxBridgeInterfaceDriver.ensure_bridge
ensure_vlan_bridge = LinuxBridgeInterfaceDriver.ensure_vlan_bridge


# -- the one that is chosen ----------------------------------------------------------------------------

_lock = threading.Lock()
_instances: dict[str, LinuxNetInterfaceDriver] = {}


def plug(network: Any, mac_address: str, gateway: bool = True) -> str:
    """Plug a network by the driver that ``linuxnet_interface_driver`` names; return the device's name."""
    return _driver().plug(network, mac_address, gateway)


def unplug(network: Any) -> str | None:
    """Unplug a network by the driver that ``linuxnet_interface_driver`` names; return the device's name."""
    return _driver().unplug(network)


def get_dev(network: Any) -> str:
    """Return the name of a network's device, as the driver that ``linuxnet_interface_driver`` names calls it."""
    return _driver().get_dev(network)


def _driver() -> LinuxNetInterfaceDriver:
    chosen = options.linuxnet_interface_driver
    with _lock:
        if chosen not in _instances:
            _instances[chosen] = _made(chosen)
        return _instances[chosen]


def _made(chosen: str) -> LinuxNetInterfaceDriver:
    """Return a driver by its class's path, as Nova writes it; Nova's own names are those of refnet's classes."""
    path = _OURS + chosen.removeprefix(_NOVAS) if chosen.startswith(_NOVAS) else chosen
    module, colon, name = path.partition(":") if ":" in path else path.rpartition(".")
    found = f"{module}:{name}" if colon else path
    return config.load_class("refnet.linux_net", found, LinuxNetInterfaceDriver)()  # type: ignore[type-abstract]


# -- how -----------------------------------------------------------------------------------------------


def _vlan_name(vlan_num: int | str) -> str:
    return f"vlan{number(vlan_num, 'VLAN id')}"


def _by_uuid(prefix: str, network: Any) -> str:
    """Return a device's name. It is cut, as Nova's and Neutron's is, since other programs know it so."""
    return device_name(prefix + needed(network, "uuid")[:11])


def _is_shared(network: Any) -> bool:
    return bool(field(network, "share_address", False) or options.share_dhcp_address)


def _cookie(dev: str) -> str:
    """Return the mark of a port's own flows: by it they are found again, and nobody else's are touched."""
    return f"0x{hashlib.sha256(f'refnet {dev}'.encode()).hexdigest()[:16]}"


def _dhcp_only(dev: str, mac: str) -> tuple[str, ...]:
    """Return flows that have a port pass ARP and DHCP (ovs-fields(7)): as a server's, so its answers, and requests."""
    port = netdev.ovs_port(dev).ofport
    passing = (
        f"arp,in_port={port}",
        f"udp,in_port={port},tp_src=67",
        f"arp,dl_dst={mac}",
        f"udp,dl_dst={mac},tp_dst=67",
    )
    return (
        *(f"priority=2,{one},actions=normal" for one in passing),
        *(f"priority=1,{one},actions=drop" for one in (f"in_port={port}", f"dl_dst={mac}")),
    )


def _set_flows(bridge: str, dev: str, flows: Iterable[str]) -> None:
    """Put these flows in the place of those that a port had."""
    lines = [f"delete cookie={_cookie(dev)}/-1", *(f"add cookie={_cookie(dev)},{one}" for one in flows)]
    process.run(["ovs-ofctl", "-O", _OPENFLOW, "add-flows", "--", bridge, "-"], stdin="\n".join(lines) + "\n")
