"""Wrong about layer 2: guards of ports, and addresses that stay inside a bridge."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conformance.mutants import mutant
from refnet.firewall import FirewallManager, PortGuard

_LEAKED, _LOST = "and b got it", "and did not arrive"


def _guarding(base: Any, change: Callable[[PortGuard], PortGuard]) -> type[FirewallManager]:
    """Return a wrong class that guards a port otherwise than it was told."""

    class Wrong(base):  # type: ignore[misc]
        def guard_port(self, guard: PortGuard) -> None:
            super().guard_port(change(guard))

    return Wrong


def _guard(guard: PortGuard, **changes: Any) -> PortGuard:
    values = {name: getattr(guard, name) for name in ("port", "mac_address", "addresses", "dhcp_server", "router")}
    return PortGuard(**{**values, **changes})


def _of_family(guard: PortGuard, family: int) -> list[Any]:
    return [one for one in guard.addresses or () if one.version == family]


@mutant(
    "guard-nothing",
    "guards nothing",
    {
        **dict.fromkeys(("L2-02", "L2-03", "L2-04", "L2-05", "L2-06", "L2-07", "L2-08", "L2-09", "L2-10"), _LEAKED),
        **dict.fromkeys(("L2-11", "L2-12", "L2-13", "L2-14", "L2-15", "L2-16", "L2-18", "L2-24"), _LEAKED),
        "L2-19": "and c got it",
    },
)
def guard_nothing(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def guard_port(self, guard: PortGuard) -> None:
            super().guard_port(guard)  # what it cannot guard it refuses
            super().unguard_port(guard.port)

    return Wrong


@mutant(
    "guard-with-another-mac",
    "lets another MAC address pass than it was told",
    {"L2-01": _LOST, "L2-02": _LOST, "L2-03": _LOST, "L2-13": _LOST},
)
def guard_with_another_mac(base: Any) -> type[FirewallManager]:
    return _guarding(base, lambda guard: _guard(guard, mac_address="02:00:00:00:00:99"))


@mutant(
    "guard-no-address",
    "lets no address pass",
    {"L2-01": _LOST, "L2-02": _LOST, "L2-09": _LOST, "L2-13": _LOST, "L2-15": _LOST, "L2-16": _LOST},
)
def guard_no_address(base: Any) -> type[FirewallManager]:
    return _guarding(base, lambda guard: _guard(guard, addresses=()))


@mutant(
    "guard-mac-alone",
    "guards the MAC address, and lets every other address pass",
    dict.fromkeys(("L2-02", "L2-05", "L2-06", "L2-07", "L2-09", "L2-14", "L2-15", "L2-16", "L2-18"), _LEAKED),
)
def guard_mac_alone(base: Any) -> type[FirewallManager]:
    return _guarding(base, lambda guard: _guard(guard, addresses=None))


@mutant("guard-ipv4", "does not look at IPv6", {"L2-06": _LEAKED, "L2-09": _LEAKED, "L2-15": _LEAKED, "L2-16": _LEAKED})
def guard_ipv4(base: Any) -> type[FirewallManager]:
    def change(guard: PortGuard) -> PortGuard:
        return guard if guard.addresses is None else _guard(guard, addresses=[*_of_family(guard, 4), "::/0"])

    return _guarding(base, change)


@mutant("guard-ipv6", "does not look at IPv4 and ARP", {"L2-02": _LEAKED, "L2-05": _LEAKED, "L2-07": _LEAKED})
def guard_ipv6(base: Any) -> type[FirewallManager]:
    def change(guard: PortGuard) -> PortGuard:
        return guard if guard.addresses is None else _guard(guard, addresses=[*_of_family(guard, 6), "0.0.0.0/0"])

    return _guarding(base, change)


@mutant("guard-every-server", "lets every guest be a DHCP server and a router", {"L2-11": _LEAKED, "L2-12": _LEAKED})
def guard_every_server(base: Any) -> type[FirewallManager]:
    return _guarding(base, lambda guard: _guard(guard, dhcp_server=True, router=True))


@mutant("guard-no-server", "lets no guest be a DHCP server or a router", {"L2-11": _LOST, "L2-12": _LOST})
def guard_no_server(base: Any) -> type[FirewallManager]:
    return _guarding(base, lambda guard: _guard(guard, dhcp_server=False, router=False))


@mutant("guard-empty-is-any", "takes an empty list of addresses for none given", {"L2-14": _LEAKED})
def guard_empty_is_any(base: Any) -> type[FirewallManager]:
    return _guarding(base, lambda guard: _guard(guard, addresses=guard.addresses or None))


@mutant("guard-any-is-empty", "takes no addresses given for an empty list", {"L2-13": _LOST})
def guard_any_is_empty(base: Any) -> type[FirewallManager]:
    return _guarding(base, lambda guard: _guard(guard, addresses=guard.addresses or ()))


@mutant("guard-first-address", "takes a network for its first address", {"L2-15": _LOST})
def guard_first_address(base: Any) -> type[FirewallManager]:
    def change(guard: PortGuard) -> PortGuard:
        if guard.addresses is None:
            return guard
        return _guard(guard, addresses=[one.network_address for one in guard.addresses])

    return _guarding(base, change)


@mutant("guard-prefix-0-is-nothing", "takes prefix length 0 for no address", {"L2-15": _LOST})
def guard_prefix_0_is_nothing(base: Any) -> type[FirewallManager]:
    def change(guard: PortGuard) -> PortGuard:
        if guard.addresses is None:
            return guard
        return _guard(guard, addresses=[one for one in guard.addresses if one.prefixlen])

    return _guarding(base, change)


@mutant("guard-only-once", "leaves a port's guard as it is", {"L2-11": _LOST, "L2-12": _LOST, "L2-16": _LOST})
def guard_only_once(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def guard_port(self, guard: PortGuard) -> None:
            if guard.port not in [one.port for one in self.port_guards()]:
                super().guard_port(guard)

    return Wrong


@mutant("guard-adds-up", "lets the addresses of a port's former guard pass as well", {"L2-16": _LEAKED})
def guard_adds_up(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def guard_port(self, guard: PortGuard) -> None:
            former = [
                address for one in self.port_guards() if one.port == guard.port for address in one.addresses or ()
            ]
            super().guard_port(_guard(guard, addresses=[*former, *(guard.addresses or ())]))

    return Wrong


@mutant("guard-for-ever", "keeps guards that are taken away", {"L2-17": _LOST})
def guard_for_ever(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def unguard_port(self, port: str) -> None:
            pass

    return Wrong


@mutant("guard-the-whole-bridge", "guards all ports of the bridge alike", {"L2-18": _LOST, "L2-19": _LOST})
def guard_the_whole_bridge(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def guard_port(self, guard: PortGuard) -> None:
            for port in Path("/sys/class/net", guard.port, "master/brif").iterdir():
                super().guard_port(_guard(guard, port=port.name))

    return Wrong


@mutant(
    "guard-shared-addresses",
    "lets each guarded port use the addresses of all of them",
    {"L2-19": "and c got it"},
)
def guard_shared_addresses(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def guard_port(self, guard: PortGuard) -> None:
            guards = [*self.port_guards(), guard]
            everybody = {address for one in guards for address in one.addresses or ()}
            for one in guards:
                super().guard_port(_guard(one, addresses=everybody))

    return Wrong


# -- addresses that stay inside -----------------------------------------------------------------------


@mutant("isolation-of-nothing", "isolates nothing", {"L2-20": _LEAKED, "L2-21": _LEAKED, "L2-23": _LEAKED})
def isolation_of_nothing(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def isolate_dhcp_address(self, interface: str, address: str) -> None:
            pass

    return Wrong


@mutant("isolation-of-another-address", "isolates the next address", {"L2-20": _LEAKED, "L2-22": _LOST})
def isolation_of_another_address(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def isolate_dhcp_address(self, interface: str, address: str) -> None:
            super().isolate_dhcp_address(interface, str(ipaddress.IPv4Address(address) + 1))

    return Wrong


@mutant("isolation-everywhere", "isolates the address at every port", {"L2-21": _LOST, "L2-22": _LOST})
def isolation_everywhere(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def isolate_dhcp_address(self, interface: str, address: str) -> None:
            for port in Path("/sys/class/net", interface, "master/brif").iterdir():
                super().isolate_dhcp_address(port.name, address)

    return Wrong


@mutant("isolation-of-all", "lets nothing cross at all", {"L2-22": _LOST})
def isolation_of_all(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def isolate_dhcp_address(self, interface: str, address: str) -> None:
            super().guard_port(PortGuard(interface, "02:00:00:00:00:99", ()))

    return Wrong


@mutant("isolation-for-ever", "does not undo an isolation", {"L2-23": _LOST})
def isolation_for_ever(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def remove_isolate_dhcp_address(self, interface: str, address: str) -> None:
            pass

    return Wrong
