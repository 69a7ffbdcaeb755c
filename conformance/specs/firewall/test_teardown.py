"""Teardown: nothing is left, whoever has made it."""

from __future__ import annotations

from conformance.harness import FirewallUnderTest, in_child
from conformance.spec import spec
from conformance.specs.firewall.ground import drop, lay, model, standing
from conformance.specs.firewall.old_and_new import new, old
from conformance.topology.sandbox import Sandbox
from refnet.firewall import Capability, Masquerade, Rule

FILTER = Capability.FILTER


@spec(
    "FF-13",
    "teardown removes all that was made, so that all rules are as before the first apply; twice is no error.",
    capability=FILTER,
)
def test_teardown(firewall: FirewallUnderTest, net: Sandbox) -> None:
    net.foreign_rules(firewall.owner)
    before = net.look.rules()
    old(firewall)
    lay(firewall, drop(7003), hook="input")
    lay(firewall, drop(7003), hook="output")
    if Capability.NAT in firewall.capabilities():
        lay(firewall, Rule(Masquerade(), source="192.0.2.0/24"), hook="postrouting", table="nat")
    firewall.apply()
    assert net.look.rules() != before, "apply has made no rules"
    for what in ("teardown", "a second teardown"):
        firewall.teardown()
        left = net.look.rules()
        assert left == before, f"after {what}, all rules are {left}"
        assert firewall.chains() == (), f"after {what}, the model has {firewall.chains()}"
        assert firewall.standing() == (), f"after {what}, there stands {firewall.standing()}"
    new(firewall)
    firewall.apply()
    assert standing(firewall) == model(firewall), "after teardown, the manager cannot be used any more"


@spec(
    "FF-14",
    "A manager of a new process, whose model is empty, tears down what an earlier one has made.",
    capability=FILTER,
)
def test_teardown_anew(firewall: FirewallUnderTest, net: Sandbox) -> None:
    before = net.look.rules()

    def earlier() -> None:
        manager = firewall.fresh()
        old(manager)
        manager.apply()

    assert in_child(earlier) == 0, "a manager does not work in a child process"
    assert net.look.rules() != before, "apply has made no rules"
    firewall.teardown()
    left = net.look.rules()
    assert left == before, f"after a new manager's teardown, all rules are {left}"
