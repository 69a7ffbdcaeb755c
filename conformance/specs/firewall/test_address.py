"""What a rule matches: addresses and interfaces."""

from __future__ import annotations

import ipaddress
from typing import Any

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
)
from conformance.topology.routed import Flow, Network, Routed
from conformance.topology.sandbox import Sandbox
from refnet.firewall import DROP, Not, Rule

# -- addresses ----------------------------------------------------------------------------------------

#: Networks that neither guest is in, and by family: what is in each at its edges, and what is beside it.
_NETWORKS = {4: "198.51.100.64/26", 6: "2001:db8:0:9::/64"}
_INSIDE = {4: ("198.51.100.64", "198.51.100.127"), 6: ("2001:db8:0:9::", "2001:db8:0:9:ffff:ffff:ffff:ffff")}
_BESIDE = {4: ("198.51.100.63", "198.51.100.128"), 6: ("2001:db8:0:8:ffff:ffff:ffff:ffff", "2001:db8:0:a::")}
_ROUTED = {4: "198.51.100.0/24", 6: "2001:db8::/32"}
#: Twelve addresses of each family, no two of them side by side.
_MANY_ADDRESSES = {
    4: [f"198.51.100.{number}" for number in range(3, 150, 13)],
    6: [f"2001:db8::{number:x}" for number in range(3, 150, 13)],
}


def _routed(net: Sandbox) -> Routed:
    """Return guests a and b, where b is also behind addresses of other networks."""
    topology = Routed(net, "a", "b")
    for family in (4, 6):
        net.add_route(_ROUTED[family], topology.address("b", family), topology.device("b"))
    return topology


def _by_address(topology: Network, side: str, family: int, *, passing: Any, stopped: Any, what: str) -> None:
    """Prove of packets from (or to) these addresses that they pass, or are stopped."""
    control = CONTROL.but(family=family)
    for address in passing:
        flow = ONE.but(family=family, **{side: address})
        topology.passes(flow, fence=control, what=what)
    for address in stopped:
        flow = ONE.but(family=family, **{side: address})
        topology.stops(flow, control=control, what=what)


def _network_edges(firewall: FirewallUnderTest, net: Sandbox, side: str) -> None:
    topology = _routed(net)
    apply_rules(firewall, "forward", *(drop(**{side: _NETWORKS[family]}, **ABOUT_ONE) for family in (4, 6)))
    for family in (4, 6):
        what = f"{_NETWORKS[family]} is dropped"
        _by_address(topology, side, family, passing=_BESIDE[family], stopped=_INSIDE[family], what=what)


@spec("FW-40", "A source network holds its first and its last address, and none beside it.", capability=BOTH)
def test_source_network(firewall: FirewallUnderTest, net: Sandbox) -> None:
    _network_edges(firewall, net, "source")


@spec("FW-41", "A destination network holds its first and its last address, and none beside it.", capability=BOTH)
def test_destination_network(firewall: FirewallUnderTest, net: Sandbox) -> None:
    _network_edges(firewall, net, "destination")


