"""A host of IPv6 at an endpoint, as far as a server has to find one: it has addresses, and says where they are."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable
from typing import TypeVar

from conformance.errors import Inconclusive
from conformance.topology import packets
from conformance.topology.base import Endpoint
from conformance.topology.frames import Frame
from conformance.topology.packets import Packet
from conformance.topology.parsing import TARGET_MAC, packed
from conformance.topology.sandbox import Sandbox

T = TypeVar("T")

#: Seconds between two sendings of what may have been lost (RFC 8415, 7.6: the first is about a second).
RESEND = 1.0
#: RFC 4861, 4.4: the answer to a question, and one that goes before what the asker knows.
_SOLICITED_OVERRIDE = 0x60000000


class Neighbour:
    """An endpoint with addresses of IPv6 that no kernel has.

    The guest's own kernel would answer for its link-local address, and say to whoever writes to it that nobody listens
    there. So this host has another one, and answers the questions for its addresses itself, while it waits for
    something.

    Attributes:
        endpoint: what it sends and receives by.
        mac: its MAC address, the endpoint's if none is said.
        link_local: the address that it sends from.
        addresses: all that it answers for.
    """

    def __init__(self, net: Sandbox, endpoint: Endpoint, *, mac: str | None = None) -> None:
        """Send nothing yet."""
        self.net = net
        self.endpoint = endpoint
        self.mac = mac or endpoint.mac
        identifier = bytes.fromhex("00d6" + self.mac.replace(":", ""))
        self.link_local = socket.inet_ntop(socket.AF_INET6, bytes.fromhex("fe80") + bytes(6) + identifier)
        self.addresses = {self.link_local}

    def send(self, destination_mac: str, packet: bytes) -> None:
        """Put an IP packet on the wire."""
        frame = packets.ether(self.mac, destination_mac, packet)
        self.endpoint.send(Frame(frame, frame))

    def receive(self) -> list[Packet]:
        """Return what has arrived, and answer what asks for its addresses."""
        seen = [packets.parse(data) for data in self.endpoint.receive()]
        for packet in seen:
            if self._is_asked_for(packet):
                self._say_where(packet)
        return seen

    def ask(self, send: Callable[[], None], answer: Callable[[Packet], T | None], *, limit: float) -> T | None:
        """Send something, again and again, until an answer comes; return what ``answer`` makes of it.

        None: none came within the limit, in seconds.
        """
        deadline = time.monotonic() + limit
        again = 0.0
        while (now := time.monotonic()) < deadline:
            if now >= again:
                send()
                again = now + RESEND
            for packet in self.receive():
                found = answer(packet)
                if found is not None:
                    return found
            select.select([self.endpoint], [], [], max(0.0, min(again, deadline) - time.monotonic()))
        return None

    def silence(self, send: Callable[[], None], control: Callable[[], object], what: str) -> list[Packet]:
        """Send something, have ``control`` answered afterwards, and return all that has arrived here by then.

        Raises:
            Inconclusive: the control raised an AssertionError, so that a silence proves nothing.
        """
        self.receive()
        mark = len(self.endpoint.record)
        send()
        asked = -1
        seen: list[Packet] = []
        # Who is asked for an address is about to be sent something: it comes before the answer to the next control.
        while asked < (asked := sum(map(self._is_asked_for, seen))):
            try:
                control()
            except AssertionError as error:
                raise Inconclusive(f"{what}: the control was not answered: {error}") from error
            self.receive()
            # The control may have taken in what came to the same endpoint.
            seen = [packets.parse(one.data) for one in self.endpoint.record[mark:] if not one.sent]
        return seen

    def _is_asked_for(self, packet: Packet) -> bool:
        if packet.protocol != packets.ICMPV6 or packet.icmp_type != packets.NEIGHBOUR_SOLICITATION:
            return False
        return packet.source != "::" and packet.payload[4:20] in map(packed, self.addresses)

    def _say_where(self, question: Packet) -> None:
        target = question.payload[4:20]
        option = bytes([TARGET_MAC, 1]) + bytes.fromhex(self.mac.replace(":", ""))
        rest = struct.pack("!I", _SOLICITED_OVERRIDE) + target + option
        answer = packets.icmp(
            socket.inet_ntop(socket.AF_INET6, target),
            question.source,
            packets.NEIGHBOUR_ADVERTISEMENT,
            0,
            rest,
            ttl=255,
        )
        self.send(question.source_mac, answer)
