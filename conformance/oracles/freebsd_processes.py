"""Processes and sockets of a jail, by ps(1) and sockstat(1)."""

from __future__ import annotations

import os

from conformance.freebsd_shell import own_shell, run
from conformance.oracles.processes import Process, without_own

_LIST = ("ps", "-axww", "-o", "pid=", "-o", "ppid=", "-o", "jid=", "-o", "args=")
#: Jails below this one; a server may live in one that has its parent's network stack.
_JAILS = ("jls", "-n", "jid", "parent", "vnet")
#: How sockstat(1) begins lines of what is open for either family.
_PROTOCOLS = ("udp4", "udp6", "udp46", "tcp4", "tcp6", "tcp46")


def processes() -> list[Process]:
    """Return the processes in this network stack, without this one, those it descends from, and the suite's shell."""
    # First the processes: the jail of one that ends meanwhile goes with it.
    said = run(_LIST)
    return parsed(said, run(_JAILS), own=os.getpid(), shell=own_shell())


def parsed(said: str, jails: str, *, own: int, shell: int) -> list[Process]:
    """Return the processes that ps(1) lists and that are in the network stack of one of them, by what jls(8) lists."""
    lines = [line.split(None, 3) for line in said.splitlines()]
    here = {words[2] for words in lines if int(words[0]) == own}
    listed = [dict(word.split("=", 1) for word in line.split()) for line in jails.splitlines()]
    for jail in sorted(listed, key=lambda one: int(one["jid"])):
        # A jail's number is higher than its parent's.
        if jail["vnet"] != "new" and jail["parent"] in here:
            here.add(jail["jid"])
    found = [
        Process(int(words[0]), tuple(words[3].split()), int(words[1]))
        for words in lines
        if len(words) == 4 and words[2] in here and shell not in (int(words[0]), int(words[1]))
    ]
    return without_own(found, own)


def sockets(said: str) -> list[str]:
    """Return what ``sockstat -46l`` says as protocol and address: ``udp *:67``, ``tcp 10.9.0.1:53``."""
    found = []
    for words in map(str.split, said.splitlines()):
        at = next((number for number, word in enumerate(words) if word in _PROTOCOLS), None)
        if at is not None and len(words) > at + 1:
            found.append(f"{words[at][:3]} {words[at + 1]}")
    return sorted(found)
