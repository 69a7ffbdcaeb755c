"""Transcripts of pfctl in the place of pfctl: a test runs the manager against what FreeBSD answered.

``## scene``, and for each program ``$ command``, ``stdin: …`` for each line that it was given, what it printed
(``stderr: …`` for standard error) and ``rc=N``, with an empty line behind.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refnet.process import Completed

TRANSCRIPT = Path(__file__).parents[2] / "data" / "freebsd" / "pf_driver.txt"


@dataclass(frozen=True)
class Entry:
    """A program: how it was started, what it was given, and what came of it."""

    command: str
    stdin: str
    stdout: str
    stderr: str
    status: int

    def written(self) -> str:
        """Return it in the format of the transcript."""
        given = "".join(f"stdin: {line}\n" for line in self.stdin.splitlines())
        errors = "".join(f"stderr: {line}\n" for line in self.stderr.splitlines())
        return f"$ {self.command}\n{given}{self.stdout}{errors}rc={self.status}\n\n"


def scenes() -> dict[str, list[Entry]]:
    """Read the transcript: its entries by scene, in order."""
    found: dict[str, list[Entry]] = {}
    entries: list[Entry] = []
    lines: list[str] = []
    for line in TRANSCRIPT.read_text().splitlines():
        if line.startswith("## "):
            entries = found.setdefault(line.removeprefix("## "), [])
        elif line.startswith("$ "):
            lines = [line]
        elif line.startswith("rc=") and lines:
            entries.append(_entry(lines, int(line.removeprefix("rc="))))
            lines = []
        elif lines:
            lines.append(line)
    return found


def _entry(lines: list[str], status: int) -> Entry:
    parts: dict[str, str] = {"stdin: ": "", "stderr: ": "", "": ""}
    for line in lines[1:]:
        mark = next(mark for mark in parts if line.startswith(mark))
        parts[mark] += line.removeprefix(mark) + "\n"
    return Entry(lines[0].removeprefix("$ "), parts["stdin: "], parts[""], parts["stderr: "], status)


class Player:
    """Answers as the transcript does, and takes nothing that is not next in it."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        """Begin at the beginning."""
        self.left = list(entries)

    def run(self, argv: Sequence[str], *, stdin: str | None = None, expect: Any = (0,), **_: Any) -> Completed:
        """Stand in for :func:`refnet.process.run`."""
        assert self.left, f"the transcript has ended, and {shlex.join(argv)!r} is to be started"
        entry = self.left.pop(0)
        assert (shlex.join(argv), stdin or "") == (entry.command, entry.stdin)
        assert entry.status in expect
        return Completed(tuple(argv), entry.status, entry.stdout, entry.stderr)
