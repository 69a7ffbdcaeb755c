"""The way back is a pure plan: from what was written, and the rows as they are now, to operations."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as some

from refnet.netdev.ovs import plan
from refnet.netdev.ovs.plan import Vlan, Wanted
from refnet.netdev.ovs.undo import Written, put_back
from tests.ovs.test_ovs_plan import IDS, NOTHING, database, interface, verbs


def written(view, operations, *ports, bridge="", answers=None):
    done = Written().then(view, operations, ports, bridge)
    return done if answers is None else done.answered(operations, answers)


def uuids(operations, **rows):
    """Answer as the database would: with the UUID of a row that is new, by its table."""
    return [{"uuid": ["uuid", rows[one["table"]]]} if one["op"] == "insert" else {} for one in operations]


def test_nothing_written_is_nothing_to_take_back():
    view = database(("br0", "netdev", interface("tap1")))
    assert put_back(view, written(view, [], "tap1", "tap2", bridge="br0")) == []


def test_a_port_that_the_call_has_made_goes_and_one_that_others_have_made_stays():
    empty, full = database(("br0", "netdev", {})), database(("br0", "netdev", interface("tap1")))
    operations = plan.port(empty, "br0", Wanted("tap1", ids=IDS))
    own = written(empty, operations, "tap1", answers=uuids(operations, Port="p-tap1", Interface="i-tap1"))
    assert verbs(put_back(full, own)) == [("wait", "Bridge"), ("mutate", "Bridge")]
    others = written(empty, operations, "tap1", answers=uuids(operations, Port="another", Interface="i"))
    assert put_back(full, others) == []
    assert put_back(empty, own) == []


def test_without_an_answer_a_port_is_the_calls_if_it_is_as_it_was_written():
    empty = database(("br0", "netdev", {}))
    unsure = written(empty, plan.port(empty, "br0", Wanted("tap1", ids=IDS, vlan=Vlan(tag=5))), "tap1")
    as_written = database(("br0", "netdev", interface("tap1", port={"tag": 5})))
    assert verbs(put_back(as_written, unsure)) == [("wait", "Bridge"), ("mutate", "Bridge")]
    more = ["map", [*map(list, IDS.items()), ["ovn-installed", "true"]]]
    installed = database(("br0", "netdev", interface("tap1", port={"tag": 5}, external_ids=more)))
    assert verbs(put_back(installed, unsure)) == [("wait", "Bridge"), ("mutate", "Bridge")]
    for other in (interface("tap1"), interface("tap1", port={"tag": 5}, type="internal")):
        assert put_back(database(("br0", "netdev", other)), unsure) == []
    other = ["map", [["iface-id", "theirs"]]]
    assert put_back(database(("br0", "netdev", interface("tap1", port={"tag": 5}, external_ids=other))), unsure) == []


def test_a_port_that_the_call_has_deleted_is_made_again_as_it_was():
    empty, full = database(("br0", "netdev", {})), database(("br0", "netdev", interface("tap1", port={"tag": 5})))
    back = put_back(empty, written(full, plan.without_port(full.port("tap1")), "tap1"))
    assert verbs(back) == [("insert", "Interface"), ("insert", "Port"), ("mutate", "Bridge")]
    assert back[1]["row"]["tag"] == 5
    # Somebody has been there first; or it was somebody else who has deleted it.
    assert put_back(full, written(full, plan.without_port(full.port("tap1")), "tap1")) == []
    changed = plan.vlan(full.port("tap1"), Vlan(tag=6))
    assert put_back(empty, written(full, changed, "tap1")) == []


def test_columns_and_keys_are_put_back_each_for_itself():
    before = database(("br0", "netdev", interface("tap1", port={"tag": 5})))
    ids = {**IDS, "iface-id": "another", "vm-uuid": "guest"}
    operations = plan.port(before, "br0", Wanted("tap1", ids=ids, vlan=Vlan(trunks=(1, 2))))
    now = {**ids, "iface-id": "theirs"}
    after = database(
        (
            "br0",
            "netdev",
            interface("tap1", port={"trunks": ["set", [2, 1]]}, external_ids=["map", [*map(list, now.items())]]),
        )
    )
    tag, trunks, vm = put_back(after, written(before, operations, "tap1"))
    assert (tag["row"], trunks["row"]) == ({"tag": 5}, {"trunks": ["set", []]})
    assert trunks["where"] == [["_uuid", "==", ["uuid", "p-tap1"]], ["trunks", "==", ["set", [1, 2]]]]
    assert vm["mutations"] == [["external_ids", "delete", ["map", [["vm-uuid", "guest"]]]]]


def test_what_others_wrote_between_two_attempts_is_what_there_is_to_return_to():
    first = database(("br0", "netdev", interface("tap1", port={"tag": 5})))
    lost = written(first, plan.vlan(first.port("tap1"), Vlan(tag=7)), "tap1")
    second = database(("br0", "netdev", interface("tap1", port={"tag": 6})))
    again = lost.then(second, plan.vlan(second.port("tap1"), Vlan(tag=7)), ("tap1",), "")
    done = database(("br0", "netdev", interface("tap1", port={"tag": 7})))
    (tag,) = put_back(done, again)
    assert tag["row"] == {"tag": 6}
    # The call's own value of the first time is not.
    third = lost.then(done, plan.vlan(done.port("tap1"), Vlan(tag=8)), ("tap1",), "")
    (tag,) = put_back(database(("br0", "netdev", interface("tap1", port={"tag": 8}))), third)
    assert tag["row"] == {"tag": 5}


def test_what_the_switch_tells_is_not_put_back():
    view = database(("br0", "netdev", interface("tap1", type=plan.REPLACED, ofport=-1)))
    operations = plan.port(view, "br0", Wanted("tap1", ids=IDS))
    after = database(("br0", "netdev", interface("tap1", ofport=["set", []])))
    (back,) = put_back(after, written(view, operations, "tap1"))
    assert back["row"] == {"type": plan.REPLACED}


def test_a_bridge_that_the_call_has_made_goes_and_one_that_was_is_as_it_was():
    empty, full = database(), database(("br0", "netdev", {}))
    operations = plan.bridge(empty, "br0", **{**NOTHING, "datapath_type": "netdev"})
    rows = {"Port": "p-br0", "Interface": "i-br0"}
    own = written(empty, operations, bridge="br0", answers=uuids(operations, Bridge="b-br0", **rows))
    assert verbs(put_back(full, own)) == [("wait", "Bridge"), ("mutate", "Open_vSwitch")]
    assert put_back(database(("br0", "netdev", interface("tap1"))), own) == []  # others have given it a port
    others = written(empty, operations, bridge="br0", answers=uuids(operations, Bridge="another", **rows))
    assert put_back(full, others) == []
    system = database(("br0", "system", {}))
    changed = plan.bridge(system, "br0", **{**NOTHING, "datapath_type": "netdev"})
    (operation,) = put_back(full, written(system, changed, bridge="br0"))
    assert operation["row"] == {"datapath_type": "system"}


MAPS = some.dictionaries(some.sampled_from(sorted([*IDS, "vm-uuid", "other"])), some.sampled_from("abc"))


@given(some.tuples(MAPS, MAPS))
def test_ids_that_nobody_else_has_touched_are_as_they_were(maps):
    def with_ids(ids):
        return database(("br0", "netdev", interface("tap1", external_ids=["map", [*map(list, ids.items())]])))

    had, ids = maps
    wanted = {key: value for key, value in ids.items() if key != "other"}
    before = with_ids(had)
    operations = plan.port(before, "br0", Wanted("tap1", ids=wanted))
    after = {**wanted, **({"other": had["other"]} if "other" in had else {})}
    found = dict(after)
    for operation in put_back(with_ids(after), written(before, operations, "tap1")):
        for _, mutator, value in json.loads(json.dumps(operation["mutations"])):
            for key, one in value[1]:
                if mutator == "insert":
                    found.setdefault(key, one)
                elif found.get(key) == one:
                    del found[key]
    assert found == had