@spec(
    "FW-42",
    "An address alone, with /32 or with /128 means that address; prefix length 0 every address of its family and "
    "none of the other.",
    capability=BOTH,
)
def test_prefix_lengths(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = _routed(net)
    for family, length, everything in ((4, 32, "0.0.0.0/0"), (6, 128, "::/0")):
        one, other = _MANY_ADDRESSES[family][0], _INSIDE[family][1]
        # Whatever is a bit too short, one of these is in it.
        beside = [str(ipaddress.ip_address(one) + step) for step in (-1, 1, 4)]
        chain = f"host{family}"
        apply_rules(firewall, "forward", Rule(DROP, source=[one, f"{other}/{length}"], **ABOUT_ONE), chain=chain)
        what = "two addresses are dropped"
        _by_address(topology, "source", family, passing=beside, stopped=[one, other], what=what)
        replace_rules(firewall, Rule(DROP, source=everything, **ABOUT_ONE), chain=chain)
        _by_address(topology, "source", family, passing=[], stopped=[one, beside[0]], what=f"{everything} is dropped")
        if family == 4:
            _by_address(topology, "source", 6, passing=_INSIDE[6][:1], stopped=[], what=f"{everything} is dropped")


@spec("FW-43", "A rule can be about any number of addresses, and matches each of them.", capability=BOTH)
def test_many_addresses(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = _routed(net)
    for side in ("source", "destination"):
        rules = [drop(**{side: _MANY_ADDRESSES[family]}, **ABOUT_ONE) for family in (4, 6)]
        apply_rules(firewall, "forward", *rules, chain=side)
        for family in (4, 6):
            listed = [_MANY_ADDRESSES[family][at] for at in (0, 8, 11)]
            _by_address(topology, side, family, passing=_INSIDE[family], stopped=listed, what="a list of 12 addresses")


@spec(
    "FW-44",
    "A rule about all addresses but some is about none of those, however many, and about no other family.",
    capability=BOTH,
)
def test_not_these_addresses(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = _routed(net)
    many, others = _MANY_ADDRESSES[4], _INSIDE[4]
    for side in ("source", "destination"):
        chain = f"not-{side}"
        apply_rules(firewall, "forward", drop(**{side: Not(many[0])}, **ABOUT_ONE), chain=chain)
        _by_address(topology, side, 4, passing=many[:1], stopped=others, what="all but one address")
        _by_address(topology, side, 6, passing=_INSIDE[6][:1], stopped=[], what="all but an address of IPv4")
        replace_rules(firewall, drop(**{side: Not(*many)}, **ABOUT_ONE), chain=chain)
        passing, stopped = (many[0], many[5], many[11]), others
        _by_address(topology, side, 4, passing=passing, stopped=stopped, what="all but a list of 12 addresses")
        firewall.remove_chain(chain)


@spec(
    "FW-45",
    "With lists of sources and of destinations, one of them negated, a rule matches what both match and nothing else.",
    level="full",
    capability=FILTER,
)
def test_addresses_of_both_sides(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = _routed(net)
    many, (inside, other) = _MANY_ADDRESSES[4], _INSIDE[4]
    apply_rules(firewall, "forward", Rule(DROP, source=many, destination=Not(*many), **ABOUT_ONE))
    passing = ((many[0], many[11]), (inside, many[0]), (inside, other))
    for source, destination in passing:
        flow = ONE.but(source=source, destination=destination)
        topology.passes(flow, fence=CONTROL, what=f"from {source} to {destination}, of which one is not meant")
    for source, destination in ((many[0], inside), (many[11], other)):
        flow = ONE.but(source=source, destination=destination)
        topology.stops(flow, control=CONTROL, what=f"from {source} to {destination}, which both are meant")


# -- interfaces ---------------------------------------------------------------------------------------


@spec(
    "FW-50",
    "A rule about the interface that packets come by is about no other, one with a longer name included.",
    capability=FILTER,
)
def test_in_interface(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "ab", "c", families=(4,))
    apply_rules(firewall, "forward", Rule(DROP, in_interface=topology.device("a"), **ABOUT_ONE))
    # Those that leave by the interface, and those that come by another one.
    passing = [ONE.but(sender="ab", receiver="c"), ONE.but(sender="c", receiver="a")]
    stopped = [ONE.but(sender="a", receiver="c")]
    _by_interface(topology, passing, stopped, "a rule about one interface")


@spec("FW-51", "A rule about the interface that packets leave by is about no other.", capability=FILTER)
def test_out_interface(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "ab", "c", families=(4,))
    apply_rules(firewall, "forward", Rule(DROP, out_interface=topology.device("a"), **ABOUT_ONE))
    passing = [ONE.but(sender="c", receiver="ab"), ONE.but(sender="a", receiver="c")]
    stopped = [ONE.but(sender="c", receiver="a")]
    _by_interface(topology, passing, stopped, "a rule about one interface")


@spec(
    "FW-52",
    "A rule about both interfaces is about packets that come by the one and leave by the other.",
    capability=FILTER,
)
def test_both_interfaces(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b", "c", families=(4,))
    apply_rules(
        firewall,
        "forward",
        Rule(DROP, in_interface=topology.device("a"), out_interface=topology.device("b"), **ABOUT_ONE),
    )
    passing = [ONE.but(receiver="c"), ONE.but(sender="c"), ONE.but(sender="b", receiver="a")]
    _by_interface(topology, passing, [ONE], "from one interface to another")


@spec("FW-53", "A rule can be about several interfaces, or about all but these.", capability=FILTER)
def test_several_interfaces(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b", "c", "d", families=(4,))
    two = [topology.device("a"), topology.device("b")]
    from_a, from_b, from_c = (ONE.but(sender=name, receiver="d") for name in ("a", "b", "c"))
    apply_rules(firewall, "forward", Rule(DROP, in_interface=two, **ABOUT_ONE))
    _by_interface(topology, [from_c], [from_a, from_b], "two interfaces")
    replace_rules(firewall, Rule(DROP, in_interface=Not(*two), **ABOUT_ONE))
    _by_interface(topology, [from_a, from_b], [from_c], "all but two interfaces")
    replace_rules(firewall, Rule(DROP, out_interface=Not(two[0]), **ABOUT_ONE))
    _by_interface(topology, [ONE.but(sender="d", receiver="a")], [ONE.but(sender="d")], "all but one interface")


@spec("FW-54", "A rule about an interface that is not there yet is about it as soon as it is.", capability=FILTER)
def test_interface_to_come(firewall: FirewallUnderTest, net: Sandbox) -> None:
    apply_rules(firewall, "forward", Rule(DROP, in_interface="p-a", **ABOUT_ONE))
    topology = Routed(net, "a", "b", families=(4,))
    assert topology.device("a") == "p-a", f"the interface is called {topology.device('a')}"
    _by_interface(topology, [ONE.but(sender="b", receiver="a")], [ONE], "an interface that came later")


def _by_interface(topology: Network, passing: list[Flow], stopped: list[Flow], what: str) -> None:
    for flow in passing:
        topology.passes(flow, what=what)
    for flow in stopped:
        topology.stops(flow, control=flow.but(dport=CONTROL.dport), what=what)
