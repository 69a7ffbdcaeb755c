"""What a backend may or may not be able to do, and what of it a rule takes."""

from __future__ import annotations

from enum import Enum

from refnet.firewall.actions import ChecksumFill, Dnat, Log, Masquerade, Redirect, SetMark, Snat
from refnet.firewall.rules import Rule
from refnet.firewall.values import State


class Capability(str, Enum):
    """Something optional that a backend says it can do here; asked for with :meth:`FirewallManager.probe`."""

    FILTER = "filter"
    FIREWALL_IPV6 = "firewall-ipv6"
    NAT = "nat"
    NAT_IPV6 = "nat-ipv6"
    #: Rules by connection state other than by SNAT and DNAT.
    CONNECTION_STATE = "connection-state"
    #: Rules by whether a connection has been translated: states SNAT and DNAT.
    TRANSLATED_STATE = "translated-state"
    RATE_LIMIT = "rate-limit"
    LOG = "log"
    MARK = "mark"
    SOURCE_MAC = "source-mac"
    CHECKSUM_FILL = "checksum-fill"
    COUNTERS = "rule-counters"
    #: Own rules before or behind other owners', as asked.
    POSITION = "position"
    #: Port guards and the isolation of DHCP addresses.
    LAYER2 = "layer2"
    #: What a guarded port's neighbour discovery tells of is looked at, not only whom it comes from.
    NEIGHBOUR_TARGETS = "neighbour-targets"
    FORGET_CONNECTIONS = "forget-connections"

    __str__ = str.__str__


def needs(rule: Rule) -> list[Capability]:
    """Return the capabilities that a rule takes."""
    action = rule.action
    states = set(rule.states.values) if rule.states else set()
    translated = {State.SNAT, State.DNAT}
    is_nat = isinstance(action, Snat | Dnat | Redirect | Masquerade)
    found = {
        Capability.FIREWALL_IPV6: rule.family == 6,
        Capability.NAT: is_nat,
        Capability.NAT_IPV6: is_nat and rule.family == 6,
        Capability.CONNECTION_STATE: bool(states - translated),
        Capability.TRANSLATED_STATE: bool(states & translated),
        Capability.RATE_LIMIT: rule.limit is not None,
        Capability.LOG: isinstance(action, Log),
        Capability.MARK: isinstance(action, SetMark) or rule.mark is not None,
        Capability.SOURCE_MAC: rule.source_mac is not None,
        Capability.CHECKSUM_FILL: isinstance(action, ChecksumFill),
    }
    return [capability for capability, needed in found.items() if needed]
