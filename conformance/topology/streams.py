"""Streams of numbered packets in the background of what a spec does."""

from __future__ import annotations

import contextlib
import re
import select
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from conformance.errors import Inconclusive, SuiteError
from conformance.topology.base import Endpoint
from conformance.topology.flows import Flow
from conformance.topology.network import Scene

#: Seconds between two rounds in which each stream sends a packet: what no receiver's buffer is too small for.
_PACE = 0.002
#: Packets of each stream before and after what a spec does.
_LEAST = 20
#: Seconds for them to be sent.
_LIMIT = 60.0
#: Source ports of streams whose packets are each the first of a connection, and how many they use in turn.
_FIRST_PORT, _PORTS = 32768, 30000


@dataclass(eq=False)
class _Stream:
    """One flow's packets. ``token`` and the number are in each of them."""

    flow: Flow
    settled: Flow
    scene: Scene
    sender: Endpoint
    receiver: Endpoint
    token: bytes
    passes: bool
    port: int
    start: int
    sent: int = 0
    _seen: dict[int, int] = field(default_factory=dict)

    def send(self, number: int, *, fresh: bool) -> None:
        flow = self.settled.but(sport=self.port + number % _PORTS) if fresh else self.settled
        for frame in self.scene.frames(flow, b"%s-%08d" % (self.token, number)):
            self.sender.send(frame)

    def numbers(self) -> list[int]:
        """Return the numbers of the packets that have arrived, in their order."""
        wanted = re.compile(re.escape(self.token) + rb"-(\d{8})")
        arrived = [wanted.search(one.data) for one in self.receiver.record[self.start :] if not one.sent]
        return [int(found[1]) for found in arrived if found]


class Streams:
    """Streams under way; :meth:`.Network.streaming` makes, ends and judges them."""

    def __init__(self, *, fresh: bool) -> None:
        """Have none yet."""
        self._fresh = fresh
        self._streams: list[_Stream] = []
        self._changed = threading.Condition()
        self._is_ending = False
        self._error: BaseException | None = None

    def add(
        self, flow: Flow, scene: Scene, settled: Flow, sender: Endpoint, receiver: Endpoint, *, passes: bool
    ) -> None:
        """Add a stream of a flow."""
        port, token = _FIRST_PORT + len(self._streams), scene.net.new_token()
        start = len(receiver.record)
        self._streams.append(_Stream(flow, settled, scene, sender, receiver, token, passes, port, start))

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Have packets sent by a thread for as long as the context lasts, and some before and after it."""
        thread = threading.Thread(target=self._run, name="streams", daemon=True)
        thread.start()
        try:
            self.more()
            yield
            self.more()
        finally:
            self._is_ending = True
            thread.join()

    def more(self, count: int = _LEAST) -> None:
        """Wait until so many more packets of each flow have been sent.

        Raises:
            SuiteError: they cannot be sent.
        """
        wanted = {id(stream): stream.sent + count for stream in self._streams}

        def done() -> bool:
            return self._error is not None or all(one.sent >= wanted[id(one)] for one in self._streams)

        with self._changed:
            is_done = self._changed.wait_for(done, _LIMIT)
        if self._error is not None or not is_done:
            raise SuiteError(f"the streams cannot be sent: {self._error or 'they take too long'}")

    def sent(self, flow: Flow) -> int:
        """Return how many packets of a flow have been sent so far."""
        return self._of(flow).sent

    def arrived(self, flow: Flow) -> list[int]:
        """Return the numbers of a flow's packets that have arrived so far, in their order; the first is 1."""
        stream = self._of(flow)
        stream.receiver.receive()
        return stream.numbers()

    def _of(self, flow: Flow) -> _Stream:
        for stream in self._streams:
            if stream.flow == flow:
                return stream
        raise SuiteError(f"'{flow}' is none of the streams")

    def _run(self) -> None:
        try:
            while not self._is_ending:
                for stream in self._streams:
                    stream.send(stream.sent + 1, fresh=self._fresh)
                    stream.receiver.receive()
                    with self._changed:
                        stream.sent += 1
                        self._changed.notify_all()
                time.sleep(_PACE)
        except BaseException as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()

    # -- judging --------------------------------------------------------------------------------------

    def judge(self, limit: float, what: str) -> None:
        """Send the fences, wait for them, and see what has become of all that was sent before.

        Raises:
            AssertionError: something was lost, doubled or leaked.
            Inconclusive: a fence did not arrive.
        """
        passing = [stream for stream in self._streams if stream.passes]
        fences = {id(stream): stream.sent + 1 for stream in passing}
        deadline = time.monotonic() + limit
        for stream in passing:
            stream.send(fences[id(stream)], fresh=self._fresh)
        while True:
            for stream in self._streams:
                stream.receiver.receive()
            # A packet may come after its fence, where a processor is busy; none that comes in time is called lost.
            missing = [one for one in passing if not {fences[id(one)], *range(1, one.sent + 1)} <= {*one.numbers()}]
            left = deadline - time.monotonic()
            if not missing or left <= 0:
                break
            select.select([one.receiver for one in missing], [], [], min(left, 0.05))
        for stream in self._streams:
            self._judge(stream, fences, what)

    def _judge(self, stream: _Stream, fences: dict[int, int], what: str) -> None:
        numbers = stream.numbers()
        if not stream.passes:
            if numbers:
                raise AssertionError(
                    f"{what}: of {stream.sent} packets of the stream '{stream.flow}', {len(numbers)} have leaked: "
                    f"{_some(numbers)}"
                )
            others = [one for one in self._streams if one.passes and one.flow.receiver == stream.flow.receiver]
            if not any(fences[id(one)] in one.numbers() for one in others):
                raise Inconclusive(f"{what}: no fence behind the stream '{stream.flow}' has arrived")
            return
        lost = sorted({*range(1, stream.sent + 1)} - {*numbers})
        doubled = sorted({number for number in numbers if numbers.count(number) > 1}) if _has_doubles(numbers) else []
        for numbers_of, word in ((lost, "lost"), (doubled, "doubled")):
            if numbers_of:
                raise AssertionError(
                    f"{what}: of {stream.sent} packets of the stream '{stream.flow}', {len(numbers_of)} were {word}: "
                    f"{_some(numbers_of)}"
                )
        if fences[id(stream)] not in numbers:
            raise Inconclusive(f"{what}: the fence behind the stream '{stream.flow}' has not arrived")


def _has_doubles(numbers: list[int]) -> bool:
    return len(numbers) != len({*numbers})


def _some(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:10]))
    return f"{shown}{', …' if len(numbers) > 10 else ''}"
