"""What several topics lay before they prove anything: a chain with rules, and the fate of a single packet."""

from __future__ import annotations

from typing import Any

from conformance.harness import FirewallUnderTest
from conformance.topology.routed import Flow, Network
from refnet.firewall import DROP, Rule


def lay(
    firewall: FirewallUnderTest, *rules: Rule, hook: str | None = "forward", table: str = "filter", chain: str = ""
) -> str:
    """Add a chain on a hook with these rules to the model, and return its name; nothing is applied."""
    name = chain or f"{table}-{hook}"
    firewall.add_chain(name, hook=hook, table=table)
    for rule in rules:
        firewall.add_rule(name, rule, table=table)
    return name


def drop(*ports: int) -> Rule:
    """Return a rule that drops datagrams to ports."""
    return Rule(DROP, protocol="udp", destination_ports=ports)


def arrives(network: Network, flow: Flow, *, control: Flow, what: str) -> bool:
    """Whether a packet of a flow arrives; the control has to, in any case."""
    try:
        network.stops(flow, control=control, what=what)
    except AssertionError:
        return True
    return False


def model(firewall: FirewallUnderTest) -> dict[str, Any]:
    """Return all that a manager has in memory, as its own methods tell it."""
    return {f"{table} {name} {hook}": firewall.rules(name, table=table) for table, name, hook in firewall.chains()}


def standing(firewall: FirewallUnderTest) -> dict[str, Any]:
    """Return all that a manager reads from the host, in the form of :func:`model`."""
    return {f"{one.table} {one.name} {one.hook}": one.rules for one in firewall.standing()}
