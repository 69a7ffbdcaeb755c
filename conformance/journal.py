"""The journal of a run: its plan and all that was heard, a line each, so that a run that was broken off can go on."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

NAME = "journal.jsonl"


class Journal:
    """Appends events to the journal in a report's directory, each with the number of its run."""

    def __init__(self, directory: Path) -> None:
        """Open it, and take away a line that was not finished.

        Raises:
            ValueError: another run is writing it.
            OSError: it cannot be written.
        """
        path = directory / NAME
        self._file = path.open("a", encoding="utf-8")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise ValueError(f"another run is writing to {directory}: wait for it, or name another directory") from None
        self._file.truncate(path.read_bytes().rfind(b"\n") + 1)

    def write(self, event: Mapping[str, Any], number: int) -> None:
        """Write an event. Evidence is in files of its own already."""
        entry = {**event, "run": number}
        if "evidence" in entry:
            entry["evidence"] = {}
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read(directory: Path) -> Iterator[dict[str, Any]]:
    """Give the entries of a journal; what a killed run has not finished writing is left out.

    Raises:
        ValueError: there is none.
    """
    path = directory / NAME
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ValueError(
            f"{directory} has no journal of a run ({error.strerror}): --resume takes its --report"
        ) from None
    for line in lines[:-1]:
        try:
            entry = json.loads(line)
            if not isinstance(entry["event"], str) or not isinstance(entry["run"], int):
                raise TypeError
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ValueError(f"{path} is damaged: run anew") from None
        yield entry
