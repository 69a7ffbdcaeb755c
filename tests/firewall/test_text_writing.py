"""Rules as iptables's text: written, and read again, by Python, and by iptables itself."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nova_rules import RULES
from rule_strategies import Packet, matches, packets, rules

from refnet.errors import Unsupported
from refnet.firewall import (
    CHECKSUM_FILL,
    DROP,
    RETURN,
    Answer,
    Dnat,
    Jump,
    Masquerade,
    Not,
    Redirect,
    Reject,
    Rule,
    SetMark,
    Snat,
)
from refnet.firewall.text import Written, parse, write
from refnet.firewall.values import Rate

FAMILIES = (4, 6)
NAMED = "auxiliary"


def written(rule: Rule, family: int) -> Written:
    return write(rule, family, auxiliary=lambda: NAMED)


def without_nothing(rule: Rule, family: int) -> Rule:
    """Return a rule as its text gives it back: with its family, and without lists that hold everything."""
    said = {field: getattr(rule, field) for field in Rule.__dataclass_fields__ if field != "action"}
    for field in ("source", "destination", "source_ports", "destination_ports"):
        if said[field] and any(str(one) in ("0.0.0.0/0", "::/0", "0-65535") for one in said[field].values):
            said[field] = None
    return Rule(rule.action, **{**said, "family": family})


@given(st.sampled_from(FAMILIES).flatmap(lambda family: rules(family, lists=False)))
def test_one_line_is_read_as_the_rule_that_was_written(rule: Rule) -> None:
    assert rule.family
    found = written(rule, rule.family)
    assert len(found.lines) <= 1
    for line in found.lines:
        assert parse(line, rule.family) == without_nothing(rule, rule.family)


@given(st.data(), st.sampled_from(FAMILIES))
@settings(max_examples=400)
def test_lines_match_what_the_rule_matches_and_nothing_twice(data: st.DataObject, family: int) -> None:
    rule = data.draw(rules(family))
    try:
        found = written(rule, family)
    except Unsupported:
        assert rule.action == RETURN
        return
    lines = [parse(line, family) for line in found.lines]
    inner = [parse(line, family) for line in found.auxiliary]
    for packet in data.draw(st.lists(packets(family), min_size=1, max_size=8)):
        hits = [line for line in lines if matches(line, packet)]
        assert len(hits) <= 1
        assert bool(hits and (not inner or _gets_through(inner, packet))) is matches(rule, packet)
    # A limit is one, the mark is matched once, and the action is done where the packets come together.
    endings = inner[-1:] if inner else lines
    assert all(one.action == rule.action and one.limit == rule.limit for one in endings)
    assert all(one.action == RETURN for one in inner[:-1])
    assert len(endings) <= 1 or rule.limit is None
    assert all(one.mark == rule.mark and one.comment == rule.comment for one in lines)
    assert all(one.protocol == rule.protocol for one in [*lines, *endings])


def _gets_through(inner: list[Rule], packet: Packet) -> bool:
    """Say whether a packet comes to the last line of an auxiliary chain, and matches it."""
    return not any(matches(one, packet) for one in inner[:-1]) and matches(inner[-1], packet)


@pytest.mark.parametrize(("family", "table", "chain", "text"), RULES, ids=[text for *_, text in RULES])
def test_novas_rules_come_back(family: int, table: str, chain: str, text: str) -> None:
    rule = parse(text.replace("-m addrtype --dst-type LOCAL ", ""), family, resolve=lambda name: name.lstrip("$"))
    (line,) = write(rule, family).lines
    assert parse(line, family) == rule


def test_a_rule_of_the_other_family_and_one_that_nothing_matches_have_no_lines() -> None:
    assert write(Rule(DROP, source="10.0.0.1"), 6) == Written(())
    assert write(Rule(DROP, source=Not("0.0.0.0/0")), 4) == Written(())
    assert write(Rule(DROP, protocol="tcp", source_ports=Not("0-65535")), 4) == Written(())


def test_both_families_have_their_own_words() -> None:
    rule = Rule(Reject(Answer.ADMIN_PROHIBITED), protocol="tcp")
    assert write(rule, 4).lines == ("-p tcp -j REJECT --reject-with icmp-admin-prohibited",)
    assert write(rule, 6).lines == ("-p tcp -j REJECT --reject-with icmp6-adm-prohibited",)


def test_ports_by_the_dozen_take_few_lines() -> None:
    found = write(Rule(DROP, protocol="tcp", destination_ports=[*range(1, 200, 2), "3-9"]), 4)
    assert len(found.lines) == 7
    negated = write(Rule(DROP, protocol="tcp", destination_ports=Not(*range(1, 200, 2))), 4)
    assert len(negated.lines) == 1
    assert negated.auxiliary == ()


def test_an_auxiliary_chain_is_asked_for_once_and_only_where_it_is_needed() -> None:
    asked: list[str] = []

    def name() -> str:
        asked.append("aux")
        return "aux"

    write(Rule(DROP, source=Not("10.0.0.1", "10.0.0.3"), in_interface=Not("eth0")), 4, auxiliary=name)
    assert asked == []
    found = write(Rule(DROP, in_interface=Not("eth0", "eth1"), limit="1/second", comment="why"), 4, auxiliary=name)
    assert asked == ["aux"]
    assert found.lines == ("! -i eth0 -m comment --comment why -j aux",)
    assert found.auxiliary == ("-i eth1 -j RETURN", "-m limit --limit 1/sec -j DROP")


@pytest.mark.parametrize(
    ("rule", "capability"),
    [
        (Rule(DROP, in_interface=Not("eth0", "eth1")), "auxiliary-chain"),
        (Rule(DROP, protocol="icmp", icmp_type=255), "icmp-type-255"),
        (Rule(DROP, limit=Rate(1, "day", 2)), "long-burst"),
        (Rule(Dnat("10.0.0.1", 80), protocol="udplite"), "port-change"),
        (
            Rule(
                DROP,
                source=[f"10.0.0.{one}" for one in range(0, 200, 2)],
                destination=[f"10.0.1.{one}" for one in range(0, 200, 2)],
            ),
            "list-product",
        ),
    ],
)
def test_what_iptables_cannot_say_is_unsupported(rule: Rule, capability: str) -> None:
    with pytest.raises(Unsupported) as caught:
        write(rule, 4)
    assert caught.value.capability == capability


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ((6000, "second"), "5000/sec"),  # 2 of 1/10,000 s a packet; iptables would make 10000 of it
        ((9999, "second"), "5000/sec"),
        ((10_000, "second"), "10000/sec"),
        ((150, "second"), "149/sec"),
        ((3, "second"), "3/sec"),
        ((80, "second"), "80/sec"),
        ((4838, "minute"), "4838/min"),
        ((250, "hour"), "240/hour"),  # 14.4 s a packet, of which the kernel makes 14
        ((300, "hour"), "300/hour"),
        ((1000, "day"), "993/day"),
        ((1, "day"), "1/day"),
    ],
)
def test_a_limit_lets_no_more_through_than_it_says(wanted: tuple[int, str], said: str) -> None:
    (line,) = write(Rule(DROP, limit=(*wanted, 1)), 4).lines
    assert line == f"-m limit --limit {said} --limit-burst 1 -j DROP"


@given(st.integers(1, 10_000), st.sampled_from([("second", 1), ("minute", 60), ("hour", 3600), ("day", 86400)]))
def test_whatever_the_limit_the_kernel_counts_no_more_in_its_unit(packets: int, unit: tuple[str, int]) -> None:
    name, seconds = unit
    (line,) = write(Rule(DROP, limit=(packets, name, 1)), 4).lines
    asked = int(re.search(r"--limit (\d+)/", line)[1])  # type: ignore[index]
    period = 10_000 * seconds // asked  # parse_rate
    assert asked <= packets
    for hz in (100, 250, 300, 1000):  # user2credits
        credits_a_jiffy = 1 << (0xFFFFFFFF // (hz * 86400)).bit_length() - 1
        kept = period // 10_000 * 10_000 if period > 0xFFFFFFFF // (hz * credits_a_jiffy) else period
        assert 10_000 * seconds // kept <= packets
    if seconds % packets == 0 or (10_000 * seconds % packets == 0 and packets >= seconds / 10):
        assert asked == packets


def test_a_chain_gets_its_name_on_the_host() -> None:
    assert write(Rule(Jump("local")), 4, jump=lambda name: f"nova-{name}").lines == ("-j nova-local",)


# -- iptables itself -------------------------------------------------------------------------------

_NAT = (Snat, Dnat, Masquerade, Redirect)
_MANGLE = (SetMark, type(CHECKSUM_FILL))


def _table(rule: Rule) -> str:
    return "nat" if isinstance(rule.action, _NAT) else "mangle" if isinstance(rule.action, _MANGLE) else "filter"


class Iptables:
    """A variant and family of the host's iptables, in the namespace of the test."""

    def __init__(self, variant: str, family: int, lock: Path) -> None:
        self.program = f"{'ip' if family == 4 else 'ip6'}tables-{variant}"
        self.environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "XTABLES_LOCKFILE": str(lock)}

    def run(self, kind: str, *arguments: str, given: str = "") -> str:
        done = subprocess.run(
            [f"{self.program}-{kind}", *arguments],
            input=given,
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{done.stderr}\n{given}"
        return done.stdout

    def read_back(self, lines: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Have lines of chain t restored, each with its table, and return what stands."""
        given = []
        for table in ("filter", "nat", "mangle"):
            given += [f"*{table}", ":t - [0:0]", ":other - [0:0]", f":{NAMED} - [0:0]"]
            given += [f"-A t {line}" for of, line in lines if of == table]
            given.append("COMMIT")
        text = "\n".join(given) + "\n"
        self.run("restore", "--test", given=text)
        self.run("restore", given=text)
        found, table = [], ""
        for line in self.run("save").splitlines():
            table = line[1:] if line.startswith("*") else table
            if line.startswith("-A t "):
                found.append((table, line[5:]))
        return sorted(found, key=lambda one: ["filter", "nat", "mangle"].index(one[0]))


def _same_rate(rule: Rule) -> dict[str, Any]:
    """Return what a rule says, with its limit as iptables counts it: 60 a minute are 1 a second."""
    said = {field: getattr(rule, field) for field in Rule.__dataclass_fields__}
    if rule.limit:
        seconds = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}[rule.limit.unit]
        said["limit"] = (10_000 * seconds // rule.limit.packets, rule.limit.burst)
    return said


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("variant", ["legacy", "nft"])
def test_iptables_takes_what_is_written_and_gives_the_rule_back(
    stack: object, tmp_path: Path, variant: str, family: int
) -> None:
    tool = Iptables(variant, family, tmp_path / "lock")

    @given(st.lists(rules(family), min_size=1, max_size=25))
    @settings(max_examples=25)
    def check(drawn: list[Rule]) -> None:
        lines: list[tuple[str, str]] = []
        for rule in drawn:
            try:
                found = written(rule, family)
            except Unsupported:
                continue
            lines += [(_table(rule), line) for line in (*found.lines[:20], *found.auxiliary)]
        lines.sort(key=lambda one: ["filter", "nat", "mangle"].index(one[0]))
        stands = tool.read_back(lines)
        assert [_same_rate(parse(line, family)) for _, line in stands] == [
            _same_rate(parse(line, family)) for _, line in lines
        ]

    check()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("variant", ["legacy", "nft"])
def test_iptables_save_spells_novas_rules_as_they_are_written(
    stack: object, tmp_path: Path, variant: str, family: int
) -> None:
    tool = Iptables(variant, family, tmp_path / "lock")
    lines: dict[tuple[str, str], None] = {}
    for of_family, table, _, text in RULES:
        if of_family == family and "addrtype" not in text:
            rule = parse(text, family, resolve=lambda _: "other")
            lines[table, write(rule, family).lines[0]] = None
    ordered = sorted(lines, key=lambda one: ["filter", "nat", "mangle"].index(one[0]))
    assert tool.read_back(ordered) == ordered
