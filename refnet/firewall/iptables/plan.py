"""From what stands to the model by the least that says it: pure, and at a cost of what has changed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

from refnet.firewall.iptables.ledger import WRITTEN, Half, Ledger, Plan, Standing, step
from refnet.firewall.model import HOOKS, Change, Edit, Hook, Key, Model, Table


def plan(ledger: Ledger, model: Model, changes: Mapping[Key, Change], *, first: bool) -> Plan | None:
    """Return what leads from what stands to the model, own chains ``first`` or last on their hooks.

    None: edits cannot say it. Either two rules of a chain are written alike, and one of them goes: iptables-restore
    deletes by text, and would take whichever comes first. Or a chain was emptied, and rules that it had are among the
    new ones in another order: they keep their counters, which take a look.
    """
    planner = _Planner(ledger, model)
    if not planner.take(changes):
        return None
    planner.see_who_stands(changes)
    planner.see_hooks(changes, first)
    return planner.made()


class _Planner:
    """What goes into each table, in the order in which it is written there."""

    def __init__(self, ledger: Ledger, model: Model) -> None:
        self.ledger = ledger
        self.model = model
        self.plan = Plan()
        #: Edits of chains that stand, how many lines that makes, and what they jump to then.
        self.edited: dict[Key, list[tuple[Edit, Half]]] = {}
        self.lengths: dict[Key, int] = {}
        self.jumps: dict[Key, Counter[Key]] = {}
        #: Chains to be written whole, and for those that stand the lines that lead there.
        self.whole: dict[Key, Standing] = {}
        self.lines_to: dict[Key, list[str]] = {}
        self.stands: dict[Key, bool] = {}
        self.hook_lines: defaultdict[Table, list[str]] = defaultdict(list)

    # -- what the changes say --------------------------------------------------------------------------

    def take(self, changes: Mapping[Key, Change]) -> bool:
        """Take the changes of chains that stand; return False if they cannot be told by text."""
        for key, change in changes.items():
            standing = self.ledger.chains.get(key)
            if standing is None or change.removed:
                continue
            if change.anew:
                self.whole[key] = new = self.ledger.standing(change.chain)
                lines = _difference(self.ledger.name(key[1]), standing.lines.in_order(), new.lines.in_order())
                if lines is None:
                    return False
                self.lines_to[key] = lines
                self.plan.references.subtract(standing.jumps)
                self.plan.references.update(new.jumps)
                self.jumps[key], self.lengths[key] = new.jumps, len(new.lines)
            elif not self._edit(key, standing, change):
                return False
        return True

    def _edit(self, key: Key, standing: Standing, change: Change) -> bool:
        at = self.ledger.at
        edits = [(edit, edit.rendered[at]) for edit in change.edits if edit.rendered[at].lines]
        more: Counter[str] = Counter()
        jumps: Counter[Key] = Counter()
        length = len(standing.lines)
        for edit, half in edits:
            for line in half.lines:
                if edit.kind == "remove" and standing.lines.count(line) + more[line] != 1:
                    return False
                more[line] += step(edit)
                length += step(edit)
            if half.target:
                jumps[half.target] += step(edit)
        self.plan.references.update(jumps)
        jumps.update(standing.jumps)
        self.edited[key], self.jumps[key], self.lengths[key] = edits, jumps, length
        return True

    # -- which chains stand ----------------------------------------------------------------------------

    def see_who_stands(self, changes: Mapping[Key, Change]) -> None:
        """Find the chains that come to stand, and those that no longer do."""
        left = [*changes, *self.plan.references]
        while left:
            key = left.pop()
            stands = self.stands.get(key, key in self.ledger.chains)
            if stands == self._is_to_stand(key, changes.get(key)):
                continue
            self.stands[key] = not stands
            jumps = self._jumps(key)
            if stands:
                self.plan.references.subtract(jumps)
            else:
                self.plan.references.update(jumps)
            left += jumps

    def _is_to_stand(self, key: Key, change: Change | None) -> bool:
        chain = self.model.chains.get(key)
        if chain is None:
            return False
        if self.ledger.references[key] + self.plan.references[key] > 0:
            return True
        if chain.hook is None:
            return False
        if key in self.lengths:
            return self.lengths[key] > 0
        if key in self.ledger.chains:
            return True
        # A chain on a hook that does not stand had no line in this family: it has one now if one has come.
        at = self.ledger.at
        if change and not change.anew:
            return any(edit.kind != "remove" and edit.rendered[at].lines for edit in change.edits)
        return len(self._new(key).lines) > 0

    def _jumps(self, key: Key) -> Counter[Key]:
        if key in self.jumps:
            return self.jumps[key]
        if key in self.ledger.chains:
            return self.ledger.chains[key].jumps
        return self._new(key).jumps

    def _new(self, key: Key) -> Standing:
        if key not in self.whole:
            self.whole[key] = self.ledger.standing(self.model.chains[key])
        return self.whole[key]

    # -- hooks -----------------------------------------------------------------------------------------

    def see_hooks(self, changes: Mapping[Key, Change], first: bool) -> None:
        """Find the jumps from built-in chains that come, go, or change their order."""
        moved = {key for key, change in changes.items() if change.anew or change.removed}
        for table in {table for table, _ in (*moved, *self.stands)}:
            for hook in HOOKS[table]:
                old = self.ledger.jumps.get((table, hook), [])
                new = self.ledger.jumps_of(self.model, table, hook, self._stands)
                if new != old:
                    self.plan.jumps[table, hook] = new
                    self.hook_lines[table] += jump_lines(hook, old, new, first)

    def _stands(self, key: Key) -> bool:
        return self.stands.get(key, key in self.ledger.chains)

    # -- the text --------------------------------------------------------------------------------------

    def made(self) -> Plan:
        """Return the plan, with its text."""
        sections: dict[Table, list[str]] = {table: [] for table in WRITTEN}
        endings: dict[Table, list[str]] = {table: [] for table in Table}
        for key in self._written():
            self._write(key, sections[key[0]], endings[key[0]])
        for key, edits in self.edited.items():
            if self._stands(key):
                self._write_edits(key, edits, sections[key[0]], endings[key[0]])
        for table, lines in self.hook_lines.items():
            sections[table] += lines
        for key, stands in self.stands.items():
            old = self.ledger.chains.get(key)
            if old and not stands:
                self.plan.gone.add(key)
                endings[key[0]] += [self.ledger.name(key[1]), *old.auxiliaries]
        text: list[str] = []
        for table, lines in sections.items():
            # A rule that has gone and come again has its auxiliary chain still.
            gone = [one for one in endings[table] if declaration(one) not in lines]
            if lines or gone:
                text += [f"*{table}", *sorted(lines, key=_is_no_declaration)]
                text += [*(f"-F {one}" for one in gone), *(f"-X {one}" for one in gone), "COMMIT\n"]
        self.plan.text = "\n".join(text)
        self.plan.references = Counter({key: count for key, count in self.plan.references.items() if count})
        return self.plan

    def _written(self) -> list[Key]:
        """Return the chains that are written whole: those that are new here, or whose rules were all replaced."""
        return [key for key in self.whole if self._stands(key)]

    def _write(self, key: Key, lines: list[str], endings: list[str]) -> None:
        new = self.whole[key]
        self.plan.written[key] = new
        old = self.ledger.chains.get(key)
        endings += [one for one in old.auxiliaries if one not in new.auxiliaries] if old else []
        for name, inner in new.auxiliaries.items():
            if old is None or name not in old.auxiliaries:
                lines += [declaration(name), *inner]
        lines += self.lines_to[key] if old else [declaration(self.ledger.name(key[1])), *new.lines.in_order()]

    def _write_edits(self, key: Key, edits: list[tuple[Edit, Half]], lines: list[str], endings: list[str]) -> None:
        standing = self.ledger.chains[key]
        for edit, half in edits:
            self.plan.edits.append((standing, edit, half))
            if edit.kind == "remove":
                lines += ["-D" + line[2:] for line in half.lines]
                endings += [half.auxiliary.name] if half.auxiliary else []
                continue
            if half.auxiliary:
                lines += [declaration(half.auxiliary.name), *half.auxiliary.lines]
            if edit.kind == "append":
                lines += half.lines
            else:
                lines += ["-I" + line[2:] for line in reversed(half.lines)]


def _difference(chain: str, old: list[str], new: list[str]) -> list[str] | None:
    """Return the lines that lead from a chain's content to another, and do not touch what is in both; None: no such."""
    staying = set(old) & set(new)
    if not staying:
        return [declaration(chain), *new]
    if old == new:
        return []
    kept = [line for line in old if line in staying]
    start = next(at for at, line in enumerate(new) if line in staying)
    end = start + len(kept)
    if new[start:end] != kept or len(set(old)) < len(old) or len(set(new)) < len(new):
        return None
    gone = ["-D" + line[2:] for line in old if line not in staying]
    return [*gone, *("-I" + line[2:] for line in reversed(new[:start])), *new[end:]]


def declaration(chain: str) -> str:
    """Return the line that makes a chain, or empties one that is there."""
    return f":{chain} - [0:0]"


def jump_lines(hook: Hook | str, old: list[str], new: list[str], first: bool) -> list[str]:
    """Return the lines that lead from the jumps in a built-in chain to others, in order."""
    built_in = hook.name if isinstance(hook, Hook) else hook
    if new == [one for one in old if one in new] and len(new) < len(old):
        return [f"-D {built_in} -j {one}" for one in old if one not in new]
    if first and old and new[-len(old) :] == old:
        come, old = new[: -len(old)], []
    elif not first and old and new[: len(old)] == old:
        come, old = new[len(old) :], []
    else:
        come = new
    lines = [f"-D {built_in} -j {one}" for one in old]
    return lines + ([f"-I {built_in} -j {one}" for one in reversed(come)] if first else _appended(built_in, come))


def _appended(built_in: str, chains: list[str]) -> list[str]:
    return [f"-A {built_in} -j {one}" for one in chains]


def _is_no_declaration(line: str) -> bool:
    return line[:1] != ":"
