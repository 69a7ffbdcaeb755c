"""Firewall rules that let clients ask, and that fill in the checksums of answers."""

from __future__ import annotations

from collections.abc import Iterable

from refnet.dhcp.capabilities import Capability as Dhcp
from refnet.dhcp.capabilities import needs
from refnet.dhcp.dnsmasq.freebsd_jail import IS_FREEBSD
from refnet.dhcp.network import DhcpNetwork
from refnet.firewall.actions import ACCEPT, CHECKSUM_FILL, DROP
from refnet.firewall.capabilities import Capability
from refnet.firewall.manager import FirewallManager
from refnet.firewall.model import Hook, Table
from refnet.firewall.rules import Rule
from refnet.firewall.values import Not

_PREFIX = "dhcp-"
_DNS_PORT = 53
_LOOPBACK = "lo0" if IS_FREEBSD else "lo"


def chain_name(device: str) -> str:
    """Return the name of a device's chains; no other device has it, though chains have fewer characters to use."""
    return _PREFIX + device.replace("_", "__").replace(".", "_d")


def accepting(network: DhcpNetwork) -> list[Rule]:
    """Return the rules that let the clients of a network ask its server."""
    wanted, device = needs(network), network.device
    found = []
    if Dhcp.DHCP in wanted:
        found.append(Rule(ACCEPT, family=4, protocol="udp", destination_ports=67, in_interface=device))
    if network.dns:
        for protocol in ("udp", "tcp"):
            found.append(Rule(ACCEPT, protocol=protocol, destination_ports=53, in_interface=device))
    # What the host asks itself, and what ends a lease, comes by the loopback device.
    for one in network.addresses:
        for protocol, port in (("udp", 67 if one.version == 4 else 547), ("udp", 53), ("tcp", 53)):
            if network.dns or port != _DNS_PORT:
                found.append(
                    Rule(
                        ACCEPT,
                        protocol=protocol,
                        destination=str(one.ip),
                        destination_ports=port,
                        in_interface=_LOOPBACK,
                    )
                )
    if network.dns and IS_FREEBSD:
        # Nobody looks there at the device that a query comes by.
        elsewhere = Not(device, "lo0")
        for one in network.addresses:
            for protocol in ("udp", "tcp"):
                found.append(
                    Rule(
                        DROP,
                        protocol=protocol,
                        destination=str(one.ip),
                        destination_ports=53,
                        in_interface=elsewhere,
                    )
                )
    if Dhcp.DHCP_IPV6 in wanted:
        found.append(Rule(ACCEPT, family=6, protocol="udp", destination_ports=547, in_interface=device))
    solicited = ["router-solicitation"] if network.router_advertisement else []
    if any(one.version == 6 for one in network.addresses):
        # Who asks the server by its address looks for that first (RFC 4861, 4.3 and 4.4).
        solicited += ["neighbour-solicitation", "neighbour-advertisement"]
    for kind in solicited:
        found.append(Rule(ACCEPT, family=6, protocol="ipv6-icmp", icmp_type=kind, in_interface=device))
    return found


def filling(network: DhcpNetwork) -> list[Rule]:
    """Return the rules that fill in the checksums of answers: guests on a bridge get packets that have none yet."""
    if not network.serves_dhcp:
        return []
    return [Rule(CHECKSUM_FILL, family=4, protocol="udp", destination_ports=68, out_interface=network.device)]


def lay(firewall: FirewallManager, networks: Iterable[DhcpNetwork], gone: Iterable[str] = ()) -> None:
    """Have a firewall let the clients of these networks ask, and those of devices that are gone no longer.

    With nothing to do, nothing is done. Other chains of the firewall's owner stay as they are.

    Raises:
        What :meth:`FirewallManager.apply` raises; the model is then as before.
    """
    wanted: dict[tuple[Table, str], tuple[Hook, tuple[Rule, ...]]] = {}
    no_ipv6 = firewall.probe(Capability.FIREWALL_IPV6) is not None
    fills = firewall.probe(Capability.CHECKSUM_FILL) is None
    for network in networks:
        name = chain_name(network.device)
        rules = tuple(rule for rule in accepting(network) if not (no_ipv6 and rule.family == 6))
        wanted[Table.FILTER, name] = (Hook.INPUT, rules)
        if fills and filling(network):
            wanted[Table.MANGLE, name] = (Hook.POSTROUTING, tuple(filling(network)))
    ours = {name for _, name in wanted} | {chain_name(device) for device in gone}
    with firewall.deferred():
        for table, name, _ in firewall.chains():
            if name in ours and (table, name) not in wanted:
                firewall.remove_chain(name, table=table)
        for (table, name), (hook, rules) in wanted.items():
            firewall.add_chain(name, hook=hook, table=table)
            if firewall.rules(name, table=table) != rules:
                firewall.empty_chain(name, table=table)
                for rule in rules:
                    firewall.add_rule(name, rule, table=table)
