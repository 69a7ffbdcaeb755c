"""Internal ports of Open vSwitch: devices of the host's own that the switch makes, such as a gateway's."""

from __future__ import annotations

import time

from conformance.harness import DriverUnderTest
from conformance.spec import spec
from conformance.specs.netdev.switched import BRIDGE, bridged, plug
from conformance.topology import packets
from conformance.topology.base import Guest
from conformance.topology.frames import Frame
from conformance.topology.proofs import Watch
from conformance.topology.sandbox import Sandbox
from refnet.netdev.model import Capability

OVS = Capability.OVS
#: Addresses of the host's, and the one that all guests have.
GATEWAY, OTHER, INSIDE = "192.0.2.1", "198.51.100.1", "192.0.2.2/24"
#: Bytes: an MTU above that of most, which Open vSwitch can carry everywhere.
LARGE = 2000
#: Of IP and ICMP, in bytes.
_HEADERS = 28
GUEST = INSIDE.partition("/")[0]
#: How often a guest pings, as ping(8) does: a frame can be lost on a busy host, and what these specs promise is a way.
_PINGS = 3
#: Seconds after which who gets no answer asks again, as every host does (RFC 1122, 2.3.2.1, has a second).
_ASKED_AGAIN = 1.0


def gateway(netdev: DriverUnderTest, net: Sandbox, dev: str, address: str, **words: object) -> str:
    """Make an internal port with an address, and return its MAC address."""
    mac = net.new_mac()
    netdev.create_ovs_vif_port(BRIDGE, dev, f"iface-{dev}", mac, interface_type="internal", **words)
    net.look.need(dev)
    netdev.add_device_address(dev, f"{address}/24")
    return mac


def answers(net: Sandbox, guest: Guest, *addresses: str, last: str) -> dict[str, set[str]]:
    """Return which MAC addresses a guest is told when it asks by ARP for each of these, up to one for the last of them.

    A host answers for all its addresses on each of its devices, and the bridge itself is one of them.
    """
    watch = Watch([guest])
    told: dict[str, set[str]] = {}

    def is_told(seen: list[bytes]) -> bool:
        for one in map(packets.parse, seen):
            if one.arp == packets.ARP_REPLY and one.source in addresses:
                told.setdefault(one.source, set()).add(one.sender_mac)
        return last in told.get(addresses[-1], ())

    deadline = time.monotonic() + net.arrival_limit
    while not is_told([]) and time.monotonic() < deadline:
        for address in addresses:
            guest.send(Frame(packets.arp(packets.ARP_REQUEST, guest.mac, GUEST, address), b""))
        watch.until(is_told, _ASKED_AGAIN)
    return told


def _pinged(net: Sandbox, guest: Guest, address: str, mac: str, size: int) -> list[int]:
    """Ping once, with so many bytes of IP; return how many each answer has."""
    token = net.new_token()
    request = packets.echo(GUEST, address, 77, token.ljust(size - _HEADERS, b"."))
    watch = Watch([guest])
    guest.send(Frame(packets.ether(guest.mac, mac, request), token))
    seen = watch.until(lambda seen: any(token in one for one in seen), net.arrival_limit)
    return [len(one) - 14 for one in seen if token in one]


def reached(net: Sandbox, guest: Guest, address: str, mac: str, *, size: int = 64, what: str) -> None:
    """Prove that a guest is told that an address is at a MAC address, and that a ping of so many bytes comes back."""
    told = answers(net, guest, address, last=mac)
    assert mac in told.get(address, ()), f"{what}: {guest.name} asks who has {address}, and is told {told}, not {mac}"
    found = next(filter(None, (_pinged(net, guest, address, mac, size) for _ in range(_PINGS))), [])
    # Where a switch listens to devices, the host's stack may hear the same ping by its own port, and answers it too.
    assert {*found} == {size}, f"{what}: {guest.name} pings {address} with {size} bytes, and gets back {found}"


def made(net: Sandbox, dev: str, mac: str, mtu: int) -> None:
    """Assert what a device of the switch is."""
    net.look.need(dev)
    assert net.look.up(dev), f"{dev} is down"
    assert net.look.mac(dev) == mac, f"{dev} has MAC address {net.look.mac(dev)}, not the {mac} asked for"
    assert net.look.mtu(dev) == mtu, f"{dev} has MTU {net.look.mtu(dev)}, not the {mtu} asked for"


