"""VLAN devices."""

from __future__ import annotations

import errno

from refnet import names
from refnet.errors import AlreadyExists, InvalidArgument, KernelRefused, Mismatch, Unsupported, operation
from refnet.netdev.driver import Capability, Kind
from refnet.netdev.freebsd.base import ATTEMPTS, GROUP, alone, needed
from refnet.netdev.freebsd.devices import Devices
from refnet.netdev.freebsd.listing import Interface, Listing
from refnet.netdev.freebsd.tools import Refusal
from refnet.netdev.freebsd.words import check_kind, says, translate

#: How vlan(4) shows the one protocol that refnet makes; the other is 802.1ad.
_DOT1Q = "802.1q"


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
        """Look at all, since the tag may be there by any name; create in one command, or change what differs."""
        tag = names.vlan_id(vlan_num)
        names.device_name(parent, "parent")
        name = names.device_name(dev if dev is not None else f"vlan{tag}", "VLAN device")
        mac = names.mac_address(mac_address) if mac_address is not None else None
        wanted_mtu = names.mtu(mtu) if mtu is not None else None
        with alone(name):
            for _ in range(ATTEMPTS):
                listing = self.look()
                below = needed(listing.get(parent), parent, "parent")
                found = listing.get(name)
                _check_vlan(listing, found, name, tag, below)
                _check_settings(name, below, wanted_mtu)
                try:
                    if found is not None:
                        self._reconcile(listing, found, mac, wanted_mtu)
                    else:
                        self._make_vlan(name, tag, parent, mac, wanted_mtu)
                    return name
                except Refusal as refusal:
                    if says(refusal, errno.EPROTONOSUPPORT):
                        raise Unsupported(
                            f"{parent} is of kind {below.kind}: vlan(4) takes no such parent",
                            capability=f"vlan-on-{below.kind}",
                            device=parent,
                            errno=errno.EPROTONOSUPPORT,
                            detail=refusal.words,
                        ) from None
                    # Somebody else has made such a device, or deleted the parent, since the look.
                    if not says(refusal, errno.EEXIST, errno.ENXIO):
                        raise translate(refusal, name, Capability.VLAN) from None
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
        """See in one look whether all is as asked, and only otherwise go through it step by step."""
        names.device_name(bridge, "bridge")
        tag = names.vlan_id(vlan_num)
        name = names.device_name(dev if dev is not None else f"vlan{tag}", "VLAN device")
        names.device_name(parent, "parent")
        mac = names.mac_address(mac_address) if mac_address is not None else None
        wanted_mtu = names.mtu(mtu) if mtu is not None else None
        listing = self.look()
        found, over = listing.get(name), listing.get(bridge)
        if (
            found is not None
            and over is not None
            and over.kind is Kind.BRIDGE
            and over.up
            and found.up
            and name in over.members
            and _carries(found, tag, parent)
            and mac in (None, found.mac_address)
            and wanted_mtu in (None, found.mtu)
        ):
            return name
        return super().ensure_vlan_bridge(tag, bridge, parent, name, mac_address=mac, mtu=wanted_mtu)

    def _make_vlan(self, name: str, tag: int, parent: str, mac: str | None, mtu: int | None) -> None:
        head = ("ifconfig", "vlan", "create", "vlan", str(tag), "vlandev", parent)
        ether = ("ether", mac) if mac is not None else ()
        words = ("mtu", str(mtu)) if mtu is not None else ()
        self.clone((*head, *ether, "name", name, "group", GROUP, *words, "up"))


def _carries(device: Interface, tag: int, parent: str) -> bool:
    """Whether a device is the 802.1Q device for that tag on that parent."""
    return device.kind is Kind.VLAN and device.protocol == _DOT1Q and device.tag == tag and device.parent == parent


def _check_vlan(listing: Listing, found: Interface | None, name: str, tag: int, parent: Interface) -> None:
    """See that the name and the tag are free, or both this device's."""
    if found is not None:
        check_kind(found, Kind.VLAN)
        if not _carries(found, tag, parent.name):
            raise Mismatch(
                f"{name} is a VLAN device with tag {found.tag} of {found.parent or 'no parent that is left'}, not with "
                f"tag {tag} of {parent.name}: delete it first",
                device=name,
                errno=errno.EEXIST,
            )
        return
    holder = listing.vlan_on(parent.name, tag)
    if holder is not None:
        raise AlreadyExists(
            f"{parent.name} has tag {tag} already, as device {holder.name}", device=name, errno=errno.EEXIST
        )


def _check_settings(name: str, parent: Interface, mtu: int | None) -> None:
    if mtu is not None and mtu > parent.mtu:
        raise InvalidArgument(
            f"{name} cannot have MTU {mtu}: its parent {parent.name} has {parent.mtu}", device=name, errno=errno.EINVAL
        )
    # FreeBSD would set it up all the same, and drop what is sent through it (vlan_transmit, sys/net/if_vlan.c).
    if not parent.up:
        raise KernelRefused(
            f"{parent.name} is down, so that its VLAN {name} could carry nothing: enable {parent.name} first",
            device=name,
            errno=errno.ENETDOWN,
        )
