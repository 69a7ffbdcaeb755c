"""What a manager keeps in memory: chains of rules, what has changed since the last apply, and what may not be.

Nothing here knows a backend or starts a program.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from refnet.errors import InvalidArgument, Mismatch
from refnet.firewall import values
from refnet.firewall.actions import ChecksumFill, Dnat, Drop, Jump, Masquerade, Redirect, Reject, SetMark, Snat
from refnet.firewall.chains import HOOKS, HOOKS_OF, Chain, Change, Edit, Hook, Kept, Key, Table, count, restricted
from refnet.firewall.rules import Rule
from refnet.names import shown

__all__ = ["HOOKS", "Chain", "Change", "Edit", "Hook", "Key", "Model", "Table", "table_of"]

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


class _Block(NamedTuple):
    """What there was before a block that may be taken back."""

    chains: Kept
    changes: dict[Key, Change]
    #: The rules at both ends of the chains that the block has to do with.
    rules: dict[Chain, tuple[Kept, Kept]]


class Model:
    """All chains of one owner. Chains on the same hook are asked in the order in which they were added."""

    def __init__(self) -> None:
        """Make one without chains."""
        self.chains: dict[Key, Chain] = {}
        self.changes: dict[Key, Change] = {}
        self._block: _Block | None = None

    def chain(self, table: object, name: object) -> Chain:
        """Return a chain.

        Raises:
            InvalidArgument: there is none by that name in that table.
        """
        key = (table_of(table), values.chain_name(name))
        if key not in self.chains:
            there = _some(one.name for one in self.chains.values() if one.table is key[0])
            raise InvalidArgument(f"there is no chain {key[1]!r} in table {key[0]}: add it first (there are: {there})")
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
        chain = self.chains[key]
        if chain.callers:
            raise InvalidArgument(f"chain {key[1]} is jumped to from {_some(chain.callers)}: remove those rules first")
        self._keep(chain)
        if self._block:
            self._block.chains.lose()
        self._leave(chain)
        self.changes[key] = Change(self.chains.pop(key), removed=True)

    def empty_chain(self, table: object, name: object) -> None:
        """Remove all rules of a chain."""
        chain = self.chain(table, name)
        if len(chain):
            self._keep(chain)
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
        self._keep(chain)
        chain.put(rule, rendered, first=first)
        self._note(chain, Edit("prepend" if first else "append", rule, rendered))

    def remove_rule(self, table: object, name: object, rule: Rule) -> None:
        """Remove a rule; one that is not there is no error."""
        chain = self.chain(table, name)
        if not isinstance(rule, Rule):
            raise InvalidArgument(f"{shown(rule)} is no Rule: make one with refnet.firewall.Rule(…)")
        if rule not in chain:
            return
        kept = self._keep(chain)
        if kept:
            chain.before_taking(rule, kept)
        self._note(chain, Edit("remove", rule, chain.take(rule)))

    def clear(self) -> None:
        """Remove everything, as if there had never been anything."""
        for chain in self.chains.values():
            self._keep(chain)
            chain.forget_counts()
            chain.callers = Counter()
        self.chains = {}
        self.changes = {}
        if self._block:
            self._block.changes.clear()

    # -- all or nothing --------------------------------------------------------------------------------

    def begin(self) -> None:
        """From here on, :meth:`undo` leads back to here."""
        self._block = _Block(Kept(self.chains), self.changes, {})
        self.changes = {}

    def end(self) -> None:
        """Keep what has been done since :meth:`begin`."""
        assert self._block is not None
        changes, self.changes, self._block = self.changes, self._block.changes, None
        for key, change in changes.items():
            known = self.changes.get(key)
            if known is None or change.anew or change.removed:
                self.changes[key] = change
            elif not known.anew:
                for edit in change.edits:
                    known.note(edit)

    def undo(self) -> None:
        """Take back what has been done since :meth:`begin`."""
        assert self._block is not None
        block, self._block = self._block, None
        for chain in block.rules:
            self._leave(chain)
        self.chains, self.changes = block.chains.back(), block.changes
        back = [chain for chain in block.rules if self.chains.get(chain.key) is chain]
        for chain in back:
            chain.go_back(block.rules[chain])
            for name, number in chain.jumps.items():
                self.chains[chain.table, name].callers[chain.name] = number

    def _keep(self, chain: Chain) -> tuple[Kept, Kept] | None:
        """Keep a chain's rules as they are now, if they may have to come back."""
        if self._block is None:
            return None
        if chain not in self._block.rules:
            self._block.rules[chain] = chain.keep()
        return self._block.rules[chain]

    def _note(self, chain: Chain, edit: Edit) -> None:
        """Take notice that a rule has come to a chain, or gone."""
        change = self.changes.get(chain.key)
        if change is None:
            change = self.changes[chain.key] = Change(chain)
        if not change.anew:
            change.note(edit)
        if isinstance(edit.rule.action, Jump):
            target = self.chains[chain.table, edit.rule.action.chain]
            count(target.callers, chain.name, -1 if edit.kind == "remove" else 1)

    def _leave(self, chain: Chain) -> None:
        """Have the chains that a chain jumps to forget it: its rules go."""
        for name in chain.jumps:
            del self.chains[chain.table, name].callers[chain.name]
        chain.forget_counts()

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
        for what in restricted(rule):
            _see_hooks(self._hooks_that_reach(chain), what)

    def _see_that_it_can_be_reached(self, chain: Chain, name: str) -> None:
        target = self.chain(chain.table, name)
        if target.hook is not None:
            raise InvalidArgument(f"chain {name} is on hook {target.hook}: jump to one without a hook")
        below = list(self._below(target))
        if chain in below:
            raise InvalidArgument(f"a jump from {chain.name} to {name} would lead back to {chain.name}")
        needed = sorted({what for one in below for what in one.restricted})
        hooks = self._hooks_that_reach(chain) if needed else set()  # a chain can have thousands of callers
        for what in needed:
            _see_hooks(hooks, what)

    def _below(self, chain: Chain) -> Iterator[Chain]:
        """Give a chain, and all that can be reached from it."""
        seen, left = {chain.name}, [chain]
        while left:
            one = left.pop()
            yield one
            for name in one.jumps:
                if name not in seen:
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
            for name in one.callers:
                if name not in seen:
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


def _some(names: Iterable[str]) -> str:
    """Return names for a message: a host can have thousands."""
    said = sorted(names)
    more = [f"and {len(said) - 10} more"] if len(said) > 10 else []
    return ", ".join(said[:10] + more) or "none"


def _see_hooks(hooks: set[Hook], what: str) -> None:
    possible = HOOKS_OF[what]
    wrong = sorted(hooks.difference(possible))
    if wrong:
        raise InvalidArgument(
            f"{what} is for hook {' and '.join(possible)}, and would be reached from {', '.join(wrong)}"
        )
