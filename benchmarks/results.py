"""The results as Markdown: what was measured, on what, and the sections in the order in which they are given."""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import refnet

#: Characters in a line of text; tables are as wide as they are.
_WIDTH = 120

#: What stands before a part's sections in the file, so that it can be found again.
_PART = re.compile(r"^<!-- part: (\S+) -->$", re.MULTILINE)

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

    def markdown(self, preface: Sequence[str] = ()) -> str:
        """Write heading, what is to be said before all else, text, tables and notes."""
        tables = (table.markdown() for table in self.tables)
        parts = [f"## {self.title}", *preface, _wrapped(self.text), *tables, _list(self.notes)]
        return "\n\n".join(part for part in parts if part)


def write(path: Path, parts: Mapping[str, Sequence[Section]], facts: Sequence[str], failures: Sequence[str]) -> None:
    """Write the results of a whole run to ``path``: its parts by name, each with its sections.

    ``facts`` are about the run; ``failures`` say what ended with an error and is therefore missing.
    """
    head = ["# Benchmarks", _INTRODUCTION, _list(facts), *_not_complete(failures)]
    bodies = {name: _body(sections) for name, sections in parts.items()}
    path.write_text(_joined("\n\n".join(head), bodies))


def update(
    path: Path,
    parts: Mapping[str, Sequence[Section]],
    order: Sequence[str],
    facts: Sequence[str],
    failures: Sequence[str],
) -> None:
    """Write the results of a run of some parts in place of what ``path`` has of them, and keep the others' text.

    ``order`` has the names of all parts there are.

    Raises:
        OSError: the file cannot be read or written.
    """
    head, *pieces = _PART.split(path.read_text())
    bodies = {name: body.strip() for name, body in zip(pieces[::2], pieces[1::2], strict=True)}
    preface = ["This part has been run by itself:", _list(facts), *_not_complete(failures)]
    bodies.update({name: _body(sections, preface) for name, sections in parts.items()})
    path.write_text(_joined(head.strip(), {name: bodies[name] for name in order if name in bodies}))


def _joined(head: str, bodies: Mapping[str, str]) -> str:
    return "\n\n".join([head, *(f"<!-- part: {name} -->\n\n{body}" for name, body in bodies.items())]) + "\n"


def _body(sections: Sequence[Section], preface: Sequence[str] = ()) -> str:
    return "\n\n".join(one.markdown(preface if number == 0 else ()) for number, one in enumerate(sections))


def _not_complete(failures: Sequence[str]) -> list[str]:
    return ["**Not complete.** What ended with an error:", _list(failures)] if failures else []


def _list(items: Iterable[str]) -> str:
    return _wrapped("\n".join(f"- {item}" for item in items))


def machine() -> list[str]:
    """Describe date, machine and versions, one fact a line."""
    return [
        f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC",
        f"{os.cpu_count()} cores ({_processor()}), {platform.system()} {platform.release()} {platform.machine()}",
        f"{platform.python_implementation()} {platform.python_version()}, refnet {refnet.__version__}, "
        f"pyroute2 {metadata.version('pyroute2')}, {_version('iproute2', 'ip', '-V')}, "
        f"{_version('iptables', 'iptables', '--version')}, {_version('nftables', 'nft', '--version')}, "
        f"{_version('dnsmasq', 'dnsmasq', '--version')}",
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


def _version(package: str, *argv: str) -> str:
    try:
        said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return f"no {package}"
    found = re.search(r"(?:iproute2-|version |\bv)([0-9][^,\s]*)", said)
    return f"{package} {found[1]}" if found else said.strip()
