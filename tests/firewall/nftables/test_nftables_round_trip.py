"""Any rule: what the real nft takes, prints, and what is read from it is the rule that was meant."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from nftables_helpers import nft, rules, ruleset

from refnet.errors import Unsupported
from refnet.firewall import Hook, Table
from refnet.firewall.nftables import NftablesManager

pytestmark = pytest.mark.usefixtures("stack")

PLACES = [
    (Table.FILTER, Hook.FORWARD),
    (Table.FILTER, Hook.INPUT),
    (Table.FILTER, None),
    (Table.MANGLE, Hook.OUTPUT),
    (Table.MANGLE, Hook.PREROUTING),
    (Table.NAT, Hook.PREROUTING),
    (Table.NAT, Hook.POSTROUTING),
]


@pytest.mark.parametrize(("table", "hook"), PLACES)
@settings(
    max_examples=12,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_what_stands_is_the_model(table: Table, hook: Hook | None, data: st.DataObject) -> None:
    manager = NftablesManager("round")
    manager.add_chain("sub", table=table)
    manager.add_chain("main", hook=hook, table=table)
    if hook is None:
        manager.add_chain("top", hook=Hook.FORWARD, table=table)
    for rule in data.draw(st.lists(rules(table, hook), min_size=1, max_size=12)):
        # States of both kinds cannot be counted for one limit.
        with contextlib.suppress(Unsupported) if rule.states and rule.limit else contextlib.nullcontext():
            manager.add_rule("main", rule, table=table)
    try:
        manager.apply()
        there = {one.name: one.rules for one in manager.standing()}
        assert there.get("main", manager.rules("main", table=table)) == manager.rules("main", table=table)
        before = ruleset()
        again = NftablesManager("round")
        for name, at in (("sub", None), ("main", hook), ("top", Hook.FORWARD)):
            if name != "top" or hook is None:
                again.add_chain(name, hook=at, table=table)
        for rule in manager.rules("main", table=table):
            again.add_rule("main", rule, table=table)
        again.apply()
        assert ruleset() == before, "a second process wrote something again"
        for rule in data.draw(st.permutations(manager.rules("main", table=table)))[:3]:
            manager.remove_rule("main", rule, table=table)
            manager.add_rule("main", rule, table=table, first=data.draw(st.booleans()))
        manager.apply()
        there = {one.name: one.rules for one in manager.standing()}
        assert there.get("main", manager.rules("main", table=table)) == manager.rules("main", table=table)
    finally:
        manager.teardown()
    assert "refnet" not in nft("list", "ruleset")
