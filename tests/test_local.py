"""The environment ``local``: exit statuses, and nothing left on the host, however it ends."""

import os
import signal
import subprocess
import sys
import time
import uuid

import pytest
from waiting import processes, wait_until

from conformance.environments import local, unshared

LOCAL = [sys.executable, "-m", "conformance.environments.local"]


def start(*command, **how):
    return subprocess.Popen([*LOCAL, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how)


def running(mark):
    return processes(mark, "conformance.environments.local")


@pytest.mark.parametrize("status", [0, 1, 7, 130])
def test_the_exit_status_is_the_commands(status):
    assert local.run(["sh", "-c", f"exit {status}"]) == status


def test_a_signal_that_ended_the_command_is_told_as_a_shell_would():
    assert local.run(["sh", "-c", "kill -TERM $$"]) == 128 + signal.SIGTERM


def test_inside_there_is_a_network_a_host_name_and_a_process_table_of_its_own():
    done = start("sh", "-c", "ls /sys/class/net; hostname; echo $$; ls /run | wc -l")
    output, _ = done.communicate(timeout=60)
    network, host_name, pid, run_entries = output.split()
    assert (network, host_name, run_entries) == ("lo", "conformance", "0")
    assert int(pid) < 10


def test_a_command_that_does_not_exist_is_named():
    done = start("no-such-program")
    _, errors = done.communicate(timeout=60)
    assert done.returncode == 3
    assert "no-such-program" in errors
    assert "Traceback" not in errors


def test_a_missing_program_is_said_with_the_package_that_brings_it(tmp_path):
    (tmp_path / "sh").symlink_to("/bin/sh")
    code = (
        "from conformance.environments import local, unshared; unshared._SYSTEM_PATH = ();"
        "import sys; from conformance.errors import EnvironmentUnavailable\n"
        "try: local.run(['sh'])\nexcept EnvironmentUnavailable as words: print(words)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.stdout.strip() == "programs are missing: 'apt-get install iproute2' brings them"


@pytest.mark.parametrize(
    ("step", "number", "words"),
    [
        ("user namespace", 1, "kernel.unprivileged_userns_clone=1"),
        ("namespaces", 1, "apparmor_restrict_unprivileged_userns=0"),
        ("namespaces", 28, "user.max_user_namespaces"),
        ("mount /proc", 1, "systempaths=unconfined"),
    ],
)
def test_a_refusal_says_what_would_help(step, number, words):
    assert words in unshared._explain(step, number, os.strerror(number))


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_nothing_is_left_when_the_launcher_is_ended(end):
    mark = uuid.uuid4().hex
    # A child that has left its session, ignores signals and would live for an hour: only the namespace's end ends it.
    script = f"trap '' INT TERM HUP; setsid sh -c 'trap \"\" INT TERM HUP; sleep 3600; : {mark}' & wait; : {mark}"
    launcher = start("sh", "-c", script, start_new_session=True)
    wait_until(lambda: len(running(mark)) >= 2, "the command has started")
    if end == signal.SIGINT:
        # What a terminal does, to the whole group; twice, as people do when it does not end at once.
        os.killpg(launcher.pid, end)
        time.sleep(0.2)
        os.kill(launcher.pid, signal.SIGKILL)
    else:
        os.kill(launcher.pid, end)
    launcher.communicate(timeout=60)
    wait_until(lambda: not running(mark), f"all processes are gone: {running(mark)}")


def test_ctrl_c_gives_the_command_time_to_finish(tmp_path):
    told = tmp_path / "told"
    script = f"""
import time
try:
    print("up", flush=True)
    time.sleep(600)
except KeyboardInterrupt:
    open({str(told)!r}, "w").write("yes")
    raise SystemExit(5)
"""
    launcher = start(sys.executable, "-c", script, start_new_session=True)
    assert launcher.stdout.readline() == "up\n"
    os.killpg(launcher.pid, signal.SIGINT)
    assert launcher.wait(timeout=60) == 5
    assert told.read_text() == "yes"


def test_devices_made_inside_are_not_on_the_host(stack):
    assert local.run(["ip", "link", "add", "name", "br-inside", "type", "bridge"]) == 0
    assert not os.path.exists("/sys/class/net/br-inside")
