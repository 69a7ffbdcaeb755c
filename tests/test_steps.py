"""What a process does to files and processes is seen, step by step; and a bystander tells what is done to it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conformance.harness import in_child
from conformance.specs.dhcp.serving import Bystander, changed, files
from conformance.steps import watched
from conformance.system import LINUX, NAME


def test_changes_below_the_directory_are_steps_and_no_others(tmp_path: Path) -> None:
    folder, beside = tmp_path / "folder", tmp_path / "beside"
    beside.mkdir()
    with watched(folder) as steps:
        folder.mkdir()
        (folder / "one").write_text("text")
        os.replace(folder / "one", folder / "two")
        (folder / "two").read_text()
        (beside / "one").write_text("text")
        (folder / "two").unlink()
        folder.rmdir()
    words = [step.replace(str(folder), "F") for step in steps.seen]
    assert words == [
        "os.mkdir F",
        "open F/one for writing",
        "os.rename F/one F/two",
        "os.remove F/two",
        "os.rmdir F",
    ]


def test_what_is_relative_to_a_descriptor_counts_wherever_it_is(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        with watched(tmp_path) as steps:
            os.mkdir("made", dir_fd=descriptor)
    finally:
        os.close(descriptor)
    assert steps.seen == ["os.mkdir made"]


def test_removals_that_are_refused_anyhow_are_no_steps(tmp_path: Path) -> None:
    (tmp_path / "full" / "inner").mkdir(parents=True)
    with watched(tmp_path) as steps:
        (tmp_path / "nothing").unlink(missing_ok=True)
        with pytest.raises(OSError, match="not empty"):
            (tmp_path / "full").rmdir()
    assert not steps.seen


def test_programs_and_signals_are_steps(tmp_path: Path) -> None:
    with watched(tmp_path) as steps:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        os.kill(child.pid, signal.SIGTERM)
        if NAME == LINUX:
            descriptor = os.pidfd_open(child.pid)
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
            os.close(descriptor)
        child.communicate()
    assert steps.seen[0].startswith(f"start of '{sys.executable} -c")
    assert steps.seen[1:] == [f"signal {signal.SIGTERM} to {child.pid}"] + [f"signal {signal.SIGTERM}"] * (
        NAME == LINUX
    )


def test_nothing_is_watched_any_more_behind_the_block(tmp_path: Path) -> None:
    with watched(tmp_path) as steps:
        pass
    (tmp_path / "one").write_text("text")
    assert not steps.seen


def test_the_step_fails_that_is_to_fail(tmp_path: Path) -> None:
    with watched(tmp_path, 2) as steps:
        (tmp_path / "one").write_text("text")
        with pytest.raises(OSError, match="No space") as found:
            (tmp_path / "two").write_text("text")
        (tmp_path / "three").write_text("text")
    assert found.value.errno == errno.ENOSPC
    assert steps.hit
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "three"]


def test_the_process_dies_at_the_step_where_it_is_to_die(tmp_path: Path) -> None:
    def work() -> None:
        with watched(tmp_path, 2, kill=True):
            for name in ("one", "two", "three"):
                (tmp_path / name).write_text("text")

    assert in_child(work) == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_a_bystander_that_is_left_alone_says_so() -> None:
    with Bystander() as bystander:
        bystander.unharmed("nothing")
        bystander.unharmed("nothing again")


def test_a_bystander_tells_of_a_signal() -> None:
    with Bystander() as bystander:
        os.kill(bystander.pid, signal.SIGHUP)
        with pytest.raises(AssertionError, match="was signalled: SIGHUP"):
            bystander.unharmed("a signal")


def test_a_bystander_that_was_killed_is_missed() -> None:
    with Bystander() as bystander:
        os.kill(bystander.pid, signal.SIGKILL)
        os.waitid(os.P_PID, bystander.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(AssertionError, match="was ended"):
            bystander.unharmed("a signal")


def test_files_that_were_written_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "same").write_text("text")
    (tmp_path / "other").write_text("text")
    before = files(tmp_path)
    (tmp_path / "other").unlink()
    (tmp_path / "other").write_text("text")
    (tmp_path / "new").touch()
    assert changed(before, files(tmp_path)) == ["new is new", "other was written"]
