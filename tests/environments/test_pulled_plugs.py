"""What a run says, and leaves, when its environment or a part of it is killed: the whole command, for real."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from waiting import processes, wait_until

from conformance import bundle, launcher
from conformance.environments.base import Options
from conformance.environments.docker import LABEL
from conformance.environments.linux_vm import LinuxVm
from conformance.errors import EnvironmentUnavailable
from conformance.judge import Judge, Plan
from refnet.netdev.linux import LinuxNetDevDriver

#: Some that are soon done, and then some that take a while, on any kernel.
SLOW = ",".join(["AD-01", "AD-02", *(f"FA-{number:02}" for number in range(1, 9))])
LIMIT = 240


class Running:
    """A run of the command, and what belongs to it."""

    def __init__(self, env, report, *arguments):
        self.report = report
        self.strangers = machines()
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "conformance.cli", "run", "--env", env, "--only", SLOW, "-n", "2"),
                *("--report", str(report), *arguments),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for_an_outcome(self):
        journal = self.report / "journal.jsonl"
        wait_until(
            lambda: (
                self.process.poll() is not None or (journal.exists() and '"event": "outcome"' in journal.read_text())
            ),
            "a spec is done",
            LIMIT,
        )
        assert self.process.poll() is None, self.process.communicate()

    def machine(self):
        (machine,) = machines() - self.strangers
        return machine

    def container(self):
        return engine("ps", "--quiet", "--filter", f"label={LABEL}.pid={self.process.pid}")

    def nothing_is_left(self):
        """Wait until neither a container nor a machine of this run is there any more."""
        label = f"label={LABEL}.pid={self.process.pid}"
        wait_until(lambda: not engine("ps", "--all", "--quiet", "--filter", label), "no container is left", LIMIT)
        wait_until(lambda: machines() <= self.strangers, "no machine is left", LIMIT)

    def end(self):
        """Wait for the end; return exit status and all that was said."""
        out, err = self.process.communicate(timeout=LIMIT)
        assert "Traceback" not in err, err
        return self.process.returncode, out + err

    def statuses(self):
        document = json.loads((self.report / "report.json").read_text())
        assert document["verdict"]["word"] == "error"
        return [entry["status"] for entry in document["specs"]]


def engine(*arguments):
    if shutil.which("docker") is None:
        pytest.fail("this test needs Docker's client: 'apt-get install docker.io' brings it", pytrace=False)
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout.strip()


def machines():
    return set(processes("qemu-system", "sh -c"))


def folders():
    return set(Path(tempfile.gettempdir()).glob("refnet-vm-*"))


def test_a_machine_that_is_killed(tmp_path):
    before = folders()
    run = Running("linux-vm", tmp_path)
    run.wait_for_an_outcome()
    os.kill(run.machine(), signal.SIGKILL)
    status, said = run.end()
    assert status == 4, said
    assert "linux-vm was lost while specs were running" in said
    assert "refnet-vm: ready" in said  # the console's end
    assert f"go on with: refnet-conformance run --resume {tmp_path}" in said
    assert {"passed", "error"} == set(run.statuses())
    assert "refnet-vm: ready" in (tmp_path / "console-0.log").read_text()
    run.nothing_is_left()
    assert folders() <= before


def test_a_machine_that_hangs(tmp_path):
    run = Running("linux-vm", tmp_path, "--patience", "20")
    run.wait_for_an_outcome()
    os.kill(run.machine(), signal.SIGSTOP)
    status, said = run.end()
    assert status == 4, said
    assert "no sign of life for 20 s" in said
    run.nothing_is_left()


def test_a_container_that_is_killed(tmp_path):
    run = Running("docker", tmp_path)
    run.wait_for_an_outcome()
    engine("kill", run.container())
    status, said = run.end()
    assert status == 4, said
    assert "docker was lost while specs were running" in said
    assert "signal 9" in said
    assert {"passed", "error"} == set(run.statuses())
    run.nothing_is_left()

    # And the run goes on where it was.
    done = subprocess.run(
        [sys.executable, "-m", "conformance.cli", "run", "--resume", str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert {entry["status"] for entry in report["specs"]} == {"passed"}
    assert [one["environment"]["name"] for one in report["runs"]] == ["docker", "docker"]


@pytest.mark.parametrize("env", ["docker", "linux-vm"])
def test_a_launcher_that_is_killed(env, tmp_path):
    run = Running(env, tmp_path)
    run.wait_for_an_outcome()
    run.process.kill()
    run.process.communicate(timeout=LIMIT)
    run.nothing_is_left()


@pytest.mark.parametrize("env", ["docker", "linux-vm"])
def test_a_launcher_that_is_interrupted(env, tmp_path):
    run = Running(env, tmp_path)
    run.wait_for_an_outcome()
    run.process.send_signal(signal.SIGINT)
    status, said = run.end()
    assert status == 130, said
    assert "the run was interrupted" in json.loads((tmp_path / "report.json").read_text())["trouble"]
    run.nothing_is_left()


def test_a_worker_that_is_killed(tmp_path):
    run = Running("docker", tmp_path)
    run.wait_for_an_outcome()
    # The oldest process that execnet has started there is a worker.
    engine("exec", run.container(), "pkill", "-KILL", "--oldest", "--full", "eval.sys.stdin.readline")
    status, said = run.end()
    assert status == 4, said
    assert "worker" in said
    assert "lost" in said
    assert "error" in run.statuses()
    run.nothing_is_left()


def test_a_full_disk_in_the_machine():
    class Full(LinuxVm):
        def __enter__(self):
            entered = super().__enter__()
            channel = entered.start(["mount", "-t", "tmpfs", "-o", "size=3m", "full", "/tmp"])
            assert not list(channel.receive())
            channel.close()
            return entered

    strangers = machines()
    plan = Plan(("BR-01",))
    settings = launcher.Settings({"netdev": f"{LinuxNetDevDriver.__module__}:{LinuxNetDevDriver.__qualname__}"})
    brought = bundle.collect("refnet.netdev.linux", [])
    with pytest.raises(EnvironmentUnavailable, match="No space left on device"):
        launcher.launch([Full(Options())], plan, settings, Judge(plan), bundle=brought)
    assert machines() <= strangers
