"""What addresses and routes carry on Linux, and keep on their way: labels, lifetimes, metrics, tables, next hops."""

from __future__ import annotations

from typing import Any

from conformance.harness import DriverUnderTest
from conformance.spec import spec
from conformance.specs.netdev.refused import refused
from conformance.specs.netdev.test_join import NEIGHBOURS, talks
from conformance.system import LINUX
from conformance.topology.linux.endpoints import LinuxGuest
from conformance.topology.linux.sandbox import LinuxSandbox
from refnet.errors import Unsupported
from refnet.netdev.driver import Capability

_HOUR, _HALF = 3600, 1800


def carrying(net: LinuxSandbox, *addresses: str) -> LinuxGuest:
    """Make a guest whose port in the sandbox has these addresses."""
    guest = net.guest("a", *NEIGHBOURS)
    net.add_address(guest.port, *addresses)
    return guest


def said(infos: list[dict[str, Any]], key: str) -> dict[str, Any]:
    """Return what is said under a key of each address."""
    return {info["local"]: info.get(key) for info in infos}


def limited(infos: list[dict[str, Any]], *addresses: str) -> None:
    """Assert that these addresses have the lifetimes of an hour and half of one, or a little less by now."""
    lives = {info["local"]: (info["valid_life_time"], info["preferred_life_time"]) for info in infos}
    for address in addresses:
        valid, preferred = lives[address]
        assert _HALF < valid <= _HOUR, f"the lifetime of {address} was {_HOUR} s, and is {valid} s"
        assert 0 < preferred <= _HALF, f"the preferred lifetime of {address} was {_HALF} s, and is {preferred} s"


def carried(net: LinuxSandbox, device: str, family: int) -> list[str]:
    """Return the routes through a device that somebody has made, the device's name left out, in the kernel's order."""
    return [
        " ".join(f"{key}={value}" for key, value in sorted({**route, "dev": "it"}.items()) if value != [])
        for route in net.look.routes_through(device, family)
        if route.get("protocol") != "kernel"
    ]


def went_over(net: LinuxSandbox, guest: LinuxGuest, family: int, before: list[str]) -> None:
    """Assert that the routes that were the port's are the bridge's, with all that they carry."""
    after = carried(net, "br0", family)
    lost = [one for one in before if one not in after]
    assert not lost, (
        f"of the routes through {guest.port} br0 has not got: {'; '.join(lost)} (it has: {'; '.join(after)})"
    )
    assert after == before, f"the routes through br0 are {'; '.join(after)}, and not {'; '.join(before)}"
    left = carried(net, guest.port, family)
    assert not left, f"there still are routes through {guest.port}: {'; '.join(left)}"


@spec(
    "CA-01",
    "An IPv4 address keeps its label on the way to a bridge; one that starts with the interface's name follows it.",
    capability=Capability.BRIDGE,
    systems=(LINUX,),
)
def test_labels(netdev: DriverUnderTest, net: LinuxSandbox) -> None:
    guest = net.guest("a", *NEIGHBOURS)
    net.ip(
        f"addr add 192.0.2.1/24 dev {guest.port} label {guest.port}:1",
        f"addr add 192.0.2.7/24 dev {guest.port}",
        f"addr add 192.0.2.3/24 dev {guest.port} label {guest.port}:dhcp",
    )
    netdev.ensure_bridge("br0", guest.port)
    talks(net, guest, "192.0.2.1", "192.0.2.7", "192.0.2.3", what="an address with a label")
    labels = said(net.look.addresses("br0", 4), "label")
    assert labels == {"192.0.2.1": "br0:1", "192.0.2.7": "br0", "192.0.2.3": "br0:dhcp"}, f"the labels are {labels}"


@spec(
    "CA-02",
    "IPv4 and IPv6 addresses keep their finite lifetimes on the way to a bridge, and endless ones stay endless.",
    capability=(Capability.BRIDGE, Capability.IPV6),
    systems=(LINUX,),
)
def test_lifetimes(netdev: DriverUnderTest, net: LinuxSandbox) -> None:
    guest = net.guest("a", *NEIGHBOURS)
    life = f"valid_lft {_HOUR} preferred_lft {_HALF}"
    net.ip(
        f"addr add 192.0.2.1/24 dev {guest.port}",
        f"addr add 192.0.2.7/24 dev {guest.port} {life}",
        f"addr add 2001:db8::1/64 dev {guest.port} {life} nodad",
    )
    netdev.ensure_bridge("br0", guest.port)
    talks(net, guest, "192.0.2.1", "192.0.2.7", "2001:db8::1", what="an address with a lifetime")
    found = net.look.addresses("br0", 4) + net.look.addresses("br0", 6)
    limited(found, "192.0.2.7", "2001:db8::1")
    assert said(found, "dynamic")["192.0.2.1"] is None, "the endless address has come to a lifetime"


