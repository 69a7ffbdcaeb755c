"""The report as one self-contained page.

What the page says is worked out here, how it says it is the template's. Nothing in it comes from elsewhere: the style
and the script are inline, and a content security policy lets no other script run, wherever a text came from.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from conformance.report.junit import own_trouble, visible
from conformance.spec import LEVELS
from conformance.verdict import Status

#: From what a reader has to see first to what is as it should be.
_ORDER = ("failed", "error", "known-deviation", "unsupported", "not-applicable", "passed")
_PROBLEMS = ("failed", "error", "known-deviation")
#: In a level: a spec of it that this run left out.
_LEFT_OUT = "left-out"

#: What tells the statuses and words apart besides the colour.
_MARKS = {
    "passed": "✓",
    "conformant": "✓",
    "available": "✓",
    "failed": "✗",
    "not conformant": "✗",
    "error": "!",
    "known-deviation": "≈",
    "unsupported": "○",
    "open": "○",
    "not-applicable": "–",
    "unavailable": "–",
    "not declared": "○",
    "over-claimed": "!",
    "under-claimed": "!",
}


def render(report: Mapping[str, Any]) -> str:
    """Return the page."""
    script = _source("report.js")
    policy = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _environment.get_template("report.html").render(
        report=report,
        headline=headline(report),
        tone=_tone(report),
        trouble=own_trouble(report),
        levels=[_level(report, level) for level in report["verdict"]["levels"]],
        problems=[entry for status in _PROBLEMS for entry in report["specs"] if entry["status"] == status],
        open_reasons=_open_reasons(report),
        capabilities=_capabilities(report),
        counts=_counts(entry["status"] for entry in report["specs"]),
        topics=_topics(report["specs"]),
        slowest=max((entry["seconds"] for entry in report["specs"]), default=0.0),
        problem_statuses=_PROBLEMS,
        marks=_MARKS,
        style=Markup(_source("report.css")),  # noqa: S704  (part of this package)
        script=Markup(script),  # noqa: S704
        script_hash=policy,
    )


def headline(report: Mapping[str, Any]) -> str:
    """Return the verdict as a reader has to take it: a run that leaves a level open says so in the same breath."""
    verdict = report["verdict"]
    if verdict["word"] == "error":
        return "Error: no verdict"
    if verdict["word"] == "not conformant":
        return "Not conformant"
    reached = [level["level"] for level in verdict["levels"] if level["word"] == "conformant"]
    if len(reached) == len(verdict["levels"]):
        return "Conformant"
    return f"Conformant at level {reached[-1]}" if reached else "Conformant as far as it was run"


def _tone(report: Mapping[str, Any]) -> str:
    """Return the word whose colour and mark the headline has: no level reached is no reason for green."""
    word: str = report["verdict"]["word"]
    reached = any(level["word"] == "conformant" for level in report["verdict"]["levels"])
    return word if word != "conformant" or reached else "open"


def _level(report: Mapping[str, Any], level: Mapping[str, Any]) -> dict[str, Any]:
    """Return what became of the specs of a level, those of the levels before it among them."""
    statuses = {entry["id"]: entry["status"] for entry in report["specs"]}
    included = LEVELS[: LEVELS.index(level["level"]) + 1]
    members = [spec_id for name in included for spec_id in report["manifest"]["levels"][name]]
    return {**level, "counts": _counts(statuses.get(spec_id, _LEFT_OUT) for spec_id in members)}


def _counts(statuses: Iterable[str]) -> dict[str, int]:
    found = list(statuses)
    return {status: found.count(status) for status in (*_ORDER, _LEFT_OUT) if status in found}


def _open_reasons(report: Mapping[str, Any]) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for entry in report["specs"]:
        if entry["status"] == Status.UNSUPPORTED:
            reasons.setdefault(entry["message"], []).append(entry["id"])
    return reasons


def _capabilities(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Compare what the driver declares with what the suite found.

    A driver may leave out what the environment has. Only when a spec has seen it work all the same is it under-claimed.
    """
    failures = [entry["message"] for entry in report["specs"] if entry["status"] in _PROBLEMS]
    rows = []
    for name, words in report["capabilities"].items():
        driver, environment = words["driver"], words["environment"]
        if any(f"{name} is under-claimed" in message for message in failures):
            finding = "under-claimed"
        elif driver is None:
            finding = "available" if environment is None else "over-claimed"
        else:
            finding = "not declared" if environment is None else "unavailable"
        rows.append({"name": name, "driver": driver, "environment": environment, "finding": finding})
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
                "counts": _counts(entry["status"] for entry in members),
                "seconds": sum(entry["seconds"] for entry in members),
            }
        )
    return topics


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s"


def _moment(text: str) -> str:
    return datetime.datetime.fromisoformat(text).astimezone(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def _link(path: str) -> str:
    """Return a path below the report as a link that can lead nowhere else: to no other scheme and no other host."""
    return "./" + quote(path, errors="replace")


def _shown(value: Any) -> Any:
    """Make text of any origin fit for the page; the template escapes it after that."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _source(name: str) -> str:
    loader = _environment.loader
    assert loader is not None
    return loader.get_source(_environment, name)[0]


_environment = jinja2.Environment(
    loader=jinja2.PackageLoader("conformance.report"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
    finalize=_shown,
)
_environment.filters.update(duration=_duration, moment=_moment, link=_link)
