"""What hides ports from a quick look, fragments and extension headers: no way past a rule about them."""

from __future__ import annotations

import contextlib
from typing import Any

from conformance.errors import Inconclusive
from conformance.harness import FirewallUnderTest
from conformance.spec import spec
from conformance.specs.firewall.probes import BOTH, FILTER, apply_rules, behind_options, replace_rules
from conformance.topology import packets
from conformance.topology.routed import HOST, Flow, Network, Routed
from conformance.topology.sandbox import Sandbox
from refnet.firewall import ACCEPT, DROP, Rule

_DROPPED, _OPEN = 7001, 7002


def _cut(topology: Network, flow: Flow, size: int) -> Flow:
    """Return a flow of the same datagrams in fragments, with so many bytes in each."""
    whole = topology.settled(flow)
    assert whole.source is not None and whole.destination is not None
    ends = whole.source, whole.destination, whole.sport, whole.dport
    # An identification of its own: fragments of two datagrams are not to be put together.
    return whole.but(craft=lambda token: packets.fragments(packets.udp(*ends, token), size, identification=whole.sport))


def _stays_out(topology: Network, flow: Flow, control: Flow, what: str) -> None:
    """Prove that a program at the receiver gets the datagrams of ``control``, and not those of ``flow``.

    Fragments may arrive, as long as they cannot be put together.
    """
    with contextlib.ExitStack() as held:
        held.enter_context(topology.awake(flow.receiver))
        place, stack = topology.address(flow.receiver, flow.family), topology.stack(flow.receiver)
        shut, open_ = (held.enter_context(stack.datagram_socket(place, one.dport)) for one in (flow, control))
        topology.send(flow)
        (last, *_) = topology.send(control)
        open_.settimeout(topology.net.arrival_limit)
        try:
            arrived = last.token in open_.recv(2048)
        except OSError:
            arrived = False
        if not arrived:
            raise Inconclusive(f"{what}: the control (port {control.dport}) did not arrive at {flow.receiver}")
        shut.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            length = len(shut.recv(2048))
            raise AssertionError(f"{what}: {length} bytes in fragments reached port {flow.dport} of {flow.receiver}")


def _cannot_bypass(firewall: FirewallUnderTest, net: Sandbox, family: int) -> None:
    topology = Routed(net, "a", "b", families=(family,))
    about: dict[str, Any] = {"family": family, "protocol": "udp"}
    for hook in ("forward", "input"):
        apply_rules(firewall, hook, Rule(DROP, destination_ports=_DROPPED, **about), chain=hook)
    for receiver in ("b", HOST):
        for size in (24, 8):
            flow, control = (Flow(receiver=receiver, dport=port, family=family) for port in (_DROPPED, _OPEN))
            control = _cut(topology, control, size)
            _stays_out(topology, _cut(topology, flow, size), control, f"a port is dropped, fragments of {size} bytes")
    for hook in ("forward", "input"):
        rules = Rule(ACCEPT, destination_ports=_OPEN, **about), Rule(DROP, **about)
        replace_rules(firewall, *rules, chain=hook)
    for receiver in ("b", HOST):
        flow, control = (Flow(receiver=receiver, dport=port, family=family) for port in (_DROPPED, _OPEN))
        _stays_out(topology, _cut(topology, flow, 24), control, "all ports but one are dropped")


@spec(
    "FW-65",
    "A datagram to a port that is not let pass does not get through in fragments of IPv4 either.",
    capability=FILTER,
)
def test_fragments_of_ipv4(firewall: FirewallUnderTest, net: Sandbox) -> None:
    _cannot_bypass(firewall, net, 4)


@spec(
    "FW-66",
    "A datagram to a port that is not let pass does not get through in fragments of IPv6 either.",
    capability=BOTH,
)
def test_fragments_of_ipv6(firewall: FirewallUnderTest, net: Sandbox) -> None:
    _cannot_bypass(firewall, net, 6)


@spec("FW-67", "An extension header of IPv6 in front of UDP hides no port from a rule.", capability=BOTH)
def test_extension_header(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = Routed(net, "a", "b", families=(6,))
    about: dict[str, Any] = {"family": 6, "protocol": "udp"}

    def hidden(port: int) -> Flow:
        whole = topology.settled(Flow(dport=port, family=6))
        assert whole.source is not None and whole.destination is not None
        ends = whole.source, whole.destination
        return whole.but(craft=lambda token: behind_options(packets.udp(*ends, whole.sport, port, token)))

    apply_rules(firewall, "forward")
    for rules in (
        [Rule(DROP, destination_ports=_DROPPED, **about)],
        [Rule(ACCEPT, destination_ports=_OPEN, **about), Rule(DROP, **about)],
    ):
        replace_rules(firewall, *rules)
        control = hidden(_OPEN)
        topology.passes(control, what="a port that is open, behind destination options")
        topology.stops(hidden(_DROPPED), control=control, what="a port that is not, behind destination options")
