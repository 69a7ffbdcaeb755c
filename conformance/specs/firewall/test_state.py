"""Connections: what belongs to one, what does not, what ends one, and what is forgotten."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from conformance.harness import FirewallUnderTest
from conformance.spec import spec
from conformance.specs.firewall.ground import lay
from conformance.topology import packets
from conformance.topology.connection import Connection
from conformance.topology.frames import Frame
from conformance.topology.routed import Flow, Routed
from conformance.topology.sandbox import Sandbox
from refnet.firewall import ACCEPT, DROP, Capability, Dnat, Rule, State

STATE = (Capability.FILTER, Capability.CONNECTION_STATE)
STATE_OF_BOTH = (*STATE, Capability.FIREWALL_IPV6)
FORGET = (*STATE, Capability.FORGET_CONNECTIONS)
KNOWN = Rule(ACCEPT, states={State.ESTABLISHED, State.RELATED})


def from_a(r: Routed, **conditions: object) -> Rule:
    """Return a rule that lets through what comes from a."""
    return Rule(ACCEPT, in_interface=r.device("a"), **conditions)  # type: ignore[arg-type]


@spec(
    "ST-01",
    "The answer to a flow that may pass passes; the same packet without a flow that it answers to does not.",
    capability=STATE_OF_BOTH,
)
def test_answers(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b")
    lay(firewall, KNOWN, from_a(r), Rule(DROP))
    firewall.apply()
    for family, protocol in ((4, "udp"), (4, "tcp"), (6, "udp"), (6, "tcp")):
        what = f"{protocol} over IPv{family}"
        asked = Flow("a", "b", protocol, 53, family=family, sport=5001)
        r.passes(asked, what=f"a flow that may pass, {what}")
        r.passes(asked.back(), what=f"its answer, {what}")
        for stranger in (asked.but(sport=5002).back(), asked.back(dport=53, sport=5001)):
            r.stops(stranger, control=asked.back(), what=f"an answer that nobody asked for, {what}")


@spec(
    "ST-02",
    "An ICMP error about a flow that is known passes as related; one about a flow that is not, does not.",
    capability=STATE,
)
def test_related(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    lay(firewall, KNOWN, from_a(r), Rule(DROP))
    firewall.apply()
    r.passes(Flow("a", "b", "udp", 53, sport=5001), what="a flow that may pass")

    def error_about(sport: int) -> Flow:
        def craft(token: bytes) -> bytes:
            about = packets.udp(r.address("a"), r.address("b"), sport, 53, token)
            return packets.icmp_error(r.address("b"), r.address("a"), about, packets.UNREACHABLE[0], 3)

        return Flow("b", "a", "icmp", craft=craft)

    genuine = error_about(5001)
    r.passes(genuine, what="an ICMP error about a flow that is known")
    r.stops(error_about(5002), control=genuine, what="an ICMP error about a flow that there is not")


@spec(
    "ST-03",
    "A TCP reset that is out of the window of its connection neither passes nor ends it.",
    capability=STATE,
)
def test_out_of_window(firewall: FirewallUnderTest, net: Sandbox) -> None:
    stays_in_window(firewall, net, 4)


def stays_in_window(firewall: FirewallUnderTest, net: Sandbox, family: int) -> None:
    """Prove that a reset out of a connection's window neither passes nor ends it."""
    r = Routed(net, "a", "b", families=(family,))
    new = from_a(r, states=State.NEW)
    lay(firewall, KNOWN, new, Rule(DROP))
    firewall.apply()
    with r.connected(Flow("a", "b", "tcp", 8000, family=family), what="a connection that may pass") as connection:
        connection.exchange(what="the connection")
        token = net.new_token()
        reset = connection.segment("R", ahead=1 << 30, payload=token)
        (fence,) = r.frames(Flow("a", "b", "udp", 53, family=family))
        net.withholds(
            r.guests["a"],
            Frame(reset.data, token),
            r.guests["b"],
            fence=(r.guests["a"], fence),
            what="a reset out of the window",
        )
        connection.exchange(what="the connection after a reset out of its window")


