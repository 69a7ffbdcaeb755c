"""The kill matrix: which wrong driver was caught by which spec, with which words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from conformance.outcome import Outcome
from conformance.verdict import Status

KILLED, SURVIVED, OPEN, ELSEWHERE, ERROR = "killed", "survived", "open", "elsewhere", "error"


class KillMatrix:
    """Pairs of spec and mutant, each killed, survived, or an error.

    Open: this environment cannot run the spec. Elsewhere: spec or mutant are about another system.
    """

    def __init__(
        self,
        pairs: Mapping[tuple[str, str], str],
        outcomes: Mapping[tuple[str, str | None], Outcome],
        toothless: Sequence[str],
    ) -> None:
        """Judge each pair: a kill is a failed spec whose message has the promised words."""
        self.cells: dict[tuple[str, str], tuple[str, str]] = {
            pair: _judge(outcomes.get(pair), words) for pair, words in pairs.items()
        }
        #: Specs that no mutant claims: they have never been seen to fail.
        self.toothless = list(toothless)

    @property
    def survivors(self) -> list[tuple[str, str, str]]:
        """Spec, mutant and what happened instead, for each pair that was not killed as promised."""
        return [(*pair, why) for pair, (state, why) in self.cells.items() if state == SURVIVED]

    @property
    def errors(self) -> list[tuple[str, str, str]]:
        """Spec, mutant and why, for each pair that could not be judged."""
        return [(*pair, why) for pair, (state, why) in self.cells.items() if state == ERROR]

    @property
    def open(self) -> list[tuple[str, str, str]]:
        """Spec, mutant and why, for each pair that this environment cannot run."""
        return [(*pair, why) for pair, (state, why) in self.cells.items() if state == OPEN]

    @property
    def mutants(self) -> list[str]:
        """The mutants that are about this system, sorted."""
        return sorted({name for (_, name), (state, _) in self.cells.items() if state != ELSEWHERE})

    @property
    def specs(self) -> set[str]:
        """The specs that were run against any of them."""
        return {spec_id for (spec_id, _), (state, _) in self.cells.items() if state != ELSEWHERE}

    @property
    def complete(self) -> bool:
        """Whether every pair that can be run here was a kill, some pair was, and every spec has a mutant."""
        return not (self.survivors or self.errors or self.toothless) and self.count(KILLED) > 0

    def count(self, state: str) -> int:
        """Return how many pairs are in a state."""
        return sum(found == state for found, _ in self.cells.values())

    def plain(self, trouble: Sequence[str]) -> dict[str, Any]:
        """Return the matrix as JSON carries it."""
        return {
            "trouble": list(trouble),
            "complete": self.complete,
            "toothless": self.toothless,
            "pairs": [
                {"spec": spec_id, "mutant": name, "state": state, "why": why}
                for (spec_id, name), (state, why) in sorted(self.cells.items())
            ],
        }


def _judge(outcome: Outcome | None, promised: str) -> tuple[str, str]:
    if outcome is None:
        return ERROR, "nothing was heard of it"
    if outcome.status is Status.ERROR:
        return ERROR, outcome.message
    if outcome.status is Status.UNSUPPORTED:
        return OPEN, outcome.message
    if outcome.status is Status.NOT_APPLICABLE:
        return ELSEWHERE, outcome.message
    if outcome.status is Status.PASSED:
        return SURVIVED, "the spec passed"
    if promised not in outcome.message:
        return SURVIVED, f"it failed without the promised words {promised!r}: {outcome.message}"
    return KILLED, outcome.message
