"""Files and directories that a spec needs for a while: each says whose it is, so that what was left is found again."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

_NAME = re.compile(r"refnet-conformance-(\d+)-[a-z]+-[0-9a-f]{8}\Z")


def new_path(what: str) -> Path:
    """Return a path where nothing is, in a directory that every user can get into; ``what`` is a word of its name.

    On Linux that is the sandbox's own /run, which goes with it.
    """
    return _place() / f"refnet-conformance-{os.getpid()}-{what}-{secrets.token_hex(4)}"


def sweep(is_alive: Callable[[int], bool]) -> None:
    """Remove what processes have left that were killed before they could."""
    for path in _place().iterdir():
        found = _NAME.match(path.name)
        if found and not is_alive(int(found[1])):
            shutil.rmtree(path, ignore_errors=True)


def _place() -> Path:
    run = Path("/run")
    return run if os.access(run, os.W_OK) else Path(tempfile.gettempdir())
