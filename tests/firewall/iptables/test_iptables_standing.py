"""What the manager writes with the real tools, both variants, reads back and counts."""

from __future__ import annotations

from typing import Any

import pytest
from iptables_helpers import fill, restore, run, save, send

from conformance.topology.linux import Sandbox
from refnet.errors import Unsupported
from refnet.firewall import (
    ACCEPT,
    DROP,
    Capability,
    Jump,
    Not,
    Reject,
    Rule,
    Snat,
    Table,
    ipv6,
)
from refnet.firewall.iptables import IptablesManager


def test_everything_that_can_be_said_is_read_back_and_not_written_twice(
    make: Any, variant: str, restored: list[str]
) -> None:
    one = make()
    fill(one)
    one.apply()
    standing = {(found.table, found.name): found for found in one.standing()}
    assert {(table, name): found.hook for (table, name), found in standing.items()} == {
        (table, name): hook for table, name, hook in one.chains()
    }
    for table, name, _ in one.chains():
        assert standing[table, name].rules == one.rules(name, table=table)
    before = save(variant), save(variant, 6)
    assert len(restored) == 2  # one for each family
    one.apply()
    one.resync()
    other = make()
    fill(other)
    other.apply()
    assert len(restored) == 2
    assert (save(variant), save(variant, 6)) == before
    assert other.standing() == one.standing()


def test_a_fresh_process_reads_what_stands(make: Any, variant: str) -> None:
    one = make()
    one.add_chain("guests", hook="forward")
    one.add_chain("sub")
    rules = (
        Rule(ACCEPT, states={"established", "related"}),
        Rule(Jump("sub"), protocol="tcp", destination_ports=[22, "80-90"]),
        Rule(DROP, destination="192.0.2.7"),
        Rule(DROP, destination="2001:db8::7"),
        Rule(Reject()),
    )
    for rule in rules:
        one.add_rule("guests", rule)
    one.apply()
    found = {one.name: one for one in make().standing()}
    assert found["guests"].rules == rules
    assert found["guests"].hook == "forward"
    assert found["sub"] == (Table.FILTER, "sub", None, ())
    restore(variant, "*filter\n-A own.guests -p tcp -m tcp --tcp-flags SYN SYN -j DROP\nCOMMIT\n")
    (stranger,) = set(make().standing()[0].rules) - set(rules)
    assert isinstance(stranger, str)
    assert "--tcp-flags" in stranger


def test_counters_are_kept_and_sum_up(make: Any, variant: str, stack: Sandbox) -> None:
    manager = make()
    manager.add_chain("local", hook="output")
    echo = Rule(ACCEPT, protocol="udp", destination_ports=[9, 10])
    several = Rule(ACCEPT, protocol="udp", out_interface=["lo", "eth9"], limit="1000/second")
    manager.add_rule("local", several)
    manager.add_rule("local", echo)
    manager.apply()
    send("127.0.0.1", 9, 3)
    send("::1", 9, 2)
    assert [one.packets for one in manager.counters("local")] == [5, 0]
    manager.remove_rule("local", several)
    manager.add_rule("local", Rule(DROP, destination="192.0.2.1"))
    manager.apply()
    send("127.0.0.1", 10, 3)
    send("::1", 10, 1)
    before = manager.counters("local")
    assert before[0] == (4, 3 * (20 + 8 + 1) + 40 + 8 + 1)
    # Somebody takes one rule away, and puts another one in: what is right is kept with its counters.
    restore(variant, "*filter\n-D own.local -d 192.0.2.1 -j DROP\n-I own.local -p 99 -j DROP\nCOMMIT\n")
    assert manager.counters("local")[0] == before[0]
    manager.resync()
    assert manager.counters("local") == before
    other = make()
    other.add_chain("local", hook="output")
    other.add_rule("local", echo)
    other.apply()
    assert other.counters("local") == before[:1]


COUNTED = [Rule(ACCEPT, protocol="udp", destination_ports=port) for port in (9, 10, 11)]
NEW = [Rule(DROP, source="192.0.2.1"), Rule(DROP, out_interface=Not("lo", "eth0"))]


@pytest.mark.parametrize(
    "after",
    [
        COUNTED,
        COUNTED[1:],
        [NEW[0], *COUNTED[:2], NEW[1]],
        [COUNTED[0], NEW[0], COUNTED[2]],
        [*NEW, *COUNTED],
    ],
)
def test_a_chain_that_is_emptied_and_filled_again_keeps_what_its_rules_have_counted(
    make: Any, variant: str, after: list[Rule]
) -> None:
    manager = make()
    manager.add_chain("local", hook="output")
    for rule in COUNTED:
        manager.add_rule("local", rule)
    manager.apply()
    for number, port in enumerate((9, 10, 11), 1):
        send("127.0.0.1", port, number)
        send("::1", port, number)
    for made in (manager, make(position="last")):
        with made.deferred():
            made.add_chain("local", hook="output")
            made.empty_chain("local")
            for rule in after:
                made.add_rule("local", rule)
        expected = [2 * (COUNTED.index(rule) + 1) if rule in COUNTED else 0 for rule in after]
        assert [one.packets for one in made.counters("local")] == expected
        assert {one.name: one.rules for one in made.standing()} == {"local": tuple(after)}


