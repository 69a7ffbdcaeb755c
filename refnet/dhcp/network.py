"""Networks: what a DHCP server is to serve, validated when it is made."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from refnet import names
from refnet.dhcp import checks, values
from refnet.dhcp.hosts import Host
from refnet.dhcp.options import Option, Options, encoded
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

__all__ = ["DhcpNetwork", "Host"]

#: Seconds: DHCP's usual hour.
DEFAULT_LEASE_TIME = 3600

T = TypeVar("T")


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
        put(self, "hosts", _hosts(hosts))
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
        try:
            checks.check(self)
        except InvalidArgument as error:
            error.device = self.device
            raise

    @property
    def networks(self) -> tuple[IPNetwork, ...]:
        """The networks that the server is in, by its addresses."""
        return tuple(one.network for one in self.addresses)

    @property
    def serves_dhcp(self) -> bool:
        """Whether there is an IPv4 network to serve."""
        return any(one.version == 4 for one in self.addresses)

    def check_host(self, host: Host) -> None:
        """See that a host can be one of the network, whatever the others are: in a time that does not grow with them.

        Raises:
            InvalidArgument: it cannot; the message says which of its addresses, and why.
        """
        checks.check_host(self, _of_kind(host, Host, "host"))

    def with_hosts(self, hosts: Iterable[Host]) -> DhcpNetwork:
        """Return the same network with other hosts.

        Raises:
            InvalidArgument: they do not go together with it, or with each other.
        """
        return _replaced(self, hosts=tuple(hosts))


def _several(value: Any, what: str, normal: Callable[[object], InterfaceAddress]) -> tuple[InterfaceAddress, ...]:
    # Interface addresses are iterable in none of Python's versions; text is.
    return values.several(value, what, lambda one, _: normal(one))


def _instances(value: Any, kind: type[T], what: str) -> tuple[T, ...]:
    return values.several(
        (value,) if isinstance(value, kind) else value, what, lambda one, _: _of_kind(one, kind, what)
    )


def _hosts(value: Any) -> tuple[Host, ...]:
    # No two are alike, which is seen by what they are known by: a look at all that ten thousand say takes longer.
    found = (value,) if isinstance(value, Host) else tuple(value) if isinstance(value, Iterable) else (value,)
    return tuple(_of_kind(one, Host, "host") for one in found)


def _instance(value: Any, kind: type[T], what: str) -> T | None:
    return None if value is None else _of_kind(value, kind, what)


def _of_kind(value: Any, kind: type[T], what: str) -> T:
    if not isinstance(value, kind):
        raise InvalidArgument(
            f"{what} {shown(value)} is no {kind.__name__}: make one with refnet.dhcp.{kind.__name__}(…)"
        )
    return value


def _replaced(network: DhcpNetwork, **fields: Any) -> DhcpNetwork:
    """Return a copy with other values in some fields, validated as a new one is."""
    given = {one.name: getattr(network, one.name) for one in dataclasses.fields(network)} | fields
    return DhcpNetwork(given.pop("device"), given.pop("addresses"), **given)
