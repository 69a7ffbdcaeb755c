"""What a model is made of: chains of rules, and what has become of them. Nothing here knows a backend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain as chained
from typing import Any, Literal, NamedTuple

from refnet.firewall.actions import Jump
from refnet.firewall.rules import Rule


class Table(str, Enum):
    """What chains are for: to let packets pass or not, to translate addresses, or to change packets otherwise."""

    FILTER = "filter"
    NAT = "nat"
    MANGLE = "mangle"

    __str__ = str.__str__


class Hook(str, Enum):
    """Where on a packet's way through the host a chain is asked."""

    PREROUTING = "prerouting"
    INPUT = "input"
    FORWARD = "forward"
    OUTPUT = "output"
    POSTROUTING = "postrouting"

    __str__ = str.__str__


#: The hooks of each table, as iptables(8) has them.
HOOKS = {
    Table.FILTER: (Hook.INPUT, Hook.FORWARD, Hook.OUTPUT),
    Table.NAT: (Hook.PREROUTING, Hook.OUTPUT, Hook.POSTROUTING),
    Table.MANGLE: tuple(Hook),
}
_LEAVING, _COMING = (Hook.POSTROUTING,), (Hook.PREROUTING, Hook.OUTPUT)
#: What is not for every hook, and where it is possible.
HOOKS_OF: dict[str, tuple[Hook, ...]] = {
    "a source MAC address": (Hook.PREROUTING, Hook.INPUT, Hook.FORWARD),
    "Snat": _LEAVING,
    "Masquerade": _LEAVING,
    "Dnat": _COMING,
    "Redirect": _COMING,
}

Key = tuple[Table, str]


class Edit(NamedTuple):
    """One change of a chain: a rule that has come to one of its ends, or gone; and how the backend writes it."""

    kind: Literal["append", "prepend", "remove"]
    rule: Rule
    rendered: Any


@dataclass(slots=True)
class Change:
    """What has become of a chain since the last apply.

    ``anew``: it is new, or was emptied, so that all of its present rules are to be written; else ``edits`` lead from
    its rules at the last apply to its present ones.
    """

    chain: Chain
    anew: bool = False
    removed: bool = False
    #: By whether the rule has come, and by the rule: it can have gone and come again.
    _edits: dict[tuple[bool, Rule], Edit] = field(default_factory=dict)

    @property
    def edits(self) -> list[Edit]:
        """What has been done, in the order of the calls, without what has been done and undone."""
        return list(self._edits.values())

    def note(self, edit: Edit) -> None:
        """Write down one more edit, of a chain that is not written anew."""
        has_come = edit.kind != "remove"
        if has_come or self._edits.pop((True, edit.rule), None) is None:  # else it had not been there at first
            self._edits[has_come, edit.rule] = edit


class Kept:
    """A dict as it was. What comes later comes behind, so that keeping it costs nothing; only a loss takes a copy."""

    __slots__ = ("_copy", "_length", "_now")

    def __init__(self, now: dict[Any, Any]) -> None:
        """Keep it as it is now."""
        self._now = now
        self._length = len(now)
        self._copy: dict[Any, Any] | None = None

    def lose(self) -> None:
        """Have to be called before something is taken out of it."""
        if self._copy is None:
            self._copy = dict(self._now)

    def back(self) -> dict[Any, Any]:
        """Return what it was."""
        found = self._now if self._copy is None else self._copy
        while len(found) > self._length:
            found.popitem()
        return found


class Chain:
    """A chain: rules in order, each once. ``hook`` None: only jumped to."""

    __slots__ = ("_back", "_front", "callers", "hook", "jumps", "name", "restricted", "table")

    def __init__(self, table: Table, name: str, hook: Hook | None) -> None:
        """Make an empty one."""
        self.table = table
        self.name = name
        self.hook = hook
        #: How many rules jump to each other chain, and how many of each other chain's rules jump here.
        self.jumps: Counter[str] = Counter()
        self.callers: Counter[str] = Counter()
        #: How many rules have what is not for every hook.
        self.restricted: Counter[str] = Counter()
        # Two dicts, not a list: a rule is found, added at either end and removed at a cost that does not grow.
        self._front: dict[Rule, Any] = {}
        self._back: dict[Rule, Any] = {}

    @property
    def key(self) -> Key:
        """What the chain is known by."""
        return self.table, self.name

    def __len__(self) -> int:
        return len(self._front) + len(self._back)

    def __contains__(self, rule: Rule) -> bool:
        return rule in self._back or rule in self._front

    def items(self) -> Iterator[tuple[Rule, Any]]:
        """Give the rules in order, each with how the backend writes it."""
        return chained(reversed(self._front.items()), self._back.items())

    def rules(self) -> tuple[Rule, ...]:
        """Return the rules in order."""
        return tuple(rule for rule, _ in self.items())

    def rendered(self) -> list[Any]:
        """Return how the backend writes the rules, in order."""
        return [*reversed(self._front.values()), *self._back.values()]

    def put(self, rule: Rule, rendered: Any, *, first: bool) -> None:
        """Add a rule that is not in the chain."""
        (self._front if first else self._back)[rule] = rendered
        self._count(rule, 1)

    def take(self, rule: Rule) -> Any:
        """Remove a rule that is in the chain."""
        self._count(rule, -1)
        return self._holding(rule).pop(rule)

    def clear(self) -> None:
        """Remove all rules."""
        self._front, self._back = {}, {}
        self.forget_counts()

    def forget_counts(self) -> None:
        """Count none of the rules."""
        self.jumps, self.restricted = Counter(), Counter()

    def keep(self) -> tuple[Kept, Kept]:
        """Return what leads back to the present rules."""
        return Kept(self._front), Kept(self._back)

    def before_taking(self, rule: Rule, kept: tuple[Kept, Kept]) -> None:
        """Have what was kept ready for a rule to be taken out."""
        kept[self._holding(rule) is self._back].lose()

    def go_back(self, kept: tuple[Kept, Kept]) -> None:
        """Have the rules that were kept."""
        self._front, self._back = (one.back() for one in kept)
        self.forget_counts()
        for rule in chained(self._front, self._back):
            self._count(rule, 1)

    def _holding(self, rule: Rule) -> dict[Rule, Any]:
        return self._front if rule in self._front else self._back

    def _count(self, rule: Rule, step: int) -> None:
        action = rule.action
        if isinstance(action, Jump):
            count(self.jumps, action.chain, step)
        for what in restricted(rule):
            count(self.restricted, what, step)


def count(counts: Counter[str], name: str, step: int) -> None:
    """Count one more, or less; what there is none of is not in there."""
    counts[name] += step
    if not counts[name]:
        del counts[name]


def restricted(rule: Rule) -> list[str]:
    """Return what of a rule is not for every hook."""
    found = ["a source MAC address"] if rule.source_mac else []
    name = type(rule.action).__name__
    return [*found, name] if name in HOOKS_OF else found
