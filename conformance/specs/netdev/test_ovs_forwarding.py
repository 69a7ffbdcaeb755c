"""Bridges of Open vSwitch: who gets a frame, and who does not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from conformance.harness import DriverUnderTest
from conformance.spec import spec
from conformance.specs.netdev.switched import BRIDGE, bridged, carries, ceases, plug, plugged, resumes, withheld
from conformance.topology import frames
from conformance.topology.frame_streams import streaming
from conformance.topology.sandbox import Sandbox
from refnet.netdev.model import Capability

OVS = Capability.OVS
PORTS, THREADS = 200, 8
#: Bytes. The larger one is what Open vSwitch can carry everywhere.
SMALL, LARGE = 1300, 2000


@spec(
    "OV-20",
    "Two guests on a bridge reach each other by unicast, broadcast and multicast, byte for byte, from the moment that "
    "the calls return; no frame comes back to its sender.",
    capability=OVS,
)
def test_two_guests(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b = plugged(netdev, net, a={}, b={})
    carries(net, a, b, what="from a to b")
    carries(net, b, a, what="from b to a")
    carries(net, a, b, size=1500, what="frames of full size")
    back = net.frame(a, frames.BROADCAST)
    net.withholds(a, back, a, fence=(b, net.frame(b, a)), witness=b, what="a broadcast's way back")


@spec("OV-21", "A frame to an address that a guest has sent from leaves by that guest's port only.", capability=OVS)
def test_learned_unicast(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b, c = plugged(netdev, net, a={}, b={}, c={})
    net.delivers(b, net.frame(b, frames.BROADCAST), a, c, what="b's first frame")
    for _ in range(2):
        fence = (a, net.frame(a, frames.BROADCAST))
        net.withholds(a, net.frame(a, b), c, fence=fence, witness=b, what="a frame to a learned address")


@spec("OV-22", "Bridges of one switch that nobody has connected exchange no frames.", capability=OVS)
def test_two_bridges(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b = plugged(netdev, net, a={}, b={})
    c, d = plugged(netdev, net, "br-ext", c={}, d={})
    carries(net, c, d, what="in the second bridge")
    withheld(net, a, c, control=d, what="from the first bridge to the second")
    withheld(net, c, a, control=b, what="from the second bridge to the first")


@spec(
    "OV-23",
    "A tap that a program holds as a hypervisor does exchanges frames with the bridge's other ports.",
    capability=(OVS, Capability.TAP),
)
def test_held_tap(netdev: DriverUnderTest, net: Sandbox) -> None:
    (a,) = plugged(netdev, net, a={})
    netdev.create_tap_dev("tap0")
    holder = net.hold("tap0")
    netdev.create_ovs_vif_port(BRIDGE, "tap0", "iface-tap0", holder.mac)
    carries(net, holder, a, what="from the tap's holder to a")
    carries(net, a, holder, what="from a to the tap's holder")
    net.let_go()
    netdev.delete_ovs_vif_port(BRIDGE, "tap0")
    assert net.look.link("tap0") is None, "tap0 is still there"


@spec(
    "OV-24",
    "A port that is deleted gets no more frames from the moment that the call returns, its device stays where that was "
    "asked for, and the traffic of others loses no frame.",
    capability=OVS,
)
def test_deleted_port(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b, c, d, e = plugged(netdev, net, a={}, b={}, c={}, d={}, e={})
    carries(net, d, c, e, what="before the deletion")
    with streaming(net, (a, b), (b, a), what="the others, while a port is deleted"):
        netdev.delete_ovs_vif_port(BRIDGE, c.port, delete_dev=False)
        net.look.need(c.port)
        with net.attached(c) as behind:
            what = "to the guest whose port was deleted"
            withheld(net, d, c, control=behind, through=(d, e), what=what)
    ports = netdev.ovs_ports(BRIDGE)
    assert tuple(ports) == (a.port, b.port, d.port, e.port), f"ovs_ports says {ports!r} when {c.port} has been deleted"
    plug(netdev, c)
    carries(net, d, c, what="to a port that was deleted and made again")
    netdev.delete_ovs_vif_port(BRIDGE, c.port)
    assert net.look.link(c.port) is None, f"the device {c.port} is still there, and was to be deleted"


# -- fail mode ----------------------------------------------------------------------------------------


@spec(
    "OV-25",
    "A bridge in fail mode secure lets no frame pass that no flow lets pass, and stays so when what it is not told of "
    "is ensured.",
    capability=OVS,
)
def test_secure(netdev: DriverUnderTest, net: Sandbox) -> None:
    bridged(netdev, net, fail_mode="secure")
    a, b = plugged(netdev, net, a={}, b={})  # ensures the bridge a second time
    c, d = plugged(netdev, net, "br-clock", c={}, d={})
    with net.attached(b) as behind:
        withheld(net, a, b, control=behind, through=(c, d), what="through a secure bridge")


@spec(
    "OV-26",
    "A bridge's fail mode changes while it lives: secure stops what would begin when the call returns, and comes to "
    "stop what went on; standalone comes to let all pass again.",
    capability=OVS,
)
def test_fail_mode_changes(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b = plugged(netdev, net, a={}, b={})
    c, d = plugged(netdev, net, "br-clock", c={}, d={})
    carries(net, a, b, what="in the default fail mode")
    with net.attached(b) as behind:
        for _ in range(2):
            net.delivers(a, net.frame(a, b), b, what="standalone")
            bridged(netdev, net, fail_mode="secure")
            withheld(net, a, b, control=behind, through=(c, d), what="after standalone, secure")
            ceases(net, a, b, control=behind, through=(c, d), what="after standalone, secure: what went on")
            bridged(netdev, net, fail_mode="standalone")
            resumes(net, a, b, what="after secure, standalone")
            carries(net, a, b, what="after secure, standalone")


# -- size ---------------------------------------------------------------------------------------------


@spec(
    "OV-27",
    "With 200 ports on one bridge, made by several threads at once, a frame goes from the first to the last, and each "
    "has a number of its own.",
    level="full",
    capability=OVS,
)
def test_many_ports(netdev: DriverUnderTest, net: Sandbox) -> None:
    first, last = net.guest("first"), net.guest("last")
    plain = [f"x{number}" for number in range(PORTS - 2)]
    net.plain_cables(*plain)
    bridged(netdev, net)
    plug(netdev, first)
    macs = [net.new_mac() for _ in plain]

    def create(port: str, mac: str) -> None:
        netdev.create_ovs_vif_port(BRIDGE, port, f"iface-{port}", mac)

    with ThreadPoolExecutor(THREADS) as threads:
        for _ in threads.map(create, plain, macs):
            pass  # raises what has been raised there
    plug(netdev, last)
    carries(net, first, last, what=f"over {PORTS} ports")
    listed, expected = netdev.ovs_ports(BRIDGE), sorted([first.port, *plain, last.port])
    assert list(listed) == expected, f"ovs_ports differs from what was made in {sorted({*listed} ^ {*expected})}"
    numbers = {netdev.ovs_port(port).ofport for port in expected}
    assert len(numbers) == PORTS, f"{PORTS} ports have {len(numbers)} different numbers"
    netdev.delete_ovs_bridge(BRIDGE)
    net.remove_plain(*plain)


@spec(
    "OV-28",
    "A port has the MTU that was asked for: a frame of that size arrives, also one above 1500, and a larger one does "
    "not.",
    capability=OVS,
)
def test_mtu(netdev: DriverUnderTest, net: Sandbox) -> None:
    bridged(netdev, net)
    a, b, c = (net.guest(name, mtu=LARGE) for name in ("a", "b", "c"))
    for mtu in (SMALL, LARGE):
        for guest in (a, b):
            plug(netdev, guest, mtu=mtu)
            assert net.look.mtu(guest.port) == mtu, f"{guest.port} has MTU {net.look.mtu(guest.port)}, not {mtu}"
        said = netdev.ovs_port(a.port).mtu
        assert said == mtu, f"ovs_port says that the MTU of {a.port} is {said}, not {mtu}"
        carries(net, a, b, size=mtu, what=f"a frame of the MTU {mtu}")
    plug(netdev, b, mtu=SMALL)
    plug(netdev, c, mtu=LARGE)
    net.withholds(
        a,
        net.frame(a, frames.BROADCAST, size=SMALL + 100),
        b,
        fence=(a, net.frame(a, b, size=SMALL)),
        witness=c,
        what=f"a frame of {SMALL + 100} bytes to a port with MTU {SMALL}",
    )
