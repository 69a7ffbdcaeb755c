"""VLAN devices."""

from __future__ import annotations

import errno
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

    def _vlan_of(self, parent: int, tag: int) -> str | None:
        """Return the name of the VLAN device that has a parent's tag."""
        for body in self.channel.entries(links.list_kind("vlan")):
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


def _check_vlan(link: Link, tag: int, parent: Link) -> None:
    check_kind(link, Kind.VLAN)
    if link.vlan_id != tag or link.below != parent.index or link.below_elsewhere or not link.is_dot1q:
        raise Mismatch(
            f"{link.name} is a VLAN device with tag {link.vlan_id} of another parent or protocol, "
            f"not with tag {tag} of {parent.name}: delete it first"
            if link.vlan_id == tag
            else f"{link.name} has tag {link.vlan_id}, not {tag}: delete it first",
            device=link.name,
            errno=errno.EEXIST,
        )
