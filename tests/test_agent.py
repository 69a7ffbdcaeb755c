"""The agent on a system that is not Linux, and under a Python that has little: nothing there kills for it."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest
from waiting import processes, wait_until

from conformance.environments import agent

#: A Python as FreeBSD may have it: another platform's, without the modules that are compiled against libraries.
SMALL = """
import importlib.abc, sys
class Lacking(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name in ("ctypes", "_ctypes", "_ssl", "_bz2", "_lzma", "_sqlite3", "readline", "_curses"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Lacking())
sys.platform = "freebsd14"
exec(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())))
"""


def bundle(files):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "tmp"
    folder.mkdir()
    return folder


@pytest.fixture
def start(place):
    started = []

    def run(*command, files=None, cut=0):
        archive = bundle(files or {})
        header = {"command": list(command), "environment": {}, "bundle": len(archive)}
        program = Path(agent.__file__).read_bytes()
        word = mark()
        process = subprocess.Popen(
            [sys.executable, "-c", f"{SMALL}# {word}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "TMPDIR": str(place)},
        )
        process.mark = word
        started.append(process)
        sent = b"%d\n%s%s\n%s" % (len(program), program, json.dumps(header).encode(), archive)
        process.stdin.write(sent[: len(sent) - cut])
        process.stdin.flush()
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(OSError):
                stream.close()


def events(process):
    return [json.loads(line) for line in process.stdout]


def mark():
    """Return what makes a command's line one of a kind."""
    return f"refnet-test-{os.getpid()}-{os.urandom(4).hex()}"


def members(group):
    """Return the processes of a group that run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(int(path.parent.name))
    return found


def test_a_small_python_runs_a_command_from_the_bundle(start, place):
    process = start(
        *(None, "-c", "import brought, os; os.write({journal}, brought.EVENT)"),
        files={"brought.py": b'EVENT = b\'{"event": "facts"}\\n\'', "more/data": os.urandom(300_000)},
    )
    assert events(process) == [{"event": "facts"}, {"event": "end", "status": 0}]
    assert process.wait(60) == 0
    assert list(place.iterdir()) == []


def test_an_agent_that_is_killed_takes_its_command_and_directory_with_it(start, place):
    word = mark()
    # A child of the command's own, which no signal of a terminal's would reach.
    process = start(None, "-c", f"import subprocess; subprocess.run(['sleep', '1000', '{word}'][:2])  # {word}")
    assert wait_until(lambda: processes(word), "the command runs")
    (child,) = processes(word)
    (folder,) = place.iterdir()
    assert folder.name.startswith(agent.PREFIX)
    os.kill(process.pid, signal.SIGKILL)
    # The end of its outputs is what an ssh server waits for: nobody else may hold them.
    assert process.stdout.read() == b""
    wait_until(lambda: not list(place.iterdir()), "the directory is gone")
    wait_until(lambda: not processes(word), "the command has ended")
    wait_until(lambda: not members(child), "and what it had started")


def test_a_launcher_that_is_gone_leaves_nothing(start, place):
    word = mark()
    process = start(None, "-c", f"import time; time.sleep(1000)  # {word}")
    assert wait_until(lambda: processes(word), "the command runs")
    process.stdin.close()
    process.wait(60)
    wait_until(lambda: not processes(word) and not list(place.iterdir()), "all of it is gone")


def test_nobody_is_left_watching_when_all_has_gone_well(start, place):
    process = start("sh", "-c", "while [ ! -e go ]; do sleep 0.05; done")
    wait_until(lambda: len(processes(process.mark)) == 2, "the agent and its guard run")
    (folder,) = place.iterdir()
    (folder / "go").touch()
    assert [event["event"] for event in events(process)] == ["end"]
    process.wait(60)

    wait_until(lambda: not processes(process.mark), "the guard has ended as well")


def test_a_bundle_that_ends_too_early_is_refused(start, place):
    process = start(None, "-c", "pass", files={"data": os.urandom(100_000)}, cut=50_000)
    process.stdin.close()
    (refusal,) = events(process)
    assert refusal["event"] == "refused"
    assert "the launcher was gone" in refusal["words"]
    assert list(place.iterdir()) == []


def test_a_file_that_would_leave_the_directory_is_refused(start, place):
    process = start(None, "-c", "pass", files={"../escaped": b""})
    (refusal,) = events(process)
    assert "which is no file below it" in refusal["words"]
    assert list(place.iterdir()) == []


def test_too_little_room_is_told_with_how_much_there_is():
    folder = Path(tempfile.gettempdir()) / "refnet-conformance-agent-x"
    words = agent.explain(OSError(28, "No space left on device"), str(folder.parent))
    assert "No space left on device" in words
    assert "MiB are free" in words
    assert "TMPDIR" in words
    assert agent.explain(ValueError("other"), "/") == "other"
