"""Refused rules, held locks, missing programs and privileges, and kill -9, with the real tools."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from iptables_helpers import LIMIT, VARIANTS, fill, held_lock, restore, run, save

from conformance.topology.linux import Sandbox
from refnet.errors import LockTimeout, PermissionDenied, RefnetError, RuleError, TeardownFailed, ToolMissing
from refnet.firewall import (
    ACCEPT,
    DROP,
    Capability,
    Rule,
)
from refnet.firewall.iptables import IptablesManager, LegacyIptablesManager, culprit
from refnet.firewall.iptables.tools import Tools


def test_all_of_both_families_or_nothing(
    make: Any, variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = make()
    manager.add_chain("guests", hook="forward")
    for number in range(1, 6):
        manager.add_rule("guests", Rule(DROP, source=f"192.0.2.{number}"))
    manager.add_rule("guests", Rule(DROP, protocol="tcp"))
    manager.apply()
    before = save(variant), save(variant, 6)
    broken = tmp_path / f"ip6tables-{variant}-restore"
    broken.write_text("#!/bin/sh\necho 'it is broken' >&2\nexit 3\n")
    broken.chmod(0o755)
    path = os.environ["PATH"]
    monkeypatch.setenv("PATH", f"{tmp_path}:{path}")
    for undone in (manager, make()):
        undone.add_chain("guests", hook="forward")
        undone.remove_rule("guests", Rule(DROP, source="192.0.2.3"))
        undone.add_rule("guests", Rule(ACCEPT, protocol="udp"), first=True)
        with pytest.raises(RefnetError, match="it is broken"):
            undone.apply()
        assert save(variant) == before[0]
        assert save(variant, 6) == before[1]
    monkeypatch.setenv("PATH", path)
    manager.apply()
    assert manager.standing()[0].rules == manager.rules("guests")
    assert len(manager.rules("guests")) == 6


def test_a_refused_rule_is_named_and_nothing_has_changed(variant: str) -> None:
    text = "*filter\n:own.a - [0:0]\n-A own.a -s 192.0.2.1\n-A own.a -p tcp -m tcp --dport 99999 -j DROP\nCOMMIT\n"
    with pytest.raises(RuleError) as caught:
        Tools(4, variant).restore(text, 5)
    assert caught.value.rule == "-A own.a -p tcp -m tcp --dport 99999 -j DROP"
    assert "own.a" not in save(variant)


def test_a_rule_that_the_kernel_refuses_where_it_stands_is_named(variant: str) -> None:
    # It is the jump from OUTPUT, or the table as a whole, that is refused: packets have no source MAC address there.
    guilty = "-A own.b -m mac --mac-source 52:54:00:00:00:01 -j DROP"
    rules = "\n".join(f"-A own.b -s 192.0.2.{number} -j DROP" for number in range(1, 9))
    text = (
        f"*filter\n:own.a - [0:0]\n:own.b - [0:0]\n-A own.a -j own.b\n{rules}\n{guilty}\n{rules}\n"
        "-A OUTPUT -j own.a\nCOMMIT\n"
    )
    with pytest.raises(RuleError) as caught:
        Tools(4, variant).restore(text, 5)
    assert culprit.is_unclear(caught.value)
    assert culprit.named(caught.value, Tools(4, variant), text, "own.").rule == guilty
    assert "own." not in save(variant)


def test_the_lock_is_waited_for_with_a_limit(stack: Sandbox) -> None:
    manager = LegacyIptablesManager("own", lock_time_limit=0.5)
    manager.add_chain("guests", hook="forward")
    manager.add_rule("guests", Rule(DROP, protocol="tcp"))
    with held_lock(), pytest.raises(LockTimeout, match="xtables lock"):
        manager.apply()
    assert save("legacy") == ""
    manager.apply()
    assert "own.guests" in save("legacy")
    manager.add_rule("guests", Rule(DROP, protocol="udp"))
    with held_lock(), pytest.raises(LockTimeout):
        manager.apply()
    assert "-p udp" not in save("legacy")
    manager.apply()
    assert save("legacy").count("-A own.guests") == 2


def test_the_lock_may_be_another_file(stack: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "other.lock"
    monkeypatch.setenv("XTABLES_LOCKFILE", str(path))
    manager = LegacyIptablesManager("own", lock_time_limit=0.5)
    manager.add_chain("guests", hook="forward")
    manager.add_rule("guests", Rule(DROP))
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(LockTimeout, match=f"fuser -v {path}"):
            manager.apply()
    manager.apply()


def test_a_run_directory_that_cannot_be_written(
    make: Any, variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))  # of refnet's own locks
    manager = make()
    manager.add_chain("guests", hook="forward")
    manager.add_rule("guests", Rule(DROP))
    run("mount", "--bind", "/run", "/run")
    try:
        run("mount", "-o", "remount,bind,ro", "/run")
        if variant == "legacy":
            with pytest.raises(PermissionDenied, match="a /run that it can write"):
                manager.apply()
        else:
            manager.apply()
    finally:
        run("umount", "/run")
    manager.apply()
    assert "-A own.guests -j DROP" in save(variant)


def test_no_program(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = make()
    manager.add_chain("guests", hook="forward")
    manager.add_rule("guests", Rule(DROP))
    with monkeypatch.context() as patched:
        patched.setenv("PATH", "/nowhere")
        with pytest.raises(ToolMissing, match="Debian's package iptables"):
            manager.apply()
        assert "iptables" in (manager.probe(Capability.RATE_LIMIT) or "")
    manager.apply()


def test_without_the_privilege(variant: str, stack: Sandbox) -> None:
    code = (
        "import refnet.firewall as f, refnet.firewall.iptables as i\n"
        "from refnet.errors import PermissionDenied, TeardownFailed\n"
        f"m = i.{VARIANTS[variant].__name__}('own')\n"
        "m.add_chain('g', hook='forward'); m.add_rule('g', f.Rule(f.DROP))\n"
        "for call in (m.apply, m.resync):\n"
        "    try: call()\n"
        "    except PermissionDenied as error: print(error)\n"
        "print(m.probe('filter')); print(m.probe('forget-connections'))\n"
        "try: m.teardown()\n"
        "except TeardownFailed as error: print(error)\n"
    )
    # One may make namespaces, and change nothing in this one's.
    for left in ("-all", "-all,+sys_admin"):
        said = run("setpriv", f"--bounding-set={left}", "--inh-caps=-all", sys.executable, "-c", code)
        assert [line.count("CAP_NET_ADMIN") for line in said.splitlines()] == [1, 1, 1, 1, 1]
        assert "python" not in said
    assert save(variant) == ""


def test_the_legacy_variants_tables_are_looked_at_without_its_privilege(stack: Sandbox) -> None:
    code = (
        "import refnet.firewall as f, refnet.firewall.iptables as i\n"
        "from refnet.errors import PermissionDenied\n"
        "m = i.NftIptablesManager('own')\n"
        "m.add_chain('g', hook='forward'); m.add_rule('g', f.Rule(f.DROP))\n"
        "try: m.apply()\n"
        "except PermissionDenied as error: print(error)\n"
    )

    def applied() -> str:
        return run("setpriv", "--bounding-set=-net_raw", "--inh-caps=-all", sys.executable, "-c", code)

    for family in (4, 6):  # somebody else's
        restore("legacy", "*filter\n:theirs - [0:0]\nCOMMIT\n", family)
    assert applied() == ""
    for family in (4, 6):
        assert "-A own.g -j DROP" in save("nft", family)
    restore("legacy", "*filter\n:own.left - [0:0]\nCOMMIT\n")
    assert "CAP_NET_RAW" in applied()


def test_rules_that_no_program_can_remove_are_told(
    make: Any, variant: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    manager = make()
    with monkeypatch.context() as patched:
        patched.setenv("PATH", "/nowhere")
        make().teardown()  # nothing stands: nothing is missed
        make().apply()
    restore(variant, "*filter\n:theirs - [0:0]\nCOMMIT\n")
    manager.add_chain("guests", hook="forward")
    manager.add_rule("guests", Rule(DROP, source="192.0.2.1"))
    with monkeypatch.context() as patched:
        patched.setenv("PATH", "/nowhere")
        make().teardown()  # others' chains are nothing of this owner's
    manager.apply()
    with monkeypatch.context() as patched:
        patched.setenv("PATH", "/nowhere")
        for kind in (make, lambda: IptablesManager("own")):
            with pytest.raises(TeardownFailed) as caught:
                kind().teardown()
            assert [type(one) for one in caught.value.errors] == [ToolMissing]
            assert f"iptables-{variant}-save" in str(caught.value)
            with pytest.raises(ToolMissing):
                kind().apply()
    assert "-A own.guests" in save(variant)
    manager.teardown()
    assert "own." not in save(variant)


def test_killed_at_any_moment_the_next_one_converges(make: Any, variant: str, tmp_path: Path) -> None:
    code = (
        "import sys, refnet.firewall as f, refnet.firewall.iptables as i\n"
        f"m = i.{VARIANTS[variant].__name__}('own')\n"
        "for name in ('x', 'y'): m.add_chain(name, hook='forward'); m.add_chain('sub-' + name)\n"
        "open(sys.argv[1], 'w').close()\n"
        "while True:\n"
        "    for name in ('x', 'y'):\n"
        "        for n in range(1, 30): m.add_rule(name, f.Rule(f.DROP, in_interface=f.Not('a', f'b{n}')))\n"
        "        m.add_rule(name, f.Rule(f.Jump('sub-' + name))); m.apply(); m.empty_chain(name)\n"
    )
    for moment in range(4):
        ready = tmp_path / str(moment)
        child = subprocess.Popen([sys.executable, "-c", code, str(ready)], start_new_session=True)
        try:
            deadline = time.monotonic() + LIMIT
            while not ready.exists() or "own." not in save(variant):
                assert time.monotonic() < deadline
            time.sleep(0.01 * moment)  # anywhere
        finally:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait(LIMIT)
        manager = make()
        fill(manager)
        manager.apply()
        assert {(one.table, one.name): one.rules for one in manager.standing()} == {
            (table, name): manager.rules(name, table=table) for table, name, _ in manager.chains()
        }
        assert "own.x" not in save(variant)
    manager.teardown()
    assert "own." not in save(variant) + save(variant, 6)
