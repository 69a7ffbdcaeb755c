"""Wrong about what decides: order, chains, hooks and families."""

from __future__ import annotations

import contextlib
from typing import Any

from conformance.mutants import mutant
from conformance.mutants.firewall.rewriting import changed, conditions, rewriting
from refnet.errors import RuleError, Unsupported
from refnet.firewall import (
    ACCEPT,
    CHECKSUM_FILL,
    DROP,
    RETURN,
    FirewallManager,
    Hook,
    Jump,
    Log,
    Mark,
    Rule,
    SetMark,
    Table,
)
from refnet.firewall.actions import Accept, Return

_LEAKED, _LOST = "and b got it", "and did not arrive"
_FIELDS = ("protocol", "source", "destination", "in_interface", "out_interface", "source_mac", "states", "mark")


@mutant(
    "firewall-drops-the-rest",
    "drops what no rule decides",
    {"FW-01": _LOST, "FW-03": _LOST, "FW-08": _LOST, "FW-17": _LOST},
)
def drops_the_rest(base: Any) -> type[FirewallManager]:
    last = Rule(DROP, comment="the rest")

    class Wrong(base):  # type: ignore[misc]
        def apply(self) -> None:
            for table, name, hook in self.chains():
                if table is Table.FILTER and hook is not None:
                    super().remove_rule(name, last)
                    super().add_rule(name, last)
            super().apply()

    return Wrong


@mutant(
    "firewall-drops-what-it-knows",
    "takes a rule without conditions for one about TCP and UDP",
    {"FW-02": _LEAKED, "FW-12": _LEAKED},
)
def drops_what_it_knows(base: Any) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> list[Rule] | None:
        if any(getattr(rule, name) for name in _FIELDS):
            return None
        return [changed(rule, protocol=protocol) for protocol in ("tcp", "udp")]

    return rewriting(base, rewrite)


