"""Collects what becomes of specs, in the pytest process where all of it arrives, and tells it as events.

An event is a mapping that JSON can carry. ``facts`` comes first, then an ``outcome`` a spec and ``trouble`` of the
suite's own; ``refused`` says that nothing can be run at all. :class:`conformance.judge.Judge` takes them in.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Generator, Mapping
from typing import Any

import pytest

from conformance import runner
from conformance import spec as specs
from conformance.facts import facts
from conformance.outcome import Outcome
from conformance.verdict import Status

Event = Mapping[str, Any]

INTERRUPTED = "the run was interrupted"


def writer(descriptor: int) -> Callable[[Event], None]:
    """Return what writes events to a descriptor, one line of JSON each."""
    # Programs that specs start must not hold it: its end is the end of the run.
    os.set_inheritable(descriptor, False)

    def write(event: Event) -> None:
        data = memoryview(json.dumps(event).encode() + b"\n")
        while data:
            data = data[os.write(descriptor, data) :]

    return write


class Collector:
    """The part of the plugin that hears of all outcomes."""

    def __init__(
        self, config: pytest.Config, emit: Callable[[Event], None], finish: Callable[[], int] | None = None
    ) -> None:
        """Find the facts out, and tell them. ``finish``, if it is given, judges, and returns the exit status."""
        self.config = config
        self.emit = emit
        self.finish = finish
        self._phases: dict[tuple[str, str | None], Outcome] = {}
        #: Those whose test function itself was heard of: without that, a set-up that went well proves nothing.
        self._called: set[tuple[str, str | None]] = set()
        self._by_function = {
            f"{one.__module__.rsplit('.', 1)[-1]}.py::{one.__name__}": specs.of(one) for one in spec_functions()
        }
        emit({"event": "facts", **facts(runner.areas_of(config), runner.chosen(config))})
        unknown = {one.id for one in specs.collect()} - {one.id for one in specs.manifest()}
        if unknown:
            self._trouble(f"the manifest does not know {', '.join(sorted(unknown))}: nobody would miss them")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in a phase of a spec; a report without an outcome is that of a worker that died."""
        phase = runner.outcome_in(report)
        is_lost = phase is None
        phase = phase or self._lost(report)
        if phase is None:
            return
        if report.when == "call":
            self._called.add(phase.key)
        known = self._phases.setdefault(phase.key, phase)
        if known is not phase:
            known.merge(phase)
        if report.when == "teardown" or is_lost:
            self._tell(known)

    def _tell(self, outcome: Outcome) -> None:
        if outcome.status is Status.PASSED and outcome.key not in self._called:
            outcome.merge(Outcome(outcome.id, Status.ERROR, "its set-up was heard of, and the spec itself was not"))
        self.emit({"event": "outcome", **outcome.plain()})

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Tell of a spec module that could not be read."""
        if report.failed:
            self._trouble(f"collection of {report.nodeid or 'the specs'} failed: {_last_line(report.longreprtext)}")

    def pytest_internalerror(self, excrepr: object) -> None:
        """Tell that pytest or a plugin crashed."""
        self._trouble(f"the test runner crashed: {_last_line(str(excrepr))}")

    def pytest_keyboard_interrupt(self) -> None:
        """Tell that somebody ended the run."""
        self._trouble(INTERRUPTED)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Tell that a worker was lost."""
        if error:
            self._trouble(f"worker {node.gateway.id} was lost: {_last_line(str(error))}")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Finish when all the others have. Whatever goes wrong at the very end has to end in a verdict of "error"."""
        result = None
        try:
            result = yield
        except Exception as error:
            self._trouble(f"the end of the run crashed: {type(error).__name__}: {error}")
        if self.finish:
            session.exitstatus = self.finish()
        return result

    def _lost(self, report: pytest.TestReport) -> Outcome | None:
        place = report.nodeid.replace(os.sep, "/").rsplit("/", 1)[-1]
        function, _, rest = place.partition("[")
        one = self._by_function.get(function)
        if one is None:
            return None
        message = f"the worker that ran it was lost: {_last_line(report.longreprtext) or report.outcome}"
        return Outcome(one.id, Status.ERROR, message, mutant=rest.rstrip("]") or None)

    def _trouble(self, words: str) -> None:
        self.emit({"event": "trouble", "words": words})


def spec_functions() -> list[Any]:
    """Return the functions that prove specs."""
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
