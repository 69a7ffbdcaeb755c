"""How most wrong firewalls are made: each writes other rules than it was given, whatever the backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any

from refnet.firewall import FirewallManager, Rule, Table
from refnet.firewall.values import AnyOf

#: What becomes of a rule: other rules, in order; where it is None, the rule itself.
Rewrite = Callable[[Rule], Iterable[Rule] | None]


def changed(rule: Rule, **changes: Any) -> Rule:
    """Return a rule with some fields changed."""
    values = {one.name: getattr(rule, one.name) for one in fields(Rule)}
    return Rule(**{**values, **changes})


def conditions(rule: Rule) -> dict[str, Any]:
    """Return what a rule matches, without what it does."""
    return {one.name: getattr(rule, one.name) for one in fields(Rule) if one.name != "action"}


def some(wanted: AnyOf[Any] | None, change: Callable[[tuple[Any, ...]], Iterable[Any]]) -> AnyOf[Any] | None:
    """Return other values of a field that has some, negated or not as it is."""
    return AnyOf(tuple(change(wanted.values)), wanted.negated) if wanted else None


def rewriting(base: Any, rewrite: Rewrite) -> type[FirewallManager]:
    """Return a wrong class that writes other rules than it was given."""

    def written(rule: Any) -> list[Any]:
        made = rewrite(rule) if isinstance(rule, Rule) else None
        return [rule] if made is None else list(made)

    class Wrong(base):  # type: ignore[misc]
        def add_rule(self, chain: str, rule: Rule, *, first: bool = False, table: Table | str = Table.FILTER) -> None:
            made = written(rule)
            for one in reversed(made) if first else made:
                super().add_rule(chain, one, first=first, table=table)

        def remove_rule(self, chain: str, rule: Rule, *, table: Table | str = Table.FILTER) -> None:
            for one in written(rule):
                super().remove_rule(chain, one, table=table)

    return Wrong
