"""The program that dnsmasq calls when a lease changes, as a file of its own in the network's directory."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from refnet import dhcp_event
from refnet.dhcp.capabilities import Capability
from refnet.dhcp.dnsmasq import files
from refnet.dhcp.dnsmasq.place import Place
from refnet.dhcp.network import DhcpNetwork
from refnet.errors import InvalidArgument, Unsupported

#: execve(2): more of a first line is not read.
_MAX_FIRST_LINE = 127
#: Octets of the program's path.
_MAX_PATH = 240
_PLAIN = re.compile(rf"[A-Za-z0-9/._+:@%-]{{1,{_MAX_PATH}}}", re.ASCII)


def lacking() -> str | None:
    """Return why there can be no such program here, in words; None: there can."""
    if not sys.executable or len(_first_line()) > _MAX_FIRST_LINE or " " in sys.executable:
        return (
            f"dnsmasq can call a program in Python only if the interpreter's path is short: {sys.executable!r} is not"
        )
    return None


def see_that_it_can_be(place: Place, network: DhcpNetwork) -> None:
    """Refuse a network whose program dnsmasq could not call.

    It asks for the leases by a shell, and has 256 octets for what it tells that (2.90, ``lease.c``).

    Raises:
        Unsupported: there can be none here.
        InvalidArgument: the directory has too long a name, or one that a shell does not take as it is.
    """
    reason = lacking() if network.lease_events else None
    if reason:
        raise Unsupported(reason, capability=Capability.LEASE_EVENTS, device=network.device)
    if network.lease_store and not _PLAIN.fullmatch(str(place.event)):
        raise InvalidArgument(
            f"directory {place.path}: with lease_store, 1 to {_MAX_PATH - 7} are to be of A-Z a-z 0-9 / . _ - + : @ %",
            device=network.device,
        )


def write(place: Place) -> None:
    """Write it.

    Raises:
        PermissionDenied, KernelRefused: it cannot be written.
    """
    source = Path(dhcp_event.__file__).read_text(encoding="utf-8")
    files.replace({place.event: f"{_first_line()}\n{source}"}, files.PROGRAM_MODE)


def _first_line() -> str:
    return f"#!{sys.executable} -IS"
