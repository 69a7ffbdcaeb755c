"""What the sender is told: nothing by DROP, and by REJECT what the rule says."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

from conformance.harness import FirewallUnderTest
from conformance.spec import spec
from conformance.specs.firewall.probes import BOTH, FILTER, apply_rules, replace_rules
from conformance.topology import packets
from conformance.topology.packets import ICMP, ICMPV6, TCP, Packet
from conformance.topology.routed import HOST, Flow, Network, Routed
from conformance.topology.sandbox import Sandbox
from refnet.firewall import ACCEPT, DROP, Answer, Reject, Rule

_PORT = 7001
_UDP, _TCP = Flow(dport=_PORT), Flow(protocol="tcp", dport=_PORT)
_SPORT = 4321
#: What shows, by arriving at the sender, that no answer is on its way any more.
_CONTROL = Flow(HOST, "a", dport=9)
#: Type and code in ICMP and in ICMPv6: RFC 792, RFC 1812 (13), RFC 4443; as iptables-extensions(8) has them.
_CODES = {
    Answer.PORT_UNREACHABLE: {4: (3, 3), 6: (1, 4)},
    Answer.HOST_UNREACHABLE: {4: (3, 1), 6: (1, 3)},
    Answer.NET_UNREACHABLE: {4: (3, 0), 6: (1, 0)},
    Answer.ADMIN_PROHIBITED: {4: (3, 13), 6: (1, 1)},
}
#: Seconds in which a program has to learn that its connection is refused: long before its kernel gives up by itself.
_REFUSED_LIMIT = 30.0


def _answer(topology: Network, flow: Flow, what: str, *, awaited: bool = False) -> Packet | None:
    return topology.answer(flow, control=_CONTROL.but(family=flow.family), what=what, awaited=awaited)


def _told(topology: Network, flow: Flow, expected: tuple[int, int], what: str) -> None:
    """Prove that the sender gets this type and code of ICMP, about its own packet, and nothing else."""
    packet = _answer(topology, flow, what, awaited=True)
    assert packet is not None, f"{what}: {flow} was not answered at all"
    protocol = ICMPV6 if flow.family == 6 else ICMP
    told = packet.protocol, packet.icmp_type, packet.icmp_code
    assert told == (protocol, *expected), (
        f"{what}: {flow} was answered with {packet}, not ICMP type {expected[0]} code {expected[1]}"
    )
    # Who answers is the router, and not in the name of whom the packet was sent to (RFC 1812, section 4.3.2.4).
    own = {topology.gateway(name, flow.family) for name in topology.guests}
    assert packet.source in own, f"{what}: {flow} was answered by {packet.source}, who is not the router ({own})"
    about = packet.quoted
    ends = topology.address(flow.sender, flow.family), topology.address(flow.receiver, flow.family)
    assert about is not None and (about.source, about.destination, about.dport) == (*ends, flow.dport), (
        f"{what}: the answer to {flow} is about {about}"
    )


def _is_reset(topology: Network, flow: Flow, expected: tuple[int, int | None], what: str) -> None:
    """Prove that the sender gets a segment with RST that its kernel believes: ``expected`` are seq and ack."""
    packet = _answer(topology, flow, what, awaited=True)
    assert packet is not None, f"{what}: {flow} was not answered at all"
    assert packet.protocol == TCP and "R" in packet.flags, f"{what}: {flow} was answered with {packet}, not with RST"
    ends = topology.address(flow.receiver, flow.family), flow.dport, topology.address(flow.sender, flow.family)
    assert (packet.source, packet.sport, packet.destination) == ends, f"{what}: the reset is {packet}"
    seq, ack = expected
    assert packet.seq == seq, f"{what}: the reset has sequence number {packet.seq}, not {seq}"
    if ack is not None:
        assert "A" in packet.flags and packet.ack == ack, f"{what}: the reset acknowledges {packet.ack}, not {ack}"


def _segment(topology: Network, flow: Flow, flags: str, seq: int, ack: int = 0) -> Flow:
    """Return a flow of TCP segments with these numbers, and without data, which an answer would count."""
    ends = topology.address(flow.sender, flow.family), topology.address(flow.receiver, flow.family)
    return flow.but(sport=_SPORT, craft=lambda _: packets.tcp(*ends, _SPORT, flow.dport, flags, seq=seq, ack=ack))


@spec("RJ-01", "DROP is silent: the sender of UDP, TCP or ICMP gets no answer of any kind.", capability=BOTH)
def test_drop_is_silent(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b")
    for hook in ("forward", "input"):
        apply_rules(firewall, hook, Rule(DROP), chain=hook)
    for family in (4, 6):
        for flow in (_UDP, _TCP, Flow(protocol="icmp")):
            for receiver in ("b", HOST):
                said = _answer(topology, flow.but(family=family, receiver=receiver), "a dropped packet")
                assert said is None, (
                    f"{flow.but(family=family, receiver=receiver)} was dropped and answered with {said}"
                )


@spec(
    "RJ-02",
    "A rejected packet does not arrive, and its sender is told: port unreachable, if nothing else is said.",
    capability=BOTH,
)
def test_reject(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b")
    apply_rules(firewall, "forward", Rule(Reject(), protocol="udp", destination_ports=_PORT))
    for family in (4, 6):
        flow, other = _UDP.but(family=family), Flow(dport=9, family=family)
        topology.stops(flow, control=other, what="a rejected packet")
        _told(topology, flow, _CODES[Answer.PORT_UNREACHABLE][family], "a rejected packet")
        said = _answer(topology, other, "a packet that the rule is not about")
        assert said is None, f"{other} was let pass and answered with {said}"


def _each_answer(firewall: FirewallUnderTest, net: Sandbox, family: int) -> None:
    topology = Routed(net, "a", "b", families=(family,))
    rules = {
        answer: Rule(Reject(answer), family=family, protocol="udp", destination_ports=_PORT + at)
        for at, answer in enumerate(_CODES)
    }
    apply_rules(firewall, "forward", *rules.values())
    for at, answer in enumerate(_CODES):
        flow = Flow(dport=_PORT + at, family=family)
        _told(topology, flow, _CODES[answer][family], f"rejected with {answer}")


@spec(
    "RJ-03",
    "Each answer to IPv4 is ICMP of the type and code that its name means, about the packet.",
    capability=FILTER,
)
def test_answers_of_ipv4(firewall: FirewallUnderTest, net: Sandbox) -> None:
    _each_answer(firewall, net, 4)


@spec(
    "RJ-04",
    "Each answer to IPv6 is ICMPv6 of the type and code that its name means, about the packet.",
    capability=BOTH,
)
def test_answers_of_ipv6(firewall: FirewallUnderTest, net: Sandbox) -> None:
    _each_answer(firewall, net, 6)


@spec(
    "RJ-05",
    "A SYN is reset from the address and port that it was sent to, with its sequence number acknowledged.",
    capability=BOTH,
)
def test_reset(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b")
    rule = Rule(Reject(Answer.TCP_RESET), protocol="tcp", destination_ports=_PORT)
    apply_rules(firewall, "forward", rule)
    for family in (4, 6):
        flow = _TCP.but(family=family)
        topology.stops(flow, control=flow.but(dport=9), what="a rejected SYN")
        _is_reset(topology, _segment(topology, flow, "S", seq=1000), (0, 1001), "a rejected SYN")


@spec(
    "RJ-06",
    "A segment in the middle of a connection is reset with the sequence number that it acknowledges; a reset is not "
    "answered.",
    level="full",
    capability=FILTER,
)
def test_reset_in_the_middle(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b", families=(4,))
    apply_rules(firewall, "forward", Rule(Reject(Answer.TCP_RESET), protocol="tcp", destination_ports=_PORT))
    _is_reset(topology, _segment(topology, _TCP, "PA", seq=5000, ack=77_000), (77_000, None), "a rejected segment")
    said = _answer(topology, _segment(topology, _TCP, "R", seq=5000), "a rejected reset")
    assert said is None, f"a reset was answered with {said}"


@spec(
    "RJ-07", "A program whose connection is rejected with a reset learns at once that it is refused.", capability=BOTH
)
def test_connection_refused(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b")
    for hook in ("forward", "input"):
        rule = Rule(Reject(Answer.TCP_RESET), protocol="tcp", destination_ports=_PORT)
        apply_rules(firewall, hook, rule, chain=hook)
    for family in (4, 6):
        for receiver in ("b", HOST):
            flow = _TCP.but(receiver=receiver, family=family)
            error = _refusal(topology, flow)
            assert isinstance(error, ConnectionRefusedError), f"{flow}: the program's connection ended with {error!r}"


@spec("RJ-08", "What is rejected on its way into this host is answered as what goes through it.", capability=BOTH)
def test_reject_at_input(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b")
    rules = (
        Rule(Reject(Answer.ADMIN_PROHIBITED), protocol="udp", destination_ports=_PORT),
        Rule(Reject(Answer.TCP_RESET), protocol="tcp", destination_ports=_PORT),
    )
    apply_rules(firewall, "input", *rules)
    for family in (4, 6):
        flow = _UDP.but(receiver=HOST, family=family)
        topology.stops(flow, control=flow.but(dport=9), what="a rejected packet to the host")
        _told(topology, flow, _CODES[Answer.ADMIN_PROHIBITED][family], "rejected at input")
        segment = _segment(topology, _TCP.but(receiver=HOST, family=family), "S", seq=1000)
        _is_reset(topology, segment, (0, 1001), "rejected at input")


@spec(
    "RJ-09",
    "A program of this host whose connection is rejected on its way out learns it at once.",
    level="full",
    capability=FILTER,
)
def test_reject_at_output(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b", families=(4,))
    rule = Rule(Reject(Answer.TCP_RESET), protocol="tcp", destination_ports=_PORT)
    apply_rules(firewall, "output", rule)
    error = _refusal(topology, _TCP.but(sender=HOST))
    # Some systems tell the program themselves that it may not, before any packet could be answered.
    assert isinstance(error, OSError) and not isinstance(error, TimeoutError), f"the connection ended with {error!r}"


@spec(
    "RJ-10",
    "ACCEPT before REJECT, and DROP before REJECT, decide: nothing is answered.",
    level="full",
    capability=FILTER,
)
def test_reject_comes_in_its_turn(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b", families=(4,))
    reject = Rule(Reject(), protocol="udp")
    apply_rules(firewall, "forward", Rule(ACCEPT, protocol="udp", destination_ports=_PORT), reject)
    topology.passes(_UDP, what="accepted before it is rejected")
    _told(topology, Flow(dport=9), _CODES[Answer.PORT_UNREACHABLE][4], "rejected by the second rule")
    replace_rules(firewall, Rule(DROP, protocol="udp", destination_ports=_PORT), reject)
    said = _answer(topology, _UDP, "dropped before it is rejected")
    assert said is None, f"{_UDP} was dropped and answered with {said}"


@contextlib.contextmanager
def _sockets(topology: Network, flow: Flow) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Have a program that wants to connect, and one that listens, so that only a firewall refuses."""
    ends = [name for name in (flow.sender, flow.receiver) if name != HOST]
    stacks = [topology.net if name == HOST else topology.guests[name] for name in (flow.sender, flow.receiver)]
    here, there = (topology.address(name, flow.family) for name in (flow.sender, flow.receiver))
    with (
        topology.awake(*ends),
        stacks[0].stream_socket(here) as caller,
        stacks[1].stream_socket(there, flow.dport) as listener,
    ):
        listener.listen()
        caller.settimeout(_REFUSED_LIMIT)
        yield caller, listener


def _refusal(topology: Network, flow: Flow) -> OSError | None:
    """Return what a program is told that connects; None: it is connected."""
    with _sockets(topology, flow) as (caller, listener):
        try:
            caller.connect(listener.getsockname()[:2])
        except OSError as error:
            return error
    return None


@spec(
    "RJ-11",
    "TCP is rejected with the answer that the rule says, as all else is: by ICMP, if it is not a reset.",
    capability=BOTH,
)
def test_reject_tcp_by_icmp(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b")
    prohibited = Rule(Reject(Answer.ADMIN_PROHIBITED), protocol="tcp", destination_ports=_PORT)
    apply_rules(firewall, "forward", prohibited, Rule(Reject()))
    for family in (4, 6):
        flow = _TCP.but(family=family)
        for one, answer in (
            (flow, Answer.ADMIN_PROHIBITED),
            (flow.but(dport=9), Answer.PORT_UNREACHABLE),
            (_UDP.but(family=family), Answer.PORT_UNREACHABLE),
        ):
            _told(topology, one, _CODES[answer][family], f"rejected with {answer}")
