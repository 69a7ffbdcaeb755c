"""Bridges: which frames they carry where."""

from __future__ import annotations

from conformance.harness import DriverUnderTest
from conformance.spec import spec
from conformance.topology import frames
from conformance.topology.linux import Guest, Sandbox
from refnet.netdev.driver import Capability


def bridged(netdev: DriverUnderTest, net: Sandbox, bridge: str, *names: str) -> list[Guest]:
    """Make a bridge through the driver, with a guest on a port of its own for each name."""
    netdev.create_bridge(bridge)
    guests = [net.guest(name) for name in names]
    for guest in guests:
        netdev.add_bridge_port(bridge, guest.port)
    return guests


@spec("BR-01", "A bridge carries unicast frames between two ports in both directions.", capability=Capability.BRIDGE)
def test_unicast(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b = bridged(netdev, net, "br0", "a", "b")
    net.delivers(a, net.frame(a, b), b, what="unicast")
    net.delivers(b, net.frame(b, a), a, what="unicast back")


@spec(
    "BR-04",
    "A frame to a learned address leaves by that address's port only.",
    capability=Capability.BRIDGE,
)
def test_learned_unicast_leaves_by_one_port(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b, c = bridged(netdev, net, "br0", "a", "b", "c")
    net.delivers(b, net.frame(b, frames.BROADCAST), a, c, what="b makes itself known")
    fence = (a, net.frame(a, frames.BROADCAST))
    net.withholds(a, net.frame(a, b), c, fence=fence, witness=b, what="a frame to a learned address")
