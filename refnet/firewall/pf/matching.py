"""What a rule matches, in pf's words: the conditions of one rule as the lines of pf.conf(5) that they take.

pf's lists (``{ a, b }``) become a rule each when they are loaded. Here each line is written out, so that what is loaded
is what was counted, and a negated list means "none of them": pf's ``{ !a, !b }`` would mean "not a, or not b".
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

from refnet.errors import Unsupported
from refnet.firewall import protocols
from refnet.firewall.rules import Rule
from refnet.firewall.values import AnyOf, PortRange, State
from refnet.names import IPNetwork

#: An interface that is never there: what is "on" it is stored, and met by no packet.
NEVER = "refnet-never0"
_LAST_PORT = 65535
#: pf keeps type and code one higher, in one byte (sys/netpfil/pf/pf.h): 255 would become 0, which is "any".
_LAST_ICMP = 254


class Match(NamedTuple):
    """One line's conditions: on which device, between which hosts, and what comes behind them."""

    on: str
    hosts: str
    options: str

    def line(self, action: str, behind: str = "") -> str:
        """Put it together: ``action``, with direction, log and quick, first; other options last."""
        return " ".join(part for part in (action, self.on, self.hosts, self.options, behind) if part)


def quoted(text: str) -> str:
    """Return a name or words as pf.conf takes them whatever they are: validated text has no quotes or backslashes."""
    return f'"{text}"'


def several_are_excluded(names: AnyOf[str] | None) -> bool:
    """Whether a condition about a device is one that pf cannot say in a line: all but several."""
    return names is not None and names.negated and len(names.values) > 1


def devices(names: AnyOf[str] | None) -> list[str]:
    """Return ``on …`` for each line that a condition about a device takes.

    Raises:
        Unsupported: all but several.
    """
    if names is None:
        return [""]
    if not names.negated:
        return [f"on {quoted(name)}" for name in names.values]
    if len(names.values) == 1:
        return [f"on ! {quoted(names.values[0])}"]
    raise Unsupported(
        f"pf's rules of translation cannot say 'all interfaces but {', '.join(names.values)}': name those meant",
        capability="interface-lists",
    )


def matches(rule: Rule, device: AnyOf[str] | None = None) -> list[Match]:
    """Return the lines that a rule takes, on a device; what it says of devices itself, and of states, is not looked at.

    Raises:
        Unsupported: pf has no words for it.
    """
    family = {None: "", 4: "inet", 6: "inet6"}[rule.family]
    protocol = "" if rule.protocol is None else f"proto {protocols.number(rule.protocol)}"
    options = ""
    if rule.icmp_type is not None:
        if rule.icmp_type.type > _LAST_ICMP or (rule.icmp_type.code or 0) > _LAST_ICMP:
            raise Unsupported(f"pf cannot tell ICMP type {rule.icmp_type} from any", capability="icmp-type")
        options = f"{'icmp6-type' if rule.family == 6 else 'icmp-type'} {rule.icmp_type.type}"
        if rule.icmp_type.code is not None:
            options += f" code {rule.icmp_type.code}"
    found = []
    for on, source, sport, destination, dport in product(
        devices(device),
        _addresses(rule.source),
        _ports(rule.source_ports),
        _addresses(rule.destination),
        _ports(rule.destination_ports),
    ):
        hosts = " ".join(part for part in ("from", source, sport, "to", destination, dport) if part)
        found.append(Match(on, " ".join(part for part in (family, protocol, hosts) if part), options))
    return found


def _addresses(networks: AnyOf[IPNetwork] | None) -> list[str]:
    if networks is None:
        return ["any"]
    if not networks.negated:
        return [str(one) for one in networks.values]
    if len(networks.values) == 1:
        return [f"! {networks.values[0]}"]
    return [str(one) for one in all_but(networks.values)] or [_nothing(networks.values[0])]


def _nothing(network: IPNetwork) -> str:
    """Return what no packet comes from or goes to: a host of which the bits say two things cannot be written."""
    return f"! {ipaddress.ip_network('0.0.0.0/0' if network.version == 4 else '::/0')}"


def all_but(networks: Iterable[IPNetwork]) -> list[IPNetwork]:
    """Return the networks that hold every address of the family that is in none of these."""
    excluded = list(networks)
    everything = ipaddress.ip_network("0.0.0.0/0" if excluded[0].version == 4 else "::/0")
    left: list[IPNetwork] = [everything]
    for one in excluded:
        kept: list[IPNetwork] = []
        for network in left:
            if network.version != one.version or not network.overlaps(one):
                kept.append(network)
            elif one.subnet_of(network) and one != network:  # type: ignore[arg-type]
                kept.extend(network.address_exclude(one))  # type: ignore[arg-type]
        left = kept
    return sorted(left, key=lambda network: (int(network.network_address), network.prefixlen))


def _ports(ranges: AnyOf[PortRange] | None) -> list[str]:
    if ranges is None:
        return [""]
    found = ports_but(ranges.values) if ranges.negated else ranges.values
    return [_port(one) for one in found] or [f"port {_LAST_PORT} >< {_LAST_PORT}"]


def _port(ports: PortRange) -> str:
    return f"port = {ports.first}" if ports.first == ports.last else f"port {ports.first}:{ports.last}"


def ports_but(ranges: Iterable[PortRange]) -> list[PortRange]:
    """Return the ranges of all ports that are in none of these."""
    found, free = [], 0
    for first, last in sorted(ranges):
        if first > free:
            found.append(PortRange(free, first - 1))
        free = max(free, last + 1)
    if free <= _LAST_PORT:
        found.append(PortRange(free, _LAST_PORT))
    return found


#: What belongs to a connection passes before any rule is asked.
KNOWN = frozenset({State.ESTABLISHED, State.RELATED})
_ALL = KNOWN | {State.NEW, State.INVALID}


def states(rule: Rule) -> frozenset[State] | None:
    """Return the states that a rule is about, a negation written out; None: it does not say."""
    if rule.states is None:
        return None
    asked = frozenset(rule.states.values)
    return _ALL - asked if rule.states.negated else asked


#: What starts no connection, of the packets that belong to none: (protocol, conditions behind the hosts).
INVALID = (
    ("tcp", "flags SA/SA"),
    ("tcp", "flags R/R"),
    ("tcp", "flags F/F"),
    *(("icmp", f"icmp-type {number}") for number in (0, 3, 4, 5, 11, 12, 14, 16, 18)),
    *(("ipv6-icmp", f"icmp6-type {number}") for number in (1, 2, 3, 4, 129)),
)


def invalid(rule: Rule, device: AnyOf[str] | None) -> list[Match]:
    """Return the lines that match those of a rule's packets that belong to no connection and start none."""
    found = []
    for protocol, options in INVALID:
        other_family = protocols.FAMILY.get(protocol, rule.family) not in (rule.family, None) and rule.family
        other_type = rule.icmp_type is not None and not options.endswith(f"-type {rule.icmp_type.type}")
        if rule.protocol not in (None, protocol) or other_family or other_type:
            continue
        family = {"icmp": "inet", "ipv6-icmp": "inet6"}.get(protocol, "")
        for one in matches(rule, device):
            words = one.hosts.split(" ")
            if words[0] in ("inet", "inet6"):
                family = words.pop(0)
            if words[0] == "proto":
                del words[:2]
            hosts = " ".join(part for part in (family, f"proto {protocols.number(protocol)}", *words) if part)
            found.append(Match(one.on, hosts, one.options or options))
    return found
