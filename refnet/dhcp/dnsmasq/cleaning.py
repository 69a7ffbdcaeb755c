"""Removing a network's files: those that this manager and its server have made, and no others."""

from __future__ import annotations

import contextlib
from pathlib import Path

from refnet.dhcp.dnsmasq import files
from refnet.dhcp.dnsmasq.place import Place
from refnet.errors import RefnetError


def make(place: Place, made: set[Path]) -> None:
    """Make a network's directory, and the directory of all networks, which is then one of those that were ``made``.

    Raises:
        PermissionDenied, KernelRefused: they cannot be made.
    """
    if not place.directory.is_dir():
        files.directory(place.directory)
        made.add(place.directory)
    files.directory(place.path)
    # Who made it may have been killed before it had its mode, under whatever umask.
    with contextlib.suppress(OSError):
        if place.path.stat().st_mode & files.DIRECTORY_MODE != files.DIRECTORY_MODE:
            place.path.chmod(files.DIRECTORY_MODE)


def is_network(place: Place) -> bool:
    """Whether there is a network, or leases of one."""
    return any(path.exists() for path in (place.network, place.leases, place.events, place.changing))


def has_leases(place: Place) -> bool:
    """Whether there are leases, or events that may have some."""
    return any(path.is_file() and path.stat().st_size for path in (place.leases, place.events))


def clean(place: Place, made: set[Path], *, forget: bool) -> list[RefnetError]:
    """Remove a network's files but for the leases, or with ``forget`` those as well; return what could not be.

    The directory of all networks goes with the last of them if it is one of those that were ``made``.
    """
    if not place.path.is_dir() or place.path.is_symlink():
        return []
    leases = [place.leases, place.events]
    marks = [place.changing, place.kept_hosts, place.network]
    failures: list[RefnetError] = []
    # Without any of these no network was here, and what there is is somebody else's.
    if any(path.exists() for path in (*marks, *(leases if forget else ()))):
        failures += _clean(place)
        # By these it is known that the others are ours, should this be interrupted.
        failures += files.remove([*marks, *(leases if forget else [])])
    failures += files.remove_directory(place.path)
    if place.directory in made:
        failures += files.remove_directory(place.directory)
    return failures


def _clean(place: Place) -> list[RefnetError]:
    try:
        names = files.listed(place.path)
    except RefnetError as error:
        return [error]
    own = [place.configuration, place.hosts, place.options, place.names, place.pid, place.log, place.event]
    temporary = [place / name for name in names if name.startswith(".") and name.endswith((".tmp", ".new"))]
    failures: list[RefnetError] = []
    for directory in (place.added_hosts, place.added_names):
        failures += _empty(directory)
    return failures + files.remove([*temporary, *own])


def _empty(directory: Path) -> list[RefnetError]:
    """Remove a directory and the files in it; a symbolic link is removed itself."""
    if directory.is_symlink():
        return files.remove([directory])
    try:
        names = files.listed(directory)
    except RefnetError as error:
        return [error]
    return files.remove(directory / name for name in names) + files.remove_directory(directory)
