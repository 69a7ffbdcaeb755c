"""Networks and their hosts: what a DHCP server is to serve, validated when it is made."""

from __future__ import annotations

import dataclasses
import ipaddress
import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from refnet import names
from refnet.dhcp import values
from refnet.dhcp.options import Option, encoded
from refnet.dhcp.values import Dns, Ipv6Mode, Range, Route, RouterAdvertisement
from refnet.errors import InvalidArgument
from refnet.names import (
    InterfaceAddress,
    IPAddress,
    IPNetwork,
    device_name,
    flag,
    interface_address,
    ip_address,
    shown,
)

#: Seconds: DHCP's usual hour.
DEFAULT_LEASE_TIME = 3600

#: Options that a network has fields for, by their codes.
_FIELDS = {
    4: {1: "addresses", 3: "gateway", 6: "dns_servers", 15: "domain", 26: "mtu", 119: "search", 121: "routes"},
    6: {23: "dns_servers", 24: "search"},
}

T = TypeVar("T")
Options = Mapping[int | str, Any] | Iterable[Option]


@dataclass(frozen=True, slots=True)
class Host:
    """A client that always gets the same addresses, or that is not to get any.

    Attributes:
        mac_addresses: its MAC addresses: one, or several of which it uses one at a time (a laptop's cable and radio).
        client_id: its client identifier (option 61), or its DUID for DHCPv6; a client that has sent one is known by it
            whatever its MAC address. At least one of both is needed.
        addresses: one of IPv4, any number of IPv6, or none for one out of the ranges.
        name: what DNS calls it and what it is told (option 12); one label.
        options: DHCP options for it alone; they go before the network's.
        options6: the same for DHCPv6.
        lease_time: seconds, or None for the network's.
        is_ignored: whether it gets no answer at all.
    """

    mac_addresses: tuple[str, ...]
    client_id: str | None
    addresses: tuple[IPAddress, ...]
    name: str | None
    options: tuple[Option, ...]
    options6: tuple[Option, ...]
    lease_time: int | None
    is_ignored: bool

    def __init__(
        self,
        mac_addresses: str | Iterable[str] = (),
        addresses: str | IPAddress | Iterable[str | IPAddress] = (),
        *,
        name: str | None = None,
        client_id: str | bytes | None = None,
        options: Options = (),
        options6: Options = (),
        lease_time: int | None = None,
        is_ignored: bool = False,
    ) -> None:
        """Validate.

        Raises:
            InvalidArgument: a value is none, or nothing says who it is.
        """
        put = object.__setattr__
        put(self, "mac_addresses", values.several(mac_addresses, "MAC address", lambda one, _: names.mac_address(one)))
        put(self, "client_id", None if client_id is None else values.client_id(client_id))
        put(self, "addresses", values.several(addresses, "host's address", ip_address))
        put(self, "name", None if name is None else values.host_name(name))
        put(self, "options", encoded(options, 4))
        put(self, "options6", encoded(options6, 6))
        put(self, "lease_time", values.lease_time(lease_time))
        put(self, "is_ignored", flag(is_ignored, "is_ignored"))
        if not self.mac_addresses and self.client_id is None:
            raise InvalidArgument(f"host {shown(name)} has neither a MAC address nor a client identifier")
        if sum(one.version == 4 for one in self.addresses) > 1:
            raise InvalidArgument(f"host {self} has several IPv4 addresses: DHCP gives a client one")

    @property
    def identities(self) -> tuple[str, ...]:
        """What it is known by: MAC addresses, and the client identifier."""
        return (*self.mac_addresses, self.client_id) if self.client_id else self.mac_addresses

    def __str__(self) -> str:
        """Give its name, or else what it is known by first."""
        return self.name or (self.identities or ("?",))[0]


