"""A resolver that a spec asks with, and a server that somebody forwards to."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from conformance.errors import Inconclusive
from conformance.topology.base import Stack
from conformance.topology.dhcp import dns
from conformance.topology.dhcp.dns import Reply
from conformance.topology.sandbox import ARRIVAL_LIMIT

__all__ = ["Reply", "Upstream", "no_reply", "query"]

PORT = 53
#: Seconds between two sendings of a query.
_RESEND = 1.0
_LARGEST = 1 << 16


def query(
    stack: Stack,
    server: str,
    name: str,
    kind: str = "A",
    *,
    source: str | None = None,
    tcp: bool = False,
    limit: float = ARRIVAL_LIMIT,
    is_chaos: bool = False,
    recursion: bool = True,
) -> Reply:
    """Ask a server from a stack that has an address, again and again, until it answers.

    ``source`` is the address that is asked from, ``limit`` the seconds that it takes at most.

    Raises:
        AssertionError: it does not answer.
    """
    number = _new_number()
    text = dns.question(number, name, kind, is_chaos=is_chaos, recursion=recursion)
    found = (_by_stream if tcp else _by_datagram)(stack, server, source, text, number, limit)
    words = f"{stack.name} asked {server} for {name} {kind}{' by TCP' if tcp else ''}, and got no answer"
    assert found is not None, words
    return found


def no_reply(
    stack: Stack,
    server: str,
    name: str,
    kind: str = "A",
    *,
    control: Callable[[], object],
    what: str,
    source: str | None = None,
    tcp: bool = False,
    limit: float = ARRIVAL_LIMIT,
) -> None:
    """Prove that a query is not answered: ``control``, done afterwards, succeeds, and no answer has come by then.

    By TCP that is: no connection comes about, or none that says anything.

    Raises:
        AssertionError: an answer came.
        Inconclusive: the control raised an AssertionError, so that the silence proves nothing.
    """
    number = _new_number()
    text = dns.question(number, name, kind)
    with _socket(stack, server, source, tcp=tcp) as sock:
        sock.setblocking(False)
        # What refuses at once answers nothing either.
        with contextlib.suppress(OSError):
            if tcp:
                sock.connect((server, PORT))
            else:
                sock.sendto(text, (server, PORT))
        try:
            control()
        except AssertionError as error:
            raise Inconclusive(f"{what}: the control was not answered: {error}") from error
        found = None
        with contextlib.suppress(OSError):
            if tcp:
                # If there is a connection by now, whoever has taken it closes it, or answers.
                sock.send(struct.pack("!H", len(text)) + text)
                sock.settimeout(limit)
            found = dns.read(sock.recv(_LARGEST)[2 if tcp else 0 :], number)
    assert found is None, f"{what}: {stack.name} asked {server} for {name} {kind}, and got {found}"


def _by_datagram(stack: Stack, server: str, source: str | None, text: bytes, number: int, limit: float) -> Reply | None:
    deadline = time.monotonic() + limit
    with _socket(stack, server, source, tcp=False) as sock:
        while (left := deadline - time.monotonic()) > 0:
            # An ICMP error for an earlier sending, or no way there yet: it is tried again.
            with contextlib.suppress(OSError):
                sock.sendto(text, (server, PORT))
            again = time.monotonic() + min(_RESEND, left)
            while (left := again - time.monotonic()) > 0:
                if not select.select([sock], [], [], left)[0]:
                    break
                with contextlib.suppress(OSError):
                    found = dns.read(sock.recv(_LARGEST), number)
                    if found is not None:
                        return found
    return None


def _by_stream(stack: Stack, server: str, source: str | None, text: bytes, number: int, limit: float) -> Reply | None:
    deadline = time.monotonic() + limit
    while (left := deadline - time.monotonic()) > 0:
        with contextlib.suppress(OSError), _socket(stack, server, source, tcp=True) as sock:
            sock.settimeout(left)
            sock.connect((server, PORT))
            sock.sendall(struct.pack("!H", len(text)) + text)
            with sock.makefile("rb") as stream:
                (size,) = struct.unpack("!H", stream.read(2) or bytes(2))
                found = dns.read(stream.read(size), number)
                if found is not None:
                    return found
        time.sleep(0.05)
    return None


@contextlib.contextmanager
def _socket(stack: Stack, server: str, source: str | None, *, tcp: bool) -> Iterator[socket.socket]:
    open_one = stack.stream_socket if tcp else stack.datagram_socket
    sock = open_one(source or ("::" if ":" in server else "0.0.0.0"))  # noqa: S104
    with sock:
        yield sock


_numbers = iter(range(0))
_lock = threading.Lock()


def _new_number() -> int:
    """Return the number of a query: another one each time."""
    global _numbers
    with _lock:
        number = next(_numbers, None)
        if number is None:
            _numbers = iter(range(1, 1 << 16))
            number = next(_numbers)
    return number


# -- a server that is forwarded to ------------------------------------------------------------------------


@dataclass(eq=False)
class Upstream:
    """A DNS server of somebody else's, on an address of an awake stack. It answers by UDP and by TCP.

    ``names`` are what it knows: records by name, as (type, data), or the bare address; it says of others that there
    are none. What it was ``asked`` it keeps, as (name, type), in lower case. Used as a context manager.
    """

    stack: Stack
    address: str
    names: Mapping[str, str | Sequence[tuple[str, str]]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Have the sockets, and answer from now on."""
        self._by_name = {name.lower().rstrip("."): value for name, value in self.names.items()}
        self._ends, self._end = socket.socketpair()
        #: By connection, what has come by it.
        self._connections: dict[socket.socket, bytes] = {}
        self._datagrams = self.stack.datagram_socket(self.address, PORT)
        self._listener = self.stack.stream_socket(self.address, PORT)
        self._listener.listen(16)
        self._thread = threading.Thread(target=self._run, name="upstream", daemon=True)
        self._thread.start()

    def __enter__(self) -> Upstream:
        """Return this, to be closed at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Answer no more."""
        self._end.close()
        self._thread.join()
        for sock in (self._datagrams, self._listener, self._ends, *self._connections):
            sock.close()

    def _run(self) -> None:
        while True:
            ready, _, _ = select.select([self._ends, self._datagrams, self._listener, *self._connections], [], [])
            if self._ends in ready:
                return
            for sock in ready:
                # Who asks may have gone by the time that it is answered.
                with contextlib.suppress(OSError):
                    if sock is self._datagrams:
                        data, sender = sock.recvfrom(_LARGEST)
                        reply = self._answer(data)
                        if reply:
                            sock.sendto(reply, sender)
                    elif sock is self._listener:
                        self._connections[sock.accept()[0]] = b""
                    else:
                        self._serve(sock)

    def _serve(self, sock: socket.socket) -> None:
        """Take in what has come by a connection; it is closed after its first query, or if it ends before."""
        said = self._connections.pop(sock)
        more = b""
        with contextlib.suppress(OSError):
            more = sock.recv(_LARGEST)
        said += more
        size = int.from_bytes(said[:2], "big") if len(said) >= 2 else _LARGEST
        if more and len(said) < 2 + size:
            self._connections[sock] = said
            return
        with sock:
            reply = self._answer(said[2:]) if more else b""
            if reply:
                sock.sendall(struct.pack("!H", len(reply)) + reply)

    def _answer(self, data: bytes) -> bytes:
        found = dns.asked(data)
        if found is None:
            return b""
        _, name, kind = found
        self.asked.append((name.lower(), kind))
        known = self._by_name.get(name.lower())
        if known is None:
            return dns.answer(data, None)
        if isinstance(known, str):
            known = [("AAAA" if ":" in known else "A", known)]
        return dns.answer(data, [one for one in known if kind in (one[0], "ANY")])
