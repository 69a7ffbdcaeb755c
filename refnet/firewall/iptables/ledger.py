"""What stands on the host of an owner's in one family, as it was last written; and what leads from there to the model.

With it, one rule more is one line more: nothing is read from the host, and nothing compared. A chain stands only where
packets of the family can come to it: it is on a hook and has a line in this family, or a standing chain jumps to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from refnet.firewall.iptables.lines import Lines
from refnet.firewall.model import HOOKS, Chain, Edit, Hook, Key, Model, Table


class Auxiliary(NamedTuple):
    """A chain of a single rule's: its name on the host, and its lines."""

    name: str
    lines: tuple[str, ...]


class Half(NamedTuple):
    """A rule in one family: its lines (``-A chain …``), the model's chain that it jumps to, its auxiliary chain."""

    lines: tuple[str, ...] = ()
    target: Key | None = None
    auxiliary: Auxiliary | None = None


NOTHING = Half()
#: In which order tables are written: what others ask for marks comes after who sets them.
WRITTEN = (Table.MANGLE, Table.NAT, Table.FILTER)
#: A rule as it is written in IPv4 and in IPv6.
Rendered = tuple[Half, Half]


@dataclass(slots=True)
class Standing:
    """A chain that stands: its lines, how many rules jump to which chains, and its rules' auxiliary chains."""

    lines: Lines
    jumps: Counter[Key]
    auxiliaries: dict[str, tuple[str, ...]]


@dataclass(slots=True)
class Image:
    """All of an owner's on the host, by table: chains with their lines, and by built-in chain who is jumped to.

    ``counters`` has, where it is known, what a chain's lines have counted.
    """

    chains: dict[str, dict[str, list[str]]] = field(default_factory=lambda: {table.value: {} for table in WRITTEN})
    jumps: dict[str, dict[str, list[str]]] = field(default_factory=lambda: {table.value: {} for table in Table})
    counters: dict[tuple[str, str], list[str]] = field(default_factory=dict)


@dataclass(slots=True)
class Plan:
    """Input for iptables-restore, and what the ledger has to learn once it is done."""

    text: str = ""
    written: dict[Key, Standing] = field(default_factory=dict)
    edits: list[tuple[Standing, Edit, Half]] = field(default_factory=list)
    gone: set[Key] = field(default_factory=set)
    references: Counter[Key] = field(default_factory=Counter)
    jumps: dict[tuple[Table, Hook], list[str]] = field(default_factory=dict)


class Ledger:
    """What stands in one family."""

    def __init__(self, family: int, name: Callable[[str], str]) -> None:
        """Begin with nothing; ``name`` gives a chain's name on the host."""
        self.at = 0 if family == 4 else 1
        self.name = name
        self.chains: dict[Key, Standing] = {}
        #: How many rules of standing chains jump to a chain.
        self.references: Counter[Key] = Counter()
        self.jumps: dict[tuple[Table, Hook], list[str]] = {}

    def image(self) -> Image:
        """Return everything that stands."""
        image = Image()
        for (table, chain), standing in self.chains.items():
            image.chains[table.value][self.name(chain)] = standing.lines.in_order()
            for auxiliary, lines in standing.auxiliaries.items():
                image.chains[table.value][auxiliary] = list(lines)
        for (table, hook), jumps in self.jumps.items():
            if jumps:
                image.jumps[table.value][hook.name] = list(jumps)
        return image

    def write(self, model: Model) -> None:
        """Have the whole model stand, in a ledger that is empty."""
        left = [chain for chain in model.chains.values() if chain.hook]
        while left:
            chain = left.pop()
            if chain.key not in self.chains:
                standing = self.standing(chain)
                if chain.hook and not len(standing.lines):
                    continue
                self.chains[chain.key] = standing
                self.references.update(standing.jumps)
                left += [model.chains[key] for key in standing.jumps]
        for table, hooks in HOOKS.items():
            for hook in hooks:
                self.jumps[table, hook] = self.jumps_of(model, table, hook, self.chains.__contains__)

    def settle(self, plan: Plan) -> None:
        """Take notice that a plan has been carried out."""
        for standing, edit, half in plan.edits:
            if edit.kind == "append":
                standing.lines.append(half.lines)
            elif edit.kind == "prepend":
                standing.lines.prepend(half.lines)
            else:
                standing.lines.remove(half.lines)
            if half.auxiliary and edit.kind == "remove":
                standing.auxiliaries.pop(half.auxiliary.name, None)
            elif half.auxiliary:
                standing.auxiliaries[half.auxiliary.name] = half.auxiliary.lines
            if half.target:
                standing.jumps[half.target] += step(edit)
        self.chains.update(plan.written)
        for key in plan.gone:
            del self.chains[key]
        self.references.update(plan.references)
        self.jumps.update(plan.jumps)

    def standing(self, chain: Chain) -> Standing:
        """Return a chain of the model as it is to stand."""
        lines: list[str] = []
        jumps: Counter[Key] = Counter()
        auxiliaries: dict[str, tuple[str, ...]] = {}
        at = self.at
        for rendered in chain.rendered():
            half = rendered[at]
            lines += half.lines
            if half.target:
                jumps[half.target] += 1
            if half.auxiliary:
                auxiliaries[half.auxiliary.name] = half.auxiliary.lines
        return Standing(Lines(lines), jumps, auxiliaries)

    def jumps_of(self, model: Model, table: Table, hook: Hook, stands: Callable[[Key], bool]) -> list[str]:
        """Return the chains on a hook that stand, by their names on the host, in the model's order."""
        chains = (one for one in model.chains.values() if one.table is table and one.hook is hook)
        return [self.name(one.name) for one in chains if stands(one.key)]


def step(edit: Edit) -> int:
    """Return by how many an edit changes the number of a chain's rules."""
    return -1 if edit.kind == "remove" else 1
