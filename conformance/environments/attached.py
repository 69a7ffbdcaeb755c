"""The channel to a container's main process: one connection to the engine, on which its streams come in frames.

The frames are those of the engine's API, "attach to a container": one byte for the stream, three of nothing, four for
the length, big endian, and the data.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from conformance.environments.base import STDERR, STDOUT, Channel
from conformance.environments.engine import ANSWER_LIMIT, Engine

#: Seconds for a program to end after its input has, before it is killed; and for the engine to do that.
GRACE = 10.0
_HEADER = struct.Struct(">BxxxL")
_CHUNK = 1 << 16
#: Milliseconds between two looks at whether there is still something to wait for.
_LOOK = 500


class AttachedChannel(Channel):
    """A channel to a container that has been made and not yet been started."""

    def __init__(self, engine: Engine, container: str, name: str) -> None:
        """Attach to the container."""
        self.name = name
        self._engine = engine
        self._container = container
        streams = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        # The SDK's own object has to be kept: with it goes the connection.
        self._keep = engine.within(ANSWER_LIMIT, lambda: engine.api.attach_socket(container, streams), "attach")
        self._socket: socket.socket = getattr(self._keep, "_sock", self._keep)
        # TLS does not like two threads at once, and neither of them may keep the other waiting.
        self._socket.setblocking(False)
        self._turn = threading.Lock()
        self._closing = threading.Lock()
        self._is_closed = False
        #: The engine has said the last of the program. It may leave the connection open for minutes after that.
        self._is_over = False
        self._was_killed = False

    def send(self, data: bytes) -> None:
        """Write all of it, as there is room."""
        view = memoryview(data)
        while view:
            if self._is_closed or self._is_over:
                raise BrokenPipeError("the program has ended, or its input has been closed")
            try:
                with self._turn:
                    sent = self._socket.send(view[:_CHUNK])
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._wait(select.POLLOUT)
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN)
            else:
                view = view[sent:]

    def receive(self) -> Iterator[tuple[int, bytes]]:
        """Give what comes, taken out of its frames. A frame that has been cut off is given as far as it goes."""
        buffer = bytearray()
        stream, left = STDOUT, 0
        while True:
            data = self._read()
            if not data:
                self._is_over = True
                return
            buffer += data
            while buffer:
                if left:
                    piece = bytes(buffer[:left])
                    del buffer[: len(piece)]
                    left -= len(piece)
                    yield stream, piece
                elif len(buffer) >= _HEADER.size:
                    number, left = _HEADER.unpack_from(buffer)
                    del buffer[: _HEADER.size]
                    stream = STDOUT if number == STDOUT else STDERR
                else:
                    break

    def close(self) -> None:
        """Close the input; a program that has not ended then, within a limit, is killed with its container."""
        with self._closing:
            if self._is_closed:
                return
            self._is_closed = True
            with contextlib.suppress(OSError):
                self._close_input()
            with self._engine.forgiven():
                if not self._is_gone(GRACE):
                    self._was_killed = True
                    with self._engine.forgiven():
                        self._engine.api.remove_container(self._container, force=True)
                    self._is_gone(GRACE)
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Give up the connection; nobody is in :meth:`receive` any more."""
        self._socket.close()
        self._keep.close()

    def account(self, limit: float) -> str:
        """Return the engine's account of how the container has ended, waiting at most ``limit`` seconds for it."""
        if self._was_killed:
            return f"container {self.name} did not end within {GRACE:g} s of the end of its input, and was killed"
        api = self._engine.api
        if not self._is_gone(limit):
            state = api.inspect_container(self._container)["State"]
            return f"container {self.name} is still there, {state['Status']}, but the connection to it has ended"
        # By the engine's own clock: for a moment that is still to come it would wait.
        time = re.sub(r"\.\d+", "", api.info()["SystemTime"]).replace("Z", "+00:00")
        until = int(datetime.fromisoformat(time).timestamp()) + 1
        mine = {"container": self._container}
        events = self._engine.within(
            limit, lambda: list(api.events(since=1, until=until, filters=mine, decode=True)), "tell its events"
        )
        told = [f"container {self.name}"]
        for event in events:
            attributes: dict[str, Any] = event.get("Actor", {}).get("Attributes", {})
            action = event.get("Action")
            if action == "kill":
                told.append(f"was sent signal {attributes.get('signal', '?')} by somebody through the engine")
            elif action == "oom":
                told.append("ran out of memory, and the kernel killed something in it")
            elif action == "die":
                told.append(f"ended with exit status {attributes.get('exitCode', '?')}")
        return f"{told[0]} {', '.join(told[1:]) or 'is gone, and the engine does not know why: was it restarted?'}"

    def _close_input(self) -> None:
        # TLS has no way to close one direction: the other goes with it, and what the program still says is lost.
        how = socket.SHUT_RDWR if isinstance(self._socket, ssl.SSLSocket) else socket.SHUT_WR
        self._socket.shutdown(how)

    def _is_gone(self, limit: float) -> bool:
        """Wait until the container is removed, which the engine does when it has ended."""
        try:
            self._engine.api.wait(self._container, timeout=limit, condition="removed")
        except Exception as error:
            if getattr(error, "status_code", None) == 404:
                return True
            if "timed out" in str(error).lower():
                return False
            raise
        return True

    def _read(self) -> bytes:
        while True:
            try:
                try:
                    with self._turn:
                        return self._socket.recv(_CHUNK)
                except (BlockingIOError, ssl.SSLWantReadError):
                    self._wait(select.POLLIN)
                except ssl.SSLWantWriteError:
                    self._wait(select.POLLOUT)
            except (OSError, ValueError):  # broken off; or given up by this side
                return b""

    def _wait(self, what: int) -> None:
        poll = select.poll()
        poll.register(self._socket, what)
        poll.poll(_LOOK)
