"""Proofs by packets through a topology: what passes, what is stopped, what is answered, and who talks to whom.

All of it in the spirit of :meth:`.Sandbox.delivers` and :meth:`.Sandbox.withholds`. An :class:`AssertionError` is a
verdict on what filters; :class:`.Inconclusive` says that a control did not arrive, so that nothing follows from a
silence.
"""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Callable, Iterator, Sequence

from conformance.errors import Inconclusive, SuiteError
from conformance.topology import conversations, packets
from conformance.topology.base import Endpoint
from conformance.topology.connection import Connection
from conformance.topology.flows import HOST, Flow
from conformance.topology.frames import Frame
from conformance.topology.network import Scene
from conformance.topology.packets import Packet
from conformance.topology.servers import Talk
from conformance.topology.streams import Streams

#: Seconds between two looks at what somebody else may have taken in.
_LOOK = 0.05


class Watch:
    """What endpoints get from now on, whoever takes it in: a stream in the background may."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        """Look from now on."""
        self._from = [(endpoint, len(endpoint.record)) for endpoint in endpoints]

    def seen(self) -> list[bytes]:
        """Return the frames that have arrived."""
        frames = []
        for endpoint, start in self._from:
            endpoint.receive()
            frames += [one.data for one in endpoint.record[start:] if not one.sent]
        return frames

    def until(self, done: Callable[[list[bytes]], bool], limit: float) -> list[bytes]:
        """Return the frames that have arrived when it is done, or when the limit (in seconds) is over."""
        deadline = time.monotonic() + limit
        while True:
            seen = self.seen()
            left = deadline - time.monotonic()
            if left <= 0 or done(seen):
                return seen
            select.select([endpoint for endpoint, _ in self._from], [], [], min(left, _LOOK))


class Network(Scene):
    """A topology: guests around the sandbox, which routes or bridges between them, and what can be proven there.

    Guests sleep: they are seen to get what is sent to them, and answer nothing, so that what is answered is answered by
    the sandbox. For proofs that take the guests' kernels (:meth:`talks`, :meth:`connected`) they are awake as long as
    it takes.
    """

    # -- packets --------------------------------------------------------------------------------------

    def send(self, flow: Flow) -> list[Frame]:
        """Send once what a flow sends, and prove nothing."""
        settled = self.settled(flow)
        with self.end(settled.sender, settled) as sender:
            frames = self.frames(settled)
            for frame in frames:
                sender.send(frame)
        return frames

    def passes(self, flow: Flow, *, what: str, fence: Flow | None = None) -> Packet:
        """Prove that one packet of a flow arrives, and once, and return it as the receiver sees it.

        Fragments are put together. That there is no second copy is a negative: a second packet of the same flow, or one
        of ``fence`` where a second one must not pass or be counted, follows and has to arrive at the same receiver.

        Raises:
            AssertionError: it did not arrive, or more than once.
            Inconclusive: the fence did not arrive.
        """
        settled = self.settled(flow)
        behind = self.settled(fence) if fence else settled
        self._same_receiver(flow, behind, what)
        with self._ends(settled, behind) as (sender, watch):
            sent = self.frames(settled)
            _send(sender, sent)
            with self.end(behind.sender, behind) as fence_sender:
                last = self.frames(behind)
                _send(fence_sender, last)
            # A packet may come after its fence, where a processor is busy; none that comes in time is called lost.
            limit, tokens = self.net.arrival_limit, (sent[0].token, last[0].token)
            seen = watch.until(lambda seen: all(_holds(seen, token) for token in tokens), limit)
        copies = packets.reassemble(_copies(seen, sent))
        if not copies:
            raise AssertionError(f"{what}: {flow} was sent, and did not arrive at {flow.receiver}")
        if not _holds(seen, tokens[1]):
            raise Inconclusive(f"{what}: the fence behind {flow} ({fence or flow}) did not arrive at {flow.receiver}")
        if len(copies) != 1:
            arrived = "; ".join(map(str, copies))
            raise AssertionError(f"{what}: {flow} was sent once, and {flow.receiver} got {len(copies)}: {arrived}")
        return copies[0]

    def stops(self, flow: Flow, *, control: Flow, what: str) -> None:
        """Prove that no packet of a flow arrives: none that is sent before one of ``control``, which does.

        The control has the same receiver, and best the same sender.

        Raises:
            AssertionError: it arrived.
            Inconclusive: the control did not arrive.
        """
        settled, behind = self.settled(flow), self.settled(control)
        self._same_receiver(flow, control, what)
        with self._ends(settled, behind) as (sender, watch):
            sent = self.frames(settled)
            _send(sender, sent)
            with self.end(behind.sender, behind) as control_sender:
                last = self.frames(behind)
                _send(control_sender, last)
            seen = watch.until(lambda seen: _holds(seen, last[0].token), self.net.arrival_limit)
        leaked = _copies(seen, sent)
        if leaked:
            raise AssertionError(f"{what}: {flow} was sent, and {flow.receiver} got it: {leaked[0]}")
        if not _holds(seen, last[0].token):
            raise Inconclusive(f"{what}: the control ({control}) did not arrive at {control.receiver}")

    def answer(self, flow: Flow, *, control: Flow, what: str, awaited: bool = False) -> Packet | None:
        """Return what comes back to the sender of one packet of a flow; None: silence.

        An answer is a TCP segment for its ports, an ICMP message that quotes it, or an echo reply to it. The control, a
        flow *to the sender* of this one, follows, so that silence is proven. An answer may come after it, where a
        processor is busy: with ``awaited``, silence is what lasts as long as packets may take.

        Raises:
            AssertionError: more than one answer came.
            Inconclusive: the control did not arrive.
        """
        settled, behind = self.settled(flow), self.settled(control)
        if control.receiver != flow.sender:
            raise SuiteError(f"{what}: the control of answers ({control}) does not go to {flow.sender}")
        with contextlib.ExitStack() as held:
            sender = held.enter_context(self.end(settled.sender, settled))
            ends = [sender, held.enter_context(self.receiving(behind))]
            if settled.sender == HOST:
                errors = settled.but(protocol="icmp", sport=0)
                ends.append(held.enter_context(self.end(HOST, errors)))
            # A guest is there once, however often it is asked for.
            watch = Watch(list(dict.fromkeys(ends)))
            sent = self.frames(settled)
            held.enter_context(self.receiving(settled) if settled.receiver == HOST else contextlib.nullcontext())
            _send(sender, sent)
            with self.end(behind.sender, behind) as control_sender:
                last = self.frames(behind)
                _send(control_sender, last)
            about = packets.parse(sent[0].data)

            def done(seen: list[bytes]) -> bool:
                return _holds(seen, last[0].token) and (not awaited or bool(_answers(seen, about)))

            seen = watch.until(done, self.net.arrival_limit)
        answers = _answers(seen, about)
        if not _holds(seen, last[0].token):
            raise Inconclusive(f"{what}: the control ({control}) did not arrive at {control.receiver}")
        if len(answers) > 1:
            raise AssertionError(f"{what}: {flow} was sent once, and answered by {'; '.join(map(str, answers))}")
        return answers[0] if answers else None

    def datagram(self, flow: Flow, *, what: str) -> Packet:
        """Have the sender's kernel send a UDP datagram by a socket, and return it as the receiver sees it on its wire.

        The receiver is a guest. The kernel leaves the checksum to the device, which a virtual one does not compute: it
        is :attr:`.Checksum.PARTIAL` unless somebody has filled it in.

        Raises:
            AssertionError: it did not arrive.
        """
        settled = self.settled(flow)
        token = self.net.new_token()
        assert settled.source is not None
        with self.awake(settled.sender), self.stack(settled.sender).datagram_socket(settled.source, flow.sport) as sock:
            watch = Watch([self.guests[settled.receiver]])
            with contextlib.suppress(PermissionError):
                sock.sendto(token, (settled.destination, settled.dport))
            seen = watch.until(lambda seen: _holds(seen, token), self.net.arrival_limit)
        for data in seen:
            if token in data:
                return packets.parse(data)
        raise AssertionError(f"{what}: {flow} was sent by a socket, and did not arrive at {flow.receiver}")

    @contextlib.contextmanager
    def _ends(self, flow: Flow, behind: Flow) -> Iterator[tuple[Endpoint, Watch]]:
        """Have the sender of a flow, and a watch on its receiver's end and on that of what follows it."""
        with contextlib.ExitStack() as held:
            receivers = [held.enter_context(self.receiving(flow))]
            if behind.receiver == HOST and _place(behind) != _place(flow):
                receivers.append(held.enter_context(self.receiving(behind)))
            yield held.enter_context(self.end(flow.sender, flow)), Watch(receivers)

    def _same_receiver(self, flow: Flow, control: Flow, what: str) -> None:
        if flow.receiver != control.receiver:
            raise SuiteError(f"{what}: '{control}' is no control of '{flow}': it has another receiver")

    # -- conversations --------------------------------------------------------------------------------

    def talks(self, flow: Flow, *, what: str) -> Talk:
        """Prove that sender and receiver talk by their kernels' own means, and return whom the receiver saw.

        UDP: a question and its answer. TCP: a connection, an echo, an orderly end. ICMP: an echo request and reply.

        Raises:
            AssertionError: they do not.
        """
        with self.awake(flow.sender, flow.receiver), self._attempt(flow) as attempt:
            try:
                return attempt.completes(self.net.arrival_limit)
            except conversations.Silence as silence:
                raise AssertionError(f"{what}: {flow} does not talk: {silence}") from None

    def does_not_talk(self, flow: Flow, *, control: Flow, what: str) -> None:
        """Prove that sender and receiver do not talk: an attempt is made, then ``control`` talks, and it has failed.

        It is made a second time and controlled a second time: what the first had to wait for (a MAC address) is known.

        Raises:
            AssertionError: they do.
            Inconclusive: the control does not talk.
        """
        names = (flow.sender, flow.receiver, control.sender, control.receiver)
        with self.awake(*names), self._attempt(flow) as attempt:
            for _ in range(2):
                attempt.tries()
                self._control(control, what)
                if attempt.answers():
                    self._control(control, what)
                if attempt.has_talked():
                    raise AssertionError(f"{what}: {flow} talks")

    def _control(self, control: Flow, what: str) -> None:
        try:
            self.talks(control, what="the control")
        except AssertionError as error:
            raise Inconclusive(f"{what}: {error}") from None

    def _attempt(self, flow: Flow) -> contextlib.AbstractContextManager[conversations.Attempt]:
        return conversations.attempt(self, self.settled(flow), flow.sport)

    @contextlib.contextmanager
    def connected(self, flow: Flow, *, what: str) -> Iterator[Connection]:
        """Have a TCP connection between two kernels for as long as the context lasts.

        Raises:
            AssertionError: it does not come about.
        """
        settled = self.settled(flow)
        with contextlib.ExitStack() as held:
            held.enter_context(self.awake(flow.sender, flow.receiver))
            # The own end of the sandbox sees all segments, and has no port open itself.
            ends = [held.enter_context(self.end(name, settled)) for name in (flow.sender, flow.receiver)]
            attempt = conversations.TcpAttempt(self, settled, flow.sport)
            held.callback(attempt.close)
            watch = Watch([ends[0]])
            try:
                made = attempt.connects(self.net.arrival_limit)
            except conversations.Silence as silence:
                raise AssertionError(f"{what}: {flow} does not connect: {silence}") from None
            yield Connection(self, settled, made, ends, watch)

    @contextlib.contextmanager
    def streaming(
        self, *, passing: Sequence[Flow] = (), stopped: Sequence[Flow] = (), fresh: bool = False, what: str
    ) -> Iterator[Streams]:
        """Have streams of numbered packets run in the background while the context lasts, and then judge them.

        Of each flow in ``passing`` all packets must arrive, each once; of those in ``stopped`` none may. Each stopped
        flow's receiver has to be that of a passing one, whose last packet is the fence. ``fresh``: each packet is the
        first of a connection (it has a source port of its own), else all of a flow are of one. The context begins when
        some have been sent, and ends when some more have.

        Raises:
            AssertionError: some are lost, doubled, or have leaked; the message has their numbers.
            Inconclusive: no fence arrived in the end.
        """
        for flow in stopped:
            if flow.receiver not in [one.receiver for one in passing]:
                raise SuiteError(f"{what}: no passing stream has the receiver of '{flow}': there is no fence for it")
        with contextlib.ExitStack() as held:
            streams = Streams(fresh=fresh)
            for flow, passes in [*((one, True) for one in passing), *((one, False) for one in stopped)]:
                settled = self.settled(flow)
                sender, receiver = held.enter_context(self.end(flow.sender, settled)), self.receiving(settled)
                streams.add(flow, self, settled, sender, held.enter_context(receiver), passes=passes)
            with streams.running():
                yield streams
            streams.judge(self.net.arrival_limit, what)


