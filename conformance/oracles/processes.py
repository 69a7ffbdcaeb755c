"""Processes of a sandbox, as any system tells them, and which of them a driver has left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

#: What of a command line a reader wants in a line.
_MOST = 160


@dataclass(frozen=True, slots=True, order=True)
class Process:
    """A process: its number, its arguments, and the number of its parent, which may change."""

    pid: int
    argv: tuple[str, ...]
    parent: int = field(compare=False)

    def __str__(self) -> str:
        """Give the number and the command line."""
        text = " ".join(self.argv)
        return f"{self.pid} {text[:_MOST]}{'…' if len(text) > _MOST else ''}"


def without_own(found: Iterable[Process], own: int) -> list[Process]:
    """Return processes but for one and those that it descends from, by their numbers."""
    by_number = {one.pid: one for one in found}
    at: int | None = own
    while at in by_number:
        at = by_number.pop(at).parent
    return sorted(by_number.values())


def section(found: Iterable[Process]) -> dict[str, str]:
    """Return what a state has of processes. What one of them has started, and waits for, is a part of it."""
    listed = list(found)
    numbers = {one.pid for one in listed}
    return {str(one): "" for one in listed if one.parent not in numbers}
