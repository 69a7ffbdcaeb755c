"""What ifconfig(8) shows, read: on every output of it in the transcripts."""

from __future__ import annotations

import re
import textwrap

import pytest
import replay

from refnet.netdev.driver import Kind
from refnet.netdev.freebsd import listing

SHOWN = [
    entry
    for name in ("netdev.txt", "driver.txt")
    for entry in replay.entries(name)
    if "flags=" in entry.stdout and "ifconfig" in entry.command
]


def fields(block: str, word: str) -> list[str]:
    """Return what stands behind a word at the beginning of a line, read in a simpler way than the parser's."""
    return [line.split(None, 1)[1] for line in block.splitlines()[1:] if line.split(None, 1)[:1] == [word]]


@pytest.mark.parametrize("entry", SHOWN, ids=lambda entry: entry.command)
def test_every_output_is_read(entry: replay.Entry) -> None:
    found = listing.parse(entry.stdout)
    blocks = re.findall(r"^\S.*(?:\n\s.*)*", entry.stdout, re.MULTILINE)
    blocks = [block for block in blocks if ": flags=" in block]
    assert [device.name for device in found] == [block.partition(": flags=")[0] for block in blocks]
    for device, block in zip(found, blocks, strict=True):
        assert f" mtu {device.mtu}\n" in block
        assert device.up is ("<UP," in block or "<UP>" in block)
        assert list(device.groups) == " ".join(fields(block, "groups:")).split()
        assert [device.mac_address] == (fields(block, "ether") or [None])
        assert len(device.members) == len(fields(block, "member:"))
        assert all(any(line.startswith(f"{name} ") for line in fields(block, "member:")) for name in device.members)
        # Other formats of addresses than the driver asks for are left out.
        cidr = [line for word in ("inet", "inet6") for line in fields(block, word) if "/" in line.split()[0]]
        assert len(device.addresses) == len(cidr)
        for word, attribute in (("status:", "status"), ("drivername:", "driver")):
            assert [getattr(device, attribute)] == (fields(block, word) or [None])
        for line in fields(block, "vlan:"):
            assert line.startswith(f"{device.tag} ")
            assert line.endswith(f" {device.parent or '<none>'}")


def of_transcript(command: str, number: int = 0) -> listing.Interface:
    entry = [entry for entry in replay.entries("netdev.txt") if entry.command == command][number]
    (device,) = listing.parse(entry.stdout)
    return device


def test_a_bridge() -> None:
    bridge = of_transcript("ifconfig -f inet:cidr,inet6:cidr,ether:colon br100")
    assert bridge.kind is Kind.BRIDGE
    assert (bridge.mtu, bridge.mac_address, bridge.up) == (9000, "ff:ff:ff:ff:ff:ff", True)
    assert bridge.members == ("tapvm1",)
    assert (bridge.forward_delay, bridge.ageing_time) == (4, 0)
    assert [str(one.interface) for one in bridge.addresses] == ["10.9.0.1/24", "10.9.1.1/24", "fd00:9::1/64"]
    assert bridge.addresses[0].broadcast == "10.9.0.255"


def test_vlans() -> None:
    there, gone = of_transcript("ifconfig vlan100"), of_transcript("ifconfig vlan100", 1)
    assert (there.kind, there.tag, there.parent, there.protocol) == (Kind.VLAN, 100, "epair0a", "802.1q")
    assert (gone.kind, gone.tag, gone.parent) == (Kind.VLAN, 0, None)


def test_taps() -> None:
    plain, set_up = of_transcript("ifconfig tapx"), of_transcript("ifconfig tapm")
    assert (plain.kind, plain.up, plain.carrier) == (Kind.TAP, False, False)
    assert (set_up.mac_address, set_up.born_mac) == ("02:11:22:33:44:55", "58:9c:fc:10:ff:da")
    held = next(entry for entry in replay.entries("netdev.txt") if "os.O_RDWR" in entry.command)
    device = listing.parse(held.stdout).get("tapx")
    assert device is not None
    assert (device.opened_by, device.carrier) == (657, True)


def one(text: str) -> listing.Interface:
    (device,) = listing.parse(textwrap.dedent(text).lstrip().replace("    ", "\t"))
    return device


