"""Which datapaths of Open vSwitch there are here: asked of the kernel, since the switch tells it in its log alone."""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

#: ``nlmsghdr`` with ``genlmsghdr`` behind it (linux/genetlink.h).
_HEADER = struct.Struct("=IHHIIBBH")
_ATTRIBUTE = struct.Struct("=HH")
_REQUEST = 0x1
_ERROR = 2
# linux/genetlink.h: the family that knows the others, its request for one, and the attribute with a name.
_CONTROLLER, _GET_FAMILY, _FAMILY_NAME = 0x10, 3, 2
_NETLINK_GENERIC = 16
#: The family of the datapath (linux/openvswitch.h, OVS_DATAPATH_FAMILY).
_FAMILY = "ovs_datapath"
#: Seconds; the kernel may load a module meanwhile.
_TIME_LIMIT = 30
_TUN = Path("/dev/net/tun")


def lacks_datapath(datapath_type: str, known: Sequence[str]) -> str | None:
    """Say why there are no bridges of a type, None where there are; ``known`` are those that the switch knows."""
    if known and datapath_type not in known:
        return f"this Open vSwitch has no datapath of type {datapath_type!r} (it has: {', '.join(sorted(known))})"
    if datapath_type == "system":
        return _lacks_kernel_datapath()
    return _lacks_tun() if sys.platform == "linux" else None


def _lacks_tun() -> str | None:
    """Try what a bridge's own device is made of where the switch does the forwarding itself."""
    try:
        os.close(os.open(_TUN, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"{_TUN}, of which a bridge's own device is made, cannot be opened: {error.strerror}"
    return None


def _lacks_kernel_datapath() -> str | None:
    """Ask for the family; the kernel loads the module for who asks, if it has it."""
    if sys.platform != "linux":
        return "the kernel of this system has no Open vSwitch"
    name = _FAMILY.encode() + b"\0"
    attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(name), _FAMILY_NAME) + name + bytes(-len(name) % 4)
    length = _HEADER.size + len(attribute)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_GENERIC) as channel:
            channel.settimeout(_TIME_LIMIT)
            channel.send(_HEADER.pack(length, _CONTROLLER, _REQUEST, 1, 0, _GET_FAMILY, 1, 0) + attribute)
            answer = channel.recv(1 << 16)
    except OSError as error:
        return f"the kernel's generic netlink cannot be asked: {error.strerror or error}"
    (kind,) = struct.unpack_from("=H", answer, 4)
    if kind != _ERROR:
        return None
    (number,) = struct.unpack_from("=i", answer, 16)
    return f"the kernel has no Open vSwitch ({os.strerror(-number)}), and loads no module 'openvswitch' for it"
