"""Plans for addresses and routes, made of what a real kernel lists, and held against how it keeps addresses."""

from __future__ import annotations

import dataclasses
import errno
import ipaddress
import random
import socket
import struct
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance import faults
from conformance.topology.linux import Sandbox
from refnet.errors import Unsupported
from refnet.netdev.linux import LinuxNetDevDriver, records
from refnet.netdev.linux.change import Change, Step
from refnet.netdev.linux.netlink import HEADER, Request, attributes
from refnet.netdev.linux.records import AddressRecord, RouteRecord

NEW_ADDRESS, DELETE_ADDRESS, NEW_ROUTE, DELETE_ROUTE = 20, 21, 24, 25
IFA_LABEL, RTA_OIF, RTA_MULTIPATH, RTA_EXPIRES = 3, 4, 9, 23
GLOBAL, LINK, HOST = 0, 253, 254
BOTH = (socket.AF_INET, socket.AF_INET6)

Carried = tuple[list[AddressRecord], list[RouteRecord]]


# -- reading requests -------------------------------------------------------------------------------------


def opened(request: Request) -> tuple[int, bytes]:
    """Return a request's type and body."""
    data = request.encode(1)
    return HEADER.unpack_from(data)[1], data[HEADER.size :]


def told(request: Request | None) -> str | None:
    """Say in a few words what a request asks for: ``+`` or ``-``, the thing, and the device's index."""
    if request is None:
        return None
    kind, body = opened(request)
    sign = "+" if kind in (NEW_ADDRESS, NEW_ROUTE) else "-"
    if kind in (NEW_ADDRESS, DELETE_ADDRESS):
        (index,) = struct.unpack_from("=I", body, 4)
        return f"{sign} {records.parse_address(body).interface} @{index}"
    route = records.parse_route(body)
    device = route.found.get(RTA_OIF)
    return f"{sign} {route} @{struct.unpack('=I', device)[0] if device else 'several'}"


def asked(steps: Iterable[Step]) -> list[str]:
    return [words for step in steps if (words := told(step.request))]


def in_place_of(words: str, before: int, after: int) -> str:
    """Turn an addition on one device into the removal on another, or the other way round."""
    sign = "-" if words[0] == "+" else "+"
    return f"{sign}{words[1:]}".replace(f"@{before}", f"@{after}")


# -- what a kernel lists ----------------------------------------------------------------------------------


@pytest.fixture
def laden(stack: Sandbox) -> Sandbox:
    """A stack with an interface ``v0`` that has addresses and routes of many sorts, and a bridge ``b0`` without."""
    stack.ip(
        "link add name v0 type veth peer name v1",
        "link add name b0 type bridge",
        *(f"link set dev {name} up" for name in ("v0", "v1", "b0")),
        "addr add 192.0.2.1/24 broadcast + label v0:1 dev v0",
        "addr add 192.0.2.2/24 dev v0",
        "addr add 198.51.100.1 peer 198.51.100.2/32 dev v0",
        "addr add 2001:db8::1/64 dev v0 nodad",
        "addr add 2001:db8::2/64 dev v0 nodad",
        "route add default via 192.0.2.254 dev v0",
        "route add 203.0.113.0/25 via 192.0.2.253 dev v0 metric 50",
        "route add 203.0.113.128/25 dev v0 scope link table 100",
        "route add 2001:db8:1::/48 via 2001:db8::fe dev v0",
        "route add 2001:db8:2::/48 dev v0",
    )
    return stack


def carried(driver: LinuxNetDevDriver, device: str = "v0") -> Carried:
    link = driver.need(device)
    return driver.addresses(link), driver.routes(link, BOTH)


def ends(driver: LinuxNetDevDriver) -> tuple[tuple[str, int], tuple[str, int]]:
    return ("v0", driver.need("v0").index), ("b0", driver.need("b0").index)


# -- moving -----------------------------------------------------------------------------------------------


def test_a_move_adds_all_before_it_takes_any_away(laden: Sandbox, driver: LinuxNetDevDriver) -> None:
    source, target = ends(driver)
    plan = asked(records.plan_move(*carried(driver), source, target))
    signs = [words[0] for words in plan]
    assert signs == sorted(signs)  # "+" sorts before "-"
    added = [words for words in plan if words[0] == "+"]
    assert added[:5] == [
        f"+ {address} @{target[1]}"
        for address in ("192.0.2.1/24", "198.51.100.1/32", "192.0.2.2/24", "2001:db8::1/64", "2001:db8::2/64")
    ]
    assert {words.partition(" @")[0] for words in added[5:]} == {
        "+ default via 192.0.2.254",
        "+ 203.0.113.0/25 via 192.0.2.253",
        "+ 203.0.113.128/25",
        "+ 2001:db8:1::/48 via 2001:db8::fe",
        "+ 2001:db8:2::/48",
        "+ 198.51.100.2/32",  # the way to the far end of an address
    }
    by_gateway = ["via" in words for words in added[5:]]
    assert by_gateway == sorted(by_gateway)


