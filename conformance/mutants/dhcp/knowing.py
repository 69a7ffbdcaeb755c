"""Managers that do not know their hosts, or not by what they should."""

from __future__ import annotations

from typing import Any

from conformance.mutants import mutant
from conformance.mutants.dhcp.making import changed, changed_host, serving, serving_hosts
from refnet.dhcp import DhcpManager, DhcpNetwork, Range


@mutant(
    "hosts-without-addresses",
    "gives hosts addresses of the range, and theirs to others",
    {
        "DH-15": "the host with 10.9.0.150 gets 10.9.0.1",
        "DH-21": "the address of a host is offered to a client that asks for it",
    },
)
def hosts_without_addresses(base: Any) -> type[DhcpManager]:
    return serving_hosts(base, lambda host: changed_host(host, addresses=()))


@mutant(
    "hosts-of-ranges-only",
    "knows only hosts whose addresses are in a range",
    {"DH-15": "the host with 10.9.0.20 gets 10.9.0.1"},
)
def hosts_of_ranges_only(base: Any) -> type[DhcpManager]:
    def rewrite(network: DhcpNetwork) -> DhcpNetwork:
        within = [
            host for host in network.hosts if any(one in pool for one in host.addresses for pool in network.ranges)
        ]
        return network.with_hosts(within)

    return serving(base, rewrite)


@mutant(
    "names-lost",
    "tells hosts no names",
    {
        "DH-15": "the name of the host with 10.9.0.150: option 12 is absent",
        "DH-20": "the name of a host without an address",
    },
)
def names_lost(base: Any) -> type[DhcpManager]:
    return serving_hosts(base, lambda host: changed_host(host, name=None))


@mutant(
    "client-ids-lost", "knows hosts by MAC addresses only", {"DH-16": "the host with a client identifier gets 10.9.0.1"}
)
def client_ids_lost(base: Any) -> type[DhcpManager]:
    return serving_hosts(base, lambda host: changed_host(host, client_id=None) if host.mac_addresses else None)


@mutant("first-mac-only", "knows a host by its first MAC address only", {"DH-17": "gets 10.9.0.1"})
def first_mac_only(base: Any) -> type[DhcpManager]:
    return serving_hosts(base, lambda host: changed_host(host, mac_addresses=host.mac_addresses[:1]))


@mutant("ignores-nobody", "answers hosts that are to be ignored", {"DH-18": "a host that is to be ignored"})
def ignores_nobody(base: Any) -> type[DhcpManager]:
    return serving_hosts(base, lambda host: changed_host(host, is_ignored=False))


@mutant(
    "takes-everybody",
    "gives addresses to strangers where there is no range",
    {"DH-19": "a stranger in a network of hosts only"},
)
def takes_everybody(base: Any) -> type[DhcpManager]:
    def rewrite(network: DhcpNetwork) -> DhcpNetwork:
        if network.ranges or not network.serves_dhcp:
            return network
        first = next(one.ip for one in network.addresses if one.version == 4)
        return changed(network, ranges=Range(first + 100, first + 199))

    return serving(base, rewrite)


@mutant("hosts-need-addresses", "ignores hosts that have no address", {"DH-20": "nobody answered"})
def hosts_need_addresses(base: Any) -> type[DhcpManager]:
    return serving_hosts(base, lambda host: host if host.addresses else changed_host(host, is_ignored=True))
