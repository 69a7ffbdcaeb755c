"""What the driver's methods are made of: look at what is there, plan, have the plan carried out.

Every function here expects its caller to hold the lock.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from refnet import names
from refnet.errors import AlreadyExists, InvalidArgument, KernelRefused, Mismatch, NoSuchDevice
from refnet.netdev.driver import Capability, Kind, Vlan
from refnet_iproute2 import addresses, link, move, probe, routes, show
from refnet_iproute2.calls import converge
from refnet_iproute2.command import change
from refnet_iproute2.link import BridgeOptions
from refnet_iproute2.routes import Route
from refnet_iproute2.steps import Step, apply

_8021Q = "802.1Q"


def bridge(name: str, interface: str | None, options: BridgeOptions, *, move_it: bool = False) -> None:
    """Make sure of a bridge, with an interface and what that carries; see ``ensure_bridge`` for the errors."""
    converge(lambda: _bridge(name, interface, options, move_it), name)


def new_bridge(name: str, options: BridgeOptions) -> None:
    """Make a bridge; see ``create_bridge`` for the errors."""
    # Looked for first, though the kernel would refuse to make it twice: taking a step back must never meet
    # a bridge that was there before it.
    if (there := show.find(name)) is not None:
        show.require(there.device, Kind.BRIDGE)
        raise AlreadyExists(f"there is a bridge {name!r}", device=name, errno=errno.EEXIST)
    try:
        apply(link.new_bridge(name, options), capability=Capability.BRIDGE.value)
    except AlreadyExists:
        if (there := show.find(name)) is not None:
            show.require(there.device, Kind.BRIDGE)
        raise


def vlan(tag: int, parent: str, dev: str, mac: str | None, mtu: int | None) -> list[Step]:
    """Make sure of a VLAN device and return the steps that were taken; see ``ensure_vlan`` for the errors."""
    return converge(lambda: _vlan(tag, parent, dev, mac, mtu), dev)


def tap(dev: str, mac: str | None, mtu: int | None, *, multi_queue: bool) -> None:
    """Make sure of a tap, up; see ``create_tap_dev`` for the errors."""
    converge(lambda: _tap(dev, mac, mtu, multi_queue), dev)


def cable(dev: str, peer: str, mtu: int | None) -> None:
    """Make sure of a virtual cable, up at both ends; see ``create_veth_pair`` for the errors."""
    converge(lambda: _cable(dev, peer, mtu), dev, peer)


def address(dev: str, wanted: names.InterfaceAddress) -> None:
    """Make sure of an address on a device.

    Raises:
        Mismatch: an IPv6 address is there with another prefix length; the kernel has each of them once.
    """
    for there in show.get(dev).device.addresses:
        if there.interface == wanted:
            return
        if wanted.version == 6 and there.interface.ip == wanted.ip:
            raise Mismatch(f"{dev!r} has {wanted.ip} with another prefix length: {there}", device=dev)
    try:
        apply([addresses.plain(wanted).step(dev)], capability=Capability.IPV6.value)
    except AlreadyExists:
        if all(there.interface != wanted for there in show.get(dev).device.addresses):
            raise


def first_address(dev: str, wanted: names.InterfaceAddress) -> None:
    """Make sure that an address is a device's first of its family."""
    if wanted.version == 6:  # which has no such order
        address(dev, wanted)
        return
    seen = show.get(dev)
    first = next((there.interface for there in seen.device.addresses if there.interface.version == 4), None)
    if first != wanted:
        apply(move.to_front(seen, addresses.plain(wanted), lambda: routes_through(dev)))


def no_address(dev: str, unwanted: names.InterfaceAddress) -> None:
    """Make sure that an address is not on a device."""
    seen = show.get(dev)
    for there in addresses.carried(seen.addresses, dev):
        if there.interface == unwanted:
            apply(move.away(seen, there, lambda: routes_through(dev)))
            return


def mac_address(dev: str, mac: str) -> None:
    """Set a device's MAC address, though it may be up."""
    seen = show.get(dev)
    device = seen.device
    # A bridge's own address may follow its ports until somebody sets it, be it to the same.
    plan = link.change(device, mac_address=mac, up=device.up, force=device.kind is Kind.BRIDGE)
    try:
        apply(plan, capability="mac-address")
    except KernelRefused as error:
        # Some cards take another address only while they are down.
        if error.errno != errno.EBUSY or not device.up:
            raise
        apply(move.down_and_up(seen, mac, routes_through(dev)), capability="mac-address")