def test_what_a_move_adds_there_it_takes_away_here_and_addresses_last_and_backwards(
    laden: Sandbox, driver: LinuxNetDevDriver
) -> None:
    source, target = ends(driver)
    plan = asked(records.plan_move(*carried(driver), source, target))
    added = [words for words in plan if words[0] == "+"]
    removed = [words for words in plan if words[0] == "-"]
    expected = [in_place_of(words, target[1], source[1]) for words in added]
    assert set(removed) == set(expected)
    assert removed[-5:] == expected[4::-1]


def test_each_step_of_a_move_is_undone_by_its_opposite(laden: Sandbox, driver: LinuxNetDevDriver) -> None:
    source, target = ends(driver)
    for step in records.plan_move(*carried(driver), source, target):
        words, undo = told(step.request), told(step.undo)
        assert words is not None
        index = int(words.rpartition("@")[2])
        assert undo == in_place_of(words, index, index)


def test_a_move_leaves_what_is_the_kernels(stack: Sandbox, driver: LinuxNetDevDriver) -> None:
    stack.ip(
        "link add name v0 type veth peer name v1",
        "link set dev v0 up",
        "link set dev v1 up",
    )
    addresses, routes = carried(driver)
    assert [record.link_local for record in addresses] == [True]
    assert records.plan_move(addresses, routes, ("v0", 2), ("b0", 3)) == []
    stack.ip("addr add 192.0.2.1/24 dev v0")
    addresses, routes = carried(driver)
    assert routes
    assert asked(records.plan_move(addresses, routes, ("v0", 2), ("b0", 3))) == [
        "+ 192.0.2.1/24 @3",
        "- 192.0.2.1/24 @2",
    ]


def test_a_move_of_nothing_is_no_step() -> None:
    assert records.plan_move([], [], ("v0", 2), ("b0", 3)) == []


def seen(stack: Sandbox, device: str) -> list[str]:
    """Return addresses and routes of a device as the ip command shows them, without the device's name."""
    lines = stack.run("ip", "-o", "addr", "show", "dev", device, "scope", "global").splitlines()
    shown = [line.partition(device)[2].replace(device, "DEVICE") for line in lines]
    for family in ("-4", "-6"):
        for line in stack.run("ip", family, "route", "show", "table", "all", "dev", device).splitlines():
            if not any(word in line for word in ("fe80::", "ff00::", "local", "broadcast", "anycast")):
                shown.append(line.replace(device, "DEVICE").strip())
    return shown


def test_a_move_that_is_carried_out_brings_all_and_one_that_is_taken_back_nothing(
    laden: Sandbox, driver: LinuxNetDevDriver
) -> None:
    before = seen(laden, "v0"), seen(laden, "b0")
    assert before[1] == []
    plan = records.plan_move(*carried(driver), *ends(driver))
    change = Change(driver.channel)
    for step in plan:
        change.do(step)
    assert (seen(laden, "b0"), seen(laden, "v0")) == before
    with pytest.raises(KeyError), change:
        raise KeyError
    assert change.left_over == []
    assert [sorted(shown) for shown in (seen(laden, "v0"), seen(laden, "b0"))] == [sorted(shown) for shown in before]
    for shown, expected in zip((seen(laden, "v0"), seen(laden, "b0")), before, strict=True):
        assert [line for line in shown if "inet " in line] == [line for line in expected if "inet " in line]


