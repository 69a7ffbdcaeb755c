"""Random sequences of a manager's calls, and the fate of packets against a plain Python model's, for every backend.

The model is a dict of lists and a loop over them: what iptables(8) promises, in thirty lines. Packets go through the
sandbox as a router. A packet that every rule set lets through follows each batch, so that what has not arrived by then
was stopped.
"""

from __future__ import annotations

import contextlib
import ipaddress
import select
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conformance.topology.flows import Flow
from conformance.topology.linux import Sandbox
from conformance.topology.routed import Routed
from refnet import config
from refnet.errors import Unsupported
from refnet.firewall import ACCEPT, DROP, ENTRY_POINTS, RETURN, FirewallManager, Jump, Not, Reject, Rule, SetMark

BACKENDS = ("iptables-legacy", "iptables-nft", "nftables")
#: Every rule set lets this protocol pass first.
FENCE = 253
HOOKED, JUMPED_TO = ("one", "two"), ("x", "y")
PORTS = (1000, 1001, 1002, 1010)
HOSTS = {4: ("10.0.1.2", "10.0.1.3", "10.0.1.130"), 6: ("fd00:0:0:1::2", "fd00:0:0:1::3", "fd00:0:0:1::8002")}
NETWORKS = {
    4: ("10.0.1.2/32", "10.0.1.2/31", "10.0.1.0/25", "10.0.1.128/25", "10.0.0.0/8", "0.0.0.0/0", "192.0.2.0/24"),
    6: ("fd00:0:0:1::2/128", "fd00:0:0:1::2/127", "fd00:0:0:1::8000/113", "fd00::/16", "::/0", "2001:db8::/32"),
}


# -- what is asked ----------------------------------------------------------------------------------------


def _several(values: Any, *, most: int = 3) -> Any:
    one_or_more = st.lists(values, min_size=1, max_size=most, unique=True)
    return one_or_more | one_or_more.map(lambda found: Not(*found))


@st.composite
def _rules(draw: Any, jumps: tuple[str, ...] = ()) -> Rule:
    family = draw(st.sampled_from((None, 4, 6)))
    protocol = draw(st.sampled_from((None, None, "udp", "tcp", "icmp")))
    fields: dict[str, Any] = {"family": family}
    if protocol == "icmp":
        fields |= {"family": family or 4, "protocol": "icmp" if family != 6 else "ipv6-icmp"}
        if draw(st.booleans()):
            fields["icmp_type"] = draw(st.sampled_from((8, 0, 3) if family != 6 else (128, 129, 1)))
    elif protocol:
        fields["protocol"] = protocol
        for name in ("source_ports", "destination_ports"):
            if draw(st.integers(0, 2)) == 0:
                ports = st.sampled_from(PORTS) | st.sampled_from(((1000, 1001), (1001, 1010), (0, 65535), (1003, 1009)))
                many = st.just([*range(1, 40, 2), 1001])
                fields[name] = draw(_several(ports) | many | many.map(lambda found: Not(*found)))
    if draw(st.integers(0, 2)) == 0:
        of = fields["family"] or draw(st.sampled_from((4, 6)))
        fields["source"] = draw(_several(st.sampled_from(NETWORKS[of])))
    for name in ("in_interface", "out_interface"):
        if draw(st.integers(0, 5)) == 0:
            fields[name] = draw(_several(st.sampled_from(("p-a", "p-b", "p-c", "nowhere")), most=2))
    if draw(st.integers(0, 5)) == 0:
        fields["mark"] = draw(st.sampled_from((0, 1, (1, 1), (2, 2), (0, 2))))
    if draw(st.integers(0, 5)) == 0:
        fields["comment"] = draw(st.sampled_from(("x", "tests.one", "-j DROP; $x {y} #")))
    action = draw(st.sampled_from((ACCEPT, DROP, DROP, RETURN, Reject(), *map(Jump, jumps))))
    return Rule(action, **fields)


_MARKING = st.builds(
    lambda rule, mark: Rule(
        mark, family=rule.family, protocol=rule.protocol, source=rule.source, destination_ports=rule.destination_ports
    ),
    _rules(),
    st.sampled_from((SetMark(1), SetMark(2), SetMark(2, 2), SetMark(1, 1), SetMark(0, 1))),
)
_CHAINS = st.sampled_from((*HOOKED, *JUMPED_TO))


