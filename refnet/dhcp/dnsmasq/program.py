"""The dnsmasq of this host: where it is, what it can do, and whom it is to become."""

from __future__ import annotations

import functools
import grp
import os
import pwd
import re
import shutil
import sys

from refnet import process
from refnet.dhcp.capabilities import Capability
from refnet.dhcp.dnsmasq.plan import Server
from refnet.errors import InvalidArgument, ToolMissing
from refnet.names import shown

_PLACES = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin")

#: What dnsmasq calls, where it lacks it, "no-…".
_NEEDS: dict[Capability, tuple[str, ...]] = {
    Capability.DHCP: ("DHCP",),
    Capability.DHCP_IPV6: ("DHCP", "DHCPv6"),
    Capability.ROUTER_ADVERTISEMENT: ("DHCP", "DHCPv6"),
    Capability.DNS: (),
    Capability.DNS_FORWARDING: (),
    Capability.LEASE_EVENTS: ("DHCP", "scripts"),
    Capability.LEASE_STORE: ("DHCP", "scripts"),
    Capability.RELEASE: ("DHCP",),
}


def found() -> str:
    """Return the path of the program.

    Raises:
        ToolMissing: it is not installed.
    """
    # An ordinary user's PATH may lack the directories where it is.
    path = os.pathsep.join((os.environ.get("PATH", ""), *_PLACES))
    program = shutil.which("dnsmasq", path=path)
    if program is None:
        package = "'pkg install dnsmasq'" if sys.platform.startswith("freebsd") else "Debian's package dnsmasq-base"
        raise ToolMissing(f"the program 'dnsmasq' is not installed (or not on PATH): {package} has it", tool="dnsmasq")
    # By one name however PATH is ordered: on most systems /sbin is a link, and what a server was started with tells
    # whether it has to be started anew.
    folder, name = os.path.split(program)
    return os.path.join(os.path.realpath(folder), name)


def features(program: str) -> frozenset[str]:
    """Return what a dnsmasq was compiled with: "DHCP", "no-inotify", …

    Raises:
        ToolMissing, PermissionDenied, KernelRefused, CommandFailed: it cannot be asked.
    """
    asked = os.stat(program)
    return _features(program, asked.st_mtime_ns, asked.st_size)


@functools.lru_cache(maxsize=8)
def _features(program: str, _changed: int, _size: int) -> frozenset[str]:
    said = process.run([program, "--version"]).stdout
    match = re.search(r"^Compile time options: (.*)$", said, re.MULTILINE)
    return frozenset(match[1].split()) if match else frozenset()


def server(user: str) -> Server:
    """Return what the dnsmasq of this host is like.

    Raises:
        ToolMissing, PermissionDenied, KernelRefused, CommandFailed: it is not there, or cannot be asked.
        InvalidArgument: there is no such user.
    """
    program = found()
    is_linux = sys.platform.startswith("linux")
    return Server(
        program=program,
        has_inotify="inotify" in features(program),
        # Elsewhere nobody looks at the device that a query comes by.
        binding="--bind-dynamic" if is_linux else "--bind-interfaces",
        identity=identity(user),
        loopback="lo" if is_linux else "lo0",
    )


def identity(user: str) -> tuple[str, ...]:
    """Return the arguments that say whom it becomes; nobody else, if this process cannot become that user either.

    Raises:
        InvalidArgument: there is no such user.
    """
    try:
        entry = pwd.getpwnam(user)
    except (KeyError, ValueError):
        raise InvalidArgument(f"user {shown(user)}: there is no such user on this host") from None
    if os.geteuid() != 0 or not _is_mapped("uid", entry.pw_uid) or not _is_mapped("gid", entry.pw_gid):
        return ("--user=", "--group=")
    try:
        group = grp.getgrgid(entry.pw_gid).gr_name
    except KeyError:
        raise InvalidArgument(f"user {user!r} has the group {entry.pw_gid}, which is none of this host") from None
    return (f"--user={user}", f"--group={group}")


def _is_mapped(kind: str, number: int) -> bool:
    """Whether this process's user namespace has a user or group (user_namespaces(7)); elsewhere it has all."""
    try:
        with open(f"/proc/self/{kind}_map", encoding="ascii") as file:
            ranges = [tuple(map(int, line.split())) for line in file]
        if kind == "gid":
            with open("/proc/self/setgroups", encoding="ascii") as file:
                if file.read().strip() == "deny":
                    return False
    except OSError:
        return True
    return any(first <= number < first + count for first, _, count in ranges)


def lacks(compiled: frozenset[str], capability: Capability) -> str | None:
    """Return why a dnsmasq that was compiled so cannot do something, in words; None: it can."""
    for option in _NEEDS[capability]:
        if f"no-{option}" in compiled:
            return f"the dnsmasq of this host was compiled with no-{option}"
    return None
