"""What dnsmasq is started with and what it reads, for a network. Pure: nothing is looked at.

Tags bind options to clients. Those made here begin with ``@``, which no device name does: dnsmasq gives each client the
name of the device for a tag.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from refnet.dhcp.dnsmasq.hosts import (
    FOR_EVER,
    Common,
    forced_lines,
    host_line,
    is_tagged,
    kept_from,
    name_lines,
    option_lines,
)
from refnet.dhcp.dnsmasq.place import Place
from refnet.dhcp.dnsmasq.told import (
    all_networks,
    forced_options,
    network_options,
    own_tag,
    relayed_networks,
    relayed_tag,
    told_in_common,
)
from refnet.dhcp.network import DhcpNetwork
from refnet.dhcp.values import Ipv6Mode, Range, RouterAdvertisement
from refnet.names import IPNetwork

#: At most so many leases of IPv6: a client may have as many identities, and leases with each, as it likes. And of both,
#: for what a host can bear.
_LEASES_IPV6, _MOST_LEASES = 1 << 16, 1 << 20
#: One octet of IPv4 is a label of the reverse zone, as is half an octet of IPv6 (RFC 1035, 3.5; RFC 3596, 2.5).
_LABEL_BITS = {4: 8, 6: 4}

_V6_MODES = {Ipv6Mode.SLAAC: "ra-only", Ipv6Mode.STATELESS: "ra-stateless"}


@dataclass(frozen=True)
class Server:
    """What the dnsmasq of this host is like, and what it may do."""

    program: str
    #: Whether it reads new files by itself.
    has_inotify: bool
    #: "--bind-dynamic", where the system has it: it looks at the device that a query comes by.
    binding: str
    #: Arguments about whom it becomes once it has its sockets.
    identity: tuple[str, ...]
    loopback: str = "lo"


@dataclass(frozen=True)
class Plan:
    """What a network's server is started with, and the files that it reads then."""

    arguments: tuple[str, ...]
    environment: tuple[str, ...]
    #: The configuration file: options that go to clients that have not asked for them.
    configuration: str
    hosts: str
    options: str
    names: str

    def is_same_start(self, other: Plan | None) -> bool:
        """Whether a server that was started with one need not be started anew for the other."""
        return other is not None and (self.arguments, self.environment, self.configuration) == (
            other.arguments,
            other.environment,
            other.configuration,
        )


def plan(network: DhcpNetwork, place: Place, server: Server) -> Plan:
    """Return what the server of a network is started with.

    Raises:
        Unsupported: dnsmasq has no way to send an option, or to be told of a host.
    """
    told = [host for host in network.hosts if host.options or host.options6]
    # dnsmasq 2.90 links the tags of a host with those of its client's request, and follows the link when it frees the
    # hosts of its files to read them again: it dies of it. Those of its configuration it never frees.
    tagged = [host for host in told if is_tagged(host)]
    common = told_in_common(network, (key for host in told for key in kept_from(host)))
    names = [line for host in network.hosts for line in name_lines(host, network.domain)]
    return Plan(
        arguments=arguments(network, place, server),
        environment=tuple(_environment(network, place)),
        configuration=_text(
            [
                *_configuration(network, common),
                *(f"dhcp-host={host_line(host, common)}" for host in tagged),
                *(line for host in told for line in forced_lines(host, common)),
            ]
        ),
        hosts=_text([host_line(host, common) for host in network.hosts if not is_tagged(host)]),
        options=_text(
            [*network_options(network, common), *(line for host in told for line in option_lines(host, common))]
        ),
        names=_text(names if network.dns else ()),
    )


def arguments(network: DhcpNetwork, place: Place, server: Server) -> tuple[str, ...]:
    """Return what a network's server is started with, the program first; it does not depend on the hosts."""
    return (server.program, *_arguments(network, place, server))


def serves_leases(network: DhcpNetwork) -> bool:
    """Whether the server is one for DHCP or DHCPv6: else it reads neither hosts nor options."""
    return network.serves_dhcp or network.ipv6 not in (None, Ipv6Mode.SLAAC)


def last_read(network: DhcpNetwork, place: Place) -> Path | None:
    """Return the last of the files that the server reads when it starts or reloads; None: it reads none."""
    return place.options if serves_leases(network) else place.names if network.dns else None


def _configuration(network: DhcpNetwork, common: Common) -> Iterator[str]:
    """Give the lines of the configuration file that are for all clients."""
    yield from (f"dhcp-option-force={line}" for line in forced_options(network, common))
    if not serves_leases(network):
        # Router advertisements tell DNS servers, and who serves no leases reads no file of options.
        yield from (f"dhcp-option={line}" for line in network_options(network, common))


def _text(lines: Iterable[str]) -> str:
    return "".join([f"{line}\n" for line in lines])


def _environment(network: DhcpNetwork, place: Place) -> Iterator[str]:
    """Give what the program that dnsmasq calls for each lease event is told."""
    if network.lease_events == "log":
        yield f"REFNET_DHCP_EVENTS={place.events}"
    elif network.lease_events:
        yield f"REFNET_DHCP_SOCKET={network.lease_events}"
    if network.lease_store:
        yield "REFNET_DHCP_STORE=1"