def _adding(chain: str) -> Any:
    jumps = {"one": JUMPED_TO, "two": JUMPED_TO, "x": ("y",), "y": ()}[chain]
    return st.tuples(st.just("add"), st.just(chain), _rules(jumps), st.booleans())


#: First some rules, so that packets are stopped at all, then anything.
_RULES = st.lists(_CHAINS.flatmap(_adding), min_size=4, max_size=12)
_CALLS = st.lists(
    st.one_of(
        _CHAINS.flatmap(_adding),
        _CHAINS.flatmap(_adding),
        _CHAINS.flatmap(_adding),
        st.tuples(st.just("mark"), _MARKING),
        st.tuples(st.just("remove"), _CHAINS, st.integers(0, 9)),
        st.tuples(st.just("empty"), _CHAINS),
        st.tuples(st.sampled_from(("apply", "apply", "resync", "restart", "flushed", "undone", "teardown"))),
    ),
    max_size=15,
)
_PACKETS = st.lists(
    st.builds(
        dict,
        family=st.sampled_from((4, 6)),
        protocol=st.sampled_from(("udp", "tcp", "icmp")),
        host=st.integers(0, 2),
        sport=st.sampled_from(PORTS),
        dport=st.sampled_from(PORTS),
        receiver=st.sampled_from(("b", "c")),
    ),
    min_size=6,
    max_size=12,
)


# -- the model --------------------------------------------------------------------------------------------


@dataclass
class Model:
    chains: dict[str, list[Rule]] = field(default_factory=lambda: {name: [] for name in (*HOOKED, *JUMPED_TO)})
    marks: list[Rule] = field(default_factory=list)

    def passes(self, packet: dict[str, Any]) -> bool:
        mark = 0
        for rule in self.marks:
            if _matches(rule, packet, mark):
                assert isinstance(rule.action, SetMark)
                mark = (mark & ~rule.action.mask) | rule.action.value
        for name in HOOKED:
            verdict = self._ask(name, packet, mark)
            if verdict is not None:
                return verdict
        return True

    def _ask(self, name: str, packet: dict[str, Any], mark: int) -> bool | None:
        for rule in self.chains[name]:
            if not _matches(rule, packet, mark):
                continue
            if isinstance(rule.action, Jump):
                verdict = self._ask(rule.action.chain, packet, mark)
                if verdict is not None:
                    return verdict
            elif rule.action == RETURN:
                return None
            else:
                return rule.action == ACCEPT
        return None


def _matches(rule: Rule, packet: dict[str, Any], mark: int) -> bool:
    icmp = {4: "icmp", 6: "ipv6-icmp"}[packet["family"]]
    protocol = icmp if packet["protocol"] == "icmp" else packet["protocol"]
    source = ipaddress.ip_address(HOSTS[packet["family"]][packet["host"]])
    if rule.family not in (None, packet["family"]) or rule.protocol not in (None, protocol):
        return False
    if rule.icmp_type and rule.icmp_type.type != {4: 8, 6: 128}[packet["family"]]:
        return False
    if rule.mark and mark & rule.mark.mask != rule.mark.value:
        return False
    for found, inside in (
        (rule.source, lambda network: source in network),
        (rule.source_ports, lambda ports: ports.first <= packet["sport"] <= ports.last),
        (rule.destination_ports, lambda ports: ports.first <= packet["dport"] <= ports.last),
        (rule.in_interface, lambda name: name == "p-a"),
        (rule.out_interface, lambda name: name == f"p-{packet['receiver']}"),
    ):
        if found and any(map(inside, found.values)) == found.negated:  # type: ignore[arg-type]
            return False
    return True


# -- the world --------------------------------------------------------------------------------------------


