"""Running ``ip``, and what its words mean in refnet's errors."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from dataclasses import dataclass

from refnet import process
from refnet.errors import (
    AlreadyExists,
    CommandFailed,
    DumpInterrupted,
    InvalidArgument,
    KernelRefused,
    NoAnswer,
    NoSuchDevice,
    PermissionDenied,
    RefnetError,
    Unsupported,
)

_ATTEMPTS = 8

#: The arguments of one command after ``ip``.
Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Saying:
    """Something that ``ip`` prints, with the error number behind it and refnet's error for it."""

    pattern: str
    errno: int
    error: Callable[..., RefnetError]
    meaning: str
    #: The capability that is missing where the words themselves say so; else it is the one that the caller asked for.
    capability: str | None = None


#: In this order: the first that is found counts. "Error: …" is the kernel's own sentence, which ``ip`` prints in
#: place of the error number's text; older kernels have only the number.
_SAYINGS = (
    _Saying(r'Cannot find device "(?P<device>.+)"', errno.ENODEV, NoSuchDevice, "there is no such device"),
    _Saying(r'Device "(?P<device>.+)" does not exist', errno.ENODEV, NoSuchDevice, "there is no such device"),
    _Saying(
        r'argument "(?P<device>.+)" is wrong: Device does not exist',
        errno.ENODEV,
        NoSuchDevice,
        "there is no such device",
    ),
    _Saying(r"No such device", errno.ENODEV, NoSuchDevice, "there is no such device"),
    _Saying(r"File exists", errno.EEXIST, AlreadyExists, "it is there already"),
    _Saying(r"TUNSETIFF\): Device or resource busy", errno.EBUSY, AlreadyExists, "it is there already"),
    _Saying(r"[Aa]ddress already assigned", errno.EEXIST, AlreadyExists, "the address is there already"),
    _Saying(r"VLAN device already exists", errno.EEXIST, AlreadyExists, "the parent has that tag already"),
    _Saying(
        r"Operation not permitted",
        errno.EPERM,
        PermissionDenied,
        "it takes CAP_NET_ADMIN in the user namespace that this network namespace belongs to",
    ),
    _Saying(r"IPv6 is disabled", errno.EACCES, Unsupported, "IPv6 is switched off on this device", "ipv6"),
    _Saying(r"open: Permission denied", errno.EACCES, PermissionDenied, "/dev/net/tun may not be opened"),
    _Saying(r"Permission denied", errno.EACCES, PermissionDenied, "the kernel does not permit it"),
    _Saying(r"open: No such file", errno.ENOENT, Unsupported, "there is no /dev/net/tun", "tap"),
    _Saying(r"Unknown device type", errno.EOPNOTSUPP, Unsupported, "the kernel knows no such kind of device"),
    _Saying(r"allow enslaving", errno.EOPNOTSUPP, InvalidArgument, "the device cannot be a port of a bridge"),
    _Saying(r"enslave", errno.EINVAL, InvalidArgument, "the device cannot be a port of a bridge"),
    _Saying(r"Operation not supported", errno.EOPNOTSUPP, Unsupported, "the kernel cannot do it"),
    _Saying(r"[Mm][Tt][Uu] less than device minimum", errno.EINVAL, InvalidArgument, "the MTU is too small for it"),
    _Saying(r"[Mm][Tt][Uu] greater than device maximum", errno.EINVAL, InvalidArgument, "the MTU is too large for it"),
    _Saying(r"Numerical result out of range", errno.ERANGE, InvalidArgument, "the value is out of the device's range"),
    _Saying(r"Cannot assign requested address", errno.EADDRNOTAVAIL, InvalidArgument, "it takes no such address"),
    _Saying(r"Invalid argument", errno.EINVAL, InvalidArgument, "the kernel refuses the value"),
)

#: The C library's texts, for what has no line above.
_NUMBERS = {os.strerror(number): number for number in errno.errorcode}


def change(*words: str, capability: str = "iproute2") -> None:
    """Run an ``ip`` that changes something.

    ``capability`` is what the caller needs the command for: it is named where the kernel cannot do it.

    Raises:
        RefnetError: of the type that fits what ``ip`` said.
    """
    try:
        process.run(("ip", *words))
    except CommandFailed as error:
        raise typed(error, capability) from error


def listing(*words: str) -> str:
    """Run an ``ip`` that lists something, and return what it printed.

    Raises:
        DumpInterrupted: the kernel's tables changed during every attempt; what was printed may lack something.
        RefnetError: of the type that fits what ``ip`` said.
    """
    for _ in range(_ATTEMPTS):
        try:
            done = process.run(("ip", *words))
        except CommandFailed as error:
            raise typed(error, "iproute2") from error
        if "Dump was interrupted" not in done.stderr:
            return done.stdout
    raise DumpInterrupted(f"what 'ip {' '.join(words)}' lists changed during {_ATTEMPTS} attempts to read it")


def typed(failure: CommandFailed, capability: str) -> RefnetError:
    """Return refnet's error for what ``ip`` said when it failed; the like of ``failure`` if that is unknown."""
    if failure.status is None:
        return NoAnswer(failure.message, detail=failure.detail)
    detail = " ".join(line for line in failure.stderr.splitlines() if line and not line.startswith("Command failed"))
    for saying in _SAYINGS:
        if found := re.search(saying.pattern, detail):
            facts = {"errno": saying.errno, "device": found.groupdict().get("device"), "detail": detail}
            if saying.error is Unsupported:
                return Unsupported(saying.meaning, capability=saying.capability or capability, **facts)
            return saying.error(saying.meaning, **facts)
    if "answers: " in detail or "Error: " in detail or "ioctl" in detail:
        number = _NUMBERS.get(detail.rpartition(": ")[2])
        return KernelRefused("the kernel refuses it", errno=number, detail=detail)
    return CommandFailed(failure.argv, failure.status, failure.stdout, failure.stderr)
