"""A copy of the tables that refnet reads in Open vSwitch's database, with an index by name; without a connection.

The updates are those of ovsdb-server(7) ("update2"), which tell of a set and of a map only what has come and gone: a
bridge of thousands of ports costs no more than one of ten.
"""

from __future__ import annotations

import threading

from refnet.netdev.ovs.records import CONFIGURATION, STATE, Json, Port, Record, as_map, as_set

Row = dict[str, Json]

#: The tables, each with those that refer to it behind it.
TABLES = ("Open_vSwitch", "Bridge", "Port", "Interface")
#: What a column has that a row leaves out (RFC 7047, section 5.2.1).
_ZERO = {"integer": 0, "real": 0.0, "boolean": False, "string": ""}


class Tables:
    """Rows by UUID and by name. Whoever changes them holds ``changed``, which tells those who wait for changes."""

    def __init__(self) -> None:
        """Hold nothing yet; :meth:`columns_of` comes first."""
        self.changed = threading.Condition()
        self._tables: dict[str, dict[str, Row]] = {table: {} for table in TABLES}
        self._named: dict[str, dict[str, str]] = {table: {} for table in TABLES}
        self._defaults: dict[str, Row] = {}
        self._sets: dict[str, frozenset[str]] = {}
        self._ports: dict[str, set[str]] = {}

    def columns_of(self, schema: Json) -> dict[str, list[str]]:
        """Return the columns to ask for: of those that refnet reads, the ones that this schema has."""
        wanted = {}
        for table in TABLES:
            there = schema["tables"][table]["columns"]
            columns = [name for name in (*CONFIGURATION.get(table, ()), *STATE.get(table, ())) if name in there]
            self._defaults[table] = {name: _default(there[name]["type"]) for name in columns if name != "ports"}
            self._sets[table] = frozenset(name for name in columns if _is_set(there[name]["type"]))
            wanted[table] = columns
        return wanted

    @property
    def root(self) -> Record:
        """The one row of the table Open_vSwitch."""
        with self.changed:
            for uuid, row in self._tables["Open_vSwitch"].items():
                return Record(uuid, row)
        raise LookupError("the table Open_vSwitch has no row")

    def row(self, table: str, uuid: str) -> Record | None:
        """Return a row."""
        with self.changed:
            return self._record(table, uuid)

    def bridge(self, name: str) -> Record | None:
        """Return a bridge."""
        with self.changed:
            return self._record("Bridge", self._named["Bridge"].get(name))

    def port(self, name: str) -> Port | None:
        """Return a port that belongs to a bridge."""
        with self.changed:
            uuid = self._named["Port"].get(name)
            return None if uuid is None else self._port(uuid)

    def port_of_interface(self, name: str) -> Port | None:
        """Return the port that has an interface of that name; the port of the same name is looked at first."""
        with self.changed:
            interface = self._named["Interface"].get(name)
            if interface is None:
                return None
            first = self._named["Port"].get(name)
            for uuid in (*([first] if first is not None else []), *self._tables["Port"]):
                if ["uuid", interface] in _members(self._tables["Port"][uuid]):
                    return self._port(uuid)
            return None

    def ports(self, bridge: Record) -> list[str]:
        """Return the names of all ports of a bridge."""
        with self.changed:
            rows = self._tables["Port"]
            return [str(rows[uuid]["name"]) for uuid in self._ports.get(bridge.uuid, ()) if uuid in rows]

    def switch_devices(self) -> list[str]:
        """Return the names of all interfaces whose devices the switch makes itself, outside the kernel."""
        with self.changed:
            own = {uuid for uuid, row in self._tables["Bridge"].items() if row["datapath_type"] == "netdev"}
            members = [one for uuid in own for port in self._ports.get(uuid, ()) for one in self._members_of(port)]
            rows = (self._tables["Interface"].get(uuid, {}) for uuid in members)
            return [str(row["name"]) for row in rows if row.get("type") == "internal"]

    def has(self, table: str, column: str) -> bool:
        """Say whether the database's schema has a column."""
        return column in self._defaults[table]

    def _members_of(self, port: str) -> list[str]:
        return [uuid for _, uuid in _members(self._tables["Port"].get(port, {}))]

    def _port(self, uuid: str) -> Port | None:
        for bridge, ports in self._ports.items():
            if uuid in ports:
                record, holder = self._record("Port", uuid), self._record("Bridge", bridge)
                members = [self._record("Interface", one) for _, one in _members(self._tables["Port"][uuid])]
                interfaces = tuple(one for one in members if one is not None)
                return Port(record, holder, interfaces) if record and holder and interfaces else None
        return None

    def _record(self, table: str, uuid: str | None) -> Record | None:
        row = self._tables[table].get(uuid) if uuid is not None else None
        return None if row is None or uuid is None else Record(uuid, row)

    # -- updates --------------------------------------------------------------------------------------

    def take_in(self, update: dict[str, dict[str, dict[str, Row | None]]]) -> None:
        """Change the copy as ovsdb-server(7) has it ("update2"). Rows are replaced, never changed: others hold them."""
        with self.changed:
            for table, rows in update.items():
                for uuid, change in rows.items():
                    ((kind, columns),) = change.items()
                    if kind == "delete":
                        self._forget(table, uuid)
                    elif kind == "modify":
                        self._keep(table, uuid, self._differing(table, uuid, columns or {}))
                    else:
                        self._keep(table, uuid, columns or {})

    def _keep(self, table: str, uuid: str, columns: Row) -> None:
        if table == "Bridge" and "ports" in columns:
            # All of a new bridge's ports, or those that have come and gone.
            columns = dict(columns)
            self._ports.setdefault(uuid, set()).symmetric_difference_update(
                one for _, one in _values(columns.pop("ports"))
            )
        # A column that has its default is left out of a row that comes.
        row = {**(self._tables[table].get(uuid) or self._defaults[table]), **columns}
        self._tables[table][uuid] = row
        if "name" in row:
            self._named[table][row["name"]] = uuid

    def _forget(self, table: str, uuid: str) -> None:
        row = self._tables[table].pop(uuid, {})
        self._ports.pop(uuid, None)
        # The row that has come instead of this one, in the same update, may have the name already.
        if self._named[table].get(row.get("name", "")) == uuid:
            del self._named[table][row["name"]]

    def _differing(self, table: str, uuid: str, columns: Row) -> Row:
        before = self._tables[table][uuid]
        whole: Row = {}
        for name, value in columns.items():
            if isinstance(value, list) and value[0] == "map":
                whole[name] = _map_after(before.get(name, ["map", []]), value)
            elif name in self._sets[table] and (table, name) != ("Bridge", "ports"):
                was, now = (_values(one) for one in (before.get(name, ["set", []]), value))
                whole[name] = as_set([*(one for one in was if one not in now), *(one for one in now if one not in was)])
            else:
                whole[name] = value
        return whole


def _is_set(kind: Json) -> bool:
    """Whether a column's type (RFC 7047, section 3.2) is a set of more than one value."""
    return isinstance(kind, dict) and "value" not in kind and kind.get("max", 1) != 1


def _values(value: Json) -> list[Json]:
    return list(value[1]) if isinstance(value, list) and value[0] == "set" else [value]


def _members(row: Row) -> list[Json]:
    return _values(row.get("interfaces", ["set", []]))


def _map_after(before: Json, change: Json) -> Json:
    """Apply the difference of a map: a pair that is there already has gone, one with another value has changed."""
    pairs = dict(before[1])
    for key, value in change[1]:
        if pairs.get(key) == value:
            del pairs[key]
        else:
            pairs[key] = value
    return ["map", [[key, value] for key, value in pairs.items()]]


def _default(kind: Json) -> Json:
    """Return what a column of that type has in a row that leaves it out."""
    if isinstance(kind, dict) and "value" in kind:
        return as_map({})
    if isinstance(kind, dict) and kind.get("min", 1) == 0:
        return as_set([])
    base = kind["key"] if isinstance(kind, dict) else kind
    return _ZERO.get(base["type"] if isinstance(base, dict) else base, as_set([]))
