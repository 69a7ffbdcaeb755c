"""Simulated network cards: netdevsim, the kernel's own device for tests of what asks network cards.

Cards are the whole machine's, and have numbers. What a killed process has left is known by its number, and by a lock
that nobody holds any more; it is removed before the next card is made.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from conformance.errors import SuiteError
from conformance.topology.base import NetworkCard
from conformance.topology.linux import namespaces
from conformance.topology.linux.endpoints import LinuxStack

BUS = Path("/sys/bus/netdevsim")
#: What the image of the virtual machine says of a netdevsim that it does not have.
NOT_BUILT = Path("/usr/share/refnet/netdevsim")
#: The numbers of the suite's cards; others are somebody else's.
_FIRST, _LAST = 1_200_000_000, 1_299_999_999
_NAME = re.compile(r"netdevsim(\d+)")
#: netdevsim's own limit, unless it is told otherwise through debugfs.
_MOST_FUNCTIONS = 4
_PCI = "/sys/bus/pci/devices"


def lacking() -> str | None:
    """Return why no card can be made here, None where one can."""
    if not BUS.exists():
        told = NOT_BUILT.read_text().strip() if NOT_BUILT.exists() else ""
        return told or f"{BUS} is not there: the kernel has no netdevsim, or has not loaded it ('modprobe netdevsim')"
    if not os.access(BUS / "new_device", os.W_OK):
        return f"{BUS}/new_device cannot be written: it takes the root of the whole machine, and no read-only /sys"
    return None


class SimulatedCard(NetworkCard):
    """A card of one port in a stack."""

    def __init__(self, stack: LinuxStack, name: str, functions: int) -> None:
        """Make it, with so many virtual functions; its device gets a name and is up.

        Raises:
            SuiteError: it cannot be made.
        """
        if functions > _MOST_FUNCTIONS:
            raise SuiteError(f"netdevsim has at most {_MOST_FUNCTIONS} virtual functions, not {functions}")
        self.name = name
        self._stack = stack
        self._is_on_pci = False
        _sweep()
        with contextlib.ExitStack() as failing:
            self._number, self._lock = _numbered(stack)
            failing.callback(self.close)
            self._folder = BUS / "devices" / f"netdevsim{self._number}"
            with stack.entered():
                self._write(self._folder / "sriov_numvfs", str(functions))
                (device,) = os.listdir(self._folder / "net")
            stack.ip(f"link set dev {device} name {name}", f"link set dev {name} up")
            failing.pop_all()

    def set(self, number: int, *words: str) -> None:
        """Do it with ip(8)."""
        self._stack.ip(f"link set dev {self.name} vf {number} {' '.join(words)}")

    def at_pci(self, number: int, device: str | None = None) -> str:
        """Show it where /sys has real ones: the folder of PCI's devices is this sandbox's own from then on."""
        with self._stack.entered():
            if not self._is_on_pci:
                namespaces.mount("tmpfs", _PCI, "tmpfs", namespaces.MS_NOSUID | namespaces.MS_NODEV)
                self._is_on_pci = True
            # The kernel tells where a device is, and would contradict another name.
            physical = Path(_PCI, self._folder.name)
            address = f"0000:7f:1{number // 8}.{number % 8}"
            (physical / "net" / self.name).mkdir(parents=True, exist_ok=True)
            (physical / f"virtfn{number}").symlink_to(f"../{address}")
            Path(_PCI, address).mkdir()
            Path(_PCI, address, "physfn").symlink_to(f"../{physical.name}")
            if device is not None:
                Path(_PCI, address, "net", device).mkdir(parents=True)
        return address

    def close(self) -> None:
        """Remove it, and what was shown of it."""
        if self._is_on_pci:
            with self._stack.entered(), contextlib.suppress(OSError):
                namespaces.unmount(_PCI)
        self._is_on_pci = False
        _remove(self._number)
        os.unlink(_lock_path(self._number))
        os.close(self._lock)

    @staticmethod
    def _write(path: Path, text: str) -> None:
        try:
            path.write_text(text)
        except OSError as error:
            raise SuiteError(f"{path} does not take {text!r}: {error.strerror}") from None


def _numbered(stack: LinuxStack) -> tuple[int, int]:
    """Make a card of a free number in a stack, and return the number and the descriptor that holds its lock."""
    for _ in range(100):
        number = random.randint(_FIRST, _LAST)
        lock = os.open(_lock_path(number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with stack.entered():
                (BUS / "new_device").write_text(f"{number} 1")
            return number, lock
        except (FileExistsError, BlockingIOError):  # somebody has this number
            os.close(lock)
        except OSError as error:
            os.close(lock)
            os.unlink(_lock_path(number))
            raise SuiteError(f"{BUS}/new_device does not make a card: {error.strerror}") from None
    raise SuiteError("there is no free number for a card of netdevsim")


def _sweep() -> None:
    """Remove cards whose makers have died."""
    for number in _numbers():
        with contextlib.suppress(OSError):
            lock = os.open(_lock_path(number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(number)
                os.unlink(_lock_path(number))
            finally:
                os.close(lock)


def _numbers() -> Iterator[int]:
    for name in os.listdir(BUS / "devices"):
        found = _NAME.fullmatch(name)
        if found and _FIRST <= int(found[1]) <= _LAST:
            yield int(found[1])


def _remove(number: int) -> None:
    with contextlib.suppress(OSError):
        (BUS / "del_device").write_text(str(number))


def _lock_path(number: int) -> str:
    # Not /run: each sandbox has its own.
    return f"{tempfile.gettempdir()}/refnet-conformance-netdevsim-{number}"
