"""The layout of random models, evaluated as pf evaluates it, against a plain Python model of what is promised."""

from __future__ import annotations

import contextlib
import ipaddress
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pf_evaluator import Packet, passes

from refnet.errors import RefnetError
from refnet.firewall import ACCEPT, DROP, RETURN, Jump, Not, Reject, Rule
from refnet.firewall.model import Chain, Model, Table
from refnet.firewall.pf import filtering
from refnet.firewall.pf.layout import Written, laid_out
from refnet.firewall.rules import AnyOf

_DEVICES = ("p-a", "p-b", "p-c")
_HOSTS = {4: ("10.0.1.2", "10.0.2.2", "10.0.3.200"), 6: ("fd00:0:0:1::2", "fd00:0:0:2::2", "fd00:0:0:3::2")}
_NETWORKS = {4: ("10.0.1.2/32", "10.0.0.0/23", "10.0.3.128/25", "0.0.0.0/0"), 6: ("fd00:0:0:1::/64", "fd00::/16")}
_PORTS = (1000, 1001, 2000, 2010)


def _several(values: Any) -> Any:
    some = st.lists(values, min_size=1, max_size=2, unique=True)
    return some | some.map(lambda found: Not(*found))


@st.composite
def _rules(draw: Any, hook: str, jumps: tuple[str, ...], *, leaving: bool) -> Rule:
    family = draw(st.sampled_from((None, 4, 6)))
    fields: dict[str, Any] = {"family": family, "protocol": draw(st.sampled_from((None, "udp", "tcp")))}
    if fields["protocol"] and draw(st.booleans()):
        ports = st.sampled_from((1000, 2000, (1000, 1001), (2000, 65535)))
        fields[draw(st.sampled_from(("source_ports", "destination_ports")))] = draw(_several(ports))
    if draw(st.integers(0, 2)) == 0:
        networks = st.sampled_from(_NETWORKS[family or 4])
        fields[draw(st.sampled_from(("source", "destination")))] = draw(_several(networks))
    devices = [
        name
        for name, hooks in (("in_interface", ("input", "forward")), ("out_interface", ("output", "forward")))
        if hook in hooks and draw(st.integers(0, 2)) == 0
        if name == "in_interface" or hook == "output" or leaving
    ]
    for name in devices:
        fields[name] = draw(_several(st.sampled_from(_DEVICES)))
    actions = [ACCEPT, DROP, Reject(), *map(Jump, jumps), *([] if leaving else [RETURN])]
    return Rule(draw(st.sampled_from(actions)), **fields)


@st.composite
def _models(draw: Any, hook: str, *, leaving: bool) -> Model:
    """Return a model with two chains on one hook, and two that can be jumped to.

    ``leaving``: rules of hook forward ask for the device that packets leave by, where none goes back.
    """
    model = Model()
    jumps: dict[str, tuple[str, ...]] = {"y": (), "x": ("y",), "one": ("x", "y"), "two": ("x", "y")}
    for name, below in jumps.items():
        model.add_chain(Table.FILTER, name, hook if name in ("one", "two") else None)
        for rule in draw(st.lists(_rules(hook, below, leaving=leaving), max_size=4)):
            with contextlib.suppress(RefnetError):
                model.add_rule(Table.FILTER, name, rule, _render, first=False)
    return model


def _render(chain: Chain, rule: Rule) -> Written:
    filtering.check(rule)
    return Written(rule, chain)


@st.composite
def _packets(draw: Any, hook: str) -> Packet:
    family = draw(st.sampled_from((4, 6)))
    source, destination = draw(st.sampled_from(_HOSTS[family])), draw(st.sampled_from(_HOSTS[family]))
    host = {4: "10.0.1.1", 6: "fd00:0:0:1::1"}[family]
    return Packet(
        family,
        draw(st.sampled_from((6, 17, 253))),
        host if hook == "output" else source,
        host if hook == "input" else destination,
        draw(st.sampled_from(_PORTS)),
        draw(st.sampled_from(_PORTS)),
        came_by=None if hook == "output" else draw(st.sampled_from(_DEVICES)),
        leaves_by=None if hook == "input" else draw(st.sampled_from(_DEVICES)),
    )


# -- what is promised -------------------------------------------------------------------------------------


def _holds(condition: AnyOf[Any] | None, is_it: Any) -> bool:
    return condition is None or any(map(is_it, condition.values)) is not condition.negated


def _matched(rule: Rule, packet: Packet) -> bool:
    def is_in(address: str) -> Any:
        return lambda network: ipaddress.ip_address(address) in network

    return (
        rule.family in (None, packet.family)
        and (rule.protocol is None or {"tcp": 6, "udp": 17}[rule.protocol] == packet.protocol)
        and _holds(rule.source, is_in(packet.source))
        and _holds(rule.destination, is_in(packet.destination))
        and _holds(rule.source_ports, lambda one: one.first <= packet.sport <= one.last)
        and _holds(rule.destination_ports, lambda one: one.first <= packet.dport <= one.last)
        and _holds(rule.in_interface, lambda one: one == packet.came_by)
        and _holds(rule.out_interface, lambda one: one == packet.leaves_by)
    )


def _decided(model: Model, chain: Chain, packet: Packet) -> bool | str | None:
    """Return what a chain says: True, False, "back" (RETURN), or None."""
    for rule in chain.rules():
        if not _matched(rule, packet):
            continue
        if rule.action == ACCEPT:
            return True
        if rule.action == RETURN:
            return "back"
        if isinstance(rule.action, Jump):
            said = _decided(model, model.chain(Table.FILTER, rule.action.chain), packet)
            if isinstance(said, bool):
                return said
            continue
        return False
    return None


def _promised(model: Model, packet: Packet) -> bool | None:
    for name in ("one", "two"):
        said = _decided(model, model.chain(Table.FILTER, name), packet)
        if isinstance(said, bool):
            return said
    return None


@pytest.mark.parametrize(
    ("hook", "leaving"), [("input", False), ("output", False), ("forward", False), ("forward", True)]
)
@settings(max_examples=100, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(data=st.data())
def test_first_match_decides_as_on_linux(hook: str, leaving: bool, data: Any) -> None:
    model = data.draw(_models(hook, leaving=leaving))
    layout = laid_out("own", model)
    for packet in data.draw(st.lists(_packets(hook), min_size=4, max_size=8)):
        promised = _promised(model, packet)
        came = vars(packet).copy()
        assert passes(layout, packet) is (promised is not False), (came, layout)
        if promised is not None and not any(name.startswith("g-") for name in layout.anchors):
            # Decided is decided, whatever the main rule set says of the rest.
            assert passes(layout, Packet(**came), undecided=False) is promised, (came, layout)