def deleted(dev: str) -> None:
    """Delete a device that was there a moment ago.

    Raises:
        Unsupported: the kernel cannot delete such a device.
    """
    with gone_is_well(dev):
        change("link", "delete", "dev", dev, capability="delete-net-dev")


@contextmanager
def gone_is_well(dev: str) -> Iterator[None]:
    """Take it for done if the device has gone meanwhile: with its other end, or by another program."""
    try:
        yield
    except NoSuchDevice:
        if show.find(dev) is not None:
            raise


def routes_through(dev: str) -> list[Route]:
    """Return the routes through a device, of both families."""
    families = (4, 6) if probe.kernel_has_ipv6() else (4,)
    return [route for family in families for route in routes.read(dev, family)]


def _bridge(name: str, interface: str | None, options: BridgeOptions, move_it: bool) -> None:
    there = show.find(name)
    if there is not None:
        show.require(there.device, Kind.BRIDGE)
    joining = show.get(interface) if interface is not None else None
    if joining is not None and not link.joins(joining.device, name, move=move_it):
        joining = None
    if there is not None:
        plan = link.change_bridge(there, options, gets_port=joining is not None)
    else:
        plan = link.new_bridge(name, options, interface=joining.device if joining else None)
    if joining is not None:
        through_bridge = routes_through(name) if there is not None else []
        through_interface = routes_through(joining.device.name)
        plan = [*plan, *move.to_bridge(joining, name, there, through_interface, through_bridge)]
    apply(plan, capability=Capability.BRIDGE.value)


def _vlan(tag: int, parent: str, dev: str, mac: str | None, mtu: int | None) -> list[Step]:
    below = show.get(parent).device
    if mtu is not None and mtu > below.mtu:
        raise InvalidArgument(f"MTU {mtu} does not fit into that of {parent!r}, which is {below.mtu}", device=dev)
    there = show.find(dev)
    if there is not None:
        show.require(there.device, Kind.VLAN)
        protocol = there.options.get("protocol", _8021Q)
        if there.device.vlan != Vlan(tag, below.name) or protocol != _8021Q:
            raise Mismatch(f"{dev!r} is not VLAN {tag} of {parent!r} but: {there.device.vlan}, {protocol}", device=dev)
        plan = link.change(there.device, mac_address=mac, mtu=mtu)
    else:
        plan = link.new_vlan(tag, parent, dev, mac, mtu)
    try:
        apply(plan, capability=Capability.VLAN.value)
    except AlreadyExists as error:
        # The kernel says the same of a name and of a tag that is taken.
        for other in show.vlans():
            if other.name != dev and other.vlan == Vlan(tag, below.name):
                error.message = f"{parent!r} has VLAN {tag} as {other.name!r} already"
        raise
    return plan


def _tap(dev: str, mac: str | None, mtu: int | None, multi_queue: bool) -> None:
    there = show.find(dev)
    if there is not None:
        device = there.device
        show.require(device, Kind.TAP)
        if device.multi_queue is not multi_queue:
            raise Mismatch(f"the tap {dev!r} has multi_queue={device.multi_queue}, not {multi_queue}", device=dev)
        if not there.options.get("persist", True):
            raise Mismatch(f"the tap {dev!r} ends with the program that holds it: ip cannot change that", device=dev)
        plan = link.change(device, mac_address=mac, mtu=mtu)
    else:
        plan = link.new_tap(dev, mac, mtu, multi_queue=multi_queue)
    apply(plan, capability=Capability.TAP.value)


def _cable(dev: str, peer: str, mtu: int | None) -> None:
    ends = {name: seen.device for name in (dev, peer) if (seen := show.find(name)) is not None}
    for end in ends.values():
        show.require(end, Kind.VETH)
    for name, other in ((dev, peer), (peer, dev)):
        if name in ends and ends[name].peer != other:
            found = ends[name].peer or "in another network namespace"
            raise Mismatch(f"the other end of {name!r} is not {other!r} but: {found}", device=name)
    if ends:
        plan = [step for end in ends.values() for step in link.change(end, mtu=mtu)]
    else:
        plan = link.new_cable(dev, peer, mtu)
    apply(plan, capability=Capability.VETH.value)
