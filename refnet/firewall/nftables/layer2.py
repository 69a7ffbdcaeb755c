"""Port guards and isolated addresses in nft's bridge family. Nothing here starts a program.

Frames are looked at when they come in through a port, before the bridge has learnt anything from them or sent them
anywhere (hook prerouting), so that the host is as safe as the other ports are. What a guard's chains do not let pass is
dropped: a packet too short, or fragmented in a way that hides what it is, does not pass either. No connection tracking
is needed.

One thing no rule can stop: from a frame to 01:80:c2:00:00:0e (LLDP) a Linux bridge learns its sender before it asks any
rule (``br_handle_frame``); ``ip link set BRIDGE type bridge no_linklocal_learn 1`` does.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from refnet.firewall.layer2 import DhcpIsolation, PortGuard
from refnet.firewall.model import Hook
from refnet.firewall.nftables import names
from refnet.firewall.nftables.render import networks, plain
from refnet.names import IPNetwork

#: 802.1Q, 802.1ad, and what devices used before the latter.
_TAGS = ("0x8100", "0x88a8", "0x9100", "0x9200")
_ISOLATION = {Hook.PREROUTING: "iifname", Hook.POSTROUTING: "oifname"}
_MAP = "guards"
_TO_BRIDGES = "ether daddr & ff:ff:ff:ff:ff:f0 == 01:80:c2:00:00:00"
_NOBODY = ipaddress.IPv4Address(0)


def base_chains(table: str, position: names.Position) -> list[str]:
    """Return the commands that make an empty table with its chains on hooks."""
    made = [f"add table bridge {table}", f"add map bridge {table} {_MAP} {{ type ifname : verdict; }}"]
    for hook in (Hook.PREROUTING, Hook.INPUT, Hook.POSTROUTING):
        number = names.bridge_priority(hook, position)
        made.append(
            f"add chain bridge {table} hook.{hook.value} "
            f"{{ type filter hook {hook.value} priority {number}; policy accept; }}"
        )
    for hook in _ISOLATION:
        made.append(f"add chain bridge {table} isolation.{hook.value}")
        made.append(f"add rule bridge {table} hook.{hook.value} jump isolation.{hook.value}")
    made.append(f"add rule bridge {table} hook.{Hook.PREROUTING.value} iifname vmap @{_MAP}")
    # Frames to bridges themselves (IEEE 802.1D, table 7-10) do not come by that hook, and a bridge learns from them.
    made.append(f"add rule bridge {table} hook.{Hook.INPUT.value} {_TO_BRIDGES} iifname vmap @{_MAP}")
    return made


def isolations(table: str, wanted: Iterable[DhcpIsolation]) -> list[str]:
    """Return the commands that make the table's isolated addresses these."""
    made = []
    for hook, side in _ISOLATION.items():
        chain = f"bridge {table} isolation.{hook.value}"
        made.append(f"flush chain {chain}")
        rules: dict[str, None] = {}
        for one in wanted:
            device = f'{side} "{one.interface}"'
            rules[f"{device} ether type arp arp saddr ip {one.address} drop"] = None
            rules[f"{device} ether type arp arp daddr ip {one.address} drop"] = None
            rules[f"{device} ether type ip udp dport {{ 67, 68 }} drop"] = None
        made += [f"add rule {chain} {rule}" for rule in rules]
    return made


def guard(table: str, wanted: PortGuard, *, is_there: bool) -> list[str]:
    """Return the commands that guard a port; ``is_there``: it has a guard, which is replaced."""
    chains = _chains(wanted)
    made = [f"{'flush' if is_there else 'add'} chain bridge {table} {name}" for name in chains]
    made += [f"add rule bridge {table} {name} {rule}" for name, rules in chains.items() for rule in rules]
    if not is_there:
        made.append(f'add element bridge {table} {_MAP} {{ "{wanted.port}" : jump guard.{wanted.port} }}')
    return made


def unguard(table: str, there: PortGuard) -> list[str]:
    """Return the commands that take a guard away."""
    made = [f'delete element bridge {table} {_MAP} {{ "{there.port}" }}']
    for verb in ("flush", "delete"):
        made += [f"{verb} chain bridge {table} {name}" for name in _chains(there)]
    return made


def _chains(one: PortGuard) -> dict[str, list[str]]:
    """Return a guard's chains; those that others go to come first."""
    port = one.port
    tags = ", ".join(f"{tag} : drop" for tag in _TAGS)
    protocols = f"0x0806 : goto arp.{port}, 0x0800 : goto ip.{port}, 0x86dd : goto ip6.{port}"
    return {
        f"nd.{port}": _discovery(one),
        f"arp.{port}": _arp(one),
        f"ip.{port}": _ip(one),
        f"ip6.{port}": _ip6(one),
        f"guard.{port}": [f"ether saddr != {one.mac_address} drop", f"ether type vmap {{ {tags}, {protocols} }}"],
    }


