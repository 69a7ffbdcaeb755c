"""Nova's ``IptablesManager``, the last that it had: that of Nova 20.6.1 (Train), run as it is.

The classes come out of the release's file. The rest of that Nova needs libraries of its time, so what they ask of it is
here: options, for IPv4 alone, and a way to run programs. Nova runs them in a privileged daemon, under a lock between
processes; both are left out.
"""

from __future__ import annotations

import ast
import logging
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks import firewalls
from benchmarks.firewalls import OWNER, Step, workload
from benchmarks.firewalls.workload import Line

_CLASSES = ("IptablesRule", "IptablesTable", "IptablesManager")


class Nova:
    """A manager, and its table of IPv4 filters."""

    def __init__(self, tool: str) -> None:
        """Make the manager, with the chains that it always has."""
        self._classes = _classes()

        def run(program: str, *options: str, process_input: bytes | None = None, **_: object) -> tuple[str, str]:
            argv = [program.replace("-", f"-{tool}-"), *options]
            done = subprocess.run(argv, input=process_input, capture_output=True, check=True)
            return done.stdout.decode(), ""

        self.manager = self._classes["IptablesManager"](redirect_privsep_calls_to=run)
        self.table = self.manager.ipv4["filter"]

    def fill(self, count: int) -> None:
        """Add all chains and rules, as ``add_rule`` leaves them: it compares each with all that are there."""
        for name in ("guests", *workload.chains(count)):
            self.table.add_chain(name)
        self.table.add_rule("FORWARD", "-j $guests")
        rule = self._classes["IptablesRule"]
        self.table.rules += [rule(line.chain, line.iptables(f"{OWNER}-")) for line in workload.lines(count)]

    def first(self) -> Step:
        """``apply``."""
        return self.manager.apply  # type: ignore[no-any-return]

    def more(self, line: Line) -> Step:
        """``add_rule`` and ``apply``."""
        written = line.iptables("$")

        def run() -> None:
            self.table.add_rule(line.chain, written)
            self.manager.apply()

        return run

    def less(self, line: Line) -> Step:
        """``remove_rule`` and ``apply``."""
        written = line.iptables("$")

        def run() -> None:
            self.table.remove_rule(line.chain, written)
            self.manager.apply()

        return run

    def nothing(self) -> Step:
        """``apply``."""
        return self.manager.apply  # type: ignore[no-any-return]


def start(tool: str, count: int) -> firewalls.Firewall:
    """Fill the model."""
    made = Nova(tool)
    made.fill(count)
    return made


def _classes() -> dict[str, Any]:
    (wheel,) = Path(sys.prefix, "train").glob("nova-20.*.whl")
    source = ast.parse(zipfile.ZipFile(wheel).read("nova/network/linux_net.py"))
    wanted = [one for one in source.body if isinstance(one, ast.ClassDef) and one.name in _CLASSES]
    space: dict[str, Any] = {
        "CONF": SimpleNamespace(use_ipv6=False, iptables_top_regex="", iptables_bottom_regex=""),
        "LOG": logging.getLogger("nova"),
        "_": str,
        "binary_name": OWNER,
        "os": os,
        "re": re,
        "six": SimpleNamespace(string_types=str, itervalues=lambda given: given.values(), b=str.encode),
        "utils": SimpleNamespace(synchronized=lambda *_, **__: lambda function: function),
    }
    exec(compile(ast.Module(wanted, []), str(wheel), "exec"), space)
    return space
