"""What nft says, in refnet's errors: said here by a program in its place, as the real one would have to be made to."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from refnet.errors import CommandFailed, KernelRefused, LockTimeout, PermissionDenied, RuleError, Unsupported
from refnet.firewall import ACCEPT, Capability, Log, Rule
from refnet.firewall.nftables import tool
from refnet.firewall.nftables.tool import Script

RULE = Rule(Log("x"), comment="Operation not permitted")
LINE = 'add rule inet refnet.a filter.c counter log prefix "x" comment "refnet:0 Operation not permitted"'


@pytest.fixture
def nft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a program in nft's place that says ``words`` and fails, as often as there are lines in ``left``."""
    program = tmp_path / "nft"
    program.write_text(
        f"#!/bin/sh\ncat > {tmp_path}/given\ncd {tmp_path}\n"
        "[ -s left ] || exit 0\nsed -i 1d left\ncat words >&2\nexit 1\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "left").write_text("x\n" * 1000)
    return tmp_path


def says(nft: Path, message: str, line: str = LINE) -> Script:
    (nft / "words").write_text(f"/dev/stdin:2:1-9: Error: {message}\n{line}\n^^^^^^^^^\n")
    script = Script()
    script.add("add table inet refnet.a")
    script.add(LINE, RULE)
    return script


@pytest.mark.parametrize("words", ["Interrupted system call", "Resource temporarily unavailable"])
def test_busy_is_tried_again(nft: Path, words: str) -> None:
    script = says(nft, f"Could not process rule: {words}")
    (nft / "left").write_text("x\n" * 3)
    tool.run(script, wait=60)
    assert (nft / "left").read_text() == ""
    assert (nft / "given").read_text() == script.text()


def test_busy_for_too_long(nft: Path) -> None:
    with pytest.raises(LockTimeout, match="others change its rules"):
        tool.run(says(nft, "Could not process rule: Interrupted system call"), wait=0.1)


def test_a_refused_rule_is_named(nft: Path) -> None:
    with pytest.raises(RuleError) as raised:
        tool.run(says(nft, "syntax error, unexpected string"), wait=0)
    assert raised.value.rule == LINE
    assert repr(RULE) in raised.value.message
    assert raised.value.detail == "syntax error, unexpected string"


def test_words_of_a_comment_are_no_words_of_nft(nft: Path) -> None:
    with pytest.raises(RuleError):
        tool.run(says(nft, "Numerical result out of range"), wait=0)
    with pytest.raises(PermissionDenied, match="CAP_NET_ADMIN"):
        tool.run(says(nft, "Could not process rule: Operation not permitted"), wait=0)


def test_what_the_kernel_lacks(nft: Path) -> None:
    with pytest.raises(Unsupported) as raised:
        tool.run(says(nft, "Could not process rule: Operation not supported"), wait=0)
    assert raised.value.capability == Capability.LOG
    assert repr(RULE) in raised.value.message


def test_what_is_not_there_is_looked_at_again_before_the_kernel_is_blamed(nft: Path) -> None:
    with pytest.raises(tool.Gone) as raised:
        tool.run(says(nft, "Could not process rule: No such file or directory"), wait=0)
    assert isinstance(raised.value.error, Unsupported)
    with pytest.raises(tool.Gone) as raised:
        tool.run(says(nft, "Could not process rule: Device or resource busy"), wait=0)
    assert isinstance(raised.value.error, RuleError)


def test_words_without_a_place(nft: Path) -> None:
    (nft / "words").write_text("Segmentation fault\n")
    script = Script()
    script.add(LINE, Rule(ACCEPT))
    with pytest.raises(CommandFailed, match="Segmentation fault"):
        tool.run(script, wait=0)
    (nft / "words").write_text("netlink: Error: cache initialization failed: Operation not permitted\n")
    with pytest.raises(PermissionDenied):
        tool.run(script, wait=0)
    with pytest.raises(PermissionDenied):
        tool.table("refnet.a")


def test_errors_whose_words_do_not_say_what_to_do(nft: Path) -> None:
    with pytest.raises(PermissionDenied, match="flag 'owner'"):
        tool.run(says(nft, "Could not process rule: Operation not permitted"), wait=0)
    with pytest.raises(RuleError, match="through 15 chains") as refused:
        tool.run(says(nft, "Could not process rule: Too many links"), wait=0)
    assert refused.value.rule == LINE
    (nft / "words").write_text("netlink: Error: Could not process rule: Message too long\n")
    with pytest.raises(KernelRefused, match="wmem_default") as too_large:
        tool.run(Script(), wait=0)
    assert too_large.value.errno == errno.EMSGSIZE


@pytest.mark.parametrize("entry", ['{"rule": {"expr": []}}', '{"chain": []}', '{"set": {"name": []}}', "7"])
def test_what_is_not_the_json_of_nft(nft: Path, entry: str) -> None:
    (nft / "nft").write_text(f"#!/bin/sh\necho '{{\"nftables\": [{entry}]}}'\n")
    with pytest.raises(CommandFailed, match="libnftables-json"):
        tool.table("refnet.a")


def test_what_is_no_json(nft: Path) -> None:
    (nft / "nft").write_text("#!/bin/sh\necho 'table inet x'\n")
    with pytest.raises(CommandFailed, match="no JSON"):
        tool.table("refnet.a")
    (nft / "nft").write_text("#!/bin/sh\necho '[]'\n")
    with pytest.raises(CommandFailed, match="libnftables-json"):
        tool.table("refnet.a")
