"""Links on Linux: what the kernel says of one, and the requests about them, encoded by pyroute2."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyroute2.netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL
from pyroute2.netlink.rtnl import RTM_DELLINK, RTM_GETLINK, RTM_NEWLINK
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from refnet.netdev.driver import Kind
from refnet.netdev.linux.netlink import HEADER, Request, attributes

#: ``ifinfomsg``: family, device type, index, flags, mask of flags to change.
IFINFO = struct.Struct("=BxHiII")

IFF_UP = 0x1
IFF_LOOPBACK = 0x8
IFF_LOWER_UP = 0x10000
ARPHRD_ETHER = 1

#: Leave the counters out of an answer (``RTEXT_FILTER_SKIP_STATS``): most of its bytes.
_SKIP_STATISTICS = 1 << 3

# linux/if_link.h. pyroute2 knows the numbers by name for encoding; reading takes the same ones.
_NUMBER = {entry[0]: number for number, entry in enumerate(ifinfmsg.nla_map)}
_IFNAME, _ADDRESS, _MTU = _NUMBER["IFLA_IFNAME"], _NUMBER["IFLA_ADDRESS"], _NUMBER["IFLA_MTU"]
_MASTER, _LINK, _LINKINFO = _NUMBER["IFLA_MASTER"], _NUMBER["IFLA_LINK"], _NUMBER["IFLA_LINKINFO"]
_LINK_NETNSID = _NUMBER["IFLA_LINK_NETNSID"]
_INFO_KIND, _INFO_DATA = 1, 2
_VLAN_ID, _VLAN_PROTOCOL = 1, 5
_TUN_OWNER, _TUN_GROUP, _TUN_TYPE, _TUN_PERSIST, _TUN_MULTI_QUEUE = 1, 2, 3, 6, 7
_TUN_TYPE_TAP = 2
_ETH_P_8021Q = b"\x81\x00"

_KINDS = {"bridge": Kind.BRIDGE, "vlan": Kind.VLAN, "veth": Kind.VETH}


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
    found = dict(attributes(body, IFINFO.size))
    info = dict(attributes(found.get(_LINKINFO, b"")))
    data = dict(attributes(info.get(_INFO_DATA, b"")))
    return Link(
        index=index,
        name=found[_IFNAME].rstrip(b"\0").decode(),
        kind=_kind(_text(info.get(_INFO_KIND, b"")), data, device_type, flags),
        mac_address=found[_ADDRESS].hex(":") if len(found.get(_ADDRESS, b"")) == 6 else None,
        mtu=_unsigned(found[_MTU]),
        flags=flags,
        master=_unsigned(found.get(_MASTER, b"")),
        below=_unsigned(found.get(_LINK, b"")),
        below_elsewhere=_LINK_NETNSID in found,
        data=data,
    )


def get(*, name: str | None = None, index: int = 0) -> Request:
    """Ask for one link, by name or by index."""
    wanted = [("IFLA_IFNAME", name)] if name is not None else []
    return Request(RTM_GETLINK, _encode([*wanted, ("IFLA_EXT_MASK", _SKIP_STATISTICS)], index=index), flags=0)


def list_ports(master: int) -> Request:
    """Ask for the links that have a given master."""
    return Request(RTM_GETLINK, _encode([("IFLA_MASTER", master), ("IFLA_EXT_MASK", _SKIP_STATISTICS)]), flags=0)


def list_kind(kind: str) -> Request:
    """Ask for the links of a given kind (the kernel's word for it)."""
    info = {"attrs": [("IFLA_INFO_KIND", kind)]}
    return Request(RTM_GETLINK, _encode([("IFLA_LINKINFO", info), ("IFLA_EXT_MASK", _SKIP_STATISTICS)]), flags=0)


def create(
    name: str, kind: str, data: Sequence[tuple[str, Any]] = (), properties: Sequence[tuple[str, Any]] = ()
) -> Request:
    """Create a link, up, or be refused because the name is taken."""
    info: list[tuple[str, Any]] = [("IFLA_INFO_KIND", kind)]
    if data:
        info.append(("IFLA_INFO_DATA", {"attrs": list(data)}))
    body = _encode(
        [("IFLA_IFNAME", name), *properties, ("IFLA_LINKINFO", {"attrs": info})], flags=IFF_UP, change=IFF_UP
    )
    return Request(RTM_NEWLINK, body, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL)


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
    wanted = list(properties)
    if data:
        wanted.append(
            ("IFLA_LINKINFO", {"attrs": [("IFLA_INFO_KIND", kind), ("IFLA_INFO_DATA", {"attrs": list(data)})]})
        )
    if name is not None:
        wanted.insert(0, ("IFLA_IFNAME", name))
    mask = 0 if up is None else IFF_UP
    return Request(RTM_NEWLINK, _encode(wanted, index=index, flags=IFF_UP if up else 0, change=mask))


def delete(*, name: str | None = None, index: int = 0) -> Request:
    """Delete the link by that name or index."""
    return Request(RTM_DELLINK, _encode([("IFLA_IFNAME", name)] if name is not None else [], index=index))


def _encode(wanted: list[tuple[str, Any]], *, index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    message = ifinfmsg()
    message["index"] = index
    message["flags"] = flags
    message["change"] = change
    message["attrs"] = wanted
    message.encode()
    return bytes(message.data[HEADER.size :])


def _kind(kind: str, data: Mapping[int, bytes], device_type: int, flags: int) -> Kind:
    if kind == "tun":
        return Kind.TAP if _unsigned(data.get(_TUN_TYPE, b"")) == _TUN_TYPE_TAP else Kind.TUN
    if kind:
        return _KINDS.get(kind, Kind.OTHER)
    if flags & IFF_LOOPBACK:
        return Kind.LOOPBACK
    return Kind.ETHERNET if device_type == ARPHRD_ETHER else Kind.OTHER


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="replace")


def _unsigned(value: bytes) -> int:
    return int.from_bytes(value, byteorder="little" if struct.pack("=H", 1)[0] else "big")
