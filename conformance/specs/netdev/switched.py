"""What the specs about frames share: guests on bridges of Open vSwitch, and proofs for switches that remember ways.

A switch decides about the first frame of a kind, and the next ones go the same way without being asked about. So frames
that shall show what a call has done at once come from a MAC address that it has never seen.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from conformance.harness import DriverUnderTest
from conformance.topology import frames
from conformance.topology.base import Endpoint, Guest
from conformance.topology.frames import Frame
from conformance.topology.proofs import Watch
from conformance.topology.sandbox import Sandbox
from conformance.topology.switch import Switch

BRIDGE = "br-int"
#: To all, and to a group of which the switch knows nothing.
_MANY = (frames.BROADCAST, frames.UNREGISTERED_GROUP)
#: How many times the limit for one frame's arrival a switch has to forget the ways that it remembers.
_LIMITS = 12
#: How often each frame is sent that must not arrive.
_ROUNDS = 3
#: Seconds between two frames that may well be lost.
_BETWEEN = 0.1


def bridged(netdev: DriverUnderTest, net: Sandbox, bridge: str = BRIDGE, **options: Any) -> Switch:
    """Make a bridge with the datapath that is to be had here."""
    switch = net.open_vswitch()
    netdev.ensure_ovs_bridge(bridge, datapath_type=switch.datapath, **options)
    return switch


def plug(netdev: DriverUnderTest, guest: Guest, bridge: str = BRIDGE, **words: Any) -> None:
    """Make a guest's end of the cable a port of a bridge."""
    netdev.create_ovs_vif_port(bridge, guest.port, f"iface-{guest.name}", guest.mac, **words)


def plugged(
    netdev: DriverUnderTest, net: Sandbox, bridge: str = BRIDGE, /, **words: Mapping[str, Any]
) -> tuple[Guest, ...]:
    """Make a bridge, and guests on ports of it: their names, each with the words of its port."""
    bridged(netdev, net, bridge)
    guests = tuple(net.guest(name) for name in words)
    for guest in guests:
        plug(netdev, guest, bridge, **words[guest.name])
    return guests


def tagged(frame: Frame, tag: int) -> Frame:
    """Return a frame that has no tag with one."""
    put = frames.ETHERTYPE_8021Q.to_bytes(2, "big") + tag.to_bytes(2, "big")
    return Frame(frame.data[:12] + put + frame.data[12:], frame.token)


def carries(
    net: Sandbox,
    sender: Endpoint,
    *receivers: Endpoint,
    tag: int | None = None,
    arrives_with: int | None = None,
    size: int = 64,
    what: str,
) -> None:
    """Prove that frames to all, to a group and to each receiver arrive there with a tag, or (None) without one.

    ``tag`` is the one that they are sent with.
    """
    ways = [(many, receivers) for many in _MANY] + [(one.mac, (one,)) for one in receivers]
    for destination, there in ways:
        plain = net.frame(sender, destination, source=net.new_mac(), size=size)
        sent, got = (plain if one is None else tagged(plain, one) for one in (tag, arrives_with))
        net.delivers(sender, sent, *there, arrives_as=got, what=f"{what}: a frame to {destination}")


def withheld(
    net: Sandbox,
    sender: Endpoint,
    receiver: Endpoint,
    *,
    control: Endpoint,
    tag: int | None = None,
    control_tag: int | None = None,
    through: tuple[Endpoint, Endpoint] | None = None,
    what: str,
) -> None:
    """Prove that frames to all, to a group and to the receiver do not arrive; those of a control, sent behind, do.

    A control that comes past the switch proves nothing of what is in the switch: ``through`` are then the ends of a way
    through the same switch, which frames go in between.
    """
    source = net.new_mac()

    def leak(destination: str) -> Frame:
        return net.frame(sender, destination, source=source, vlan=tag)

    leaks = [leak(destination) for destination in (*_MANY, receiver.mac) * _ROUNDS]
    _withheld(net, sender, leaks, receiver, control, control_tag, through, what)


def ceases(
    net: Sandbox,
    sender: Endpoint,
    receiver: Endpoint,
    *,
    control: Endpoint,
    control_tag: int | None = None,
    through: tuple[Endpoint, Endpoint] | None = None,
    what: str,
) -> None:
    """Prove that a sender's frames to a receiver come to arrive no more: ways that the switch remembered are forgotten.

    Raises:
        AssertionError: they still arrive.
        Inconclusive: the control's do not.
    """
    deadline = time.monotonic() + _LIMITS * net.arrival_limit
    while True:
        leaks = [net.frame(sender, receiver) for _ in range(_ROUNDS)]
        try:
            _withheld(net, sender, leaks, receiver, control, control_tag, through, what)
        except AssertionError:
            if time.monotonic() > deadline:
                raise
        else:
            return


def _withheld(
    net: Sandbox,
    sender: Endpoint,
    leaks: list[Frame],
    receiver: Endpoint,
    control: Endpoint,
    control_tag: int | None,
    through: tuple[Endpoint, Endpoint] | None,
    what: str,
) -> None:
    for frame in leaks:
        if through:
            sender.send(frame)
            for _ in range(2):
                net.delivers(
                    through[0], net.frame(*through), through[1], what=f"{what}: another way through the switch"
                )
        # A way of the control's own address may be remembered from before the call, and lead nowhere now.
        fence = (control, net.frame(control, receiver, source=net.new_mac(), vlan=control_tag))
        net.withholds(sender, frame, receiver, fence=fence, what=f"{what}: a frame to {frame.data[:6].hex(':')}")
    # The control comes by another port, and about the first frame of a kind a kernel asks the switch: one that has been
    # overtaken by its own control is here by now, when the controls of others have come.
    seen = [one.data for one in receiver.record if not one.sent]
    for frame in leaks:
        if _has(seen, frame.token):
            raise AssertionError(f"{what}: {sender.name} sent {frame}, and {receiver.name} got it")


def resumes(net: Sandbox, sender: Endpoint, receiver: Endpoint, *, what: str) -> None:
    """Prove that a sender's frames come to arrive.

    Raises:
        AssertionError: none does.
    """
    deadline = time.monotonic() + _LIMITS * net.arrival_limit
    watch, sent = Watch([receiver]), list[Frame]()

    def came(seen: list[bytes]) -> bool:
        return any(_has(seen, frame.token) for frame in sent)

    while time.monotonic() < deadline:
        sent.append(net.frame(sender, receiver))
        sender.send(sent[-1])
        if came(watch.until(came, _BETWEEN)):
            return
    raise AssertionError(f"{what}: {sender.name} sent {len(sent)} frames, and none arrived at {receiver.name}")


def _has(seen: list[bytes], token: bytes) -> bool:
    return any(token in data for data in seen)
