"""What a rule matches: lists whose values overlap, networks in them, ports of either side and of other protocols."""

from __future__ import annotations

import struct

from conformance.harness import FirewallUnderTest
from conformance.spec import spec
from conformance.specs.firewall.probes import (
    ABOUT_ONE,
    BOTH,
    CONTROL,
    FILTER,
    ONE,
    apply_rules,
    drop,
    replace_rules,
    sorts,
)
from conformance.system import LINUX
from conformance.topology import packets
from conformance.topology.routed import Flow, Network, Routed
from conformance.topology.sandbox import Sandbox
from refnet.firewall import ACCEPT, DROP, Not, Rule

#: Networks of which one is in another, two are side by side, and one has two addresses; none at the edge of an octet.
_NETWORKS = {
    4: ("198.51.100.64/28", "198.51.100.64/30", "198.51.100.80/28", "198.51.100.7/32", "198.51.100.130/31"),
    6: ("2001:db8::640/124", "2001:db8::640/126", "2001:db8::650/124", "2001:db8::7", "2001:db8::82/127"),
}
_INSIDE = {
    4: [f"198.51.100.{number}" for number in (7, 64, 70, 79, 80, 95, 130, 131)],
    6: [f"2001:db8::{number}" for number in ("7", "640", "646", "64f", "650", "65f", "82", "83")],
}
_BESIDE = {
    4: [f"198.51.100.{number}" for number in (6, 8, 63, 96, 129, 132)],
    6: [f"2001:db8::{number}" for number in ("6", "8", "63f", "660", "81", "84")],
}
_ROUTED = {4: "198.51.100.0/24", 6: "2001:db8::/32"}
#: Ranges likewise, one beside the other and one in the other.
_RANGES = ["7010-7020", 7015, "7018-7030", "7031-7040", 7050, 7051]


# -- addresses ----------------------------------------------------------------------------------------