@spec(
    "CA-03",
    "Addresses without a route to their subnet (noprefixroute) come to none on the way to a bridge.",
    capability=(Capability.BRIDGE, Capability.IPV6),
    systems=(LINUX,),
)
def test_no_prefix_route(netdev: DriverUnderTest, net: LinuxSandbox) -> None:
    guest = carrying(net, "198.51.100.1/24")
    net.ip(
        f"addr add 192.0.2.1/24 dev {guest.port} noprefixroute",
        f"addr add 2001:db8::1/64 dev {guest.port} noprefixroute nodad",
        f"route add 192.0.2.2/32 dev {guest.port}",
        f"route add 2001:db8::2/128 dev {guest.port}",
    )
    netdev.ensure_bridge("br0", guest.port)
    talks(net, guest, "192.0.2.1", "2001:db8::1", "198.51.100.1", what="an address without a route to its subnet")
    subnets = [one["dst"] for family in (4, 6) for one in net.look.routes_through("br0", family)]
    added = [one for one in subnets if one in ("192.0.2.0/24", "2001:db8::/64")]
    assert not added, f"there are routes now that were not there before: {', '.join(added)}"


@spec(
    "CA-04",
    "IPv4 routes keep metric, table, preferred source, on-link flag and MTU on the way to a bridge, and their order.",
    capability=Capability.BRIDGE,
    systems=(LINUX,),
)
def test_route_attributes(netdev: DriverUnderTest, net: LinuxSandbox) -> None:
    guest = carrying(net, "192.0.2.1/24", "192.0.2.7/24")
    guest.ip("addr add 203.0.113.9/32 dev eth0", "addr add 198.18.0.9/32 dev eth0", "addr add 10.9.9.9/32 dev eth0")
    through = f"dev {guest.port}"
    net.ip(
        f"route add default via 192.0.2.2 {through} metric 100",
        f"route add default via 192.0.2.254 {through} metric 200",
        f"route add default via 192.0.2.2 {through} table 100",
        f"route add 203.0.113.0/24 via 192.0.2.2 {through} src 192.0.2.7 mtu 1400 proto static",
        f"route add 198.18.0.0/24 via 10.9.9.9 {through} onlink",
        f"route add 198.19.0.0/24 {through} scope link table 7 metric 5",
    )
    before = carried(net, guest.port, 4)
    netdev.ensure_bridge("br0", guest.port)
    net.reaches(net, "192.0.2.1", guest, "198.18.0.9", what="an on-link route that went over")
    net.reaches(net, "192.0.2.1", guest, "10.9.9.9", what="the default route with the lower metric")
    seen = net.source_seen(guest, "203.0.113.9")
    assert seen == "192.0.2.7", f"a route has lost its preferred source: the guest sees {seen}"
    went_over(net, guest, 4, before)


@spec(
    "CA-05",
    "IPv6 routes keep metric, table, preferred source and MTU on the way to a bridge.",
    capability=(Capability.BRIDGE, Capability.IPV6),
    systems=(LINUX,),
)
def test_ipv6_route_attributes(netdev: DriverUnderTest, net: LinuxSandbox) -> None:
    guest = carrying(net, "2001:db8::1/64", "2001:db8::7/64")
    guest.add_address("eth0", "2001:db8:1::9/128", "2001:db8:2::9/128")
    through = f"dev {guest.port}"
    net.ip(
        f"route add 2001:db8:1::/64 via fe80::2 {through} src 2001:db8::1 mtu 1400 metric 77",
        f"route add default via fe80::2 {through} metric 100",
        f"route add default via fe80::9 {through} metric 200",
        f"route add default via fe80::2 {through} table 100",
        f"route add 2001:db8:3::/64 via 2001:db8::2 {through} proto static",
    )
    before = carried(net, guest.port, 6)
    netdev.ensure_bridge("br0", guest.port)
    net.reaches(net, "2001:db8::7", guest, "2001:db8:2::9", what="the IPv6 default route with the lower metric")
    seen = net.source_seen(guest, "2001:db8:1::9")
    assert seen == "2001:db8::1", f"an IPv6 route has lost its preferred source: the guest sees {seen}"
    went_over(net, guest, 6, before)


