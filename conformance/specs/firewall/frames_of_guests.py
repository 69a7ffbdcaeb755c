"""Guest a on a guarded port of a bridge, and what it can say to guest b: ARP, neighbour discovery, made packets."""

from __future__ import annotations

from typing import Any

from conformance.harness import FirewallUnderTest
from conformance.topology import frames, packets
from conformance.topology.packets import NEIGHBOUR_SOLICITATION
from conformance.topology.parsing import packed
from conformance.topology.routed import Bridged, Flow
from conformance.topology.sandbox import Sandbox
from refnet.firewall import PortGuard

#: Nobody's, in the guests' networks.
FOREIGN = {4: "10.1.0.77", 6: "fd01::77"}
NOBODY = "0.0.0.0"  # noqa: S104
ALL_NODES, ALL_NODES_MAC = "ff02::1", "33:33:00:00:00:01"


def guarded(firewall: FirewallUnderTest, net: Sandbox, *names: str, addresses: Any = "own", **options: bool) -> Bridged:
    """Return guests on a bridge, guest a's port guarded: its MAC address, and its own or these addresses."""
    topology = Bridged(net, *(names or ("a", "b")))
    guard(firewall, topology, addresses=addresses, **options)
    return topology


def guard(firewall: FirewallUnderTest, topology: Bridged, *, addresses: Any = "own", **options: bool) -> None:
    own = [topology.address("a"), topology.address("a", 6)]
    mac = topology.guests["a"].mac
    firewall.guard_port(PortGuard(topology.port("a"), mac, own if addresses == "own" else addresses, **options))
    firewall.apply()


def crafted(topology: Bridged, packet: Any, *, to: str = frames.BROADCAST, family: int = 4) -> Flow:
    """Return a flow from a to b of frames with the IP packet that ``packet`` makes of a token."""
    mac = topology.guests["a"].mac
    return Flow(family=family, craft_frames=lambda token: packets.ether(mac, to, packet(token)))


def arp(topology: Bridged, operation: int, sender: str, target: str, **options: Any) -> Flow:
    """Return a flow from a to b of ARP, told from a's own MAC address if nothing else is said."""
    mac = options.pop("sender_mac", topology.guests["a"].mac)
    return Flow(craft_frames=lambda token: packets.arp(operation, mac, sender, target, trailer=token, **options))


def padded(topology: Bridged, packet: bytes, to: str, source_mac: str | None = None) -> Flow:
    """Return a flow from a to b of a packet that stays as it is: the token is behind it, as a frame's padding."""
    mac = source_mac or topology.guests["a"].mac
    return Flow(family=6, craft_frames=lambda token: packets.ether(mac, to, packet) + token)


def advertisement(
    topology: Bridged, target: str, mac: str, source: str | None = None, *, source_mac: str | None = None
) -> Flow:
    """Return a flow of neighbour advertisements, from a's own addresses if nothing else is said."""
    ends = source or topology.address("a", 6), ALL_NODES
    return padded(topology, packets.neighbour_advertisement(*ends, target, mac), ALL_NODES_MAC, source_mac)


def solicitation(topology: Bridged, source: str, target: str, mac: str | None) -> Flow:
    """Return a flow of questions for a target's MAC address; without one of its own, that for a duplicate."""
    own = bytes([1, 1]) + bytes.fromhex(mac.replace(":", "")) if mac else b""
    last = packed(target)[13:]
    group = "ff02::1:ff" + last[:1].hex() + ":" + last[1:].hex()
    packet = packets.icmp(source, group, NEIGHBOUR_SOLICITATION, 0, bytes(4) + packed(target) + own, ttl=255)
    return padded(topology, packet, "33:33:ff:" + last.hex(":"))


def sorts_named(
    topology: Bridged, *, passing: dict[str, Flow], stopped: dict[str, Flow], control: Flow | None = None
) -> None:
    """Prove of each flow, named by what it is, that it passes, or is stopped."""
    for what, flow in passing.items():
        topology.passes(flow, what=f"{what} is to pass")
    for what, flow in stopped.items():
        behind = control or Flow(flow.sender, flow.receiver)
        topology.stops(flow, control=behind, what=f"{what} is to be stopped")