@dataclass(frozen=True, slots=True)
class DhcpNetwork:
    """What the server on a device is to serve.

    Attributes:
        device: a bridge, or any device that clients are behind.
        addresses: the server's addresses on the device, with prefix lengths: one of IPv4, one of IPv6, or several of
            either for several networks on one device. The device has to have them.
        ranges: what is given to whoever asks. Without a range in a network, only hosts get addresses there.
        hosts: clients that always get the same.
        gateway: the clients' default gateway (option 3); None: they are told none.
        dns: how DNS is served; None: it is not.
        dns_servers: the DNS servers that clients are told (option 6, option 23 of DHCPv6, RDNSS). None: this server's
            addresses if it serves DNS, else none; (): none.
        domain: the domain of clients' names (option 15).
        search: domains that clients look names up in (option 119, DNSSL).
        mtu: bytes, told to clients (option 26), whether they ask for it or not.
        routes: told to clients (option 121). A client that gets them takes no notice of the gateway (RFC 3442), so
            that the route to it is told among them.
        lease_time: seconds, at least 120; None: for ever.
        options: other DHCP options, by number or name (:func:`~refnet.dhcp.options.encoded`).
        options6: other DHCPv6 options.
        ipv6: how clients come to IPv6 addresses; None: not from here.
        router_advertisement: how routers are advertised. None: they are not, which SLAAC cannot do without.
        is_authoritative: whether requests for addresses that are not this network's are refused (DHCPNAK) rather than
            ignored: there is no other server on it.
        checks_addresses: whether an address of a range is asked for by ICMP before it is offered, which takes up to
            three seconds a client.
        lease_events: where changes of leases are told: ``"log"``, the file ``events`` in the network's directory (read
            by :func:`refnet.dhcp.events.read`), or the path of a Unix socket that a program listens on
            (:func:`refnet.dhcp.events.listen`). None: nowhere.
        lease_store: whether refnet keeps the leases, out of the events of the log, and the server none of its own.
        logs_dhcp: whether each DHCP message is written to the network's log.
    """

    device: str
    addresses: tuple[InterfaceAddress, ...]
    ranges: tuple[Range, ...]
    hosts: tuple[Host, ...]
    gateway: ipaddress.IPv4Address | None
    dns: Dns | None
    dns_servers: tuple[IPAddress, ...] | None
    domain: str | None
    search: tuple[str, ...]
    mtu: int | None
    routes: tuple[Route, ...]
    lease_time: int | None
    options: tuple[Option, ...]
    options6: tuple[Option, ...]
    ipv6: Ipv6Mode | None
    router_advertisement: RouterAdvertisement | None
    is_authoritative: bool
    checks_addresses: bool
    lease_events: str | None
    lease_store: bool
    logs_dhcp: bool

    def __init__(
        self,
        device: str,
        addresses: str | InterfaceAddress | Iterable[str | InterfaceAddress],
        *,
        ranges: Range | Iterable[Range] = (),
        hosts: Host | Iterable[Host] = (),
        gateway: str | IPAddress | None = None,
        dns: Dns | None = Dns(),  # noqa: B008 - frozen
        dns_servers: str | IPAddress | Iterable[str | IPAddress] | None = None,
        domain: str | None = None,
        search: str | Iterable[str] = (),
        mtu: int | None = None,
        routes: Route | Iterable[Route] = (),
        lease_time: int | None = DEFAULT_LEASE_TIME,
        options: Options = (),
        options6: Options = (),
        ipv6: Ipv6Mode | str | None = None,
        router_advertisement: RouterAdvertisement | None = RouterAdvertisement(),  # noqa: B008 - frozen
        is_authoritative: bool = True,
        checks_addresses: bool = False,
        lease_events: str | None = None,
        lease_store: bool = False,
        logs_dhcp: bool = False,
    ) -> None:
        """Validate.

        Raises:
            InvalidArgument: a value is none, or two of them do not go together; the message says which and why.
        """
        put = object.__setattr__
        put(self, "device", device_name(device, "device"))
        put(self, "addresses", _several(addresses, "server's address", interface_address))
        put(self, "ranges", _instances(ranges, Range, "range"))
        put(self, "hosts", _instances(hosts, Host, "host"))
        put(self, "gateway", None if gateway is None else values.ipv4_address(gateway, "gateway"))
        put(self, "dns", _instance(dns, Dns, "dns"))
        put(self, "dns_servers", None if dns_servers is None else values.several(dns_servers, "DNS server", ip_address))
        put(self, "domain", None if domain is None else values.domain(domain))
        put(self, "search", values.several(search, "search domain", values.domain))
        put(self, "mtu", None if mtu is None else names.mtu(mtu))
        put(self, "routes", _instances(routes, Route, "route"))
        put(self, "lease_time", values.lease_time(lease_time))
        put(self, "options", encoded(options, 4))
        put(self, "options6", encoded(options6, 6))
        put(self, "ipv6", None if ipv6 is None else values.ipv6_mode(ipv6))
        advertised = _instance(router_advertisement, RouterAdvertisement, "router_advertisement")
        put(self, "router_advertisement", advertised if ipv6 is not None else None)
        for name, value in (
            ("is_authoritative", is_authoritative),
            ("checks_addresses", checks_addresses),
            ("lease_store", lease_store),
            ("logs_dhcp", logs_dhcp),
        ):
            put(self, name, flag(value, name))
        put(self, "lease_events", values.lease_events(lease_events))
        _check_own(self)
        _check_ranges(self)
        _check_hosts(self)

    @property
    def networks(self) -> tuple[IPNetwork, ...]:
        """The networks that the server is in, by its addresses."""
        return tuple(one.network for one in self.addresses)

    @property
    def serves_dhcp(self) -> bool:
        """Whether there is an IPv4 network to serve."""
        return any(one.version == 4 for one in self.addresses)

    def with_hosts(self, hosts: Iterable[Host]) -> DhcpNetwork:
        """Return the same network with other hosts.

        Raises:
            InvalidArgument: they do not go together with it, or with each other.
        """
        return _replaced(self, hosts=tuple(hosts))


