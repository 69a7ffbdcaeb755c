"""Wrong about what is refused of VLANs, and how."""

from __future__ import annotations

from typing import Any

from conformance.mutants import mutant
from conformance.mutants.vlan import vlan_device
from refnet.errors import AlreadyExists, InvalidArgument, Mismatch, NoSuchDevice, RefnetError
from refnet.netdev.driver import NetDevDriver


@mutant(
    "vlan-takes-what-int-takes",
    "makes a number of whatever it is given as a tag",
    {"VL-11": "ensure_vlan of tag '5' as None is not refused with InvalidArgument"},
)
def vlan_takes_what_int_takes(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_vlan(self, vlan_num: Any, *arguments: Any, **options: Any) -> str:
            tag = int(vlan_num) if isinstance(vlan_num, str | float) else vlan_num
            return str(super().ensure_vlan(tag, *arguments, **options))

    return Wrong


@mutant(
    "vlan-tag-cut",
    "keeps twelve bits of a tag without looking at the others",
    {"VL-11": "ensure_vlan of tag 65541 as None is not refused with InvalidArgument"},
)
def vlan_tag_cut(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_vlan(self, vlan_num: Any, *arguments: Any, **options: Any) -> str:
            tag = vlan_num & 0xFFF if isinstance(vlan_num, int) and vlan_num > 4096 else vlan_num
            return str(super().ensure_vlan(tag, *arguments, **options))

    return Wrong


@mutant(
    "vlan-cuts-names",
    "cuts a name that is too long",
    {"VL-12": "ensure_vlan as 'vlan012345678901' is not refused with InvalidArgument"},
)
def vlan_cuts_names(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_vlan(self, vlan_num: int, parent: str, dev: Any = None, **options: Any) -> str:
            name = dev[:15] if isinstance(dev, str) else dev
            return str(super().ensure_vlan(vlan_num, parent, name, **options))

    return Wrong


@mutant(
    "vlan-bare-mismatch",
    "does not say which tag the device by that name has",
    {"VL-14": "does not name the tag that v0 has"},
)
def vlan_bare_mismatch(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_vlan(self, *arguments: Any, **options: Any) -> str:
            try:
                return str(super().ensure_vlan(*arguments, **options))
            except Mismatch:
                raise Mismatch("it is another VLAN") from None

    return Wrong


@mutant(
    "vlan-bare-already-exists",
    "does not say which device has the tag",
    {"VL-16": "does not name the device that has the tag"},
)
def vlan_bare_already_exists(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_vlan(self, *arguments: Any, **options: Any) -> str:
            try:
                return str(super().ensure_vlan(*arguments, **options))
            except AlreadyExists:
                raise AlreadyExists("File exists") from None

    return Wrong


@mutant(
    "vlan-tag-of-another-name",
    "returns the name that was asked for when the parent has the tag under another",
    {"VL-16": "is not refused with AlreadyExists: it goes through"},
)
def vlan_tag_of_another_name(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_vlan(self, vlan_num: int, parent: str, dev: str | None = None, **options: Any) -> str:
            try:
                return str(super().ensure_vlan(vlan_num, parent, dev, **options))
            except Mismatch:
                raise
            except AlreadyExists:
                return dev or f"vlan{vlan_num}"

    return Wrong


@mutant(
    "vlan-blames-the-wrong-device",
    "says that the VLAN device is missing when its parent is",
    {"VL-17": "not about nobody0"},
)
def vlan_blames_the_wrong_device(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_vlan(self, vlan_num: int, *arguments: Any, **options: Any) -> str:
            try:
                return str(super().ensure_vlan(vlan_num, *arguments, **options))
            except NoSuchDevice as error:
                error.device = f"vlan{vlan_num}"
                raise

    return Wrong


@mutant(
    "vlan-mtu-cut",
    "gives the parent's MTU where more is asked for",
    {"VL-18": "is not refused with InvalidArgument: it goes through"},
)
def vlan_mtu_cut(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_vlan(
            self, vlan_num: int, parent: str, dev: str | None = None, *, mtu: int | None = None, **options: Any
        ) -> str:
            if mtu is not None and self.device_exists(parent):
                mtu = min(mtu, self.device(parent).mtu)
            return str(super().ensure_vlan(vlan_num, parent, dev, mtu=mtu, **options))

    return Wrong


@mutant(
    "vlan-half-made",
    "makes the device, and leaves it when its MTU is refused",
    {"VL-18": "a new VLAN device with MTU 1401 of a parent with MTU 1400: the host has changed"},
)
def vlan_half_made(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_vlan(self, *arguments: Any, mtu: int | None = None, **options: Any) -> str:
            name = str(super().ensure_vlan(*arguments, **options))
            if mtu is not None:
                self.set_device_mtu(name, mtu)
            return name

    return Wrong


@mutant(
    "vlan-half-changed",
    "leaves a device that is there half changed when its MTU is refused",
    {"VL-18": "MTU 1401 for a VLAN device that is there, of a parent with MTU 1400: the host has changed"},
)
def vlan_half_changed(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_vlan(self, vlan_num: int, parent: str, dev: str | None = None, **options: Any) -> str:
            found = vlan_device(self, dev or f"vlan{vlan_num}")
            if found and options.get("mac_address"):
                self.set_device_macaddr(found.name, options["mac_address"])
            return str(super().ensure_vlan(vlan_num, parent, dev, **options))

    return Wrong


@mutant(
    "vlan-waits-for-its-parent",
    "leaves the VLAN device down, without a word, while the parent is",
    {"VL-19": "is not refused with RefnetError: it goes through"},
)
def vlan_waits_for_its_parent(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_vlan(self, vlan_num: int, parent: str, dev: str | None = None, **options: Any) -> str:
            if self.device_exists(parent) and not self.device(parent).up:
                return dev or f"vlan{vlan_num}"
            return str(super().ensure_vlan(vlan_num, parent, dev, **options))

    return Wrong


@mutant(
    "vlan-parent-unnamed",
    "does not say which device is down",
    {"VL-19": "the error does not name the parent that is down"},
)
def vlan_parent_unnamed(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_vlan(self, *arguments: Any, **options: Any) -> str:
            try:
                return str(super().ensure_vlan(*arguments, **options))
            except InvalidArgument:
                raise
            except RefnetError as error:
                error.message = "Network is down"
                raise

    return Wrong
