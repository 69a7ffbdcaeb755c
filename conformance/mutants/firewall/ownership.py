"""Wrong about whose rules are whose."""

from __future__ import annotations

import weakref
from typing import Any

from conformance.mutants import mutant
from conformance.mutants.firewall.making import writing
from conformance.mutants.firewall.rewriting import changed
from refnet import process
from refnet.firewall.actions import ACCEPT, Jump
from refnet.firewall.manager import FirewallManager, Standing
from refnet.firewall.model import Hook, Model, Table
from refnet.firewall.rules import Rule
from refnet.firewall.values import AnyOf


@mutant(
    "flushes-others",
    "flushes all there is before its first apply",
    {"OW-01": "after the first apply, others have lost"},
)
def flushes_others(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def _commit_all(self) -> None:
            process.run(["nft", "flush", "ruleset"])
            super()._commit_all()

    return Wrong


@mutant(
    "teardown-by-prefix",
    "tears down all whose names begin with the owner's",
    {"OW-02": "what a-b drops, after a's teardown"},
)
def teardown_by_prefix(base: Any) -> type[FirewallManager]:
    known: weakref.WeakSet[Any] = weakref.WeakSet()

    class Wrong(base):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            known.add(self)

        def _remove_all(self) -> None:
            super()._remove_all()
            for other in list(known):
                if other.owner != self.owner and other.owner.startswith(self.owner):
                    base._remove_all(other)

    return Wrong


@mutant(
    "owner-and-chain-run-together",
    "tells apart what owner and chain are called together, not each of them",
    {"OW-02": " of a's: "},
)
def owner_and_chain(base: Any) -> type[FirewallManager]:
    known: weakref.WeakSet[Any] = weakref.WeakSet()

    class Wrong(base):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            known.add(self)

        def _commit_all(self) -> None:
            mine = {f"{self.owner}-{name}" for _, name, _ in self.chains()}
            for other in list(known):
                if other.owner != self.owner and mine & {f"{other.owner}-{name}" for _, name, _ in other.chains()}:
                    base._remove_all(other)
            super()._commit_all()

    return Wrong


@mutant(
    "position-ignored",
    "is always first",
    {"OW-03": "the packet was counted by", "OW-04": "no rule of others has met"},
)
def position_ignored(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def __init__(self, owner: str, *, position: str = "first", **options: Any) -> None:
            super().__init__(owner, **options)

    return Wrong


@mutant(
    "adopts-leftovers",
    "takes over what an earlier process has left",
    {"OW-05": "what an earlier process dropped, after the first apply"},
)
def adopts_leftovers(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def _commit_all(self) -> None:
            for one in super().standing():
                super().add_chain(one.name, hook=one.hook, table=one.table)
                for rule in one.rules:
                    if isinstance(rule, Rule):
                        super().add_rule(one.name, rule, table=one.table)
            super()._commit_all()

    return Wrong


@mutant(
    "standing-from-memory",
    "tells what is to stand, and does not look",
    {"OW-06": "before the first apply there stands"},
)
def standing_from_memory(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def standing(self) -> tuple[Standing, ...]:
            return tuple(
                Standing(table, name, hook, self.rules(name, table=table)) for table, name, hook in self.chains()
            ) or (Standing(Table.FILTER, "guests", Hook.FORWARD, ()),)

    return Wrong


@mutant(
    "chain-names-cut",
    "cuts the names of chains at 24 characters",
    {"OW-07": "what the other chain of a similar name drops"},
)
def chain_names_cut(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def add_chain(self, chain: str, **options: Any) -> None:
            super().add_chain(chain[:24], **options)

        def add_rule(self, chain: str, rule: Rule, **options: Any) -> None:
            if isinstance(rule.action, Jump):
                rule = changed(rule, action=Jump(rule.action.chain[:24]))
            super().add_rule(chain[:24], rule, **options)

    return Wrong


@mutant(
    "reads-nobody-elses",
    "reads what stands only if it has written it itself",
    {"OW-06": "another manager of this owner reads"},
)
def reads_own_only(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        has_written = False

        def apply(self) -> None:
            super().apply()
            self.has_written = True

        def standing(self) -> tuple[Standing, ...]:
            found: tuple[Standing, ...] = super().standing()
            return found if self.has_written else ()

    return Wrong


@mutant(
    "teardown-forgets-others-work",
    "tears down only what it has made itself",
    {"FF-14": "after a new manager's teardown, all rules are"},
)
def teardown_own_work(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        has_written = False

        def apply(self) -> None:
            super().apply()
            self.has_written = True

        def _remove_all(self) -> None:
            if self.has_written:
                super()._remove_all()

    return Wrong


@mutant(
    "teardown-leaves-chain",
    "leaves a chain at teardown",
    {"FF-13": "after teardown, all rules are", "CV-02": "teardown of an empty manager: the host has changed"},
)
def teardown_leaves(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        _model: Model

        def _remove_all(self) -> None:
            super()._remove_all()
            kept, self._model = self._model, Model()
            super().add_chain("left", hook="forward")
            super().add_rule("left", Rule(ACCEPT, source="192.0.2.250"))
            super()._commit_all()
            self._model = kept

    return Wrong


@mutant(
    "owner-cut",
    "cuts an owner's name at 15 characters",
    {"OW-08": "port 7001, which one of two owners drops"},
)
def owner_cut(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def __init__(self, owner: str, **options: Any) -> None:
            super().__init__(owner[:15], **options)

    return Wrong


@mutant("comments-lost", "writes rules without their comments", {"OW-09": "rules with comments are read as"})
def comments_lost(base: Any) -> type[FirewallManager]:
    return writing(base, lambda rule: changed(rule, comment=None))


@mutant(
    "reads-no-negation",
    "reads what stands without what is not meant",
    {"OW-12": "the manager reads rules in another way"},
)
def reads_no_negation(base: Any) -> type[FirewallManager]:
    def read(rule: Rule | str) -> Rule | str:
        found = rule.source if isinstance(rule, Rule) else None
        return changed(rule, source=AnyOf(found.values)) if found and isinstance(rule, Rule) else rule

    class Wrong(base):  # type: ignore[misc]
        def standing(self) -> tuple[Standing, ...]:
            return tuple(one._replace(rules=tuple(map(read, one.rules))) for one in super().standing())

    return Wrong
