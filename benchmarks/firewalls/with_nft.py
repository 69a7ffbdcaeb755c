"""``nft -f``: the least of nftables, one process that is told just what is to change."""

from __future__ import annotations

import re
import subprocess

from benchmarks import firewalls
from benchmarks.firewalls import OWNER, Step, workload
from benchmarks.firewalls.with_restore import command
from benchmarks.firewalls.workload import Line

#: As long as refnet's, so that texts are as long as refnet's.
TABLE = f"inet refnet.{OWNER}"
_HOOK = "hook.filter.forward"
_ARGV = ["nft", "-f", "-"]


class Nft:
    """Each step is a text in memory, written before, and one process."""

    def __init__(self, count: int, *, with_comments: bool) -> None:
        """Know how many rules there will be, and whether each has a comment, as refnet's have."""
        self._count = count
        self._with_comments = with_comments
        self._written = 0

    def first(self) -> Step:
        """All rules."""
        names = ["guests", *workload.chains(self._count)]
        base = f"add chain {TABLE} {_HOOK} {{ type filter hook forward priority 0; policy accept; }}"
        lines = [
            f"add table {TABLE}",
            *(f"add chain {TABLE} filter.{name}" for name in names),
            *(self._added(line) for line in workload.lines(self._count)),
            base,
            f"add rule {TABLE} {_HOOK} jump filter.guests",
        ]
        return _commands(lines)

    def more(self, line: Line) -> Step:
        """One command that adds a rule."""
        return _commands([self._added(line)])

    def less(self, line: Line) -> Step:
        """One command that deletes a rule, whose handle was looked up before."""
        chain = f"{TABLE} filter.{line.chain}"
        argv = ["nft", "-a", "list", "chain", *chain.split()]
        said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
        found = re.search(rf"dport {line.port} .* # handle ([0-9]+)$", said, re.MULTILINE)
        assert found, f"{line} is not there"
        return _commands([f"delete rule {chain} handle {found[1]}"])

    def nothing(self) -> None:
        """Nobody would run it for nothing."""

    def _added(self, line: Line) -> str:
        self._written += 1
        comment = f' comment "refnet:{self._written:016x}"' if self._with_comments else ""
        return f"add rule {TABLE} filter.{line.chain} {line.nft()}{comment}"


def start(_tool: str, count: int) -> firewalls.Firewall:
    """Start with no rules."""
    return Nft(count, with_comments=True)


def _commands(lines: list[str]) -> Step:
    return command(_ARGV, "\n".join([*lines, ""]))
