"""The commands about switch ports and virtual functions: a real Open vSwitch, and what is said where there is none."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_running import MAC, Run

from conformance.topology.linux import Sandbox
from conformance.topology.switch import Switch
from conformance.topology.switch import lacking as switch_programs_lacking
from refnet import config, netdev
from refnet.cli import switches
from refnet.netdev.model import LinkState, OvsPort, VirtualFunction, VlanMode


@pytest.fixture
def switch(stack: Sandbox, tmp_path: Path, done: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Switch]:
    """An Open vSwitch of the test's own, which the environment names, with the bridge br-int."""
    lacking = switch_programs_lacking()
    if lacking:
        pytest.fail(f"{lacking} is not installed (Debian: package openvswitch-switch)", pytrace=False)
    made = Switch(stack, tmp_path / "ovs")
    monkeypatch.setenv("REFNET_OVSDB", made.address)
    try:
        done("ovs", "bridge", "ensure", "br-int", "--datapath-type", made.datapath)
        yield made
    finally:
        made.close()


@pytest.fixture(autouse=True)
def nothing_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """What --ovsdb says is for the process, which here goes on."""
    monkeypatch.setattr(config, "_configured", {})


# -- Open vSwitch -----------------------------------------------------------------------------------------


def test_the_life_of_a_bridge(switch: Switch, done: Run) -> None:
    assert switch.vsctl("list-br").split() == ["br-int"]
    done("ovs", "bridge", "ensure", "br-int", "--fail-mode", "secure", "--mtu", "1400", "--mac", MAC)
    assert switch.vsctl("get-fail-mode", "br-int").strip() == "secure"
    shown = done("device", "show", "br-int", "--json").json
    assert (shown["mtu"], shown["mac_address"], shown["up"]) == (1400, MAC, True)
    assert done("ovs", "bridge", "delete", "br-int").out == ""
    assert switch.vsctl("list-br") == ""
    answer = done("--json", "ovs", "bridge", "delete", "br-int").json
    assert answer == {"ok": True, "operation": "delete_ovs_bridge", "device": "br-int"}


def test_the_life_of_a_port(stack: Sandbox, switch: Switch, done: Run) -> None:
    done("veth", "create", "p0", "p1")
    stack.remove_in_the_end("p0")
    add = ("ovs", "port", "add", "br-int", "p0", "--iface-id", "port-1", "--mac", MAC, "--vm-uuid", "guest-1")
    assert done(*add, "--tag", "100").out == ""
    ids = switch.vsctl("get", "Interface", "p0", "external_ids")
    assert ids == f'{{attached-mac="{MAC}", iface-id=port-1, iface-status=active, vm-uuid=guest-1}}'
    shown = done("ovs", "port", "show", "p0", "--json").json
    assert set(shown) == set(OvsPort.__dataclass_fields__)
    assert {name: shown[name] for name in ("name", "bridge", "tag", "trunks", "iface_id", "attached_mac", "error")} == {
        "name": "p0",
        "bridge": "br-int",
        "tag": 100,
        "trunks": [],
        "iface_id": "port-1",
        "attached_mac": MAC,
        "error": None,
    }
    lines = done("ovs", "port", "show", "p0").out.splitlines()
    assert lines[:5] == [
        "name          p0",
        "bridge        br-int",
        "type          a device of the system",
        f"ofport        {shown['ofport']}",
        "tag           100",
    ]
    done("ovs", "port", "vlan", "p0", "--trunks", "7,8", "--tag", "5", "--vlan-mode", "native-tagged")
    row = json.loads(switch.vsctl("--format=json", "--columns=tag,trunks,vlan_mode", "list", "Port", "p0"))["data"][0]
    assert row == [5, ["set", [7, 8]], "native-tagged"]
    done("ovs", "port", "vlan", "p0", "--all")
    assert switch.vsctl("get", "Port", "p0", "tag", "trunks", "vlan_mode").split() == ["[]", "[]", "[]"]
    assert done("ovs", "port", "list", "br-int").out == "p0\n"
    assert done("ovs", "port", "list", "br-int", "--json").json == {"bridge": "br-int", "ports": ["p0"]}
    done("ovs", "port", "delete", "br-int", "p0", "--keep-device")
    assert switch.vsctl("list-ports", "br-int") == ""
    assert netdev.device_exists("p0")
    done(*add)
    answer = done("--json", "ovs", "port", "delete", "br-int", "p0").json
    assert answer == {"ok": True, "operation": "delete_ovs_vif_port", "device": "p0", "bridge": "br-int"}
    assert not netdev.device_exists("p0")


