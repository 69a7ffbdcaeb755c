"""What a call writes into Open vSwitch's database: from rows as they are to operations of RFC 7047, doing nothing.

Each plan begins with what it takes for granted (``wait`` operations with no patience): where somebody else has been
quicker the transaction changes nothing, and the plan is made anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from refnet.errors import AlreadyEnslaved, Mismatch, NoSuchDevice, SwitchRefused, WrongKind
from refnet.netdev.model import VlanMode
from refnet.netdev.ovs.operations import (
    Operations,
    configured,
    differing,
    exists,
    insert,
    is_port,
    map_mutations,
    mutate,
    new,
    unchanged,
    update,
)
from refnet.netdev.ovs.records import Json, Port, Record, View, as_map, as_set, failure, optional, reference

#: The ids that a port of a virtual interface carries (Open vSwitch's Documentation/topics/integration.rst).
_IDS = ("iface-id", "iface-status", "attached-mac", "vm-uuid")
#: A type that no switch knows: of an interface whose device the switch is to let go of (:func:`parted`).
REPLACED = "refnet-replaced"


@dataclass(frozen=True, slots=True)
class Vlan:
    """What a port does with tags, as the database has it."""

    tag: int | None = None
    trunks: tuple[int, ...] = ()
    mode: VlanMode | None = None

    def columns(self) -> dict[str, Json]:
        """Return the columns of the port."""
        return {
            "tag": optional(self.tag),
            "trunks": as_set(self.trunks),
            "vlan_mode": optional(None if self.mode is None else self.mode.value),
        }


@dataclass(frozen=True, slots=True)
class Wanted:
    """A port as it is to be. ``ids`` are all that it has of :data:`_IDS`; None, also of the others, leaves it."""

    name: str
    interface_type: str = ""
    vlan: Vlan | None = None
    ids: Mapping[str, str] | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    mac: str | None = None
    mtu: int | None = None

    def columns(self) -> dict[str, Json]:
        """Return the columns of the interface that are not maps."""
        found: dict[str, Json] = {"type": self.interface_type}
        if self.mac is not None:
            found["mac"] = self.mac
        if self.mtu is not None:
            found["mtu_request"] = self.mtu
        return found


# -- ports ----------------------------------------------------------------------------------------------


def port(view: View, bridge: str, wanted: Wanted, *, mend: bool = True) -> Operations:
    """Plan a port of a bridge: made, changed where it differs, or made anew where the switch has given it up.

    Without ``mend`` one that it has given up stays: its device is still to come.

    Raises: what :func:`own_port` raises.
    """
    holder = needed_bridge(view, bridge)
    there = own_port(view, holder, wanted.name)
    if there is None:
        return [exists(holder), *insert(wanted.name, holder, *_rows(wanted))]
    if not mend or is_parted(there) or failure(there.interface) is None:
        return _changes(there, wanted)
    return _made_anew(there, wanted)


def cable(view: View, bridge: str, near: Wanted, peer_bridge: str, far: Wanted) -> Operations:
    """Plan two ends that have each other as their peer.

    Raises:
        NoSuchDevice: one of the bridges is not there.
        Mismatch: one of the names is taken.
        SwitchRefused: the bridges have different datapaths, which no cable joins.
    """
    holders = needed_bridge(view, bridge), needed_bridge(view, peer_bridge)
    types = [str(holder.columns["datapath_type"]) or "system" for holder in holders]
    if types[0] != types[1]:
        raise SwitchRefused(
            f"{bridge} has a datapath of type {types[0]!r} and {peer_bridge} one of type {types[1]!r}: "
            "patch ports join bridges of one datapath"
        )
    found: Operations = []
    for holder, wanted in zip(holders, (near, far), strict=True):
        there = view.port_of_interface(wanted.name) or view.port(wanted.name)
        peer = wanted.options["peer"]
        if view.bridge(wanted.name) is not None or (there is not None and not _is_end(there, holder, peer)):
            raise Mismatch(
                f"{wanted.name} is taken: it is not an end of a cable from {holder.name} to {peer}", device=wanted.name
            )
        # What the far end does with tags is not this call's.
        if there is None:
            found += port(view, holder.name, wanted)
        elif wanted is near:
            found += _changes(there, wanted)
    return found


def _is_end(there: Port, bridge: Record, peer: str) -> bool:
    interface = there.interface
    return (
        there.bridge.uuid == bridge.uuid
        and len(there.interfaces) == 1
        and interface.columns["type"] == "patch"
        and interface.map("options").get("peer") == peer
    )


def own_port(view: View, bridge: Record, name: str) -> Port | None:
    """Return the bridge's port of that name, None where the name is free.

    Raises:
        WrongKind: it is a bridge.
        AlreadyEnslaved: another bridge has it.
        Mismatch: it is part of a bond.
    """
    if view.bridge(name) is not None:
        raise WrongKind(f"{name} is a bridge of Open vSwitch, and so no port of another", device=name)
    there = view.port_of_interface(name) or view.port(name)
    if there is None:
        return None
    if there.bridge.uuid != bridge.uuid:
        raise AlreadyEnslaved(
            f"{name} is a port of {there.bridge.name}, not of {bridge.name}: delete it there first",
            master=there.bridge.name,
            device=name,
        )
    not_a_bond(there, name)
    return there


def not_a_bond(there: Port, name: str) -> None:
    if len(there.interfaces) > 1 or there.name != name:
        members = ", ".join(sorted(one.name for one in there.interfaces))
        raise Mismatch(f"port {there.name} is a bond of {members}: refnet makes and changes none", device=name)


def needed_bridge(view: View, name: str) -> Record:
    found = view.bridge(name)
    if found is None:
        raise NoSuchDevice(f"Open vSwitch has no bridge {name}", device=name)
    return found


def needed_port(view: View, name: str) -> Port:
    found = view.port(name)
    if found is None:
        raise NoSuchDevice(f"Open vSwitch has no port {name}", device=name)
    return found


def vlan(there: Port, wanted: Vlan) -> Operations:
    """Plan what a port does with tags."""
    changed = differing(there.record, wanted.columns())
    return [is_port(there), update("Port", there.record, changed)] if changed else []


def interface_type(there: Port, wanted: str) -> Operations:
    """Plan another type of a port's interface."""
    changed = differing(there.interface, {"type": wanted})
    return [is_port(there), update("Interface", there.interface, changed)] if changed else []


