"""What the topics about IPv6 share: the network that they serve, and what is to be in it."""

from __future__ import annotations

import ipaddress

from conformance.topology.dhcp.segment import Segment
from refnet.dhcp import DhcpNetwork, Ipv6Mode, Range

#: The server's address on the segment that the specs make, its network, and what is given there to whoever asks.
HERE, PREFIX = "fd09::1", "fd09::/64"
POOL = Range("fd09::100", "fd09::1ff")
#: Those of a second network, for what is told apart.
THERE, OTHER_PREFIX = "fd0a::1", "fd0a::/64"
OTHER_POOL = Range("fd0a::100", "fd0a::1ff")


def stateful(segment: Segment, *, pool: Range | None = POOL, **fields: object) -> DhcpNetwork:
    """Return a network whose clients ask DHCPv6 for addresses, and have no other way to any."""
    return segment.network(**{"ipv6": Ipv6Mode.STATEFUL, "ranges": pool or (), **fields})


def one_of(pool: Range, address: str, *, what: str) -> str:
    """Return an address that has to be one of a range."""
    assert ipaddress.ip_address(address) in pool, f"{what}: {address} is given, which is not in {pool}"
    return address
