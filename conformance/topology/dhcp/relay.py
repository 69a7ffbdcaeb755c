"""A relay agent (RFC 1542, RFC 3046) between a server and clients of a network that the server is not in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from conformance.topology.base import Endpoint
from conformance.topology.dhcp import messages
from conformance.topology.dhcp.client import Client
from conformance.topology.dhcp.messages import Message
from conformance.topology.dhcp.segment import Segment
from conformance.topology.packets import DHCP_CLIENT, DHCP_SERVER


class Relay:
    """A router on a segment, behind which there is a network with clients.

    ``address`` is its own on the segment, ``giaddr`` that in the clients' ``network``. The sandbox has a
    route to that.
    """

    def __init__(
        self,
        segment: Segment,
        name: str = "relay",
        *,
        address: str = "10.9.0.2",
        giaddr: str = "10.8.0.1",
        network: str = "10.8.0.0/24",
    ) -> None:
        """Put the router into the segment."""
        self.segment = segment
        self.address = address
        self.giaddr = giaddr
        self.endpoint: Endpoint = segment.guest(name)
        segment.net.add_route(network, address, segment.device)

    def client(self, *, mac: str | None = None, client_id: bytes | None = None, **fields: Any) -> RelayedClient:
        """Return a client in the network behind it; ``agent`` among the fields is what option 82 has."""
        mac = mac or self.segment.net.new_mac()
        return RelayedClient(self, mac=mac, client_id=client_id, **fields)


class RelayedClient(Client):
    """A client whose messages to everybody go through a relay agent, and whose others are routed by it.

    ``agent`` is what the relay agent adds as option 82; None: it adds none.
    """

    def __init__(self, relay: Relay, *, agent: bytes | None = None, **options: Any) -> None:
        """Send nothing yet."""
        super().__init__(relay.segment.net, relay.endpoint, **options)
        self.name = f"{relay.endpoint.name}'s client"
        self.relay = relay
        self.agent = agent
        self._link_mac = relay.endpoint.mac

    def _send(self, message: Message, to: Message | None) -> None:
        segment = self.relay.segment
        if to is not None:
            self._put(message.ciaddr, to.server, segment.mac, DHCP_CLIENT, messages.payload(message))
            return
        options = {**message.options, **({messages.AGENT: self.agent} if self.agent is not None else {})}
        relayed = replace(message, giaddr=self.relay.giaddr, hops=message.hops + 1, options=options)
        # RFC 2131, 4.1: from the server's port to the server's port.
        self._put(self.relay.giaddr, segment.address, segment.mac, DHCP_SERVER, messages.payload(relayed))

    def _answers_for(self) -> set[str]:
        # Nobody asks on the segment for what is behind the relay agent.
        return {self.relay.address}

    def _is_for(self, found: Message) -> bool:
        return found.destination_mac == self._link_mac
