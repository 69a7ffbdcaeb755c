"""Leases of a network that stands in a directory: reading them, and ending one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from refnet import dhcp_event, names
from refnet.dhcp import events, leases, values
from refnet.dhcp import release as packets
from refnet.dhcp.dnsmasq import files, store
from refnet.dhcp.dnsmasq.place import Place
from refnet.dhcp.dnsmasq.store import Known
from refnet.dhcp.leases import Lease
from refnet.dhcp.network import DhcpNetwork
from refnet.errors import LeaseOfAnother, NoAnswer, NotRunning
from refnet.names import InterfaceAddress, IPAddress

#: Seconds after which the packet is sent again, and between two looks at the leases.
_AGAIN, _PAUSE = 1.0, 0.02
#: Octets of a lease's line.
_LINE = 60


def read(place: Place) -> tuple[Lease, ...]:
    """Return the leases that have not expired, those that refnet keeps or those that dnsmasq does.

    Raises:
        PermissionDenied, KernelRefused: they cannot be read.
    """
    return events.leases(place.events) if _is_store(place) else leases.read(place.leases, started=_since(place))


def estimate(place: Place) -> int:
    """Return about how many leases there are, without reading them."""
    try:
        return place.leases.stat().st_size // _LINE
    except OSError:
        return 0


def convert(place: Place, network: DhcpNetwork) -> None:
    """Have the leases where the network's server, which does not run yet, is going to look for them.

    A file of dnsmasq's is what counts where there is one: there is none while refnet keeps the leases.

    Raises:
        PermissionDenied, KernelRefused: they cannot be read or written.
    """
    if network.lease_store and place.leases.exists():
        _tell_as_events(place)
    elif not network.lease_store and not place.leases.exists() and place.events.exists():
        files.replace({place.leases: events.lease_file(place.events)})


def _tell_as_events(place: Place) -> None:
    text = leases.whole(place.leases, started=_since(place))
    found = leases.parse(text, str(place.leases))
    duid = leases.server_duid(text)
    told = [f'"action":"server","server_duid":"{duid}"'] if duid else []
    gone = {one.address for one in events.leases(place.events, now=0)} - {one.address for one in found}
    told += [f'"action":"del","address":"{one}"' for one in gone]
    told += map(_event, found)
    with files.refusals(place.events, "written"):
        for fields in told:
            dhcp_event.append(os.fsencode(place.events), fields, False)
        if told:
            place.events.chmod(files.MODE)
    for error in files.remove([place.leases]):
        raise error


def _event(lease: Lease) -> str:
    """Return the event by which the program would have been told of a lease."""
    is_new = lease.address.version == 6
    client = lease.client_id if is_new else lease.mac_address
    variables = {
        b"DNSMASQ_LEASE_EXPIRES": str(int(lease.expires or 0)),
        b"DNSMASQ_CLIENT_ID": None if is_new else lease.client_id,
        b"DNSMASQ_MAC": lease.mac_address,
        b"DNSMASQ_IAID": None if lease.iaid is None else f"{'T' if lease.is_temporary else ''}{lease.iaid}",
    }
    said = [client or "", str(lease.address), *([lease.name] if lease.name else [])]
    known: Any = {key: value.encode() for key, value in variables.items() if value}
    return dhcp_event.event("add", [one.encode() for one in said], known)


def release(
    place: Place,
    address: IPAddress,
    client: str,
    *,
    known: Known | None,
    is_running: Callable[[], bool],
    time_limit: float,
) -> None:
    """End a lease, and return when the server has.

    Raises:
        InvalidArgument: the client is none.
        LeaseOfAnother, NotRunning, NoAnswer: see :meth:`DhcpManager.release`.
        NoSuchDevice, PermissionDenied, KernelRefused: the packet cannot be sent.
    """
    wanted = names.mac_address(client) if address.version == 4 else values.client_id(client, "DUID")
    deadline, sent = time.monotonic() + time_limit, float("-inf")
    while True:
        lease = next((one for one in read(place) if one.address == address), None)
        if lease is None:
            return
        holder = lease.mac_address if address.version == 4 else lease.client_id
        if holder != wanted:
            raise LeaseOfAnother(
                f"{address} is leased to {holder or 'another client'}, not to {wanted}", holder=holder or ""
            )
        if known is None or not is_running():
            raise NotRunning(f"{address} is leased, and no server runs on {place.device} that could end the lease")
        now = time.monotonic()
        if now >= deadline:
            raise NoAnswer(f"the server on {place.device} has not ended the lease of {address} in {time_limit:g} s")
        if now - sent >= _AGAIN:
            sent = now
            duid = leases.server_duid(_lease_file(place)) if address.version == 6 else None
            packets.send(lease, place.device, _server_address(known, address), duid)
        time.sleep(_PAUSE)


def _server_address(known: Known, address: IPAddress) -> InterfaceAddress:
    """Return the server's address that a client asks: the one in its network, or any if it is behind a relay."""
    of_family = [one for one in known.network.addresses if one.version == address.version]
    return next((one for one in of_family if address in one.network), of_family[0])


def _lease_file(place: Place) -> str | bytes:
    if _is_store(place):
        return events.lease_file(place.events)
    return leases.whole(place.leases, started=_since(place))


def _is_store(place: Place) -> bool:
    """Whether refnet keeps the leases: it says so, or the network was stopped and there is nothing else."""
    found = store.record(place)
    if found is not None:
        return bool(found["network"].get("lease-store"))
    return place.events.exists() and not place.leases.exists()


def _since(place: Place) -> float | None:
    """Return when the server had its lease file open already."""
    try:
        return place.pid.stat().st_mtime
    except OSError:
        return None