def _arp(one: PortGuard) -> list[str]:
    allowed = _allowed(one, 4)
    sender = "" if allowed is None else f" arp saddr ip {_listed([*allowed, _NOBODY])}"
    shape = "arp htype 1 arp ptype 0x0800 arp hlen 6 arp plen 4"
    return [f"{shape} arp saddr ether {one.mac_address}{sender} accept", "drop"]


def _ip(one: PortGuard) -> list[str]:
    allowed = _allowed(one, 4)
    # A client's first words: from nowhere, to all, and a request (BOOTP's operation 1, RFC 951).
    rules = ["ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 @th,64,8 1 accept"]
    if allowed == ():
        return [*rules, "drop"]
    if allowed is not None:
        rules.append(f"ip saddr != {_listed(allowed)} drop")
    others = ["255"]
    if not one.dhcp_server:
        others.append("17")
        rules.append("udp dport != { 67, 68 } accept")
        # To a relay a server answers at port 67 (RFC 1542, section 4).
        rules.append("udp dport 67 @th,64,8 != 2 ip frag-off & 0x3fff == 0 accept")
    if not one.router:
        others.append("1")
        rules.append("icmp type != 5 accept")
    rules.append(f"meta l4proto != {_listed(others)} accept")
    rules.append("ip frag-off & 0x1fff != 0 accept")  # the first fragment had to pass the rules above
    return [*rules, "drop"]


def _ip6(one: PortGuard) -> list[str]:
    allowed = _allowed(one, 6)
    # Headers behind a fragment's own could push what it is into the next fragment, where nobody looks: behind its
    # end the first one may have bytes that look as if they were it (RFC 7112).
    rules = ["frag nexthdr { 0, 43, 44, 51, 60, 135, 139, 140 } drop"]
    # From nowhere: solicitations of routers and neighbours (an address tried for being free), and MLD's reports.
    rules.append("ip6 saddr :: icmpv6 type { 131, 133, 135, 143 } accept")
    targets = [""]
    if allowed is not None:
        mine = networks([*allowed, ipaddress.ip_network(one.link_local)])
        rules.append(f"ip6 saddr != {_listed(mine)} drop")
        targets = [_target(network) for network in mine]
    alone = "ip6 nexthdr 58"  # neighbour discovery with headers before it is none that a host sends
    rules.append(f"{alone} icmpv6 type 135 goto nd.{one.port}")
    rules += [f"{alone} icmpv6 type 136{target} goto nd.{one.port}" for target in targets]
    rules.append(f"{alone} icmpv6 type 133 ip6 length 8 accept")
    rules.append(f"{alone} icmpv6 type 133 ip6 length 16 @th,64,16 0x0101 @th,80,48 {_number(one.mac_address)} accept")
    if one.router:
        rules.append("icmpv6 type { 134, 137 } accept")
    rules.append("icmpv6 type != { 133-137 } accept")
    others = ["58", "255"]
    if not one.dhcp_server:
        others.append("17")
        rules.append("udp dport != { 546, 547 } accept")
        # To a relay a server answers at port 547, with message 13 (RFC 8415, section 7.3).
        rules.append("udp dport 547 @th,64,8 != 13 exthdr frag missing accept")
    rules.append(f"meta l4proto != {_listed(others)} accept")
    rules.append("frag frag-off != 0 meta l4proto { 17, 58 } accept")  # likewise
    return [*rules, "drop"]


def _discovery(one: PortGuard) -> list[str]:
    """Return the rules for solicitations and advertisements of neighbours: without, or with its own MAC address."""
    mac = _number(one.mac_address)
    return [
        "ip6 length 24 accept",
        f"ip6 length 32 icmpv6 type 135 @th,192,16 0x0101 @th,208,48 {mac} accept",
        f"ip6 length 32 icmpv6 type 136 @th,192,16 0x0201 @th,208,48 {mac} accept",
        "drop",
    ]


def _allowed(one: PortGuard, version: int) -> tuple[IPNetwork, ...] | None:
    """Return the addresses of a family that a port may use; None: any."""
    if one.addresses is None:
        return None
    mine = networks(network for network in one.addresses if network.version == version)
    return None if mine and mine[0].prefixlen == 0 else mine


def _target(network: IPNetwork) -> str:
    """Return the match of an advertisement's target by its first bits: this field has no name in older nft."""
    bits = int(network.network_address) >> (network.max_prefixlen - network.prefixlen)
    return f" @th,64,{network.prefixlen} {bits:#x}"


def _number(mac_address: str) -> str:
    return "0x" + mac_address.replace(":", "")


def _listed(values: Iterable[object]) -> str:
    words = [str(plain(value)) for value in values]
    return words[0] if len(words) == 1 else "{ " + ", ".join(words) + " }"