def test_filling_a_chain_with_what_it_has_starts_no_program(make: Any, restored: list[str]) -> None:
    manager = make()
    fill(manager)
    manager.apply()
    before = len(restored)
    with manager.deferred():
        rules = manager.rules("guests")
        manager.empty_chain("guests")
        for rule in rules:
            manager.add_rule("guests", rule)
    assert len(restored) == before


def test_a_chain_that_is_reached_through_an_auxiliary_one_is_shown(make: Any, variant: str) -> None:
    manager = make()
    manager.add_chain("guests", hook="forward")
    manager.add_chain("sub")
    manager.add_rule("sub", Rule(DROP, protocol="tcp"))
    manager.add_rule("guests", Rule(Jump("sub"), in_interface=Not("a", "b")))
    manager.apply()
    assert [(one.name, one.rules) for one in manager.standing()] == [
        (name, manager.rules(name)) for name in ("guests", "sub")
    ]


def test_one_family_alone_does_not_touch_the_other(make: Any, variant: str) -> None:
    manager = make()
    manager.add_chain("guests", hook="forward")
    manager.add_rule("guests", Rule(DROP, source="192.0.2.1"))
    manager.apply()
    assert save(variant, 6) == ""
    manager.add_rule("guests", Rule(DROP, source="2001:db8::1"))
    manager.apply()
    assert "-A own.guests -s 2001:db8::1/128 -j DROP" in save(variant, 6)
    manager.remove_rule("guests", Rule(DROP, source="2001:db8::1"))
    manager.apply()
    assert "own." not in save(variant, 6)
    assert "-A own.guests -s 192.0.2.1/32 -j DROP" in save(variant)


def test_without_ipv6_rules_for_both_are_ipv4s(make: Any, variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipv6, "is_there", lambda: False)
    manager = make()
    manager.add_chain("guests", hook="forward")
    manager.add_chain("source", hook="postrouting", table="nat")
    with pytest.raises(Unsupported) as caught:
        manager.add_rule("guests", Rule(DROP, source="2001:db8::1"))
    assert caught.value.capability == Capability.FIREWALL_IPV6
    with pytest.raises(Unsupported) as caught:
        manager.add_rule("source", Rule(Snat("2001:db8::1")), table="nat")
    assert caught.value.capability == Capability.NAT_IPV6
    assert manager.rules("guests") == manager.rules("source", table="nat") == ()
    manager.add_rule("guests", Rule(DROP, protocol="tcp"))
    manager.apply()
    assert "own.guests -p tcp -j DROP" in save(variant)
    assert save(variant, 6) == ""
    assert manager.standing()[0].rules == manager.rules("guests")
    assert manager.probe(Capability.FIREWALL_IPV6)


def test_somebody_flushes(make: Any, variant: str) -> None:
    manager = make()
    fill(manager)
    manager.apply()
    before = save(variant)
    for table in ("filter", "nat", "mangle"):
        run(f"iptables-{variant}", "-w", "-t", table, "-F")
        run(f"iptables-{variant}", "-w", "-t", table, "-X")
    manager.resync()
    assert save(variant) == before
    # And without a word to the manager: the next change finds out.
    run(f"iptables-{variant}", "-w", "-F")
    run(f"iptables-{variant}", "-w", "-X")
    manager.add_rule("guests", Rule(DROP, source="192.0.2.99"))
    manager.apply()
    assert {one.name: one.rules for one in manager.standing()}["guests"] == manager.rules("guests")
    assert "-A own.guests -s 192.0.2.99/32 -j DROP" in save(variant)
    assert save(variant).count("-A FORWARD") == 1


def test_what_an_earlier_process_left_goes(make: Any, variant: str) -> None:
    first = make()
    fill(first)
    first.apply()
    second = make()
    second.add_chain("new", hook="forward")
    second.add_rule("new", Rule(DROP, in_interface=Not("a", "b")))
    second.apply()
    own = [line for line in save(variant).splitlines() if "own." in line]
    assert [line for line in own if line.startswith(":own.new")]
    assert all("own.new" in line for line in own)
    assert [one.name for one in second.standing()] == ["new"]
    second.remove_rule("new", Rule(DROP, in_interface=Not("a", "b")))
    second.apply()
    assert "own." not in save(variant)


def test_what_is_there_is_found_by_trying_and_leaves_nothing(manager: IptablesManager, variant: str) -> None:
    assert {one for one in Capability if manager.probe(one)} == {Capability.NEIGHBOUR_TARGETS}
    assert save(variant) == ""
    assert save(variant, 6) == ""
