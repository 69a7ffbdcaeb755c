"""Computes a report's verdict again, from the report alone and what this version of the suite knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from conformance import report as reports
from conformance import spec as specs
from conformance.verdict import ExitStatus, Status, judge


def verify(path: Path) -> ExitStatus:
    """Read a report, judge again, say what was found, and return the exit status that the verdict deserves.

    A file that is no report is wrong usage; a report that does not hold together has no verdict.

    Raises:
        ValueError: the file cannot be read as a report.
    """
    report = _read(path)
    try:
        return _verified(report)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise ValueError(f"{path} is no whole report: {type(error).__name__}: {error}") from None


def _verified(report: dict[str, Any]) -> ExitStatus:
    objections = list(_objections(report))
    statuses = {entry["id"]: Status(entry["status"]) for entry in report["specs"] if entry["id"] in report["heard_of"]}
    verdict = judge(specs.manifest(), report["selected"], statuses)
    computed = reports.plain_verdict(verdict, report["trouble"])
    if computed != report["verdict"]:
        objections.append(f"the report says {report['verdict']['word']!r}, its specs say {computed['word']!r}")
    for objection in objections:
        print(f"objection: {objection}")
    for level in verdict.levels:
        print(f"{level.level:<8} {level.word}: {level.passed} of {level.total} passed")
    print(f"verdict  {computed['word']}{' (with objections: not to be relied on)' if objections else ''}")
    if objections or report["trouble"]:
        return ExitStatus.SUITE_FAILED
    return verdict.exit_status


def _read(path: Path) -> dict[str, Any]:
    try:
        report = json.loads(path.read_text())
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from None
    if not isinstance(report, dict) or report.get("format") != reports.FORMAT:
        raise ValueError(f"{path} is no report of format {reports.FORMAT}")
    missing = {"specs", "selected", "heard_of", "verdict", "manifest", "trouble", "runs"} - set(report)
    if missing:
        raise ValueError(f"{path} is no whole report: it lacks {', '.join(sorted(missing))}")
    return report


def _objections(report: dict[str, Any]) -> list[str]:
    objections = []
    manifest = specs.manifest()
    if report["manifest"]["hash"] != specs.manifest_hash(manifest):
        objections.append(
            f"it was made with another set of specs (suite {report['suite']['version']}) than this one has: "
            "verify it with the version that made it"
        )
    known = {one.id: one for one in manifest}
    listed = [entry["id"] for entry in report["specs"]]
    if len(listed) != len(set(listed)):
        objections.append("it lists a spec twice")
    for entry in report["specs"]:
        one = known.get(entry["id"])
        if one is None:
            objections.append(f"{entry['id']} is no spec of this suite")
        elif (entry["sentence"], entry["level"]) != (one.sentence, one.level):
            objections.append(f"{entry['id']} is listed with another sentence or level than it has")
        elif entry["status"] == Status.PASSED.value and (entry["message"] or _undeclared(entry, report)):
            objections.append(f"{entry['id']} is listed as passed, and the report itself says that it was not run")
        elif entry["id"] not in report["heard_of"] and entry["status"] != Status.ERROR.value:
            objections.append(f"nothing was heard of {entry['id']}, and yet it is listed as {entry['status']}")
    return objections


def _undeclared(entry: dict[str, Any], report: dict[str, Any]) -> bool:
    """Whether a spec uses a capability that the driver has denied."""
    declared = report["runs"][entry["run"]]["capabilities"]
    return any(declared[name]["driver"] is not None for name in entry["capabilities"])
