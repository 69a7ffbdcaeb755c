"""The refnet command as a process: privileges, readers that went away, Ctrl-C, bugs of drivers."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli_running import Made, environment, process

ODD_DRIVERS = """
import sys, time
from refnet.netdev.linux import LinuxNetDevDriver

class Broken(LinuxNetDevDriver):
    def device(self, dev):
        return {}[dev]

class Slow(LinuxNetDevDriver):
    def device(self, dev):
        print("waiting", file=sys.stderr, flush=True)
        time.sleep(60)
"""


@pytest.fixture
def odd_drivers(tmp_path: Path) -> Path:
    """A folder with a module of drivers such as somebody could write."""
    (tmp_path / "odd_drivers.py").write_text(ODD_DRIVERS, encoding="utf-8")
    return tmp_path


@pytest.mark.usefixtures("stack")
def test_as_a_process(made: Made) -> None:
    assert process("bridge", "create", "br0").returncode == 0
    assert made() == {"br0"}
    ended = process("bridge", "create", "br0")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("refnet: bridge create: there is a bridge br0 already")
    shown = process("--json", "device", "show", "br0", env={"LC_ALL": "C", "PYTHONIOENCODING": "ascii"})
    assert json.loads(shown.stdout)["kind"] == "bridge"
    assert process("--frob").returncode == 2


@pytest.mark.usefixtures("stack")
def test_without_the_privilege(made: Made) -> None:
    def give_up_net_admin() -> None:
        assert ctypes.CDLL(None).prctl(24, 12, 0, 0, 0) == 0  # PR_CAPBSET_DROP, CAP_NET_ADMIN

    ended = process("bridge", "create", "br0", preexec_fn=give_up_net_admin)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "CAP_NET_ADMIN" in ended.stderr
    assert ended.stderr.endswith("; run it as root\n")
    ended = process("bridge", "create", "br0", "--json", preexec_fn=give_up_net_admin)
    assert (json.loads(ended.stdout)["error"]["type"], ended.stderr) == ("PermissionDenied", "")
    assert made() == set()


@pytest.mark.parametrize("arguments", [["device", "show", "lo"], ["--help"], ["device", "show", "nothere", "--json"]])
@pytest.mark.usefixtures("stack")
def test_a_reader_that_went_away(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = process(*arguments, stdout=writing)
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, "")


def test_a_standard_error_that_nobody_reads() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert process("frob", stderr=writing).returncode == 2
    finally:
        os.close(writing)


@pytest.mark.usefixtures("stack")
def test_output_that_cannot_be_written() -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        ended = process("device", "show", "lo", stdout=full)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "No space left on device" in ended.stderr
    assert process("bridge", "create", "br0", preexec_fn=lambda: os.close(1)).returncode == 0


def test_a_file_from_a_standard_input_that_is_not_there() -> None:
    for area in ("firewall", "dhcp"):
        ended = process(area, "check", "-", preexec_fn=lambda: os.close(0))
        assert (ended.returncode, ended.stdout) == (2, "")
        assert "file '-' cannot be read: this process has no standard input" in ended.stderr


@pytest.mark.parametrize("form", ["", "--json"])
def test_ctrl_c(odd_drivers: Path, form: str) -> None:
    arguments = ["--driver", "odd_drivers:Slow", "device", "show", "lo", *form.split()]
    with subprocess.Popen(
        [sys.executable, "-m", "refnet", *arguments],
        env=environment(odd_drivers),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stderr is not None
        try:
            assert running.stderr.readline() == "waiting\n"
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=30)
        finally:
            running.kill()
    assert running.returncode == 130
    if form:
        assert (json.loads(out)["error"]["type"], err) == ("KeyboardInterrupt", "")
    else:
        assert (out, err) == ("", "refnet: interrupted\n")


def test_a_bug_in_a_driver_is_told_from_a_refusal(odd_drivers: Path) -> None:
    call = ["--driver", "odd_drivers:Broken", "device", "show", "lo"]
    ended = process(*call, path=odd_drivers)
    assert (ended.returncode, ended.stdout) == (70, "")
    assert ended.stderr.count("\n") == 1
    assert "a bug in refnet or in its driver: KeyError: 'lo'" in ended.stderr
    error = json.loads(process(*call, "--json", path=odd_drivers).stdout)["error"]
    assert error["type"] == "KeyError"
    assert "Traceback" in process(*call, path=odd_drivers, env={"REFNET_DEBUG": "1"}).stderr
