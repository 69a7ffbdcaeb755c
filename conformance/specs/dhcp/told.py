"""What several topics about DHCPv4 ask: the network that they serve, and what a message tells."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from conformance.topology.dhcp.messages import Message
from refnet.dhcp import Range

#: The server's address on the segment that the specs make, and what is given there to whoever asks.
HERE = "10.9.0.1"
POOL = Range("10.9.0.100", "10.9.0.199")

#: RFC 2132 and its successors: codes of options.
MASK, ROUTER, DNS, NAME, DOMAIN, MTU, BROADCAST, NTP = 1, 3, 6, 12, 15, 26, 28, 42
LEASE_TIME, SERVER, T1, T2, SEARCH, ROUTES = 51, 54, 58, 59, 119, 121
#: RFC 3942: for whoever runs the network.
PRIVATE, ANOTHER_PRIVATE, THIRD_PRIVATE = 224, 225, 226

#: RFC 2131, section 3.3.
FOR_EVER = 0xFFFFFFFF


def octets(*addresses: str) -> bytes:
    """Return addresses as they stand in an option."""
    return b"".join(ipaddress.IPv4Address(one).packed for one in addresses)


def given(message: Message, pool: Range = POOL, *, what: str) -> str:
    """Return the address that a message gives, which has to be one of a range."""
    address = message.yiaddr
    assert ipaddress.ip_address(address) in pool, f"{what}: {address} is given, which is not in {pool}"
    return address


def tells(message: Message, expected: Mapping[int, bytes | None], *, what: str) -> None:
    """See that options are on the wire just so; None: that they are not there."""
    for code, data in expected.items():
        found = message.options.get(code)
        assert found == data, f"{what}: option {code} is {_words(found)}, and not {_words(data)}"


def _words(data: bytes | None) -> str:
    return "absent" if data is None else data.hex(":") or "empty"
