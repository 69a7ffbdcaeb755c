"""Rules of a firewall, by every contender: the first apply, one rule more or less, and nothing to do."""

from __future__ import annotations

import contextlib
import random
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks.firewalls import CONTENDERS, Contender, floor_of
from benchmarks.firewalls.workload import guests
from benchmarks.measure import Failed, Spread, progress, ratios
from benchmarks.modelling import Modelling
from benchmarks.plan import Plan
from benchmarks.results import Section, Table
from benchmarks.runner import Child

FIRST, MORE, LESS, NOTHING = "first", "more", "less", "nothing"
_REFNET = "with_refnet"

#: Nanoseconds of one turn after the other, of wall time and of the processor; None: it took no part in that turn.
Times = dict[tuple[int, str, Contender], list[tuple[float, float] | None]]


class Firewalls:
    """The measurement of rules."""

    def __init__(self, plan: Plan, peers: str | None) -> None:
        """Find out who can run here; ``peers`` is the interpreter that has them."""
        self.plan = plan
        self.peers = peers
        #: What ended with an error; such a contender is left out from then on.
        self.failures: list[str] = []
        self._missing: dict[Contender, str] = {}
        for contender in CONTENDERS:
            absent = [one for one in contender.tool.programs if shutil.which(one) is None]
            if absent:
                self._missing[contender] = f"there is no {absent[0]} (Debian's package {contender.tool.package})"
            elif contender.is_peer and peers is None:
                self._missing[contender] = "its packages are not here"
        self._times: Times = defaultdict(list)
        self._processes: dict[Contender, int] = {}
        self._random = random.Random(1)

    def measure(self) -> list[Section]:
        """Run all rounds and return the sections.

        Raises:
            Failed: a tool's floor could not be measured.
        """
        for count, repeats in self.plan.rules.items():
            for repeat in range(repeats):
                progress(f"{count} rules, {repeat + 1} of {repeats}")
                self._repeat(count)
            for contender in self._able():
                made = [f"{step} {self._spread(count, step, contender)}" for step in (FIRST, MORE, LESS, NOTHING)]
                progress(f"  {contender.name}: {', '.join(made)} ms")
        return [self._first_section(), self._change_section(), self._nothing_section()]

    def measure_models(self) -> list[Section]:
        """Fill models, without any apply, and return the section."""
        modelling = Modelling(self.plan, self._able(), self.peers)
        section = modelling.measure()
        self.failures += modelling.failures
        return [section]

    # -- rounds ---------------------------------------------------------------------------------------

    def _repeat(self, count: int) -> None:
        """Have everyone come to ``count`` rules in a fresh namespace, and change them."""
        with self._children(count) as children:
            self._turn(children, count, FIRST)
            self._see_what_stands(children, count)
            for number in range(self.plan.rule_changes):
                self._turn(children, count, MORE, number)
            for number in range(self.plan.slow_rule_changes):
                self._turn(children, count, NOTHING, number)
            for number in range(self.plan.rule_changes):
                self._turn(children, count, LESS, number)
            for contender in list(children):
                started = self._ask(children, contender, "processes")
                if started is not None:
                    self._processes[contender] = started
            self._see_what_stands(children, count)

    def _turn(self, children: dict[Contender, Child], count: int, step: str, number: int = 0) -> None:
        """Have each contender do a step.

        Those of a tool come one after the other, and the order is drawn anew each time: what one of them leaves to the
        kernel to do later is not always the same one's loss.
        """
        order = {tool: self._random.random() for tool in dict.fromkeys(one.tool for one in CONTENDERS)}
        for contender in sorted(self._random.sample(CONTENDERS, len(CONTENDERS)), key=lambda one: order[one.tool]):
            takes_part = not contender.is_slow or number < self.plan.slow_rule_changes
            took = self._ask(children, contender, f"{step} {number}") if takes_part else None
            self._times[count, step, contender].append(took)

    def _see_what_stands(self, children: dict[Contender, Child], count: int) -> None:
        """See that everyone has the same rules as its tool's floor.

        What the slow contenders did not add they do not remove either.
        """
        wanted: dict[str, object] = {}
        for contender in CONTENDERS:
            found = self._ask(children, contender, "standing")
            if found is None:
                continue
            if found[0] != count or found != wanted.setdefault(contender.tool.name, found):
                self._fail(contender, Failed(f"what stands are {found[0]} rules, or others than the floor's {count}"))
                del children[contender]

    def _ask(self, children: dict[Contender, Child], contender: Contender, line: str) -> Any:
        """Have a contender do something and return its answer; None: it is not there, or fails and leaves."""
        if contender not in children:
            return None
        try:
            return children[contender].ask(line)
        except Failed as error:
            self._fail(contender, error)
            del children[contender]
            return None

    @contextlib.contextmanager
    def _children(self, count: int) -> Iterator[dict[Contender, Child]]:
        """Start the contenders, one after the other."""
        with contextlib.ExitStack() as started:
            children = {}
            for contender in self._able():
                interpreter = self.peers if contender.is_peer and self.peers is not None else sys.executable
                try:
                    child = Child(interpreter, "rules", contender.module, contender.tool.name, str(count))
                except Failed as error:
                    self._fail(contender, error)
                    continue
                started.callback(child.close)
                children[contender] = child
            yield children

    def _able(self) -> list[Contender]:
        return [contender for contender in CONTENDERS if contender not in self._missing]

    def _fail(self, contender: Contender, error: Failed) -> None:
        if contender is floor_of(contender):
            raise error
        self._missing[contender] = "it ended with an error"
        self.failures.append(f"{contender.name}: {error}")
        progress(f"  {contender.name} FAILED: {error}")

    # -- sections -------------------------------------------------------------------------------------

    def _first_section(self) -> Section:
        repeats = [f"{times} times with {count:,}" for count, times in self.plan.rules.items()]
        text = (
            f"{_listed(self.plan.rules)} rules, as a host has them whose guests have security groups: IPv4, table "
            "filter; a chain on hook forward that jumps by device to one chain of twenty rules for each guest "
            f"({_listed(map(guests, self.plan.rules))} of them: connection states, DHCP, ICMP, fifteen of TCP or UDP "
            "with network and ports, the rest dropped), and three long chains of addresses that are dropped, each a "
            "twentieth of all rules. "
            "Each contender has a fresh namespace. Step by step they take turns, in an order drawn anew each time: the "
            f"first apply, {self.plan.rule_changes} rules more, one by one and each for another guest, nothing, and "
            f"the same rules gone again; all that {' and '.join(repeats)} rules. After the first apply and at the end "
            "it is looked up that the same rules stand for all. Programs' texts, rule objects and models are made "
            "before; a step's time is that of the call, with the processes that it starts and waits for. *Of processor "
            "time*: the same ratio of the time that the contender and these processes had a processor, which others' "
            "load does not change much.\n\n"
            "- *`iptables-restore -n`*: the floor of both variants of iptables: one process, which is fed what "
            "changes.\n"
            "- *refnet*: `apply()` of `LegacyIptablesManager`, `NftIptablesManager` and `NftablesManager`; for a "
            "change with the `add_rule` or `remove_rule` before it.\n"
            "- *whole `iptables-restore`*: one process, which is fed all rules each time.\n"
            "- *Neutron's code*: `apply()` of `neutron.agent.linux.iptables_manager.IptablesManager`, made as its "
            "firewall driver makes it (no NAT, no mangle), for IPv4 alone, called in-process; for a change with the "
            "`add_rule` or `remove_rule` before it.\n"
            "- *Nova's code*: `apply()` of the last `IptablesManager` that Nova had, that of Nova 20.6.1 (Train), run "
            "as it is out of the release's file, for IPv4 alone, with the chains of NAT and mangle that it always has; "
            "for a change with the `add_rule` or `remove_rule` before it.\n"
            "- *`nft -f`*: the floor of nftables: one process, which is fed what changes. Rules have a counter and "
            "a comment, as refnet's; *no comments*: with a counter only."
        )
        notes = [
            f"The goal is at most 1.2 times the floor. refnet's here: {self._goals(FIRST)}.",
            "The floors check nothing. refnet looks first whether anything of its own stands, for IPv4 and IPv6.",
            "A whole `iptables-restore` throws away what others have in the table; all the others leave it alone.",
            "Neutron looks at what stands before each apply and writes the difference. Nova looks as well, if its "
            "model has changed, and writes everything again. Both run programs in a privileged daemon; the round trip "
            "there is left out, in their favour, and so is Nova's lock between processes.",
            *(f"{one.name} was not measured: {why}." for one, why in self._missing.items()),
        ]
        return Section("Firewall: the first apply", text, [self._table(FIRST)], notes)

    def _change_section(self) -> Section:
        least, most = min(self.plan.rules), max(self.plan.rules)
        text = "One rule more at the end of a guest's chain (first table), and the same rule gone (second table)."
        growth = [
            f"{contender.tool.title} {grown:.2f}"
            for contender in self._refnets()
            if (grown := self._growth(contender, least, most)) is not None
        ]
        notes = [
            f"The goal for one rule more is at most 3 times the floor. refnet's here: {self._goals(MORE)}.",
            f"It is not to grow with the rules that stand. refnet's ratio at {most:,} rules, divided by that at "
            f"{least:,}: {', '.join(growth)}.",
            "What the floor itself grows by is the kernel's and the tool's: `iptables-legacy-restore` reads and writes "
            "the whole table for a single rule.",
            "To delete a rule, nft is told its number. The floor's is looked up before, outside of its time, in its "
            "favour; refnet's time has the look-up.",
            f"The slow contenders take part in {self.plan.slow_rule_changes} of the {self.plan.rule_changes} turns.",
        ]
        return Section("Firewall: one rule more or less", text, [self._table(MORE), self._table(LESS)], notes)

    def _nothing_section(self) -> Section:
        headings = ("contender", *(f"{count:,} rules: ms" for count in self.plan.rules), "processes")
        rows = [
            (
                contender.name,
                *(self._spread(count, NOTHING, contender) for count in self.plan.rules),
                str(self._processes[contender]),
            )
            for contender in self._able()
            if contender in self._processes
        ]
        notes = [
            "The goal is no process, and less than a millisecond.",
            "The floors have no row: nobody runs them for nothing. A whole `iptables-restore` does not look, and "
            "writes everything again.",
            "refnet does not look, either: it knows what it has written, and so does Nova. To look, in case that "
            "somebody else has changed it, is `resync()`.",
        ]
        text = "`apply()` when everything is as it should be. What takes less than 1 ms is the median of 1,000 calls."
        return Section("Firewall: nothing to do", text, [Table(headings, rows)], notes)

    def _table(self, step: str) -> Table:
        headings = ["contender"]
        for count in self.plan.rules:
            headings += [f"{count:,} rules: ms", "ratio to the floor", "of processor time"]
        rows = []
        for contender in self._able():
            row = [contender.name]
            for count in self.plan.rules:
                found = self._ratio(count, step, contender), self._ratio(count, step, contender, of_processor=True)
                row += [self._spread(count, step, contender), *(one.text() if one else "" for one in found)]
            rows.append(row)
        return Table(headings, rows)

    def _spread(self, count: int, step: str, contender: Contender) -> str:
        found = [one[0] / 1e6 for one in self._times[count, step, contender] if one is not None]
        if not found:
            return ""
        spread = Spread.of(found)
        return spread.text(".1f" if spread.median >= 1 else ".4f")

    def _ratio(self, count: int, step: str, contender: Contender, *, of_processor: bool = False) -> Spread | None:
        """Return what the times of a contender are to those of its floor, turn by turn."""
        which = int(of_processor)
        both = [
            (one[which], floor[which])
            for one, floor in zip(
                self._times[count, step, contender], self._times[count, step, floor_of(contender)], strict=True
            )
            if one is not None and floor is not None
        ]
        return ratios((one for one, _ in both), (floor for _, floor in both)) if both else None

    def _goals(self, step: str) -> str:
        """Say refnet's ratios, tool by tool, at each number of rules."""
        said = []
        for of_processor in (False, True):
            by_tool = []
            for contender in self._refnets():
                found = [self._ratio(count, step, contender, of_processor=of_processor) for count in self.plan.rules]
                by_tool.append(f"{contender.tool.title} {' and '.join(f'{one.median:.2f}' for one in found if one)}")
            said.append(", ".join(by_tool))
        return f"{said[0]}; of processor time {said[1]}"

    def _growth(self, contender: Contender, least: int, most: int) -> float | None:
        small, large = (self._ratio(count, MORE, contender) for count in (least, most))
        return large.median / small.median if small and large else None

    def _refnets(self) -> list[Contender]:
        return [one for one in self._able() if one.module == _REFNET]


def _listed(numbers: Iterable[int]) -> str:
    return " and ".join(f"{number:,}" for number in numbers)
