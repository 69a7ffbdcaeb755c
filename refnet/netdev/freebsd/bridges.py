"""Bridges, their ports, and an interface's way into one with its addresses and routes."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from refnet import names
from refnet.errors import (
    AlreadyEnslaved,
    AlreadyExists,
    InvalidArgument,
    KernelRefused,
    RefnetError,
    Unsupported,
    WrongKind,
    operation,
)
from refnet.netdev.driver import Capability, Kind
from refnet.netdev.freebsd import plan
from refnet.netdev.freebsd.base import ATTEMPTS, GROUP, MTU_GROUP, alone, needed, random_mac, translated
from refnet.netdev.freebsd.devices import Devices, unsupported
from refnet.netdev.freebsd.listing import Interface, Listing
from refnet.netdev.freebsd.tools import Refusal, Step, ifconfig
from refnet.netdev.freebsd.words import check_kind, says, translate

#: Whether a bridge and its ports may have link-local IPv6 addresses at the same time.
_OVERLAP = "net.link.bridge.allow_llz_overlap"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is asked of a bridge, valid; None keeps what is there. Times are in whole seconds."""

    mac: str | None = None
    mtu: int | None = None
    forward_delay: int | None = None
    ageing_time: int | None = None

    def words(self) -> tuple[str, ...]:
        """Return ifconfig(8)'s words for all but the MAC address, which has to come first."""
        return (
            *(("mtu", str(self.mtu), "group", MTU_GROUP) if self.mtu is not None else ()),
            *(("fwddelay", str(self.forward_delay)) if self.forward_delay is not None else ()),
            *(("timeout", str(self.ageing_time)) if self.ageing_time is not None else ()),
        )

    def differing(self, bridge: Interface) -> Wishes:
        """Return what of it the bridge has not."""
        pinned = self.mtu == bridge.mtu and MTU_GROUP in bridge.groups
        return Wishes(
            self.mac if self.mac != bridge.mac_address else None,
            None if pinned else self.mtu,
            self.forward_delay if self.forward_delay != bridge.forward_delay else None,
            self.ageing_time if self.ageing_time != bridge.ageing_time else None,
        )


