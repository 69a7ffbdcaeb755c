"""Trying something where nothing is: a tool's process in a network namespace of its own, gone when it ends."""

from __future__ import annotations

import sys
from collections.abc import Sequence

#: The exit status that says: this process may have no namespace.
MAY_NOT = 99
#: CLONE_NEWNET (linux/sched.h); then the process becomes the tool.
_CODE = f"""
import ctypes, os, sys
ctypes.CDLL(None).unshare(0x40000000) and sys.exit({MAY_NOT})
os.execvp(sys.argv[1], sys.argv[1:])
"""


def apart(argv: Sequence[str]) -> list[str]:
    """Return the argument list that runs another one apart from this host's network."""
    return [sys.executable, "-I", "-S", "-c", _CODE, *argv]
