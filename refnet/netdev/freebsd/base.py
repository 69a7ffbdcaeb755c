"""What every part of the FreeBSD driver looks with, and the making of a cloned device."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import random
import re
import socket
from collections.abc import Collection, Iterator

from refnet import locks
from refnet.errors import DumpInterrupted, NoSuchDevice
from refnet.netdev.driver import NetDevDriver
from refnet.netdev.freebsd import listing, routes
from refnet.netdev.freebsd.listing import Interface, Listing
from refnet.netdev.freebsd.routes import Route
from refnet.netdev.freebsd.tools import Command, Refusal, Tools, held_here, ifconfig, words_of
from refnet.netdev.freebsd.words import says, translate
from refnet.process import Completed

#: The interface group (ifconfig(8), "group") of every device that refnet has made: ``ifconfig -g refnet`` lists them.
GROUP = "refnet"
#: The group of bridges that were given an MTU, which the first port would else replace by its own.
MTU_GROUP = "refnet-mtu"
#: A device may come and go between two looks at it; more often than this is somebody else's fault.
ATTEMPTS = 20

#: The highest number that a cloned device can be born with (IF_MAXUNIT, sys/net/if.h).
MAX_NUMBER = 0x7FFF

#: Seconds to wait for others who work on the same device: each takes some programs for it.
_PATIENCE = 60.0

#: Refusals of ifconfig(8) that come before the device has been made.
_NOT_MADE = re.compile(r"SIOCIFCREATE|already exists|cloning name too long|usage:")


class FreeBSDBase(NetDevDriver):
    """The tools, and looks at devices and routes."""

    def __init__(self, tools: Tools | None = None) -> None:
        """Start nothing yet. ``tools`` is the way to the system."""
        self.tools = tools or Tools()
        self._driver_names = True
        self._fibs: int | None = None

    # -- looking ----------------------------------------------------------------------------------------

    def look(self) -> Listing:
        """Look at all devices, in one program."""
        for _ in range(ATTEMPTS):
            with looking():
                result = self.tools.run(listing.command(driver_names=self._driver_names))
            if not result.status:
                return listing.parse(result.stdout)
            refusal = Refusal(words_of(result))
            # A device that went away while it was shown is no reason not to show the others.
            if not self._without_driver_names(refusal) and not says(refusal, errno.ENXIO, errno.ENOENT):
                raise translate(refusal, "ifconfig")
        raise DumpInterrupted(f"the devices changed during each of {ATTEMPTS} attempts to list them")

    def find(self, name: str) -> Interface | None:
        """Look at one device; None if there is none by that name."""
        for _ in range(ATTEMPTS):
            with looking():
                result = self.tools.run(listing.command(name, driver_names=self._driver_names))
            if not result.status:
                return listing.parse(result.stdout).get(name)
            refusal = Refusal(words_of(result))
            if says(refusal, errno.ENXIO, errno.ENOENT):
                return None
            if not self._without_driver_names(refusal):
                raise translate(refusal, name)
        raise DumpInterrupted(f"{name} changed during each of {ATTEMPTS} attempts to look at it")

    def need(self, name: str) -> Interface:
        return needed(self.find(name), name)

    def routes_of(self, device: Interface) -> list[Route]:
        """Look at the routes through a device that somebody has made, in all tables."""
        found: list[Route] = []
        for fib in range(self._count_fibs(device.name)):
            with translated(device.name):
                found += routes.parse(self.tools.do(routes.command(fib)), fib=fib)
        return routes.of_device(found, device.name, device.mtu)

    def _count_fibs(self, device: str) -> int:
        if self._fibs is None:
            with translated(device):
                self._fibs = int(self.tools.do(("sysctl", "-n", "net.fibs")))
        return self._fibs

    def _without_driver_names(self, refusal: Refusal) -> bool:
        """Whether ifconfig(8) has refused -D, which older releases do not know; it is left out from now on."""
        if "usage:" in refusal.words and self._driver_names:
            self._driver_names = False
            return True
        return False

    # -- changing ---------------------------------------------------------------------------------------

    def clone(self, argv: Command) -> None:
        """Make a device in one program, and leave nothing of it behind if that fails half way.

        Raises:
            Refusal: the system would not.
        """
        result = self.tools.run(argv)
        if not result.status:
            return
        words = words_of(result)
        # ifconfig prints the name that the device has come to, unless it is the one that it was called with.
        made = result.stdout.strip() or ("" if _NOT_MADE.search(words) else argv[1])
        left = []
        if made:
            cleared = self.destroy(made)
            if cleared.status:
                left.append(f"{made}: {words_of(cleared)}")
        raise Refusal(words, left_over=left)

    def destroy(self, device: str) -> Completed:
        """Destroy a device that may be a bridge, while nobody looks."""
        with destroying():
            return self.tools.run(ifconfig(device, "destroy"))


def needed(device: Interface | None, name: str, what: str = "device") -> Interface:
    if device is None:
        raise NoSuchDevice(f"there is no {what} {name}", device=name, errno=errno.ENXIO)
    return device


@contextlib.contextmanager
def translated(device: str) -> Iterator[None]:
    """Turn the programs' refusals into refnet's errors about a device."""
    try:
        yield
    except Refusal as refusal:
        raise translate(refusal, device) from None


@contextlib.contextmanager
def alone(*devices: str) -> Iterator[None]:
    """Be the only one of refnet's callers that works on these devices.

    Several commands make one change here, and FreeBSD's kernel looks for a name and gives it in two steps (if_rename,
    sys/net/if.c), so that two devices could come to one name.
    """
    with contextlib.ExitStack() as held:
        # In one order, so that two callers never wait for each other.
        for device in sorted(set(devices)):
            lock = held.enter_context(locks.held(f"netdev-{_stack()}-{device}", time_limit=_PATIENCE))
            held_here().append(lock)
            held.callback(held_here().remove, lock)
        yield


def looking() -> contextlib.AbstractContextManager[None]:
    """Look at devices while none of refnet's callers destroys a bridge.

    FreeBSD's kernel panics when a bridge is destroyed under somebody who asks it for its members: bridge_ioctl waits
    for a lock in what is freed meanwhile (sys/net/if_bridge.c, seen with 14.0).
    """
    return locks.reading(f"netdev-{_stack()}", time_limit=_PATIENCE)


def destroying() -> contextlib.AbstractContextManager[None]:
    """Destroy a bridge while none of refnet's callers looks: see :func:`looking`."""
    return locks.writing(f"netdev-{_stack()}", time_limit=_PATIENCE)


def _stack() -> int:
    """Tell network stacks apart that share a file system, as jails may: by the number of their loopback device.

    Where it is not there, or numbers are given out by each stack on its own (FreeBSD 13), stacks only wait for each
    other without need.
    """
    try:
        return socket.if_nametoindex("lo0")
    except OSError:
        return 0


def free_number(prefix: str, used: Collection[str | None], *, refused: bool) -> int:
    """Return a number to give a device birth with: the lowest that is free as far as can be seen.

    With ``refused`` that was in use where it cannot be seen, or somebody was quicker: any other one then, so that not
    all who want one try the same again.
    """
    if not refused:
        return next(number for number in itertools.count() if f"{prefix}{number}" not in used)
    while True:
        number = random.randrange(MAX_NUMBER)
        if f"{prefix}{number}" not in used:
            return number


def random_mac() -> str:
    """Return a random unicast MAC address that says that it is locally administered (IEEE 802, section 8.2)."""
    octets = bytearray(os.urandom(6))
    octets[0] = (octets[0] & 0xFC) | 0x02
    return octets.hex(":")
