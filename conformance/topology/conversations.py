"""Conversations between two kernels, attempted step by step: by UDP, by TCP, by ICMP echo."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import time
from collections.abc import Iterator
from typing import Any, Protocol

from conformance.topology import packets
from conformance.topology.flows import Flow
from conformance.topology.frames import Frame
from conformance.topology.network import Scene
from conformance.topology.servers import ANSWER, QUESTION, Talk, TcpServer, UdpServer, receive_exactly, serving

#: Seconds between two sendings of what may have been lost to address resolution.
_RESEND = 0.3
#: Seconds between two looks at what cannot be waited for together.
_LOOK = 0.05


class Silence(Exception):
    """The conversation did not come about; the message says where it ended."""


class Attempt(Protocol):
    """A conversation that may come about."""

    def tries(self) -> None:
        """Have the sender say the first word, without waiting for anything."""
        ...

    def answers(self) -> bool:
        """Have the receiver answer, without waiting for anything, and return whether it has been spoken to."""
        ...

    def has_talked(self) -> bool:
        """Whether an answer has come, as of now."""
        ...

    def completes(self, limit: float) -> Talk:
        """Have both talk to the end, within a limit in seconds.

        Raises:
            Silence: they do not.
        """
        ...

    def close(self) -> None:
        """Let go of the sockets."""
        ...


@contextlib.contextmanager
def attempt(scene: Scene, flow: Flow, sport: int) -> Iterator[Attempt]:
    """Have an attempt of a settled flow's protocol; ``sport`` is the sender's port, 0: any."""
    made: Attempt
    if flow.protocol == "udp":
        made = UdpAttempt(scene, flow, sport)
    elif flow.protocol == "tcp":
        made = TcpAttempt(scene, flow, sport)
    else:
        made = EchoAttempt(scene, flow)
    with contextlib.closing(made):
        yield made


class UdpAttempt:
    """A question by a datagram, and its answer."""

    def __init__(self, scene: Scene, flow: Flow, sport: int) -> None:
        """Open both sockets."""
        assert flow.source is not None
        self._flow = flow
        self._token = scene.net.new_token()
        self._held = contextlib.ExitStack()
        try:
            self._server = self._held.enter_context(serving(scene, flow, UdpServer))
            client = scene.stack(flow.sender).datagram_socket(flow.source, sport)
            self._client = self._held.enter_context(client)
        except BaseException:
            self._held.close()
            raise
        self._client.setblocking(False)
        self._refusal = ""

    def tries(self) -> None:
        """Send the question; what comes back from elsewhere than where it went to is not for this socket."""
        try:
            self._client.connect((self._flow.destination, self._flow.dport))
            self._client.send(QUESTION + self._token)
        except OSError as error:
            # The kernel says that it was refused or dropped, or that there is no way.
            self._refusal = str(error)

    def answers(self) -> bool:
        """Answer the questions that have come."""
        self._server.serve()
        return self._token in self._server.peers

    def has_talked(self) -> bool:
        """Whether the answer has come."""
        while True:
            try:
                if self._client.recv(128) == ANSWER + self._token:
                    return True
            except BlockingIOError:
                return False
            except OSError as error:
                self._refusal = str(error)

    def completes(self, limit: float) -> Talk:
        """Ask until it is answered."""
        deadline = time.monotonic() + limit
        while True:
            self.tries()
            again = min(deadline, time.monotonic() + _RESEND)
            both: list[Any] = [self._client, self._server]
            while (left := again - time.monotonic()) > 0:
                select.select(both, [], [], left)
                if self.answers() and self.has_talked():
                    return Talk(*self._server.peers[self._token])
            if time.monotonic() >= deadline:
                asked = "the question arrived, and no answer to it" if self.answers() else "the question did not arrive"
                raise Silence(f"{asked}{f' ({self._refusal})' if self._refusal else ''}")

    def close(self) -> None:
        """Close the sockets."""
        self._held.close()


class TcpAttempt:
    """A connection, a question and an answer over it, and its orderly end."""

    def __init__(self, scene: Scene, flow: Flow, sport: int) -> None:
        """Listen."""
        self._scene, self._flow, self._sport = scene, flow, sport
        self._token = scene.net.new_token()
        self._held = contextlib.ExitStack()
        self._server = self._held.enter_context(serving(scene, flow, TcpServer))
        self._client: socket.socket | None = None
        self._refusal = ""

    def tries(self) -> None:
        """Begin to connect."""
        if self._client is not None:
            self._client.close()
        assert self._flow.source is not None
        self._client = self._scene.stack(self._flow.sender).stream_socket(self._flow.source, self._sport)
        self._client.setblocking(False)
        number = self._client.connect_ex((self._flow.destination, self._flow.dport))
        if number not in (0, errno.EINPROGRESS):
            self._refusal = f"{errno.errorcode.get(number, number)} when connecting"

    def answers(self) -> bool:
        """Return whether anything has been said: the kernels alone make the connection."""
        self._server.serve()
        return self._token in self._server.connected

    def has_talked(self) -> bool:
        """Whether the sender is connected."""
        if self._client is None:
            return False
        try:
            self._client.getpeername()
        except OSError:
            # Not connected; why not, if it is known already.
            number = self._client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                self._refusal = errno.errorcode.get(number, str(number))
            return False
        return True

    def connects(self, limit: float) -> tuple[socket.socket, socket.socket, Talk]:
        """Connect, and say something, by which the receiver knows which connection is which; return both ends.

        Raises:
            Silence: they do not within the limit.
        """
        deadline = time.monotonic() + limit
        self.tries()
        assert self._client is not None
        has_spoken = False
        while True:
            if not has_spoken and self.has_talked():
                with contextlib.suppress(OSError):
                    self._client.send(self._token)
                has_spoken = True
            if self.answers():
                server, peer = self._server.connected[self._token]
                return self._client, server, Talk(*peer)
            left = deadline - time.monotonic()
            if self._refusal or left <= 0:
                step = "connected, and nothing comes through" if has_spoken else "no connection"
                raise Silence(f"{step}{f': {self._refusal}' if self._refusal else ''}")
            waiting = [] if has_spoken else [self._client]
            select.select(self._server.waiting(), waiting, [], min(left, _LOOK))

    def completes(self, limit: float) -> Talk:
        """Connect, ask and answer, and end."""
        client, server, talk = self.connects(limit)
        for sock in (client, server):
            sock.setblocking(True)
            sock.settimeout(limit)
        step = "the question did not arrive"
        try:
            client.sendall(QUESTION)
            if receive_exactly(server, len(QUESTION)) == QUESTION:
                step = "the answer did not arrive"
                server.sendall(ANSWER)
                if receive_exactly(client, len(ANSWER)) == ANSWER:
                    step = "the connection did not end"
                    # Who ends it first keeps its port for a while: the receiver, so that the sender's can be used anew.
                    server.shutdown(socket.SHUT_WR)
                    if client.recv(64) == b"":
                        client.shutdown(socket.SHUT_WR)
                        if server.recv(64) == b"":
                            return talk
        except OSError as error:
            raise Silence(f"connected, and {step}: {error}") from None
        raise Silence(f"connected, and {step}")

    def close(self) -> None:
        """Close all sockets."""
        if self._client is not None:
            self._client.close()
        self._held.close()


class EchoAttempt:
    """An echo request on the wire, and the receiver's kernel's reply."""

    def __init__(self, scene: Scene, flow: Flow) -> None:
        """Open both ends."""
        self._scene, self._flow = scene, flow
        self._held = contextlib.ExitStack()
        try:
            self._sender = self._held.enter_context(scene.end(flow.sender, flow))
            self._receiver = self._held.enter_context(scene.receiving(flow))
        except BaseException:
            self._held.close()
            raise
        self._starts = {end: len(end.record) for end in (self._sender, self._receiver)}
        self._frames: list[Frame] = []

    def tries(self) -> None:
        """Send a request."""
        self._frames = self._scene.frames(self._flow)
        for frame in self._frames:
            self._sender.send(frame)

    def answers(self) -> bool:
        """Return whether the request has arrived: the kernel has answered."""
        return any(frame.token in data for frame in self._frames for data in self._seen(self._receiver))

    def has_talked(self) -> bool:
        """Whether the reply has come: it carries what the request carried, and comes from where that went to."""
        for data in self._seen(self._sender):
            packet = packets.parse(data)
            is_reply = packet.icmp_type == packets.ECHO_REPLY[self._flow.family == 6]
            if is_reply and packet.source == self._flow.destination and self._frames[0].token in data:
                return True
        return False

    def completes(self, limit: float) -> Talk:
        """Ask until it is answered."""
        deadline = time.monotonic() + limit
        while True:
            self.tries()
            again = min(deadline, time.monotonic() + _RESEND)
            while (left := again - time.monotonic()) > 0:
                if self.has_talked():
                    return Talk(self._peer(), 0)
                select.select(list(self._starts), [], [], min(left, _LOOK))
            if time.monotonic() >= deadline:
                raise Silence("the request arrived, and no reply" if self.answers() else "the request did not arrive")

    def _peer(self) -> str:
        kind = packets.ECHO_REQUEST[self._flow.family == 6]
        for data in self._seen(self._receiver):
            packet = packets.parse(data)
            if packet.icmp_type == kind and self._frames[0].token in data:
                return packet.source
        return ""

    def _seen(self, end: object) -> list[bytes]:
        for one, start in self._starts.items():
            if one is end:
                one.receive()
                return [captured.data for captured in one.record[start:] if not captured.sent]
        return []

    def close(self) -> None:
        """Let go of the ends."""
        self._held.close()
