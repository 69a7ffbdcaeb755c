"""Taps and virtual cables: what a guest is plugged in by."""

from __future__ import annotations

import errno
import time
from collections.abc import Sequence

from refnet import names
from refnet.errors import InvalidArgument, KernelRefused, Mismatch, operation
from refnet.netdev.driver import Capability, Kind
from refnet.netdev.linux import link as links
from refnet.netdev.linux import tun
from refnet.netdev.linux.base import ATTEMPTS
from refnet.netdev.linux.change import Change, Step
from refnet.netdev.linux.devices import Devices
from refnet.netdev.linux.errors import check_kind, translate
from refnet.netdev.linux.link import Link, Properties
from refnet.netdev.linux.netlink import KernelError

#: Seconds between two looks at a tap that somebody else may be making.
_TAP_IN_THE_MAKING = 0.01


class Cables(Devices):
    """Taps and virtual-Ethernet pairs."""

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
        """Make the tap by its ioctls, then set all the rest in one request; or adopt the one that is there."""
        names.device_name(dev)
        names.flag(multi_queue, "multi_queue")
        properties: Properties = []
        if mac_address is not None:
            properties.append(("IFLA_ADDRESS", names.mac_address(mac_address)))
        if mtu is not None:
            properties.append(("IFLA_MTU", names.mtu(mtu)))
        uid, gid = names.user_id(owner), names.group_id(group)

        for attempt in range(ATTEMPTS):
            try:
                tun.create(dev, multi_queue=multi_queue, owner=uid, group=gid)
            except tun.NameTaken:
                link = self.find(dev)
                if link is None:
                    continue
                if link.kind is Kind.TAP and not link.persistent and attempt < ATTEMPTS - 1:
                    # Another caller is making it at this moment. Or a program has one of its own: that will not change.
                    time.sleep(_TAP_IN_THE_MAKING)
                    continue
                self._adopt_tap(link, properties, multi_queue, uid, gid)
                return
            change = Change(self.channel)
            try:
                with change:
                    change.do(Step("make the tap", None, links.delete(name=dev)))
                    change.do(Step("set the tap up", links.change(properties, name=dev, up=True), None))
            except KernelError as error:
                raise translate(error, dev, Capability.TAP, change.left_over) from None
            return
        raise KernelRefused(f"tap {dev} came and went {ATTEMPTS} times during the call", errno=errno.EAGAIN)

    @operation
    def create_veth_pair(self, dev: str, peer: str, *, mtu: int | None = None) -> None:
        """Look at both ends in one exchange; make them in one request and set the far one up, or adopt them."""
        names.device_name(dev)
        names.device_name(peer, "peer")
        if dev == peer:
            raise InvalidArgument(f"both ends are called {dev}: a pair needs two names", device=dev)
        properties: Properties = [("IFLA_MTU", names.mtu(mtu))] if mtu is not None else []
        other = {"attrs": [("IFLA_IFNAME", peer), *properties]}
        create = links.create(dev, "veth", [("VETH_INFO_PEER", other)], properties)

        for _ in range(ATTEMPTS):
            ends = [end for end in self.find_both(dev, peer) if end is not None]
            if ends:
                self._check_pair(dev, peer, ends)
            change = Change(self.channel)
            try:
                with change:
                    for end in ends:
                        self._reconcile(change, end, properties)
                    if not ends:
                        change.do(Step("create the pair", create, links.delete(name=dev), creates=True))
                        # The kernel cannot set the far end up before the near end is there.
                        change.do(Step(f"set {peer} up", links.change(name=peer, up=True), None))
                return
            except KernelError as error:
                # EEXIST: somebody else has made one of them since the look.
                if ends or error.errno != errno.EEXIST:
                    raise translate(error, dev, Capability.VETH, change.left_over) from None
        raise KernelRefused(f"{dev} and {peer} came and went {ATTEMPTS} times during the call", errno=errno.EAGAIN)

    def _adopt_tap(
        self, link: Link, properties: Properties, multi_queue: bool, uid: int | None, gid: int | None
    ) -> None:
        check_kind(link, Kind.TAP)
        if link.multi_queue != multi_queue:
            raise Mismatch(
                f"tap {link.name} has multi_queue={link.multi_queue}, not {multi_queue}, and that cannot be changed:"
                f" delete it first",
                device=link.name,
                errno=errno.EEXIST,
            )
        change = Change(self.channel)
        try:
            with change:
                self._reconcile(change, link, properties)
                self._own_tap(link, multi_queue, uid, gid)
        except KernelError as error:
            raise translate(error, link.name, Capability.TAP, change.left_over) from None

    def _own_tap(self, link: Link, multi_queue: bool, uid: int | None, gid: int | None) -> None:
        if link.persistent and uid in (None, link.owner) and gid in (None, link.group):
            return
        try:
            tun.adopt(link.name, multi_queue=multi_queue, owner=uid, group=gid)
        except tun.Held:
            raise Mismatch(
                f"tap {link.name} is held by a program, so that its owner ({link.owner}), group ({link.group}) and "
                f"persistence ({link.persistent}) cannot be changed",
                device=link.name,
                errno=errno.EBUSY,
            ) from None

    def _check_pair(self, dev: str, peer: str, ends: Sequence[Link]) -> None:
        """See that the devices that are there by two names are each other's ends; say what is there instead."""
        for end in ends:
            check_kind(end, Kind.VETH)
        half, *others = ends
        if others and half.below == others[0].index and not half.below_elsewhere:
            return
        missing = peer if half.name == dev else dev
        actual = "in another network namespace" if half.below_elsewhere else self.name_of(half.below) or "gone"
        raise Mismatch(
            f"{half.name} is there, but its other end is {actual}, not {missing}: delete {half.name} first",
            device=half.name,
            errno=errno.EEXIST,
        )
