"""The lock between processes: who gets it, for how long others wait, and what is left."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from conformance import features
from conformance.harness import in_child, in_children
from conformance.topology.linux import namespaces
from refnet import locks
from refnet.errors import LockTimeout, PermissionDenied

REPOSITORY = Path(__file__).parent.parent
PATIENCE = 30
MS_RDONLY, MS_BIND = 0x1, 0x1000

HOLDER = """
import sys
from refnet import locks
with locks.held(sys.argv[1], time_limit=30):
    print("held", flush=True)
    sys.stdin.read()
print("let go", flush=True)
"""

Holders = Callable[[], "subprocess.Popen[str]"]


@pytest.fixture
def name() -> str:
    """The name of a lock that nobody else has."""
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
def path(name: str) -> Path:
    """The file of that lock."""
    return locks.directory() / f"{name}.lock"


@pytest.fixture
def holders(name: str) -> Iterator[Holders]:
    """Start other processes that hold the lock until their standard input ends."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
        started.append(holder)
        return holder

    yield start
    for holder in started:
        with holder:
            holder.kill()


def says(holder: subprocess.Popen[str], word: str) -> None:
    assert holder.stdout is not None
    assert select.select([holder.stdout], [], [], PATIENCE)[0], f"{word!r} never came"
    assert holder.stdout.readline() == f"{word}\n"


def test_another_process_has_to_wait(name: str, holders: Holders) -> None:
    holder = holders()
    says(holder, "held")
    with pytest.raises(LockTimeout), locks.held(name, time_limit=0.05):
        pytest.fail("two hold the lock")
    assert holder.stdin is not None
    holder.stdin.close()
    with locks.held(name, time_limit=PATIENCE):
        says(holder, "let go")


def test_a_process_that_waits_gets_the_lock_when_it_is_let_go(name: str, holders: Holders) -> None:
    with locks.held(name):
        holder = holders()
        assert holder.stdout is not None
        assert not select.select([holder.stdout], [], [], 0.3)[0]
    says(holder, "held")


def test_the_message_at_the_time_limit_names_the_file_and_how_to_find_the_holder(name: str, path: Path) -> None:
    with (
        locks.held(name),
        pytest.raises(LockTimeout, match=f"has held {path} for 0.01 s: find it with 'fuser -v {path}'"),
        locks.held(name, time_limit=0.01),
    ):
        pytest.fail("it is held twice")


def test_the_lock_of_a_process_that_was_killed_goes_to_the_next(name: str, path: Path, holders: Holders) -> None:
    holder = holders()
    says(holder, "held")
    holder.kill()
    holder.wait(PATIENCE)
    assert path.exists()
    with locks.held(name, time_limit=PATIENCE):
        pass
    assert not path.exists()


def test_the_file_is_there_while_the_lock_is_held_and_gone_afterwards(name: str, path: Path) -> None:
    with locks.held(name):
        assert path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()
    with pytest.raises(KeyError), locks.held(name):
        raise KeyError
    assert not path.exists()


def test_a_file_that_somebody_has_removed_meanwhile_does_no_harm(name: str, path: Path) -> None:
    with locks.held(name):
        path.unlink()
        with locks.held(name, time_limit=0):
            pass
    assert not path.exists()


def test_locks_of_other_names_are_other_locks(name: str) -> None:
    with locks.held(name), locks.held(f"{name}-other", time_limit=0):
        pass


def test_no_descriptor_is_left_and_none_is_given_to_programs(name: str, path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    with locks.held(name):
        found = subprocess.run(["ls", "-l", "/proc/self/fd"], capture_output=True, text=True, close_fds=False)
        assert str(path) not in found.stdout
        with pytest.raises(LockTimeout), locks.held(name, time_limit=0):
            pytest.fail("it is held twice")
    assert os.listdir("/proc/self/fd") == before


def test_many_processes_and_threads_never_hold_it_together(name: str, path: Path, tmp_path: Path) -> None:
    witness = tmp_path / "held"

    def hammer(_: int) -> None:
        for _ in range(10):
            with locks.held(name, time_limit=PATIENCE):
                os.close(os.open(witness, os.O_CREAT | os.O_EXCL))  # fails if somebody else is here
                witness.unlink()

    def several(_: int) -> None:
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(hammer, range(3)))

    assert in_children(4, several) == [0] * 4
    assert not path.exists()


