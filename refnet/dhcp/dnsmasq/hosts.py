"""The lines about hosts that dnsmasq reads: who they are, what they are told, and their names in DNS.

Pure: nothing is looked at. Every value has been validated when the host was made; what could still be taken for
something else by dnsmasq is written so that it cannot.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

from refnet.dhcp.capabilities import Capability
from refnet.dhcp.dnsmasq.lines import DEFAULTS, address_text, bracketed, option_line
from refnet.dhcp.network import Host
from refnet.dhcp.options import Option, encode_routes
from refnet.dhcp.values import Route
from refnet.errors import Unsupported
from refnet.names import IPNetwork

#: Octets of a line that dnsmasq reads at once (MAXDNAME), the end of the line and the terminating zero included.
MAX_LINE = 1025
#: A lease time of None: DHCP's way to say "for ever".
FOR_EVER = "infinite"


def tag(host: Host) -> str:
    """Return the tag that a host's options are bound to: the same as long as the host is the same.

    dnsmasq gives each client a tag that is the name of the device, which cannot have the first character of these.
    """
    identity = host.identities[0]
    if len(identity) > 17:
        identity = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return f"@{identity}"


def withheld_tag(code: int, version: int) -> str:
    """Return the tag of hosts that an option of their network is kept from."""
    return f"@{version}-{code}"


@dataclass(frozen=True)
class Common:
    """What the lines of all hosts of a network depend on, besides the hosts.

    Attributes:
        withheld: options (version, code) whose lines for the network are for clients without :func:`withheld_tag`.
        forced: options of the network that are sent unasked, which those of a host are then as well.
        routes: for each of the server's networks that has routes, its tag, the network, and its routes.
    """

    withheld: frozenset[tuple[int, int]] = frozenset()
    forced: frozenset[tuple[int, int]] = frozenset()
    routes: tuple[tuple[str, IPNetwork, tuple[Route, ...]], ...] = ()


_NOTHING = Common()


def host_line(host: Host, common: Common = _NOTHING) -> str:
    """Return the line of ``--dhcp-hostsfile``, or of ``dhcp-host=`` in a configuration file, for a host.

    Raises:
        Unsupported: it would be longer than dnsmasq reads.
    """
    parts = list(host.mac_addresses)
    if host.client_id:
        parts.append(f"id:{host.client_id}")
    elif host.mac_addresses and any(one.version == 6 for one in host.addresses):
        # Where dnsmasq knows no client's MAC address (DHCPv6 on FreeBSD), it may know the DUID that is made of it: type
        # 3, of Ethernet (RFC 8415, 11.4).
        parts.append(f"id:00:03:00:01:{host.mac_addresses[0]}")
    if host.is_ignored:
        parts.append("ignore")
    else:
        if is_tagged(host):
            parts.append(f"set:{tag(host)}")
            if common.withheld:
                own = [(4, one.code) for one in host.options] + [(6, one.code) for one in host.options6]
                own += [(4, 121)] if _has_own_routes(host, common) else []
                parts += [
                    f"set:{withheld_tag(code, version)}" for version, code in own if (version, code) in common.withheld
                ]
        parts += map(bracketed, host.addresses)
        if host.name:
            # The dot keeps it from being taken for a lease time ("10m") or a word of dnsmasq's ("ignore").
            parts.append(f"{host.name}.")
        if host.lease_time is not None:
            parts.append(str(host.lease_time))
    line = ",".join(parts)
    if len(line) > MAX_LINE - 2:
        raise Unsupported(
            f"host {host}: dnsmasq reads no more than {MAX_LINE - 2} characters about a host, these are {len(line)}: "
            f"give it fewer addresses",
            capability=Capability.DHCP,
        )
    return line


def is_tagged(host: Host) -> bool:
    """Whether a host has a tag, by which it is told what others are not."""
    return not host.is_ignored and bool(host.options or host.options6)


def option_lines(host: Host, common: Common = _NOTHING) -> list[str]:
    """Return the lines of ``--dhcp-optsfile`` for a host: what it is told besides or instead of its network's.

    An option that is withheld has a line only where dnsmasq takes that for withholding. Of the others, the line of the
    network is for clients without the tag :func:`withheld_tag`, which the host has.

    Raises:
        Unsupported: dnsmasq has no way to send one of them.
    """
    if host.is_ignored:
        return []
    found = []
    for version, options in ((4, host.options), (6, host.options6)):
        for one in options:
            is_forced = one.is_forced or (version, one.code) in common.forced
            if is_withheld_by_line(one.code, version) if one.data is None else not is_forced:
                found.append(option_line(one, version, (tag(host),)))
    if _has_own_routes(host, common):
        found += _route_lines(host, common)
    return found


def _has_own_routes(host: Host, common: Common) -> bool:
    """Whether a host is told the network's routes with another default route: who takes routes takes no gateway."""
    codes = {one.code for one in host.options}
    return bool(common.routes) and 3 in codes and 121 not in codes


def _route_lines(host: Host, common: Common) -> Iterator[str]:
    routers = next((one.data or b"" for one in host.options if one.code == 3), b"")
    router = ipaddress.IPv4Address(routers[:4]) if len(routers) >= 4 else None
    for network_tag, network, routes in common.routes:
        told = [one for one in routes if one.destination.prefixlen > 0]
        if router is not None and router in network:
            told.append(Route("0.0.0.0/0", router))
        if told:
            yield option_line(Option(121, encode_routes(told)), 4, (tag(host), network_tag))


def forced_lines(host: Host, common: Common = _NOTHING) -> list[str]:
    """Return the lines of a configuration file for what a host is told whether it asks for it or not.

    Raises:
        Unsupported: dnsmasq has no way to send one of them.
    """
    if host.is_ignored:
        return []
    return [
        f"dhcp-option-force={option_line(one, version, (tag(host),))}"
        for version, options in ((4, host.options), (6, host.options6))
        for one in options
        if one.data is not None and (one.is_forced or (version, one.code) in common.forced)
    ]


def kept_from(host: Host) -> list[tuple[int, int]]:
    """Return the options (version, code) that a host is not to get and that take a tag to be kept from it."""
    return [
        (version, one.code)
        for version, options in ((4, host.options), (6, host.options6))
        for one in options
        if one.data is None and not is_withheld_by_line(one.code, version)
    ]


def is_withheld_by_line(code: int, version: int) -> bool:
    """Whether dnsmasq takes an empty option for one that is withheld, rather than for one without data."""
    return version == 4 and code in DEFAULTS


def name_lines(host: Host, domain: str | None) -> list[str]:
    """Return the lines of ``--addn-hosts`` for a host: DNS knows it before it has asked for its lease."""
    if not host.name or host.is_ignored:
        return []
    names = f"{host.name}.{domain} {host.name}" if domain else host.name
    return [f"{address_text(address)} {names}" for address in host.addresses]
