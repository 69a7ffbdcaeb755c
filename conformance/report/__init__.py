"""The report of a run: everything that the verdict rests on, so that anybody can compute it again.

``report.json`` is the report; ``junit.xml`` and ``report.html`` are made from it, by machines' and by people's taste.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import conformance
from conformance import features, runner
from conformance import spec as specs
from conformance.harness import within
from conformance.outcome import Outcome
from conformance.report import html, junit
from conformance.spec import Spec
from conformance.verdict import Status, Verdict, judge
from refnet import process
from refnet.errors import RefnetError
from refnet.netdev.driver import Capability

#: Raised when a reader of an older report would misread a newer one.
FORMAT = 1

#: Seconds for a driver to say what it can do.
_PROBE_LIMIT = 60.0
_TOOLS = {"ip": ("-V",), "bridge": ("-V",)}


def facts(netdev: str | None) -> dict[str, Any]:
    """Return what is known before the run: the driver, what it declares, what the environment has, and the tools."""
    driver_class = runner.load_driver(netdev)
    with within(_PROBE_LIMIT, "asking the driver for its capabilities"), driver_class() as driver:
        declared = {str(capability): driver.probe(capability) for capability in Capability}
    return {
        "suite": {"version": conformance.__version__},
        "driver": {
            "class": f"{driver_class.__module__}:{driver_class.__qualname__}",
            "version": _version_of(driver_class.__module__),
            "known_deviations": dict(getattr(driver_class, "known_deviations", {})),
        },
        # None: it is there; else the words of whoever says that it is not.
        "capabilities": {
            name: {"driver": words, "environment": features.lacking(name)} for name, words in declared.items()
        },
        "environment": {
            "name": "local",
            "system": platform.system(),
            "kernel": platform.release(),
            "machine": platform.machine(),
            "distribution": _distribution(),
            "python": platform.python_version(),
            "user": "root" if _is_real_root() else "an ordinary user, root in a user namespace",
            "tools": {name: _tool_version(name, arguments) for name, arguments in _TOOLS.items()},
        },
    }


def document(
    known: Mapping[str, Any],
    manifest: Sequence[Spec],
    selected: Sequence[str],
    outcomes: Iterable[Outcome],
    trouble: Sequence[str],
    *,
    started: float,
    seed: str,
) -> dict[str, Any]:
    """Put a report together."""
    found = {outcome.id: outcome for outcome in outcomes}
    verdict = judge(manifest, selected, {spec_id: outcome.status for spec_id, outcome in found.items()})
    entries = []
    for one in manifest:
        if one.id not in selected:
            continue
        outcome = found.get(one.id) or Outcome(one.id, Status.ERROR, "it was selected, and nothing was heard of it")
        entries.append(
            {**asdict(one), **outcome.plain(), "repeat": repeat_line(one.id, known["driver"]["class"], seed)}
        )
    return {
        "format": FORMAT,
        **known,
        "started": datetime.datetime.fromtimestamp(started, datetime.timezone.utc).isoformat(timespec="seconds"),
        "seconds": round(datetime.datetime.now().timestamp() - started, 2),
        "seed": seed,
        "manifest": {
            "hash": specs.manifest_hash(manifest),
            "levels": {level: [one.id for one in manifest if one.level == level] for level in specs.LEVELS},
        },
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
        "levels": [asdict(level) for level in verdict.levels],
        "counts": dict(verdict.counts),
        "missing": list(verdict.missing),
        "unexpected": list(verdict.unexpected),
    }


def repeat_line(spec_id: str, driver: str, seed: str) -> str:
    """Return the command that runs one spec again, with its sandbox kept if it fails."""
    return shlex.join(["refnet-conformance", "run", "--only", spec_id, "--netdev", driver, "--seed", seed, "--keep"])


def write(report: Mapping[str, Any], directory: Path) -> Path:
    """Write the report's files into a directory, each replaced at once, and return the path of ``report.json``."""
    directory.mkdir(parents=True, exist_ok=True)
    texts = {
        "junit.xml": junit.render(report),
        "report.html": html.render(report),
        "report.json": json.dumps(report, indent=1) + "\n",
    }
    for name, text in texts.items():
        # Beside its place, so that the replacement is one rename; report.json last, since it says that all is there.
        temporary = directory / f".{name}.{os.getpid()}"
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
        temporary.replace(directory / name)
    return directory / "report.json"


def _version_of(module: str) -> str:
    package = module.partition(".")[0]
    distributions = packages_distributions().get(package)
    if distributions:
        return version(distributions[0])
    # An editable checkout is installed without a list of its packages.
    return str(getattr(sys.modules.get(package), "__version__", "unknown"))


def _tool_version(name: str, arguments: Sequence[str]) -> str:
    if shutil.which(name) is None:
        return "not installed"
    try:
        done = process.run([name, *arguments], time_limit=10)
    except RefnetError as error:
        return error.message
    return (done.stdout or done.stderr).strip()


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return sys.platform


def _is_real_root() -> bool:
    """Whether root here is root outside."""
    try:
        return Path("/proc/self/uid_map").read_text().split()[:3] == ["0", "0", "4294967295"]
    except OSError:
        return os.geteuid() == 0