def test_a_route_with_several_next_hops_keeps_them_and_those_of_others(
    laden: Sandbox, driver: LinuxNetDevDriver
) -> None:
    laden.ip(
        "link add name w0 type veth peer name w1",
        "link set dev w0 up",
        "link set dev w1 up",
        "addr add 198.18.0.1/24 dev w0",
        "route add 233.252.0.0/24 nexthop via 192.0.2.5 dev v0 weight 3 nexthop via 198.18.0.2 dev w0 weight 5",
    )
    source, target = ends(driver)
    addresses, routes = carried(driver)
    assert [route.multipath for route in routes].count(True) == 1
    plan = records.plan_move(addresses, routes, source, target)
    hops = []
    for step in plan:
        assert step.request is not None
        kind, body = opened(step.request)
        if kind == NEW_ROUTE and RTA_MULTIPATH in records.parse_route(body).found:
            value = records.parse_route(body).found[RTA_MULTIPATH]
            while value:
                length, _, weight, index = struct.unpack_from("=HBBi", value)
                hops.append((str(ipaddress.ip_address(attributes(value[8:length])[5])), weight + 1, index))
                value = value[length:]
    assert hops == [("192.0.2.5", 3, target[1]), ("198.18.0.2", 5, driver.need("w0").index)]
    with Change(driver.channel) as change:
        for step in plan:
            change.do(step)
    assert " ".join(laden.run("ip", "route", "show", "233.252.0.0/24").split()) == (
        "233.252.0.0/24 nexthop via 192.0.2.5 dev b0 weight 3 nexthop via 198.18.0.2 dev w0 weight 5"
    )


def test_a_route_with_a_next_hop_object_is_refused_before_any_step(laden: Sandbox, driver: LinuxNetDevDriver) -> None:
    laden.ip("nexthop add id 7 via 192.0.2.9 dev v0", "route add 233.252.0.0/24 nhid 7")
    source, target = ends(driver)
    with pytest.raises(Unsupported, match=r"233\.252.* through v0 uses a next-hop object: move it to b0") as caught:
        records.plan_move(*carried(driver), source, target)
    assert (caught.value.capability, caught.value.device) == ("next-hop-objects", "v0")


def test_a_route_with_a_lifetime_goes_with_what_is_left_of_it(laden: Sandbox, driver: LinuxNetDevDriver) -> None:
    laden.ip("route add 2001:db8:3::/48 dev v0 expires 600")
    source, target = ends(driver)
    lifetimes = {}
    for step in records.plan_move(*carried(driver), source, target):
        assert step.request is not None
        kind, body = opened(step.request)
        if kind == NEW_ROUTE:
            route = records.parse_route(body)
            lifetimes[str(route)] = route.found.get(RTA_EXPIRES)
    limited = lifetimes.pop("2001:db8:3::/48")
    assert limited is not None
    assert 1 <= struct.unpack("=I", limited)[0] <= 600
    assert set(lifetimes.values()) == {None}


# -- labels -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "source", "target", "expected"),
    [
        (b"eth0", "eth0", "br0", b"br0"),
        (b"eth0:1", "eth0", "br0", b"br0:1"),
        (b"eth0:1:2", "eth0", "br0", b"br0:1:2"),
        (b"eth0:", "eth0", "br0", b"br0:"),
        (b"eth01", "eth0", "br0", b"eth01"),
        (b"eth", "eth0", "br0", b"eth"),
        (b"other:1", "eth0", "br0", b"other:1"),
        (b"eth0:123", "eth0", "eleven-long", b"eleven-long:123"),
        (b"eth0:123", "eth0", "twelve--long", b"twelve--long"),
        (b"eth0:1", "eth0", "fifteen----long", b"fifteen----long"),
        (b"e0:\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", "e0", "br-long", b"br-long"),
        (b"e0:\xc3\xa9", "e0", "br-long", b"br-long:\xc3\xa9"),
        (b"eth0:\xff", "eth0", "br0", b"br0:\xff"),
    ],
)
def test_a_label_goes_over_to_the_new_name_and_is_given_up_where_it_does_not_fit(
    label: bytes, source: str, target: str, expected: bytes
) -> None:
    plain = records.new_address(ipaddress.ip_interface("192.0.2.1/24"))
    record = dataclasses.replace(plain, found={**plain.found, IFA_LABEL: label + b"\0"})
    _, body = opened(record.add(3, rename=(source, target)))
    assert records.parse_address(body).found[IFA_LABEL] == expected + b"\0"
    _, body = opened(record.add(3))
    assert records.parse_address(body).found[IFA_LABEL] == label + b"\0"
    _, body = opened(plain.add(3, rename=(source, target)))
    assert IFA_LABEL not in records.parse_address(body).found


