"""Nova's functions about dnsmasq, over :mod:`refnet.dhcp`.

A network is served as Nova served it: by its hosts alone, each with its address and name, for ``dhcp_lease_time``, with
the domain ``dhcp_domain``; DNS questions about others go to the servers that Nova would have asked. What Nova took
from its database comes from the option ``fixed_ips``. A *fixed IP* is a mapping or an object with ``address``,
``allocated``, ``virtual_interface`` (``address``), ``virtual_interface_id``, ``instance`` (``hostname``) and
``default_route``.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from refnet import dhcp, netdev
from refnet.dhcp import DhcpManager, DhcpNetwork, Dns, Host, Lease
from refnet.errors import InvalidArgument
from refnet.linux_net.gateway import has_ipv6, ipv6_address, told_gateway
from refnet.linux_net.interfaces import get_dev
from refnet.linux_net.settings import options
from refnet.linux_net.tables import iptables_manager
from refnet.linux_net.values import field, needed, number, text, with_prefix
from refnet.names import ip_address, mac_address, shown

_LOG = logging.getLogger(__name__)

_RESOLVERS = Path("/etc/resolv.conf")
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)
_MAC = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}", re.ASCII)
_ROUTER = 3  # RFC 2132, 3.5


class _Guest(NamedTuple):
    """A client as Nova's database has it."""

    mac: str
    address: str
    name: str | None
    vif_id: object
    is_routed: bool


# -- servers -------------------------------------------------------------------------------------------


def update_dhcp(context: Any, dev: str, network_ref: Any) -> None:
    """Have a server serve a network with the hosts that it has now: :meth:`DhcpManager.start`.

    Raises: what :meth:`DhcpManager.start` raises; InvalidArgument: the option ``fixed_ips`` is not set.
    """
    restart_dhcp(context, dev, network_ref, _fixed_ips(context, network_ref))


def update_dns(context: Any, dev: str, network_ref: Any) -> None:
    """Have a server answer for the names of the hosts that a network has now: the same as :func:`update_dhcp`."""
    update_dhcp(context, dev, network_ref)


def update_ra(context: Any, dev: str, network_ref: Any) -> None:
    """Have a server advertise a network's ``cidr_v6`` as well, whatever ``use_ipv6`` says: see :func:`update_dhcp`."""
    _manager().start(_network(dev, network_ref, _fixed_ips(context, network_ref), with_ipv6=True))


def restart_dhcp(context: Any, dev: str, network_ref: Any, fixedips: Iterable[Any]) -> None:
    """Have a server serve a network with these hosts: :meth:`DhcpManager.start`.

    One that runs already reads other hosts anew; it is started again only for what it takes that for.

    Raises: what :meth:`DhcpManager.start` raises.
    """
    del context  # refnet has no database to ask
    _manager().start(_network(dev, network_ref, fixedips, with_ipv6=has_ipv6(network_ref)))


def kill_dhcp(dev: str) -> None:
    """Stop a device's server, if there is one, and take its rules away: :meth:`DhcpManager.stop`. Leases stay."""
    _manager().stop(dev)


def release_dhcp(dev: str, address: str, mac_address: str) -> None:
    """End a client's lease; on a device that is not there, nothing is done: :meth:`DhcpManager.release`."""
    if netdev.device_exists(dev):
        _manager().release(dev, address, mac_address)


