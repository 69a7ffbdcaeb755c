"""Nova's textual tables: their chains, and what comes of them in the model; blocks that are taken back; owners."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nova_tables import OWNER, lines, undone

from refnet.errors import InvalidArgument, Mismatch
from refnet.firewall import ACCEPT, DROP, Hook, Jump, Rule
from refnet.firewall.nova import owner_name
from refnet.firewall.null import NullFirewall


@pytest.fixture
def manager() -> Iterator[NullFirewall]:
    with NullFirewall(OWNER) as made:
        yield made


# -- what stands -----------------------------------------------------------------------------------


def test_nothing_is_added_before_a_table_is_asked_for(manager: NullFirewall) -> None:
    manager.apply()
    assert manager.chains() == ()
    assert manager.ipv4
    assert manager.chains() != ()


def test_novas_standing_rules(manager: NullFirewall) -> None:
    assert sorted(manager.ipv4) == ["filter", "mangle", "nat"]
    assert sorted(manager.ipv6) == ["filter"]
    for tables in (manager.ipv4, manager.ipv6):
        assert lines(tables["filter"]) == [
            "[0:0] -A FORWARD -j nova-filter-top",
            "[0:0] -A OUTPUT -j nova-filter-top",
            "[0:0] -A nova-filter-top -j nova-compute-local",
            "[0:0] -A INPUT -j nova-compute-INPUT",
            "[0:0] -A OUTPUT -j nova-compute-OUTPUT",
            "[0:0] -A FORWARD -j nova-compute-FORWARD",
        ]
        assert tables["filter"].chains == {"local", "INPUT", "OUTPUT", "FORWARD"}
        assert tables["filter"].unwrapped_chains == {"nova-filter-top"}
    assert lines(manager.ipv4["nat"]) == [
        "[0:0] -A PREROUTING -j nova-compute-PREROUTING",
        "[0:0] -A OUTPUT -j nova-compute-OUTPUT",
        "[0:0] -A POSTROUTING -j nova-compute-POSTROUTING",
        "[0:0] -A POSTROUTING -j nova-postrouting-bottom",
        "[0:0] -A nova-postrouting-bottom -j nova-compute-snat",
        "[0:0] -A snat -j nova-compute-float-snat".replace("-A snat", "-A nova-compute-snat"),
    ]
    assert lines(manager.ipv4["mangle"]) == ["[0:0] -A POSTROUTING -j nova-compute-POSTROUTING"]


def test_the_top_is_asked_first_and_the_chains_stand_on_their_hooks(manager: NullFirewall) -> None:
    assert manager.ipv4["filter"].has_chain("local")
    assert ("filter", "at-FORWARD", Hook.FORWARD) in manager.chains()
    assert manager.rules("at-FORWARD") == (Rule(Jump("nova-filter-top"), family=4), Rule(Jump("FORWARD"), family=4))
    assert manager.rules("at-POSTROUTING", table="nat") == (
        Rule(Jump("POSTROUTING"), family=4),
        Rule(Jump("nova-postrouting-bottom"), family=4),
    )


def test_both_families_share_the_chains_of_the_model_and_not_the_rules(manager: NullFirewall) -> None:
    for tables in (manager.ipv4, manager.ipv6):
        tables["filter"].add_chain("inst-7")
        tables["filter"].add_rule("inst-7", "-j DROP")
    assert manager.rules("inst-7") == (Rule(DROP, family=4), Rule(DROP, family=6))
    manager.ipv4["filter"].remove_chain("inst-7")
    assert manager.rules("inst-7") == (Rule(DROP, family=6),)
    assert not manager.ipv4["filter"].has_chain("inst-7")
    assert manager.ipv6["filter"].has_chain("inst-7")
    manager.ipv6["filter"].remove_chain("inst-7")
    assert all(name != "inst-7" for _, name, _ in manager.chains())


# -- chains ----------------------------------------------------------------------------------------


def test_a_chain_goes_with_its_rules_and_the_jumps_to_it(manager: NullFirewall) -> None:
    table = manager.ipv4["filter"]
    for name in ("inst-1", "inst-10"):
        table.add_chain(name)
        table.add_rule(name, "-p tcp --dport 22 -j ACCEPT")
        table.add_rule("local", f"-d 10.0.0.1 -j ${name}")
        table.add_rule("FORWARD", f"-j ${name}")
    table.remove_chain("inst-1")
    assert [line for line in lines(table) if "inst-" in line] == [
        "[0:0] -A nova-compute-inst-10 -p tcp --dport 22 -j ACCEPT",
        "[0:0] -A nova-compute-local -d 10.0.0.1 -j nova-compute-inst-10",
        "[0:0] -A nova-compute-FORWARD -j nova-compute-inst-10",
    ]
    assert manager.rules("local") == (Rule(Jump("inst-10"), destination="10.0.0.1"),)


def test_chains_go_from_the_inner_to_the_outer(manager: NullFirewall) -> None:
    table = manager.ipv4["filter"]
    for name in ("inner", "outer"):
        table.add_chain(name)
    table.add_rule("outer", "-j $inner")
    for name in ("inner", "outer"):
        table.remove_chain(name)
    assert not {"inner", "outer"} & {name for _, name, _ in manager.chains()}


def test_an_unknown_chain_is_logged_when_removed_and_refused_when_added_to(
    manager: NullFirewall, caplog: pytest.LogCaptureFixture
) -> None:
    table = manager.ipv4["filter"]
    with caplog.at_level(logging.WARNING):
        table.remove_chain("inst-9")
        table.remove_chain("inst-9", wrap=False)
    assert [one.args for one in caplog.records] == [("inst-9",)] * 2
    table.empty_chain("inst-9")
    with pytest.raises(ValueError, match="Unknown chain: 'inst-9'"):
        table.add_rule("inst-9", "-j DROP")
    with pytest.raises(ValueError, match="inst-9"):
        table.add_rule("inst-9", "-j DROP", wrap=False)
    with pytest.raises(ValueError, match="PREROUTING"):
        table.add_rule("PREROUTING", "-j DROP", wrap=False)  # the filter table has none


def test_emptying_leaves_the_other_family(manager: NullFirewall) -> None:
    for tables in (manager.ipv4, manager.ipv6):
        tables["filter"].add_rule("INPUT", "-j ACCEPT")
        tables["filter"].add_rule("INPUT", "-j DROP", wrap=False)
    manager.ipv4["filter"].empty_chain("INPUT")
    assert manager.rules("INPUT") == (Rule(ACCEPT, family=6),)
    manager.ipv4["filter"].empty_chain("INPUT", wrap=False)
    assert manager.rules("at-INPUT") == (Rule(Jump("INPUT"), family=6), Rule(DROP, family=6))


def test_a_chain_that_other_rules_of_the_manager_jump_to_stays(manager: NullFirewall) -> None:
    table = manager.ipv4["filter"]
    table.add_chain("inst-1")
    table.add_rule("local", "-d 10.0.0.1 -j $inst-1")
    manager.add_chain("mine", hook="forward")
    manager.add_rule("mine", Rule(Jump("inst-1")))
    before = manager.rules("local"), lines(table)
    with pytest.raises(InvalidArgument, match="jump to chain inst-1"):
        table.remove_chain("inst-1")
    assert (manager.rules("local"), lines(table)) == before


@pytest.mark.parametrize("name", ["a-name-of-more-than-twenty-eight-characters", "x" * 80, "inst.1", "_x", "ü"])
def test_a_name_is_kept_whole(manager: NullFirewall, name: str) -> None:
    table = manager.ipv4["filter"]
    for one in (name, f"{name}2"):
        table.add_chain(one)
        table.add_rule("local", f"-d 10.0.0.{len(one)} -j ${one}")
        table.add_rule(one, "-j DROP")
    assert table.chains >= {name, f"{name}2"}
    table.remove_chain(name)
    assert table.has_chain(f"{name}2")
    assert len(manager.rules("local")) == 1


@pytest.mark.parametrize("name", ["", " ", "a b", "a\nb", "a\0b", "-a", "!a", "$a", None, 7, b"a", ["a"]])
def test_what_is_no_name_is_refused(manager: NullFirewall, name: Any) -> None:
    table = manager.ipv4["filter"]
    before = manager.chains()
    for wrap in (True, False):
        with pytest.raises(InvalidArgument):
            table.add_chain(name, wrap=wrap)
        with pytest.raises(InvalidArgument):
            table.add_rule(name, "-j DROP", wrap=wrap)
        assert not table.has_chain(name, wrap=wrap)
    assert manager.chains() == before


def test_a_name_is_wrapped_or_not(manager: NullFirewall) -> None:
    table = manager.ipv4["filter"]
    table.add_chain("both")
    with pytest.raises(InvalidArgument, match="both"):
        manager.ipv6["filter"].add_chain("both", wrap=False)
    with pytest.raises(InvalidArgument, match="nova-filter-top"):
        table.add_chain("nova-filter-top")
    with pytest.raises(Mismatch):
        table.add_chain("at-INPUT")
    table.add_chain("FORWARD", wrap=False)  # built in
    assert table.unwrapped_chains == {"nova-filter-top"}


def test_an_unwrapped_chain_is_this_owners_own(manager: NullFirewall) -> None:
    table = manager.ipv4["filter"]
    table.add_chain("shared", wrap=False)
    table.add_rule("shared", "-s 10.0.0.1 -j DROP", wrap=False)
    table.add_rule("INPUT", "-j shared", wrap=False, top=True)
    assert manager.rules("at-INPUT")[0] == Rule(Jump("shared"), family=4)
    assert str(table.rules[-2]) == "[0:0] -A shared -s 10.0.0.1 -j DROP"
    table.remove_chain("shared", wrap=False)
    assert manager.rules("at-INPUT") == (Rule(Jump("INPUT"), family=4),)


# -- apply, deferred, teardown ---------------------------------------------------------------------


def test_an_undone_block_takes_everything_back(manager: NullFirewall) -> None:
    table = manager.ipv4["filter"]
    table.add_chain("inst-1")
    table.add_rule("inst-1", "-s 10.0.0.1 -j DROP", tag="one")
    table.add_rule("local", "-d 10.0.0.9 -j $inst-1")
    before = manager.chains(), lines(table), table.chains, lines(manager.ipv6["filter"])
    with undone(manager):
        table.remove_chain("inst-1")
        table.add_chain("inst-2")
        table.add_rule("INPUT", "-j $inst-2", top=True)
        manager.ipv6["filter"].add_chain("inst-1")
    after = manager.chains(), sorted(lines(table)), table.chains, lines(manager.ipv6["filter"])
    assert after == (before[0], sorted(before[1]), before[2], before[3])
    assert not manager.ipv6["filter"].has_chain("inst-1")
    table.clear_rules_by_tag("one")
    assert manager.rules("inst-1") == ()


def test_a_rule_that_has_gone_by_another_way_comes_again_as_a_new_one(manager: NullFirewall) -> None:
    table = manager.ipv4["filter"]
    table.add_rule("local", "-s 192.0.2.1 -j DROP", tag="old")
    table.add_rule("local", "-j ACCEPT")
    before = table.rules
    dropping = manager.rules("local")[0]
    with undone(manager):
        manager.remove_rule("local", dropping)
        table.add_rule("local", "-s 192.0.2.1/32 -j DROP", top=True)
        assert [one.rule for one in table.rules[-2:]] == ["-j ACCEPT", "-s 192.0.2.1/32 -j DROP"]
    assert table.rules == before
    manager.remove_rule("local", dropping)
    with manager.deferred():
        table.add_rule("local", "-s 192.0.2.1/32 -j DROP")
    assert [one.rule for one in table.rules[-2:]] == ["-j ACCEPT", "-s 192.0.2.1/32 -j DROP"]


def test_only_the_block_that_failed_is_taken_back(manager: NullFirewall) -> None:
    table = manager.ipv4["filter"]
    with manager.deferred():
        table.add_chain("kept")
        table.add_rule("kept", "-j DROP")
    with undone(manager):
        pass
    assert table.has_chain("kept")
    assert lines(table)[-1] == "[0:0] -A nova-compute-kept -j DROP"
    with undone(manager):
        table.add_chain("gone")
    assert table.has_chain("kept")
    assert not table.has_chain("gone")


def test_tables_that_were_first_asked_for_in_an_undone_block_stand_anew(manager: NullFirewall) -> None:
    with undone(manager):
        table = manager.ipv4["filter"]
        table.add_chain("inst-1")
    assert manager.chains() == ()
    assert not table.has_chain("inst-1")
    table.add_rule("INPUT", "-j DROP")
    assert manager.rules("INPUT") == (Rule(DROP, family=4),)
    assert manager.rules("at-INPUT") == (Rule(Jump("INPUT"), family=4),)


def test_after_a_teardown_tables_begin_anew(manager: NullFirewall) -> None:
    table = manager.ipv4["filter"]
    table.add_chain("inst-1")
    manager.teardown()
    assert manager.chains() == ()
    assert not table.has_chain("inst-1")
    table.add_rule("INPUT", "-j DROP")
    assert lines(table) == lines(manager.ipv4["filter"])
    assert len(lines(table)) == 7


def test_deferring_as_nova_does(manager: NullFirewall) -> None:
    manager.defer_apply_on()
    manager.ipv4["filter"].add_rule("INPUT", "-j DROP")
    manager.apply()
    manager.defer_apply_off()
    assert manager.rules("INPUT") == (Rule(DROP, family=4),)


# -- owners ----------------------------------------------------------------------------------------


def test_an_owner_from_a_programs_name() -> None:
    assert owner_name("nova-compute") == "nova-compute"
    assert owner_name("/usr/bin/nova-network") == "nova-network"
    long = {owner_name(name) for name in ("nova-api-metadata", "nova-api-metadatb", "nova-api-metadat")}
    assert len(long) == 3
    assert all(len(one) <= 16 for one in long)
    assert owner_name("nova-api-metadata") == owner_name("/opt/bin/nova-api-metadata")
    for wrong in ("", "/", "/usr/bin/", None, 7):
        with pytest.raises(InvalidArgument):
            owner_name(wrong)  # type: ignore[arg-type]


@given(st.text(min_size=1).filter(lambda name: "/" not in name))
def test_every_program_has_an_owner(name: str) -> None:
    with NullFirewall(owner_name(name)) as made:
        assert made.owner == owner_name(name)
