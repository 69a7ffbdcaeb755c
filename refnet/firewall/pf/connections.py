"""What pf knows of connections: which of its states are of an address, and how many connections they are."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from refnet.firewall.pf.tool import Pfctl
from refnet.names import IPAddress

#: "all tcp 192.0.2.1:80 (198.51.100.1:8080) <- 203.0.113.5:40000       ESTABLISHED:ESTABLISHED"
_STATE = re.compile(r"^\S+ (\S+) (\S+)(?: \((\S+)\))? (<-|->) (\S+)(?: \((\S+)\))?\s")
_ID = re.compile(r"^\s+id: ([0-9a-f]+) creatorid: ([0-9a-f]+)")


class Known(NamedTuple):
    """A state: its name in pf, the addresses in it, and the connection that it is of, as the host itself sees it."""

    id: str
    addresses: frozenset[IPAddress]
    connection: tuple[str, frozenset[str]]


def known(text: str) -> list[Known]:
    """Read what ``pfctl -vv -s states`` prints."""
    found = []
    match: re.Match[str] | None = None
    for line in text.splitlines():
        match = _STATE.match(line) or match
        named = _ID.match(line)
        if match and named:
            protocol, left, was_left, arrow, right, was_right = match.groups()
            # On the way out, the source is translated last; on the way in, the destination first: what the host sees
            # in between is behind, or before, the one in brackets.
            ends = (was_left or left, right) if arrow == "->" else (left, was_right or right)
            addresses = frozenset(_address(end) for end in (left, was_left, right, was_right) if end)
            found.append(Known(f"{named[1]}/{named[2]}", addresses, (protocol, frozenset(ends))))
            match = None
    return found


def _address(end: str) -> IPAddress:
    """Return the address of "192.0.2.1:80" or "2001:db8::1[80]"."""
    host = end.partition("[")[0]
    if host.count(":") == 1:
        host = host.partition(":")[0]
    return ipaddress.ip_address(host.partition("%")[0])


def forget(pfctl: Pfctl, address: IPAddress) -> int:
    """Have pf forget the connections of an address, and return how many."""
    states = [one for one in known(pfctl.ask("-vv", "-s", "states")) if address in one.addresses]
    if not states:
        return 0
    everywhere = "0.0.0.0/0" if address.version == 4 else "::/0"
    pfctl.kill("-k", str(address))
    pfctl.kill("-k", everywhere, "-k", str(address))
    # What is left has the address on the host's side of a translation, where -k does not look.
    left = {one.id for one in known(pfctl.ask("-vv", "-s", "states")) if address in one.addresses}
    for name in sorted(left):
        pfctl.kill("-k", "id", "-k", name)
    return len({one.connection for one in states})
