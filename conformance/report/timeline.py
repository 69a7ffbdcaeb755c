"""Time per spec as a plot: when each worker ran what, or what took longest where that is not known.

Only the geometry is worked out here. Across it is in per cent, so that the plot is as wide as the window and its words
keep their size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: CSS pixels.
_LABEL, _BAR, _MARK, _GAP = 20, 18, 16, 10
#: A bar that nobody can see says nothing (per cent of the width).
_LEAST = 0.3
_TICKS = 5
#: How many of the slowest are listed.
_SLOWEST, _SLOWEST_ALONE = 8, 25
#: Two phases of one spec are timed apart, and rounded.
_TOUCH = 0.01


@dataclass(frozen=True, slots=True)
class Bar:
    """A spec: from ``left`` over ``width`` (per cent), ``top`` (pixels) of the lane that it lies in."""

    entry: Mapping[str, Any]
    left: float
    width: float
    top: int


@dataclass(slots=True)
class Lane:
    """What one worker did; ``busy`` is in seconds."""

    worker: str
    top: int
    busy: float
    bars: list[Bar] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Plot:
    """One run: its lanes, and the axis from 0 to ``seconds`` with ticks as pairs of place (per cent) and label."""

    run: int
    lanes: Sequence[Lane]
    ticks: Sequence[tuple[float, str]]
    seconds: float
    height: int

    @property
    def specs(self) -> int:
        """How many specs are on it."""
        return sum(len(lane.bars) for lane in self.lanes)

    @property
    def busy(self) -> float:
        """Seconds of work of all workers."""
        return sum(lane.busy for lane in self.lanes)


def plots(report: Mapping[str, Any]) -> list[Plot]:
    """Return a plot for each run of which it is known when its specs began."""
    drawn = []
    for run in range(len(report["runs"])):
        entries = [entry for entry in report["specs"] if entry["run"] == run and entry["seconds"] > 0]
        if any(entry["started"] > 0 for entry in entries):
            drawn.append(_plot(run, entries))
    return drawn


def slowest(report: Mapping[str, Any], *, alone: bool) -> list[Mapping[str, Any]]:
    """Return the specs that took longest; more of them where they are all there is to see."""
    ranked = sorted(report["specs"], key=lambda entry: -entry["seconds"])
    return [entry for entry in ranked if entry["seconds"] > 0][: _SLOWEST_ALONE if alone else _SLOWEST]


def _plot(run: int, entries: Sequence[Mapping[str, Any]]) -> Plot:
    end = max(entry["started"] + entry["seconds"] for entry in entries)
    step = _step(end)
    seconds = step * math.ceil(end / step - 1e-9)
    lanes = []
    top = 0
    for worker in sorted({entry["worker"] for entry in entries}, key=_by_number):
        own = sorted((entry for entry in entries if entry["worker"] == worker), key=lambda entry: entry["started"])
        rows = _rows(own)
        lane = Lane(worker, top, sum(entry["seconds"] for entry in own))
        for entry, row in rows:
            width = max(_LEAST, 100 * entry["seconds"] / seconds)
            left = min(100 * entry["started"] / seconds, 100 - width)
            lane.bars.append(Bar(entry, left, width, top + _LABEL + row * (_BAR + _MARK)))
        lanes.append(lane)
        top += _LABEL + (1 + max(row for _, row in rows)) * (_BAR + _MARK) + _GAP
    ticks = [(100 * at * step / seconds, f"{at * step:g} s") for at in range(round(seconds / step) + 1)]
    return Plot(run, lanes, ticks, seconds, top)


def _rows(entries: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], int]]:
    """Put each entry into the first row that is free when it begins: more than one where the worker is not known."""
    free: list[float] = []
    placed = []
    for entry in entries:
        row = next((row for row, at in enumerate(free) if at <= entry["started"] + _TOUCH), len(free))
        free[row : row + 1] = [entry["started"] + entry["seconds"]]
        placed.append((entry, row))
    return placed


def _step(seconds: float) -> float:
    """Return the distance of ticks: 1, 2 or 5 times a power of ten, a handful of them."""
    rough = seconds / _TICKS
    power: float = 10 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.99)


def _by_number(worker: str) -> tuple[int, str]:
    digits = "".join(character for character in worker if character in "0123456789")
    return int(digits[:9] or 0), worker
