"""Addresses of a device, and their order."""

from __future__ import annotations

import errno

from refnet import names
from refnet.errors import Mismatch, operation
from refnet.netdev.driver import Capability
from refnet.netdev.freebsd import plan
from refnet.netdev.freebsd.base import FreeBSDBase, alone
from refnet.netdev.freebsd.listing import Inet, Interface
from refnet.netdev.freebsd.routes import Route
from refnet.netdev.freebsd.tools import Refusal, Step
from refnet.netdev.freebsd.words import translate


class Addresses(FreeBSDBase):
    """Addresses."""

    @operation
    def add_device_address(self, dev: str, address: str) -> None:
        """Add the address unless a look shows that it is there: adding it again would put it behind the others."""
        wanted = names.interface_address(address)
        names.device_name(dev)
        with alone(dev):
            self._add(self.need(dev), wanted)

    @operation
    def delete_device_address(self, dev: str, address: str) -> None:
        """Delete the address, and make the routes again that the kernel drops with it."""
        wanted = names.interface_address(address)
        names.device_name(dev)
        with alone(dev):
            device = self.need(dev)
            gone = next((one for one in device.addresses if one.interface == wanted), None)
            if gone is not None:
                self._carry_out(device, wanted, plan.without(device, gone, self._routes(device, wanted)))

    @operation
    def ensure_gateway_address(self, dev: str, address: str) -> None:
        """Look, and only if another address is first put the others behind it, one by one."""
        wanted = names.interface_address(address)
        names.device_name(dev)
        with alone(dev):
            device = self.need(dev)
            present = device.of_version(wanted.version)
            if wanted.version == 6 or not present:
                self._add(device, wanted)
            elif present[0].interface != wanted:
                _check_length(device, wanted)
                self._carry_out(device, wanted, plan.in_front(device, wanted, self._routes(device, wanted)))

    def _add(self, device: Interface, wanted: names.InterfaceAddress) -> None:
        if any(one.interface == wanted for one in device.addresses):
            return
        _check_length(device, wanted)
        self._carry_out(device, wanted, plan.adding(device, [Inet(wanted)]))

    def _routes(self, device: Interface, wanted: names.InterfaceAddress) -> list[Route]:
        """Return the routes that may go with an IPv4 address; the kernel drops none with an IPv6 address."""
        return [route for route in self.routes_of(device) if route.version == 4] if wanted.version == 4 else []

    def _carry_out(self, device: Interface, wanted: names.InterfaceAddress, steps: list[Step]) -> None:
        try:
            self.tools.carry_out(steps)
        except Refusal as refusal:
            raise translate(refusal, device.name, Capability.IPV6 if wanted.version == 6 else None) from None


def _check_length(device: Interface, wanted: names.InterfaceAddress) -> None:
    """See that the address is not there with another prefix length, which the kernel would replace without a word."""
    for one in device.addresses:
        if one.interface.ip == wanted.ip and one.interface != wanted:
            raise Mismatch(
                f"{device.name} has {wanted.ip} with another prefix length, as {one.interface}: delete that first",
                device=device.name,
                errno=errno.EEXIST,
            )
