"""What an environment is: a kernel with the system's tools, in which the suite can start a program.

All the rest (finding a Python, bringing the suite and the driver along, listening, Ctrl-C, a silence that lasts too
long) is the same for all of them, and is :mod:`conformance.launcher`'s.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import ClassVar

STDOUT, STDERR = 1, 2
DEFAULT_KERNEL = "cloud"
_CHUNK = 1 << 16
#: Seconds for a program on this host (ssh, a launcher of namespaces) to end by itself before it is killed.
_GRACE = 15.0


@dataclass(frozen=True, slots=True)
class Options:
    """What a user can say about environments; each says which of them it heeds (:attr:`Environment.heeds`)."""

    #: ``user@host:port`` of the environment ``ssh``.
    destination: str = ""
    #: Engines of the environment ``docker``, as DOCKER_HOST would name them; empty: that of DOCKER_HOST or the context.
    docker_hosts: tuple[str, ...] = ()
    privileged: bool = False
    ssh_key: Path | None = None
    #: Who to be in a virtual machine whose system is not refnet's own; "": root.
    ssh_user: str = ""
    #: Disk that ``freebsd-vm`` boots; None: the image that was built.
    disk: Path | None = None
    #: Flavour of the kernel that ``linux-vm`` boots.
    kernel: str = DEFAULT_KERNEL
    #: Memory of a virtual machine in MiB; None: what the environment needs.
    memory: int | None = None
    #: Tells people about work that takes long.
    say: Callable[[str], None] = field(default=lambda _: None)


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether an environment can be had here: what is missing, each with the way to get it; empty: nothing is."""

    missing: tuple[str, ...] = ()
    #: What would be used, if it can be had: an engine, an accelerator, a version.
    found: str = ""


class Channel(ABC):
    """A program that runs in an environment, seen through its three streams. It ends when its input is closed."""

    @abstractmethod
    def send(self, data: bytes) -> None:
        """Write to the program's standard input.

        Raises:
            OSError: the program, or the way to it, is gone.
        """

    @abstractmethod
    def receive(self) -> Iterator[tuple[int, bytes]]:
        """Give what the program writes, as pairs of :data:`STDOUT` or :data:`STDERR` and bytes, until it has ended."""

    @abstractmethod
    def close(self) -> None:
        """Close the program's input, which ends it, and give up what this side holds. Bounded; may be called again.

        Callable from another thread than the one in :meth:`receive`, which then comes to its end.
        """


class Environment(ABC):
    """A place where specs run. Entering it gets it ready, leaving it removes all that was made, and nothing else.

    ``for_options`` returns several where the specs are to be spread over several (engines, for instance).

    Attributes:
        log_to: where a log of the environment's own, such as a console's, is to stay; set before it is entered.
    """

    name: ClassVar[str]
    #: The fields of :class:`Options` that mean something to it.
    heeds: ClassVar[frozenset[str]] = frozenset()
    #: Whether the suite and the driver have to be brought along; False: it sees this host's files.
    is_apart: ClassVar[bool] = True
    #: By area what is judged there when nothing is named; where an area is not in it, that of this host's system.
    drivers: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def __init__(self, options: Options) -> None:
        """Take note of the options; nothing is made before the environment is entered."""
        self.options = options
        self.log_to: Path | None = None

    @classmethod
    def for_options(cls, options: Options) -> list[Environment]:
        """Return the environments over which the specs are to be spread."""
        return [cls(options)]

    @classmethod
    @abstractmethod
    def availability(cls, options: Options) -> Availability:
        """Find out, changing nothing and within seconds, whether it can be had here."""

    @abstractmethod
    def __enter__(self) -> Environment:
        """Get it ready.

        Raises:
            EnvironmentUnavailable: it cannot be had; the message says what is missing and how to get it.
        """

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove what was made."""

    @abstractmethod
    def start(self, command: Sequence[str]) -> Channel:
        """Start a program by argument list.

        Raises:
            EnvironmentUnavailable: it cannot be started.
        """

    def details(self) -> Mapping[str, str]:
        """Return what a report should say of it beyond what the suite sees from inside (an engine, an accelerator)."""
        return {}

    def last_words(self) -> str:
        """Return what is known here of why a channel has broken: a console's end, the state of a container; or ""."""
        return ""

    def advice(self, said: str) -> str:
        """Return what would help, from what the near end of a channel has said before anything was heard; or ""."""
        return ""

    def shell(self) -> str:
        """Return the command that opens a shell there for a person; "" where that is this host's own."""
        return ""


class ProcessChannel(Channel):
    """A channel whose near end is a program on this host: ``ssh``, or the program itself.

    The program is put into a session of its own: Ctrl-C in the terminal is the launcher's to pass on.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Start the program.

        Raises:
            OSError: it cannot be started.
        """
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        self._closing = threading.Lock()

    def send(self, data: bytes) -> None:
        """Write all of it: a pipe takes what it has room for."""
        assert self._process.stdin is not None
        view = memoryview(data)
        while view:
            view = view[self._process.stdin.write(view) :]

    def receive(self) -> Iterator[tuple[int, bytes]]:
        """Give what both streams have, as it comes."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ, STDOUT)
            selector.register(self._process.stderr, selectors.EVENT_READ, STDERR)
            while selector.get_map():
                for key, _ in selector.select():
                    data = os.read(key.fd, _CHUNK)
                    if data:
                        yield key.data, data
                    else:
                        selector.unregister(key.fileobj)

    def close(self) -> None:
        """Close the input, give the program time to end, and then kill its session."""
        with self._closing:
            end(self._process, _GRACE)


def end(process: subprocess.Popen[bytes], grace: float) -> None:
    """Close a program's input, give it ``grace`` seconds to end by itself, and then kill its session."""
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
