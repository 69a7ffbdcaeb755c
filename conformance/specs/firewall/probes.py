"""What specs about filtering have in common: one chain of rules, and flows that it sorts."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

from conformance.harness import FirewallUnderTest
from conformance.topology import packets
from conformance.topology.routed import Flow, Network
from refnet.firewall import DROP, Capability, Rule

FILTER = Capability.FILTER
BOTH = (Capability.FILTER, Capability.FIREWALL_IPV6)
CHAIN = "checks"
#: A flow that the rules of many specs are about, and one that they are never about.
ONE, CONTROL = Flow(dport=7001), Flow(dport=9)
#: The conditions of such a rule.
ABOUT_ONE: dict[str, Any] = {"protocol": "udp", "destination_ports": ONE.dport}


def drop(**conditions: Any) -> Rule:
    """Return a rule that drops what meets conditions, whose names a spec may put together."""
    return Rule(DROP, **conditions)


def apply_rules(firewall: FirewallUnderTest, hook: str, *rules: Rule, chain: str = CHAIN) -> None:
    """Add a chain of these rules on a hook of the filter table, and apply."""
    with firewall.deferred():
        firewall.add_chain(chain, hook=hook)
        for rule in rules:
            firewall.add_rule(chain, rule)


def replace_rules(firewall: FirewallUnderTest, *rules: Rule, chain: str = CHAIN) -> None:
    """Have the chain consist of these rules, and apply."""
    with firewall.deferred():
        firewall.empty_chain(chain)
        for rule in rules:
            firewall.add_rule(chain, rule)


def sorts(topology: Network, *, passing: Sequence[Flow], stopped: Sequence[Flow], what: str) -> None:
    """Prove of each flow that it passes, or is stopped; the first that passes is the control of those that are not."""
    for flow in passing:
        topology.passes(flow, what=what)
    for flow in stopped:
        topology.stops(flow, control=passing[0].but(sender=flow.sender, receiver=flow.receiver), what=what)


def behind_options(packet: bytes) -> bytes:
    """Return an IPv6 packet with destination options (RFC 8200, section 4.6) in front of what it carries."""
    source, destination = (socket.inet_ntop(socket.AF_INET6, packet[at : at + 16]) for at in (8, 24))
    padding = bytes([1, 4, 0, 0, 0, 0])
    return packets.ip(source, destination, 60, bytes([packet[6], 0]) + padding + packet[40:], ttl=packet[7])
