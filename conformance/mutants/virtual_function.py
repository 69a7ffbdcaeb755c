"""Wrong about virtual functions: which one, what of it, and how it was before."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from conformance.mutants import mutant
from refnet.errors import InvalidArgument
from refnet.netdev.driver import NetDevDriver
from refnet.netdev.model import LinkState, VirtualFunction

_NO_MAC = "00:00:00:00:00:00"


def found(driver: Any, dev: Any, number: Any) -> VirtualFunction | None:
    """Return a virtual function as the right driver describes it; None: there is none."""
    try:
        return next((one for one in driver.virtual_functions(dev) if one.number == number), None)
    except InvalidArgument:
        return None


@mutant(
    "vf-counts-from-one",
    "takes the first virtual function for number 1",
    {"VF-01": "virtual function 0 of card0 changed as well"},
)
def vf_counts_from_one(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def set_device_macaddr_and_vlan(self, dev: str, vf_num: int, mac_address: str, vlan: int) -> None:
            super().set_device_macaddr_and_vlan(dev, max(vf_num - 1, 0), mac_address, vlan)

    return Wrong


@mutant(
    "vf-vlan-without-mac",
    "sets the VLAN, and leaves the MAC address to the guest",
    {"VF-01": f"address is '{_NO_MAC}' and not '02:00:00:00:00:a1'"},
)
def vf_vlan_without_mac(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def set_device_macaddr_and_vlan(self, dev: str, vf_num: int, mac_address: str, vlan: int) -> None:
            super().set_device_macaddr_and_vlan(dev, vf_num, _NO_MAC, vlan)

    return Wrong


@mutant(
    "vf-vlan-stays",
    "takes VLAN 0 for none given",
    {"VF-02": "after VLAN 0, of virtual function 2 vlan is 9 and not 0"},
)
def vf_vlan_stays(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def set_device_macaddr_and_vlan(self, dev: str, vf_num: int, mac_address: str, vlan: int) -> None:
            now = found(self, dev, vf_num)
            super().set_device_macaddr_and_vlan(dev, vf_num, mac_address, vlan or (now.vlan if now else vlan))

    return Wrong


@mutant(
    "vf-trusted-for-ever",
    "has a card trust a virtual function, and never takes it back",
    {"VF-03": "after trusted=False, of virtual function 3 trust is True and not False"},
)
def vf_trusted_for_ever(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def set_device_trust(self, dev: str, vf_num: int, trusted: bool) -> None:
            super().set_device_trust(dev, vf_num, trusted is False or trusted)

    return Wrong


@mutant(
    "vf-link-follows-the-card",
    "takes an enabled link for that of the card",
    {"VF-04": "after link state enable, of virtual function 0 link_state is 'auto' and not 'enable'"},
)
def vf_link_follows_the_card(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def set_device_link_state(self, dev: str, vf_num: int, state: LinkState | str) -> None:
            super().set_device_link_state(dev, vf_num, LinkState.AUTO if state == LinkState.ENABLE else state)

    return Wrong


@mutant(
    "vf-sets-anew",
    "sets what is set already",
    {"VF-05": "a second set_device_trust: there was nothing to do, and yet the kernel was written to"},
)
def vf_sets_anew(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def set_device_trust(self, dev: str, vf_num: int, trusted: bool) -> None:
            if isinstance(trusted, bool):
                super().set_device_trust(dev, vf_num, not trusted)
            super().set_device_trust(dev, vf_num, trusted)

    return Wrong


@mutant(
    "vf-number-wraps",
    "starts from the first virtual function again behind the last",
    {"VF-06": "virtual function 7 of 4 is not refused with InvalidArgument: it goes through"},
)
def vf_number_wraps(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def set_device_trust(self, dev: str, vf_num: int, trusted: bool) -> None:
            count = len(self.virtual_functions(dev)) if isinstance(dev, str) and self.device_exists(dev) else 0
            super().set_device_trust(dev, vf_num % count if count and type(vf_num) is int else vf_num, trusted)

    return Wrong


@mutant(
    "vf-number-bare",
    "does not say how many virtual functions there are",
    {"VF-06": "it is not said that there are 4"},
)
def vf_number_bare(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def set_device_trust(self, dev: str, vf_num: int, trusted: bool) -> None:
            try:
                super().set_device_trust(dev, vf_num, trusted)
            except InvalidArgument as error:
                error.message = "Invalid argument"
                error.args = ("Invalid argument",)
                raise

    return Wrong


@mutant(
    "vf-vlan-cut",
    "keeps twelve bits of a VLAN without looking at the others",
    {"VF-07": "VLAN 4096 is not refused with InvalidArgument: it goes through"},
)
def vf_vlan_cut(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def set_device_macaddr_and_vlan(self, dev: str, vf_num: int, mac_address: str, vlan: Any) -> None:
            tag = vlan & 0xFFF if type(vlan) is int and vlan > 4095 else vlan
            super().set_device_macaddr_and_vlan(dev, vf_num, mac_address, tag)

    return Wrong


@mutant(
    "vf-mac-before-vlan-is-seen",
    "sets the MAC address before it looks at the VLAN",
    {"VF-07": "what is impossible: the host has changed"},
)
def vf_mac_before_vlan_is_seen(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def set_device_macaddr_and_vlan(self, dev: str, vf_num: int, mac_address: str, vlan: int) -> None:
            super().set_device_macaddr_and_vlan(dev, vf_num, mac_address, 0)
            super().set_device_macaddr_and_vlan(dev, vf_num, mac_address, vlan)

    return Wrong


@mutant(
    "vf-remembers-the-last",
    "puts a virtual function back to how it was before the last change",
    {"VF-08": "and is put back as"},
)
def vf_remembers_the_last(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        was: dict[tuple[str, int], VirtualFunction | None] = {}  # noqa: RUF012

        def set_device_macaddr_and_vlan(self, dev: str, vf_num: int, mac_address: str, vlan: int) -> None:
            self.was[dev, vf_num] = found(self, dev, vf_num)
            super().set_device_macaddr_and_vlan(dev, vf_num, mac_address, vlan)

        def restore_virtual_function(self, dev: str, vf_num: int) -> None:
            super().restore_virtual_function(dev, vf_num)
            last = self.was.pop((dev, vf_num), None)
            if last is not None and last.mac_address is not None:
                super().set_device_macaddr_and_vlan(dev, vf_num, last.mac_address, last.vlan)

    return Wrong


@mutant(
    "vf-remembers-in-memory",
    "knows how a virtual function was only in the process that has changed it",
    {"VF-09": "virtual function 3 was"},
)
def vf_remembers_in_memory(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        changed: set[tuple[int, str, int]] = set()  # noqa: RUF012

        def set_device_link_state(self, dev: str, vf_num: int, state: LinkState | str) -> None:
            super().set_device_link_state(dev, vf_num, state)
            self.changed.add((os.getpid(), dev, vf_num))

        def restore_virtual_function(self, dev: str, vf_num: int) -> None:
            if (os.getpid(), dev, vf_num) in self.changed:
                super().restore_virtual_function(dev, vf_num)

    return Wrong


@mutant(
    "vf-restored-to-nothing",
    "takes MAC address and VLAN from a virtual function, whatever it had and whoever set it",
    {"VF-10": "putting back what somebody else has changed: there was nothing to do"},
)
def vf_restored_to_nothing(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def restore_virtual_function(self, dev: str, vf_num: int) -> None:
            super().restore_virtual_function(dev, vf_num)
            super().set_device_macaddr_and_vlan(dev, vf_num, _NO_MAC, 0)

    return Wrong


@mutant(
    "vf-known-by-its-cards-name",
    "remembers a virtual function by the name that its card has",
    {"VF-11": "is put back, by the card's new name, as"},
)
def vf_known_by_its_cards_name(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        changed: set[tuple[str, int]] = set()  # noqa: RUF012

        def set_device_macaddr_and_vlan(self, dev: str, vf_num: int, mac_address: str, vlan: int) -> None:
            super().set_device_macaddr_and_vlan(dev, vf_num, mac_address, vlan)
            self.changed.add((dev, vf_num))

        def restore_virtual_function(self, dev: str, vf_num: int) -> None:
            if (dev, vf_num) in self.changed:
                super().restore_virtual_function(dev, vf_num)

    return Wrong


@mutant(
    "vf-set-up-by-the-way",
    "sets a card up whose virtual function it sets",
    {"VF-11": "card0 was down and is up"},
)
def vf_set_up_by_the_way(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def set_device_macaddr_and_vlan(self, dev: str, vf_num: int, mac_address: str, vlan: int) -> None:
            super().set_device_macaddr_and_vlan(dev, vf_num, mac_address, vlan)
            self.set_device_enabled(dev)

    return Wrong


@mutant(
    "vf-brings-guests-back",
    "remembers whose virtual function it was that it clears",
    {"VF-17": "putting back what was only cleared: there was nothing to do"},
)
def vf_brings_guests_back(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def set_device_macaddr_and_vlan(self, dev: str, vf_num: int, mac_address: str, vlan: int) -> None:
            if mac_address == _NO_MAC and vlan == 0:
                super().set_device_macaddr_and_vlan(dev, vf_num, _NO_MAC, 1)
            super().set_device_macaddr_and_vlan(dev, vf_num, mac_address, vlan)

    return Wrong


@mutant(
    "vf-part-by-part",
    "sets the MAC address, then the VLAN, and stops where something fails",
    {"VF-12": "the host is not as before: link card0"},
)
def vf_part_by_part(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def set_device_macaddr_and_vlan(self, dev: str, vf_num: int, mac_address: str, vlan: int) -> None:
            now = found(self, dev, vf_num)
            super().set_device_macaddr_and_vlan(dev, vf_num, mac_address, now.vlan if now else vlan)
            super().set_device_macaddr_and_vlan(dev, vf_num, mac_address, vlan)

    return Wrong


@mutant(
    "vf-address-there-is-done",
    "sets the MAC address first, and takes a virtual function that has it for finished",
    {"VF-13": "a second call does not finish it: virtual functions of card0"},
)
def vf_address_there_is_done(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def set_device_macaddr_and_vlan(self, dev: str, vf_num: int, mac_address: str, vlan: int) -> None:
            now = found(self, dev, vf_num)
            if now is not None and now.mac_address == mac_address:
                return
            super().set_device_macaddr_and_vlan(dev, vf_num, mac_address, now.vlan if now else vlan)
            super().set_device_macaddr_and_vlan(dev, vf_num, mac_address, vlan)

    return Wrong


@mutant(
    "vf-forgets-before-it-puts-back",
    "forgets how a virtual function was before it is that again",
    {"VF-14": "a second call does not finish it: virtual functions of card0"},
    bases=("LinuxNetDevDriver",),
)
def vf_forgets_before_it_puts_back(base: Any) -> type[NetDevDriver]:
    from refnet.netdev.linux.saved import Saved
    from refnet.netdev.linux.sriov import identity_of

    class Wrong(base):  # type: ignore[misc]
        def restore_virtual_function(self, dev: str, vf_num: int) -> None:
            card, now = self._function(dev, vf_num)
            saved = Saved(identity_of(card), vf_num)
            was = saved.read()
            saved.forget()
            if was is not None:
                self._change(card, vf_num, "state", now, was.over(now))

    return Wrong


@mutant(
    "vf-described-without-vlan",
    "tells nothing of the VLANs that virtual functions are in",
    {"VF-15": "vlan is 5 and not 0"},
)
def vf_described_without_vlan(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def virtual_functions(self, dev: str) -> tuple[VirtualFunction, ...]:
            return tuple(dataclasses.replace(one, vlan=0) for one in super().virtual_functions(dev))

    return Wrong


@mutant(
    "vf-address-of-the-card",
    "takes a PCI address for that of its card's first virtual function",
    {"VF-16": "is number 2 of card0, and is found as ('card0', 0)"},
)
def vf_address_of_the_card(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def virtual_function_at(self, pci_address: str) -> VirtualFunction:
            there: VirtualFunction = super().virtual_function_at(pci_address)
            first: VirtualFunction = super().virtual_functions(there.dev)[0]
            return first

    return Wrong
