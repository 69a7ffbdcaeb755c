"""A connection to Open vSwitch's database, with a copy of what refnet reads there that the server keeps up to date.

The protocol is that of RFC 7047, with the updates of ovsdb-server(7) ("monitor_cond"). The library ``ovs`` opens the
stream ("unix:", "tcp:", "ssl:" with its settings). Its own copy of the database (``ovs.db.idl``) is not used: one
thread at a time can have it, and that for some 2 ms of Python for each change. With 100 ports added and deleted, in ms
a port for both: one batched ovs-vsctl 13.5; one caller that does nothing but wait for the switch 20.6; refnet with
``ovs.db.idl`` 27.9; refnet with this 22.5, and with 16 threads, whose changes the switch takes over in one go, 15.2.
The library also waits by select(2), which ends at 1,024 open files, and has libuuid keep a file of the host open.

One thread at a time reads what comes; the others wait for it. A replica is for one connection: where that is lost, its
owner makes another.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import json
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from ovs.stream import Stream

from refnet.netdev.ovs.records import Json, Record
from refnet.netdev.ovs.tables import Tables

DATABASE = "Open_vSwitch"
#: The lock that ovs-vswitchd holds in the database while it is connected to it (vswitchd/bridge.c, bridge_init).
_DAEMON_LOCK = "ovs_vswitchd"
_MONITOR = "refnet"
_RECEIVE_BYTES = 1 << 16
_POLL = 0.02


class Lost(Exception):
    """The connection is gone, or could not be made; ``errno`` says why where the system does."""

    def __init__(self, number: int = 0) -> None:
        """Keep the number."""
        super().__init__(os.strerror(number) if number > 0 else "the server has closed the connection")
        self.errno = max(number, 0)


class Silent(Exception):
    """No answer within the time limit."""


class Refused(Exception):
    """The database has refused what it was asked; the message is its own."""

    def __init__(self, words: str, *, again: bool = False) -> None:
        """Keep whether rows have changed meanwhile, so that another look may help."""
        super().__init__(words)
        self.again = again


class Replica(Tables):
    """The tables, kept up to date over one connection."""

    def __init__(self, place: str, deadline: float) -> None:
        """Connect to ``place``, and wait until the tables are here.

        Raises:
            Lost: there is nobody at that place.
            Silent: somebody is, and does not answer.
            Refused: it has no Open vSwitch's database.
        """
        super().__init__()
        self._stream = _connection(place, deadline)
        self._reader: int | None = None
        self._text = ""
        self._decode = codecs.getincrementaldecoder("utf-8")()
        self._parse = json.JSONDecoder().raw_decode
        self._number = 0
        self._answers: dict[int, tuple[Json, Json]] = {}
        self._awaited: set[int] = set()
        self._lost: Lost | None = None
        self._first = 0
        try:
            self._monitor(deadline)
        except BaseException:
            self.close()
            raise

    def _monitor(self, deadline: float) -> None:
        schema = self.ask("get_schema", [DATABASE], deadline)
        try:
            wanted = {table: [{"columns": columns}] for table, columns in self.columns_of(schema).items()}
        except (LookupError, TypeError, AttributeError):
            raise Refused("its database has another schema") from None
        # What comes behind the answer, perhaps in one piece with it, builds on it: it is taken in as it comes.
        self._first = self._send("monitor_cond", [DATABASE, _MONITOR, wanted], deadline)
        self._answer(self._first, deadline)

    # -- the connection -------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connection; nobody is told."""
        with self.changed:
            self._lost = self._lost or Lost()
            with contextlib.suppress(OSError):
                self._stream.socket.shutdown(socket.SHUT_RDWR)
            self._give_back()
            self.changed.notify_all()

    def drop_copy(self) -> None:
        """Close this process's copy of a connection that is its parent's. The lock may be held for ever here."""
        self._stream.socket.close()

    def _give_back(self) -> None:
        """Give the descriptor back, unless somebody waits for it to be readable, who then does."""
        if self._lost is not None and self._reader is None:
            self._stream.close()

    def is_usable(self) -> bool:
        """Say whether the connection stands, as far as can be known without asking."""
        with self.changed:
            if self._reader is None and self._lost is None:
                try:
                    self._receive()
                except Lost:
                    self._give_back()
            return self._lost is None

    def wait_for(self, done: Callable[[], bool], deadline: float) -> None:
        """Take in what comes until ``done``, which is asked whenever something has come.

        Raises:
            Lost: the connection is gone.
            Silent: it was not done until ``deadline`` (of :func:`time.monotonic`).
        """
        with self.changed:
            while not done():
                if self._lost is not None:
                    raise self._lost
                if time.monotonic() >= deadline:
                    raise Silent
                if self._reader is not None:
                    self.changed.wait(deadline - time.monotonic())
                    continue
                self._reader = threading.get_ident()
                try:
                    try:
                        self.changed.release()
                        _await(self._stream.socket, deadline)
                    finally:
                        self.changed.acquire()
                    if self._lost is None:
                        with contextlib.suppress(Lost):  # which is seen above
                            self._receive()
                finally:
                    self._reader = None
                    self._give_back()
                    self.changed.notify_all()

    def ask(self, method: str, parameters: list[Json], deadline: float) -> Json:
        """Ask the server, and return its answer.

        Raises:
            Refused: it does not do that.
            Lost: it is not known whether it has done it.
            Silent: the same.
        """
        return self._answer(self._send(method, parameters, deadline), deadline)

    def _answer(self, number: int, deadline: float) -> Json:
        try:
            self.wait_for(lambda: number in self._answers, deadline)
        finally:
            with self.changed:
                self._awaited.discard(number)
                answer = self._answers.pop(number, (None, None))
        failed, result = answer
        if failed is not None:
            raise Refused(str(failed))
        return result

    def _send(self, method: str, parameters: list[Json], deadline: float) -> int:
        with self.changed:
            self._number += 1
            number = self._number
            self._awaited.add(number)
            self._write({"method": method, "params": parameters, "id": number}, deadline)
            return number

    def _write(self, message: Json, deadline: float) -> None:
        if self._lost is not None:
            raise self._lost
        data = json.dumps(message).encode()
        try:
            while data:
                sent = self._stream.send(data)
                if sent >= 0:
                    data = data[sent:]
                elif sent != -errno.EAGAIN:
                    raise Lost(-sent)
                elif not _await(self._stream.socket, deadline, writing=True):
                    raise Silent
        except BaseException as error:
            # Half a message may be on its way: nobody can add to it.
            self._lost = error if isinstance(error, Lost) else Lost()
            raise

    def _receive(self) -> None:
        """Read and take in all that has come; where that fails, or is interrupted half way, the connection is lost."""
        try:
            self._take_in_what_has_come()
        except BaseException as error:
            self._lost = error if isinstance(error, Lost) else Lost()
            raise

    def _take_in_what_has_come(self) -> None:
        pieces = []
        while True:
            failed, data = self._stream.recv(_RECEIVE_BYTES)
            if failed == errno.EAGAIN:
                break
            if failed or not data:
                raise Lost(failed)
            pieces.append(data)
        try:
            self._text += self._decode.decode(b"".join(pieces))
            for message in self._messages():
                self._handle(message)
        except (LookupError, TypeError, ValueError, AttributeError):
            raise Lost(errno.EPROTO) from None

    def _messages(self) -> Iterator[Json]:
        # A long one comes in many pieces, and is looked at when it may be all there.
        while self._text and (len(self._text) < _RECEIVE_BYTES or self._text[-1] == "}"):
            if self._text[0] != "{":
                raise Lost(errno.EPROTO)
            try:
                message, end = self._parse(self._text)
            except ValueError:
                return  # the rest is still to come
            self._text = self._text[end:].lstrip()
            yield message

    def _handle(self, message: Json) -> None:
        method, number = message.get("method"), message.get("id")
        if method is None:
            # An answer that nobody waits for any more is dropped.
            if number in self._awaited:
                # RFC 7047 (section 4) has both in each answer, and ovsdb-server no result in one with an error.
                failed = message.get("error")
                result: Json = message["result"] if failed is None else None
                self._answers[number] = failed, result
                if number == self._first and failed is None:
                    self.take_in(result)
        elif method == "echo":
            self._write({"result": message["params"], "error": None, "id": number}, time.monotonic())
        elif method == "update2":
            self.take_in(message["params"][1])
        elif method == "monitor_canceled":
            # The database is being replaced, with another schema perhaps.
            raise Lost

    @property
    def root(self) -> Record:
        """The one row of the table Open_vSwitch."""
        try:
            return super().root
        except LookupError:
            raise Refused(f"its database {DATABASE} has not been set up ('ovs-vsctl init')") from None

    # -- asking ---------------------------------------------------------------------------------------

    def transact(self, operations: list[dict[str, Json]], deadline: float) -> list[dict[str, Json]]:
        """Carry out operations of RFC 7047 (section 5.2), all or none; return what each of them answers.

        Raises: what :meth:`ask` raises; with Refused, nothing has changed.
        """
        results = self.ask("transact", [DATABASE, *operations], deadline)
        for result in results:
            if isinstance(result, dict) and result.get("error"):
                kind, details = str(result["error"]), str(result.get("details") or "")
                again = kind in ("timed out", "constraint violation", "referential integrity violation")
                raise Refused(f"{kind}: {details}" if details else kind, again=again)
        return [result or {} for result in results]

    def daemon_is_there(self, deadline: float) -> bool:
        """Ask whether ovs-vswitchd is connected to the database, which this is then up to date with.

        The server knows who holds the lock, and sends what has changed ahead of every answer
        (ovsdb/jsonrpc-server.c). Whoever asks leaves the queue at once.
        """
        with self.changed:  # one connection can wait for a lock once
            try:
                locked = self._send("lock", [_DAEMON_LOCK], deadline)
                unlocked = self._send("unlock", [_DAEMON_LOCK], deadline)
            except BaseException:
                # Interrupted in between, it would hold what is ovs-vswitchd's.
                self._lost = self._lost or Lost()
                raise
        answer = self._answer(locked, deadline)
        self._answer(unlocked, deadline)
        try:
            return not answer["locked"]
        except (LookupError, TypeError):
            raise Lost(errno.EPROTO) from None


