"""The reports of many runs as one: which spec passed where, with which driver, and what nobody has proved yet."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conformance import report as reports
from conformance.report import badge, markdown, pages, shape
from conformance.spec import LEVELS, Spec
from conformance.verdict import Status, judge

PAGE, TABLE, BADGE = "matrix.html", "matrix.md", "badge.svg"
_REPORT = "report.json"

#: What a spec comes to for one driver over all columns; told in this order. Failed anywhere is failed.
FAILED, ERROR, OPEN, NOT_APPLICABLE, PROVEN = "failed", "error", "open", "not-applicable", "passed"
STANDINGS = (FAILED, ERROR, OPEN, NOT_APPLICABLE, PROVEN)


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
    def driver(self) -> tuple[str, str, str]:
        """Class, version and digest: with other code it is another driver, and what one proves the other does not."""
        about = self.report["driver"]
        return about["class"], about["version"], about["digest"]

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
        proofs = [one.key for one in self.by_status.get("passed", ()) if one.driver == column.driver]
        return f"; passed in {', '.join(proofs)} with the same driver" if proofs else ""

    def standing(self, driver: tuple[str, str, str]) -> str:
        """Return what it comes to for one driver."""
        found = {status for status, one in zip(self.statuses, self.columns, strict=True) if one.driver == driver}
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

    driver: tuple[str, str, str]
    keys: Sequence[str]
    standings: Mapping[str, Sequence[str]]
    levels: Sequence[str]

    @property
    def proven(self) -> int:
        """How many specs are."""
        return len(self.standings[PROVEN])

    @property
    def counts(self) -> dict[str, int]:
        """How many specs have which standing."""
        return {standing: len(found) for standing, found in self.standings.items() if found}


@dataclass(slots=True)
class Joined:
    """All that the joined page and the table say."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    totals: Sequence[Total]
    warnings: list[str] = field(default_factory=list)

    @property
    def tone(self) -> str:
        """The word whose colour and mark the whole has; what failed anywhere comes first."""
        if any(total.standings[FAILED] for total in self.totals):
            return "not conformant"
        if any(column.report["verdict"]["word"] == "error" for column in self.columns):
            return "error"
        return "conformant" if all(total.levels for total in self.totals) else "open"

    @property
    def headline(self) -> str:
        """The sentence for it."""
        if self.tone == "not conformant":
            failed = {spec_id for total in self.totals for spec_id in total.standings[FAILED]}
            return f"Not conformant: {_specs(len(failed))} failed somewhere"
        if self.tone == "error":
            return "Error: a run has no verdict"
        least = min(self.totals, key=lambda total: total.proven)
        if not least.standings[OPEN]:
            return "Conformant: every spec is proven"
        levels = [level for level in LEVELS if all(level in total.levels for total in self.totals)]
        reached = f"Conformant at level {levels[-1]}" if levels else "Conformant as far as it was run"
        return f"{reached}: {least.proven} of {_specs(len(self.rows))} proven"

    @property
    def passed_nowhere(self) -> list[Row]:
        """The specs that no column has proved."""
        return [row for row in self.rows if "passed" not in row.statuses]

    @property
    def topics(self) -> dict[tuple[str, str], list[Row]]:
        """The rows by area and topic."""
        found: dict[tuple[str, str], list[Row]] = {}
        for row in self.rows:
            found.setdefault((row.spec.area, row.spec.topic), []).append(row)
        return dict(sorted(found.items(), key=lambda item: (not item[0][0], item[0])))

    @property
    def statuses(self) -> list[str]:
        """All statuses that occur, the worst first."""
        return list(pages.counts(status for row in self.rows for status in row.statuses))

    def summaries(self, rows: Sequence[Row]) -> list[str]:
        """Return for each column what became of these specs."""
        return [summary([row.statuses[number] for row in rows]) for number in range(len(self.columns))]

    def badge(self) -> str:
        """Return the badge over all of it."""
        if self.tone in ("not conformant", "error"):
            return badge.render(badge.LABEL, "no verdict" if self.tone == "error" else self.tone, self.tone)
        levels = [level for level in LEVELS if all(level in total.levels for total in self.totals)]
        least = min(total.proven for total in self.totals)
        return badge.render(badge.LABEL, " + ".join(levels) or f"{least}/{len(self.rows)}, open", self.tone)


def join(directories: Sequence[Path], output: Path) -> list[Path]:
    """Join reports, each a directory with a ``report.json`` or that file itself, and return the files written.

    Raises:
        ValueError: one of them is no report of this format, or cannot be read, or there is none.
        OSError: the output cannot be written.
    """
    joined = load(directories, output)
    texts = {
        PAGE: pages.render("matrix.html", ["base.css", "matrix.css"], ["base.js", "matrix.js"], joined=joined),
        TABLE: markdown.render(joined),
        BADGE: joined.badge(),
    }
    for name, text in texts.items():
        reports.replace(output / name, text)
    return [output / name for name in texts]


