"""The operations that changes of Open vSwitch's database are made of (RFC 7047, section 5.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from refnet.netdev.ovs.records import CONFIGURATION, Json, Port, Record, as_map, as_set, reference

Operations = list[dict[str, Any]]


def whole(record: Record) -> list[Json]:
    """Return the condition that a row is this one."""
    return [["_uuid", "==", reference(record.uuid)]]


def exists(bridge: Record) -> dict[str, Any]:
    """Take for granted that the bridge is there."""
    return _granted("Bridge", whole(bridge), {"name": bridge.name})


def is_port(there: Port) -> dict[str, Any]:
    """Take for granted that the port belongs to its bridge."""
    where = [*whole(there.bridge), ["ports", "includes", reference(there.record.uuid)]]
    return _granted("Bridge", where, {"name": there.bridge.name})


def unchanged(table: str, record: Record, *columns: str) -> dict[str, Any]:
    """Take for granted that columns of a row are as they were seen."""
    seen = {name: record.columns[name] for name in columns if name in record.columns}
    return _granted(table, whole(record), seen)


def _granted(table: str, where: list[Json], row: dict[str, Json]) -> dict[str, Any]:
    return {
        "op": "wait",
        "table": table,
        "timeout": 0,
        "where": where,
        "columns": list(row),
        "until": "==",
        "rows": [row],
    }


def insert(label: str, bridge: Record, port: dict[str, Json], interfaces: list[dict[str, Json]]) -> Operations:
    # What names a new row within its transaction is an identifier of C (RFC 7047, section 3.1, <id>).
    label = f"port_{label.encode().hex()}"
    labels = [f"interface{number}_of_{label}" for number in range(len(interfaces))]
    members = as_set(["named-uuid", one] for one in labels)
    return [
        *(new("Interface", one, row) for one, row in zip(labels, interfaces, strict=True)),
        new("Port", label, {**port, "interfaces": members}),
        mutate("Bridge", bridge, ["ports", "insert", ["named-uuid", label]]),
    ]


def new(table: str, label: str, row: dict[str, Json]) -> dict[str, Any]:
    return {"op": "insert", "table": table, "uuid-name": label, "row": row}


def update(table: str, record: Record, columns: dict[str, Json]) -> dict[str, Any]:
    return {"op": "update", "table": table, "where": whole(record), "row": columns}


def mutate(table: str, record: Record, *mutations: Json) -> dict[str, Any]:
    return {"op": "mutate", "table": table, "where": whole(record), "mutations": list(mutations)}


def map_mutations(record: Record, column: str, wanted: Mapping[str, str], ours: Iterable[str]) -> list[Json]:
    """Set the keys that are ours to what is wanted; an ``insert`` leaves a key that is there as it is."""
    present = record.map(column)
    stale = [key for key in ours if key in present and present[key] != wanted.get(key)]
    fresh = {key: value for key, value in wanted.items() if present.get(key) != value}
    mutations: list[Json] = []
    if stale:
        mutations.append([column, "delete", as_set(stale)])
    if fresh:
        mutations.append([column, "insert", as_map(fresh)])
    return mutations


def configured(table: str, record: Record) -> dict[str, Json]:
    own = {"interfaces"}
    return {name: record.columns[name] for name in CONFIGURATION[table] if name in record.columns and name not in own}


def differing(record: Record, wanted: Mapping[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in wanted.items() if not is_same(record.columns.get(name), value)}


def is_same(one: Json, another: Json) -> bool:
    return bool(_plain(one) == _plain(another))


def _plain(value: Json) -> Json:
    """Return a form in which equal values are equal: sets and maps have no order, and a set of one is its value."""
    if isinstance(value, list) and value[0] == "map":
        return frozenset((str(key), str(one)) for key, one in value[1])
    members = value[1] if isinstance(value, list) and value[0] == "set" else [value]
    return frozenset(tuple(one) if isinstance(one, list) else one for one in members)