def _arguments(network: DhcpNetwork, place: Place, server: Server) -> Iterator[str]:
    """Give the arguments. The first and the last are what a server that was left behind is known by."""
    yield f"--pid-file={place.pid}"
    yield from ("--no-hosts", "--no-resolv", "--no-poll")
    yield from server.identity
    yield from (server.binding, f"--interface={network.device}", f"--except-interface={server.loopback}")
    yield f"--log-facility={place.log}"
    yield from _dns(network)
    yield f"--dhcp-leasefile={place.leases}"
    yield f"--dhcp-lease-max={_most_leases(network)}"
    if network.is_authoritative:
        yield "--dhcp-authoritative"
    if not network.checks_addresses:
        yield "--no-ping"
    if not network.logs_dhcp:
        yield from ("--quiet-dhcp", "--quiet-dhcp6", "--quiet-ra")
    if network.domain:
        yield f"--domain={network.domain}"
    yield from _ranges(network)
    if network.router_advertisement:
        yield from _advertised(network.device, network.router_advertisement)
    yield from (f"--dhcp-hostsfile={place.hosts}", f"--dhcp-optsfile={place.options}")
    if network.dns:
        yield f"--addn-hosts={place.names}"
    if server.has_inotify:
        yield f"--dhcp-hostsdir={place.added_hosts}"
        if network.dns:
            yield f"--hostsdir={place.added_names}"
    if network.lease_events:
        yield f"--dhcp-script={place.event}"
    if network.lease_store:
        yield "--leasefile-ro"
    yield f"--conf-file={place.configuration}"


def _most_leases(network: DhcpNetwork) -> int:
    """Return a number of leases that is in no client's way; dnsmasq's own limit is 1000 (dnsmasq(8))."""
    most = sum(one.num_addresses for one in all_networks(network) if one.version == 4)
    if network.ipv6 is not None and network.ipv6.is_stateful:
        most += _LEASES_IPV6
    return min(max(most, 1), _MOST_LEASES)


def _dns(network: DhcpNetwork) -> Iterator[str]:
    if network.dns is None:
        yield "--port=0"
        return
    if network.dns.forwarders:
        yield "--strict-order"
        yield from (f"--server={one}" for one in network.dns.forwarders)
        # Names of hosts without their domain are the network's own, whatever is asked of them.
        yield "--local=//"
    if network.domain:
        yield f"--local=/{network.domain}/"
    for one in all_networks(network):
        yield from (f"--local=/{zone}/" for zone in reverse_zones(one))


def reverse_zones(network: IPNetwork) -> list[str]:
    """Return the names of the DNS zones in which the addresses of a network are, and no more of them than it takes."""
    bits = _LABEL_BITS[network.version]
    length = -(-network.prefixlen // bits)
    # 0.9.10.in-addr.arpa: as many labels as the prefix reaches into, the first one in all its values.
    labels = length + 2
    base = int(network.network_address) >> (network.max_prefixlen - length * bits)
    return [
        ".".join(
            _reverse_pointer((base + one) << (network.max_prefixlen - length * bits), network).split(".")[-labels:]
        )
        for one in range(1 << (length * bits - network.prefixlen))
    ]


def _reverse_pointer(address: int, network: IPNetwork) -> str:
    return type(network.network_address)(address).reverse_pointer


# -- who gets addresses ------------------------------------------------------------------------------------


def _ranges(network: DhcpNetwork) -> Iterator[str]:
    time = FOR_EVER if network.lease_time is None else str(network.lease_time)
    for number, own in enumerate(network.addresses):
        ranges = [one for one in network.ranges if one.network is None and one.first in own.network]
        if own.version == 4:
            yield from _ipv4_ranges(own_tag(number), own.network, ranges, time)
        elif network.ipv6 is not None:
            yield from _ipv6_ranges(own.network, ranges, network.ipv6, time)
    for number, relayed in enumerate(relayed_networks(network)):
        ranges = [one for one in network.ranges if one.network == relayed]
        yield from _ipv4_ranges(relayed_tag(number), relayed, ranges, time)


def _ipv4_ranges(tag: str, network: IPNetwork, ranges: list[Range], time: str) -> Iterator[str]:
    for one in ranges:
        yield f"--dhcp-range=set:{tag},{one.first},{one.last},{network.netmask},{time}"
    if not ranges:
        yield f"--dhcp-range=set:{tag},{network.network_address},static,{network.netmask},{time}"


def _ipv6_ranges(network: IPNetwork, ranges: list[Range], mode: Ipv6Mode, time: str) -> Iterator[str]:
    """Give the ranges of a network of IPv6, which say the flags of router advertisements as well.

    dnsmasq sets A with "ra-only", A and O with "ra-stateless", M and O with addresses, and A besides with "slaac".
    """
    if not mode.is_stateful:
        yield f"--dhcp-range={network.network_address},{_V6_MODES[mode]},{network.prefixlen},{time}"
        return
    slaac = "slaac," if mode.is_autonomous else ""
    for one in ranges:
        yield f"--dhcp-range={one.first},{one.last},{slaac}{network.prefixlen},{time}"
    if not ranges:
        yield f"--dhcp-range={network.network_address},static,{slaac}{network.prefixlen},{time}"


def _advertised(device: str, told: RouterAdvertisement) -> Iterator[str]:
    mtu = "off" if told.mtu is None else told.mtu
    preference = "" if told.preference == "medium" else f"{told.preference},"
    yield "--enable-ra"
    yield f"--ra-param={device},mtu:{mtu},{preference}{told.interval},{told.lifetime}"
