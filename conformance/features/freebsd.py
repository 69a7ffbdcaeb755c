"""What a FreeBSD environment can do, tried in a vnet jail."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator

from conformance.errors import SuiteError
from conformance.features import SECOND_USER
from conformance.freebsd_shell import run
from conformance.topology.freebsd import jails
from refnet.netdev.driver import Capability

#: What no FreeBSD has in the way that the interface means it.
_NOWHERE = {
    Capability.BRIDGE_STP: "a bridge of FreeBSD has no switch of its own for it: each port has one (ifconfig(8), stp)",
    Capability.BRIDGE_MULTICAST_SNOOPING: "if_bridge(4) does no multicast snooping",
    Capability.TAP_MULTI_QUEUE: "a tap(4) has one queue",
}
_IN_JAIL = "test0"
#: Whether a user without privilege can open what has been given to him: releases differ (tap(4), user_open).
_OPENS = "import os, sys; it = sys.argv[1]; os.chown(it, 1, 1); os.setgid(1); os.setuid(1); os.open(it, os.O_RDWR)"
#: By capability, the commands that try it.
_ATTEMPTS = {
    Capability.BRIDGE: (f"ifconfig bridge create name {_IN_JAIL}",),
    Capability.BRIDGE_FORWARD_DELAY: (f"ifconfig bridge create name {_IN_JAIL} fwddelay 4",),
    Capability.BRIDGE_AGEING_TIME: (f"ifconfig bridge create name {_IN_JAIL} timeout 60",),
    Capability.VLAN: ("ifconfig vlan create vlan 5 vlandev $(ifconfig epair create)",),
    Capability.TAP: ("exec 3<>/dev/$(ifconfig tap create)",),
    Capability.TAP_OWNER: (f"{sys.executable} -I -S -c '{_OPENS}' /dev/$(ifconfig tap create)",),
    Capability.VETH: ("ifconfig epair create",),
    Capability.IPV6: ("ifconfig lo0 inet6 2001:db8::1/64",),
}


def lacking(feature: str) -> str | None:
    """Return why a capability or a need cannot be had in this environment, in the system's words; None: it can."""
    if feature == SECOND_USER:
        return None if os.geteuid() == 0 else "it takes root to become another user"
    capability = Capability(feature)
    if capability in _NOWHERE:
        return _NOWHERE[capability]
    with _probing() as attempt:
        return attempt(*_ATTEMPTS[capability])


@contextlib.contextmanager
def _probing() -> Iterator[Callable[..., str | None]]:
    """Make a jail, and give what tries commands in it."""
    name = jails.new_name()
    jails.make(name, children=0)

    def attempt(*commands: str) -> str | None:
        for command in commands:
            try:
                run(["jexec", name, "sh", "-c", command])
            except SuiteError as error:
                said = str(error).rpartition("failed: ")[2].splitlines()
                return f"'{command}' says: {said[-1] if said else 'nothing'}"
        return None

    try:
        yield attempt
    finally:
        jails.remove(name)
