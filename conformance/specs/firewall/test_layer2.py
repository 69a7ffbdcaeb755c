"""Layer 2: a bridge's port that may not pretend."""

from __future__ import annotations

import struct

from conformance.harness import FirewallUnderTest
from conformance.spec import spec
from conformance.specs.firewall.frames_of_guests import (
    ALL_NODES_MAC,
    FOREIGN,
    NOBODY,
    advertisement,
    arp,
    crafted,
    guard,
    guarded,
    solicitation,
    sorts_named,
)
from conformance.specs.firewall.probes import behind_options
from conformance.topology import frames, packets
from conformance.topology.packets import ARP_REPLY, ARP_REQUEST
from conformance.topology.parsing import packed
from conformance.topology.routed import HOST, Flow
from conformance.topology.sandbox import Sandbox
from refnet.firewall import Capability, PortGuard

LAYER2 = Capability.LAYER2
_DHCP_AGENTS, _DHCP_AGENTS_MAC = "ff02::1:2", "33:33:00:01:00:02"


# -- what a guarded guest may do ----------------------------------------------------------------------


@spec(
    "L2-01",
    "A guarded port lets its guest's own packets and ARP pass, to other ports and to the host.",
    capability=LAYER2,
)
def test_own(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = guarded(firewall, net)
    for family in (4, 6):
        for receiver in ("b", HOST):
            own = Flow(receiver=receiver, family=family)
            topology.passes(own, what=f"{own} of a guarded guest")
    sorts_named(
        topology,
        passing={
            "an ARP request of its own": arp(topology, ARP_REQUEST, topology.address("a"), topology.address("b")),
            "an ARP reply of its own": arp(topology, ARP_REPLY, topology.address("a"), topology.address("b")),
            "an advertisement of its own": advertisement(topology, topology.address("a", 6), topology.guests["a"].mac),
        },
        stopped={},
    )
    for family in (4, 6):
        topology.talks(Flow(family=family), what="a guarded guest and another one, address resolution and all")


@spec("L2-02", "A gratuitous ARP of a guest's own address, and an ARP probe from 0.0.0.0, pass.", capability=LAYER2)
def test_gratuitous(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = guarded(firewall, net)
    own = topology.address("a")
    passing = {
        "a gratuitous ARP request": arp(topology, ARP_REQUEST, own, own),
        "a gratuitous ARP reply": arp(topology, ARP_REPLY, own, own),
        "an ARP probe": arp(topology, ARP_REQUEST, NOBODY, own),
    }
    foreign = arp(topology, ARP_REPLY, FOREIGN[4], FOREIGN[4])
    sorts_named(topology, passing=passing, stopped={"a gratuitous ARP reply of a foreign address": foreign})


@spec(
    "L2-03",
    "A guest may always ask for an address: by DHCP from 0.0.0.0, by DHCPv6 and neighbour discovery from the "
    "link-local address of its MAC address.",
    capability=LAYER2,
)
def test_asks_for_an_address(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = guarded(firewall, net, addresses=())
    mac = topology.guests["a"].mac
    link_local = str(PortGuard(topology.port("a"), mac).link_local)
    other = link_local[:-1] + ("1" if link_local[-1] != "1" else "2")

    def dhcpv6(source: str) -> Flow:
        # RFC 8415: a solicit, from the client's port to the servers'.
        solicit = bytes([1, 0, 0, 1])
        return crafted(
            topology,
            lambda token: packets.udp(source, _DHCP_AGENTS, 546, 547, solicit + struct.pack("!HH", 16, 32) + token),
            to=_DHCP_AGENTS_MAC,
            family=6,
        )

    passing = {
        "a DHCP discover": crafted(topology, lambda token: packets.dhcp(mac, token)),
        "a DHCPv6 solicit from the link-local address": dhcpv6(link_local),
        "a search for duplicates": solicitation(topology, "::", "fd01::2", None),
        "a solicitation from the link-local address": solicitation(topology, link_local, "fd01::3", mac),
        "an advertisement of the link-local address": advertisement(topology, link_local, mac, link_local),
    }
    stopped = {
        "another datagram from 0.0.0.0": crafted(
            topology, lambda token: packets.udp(NOBODY, "255.255.255.255", 68, 5353, token)
        ),
        "a DHCPv6 solicit from another link-local address": dhcpv6(other),
    }
    control = crafted(topology, lambda token: packets.dhcp(mac, token))
    sorts_named(topology, passing=passing, stopped=stopped, control=control)


# -- and what not -------------------------------------------------------------------------------------


@spec("L2-04", "A frame from another MAC address is stopped at a guarded port, whatever is in it.", capability=LAYER2)
def test_source_mac(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = guarded(firewall, net)
    other = net.new_mac()
    a, b = topology.address("a"), topology.address("b")
    stopped = {
        "IPv4 from another MAC address": Flow(source_mac=other),
        "IPv6 from another MAC address": Flow(source_mac=other, family=6),
        "ARP from another MAC address": arp(topology, ARP_REPLY, a, b, source_mac=other),
        "a frame of no known type from another MAC address": Flow(
            craft_frames=lambda token: net.frame(topology.guests["a"], frames.BROADCAST, source=other).data + token
        ),
    }
    sorts_named(topology, passing={}, stopped=stopped)
    for family in (4, 6):
        flow = Flow(receiver=HOST, family=family)
        topology.stops(flow.but(source_mac=other), control=flow, what="to the host from another MAC address")


@spec("L2-05", "An IPv4 packet from a foreign address is stopped at a guarded port.", capability=LAYER2)
def test_source_address(firewall: FirewallUnderTest, net: Sandbox) -> None:
    _foreign_source(firewall, net, 4)


@spec("L2-06", "An IPv6 packet from a foreign address is stopped at a guarded port.", capability=LAYER2)
def test_source_address_of_ipv6(firewall: FirewallUnderTest, net: Sandbox) -> None:
    _foreign_source(firewall, net, 6)


def _foreign_source(firewall: FirewallUnderTest, net: Sandbox, family: int) -> None:
    topology = guarded(firewall, net)
    for receiver in ("b", HOST):
        flow = Flow(receiver=receiver, family=family)
        for source in (FOREIGN[family], topology.address("b" if receiver == HOST else HOST, family)):
            spoof = flow.but(source=source)
            topology.stops(spoof, control=flow, what=f"a packet from {source}, which is not the guest's")


@spec("L2-07", "ARP that says a foreign address is the guest's is stopped, request and reply.", capability=LAYER2)
def test_arp_for_a_foreign_address(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = guarded(firewall, net)
    b = topology.address("b")
    stopped = {
        f"ARP {word} from {sender}": arp(topology, operation, sender, b)
        for operation, word in ((ARP_REQUEST, "request"), (ARP_REPLY, "reply"))
        for sender in (FOREIGN[4], topology.address(HOST))
    }
    sorts_named(topology, passing={}, stopped=stopped)


@spec("L2-08", "ARP that says the guest's address is at another MAC address is stopped.", capability=LAYER2)
def test_arp_with_a_foreign_mac(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = guarded(firewall, net)
    own, other = topology.guests["a"].mac, net.new_mac()
    stopped = {
        f"ARP {operation} with another sender's MAC address": arp(
            topology, operation, topology.address("a"), topology.address("b"), sender_mac=other, source_mac=own
        )
        for operation in (ARP_REQUEST, ARP_REPLY)
    }
    sorts_named(topology, passing={}, stopped=stopped)


@spec(
    "L2-09",
    "A neighbour advertisement from a foreign address, or from another MAC address, is stopped at a guarded port.",
    capability=LAYER2,
)
def test_advertisement(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = guarded(firewall, net)
    own, mac, other = topology.address("a", 6), topology.guests["a"].mac, net.new_mac()
    host = topology.address(HOST, 6)
    stopped = {
        f"an advertisement of {source}": advertisement(topology, source, mac, source)
        for source in (FOREIGN[6], host, "fe80::77")
    }
    stopped["an advertisement from another MAC address"] = advertisement(topology, own, other, source_mac=other)
    passing = {"an advertisement of the own address": advertisement(topology, own, mac)}
    sorts_named(topology, passing=passing, stopped=stopped)


@spec(
    "L2-10",
    "A frame with a VLAN tag, or with two, is stopped at a guarded port, own addresses or not.",
    capability=LAYER2,
)
def test_inside_a_vlan(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = guarded(firewall, net)
    own, other = topology.address("a"), topology.address("b")
    stopped = {
        "a tagged packet": Flow(vlan=5),
        "a tagged packet from a foreign address": Flow(vlan=5, source=FOREIGN[4]),
        "a packet with two tags": Flow(vlan=(5, 6), source=FOREIGN[4]),
        "a tagged IPv6 packet from a foreign address": Flow(vlan=5, source=FOREIGN[6], family=6),
        "tagged ARP": arp(topology, ARP_REPLY, own, other, vlan=5),
    }
    sorts_named(topology, passing={}, stopped=stopped)


@spec("L2-11", "A guest answers as a DHCP or DHCPv6 server if its guard says so, and else does not.", capability=LAYER2)
def test_dhcp_server(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = guarded(firewall, net)
    own, own_six, mac = topology.address("a"), topology.address("a", 6), topology.guests["a"].mac
    answers = {
        "a DHCP server's answer": crafted(
            topology, lambda token: packets.dhcp(mac, token, source=own, destination="255.255.255.255", reply=True)
        ),
        "a DHCPv6 server's answer": crafted(
            topology,
            lambda token: packets.udp(own_six, "fe80::1", 547, 546, bytes([2, 0, 0, 1]) + token),
            to=topology.guests["b"].mac,
            family=6,
        ),
    }
    sorts_named(topology, passing={}, stopped=answers)
    guard(firewall, topology, dhcp_server=True)
    sorts_named(topology, passing=answers, stopped={})


@spec(
    "L2-12",
    "A guest sends router advertisements and ICMP redirects if its guard says that it is a router, and else does not.",
    capability=LAYER2,
)
def test_router(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = guarded(firewall, net)
    mac = topology.guests["a"].mac
    link_local = str(PortGuard(topology.port("a"), mac).link_local)
    a, b = topology.address("a"), topology.address("b")

    def redirect(token: bytes) -> bytes:
        # RFC 792: for this host, by the gateway in the second word.
        gateway = int.from_bytes(packed(FOREIGN[4]), "big")
        return packets.icmp_error(a, b, packets.udp(b, "192.0.2.1", 4000, 4001, token), 5, 1, value=gateway)

    def redirect_six(token: bytes) -> bytes:
        # RFC 4861, section 4.5: the better hop and the destination, and an option of any kind.
        rest = bytes(4) + packed(link_local) + packed("2001:db8::1") + bytes([253, 5]) + token.ljust(38, b"\0")
        return packets.icmp(link_local, topology.address("b", 6), 137, 0, rest, ttl=255)

    def advertised(token: bytes) -> bytes:
        return packets.router_advertisement(link_local, "2001:db8:77::", token)

    to = topology.guests["b"].mac
    said = {
        "a router advertisement": crafted(topology, advertised, to=ALL_NODES_MAC, family=6),
        "a router advertisement behind destination options": crafted(
            topology, lambda token: behind_options(advertised(token)), to=ALL_NODES_MAC, family=6
        ),
        "a redirect": crafted(topology, redirect, to=to),
        "a redirect of IPv6": crafted(topology, redirect_six, to=to, family=6),
    }
    sorts_named(topology, passing={}, stopped=said)
    guard(firewall, topology, router=True)
    sorts_named(topology, passing=said, stopped={})


@spec(
    "L2-24",
    "A neighbour advertisement or solicitation that tells of a foreign address, or of another MAC address, is stopped "
    "also if it comes from the guest's own.",
    level="full",
    capability=(LAYER2, Capability.NEIGHBOUR_TARGETS),
)
def test_what_advertisements_tell(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = guarded(firewall, net, neighbour_targets=True)
    own, mac, other = topology.address("a", 6), topology.guests["a"].mac, net.new_mac()
    sorts_named(
        topology,
        passing={
            "an advertisement of the own address": advertisement(topology, own, mac),
            "a solicitation of another's address": solicitation(topology, own, FOREIGN[6], mac),
        },
        stopped={
            "an advertisement of a foreign address": advertisement(topology, FOREIGN[6], mac),
            "an advertisement of the host's address": advertisement(topology, topology.address(HOST, 6), mac),
            "an advertisement of another link-local address": advertisement(topology, "fe80::77", mac),
            "an advertisement of another MAC address": advertisement(topology, own, other),
            "a solicitation from another MAC address": solicitation(topology, own, FOREIGN[6], other),
        },
    )


# -- which addresses ----------------------------------------------------------------------------------


@spec("L2-13", "A guard without addresses said lets the guest use any, and no other MAC address.", capability=LAYER2)
def test_any_address(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = guarded(firewall, net, addresses=None)
    passing = {f"IPv{family} from any address": Flow(family=family, source=FOREIGN[family]) for family in (4, 6)}
    passing["ARP of any address"] = arp(topology, ARP_REPLY, FOREIGN[4], topology.address("b"))
    sorts_named(topology, passing=passing, stopped={"a frame from another MAC address": Flow(source_mac=net.new_mac())})


@spec("L2-14", "A guard with an empty list of addresses lets the guest use none.", capability=LAYER2)
def test_no_address(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = guarded(firewall, net, addresses=())
    mac = topology.guests["a"].mac
    stopped = {f"IPv{family} from an address": Flow(family=family) for family in (4, 6)}
    stopped["ARP of an address"] = arp(topology, ARP_REPLY, topology.address("a"), topology.address("b"))
    sorts_named(
        topology, passing={}, stopped=stopped, control=crafted(topology, lambda token: packets.dhcp(mac, token))
    )


@spec(
    "L2-15",
    "A network in a guard means all of its addresses, with prefix length 0 all of its family; of the other family "
    "then none.",
    capability=LAYER2,
)
def test_networks(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = guarded(firewall, net, addresses=["10.1.0.0/28", "fd01::/120"])
    b = topology.address("b")
    passing = {
        f"a packet from {source}": Flow(family=6 if ":" in source else 4, source=source)
        for source in ("10.1.0.15", "10.1.0.0", "fd01::ff")
    }
    passing["ARP of 10.1.0.15"] = arp(topology, ARP_REPLY, "10.1.0.15", b)
    stopped = {
        f"a packet from {source}": Flow(family=6 if ":" in source else 4, source=source)
        for source in ("10.1.0.16", "fd01::100")
    }
    stopped["ARP of 10.1.0.16"] = arp(topology, ARP_REPLY, "10.1.0.16", b)
    sorts_named(topology, passing=passing, stopped=stopped)
    guard(firewall, topology, addresses="0.0.0.0/0")
    foreign = arp(topology, ARP_REPLY, FOREIGN[4], b)
    passing = {"any packet of IPv4": Flow(source=FOREIGN[4]), "ARP of any address": foreign}
    sorts_named(topology, passing=passing, stopped={"IPv6, where IPv4 alone is allowed": Flow(family=6)})
