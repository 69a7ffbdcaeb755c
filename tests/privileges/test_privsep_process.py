"""refnet's privileged daemon, for real: forked off a process that then gives up root and uses refnet through it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conformance.topology.linux import Sandbox
from conformance.topology.switch import Switch
from refnet.privsep import CAPABILITIES

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent
Play = Callable[..., Any]


@pytest.fixture
def directory() -> Iterator[Path]:
    """Where DHCP's files are: not below pytest's directories, which the server's user cannot get into."""
    path = Path("/run") / f"refnet-test-privsep-{os.getpid()}"
    yield path
    shutil.rmtree(path, ignore_errors=True)


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REFNET_")}
    return {**kept, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}


def start(directory: Path, scene: str, *left_out: str, more: dict[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(HERE / "unprivileged.py"), scene, str(directory), *left_out],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**environment(), **(more or {})},
        text=True,
    )


@pytest.fixture
def play(stack: Sandbox, directory: Path) -> Play:
    """Play a scene in an unprivileged process of its own, and return what it says."""

    def play(scene: str, *left_out: str, more: dict[str, str] | None = None) -> Any:
        with start(directory, scene, *left_out, more=more) as process:
            out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        return json.loads(out.splitlines()[-1])

    return play


def ip(*words: str) -> Any:
    return json.loads(subprocess.run(["ip", "-json", *words], capture_output=True, text=True, check=True).stdout)


def documented() -> list[str]:
    """Return the capabilities of the table in docs/privileges.md."""
    page = (REPOSITORY / "docs" / "privileges.md").read_text(encoding="utf-8")
    return re.findall(r"^\| `(CAP_[A-Z_]+)` \|", page, re.MULTILINE)


# -- what it does -----------------------------------------------------------------------------------------


def test_all_is_made_by_the_daemon_and_nothing_by_the_process_itself(stack: Sandbox, tap: None, play: Play) -> None:
    stack.remove_in_the_end("br0")
    stack.remove_in_the_end("tap0")
    said = play("everything")
    assert "'br0'" in said["device"]
    assert said["ports"] == ["tap0"]
    # Looked at with other tools than refnet's, when process and daemon have ended.
    (bridge,) = ip("address", "show", "br0")
    assert [one["local"] for one in bridge["addr_info"] if one["family"] == "inet"] == ["192.0.2.1"]
    (tap_device,) = ip("-details", "link", "show", "tap0")
    assert (tap_device["address"], tap_device["master"]) == ("52:54:00:12:34:56", "br0")
    if said["uid"] != 0:
        assert tap_device["linkinfo"]["info_data"]["user"] == "nobody"
    rules = subprocess.run(["iptables-save"], capture_output=True, text=True, check=True).stdout
    assert "--dports 22,80 -j ACCEPT" in rules
    assert "! -s 192.0.2.0/24 -j DROP" in rules
    assert "--dport 67 -j ACCEPT" in rules, "the server's own rules"
    assert "dnsmasq" in Path(f"/proc/{said['pid']}/cmdline").read_text().partition("\0")[0]
    # The programs that the daemon starts cannot come to more than it has itself.
    assert set(said["server"]["CapBnd"]) == set(documented())

    again = play("and_down_again")
    assert again == {"was": True, "hosts": ["web"], "left": []}
    assert not Path(f"/proc/{said['pid']}").exists()
    assert "web" not in subprocess.run(["iptables-save"], capture_output=True, text=True, check=True).stdout


def test_the_daemon_may_do_what_is_documented_and_nothing_else(play: Play) -> None:
    found = play("daemon_capabilities")
    wanted = sorted(documented())
    assert len(wanted) == len(CAPABILITIES)
    assert found == {"CapInh": [], "CapPrm": wanted, "CapEff": wanted, "CapBnd": wanted, "CapAmb": []}


#: What fails when the daemon lacks a capability. Of iptables, the legacy variant alone takes raw sockets.
NEEDED_BY = {
    "CAP_KILL": "stop",
    "CAP_NET_ADMIN": "bridge",
    "CAP_NET_BIND_SERVICE": "start",
    "CAP_NET_RAW": "rules",
    "CAP_SETGID": "start",
    "CAP_SETUID": "start",
}


@pytest.mark.parametrize("capability", ["none", *NEEDED_BY])
def test_each_capability_is_needed(stack: Sandbox, play: Play, capability: str, request: pytest.FixtureRequest) -> None:
    stack.remove_in_the_end("br0")
    if capability in ("CAP_KILL", "CAP_SETGID", "CAP_SETUID"):  # for a server that becomes another user
        request.getfixturevalue("nobody")
    said = play("needs", capability, more={"REFNET_FIREWALL": "iptables-legacy"})
    try:
        if capability == "none":
            assert said == {"failed": [], "pid": None}
        else:
            assert NEEDED_BY[capability] in said["failed"], said
    finally:
        if said["pid"]:
            os.kill(said["pid"], signal.SIGKILL)


def test_capabilities_that_are_needed_are_all() -> None:
    assert {*NEEDED_BY, "CAP_DAC_OVERRIDE"} == set(documented())


