"""What a person sees of a run: a line a spec while it goes on, and at the end what became of it."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from conformance.outcome import Outcome
from conformance.report.matrix import ELSEWHERE, ERROR, KILLED, OPEN, SURVIVED, KillMatrix
from conformance.spec import Spec
from conformance.verdict import Status, Verdict

_COLOURS = {
    Status.PASSED: "32",
    Status.UNSUPPORTED: "33",
    Status.NOT_APPLICABLE: "33",
    Status.KNOWN_DEVIATION: "35",
    Status.FAILED: "31",
    Status.ERROR: "31;1",
}
_WORD_COLOURS = {"conformant": "32;1", "not conformant": "31;1", "error": "31;1", "open": "33"}


class Progress:
    """Writes to the terminal; what is not a terminal gets the same lines without colour."""

    def __init__(self, total: int, specs: Mapping[str, Spec], *, told: int = 0) -> None:
        """Know how many outcomes are to come, and how many came in the run that is gone on with."""
        self.total = total
        self.specs = specs
        self.told = told
        self._colour = sys.stdout.isatty()

    def tell(self, outcome: Outcome) -> None:
        """Say what became of one spec."""
        self.told += 1
        count = f"[{self.told:>{len(str(self.total))}}/{self.total}]"
        name = outcome.id if outcome.mutant is None else f"{outcome.id} {outcome.mutant}"
        status = f"{outcome.status.value:<14}" if outcome.mutant is None else ""
        head = f"{count} {name:<6} {self._paint(status, _COLOURS[outcome.status])} {outcome.seconds:5.2f}s"
        sentence = self.specs[outcome.id].sentence
        room = max(30, shutil.get_terminal_size((120, 24)).columns - 42)
        self._say(f"{head}  {textwrap.shorten(sentence, room, placeholder=' …')}")

    def summary(self, report: Mapping[str, Any], verdict: Verdict, directory: Path | None) -> None:
        """Say the verdict, what it leaves open, and how to repeat what failed."""
        entries = report["specs"]
        self._say("")
        for entry in entries:
            if entry["status"] in ("failed", "known-deviation", "error"):
                self._tell_failure(entry, directory)
        self._tell_open(entries)
        for line in report["trouble"]:
            self._say(self._paint(f"trouble: {line}", "31;1"))
        if verdict.unexpected:
            self._say(f"not selected, and yet heard of: {', '.join(verdict.unexpected)}")
        counts = ", ".join(f"{number} {status}" for status, number in sorted(verdict.counts.items()))
        for area, driver in report["drivers"].items():
            own = [entry["status"] for entry in entries if entry["area"] == area]
            partly = f": {own.count('passed')} of {len(own)} passed" if len(report["drivers"]) > 1 else ""
            self._say(f"{area:<8} {driver['class']}  (version {driver['version']}){partly}")
        environment = report["environment"]
        self._say(
            f"in       {environment['name']}: {environment['system']} {environment['kernel']}, as {environment['user']}"
        )
        self._say(f"specs    {counts or 'none was run'}  in {report['seconds']:.1f} s")
        for level in verdict.levels:
            word = self._paint(level.word, _WORD_COLOURS[level.word])
            self._say(f"{level.level:<8} {word}: {level.passed} of {level.total} passed")
        where = f"{directory}/report.html" if directory else "not kept; '--report DIR' keeps it, with evidence"
        self._say(f"report   {where}")
        word = report["verdict"]["word"]
        passed, everything = verdict.levels[-1].passed, verdict.levels[-1].total
        partly = f" as far as it was run: {passed} of {everything} specs" if verdict.levels[-1].word == "open" else ""
        about = verdict.about if word != "error" else ""
        self._say(f"verdict  {self._paint(word, _WORD_COLOURS[word])}{about}{partly if word == 'conformant' else ''}")

    def mutants(self, matrix: KillMatrix, trouble: Sequence[str]) -> None:
        """Say which wrong drivers were caught, and which were not."""
        self._say("")
        for name in matrix.mutants:
            cells = {spec_id: state for (spec_id, mutant), (state, _) in matrix.cells.items() if mutant == name}
            marks = "  ".join(
                self._paint(f"{spec_id} {state}", _STATE_COLOURS[state]) for spec_id, state in sorted(cells.items())
            )
            self._say(f"{name:<34} {marks}")
        self._say("")
        for title, entries in (("survived", matrix.survivors), ("could not be judged", matrix.errors)):
            for spec_id, name, why in entries:
                self._say(self._paint(f"{name} {title} {spec_id}: {why}", "31"))
        for spec_id in matrix.toothless:
            self._say(self._paint(f"{spec_id} is claimed by no mutant: nobody has seen it fail", "31"))
        for line in trouble:
            self._say(self._paint(f"trouble: {line}", "31;1"))
        for reason, ids in _by_reason((why, f"{spec_id}/{name}") for spec_id, name, why in matrix.open).items():
            self._say(f"open ({len(ids)} pairs): {reason}")
        word = self._paint("complete", "32;1") if matrix.complete else self._paint("not complete", "31;1")
        self._say(
            f"kill matrix {word}: {len(matrix.mutants)} mutants against "
            f"{len(matrix.specs)} specs, {matrix.count(KILLED)} kills, {matrix.count(SURVIVED)} survived, "
            f"{matrix.count(ERROR)} errors, {matrix.count(OPEN)} open here, "
            f"{matrix.count(ELSEWHERE)} about another system or class"
        )

    def _tell_failure(self, entry: Mapping[str, Any], directory: Path | None) -> None:
        self._say(self._paint(f"{entry['id']} {entry['status']}", _COLOURS[Status(entry["status"])]))
        self._say(f"  spec    {entry['sentence']}")
        for number, line in enumerate(entry["message"].splitlines()[:12]):
            self._say(f"  {'why   ' if not number else '      '}  {line}")
        if directory and entry["evidence"]:
            self._say(f"  see     {directory / Path(entry['evidence'][0]).parent}/")
        self._say(f"  repeat  {entry['repeat']}")
        self._say("")

    def _tell_open(self, entries: Sequence[Mapping[str, Any]]) -> None:
        unjudged = (Status.UNSUPPORTED.value, Status.NOT_APPLICABLE.value)
        reasons = _by_reason((entry["message"], entry["id"]) for entry in entries if entry["status"] in unjudged)
        for reason, ids in reasons.items():
            self._say(f"not run here ({len(ids)}): {' '.join(ids)}")
            self._say(f"  because {reason}")
        if reasons:
            self._say("")

    def _paint(self, text: str, colour: str) -> str:
        return f"\033[{colour}m{text}\033[0m" if self._colour and text else text

    def _say(self, line: str) -> None:
        print(line, flush=True)


_STATE_COLOURS = {KILLED: "32", SURVIVED: "31;1", ERROR: "31;1", OPEN: "33", ELSEWHERE: ""}


def _by_reason(pairs: Any) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for reason, name in pairs:
        reasons.setdefault(reason, []).append(name)
    return reasons
