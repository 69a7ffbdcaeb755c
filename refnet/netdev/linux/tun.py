"""Tap devices on Linux: the ioctls of ``/dev/net/tun`` (``linux/if_tun.h``, Documentation/networking/tuntap.rst)."""

from __future__ import annotations

import errno
import fcntl
import os
import struct

from refnet.errors import InvalidArgument, KernelRefused, PermissionDenied, RefnetError, Unsupported
from refnet.netdev.driver import Capability

_DEVICE = "/dev/net/tun"
_TUNSETIFF = 0x400454CA
_TUNSETPERSIST = 0x400454CB
_TUNSETOWNER = 0x400454CC
_TUNSETGROUP = 0x400454CE
_TUNGETFEATURES = 0x800454CF

_IFF_TAP = 0x0002
_IFF_MULTI_QUEUE = 0x0100
_IFF_NO_PI = 0x1000
_IFF_TUN_EXCL = 0x8000

_REQUEST = struct.Struct("=16sH22x")


class NameTaken(Exception):
    """There is a device by that name."""


class Held(Exception):
    """Another program holds the tap, so that its settings cannot be changed."""


def create(name: str, *, multi_queue: bool, owner: int | None, group: int | None) -> None:
    """Create a tap that outlives this process; it is down, as the kernel makes them.

    Until the last of its settings is made the tap goes away with this process: a kill leaves nothing.

    Raises:
        NameTaken: there is a device by that name.
        Unsupported, PermissionDenied, KernelRefused: the kernel would not.
    """
    flags = _IFF_TAP | _IFF_NO_PI | _IFF_TUN_EXCL | (_IFF_MULTI_QUEUE if multi_queue else 0)
    descriptor = _open()
    try:
        try:
            fcntl.ioctl(descriptor, _TUNSETIFF, _REQUEST.pack(name.encode(), flags))
        except OSError as error:
            if error.errno in (errno.EBUSY, errno.EEXIST):
                raise NameTaken from None
            raise _translate(error, "make a tap") from None
        _settle(descriptor, owner, group)
    finally:
        os.close(descriptor)


def adopt(name: str, *, multi_queue: bool, owner: int | None, group: int | None) -> None:
    """Make a tap that is there persistent and give it owner and group (None: as they are).

    Raises:
        Held: another program has it open.
        Unsupported, PermissionDenied, KernelRefused: the kernel would not.
    """
    flags = _IFF_TAP | _IFF_NO_PI | (_IFF_MULTI_QUEUE if multi_queue else 0)
    descriptor = _open()
    try:
        try:
            fcntl.ioctl(descriptor, _TUNSETIFF, _REQUEST.pack(name.encode(), flags))
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise Held from None
            raise _translate(error, "open the tap") from None
        _settle(descriptor, owner, group)
    finally:
        os.close(descriptor)


def probe(capability: Capability) -> str | None:
    """Say why a capability of taps is not to be had, changing nothing; None where it is."""
    try:
        descriptor = _open()
    except RefnetError as error:
        return error.message
    try:
        try:
            # No kind is asked for: with the privilege to make one that is invalid, without it forbidden.
            fcntl.ioctl(descriptor, _TUNSETIFF, _REQUEST.pack(b"", 0))
        except OSError as error:
            if error.errno == errno.EPERM:
                return "making a tap needs CAP_NET_ADMIN in this network namespace"
        if capability is Capability.TAP_MULTI_QUEUE:
            (features,) = struct.unpack("=I", fcntl.ioctl(descriptor, _TUNGETFEATURES, bytes(4)))
            if not features & _IFF_MULTI_QUEUE:
                return "this kernel's taps have one queue only"
    finally:
        os.close(descriptor)
    return None


def _settle(descriptor: int, owner: int | None, group: int | None) -> None:
    try:
        if owner is not None:
            fcntl.ioctl(descriptor, _TUNSETOWNER, owner)
        if group is not None:
            fcntl.ioctl(descriptor, _TUNSETGROUP, group)
        fcntl.ioctl(descriptor, _TUNSETPERSIST, 1)
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise InvalidArgument(
                f"owner {owner} or group {group} is none in this user namespace", errno=error.errno
            ) from None
        raise _translate(error, "set the tap's owner, group or persistence") from None


def _open() -> int:
    try:
        return os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise _translate(error, f"open {_DEVICE}") from None


def _translate(error: OSError, what: str) -> RefnetError:
    words = error.strerror or str(error)
    if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return Unsupported(
            f"cannot {what}: {words} (this kernel has no taps: 'modprobe tun')",
            capability=Capability.TAP,
            errno=error.errno,
            detail=words,
        )
    if error.errno in (errno.EPERM, errno.EACCES):
        return PermissionDenied(
            f"cannot {what}: {words} (it needs CAP_NET_ADMIN and write access to {_DEVICE})",
            errno=error.errno,
            detail=words,
        )
    return KernelRefused(f"cannot {what}: {words}", errno=error.errno, detail=words)