def parted(there: Port) -> Operations:
    """Plan that the switch lets go of a port's device, while the port stays with all that is configured of it.

    One that another call has seen to meanwhile has another number, or another device.
    """
    changes = interface_type(there, REPLACED)
    return [unchanged("Interface", there.interface, "ofport", "ifindex"), *changes] if changes else []


def is_parted(there: Port) -> bool:
    return bool(there.interface.columns["type"] == REPLACED)


def without_port(there: Port) -> Operations:
    """Plan the end of a port: a row that nothing refers to is deleted by the database."""
    return [is_port(there), mutate("Bridge", there.bridge, ["ports", "delete", reference(there.record.uuid)])]


def _changes(there: Port, wanted: Wanted) -> Operations:
    interface = there.interface
    found: Operations = []
    port_columns = {} if wanted.vlan is None else differing(there.record, wanted.vlan.columns())
    if port_columns:
        found.append(update("Port", there.record, port_columns))
    columns = wanted.columns()
    if is_parted(there):
        # What the switch says of it is said of a type that it does not know.
        columns |= {"ofport": optional(None), "error": optional(None)}
    interface_columns = differing(interface, columns)
    if interface_columns:
        found.append(update("Interface", interface, interface_columns))
    mutations: list[Json] = []
    if wanted.ids is not None:
        mutations += map_mutations(interface, "external_ids", wanted.ids, _IDS)
    mutations += map_mutations(interface, "options", wanted.options, wanted.options)
    if mutations:
        found.append(mutate("Interface", interface, *mutations))
    return [is_port(there), *found] if found else []


def _made_anew(there: Port, wanted: Wanted) -> Operations:
    """Delete and insert in one transaction; what others have configured comes along."""
    return [*without_port(there), *insert(there.name, there.bridge, *_rows(wanted, there))]


def _rows(wanted: Wanted, like: Port | None = None) -> tuple[dict[str, Json], list[dict[str, Json]]]:
    """Return the columns of a port and of its interface."""
    port = {"name": wanted.name} if like is None else configured("Port", like.record)
    interface: dict[str, Json] = {"name": wanted.name} if like is None else configured("Interface", like.interface)
    external_ids = {} if like is None else like.interface.map("external_ids")
    options = {} if like is None else like.interface.map("options")
    if wanted.ids is not None:
        external_ids = {key: value for key, value in external_ids.items() if key not in _IDS} | dict(wanted.ids)
    maps = {"external_ids": as_map(external_ids), "options": as_map({**options, **wanted.options})}
    vlan_columns = {} if wanted.vlan is None else wanted.vlan.columns()
    return {**port, **vlan_columns}, [{**interface, **wanted.columns(), **maps}]


# -- bridges --------------------------------------------------------------------------------------------


def bridge(
    view: View,
    name: str,
    *,
    datapath_type: str | None,
    fail_mode: str | None,
    mac_address: str | None,
    mtu: int | None,
) -> Operations:
    """Plan a bridge with its own device; of one that is there only what differs.

    Its MAC address is told by ``other_config:hwaddr``: the switch ignores the interface's (ovs-vswitchd.conf.db(5)).

    Raises:
        WrongKind: there is a port by that name.
    """
    there = view.bridge(name)
    columns: dict[str, Json] = {}
    if datapath_type is not None:
        columns["datapath_type"] = datapath_type
    if fail_mode is not None:
        columns["fail_mode"] = fail_mode
    config = {} if mac_address is None else {"hwaddr": mac_address}
    request = {} if mtu is None else {"mtu_request": mtu}
    if there is None:
        holder = view.port_of_interface(name) or view.port(name)
        if holder is not None:
            raise WrongKind(f"{name} is a port of {holder.bridge.name}, not a bridge", device=name)
        interface = {"name": name, "type": "internal", **request}
        row = {"name": name, "other_config": as_map(config), **columns, "ports": ["named-uuid", "port"]}
        return [
            {"op": "insert", "table": "Interface", "uuid-name": "interface", "row": interface},
            new("Port", "port", {"name": name, "interfaces": ["named-uuid", "interface"]}),
            new("Bridge", "bridge", row),
            mutate("Open_vSwitch", view.root, ["bridges", "insert", ["named-uuid", "bridge"]]),
        ]
    found: Operations = []
    # "" is the switch's default.
    if columns.get("datapath_type") == "system" and there.columns["datapath_type"] == "":
        del columns["datapath_type"]
    changed = differing(there, columns)
    if changed:
        found.append(update("Bridge", there, changed))
    mutations = map_mutations(there, "other_config", config, config)
    if mutations:
        found.append(mutate("Bridge", there, *mutations))
    own = view.port(name)
    if own is not None and (changed := differing(own.interface, request)):
        found.append(update("Interface", own.interface, changed))
    return [exists(there), *found] if found else []


def without_bridge(view: View, there: Record) -> Operations:
    """Plan the end of a bridge; its ports end with it."""
    return [exists(there), mutate("Open_vSwitch", view.root, ["bridges", "delete", reference(there.uuid)])]
