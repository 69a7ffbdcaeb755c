"""Virtual functions in rtnetlink's messages: what the kernel says of those of a card, and the request that sets one.

pyroute2 has the numbers. The messages are packed and read here, as those of :mod:`~refnet.netdev.linux.link` are. What
is sent and comes back are the structures of linux/if_link.h (``ifla_vf_mac``, ``ifla_vf_vlan_info``, …), and each
begins with the number of the virtual function.
"""

from __future__ import annotations

import dataclasses
import struct
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pyroute2.netlink.rtnl import RTM_GETLINK, RTM_NEWLINK
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from refnet.errors import KernelRefused
from refnet.netdev.linux.link import IFINFO
from refnet.netdev.linux.netlink import Request, attributes, pack
from refnet.netdev.model import LinkState

#: 802.1Q's number of protocol; a card may also be told to use 802.1ad's.
DOT1Q = 0x8100

#: Tell of virtual functions, and leave out counters, also theirs (``RTEXT_FILTER_VF``, ``RTEXT_FILTER_SKIP_STATS``).
_MASK = 1 << 0 | 1 << 3
_NUMBER = {entry[0]: number for number, entry in enumerate(ifinfmsg.nla_map)}
_OF_FUNCTION = {entry[0]: number for number, entry in enumerate(ifinfmsg.vflist.vfinfo.nla_map)}
_IFNAME, _EXT_MASK = _NUMBER["IFLA_IFNAME"], _NUMBER["IFLA_EXT_MASK"]
_COUNT, _LIST = _NUMBER["IFLA_NUM_VF"], _NUMBER["IFLA_VFINFO_LIST"]
_PERMANENT, _PORT = _NUMBER["IFLA_PERM_ADDRESS"], _NUMBER["IFLA_PHYS_PORT_NAME"]
_PARENT, _PARENT_BUS = _NUMBER["IFLA_PARENT_DEV_NAME"], _NUMBER["IFLA_PARENT_DEV_BUS_NAME"]
_WANTED = frozenset({_IFNAME, _COUNT, _LIST, _PERMANENT, _PORT, _PARENT, _PARENT_BUS})
_MAC, _VLANS = _OF_FUNCTION["IFLA_VF_MAC"], _OF_FUNCTION["IFLA_VF_VLAN_LIST"]
_TRUST, _SPOOF_CHECK = _OF_FUNCTION["IFLA_VF_TRUST"], _OF_FUNCTION["IFLA_VF_SPOOFCHK"]
_LINK_STATE = _OF_FUNCTION["IFLA_VF_LINK_STATE"]
#: The one kind of entry in each list: IFLA_VF_INFO, IFLA_VF_VLAN_INFO.
_ENTRY = 1

_MAC_ENTRY, _SETTING = struct.Struct("=I32s"), struct.Struct("=II")
#: The protocol is in network byte order.
_VLAN_ENTRY, _VLAN_PROTOCOL = struct.Struct("=III"), struct.Struct("!H2x")
_LINK_STATES = (LinkState.AUTO, LinkState.ENABLE, LinkState.DISABLE)
#: The list is one attribute, whose length has 16 bits.
_FULL = 0xFF00


@dataclass(frozen=True, slots=True)
class Function:
    """How a virtual function is set. ``protocol`` is that of its VLAN. What the card does not tell is None."""

    mac_address: str
    vlan: int = 0
    qos: int = 0
    protocol: int = DOT1Q
    link_state: LinkState | None = None
    spoof_check: bool | None = None
    trusted: bool | None = None

    def over(self, now: Function) -> Function:
        """Return what a virtual function that is set as ``now`` comes to by setting all that this one tells."""
        told = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return dataclasses.replace(now, **{name: value for name, value in told.items() if value is not None})


@dataclass(frozen=True, slots=True)
class Card:
    """A physical function: its device, its place on its bus if the kernel tells it, and its virtual functions.

    ``identity`` tells it from all other cards of this host, wherever it is and whatever its name; it is empty where the
    kernel tells nothing of the kind (Linux before 5.14).
    """

    index: int
    name: str
    parent: str | None
    identity: str
    functions: Mapping[int, Function]


def get(name: str) -> Request:
    """Ask for a device with its virtual functions."""
    body = IFINFO.pack(0, 0, 0, 0, 0) + pack(_IFNAME, name.encode() + b"\0")
    return Request(RTM_GETLINK, body + pack(_EXT_MASK, struct.pack("=I", _MASK)), flags=0)