@spec(
    "CA-06",
    "A route with several next hops goes over with the next hop that an interface has in it; the others stay.",
    capability=Capability.BRIDGE,
    systems=(LINUX,),
)
def test_multipath(netdev: DriverUnderTest, net: LinuxSandbox) -> None:
    guest, other = carrying(net, "192.0.2.1/24"), net.guest("b", "198.51.100.9/24")
    net.add_address(other.port, "198.51.100.1/24")
    hops = (
        f"nexthop via 192.0.2.2 dev {guest.port} weight 3",
        f"nexthop via 198.51.100.9 dev {other.port} weight 5",
    )
    net.ip(f"route add 203.0.113.0/24 metric 9 {' '.join(hops)}")
    netdev.ensure_bridge("br0", guest.port)
    talks(net, guest, "192.0.2.1", what="the subnet of a next hop that went over")
    routes = [route for route in net.look.routes() if route["dst"] == "203.0.113.0/24"]
    seen = [
        (route.get("metric"), hop["gateway"], hop["dev"], hop["weight"])
        for route in routes
        for hop in route.get("nexthops", [])
    ]
    assert seen == [(9, "192.0.2.2", "br0", 3), (9, "198.51.100.9", other.port, 5)], f"the next hops are {seen}"


@spec(
    "CA-07",
    "Routes of other interfaces to the same destinations stay, with another metric, and in another table.",
    capability=Capability.BRIDGE,
    systems=(LINUX,),
)
def test_same_destinations(netdev: DriverUnderTest, net: LinuxSandbox) -> None:
    guest, other = carrying(net, "192.0.2.1/24"), net.guest("b", "198.51.100.9/24", "203.0.113.9/32")
    net.add_address(other.port, "198.51.100.1/24")
    net.ip(
        f"route add 203.0.113.0/24 via 192.0.2.2 dev {guest.port} metric 20",
        f"route add 203.0.113.0/24 via 198.51.100.9 dev {other.port} metric 10",
        f"route add default via 192.0.2.2 dev {guest.port}",
        f"route add default via 198.51.100.9 dev {other.port} table 100",
        f"route add 192.0.2.0/24 via 198.51.100.9 dev {other.port} metric 50",
    )
    before, others = carried(net, guest.port, 4), carried(net, other.port, 4)
    netdev.ensure_bridge("br0", guest.port)
    net.reaches(net, "198.51.100.1", other, "203.0.113.9", what="another interface's route with the lower metric")
    after = carried(net, other.port, 4)
    assert after == others, f"the routes of another interface were {'; '.join(others)}, and are {'; '.join(after)}"
    went_over(net, guest, 4, before)


@spec(
    "CA-08",
    "An interface with a route by a next-hop object is refused as Unsupported, and nothing changes.",
    level="full",
    capability=Capability.BRIDGE,
    systems=(LINUX,),
)
def test_next_hop_object(netdev: DriverUnderTest, net: LinuxSandbox) -> None:
    guest = carrying(net, "192.0.2.1/24", "192.0.2.7/24")
    guest.add_address("eth0", "203.0.113.9/32")
    net.ip(
        f"nexthop add id 5 via 192.0.2.2 dev {guest.port}",
        "route add 203.0.113.0/24 nhid 5",
    )
    with refused(net, Unsupported, "a join with a next-hop object"):
        netdev.ensure_bridge("br0", guest.port)
    net.reaches(net, "192.0.2.1", guest, "203.0.113.9", what="a route by a next-hop object")


@spec(
    "CA-09",
    "Other addresses keep label, lifetimes and noprefixroute when a gateway address becomes the first.",
    systems=(LINUX,),
)
def test_gateway_keeps_attributes(netdev: DriverUnderTest, net: LinuxSandbox) -> None:
    guest = foreign(net)
    netdev.ensure_gateway_address(guest.port, "192.0.2.1/24")
    kept(net, guest, first="192.0.2.1")


@spec(
    "CA-10",
    "Other addresses keep label, lifetimes and noprefixroute when the first of a subnet is deleted.",
    systems=(LINUX,),
)
def test_delete_keeps_attributes(netdev: DriverUnderTest, net: LinuxSandbox) -> None:
    guest = foreign(net, before="addr add 192.0.2.8/24 dev {port} broadcast +")
    netdev.delete_device_address(guest.port, "192.0.2.8/24")
    kept(net, guest, first="192.0.2.5")


def foreign(net: LinuxSandbox, before: str = "") -> LinuxGuest:
    """Make a guest whose port has addresses with all that somebody else can have set on them."""
    guest = net.guest("a", *NEIGHBOURS)
    net.ip(
        *([before.format(port=guest.port)] if before else []),
        f"addr add 192.0.2.5/24 dev {guest.port} label {guest.port}:5 broadcast +",
        f"addr add 192.0.2.6/24 dev {guest.port} valid_lft {_HOUR} preferred_lft {_HALF}",
        f"addr add 198.51.100.7/24 dev {guest.port} noprefixroute broadcast 198.51.100.0",
    )
    return guest


