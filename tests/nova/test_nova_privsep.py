"""Nova's own privileged process carries refnet's calls for a process that has dropped root."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conformance.topology.linux import Sandbox
from refnet.netdev import Kind

#: Starts Nova's privileged process as nova-compute does when it may, lets go of root, and makes the calls it is given.
UNPRIVILEGED = """
import contextlib, json, os, sys
from oslo_config import cfg
from oslo_privsep import priv_context
import nova.privsep.linux_net as linux_net
cfg.CONF(["--config-file", sys.argv[2]], project="nova", default_config_files=[], default_config_dirs=[])
context = linux_net.nova.privsep.sys_admin_pctxt
context.start(priv_context.Method.FORK)
# Where Python itself may be read by root only, everything has to be imported by now.
with contextlib.suppress(linux_net.processutils.ProcessExecutionError):
    linux_net.device_exists("lo")
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
status = dict(line.split(":", 1) for line in open("/proc/self/status") if line.startswith("Cap"))
said = [int(status["CapEff"], 16)]
for name, args in json.loads(sys.argv[1]):
    try:
        said.append(getattr(linux_net, name)(*args))
    except Exception as error:
        said.append([type(error).__name__, getattr(error, "stderr", str(error))])
print(json.dumps(said))
"""


@pytest.fixture
def unprivileged(stack: Sandbox, patched: Path, tmp_path: Path) -> object:
    def run(*calls: tuple[str, list[object]], options: str = "") -> list[object]:
        file = tmp_path / "nova.conf"
        file.write_text(f"[refnet]\n{options}\n")
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", UNPRIVILEGED, json.dumps(calls), str(file)],
            capture_output=True,
            text=True,
            cwd="/",
            env={**os.environ, "PYTHONPATH": f"{patched}:{Path(__file__).parent}"},
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        capabilities, *said = json.loads(done.stdout)
        assert capabilities == 0, "the process has kept privileges: nothing is shown"
        return said

    return run


def test_taps_by_novas_privileged_process(stack: Sandbox, tap: None, unprivileged: object) -> None:
    said = unprivileged(  # type: ignore[operator]
        ("device_exists", ["tap1"]),
        ("create_tap_dev", ["tap1", "52:54:00:00:00:01"]),
        ("set_device_mtu", ["tap1", 1400]),
        ("set_device_macaddr", ["tap1", "52:54:00:00:00:02", "down"]),
        ("device_exists", ["tap1"]),
        ("create_tap_dev", ["tap2"]),
        ("delete_net_dev", ["tap2"]),
        ("delete_net_dev", ["tap2"]),
    )
    assert said == [False, None, None, None, True, None, None, None]
    assert (stack.look.kind("tap1"), stack.look.mtu("tap1"), stack.look.up("tap1")) == ("tun", 1400, False)
    assert stack.look.mac("tap1") == "52:54:00:00:00:02"
    assert stack.look.link("tap2") is None


def test_what_refnet_refuses_is_what_novas_callers_catch(stack: Sandbox, unprivileged: object) -> None:
    stack.foreign("br0", Kind.BRIDGE)
    calls = [
        ("create_tap_dev", ["br0"]),
        ("set_device_enabled", ["nothing"]),
        ("set_device_trust", ["br0", 3, True]),
        ("set_device_macaddr_and_vlan", ["br0", 3, "52:54:00:00:00:01", 7]),
        ("add_vlan", ["nothing", "vlan7", 7]),
    ]
    with stack.look.unchanged("refused calls"):
        said = unprivileged(*calls)  # type: ignore[operator]
    for (name, _), answer in zip(calls, said, strict=True):
        error, words = answer
        assert error == "ProcessExecutionError", (name, answer)
        assert words.startswith(f"{name}: ") or name == "add_vlan", answer
    assert "br0 is of kind bridge, not tap" in said[0][1]
    assert "nothing" in said[1][1]
    # Nova's answer to a name that no device can have.
    impossible = "enp216s0f1np1.1234"
    assert unprivileged(("device_exists", [impossible]), ("delete_net_dev", [impossible])) == [False, None]  # type: ignore[operator]


def test_the_options_of_nova_conf_are_followed_in_both_processes(
    stack: Sandbox, tap: None, unprivileged: object
) -> None:
    options = "netdev_driver = nova_driver:Odd\nuse_privsep = true"
    said = unprivileged(("device_exists", ["odd0"]), ("create_tap_dev", ["tap1"]), options=options)  # type: ignore[operator]
    assert said == [True, None]
    assert stack.look.mtu("tap1") == 1300
    said = unprivileged(("delete_net_dev", ["tap1"]))  # type: ignore[operator]
    assert said == [None]


def test_an_option_that_cannot_be_is_what_novas_callers_catch(stack: Sandbox, unprivileged: object) -> None:
    calls = [("device_exists", ["lo"]), ("create_tap_dev", ["tap1"]), ("delete_net_dev", ["lo"])] * 2
    with stack.look.unchanged("refused calls"):
        said = unprivileged(*calls, options="netdev_driver = no.such:Driver")  # type: ignore[operator]
    for error, words in said:
        assert error == "ProcessExecutionError"
        assert "netdev_driver" in words
