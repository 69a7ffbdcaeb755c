"""Plans are pure: from rows to operations, without a switch; and rows from updates, without a connection."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as some

from refnet.errors import AlreadyEnslaved, Mismatch, NoSuchDevice, SwitchRefused, WrongKind
from refnet.netdev import VlanMode
from refnet.netdev.ovs import plan
from refnet.netdev.ovs.plan import Vlan, Wanted
from refnet.netdev.ovs.tables import Tables

OPTIONAL, SET = {"key": "integer", "min": 0, "max": 1}, {"key": "integer", "min": 0, "max": 4096}
MAP = {"key": "string", "value": "string", "min": 0, "max": "unlimited"}
REFERENCES = {"key": {"type": "uuid"}, "min": 0, "max": "unlimited"}
SCHEMA = {
    "tables": {
        table: {"columns": {name: {"type": kind} for name, kind in columns.items()}}
        for table, columns in {
            "Open_vSwitch": {"next_cfg": "integer", "cur_cfg": "integer", "iface_types": SET, "datapath_types": SET},
            "Bridge": {
                "name": "string",
                "datapath_type": "string",
                "fail_mode": OPTIONAL,
                "ports": REFERENCES,
                "other_config": MAP,
                "external_ids": MAP,
            },
            "Port": {
                "name": "string",
                "interfaces": REFERENCES,
                "tag": OPTIONAL,
                "trunks": SET,
                "vlan_mode": OPTIONAL,
                "protected": "boolean",
                "other_config": MAP,
                "external_ids": MAP,
            },
            "Interface": {
                "name": "string",
                "type": "string",
                "options": MAP,
                "mac": OPTIONAL,
                "mtu_request": OPTIONAL,
                "external_ids": MAP,
                "other_config": MAP,
                "ofport": OPTIONAL,
                "error": OPTIONAL,
            },
        }.items()
    }
}
IDS = {"iface-id": "id", "iface-status": "active", "attached-mac": "52:54:00:12:34:56"}


def database(*bridges):
    """Make tables of bridges: each a name, a type of datapath, and interfaces by port as columns that they have."""
    tables = Tables()
    tables.columns_of(SCHEMA)
    rows = {"Open_vSwitch": {"root": {"initial": {}}}, "Bridge": {}, "Port": {}, "Interface": {}}
    for name, datapath, ports in bridges:
        local = {name: [{"name": name, "type": "internal", "ofport": 65534}]}
        for port, interfaces in {**local, **ports}.items():
            extra = interfaces[0].pop("port", {})
            for one in interfaces:
                rows["Interface"][f"i-{one['name']}"] = {"initial": one}
            members = ["set", [["uuid", f"i-{one['name']}"] for one in interfaces]]
            rows["Port"][f"p-{port}"] = {"initial": {"name": port, "interfaces": members, **extra}}
        references = ["set", [["uuid", f"p-{port}"] for port in (name, *ports)]]
        rows["Bridge"][f"b-{name}"] = {"initial": {"name": name, "datapath_type": datapath, "ports": references}}
    tables.take_in(rows)
    return tables


def interface(name, **columns):
    return {
        name: [{"name": name, "ofport": 1, "external_ids": ["map", [list(pair) for pair in IDS.items()]], **columns}]
    }


def verbs(operations):
    return [(one["op"], one["table"]) for one in operations]


# -- ports ----------------------------------------------------------------------------------------------


def test_a_new_port_is_made_in_one_go():
    view = database(("br0", "netdev", {}))
    operations = plan.port(view, "br0", Wanted("tap1", ids=IDS, vlan=Vlan(5)))
    assert verbs(operations) == [("wait", "Bridge"), ("insert", "Interface"), ("insert", "Port"), ("mutate", "Bridge")]
    assert operations[1]["row"]["external_ids"] == ["map", [list(pair) for pair in IDS.items()]]
    assert operations[2]["row"]["tag"] == ["set", [5]]
    assert json.loads(json.dumps(operations)) == operations


def test_a_port_as_it_should_be_needs_nothing():
    view = database(("br0", "netdev", interface("tap1")))
    assert plan.port(view, "br0", Wanted("tap1", ids=IDS)) == []
    assert plan.port(view, "br0", Wanted("tap1", ids=IDS, vlan=Vlan())) == []
    view = database(("br0", "netdev", interface("tap1", port={"tag": 5, "trunks": 6})))
    assert plan.port(view, "br0", Wanted("tap1", ids=IDS)) == []
    assert plan.port(view, "br0", Wanted("tap1", ids=IDS, vlan=Vlan(5, (6,)))) == []
    assert verbs(plan.port(view, "br0", Wanted("tap1", ids=IDS, vlan=Vlan(5)))) == [
        ("wait", "Bridge"),
        ("update", "Port"),
    ]


def test_only_the_keys_that_differ_are_written():
    theirs = ["map", [["iface-id", "old"], ["vm-uuid", "gone"], ["owner", "somebody"]]]
    view = database(("br0", "netdev", interface("tap1", external_ids=theirs)))
    _, operation = plan.port(view, "br0", Wanted("tap1", ids=IDS))
    (deleted, inserted) = operation["mutations"]
    assert deleted == ["external_ids", "delete", ["set", ["iface-id", "vm-uuid"]]]
    assert dict(inserted[2][1]) == IDS


@pytest.mark.parametrize("state", [{"ofport": -1}, {"ofport": -1, "error": "could not open"}])
def test_a_port_that_was_given_up_is_made_anew_with_what_others_configured(state):
    theirs = {
        "external_ids": ["map", [["owner", "somebody"], ["vm-uuid", "old"]]],
        "other_config": ["map", [["a", "b"]]],
    }
    view = database(("br0", "netdev", interface("tap1", **theirs, **state, port={"protected": True, "tag": 3})))
    operations = plan.port(view, "br0", Wanted("tap1", ids=IDS))
    assert ("mutate", "Bridge") in verbs(operations)
    assert operations[1]["mutations"] == [["ports", "delete", ["uuid", "p-tap1"]]]
    row, port = (one["row"] for one in operations if one["op"] == "insert")
    assert dict(row["external_ids"][1]) == {"owner": "somebody", **IDS}
    assert row["other_config"] == ["map", [["a", "b"]]]
    assert "ofport" not in row
    assert "error" not in row
    assert (port["protected"], port["tag"]) == (True, 3)
    assert plan.port(view, "br0", Wanted("tap1", ids=None), mend=False) == []


def test_a_port_that_is_to_take_another_device_stays_a_row():
    view = database(("br0", "netdev", interface("tap1", port={"tag": 4095})))
    seen, _, apart = plan.parted(view.port("tap1"))
    assert (seen["op"], seen["table"], seen["rows"]) == ("wait", "Interface", [{"ofport": 1}])
    assert (apart["table"], apart["row"]) == ("Interface", {"type": plan.REPLACED})
    said = {"ofport": -1, "error": "unknown type"}
    view = database(("br0", "netdev", interface("tap1", type=plan.REPLACED, **said, port={"tag": 4095})))
    assert plan.parted(view.port("tap1")) == []
    for mend in (True, False):
        _, together = plan.port(view, "br0", Wanted("tap1", ids=IDS), mend=mend)
        # What the switch has said of the other type is taken off: nobody is to take the port for given up.
        assert together["row"] == {"type": "", "ofport": ["set", []], "error": ["set", []]}


def test_what_is_taken_is_told():
    bond = {"bond0": [{"name": "eth0"}, {"name": "eth1"}]}
    view = database(("br0", "netdev", {**interface("tap1"), **bond}), ("br1", "netdev", {}))
    with pytest.raises(AlreadyEnslaved) as caught:
        plan.port(view, "br1", Wanted("tap1"))
    assert caught.value.master == "br0"
    with pytest.raises(WrongKind):
        plan.port(view, "br0", Wanted("br1"))
    with pytest.raises(NoSuchDevice):
        plan.port(view, "br9", Wanted("tap1"))
    for name in ("bond0", "eth0"):
        with pytest.raises(Mismatch):
            plan.port(view, "br0", Wanted(name))


# -- cables ---------------------------------------------------------------------------------------------


def ends(port, peer):
    return Wanted(port, "patch", options={"peer": peer}), Wanted(peer, "patch", options={"peer": port})


def test_a_cable_has_both_ends_made_under_names_of_their_own():
    view = database(("br0", "netdev", {}), ("br1", "netdev", {}))
    near, far = ends("a.b", "a_b")
    operations = plan.cable(view, "br0", near, "br1", far)
    labels = [one["uuid-name"] for one in operations if one["op"] == "insert"]
    assert len(labels) == len(set(labels)) == 4
    assert all(label.isidentifier() for label in labels)


def test_a_cable_that_is_there_is_adopted_and_another_is_not():
    peers = {name: {"type": "patch", "options": ["map", [["peer", peer]]]} for name, peer in (("a", "b"), ("b", "a"))}
    view = database(("br0", "netdev", interface("a", **peers["a"])), ("br1", "netdev", interface("b", **peers["b"])))
    assert plan.cable(view, "br0", ends("a", "b")[0], "br1", ends("a", "b")[1]) == []
    for bridge, port, peer_bridge, peer in (
        ("br0", "a", "br1", "c"),
        ("br0", "c", "br1", "b"),
        ("br1", "a", "br0", "b"),
        ("br0", "br1", "br1", "c"),
    ):
        near, far = ends(port, peer)
        with pytest.raises(Mismatch):
            plan.cable(view, bridge, near, peer_bridge, far)


def test_bridges_of_two_datapaths_are_not_joined():
    near, far = ends("a", "b")
    with pytest.raises(SwitchRefused):
        plan.cable(database(("br0", "netdev", {}), ("br1", "", {})), "br0", near, "br1", far)
    assert plan.cable(database(("br0", "system", {}), ("br1", "", {})), "br0", near, "br1", far)


# -- bridges --------------------------------------------------------------------------------------------

NOTHING = {"datapath_type": None, "fail_mode": None, "mac_address": None, "mtu": None}


def test_a_bridge_that_is_there_keeps_what_is_not_named():
    view = database(("br0", "netdev", {}))
    assert plan.bridge(view, "br0", **NOTHING) == []
    assert plan.bridge(view, "br0", **{**NOTHING, "datapath_type": "netdev"}) == []
    assert plan.bridge(database(("br0", "", {})), "br0", **{**NOTHING, "datapath_type": "system"}) == []
    changed = plan.bridge(view, "br0", **{**NOTHING, "fail_mode": "secure", "mtu": 1400, "mac_address": "02::1"})
    assert verbs(changed) == [("wait", "Bridge"), ("update", "Bridge"), ("mutate", "Bridge"), ("update", "Interface")]
    assert changed[1]["row"] == {"fail_mode": "secure"}


def test_a_name_that_a_port_has_is_no_bridges():
    view = database(("br0", "netdev", {**interface("tap1"), "bond0": [{"name": "eth0"}, {"name": "eth1"}]}))
    for name in ("tap1", "bond0", "eth0"):
        with pytest.raises(WrongKind):
            plan.bridge(view, name, **NOTHING)


# -- rows -----------------------------------------------------------------------------------------------


def test_what_a_row_leaves_out_has_its_default():
    record = database(("br0", "netdev", {"tap1": [{"name": "tap1"}]})).port("tap1")
    assert record is not None
    assert record.record.columns["protected"] is False
    assert record.record.all("trunks") == []
    assert record.interface.map("external_ids") == {}
    assert record.interface.columns["type"] == ""


@given(
    some.lists(some.frozensets(some.integers(1, 9)), min_size=1),
    some.lists(some.dictionaries(some.sampled_from("abc"), some.sampled_from("xyz")), min_size=1),
)
def test_differences_of_sets_and_maps_are_applied(sets, maps):
    tables = database(("br0", "netdev", interface("tap1", external_ids=["map", []])))
    tags, ids = frozenset(), {}
    for number in range(max(len(sets), len(maps))):
        new_tags, new_ids = sets[min(number, len(sets) - 1)], maps[min(number, len(maps) - 1)]
        changed = {key: value for key, value in new_ids.items() if ids.get(key) != value}
        gone = {key: value for key, value in ids.items() if key not in new_ids}
        tables.take_in(
            {
                "Port": {"p-tap1": {"modify": {"trunks": ["set", sorted(tags ^ new_tags)]}}},
                "Interface": {"i-tap1": {"modify": {"external_ids": ["map", list({**changed, **gone}.items())]}}},
            }
        )
        tags, ids = new_tags, new_ids
        port = tables.port("tap1")
        assert set(port.record.all("trunks")) == tags
        assert port.interface.map("external_ids") == ids


def test_a_name_belongs_to_the_row_that_came_last_however_an_update_is_ordered():
    for order in (("old", "new"), ("new", "old")):
        tables = database(("br0", "netdev", {}))
        tables.take_in({"Interface": {"old": {"insert": {"name": "tap1"}}}})
        changes = {"old": {"delete": None}, "new": {"insert": {"name": "tap1"}}}
        tables.take_in({"Interface": {key: changes[key] for key in order}})
        port = {"new-port": {"insert": {"name": "tap1", "interfaces": ["uuid", "new"]}}}
        tables.take_in({"Port": port, "Bridge": {"b-br0": {"modify": {"ports": ["uuid", "new-port"]}}}})
        found = tables.port_of_interface("tap1")
        assert found is not None
        assert found.interface.uuid == "new"
        assert sorted(tables.ports(tables.bridge("br0"))) == ["br0", "tap1"]


def test_vlans_are_written_as_the_database_has_them():
    assert Vlan(1, (2, 3), VlanMode.NATIVE_TAGGED).columns() == {
        "tag": ["set", [1]],
        "trunks": ["set", [2, 3]],
        "vlan_mode": ["set", ["native-tagged"]],
    }
