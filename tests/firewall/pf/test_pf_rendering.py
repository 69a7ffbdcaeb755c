"""What is written for pf: no value gets out of its place, and what changes is what has to."""

from __future__ import annotations

import re
import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refnet.errors import Unsupported
from refnet.firewall import ACCEPT, DROP, RETURN, Answer, Dnat, Jump, Log, Masquerade, Not, Redirect, Reject, Rule, Snat
from refnet.firewall.model import Chain, Model, Table
from refnet.firewall.pf import descriptions, filtering, matching, translating
from refnet.firewall.pf.layout import Layout, Written, laid_out
from refnet.firewall.values import MAX_COMMENT, PortRange

_TEXT = "".join(one for one in string.printable[:95] if one not in "\"'\\`")
_NAME = string.ascii_letters + string.digits + "._-"


def _render(chain: Chain, rule: Rule) -> Written:
    translating.check(rule) if chain.table is Table.NAT else filtering.check(rule)
    return Written(rule, chain)


def _laid(*rules: Rule, hook: str = "forward", table: Table = Table.FILTER, devices: tuple[str, ...] = ()) -> Layout:
    model = Model()
    model.add_chain(table, "below", None)
    model.add_chain(table, "checks", hook)
    for rule in rules:
        model.add_rule(table, "checks", rule, _render, first=False)
    return laid_out("own", model, devices)


def _all_lines(layout: Layout) -> list[str]:
    return [*layout.translation, *layout.entrance, *(line for lines in layout.anchors.values() for line in lines)]


_words = st.text(_TEXT, min_size=1, max_size=MAX_COMMENT).map(str.strip).filter(bool)
_names = st.text(_NAME, min_size=1, max_size=15).filter(lambda name: name not in (".", "..", "all", "default"))


@settings(max_examples=200, deadline=None)
@given(comment=_words, prefix=_words.map(lambda words: words[:29].strip()), device=_names)
def test_no_value_gets_out_of_its_quotes(comment: str, prefix: str, device: str) -> None:
    rules = (
        Rule(ACCEPT, in_interface=device, comment=comment),
        Rule(Log(prefix), out_interface=Not(device)),
        Rule(Jump("below"), in_interface=Not(device, "other"), comment=comment),
    )
    for line in _all_lines(_laid(*rules)):
        assert line.count('"') % 2 == 0
        assert "\n" not in line
        inside, outside = re.findall(r'"([^"]*)"', line), re.sub(r'"[^"]*"', '""', line)
        # pf.conf(5): macros, comments and continued lines; pfctl: what labels are expanded by.
        assert not set("$#\\{}<>&") & set(outside), line
        assert not any("$" in words or "\\" in words for words in inside), line
        assert all(len(words) < 64 for words in inside), line


@settings(max_examples=200, deadline=None)
@given(comment=st.none() | _words, prefix=_words.map(lambda words: words[:29].strip()), data=st.data())
def test_what_labels_say_is_the_rule(comment: str | None, prefix: str, data: Any) -> None:
    some: dict[str, Any] = {
        "protocol": "tcp",
        "source": Not("10.0.0.0/8", "192.0.2.7"),
        "destination": "192.0.2.0/24",
        "source_ports": Not(80, "8000-8010"),
        "destination_ports": [22, 443],
        "in_interface": ["tap1", "tap2"],
        "out_interface": Not("em0"),
        "states": ("new", "established"),
    }
    names = data.draw(st.lists(st.sampled_from(sorted(some)), unique=True))
    fields = {name: some[name] for name in names}
    if {"source_ports", "destination_ports"} & set(names):
        fields["protocol"] = "tcp"
    action = data.draw(
        st.sampled_from(
            (ACCEPT, DROP, RETURN, Reject(Answer.NET_UNREACHABLE), Jump("below"), Log(prefix), Log())
            + ((Masquerade((1, 2)), Redirect(80), Snat("10.0.0.1", 5)) if fields.get("protocol") else ())
            + (Snat("192.0.2.9"), Dnat("10.0.0.7"), Masquerade())
        )
    )
    rule = Rule(action, comment=comment, **fields)
    words = descriptions.described(rule)
    spread = descriptions.labels(words, 3)
    assert descriptions.understood(words) == rule
    if any(spread):
        assert descriptions.joined([piece for line in reversed(spread) for piece in line]) == words


@given(st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 65535)).map(sorted), min_size=1, max_size=4))
def test_ports_but(pairs: list[list[int]]) -> None:
    ranges = [PortRange(first, last) for first, last in pairs]
    left = matching.ports_but(ranges)
    edges = {edge + step for one in ranges for edge in one for step in (-1, 0, 1)} & set(range(65536))
    for port in edges | {0, 65535}:
        inside = any(first <= port <= last for first, last in ranges)
        assert any(first <= port <= last for first, last in left) is not inside


