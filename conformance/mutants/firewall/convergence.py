"""Wrong about what apply costs, what resync mends, and what deferred() holds back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from conformance.mutants import mutant
from refnet.firewall.actions import ACCEPT
from refnet.firewall.manager import FirewallManager
from refnet.firewall.model import Change, Key, Model
from refnet.firewall.rules import Rule


@mutant("apply-always-looks", "looks at the host at each apply", {"CV-01": "the second apply has started"})
def apply_always(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def apply(self) -> None:
            self._synced = False
            super().apply()

    return Wrong


@mutant("apply-counts-calls", "looks at the host when anything was called", {"CV-01": "with a rule added and removed"})
def apply_counts_calls(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def add_rule(self, chain: str, rule: Rule, **options: Any) -> None:
            self._synced = False
            super().add_rule(chain, rule, **options)

    return Wrong


@mutant(
    "empty-leaves-marker",
    "writes something even if there is nothing to write",
    {"CV-02": "apply of an empty manager: the host has changed"},
)
def empty_leaves_marker(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def _commit_all(self) -> None:
            super().add_chain("marker", hook="forward")
            super().add_rule("marker", Rule(ACCEPT, source="192.0.2.250"))
            super()._commit_all()

    return Wrong


@mutant(
    "resync-does-nothing",
    "takes for granted at resync that all stands as it was left",
    {
        "CV-03": "what the rules drop, after a flush and resync",
        "CV-04": "what the rules drop, after resync over",
        "CV-12": "what a rule drops that was removed, after resync",
    },
)
def resync_nothing(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def resync(self) -> None:
            self.apply()

    return Wrong


@mutant(
    "change-only",
    "writes what has changed, wherever nothing else stands any more",
    {"CV-11": "after a flush and the apply of a change"},
)
def change_only(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        _model: Model

        def apply(self) -> None:
            if not self._synced or super().standing():
                super().apply()
                return
            kept, self._model = self._model, Model()
            for key, change in kept.changes.items():
                super().add_chain(key[1], hook=change.chain.hook, table=key[0])
                for edit in change.edits:
                    super().add_rule(key[1], edit.rule, table=key[0])
            super()._commit_all()
            self._model, kept.changes = kept, {}

    return Wrong


@mutant("deferred-applies-at-once", "applies within deferred()", {"CV-06": "what is called within deferred(): "})
def deferred_at_once(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        _in_block: bool

        def apply(self) -> None:
            in_block: bool = self._in_block
            self._in_block = False
            super().apply()
            self._in_block = in_block

    return Wrong


@mutant("deferred-forgets", "forgets to apply at the end of deferred()", {"CV-06": "after the end of deferred()"})
def deferred_forgets(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        @contextlib.contextmanager
        def deferred(self) -> Iterator[None]:
            self._in_block = True
            yield
            self._in_block = False

    return Wrong


@mutant(
    "deferred-applies-half",
    "applies what was called before an exception has left deferred()",
    {"CV-07": "an exception has left deferred(), and the model is"},
)
def deferred_applies_half(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        @contextlib.contextmanager
        def deferred(self) -> Iterator[None]:
            self._in_block = True
            try:
                yield
            finally:
                self._in_block = False
                self.apply()

    return Wrong


@mutant(
    "deferred-inner-applies",
    "applies at the end of each deferred() block, inner ones too",
    {"CV-08": "at the end of the inner block"},
)
def deferred_inner(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        _in_block = False

        @contextlib.contextmanager
        def deferred(self) -> Iterator[None]:
            outer = self._in_block
            self._in_block = True
            yield
            self._in_block = False
            self.apply()
            self._in_block = outer

    return Wrong


@mutant("removals-unwritten", "removes rules from its memory only", {"CV-09": "what a rule dropped that is removed"})
def removals_unwritten(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def remove_rule(self, chain: str, rule: Rule, **options: Any) -> None:
            super().remove_rule(chain, rule, **options)
            self._model.changes.clear()

    return Wrong


@mutant(
    "emptied-chains-stay",
    "removes chains from its memory only, and empties them there only",
    {"CV-09": "what a chain that was emptied dropped that is removed"},
)
def emptied_stay(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def _commit(self, changes: Mapping[Key, Change], *, layer2: bool) -> None:
            edits = {key: one for key, one in changes.items() if len(one.chain) and not one.removed}
            super()._commit(edits, layer2=layer2)

    return Wrong


@mutant(
    "edits-behind-the-others",
    "adds every rule behind the others",
    {
        "CV-10": "after these steps there is to stand",
        "CV-14": "what a rule drops that was added before hundreds",
    },
)
def edits_behind(base: Any) -> type[FirewallManager]:
    def behind(change: Change) -> Change:
        made = Change(change.chain, change.anew, change.removed)
        for one in change.edits:
            made.note(one._replace(kind="append") if one.kind == "prepend" else one)
        return made

    class Wrong(base):  # type: ignore[misc]
        def _commit(self, changes: Mapping[Key, Change], *, layer2: bool) -> None:
            super()._commit({key: behind(change) for key, change in changes.items()}, layer2=layer2)

    return Wrong


@mutant(
    "chains-keep-their-hook",
    "has a chain at the hook where it was first",
    {"CV-13": "what a chain drops that has moved to hook input"},
)
def chains_keep_hook(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.hooks: dict[str, Any] = {}

        def add_chain(self, chain: str, *, hook: Any = None, **options: Any) -> None:
            super().add_chain(chain, hook=self.hooks.setdefault(chain, hook), **options)

    return Wrong


@mutant(
    "switch-ends-block",
    "applies at defer_apply_off, even in a deferred() block",
    {"CV-15": "a block in which deferral was switched on and off"},
)
def switch_ends_block(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        _in_block: bool

        def defer_apply_off(self) -> None:
            in_block: bool = self._in_block
            self._in_block = False
            super().defer_apply_off()
            self._in_block = in_block

    return Wrong
