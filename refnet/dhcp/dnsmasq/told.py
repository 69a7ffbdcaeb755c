"""What clients of a network are told: the lines that are for all of them. Pure: nothing is looked at.

Tags bind options to clients. Those made here begin with ``@``, which no device name does: dnsmasq gives each client the
name of the device for a tag.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from refnet.dhcp.dnsmasq.hosts import Common, is_withheld_by_line, withheld_tag
from refnet.dhcp.dnsmasq.lines import option_line
from refnet.dhcp.network import DhcpNetwork
from refnet.dhcp.options import Option, encode_names, encode_routes
from refnet.dhcp.values import Route
from refnet.names import IPAddress, IPNetwork


def own_tag(number: int) -> str:
    """Return the tag of clients of the network of the server's address of that number."""
    return f"@n{number}"


def relayed_tag(number: int) -> str:
    """Return the tag of clients of the relayed network of that number."""
    return f"@r{number}"


def relayed_networks(network: DhcpNetwork) -> list[IPNetwork]:
    """Return the networks whose clients ask through a relay."""
    return list(dict.fromkeys(one.network for one in network.ranges if one.network))


def all_networks(network: DhcpNetwork) -> list[IPNetwork]:
    """Return the server's own networks, and those whose clients ask through a relay."""
    return [*network.networks, *relayed_networks(network)]


def told_in_common(network: DhcpNetwork, kept: Iterable[tuple[int, int]]) -> Common:
    """Return what the lines of all hosts depend on; ``kept`` are the options that some host is kept from."""
    own = {(4, one.code) for one in network.options} | {(6, one.code) for one in network.options6}
    own |= {(4, 26), (4, 119), (4, 121), (6, 23), (6, 24)}
    withheld = own.intersection(kept)
    forced = {(4, one.code) for one in network.options if one.is_forced}
    forced |= {(6, one.code) for one in network.options6 if one.is_forced}
    if network.mtu is not None:
        forced.add((4, 26))
    routes = tuple(_routes(network))
    if routes:
        # A host with a gateway of its own has routes of its own, and may be added when this stands.
        withheld.add((4, 121))
    return Common(frozenset(withheld), frozenset(forced), routes)


def _routes(network: DhcpNetwork) -> Iterator[tuple[str, IPNetwork, tuple[Route, ...]]]:
    """Give the routes that the clients of each of the server's networks can take."""
    for number, own in enumerate(network.addresses):
        if own.version == 4:
            usable = tuple(one for one in network.routes if one.gateway.is_unspecified or one.gateway in own.network)
            if usable:
                yield own_tag(number), own.network, usable


def forced_options(network: DhcpNetwork, common: Common) -> Iterator[str]:
    """Give the lines for options of the network that are sent unasked."""
    told = [(4, one) for one in network.options] + [(6, one) for one in network.options6]
    if network.mtu is not None and network.serves_dhcp:
        told.append((4, Option(26, network.mtu.to_bytes(2, "big"), is_forced=True)))
    for version, one in told:
        if one.is_forced:
            yield _line(one, version, common)


def network_options(network: DhcpNetwork, common: Common) -> list[str]:
    """Return the lines of ``--dhcp-optsfile`` that are for all clients."""
    found = [*_gateway(network), *_servers(network), *_route_lines(network, common)]
    if network.serves_dhcp and network.search:
        found.append(_line(Option(119, encode_names(network.search)), 4, common))
    for version, options in ((4, network.options), (6, network.options6)):
        for one in options:
            if not one.is_forced and (one.data is not None or is_withheld_by_line(one.code, version)):
                found.append(_line(one, version, common))
    if network.ipv6 is not None:
        servers = [one for one in _dns_servers(network) if one.version == 6]
        if servers or network.dns:
            # Without data it keeps dnsmasq from telling its own address.
            found.append(_line(Option(23, b"".join(one.packed for one in servers) or None), 6, common))
        if network.search:
            found.append(_line(Option(24, encode_names(network.search)), 6, common))
    return found


def _line(option: Option, version: int, common: Common, *tags: str) -> str:
    """Return the line of an option, for clients that are not kept from it."""
    if (version, option.code) in common.withheld:
        tags = (*tags, f"!{withheld_tag(option.code, version)}")
    return option_line(option, version, tags)


def _route_lines(network: DhcpNetwork, common: Common) -> Iterator[str]:
    """Give the line about routes for each network: no client can take one by a gateway that is not on its link.

    Who takes option 121 takes no notice of option 3 (RFC 3442), so that the default route is told there as well.
    """
    for tag, own, routes in common.routes:
        told = list(routes)
        has_default = any(one.destination.prefixlen == 0 for one in routes)
        if network.gateway is not None and network.gateway in own and not has_default:
            told.append(Route("0.0.0.0/0", network.gateway))
        yield _line(Option(121, encode_routes(told)), 4, common, tag)


def _gateway(network: DhcpNetwork) -> Iterator[str]:
    """Give the line about the gateway for each network: without one, dnsmasq tells its own address."""
    for number, own in enumerate(network.addresses):
        if own.version == 4:
            has_it = network.gateway is not None and network.gateway in own.network
            data = network.gateway.packed if network.gateway is not None and has_it else None
            yield option_line(Option(3, data), 4, (own_tag(number),))
    if network.gateway is None:
        for number, _ in enumerate(relayed_networks(network)):
            # With a gateway, dnsmasq tells clients behind a relay the relay's address.
            yield option_line(Option(3, None), 4, (relayed_tag(number),))


def _servers(network: DhcpNetwork) -> Iterator[str]:
    """Give the lines about DNS servers: each network is told the server's address in it, if nothing else is said."""
    if not network.serves_dhcp:
        return
    named = [one for one in _dns_servers(network) if one.version == 4]
    yield option_line(Option(6, b"".join(one.packed for one in named) or None), 4)
    own = [(number, one) for number, one in enumerate(network.addresses) if one.version == 4]
    if network.dns_servers is None and network.dns and len(own) > 1:
        for number, one in own:
            yield option_line(Option(6, one.ip.packed), 4, (own_tag(number),))


def _dns_servers(network: DhcpNetwork) -> list[IPAddress]:
    if network.dns_servers is not None:
        return list(network.dns_servers)
    return [one.ip for one in network.addresses] if network.dns else []
