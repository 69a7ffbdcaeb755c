"""What a DHCP server may or may not be able to do, and what of it a network takes."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from refnet.dhcp.values import Ipv6Mode

if TYPE_CHECKING:
    from refnet.dhcp.network import DhcpNetwork


class Capability(str, Enum):
    """Something optional that a manager says it can do here; asked for with :meth:`DhcpManager.probe`."""

    #: Leases by DHCP for IPv4.
    DHCP = "dhcp"
    #: DHCPv6, with addresses or for information only.
    DHCP_IPV6 = "dhcp-ipv6"
    ROUTER_ADVERTISEMENT = "router-advertisement"
    DNS = "dns"
    #: DNS queries for names that are not the network's go to other servers.
    DNS_FORWARDING = "dns-forwarding"
    #: What becomes of leases is told to a log or a socket.
    LEASE_EVENTS = "lease-events"
    #: Leases are kept by refnet, not by the server.
    LEASE_STORE = "lease-store"
    #: A lease can be ended by the host.
    RELEASE = "release"

    __str__ = str.__str__


def needs(network: DhcpNetwork) -> list[Capability]:
    """Return the capabilities that a network takes."""
    found = {
        Capability.DHCP: network.serves_dhcp,
        Capability.DHCP_IPV6: network.ipv6 not in (None, Ipv6Mode.SLAAC),
        Capability.ROUTER_ADVERTISEMENT: network.router_advertisement is not None,
        Capability.DNS: network.dns is not None,
        Capability.DNS_FORWARDING: network.dns is not None and bool(network.dns.forwarders),
        Capability.LEASE_EVENTS: network.lease_events is not None,
        Capability.LEASE_STORE: network.lease_store,
    }
    return [capability for capability, needed in found.items() if needed]