def update_dhcp_hostfile_with_text(dev: str, hosts_text: str) -> None:
    """Have a device's running server serve the hosts of a text as :func:`get_dhcp_hosts` returns it.

    A host that the server knows keeps what it is told besides.

    Raises:
        InvalidArgument: a line cannot be read.
        Others: what :meth:`DhcpManager.update` raises, :class:`~refnet.errors.NotRunning` among them.
    """
    if not isinstance(hosts_text, str):
        raise InvalidArgument(f"hosts are a text, not {shown(hosts_text)}")
    manager = _manager()
    network = manager.network(dev)
    known = {mac: host for host in network.hosts for mac in host.mac_addresses}
    lines = [line.strip() for line in hosts_text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    manager.update(network.with_hosts(_host(line, network.domain, known) for line in lines))


# -- texts ---------------------------------------------------------------------------------------------


def get_dhcp_hosts(context: Any, network_ref: Any, fixedips: Iterable[Any]) -> str:
    """Return the hosts of a network as dnsmasq's ``--dhcp-hostsfile`` has them (dnsmasq(8)), a line each."""
    del context, network_ref
    lines = []
    for one in _guests(fixedips):
        parts = [one.mac, *([_full(one.name)] if one.name else []), one.address]
        if options.use_single_default_gateway:
            parts.append(f"net:{_tag(one.vif_id)}")
        lines.append(",".join(parts))
    return "\n".join(lines)


def get_dhcp_opts(context: Any, network_ref: Any, fixedips: Iterable[Any]) -> str:
    """Return what the hosts of a network are told of a gateway, as ``--dhcp-optsfile`` has it (dnsmasq(8))."""
    del context
    gateway = told_gateway(network_ref)
    told = [str(_ROUTER), *([gateway] if gateway else [])]
    if not options.use_single_default_gateway:
        return ",".join(told)
    return "\n".join(",".join([_tag(one.vif_id), *(told if one.is_routed else told[:1])]) for one in _guests(fixedips))


def get_dns_hosts(context: Any, network_ref: Any) -> str:
    """Return the names of a network's hosts on all hosts as hosts(5) has them, a line each."""
    guests = _guests(_fixed_ips(context, network_ref, every_host=True))
    return "\n".join(f"{one.address}\t{_full(one.name)}" for one in guests if one.name)


def get_dhcp_leases(context: Any, network_ref: Any) -> str:
    """Return the leases that the clients of a network have, as dnsmasq's lease file has them, a line each."""
    del context
    return "\n".join(_lease_line(one) for one in _manager().leases(get_dev(network_ref)) if one.mac_address)


# -- a network as refnet has it ------------------------------------------------------------------------


def _manager() -> DhcpManager:
    return dhcp.get_manager(options.networks_path, firewall=iptables_manager.firewall)


def _network(dev: str, network_ref: Any, fixedips: Iterable[Any], *, with_ipv6: bool) -> DhcpNetwork:
    address = with_prefix(needed(network_ref, "dhcp_server"), needed(network_ref, "cidr"))
    addresses = [address, ipv6_address(network_ref)] if with_ipv6 else [address]
    gateway = told_gateway(network_ref)
    own = {str(ipaddress.ip_interface(one).ip) for one in addresses}
    return DhcpNetwork(
        dev,
        addresses,
        hosts=[_as_host(one, withholds=gateway is not None) for one in _guests(fixedips)],
        gateway=gateway,
        dns=Dns(_dns_servers(network_ref, own)),
        domain=options.dhcp_domain or None,
        lease_time=number(options.dhcp_lease_time, "lease time"),
        ipv6="slaac" if with_ipv6 else None,
        lease_events=options.lease_events,
    )


def _dns_servers(network_ref: Any, own: set[str]) -> list[str]:
    """Return who is asked about other names: as configured, else whom this host asks itself."""
    found = list(options.dns_server)
    if options.use_network_dns_servers:
        found += [one for one in (text(network_ref, "dns1"), text(network_ref, "dns2")) if one]
    return list(dict.fromkeys(found)) or [one for one in _resolvers() if one not in own]


def _resolvers() -> list[str]:
    """Return the DNS servers of this host (resolv.conf(5)) that others can ask by their address alone."""
    try:
        lines = _RESOLVERS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    found = []
    for words in (line.split() for line in lines):
        if words[:1] == ["nameserver"] and len(words) > 1:
            try:
                found.append(ipaddress.ip_address(words[1]))
            except ValueError:
                continue
    return list(dict.fromkeys(str(one) for one in found if not (one.is_link_local or one.is_unspecified)))


def _fixed_ips(context: Any, network_ref: Any, *, every_host: bool = False) -> list[Any]:
    if options.fixed_ips is None:
        raise InvalidArgument(
            "refnet has no database: say where the fixed IPs of a network come from, with "
            "configure(fixed_ips=lambda context, network, host: …)"
        )
    host = options.host if field(network_ref, "multi_host", False) and not every_host else None
    return _listed(options.fixed_ips(context, network_ref, host))


def _listed(fixedips: object) -> list[Any]:
    if not isinstance(fixedips, Iterable) or isinstance(fixedips, str | bytes):
        raise InvalidArgument(f"fixed IPs are a list of mappings or objects, not {shown(fixedips)}")
    return list(fixedips)


def _guests(fixedips: Iterable[Any]) -> list[_Guest]:
    """Return the clients that addresses are allocated to, each with its first address, and with its name if it can be.

    One that is no name, or another's, is left out: its client gets its address all the same, and so do the others.
    """
    # What a line of dnsmasq's is made of is no more than one word each.
    found: dict[str, _Guest] = {}
    taken: set[str] = set()
    for one in _listed(fixedips):
        said = text(field(one, "virtual_interface", None), "address")
        mac = mac_address(said) if said and field(one, "allocated", False) else None
        if mac is None or mac in found:
            continue
        hostname = text(field(one, "instance", None), "hostname")
        name = hostname if hostname and _LABEL.fullmatch(hostname) and hostname.lower() not in taken else None
        if hostname and name is None:
            why = "another host has it" if hostname.lower() in taken else "it is no label of 1 to 63 A-Z a-z 0-9 -"
            _LOG.warning("%s is served without its name %s: %s", mac, shown(hostname), why)
        taken |= {name.lower()} if name else set()
        vif_id, is_routed = field(one, "virtual_interface_id", None), bool(field(one, "default_route", False))
        address = str(ip_address(needed(one, "address"), "fixed IP"))
        found[mac] = _Guest(mac, address, name, vif_id, is_routed)
    return list(found.values())


def _as_host(guest: _Guest, *, withholds: bool) -> Host:
    is_unrouted = withholds and options.use_single_default_gateway and not guest.is_routed
    return Host(guest.mac, guest.address, name=guest.name, options={_ROUTER: None} if is_unrouted else {})


def _host(line: str, domain: str | None, known: dict[str, Host]) -> Host:
    """Return the host that a line says: MAC address, perhaps a name, an IPv4 address, perhaps a tag."""
    mac, *rest = line.split(",")
    if not _MAC.fullmatch(mac):
        raise InvalidArgument(f"the line {line!r} does not begin with a MAC address")
    names, addresses = [], []
    for one in (one.strip() for one in rest):
        if one.startswith(("net:", "set:")):
            continue  # what a tag says is in the options that the host keeps
        try:
            addresses.append(str(ipaddress.IPv4Address(one)))
        except ValueError:
            # The option may be in capitals or end with a dot; a network's domain does neither.
            name = one.rstrip(".")
            names.append(name[: -len(domain) - 1] if domain and name.lower().endswith(f".{domain}") else name)
    if len(addresses) != 1 or len(names) > 1:
        raise InvalidArgument(f"the line {line!r} is not 'MAC address,name,IPv4 address'")
    before = known.get(mac.lower())
    return Host(mac, addresses, name=names[0] if names else None, options=before.options if before else {})


def _full(name: str | None) -> str:
    return f"{name}.{options.dhcp_domain}" if options.dhcp_domain else str(name)


def _tag(vif_id: object) -> str:
    if not _LABEL.fullmatch(str(vif_id)):
        raise InvalidArgument(f"virtual interface id {shown(vif_id)} is neither a number nor a UUID")
    return f"NW-{vif_id}"


def _lease_line(lease: Lease) -> str:
    """Return a lease as dnsmasq writes it: when it ends, MAC address, address, name, client identifier."""
    ends = 0 if lease.expires is None else int(lease.expires)
    return f"{ends} {lease.mac_address} {lease.address} {lease.name or '*'} {lease.client_id or '*'}"
