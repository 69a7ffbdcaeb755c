"""What is to be written to bring a table from what stands to the model. Nothing here starts a program."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from refnet.firewall.model import HOOKS, Chain, Hook, Key, Model, Table
from refnet.firewall.nftables import names
from refnet.firewall.nftables.listing import Listing, NotOurs, elements, jumps
from refnet.firewall.nftables.reading import Line, line
from refnet.firewall.nftables.render import NamedSet, Rendered, definition
from refnet.firewall.nftables.tool import Script
from refnet.firewall.rules import Rule

#: Of each hook of each table, the names of the model's chains in the order in which they are asked.
Hooked = dict[tuple[Table, Hook], tuple[str, ...]]
#: The names of all chains on hooks, in the order in which a packet meets the hooks and tables.
BASES = {
    (table, hook): names.base(table, hook)
    for hook in Hook
    for table in (Table.MANGLE, Table.NAT, Table.FILTER)
    if hook in HOOKS[table]
}


class Writer:
    """Puts commands for one table of family inet into a script."""

    def __init__(self, script: Script, table: str, position: names.Position) -> None:
        """Write for a table that is there, or is made by :meth:`make_table`."""
        self.script = script
        self.table = f"inet {table}"
        self._position = position
        self._defined: set[str] = set()

    def make_table(self) -> None:
        """Make the table."""
        self.script.add(f"add table {self.table}")

    def make_set(self, one: NamedSet) -> None:
        """Make a set."""
        body = f"{{ type {one.type}; flags interval; elements = {{ {one.elements} }}; }}"
        self.script.add(f"add set {self.table} {one.name} {body}")

    def refill_set(self, one: NamedSet) -> None:
        """Make a set's elements what they ought to be."""
        self.script.add(f"flush set {self.table} {one.name}")
        self.script.add(f"add element {self.table} {one.name} {{ {one.elements} }}")

    def make_chain(self, key: Key) -> None:
        """Make a chain of the model."""
        self.script.add(f"add chain {self.table} {names.chain(key)}")

    def make_base(self, where: Table, hook: Hook) -> None:
        """Make the chain on a hook."""
        kind, priority = names.kind(where, hook), names.priority(where, hook, self._position)
        self.script.add(
            f"add chain {self.table} {names.base(where, hook)} "
            f"{{ type {kind} hook {hook.value} priority {priority}; policy accept; }}"
        )

    def fill_base(self, where: Table, hook: Hook, chains: Iterable[str]) -> None:
        """Have the chain on a hook ask these of the model as well, in this order."""
        base = names.base(where, hook)
        for name in chains:
            self.script.add(f"add rule {self.table} {base} jump {names.chain((where, name))}")

    def append(self, key: Key, rules: Iterable[tuple[Rule, Rendered]]) -> None:
        """Add rules at the end of a chain."""
        start = f"add rule {self.table} {names.chain(key)} "
        add = self.script.add
        for rule, rendered in rules:
            if rendered.prefix is not None:
                self._define(rendered.prefix)
            for text in rendered.lines:
                add(start + text, rule)

    def insert(
        self, key: Key, rule: Rule, rendered: Rendered, *, line: str | None = None, at: int | None = None
    ) -> None:
        """Insert a rule, or only one line of it, before the rule with the handle ``at``; None: at the beginning."""
        if rendered.prefix is not None:
            self._define(rendered.prefix)
        where = f" handle {at}" if at is not None else ""
        # What is inserted later comes to stand before, if there is no rule that it is inserted at.
        lines = (line,) if line is not None else rendered.lines if at is not None else reversed(rendered.lines)
        for text in lines:
            self.script.add(f"insert rule {self.table} {names.chain(key)}{where} {text}", rule)

    def delete_rule(self, chain: str, handle: int) -> None:
        """Delete a rule."""
        self.script.add(f"delete rule {self.table} {chain} handle {handle}")

    def flush_chain(self, name: str) -> None:
        """Delete the rules of a chain."""
        self.script.add(f"flush chain {self.table} {name}")

    def delete_chain(self, name: str) -> None:
        """Delete a chain that is empty and that nothing jumps to."""
        self.script.add(f"delete chain {self.table} {name}")

    def delete_set(self, name: str) -> None:
        """Delete a set that no rule uses."""
        self.script.add(f"delete set {self.table} {name}")

    def _define(self, prefix: str) -> None:
        if prefix not in self._defined:
            self._defined.add(prefix)
            self.script.add(definition(prefix))


def hooked(model: Model) -> Hooked:
    """Return the model's chains on each hook."""
    found: dict[tuple[Table, Hook], list[str]] = {where: [] for where in BASES}
    for chain in model.chains.values():
        if chain.hook is not None:
            found[chain.table, chain.hook].append(chain.name)
    return {where: tuple(chains) for where, chains in found.items() if chains}


