"""The way to FreeBSD's programs: steps in order and back, by the real sh, with programs that a test can watch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import waiting

from refnet import locks
from refnet.errors import LockTimeout, NoAnswer, ToolMissing
from refnet.netdev.freebsd import FreeBSDNetDevDriver, base, tools
from refnet.netdev.freebsd.tools import Refusal, Step, Tools, held_here


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that the programs ``ifconfig`` (which succeeds) and ``route`` (which refuses) write their arguments to."""
    path = tmp_path / "log"
    for name, ending in (("ifconfig", ""), ("route", 'echo "route: $*: Device busy" >&2; exit 1')):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\nprintf "%s|" "{name}" "$@" >> {path}; echo >> {path}\n{ending}\n')
        program.chmod(0o755)
        monkeypatch.setitem(tools._PLACES, name, str(program))
    return path


def do(*words: str) -> tuple[str, ...]:
    return ("ifconfig", *words)


def refuse(*words: str) -> tuple[str, ...]:
    return ("route", *words)


def lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def test_steps_are_done_in_order(log: Path) -> None:
    Tools().carry_out([Step(do("1"), do("back 1")), Step(do("2", "b")), Step((), do("never")), Step(do("3"))])
    assert lines(log) == ["ifconfig|1|", "ifconfig|2|b|", "ifconfig|3|"]


def test_a_failure_takes_back_in_reverse_what_was_done(log: Path) -> None:
    with pytest.raises(Refusal) as caught:
        Tools().carry_out(
            [
                Step((), do("back", "0")),
                Step(do("1"), do("back", "1")),
                Step(do("2"), do("back", "2")),
                Step(refuse("3"), do("back", "3")),
                Step(do("4"), do("back", "4")),
            ]
        )
    assert lines(log)[2:] == ["route|3|", "ifconfig|back|2|", "ifconfig|back|1|", "ifconfig|back|0|"]
    assert (caught.value.words, caught.value.step) == ("route: 3: Device busy", 4)
    assert caught.value.left_over == ()


def test_what_cannot_be_taken_back_is_told(log: Path) -> None:
    with pytest.raises(Refusal) as caught:
        Tools().carry_out([Step(do("1"), refuse("back", "1")), Step(do("2"), do("back", "2")), Step(refuse("3"))])
    (left,) = caught.value.left_over
    assert left.endswith("back 1: route: back 1: Device busy")
    assert lines(log)[-2:] == ["ifconfig|back|2|", "route|back|1|"]


def test_nothing_left_to_take_back_is_not_told(log: Path) -> None:
    with pytest.raises(Refusal) as caught:
        Tools().carry_out([Step(do("1"), refuse("x", "does", "not", "exist")), Step(do("2")), Step(refuse("3"))])
    assert caught.value.left_over == ()


def test_a_refusal_that_is_fine_is_no_failure_and_is_not_taken_back(log: Path) -> None:
    fine = Step(refuse("already", "in", "table"), do("never"), "already in table")
    Tools().carry_out([Step(do("1")), fine, Step(do("2"))])
    with pytest.raises(Refusal):
        Tools().carry_out([Step(do("1")), fine, Step(refuse("other"), (), "already in table")])
    assert not any("never" in line for line in lines(log))


@pytest.mark.parametrize("several", [False, True])
def test_words_are_never_evaluated(log: Path, several: bool) -> None:
    words = ("$(id)", "`id`", "*", "a;b", "$HOME", "'", '"', "\\n", "~", "|", ">x")
    Tools().carry_out([Step(do(*words))] * (2 if several else 1))
    assert lines(log)[0] == f"ifconfig|{'|'.join(words)}|"


def test_one_step_is_one_program(log: Path) -> None:
    with pytest.raises(Refusal) as caught:
        Tools().carry_out([Step((), do("back")), Step(refuse("1"))])
    assert (caught.value.words, caught.value.step) == ("route: 1: Device busy", 2)
    assert lines(log) == ["route|1|", "ifconfig|back|"]
    Tools().carry_out([Step(refuse("not in table"), (), "not in table")])
    Tools().carry_out([Step((), do("never"))])
    Tools().carry_out([])


def test_several_lines_of_words_become_one() -> None:
    assert tools.words_of(tools.process.Completed((), 1, "", "a\nb\n")) == "a; b"
    assert "no word" in tools.words_of(tools.process.Completed((), 1, "", ""))


