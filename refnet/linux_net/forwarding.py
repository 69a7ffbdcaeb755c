"""What Nova's network host has the firewall do: metadata, address translation, floating addresses, isolation.

The rules are Nova's, into :data:`~refnet.linux_net.tables.iptables_manager`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from refnet import netdev
from refnet.errors import InvalidArgument, Unsupported
from refnet.linux_net import settings
from refnet.linux_net.gateway import told_gateway
from refnet.linux_net.settings import options
from refnet.linux_net.tables import iptables_manager
from refnet.linux_net.values import ipv4_address, ipv4_range, number, text
from refnet.names import IPAddress, device_name, ip_address, shown

_METADATA = "169.254.169.254/32"
#: Targets and chains (iptables(8)): one word, so that an option cannot say more than where packets go.
_ACTION = re.compile(r"[A-Za-z0-9_$][A-Za-z0-9_.-]{0,63}", re.ASCII)
_TextRule = tuple[str, str]


# -- metadata ------------------------------------------------------------------------------------------


def metadata_forward() -> None:
    """Have what guests send to 169.254.169.254, port 80, go to the metadata service."""
    to = f"-d {_METADATA} -p tcp -m tcp --dport 80 -j"
    host, port = settings.metadata_host(), _metadata_port()
    if host == "127.0.0.1":
        iptables_manager.ipv4["nat"].add_rule("PREROUTING", f"{to} REDIRECT --to-ports {port}")
    else:
        iptables_manager.ipv4["nat"].add_rule("PREROUTING", f"{to} DNAT --to-destination {ipv4_address(host)}:{port}")
    iptables_manager.apply()


def metadata_accept() -> None:
    """Let connections in to the metadata service of this host."""
    address = ip_address(settings.metadata_host(), "metadata host")
    destination = "-m addrtype --dst-type LOCAL" if str(address) in ("127.0.0.1", "::1") else f"-d {address}"
    tables = iptables_manager.ipv4 if address.version == 4 else iptables_manager.ipv6
    tables["filter"].add_rule("INPUT", f"-p tcp -m tcp --dport {_metadata_port()} {destination} -j ACCEPT")
    iptables_manager.apply()


# -- networks ------------------------------------------------------------------------------------------


def add_snat_rule(ip_range: str, is_external: bool = False) -> None:
    """Translate the addresses of a network to ``routing_source_ip`` where its packets leave by ``public_interface``.

    A network with a gateway elsewhere (``is_external``) is translated only on its way to ``force_snat_range``.
    """
    inside, to = ipv4_range(ip_range), settings.routing_source_ip()
    if not to:
        return
    source, wanted = ipv4_address(to), options.public_interface
    out = f" -o {device_name(wanted, 'public interface')}" if wanted and not is_external else ""
    for one in [ipv4_range(one) for one in options.force_snat_range] if is_external else ["0.0.0.0/0"]:
        iptables_manager.ipv4["nat"].add_rule("snat", f"-s {inside} -d {one} -j SNAT --to-source {source}{out}")
    iptables_manager.apply()


def init_host(ip_range: str, is_external: bool = False) -> None:
    """Set up the translation of a network: :func:`add_snat_rule`, and what is left as it is.

    Raises:
        Unsupported: ``force_snat_range`` of a network with a gateway elsewhere: frames would have to be taken from a
            bridge to be routed, which refnet's firewall has no words for.
    """
    if is_external and options.force_snat_range:
        raise _no_redirect(f"force_snat_range with the external gateway of {ip_range}")
    inside = ipv4_range(ip_range)
    destinations = [f"{ipv4_address(settings.metadata_host())}/32", *map(ipv4_range, options.dmz_cidr)]
    add_snat_rule(inside, is_external)
    nat = iptables_manager.ipv4["nat"]
    for one in destinations:
        nat.add_rule("POSTROUTING", f"-s {inside} -d {one} -j ACCEPT")
    nat.add_rule("POSTROUTING", f"-s {inside} -d {inside} -m conntrack ! --ctstate DNAT -j ACCEPT")
    iptables_manager.apply()


def get_gateway_rules(bridge: str) -> list[_TextRule]:
    """Return the rules, each with its chain, by which a bridge's packets are forwarded to ``forward_bridge_interface``.

    ``all`` among these is everywhere; without it what goes elsewhere is dropped.
    """
    device_name(bridge)
    if "all" in options.forward_bridge_interface:
        return [("FORWARD", f"-i {bridge} -j ACCEPT"), ("FORWARD", f"-o {bridge} -j ACCEPT")]
    ways = [(bridge, device_name(one, "interface")) for one in options.forward_bridge_interface if one]
    ways = [*(way for one in ways for way in (one, one[::-1])), (bridge, bridge)]
    return [*(("FORWARD", f"-i {one} -o {other} -j ACCEPT") for one, other in ways), *drop_rules(bridge)]


def drop_rules(bridge: str, action: str | None = None) -> list[_TextRule]:
    """Return the rules, each with its chain, by which nothing of a bridge is forwarded."""
    said = action or options.iptables_drop_action
    if not _ACTION.fullmatch(said):
        raise InvalidArgument(f"iptables_drop_action {shown(said)} is neither a target such as 'DROP' nor a chain")
    return [("FORWARD", f"-i {bridge} -j {said}"), ("FORWARD", f"-o {bridge} -j {said}")]


def let_forward(bridge: str, gateway: bool) -> None:
    """Put the rules of a bridge that is a gateway, or is none, into the tables, in place of those of the other kind."""
    wanted = list(dict.fromkeys(get_gateway_rules(bridge) if gateway else drop_rules(bridge)))
    mine, table = set(_any_rules(bridge)), iptables_manager.ipv4["filter"]
    there = [(one.chain, one.rule) for one in table.rules if (one.chain, one.rule) in mine]
    # In their order: what accepts comes before what drops, which both kinds may have.
    if there != wanted:
        _remove(there)
        for rule in wanted:
            table.add_rule(*rule)


def forget_forwarding(bridge: str) -> None:
    """Take all rules of a bridge, whether it was a gateway or not, from the tables."""
    _remove(_any_rules(bridge))


def _any_rules(bridge: str) -> list[_TextRule]:
    return list(dict.fromkeys([*get_gateway_rules(bridge), *drop_rules(bridge), *drop_rules(bridge, "DROP")]))


def _remove(rules: Iterable[_TextRule]) -> None:
    """Take rules from the tables; what is not there is not worth a line in the log."""
    table = iptables_manager.ipv4["filter"]
    there = {(one.chain, one.rule) for one in table.rules}
    for rule in rules:
        if rule in there:
            table.remove_rule(*rule)


def isolate_dhcp_address(interface: str, address: str) -> None:
    """Keep a DHCP server's address inside a bridge: :meth:`FirewallManager.isolate_dhcp_address`."""
    iptables_manager.firewall.isolate_dhcp_address(interface, address)
    iptables_manager.apply()


