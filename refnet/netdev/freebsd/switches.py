"""What Open vSwitch is like on FreeBSD: a bridge's device, and an internal port, is a tap(4) that ovs-vswitchd holds.

The switch's datapath is its own process (``netdev``), which reads and writes other ports through bpf(4).
"""

from __future__ import annotations

from collections.abc import Collection

from refnet.errors import InvalidArgument
from refnet.netdev.driver import Kind
from refnet.netdev.freebsd.base import GROUP, FreeBSDBase, alone
from refnet.netdev.freebsd.listing import Interface
from refnet.netdev.freebsd.taps import is_node_name
from refnet.netdev.ovs import OpenVSwitch

#: The tap of the datapath itself, which all bridges share (lib/dpif-netdev.c of Open vSwitch).
_DATAPATH = "ovs-netdev"
#: What the switch reads of a frame (PCAP_SNAPLEN, lib/netdev-bsd.c), less an Ethernet header with a VLAN tag.
_MOST_BYTES = 2048 - 18


class Switches(OpenVSwitch, FreeBSDBase):
    """Bridges and ports of Open vSwitch."""

    #: Only "ovs-appctl exit --cleanup" takes them away, and the next ovs-vswitchd cannot make its bridges while their
    #: names are taken. Nothing in the database tells (seen with Open vSwitch 3.1).
    switch_devices_stay = True

    def _clear_leftovers(self, names: Collection[str]) -> bool:
        """Destroy taps that nobody holds: a switch that lives holds its own."""
        listing = self.look()
        left = [name for name in (*names, _DATAPATH) if _is_left(listing.get(name))]
        for name in left:
            with alone(name):
                if _is_left(self.find(name)):
                    self.destroy(name)
        return bool(left)

    def _check_switch_device_name(self, dev: str) -> None:
        """Refuse names of nodes in ``/dev``: the switch gives its tap any name, and with it a link of that name.

        The kernel panics when it makes a node later and finds its name taken (make_dev_sv, sys/kern/kern_conf.c).
        """
        if is_node_name(dev):
            raise InvalidArgument(
                f"Open vSwitch cannot have a device called {dev} here: /dev/{dev} is the node of a device of its own",
                device=dev,
            )

    def _check_switch_mtu(self, dev: str, mtu: int) -> None:
        """Refuse frames of which the switch reads only the beginning, and passes garbage on for the rest."""
        if mtu > _MOST_BYTES:
            raise InvalidArgument(
                f"{dev} as a port of Open vSwitch carries an MTU of {_MOST_BYTES} bytes at most here, not {mtu}: "
                f"of larger frames the switch reads the beginning only",
                device=dev,
            )

    def _is_heard_by_switch(self, dev: str) -> bool | None:
        """Look for the flag that the switch sets on its ports, as "ifconfig promisc" does; programs set another."""
        found = self.find(dev)
        return None if found is None else "PPROMISC" in found.flags


def _is_left(device: Interface | None) -> bool:
    """Whether a device is a tap that somebody has let go of, and that refnet has not made for a guest to come.

    Such a tap is down and has no addresses (tap(4)).
    """
    return (
        device is not None
        and device.kind is Kind.TAP
        and device.opened_by is None
        and GROUP not in device.groups
        and not device.up
        and not device.addresses
    )
