"""Linux namespaces by system call. Python has ``os.unshare`` and ``os.setns`` only from 3.12 on.

The module can be imported anywhere; a Python without ctypes is none that runs specs on Linux.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Iterator
from typing import Any

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_REC = 0x4000
MS_PRIVATE = 0x40000
MS_NOSUID, MS_NODEV, MS_NOEXEC = 0x2, 0x4, 0x8
_MNT_DETACH = 2
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


@functools.cache
def _libc() -> Any:
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Give the calling thread namespaces of its own.

    Raises:
        OSError: the kernel refused.
    """
    _call("unshare", _libc().unshare(flags))


def setns(descriptor: int, kind: int = CLONE_NEWNET) -> None:
    """Move the calling thread into the namespace that ``descriptor`` is open on.

    Raises:
        OSError: the kernel refused.
    """
    _call("setns", _libc().setns(descriptor, kind))


def mount(source: str, target: str, kind: str | None, flags: int = 0) -> None:
    """Mount a file system.

    Raises:
        OSError: the kernel refused.
    """
    filesystem = kind.encode() if kind else None
    _call(f"mount {target}", _libc().mount(source.encode(), target.encode(), filesystem, _unsigned(flags), None))


def unmount(target: str) -> None:
    """Unmount a file system, also while it is in use.

    Raises:
        OSError: the kernel refused.
    """
    _call(f"umount {target}", _libc().umount2(target.encode(), _MNT_DETACH))


def die_with_parent() -> None:
    """Ask for SIGKILL when the parent dies."""
    _call("prctl", _libc().prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0))


def adopt_orphans() -> None:
    """Become the parent of all descendants whose parent dies, so that none gets out of sight."""
    _call("prctl", _libc().prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))


def current_network() -> int:
    """Return a descriptor on the calling thread's network namespace; the caller closes it."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def new_network() -> int:
    """Make a network namespace, leave the calling thread where it is, and return a descriptor on the new one."""
    made: list[int | OSError] = []

    def make() -> None:
        try:
            unshare(CLONE_NEWNET)
            made.append(current_network())
        except OSError as error:
            made.append(error)

    # A thread that ends takes its membership along: only the descriptor keeps the namespace.
    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    (result,) = made
    if isinstance(result, OSError):
        raise result
    return result


@contextlib.contextmanager
def entered(descriptor: int) -> Iterator[None]:
    """Have the calling thread in another network namespace for the length of the context."""
    home = current_network()
    try:
        setns(descriptor)
        try:
            yield
        finally:
            setns(home)
    finally:
        os.close(home)


def _unsigned(flags: int) -> Any:
    import ctypes

    return ctypes.c_ulong(flags)


def _call(what: str, result: int) -> None:
    if result != 0:
        import ctypes

        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
