"""The seam to rtnetlink: one socket, requests with their answers, lists, and the attributes in an answer.

pyroute2 encodes what is asked (:mod:`refnet.netdev.linux.link`). The socket is plain, because a request through
``pyroute2.IPRoute`` costs several times what the kernel takes for it, and answers are read here attribute by attribute:
a driver needs five of the sixty that describe a link, and decoding all of them costs more than the whole request.

The facts about the protocol are those of ``netlink(7)``, ``rtnetlink(7)`` and ``linux/netlink.h``.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading
import weakref
from collections.abc import Callable, Container, Iterator, Sequence

from pyroute2.netlink import (
    NETLINK_EXT_ACK,
    NETLINK_GET_STRICT_CHK,
    NLM_F_ACK,
    NLM_F_ACK_TLVS,
    NLM_F_CAPPED,
    NLM_F_DUMP,
    NLM_F_DUMP_INTR,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    SOL_NETLINK,
)

from refnet.errors import DumpInterrupted, KernelRefused, NoAnswer, Unsupported

#: ``nlmsghdr``: length, type, flags, sequence number, port id.
HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_INT = struct.Struct("=i")

_NLMSGERR_ATTR_MSG = 1
#: The two top bits of an attribute's type say "nested" and "network byte order".
_ATTRIBUTE_TYPE = 0x3FFF

#: linux/netlink.h: do not repeat the whole request in a refusal. pyroute2 has the two other options that are used.
_NETLINK_CAP_ACK = 10

#: Seconds that the kernel gets for an answer. It answers at once unless somebody holds its lock for that long.
_TIME_LIMIT = 30
_RECEIVE_BYTES = 1 << 16
_LIST_ATTEMPTS = 20


class KernelError(Exception):
    """The kernel's refusal of one request: ``errno`` and, where it gave any, its own words."""

    def __init__(self, number: int, words: str = "") -> None:
        """Fall back to the C library's words for the number."""
        self.errno = number
        self.words = words or os.strerror(number)
        super().__init__(self.words)


def attributes(data: bytes, offset: int = 0, wanted: Container[int] | None = None) -> dict[int, bytes]:
    """Read the attributes in ``data`` from ``offset`` on, all or those wanted: their bytes by number."""
    found: dict[int, bytes] = {}
    end = len(data)
    unpack = _ATTRIBUTE.unpack_from
    while offset + 4 <= end:
        length, number = unpack(data, offset)
        if length < 4:
            break
        number &= _ATTRIBUTE_TYPE
        if wanted is None or number in wanted:
            found[number] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def pack(number: int, value: bytes) -> bytes:
    """Encode one attribute whose value is in bytes already."""
    return _ATTRIBUTE.pack(len(value) + 4, number) + value + bytes(-len(value) % 4)


class Request:
    """One message to the kernel: its type (``RTM_…``), flags, and the body behind the header.

    The body may be a function that makes it: most undoings are never sent, and encoding is most of a request's cost.
    """

    __slots__ = ("_body", "flags", "type")

    def __init__(self, message_type: int, body: bytes | Callable[[], bytes], flags: int = NLM_F_ACK) -> None:
        """Make a request that is acknowledged, or, with ``flags=0``, answered."""
        self.type = message_type
        self.flags = flags | NLM_F_REQUEST
        self._body = body

    def encode(self, sequence: int, *, quiet: bool = False) -> bytes:
        """Put the header in front of the body; ``quiet`` leaves out the acknowledgement, not the refusal."""
        flags = self.flags & ~NLM_F_ACK if quiet else self.flags
        body = self._body if isinstance(self._body, bytes) else self._body()
        return HEADER.pack(HEADER.size + len(body), self.type, flags, sequence, 0) + body


