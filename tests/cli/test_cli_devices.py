"""The commands about devices, on real ones: what they do and what they print."""

from __future__ import annotations

import fcntl
import ipaddress
import json
import re
import struct
from collections.abc import Iterator

import pytest
from cli_running import MAC, Made, Run

from refnet import netdev
from refnet.cli import output


@pytest.mark.usefixtures("stack")
def test_show_is_a_list_of_keys_and_values(done: Run) -> None:
    done("bridge", "create", "br0", "--mac", MAC, "--mtu", "1400")
    done("device", "address", "add", "br0", "192.0.2.1/24")
    done("device", "address", "add", "br0", "2001:db8::1/64")
    assert done("device", "show", "br0").out.splitlines()[:7] == [
        "name     br0",
        "kind     bridge",
        f"mac      {MAC}",
        "mtu      1400 bytes",
        f"state    up, {'carrier' if netdev.device('br0').carrier else 'no carrier'}",
        "address  192.0.2.1/24    broadcast 192.0.2.255",
        "address  2001:db8::1/64",
    ]


@pytest.mark.usefixtures("stack")
def test_show_in_json_has_every_attribute_of_a_device(done: Run) -> None:
    done("tap", "create", "tap1", "--mac", MAC)
    done("device", "address", "add", "tap1", "192.0.2.1/24")
    document = done("--json", "device", "show", "tap1").json
    assert set(document) == set(netdev.Device.__dataclass_fields__)
    assert (document["name"], document["kind"], document["mac_address"]) == ("tap1", "tap", MAC)
    assert (document["up"], document["vlan"], document["multi_queue"]) == (True, None, False)
    assert document["addresses"][0] == {
        "address": "192.0.2.1/24",
        "broadcast": "192.0.2.255",
        "label": None,
        "valid_lifetime": None,
        "preferred_lifetime": None,
    }


def test_show_has_lifetimes_labels_and_what_is_in_another_stack() -> None:
    addresses = (
        netdev.Address(ipaddress.ip_interface("192.0.2.1/24"), "192.0.2.255", "v:1"),
        netdev.Address(ipaddress.ip_interface("2001:db8::1/64"), valid_lifetime=3600, preferred_lifetime=0),
        netdev.Address(ipaddress.ip_interface("192.0.2.2/24"), preferred_lifetime=60),
    )
    device = netdev.Device(
        "v", netdev.Kind.VLAN, MAC, 1500, up=False, carrier=True, vlan=netdev.Vlan(7, None), addresses=addresses
    )
    assert output.device_text(device).splitlines()[4:] == [
        "state    down, carrier",
        "vlan     tag 7 of a parent in another network stack",
        "address  192.0.2.1/24    broadcast 192.0.2.255  label v:1",
        "address  2001:db8::1/64  valid 3600 s, preferred 0 s",
        "address  192.0.2.2/24    valid forever, preferred 60 s",
    ]
    veth = netdev.Device("v", netdev.Kind.VETH, MAC, 1500, up=True, carrier=True)
    assert output.device_text(veth).splitlines()[-1] == "peer   in another network stack"


@pytest.mark.usefixtures("stack")
def test_set_sets_all_that_is_given(done: Run) -> None:
    done("tap", "create", "tap1")
    assert done("device", "set", "tap1", "--mtu", "1400", "--mac", MAC, "--down").out == ""
    device = netdev.device("tap1")
    assert (device.mtu, device.mac_address, device.up) == (1400, MAC, False)
    assert done("device", "set", "tap1", "--up", "--mac", MAC.upper(), "--json").json == {
        "ok": True,
        "operation": "set_device",
        "device": "tap1",
        "set": {"mac_address": MAC, "up": True},
    }
    assert netdev.device("tap1").up


@pytest.mark.usefixtures("stack")
def test_set_checks_all_values_before_the_first_is_set(refnet: Run, done: Run) -> None:
    done("tap", "create", "tap1")
    before = netdev.device("tap1")
    for bad in (["--mac", "52:54:00"], ["--mac", "ff:ff:ff:ff:ff:ff"]):
        assert refnet("device", "set", "tap1", "--mtu", "1400", "--down", *bad).status == 2
    assert netdev.device("tap1") == before


