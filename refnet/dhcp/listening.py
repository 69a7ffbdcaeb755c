"""A Unix socket that lease events are received by."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import stat
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from refnet import locks, names
from refnet.dhcp.lease_event import MAX_LINE, LeaseEvent, parse
from refnet.dhcp.values import lease_events, whole_number
from refnet.errors import AlreadyExists, InvalidArgument, KernelRefused, PermissionDenied, RefnetError
from refnet.names import shown

#: Seconds that who has connected to a listener may take for its line; others wait meanwhile.
_LINE_LIMIT = 2.0
_BACKLOG = 128
_CHUNK = 1 << 16


@contextlib.contextmanager
def listen(path: str | Path, *, mode: int = 0o600) -> Iterator[Listener]:
    """Listen at a Unix socket, made with ``mode`` and removed at the end; yield what iterates over the events.

    What is left of a listener that was killed is replaced. An event that is sent while nobody listens is lost: who
    needs all of them takes a log.

    Raises:
        InvalidArgument: it is no path that a socket can have, or no mode.
        AlreadyExists: another program listens there, or there is something else by that name.
        PermissionDenied, KernelRefused, LockTimeout: what they say.
    """
    place = lease_events(str(path) if isinstance(path, Path) else path)
    if place is None or place == "log":
        raise InvalidArgument(f"{shown(path)} is not the absolute path of a socket")
    whole_number(mode, "mode", 0, 0o777, "permission bits")
    # Two that start at once would take each other's socket for a dead one's.
    lock = f"dhcp-listen-{hashlib.sha256(place.encode()).hexdigest()[:16]}"
    with locks.held(lock):
        listening = _listening(place, mode)
        made = os.lstat(place)
    try:
        yield Listener(listening)
    finally:
        listening.close()
        with locks.held(lock), contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.lstat(place), made):
                os.unlink(place)


class Listener(Iterator[LeaseEvent]):
    """The events that come by a socket, one after the other; made by :func:`listen`."""

    def __init__(self, listening: socket.socket) -> None:
        """Take events from a socket that listens."""
        self._socket = listening
        self._waiting: deque[LeaseEvent] = deque()

    def fileno(self) -> int:
        """Return the descriptor that is readable when somebody has an event, for a program's own loop."""
        return self._socket.fileno()

    def __next__(self) -> LeaseEvent:
        """Wait for the next event, for ever."""
        found = self.wait(None)
        if found is None:
            raise StopIteration
        return found

    def wait(self, time_limit: float | None) -> LeaseEvent | None:
        """Return the next event; None if none has come within so many seconds.

        Raises:
            InvalidArgument: it is no number of seconds.
            KernelRefused: the socket fails.
        """
        limit = None if time_limit is None else names.seconds(time_limit, "time limit")
        deadline = None if limit is None else time.monotonic() + limit
        while not self._waiting:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                self._socket.settimeout(left)
                connection, _ = self._socket.accept()
            except (TimeoutError, BlockingIOError):
                return None
            except OSError as error:
                raise _refusal(error, "no lease event can be received") from None
            with connection:
                found = (parse(line) for line in _received(connection).split(b"\n"))
                self._waiting.extend(one for one in found if one is not None)
        return self._waiting.popleft()


def _listening(path: str, mode: int) -> socket.socket:
    """Return a socket that listens at a path, in place of one that nobody listens at."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        try:
            _make_room(path)
            made.bind(path)
            # Nobody can connect before listen(2): until then the socket may have the mode of the umask.
            os.chmod(path, mode)
            made.listen(_BACKLOG)
        except OSError as error:
            raise _refusal(error, f"the socket {path} cannot be made") from None
    except BaseException:
        made.close()
        raise
    return made


def _make_room(path: str) -> None:
    """Remove a socket that nobody listens at.

    Raises:
        AlreadyExists: somebody does, or it is none.
        OSError: it cannot be found out, or not be removed.
    """
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise AlreadyExists(f"{path} is there and is no socket: it is left alone")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.setblocking(False)
        try:
            asking.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:
            pass
    raise AlreadyExists(f"another program listens at {path}")


def _received(connection: socket.socket) -> bytes:
    """Return all that one who has connected sends, as far as it comes in time."""
    deadline = time.monotonic() + _LINE_LIMIT
    found = b""
    with contextlib.suppress(OSError):
        while len(found) <= MAX_LINE:
            connection.settimeout(max(0.001, deadline - time.monotonic()))
            part = connection.recv(_CHUNK)
            if not part:
                break
            found += part
    return found


def _refusal(error: OSError, what: str) -> RefnetError:
    kind = PermissionDenied if isinstance(error, PermissionError) else KernelRefused
    return kind(f"{what}: {error.strerror}", errno=error.errno, detail=error.strerror)
