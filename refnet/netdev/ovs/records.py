"""Rows of Open vSwitch's database as plain values: what plans are made from.

Columns are kept as RFC 7047 (section 5.1) writes them in JSON, so that a row can be written back as it was. No code
of the library ``ovs`` is needed here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

#: A value of a column: a string, a number, a bool, or ``["uuid", …]``, ``["set", […]]``, ``["map", […]]``.
Json = Any

#: The columns that somebody may have configured (ovs-vswitchd.conf.db(5)); a row that is made anew keeps them.
CONFIGURATION: dict[str, tuple[str, ...]] = {
    "Bridge": ("name", "datapath_type", "fail_mode", "other_config", "external_ids"),
    "Port": (
        *("name", "interfaces", "tag", "trunks", "cvlans", "vlan_mode", "qos", "mac", "protected", "lacp"),
        *("bond_mode", "bond_updelay", "bond_downdelay", "bond_fake_iface", "fake_bridge"),
        *("other_config", "external_ids"),
    ),
    "Interface": (
        *("name", "type", "options", "mac", "mtu_request", "ofport_request", "lldp", "bfd", "cfm_mpid"),
        *("ingress_policing_rate", "ingress_policing_burst"),
        *("ingress_policing_kpkts_rate", "ingress_policing_kpkts_burst"),
        *("other_config", "external_ids"),
    ),
}
#: The columns by which the switch tells what it has done, and the ports that bridges have.
STATE: dict[str, tuple[str, ...]] = {
    "Open_vSwitch": ("next_cfg", "cur_cfg", "iface_types", "datapath_types"),
    "Bridge": ("ports", "datapath_id"),
    "Interface": ("ofport", "error", "mtu", "ifindex"),
}


@dataclass(frozen=True, slots=True)
class Record:
    """A row: its UUID and its columns. A column that the database's schema lacks is not there."""

    uuid: str
    columns: Mapping[str, Json]

    @property
    def name(self) -> str:
        """The name, which no other row of the table has."""
        return str(self.columns["name"])

    def all(self, column: str) -> list[Json]:
        """Return the values of a set."""
        value = self.columns.get(column, ["set", []])
        if isinstance(value, list) and value[0] == "set":
            return list(value[1])
        return [value]

    def only(self, column: str) -> Json:
        """Return the value of an optional column, None where it has none."""
        return next(iter(self.all(column)), None)

    def map(self, column: str) -> dict[str, str]:
        """Return a map of strings."""
        value = self.columns.get(column, ["map", []])
        return dict(value[1])


@dataclass(frozen=True, slots=True)
class Port:
    """A port with the bridge that has it, and its interfaces: one, unless it is a bond."""

    record: Record
    bridge: Record
    interfaces: tuple[Record, ...]

    @property
    def name(self) -> str:
        """The port's name."""
        return self.record.name

    @property
    def interface(self) -> Record:
        """The interface that has the port's name; of a bond any one."""
        return next((one for one in self.interfaces if one.name == self.name), self.interfaces[0])

    @property
    def is_local(self) -> bool:
        """Whether it is the bridge's own device."""
        return self.name == self.bridge.name


class View(Protocol):
    """The database as it is now."""

    @property
    def root(self) -> Record:
        """The one row of the table Open_vSwitch."""

    def row(self, table: str, uuid: str) -> Record | None:
        """Return a row."""

    def bridge(self, name: str) -> Record | None:
        """Return a bridge."""

    def port(self, name: str) -> Port | None:
        """Return a port that belongs to a bridge."""

    def port_of_interface(self, name: str) -> Port | None:
        """Return the port that has an interface of that name."""

    def ports(self, bridge: Record) -> list[str]:
        """Return the names of all ports of a bridge, its own device's too."""

    def switch_devices(self) -> list[str]:
        """Return the names of all interfaces whose devices the switch makes itself, outside the kernel."""

    def has(self, table: str, column: str) -> bool:
        """Say whether the database's schema has a column."""


def failure(interface: Record) -> str | None:
    """Say in the switch's words why it has not got a port; None while it has it, or has not looked at it yet."""
    said = interface.only("error")
    number = interface.only("ofport")
    if number == -1:
        return str(said or "no number, and no reason but in its log (ovs-vswitchd.log)")
    # Of an end of a cable that has a number, "No usable peer" may be an old word: from before the other end came.
    return None


def settled(interface: Record) -> bool:
    """Say whether the switch has got the port."""
    number = interface.only("ofport")
    return number is not None and number >= 0 and failure(interface) is None


def uuid_of(value: Json) -> str:
    return str(value[1])


def reference(uuid: str) -> Json:
    return ["uuid", uuid]


def as_set(values: Iterable[Json]) -> Json:
    return ["set", list(values)]


def as_map(values: Mapping[str, str]) -> Json:
    return ["map", [[key, value] for key, value in values.items()]]


def optional(value: Json) -> Json:
    return as_set([] if value is None else [value])
