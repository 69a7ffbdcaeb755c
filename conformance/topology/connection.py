"""A TCP connection between two kernels that a spec keeps open."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence
from typing import Protocol

from conformance.errors import Inconclusive, SuiteError
from conformance.topology import packets
from conformance.topology.base import Endpoint
from conformance.topology.flows import Flow
from conformance.topology.frames import Frame
from conformance.topology.network import Scene
from conformance.topology.servers import Talk, receive_exactly


class _Watch(Protocol):
    def seen(self) -> list[bytes]: ...


class _Talking(Protocol):
    """What a connection needs of its topology beside what is where."""

    def talks(self, flow: Flow, *, what: str) -> Talk: ...


class Connection:
    """A TCP connection; :meth:`.Network.connected` makes it.

    Attributes:
        peer, peer_port: whom the receiver sees.
        local_port: the sender's own port.
    """

    def __init__(
        self,
        scene: Scene,
        flow: Flow,
        made: tuple[socket.socket, socket.socket, Talk],
        ends: Sequence[Endpoint],
        watch: _Watch,
    ) -> None:
        """Take over what is connected; ``watch`` sees what the sender gets."""
        self._client, self._server, talk = made
        self.peer, self.peer_port = talk.peer, talk.peer_port
        self.local_port = int(self._client.getsockname()[1])
        self._scene, self._flow = scene, flow
        self._ends, self._watch = ends, watch
        self._count = 0

    def exchange(self, *, what: str) -> None:
        """Prove that it is alive: some bytes there, and others back.

        Raises:
            AssertionError: they do not arrive in time, or the connection has ended.
        """
        for sock in (self._client, self._server):
            sock.settimeout(self._scene.net.arrival_limit)
        for words, one, other in (("there", self._client, self._server), ("back", self._server, self._client)):
            sent = self._next()
            try:
                one.sendall(sent)
                got = receive_exactly(other, len(sent))
            except OSError as error:
                raise AssertionError(
                    f"{what}: the connection ({self._flow}) is cut on the way {words}: {error}"
                ) from None
            if got != sent:
                raise AssertionError(f"{what}: the connection ({self._flow}) has ended on the way {words}")

    def is_cut(self, *, control: Flow, what: str) -> None:
        """Prove that nothing gets through any more: bytes are sent both ways, ``control`` talks, and none has come.

        The control talks between the same two. After this the connection is of no more use.

        Raises:
            AssertionError: something has come through.
            Inconclusive: the control does not talk.
        """
        sent = self._next()
        for sock in (self._client, self._server):
            sock.setblocking(False)
            # One that the kernel has ended takes nothing more.
            with contextlib.suppress(OSError):
                sock.send(sent)
        try:
            scene: _Talking = self._scene  # type: ignore[assignment]
            scene.talks(control, what="the control")
        except AssertionError as error:
            raise Inconclusive(f"{what}: {error}") from None
        for name, sock in (("receiver", self._server), ("sender", self._client)):
            with contextlib.suppress(OSError):
                if sock.recv(1 << 16):
                    raise AssertionError(f"{what}: the connection ({self._flow}) is not cut: the {name} got bytes")

    def segment(self, flags: str, *, sender: bool = True, ahead: int = 0, payload: bytes = b"") -> Frame:
        """Return a segment as the sender's end (or the receiver's) would send it next, with its addresses and ports.

        ``ahead`` is added to its sequence number: 0 is the very next one, 1 << 30 is out of any window. What has gone
        over the connection last must have gone by :meth:`exchange`.
        """
        mine, theirs = self._numbers()
        flow = self._flow
        assert flow.source is not None
        assert flow.destination is not None
        if sender:
            ends = (flow.source, flow.destination, self.local_port, flow.dport)
        else:
            mine, theirs = theirs, mine
            at, port = self._server.getsockname()[:2]
            ends = (str(at), self.peer, int(port), self.peer_port)
        data = packets.tcp(*ends, flags, payload, seq=mine + ahead, ack=theirs)
        names = (flow.sender, flow.receiver) if sender else (flow.receiver, flow.sender)
        (frame,) = self._scene.frames(Flow(*names, family=flow.family, craft=lambda _: data))
        return frame

    def inject(self, frame: Frame, *, sender: bool = True) -> None:
        """Have the sender (or the receiver) put a frame on its wire."""
        self._ends[0 if sender else 1].send(frame)

    def _numbers(self) -> tuple[int, int]:
        """Return the next sequence numbers of the sender and of the receiver, from what the sender has got last."""
        for data in reversed(self._watch.seen()):
            packet = packets.parse(data)
            if packet.protocol == packets.TCP and (packet.sport, packet.dport) == (self._flow.dport, self.local_port):
                assert packet.seq is not None
                assert packet.ack is not None
                used = len(packet.payload) + ("S" in packet.flags) + ("F" in packet.flags)
                return packet.ack, (packet.seq + used) % (1 << 32)
        raise SuiteError(f"nothing of the connection ({self._flow}) has been seen")

    def _next(self) -> bytes:
        self._count += 1
        return b"refnet: line %08d\n" % self._count
