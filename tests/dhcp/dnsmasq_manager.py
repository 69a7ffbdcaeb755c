"""What tests of a real dnsmasq's life share: its network, and what it and its processes say."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conformance.steps import watched
from refnet.dhcp import DhcpNetwork, Host, Range
from refnet.dhcp.dnsmasq import DnsmasqManager
from refnet.dhcp.dnsmasq.place import Place

BRIDGE, ADDRESS, ADDRESS6 = "br-life", "192.0.2.1/24", "2001:db8::1/64"
MAC, MAC2 = "52:54:00:00:00:01", "52:54:00:00:00:02"


def network(*hosts: Host, **fields: Any) -> DhcpNetwork:
    given = {"ranges": Range("192.0.2.100", "192.0.2.109"), **fields}
    return DhcpNetwork(BRIDGE, given.pop("addresses", ADDRESS), hosts=hosts, **given)


def pid(manager: DnsmasqManager) -> int:
    status = manager.running(BRIDGE)
    assert status.is_running, status
    assert status.pid is not None
    return status.pid


def said(place: Place) -> str:
    return place.log.read_text()


def servers(place: Place) -> set[int]:
    """Return all processes that have a server's arguments, those that it has forked as well."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if f"--pid-file={place.pid}".encode() in path.read_bytes().split(b"\0"):
                found.add(int(path.parent.name))
    return found


def query(name: str) -> bytes:
    """Ask the server for an IPv4 address, and return what it answers."""
    labels = b"".join(bytes([len(one)]) + one.encode() for one in name.split("."))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(30)
        asking.sendto(struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1", (ADDRESS[:-3], 53))
        return asking.recv(512)


def knows(name: str, address: str) -> bool:
    return query(name).endswith(socket.inet_aton(address))


def kill(server_pid: int) -> None:
    """Kill a server, and return when the kernel has closed what it had open."""
    descriptor = os.pidfd_open(server_pid)
    os.kill(server_pid, signal.SIGKILL)
    assert select.select([descriptor], [], [], 60)[0], "it does not die"
    os.close(descriptor)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def dies_at(step: int, directory: Path, call: Callable[[], object]) -> bool:
    """Have a child make a call and be killed at a step of it; return whether it came that far."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with watched(directory, step, kill=True):
                call()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, f"step {step}: the call failed by itself"
    return os.WIFSIGNALED(status)
