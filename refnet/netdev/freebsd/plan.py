"""Plans: the commands that bring addresses and routes to where they are wanted, and back. Nothing is run here."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from refnet import names
from refnet.errors import Unsupported
from refnet.netdev.freebsd.listing import Inet, Interface
from refnet.netdev.freebsd.routes import Route
from refnet.netdev.freebsd.tools import Command, Step, ifconfig

#: ifconfig(8) says so of an address that is not on the device.
IS_GONE = "Can't assign requested address"
#: Of what ifconfig(8) shows of an IPv6 address, the words that it takes as well.
_IPV6_WORDS = ("anycast", "autoconf", "deprecated", "prefer_source")


def add(device: str, address: Inet, *, dad: bool = True) -> Command:
    """Return the command that puts an address behind the others of its family; one that is there goes behind them.

    ``dad`` False switches duplicate address detection off on the device first (it is the device's, not the address's).
    """
    if address.version == 4:
        network = address.interface.network
        usual = address.broadcast in (None, str(network.broadcast_address)) or network.prefixlen >= 31
        broadcast = () if usual else ("broadcast", str(address.broadcast))
        return ifconfig(device, "inet", str(address.interface), *broadcast, "alias")
    words = [word for word in _IPV6_WORDS if word in address.flags]
    for key, value in (("pltime", address.preferred_lifetime), ("vltime", address.valid_lifetime)):
        words += [key, str(value)] if value is not None else []
    return ifconfig(device, "inet6", *(() if dad else ("no_dad",)), str(address.interface), *words, "alias")


def remove(device: str, address: Inet) -> Command:
    """Return the command that takes an address from a device."""
    family = "inet" if address.version == 4 else "inet6"
    return ifconfig(device, family, str(address.interface), "-alias")


def adding(device: Interface, addresses: Iterable[Inet]) -> list[Step]:
    """Plan that addresses come to a device, behind those that it has.

    IPv6 addresses are usable at once: duplicate address detection is off while they are added.
    """
    wanted = list(addresses)
    steps: list[Step] = []
    six = any(one.version == 6 for one in wanted)
    if six and "IFDISABLED" in device.nd6:
        # The first IPv6 address switches IPv6 on (in6_control, sys/netinet6/in6.c).
        steps.append(Step((), ifconfig(device.name, "inet6", "ifdisabled")))
    if six:
        steps += _dad_on_the_way_back(device)
    steps += [Step(add(device.name, one, dad=_no_dad(device)), remove(device.name, one)) for one in wanted]
    if six and not _no_dad(device):
        steps.append(Step(ifconfig(device.name, "inet6", "-no_dad")))
    return steps


def move(source: Interface, target: Interface, routes: Sequence[Route]) -> list[Step]:
    """Plan the way of a device's addresses and routes to a bridge.

    The kernel drops the routes that leave from an address together with it (in_ifadown, sys/netinet/in.c), and
    FreeBSD 15 refuses a port that has addresses: first the routes go, then the addresses, then both come to the bridge.

    Raises:
        Unsupported: an address or a route cannot be had on a bridge.
    """
    moved = [address for address in source.addresses if not address.link_local]
    check_free(source.name, moved)
    if any(route.by_link_local for route in routes) and not any(
        address.version == 6 for address in (*moved, *target.addresses)
    ):
        raise Unsupported(
            f"{source.name} has a route by a link-local gateway and no global IPv6 address to bring along: "
            f"{target.name} would have no address to ask for that gateway with",
            capability="ipv6-link-local-routes",
            device=source.name,
        )
    there = {address.interface for address in target.addresses}
    # Backwards, so that on the way back they come in their order.
    leave = _dad_on_the_way_back(source) if any(one.version == 6 for one in moved) else []
    leave += [
        Step(remove(source.name, one), add(source.name, one, dad=_no_dad(source)), IS_GONE) for one in reversed(moved)
    ]
    arrive = adding(target, [one for one in moved if one.interface not in there])
    return [
        *(route.deleting() for route in reversed(routes)),
        *leave,
        *arrive,
        *(route.through(target.name).adding() for route in routes),
    ]


def in_front(device: Interface, wanted: names.InterfaceAddress, routes: Sequence[Route]) -> list[Step]:
    """Plan that an IPv4 address becomes the first of its device, the others behind it in their order.

    Adding an address that is there puts it behind all others in one request (in_aifaddr_ioctl, sys/netinet/in.c), so
    that none is ever missing; the routes that left from it go, and are made again at the end.

    Raises:
        Unsupported: an address is bound to its place.
    """
    present = device.of_version(4)
    if present and present[0].interface == wanted:
        return []
    others = [one for one in present if one.interface != wanted]
    check_free(device.name, present)
    steps = _as_before(device, present, routes)
    if len(others) == len(present):
        new = Inet(wanted)
        steps.append(Step(add(device.name, new), remove(device.name, new)))
    steps += [Step(add(device.name, one)) for one in others]
    return steps + _put_back(routes)


def without(device: Interface, gone: Inet, routes: Sequence[Route]) -> list[Step]:
    """Plan that an address leaves a device, and that the routes that the kernel drops with it are made again."""
    if gone.version == 6:
        return [Step(remove(device.name, gone), (), IS_GONE)]
    rest = [one.interface.network for one in device.of_version(4) if one is not gone]
    # A route on the link needs any address to leave from, and one by a gateway a way to that.
    near = [route for route in routes if route.gateway is None and rest]
    ways = [*rest, *(ipaddress.ip_network(route.destination) for route in near if route.destination != "default")]
    kept = near + [route for route in routes if route.gateway is not None and _leads(ways, route.gateway)]
    return [
        *_as_before(device, device.of_version(4), routes),
        Step(remove(device.name, gone), (), IS_GONE),
        *_put_back(kept),
    ]


def check_free(device: str, addresses: Iterable[Inet]) -> None:
    """See that addresses can be taken away and put back.

    Raises:
        Unsupported: one belongs to carp(4) or to a point-to-point link.
    """
    for address in addresses:
        if address.bound:
            raise Unsupported(
                f"{device} has {address.interface}, of carp(4) or of a point-to-point link: it cannot be moved",
                capability="bound-address",
                device=device,
            )


def _no_dad(device: Interface) -> bool:
    """Whether duplicate address detection is off on a device anyway."""
    return "NO_DAD" in device.nd6


def _dad_on_the_way_back(device: Interface) -> list[Step]:
    return [] if _no_dad(device) else [Step((), ifconfig(device.name, "inet6", "-no_dad"))]


def _as_before(device: Interface, present: Sequence[Inet], routes: Sequence[Route]) -> list[Step]:
    """Return what brings a device's IPv4 addresses and routes back to how they were, whatever became of them."""
    # On the way back the last step is the first to be taken.
    return [
        *(Step((), route.add()) for route in reversed(routes)),
        *(Step((), add(device.name, one)) for one in reversed(present)),
    ]


def _put_back(routes: Iterable[Route]) -> list[Step]:
    return [Step(route.add(), (), "already in table") for route in routes]


def _leads(ways: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network], gateway: str) -> bool:
    """Whether a gateway is in one of these subnets."""
    return any(ipaddress.ip_address(gateway) in way for way in ways)
