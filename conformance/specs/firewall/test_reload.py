"""Changing rules under traffic: nothing leaks, nothing is lost; and what rules have counted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from conformance.harness import FirewallUnderTest
from conformance.spec import spec
from conformance.specs.firewall.ground import lay
from conformance.topology.routed import Flow, Routed
from conformance.topology.sandbox import Sandbox
from conformance.topology.streams import Streams
from refnet.firewall import ACCEPT, DROP, Capability, Dnat, Rule

COUNTERS = (Capability.FILTER, Capability.COUNTERS)
#: A datagram's ports: those that may pass, those that may not.
OPEN, CLOSED = 7001, 7002
ROUNDS = 5


def udp(action: object, *ports: int, **conditions: object) -> Rule:
    """Return a rule about UDP ports."""
    return Rule(action, protocol="udp", destination_ports=ports, **conditions)  # type: ignore[arg-type]


@contextlib.contextmanager
def _under_traffic(firewall: FirewallUnderTest, net: Sandbox, what: str) -> Iterator[tuple[str, Streams]]:
    """Have streams to an open and to a closed port of both families, whose packets each start a flow."""
    families = (4, 6) if Capability.FIREWALL_IPV6 in firewall.capabilities() else (4,)
    r = Routed(net, "a", "b", families=families)
    chain = lay(firewall, udp(ACCEPT, OPEN), udp(DROP, 7000, 7003), udp(DROP, CLOSED))
    firewall.apply()
    passing = [Flow("a", "b", "udp", OPEN, family=family) for family in families]
    stopped = [Flow("a", "b", "udp", CLOSED, family=family) for family in families]
    with r.streaming(passing=passing, stopped=stopped, fresh=True, what=what) as streams:
        yield chain, streams


@spec(
    "RL-01",
    "While rules are added and removed, one at a time, not one packet leaks and not one is lost.",
    capability=Capability.FILTER,
)
def test_one_by_one(firewall: FirewallUnderTest, net: Sandbox) -> None:
    with _under_traffic(firewall, net, "rules that come and go") as (chain, streams):
        for number in range(ROUNDS):
            firewall.add_rule(chain, udp(DROP, 9000 + number), first=bool(number % 2))
            firewall.apply()
            streams.more(5)
        for number in range(ROUNDS):
            firewall.remove_rule(chain, udp(DROP, 9000 + number))
            firewall.apply()
            streams.more(5)


@spec(
    "RL-02",
    "While all rules are written anew, by resync or by a manager that comes after, not one packet leaks or is lost.",
    capability=Capability.FILTER,
)
def test_all_anew(firewall: FirewallUnderTest, net: Sandbox) -> None:
    with _under_traffic(firewall, net, "rules that are written anew") as (_, streams):
        for _ in range(2):
            firewall.resync()
            streams.more(5)
        other = firewall.fresh()
        lay(other, udp(DROP, CLOSED), udp(ACCEPT, OPEN))
        other.apply()
        streams.more(5)
        firewall.resync()


@spec(
    "RL-03",
    "A chain whose rules are replaced by others in one apply is the old one or the new one to every packet.",
    capability=Capability.FILTER,
)
def test_replaced(firewall: FirewallUnderTest, net: Sandbox) -> None:
    with _under_traffic(firewall, net, "rules that are replaced") as (chain, streams):
        for number in range(ROUNDS):
            with firewall.deferred():
                firewall.empty_chain(chain)
                firewall.add_rule(chain, udp(DROP, CLOSED, 9000 + number))
                firewall.add_rule(chain, udp(ACCEPT, OPEN))
                firewall.add_rule(chain, udp(DROP, OPEN))
            streams.more(5)


@spec(
    "RL-04",
    "While translations of others come and go, every new flow to a forwarded port is forwarded.",
    capability=(Capability.FILTER, Capability.NAT),
)
def test_translations(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    here = r.gateway("a")

    def forwarded(port: int) -> Rule:
        return udp(Dnat(r.address("b"), ports=53), port, destination=here)

    chain = lay(firewall, forwarded(OPEN), hook="prerouting", table="nat")
    firewall.apply()
    flow = Flow("a", "b", "udp", OPEN, destination=here)
    with r.streaming(passing=[flow], fresh=True, what="a forwarded port") as streams:
        for number in range(ROUNDS):
            firewall.add_rule(chain, forwarded(9000 + number), table="nat", first=True)
            firewall.apply()
            streams.more(5)
            firewall.remove_rule(chain, forwarded(9000 + number), table="nat")
            firewall.apply()
        firewall.resync()
        streams.more(5)


@spec(
    "RL-05",
    "A connection lives on through every apply and resync that leaves it its rules.",
    capability=(Capability.FILTER, Capability.CONNECTION_STATE),
)
def test_connection(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    new = Rule(ACCEPT, protocol="tcp", destination_ports=8000, states="new")
    chain = lay(firewall, Rule(ACCEPT, states="established"), new, Rule(DROP, protocol="tcp"))
    firewall.apply()
    with r.connected(Flow("a", "b", "tcp", 8000), what="a connection that may pass") as connection:
        connection.exchange(what="the connection")
        firewall.remove_rule(chain, new)
        firewall.add_rule(chain, udp(DROP, CLOSED), first=True)
        firewall.apply()
        connection.exchange(what="the connection after an apply")
        firewall.resync()
        connection.exchange(what="the connection after resync")


# -- counters ---------------------------------------------------------------------------------------------


def _count(r: Routed, *ports: int, times: int = 3, families: tuple[int, ...] = (4, 6)) -> int:
    """Send datagrams to ports, so that all of them have been counted; return the bytes of those to the first port."""
    size = 0
    for port in ports:
        for family in families:
            flow = Flow("a", "b", "udp", port, family=family)
            for _ in range(times):
                sent = r.send(flow)
                size += sum(len(frame.data) - 14 for frame in sent) if port == ports[0] else 0
    for family in families:
        r.passes(Flow("a", "b", "tcp", 80, family=family), what="what follows the packets to be counted")
    return size


@spec(
    "RL-06",
    "A rule counts the packets that match it and their bytes, those of both families together, and no others.",
    capability=(*COUNTERS, Capability.FIREWALL_IPV6),
)
def test_counters(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b")
    chain = lay(firewall, udp(DROP, CLOSED), udp(DROP, OPEN), udp(DROP, 9000))
    firewall.apply()
    size = _count(r, CLOSED, OPEN)
    found = firewall.counters(chain)
    assert [one.packets for one in found] == [6, 6, 0], f"6, 6 and 0 packets were sent, and counted are {found}"
    assert found[0].bytes == size, f"{size} bytes were sent, and counted are {found[0].bytes}"


@spec(
    "RL-07",
    "What a rule has counted stays when others come and go, at resync, and when a manager of a new process applies.",
    capability=COUNTERS,
)
def test_counters_stay(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    rules = (udp(DROP, CLOSED), udp(DROP, OPEN))
    chain = lay(firewall, *rules)
    firewall.apply()
    _count(r, CLOSED, OPEN, times=2, families=(4,))
    counted = (2, 2)

    def see(manager: FirewallUnderTest, rest: int, what: str) -> None:
        found = dict(zip(manager.rules(chain), manager.counters(chain), strict=True))
        packets = tuple(found[rule].packets for rule in rules)
        assert packets == counted, f"after {what}, the rules have counted {packets}, and not {counted} any more"
        assert len(found) == 2 + rest, f"after {what}, there are counters of {len(found)} rules"

    firewall.add_rule(chain, udp(DROP, 9000), first=True)
    firewall.add_rule(chain, udp(DROP, 9001))
    firewall.apply()
    see(firewall, 2, "two rules more")
    firewall.remove_rule(chain, udp(DROP, 9000))
    firewall.apply()
    see(firewall, 1, "one rule less")
    firewall.resync()
    see(firewall, 1, "resync")
    other = firewall.fresh()
    lay(other, *rules)
    other.apply()
    see(other, 0, "the apply of another manager")


@spec(
    "RL-08",
    "Counters come in the order of the rules, whichever order these were added in.",
    capability=COUNTERS,
)
def test_order(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    chain = lay(firewall, udp(DROP, 7001), udp(DROP, 7002))
    firewall.apply()
    firewall.add_rule(chain, udp(DROP, 7003), first=True)
    firewall.add_rule(chain, udp(DROP, 7004), first=True)
    firewall.add_rule(chain, udp(DROP, 7005))
    firewall.apply()
    for port in range(7001, 7006):
        _count(r, port, times=port - 7000, families=(4,))
    expected = [4, 3, 1, 2, 5]
    found = [one.packets for one in firewall.counters(chain)]
    assert found == expected, f"in the order of the rules {expected} packets were sent, and counters() says {found}"


@spec(
    "RL-09",
    "A rule with many values counts once what matches it, however many lines the backend writes, and goes as a whole.",
    capability=COUNTERS,
)
def test_many_values(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    ports = [CLOSED, *range(8001, 8060, 2)]
    many = udp(DROP, *ports, source=[r.address("a"), *(f"192.0.2.{number}" for number in range(1, 40, 2))])
    chain = lay(firewall, udp(DROP, 9000), many, udp(DROP, OPEN))
    firewall.apply()
    _count(r, CLOSED, 8059, OPEN, families=(4,))
    found = [one.packets for one in firewall.counters(chain)]
    assert found == [0, 6, 3], f"0, 6 and 3 packets were sent to the ports of three rules, and counted are {found}"
    other = firewall.fresh()
    lay(other, udp(DROP, 9000), many, udp(DROP, OPEN))
    other.apply()
    found = [one.packets for one in other.counters(chain)]
    assert found == [0, 6, 3], f"after the apply of another manager, counted are {found}"
    other.remove_rule(chain, many)
    other.apply()
    for port in (CLOSED, 8001, 8059):
        r.passes(Flow("a", "b", "udp", port), what=f"port {port} of a rule with many values that was removed")
