"""Wrong about where a rule stands: its table, its hook, its chain, and the device that a hook knows."""

from __future__ import annotations

from typing import Any

from conformance.mutants import mutant
from conformance.mutants.firewall.making import writing
from conformance.mutants.firewall.rewriting import changed
from refnet.firewall.actions import ACCEPT, Jump, Log, SetMark
from refnet.firewall.manager import Counter, FirewallManager
from refnet.firewall.model import Chain, Hook, Table
from refnet.firewall.rules import Rule

_LEAKED, _LOST = "and b got it", "and did not arrive"


@mutant(
    "mangle-when-it-comes",
    "asks the chains of table mangle when a packet comes, and at no other hook",
    {"FW-27": "and host got it", "FW-26": _LEAKED},
)
def mangle_when_it_comes(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def _render(self, chain: Chain, rule: Rule) -> Any:
            is_asked = chain.table is not Table.MANGLE or chain.hook in (None, Hook.PREROUTING)
            return super()._render(chain, rule if is_asked else Rule(ACCEPT, source="192.0.2.250"))

    return Wrong


@mutant("marks-of-ipv4", "gives marks to packets of IPv4 only", {"FW-26": _LEAKED})
def marks_of_ipv4(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def add_rule(self, chain: str, rule: Rule, **where: Any) -> None:
            is_about_both = isinstance(rule.action, SetMark) and rule.family is None
            super().add_rule(chain, changed(rule, family=4) if is_about_both else rule, **where)

    return Wrong


@mutant(
    "chain-of-one-caller",
    "has one rule jump to a chain, the first one that was added",
    {"FW-25": "a chain that several rules jump to"},
)
def chain_of_one_caller(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.callers: dict[str, Rule] = {}

        def _render(self, chain: Chain, rule: Rule) -> Any:
            if isinstance(rule.action, Jump) and self.callers.setdefault(rule.action.chain, rule) != rule:
                rule = Rule(ACCEPT, source="192.0.2.250")
            return super()._render(chain, rule)

    return Wrong


@mutant(
    "callers-share-a-jump",
    "takes all jumps to a chain away with one of them",
    {"FW-25": "one of the jumps removed"},
)
def callers_share_a_jump(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def remove_rule(self, chain: str, rule: Rule, *, table: Any = Table.FILTER) -> None:
            super().remove_rule(chain, rule, table=table)
            if not isinstance(rule, Rule) or not isinstance(rule.action, Jump):
                return
            for where, name, _ in self.chains():
                for one in self.rules(name, table=where):
                    if one.action == rule.action:
                        super().remove_rule(name, one, table=where)

    return Wrong


@mutant(
    "match-interfaces-on-the-way",
    "looks at interfaces where packets are forwarded, and nowhere else",
    {"FW-55": _LOST.replace("and ", ""), "NA-22": "what comes by another device"},
)
def interfaces_on_the_way(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def _render(self, chain: Chain, rule: Rule) -> Any:
            if chain.hook in (Hook.INPUT, Hook.OUTPUT, Hook.PREROUTING):
                rule = changed(rule, in_interface=None, out_interface=None)
            return super()._render(chain, rule)

    return Wrong


@mutant(
    "tables-share-chains",
    "empties and removes the chains of a name in all tables",
    {"CV-16": "what table"},
)
def tables_share_chains(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def empty_chain(self, chain: str, *, table: Any = Table.FILTER) -> None:
            super().empty_chain(chain, table=table)
            for where, name, _ in self.chains():
                if name == chain:
                    super().empty_chain(name, table=where)

        def remove_chain(self, chain: str, *, table: Any = Table.FILTER) -> None:
            super().remove_chain(chain, table=table)
            for where, name, _ in self.chains():
                if name == chain:
                    super().remove_chain(name, table=where)

    return Wrong


@mutant(
    "chains-keep-their-turn",
    "leaves the chains on a hook in the order in which an earlier process had them",
    {"CV-17": "what is accepted first now"},
)
def chains_keep_their_turn(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        _model: Any

        def _commit_all(self) -> None:
            chains = self._model.chains
            there = [(one.table, one.name) for one in self.standing()]
            self._model.chains = {**{key: chains[key] for key in there if key in chains}, **chains}
            super()._commit_all()

    return Wrong


@mutant(
    "resync-by-what-is-there",
    "takes a chain for right when all of its rules are there, in whatever order and how often",
    {"CV-18": "after resync over"},
)
def resync_by_what_is_there(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def resync(self) -> None:
            found = {(one.table, one.name): frozenset(one.rules) for one in self.standing()}
            wanted = {(table, name): frozenset(self.rules(name, table=table)) for table, name, _ in self.chains()}
            if found != wanted:
                super().resync()

    return Wrong


@mutant(
    "nat-chains-reversed",
    "asks the chains of table nat on a hook from the last to the first",
    {"NA-20": "what the first chain translates"},
)
def nat_chains_reversed(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def add_chain(self, chain: str, *, hook: Any = None, table: Any = Table.FILTER) -> None:
            is_nat = table == Table.NAT and hook is not None
            before = [name for where, name, at in self.chains() if is_nat and (where, at) == (table, hook)]
            kept = [(name, self.rules(name, table=table)) for name in before if name != chain]
            for name, _ in kept:
                super().remove_chain(name, table=table)
            super().add_chain(chain, hook=hook, table=table)
            for name, rules in kept:
                super().add_chain(name, hook=hook, table=table)
                for rule in rules:
                    super().add_rule(name, rule, table=table)

    return Wrong


@mutant(
    "nat-jumps-anyway",
    "jumps in table nat whatever the rule's conditions are",
    {"NA-20": "what the jump is not about"},
)
def nat_jumps_anyway(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def _render(self, chain: Chain, rule: Rule) -> Any:
            is_jump = chain.table is Table.NAT and isinstance(rule.action, Jump)
            return super()._render(chain, Rule(rule.action) if is_jump else rule)

    return Wrong


@mutant(
    "counters-at-hooks",
    "counts in chains on a hook, and not in those that are jumped to",
    {"RL-10": "packets were sent, and in the chain that is jumped to"},
)
def counters_at_hooks(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def counters(self, chain: str, *, table: Any = Table.FILTER) -> tuple[Counter, ...]:
            found: tuple[Counter, ...] = super().counters(chain, table=table)
            is_at_hook = any(name == chain and hook for _, name, hook in self.chains())
            return found if is_at_hook else tuple(Counter(0, 0) for _ in found)

    return Wrong


@mutant(
    "counters-of-all-time",
    "goes on counting where a rule stopped that was removed",
    {"RL-11": "added again, it has counted"},
)
def counters_of_all_time(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.gone: dict[tuple[str, Rule], int] = {}

        def remove_rule(self, chain: str, rule: Rule, **options: Any) -> None:
            known = zip(self.rules(chain), super().counters(chain), strict=True)
            self.gone |= {(chain, one): counter.packets for one, counter in known if one == rule}
            super().remove_rule(chain, rule, **options)

        def counters(self, chain: str, *, table: Any = Table.FILTER) -> tuple[Counter, ...]:
            found = zip(self.rules(chain, table=table), super().counters(chain, table=table), strict=True)
            return tuple(Counter(one.packets + self.gone.get((chain, rule), 0), one.bytes) for rule, one in found)

    return Wrong


@mutant("log-left-out", "writes no rules that log", {"RL-13": "6 packets were to be logged"})
def log_left_out(base: Any) -> type[FirewallManager]:
    return writing(base, lambda rule: None if isinstance(rule.action, Log) else rule)


@mutant("log-without-prefix", "logs without the prefix", {"RL-13": "a rule that logs is read as"})
def log_without_prefix(base: Any) -> type[FirewallManager]:
    return writing(base, lambda rule: changed(rule, action=Log()) if isinstance(rule.action, Log) else rule)


@mutant(
    "resync-within-chains",
    "looks at its own chains at resync, and not at who is asked before them",
    {"OW-11": "after resync over rules of somebody else's"},
    # Tables of nftables have their turn by priority: whoever comes there before them does not decide for them.
    bases=("IptablesManager",),
)
def resync_within_chains(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def resync(self) -> None:
            found = [(one.table, one.name, one.rules) for one in self.standing()]
            if found != [(table, name, self.rules(name, table=table)) for table, name, _ in self.chains()]:
                super().resync()

    return Wrong