def remove_isolate_dhcp_address(interface: str, address: str) -> None:
    """Undo :func:`isolate_dhcp_address`: :meth:`FirewallManager.remove_isolate_dhcp_address`."""
    iptables_manager.firewall.remove_isolate_dhcp_address(interface, address)
    iptables_manager.apply()


# -- single addresses ----------------------------------------------------------------------------------


def ensure_vpn_forward(public_ip: str, port: int | str, private_ip: str) -> None:
    """Have what comes to a port of a public address by UDP go to a guest's OpenVPN, port 1194."""
    public, private = ipv4_address(public_ip), ipv4_address(private_ip)
    to = f"-d {public} -p udp --dport {_port(port, 'port')} -j DNAT --to {private}:1194"
    iptables_manager.ipv4["filter"].add_rule("FORWARD", f"-d {private} -p udp --dport 1194 -j ACCEPT")
    for chain in ("PREROUTING", "OUTPUT"):
        iptables_manager.ipv4["nat"].add_rule(chain, to)
    iptables_manager.apply()


def floating_forward_rules(floating_ip: str, fixed_ip: str, device: str | None) -> list[_TextRule]:
    """Return the rules, each with its chain, that translate a floating address to a guest's and back."""
    floating, fixed = ipv4_address(floating_ip), ipv4_address(fixed_ip)
    source = f"-s {fixed} -j SNAT --to {floating}"
    leaving = [f"{source} -d {fixed}", f"{source} -o {device_name(device)}"] if device else [source]
    return [
        *(("float-snat", one) for one in leaving),
        ("PREROUTING", f"-d {floating} -j DNAT --to {fixed}"),
        ("OUTPUT", f"-d {floating} -j DNAT --to {fixed}"),
        ("POSTROUTING", f"-s {fixed} -m conntrack --ctstate DNAT -j SNAT --to-source {floating}"),
    ]


def ensure_floating_forward(floating_ip: str, fixed_ip: str, device: str | None, network: Any) -> None:
    """Translate a floating address to a guest's and back, whatever it was translated to before.

    Raises:
        Unsupported: the guest's gateway is not this host: its frames would have to be taken from the bridge.
    """
    wanted = floating_forward_rules(floating_ip, fixed_ip, device)
    bridge = text(network, "bridge")
    if device and bridge and device != bridge:
        _see_gateway(network, bridge)
    nat = iptables_manager.ipv4["nat"]
    nat.remove_rules_regex(rf".*\s{re.escape(ipv4_address(floating_ip))}(?:/32|\s|$)")
    for rule in wanted:
        nat.add_rule(*rule)
    iptables_manager.apply()


def remove_floating_forward(floating_ip: str, fixed_ip: str, device: str | None, network: Any) -> None:
    """Undo :func:`ensure_floating_forward`."""
    del network  # nothing of it is in the rules
    for rule in floating_forward_rules(floating_ip, fixed_ip, device):
        iptables_manager.ipv4["nat"].remove_rule(*rule)
    iptables_manager.apply()


def clean_conntrack(fixed_ip: str | IPAddress) -> None:
    """Have connection tracking forget an address: :meth:`FirewallManager.forget_connections`."""
    iptables_manager.firewall.forget_connections(str(fixed_ip))


def _see_gateway(network: Any, bridge: str) -> None:
    """Refuse a network whose guests send what is for others to another host than this one.

    Raises:
        Unsupported: it is such a network.
    """
    gateway = told_gateway(network)
    if gateway and gateway not in {str(one.interface.ip) for one in netdev.device(bridge).addresses}:
        raise _no_redirect(f"a floating address for a guest of {bridge}, whose gateway {gateway} is another host,")


def _no_redirect(what: str) -> Unsupported:
    return Unsupported(
        f"{what} would take an ebtables rule that takes frames from the bridge to route them here: make this host the "
        f"guests' gateway",
        capability="bridge-redirect",
    )


def _metadata_port() -> int:
    return _port(options.metadata_port, "metadata port")


def _port(value: object, what: str) -> int:
    port = number(value, what)
    if not 1 <= port <= 65535:
        raise InvalidArgument(f"{what} {shown(port)} is not from 1 to 65535")
    return port
