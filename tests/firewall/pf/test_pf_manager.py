"""The manager against what FreeBSD answered, and against what pfctl says when something is wrong."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import Any

import pf_replay
import pf_scenes
import pytest

from refnet import process
from refnet.errors import LockTimeout, PermissionDenied, RefnetError, RuleError, TeardownFailed, Unsupported
from refnet.firewall import DROP, Dnat, Jump, Redirect, Rule
from refnet.firewall.pf import PfManager, tool
from refnet.firewall.pf.connections import known
from refnet.process import Completed

_RECORDED = pf_replay.scenes()


@pytest.mark.parametrize("scene", [scene for _, scene in pf_scenes.SCENES], ids=lambda scene: str(scene.__name__))
def test_scene(scene: Callable[[PfManager], None], monkeypatch: pytest.MonkeyPatch) -> None:
    player = pf_replay.Player(_RECORDED[scene.__name__])
    monkeypatch.setattr(process, "run", player.run)
    scene(PfManager(pf_scenes.OWNER))
    assert not player.left, f"{player.left[0].command} was not started"


def test_one_rule_more_loads_its_chain_only() -> None:
    loads = [entry for entry in _RECORDED["one_more"] if "-f" in shlex.split(entry.command)]
    (body,) = [line for line in loads[-1].stdin.splitlines() if line.endswith("{")]
    assert body.startswith('anchor "i~names"')


def test_nothing_is_done_but_in_own_anchors() -> None:
    for entries in _RECORDED.values():
        for entry in entries:
            words = shlex.split(entry.command)
            writes = {"-f", "-F", "-T", "-e", "-d", "-x", "-z"} & set(words)
            assert not writes or words[words.index("-a") + 1].startswith("refnet/own"), entry.command


def _answering(monkeypatch: pytest.MonkeyPatch, stderr: str, status: int = 1, stdout: str = "") -> list[list[str]]:
    started: list[list[str]] = []

    def run(argv: Sequence[str], **_: Any) -> Completed:
        started.append(list(argv))
        return Completed(tuple(argv), status, stdout, stderr)

    monkeypatch.setattr(process, "run", run)
    return started


@pytest.mark.parametrize(
    ("words", "error", "told"),
    [
        ("stdin:2: syntax error\npfctl: Syntax error in config file: pf rules not loaded", RuleError, "'second'"),
        ("pfctl: /dev/pf: Permission denied", PermissionDenied, "root"),
        ("pfctl: /dev/pf: No such file or directory", Unsupported, "kldload pf"),
        ("pfctl: DIOCADDRULENV: Device busy", LockTimeout, "others have been loading"),
    ],
)
def test_words_of_refusals(words: str, error: type[RefnetError], told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _answering(monkeypatch, words)
    with pytest.raises(error, match=told):
        tool.Pfctl(0.1).load("refnet/own", "first\nsecond\n", ())


def test_is_enabled_already(monkeypatch: pytest.MonkeyPatch) -> None:
    started = _answering(monkeypatch, "pfctl: pf already enabled")
    PfManager("own").enable()
    assert started == [["/sbin/pfctl", "-e"]]


def test_teardown_goes_on_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    emptied = []

    def run(argv: Sequence[str], **_: Any) -> Completed:
        if "-f" in argv:
            anchor = argv[argv.index("-a") + 1]
            emptied.append(anchor)
            return Completed(tuple(argv), 1 if anchor == "refnet/own/i" else 0, "", "pfctl: DIOCXCOMMIT: No buffers")
        return Completed(tuple(argv), 0, "  refnet/own\n  refnet/own/i\n  refnet/own/i~in\n", "")

    monkeypatch.setattr(process, "run", run)
    with pytest.raises(TeardownFailed) as failed:
        PfManager("own").teardown()
    assert emptied == ["refnet/own", "refnet/own/i", "refnet/own/i~in"]
    assert len(failed.value.errors) == 1


def test_states_of_pf_by_connection() -> None:
    text = """\
all tcp 10.0.2.2:80 (10.0.1.1:8080) <- 10.0.1.2:5001       SYN_SENT:CLOSED
   [1000 + 1](+2)  [0 + 1]
   age 00:00:01, expires in 00:00:59, 1:0 pkts, 60:0 bytes
   id: 0000000000000001 creatorid: 5eed0001
all tcp 10.0.2.1:50001 (10.0.1.2:5001) -> 10.0.2.2:80       CLOSED:SYN_SENT
   id: 0000000000000002 creatorid: 5eed0001
all udp fd00:0:0:2::2[53] <- fd00:0:0:1::2[5001]       NO_TRAFFIC:SINGLE
   id: 0000000000000003 creatorid: 5eed0001
"""
    found = known(text)
    assert [one.id.partition("/")[0][-1] for one in found] == ["1", "2", "3"]
    assert found[0].connection == found[1].connection
    assert {str(one) for one in found[0].addresses} == {"10.0.2.2", "10.0.1.1", "10.0.1.2"}
    assert {str(one) for one in found[2].addresses} == {"fd00:0:0:2::2", "fd00:0:0:1::2"}


def test_what_pf_cannot_do_is_refused_when_it_is_added() -> None:
    manager = PfManager("own")
    manager.add_chain("guests", hook="forward")
    for rule in (
        Rule(DROP, states="established"),
        Rule(DROP, states="untracked"),
        Rule(DROP, source_mac="02:00:00:00:00:01"),
        Rule(DROP, limit="1/second"),
        Rule(DROP, mark=1),
        Rule(DROP, protocol="icmp", icmp_type=255),
    ):
        with pytest.raises(Unsupported):
            manager.add_rule("guests", rule)
    assert manager.rules("guests") == ()


def test_what_this_host_sends_is_not_forwarded_by_whatever_way() -> None:
    manager = PfManager("own")
    manager.add_chain("sent", hook="output", table="nat")
    manager.add_chain("come", hook="prerouting", table="nat")
    for chain in ("between", "floating"):
        manager.add_chain(chain, table="nat")
    forward, onward = Rule(Dnat("10.0.0.3"), destination="203.0.113.3"), Rule(Jump("floating"))
    manager.add_rule("come", onward, table="nat")
    manager.add_rule("floating", forward, table="nat")
    manager.add_rule("between", onward, table="nat")
    refusals = (("sent", Rule(Jump("between"))), ("sent", forward), ("sent", Rule(Redirect(80), protocol="tcp")))
    for chain, rule in refusals:
        with pytest.raises(Unsupported, match="what this host sends"):
            manager.add_rule(chain, rule, table="nat")
    manager.empty_chain("floating", table="nat")
    manager.add_rule("sent", Rule(Jump("between")), table="nat")
    with pytest.raises(Unsupported, match="what this host sends"):
        manager.add_rule("floating", forward, table="nat")
    assert manager.rules("floating", table="nat") == ()
