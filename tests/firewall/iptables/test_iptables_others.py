"""What others have beside an owner's rules, and what stands in the tools' other variant, with the real tools."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from iptables_helpers import LIMIT, VARIANTS, fill, held_lock, restore, run, save, send

from conformance.topology.linux import Sandbox
from refnet.errors import LockTimeout, TeardownFailed, Unsupported
from refnet.firewall import ACCEPT, DROP, Hook, Rule, Table
from refnet.firewall.iptables import IptablesManager, LegacyIptablesManager, NftIptablesManager, kernel
from refnet.firewall.iptables.tools import Tools
from refnet.firewall.netfilter import Netfilter, Request

FOREIGN = """\
*filter
:a-b - [0:0]
:own - [0:0]
:ownx.y - [0:0]
-A FORWARD -m comment --comment "own.guests -j own.guests" -j ACCEPT
-A FORWARD -j a-b
-A own -s 192.0.2.1/32 -j DROP
-A a-b -p tcp -j own
-A INPUT -p udp -m comment --comment own. -j DROP
COMMIT
*nat
-A POSTROUTING -o eth9 -j MASQUERADE
COMMIT
"""


@pytest.mark.parametrize("position", ["first", "last"])
def test_what_others_have_stays_as_it_is(make: Any, variant: str, position: str) -> None:
    restore(variant, FOREIGN)
    before = save(variant)
    other = make("own-x")
    fill(other)
    other.apply()
    with_other = save(variant)
    manager = make(position=position)
    fill(manager)
    manager.apply()
    lines = save(variant).splitlines()
    forward = [line.partition("-A FORWARD ")[2] for line in lines if "-A FORWARD" in line]
    assert forward[0 if position == "first" else -1] == "-j own.guests"
    manager.teardown()
    assert save(variant) == with_other
    other.teardown()
    assert _rules_of_others(save(variant)) == _rules_of_others(before)


def _rules_of_others(printed: str) -> list[str]:
    """Return the chains and rules, without the built-in chains of tables that a test has brought about."""
    return [line for line in printed.splitlines() if " -A " in line or line.endswith("- [0:0]")]


def test_teardown_takes_all_of_both_variants_and_tells_what_stays(stack: Sandbox) -> None:
    stood = []
    for name, kind in VARIANTS.items():
        manager = kind("own")
        fill(manager)
        manager.apply()
        stood.append((save(name), save(name, 6)))
    for family, text in zip((4, 6), stood[0], strict=True):  # the second manager has removed the first one's
        restore("legacy", text + "\n", family)
    other = NftIptablesManager("own-b")
    fill(other)
    other.apply()
    restore("legacy", "*raw\n:own.raw - [0:0]\n-A PREROUTING -j own.raw\nCOMMIT\n")
    restore("legacy", "*filter\n:theirs - [0:0]\n-A theirs -p tcp -j own.sub\nCOMMIT\n")
    with pytest.raises(TeardownFailed, match=r"theirs.*own\.sub") as caught:
        IptablesManager("own").teardown()
    assert len(caught.value.errors) == 1
    assert [line for line in save("legacy").splitlines() if "own." in line] == [
        ":own.sub - [0:0]",
        "[0:0] -A theirs -p tcp -j own.sub",
    ]
    assert not re.search(r"^:own\.|-A own\.|-j own\.\S+$", save("nft"), re.MULTILINE)
    assert "own-b.guests" in save("nft")
    assert "own." not in save("legacy", 6)
    run("iptables-legacy", "-w", "-F", "theirs")
    IptablesManager("own").teardown()
    IptablesManager("own").teardown()
    assert "own." not in save("legacy")


@pytest.mark.parametrize("jump", [False, True])
def test_a_comment_with_a_jump_in_it_is_none(manager: IptablesManager, variant: str, jump: bool) -> None:
    fill(manager)
    manager.apply()
    said, target = ("a -j b", "own.guests") if jump else ("see -j own.guests for more", "ACCEPT")
    restore(variant, f'*filter\n-A INPUT -m comment --comment "{said}" -j {target}\nCOMMIT\n')
    if jump:
        with pytest.raises(TeardownFailed, match=r'somebody\'s rule \'-A INPUT -m comment --comment "a -j b" -j own'):
            manager.teardown()
    else:
        manager.teardown()
    assert (":own.guests" in save(variant)) is jump
    assert "-A own." not in save(variant)


@pytest.mark.parametrize(
    "said",
    [
        "x\n:own.other - [0:0]",
        "x\n-A own.guests -j DROP",
        "x\\\n*nat\n:own.other - [0:0]\nCOMMIT",
        "x\n-A FORWARD -j own.guests",
        'x\n"\n:own.other - [0:0]',
        "x\u2028-A own.guests -j DROP",
        "x\v:own.other - [0:0]",
        'x \\" -j own.guests',
        "-A own.guests -j DROP",
    ],
)
def test_a_comment_of_several_lines_is_none_of_the_rules(make: Any, variant: str, said: str) -> None:
    run(f"iptables-{variant}", "-w", "-A", "FORWARD", "-m", "comment", "--comment", said, "-j", "ACCEPT")
    run(f"iptables-{variant}", "-w", "-A", "FORWARD", "-p", "tcp", "-j", "ACCEPT")
    before = save(variant)
    for manager in (make(), make()):
        manager.add_chain("guests", hook="forward")
        manager.add_rule("guests", Rule(DROP, source="192.0.2.1"))
        manager.apply()
        manager.resync()
        assert manager.standing() == ((Table.FILTER, "guests", Hook.FORWARD, manager.rules("guests")),)
    manager.teardown()
    assert save(variant) == before


@pytest.mark.parametrize(
    "meanwhile",
    [["-I", "own.guests", "-s", "192.0.2.9", "-j", "RETURN"], ["-D", "own.guests", "5"], ["-F", "own.guests"]],
)
def test_what_somebody_changes_between_the_look_and_the_edits(
    manager: IptablesManager, variant: str, monkeypatch: pytest.MonkeyPatch, meanwhile: list[str]
) -> None:
    manager.add_chain("guests", hook="forward")
    for port in (1, 2, 3, 4):
        manager.add_rule("guests", Rule(DROP, protocol="tcp", destination_ports=port))
    manager.apply()
    before = save(variant)
    program, real, left = f"iptables-{variant}", Tools.restore, [meanwhile]
    run(program, "-w", "-I", "own.guests", "5", "-s", "192.0.2.1", "-j", "ACCEPT")
    run(program, "-w", "-D", "own.guests", "2")
    run(program, "-w", "-I", "own.guests", "3", "-s", "192.0.2.2", "-j", "ACCEPT")

    def disturbed(self: Tools, *given: Any) -> None:
        if left:
            run(program, "-w", *left.pop())
        real(self, *given)

    monkeypatch.setattr(Tools, "restore", disturbed)
    manager.resync()
    assert not left
    assert save(variant) == before


def natively(text: str) -> None:
    """Have somebody use nft in iptables's own table, for what iptables does not have."""
    run("nft", "-f", "-", stdin=text)
    assert "is incompatible" in run("iptables-nft-save")


