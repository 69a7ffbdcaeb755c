"""Indigo Virtual Switch's program as it was recorded: a stand-in on PATH says its words, and sees how it is asked."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from replay import scenes

from conformance.topology.linux import Sandbox
from refnet.errors import CommandFailed, InvalidArgument, NoSuchDevice, SwitchUnreachable
from refnet.netdev.driver import Capability
from refnet.netdev.linux import LinuxNetDevDriver

SCENES = scenes(str(Path(__file__).parent / "data" / "ivs" / "ivs-ctl.txt"))
MAC = "02:00:00:00:00:01"
IDS = ("5d1c4c4a-9a9e-4c5e-8d0a-1f6f3c1d9b10", MAC, "a0c3f8be-33d9-4a61-a0a5-9f64a5ad0c52")
#: Answers what the file beside it has next, if it is asked that; else nothing of it any more.
STAND_IN = """#!{python} -IS
import json, pathlib, sys
file = pathlib.Path(__file__).with_name("rest.json")
rest = json.loads(file.read_text())
asked = " ".join(["ivs-ctl", *sys.argv[1:]])
if not rest or rest[0][0] != asked:
    file.write_text(json.dumps([["not asked: " + asked, "", "", 0], *rest]))
    sys.exit("the record goes on otherwise")
_, stdout, stderr, status = rest.pop(0)
file.write_text(json.dumps(rest))
sys.stdout.write(stdout)
sys.stderr.write(stderr)
sys.exit(status)
"""

Recorded = Callable[[str], Callable[[], list[str]]]


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """Return a function that puts a scene on PATH, and returns one that tells what of it has not been asked."""

    def put(scene: str) -> Callable[[], list[str]]:
        program, rest = tmp_path / "ivs-ctl", tmp_path / "rest.json"
        program.write_text(STAND_IN.format(python=sys.executable))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        entries = [(entry.command, entry.stdout, entry.stderr, entry.status) for entry in SCENES[scene]]
        rest.write_text(json.dumps(entries))
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        return lambda: [command for command, *_ in json.loads(rest.read_text())]

    return put


@pytest.fixture
def p_a(stack: Sandbox) -> str:
    """A device by the name that the record has."""
    stack.plain_cables("p-a")
    stack.remove_in_the_end("p-a")
    return "p-a"


def test_a_port_is_added(driver: LinuxNetDevDriver, p_a: str, recorded: Recorded) -> None:
    left = recorded("add")
    driver.create_ivs_vif_port(p_a, *IDS)
    assert left() == []


@pytest.mark.parametrize("scene", ["add what is a port", "add, and somebody else was quicker"])
def test_what_is_a_port_is_added_no_second_time(
    driver: LinuxNetDevDriver, p_a: str, recorded: Recorded, scene: str
) -> None:
    left = recorded(scene)
    driver.create_ivs_vif_port(p_a, *IDS)
    assert left() == []


@pytest.mark.parametrize(
    ("scene", "device", "words"),
    [
        ("add a bridge's port", "p-c", "Device or resource busy"),
        ("add without privilege", "p-a", "Operation not permitted"),
    ],
)
def test_what_the_program_refuses_is_refused_with_its_words(
    driver: LinuxNetDevDriver, stack: Sandbox, recorded: Recorded, scene: str, device: str, words: str
) -> None:
    stack.plain_cables(device)
    left = recorded(scene)
    with stack.look.unchanged(scene), pytest.raises(CommandFailed) as refusal:
        driver.create_ivs_vif_port(device, *IDS)
    assert refusal.value.detail == f"Failed: {words}"
    assert (refusal.value.operation, refusal.value.device) == ("create_ivs_vif_port", device)
    assert left() == []
    stack.remove_plain(device)


def test_a_device_that_is_not_there_is_no_port(driver: LinuxNetDevDriver, recorded: Recorded) -> None:
    left = recorded("datapath")
    with pytest.raises(NoSuchDevice) as refusal:
        driver.create_ivs_vif_port("p-a", *IDS)
    assert refusal.value.device == "p-a"
    assert left() == []


@pytest.mark.parametrize(
    "scene",
    ["delete beside another datapath", "delete what is no port", "delete, and somebody else was quicker"],
)
def test_a_port_and_its_device_are_deleted(driver: LinuxNetDevDriver, p_a: str, recorded: Recorded, scene: str) -> None:
    left = recorded(scene)
    driver.delete_ivs_vif_port(p_a)
    assert left() == []
    assert not driver.device_exists(p_a)


def test_what_the_program_does_not_delete_keeps_its_device(
    driver: LinuxNetDevDriver, p_a: str, recorded: Recorded
) -> None:
    left = recorded("delete without privilege")
    with pytest.raises(CommandFailed, match="Operation not permitted"):
        driver.delete_ivs_vif_port(p_a)
    assert left() == []
    assert driver.device_exists(p_a)


@pytest.mark.parametrize(
    ("scene", "words"),
    [("no kernel module", "module not loaded"), ("no datapath", "lists no datapath 'ivs'"), (None, "not installed")],
)
def test_where_no_switch_answers_all_is_refused(
    driver: LinuxNetDevDriver,
    p_a: str,
    stack: Sandbox,
    recorded: Recorded,
    monkeypatch: pytest.MonkeyPatch,
    scene: str | None,
    words: str,
) -> None:
    calls: list[Callable[[], object]] = [
        lambda: driver.create_ivs_vif_port(p_a, *IDS),
        lambda: driver.delete_ivs_vif_port(p_a),
    ]
    with stack.look.unchanged("no switch"):
        for call in calls:
            if scene is not None:
                recorded(scene)
            with pytest.raises(SwitchUnreachable, match=words) as refusal:
                call()
            assert refusal.value.capability == "ivs"
        if scene is not None:
            recorded(scene)
        said = driver.probe(Capability.IVS)
    assert said is not None
    assert words in said


def test_a_switch_that_runs_is_found(driver: LinuxNetDevDriver, recorded: Recorded) -> None:
    left = recorded("datapath")
    assert driver.probe(Capability.IVS) is None
    assert left() == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("p/a", *IDS),
        ("", *IDS),
        ("p-a", "", MAC, IDS[2]),
        ("p-a", "x\n", MAC, IDS[2]),
        ("p-a", None, MAC, IDS[2]),
        ("p-a", IDS[0], "01:00:5e:00:00:01", IDS[2]),
        ("p-a", IDS[0], MAC, ""),
        ("p-a", IDS[0], MAC, "y" * 256),
    ],
)
def test_what_is_wrong_is_refused_before_the_program_is_asked(
    driver: LinuxNetDevDriver, recorded: Recorded, arguments: tuple[str, str, str, str]
) -> None:
    left = recorded("add")
    with pytest.raises(InvalidArgument):
        driver.create_ivs_vif_port(*arguments)
    assert left() == [entry.command for entry in SCENES["add"]]


def test_the_switchs_own_device_is_no_port(driver: LinuxNetDevDriver, stack: Sandbox, recorded: Recorded) -> None:
    stack.plain_cables("ivs")
    left = recorded("delete what is no port")
    driver.delete_ivs_vif_port("ivs")
    assert left() == []
