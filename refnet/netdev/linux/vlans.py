"""VLAN devices."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence

from refnet import names
from refnet.errors import AlreadyExists, KernelRefused, Mismatch, NoSuchDevice, RefnetError, operation
from refnet.netdev.driver import Capability, Kind
from refnet.netdev.linux import link as links
from refnet.netdev.linux.base import ATTEMPTS
from refnet.netdev.linux.change import Change
from refnet.netdev.linux.devices import Devices
from refnet.netdev.linux.errors import check_kind, translate
from refnet.netdev.linux.link import Link, Properties
from refnet.netdev.linux.netlink import KernelError


class Vlans(Devices):
    """VLANs."""

    @operation
    def ensure_vlan(
        self,
        vlan_num: int,
        parent: str,
        dev: str | None = None,
        *,
        mac_address: str | None = None,
        mtu: int | None = None,
    ) -> str:
        """Look at the device and its parent in one exchange; create in one request, or change what differs."""
        tag = names.vlan_id(vlan_num)
        names.device_name(parent, "parent")
        name = names.device_name(dev if dev is not None else f"vlan{tag}", "VLAN device")
        properties: Properties = []
        if mac_address is not None:
            properties.append(("IFLA_ADDRESS", names.mac_address(mac_address)))
        if mtu is not None:
            properties.append(("IFLA_MTU", names.mtu(mtu)))

        for _ in range(ATTEMPTS):
            link, parent_link = self.find_both(name, parent)
            if parent_link is None:
                raise NoSuchDevice(f"there is no parent {parent}", device=parent, errno=errno.ENODEV)
            change = Change(self.channel)
            try:
                if link is not None:
                    _check_vlan(link, tag, parent_link)
                    with change:
                        self._reconcile(change, link, properties)
                else:
                    lower = ("IFLA_LINK", parent_link.index)
                    self.channel.ask(links.create(name, "vlan", [("IFLA_VLAN_ID", tag)], [lower, *properties]))
                return name
            except KernelError as error:
                if error.errno != errno.EEXIST:
                    raise self._vlan_refused(error, name, parent_link, change.left_over) from None
                holder = self._vlan_of(parent_link.index, tag)
                if holder not in (None, name):
                    raise AlreadyExists(
                        f"{parent} has tag {tag} already, as device {holder}",
                        device=name,
                        errno=error.errno,
                        detail=error.words,
                    ) from None
        raise KernelRefused(f"VLAN device {name} came and went {ATTEMPTS} times during the call", errno=errno.EAGAIN)

    @operation
    def ensure_vlan_bridge(
        self,
        vlan_num: int,
        bridge: str,
        parent: str,
        dev: str | None = None,
        *,
        mac_address: str | None = None,
        mtu: int | None = None,
    ) -> str:
        """See in one exchange whether all is as asked, and only otherwise go through it step by step."""
        names.device_name(bridge, "bridge")
        tag = names.vlan_id(vlan_num)
        name = names.device_name(dev if dev is not None else f"vlan{tag}", "VLAN device")
        names.device_name(parent, "parent")
        mac = names.mac_address(mac_address) if mac_address is not None else None
        wanted_mtu = names.mtu(mtu) if mtu is not None else None
        link, bridge_link = self.find_both(name, bridge)
        if (
            link is not None
            and bridge_link is not None
            and bridge_link.kind is Kind.BRIDGE
            and bridge_link.up
            and link.up
            and link.master == bridge_link.index
            and _carries(link, tag, _index_of(parent))
            and mac in (None, link.mac_address)
            and wanted_mtu in (None, link.mtu)
        ):
            return name
        return super().ensure_vlan_bridge(tag, bridge, parent, name, mac_address=mac, mtu=wanted_mtu)

    def _vlan_of(self, parent: int, tag: int) -> str | None:
        """Return the name of the VLAN device that has a parent's tag."""
        try:
            bodies = self.channel.entries(links.list_kind("vlan"))
        except KernelError:  # it is for a message only
            return None
        for body in bodies:
            link = links.parse(body)
            if link.kind is Kind.VLAN and link.below == parent and link.vlan_id == tag:
                return link.name
        return None

    def _vlan_refused(self, error: KernelError, name: str, parent: Link, left_over: Sequence[str]) -> RefnetError:
        if error.errno == errno.ENETDOWN:
            return KernelRefused(
                f"{parent.name} is down, so its VLAN {name} cannot come up: enable {parent.name} first",
                device=name,
                errno=error.errno,
            )
        if error.errno == errno.ENODEV:
            return NoSuchDevice(f"parent {parent.name} went away", device=parent.name, errno=error.errno)
        return translate(error, name, Capability.VLAN, left_over)


def _carries(link: Link, tag: int, parent: int) -> bool:
    """Whether a link is the 802.1Q device for that tag on the parent of that index."""
    return (
        link.kind is Kind.VLAN
        and link.is_dot1q
        and link.vlan_id == tag
        and link.below == parent
        and not link.below_elsewhere
    )


def _index_of(device: str) -> int:
    """Return a device's index, 0 if it is not there: one ioctl, where all of the link would be a request."""
    try:
        return socket.if_nametoindex(device)
    except OSError:
        return 0


def _check_vlan(link: Link, tag: int, parent: Link) -> None:
    check_kind(link, Kind.VLAN)
    if not _carries(link, tag, parent.index):
        raise Mismatch(
            f"{link.name} is a VLAN device with tag {link.vlan_id} of another parent or protocol, "
            f"not with tag {tag} of {parent.name}: delete it first"
            if link.vlan_id == tag
            else f"{link.name} has tag {link.vlan_id}, not {tag}: delete it first",
            device=link.name,
            errno=errno.EEXIST,
        )
