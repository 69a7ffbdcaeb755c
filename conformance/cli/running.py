"""The commands that run specs: ``run``, also where one was broken off, and ``mutants``."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance import bundle, digest, environments, interfaces, journal, launcher, mutants
from conformance import spec as specs
from conformance.cli.output import complain, say
from conformance.collector import INTERRUPTED
from conformance.environments.base import DEFAULT_KERNEL, Environment, Options
from conformance.judge import Judge, Plan
from conformance.progress import Progress
from conformance.verdict import ExitStatus


@dataclass(frozen=True, slots=True)
class _Drivers:
    """By area the class under test, and what came with all of them when they were imported."""

    classes: Mapping[str, type]
    imported: frozenset[str]

    @property
    def paths(self) -> dict[str, str]:
        """How the classes are named where the specs run."""
        return {area: f"{one.__module__}:{one.__qualname__}" for area, one in self.classes.items()}

    @property
    def modules(self) -> list[str]:
        """The modules that they are in."""
        return [one.__module__ for one in self.classes.values()]

    @property
    def digests(self) -> dict[str, str]:
        """What tells this code from another state of it: the drivers', the suite's, and refnet's, which all use."""
        modules = {
            **{area: one.__module__ for area, one in self.classes.items()},
            "suite": "conformance",
            "refnet": "refnet",
        }
        return {what: digest.of_package(module) for what, module in modules.items()}


def run(arguments: argparse.Namespace) -> int:
    """Run specs against a driver."""
    if arguments.resume:
        return _resume(arguments)
    if arguments.only_failed:
        _take_failed(arguments)
    only = _ids(arguments.only)
    if arguments.only and not only:
        raise ValueError(f"--only {arguments.only!r} names no spec")
    selected = specs.select(specs.manifest(), only=only, level=arguments.level, areas=areas(arguments))
    chosen = environments.choose(arguments.env, options(arguments))
    plan = _plan(arguments, tuple(one.id for one in selected))
    with _drivers(arguments, chosen, plan) as drivers:
        return _launch(arguments, chosen, plan, drivers, _directory(arguments.report))


def run_mutants(arguments: argparse.Namespace) -> int:
    """Run specs against wrong drivers."""
    known = mutants.all_mutants()
    wanted = _ids(arguments.only)
    if arguments.only and not wanted:
        raise ValueError(f"--only {arguments.only!r} names no mutant")
    unknown = sorted(set(wanted) - {one.name for one in known})
    if unknown:
        raise ValueError(f"no such mutant: {', '.join(unknown)} ('refnet-conformance mutants --list' lists them)")
    asked = areas(arguments) or tuple(interfaces.ALL)
    other = [one.name for one in known if one.name in wanted and one.area not in asked]
    if other:
        raise ValueError(f"{', '.join(other)}: of another area than {' and '.join(asked)}")
    known = tuple(one for one in known if one.area in asked and (not wanted or one.name in wanted))
    if arguments.list:
        entries = [{"name": one.name, "area": one.area, "wrong": one.wrong, "kills": dict(one.kills)} for one in known]
        if arguments.json:
            print(json.dumps(entries, indent=1))
        else:
            for one in known:
                print(f"{one.name:<34} {one.wrong}\n{'':<34} caught by {' '.join(sorted(one.kills))}")
        return int(ExitStatus.CONFORMANT)
    of = interfaces.ordered(one.area for one in known) if wanted else asked
    selected = tuple(one.id for one in specs.select(specs.manifest(), areas=of))
    chosen = environments.choose(arguments.env, options(arguments))
    plan = _plan(arguments, selected, mutants=",".join(wanted) or "all")
    with _drivers(arguments, chosen, plan) as drivers:
        return _launch(arguments, chosen, plan, drivers, _directory(arguments.report))


def areas(arguments: argparse.Namespace) -> tuple[str, ...]:
    """Return the areas that were asked for; empty: all.

    Raises:
        ValueError: one of them is none, or none is named.
    """
    named = [area for text in arguments.areas for area in _ids(text)]
    if arguments.areas and not named:
        raise ValueError(f"--area {arguments.areas[0]!r} names no area: expected one of {', '.join(interfaces.ALL)}")
    return interfaces.ordered(named)


def options(arguments: argparse.Namespace) -> Options:
    """Return what was said about environments.

    Raises:
        ValueError: an option is empty.
    """
    for name in ("ssh_key", "disk"):
        if getattr(arguments, name) == "":
            raise ValueError(f"--{name.replace('_', '-')} is empty: name a file, or leave it out")
    return Options(
        destination=getattr(arguments, "env", ""),
        docker_hosts=tuple(arguments.docker_hosts),
        privileged=arguments.privileged,
        ssh_key=Path(arguments.ssh_key).expanduser() if arguments.ssh_key else None,
        ssh_user=arguments.ssh_user,
        disk=Path(arguments.disk).expanduser() if arguments.disk else None,
        kernel=arguments.kernel,
        memory=arguments.memory,
        say=say,
    )


