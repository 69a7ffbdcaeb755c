"""What a leap of the clock means for a server that does not run meanwhile: all times that it has kept are moved."""

from __future__ import annotations

import os
import re
import stat
import time
from pathlib import Path

#: A number that is alone, and of as many digits as the seconds since 1970 have for a while yet.
_TIME = re.compile(rb"(?<![0-9A-Za-z:.])\d{10}(?![0-9A-Za-z:])")
#: Seconds, ten years of them: what is further from now is no time.
_NEAR = 10 * 365 * 86400


def age(directory: str | Path, seconds: float) -> int:
    """Move every time in a directory's text files that far into the past (negative: into the future).

    It is as if the clock had leapt ahead by that much. Files are replaced by rename, with the owner and the mode that
    they had. Return how many times were moved.

    Raises:
        AssertionError: none was: the directory keeps no times, or not in seconds since 1970.
    """
    count = 0
    for path in sorted(Path(directory).rglob("*")):
        about = path.lstat()
        if not stat.S_ISREG(about.st_mode):
            continue
        data = path.read_bytes()
        changed, moved = aged(data, round(seconds), time.time()) if b"\0" not in data else (data, 0)
        if moved:
            _replace(path, changed, about)
            count += moved
    assert count, f"there is no time in any file of {directory}: nothing has grown older"
    return count


def aged(data: bytes, seconds: int, now: float) -> tuple[bytes, int]:
    """Return a text with all of its times moved into the past, and how many there were."""
    count = 0

    def moved(found: re.Match[bytes]) -> bytes:
        nonlocal count
        when = int(found[0])
        if abs(when - now) > _NEAR:
            return found[0]
        count += 1
        return b"%d" % (when - seconds)

    return _TIME.sub(moved, data), count


def _replace(path: Path, data: bytes, about: os.stat_result) -> None:
    new = path.with_name(f".{path.name}.aged")
    new.write_bytes(data)
    os.chmod(new, stat.S_IMODE(about.st_mode))
    # Only root may give files away, and only to whom it knows in a user namespace.
    if (about.st_uid, about.st_gid) != (new.stat().st_uid, new.stat().st_gid):
        os.chown(new, about.st_uid, about.st_gid)
    os.rename(new, path)
