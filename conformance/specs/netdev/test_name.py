"""Names: what a device may be called, and that everything else is refused before anything happens."""

from __future__ import annotations

import os
from typing import Any

from conformance.harness import DriverUnderTest
from conformance.spec import spec
from conformance.topology import frames
from conformance.topology.sandbox import Sandbox
from refnet.errors import InvalidName
from refnet.netdev.driver import Capability

#: Each with what a kernel, a shell or a packet filter would make of it.
BAD_NAMES: tuple[Any, ...] = (
    "",
    "sixteen-chars-xx",
    "a" * 256,
    ".",
    "..",
    "all",
    "default",
    "a/b",
    "../up",
    "a b",
    "a:1",
    "a%d",
    "tap+",
    "tap*",
    "a\n",
    "a\x00b",
    "a\x07",
    "$(id)",
    "a;b",
    "a'b",
    "ünïcode",
    "日本",
    None,
    7,
    b"bytes",
    ["a"],
)


def calls_with(netdev: DriverUnderTest, name: Any, good: str) -> list[tuple[str, Any]]:
    """Return every call that takes a name, with ``name`` in each place where one goes."""
    return [
        ("device_exists", lambda: netdev.device_exists(name)),
        ("device", lambda: netdev.device(name)),
        ("delete_net_dev", lambda: netdev.delete_net_dev(name)),
        ("set_device_mtu", lambda: netdev.set_device_mtu(name, 1400)),
        ("set_device_macaddr", lambda: netdev.set_device_macaddr(name, "02:00:00:00:00:01")),
        ("set_device_enabled", lambda: netdev.set_device_enabled(name)),
        ("set_device_disabled", lambda: netdev.set_device_disabled(name)),
        ("add_device_address", lambda: netdev.add_device_address(name, "192.0.2.1/24")),
        ("delete_device_address", lambda: netdev.delete_device_address(name, "192.0.2.1/24")),
        ("ensure_gateway_address", lambda: netdev.ensure_gateway_address(name, "192.0.2.1/24")),
        ("create_bridge", lambda: netdev.create_bridge(name)),
        ("delete_bridge", lambda: netdev.delete_bridge(name)),
        ("add_bridge_port (bridge)", lambda: netdev.add_bridge_port(name, good)),
        ("add_bridge_port (port)", lambda: netdev.add_bridge_port("br0", name)),
        ("remove_bridge_port (bridge)", lambda: netdev.remove_bridge_port(name, good)),
        ("remove_bridge_port (port)", lambda: netdev.remove_bridge_port("br0", name)),
        ("bridge_ports", lambda: netdev.bridge_ports(name)),
        ("ensure_bridge (bridge)", lambda: netdev.ensure_bridge(name)),
        ("ensure_vlan (parent)", lambda: netdev.ensure_vlan(5, name)),
        ("ensure_vlan_bridge (bridge)", lambda: netdev.ensure_vlan_bridge(5, name, good)),
        ("create_tap_dev", lambda: netdev.create_tap_dev(name)),
        ("create_veth_pair (first)", lambda: netdev.create_veth_pair(name, "other0")),
        ("create_veth_pair (second)", lambda: netdev.create_veth_pair("other0", name)),
        # None is a value here: no interface, no name of one's own.
        *([("ensure_bridge (interface)", lambda: netdev.ensure_bridge("br0", name))] if name is not None else []),
        *([("ensure_vlan (device)", lambda: netdev.ensure_vlan(5, good, name))] if name is not None else []),
    ]


@spec(
    "NM-01",
    "A name that is not 1 to 15 of A-Z a-z 0-9 . _ -, or means something else to a kernel, is refused with InvalidName "
    "by every call, nothing changed.",
)
def test_bad_names(netdev: DriverUnderTest, net: Sandbox) -> None:
    good = net.guest("a").port
    with net.look.unchanged("calls with impossible names"):
        for name in BAD_NAMES:
            for what, call in calls_with(netdev, name, good):
                try:
                    call()
                except InvalidName:
                    pass
                else:
                    raise AssertionError(f"{what} has taken the name {name!r}")


@spec("NM-02", "A name of exactly 15 characters, and one of 1, can be used for a bridge.", capability=Capability.BRIDGE)
def test_longest_and_shortest(netdev: DriverUnderTest, net: Sandbox) -> None:
    for name in ("fifteen-chars.x", "b"):
        netdev.create_bridge(name)
        assert net.look.kind(name) == "bridge", f"there is no bridge {name}"
        assert netdev.device(name).name == name, f"device({name!r}) is called {netdev.device(name).name!r}"


@spec(
    "NM-03",
    "Names that look like options, settings or numbers ('-a', 'dev', 'a.b', '1') work like any other.",
    capability=Capability.BRIDGE,
)
def test_odd_names(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest = net.guest("g", "192.0.2.2/24")
    # An address of its own for each: the guest remembers the MAC address behind one.
    for number, name in enumerate(("-a", "--help", "a.b", "1", "dev", "_", "....")):
        address = f"192.0.2.{10 + number}"
        netdev.create_bridge(name)
        assert name in net.look.names(), f"there is no device {name}"
        netdev.add_bridge_port(name, guest.port)
        netdev.add_device_address(name, f"{address}/24")
        net.reaches(guest, "192.0.2.2", net, address, what=f"a bridge called {name}")
        assert netdev.bridge_ports(name) == (guest.port,), f"the ports of {name} are {netdev.bridge_ports(name)!r}"
        netdev.delete_bridge(name)
        assert name not in net.look.names(), f"{name} is still there"


@spec(
    "NM-04",
    "A name is taken whole: a device whose name only begins alike is another one.",
    capability=Capability.BRIDGE,
)
def test_similar_names(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_bridge("br1")
    netdev.create_bridge("br10")
    assert not netdev.device_exists("br"), "device_exists('br') is True; there are br1 and br10"
    netdev.delete_bridge("br1")
    assert net.look.names() >= {"br10"}, "br10 went away with br1"
    a, b = net.guest("a"), net.guest("b")
    for guest in (a, b):
        netdev.add_bridge_port("br10", guest.port)
    net.delivers(a, net.frame(a, frames.BROADCAST), b, what="a broadcast in br10")


@spec("NM-05", "A message about a bad name shows it so that it can do no harm in a terminal or a log.")
def test_messages_are_safe(netdev: DriverUnderTest, net: Sandbox) -> None:
    for name in ("a\nb", "\x1b[2Jx", "a" * 4000 + os.linesep):
        try:
            netdev.device_exists(name)
        except InvalidName as refusal:
            text = str(refusal)
        else:
            raise AssertionError(f"device_exists has taken the name {name!r}")
        assert "\n" not in text and "\x1b" not in text, f"the message carries control characters on: {text!r}"
