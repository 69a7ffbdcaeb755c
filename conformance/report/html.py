"""The report as one self-contained page: what it says is worked out here, how it says it is the template's."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from conformance.report import evidence, pages, timeline
from conformance.report.junit import own_trouble
from conformance.spec import LEVELS
from conformance.verdict import Status

#: Evidence that the page shows as the list of calls already.
_CALLS = "calls.txt"


def render(report: Mapping[str, Any], directory: Path | None = None) -> str:
    """Return the page. ``directory`` is the report's, with the evidence to be shown; without it, there are links."""
    reader = evidence.Reader(directory)
    columns = _columns(report, reader)
    plots = timeline.plots(report)
    return pages.render(
        "report.html",
        ["base.css", "report.css"],
        ["base.js", "report.js"],
        report=report,
        headline=pages.headline(report),
        tone=pages.tone(report),
        driver_names=", ".join(one["class"].rpartition(":")[2] for one in report["drivers"].values()),
        command=shlex.join(report["command"]),
        trouble=own_trouble(report),
        levels=[_level(report, level) for level in report["verdict"]["levels"]],
        problems=[entry for status in pages.PROBLEMS for entry in report["specs"] if entry["status"] == status],
        details={entry["id"]: _detail(entry, reader) for entry in report["specs"] if _is_problem(entry)},
        open_reasons=_open_reasons(report),
        columns=columns,
        column_of=[
            next(at for at, one in enumerate(columns) if run in one["runs"]) for run in range(len(report["runs"]))
        ],
        capabilities=_capability_tables(report, columns),
        counts=pages.counts(entry["status"] for entry in report["specs"]),
        topics=_topics(report["specs"]),
        plots=plots,
        slowest=timeline.slowest(report, alone=not plots),
        longest=max((entry["seconds"] for entry in report["specs"]), default=0.0),
        problem_statuses=pages.PROBLEMS,
    )


def _is_problem(entry: Mapping[str, Any]) -> bool:
    return entry["status"] in pages.PROBLEMS


def _level(report: Mapping[str, Any], level: Mapping[str, Any]) -> dict[str, Any]:
    """Return what became of the specs of a level, those of the levels before it among them."""
    statuses = {entry["id"]: entry["status"] for entry in report["specs"]}
    included = LEVELS[: LEVELS.index(level["level"]) + 1]
    manifest = report["manifest"]
    about = {spec_id for area in report["areas"] or manifest["areas"] for spec_id in manifest["areas"].get(area, ())}
    members = [spec_id for name in included for spec_id in manifest["levels"][name] if spec_id in about]
    return {**level, "counts": pages.counts(statuses.get(spec_id, pages.LEFT_OUT) for spec_id in members)}


def _detail(entry: Mapping[str, Any], reader: evidence.Reader) -> dict[str, Any]:
    """Return what a person needs to look into a failure, each part up to what one can read."""
    calls = entry["calls"][: evidence.LINE_LIMIT]
    # The end of a traceback has what was raised.
    traceback, cut = evidence.clipped(entry["traceback"], tail=True)
    known = [_CALLS] if len(calls) == len(entry["calls"]) and calls else []
    return {
        "calls": calls,
        "calls_left_out": len(entry["calls"]) - len(calls),
        "traceback": traceback if entry["traceback"] else (),
        "traceback_cut": cut,
        "evidence": reader.read(entry["evidence"], known),
    }


def _columns(report: Mapping[str, Any], reader: evidence.Reader) -> list[dict[str, Any]]:
    """Return the environments of a report: runs that differ in nothing but their time share one."""
    columns: list[dict[str, Any]] = []
    for index, run in enumerate(report["runs"]):
        same = next((one for one in columns if one["environment"] == run["environment"]), None)
        if same is None:
            facts = pages.environment_facts(run["environment"])
            columns.append({"environment": run["environment"], "facts": facts, "runs": [index]})
        else:
            same["runs"].append(index)
    for one in columns:
        logs = [report["runs"][run].get("log") for run in one["runs"]]
        one["console"] = reader.read([log for log in logs if log])
    names = [one["environment"]["name"] for one in columns]
    for one, name, added in zip(
        columns, names, pages.told_apart(names, [one["facts"] for one in columns]), strict=True
    ):
        one["name"], one["added"] = name, added
        one["label"] = f"{name} ({added})" if added else name
    return columns


def _open_reasons(report: Mapping[str, Any]) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for entry in report["specs"]:
        if entry["status"] == Status.UNSUPPORTED:
            reasons.setdefault(entry["message"], []).append(entry["id"])
    return reasons


def _capability_tables(report: Mapping[str, Any], columns: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a table for each environment; one for all of them where they have the same."""
    tables: list[dict[str, Any]] = []
    for column in columns:
        found = report["runs"][column["runs"][0]].get("capabilities", report["capabilities"])
        rows = _capabilities(found, [entry for entry in report["specs"] if entry["run"] in column["runs"]])
        same = next((table for table in tables if table["rows"] == rows), None)
        if same is None:
            tables.append({"rows": rows, "labels": [column["label"]]})
        else:
            same["labels"].append(column["label"])
    return tables or [{"rows": _capabilities(report["capabilities"], report["specs"]), "labels": []}]


def _capabilities(capabilities: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Compare what the driver declares with what the suite found.

    A driver may leave out what the environment has. Only when a spec has seen it work all the same is it under-claimed.
    """
    failures = [entry["message"] for entry in entries if _is_problem(entry)]
    rows = []
    for name, words in capabilities.items():
        driver, environment = words["driver"], words["environment"]
        if any(f"{name} is under-claimed" in message for message in failures):
            finding = "under-claimed"
        elif driver is None:
            finding = "available" if environment is None else "over-claimed"
        else:
            finding = "not declared" if environment is None else "unavailable"
        rows.append(
            {"name": name, "area": words["area"], "driver": driver, "environment": environment, "finding": finding}
        )
    return rows


def _topics(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    def place(entry: Mapping[str, Any]) -> tuple[str, str]:
        return entry["area"], entry["topic"]

    topics = []
    for (area, topic), found in groupby(sorted(entries, key=place), key=place):
        members = list(found)
        topics.append(
            {
                "area": area,
                "topic": topic,
                "key": f"{area}/{topic}",
                "entries": members,
                "counts": pages.counts(entry["status"] for entry in members),
                "seconds": sum(entry["seconds"] for entry in members),
            }
        )
    return topics
