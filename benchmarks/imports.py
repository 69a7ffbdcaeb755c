"""What ``import refnet.netdev`` and the driver behind it cost a program at its start."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from benchmarks.measure import ROOT, Failed, Spread, progress, ratios
from benchmarks.results import Section, Table

_BARE = "pass"
_IMPORT = "import refnet.netdev"
_DRIVER = "import refnet.netdev; refnet.netdev.get_driver()"
_FLOOR = "import pyroute2"


def measure(rounds: int) -> Section:
    """Start fresh interpreters, statement by statement in each round, and return the section.

    Raises:
        Failed: one of them ended with an error.
    """
    progress(f"imports: {rounds} rounds")
    statements = (_BARE, _IMPORT, _DRIVER, _FLOOR)
    for statement in statements:
        _start(statement)  # what is imported for the first time has to be compiled
    times: dict[str, list[float]] = {statement: [] for statement in statements}
    for _ in range(rounds):
        for statement in statements:
            times[statement].append(_start(statement))

    floor = _difference(times[_FLOOR], times[_BARE])
    rows = [("`import pyroute2`", Spread.of(floor).text(".1f"), "1")]
    for title, values in (
        ("`import refnet.netdev`", _difference(times[_IMPORT], times[_BARE])),
        ("`refnet.netdev.get_driver()` on top", _difference(times[_DRIVER], times[_IMPORT])),
        ("both", _difference(times[_DRIVER], times[_BARE])),
    ):
        rows.append((title, Spread.of(values).text(".1f"), ratios(values, floor).text()))
    return Section(
        "Import",
        f"Wall time of a fresh interpreter, bytecode cached, minus that of one that does nothing "
        f"({Spread.of(times[_BARE]).text('.1f')} ms). Rounds: {rounds}. refnet's Linux driver is imported by "
        "`get_driver()`, and takes its numbers and its encoder from pyroute2.",
        [Table(("statement", "ms", "ratio to `import pyroute2`"), rows)],
        [],
    )


def _start(statement: str) -> float:
    """Return how many milliseconds an interpreter takes for a statement, from start to exit."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    began = time.perf_counter_ns()
    done = subprocess.run(
        [sys.executable, "-c", statement], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    taken = time.perf_counter_ns() - began
    if done.returncode:
        raise Failed(f"{statement}: {done.stderr.strip().splitlines()[-1:]}")
    return taken / 1e6


def _difference(values: list[float], less: list[float]) -> list[float]:
    return [value - base for value, base in zip(values, less, strict=True)]
