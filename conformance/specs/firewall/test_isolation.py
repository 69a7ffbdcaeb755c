"""Layer 2: an address that stays inside a bridge."""

from __future__ import annotations

from conformance.harness import FirewallUnderTest
from conformance.spec import spec
from conformance.specs.firewall.frames_of_guests import (
    NOBODY,
    arp,
    crafted,
    sorts_named,
)
from conformance.topology import frames, packets
from conformance.topology.packets import ARP_REPLY, ARP_REQUEST
from conformance.topology.routed import HOST, Bridged, Flow
from conformance.topology.sandbox import Sandbox
from refnet.firewall import Capability

LAYER2 = Capability.LAYER2


def _isolated(firewall: FirewallUnderTest, net: Sandbox) -> Bridged:
    """Return guests a and c on a bridge whose address is isolated from the network that b stands for."""
    topology = Bridged(net, "a", "b", "c")
    firewall.isolate_dhcp_address(topology.port("b"), topology.address(HOST))
    firewall.apply()
    return topology


def _arp_of(topology: Bridged, sender: str, receiver: str, operation: int, ends: tuple[str, str]) -> Flow:
    mac = topology.guests[sender].mac
    flow = arp(topology, operation, *ends, sender_mac=mac)
    return flow.but(sender=sender, receiver=receiver)


@spec("L2-20", "ARP about an isolated address crosses the port to other hosts neither way.", capability=LAYER2)
def test_isolated_arp(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = _isolated(firewall, net)
    isolated = topology.address(HOST)
    stopped = {
        f"ARP {operation} of {ends} from {sender} to {receiver}": _arp_of(topology, sender, receiver, operation, ends)
        for sender, receiver in (("a", "b"), ("b", "a"))
        for operation, ends in (
            (ARP_REQUEST, (topology.address(sender), isolated)),
            (ARP_REQUEST, (isolated, topology.address(receiver))),
            (ARP_REPLY, (isolated, topology.address(receiver))),
        )
    }
    sorts_named(topology, passing={}, stopped=stopped)


@spec("L2-21", "DHCP crosses the port to other hosts neither way, while it is isolated.", capability=LAYER2)
def test_isolated_dhcp(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = _isolated(firewall, net)

    def dhcp(sender: str, receiver: str, is_reply: bool) -> Flow:
        mac, source = topology.guests[sender].mac, topology.address(sender) if is_reply else NOBODY
        return Flow(
            sender,
            receiver,
            craft_frames=lambda token: packets.ether(
                mac, frames.BROADCAST, packets.dhcp(mac, token, source=source, reply=is_reply)
            ),
        )

    stopped = {
        f"a DHCP {'answer' if is_reply else 'question'} from {sender} to {receiver}": dhcp(sender, receiver, is_reply)
        for sender, receiver in (("a", "b"), ("b", "a"))
        for is_reply in (False, True)
    }
    inside = {"a DHCP question inside": dhcp("a", "c", False), "a DHCP answer inside": dhcp("a", "c", True)}
    sorts_named(topology, passing=inside, stopped=stopped)


@spec(
    "L2-22",
    "What is neither DHCP nor ARP about the isolated address crosses, and inside the bridge all is as before.",
    capability=LAYER2,
)
def test_isolation_of_nothing_else(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = _isolated(firewall, net)
    a, b, c, isolated = (topology.address(name) for name in ("a", "b", "c", HOST))
    passing = {
        "ARP about another address, out": _arp_of(topology, "a", "b", ARP_REQUEST, (a, b)),
        "ARP about another address, in": _arp_of(topology, "b", "a", ARP_REPLY, (b, a)),
        "ARP about the isolated address, inside": _arp_of(topology, "a", "c", ARP_REQUEST, (a, isolated)),
        "an answer about the isolated address, inside": _arp_of(topology, "a", "c", ARP_REPLY, (isolated, c)),
    }
    for family in (4, 6):
        for sender, receiver in (("a", "b"), ("b", "a"), ("a", HOST), ("b", HOST)):
            passing[f"a packet from {sender} to {receiver} over IPv{family}"] = Flow(sender, receiver, family=family)
    sorts_named(topology, passing=passing, stopped={})


@spec("L2-23", "When the isolation of an address is undone, ARP about it and DHCP cross again.", capability=LAYER2)
def test_isolation_undone(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = _isolated(firewall, net)
    asks = _arp_of(topology, "a", "b", ARP_REQUEST, (topology.address("a"), topology.address(HOST)))
    sorts_named(topology, passing={}, stopped={"ARP about the isolated address": asks})
    firewall.remove_isolate_dhcp_address(topology.port("b"), topology.address(HOST))
    firewall.apply()
    mac = topology.guests["a"].mac
    discover = crafted(topology, lambda token: packets.dhcp(mac, token))
    sorts_named(topology, passing={"ARP about the address": asks, "a DHCP discover": discover}, stopped={})
