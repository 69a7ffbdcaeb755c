"""The floor: what the kernel itself takes for a plug, asked by the fewest and smallest messages there can be.

The numbers are those of linux/rtnetlink.h, linux/if_link.h and linux/if_tun.h. Nothing is shared with refnet.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from collections.abc import Callable

from benchmarks import contenders

_HEADER = struct.Struct("=IHHII")
_IFINFO = struct.Struct("=BxHiII")
_IFREQ = struct.Struct("=16sH22x")

_RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK = 16, 17, 18
_REQUEST, _ACK, _EXCLUSIVE, _CREATE = 0x1, 0x4, 0x200, 0x400
_NLMSG_ERROR = 2
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_GROUP = 1, 3, 4, 10, 18, 27
_IFLA_EXT_MASK, _SKIP_STATISTICS = 29, 1 << 3
_IFLA_INFO_KIND = 1
_IFF_UP = 1
_TUNSETIFF, _TUNSETPERSIST = 0x400454CA, 0x400454CB
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000


class Kernel:
    """One netlink socket, and hand-packed requests on it."""

    def __init__(self) -> None:
        """Open the socket in the namespace that the thread is in."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))

    def create_bridge(self, name: str, mac: str) -> None:
        """Create a bridge, up."""
        body = (
            _IFINFO.pack(0, 0, 0, _IFF_UP, _IFF_UP)
            + _attribute(_IFLA_IFNAME, name.encode() + b"\0")
            + _attribute(_IFLA_ADDRESS, bytes.fromhex(mac.replace(":", "")))
            + _attribute(_IFLA_LINKINFO, _attribute(_IFLA_INFO_KIND, b"bridge\0"))
        )
        self._ask(_RTM_NEWLINK, _ACK | _CREATE | _EXCLUSIVE, body)

    def set_port(self, name: str, mac: str, mtu: int, master: int) -> None:
        """Give a device MAC address, MTU and master (an index), and set it up."""
        body = (
            _IFINFO.pack(0, 0, 0, _IFF_UP, _IFF_UP)
            + _attribute(_IFLA_IFNAME, name.encode() + b"\0")
            + _attribute(_IFLA_ADDRESS, bytes.fromhex(mac.replace(":", "")))
            + _attribute(_IFLA_MTU, struct.pack("=I", mtu))
            + _attribute(_IFLA_MASTER, struct.pack("=I", master))
        )
        self._ask(_RTM_NEWLINK, _ACK, body)

    def get(self, name: str) -> bytes:
        """Ask for one device, without its counters, and return the answer as it is."""
        body = (
            _IFINFO.pack(0, 0, 0, 0, 0)
            + _attribute(_IFLA_IFNAME, name.encode() + b"\0")
            + _attribute(_IFLA_EXT_MASK, struct.pack("=I", _SKIP_STATISTICS))
        )
        return self._ask(_RTM_GETLINK, 0, body)

    def set_group(self, name: str, group: int) -> None:
        """Put a device into a group of devices."""
        body = (
            _IFINFO.pack(0, 0, 0, 0, 0)
            + _attribute(_IFLA_IFNAME, name.encode() + b"\0")
            + _attribute(_IFLA_GROUP, struct.pack("=I", group))
        )
        self._ask(_RTM_NEWLINK, _ACK, body)

    def delete_group(self, group: int) -> None:
        """Delete all devices of a group."""
        body = _IFINFO.pack(0, 0, 0, 0, 0) + _attribute(_IFLA_GROUP, struct.pack("=I", group))
        self._ask(_RTM_DELLINK, _ACK, body)

    def _ask(self, message_type: int, flags: int, body: bytes) -> bytes:
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), message_type, _REQUEST | flags, 0, 0) + body)
        answer = self._socket.recv(1 << 16)
        if _HEADER.unpack_from(answer)[1] == _NLMSG_ERROR:
            (code,) = struct.unpack_from("=i", answer, _HEADER.size)
            if code:
                raise OSError(-code, os.strerror(-code))
        return answer


def create_tap(name: str) -> None:
    """Make a tap that outlives this process."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(descriptor, _TUNSETIFF, _IFREQ.pack(name.encode(), _IFF_TAP | _IFF_NO_PI))
    fcntl.ioctl(descriptor, _TUNSETPERSIST, 1)
    os.close(descriptor)


def start() -> Callable[[int], object]:
    """Open the socket."""
    kernel = Kernel()

    def plug(number: int) -> None:
        bridge, tap = contenders.bridge(number), contenders.tap(number)
        kernel.create_bridge(bridge, contenders.bridge_mac(number))
        create_tap(tap)
        # One ioctl: less than any answer on netlink would take.
        master = socket.if_nametoindex(bridge)
        kernel.set_port(tap, contenders.tap_mac(number), contenders.MTU, master)

    return plug


def _attribute(number: int, value: bytes) -> bytes:
    return struct.pack("=HH", len(value) + 4, number) + value + bytes(-len(value) % 4)
