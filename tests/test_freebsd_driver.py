"""The FreeBSD driver against what a real FreeBSD has answered, call by call (data/freebsd/driver.txt)."""

from __future__ import annotations

import inspect
import os
from pathlib import Path

import freebsd_scenes
import pytest
import replay
from freebsd_scenes import SCENES, Scene

from refnet import netdev
from refnet.errors import RefnetError
from refnet.netdev.driver import NetDevDriver
from refnet.netdev.freebsd import FreeBSDNetDevDriver, bridges

RECORDED = replay.scenes("driver.txt")
BY_NAME = {scene.name: scene for scene in SCENES}

#: Calls that find everything as it is asked for.
NOTHING_TO_DO = (
    "set_device_mtu to what it is",
    "add_device_address again",
    "delete_device_address that is not there",
    "ensure_gateway_address that is first",
    "delete_net_dev of nothing",
    "delete_bridge of nothing",
    "add_bridge_port again",
    "remove_bridge_port that is none",
    "remove_bridge_port of nothing",
    "ensure_bridge that is there",
    "ensure_bridge with a port that is one",
    "ensure_vlan that is there",
    "ensure_vlan_bridge that is there",
    "create_tap_dev that is there",
    "create_tap_dev with its owner",
    "create_veth_pair that is there",
)