def test_labels_of_real_addresses_go_over(laden: Sandbox, driver: LinuxNetDevDriver) -> None:
    source, _ = ends(driver)
    addresses, routes = carried(driver)
    labels = {}
    for step in records.plan_move(addresses, routes, source, ("a-bridge-of-13", 99)):
        assert step.request is not None
        kind, body = opened(step.request)
        if kind == NEW_ADDRESS:
            record = records.parse_address(body)
            labels[str(record.interface)] = record.found.get(IFA_LABEL)
    assert labels == {
        "192.0.2.1/24": b"a-bridge-of-13\0",
        "192.0.2.2/24": b"a-bridge-of-13\0",
        "198.51.100.1/32": b"a-bridge-of-13\0",
        "2001:db8::1/64": None,
        "2001:db8::2/64": None,
    }


# -- order ------------------------------------------------------------------------------------------------


def test_a_new_order_leaves_the_common_beginning_alone(laden: Sandbox, driver: LinuxNetDevDriver) -> None:
    addresses, routes = carried(driver)
    first, second, third = (record for record in addresses if record.family == socket.AF_INET)
    routes = [route for route in routes if route.family == socket.AF_INET]
    present = [first, second, third]
    kept = [f"+ {route} @2" for route in routes if route.movable and not route.comes_with(present)]

    def plan(wanted: Sequence[AddressRecord]) -> list[str]:
        steps = asked(records.plan_order(present, wanted, routes, 2))
        return [words.rpartition(" @")[0] for words in steps if words.rpartition(" @")[0] in of_addresses]

    of_addresses = {f"{sign} {record.interface}" for sign in "+-" for record in present}
    assert plan(present) == []
    assert plan([first, third, second]) == [
        f"- {third.interface}",
        f"- {second.interface}",
        f"+ {third.interface}",
        f"+ {second.interface}",
    ]
    assert plan([first, second]) == [f"- {third.interface}"]
    assert plan([third, first, second])[:3] == [f"- {record.interface}" for record in (third, second, first)]
    assert kept


def test_a_new_order_puts_routes_back_at_the_end_those_without_a_gateway_first(
    laden: Sandbox, driver: LinuxNetDevDriver
) -> None:
    laden.ip("route add 233.252.0.0/24 dev v0 src 192.0.2.1", "route add 233.252.1.0/24 dev v0 src 192.0.2.2")
    addresses, routes = carried(driver)
    present = [record for record in addresses if record.family == socket.AF_INET]
    routes = [route for route in routes if route.family == socket.AF_INET]
    index = driver.need("v0").index
    steps = asked(records.plan_order(present, present[::-1], routes, index))
    assert all(f"/{32 if '198' in words else 24} @" in words for words in steps[:6])
    back = steps[6:]
    assert all(words[0] == "+" for words in back)
    by_gateway = ["via" in words for words in back]
    assert by_gateway == sorted(by_gateway)
    assert {f"+ 233.252.0.0/24 @{index}", f"+ 233.252.1.0/24 @{index}"} <= set(back)
    assert f"+ 192.0.2.0/24 @{index}" not in back
    # A route from an address that goes away cannot come back.
    without = asked(records.plan_order(present, [present[0]], routes, index))
    assert f"+ 233.252.0.0/24 @{index}" in without
    assert f"+ 233.252.1.0/24 @{index}" not in without


class Table:
    """How Linux keeps the IPv4 addresses of a device (net/ipv4/devinet.c), without promotion of secondary ones."""

    def __init__(self, added: Iterable[AddressRecord] = ()) -> None:
        self.kept: list[tuple[AddressRecord, bool]] = []
        for record in added:
            assert self.add(record) == 0

    @property
    def interfaces(self) -> list[str]:
        return [str(record.interface) for record, _ in self.kept]

    def add(self, record: AddressRecord) -> int:
        place, secondary = 0, False
        for position, (other, other_secondary) in enumerate(self.kept):
            if not other_secondary and record.scope <= other.scope:
                place = position + 1
            if other.interface.network == record.interface.network:
                if other.interface == record.interface:
                    return errno.EEXIST
                if other.scope != record.scope:
                    return errno.EINVAL
                secondary = True
        self.kept.insert(len(self.kept) if secondary else place, (record, secondary))
        return 0

    def remove(self, record: AddressRecord) -> int:
        for other, secondary in self.kept:
            if other.interface == record.interface:
                gone = other.interface.network
                self.kept = [
                    (left, is_secondary)
                    for left, is_secondary in self.kept
                    if left is not other and (secondary or left.interface.network != gone)
                ]
                return 0
        return errno.EADDRNOTAVAIL

    def carry_out(self, steps: Iterable[Step]) -> None:
        for step in steps:
            assert step.request is not None
            kind, body = opened(step.request)
            record = records.parse_address(body)
            assert (self.add if kind == NEW_ADDRESS else self.remove)(record) == 0, step.what


