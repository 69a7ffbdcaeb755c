"""The pytest plugin: it runs specs as tests, each in a sandbox of its own, and judges.

It is loaded in every pytest of an environment that has the suite, and does nothing unless the specs are asked for
(``pytest --pyargs conformance.specs``). Then it first goes where that may be done (:mod:`.environments.local`): into
throw-away namespaces on Linux, and where it may make jails on FreeBSD.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import conformance.specs
from conformance import interfaces, system
from conformance import spec as specs
from conformance.environments import inside, local
from conformance.errors import EnvironmentUnavailable
from conformance.verdict import ExitStatus
from refnet.errors import RefnetError

_SPECS = Path(conformance.specs.__file__).resolve().parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the suite's options. All but those that name classes carry its name, so as not to be in others' way."""
    group = parser.getgroup("refnet conformance suite")
    for one in interfaces.ALL.values():
        words = f"{one.noun} under test: entry-point name or package.module:Class"
        group.addoption(one.option, metavar="DRIVER", help=words)
    group.addoption(
        "--conformance-area",
        action="extend",
        type=lambda text: text.split(","),
        default=[],
        metavar="AREA,…",
        help=f"run the specs of these areas: {', '.join(interfaces.ALL)}",
    )
    group.addoption("--conformance-level", default="full", choices=specs.LEVELS, help="run the specs up to this level")
    group.addoption("--conformance-only", default="", metavar="ID,…", help="run these specs")
    group.addoption("--conformance-report", metavar="DIR", help="write report.json, junit.xml and report.html there")
    group.addoption("--conformance-evidence", action="store_true", help="collect evidence of what did not pass")
    group.addoption("--conformance-seed", default="0", metavar="SEED", help="seed of MAC addresses and tokens")
    group.addoption("--conformance-keep", action="store_true", help="stop at the first failure with its sandbox alive")
    group.addoption(
        "--conformance-mutants", metavar="NAME,…", help="run the specs against wrong drivers ('all': every one)"
    )
    group.addoption(
        "--conformance-journal",
        type=int,
        metavar="FD",
        help="tell events to this descriptor, one line of JSON each, and leave the verdict to whoever reads them",
    )
    group.addoption(
        "--conformance-jailed",
        type=int,
        metavar="FD",
        help="run in the jail that this process is in, and tell pytest's reports to this descriptor",
    )
    group.addoption("--conformance-shell", default="", metavar="COMMAND", help="what opens a shell where this runs")


def asked_for_specs(config: pytest.Config) -> bool:
    """Whether this pytest was told to run the specs, by package name or by path."""
    if config.option.conformance_jailed is not None:
        return True
    for argument in config.args:
        place = argument.partition("::")[0]
        if config.option.pyargs and (place == "conformance.specs" or place.startswith("conformance.specs.")):
            return True
        if Path(place).is_absolute() or os.path.exists(place):
            path = Path(place).resolve()
            if path == _SPECS or _SPECS in path.parents:
                return True
    return False


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Start over where specs may be run, if this is about the specs and that has not happened yet."""
    if not asked_for_specs(config) or inside.INSIDE in os.environ or config.option.help or config.option.version:
        return None
    try:
        return local.run([sys.executable, "-m", "pytest", *map(str, config.invocation_params.args)])
    except EnvironmentUnavailable as unavailable:
        print(f"conformance: {unavailable}", file=sys.stderr)
        return int(ExitStatus.NO_ENVIRONMENT)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Bring in the parts: what runs specs, where they run, and what judges, where all outcomes come together."""
    if not asked_for_specs(config):
        return
    # Imported late: a pytest that is not about the specs shall not pay for them.
    from conformance.runner import Runner

    config.option.timeout = getattr(config.option, "timeout", None) or specs.TIME_LIMIT
    # By an alarm: a thread of pytest-timeout's would end the whole worker.
    config.option.timeout_method = "signal"
    config.option.conformance_evidence |= bool(config.option.conformance_report)
    if config.option.conformance_jailed is not None:
        from conformance.jailed import Teller

        config.pluginmanager.register(Runner(config), "conformance-runner")
        config.pluginmanager.register(Teller(config, config.option.conformance_jailed), "conformance-teller")
        return
    is_worker = hasattr(config, "workerinput")
    is_controller = not is_worker and bool(getattr(config.option, "numprocesses", None))
    try:
        if not is_controller:
            config.pluginmanager.register(Runner(config), "conformance-runner")
            _register_jails(config)
        if not is_worker:
            config.pluginmanager.register(_collector(config), "conformance-collector")
    except (RefnetError, ValueError, AssertionError) as error:
        if config.option.conformance_journal is not None and not is_worker:
            from conformance.collector import writer

            writer(config.option.conformance_journal)({"event": "refused", "words": str(error)})
        raise pytest.UsageError(str(error)) from None


def _register_jails(config: pytest.Config) -> None:
    """Put specs into jails, where that is the system's way to give them network stacks."""
    if system.NAME == system.FREEBSD:
        from conformance.jailed import Jails

        config.pluginmanager.register(Jails(config), "conformance-jails")


def _collector(config: pytest.Config) -> Any:
    """Return what collects outcomes: for the launcher that reads the journal, or for a judge of this process's own."""
    from conformance.collector import Collector, writer

    if config.option.conformance_journal is not None:
        return Collector(config, writer(config.option.conformance_journal))
    from conformance.judge import Judge, Plan

    only = tuple(filter(None, config.option.conformance_only.split(",")))
    areas = interfaces.ordered(config.option.conformance_area)
    selected = specs.select(specs.manifest(), only=only, level=config.option.conformance_level, areas=areas)
    directory = config.option.conformance_report
    # In the namespaces of Linux that the specs run in, these are other file systems, gone with them.
    if (
        system.NAME == system.LINUX
        and directory
        and Path(directory).absolute().parts[1:2] in (("run",), ("proc",), ("sys",))
    ):
        raise ValueError(f"a report cannot be written to {directory}: name a directory outside /run, /proc and /sys")
    judge = Judge(
        Plan(
            selected=tuple(one.id for one in selected),
            areas=areas,
            seed=config.option.conformance_seed,
            mutants=config.option.conformance_mutants or "",
            keep=config.option.conformance_keep,
            command=("pytest", *map(str, config.invocation_params.args)),
        ),
        directory=Path(directory).absolute() if directory else None,
    )

    def finish() -> int:
        status = judge.finish()
        if judge.trouble:
            print("\n".join(judge.trouble), file=sys.stderr)
        return int(status)

    return Collector(config, judge.take, finish)


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[object]:
    """The sandbox of this spec: a network stack of its own, with guests and taps on demand."""
    yield from _runner(request).sandbox(request)


def _fixture(area: str) -> object:
    """Return the fixture of an interface, called as its area is."""

    @pytest.fixture(name=area)
    def made(request: pytest.FixtureRequest, net: object) -> Iterator[object]:
        """What is under test (or, in a run of mutants, a wrong one)."""
        yield from _runner(request).under_test(area, request, net)

    return made


vars().update({f"_fixture_{area}": _fixture(area) for area in interfaces.ALL})


def _runner(request: pytest.FixtureRequest) -> Any:
    runner = request.config.pluginmanager.getplugin("conformance-runner")
    if runner is None:
        pytest.fail("this fixture is for specs: run them with 'pytest --pyargs conformance.specs'", pytrace=False)
    return runner
