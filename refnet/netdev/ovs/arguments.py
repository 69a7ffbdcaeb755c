"""What callers may ask of ports and bridges of Open vSwitch, checked before anything is done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from refnet import names
from refnet.errors import InvalidArgument
from refnet.netdev.model import VlanMode
from refnet.netdev.ovs.plan import Vlan

#: Types of interfaces that have a device of the system, and such that a hypervisor reaches through a socket.
SYSTEM, INTERNAL = "", "internal"
VHOST_USER, VHOST_USER_CLIENT = "dpdkvhostuser", "dpdkvhostuserclient"
_TYPES = (SYSTEM, INTERNAL, VHOST_USER, VHOST_USER_CLIENT)

_NATIVE = (VlanMode.NATIVE_TAGGED, VlanMode.NATIVE_UNTAGGED)


def vlan(tag: int | None, trunks: Sequence[int], vlan_mode: VlanMode | str | None) -> Vlan:
    """Return what a port does with tags, as the database has it.

    Open vSwitch takes a tag with trunks for an access port, and looks at the trunks no more (ovs-vswitchd.conf.db(5),
    Port, vlan_mode): what is meant is written out.
    """
    tag = names.switch_tag(tag) if tag is not None else None
    if isinstance(trunks, str | bytes) or not hasattr(trunks, "__iter__"):
        raise InvalidArgument(f"trunks {names.shown(trunks)} are not a sequence of VLAN tags such as (10, 20)")
    carried = tuple(sorted({names.switch_tag(one) for one in trunks}))
    mode = one_of(vlan_mode, "vlan_mode", tuple(VlanMode)) if vlan_mode is not None else None
    chosen = VlanMode(mode) if mode is not None else None
    if chosen is None and tag is not None and carried:
        chosen = VlanMode.NATIVE_UNTAGGED
    if chosen in (VlanMode.ACCESS, *_NATIVE) and tag is None:
        raise InvalidArgument(f"vlan_mode {chosen} is about a tag: give one")
    if chosen is VlanMode.ACCESS and carried:
        raise InvalidArgument(f"vlan_mode {chosen} carries one tag, and trunks were given")
    return Vlan(tag, carried, chosen)


def vlan_if_any(tag: int | None, trunks: Sequence[int], vlan_mode: VlanMode | str | None) -> Vlan | None:
    """Return the same; None where none of the three is given."""
    found = vlan(tag, trunks, vlan_mode)
    return None if found == Vlan() else found


def interface_type(value: object) -> str:
    """Return a type of interface that refnet makes; None and "system" are a device of the system."""
    if value is None or value == "system":
        return SYSTEM
    return one_of(value, "interface_type", _TYPES)


def ids(iface_id: object, mac_address: object, instance_id: object) -> dict[str, str]:
    """Return what identifies a virtual interface, by the keys that controllers look for."""
    found = {
        "iface-id": names.identifier(iface_id, "iface_id"),
        "iface-status": "active",
        "attached-mac": names.mac_address(mac_address),
    }
    if instance_id is not None:
        found["vm-uuid"] = names.identifier(instance_id, "instance_id")
    return found


def some_ids(iface_id: object, mac_address: object, instance_id: object) -> dict[str, str] | None:
    """Return the ids that are given of a port that need not have any; None where none is."""
    found = {}
    if iface_id is not None:
        found.update({"iface-id": names.identifier(iface_id, "iface_id"), "iface-status": "active"})
    if mac_address is not None:
        found["attached-mac"] = names.mac_address(mac_address)
    if instance_id is not None:
        found["vm-uuid"] = names.identifier(instance_id, "instance_id")
    return found or None


def one_of(value: object, what: str, possible: Sequence[Any]) -> str:
    """Return a word that is one of those possible."""
    if isinstance(value, str):
        for word in possible:
            if value == word:
                return str(word)
    raise InvalidArgument(f"{what} {names.shown(value)} is none of: {', '.join(repr(str(word)) for word in possible)}")
