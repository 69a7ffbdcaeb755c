"""MTU, MAC address, and up and down: what every device has."""

from __future__ import annotations

import functools

import pytest

from conformance.harness import Call, DriverUnderTest
from conformance.spec import spec
from conformance.specs.netdev.test_bridge import bridged
from conformance.topology import frames
from conformance.topology.sandbox import Sandbox
from refnet.errors import InvalidArgument, NoSuchDevice
from refnet.netdev.driver import Capability

BRIDGE = Capability.BRIDGE
BAD_MACS = (
    "",
    "02:00:00:00:00",
    "02:00:00:00:00:0g",
    "02-00-00-00-00-01",
    "01:00:5e:00:00:01",
    frames.BROADCAST,
    None,
    2,
)
BAD_MTUS = (0, -1, 67, 65536, "1500", 1500.0, True, None)


# -- MTU ----------------------------------------------------------------------------------------------


@spec("MM-01", "A bridge passes a frame of its ports' MTU, and drops a larger one.", capability=BRIDGE)
def test_frame_of_mtu_size(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_bridge("br0")
    big, small = net.guest("big", mtu=3000), net.guest("small", mtu=3000)
    for guest in (big, small):
        netdev.add_bridge_port("br0", guest.port)
    netdev.set_device_mtu(small.port, 1400)
    net.delivers(big, net.frame(big, small, size=1400), small, what="a frame of exactly the MTU")
    fence = (big, net.frame(big, small, size=1400))
    # Ethernet's own 4 bytes for a tag are allowed on top.
    net.withholds(big, net.frame(big, small, size=1405), small, fence=fence, what="a frame larger than the MTU")


@spec("MM-02", "set_device_mtu sets the MTU of a device, and again to the same value is no error.", capability=BRIDGE)
def test_set_mtu(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_bridge("br0")
    for mtu in (1400, 1400, 9000, 1280):
        netdev.set_device_mtu("br0", mtu)
        found = net.look.mtu("br0")
        assert found == mtu, f"br0 was given MTU {mtu} and has {found}"
        assert netdev.device("br0").mtu == mtu, f"device('br0').mtu is {netdev.device('br0').mtu}, not {mtu}"


@spec("MM-03", "An MTU that is no whole number from 68 to 65535 is refused with InvalidArgument, nothing changed.")
def test_bad_mtu(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest = net.guest("a")
    for mtu in BAD_MTUS:
        with net.look.unchanged(f"MTU {mtu!r}"):
            try:
                netdev.set_device_mtu(guest.port, mtu)
            except InvalidArgument:
                pass
            else:
                raise AssertionError(f"MTU {mtu!r} was taken")


@spec(
    "MM-04",
    "A bridge that was given an MTU keeps it when a port with a smaller one joins, or gives it to the port.",
    capability=BRIDGE,
)
def test_mtu_stays(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_bridge("br0", mtu=4000)
    netdev.ensure_bridge("br1", mtu=4000)
    netdev.create_bridge("br2")
    netdev.set_device_mtu("br2", 4000)
    for number in range(3):
        guest = net.guest(f"g{number}", mtu=1400)
        netdev.add_bridge_port(f"br{number}", guest.port)
        found = net.look.mtu(f"br{number}")
        assert found == 4000, f"br{number} was given MTU 4000, and has {found} since a smaller port joined"
        port_mtu = net.look.mtu(guest.port)
        assert port_mtu in (1400, 4000), f"the port that joined had MTU 1400 and has {port_mtu}"


@spec(
    "MM-05",
    "An MTU that is not given leaves the kernel's, and ensure_bridge without one leaves what is set.",
    capability=BRIDGE,
)
def test_mtu_not_given(netdev: DriverUnderTest, net: Sandbox) -> None:
    net.plain_bridge("plain0")
    netdev.create_bridge("br0")
    default, found = net.look.mtu("plain0"), net.look.mtu("br0")
    net.remove_plain("plain0")
    assert found == default, f"a bridge without an MTU asked for has {found}; the kernel's own is {default}"
    netdev.set_device_mtu("br0", 1300)
    netdev.ensure_bridge("br0")
    found = net.look.mtu("br0")
    assert found == 1300, f"br0 had MTU 1300, and {found} after an ensure_bridge that said nothing of it"


# -- MAC address --------------------------------------------------------------------------------------


@spec("MM-10", "The MAC address that a bridge was given is the one that its frames come from.", capability=BRIDGE)
def test_mac_on_the_wire(netdev: DriverUnderTest, net: Sandbox) -> None:
    wanted = net.new_mac()
    netdev.create_bridge("br0", mac_address=wanted)
    guest = net.guest("a", "192.0.2.2/24")
    netdev.add_bridge_port("br0", guest.port)
    netdev.add_device_address("br0", "192.0.2.1/24")
    net.reaches(guest, "192.0.2.2", net, "192.0.2.1", what="the bridge's own address")
    seen = {data[6:12].hex(":") for data in guest.receive() if data[:6].hex(":") == guest.mac}
    assert seen == {wanted}, f"the bridge was given {wanted}, and frames came from {sorted(seen)}"


@spec("MM-11", "A bridge keeps its MAC address whatever ports join and leave.", capability=BRIDGE)
def test_mac_is_pinned(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_bridge("br0")
    netdev.ensure_bridge("br1")
    given = net.new_mac()
    netdev.create_bridge("br2", mac_address=given)
    born = {bridge: net.look.mac(bridge) for bridge in ("br0", "br1", "br2")}
    assert born["br2"] == given, f"br2 was given {given} and has {born['br2']}"
    for bridge, mac in born.items():
        # Lower than any random one: a bridge that is not pinned takes the lowest of its ports.
        guest = net.guest(f"g-{bridge}")
        net.set_mac(guest.port, f"00:00:00:00:00:{bridge[-1]}1")
        netdev.add_bridge_port(bridge, guest.port)
        found = net.look.mac(bridge)
        assert found == mac, f"{bridge} had MAC address {mac} and has {found} since a port joined"
        netdev.remove_bridge_port(bridge, guest.port)
        found = net.look.mac(bridge)
        assert found == mac, f"{bridge} had MAC address {mac} and has {found} since a port left"


@spec(
    "MM-12",
    "Bridges that were given no MAC address have different ones, unicast and locally administered.",
    capability=BRIDGE,
)
def test_macs_differ(netdev: DriverUnderTest, net: Sandbox) -> None:
    names = [f"br{number}" for number in range(8)]
    for number, name in enumerate(names):
        (netdev.create_bridge if number % 2 else netdev.ensure_bridge)(name)
    macs = [net.look.mac(name) for name in names]
    assert len(set(macs)) == len(macs), f"two of these bridges have the same MAC address: {sorted(macs)}"
    for mac in macs:
        assert not int(mac[:2], 16) & 1, f"{mac} is a group address"


@spec(
    "MM-13",
    "set_device_macaddr sets the MAC address, in whatever case it is written, also of a device that is up.",
    capability=BRIDGE,
)
def test_set_mac(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_bridge("br0")
    for mac in ("02:aa:bb:cc:dd:01", "02:AA:BB:CC:DD:02"):
        netdev.set_device_macaddr("br0", mac)
        found = net.look.mac("br0")
        assert found == mac.lower(), f"br0 was given MAC address {mac} and has {found}"
    assert net.look.up("br0"), "br0 is down since its MAC address was set"
    with net.look.unwritten("ensure_bridge with the MAC address in upper case"):
        netdev.ensure_bridge("br0", mac_address="02:AA:BB:CC:DD:02")


@spec("MM-14", "What is no unicast MAC address is refused with InvalidArgument, nothing changed.")
def test_bad_mac(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest = net.guest("a")
    for mac in BAD_MACS:
        calls: list[Call] = [functools.partial(netdev.set_device_macaddr, guest.port, mac)]
        if mac is not None:
            calls.append(functools.partial(netdev.create_bridge, "br0", mac_address=mac))
            calls.append(functools.partial(netdev.create_tap_dev, "tap0", mac))
        for call in calls:
            with net.look.unchanged(f"MAC address {mac!r}"):
                try:
                    call()
                except InvalidArgument:
                    pass
                else:
                    raise AssertionError(f"MAC address {mac!r} was taken")


# -- up and down --------------------------------------------------------------------------------------


@spec("MM-20", "A device that is disabled carries nothing, and does again when it is enabled.", capability=BRIDGE)
def test_down_and_up(netdev: DriverUnderTest, net: Sandbox) -> None:
    a, b, c = bridged(netdev, net, "br0", "a", "b", "c")
    netdev.set_device_disabled(c.port)
    assert not net.look.up(c.port), f"{c.port} is still up"
    netdev.set_device_enabled(c.port)
    assert net.look.up(c.port), f"{c.port} is still down"
    net.delivers(a, net.frame(a, frames.BROADCAST), b, c, what="a broadcast after down and up")
    netdev.set_device_disabled("br0")
    assert not net.look.up("br0"), "br0 is still up"
    netdev.set_device_enabled("br0")
    net.delivers(a, net.frame(a, frames.BROADCAST), b, c, what="a broadcast after the bridge was down and up")


@spec("MM-21", "Enabling what is up and disabling what is down is no error and changes nothing.", capability=BRIDGE)
def test_up_twice(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_bridge("br0")
    with net.look.unchanged("enabling a device that is up"):
        netdev.set_device_enabled("br0")
    netdev.set_device_disabled("br0")
    with net.look.unchanged("disabling a device that is down"):
        netdev.set_device_disabled("br0")


@spec("MM-22", "A setting of a device that is not there is refused with NoSuchDevice, which names it.")
def test_settings_of_nothing(netdev: DriverUnderTest, net: Sandbox) -> None:
    calls: tuple[Call, ...] = (
        lambda: netdev.set_device_mtu("nosuch0", 1400),
        lambda: netdev.set_device_macaddr("nosuch0", "02:00:00:00:00:01"),
        lambda: netdev.set_device_enabled("nosuch0"),
        lambda: netdev.set_device_disabled("nosuch0"),
        lambda: netdev.device("nosuch0"),
    )
    for call in calls:
        with net.look.unchanged("a setting of a device that is not there"), pytest.raises(NoSuchDevice) as refusal:
            call()
        assert refusal.value.device == "nosuch0", f"NoSuchDevice names {refusal.value.device!r}, not 'nosuch0'"