def test_one_rule_more_changes_one_piece_of_a_long_chain() -> None:
    rules = [Rule(DROP, protocol="udp", destination_ports=port) for port in range(1000)]
    before, after = _laid(*rules).digests(), _laid(*rules[:500], Rule(DROP, protocol="tcp"), *rules[500:]).digests()
    assert len(before) > 5
    changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    assert len(changed - {""}) <= 3, changed


def test_no_two_share_a_name() -> None:
    # Digests of 32 bits of these, and of the two rules below, are the same.
    alike = [f"guests-of-the-tenant-{number}" for number in (15934, 57822)]
    model = Model()
    model.add_chain(Table.FILTER, "checks", "forward")
    for number, name in enumerate(alike):
        model.add_chain(Table.FILTER, name, None)
        model.add_rule(Table.FILTER, name, Rule(DROP, protocol="tcp", destination_ports=number), _render, first=False)
        model.add_rule(Table.FILTER, "checks", Rule(Jump(name)), _render, first=False)
    for address in ("10.0.102.125", "10.1.48.78"):
        rule = Rule(DROP, destination=address, out_interface="em1")
        model.add_rule(Table.FILTER, "checks", rule, _render, first=False)
    layout = laid_out("own", model)
    assert len([name for name in layout.anchors if name.startswith("f~guests")]) == 2
    tags = re.findall(r'tag "(refnet:[0-9a-f]{5,}~)"', "\n".join(layout.anchors["f"]))
    assert len(set(tags)) == 2, tags
    assert all(len(name) < 64 for name in (*layout.anchors, *tags))


def test_what_is_too_deep_for_pf_is_refused() -> None:
    model = Model()
    model.add_chain(Table.FILTER, "level0", "forward")
    for level in range(1, 30):
        model.add_chain(Table.FILTER, f"level{level}", None)
        jump = Rule(Jump(f"level{level}"))
        for _ in range(2):
            model.add_rule(Table.FILTER, f"level{level - 1}", jump, _render, first=False)
            jump = Rule(jump.action, protocol="tcp")
    assert "f~level29" in laid_out("own", model).anchors
    for port in range(65):  # in pieces now, which are anchors of their own
        rule = Rule(DROP, protocol="tcp", destination_ports=port)
        model.add_rule(Table.FILTER, "level29", rule, _render, first=False)
    with pytest.raises(Unsupported, match="as deep as"):
        laid_out("own", model)


def test_translation_narrows_on_the_way_down() -> None:
    model = Model()
    model.add_chain(Table.NAT, "below", None)
    model.add_chain(Table.NAT, "leaving", "postrouting")
    for chain, rule in (
        ("below", Rule(ACCEPT, destination="10.0.0.0/8")),
        ("below", Rule(Snat("192.0.2.1"), destination="172.16.0.0/12")),
        ("below", Rule(Masquerade())),
        ("leaving", Rule(Jump("below"), source="10.1.0.0/16", out_interface="em0")),
    ):
        model.add_rule(Table.NAT, chain, rule, _render, first=False)
    assert laid_out("own", model, ("em0", "em1")).translation == [
        'no nat on "em0" inet from 10.1.0.0/16 to 10.0.0.0/8',
        'nat on "em0" inet from 10.1.0.0/16 to 172.16.0.0/12 -> 192.0.2.1',
        'nat on "em0" inet from 10.1.0.0/16 to any -> (em0:0)',
    ]


def test_masquerade_without_a_device_is_of_all_that_there_are() -> None:
    lines = _laid(
        Rule(Masquerade(), source="10.0.0.0/8"), hook="postrouting", table=Table.NAT, devices=("em0", "em1")
    ).translation
    assert lines == [f'nat on "{name}" inet from 10.0.0.0/8 to any -> ({name}:0)' for name in ("em0", "em1")]


def test_a_device_whose_address_pf_cannot_ask_for_is_refused() -> None:
    for rule, hook in (
        (Rule(Masquerade(), out_interface="10g0"), "postrouting"),
        (Rule(Redirect(80), protocol="tcp", in_interface=["em0", "_in"]), "prerouting"),
        (Rule(Masquerade(), source="10.0.0.0/8"), "postrouting"),
    ):
        with pytest.raises(Unsupported, match=r"'10g0'|'_in'"):
            _laid(rule, hook=hook, table=Table.NAT, devices=("em0", "10g0"))
    assert _laid(Rule(Snat("192.0.2.1"), out_interface="10g0"), hook="postrouting", table=Table.NAT).translation


def test_nothing_is_remembered_behind_rules_that_block() -> None:
    model = Model()
    model.add_chain(Table.FILTER, "checks", "input")
    model.add_rule(Table.FILTER, "checks", Rule(ACCEPT, states="established"), _render, first=False)
    remembers = [
        any(line.startswith("pass ") for line in laid_out("own", model, remembers=one).entrance)
        for one in (True, False)
    ]
    assert remembers == [True, False]
