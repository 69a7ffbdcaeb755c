"""Open vSwitch in a jail.

It has no datapath in FreeBSD's kernel. The devices of its bridges, and its internal ports, are taps that ovs-vswitchd
holds; other ports it reads and writes through bpf(4).
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from conformance.scratch import new_path
from conformance.topology.freebsd.endpoints import FreeBsdStack
from conformance.topology.switch import Switch

#: Where a driver that is told nothing looks (ovs-vswitchd(8), "FILES"), and Open vSwitch's own programs as well.
_PLACE = "OVS_RUNDIR"
#: A directory that stays empty (hier(7)).
_NOWHERE = "/var/empty/openvswitch"
_HEAD = re.compile(r"(\S+): flags=")


def look_nowhere() -> None:
    """Have drivers in this process find no switch.

    Jails share the file system, so that where it usually is the host's own would be. A process is in one jail for good,
    and so is its environment.
    """
    os.environ[_PLACE] = _NOWHERE


def own_place() -> Path:
    """Return a place for the switch of this process's sandbox that no other has, and have drivers look there."""
    place = new_path("switch")
    os.environ[_PLACE] = str(place)
    return place


class FreeBsdSwitch(Switch):
    """An Open vSwitch whose devices end with it, as they do on Linux.

    On FreeBSD they stay, and the next ovs-vswitchd cannot make its bridges since their names are taken, which it tells
    nobody but its log (Open vSwitch 3.1: only "ovs-appctl exit --cleanup" takes them away). What is restarted here is
    a switch whose administrator knows that.
    """

    _stack: FreeBsdStack

    def _end(self, name: str, *, kill: bool) -> None:
        pid = self._pid(name)
        left = held_by(pid, self._stack.run("ifconfig", "-a")) if pid is not None else []
        super()._end(name, kill=kill)
        self._stack.script(*(f"ifconfig {device} destroy 2>/dev/null || true" for device in left))


def held_by(pid: int, said: str) -> list[str]:
    """Return the devices that a process holds, by what ``ifconfig -a`` says."""
    found, device = [], ""
    for line in said.splitlines():
        head = _HEAD.match(line)
        if head:
            device = head[1]
        elif line.strip() == f"Opened by PID {pid}":
            found.append(device)
    return found
