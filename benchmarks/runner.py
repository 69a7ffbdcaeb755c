"""A contender's process, seen from the one that runs the benchmarks."""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import Any

from benchmarks.contenders import Contender
from benchmarks.measure import ROOT, Failed, environment_of, last_words

#: Seconds that deleting a plug may take: the kernel needs 0.02, and others may be deleting too.
_TIME_TO_DELETE = 0.5


@dataclass(frozen=True)
class Portion:
    """Plugs that were made one after the other."""

    #: Milliseconds a plug, on the whole.
    per_plug: float
    #: Milliseconds of each plug; empty where they were made in one go.
    each: list[float]

    @property
    def median_plug(self) -> float:
        """Milliseconds of the median plug; of plugs made in one go, their mean."""
        return statistics.median(self.each) if self.each else self.per_plug


class Child:
    """A process of :mod:`benchmarks.child` that does what it is asked, line by line."""

    def __init__(self, interpreter: str, *arguments: str) -> None:
        """Start the process, and wait until it has imported what it needs.

        Raises:
            Failed: it ended with an error.
        """
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - it is open as long as the process
        self._process: subprocess.Popen[str] = subprocess.Popen(
            [interpreter, "-m", "benchmarks.child", *arguments],
            cwd=ROOT,
            env=environment_of(interpreter),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        try:
            self._read()
        except Failed:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def ask(self, line: str) -> Any:
        """Have something done, and return the answer.

        Raises:
            Failed: the process ended with an error.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # reading says why
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
        return self._read()

    def close(self, time_limit: float = 30) -> None:
        """Have the process end, and wait for it for ``time_limit`` seconds before it is killed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=time_limit)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        self._process.wait()
        self._errors.seek(0)
        raise Failed(last_words(self._errors.read()) or f"exit status {self._process.returncode}")


class Runner:
    """A contender in a process of its own, that makes plugs when it is asked to.

    It has a fresh network namespace, or that of another one (``join``), where its plugs begin with number ``first``.
    """

    def __init__(
        self, contender: Contender, interpreter: str = sys.executable, *, join: Runner | None = None, first: int = 0
    ) -> None:
        """Start the process, and wait until it has imported what it needs.

        Raises:
            Failed: it ended with an error.
        """
        self.contender = contender
        self._plugs = 0
        where = ["--join", str(join._child.pid)] if join is not None else []
        self._child: Child = Child(interpreter, "plug", contender.module, "--first", str(first), *where)

    def plug(self, count: int) -> Portion:
        """Have the next plugs made.

        Raises:
            Failed: the process ended with an error, or a plug is not as it should be.
        """
        self._plugs += count
        found = self._child.ask(str(count))
        return Portion(found["total"] / found["count"] / 1e6, [ns / 1e6 for ns in found["each"]])

    def close(self) -> None:
        """Have the plugs deleted, and wait for it."""
        self._child.close(30 + self._plugs * _TIME_TO_DELETE)
