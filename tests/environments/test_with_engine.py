"""``.ci/with-engine``: an engine for the length of a command, and nothing of it afterwards. For root."""

import functools
import glob
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from conformance.environments.base import STDOUT, Options
from conformance.environments.docker import Docker

WITH_ENGINE = Path(__file__).resolve().parents[2] / ".ci" / "with-engine"
#: What a machine has where no engine runs and none is named: its own mounts, an empty /run.
BARE = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /run && exec "$@"', "sh")
LIMIT = 180
#: Has a container that would run for an hour.
LAUNCHER = """
from conformance.environments.base import Options
from conformance.environments.docker import Docker
with Docker(Options()) as docker:
    for _, data in docker.start(["sh", "-c", "echo up; exec sleep 3600"]).receive():
        print(data.decode(), end="", flush=True)
"""


@pytest.fixture(autouse=True)
def root():
    if os.geteuid() != 0:
        pytest.fail("these tests start engines: run them as root", pytrace=False)


@pytest.fixture
def unnamed(tmp_path):
    """An environment whose variables name no engine."""
    left_out = ("DOCKER_HOST", "DOCKER_CONTEXT")
    return {**{k: v for k, v in os.environ.items() if k not in left_out}, "DOCKER_CONFIG": str(tmp_path)}


def traces():
    """Return what engines have on this machine: folders, groups, and processes by their command lines."""
    found = set(glob.glob("/var/tmp/refnet-engine.*"))
    found |= {str(path) for path in Path("/sys/fs/cgroup").glob("**/refnet-engine.*")}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if "/var/tmp/refnet-engine." in line:
            found.add(f"{path.parent.name}: {line}")
    return found | {line for line in Path("/proc/self/mountinfo").read_text().splitlines() if "refnet-engine." in line}


