"""Nova's names called by a process that is nobody, over refnet's privileged daemon and a real Open vSwitch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.topology.linux import Sandbox
from conformance.topology.switch import Switch
from refnet import netdev

HERE = Path(__file__).parent


@pytest.fixture
def switch(host: Sandbox, tap: None) -> Iterator[Switch]:
    made = host.open_vswitch()
    netdev.ensure_ovs_bridge("br-int", datapath_type=made.datapath)
    try:
        yield made
    finally:
        netdev.get_driver().close()
        host.end_switch()


def test_an_agent_that_is_nobody_plugs_and_unplugs(host: Sandbox, nobody: None, switch: Switch) -> None:
    directory = Path("/run") / f"refnet-nobody-{os.getpid()}"
    rules = host.run("iptables", "-S")
    try:
        done = subprocess.run(
            [sys.executable, str(HERE / "linux_net_nobody.py"), str(directory)],
            env={**os.environ, "PYTHONPATH": str(HERE.parent.parent), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["uid"] == [65534] * 3
    assert (said["port"], said["mtu"]) == (["tap1"], 1400)
    assert len([one for one in said["rules"] if "br100" in one]) == 2
    assert any("--dport 8775" in one for one in said["rules"])
    assert (said["dirty"], said["deferred"]) == (False, False)
    assert (said["left"], said["ports_left"]) == ([], [])
    # Looked at with other tools than refnet's, when process and daemon have ended.
    assert switch.vsctl("list-ports", "br-int") == ""
    assert host.run("iptables", "-S") == rules
    assert host.look.link("tap1") is None