# -- a run ------------------------------------------------------------------------------------------------


def _launch(
    arguments: argparse.Namespace,
    chosen: Sequence[Environment],
    plan: Plan,
    drivers: _Drivers,
    directory: Path | None,
    earlier: Sequence[dict[str, Any]] = (),
) -> int:
    judge = Judge(plan, directory=directory)
    left, first = _replay(judge, earlier)
    if not arguments.json:
        told = 0 if left is None else plan.total - len(left)
        judge.progress = Progress(plan.total, {one.id: one for one in judge.specs}, told=told)
    with contextlib.ExitStack() as stack:
        kept = None
        if directory and not plan.mutants:
            kept = journal.Journal(directory)
            stack.callback(kept.close)
            if not earlier:
                kept.write(_header(plan, drivers), 0)
        if left is None or left:
            for number, environment in enumerate(chosen, first):
                environment.log_to = judge.log_of(number)
            digests = drivers.digests
            settings = launcher.Settings(
                drivers.paths,
                arguments.workers,
                directory is not None,
                arguments.patience,
                {what: digests[what] for what in (*plan.judged, "suite", "refnet")},
            )
            try:
                launcher.launch(
                    chosen,
                    plan,
                    settings,
                    judge,
                    bundle=_bundle(chosen, drivers),
                    journal=kept,
                    specs=left or plan.selected,
                    first=first,
                )
            except OSError as error:
                judge.trouble.append(f"the report cannot be kept: {error}")
    if not judge.runs:
        other = [words for words in judge.trouble if words != INTERRUPTED]
        return complain("; ".join(other), ExitStatus.SUITE_FAILED) if other else int(ExitStatus.INTERRUPTED)
    status = judge.finish()
    if arguments.json:
        print(json.dumps(_result(judge), indent=1))
    if (
        directory
        and not plan.mutants
        and not plan.keep
        and {o.id for o in judge.outcomes.values()} < set(plan.selected)
    ):
        say(f"go on with: refnet-conformance run --resume {directory}")
    return int(status)


def _bundle(chosen: Sequence[Environment], drivers: _Drivers) -> bundle.Bundle | None:
    if not any(environment.is_apart for environment in chosen):
        return None
    return bundle.collect(drivers.modules, drivers.imported)


def _result(judge: Judge) -> dict[str, Any]:
    return judge.kill_matrix().plain(judge.trouble) if judge.plan.mutants else judge.document()


def _plan(arguments: argparse.Namespace, selected: tuple[str, ...], **more: Any) -> Plan:
    return Plan(
        selected=selected,
        areas=areas(arguments),
        seed=arguments.seed,
        keep=arguments.keep,
        command=arguments.command_line,
        arguments={name: getattr(arguments, name) for name in _SAVED},
        **more,
    )


@contextlib.contextmanager
def _drivers(arguments: argparse.Namespace, chosen: Sequence[Environment], plan: Plan) -> Iterator[_Drivers]:
    """Import the classes under test, from a wheel if one is given; where nobody names one, that of the system there."""
    if arguments.wheel == "":
        raise ValueError("--wheel is empty: name a file, or leave it out")
    for area, one in interfaces.ALL.items():
        if getattr(arguments, area) == "":
            raise ValueError(f"{one.option} is empty: name a driver, or leave it out for the platform's")
    with contextlib.ExitStack() as stack:
        if arguments.wheel:
            unpacked = stack.enter_context(tempfile.TemporaryDirectory(prefix="refnet-conformance-wheel-"))
            bundle.unpack_wheel(Path(arguments.wheel), Path(unpacked))
            sys.path.insert(0, unpacked)
            stack.callback(sys.path.remove, unpacked)
        before = _top_level()
        classes = {}
        for area in interfaces.with_used(plan.judged):
            one = interfaces.ALL[area]
            named = getattr(arguments, area) or os.environ.get(one.variable) or chosen[0].drivers.get(area)
            classes[area] = one.load(named)
        if arguments.wheel and not any(_is_from(loaded, Path(unpacked)) for loaded in classes.values()):
            found = " and ".join(f"{one.__module__}:{one.__qualname__}" for one in classes.values())
            options = " or ".join(interfaces.ALL[area].option for area in plan.judged)
            raise ValueError(
                f"--wheel {arguments.wheel}: the driver {found} is not from it: name one that is with {options}"
            )
        yield _Drivers(classes, _top_level() - before)


def _is_from(loaded: type, directory: Path) -> bool:
    origin = getattr(sys.modules[loaded.__module__], "__file__", None) or "/"
    return Path(origin).resolve().is_relative_to(directory.resolve())


def _top_level() -> frozenset[str]:
    return frozenset(name for name in sys.modules if "." not in name)


#: What a report's directory has, beside evidence and logs.
_FILES = ("report.json", "report.html", "junit.xml", "badge.svg", "mutants.json", journal.NAME)


