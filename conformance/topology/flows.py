"""Flows: what is to be sent from whom to whom, in words that a spec can be read by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from conformance.errors import SuiteError
from conformance.topology import packets

#: As a sender or a receiver: the sandbox itself.
HOST = "host"

#: Makes what a flow cannot say: from a token, IP packets (or, for ``craft_frames``, whole frames) that all carry it.
Craft = Callable[[bytes], bytes | Sequence[bytes]]

_NUMBERS = {
    "udp": (packets.UDP, packets.UDP),
    "tcp": (packets.TCP, packets.TCP),
    "icmp": (packets.ICMP, packets.ICMPV6),
}


@dataclass(frozen=True, slots=True)
class Flow:
    """Packets of one kind: ``Flow("a", "b", "tcp", 22)``, ``Flow("a", "host", "icmp", family=6)``.

    Attributes:
        sender, receiver: guests by name, or ``"host"`` for the sandbox itself. Packets go there whatever address is in
            them: to the router, or on a bridge to the receiver's MAC address.
        protocol: ``udp``, ``tcp``, ``icmp`` (of either family), or the number of any other.
        dport: the port that packets are sent to.
        sport: the port that they are sent from; 0: one that no other packet of this topology has had, so that no
            connection tracking knows it. Of an ICMP echo, the identifier.
        family: 4 or 6.
        source, destination: the addresses in the packet; None: the sender's and the receiver's own.
        flags: of TCP.
        icmp_type, icmp_code: of ICMP; None: an echo request.
        source_mac, vlan: of the frame; None: the sender's, and no tag.
        ttl: time to live, or hop limit.
        listen, listen_port: where the receiver itself (its program; of ``"host"``, its own end) gets the packets, if
            that is not where they are sent to, because it is translated on the way.
        craft, craft_frames: what makes the IP packets, or the frames, instead of all that.
    """

    sender: str = "a"
    receiver: str = "b"
    protocol: str | int = "udp"
    dport: int = 7777
    sport: int = 0
    family: int = 4
    source: str | None = None
    destination: str | None = None
    flags: str = "S"
    icmp_type: int | None = None
    icmp_code: int = 0
    source_mac: str | None = None
    vlan: int | tuple[int, ...] | None = None
    ttl: int = 64
    listen: str | None = None
    listen_port: int | None = None
    craft: Craft | None = None
    craft_frames: Craft | None = None

    def but(self, **changes: Any) -> Flow:
        """Return the same flow with other values."""
        return replace(self, **changes)

    def back(self, **changes: Any) -> Flow:
        """Return the flow of the answers: sender and receiver, and what was said of addresses and ports, swapped.

        TCP's SYN is answered with SYN and ACK, an echo request with a reply.

        Raises:
            SuiteError: ``sport`` was not said, so that nobody knows what to answer to.
        """
        if not self.sport and self.protocol in _NUMBERS:
            raise SuiteError(f"to say what answers '{self}', it has to have a source port")
        is_echo = self.protocol == "icmp"
        kind = packets.ECHO_REPLY[self.family == 6] if is_echo and self.icmp_type is None else self.icmp_type
        answer = replace(
            self,
            sender=self.receiver,
            receiver=self.sender,
            source=self.destination,
            destination=self.source,
            sport=self.sport if is_echo else self.dport,
            dport=self.dport if is_echo else self.sport,
            flags={"S": "SA"}.get(self.flags, self.flags),
            icmp_type=kind,
            source_mac=None,
        )
        return replace(answer, **changes)

    @property
    def number(self) -> int:
        """The protocol's number."""
        if isinstance(self.protocol, int):
            return self.protocol
        if self.protocol not in _NUMBERS:
            raise SuiteError(f"flows are of udp, tcp, icmp or a protocol's number, not of {self.protocol!r}")
        return _NUMBERS[self.protocol][self.family == 6]

    def packet(self, token: bytes) -> bytes:
        """Return the IP packet, when addresses and ports have been settled."""
        assert self.source is not None
        assert self.destination is not None
        ends = (self.source, self.destination)
        if self.protocol == "udp":
            return packets.udp(*ends, self.sport, self.dport, token, ttl=self.ttl)
        if self.protocol == "tcp":
            return packets.tcp(*ends, self.sport, self.dport, self.flags, token, ttl=self.ttl)
        if self.protocol == "icmp":
            kind = self.icmp_type
            if kind is None or kind in (packets.ECHO_REQUEST[self.family == 6], packets.ECHO_REPLY[self.family == 6]):
                is_reply = kind == packets.ECHO_REPLY[self.family == 6]
                return packets.echo(*ends, self.sport, token, reply=is_reply, ttl=self.ttl)
            return packets.icmp(*ends, kind, self.icmp_code, bytes(4) + token, ttl=self.ttl)
        return packets.ip(*ends, self.number, token, ttl=self.ttl)

    def __str__(self) -> str:
        """Say it in one line, as in ``a > b udp (IPv4) to port 53``."""
        words = f"{self.sender} > {self.receiver} "
        if self.craft or self.craft_frames:
            return f"{words}made packets (IPv{self.family})"
        words += (
            f"{self.protocol if isinstance(self.protocol, str) else f'protocol {self.protocol}'} (IPv{self.family})"
        )
        if self.protocol in ("udp", "tcp"):
            words += f" to port {self.dport}"
        if self.protocol == "tcp" and self.flags != "S":
            words += f" with {self.flags}"
        if self.icmp_type is not None:
            words += f" type {self.icmp_type}"
        return words + "".join(f", {name} {value}" for name, value in self._overridden() if value is not None)

    def _overridden(self) -> list[tuple[str, object]]:
        return [("from", self.source), ("to", self.destination), ("MAC", self.source_mac), ("vlan", self.vlan)]