def parse(body: bytes) -> Card:
    """Read the answer.

    Raises:
        KernelRefused: there are more virtual functions than go into it.
    """
    _, _, index, _, _ = IFINFO.unpack_from(body)
    found = attributes(body, IFINFO.size, _WANTED)
    functions = dict(_functions(found.get(_LIST, b"")))
    count = int.from_bytes(found.get(_COUNT, b""), sys.byteorder) if _LIST in found else 0
    name = _text(found.get(_IFNAME)) or ""
    if len(functions) < count and len(body) >= _FULL:
        raise KernelRefused(
            f"{name} has {count} virtual functions, and an answer of the kernel's holds about 300", device=name
        )
    parent, bus = _text(found.get(_PARENT)), _text(found.get(_PARENT_BUS))
    # Two ports of one card may be at the same place on the bus: their addresses or their names are different.
    marks = (bus, parent, found.get(_PERMANENT, b"").hex(), _text(found.get(_PORT))) if parent else ()
    return Card(index, name, parent, "-".join(filter(None, marks)), functions)


def change(index: int, number: int, now: Function, wanted: Function) -> Request:
    """Ask for what is different in ``wanted``. The kernel carries it out part by part, in an order of its own."""
    parts = []
    if wanted.mac_address != now.mac_address:
        parts.append(pack(_MAC, _MAC_ENTRY.pack(number, bytes.fromhex(wanted.mac_address.replace(":", "")))))
    if (wanted.vlan, wanted.qos, wanted.protocol) != (now.vlan, now.qos, now.protocol):
        tag = _VLAN_ENTRY.pack(number, wanted.vlan, wanted.qos) + _VLAN_PROTOCOL.pack(wanted.protocol)
        parts.append(pack(_VLANS, pack(_ENTRY, tag)))
    settings = (
        (_SPOOF_CHECK, now.spoof_check, wanted.spoof_check),
        (_LINK_STATE, _state_number(now), _state_number(wanted)),
        (_TRUST, now.trusted, wanted.trusted),
    )
    parts += [
        pack(attribute, _SETTING.pack(number, new))
        for attribute, old, new in settings
        if new is not None and new != old
    ]
    return Request(RTM_NEWLINK, IFINFO.pack(0, 0, index, 0, 0) + pack(_LIST, pack(_ENTRY, b"".join(parts))))


def attempt() -> Request:
    """Ask for what the kernel must refuse: the loopback, which has number 1 in every namespace, has no functions."""
    return change(1, 0, Function("", trusted=False), Function("", trusted=True))


def _functions(data: bytes) -> Iterator[tuple[int, Function]]:
    # All entries have the same number, and so cannot be read by it.
    offset = 0
    while offset + 4 <= len(data):
        (length,) = struct.unpack_from("=H", data, offset)
        if length < 4 or offset + length > len(data):  # the rest is cut off
            return
        found = attributes(data[offset + 4 : offset + length])
        offset += (length + 3) & ~3
        if _MAC not in found:
            continue
        number, mac = _MAC_ENTRY.unpack_from(found[_MAC])
        vlan, qos, protocol = _vlan(attributes(found.get(_VLANS, b"")).get(_ENTRY))
        state = _setting(found.get(_LINK_STATE))
        yield (
            number,
            Function(
                mac_address=mac[:6].hex(":"),
                vlan=vlan,
                qos=qos,
                protocol=protocol,
                link_state=_LINK_STATES[state] if state is not None and state < len(_LINK_STATES) else None,
                spoof_check=_flag(found.get(_SPOOF_CHECK)),
                trusted=_flag(found.get(_TRUST)),
            ),
        )


def _vlan(entry: bytes | None) -> tuple[int, int, int]:
    if entry is None:
        return 0, 0, DOT1Q
    _, vlan, qos = _VLAN_ENTRY.unpack_from(entry)
    (protocol,) = _VLAN_PROTOCOL.unpack_from(entry, _VLAN_ENTRY.size)
    # Without a VLAN there is nothing that the protocol could be of: some cards' drivers say 0 then, and take none.
    return vlan, qos, protocol if vlan and protocol else DOT1Q


def _setting(entry: bytes | None) -> int | None:
    return int(_SETTING.unpack(entry)[1]) if entry is not None else None


def _flag(entry: bytes | None) -> bool | None:
    # All bits are set where a card's driver does not know the setting.
    return {0: False, 1: True}.get(_setting(entry) if entry is not None else -1)  # type: ignore[arg-type]


def _state_number(function: Function) -> int | None:
    return _LINK_STATES.index(function.link_state) if function.link_state is not None else None


def _text(value: bytes | None) -> str | None:
    return value.rstrip(b"\0").decode(errors="surrogateescape") if value is not None else None
