"""Leases: what a client has, and how dnsmasq's lease file is read.

A line of that file is one of these (dnsmasq 2.90, ``lease.c``), with ``*`` for a name or an identifier that is missing:

    1790000000 52:54:00:12:34:56 192.0.2.100 web 01:52:54:00:12:34:56       expiry, MAC address, address, name, client
    1790000000 06-52:54:00:12:34:56 192.0.2.101 * *                         a type of hardware that is not Ethernet (1)
    duid 00:01:00:01:2a:30:11:22:52:54:00:00:00:01                          the server's DUID, before leases of IPv6
    1790000000 305419896 2001:db8::100 web 00:03:00:01:52:54:00:12:34:56    expiry, IAID, address, name, client's DUID
    1790000000 T7 2001:db8::101 * 00:03:00:01:52:54:00:12:34:56             a temporary address

An expiry of 0 means never.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import NamedTuple

from refnet.errors import KernelRefused, PermissionDenied
from refnet.names import IPAddress

_log = logging.getLogger(__name__)

#: Seconds after which a file that has not changed is taken for whole; and one that looks like a part, which it stays
#: for as long as a slow disk keeps dnsmasq waiting.
_SETTLED, _PART_SETTLED = 0.25, 2.0
#: Seconds between two readings of a file that is being written.
_PAUSE = 0.01
#: Octets: what is written before the whole is there is a multiple of this, for the C library writes whole blocks.
_BLOCK = 512
#: Characters of a bad line that the log shows.
_SHOWN = 80

#: The last second of the year 9999: what comes after it is no time in Python's calendar, nor anybody's lease.
_LAST = 253402300799

_OCTETS = r"[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2})"
_LINE = re.compile(
    rf"([0-9]{{1,12}}) +([0-9a-fA-FT:-]{{1,60}}) +([0-9a-fA-F.:]{{2,45}}) +([!-~]{{1,255}}) +(\*|{_OCTETS}{{0,254}})",
    re.ASCII,
)
_DUID = re.compile(rf"duid +({_OCTETS}{{1,129}})", re.ASCII)
_MAC = re.compile(rf"(?:[0-9a-fA-F]{{2}}-)?({_OCTETS}{{5}})", re.ASCII)
#: Hardware without an address of six octets: InfiniBand, for one, has none in DHCP (RFC 4390).
_OTHER_HARDWARE = re.compile(rf"[0-9a-fA-F]{{2}}-(?:{_OCTETS}{{0,15}})?", re.ASCII)
_IAID = re.compile(r"(T?)([0-9]{1,10})", re.ASCII)


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
    #: DHCPv6: whether it is a temporary address (IA_TA).
    is_temporary: bool = False


def parse(text: str | bytes, source: str = "the lease file") -> tuple[Lease, ...]:
    """Return all leases of a lease file, those that have expired included, in its order.

    Lines that cannot be read are left out, each with a warning to this module's log that names ``source``: a client
    must not lose its lease by another one's line. A last line without its end is only half written, and is such a one.
    """
    return tuple(_leases(_text(text), source))


def server_duid(text: str | bytes) -> str | None:
    """Return the server's DUID as octets in hexadecimal with colons; None: the file has none."""
    for line in _text(text).split("\n")[:-1]:
        match = _DUID.fullmatch(line.strip(" \r"))
        if match:
            return match[1].lower()
    return None


def read(path: str | Path, now: float | None = None, *, started: float | None = None) -> tuple[Lease, ...]:
    """Return the leases of a lease file that have not expired at a time (seconds since 1970; None: now).

    dnsmasq empties the file and writes it anew whenever a lease changes, so that what is read can be a part of it. It
    is read again until it is seen to be whole, for three seconds at most; so it takes up to two to learn that the last
    lease has gone a moment ago. There is no file where there are no leases. ``started`` is when the server had the file
    open already (seconds since 1970): a file that has not changed since then is whole.

    Raises:
        PermissionDenied, KernelRefused: it cannot be read.
    """
    moment = time.time() if now is None else now
    found = parse(whole(path, started=started), str(path))
    return tuple(one for one in found if one.expires is None or one.expires > moment)


def whole(path: str | Path, *, started: float | None = None) -> bytes:
    """Return what is in a lease file when it is not being written, as :func:`read` finds out; b"" if there is none.

    Raises:
        PermissionDenied, KernelRefused: it cannot be read.
    """
    began, longest, before = time.monotonic(), b"", None
    while True:
        try:
            with open(path, "rb") as file:
                at_first = os.fstat(file.fileno())
                data = file.read()
                at_last = os.fstat(file.fileno())
        except FileNotFoundError:
            return b""
        except PermissionError as error:
            words = f"the lease file {path} cannot be read: it takes root, or the server's user"
            raise PermissionDenied(words, errno=error.errno, detail=error.strerror) from None
        except OSError as error:
            words = f"the lease file {path} cannot be read"
            raise KernelRefused(words, errno=error.errno, detail=error.strerror) from None
        age, waited = time.time() - at_last.st_mtime, time.monotonic() - began
        # Emptied, or written up to a block's end, or changed while it was read.
        is_part = len(data) % _BLOCK == 0 or not data.endswith(b"\n") or at_first.st_mtime_ns != at_last.st_mtime_ns
        if started is not None and at_last.st_mtime < started and at_first.st_mtime_ns == at_last.st_mtime_ns:
            return data
        # A server that changes it all the time does not keep its readers waiting.
        if not is_part and (data == before or age >= _SETTLED or waited >= _SETTLED):
            return data
        longest = max(longest, data, key=len)
        # The second for clocks that say that it was changed in the future.
        if age >= _PART_SETTLED:
            return data
        if waited >= _PART_SETTLED + _SETTLED:
            return longest
        before = data
        time.sleep(_PAUSE)


def _leases(text: str, source: str) -> Iterator[Lease]:
    *lines, half = text.split("\n")
    for number, line in enumerate(lines, 1):
        match = _LINE.fullmatch(line)
        found = _lease(*match.groups()) if match else None
        if found:
            yield found
        elif line.strip() and not _DUID.fullmatch(line.strip(" \r")):
            _log.warning("%s: line %d cannot be read, and is left out: %r", source, number, line[:_SHOWN])
    if half:
        _log.warning("%s: its last line is cut off, and is left out: %r", source, half[:_SHOWN])


def _lease(ends: str, client: str, address: str, name: str, client_id: str) -> Lease | None:
    """Return the lease that a line tells in these parts; None: it tells none."""
    if int(ends) > _LAST:
        return None
    expires = float(ends) or None
    called = None if name == "*" else name
    identity = None if client_id == "*" else client_id.lower()
    # An address made from a number takes a quarter of the time that it takes from text.
    try:
        if ":" in address:
            iaid = _IAID.fullmatch(client)
            if iaid is None or int(iaid[2]) >= 2**32:
                return None
            new = IPv6Address(int.from_bytes(socket.inet_pton(socket.AF_INET6, address), "big"))
            return Lease(new, None, identity, called, expires, int(iaid[2]), bool(iaid[1]))
        mac = _MAC.fullmatch(client)
        if mac is None and not _OTHER_HARDWARE.fullmatch(client):
            return None
        packed = socket.inet_pton(socket.AF_INET, address)
        hardware = mac[1].lower() if mac else None
        return Lease(IPv4Address(int.from_bytes(packed, "big")), hardware, identity, called, expires)
    except OSError:
        return None


def _text(text: str | bytes) -> str:
    # Every octet is a character: what is none of a lease is found by the patterns.
    return text.decode("latin-1") if isinstance(text, bytes) else text
