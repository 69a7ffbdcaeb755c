"""The report of a run: everything that the verdict rests on, so that anybody can compute it again.

``report.json`` is the report; ``junit.xml`` and ``report.html`` are made from it, by machines' and by people's taste.
"""

from __future__ import annotations

import datetime
import json
import os
import shlex
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from conformance import environments, interfaces
from conformance import spec as specs
from conformance.outcome import Outcome
from conformance.report import badge, html, junit, shape
from conformance.spec import Spec
from conformance.verdict import Status, Verdict, judge

#: Raised when a reader of an older report would misread a newer one.
FORMAT = 4


@dataclass(slots=True)
class Run:
    """One run of specs in one environment: its facts, when it began by its own clock, how long it took, and its log."""

    facts: Mapping[str, Any]
    clock: float
    seconds: float = 0.0
    #: The file beside the report in which a console's output is; "": there is none.
    log: str = ""

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Run:
        """Make one of the facts that an environment has told.

        Raises:
            ValueError: they are no such facts.
        """
        shape.check(facts, {**shape.FACTS, "clock": float}, "the facts")
        for words in facts["capabilities"].values():
            if words["area"] not in facts["drivers"]:
                raise ValueError("a capability is of an area that is not judged")
            for who in ("driver", "environment"):
                if not isinstance(words[who], str | None):
                    raise ValueError(f"what the {who} says of a capability is no text")
        _moment(facts["clock"])
        return cls({key: facts[key] for key in shape.FACTS}, facts["clock"])

    def plain(self) -> dict[str, Any]:
        """Return it as JSON carries it."""
        return {
            "environment": self.facts["environment"],
            "capabilities": self.facts["capabilities"],
            "started": _moment(self.clock),
            "seconds": round(self.seconds, 2),
            "log": self.log,
        }


def document(
    runs: Mapping[int, Run],
    manifest: Sequence[Spec],
    selected: Sequence[str],
    outcomes: Iterable[Outcome],
    trouble: Sequence[str],
    *,
    run_of: Mapping[str, int],
    evidence: Mapping[str, Sequence[str]],
    started: float,
    seed: str,
    command: Sequence[str],
    arguments: Mapping[str, Any],
    areas: Sequence[str] = (),
) -> dict[str, Any]:
    """Put a report together; what it says of drivers and environment is the first run's, and each run has its own."""
    found = {outcome.id: outcome for outcome in outcomes}
    verdict = judge(manifest, selected, {spec_id: outcome.status for spec_id, outcome in found.items()}, areas)
    known = next(iter(runs.values())).facts
    place = {number: index for index, number in enumerate(runs)}
    entries = []
    for one in manifest:
        if one.id not in selected:
            continue
        outcome = found.get(one.id) or Outcome(one.id, Status.ERROR, "it was selected, and nothing was heard of it")
        number = run_of.get(one.id, next(iter(runs)))
        entries.append(
            {
                **asdict(one),
                **outcome.plain(),
                "run": place[number],
                "started": round(max(0.0, outcome.started - runs[number].clock), 4),
                "evidence": list(evidence.get(one.id, ())),
                "repeat": repeat_line(one, known["drivers"], seed, arguments),
            }
        )
    return {
        "format": FORMAT,
        **known,
        "command": list(command),
        "arguments": dict(arguments),
        "started": _moment(started),
        "seconds": round(time.time() - started, 2),
        "seed": seed,
        "manifest": {
            "hash": specs.manifest_hash(manifest),
            "levels": {level: [one.id for one in manifest if one.level == level] for level in specs.LEVELS},
            "areas": specs.by_area(manifest),
        },
        "runs": [run.plain() for run in runs.values()],
        "areas": list(areas),
        "selected": list(selected),
        "specs": entries,
        "heard_of": sorted(found),
        "trouble": list(trouble),
        "verdict": plain_verdict(verdict, trouble),
    }


def plain_verdict(verdict: Verdict, trouble: Sequence[str]) -> dict[str, Any]:
    """Return a verdict as JSON carries it; trouble of the suite's own makes it ``error``."""
    return {
        "word": "error" if trouble else verdict.word,
        "areas": list(verdict.areas),
        "levels": [asdict(level) for level in verdict.levels],
        "counts": dict(verdict.counts),
        "missing": list(verdict.missing),
        "unexpected": list(verdict.unexpected),
    }


def repeat_line(one: Spec, drivers: Mapping[str, Mapping[str, Any]], seed: str, arguments: Mapping[str, Any]) -> str:
    """Return the command that runs one spec again, with its sandbox kept if it fails.

    ``arguments`` are those of the run's command line that say where and whence; empty: it had none of ours.
    """
    named = {area: arguments.get(area) for area in interfaces.ALL[one.area].uses}
    named = {**named, one.area: drivers[one.area]["class"]}
    which = [word for area, name in named.items() if name for word in (interfaces.ALL[area].option, name)]
    where = environments.words_for(arguments) if arguments else []
    wheel = ["--wheel", arguments["wheel"]] if arguments.get("wheel") else []
    words = ["run", *where, *wheel, "--only", one.id, *which, "--seed", seed, "--keep"]
    return shlex.join(["refnet-conformance", *words])


def write(report: Mapping[str, Any], directory: Path) -> Path:
    """Write the report's files into a directory, each replaced at once, and return the path of ``report.json``."""
    directory.mkdir(parents=True, exist_ok=True)
    texts = {
        "badge.svg": badge.for_report(report),
        "junit.xml": junit.render(report),
        "report.html": html.render(report, directory),
        "report.json": json.dumps(report, indent=1) + "\n",
    }
    for name, text in texts.items():
        # report.json last, since it says that all is there.
        replace(directory / name, text)
    return directory / "report.json"


def replace(path: Path, text: str) -> None:
    """Write a file beside its place, so that the replacement is one rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    temporary.replace(path)


def _moment(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).isoformat(timespec="seconds")
