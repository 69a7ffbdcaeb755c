"""Judges a run: collects outcomes where they come together, sees that none is missing, and writes the report."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import pytest

from conformance import mutants, report, runner
from conformance import spec as specs
from conformance.outcome import Outcome
from conformance.progress import Progress
from conformance.report.matrix import KillMatrix
from conformance.verdict import ExitStatus, Status, judge

_INTERRUPTED = "the run was interrupted"


class Judge:
    """The part of the plugin that lives in the process where all outcomes arrive."""

    def __init__(self, config: pytest.Config) -> None:
        """Know from the manifest what has to arrive."""
        self.config = config
        self.started = time.time()
        self.specs = specs.manifest()
        only = tuple(filter(None, config.option.conformance_only.split(",")))
        self.selected = [one.id for one in specs.select(self.specs, only=only, level=config.option.conformance_level)]
        self.outcomes: dict[tuple[str, str | None], Outcome] = {}
        self.trouble: list[str] = []
        #: Those whose test function itself was heard of: without that, a set-up that went well proves nothing.
        self._called: set[tuple[str, str | None]] = set()
        self.facts = report.facts(config.option.netdev)
        self._by_function = {
            f"{one.__module__.rsplit('.', 1)[-1]}.py::{one.__name__}": specs.of(one) for one in _functions()
        }
        total = len(self._pairs()) if config.option.conformance_mutants else len(self.selected)
        self.progress = (
            Progress(total, {one.id: one for one in self.specs}) if config.option.conformance_progress else None
        )

    # -- listening ------------------------------------------------------------------------------------

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in a phase of a spec; a report without an outcome is that of a worker that died."""
        phase = runner.outcome_in(report) or self._lost(report)
        if phase is None:
            return
        if report.when == "call":
            self._called.add(phase.key)
        known = self.outcomes.get(phase.key)
        if known is None:
            self.outcomes[phase.key] = known = phase
        else:
            known.merge(phase)
        if self.progress and (report.when == "teardown" or phase.status is Status.ERROR):
            self.progress.tell(known)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a spec module that could not be read."""
        if report.failed:
            self.trouble.append(
                f"collection of {report.nodeid or 'the specs'} failed: {_last_line(report.longreprtext)}"
            )

    def pytest_internalerror(self, excrepr: object) -> None:
        """Note that pytest or a plugin crashed."""
        self.trouble.append(f"the test runner crashed: {_last_line(str(excrepr))}")

    def pytest_keyboard_interrupt(self) -> None:
        """Note that somebody ended the run."""
        self.trouble.append(_INTERRUPTED)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Note that a worker was lost."""
        if error:
            self.trouble.append(f"worker {node.gateway.id} was lost: {_last_line(str(error))}")

    def _lost(self, report: pytest.TestReport) -> Outcome | None:
        place = report.nodeid.replace(os.sep, "/").rsplit("/", 1)[-1]
        function, _, rest = place.partition("[")
        one = self._by_function.get(function)
        if one is None:
            return None
        message = f"the worker that ran it was lost: {_last_line(report.longreprtext) or report.outcome}"
        return Outcome(one.id, Status.ERROR, message, mutant=rest.rstrip("]") or None)

    # -- judging --------------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Judge when all the others have finished, and make the verdict pytest's exit status."""
        result = None
        try:
            result = yield
        # Whatever goes wrong at the very end still has to end in a verdict of "error", not in pytest's own status.
        except Exception as error:
            self.trouble.append(f"the end of the run crashed: {type(error).__name__}: {error}")
        self._distrust_the_uncalled()
        status = self._finish_mutants() if self.config.option.conformance_mutants else self._finish()
        if _INTERRUPTED in self.trouble:
            status = ExitStatus.INTERRUPTED
        session.exitstatus = int(status)
        return result

    def _distrust_the_uncalled(self) -> None:
        for key, outcome in self.outcomes.items():
            if outcome.status is Status.PASSED and key not in self._called:
                outcome.merge(Outcome(outcome.id, Status.ERROR, "its set-up was heard of, and the spec itself was not"))

    def _finish(self) -> ExitStatus:
        statuses = {outcome.id: outcome.status for outcome in self.outcomes.values()}
        if self.config.option.conformance_keep:
            # It stops at the first failure: what was not reached was not meant to be judged.
            self.selected = [spec_id for spec_id in self.selected if spec_id in statuses] or self.selected
        verdict = judge(self.specs, self.selected, statuses)
        document = self._document()
        written = None
        if self.config.option.conformance_report:
            try:
                written = report.write(document, Path(self.config.option.conformance_report))
            # A page that cannot be made must not look like a verdict on the driver.
            except Exception as error:
                self.trouble.append(f"the report could not be written: {type(error).__name__}: {error}")
                document = self._document()
        if self.progress:
            self.progress.summary(document, verdict, None if self.config.option.conformance_scratch else written)
        elif self.trouble:
            print("\n".join(self.trouble), file=sys.stderr)
        return ExitStatus.SUITE_FAILED if self.trouble else verdict.exit_status

    def _document(self) -> dict[str, Any]:
        return report.document(
            self.facts,
            self.specs,
            self.selected,
            self.outcomes.values(),
            self.trouble,
            started=self.started,
            seed=self.config.option.conformance_seed,
        )

    def _finish_mutants(self) -> ExitStatus:
        claimed = {spec_id for one in mutants.all_mutants() for spec_id in one.kills}
        matrix = KillMatrix(self._pairs(), self.outcomes, sorted(set(self.selected) - claimed))
        directory = self.config.option.conformance_report
        if directory:
            Path(directory).mkdir(parents=True, exist_ok=True)
            (Path(directory) / "mutants.json").write_text(json.dumps(matrix.plain(self.trouble), indent=1) + "\n")
        if self.progress:
            self.progress.mutants(matrix, self.trouble)
        if self.trouble or matrix.errors:
            return ExitStatus.SUITE_FAILED
        return ExitStatus.CONFORMANT if matrix.complete else ExitStatus.NOT_CONFORMANT

    def _pairs(self) -> Mapping[tuple[str, str], str]:
        """Return the pairs of spec and mutant that this run is about, with the words that are promised."""
        wanted = self.config.option.conformance_mutants
        return {
            (spec_id, one.name): words
            for one in mutants.all_mutants()
            if wanted == "all" or one.name in wanted.split(",")
            for spec_id, words in one.kills.items()
            if spec_id in self.selected
        }


def _functions() -> list[Any]:
    specs.collect()
    return [
        value
        for name, module in list(sys.modules.items())
        if name.startswith("conformance.specs.")
        for value in vars(module).values()
        if specs.of(value) and value.__module__ == name
    ]


def _last_line(text: str) -> str:
    lines = [line.strip() for line in str(text).splitlines() if line.strip()]
    return lines[-1] if lines else ""