def native_rules(chain: str) -> list[str]:
    lines = [line.strip() for line in run("nft", "list", "chain", "ip", "filter", chain).splitlines()]
    return [line for line in lines if "jump" in line or line.endswith(("accept", "drop"))]


def test_a_table_that_iptables_cannot_read_is_kept_as_well(stack: Sandbox) -> None:
    def made() -> IptablesManager:
        manager = NftIptablesManager("own")
        fill(manager)
        manager.add_chain("local", hook="output")
        manager.add_rule("local", Rule(ACCEPT, protocol="udp", comment="it says -c 1 2"))
        manager.add_rule("local", Rule(DROP, source="192.0.2.1"))
        return manager

    manager = made()
    manager.apply()
    before = save("nft")
    send("127.0.0.1", 9, 3)
    natively("add rule ip filter FORWARD ct state established accept\nadd rule ip filter OUTPUT ct mark 7 drop\n")
    forward = native_rules("FORWARD")
    assert len(forward) == 2
    for one in (manager, made()):
        one.resync()
        assert native_rules("FORWARD") == forward
        assert one.counters("local") == ((3, 3 * (20 + 8 + 1)), (0, 0))
        found = {(chain.name, chain.rules) for chain in one.standing()}
        assert found == {(name, one.rules(name, table=table)) for table, name, _ in one.chains()}
    # Somebody adds and removes, in words of both.
    restore("nft", "*filter\n-F own.sub\n-I FORWARD -j own.guests\nCOMMIT\n")
    natively("add rule ip filter own.guests ct state new drop\n")
    manager.remove_rule("local", Rule(DROP, source="192.0.2.1"))
    manager.resync()
    assert native_rules("FORWARD") == forward
    assert manager.counters("local")[0].packets == 3
    manager.add_rule("local", Rule(DROP, source="192.0.2.1"))
    manager.apply()
    # Before an owner's there is what the tool stops at.
    natively("insert rule ip filter FORWARD ct state related accept\n")
    with pytest.raises(Unsupported, match="nft list ruleset"):
        manager.resync()
    assert native_rules("FORWARD") == ["ct state related accept", *forward]
    for chain in ("FORWARD", "OUTPUT"):
        run("nft", "flush", "chain", "ip", "filter", chain)
    manager.resync()
    assert _without_counters(save("nft")) == _without_counters(before)


