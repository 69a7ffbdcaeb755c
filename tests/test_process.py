"""Running programs: real ones, and what they can do wrong."""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from refnet import process
from refnet.errors import CommandFailed, InvalidArgument, KernelRefused, PermissionDenied, ToolMissing

REPOSITORY = Path(__file__).parent.parent
#: Seconds after which something that should have happened never will.
PATIENCE = 30


def shell(script: str, *arguments: str) -> list[str]:
    return ["sh", "-c", script, "sh", *arguments]


# -- what goes in and comes out ---------------------------------------------------------------------------


def test_a_program_leaves_its_status_and_both_outputs() -> None:
    argv = shell("echo out; echo err >&2")
    assert process.run(argv) == process.Completed(tuple(argv), 0, "out\n", "err\n")


def test_an_argument_stays_one_argument_whatever_is_in_it() -> None:
    arguments = ["a b", ";", "echo pwned", "$(id)", "`id`", "*", "'", '"', "\\", "", "ü", "\n", "-n", "\udcff"]
    printed = process.run(shell('for argument; do printf "<%s>" "$argument"; done', *arguments)).stdout
    assert printed == "".join(f"<{argument}>" for argument in arguments).replace("\udcff", "\\xff")


def test_standard_input_is_what_is_given_and_otherwise_empty() -> None:
    assert process.run(["cat"], stdin="one\ntwü\n").stdout == "one\ntwü\n"
    assert process.run(["cat"], stdin="").stdout == ""
    assert process.run(["cat"]).stdout == ""


def test_a_program_need_not_read_its_standard_input() -> None:
    assert process.run(["true"], stdin="x" * 1_000_000).status == 0


def test_much_output_on_both_sides_does_not_block() -> None:
    done = process.run(shell("head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2"))
    assert (len(done.stdout), len(done.stderr)) == (1_000_000, 1_000_000)


def test_output_that_is_not_utf_8_is_shown_escaped() -> None:
    done = process.run(shell(r"printf 'a\377\303\274'; printf '\200' >&2"))
    assert (done.stdout, done.stderr) == ("a\\xffü", "\\x80")


def test_text_is_utf_8_whatever_the_locale_of_this_process() -> None:
    code = "from refnet import process; print(ascii(process.run(['cat'], stdin='\\xfc').stdout))"
    plain = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | plain, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("'\\xfc'\n", "")


def test_programs_speak_in_the_c_locale_and_have_the_rest_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("REFNET_TEST", "there")
    assert process.run(shell("echo $LC_ALL $REFNET_TEST")).stdout == "C there\n"
    assert os.environ["LC_ALL"] == "de_DE.UTF-8"


# -- failures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["no-such-program", "/no/such/program", "./no-such-program"])
def test_a_program_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(ToolMissing) as caught:
        process.run([name, "--version"])
    assert (caught.value.tool, caught.value.errno) == (name, errno.ENOENT)
    assert f"{name!r} is not installed" in caught.value.message


@pytest.mark.parametrize("mode", [0o644, None])
def test_what_may_not_be_executed_is_named(tmp_path: Path, mode: int | None) -> None:
    path = tmp_path / "program"
    if mode is None:
        path.mkdir()
    else:
        path.write_text("#!/bin/sh\n")
        path.chmod(mode)
    with pytest.raises(PermissionDenied) as caught:
        process.run([str(path)])
    assert caught.value.errno == errno.EACCES
    assert repr(str(path)) in caught.value.message


def test_what_the_system_cannot_start_is_refused_in_its_words(tmp_path: Path) -> None:
    path = tmp_path / "program"
    path.write_text("neither a script nor a program\n")
    path.chmod(0o755)
    for argv, number in (
        ([str(path)], errno.ENOEXEC),
        ([str(path / "below")], errno.ENOTDIR),
        (["true", "x" * 10_000_000], errno.E2BIG),
    ):
        with pytest.raises(KernelRefused) as caught:
            process.run(argv)
        assert (caught.value.errno, caught.value.detail) == (number, os.strerror(number))


@pytest.mark.parametrize("argument", ["a\0b", "\ud800"])
def test_an_argument_that_no_program_can_be_given_is_refused(argument: str) -> None:
    with pytest.raises(InvalidArgument, match="'true' cannot be given these arguments"):
        process.run(["true", argument])


