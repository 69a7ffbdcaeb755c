"""Wrong when rules are changed under traffic, and about what they have counted."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from conformance.mutants import mutant
from conformance.mutants.firewall.making import writing
from conformance.mutants.firewall.rewriting import changed
from refnet.firewall.actions import DROP
from refnet.firewall.manager import Counter, FirewallManager
from refnet.firewall.model import Change, Key, Model
from refnet.firewall.rules import Rule


@mutant(
    "apply-blinks",
    "takes all rules away before it writes them anew",
    {
        "RL-01": "have leaked",
        "RL-02": "have leaked",
        "RL-03": "have leaked",
        "RL-07": "the rules have counted",
        "CV-05": "the apply of a new process, over the same rules",
        "FF-01": "no rules stand",
        "FF-02": "no rules stand",
        "FF-04": "no rules stand",
        "FF-05": "no rules stand",
    },
)
def apply_blinks(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def _commit(self, changes: Mapping[Key, Change], *, layer2: bool) -> None:
            self._commit_all()

        def _commit_all(self) -> None:
            self._remove_all()
            time.sleep(0.02)
            super()._commit_all()

    return Wrong


@mutant(
    "change-blinks",
    "takes all rules away to change one",
    {"RL-01": "have leaked", "RL-03": "have leaked", "FF-02": "no rules stand", "FF-05": "no rules stand"},
)
def change_blinks(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def _commit(self, changes: Mapping[Key, Change], *, layer2: bool) -> None:
            self._remove_all()
            time.sleep(0.02)
            self._commit_all()

    return Wrong


@mutant("apply-shuts-out", "drops everything while it writes", {"RL-01": "were lost", "RL-04": "were lost"})
def apply_shuts_out(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        _model: Model

        def _commit(self, changes: Mapping[Key, Change], *, layer2: bool) -> None:
            kept, self._model = self._model, Model()
            super().add_chain("shut", hook="forward")
            super().add_rule("shut", Rule(DROP))
            super()._commit_all()
            time.sleep(0.02)
            self._model = kept
            super()._commit_all()

    return Wrong


@mutant("counters-since-apply", "counts from the last apply on", {"RL-07": "the rules have counted"})
def counters_since_apply(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.counted: dict[tuple[str, Rule], Counter] = {}

        def apply(self) -> None:
            super().apply()
            for table, chain, _ in self.chains():
                for rule, counter in self._each(chain, table):
                    self.counted[chain, rule] = counter

        def counters(self, chain: str, *, table: Any = "filter") -> tuple[Counter, ...]:
            none = Counter(0, 0)
            found = []
            for rule, counter in self._each(chain, table):
                packets, size = self.counted.get((chain, rule), none)
                found.append(Counter(counter.packets - packets, counter.bytes - size))
            return tuple(found)

        def _each(self, chain: str, table: Any) -> list[tuple[Rule, Counter]]:
            return list(zip(self.rules(chain, table=table), super().counters(chain, table=table), strict=True))

    return Wrong


@mutant("counters-reversed", "tells counters from the last rule to the first", {"RL-08": "in the order of the rules"})
def counters_reversed(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def counters(self, chain: str, **options: Any) -> tuple[Counter, ...]:
            return tuple(reversed(super().counters(chain, **options)))

    return Wrong


@mutant("counters-of-frames", "counts bytes of frames, not of packets", {"RL-06": "bytes were sent, and counted are"})
def counters_of_frames(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def counters(self, chain: str, **options: Any) -> tuple[Counter, ...]:
            found = super().counters(chain, **options)
            return tuple(Counter(one.packets, one.bytes + 14 * one.packets) for one in found)

    return Wrong


@mutant("counts-ipv4-only", "counts the packets of IPv4 only", {"RL-06": "6, 6 and 0 packets were sent"})
def counts_ipv4_only(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def add_rule(self, chain: str, rule: Rule, **options: Any) -> None:
            if rule.family is None:
                super().add_rule(chain, changed(rule, family=4), **options)
            else:
                super().add_rule(chain, rule, **options)

    return Wrong


@mutant(
    "first-value-only",
    "writes the first of several ports only",
    {"RL-09": "packets were sent to the ports of three rules"},
)
def first_value_only(base: Any) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> Rule:
        ports = rule.destination_ports
        return changed(rule, destination_ports=ports.values[0]) if ports else rule

    return writing(base, rewrite)
