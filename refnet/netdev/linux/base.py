"""What every part of the Linux driver looks with: one netlink channel, and what is there now."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable

from refnet.errors import NoSuchDevice
from refnet.netdev.driver import NetDevDriver
from refnet.netdev.linux import link as links
from refnet.netdev.linux import records
from refnet.netdev.linux.errors import translate
from refnet.netdev.linux.link import Link
from refnet.netdev.linux.netlink import Channel, KernelError, Request
from refnet.netdev.linux.records import AddressRecord, RouteRecord

#: A device may come and go between two looks at it; more often than this is somebody else's fault.
ATTEMPTS = 20


class LinuxBase(NetDevDriver):
    """The channel, and looks at links, addresses and routes, whose cost does not grow with the number of devices."""

    def __init__(self) -> None:
        """Open nothing yet."""
        self.channel = Channel()

    def close(self) -> None:
        """Close the netlink socket; the next call opens one."""
        self.channel.close()

    def find(self, name: str) -> Link | None:
        return self.find_both(name, None)[0]

    def find_both(self, first: str, second: str | None) -> tuple[Link | None, Link | None]:
        """Look at one or two devices in one exchange; None for one that is not there."""
        requests = [links.get(name=name) for name in (first, second) if name is not None]
        found: list[Link | None] = []
        for name, answer in zip((first, second), self._exchange(requests, first), strict=False):
            if not isinstance(answer, KernelError):
                found.append(links.parse(answer))
            elif answer.errno == errno.ENODEV:
                found.append(None)
            else:
                raise translate(answer, name)
        return found[0], found[1] if second is not None else None

    def _exchange(self, requests: list[Request], device: str) -> list[bytes | KernelError]:
        try:
            return self.channel.exchange(*requests)
        except KernelError as error:  # the socket's own, not a refusal
            raise translate(error, device) from None

    def need(self, name: str) -> Link:
        link = self.find(name)
        if link is None:
            raise NoSuchDevice(f"there is no device {name}", device=name, errno=errno.ENODEV)
        return link

    def name_of(self, index: int) -> str | None:
        if not index:
            return None
        try:
            return links.parse(self.channel.ask(links.get(index=index))).name
        except KernelError as error:
            if error.errno == errno.ENODEV:
                return None
            raise translate(error, None) from None

    def name_below(self, link: Link) -> str | None:
        return None if link.below_elsewhere else self.name_of(link.below)

    def addresses(self, link: Link) -> list[AddressRecord]:
        try:
            return [records.parse_address(body) for body in self.channel.entries(records.list_addresses(link.index))]
        except KernelError as error:
            raise translate(error, link.name) from None

    def routes(self, link: Link, families: Iterable[int]) -> list[RouteRecord]:
        found = []
        for family in families:
            try:
                bodies = self.channel.entries(records.list_routes(family, link.index))
            except KernelError as error:
                if family == socket.AF_INET6 and probe_ipv6() is not None:
                    continue
                raise translate(error, link.name) from None
            found += [records.parse_route(body) for body in bodies]
        return found


def of_family(records: Iterable[AddressRecord], family: int) -> list[AddressRecord]:
    return [record for record in records if record.family == family]


def probe_ipv6() -> str | None:
    """Say why there is no IPv6, None where there is: asked of the socket layer, since a request may fail otherwise."""
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
    except OSError as error:
        if error.errno in (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT):
            return f"the kernel has no IPv6 ({error.strerror})"
    return None


def random_mac() -> str:
    """Return a random unicast MAC address that says that it is locally administered (IEEE 802, section 8.2)."""
    octets = bytearray(os.urandom(6))
    octets[0] = (octets[0] & 0xFC) | 0x02
    return octets.hex(":")


def lock_name() -> str:
    """Name the lock on this network namespace's addresses and routes."""
    try:
        return f"netdev-{os.stat('/proc/thread-self/ns/net').st_ino}"
    except OSError:
        return "netdev"
