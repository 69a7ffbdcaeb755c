"""Managers that tell clients the wrong things, or not all of them."""

from __future__ import annotations

from typing import Any

from conformance.mutants import mutant
from conformance.mutants.dhcp.making import changed, changed_host, serving, serving_hosts, without
from refnet.dhcp import DhcpManager, DhcpNetwork, Host, Option


@mutant(
    "gateway-lost",
    "tells no gateway",
    {
        "DH-01": "the offer: option 3 is absent",
        "DH-09": "with a gateway and two DNS servers: option 3 is absent",
        "DH-12": "clients are told the routes",
    },
)
def gateway_lost(base: Any) -> type[DhcpManager]:
    return serving(base, lambda network: changed(network, gateway=None))


@mutant(
    "gateway-is-the-server",
    "takes itself for the gateway where there is none",
    {"DH-09": "without a gateway, and with DNS servers withheld: option 3 is 0a:09:00:01, and not absent"},
)
def gateway_is_the_server(base: Any) -> type[DhcpManager]:
    def rewrite(network: DhcpNetwork) -> DhcpNetwork:
        return changed(network, gateway=network.gateway or network.addresses[0].ip)

    return serving(base, rewrite)


@mutant(
    "dns-servers-sorted",
    "tells DNS servers in the order of their addresses backwards",
    {"DH-09": "with a gateway and two DNS servers: option 6 is c0:00:02:35:0a:09:00:35"},
)
def dns_servers_sorted(base: Any) -> type[DhcpManager]:
    def rewrite(network: DhcpNetwork) -> DhcpNetwork:
        found = network.dns_servers
        return changed(network, dns_servers=None if found is None else sorted(found, key=int, reverse=True))

    return serving(base, rewrite)


@mutant(
    "withheld-is-told",
    "tells by itself what is to be withheld",
    {"DH-09": "with a gateway and two DNS servers: option 28 is 0a:09:00:ff, and not absent"},
)
def withheld_is_told(base: Any) -> type[DhcpManager]:
    def rewrite(network: DhcpNetwork) -> DhcpNetwork:
        return changed(network, options=without(network.options, lambda one: one.data is None))

    return serving(base, rewrite)


@mutant(
    "mtu-not-told",
    "tells no MTU",
    {
        "DH-10": "a client that asks for the MTU: option 26 is absent",
        "DC-01": "dhclient: the MTU is None, and not 1400",
        "DC-02": "udhcpc: the MTU is None, and not 1400",
        "DC-03": "dhcpcd: the MTU is None, and not 1400",
    },
)
def mtu_lost(base: Any) -> type[DhcpManager]:
    return serving(base, lambda network: changed(network, mtu=None))


@mutant(
    "domain-lost",
    "tells no domain",
    {"DH-07": "what was asked by DHCPINFORM: option 15 is absent", "DH-11": "the domain: option 15 is absent"},
)
def domain_lost(base: Any) -> type[DhcpManager]:
    return serving(base, lambda network: changed(network, domain=None))


@mutant(
    "search-sorted",
    "tells search domains in alphabetical order",
    {"DH-11": "and clients are told ['cloud.example', 'example.org'"},
)
def search_sorted(base: Any) -> type[DhcpManager]:
    return serving(base, lambda network: changed(network, search=sorted(network.search)))


@mutant("routes-lost", "tells no routes", {"DH-12": "one route and no gateway: option 121 is absent"})
def routes_lost(base: Any) -> type[DhcpManager]:
    return serving(base, lambda network: changed(network, routes=()))


@mutant(
    "options-cut",
    "tells the first four octets of an option",
    {"DH-13": "options by number and by name: option 42 is 0a:09:00:03, and not"},
)
def options_cut(base: Any) -> type[DhcpManager]:
    def rewrite(network: DhcpNetwork) -> DhcpNetwork:
        return changed(
            network, options=[Option(one.code, one.data and one.data[:4], one.is_forced) for one in network.options]
        )

    return serving(base, rewrite)


@mutant(
    "forces-all",
    "tells options to clients that have not asked for them",
    {"DH-13": "options that nobody has asked for: option 224 is"},
)
def forces_all(base: Any) -> type[DhcpManager]:
    def rewrite(network: DhcpNetwork) -> DhcpNetwork:
        return changed(network, options=[Option(one.code, one.data, one.data is not None) for one in network.options])

    return serving(base, rewrite)


@mutant(
    "forces-none",
    "tells forced options to clients that ask for them only",
    {"DH-13": "a forced option, and one that is not: option 224 is absent"},
)
def forces_none(base: Any) -> type[DhcpManager]:
    def rewrite(network: DhcpNetwork) -> DhcpNetwork:
        return changed(network, options=[Option(one.code, one.data) for one in network.options])

    return serving(base, rewrite)


@mutant(
    "options-of-hosts-lost",
    "tells a host the options of the network only",
    {"DH-14": "a host with options of its own: option 3 is 0a:09:00:01, and not 0a:09:00:02"},
)
def options_of_hosts_lost(base: Any) -> type[DhcpManager]:
    return serving_hosts(base, lambda host: changed_host(host, options=()))


@mutant(
    "options-of-a-host-for-all",
    "tells everybody the options of a host",
    {"DH-14": "another client: option 224 is 69:74:73:20:6f:77:6e"},
)
def options_of_a_host_for_all(base: Any) -> type[DhcpManager]:
    def rewrite(network: DhcpNetwork) -> DhcpNetwork:
        own = {one.code: one for host in network.hosts for one in host.options if one.code >= 224}
        return changed(network, options=[own.get(one.code, one) for one in network.options])

    return serving(base, rewrite)


@mutant(
    "withheld-from-hosts-is-told",
    "tells a host what is to be withheld from it",
    {"DH-14": "a host with options of its own: option 225 is 6f:66:20:6f:74:68:65:72:73, and not absent"},
)
def withheld_from_hosts_is_told(base: Any) -> type[DhcpManager]:
    def rewrite(host: Host) -> Host:
        return changed_host(host, options=without(host.options, lambda one: one.data is None))

    return serving_hosts(base, rewrite)
