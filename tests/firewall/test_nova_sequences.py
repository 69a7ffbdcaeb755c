"""Any sequence of calls of Nova's textual tables leaves what a plain model of Nova's would hold."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from nova_tables import OWNER, lines, undone

from refnet.errors import InvalidArgument
from refnet.firewall.null import NullFirewall
from refnet.firewall.text import parse

_CHAINS = st.sampled_from(["INPUT", "local", "inst-1", "inst-2", "inst-22"])
_TEXTS = st.sampled_from(
    ["-s {} -j DROP", "-j ACCEPT", "-p tcp --dport 22 -j ACCEPT", "-j $inst-1", "-d {} -j $inst-2"]
)
_FAMILIES = st.sampled_from([4, 6])


class Calls(RuleBasedStateMachine):
    """Drives one manager's tables beside a plain model of what Nova's would hold."""

    def __init__(self) -> None:
        super().__init__()
        self.manager = NullFirewall(OWNER)
        self.chains: dict[int, set[str]] = {}
        self.rules: dict[int, list[tuple[str, str]]] = {}
        self.tops: dict[int, set[tuple[str, str]]] = {4: set(), 6: set()}
        for family in (4, 6):
            self.chains[family] = set(self.table(family).chains)
            self.rules[family] = []
        self.standing = {family: lines(self.table(family)) for family in (4, 6)}

    def table(self, family: int) -> Any:
        return (self.manager.ipv4 if family == 4 else self.manager.ipv6)["filter"]

    def text(self, family: int, text: str) -> str:
        return text.format("10.0.0.1" if family == 4 else "2001:db8::1")

    @rule(family=_FAMILIES, chain=_CHAINS)
    def add_chain(self, family: int, chain: str) -> None:
        self.table(family).add_chain(chain)
        self.chains[family].add(chain)

    @rule(family=_FAMILIES, chain=st.sampled_from(["inst-1", "inst-2", "inst-22"]))
    def remove_chain(self, family: int, chain: str) -> None:
        self.table(family).remove_chain(chain)
        if chain in self.chains[family]:
            self.chains[family].discard(chain)
            self.rules[family] = [
                (of, text) for of, text in self.rules[family] if of != chain and not text.endswith(f"-j ${chain}")
            ]

    @rule(family=_FAMILIES, chain=_CHAINS, text=_TEXTS, top=st.booleans())
    def add_rule(self, family: int, chain: str, text: str, top: bool) -> None:
        text = self.text(family, text)
        target = text.partition("$")[2]
        is_wrong = chain not in self.chains[family] or bool(
            target and (target not in self.chains[family] or self._leads_back(target, chain))
        )
        if is_wrong:
            with pytest.raises(InvalidArgument):
                self.table(family).add_rule(chain, text, top=top)
            return
        self.table(family).add_rule(chain, text, top=top)
        if (chain, text) not in self.rules[family]:
            self.rules[family].append((chain, text))
            (self.tops[family].add if top else self.tops[family].discard)((chain, text))

    def _leads_back(self, target: str, chain: str) -> bool:
        """Say whether a jump would close a circle; the families share the model's chains."""
        both = [*self.rules[4], *self.rules[6]]
        seen, left = {target}, [target]
        while left:
            one = left.pop()
            for of, text in both:
                to = text.partition("$")[2]
                if of == one and to and to not in seen:
                    seen.add(to)
                    left.append(to)
        return chain in seen

    @rule(family=_FAMILIES, chain=_CHAINS, text=_TEXTS)
    def remove_rule(self, family: int, chain: str, text: str) -> None:
        text = self.text(family, text)
        self.table(family).remove_rule(chain, text)
        self.rules[family] = [one for one in self.rules[family] if one != (chain, text)]

    @rule(family=_FAMILIES, chain=_CHAINS)
    def empty_chain(self, family: int, chain: str) -> None:
        self.table(family).empty_chain(chain)
        self.rules[family] = [one for one in self.rules[family] if one[0] != chain]

    @rule(family=_FAMILIES, word=st.sampled_from(["DROP", "inst-1", "22"]))
    def remove_by_expression(self, family: int, word: str) -> None:
        expression = rf".*-j (nova-compute-)?{word}$|.*dport {word} "
        gone = [one for one in self.rules[family] if re.match(expression, self._line(*one))]
        assert self.table(family).remove_rules_regex(expression) == len(gone)
        self.rules[family] = [one for one in self.rules[family] if one not in gone]

    @rule(family=_FAMILIES, chain=_CHAINS, text=_TEXTS)
    def undone_block(self, family: int, chain: str, text: str) -> None:
        with undone(self.manager):
            table = self.table(family)
            table.add_chain("new")
            table.add_rule("new", self.text(family, "-s {} -j DROP"))
            table.empty_chain(chain)
            table.remove_rules_regex(".*-j ACCEPT")
            table.remove_chain("inst-1")

    @rule()
    def done(self) -> None:
        with self.manager.deferred():
            pass

    def _line(self, chain: str, text: str) -> str:
        return f"[0:0] -A nova-compute-{chain} {text.replace('$', 'nova-compute-')}"

    @invariant()
    def is_as_novas(self) -> None:
        for family in (4, 6):
            table = self.table(family)
            assert table.chains == self.chains[family]
            assert sorted(lines(table)) == sorted(
                [*self.standing[family], *(self._line(*one) for one in self.rules[family])]
            )
            for chain in self.chains[family]:
                mine = [one for one in self.rules[family] if one[0] == chain]
                ordered = sorted(mine, key=lambda one: one not in self.tops[family])  # stable
                assert [one for one in self.manager.rules(chain) if one.family == family] == [
                    parse(text, family, resolve=lambda name: name.removeprefix("$")) for _, text in ordered
                ]


def test_any_sequence_of_calls() -> None:
    run_state_machine_as_test(Calls, settings=settings(max_examples=60, stateful_step_count=40))  # type: ignore[no-untyped-call]
