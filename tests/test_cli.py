"""The refnet command, run for real: in this process for most, as a process where that is the point."""

from __future__ import annotations

import ctypes
import fcntl
import ipaddress
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from refnet import __version__, cli, netdev
from refnet.cli import output, parser
from refnet.cli.manual import ENTRIES, ROOT
from refnet.cli.parser import Command

REPOSITORY = Path(__file__).parent.parent
COMMANDS = [entry for entry in ENTRIES if isinstance(entry, Command)]
PAGES = ["", *(entry.words for entry in ENTRIES)]
MAC = "52:54:00:12:34:56"
ERROR_KEYS = {"type", "message", "operation", "device", "errno", "detail"}


class Result(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.err == ""
        assert self.out.count("\n") == 1
        return json.loads(self.out)


Run = Callable[..., Result]
Made = Callable[[], set[str]]


@pytest.fixture
def refnet(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process."""

    def run(*arguments: str) -> Result:
        status = cli.main(arguments)
        captured = capsys.readouterr()
        return Result(status, captured.out, captured.err)

    return run


@pytest.fixture
def made(stack: object) -> Made:
    """Name the devices that are there beside those of a fresh stack, which on some kernels has more than lo."""

    def names() -> set[str]:
        return {name for _, name in socket.if_nameindex()}

    at_first = names()
    return lambda: names() - at_first


@pytest.fixture
def done(refnet: Run) -> Run:
    """Run a command that is to succeed without a word on standard error."""

    def run(*arguments: str) -> Result:
        result = refnet(*arguments)
        assert (result.status, result.err) == (0, "")
        return result

    return run


def process(*arguments: str, path: Path | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command as a process; ``path`` is a folder to import from."""
    return subprocess.run(
        [sys.executable, "-m", "refnet", *arguments],
        env=environment(path, options.pop("env", {})),
        text=True,
        timeout=60,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )


def environment(path: Path | None = None, more: dict[str, str] | None = None) -> dict[str, str]:
    folders = [str(folder) for folder in (path, REPOSITORY) if folder] + [os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(folder for folder in folders if folder), **(more or {})}


# -- help -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", PAGES)
def test_every_level_has_a_manual_page(refnet: Run, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    status, page, err = refnet(*words.split(), "--help")
    assert (status, err) == (0, "")
    headings = re.findall("^[A-Z][A-Z ]+$", page, re.MULTILINE)
    assert headings[:2] == ["SYNOPSIS", "DESCRIPTION"]
    assert headings[-4:] == ["GLOBAL OPTIONS", "EXAMPLES", "EXIT STATUS", "ENVIRONMENT"]
    assert page.splitlines()[1].startswith(f"  refnet {words}".rstrip())
    assert page.isascii()
    assert max(map(len, page.splitlines())) < 80
    assert refnet(*words.split(), "-h").out == page


@pytest.mark.parametrize("entry", [ROOT, *ENTRIES], ids=lambda entry: entry.words or "refnet")
def test_every_example_can_be_parsed(entry: Any) -> None:
    top = parser.build(ROOT, ENTRIES)
    for line in entry.examples.strip().splitlines():
        command, *arguments = line.partition(" | ")[0].split()
        assert command == "refnet"
        assert parser.parse(top, arguments).run


def test_help_is_had_without_a_driver() -> None:
    code = (
        "import sys; from refnet.cli import main; main(['bridge', 'create', '--help']); main(['bridge', 'frob']);"
        "print([name for name in sys.modules if name.startswith(('refnet.netdev', 'pyroute2'))])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout.splitlines()[-1] == "[]"


def test_the_manual_page_in_docs_has_every_command_option_and_status() -> None:
    page = (REPOSITORY / "docs" / "refnet.1.md").read_text(encoding="utf-8")
    for command in COMMANDS:
        section = page.partition(f"### refnet {command.words}")[2].partition("\n### ")[0]
        assert section, command.words
        for flag, keywords, _ in command.arguments:
            shown = f"**{flag}**" if flag.startswith("-") else f"*{keywords['metavar']}*"
            assert shown in section, (command.words, flag)
    for status in re.findall(r"^  (\d+) ", parser.EXIT_STATUS, re.MULTILINE):
        assert f"**{status}**" in page
    for variable in re.findall(r"^  ([A-Z_]+) ", parser.ENVIRONMENT, re.MULTILINE):
        assert f"**{variable}**" in page
    for option in ("--driver", "--json", "--version", "--help"):
        assert f"**{option}**" in page


def test_version(refnet: Run) -> None:
    assert refnet("--version") == (0, f"refnet {__version__}\n", "")


# -- devices ----------------------------------------------------------------------------------------------


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


# -- errors -----------------------------------------------------------------------------------------------

ERRORS = [
    # arguments, status, type, words
    ("", 2, "UsageError", "required: COMMAND; see 'refnet --help'"),
    ("bridge", 2, "UsageError", "required: COMMAND; see 'refnet bridge --help'"),
    ("frob", 2, "UsageError", "invalid choice: 'frob'"),
    ("device show", 2, "UsageError", "required: NAME; see 'refnet device show --help'"),
    ("device show -x", 2, "UsageError", "a name that begins with '-' goes behind '--'"),
    ("device show tap1 more", 2, "UsageError", "what is 'more' here?"),
    ("device show tap1 -- more --", 2, "UsageError", "what is 'more' '--' here?"),
    ("device show tap1 --mtu 5", 2, "UsageError", "what is '--mtu' '5' here?"),
    ("device show tap1 --js", 2, "UsageError", "what is '--js' here?"),
    ("device set tap1", 2, "UsageError", "give one or more of --mtu"),
    ("device set tap1 --up --down", 2, "UsageError", "--down: not allowed with argument --up"),
    ("device set tap1 --mtu big", 2, "UsageError", "--mtu: 'big' is not a whole number"),
    ("device set tap1 --mtu -5", 2, "UsageError", "--mtu: '-5' is not a whole number"),
    ("device set tap1 --mtu 1_400", 2, "UsageError", "--mtu: '1_400' is not a whole number"),
    ("device set tap1 --mtu " + "9" * 5000, 2, "UsageError", "is not a whole number"),
    ("device set tap1 --mtu 67", 2, "InvalidArgument", "MTU 67 is not a whole number from 68 to 65535"),
    ("device set tap1 --mac 1:2", 2, "InvalidArgument", "is not six hexadecimal octets"),
    ("device set a/b --up", 2, "InvalidName", "use A-Z a-z 0-9"),
    ("device set nothere --up", 1, "NoSuchDevice", "check the name"),
    ("device show nothere", 1, "NoSuchDevice", "device show: there is no device nothere [ENODEV]; check the name"),
    ("device show a-name-too-long-for-it", 2, "InvalidName", "at most 15"),
    ("device show br%d", 2, "InvalidName", "see 'refnet device show --help'"),
    ("device delete lo", 1, "Unsupported", "lo is no virtual device"),
    ("device address add tap1 192.0.2.1", 2, "InvalidArgument", "no prefix length"),
    ("device address add nothere 192.0.2.1/24", 1, "NoSuchDevice", "nothere"),
    ("bridge create br0", 1, "AlreadyExists", "'refnet bridge ensure' takes one that is there"),
    ("bridge create tap1", 1, "WrongKind", "choose another name"),
    ("bridge delete tap1", 1, "WrongKind", "of kind tap, not bridge"),
    ("bridge ports tap1", 1, "WrongKind", "of kind tap, not bridge"),
    ("bridge create br1 --stp yes", 2, "UsageError", "'yes' is neither 'on' nor 'off'"),
    ("bridge create br1 --ageing-time nan", 2, "UsageError", "'nan' is not a number of seconds"),
    ("bridge create br1 --ageing-time 9999999", 2, "InvalidArgument", "from 0 to 1000000"),
    ("bridge ensure br1 --move", 2, "UsageError", "give --interface too"),
    ("bridge ensure br1 --interface nothere", 1, "NoSuchDevice", "nothere"),
    ("bridge ensure br1 --interface br0", 2, "InvalidArgument", "br0 is a bridge"),
    ("bridge add-port br0 lo", 2, "InvalidArgument", "it cannot be a port of a bridge"),
    ("vlan ensure 4095 tap1", 2, "InvalidArgument", "from 1 to 4094"),
    ("vlan ensure x tap1", 2, "UsageError", "argument TAG: 'x' is not a whole number"),
    ("vlan ensure 7 tap1 --bridge a:b", 2, "InvalidName", "a:b"),
    ("tap create br0", 1, "WrongKind", "br0"),
    ("tap create tap9 --owner 4294967295", 2, "InvalidArgument", "from 0 to 4294967294"),
    ("veth create v v", 2, "InvalidArgument", "a pair needs two names"),
    ("--driver nope device show lo", 2, "DriverNotFound", "no driver 'nope'"),
    ("--driver refnet.nope:Class device show lo", 2, "DriverNotFound", "cannot be imported"),
]


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize(("words", "status", "kind", "said"), ERRORS, ids=[error[0][:40] or "-" for error in ERRORS])
def test_an_error_is_one_line_or_one_document(
    refnet: Run, done: Run, words: str, status: int, kind: str, said: str, made: Made
) -> None:
    done("bridge", "create", "br0")
    done("tap", "create", "tap1")
    before = {name: netdev.device(name) for name in made()}

    result = refnet(*words.split())
    assert (result.status, result.out) == (status, "")
    assert result.err.startswith("refnet: ")
    assert result.err.count("\n") == 1
    assert said in result.err

    result = refnet("--json", *words.split())
    error = result.json["error"]
    assert (result.status, error["type"]) == (status, kind)
    assert set(error) >= ERROR_KEYS
    assert error["message"]
    assert {name: netdev.device(name) for name in made()} == before


@pytest.mark.usefixtures("stack")
def test_an_error_in_json_has_its_facts(refnet: Run, done: Run) -> None:
    for name in ("br0", "br1"):
        done("bridge", "create", name)
    done("tap", "create", "tap1")
    done("bridge", "add-port", "br0", "tap1")
    error = refnet("bridge", "ensure", "br1", "--interface", "tap1", "--json").json["error"]
    assert error.pop("message").startswith("tap1 is a port of br0")
    assert error == {
        "type": "AlreadyEnslaved",
        "operation": "ensure_bridge",
        "device": "tap1",
        "errno": 16,
        "detail": None,
        "master": "br0",
    }
    error = refnet("device", "show", "--json").json["error"]
    assert error == {
        "type": "UsageError",
        "message": "the following arguments are required: NAME",
        **dict.fromkeys(("operation", "device", "errno", "detail")),
    }


def test_an_argument_with_control_characters_cannot_leave_its_line(refnet: Run) -> None:
    for arguments in (["device", "show", "a\nb\x1b[1m"], ["device", "show", "a", "\x1b\n"], ["\n\x1b"]):
        status, out, err = refnet(*arguments)
        assert (status, out) == (2, "")
        assert err.count("\n") == 1
        assert err.rstrip("\n").isprintable()


@pytest.mark.usefixtures("stack")
def test_global_options_stand_at_any_level(refnet: Run) -> None:
    for words in ("--json device show lo", "device --json show lo", "device show --json lo", "device show lo --json"):
        assert refnet(*words.split()).json["name"] == "lo"
    for words in ("--driver linux device show lo", "device show lo --driver=refnet.netdev.linux:LinuxNetDevDriver"):
        assert refnet(*words.split()).status == 0
    assert refnet("device", "--driver", "nope", "show", "lo").status == 2


@pytest.mark.usefixtures("stack")
def test_the_driver_is_that_of_the_environment_unless_an_option_names_one(
    refnet: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFNET_NETDEV", "from-environment")
    status, _, err = refnet("device", "show", "lo")
    assert status == 2
    assert "'from-environment'" in err
    assert refnet("device", "show", "lo", "--driver", "linux").status == 0


# -- processes --------------------------------------------------------------------------------------------

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
