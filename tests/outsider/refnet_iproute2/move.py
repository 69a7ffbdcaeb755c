"""Plans that move addresses and routes: to a bridge, or to another place among a device's addresses.

Every address and route is on one device or the other at any time, and the interface joins the bridge last. That is
what a call redone can go by: an interface that is a port has been moved, one that is not is looked at again, and what
is on the bridge already is not added a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from refnet_iproute2 import addresses, link, routes
from refnet_iproute2.addresses import Carried
from refnet_iproute2.routes import Route
from refnet_iproute2.show import Seen
from refnet_iproute2.steps import Step


def to_bridge(
    interface: Seen,
    bridge: str,
    there: Seen | None,
    through_interface: Sequence[Route],
    through_bridge: Sequence[Route],
) -> list[Step]:
    """Plan an interface's way into a bridge, up, with its addresses and the routes through it.

    ``there`` is the bridge as it is (None: the steps before these make it).

    Raises:
        Unsupported: the bridge cannot have one of them.
    """
    dev = interface.device.name
    all_of_it = addresses.carried(interface.addresses, dev)
    moving = addresses.in_adding_order([a for a in all_of_it if a.family == 4 or a.scope != "link"])
    has = {a.interface for a in addresses.carried(there.addresses, bridge)} if there else set()
    rerouted = routes.in_adding_order(users(through_interface, all_of_it))
    rerouted_there = {route.identity() for route in through_bridge}

    steps = [address.step(bridge) for address in moving if address.interface not in has]
    for route in rerouted:
        new = route.through(dev, bridge)
        if new.identity() not in rerouted_there:
            rerouted_there.add(new.identity())
            steps.append(new.step())
    steps += [route.removal() for route in reversed(rerouted)]
    steps += _prefix_routes(dev, moving, through_interface)
    # The latest first: an IPv4 address takes the later ones of its subnet with it.
    steps += [address.removal(dev) for address in reversed(moving)]
    return [*steps, link.enslave(interface.device, bridge, up=True)]


def to_front(seen: Seen, gateway: Carried, through: Callable[[], Sequence[Route]]) -> list[Step]:
    """Plan an IPv4 address to be a device's first; nothing if it is. ``through`` reads the routes, if they matter.

    The kernel has no other way to that than to take the others away and to put them behind it. Addresses of another
    scope stay: it sorts by scope first, and never takes a link's address for a packet that leaves it.
    """
    dev = seen.device.name
    all_of_it = addresses.carried(seen.addresses, dev)
    now = [a for a in all_of_it if a.family == 4]
    given = next((a for a in now if a.interface == gateway.interface), gateway)
    rivals = [a for a in now if a.scope == given.scope]
    if rivals[:1] == [given]:
        return []
    wanted = [given, *(a for a in rivals if a != given)]
    return _again(dev, rivals, wanted, users(through(), all_of_it) if rivals else [])


def away(seen: Seen, address: Carried, through: Callable[[], Sequence[Route]]) -> list[Step]:
    """Plan an address's end on a device, and that the others of its subnet outlive it.

    ``through`` reads the routes, if they matter.
    """
    dev = seen.device.name
    all_of_it = addresses.carried(seen.addresses, dev)
    subnet = [a for a in all_of_it if a.family == 4 and a.network == address.network]
    followers = subnet[1:]
    # Only the subnet's first takes others with it (where promote_secondaries is off; where it is on, this is harmless).
    if subnet[:1] != [address] or not followers:
        return [address.removal(dev)]
    gone = str(address.interface.ip)
    staying = [route for route in users(through(), all_of_it) if route.option("src") != gone]
    return _again(dev, [address, *followers], followers, staying)


def down_and_up(seen: Seen, mac_address: str, through: Sequence[Route]) -> list[Step]:
    """Plan a MAC address for a device that takes it only while it is down, with what it would lose by that."""
    device = seen.device
    all_of_it = addresses.carried(seen.addresses, device.name)
    lost = addresses.in_adding_order([a for a in all_of_it if a.family == 6 and a.scope != "link"])
    rerouted = routes.in_adding_order(users(through, all_of_it))
    to = ("link", "set", "dev", device.name)
    return [
        *(route.removal() for route in reversed(rerouted)),
        *(address.removal(device.name) for address in reversed(lost)),
        Step((*to, "down"), (*to, "up")),
        Step((*to, "address", mac_address), (*to, "address", device.mac_address or mac_address)),
        Step((*to, "up"), (*to, "down")),
        *(address.step(device.name) for address in lost),
        *(route.step() for route in rerouted),
    ]


def users(through: Sequence[Route], owners: Sequence[Carried]) -> list[Route]:
    """Leave out the routes that the kernel makes and removes itself, with an address.

    "proto kernel" alone does not say that: network managers use it for routes that they make in its place.
    """
    own = {address.prefix_route for address in owners}
    return [route for route in through if not _is_kernels(route, own)]


def _prefix_routes(dev: str, owners: Sequence[Carried], through: Sequence[Route]) -> list[Step]:
    """Plan the end of the prefix routes of IPv6 addresses that are about to go.

    The kernel leaves such a route until it expires if the address had a lifetime, and packets would go on taking it.
    """
    own = {address.prefix_route: address for address in owners if address.family == 6}
    return [
        Step(route.removal().do, own[place].again(dev))
        for route in through
        if route.is_kernels() and (place := _place(route)) in own
    ]


def _place(route: Route) -> tuple[object, int]:
    return routes.network(route), int(route.option("metric") or 0)


def _is_kernels(route: Route, own: set[tuple[object, int] | None]) -> bool:
    if not route.is_kernels():
        return False
    destination = routes.network(route)
    # Each device has its own of these, made with its link-local address.
    if route.family == 6 and (destination.is_link_local or destination.is_multicast):
        return True
    return _place(route) in own


def _again(dev: str, now: Sequence[Carried], wanted: Sequence[Carried], through: Sequence[Route]) -> list[Step]:
    """Plan some addresses' removal, and which to give in what order; routes that need them are put back after that."""
    through = routes.in_adding_order(through)
    return [
        *(route.removal() for route in reversed(through)),
        *(address.removal(dev) for address in reversed(now)),
        *(address.step(dev) for address in wanted),
        *(route.step() for route in through),
    ]
