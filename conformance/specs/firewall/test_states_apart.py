"""Connections: states of IPv6, what is one state and not another, and what is in none of several."""

from __future__ import annotations

from conformance.harness import FirewallUnderTest
from conformance.spec import spec
from conformance.specs.firewall.ground import lay
from conformance.specs.firewall.test_state import KNOWN, STATE_OF_BOTH, from_a, stays_in_window
from conformance.system import LINUX
from conformance.topology import packets
from conformance.topology.routed import Flow, Routed
from conformance.topology.sandbox import Sandbox
from refnet.firewall import ACCEPT, DROP, Capability, Dnat, Not, Rule, Snat, State

_ASKED = Flow("a", "b", "udp", 53, sport=5001)


def _error_about(r: Routed, sport: int, family: int) -> Flow:
    """Return b's error about a datagram that a has sent, or has not, from this port."""
    a, b = r.address("a", family), r.address("b", family)

    def craft(token: bytes) -> bytes:
        about = packets.udp(a, b, sport, 53, token)
        return packets.icmp_error(b, a, about, packets.UNREACHABLE[family == 6], 4 if family == 6 else 3)

    return Flow("b", "a", "icmp", family=family, craft=craft)


@spec(
    "ST-12",
    "An ICMPv6 error about a flow that is known passes as related; one about a flow that is not, does not.",
    capability=STATE_OF_BOTH,
)
def test_related_ipv6(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(6,))
    lay(firewall, KNOWN, from_a(r), Rule(DROP))
    firewall.apply()
    r.passes(_ASKED.but(family=6), what="a flow that may pass")
    genuine = _error_about(r, 5001, 6)
    r.passes(genuine, what="an ICMPv6 error about a flow that is known")
    r.stops(_error_about(r, 5002, 6), control=genuine, what="an ICMPv6 error about a flow that there is not")


@spec(
    "ST-13",
    "What is related to a flow is not established: an ICMP error does not pass where only established ones may.",
    capability=STATE_OF_BOTH,
    systems=(LINUX,),  # elsewhere connection tracking lets both pass, whichever is named
)
def test_related_is_not_established(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b")
    lay(firewall, Rule(ACCEPT, states=State.ESTABLISHED), from_a(r), Rule(DROP))
    firewall.apply()
    for family in (4, 6):
        asked = _ASKED.but(family=family)
        r.passes(asked, what="a flow that may pass")
        what = "an ICMP error about a flow, where only established ones may pass"
        r.stops(_error_about(r, 5001, family), control=asked.back(), what=what)


@spec("ST-14", "A rule about what is in none of some states is about what is in another.", capability=STATE_OF_BOTH)
def test_not_these_states(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b")
    invalid = Rule(DROP, states=Not(State.NEW, State.ESTABLISHED, State.RELATED), in_interface=r.device("a"))
    chain = lay(firewall, invalid)
    firewall.apply()
    for family in (4, 6):
        start = Flow("a", "b", "tcp", 80, family=family, sport=5001)
        r.passes(start, what="what starts a flow, where all is dropped that does not start or belong to one")
        r.stops(Flow("a", "b", "tcp", 80, family=family, flags="SA"), control=start, what="what belongs to no flow")
    firewall.empty_chain(chain)
    firewall.add_rule(chain, from_a(r))
    firewall.add_rule(chain, Rule(DROP, states=Not(State.ESTABLISHED, State.RELATED), in_interface=r.device("b")))
    firewall.apply()
    for family in (4, 6):
        asked = _ASKED.but(family=family)
        r.passes(asked, what="what starts a flow, from the other side")
        r.passes(asked.back(), what="what answers to it")
        stranger = asked.but(sport=5002).back()
        r.stops(stranger, control=asked.back(), what="what starts a flow, where only answers may pass")


@spec(
    "ST-15",
    "Whether a flow's source was translated, and whether its destination was, are two things to rules.",
    capability=(Capability.FILTER, Capability.NAT, Capability.TRANSLATED_STATE),
)
def test_which_was_translated(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    here, there = r.gateway("a"), r.address("b")
    lay(firewall, Rule(Snat("192.0.2.7"), protocol="udp", destination_ports=53), hook="postrouting", table="nat")
    forwarding = Rule(Dnat(there, ports=54), protocol="udp", destination=here, destination_ports=54)
    lay(firewall, forwarding, hook="prerouting", table="nat")
    lay(firewall, from_a(r), Rule(ACCEPT, states=State.SNAT), Rule(DROP, protocol="udp"))
    firewall.apply()
    seen = r.passes(_ASKED, what="a flow whose source is translated")
    answer = _ASKED.back(destination=seen.source, dport=seen.sport)
    r.passes(answer, what="the answer to a flow whose source was translated")
    forwarded = Flow("a", "b", "udp", 54, sport=5002, destination=here)
    r.passes(forwarded, what="a flow whose destination is translated")
    other = forwarded.back(source=there)
    r.stops(other, control=answer, what="the answer to a flow whose destination was translated, and not its source")


@spec("ST-16", "What starts no connection of IPv6 and belongs to none is invalid.", capability=STATE_OF_BOTH)
def test_invalid_ipv6(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b")
    lay(firewall, Rule(DROP, states=State.INVALID))
    firewall.apply()
    start = Flow("a", "b", "tcp", 80, family=6)
    for flags in ("SA", "R"):
        r.stops(start.but(flags=flags), control=start, what=f"a segment with {flags} of no connection")


@spec(
    "ST-17",
    "A TCP reset over IPv6 that is out of the window of its connection neither passes nor ends it.",
    capability=STATE_OF_BOTH,
)
def test_out_of_window_ipv6(firewall: FirewallUnderTest, net: Sandbox) -> None:
    stays_in_window(firewall, net, 6)
