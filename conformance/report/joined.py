"""The reports of many runs as one: which spec passed where, with which driver, and what nobody has proved yet."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conformance import report as reports
from conformance.report import badge, markdown, pages, shape
from conformance.report.columns import (
    FAILED,
    NOT_APPLICABLE,
    OPEN,
    PROVEN,
    STANDINGS,
    Column,
    Driver,
    Row,
    Total,
)
from conformance.spec import LEVELS, Spec
from conformance.verdict import Status, judge
from conformance.verdict import about as verdict_about

PAGE, TABLE, BADGE = "matrix.html", "matrix.md", "badge.svg"
_REPORT = "report.json"


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
        return "conformant" if self.levels else "open"

    @property
    def headline(self) -> str:
        """The sentence for it."""
        if self.tone == "not conformant":
            failed = {spec_id for total in self.totals for spec_id in total.standings[FAILED]}
            return f"Not conformant: {_specs(len(failed))} failed somewhere"
        if self.tone == "error":
            return "Error: a run has no verdict"
        about = verdict_about(self.areas)
        if not any(total.standings[OPEN] for total in self.totals) and not self.unjudged:
            return f"Conformant{about}: every spec is proven"
        levels = self.levels
        reached = f"Conformant{about} at level {levels[-1]}" if levels else f"Conformant{about} as far as it was run"
        return f"{reached}: {self.proven} of {_specs(len(self.rows))} proven"

    @property
    def areas(self) -> tuple[str, ...]:
        """What all of it is about, where that is not everything."""
        known = [*dict.fromkeys(area for column in self.columns for area in column.report["manifest"]["areas"])]
        about = {area for column in self.columns for area in column.areas}
        return () if about >= set(known) else tuple(area for area in known if area in about)

    @property
    def unjudged(self) -> set[str]:
        """Areas that it is about, and of which no column has run anything."""
        return {row.spec.area for row in self.rows} - {total.driver[0] for total in self.totals}

    @property
    def proven(self) -> int:
        """How many specs are proven for every driver of their interface, reckoned by the driver that has fewest."""
        least: dict[str, int] = {}
        for total in self.totals:
            area = total.driver[0]
            least[area] = min(least.get(area, total.proven), total.proven)
        return sum(least.values())

    @property
    def levels(self) -> list[str]:
        """The levels that are proven for every driver."""
        return [level for level in LEVELS if not self.unjudged and all(level in one.levels for one in self.totals)]

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
        label = badge.label_for(self.areas)
        if self.tone in ("not conformant", "error"):
            return badge.render(label, "no verdict" if self.tone == "error" else self.tone, self.tone)
        return badge.render(label, " + ".join(self.levels) or f"{self.proven}/{len(self.rows)}, open", self.tone)


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
    names = [" ".join([column.environment, *(one[1] for one in column.drivers.values())]) for column in columns]
    for column, added in zip(columns, pages.told_apart(names, [column.facts for column in columns]), strict=True):
        column.added = added
    specs = _specs_of(columns)
    rows = [Row(one, tuple(column.status(one.id) for column in columns), columns) for one in specs]
    drivers = dict.fromkeys(driver for column in columns for driver in column.drivers.values())
    totals = [_total(driver, columns, rows) for driver in drivers]
    return Joined(columns, rows, totals, _warnings(columns))


def _column(key: str, path: Path, output: Path) -> Column:
    report = _read(path)
    try:
        shape.check(report)
        shape.see_areas(report)
        started = pages.moment(report["started"])
        names = [level["level"] for level in report["verdict"]["levels"]]
        if names != list(LEVELS) or not report["runs"]:
            raise ValueError("it lacks a level or a run")
        if not report["drivers"]:
            raise ValueError("it lacks a driver")
    except ValueError as error:
        raise ValueError(f"{path} is no whole report: {error}") from None
    drivers = report["drivers"].values()
    facts = {
        "Driver’s version": ", ".join(one["version"] for one in drivers),
        **pages.environment_facts(report["environment"]),
        "Driver’s digest": ", ".join(one["digest"][:12] for one in drivers),
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
    members = list(_of_manifest(report))
    heard = {entry["id"]: Status(entry["status"]) for entry in report["specs"] if entry["id"] in report["heard_of"]}
    return reports.plain_verdict(judge(members, report["selected"], heard, report["areas"]), report["trouble"])


def _of_manifest(report: Mapping[str, Any]) -> Iterator[Spec]:
    """Give what a report says of the specs that there are."""
    area_of = {spec_id: area for area, members in report["manifest"]["areas"].items() for spec_id in members}
    for level in LEVELS:
        for spec_id in report["manifest"]["levels"][level]:
            yield Spec(spec_id, "", level, area_of.get(spec_id, ""), "not selected")


def _specs_of(columns: Sequence[Column]) -> list[Spec]:
    """Return all specs that any column is about; one that no run selected is known by id, level and area only."""
    found: dict[str, Spec] = {}
    for column in columns:
        for one in _of_manifest(column.report):
            if one.area in column.areas:
                found.setdefault(one.id, one)
    for column in reversed(columns):
        for entry in column.entries.values():
            spec_id, sentence, level, area, topic = (
                str(entry[name]) for name in ("id", "sentence", "level", "area", "topic")
            )
            found[spec_id] = Spec(spec_id, sentence, level, area, topic)
    return [found[spec_id] for spec_id in sorted(found)]


def _total(driver: Driver, columns: Sequence[Column], rows: Sequence[Row]) -> Total:
    rows = [row for row in rows if row.spec.area == driver[0]]
    standing = {row.spec.id: row.standing(driver) for row in rows}
    levels = []
    for level in LEVELS:
        included = LEVELS[: LEVELS.index(level) + 1]
        if all(standing[row.spec.id] in (PROVEN, NOT_APPLICABLE) for row in rows if row.spec.level in included):
            levels.append(level)
    by_standing = {name: [spec_id for spec_id, found in standing.items() if found == name] for name in STANDINGS}
    return Total(driver, [column.key for column in columns if driver in column.drivers.values()], by_standing, levels)


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