@pytest.fixture(autouse=True)
def nothing_left():
    before = traces()
    yield
    deadline = time.monotonic() + LIMIT
    while left := traces() - before:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def start(*command, environment, prefix=BARE, **how):
    return subprocess.Popen(
        [*prefix, str(WITH_ENGINE), *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
        # Under nohup(1) it would be ignored from the start, and a shell cannot trap what is.
        preexec_fn=functools.partial(signal.signal, signal.SIGHUP, signal.SIG_DFL),
        **how,
    )


def with_container(environment):
    """Start it with a command that has a container, which is up."""
    started = start(sys.executable, "-c", LAUNCHER, environment=environment)
    assert started.stdout.readline() == "up\n", started.communicate(timeout=LIMIT)
    return started


def test_the_command_has_an_engine_its_own_input_and_its_exit_status(unnamed):
    code = "import docker, sys; print(docker.from_env().ping(), sys.stdin.read()); sys.exit(7)"
    done = start(sys.executable, "-c", code, environment=unnamed)
    output, errors = done.communicate("words for it", timeout=LIMIT)
    assert (output, done.returncode) == ("True words for it\n", 7), errors


def test_where_an_engine_is_named_the_command_is_only_run(unnamed):
    before = traces()
    named = {**unnamed, "DOCKER_HOST": "tcp://engine.invalid:2376"}
    done = start("sh", "-c", "echo $DOCKER_HOST; ls -d /var/tmp/refnet-engine.*; exit 3", environment=named)
    output, _ = done.communicate(timeout=LIMIT)
    folders = sorted(entry for entry in before if entry.startswith("/var/tmp/"))
    assert (output.split(), done.returncode) == (["tcp://engine.invalid:2376", *folders], 3)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_is_passed_on_and_nothing_is_left(unnamed, number, status):
    started = with_container(unnamed)
    started.send_signal(number)
    _, errors = started.communicate(timeout=LIMIT)
    assert started.returncode == status, errors


def test_ctrl_c_interrupts_the_command_which_says_its_last_words(unnamed):
    code = (
        "import time\ntry:\n    print('up', flush=True); time.sleep(600)\n"
        "except KeyboardInterrupt:\n    print('last words'); raise SystemExit(9)"
    )
    started = start(sys.executable, "-c", code, environment=unnamed)
    assert started.stdout.readline() == "up\n"
    os.killpg(started.pid, signal.SIGINT)
    output, errors = started.communicate(timeout=LIMIT)
    assert (output, started.returncode) == ("last words\n", 9), errors


def test_after_kill_9_the_engine_dies_and_the_next_run_removes_what_is_left(unnamed):
    before = traces()
    started = with_container(unnamed)
    started.kill()
    deadline = time.monotonic() + LIMIT
    while any(not entry.startswith("/") for entry in traces() - before):
        assert time.monotonic() < deadline, traces() - before
        time.sleep(0.1)
    os.killpg(started.pid, signal.SIGKILL)  # the command, which is nobody's now
    started.communicate(timeout=LIMIT)
    (folder,) = {entry for entry in traces() - before if entry.startswith("/var/tmp/")}
    another = start("true", environment=unnamed)
    _, errors = another.communicate(timeout=LIMIT)
    assert another.returncode == 0, errors
    assert not os.path.exists(folder)


def test_an_engine_that_somebody_uses_is_not_swept(unnamed):
    first = start("sh", "-c", "echo $DOCKER_HOST; read _; echo still; ls ${DOCKER_HOST#unix://}", environment=unnamed)
    address = first.stdout.readline().strip()
    second = start("true", environment=unnamed)
    _, errors = second.communicate(timeout=LIMIT)
    assert second.returncode == 0, errors
    output, _ = first.communicate("\n", timeout=LIMIT)
    assert output.split() == ["still", address.removeprefix("unix://")]


def test_it_starts_where_no_control_groups_are_mounted(unnamed):
    without = (
        "unshare",
        "--mount",
        "sh",
        "-c",
        'mount -t tmpfs none /run && umount -R /sys/fs/cgroup && exec "$@"',
        "sh",
    )
    started = start(sys.executable, "-c", LAUNCHER, environment=unnamed, prefix=without)
    assert started.stdout.readline() == "up\n", started.communicate(timeout=LIMIT)
    started.terminate()
    started.communicate(timeout=LIMIT)


def test_an_engine_that_does_not_start_is_told_with_its_words(unnamed, tmp_path):
    fake = tmp_path / "dockerd"
    fake.write_text("#!/bin/sh\necho no space left for the moon >&2; exit 1\n")
    fake.chmod(0o755)
    started = start("true", environment={**unnamed, "PATH": f"{tmp_path}:{os.environ['PATH']}"})
    _, errors = started.communicate(timeout=LIMIT)
    assert started.returncode == 3
    assert "no space left for the moon" in errors
    assert "did not start" in errors


def test_an_ordinary_user_without_an_engine_is_told_what_would_help(unnamed):
    # Where another user can read it.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        os.chmod(folder, 0o755)
        shutil.copy(WITH_ENGINE, folder)
        drop = (*BARE, "setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups")
        done = subprocess.run(
            [*drop, f"{folder}/with-engine", "true"],
            env={**unnamed, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
    assert done.returncode == 3
    assert "only root can start one" in done.stderr
    assert "systemctl start docker" in done.stderr


def test_without_a_command_it_says_what_it_is_for(unnamed):
    done = start(environment=unnamed)
    _, errors = done.communicate(timeout=LIMIT)
    assert done.returncode == 2
    assert ".ci/with-engine COMMAND" in errors


def test_an_engine_that_dies_under_a_channel_ends_it_and_is_told(unnamed, monkeypatch):
    started = start("sh", "-c", "echo $DOCKER_HOST; read _", environment=unnamed)
    monkeypatch.setenv("DOCKER_HOST", started.stdout.readline().strip())
    with Docker(Options()) as docker:
        channel = docker.start(["sh", "-c", "echo up; exec cat"])
        received = channel.receive()
        assert next(received) == (STDOUT, b"up\n")
        started.communicate("\n", timeout=LIMIT)
        assert list(received) == []
        words = docker.last_words()
        channel.close()
    assert channel.name in words
    assert "no Docker engine answers" in words
