"""Where a virtual function is: PCI's part of /sys, as Documentation/ABI/testing/sysfs-bus-pci of Linux describes it.

A virtual function has a link ``physfn`` to its physical function, which has a link ``virtfnN`` to it.
"""

from __future__ import annotations

import os
from pathlib import Path

from refnet.errors import NoSuchDevice

#: Every device of PCI by its address.
DEVICES = Path("/sys/bus/pci/devices")


def place(root: Path, address: str) -> tuple[str, int]:
    """Return the address of a virtual function's physical function, and the number that it has there.

    Raises:
        NoSuchDevice: there is no virtual function at that address.
    """
    physical = physical_function(root, address)
    for name in _names(root / physical):
        number = name.removeprefix("virtfn")
        if number != name and number.isdecimal() and _target(root / physical / name) == address:
            return physical, int(number)
    raise NoSuchDevice(
        f"{physical}, the physical function of {address}, does not have it any more: it has just gone", device=address
    )


def physical_function(root: Path, address: str) -> str:
    """Return the address of a virtual function's physical function.

    Raises:
        NoSuchDevice: there is no virtual function at that address.
    """
    physical = _target(root / address / "physfn")
    if physical is not None:
        return physical
    if (root / address).exists():
        raise NoSuchDevice(f"what is at {address} is no virtual function", device=address)
    raise NoSuchDevice(f"there is nothing at the PCI address {address}", device=address)


def devices(root: Path, address: str) -> list[str]:
    """Return the names of a function's network devices, its first port's first.

    They are those of the network namespace that /sys was mounted in.
    """
    folder = root / address / "net"
    return sorted(_names(folder), key=lambda name: (_port(folder / name), name))


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:  # no such folder: no driver, or one that makes no network device
        return []


def _target(link: Path) -> str | None:
    try:
        return os.path.basename(os.readlink(link))
    except OSError:
        return None


def _port(device: Path) -> int:
    try:
        return int((device / "dev_port").read_text())
    except (OSError, ValueError):
        return 0
