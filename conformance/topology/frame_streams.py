"""Streams of numbered frames between endpoints, in the background of what a spec does to a switch between them.

Never are more frames on their way than any switch has room for, however slow the machine is: who is lost has been lost,
not crowded out. So nothing here depends on how long something takes.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from conformance.errors import SuiteError
from conformance.topology import frames
from conformance.topology.base import Endpoint
from conformance.topology.sandbox import Sandbox

#: Seconds between two rounds in which each stream sends a frame.
_PACE = 0.002
#: Frames of a stream that may be on their way.
_WINDOW = 32
#: Seconds after which another frame is sent all the same: those on their way may be lost.
_PATIENCE = 0.2
#: Frames of each stream that have to arrive before and after what a spec does.
_LEAST = 20
#: How many times the sandbox's limit for one frame's arrival a stream has to go on again.
_LIMITS = 12


@dataclass(eq=False)
class _Stream:
    """The frames from one endpoint to another. ``token`` and the number are in each of them."""

    sender: Endpoint
    receiver: Endpoint
    token: bytes
    sent: int = 0
    newest: int = 0
    sent_at: float = 0.0
    numbers: Counter[int] = field(default_factory=Counter)
    looked: int = 0

    def __str__(self) -> str:
        return f"from {self.sender.name} to {self.receiver.name}"

    def take_in(self) -> None:
        """Look at what has arrived."""
        self.receiver.receive()
        record = self.receiver.record
        wanted = re.compile(re.escape(self.token) + rb"-(\d{8})")
        while self.looked < len(record):
            one = record[self.looked]
            found = None if one.sent else wanted.search(one.data)
            if found:
                self.numbers[int(found[1])] += 1
                self.newest = max(self.newest, int(found[1]))
            self.looked += 1

    def send(self) -> None:
        """Send a frame, unless there are many on their way."""
        now = time.monotonic()
        if self.sent - self.newest >= _WINDOW and now - self.sent_at < _PATIENCE:
            return
        # Counted first: it must never have arrived before it has been sent.
        self.sent, self.sent_at = self.sent + 1, now
        self.sender.send(frames.build(self.sender.mac, self.receiver.mac, b"%s-%08d" % (self.token, self.sent)))


class FrameStreams:
    """Streams under way; :func:`streaming` makes, ends and judges them."""

    def __init__(self, net: Sandbox, streams: list[_Stream], what: str) -> None:
        """Send nothing yet."""
        self._streams = streams
        self._what = what
        self._limit = _LIMITS * net.arrival_limit
        self._changed = threading.Condition()
        self._is_ending = False
        self._error: BaseException | None = None

    def more(self, count: int = _LEAST) -> None:
        """Wait until so many frames of each stream have arrived that were not yet sent when this is called.

        Raises:
            AssertionError: they do not.
            SuiteError: they cannot be sent.
        """
        wanted = {stream: stream.sent + count for stream in self._streams}

        def waiting() -> list[_Stream]:
            return [stream for stream in self._streams if stream.newest < wanted[stream]]

        with self._changed:
            self._changed.wait_for(lambda: self._error is not None or not waiting(), self._limit)
        if self._error is not None:
            raise SuiteError(f"{self._what}: the frames cannot be sent: {self._error}")
        for stream in waiting():
            raise AssertionError(
                f"{self._what}: the frames {stream} no longer arrive: none of those after the {stream.newest}th, "
                f"and {stream.sent} were sent"
            )

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Have frames sent by a thread for as long as the context lasts, and some arrive before and after it."""
        thread = threading.Thread(target=self._run, name="frame streams", daemon=True)
        thread.start()
        try:
            self.more()
            yield
            self.more()
        finally:
            self._is_ending = True
            thread.join()

    def _run(self) -> None:
        try:
            while not self._is_ending:
                for stream in self._streams:
                    stream.send()
                    stream.take_in()
                with self._changed:
                    self._changed.notify_all()
                time.sleep(_PACE)
        except BaseException as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def judge(self) -> None:
        """See that all that was sent has arrived, each frame once.

        Raises:
            AssertionError: some are lost or doubled; the message has their numbers.
        """
        deadline = time.monotonic() + self._limit
        for stream in self._streams:
            while len(stream.numbers) < stream.sent and stream.newest < stream.sent and time.monotonic() < deadline:
                stream.take_in()
                time.sleep(_PACE)
            lost = [number for number in range(1, stream.sent + 1) if not stream.numbers[number]]
            doubled = [number for number, count in sorted(stream.numbers.items()) if count > 1]
            for numbers, word in ((lost, "lost"), (doubled, "doubled")):
                if numbers:
                    shown = ", ".join(map(str, numbers[:10])) + (", …" if len(numbers) > 10 else "")
                    raise AssertionError(
                        f"{self._what}: of {stream.sent} frames {stream}, {len(numbers)} were {word}: {shown}"
                    )


@contextlib.contextmanager
def streaming(
    net: Sandbox, *ways: tuple[Endpoint, Endpoint], may_lose: bool = False, what: str
) -> Iterator[FrameStreams]:
    """Have a stream of frames on each way, from one endpoint to another, for as long as the context lasts.

    It begins when some frames have arrived, and ends when some more have; then all that were sent must have arrived,
    each once, unless some may be lost. Nobody else may look at the receivers in the meantime.

    Raises:
        AssertionError: no more frames arrive, or some were lost or doubled.
    """
    streams = FrameStreams(net, [_Stream(sender, receiver, net.new_token()) for sender, receiver in ways], what)
    with streams.running():
        yield streams
    if not may_lose:
        streams.judge()
