"""Processes and sockets of a network namespace, by /proc and ss(8)."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from conformance.oracles.processes import Process, without_own


def processes() -> list[Process]:
    """Return the processes in the calling thread's network namespace, without this one and those it descends from."""
    here = _namespace("thread-self")
    found = []
    for name in os.listdir("/proc"):
        # It may have ended meanwhile; what has ended and is not waited for is in no namespace any more.
        with contextlib.suppress(OSError):
            if name.isdigit() and _namespace(name) == here:
                argv = Path(f"/proc/{name}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
                _, parent, _ = _status(name)
                found.append(Process(int(name), tuple(one.decode(errors="replace") for one in argv), parent))
    return without_own(found, os.getpid())


def user(pid: int) -> int:
    """Return the number of the user that a process is, effectively (proc_pid_status(5))."""
    (line,) = (one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith("Uid:"))
    return int(line.split()[2])


def is_stopped(pid: int) -> bool:
    """Whether a process was stopped."""
    return _status(str(pid))[0] == "T"


def bury(children: list[str]) -> list[str]:
    """Wait for those children that have ended and were adopted, and return the others.

    A daemon, in a session of its own, is adopted when the program that has started it ends (prctl(2),
    PR_SET_CHILD_SUBREAPER). What a driver has started itself and not waited for is in this process's session.
    """
    kept = []
    session = os.getsid(0)
    for pid in children:
        with contextlib.suppress(OSError):
            state, parent, of_child = _status(pid)
            if state == "Z" and parent == os.getpid() and of_child != session:
                os.waitpid(int(pid), os.WNOHANG)
                continue
        kept.append(pid)
    return kept


def sockets(said: str) -> list[str]:
    """Return what ``ss -Hlntu`` says as protocol and address: ``udp 0.0.0.0%br0:67``, ``tcp [fd09::1]:53``."""
    return sorted(f"{words[0]} {words[4]}" for words in map(str.split, said.splitlines()) if len(words) > 4)


def _namespace(pid: str) -> tuple[int, int]:
    about = os.stat(f"/proc/{pid}/ns/net")
    return about.st_dev, about.st_ino


def _status(pid: str) -> tuple[str, int, int]:
    """Return state, parent and session of a process (proc_pid_stat(5)): its name, in parentheses, may have anything."""
    words = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    return words[0], int(words[1]), int(words[3])
