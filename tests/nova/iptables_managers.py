"""Nova's, Neutron's and refnet's IptablesManager: told the same calls, and judged by what becomes of the same packets.

Each gets the sandbox for itself, is told a sequence of calls, and packets are sent wherever the sequence applies.
"""

from __future__ import annotations

import contextlib
import itertools
import select
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import nova_train

from conformance.topology import packets
from conformance.topology.flows import HOST, Flow
from conformance.topology.linux import Sandbox
from conformance.topology.routed import Routed
from refnet.firewall import get_manager

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from neutron import privileged
    from neutron.agent.linux import iptables_manager

OWNER = "tests"
#: Passes first, by the chain "local", that both ask first, and on the way to this host by the first rule there.
FENCE = 253
VIRTUAL = "203.0.113.9"
PORTS = (1000, 1001, 1002)

#: A call: method, family, table, and its arguments; or the name of a manager's method.
Call = tuple[Any, ...]


# -- the three --------------------------------------------------------------------------------------------


class Nova:
    """Nova's manager, of a program that has just started."""

    shared = "nova"

    def __init__(self) -> None:
        self.manager = nova_train.iptables_manager(OWNER)

    def end(self, net: Sandbox) -> None:
        net.flush_rules()


class Neutron:
    """Neutron's, likewise."""

    shared = "neutron"

    def __init__(self) -> None:
        privileged.default.set_client_mode(False)
        self.manager = iptables_manager.IptablesManager(use_ipv6=True, nat=True, binary_name=OWNER, external_lock=False)

    def end(self, net: Sandbox) -> None:
        net.flush_rules()


class Refnet:
    """refnet's, likewise."""

    shared = "nova"

    def __init__(self) -> None:
        self.manager = get_manager(OWNER)

    def end(self, net: Sandbox) -> None:
        self.manager.teardown()


def tell(side: Any, call: Call) -> None:
    """Make a call of a sequence."""
    name, *rest = call
    if not rest:
        getattr(side.manager, name)()
        return
    family, table, arguments, options = rest
    tables = {4: side.manager.ipv4, 6: side.manager.ipv6}[family]
    words = [one.replace("SHARED", side.shared) for one in arguments]
    getattr(tables[table], name)(*words, **options)


# -- packets ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Arrival:
    """Where a packet came to, and how it looked there; a source port is of the sending, so not the same twice."""

    receiver: str
    source: str
    destination: str
    dport: int | None


class World:
    """A router between a, b and c."""

    def __init__(self, net: Sandbox) -> None:
        self.net = net
        self.routed = Routed(net, "a", "b", "c")
        self.here = {
            (protocol, port): net.own_end(protocol, self.routed.gateway("a"), port)
            for protocol, port in ((17, PORTS[0]), (17, PORTS[1]), (FENCE, 0))
        }
        self._sports = itertools.cycle(range(2000, 65000))
        # Long before the ports begin anew: what nobody answers is remembered for two minutes otherwise.
        with contextlib.suppress(FileNotFoundError):
            net.sysctl("net/netfilter/nf_conntrack_tcp_timeout_syn_sent", 10)

    def fates(self, flows: list[Flow]) -> list[Arrival | None]:
        """Send packets, and behind them fences, which pass anyhow; say what has come by when those have."""
        ends = {**self.routed.guests, HOST: None}
        tokens = []
        for guest in self.routed.guests.values():
            guest.receive()
        for end in self.here.values():
            end.receive()
        for flow in flows:
            # Each a connection of its own: connection tracking remembers what it has let pass, and translated.
            (frame,) = self.routed.frames(flow.but(sport=next(self._sports)))
            tokens.append(frame.token)
            ends["a"].send(frame)
        seen: list[tuple[str, bytes]] = []
        fences = [Flow("a", name, FENCE, family=family) for name in "bc" for family in (4, 6)]
        for flow in (*fences, Flow("a", HOST, FENCE)):
            (frame,) = self.routed.frames(flow)
            ends["a"].send(frame)
            where = self.here[FENCE, 0] if flow.receiver == HOST else ends[flow.receiver]
            seen += [(flow.receiver, data) for data in _until(where, frame.token)]
        for key, end in self.here.items():
            if key[0] != FENCE:
                seen += [(HOST, data) for data in end.receive()]
        return [_arrival(token, seen) for token in tokens]


def _until(end: Any, token: bytes) -> list[bytes]:
    seen: list[bytes] = []
    while not any(token in data for data in seen):
        ready, _, _ = select.select([end], [], [], 30)
        assert ready, "the fence did not arrive"
        seen += end.receive()
    return seen


def _arrival(token: bytes, seen: list[tuple[str, bytes]]) -> Arrival | None:
    for receiver, data in seen:
        if token in data:
            packet = packets.parse(data)
            dport = packet.dport if packet.protocol in (packets.UDP, packets.TCP) else None
            return Arrival(receiver, packet.source, packet.destination, dport)
    return None


#: All that rules below can tell apart.
FLOWS = [
    *(
        Flow("a", receiver, protocol, port, family=family)
        for receiver in "bc"
        for family in (4, 6)
        for protocol in ("udp", "tcp")
        for port in PORTS
    ),
    *(Flow("a", receiver, "icmp", family=family) for receiver in "bc" for family in (4, 6)),
    *(Flow("a", HOST, "udp", port) for port in PORTS[:2]),
    *(Flow("a", "b", protocol, port, destination=VIRTUAL) for protocol in ("udp", "tcp") for port in PORTS),
]


#: With these, fences pass. They are never taken away.
FIRST: list[Call] = [
    *(("add_rule", family, "filter", ["local", f"-p {FENCE} -j ACCEPT"], {}) for family in (4, 6)),
    ("add_rule", 4, "filter", ["INPUT", f"-p {FENCE} -j ACCEPT"], {"top": True}),
]


def fates(world: World, side: Any, calls: list[Call]) -> list[list[Arrival | None]]:
    """What becomes of packets each time that a sequence applies its rules, and in the end."""
    assert not world.net.look.rules()
    found = []
    try:
        for call in (*FIRST, *calls, ("apply",)):
            tell(side, call)
            if call[0] in ("apply", "defer_apply_off"):
                found.append(world.fates(FLOWS))
    finally:
        side.end(world.net)
    return found


def alike(world: World, others: Any, calls: list[Call]) -> list[list[Arrival | None]]:
    """One, or several, do the same with the packets as refnet's; return what."""
    ours = fates(world, Refnet(), calls)
    for other in others if isinstance(others, tuple) else (others,):
        for step, results in enumerate(zip(fates(world, other(), calls), ours, strict=True), 1):
            for flow, expected, got in zip(FLOWS, *results, strict=True):
                assert got == expected, f"after {step} applies, '{flow}': {other.__name__}: {expected}, refnet: {got}"
    return ours


def passed(found: list[Arrival | None], wanted: Callable[[Flow], bool]) -> set[bool]:
    """Return whether the packets of some flows came through."""
    return {one is not None for flow, one in zip(FLOWS, found, strict=True) if wanted(flow)}


# -- calls --------------------------------------------------------------------------------------------------


def rule(chain: str, text: str, *, family: int = 4, table: str = "filter", **options: Any) -> Call:
    return ("add_rule", family, table, [chain, text], options)


def no_rule(chain: str, text: str, *, family: int = 4, table: str = "filter", **options: Any) -> Call:
    return ("remove_rule", family, table, [chain, text], options)


def chain(name: str, *, family: int = 4, table: str = "filter", **options: Any) -> Call:
    return ("add_chain", family, table, [name], options)
