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
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - it is open as long as the process
        command = [interpreter, "-m", "benchmarks.child", "plug", contender.module, "--first", str(first)]
        if join is not None:
            command += ["--join", str(join._process.pid)]
        self._process: subprocess.Popen[str] = subprocess.Popen(
            command,
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

    def plug(self, count: int) -> Portion:
        """Have the next plugs made.

        Raises:
            Failed: the process ended with an error, or a plug is not as it should be.
        """
        self._plugs += count
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # reading says why
            self._process.stdin.write(f"{count}\n")
            self._process.stdin.flush()
        found = self._read()
        return Portion(found["total"] / found["count"] / 1e6, [ns / 1e6 for ns in found["each"]])

    def close(self) -> None:
        """Have the plugs deleted, and wait for it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=30 + self._plugs * _TIME_TO_DELETE)
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