def universe(scopes: Sequence[int]) -> list[AddressRecord]:
    """Return addresses of several subnets, each of which has one scope."""
    return [
        dataclasses.replace(records.new_address(ipaddress.ip_interface(f"10.0.{subnet}.{host}/24")), scope=scope)
        for subnet, scope in enumerate(scopes)
        for host in (1, 2, 3)
    ]


@st.composite
def orders(draw: st.DrawFn) -> tuple[list[AddressRecord], list[AddressRecord]]:
    """Draw the addresses that a device has, in the order in which they were added, and those that it shall have."""
    every = universe(draw(st.lists(st.sampled_from([GLOBAL, LINK, HOST]), min_size=1, max_size=4)))
    some = st.lists(st.sampled_from(every), unique_by=id)
    return draw(some), draw(some)


@given(orders())
def test_a_plan_leads_to_the_order_that_was_wanted_as_far_as_the_kernel_has_it(
    lists: tuple[list[AddressRecord], list[AddressRecord]],
) -> None:
    added, wanted = lists
    table = Table(added)
    present = [record for record, _ in table.kept]
    assert present == records.as_kept(added)
    table.carry_out(records.plan_order(present, wanted, [], 2))
    expected = records.as_kept(wanted)
    assert table.interfaces == [str(record.interface) for record in expected]
    table.carry_out(records.plan_order(expected, expected, [], 2))
    assert table.interfaces == [str(record.interface) for record in expected]


@given(orders())
def test_a_plan_for_an_order_that_the_kernel_has_leads_exactly_there(
    lists: tuple[list[AddressRecord], list[AddressRecord]],
) -> None:
    added, wanted = map(records.as_kept, lists)
    table = Table(added)
    table.carry_out(records.plan_order(added, wanted, [], 2))
    assert table.interfaces == [str(record.interface) for record in wanted]


def listed(driver: LinuxNetDevDriver, device: str) -> list[str]:
    return [str(one) for one in driver.device(device).addresses if one.interface.version == 4]


@pytest.mark.parametrize("seed", range(12))
def test_the_kernel_keeps_addresses_as_the_plans_take_for_granted(
    stack: Sandbox, driver: LinuxNetDevDriver, seed: int
) -> None:
    chance = random.Random(seed)
    every = universe([chance.choice([GLOBAL, LINK, HOST]) for _ in range(3)])
    added = chance.sample(every, chance.randint(2, len(every)))
    stack.ip("link add name d0 type bridge", "link set dev d0 up")
    stack.ip(*(f"addr add {record.interface} dev d0 scope {record.scope}" for record in added))
    present = records.as_kept(added)
    assert listed(driver, "d0") == [str(record.interface) for record in present]

    first = chance.choice(added)
    wanted = records.as_kept([first, *(record for record in present if record is not first)])
    driver.ensure_gateway_address("d0", str(first.interface))
    assert listed(driver, "d0") == [str(record.interface) for record in wanted]
    with faults.injected(0) as again:
        driver.ensure_gateway_address("d0", str(first.interface))
    assert again.writes == 0

    gone = chance.choice(wanted)
    driver.delete_device_address("d0", str(gone.interface))
    left = records.as_kept(record for record in wanted if record is not gone)
    assert listed(driver, "d0") == [str(record.interface) for record in left]


def test_addresses_that_share_the_subnet_of_their_far_ends_survive_each_other(
    stack: Sandbox, driver: LinuxNetDevDriver
) -> None:
    stack.ip(
        "link add name d0 type bridge",
        "link set dev d0 up",
        "addr add 10.1.0.1 peer 10.9.0.1/24 dev d0",
        "addr add 10.2.0.1 peer 10.9.0.2/24 dev d0",
    )
    driver.delete_device_address("d0", "10.1.0.1/24")
    assert listed(driver, "d0") == ["10.2.0.1/24"]


def test_deleting_an_ipv6_address_is_no_matter_of_ipv4_subnets(stack: Sandbox, driver: LinuxNetDevDriver) -> None:
    stack.ip("link add name d0 type bridge", "link set dev d0 up")
    for address in ("192.0.2.1/24", "192.0.2.2/24", "2001:db8::1/64", "2001:db8::2/64"):
        driver.add_device_address("d0", address)
    driver.delete_device_address("d0", "2001:db8::1/64")
    assert [str(one) for one in driver.device("d0").addresses if not one.interface.ip.is_link_local] == [
        "192.0.2.1/24",
        "192.0.2.2/24",
        "2001:db8::2/64",
    ]
