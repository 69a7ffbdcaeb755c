"""Managers that advertise routers wrongly."""

from __future__ import annotations

import dataclasses
from typing import Any

from conformance.mutants import mutant
from conformance.mutants.dhcp.addressing6 import DNSMASQ, as_mode, with_mode
from conformance.mutants.dhcp.making import changed, patched, serving
from refnet.dhcp import DhcpManager, DhcpNetwork, Ipv6Mode, RouterAdvertisement
from refnet.dhcp.dnsmasq import withdraw


def _advertising(base: Any, **changes: Any) -> type[DhcpManager]:
    """Return a wrong class that advertises routers otherwise than it was told to."""

    def rewrite(network: DhcpNetwork) -> DhcpNetwork:
        told = network.router_advertisement
        return changed(network, router_advertisement=dataclasses.replace(told, **changes)) if told else network

    return serving(base, rewrite)


@mutant(
    "stateful-is-autonomous",
    "has clients make addresses of their own where they are to ask for them",
    {"RA-01": "a network of stateful has the flag A True", "RA-05": "a guest has made"},
)
def stateful_is_autonomous(base: Any) -> type[DhcpManager]:
    return with_mode(base, Ipv6Mode.STATEFUL_SLAAC, Ipv6Mode.STATEFUL)


@mutant(
    "slaac-is-stateful",
    "has clients ask for addresses where they are to make them",
    {"RA-01": "a network of slaac has the flags M and O (True, True)", "RA-04": "makes no address of fd09::/64"},
)
def slaac_is_stateful(base: Any) -> type[DhcpManager]:
    return with_mode(base, Ipv6Mode.STATEFUL, Ipv6Mode.SLAAC)


@mutant(
    "router-for-half-an-hour",
    "advertises routers for the usual time, whatever it was told",
    {
        "RA-02": "the lifetime is to be 1234 s, and told as 1800",
        "RA-06": "and a default route",
        "RA-08": "the second is advertised as",
        "RA-11": "after a change, the router is told as before",
    },
)
def router_for_half_an_hour(base: Any) -> type[DhcpManager]:
    return _advertising(base, lifetime=1800)


@mutant("router-preference-lost", "knows no preference", {"RA-02": "the preference is to be high, and told as medium"})
def preference_lost(base: Any) -> type[DhcpManager]:
    return _advertising(base, preference="medium")


@mutant("advertised-mtu-lost", "advertises no MTU", {"RA-02": "the MTU is to be 1400, and told as None"})
def mtu_lost(base: Any) -> type[DhcpManager]:
    return _advertising(base, mtu=None)


@mutant("advertises-an-mtu", "advertises an MTU without being told one", {"RA-02": "has not an MTU, and 1500 is told"})
def mtu_of_its_own(base: Any) -> type[DhcpManager]:
    def rewrite(network: DhcpNetwork) -> DhcpNetwork:
        told = network.router_advertisement
        if told is None or told.mtu is not None:
            return network
        return changed(network, router_advertisement=dataclasses.replace(told, mtu=1500))

    return serving(base, rewrite)


@mutant(
    "search6-lost",
    "tells no domains to look names up in",
    {
        "D6-01": "tells the search list ()",
        "D6-11": "is told the search list ()",
        "RA-02": "the search list is told as ()",
    },
)
def search6_lost(base: Any) -> type[DhcpManager]:
    return serving(base, lambda network: changed(network, search=()))


@mutant(
    "servers6-lost",
    "tells IPv6 clients no DNS servers",
    {"D6-01": "tells the DNS servers ()", "RA-02": "and told as ()"},
)
def servers6_lost(base: Any) -> type[DhcpManager]:
    return serving(base, lambda network: changed(network, dns_servers=()) if network.ipv6 else network)


@mutant(
    "advertises-unasked",
    "advertises routers where none are to be",
    {"RA-07": "with DHCPv6 and without advertisements: a got a router advertisement"},
)
def advertises_unasked(base: Any) -> type[DhcpManager]:
    def rewrite(network: DhcpNetwork) -> DhcpNetwork:
        is_wanted = network.ipv6 is not None and network.router_advertisement is None
        return changed(network, router_advertisement=RouterAdvertisement()) if is_wanted else network

    return serving(base, rewrite)


@mutant(
    "advertises-nothing",
    "advertises no routers",
    {
        "RA-01": "asked for a router, and none advertised itself",
        "RA-03": "who asks for a router: a asked for a router, and none advertised itself",
        "RA-04": "makes no address of fd09::/64",
        "RA-10": "asked for a router, and none advertised itself",
    },
)
def advertises_nothing(base: Any) -> type[DhcpManager]:
    def rewrite(network: DhcpNetwork) -> DhcpNetwork:
        if network.router_advertisement is None:
            return network
        return changed(as_mode(network, Ipv6Mode.STATEFUL), router_advertisement=None)

    return serving(base, rewrite)


@mutant(
    "first-prefix-only",
    "advertises the first prefix of a device only",
    {"RA-09": "a device with two networks advertises ['fd09::/64']"},
)
def first_prefix_only(base: Any) -> type[DhcpManager]:
    def rewrite(network: DhcpNetwork) -> DhcpNetwork:
        six = [one for one in network.addresses if one.version == 6]
        kept = [one for one in network.addresses if one not in six[1:]]
        return changed(network, addresses=kept) if network.ipv6 is Ipv6Mode.SLAAC else network

    return serving(base, rewrite)


@mutant(
    "router-not-taken-back",
    "leaves it to time to find out that a router has gone",
    {"RA-10": "a server that was stopped: no such advertisement came to a"},
    bases=DNSMASQ,
)
def router_not_taken_back(base: Any) -> type[DhcpManager]:
    return patched(base, withdraw, "send", lambda network: None)


@mutant(
    "dead-router-not-taken-back",
    "leaves it to time to find out that a router was killed",
    {"RA-10": "a server that was killed, and stopped: no such advertisement came to a"},
    bases=DNSMASQ,
)
def dead_router_not_taken_back(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def stop(self, device: str, *, forget: bool = False) -> None:
            if super().running(device).is_running:
                super().stop(device, forget=forget)
                return
            right, withdraw.send = withdraw.send, lambda network: None
            try:
                super().stop(device, forget=forget)
            finally:
                withdraw.send = right

    return Wrong
