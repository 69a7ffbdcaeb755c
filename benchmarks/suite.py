"""The conformance suite's own wall time: by environment, and by how many specs run at once."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.measure import ROOT, Failed, Spread, last_words, progress, ratios
from benchmarks.results import Section, Table

#: Seconds for one run, wherever it is.
_TIME_LIMIT = 1800


@dataclass
class _Contender:
    """One way to run all device specs."""

    environment: str
    workers: int
    one: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    counts: str = ""
    missing: str = ""

    def run(self) -> None:
        """Run one spec and then all of them, or note why that cannot be done here."""
        progress(f"the suite in {self.environment}, {self.workers} at once")
        self.one.append(self._timed("--only", "NM-01"))
        if not self.missing:
            self.whole.append(self._timed())

    def _timed(self, *arguments: str) -> float:
        command = [
            sys.executable,
            "-m",
            "conformance.cli",
            "run",
            "--json",
            "--area",
            "netdev",
            "--env",
            self.environment,
        ]
        began = time.perf_counter()
        done = subprocess.run(
            [*command, "-n", str(self.workers), *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=_TIME_LIMIT,
            check=False,
        )
        took = time.perf_counter() - began
        if done.returncode == 3:
            self.missing = " ".join(done.stderr.split()).removeprefix("refnet-conformance: ")
        elif done.returncode:
            raise Failed(f"the suite in {self.environment}: {last_words(done.stderr) or done.returncode}")
        else:
            counts = json.loads(done.stdout)["verdict"]["counts"]
            self.counts = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
        return took


def measure(rounds: int, workers: Sequence[int]) -> Section:
    """Run the suite by turns and return the section; ratios are to ``local`` with as many workers as processors.

    Raises:
        Failed: a run ended with an error.
    """
    base = _Contender("local", workers[-1])
    others = [_Contender("local", count) for count in workers[:-1]]
    others += [_Contender(name, workers[-1]) for name in ("docker", "linux-vm")]
    for _ in range(rounds):
        for contender in (base, *others):
            if not contender.missing:
                contender.run()
    present = [contender for contender in (*others, base) if not contender.missing]
    rows = [
        (
            f"{one.environment} -n {one.workers}",
            one.counts,
            Spread.of(one.one).text(".1f"),
            Spread.of(one.whole).text(".1f"),
            ratios(one.whole, base.whole).text(),
        )
        for one in present
    ]
    headings = ("environment", "specs", "one spec: s", "all: s", f"ratio to local -n {base.workers}")
    notes = [
        "*One spec* is what it costs to get there: engine or boot, the suite brought along, imports, one spec that "
        "does nothing but validate.",
        "What an environment has decides how many specs are run: where the kernel has no 802.1Q their refusal is "
        "exercised instead, which is quicker.",
        *(f"{one.environment} was not measured: {one.missing}" for one in others if one.missing),
    ]
    return Section(
        "The conformance suite",
        f"`refnet-conformance run` from start to end, by turns; images are built beforehand. Rounds: {rounds}.",
        [Table(headings, rows)],
        notes,
    )
