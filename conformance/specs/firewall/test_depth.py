"""Chains that jump to each other, as far down as the packet filter goes, and further."""

from __future__ import annotations

from conformance.harness import FirewallUnderTest
from conformance.spec import spec
from conformance.specs.firewall.probes import ABOUT_ONE, CHAIN, CONTROL, FILTER, ONE, sorts
from conformance.topology.routed import Routed
from conformance.topology.sandbox import Sandbox
from refnet.errors import RuleError, Unsupported
from refnet.firewall import DROP, Jump, Rule

#: Chains that every packet filter can go down, and some that few can: nf_tables goes down 16, pf 32.
_FEW, _MANY = 12, 60


def _chain_after_chain(firewall: FirewallUnderTest, number: int, last: Rule) -> None:
    for at in range(number):
        firewall.add_chain(f"level{at}")
    for at in range(1, number):
        firewall.add_rule(f"level{at - 1}", Rule(Jump(f"level{at}")))
    firewall.add_rule(f"level{number - 1}", last)


@spec(
    "FW-24",
    "A rule that is twelve chains down decides; where chains lead further down than the backend goes, apply refuses "
    "them, and nothing has changed.",
    level="full",
    capability=FILTER,
)
def test_depth(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b", families=(4,))
    deep = ONE.but(dport=7002)
    with firewall.deferred():
        _chain_after_chain(firewall, _FEW, Rule(DROP, **ABOUT_ONE))
        firewall.add_chain(CHAIN, hook="forward")
        firewall.add_rule(CHAIN, Rule(Jump("level0")))
    sorts(topology, passing=[CONTROL, deep], stopped=[ONE], what=f"a rule {_FEW} chains down")
    _chain_after_chain(firewall, _MANY, Rule(DROP, protocol="udp", destination_ports=deep.dport))
    try:
        firewall.apply()
    except (RuleError, Unsupported):
        sorts(topology, passing=[CONTROL, deep], stopped=[ONE], what=f"{_MANY} chains that apply refused")
    else:
        sorts(topology, passing=[CONTROL], stopped=[ONE, deep], what=f"a rule {_MANY} chains down")
