"""The same calls on Nova's or Neutron's IptablesManager and on refnet's: what becomes of the same packets afterwards.

Each gets the sandbox for itself, is told a sequence of calls, and packets are sent wherever the sequence applies.
Sequences keep off what refnet does otherwise on purpose (refnet.firewall.nova says what): the last tests show that.
"""

from __future__ import annotations

import itertools
import select
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import nova_train
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conformance.topology import packets
from conformance.topology.flows import HOST, Flow
from conformance.topology.linux import Sandbox
from conformance.topology.routed import Routed
from refnet import linux_net
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


@pytest.fixture
def world(stack: Sandbox) -> World:
    return World(stack)


@pytest.fixture(params=[Nova, Neutron])
def other(request: pytest.FixtureRequest) -> type[Nova] | type[Neutron]:
    """What refnet's manager is compared with."""
    found: type[Nova] | type[Neutron] = request.param
    return found


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


# -- by hand ------------------------------------------------------------------------------------------------


def rule(chain: str, text: str, *, family: int = 4, table: str = "filter", **options: Any) -> Call:
    return ("add_rule", family, table, [chain, text], options)


def no_rule(chain: str, text: str, *, family: int = 4, table: str = "filter", **options: Any) -> Call:
    return ("remove_rule", family, table, [chain, text], options)


def chain(name: str, *, family: int = 4, table: str = "filter", **options: Any) -> Call:
    return ("add_chain", family, table, [name], options)


def to_b(flow: Flow) -> bool:
    return flow.receiver == "b" and flow.family == 4 and flow.destination is None


def test_top_comes_before_the_others_in_its_order(world: World, other: Any) -> None:
    found = alike(
        world,
        other,
        [
            rule("FORWARD", "-d 10.0.2.0/24 -j DROP"),
            ("apply",),
            rule("FORWARD", "-d 10.0.2.2/32 -p tcp -m tcp --dport 1001 -j ACCEPT", top=True),
            rule("FORWARD", "-d 10.0.2.0/24 -p tcp -m tcp --dport 1000 -j ACCEPT"),
            rule("FORWARD", "-p tcp -m tcp --dport 1001 -j DROP", top=True),
        ],
    )
    assert passed(found[0], to_b) == {False}
    assert passed(found[1], lambda flow: to_b(flow) and flow.protocol == "tcp" and flow.dport == 1001) == {True}
    assert passed(found[1], lambda flow: to_b(flow) and flow.protocol == "tcp" and flow.dport == 1000) == {False}


def test_wrapped_and_unwrapped_chains(world: World, other: Any) -> None:
    found = alike(
        world,
        other,
        [
            chain("x"),
            chain("common", wrap=False),
            rule("x", "-p udp -m udp --dport 1000 -j RETURN"),
            rule("x", "-p udp -j DROP"),
            rule("common", "-p tcp -m tcp --dport 1002 -j DROP", wrap=False),
            rule("common", "-p icmp -j $x", wrap=False),
            rule("FORWARD", "-d 10.0.2.2/32 -j $x"),
            rule("FORWARD", "-j common", wrap=False),
            ("apply",),
            rule("SHARED-filter-top", "-p icmp -j DROP", wrap=False),
            rule("FORWARD", "-p tcp -m tcp --dport 1001 -j DROP", wrap=False, top=True),
            no_rule("x", "-p udp -m udp --dport 1000 -j RETURN"),
            ("apply",),
            ("remove_chain", 4, "filter", ["x"], {}),
        ],
    )

    def of(protocol: str, port: int | None = None) -> Callable[[Flow], bool]:
        return lambda flow: to_b(flow) and flow.protocol == protocol and port in (None, flow.dport)

    assert [passed(one, of("udp", 1000)) for one in found] == [{True}, {False}, {True}]
    assert [passed(one, of("udp", 1001)) for one in found] == [{False}, {False}, {True}]
    assert [passed(one, of("tcp", 1001)) for one in found] == [{True}, {False}, {False}]
    assert [passed(one, of("tcp", 1002)) for one in found] == [{False}, {False}, {False}]
    assert [passed(one, of("icmp")) for one in found] == [{True}, {False}, {False}]


