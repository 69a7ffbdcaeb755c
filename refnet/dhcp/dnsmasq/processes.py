"""Processes that may be servers of ours: found by their arguments, signalled without ever hitting another one.

How a system does it is in ``linux_process.py`` and ``freebsd_process.py``, each with a class that implements
:class:`Process` and the functions ``opened`` and ``candidates``.
"""

from __future__ import annotations

import abc
import importlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from types import TracebackType

#: Says of a process's arguments whether it is looked for.
Matches = Callable[[tuple[str, ...]], bool]


class Process(abc.ABC):
    """A process of this network stack that was there when it was looked at; never another one that has got its number.

    Attributes:
        pid: its number.
        parent: its parent's.
        arguments: what it was started with, the program first.
    """

    def __init__(self, pid: int, parent: int, arguments: tuple[str, ...]) -> None:
        """Keep what was seen."""
        self.pid = pid
        self.parent = parent
        self.arguments = arguments

    def __enter__(self) -> Process:
        """Return the process, to be let go at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of it."""
        self.close()

    @abc.abstractmethod
    def is_alive(self) -> bool:
        """Whether it goes on; one that has ended and that nobody has asked after (a zombie) does not."""

    @abc.abstractmethod
    def send(self, signal: int) -> None:
        """Send a signal to it; one that has ended is no error.

        Raises:
            PermissionDenied: it belongs to somebody else.
        """

    @abc.abstractmethod
    def wait(self, limit: float) -> bool:
        """Wait until it has ended, for at most ``limit`` seconds, and return whether it has."""

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of what is held; the process goes on. Closing twice is no error."""


class _System(Protocol):
    def opened(self, pid: int) -> Process | None:
        """Return the process of this number, if it is alive, of this network stack, and its arguments can be read."""

    def candidates(self, matches: Matches) -> Iterator[int]:
        """Give the numbers of all processes whose arguments match at a first look."""


def find(pid: int, matches: Matches) -> Process | None:
    """Return the process of this number if its arguments match."""
    process = _system().opened(pid)
    if process is None or matches(process.arguments):
        return process
    process.close()
    return None


def search(matches: Matches, but: int | None = None) -> list[Process]:
    """Return all processes of this network stack whose arguments match, but for the one of a number."""
    found = (find(pid, matches) for pid in _system().candidates(matches) if pid != but)
    return [process for process in found if process is not None]


def _system() -> _System:
    name = "freebsd" if sys.platform.startswith("freebsd") else "linux"
    return cast(_System, importlib.import_module(f"refnet.dhcp.dnsmasq.{name}_process"))