def _without_counters(printed: str) -> list[str]:
    return [re.sub(r"^\[\d+:\d+\] ", "", line) for line in printed.splitlines()]


def test_a_comment_of_several_lines_in_an_owners_chain_is_one_rule_there_as_well(stack: Sandbox) -> None:
    manager = NftIptablesManager("own")
    manager.add_chain("guests", hook="forward")
    for port in (1, 2, 3):
        manager.add_rule("guests", Rule(DROP, protocol="tcp", destination_ports=port))
    manager.apply()
    before = save("nft")
    natively("add rule ip filter FORWARD ct mark 7 drop\n")
    said = "x\n-A own.guests -j DROP"
    run("iptables-nft", "-I", "own.guests", "2", "-m", "comment", "--comment", said, "-j", "ACCEPT")
    manager.resync()
    run("nft", "flush", "chain", "ip", "filter", "FORWARD")
    run("iptables-nft", "-A", "FORWARD", "-j", "own.guests")
    assert save("nft") == before


def test_teardown_takes_an_owners_rules_from_a_table_that_iptables_cannot_read(stack: Sandbox) -> None:
    manager = NftIptablesManager("own")
    fill(manager)
    manager.apply()
    natively(
        "add rule ip filter FORWARD ct state established jump own.sub\nadd chain ip filter theirs\n"
        "add rule ip filter theirs jump own.guests\nadd rule ip filter FORWARD ct state related accept\n"
    )
    with pytest.raises(TeardownFailed, match=r"-A FORWARD \.\.\. -j own\.sub") as caught:
        NftIptablesManager("own").teardown()
    assert len(caught.value.errors) == 2
    assert native_rules("FORWARD") == ["ct state established jump own.sub", "ct state related accept"]
    assert native_rules("own.guests") == native_rules("own.sub") == []
    run("nft", "delete", "chain", "ip", "filter", "theirs")
    run("nft", "flush", "chain", "ip", "filter", "FORWARD")
    natively("add rule ip filter FORWARD ct state related accept\n")
    NftIptablesManager("own").teardown()
    assert "own." not in run("nft", "list", "ruleset")


def test_if_what_stands_in_the_other_variant_cannot_go_nothing_has_changed(stack: Sandbox) -> None:
    before, manager = LegacyIptablesManager("own"), NftIptablesManager("own", lock_time_limit=1)
    fill(before)
    before.apply()
    stood = [save(variant, family) for variant in VARIANTS for family in (4, 6)]
    manager.add_chain("guests", hook="forward")
    manager.add_rule("guests", Rule(DROP, protocol="tcp"))
    with held_lock(), pytest.raises(LockTimeout):
        manager.apply()
    for variant, family in itertools.product(VARIANTS, (4, 6)):
        assert _rules_of_others(save(variant, family)) == _rules_of_others(stood.pop(0))
    manager.apply()
    assert "own." not in save("legacy") + save("legacy", 6)
    assert manager.standing()[0].rules == manager.rules("guests")


