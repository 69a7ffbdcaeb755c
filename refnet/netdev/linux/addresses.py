"""Addresses of a device, and their order."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

from refnet import locks, names
from refnet.errors import Mismatch, Unsupported, operation
from refnet.netdev.driver import Capability
from refnet.netdev.linux import records
from refnet.netdev.linux.base import LinuxBase, lock_name, of_family
from refnet.netdev.linux.change import carry_out
from refnet.netdev.linux.errors import translate
from refnet.netdev.linux.link import Link
from refnet.netdev.linux.netlink import KernelError
from refnet.netdev.linux.records import AddressRecord


class Addresses(LinuxBase):
    """Addresses."""

    @operation
    def add_device_address(self, dev: str, address: str) -> None:
        """Add the address unless a look shows that it is there."""
        link, wanted = self._link_for_address(dev, address)
        if any(record.interface == wanted for record in self.addresses(link)):
            return
        self._add_address(link, wanted)

    @operation
    def delete_device_address(self, dev: str, address: str) -> None:
        """Delete the address; where the kernel would take its secondaries along, they are put back."""
        link, wanted = self._link_for_address(dev, address)
        present = self.addresses(link)
        gone = next((record for record in present if record.interface == wanted), None)
        if gone is None:
            return
        has_dependents = not gone.secondary and any(
            record.secondary and record.subnet == gone.subnet for record in present
        )
        if has_dependents:
            self._reorder(link, lambda present: [record for record in present if record.interface != wanted])
            return
        try:
            self.channel.ask(gone.remove(link.index))
        except KernelError as error:
            if error.errno not in (errno.EADDRNOTAVAIL, errno.ENODEV):
                raise translate(error, dev) from None

    @operation
    def ensure_gateway_address(self, dev: str, address: str) -> None:
        """Look, and only if another address is first take all away and add them in the wanted order."""
        link, wanted = self._link_for_address(dev, address)
        everything = self.addresses(link)
        if wanted.version == 6:
            if all(record.interface != wanted for record in everything):
                self._add_address(link, wanted)
            return

        def with_wanted_first(present: list[AddressRecord]) -> list[AddressRecord]:
            found = [record for record in present if record.interface == wanted]
            others = [record for record in present if record.interface != wanted]
            return [*(found or [records.new_address(wanted)]), *others]

        present = of_family(everything, socket.AF_INET)
        if present != records.as_kept(with_wanted_first(present)):
            self._reorder(link, with_wanted_first)

    def _link_for_address(self, dev: str, address: str) -> tuple[Link, names.InterfaceAddress]:
        wanted = names.interface_address(address)
        return self.need(names.device_name(dev)), wanted

    def _add_address(self, link: Link, wanted: names.InterfaceAddress) -> None:
        try:
            self.channel.ask(records.new_address(wanted).add(link.index))
        except KernelError as error:
            if error.errno == errno.EACCES and wanted.version == 6:
                raise Unsupported(
                    f"IPv6 is switched off on {link.name} (sysctl net.ipv6.conf.{link.name}.disable_ipv6)",
                    capability=Capability.IPV6,
                    device=link.name,
                    errno=error.errno,
                    detail=error.words,
                ) from None
            if error.errno == errno.EEXIST:
                if any(record.interface == wanted for record in self.addresses(link)):
                    return
                raise Mismatch(
                    f"{link.name} has {wanted.ip} with another prefix length: delete that first",
                    device=link.name,
                    errno=error.errno,
                    detail=error.words,
                ) from None
            raise translate(error, link.name, Capability.IPV6 if wanted.version == 6 else None) from None

    def _reorder(self, link: Link, wanted: Callable[[list[AddressRecord]], list[AddressRecord]]) -> None:
        """Bring the IPv4 addresses of a device into the order that ``wanted`` makes of the present one.

        Some are gone for a moment, which is why it is all asked for at once: no kill can come in between.
        """
        with locks.held(lock_name()):
            present = of_family(self.addresses(link), socket.AF_INET)
            routes = self.routes(link, (socket.AF_INET,))
            try:
                refusals = carry_out(self.channel, records.plan_order(present, wanted(present), routes, link.index))
                if not refusals:
                    return
                now = of_family(self.addresses(link), socket.AF_INET)
                left_over = carry_out(self.channel, records.plan_order(now, present, routes, link.index))
            except KernelError as error:  # the socket's own, not a refusal
                raise translate(error, link.name) from None
        raise translate(refusals[0], link.name, None, map(str, left_over))
