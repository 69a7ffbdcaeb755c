"""What becomes of leases: events read from a network's log, or received by a socket.

The events come from ``refnet-dhcp-event`` (:mod:`refnet.dhcp_event`), which dnsmasq calls for each of them. A network
with ``lease_events="log"`` has them in the file ``events`` of its directory:

    for event in read("/var/lib/refnet/dhcp/br100/events", after=last_number, time_limit=None):
        print(event.action, event.address, event.mac_address)

One whose ``lease_events`` is a path has them sent to whoever listens there:

    with listen("/run/my-agent/leases.sock") as events:
        for event in events:
            print(event.action, event.address)
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from refnet import dhcp_event, names
from refnet.dhcp import leases as lease_files
from refnet.dhcp.lease_event import MAX_LINE, LeaseEvent, parse
from refnet.dhcp.leases import Lease
from refnet.dhcp.listening import Listener, listen
from refnet.dhcp.values import whole_number
from refnet.errors import InvalidArgument, KernelRefused, PermissionDenied, RefnetError
from refnet.names import shown

__all__ = ["LeaseEvent", "Listener", "lease_file", "leases", "listen", "parse", "read"]

#: Seconds between two looks at a log that has nothing new.
_POLL = 0.1
_CHUNK = 1 << 16


def read(path: str | Path, *, after: int = 0, time_limit: float | None = 0.0) -> Iterator[LeaseEvent]:
    """Iterate over a log's events in their order, from the first whose number is higher than ``after``.

    At the end it waits ``time_limit`` seconds for a further one before it stops: None is for ever, 0 not at all. The
    log does not have to be there yet.

    The log is replaced from time to time by one without events that no longer matter: reading goes on in the new one,
    and nobody misses an event who is at most :data:`refnet.dhcp_event.KEPT_EVENTS` behind. For one who comes later,
    :func:`leases` has what there is now.

    Raises:
        InvalidArgument: a value is none.
        PermissionDenied, KernelRefused: the log cannot be read.
    """
    file = _path(path)
    whole_number(after, "number of an event", 0, dhcp_event.MAX_NUMBER, "microseconds")
    return _follow(file, after, None if time_limit is None else names.seconds(time_limit, "time limit"))


def leases(path: str | Path, now: float | None = None) -> tuple[Lease, ...]:
    """Return the leases that a log's events leave at a time (seconds since 1970; None: now), without expired ones.

    A network with ``lease_store`` has no lease file: this is what stands for it.

    Raises:
        InvalidArgument: the path is none.
        PermissionDenied, KernelRefused: the log cannot be read.
    """
    moment = time.time() if now is None else now
    found = lease_files.parse(lease_file(path), str(path))
    return tuple(one for one in found if one.expires is None or one.expires > moment)


def lease_file(path: str | Path) -> str:
    """Return the lease file that dnsmasq is given at its start, out of a log; "" if there is none.

    Raises:
        InvalidArgument: the path is none.
        PermissionDenied, KernelRefused: the log cannot be read.
    """
    file = _opened(_path(path))
    if file is None:
        return ""
    with file:
        try:
            return dhcp_event.lease_file(file.read())
        except OSError as error:
            raise _refusal(error, f"the log {path} cannot be read") from None


def _follow(path: Path, after: int, limit: float | None) -> Iterator[LeaseEvent]:
    last, deadline = after, None if limit is None else time.monotonic() + limit
    file: IO[bytes] | None = None
    half = b""
    try:
        while True:
            if file is None:
                file, half = _opened(path), b""
            # Asked for before reading: a log that has been replaced gets no more lines.
            was_replaced = file is not None and _is_replaced(file, path)
            while file is not None and (chunk := _chunk(file, path)):
                *lines, half = (half + chunk).split(b"\n")
                # What is too long to be a line is not kept; its last octet makes no line of what follows either.
                half = half if len(half) <= MAX_LINE else half[-1:]
                for found in map(parse, lines):
                    if found is not None and found.number > last:
                        last = found.number
                        yield found
                        deadline = None if limit is None else time.monotonic() + limit
            if file is not None and was_replaced:
                file.close()
                file = None
                if path.exists():
                    continue
            if deadline is not None and time.monotonic() >= deadline:
                return
            time.sleep(_POLL if deadline is None else min(_POLL, max(0.0, deadline - time.monotonic())))
    finally:
        if file is not None:
            file.close()


def _chunk(file: IO[bytes], path: Path) -> bytes:
    """Return the next octets of a log; of one that somebody has emptied, from its beginning."""
    try:
        if os.fstat(file.fileno()).st_size < file.tell():
            file.seek(0)
        return file.read(_CHUNK)
    except OSError as error:
        raise _refusal(error, f"the log {path} cannot be read") from None


def _is_replaced(file: IO[bytes], path: Path) -> bool:
    try:
        return not os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except OSError:  # the path is gone; what cannot be opened is said when it is tried
        return True


def _opened(path: Path) -> IO[bytes] | None:
    try:
        file = open(path, "rb", buffering=0, opener=_without_waiting)  # noqa: SIM115 - who asks closes it
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _refusal(error, f"the log {path} cannot be read") from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise InvalidArgument(f"{path} is no log: it is no ordinary file")
    return file


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; a named pipe would have the process wait for who writes to it."""
    return os.open(path, flags | os.O_NONBLOCK)


def _path(path: object) -> Path:
    if not isinstance(path, str | os.PathLike) or "\0" in os.fspath(path) or not os.fspath(path):
        raise InvalidArgument(f"{shown(path)} is not the path of a log")
    return Path(path)


def _refusal(error: OSError, what: str) -> RefnetError:
    kind = PermissionDenied if isinstance(error, PermissionError) else KernelRefused
    return kind(f"{what}: {error.strerror}", errno=error.errno, detail=error.strerror)
