"""Wrong about an interface's way into a bridge."""

from __future__ import annotations

from typing import Any

from conformance.mutants import mutant
from conformance.mutants.address import ip, listed
from refnet.errors import NoSuchDevice, Unsupported, WrongKind
from refnet.netdev.driver import NetDevDriver


@mutant(
    "join-without-addresses",
    "makes the interface a port and leaves its addresses where nothing reaches them any more",
    {
        "JO-01": "do not talk",
        "JO-02": "do not talk",
        "JO-03": "do not talk",
        "JO-13": "do not talk",
        "CA-01": "do not talk",
        "CA-03": "do not talk",
    },
)
def join_without_addresses(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            super().ensure_bridge(bridge)
            if interface is not None:
                super().set_device_enabled(interface)
                super().add_bridge_port(bridge, interface)

    return Wrong


@mutant(
    "join-forgets-ipv6",
    "moves IPv4 addresses and routes only",
    {"JO-02": "cannot be used", "JO-06": "cannot be used", "CA-02": "cannot be used", "CA-05": "cannot be used"},
)
def join_forgets_ipv6(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            super().ensure_bridge(bridge, interface, **options)
            for address in listed(self, bridge, 6):
                super().delete_device_address(bridge, address)

    return Wrong


@mutant(
    "join-adds-by-address",
    "adds the addresses to the bridge one by one, as listed: IPv6 in the wrong order, labels and lifetimes lost",
    {
        "JO-03": "the guest saw 2001:db8::7 as the sender",
        "CA-01": "the labels are",
        "CA-02": "the lifetime of",
        "CA-03": "there are routes now",
    },
)
def join_adds_by_address(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            super().ensure_bridge(bridge, interface, **options)
            addresses = [*listed(self, bridge), *listed(self, bridge, 6)]
            for address in reversed(addresses):
                super().delete_device_address(bridge, address)
            for address in addresses:
                super().add_device_address(bridge, address)

    return Wrong


@mutant(
    "join-reverses-addresses",
    "adds the addresses to the bridge last one first",
    {"JO-01": "the first address is no more the first", "JO-14": "the order on br0 is"},
)
def join_reverses_addresses(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            super().ensure_bridge(bridge, interface, **options)
            addresses = listed(self, bridge)
            for address in addresses:
                super().delete_device_address(bridge, address)
            for address in reversed(addresses):
                super().add_device_address(bridge, address)

    return Wrong


@mutant(
    "join-moves-link-local",
    "moves link-local IPv6 addresses too",
    {"JO-04": "the link-local address is no more on p-a"},
)
def join_moves_link_local(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            super().ensure_bridge(bridge, interface, **options)
            if interface is not None:
                for one in super().device(interface).addresses:
                    super().add_device_address(bridge, str(one))
                    super().delete_device_address(interface, str(one))

    return Wrong


@mutant(
    "join-copies-link-local",
    "gives the bridge the interface's link-local IPv6 addresses as well",
    {"JO-04": "the link-local address is on br0"},
)
def join_copies_link_local(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            super().ensure_bridge(bridge, interface, **options)
            if interface is not None:
                for one in super().device(interface).addresses:
                    super().add_device_address(bridge, str(one))

    return Wrong


@mutant(
    "join-loses-routes",
    "lets the routes go with the addresses",
    {"JO-05": "a static route, after", "JO-06": "an IPv6 route by a global gateway, after", "CA-04": "do not talk"},
)
def join_loses_routes(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            super().ensure_bridge(bridge, interface, **options)
            for family in ("-4", "-6"):
                ip(family, "route", "flush", "dev", bridge, "proto", "boot")

    return Wrong


@mutant(
    "join-loses-default-route",
    "moves the routes to networks and forgets the default ones",
    {
        "JO-05": "the default route, after",
        "JO-06": "the IPv6 default route, after",
        "CA-04": "the default route with the lower metric",
        "CA-05": "the IPv6 default route with the lower metric",
    },
)
def join_loses_default_route(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            super().ensure_bridge(bridge, interface, **options)
            for family in ("-4", "-6"):
                for _ in range(2):
                    ip(family, "route", "delete", "default", "dev", bridge)

    return Wrong


@mutant(
    "join-knows-main-table-only",
    "moves the routes of the main table only, and without their metric",
    {"CA-04": "br0 has not got", "CA-05": "br0 has not got", "CA-07": "br0 has not got"},
)
def join_knows_main_table_only(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            super().ensure_bridge(bridge, interface, **options)
            for family in ("-4", "-6"):
                ip(family, "route", "flush", "table", "100", "dev", bridge)
            ip("route", "delete", "203.0.113.0/24", "metric", "20", "dev", bridge)
            ip("route", "append", "203.0.113.0/24", "via", "192.0.2.2", "metric", "30", "dev", bridge)

    return Wrong


@mutant(
    "join-loses-preferred-source",
    "forgets the preferred source address of routes",
    {"CA-04": "a route has lost its preferred source", "CA-05": "an IPv6 route has lost its preferred source"},
)
def join_loses_preferred_source(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            super().ensure_bridge(bridge, interface, **options)
            ip("route", "replace", "203.0.113.0/24", "via", "192.0.2.2", "dev", bridge)
            ip("route", "replace", "2001:db8:1::/64", "via", "fe80::2", "metric", "77", "dev", bridge)

    return Wrong


@mutant(
    "join-flattens-next-hops",
    "moves a route with several next hops as one with its own next hop alone",
    {"CA-06": "the next hops are", "CA-13": "the IPv6 next hops are"},
)
def join_flattens_next_hops(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            super().ensure_bridge(bridge, interface, **options)
            ip("route", "replace", "203.0.113.0/24", "metric", "9", "via", "192.0.2.2", "dev", bridge)
            ip("route", "replace", "2001:db8:1::/64", "metric", "9", "via", "2001:db8::2", "dev", bridge)

    return Wrong


@mutant(
    "join-takes-others-routes",
    "moves all routes to a destination, whichever interface they go through",
    {"JO-07": "a route of another interface", "CA-07": "do not talk"},
)
def join_takes_others_routes(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            super().ensure_bridge(bridge, interface, **options)
            ip("route", "flush", "203.0.113.0/24")
            ip("route", "add", "203.0.113.0/24", "dev", bridge)

    return Wrong


@mutant(
    "join-always-anew",
    "takes a port out of the bridge to put it in again",
    {"JO-08": "the kernel was written to", "JO-17": "the kernel was written to"},
)
def join_always_anew(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            if interface is not None:
                super().remove_bridge_port(bridge, interface)
            super().ensure_bridge(bridge, interface, **options)

    return Wrong


@mutant(
    "join-steals",
    "takes the interface from another bridge without being asked to",
    {"JO-09": "is not refused with AlreadyEnslaved: it goes through"},
)
def join_steals(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            super().ensure_bridge(bridge, interface, **{**options, "move": True})

    return Wrong


@mutant(
    "join-ignores-move",
    "leaves the interface in the bridge that has it, and says nothing",
    {"JO-10": "a frame in the new bridge"},
)
def join_ignores_move(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(
            self, bridge: str, interface: str | None = None, *, move: bool = False, **options: Any
        ) -> None:
            if not move:
                super().ensure_bridge(bridge, interface, **options)

    return Wrong


@mutant(
    "join-with-random-mac",
    "makes the bridge with a MAC address of its own",
    {"JO-11": "the guest sees frames from"},
)
def join_with_random_mac(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            super().ensure_bridge(bridge)
            super().ensure_bridge(bridge, interface, **options)

    return Wrong


@mutant(
    "join-takes-over-mac",
    "gives the bridge the MAC address of whatever joins",
    {"JO-14": "the bridge has come to another MAC address"},
)
def join_takes_over_mac(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            super().ensure_bridge(bridge, interface, **options)
            if interface is not None:
                super().set_device_macaddr(bridge, super().device(interface).mac_address)

    return Wrong


@mutant(
    "join-does-nothing",
    "makes the bridge, and forgets the interface",
    {"JO-12": "it did not arrive", "JO-01": "do not talk"},
)
def join_does_nothing(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            super().ensure_bridge(bridge, interface, **options)
            if interface is not None:
                super().remove_bridge_port(bridge, interface)

    return Wrong


@mutant(
    "join-leaves-down",
    "leaves the interface down",
    {"JO-13": "p-a has joined and is down"},
)
def join_leaves_down(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            was_up = interface is None or super().device(interface).up
            super().ensure_bridge(bridge, interface, **options)
            if interface is not None and not was_up:
                super().set_device_disabled(interface)

    return Wrong


@mutant(
    "join-clears-bridge",
    "flushes the bridge before it gets the interface's addresses",
    {"JO-14": "an address of the bridge's own"},
)
def join_clears_bridge(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            if interface is not None and super().device_exists(bridge):
                for address in listed(self, bridge):
                    super().delete_device_address(bridge, address)
            super().ensure_bridge(bridge, interface, **options)

    return Wrong


@mutant(
    "join-makes-bridge-first",
    "makes the bridge before it looks whether there is an interface",
    {"JO-15": "the host has changed"},
)
def join_makes_bridge_first(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            super().ensure_bridge(bridge)
            super().ensure_bridge(bridge, interface, **options)

    return Wrong


@mutant(
    "join-of-missing-ignored",
    "makes the bridge without the interface, where there is none",
    {"JO-15": "is not refused with NoSuchDevice: it goes through"},
)
def join_of_missing_ignored(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            try:
                super().ensure_bridge(bridge, interface, **options)
            except NoSuchDevice:
                super().ensure_bridge(bridge)

    return Wrong


@mutant(
    "join-to-anything-ignored",
    "says nothing of it that the bridge is none",
    {"JO-16": "is not refused with WrongKind: it goes through"},
)
def join_to_anything_ignored(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            try:
                super().ensure_bridge(bridge, interface, **options)
            except WrongKind:
                return

    return Wrong


@mutant(
    "join-moves-again",
    "moves what a port has come to since it joined",
    {"JO-17": "a join of what has joined"},
)
def join_moves_again(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            super().ensure_bridge(bridge, interface, **options)
            if interface is not None:
                for address in listed(self, interface):
                    super().add_device_address(bridge, address)
                    super().delete_device_address(interface, address)

    return Wrong


@mutant(
    "join-drops-next-hop-objects",
    "deletes a next-hop object that is in its way, and the routes by it with it",
    {"CA-08": "is not refused with Unsupported: it goes through"},
)
def join_drops_next_hop_objects(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            try:
                super().ensure_bridge(bridge, interface, **options)
            except Unsupported:
                ip("nexthop", "flush", "dev", str(interface))
                super().ensure_bridge(bridge, interface, **options)

    return Wrong
