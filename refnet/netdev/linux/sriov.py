"""Virtual functions of network cards (PCI SR-IOV), set through their physical function."""

from __future__ import annotations

import dataclasses
import errno
import os
from collections.abc import Callable
from pathlib import Path

from refnet import locks, names
from refnet.errors import InvalidArgument, NoSuchDevice, RefnetError, Unsupported, operation
from refnet.netdev.linux import functions, pci
from refnet.netdev.linux.base import LinuxBase
from refnet.netdev.linux.errors import translate
from refnet.netdev.linux.functions import DOT1Q, Card, Function
from refnet.netdev.linux.netlink import KernelError
from refnet.netdev.linux.saved import Saved
from refnet.netdev.model import Capability, LinkState, VirtualFunction


class Sriov(LinuxBase):
    """Virtual functions. What is as asked already is neither set nor saved."""

    #: Where PCI's devices are.
    pci_devices: Path = pci.DEVICES

    @operation
    def probe(self, capability: Capability) -> str | None:
        """Ask for SR-IOV by a request that must be refused: every kernel has the messages, not every caller may.

        Whether a card here has virtual functions is not asked: they come and go while the host runs, and a card
        without any is refused with InvalidArgument.
        """
        if capability is not Capability.SRIOV:
            return super().probe(capability)  # type: ignore[safe-super]
        try:
            self.channel.ask(functions.attempt())
        except KernelError as error:
            if error.errno in (errno.EPERM, errno.EACCES):
                return f"setting virtual functions needs CAP_NET_ADMIN in this network namespace ({error.words})"
        return None

    @operation
    def virtual_functions(self, dev: str) -> tuple[VirtualFunction, ...]:
        """Describe them from one answer of the kernel."""
        card = self._card(names.device_name(dev))
        return tuple(_described(card, number) for number in sorted(card.functions))

    @operation
    def virtual_function_at(self, pci_address: str) -> VirtualFunction:
        """Look for its number and its card in /sys, and for the rest at the card."""
        address = names.pci_address(pci_address)
        physical, number = pci.place(self.pci_devices, address)
        for name in pci.devices(self.pci_devices, physical):
            card = self._card_at(physical, name)
            # The devices that stand for virtual functions in a card's own switch are at the same place, and have none.
            if card is not None and number in card.functions:
                return _described(card, number)
        raise NoSuchDevice(
            f"{physical}, the physical function of {address}, has no network device in this network namespace",
            device=address,
        )

    @operation
    def virtual_function_device(self, pci_address: str) -> str | None:
        """Look in /sys, and see that the device is in the caller's network namespace."""
        address = names.pci_address(pci_address)
        pci.physical_function(self.pci_devices, address)
        found = pci.devices(self.pci_devices, address)
        return next((name for name in found if self._card_at(address, name) is not None), None)

    @operation
    def set_device_macaddr_and_vlan(self, dev: str, vf_num: int, mac_address: str, vlan: int) -> None:
        """Set what is different in one request; what the kernel has done of one that it then refuses is taken back."""
        names.device_name(dev)
        number = names.virtual_function(vf_num)
        mac, tag = names.virtual_function_mac(mac_address), names.virtual_function_vlan(vlan)

        def wanted(now: Function) -> Function:
            # The priority belongs to the tag: one that is there already stays.
            same = now.vlan == tag and now.protocol == DOT1Q
            kept = now if same else dataclasses.replace(now, vlan=tag, qos=0, protocol=DOT1Q)
            return dataclasses.replace(kept, mac_address=mac)

        self._set_function(dev, number, "MAC address and VLAN", wanted, clears=mac == names.NO_MAC and not tag)

    @operation
    def set_device_trust(self, dev: str, vf_num: int, trusted: bool) -> None:
        """Set it in one request."""
        names.device_name(dev)
        number, trust = names.virtual_function(vf_num), names.flag(trusted, "trusted")
        self._set_function(dev, number, "trust", lambda now: dataclasses.replace(now, trusted=trust))

    @operation
    def set_device_link_state(self, dev: str, vf_num: int, state: LinkState | str) -> None:
        """Set it in one request."""
        names.device_name(dev)
        number = names.virtual_function(vf_num)
        if state not in tuple(LinkState):
            raise InvalidArgument(f"link state {names.shown(state)} is none of {', '.join(LinkState)}")
        wanted = LinkState(state)
        self._set_function(dev, number, "link state", lambda now: dataclasses.replace(now, link_state=wanted))

    @operation
    def restore_virtual_function(self, dev: str, vf_num: int) -> None:
        """Set all that is not as it was in one request, and forget how it was."""
        names.device_name(dev)
        number = names.virtual_function(vf_num)
        card, _ = self._function(dev, number)
        saved = Saved(identity_of(card), number)
        if not saved.is_there:
            return
        with locks.held(saved.lock):
            was = saved.read()
            card, now = self._function(dev, number)
            if was is not None and was.over(now) != now:
                self._change(card, number, "state", now, was.over(now))
            saved.forget()

    def _set_function(
        self, dev: str, number: int, what: str, wanted: Callable[[Function], Function], *, clears: bool = False
    ) -> None:
        """Set what is different of a virtual function; what it was is written down, unless this clears it."""
        card, now = self._function(dev, number)
        if wanted(now) == now:
            return
        saved = Saved(identity_of(card), number)
        with locks.held(saved.lock):
            card, now = self._function(dev, number)
            if wanted(now) == now:
                return
            written = saved if not clears and saved.keep(now) else None
            self._change(card, number, what, now, wanted(now), written)

    def _change(
        self, card: Card, number: int, what: str, now: Function, wanted: Function, written: Saved | None = None
    ) -> None:
        """Set a virtual function; if the kernel refuses it, all is as before, what has just been written included."""
        try:
            self.channel.ask(functions.change(card.index, number, now, wanted))
        except KernelError as refusal:
            left_over = self._take_back(card.name, number, now)
            # As long as a part may be done, how it was is to be known.
            if written is not None and not left_over:
                written.forget()
            raise _refused(refusal, card.name, what, left_over) from None

    def _take_back(self, dev: str, number: int, before: Function) -> list[str]:
        """Take back what the kernel has done of a request that it then refused; return what could not be."""
        try:
            card, now = self._function(dev, number)
            if now != before:
                self.channel.ask(functions.change(card.index, number, now, before))
        except (KernelError, RefnetError) as error:
            return [f"virtual function {number}: {error}"]
        return []

    def _function(self, dev: str, number: int) -> tuple[Card, Function]:
        """Look at a virtual function and its card.

        Raises:
            NoSuchDevice: there is no such device.
            InvalidArgument: it has no such virtual function.
        """
        card = self._card(dev)
        if number in card.functions:
            return card, card.functions[number]
        if not card.functions:
            raise InvalidArgument(
                f"{dev} has no virtual functions (of a network card that can have them, "
                f"/sys/class/net/{dev}/device/sriov_numvfs makes them)",
                device=dev,
            )
        raise InvalidArgument(
            f"{dev} has no virtual function {number}: it has {len(card.functions)}, from 0 to {max(card.functions)}",
            device=dev,
        )

    def _card(self, name: str) -> Card:
        try:
            return functions.parse(self.channel.ask(functions.get(name)))
        except KernelError as error:
            raise translate(error, name) from None

    def _card_at(self, address: str, name: str) -> Card | None:
        """Look at a device that /sys has at an address: it may show another network namespace than the caller's."""
        try:
            card = self._card(name)
        except NoSuchDevice:
            return None
        return card if card.parent in (address, None) else None


def _described(card: Card, number: int) -> VirtualFunction:
    found = card.functions[number]
    return VirtualFunction(
        dev=card.name,
        number=number,
        mac_address=found.mac_address,
        vlan=found.vlan,
        link_state=found.link_state,
        spoof_check=found.spoof_check,
        trusted=found.trusted,
    )


def identity_of(card: Card) -> str:
    """Return what a card's files are called by: without a better mark, its network namespace and number there."""
    return card.identity or f"{os.stat('/proc/thread-self/ns/net').st_ino}-{card.index}"


def _refused(error: KernelError, dev: str, what: str, left_over: list[str]) -> RefnetError:
    if error.errno == errno.EOPNOTSUPP:
        tail = f"; what could not be taken back: {'; '.join(left_over)}" if left_over else ""
        return Unsupported(
            f"{dev}: the driver of this network card cannot set a virtual function's {what}{tail}",
            capability=Capability.SRIOV.value,
            device=dev,
            errno=error.errno,
            detail=error.words,
        )
    return translate(error, dev, Capability.SRIOV, left_over)
