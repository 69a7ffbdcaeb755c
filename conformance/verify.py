"""Computes a report's verdict again, from the report alone and what this version of the suite knows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from conformance import interfaces
from conformance import report as reports
from conformance import spec as specs
from conformance.report import shape
from conformance.spec import Spec
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
    except ValueError as error:
        raise ValueError(f"{path} is no whole report: {error}") from None
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path} is no whole report: {type(error).__name__}: {error}") from None


def _verified(report: dict[str, Any]) -> ExitStatus:
    _see_that_it_is_whole(report)
    objections = list(_objections(report))
    statuses = {entry["id"]: Status(entry["status"]) for entry in report["specs"] if entry["id"] in report["heard_of"]}
    verdict = judge(specs.manifest(), report["selected"], statuses, report["areas"])
    computed = reports.plain_verdict(verdict, report["trouble"])
    if computed != report["verdict"]:
        objections.append(f"the report says {report['verdict']['word']!r}, its specs say {computed['word']!r}")
    for objection in objections:
        print(f"objection: {objection}")
    for level in verdict.levels:
        print(f"{level.level:<8} {level.word}: {level.passed} of {level.total} passed")
    about = verdict.about
    print(f"verdict  {computed['word']}{about}{' (with objections: not to be relied on)' if objections else ''}")
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
    except RecursionError:
        raise ValueError(f"{path} is no report: its JSON is nested too deeply to be read") from None
    if not isinstance(report, dict) or report.get("format") != reports.FORMAT:
        raise ValueError(f"{path} is no report of format {reports.FORMAT}")
    return report


def _see_that_it_is_whole(report: dict[str, Any]) -> None:
    """See that everything is there and of its type.

    Raises:
        ValueError: something is not.
    """
    verdict = report.get("verdict")
    if not isinstance(verdict, dict) or not isinstance(verdict.get("word"), str):
        raise ValueError("verdict should be an object with a text 'word'")
    # What the verdict says is compared with what it should be; a wrong one is a finding, not another kind of file.
    plain = reports.plain_verdict(judge((), (), {}), ())
    shape.check({**report, "verdict": plain})
    shape.see_areas(report)
    areas = interfaces.ordered(report["drivers"])
    interfaces.ordered(report["areas"])
    # What is relied on here besides what the pages rely on: what each run says of each capability.
    needed = {name: {"area": (area,)} for area in areas for name in interfaces.ALL[area].names()}
    if not report["runs"]:
        raise ValueError("runs should be a list of at least one run")
    for number, run in enumerate(report["runs"]):
        place = f"runs[{number}].capabilities"
        shape.check(run.get("capabilities"), needed, place)
        for name, words in run["capabilities"].items():
            for key in ("driver", "environment"):
                if not isinstance(words[key], str | None):
                    raise ValueError(f"{place}.{name}.{key} should be a text or null")


def _objections(report: dict[str, Any]) -> Iterator[str]:
    manifest = specs.manifest()
    if report["manifest"]["hash"] != specs.manifest_hash(manifest):
        yield (
            f"it was made with another set of specs (suite {report['suite']['version']!r}) than this one has: "
            "verify it with the version that made it"
        )
    elif report["manifest"]["levels"] != {
        level: [one.id for one in manifest if one.level == level] for level in specs.LEVELS
    }:
        yield "its levels have other specs than this suite's"
    elif report["manifest"]["areas"] != specs.by_area(manifest):
        yield "its areas have other specs than this suite's"
    for key in ("environment", "capabilities"):
        if report.get(key) != report["runs"][0][key]:
            yield f"its first run says otherwise of {key}"
    listed = [entry["id"] for entry in report["specs"]]
    if len(listed) != len(set(listed)):
        yield "it lists a spec twice"
    if sorted(report["selected"]) != sorted(listed):
        yield "the specs that were selected are not those that it lists"
    for entry in report["specs"]:
        if report["areas"] and entry["area"] not in report["areas"]:
            yield f"{entry['id']} is of the area {entry['area']!r}, which the verdict is not about"
    unlisted = sorted(set(report["heard_of"]) - set(listed))
    if unlisted:
        yield f"it has heard of specs that it does not list: {', '.join(map(repr, unlisted))}"
    known = {one.id: one for one in manifest}
    for entry in report["specs"]:
        one = known.get(entry["id"])
        if one is None:
            yield f"{entry['id']!r} is no spec of this suite"
        elif not 0 <= entry["run"] < len(report["runs"]):
            yield f"{one.id} is listed with run {entry['run']}, and there are {len(report['runs'])} runs"
        else:
            yield from _objections_to(entry, one, report)


def _objections_to(entry: Mapping[str, Any], one: Spec, report: Mapping[str, Any]) -> Iterator[str]:
    """Yield what speaks against the entry of a spec that this suite has."""
    # Through JSON, which has no tuples.
    real = json.loads(json.dumps(asdict(one)))
    other = [key for key, value in real.items() if entry[key] != value]
    if other:
        yield f"{one.id} is listed with another {', another '.join(other)} than it has"
    status = Status(entry["status"])
    # By the manifest, since the entry may leave out what speaks against it.
    denials = [report["runs"][entry["run"]]["capabilities"][name] for name in one.capabilities]
    if status is Status.PASSED and (entry["message"] or any(words["driver"] is not None for words in denials)):
        yield f"{one.id} is listed as passed, and the report itself says that it was not run"
    system = report["runs"][entry["run"]]["environment"]["system"]
    is_elsewhere = bool(one.systems and system not in one.systems)
    if status is not Status.ERROR and (status is Status.NOT_APPLICABLE) != is_elsewhere:
        yield f"{one.id} is listed as {status.value}, and is about {' and '.join(one.systems) or 'any system'}"
    # Whether a need was there is not in the report.
    denied = any(words[key] is not None for words in denials for key in ("driver", "environment"))
    if status is Status.UNSUPPORTED and not one.needs and not denied:
        yield f"{one.id} is listed as unsupported, and nothing that it uses was denied"
    if one.id not in report["heard_of"] and status is not Status.ERROR:
        yield f"nothing was heard of {one.id}, and yet it is listed as {status.value}"
