"""Virtual cables: two devices, each the other's end."""

from __future__ import annotations

from conformance.harness import DriverUnderTest
from conformance.spec import spec
from conformance.specs.netdev.refused import refusal, refused
from conformance.topology.base import Guest
from conformance.topology.sandbox import Sandbox
from refnet.errors import InvalidArgument, Mismatch, WrongKind
from refnet.netdev.driver import Capability, Kind

VETH = Capability.VETH
BRIDGED = (Capability.VETH, Capability.BRIDGE)
ENDS = ("v0", "v1")


def joined(netdev: DriverUnderTest, net: Sandbox) -> tuple[Guest, Guest]:
    """Make a bridge with a guest on either end of the cable, which is there already."""
    guests = net.guest("a"), net.guest("b")
    for bridge, end, guest in zip(("br0", "br1"), ENDS, guests, strict=True):
        net.look.need(end)
        netdev.create_bridge(bridge)
        netdev.add_bridge_port(bridge, end)
        netdev.add_bridge_port(bridge, guest.port)
    return guests


def talk(net: Sandbox, a: Guest, b: Guest, what: str) -> None:
    """Prove that frames go through the cable in both directions."""
    net.delivers(a, net.frame(a, b, size=1500), b, what=f"{what}: a frame from v0 to v1")
    net.delivers(b, net.frame(b, a, size=1500), a, what=f"{what}: a frame from v1 to v0")


def as_asked(net: Sandbox, mtu: int) -> None:
    """See that both ends are up and have an MTU."""
    for end in ENDS:
        assert net.look.up(end), f"the end {end} is down"
        assert net.look.mtu(end) == mtu, f"the end {end} has MTU {net.look.mtu(end)}, not the {mtu} asked for"


# -- a new pair ---------------------------------------------------------------------------------------