def test_threads_of_one_process_exclude_each_other(name: str) -> None:
    entered = threading.Event()

    def enter() -> None:
        with locks.held(name, time_limit=PATIENCE):
            entered.set()

    thread = threading.Thread(target=enter)
    with locks.held(name):
        thread.start()
        assert not entered.wait(0.1)
    assert entered.wait(PATIENCE)
    thread.join(PATIENCE)


# -- the directory ----------------------------------------------------------------------------------------


def with_run(flags: int, function: Callable[[], None]) -> None:
    """Call a function in a child whose /run is an empty file system of its own."""

    def call() -> None:
        namespaces.unshare(namespaces.CLONE_NEWNS)
        namespaces.mount("tmpfs", "/run", "tmpfs", flags)
        function()

    assert in_child(call) == 0


@pytest.mark.parametrize("way", [locks.held, locks.reading], ids=["held", "reading"])
def test_a_forked_process_holds_no_lock_of_another_thread(name: str, way: Callable[..., Any]) -> None:
    is_held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with way(name, time_limit=PATIENCE):
            is_held.set()
            let_go.wait(PATIENCE)

    holder = threading.Thread(target=hold)
    holder.start()
    assert is_held.wait(PATIENCE)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)  # returns when the parent closes its end
        os._exit(0)
    os.close(reading)
    let_go.set()
    holder.join()
    try:
        with locks.writing(name, time_limit=2):
            pass
    finally:
        os.close(writing)
        os.waitpid(child, 0)


@pytest.mark.usefixtures("inside")
def test_the_directory_is_made_for_this_user_alone() -> None:
    def look() -> None:
        with locks.held("one"):
            assert os.stat("/run/refnet").st_mode & 0o777 == 0o700
            assert os.listdir("/run/refnet") == ["one.lock"]

    with_run(0, look)


@pytest.mark.usefixtures("inside")
def test_a_directory_of_another_owner_is_refused() -> None:
    # For an ordinary user /usr belongs to somebody outside of the user namespace.
    is_others = os.stat("/usr").st_uid != os.geteuid()
    reason = None if is_others else features.lacking(features.SECOND_USER)
    if reason:
        pytest.skip(reason)

    def look() -> None:
        os.mkdir("/run/refnet")
        if is_others:
            namespaces.mount("/usr", "/run/refnet", None, MS_BIND)
        else:
            os.chown("/run/refnet", 1, 1)
        owner = os.stat("/run/refnet").st_uid
        with pytest.raises(PermissionDenied, match=f"/run/refnet belongs to uid {owner}"), locks.held("one"):
            pytest.fail("the directory was taken")

    with_run(0, look)


@pytest.mark.usefixtures("inside")
def test_where_run_cannot_be_written_the_users_own_directory_is_taken(tmp_path: Path) -> None:
    def look() -> None:
        os.environ["XDG_RUNTIME_DIR"] = str(tmp_path)
        with locks.held("one"):
            assert os.listdir(tmp_path / f"refnet-{os.geteuid()}") == ["one.lock"]
        os.environ["XDG_RUNTIME_DIR"] = str(tmp_path / "missing")
        with pytest.raises(PermissionDenied, match="cannot be made: No such file or directory"), locks.held("one"):
            pytest.fail("there is no directory")

    with_run(MS_RDONLY, look)


def test_a_link_in_the_place_of_the_lock_file_is_not_followed(name: str, path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere")
    try:
        with pytest.raises(PermissionDenied, match="cannot be opened"), locks.held(name):
            pytest.fail("the link was followed")
    finally:
        path.unlink()
    assert not (tmp_path / "elsewhere").exists()
