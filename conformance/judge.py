"""Judges a run: takes events in, wherever they come from, sees that nothing is missing, and writes the report."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conformance import interfaces, mutants, report
from conformance import spec as specs
from conformance.collector import INTERRUPTED, Event
from conformance.outcome import Outcome
from conformance.progress import Progress
from conformance.report.matrix import KillMatrix
from conformance.verdict import ExitStatus, Status, judge

#: A file of evidence, as an environment may name it.
_EVIDENCE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run: a selection of specs, against the driver or (``mutants``: names, or "all") wrong drivers."""

    selected: tuple[str, ...]
    #: What the verdict is about, as far as it is not about everything: levels have the specs of these areas only.
    areas: tuple[str, ...] = ()
    seed: str = "0"
    mutants: str = ""
    keep: bool = False
    command: tuple[str, ...] = ()
    #: What of the command line has to be the same when the run, or a spec of it, is repeated.
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def pairs(self) -> Mapping[tuple[str, str], str]:
        """Return the pairs of spec and mutant that this run is about, with the words that are promised."""
        return {
            (spec_id, one.name): words
            for one in mutants.all_mutants()
            if self.mutants == "all" or one.name in self.mutants.split(",")
            for spec_id, words in one.kills.items()
            if spec_id in self.selected
        }

    @property
    def judged(self) -> tuple[str, ...]:
        """The areas that the selected specs are of, or the named mutants."""
        wanted = self.mutants.split(",") if self.mutants not in ("", "all") else ()
        if wanted:
            return interfaces.ordered(mutants.named(name).area for name in wanted)
        return specs.areas_of(one for one in specs.manifest() if one.id in self.selected)

    @property
    def total(self) -> int:
        """How many outcomes are to come."""
        return len(self.pairs()) if self.mutants else len(self.selected)