@spec("VE-01", "What enters a pair at one end leaves it at the other, byte for byte, both ways.", capability=BRIDGED)
def test_frames_both_ways(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_veth_pair(*ENDS)
    a, b = joined(netdev, net)
    talk(net, a, b, "a new pair")
    net.delivers(a, net.frame(a, b, vlan=5), b, what="a tagged frame")


@spec("VE-02", "Both ends of a new pair are up, and have the MTU asked for.", capability=VETH)
def test_both_ends_as_asked(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_veth_pair(*ENDS, mtu=1400)
    as_asked(net, 1400)
    for end, other in (ENDS, ENDS[::-1]):
        said = netdev.device(end)
        assert said.peer == other, f"device() says that the other end of {end} is {said.peer}"
        assert said.kind is Kind.VETH, f"device() says that {end} is of kind {said.kind}"


@spec(
    "VE-03",
    "The ends of a pair have MAC addresses of their own, unlike each other and any other pair's.",
    capability=VETH,
)
def test_mac_addresses_differ(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_veth_pair(*ENDS)
    netdev.create_veth_pair("w0", "w1")
    macs = [net.look.mac(end) for end in (*ENDS, "w0", "w1")]
    assert len(set(macs)) == 4, f"of two pairs' four MAC addresses some are the same: {', '.join(macs)}"


@spec(
    "VE-04",
    "With either end of a pair the other is deleted, and deleting either again is no error and writes nothing.",
    capability=VETH,
)
def test_delete(netdev: DriverUnderTest, net: Sandbox) -> None:
    for end in ENDS:
        netdev.create_veth_pair(*ENDS)
        net.look.need(end)
        netdev.delete_net_dev(end)
        left = net.look.names() & set(ENDS)
        assert not left, f"after the deletion of {end} there is still {' and '.join(sorted(left))}"
        with net.look.unwritten("deleting both ends again"):
            netdev.delete_net_dev(ENDS[0])
            netdev.delete_net_dev(ENDS[1])


# -- adoption -----------------------------------------------------------------------------------------


@spec(
    "VE-05",
    "Called for a pair that is there as asked, create_veth_pair changes and writes nothing.",
    capability=BRIDGED,
)
def test_adopts_what_is_there(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_veth_pair(*ENDS, mtu=1500)
    a, b = joined(netdev, net)
    another = netdev.fresh()
    with net.look.unwritten("create_veth_pair of a pair that is there"):
        another.create_veth_pair(*ENDS)
        netdev.create_veth_pair(*ENDS, mtu=1500)
    another.close()
    talk(net, a, b, "an adopted pair")


@spec("VE-06", "A pair is adopted whichever of its ends is called the peer.", level="full", capability=VETH)
def test_adopts_the_other_way_round(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_veth_pair(*ENDS)
    net.look.need(ENDS[0])
    with net.look.unwritten("create_veth_pair with the ends exchanged"):
        netdev.create_veth_pair(*ENDS[::-1])


@spec(
    "VE-07",
    "Called for a pair that is there otherwise, create_veth_pair gives both ends the MTU asked for and sets both up.",
    capability=VETH,
)
def test_reconciles_what_is_there(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_veth_pair(*ENDS)
    for end in ENDS:
        netdev.set_device_disabled(end)
    netdev.create_veth_pair(*ENDS, mtu=1400)
    as_asked(net, 1400)
    netdev.set_device_mtu(ENDS[1], 1300)
    netdev.create_veth_pair(*ENDS, mtu=1400)
    as_asked(net, 1400)


# -- refusals -----------------------------------------------------------------------------------------


def mismatched(netdev: DriverUnderTest, net: Sandbox, dev: str, peer: str, *, actual: str) -> None:
    """Prove that a pair is refused because of what is there, which the error names."""
    what = f"create_veth_pair of {dev} and {peer}"
    with refused(net, Mismatch, what) as taken:
        netdev.create_veth_pair(dev, peer, mtu=1400)
    assert taken.names(actual), f"{what}: the error does not name the actual other end, {actual}: {taken.error}"


@spec(
    "VE-08",
    "A device whose other end is called otherwise is refused with Mismatch, which names that end, and the pair stays.",
    capability=VETH,
)
def test_first_name_has_another_end(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_veth_pair("v0", "other")
    mismatched(netdev, net, "v0", "v1", actual="other")


@spec(
    "VE-09",
    "A peer that is an end of another pair is refused with Mismatch, which names its other end, and the pair stays.",
    capability=VETH,
)
def test_second_name_has_another_end(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_veth_pair("other", "v1")
    mismatched(netdev, net, "v0", "v1", actual="other")


@spec(
    "VE-10",
    "Two ends of different pairs are refused with Mismatch, which names an actual other end, and both pairs stay.",
    capability=VETH,
)
def test_ends_of_two_pairs(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_veth_pair("v0", "other")
    netdev.create_veth_pair("another", "v1")
    mismatched(netdev, net, "v0", "v1", actual="other")


@spec(
    "VE-11",
    "A device whose other end is in another network stack is refused with Mismatch, which says so, and the pair stays.",
    level="full",
    capability=VETH,
)
def test_other_end_is_elsewhere(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_veth_pair(*ENDS)
    net.look.need(ENDS[1])
    net.move(ENDS[1], net.neighbour("elsewhere"))
    assert netdev.device(ENDS[0]).peer is None, f"v1 has left, and device() says that v0 leads to {ENDS[1]}"
    mismatched(netdev, net, *ENDS, actual="another")


@spec(
    "VE-12",
    "A name that a device of another kind has is refused with WrongKind: it stays as it is, and no other end is made.",
    capability=BRIDGED,
)
def test_wrong_kind(netdev: DriverUnderTest, net: Sandbox) -> None:
    net.foreign("bridge9", Kind.BRIDGE)
    for taken in ("bridge9", net.loopback):
        for ends in ((taken, "v1"), ("v0", taken)):
            with refused(net, WrongKind, f"create_veth_pair of {ends[0]} and {ends[1]}") as said:
                netdev.create_veth_pair(*ends, mtu=1400)
            assert said.error.device == taken, f"the error is about {said.error.device}, not about {taken}"


@spec("VE-13", "A bad name or MTU, and the same name twice, are refused with InvalidArgument before anything is made.")
def test_bad_arguments(netdev: DriverUnderTest, net: Sandbox) -> None:
    with net.look.unchanged("create_veth_pair with bad arguments"):
        with refusal(InvalidArgument, "create_veth_pair with both ends called v0"):
            netdev.create_veth_pair("v0", "v0")
        for bad in ("", "veth0123456789012", "veth%d", "v/0", "v 0", "v:0", ".", "..", "v*", None, 7):
            for ends in ((bad, "v1"), ("v0", bad)):
                with refusal(InvalidArgument, f"create_veth_pair of {ends[0]!r} and {ends[1]!r}"):
                    netdev.create_veth_pair(*ends)
        for mtu in (0, 67, 65536, -1, "1500", 1500.0, True):
            with refusal(InvalidArgument, f"create_veth_pair with MTU {mtu!r}"):
                netdev.create_veth_pair(*ENDS, mtu=mtu)
