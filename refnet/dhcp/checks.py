"""What of a network has to go together: the server's addresses, ranges, gateways and hosts.

Each check raises :class:`~refnet.errors.InvalidArgument`, saying which two things do not, and why.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING

from refnet.dhcp.hosts import Host
from refnet.dhcp.options import MAX_DATA, encode_names, encode_routes, encode_search
from refnet.dhcp.values import MAX_NAME, MIN_IPV6_MTU, Range, Route
from refnet.errors import InvalidArgument
from refnet.names import InterfaceAddress, IPAddress, IPNetwork

if TYPE_CHECKING:
    from refnet.dhcp.network import DhcpNetwork

#: Options that a network has fields for, by their codes.
_FIELDS = {
    4: {1: "addresses", 3: "gateway", 6: "dns_servers", 15: "domain", 26: "mtu", 119: "search", 121: "routes"},
    6: {23: "dns_servers", 24: "search"},
}


def check(network: DhcpNetwork) -> None:
    """See that everything that a network says goes together.

    Raises:
        InvalidArgument: two things do not.
    """
    _check_addresses(network.addresses)
    _check_ipv6(network)
    _check_told(network)
    _check_ranges(network)
    _check_hosts(network)
    _check_gateways(network)


def check_host(network: DhcpNetwork, host: Host) -> None:
    """See that a host can be one of a network, whatever its other hosts.

    Raises:
        InvalidArgument: it cannot; the message says why.
    """
    _check_each_host(network, (host,))


def _check_addresses(addresses: tuple[InterfaceAddress, ...]) -> None:
    if not addresses:
        raise InvalidArgument("there is no server's address: give one with its prefix length")
    for number, one in enumerate(addresses):
        if one.ip.is_loopback or (one.version == 6 and one.ip.is_link_local):
            raise InvalidArgument(f"server's address {one} is not one that clients have a network with")
        if not _can_be_host(one.ip, one.network) or one.ip.packed[:1] == b"\0" or one.ip.packed == b"\xff" * 4:
            raise InvalidArgument(f"server's address {one} is no host's: it stands for {one.network} or for all of it")
        for other in addresses[:number]:
            if one.version == other.version and one.network.overlaps(other.network):
                raise InvalidArgument(f"server's addresses {other} and {one} are in one network: one is enough")


def _check_ipv6(network: DhcpNetwork) -> None:
    mode = network.ipv6
    if mode is None:
        return
    prefixes = [one.network for one in network.addresses if one.version == 6]
    if not prefixes:
        raise InvalidArgument(f"ipv6 is {str(mode)!r}, and the server has no IPv6 address to tell a prefix by")
    if mode.is_autonomous:
        for one in prefixes:
            if one.prefixlen != 64:
                raise InvalidArgument(f"clients make addresses in networks of /64 only (RFC 4862), not in {one}")
        if network.router_advertisement is None:
            raise InvalidArgument(f"ipv6 is {str(mode)!r}, which takes router advertisements")
    if network.mtu is not None and network.mtu < MIN_IPV6_MTU:
        raise InvalidArgument(f"MTU {network.mtu} is less than IPv6's least, {MIN_IPV6_MTU} bytes (RFC 8200, 5)")


def _check_told(network: DhcpNetwork) -> None:
    """See that what clients are told is told once, and fits into its option."""
    for version, found in ((4, network.options), (6, network.options6)):
        for option in found:
            field = _FIELDS[version].get(option.code)
            if field:
                raise InvalidArgument(f"option {option.code} is what {field!r} says: give it there")
    seen: dict[object, Route] = {}
    for route in network.routes:
        other = seen.setdefault(route.destination, route)
        if other is not route:
            raise InvalidArgument(f"two routes to {route.destination}: by {other.gateway}, and by {route.gateway}")
    routes, default = list(network.routes), [one for one in network.routes if one.destination.prefixlen == 0]
    if network.gateway is not None and routes and not default:
        # Told among them, see DhcpNetwork.routes.
        routes.append(Route("0.0.0.0/0", network.gateway))
    if network.gateway is not None and default and default[0].gateway != network.gateway:
        raise InvalidArgument(
            f"gateway {network.gateway} and the route to 0.0.0.0/0 by {default[0].gateway} are two default gateways"
        )
    servers = network.dns_servers or ()
    for size, what, version in (
        (len(encode_routes(routes)), "routes", 4),
        (len(encode_search(network.search)), "search domains", 4),
        (len(encode_names(network.search)), "search domains", 6),
        (sum(4 for one in servers if one.version == 4), "DNS servers", 4),
        (sum(16 for one in servers if one.version == 6), "DNS servers", 6),
    ):
        if size > MAX_DATA[version] and any(one.version == version for one in network.addresses):
            raise InvalidArgument(
                f"{what}: they make {size} octets, and an option has {MAX_DATA[version]} at most: give fewer"
            )
    for one in servers:
        if not _is_unicast(one):
            raise InvalidArgument(f"DNS server {one} is no unicast address")
    own = {one.ip for one in network.addresses}
    for one in network.dns.forwarders if network.dns else ():
        if one in own:
            raise InvalidArgument(f"DNS forwarder {one} is this server itself")
    if network.lease_store and network.lease_events != "log":
        raise InvalidArgument("lease_store keeps the leases by the events of the log: give lease_events='log' as well")


def _check_ranges(network: DhcpNetwork) -> None:
    """See that each range is in a network, and that no two of them overlap."""
    ordered = sorted(network.ranges, key=lambda one: (one.first.version, int(one.first)))
    for before, after in itertools.pairwise(ordered):
        if after.first in before:
            raise InvalidArgument(f"ranges {before} and {after} overlap")
    for one in network.ranges:
        if one.first.version == 6 and not (network.ipv6 and network.ipv6.is_stateful):
            raise InvalidArgument(f"range {one}: only a network whose ipv6 is 'stateful' or 'stateful-slaac' has some")
        net = _relayed(network, one) if one.network else _around(network, one)
        if any(edge in one for edge in (net[0], net[-1]) if not _can_be_host(edge, net)):
            raise InvalidArgument(f"range {one} has an address that is no host's in {net}: leave out its ends")


def _around(network: DhcpNetwork, one: Range) -> IPNetwork:
    """Return the server's network that a range is in."""
    for net in network.networks:
        if one.first in net and one.last in net:
            return net
    raise InvalidArgument(f"range {one} is in no network of the server: {_listed(network.networks)}")


