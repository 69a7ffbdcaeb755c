"""Wrong about MTU, MAC address, and up and down."""

from __future__ import annotations

from typing import Any

from conformance.mutants import mutant
from refnet import process
from refnet.errors import AlreadyExists, InvalidArgument, NoSuchDevice
from refnet.netdev.driver import NetDevDriver


@mutant(
    "mtu-noop",
    "does not set the MTU",
    {"MM-01": "a frame larger than the MTU: big sent", "MM-02": "br0 was given MTU 1400 and has 1500"},
)
def mtu_noop(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def set_device_mtu(self, dev: str, mtu: int) -> None:
            pass

    return Wrong


@mutant("mtu-takes-anything", "takes a value that is no MTU for 1500", {"MM-03": "was taken"})
def mtu_takes_anything(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def set_device_mtu(self, dev: str, mtu: int) -> None:
            try:
                super().set_device_mtu(dev, mtu)
            except InvalidArgument:
                super().set_device_mtu(dev, 1500)

    return Wrong


@mutant(
    "mtu-does-not-stick",
    "gives a bridge its MTU at birth only, where the kernel does not hold on to it",
    {"MM-04": "br0 was given MTU 4000, and has 1400 since a smaller port joined"},
)
def mtu_does_not_stick(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_bridge(self, bridge: str, *, mtu: int | None = None, **options: Any) -> None:
            if mtu is None:
                super().create_bridge(bridge, **options)
            else:
                process.run(["ip", "link", "add", "name", bridge, "up", "mtu", str(mtu), "type", "bridge"])

    return Wrong


@mutant(
    "mtu-of-its-own",
    "gives bridges an MTU that it thinks better",
    {"MM-05": "a bridge without an MTU asked for has 1450"},
)
def mtu_of_its_own(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_bridge(self, bridge: str, *, mtu: int | None = None, **options: Any) -> None:
            super().create_bridge(bridge, mtu=1450 if mtu is None else mtu, **options)

    return Wrong


@mutant(
    "mac-ignored",
    "gives bridges a random MAC address, asked for another or not",
    {"MM-10": "and frames came from", "MM-11": "br2 was given"},
)
def mac_ignored(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_bridge(self, bridge: str, *, mac_address: str | None = None, **options: Any) -> None:
            super().create_bridge(bridge, **options)

    return Wrong


@mutant(
    "mac-not-pinned",
    "leaves a bridge's MAC address to its ports, as a plain 'ip link add' does",
    {"MM-11": "since a port joined"},
)
def mac_not_pinned(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_bridge(self, bridge: str, *, mac_address: str | None = None, **options: Any) -> None:
            if mac_address is not None:
                super().create_bridge(bridge, mac_address=mac_address, **options)
            else:
                process.run(["ip", "link", "add", "name", bridge, "up", "type", "bridge"])

    return Wrong


@mutant("mac-constant", "gives every bridge the same MAC address", {"MM-12": "have the same MAC address"})
def mac_constant(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_bridge(self, bridge: str, *, mac_address: str | None = None, **options: Any) -> None:
            super().create_bridge(bridge, mac_address=mac_address or "02:00:00:00:00:01", **options)

    return Wrong


@mutant(
    "mac-sets-down", "sets a device down to change its MAC address, and leaves it there", {"MM-13": "br0 is down since"}
)
def mac_sets_down(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def set_device_macaddr(self, dev: str, mac_address: str) -> None:
            super().set_device_disabled(dev)
            super().set_device_macaddr(dev, mac_address)

    return Wrong


@mutant("mac-takes-anything", "does nothing where a MAC address is none", {"MM-14": "was taken"})
def mac_takes_anything(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def set_device_macaddr(self, dev: str, mac_address: str) -> None:
            try:
                super().set_device_macaddr(dev, mac_address)
            except InvalidArgument:
                pass

    return Wrong


@mutant(
    "enable-noop",
    "does not set devices up and down",
    {"MM-20": "is still up"},
)
def enable_noop(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def set_device_enabled(self, dev: str) -> None:
            pass

        def set_device_disabled(self, dev: str) -> None:
            pass

    return Wrong


@mutant("enable-complains", "complains about a device that is up already", {"MM-21": "AlreadyExists"})
def enable_complains(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def set_device_enabled(self, dev: str) -> None:
            if super().device(dev).up:
                raise AlreadyExists(f"{dev} is up already", device=dev)
            super().set_device_enabled(dev)

    return Wrong


@mutant(
    "settings-of-nothing",
    "takes a setting of a device that is not there for done",
    {"MM-22": "DID NOT RAISE"},
)
def settings_of_nothing(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def set_device_mtu(self, dev: str, mtu: int) -> None:
            try:
                super().set_device_mtu(dev, mtu)
            except NoSuchDevice:
                pass

    return Wrong