@spec(
    "FW-46",
    "In a list, networks of any length mean all of their addresses and no other, also where they overlap or meet.",
    capability=BOTH,
)
def test_overlapping_networks(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b")
    for family in (4, 6):
        net.add_route(_ROUTED[family], topology.address("b", family), topology.device("b"))
    for side in ("source", "destination"):
        rules = [drop(**{side: _NETWORKS[family]}, **ABOUT_ONE) for family in (4, 6)]
        apply_rules(firewall, "forward", *rules, chain=side)
        _sorted(topology, side, passing=_BESIDE, stopped=_INSIDE, what="a list of networks that overlap")
        rules = [drop(**{side: Not(*_NETWORKS[family])}, **ABOUT_ONE) for family in (4, 6)]
        replace_rules(firewall, *rules, chain=side)
        _sorted(topology, side, passing=_INSIDE, stopped=_BESIDE, what="all but a list of networks that overlap")
        firewall.remove_chain(side)


def _sorted(
    topology: Network, side: str, *, passing: dict[int, list[str]], stopped: dict[int, list[str]], what: str
) -> None:
    for family in (4, 6):
        control = CONTROL.but(family=family)
        for address in passing[family]:
            topology.passes(ONE.but(family=family, **{side: address}), fence=control, what=what)
        for address in stopped[family]:
            topology.stops(ONE.but(family=family, **{side: address}), control=control, what=what)


# -- ports --------------------------------------------------------------------------------------------


@spec(
    "FW-38",
    "A rule about all source ports but some is about none of those, however many, and whatever it says of the others.",
    capability=BOTH,
)
def test_not_these_source_ports(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b")
    many = [*range(5000, 5100, 5), "5200-5209"]
    for ports, listed, others in (
        ([5001], [5001], [5000, 5002]),
        (many, [5000, 5095, 5200, 5209], [4999, 5001, 5199, 5210]),
    ):
        apply_rules(firewall, "forward")
        replace_rules(firewall, Rule(DROP, source_ports=Not(*ports), **ABOUT_ONE))
        for family in (4, 6):
            flow, control = ONE.but(family=family), CONTROL.but(family=family)
            for port in listed:
                topology.passes(flow.but(sport=port), fence=control, what=f"from port {port}, which is not meant")
            for port in others:
                topology.stops(flow.but(sport=port), control=control, what=f"from port {port}, which is meant")


@spec(
    "FW-39",
    "Ranges of ports in a list may overlap, or meet: each port of them is meant, and none beside them.",
    capability=BOTH,
)
def test_overlapping_ranges(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b")
    inside, outside = (7010, 7014, 7020, 7030, 7031, 7040, 7050, 7051), (7009, 7041, 7049, 7052)
    apply_rules(firewall, "forward", Rule(DROP, protocol="udp", destination_ports=_RANGES))
    for family in (4, 6):
        within, beside = ([Flow(dport=port, family=family) for port in ports] for ports in (inside, outside))
        sorts(topology, passing=beside, stopped=within, what="ranges that overlap")
    replace_rules(firewall, Rule(DROP, protocol="udp", destination_ports=Not(*_RANGES)))
    for family in (4, 6):
        within, beside = ([Flow(dport=port, family=family) for port in ports] for ports in (inside, outside))
        sorts(topology, passing=within, stopped=beside, what="all but ranges that overlap")


@spec(
    "FW-47",
    "A rule about a port of SCTP, DCCP or UDP-Lite is about that port of that protocol alone.",
    level="full",
    capability=FILTER,
    systems=(LINUX,),
)
def test_ports_of_other_protocols(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b", families=(4,))
    numbers = {"sctp": 132, "dccp": 33, "udplite": 136}
    rules = [Rule(ACCEPT, protocol=name, destination_ports=[7001, "7003-7004"]) for name in ("sctp", "udplite")]
    not_these = Rule(DROP, protocol="dccp", source_ports=[5001, 5003], destination_ports=Not(7001, 7003))
    apply_rules(firewall, "forward", *rules, not_these, *(Rule(DROP, protocol=name) for name in ("sctp", "udplite")))
    for name in ("sctp", "udplite"):
        flows = {port: _with_ports(topology, numbers[name], port) for port in range(7000, 7006)}
        passing, stopped = ([flows[port] for port in ports] for ports in ((7001, 7003, 7004), (7000, 7002, 7005)))
        sorts(topology, passing=passing, stopped=stopped, what=f"ports of {name}")
    flows = {port: _with_ports(topology, numbers["dccp"], port) for port in (7001, 7002, 7003)}
    sorts(topology, passing=[flows[7001], flows[7003]], stopped=[flows[7002]], what="ports of dccp")
    other = _with_ports(topology, numbers["dccp"], 7002, sport=4999)
    topology.passes(other, what="dccp from another port")


def _with_ports(topology: Network, number: int, dport: int, sport: int = 5001) -> Flow:
    """Return a flow of a protocol that begins with its ports, as all of these do, and has the shortest true header."""
    ends = topology.address("a"), topology.address("b")

    def craft(token: bytes) -> bytes:
        ports = struct.pack("!HH", sport, dport)
        behind = {
            # RFC 9260: the verification tag, a checksum (CRC32c, which nobody on the way looks at), and a DATA chunk.
            132: struct.pack("!IIBBH", 1, 0, 0, 3, 16 + len(token)) + bytes(12) + token,
            # RFC 4340: data offset in words, a request (type 0, extended numbers), service code.
            33: struct.pack("!BBHBBHI", 5, 0, 0, 1, 0, 0, 1) + bytes(4) + token,
            # RFC 3828: all of it is covered by the checksum, which nobody on the way looks at.
            136: struct.pack("!HH", 0, 1) + token,
        }[number]
        return packets.ip(*ends, number, ports + behind)

    return Flow(protocol=number, dport=dport, sport=sport, craft=craft)
