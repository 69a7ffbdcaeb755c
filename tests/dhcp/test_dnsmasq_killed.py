"""Whoever manages a real dnsmasq is killed at any step, and the next call converges."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from dnsmasq_manager import BRIDGE, MAC, MAC2, dies_at, knows, network, pid, servers
from waiting import wait_until

from conformance.topology.linux import Sandbox
from refnet.dhcp import Host
from refnet.dhcp.dnsmasq import DnsmasqManager
from refnet.dhcp.dnsmasq.place import Place

BEFORE = (Host(MAC, "192.0.2.5", name="web"), Host("52:54:00:00:00:07", "192.0.2.7", name="seven"))
AFTER = (Host(MAC, "192.0.2.15", name="web"), Host(MAC2, "192.0.2.6", name="two"))


@pytest.mark.parametrize(
    "call",
    [
        lambda manager: manager.add_host(BRIDGE, Host(MAC2, "192.0.2.6", name="two")),
        lambda manager: manager.add_host(BRIDGE, Host(MAC, "192.0.2.15", name="web")),
        lambda manager: manager.remove_host(BRIDGE, MAC),
        lambda manager: manager.update(network(*AFTER)),
        lambda manager: manager.update(network(*AFTER, mtu=1400)),
        lambda manager: manager.start(network(*AFTER, dns=None)),
        lambda manager: manager.stop(BRIDGE),
    ],
    ids=["add", "replace", "remove", "reload", "restart", "other", "stop"],
)
def test_killed_at_any_step(
    call: Callable[[DnsmasqManager], object], manager: DnsmasqManager, place: Place, stack: Sandbox
) -> None:
    for step in range(1, 200):
        manager.start(network(*BEFORE))
        went_on = dies_at(step, manager.directory, lambda: call(DnsmasqManager(manager.directory, time_limit=60)))
        # Back, and forth again, by one who knows it from before and by one who reads what stands.
        for one, hosts in ((manager, BEFORE), (DnsmasqManager(manager.directory, time_limit=60), AFTER)):
            one.start(network(*hosts))
            assert one.network(BRIDGE) == network(*hosts), step
            for name, address in (("web", "192.0.2.5"), ("seven", "192.0.2.7"), ("two", "192.0.2.6")):
                expected = any(host.name == name and str(host.addresses[0]) == address for host in hosts)
                assert knows(name, address) is expected, (step, name, address)
            # One that is about to end, having started another, has its arguments as well.
            wait_until(lambda one=one: servers(place) == {pid(one)}, f"after step {step} there is one server")
            assert not place.changing.exists(), step
        if not went_on:
            break
    else:
        pytest.fail("it takes no end of steps")
    manager.stop(BRIDGE, forget=True)
    assert not place.path.exists()
