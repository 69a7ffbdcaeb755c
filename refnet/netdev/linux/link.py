"""Links on Linux: what the kernel says of one, and the requests about them.

pyroute2 knows the messages: it encodes those with nested parts, and it is the source of all attributes' numbers. The
flat requests, which are most of them, are packed here with its numbers, since its encoder takes longer for them than
the kernel does. For the same reason only what is needed is read from an answer.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyroute2.netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL
from pyroute2.netlink.rtnl import RTM_DELLINK, RTM_GETLINK, RTM_NEWLINK
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from refnet.netdev.driver import Kind
from refnet.netdev.linux.netlink import HEADER, Request, attributes, pack

#: ``ifinfomsg``: family, device type, index, flags, mask of flags to change.
IFINFO = struct.Struct("=BxHiII")
_U32 = struct.Struct("=I")

IFF_UP = 0x1
IFF_LOOPBACK = 0x8
IFF_LOWER_UP = 0x10000
ARPHRD_ETHER = 1

#: Attributes by pyroute2's names, with the values that its encoder takes.
Properties = list[tuple[str, Any]]

#: Leave the counters out of an answer (``RTEXT_FILTER_SKIP_STATS``): most of its bytes.
_SKIP_STATISTICS = 1 << 3

# linux/if_link.h. pyroute2 knows the numbers by name for encoding; reading takes the same ones.
_NUMBER = {entry[0]: number for number, entry in enumerate(ifinfmsg.nla_map)}
_IFNAME, _ADDRESS, _MTU = _NUMBER["IFLA_IFNAME"], _NUMBER["IFLA_ADDRESS"], _NUMBER["IFLA_MTU"]
_MASTER, _LINK, _LINKINFO = _NUMBER["IFLA_MASTER"], _NUMBER["IFLA_LINK"], _NUMBER["IFLA_LINKINFO"]
_LINK_NETNSID = _NUMBER["IFLA_LINK_NETNSID"]
_PROMISCUITY = _NUMBER["IFLA_PROMISCUITY"]
_WANTED = frozenset({_IFNAME, _ADDRESS, _MTU, _MASTER, _LINK, _LINKINFO, _LINK_NETNSID, _PROMISCUITY})
_INFO_KIND, _INFO_DATA = 1, 2
_VLAN_ID, _VLAN_PROTOCOL = 1, 5
_TUN_OWNER, _TUN_GROUP, _TUN_TYPE, _TUN_PERSIST, _TUN_MULTI_QUEUE = 1, 2, 3, 6, 7
_TUN_TYPE_TAP = 2
_ETH_P_8021Q = b"\x81\x00"

_KINDS = {b"bridge\0": Kind.BRIDGE, b"vlan\0": Kind.VLAN, b"veth\0": Kind.VETH}


@dataclass(frozen=True, slots=True)
class Link:
    """A link as the kernel described it; ``below`` is the index of a VLAN's parent or of a virtual cable's peer."""

    index: int
    name: str
    kind: Kind
    mac_address: str | None
    mtu: int
    flags: int
    master: int = 0
    below: int = 0
    below_elsewhere: bool = False
    #: How many, in the kernel or out of it, have asked for all of its frames.
    promiscuity: int = 0
    #: The kind's own attributes, by number.
    data: Mapping[int, bytes] = field(default_factory=dict)

    @property
    def up(self) -> bool:
        """Whether it is administratively up."""
        return bool(self.flags & IFF_UP)

    @property
    def carrier(self) -> bool:
        """Whether the link is there."""
        return bool(self.flags & IFF_LOWER_UP)

    @property
    def vlan_id(self) -> int:
        """The tag of a VLAN device."""
        return _unsigned(self.data[_VLAN_ID])

    @property
    def is_dot1q(self) -> bool:
        """Whether a VLAN device uses 802.1Q, and not 802.1ad."""
        return self.data.get(_VLAN_PROTOCOL, _ETH_P_8021Q) == _ETH_P_8021Q

    @property
    def multi_queue(self) -> bool:
        """Whether a tap takes several users at once."""
        return _unsigned(self.data.get(_TUN_MULTI_QUEUE, b"\0")) != 0

    @property
    def persistent(self) -> bool:
        """Whether a tap outlives its users."""
        return _unsigned(self.data.get(_TUN_PERSIST, b"\0")) != 0

    @property
    def owner(self) -> int | None:
        """The user who may open a tap without privilege."""
        return _unsigned(self.data[_TUN_OWNER]) if _TUN_OWNER in self.data else None

    @property
    def group(self) -> int | None:
        """The group whose members may open a tap without privilege."""
        return _unsigned(self.data[_TUN_GROUP]) if _TUN_GROUP in self.data else None


def parse(body: bytes) -> Link:
    """Read the body of an ``RTM_NEWLINK`` message."""
    _, device_type, index, flags, _ = IFINFO.unpack_from(body)
    found = attributes(body, IFINFO.size, _WANTED)
    info = attributes(found.get(_LINKINFO, b""))
    data = attributes(info.get(_INFO_DATA, b""))
    mac = found.get(_ADDRESS, b"")
    return Link(
        index=index,
        name=found[_IFNAME].rstrip(b"\0").decode(errors="surrogateescape"),
        kind=_kind(info.get(_INFO_KIND, b""), data, device_type, flags),
        mac_address=mac.hex(":") if len(mac) == 6 else None,
        mtu=_unsigned(found[_MTU]),
        flags=flags,
        master=_unsigned(found.get(_MASTER, b"")),
        below=_unsigned(found.get(_LINK, b"")),
        below_elsewhere=_LINK_NETNSID in found,
        promiscuity=_unsigned(found.get(_PROMISCUITY, b"")),
        data=data,
    )


def get(*, name: str | None = None, index: int = 0) -> Request:
    """Ask for one link, by name or by index."""
    wanted: Properties = [("IFLA_IFNAME", name)] if name is not None else []
    return Request(RTM_GETLINK, _flat([*wanted, ("IFLA_EXT_MASK", _SKIP_STATISTICS)], index), flags=0)


def list_ports(master: int) -> Request:
    """Ask for the links that have a given master."""
    return Request(RTM_GETLINK, _flat([("IFLA_MASTER", master), ("IFLA_EXT_MASK", _SKIP_STATISTICS)]), flags=0)


def list_kind(kind: str) -> Request:
    """Ask for the links of a given kind (the kernel's word for it)."""
    info = {"attrs": [("IFLA_INFO_KIND", kind)]}
    return Request(RTM_GETLINK, _nested([("IFLA_LINKINFO", info), ("IFLA_EXT_MASK", _SKIP_STATISTICS)]), flags=0)


def create(
    name: str, kind: str, data: Sequence[tuple[str, Any]] = (), properties: Sequence[tuple[str, Any]] = ()
) -> Request:
    """Create a link, up, or be refused because the name is taken."""
    flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL
    wanted: Properties = [("IFLA_IFNAME", name), *properties]
    if not data:
        body = _flat([*wanted, ("IFLA_LINKINFO", pack(_INFO_KIND, kind.encode() + b"\0"))], 0, IFF_UP, IFF_UP)
        return Request(RTM_NEWLINK, body, flags)
    info = {"attrs": [("IFLA_INFO_KIND", kind), ("IFLA_INFO_DATA", {"attrs": list(data)})]}
    return Request(RTM_NEWLINK, _nested([*wanted, ("IFLA_LINKINFO", info)], 0, IFF_UP, IFF_UP), flags)


def change(
    properties: Sequence[tuple[str, Any]] = (),
    *,
    name: str | None = None,
    index: int = 0,
    up: bool | None = None,
    kind: str | None = None,
    data: Sequence[tuple[str, Any]] = (),
) -> Request:
    """Change what is given of the link by that name or index; ``data`` belongs to its ``kind``."""
    wanted: Properties = [("IFLA_IFNAME", name)] if name is not None else []
    wanted += properties
    flags, mask = IFF_UP if up else 0, 0 if up is None else IFF_UP
    if not data:
        return Request(RTM_NEWLINK, _flat(wanted, index, flags, mask))
    info = {"attrs": [("IFLA_INFO_KIND", kind), ("IFLA_INFO_DATA", {"attrs": list(data)})]}
    return Request(RTM_NEWLINK, _nested([*wanted, ("IFLA_LINKINFO", info)], index, flags, mask))


def delete(*, name: str | None = None, index: int = 0) -> Request:
    """Delete the link by that name or index."""
    return Request(RTM_DELLINK, _flat([("IFLA_IFNAME", name)] if name is not None else [], index))


def _flat(properties: Properties, index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    packed = [IFINFO.pack(0, 0, index, flags, change)]
    for key, value in properties:
        if key == "IFLA_IFNAME":
            raw = value.encode() + b"\0"
        elif key == "IFLA_ADDRESS":
            raw = bytes.fromhex(value.replace(":", ""))
        elif isinstance(value, bytes):
            raw = value
        else:
            raw = _U32.pack(value)
        packed.append(pack(_NUMBER[key], raw))
    return b"".join(packed)


def _nested(properties: Properties, index: int = 0, flags: int = 0, change: int = 0) -> Callable[[], bytes]:
    def encode() -> bytes:
        message = ifinfmsg()
        message["index"] = index
        message["flags"] = flags
        message["change"] = change
        message["attrs"] = properties
        message.encode()
        return bytes(message.data[HEADER.size :])

    return encode


def _kind(kind: bytes, data: Mapping[int, bytes], device_type: int, flags: int) -> Kind:
    if kind == b"tun\0":
        return Kind.TAP if _unsigned(data.get(_TUN_TYPE, b"")) == _TUN_TYPE_TAP else Kind.TUN
    if kind:
        return _KINDS.get(kind, Kind.OTHER)
    if flags & IFF_LOOPBACK:
        return Kind.LOOPBACK
    return Kind.ETHERNET if device_type == ARPHRD_ETHER else Kind.OTHER


def _unsigned(value: bytes) -> int:
    return int.from_bytes(value, sys.byteorder)