@pytest.fixture
def tun(stack: object) -> Iterator[str]:
    """A layer 3 tunnel device, which has an MTU and takes no MAC address."""
    with open("/dev/net/tun", "r+b", buffering=0) as holder:
        fcntl.ioctl(holder, 0x400454CA, struct.pack("=16sH22x", b"tun1", 0x0001 | 0x1000))
        yield "tun1"


def test_set_says_what_stays_when_a_later_step_is_refused(refnet: Run, tun: str) -> None:
    status, out, err = refnet("device", "set", tun, "--mtu", "1400", "--mac", MAC)
    assert (status, out) == (1, "")
    assert err.endswith("; what was set before that stays: mtu=1400\n")
    assert netdev.device(tun).mtu == 1400

    status, out, _ = refnet("device", "set", tun, "--mtu", "1300", "--mac", MAC, "--json")
    error = json.loads(out)["error"]
    assert (status, error["operation"], error["done"]) == (1, "set_device_macaddr", {"mtu": 1300})


@pytest.mark.usefixtures("stack")
def test_addresses(done: Run) -> None:
    done("tap", "create", "tap1")
    for address in ("192.0.2.1/24", "192.0.2.2/24", "192.0.2.2/24"):
        done("device", "address", "add", "tap1", address)
    assert done("--json", "device", "address", "gateway", "tap1", "192.0.2.2/24").json == {
        "ok": True,
        "operation": "ensure_gateway_address",
        "device": "tap1",
        "address": "192.0.2.2/24",
    }
    assert ipv4("tap1") == ["192.0.2.2/24", "192.0.2.1/24"]
    done("device", "address", "delete", "tap1", "192.0.2.2/24")
    done("device", "address", "delete", "tap1", "192.0.2.2/24")
    assert ipv4("tap1") == ["192.0.2.1/24"]


def ipv4(name: str) -> list[str]:
    return [str(address) for address in netdev.device(name).addresses if address.interface.version == 4]


@pytest.mark.usefixtures("stack")
def test_delete_takes_any_virtual_device_and_one_that_is_not_there(done: Run, made: Made) -> None:
    done("veth", "create", "a", "b", "--mtu", "1400")
    assert made() == {"a", "b"}
    assert done("device", "delete", "a").out == ""
    assert done("device", "delete", "a", "--json").json == {"ok": True, "operation": "delete_net_dev", "device": "a"}
    assert made() == set()


@pytest.mark.parametrize("name", ["-x", "--", "--json", "-h", "-1"])
@pytest.mark.usefixtures("stack")
def test_names_that_begin_with_a_dash(done: Run, name: str, made: Made) -> None:
    done("bridge", "create", "--mtu", "1400", "--", name)
    done("tap", "create", "--", "--port")
    done("bridge", "add-port", "--", name, "--port")
    assert made() == {name, "--port"}
    assert done("device", "show", "--json", "--", name).json["mtu"] == 1400
    assert done("bridge", "ports", "--", name).out == "--port\n"
    done("bridge", "ensure", "other", "--interface=--port", "--move")
    assert done("bridge", "ports", "other").out == "--port\n"
    done("bridge", "delete", "--", name)
    assert made() == {"other", "--port"}


# -- bridges, taps, cables, VLANs -------------------------------------------------------------------------


@pytest.mark.usefixtures("stack")
def test_the_life_of_a_bridge(refnet: Run, done: Run, made: Made) -> None:
    done("bridge", "create", "br0", "--stp", "on", "--forward-delay", "4", "--ageing-time", "10.5")
    done("bridge", "ensure", "br0", "--multicast-snooping", "off")
    done("tap", "create", "tap1")
    done("tap", "create", "tap2")
    done("bridge", "add-port", "br0", "tap2")
    done("bridge", "add-port", "br0", "tap1")
    assert done("bridge", "ports", "br0").out == "tap1\ntap2\n"
    assert done("bridge", "ports", "br0", "--json").json == {"bridge": "br0", "ports": ["tap1", "tap2"]}
    done("bridge", "remove-port", "br0", "tap2")
    done("bridge", "remove-port", "br0", "tap2")
    assert netdev.bridge_ports("br0") == ("tap1",)

    done("bridge", "create", "br1")
    status, _, err = refnet("bridge", "add-port", "br1", "tap1")
    assert status == 1
    assert err.endswith("give --move\n")
    assert done("bridge", "add-port", "br1", "tap1", "--move", "--json").json == {
        "ok": True,
        "operation": "add_bridge_port",
        "device": "br1",
        "port": "tap1",
    }
    assert netdev.bridge_ports("br1") == ("tap1",)
    done("bridge", "delete", "br1")
    done("bridge", "delete", "br1")
    assert made() == {"br0", "tap1", "tap2"}


