"""``iptables-restore -n``: the least of iptables, one process that is told just what is to change."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable

from benchmarks import firewalls
from benchmarks.firewalls import OWNER, Step, workload
from benchmarks.firewalls.workload import Line

PREFIX = f"{OWNER}."


class Restore:
    """Each step is a text in memory, written before, and one process."""

    def __init__(self, tool: str, count: int) -> None:
        """Know the program, and how many rules there will be."""
        self._program = f"iptables-{tool}-restore"
        self._count = count

    def first(self) -> Step:
        """All rules."""
        return command([self._program, "-n"], text(all_lines(self._count)))

    def more(self, line: Line) -> Step:
        """One line that adds a rule."""
        return command([self._program, "-n"], text([added(line)]))

    def less(self, line: Line) -> Step:
        """One line that deletes a rule."""
        return command([self._program, "-n"], text([f"-D{added(line)[2:]}"]))

    def nothing(self) -> None:
        """Nobody would run it for nothing."""


def start(tool: str, count: int) -> firewalls.Firewall:
    """Start with no rules."""
    return Restore(tool, count)


def command(argv: list[str], written: str) -> Step:
    """Return what runs a program once, with a text as its standard input."""
    descriptor = os.memfd_create("rules")
    os.write(descriptor, written.encode())
    os.lseek(descriptor, 0, os.SEEK_SET)

    def run() -> None:
        subprocess.run(argv, stdin=descriptor, check=True)
        os.close(descriptor)

    return run


def all_lines(count: int) -> list[str]:
    """Return what makes all chains and rules."""
    names = ["guests", *workload.chains(count)]
    rules = [added(line) for line in workload.lines(count)]
    return [*(f":{PREFIX}{name} - [0:0]" for name in names), *rules, f"-A FORWARD -j {PREFIX}guests"]


def added(line: Line) -> str:
    """Return the line that adds a rule."""
    return f"-A {PREFIX}{line.chain} {line.iptables(PREFIX)}"


def text(lines: Iterable[str]) -> str:
    """Return lines as iptables-restore reads them."""
    return "\n".join(["*filter", *lines, "COMMIT", ""])
