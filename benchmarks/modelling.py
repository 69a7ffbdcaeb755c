"""What a rule takes before anything is applied: the time to add it to a manager's model, and the memory there."""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import dataclass, field

from benchmarks.firewalls import Contender
from benchmarks.measure import Failed, Spread, progress, run_child
from benchmarks.plan import Plan
from benchmarks.results import Section, Table


@dataclass
class _Model:
    """One way to fill a model, or to make what it is filled with."""

    title: str
    module: str
    kind: str
    is_peer: bool = False
    #: Nanoseconds of a processor a rule, by number of rules.
    times: dict[int, list[float]] = field(default_factory=dict)
    #: Bytes a rule; None: not measured.
    memory: float | None = None


class Modelling:
    """The measurement of models."""

    def __init__(self, plan: Plan, able: Collection[Contender], peers: str | None) -> None:
        """Know how much to measure, and who can run here; ``peers`` is the interpreter that has Neutron."""
        self._plan = plan
        self._peers = peers
        self.failures: list[str] = []
        models = [
            _Model("`Rule(…)`, which the next two are given", "with_refnet", "rules"),
            _Model("refnet, iptables: `add_rule(chain, rule)`", "with_refnet", "legacy"),
            _Model("refnet, nftables: `add_rule(chain, rule)`", "with_refnet", "nftables"),
            _Model('refnet, iptables: `ipv4["filter"].add_rule(chain, text)`', "with_refnet", "text legacy"),
            _Model('refnet, nftables: `ipv4["filter"].add_rule(chain, text)`', "with_refnet", "text nftables"),
            _Model("Neutron's code: `add_rule(chain, text)`", "with_neutron", "legacy", is_peer=True),
        ]
        can = {(one.module, one.tool.name) for one in able}
        self._models = [one for one in models if one.kind == "rules" or (one.module, one.kind.split()[-1]) in can]

    def measure(self) -> Section:
        """Run all rounds, each model in a process of its own, and return the section."""
        most = max(self._plan.rules)
        for number in range(self._plan.model_rounds):
            progress(f"models, {number + 1} of {self._plan.model_rounds}")
            for model in list(self._models):
                try:
                    for count in self._plan.rules:
                        model.times.setdefault(count, []).append(self._run(model, count))
                    if number == 0 and model.kind != "rules":
                        model.memory = self._run(model, most, "--memory")
                except Failed as error:
                    self._models.remove(model)
                    self.failures.append(f"{model.title}: {error}")
        rows = [
            (
                model.title,
                *(Spread.of(ns / 1e3 for ns in times).text(".1f") for times in model.times.values()),
                "" if model.memory is None else f"{model.memory:,.0f}",
            )
            for model in self._models
        ]
        headings = ("what", *(f"{count:,} rules: µs a rule" for count in self._plan.rules), "bytes a rule")
        notes = [
            "*Bytes a rule* are of Python's objects that are still there after the first apply (`tracemalloc`), at "
            f"{most:,} rules: chains, what is known of the host, and the rules themselves, as far as nobody else holds "
            "them.",
            "refnet validates a rule when it is made or parsed, and writes it for the tool when it is added; Neutron "
            "takes any text, and leaves it to the program to refuse it.",
        ]
        return Section(
            "Firewall: adding rules to the model",
            "Before any apply: adding the rules of the sections above one by one, which does not touch the host, in "
            f"processor time. Each number is of a process of its own. Rounds: {self._plan.model_rounds}.",
            [Table(headings, rows)],
            notes,
        )

    def _run(self, model: _Model, count: int, *options: str) -> float:
        interpreter = self._peers if model.is_peer and self._peers is not None else sys.executable
        return float(run_child("model", model.module, model.kind, str(count), *options, interpreter=interpreter))
