"""The interface's part about SR-IOV: virtual functions, set through the network card's physical function.

A driver of a system that cannot set them inherits the refusals of this module. Promises that hold for every
method stand in :mod:`refnet.netdev.driver`; and this: before the first change of a virtual function its state is
written down, for as long as the host runs, until :meth:`~VirtualFunctions.restore_virtual_function` puts it back.
"""

from __future__ import annotations

from typing import NoReturn

from refnet.errors import Unsupported, operation
from refnet.netdev.model import Capability, LinkState, VirtualFunction


class VirtualFunctions:
    """Virtual functions of network cards, all refused."""

    @operation
    def virtual_functions(self, dev: str) -> tuple[VirtualFunction, ...]:
        """Describe the virtual functions of a network card, by number; () where it has none.

        Raises:
            NoSuchDevice: there is no such device.
        """
        _refuse()

    @operation
    def virtual_function_at(self, pci_address: str) -> VirtualFunction:
        """Describe the virtual function at a PCI address such as ``0000:81:10.2``; ``dev`` is its physical function.

        Raises:
            InvalidArgument: that is no PCI address.
            NoSuchDevice: there is no virtual function at it, or its card has no network device.
        """
        _refuse()

    @operation
    def virtual_function_device(self, pci_address: str) -> str | None:
        """Return the name of a virtual function's own network device; None: it is in a guest, or has no driver.

        Raises:
            InvalidArgument: that is no PCI address.
            NoSuchDevice: there is no virtual function at it.
        """
        _refuse()

    @operation
    def set_device_macaddr_and_vlan(self, dev: str, vf_num: int, mac_address: str, vlan: int) -> None:
        """Set a virtual function's MAC address, and the VLAN (1 to 4094; 0: none) that the card keeps it in.

        The MAC address may be all zero, which lets the card or the guest choose one. With VLAN 0 this clears the
        function: if refnet has not changed it before, that is for good, and nothing is written down. What was before
        is then of a guest of another program's, and nobody wants it back.

        Raises:
            NoSuchDevice: there is no such device.
            InvalidArgument: it has no such virtual function, or cannot take one of the values.
        """
        _refuse()

    @operation
    def set_device_trust(self, dev: str, vf_num: int, trusted: bool) -> None:
        """Say whether a virtual function may do what concerns others: promiscuous mode, another MAC address.

        Raises:
            NoSuchDevice: there is no such device.
            InvalidArgument: it has no such virtual function.
            Unsupported: the card's driver cannot do that.
        """
        _refuse()

    @operation
    def set_device_link_state(self, dev: str, vf_num: int, state: LinkState | str) -> None:
        """Say what a virtual function sees as its link.

        Raises:
            NoSuchDevice: there is no such device.
            InvalidArgument: it has no such virtual function.
            Unsupported: the card's driver cannot do that.
        """
        _refuse()

    @operation
    def restore_virtual_function(self, dev: str, vf_num: int) -> None:
        """Put a virtual function back as it was before refnet first changed it; one that it did not is left alone.

        Raises:
            NoSuchDevice: there is no such device.
            InvalidArgument: it has no such virtual function.
        """
        _refuse()


def _refuse() -> NoReturn:
    raise Unsupported("this driver sets no virtual functions", capability=Capability.SRIOV.value)
