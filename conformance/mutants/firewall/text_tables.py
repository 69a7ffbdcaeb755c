"""Wrong about Nova's textual tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from conformance.mutants import mutant
from refnet.errors import RefnetError
from refnet.firewall.manager import FirewallManager


class _Altered:
    """A table of text, some of whose methods are others."""

    def __init__(self, table: Any, methods: Mapping[str, Callable[..., Any]]) -> None:
        self._table, self._methods = table, methods

    def __getattr__(self, name: str) -> Any:
        method = self._methods.get(name)
        table = self._table
        return getattr(table, name) if method is None else lambda *args, **options: method(table, *args, **options)


def altered(base: Any, **methods: Callable[..., Any]) -> type[FirewallManager]:
    """Return a class with other methods of its tables; each is given the right table first."""

    class Wrong(base):  # type: ignore[misc]
        @property
        def ipv4(self) -> Mapping[str, Any]:
            return {name: _Altered(table, methods) for name, table in super().ipv4.items()}

        @property
        def ipv6(self) -> Mapping[str, Any]:
            return {name: _Altered(table, methods) for name, table in super().ipv6.items()}

    return Wrong


@mutant(
    "text-jumps-ignored",
    "leaves out rules that jump by $name",
    {"NV-01": "what a chain drops that a rule jumps to by $name", "NV-06": "what a chain drops since it was emptied"},
)
def jumps_ignored(base: Any) -> type[FirewallManager]:
    def add_rule(table: Any, chain: str, rule: str, **options: Any) -> None:
        if "$" not in rule:
            table.add_rule(chain, rule, **options)

    return altered(base, add_rule=add_rule)


@mutant("text-top-ignored", "adds all rules behind others", {"NV-02": "what a rule accepts that was added with top"})
def top_ignored(base: Any) -> type[FirewallManager]:
    def add_rule(table: Any, chain: str, rule: str, *, top: bool = False, **options: Any) -> None:
        table.add_rule(chain, rule, **options)

    return altered(base, add_rule=add_rule)


@mutant(
    "text-rules-stay",
    "removes no rule by its text",
    {
        "NV-03": "what a rule dropped that was removed by its text",
        "NV-12": "what a rule dropped that was removed in the end",
    },
)
def rules_stay(base: Any) -> type[FirewallManager]:
    return altered(base, remove_rule=lambda table, *args, **options: None)


@mutant("text-chains-stay", "removes no chain", {"NV-04": "what a chain dropped that was removed"})
def chains_stay(base: Any) -> type[FirewallManager]:
    return altered(base, remove_chain=lambda table, *args, **options: None)


@mutant(
    "text-chains-by-prefix",
    "removes chains by what their names begin with",
    {"NV-04": "what a chain drops whose name begins with that of the removed one"},
)
def chains_by_prefix(base: Any) -> type[FirewallManager]:
    def remove_chain(table: Any, name: str, wrap: bool = True) -> None:
        for one in table.chains:
            if one.startswith(name):
                table.remove_chain(one, wrap)

    return altered(base, remove_chain=remove_chain)


@mutant(
    "text-regex-takes-all",
    "removes all rules by whatever expression",
    {"NV-05": "what a rule drops that the expression does not match"},
)
def regex_takes_all(base: Any) -> type[FirewallManager]:
    return altered(base, remove_rules_regex=lambda table, regex: table.remove_rules_regex(".*DROP"))


@mutant("text-chains-not-emptied", "empties no chain", {"NV-06": "what a chain dropped that was emptied"})
def chains_not_emptied(base: Any) -> type[FirewallManager]:
    return altered(base, empty_chain=lambda table, *args, **options: None)


@mutant("text-defer-ignored", "defers nothing", {"NV-07": "between defer_apply_on and defer_apply_off: "})
def defer_ignored(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def defer_apply_on(self) -> None:
            pass

    return Wrong


@mutant("text-of-ipv4-only", "takes no rules of IPv6", {"NV-08": "what a rule of IPv6 drops"})
def of_ipv4_only(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        @property
        def ipv6(self) -> Mapping[str, Any]:
            ignoring = {"add_rule": lambda table, *args, **options: None}
            return {name: _Altered(table, ignoring) for name, table in super().ipv6.items()}

    return Wrong


@mutant(
    "text-nat-ignored",
    "takes no rules of table nat",
    {"NV-09": "a port that is forwarded", "NV-16": "c sends to b, which is to see 192.0.2.1"},
)
def nat_ignored(base: Any) -> type[FirewallManager]:
    def add_rule(table: Any, chain: str, rule: str, **options: Any) -> None:
        if "NAT" not in rule:
            table.add_rule(chain, rule, **options)

    return altered(base, add_rule=add_rule)


@mutant(
    "text-exceptions-ignored",
    "leaves out what is negated",
    {"NV-16": "a sends to c, which is to see "},
)
def exceptions_ignored(base: Any) -> type[FirewallManager]:
    def add_rule(table: Any, chain: str, rule: str, **options: Any) -> None:
        if "!" not in rule:
            table.add_rule(chain, rule, **options)

    return altered(base, add_rule=add_rule)


@mutant(
    "text-states-ignored",
    "leaves out what asks for the state of a connection",
    {"NV-15": "an answer to what a guest has asked"},
)
def states_ignored(base: Any) -> type[FirewallManager]:
    def add_rule(table: Any, chain: str, rule: str, **options: Any) -> None:
        if "--state" not in rule:
            table.add_rule(chain, rule, **options)

    return altered(base, add_rule=add_rule)


@mutant("text-unwrapped-ignored", "takes no rules in unwrapped chains", {"NV-10": "what an unwrapped chain drops"})
def unwrapped_ignored(base: Any) -> type[FirewallManager]:
    def add_rule(table: Any, chain: str, rule: str, *, wrap: bool = True, **options: Any) -> None:
        if wrap:
            table.add_rule(chain, rule, wrap=wrap, **options)

    return altered(base, add_rule=add_rule)


@mutant("text-errors-logged", "says nothing of text that is no rule", {"NV-11": "is not refused: it goes through"})
def errors_logged(base: Any) -> type[FirewallManager]:
    def add_rule(table: Any, chain: str, rule: str, **options: Any) -> None:
        try:
            table.add_rule(chain, rule, **options)
        except RefnetError:
            pass

    return altered(base, add_rule=add_rule)


@mutant(
    "text-defer-counted",
    "counts defer_apply_on, and waits for as many defer_apply_off",
    {"NV-13": "after defer_apply_on twice and defer_apply_off once"},
)
def defer_counted(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        count = 0

        def defer_apply_on(self) -> None:
            self.count += 1
            super().defer_apply_on()

        def defer_apply_off(self) -> None:
            self.count -= 1
            if self.count == 0:
                super().defer_apply_off()

    return Wrong


@mutant("text-mangle-ignored", "takes no rules of table mangle", {"NV-14": "what is dropped by its mark"})
def mangle_ignored(base: Any) -> type[FirewallManager]:
    def add_rule(table: Any, chain: str, rule: str, **options: Any) -> None:
        if "-j MARK" not in rule:
            table.add_rule(chain, rule, **options)

    return altered(base, add_rule=add_rule)
