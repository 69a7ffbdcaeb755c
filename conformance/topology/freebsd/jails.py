"""Jails with a network stack of their own (vnet): made, and removed with all that is in them, if need be later."""

from __future__ import annotations

import os
import re
import shlex

from conformance import scratch
from conformance.errors import SuiteError
from conformance.freebsd_shell import run, script

#: A name says whose it is: the process that has made it, and a number.
_PREFIX = "refnet-conformance-"
_NAME = re.compile(rf"{_PREFIX}(\d+)-\d+\Z")
#: Devices that the kernel makes and removes with the stack.
_KERNELS = re.compile(r"(lo|pflog|pfsync|enc|ipfw|ipfwlog)\d+\Z")
_MODULES = ("if_bridge", "if_epair", "if_tuntap", "if_vlan", "pf", "pflog")
#: More guests than any spec makes.
_CHILDREN = 99

_count = 0


def new_name() -> str:
    """Return a name that no other jail has."""
    global _count
    _count += 1
    return f"{_PREFIX}{os.getpid()}-{_count}"


def make(name: str, *, children: int = _CHILDREN) -> int:
    """Make a jail that sees the file system of this one, with a network stack of its own, and return its number.

    Raises:
        SuiteError: the system refused.
    """
    return int(run(making(name, children=children)))


def making(name: str, *, children: int) -> list[str]:
    """Return the command that makes such a jail, which may have so many jails below it."""
    return [
        "jail",
        "-i",
        "-c",
        f"name={name}",
        "persist",
        "vnet",
        "path=/",
        "allow.raw_sockets",
        f"children.max={children}",
    ]


def remove(name: str) -> None:
    """Remove a jail: its processes, the devices in it, the jails in it, and itself. One that is gone is no error.

    Raises:
        SuiteError: the system does not end it in time.
    """
    # First: a tap that a process holds would be waited for.
    run(["jexec", name, "kill", "-KILL", "-1"], check=False)
    devices = run(["jexec", name, "ifconfig", "-l"], check=False).split()
    # With one end of a cable the other has gone, and what cannot be destroyed goes with the stack.
    lines = [f"jexec {name} ifconfig {shlex.quote(one)} destroy" for one in devices if not _KERNELS.match(one)]
    script(*lines, f"jail -r {name}", check=False)


def sweep() -> None:
    """Remove the jails, and the files, of processes that have died before they could."""
    for name in run(["jls", "name"]).split():
        found = _NAME.match(name)
        if found and not _is_alive(int(found[1])):
            remove(name)
    scratch.sweep(_is_alive)


def load_modules() -> None:
    """Load the modules of the devices, as ifconfig(8) would outside of jails, and of pf: in a jail none can be loaded.

    They stay. What is in the kernel already is left alone, and what cannot be had the probes say.
    """
    for module in _MODULES:
        run(["kldload", "-n", "-q", module], check=False)


def why_not() -> str:
    """Return why this process can make no such jails; "": it can, as far as one can tell without making one."""
    if os.geteuid() != 0:
        return "it takes root to make jails: run as root, or reach the host as root with '--env ssh://root@HOST'"
    try:
        has_vnet = run(["sysctl", "-n", "kern.features.vimage"], check=False).strip()
    except SuiteError as error:
        return str(error)
    if has_vnet != "1":
        return "the kernel has no network stacks for jails (VIMAGE, which GENERIC has since FreeBSD 12)"
    room = run(["sysctl", "-n", "security.jail.jailed", "security.jail.children.max"], check=False).split()
    if room[:1] == ["1"] and room[1:] in ([], ["0"]):
        return "this is a jail that may have none below it: give it 'children.max' and 'vnet', or run on the host"
    return ""


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
