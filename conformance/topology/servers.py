"""What listens at a receiver: a program that answers all who ask, as long as one conversation takes it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from conformance.topology.base import Stack
from conformance.topology.flows import HOST, Flow
from conformance.topology.network import Scene

QUESTION, ANSWER = b"refnet: are you there? ", b"refnet: I am. "
#: Bytes of a token: what a question ends with, and a connection begins with.
_TOKEN = 32


@dataclass(frozen=True, slots=True)
class Talk:
    """A conversation as the receiver saw it: the address and the port of who has spoken to it (ICMP: port 0)."""

    peer: str
    peer_port: int


class _Server(Protocol):
    def __init__(self, stack: Stack, address: str, port: int) -> None: ...

    def close(self) -> None: ...


ServerT = TypeVar("ServerT", bound=_Server)


@contextlib.contextmanager
def serving(scene: Scene, flow: Flow, kind: type[ServerT]) -> Iterator[ServerT]:
    """Have what listens where a settled flow comes to; two flows that come to one place share it."""
    assert flow.destination is not None
    own = flow.destination if flow.receiver == HOST else scene.address(flow.receiver, flow.family)
    place = (kind, flow.receiver, flow.listen or own, flow.listen_port or flow.dport)
    server, users = scene.servers.get(place) or (kind(scene.stack(flow.receiver), *place[2:]), 0)
    scene.servers[place] = (server, users + 1)
    try:
        yield server
    finally:
        _, users = scene.servers.pop(place)
        if users > 1:
            scene.servers[place] = (server, users - 1)
        else:
            server.close()


class UdpServer:
    """Answers questions by datagrams.

    Attributes:
        peers: by the token of a question, the address and the port that it came from.
    """

    def __init__(self, stack: Stack, address: str, port: int) -> None:
        """Open the socket."""
        self.peers: dict[bytes, tuple[str, int]] = {}
        self._sock = stack.datagram_socket(address, port)
        self._sock.setblocking(False)

    def fileno(self) -> int:
        """Return what to wait on for questions."""
        return self._sock.fileno()

    def serve(self) -> None:
        """Answer all that has come."""
        while True:
            try:
                data, sender = self._sock.recvfrom(128)
            except OSError:
                return
            if data.startswith(QUESTION):
                token = data[len(QUESTION) :]
                self.peers[token] = sender[:2]
                # An answer that the rules for output drop is an error for who sends it.
                with contextlib.suppress(OSError):
                    self._sock.sendto(ANSWER + token, sender)

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()


class TcpServer:
    """Accepts connections, which begin with a token.

    Attributes:
        connected: by its token, each connection, and the address and the port that it comes from.
    """

    def __init__(self, stack: Stack, address: str, port: int) -> None:
        """Listen."""
        self.connected: dict[bytes, tuple[socket.socket, tuple[str, int]]] = {}
        self._unknown: list[tuple[socket.socket, tuple[str, int]]] = []
        self._listener = stack.stream_socket(address, port)
        self._listener.listen(16)
        self._listener.setblocking(False)

    def waiting(self) -> list[socket.socket]:
        """Return what to wait on: for connections, and for their first bytes."""
        return [self._listener, *(sock for sock, _ in self._unknown)]

    def serve(self) -> None:
        """Accept, and read the tokens."""
        with contextlib.suppress(OSError):
            while True:
                sock, peer = self._listener.accept()
                sock.setblocking(False)
                self._unknown.append((sock, peer[:2]))
        for entry in [*self._unknown]:
            with contextlib.suppress(OSError):
                token = entry[0].recv(_TOKEN)
                self._unknown.remove(entry)
                self.connected[token] = entry

    def close(self) -> None:
        """Close all sockets."""
        for sock, _ in [*self.connected.values(), *self._unknown]:
            sock.close()
        self._listener.close()


def receive_exactly(sock: socket.socket, count: int) -> bytes:
    """Return so many bytes, or fewer if the connection ends before."""
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        if not part:
            break
        data += part
    return data
