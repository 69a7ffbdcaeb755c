"""All or nothing: calls in which one request to the system fails, or at which the process is killed.

Each spec repeats its call with the first, the second, … request failing, until the call makes no request that could
still fail. What a request is, :mod:`conformance.faults` says.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from conformance import faults
from conformance.errors import SuiteError
from conformance.harness import DriverUnderTest, in_child
from conformance.oracles.base import kind_of, through
from conformance.oracles.state import difference
from conformance.spec import spec
from conformance.topology.base import Guest
from conformance.topology.sandbox import Sandbox
from refnet.errors import RefnetError
from refnet.netdev.driver import Capability

#: More requests than any call makes, by far.
_MOST_REQUESTS = 1000
_MAC = "02:00:00:00:00:0a"
_BRIDGE_AND_IPV6 = (Capability.BRIDGE, Capability.IPV6)
_VLAN_BRIDGE = (Capability.BRIDGE, Capability.VLAN)

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Scene:
    """A call, what it is about, and ``lay``, which brings these devices to where they were before any call."""

    what: str
    devices: tuple[str, ...]
    lay: Callable[[], None]
    call: Callable[[DriverUnderTest], object]
    #: What brings the call to its end after a kill; None: the same call.
    finish: Callable[[DriverUnderTest], object] | None = None


def fails_cleanly(netdev: DriverUnderTest, net: Sandbox, scene: Scene) -> None:
    """Prove that the call, whichever of its requests fails, raises with the host as before, or does all it has to.

    In the end it is carried out without a fault, by the same instance that has seen all these faults.
    """
    scene.lay()
    before, laid = net.look.state(), facts(net, scene)
    returned: list[tuple[int, Facts]] = []
    for at in _counting():
        refusal: RefnetError | None = None
        with faults.injected(at) as injection:
            try:
                scene.call(netdev)
            except RefnetError as error:
                refusal = error
        if not injection.hit:
            if refusal is not None:
                raise AssertionError(f"{scene.what} fails without a fault, after others with one: {refusal}")
            break
        if refusal is None:
            returned.append((at, facts(net, scene)))
            scene.lay()
            before = net.look.state()
            continue
        changed = difference(before, net.look.state())
        assert not changed, (
            f"request {at} of {scene.what} failed, and the host is not as before: {'; '.join(changed)} ({refusal})"
        )
    _proves_something(at, scene)
    done = facts(net, scene)
    assert done != laid, f"{scene.what} says nothing, and has done nothing"
    for number, found in returned:
        undone = _differing(found, done)
        assert not undone, f"request {number} of {scene.what} failed, the call said nothing, and left undone: {undone}"


def survives_kills(netdev: DriverUnderTest, net: Sandbox, scene: Scene) -> None:
    """Prove that the call, killed at any of its requests, is brought to its end by the same call of another instance.

    What that end is, a call shows that nobody disturbs.
    """
    scene.lay()
    laid = facts(net, scene)
    scene.call(netdev)
    done = facts(net, scene)
    assert done != laid, f"{scene.what} says nothing, and has done nothing"
    for at in _counting():
        scene.lay()
        status = in_child(lambda at=at: _killed(netdev, scene, at))  # type: ignore[misc]
        if status != -signal.SIGKILL:
            assert status == 0, f"{scene.what} fails in another process, with nothing in its way"
            break
        with contextlib.closing(netdev.fresh()) as other:
            try:
                (scene.finish or scene.call)(other)
            except RefnetError as error:
                raise AssertionError(
                    f"after a kill at request {at} of {scene.what}, a second call fails: {error}"
                ) from None
        undone = _differing(facts(net, scene), done)
        assert not undone, f"after a kill at request {at} of {scene.what}, a second call does not finish it: {undone}"
    _proves_something(at, scene)
    scene.lay()


def _killed(netdev: DriverUnderTest, scene: Scene, at: int) -> None:
    with faults.injected(at, kill=True):
        scene.call(netdev.fresh())


def facts(net: Sandbox, scene: Scene) -> Facts:
    """Return what a call is to achieve, as an observer sees it, free of what is different every time."""
    found: dict[str, Any] = {}
    listing = net.look.listing()
    for device in scene.devices:
        link = listing.links.get(device)
        found[f"{device} is there"] = link is not None
        if link is None:
            continue
        found[f"{device} is up"] = "UP" in link["flags"]
        found[f"MTU of {device}"] = link["mtu"]
        found[f"bridge of {device}"] = link.get("master")
        if kind_of(link) != "veth":  # its MAC address is random
            found[f"MAC address of {device}"] = link["address"]
        if "vfinfo_list" in link:
            found[f"virtual functions of {device}"] = link["vfinfo_list"]
        found[f"addresses of {device}"] = listing.cidrs(device)
        found[f"routes through {device}"] = [
            (route["dst"], route.get("gateway"), route.get("metric"), route.get("prefsrc"))
            for route in through(device, listing.routes)
        ]
    return found


def _counting() -> Iterator[int]:
    return iter(range(1, _MOST_REQUESTS))


def _proves_something(at: int, scene: Scene) -> None:
    if at == 1:
        raise SuiteError(f"{scene.what} makes no request that could fail: this proves nothing")
    if at == _MOST_REQUESTS - 1:
        raise SuiteError(f"{scene.what} makes more than {at} requests: there is no end to it")


def _differing(found: Facts, wanted: Facts) -> str:
    keys = [key for key in {**wanted, **found} if found.get(key) != wanted.get(key)]
    return "; ".join(f"{key}: {found.get(key)}, and not {wanted.get(key)}" for key in keys)


# -- the scenes -------------------------------------------------------------------------------------------


def making_bridge(netdev: DriverUnderTest, net: Sandbox) -> Scene:
    """A bridge with MAC address, MTU, and those options that the driver says it has."""
    options: dict[Capability, dict[str, Any]] = {
        Capability.BRIDGE_STP: {"stp": False},
        Capability.BRIDGE_AGEING_TIME: {"ageing_time": 60},
        Capability.BRIDGE_MULTICAST_SNOOPING: {"multicast_snooping": False},
    }
    declared = netdev.capabilities()
    wanted = {key: value for name, option in options.items() if name in declared for key, value in option.items()}
    return Scene(
        "create_bridge",
        ("br0",),
        lambda: netdev.delete_bridge("br0"),
        lambda driver: driver.create_bridge("br0", mac_address=_MAC, mtu=1400, **wanted),
        # create_bridge itself has to refuse a bridge that is there.
        lambda driver: driver.ensure_bridge("br0", mac_address=_MAC, mtu=1400, **wanted),
    )


def making_tap(netdev: DriverUnderTest, net: Sandbox) -> Scene:
    """A tap with MAC address, MTU and, if the driver says that it can, an owner."""
    owner = {"owner": os.geteuid()} if Capability.TAP_OWNER in netdev.capabilities() else {}
    return Scene(
        "create_tap_dev",
        ("tap0",),
        lambda: netdev.delete_net_dev("tap0"),
        lambda driver: driver.create_tap_dev("tap0", _MAC, mtu=1400, **owner),
    )


def making_cable(netdev: DriverUnderTest, net: Sandbox) -> Scene:
    """A virtual cable with an MTU."""
    return Scene(
        "create_veth_pair",
        ("ve0", "ve1"),
        lambda: netdev.delete_net_dev("ve0"),
        lambda driver: driver.create_veth_pair("ve0", "ve1", mtu=1400),
    )


def moving_port(netdev: DriverUnderTest, net: Sandbox) -> Scene:
    """A port that moves from one bridge to another."""
    guest = net.guest("a")
    for bridge in ("br0", "br1"):
        netdev.create_bridge(bridge, mac_address=_MAC)

    def lay() -> None:
        netdev.remove_bridge_port("br0", guest.port)
        netdev.add_bridge_port("br1", guest.port)

    return Scene(
        "add_bridge_port",
        ("br0", "br1", guest.port),
        lay,
        lambda driver: driver.add_bridge_port("br0", guest.port, move=True),
    )


def joining(netdev: DriverUnderTest, net: Sandbox, *, ipv6: bool) -> tuple[Guest, Scene]:
    """An interface with addresses and routes that joins a bridge which is made for it."""
    guest = net.guest("a", "192.0.2.2/24", "203.0.113.9/32", "2001:db8::2/64", "2001:db8:1::9/128", "fe80::2/64")

    def lay() -> None:
        netdev.delete_bridge("br0")
        net.clear(guest.port)
        six = ("2001:db8::1/64", "2001:db8::7/64") if ipv6 else ("198.51.100.1/24",)
        net.add_address(guest.port, "192.0.2.1/24", "192.0.2.7/24", *six)
        net.add_route("203.0.113.0/24", "192.0.2.2", guest.port)
        if not ipv6:
            net.add_route("default", "192.0.2.2", guest.port)
        else:
            net.add_route("2001:db8:1::/64", "2001:db8::2", guest.port)
            net.add_route("default", "fe80::2", guest.port)

    return guest, Scene(
        "ensure_bridge", ("br0", guest.port), lay, lambda driver: driver.ensure_bridge("br0", guest.port)
    )


def ordering(netdev: DriverUnderTest, net: Sandbox) -> tuple[Guest, Scene]:
    """A gateway address that has to go before others, on a device with routes."""
    guest, lay = _several(net)
    return guest, Scene(
        "ensure_gateway_address",
        (guest.port,),
        lay,
        lambda driver: driver.ensure_gateway_address(guest.port, "192.0.2.1/24"),
    )


def deleting_first(netdev: DriverUnderTest, net: Sandbox) -> tuple[Guest, Scene]:
    """The first address of a subnet that is deleted, on a device with routes."""
    guest, lay = _several(net)
    return guest, Scene(
        "delete_device_address",
        (guest.port,),
        lay,
        lambda driver: driver.delete_device_address(guest.port, "192.0.2.5/24"),
    )


def _several(net: Sandbox) -> tuple[Guest, Callable[[], None]]:
    guest = net.guest("a", "192.0.2.2/24", "203.0.113.9/32")

    def lay() -> None:
        net.clear(guest.port)
        net.add_address(guest.port, "192.0.2.5/24", "192.0.2.6/24", "192.0.2.4/24")
        net.add_route("203.0.113.0/24", "192.0.2.2", guest.port)
        net.add_route("default", "192.0.2.2", guest.port)

    return guest, lay


def bridging_vlan(netdev: DriverUnderTest, net: Sandbox) -> Scene:
    """A VLAN device with MAC address and MTU, and a bridge for it."""
    guest = net.guest("a")

    def lay() -> None:
        netdev.delete_bridge("br0")
        netdev.delete_net_dev("vlan7")

    return Scene(
        "ensure_vlan_bridge",
        ("br0", "vlan7", guest.port),
        lay,
        lambda driver: driver.ensure_vlan_bridge(7, "br0", guest.port, "vlan7", mac_address=_MAC, mtu=1400),
    )


# -- a request fails --------------------------------------------------------------------------------------


@spec(
    "FA-01",
    "Whichever request of create_bridge fails, no bridge is left, and the caller is told.",
    capability=Capability.BRIDGE,
)
def test_create_bridge(netdev: DriverUnderTest, net: Sandbox) -> None:
    fails_cleanly(netdev, net, making_bridge(netdev, net))


@spec(
    "FA-02",
    "Whichever request of create_tap_dev fails, no tap is left, and the caller is told.",
    capability=Capability.TAP,
)
def test_create_tap(netdev: DriverUnderTest, net: Sandbox) -> None:
    fails_cleanly(netdev, net, making_tap(netdev, net))
    tap, guest = net.hold("tap0"), net.guest("a")
    if Capability.BRIDGE in netdev.capabilities():
        netdev.create_bridge("br0")
        for port in ("tap0", guest.port):
            netdev.add_bridge_port("br0", port)
        net.delivers(tap, net.frame(tap, guest), guest, what="the tap that was made after all the faults")


@spec(
    "FA-03",
    "Whichever request of create_veth_pair fails, neither end is left, and the caller is told.",
    capability=Capability.VETH,
)
def test_create_cable(netdev: DriverUnderTest, net: Sandbox) -> None:
    fails_cleanly(netdev, net, making_cable(netdev, net))


@spec(
    "FA-04",
    "Whichever request of a port's move fails, the port is in the bridge where it was, and the caller is told.",
    capability=Capability.BRIDGE,
)
def test_move_port(netdev: DriverUnderTest, net: Sandbox) -> None:
    fails_cleanly(netdev, net, moving_port(netdev, net))


@spec(
    "FA-05",
    "Whichever request of a join fails, the interface has its IPv4 addresses and routes, and no bridge is left.",
    capability=Capability.BRIDGE,
)
def test_join(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest, scene = joining(netdev, net, ipv6=False)
    fails_cleanly(netdev, net, scene)
    net.reaches(guest, "192.0.2.2", net, "192.0.2.7", what="an address that went over after all the faults")
    net.reaches(net, "192.0.2.1", guest, "203.0.113.9", what="a route that went over after all the faults")


@spec(
    "FA-06",
    "Whichever request of a join fails, the interface has its IPv6 addresses and routes as before.",
    capability=_BRIDGE_AND_IPV6,
)
def test_join_ipv6(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest, scene = joining(netdev, net, ipv6=True)
    fails_cleanly(netdev, net, scene)
    net.reaches(guest, "2001:db8::2", net, "2001:db8::7", what="an IPv6 address that went over after all the faults")
    net.reaches(net, "2001:db8::1", guest, "2001:db8:1::9", what="an IPv6 route that went over after all the faults")


@spec(
    "FA-07",
    "Whichever request of ensure_gateway_address fails, addresses, their order and routes are as before.",
)
def test_gateway(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest, scene = ordering(netdev, net)
    fails_cleanly(netdev, net, scene)
    net.reaches(net, "192.0.2.1", guest, "203.0.113.9", what="a route behind the gateway address, after all the faults")


@spec(
    "FA-08",
    "Whichever request of delete_device_address fails, the device has all its addresses and routes as before.",
)
def test_delete_first(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest, scene = deleting_first(netdev, net)
    fails_cleanly(netdev, net, scene)
    net.reaches(net, "192.0.2.6", guest, "203.0.113.9", what="a route by the subnet that is left, after all the faults")


@spec(
    "FA-09",
    "Whichever request of ensure_vlan_bridge fails, neither VLAN device nor bridge is left, and the caller is told.",
    capability=_VLAN_BRIDGE,
)
def test_vlan_bridge(netdev: DriverUnderTest, net: Sandbox) -> None:
    fails_cleanly(netdev, net, bridging_vlan(netdev, net))


# -- the process is killed --------------------------------------------------------------------------------


@spec(
    "FA-10",
    "A create_bridge that was killed is finished by ensure_bridge with the same arguments.",
    capability=Capability.BRIDGE,
)
def test_create_bridge_killed(netdev: DriverUnderTest, net: Sandbox) -> None:
    survives_kills(netdev, net, making_bridge(netdev, net))


@spec("FA-11", "A create_tap_dev that was killed is finished by the same call.", capability=Capability.TAP)
def test_create_tap_killed(netdev: DriverUnderTest, net: Sandbox) -> None:
    survives_kills(netdev, net, making_tap(netdev, net))


@spec("FA-12", "A create_veth_pair that was killed is finished by the same call.", capability=Capability.VETH)
def test_create_cable_killed(netdev: DriverUnderTest, net: Sandbox) -> None:
    survives_kills(netdev, net, making_cable(netdev, net))


@spec("FA-13", "A port's move that was killed is finished by the same call.", capability=Capability.BRIDGE)
def test_move_port_killed(netdev: DriverUnderTest, net: Sandbox) -> None:
    survives_kills(netdev, net, moving_port(netdev, net))


@spec(
    "FA-14",
    "A join that was killed is finished by the same call: no address and no route is lost.",
    capability=_BRIDGE_AND_IPV6,
)
def test_join_killed(netdev: DriverUnderTest, net: Sandbox) -> None:
    survives_kills(netdev, net, joining(netdev, net, ipv6=True)[1])


@spec(
    "FA-15",
    "An ensure_gateway_address that was killed is finished by the same call: no address and no route is lost.",
)
def test_gateway_killed(netdev: DriverUnderTest, net: Sandbox) -> None:
    survives_kills(netdev, net, ordering(netdev, net)[1])


@spec(
    "FA-16",
    "A delete_device_address that was killed is finished by the same call: no other address or route is lost.",
)
def test_delete_first_killed(netdev: DriverUnderTest, net: Sandbox) -> None:
    survives_kills(netdev, net, deleting_first(netdev, net)[1])


@spec("FA-17", "An ensure_vlan_bridge that was killed is finished by the same call.", capability=_VLAN_BRIDGE)
def test_vlan_bridge_killed(netdev: DriverUnderTest, net: Sandbox) -> None:
    survives_kills(netdev, net, bridging_vlan(netdev, net))
