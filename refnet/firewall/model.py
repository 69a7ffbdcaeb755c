"""What a manager keeps in memory: chains of rules, what has changed since the last apply, and what may not be.

Nothing here knows a backend or starts a program.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain as chained
from typing import Any, Literal, NamedTuple

from refnet.errors import InvalidArgument, Mismatch
from refnet.firewall import values
from refnet.firewall.actions import (
    ChecksumFill,
    Dnat,
    Drop,
    Jump,
    Masquerade,
    Redirect,
    Reject,
    SetMark,
    Snat,
)
from refnet.firewall.rules import Rule
from refnet.names import shown


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
#: The actions that are not for every table and hook: where they are possible.
_TABLES: dict[type, tuple[Table, ...]] = {
    Drop: (Table.FILTER, Table.MANGLE),
    Reject: (Table.FILTER,),
    Snat: (Table.NAT,),
    Masquerade: (Table.NAT,),
    Dnat: (Table.NAT,),
    Redirect: (Table.NAT,),
    SetMark: (Table.MANGLE,),
    ChecksumFill: (Table.MANGLE,),
}
_LEAVING, _COMING = (Hook.POSTROUTING,), (Hook.PREROUTING, Hook.OUTPUT)
#: What is not for every hook, and where it is possible.
_HOOKS_OF: dict[str, tuple[Hook, ...]] = {
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

    ``anew``: it is new, or was emptied, so that all of its present rules are to be written; else ``edits`` says what
    leads from its rules at the last apply to its present ones, in the order of the calls.
    """

    chain: Chain
    anew: bool = False
    removed: bool = False
    edits: list[Edit] = field(default_factory=list)
    #: The rules that the edits are about: a look in there is enough for most.
    edited: set[Rule] = field(default_factory=set)

    def note(self, kind: Literal["append", "prepend", "remove"], rule: Rule, rendered: Any) -> None:
        """Write down one more edit."""
        self.edits.append(Edit(kind, rule, rendered))
        self.edited.add(rule)


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
        return self._front.pop(rule) if rule in self._front else self._back.pop(rule)

    def clear(self) -> None:
        """Remove all rules."""
        for rules in (self._front, self._back, self.jumps, self.restricted):
            rules.clear()

    def copy(self) -> Chain:
        """Return a chain like this one."""
        made = Chain(self.table, self.name, self.hook)
        made._front, made._back = dict(self._front), dict(self._back)
        made.jumps, made.callers = Counter(self.jumps), Counter(self.callers)
        made.restricted = Counter(self.restricted)
        return made

    def _count(self, rule: Rule, step: int) -> None:
        action = rule.action
        if isinstance(action, Jump):
            self.jumps[action.chain] += step
        for what in _restricted(rule):
            self.restricted[what] += step


