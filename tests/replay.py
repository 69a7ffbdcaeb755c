"""Transcripts of FreeBSD in the place of its programs: a test runs the driver against what the real system answered.

The format, for people and for programs: a heading (``## scene``), then for each command ``$ command``, what it printed
(``stderr:`` marks standard error) and ``rc=N``, with an empty line between two. ``nodes``, ``node NAME`` and ``own …``
are no programs but the driver's looks at ``/dev``.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from refnet.netdev.freebsd.tools import Command, Node, Refusal, Step, Tools, words_of
from refnet.process import Completed

DATA = Path(__file__).parent / "data" / "freebsd"


@dataclass(frozen=True)
class Entry:
    """One command and what came of it."""

    command: str
    stdout: str
    stderr: str
    status: int

    def written(self) -> str:
        """Return it in the format of the transcripts."""
        errors = "".join(f"stderr: {line}\n" for line in self.stderr.splitlines())
        newline = "" if not self.stdout or self.stdout.endswith("\n") else "\n"
        return f"$ {self.command}\n{self.stdout}{newline}{errors}rc={self.status}\n"


def scenes(name: str) -> dict[str, list[Entry]]:
    """Read a transcript: its entries by heading, in their order."""
    found: dict[str, list[Entry]] = {}
    entries: list[Entry] = []
    for block in _blocks((DATA / name).read_text()):
        if block[0].startswith("## "):
            entries = found.setdefault(block[0].removeprefix("## "), [])
        elif block[0].startswith("$ "):
            entries.append(_entry(block))
    return found


def entries(name: str) -> list[Entry]:
    """Read a transcript: all its entries."""
    return [entry for scene in scenes(name).values() for entry in scene]


def _blocks(text: str) -> Iterable[list[str]]:
    block: list[str] = []
    for line in text.splitlines():
        if line.startswith("## "):
            yield [line]
            block = []
        elif line.startswith("rc=") and block:
            yield [*block, line]
            block = []
        elif line or block:
            block.append(line)


def _entry(block: list[str]) -> Entry:
    mark = "stderr: "
    said = [line for line in block[1:-1] if not line.startswith(mark)]
    errors = [line.removeprefix(mark) for line in block[1:-1] if line.startswith(mark)]
    return Entry(
        block[0].removeprefix("$ "),
        "".join(f"{line}\n" for line in said),
        "".join(f"{line}\n" for line in errors),
        int(block[-1].removeprefix("rc=")),
    )


class NotRecorded(AssertionError):
    """The driver has asked for something that the transcript does not have at this place."""


class Stepwise(Tools):
    """Tools that carry out steps one by one, where every command passes :meth:`run`."""

    def carry_out(self, steps: Sequence[Step]) -> None:
        done: list[Step] = []
        for number, step in enumerate(steps, 1):
            if step.argv:
                result = self.run(step.argv)
                words = words_of(result)
                if result.status and step.fine and step.fine in words:
                    continue
                if result.status:
                    raise Refusal(words, step=number, left_over=self.take_back(done))
            done.append(step)


class Replay(Stepwise):
    """Answers commands as the system did, each once and in the order of the transcript."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.rest = list(entries)
        self.asked: list[str] = []

    def run(self, argv: Command) -> Completed:
        entry = self._next(shlex.join(argv))
        return Completed(argv, entry.status, entry.stdout, entry.stderr)

    def nodes(self) -> frozenset[str]:
        return frozenset(self._next("nodes").stdout.split())

    def node(self, name: str) -> Node | None:
        entry = self._next(f"node {name}")
        return read_node(entry.stdout) if not entry.status else None

    def own_node(self, name: str, node: Node) -> None:
        self._next(f"own {name} {write_node(node)}")

    def _next(self, command: str) -> Entry:
        self.asked.append(command)
        if not self.rest:
            raise NotRecorded(f"the transcript has ended, and the driver asks: {command}")
        if self.rest[0].command != command:
            raise NotRecorded(f"the transcript goes on with: {self.rest[0].command}\nand the driver asks: {command}")
        return self.rest.pop(0)


def write_node(node: Node) -> str:
    return f"{node.uid}:{node.gid} {node.mode:o}{' link' if node.is_link else ''}"


def read_node(text: str) -> Node:
    owners, mode, *link = text.split()
    uid, gid = owners.split(":")
    return Node(int(uid), int(gid), int(mode, 8), bool(link))
