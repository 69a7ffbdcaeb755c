"""What a call has written into Open vSwitch's database, and the way back, which leaves what others have done since.

A column or a key of a map is put back while it still has the call's value, a row is deleted while it is the one that
the call has inserted, and inserted again if it was the call that has deleted it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from refnet.netdev.ovs.operations import Operations, configured, insert, is_same
from refnet.netdev.ovs.plan import without_bridge, without_port
from refnet.netdev.ovs.records import CONFIGURATION, Json, Port, Record, View, as_map, reference, uuid_of

#: A table, a row's UUID, a column, and the key in it if it is a map.
Place = tuple[str, str, str, str | None]
_TAKEN_OUT = ("ports", "delete")


@dataclass(frozen=True, slots=True)
class Written:
    """What a call has written, and over what; :func:`put_back` undoes it."""

    #: The ports that the call is about, as they were, and the bridges.
    ports: Mapping[str, Port | None] = field(default_factory=dict)
    bridges: frozenset[str] = frozenset()
    #: What was there before, and what the call has written there.
    values: Mapping[Place, tuple[Json, Json]] = field(default_factory=dict)
    #: UUIDs of ports that it has taken out.
    taken_out: frozenset[str] = frozenset()
    #: Rows that it has inserted, by table and name: their UUIDs, and those whose UUID the database has not told.
    made: Mapping[tuple[str, str], str] = field(default_factory=dict)
    unsure: Mapping[tuple[str, str], Mapping[str, Json]] = field(default_factory=dict)

    def then(self, view: View, operations: Operations, ports: Iterable[str], bridge: str) -> Written:
        """Return this with a transaction that is about to be asked for."""
        values, unsure = dict(self.values), dict(self.unsure)
        for place, ours in _assignments(operations):
            before = _value(view, place)
            known = values.get(place)
            # What somebody else has put in place of the call's own value is what there is to return to.
            values[place] = (known[0] if known is not None and is_same(known[1], before) else before, ours)
        for one in operations:
            if one["op"] == "insert":
                unsure[one["table"], one["row"]["name"]] = one["row"]
        out = {uuid_of(value) for column, mutator, value in _mutations(operations) if (column, mutator) == _TAKEN_OUT}
        return Written(
            ports={**self.ports, **{name: self._former(view, name) for name in ports}},
            bridges=self.bridges | ({bridge} if bridge else set()),
            values=values,
            taken_out=self.taken_out | out,
            made=self.made,
            unsure=unsure,
        )

    def _former(self, view: View, name: str) -> Port | None:
        """Return a port as it was before the call."""
        known = self.ports.get(name)
        if known is not None and known.record.uuid in self.taken_out:
            return known
        now = view.port(name)
        return None if now is None or self.has_made_port(now) else now

    def answered(self, operations: Operations, answers: Iterable[Mapping[str, Any]]) -> Written:
        """Return this with what the database has answered to the transaction: the UUIDs of the rows that are new."""
        made = {
            (one["table"], one["row"]["name"]): uuid_of(answer["uuid"])
            for one, answer in zip(operations, answers, strict=False)
            if one["op"] == "insert"
        }
        unsure = {key: row for key, row in self.unsure.items() if key not in made}
        return replace(self, made={**self.made, **made}, unsure=unsure)

    def has_made_port(self, there: Port) -> bool:
        """Say whether the port is one that the call has inserted."""
        return self.has_made("Port", there.record) and self.has_made("Interface", there.interface)

    def has_made(self, table: str, record: Record) -> bool:
        """Say whether the row is one that the call has inserted."""
        key = table, record.name
        # The answer was lost with the connection: what is there as it was written is the call's.
        return self.made.get(key) == record.uuid or (key in self.unsure and _is_as_written(record, self.unsure[key]))


def put_back(view: View, written: Written) -> Operations:
    """Plan the way back."""
    found: Operations = []
    for number, (name, was) in enumerate(written.ports.items()):
        found += _port_back(view, written, name, was, f"back{number}")
    for name in written.bridges:
        bridge = view.bridge(name)
        # One that others have given ports meanwhile is in use.
        if bridge is not None and written.has_made("Bridge", bridge) and not {*view.ports(bridge)} - {name}:
            found += without_bridge(view, bridge)
    for place, (before, ours) in written.values.items():
        if not is_same(before, ours) and view.row(*place[:2]) is not None and is_same(_value(view, place), ours):
            found += _value_back(place, before, ours)
    return found


def _port_back(view: View, written: Written, name: str, was: Port | None, label: str) -> Operations:
    now = view.port(name)
    if now is not None and not written.has_made_port(now):
        return []
    if now is None and ("Port", name) in written.made:
        return []  # others have deleted what the call has made
    found = [] if now is None else without_port(now)
    if was is None or was.record.uuid not in written.taken_out:
        return found
    holder = view.bridge(was.bridge.name)
    if holder is None:
        return found
    interfaces = [configured("Interface", one) for one in was.interfaces]
    return found + insert(label, holder, configured("Port", was.record), interfaces)


def _value_back(place: Place, before: Json, ours: Json) -> Operations:
    """Write the former value, if the present one is the call's when the database comes to it (RFC 7047, 5.1, 5.2)."""
    table, uuid, column, key = place
    where = [["_uuid", "==", reference(uuid)]]
    if key is None:
        return [{"op": "update", "table": table, "where": [*where, [column, "==", ours]], "row": {column: before}}]
    # A pair is deleted if it is there with that value, and inserted if there is none with that key.
    mutations = [] if ours is None else [[column, "delete", as_map({key: ours})]]
    mutations += [] if before is None else [[column, "insert", as_map({key: before})]]
    return [{"op": "mutate", "table": table, "where": where, "mutations": mutations}]


def _assignments(operations: Operations) -> Iterator[tuple[Place, Json]]:
    """Tell what transactions write into rows that are there, of what somebody may have configured."""
    for one in operations:
        columns = CONFIGURATION.get(one["table"], ())
        if one["op"] == "update":
            for column, value in one["row"].items():
                if column in columns:
                    yield (one["table"], _row(one), column, None), value
        elif one["op"] == "mutate":
            for column, mutator, (_, members) in one["mutations"]:
                if column in columns:
                    for member in members:
                        key, value = member if mutator == "insert" else (member, None)
                        yield (one["table"], _row(one), column, key), value


def _mutations(operations: Operations) -> Iterator[list[Json]]:
    for one in operations:
        if one["op"] == "mutate":
            yield from one["mutations"]


def _row(operation: dict[str, Any]) -> str:
    """Return the UUID of the row that an operation is about (:func:`operations.whole`)."""
    return uuid_of(operation["where"][0][2])


def _value(view: View, place: Place) -> Json:
    table, uuid, column, key = place
    record = view.row(table, uuid)
    if record is None:
        return None
    return record.columns.get(column) if key is None else record.map(column).get(key)


def _is_as_written(record: Record, row: Mapping[str, Json]) -> bool:
    for column, value in row.items():
        if column in ("interfaces", "ports"):
            continue
        if isinstance(value, list) and value[0] == "map":
            if not dict(value[1]).items() <= record.map(column).items():
                return False
        elif not is_same(record.columns.get(column), value):
            return False
    return True