@mutant("firewall-applies-at-once", "does not wait for apply", {"FW-03": _LOST})
def applies_at_once(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def add_rule(self, chain: str, rule: Rule, **where: Any) -> None:
            super().add_rule(chain, rule, **where)
            self.apply()

    return Wrong


@mutant(
    "firewall-removes-nothing",
    "forgets rules that are removed, and leaves them on the host",
    {"FW-04": _LOST, "FW-07": _LOST, "FW-63": _LOST},
)
def removes_nothing(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def remove_rule(self, chain: str, rule: Rule, **where: Any) -> None:
            pass

    return Wrong


@mutant("firewall-empties-nothing", "adds to a chain that was to be emptied", {"FW-10": _LOST, "FW-12": _LOST})
def empties_nothing(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def empty_chain(self, chain: str, **where: Any) -> None:
            pass

    return Wrong


@mutant("firewall-reverses", "adds every rule at the other end", {"FW-05": _LOST, "FW-06": _LOST, "FW-07": _LOST})
def reverses(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def add_rule(self, chain: str, rule: Rule, *, first: bool = False, **where: Any) -> None:
            super().add_rule(chain, rule, first=not first, **where)

    return Wrong


@mutant("firewall-ignores-first", "adds every rule at the end", {"FW-06": _LOST})
def ignores_first(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def add_rule(self, chain: str, rule: Rule, *, first: bool = False, **where: Any) -> None:
            super().add_rule(chain, rule, **where)

    return Wrong


@mutant("firewall-moves-rules", "moves a rule that is added again", {"FW-07": _LOST})
def moves_rules(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def add_rule(self, chain: str, rule: Rule, **where: Any) -> None:
            super().remove_rule(chain, rule)
            super().add_rule(chain, rule, **where)

    return Wrong


@mutant("firewall-sorts-chains", "asks the chains on a hook in the order of their names", {"FW-08": _LOST})
def sorts_chains(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def add_chain(self, chain: str, *, hook: Hook | str | None = None, **where: Any) -> None:
            before = [one for one in self.chains() if one[2] is not None and one[2] == hook and one[1] > chain]
            kept = [(name, self.rules(name)) for _, name, _ in before]
            for name, _ in kept:
                super().remove_chain(name)
            super().add_chain(chain, hook=hook, **where)
            for name, rules in kept:
                super().add_chain(name, hook=hook)
                for rule in rules:
                    super().add_rule(name, rule)

    return Wrong


@mutant("firewall-has-room-for-100", "leaves out the rules behind the hundredth", {"FW-09": _LEAKED})
def has_room_for_100(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def add_rule(self, chain: str, rule: Rule, **where: Any) -> None:
            if len(self.rules(chain, **{key: where[key] for key in where if key == "table"})) < 100:
                super().add_rule(chain, rule, **where)

    return Wrong


@mutant("firewall-mixes-families", "writes the rules of a family for both", {"FW-10": _LOST})
def mixes_families(base: Any) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> list[Rule] | None:
        bound = rule.source or rule.destination or rule.icmp_type or rule.protocol in ("icmp", "ipv6-icmp")
        return None if bound else [changed(rule, family=None)]

    return rewriting(base, rewrite)


@mutant(
    "firewall-knows-ipv4",
    "writes rules of no family for IPv4 alone",
    {"FW-02": _LEAKED, "FW-11": _LEAKED, "FW-13": "and host got it", "FW-30": _LEAKED, "RJ-02": _LEAKED},
)
def knows_ipv4(base: Any) -> type[FirewallManager]:
    return rewriting(base, lambda rule: None if rule.family else [changed(rule, family=4)])


@mutant("firewall-icmp-is-icmp", "takes ICMP and ICMPv6 for one", {"FW-12": _LEAKED})
def icmp_is_icmp(base: Any) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> list[Rule] | None:
        if rule.protocol not in ("icmp", "ipv6-icmp") or rule.icmp_type:
            return None
        return [changed(rule, protocol=name, family=family) for name, family in (("icmp", 4), ("ipv6-icmp", 6))]

    return rewriting(base, rewrite)


@mutant(
    "firewall-blurs-hooks",
    "asks every chain at all hooks",
    {"FW-13": _LOST, "FW-14": _LOST, "FW-15": _LOST},
)
def blurs_hooks(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def add_chain(self, chain: str, *, hook: Hook | str | None = None, **where: Any) -> None:
            super().add_chain(chain, **where)
            for one in ("input", "forward", "output") if hook is not None else ():
                super().add_chain(f"{chain}-{one}", hook=one, **where)
                super().add_rule(f"{chain}-{one}", Rule(Jump(chain)), **where)

    return Wrong


@mutant("firewall-jumps-anyway", "jumps whatever the rule's conditions are", {"FW-16": _LOST})
def jumps_anyway(base: Any) -> type[FirewallManager]:
    return rewriting(base, lambda rule: [Rule(rule.action)] if isinstance(rule.action, Jump) else None)


@mutant(
    "firewall-does-not-come-back",
    "goes to chains as to ones that do not come back",
    {"FW-16": _LEAKED, "FW-17": _LEAKED, "FW-20": _LEAKED},
)
def does_not_come_back(base: Any) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> list[Rule] | None:
        return [rule, Rule(RETURN, **conditions(rule))] if isinstance(rule.action, Jump) else None

    return rewriting(base, rewrite)


@mutant("firewall-returns-as-it-accepts", "takes RETURN for ACCEPT", {"FW-17": _LEAKED, "FW-19": _LEAKED})
def returns_as_it_accepts(base: Any) -> type[FirewallManager]:
    return rewriting(base, lambda rule: [changed(rule, action=ACCEPT)] if isinstance(rule.action, Return) else None)


@mutant("firewall-accepts-as-it-returns", "takes ACCEPT below a jump for RETURN", {"FW-18": _LOST})
def accepts_as_it_returns(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def add_rule(self, chain: str, rule: Rule, **where: Any) -> None:
            is_below = any(name == chain and hook is None for _, name, hook in self.chains())
            if is_below and isinstance(rule.action, Accept):
                rule = changed(rule, action=RETURN)
            super().add_rule(chain, rule, **where)

    return Wrong


@mutant("firewall-returns-nowhere", "does not know RETURN", {"FW-17": _LOST, "FW-19": _LOST})
def returns_nowhere(base: Any) -> type[FirewallManager]:
    return rewriting(base, lambda rule: [] if isinstance(rule.action, Return) else None)


@mutant("firewall-cuts-names", "cuts chains' names to what the tool takes", {"FW-20": _LOST})
def cuts_names(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def add_chain(self, chain: str, **where: Any) -> None:
            super().add_chain(chain[:28], **where)

        def add_rule(self, chain: str, rule: Rule, **where: Any) -> None:
            if isinstance(rule.action, Jump):
                rule = changed(rule, action=Jump(rule.action.chain[:28]))
            super().add_rule(chain[:28], rule, **where)

    return Wrong


@mutant("firewall-lets-pass-what-it-logs", "takes LOG for a decision", {"FW-21": _LEAKED})
def lets_pass_what_it_logs(base: Any) -> type[FirewallManager]:
    return rewriting(base, lambda rule: [changed(rule, action=ACCEPT)] if isinstance(rule.action, Log) else None)


@mutant("firewall-overwrites-marks", "sets the whole mark, where some bits were asked for", {"FW-22": _LOST})
def overwrites_marks(base: Any) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> list[Rule] | None:
        return [changed(rule, action=SetMark(rule.action.value))] if isinstance(rule.action, SetMark) else None

    return rewriting(base, rewrite)


@mutant("firewall-ignores-masks", "compares the whole mark", {"FW-22": _LEAKED})
def ignores_masks(base: Any) -> type[FirewallManager]:
    return rewriting(base, lambda rule: [changed(rule, mark=Mark(rule.mark.value))] if rule.mark else None)


@mutant("firewall-fills-in-nothing", "takes rules that fill in checksums, and writes none", {"FW-23": "is partial"})
def fills_in_nothing(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def add_rule(self, chain: str, rule: Rule, *, table: Table | str = Table.FILTER, **where: Any) -> None:
            super().add_rule(chain, rule, table=table, **where)  # what it cannot say it refuses
            if rule.action == CHECKSUM_FILL:
                super().remove_rule(chain, rule, table=table)

    return Wrong


@mutant("firewall-hides-refusals", "has applied what it was refused, if it is asked", {"FW-24": _LEAKED})
def hides_refusals(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def apply(self) -> None:
            with contextlib.suppress(RuleError, Unsupported):
                super().apply()

    return Wrong
