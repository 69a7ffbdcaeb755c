"""Networks and hosts in words, for people: a line each, and a network in several."""

from __future__ import annotations

from collections.abc import Iterable

from refnet.dhcp.hosts import Host
from refnet.dhcp.network import DhcpNetwork
from refnet.dhcp.options import Option as DhcpOption
from refnet.dhcp.options import decoded, name
from refnet.dhcp.values import Ipv6Mode

_IPV6 = {
    Ipv6Mode.SLAAC: "clients make addresses",
    Ipv6Mode.STATELESS: "clients make addresses, and ask DHCPv6 for the rest",
    Ipv6Mode.STATEFUL: "clients get addresses by DHCPv6",
    Ipv6Mode.STATEFUL_SLAAC: "clients get addresses by DHCPv6, and make their own besides",
}
#: Octets of an option that are shown where it has no type.
_SHOWN = 32


def network(one: DhcpNetwork) -> list[str]:
    """Say what is served on a device: what it is in the first line, then a line for each thing, and for each host."""
    lines = [f"network on {one.device}: {_list(one.addresses)}"]
    if one.serves_dhcp:
        ends = "for ever" if one.lease_time is None else f"for {_duration(one.lease_time)}"
        lines.append(f"leases {ends}" + ("" if one.ranges else ", to hosts only"))
    for part in one.ranges:
        lines.append(f"range {part}" + (f" in {part.network}, behind a relay" if part.network else ""))
    told = [
        ("gateway", one.gateway),
        ("DNS servers", None if one.dns_servers is None else _list(one.dns_servers) or "none"),
        ("domain", one.domain),
        ("search", _list(one.search) or None),
        ("MTU", one.mtu),
        *((f"route to {route.destination}", f"by {route.gateway}") for route in one.routes),
    ]
    lines += [f"{what} {value}" for what, value in told if value is not None]
    lines += [option(found, version) for version, each in ((4, one.options), (6, one.options6)) for found in each]
    if one.dns is not None:
        lines.append(f"DNS, forwarded to {_list(one.dns.forwarders)}" if one.dns.forwarders else "DNS of its own names")
    if one.ipv6 is not None:
        lines.append(f"IPv6 {one.ipv6}: {_IPV6[one.ipv6]}")
        advertised = one.router_advertisement
        if advertised is not None:
            router = f"a router for {_duration(advertised.lifetime)}" if advertised.lifetime else "no default router"
            lines.append(f"advertised each {_duration(advertised.interval)} as {router}")
    if one.lease_events is not None:
        lines.append(f"lease events to {'the log' if one.lease_events == 'log' else one.lease_events}")
    return lines + [host(each) for each in one.hosts]


def host(one: Host) -> str:
    """Say who a host is, and what it gets: ``host web: 52:54:00:12:34:56, gets 192.0.2.10``."""
    called = f"host {one.name}: " if one.name else "host "
    gets = "no answer" if one.is_ignored else _list(one.addresses) or "an address out of the range"
    said = f"{called}{' or '.join(one.identities)}, gets {gets}"
    if one.lease_time is not None:
        said += f" for {_duration(one.lease_time)}"
    own = [option(found, version) for version, each in ((4, one.options), (6, one.options6)) for found in each]
    return said + (f"; {'; '.join(own)}" if own else "")


def option(one: DhcpOption, version: int) -> str:
    """Say what an option is: ``option 42 (ntp-server) 192.0.2.123``."""
    called = name(one.code, version)
    said = f"{'option' if version == 4 else 'DHCPv6 option'} {one.code}" + (f" ({called})" if called else "")
    if one.data is None:
        return f"{said} withheld"
    value = decoded(one, version)
    if value is None:
        cut = "…" if len(one.data) > _SHOWN else ""
        value = one.data[:_SHOWN].hex(":") + cut
    shown = ", ".join(" by ".join(each) if isinstance(each, list) else str(each) for each in _several(value))
    return f"{said} {shown}" + (", also unasked" if one.is_forced else "")


def _several(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _duration(seconds: int) -> str:
    """Give ``90 s``, ``1 h``, ``1 d 2 h``: the two largest units."""
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def _list(several: Iterable[object]) -> str:
    return ", ".join(map(str, several))