def set_uses(chain: Chain) -> Counter[NamedSet]:
    """Return how many rules of a chain use each set."""
    return Counter(one for rendered in chain.rendered() for one in rendered.sets)


def write_all(writer: Writer, model: Model, sets: Iterable[NamedSet]) -> None:
    """Write the whole model into a table that is not there."""
    writer.make_table()
    for one in sets:
        writer.make_set(one)
    for key in model.chains:
        writer.make_chain(key)
    for key, chain in model.chains.items():
        writer.append(key, chain.items())
    for (where, hook), chains in hooked(model).items():
        writer.make_base(where, hook)
        writer.fill_base(where, hook, chains)


def can_be_mended(there: Listing, model: Model, sets: Mapping[str, NamedSet], position: names.Position) -> bool:
    """Say whether what stands can be led to the model chain by chain; else the table is written anew."""
    if there.strange or there.flags:
        return False
    bases = {
        names.base(*where): (where[1].value, names.kind(*where), names.priority(*where, position), "accept")
        for where in hooked(model)
    }
    plain = {names.chain(key) for key in model.chains}
    for name, said in there.chains.items():
        wanted = bases.get(name, (None,) * 4 if name in plain else said)
        if said != wanted:
            return False
    return all(
        (kind, flags) == (sets[name].type, ("interval",))
        for name, (kind, flags, _) in there.sets.items()
        if name in sets
    )


def mend(writer: Writer, there: Listing, model: Model, sets: Mapping[str, NamedSet]) -> None:
    """Write what is not as it ought to be, and leave everything else as it is."""
    for name, one in sets.items():
        if name not in there.sets:
            writer.make_set(one)
        elif not _holds(there.sets[name][2], one):
            writer.refill_set(one)
    wanted = hooked(model)
    for key in model.chains:
        if names.chain(key) not in there.chains:
            writer.make_chain(key)
    kept = {names.chain(key) for key in model.chains} | {names.base(*where) for where in wanted}
    gone = [name for name in there.chains if name not in kept]
    for name in gone:
        writer.flush_chain(name)
    known = {name: one.values for name, one in sets.items()}
    for key, chain in model.chains.items():
        standing = [line(chain, one, known) for one in there.rules.get(names.chain(key), ())]
        mend_chain(writer, chain, standing)
    for (where, hook), chains in wanted.items():
        base = names.base(where, hook)
        if base not in there.chains:
            writer.make_base(where, hook)
        elif jumps(there.rules[base]) == [names.chain((where, name)) for name in chains]:
            continue
        else:
            writer.flush_chain(base)
        writer.fill_base(where, hook, chains)
    for name in gone:
        writer.delete_chain(name)
    for name in there.sets:
        if name not in sets:
            writer.delete_set(name)


def mend_chain(writer: Writer, chain: Chain, standing: Sequence[Line]) -> None:
    """Lead a chain's rules to the model's, and keep as many of those that stand as their order allows."""
    wanted = [
        (rule, rendered, number, (rendered.digest, text))
        for rule, rendered in chain.items()
        for number, text in enumerate(rendered.texts)
    ]
    places: dict[tuple[str | None, str | None], int] = {}
    for place, one in enumerate(standing):
        if one.text is not None:
            places.setdefault((one.digest, one.text), place)
    kept = set(longest_increasing([places[key] for *_, key in wanted if key in places]))
    for place, one in enumerate(standing):
        if place not in kept:
            writer.delete_rule(names.chain(chain.key), one.handle)
    waiting: list[tuple[Rule, Rendered, int]] = []
    for rule, rendered, number, key in wanted:
        if places.get(key) not in kept:
            waiting.append((rule, rendered, number))
            continue
        for new, how, which in waiting:
            writer.insert(chain.key, new, how, line=how.lines[which], at=standing[places[key]].handle)
        waiting.clear()
    writer.append(chain.key, ((new, how._replace(lines=(how.lines[which],))) for new, how, which in waiting))


def longest_increasing(numbers: Sequence[int]) -> list[int]:
    """Return a longest increasing subsequence of numbers of which no two are the same (by patience sorting)."""
    tops: list[int] = []
    positions: list[int] = []
    before: list[int | None] = []
    for index, number in enumerate(numbers):
        pile = bisect_left(tops, number)
        before.append(positions[pile - 1] if pile else None)
        if pile == len(tops):
            tops.append(number)
            positions.append(index)
        else:
            tops[pile], positions[pile] = number, index
    found: list[int] = []
    at = positions[-1] if positions else None
    while at is not None:
        found.append(numbers[at])
        at = before[at]
    return found[::-1]


def _holds(said: list[object], one: NamedSet) -> bool:
    try:
        return elements(said) == one.values
    except NotOurs:
        return False
