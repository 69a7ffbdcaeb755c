"""The process: starting dnsmasq, having it read its files again, and ending it. Nothing here writes a file of ours."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import signal
import socket
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from refnet import process
from refnet.dhcp.dnsmasq import freebsd_jail, processes
from refnet.dhcp.dnsmasq.freebsd_jail import IS_FREEBSD
from refnet.dhcp.dnsmasq.place import Place
from refnet.dhcp.dnsmasq.processes import Process
from refnet.dhcp.network import DhcpNetwork
from refnet.dhcp.values import Ipv6Mode
from refnet.errors import (
    AddressInUse,
    CommandFailed,
    KernelRefused,
    NoAnswer,
    NoSuchDevice,
    PermissionDenied,
    RefnetError,
    ServerFailed,
)

#: Seconds that a server which was asked to end gets before it is killed, and a killed one and its children then.
GRACE, DEATH_LIMIT = 5.0, 5.0
#: Octets of its log beyond which it is emptied, by whoever changes something.
_MOST_LOG = 1 << 20
#: Octets of its log that are looked at for its last words.
_TAIL = 4096
#: Seconds between two looks at the log; the first ones are shorter.
_PAUSE, _LONGEST_PAUSE = 0.001, 0.02

#: Seconds in which the program that tells a lease event has been started and has told it.
_TOLD = 0.3

#: "Nov 22 06:43:25 dnsmasq-dhcp[542]: words"
_LOGGED = re.compile(r"\]: (.*)")
_FAREWELL = re.compile(r"exiting on receipt|FAILED to start|failed|cannot|unknown|bad |No space|error", re.IGNORECASE)
#: What dnsmasq says of itself does not have the caller's environment to depend on.
_ENVIRONMENT = ("LC_ALL=C", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")


class Refused(ServerFailed):
    """The server has read its files and refuses a line of them."""


def is_ours(arguments: Sequence[str], place: Place) -> bool:
    """Whether a process with these arguments is a server of this directory, whatever version of refnet started it.

    Something that has them among its own (a shell, a tracer) is none. The env(1) of :func:`_run` is one: it becomes the
    server, also where who has started it has been killed.
    """
    if tuple(arguments[:2]) == ("env", "-i"):
        arguments = tuple(itertools.dropwhile(lambda one: os.path.basename(one) != "dnsmasq", arguments))
    return (
        len(arguments) > 2
        and os.path.basename(arguments[0]) == "dnsmasq"
        and arguments[1] == f"--pid-file={place.pid}"
        and arguments[-1] == f"--conf-file={place.configuration}"
    )


def running(place: Place, recorded: int | None) -> Process | None:
    """Return the server of a directory; None: there is none.

    It is known by its pid file, or by the number that was ``recorded`` when it was started. Without a record, all
    processes are looked at.

    Raises:
        KernelRefused: processes cannot be looked at here.
    """
    for pid in dict.fromkeys((_pid(place.pid), recorded)):
        found = processes.find(pid, lambda arguments: is_ours(arguments, place)) if pid else None
        if found is not None:
            return found
    # With a record, it is gone: what else has its arguments can only be what it has forked.
    return _searched(place) if recorded is None else None


def _searched(place: Place) -> Process | None:
    """Return the server among all processes that have its arguments: its children have them as well."""
    found = processes.search(lambda arguments: is_ours(arguments, place))
    pids = {one.pid for one in found}
    first = next((one for one in found if one.parent not in pids), None)
    for one in found:
        if one is not first:
            one.close()
    return first


def _pid(path: Path) -> int | None:
    try:
        with open(path, "rb") as file:
            text = file.read(32).strip()
    except OSError:
        return None
    return int(text) if text.isdigit() and len(text) < 11 and int(text) > 1 else None


# -- starting ----------------------------------------------------------------------------------------------


def try_out(arguments: Sequence[str], time_limit: float) -> None:
    """Have dnsmasq look at arguments and configuration, without starting anything.

    Raises:
        ServerFailed: it refuses them.
    """
    _run([arguments[0], "--test", *arguments[1:]], (), time_limit)


def spawn(network: DhcpNetwork, arguments: Sequence[str], environment: Sequence[str], time_limit: float) -> None:
    """Start a server; it has its sockets when this returns.

    Raises:
        AddressInUse, NoSuchDevice, PermissionDenied, KernelRefused, ServerFailed: it does not start, in its own words.
        NoAnswer: it did neither start nor fail in time.
    """
    if IS_FREEBSD:
        # In a jail it would get the port all the same.
        taken = freebsd_jail.taken(network)
        if taken is not None:
            raise AddressInUse(f"dnsmasq does not start: another program has {taken}", detail=taken)
        arguments = freebsd_jail.launched(network, arguments)
    else:
        _see_that_nobody_serves(network)
    _run(arguments, environment, time_limit)
    if IS_FREEBSD:
        freebsd_jail.wake(network)


def _see_that_nobody_serves(network: DhcpNetwork) -> None:
    """Refuse to serve a device that another server serves: dnsmasq would share the port with one that lets it.

    Raises:
        AddressInUse: one does.
    """
    ports = [(socket.AF_INET, 67)] if network.serves_dhcp else []
    if network.ipv6 is not None and network.ipv6 is not Ipv6Mode.SLAAC:
        ports.append((socket.AF_INET6, 547))
    for family, port in ports:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as tried:
                if family == socket.AF_INET6:
                    tried.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, network.device.encode())
                tried.bind(("", port))
        except OSError as error:
            # What else is in its way it says itself.
            if error.errno == errno.EADDRINUSE:
                raise AddressInUse(
                    f"another program serves port {port} of UDP on {network.device}", errno=error.errno
                ) from None


def send_to_read(network: DhcpNetwork, server: Process) -> None:
    """Have a server read its files again."""
    if IS_FREEBSD:
        freebsd_jail.wake(network, lambda: server.send(signal.SIGHUP))
    else:
        server.send(signal.SIGHUP)


def _run(arguments: Sequence[str], environment: Sequence[str], time_limit: float) -> None:
    try:
        process.run(["env", "-i", *_ENVIRONMENT, *environment, *arguments], time_limit=time_limit)
    except CommandFailed as error:
        if error.status is None:
            raise NoAnswer(f"dnsmasq did not start within {time_limit:g} s", detail=error.detail) from None
        raise _translated(freebsd_jail.words(error.stderr) if IS_FREEBSD else error.stderr) from None


def _translated(said: str) -> RefnetError:
    words = " ".join(line.strip().removeprefix("dnsmasq: ") for line in said.splitlines() if line.strip())
    words = words or "it ended without a word"
    kinds: list[tuple[str, type[RefnetError]]] = [
        ("Address already in use", AddressInUse),
        ("unknown interface", NoSuchDevice),
        ("Operation not permitted", PermissionDenied),
        ("Permission denied", PermissionDenied),
        ("missing required capability", PermissionDenied),
        ("No space left", KernelRefused),
    ]
    kind = next((kind for mark, kind in kinds if mark in words), ServerFailed)
    return kind(f"dnsmasq does not start: {words}", detail=words)


def started(place: Place) -> Process:
    """Return the process of a server that was just started.

    Raises:
        ServerFailed: it has ended.
    """
    found = running(place, None)
    if found is None:
        raise ServerFailed(f"dnsmasq has ended: {last_words(place)}", detail=last_words(place))
    return found


def limit_log(place: Place) -> None:
    """Empty a log that has become too long: the server adds to its end, wherever that is; guests can make it write."""
    if log_size(place) > _MOST_LOG and not place.log.is_symlink():
        with contextlib.suppress(OSError):
            os.truncate(place.log, 0)


def log_size(place: Place) -> int:
    """Return where the log ends: what the server says next stands behind it."""
    try:
        return place.log.stat().st_size
    except OSError:
        return 0


def wait_until_read(place: Place, server: Process, offset: int, last: Path | None, time_limit: float) -> None:
    """Wait until the server has said, behind a place in its log, that it has read a file (None: that it has started).

    Raises:
        Refused: it refuses a line of one of its files, or could not open it.
        ServerFailed: it has ended.
        NoAnswer: it did not say so in time.
    """
    deadline, pause, said = time.monotonic() + time_limit, _PAUSE, b""
    done = re.compile(rb"\]: read %s(?: - [0-9]+ \w+)?\n" % re.escape(os.fsencode(last)) if last else rb"\]: started,")
    while True:
        is_alive = server.is_alive()
        said += _read_from(place.log, offset + len(said))
        _see_that_nothing_is_refused(said, place)
        if is_alive and done.search(said):
            return
        if not is_alive:
            raise ServerFailed(f"dnsmasq has ended: {last_words(place)}", detail=last_words(place))
        if time.monotonic() >= deadline:
            raise NoAnswer(f"dnsmasq has not read {last or 'its files'} within {time_limit:g} s")
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _see_that_nothing_is_refused(said: bytes, place: Place) -> None:
    path = re.escape(os.fsencode(place.path))
    lines = re.findall(
        rb"\]: (.*(?: at line [0-9]+ of %s/|at %s/\S+ line |(?:read|load names from|access) %s/).*)" % ((path,) * 3),
        said,
    )
    for line in lines:
        words = line.decode(errors="backslashreplace")
        if words.startswith("read "):
            continue
        if "Permission denied" in words:
            raise PermissionDenied(
                f"dnsmasq, which is another user once it has its sockets, cannot read its files: {words}; let everybody"
                f" into each directory above {place.path} (chmod o+x)",
                detail=words,
            )
        raise Refused(f"dnsmasq refuses what it reads: {words}", detail=words)


def _read_from(path: Path, offset: int) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read()
    except OSError:
        return b""


def last_words(place: Place) -> str:
    """Return how the server ended, as far as its log says."""
    try:
        with open(place.log, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            lines = file.read().decode(errors="backslashreplace").splitlines()
    except OSError:
        lines = []
    spoken = [match[1].strip() for match in map(_LOGGED.search, lines) if match and match[1].strip()]
    if spoken and _FAREWELL.search(spoken[-1]):
        return spoken[-1]
    return "it ended without a word: it was killed, or the host was started anew"


def wait_until_told(place: Place, time_limit: float) -> None:
    """Wait until the log of lease events does not grow, but no longer than that: a server that ends tells all first."""
    deadline = time.monotonic() + time_limit
    while time.monotonic() < deadline:
        try:
            since = time.time() - place.events.stat().st_mtime
        except OSError:
            return
        if not 0 <= since < _TOLD:
            return
        time.sleep(_LONGEST_PAUSE)


# -- ending ------------------------------------------------------------------------------------------------


def stop(place: Place, recorded: int | None, time_limit: float) -> None:
    """End the server of a directory, and what it leaves behind; none is no error.

    It is asked to, gets a while for it, and is killed then. ``recorded`` is as for :func:`running`.

    Raises:
        ServerFailed: it does not end, not even when it is killed.
        PermissionDenied: it is another user's.
    """
    patience = _Patience(place, time_limit)
    found = running(place, recorded)
    children: list[int] = []
    if found is not None:
        with found:
            mine = processes.search(lambda arguments: is_ours(arguments, place), but=found.pid)
            children = [one.pid for one in mine if one.parent == found.pid]
            for one in mine:
                one.close()
            _end([found], patience)
    # One of its children tells what has become of leases, and ends by itself; those that answer by TCP live on if it
    # was killed. And who was killed while a server was being started may have left one that nobody knows of.
    left = processes.search(lambda arguments: is_ours(arguments, place))
    try:
        _end(left, patience, but=children)
    finally:
        for one in left:
            one.close()


class _Patience:
    """How long a server may take to end: a while, and longer as long as it tells what has become of leases.

    What it has not told is lost if it is killed, and with ``lease_store`` there is no other record of a lease.
    """

    def __init__(self, place: Place, time_limit: float) -> None:
        """Begin to wait."""
        self._events = place.events
        self._deadline = time.monotonic() + time_limit
        self._while = min(GRACE, time_limit / 2)

    def waits_for(self, one: Process) -> bool:
        """Wait for the end of a process, and return whether it has ended."""
        # To a socket it may be telling without a trace.
        blind = any(word.startswith("--dhcp-script=") for word in one.arguments) and not self._events.exists()
        before = self._seen()
        while True:
            left = max(0.0, self._deadline - time.monotonic())
            if one.wait(left if blind else min(left, self._while)):
                return True
            if self._seen() == before or time.monotonic() >= self._deadline:
                return False
            before = self._seen()

    def _seen(self) -> tuple[int, int] | None:
        try:
            found = self._events.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino


def _end(servers: Sequence[Process], patience: _Patience, but: Collection[int] = ()) -> None:
    """Ask processes to end (``but`` some, which are about to), and kill those that have not after a while."""
    for one in servers:
        if one.pid not in but:
            one.send(signal.SIGTERM)
            one.send(signal.SIGALRM)  # what ends one that answers by TCP; to others it means nothing
    for one in servers:
        if not patience.waits_for(one):
            one.send(signal.SIGKILL)
            if not one.wait(DEATH_LIMIT):
                raise ServerFailed(f"dnsmasq, process {one.pid}, does not end, not even when it is killed")