class Judge:
    """Takes the events of one or several runs of the specs, each with a number, and gives the verdict on all of them.

    ``directory`` is where report and evidence go, if they are to be kept.
    """

    def __init__(self, plan: Plan, progress: Progress | None = None, directory: Path | None = None) -> None:
        """Know from the manifest what has to arrive."""
        self.plan = plan
        self.progress = progress
        self.directory = directory
        self.started = time.time()
        self.specs = specs.manifest()
        self._judged = plan.judged
        self.outcomes: dict[tuple[str, str | None], Outcome] = {}
        self.runs: dict[int, report.Run] = {}
        self.trouble: list[str] = []
        #: What may be told of: nothing else was asked for.
        self._expected: set[tuple[str, str | None]] = (
            set(plan.pairs()) if plan.mutants else {(spec_id, None) for spec_id in plan.selected}
        )
        self._run_of: dict[str, int] = {}
        self._evidence: dict[str, list[str]] = {}

    def take(self, event: Event, number: int = 0) -> None:
        """Take an event in; ``number`` is that of the run it belongs to.

        Raises:
            ValueError: it is none.
        """
        try:
            kind = event["event"]
            if kind == "facts":
                run = report.Run.of(event)
                unknown = [area for area in self._judged if area not in run.facts["drivers"]]
                if unknown:
                    raise ValueError(f"it says nothing of what is judged: {', '.join(unknown)}")
                self.runs[number] = run
            elif kind == "outcome":
                self._take_outcome(Outcome.from_plain({k: v for k, v in event.items() if k != "event"}), number)
            elif kind == "trouble":
                self.trouble.append(str(event["words"]))
            else:
                raise ValueError(f"unknown kind {kind!r}")
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            raise ValueError(f"that is no event of this suite ({type(error).__name__}: {error})") from None

    def log_of(self, number: int) -> Path | None:
        """Return where the environment of a run keeps a log of its own, if the report is kept."""
        return self.directory / f"console-{number}.log" if self.directory else None

    def ended(self, number: int, seconds: float) -> None:
        """Note how long a run took."""
        if number in self.runs:
            log = self.log_of(number)
            self.runs[number].seconds = seconds
            self.runs[number].log = log.name if log and log.exists() else ""

    def failures(self, number: int) -> int:
        """Return how many specs of a run were not as they should be: what pytest's exit status has to agree with."""
        bad = (Status.FAILED, Status.ERROR, Status.KNOWN_DEVIATION)
        return sum(o.status in bad and self._run_of.get(o.id) == number for o in self.outcomes.values())

    def has_heard_of(self, spec_ids: Sequence[str]) -> bool:
        """Return whether something was heard of each of these specs."""
        return set(spec_ids) <= set(self._run_of)

    def finish(self) -> ExitStatus:
        """Judge, write and show the report, and return the exit status."""
        status = self._finish_mutants() if self.plan.mutants else self._finish()
        return ExitStatus.INTERRUPTED if INTERRUPTED in self.trouble else status

    def document(self) -> dict[str, Any]:
        """Return the report of what has arrived."""
        return report.document(
            dict(sorted(self.runs.items())),
            self.specs,
            self._selected(),
            self.outcomes.values(),
            self.trouble,
            run_of=self._run_of,
            evidence=self._evidence,
            started=self.started,
            seed=self.plan.seed,
            command=self.plan.command,
            arguments=self.plan.arguments,
            areas=self.plan.areas,
        )

    def kill_matrix(self) -> KillMatrix:
        """Return what became of the wrong drivers."""
        claimed = {spec_id for one in mutants.all_mutants() for spec_id in one.kills}
        return KillMatrix(self.plan.pairs(), self.outcomes, sorted(set(self.plan.selected) - claimed))

    def _take_outcome(self, outcome: Outcome, number: int) -> None:
        if outcome.key not in self._expected:
            raise ValueError(f"{outcome.id!r} against {outcome.mutant!r} was not asked for")
        if number not in self.runs:
            raise ValueError(f"{outcome.id} comes before the facts")
        if outcome.status is Status.NOT_APPLICABLE and not self._is_elsewhere(outcome, number):
            raise ValueError(f"{outcome.id} is about this system, and cannot be {outcome.status.value}")
        known = self.outcomes.get(outcome.key)
        if known is None:
            self.outcomes[outcome.key] = outcome
        else:
            known.merge(outcome)
        self._run_of[outcome.id] = number
        self._keep(outcome)
        if self.progress:
            self.progress.tell(self.outcomes[outcome.key])

    def _is_elsewhere(self, outcome: Outcome, number: int) -> bool:
        """Whether the spec, or the mutant, is about another system than that of this run, or another class."""
        facts = self.runs[number].facts
        here = facts["environment"]["system"]
        (one,) = (one for one in self.specs if one.id == outcome.id)
        if one.systems and here not in one.systems:
            return True
        bases = facts["drivers"][one.area]["bases"]
        return bool(outcome.mutant and mutants.named(outcome.mutant).elsewhere(here, bases))

    def _keep(self, outcome: Outcome) -> None:
        """Write the evidence down as it comes: the environment may not live to the end."""
        if self.directory is None:
            return
        folder = Path("evidence", f"{outcome.id}-{outcome.mutant}" if outcome.mutant else outcome.id)
        place = self.directory / folder
        for name, data in outcome.evidence.items():
            if _EVIDENCE_NAME.match(name):
                place.mkdir(parents=True, exist_ok=True)
                (place / name).write_bytes(data)
        # Of a run that goes on, the files are there already.
        if place.is_dir():
            self._evidence[outcome.id] = sorted(str(folder / path.name) for path in place.iterdir())

    def _selected(self) -> Sequence[str]:
        if self.plan.keep and any(one.status.rank > Status.PASSED.rank for one in self.outcomes.values()):
            # It stops at the first failure: what was not reached was not meant to be judged.
            heard = {outcome.id for outcome in self.outcomes.values()}
            return [spec_id for spec_id in self.plan.selected if spec_id in heard] or self.plan.selected
        return self.plan.selected

    def _finish(self) -> ExitStatus:
        statuses = {outcome.id: outcome.status for outcome in self.outcomes.values()}
        verdict = judge(self.specs, self._selected(), statuses, self.plan.areas)
        document = self.document()
        if self.directory:
            try:
                report.write(document, self.directory)
            # A page that cannot be made must not look like a verdict on the driver.
            except Exception as error:
                self.trouble.append(f"the report could not be written: {type(error).__name__}: {error}")
                document = self.document()
        if self.progress:
            self.progress.summary(document, verdict, self.directory)
        return ExitStatus.SUITE_FAILED if self.trouble else verdict.exit_status

    def _finish_mutants(self) -> ExitStatus:
        matrix = self.kill_matrix()
        if self.directory:
            report.replace(self.directory / "mutants.json", json.dumps(matrix.plain(self.trouble), indent=1) + "\n")
        if self.progress:
            self.progress.mutants(matrix, self.trouble)
        if self.trouble or matrix.errors:
            return ExitStatus.SUITE_FAILED
        return ExitStatus.CONFORMANT if matrix.complete else ExitStatus.NOT_CONFORMANT