def test_deferred_calls_wait(world: World, other: Any) -> None:
    found = alike(
        world,
        other,
        [
            rule("FORWARD", "-p tcp -j DROP"),
            ("apply",),
            ("defer_apply_on",),
            no_rule("FORWARD", "-p tcp -j DROP"),
            rule("FORWARD", "-p udp -j DROP"),
            ("apply",),
            ("defer_apply_off",),
        ],
    )
    assert [passed(one, lambda flow: to_b(flow) and flow.protocol == "tcp") for one in found] == [
        *({False}, {False}, {True}, {True})
    ]


def test_empty_chains(world: World, other: Any) -> None:
    found = alike(
        world,
        other,
        [
            chain("x"),
            chain("unused"),
            rule("FORWARD", "-j $x"),
            rule("x", "-p udp -j DROP"),
            rule("INPUT", "-p udp -m udp --dport 1001 -j DROP"),
            ("apply",),
            ("empty_chain", 4, "filter", ["x"], {}),
            ("apply",),
            rule("x", "-p tcp -j DROP"),
        ],
    )
    assert [passed(one, lambda flow: to_b(flow) and flow.protocol == "udp") for one in found] == [
        *({False}, {True}, {True})
    ]
    assert passed(found[2], lambda flow: flow.receiver == HOST and flow.dport == 1001) == {False}


def test_ipv6(world: World, other: Any) -> None:
    found = alike(
        world,
        other,
        [
            chain("x", family=6),
            rule("FORWARD", "-d fd00:0:0:2::2/128 -j $x", family=6),
            rule("x", "-p ipv6-icmp -j ACCEPT", family=6),
            rule("x", "-j DROP", family=6),
        ],
    )
    assert passed(found[0], lambda flow: flow.family == 6 and flow.receiver == "b" and flow.protocol == "udp") == {
        False
    }
    assert passed(found[0], to_b) == {True}


def test_translated_addresses(world: World, other: Any) -> None:
    """A floating address as both have it: to it, and from behind it."""
    found = alike(
        world,
        other,
        [
            rule("PREROUTING", f"-d {VIRTUAL}/32 -j DNAT --to-destination 10.0.2.2", table="nat"),
            rule("float-snat", "-s 10.0.1.2/32 -d 10.0.2.2/32 -j SNAT --to-source 10.0.2.77", table="nat"),
            rule("snat", "-s 10.0.1.0/24 -p udp -j SNAT --to-source 10.0.2.78", table="nat"),
            rule("POSTROUTING", "-p udp -m udp --dport 1002 -j ACCEPT", table="nat"),
            ("apply",),
            no_rule("float-snat", "-s 10.0.1.2/32 -d 10.0.2.2/32 -j SNAT --to-source 10.0.2.77", table="nat"),
            rule("PREROUTING", "-p udp -m udp --dport 1001 -j REDIRECT --to-ports 1000", table="nat", top=True),
        ],
    )
    before, after = (dict(zip(FLOWS, one, strict=True)) for one in found)
    virtual = Flow("a", "b", "udp", 1000, destination=VIRTUAL)
    assert before[virtual] == Arrival("b", "10.0.2.77", "10.0.2.2", 1000)
    assert after[virtual] == Arrival("b", "10.0.2.78", "10.0.2.2", 1000)
    assert before[Flow("a", "b", "udp", 1002)] == Arrival("b", "10.0.1.2", "10.0.2.2", 1002)
    assert after[Flow("a", "c", "udp", 1001)] == Arrival(HOST, "10.0.1.2", "10.0.1.1", 1000)


def test_comments_and_tags(world: World) -> None:
    """Which are Neutron's only."""
    found = alike(
        world,
        Neutron,
        [
            rule("FORWARD", "-p udp -j DROP", comment="why not", tag="one"),
            rule("FORWARD", "-p tcp -j DROP", comment="because"),
            ("apply",),
            ("clear_rules_by_tag", 4, "filter", ["one"], {}),
            no_rule("FORWARD", "-p tcp -j DROP", comment="because"),
        ],
    )
    assert [passed(one, to_b) for one in found] == [{False, True}, {True}]


def test_the_manager_of_novas_module(world: World) -> None:
    """refnet.linux_net's, of which Nova's own functions write into one that all share."""
    manager = linux_net.iptables_manager
    try:
        manager.defer_apply_on()
        for call in FIRST:
            tell_tables = {4: manager.ipv4, 6: manager.ipv6}[call[1]]
            tell_tables[call[2]].add_rule(*call[3], **call[4])
        linux_net.IptablesManager().ipv4["filter"].add_rule("FORWARD", "-d 10.0.2.2 -j DROP")
        manager.apply()
        assert passed(world.fates(FLOWS), to_b) == {True}
        manager.defer_apply_off()
        assert passed(world.fates(FLOWS), to_b) == {False}
        assert not manager.dirty()
    finally:
        manager.firewall.teardown()


