"""``refnet dhcp`` for real: in this process, with a dnsmasq in the namespace."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from conformance.topology.dhcp.segment import Segment
from conformance.topology.linux import Sandbox
from refnet import cli
from refnet.dhcp import Host, get_manager
from refnet.firewall import get_manager as get_firewall

MAC = "52:54:00:12:34:56"
NETWORK = f"""
device = "br-dhcp"
addresses = "10.9.0.1/24"
gateway = "10.9.0.1"

[[range]]
first = "10.9.0.100"
last = "10.9.0.199"

[[host]]
mac-addresses = "{MAC}"
addresses = "10.9.0.10"
name = "web"
"""


class Result(NamedTuple):
    status: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def directory(stack: Sandbox) -> Iterator[Path]:
    # The sandbox's own /run: everybody can get into it, and it goes with the test.
    path = Path("/run/networks")
    yield path
    manager = get_manager(path)
    for device in manager.networks():
        manager.stop(device, forget=True)


@pytest.fixture
def refnet(capsys: pytest.CaptureFixture[str], directory: Path) -> Run:
    def run(command: str, *arguments: str) -> Result:
        return Result(
            cli.main(["dhcp", command, f"--directory={directory}", *arguments]),
            *capsys.readouterr(),
        )

    return run


@pytest.fixture
def segment(stack: Sandbox) -> Segment:
    return Segment(stack)


@pytest.fixture
def network(tmp_path: Path) -> str:
    path = tmp_path / "network.toml"
    path.write_text(NETWORK)
    return str(path)


def document(result: Result) -> dict[str, Any]:
    assert result.err == ""
    found: dict[str, Any] = json.loads(result.out)
    return found


def test_check_says_in_words_what_would_be_served(capsys: pytest.CaptureFixture[str], network: str) -> None:
    assert cli.main(["dhcp", "check", network]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines()[0] == "network on br-dhcp: 10.9.0.1/24"
    assert f"host web: {MAC}, gets 10.9.0.10" in out.splitlines()


def test_a_network_from_start_to_stop(refnet: Run, segment: Segment, network: str, directory: Path) -> None:
    assert refnet("start", network) == (0, "", "")
    pid = get_manager(directory).running("br-dhcp").pid
    assert refnet("start", network) == (0, "", "")
    client = segment.client("web", mac=MAC)
    assert client.lease(hostname="www").yiaddr == "10.9.0.10"

    heading, row = refnet("leases", "br-dhcp").out.splitlines()
    assert heading.split() == ["ADDRESS", "CLIENT", "NAME", "ENDS"]
    assert re.fullmatch(rf"10\.9\.0\.10 +{MAC} +web +20\d\d-\d\d-\d\d \d\d:\d\d:\d\d", row)
    (lease,) = document(refnet("leases", "br-dhcp", "--json"))["leases"]
    assert (lease["address"], lease["mac_address"], lease["name"]) == ("10.9.0.10", MAC, "web")

    shown = refnet("show").out.splitlines()
    assert shown[0] == f"br-dhcp: running, process {pid}"
    assert shown[1] == "  network on br-dhcp: 10.9.0.1/24"
    (told,) = document(refnet("show", "br-dhcp", "--json"))["networks"]
    assert (told["running"], told["pid"], told["reason"]) == (True, pid, "")
    assert told["network"]["host"][0]["name"] == "web"

    assert refnet("release", "br-dhcp", "10.9.0.10", MAC) == (0, "", "")
    assert document(refnet("leases", "br-dhcp", "--json"))["leases"] == []
    assert refnet("stop", "br-dhcp") == (0, "", "")
    assert refnet("show", "br-dhcp").out.startswith("br-dhcp: not running: ")
    assert refnet("stop", "br-dhcp", "--forget") == (0, "", "")
    assert refnet("show") == (0, "no network is here\n", "")


def test_hosts_come_and_go(refnet: Run, segment: Segment, network: str, directory: Path) -> None:
    assert refnet("start", network).status == 0
    other = "52:54:00:12:34:57"
    added = document(refnet("add-host", "br-dhcp", "--mac", other, "--address", "10.9.0.11", "--name", "db", "--json"))
    assert added["host"]["name"] == "db"
    assert segment.client("db", mac=other).lease().yiaddr == "10.9.0.11"
    assert Host(other, "10.9.0.11", name="db") in get_manager(directory).network("br-dhcp").hosts
    assert refnet("remove-host", "br-dhcp", other) == (0, "", "")
    assert len(get_manager(directory).network("br-dhcp").hosts) == 1


def test_a_firewall_s_rules_come_and_go_with_the_server(refnet: Run, segment: Segment, network: str) -> None:
    rules = get_firewall("refnet-dhcp")
    assert refnet("start", "--firewall", network).status == 0
    assert rules.standing()
    assert refnet("stop", "--firewall", "br-dhcp").status == 0
    assert not rules.standing()


@pytest.mark.parametrize(
    ("command", "arguments", "status", "words"),
    [
        ("start", ["/no/such/file"], 2, "/no/such/file"),
        ("leases", ["no/device"], 2, "'no/device'"),
        ("release", ["br-dhcp", "10.9.0.300", MAC], 2, "10.9.0.300"),
        ("add-host", ["br-dhcp"], 2, "neither a MAC address nor a client identifier"),
        ("add-host", ["br-dhcp", "--mac", MAC], 1, "'refnet dhcp start FILE' starts one"),
        ("stop", ["br-dhcp", "--forgotten"], 2, "--forgotten"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    refnet: Run, command: str, arguments: list[str], status: int, words: str
) -> None:
    result = refnet(command, *arguments)
    assert (result.status, result.out) == (status, "")
    assert result.err.startswith("refnet: ")
    assert words in result.err
    assert result.err.count("\n") == 1


def test_a_device_that_is_not_there(refnet: Run, stack: Sandbox, network: str) -> None:
    result = refnet("start", network)
    assert result.status == 1
    assert "br-dhcp" in result.err
    assert "check the name" in result.err


def test_update_is_for_a_server_that_runs(refnet: Run, segment: Segment, network: str) -> None:
    result = refnet("update", network)
    assert result.status == 1
    assert "'refnet dhcp start FILE' starts one" in result.err


def test_capabilities(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["dhcp", "capabilities"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[0].split() == ["CAPABILITY", "HERE", "WHY", "NOT"]
    assert {row.split()[0]: row.split()[1] for row in rows[1:]}["dhcp"] == "yes"
