"""What is where in a topology: guests, addresses, and the ends that packets are sent and seen by."""

from __future__ import annotations

import abc
import contextlib
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from conformance.errors import SuiteError
from conformance.topology import packets
from conformance.topology.base import Endpoint, Guest, Stack
from conformance.topology.flows import HOST, Craft, Flow
from conformance.topology.frames import Frame
from conformance.topology.sandbox import Sandbox

#: Source ports that are given away one by one: below those that kernels give to sockets.
_FIRST_PORT = 10000


class Scene(abc.ABC):
    """Guests around the sandbox. :class:`.Network` adds the proofs.

    Attributes:
        net: the sandbox.
        guests: by name.
        families: 4, 6 or both.
    """

    def __init__(self, net: Sandbox, families: tuple[int, ...]) -> None:
        """Know no guests yet."""
        self.net = net
        self.families = families
        self.guests: dict[str, Guest] = {}
        self._ports = itertools.count(_FIRST_PORT)
        self._awake: Counter[str] = Counter()
        #: What listens somewhere, and how many conversations take it: see :mod:`.servers`.
        self.servers: dict[Any, tuple[Any, int]] = {}

    # -- what is where --------------------------------------------------------------------------------

    @abc.abstractmethod
    def address(self, name: str, family: int = 4) -> str:
        """Return a guest's address; of ``"host"``, one of the sandbox that all guests reach."""

    @abc.abstractmethod
    def network(self, name: str, family: int = 4) -> str:
        """Return the network that a guest is in, such as ``10.0.1.0/24``."""

    @abc.abstractmethod
    def gateway(self, name: str, family: int = 4) -> str:
        """Return the sandbox's address in a guest's network."""

    @abc.abstractmethod
    def device(self, name: str) -> str:
        """Return the device by which the sandbox's IP gets a guest's packets: its port, or the bridge."""

    @abc.abstractmethod
    def mac_towards(self, sender: str, receiver: str) -> str:
        """Return the MAC address that a guest sends its packets for a receiver to."""

    @abc.abstractmethod
    def wake(self, name: str) -> None:
        """Have a guest's kernel own its addresses."""

    def port(self, name: str) -> str:
        """Return the sandbox's end of a guest's cable."""
        return self.guests[name].port

    def stack(self, name: str) -> Stack:
        """Return a guest, or the sandbox."""
        return self.net if name == HOST else self.guests[name]

    @contextlib.contextmanager
    def awake(self, *names: str) -> Iterator[None]:
        """Have guests own their addresses for a while: their kernels answer. Their names may occur more than once."""
        guests = [name for name in dict.fromkeys(names) if name != HOST]
        for name in guests:
            self._awake[name] += 1
            if self._awake[name] == 1:
                self.wake(name)
        try:
            yield
        finally:
            for name in guests:
                self._awake[name] -= 1
                if not self._awake[name]:
                    self.guests[name].sleep(*self._with_lengths(name))

    def _with_lengths(self, name: str) -> list[str]:
        """Return a guest's addresses with their prefix lengths."""
        lengths = {family: self.network(name, family).rpartition("/")[2] for family in self.families}
        return [f"{self.address(name, family)}/{length}" for family, length in lengths.items()]

    # -- what is sent ---------------------------------------------------------------------------------

    def settled(self, flow: Flow) -> Flow:
        """Return a flow with all that was left open: addresses, and a source port that is new."""
        for name in (flow.sender, flow.receiver):
            if name != HOST and name not in self.guests:
                raise SuiteError(f"'{flow}': there is no guest {name} here, only {', '.join(self.guests)} and {HOST}")
        if flow.family not in self.families:
            raise SuiteError(f"'{flow}': this topology has no IPv{flow.family}")
        return flow.but(
            sport=flow.sport or next(self._ports),
            source=flow.source or self._own_address(flow.sender, flow.receiver, flow.family),
            destination=flow.destination or self._own_address(flow.receiver, flow.sender, flow.family),
        )

    def _own_address(self, name: str, towards: str, family: int) -> str:
        if name == HOST and towards != HOST:
            return self.gateway(towards, family)
        return self.address(name, family)

    def frames(self, flow: Flow, token: bytes | None = None) -> list[Frame]:
        """Return the frames that a flow sends once, with a token of their own in each."""
        flow = self.settled(flow)
        token = token or self.net.new_token()
        if flow.craft_frames:
            return [Frame(data, token) for data in _made(flow.craft_frames, token)]
        made = _made(flow.craft, token) if flow.craft else [flow.packet(token)]
        if flow.sender == HOST:
            # What the sandbox sends itself has no MAC addresses yet.
            source = destination = "00:00:00:00:00:00"
        else:
            source = self.guests[flow.sender].mac
            destination = self.mac_towards(flow.sender, flow.receiver)
        source = flow.source_mac or source
        return [Frame(packets.ether(source, destination, one, vlan=flow.vlan), token) for one in made]

    @contextlib.contextmanager
    def end(self, name: str, flow: Flow) -> Iterator[Endpoint]:
        """Have what a flow's packets are sent by, and what sees what comes back: a guest, or the sandbox's own end."""
        if name != HOST:
            yield self.guests[name]
            return
        other = flow.receiver if flow.sender == HOST else flow.sender
        own = self.net.own_end(flow.number, self._own_address(HOST, other, flow.family))
        try:
            yield own
        finally:
            own.shut()

    @contextlib.contextmanager
    def receiving(self, flow: Flow) -> Iterator[Endpoint]:
        """Have what sees the packets of a flow arrive: a guest, or the sandbox's own end with its port open."""
        if flow.receiver != HOST:
            yield self.guests[flow.receiver]
            return
        assert flow.destination is not None
        port = (flow.listen_port or flow.dport) if flow.protocol in ("udp", "tcp") else 0
        own = self.net.own_end(flow.number, flow.listen or flow.destination, port)
        try:
            yield own
        finally:
            own.shut()


def _made(craft: Craft, token: bytes) -> Sequence[bytes]:
    made = craft(token)
    return [made] if isinstance(made, bytes) else made
