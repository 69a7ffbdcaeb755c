"""The backend among others: what they do to its rules, what it does not do to theirs, and what a kill leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from nftables_helpers import made, nft, rule, ruleset, stands

from refnet import locks
from refnet.errors import LockTimeout
from refnet.firewall import DROP, PortGuard, Rule
from refnet.firewall.netfilter import Netfilter, Request
from refnet.firewall.nftables import NftablesManager, kernel

pytestmark = pytest.mark.usefixtures("stack")

OTHERS = """
add table inet refnet.a-b
add chain inet refnet.a-b refnet.a { comment "refnet:0123456789abcdef refnet.a"; }
add rule inet refnet.a-b refnet.a counter drop comment "refnet.a"
add table ip filter
add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }
add rule ip filter FORWARD ip saddr 192.0.2.9 counter accept comment "refnet:0123456789abcdef"
add table inet refnet
add set inet refnet refnet.a { type ipv4_addr; elements = { 192.0.2.1 }; }
add table bridge refnet.b
add chain bridge refnet.b c { type filter hook forward priority 0; }
add rule bridge refnet.b c counter
"""


DRIFTS = {
    "flushed": "flush ruleset",
    "chain flushed": "flush chain inet refnet.a filter.guests",
    "a rule more": "insert rule inet refnet.a filter.guests accept",
    "a rule with a comment of ours": 'add rule inet refnet.a filter.guests drop comment "refnet:0123456789abcdef"',
    "rule to another port, same comment": "replace",
    "jump missing": "flush chain inet refnet.a hook.filter.forward",
    "policy": "add chain inet refnet.a hook.filter.forward { policy drop; }",
    "dormant": "add table inet refnet.a { flags dormant; }",
    "set with one more": "add element inet refnet.a SET { 203.0.113.0/24 }",
    "set emptied": "flush set inet refnet.a SET",
    "chain on a hook more": "add chain inet refnet.a x { type filter hook input priority 0; policy drop; }",
    "chain and set more, used": "add set inet refnet.a s { type ipv4_addr; }\nadd chain inet refnet.a y\n"
    "add rule inet refnet.a y ip saddr @s accept\nadd rule inet refnet.a filter.guests jump y\n"
    "add rule inet refnet.a y jump filter.local",
    "map more": "add map inet refnet.a m { type ipv4_addr : verdict; }",
    "table made by somebody": "delete table inet refnet.a\nadd table inet refnet.a\n"
    "add chain inet refnet.a filter.guests { type filter hook forward priority 7; policy drop; }",
}


@pytest.mark.parametrize("drift", DRIFTS)
def test_resync_mends(drift: str) -> None:
    manager = made()
    manager.apply()
    right = nft("-s", "list", "ruleset")
    script = DRIFTS[drift]
    if script == "replace":
        standing = nft("-a", "list", "chain", "inet", "refnet.a", "filter.guests")
        line = next(one.strip() for one in standing.splitlines() if "192.0.2.3" in one)
        said, _, handle = line.replace("22", "23").rpartition(" # handle ")
        script = f"replace rule inet refnet.a filter.guests handle {handle} {said}"
    sets = [word for word in nft("list", "sets").split() if word.startswith("addr4-")]
    nft("-f", "-", script=script.replace("SET", sets[0]) + "\n")
    assert nft("-s", "list", "ruleset") != right
    manager.resync()
    assert stands(manager)
    assert sorted(nft("-s", "list", "ruleset").splitlines()) == sorted(right.splitlines())


def test_standing_says_what_somebody_has_added_in_nfts_words() -> None:
    manager = made()
    manager.apply()
    nft("add", "rule", "inet", "refnet.a", "filter.more", "meta", "length", "100", "drop")
    more = next(one for one in manager.standing() if one.name == "more")
    assert more.rules == (*manager.rules("more"), "meta length 100 drop")


@pytest.mark.parametrize("times", [1, 2, 1000])
def test_standing_is_of_one_moment_while_rules_come_and_go(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    manager, fresh = made(), NftablesManager("a")
    manager.apply()
    real, left = kernel.numbers, iter(range(times))

    def disturbed(table: str) -> dict[str, list[int]]:
        number = next(left, None)
        if number is not None:
            manager.add_rule("guests", rule(100 + number), first=True)
            manager.remove_rule("guests", manager.rules("guests")[-1])
            manager.apply()
        return real(table)

    monkeypatch.setattr(kernel, "numbers", disturbed)
    guests = next(one for one in fresh.standing() if one.name == "guests")
    assert len(guests.rules) == 6
    assert all(isinstance(one, Rule) for one in guests.rules)


def test_a_list_that_changes_while_it_is_given_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = NftablesManager("a")
    manager.add_chain("guests", hook="forward")
    for port in range(1000):
        manager.add_rule("guests", Rule(DROP, protocol="tcp", destination_ports=port))
        if port % 100 == 99:  # in a user namespace nft writes so many at once, and no more
            manager.apply()
    real, left = Netfilter.answers, [True]

    def answers(self: Netfilter, request: Request) -> Iterator[bytes]:
        found = real(self, request)
        yield next(found)
        if left:
            left.clear()
            nft("insert", "rule", "inet", "refnet.a", "filter.guests", "accept")  # the others' places move
        yield from found

    monkeypatch.setattr(Netfilter, "answers", answers)
    handles = kernel.rule_handles("refnet.a", "filter.guests")
    assert not left
    assert [len(one) for one in handles.values()] == [1] * 1000


def test_an_edit_after_somebody_elses_flush_writes_everything() -> None:
    manager = made()
    manager.guard_port(PortGuard("tap1", "52:54:00:00:00:01"))
    manager.apply()
    nft("flush", "ruleset")
    manager.add_rule("guests", rule(99))
    manager.apply()
    assert stands(manager)
    assert "table bridge refnet.a" in nft("list", "tables")


def test_a_removal_from_a_table_that_is_another_one_takes_the_right_rule() -> None:
    manager = made()
    manager.apply()
    manager.empty_chain("guests")
    for number in range(60):
        manager.add_rule("more", rule(number))
    manager.apply()
    for number in range(5):
        manager.add_rule("guests", rule(number))
    manager.apply()
    manager.remove_rule("guests", rule(0))
    manager.apply()  # from here on the handles of this chain are known
    wanted = rules_by_handle()
    handle = next(number for number, text in wanted.items() if "192.0.2.3" in text)
    saved = nft("-s", "list", "table", "inet", "refnet.a")
    for fillers in range(200):  # until the rule's old handle is another one's
        nft("delete", "table", "inet", "refnet.a")
        filler = "add table inet refnet.a\nadd chain inet refnet.a first\n"
        nft("-f", "-", script=filler + "add rule inet refnet.a first accept\n" * fillers + saved)
        if "192.0.2.2" in rules_by_handle().get(handle, ""):
            break
    else:
        pytest.fail("no table could be made in which the handle is another rule's")
    manager.remove_rule("guests", rule(3))
    manager.apply()
    there = {one.name: one.rules for one in manager.standing()}
    assert there["guests"] == manager.rules("guests")


def rules_by_handle() -> dict[int, str]:
    lines = nft("-a", "list", "chain", "inet", "refnet.a", "filter.guests").splitlines()
    return {int(number): text for text, found, number in (line.rpartition(" # handle ") for line in lines) if found}


def test_others_stay_byte_for_byte() -> None:
    nft("-f", "-", script=OTHERS)
    before = ruleset()
    manager = made()
    manager.guard_port(PortGuard("tap1", "52:54:00:00:00:01", "192.0.2.0/24"))
    manager.apply()
    manager.remove_rule("guests", rule(0))
    manager.apply()
    manager.resync()
    manager.teardown()
    assert ruleset() == before


def test_owners_with_names_that_begin_alike() -> None:
    one, other = made("a"), made("a-b")
    one.apply()
    other.apply()
    before = nft("-a", "list", "table", "inet", "refnet.a-b")
    one.remove_rule("guests", rule(0))
    one.apply()
    one.teardown()
    assert nft("-a", "list", "table", "inet", "refnet.a-b") == before
    assert "refnet.a " not in nft("list", "tables") + " "
    other.teardown()


def test_teardown_in_another_process_and_twice() -> None:
    manager = made()
    manager.guard_port(PortGuard("tap1", "52:54:00:00:00:01"))
    manager.apply()
    other = NftablesManager("a")
    other.teardown()
    other.teardown()
    assert nft("list", "ruleset") == ""


def test_killed_at_any_moment_and_started_again() -> None:
    script = textwrap.dedent(
        """
        import sys
        sys.path.insert(0, sys.argv[1])
        from nftables_helpers import made, rule
        manager = made(count=200)
        manager.apply()
        print("applied", flush=True)
        for number in range(10**6):
            manager.remove_rule("guests", rule(number % 200))
            manager.add_rule("guests", rule(number % 200), first=number % 2 == 0)
            manager.apply()
            print(number, flush=True)
        """
    )
    for after in (0, 1, 3):
        child = subprocess.Popen(
            [sys.executable, "-c", script, str(Path(__file__).parent)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        with child:
            for _ in range(after):
                assert child.stdout.readline()
            child.send_signal(signal.SIGKILL)
        manager = made(count=200)
        manager.apply()
        assert stands(manager)
        manager.teardown()
        assert nft("list", "ruleset") == ""


def test_others_who_change_nftables_meanwhile_do_no_harm() -> None:
    loop = "while :; do nft add table inet other; nft delete table inet other; done"
    other = subprocess.Popen(["sh", "-c", loop], start_new_session=True)
    try:
        manager = made(count=250)
        manager.apply()
        for number in range(40):
            manager.remove_rule("guests", rule(number))
            manager.apply()
        manager.resync()
        assert stands(manager)
    finally:
        os.killpg(other.pid, signal.SIGKILL)
        other.wait()


def test_a_lock_that_another_holds_is_waited_for_with_a_limit() -> None:
    manager = NftablesManager("a", lock_time_limit=0.05)
    manager.add_chain("guests", hook="forward")
    with locks.held("nftables-a"), pytest.raises(LockTimeout):
        manager.apply()
    manager.apply()
    assert stands(manager)