@pytest.mark.usefixtures("stack")
def test_ensure_brings_an_interface_with_its_addresses(done: Run) -> None:
    done("veth", "create", "eth1", "far")
    done("device", "address", "add", "eth1", "192.0.2.1/24")
    assert done("bridge", "ensure", "br0", "--interface", "eth1", "--json").json == {
        "ok": True,
        "operation": "ensure_bridge",
        "device": "br0",
        "interface": "eth1",
    }
    assert netdev.bridge_ports("br0") == ("eth1",)
    assert (ipv4("br0"), ipv4("eth1")) == (["192.0.2.1/24"], [])


@pytest.mark.usefixtures("stack")
def test_taps(refnet: Run, done: Run, made: Made) -> None:
    done("tap", "create", "tap1", "--mac", MAC, "--mtu", "1400", "--multi-queue", "--owner", "0", "--group", "0")
    tap = netdev.device("tap1")
    assert (tap.mac_address, tap.mtu, tap.multi_queue, tap.owner, tap.group) == (MAC, 1400, True, 0, 0)
    assert "queues  several\nowner   uid 0\ngroup   gid 0\n" in done("device", "show", "tap1").out
    assert refnet("tap", "create", "tap1").status == 1
    assert refnet("tap", "create", "tap2", "--owner", "no such user").status == 2
    assert made() == {"tap1"}
    done("tap", "create", "tap2", "--owner", "root")
    assert netdev.device("tap2").owner == 0


@pytest.mark.usefixtures("stack")
def test_veth_pairs(done: Run) -> None:
    document = done("veth", "create", "a", "b", "--json").json
    assert document == {"ok": True, "operation": "create_veth_pair", "device": "a", "peer": "b"}
    assert re.search("^peer +b$", done("device", "show", "a").out, re.MULTILINE)


@pytest.mark.usefixtures("stack")
def test_vlans_or_their_refusal(refnet: Run, done: Run, made: Made) -> None:
    done("veth", "create", "eth1", "far")
    calls = (
        (["vlan", "ensure", "100", "eth1"], "ensure_vlan", {"eth1", "far", "vlan100"}),
        (["vlan", "ensure", "7", "eth1", "--name", "v7", "--bridge", "b7"], "ensure_vlan_bridge", {"v7", "b7"}),
    )
    reason = netdev.probe(netdev.Capability.VLAN)
    for arguments, operation, new in calls:
        result = refnet(*arguments, "--json")
        if reason is not None:
            error = result.json["error"]
            assert (result.status, error["type"], error["capability"]) == (1, "Unsupported", "vlan")
            assert error["operation"] == operation
            assert made() == {"eth1", "far"}
            assert "'refnet capabilities'" in refnet(*arguments).err
        else:
            assert result.status == 0
            assert result.json["operation"] == operation
            assert new <= made()
            assert done(*arguments).out == result.json["device"] + "\n"


@pytest.mark.usefixtures("stack")
def test_capabilities(done: Run) -> None:
    found = {str(capability): netdev.probe(capability) for capability in netdev.Capability}
    document = done("capabilities", "--json").json
    assert document == {
        "capabilities": {name: {"available": why is None, "reason": why} for name, why in found.items()}
    }
    head, *rows = done("capabilities").out.splitlines()
    assert head.split(maxsplit=2) == ["CAPABILITY", "HERE", "WHY NOT"]
    assert [re.split("  +", row)[:2] for row in rows] == [[name, "no" if why else "yes"] for name, why in found.items()]
    assert all(row[head.index("WHY") :] == (why or "") for row, why in zip(rows, found.values(), strict=True))
