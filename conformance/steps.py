"""What this process does to files and to other processes, step by step, whatever code does it.

A step is a change of a file or directory below a given one, the start of a program, or a signal. On FreeBSD, where the
system is looked at by programs, those that only look are no steps. Specs see that a call takes none, have the Nth one
fail, or die at it. Files are watched by Python's own audit events (PEP 578): what programs do that were started is
theirs.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from conformance import system
from conformance.asking import only_asks

#: Audit events of changes in the file system: how many paths they begin with, and where descriptors of directories are
#: that paths are relative to.
_CHANGES = {
    "os.chmod": (1, 2),
    "os.chown": (1, 3),
    "os.link": (2, 2),
    "os.mkdir": (1, 2),
    "os.remove": (1, 1),
    "os.rename": (2, 2),
    "os.rmdir": (1, 1),
    "os.symlink": (2, 2),
    "os.truncate": (1, 2),
    "os.utime": (1, 3),
}
#: Those that need room on the disk.
_ROOM = {"os.link", "os.mkdir", "os.rename", "os.symlink"}
#: Those of programs; subprocess.Popen is watched where it is done, since a program is there only when that returns.
_STARTS = {"os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"}
_SIGNALS = {"os.kill", "os.killpg"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Steps:
    """The steps that were taken, in words, and what is to happen at one of them."""

    def __init__(self, directory: str | Path, at: int, *, kill: bool) -> None:
        """Have the file step number ``at`` fail, or with ``kill`` die at the step number ``at``; 0 only watches."""
        self.directory = os.path.realpath(directory)
        self.at = at
        self.kill = kill
        self.seen: list[str] = []

    @property
    def hit(self) -> bool:
        """Whether that step was taken."""
        return 0 < self.at <= len(self.seen)

    def take(self, words: str, *, can_fail: bool = False) -> None:
        """Write a step down, and have happen what is to happen at it.

        Raises:
            OSError: the disk is full, as far as the step can see.
        """
        if self.at and not self.kill and not can_fail:
            return
        self.seen.append(words)
        if len(self.seen) != self.at:
            return
        if self.kill:
            _watching.clear()
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def audit(self, event: str, args: tuple[Any, ...]) -> None:
        """Look at an event of Python's."""
        if event == "open":
            path, _, flags = args
            if isinstance(path, str | bytes | os.PathLike) and flags & _WRITING and self._is_within(path):
                self.take(f"open {os.fsdecode(path)} for writing", can_fail=True)
        elif event in _CHANGES:
            paths, descriptors = args[: _CHANGES[event][0]], args[_CHANGES[event][1] :]
            # What is relative to a descriptor, or is one, may be anywhere: it counts.
            named = [one for one in paths if isinstance(one, str | bytes | os.PathLike)]
            is_vague = len(named) < len(paths) or any(isinstance(one, int) and one >= 0 for one in descriptors)
            # Who dies between the making of a file and its mode leaves no other trace than who dies before.
            is_watched = not self.kill if is_vague else any(map(self._is_within, named))
            if is_watched and not _is_vain(event, args):
                self.take(" ".join((event, *map(os.fsdecode, named))), can_fail=event in _ROOM)
        elif event in _STARTS:
            self.take(f"{event} {args[0]!r}" if args else event)
        elif event in _SIGNALS:
            self.take(f"signal {args[1]} to {args[0]}")

    def _is_within(self, path: str | bytes | os.PathLike[str]) -> bool:
        text = os.path.abspath(os.fsdecode(path))
        return f"{os.path.realpath(os.path.dirname(text))}/".startswith(f"{self.directory}/") or text == self.directory


def _is_vain(event: str, args: tuple[Any, ...]) -> bool:
    """Whether a removal is refused anyhow: nothing is there, or something is in it."""
    path = args[0]
    if event not in ("os.remove", "os.rmdir") or args[1] >= 0:
        return False
    return not os.path.lexists(path) or (event == "os.rmdir" and os.path.isdir(path) and any(os.scandir(path)))


#: Those who watch just now. A hook of Python's is for ever, so that there is one, which asks here.
_watching: list[Steps] = []
_installed: list[bool] = []


@contextlib.contextmanager
def watched(directory: str | Path, at: int = 0, *, kill: bool = False) -> Iterator[Steps]:
    """Watch the steps of this process within the context; what ``at`` and ``kill`` do, :class:`Steps` says."""
    steps = Steps(directory, at, kill=kill)
    if not _installed:
        sys.addaudithook(_hook)
        _installed.append(True)
    with contextlib.ExitStack() as patches:
        _replace(patches, subprocess.Popen, "__init__", _starting(steps, subprocess.Popen.__init__))
        if hasattr(signal, "pidfd_send_signal"):  # Linux's, which is no event
            _replace(patches, signal, "pidfd_send_signal", _signalling(steps, signal.pidfd_send_signal))
        _watching.append(steps)
        try:
            yield steps
        finally:
            if steps in _watching:
                _watching.remove(steps)


def _hook(event: str, args: tuple[Any, ...]) -> None:
    for steps in _watching:
        steps.audit(event, args)


def _replace(patches: contextlib.ExitStack, owner: Any, name: str, replacement: Callable[..., Any]) -> None:
    patches.callback(setattr, owner, name, getattr(owner, name))
    setattr(owner, name, replacement)


def _starting(steps: Steps, original: Callable[..., Any]) -> Callable[..., Any]:
    def start(self: Any, args: Any, *rest: Any, **kwargs: Any) -> Any:
        if _only_looks(args):
            return original(self, args, *rest, **kwargs)
        words = args if isinstance(args, str | bytes) else " ".join(os.fsdecode(word) for word in args)
        steps.take(f"start of {words!r}")
        result = original(self, args, *rest, **kwargs)
        if steps.kill:
            steps.take(f"after the start of {words!r}")
        return result

    return start


def _only_looks(args: Any) -> bool:
    """Whether a program is FreeBSD's way to look at something."""
    if system.NAME != system.FREEBSD or isinstance(args, str | bytes):
        return False
    return only_asks([os.fsdecode(word) for word in args])


def _signalling(steps: Steps, original: Callable[..., Any]) -> Callable[..., Any]:
    def send(descriptor: int, number: int, *rest: Any) -> Any:
        steps.take(f"signal {number}")
        return original(descriptor, number, *rest)

    return send
