"""Random sequences of a manager's calls, random packets, and a plain model that says which of these pass.

The model is lists of rules and a loop over them: what iptables(8) promises. It takes from the product what a rule says,
and nothing of what it means.
"""

from __future__ import annotations

import ipaddress
import itertools
import random
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import strategies as st

from refnet.firewall import ACCEPT, DROP, RETURN, Jump, Not, Reject, Rule, SetMark, State

#: Every rule set lets this protocol pass first.
FENCE = 253
HOOKED, JUMPED_TO = ("one", "two"), ("x", "y")
PORTS = (1000, 1001, 1002, 1010)
HOSTS = {4: ("10.0.1.2", "10.0.1.3", "10.0.1.130"), 6: ("fd00:0:0:1::2", "fd00:0:0:1::3", "fd00:0:0:1::8002")}
RECEIVERS = {"b": {4: "10.0.2.2", 6: "fd00:0:0:2::2"}, "c": {4: "10.0.3.2", 6: "fd00:0:0:3::2"}}
SOURCES = {
    4: ("10.0.1.2/32", "10.0.1.2/31", "10.0.1.0/25", "10.0.1.128/25", "10.0.0.0/8", "0.0.0.0/0", "192.0.2.0/24"),
    6: ("fd00:0:0:1::2/128", "fd00:0:0:1::2/127", "fd00:0:0:1::8000/113", "fd00::/16", "::/0", "2001:db8::/32"),
}
DESTINATIONS = {
    4: ("10.0.2.2", "10.0.3.0/24", "10.0.2.0/23", "0.0.0.0/0", "192.0.2.0/24"),
    6: ("fd00:0:0:2::2", "fd00:0:0:3::/64", "fd00:0:0:2::/63", "::/0", "2001:db8::/32"),
}
#: Nobody's.
MAC = "02:00:00:00:00:99"
#: What somebody else drops at hook forward.
FOREIGN_PORT = 1001


# -- what is asked ----------------------------------------------------------------------------------------


def _several(values: Any, *, most: int = 3) -> Any:
    one_or_more = st.lists(values, min_size=1, max_size=most, unique=True)
    return one_or_more | one_or_more.map(lambda found: Not(*found))


def _now_and_then(draw: Any, one_in: int) -> bool:
    return bool(draw(st.integers(1, one_in)) == 1)


@st.composite
def _rules(draw: Any, actions: Any, *, is_forwarded: bool = True) -> Rule:
    family = draw(st.sampled_from((None, None, 4, 6)))
    protocol = draw(st.sampled_from((None, None, "udp", "tcp", "icmp")))
    fields: dict[str, Any] = {"family": family}
    if protocol == "icmp":
        fields |= {"family": family or 4, "protocol": "icmp" if family != 6 else "ipv6-icmp"}
        if draw(st.booleans()):
            fields["icmp_type"] = draw(st.sampled_from((8, 0, 3) if family != 6 else (128, 129, 1)))
    elif protocol:
        fields["protocol"] = protocol
        for name in ("source_ports", "destination_ports"):
            if _now_and_then(draw, 2):
                ports = st.sampled_from(PORTS) | st.sampled_from(((1000, 1001), (1001, 1002), (1001, 1010), (0, 65535)))
                many = st.just([*range(1, 40, 2), 1001])
                fields[name] = draw(_several(ports) | many | many.map(lambda found: Not(*found)))
    for name, networks in (("source", SOURCES), ("destination", DESTINATIONS)):
        if _now_and_then(draw, 4):
            of = fields["family"] or draw(st.sampled_from((4, 6)))
            fields |= {"family": of, name: draw(_several(st.sampled_from(networks[of])))}
    for name in ("in_interface", "out_interface")[: 1 + is_forwarded]:
        if _now_and_then(draw, 8):
            fields[name] = draw(_several(st.sampled_from(("p-a", "p-b", "p-c", "nowhere")), most=2))
    if _now_and_then(draw, 4):
        fields["mark"] = draw(st.sampled_from((0, 1, (1, 1), (2, 2), (0, 2))))
    if _now_and_then(draw, 8):
        fields["states"] = draw(_several(st.sampled_from(list(State)[:5])))
    if _now_and_then(draw, 8):
        fields["source_mac"] = draw(st.sampled_from((MAC, Not(MAC))))
    if _now_and_then(draw, 6):
        fields["comment"] = draw(st.sampled_from(("x", "tests.one", "-j DROP; $x {y} #")))
    return Rule(draw(actions), **fields)


_CHAINS = st.sampled_from((*HOOKED, *JUMPED_TO))
_JUMPS = {"one": JUMPED_TO, "two": JUMPED_TO, "x": ("y",), "y": ()}


def _adding(chain: str) -> Any:
    actions = st.sampled_from((ACCEPT, DROP, DROP, RETURN, Reject(), *map(Jump, _JUMPS[chain])))
    return st.tuples(st.just("add"), st.just(chain), _rules(actions), st.booleans())


