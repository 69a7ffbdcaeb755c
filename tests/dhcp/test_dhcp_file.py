"""Network files: TOML and plain data, there and back."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from dhcp_strategies import ANYTHING, hosts, networks
from hypothesis import given
from hypothesis import strategies as st

from refnet.dhcp import DhcpNetwork, Dns, Forced, Host, Range, Route, RouterAdvertisement, file
from refnet.errors import InvalidArgument

MAC = "52:54:00:12:34:56"
HEAD = 'device = "br100"\naddresses = "192.0.2.1/24"\n'


def example() -> str:
    """The file that the module's docstring shows."""
    assert file.__doc__
    return re.sub("^    ", "", file.__doc__.split("\n\n", 1)[1].split("\n\nThe keys", 1)[0], flags=re.MULTILINE)


def test_the_example_says_what_it_says() -> None:
    assert file.parse(example()) == DhcpNetwork(
        "br100",
        ["192.0.2.1/24", "2001:db8::1/64"],
        gateway="192.0.2.1",
        domain="cloud.example.org",
        lease_time=3600,
        ipv6="stateful",
        dns=Dns("192.0.2.53"),
        router_advertisement=RouterAdvertisement(interval=60),
        ranges=Range("192.0.2.100", "192.0.2.199"),
        routes=Route("198.51.100.0/24", "192.0.2.254"),
        options={
            "ntp-server": "192.0.2.123",
            43: b"\x01\x04\xc0\x00\x02\x01",
            "tftp-server": Forced("boot.example.org"),
            28: None,
        },
        hosts=Host(MAC, ["192.0.2.10", "2001:db8::10"], name="web", options={26: 1400}),
    )


def test_what_is_not_said_is_as_if_it_were_made_without(tmp_path: Path) -> None:
    path = tmp_path / "network.toml"
    path.write_text(HEAD)
    assert file.read(path) == file.read(str(path)) == DhcpNetwork("br100", "192.0.2.1/24")
    assert file.parse(HEAD + "dns = true\nrouter-advertisement = true\n") == file.parse(HEAD)
    assert file.parse(HEAD + "dns = false\n").dns is None
    assert file.parse(HEAD + "[dns]\n").dns == Dns()
    assert file.parse(HEAD + 'lease-time = "forever"\n').lease_time is None
    assert file.parse(HEAD + "dns-servers = []\n").dns_servers == ()
    assert file.parse(HEAD).dns_servers is None
    silent = HEAD.replace('"192.0.2.1/24"', '"2001:db8::1/64"') + 'ipv6 = "stateful"\nrouter-advertisement = false\n'
    assert file.parse(silent).router_advertisement is None


def test_the_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(HEAD.encode())))
    assert file.read("-").device == "br100"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("device = 1 2", "the network file is no TOML"),
        ("a = " + "[" * 5000, "is no TOML"),
        (b"\xff", "is no TOML"),
        ("", "the network has no 'device', which is needed"),
        ('device = "br100"', "the network has no 'addresses'"),
        (HEAD + 'device = "br0"', "is no TOML"),
        (HEAD + "dns_servers = []", "the network has an unknown key 'dns_servers': known are device, addresses, range"),
        (HEAD + "ranges = []", "unknown key 'ranges'"),
        (HEAD + "range = 5", "range is not a list of tables: write [[range]]"),
        (HEAD + '[range]\nfirst = "192.0.2.5"', "write [[range]]"),
        (HEAD + '[[range]]\nfirst = "192.0.2.5"', "range 1: it has no 'last'"),
        (HEAD + '[[range]]\nfirst = "192.0.2.5"\nlast = "192.0.2.4"', "range 1: range 192.0.2.5 to 192.0.2.4 is none"),
        (HEAD + '[[range]]\nfrom = "192.0.2.5"', "range 1: it has an unknown key 'from'"),
        (HEAD + '[[route]]\ndestination = "x"\ngateway = "192.0.2.5"', "route 1: address 'x'"),
        (HEAD + '[[host]]\nname = "a"\n', "host 1: host 'a' has neither a MAC address nor a client identifier"),
        (HEAD + f'[[host]]\nmac-addresses = "{MAC}"\n[[host]]\nmac = "x"', "host 2: the host has an unknown key 'mac'"),
        (HEAD + f'[[host]]\nmac-addresses = "{MAC}"\nname = "a.b"', "host 1: host name 'a.b'"),
        (HEAD + f'[[host]]\nmac-addresses = "{MAC}"\nlease-time = "forever"', "host 1: lease time 'forever'"),
        (HEAD + f'[[host]]\nmac-addresses = "{MAC}"\noptions = {{ mtu = -1 }}', "host 1: option 26 (mtu) takes"),
        (HEAD + f'[[host]]\nmac-addresses = "{MAC}"\noptions = [5]', "host 1: options [5] is no table [options]"),
        (HEAD + f'[[host]]\nmac-addresses = "{MAC}"\n[[host]]\nmac-addresses = "{MAC}"', f"have both {MAC}"),
        (HEAD + "dns = 1", "dns 1 is neither a table [dns] nor true or false"),
        (HEAD + "[dns]\nservers = []", "dns: it has an unknown key 'servers': known are forwarders"),
        (HEAD + '[dns]\nforwarders = "x"', "dns: DNS forwarder 'x'"),
        (HEAD + "[router-advertisement]\ninterval = 1", "router-advertisement: interval 1"),
        (HEAD + "options = 5", "options 5 is no table [options]"),
        (HEAD + "[options]\nmtu = 1400", "option 26 is what 'mtu' says"),
        (HEAD + '[options]\n43 = { hex = "1" }', "options: option '43': {'hex': '1'} is none of { hex = '01:02' }"),
        (HEAD + "[options]\n43 = { withheld = false }", "is none of"),
        (HEAD + "[options]\n43 = { forced = { forced = 1 } }", "is none of"),
        (HEAD + "[options]\n43 = { forced = { withheld = true } }", "cannot be withheld and forced at once"),
        (HEAD + "[options]\n43 = {}", "is none of"),
        (HEAD + '[options]\n43 = { hex = "01", withheld = true }', "is none of"),
        (HEAD + '[options]\nwpad = "a"\n252 = "b"', "option 252 (wpad) is there twice"),
        (HEAD + "[options6]\n53 = 1", "option '53' is DHCPv6's own"),
        (HEAD + "lease-time = 2020-01-01", "lease time"),
        (HEAD + "lease-time = nan", "lease time"),
        (HEAD + 'gateway = ["192.0.2.1"]', "gateway ['192.0.2.1']"),
        (HEAD + 'is-authoritative = "yes"', "is_authoritative must be True or False"),
        (HEAD + 'gateway = "198.51.100.1"', "gateway 198.51.100.1 is in no network"),
    ],
)
def test_what_is_wrong_is_said(text: str | bytes, said: str) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(said)):
        file.parse(text)


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path, "nul\0"):
        with pytest.raises(InvalidArgument, match=r"the network file .* cannot be read"):
            file.read(path)
    (tmp_path / "bad.toml").write_bytes(b"\xff")
    with pytest.raises(InvalidArgument, match=r"the network file .*bad\.toml' is no TOML"):
        file.read(tmp_path / "bad.toml")
    (tmp_path / "odd.toml").write_text("device = 5")
    with pytest.raises(InvalidArgument, match=r"^network file .*odd\.toml': the network has no 'addresses'"):
        file.read(tmp_path / "odd.toml")


