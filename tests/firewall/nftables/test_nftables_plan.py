"""From any chain that stands to any chain that is wanted: in order, with as few changes as possible."""

from __future__ import annotations

import itertools
import re

from hypothesis import given
from hypothesis import strategies as st

from refnet.firewall import ACCEPT, Rule, Table
from refnet.firewall.model import Chain
from refnet.firewall.nftables import plan
from refnet.firewall.nftables.reading import Line
from refnet.firewall.nftables.render import render
from refnet.firewall.nftables.tool import Script

RULES = [Rule(ACCEPT, protocol="tcp", destination_ports=port) for port in range(1, 9)]
KEY = (Table.FILTER, "c")


def of(rules: list[Rule]) -> Chain:
    chain = Chain(*KEY, None)
    for rule in rules:
        chain.put(rule, render(chain, rule), first=False)
    return chain


def obeyed(standing: list[Line], script: Script) -> list[str]:
    """Do what nft would do, and return the texts of the chain."""
    chain = [(line.handle, str(line.text)) for line in standing]
    for command in script.lines:
        deleted = re.fullmatch(r"delete rule inet t filter\.c handle (\d+)", command)
        inserted = re.fullmatch(r"insert rule inet t filter\.c handle (\d+) (.*) comment \".*\"", command)
        added = re.fullmatch(r"add rule inet t filter\.c (.*) comment \".*\"", command)
        handles = [handle for handle, _ in chain]
        if deleted:
            del chain[handles.index(int(deleted[1]))]
        elif inserted:
            chain.insert(handles.index(int(inserted[1])), (0, inserted[2]))
        else:
            assert added, command
            chain.append((0, added[1]))
    return [text for _, text in chain]


@given(st.lists(st.sampled_from(RULES), unique=True), st.lists(st.sampled_from(RULES)), st.data())
def test_a_chain_is_mended(wanted: list[Rule], before: list[Rule], data: st.DataObject) -> None:
    chain = of(wanted)
    standing = []
    for handle, rule in enumerate(before, start=10):
        rendered = render(chain, rule)
        text = data.draw(st.sampled_from([rendered.texts[0], rendered.texts[0], None, "changed"]))
        standing.append(Line(handle, rendered.digest, text))
    script = Script()
    plan.mend_chain(plan.Writer(script, "t", "first"), chain, standing)
    assert obeyed(standing, script) == [render(chain, rule).texts[0] for rule in wanted]
    if [line.text for line in standing] == [render(chain, rule).texts[0] for rule in wanted]:
        assert script.lines == []


@given(st.permutations(range(7)).map(lambda numbers: numbers[:6]))
def test_a_longest_increasing_subsequence(numbers: list[int]) -> None:
    found = plan.longest_increasing(numbers)
    assert found == sorted(found)
    assert [number for number in numbers if number in found] == found
    longest = max(
        size for size in range(7) for some in itertools.combinations(numbers, size) if list(some) == sorted(some)
    )
    assert len(found) == longest


def test_no_numbers() -> None:
    assert plan.longest_increasing([]) == []
