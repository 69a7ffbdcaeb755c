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


_OF_ACTIONS: dict[type, Capability] = {
    **dict.fromkeys((Snat, Dnat, Redirect, Masquerade), Capability.NAT),
    Log: Capability.LOG,
    SetMark: Capability.MARK,
    ChecksumFill: Capability.CHECKSUM_FILL,
}
_OF_FIELDS = (("limit", Capability.RATE_LIMIT), ("mark", Capability.MARK), ("source_mac", Capability.SOURCE_MAC))
_TRANSLATED = frozenset((State.SNAT, State.DNAT))


def needs(rule: Rule) -> list[Capability]:
    """Return the capabilities that a rule takes."""
    action = rule.action
    found = [_OF_ACTIONS[type(action)]] if type(action) in _OF_ACTIONS else []
    if rule.family == 6:
        found += (
            [Capability.FIREWALL_IPV6, Capability.NAT_IPV6] if Capability.NAT in found else [Capability.FIREWALL_IPV6]
        )
    if rule.states:
        translated = _TRANSLATED.intersection(rule.states.values)
        found += [Capability.TRANSLATED_STATE] if translated else []
        found += [Capability.CONNECTION_STATE] if len(translated) < len(rule.states.values) else []
    found += [capability for field, capability in _OF_FIELDS if getattr(rule, field) is not None]
    return found
