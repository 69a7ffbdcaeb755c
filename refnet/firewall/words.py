"""Rules in words, for people: what a rule does, to which packets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from refnet.firewall.actions import (
    Accept,
    Action,
    ChecksumFill,
    Dnat,
    Drop,
    Jump,
    Log,
    Masquerade,
    Redirect,
    Reject,
    Return,
    SetMark,
    Snat,
)
from refnet.firewall.layer2 import DhcpIsolation, PortGuard
from refnet.firewall.model import Hook, Table
from refnet.firewall.rules import Rule
from refnet.firewall.values import AnyOf, PortRange

_HOOKS = {
    Hook.PREROUTING: "every packet that comes in, before it is routed",
    Hook.INPUT: "packets to this host",
    Hook.FORWARD: "packets that this host forwards",
    Hook.OUTPUT: "packets from this host",
    Hook.POSTROUTING: "every packet that leaves, after it was routed",
}
#: A connection is translated as its first packet was (iptables(8), nft(8), pf.conf(5)).
_NAT_HOOKS = {
    Hook.PREROUTING: "the first packet of every connection that comes in, before it is routed",
    Hook.OUTPUT: "the first packet of every connection from this host",
    Hook.POSTROUTING: "the first packet of every connection that leaves, after it was routed",
}
_PROTOCOLS = {"icmp": "ICMP", "ipv6-icmp": "ICMPv6"}


def chain(name: str, table: Table, hook: Hook | None) -> str:
    """Say what a chain is asked about: ``chain guests (filter, forward): packets that this host forwards``."""
    if hook is None:
        return f"chain {name} ({table}): what other chains send here"
    return f"chain {name} ({table}, {hook}): {(_NAT_HOOKS if table is Table.NAT else _HOOKS)[hook]}"


def rule(one: Rule) -> str:
    """Say what a rule does: ``accept IPv4 TCP from 192.0.2.0/24 to port 22 of established connections``."""
    said = f"{_does(one.action)} {_packets(one)}"
    said += _ends("from", one.source, one.source_ports)
    if one.source_mac:
        said += f" sent by {_or(one.source_mac)}"
    said += _ends("to", one.destination, one.destination_ports)
    if one.in_interface:
        said += f" that came by {_or(one.in_interface)}"
    if one.out_interface:
        said += f" {'and leave' if one.in_interface else 'that leave'} by {_or(one.out_interface)}"
    if one.states:
        said += f", connection state {_or(one.states)}"
    if one.mark:
        masked = "" if one.mark.mask == 0xFFFFFFFF else f" in the bits {one.mark.mask:#x}"
        said += f", marked {one.mark.value:#x}{masked}"
    if one.limit:
        article = "an" if one.limit.unit == "hour" else "a"
        said += f", at most {one.limit.packets} {article} {one.limit.unit} (bursts of {one.limit.burst})"
    said += _and_then(one.action)
    return said + (f"  # {one.comment}" if one.comment else "")


def guard(one: PortGuard) -> str:
    """Say what may come in through a guarded port."""
    listed = "no address of its own" if one.addresses == () else _list(map(_short, one.addresses or ()))
    allowed = "any address" if one.addresses is None else listed
    more = [what for what, may in (("answer DHCP", one.dhcp_server), ("send router advertisements", one.router)) if may]
    also = f"; it may {' and '.join(more)}" if more else ""
    also += "; what it tells of its neighbours is looked at" if one.neighbour_targets else ""
    return f"port {one.port}: only from {one.mac_address} with {allowed}{also}"


def isolation(one: DhcpIsolation) -> str:
    """Say what an isolated address means."""
    return f"through {one.interface} nobody sees {one.address}, and no DHCP passes"


def _does(action: Action) -> str:
    simple = {
        Accept: "accept",
        Drop: "drop",
        Return: "go back from here with",
        Masquerade: "masquerade",
        ChecksumFill: "fill in the checksum of",
        Log: "log",
        SetMark: "mark",
        Reject: "reject",
        Snat: "change the source of",
        Dnat: "change the destination of",
        Redirect: "take in",
    }
    return f"ask chain {action.chain} about" if isinstance(action, Jump) else simple[type(action)]


def _and_then(action: Action) -> str:
    ports = getattr(action, "ports", None)
    if isinstance(action, Reject):
        return f", answering {action.answer}"
    if isinstance(action, Snat | Dnat):
        return f", to {action.address}" + (f" {_ports_word(ports)} {ports}" if ports else "")
    if isinstance(action, Redirect):
        return f", at {_ports_word(action.ports)} {action.ports} of this host"
    if isinstance(action, Masquerade):
        return f", with {_ports_word(ports)} {ports}" if ports else ""
    if isinstance(action, Log):
        return f", beginning with {action.prefix!r}" if action.prefix else ""
    if isinstance(action, SetMark):
        masked = "" if action.mask == 0xFFFFFFFF else f" in the bits {action.mask:#x}"
        return f", with {action.value:#x}{masked}"
    return ""


def _packets(one: Rule) -> str:
    family = f"IPv{one.family} " if one.family else ""
    protocol = one.protocol
    if protocol is None:
        return f"{family}packets" if family else "packets"
    name = _PROTOCOLS.get(protocol) or (f"protocol {protocol}" if protocol.isdigit() else protocol.upper())
    # ICMP says its family by itself.
    said = name if protocol in _PROTOCOLS else f"{family}{name}"
    return f"{said} type {one.icmp_type}" if one.icmp_type else said


def _ends(word: str, networks: AnyOf[Any] | None, ports: AnyOf[PortRange] | None) -> str:
    if ports is None:
        return f" {word} {_or(networks)}" if networks else ""
    several = len(ports.values) > 1 or ports.values[0].first != ports.values[0].last
    at = f"port{'s' if several else ''} {_or(ports)}"
    if networks is None:
        return f" {word} {at}"
    # "any but 192.0.2.7 port 22" would leave out port 22 of that address only.
    return f" {word} {at} of {_or(networks)}" if networks.negated else f" {word} {_or(networks)} {at}"


def _ports_word(ports: PortRange) -> str:
    return "port" if ports.first == ports.last else "one of ports"


def _or(match: AnyOf[Any]) -> str:
    shown = _list(map(_short, match.values))
    return f"any but {shown}" if match.negated else shown


def _short(value: Any) -> str:
    """Write a network of one address as an address."""
    return str(value).removesuffix(f"/{getattr(value, 'max_prefixlen', '')}")


def _list(words: Iterable[str]) -> str:
    *most, last = list(words) or [""]
    return f"{', '.join(most)} or {last}" if most else last