def test_another_exit_status_than_expected_is_an_error_with_all_that_was_said() -> None:
    argv = shell("echo out; echo err >&2; exit 3")
    with pytest.raises(CommandFailed) as caught:
        process.run(argv)
    error = caught.value
    assert (error.argv, error.status, error.stdout, error.stderr) == (tuple(argv), 3, "out\n", "err\n")
    assert str(error).endswith("exited with 3: err")
    assert process.run(argv, expect=(0, 3)).status == 3
    with pytest.raises(CommandFailed):
        process.run(["true"], expect=(1,))


def test_a_signal_is_a_negative_exit_status() -> None:
    with pytest.raises(CommandFailed) as caught:
        process.run(shell("kill -TERM $$"))
    assert caught.value.status == -signal.SIGTERM


# -- ends -------------------------------------------------------------------------------------------------


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """A named pipe and a descriptor to read it by: it hangs up when the last process that writes to it is gone."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield str(path), descriptor
    os.close(descriptor)


def said_until_hung_up(descriptor: int) -> bytes:
    """Return what was written to the pipe once all who write to it are gone."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    said = b""
    while True:
        assert poll.poll(PATIENCE * 1000), f"{said!r}, and then still somebody there"
        data = os.read(descriptor, 4096)
        if not data:
            return said
        said += data


def test_the_time_limit_ends_the_program_and_all_that_it_started(pipe: tuple[str, int]) -> None:
    path, descriptor = pipe
    script = 'exec 3>"$1"; echo begun; (sh -c "echo grandchild >&3; sleep 600; true") & sleep 600; true'
    with pytest.raises(CommandFailed) as caught:
        process.run(shell(script, path), time_limit=1)
    assert (caught.value.status, caught.value.stdout) == (None, "begun\n")
    assert "did not end within 1 s: begun" in str(caught.value)
    assert said_until_hung_up(descriptor) == b"grandchild\n"


def test_a_program_that_ignores_signals_is_ended_as_well(pipe: tuple[str, int]) -> None:
    path, descriptor = pipe
    with pytest.raises(CommandFailed):
        process.run(shell('trap "" TERM INT HUP; exec 3>"$1"; echo begun >&3; sleep 600; true', path), time_limit=1)
    assert said_until_hung_up(descriptor) == b"begun\n"


def test_who_has_left_the_process_group_with_the_outputs_is_not_waited_for(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    script = 'echo begun; setsid sh -c "echo \\$\\$ >\\"\\$1\\"; exec sleep 600" sh "$1" & sleep 600'
    stray = None
    try:
        with pytest.raises(CommandFailed) as caught:
            process.run(shell(script, str(told)), time_limit=1)
        stray = int(told.read_text())
        os.kill(stray, 0)  # it is there still
        assert caught.value.stdout == "begun\n"
    finally:
        if stray:
            os.kill(stray, signal.SIGKILL)


class Interruption(Exception):
    """What a signal handler raises in these tests."""


def test_no_program_outlives_a_call_that_is_broken_off(pipe: tuple[str, int]) -> None:
    path, descriptor = pipe

    def interrupt(*_: object) -> None:
        raise Interruption

    # When the program has read all, this process is past starting it, and waits.
    script = 'exec 3>"$1"; cat; echo begun >&3; kill -USR1 $PPID; sleep 600; true'
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with pytest.raises(Interruption):
            process.run(shell(script, path), stdin="text")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert said_until_hung_up(descriptor) == b"begun\n"


def children() -> set[int]:
    """Return this process's children, those included that have ended and were not waited for."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            found.add(int(path.parent.name))
    return found


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def test_neither_processes_nor_descriptors_are_left(tmp_path: Path) -> None:
    before = descriptors(), children()
    process.run(["true"])
    process.run(["cat"], stdin="text")
    for argv, limit in (
        (["false"], 60.0),
        (["no-such-program"], 60.0),
        ([str(tmp_path)], 60.0),
        (["true", "a\0b"], 60.0),
        (["sleep", "600"], 0.1),
    ):
        with pytest.raises((CommandFailed, ToolMissing, PermissionDenied, InvalidArgument)):
            process.run(argv, time_limit=limit)
    assert (descriptors(), children()) == before


def test_a_program_is_given_no_descriptor_of_this_process() -> None:
    read, write = os.pipe()
    os.set_inheritable(write, True)
    try:
        script = 'for number; do test -e "/proc/self/fd/$number" && echo "$number"; done; true'
        assert process.run(shell(script, str(read), str(write))).stdout == ""
    finally:
        os.close(read)
        os.close(write)


def test_several_threads_run_programs_at_once() -> None:
    with ThreadPoolExecutor(8) as pool:
        printed = list(pool.map(lambda number: process.run(["echo", str(number)]).stdout, range(40)))
    assert printed == [f"{number}\n" for number in range(40)]