def test_addresses_with_all_they_may_have() -> None:
    device = one(
        """
        em0: flags=1008843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST,LOWER_UP> metric 0 mtu 1500
            ether 02:00:00:00:00:01
            inet 192.0.2.1/24 broadcast 192.0.2.255
            inet 192.0.2.2/24 broadcast 192.0.2.255 vhid 1
            inet 192.0.2.3 --> 192.0.2.4/32
            inet 203.0.113.10/31 broadcast 255.255.255.255
            inet6 fe80::1%em0/64 scopeid 0x1
            inet6 2001:db8::1/64 deprecated autoconf pltime 0 vltime 600
            inet6 2001:db8::2/64 prefer_source
        """
    )
    four, carp, point, pair, link, limited, preferred = device.addresses
    assert (four.bound, carp.bound, point.bound) == (False, True, True)
    assert str(point.interface) == "192.0.2.3/32"
    assert four.describe().broadcast == "192.0.2.255"
    assert pair.describe().broadcast is None
    assert link.link_local
    assert not limited.link_local
    assert (limited.preferred_lifetime, limited.valid_lifetime) == (0, 600)
    assert (limited.describe().preferred_lifetime, limited.describe().valid_lifetime) == (0, 600)
    assert {"deprecated", "autoconf"} <= limited.flags
    assert (preferred.valid_lifetime, preferred.flags) == (None, {"prefer_source"})


def test_names_that_are_hard_to_read() -> None:
    found = listing.parse(
        "br 1: flags=8802<BROADCAST> metric 0 mtu 1500\n"
        "\tmember: a b flags=143<LEARNING>\n"
        "\tmember: span0 flags=8<SPAN>\n"
        "\tgroups: bridge\n"
        "a: flags=1: flags=8802<BROADCAST> metric 0 mtu 1400\n"
        "pflog0: flags=0 metric 0 mtu 33152\n"
    )
    assert [device.name for device in found] == ["br 1", "a: flags=1", "pflog0"]
    assert next(iter(found)).members == ("a b",)


@pytest.mark.parametrize(
    ("driver", "groups", "ether", "kind"),
    [
        ("bridge3", (), True, Kind.BRIDGE),
        ("epair0", (), True, Kind.VETH),
        ("tun5", ("tun",), False, Kind.TUN),
        ("vtnet0", (), True, Kind.ETHERNET),
        ("vtnet0", ("mine",), True, Kind.ETHERNET),
        ("lagg0", ("lagg",), True, Kind.OTHER),
        ("pflog0", ("pflog",), False, Kind.OTHER),
        (None, ("bridge", "mine"), True, Kind.BRIDGE),
        (None, (), True, Kind.ETHERNET),
        (None, (), False, Kind.OTHER),
    ],
)
def test_kinds(driver: str | None, groups: tuple[str, ...], ether: bool, kind: Kind) -> None:
    mac = "02:00:00:00:00:01" if ether else None
    device = listing.Interface("x", frozenset(), 1500, driver=driver, groups=groups, mac_address=mac)
    assert device.kind is kind


def pair(name: str, driver: str | None, born: str, groups: tuple[str, ...] = ("epair",)) -> listing.Interface:
    return listing.Interface(name, frozenset(), 1500, driver=driver, groups=groups, mac_address=born, born_mac=born)


def peer(name: str, *devices: listing.Interface) -> str | None:
    found = listing.Listing({device.name: device for device in devices})
    end = found.get(name)
    assert end is not None
    return found.peer_of(end)


A, B, FOREIGN = "02:11:22:33:44:0a", "02:11:22:33:44:0b", "02:99:22:33:44:0b"


def test_peers() -> None:
    assert peer("v0", pair("v0", "epair0", A), pair("v1", "epair0", B)) == "v1"
    assert peer("v1", pair("v0", "epair0", A), pair("v1", "epair0", B)) == "v0"
    assert peer("v0", pair("v0", "epair0", A)) is None
    assert peer("v0", pair("v0", "epair0", A), pair("v1", "epair1", B)) is None


def test_ends_of_two_pairs_with_the_same_number_are_no_peers() -> None:
    """As two network stacks number their pairs on their own, and an end of each has come here."""
    assert peer("v0", pair("v0", "epair0", A), pair("v1", "epair0", FOREIGN)) is None
    both = (pair("v0", "epair0", A), pair("x", "epair0", FOREIGN), pair("v1", "epair0", B))
    assert peer("v0", *both) == "v1"
    assert peer("x", *both) is None


def test_peers_where_mac_addresses_tell_nothing() -> None:
    one, other = pair("v0", "epair0", "58:9c:fc:00:00:01"), pair("v1", "epair0", "58:9c:fc:00:11:02")
    assert peer("v0", one, other) == "v1"
    assert peer("v0", one, other, pair("v2", "epair0", "58:9c:fc:00:11:03")) is None


def test_peers_where_ifconfig_tells_no_drivers_name() -> None:
    assert peer("v0", pair("v0", None, A), pair("v1", None, B), pair("w1", None, FOREIGN)) == "v1"
    assert peer("v0", pair("v0", None, "58:9c:fc:00:00:01"), pair("v1", None, "58:9c:fc:00:11:02")) is None
