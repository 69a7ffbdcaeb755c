"""What all measurements share: processes to measure in, and numbers with their spread."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: The folder that ``benchmarks`` and ``refnet`` are in.
ROOT = Path(__file__).resolve().parent.parent

#: Seconds for a process that takes a few.
_TIME_LIMIT = 300

_began = time.monotonic()


class Failed(Exception):
    """A process that measures ended with an error; the message is the last of what it said."""


@dataclass(frozen=True)
class Spread:
    """The median of several rounds, and the least and the most."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Summarize one value a round."""
        found = list(values)
        return cls(statistics.median(found), min(found), max(found))

    def text(self, form: str = ".2f") -> str:
        """Write it as ``median (least–most)``."""
        return f"{self.median:{form}} ({self.least:{form}}–{self.most:{form}})"


def ratios(values: Iterable[float], floors: Iterable[float]) -> Spread:
    """Divide round by round: what slowed a whole round down cancels out."""
    return Spread.of(value / floor for value, floor in zip(values, floors, strict=True))


def progress(text: str) -> None:
    """Say on standard error what is being done, and how many seconds after the start."""
    print(f"[{time.monotonic() - _began:5.0f} s] {text}", file=sys.stderr, flush=True)


def environment_of(interpreter: str) -> dict[str, str]:
    """Return the environment for an interpreter: a peer's must not find this one's packages."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH" or interpreter == sys.executable}


def last_words(errors: str) -> str:
    """Return the last line of what a process wrote to its standard error: the exception, if it ended with one."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def run_child(*arguments: str, interpreter: str = sys.executable) -> Any:
    """Run :mod:`benchmarks.child` to its end and return what it measured.

    Raises:
        Failed: it ended with an error.
    """
    command = [interpreter, "-m", "benchmarks.child", *arguments]
    environment = environment_of(interpreter)
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=_TIME_LIMIT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(str(error)) from None
    if done.returncode:
        raise Failed(last_words(done.stderr) or f"exit status {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])