@pytest.mark.parametrize("value", [None, 5, "device", ["device"]])
def test_plain_data_that_are_none(value: Any) -> None:
    with pytest.raises(InvalidArgument, match="is no network"):
        file.from_plain(value)
    with pytest.raises(InvalidArgument, match="is no host"):
        file.host_from_plain(value)


def test_plain_data_are_for_people() -> None:
    network = file.parse(example())
    assert file.plain(network) == {
        "device": "br100",
        "addresses": ["192.0.2.1/24", "2001:db8::1/64"],
        "gateway": "192.0.2.1",
        "domain": "cloud.example.org",
        "lease-time": 3600,
        "ipv6": "stateful",
        "is-authoritative": True,
        "checks-addresses": False,
        "lease-store": False,
        "logs-dhcp": False,
        "dns": {"forwarders": ["192.0.2.53"]},
        "router-advertisement": {"interval": 60, "lifetime": 1800, "preference": "medium"},
        "options": {
            "broadcast": {"withheld": True},
            "ntp-server": ["192.0.2.123"],
            "vendor-encap": {"hex": "01:04:c0:00:02:01"},
            "tftp-server": {"forced": "boot.example.org"},
        },
        "range": [{"first": "192.0.2.100", "last": "192.0.2.199"}],
        "route": [{"destination": "198.51.100.0/24", "gateway": "192.0.2.254"}],
        "host": [
            {
                "mac-addresses": [MAC],
                "addresses": ["192.0.2.10", "2001:db8::10"],
                "name": "web",
                "options": {"mtu": 1400},
            }
        ],
    }
    without = file.plain(network, with_hosts=False)
    assert "host" not in without
    assert file.from_plain(without) == network.with_hosts([])


def toml(value: Any) -> str:
    """Write plain data as an inline value of TOML, whose text is JSON's where it is ASCII."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


@given(networks())
def test_networks_come_back(network: DhcpNetwork) -> None:
    plain = file.plain(network)
    assert file.from_plain(plain) == network
    assert file.from_plain(json.loads(json.dumps(plain))) == network
    assert file.parse("".join(f"{key} = {toml(value)}\n" for key, value in plain.items())) == network
    assert file.from_plain(file.plain(network, with_hosts=False)) == network.with_hosts([])


@given(hosts())
def test_hosts_come_back(made: list[Host]) -> None:
    for host in made:
        assert file.host_from_plain(json.loads(json.dumps(file.plain_host(host)))) == host


@given(networks(), st.data())
def test_any_plain_data_are_taken_or_refused(network: DhcpNetwork, data: st.DataObject) -> None:
    """One value anywhere in a file that is right is replaced by any other one."""
    plain: Any = file.plain(network)
    place, key = plain, data.draw(st.sampled_from(sorted(plain)))
    while isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
        place = place[key]
        key = data.draw(st.sampled_from(sorted(place)) if isinstance(place, dict) else st.integers(0, len(place) - 1))
    place[key] = data.draw(ANYTHING)
    try:
        made = file.from_plain(plain)
    except InvalidArgument:
        return
    assert file.from_plain(file.plain(made)) == made


@given(st.text(max_size=60) | st.lists(st.sampled_from(example().split())).map(" ".join))
def test_any_text_is_taken_or_refused(text: str) -> None:
    try:
        made = file.parse(text)
    except InvalidArgument:
        return
    assert file.from_plain(file.plain(made)) == made
