"""What FreeBSD's driver makes of Open vSwitch's devices, as a real one has shown them (data/freebsd/switches.txt)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import replay
from freebsd_scenes.scene import Scene
from freebsd_scenes.switches import SCENES

from conformance.topology.freebsd import switch
from refnet import config
from refnet.errors import InvalidArgument, SwitchUnreachable, Unsupported
from refnet.netdev.driver import Capability
from refnet.netdev.freebsd import FreeBSDNetDevDriver

RECORDED = replay.scenes("switches.txt")


@pytest.fixture
def no_switch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FreeBSDNetDevDriver:
    """Have a driver that would start no program, where no Open vSwitch is."""
    monkeypatch.setenv("OVS_RUNDIR", str(tmp_path))
    monkeypatch.delenv("REFNET_OVSDB", raising=False)
    return FreeBSDNetDevDriver(replay.Replay([]))


def play(scene: Scene) -> list[str]:
    tools = replay.Replay(RECORDED[scene.name])
    result = scene.call(FreeBSDNetDevDriver(tools))
    assert scene.returns(result), f"returned {result!r}"
    assert not tools.rest, f"the driver has not asked: {tools.rest[0].command}"
    return tools.asked


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_scene(scene: Scene) -> None:
    asked = play(scene)
    destroyed = {command.split()[2] for command in asked if command.endswith(" destroy")}
    killed = scene.name == "leftovers of a switch that was killed"
    assert destroyed == ({"br-int", "gw0", "ovs-netdev"} if killed else set())


def test_every_recorded_scene_is_played() -> None:
    assert set(RECORDED) == {scene.name for scene in SCENES}


def test_the_suite_knows_which_devices_end_with_its_switch() -> None:
    (entry,) = RECORDED["leftovers of a switch that lives"]
    (holder,) = {int(line.split()[-1]) for line in entry.stdout.splitlines() if "Opened by" in line}
    assert sorted(switch.held_by(holder, entry.stdout)) == ["br-int", "gw0", "ovs-netdev"]
    assert switch.held_by(holder + 1, entry.stdout) == []


def test_the_suite_looks_for_a_switch_in_a_place_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVS_RUNDIR", "/var/run/openvswitch")
    monkeypatch.delenv("REFNET_OVSDB", raising=False)
    switch.look_nowhere()
    assert config.ovsdb() == "unix:/var/empty/openvswitch/db.sock"
    place = switch.own_place()
    assert config.ovsdb() == f"unix:{place}/db.sock"
    assert not place.exists()
    # sockaddr_un has room for 104 bytes there (sys/un.h); a bridge's socket has the longest name.
    assert len(f"{place}/{'b' * 15}.mgmt") < 104


@pytest.mark.parametrize("name", ["tap0", "tap12", "tun3", "vmnet1"])
def test_names_of_nodes_are_refused(no_switch: FreeBSDNetDevDriver, name: str) -> None:
    for refused in (
        lambda: no_switch.ensure_ovs_bridge(name, datapath_type="netdev"),
        lambda: no_switch.create_ovs_vif_port("br-int", name, "gw", "02:00:00:00:00:01", interface_type="internal"),
    ):
        with pytest.raises(InvalidArgument, match=f"called {name}") as caught:
            refused()
        assert caught.value.operation in ("ensure_ovs_bridge", "create_ovs_vif_port")


def test_a_tap_of_such_a_name_may_be_a_port(no_switch: FreeBSDNetDevDriver) -> None:
    with pytest.raises(SwitchUnreachable):
        no_switch.create_ovs_vif_port("br-int", "tap3", "guest", "02:00:00:00:00:01")


def test_frames_that_the_switch_damages_are_refused(no_switch: FreeBSDNetDevDriver) -> None:
    with pytest.raises(InvalidArgument, match="2030 bytes at most"):
        no_switch.create_ovs_vif_port("br-int", "epair0a", "guest", "02:00:00:00:00:01", mtu=2031)
    for mtu, kind in ((2030, None), (9000, "internal")):
        with pytest.raises(SwitchUnreachable):
            no_switch.create_ovs_vif_port(
                "br-int", "epair0a", "guest", "02:00:00:00:00:01", mtu=mtu, interface_type=kind
            )


@pytest.mark.parametrize("capability", [one for one in Capability if one.value.startswith("ovs")])
def test_without_a_switch(no_switch: FreeBSDNetDevDriver, capability: Capability) -> None:
    said = no_switch.probe(capability)
    assert said is not None
    assert os.environ["OVS_RUNDIR"] in said
    assert "pkg install openvswitch" in said or "package openvswitch" in said


def test_virtual_functions_are_refused(no_switch: FreeBSDNetDevDriver) -> None:
    assert "iovctl(8)" in (no_switch.probe(Capability.SRIOV) or "")
    with pytest.raises(Unsupported) as caught:
        no_switch.set_device_trust("ix0", 0, True)
    assert caught.value.capability == Capability.SRIOV
