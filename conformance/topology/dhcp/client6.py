"""A client of DHCPv6 that a spec drives step by step (RFC 8415, 18)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from conformance.topology import packets
from conformance.topology.base import Endpoint
from conformance.topology.dhcp import messages6
from conformance.topology.dhcp.messages6 import Message6
from conformance.topology.dhcp.neighbours import Neighbour
from conformance.topology.packets import Packet
from conformance.topology.sandbox import Sandbox

#: Addresses, or addresses by the numbers of identity associations.
Wanted = Iterable[str] | Mapping[int, Iterable[str]]
#: What a client asks for if a spec says nothing else.
PARAMETERS = (messages6.DNS_SERVERS, messages6.DOMAINS)


class Client6:
    """A client at an endpoint, with a link-local address of its own that it sends from.

    Each of its messages has these fields, unless its method has them by itself: ``wanted``, the addresses that it asks
    for, of its one identity association (number 1) or by the numbers of several; ``parameters``, the options that it
    asks for; ``name``, the name that it tells; ``options``, further ones as (code, content); ``server``, the DUID of
    the server that it is for; ``limit``, the seconds that it waits for an answer.

    Attributes:
        duid: its DUID, made of its MAC address if none is said (DUID-LL).
        neighbour: its addresses; those that it has leased are among them, and answered for.
        reply: the last REPLY to a request.
        messages: all answers seen, in their order.
    """

    def __init__(self, net: Sandbox, endpoint: Endpoint, *, mac: str | None = None, duid: bytes | None = None) -> None:
        """Send nothing yet."""
        self.net = net
        self.neighbour = Neighbour(net, endpoint, mac=mac)
        self.name = endpoint.name
        self.mac = self.neighbour.mac
        # RFC 8415, 11.4: type 3, of hardware type 1.
        self.duid = duid or bytes.fromhex("00030001" + self.mac.replace(":", ""))
        self.reply: Message6 | None = None
        self.messages: list[Message6] = []

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses that it has leased."""
        return self.reply.addresses if self.reply else ()

    # -- the steps ------------------------------------------------------------------------------------

    def solicit(self, **fields: Any) -> Message6:
        """Ask who gives addresses, and return the ADVERTISE."""
        return self._ask("SOLICIT", "ADVERTISE", **fields)

    def request(self, advertised: Message6, **fields: Any) -> Message6:
        """Ask for what was advertised, and return the REPLY, whatever it says."""
        return self._ask("REQUEST", "REPLY", server=advertised.server_id, **_the_same(advertised, fields))

    def lease(self, **fields: Any) -> Message6:
        """Come to addresses, and return the REPLY that has them.

        Raises:
            AssertionError: there is no answer, or none with an address.
        """
        advertised = self.solicit(**fields)
        reply = self.request(advertised, **fields)
        assert reply.addresses, f"{self.name} is to get an address by DHCPv6, and gets: {reply}"
        self._has(reply)
        return reply

    def renew(self, **fields: Any) -> Message6:
        """Ask the server of the lease to have it for longer."""
        leased = self._leased()
        reply = self._ask("RENEW", "REPLY", **{"server": leased.server_id, **_the_same(leased, fields)})
        if reply.addresses:
            self._has(reply)
        return reply

    def rebind(self, **fields: Any) -> Message6:
        """Ask any server to have the lease for longer."""
        return self._ask("REBIND", "REPLY", **_the_same(self._leased(), fields))

    def confirm(self, *wanted: str, **fields: Any) -> Message6:
        """Ask whether addresses, its leased ones if none are said, are right on this link."""
        return self._ask("CONFIRM", "REPLY", wanted=wanted or self.addresses, **fields)

    def release(self, **fields: Any) -> Message6:
        """Give the leased addresses back."""
        return self._give_up("RELEASE", **fields)

    def decline(self, **fields: Any) -> Message6:
        """Say that somebody else has the leased addresses."""
        return self._give_up("DECLINE", **fields)

    def information(self, **fields: Any) -> Message6:
        """Ask for all but addresses."""
        return self._ask("INFORMATION-REQUEST", "REPLY", wanted={}, **fields)

    # -- silence, and rubbish ---------------------------------------------------------------------------

    def no_answer(self, control: Callable[[], object], what: str, *, kind: str = "SOLICIT", **fields: Any) -> None:
        """Prove that a message is not answered: ``control``, done afterwards, is, and no answer has come by then.

        Raises:
            AssertionError: an answer came.
            Inconclusive: the control raised an AssertionError, so that the silence proves nothing.
        """
        transaction, send = self._prepared(kind, **fields)
        for packet in self.neighbour.silence(send, control, what):
            found = self._answer(packet, transaction)
            assert found is None, f"{what}: {self.name} sent {kind}, and got {found}"

    def no_address(self, control: Callable[[], object], what: str) -> None:
        """Prove that a SOLICIT gets no address: no answer, or one that says so (RFC 8415, 18.3.9).

        Raises:
            AssertionError: an address was advertised.
            Inconclusive: the control raised an AssertionError.
        """
        transaction, send = self._prepared("SOLICIT")
        for packet in self.neighbour.silence(send, control, what):
            found = self._answer(packet, transaction)
            given = ", ".join(found.addresses) if found else ""
            assert not given, f"{what}: {self.name} was given {given}"

    def send_raw(self, payload: bytes) -> None:
        """Send anything to the servers' port, and wait for nothing."""
        here, ports = self.neighbour.link_local, (messages6.CLIENT_PORT, messages6.SERVER_PORT)
        self.neighbour.send(messages6.SERVERS_MAC, packets.udp(here, messages6.SERVERS, *ports, payload, ttl=1))

    # -- how ------------------------------------------------------------------------------------------

    def _ask(self, kind: str, expected: str, *, limit: float | None = None, **fields: Any) -> Message6:
        transaction, send = self._prepared(kind, **fields)
        limit = self.net.arrival_limit if limit is None else limit
        found = self.neighbour.ask(send, lambda packet: self._answer(packet, transaction), limit=limit)
        assert found is not None, f"{self.name} sent {kind} of DHCPv6, and nobody answered"
        assert found.kind == expected, f"{self.name} sent {kind}, and got {found}, which is no {expected}"
        assert found.client_id in (self.duid, None), f"{self.name} got a {found.kind} that is for another client"
        assert found.server_id, f"{self.name} got a {found.kind} that does not say which server's it is"
        assert messages6.is_intact(found), f"{self.name} got a {found.kind} whose checksum is wrong"
        return found

    def _prepared(
        self,
        kind: str,
        *,
        server: bytes | None = None,
        wanted: Wanted = (),
        parameters: Iterable[int] = PARAMETERS,
        name: str | None = None,
        options: Iterable[tuple[int, bytes]] = (),
    ) -> tuple[int, Callable[[], None]]:
        """Return a message's number, and what sends it."""
        transaction = self.net.random.getrandbits(24)
        content = [(messages6.CLIENT_ID, self.duid), (messages6.ELAPSED, bytes(2))]
        if server:
            content.append((messages6.SERVER_ID, server))
        by_number = wanted if isinstance(wanted, Mapping) else {1: wanted}
        content += [messages6.association(number, addresses) for number, addresses in by_number.items()]
        asked = tuple(parameters)
        content += [messages6.requested(asked)] if asked else []
        content += [messages6.name(name)] if name is not None else []
        payload = messages6.message(kind, transaction, [*content, *options])
        return transaction, lambda: self.send_raw(payload)

    def _answer(self, packet: Packet, transaction: int) -> Message6 | None:
        found = messages6.read(packet)
        if found is None or found.transaction != transaction or packet.destination != self.neighbour.link_local:
            return None
        self.messages.append(found)
        return found

    def _give_up(self, kind: str, **fields: Any) -> Message6:
        leased = self._leased()
        reply = self._ask(kind, "REPLY", server=leased.server_id, **_the_same(leased, fields))
        self.neighbour.addresses.difference_update(leased.addresses)
        self.reply = None
        return reply

    def _leased(self) -> Message6:
        assert self.reply is not None, f"{self.name} has no lease"
        return self.reply

    def _has(self, reply: Message6) -> None:
        self.reply = reply
        self.neighbour.addresses.update(reply.addresses)


def _the_same(message: Message6, fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields in which the addresses of a message are asked for, if no others are."""
    held = {one.iaid: [leased.address for leased in one.addresses] for one in message.associations}
    return {**fields, "wanted": fields.get("wanted") or held}
