"""The suite's eyes on FreeBSD, shown what the real tools have printed (tests/data/freebsd)."""

import os
import struct

import pytest
from replay import entries

from conformance import asking, system
from conformance.oracles import freebsd as oracle
from conformance.oracles.base import is_link_local, kind_of
from conformance.topology.freebsd import bpf, jails

LISTED = {entry.command: entry.stdout for entry in entries("netdev.txt") if entry.command.startswith("ifconfig")}


def seen(command, name):
    return oracle.parse(LISTED[command])[name]


def test_a_bridge_is_described_in_the_words_of_the_contract():
    bridge = seen("ifconfig -f inet:cidr,inet6:cidr,ether:colon br100", "br100")
    assert (bridge["mtu"], bridge["address"], kind_of(bridge)) == (9000, "ff:ff:ff:ff:ff:ff", "bridge")
    assert "UP" in bridge["flags"]
    assert "LOWER_UP" in bridge["flags"]
    assert [(info["local"], info["prefixlen"], info.get("broadcast")) for info in bridge["addr_info"]] == [
        ("10.9.0.1", 24, "10.9.0.255"),
        ("10.9.1.1", 24, "10.9.1.255"),
        ("fd00:9::1", 64, None),
    ]
    assert not any(map(is_link_local, bridge["addr_info"]))
    assert list(bridge["members"]) == ["tapvm1"]
    assert bridge["linkinfo"]["info_data"] == {
        "priority": 32768,
        "hellotime": 2,
        "forward_delay": 4,
        "maxage": 20,
        "holdcnt": 6,
        "proto": "rstp",
        "maxaddr": 2000,
        "ageing_time": 0,
    }


def test_a_vlan_has_its_tag_and_parent():
    vlan = seen("ifconfig epair0a.300", "epair0a.300")
    assert kind_of(vlan) == "vlan"
    assert vlan["others"]["vlan"].startswith("300 ")
    assert vlan["others"]["vlan"].endswith("parent interface: epair0a")


def test_a_taps_carrier_is_its_status_and_not_a_flag():
    tap = seen("ifconfig tapx", "tapx")
    assert (kind_of(tap), tap["mtu"]) == ("tun", 1500)
    assert "LOWER_UP" not in tap["flags"]
    held = next(entry for entry in entries("netdev.txt") if "os.open" in entry.command)
    tap = oracle.parse(held.stdout)["tapx"]
    assert "LOWER_UP" in tap["flags"]


def test_all_of_a_listing_is_found_whatever_it_is_called():
    text = "br 1: flags=8802<BROADCAST> metric 0 mtu 1500\n\tgroups: bridge\nlo0: flags=8049<UP> metric 0 mtu 16384\n"
    assert set(oracle.parse(text)) == {"br 1", "lo0"}


def test_routes_are_those_of_people(monkeypatch):
    said = next(entry for entry in entries("netdev.txt") if "netstat -rn --libxo" in entry.command).stdout
    monkeypatch.setattr(oracle, "run", lambda argv, **_: said)
    assert [(route["dst"], route.get("gateway"), route["dev"]) for route in oracle._routes()[4]] == [
        ("default", "10.9.0.1", "epair0b"),
        ("10.9.0.0/24", None, "epair0b"),
    ]


def test_link_local_addresses_lose_their_scope():
    text = "p-a: flags=8843<UP> metric 0 mtu 1500\n\tinet6 fe80::1%p-a/64 tentative scopeid 0x2\n\tstatus: active\n"
    (info,) = oracle.parse(text)["p-a"]["addr_info"]
    assert (info["local"], info["scope"], info["flags"]) == ("fe80::1", "link", ["tentative"])
    assert is_link_local(info)


def test_frames_are_taken_out_of_a_buffer_of_bpf(monkeypatch):
    first, second = b"a" * 61, b"b" * 1500
    buffer = b""
    for frame in (first, second):
        header = struct.pack("qqIIH", 0, 0, len(frame), len(frame), 26)
        buffer += (header + frame).ljust((26 + len(frame) + 7) & ~7, b"\0")
    read = iter([buffer])

    def answer(descriptor, size):
        for data in read:
            return data
        raise BlockingIOError

    monkeypatch.setattr(bpf.os, "read", answer)
    assert bpf.drain(3) == [first, second]


def test_jails_of_one_process_have_different_names_that_say_whose_they_are():
    one, other = jails.new_name(), jails.new_name()
    assert one != other
    assert jails._NAME.match(one)[1] == str(os.getpid())
    assert not jails._NAME.match(f"{one}.{other}"), "a jail in a jail goes with it"


@pytest.mark.parametrize(
    ("argv", "asks"),
    [
        (["ifconfig", "-a"], True),
        (["/sbin/ifconfig", "-f", "inet:cidr,inet6:cidr", "-a"], True),
        (["ifconfig", "br0"], True),
        (["ifconfig", "-D", "br0"], True),
        (["ifconfig", "-l"], True),
        (["ifconfig", "-g", "refnet"], True),
        (["ifconfig", "br0", "inet6"], True),
        (["ifconfig", "--", "-a"], True),
        (["ifconfig", "br0", "up"], False),
        (["ifconfig", "bridge", "create"], False),
        (["ifconfig", "br0", "destroy"], False),
        (["ifconfig", "br0", "inet", "192.0.2.1/24", "alias"], False),
        (["ifconfig", "-n", "br0", "addm", "tap0"], False),
        (["netstat", "-rn", "--libxo", "json"], True),
        (["route", "-n", "get", "default"], True),
        (["route", "add", "default", "192.0.2.1"], False),
        (["sysctl", "net.link.bridge"], True),
        (["sysctl", "net.inet.ip.forwarding=1"], False),
        (["sh", "-c", "ifconfig br0 up"], False),
        (["no-such-program"], False),
    ],
)
def test_what_only_asks_is_told_from_what_writes(argv, asks):
    assert asking.only_asks(argv, on=system.FREEBSD) is asks
