"""Devices of any kind: whether they are there, what they are, and what they all can be told."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from refnet import names
from refnet.errors import InvalidArgument, KernelRefused, Unsupported, operation
from refnet.netdev.driver import Capability, Device, Kind, Vlan
from refnet.netdev.freebsd.base import MTU_GROUP, FreeBSDBase, alone, needed, translated
from refnet.netdev.freebsd.listing import Interface, Listing
from refnet.netdev.freebsd.tools import Node, Refusal, Step, ifconfig, words_of
from refnet.netdev.freebsd.words import says, translate

#: The cloner (``ifconfig -C``) that a capability needs, and the module that brings it.
_CLONER = {
    Capability.BRIDGE: ("bridge", "if_bridge"),
    Capability.BRIDGE_FORWARD_DELAY: ("bridge", "if_bridge"),
    Capability.BRIDGE_AGEING_TIME: ("bridge", "if_bridge"),
    Capability.VLAN: ("vlan", "if_vlan"),
    Capability.TAP: ("tap", "if_tuntap"),
    Capability.TAP_OWNER: ("tap", "if_tuntap"),
    Capability.VETH: ("epair", "if_epair"),
}
#: What if_bridge(4) and tap(4) have in no release, and why.
LACKING = {
    Capability.BRIDGE_STP: "if_bridge(4) has spanning tree as a switch of each port ('ifconfig bridge0 stp em0'), "
    "and none of the bridge",
    Capability.BRIDGE_MULTICAST_SNOOPING: "if_bridge(4) sends multicast to all ports: it does no snooping",
    Capability.TAP_MULTI_QUEUE: "tap(4) is opened by one program at a time and has one queue",
    Capability.SRIOV: "iovctl(8) says what virtual functions are only when it makes them: none is changed later",
}
#: Those that are the system's own; others are a switch's.
_OWN = {*_CLONER, *LACKING, Capability.IPV6}
#: tap(4) of older releases asks for a privilege at every open unless this sysctl is set; a newer one leaves it to the
#: node's permissions, and then the sysctl is about something else: its own description tells.
_USER_OPEN = "net.link.tap.user_open"
_OPEN_BY_NODE = "Enable legacy devfs interface creation"

#: The owner and group of a node that nobody has given to anybody (UID_UUCP and GID_DIALER of sys/conf.h), and root,
#: who may open every node.
_NOBODYS = (0, 66)


class Devices(FreeBSDBase):
    """Any device."""

    @operation
    def probe(self, capability: Capability) -> str | None:
        """Ask the cloners and sysctls that there are; nothing is loaded or made for it."""
        if capability not in tuple(Capability):
            raise InvalidArgument(f"{names.shown(capability)} is no capability: there are {', '.join(Capability)}")
        if capability not in _OWN:
            return f"this driver has no {capability}"
        return self._lacks(capability, {} if capability in LACKING else self._facts())

    @operation
    def capabilities(self) -> frozenset[Capability]:
        """Look once for all of the system's; each switch is asked."""
        facts = self._facts()
        return frozenset(
            capability
            for capability in Capability
            if (self._lacks(capability, facts) if capability in _OWN else self.probe(capability)) is None
        )

    @operation
    def device_exists(self, dev: str) -> bool:
        """Look at the device by its name."""
        return self.find(names.device_name(dev)) is not None

    @operation
    def device(self, dev: str) -> Device:
        """Describe a device from one look at all: only the bridge knows its ports, and only an end its pair's other."""
        names.device_name(dev)
        listing = self.look()
        found = needed(listing.get(dev), dev)
        node = self.tools.node(found.driver or dev) if found.kind is Kind.TAP else None
        return Device(
            name=found.name,
            kind=found.kind,
            mac_address=found.mac_address,
            mtu=found.mtu,
            up=found.up,
            carrier=found.carrier,
            master=listing.master_of(dev),
            vlan=Vlan(found.tag, found.parent) if found.kind is Kind.VLAN else None,
            peer=listing.peer_of(found) if found.kind is Kind.VETH else None,
            multi_queue=False if found.kind in (Kind.TAP, Kind.TUN) else None,
            owner=owner_of(node),
            group=group_of(node),
            addresses=tuple(address.describe() for address in found.addresses),
        )

    @operation
    def delete_net_dev(self, dev: str) -> None:
        """Destroy the clone, unless a program holds it: for that the kernel would wait, without end (tun_destroy)."""
        names.device_name(dev)
        with alone(dev):
            found = self.find(dev)
            if found is not None:
                self._destroy(found)

    @operation
    def set_device_mtu(self, dev: str, mtu: int) -> None:
        """Set the MTU; a port's is its bridge's, and so is set there, for all ports (bridge_ioctl, SIOCSIFMTU)."""
        names.device_name(dev)
        wanted = names.mtu(mtu)
        listing = self.look()
        found = needed(listing.get(dev), dev)
        pin = ("group", MTU_GROUP) if found.kind is Kind.BRIDGE and MTU_GROUP not in found.groups else ()
        if found.mtu == wanted and not pin:
            return
        with translated(dev):
            self.tools.do(ifconfig(listing.master_of(dev) or dev, "mtu", wanted, *pin))

    @operation
    def set_device_macaddr(self, dev: str, mac_address: str) -> None:
        """Set the MAC address in one command."""
        self._set(dev, "ether", names.mac_address(mac_address))

    @operation
    def set_device_enabled(self, dev: str) -> None:
        """Set the device up in one command."""
        self._set(dev, "up")

    @operation
    def set_device_disabled(self, dev: str) -> None:
        """Set the device down in one command."""
        self._set(dev, "down")

    def _set(self, dev: str, *words: str) -> None:
        with translated(names.device_name(dev)):
            self.tools.do(ifconfig(dev, *words))

    def _destroy(self, device: Interface) -> None:
        if device.opened_by is not None:
            raise KernelRefused(
                f"{device.name} is held by process {device.opened_by}: FreeBSD deletes a tap only when its holder has "
                f"closed it; stop that program first",
                device=device.name,
                errno=errno.EBUSY,
            )
        result = self.destroy(device.name)
        if result.status:
            refusal = Refusal(words_of(result))
            if says(refusal, errno.ENXIO):
                return
            if says(refusal, errno.EINVAL):
                raise Unsupported(
                    f"{device.name} is no cloned device: the system made it, and keeps it",
                    capability="delete-device",
                    device=device.name,
                    errno=errno.EINVAL,
                    detail=refusal.words,
                ) from None
            raise translate(refusal, device.name) from None

    def _reconcile(
        self, listing: Listing, device: Interface, mac: str | None, mtu: int | None, *, more: tuple[str, ...] = ()
    ) -> None:
        """Set what differs on a device that is there, and set it up; nothing differs: no command."""
        mac = mac if mac != device.mac_address else None
        mtu = mtu if mtu != device.mtu else None
        if mac is None and mtu is None and not more and device.up:
            return
        # ifconfig carries its words out one by one, and what precedes the one that is refused is done.
        before = (
            *(("ether", device.mac_address) if mac is not None and device.mac_address is not None else ()),
            *(("mtu", device.mtu) if mtu is not None else ()),
            *(() if device.up else ("down",)),
        )
        words: tuple[str, ...] = ("ether", mac) if mac is not None else ()
        steps = [Step((), ifconfig(device.name, *before))] if before else []
        bridge = listing.master_of(device.name) if mtu is not None else None
        if bridge is not None and mtu is not None:
            steps.append(Step(ifconfig(bridge, "mtu", mtu), ifconfig(bridge, "mtu", device.mtu)))
        elif mtu is not None:
            words += ("mtu", str(mtu))
        steps.append(Step(ifconfig(device.name, *words, *more, "up")))
        self.tools.carry_out(steps)

    # -- capabilities -----------------------------------------------------------------------------------

    def _facts(self) -> dict[str, str]:
        """Return cloners and sysctls by name: what there is of them."""
        asked = ("kern.features.inet6", "kern.module_path", "security.jail.jailed", "security.jail.vnet", _USER_OPEN)
        with translated("this host"):
            cloners = self.tools.do(("ifconfig", "-C"))
            # -i: one that is not there is left out.
            values = self.tools.do(("sysctl", "-i", *asked))
            described = self.tools.do(("sysctl", "-idn", _USER_OPEN))
        facts = dict(line.split(": ", 1) for line in values.splitlines() if ": " in line)
        return facts | {"cloners": cloners, "description": described.strip()}

    def _lacks(self, capability: Capability, facts: dict[str, str]) -> str | None:
        if capability in LACKING:
            return LACKING[capability]
        if capability is Capability.IPV6:
            return None if facts.get("kern.features.inet6") == "1" else "the kernel has no IPv6"
        cloner, module = _CLONER[capability]
        if cloner not in facts["cloners"].split():
            jailed = facts.get("security.jail.jailed") == "1"
            path = facts.get("kern.module_path", "")
            if jailed or not any((Path(place) / f"{module}.ko").exists() for place in path.split(";")):
                where = "on the host" if jailed else f"(it is nowhere in kern.module_path, {path})"
                return f"the kernel has no {cloner}(4), and cannot load the module that brings it: {module} {where}"
        if os.geteuid() != 0:
            return f"only root can make {_one(cloner)}(4) device"
        if facts.get("security.jail.jailed") == "1" and facts.get("security.jail.vnet") != "1":
            return f"{_one(cloner)}(4) device can be made only in a jail with a network stack of its own (vnet)"
        if capability is Capability.TAP_OWNER and not facts["description"].startswith(_OPEN_BY_NODE):
            if _USER_OPEN not in facts:
                return f"{module} is not loaded yet ('kldload {module}'), so that nobody can tell who may open a tap"
            if facts[_USER_OPEN] != "1":
                return f"sysctl {_USER_OPEN} is not 1, so that only root may open a tap"
        return None


def _one(word: str) -> str:
    return f"{'an' if word[0] in 'aeio' else 'a'} {word}"


def unsupported(capability: Capability, device: str) -> Unsupported:
    """Return the error for what FreeBSD has in no release."""
    return Unsupported(f"{LACKING[capability]}", capability=capability, device=device, errno=errno.EOPNOTSUPP)


def owner_of(node: Node | None) -> int | None:
    """Return the user that a tap belongs to, None for nobody in particular."""
    return node.uid if node is not None and node.uid not in _NOBODYS else None


def group_of(node: Node | None) -> int | None:
    """Return the group that may open a tap, None for none."""
    return node.gid if node is not None and node.mode & 0o060 == 0o060 else None