@pytest.mark.parametrize("left_out", ["none", "CAP_DAC_OVERRIDE"])
def test_a_database_of_another_user_is_reached(
    stack: Sandbox, nobody: None, play: Play, tmp_path: Path, left_out: str
) -> None:
    switch = Switch(stack, tmp_path / "ovs")
    try:
        socket = switch.address.removeprefix("unix:")
        os.chown(socket, 65534, 65534)
        os.chmod(socket, 0o700)
        why = play("a_socket_of_another_user", left_out, more={"REFNET_OVSDB": switch.address})
        if left_out == "none":
            assert why is None
        else:
            assert "ermission" in why or "EACCES" in why, why
    finally:
        switch.close()


# -- what comes back --------------------------------------------------------------------------------------


def test_errors_come_back_whole(tap: None, play: Play) -> None:
    assert play("errors_come_whole") == ["detail", "device", "errno", "master", "message", "operation"]


def test_threads_share_a_daemon(play: Play) -> None:
    assert play("threads_share_it") == 8


def test_a_fork_of_the_process_has_no_daemon(play: Play) -> None:
    assert play("in_a_fork_there_is_no_daemon") is True


def test_a_daemon_that_was_killed_is_told(stack: Sandbox, directory: Path) -> None:
    with start(directory, "a_killed_daemon_is_told") as process:
        assert process.stdin
        assert process.stdout
        first = process.stdout.readline()
        if "kill" in first:
            os.kill(json.loads(first)["kill"], signal.SIGKILL)
            first = ""
        out, err = process.communicate("\n", timeout=300)
    assert process.returncode == 0, err
    said = json.loads((first + out).splitlines()[-1])
    assert set(said) <= {"NoAnswer", "PermissionDenied"}
    assert said[-1] == "PermissionDenied", "there is no sudo for nobody to start another one"


# -- what is refused --------------------------------------------------------------------------------------


def test_nothing_but_the_interfaces_can_be_called(play: Play) -> None:
    said = play("what_is_not_exported")
    assert len(said) == 4
    assert all("not exported" in one for one in said), said


def test_options_are_settled_when_the_daemon_is_made(play: Play) -> None:
    said = play("options_are_settled")
    assert said["networks"] == []
    assert "elsewhere" not in said["ovs"]
    assert said["firewall"] == "IptablesManager"


def test_a_process_without_privileges_cannot_start_one(stack: Sandbox) -> None:
    code = (
        "from oslo_privsep import capabilities as caps; caps.drop_all_caps_except([], [], [])\n"
        "from refnet import errors, privsep\n"
        "try: privsep.start()\n"
        "except errors.PermissionDenied as error: print(error)\n"
        "print('and on')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=120, check=True
    )
    words, last = done.stdout.splitlines()
    assert "could not be started" in words
    assert last == "and on"


# -- started by a program ---------------------------------------------------------------------------------


def test_the_helper_reads_its_options_from_the_file_and_from_nowhere_else(
    stack: Sandbox, directory: Path, tmp_path: Path
) -> None:
    helper = Path(sys.executable).with_name("privsep-helper")
    file = tmp_path / "agent.conf"
    file.write_text(
        "[refnet]\nuse_privsep = true\nfirewall_driver = nftables\n"
        f"dhcp_directory = {directory}\novsdb_connection = unix:/run/of-the-file.sock\n"
        f"[refnet_privileged]\nhelper_command = {helper} --config-file {file}\n"
    )
    code = """
import sys, json
from oslo_config import cfg
from refnet import dhcp, firewall, netdev, oslo_options
oslo_options.register(cfg.CONF)
cfg.CONF(["--config-file", sys.argv[1]], project="agent")
oslo_options.apply(cfg.CONF)
netdev.create_bridge("br0")
print(json.dumps([netdev.probe(netdev.Capability.OVS), type(firewall.get_manager("web")._checks).__name__,
    dhcp.get_manager().networks(), type(netdev.get_driver()).__name__]))
"""
    stack.remove_in_the_end("br0")
    below_home = tmp_path / ".privsep" / "privsep.conf.d"
    below_home.mkdir(parents=True)
    (below_home / "a.conf").write_text("[refnet]\nnetdev_driver = no.such:Class\n")
    done = subprocess.run(
        [sys.executable, "-c", code, str(file)],
        # Whoever can start the helper may also say what is in its environment.
        env={
            **environment(),
            "HOME": str(tmp_path),
            "REFNET_OVSDB": "unix:/run/of-the-environment.sock",
            "REFNET_FIREWALL": "no.such:Class",
            "OS_REFNET__OVSDB_CONNECTION": "unix:/run/of-the-environment.sock",
            "OS_REFNET_PRIVILEGED__CAPABILITIES": "CAP_SYS_ADMIN",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    ovs, kind, networks, driver = json.loads(done.stdout.splitlines()[-1])
    assert "/run/of-the-file.sock" in ovs
    assert (kind, networks, driver) == ("NftablesManager", [], "PrivsepNetDev")
    assert ip("link", "show", "br0")


def test_without_a_way_to_start_it_the_error_says_what_to_do(stack: Sandbox) -> None:
    code = (
        "from oslo_config import cfg; from refnet import errors, netdev, privsep\n"
        "cfg.CONF([], default_config_files=[])\n"
        "cfg.CONF.set_override('helper_command', '/nowhere/privsep-helper', group='refnet_privileged')\n"
        "privsep.use()\n"
        "try: netdev.device_exists('lo')\n"
        "except errors.PermissionDenied as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=120, check=True
    )
    assert "refnet.privsep.start()" in done.stdout
    assert "helper_command" in done.stdout