class Bridges(Devices):
    """Bridges."""

    @operation
    def create_bridge(
        self,
        bridge: str,
        *,
        mac_address: str | None = None,
        mtu: int | None = None,
        stp: bool | None = None,
        forward_delay: float | None = None,
        ageing_time: float | None = None,
        multicast_snooping: bool | None = None,
    ) -> None:
        """Create the bridge with all its properties in one command."""
        names.device_name(bridge, "bridge")
        wishes = _wishes(bridge, mac_address, mtu, stp, forward_delay, ageing_time, multicast_snooping)
        with alone(bridge):
            try:
                self._make_bridge(bridge, wishes, random_mac())
            except Refusal as refusal:
                if says(refusal, errno.EEXIST):
                    raise self._name_taken(bridge, refusal) from None
                raise translate(refusal, bridge, Capability.BRIDGE) from None

    @operation
    def delete_bridge(self, bridge: str) -> None:
        """Look at the kind, then destroy; the kernel lets the ports go."""
        names.device_name(bridge, "bridge")
        with alone(bridge):
            found = self.find(bridge)
            if found is not None:
                check_kind(found, Kind.BRIDGE)
                self._destroy(found)

    @operation
    def add_bridge_port(self, bridge: str, port: str, *, move: bool = False) -> None:
        """Look at all, since any bridge may have the port, then take it from there and add it."""
        names.device_name(bridge, "bridge")
        names.device_name(port, "port")
        names.flag(move, "move")
        with alone(bridge, port):
            refused: Refusal | None = None
            seen: object = None
            for _ in range(ATTEMPTS):
                listing = self.look()
                found = needed(listing.get(bridge), bridge, "bridge")
                check_kind(found, Kind.BRIDGE)
                joining = needed(listing.get(port), port)
                if port in found.members:
                    return
                self._check_joinable(listing, joining, bridge, move)
                now = (found, joining, listing.master_of(port))
                if refused is not None and now == seen:
                    raise translate(refused, port, Capability.BRIDGE)
                try:
                    self.tools.carry_out(_join(listing, joining, found))
                    return
                except Refusal as refusal:
                    refused, seen = self._retriable(refusal, port), now
        raise _restless(bridge)

    @operation
    def remove_bridge_port(self, bridge: str, port: str) -> None:
        """Look at the bridge, and let the port go if it is one of its."""
        names.device_name(port, "port")
        names.device_name(bridge, "bridge")
        with alone(bridge, port):
            found = self.find(bridge)
            if found is None:
                return
            check_kind(found, Kind.BRIDGE)
            if port not in found.members:
                return
            try:
                self.tools.do(ifconfig(bridge, "deletem", port))
            except Refusal as refusal:
                if not says(refusal, errno.ENOENT, errno.ENXIO):
                    raise translate(refusal, port) from None

    @operation
    def bridge_ports(self, bridge: str) -> tuple[str, ...]:
        """Look at the bridge, which lists its members."""
        found = self.need(names.device_name(bridge, "bridge"))
        check_kind(found, Kind.BRIDGE)
        return tuple(sorted(found.members))

    @operation
    def ensure_bridge(
        self,
        bridge: str,
        interface: str | None = None,
        *,
        move: bool = False,
        mac_address: str | None = None,
        mtu: int | None = None,
        stp: bool | None = None,
        forward_delay: float | None = None,
        ageing_time: float | None = None,
        multicast_snooping: bool | None = None,
    ) -> None:
        """Look at all, then change what differs; the interface comes with all its addresses and routes in one program.

        It joins last, when its addresses and routes are on the bridge: "is a port" says that all is done.
        """
        names.device_name(bridge, "bridge")
        names.flag(move, "move")
        if interface is not None:
            names.device_name(interface, "interface")
        wishes = _wishes(bridge, mac_address, mtu, stp, forward_delay, ageing_time, multicast_snooping)
        about = bridge if interface is None else interface
        with alone(bridge, about):
            refused: Refusal | None = None
            seen: object = None
            for _ in range(ATTEMPTS):
                listing = self.look()
                found = listing.get(bridge)
                if found is not None:
                    check_kind(found, Kind.BRIDGE)
                port = None
                if interface is not None:
                    port = needed(listing.get(interface), interface, "interface")
                    self._check_joinable(listing, port, bridge, move)
                now = (found, port, listing.master_of(about))
                if refused is not None and now == seen:
                    raise translate(refused, about, Capability.BRIDGE)
                try:
                    if found is not None:
                        self._ensure_present(listing, found, port, wishes)
                    else:
                        self._ensure_new(listing, bridge, port, wishes)
                    return
                except Refusal as refusal:
                    refused, seen = self._retriable(refusal, about), now
        raise _restless(bridge)

    def _retriable(self, refusal: Refusal, device: str) -> Refusal:
        """Return a refusal that may come of what somebody else has done since the look.

        Raises: the error that any other one is.
        """
        if says(refusal, errno.EEXIST, errno.EBUSY, errno.ENOENT, errno.ENXIO) and not refusal.left_over:
            return refusal
        raise translate(refusal, device, Capability.BRIDGE) from None

    def _ensure_present(self, listing: Listing, bridge: Interface, port: Interface | None, wishes: Wishes) -> None:
        differing = wishes.differing(bridge)
        steps = _reconcile_bridge(bridge, differing)
        if port is not None and port.name in bridge.members:
            steps += [] if port.up else [Step(ifconfig(port.name, "up"))]
        elif port is not None:
            now = bridge if differing.mtu is None else _given_mtu(bridge, differing.mtu)
            steps += self._bringing(listing, port, now)
        self.tools.carry_out(steps)

    def _ensure_new(self, listing: Listing, name: str, port: Interface | None, wishes: Wishes) -> None:
        # Planned before anything is made: what cannot be moved is refused.
        steps = self._bringing(listing, port, _to_be(name, wishes)) if port is not None else []
        self._make_bridge(name, wishes, (port and port.mac_address) or random_mac())
        try:
            self.tools.carry_out(steps)
        except BaseException as error:
            destroyed = self.destroy(name)
            if destroyed.status and isinstance(error, Refusal):
                error.left_over = (*error.left_over, f"bridge {name}")
            raise

    def _bringing(self, listing: Listing, port: Interface, bridge: Interface) -> list[Step]:
        """Plan that an interface joins a bridge with what it has, up."""
        # Nothing leaves by a device that has no address (finalize_nhop, sys/netlink/route/rt.c).
        routes = self.routes_of(port) if port.addresses else []
        up = [] if port.up else [Step(ifconfig(port.name, "up"), ifconfig(port.name, "down"))]
        return [*plan.move(port, bridge, routes), *up, *_join(listing, port, bridge)]

    def _check_joinable(self, listing: Listing, port: Interface, bridge: str, move: bool) -> None:
        """See, before anything is moved, that a device may become a port."""
        if port.kind in (Kind.BRIDGE, Kind.LOOPBACK):
            raise InvalidArgument(f"{port.name} is a {port.kind}: it cannot be a port of a bridge", device=port.name)
        master = listing.master_of(port.name)
        if master == bridge:
            return
        if master is not None and not move:
            raise AlreadyEnslaved(
                f"{port.name} is a port of {master}, not of {bridge}; move=True takes it from there",
                master=master,
                device=port.name,
                errno=errno.EBUSY,
            )
        over = listing.get(bridge)
        if over is not None and _has_link_local(over):
            self._check_link_local(listing, port, over)

    def _check_link_local(self, listing: Listing, port: Interface, bridge: Interface) -> None:
        """See that no IPv6 addresses are lost: a bridge with a link-local one suffers none on its ports."""
        members = [listing.get(name) for name in bridge.members]
        losers = [one.name for one in (port, *members) if one is not None and _has_link_local(one)]
        if not losers:
            return
        with translated(bridge.name):
            allowed = self.tools.do(("sysctl", "-n", _OVERLAP)).strip()
        if allowed == "0":
            raise Unsupported(
                f"{bridge.name} has a link-local IPv6 address, and so have {', '.join(losers)}, which would lose all "
                f"their IPv6 addresses when {port.name} joins (if_bridge(4), sysctl {_OVERLAP})",
                capability="link-local-on-bridge-and-port",
                device=port.name,
            )

    def _make_bridge(self, bridge: str, wishes: Wishes, mac: str) -> None:
        # "ether" comes first: ifconfig looks for an address family right behind "create", and nowhere else.
        head = ("ifconfig", "bridge", "create", "ether", wishes.mac or mac)
        self.clone((*head, "name", bridge, "group", GROUP, *wishes.words(), "up"))

    def _name_taken(self, name: str, refusal: Refusal) -> RefnetError:
        found = self.find(name)
        if found is not None and found.kind is not Kind.BRIDGE:
            return WrongKind(f"there is a device {name} already, of kind {found.kind}", device=name, errno=errno.EEXIST)
        return AlreadyExists(f"there is a bridge {name} already", device=name, errno=errno.EEXIST, detail=refusal.words)


