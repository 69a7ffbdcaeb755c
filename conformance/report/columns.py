"""What stands side by side in the joined reports: a column a report, a row a spec, and what a driver comes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.report import pages
from conformance.spec import Spec

#: What a spec comes to for one driver over all columns; told in this order. Failed anywhere is failed.
FAILED, ERROR, OPEN, NOT_APPLICABLE, PROVEN = "failed", "error", "open", "not-applicable", "passed"
STANDINGS = (FAILED, ERROR, OPEN, NOT_APPLICABLE, PROVEN)


#: A driver: the area of its interface, class, version and digest. With other code it is another driver, and what one
#: proves the other does not.
Driver = tuple[str, str, str, str]


@dataclass(slots=True)
class Column:
    """One report. ``key`` is its letter; ``link`` leads from the joined page to its own, or is empty: it has none."""

    key: str
    path: Path
    report: Mapping[str, Any]
    link: str
    facts: Mapping[str, str]
    entries: Mapping[str, Mapping[str, Any]]
    added: str = ""

    @property
    def drivers(self) -> dict[str, Driver]:
        """By area: what was judged here."""
        found = self.report["drivers"].items()
        return {area: (area, about["class"], about["version"], about["digest"]) for area, about in found}

    @property
    def areas(self) -> Sequence[str]:
        """What its verdict is about, whether it was run or not."""
        return self.report["areas"] or tuple(self.report["manifest"]["areas"])

    @property
    def environment(self) -> str:
        """The environment's name."""
        return str(self.report["environment"]["name"])

    @property
    def environments(self) -> list[Mapping[str, str]]:
        """The facts of each environment that its runs were in."""
        found: list[Mapping[str, str]] = []
        for run in self.report["runs"]:
            facts = pages.environment_facts(run["environment"])
            found += [facts] if facts not in found else []
        return found

    @property
    def label(self) -> str:
        """The environment, and what tells this column from others with the same driver in such an environment."""
        return f"{self.environment} ({self.added})" if self.added else self.environment

    def status(self, spec_id: str) -> str:
        """Return what became of a spec here."""
        entry = self.entries.get(spec_id)
        return str(entry["status"]) if entry else pages.LEFT_OUT


@dataclass(frozen=True, slots=True)
class Row:
    """A spec over all columns."""

    spec: Spec
    statuses: tuple[str, ...]
    columns: Sequence[Column]

    @property
    def differs(self) -> bool:
        """Whether it ended differently where it was run."""
        return len({status for status in self.statuses if status != pages.LEFT_OUT}) > 1

    @property
    def is_problem(self) -> bool:
        """Whether it went wrong anywhere."""
        return any(status in pages.PROBLEMS for status in self.statuses)

    @property
    def by_status(self) -> dict[str, list[Column]]:
        """The columns in which it ended so, the worst first."""
        pairs = list(zip(self.statuses, self.columns, strict=True))
        return {
            status: [column for other, column in pairs if other == status]
            for status in (*pages.ORDER, pages.LEFT_OUT)
            if status in self.statuses
        }

    @property
    def words(self) -> str:
        """Say in one line how it ended where."""
        return "; ".join(
            f"{'not selected' if status == pages.LEFT_OUT else status} in {', '.join(one.key for one in found)}"
            for status, found in self.by_status.items()
        )

    def elsewhere(self, column: Column) -> str:
        """Return what to add where the same driver has passed in another environment, and not in this one."""
        if self.statuses[self.columns.index(column)] == "passed":
            return ""
        driver = column.drivers.get(self.spec.area)
        proofs = [one.key for one in self.by_status.get("passed", ()) if one.drivers[self.spec.area] == driver]
        return f"; passed in {', '.join(proofs)} with the same driver" if proofs else ""

    def standing(self, driver: Driver) -> str:
        """Return what it comes to for one driver."""
        pairs = zip(self.statuses, self.columns, strict=True)
        found = {status for status, one in pairs if driver in one.drivers.values()}
        if found & {"failed", "known-deviation"}:
            return FAILED
        if "error" in found:
            return ERROR
        if "passed" in found:
            return PROVEN
        return NOT_APPLICABLE if found - {pages.LEFT_OUT} == {"not-applicable"} else OPEN


@dataclass(frozen=True, slots=True)
class Total:
    """What all columns of one driver come to: specs by standing, and the levels that are proven as a whole."""

    driver: Driver
    keys: Sequence[str]
    standings: Mapping[str, Sequence[str]]
    levels: Sequence[str]

    @property
    def proven(self) -> int:
        """How many specs are."""
        return len(self.standings[PROVEN])

    @property
    def total(self) -> int:
        """How many specs there are of its interface."""
        return sum(map(len, self.standings.values()))

    @property
    def counts(self) -> dict[str, int]:
        """How many specs have which standing."""
        return {standing: len(found) for standing, found in self.standings.items() if found}