def _connection(place: str, deadline: float) -> Any:
    """Open a stream. ``Stream.open_block`` does the same by select(2), and ends at 1,024 open files."""
    while True:
        try:
            failed, stream = Stream.open(place)
        except (OSError, OverflowError, TypeError, ValueError) as error:
            # What the library lets through of "ssl:" without its files, and of a port beyond 65535.
            raise Refused(f"it cannot be connected to: {error}") from None
        if failed != errno.EAGAIN:
            break
        # A socket in the file system whose server has not taken those that came before (unix(7), connect(2)).
        if time.monotonic() >= deadline:
            raise Silent
        time.sleep(_POLL)
    try:
        while not failed and (failed := stream.connect()) == errno.EAGAIN:
            if time.monotonic() >= deadline:
                raise Silent
            # Of "ssl:" it is not told what is waited for: that the connection is there, or the server's handshake.
            _await(stream.socket, min(deadline, time.monotonic() + _POLL), writing=not place.startswith("ssl:"))
            failed = 0
        if failed:
            raise Lost(failed)
    except BaseException:
        if stream is not None:
            stream.close()
        raise
    return stream


def _milliseconds(deadline: float) -> int:
    return max(0, int((deadline - time.monotonic()) * 1000))


def _await(channel: Any, deadline: float, *, writing: bool = False) -> bool:
    """Wait until a socket can be read or written; False where it could not be in time."""
    if not hasattr(select, "poll"):  # green threads take it away
        readers, writers = ([], [channel]) if writing else ([channel], [])
        return any(select.select(readers, writers, [], max(0.0, deadline - time.monotonic())))
    poll = select.poll()
    poll.register(channel, select.POLLOUT if writing else select.POLLIN)
    return bool(poll.poll(_milliseconds(deadline) + 1))
