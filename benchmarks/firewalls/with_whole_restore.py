"""``iptables-restore`` without ``-n``: all rules each time, whatever has changed."""

from __future__ import annotations

from benchmarks import firewalls
from benchmarks.firewalls import Step
from benchmarks.firewalls.with_restore import added, all_lines, command, text
from benchmarks.firewalls.workload import Line

_BUILT_IN = [f":{name} ACCEPT [0:0]" for name in ("INPUT", "FORWARD", "OUTPUT")]


class WholeRestore:
    """Each step is the whole text, written before, and one process."""

    def __init__(self, tool: str, count: int) -> None:
        """Write all lines."""
        self._program = f"iptables-{tool}-restore"
        self._lines = _BUILT_IN + all_lines(count)

    def first(self) -> Step:
        """All rules."""
        return self._write()

    def more(self, line: Line) -> Step:
        """All rules, and one more."""
        self._lines.append(added(line))
        return self._write()

    def less(self, line: Line) -> Step:
        """All rules but one."""
        self._lines.remove(added(line))
        return self._write()

    def nothing(self) -> Step:
        """All rules again: it does not look."""
        return self._write()

    def _write(self) -> Step:
        return command([self._program], text(self._lines))


def start(tool: str, count: int) -> firewalls.Firewall:
    """Start with no rules."""
    return WholeRestore(tool, count)