@spec("ST-04", "What starts no connection and belongs to none is invalid.", capability=STATE)
def test_invalid(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    lay(firewall, Rule(DROP, states=State.INVALID))
    firewall.apply()
    start = Flow("a", "b", "tcp", 80)
    for flags in ("SA", "R"):
        r.stops(start.but(flags=flags), control=start, what=f"a segment with {flags} of no connection")


@spec("ST-05", "New is what starts a connection: neither its answers nor what follows them.", capability=STATE)
def test_new(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    counted = Rule(ACCEPT, states=State.NEW, protocol="udp", destination_ports=53)
    chain = lay(firewall, counted, Rule(ACCEPT, states=State.ESTABLISHED), Rule(DROP, protocol="udp"))
    firewall.apply()
    asked = Flow("a", "b", "udp", 53, sport=5001)
    r.passes(asked, what="what starts a flow")
    r.passes(asked.back(), what="its answer")
    r.passes(asked, what="what follows the answer")
    firewall.remove_rule(chain, counted)
    firewall.apply()
    r.passes(asked, what="a flow that is known, when new ones may not pass")
    r.stops(asked.but(sport=5002), control=asked, what="a new flow, when new ones may not pass")


@spec(
    "ST-06",
    "With the rule removed that let a connection start, it goes on where established ones may, and no other can start.",
    capability=STATE,
)
def test_goes_on(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    new = from_a(r, protocol="tcp", destination_ports=8000)
    chain = lay(firewall, KNOWN, new, Rule(DROP, protocol="tcp"))
    firewall.apply()
    with r.connected(Flow("a", "b", "tcp", 8000), what="a connection that may pass") as connection:
        connection.exchange(what="the connection")
        firewall.remove_rule(chain, new)
        firewall.apply()
        connection.exchange(what="an established connection whose rule was removed")
        r.stops(
            Flow("a", "b", "tcp", 8000),
            control=Flow("a", "b", "udp", 53),
            what="a new connection whose rule was removed",
        )


@spec(
    "ST-07",
    "With the rule removed that let a connection pass, and none for established ones, it is cut at once.",
    capability=Capability.FILTER,
)
def test_is_cut(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    pair = (
        Rule(ACCEPT, protocol="tcp", in_interface=r.device("a"), destination_ports=8000),
        Rule(ACCEPT, protocol="tcp", in_interface=r.device("b"), source_ports=8000),
    )
    chain = lay(firewall, *pair, Rule(DROP, protocol="tcp"))
    firewall.apply()
    with r.connected(Flow("a", "b", "tcp", 8000), what="a connection that may pass") as connection:
        connection.exchange(what="the connection")
        for rule in pair:
            firewall.remove_rule(chain, rule)
        firewall.apply()
        connection.is_cut(control=Flow("a", "b", "udp", 5300), what="a connection whose rules were removed")


@contextlib.contextmanager
def _two_connections(firewall: FirewallUnderTest, r: Routed, family: int) -> Iterator[tuple[Connection, Connection]]:
    """Have a's and c's connections to b, established, when no new one can start any more."""
    new = Rule(ACCEPT, protocol="tcp", destination_ports=[8000, 8001])
    chain = lay(firewall, KNOWN, new, Rule(DROP, protocol="tcp"))
    firewall.apply()
    flow = Flow("a", "b", "tcp", 8000, family=family)
    with contextlib.ExitStack() as open_ones:
        pair = [
            open_ones.enter_context(r.connected(flow.but(sender=name, dport=port), what=f"{name}'s connection"))
            for name, port in (("a", 8000), ("c", 8001))
        ]
        for connection in pair:
            connection.exchange(what="a connection that may pass")
        firewall.remove_rule(chain, new)
        firewall.apply()
        yield pair[0], pair[1]


@spec(
    "ST-08",
    "Forgetting the connections of an IPv4 address cuts these, says how many, and leaves those of others.",
    capability=FORGET,
)
def test_forget(firewall: FirewallUnderTest, net: Sandbox) -> None:
    _forgets(firewall, net, 4)


@spec(
    "ST-09",
    "Forgetting the connections of an IPv6 address cuts these, says how many, and leaves those of others.",
    capability=(*FORGET, Capability.FIREWALL_IPV6),
)
def test_forget_ipv6(firewall: FirewallUnderTest, net: Sandbox) -> None:
    _forgets(firewall, net, 6)


def _forgets(firewall: FirewallUnderTest, net: Sandbox, family: int) -> None:
    r = Routed(net, "a", "b", "c", families=(family,))
    with _two_connections(firewall, r, family) as (of_a, of_c):
        other = {4: "192.0.2.77", 6: "2001:db8::77"}[family]
        assert firewall.forget_connections(other) == 0, f"connections of {other} were forgotten, who has none"
        of_a.exchange(what="a connection, after another's were forgotten")
        count = firewall.forget_connections(r.address("a", family))
        assert isinstance(count, int) and count >= 1, f"a has a connection, and forgotten were {count!r}"
        of_a.is_cut(control=Flow("a", "b", "udp", 5300, family=family), what="a connection that was forgotten")
        of_c.exchange(what="another's connection to the same server")


@spec(
    "ST-10",
    "A flow that was forwarded to one address goes to another, when the rule says so and the first one's connections "
    "were forgotten.",
    capability=(Capability.NAT, Capability.FORGET_CONNECTIONS),
)
def test_re_pointed(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", "c", families=(4,))
    here = r.gateway("a")

    def to(name: str) -> Rule:
        return Rule(Dnat(r.address(name), ports=53), protocol="udp", destination=here, destination_ports=53)

    chain = lay(firewall, to("b"), hook="prerouting", table="nat")
    firewall.apply()
    flow = Flow("a", "b", "udp", 53, sport=5001, destination=here)
    r.passes(flow, what="a forwarded flow")
    firewall.remove_rule(chain, to("b"), table="nat")
    firewall.add_rule(chain, to("c"), table="nat")
    firewall.apply()
    count = firewall.forget_connections(r.address("b"))
    assert count >= 1, f"a flow is translated to b's address, and forgotten were {count!r}"
    seen = r.passes(flow.but(receiver="c"), what="the same flow, forwarded to another address now")
    assert seen.destination == r.address("c"), f"it is forwarded to c, who sees {seen}"


@spec(
    "ST-11",
    "Rules tell flows that were forwarded from flows that were not.",
    capability=(Capability.FILTER, Capability.NAT, Capability.TRANSLATED_STATE),
)
def test_translated(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    here, there = r.gateway("a"), r.address("b")
    lay(
        firewall,
        Rule(Dnat(there, ports=80), protocol="tcp", destination=here, destination_ports=8080),
        hook="prerouting",
        table="nat",
    )
    lay(firewall, Rule(ACCEPT, states=State.DNAT), Rule(DROP, protocol="tcp"))
    firewall.apply()
    forwarded = Flow("a", "b", "tcp", 8080, destination=here)
    r.stops(Flow("a", "b", "tcp", 80), control=forwarded, what="a flow that was not forwarded")
