"""The backend against the real nft: what is written when, what is kept, and what is left alone."""

from __future__ import annotations

import ctypes
import ipaddress
import itertools
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from nftables_helpers import MANY, made, nft, rule, ruleset, stands

from refnet import process
from refnet.errors import InvalidArgument, PermissionDenied, RuleError, TeardownFailed, ToolMissing, Unsupported
from refnet.firewall import (
    ACCEPT,
    DROP,
    Capability,
    Dnat,
    Jump,
    PortGuard,
    Rule,
    Snat,
    ipv6,
)
from refnet.firewall.nftables import NftablesManager, kernel, probing, tool

pytestmark = pytest.mark.usefixtures("stack")


def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Return the list that the programs that are started from now on come into, each with what it is given."""
    found: list[tuple[str, ...]] = []
    run = process.run

    def noted(argv: list[str], *, stdin: str | None = None, **options: object) -> process.Completed:
        found.append((*argv, stdin or ""))
        return run(argv, stdin=stdin, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(process, "run", noted)
    return found


def test_apply_writes_the_model_in_one_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = made()
    programs = started(monkeypatch)
    manager.guard_port(PortGuard("tap1", "52:54:00:00:00:01"))
    manager.apply()
    assert [argv[:-1] for argv in programs] == [("nft", "--file", "-")]
    assert stands(manager)
    assert nft("list", "tables").splitlines() == ["table inet refnet.a", "table bridge refnet.a"]


def test_with_nothing_to_do_no_program_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = made()
    manager.apply()
    programs = started(monkeypatch)
    manager.add_rule("guests", rule(1))
    manager.remove_rule("guests", rule(200))
    manager.add_chain("local")
    manager.apply()
    assert programs == []


def test_one_rule_more_is_one_command(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = made()
    manager.apply()
    programs = started(monkeypatch)
    manager.add_rule("guests", rule(100))
    manager.apply()
    manager.add_rule("guests", rule(101), first=True)
    manager.apply()
    assert [argv[-1].count("\n") for argv in programs] == [1, 1]
    assert stands(manager)


def test_one_rule_more_does_not_look_at_the_lists_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = made()
    manager.apply()
    manager.add_rule("guests", rule(100))
    looked_at: list[object] = []
    for what in ("__hash__", "__eq__"):
        known = getattr(ipaddress.IPv4Network, what)
        monkeypatch.setattr(
            ipaddress.IPv4Network, what, lambda *those, known=known: looked_at.append(those) or known(*those)
        )
    manager.apply()
    assert looked_at == []
    monkeypatch.undo()
    assert stands(manager)


def test_rules_with_the_same_lists_need_no_sets_of_their_own() -> None:
    manager = NftablesManager("a")
    manager.add_chain("guests", hook="forward")
    for number in range(200):
        rule = Rule(ACCEPT, protocol="tcp", source=f"10.1.0.{number}", destination_ports=[22, 80])
        manager.add_rule("guests", rule)
    manager.apply()
    assert nft("list", "sets").count("set ") == 1
    assert stands(manager)


def test_one_chain_more_is_one_jump_more(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = made()
    manager.apply()
    programs = started(monkeypatch)
    manager.add_chain("last", hook="forward")
    manager.apply()
    assert [argv[-1].splitlines() for argv in programs] == [
        ["add chain inet refnet.a filter.last", "add rule inet refnet.a hook.filter.forward jump filter.last"]
    ]
    assert [one.name for one in manager.standing() if one.hook == "forward"] == ["guests", "more", "last"]


def test_removing_reads_a_chain_once(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = made()
    manager.apply()
    asked = []
    real = kernel.rule_handles
    monkeypatch.setattr(kernel, "rule_handles", lambda *names: asked.append(names) or real(*names))
    for number in range(3):
        manager.remove_rule("guests", rule(number))
        manager.add_rule("more", rule(number))
        manager.apply()
        assert stands(manager)
    assert len(asked) == 1


def test_every_kind_of_edit_in_one_go() -> None:
    manager = made()
    manager.apply()
    manager.add_rule("guests", rule(20), first=True)
    manager.add_rule("guests", rule(21), first=True)
    manager.remove_rule("guests", rule(0))
    manager.add_rule("guests", rule(0))
    manager.empty_chain("more")
    manager.add_rule("more", rule(7))
    manager.add_chain("last", hook="forward")
    manager.add_rule("last", Rule(Jump("local")))
    manager.add_chain("in", hook="prerouting", table="nat")
    manager.add_rule("in", Rule(Dnat("192.0.2.7")), table="nat")
    manager.remove_chain("post", table="nat")
    manager.apply()
    assert stands(manager)
    assert "hook.nat.postrouting" not in nft("list", "ruleset")
    manager.remove_chain("guests")
    manager.add_chain("guests")
    manager.apply()
    assert [one.name for one in manager.standing()] == ["in", "more", "last", "local"]


def test_chains_on_a_hook_are_asked_in_the_order_in_which_they_were_added() -> None:
    manager = made()
    manager.apply()
    manager.remove_chain("guests")
    manager.apply()
    manager.add_chain("guests", hook="forward")
    manager.apply()
    assert [one.name for one in manager.standing() if one.hook == "forward"] == ["more", "guests"]


def test_sets_come_and_go_with_the_rules_that_use_them() -> None:
    manager = made()
    manager.add_rule("more", Rule(ACCEPT, source=MANY))
    manager.apply()
    assert nft("list", "sets").count("set addr4-") == 1
    manager.empty_chain("local")
    manager.apply()
    assert nft("list", "sets").count("set addr4-") == 1
    manager.remove_rule("more", Rule(ACCEPT, source=MANY))
    manager.add_rule("more", Rule(DROP, source=MANY[1:]))
    manager.apply()
    assert nft("list", "sets").count("set addr4-") == 1
    assert stands(manager)
    manager.remove_chain("more")
    manager.apply()
    assert nft("list", "sets").count("set addr4-") == 0


def test_a_second_process_keeps_what_stands_with_its_counters() -> None:
    manager = made()
    manager.apply()
    handles = nft("-a", "list", "table", "inet", "refnet.a")
    made().apply()
    assert nft("-a", "list", "table", "inet", "refnet.a") == handles
    after = made()
    after.remove_rule("guests", rule(2))
    after.add_rule("guests", rule(77), first=True)
    after.remove_chain("more")
    after.apply()
    assert stands(after)
    kept = [line for line in handles.splitlines() if "192.0.2.3" in line or "192.0.2.1 " in line]
    assert len(kept) == 2
    assert all(line in nft("-a", "list", "table", "inet", "refnet.a") for line in kept)


@pytest.mark.parametrize(("position", "number"), [("first", -5), ("last", 5)])
def test_position(position: str, number: int) -> None:
    manager = NftablesManager("a", position=position)  # type: ignore[arg-type]
    manager.add_chain("guests", hook="forward")
    manager.add_chain("post", hook="postrouting", table="nat")
    manager.apply()
    said = nft("-y", "list", "table", "inet", "refnet.a")
    assert f"hook forward priority {number};" in said
    assert f"hook postrouting priority {100 + number};" in said


def test_an_empty_model_leaves_no_table() -> None:
    made().apply()
    NftablesManager("a").apply()
    assert nft("list", "ruleset") == ""
    manager = made()
    manager.isolate_dhcp_address("eth0", "192.0.2.1")
    manager.apply()
    with manager.deferred():
        for table, name, _ in reversed(manager.chains()):
            manager.empty_chain(name, table=table)
        for table, name, _ in manager.chains():
            manager.remove_chain(name, table=table)
        manager.remove_isolate_dhcp_address("eth0", "192.0.2.1")
    assert nft("list", "ruleset") == ""


def test_a_rule_that_nft_refuses_is_named_and_nothing_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = made()
    manager.apply()
    before = ruleset()
    # nft takes whatever refnet writes: a rule that it refuses has to be made up.
    bad = manager._render(manager._model.chain("filter", "guests"), rule(50))
    broken = bad._replace(lines=(bad.lines[0].replace("dport 22", "dport ssh-and-more"),))
    monkeypatch.setattr(manager, "_render", lambda chain, one: broken)
    manager.add_rule("guests", rule(49))
    with pytest.raises(RuleError) as raised:
        manager.apply()
    assert "192.0.2.49" in str(raised.value)
    assert "ssh-and-more" in raised.value.rule
    assert ruleset() == before
    manager.remove_rule("guests", rule(49))
    manager.apply()
    assert stands(manager)


def test_without_nft_the_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    manager = made()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="Debian's package nftables") as raised:
        manager.apply()
    assert raised.value.tool == "nft"
    assert "nftables" in str(NftablesManager("a").probe(Capability.LAYER2))


def test_without_the_privilege(monkeypatch: pytest.MonkeyPatch) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    monkeypatch.setattr(probing, "_answers", {})

    def give_up() -> None:
        # PR_CAPBSET_DROP of CAP_NET_ADMIN: a program that is started has it no more (capabilities(7)).
        assert libc.prctl(24, 12, 0, 0, 0) == 0

    script = (
        "from refnet.firewall.nftables import NftablesManager as M\nfrom refnet.errors import *\n"
        + textwrap.dedent(
            """
        manager = M("a")
        manager.add_chain("guests", hook="forward")
        assert "CAP_NET_ADMIN" in manager.probe("filter"), manager.probe("filter")
        for call in (manager.apply, manager.standing):
            try:
                call()
            except PermissionDenied as error:
                assert "CAP_NET_ADMIN" in str(error)
            else:
                raise AssertionError(call)
        try:
            manager.teardown()
        except TeardownFailed as error:
            assert isinstance(error.errors[0], PermissionDenied)
        else:
            raise AssertionError("teardown")
        """
        )
    )
    done = subprocess.run(
        [sys.executable, "-c", script], preexec_fn=give_up, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_as_many_chains_as_the_kernel_goes_through() -> None:
    manager = NftablesManager("a")
    manager.add_chain("top", hook="forward")
    for number in range(15):
        manager.add_chain(f"c{number}")
    for above, below in itertools.pairwise(["top", *(f"c{number}" for number in range(14))]):
        manager.add_rule(above, Rule(Jump(below)))
    manager.apply()
    before = ruleset()
    manager.add_rule("c13", Rule(Jump("c14")))
    with pytest.raises(RuleError, match="through 15 chains"):
        manager.apply()
    assert ruleset() == before


def test_counters_of_rules_that_are_on_the_host_and_that_are_not() -> None:
    manager = made()
    manager.add_chain("out", hook="output")
    manager.add_rule("out", Rule(ACCEPT, protocol="udp", destination="127.0.0.1"))
    manager.add_rule("out", Rule(ACCEPT, states={"new", "dnat"}))
    manager.apply()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(3):
            sender.sendto(b"12", ("127.0.0.1", 9))
    manager.add_rule("out", Rule(DROP), first=True)
    assert manager.counters("out")[0] == (0, 0)
    assert manager.counters("out")[1] == (3, 3 * (20 + 8 + 2))
    with pytest.raises(InvalidArgument):
        manager.counters("nowhere")


def test_everything_can_be_done_here() -> None:
    manager = NftablesManager("a")
    assert [one for one in Capability if manager.probe(one) is not None] == [Capability.CHECKSUM_FILL]
    assert nft("list", "ruleset") == ""


def test_a_failed_teardown_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = made()
    manager.apply()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionDenied("no")

    with monkeypatch.context() as patched:
        patched.setattr(tool, "run", refuse)
        with pytest.raises(TeardownFailed) as raised:
            manager.teardown()
    assert [type(error) for error in raised.value.errors] == [PermissionDenied]
    manager.teardown()
    assert nft("list", "ruleset") == ""


def test_a_host_without_ipv6_takes_no_rules_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipv6, "is_there", lambda: False)
    manager = NftablesManager("a")
    manager.add_chain("guests", hook="forward")
    manager.add_chain("source", hook="postrouting", table="nat")
    for table, chain, one, capability in (
        ("filter", "guests", Rule(DROP, source="2001:db8::1"), Capability.FIREWALL_IPV6),
        ("nat", "source", Rule(Snat("2001:db8::1")), Capability.NAT_IPV6),
    ):
        with pytest.raises(Unsupported, match="no IPv6") as caught:
            manager.add_rule(chain, one, table=table)
        assert caught.value.capability == capability
        assert manager.rules(chain, table=table) == ()
        assert manager.probe(capability)
    manager.add_rule("guests", Rule(DROP))
    manager.apply()


def test_both_families_of_one_address_translation() -> None:
    manager = NftablesManager("a")
    manager.add_chain("post", hook="postrouting", table="nat")
    manager.add_rule("post", Rule(Snat("192.0.2.1")), table="nat")
    manager.add_rule("post", Rule(Snat("2001:db8::1")), table="nat")
    manager.apply()
    assert stands(manager)
