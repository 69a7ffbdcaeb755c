"""Routes: what netstat(1) shows, read, and the commands made of it."""

from __future__ import annotations

import json

import pytest
import replay

from refnet.netdev.freebsd import routes
from refnet.netdev.freebsd.routes import Route

SHOWN = [
    entry
    for name in ("netdev.txt", "driver.txt")
    for entry in replay.entries(name)
    if "netstat -rn" in entry.command and "json" in entry.command
]


@pytest.mark.parametrize("entry", SHOWN, ids=lambda entry: entry.command)
def test_every_output_is_read(entry: replay.Entry) -> None:
    families = json.loads(entry.stdout)["statistics"]["route-information"]["route-table"]["rt-family"]
    found = routes.parse(entry.stdout)
    assert len(found) == sum(len(family["rt-entry"]) for family in families)
    assert {route.version for route in found} <= {4, 6}
    assert all(route.interface and route.flags and route.destination for route in found)


def test_the_transcripts_table() -> None:
    entry = next(entry for entry in replay.entries("netdev.txt") if "netstat -rn --libxo" in entry.command)
    default, subnet, own = routes.parse(entry.stdout)
    assert default == Route(4, "default", "10.9.0.1", "UGS", "epair0b")
    assert (subnet.gateway, subnet.movable, own.movable) == (None, False, False)
    assert routes.of_device([default, subnet, own], "epair0b", 1500) == [default]


@pytest.mark.parametrize("text", ["", "\n", '{"statistics": {"route-information": {}}}'])
def test_no_routes(text: str) -> None:
    assert routes.parse(text) == []


@pytest.mark.parametrize(
    ("route", "command"),
    [
        (Route(4, "203.0.113.0/24", "192.0.2.2", "UGS", "em0"), "-inet -net 203.0.113.0/24 192.0.2.2"),
        (Route(4, "203.0.113.9", "192.0.2.2", "UGHS", "em0"), "-inet -host 203.0.113.9 192.0.2.2"),
        (Route(4, "default", "192.0.2.2", "UGS", "em0", fib=3), "-inet -fib 3 -net default 192.0.2.2"),
        (Route(6, "default", "fe80::2%em0", "UGS", "em0"), "-inet6 -net default fe80::2%em0"),
        (Route(4, "203.0.113.0/24", None, "US", "-a"), "-inet -net 203.0.113.0/24 -interface -gateway -a"),
    ],
)
def test_commands(route: Route, command: str) -> None:
    assert " ".join(route.add()) == f"route -n add {command}"
    assert " ".join(route.delete()) == f"route -n delete {command}"


def test_what_a_route_carries_goes_along() -> None:
    route = Route(4, "203.0.113.0/24", "192.0.2.2", "UGS1", "em0", mtu=1300, weight=5)
    assert " ".join(route.add()).endswith(" 192.0.2.2 -mtu 1300 -weight 5 -proto1")
    (kept,) = routes.of_device([route], "em0", 1500)
    assert kept.mtu == 1300
    (usual,) = routes.of_device([route], "em0", 1300)
    assert usual.mtu is None


def test_another_device() -> None:
    by_link_local = Route(6, "default", "fe80::2%em0", "UGS", "em0").through("br0")
    assert (by_link_local.gateway, by_link_local.interface) == ("fe80::2%br0", "br0")
    by_global = Route(6, "default", "2001:db8::2", "UGS", "em0").through("br0")
    assert (by_global.gateway, by_global.interface) == ("2001:db8::2", "br0")


@pytest.mark.parametrize(
    ("flags", "movable"),
    [("UGS", True), ("UG1", True), ("US", True), ("UHS", True), ("U", False), ("UH", False), ("UGHD", False)],
)
def test_what_somebody_has_made(flags: str, movable: bool) -> None:
    assert Route(4, "203.0.113.0/24", "192.0.2.2", flags, "em0").movable is movable


def test_routes_on_the_link_come_first() -> None:
    far = Route(4, "198.18.0.0/15", "203.0.113.1", "UGS", "em0")
    near = Route(4, "203.0.113.0/24", None, "US", "em0")
    other = Route(4, "default", "192.0.2.2", "UGS", "em1")
    assert routes.of_device([far, near, other], "em0", 1500) == [near, far]
