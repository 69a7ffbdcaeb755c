"""What every call of the driver has around it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import TypeVar

from refnet import locks, names
from refnet.errors import AlreadyExists, InvalidName, Mismatch, RefnetError
from refnet_iproute2 import show

T = TypeVar("T")

#: How often a call looks again after another program made the same device between its look and its act.
_ATTEMPTS = 4


@contextlib.contextmanager
def operation(name: str, dev: object) -> Iterator[None]:
    """Put the method's name into every error that leaves it, and ``dev`` where the error names no device itself."""
    try:
        yield
    except RefnetError as error:
        error.operation = name
        if error.device is None and isinstance(dev, str):
            error.device = dev
        raise


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Keep other calls out of this thread's network namespace between looking and acting.

    The kernel makes each request atomic, but "is it somebody's port? no: then take it" is two of them. The lock
    belongs to the namespace, so that calls in different ones do not wait for each other.
    """
    inode = os.stat("/proc/thread-self/ns/net").st_ino
    with locks.held(f"netdev-{inode}"):
        yield


def converge(attempt: Callable[[], T], *devices: str) -> T:
    """Return what ``attempt`` returns, starting it again if one of ``devices`` has come between its look and its act.

    Only programs that do not know the lock can be the cause.

    Raises:
        AlreadyExists: every time; or it is about something else than the devices.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return attempt()
        except Mismatch:
            raise
        except AlreadyExists:
            if all(show.find(dev) is None for dev in devices):
                raise
    return attempt()


def device_name(name: object, what: str = "device name") -> str:
    """Return a valid device name; an error carries the bad one as its device."""
    try:
        return names.device_name(name, what)
    except InvalidName as error:
        error.device = name if isinstance(name, str) else None
        raise
