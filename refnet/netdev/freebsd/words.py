"""From the programs' words to refnet's errors: the one table."""

from __future__ import annotations

import errno
from typing import Any

from refnet.errors import (
    AlreadyExists,
    InvalidArgument,
    KernelRefused,
    NoSuchDevice,
    PermissionDenied,
    RefnetError,
    Unsupported,
    WrongKind,
)
from refnet.netdev.driver import Capability, Kind
from refnet.netdev.freebsd.listing import Interface
from refnet.netdev.freebsd.tools import Refusal

#: Words of ifconfig(8) and route(8), most of them strerror(3)'s, the error number that they stand for, and the type.
#: The first that is found counts.
WORDS: tuple[tuple[str, int, type[RefnetError]], ...] = (
    ("does not exist", errno.ENXIO, NoSuchDevice),
    ("no such interface", errno.ENXIO, NoSuchDevice),
    ("Device not configured", errno.ENXIO, NoSuchDevice),
    ("No such file or directory", errno.ENOENT, NoSuchDevice),
    ("Operation not permitted", errno.EPERM, PermissionDenied),
    ("Permission denied", errno.EACCES, PermissionDenied),
    ("permission denied", errno.EPERM, PermissionDenied),
    ("must be root", errno.EPERM, PermissionDenied),
    ("already exists", errno.EEXIST, AlreadyExists),
    ("File exists", errno.EEXIST, AlreadyExists),
    ("already in table", errno.EEXIST, AlreadyExists),
    ("not in table", errno.ESRCH, KernelRefused),
    ("Device busy", errno.EBUSY, KernelRefused),
    ("entry in use", errno.EBUSY, KernelRefused),
    ("Operation not supported", errno.EOPNOTSUPP, Unsupported),
    ("Protocol not supported", errno.EPROTONOSUPPORT, Unsupported),
    ("Address family not supported", errno.EAFNOSUPPORT, Unsupported),
    ("Invalid argument", errno.EINVAL, InvalidArgument),
    ("File name too long", errno.ENAMETOOLONG, InvalidArgument),
    ("Can't assign requested address", errno.EADDRNOTAVAIL, InvalidArgument),
    ("bad value", errno.EINVAL, InvalidArgument),
    ("invalid value", errno.EINVAL, InvalidArgument),
    ("Network is down", errno.ENETDOWN, KernelRefused),
    ("No buffer space available", errno.ENOBUFS, KernelRefused),
    ("Cannot allocate memory", errno.ENOMEM, KernelRefused),
    ("No space left on device", errno.ENOSPC, KernelRefused),
)


#: With "Invalid argument" ifconfig(8) says so of a kind of device that the kernel has no driver for.
_NO_CLONER = "SIOCIFCREATE"


def meaning(words: str) -> tuple[int | None, type[RefnetError]]:
    """Return the error number and the error that a program's words stand for."""
    for known, number, kind in WORDS:
        if known in words:
            return number, kind
    return None, KernelRefused


def translate(refusal: Refusal, device: str, capability: Capability | None = None) -> RefnetError:
    """Turn a program's refusal into refnet's error."""
    number, kind = meaning(refusal.words)
    if capability is not None and _NO_CLONER in refusal.words and number == errno.EINVAL:
        kind = Unsupported
    facts: dict[str, Any] = {"device": device, "errno": number, "detail": refusal.words}
    tail = f"; what could not be taken back: {'; '.join(refusal.left_over)}" if refusal.left_over else ""
    if kind is Unsupported:
        missing = str(capability) if capability else "operation"
        return Unsupported(f"{device}: the system does not do this ({missing}){tail}", capability=missing, **facts)
    sentence = {
        PermissionDenied: f"{device}: this needs root, in a jail also the jail's own network stack (vnet)",
        NoSuchDevice: f"there is no device {device}",
        AlreadyExists: f"{device} is there already",
        InvalidArgument: f"{device}: the system refuses the value",
    }.get(kind, f"{device}: the system refused")
    return kind(sentence + tail, **facts)


def says(refusal: Refusal, *numbers: int) -> bool:
    """Whether a refusal stands for one of these error numbers."""
    return meaning(refusal.words)[0] in numbers


def check_kind(device: Interface, kind: Kind) -> None:
    if device.kind is not kind:
        raise WrongKind(f"{device.name} is of kind {device.kind}, not {kind}", device=device.name, errno=errno.EEXIST)
