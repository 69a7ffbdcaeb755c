"""Wrong about the addresses of a device and their order."""

from __future__ import annotations

import dataclasses
import ipaddress
from typing import Any

from conformance.mutants import mutant
from refnet import process
from refnet.errors import InvalidArgument, NoSuchDevice
from refnet.netdev.driver import Device, NetDevDriver


def ip(*words: str) -> None:
    """Do something to the system behind the driver's back; what it refuses does not matter."""
    process.run(("ip", *words), expect=range(256))


def listed(driver: NetDevDriver, dev: str, version: int = 4) -> list[str]:
    """Return a device's addresses of an IP version, IPv6 link-local ones left out, in the system's order."""
    return [
        str(one)
        for one in driver.device(dev).addresses
        if one.interface.version == version and not (version == 6 and one.interface.is_link_local)
    ]


@mutant(
    "address-never-added",
    "says that an address has been added, and does nothing",
    {"AD-01": "cannot be used", "AD-02": "cannot be used"},
)
def address_never_added(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def add_device_address(self, dev: str, address: str) -> None:
            pass

    return Wrong


@mutant(
    "ipv6-waits-for-detection",
    "leaves a new IPv6 address to duplicate address detection",
    {"AD-02": "cannot be used", "AD-15": "cannot be used"},
)
def ipv6_waits_for_detection(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def add_device_address(self, dev: str, address: str) -> None:
            if ":" in address:
                ip("addr", "add", address, "dev", dev)
            else:
                super().add_device_address(dev, address)

        def ensure_gateway_address(self, dev: str, address: str) -> None:
            if ":" in address:
                ip("addr", "add", address, "dev", dev)
            else:
                super().ensure_gateway_address(dev, address)

    return Wrong


@mutant(
    "address-without-broadcast",
    "adds an IPv4 address as the ip command does: without a broadcast address",
    {"AD-03": "the broadcast address of 192.0.2.1/24 is None", "AD-19": "describes the broadcast addresses None"},
)
def address_without_broadcast(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def add_device_address(self, dev: str, address: str) -> None:
            super().add_device_address(dev, address)
            super().delete_device_address(dev, address)
            ip("addr", "add", address, "dev", dev)

    return Wrong


@mutant(
    "broadcast-everywhere",
    "computes a broadcast address for a single host too",
    {"AD-03": "the broadcast address of 203.0.113.20/32 is 203.0.113.20"},
)
def broadcast_everywhere(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def add_device_address(self, dev: str, address: str) -> None:
            if str(address).endswith("/32"):
                ip("addr", "add", address, "broadcast", address.partition("/")[0], "dev", dev)
            else:
                super().add_device_address(dev, address)

    return Wrong


@mutant(
    "address-added-always",
    "adds an address anew, whether it is there or not",
    {"AD-04": "the kernel was written to", "AD-05": "the kernel was written to"},
)
def address_added_always(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def add_device_address(self, dev: str, address: str) -> None:
            super().delete_device_address(dev, address)
            super().add_device_address(dev, address)

    return Wrong


@mutant(
    "address-never-deleted",
    "says that an address has been deleted, and does nothing",
    {"AD-06": "still gets through", "AD-07": "still gets through", "AD-17": "still has"},
)
def address_never_deleted(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def delete_device_address(self, dev: str, address: str) -> None:
            pass

    return Wrong


@mutant(
    "address-deleted-always",
    "makes sure of an address in order to delete it",
    {"AD-06": "the kernel was written to", "AD-07": "the kernel was written to"},
)
def address_deleted_always(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def delete_device_address(self, dev: str, address: str) -> None:
            super().add_device_address(dev, address)
            super().delete_device_address(dev, address)

    return Wrong


@mutant(
    "bad-address-ignored",
    "does nothing where an address is none, and says nothing",
    {"AD-08": "is not refused with InvalidArgument: it goes through"},
)
def bad_address_ignored(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def delete_device_address(self, dev: str, address: str) -> None:
            try:
                super().delete_device_address(dev, address)
            except InvalidArgument:
                return

    return Wrong


@mutant(
    "address-without-prefix",
    "takes an address without a prefix length for one of a single host",
    {"AD-08": "add_device_address with '192.0.2.1' is not refused"},
)
def address_without_prefix(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def add_device_address(self, dev: str, address: str) -> None:
            try:
                super().add_device_address(dev, str(ipaddress.ip_interface(address)))
            except ValueError:
                super().add_device_address(dev, address)

    return Wrong


@mutant(
    "missing-device-ignored",
    "deletes an address of a device that is not there",
    {"AD-09": "delete_device_address of a device that is not there is not refused"},
)
def missing_device_ignored(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def delete_device_address(self, dev: str, address: str) -> None:
            try:
                super().delete_device_address(dev, address)
            except NoSuchDevice:
                return

    return Wrong


@mutant(
    "secondaries-go-with-the-first",
    "deletes the first address of a subnet as the kernel does: with all the others",
    {"AD-10": "what is left of a subnet", "AD-11": "cannot be used", "CA-10": "cannot be used"},
)
def secondaries_go_with_the_first(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def delete_device_address(self, dev: str, address: str) -> None:
            ip("addr", "delete", address, "dev", dev)

    return Wrong


@mutant(
    "reordering-loses-routes",
    "does not put back the routes that go with the addresses",
    {"AD-11": "a route by a gateway", "AD-16": "a route by a gateway", "CA-11": "it does not arrive"},
)
def reordering_loses_routes(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def delete_device_address(self, dev: str, address: str) -> None:
            super().delete_device_address(dev, address)
            ip("route", "flush", "dev", dev, "proto", "boot")

        def ensure_gateway_address(self, dev: str, address: str) -> None:
            super().ensure_gateway_address(dev, address)
            ip("route", "flush", "dev", dev, "proto", "boot")

    return Wrong


@mutant(
    "reordering-keeps-main-table-only",
    "saves the routes of the main table, and puts them back without their metric",
    {"CA-11": "the routes were"},
)
def reordering_keeps_main_table_only(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_gateway_address(self, dev: str, address: str) -> None:
            super().ensure_gateway_address(dev, address)
            ip("route", "flush", "table", "100")
            ip("route", "delete", "default", "metric", "100")
            ip("route", "add", "default", "via", "192.0.2.2", "dev", dev)

    return Wrong


@mutant(
    "gateway-address-last",
    "adds the gateway address behind the others",
    {"AD-12": "the gateway address is not the first", "AD-13": "is not the first", "AD-18": "is not the first"},
)
def gateway_address_last(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_gateway_address(self, dev: str, address: str) -> None:
            super().add_device_address(dev, address)

    return Wrong


@mutant(
    "gateway-reverses-others",
    "adds the other addresses again in the wrong order",
    {"AD-12": "the addresses of p-a are", "AD-13": "the addresses of p-a are"},
)
def gateway_reverses_others(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_gateway_address(self, dev: str, address: str) -> None:
            super().ensure_gateway_address(dev, address)
            others = listed(self, dev)[1:]
            for other in others:
                super().delete_device_address(dev, other)
            for other in reversed(others):
                super().add_device_address(dev, other)

    return Wrong


@mutant(
    "gateway-forgets-others",
    "flushes the device before it adds the gateway address",
    {"AD-13": "cannot be used", "AD-16": "cannot be used", "AD-18": "cannot be used", "CA-09": "cannot be used"},
)
def gateway_forgets_others(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_gateway_address(self, dev: str, address: str) -> None:
            super().ensure_gateway_address(dev, address)
            for other in listed(self, dev)[1:]:
                super().delete_device_address(dev, other)

    return Wrong


@mutant(
    "gateway-always-anew",
    "orders the addresses whether they are in order or not",
    {"AD-14": "the kernel was written to", "AD-15": "the kernel was written to"},
)
def gateway_always_anew(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_gateway_address(self, dev: str, address: str) -> None:
            super().delete_device_address(dev, address)
            super().ensure_gateway_address(dev, address)

    return Wrong


@mutant(
    "reordering-drops-attributes",
    "adds other people's addresses again by address and prefix length alone",
    {"CA-09": "the labels are", "CA-10": "the labels are"},
)
def reordering_drops_attributes(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def _anew(self, dev: str, addresses: list[str]) -> None:
            for address in reversed(addresses):
                super().delete_device_address(dev, address)
            for address in addresses:
                super().add_device_address(dev, address)

        def ensure_gateway_address(self, dev: str, address: str) -> None:
            super().ensure_gateway_address(dev, address)
            self._anew(dev, listed(self, dev)[1:])

        def delete_device_address(self, dev: str, address: str) -> None:
            super().delete_device_address(dev, address)
            self._anew(dev, listed(self, dev))

    return Wrong


@mutant(
    "address-deleted-everywhere",
    "deletes an address wherever it is",
    {"AD-17": "cannot be used"},
)
def address_deleted_everywhere(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def delete_device_address(self, dev: str, address: str) -> None:
            super().delete_device_address(dev, address)
            ip("addr", "flush", "to", address.partition("/")[0])

    return Wrong


@mutant(
    "addresses-described-sorted",
    "describes a device's addresses in the order of their digits, without label and lifetimes",
    {"AD-19": "the driver describes 192.0.2.1/24", "CA-12": "the driver describes the labels"},
)
def addresses_described_sorted(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def device(self, dev: str) -> Device:
            found: Device = super().device(dev)
            plain = (
                dataclasses.replace(one, label=None, valid_lifetime=None, preferred_lifetime=None)
                for one in found.addresses
            )
            return dataclasses.replace(found, addresses=tuple(sorted(plain, key=str)))

    return Wrong
