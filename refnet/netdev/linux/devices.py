"""Devices of any kind: whether they are there, what they are, and what they all can be told."""

from __future__ import annotations

import errno

from refnet import names
from refnet.errors import InvalidArgument, Unsupported, operation
from refnet.netdev.driver import Capability, Device, Kind, Vlan
from refnet.netdev.linux import link as links
from refnet.netdev.linux import tun
from refnet.netdev.linux.base import LinuxBase, probe_ipv6
from refnet.netdev.linux.change import Change, Step
from refnet.netdev.linux.errors import translate
from refnet.netdev.linux.link import Link, Properties
from refnet.netdev.linux.netlink import KernelError

#: The kernel's word for the kind of link that a capability needs.
_KERNEL_KIND = {
    Capability.BRIDGE: "bridge",
    Capability.BRIDGE_STP: "bridge",
    Capability.BRIDGE_FORWARD_DELAY: "bridge",
    Capability.BRIDGE_AGEING_TIME: "bridge",
    Capability.BRIDGE_MULTICAST_SNOOPING: "bridge",
    Capability.VLAN: "vlan",
    Capability.VETH: "veth",
}
_TAP_CAPABILITIES = (Capability.TAP, Capability.TAP_MULTI_QUEUE, Capability.TAP_OWNER)


class Devices(LinuxBase):
    """Any device."""

    @operation
    def probe(self, capability: Capability) -> str | None:
        """Ask the running kernel, with requests that it must refuse: how it refuses tells what it knows."""
        if capability not in tuple(Capability):
            raise InvalidArgument(f"{names.shown(capability)} is no capability: there are {', '.join(Capability)}")
        if capability in _TAP_CAPABILITIES:
            return tun.probe(capability)
        if capability is Capability.IPV6:
            return probe_ipv6()
        kind = _KERNEL_KIND[capability]
        try:
            # A group address is never a device's own, so nothing can come of this request.
            self.channel.ask(links.create("refnet-probe", kind, properties=[("IFLA_ADDRESS", "ff:ff:ff:ff:ff:ff")]))
        except KernelError as error:
            if error.errno == errno.EOPNOTSUPP:
                return f"the kernel knows no link of kind {kind!r} ({error.words}), and loads no module for it"
            if error.errno in (errno.EPERM, errno.EACCES):
                return f"making a {kind} needs CAP_NET_ADMIN in this network namespace ({error.words})"
        return None

    @operation
    def device_exists(self, dev: str) -> bool:
        """Ask by netlink: /sys shows the network namespace that it was mounted in, not the caller's."""
        return self.find(names.device_name(dev)) is not None

    @operation
    def device(self, dev: str) -> Device:
        """Describe a device from one or two answers of the kernel, and one for each name of another device."""
        link = self.need(names.device_name(dev))
        vlan = Vlan(link.vlan_id, self.name_below(link)) if link.kind is Kind.VLAN else None
        is_tap = link.kind in (Kind.TAP, Kind.TUN)
        return Device(
            name=link.name,
            kind=link.kind,
            mac_address=link.mac_address,
            mtu=link.mtu,
            up=link.up,
            carrier=link.carrier,
            master=self.name_of(link.master),
            vlan=vlan,
            peer=self.name_below(link) if link.kind is Kind.VETH else None,
            multi_queue=link.multi_queue if is_tap else None,
            owner=link.owner if is_tap else None,
            group=link.group if is_tap else None,
            addresses=tuple(record.describe(link.name) for record in self.addresses(link)),
        )

    @operation
    def delete_net_dev(self, dev: str) -> None:
        """Delete by name, in one request; that there is no such device is what was wanted."""
        try:
            self.channel.ask(links.delete(name=names.device_name(dev)))
        except KernelError as error:
            if error.errno == errno.ENODEV:
                return
            if error.errno == errno.EOPNOTSUPP:
                raise Unsupported(
                    f"{dev} is no virtual device: the system made it, and keeps it",
                    capability="delete-device",
                    device=dev,
                    errno=error.errno,
                    detail=error.words,
                ) from None
            raise translate(error, dev) from None

    @operation
    def set_device_mtu(self, dev: str, mtu: int) -> None:
        """Set the MTU in one request."""
        self._set(dev, [("IFLA_MTU", names.mtu(mtu))])

    @operation
    def set_device_macaddr(self, dev: str, mac_address: str) -> None:
        """Set the MAC address in one request."""
        self._set(dev, [("IFLA_ADDRESS", names.mac_address(mac_address))])

    @operation
    def set_device_enabled(self, dev: str) -> None:
        """Set the device up in one request."""
        self._set(dev, [], up=True)

    @operation
    def set_device_disabled(self, dev: str) -> None:
        """Set the device down in one request."""
        self._set(dev, [], up=False)

    def _set(self, dev: str, properties: Properties, *, up: bool | None = None) -> None:
        try:
            self.channel.ask(links.change(properties, name=names.device_name(dev), up=up))
        except KernelError as error:
            raise translate(error, dev) from None

    def _reconcile(self, change: Change, link: Link, properties: Properties) -> None:
        """Set what differs on a device that is there, and set it up; nothing differs: no request."""
        present = {"IFLA_ADDRESS": link.mac_address, "IFLA_MTU": link.mtu}
        differs = [(key, value) for key, value in properties if present[key] != value]
        if differs or not link.up:
            before = links.change(
                [(key, present[key]) for key, _ in differs], index=link.index, up=None if link.up else False
            )
            # The kernel carries a request out part by part, and what precedes the part that it refuses is done.
            change.do(Step(f"put {link.name} back", None, before))
            change.do(Step(f"set {link.name}", links.change(differs, index=link.index, up=True), None))
