"""A network namespace for a measurement: entering it, seeing that a plug is right, and clearing it away again."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks import contenders
from benchmarks.contenders import floor

_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000
_MS_REC, _MS_PRIVATE = 0x4000, 0x40000

#: Plugs that are deleted in one request. Deleting a bridge waits for the kernel's readers (RCU), 10 to 20 ms, and all
#: that time the lock is held that every network change on the host needs: in larger portions others would stand still.
_PORTION = 10


class WrongResult(Exception):
    """A contender has said that a plug is done, and it is not."""


def enter() -> None:
    """Give this process a network namespace of its own, and the ``/sys`` that belongs to it.

    IPv6 is off on its devices, for everyone, as os-vif switches it off on each. The kernel would go on configuring
    them for some twenty seconds after a plug, and whoever plugs next would pay for it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.unshare(_CLONE_NEWNET | _CLONE_NEWNS), "unshare")
    _check(libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None), "make mounts private")
    # /sys shows the network namespace of the process that mounted it; Nova and the check below look there.
    _check(libc.mount(b"sysfs", b"/sys", b"sysfs", 0, None), "mount /sys")
    with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
        Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")


def hide_run() -> None:
    """Give this process, in its own namespaces, a ``/run`` of its own: there, locks are. It goes with the process."""
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.mount(b"tmpfs", b"/run", b"tmpfs", 0, None), "mount /run")


def join(pid: int) -> None:
    """Go into the namespaces that another process has entered."""
    libc = ctypes.CDLL(None, use_errno=True)
    for kind in ("net", "mnt"):
        descriptor = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
        working_directory = Path.cwd()
        try:
            _check(libc.setns(descriptor, 0), f"setns {kind}")
        finally:
            os.close(descriptor)
        # Joining a mount namespace leads to its root directory.
        os.chdir(working_directory)


def check(number: int) -> None:
    """See that a plug is what it should be.

    Raises:
        WrongResult: it is not, and the message says in what.
    """
    bridge, tap = contenders.bridge(number), contenders.tap(number)
    wanted = {
        f"{bridge} up": True,
        f"{tap} up": True,
        f"{tap} address": contenders.tap_mac(number),
        f"{tap} mtu": str(contenders.MTU),
        f"{tap} master": bridge,
    }
    found = {
        f"{bridge} up": _is_up(bridge),
        f"{tap} up": _is_up(tap),
        f"{tap} address": _read(tap, "address"),
        f"{tap} mtu": _read(tap, "mtu"),
        f"{tap} master": _master(tap),
    }
    wrong = [f"{what} is {found[what]!r}, not {value!r}" for what, value in wanted.items() if found[what] != value]
    if wrong:
        raise WrongResult("; ".join(wrong))


def remove(numbers: Sequence[int]) -> None:
    """Delete the devices of plugs, made or not, in portions.

    Left to the end of the namespace, all would go in one portion, holding the host's lock for half a minute, and in
    the time of the next measurement.
    """
    kernel = floor.Kernel()
    for first in range(0, len(numbers), _PORTION):
        portion = numbers[first : first + _PORTION]
        group = first + 1
        for number in portion:
            for name in (contenders.bridge(number), contenders.tap(number)):
                with contextlib.suppress(OSError):
                    kernel.set_group(name, group)
        with contextlib.suppress(OSError):
            kernel.delete_group(group)


def _is_up(device: str) -> bool:
    return bool(int(_read(device, "flags") or "0", 16) & 1)


def _master(device: str) -> str | None:
    try:
        return Path(f"/sys/class/net/{device}/master").readlink().name
    except OSError:
        return None


def _read(device: str, name: str) -> str | None:
    try:
        return Path(f"/sys/class/net/{device}/{name}").read_text().strip()
    except OSError:
        return None


def _check(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
