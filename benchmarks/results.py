"""The results as Markdown: what was measured, on what, and the sections in the order in which they are given."""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import refnet

#: Characters in a line of text; tables are as wide as they are.
_WIDTH = 120

_INTRODUCTION = """\
Made by `python -m benchmarks`; the numbers of another machine are others, the ratios less so.

Numbers are the median of all rounds, with the least and the most in brackets. In a round the contenders take turns
(A B C …), and a ratio is taken within its round before the median is: what slows the machine down for a while slows
both sides. Every contender has a process and a fresh network namespace of its own. Ratios are to the *floor*, which is
measured in the same rounds. Nothing here is asserted by a test."""


@dataclass(frozen=True)
class Table:
    """A table; the first column is text, the others are numbers."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """Write it with columns aligned, numbers to the right."""
        lines = [self.headings, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.headings))]
        ruler = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
        cells = [
            [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
            for line in (self.headings, ruler, *self.rows)
        ]
        return "\n".join(f"| {' | '.join(line)} |" for line in cells)


@dataclass(frozen=True)
class Section:
    """One thing that was measured: how, the numbers, and what to know before believing them."""

    title: str
    text: str
    tables: Sequence[Table]
    notes: Sequence[str] = field(default_factory=tuple)

    def markdown(self) -> str:
        """Write heading, text, tables and notes."""
        notes = _wrapped("\n".join(f"- {note}" for note in self.notes))
        parts = [f"## {self.title}", _wrapped(self.text), *(table.markdown() for table in self.tables), notes]
        return "\n\n".join(part for part in parts if part)


def write(path: Path, sections: Sequence[Section], facts: Sequence[str], failures: Sequence[str]) -> None:
    """Write the results to ``path``.

    ``facts`` are about the whole run; ``failures`` say what ended with an error and is therefore missing.
    """
    parts = ["# Benchmarks", _INTRODUCTION, _wrapped("\n".join(f"- {fact}" for fact in facts))]
    if failures:
        parts += [
            "**Not complete.** What ended with an error:",
            _wrapped("\n".join(f"- {failure}" for failure in failures)),
        ]
    parts += [section.markdown() for section in sections]
    path.write_text("\n\n".join(parts) + "\n")


def machine() -> list[str]:
    """Describe date, machine and versions, one fact a line."""
    return [
        f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC",
        f"{os.cpu_count()} cores ({_processor()}), {platform.system()} {platform.release()} {platform.machine()}",
        f"{platform.python_implementation()} {platform.python_version()}, refnet {refnet.__version__}, "
        f"pyroute2 {metadata.version('pyroute2')}, {_iproute2()}",
    ]


def _wrapped(text: str) -> str:
    """Break long lines, those of a list under their text."""
    return "\n".join(
        textwrap.fill(
            line,
            _WIDTH,
            subsequent_indent="  " if line.startswith("- ") else "",
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in text.splitlines()
    )


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.machine()


def _iproute2() -> str:
    try:
        said = subprocess.run(["ip", "-V"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return "no iproute2"
    found = re.search(r"iproute2-([^,\s]+)", said)
    return f"iproute2 {found[1]}" if found else said.strip()
