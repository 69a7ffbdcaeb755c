"""An interface's way into a bridge: its addresses and routes go over, and traffic goes on."""

from __future__ import annotations

from conformance.harness import DriverUnderTest
from conformance.spec import spec
from conformance.specs.netdev.refused import refused
from conformance.topology.base import GUEST_DEVICE, Guest
from conformance.topology.sandbox import Sandbox
from refnet.errors import AlreadyEnslaved, NoSuchDevice, WrongKind
from refnet.netdev.driver import Capability

_IPV4 = ("192.0.2.1/24", "192.0.2.7/24", "192.0.2.3/24", "198.51.100.1/24")
_IPV6 = ("2001:db8::1/64", "2001:db8::7/64", "2001:db8:f::1/64")
#: The guest's own address by the first letters of its subnet.
_OWN = {
    "192.0.2.": "192.0.2.2",
    "198.51.100.": "198.51.100.2",
    "2001:db8:f:": "2001:db8:f::2",
    "2001:db8::": "2001:db8::2",
}
_BRIDGE_AND_IPV6 = (Capability.BRIDGE, Capability.IPV6)


#: A guest with these can talk with all addresses that these specs give to its port.
NEIGHBOURS = ("192.0.2.2/24", "198.51.100.2/24", "2001:db8::2/64", "2001:db8:f::2/64", "fe80::2/64")


def carrying(net: Sandbox, *addresses: str) -> Guest:
    """Make a guest whose port in the sandbox has these addresses."""
    guest = net.guest("a", *NEIGHBOURS)
    net.add_address(guest.port, *addresses)
    return guest


def talks(net: Sandbox, guest: Guest, *addresses: str, what: str) -> None:
    """Prove that the guest talks with the sandbox at each of the addresses, from its own in the same subnet."""
    own = {
        "192.0.2.": "192.0.2.2",
        "198.51.1": "198.51.100.2",
        "2001:db8:f": "2001:db8:f::2",
        "2001:db8::": "2001:db8::2",
    }
    for address in addresses:
        mine = next(mine for subnet, mine in own.items() if address.startswith(subnet))
        net.reaches(guest, mine, net, address.partition("/")[0], what=what)


def went_over(net: Sandbox, guest: Guest, bridge: str, family: int, before: list[str]) -> None:
    """Assert that a port's addresses are on the bridge, in their order, and no more on the port."""
    found, left = net.look.cidrs(bridge, family), net.look.cidrs(guest.port, family)
    assert found == before, f"{bridge} has the addresses {', '.join(found)}, and not {', '.join(before)}"
    assert not left, f"{guest.port} still has the addresses {', '.join(left)}"


