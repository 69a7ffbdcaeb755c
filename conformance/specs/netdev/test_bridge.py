"""Bridges: which frames they carry where, and what becomes of their ports."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.harness import Call, DriverUnderTest
from conformance.spec import spec
from conformance.topology import frames
from conformance.topology.base import Guest
from conformance.topology.sandbox import Sandbox
from refnet.errors import AlreadyEnslaved, AlreadyExists, InvalidArgument, NoSuchDevice, WrongKind
from refnet.netdev.driver import Capability, Kind

BRIDGE = Capability.BRIDGE


def bridged(netdev: DriverUnderTest, net: Sandbox, bridge: str, *names: str) -> list[Guest]:
    """Make a bridge through the driver, with a guest on a port of its own for each name."""
    netdev.create_bridge(bridge)
    guests = [net.guest(name) for name in names]
    for guest in guests:
        netdev.add_bridge_port(bridge, guest.port)
    return guests


# -- forwarding ---------------------------------------------------------------------------------------


@spec("BR-01", "A bridge carries unicast frames between two ports in both directions.", capability=BRIDGE)
def test_unicast(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b = bridged(netdev, net, "br0", "a", "b")
    net.delivers(a, net.frame(a, b), b, what="unicast")
    net.delivers(b, net.frame(b, a), a, what="unicast back")


@spec("BR-02", "A frame to an address that was not learned reaches every other port.", capability=BRIDGE)
def test_unknown_unicast_is_flooded(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b, c = bridged(netdev, net, "br0", "a", "b", "c")
    net.delivers(a, net.frame(a, net.new_mac()), b, c, what="unknown unicast")


@spec(
    "BR-03",
    "Broadcast and unregistered multicast reach every other port once, and the sender gets no copy.",
    capability=BRIDGE,
)
def test_broadcast_and_multicast(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b, c = bridged(netdev, net, "br0", "a", "b", "c")
    for destination in (frames.BROADCAST, frames.UNREGISTERED_GROUP):
        net.delivers(a, net.frame(a, destination), b, c, what=f"a frame to {destination}")
    fence = (b, net.frame(b, frames.BROADCAST))
    net.withholds(a, net.frame(a, frames.BROADCAST), a, fence=fence, witness=b, what="a broadcast's way back")


@spec("BR-04", "A frame to a learned address leaves by that address's port only.", capability=BRIDGE)
def test_learned_unicast_leaves_by_one_port(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b, c = bridged(netdev, net, "br0", "a", "b", "c")
    net.delivers(b, net.frame(b, frames.BROADCAST), a, c, what="b makes itself known")
    fence = (a, net.frame(a, frames.BROADCAST))
    net.withholds(a, net.frame(a, b), c, fence=fence, witness=b, what="a frame to a learned address")


@spec("BR-05", "When an address moves to another port, the next frame to it follows.", capability=BRIDGE)
def test_address_moves(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b, c = bridged(netdev, net, "br0", "a", "b", "c")
    roaming = net.new_mac()
    net.delivers(b, net.frame(b, frames.BROADCAST, source=roaming), a, c, what="the address is at b")
    net.delivers(c, net.frame(c, frames.BROADCAST, source=roaming), a, b, what="the address is at c")
    net.delivers(a, net.frame(a, roaming), c, what="a frame to the address that has moved")
    fence = (a, net.frame(a, frames.BROADCAST))
    net.withholds(a, net.frame(a, roaming), b, fence=fence, witness=c, what="a frame to the address that has moved")


@spec("BR-06", "Ports of two bridges never exchange frames, of whatever kind.", capability=BRIDGE)
def test_two_bridges_are_apart(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b = bridged(netdev, net, "br0", "a", "b")
    c, d = bridged(netdev, net, "br1", "c", "d")
    for destination in (c.mac, frames.BROADCAST, frames.UNREGISTERED_GROUP):
        fence = (d, net.frame(d, frames.BROADCAST))
        leak = net.frame(a, destination)
        net.withholds(a, leak, c, fence=fence, witness=b, what=f"a frame to {destination} in another bridge")


@spec("BR-07", "A bridge carries any frame byte for byte: unknown types, and tagged ones.", capability=BRIDGE)
def test_frames_stay_as_they_are(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b = bridged(netdev, net, "br0", "a", "b")
    for ethertype in (0x88B5, 0x9000, 0xFFFF):
        net.delivers(a, net.frame(a, b, ethertype=ethertype), b, what=f"a frame of type 0x{ethertype:04x}")
    net.delivers(a, net.frame(a, b, vlan=100), b, what="a tagged frame")
    net.delivers(a, net.frame(a, b, size=1500), b, what="a frame of full size")


@spec(
    "BR-08",
    "A frame to the reserved group 01:80:c2:00:00:03 is not forwarded.",
    level="full",
    capability=BRIDGE,
)
def test_reserved_group_stays(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b = bridged(netdev, net, "br0", "a", "b")
    fence = (a, net.frame(a, frames.BROADCAST))
    net.withholds(a, net.frame(a, frames.RESERVED_GROUP), b, fence=fence, what="a frame to a reserved group")


@spec("BR-09", "A new bridge is up and answers at its own MAC address.", capability=BRIDGE)
def test_local_delivery(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_bridge("br0")
    assert net.look.up("br0"), "the new bridge br0 is down"
    guest = net.guest("a", "192.0.2.2/24")
    netdev.add_bridge_port("br0", guest.port)
    netdev.add_device_address("br0", "192.0.2.1/24")
    net.reaches(guest, "192.0.2.2", net, "192.0.2.1", what="the bridge's own address")


# -- ports --------------------------------------------------------------------------------------------


@spec(
    "BR-10",
    "A port that is removed exchanges no more frames, and does again when it is added again.",
    capability=BRIDGE,
)
def test_remove_and_add_again(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b, c = bridged(netdev, net, "br0", "a", "b", "c")
    netdev.remove_bridge_port("br0", c.port)
    assert net.look.master(c.port) is None, f"{c.port} is still a port of {net.look.master(c.port)}"
    # c is looking, as its own frames show that come back from the host's end of the cable.
    with net.attached(c) as behind:
        fence = (behind, net.frame(behind, c))
        net.withholds(a, net.frame(a, frames.BROADCAST), c, fence=fence, witness=b, what="a frame to a removed port")
    netdev.add_bridge_port("br0", c.port)
    net.delivers(a, net.frame(a, frames.BROADCAST), b, c, what="a frame to a port that was added again")


@spec("BR-11", "Adding a port that is a port already changes and writes nothing.", capability=BRIDGE)
def test_add_port_twice(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b = bridged(netdev, net, "br0", "a", "b")
    with net.look.unwritten("add_bridge_port of a port that is in the bridge"):
        netdev.add_bridge_port("br0", a.port)
    net.delivers(a, net.frame(a, b), b, what="unicast")


@spec(
    "BR-12",
    "A port of another bridge is refused with AlreadyEnslaved, which names that bridge; the port's traffic goes on.",
    capability=BRIDGE,
)
def test_port_of_another_bridge(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b = bridged(netdev, net, "br0", "a", "b")
    netdev.create_bridge("br1")
    with net.look.unchanged("a port of another bridge"):
        try:
            netdev.add_bridge_port("br1", a.port)
        except AlreadyEnslaved as refusal:
            master = refusal.master
        else:
            raise AssertionError("the port was taken from br0 without being asked to")
    assert master == "br0", f"AlreadyEnslaved names {master!r} as the bridge that has the port, not br0"
    net.delivers(a, net.frame(a, b), b, what="unicast in the first bridge")


@spec("BR-13", "With move=True a port goes over to the other bridge, and its frames with it.", capability=BRIDGE)
def test_move(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b = bridged(netdev, net, "br0", "a", "b")
    (c,) = bridged(netdev, net, "br1", "c")
    netdev.add_bridge_port("br1", a.port, move=True)
    assert net.look.master(a.port) == "br1", f"{a.port} was to move to br1 and is in {net.look.master(a.port)}"
    net.delivers(a, net.frame(a, frames.BROADCAST), c, what="a broadcast in the new bridge")
    d = net.guest("d")
    netdev.add_bridge_port("br0", d.port)
    fence = (d, net.frame(d, frames.BROADCAST))
    net.withholds(a, net.frame(a, frames.BROADCAST), b, fence=fence, witness=c, what="a broadcast in the old bridge")


@spec("BR-14", "64 ports are all listed, and all get a broadcast.", level="full", capability=BRIDGE)
def test_many_ports(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_bridge("br0")
    a, b = net.guest("a"), net.guest("b")
    plain = [f"x{number}" for number in range(62)]
    net.plain_cables(*plain)
    ports = [a.port, *plain, b.port]
    for port in ports:
        netdev.add_bridge_port("br0", port)
    listed = set(netdev.bridge_ports("br0"))
    assert listed == set(ports), f"bridge_ports differs from what was added in {sorted(listed ^ set(ports))}"
    assert net.look.ports("br0") == set(ports), "the kernel does not have all ports in br0"
    net.delivers(a, net.frame(a, frames.BROADCAST), b, what="a broadcast over 64 ports")
    net.remove_plain(*plain)


@spec(
    "BR-15",
    "Removing a port that is in another bridge, in none, or not there changes nothing.",
    capability=BRIDGE,
)
def test_remove_what_is_no_port(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b = bridged(netdev, net, "br0", "a", "b")
    netdev.create_bridge("br1")
    free = net.guest("free")
    with net.look.unwritten("removing what is no port of this bridge"):
        netdev.remove_bridge_port("br1", a.port)
        netdev.remove_bridge_port("br1", free.port)
        netdev.remove_bridge_port("br1", "nosuch0")
        netdev.remove_bridge_port("nosuch1", a.port)
    net.delivers(a, net.frame(a, b), b, what="unicast in the bridge that was not meant")


@spec("BR-16", "bridge_ports gives the ports of this bridge and of no other, sorted.", capability=BRIDGE)
def test_bridge_ports(netdev: DriverUnderTest, net: Sandbox) -> None:
    b, a = bridged(netdev, net, "br0", "b", "a")
    bridged(netdev, net, "br1", "c")
    found = netdev.bridge_ports("br0")
    assert tuple(found) == (a.port, b.port), f"bridge_ports('br0') is {found!r}, not {(a.port, b.port)!r}"
    netdev.create_bridge("br2")
    found = netdev.bridge_ports("br2")
    assert tuple(found) == (), f"bridge_ports of a bridge without ports is {found!r}"


@spec("BR-17", "A port or a bridge that is not there is refused with NoSuchDevice, which names it.", capability=BRIDGE)
def test_missing_devices(netdev: DriverUnderTest, net: Sandbox) -> None:
    (a,) = bridged(netdev, net, "br0", "a")
    cases: tuple[tuple[Call, str], ...] = (
        (lambda: netdev.add_bridge_port("br0", "nosuch0"), "nosuch0"),
        (lambda: netdev.add_bridge_port("nosuch1", a.port), "nosuch1"),
        (lambda: netdev.bridge_ports("nosuch2"), "nosuch2"),
        (lambda: netdev.ensure_bridge("br0", "nosuch3"), "nosuch3"),
        (lambda: netdev.ensure_bridge("br9", "nosuch4"), "nosuch4"),
    )
    for call, missing in cases:
        with net.look.unchanged(f"a call that needs {missing}"):
            try:
                call()
            except NoSuchDevice as refusal:
                named = refusal.device
            else:
                raise AssertionError(f"{missing} is not there, and the call went through")
        assert named == missing, f"NoSuchDevice names {named!r}; what is missing is {missing!r}"


@spec(
    "BR-18",
    "What cannot be a port (the bridge itself, another bridge, the loopback) is refused with InvalidArgument.",
    capability=BRIDGE,
)
def test_what_cannot_be_a_port(netdev: DriverUnderTest, net: Sandbox) -> None:
    bridged(netdev, net, "br0", "a")
    netdev.create_bridge("br1")
    for port in ("br0", "br1", net.loopback):
        for call in (netdev.add_bridge_port, netdev.ensure_bridge):
            with (
                net.look.unchanged(f"{port} as a port of br0"),
                pytest.raises(InvalidArgument),
            ):
                call("br0", port)


# -- life ---------------------------------------------------------------------------------------------


@spec("BR-20", "Creating a bridge that is there is refused with AlreadyExists, and it goes on.", capability=BRIDGE)
def test_create_twice(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b = bridged(netdev, net, "br0", "a", "b")
    with net.look.unchanged("creating a bridge that is there"):
        try:
            netdev.create_bridge("br0", mac_address="02:00:00:00:00:99", mtu=1400)
        except AlreadyExists:
            pass
        else:
            raise AssertionError("a bridge that is there was created again without a word")
    net.delivers(a, net.frame(a, b), b, what="unicast")


@spec(
    "BR-21",
    "A bridge call on a device of another kind is refused with WrongKind, and the device is as it was.",
    capability=BRIDGE,
)
def test_wrong_kind(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b = net.guest("a"), net.guest("b")
    cases: tuple[tuple[str, Call], ...] = (
        ("create_bridge", lambda: netdev.create_bridge(a.port)),
        ("ensure_bridge", lambda: netdev.ensure_bridge(a.port)),
        ("delete_bridge", lambda: netdev.delete_bridge(a.port)),
        ("bridge_ports", lambda: netdev.bridge_ports(a.port)),
        ("add_bridge_port", lambda: netdev.add_bridge_port(a.port, b.port)),
        ("remove_bridge_port", lambda: netdev.remove_bridge_port(a.port, b.port)),
    )
    for what, call in cases:
        with net.look.unchanged(f"{what} on a cable"):
            try:
                call()
            except WrongKind:
                pass
            else:
                raise AssertionError(f"{what} went through on a device that is no bridge")


@spec("BR-22", "Deleting a bridge leaves its ports there, free, and usable in another one.", capability=BRIDGE)
def test_delete_with_ports(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b = bridged(netdev, net, "br0", "a", "b")
    netdev.add_device_address("br0", "192.0.2.1/24")
    netdev.delete_bridge("br0")
    assert net.look.link("br0") is None, "br0 is still there"
    for port in (a.port, b.port):
        assert net.look.master(port) is None, f"{port} still has a master"
    netdev.create_bridge("br1")
    for port in (a.port, b.port):
        netdev.add_bridge_port("br1", port)
    net.delivers(a, net.frame(a, b), b, what="unicast in the new bridge")


@spec("BR-23", "Deleting a bridge that is not there is no error and writes nothing.", capability=BRIDGE)
def test_delete_twice(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_bridge("br0")
    netdev.delete_bridge("br0")
    assert net.look.link("br0") is None, "br0 is still there"
    with net.look.unwritten("deleting a bridge that is gone"):
        netdev.delete_bridge("br0")
        netdev.delete_bridge("never0")
        netdev.delete_net_dev("br0")


@spec("BR-24", "ensure_bridge makes a missing bridge, and called again changes and writes nothing.", capability=BRIDGE)
def test_ensure(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b = net.guest("a"), net.guest("b")
    netdev.ensure_bridge("br0", mac_address="02:00:00:00:00:42", mtu=1400)
    assert net.look.kind("br0") == "bridge", "ensure_bridge has made no bridge"
    netdev.ensure_bridge("br0", a.port)
    netdev.add_bridge_port("br0", b.port)
    with net.look.unwritten("ensure_bridge of what is there"):
        netdev.ensure_bridge("br0")
        netdev.ensure_bridge("br0", a.port, mac_address="02:00:00:00:00:42", mtu=1400)
    net.delivers(a, net.frame(a, b), b, what="unicast")


@spec(
    "BR-25",
    "ensure_bridge sets an existing bridge up, and sets the MAC address and MTU it is given.",
    capability=BRIDGE,
)
def test_ensure_reconciles(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_bridge("br0")
    netdev.set_device_disabled("br0")
    assert not net.look.up("br0"), "set_device_disabled has left br0 up"
    netdev.ensure_bridge("br0", mac_address="02:00:00:00:00:43", mtu=1300)
    link = net.look.need("br0")
    assert net.look.up("br0"), "ensure_bridge has left br0 down"
    assert link["address"] == "02:00:00:00:00:43", f"br0 has MAC address {link['address']}, not the one asked for"
    assert link["mtu"] == 1300, f"br0 has MTU {link['mtu']}, not 1300"


@spec("BR-26", "What is not asked for of a bridge keeps the kernel's default.", capability=BRIDGE)
def test_kernel_defaults(netdev: DriverUnderTest, net: Sandbox) -> None:
    net.plain_bridge("plain0")
    netdev.create_bridge("br0")
    netdev.ensure_bridge("br1")
    expected = net.look.bridge_options("plain0")
    for bridge in ("br0", "br1"):
        found = net.look.bridge_options(bridge)
        differing = sorted(key for key in expected if found.get(key) != expected[key])
        assert not differing, f"{bridge} differs from the kernel's default in {differing}"
    net.remove_plain("plain0")


@spec(
    "BR-27",
    "Spanning tree and multicast snooping are set as asked, on new and existing bridges.",
    capability=(BRIDGE, Capability.BRIDGE_STP, Capability.BRIDGE_MULTICAST_SNOOPING),
)
def test_switches(netdev: DriverUnderTest, net: Sandbox) -> None:
    as_asked(netdev, net, {"stp": True, "multicast_snooping": False})


@spec(
    "BR-30",
    "Forward delay and ageing time are set as asked, in seconds, on new and existing bridges.",
    capability=(BRIDGE, Capability.BRIDGE_FORWARD_DELAY, Capability.BRIDGE_AGEING_TIME),
)
def test_times(netdev: DriverUnderTest, net: Sandbox) -> None:
    as_asked(netdev, net, {"forward_delay": 4, "ageing_time": 20})


def as_asked(netdev: DriverUnderTest, net: Sandbox, wanted: dict[str, Any]) -> None:
    """Prove that a new bridge and one that is there get these options."""
    netdev.create_bridge("br0", **wanted)
    netdev.create_bridge("br1")
    netdev.ensure_bridge("br1", **wanted)
    for bridge in ("br0", "br1"):
        found = net.look.bridge_options(bridge)
        wrong = {key: found.get(key) for key, value in wanted.items() if found.get(key) != value}
        assert not wrong, f"{bridge} was asked for {wanted} and has {wrong}"
    with net.look.unwritten("ensure_bridge with the options that it has"):
        netdev.ensure_bridge("br1", **wanted)


@spec("BR-28", "A bridge option of the wrong type or range is refused before anything is made.")
def test_bad_options(netdev: DriverUnderTest, net: Sandbox) -> None:
    for options in (
        {"stp": "no"},
        {"forward_delay": -1},
        {"ageing_time": "20"},
        {"multicast_snooping": 0},
        {"mtu": "x"},
    ):
        for call in (netdev.create_bridge, netdev.ensure_bridge):
            with net.look.unchanged(f"a bridge with {options}"):
                try:
                    call("br0", **options)
                except InvalidArgument:
                    pass
                else:
                    raise AssertionError(f"a bridge with {options} was made")


@spec("BR-29", "device() describes a bridge and its ports as they are.", capability=BRIDGE)
def test_description(netdev: DriverUnderTest, net: Sandbox) -> None:
    (a,) = bridged(netdev, net, "br0", "a")
    found, link = netdev.device("br0"), net.look.need("br0")
    assert (found.name, found.kind) == ("br0", Kind.BRIDGE), f"device('br0') is {found!r}"
    assert (found.mac_address, found.mtu, found.up) == (link["address"], link["mtu"], True), (
        f"device('br0') is {found!r}"
    )
    port = netdev.device(a.port)
    assert port.master == "br0", f"device({a.port!r}).master is {port.master!r}, not 'br0'"
    netdev.set_device_disabled("br0")
    assert netdev.device("br0").up is False, "device('br0').up is True, and br0 is down"
