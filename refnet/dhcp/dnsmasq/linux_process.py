"""Processes on Linux: by descriptors (pidfd_open(2)), so that a number given anew does no harm, and by ``/proc``."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterator

from refnet.dhcp.dnsmasq.processes import Matches, Process
from refnet.errors import KernelRefused, PermissionDenied

_PROC = "/proc"
#: Seconds for the arguments of a program that is just being started: execve(2) lets its caller go on before they can be
#: read, and who has been killed then has left a server that must be found.
_STARTING, _POLL = 0.2, 0.001


class LinuxProcess(Process):
    """A process, by its descriptor."""

    def __init__(self, pid: int, parent: int, arguments: tuple[str, ...], descriptor: int) -> None:
        """Take the descriptor over."""
        super().__init__(pid, parent, arguments)
        self._descriptor = descriptor

    def is_alive(self) -> bool:
        """Ask the kernel: the descriptor of a process that has ended can be read."""
        return not _has_ended(self._descriptor, 0)

    def send(self, signal_number: int) -> None:
        """Send a signal by the descriptor (pidfd_send_signal(2))."""
        try:
            signal.pidfd_send_signal(self._descriptor, signal_number)  # type: ignore[attr-defined,unused-ignore]
        except ProcessLookupError:
            return
        except PermissionError as error:
            raise PermissionDenied(
                f"process {self.pid} may not be signalled: it belongs to another user", errno=error.errno
            ) from None

    def wait(self, limit: float) -> bool:
        """Wait for the descriptor."""
        return _has_ended(self._descriptor, limit)

    def close(self) -> None:
        """Close the descriptor."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def opened(pid: int) -> LinuxProcess | None:
    """Return the process of this number, if it is alive, of this network stack, and its arguments can be read.

    Raises:
        KernelRefused: the kernel has no such descriptors.
    """
    try:
        descriptor = os.pidfd_open(pid)  # type: ignore[attr-defined,unused-ignore]
    except ProcessLookupError:
        return None
    except (OSError, OverflowError, ValueError) as error:
        # The number of a thread that is no process, or one that no process can have (EINVAL).
        number = error.errno if isinstance(error, OSError) else None
        if number is None or number in (22, 2):
            return None
        raise KernelRefused(f"process {pid} cannot be looked at: {error}", errno=number) from None
    try:
        arguments, parent = _arguments(pid), _parent(pid)
        # What was read is this process's if it lives still: until then nobody else could get its number.
        if arguments and parent is not None and _is_here(pid) and not _has_ended(descriptor, 0):
            process = LinuxProcess(pid, parent, arguments, descriptor)
            descriptor = -1
            return process
        return None
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def candidates(matches: Matches) -> Iterator[int]:
    """Give the numbers of all processes whose arguments match at a first look."""
    for name in os.listdir(_PROC):
        if name.isdecimal() and matches(_arguments(int(name))):
            yield int(name)


def _arguments(pid: int) -> tuple[str, ...]:
    deadline = time.monotonic() + _STARTING
    while True:
        try:
            with open(f"{_PROC}/{pid}/cmdline", "rb") as file:
                data = file.read()
        except OSError:  # it has ended, or is hidden from this user
            return ()
        if data:
            return tuple(os.fsdecode(one) for one in data.removesuffix(b"\0").split(b"\0"))
        if not _has_program(pid) or time.monotonic() >= deadline:
            return ()
        time.sleep(_POLL)


def _has_program(pid: int) -> bool:
    """Whether it is a process that runs a program: none that has ended, and no thread of the kernel's."""
    try:
        os.readlink(f"{_PROC}/{pid}/exe")
    except OSError:
        return False
    return True


def _parent(pid: int) -> int | None:
    try:
        with open(f"{_PROC}/{pid}/stat", "rb") as file:
            # The name in brackets can have anything in it.
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return None


def _is_here(pid: int) -> bool:
    """Whether it is of the caller's network namespace, as far as the kernel lets that be seen."""
    with contextlib.suppress(PermissionError):
        try:
            own, other = os.stat(f"{_PROC}/thread-self/ns/net"), os.stat(f"{_PROC}/{pid}/ns/net")
        except FileNotFoundError:
            return False
        return (own.st_dev, own.st_ino) == (other.st_dev, other.st_ino)
    return True


def _has_ended(descriptor: int, limit: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(max(0, round(limit * 1000))))
