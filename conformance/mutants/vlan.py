"""Wrong about VLANs."""

from __future__ import annotations

import dataclasses
from typing import Any

from conformance.mutants import mutant
from refnet.errors import InvalidArgument, NoSuchDevice, RefnetError
from refnet.netdev.driver import Device, Kind, NetDevDriver


def vlan_device(driver: NetDevDriver, dev: str) -> Device | None:
    """Return a device if it is there and a VLAN."""
    if not driver.device_exists(dev):
        return None
    found = driver.device(dev)
    return found if found.kind is Kind.VLAN else None


@mutant(
    "vlan-not-made",
    "returns the name of a VLAN device that is not there",
    {"VL-01": "there is no device vlan5", "VL-07": "there is no device vlan5", "VL-10": "there is no device vlan5"},
)
def vlan_not_made(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_vlan(self, *arguments: Any, **options: Any) -> str:
            name = str(super().ensure_vlan(*arguments, **options))
            super().delete_net_dev(name)
            return name

    return Wrong


@mutant(
    "vlan-errors-swallowed",
    "takes refusals for success",
    {
        "VL-11": "is not refused with InvalidArgument: it goes through",
        "VL-12": "is not refused with InvalidArgument: it goes through",
        "VL-17": "is not refused with NoSuchDevice: it goes through",
    },
)
def vlan_errors_swallowed(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_vlan(self, vlan_num: int, parent: str, dev: str | None = None, **options: Any) -> str:
            try:
                return str(super().ensure_vlan(vlan_num, parent, dev, **options))
            except (InvalidArgument, NoSuchDevice):
                return dev or f"vlan{vlan_num}"

    return Wrong


@mutant(
    "vlan-wrong-tag",
    "counts tags from 0, as an index",
    {
        "VL-01": "vlan 4 type",
        "VL-02": "did not arrive",
        "VL-06": "Vlan(tag=4",
        "VL-20": "do not talk",
    },
)
def vlan_wrong_tag(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_vlan(self, vlan_num: int, parent: str, dev: str | None = None, **options: Any) -> str:
            name = dev or f"vlan{vlan_num}"
            return str(super().ensure_vlan(max(1, vlan_num - 1), parent, name, **options))

    return Wrong


@mutant("vlan-tag-of-a-byte", "keeps eight bits of the tag", {"VL-04": "vlan 254 type"})
def vlan_tag_of_a_byte(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_vlan(self, vlan_num: int, parent: str, dev: str | None = None, **options: Any) -> str:
            name = dev or f"vlan{vlan_num}"
            return str(super().ensure_vlan(vlan_num & 0xFF, parent, name, **options))

    return Wrong


@mutant(
    "vlan-parent-on-the-bridge",
    "makes the VLAN's parent a port of the bridge too",
    {"VL-01": "trunk got:", "VL-03": "and in got it"},
)
def vlan_parent_on_the_bridge(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def add_bridge_port(self, bridge: str, port: str, **options: Any) -> None:
            super().add_bridge_port(bridge, port, **options)
            vlan = self.device(port).vlan
            if vlan is not None:
                super().add_bridge_port(bridge, vlan.parent)

    return Wrong


@mutant(
    "vlan-bridges-joined",
    "lays a cable between the bridges of one parent's VLANs",
    {"VL-05": "and six got it"},
)
def vlan_bridges_joined(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.bridges: list[str] = []

        def ensure_vlan_bridge(self, vlan_num: int, bridge: str, *arguments: Any, **options: Any) -> str:
            name = str(super().ensure_vlan_bridge(vlan_num, bridge, *arguments, **options))
            for number, other in enumerate(self.bridges):
                ends = f"leak{number}", f"leek{number}"
                super().create_veth_pair(*ends)
                super().add_bridge_port(other, ends[0])
                super().add_bridge_port(bridge, ends[1])
            self.bridges.append(bridge)
            return name

        def close(self) -> None:
            super().delete_net_dev("leak0")
            super().close()

    return Wrong


@mutant(
    "vlan-named-after-its-parent",
    "calls a VLAN device PARENT.N where no name is given",
    {"VL-06": "not 'vlan5'", "VL-08": "there is no device vlan5"},
)
def vlan_named_after_its_parent(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_vlan(self, vlan_num: int, parent: str, dev: str | None = None, **options: Any) -> str:
            return str(super().ensure_vlan(vlan_num, parent, dev or f"{parent}.{vlan_num}", **options))

    return Wrong


@mutant(
    "vlan-left-down",
    "forgets to set the VLAN device up",
    {"VL-06": "the new VLAN device vlan5 is down", "VL-09": "is still down", "VL-01": "did not arrive"},
)
def vlan_left_down(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_vlan(self, *arguments: Any, **options: Any) -> str:
            name = str(super().ensure_vlan(*arguments, **options))
            self.set_device_disabled(name)
            return name

    return Wrong


@mutant(
    "vlan-without-properties",
    "forgets MAC address and MTU",
    {
        "VL-08": "not the 1400 asked for",
        "VL-09": "not the 1400 asked for anew",
        "VL-18": "is not refused with InvalidArgument: it goes through",
        "VL-22": "has MAC address",
    },
)
def vlan_without_properties(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_vlan(
            self,
            vlan_num: int,
            parent: str,
            dev: str | None = None,
            *,
            mac_address: str | None = None,
            mtu: int | None = None,
        ) -> str:
            return str(super().ensure_vlan(vlan_num, parent, dev))

    return Wrong


@mutant(
    "vlan-without-mac",
    "forgets the MAC address",
    {
        "VL-08": "what the host sends through vlan5 comes from",
        "VL-09": "what the host sends through vlan5 comes from",
        "VL-12": "is not refused with InvalidArgument",
    },
)
def vlan_without_mac(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_vlan(self, *arguments: Any, mac_address: str | None = None, **options: Any) -> str:
            return str(super().ensure_vlan(*arguments, **options))

    return Wrong


@mutant(
    "vlan-written-each-time",
    "sets the MTU once more, whether it differs or not",
    {"VL-07": "there was nothing to do"},
)
def vlan_written_each_time(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_vlan(self, *arguments: Any, **options: Any) -> str:
            name = str(super().ensure_vlan(*arguments, **options))
            self.set_device_macaddr(name, self.device(name).mac_address)
            return name

    return Wrong


@mutant(
    "vlan-replaced",
    "deletes what has the name, then makes the VLAN device",
    {
        "VL-07": "there was nothing to do",
        "VL-13": "is not refused with WrongKind: it goes through",
        "VL-14": "is not refused with Mismatch: it goes through",
        "VL-15": "is not refused with Mismatch: it goes through",
    },
)
def vlan_replaced(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_vlan(self, vlan_num: int, parent: str, dev: str | None = None, **options: Any) -> str:
            self.delete_net_dev(dev or f"vlan{vlan_num}")
            return str(super().ensure_vlan(vlan_num, parent, dev, **options))

    return Wrong


@mutant(
    "vlan-taken-as-it-is",
    "does nothing when there is a device by that name",
    {
        "VL-09": "is still down",
        "VL-13": "is not refused with WrongKind: it goes through",
        "VL-14": "is not refused with Mismatch: it goes through",
        "VL-15": "is not refused with Mismatch: it goes through",
    },
)
def vlan_taken_as_it_is(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_vlan(self, vlan_num: int, parent: str, dev: str | None = None, **options: Any) -> str:
            name = dev or f"vlan{vlan_num}"
            if super().device_exists(name):
                return name
            return str(super().ensure_vlan(vlan_num, parent, dev, **options))

    return Wrong


@mutant(
    "vlan-deletes-the-parents-addresses",
    "takes the parent's addresses along when it deletes a VLAN device",
    {"VL-10": "the host has changed"},
)
def vlan_deletes_addresses(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def delete_net_dev(self, dev: str) -> None:
            found = vlan_device(self, dev)
            super().delete_net_dev(dev)
            if found and found.vlan and found.vlan.parent:
                for address in self.device(found.vlan.parent).addresses:
                    self.delete_device_address(found.vlan.parent, str(address))

    return Wrong


@mutant(
    "vlan-bridge-without-port",
    "makes the VLAN device and the bridge, and does not join them",
    {"VL-20": "do not talk", "VL-22": "br0 has MAC address"},
)
def vlan_bridge_without_port(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_vlan_bridge(
            self, vlan_num: int, bridge: str, parent: str, dev: str | None = None, **options: Any
        ) -> str:
            name = self.ensure_vlan(vlan_num, parent, dev, **options)
            self.ensure_bridge(bridge)
            return str(name)

    return Wrong


@mutant(
    "vlan-bridge-leaves-the-device",
    "leaves the VLAN device behind when the bridge cannot be had",
    {"VL-23": "ensure_vlan_bridge with a cable for the bridge: the host has changed"},
)
def vlan_bridge_leaves_the_device(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_vlan_bridge(
            self, vlan_num: int, bridge: str, parent: str, dev: str | None = None, **options: Any
        ) -> str:
            name = self.ensure_vlan(vlan_num, parent, dev, **options)
            try:
                self.ensure_bridge(bridge, name)
            except RefnetError:
                self.left = name
                raise
            return str(name)

        def close(self) -> None:
            super().delete_net_dev(getattr(self, "left", "none0"))
            super().close()

    return Wrong


@mutant(
    "vlan-bridge-takes-back-too-much",
    "takes a VLAN device back that it has not made, when the bridge cannot be had",
    {"VL-23": "ensure_vlan_bridge with a VLAN device that is there and a cable for the bridge: the host has changed"},
)
def vlan_bridge_takes_back_too_much(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_vlan_bridge(
            self, vlan_num: int, bridge: str, parent: str, dev: str | None = None, **options: Any
        ) -> str:
            try:
                return str(super().ensure_vlan_bridge(vlan_num, bridge, parent, dev, **options))
            except RefnetError:
                self.delete_net_dev(dev or f"vlan{vlan_num}")
                raise

    return Wrong


@mutant(
    "vlan-tag-from-memory",
    "says that every VLAN device has the tag in its name",
    {"VL-06": "Vlan(tag=1"},
)
def vlan_tag_from_memory(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def device(self, dev: str) -> Device:
            found: Device = super().device(dev)
            digits = "".join(filter(str.isdigit, dev)) or "1"
            if found.vlan is None:
                return found
            return dataclasses.replace(found, vlan=dataclasses.replace(found.vlan, tag=int(digits)))

    return Wrong


@mutant(
    "vlan-bridge-written-each-time",
    "sets a VLAN device's MAC address on every ensure_vlan_bridge",
    {"VL-21": "the kernel was written to"},
)
def vlan_bridge_written_each_time(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_vlan_bridge(self, *arguments: Any, **options: Any) -> str:
            name = str(super().ensure_vlan_bridge(*arguments, **options))
            super().set_device_macaddr(name, super().device(name).mac_address)
            return name

    return Wrong
