"""Devices: what ``nova.privsep.linux_net`` has, and the helpers of Nova's libvirt VIF driver.

Nova ran ``ip`` with three exit statuses taken for success, one of which (2) is any error of the kernel's. Here every
error is raised, and what is there already is looked at.
"""

from __future__ import annotations

from refnet import netdev
from refnet.errors import InvalidArgument, InvalidName, RefnetError
from refnet.linux_net.settings import options
from refnet.linux_net.values import number, number_or_none
from refnet.names import NO_MAC, shown
from refnet.netdev import VirtualFunction

# -- nova.privsep.linux_net ----------------------------------------------------------------------------


def device_exists(device: str) -> bool:
    """Say whether there is such a device: :meth:`NetDevDriver.device_exists`. None has a name that none can have."""
    try:
        return netdev.device_exists(device)
    except InvalidName:
        return False


def delete_net_dev(dev: str) -> None:
    """Delete a device, if it is there: :meth:`NetDevDriver.delete_net_dev`."""
    netdev.delete_net_dev(dev)


def delete_net_dev_escalated(dev: str) -> None:
    """Delete a device, if it is there; Nova's part of :func:`delete_net_dev` that had privileges."""
    netdev.delete_net_dev(dev)


def set_device_mtu(dev: str, mtu: int | str | None) -> None:
    """Set an MTU in bytes; what is false (None, 0, "") leaves it: :meth:`NetDevDriver.set_device_mtu`."""
    wanted = number_or_none(mtu, "MTU")
    if wanted is not None:
        netdev.set_device_mtu(dev, wanted)


def set_device_enabled(dev: str) -> None:
    """Set a device up: :meth:`NetDevDriver.set_device_enabled`."""
    netdev.set_device_enabled(dev)


def set_device_trust(dev: str, vf_num: int | str, trusted: bool) -> None:
    """Say whether a virtual function is trusted: :meth:`NetDevDriver.set_device_trust`."""
    netdev.set_device_trust(dev, number(vf_num, "virtual function"), trusted)


def set_device_macaddr(dev: str, mac_addr: str, port_state: str | None = None) -> None:
    """Set a device's MAC address, and with ``port_state`` (``up`` or ``down``) its state: both, or none of them.

    With a state, an address of zeros, as Nova has it when it unplugs a virtual function, leaves the address.

    Raises:
        InvalidArgument: the state is neither, or the address is none that a device can have.
        NoSuchDevice: there is no such device.
    """
    if port_state not in (None, "", "up", "down"):
        raise InvalidArgument(f"port state {shown(port_state)} is neither 'up' nor 'down'", device=dev)
    if not port_state:
        netdev.set_device_macaddr(dev, mac_addr)
        return
    before = netdev.device(dev).mac_address
    if mac_addr != NO_MAC:
        netdev.set_device_macaddr(dev, mac_addr)
    try:
        (netdev.set_device_enabled if port_state == "up" else netdev.set_device_disabled)(dev)
    except RefnetError:
        if mac_addr != NO_MAC and before is not None:
            netdev.set_device_macaddr(dev, before)
        raise


def set_device_macaddr_and_vlan(dev: str, vf_num: int | str, mac_addr: str, vlan: int | str) -> None:
    """Set a virtual function's MAC address and VLAN: :meth:`NetDevDriver.set_device_macaddr_and_vlan`.

    Zeros without a VLAN, Nova's way to unplug, put back what was before refnet first changed the virtual function:
    :meth:`NetDevDriver.restore_virtual_function`. If it was not refnet that changed it, it is cleared.
    """
    wanted, tag = number(vf_num, "virtual function"), number(vlan, "VLAN id")
    if mac_addr == NO_MAC and tag == 0:
        before = _function(dev, wanted)
        netdev.restore_virtual_function(dev, wanted)
        if _function(dev, wanted) != before:
            return
    netdev.set_device_macaddr_and_vlan(dev, wanted, mac_addr, tag)


def _function(dev: str, vf_num: int) -> VirtualFunction | None:
    return next((one for one in netdev.virtual_functions(dev) if one.number == vf_num), None)


def create_tap_dev(dev: str, mac_address: str | None = None, multiqueue: bool = False) -> None:
    """Make sure of a tap, up: :meth:`NetDevDriver.create_tap_dev`."""
    netdev.create_tap_dev(dev, mac_address or None, multi_queue=multiqueue)


def add_vlan(bridge_interface: str, interface: str, vlan_num: int | str) -> None:
    """Make sure of a VLAN's device by the name ``interface``: :meth:`NetDevDriver.ensure_vlan`."""
    netdev.ensure_vlan(number(vlan_num, "VLAN id"), bridge_interface, interface)


# -- nova.virt.libvirt.vif -----------------------------------------------------------------------------


def ensure_vlan(
    vlan_num: int | str,
    bridge_interface: str,
    mac_address: str | None = None,
    mtu: int | str | None = None,
    interface: str | None = None,
) -> str:
    """Make sure of a VLAN device, up, and return its name: :meth:`NetDevDriver.ensure_vlan`.

    Without ``mtu`` it is ``network_device_mtu``, if that is set.
    """
    return netdev.ensure_vlan(
        number(vlan_num, "VLAN id"),
        bridge_interface,
        interface,
        mac_address=mac_address or None,
        mtu=number_or_none(mtu or options.network_device_mtu, "MTU"),
    )


def set_vf_interface_vlan(pci_addr: str, mac_addr: str, vlan: int | str = 0) -> None:
    """Set the MAC address and VLAN of the virtual function at a PCI address: :func:`set_device_macaddr_and_vlan`.

    Its own device, where it has one, gets the address as well (put back, the one that was put back), and is set up with
    a VLAN, down without.

    Raises: what :meth:`NetDevDriver.virtual_function_at` and :meth:`NetDevDriver.set_device_macaddr_and_vlan` raise.
    """
    tag = number(vlan, "VLAN id")
    function = netdev.virtual_function_at(pci_addr)
    own = netdev.virtual_function_device(pci_addr)
    set_device_macaddr_and_vlan(function.dev, function.number, mac_addr, tag)
    if own is not None:
        address = netdev.virtual_function_at(pci_addr).mac_address if mac_addr == NO_MAC else mac_addr
        set_device_macaddr(own, address, port_state="up" if tag else "down")


def set_vf_trusted(pci_addr: str, trusted: bool) -> None:
    """Say whether the virtual function at a PCI address is trusted: :meth:`NetDevDriver.set_device_trust`."""
    function = netdev.virtual_function_at(pci_addr)
    netdev.set_device_trust(function.dev, function.number, trusted)


# -- nova.network.linux_net ----------------------------------------------------------------------------


def delete_bridge_dev(dev: str) -> None:
    """Delete a bridge, if it is there: :meth:`NetDevDriver.delete_bridge`."""
    netdev.delete_bridge(dev)


def _set_device_mtu(dev: str, mtu: int | str | None = None) -> None:
    """Set an MTU in bytes; without one it is ``network_device_mtu``, if that is set."""
    set_device_mtu(dev, mtu or options.network_device_mtu)


def _create_veth_pair(dev1_name: str, dev2_name: str) -> None:
    """Make sure of a virtual cable: :meth:`NetDevDriver.create_veth_pair`."""
    netdev.create_veth_pair(dev1_name, dev2_name, mtu=number_or_none(options.network_device_mtu, "MTU"))