def _directory(option: str | None) -> Path | None:
    """See, before anything is run, that a report can be written, and take an earlier one away.

    Raises:
        ValueError: it cannot.
    """
    if not option:
        return None
    directory = Path(option).absolute()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        is_ours = any((directory / name).exists() for name in _FILES)
        if not is_ours and (directory / "evidence").exists():
            raise ValueError(f"{directory} has a folder 'evidence' and no report: name another directory with --report")
        for path in [*(directory / name for name in _FILES), *(directory.glob("console-*.log") if is_ours else ())]:
            path.unlink(missing_ok=True)
        shutil.rmtree(directory / "evidence", ignore_errors=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise ValueError(f"a report cannot be written to {directory}: {error.strerror}") from None
    return directory


# -- again ------------------------------------------------------------------------------------------------

#: What of the command line belongs to a run that is gone on with or repeated, with its defaults.
_SAVED: dict[str, Any] = {
    "env": "local",
    "docker_hosts": [],
    "privileged": False,
    "disk": None,
    "ssh_key": None,
    "ssh_user": "",
    "kernel": DEFAULT_KERNEL,
    "memory": None,
    "wheel": None,
    **dict.fromkeys(interfaces.ALL),
    "areas": [],
    "seed": "0",
}


def _header(plan: Plan, drivers: _Drivers) -> dict[str, Any]:
    return {
        "event": "plan",
        "manifest": specs.manifest_hash(specs.manifest()),
        "digests": drivers.digests,
        "selected": list(plan.selected),
        "command": list(plan.command),
        "arguments": dict(plan.arguments),
    }


def _resume(arguments: argparse.Namespace) -> int:
    """Go on where a run was broken off: what was heard stands, if the code is still the same."""
    given = [name for name, default in {**_SAVED, "level": "full"}.items() if getattr(arguments, name) != default]
    if arguments.only or arguments.only_failed or arguments.report or arguments.keep or given:
        raise ValueError(
            "--resume goes on with a run as it was begun: it cannot be combined with what says where or what"
        )
    directory = Path(arguments.resume).absolute()
    entries = list(journal.read(directory))
    try:
        header = entries[0]
        selected = tuple(one.id for one in specs.select(specs.manifest(), only=header["selected"]))
        for name in _SAVED:
            setattr(arguments, name, header["arguments"][name])
        arguments.command_line = tuple(map(str, header["command"]))
        known = dict(header["digests"])
        chosen = environments.choose(arguments.env, options(arguments))
        if header["event"] != "plan" or not header["selected"]:
            raise KeyError("selected")
    except (IndexError, KeyError, TypeError, AttributeError):
        raise ValueError(f"the journal in {directory} does not say what was to be run: run anew") from None
    plan = _plan(arguments, selected)
    with _drivers(arguments, chosen, plan) as drivers:
        if header["manifest"] != specs.manifest_hash(specs.manifest()):
            raise ValueError("the specs are not those that the run was begun with: run anew")
        changed = [what for what, now in drivers.digests.items() if known.get(what) != now]
        if changed:
            name = interfaces.words_for(changed[0])
            raise ValueError(f"the code of the {name} has changed since the run was begun: run anew")
        return _launch(arguments, chosen, plan, drivers, directory, entries[1:])


def _replay(judge: Judge, earlier: Sequence[dict[str, Any]]) -> tuple[list[str] | None, int]:
    """Tell the judge what was heard before, and return which specs are left, and the number for the next run.

    What ended as an error is judged again. So is all of a run that had other trouble than to be broken off.
    """
    if not earlier:
        return None, 0
    doubtful = {
        entry["run"]
        for entry in earlier
        if entry["event"] == "trouble" and not launcher.is_breaking_off(entry["words"])
    }
    for entry in earlier:
        told = entry["event"] == "facts" or (entry["event"] == "outcome" and entry["status"] != "error")
        if told and entry["run"] not in doubtful:
            judge.take({key: value for key, value in entry.items() if key != "run"}, entry["run"])
    heard = {outcome.id for outcome in judge.outcomes.values()}
    left = [spec_id for spec_id in judge.plan.selected if spec_id not in heard]
    return left, 1 + max((entry["run"] for entry in earlier), default=-1)


def _take_failed(arguments: argparse.Namespace) -> None:
    """Select what failed in an earlier run, and take from it what the command line leaves open."""
    if arguments.only:
        raise ValueError("--only and --only-failed are two selections: give one of them")
    path = Path(arguments.only_failed, "report.json")
    try:
        report = json.loads(path.read_text())
        asked = areas(arguments)
        failed = [
            one["id"]
            for one in report["specs"]
            if one["status"] in ("failed", "error", "known-deviation") and (not asked or one["area"] in asked)
        ]
        for name, default in _SAVED.items():
            if getattr(arguments, name) == default:
                setattr(arguments, name, report["arguments"][name])
        arguments.only = ",".join(failed)
    except OSError as error:
        raise ValueError(f"--only-failed {arguments.only_failed}: {path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError(f"--only-failed {arguments.only_failed}: {path} is no report of a run") from None
    if not failed:
        raise ValueError(f"--only-failed {arguments.only_failed}: nothing failed there")


def _ids(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
