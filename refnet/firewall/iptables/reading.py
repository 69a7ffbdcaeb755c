"""What stands on the host as rules of the model, and what they have counted: pure."""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from difflib import SequenceMatcher
from typing import Any

from refnet.errors import RefnetError
from refnet.firewall.iptables.ledger import Half, Ledger
from refnet.firewall.iptables.listing import SavedTable, normal, same
from refnet.firewall.manager import Counter, Standing
from refnet.firewall.model import Chain, Hook, Key, Model, Table
from refnet.firewall.rules import Rule
from refnet.firewall.text import parse

_TARGET = re.compile(r" -j (\S+)$")
#: As packets meet the tables at a hook (linux/netfilter_ipv4.h, nf_ip_hook_priorities).
_TABLES = (Table.MANGLE, Table.NAT, Table.FILTER)

Found = Mapping[int, Mapping[str, SavedTable]]


def counters(there: SavedTable, name: str, halves: Sequence[Half]) -> list[Counter]:
    """Return what each rule of a chain has counted in a family, found by its lines."""
    known: defaultdict[tuple[object, ...], deque[str]] = defaultdict(deque)
    lines = there.chains.get(name, [])
    counted = there.counters.get(name, [])
    expected = [line for half in halves for line in half.lines]
    if same(lines, expected):
        left = iter(counted)
        return [_sum([next(left) for _ in half.lines], half, there) for half in halves]
    for line, counter in zip(lines, counted, strict=True):
        known[normal(line)].append(counter)
    return [
        _sum([known[normal(line)].popleft() for line in half.lines if known.get(normal(line))], half, there)
        for half in halves
    ]


def _sum(of_lines: list[str], half: Half, there: SavedTable) -> Counter:
    if half.auxiliary:
        # The lines only lead to the auxiliary chain, where the last line is what the rule does.
        of_lines = there.counters.get(half.auxiliary.name, [])[-1:]
    pairs = [tuple(map(int, one.strip("[]").split(":"))) for one in of_lines]
    return Counter(sum(packets for packets, _ in pairs), sum(octets for _, octets in pairs))


def standing(
    found: Found, model: Model, ledgers: Mapping[int, Ledger], name: Callable[[str], str], prefix: str
) -> tuple[Standing, ...]:
    """Return an owner's chains that packets can come to, in the order in which they do.

    ``ledgers`` say which of the model's chains should be there, for each family.
    """
    look = _Look(found, ledgers, {(chain.table, name(chain.name)): chain for chain in model.chains.values()}, prefix)
    return tuple(
        one
        for hook in Hook
        for table in _TABLES
        for first in look.jumps(table, hook)
        for one in look.chains((table, first), hook)
    )


class _Look:
    """One reading of the host, and the model's chains by their names there."""

    def __init__(self, found: Found, ledgers: Mapping[int, Ledger], known: Mapping[Key, Chain], prefix: str) -> None:
        self.found = found
        self.ledgers = ledgers
        self.known = known
        self.prefix = prefix
        self.seen: set[Key] = set()

    def jumps(self, table: Table, hook: Hook) -> list[str]:
        """Return the chains that a built-in chain jumps to, in either family."""
        jumps: dict[str, None] = {}
        for family in self.found:
            jumps.update({one: None for one in self._table(family, table).jumps.get(hook.name, []) if one})
        return list(jumps)

    def chains(self, key: Key, hook: Hook | None) -> Iterator[Standing]:
        """Give a chain, and those that it leads to."""
        if key in self.seen:
            return
        self.seen.add(key)
        table, name = key
        saved = {family: self._table(family, table) for family in self.found}
        lines = {family: one.chains[name] for family, one in saved.items() if name in one.chains}
        chain = self.known.get(key)
        rules = self._as_in_model(chain, saved, lines) if chain else None
        if rules is None:
            rules = _merged({family: self._read(of_family, family, table) for family, of_family in lines.items()})
        yield Standing(table, chain.name if chain else name.removeprefix(self.prefix), hook, rules)
        targets = [target for family, one in saved.items() for target in self._targets(one, lines.get(family, []))]
        for target in dict.fromkeys(targets):
            yield from self.chains((table, target), None)

    def _targets(self, saved: SavedTable, lines: list[str]) -> Iterator[str]:
        """Give the own chains that lines jump to. An auxiliary chain is part of the rule that leads there."""
        for line in lines:
            match = _TARGET.search(line)
            if match and "+" in match[1]:
                yield from self._targets(saved, saved.chains.get(match[1], []))
            elif match and match[1].startswith(self.prefix):
                yield match[1]

    def _table(self, family: int, table: Table) -> SavedTable:
        return self.found[family].get(table.value) or SavedTable()

    def _as_in_model(
        self, chain: Chain, saved: Mapping[int, SavedTable], lines: Mapping[int, list[str]]
    ) -> tuple[Rule | str, ...] | None:
        """Return the model's rules, if these are what stands in each family."""
        items = list(chain.items())
        for family, ledger in self.ledgers.items():
            if (chain.key in ledger.chains) != (family in lines):
                return None
            if family not in lines:
                continue
            halves = [rendered[ledger.at] for _, rendered in items]
            if not same(lines[family], [line for half in halves for line in half.lines]):
                return None
            for half in halves:
                inner = half.auxiliary
                if inner and not same(saved[family].chains.get(inner.name, []), list(inner.lines)):
                    return None
        return tuple(rule for rule, _ in items) if self.ledgers else None

    def _read(self, lines: list[str], family: int, table: Table) -> list[Rule | str]:
        def resolve(target: str) -> str:
            chain = self.known.get((table, target))
            return chain.name if chain else target.removeprefix(self.prefix)

        rules: list[Rule | str] = []
        for line in lines:
            said = line.split(" ", 2)[2] if line.count(" ") > 1 else ""
            try:
                rules.append(parse(said, family, resolve=resolve))
            except RefnetError:
                rules.append(said)
        return rules


def _merged(of_family: Mapping[int, list[Rule | str]]) -> tuple[Rule | str, ...]:
    """Return the rules of both families in an order that is right in each; those for both, once."""
    four, six = of_family.get(4, []), of_family.get(6, [])
    both_four, both_six = [_for_both(one) for one in four], [_for_both(one) for one in six]
    merged: list[Rule | str] = []
    for kind, a, b, c, d in SequenceMatcher(None, both_four, both_six, autojunk=False).get_opcodes():
        merged += both_four[a:b] if kind == "equal" else [*four[a:b], *six[c:d]]
    return tuple(merged)


def _for_both(rule: Rule | str) -> Rule | str:
    """Return a rule without its family, if it can be for both."""
    if isinstance(rule, str):
        return rule
    values: dict[str, Any] = {one.name: getattr(rule, one.name) for one in fields(rule)}
    try:
        return Rule(**{**values, "family": None})
    except RefnetError:
        return rule