_MARKS = st.sampled_from((*map(SetMark, (1, 2, 3)), SetMark(2, 2), SetMark(1, 1), SetMark(0, 1), ACCEPT, RETURN, DROP))
_ADDING = _CHAINS.flatmap(_adding)
_MARKING = st.tuples(st.just("add"), st.just("marks"), _rules(_MARKS, is_forwarded=False), st.just(False))
_CHANGES = st.one_of(
    _ADDING,
    _ADDING,
    _ADDING,
    _MARKING,
    *(st.tuples(st.just("remove"), st.sampled_from((*HOOKED, *JUMPED_TO, "marks")), st.integers(0, 5)) for _ in "12"),
    st.tuples(st.just("again"), _CHAINS, st.integers(0, 5), st.booleans()),
    st.tuples(st.just("twin"), _CHAINS, st.integers(0, 5), st.booleans()),
    st.tuples(st.just("empty"), _CHAINS),
    st.tuples(st.just("remake"), st.sampled_from(HOOKED)),
    st.just(("apply",)),
)
#: At hook postrouting, which does not know where a packet has come from.
_LEAVING = _rules(st.just(DROP)).map(lambda rule: replace(rule, in_interface=None, source_mac=None))
_EVENTS = st.one_of(
    st.tuples(st.sampled_from(("done", "undone", "undone")), st.lists(_CHANGES, max_size=6)),
    st.tuples(st.sampled_from(("other add", "other remove")), _LEAVING),
    st.tuples(st.just("drift"), _CHAINS, st.booleans()),
    st.tuples(st.just("killed"), st.integers(0, 15)) | st.just(("restart",)) | st.just(("fail later",)),
    st.tuples(st.sampled_from(("apply", "resync", "restart", "flushed", "teardown", "fail"))),
)
#: First some rules, which packets come to; in half of the cases those drop what they do not let pass.
_START = [("add", "one", Rule(Jump("x")), False), ("add", "two", Rule(Jump("y")), False)]
RULES = st.builds(
    lambda adding, rest: [*_START, *adding, *rest],
    st.lists(_ADDING | _ADDING | _ADDING | _MARKING, min_size=5, max_size=14),
    st.sampled_from(([], [("add", "two", Rule(DROP), False)])),
)
CALLS = st.lists(_CHANGES | _CHANGES | _EVENTS, min_size=8, max_size=20)
POSITIONS = st.sampled_from(("first", "last"))
#: Many at once, of all that there are: most rules match a few of them only.
_ALL = [
    dict(zip(("family", "protocol", "host", "sport", "dport", "receiver"), values, strict=True))
    for values in itertools.product((4, 6), ("udp", "tcp", "icmp"), range(3), PORTS, PORTS, "bc")
]
PACKETS = st.integers(0, 0xFFFF).map(lambda seed: random.Random(seed).sample(_ALL, 60))


# -- the model --------------------------------------------------------------------------------------------


@dataclass
class Model:
    """Chains of rules in the order in which they are asked; what another owner drops is asked behind all of them."""

    chains: dict[str, list[Rule]] = field(default_factory=lambda: {name: [] for name in ("marks", *HOOKED, *JUMPED_TO)})
    other: list[Rule] = field(default_factory=list)

    def copy(self) -> Model:
        return Model({name: list(rules) for name, rules in self.chains.items()}, list(self.other))

    def passes(self, packet: dict[str, Any], *, foreign_first: bool, foreign_always: bool) -> bool:
        """Say whether a packet passes these rules and somebody else's, which drop it at hook forward."""
        packet = packet | {"mark": 0}
        if self._ask("marks", packet) is False:
            return False
        is_foreign = packet["protocol"] == "udp" and packet["dport"] == FOREIGN_PORT
        if is_foreign and foreign_first:
            return False
        return self._is_forwarded(packet, is_foreign, foreign_always) and not any(
            _matches(rule, packet) for rule in self.other
        )

    def _is_forwarded(self, packet: dict[str, Any], is_foreign: bool, foreign_always: bool) -> bool:
        for name in self.chains:
            verdict = self._ask(name, packet) if name in HOOKED else None
            if verdict is not None:
                return verdict and not (is_foreign and foreign_always)
        return not is_foreign

    def _ask(self, name: str, packet: dict[str, Any]) -> bool | None:
        for rule in self.chains.get(name, ()):
            if not _matches(rule, packet):
                continue
            if isinstance(rule.action, SetMark):
                packet["mark"] = (packet["mark"] & ~rule.action.mask) | rule.action.value
            elif isinstance(rule.action, Jump):
                verdict = self._ask(rule.action.chain, packet)
                if verdict is not None:
                    return verdict
            elif rule.action == RETURN:
                return None
            else:
                return rule.action == ACCEPT
        return None


def _matches(rule: Rule, packet: dict[str, Any]) -> bool:
    family = packet["family"]
    icmp = {4: "icmp", 6: "ipv6-icmp"}[family]
    protocol = icmp if packet["protocol"] == "icmp" else packet["protocol"]
    source = ipaddress.ip_address(HOSTS[family][packet["host"]])
    destination = ipaddress.ip_address(RECEIVERS[packet["receiver"]][family])
    if rule.family not in (None, family) or rule.protocol not in (None, protocol):
        return False
    if rule.icmp_type and rule.icmp_type.type != {4: 8, 6: 128}[family]:
        return False
    if rule.mark and packet["mark"] & rule.mark.mask != rule.mark.value:
        return False
    for found, inside in (
        (rule.source, lambda network: source in network),
        (rule.destination, lambda network: destination in network),
        (rule.source_ports, lambda ports: ports.first <= packet["sport"] <= ports.last),
        (rule.destination_ports, lambda ports: ports.first <= packet["dport"] <= ports.last),
        (rule.in_interface, lambda name: name == "p-a"),
        (rule.out_interface, lambda name: name == f"p-{packet['receiver']}"),
        (rule.source_mac, lambda mac: mac != MAC),
        (rule.states, lambda state: state is State.NEW),  # nobody ever answers
    ):
        if found and any(map(inside, found.values)) == found.negated:  # type: ignore[arg-type]
            return False
    return True
