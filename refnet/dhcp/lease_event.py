"""A lease event, and how a line of JSON says it; the lines are made by :mod:`refnet.dhcp_event`."""

from __future__ import annotations

import ipaddress
import json
import logging
from dataclasses import dataclass
from typing import Any

from refnet import dhcp_event
from refnet.names import IPAddress

_log = logging.getLogger(__name__)

#: Octets: no event is longer, whatever a client has sent.
MAX_LINE = dhcp_event.TAIL
#: Characters of a bad line that this module's log shows.
_SHOWN = 80
_ACTIONS = ("init", "add", "old", "del")


@dataclass(frozen=True, slots=True)
class LeaseEvent:
    """What has become of a lease.

    Attributes:
        number: higher than that of each event before it in the same log: microseconds since 1970 where the clock
            allows it.
        time: when it was written down, in seconds since 1970 (UTC).
        action: ``"add"``: there is a new lease. ``"del"``: it has ended. ``"old"``: it is there, and something of it
            may have changed; a server says that of all leases when it starts and when it reads its hosts again.
            ``"init"``: a server that keeps no leases has started, and was told them.
        address: what is leased; None for ``init``, which is of no lease.
        mac_address: the client's, where it is known, in lower case.
        client_id: the client identifier of DHCP, or the DUID of DHCPv6; None: it has sent none.
        name: what the client or the network calls it, without its domain; None: nothing, or (``old``) no longer.
        expires: when the lease ends, in seconds since 1970 (UTC); None: never.
        iaid: the identity association of DHCPv6; None: it is a lease of IPv4.
        device: the device that the client asked through; None: a server that has just started does not know it.
        domain: that of the client's name.
        old_name: the name that the lease has lost.
        supplied_name: what the client has called itself, whatever it is called now.
        vendor_class: what the client has said it is (option 60). As all text of clients it can have any characters;
            octets that are no UTF-8 are written in hexadecimal.
        relay: the address of the relay that it asked through.
        tags: those that dnsmasq has set for the client.
        server_duid: the server's DUID, with events of DHCPv6.
    """

    number: int
    time: float
    action: str
    address: IPAddress | None = None
    mac_address: str | None = None
    client_id: str | None = None
    name: str | None = None
    expires: float | None = None
    iaid: int | None = None
    device: str | None = None
    domain: str | None = None
    old_name: str | None = None
    supplied_name: str | None = None
    vendor_class: str | None = None
    relay: str | None = None
    tags: tuple[str, ...] = ()
    server_duid: str | None = None


def parse(line: str | bytes) -> LeaseEvent | None:
    """Return the event that a line of a log or of a socket has; None if it is none, or one without meaning here.

    A line that cannot be read gives a warning to this module's log.
    """
    try:
        record = json.loads(line)
        return _event(record)
    # Also RecursionError: brackets in brackets, from whoever could write there.
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        if line.strip():
            _log.warning("a line is no lease event, and is left out: %r", line[:_SHOWN])
        return None


def _event(record: Any) -> LeaseEvent | None:
    """Return an event; None if it is one that only the log itself needs.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: it is none.
    """
    number, action = record["number"], record["action"]
    if type(number) is not int or not 0 < number <= dhcp_event.MAX_NUMBER or not isinstance(action, str):
        raise ValueError
    if action not in _ACTIONS:
        return None
    moment, expires, iaid = float(record["time"]), record.get("expires"), record.get("iaid")
    if action == "init":
        return LeaseEvent(number, moment, action)
    mac = record.get("mac")
    texts = {
        field: None if record.get(field) is None else str(record[field])
        for field in ("client_id", "name", "supplied_name", *dhcp_event.VARIABLES)
        if field not in ("iaid", "tags")
    }
    return LeaseEvent(
        number,
        moment,
        action,
        ipaddress.ip_address(record["address"]),
        # dnsmasq writes 06-… for hardware that is not Ethernet.
        mac.rpartition("-")[2].lower() if mac else None,
        expires=None if expires is None else float(expires),
        iaid=None if iaid is None else int(iaid.removeprefix("T")),  # T: a temporary address
        tags=tuple(record.get("tags", "").split()),
        **texts,
    )