def test_a_port_whose_device_comes_later(stack: Sandbox, switch: Switch, done: Run) -> None:
    done("ovs", "port", "add", "br-int", "p0", "--iface-id", "i", "--mac", MAC, "--tag", "7", "--device-later")
    assert switch.vsctl("get", "Port", "p0", "tag") == "7"
    assert not netdev.device_exists("p0")
    done("veth", "create", "p0", "p1")
    stack.remove_in_the_end("p0")
    done("ovs", "port", "add", "br-int", "p0", "--iface-id", "i", "--mac", MAC)
    assert done("ovs", "port", "show", "p0", "--json").json["ofport"] > 0
    assert switch.vsctl("get", "Port", "p0", "tag") == "7", "without a word about VLANs it keeps its own"


def test_an_internal_port_and_a_cable(switch: Switch, done: Run) -> None:
    done("ovs", "port", "add", "br-int", "gw0", "--iface-id", "gw", "--mac", MAC, "--type", "internal", "--mtu", "1400")
    assert switch.vsctl("get", "Interface", "gw0", "type").strip() == "internal"
    shown = done("device", "show", "gw0", "--json").json
    assert (shown["mac_address"], shown["mtu"], shown["up"]) == (MAC, 1400, True)
    done("ovs", "bridge", "ensure", "br-ex", "--datapath-type", switch.datapath)
    done("ovs", "patch", "add", "br-int", "to-ex", "br-ex", "to-int", "--tag", "7")
    assert switch.vsctl("get", "Interface", "to-ex", "options:peer").strip() == "to-int"
    assert switch.vsctl("get", "Port", "to-ex", "tag").strip() == "7"
    assert done("ovs", "port", "show", "to-int", "--json").json["peer"] == "to-ex"
    done("ovs", "bridge", "delete", "br-ex")
    done("ovs", "bridge", "delete", "br-int")


def test_capabilities_has_them(switch: Switch, done: Run) -> None:
    found = done("capabilities", "--json").json["capabilities"]
    assert found["ovs"] == {"available": True, "reason": None}
    assert {"ivs", "sriov", "ovs-vhost-user", "ovs-kernel-datapath", "ovs-userspace-datapath"} <= set(found)