@pytest.fixture(autouse=True)
def as_recorded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have the same MAC addresses made up as in the recording, by the same user, and no switch here either."""
    monkeypatch.setenv("OVS_RUNDIR", str(tmp_path))
    monkeypatch.delenv("REFNET_OVSDB", raising=False)
    monkeypatch.setattr(bridges, "random_mac", lambda: freebsd_scenes.RANDOM_MAC)
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def play(scene: Scene) -> replay.Replay:
    """Repeat a scene, and see that it comes to the same end by all of the same commands."""
    tools = replay.Replay(RECORDED[scene.name])
    driver = FreeBSDNetDevDriver(tools)
    if scene.raises is None:
        result = scene.call(driver)
        assert scene.returns(result), f"returned {result!r}"
    else:
        with pytest.raises(RefnetError) as caught:
            scene.call(driver)
        assert type(caught.value) is scene.raises, repr(caught.value)
        assert scene.says in str(caught.value)
        assert caught.value.operation is not None
    assert not tools.rest, f"the driver has not asked: {tools.rest[0].command}"
    return tools


def writes(command: str) -> bool:
    """Whether a command changes something."""
    words = command.split()
    if words[0] in ("netstat", "sysctl", "nodes", "node"):
        return False
    return not (words[0] == "ifconfig" and ("-L" in words or "-C" in words))


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_scene(scene: Scene) -> None:
    play(scene)


def test_every_recorded_scene_is_played() -> None:
    assert set(RECORDED) == set(BY_NAME)


@pytest.mark.parametrize("method", sorted(NetDevDriver.__abstractmethods__ | {"ensure_vlan_bridge", "capabilities"}))
def test_every_method_is_played(method: str) -> None:
    own = [scene for scene in SCENES if scene.name.split()[0] == method]
    assert any(scene.raises is None for scene in own), f"no scene in which {method} returns"
    if method not in ("probe", "capabilities", "device_exists"):
        assert any(scene.raises is not None for scene in own), f"no scene in which {method} refuses"
    assert all(f"d.{method}(" in inspect.getsource(scene.call) for scene in own if not scene.unprivileged)


@pytest.mark.parametrize("name", NOTHING_TO_DO)
def test_nothing_to_do_writes_nothing(name: str) -> None:
    asked = play(BY_NAME[name]).asked
    assert not [command for command in asked if writes(command)]


@pytest.mark.parametrize(
    "name", [scene.name for scene in SCENES if scene.raises is not None and " of nothing" in scene.name]
)
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(RefnetError) as caught:
        BY_NAME[name].call(FreeBSDNetDevDriver(replay.Replay(RECORDED[name])))
    assert (
        caught.value.device == "nosuch0" if "nosuch0" in inspect.getsource(BY_NAME[name].call) else caught.value.device
    )
    assert caught.value.errno


# -- what the commands are ----------------------------------------------------------------------------


def written(name: str) -> list[str]:
    return [command for command in play(BY_NAME[name]).asked if writes(command)]


def test_a_create_that_fails_destroys_the_clone_that_it_left() -> None:
    for name, left in (
        ("create_bridge that is there", "bridge1"),
        ("create_bridge by another's name", "bridge0"),
        ("create_bridge with a bad delay", "br0"),
        ("create_bridge with a bad MTU", "br0"),
        ("create_tap_dev with a bad MTU", "tap5"),
        ("ensure_vlan with too small an MTU", "vlan5"),
    ):
        assert written(name)[-1] == f"ifconfig -n {left} destroy", name


def test_a_pair_whose_second_end_is_refused_goes_whole() -> None:
    assert written("create_veth_pair with a bad MTU")[-1] == "ifconfig -n epair0b destroy"


def test_a_bridge_is_made_in_one_command() -> None:
    assert written("create_bridge with all options") == [
        "ifconfig bridge create ether 02:00:00:00:00:0a name br0 group refnet "
        "mtu 1400 group refnet-mtu fwddelay 4 timeout 60 up"
    ]


def test_addresses_leave_before_the_port_joins() -> None:
    commands = written("ensure_bridge with addresses and routes")
    leaving = [number for number, one in enumerate(commands) if "epair0a inet" in one and one.endswith("-alias")]
    (joining,) = [number for number, one in enumerate(commands) if one.endswith("addm epair0a")]
    assert len(leaving) == 4
    assert max(leaving) < joining
    assert not any("fe80::77" in one for one in commands)


def test_what_was_moved_is_put_back_when_the_port_cannot_join() -> None:
    commands = written("ensure_bridge with addresses of a port that cannot have the MTU")
    failed = commands.index("ifconfig -n vlan5 mtu 9000")
    assert commands[failed + 1 :] == [
        "route -n delete -inet -net 203.0.113.0/24 192.0.2.2",
        "ifconfig -n br0 inet 192.0.2.7/24 -alias",
        "ifconfig -n br0 inet 192.0.2.1/24 -alias",
        "ifconfig -n vlan5 inet 192.0.2.1/24 alias",
        "ifconfig -n vlan5 inet 192.0.2.7/24 alias",
        "route -n add -inet -net 203.0.113.0/24 192.0.2.2",
    ]


def test_a_bridge_made_for_a_port_that_cannot_join_goes_again() -> None:
    assert written("ensure_bridge made for a port that cannot have the MTU")[-1] == "ifconfig -n br9 destroy"


def test_a_moved_port_goes_back_when_it_cannot_join() -> None:
    commands = written("add_bridge_port with a move that cannot have the MTU")
    assert commands == [
        "ifconfig -n br1 deletem vlan5",
        "ifconfig -n vlan5 mtu 9000",
        "ifconfig -n br1 addm vlan5",
    ]


def test_a_vlan_made_for_a_bridge_that_is_none_goes_again() -> None:
    assert written("ensure_vlan_bridge that fails at the bridge")[-1] == "ifconfig -n vlan5 destroy"


def test_settings_go_back_when_one_of_them_is_refused() -> None:
    commands = written("ensure_bridge that refuses")
    assert commands[-1] == (
        "ifconfig -n br0 ether 02:00:00:00:00:0b fwddelay 15 timeout 1200 mtu 1500 -group refnet-mtu down"
    )


def test_a_ports_mtu_is_set_through_its_bridge() -> None:
    assert written("set_device_mtu of a port") == ["ifconfig -n br0 mtu 1400"]


def test_a_name_with_a_dash_is_no_option() -> None:
    assert play(BY_NAME["device_exists -a"]).asked[0].endswith(" -n -- -a")


def test_a_tap_is_born_with_its_names_number_or_without_a_link_that_is_a_trap() -> None:
    assert written("create_tap_dev")[0].startswith("ifconfig tap5 create ")
    # /dev/tap5 is another one's node: no link of that name can be made.
    assert written("create_tap_dev whose number is in use")[0].startswith("ifconfig tap0 create name tap5 ")


def test_few_programs() -> None:
    """A look, and one program: what a call costs where programs start slowly."""
    for name, most in (
        ("create_bridge", 1),
        ("create_tap_dev", 2),
        ("ensure_vlan", 2),
        ("add_bridge_port", 2),
        ("device of a port", 1),
        ("set_device_enabled", 1),
        ("ensure_bridge with a port", 3),
        ("ensure_bridge with a port that is one", 1),
    ):
        programs = [one for one in play(BY_NAME[name]).asked if not one.startswith("node")]
        assert len(programs) <= most, f"{name}: {programs}"


# -- the replay itself --------------------------------------------------------------------------------


def test_a_command_that_is_not_recorded_fails() -> None:
    driver = FreeBSDNetDevDriver(replay.Replay(RECORDED["set_device_enabled"]))
    with pytest.raises(replay.NotRecorded, match="the driver asks: ifconfig -n br0 down"):
        driver.set_device_disabled("br0")


def test_a_command_too_many_fails() -> None:
    driver = FreeBSDNetDevDriver(replay.Replay(RECORDED["set_device_enabled"]))
    driver.set_device_enabled("br0")
    with pytest.raises(replay.NotRecorded, match="has ended"):
        driver.set_device_enabled("br0")


# -- without any answer -------------------------------------------------------------------------------


def test_bad_arguments_start_no_program() -> None:
    driver = FreeBSDNetDevDriver(replay.Replay([]))
    for call in (
        lambda: driver.create_bridge("a/b"),
        lambda: driver.create_bridge("br0", mac_address="ff:ff:ff:ff:ff:ff"),
        lambda: driver.create_bridge("br0", forward_delay=2.5),
        lambda: driver.create_bridge("br0", ageing_time=0),
        lambda: driver.create_bridge("br0", stp=True),
        lambda: driver.create_bridge("br0", stp="no"),  # type: ignore[arg-type]
        lambda: driver.ensure_bridge("br0", multicast_snooping=False),
        lambda: driver.ensure_bridge("br0", "br 1"),
        lambda: driver.add_bridge_port("br0", "p", move=1),  # type: ignore[arg-type]
        lambda: driver.ensure_vlan(4095, "em0"),
        lambda: driver.ensure_vlan_bridge(5, "br0", "em 0"),
        lambda: driver.create_tap_dev("tap5", multi_queue=True),
        lambda: driver.create_tap_dev("tap5", owner="no such user"),
        lambda: driver.create_tap_dev("tap5", mtu=0),
        lambda: driver.create_veth_pair("v0", "v0"),
        lambda: driver.add_device_address("em0", "192.0.2.1"),
        lambda: driver.delete_device_address("em0", "224.0.0.1/4"),
        lambda: driver.ensure_gateway_address("em0", ""),
        lambda: driver.set_device_mtu("em0", 65536),
        lambda: driver.set_device_macaddr("em0", "01:00:5e:00:00:01"),
        lambda: driver.probe("bridge2"),  # type: ignore[arg-type]
    ):
        with pytest.raises(RefnetError):
            call()


def test_it_is_freebsds_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "freebsd14")
    monkeypatch.delenv("REFNET_NETDEV", raising=False)
    assert type(netdev.get_driver()) is FreeBSDNetDevDriver
    assert type(netdev.get_driver("freebsd")) is FreeBSDNetDevDriver