def test_the_tools_become_another_variant_under_a_manager(
    stack: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = os.environ["PATH"]

    def choose(variant: str) -> None:
        """As update-alternatives does."""
        for name in ("iptables", "ip6tables"):
            for job in ("", "-save", "-restore"):
                link = tmp_path / f"{name}{job}"
                link.unlink(missing_ok=True)
                link.symlink_to(shutil.which(f"{name}-{variant}{job}", path=path) or "")

    monkeypatch.setenv("PATH", f"{tmp_path}:{path}")
    choose("nft")
    manager = IptablesManager("own")
    fill(manager)
    manager.apply()
    choose("legacy")
    manager.resync()
    assert {one.name: one.rules for one in manager.standing()}["guests"] == manager.rules("guests")
    for family in (4, 6):
        assert "own." in save("legacy", family)
        assert "own." not in save("nft", family)
    choose("nft")
    manager.add_rule("guests", Rule(DROP, source="192.0.2.99"))
    manager.apply()
    assert "-A own.guests -s 192.0.2.99/32 -j DROP" in save("nft")
    assert "own." not in save("legacy") + save("legacy", 6)
    manager.teardown()
    assert "own." not in save("nft")


def test_what_stands_in_the_other_variant_goes_with_the_first_apply(
    make: Any, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (other,) = set(VARIANTS) - {variant}
    before, manager = VARIANTS[other]("own"), make()
    fill(before)
    before.apply()
    restore(other, "*filter\n:theirs - [0:0]\n-A theirs -j DROP\nCOMMIT\n")
    fill(manager)
    manager.apply()
    for family in (4, 6):
        assert "own." in save(variant, family)
        assert "own." not in save(other, family)
    assert "-A theirs -j DROP" in save(other)
    asked: list[str] = []
    monkeypatch.setattr(Tools, "save", lambda self: asked.append(self.variant) or "")
    make().resync()
    assert other not in asked


def test_processes_do_not_disturb_each_other(make: Any, variant: str) -> None:
    code = (
        "import sys, refnet.firewall as f, refnet.firewall.iptables as i\n"
        f"m = i.{VARIANTS[variant].__name__}(sys.argv[1]); m.add_chain('g', hook='forward')\n"
        "for n in range(1, 31):\n"
        "    m.add_rule('g', f.Rule(f.DROP, source=f'192.0.2.{n}'))\n"
        "    m.add_rule('g', f.Rule(f.ACCEPT, mark=n)); m.apply()\n"
        "    if n % 10 == 0: m.resync()\n"
    )
    owners = ("a", "a-b", "c")
    children = [subprocess.Popen([sys.executable, "-c", code, owner], stderr=subprocess.PIPE) for owner in owners]
    for child in children:
        _, said = child.communicate(timeout=LIMIT)
        assert child.returncode == 0, said.decode()
    lines = save(variant).splitlines()
    for owner in owners:
        assert [line.split("-s ")[1] for line in lines if f"-A {owner}.g -s" in line] == [
            f"192.0.2.{n}/32 -j DROP" for n in range(1, 31)
        ]
        assert sum(f"-A {owner}.g -m mark" in line for line in save(variant, 6).splitlines()) == 30


def test_a_refused_question_is_no_answer(stack: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(kernel, "_GET_CHAIN", 99)  # EINVAL, as from a kernel without nf_tables
        assert kernel.has_nft_chain(socket.AF_INET, "own.")
        patched.setattr(kernel, "_SUBSYSTEM", 99)
        assert not kernel.has_nft_chain(socket.AF_INET, "own.")
    assert not kernel.has_nft_chain(socket.AF_INET, "own.")


def test_a_list_that_changes_while_it_is_given_is_no_answer(stack: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"c{number}" for number in range(1000)]
    chains = "".join(f"add chain ip a {name}\n" for name in names)
    run("nft", "-f", "-", stdin=f"add table ip a\n{chains}add table ip b\nadd chain ip b own.x\n")
    real = Netfilter.answers

    def answers(self: Netfilter, request: Request) -> Iterator[bytes]:
        """While the kernel gives the list, what it has given so far goes: its place in the list moves."""
        found = real(self, request)
        yield next(found)
        run("nft", "-f", "-", stdin="".join(f"delete chain ip a {name}\n" for name in names))
        yield from found

    with monkeypatch.context() as patched:
        patched.setattr(Netfilter, "answers", answers)
        assert kernel.has_nft_chain(socket.AF_INET, "own.")
    run("nft", "delete", "table", "ip", "b")
    assert not kernel.has_nft_chain(socket.AF_INET, "own.")


def test_a_chain_is_found_in_the_kernels_own_tables(stack: Sandbox) -> None:
    assert not kernel.has_legacy_chain(4, "own.")
    for family in (4, 6):
        chains = "".join(f":c{number} - [0:0]\n-A c{number} -j RETURN\n" for number in range(500))
        restore("legacy", f"*filter\n{chains}:an-own.x - [0:0]\n-A c1 -m comment --comment own.y\nCOMMIT\n", family)
        assert not kernel.has_legacy_chain(family, "own.")
        assert kernel.has_legacy_chain(family, "an-own.")
        restore("legacy", "*mangle\n:own.z - [0:0]\nCOMMIT\n", family)
        assert kernel.has_legacy_chain(family, "own.")
        assert family == 6 or not kernel.has_legacy_chain(6, "own.")
