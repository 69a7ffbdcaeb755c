"""From the kernel's refusals to refnet's errors: the one place where an errno becomes a type."""

from __future__ import annotations

import errno
from collections.abc import Iterable
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
from refnet.netdev.linux.link import Link
from refnet.netdev.linux.netlink import KernelError

_INVALID = frozenset(
    {errno.EINVAL, errno.ERANGE, errno.EADDRNOTAVAIL, errno.ELOOP, errno.EAFNOSUPPORT, errno.E2BIG, errno.EMSGSIZE}
)


def translate(
    error: KernelError, device: str | None, capability: Capability | None = None, left_over: Iterable[str] = ()
) -> RefnetError:
    """Turn the kernel's refusal into refnet's error; the one place where errno becomes a type."""
    facts: dict[str, Any] = {"device": device, "errno": error.errno, "detail": error.words}
    about = device or "device"
    not_undone = "; ".join(left_over)
    tail = f"; what could not be taken back: {not_undone}" if not_undone else ""
    if error.errno in (errno.EPERM, errno.EACCES):
        return PermissionDenied(f"{about}: this needs CAP_NET_ADMIN in the network namespace{tail}", **facts)
    if error.errno == errno.ENODEV:
        return NoSuchDevice(f"there is no device {about}{tail}", **facts)
    if error.errno == errno.EEXIST:
        return AlreadyExists(f"{about} is there already{tail}", **facts)
    if error.errno == errno.EOPNOTSUPP:
        missing = str(capability) if capability else "operation"
        return Unsupported(f"{about}: the kernel of this host has no {missing}{tail}", capability=missing, **facts)
    if error.errno in _INVALID:
        return InvalidArgument(f"{about}: the kernel refuses the value{tail}", **facts)
    return KernelRefused(f"{about}: the kernel refused{tail}", **facts)


def check_kind(link: Link, kind: Kind) -> None:
    if link.kind is not kind:
        raise WrongKind(f"{link.name} is of kind {link.kind}, not {kind}", device=link.name, errno=errno.EEXIST)