@spec(
    "OV-30",
    "An internal port is a device of the host that the switch makes: it is up, has the MAC address and the MTU that "
    "were asked for, and guests on the bridge reach its address.",
    capability=OVS,
)
def test_gateway(netdev: DriverUnderTest, net: Sandbox) -> None:
    bridged(netdev, net)
    guest = net.guest("a", INSIDE)
    plug(netdev, guest)
    mac = gateway(netdev, net, "gw0", GATEWAY, mtu=1400)
    made(net, "gw0", mac, 1400)
    said = netdev.ovs_port("gw0")
    assert (said.interface_type, said.mtu) == ("internal", 1400), f"ovs_port says of gw0: {said!r}"
    reached(net, guest, GATEWAY, mac, size=1400, what="an internal port")
    gateway_again = {"interface_type": "internal", "mtu": 1400}
    netdev.create_ovs_vif_port(BRIDGE, "gw0", "iface-gw0", mac, **gateway_again)
    made(net, "gw0", mac, 1400)
    reached(net, guest, GATEWAY, mac, what="an internal port that was asked for again")


@spec("OV-31", "An internal port with a tag is reached from its own VLAN, and from no other.", capability=OVS)
def test_tagged_gateway(netdev: DriverUnderTest, net: Sandbox) -> None:
    bridged(netdev, net)
    five, six = net.guest("five", INSIDE), net.guest("six", INSIDE)
    plug(netdev, five, tag=5)
    plug(netdev, six, tag=6)
    mac = gateway(netdev, net, "gw5", GATEWAY, tag=5)
    reached(net, five, GATEWAY, mac, what="from the VLAN of the gateway")
    other = gateway(netdev, net, "gw6", OTHER, tag=6)
    told = answers(net, six, GATEWAY, OTHER, last=other)
    assert other in told.get(OTHER, ()), f"six asks who has {OTHER}, and is told {told}, not {other}"
    assert mac not in told.get(GATEWAY, ()), f"six asks who has {GATEWAY}, and the port of VLAN 5 answers: {told}"


@spec(
    "OV-32",
    "An internal port that is deleted takes its device and its addresses along, and the other ports go on.",
    capability=OVS,
)
def test_deleted_gateway(netdev: DriverUnderTest, net: Sandbox) -> None:
    bridged(netdev, net)
    guest = net.guest("a", INSIDE)
    plug(netdev, guest)
    mac = gateway(netdev, net, "gw0", GATEWAY)
    reached(net, guest, GATEWAY, mac, what="before the deletion")
    other = gateway(netdev, net, "gw1", OTHER)
    netdev.delete_ovs_vif_port(BRIDGE, "gw0")
    assert net.look.link("gw0") is None, "the device gw0 is still there, and its port was deleted"
    told = answers(net, guest, GATEWAY, OTHER, last=other)
    assert other in told.get(OTHER, ()), f"a asks who has {OTHER}, and is told {told}, not {other}"
    assert GATEWAY not in told, f"a asks who has {GATEWAY}, whose port was deleted, and is told {told}"


@spec(
    "OV-33",
    "An internal port keeps an MTU above the other ports', also when a port with a smaller one joins.",
    capability=OVS,
)
def test_gateway_mtu(netdev: DriverUnderTest, net: Sandbox) -> None:
    bridged(netdev, net)
    guest, small = net.guest("a", INSIDE, mtu=LARGE), net.guest("small", INSIDE)
    plug(netdev, guest, mtu=LARGE)
    mac = gateway(netdev, net, "gw0", GATEWAY, mtu=LARGE)
    reached(net, guest, GATEWAY, mac, size=LARGE, what="an internal port's large MTU")
    plug(netdev, small, mtu=1300)
    made(net, "gw0", mac, LARGE)
    reached(
        net,
        guest,
        GATEWAY,
        mac,
        size=LARGE,
        what="an internal port's large MTU, since a port with a small one is there",
    )


@spec(
    "OV-34",
    "A bridge's own device is up, with the MAC address and the MTU that were asked for; guests reach its address.",
    capability=OVS,
)
def test_bridge_device(netdev: DriverUnderTest, net: Sandbox) -> None:
    mac = net.new_mac()
    bridged(netdev, net, mac_address=mac, mtu=1400)
    made(net, BRIDGE, mac, 1400)
    netdev.add_device_address(BRIDGE, f"{GATEWAY}/24")
    guest = net.guest("a", INSIDE)
    plug(netdev, guest)
    reached(net, guest, GATEWAY, mac, size=1400, what="the bridge's own address")
    netdev.set_device_disabled(BRIDGE)
    new = net.new_mac()
    bridged(netdev, net, mac_address=new, mtu=1300)
    made(net, BRIDGE, new, 1300)
    reached(net, guest, GATEWAY, new, size=1300, what="the bridge's own address, with another MAC address")