def test_a_kill_of_the_caller_stops_no_step(log: Path, tmp_path: Path) -> None:
    """The caller dies while the first step waits; all steps are done all the same."""
    gate, ready = tmp_path / "gate", tmp_path / "ready"
    slow = Path(tools._PLACES["ifconfig"])
    slow.write_text(f'#!/bin/sh\ntouch {ready}; while [ ! -e {gate} ]; do sleep 0.05; done\necho "$@" >> {log}\n')
    caller = (
        "from refnet.netdev.freebsd import tools\n"
        f"tools._PLACES['ifconfig'] = {str(slow)!r}\n"
        "tools.Tools().carry_out([tools.Step(('ifconfig', str(n))) for n in range(4)])\n"
    )
    process = subprocess.Popen([sys.executable, "-c", caller])
    try:
        waiting.wait_until(ready.exists, "the first step has begun")
        process.send_signal(signal.SIGKILL)
        process.wait()
    finally:
        gate.touch()
    waiting.wait_until(lambda: lines(log) == ["0", "1", "2", "3"], "all steps are done")


def test_a_program_goes_on_holding_the_lock_of_a_caller_that_was_killed(log: Path, tmp_path: Path) -> None:
    gate, ready = tmp_path / "gate", tmp_path / "ready"
    slow = Path(tools._PLACES["ifconfig"])
    slow.write_text(f"#!/bin/sh\ntouch {ready}; while [ ! -e {gate} ]; do sleep 0.05; done\n")
    caller = (
        "from refnet.netdev.freebsd import base, tools\n"
        f"tools._PLACES['ifconfig'] = {str(slow)!r}\n"
        "with base.alone('em0'):\n"
        "    tools.Tools().run(('ifconfig', 'em0', 'up'))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", caller])
    try:
        waiting.wait_until(ready.exists, "the program has begun")
        process.send_signal(signal.SIGKILL)
        process.wait()
        with pytest.raises(LockTimeout), locks.held(f"netdev-{base._stack()}-em0", time_limit=0.2):
            pytest.fail("the lock was given up")
    finally:
        gate.touch()
    with base.alone("em0"):
        assert held_here()
    assert not held_here()


def test_an_interrupt_takes_back_what_may_have_been_done(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Tools, "_carry_out_in_order", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Tools().carry_out([Step(do("1"), do("back", "1")), Step(do("2"), do("back", "2"))])
    assert lines(log) == ["ifconfig|back|2|", "ifconfig|back|1|"]


def test_a_program_that_does_not_end_is_no_answer(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(tools._PLACES["ifconfig"]).write_text("#!/bin/sh\nsleep 600\n")
    monkeypatch.setattr(tools, "_TIME_LIMIT", 0.2)
    with pytest.raises(NoAnswer):
        Tools().run(do("1"))


def test_a_program_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tools._PLACES, "ifconfig", "/nowhere/ifconfig")
    with pytest.raises(ToolMissing, match="/nowhere/ifconfig"):
        Tools().run(do("1"))


def test_nodes(tmp_path: Path) -> None:
    found = Tools()
    assert "null" in found.nodes()
    node = found.node("null")
    assert node is not None
    assert (node.uid, node.is_link) == (os.stat("/dev/null").st_uid, False)
    assert found.node("no-such-node") is None
    link = found.node("stdin")
    assert link is None or link.is_link


@pytest.mark.parametrize(
    ("words", "status", "stdout", "destroyed"),
    [
        ("ifconfig: ioctl SIOCSIFNAME (set name): File exists", 1, "bridge3", "bridge3"),
        ("ifconfig: SIOCIFCREATE2 (bridge): Operation not permitted", 1, "", None),
        ("ifconfig: interface tap5 already exists", 1, "", None),
        ("ifconfig: ioctl SIOCSIFMTU (set mtu): Invalid argument", 1, "", "tap5"),
        ("", 0, "bridge3", None),
    ],
)
def test_a_clone_that_was_left(
    log: Path, tmp_path: Path, words: str, status: int, stdout: str, destroyed: str | None
) -> None:
    program = Path(tools._PLACES["ifconfig"])
    program.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$*" >> {log}\n[ "$3" = destroy ] && exit 0\n'
        f"[ -z '{stdout}' ] || echo '{stdout}'\n[ -z '{words}' ] || echo '{words}' >&2\nexit {status}\n"
    )
    driver = FreeBSDNetDevDriver(Tools())
    if status:
        with pytest.raises(Refusal, match="ifconfig"):
            driver.clone(("ifconfig", "tap5", "create"))
    else:
        driver.clone(("ifconfig", "tap5", "create"))
    assert lines(log)[1:] == ([f"-n {destroyed} destroy"] if destroyed else [])
