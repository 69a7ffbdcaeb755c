"""A guest's plug, by every contender: how long it takes, and whether it takes longer the more there are."""

from __future__ import annotations

import contextlib
import shutil
import statistics
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

from benchmarks.contenders import CONTENDERS, FLOOR, Contender
from benchmarks.measure import Failed, Spread, progress, ratios
from benchmarks.plan import Plan
from benchmarks.results import Section, Table
from benchmarks.runner import Portion, Runner

#: The number of the first plug of a contender that is a guest in the floor's namespace; each has a thousand.
_FIRST_GUEST = 10_000

#: What each contender has made, a portion a round, by its module. None: it took no part in that round.
Rounds = dict[str, list[Portion | None]]


class Plugs:
    """The measurement of plugs."""

    def __init__(self, plan: Plan, peers: str | None) -> None:
        """Find out who can run here; ``peers`` is the interpreter that has them."""
        self.plan = plan
        self.peers = peers
        #: What ended with an error; such a contender is left out from then on.
        self.failures: list[str] = []
        self._missing: dict[str, str] = {}
        for contender in CONTENDERS:
            if contender.is_peer and peers is None:
                self._missing[contender.module] = "its packages are not here"
            elif contender.needs_ip and shutil.which("ip") is None:
                self._missing[contender.module] = "there is no program `ip`"

    def measure(self) -> list[Section]:
        """Run all rounds and return the sections.

        Raises:
            Failed: the floor itself could not be measured.
        """
        return [self._small_section(self._small_rounds()), self._large_section(self._large_rounds())]

    # -- rounds ---------------------------------------------------------------------------------------

    def _small_rounds(self) -> Rounds:
        rounds: Rounds = {contender.module: [] for contender in CONTENDERS}
        for repeat in range(self.plan.repeats):
            progress(f"{self.plan.plugs} plugs, {repeat + 1} of {self.plan.repeats}")
            with self._runners(self._able()) as runners:
                for _ in range(self.plan.portions):
                    self._round(runners, rounds)
                progress("  deleting them")
        self._summary(rounds)
        return rounds

    def _large_rounds(self) -> Rounds:
        """Let the fast contenders fill a namespace each; the slow ones join in the floor's for the last rounds."""
        rounds: Rounds = {contender.module: [] for contender in CONTENDERS}
        progress(f"{self.plan.large_plugs} plugs")
        with (
            self._runners(contender for contender in self._able() if not contender.is_slow) as runners,
            contextlib.ExitStack() as guests,
        ):
            for number in range(self.plan.large_portions):
                if number == self.plan.large_portions - self.plan.edge_portions:
                    slow = [contender for contender in self._able() if contender.is_slow]
                    runners.update(guests.enter_context(self._runners(slow, join=runners[FLOOR.module])))
                self._round(runners, rounds)
            progress("  deleting them")
        self._summary(rounds)
        return rounds

    def _round(self, runners: dict[str, Runner], rounds: Rounds) -> None:
        """Have each contender make a portion."""
        for contender in CONTENDERS:
            runner = runners.get(contender.module)
            portion = None
            if runner is not None:
                try:
                    portion = runner.plug(self.plan.slow_portion if contender.is_slow else self.plan.portion)
                except Failed as error:
                    self._fail(contender, error)
                    del runners[contender.module]
            rounds[contender.module].append(portion)

    @contextlib.contextmanager
    def _runners(self, contenders: Iterable[Contender], join: Runner | None = None) -> Iterator[dict[str, Runner]]:
        """Start contenders, by their module; have what they made deleted at the end, one after the other."""
        with contextlib.ExitStack() as started:
            runners = {}
            for number, contender in enumerate(contenders):
                interpreter = self.peers if contender.is_peer and self.peers is not None else sys.executable
                first = _FIRST_GUEST + 1000 * number if join is not None else 0
                try:
                    runner = Runner(contender, interpreter, join=join, first=first)
                except Failed as error:
                    self._fail(contender, error)
                    continue
                started.callback(runner.close)
                runners[contender.module] = runner
            yield runners

    def _able(self) -> list[Contender]:
        return [contender for contender in CONTENDERS if contender.module not in self._missing]

    def _fail(self, contender: Contender, error: Failed) -> None:
        if contender is FLOOR:
            raise error
        self._missing[contender.module] = "it ended with an error"
        self.failures.append(f"{contender.title}: {error}")
        progress(f"  {contender.title} FAILED: {error}")

    def _summary(self, rounds: Rounds) -> None:
        for contender in CONTENDERS:
            made = [portion.per_plug for portion in rounds[contender.module] if portion is not None]
            if made:
                progress(f"  {contender.title}: {Spread.of(made).text()} ms a plug")

    # -- sections -------------------------------------------------------------------------------------

    def _small_section(self, rounds: Rounds) -> Section:
        plan = self.plan
        how = "\n".join(f"- *{contender.title}*: {contender.how}." for contender in CONTENDERS)
        text = (
            "A plug: make a bridge, up; make a tap; give the tap MAC address and MTU, make it a port of the bridge, "
            f"set it up. Each contender makes {plan.plugs} in a fresh namespace, in portions of {plan.portion} by "
            f"turns (the slow ones in portions of {plan.slow_portion}), and that {_times(plan.repeats)}: "
            f"{plan.portions * plan.repeats} rounds. *ms a plug* is a portion's wall time divided by its plugs; "
            "imports and sockets are made before, as in a long-running agent. *Median plug* is that of a portion: it "
            f"leaves out what the machine did meanwhile.\n\n{how}"
        )
        rows = []
        for contender in CONTENDERS:
            made, floors = _paired(rounds, contender)
            if not made:
                why = f"not measured: {self._missing.get(contender.module, 'no round')}"
                rows.append((contender.title, "", why, "", "", ""))
                continue
            portion = plan.slow_portion if contender.is_slow else plan.portion
            median = [one.median_plug for one in made]
            rows.append(
                (
                    contender.title,
                    str(len(made) * portion),
                    Spread.of(one.per_plug for one in made).text(),
                    ratios((one.per_plug for one in made), (one.per_plug for one in floors)).text(),
                    Spread.of(median).text() if made[0].each else "",
                    ratios(median, (one.median_plug for one in floors)).text() if made[0].each else "",
                )
            )
        headings = (
            "contender",
            "plugs",
            "ms a plug",
            "ratio to the floor",
            "median plug: ms",
            "its ratio to the floor",
        )
        return Section(f"{plan.plugs} plugs", text, [Table(headings, rows)], self._notes())

    def _large_section(self, rounds: Rounds) -> Section:
        plan, edge = self.plan, self.plan.edge_portions
        rows = []
        for contender in CONTENDERS:
            first, first_floors = _paired(rounds, contender, slice(None, edge))
            last, last_floors = _paired(rounds, contender, slice(-edge, None))
            if not last:
                why = f"not measured: {self._missing.get(contender.module, 'no round')}"
                rows.append((contender.title, "", "", why, "", "", ""))
                continue
            whole, whole_floors = _paired(rounds, contender)
            first_median, last_median = _median_plug(first), _median_plug(last)
            rows.append(
                (
                    contender.title,
                    ratios((one.per_plug for one in whole), (one.per_plug for one in whole_floors)).text()
                    if first
                    else "",
                    f"{first_median:.2f}" if first else "",
                    f"{last_median:.2f}",
                    f"{last_median / first_median:.2f}" if first else "",
                    _median_ratios(first, first_floors).text() if first else "",
                    _median_ratios(last, last_floors).text(),
                )
            )
        headings = (
            "contender",
            "ms a plug: ratio to the floor",
            f"first {plan.edge}: median ms",
            f"last {plan.edge}: median ms",
            "last / first",
            f"first {plan.edge}: ratio to the floor",
            f"last {plan.edge}: ratio to the floor",
        )
        text = (
            f"{plan.large_plugs} plugs in one namespace for each contender, so {2 * plan.large_plugs} devices in the "
            f"end, in portions of {plan.portion} by turns: {plan.large_portions} rounds. The columns on the first and "
            f"the last {plan.edge} plugs have their median plug; *last / first* is what it grows by. The floor's "
            "growth is the kernel's own: if a library's own work grows, its ratio to the floor is greater for the "
            "last than for the first."
        )
        notes = [
            f"The slow contenders take part in the last {edge} rounds only, {plan.slow_portion} plugs in each, in the "
            "namespace that the floor has filled: as many plugs as the others make would take too long.",
            "The plugs of an `ip -batch` cannot be told apart: for it, the median is of portions.",
        ]
        return Section(f"{plan.large_plugs} plugs: does it grow?", text, [Table(headings, rows)], notes)

    def _notes(self) -> list[str]:
        if shutil.which("brctl") is not None:
            brctl = "`brctl` and `ip` are the programs"
        else:
            brctl = "It ran `brctl`, which is not installed here: `ip` does the same, a process for a process"
        return [
            "The floor is in Python. `ip -batch` is in C, and can be below it.",
            "The floor, `ip -batch` and plain pyroute2 check nothing. refnet validates its arguments, refuses a bridge "
            "that is there already, looks at bridge and port before it joins them, and takes back what it did if a "
            "later step fails. That makes one more look, and one more request that sets something, than the floor has.",
            "`ip -batch` knows all plugs beforehand; which of them failed it says in words only.",
            "os-vif and Nova hand each of these calls to a privileged daemon over a socket and wait. That is left out, "
            "in their favour, and their debug log is off.",
            "os-vif gives the bridge no MAC address, but switches off its STP, delays, snooping and ageing, sets ARP "
            "filters, and switches off IPv6 on both devices.",
            "Nova gives the bridge no MAC address either; what its `ensure_bridge` did with addresses and routes is "
            f"left out. {brctl}.",
            "IPv6 is off on new devices in all namespaces: the kernel would go on configuring them in the background "
            "for some twenty seconds after each plug, and whoever comes next would be slowed down.",
            "Deleting is not measured: the kernel takes about 20 ms for a bridge, whoever asks. It is most of the time "
            "that these benchmarks take.",
        ]


def _paired(
    rounds: Mapping[str, Sequence[Portion | None]], contender: Contender, part: slice = slice(None)
) -> tuple[list[Portion], list[Portion]]:
    """Return a contender's portions and the floor's, of the rounds in which both took part."""
    both = [
        (portion, floor)
        for portion, floor in zip(rounds[contender.module][part], rounds[FLOOR.module][part], strict=True)
        if portion is not None and floor is not None
    ]
    return [portion for portion, _ in both], [floor for _, floor in both]


def _median_plug(portions: Sequence[Portion]) -> float:
    """Return the milliseconds of the median plug of several portions."""
    every = [plug for portion in portions for plug in portion.each or [portion.per_plug]]
    return statistics.median(every) if every else 0.0


def _median_ratios(portions: Sequence[Portion], floors: Sequence[Portion]) -> Spread:
    return ratios((one.median_plug for one in portions), (one.median_plug for one in floors))


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
