"""Hands off, and nothing left: devices that were not named, settings, descriptors, namespaces."""

from __future__ import annotations

import gc

from conformance.harness import DriverUnderTest
from conformance.oracles.state import difference
from conformance.spec import spec
from conformance.topology.sandbox import Sandbox
from refnet.errors import RefnetError
from refnet.netdev.driver import Capability

BRIDGE = Capability.BRIDGE


def descriptors(net: Sandbox) -> int:
    """Return how many descriptors this process has open."""
    gc.collect()
    return len(net.look.descriptors())


@spec("CL-01", "200 calls, refused ones among them, leave no descriptor open.", capability=BRIDGE)
def test_descriptors(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_bridge("br0")
    driver = netdev.driver

    def calls(count: int) -> None:
        for number in range(count // 4):
            driver.device_exists("br0")
            driver.ensure_bridge("br0")
            driver.set_device_enabled("br0")
            try:
                driver.device(f"nosuch{number}")
            except RefnetError:
                pass

    calls(40)
    before = descriptors(net)
    calls(200)
    after = descriptors(net)
    assert after <= before, f"200 calls have left {after - before} descriptors open"


@spec("CL-02", "20 drivers that were made, used and closed leave no descriptor open.", capability=BRIDGE)
def test_closed_drivers(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_bridge("br0")
    before = descriptors(net)
    for _ in range(20):
        with netdev.driver_class() as driver:
            assert driver.device_exists("br0"), "a new driver does not see br0"
    after = descriptors(net)
    assert after <= before, f"20 closed drivers have left {after - before} descriptors open"


@spec("CL-03", "A driver that was dropped without closing leaves no descriptor open.", level="full", capability=BRIDGE)
def test_dropped_drivers(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_bridge("br0")
    before = descriptors(net)
    for _ in range(20):
        assert netdev.driver_class().device_exists("br0"), "a new driver does not see br0"
    after = descriptors(net)
    assert after <= before, f"20 dropped drivers have left {after - before} descriptors open"


@spec("CL-04", "A closed driver works again at the next call.", capability=BRIDGE)
def test_close_and_go_on(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_bridge("br0")
    netdev.close()
    netdev.close()
    assert netdev.device_exists("br0"), "after close() the driver does not see br0"
    netdev.delete_bridge("br0")


@spec(
    "CL-05",
    "What no call has named is as it was: other bridges, addresses, routes, rules and settings.",
    capability=BRIDGE,
)
def test_bystanders(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest = net.guest("by", "192.0.2.2/24")
    net.plain_bridge("others0", guest.port)
    net.add_address("others0", "192.0.2.1/24")
    net.add_route("203.0.113.0/24", "192.0.2.2", "others0")
    mine = net.guest("mine")
    with net.other_rules():
        before = net.look.state()
        netdev.ensure_bridge("br0", mine.port)
        netdev.add_device_address("br0", "198.51.100.1/24")
        netdev.ensure_gateway_address("br0", "198.51.100.9/24")
        netdev.remove_bridge_port("br0", mine.port)
        netdev.delete_bridge("br0")
        changed = difference(before, net.look.state())
    assert not changed, f"a bridge's life has changed what it had nothing to do with: {'; '.join(changed)}"
    net.reaches(guest, "192.0.2.2", net, "192.0.2.1", what="the bystander")
    net.remove_plain("others0")


@spec(
    "CL-06",
    "A bridge's life switches nothing in the network stack: forwarding, filters and settings stay.",
    capability=BRIDGE,
)
def test_settings_stay(netdev: DriverUnderTest, net: Sandbox) -> None:
    before = net.look.state().sections["setting"]
    guest = net.guest("a")
    netdev.ensure_bridge("br0", guest.port)
    netdev.ensure_gateway_address("br0", "198.51.100.1/24")
    during = net.look.state().sections["setting"]
    changed = sorted(key for key in before if before[key] != during.get(key))
    assert not changed, f"settings of the whole stack have changed: {changed}"
