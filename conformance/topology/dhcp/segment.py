"""A segment that a DHCP manager serves: a bridge of the sandbox, and the clients on it."""

from __future__ import annotations

from typing import Any

from conformance.topology.base import Guest
from conformance.topology.dhcp.client import Client
from conformance.topology.dhcp.client6 import Client6
from conformance.topology.sandbox import Sandbox
from refnet.dhcp import DhcpNetwork


class Segment:
    """A plain bridge of the sandbox, up, with the server's addresses on it. Guests' ports are in it.

    Attributes:
        net: the sandbox.
        device: the bridge.
        addresses: the server's, with their prefix lengths.
        mac: the bridge's MAC address, which it keeps whatever joins it.
    """

    def __init__(
        self, net: Sandbox, *addresses: str, device: str = "br-dhcp", mac: str | None = None, carrier: bool = True
    ) -> None:
        """Make it; without addresses it has 10.9.0.1/24.

        ``carrier`` False: nothing is on it yet, so that its link is not there and its IPv6 addresses cannot be used.
        """
        self.net = net
        self.device = device
        self.addresses = list(addresses or ("10.9.0.1/24",))
        self.mac = mac or net.new_mac()
        net.plain_bridge(device)
        net.remove_in_the_end(device)
        net.set_mac(device, self.mac)
        if any(":" in one for one in self.addresses):
            net.give_link_local(device)
            if carrier:
                self.guest(f"on-{device}"[:13])
        net.add_address(device, *self.addresses)

    @property
    def address(self) -> str:
        """The server's first address of IPv4."""
        return next(one.partition("/")[0] for one in self.addresses if ":" not in one)

    @property
    def address6(self) -> str:
        """The server's first address of IPv6."""
        return next(one.partition("/")[0] for one in self.addresses if ":" in one)

    def network(self, **fields: Any) -> DhcpNetwork:
        """Return a network to be served here."""
        return DhcpNetwork(self.device, self.addresses, **fields)

    def guest(self, name: str, *addresses: str, mac: str | None = None) -> Guest:
        """Make a guest with a port in the bridge; without addresses its kernel says nothing of IPv4."""
        guest = self.net.guest(name, *addresses, mac=mac)
        self.join(guest.port)
        return guest

    def join(self, *ports: str) -> None:
        """Put devices of the sandbox into the bridge, and wait until their links are there."""
        self.net.join(self.device, *ports)
        self.net.look.rest()

    def client(
        self, name: str = "c1", *, mac: str | None = None, client_id: bytes | None = None, **fields: Any
    ) -> Client:
        """Make a guest, and a client at its end of the cable; ``fields`` are those of all its messages."""
        return Client(self.net, self.guest(name, mac=mac), client_id=client_id, **fields)

    def tap_client(self, tap: str, *, mac: str | None = None, client_id: bytes | None = None, **fields: Any) -> Client:
        """Hold a tap that is a port of the bridge, as a hypervisor does, and return a client behind it."""
        return Client(self.net, self.net.hold(tap, mac=mac), client_id=client_id, **fields)

    def client6(self, name: str = "c1", *, mac: str | None = None, duid: bytes | None = None) -> Client6:
        """Make a guest, and a client of DHCPv6 at its end of the cable."""
        return Client6(self.net, self.guest(name, mac=mac), duid=duid)
