"""Processes on FreeBSD: watched by kqueue(2), and looked at with procstat(1), ps(1) and jls(8).

There is no /proc to read, and no descriptor of a process but for its parent (pdfork(2)). A kernel event on its end is
as good: it is asked for first and looked at last, and what was read between is the process's if it has not ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
from collections.abc import Iterator
from typing import Any

from refnet import process
from refnet.dhcp.dnsmasq.processes import Matches, Process
from refnet.errors import CommandFailed, KernelRefused, PermissionDenied

_PROCSTAT, _PS, _JLS = "/usr/bin/procstat", "/bin/ps", "/usr/sbin/jls"
#: Not of Python on other systems.
_kernel: Any = select


class Watch:
    """Whether a process has ended, as the kernel tells it: about that process, not about its number."""

    def __init__(self, pid: int) -> None:
        """Ask for the event.

        Raises:
            KernelRefused: the kernel has no events to give.
        """
        self.has_ended = False
        try:
            self._queue = _kernel.kqueue()
        except OSError as error:
            raise KernelRefused(f"process {pid} cannot be watched: {error.strerror}", errno=error.errno) from None
        try:
            wanted = _kernel.kevent(pid, _kernel.KQ_FILTER_PROC, _kernel.KQ_EV_ADD, _kernel.KQ_NOTE_EXIT)
            # What is said at once is that it is not there, has ended already, or is not for this user to see.
            self.has_ended = bool(self._queue.control([wanted], 1, 0))
        except BaseException:
            self._queue.close()
            raise

    def wait(self, limit: float) -> bool:
        """Wait until it has ended, for at most so many seconds, and return whether it has."""
        # The event is told once.
        self.has_ended = self.has_ended or bool(self._queue.control([], 1, limit))
        return self.has_ended

    def close(self) -> None:
        """Ask no longer; closing twice is no error."""
        self._queue.close()


class FreeBsdProcess(Process):
    """A process that is watched."""

    def __init__(self, pid: int, parent: int, arguments: tuple[str, ...], watch: Watch) -> None:
        """Take the watch over."""
        super().__init__(pid, parent, arguments)
        self._watch = watch

    def is_alive(self) -> bool:
        """Ask whether its end has been told."""
        return not self._watch.wait(0)

    def send(self, signal: int) -> None:
        """Send a signal, unless its end has been told: a number is given anew only after all others."""
        if not self.is_alive():
            return
        try:
            os.kill(self.pid, signal)
        except ProcessLookupError:
            return
        except PermissionError as error:
            raise PermissionDenied(
                f"process {self.pid} may not be signalled: it belongs to another user", errno=error.errno
            ) from None

    def wait(self, limit: float) -> bool:
        """Wait for its end to be told."""
        return self._watch.wait(max(0.0, limit))

    def close(self) -> None:
        """Watch it no longer."""
        self._watch.close()


def opened(pid: int) -> FreeBsdProcess | None:
    """Return the process of this number, if it is alive, of this network stack, and its arguments can be read.

    Raises:
        KernelRefused: the system does not tell.
    """
    if not 0 < pid < 1 << 31:
        return None
    with contextlib.ExitStack() as stack:
        watch = Watch(pid)
        stack.callback(watch.close)
        if watch.has_ended:
            return None
        arguments, (parent, jail) = _arguments(str(pid)).get(pid, ()), _parent_and_jail(pid)
        if not arguments or parent is None or not _is_here(jail) or watch.wait(0):
            return None
        stack.pop_all()
        return FreeBsdProcess(pid, parent, arguments, watch)


def candidates(matches: Matches) -> Iterator[int]:
    """Give the numbers of all processes whose arguments match."""
    for pid, arguments in _arguments("-a").items():
        if matches(arguments):
            yield pid


def _arguments(which: str) -> dict[int, tuple[str, ...]]:
    """Return the arguments of processes by their numbers; kernel threads have none, nor has who is hidden."""
    # It fails, and has printed what there is, where one of them has ended meanwhile.
    said = _said([_PROCSTAT, "--libxo", "json", *(("-a", "args") if which == "-a" else ("args", which))])
    listed = said.get("procstat", {}).get("arguments", {})
    return {one["process_id"]: tuple(one["arguments"]) for one in listed.values() if one.get("arguments")}


def _parent_and_jail(pid: int) -> tuple[int | None, int]:
    said = _said([_PS, "--libxo", "json", "-o", "ppid,jid", "-p", str(pid)])
    for one in said.get("process-information", {}).get("process", []):
        return int(one["ppid"]), int(one["jail-id"])
    return None, 0


def _is_here(jail: int) -> bool:
    """Whether a jail has this process's network stack: its own one (0 in here), or one below that inherits it."""
    if jail == 0:
        return True
    said = _said([_JLS, "--libxo", "json", "jid", "parent", "vnet"])
    jails = {int(one["jid"]): one for one in said.get("jail-information", {}).get("jail", [])}
    while jail in jails and jails[jail].get("vnet") != "new":
        jail = int(jails[jail]["parent"])
    return jail == 0


def _said(argv: list[str]) -> dict[str, Any]:
    """Return what a program of the base system says in JSON.

    Raises:
        KernelRefused: it says nothing of that kind.
    """
    try:
        output = process.run(argv, expect=(0, 1)).stdout
        # Characters such as tabs come as they are.
        found: dict[str, Any] = json.loads(output or "{}", strict=False)
    except (CommandFailed, json.JSONDecodeError) as error:
        raise KernelRefused(f"processes cannot be looked at: {' '.join(argv)}: {error}") from None
    return found
