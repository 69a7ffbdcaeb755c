"""Bridges, their ports, and an interface's way into one with its addresses and routes."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from collections.abc import Iterator

from refnet import locks, names
from refnet.errors import (
    AlreadyEnslaved,
    AlreadyExists,
    InvalidArgument,
    KernelRefused,
    NoSuchDevice,
    RefnetError,
    WrongKind,
    operation,
)
from refnet.netdev.driver import Capability, Kind
from refnet.netdev.linux import link as links
from refnet.netdev.linux import records
from refnet.netdev.linux.base import ATTEMPTS, LinuxBase, lock_name, random_mac
from refnet.netdev.linux.change import Change, Step
from refnet.netdev.linux.errors import check_kind, translate
from refnet.netdev.linux.link import Link, Properties
from refnet.netdev.linux.netlink import KernelError

#: linux/if_link.h: the attributes of a bridge that callers can ask for.
_BRIDGE_NUMBER = {
    "IFLA_BR_FORWARD_DELAY": 1,
    "IFLA_BR_AGEING_TIME": 4,
    "IFLA_BR_STP_STATE": 5,
    "IFLA_BR_MCAST_SNOOPING": 23,
}
#: Bridges count time in clock ticks of user space.
_USER_HZ = os.sysconf("SC_CLK_TCK")


class Bridges(LinuxBase):
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
        """Create the bridge in one request; an MTU takes a second one."""
        names.device_name(bridge, "bridge")
        mac = names.mac_address(mac_address) if mac_address is not None else random_mac()
        wanted_mtu = names.mtu(mtu) if mtu is not None else None
        data = _bridge_data(stp, forward_delay, ageing_time, multicast_snooping)
        change = Change(self.channel)
        try:
            with change:
                self._make_bridge(change, bridge, mac, wanted_mtu, data)
        except KernelError as error:
            if error.errno == errno.EEXIST:
                raise self._name_taken(bridge, Kind.BRIDGE, error) from None
            raise translate(error, bridge, Capability.BRIDGE, change.left_over) from None

    @operation
    def delete_bridge(self, bridge: str) -> None:
        """Look at the kind, then delete; the kernel lets the ports go."""
        link = self.find(names.device_name(bridge, "bridge"))
        if link is None:
            return
        check_kind(link, Kind.BRIDGE)
        try:
            self.channel.ask(links.delete(index=link.index))
        except KernelError as error:
            if error.errno != errno.ENODEV:
                raise translate(error, bridge) from None

    @operation
    def add_bridge_port(self, bridge: str, port: str, *, move: bool = False) -> None:
        """Look at both in one exchange; netlink itself would take the port from another bridge without a word."""
        names.device_name(bridge, "bridge")
        names.device_name(port, "port")
        names.flag(move, "move")
        for _ in range(ATTEMPTS):
            bridge_link, port_link = self.find_both(bridge, port)
            if bridge_link is None:
                raise NoSuchDevice(f"there is no bridge {bridge}", device=bridge, errno=errno.ENODEV)
            check_kind(bridge_link, Kind.BRIDGE)
            if port_link is None:
                raise NoSuchDevice(f"there is no device {port}", device=port, errno=errno.ENODEV)
            if port_link.master == bridge_link.index:
                return
            self._check_joinable(port_link, bridge, bridge_link, move)
            change = Change(self.channel)
            try:
                with change:
                    self._enslave(change, port_link, bridge_link)
                return
            except KernelError as error:
                if not self._is_another(bridge, bridge_link):
                    raise translate(error, port, Capability.BRIDGE, change.left_over) from None
        raise _restless(bridge)

    @operation
    def remove_bridge_port(self, bridge: str, port: str) -> None:
        """Look at both in one exchange, and let the port go if it is this bridge's."""
        names.device_name(port, "port")
        bridge_link, port_link = self.find_both(names.device_name(bridge, "bridge"), port)
        if bridge_link is None:
            return
        check_kind(bridge_link, Kind.BRIDGE)
        if port_link is None or port_link.master != bridge_link.index:
            return
        try:
            self.channel.ask(links.change([("IFLA_MASTER", 0)], index=port_link.index))
        except KernelError as error:
            if error.errno != errno.ENODEV:
                raise translate(error, port) from None

    @operation
    def bridge_ports(self, bridge: str) -> tuple[str, ...]:
        """Ask for the links that have this master."""
        link = self.need(names.device_name(bridge, "bridge"))
        check_kind(link, Kind.BRIDGE)
        try:
            return tuple(sorted(links.parse(body).name for body in self.channel.entries(links.list_ports(link.index))))
        except KernelError as error:
            raise translate(error, bridge) from None

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
        """Look at bridge and interface in one exchange, then change what differs.

        The interface joins last, when its addresses and routes are on the bridge. So "is a port" says that all is
        done, and a process that was killed on the way is finished by the next call.
        """
        names.device_name(bridge, "bridge")
        if interface is not None:
            names.device_name(interface, "interface")
        names.flag(move, "move")
        mac = names.mac_address(mac_address) if mac_address is not None else None
        wanted_mtu = names.mtu(mtu) if mtu is not None else None
        data = _bridge_data(stp, forward_delay, ageing_time, multicast_snooping)

        for _ in range(ATTEMPTS):
            bridge_link, port_link = self._look(bridge, interface, move)
            change = Change(self.channel)
            joins = port_link is not None and (bridge_link is None or port_link.master != bridge_link.index)
            try:
                with self._alone(port_link if joins else None) as waited, change:
                    if waited:
                        # Others may have had their turn meanwhile.
                        bridge_link, port_link = self._look(bridge, interface, move)
                    if bridge_link is None:
                        birth_mac = mac or (port_link and port_link.mac_address) or random_mac()
                        self._make_bridge(change, bridge, birth_mac, wanted_mtu, data)
                        bridge_link = self.find(bridge)
                        if bridge_link is None:  # somebody else has deleted it again
                            continue
                    else:
                        self._reconcile_bridge(change, bridge_link, mac, wanted_mtu, data)
                    if port_link is not None:
                        self._join(change, port_link, bridge_link)
                return
            except KernelError as error:
                if not self._is_another(bridge, bridge_link):
                    about = bridge if interface is None else interface
                    raise translate(error, about, Capability.BRIDGE, change.left_over) from None
        raise _restless(bridge)

    def _look(self, bridge: str, interface: str | None, move: bool) -> tuple[Link | None, Link | None]:
        """Look at a bridge to be and an interface that is to join it, and see that it may."""
        bridge_link, port_link = self.find_both(bridge, interface)
        if bridge_link is not None:
            check_kind(bridge_link, Kind.BRIDGE)
        if interface is not None:
            if port_link is None:
                raise NoSuchDevice(f"there is no interface {interface}", device=interface, errno=errno.ENODEV)
            self._check_joinable(port_link, bridge, bridge_link, move)
        return bridge_link, port_link

    def _is_another(self, bridge: str, seen: Link | None) -> bool:
        """Whether somebody else has made or deleted the bridge since it was seen, so that a refusal may be for that."""
        now = self.find(bridge)
        return (now and now.index) != (seen and seen.index)

    def _check_free(self, port: Link, bridge: str, move: bool) -> None:
        if port.master and not move:
            master = self.name_of(port.master) or f"device {port.master}"
            raise AlreadyEnslaved(
                f"{port.name} is a port of {master}, not of {bridge}; move=True takes it from there",
                master=master,
                device=port.name,
                errno=errno.EBUSY,
            )

    def _check_joinable(self, port: Link, bridge: str, bridge_link: Link | None, move: bool) -> None:
        """See, before anything is moved, that the interface may become a port."""
        if bridge_link is not None and port.master == bridge_link.index:
            return
        if port.kind in (Kind.BRIDGE, Kind.LOOPBACK):
            raise InvalidArgument(f"{port.name} is a {port.kind}: it cannot be a port of a bridge", device=port.name)
        self._check_free(port, bridge, move)

    def _name_taken(self, name: str, kind: Kind, error: KernelError) -> RefnetError:
        link = self.find(name)
        if link is not None and link.kind is not kind:
            return WrongKind(f"there is a device {name} already, of kind {link.kind}", device=name, errno=error.errno)
        return AlreadyExists(f"there is a {kind} {name} already", device=name, errno=error.errno, detail=error.words)

    def _make_bridge(self, change: Change, bridge: str, mac: str, mtu: int | None, data: Properties) -> None:
        create = links.create(bridge, "bridge", data, [("IFLA_ADDRESS", mac)])
        change.do(Step(f"create bridge {bridge}", create, links.delete(name=bridge), creates=True))
        if mtu is not None:
            # An MTU in the creating request would last only until a port with a smaller one joins.
            change.do(Step(f"set the MTU of {bridge}", links.change([("IFLA_MTU", mtu)], name=bridge), None))

    def _reconcile_bridge(self, change: Change, link: Link, mac: str | None, mtu: int | None, data: Properties) -> None:
        present = {"IFLA_ADDRESS": link.mac_address, "IFLA_MTU": link.mtu}
        present |= {
            key: int.from_bytes(link.data[number], sys.byteorder)
            for key, number in _BRIDGE_NUMBER.items()
            if number in link.data  # a kernel without IGMP snooping, say
        }
        wanted = [("IFLA_ADDRESS", mac), ("IFLA_MTU", mtu)]
        properties = [(key, value) for key, value in wanted if value not in (None, present[key])]
        options = [(key, value) for key, value in data if value != present.get(key)]
        if not properties and not options and link.up:
            return
        before = links.change(
            [(key, present[key]) for key, _ in properties],
            index=link.index,
            up=None if link.up else False,
            kind="bridge",
            data=[(key, present[key]) for key, _ in options if key in present],
        )
        # The kernel carries a request out part by part, and what precedes the part that it refuses is done.
        change.do(Step(f"put {link.name} back", None, before))
        request = links.change(properties, index=link.index, up=True, kind="bridge", data=options)
        change.do(Step(f"set {link.name}", request, None))

    @contextlib.contextmanager
    def _alone(self, port: Link | None) -> Iterator[bool]:
        """Hold the lock on addresses and routes, if the port that joins has any to bring over; say whether."""
        if port is not None and self._has_traffic_of_its_own(port):
            with locks.held(lock_name()):
                yield True
        else:
            yield False

    def _join(self, change: Change, port: Link, bridge: Link) -> None:
        """Bring addresses and routes over, then make the interface a port."""
        if port.master == bridge.index:
            if not port.up:
                change.do(Step(f"set {port.name} up", links.change(index=port.index, up=True), None))
            return
        addresses, routes = self.addresses(port), self.routes(port, (socket.AF_INET, socket.AF_INET6))
        for step in records.plan_move(addresses, routes, (port.name, port.index), (bridge.name, bridge.index)):
            change.do(step)
        self._enslave(change, port, bridge, up=True)

    def _has_traffic_of_its_own(self, port: Link) -> bool:
        """Whether there is an address or a route to bring over: a tap, say, has none, and needs no lock."""
        return any(not record.link_local for record in self.addresses(port)) or any(
            route.movable for route in self.routes(port, (socket.AF_INET, socket.AF_INET6))
        )

    def _enslave(self, change: Change, port: Link, bridge: Link, *, up: bool | None = None) -> None:
        # The kernel leaves the old master before it asks the new one, and does not go back.
        back = links.change([("IFLA_MASTER", port.master)], index=port.index, up=False if up and not port.up else None)
        request = links.change([("IFLA_MASTER", bridge.index)], index=port.index, up=up)
        change.do(Step(f"put {port.name} back", None, back))
        change.do(Step(f"make {port.name} a port of {bridge.name}", request, None))


def _restless(bridge: str) -> KernelRefused:
    return KernelRefused(
        f"bridge {bridge} came and went {ATTEMPTS} times during the call", device=bridge, errno=errno.EAGAIN
    )


def _bridge_data(
    stp: bool | None, forward_delay: float | None, ageing_time: float | None, multicast_snooping: bool | None
) -> Properties:
    """Validate a bridge's options and return those that are given as the kernel's attributes."""
    data: Properties = []
    if stp is not None:
        data.append(("IFLA_BR_STP_STATE", int(names.flag(stp, "stp"))))
    if forward_delay is not None:
        data.append(("IFLA_BR_FORWARD_DELAY", round(names.seconds(forward_delay, "forward_delay") * _USER_HZ)))
    if ageing_time is not None:
        data.append(("IFLA_BR_AGEING_TIME", round(names.seconds(ageing_time, "ageing_time") * _USER_HZ)))
    if multicast_snooping is not None:
        data.append(("IFLA_BR_MCAST_SNOOPING", int(names.flag(multicast_snooping, "multicast_snooping"))))
    return data
