"""Waiting for what other processes do: for a condition, never for a time."""

import time
from pathlib import Path


def wait_until(condition, what, limit=60):
    """Return when a condition holds; fail when it does not come to hold at all."""
    deadline = time.monotonic() + limit
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {limit} s: {what}"
        time.sleep(0.02)
    return found


def processes(mark, *but):
    """Return the ids of processes that have a mark in their command line, without those that have one of ``but``."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if mark in line and not any(word in line for word in but):
            found.append(int(path.parent.name))
    return found