def answers_to(packet: Packet, about: Packet) -> bool:
    """Whether a packet is the answer to another: quotes it, or has its addresses and ports the other way round."""
    if packet.quoted is not None:
        return _key(packet.quoted) == _key(about)
    if packet.family != about.family or packet.protocol != about.protocol or packet.arp is not None:
        return False
    if packet.protocol not in (packets.TCP, packets.ICMP, packets.ICMPV6):
        return False
    if packet.protocol != packets.TCP and packet.icmp_type != packets.ECHO_REPLY[packet.family == 6]:
        return False
    there = (about.source, about.sport, about.destination, about.dport)
    return (packet.destination, packet.dport, packet.source, packet.sport) == there


def _answers(seen: Sequence[bytes], about: Packet) -> list[Packet]:
    return [one for one in map(packets.parse, seen) if answers_to(one, about)]


def _key(packet: Packet) -> tuple[object, ...]:
    return (packet.source, packet.destination, packet.protocol, packet.sport, packet.dport)


def _place(flow: Flow) -> tuple[object, ...]:
    return (flow.number, flow.listen or flow.destination, flow.listen_port or flow.dport)


def _copies(seen: Sequence[bytes], sent: Sequence[Frame]) -> list[Packet]:
    """Return what has been seen of what was sent: it has the token, or is a fragment of what has."""
    pieces = {packets.parse(frame.data).identification for frame in sent[1:]}
    parsed = [(data, packets.parse(data)) for data in seen]
    return [
        packet
        for data, packet in parsed
        if sent[0].token in data or (packet.is_fragment and packet.identification in pieces)
    ]


def _holds(seen: Sequence[bytes], token: bytes) -> bool:
    return any(token in data for data in seen)


def _send(sender: Endpoint, frames: Sequence[Frame]) -> None:
    for frame in frames:
        sender.send(frame)
