"""A client of DHCP that a spec drives step by step (RFC 2131, 4.4)."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from conformance.errors import Inconclusive
from conformance.topology import packets
from conformance.topology.base import Endpoint
from conformance.topology.dhcp import messages
from conformance.topology.dhcp.messages import EVERYBODY, NOWHERE, Message
from conformance.topology.frames import BROADCAST, Frame
from conformance.topology.packets import DHCP_CLIENT, DHCP_SERVER, Checksum, Packet
from conformance.topology.parsing import packed
from conformance.topology.sandbox import Sandbox

#: Seconds between two sendings of a message that nobody has answered.
RESEND = 1.0
#: What a client asks for if a spec says nothing else.
PARAMETERS = (
    *(messages.MASK, messages.ROUTER, messages.DNS, messages.NAME, messages.DOMAIN),
    *(26, 28, 42, messages.SEARCH, messages.ROUTES),
)
_BROADCAST_FLAG = 0x8000
#: What a server's messages have as their operation.
_REPLY = 2


class Refused(AssertionError):
    """The server has refused an address (DHCPNAK), which ``message`` says."""

    def __init__(self, words: str, message: Message) -> None:
        """Keep the message."""
        super().__init__(words)
        self.message = message


class Client:
    """A client at an endpoint. It answers for its address by ARP, while it waits for something.

    Each of its messages has these fields, unless its method has them by itself: ``requested``, the address that it asks
    for; ``lease_time``, for how many seconds; ``parameters``, the options that it asks for; ``hostname``,
    ``vendor_class``; ``options``, further ones by code (None: not that one); ``broadcast``, whether answers are to go
    to everybody; ``ciaddr``, ``giaddr``, ``hops``, ``secs``; ``limit``, the seconds that it waits for an answer. Whom
    a message is of is the client's ``mac`` and ``client_id``.

    Attributes:
        name: the endpoint's.
        mac: its MAC address.
        client_id: its client identifier, which it sends if there is one.
        ack: what it has its lease by; None: it has none.
        messages: all answers to it that were seen, in their order.
    """

    def __init__(
        self,
        net: Sandbox,
        endpoint: Endpoint,
        *,
        mac: str | None = None,
        client_id: bytes | None = None,
        **fields: Any,
    ) -> None:
        """Send nothing yet; ``fields`` are those of all of its messages that do not say otherwise."""
        self.net = net
        self.endpoint = endpoint
        self.name = endpoint.name
        self.mac = mac or endpoint.mac
        self.client_id = client_id
        self.ack: Message | None = None
        self.messages: list[Message] = []
        self._fields = fields
        #: What its frames come from.
        self._link_mac = self.mac
        #: An address that it has by other means.
        self._own = ""
        #: How much of what the endpoint has seen it has looked at: others may take in what is this client's.
        self._looked = len(endpoint.record)

    @property
    def address(self) -> str:
        """The address that it has leased; "": none."""
        return self.ack.yiaddr if self.ack else ""

    # -- the steps ------------------------------------------------------------------------------------

    def discover(self, **fields: Any) -> Message:
        """Ask who gives addresses, and return the OFFER."""
        offer = self._ask("DISCOVER", "OFFER", **fields)
        assert offer.yiaddr != NOWHERE, f"{self.name} got an OFFER without an address"
        return offer

    def request(self, offer: Message, **fields: Any) -> Message:
        """Take what was offered, and return the ACK.

        Raises:
            Refused: a NAK came.
        """
        fields = {"requested": offer.yiaddr, "server": offer.server, "xid": offer.xid, **fields}
        return self._has(self._ask("REQUEST", "ACK", **fields))

    def lease(self, **fields: Any) -> Message:
        """Come to a lease, and return the ACK."""
        offer = self.discover(**fields)
        return self.request(offer, **{key: value for key, value in fields.items() if key != "requested"})

    def reboot(self, address: str, **fields: Any) -> Message:
        """Ask for an address that it had before it was switched off (INIT-REBOOT), and return the ACK.

        Raises:
            Refused: a NAK came.
        """
        return self._has(self._ask("REQUEST", "ACK", requested=address, **fields))

    def renew(self, **fields: Any) -> Message:
        """Ask the server of the lease to have it for longer, from its address to the server's, and return the ACK."""
        lease = self._lease()
        return self._has(self._ask("REQUEST", "ACK", ciaddr=lease.yiaddr, to=lease, **fields))

    def rebind(self, **fields: Any) -> Message:
        """Ask any server to have the lease for longer, and return the ACK."""
        return self._has(self._ask("REQUEST", "ACK", ciaddr=self._lease().yiaddr, **fields))

    def inform(self, address: str, **fields: Any) -> Message:
        """Ask for options only, having an address, and return the ACK."""
        self._own = address
        try:
            return self._ask("INFORM", "ACK", ciaddr=address, **fields)
        finally:
            self._own = ""

    def release(self, **fields: Any) -> None:
        """Give the lease back; nobody answers that."""
        lease = self._lease()
        self._send(self._message("RELEASE", **{"ciaddr": lease.yiaddr, "server": lease.server, **fields}), lease)
        self.ack = None

    def decline(self, address: str | None = None, **fields: Any) -> None:
        """Say that somebody else has the address, its leased one if none is said; nobody answers that."""
        lease = self._lease()
        wanted = {"requested": address or lease.yiaddr, "server": lease.server, **fields}
        self._send(self._message("DECLINE", **wanted), None)
        self.ack = None

    def refused(self, address: str, *, by: str = "reboot", **fields: Any) -> Message:
        """See that an address is refused, and return the NAK.

        It is asked for as after a start (``by="reboot"``), or in the place of the one that the server has just offered
        (``by="request"``).

        Raises:
            AssertionError: it is given, or nothing is said.
        """
        try:
            if by == "reboot":
                given = self.reboot(address, **fields)
            else:
                given = self.request(self.discover(**fields), requested=address, **fields)
        except Refused as refusal:
            return refusal.message
        raise AssertionError(f"{self.name} asked for {address}, which is to be refused, and got {given}")

    # -- many at once -----------------------------------------------------------------------------------

    def send_discover(self, **fields: Any) -> int:
        """Send a DISCOVER, wait for nothing, and return the number that its answer will have."""
        message = self._message("DISCOVER", **{**self._fields, **fields})
        self._send(message, None)
        return message.xid

    def poll(self) -> list[Message]:
        """Take in what has arrived, and return all answers that were ever seen."""
        self._arrived()
        return self.messages

    # -- silence ---------------------------------------------------------------------------------------

    def no_offer(self, control: Client, what: str, **fields: Any) -> None:
        """Prove that its DISCOVER is not answered: that of ``control``, sent afterwards, is, and nothing came by then.

        Raises:
            AssertionError: an answer came.
            Inconclusive: the control got none, so that the silence proves nothing.
        """
        self.no_answer("DISCOVER", control.discover, what, **fields)

    def no_answer_to_reboot(self, address: str, control: Client, what: str, **fields: Any) -> None:
        """Prove that asking for an address as after a start is not answered, as :meth:`no_offer` does."""
        self.no_answer("REQUEST", control.discover, what, requested=address, **fields)

    def no_answer(
        self, kind: str, control: Callable[[], object], what: str, *, to: Message | None = None, **fields: Any
    ) -> None:
        """Prove that a message is not answered: ``control``, done afterwards, succeeds, and nothing came by then.

        Raises:
            AssertionError: an answer came.
            Inconclusive: the control raised an AssertionError, so that the silence proves nothing.
        """
        message = self._message(kind, **{**self._fields, **fields})
        self._send(message, to)
        try:
            control()
        except AssertionError as error:
            raise Inconclusive(f"{what}: the control was not answered: {error}") from error
        self._arrived()
        for found in self.messages:
            assert found.xid != message.xid, f"{what}: {self.name} sent {message}, and got {found}"

    # -- how ------------------------------------------------------------------------------------------

    def _ask(
        self, kind: str, expected: str, *, to: Message | None = None, limit: float | None = None, **fields: Any
    ) -> Message:
        """Send a message until an answer comes, and return that.

        Raises:
            AssertionError: none comes, or another one than expected.
            Refused: it is a NAK, and no NAK was expected.
        """
        message = self._message(kind, **{**self._fields, **fields})
        limit = self.net.arrival_limit if limit is None else limit
        now = time.monotonic()
        deadline, again = now + limit, now
        while now < deadline:
            if now >= again:
                self._send(message, to)
                again = now + RESEND
            for found in self._arrived():
                # An OFFER may come twice, if the DISCOVER was sent twice.
                if found.xid == message.xid and (found.kind, kind) != ("OFFER", "REQUEST"):
                    return self._judged(found, message, expected)
            select.select([self.endpoint], [], [], max(0.0, min(again, deadline) - time.monotonic()))
            now = time.monotonic()
        raise AssertionError(f"{self.name} sent {message}, and nobody answered")

    def _judged(self, found: Message, message: Message, expected: str) -> Message:
        said = found.text(messages.MESSAGE)
        if found.kind == "NAK" and expected != "NAK":
            raise Refused(f"{self.name} sent {message}, and was refused{f': {said}' if said else ''}", found)
        assert found.kind == expected, f"{self.name} sent {message}, and got {found}, which is no {expected}"
        assert found.server, f"{self.name} got {found}, which does not say which server's it is"
        assert found.checksum is not Checksum.BAD, f"{self.name} got {found}, whose checksum is wrong"
        return found

    def _message(
        self,
        kind: str,
        *,
        requested: str | None = None,
        lease_time: int | None = None,
        parameters: Iterable[int] = PARAMETERS,
        hostname: str | None = None,
        vendor_class: str | bytes | None = None,
        server: str | None = None,
        options: Mapping[int, bytes | None] | None = None,
        broadcast: bool = False,
        xid: int | None = None,
        limit: float | None = None,
        **head: Any,
    ) -> Message:
        del limit
        found: dict[int, bytes | None] = {
            messages.REQUESTED: packed(requested) if requested else None,
            messages.LEASE_TIME: lease_time.to_bytes(4, "big") if lease_time is not None else None,
            messages.SERVER: packed(server) if server else None,
            messages.CLIENT_ID: self.client_id,
            messages.NAME: hostname.encode() if hostname is not None else None,
            messages.VENDOR_CLASS: vendor_class.encode() if isinstance(vendor_class, str) else vendor_class,
            # RFC 2131, table 5: not in messages that nobody answers.
            messages.PARAMETERS: bytes(parameters) if kind in ("DISCOVER", "REQUEST", "INFORM") else None,
            **(options or {}),
        }
        return Message(
            kind=kind,
            mac=self.mac,
            xid=self.net.random.getrandbits(32) if xid is None else xid,
            flags=_BROADCAST_FLAG if broadcast else 0,
            options={code: data for code, data in found.items() if data is not None},
            **head,
        )

    def _send(self, message: Message, to: Message | None) -> None:
        """Send a message to everybody, or to the server of a lease."""
        source, destination, mac = message.ciaddr, EVERYBODY, BROADCAST
        if to is not None:
            destination, mac = to.server, to.source_mac
        self._put(source, destination, mac, DHCP_CLIENT, messages.payload(message))

    def _put(self, source: str, destination: str, mac: str, sport: int, payload: bytes) -> None:
        packet = packets.udp(source, destination, sport, DHCP_SERVER, payload)
        self._put_frame(packets.ether(self._link_mac, mac, packet))

    def _put_frame(self, data: bytes) -> None:
        self.endpoint.send(Frame(data, data))

    def _arrived(self) -> list[Message]:
        """Return the answers to this client that have arrived, and answer what asks for its addresses."""
        self.endpoint.receive()
        new, self._looked = self.endpoint.record[self._looked :], len(self.endpoint.record)
        arrived = []
        for one in new:
            if one.sent:
                continue
            found = messages.arrived(one.data)
            if found is None:
                packet = packets.parse(one.data)
                if packet.arp == packets.ARP_REQUEST and packet.destination in self._answers_for():
                    self._say_where(packet)
            elif found.op == _REPLY and found.mac == self.mac and self._is_for(found):
                arrived.append(found)
        self.messages += arrived
        return arrived

    def _answers_for(self) -> set[str]:
        """Return the addresses of which it says where they are."""
        return {self.address, self._own} - {""}

    def _say_where(self, question: Packet) -> None:
        reply = packets.arp(
            packets.ARP_REPLY,
            self._link_mac,
            question.destination,
            question.source,
            target_mac=question.source_mac,
            destination_mac=question.source_mac,
        )
        self._put_frame(reply)

    def _is_for(self, found: Message) -> bool:
        """Whether a message has come to this client's port, by its MAC address or everybody's."""
        return found.dport == DHCP_CLIENT and found.destination_mac in (self.mac, BROADCAST)

    def _has(self, ack: Message) -> Message:
        assert ack.yiaddr != NOWHERE, f"{self.name} got an ACK without an address"
        self.ack = ack
        return ack

    def _lease(self) -> Message:
        assert self.ack is not None, f"{self.name} has no lease"
        return self.ack