def _relayed(network: DhcpNetwork, one: Range) -> IPNetwork:
    """Return the network behind relays that a range is for."""
    assert one.network is not None
    if not network.serves_dhcp:
        raise InvalidArgument(f"range {one}: relays ask a server by IPv4, and this one has no IPv4 address")
    for net in network.networks:
        if net.version == 4 and net.overlaps(one.network):
            raise InvalidArgument(f"range {one}: {one.network} is the server's own, and needs no relay")
    for other in network.ranges:
        if other.network is not None and other.network != one.network and other.network.overlaps(one.network):
            raise InvalidArgument(f"ranges {other} and {one}: their networks {other.network} and {one.network} overlap")
    return one.network


def _check_hosts(network: DhcpNetwork) -> None:
    """See that each host can be one of the network, and that no two are alike."""
    _check_each_host(network, network.hosts)
    identities: dict[str, Host] = {}
    addresses: dict[object, Host] = {}
    called: dict[str, Host] = {}
    for host in network.hosts:
        for identity in host.identities:
            if identities.setdefault(identity, host) is not host:
                raise InvalidArgument(f"hosts {identities[identity]} and {host} have both {identity}")
        for address in host.addresses:
            # Their numbers are faster to look up than addresses; those of IPv6 get to be text.
            number: object = int(address) if address.version == 4 else str(address)
            if addresses.setdefault(number, host) is not host:
                raise InvalidArgument(f"hosts {addresses[number]} and {host} have both {address}")
        if host.name is not None and called.setdefault(host.name, host) is not host:
            other = called[host.name]
            raise InvalidArgument(
                f"hosts {other.identities[0]} and {host.identities[0]} have both the name {host.name!r}"
            )


def _check_each_host(network: DhcpNetwork, hosts: Iterable[Host]) -> None:
    """See that hosts can be in a network, whatever others there are."""
    own = {one.ip for one in network.addresses}
    taken = {(one.version, int(one)) for one in own}
    networks = [*network.networks, *{one.network: None for one in network.ranges if one.network}]
    bounds = [(net.version, *_hosts_of(net)) for net in networks]
    is_stateful = network.ipv6 is not None and network.ipv6.is_stateful
    longest = MAX_NAME - len(f".{network.domain}" if network.domain else "")
    for host in hosts:
        if host.name is not None and len(host.name) > longest:
            raise InvalidArgument(f"host {host}: name and domain are longer than {MAX_NAME} characters (RFC 1035)")
        for address in host.addresses:
            version, number = address.version, int(address)
            if (version, number) in taken:
                raise InvalidArgument(f"host {host}: {address} is the server's own address")
            for of, low, high in bounds:
                if of == version and low <= number <= high:
                    break
            else:
                raise InvalidArgument(f"host {host}: {address} is no host's address in {_listed(networks)}")
            if version == 6 and not is_stateful:
                raise InvalidArgument(
                    f"host {host}: {address} can be given only if ipv6 is 'stateful' or 'stateful-slaac'"
                )


def _check_gateways(network: DhcpNetwork) -> None:
    """See that clients can reach the gateways that they are told, and that no client becomes one."""
    own = {one.ip for one in network.addresses}
    told = [(f"gateway {network.gateway}", network.gateway)] if network.gateway is not None else []
    told += [
        (f"route to {route.destination}: gateway {route.gateway}", route.gateway)
        for route in network.routes
        if not route.gateway.is_unspecified
    ]
    for words, gateway in told:
        within = [net for net in network.networks if gateway in net]
        if not within:
            raise InvalidArgument(f"{words} is in no network of the server: {_listed(network.networks)}")
        if not _can_be_host(gateway, within[0]):
            raise InvalidArgument(f"{words} is no host's address in {within[0]}")
        for one in network.ranges:
            if gateway in one and gateway not in own and not any(gateway in host.addresses for host in network.hosts):
                raise InvalidArgument(f"{words} is in the range {one}, and could be given to a client")


def _hosts_of(net: IPNetwork) -> tuple[int, int]:
    """Return the first and the last address of a network that hosts can have, as numbers."""
    first, last = int(net[0]), int(net[-1])
    return first + (not _can_be_host(net[0], net)), last - (not _can_be_host(net[-1], net))


def _can_be_host(address: IPAddress, net: IPNetwork) -> bool:
    """Whether an address of a network can be a host's.

    The first and the last of IPv4 are the network's own and its broadcast address, but for /31 and /32 (RFC 3021); the
    first of IPv6 is that of its routers (RFC 4291, 2.6.1), but for /127 and /128 (RFC 6164).
    """
    if net.max_prefixlen - net.prefixlen < 2:
        return True
    return address != net[0] and (net.version == 6 or address != net[-1])


def _is_unicast(address: IPAddress) -> bool:
    return not (address.is_unspecified or address.is_multicast or address.packed == b"\xff" * 4)


def _listed(networks: Iterable[IPNetwork]) -> str:
    return ", ".join(map(str, networks)) or "none"