def load(directories: Sequence[Path], output: Path) -> Joined:
    """Read reports and put them side by side; links lead from ``output`` to their pages."""
    paths = dict.fromkeys(path / _REPORT if path.is_dir() else path for path in directories)
    if not paths:
        raise ValueError("there is nothing to join: give directories with a report.json in each")
    columns = [_column(_letter(number), path, output) for number, path in enumerate(paths)]
    names = [f"{column.environment} {column.driver[0]}" for column in columns]
    for column, added in zip(columns, pages.told_apart(names, [column.facts for column in columns]), strict=True):
        column.added = added
    specs = _specs_of(columns)
    rows = [Row(one, tuple(column.status(one.id) for column in columns), columns) for one in specs]
    totals = [_total(driver, columns, rows) for driver in dict.fromkeys(column.driver for column in columns)]
    return Joined(columns, rows, totals, _warnings(columns))


def _column(key: str, path: Path, output: Path) -> Column:
    report = _read(path)
    try:
        shape.check(report)
        started = pages.moment(report["started"])
        names = [level["level"] for level in report["verdict"]["levels"]]
        if names != list(LEVELS) or not report["runs"]:
            raise ValueError("it lacks a level or a run")
    except ValueError as error:
        raise ValueError(f"{path} is no whole report: {error}") from None
    facts = {
        "Driver’s version": report["driver"]["version"],
        **pages.environment_facts(report["environment"]),
        "Driver’s digest": report["driver"]["digest"][:12],
        "Started": started,
        "Report": str(path.parent),
    }
    page = path.with_name("report.html")
    link = pages.link(os.path.relpath(page.resolve(), output.resolve())) if page.is_file() else ""
    return Column(key, path, report, link, facts, {entry["id"]: entry for entry in report["specs"]})


def _read(path: Path) -> dict[str, Any]:
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON: {error}") from None
    if not isinstance(report, dict) or "format" not in report:
        raise ValueError(f"{path} is no report of refnet-conformance")
    if report["format"] != reports.FORMAT:
        raise ValueError(
            f"{path} is a report of format {report['format']}, and this version joins format {reports.FORMAT}: "
            "run the suite again, or join with the version that made it"
        )
    return report


def _judged(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the verdict that the report's own specs and levels give."""
    levels = report["manifest"]["levels"]
    members = [Spec(spec_id, "", level, "", "") for level in LEVELS for spec_id in levels[level]]
    heard = {entry["id"]: Status(entry["status"]) for entry in report["specs"] if entry["id"] in report["heard_of"]}
    return reports.plain_verdict(judge(members, report["selected"], heard), report["trouble"])


def _specs_of(columns: Sequence[Column]) -> list[Spec]:
    """Return all specs that any column knows; one that no run selected is known by id and level only."""
    found: dict[str, Spec] = {}
    for column in columns:
        for level, members in column.report["manifest"]["levels"].items():
            for spec_id in members:
                found.setdefault(spec_id, Spec(spec_id, "", level, "", "not selected"))
    for column in reversed(columns):
        for entry in column.entries.values():
            spec_id, sentence, level, area, topic = (
                str(entry[name]) for name in ("id", "sentence", "level", "area", "topic")
            )
            found[spec_id] = Spec(spec_id, sentence, level, area, topic)
    return [found[spec_id] for spec_id in sorted(found)]


def _total(driver: tuple[str, str, str], columns: Sequence[Column], rows: Sequence[Row]) -> Total:
    standing = {row.spec.id: row.standing(driver) for row in rows}
    levels = []
    for level in LEVELS:
        included = LEVELS[: LEVELS.index(level) + 1]
        if all(standing[row.spec.id] in (PROVEN, NOT_APPLICABLE) for row in rows if row.spec.level in included):
            levels.append(level)
    by_standing = {name: [spec_id for spec_id, found in standing.items() if found == name] for name in STANDINGS}
    return Total(driver, [column.key for column in columns if column.driver == driver], by_standing, levels)


def _warnings(columns: Sequence[Column]) -> list[str]:
    warnings = []
    first = columns[0]
    for column in columns[1:]:
        if column.report["manifest"]["hash"] == first.report["manifest"]["hash"]:
            continue
        ids = [{one.id for one in _specs_of([each])} for each in (first, column)]
        only = [
            f"only {each.key} has {', '.join(sorted(found))}"
            for each, found in ((first, ids[0] - ids[1]), (column, ids[1] - ids[0]))
            if found
        ]
        what = "; ".join(only) or "the ids are the same, a sentence or a level is not"
        warnings.append(f"{first.key} and {column.key} were run with different sets of specs: {what}")
    codes = {column.report["suite"]["digest"] for column in columns}
    if len(codes) > 1:
        warnings.append(
            "not all were run with the same code of the suite: what one proves may not be what another does"
        )
    for column in columns:
        if _judged(column.report) != column.report["verdict"]:
            warnings.append(
                f"{column.key}: its verdict is not what its specs come to; 'refnet-conformance verify {column.path}' "
                "tells more"
            )
        if not column.link:
            warnings.append(f"{column.key}: there is no report.html beside {column.path}, so nothing leads there")
    return warnings


def summary(statuses: Sequence[str]) -> str:
    """Return what became of several specs in a few characters: how many passed, and the mark of the worst."""
    if set(statuses) == {pages.LEFT_OUT}:
        return "–"
    worst = next(iter(pages.counts(statuses)))
    return f"{list(statuses).count('passed')}/{len(statuses)} {pages.MARKS[worst]}"


def _letter(number: int) -> str:
    """Return A to Z, then AA, AB and so on."""
    rest, last = divmod(number, 26)
    return (_letter(rest - 1) if rest else "") + chr(ord("A") + last)


def _specs(number: int) -> str:
    return f"{number} spec" if number == 1 else f"{number} specs"