def _check_own(network: DhcpNetwork) -> None:
    """See that what is said of the server and of its networks goes together."""
    if not network.addresses:
        raise InvalidArgument(f"network on {network.device}: it has no server's address")
    for number, one in enumerate(network.addresses):
        for other in network.addresses[:number]:
            if one.version == other.version and one.network.overlaps(other.network):
                raise InvalidArgument(f"server's addresses {other} and {one} are in one network: one is enough")
    has_ipv6 = any(one.version == 6 for one in network.addresses)
    if network.ipv6 is not None and not has_ipv6:
        raise InvalidArgument(f"ipv6 is {str(network.ipv6)!r}, and the server has no IPv6 address to tell a prefix by")
    if network.ipv6 is not None and network.ipv6.is_autonomous:
        for one in network.addresses:
            if one.version == 6 and one.network.prefixlen != 64:
                raise InvalidArgument(
                    f"clients make addresses in networks of /64 only (RFC 4862), not in {one.network}"
                )
        if network.router_advertisement is None:
            raise InvalidArgument(f"ipv6 is {str(network.ipv6)!r}, which takes router advertisements")
    if network.gateway is not None and not any(network.gateway in one for one in network.networks):
        raise InvalidArgument(f"gateway {network.gateway} is in no network of the server: {_listed(network.networks)}")
    for route in network.routes:
        if not route.gateway.is_unspecified and not any(route.gateway in one for one in network.networks):
            raise InvalidArgument(
                f"route to {route.destination}: gateway {route.gateway} is in no network of the server"
            )
    for version, found in ((4, network.options), (6, network.options6)):
        for option in found:
            field = _FIELDS[version].get(option.code)
            if field:
                raise InvalidArgument(f"option {option.code} is what {field!r} says: give it there")
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
        within = [net for net in network.networks if one.first in net]
        if one.network is not None:
            if any(net.overlaps(one.network) for net in network.networks if net.version == 4):
                raise InvalidArgument(f"range {one}: {one.network} is the server's own, and needs no relay")
        elif not within or one.last not in within[0]:
            raise InvalidArgument(f"range {one} is in no network of the server: {_listed(network.networks)}")
        net = one.network or within[0]
        if net.version == 4 and net.prefixlen < 31 and (net.network_address in one or net.broadcast_address in one):
            raise InvalidArgument(f"range {one} has the address of the network {net} itself, or its broadcast address")


def _check_hosts(network: DhcpNetwork) -> None:
    """See that each host can be one of the network, and that no two are alike."""
    networks = [*network.networks, *(one.network for one in network.ranges if one.network)]
    own = {one.ip for one in network.addresses}
    edges = {edge for net in networks if net.version == 4 and net.prefixlen < 31 for edge in (net[0], net[-1])}
    seen: dict[object, Host] = {}
    for host in network.hosts:
        for address in host.addresses:
            if address in own:
                raise InvalidArgument(f"host {host}: {address} is the server's own address")
            if address in edges or not any(address in net for net in networks):
                raise InvalidArgument(f"host {host}: {address} is no host's address in {_listed(networks)}")
            if address.version == 6 and not (network.ipv6 and network.ipv6.is_stateful):
                raise InvalidArgument(
                    f"host {host}: {address} can be given only if ipv6 is 'stateful' or 'stateful-slaac'"
                )
        for what in (*host.identities, *host.addresses, *([("name", host.name)] if host.name else [])):
            other = seen.setdefault(what, host)
            if other is not host:
                words = f"the name {what[1]!r}" if isinstance(what, tuple) else str(what)
                raise InvalidArgument(f"hosts {other} and {host} have both {words}")


def _several(value: Any, what: str, normal: Callable[[object], InterfaceAddress]) -> tuple[InterfaceAddress, ...]:
    # Interface addresses are iterable in none of Python's versions; text is.
    return values.several(value, what, lambda one, _: normal(one))


def _instances(value: Any, kind: type[T], what: str) -> tuple[T, ...]:
    return values.several(
        (value,) if isinstance(value, kind) else value, what, lambda one, _: _of_kind(one, kind, what)
    )


def _instance(value: Any, kind: type[T], what: str) -> T | None:
    return None if value is None else _of_kind(value, kind, what)


def _of_kind(value: Any, kind: type[T], what: str) -> T:
    if not isinstance(value, kind):
        raise InvalidArgument(
            f"{what} {shown(value)} is no {kind.__name__}: make one with refnet.dhcp.{kind.__name__}(…)"
        )
    return value


def _listed(networks: Iterable[IPNetwork]) -> str:
    return ", ".join(map(str, networks)) or "none"


def _replaced(network: DhcpNetwork, **fields: Any) -> DhcpNetwork:
    """Return a copy with other values in some fields, validated as a new one is."""
    given = {one.name: getattr(network, one.name) for one in dataclasses.fields(network)} | fields
    return DhcpNetwork(given.pop("device"), given.pop("addresses"), **given)
