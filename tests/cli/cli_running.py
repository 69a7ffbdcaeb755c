"""What tests of the refnet command share: how it is run, in this process and as one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

REPOSITORY = Path(__file__).parent.parent.parent
MAC = "52:54:00:12:34:56"


class Result(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.err == ""
        assert self.out.count("\n") == 1
        return json.loads(self.out)


Run = Callable[..., Result]
Made = Callable[[], set[str]]


def process(*arguments: str, path: Path | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command as a process; ``path`` is a folder to import from."""
    return subprocess.run(
        [sys.executable, "-m", "refnet", *arguments],
        env=environment(path, options.pop("env", {})),
        text=True,
        timeout=60,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )


def environment(path: Path | None = None, more: dict[str, str] | None = None) -> dict[str, str]:
    folders = [str(folder) for folder in (path, REPOSITORY) if folder] + [os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(folder for folder in folders if folder), **(more or {})}
