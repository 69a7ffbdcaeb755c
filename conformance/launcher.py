"""Runs the suite in environments: starts the agent there, brings what it needs, listens, and knows when to give up.

Everything that is the same for all environments is here. What they differ in is behind
:class:`conformance.environments.base.Environment`.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conformance import interfaces
from conformance.bundle import Bundle
from conformance.collector import INTERRUPTED
from conformance.environments import agent
from conformance.environments.base import STDOUT, Channel, Environment
from conformance.errors import EnvironmentUnavailable
from conformance.journal import Journal
from conformance.judge import Judge, Plan
from conformance.report.junit import visible
from conformance.spec import TIME_LIMIT

#: Reads a program of known length from the input and becomes it; the rest of the input is that program's.
BOOTSTRAP = "import sys; exec(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())))"
#: Finds a Python. On one line and without a "!", since it goes through login shells of any kind. Some ssh servers give
#: a PATH without /usr/local, where FreeBSD has what is not of its base, and without the system's own programs.
_FIND_PYTHON = (
    'PATH="${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin"; export PATH; '
    'for p in python3 python3.14 python3.13 python3.12 python3.11 python3.10 python; do if "$p" -c '
    '"import sys; sys.exit(sys.version_info < (3, 10))" >/dev/null 2>&1; then exec "$p" -u -c "$0"; fi; done; '
    "echo no Python of 3.10 or later is on PATH >&2; exit 3"
)
#: Seconds for a run to write its last events after Ctrl-C.
_GRACE = 20.0
#: Seconds between two looks at whether somebody has gone silent.
_LOOK = 0.5
#: Bytes in one event, evidence included: more is no suite's.
_LONGEST = 64 << 20
_TAIL = 20
_LOST = "was lost while specs were running"


@dataclass(frozen=True, slots=True)
class Settings:
    """How the specs are run, the same in each environment."""

    #: By area: the class under test, and those that its specs use besides.
    drivers: Mapping[str, str]
    #: None: one a processor of the environment.
    workers: int | None = None
    with_evidence: bool = False
    #: Seconds without a sign of life after which an environment counts as hung.
    patience: float = 120.0
    #: Digests of the packages that judge (``suite``) and are judged, by area; what is run has to have the same.
    digests: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Run:
    """One environment at work, and what has been heard from it."""

    number: int
    environment: Environment
    share: Sequence[str]
    channel: Channel
    started: float
    heard: float
    #: When it last told of more than being alive.
    told: float
    status: int | None = None
    refused: str = ""
    has_facts: bool = False
    is_open: bool = True
    gave_up: str = ""
    said: deque[str] = field(default_factory=lambda: deque(maxlen=_TAIL))
    sending: queue.Queue[bytes] = field(default_factory=queue.Queue)

    @property
    def tail(self) -> str:
        return "\n".join(self.said)


_Heard = tuple[_Run, int | None, bytes]


def launch(
    environments: Sequence[Environment],
    plan: Plan,
    settings: Settings,
    judge: Judge,
    *,
    bundle: Bundle | None = None,
    journal: Journal | None = None,
    specs: Sequence[str] = (),
    first: int = 0,
) -> None:
    """Run the plan's specs, or those of them that are given, spread over the environments, and tell the judge.

    Runs are numbered from ``first``. Whatever breaks once the specs are running is trouble, which the judge knows.

    Raises:
        EnvironmentUnavailable: one of the environments could not be had, or the suite could not be started there.
    """
    shares = _shares(specs or plan.selected, len(environments))
    archive = bundle.archive() if bundle else b""
    heard: queue.Queue[_Heard] = queue.Queue()
    runs: list[_Run] = []
    interrupted: float | None = None
    with contextlib.ExitStack() as stack:
        # All of them first: a run that lacks one of its engines shall not have begun on the others.
        ready = [stack.enter_context(environment) for environment in environments]
        for number, (environment, share) in enumerate(zip(ready, shares, strict=False), first):
            run = _start(number, environment, plan, settings, share, archive)
            stack.callback(run.channel.close)
            threading.Thread(target=_listen, args=(run, heard), daemon=True).start()
            runs.append(run)
        while any(run.is_open for run in runs):
            try:
                with contextlib.suppress(queue.Empty):
                    _hear(*heard.get(timeout=_LOOK), judge, journal, settings)
                for run in runs:
                    if not run.is_open and not run.has_facts and interrupted is None:
                        raise EnvironmentUnavailable(_why_not(run, bundle))
                now = time.monotonic()
                if interrupted is not None and now - interrupted > _GRACE:
                    break
                _lose_patience(runs, plan, settings.patience, now)
            except KeyboardInterrupt:
                if interrupted is not None:
                    break
                interrupted = time.monotonic()
                for run in runs:
                    run.sending.put(b"i")
        if plan.keep and all(run.status is not None for run in runs):
            interrupted = None  # it was how a person lets go of a sandbox that was kept
        for run in runs:
            judge.ended(run.number, time.monotonic() - run.started)
            for words in _objections(run, judge, interrupted is not None):
                _tell_trouble(words, run, judge, journal)
        if interrupted is not None and INTERRUPTED not in judge.trouble:
            judge.trouble.append(INTERRUPTED)


def _shares(specs: Sequence[str], count: int) -> list[Sequence[str]]:
    """Spread specs over environments; neighbours, which take alike, go to different ones."""
    return [share for share in (specs[index::count] for index in range(count)) if share]


def _start(
    number: int, environment: Environment, plan: Plan, settings: Settings, specs: Sequence[str], archive: bytes
) -> _Run:
    find = ["sh", "-c", _FIND_PYTHON, BOOTSTRAP] if environment.is_apart else [sys.executable, "-u", "-c", BOOTSTRAP]
    channel = environment.start(find)
    now = time.monotonic()
    run = _Run(number, environment, specs, channel, now, now, now)
    program = Path(agent.__file__).read_bytes()
    header = {
        "command": _command(environment, plan, settings, specs),
        "environment": _variables(environment),
        "bundle": len(archive) if environment.is_apart else 0,
    }
    hello = b"%d\n%s%s\n%s" % (
        len(program),
        program,
        json.dumps(header).encode(),
        archive if environment.is_apart else b"",
    )
    # In a thread of its own: a program that has words to say before it has read all must not wait for us.
    run.sending.put(hello)
    threading.Thread(target=_send, args=(run,), daemon=True).start()
    return run


def _send(run: _Run) -> None:
    """Send what is to be sent, one after the other; whoever is not there any more is noticed by its silence."""
    with contextlib.suppress(OSError, ValueError):
        while True:
            run.channel.send(run.sending.get())


def _command(environment: Environment, plan: Plan, settings: Settings, specs: Sequence[str]) -> list[str | None]:
    """Return the command that the agent runs: pytest with the plugin, in throw-away namespaces."""
    workers = "auto" if settings.workers is None else str(settings.workers)
    # By name: other people's plugins are not asked, and where the suite is brought along it has no entry points.
    plugins = ("xdist.plugin", "pytest_timeout", "conformance.plugin")
    return [
        *(None, "-m", "conformance.environments.local"),
        *(None, "-m", "pytest", "--pyargs", "conformance.specs"),
        *("--rootdir", "/", "--config-file", os.devnull, "--noconftest"),
        *("-p", "no:cacheprovider", "-p", "no:terminal"),
        *(word for plugin in plugins for word in ("-p", plugin)),
        *("-n", "0" if plan.keep else workers, "--max-worker-restart", "0", "--maxfail", "1" if plan.keep else "0"),
        *(f"--conformance-only={','.join(specs)}", f"--conformance-seed={plan.seed}"),
        f"--conformance-area={','.join(plan.judged)}",
        *(f"{interfaces.ALL[area].option}={path}" for area, path in settings.drivers.items()),
        *("--conformance-journal", "{journal}"),
        *(["--conformance-evidence"] if settings.with_evidence else []),
        *(["--conformance-keep", "--conformance-shell", environment.shell()] if plan.keep else []),
        *(["--conformance-mutants", plan.mutants] if plan.mutants else []),
    ]


def _variables(environment: Environment) -> dict[str, str]:
    # Options for other people's tests (such as --setup-only) must not decide what is run here, nor must their plugins,
    # nor whatever lies in the current directory.
    common = {"PYTEST_ADDOPTS": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONSAFEPATH": "1"}
    if environment.is_apart:
        return {**common, "PYTEST_PLUGINS": ""}
    return {**common, "PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in sys.path)}


# -- listening --------------------------------------------------------------------------------------------


def _listen(run: _Run, heard: queue.Queue[_Heard]) -> None:
    """Pass on, from a thread of its own, what a channel gives: whole lines of its output, and pieces of its errors."""
    rest = bytearray()
    with contextlib.suppress(OSError, ValueError):
        for stream, data in run.channel.receive():
            if stream != STDOUT:
                heard.put((run, stream, data))
                continue
            *lines, last = data.split(b"\n")
            for line in lines:
                heard.put((run, stream, bytes(rest + line)))
                rest.clear()
            rest += last
            if len(rest) > _LONGEST:
                heard.put((run, STDOUT, b"a line without an end"))
                break
    heard.put((run, None, b""))


def _hear(
    run: _Run, stream: int | None, data: bytes, judge: Judge, journal: Journal | None, settings: Settings
) -> None:
    run.heard = time.monotonic()
    if stream is None:
        run.is_open = False
    elif stream != STDOUT or not (run.has_facts or data.startswith(b"{")):
        # Before the first event that is what a login shell prints.
        text = visible(data.decode(errors="replace").replace("\r\n", "\n"))
        run.said.extend(text.splitlines())
        if run.has_facts:
            print(text, end="", file=sys.stderr, flush=True)
    else:
        try:
            _take(run, _visible(json.loads(data)), judge, journal, settings)
        # Whatever it was, it is to end as trouble: the other end may be anybody's.
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            _tell_trouble(f"it sent what is no event: {visible(str(error))[:500]}", run, judge, journal)


def _visible(value: Any) -> Any:
    """Take from texts what a terminal would obey; evidence is in letters and digits anyway."""
    if isinstance(value, dict):
        return {key: inner if key == "evidence" else _visible(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_visible(inner) for inner in value]
    return visible(value) if isinstance(value, str) else value


def _take(run: _Run, event: Any, judge: Judge, journal: Journal | None, settings: Settings) -> None:
    kind = event.get("event") if isinstance(event, dict) else None
    if kind == "alive":
        return
    run.told = time.monotonic()
    if kind == "end":
        run.status = int(event["status"])
        return
    if kind == "refused":
        run.refused = str(event["words"])
        return
    if kind == "facts":
        # Inside it is always "local"; what it is called is known out here.
        event["environment"] = {
            **event["environment"],
            "name": run.environment.name,
            "details": dict(run.environment.details()),
        }
    judge.take(event, run.number)
    if journal:
        journal.write(event, run.number)
    if kind == "facts":
        run.has_facts = True
        sys.stderr.write("".join(f"{line}\n" for line in run.said))
        for what, digest in settings.digests.items():
            if {**event, **event["drivers"]}[what]["digest"] != digest:
                raise ValueError(
                    f"the {interfaces.words_for(what)} that runs there is not the one that was asked for here"
                )


def _lose_patience(runs: Sequence[_Run], plan: Plan, patience: float, now: float) -> None:
    for run in runs:
        if not run.is_open:
            continue
        if now - run.heard > patience:
            run.gave_up = f"no sign of life for {patience:g} s: taken for hung, and ended (--patience N waits longer)"
        elif not plan.keep and now - run.told > TIME_LIMIT + patience:
            run.gave_up = f"nothing was told for {now - run.told:.0f} s, and a spec may take {TIME_LIMIT} s: ended"
        else:
            continue
        run.channel.close()
        # What it has started may hold on to the channel: nobody waits for that.
        run.is_open = False


def is_breaking_off(words: str) -> bool:
    """Whether trouble only means that a run was broken off: what it told before stands."""
    return words == INTERRUPTED or _LOST in words.partition(":")[0]


# -- at the end -------------------------------------------------------------------------------------------


def _objections(run: _Run, judge: Judge, is_interrupted: bool) -> Iterator[str]:
    """Give what speaks against believing what a run has told."""
    name = run.environment.name
    if is_interrupted and (run.status is None or not run.has_facts):
        return
    if run.status is None:
        why = [run.gave_up, run.refused, run.environment.last_words(), run.tail]
        yield f"{name} {_LOST}: " + ("\n".join(filter(None, why)) or "nobody knows why")
    elif is_interrupted:
        return
    elif run.status not in (0, 1):
        yield f"{name}: the suite ended with status {run.status}: {run.tail or 'nobody knows why'}"
    elif not judge.plan.mutants and not judge.plan.keep and not judge.has_heard_of(run.share):
        yield f"{name}: the suite ended with status {run.status} before all of its specs had been heard of"
    elif not judge.plan.mutants and run.status != (1 if judge.failures(run.number) else 0):
        yield f"{name}: the suite ended with status {run.status}, which what it told does not bear out"


def _why_not(run: _Run, bundle: Bundle | None) -> str:
    if run.refused:
        left = ", ".join(bundle.left_behind) if bundle and run.environment.is_apart else ""
        hint = f" (compiled modules were not brought along: {left}; install them there)" if left else ""
        return f"{run.environment.name}: {run.refused}{hint}"
    said = run.tail
    why = [run.gave_up, said, run.environment.last_words(), run.environment.advice(said)]
    return f"{run.environment.name}: " + (
        "\n".join(filter(None, why)) or f"the suite could not be started there (exit status {run.status})"
    )


def _tell_trouble(words: str, run: _Run, judge: Judge, journal: Journal | None) -> None:
    event: Mapping[str, Any] = {"event": "trouble", "words": words}
    judge.take(event, run.number)
    if journal:
        journal.write(event, run.number)