def kept(net: LinuxSandbox, guest: LinuxGuest, *, first: str) -> None:
    """Assert that what :func:`foreign` has set is there still."""
    talks(net, guest, first, "192.0.2.5", "192.0.2.6", what="an address that somebody else has added")
    infos = [info for info in net.look.addresses(guest.port, 4) if info["local"] != "192.0.2.1"]
    labels = said(infos, "label")
    expected = {"192.0.2.5": f"{guest.port}:5", "192.0.2.6": guest.port, "198.51.100.7": guest.port}
    assert labels == expected, f"the labels are {labels}"
    limited(infos, "192.0.2.6")
    routes = [route["dst"] for route in net.look.routes_through(guest.port)]
    assert "198.51.100.0/24" not in routes, "an address with noprefixroute has come to a route"
    broadcasts = said(infos, "broadcast")
    assert broadcasts == {"192.0.2.5": "192.0.2.255", "192.0.2.6": None, "198.51.100.7": "198.51.100.0"}, (
        f"the broadcast addresses are {broadcasts}"
    )


@spec(
    "CA-11",
    "Routes keep metric, table, preferred source and on-link flag when a gateway address becomes the first.",
    systems=(LINUX,),
)
def test_gateway_keeps_route_attributes(netdev: DriverUnderTest, net: LinuxSandbox) -> None:
    guest = carrying(net, "192.0.2.5/24", "192.0.2.6/24")
    guest.add_address("eth0", "203.0.113.9/32", "198.18.0.9/32")
    guest.ip("addr add 10.9.9.9/32 dev eth0")
    through = f"dev {guest.port}"
    net.ip(
        f"route add default via 192.0.2.2 {through} metric 100",
        f"route add default via 192.0.2.2 {through} table 100",
        f"route add 203.0.113.0/24 via 192.0.2.2 {through} src 192.0.2.6",
        f"route add 198.18.0.0/24 via 10.9.9.9 {through} onlink",
    )
    before = carried(net, guest.port, 4)
    netdev.ensure_gateway_address(guest.port, "192.0.2.1/24")
    seen = net.source_seen(guest, "203.0.113.9")
    assert seen == "192.0.2.6", f"a route has lost its preferred source: the guest sees {seen}"
    net.reaches(net, "192.0.2.1", guest, "198.18.0.9", what="an on-link route")
    after = carried(net, guest.port, 4)
    assert after == before, f"the routes were {'; '.join(before)}, and are {'; '.join(after)}"


@spec(
    "CA-12",
    "A device's description has each IPv4 address with its label and its lifetimes in seconds.",
    systems=(LINUX,),
)
def test_described(netdev: DriverUnderTest, net: LinuxSandbox) -> None:
    guest = foreign(net)
    talks(net, guest, "192.0.2.5", what="an address with a label")
    described = {str(one): one for one in netdev.device(guest.port).addresses if one.interface.version == 4}
    labels = {address: one.label for address, one in described.items()}
    expected = {"192.0.2.5/24": f"{guest.port}:5", "192.0.2.6/24": None, "198.51.100.7/24": None}
    assert labels == expected, f"the driver describes the labels {labels}"
    endless, limited_one = described["192.0.2.5/24"], described["192.0.2.6/24"]
    lives = (endless.valid_lifetime, endless.preferred_lifetime)
    assert lives == (None, None), f"the driver describes an endless address with the lifetimes {lives}"
    valid, preferred = limited_one.valid_lifetime, limited_one.preferred_lifetime
    assert valid is not None and _HALF < valid <= _HOUR, f"the driver describes the lifetime {valid}"
    assert preferred is not None and 0 < preferred <= _HALF, f"the driver describes the preferred lifetime {preferred}"


@spec(
    "CA-13",
    "An IPv6 route with several next hops goes over with the next hop that an interface has in it; the others stay.",
    capability=(Capability.BRIDGE, Capability.IPV6),
    systems=(LINUX,),
)
def test_ipv6_multipath(netdev: DriverUnderTest, net: LinuxSandbox) -> None:
    guest, other = carrying(net, "2001:db8::1/64"), net.guest("b", "2001:db8:e::9/64")
    net.add_address(other.port, "2001:db8:e::1/64")
    hops = (
        f"nexthop via 2001:db8::2 dev {guest.port} weight 3",
        f"nexthop via 2001:db8:e::9 dev {other.port} weight 5",
    )
    net.ip(f"route add 2001:db8:1::/64 metric 9 {' '.join(hops)}")
    netdev.ensure_bridge("br0", guest.port)
    talks(net, guest, "2001:db8::1", what="the subnet of a next hop that went over")
    routes = [route for route in net.look.routes(6) if route["dst"] == "2001:db8:1::/64"]
    seen = {
        (route.get("metric"), hop["gateway"], hop["dev"], hop["weight"])
        for route in routes
        for hop in route.get("nexthops", [])
    }
    expected = {(9, "2001:db8::2", "br0", 3), (9, "2001:db8:e::9", other.port, 5)}
    assert seen == expected, f"the IPv6 next hops are {sorted(seen)}"