class World:
    """A router with a manager, and a model that is told the same."""

    def __init__(self, routed: Routed, backend: str) -> None:
        self.routed = routed
        self.backend = backend
        self.model = Model()
        self.manager = self.fresh()

    def fresh(self) -> FirewallManager:
        """A manager of the same owner that knows nothing yet, as a process that has just started."""
        manager = config.load_class(ENTRY_POINTS, self.backend, FirewallManager)("tests")  # type: ignore[type-abstract]
        manager.add_chain("fence", hook="forward")
        manager.add_rule("fence", Rule(ACCEPT, protocol=FENCE))
        manager.add_chain("marks", hook="prerouting", table="mangle")
        for name in HOOKED:
            manager.add_chain(name, hook="forward")
        for name in JUMPED_TO:
            manager.add_chain(name)
        for rule in self.model.marks:
            manager.add_rule("marks", rule, table="mangle")
        for name, rules in self.model.chains.items():
            for rule in rules:
                manager.add_rule(name, rule)
        return manager

    def call(self, what: str, *more: Any) -> None:
        if what == "add":
            chain, rule, first = more
            try:
                self.manager.add_rule(chain, rule, first=first)
            except Unsupported:  # a few negations with RETURN are beyond iptables
                return
            rules = self.model.chains[chain]
            if rule not in rules:
                rules.insert(0 if first else len(rules), rule)
        elif what == "mark":
            self.manager.add_rule("marks", more[0], table="mangle")
            if more[0] not in self.model.marks:
                self.model.marks.append(more[0])
        elif what == "remove":
            chain, number = more
            if number < len(self.model.chains[chain]):
                self.manager.remove_rule(chain, self.model.chains[chain].pop(number))
        elif what == "empty":
            self.manager.empty_chain(more[0])
            self.model.chains[more[0]].clear()
        elif what == "restart":
            self.manager = self.fresh()
        elif what == "flushed":
            self.routed.net.flush_rules()
            self.manager.resync()
        elif what == "undone":
            with contextlib.suppress(KeyError), self.manager.deferred():
                self.manager.empty_chain("one")
                self.manager.add_rule("two", Rule(DROP), first=True)
                raise KeyError
        elif what == "teardown":
            self.manager.teardown()
            self.manager = self.fresh()
        else:
            getattr(self.manager, what)()

    def arrived(self, packets: list[dict[str, Any]]) -> list[bool]:
        """Send packets, then one that passes to each receiver; say which have arrived when those have."""
        flows = [_flow(packet) for packet in packets]
        fences = [Flow("a", name, FENCE, family=family) for name in "bc" for family in (4, 6)]
        seen: dict[str, list[bytes]] = {"b": [], "c": []}
        for guest in self.routed.guests.values():
            guest.receive()
        tokens = []
        for flow in (*flows, *fences):
            (frame,) = self.routed.frames(flow)
            tokens.append(frame.token)
            self.routed.guests["a"].send(frame)
        for fence, token in zip(fences, tokens[len(flows) :], strict=True):
            guest = self.routed.guests[fence.receiver]
            seen[fence.receiver] += _until(self.routed.net, guest, token, seen[fence.receiver])
        return [any(token in data for data in seen[flow.receiver]) for flow, token in zip(flows, tokens, strict=False)]


def _flow(packet: dict[str, Any]) -> Flow:
    ports = {} if packet["protocol"] == "icmp" else {"dport": packet["dport"], "sport": packet["sport"]}
    source = HOSTS[packet["family"]][packet["host"]]
    return Flow("a", packet["receiver"], packet["protocol"], family=packet["family"], source=source, **ports)


def _until(net: Sandbox, guest: Any, token: bytes, seen: list[bytes]) -> list[bytes]:
    more: list[bytes] = []
    while not any(token in data for data in (*seen, *more)):
        ready, _, _ = select.select([guest], [], [], 30)
        assert ready, "the fence did not arrive"
        more += guest.receive()
    return more


@pytest.fixture
def routed(stack: Sandbox) -> Routed:
    return Routed(stack, "a", "b", "c")


@pytest.mark.parametrize("backend", BACKENDS)
def test_packets_fare_as_in_the_model(routed: Routed, backend: str) -> None:
    before = routed.net.look.rules()
    fates = {True: 0, False: 0}

    @settings(max_examples=80, suppress_health_check=list(HealthCheck))
    @given(_RULES, _CALLS, _PACKETS)
    def fares(rules: list[Any], calls: list[Any], packets: list[dict[str, Any]]) -> None:
        world = World(routed, backend)
        try:
            for call in (*rules, *calls):
                world.call(*call)
            world.manager.apply()
            expected = [world.model.passes(packet) for packet in packets]
            assert world.arrived(packets) == expected
            for fate in expected:
                fates[fate] += 1
        finally:
            world.manager.teardown()
        assert routed.net.look.rules() == before

    # Until enough packets of either fate have been seen: otherwise nothing has been shown.
    for _ in range(10):
        fares()
        if min(fates.values()) > 50:
            break
    assert min(fates.values()) > 50