def test_the_database_is_where_the_option_or_the_environment_says(
    switch: Switch, refnet: Run, done: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFNET_OVSDB", "unix:/run/nowhere.sock")
    result = refnet("ovs", "port", "list", "br-int")
    assert result.status == 1
    assert "unix:/run/nowhere.sock" in result.err
    assert result.err.endswith("; start it, or say with --ovsdb or REFNET_OVSDB where it is\n")
    assert done("ovs", "port", "list", "br-int", "--ovsdb", switch.address).out == ""
    assert done("ovs", "port", "list", "br-int").out == "", "the option is not remembered by the process"


ERRORS = [
    ("ovs port show nothere", 1, "NoSuchDevice", "check the name"),
    ("ovs port list nothere", 1, "NoSuchDevice", "nothere"),
    ("ovs port add br-int nothere --iface-id i --mac 52:54:00:12:34:56", 1, "NoSuchDevice", "nothere"),
    ("ovs port add br-int p0 --mac 52:54:00:12:34:56", 2, "UsageError", "--iface-id"),
    ("ovs port add br-int p0 --iface-id i --mac 1:2", 2, "InvalidArgument", "six hexadecimal octets"),
    ("ovs port add br-int a/b --iface-id i --mac 52:54:00:12:34:56", 2, "InvalidName", "a/b"),
    ("ovs port vlan p0", 2, "UsageError", "nothing to set"),
    ("ovs port vlan p0 --all --tag 5", 2, "UsageError", "give it alone"),
    ("ovs port vlan p0 --trunks 7,x", 2, "UsageError", "'x' is not a whole number"),
    ("ovs port vlan p0 --tag 4096", 2, "InvalidArgument", "4096"),
    ("ovs port vlan p0 --tag 5 --vlan-mode sideways", 2, "InvalidArgument", "sideways"),
    ("ovs bridge ensure br1 --datapath-type bogus", 2, "InvalidArgument", "bogus"),
    ("ovs bridge ensure br1 --fail-mode bogus", 2, "InvalidArgument", "bogus"),
    ("ovs port list br-int --ovsdb nowhere:1", 2, "InvalidArgument", "nowhere:1"),
]


@pytest.mark.parametrize("form", ["", "--json"])
def test_an_error_is_one_line_or_one_document(
    switch: Switch, refnet: Run, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for words, status, kind, said in ERRORS:
        monkeypatch.setattr(config, "_configured", {})
        result = refnet(*words.split(), *form.split())
        assert result.status == status, (words, result)
        if form:
            assert result.json["error"]["type"] == kind, (words, result)
        else:
            assert result.err.count("\n") == 1, (words, result)
            assert said in result.err, (words, result)


@pytest.mark.usefixtures("stack")
def test_without_a_switch_it_is_said_where_it_was_looked_for(refnet: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFNET_OVSDB", "unix:/run/nowhere.sock")
    for words in (
        "bridge ensure br-int",
        "bridge delete br-int",
        "port list br-int",
        "port show p0",
        "port vlan p0 --tag 5",
        "port delete br-int p0",
        "port add br-int p0 --iface-id i --mac 52:54:00:12:34:56",
        "patch add br-int a br-ex b",
    ):
        error = refnet("--json", "ovs", *words.split()).json["error"]
        assert (error["type"], error["capability"]) == ("SwitchUnreachable", "ovs"), (words, error)
        assert "unix:/run/nowhere.sock" in error["message"]


def test_a_port_is_shown_with_all_that_it_has() -> None:
    port = OvsPort(
        "tap1", "br-int", "internal", None, 5, (7, 8), VlanMode.NATIVE_TAGGED, 1400, "b", "i", MAC, "g", "active", "why"
    )
    assert switches.port_text(port).splitlines() == [
        "name          tap1",
        "bridge        br-int",
        "type          internal",
        "ofport        none",
        "tag           5",
        "trunks        7, 8",
        "vlan-mode     native-tagged",
        "mtu           1400 bytes",
        "peer          b",
        "iface-id      i",
        f"attached-mac  {MAC}",
        "vm-uuid       g",
        "iface-status  active",
        "error         why",
    ]
    assert switches.port_document(port) | {"trunks": (7, 8)} == {
        name: getattr(port, name) for name in OvsPort.__dataclass_fields__
    }


# -- Indigo Virtual Switch, virtual functions -------------------------------------------------------------


@pytest.mark.usefixtures("stack")
def test_without_ivs_its_commands_are_refused(refnet: Run) -> None:
    for words in ("port add tap1 --iface-id i --mac 52:54:00:12:34:56 --vm-uuid g", "port delete tap1"):
        error = refnet("--json", "ivs", *words.split()).json["error"]
        assert (error["type"], error["capability"]) == ("SwitchUnreachable", "ivs"), error
    assert "'refnet capabilities' says what can be done here" in refnet("ivs", "port", "delete", "tap1").err


@pytest.mark.usefixtures("stack")
def test_a_card_without_virtual_functions(refnet: Run, done: Run) -> None:
    done("veth", "create", "v0", "v1")
    assert done("vf", "show", "v0").out == ""
    assert done("vf", "show", "v0", "--json").json == {"device": "v0", "virtual_functions": []}
    for words in ("show v0 3", "set v0 3 --mac 52:54:00:12:34:56", "trust v0 3 on", "link v0 3 auto", "restore v0 3"):
        result = refnet("vf", *words.split())
        assert (result.status, result.err.count("\n")) == (2, 1), result
        assert "v0" in result.err
    assert refnet("--json", "vf", "show", "nothere").json["error"]["type"] == "NoSuchDevice"
    assert refnet("--json", "vf", "find", "0000:ff:1f.7").json["error"]["type"] == "NoSuchDevice"
    assert refnet("vf", "find", "81:10.2.7").status == 2
    assert refnet("vf", "trust", "v0", "0", "maybe").status == 2
    subprocess.run(["ip", "link", "delete", "v0"], check=True)


def test_virtual_functions_are_a_table() -> None:
    functions = (
        VirtualFunction("eth2", 0, MAC, 100, LinkState.ENABLE, True, False),
        VirtualFunction("eth2", 11, "00:00:00:00:00:00"),
    )
    assert switches.vf_text(functions).splitlines() == [
        "NUMBER  MAC                VLAN  LINK    SPOOF CHECK  TRUSTED",
        "0       52:54:00:12:34:56  100   enable  yes          no",
        "11      00:00:00:00:00:00  none  ?       ?            ?",
    ]
    assert [switches.vf_document(one) for one in functions] == [
        {name: getattr(one, name) for name in VirtualFunction.__dataclass_fields__} for one in functions
    ]