# -- at random ----------------------------------------------------------------------------------------------

#: As iptables-save writes them: Neutron knows its unwrapped rules again by their text alone.
_SOURCES = ("", "-s 10.0.1.2/32 ", "-s 10.0.1.0/24 ", "-s 192.0.2.0/24 ")
_DESTINATIONS = ("", "-d 10.0.2.2/32 ", "-d 10.0.0.0/8 ")
_PROTOCOLS = ("", "-p icmp ", "-p udp ", "-p udp -m udp --dport 1000 ", "-p tcp -m tcp --dport 1000:1001 ")
_BELOW = {"FORWARD": ("x", "y", "z"), "INPUT": ("z",), "x": ("y", "z"), "y": ("z",), "z": (), "common": ("z",)}
_NAT = (
    ("PREROUTING", f"-d {VIRTUAL}/32 -j DNAT --to-destination 10.0.2.2"),
    ("PREROUTING", f"-d {VIRTUAL}/32 -p udp -j DNAT --to-destination 10.0.3.2"),
    ("PREROUTING", "-p tcp -m tcp --dport 1001 -j DNAT --to-destination 10.0.3.2:1000"),
    ("PREROUTING", "-p udp -m udp --dport 1002 -j REDIRECT --to-ports 1000"),
    ("POSTROUTING", "-d 10.0.2.0/24 -p udp -j ACCEPT"),
    ("snat", "-s 10.0.1.0/24 -j SNAT --to-source 10.0.2.78"),
    ("snat", "-o p-c -j SNAT --to-source 10.0.3.79"),
    ("float-snat", "-s 10.0.1.2/32 -d 10.0.2.2/32 -j SNAT --to-source 10.0.2.77"),
)


@st.composite
def _filter_rules(draw: Any) -> Call:
    family = draw(st.sampled_from((4, 4, 4, 6)))
    name = draw(st.sampled_from(("FORWARD", "FORWARD", "FORWARD", "x", "x", "y", "z", "INPUT", "common")))
    wrap = name != "common" and (name != "FORWARD" or draw(st.integers(0, 3)) > 0)
    match = draw(st.sampled_from(_PROTOCOLS))
    if family == 4:
        match = draw(st.sampled_from(_SOURCES)) + draw(st.sampled_from(_DESTINATIONS)) + match
    else:
        match = match.replace("icmp", "ipv6-icmp")
    below = [f"-j ${one}" for one in _BELOW[name]] + (["-j common"] if name == "FORWARD" and not wrap else [])
    verdict = draw(st.sampled_from(("-j DROP", "-j DROP", "-j ACCEPT", "-j RETURN", *below)))
    if not match and verdict == "-j DROP" and name in ("INPUT", "FORWARD"):
        match = "-p tcp " if family == 4 else "-p udp "
    options = {"wrap": wrap, "top": draw(st.integers(0, 3)) == 0}
    return ("add_rule", family, "filter", [name, match + verdict], options)


_FAMILIES = st.sampled_from((4, 4, 4, 6))
#: First some rules, so that packets are stopped at all, then anything.
_RULES = st.lists(_filter_rules(), min_size=6, max_size=14)
_CALLS = st.lists(
    st.one_of(
        _filter_rules(),
        _filter_rules(),
        st.tuples(st.just("nat"), st.sampled_from(_NAT), st.booleans()),
        st.tuples(st.just("take"), st.integers(0, 20)),
        st.tuples(st.just("empty"), _FAMILIES, st.sampled_from(("FORWARD", "FORWARD", "x", "y", "z"))),
        st.tuples(st.just("remove"), _FAMILIES, st.sampled_from(("x", "y", "z"))),
        st.just(("apply",)),
        st.sampled_from((("defer_apply_on",), ("defer_apply_off",))),
    ),
    min_size=6,
    max_size=18,
)


