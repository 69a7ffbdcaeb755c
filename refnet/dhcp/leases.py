"""Leases: what a client has, and how dnsmasq's lease file is read."""

from __future__ import annotations

from typing import NamedTuple

from refnet.names import IPAddress


class Lease(NamedTuple):
    """An address that a client has."""

    address: IPAddress
    #: The client's MAC address in lower case; None where it is not known (DHCPv6).
    mac_address: str | None
    #: The client identifier of DHCP (option 61), or the DUID of DHCPv6, as ``01:52:54:…``; None: it sent none.
    client_id: str | None
    #: What the client or the network calls it; None: nothing.
    name: str | None
    #: When it ends, in seconds since 1970 (UTC); None: never.
    expires: float | None
    #: DHCPv6: the identity association's number (RFC 8415); None: it is a lease of IPv4.
    iaid: int | None = None
