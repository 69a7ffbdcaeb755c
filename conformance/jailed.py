"""Each spec in a process and a vnet jail of its own: how FreeBSD gives a spec a network stack.

A process enters a jail whole and for good. So a worker makes the jail and forks; the child enters it, runs the spec and
writes its reports to a pipe. jail_attach(2) is called through ctypes; where Python lacks that, jexec(8) starts
another pytest for the spec, which takes some seconds more each.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any, NoReturn

import pytest
from _pytest.runner import runtestprotocol

from conformance import interfaces, runner
from conformance import spec as specs
from conformance.errors import SuiteError
from conformance.freebsd_shell import environment
from conformance.outcome import Outcome
from conformance.topology.freebsd import jails
from conformance.topology.freebsd.sandbox import JAIL
from conformance.verdict import Status

#: Seconds on top of a spec's own limit for its process to begin and to end.
_GRACE = 90.0


class Jails:
    """The part of the plugin that puts specs into jails, in each process that hands them out."""

    def __init__(self, config: pytest.Config) -> None:
        """Know what the child is to be told."""
        self.config = config

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Get ready: everything is imported by now, and children know what has been found out."""
        for one in filter(None, map(runner.spec_of, session.items)):
            runner.needs_switch(one)
        _prepare_forks()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        """Run a spec in a jail; what is about another system needs none."""
        judging: runner.Runner = self.config.pluginmanager.getplugin("conformance-runner")
        if runner.spec_of(item) is None or judging.elsewhere(item):
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in self._run(item):
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def _run(self, item: pytest.Item) -> list[pytest.TestReport]:
        started = time.time()
        # The limit of pytest-timeout is for the child, and this process has one of its own.
        signal.setitimer(signal.ITIMER_REAL, 0)
        name = jails.new_name()
        reports: list[pytest.TestReport] = []
        try:
            try:
                said, status = self._in_jail(item, name, jails.make(name))
            finally:
                jails.remove(name)
        except SuiteError as error:
            return [_lost(item, started, str(error))]
        words = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        # What comes behind the last whole line is that of a child that had no time left.
        for line in said[: said.rfind(b"\n") + 1].splitlines():
            data = json.loads(line)
            if "lost" in data:
                words = data["lost"]
            else:
                reports.append(self._report(item, data))
        if not reports or reports[-1].when != "teardown":
            reports.append(_lost(item, started, f"the process that ran it in a jail {words}"))
        return reports

    def _in_jail(self, item: pytest.Item, jail: str, number: int) -> tuple[bytes, int]:
        """Have a child run the spec, and return what it has told and its exit status."""
        keeps = self.config.option.conformance_keep
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            _be_child(item, jail, number, writing)
        os.close(writing)
        # Ctrl-C reaches the child as well: it is how one lets go of a kept sandbox.
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if keeps else None
        try:
            said = _read(reading, None if keeps else specs.TIME_LIMIT + _GRACE)
        finally:
            if handler is not None:
                signal.signal(signal.SIGINT, handler)
            os.close(reading)
            status = _end(child)
        return said, status

    def _report(self, item: pytest.Item, data: dict[str, Any]) -> pytest.TestReport:
        """Return a phase's report as the child has written it."""
        # Another pytest may call the spec by another path.
        data |= {"nodeid": item.nodeid, "location": item.location}
        report = self.config.hook.pytest_report_from_serializable(config=self.config, data=data)
        assert isinstance(report, pytest.TestReport)
        return report


class Teller:
    """The part of the plugin that writes reports for the worker, in a pytest that was started in a jail for a spec."""

    def __init__(self, config: pytest.Config, descriptor: int) -> None:
        """Take over the descriptor."""
        self.config = config
        self.descriptor = descriptor
        # Programs that specs start must not hold it: its end is the end of the spec.
        os.set_inheritable(descriptor, False)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write a phase's report."""
        _write(self.config, self.descriptor, [report])


def _be_child(item: pytest.Item, jail: str, number: int, writing: int) -> NoReturn:
    """Enter the jail, run the spec, write its reports, and end."""
    status = 1
    try:
        os.environ[JAIL] = jail
        if not _attach(number):
            _start_another(item, jail, writing)
        # A timer is not inherited, what it calls is: pytest-timeout's, which ends the phase that takes too long.
        signal.setitimer(signal.ITIMER_REAL, specs.TIME_LIMIT)
        _write(item.config, writing, runtestprotocol(item, log=False, nextitem=None))
        status = 0
    except BaseException as error:
        os.write(writing, json.dumps({"lost": f"broke: {type(error).__name__}: {error}"}).encode() + b"\n")
    finally:
        os._exit(status)


