"""The last IptablesManager that Nova had, out of Nova 20.6.1 (Train): its newest release has none.

The classes run as they are, from the release's file; of the rest of that Nova, which needs libraries of its time,
nothing is imported. What they ask for besides is here: options at their defaults but for IPv6, and no lock between
processes.
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

import six

_PLACE = Path(sys.prefix, "train")
_CLASSES = ("IptablesRule", "IptablesTable", "IptablesManager")


def iptables_manager(owner: str) -> Any:
    """Make a manager for a program by that name, which has just started; it runs iptables in the caller's stack."""
    (wheel,) = _PLACE.glob("nova-20.*.whl")
    source = zipfile.ZipFile(wheel).read("nova/network/linux_net.py").decode()
    classes = [one for one in ast.parse(source).body if isinstance(one, ast.ClassDef) and one.name in _CLASSES]
    assert len(classes) == len(_CLASSES)
    space: dict[str, Any] = {
        "CONF": SimpleNamespace(use_ipv6=True, iptables_top_regex="", iptables_bottom_regex=""),
        "LOG": logging.getLogger("nova-train"),
        "_": str,
        "binary_name": owner,
        "os": os,
        "re": re,
        "six": six,
        "utils": SimpleNamespace(synchronized=lambda name, external: lambda function: function),
    }
    exec(compile(ast.Module(classes, []), str(wheel), "exec"), space)
    return space["IptablesManager"](redirect_privsep_calls_to=_execute)


def _execute(*argv: str, process_input: bytes | None = None, **options: Any) -> tuple[str, str]:
    done = subprocess.run(argv, input=process_input, capture_output=True)
    assert done.returncode == 0, (argv, done.stderr, process_input)
    return done.stdout.decode(), done.stderr.decode()
