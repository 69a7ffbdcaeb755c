"""Taps: tap(4), and the node in ``/dev`` that a hypervisor opens.

``/dev/tapN`` has the number that the tap was born with, which ifconfig(8) shows as its driver's name (``-D``). A tap
that is called ``tapN`` is born with just this number wherever that is free; one of another name gets a number as it
comes, and a link of its own name to the node.
"""

from __future__ import annotations

import errno
import re
from dataclasses import replace

from refnet import names
from refnet.errors import InvalidArgument, KernelRefused, Unsupported, operation
from refnet.netdev.driver import Capability, Kind
from refnet.netdev.freebsd.base import ATTEMPTS, GROUP, MAX_NUMBER, alone, free_number
from refnet.netdev.freebsd.devices import Devices, unsupported
from refnet.netdev.freebsd.listing import Interface, Listing
from refnet.netdev.freebsd.tools import Command, Node, Refusal, ifconfig
from refnet.netdev.freebsd.words import check_kind, says, translate

#: Without it the tap goes down and loses its addresses when its holder closes it (tap(4), IFF_LINK0).
_OUTLIVES = "link0"
#: A name that is a node's own.
_OWN_NAME = re.compile(r"tap(0|[1-9][0-9]{0,4})")
#: Names of nodes that another driver makes, and would find taken by this tap's link: the kernel panics then.
_OTHERS_NAME = re.compile(r"(tun|vmnet)[0-9]+")


class _Trap(Exception):
    """A new tap has a link by the name of another tap's node: that one's number was in use, and is not any more."""


class Taps(Devices):
    """Taps."""

    @operation
    def create_tap_dev(
        self,
        dev: str,
        mac_address: str | None = None,
        *,
        multi_queue: bool = False,
        mtu: int | None = None,
        owner: int | str | None = None,
        group: int | str | None = None,
    ) -> None:
        """Look at all, then make the tap with all its properties in one command; or adopt the one that is there."""
        names.device_name(dev)
        queues = names.flag(multi_queue, "multi_queue")
        mac = names.mac_address(mac_address) if mac_address is not None else None
        wanted_mtu = names.mtu(mtu) if mtu is not None else None
        uid, gid = names.user_id(owner), names.group_id(group)
        if queues:
            raise unsupported(Capability.TAP_MULTI_QUEUE, dev)
        if uid is not None or gid is not None:
            reason = self.probe(Capability.TAP_OWNER)
            if reason is not None:
                raise Unsupported(reason, capability=Capability.TAP_OWNER, device=dev)
        with alone(dev):
            refused = False
            for _ in range(ATTEMPTS):
                listing = self.look()
                found = listing.get(dev)
                try:
                    if found is not None:
                        self._adopt_tap(listing, found, mac, wanted_mtu, uid, gid)
                        return
                    unit = self._free_unit(listing, dev, refused=refused)
                    self.clone(_making(unit, dev, mac, wanted_mtu))
                except Refusal as refusal:
                    # The number may be in use in another network stack.
                    if found is not None or not says(refusal, errno.EEXIST):
                        raise translate(refusal, dev, Capability.TAP) from None
                    refused = True
                    continue
                try:
                    self._settle_new(dev, unit, uid, gid)
                except _Trap:
                    refused = False
                    continue
                return
        raise KernelRefused(f"tap {dev} came and went {ATTEMPTS} times during the call", errno=errno.EAGAIN)

    def _adopt_tap(
        self, listing: Listing, found: Interface, mac: str | None, mtu: int | None, uid: int | None, gid: int | None
    ) -> None:
        check_kind(found, Kind.TAP)
        more = () if "LINK0" in found.flags else (_OUTLIVES,)
        before = self._own(found.driver or found.name, uid, gid)
        try:
            self._reconcile(listing, found, mac, mtu, more=more)
        except BaseException:
            if before is not None:
                self.tools.own_node(found.driver or found.name, before)
            raise

    def _settle_new(self, dev: str, unit: int, uid: int | None, gid: int | None) -> None:
        """Give a new tap's node to its owner, and see that the tap's own link is no trap for a later one."""
        try:
            self._check_link(dev, unit)
            self._own(f"tap{unit}", uid, gid)
        except BaseException:
            self.tools.run(ifconfig(dev, "destroy"))
            raise

    def _own(self, name: str, uid: int | None, gid: int | None) -> Node | None:
        """Give a tap's node to its owner; return the node as it was if that has changed it."""
        if uid is None and gid is None:
            return None
        node = self.tools.node(name)
        owned = _owned(node, uid, gid)
        if owned == node:
            return None
        self.tools.own_node(name, owned)
        return node

    def _check_link(self, dev: str, unit: int) -> None:
        """See that a tap that could not be born with its name's number has no link by that name.

        The kernel panics when a tap is born and finds its node's name taken (make_dev_sv, sys/kern/kern_conf.c). The
        name was another tap's node a moment ago, so that no link was made; but that one may have gone meanwhile.
        """
        if _own_number(dev) in (None, unit):
            return
        link = self.tools.node(dev)
        if link is not None and link.is_link:
            raise _Trap

    def _free_unit(self, listing: Listing, dev: str, *, refused: bool) -> int:
        """Return the number to be born with: the name's own, else the lowest that is free as far as can be seen."""
        if _OTHERS_NAME.fullmatch(dev):
            raise InvalidArgument(
                f"a tap cannot be called {dev} here: /dev/{dev} is the node of such a device of its own", device=dev
            )
        used = self.tools.nodes() | {device.name for device in listing} | {device.driver for device in listing}
        own = _own_number(dev)
        if own is not None and dev not in used and not refused:
            return own
        return free_number("tap", used, refused=refused)


def _making(unit: int, dev: str, mac: str | None, mtu: int | None) -> Command:
    return (
        *("ifconfig", f"tap{unit}", "create"),
        *(("ether", mac) if mac is not None else ()),
        *(("name", dev) if dev != f"tap{unit}" else ()),
        *(_OUTLIVES, "group", GROUP),
        *(("mtu", str(mtu)) if mtu is not None else ()),
        "up",
    )


def is_node_name(dev: str) -> bool:
    """Whether a name is that of a node which the kernel makes for a device of its own."""
    return bool(_OWN_NAME.fullmatch(dev) or _OTHERS_NAME.fullmatch(dev))


def _own_number(dev: str) -> int | None:
    """Return the number of the node that has a tap's name, None if none ever has."""
    own = _OWN_NAME.fullmatch(dev)
    return int(own[1]) if own is not None and int(own[1]) <= MAX_NUMBER else None


def _owned(node: Node | None, uid: int | None, gid: int | None) -> Node:
    """Return a tap's node as it has to be for an owner and a group.

    Raises:
        Unsupported: there is no such node: a jail's /dev usually shows none.
    """
    if node is None:
        raise Unsupported(
            "the tap's node is not in /dev: a jail's devfs rules hide it (devfs(8))", capability=Capability.TAP_OWNER
        )
    if uid is not None:
        node = replace(node, uid=uid)
    if gid is not None:
        # Nobody is to own it who was not asked for, neither is the user that the system makes it for.
        node = replace(node, uid=node.uid if uid is not None else 0, gid=gid, mode=node.mode | 0o060)
    return node
