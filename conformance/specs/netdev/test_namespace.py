"""Threads that change their network stack, as on Linux; on FreeBSD a process enters a jail whole, and for good."""

from __future__ import annotations

import fcntl
import os

from conformance.harness import DriverUnderTest
from conformance.spec import spec
from conformance.system import LINUX
from conformance.topology.linux.sandbox import LinuxSandbox
from refnet.netdev.driver import Capability

BRIDGE = Capability.BRIDGE


@spec(
    "ER-04",
    "Existence is asked in the network stack of the calling thread, also when that has changed.",
    capability=BRIDGE,
    systems=(LINUX,),
)
def test_callers_stack(netdev: DriverUnderTest, net: LinuxSandbox) -> None:
    netdev.create_bridge("br0")
    other = net.neighbour("other")
    with other.entered():
        here = netdev.device_exists("br0")
    assert not here, "device_exists('br0') is True in a network stack that has no br0"
    assert netdev.device_exists("br0"), "device_exists('br0') is False after a look at another network stack"
    other.ip("link add name only-there type bridge")
    assert not netdev.device_exists("only-there"), "device_exists shows a device of another network stack"
    with other.entered():
        assert netdev.device("only-there").name == "only-there", "device() does not see the caller's stack"


@spec(
    "CL-07",
    "A driver holds on to no network stack that its caller has left.",
    level="full",
    capability=BRIDGE,
    systems=(LINUX,),
)
def test_left_stacks(netdev: DriverUnderTest, net: LinuxSandbox) -> None:
    netdev.create_bridge("br0")
    other = net.neighbour("other")
    with other.entered():
        netdev.device_exists("br0")
    netdev.device_exists("br0")
    sockets = [_namespace_of(number) for number in _socket_descriptors()]
    there = os.fstat(other.namespace).st_ino
    assert there not in sockets, "the driver still has a socket in a network stack that its caller has left"


def _socket_descriptors() -> list[int]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                found.append(int(name))
        except OSError:
            continue
    return found


def _namespace_of(descriptor: int) -> int | None:
    """Return the inode of a socket's network namespace (ioctl SIOCGSKNS)."""
    try:
        namespace = fcntl.ioctl(descriptor, 0x894C)
    except OSError:
        return None
    try:
        return os.fstat(namespace).st_ino
    finally:
        os.close(namespace)