def possible(drawn: list[Call]) -> list[Call]:
    """Make calls of what was drawn, without those that would mean something else to either of the two."""
    calls: list[Call] = [chain("common", family=family, wrap=False) for family in (4, 6)]
    there: dict[tuple[int, str], None] = {}
    rules: list[Call] = []
    deferred = False
    for call in drawn:
        if call[0] == "nat":
            (name, text), top = call[1], call[2]
            call = ("add_rule", 4, "nat", [name, text], {"wrap": True, "top": top})
        if call[0] == "add_rule":
            _, family, table, (name, text), _ = call
            # A rule that is there: Neutron would move it to the end. Its options are part of what it is.
            if any(one[1:3] == (family, table) and one[3] == [name, text] for one in rules):
                continue
            for one in (name, *(word[1:] for word in text.split() if word.startswith("$"))):
                if one in ("x", "y", "z") and (family, one) not in there:
                    there[family, one] = None
                    calls.append(chain(one, family=family))
            rules.append(call)
        elif call[0] == "take":
            if call[1] >= len(rules):
                continue
            taken = rules.pop(call[1])
            call = ("remove_rule", *taken[1:])
        elif call[0] == "empty":
            _, family, name = call
            rules = [one for one in rules if one[1:3] != (family, "filter") or one[3][0] != name or not one[4]["wrap"]]
            call = ("empty_chain", family, "filter", [name], {})
        elif call[0] == "remove":
            _, family, name = call
            if (family, name) not in there:
                continue
            del there[family, name]
            rules = [
                one
                for one in rules
                if one[1:3] != (family, "filter") or (one[3][0] != name and f"-j ${name}" not in one[3][1])
            ]
            call = ("remove_chain", family, "filter", [name], {})
        elif call[0] == "defer_apply_on":
            deferred = True
        elif call[0] == "defer_apply_off":
            if not deferred:
                continue
            deferred = False
        calls.append(call)
    return calls + ([("defer_apply_off",)] if deferred else [])


def test_random_sequences_end_alike(world: World) -> None:
    counts = {"stopped": 0, "passed": 0, "translated": 0}

    @settings(max_examples=30, suppress_health_check=list(HealthCheck), database=None)
    @given(_RULES, _CALLS)
    def end_alike(rules: list[Call], drawn: list[Call]) -> None:
        for step in alike(world, (Nova, Neutron), possible([*rules, ("apply",), *drawn])):
            for flow, one in zip(FLOWS, step, strict=True):
                settled = world.routed.settled(flow)
                if one is None:
                    counts["stopped"] += 1
                else:
                    same = (one.source, one.destination, one.dport or flow.dport)
                    kept = same == (settled.source, settled.destination, flow.dport)
                    counts["passed" if kept else "translated"] += 1

    end_alike()
    assert min(counts.values()) > 100, counts


# -- where they differ --------------------------------------------------------------------------------------


def test_a_chain_whose_name_begins_like_another(world: World, other: Any) -> None:
    """Both take the jumps to inst-10 away with chain inst-1: what it kept out is let in."""
    calls = [
        *(chain(name) for name in ("inst-1", "inst-10")),
        rule("inst-10", "-j DROP"),
        rule("FORWARD", "-d 10.0.2.2/32 -j $inst-10"),
        ("apply",),
        ("remove_chain", 4, "filter", ["inst-1"], {}),
    ]
    assert passed(fates(world, other(), calls)[-1], to_b) == {True}
    assert passed(fates(world, Refnet(), calls)[-1], to_b) == {False}


def test_an_unwrapped_chain_that_is_emptied(world: World, other: Any) -> None:
    """Both forget such rules and leave them standing."""
    calls = [
        rule("FORWARD", "-p udp -j DROP", wrap=False),
        ("apply",),
        ("empty_chain", 4, "filter", ["FORWARD"], {"wrap": False}),
        rule("FORWARD", "-j $FORWARD", wrap=False),
    ]
    assert passed(fates(world, other(), calls)[-1], lambda flow: to_b(flow) and flow.protocol == "udp") == {False}
    assert passed(fates(world, Refnet(), calls)[-1], lambda flow: to_b(flow) and flow.protocol == "udp") == {True}


def test_a_rule_that_is_added_again(world: World) -> None:
    """Neutron moves it to the end, behind what it was to go before; Nova and refnet leave it where it is."""
    calls = [rule("FORWARD", text) for text in ("-p udp -j ACCEPT", "-p udp -j DROP", "-p udp -j ACCEPT")]
    fared = [
        passed(fates(world, one(), calls)[-1], lambda flow: to_b(flow) and flow.protocol == "udp")
        for one in (Neutron, Nova, Refnet)
    ]
    assert fared == [{False}, {True}, {True}]