class Model:
    """All chains of one owner. Chains on the same hook are asked in the order in which they were added."""

    def __init__(self) -> None:
        """Make one without chains."""
        self.chains: dict[Key, Chain] = {}
        self.changes: dict[Key, Change] = {}
        self._saved: tuple[dict[Key, Chain], dict[Key, Change], dict[Key, Chain]] | None = None

    def chain(self, table: object, name: object) -> Chain:
        """Return a chain.

        Raises:
            InvalidArgument: there is none by that name in that table.
        """
        key = (table_of(table), values.chain_name(name))
        if key not in self.chains:
            there = ", ".join(sorted(one.name for one in self.chains.values() if one.table is key[0])) or "none"
            raise InvalidArgument(f"there is no chain {name!r} in table {key[0]}: add it first (there are: {there})")
        return self.chains[key]

    def add_chain(self, table: object, name: object, hook: object) -> None:
        """Add a chain; one that is there with the same hook stays as it is.

        Raises:
            InvalidArgument: no such table or hook, a name that is none, or a hook that the table does not have.
            Mismatch: it is there with another hook.
        """
        where = table_of(table)
        key = (where, values.chain_name(name))
        at = _hook_of(hook, where)
        known = self.chains.get(key)
        if known is None:
            self._touch(key)
            self.chains[key] = chain = Chain(*key, at)
            self.changes[key] = Change(chain, anew=True)
        elif known.hook is not at:
            raise Mismatch(f"chain {key[1]} of table {where} is there with hook {known.hook}, not {at}")

    def remove_chain(self, table: object, name: object) -> None:
        """Remove a chain with its rules; one that is not there is no error.

        Raises:
            InvalidArgument: no such table, a name that is none, or a chain that rules of other chains jump to.
        """
        key = (table_of(table), values.chain_name(name))
        if key not in self.chains:
            return
        callers = [caller for caller, count in self.chains[key].callers.items() if count > 0]
        if callers:
            raise InvalidArgument(f"chain {key[1]} is jumped to from {', '.join(callers)}: remove those rules first")
        self._touch(key)
        self._leave(self.chains[key])
        self.changes[key] = Change(self.chains.pop(key), removed=True)

    def empty_chain(self, table: object, name: object) -> None:
        """Remove all rules of a chain."""
        chain = self.chain(table, name)
        if len(chain):
            self._touch(chain.key)
            self._leave(chain)
            chain.clear()
            self.changes[chain.key] = Change(chain, anew=True)

    def add_rule(
        self, table: object, name: object, rule: Rule, render: Callable[[Chain, Rule], Any], *, first: bool
    ) -> None:
        """Add a rule at an end of a chain; one that the chain has already stays where it is.

        ``render`` says how the backend writes it, and refuses what it cannot write.
        """
        chain = self.chain(table, name)
        if not isinstance(rule, Rule):
            raise InvalidArgument(f"{shown(rule)} is no Rule: make one with refnet.firewall.Rule(…)")
        if rule in chain:
            return
        self._see_that_it_can_be_there(chain, rule)
        rendered = render(chain, rule)
        self._touch(chain.key)
        chain.put(rule, rendered, first=first)
        self._note_jump(chain, rule, 1)
        change = self.changes.setdefault(chain.key, Change(chain))
        if not change.anew:
            change.note("prepend" if first else "append", rule, rendered)

    def remove_rule(self, table: object, name: object, rule: Rule) -> None:
        """Remove a rule; one that is not there is no error."""
        chain = self.chain(table, name)
        if not isinstance(rule, Rule):
            raise InvalidArgument(f"{shown(rule)} is no Rule: make one with refnet.firewall.Rule(…)")
        if rule not in chain:
            return
        self._touch(chain.key)
        rendered = chain.take(rule)
        self._note_jump(chain, rule, -1)
        change = self.changes.setdefault(chain.key, Change(chain))
        if change.anew:
            return
        if rule in change.edited:
            # Added, or removed and added, since the last apply: what was said of it before is over.
            was_there = next(edit for edit in change.edits if edit.rule == rule).kind == "remove"
            change.edits = [edit for edit in change.edits if edit.rule != rule]
            change.edited.discard(rule)
            if not was_there:
                return
        change.note("remove", rule, rendered)

    def clear(self) -> None:
        """Remove everything."""
        for key in list(self.chains):
            self._touch(key)
            self.changes[key] = Change(self.chains.pop(key), removed=True)

    # -- all or nothing --------------------------------------------------------------------------------

    def begin(self) -> None:
        """From here on, :meth:`undo` leads back to here."""
        changes = {
            key: Change(one.chain, one.anew, one.removed, list(one.edits), set(one.edited))
            for key, one in self.changes.items()
        }
        self._saved = dict(self.chains), changes, {}

    def end(self) -> None:
        """Keep what has been done since :meth:`begin`."""
        self._saved = None

    def undo(self) -> None:
        """Take back what has been done since :meth:`begin`."""
        assert self._saved is not None
        chains, self.changes, before = self._saved
        self.chains = {key: before.get(key, chain) for key, chain in chains.items()}
        for key, change in self.changes.items():
            change.chain = self.chains.get(key, change.chain)
        self._saved = None

    def _note_jump(self, chain: Chain, rule: Rule, step: int) -> None:
        if isinstance(rule.action, Jump):
            target = self.chains[chain.table, rule.action.chain]
            self._touch(target.key)
            target.callers[chain.name] += step

    def _leave(self, chain: Chain) -> None:
        """Have the chains that a chain jumps to forget it: its rules go."""
        # Of a jump that was taken out, the count is left, and its target may be gone.
        for name in (name for name, count in chain.jumps.items() if count > 0):
            target = self.chains[chain.table, name]
            self._touch(target.key)
            del target.callers[chain.name]

    def _touch(self, key: Key) -> None:
        """Keep a chain as it is now, if it may have to come back."""
        if self._saved and key in self._saved[0] and key not in self._saved[2]:
            self._saved[2][key] = self._saved[0][key].copy()

    # -- what may not be -------------------------------------------------------------------------------

    def _see_that_it_can_be_there(self, chain: Chain, rule: Rule) -> None:
        action = rule.action
        tables = _TABLES.get(type(action), tuple(Table))
        if chain.table not in tables:
            raise InvalidArgument(
                f"{type(action).__name__} is for table {' or '.join(tables)}, and {chain.name} is of {chain.table}"
            )
        for field_name, never in (
            ("in_interface", (Hook.OUTPUT, Hook.POSTROUTING)),
            ("out_interface", (Hook.INPUT, Hook.PREROUTING)),
        ):
            if getattr(rule, field_name) is not None and chain.hook in never:
                raise InvalidArgument(f"a packet has no {field_name.replace('_', ' ')} at hook {chain.hook}")
        if isinstance(action, Jump):
            self._see_that_it_can_be_reached(chain, action.chain)
        for what in _restricted(rule):
            _see_hooks(self._hooks_that_reach(chain), what)

    def _see_that_it_can_be_reached(self, chain: Chain, name: str) -> None:
        target = self.chain(chain.table, name)
        if target.hook is not None:
            raise InvalidArgument(f"chain {name} is on hook {target.hook}: jump to one without a hook")
        hooks = self._hooks_that_reach(chain)
        for one in self._below(target):
            if one is chain:
                raise InvalidArgument(f"a jump from {chain.name} to {name} would lead back to {chain.name}")
            for what, count in one.restricted.items():
                if count > 0:
                    _see_hooks(hooks, what)

    def _below(self, chain: Chain) -> Iterator[Chain]:
        """Give a chain, and all that can be reached from it."""
        seen, left = {chain.name}, [chain]
        while left:
            one = left.pop()
            yield one
            for name, count in one.jumps.items():
                if count > 0 and name not in seen:
                    seen.add(name)
                    left.append(self.chains[chain.table, name])

    def _hooks_that_reach(self, chain: Chain) -> set[Hook]:
        """Return the hooks from which packets come to a chain."""
        seen, left, hooks = {chain.name}, [chain], set()
        while left:
            one = left.pop()
            if one.hook is not None:
                hooks.add(one.hook)
                continue  # nothing jumps there
            for name, count in one.callers.items():
                if count > 0 and name not in seen:
                    seen.add(name)
                    left.append(self.chains[chain.table, name])
        return hooks


def table_of(value: object) -> Table:
    """Return a table by itself or by name.

    Raises:
        InvalidArgument: there is none such.
    """
    try:
        return Table(value)
    except ValueError:
        raise InvalidArgument(f"table {shown(value)} is none: there are {', '.join(Table)}") from None


def _hook_of(value: object, table: Table) -> Hook | None:
    if value is None:
        return None
    try:
        hook = Hook(value)
    except ValueError:
        raise InvalidArgument(f"hook {shown(value)} is none: there are {', '.join(Hook)}") from None
    if hook not in HOOKS[table]:
        raise InvalidArgument(f"table {table} has no hook {hook}: it has {', '.join(HOOKS[table])}")
    return hook


def _restricted(rule: Rule) -> list[str]:
    """Return what of a rule is not for every hook."""
    found = ["a source MAC address"] if rule.source_mac else []
    name = type(rule.action).__name__
    return [*found, name] if name in _HOOKS_OF else found


def _see_hooks(hooks: set[Hook], what: str) -> None:
    possible = _HOOKS_OF[what]
    wrong = sorted(hooks.difference(possible))
    if wrong:
        raise InvalidArgument(
            f"{what} is for hook {' and '.join(possible)}, and would be reached from {', '.join(wrong)}"
        )