def _prepare_forks() -> None:
    """Import what each child would import for itself, and leave what is there out of garbage collections for good.

    A collection writes to every object, and so makes each child copy all of its parent's memory.
    """
    with contextlib.suppress(ImportError):
        import ctypes  # noqa: F401
    gc.collect()
    gc.freeze()


def _attach(number: int) -> bool:
    """Enter the jail of this number; False: this Python cannot make the system call.

    Raises:
        SuiteError: the kernel refused.
    """
    try:
        import ctypes

        attach = ctypes.CDLL(None, use_errno=True).jail_attach
    except (ImportError, OSError, AttributeError):  # no ctypes, no loader in a static Python, no such function
        return False
    if attach(number) != 0:
        raise SuiteError(f"the jail {number} cannot be entered: {os.strerror(ctypes.get_errno())}")
    return True


def _start_another(item: pytest.Item, jail: str, writing: int) -> NoReturn:
    """Become a pytest in the jail, for this spec alone."""
    option = item.config.option
    os.set_inheritable(writing, True)
    name = item.nodeid.rpartition("::")[2]
    given = {
        **{interfaces.ALL[area].option: named for area, named in runner.chosen(item.config).items()},
        "--conformance-area": _one(item).area,
        "--conformance-seed": option.conformance_seed,
        "--conformance-mutants": runner.mutant_of(item),
        "--conformance-shell": option.conformance_shell,
        "--conformance-jailed": writing,
    }
    words = [f"{key}={value}" for key, value in given.items() if value not in (None, "")]
    words += ["--conformance-evidence"] if option.conformance_evidence else []
    words += ["--conformance-keep"] if option.conformance_keep else []
    argv = [
        *("jexec", jail, sys.executable, "-m", "pytest", f"{item.path}::{name}"),
        *("--rootdir", "/", "--config-file", os.devnull, "--noconftest", "-p", "no:cacheprovider", "-p", "no:terminal"),
        *("-p", "pytest_timeout", "-p", "conformance.plugin", *words),
    ]
    surroundings = {**environment(), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", JAIL: jail}
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        surroundings.pop(name, None)
    # What it prints is not this worker's to capture.
    capturing = item.config.pluginmanager.getplugin("capturemanager")
    if capturing:
        capturing.suspend_global_capture(in_=True)
    os.execvpe(argv[0], argv, surroundings)  # noqa: S606 - no shell is what is wanted


def _write(config: pytest.Config, descriptor: int, reports: Sequence[pytest.TestReport]) -> None:
    for report in reports:
        data: Any = config.hook.pytest_report_to_serializable(config=config, report=report)
        rest = memoryview(json.dumps(data, default=str).encode() + b"\n")
        while rest:
            rest = rest[os.write(descriptor, rest) :]


def _read(descriptor: int, limit: float | None) -> bytes:
    """Read all that the child writes, as long as it may take; whoever else holds its end is not waited for."""
    deadline = None if limit is None else time.monotonic() + limit
    parts: list[bytes] = []
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not select.select([descriptor], [], [], left)[0]:
            return b"".join(parts)
        part = os.read(descriptor, 1 << 16)
        parts.append(part)
        if not part or (part.endswith(b"\n") and b'"when": "teardown"' in b"".join(parts).splitlines()[-1]):
            return b"".join(parts)


def _end(child: int) -> int:
    """Wait for a child that has closed its pipe, or has no time left, and return its exit status."""
    deadline = time.monotonic() + 5.0
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _lost(item: pytest.Item, started: float, words: str) -> pytest.TestReport:
    """Return the report of a spec that nobody has judged."""
    outcome = Outcome(
        _one(item).id,
        Status.ERROR,
        words,
        started=started,
        seconds=time.time() - started,
        mutant=runner.mutant_of(item),
    )
    return pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords={},
        outcome="failed",
        longrepr=words,
        when="teardown",
        user_properties=[(runner.PROPERTY, outcome.plain())],
        start=started,
        stop=time.time(),
    )


def _one(item: pytest.Item) -> specs.Spec:
    one = runner.spec_of(item)
    assert one is not None
    return one