def _join(listing: Listing, port: Interface, bridge: Interface) -> list[Step]:
    """Plan that a device leaves the bridge that has it, takes over the MTU of another, and becomes its port.

    A bridge without ports takes over its first port's MTU (bridge_ioctl_add), unless it was given one. Otherwise the
    port takes over the bridge's: FreeBSD 14 does that itself, 13 refuses a port that differs.
    """
    steps = []
    master = listing.master_of(port.name)
    if master is not None:
        steps.append(Step(ifconfig(master, "deletem", port.name), ifconfig(master, "addm", port.name)))
    if port.mtu != bridge.mtu and (bridge.members or MTU_GROUP in bridge.groups):
        steps.append(Step(ifconfig(port.name, "mtu", bridge.mtu), ifconfig(port.name, "mtu", port.mtu)))
    steps.append(Step(ifconfig(bridge.name, "addm", port.name), ifconfig(bridge.name, "deletem", port.name)))
    return steps


def _reconcile_bridge(bridge: Interface, differing: Wishes) -> list[Step]:
    if differing == Wishes() and bridge.up:
        return []
    before = Wishes(
        bridge.mac_address if differing.mac is not None else None,
        None,
        bridge.forward_delay if differing.forward_delay is not None else None,
        bridge.ageing_time if differing.ageing_time is not None else None,
    )
    unpin = () if MTU_GROUP in bridge.groups else ("-group", MTU_GROUP)
    mtu_before = ("mtu", str(bridge.mtu), *unpin) if differing.mtu is not None else ()
    down = () if bridge.up else ("down",)
    # ifconfig carries its words out one by one, and what precedes the one that is refused is done.
    return [
        Step((), ifconfig(bridge.name, *_ether(before.mac), *before.words(), *mtu_before, *down)),
        Step(ifconfig(bridge.name, *_ether(differing.mac), *differing.words(), "up")),
    ]


