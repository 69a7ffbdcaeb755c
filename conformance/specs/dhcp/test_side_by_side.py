"""Several networks on one host: each server on its device, and several networks on one device."""

from __future__ import annotations

import functools

from conformance.harness import DhcpUnderTest, DriverUnderTest
from conformance.spec import spec
from conformance.specs.dhcp.seen import becomes
from conformance.specs.dhcp.told import HERE, MASK, POOL, ROUTER, SERVER, given, octets, tells
from conformance.topology.dhcp.segment import Segment
from conformance.topology.sandbox import Sandbox
from refnet.dhcp import Capability, Host, Range
from refnet.netdev.driver import Capability as DeviceCapability

DHCP = Capability.DHCP
THERE = "10.8.0.1"
OTHER_POOL = Range("10.8.0.100", "10.8.0.199")


def _leases(dhcp: DhcpUnderTest, device: str) -> int:
    """Return how many leases there are on a device."""
    return len(dhcp.leases(device))


@spec(
    "DH-28",
    "Of several networks on one host, each answers the clients that ask through its own device, and no others; one "
    "that is in both included.",
    capability=DHCP,
)
def test_two_networks(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    a, b = Segment(net), Segment(net, f"{THERE}/24", device="br-b")
    dhcp.start(a.network(ranges=POOL, gateway=HERE))
    dhcp.start(b.network(ranges=OTHER_POOL, gateway=THERE))
    mac = net.new_mac()
    here, there = a.client("a", mac=mac), b.client("b", mac=mac)
    clients = (
        (a.client("c"), POOL, HERE, "a client of the first network"),
        (b.client("d"), OTHER_POOL, THERE, "a client of the second network"),
        (here, POOL, HERE, "a client of both, in the first"),
        (there, OTHER_POOL, THERE, "a client of both, in the second"),
    )
    for client, pool, gateway, what in clients:
        ack = client.lease(parameters=(ROUTER,))
        given(ack, pool, what=what)
        tells(ack, {ROUTER: octets(gateway), SERVER: octets(gateway)}, what=what)
        servers = {message.server for message in client.messages}
        assert servers == {gateway}, f"{what} is answered by {sorted(servers)}"
    address = here.address
    renewed = here.renew().yiaddr
    assert renewed == address, f"a client of both renews {address} in the first, and gets {renewed}"
    for segment in (a, b):
        count = becomes(net, functools.partial(_leases, dhcp, segment.device), 2)
        assert count == 2, f"{segment.device} has two clients, and the leases are {dhcp.leases(segment.device)}"


@spec(
    "DH-29",
    "A client that comes from one network with the address that it had there is refused it in the other, and gets "
    "one of that.",
    capability=DHCP,
)
def test_moved(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    a, b = Segment(net), Segment(net, f"{THERE}/24", device="br-b")
    dhcp.start(a.network(ranges=POOL))
    dhcp.start(b.network(ranges=OTHER_POOL))
    mac = net.new_mac()
    address = a.client("a", mac=mac).lease().yiaddr
    moved = b.client("b", mac=mac)
    nak = moved.refused(address)
    assert nak.server == THERE, f"it is refused by {nak.server}"
    given(moved.lease(), OTHER_POOL, what="a client that has moved to the second network")


@spec(
    "DH-30",
    "Where the server has several networks on one device, a host gets its address of either with the mask of that, "
    "from the server's address in it, and by a gateway only of the network that this is in.",
    capability=DHCP,
)
def test_two_networks_of_a_device(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net, f"{HERE}/24", "10.7.0.1/20")
    first, second = s.client("a"), s.client("b")
    hosts = [Host(first.mac, "10.9.0.10"), Host(second.mac, "10.7.3.10")]
    dhcp.start(s.network(hosts=hosts, gateway=HERE))
    for client, address, mask, server, gateway in (
        (first, "10.9.0.10", "255.255.255.0", HERE, octets(HERE)),
        (second, "10.7.3.10", "255.255.240.0", "10.7.0.1", None),
    ):
        ack = client.lease(parameters=(MASK, ROUTER))
        assert ack.yiaddr == address, f"the host with {address} gets {ack.yiaddr}"
        tells(ack, {MASK: octets(mask), SERVER: octets(server), ROUTER: gateway}, what=f"the host with {address}")


@spec(
    "DH-32",
    "A client that asks through another device than the network's gets no answer, though the server has an address "
    "there.",
    capability=DHCP,
)
def test_other_device(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    a, b = Segment(net), Segment(net, f"{THERE}/24", device="br-b")
    dhcp.start(a.network(ranges=POOL))
    b.client("b").no_offer(a.client("a"), "a client behind another device")


@spec(
    "DH-33",
    "A client behind a tap is served as one behind a cable, by the network whose bridge the tap is a port of.",
    capability=DHCP,
    needs=(str(DeviceCapability.TAP),),
)
def test_tap(dhcp: DhcpUnderTest, netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b = Segment(net), Segment(net, f"{THERE}/24", device="br-b")
    dhcp.start(a.network(ranges=POOL))
    dhcp.start(b.network(ranges=OTHER_POOL))
    for segment, tap, pool in ((a, "tap-a", POOL), (b, "tap-b", OTHER_POOL)):
        netdev.create_tap_dev(tap)
        netdev.add_bridge_port(segment.device, tap)
        client = segment.tap_client(tap)
        address = given(client.lease(), pool, what=f"a client behind {tap}")
        renewed = client.renew().yiaddr
        assert renewed == address, f"a client behind {tap} renews {address}, and gets {renewed}"
