"""A guest whose real kernel asks for a router and makes its own addresses (RFC 4862)."""

from __future__ import annotations

import errno
import ipaddress
import re
import time

from conformance import system
from conformance.topology.base import GUEST_DEVICE, Guest
from conformance.topology.sandbox import Sandbox

#: A guest's kernel does in its own time what it does: so many times the limit for what has to arrive.
_PATIENCE = 6
_ADDRESS = re.compile(r"\binet6 ([0-9a-f:]+)")


def accept(guest: Guest) -> None:
    """Have the guest's kernel take in router advertisements that it has not asked for, from now on."""
    if system.NAME == system.FREEBSD:
        guest.run("ifconfig", GUEST_DEVICE, "inet6", "-ifdisabled", "auto_linklocal", "accept_rtadv", "up")
    else:
        # Looking for duplicates takes a second, and proves nothing here; on FreeBSD no guest does.
        _set(guest, accept_ra=1, autoconf=1, accept_dad=0, dad_transmits=0)


def ask(guest: Guest) -> None:
    """Have the guest's kernel take in router advertisements, and ask for them now."""
    accept(guest)
    if system.NAME == system.FREEBSD:
        # rtsol(8) asks, and the kernel takes in the answer.
        guest.run("rtsol", GUEST_DEVICE)
        return
    _set(guest, router_solicitation_delay=0, router_solicitation_interval=1, router_solicitations=10)
    # It asks when the device comes up.
    guest.run("ip", "-batch", "-", stdin="".join(f"link set dev {GUEST_DEVICE} {state}\n" for state in ("down", "up")))


def _set(guest: Guest, **settings: int) -> None:
    """Set what Linux has for the guest's device (ip-sysctl.rst)."""
    place = f"/proc/sys/net/ipv6/conf/{GUEST_DEVICE}"
    guest.run("sh", "-e", stdin="".join(f"echo {value} > {place}/{key}\n" for key, value in settings.items()))


def address(net: Sandbox, guest: Guest, prefix: str, *, what: str) -> str:
    """Return the address that the guest's kernel has made of a prefix, when it can be used.

    Raises:
        AssertionError: it makes none.
    """
    deadline = time.monotonic() + _PATIENCE * net.arrival_limit
    while True:
        found = addresses(guest)
        for one in found:
            if ipaddress.ip_address(one) in ipaddress.ip_network(prefix) and _can_be_used(guest, one):
                return one
        assert time.monotonic() < deadline, f"{what}: {guest.name} makes no address of {prefix}, and has {found}"
        time.sleep(0.01)


def _can_be_used(guest: Guest, one: str) -> bool:
    """Whether the kernel has done with looking for duplicates of an address."""
    try:
        guest.datagram_socket(one).close()
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            raise
        return False
    return True


def addresses(guest: Guest) -> list[str]:
    """Return the addresses of the guest's device, but for link-local ones."""
    if system.NAME == system.FREEBSD:
        said = guest.run("ifconfig", GUEST_DEVICE, "inet6")
    else:
        said = guest.run("ip", "-6", "address", "show", "dev", GUEST_DEVICE, "scope", "global")
    return [one for one in _ADDRESS.findall(said) if not one.startswith("fe80:")]


def until_default_route(net: Sandbox, guest: Guest, *, there: bool = True, what: str) -> None:
    """Wait until the guest's kernel knows a default route, or knows none any more.

    Raises:
        AssertionError: that does not come about.
    """
    deadline = time.monotonic() + _PATIENCE * net.arrival_limit
    while has_default_route(guest) != there:
        words = "has no" if there else "still has a"
        assert time.monotonic() < deadline, f"{what}: {guest.name} {words} default route"
        time.sleep(0.01)


def has_default_route(guest: Guest) -> bool:
    """Whether the guest's kernel knows a way to what is in none of its networks."""
    with guest.datagram_socket("::") as sock:
        try:
            # RFC 3849: a network that nobody has. Connecting sends nothing.
            sock.connect(("2001:db8:ffff::1", 9))
        except OSError as error:
            if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL):
                return False
            raise
        return True