class Channel:
    """A socket to the kernel's link, address and route tables, in the network namespace of the calling thread.

    It is opened by the first request, and again when the caller has changed its namespace or the process has forked.
    Threads take turns.
    """

    def __init__(self) -> None:
        """Open nothing yet."""
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._namespace: tuple[int, int] | None = None
        self._sequence = 0
        _channels.add(self)

    def exchange(self, *requests: Request) -> list[bytes | KernelError]:
        """Send the requests in one go and return, for each, the body of its answer (empty: done) or the refusal.

        Raises:
            NoAnswer: the kernel did not answer in time. Requests may have been carried out.
        """
        with self._lock:
            sock = self._open()
            first = self._sequence + 1
            self._sequence += len(requests)
            self._send(sock, b"".join(request.encode(first + i) for i, request in enumerate(requests)))
            answers: list[bytes | KernelError | None] = [None] * len(requests)
            missing = len(requests)
            while missing:
                for kind, flags, sequence, body in self._receive(sock):
                    index = sequence - first
                    # Anything else is the late answer to a request that was given up (a signal, a time limit).
                    if not 0 <= index < len(requests) or answers[index] is not None:
                        continue
                    answers[index] = (_refusal(body, flags) or b"") if kind == NLMSG_ERROR else body
                    missing -= 1
            return answers  # type: ignore[return-value]

    def refusals(self, requests: Sequence[Request]) -> dict[int, KernelError]:
        """Have the kernel work through all of the requests, and return those refused by their position.

        They go in one datagram, which the kernel works through whole even if this process is killed. Only the last is
        acknowledged, so that the answers of hundreds fit into the socket.

        Raises:
            KernelError: nothing was done: the datagram was too large for the socket (thousands of requests).
            NoAnswer: the kernel did not answer in time. Requests may have been carried out.
        """
        if not requests:
            return {}
        last = len(requests) - 1
        with self._lock:
            sock = self._open()
            first = self._sequence + 1
            self._sequence += len(requests)
            self._send(sock, b"".join(request.encode(first + i, quiet=i != last) for i, request in enumerate(requests)))
            refused: dict[int, KernelError] = {}
            while True:
                for kind, flags, sequence, body in self._receive(sock):
                    index = sequence - first
                    if kind != NLMSG_ERROR or not 0 <= index <= last:
                        continue
                    refusal = _refusal(body, flags)
                    if refusal:
                        refused[index] = refusal
                    if index == last:
                        return refused

    def ask(self, request: Request) -> bytes:
        """Send one request and return the body of its answer.

        Raises:
            KernelError: the kernel refused.
        """
        (answer,) = self.exchange(request)
        if isinstance(answer, KernelError):
            raise answer
        return answer

    def entries(self, request: Request) -> list[bytes]:
        """Return the bodies of all entries of a table, from one consistent reading of it.

        Raises:
            KernelError: the kernel refused.
            DumpInterrupted: the table changed under every one of 20 readings.
        """
        request.flags |= NLM_F_DUMP
        for _ in range(_LIST_ATTEMPTS):
            found = self._entries_once(request)
            if found is not None:
                return found
        raise DumpInterrupted(f"the kernel's table changed during each of {_LIST_ATTEMPTS} readings: try again")

    def close(self) -> None:
        """Close the socket; the next request opens one."""
        with self._lock:
            self._drop()

    def _entries_once(self, request: Request) -> list[bytes] | None:
        with self._lock:
            sock = self._open()
            self._sequence += 1
            wanted = self._sequence
            self._send(sock, request.encode(wanted))
            try:
                return self._listed(sock, wanted)
            except KernelError:
                raise
            except BaseException:
                # The kernel makes no other list on this socket before one that was given up has been read to its end.
                self._drop()
                raise

    def _listed(self, sock: socket.socket, wanted: int) -> list[bytes] | None:
        entries: list[bytes] = []
        interrupted = False
        while True:
            for kind, flags, sequence, body in self._receive(sock):
                if sequence != wanted:
                    continue
                interrupted = interrupted or bool(flags & NLM_F_DUMP_INTR)
                if kind in (NLMSG_DONE, NLMSG_ERROR):
                    refusal = _refusal(body, flags) if len(body) >= 4 else None
                    if refusal:
                        raise refusal
                    return None if interrupted else entries
                entries.append(body)

    def _open(self) -> socket.socket:
        namespace = _namespace_of_thread()
        if self._socket is not None:
            if namespace is not None and namespace == self._namespace:
                return self._socket
            self._drop()
        try:
            sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        except OSError as error:
            if error.errno in (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT):
                raise Unsupported("this kernel has no rtnetlink", capability="netlink", errno=error.errno) from None
            raise KernelRefused(f"no netlink socket: {error.strerror}", errno=error.errno) from None
        try:
            sock.bind((0, 0))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", _TIME_LIMIT, 0))
            for option in (_NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK):
                sock.setsockopt(SOL_NETLINK, option, 1)
        except OSError as error:
            sock.close()
            raise KernelRefused(f"netlink socket: {error.strerror}", errno=error.errno) from None
        self._socket, self._namespace = sock, namespace
        return sock

    def _send(self, sock: socket.socket, data: bytes) -> None:
        try:
            sock.send(data)
        except OSError as error:
            self._drop()
            raise KernelError(error.errno or errno.EIO, error.strerror or "") from None

    def _receive(self, sock: socket.socket) -> Iterator[tuple[int, int, int, bytes]]:
        """Yield type, flags, sequence number and body of each message in the next datagram."""
        try:
            data = sock.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            self._drop()
            raise NoAnswer(
                f"the kernel did not answer on netlink within {_TIME_LIMIT} s", errno=errno.ETIMEDOUT
            ) from None
        except OSError as error:
            self._drop()
            raise KernelError(error.errno or errno.EIO, error.strerror or "") from None
        offset = 0
        while offset + HEADER.size <= len(data):
            length, kind, flags, sequence, _ = HEADER.unpack_from(data, offset)
            if length < HEADER.size:
                return
            yield kind, flags, sequence, data[offset + HEADER.size : offset + length]
            offset += (length + 3) & ~3

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _forget(self) -> None:
        # In a forked child: the parent's threads, and so whoever held the lock, are not here.
        self._lock = threading.Lock()
        self._drop()


def _refusal(body: bytes, flags: int) -> KernelError | None:
    """Read an NLMSG_ERROR or NLMSG_DONE: None where it says success."""
    (code,) = _INT.unpack_from(body)
    if code == 0:
        return None
    words = ""
    if flags & NLM_F_ACK_TLVS:
        # With NETLINK_CAP_ACK the request's header alone is repeated before the attributes.
        skip = _INT.size + HEADER.size if flags & NLM_F_CAPPED else _INT.size
        words = attributes(body, skip).get(_NLMSGERR_ATTR_MSG, b"").rstrip(b"\0").decode(errors="replace")
    return KernelError(-code, words)


def _namespace_of_thread() -> tuple[int, int] | None:
    """Identify the calling thread's network namespace; None where /proc cannot say, and sockets are not kept."""
    try:
        found = os.stat("/proc/thread-self/ns/net")
    except OSError:
        return None
    return found.st_dev, found.st_ino


_channels: weakref.WeakSet[Channel] = weakref.WeakSet()


def _after_fork() -> None:
    for channel in list(_channels):
        channel._forget()


os.register_at_fork(after_in_child=_after_fork)