@spec(
    "JO-01",
    "The IPv4 addresses of an interface that joins a bridge go over to it, in their order: guests reach each.",
    capability=Capability.BRIDGE,
)
def test_ipv4(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest = carrying(net, *_IPV4)
    before = net.look.cidrs(guest.port)
    talks(net, guest, *_IPV4, what="an address of the interface, before")
    netdev.ensure_bridge("br0", guest.port)
    for stack in (guest, net):
        stack.forget_neighbours()
    talks(net, guest, *_IPV4, what="an address that went over")
    seen = net.source_seen(guest, "192.0.2.2")
    assert seen == "192.0.2.1", f"the first address is no more the first: the guest sees {seen} as the sender"
    assert net.look.master(guest.port) == "br0", f"{guest.port} is no port of br0"
    went_over(net, guest, "br0", 4, before)
    for info in net.look.addresses("br0", 4):
        wanted = "192.0.2.255" if info["local"].startswith("192.") else "198.51.100.255"
        assert info.get("broadcast") == wanted, f"the broadcast address of {info['local']} is {info.get('broadcast')}"


@spec(
    "JO-02",
    "The global IPv6 addresses of an interface that joins a bridge go over to it: guests reach each.",
    capability=_BRIDGE_AND_IPV6,
)
def test_ipv6(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest = carrying(net, *_IPV6)
    talks(net, guest, *_IPV6, what="an IPv6 address of the interface, before")
    netdev.ensure_bridge("br0", guest.port)
    for stack in (guest, net):
        stack.forget_neighbours()
    talks(net, guest, *_IPV6, what="an IPv6 address that went over")
    assert not net.look.cidrs(guest.port, 6), f"{guest.port} still has {', '.join(net.look.cidrs(guest.port, 6))}"


@spec(
    "JO-03",
    "IPv6 addresses keep their order on the way to the bridge: guests see the same sender as before.",
    capability=_BRIDGE_AND_IPV6,
)
def test_ipv6_order(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest = carrying(net, *_IPV6)
    before, sender = net.look.cidrs(guest.port, 6), net.source_seen(guest, "2001:db8::2")
    netdev.ensure_bridge("br0", guest.port)
    for stack in (guest, net):
        stack.forget_neighbours()
    talks(net, guest, *_IPV6, what="an IPv6 address that went over")
    seen = net.source_seen(guest, "2001:db8::2")
    assert seen == sender, f"the guest saw {sender} as the sender, and now sees {seen}"
    went_over(net, guest, "br0", 6, before)


@spec("JO-04", "Link-local IPv6 addresses stay with the interface.", capability=_BRIDGE_AND_IPV6)
def test_link_local_stays(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest = carrying(net, "2001:db8::1/64", "fe80::77/64")
    netdev.ensure_bridge("br0", guest.port)
    talks(net, guest, "2001:db8::1", what="an IPv6 address that went over")
    on_port, on_bridge = net.look.link_local(guest.port), net.look.link_local("br0")
    assert "fe80::77" in on_port, f"the link-local address is no more on {guest.port}, which has {sorted(on_port)}"
    assert "fe80::77" not in on_bridge, f"the link-local address is on br0, which has {sorted(on_bridge)}"


@spec(
    "JO-05",
    "The default route and the static routes through an interface that joins a bridge go over to it.",
    capability=Capability.BRIDGE,
)
def test_routes(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest = carrying(net, "192.0.2.1/24")
    guest.add_address(GUEST_DEVICE, "203.0.113.9/32", "198.18.0.9/32")
    net.add_route("203.0.113.0/24", "192.0.2.2", guest.port)
    net.add_route("default", "192.0.2.2", guest.port)
    for when in ("before", "after the interface joined"):
        net.reaches(net, "192.0.2.1", guest, "203.0.113.9", what=f"a static route, {when}")
        net.reaches(net, "192.0.2.1", guest, "198.18.0.9", what=f"the default route, {when}")
        netdev.ensure_bridge("br0", guest.port)
    through = {route["dst"]: route.get("gateway") for route in net.look.routes_through("br0")}
    assert through == {"192.0.2.0/24": None, "203.0.113.0/24": "192.0.2.2", "default": "192.0.2.2"}, (
        f"the routes through br0 are {through}"
    )
    assert not net.look.routes_through(guest.port), f"there still are routes through {guest.port}"


@spec(
    "JO-06",
    "IPv6 routes through an interface that joins a bridge go over to it, also those by a link-local gateway.",
    capability=_BRIDGE_AND_IPV6,
)
def test_ipv6_routes(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest = carrying(net, "2001:db8::1/64")
    guest.add_address(GUEST_DEVICE, "2001:db8:1::9/128", "2001:db8:2::9/128", "2001:db8:3::9/128")
    net.add_route("2001:db8:1::/64", "2001:db8::2", guest.port)
    net.add_route("2001:db8:2::/64", "fe80::2", guest.port)
    net.add_route("default", "fe80::2", guest.port)
    for when in ("before", "after the interface joined"):
        net.reaches(net, "2001:db8::1", guest, "2001:db8:1::9", what=f"an IPv6 route by a global gateway, {when}")
        net.reaches(net, "2001:db8::1", guest, "2001:db8:2::9", what=f"an IPv6 route by a link-local gateway, {when}")
        net.reaches(net, "2001:db8::1", guest, "2001:db8:3::9", what=f"the IPv6 default route, {when}")
        netdev.ensure_bridge("br0", guest.port)
    left = [route["dst"] for route in net.look.routes_through(guest.port, 6)]
    assert not left, f"there still are IPv6 routes through {guest.port}: {', '.join(left)}"


@spec(
    "JO-07",
    "When an interface joins a bridge, the addresses and routes of other interfaces stay as they are.",
    capability=Capability.BRIDGE,
)
def test_others_stay(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest, other = carrying(net, "192.0.2.1/24"), net.guest("b", "198.51.100.9/24", "203.0.113.9/32")
    net.add_address(other.port, "198.51.100.1/24")
    net.add_route("203.0.113.0/24", "198.51.100.9", other.port)
    before = net.look.routes_through(other.port)
    netdev.ensure_bridge("br0", guest.port)
    net.reaches(net, "198.51.100.1", other, "198.51.100.9", what="the subnet of another interface")
    net.reaches(net, "198.51.100.1", other, "203.0.113.9", what="a route of another interface")
    after = net.look.routes_through(other.port)
    assert after == before, f"the routes of another interface were {before}, and are {after}"
    assert net.look.cidrs(other.port) == ["198.51.100.1/24"], f"{other.port} has {net.look.cidrs(other.port)}"


@spec(
    "JO-08",
    "Once an interface with addresses has joined, the same call changes and writes nothing.",
    capability=Capability.BRIDGE,
)
def test_again(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest = carrying(net, *_IPV4)
    net.add_route("default", "192.0.2.2", guest.port)
    netdev.ensure_bridge("br0", guest.port)
    with net.look.unwritten("the same call again"):
        netdev.ensure_bridge("br0", guest.port)
    talks(net, guest, *_IPV4, what="an address after the second call")


@spec(
    "JO-09",
    "An interface that is a port of another bridge is refused as AlreadyEnslaved, and it and all traffic stay.",
    capability=Capability.BRIDGE,
)
def test_not_stolen(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, c = net.guest("a"), net.guest("c")
    netdev.create_bridge("br1")
    netdev.add_bridge_port("br1", a.port)
    netdev.add_bridge_port("br1", c.port)
    net.add_address("br1", "192.0.2.1/24")
    with refused(net, AlreadyEnslaved, "a join of another bridge's port") as taken:
        netdev.ensure_bridge("br0", a.port)
    master = getattr(taken.error, "master", None)
    assert master == "br1", f"the refusal names {master} as the bridge that has the port, and not br1"
    net.delivers(a, net.frame(a, c), c, what="a frame through the bridge that has the interface")


@spec(
    "JO-10",
    "With move=True an interface leaves another bridge and joins this one: its frames go there, and no more here.",
    capability=Capability.BRIDGE,
)
def test_moved(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b, c = net.guest("a"), net.guest("b"), net.guest("c")
    netdev.create_bridge("br1")
    for port in (a.port, c.port):
        netdev.add_bridge_port("br1", port)
    netdev.ensure_bridge("br0", b.port)
    net.delivers(a, net.frame(a, c), c, what="a frame in the old bridge")
    netdev.ensure_bridge("br0", a.port, move=True)
    net.delivers(a, net.frame(a, b), b, what="a frame in the new bridge")
    broadcast = "ff:ff:ff:ff:ff:ff"
    d = net.guest("d")
    netdev.add_bridge_port("br1", d.port)
    net.withholds(
        a, net.frame(a, broadcast), c, fence=(d, net.frame(d, broadcast)), witness=b, what="the bridge that it has left"
    )


@spec(
    "JO-11",
    "A bridge that is made for an interface has its MAC address: guests see the same sender as before.",
    capability=Capability.BRIDGE,
)
def test_mac(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest = carrying(net, "192.0.2.1/24")
    own = bytes.fromhex(net.look.mac(guest.port).replace(":", ""))
    netdev.ensure_bridge("br0", guest.port)
    net.drain()
    talks(net, guest, "192.0.2.1", what="an address that went over")
    senders = {data[6:12] for data in guest.receive() if data[12:14] in (b"\x08\x00", b"\x08\x06")}
    assert senders == {own}, (
        f"the guest sees frames from {', '.join(one.hex(':') for one in senders)}, not {own.hex(':')}"
    )


@spec(
    "JO-12",
    "Interfaces without addresses simply join a bridge, which carries frames between them.",
    capability=Capability.BRIDGE,
)
def test_without_addresses(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b = net.guest("a"), net.guest("b")
    netdev.ensure_bridge("br0", a.port)
    netdev.ensure_bridge("br0", b.port)
    net.delivers(a, net.frame(a, b), b, what="between two interfaces that joined")
    assert net.look.ports("br0") == {a.port, b.port}, f"br0 has the ports {sorted(net.look.ports('br0'))}"


@spec("JO-13", "An interface that is down is set up when it joins a bridge.", capability=Capability.BRIDGE)
def test_down(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest = carrying(net, "192.0.2.1/24")
    netdev.set_device_disabled(guest.port)
    netdev.ensure_bridge("br0", guest.port)
    assert net.look.up(guest.port), f"{guest.port} has joined and is down"
    talks(net, guest, "192.0.2.1", what="an address of an interface that was down")


@spec(
    "JO-14",
    "A bridge that is there keeps its addresses, MAC address and ports; the interface's addresses come behind.",
    capability=Capability.BRIDGE,
)
def test_bridge_with_addresses(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest, other = carrying(net, "192.0.2.1/24", "192.0.2.7/24"), net.guest("b")
    netdev.create_bridge("br0", mac_address="02:00:00:00:00:0a")
    netdev.add_bridge_port("br0", other.port)
    net.add_address("br0", "198.51.100.1/24", "192.0.2.9/24")
    netdev.ensure_bridge("br0", guest.port)
    talks(net, guest, "198.51.100.1", "192.0.2.9", what="an address of the bridge's own")
    talks(net, guest, "192.0.2.1", "192.0.2.7", what="an address that went over")
    net.delivers(guest, net.frame(guest, other), other, what="to a port that was there")
    mac = net.look.mac("br0")
    assert mac == "02:00:00:00:00:0a", f"the bridge has come to another MAC address: {mac}"
    found = [one for one in net.look.cidrs("br0") if one.startswith("192.")]
    assert found == ["192.0.2.9/24", "192.0.2.1/24", "192.0.2.7/24"], f"the order on br0 is {', '.join(found)}"


@spec(
    "JO-15",
    "An interface that is not there is refused as NoSuchDevice, naming it, and no bridge is made.",
    capability=Capability.BRIDGE,
)
def test_missing_interface(netdev: DriverUnderTest, net: Sandbox) -> None:
    with refused(net, NoSuchDevice, "a join of what is not there") as taken:
        netdev.ensure_bridge("br0", "nosuch0")
    assert taken.error.device == "nosuch0", f"the refusal does not name the interface: {taken.error}"


@spec(
    "JO-16",
    "A join to a device that is no bridge is refused as WrongKind, and the interface stays as it is.",
    capability=Capability.BRIDGE,
)
def test_bridge_is_none(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest, other = carrying(net, "192.0.2.1/24"), net.guest("b")
    with refused(net, WrongKind, "a join to what is no bridge"):
        netdev.ensure_bridge(other.port, guest.port)
    talks(net, guest, "192.0.2.1", what="an interface whose join was refused")


@spec(
    "JO-17",
    "An interface that is a port of the bridge already keeps what it has: nothing goes over, nothing is written.",
    level="full",
    capability=Capability.BRIDGE,
)
def test_port_keeps_addresses(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b = net.guest("a"), net.guest("b")
    netdev.ensure_bridge("br0", a.port)
    netdev.ensure_bridge("br0", b.port)
    net.add_address(a.port, "192.0.2.1/24")
    with net.look.unwritten("a join of what has joined"):
        netdev.ensure_bridge("br0", a.port)
    assert net.look.cidrs("br0") == [], f"br0 has come to the addresses {', '.join(net.look.cidrs('br0'))}"
    net.delivers(a, net.frame(a, b), b, what="between two interfaces that joined")