def _ether(mac: str | None) -> tuple[str, ...]:
    return ("ether", mac) if mac is not None else ()


def _to_be(name: str, wishes: Wishes) -> Interface:
    """Return a bridge that is going to be made, as the plan for its first port has to see it."""
    pinned = (MTU_GROUP,) if wishes.mtu is not None else ()
    return Interface(name, frozenset({"UP"}), wishes.mtu or 1500, groups=("bridge", GROUP, *pinned))


def _given_mtu(bridge: Interface, mtu: int) -> Interface:
    """Return a bridge as it is when it has been given an MTU."""
    return Interface(
        bridge.name,
        bridge.flags,
        mtu,
        groups=(*bridge.groups, MTU_GROUP),
        addresses=bridge.addresses,
        members=bridge.members,
        nd6=bridge.nd6,
    )


def _has_link_local(device: Interface) -> bool:
    return any(address.link_local for address in device.addresses)


def _restless(bridge: str) -> KernelRefused:
    return KernelRefused(
        f"bridge {bridge} came and went {ATTEMPTS} times during the call", device=bridge, errno=errno.EAGAIN
    )


def _wishes(
    bridge: str,
    mac_address: str | None,
    mtu: int | None,
    stp: bool | None,
    forward_delay: float | None,
    ageing_time: float | None,
    multicast_snooping: bool | None,
) -> Wishes:
    """Validate what is asked of a bridge, first as any system would, then as FreeBSD has it."""
    mac = names.mac_address(mac_address) if mac_address is not None else None
    wanted_mtu = names.mtu(mtu) if mtu is not None else None
    delay = names.seconds(forward_delay, "forward_delay") if forward_delay is not None else None
    ageing = names.seconds(ageing_time, "ageing_time") if ageing_time is not None else None
    for value, what, capability in (
        (stp, "stp", Capability.BRIDGE_STP),
        (multicast_snooping, "multicast_snooping", Capability.BRIDGE_MULTICAST_SNOOPING),
    ):
        if value is not None:
            names.flag(value, what)
            raise unsupported(capability, bridge)
    if ageing == 0:
        raise Unsupported(
            "an ageing time of 0 would be never to FreeBSD, and at once elsewhere: give a time in seconds",
            capability=f"{Capability.BRIDGE_AGEING_TIME}-zero",
            device=bridge,
        )
    return Wishes(mac, wanted_mtu, _whole(delay, "forward_delay"), _whole(ageing, "ageing_time"))


def _whole(value: float | None, what: str) -> int | None:
    if value is None:
        return None
    if value != int(value):
        raise InvalidArgument(f"{what} {value!r} is not a whole number of seconds, as FreeBSD counts them")
    return int(value)
