"""The suite's own Open vSwitch: its daemons, what is seen of it, and what a spec's sandbox does with it."""

import json
import os
import shutil
import socket
import subprocess

import pytest

from conformance import faults, features, refusals, runner, spec
from conformance.errors import SuiteError
from conformance.features import switches
from conformance.harness import DriverUnderTest
from conformance.oracles.state import difference
from conformance.topology import switch as switch_module
from conformance.topology.linux import Sandbox, namespaces
from conformance.topology.linux.endpoints import LinuxStack
from conformance.topology.switch import DEFAULT_PLACE, Switch
from refnet.errors import Unsupported
from refnet.netdev import Capability
from refnet.netdev.driver import NetDevDriver

BRIDGE = ("add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=netdev")


@pytest.fixture
def userspace():
    """Bridges of the switch's own: where an ordinary user may not open /dev/net/tun, there are none."""
    reason = features.lacking(Capability.OVS_USERSPACE_DATAPATH)
    if reason:
        pytest.skip(reason)


@pytest.fixture
def switch(stack):
    return stack.open_vswitch()


# -- its daemons ------------------------------------------------------------------------------------------


def test_it_is_where_everybody_looks_for_it_and_ends_with_its_sandbox(inside):
    sandbox = Sandbox("tests")
    try:
        one = sandbox.open_vswitch()
        assert sandbox.open_vswitch() is one
        assert one.directory == DEFAULT_PLACE
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OVS_")}
        argv = ["ovs-vsctl", "--timeout=20", "list-br"]
        assert subprocess.run(argv, env=environment, capture_output=True, check=True).stdout == b""
        pids = one.pids()
        assert len(pids) == 2
    finally:
        sandbox.remove_endpoints()
        sandbox.leave()
    assert not [pid for pid in pids if os.path.exists(f"/proc/{pid}")]
    assert not one.pids()


def test_its_daemons_end_as_told_and_start_again(switch):
    def running():
        return sorted(open(f"/proc/{pid}/comm").read().strip() for pid in switch.pids())

    assert running() == ["ovs-vswitchd", "ovsdb-server"]
    for kill in (False, True):
        switch.stop_database(kill=kill)
        switch.stop_database(kill=kill)
        assert running() == ["ovs-vswitchd"]
        with pytest.raises(SuiteError, match="database connection failed"):
            switch.vsctl("list-br")
        switch.start_database()
        switch.start_database()
        assert switch.vsctl("list-br") == ""
        switch.stop_daemon(kill=kill)
        assert running() == ["ovsdb-server"]
        switch.mend()
        assert running() == ["ovs-vswitchd", "ovsdb-server"]
        before = switch.pids()
        switch.restart(kill=kill)
        assert running() == ["ovs-vswitchd", "ovsdb-server"]
        assert not before & switch.pids()
    assert "ovs-vswitchd" in switch.appctl("version")


def test_what_hangs_goes_on(switch):
    with switch.hung_database():
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(switch.address.removeprefix("unix:"))
            client.sendall(b'{"method":"echo","params":[],"id":1}')
            with pytest.raises(TimeoutError):
                client.recv(1)
        assert switch.rows() == {}
    assert switch.vsctl("list-br") == ""
    switch.stop_daemon()
    with pytest.raises(SuiteError, match="ovs-vswitchd does not run, and cannot hang"), switch.hung_daemon():
        pass


def test_what_the_daemons_say_is_told(stack, tmp_path):
    (tmp_path / "conf.db").write_text("no database")
    with pytest.raises(SuiteError, match="ovsdb-tool create"):
        Switch(stack, tmp_path)
    assert (tmp_path / "conf.db").read_text() == "no database"


def test_a_daemon_that_does_not_start_says_why(switch):
    switch.stop_database()
    (switch.directory / "conf.db").write_text("no database")
    with pytest.raises(SuiteError, match=r"unexpected file format.*; its log ends with: .*opened log file"):
        switch.start_database()
    with pytest.raises(SuiteError, match="is no database of Open vSwitch"):
        switch.rows()
    switch.close()


# -- what is seen of it -----------------------------------------------------------------------------------


def test_a_switch_is_no_difference_and_what_is_left_in_it_is(userspace, stack):
    before, held = stack.look.state(), stack.look.process_state()
    switch = stack.open_vswitch()
    assert difference(before, stack.look.state()) == []
    assert difference(held, stack.look.process_state()) == []
    switch.vsctl(*BRIDGE)
    switch.restart()
    switch.vsctl("set", "Open_vSwitch", ".", "external_ids:theirs=left")
    left = difference(before, stack.look.state())
    for name in ("Bridge br0", "Port br0", "Interface br0", "Open_vSwitch"):
        assert f"switch's {name} is new" in left
    assert not [line for line in left if line.startswith(("process", "file"))]
    switch.vsctl("del-br", "br0", "--", "clear", "Open_vSwitch", ".", "external_ids")
    assert difference(before, stack.look.state()) == []
    assert difference(held, stack.look.process_state()) == []


def test_files_of_others_beside_its_own_count(stack, switch):
    before = stack.look.state()
    lock = switch.directory / "somebodys.lock"
    lock.touch()
    assert difference(before, stack.look.state()) == [f"file {os.path.realpath(lock)} is new"]
    lock.unlink()


def test_rows_are_there_without_a_server_and_without_what_changes_by_itself(userspace, stack, switch):
    switch.vsctl(*BRIDGE)
    port = stack.guest("a").port
    switch.vsctl("add-port", "br0", port, "tag=5", "trunks=7,6", "--", "set", "Interface", port, "external_ids:a=b")
    rows = switch.rows()
    assert set(rows) == {"Open_vSwitch", "Bridge br0", "Port br0", "Interface br0", f"Port {port}", f"Interface {port}"}
    assert rows[f"Port {port}"]["tag"] == 5
    assert rows[f"Port {port}"]["trunks"] == [6, 7]
    assert rows[f"Interface {port}"]["external_ids"] == {"a": "b"}
    assert rows[f"Interface {port}"]["ofport"] == 1
    assert rows["Bridge br0"]["datapath_type"] == "netdev"
    assert not {"statistics", "link_state", "datapath_version", "_version"} & {
        key for row in rows.values() for key in row
    }
    switch.stop_daemon()
    switch.stop_database()
    assert switch.rows() == rows
    switch.mend()
    switch.vsctl("del-br", "br0")
    assert switch.rows() == {}


def test_records_are_what_others_wrote(userspace, switch):
    assert switch.records() == []
    switch.vsctl(*BRIDGE)
    switch.restart()
    (record,) = switch.records()
    assert json.loads(record)["_comment"].endswith("add-br br0 -- set Bridge br0 datapath_type=netdev")
    switch.vsctl("del-br", "br0")


def test_a_write_to_the_database_is_no_silence(stack, switch):
    with stack.look.unwritten("nothing"):
        switch.vsctl("list-br")
        switch.vsctl("--no-wait", "set", "Open_vSwitch", ".", "external_ids={}")
    with (
        pytest.raises(AssertionError, match=r"a word: there was .* the switch's database, .*theirs"),
        stack.look.unannounced("a word"),
    ):
        come_and_go(switch)


def come_and_go(switch):
    """Leave no trace but that of two writes."""
    row = switch.vsctl("--no-wait", "create", "Queue", "external_ids:theirs=1")
    switch.vsctl("--no-wait", "destroy", "Queue", row)


def test_evidence_has_rows_writes_and_logs(stack, switch):
    switch.vsctl("--no-wait", "set", "Open_vSwitch", ".", "external_ids:theirs=1")
    evidence = stack.look.evidence()
    assert "theirs" in evidence["switch.txt"]
    assert "ovs-vsctl" in evidence["switch-writes.txt"]
    assert "ovs-vswitchd (Open vSwitch)" in evidence["ovs-vswitchd.log"]
    assert "ovsdb-server" in evidence["ovsdb-server.log"]


# -- faults -----------------------------------------------------------------------------------------------


def transact(switch, *operations):
    """Have a transaction by a connection of one's own, and return the answer."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(switch.address.removeprefix("unix:"))
        client.sendall(json.dumps({"method": "transact", "params": ["Open_vSwitch", *operations], "id": 7}).encode())
        said = b""
        while True:
            said += client.recv(1 << 16)
            try:
                return json.loads(said)
            except ValueError:
                continue


def test_a_transaction_is_a_request_that_can_fail(switch):
    select = {"op": "select", "table": "Bridge", "where": []}
    queue = {"op": "insert", "table": "Queue", "row": {}}
    with faults.injected(0) as seen:
        assert transact(switch, select)["result"] == [{"rows": []}]
        assert (seen.requests, seen.writes) == (1, 0)
        assert transact(switch, queue)["error"] is None
        assert (seen.requests, seen.writes) == (2, 1)
    rows = len(switch.rows())
    with faults.injected(1) as seen:
        assert transact(switch, queue)["error"]
        assert seen.hit
    assert len(switch.rows()) == rows == 1


# -- specs and features -----------------------------------------------------------------------------------


def test_what_a_switch_can_do_is_tried_once_for_all(inside):
    found = {capability: features.lacking(capability) for capability in switches.OVS}
    assert found[Capability.OVS] is None or found[Capability.OVS_USERSPACE_DATAPATH]
    if not os.path.isdir("/sys/module/openvswitch"):
        assert "datapath_type=system gets no device" in found[Capability.OVS_KERNEL_DATAPATH]
    words = found[Capability.OVS_VHOST_USER]
    assert words is None or "built without DPDK" in words


def test_programs_that_are_missing_are_named_with_what_brings_them(monkeypatch, tmp_path):
    monkeypatch.setattr(switches, "_tried", {})
    (tmp_path / "ovsdb-tool").symlink_to(shutil.which("true"))

    def unused():
        raise AssertionError("nothing can be tried")

    for capability in switches.OVS:
        words = switches.lacking(capability, unused, "apt-get install openvswitch-switch", str(tmp_path))
        assert words == "ovsdb-server is not installed: 'apt-get install openvswitch-switch' brings it"


def test_daemons_that_do_not_start_are_what_is_lacking(stack, monkeypatch):
    monkeypatch.setattr(switches, "_tried", {})
    monkeypatch.setattr(switch_module, "_SCHEMAS", (DEFAULT_PLACE / "no.ovsschema",))
    words = switches.lacking(Capability.OVS, lambda: LinuxStack("probe", namespaces.new_network()), "nothing")
    assert "no.ovsschema" in words


def test_specs_of_its_capabilities_find_it_running():
    wanting = {one.id for one in spec.collect() if runner.needs_switch(one)}
    if features.lacking(Capability.OVS):
        assert not wanting
        return
    assert {one.id for one in spec.collect() if Capability.OVS in one.capabilities} <= wanting
    assert not [one for one in wanting if not one.startswith("OV-")]


class Unable(NetDevDriver):
    """A driver that is to refuse."""

    does = False

    def probe(self, capability):
        return "not here"

    def ensure_ovs_bridge(self, bridge, **options):
        if not self.does:
            super().ensure_ovs_bridge(bridge, **options)

    def create_ovs_vif_port(self, *args, **options):
        if not self.does:
            super().create_ovs_vif_port(*args, **options)

    def delete_ovs_bridge(self, bridge): ...


Unable.__abstractmethods__ = frozenset()
each = pytest.mark.parametrize("capability", switches.OVS)


@each
@pytest.mark.parametrize("runs", [False, True], ids=["no switch", "a switch"])
def test_an_honest_refusal_is_taken(stack, capability, runs):
    if runs:
        stack.open_vswitch()
    before = stack.look.state()
    refusals.exercise(str(capability), DriverUnderTest(Unable), stack)
    assert difference(before, stack.look.state()) == []


@each
def test_what_is_done_all_the_same_is_under_claimed(stack, capability):
    with pytest.raises(AssertionError, match=f"^{capability} is under-claimed"):
        refusals.exercise(str(capability), DriverUnderTest(type("Able", (Unable,), {"does": True})), stack)


def test_a_refusal_for_another_reason_is_none(stack):
    class Other(Unable):
        def ensure_ovs_bridge(self, bridge, **options):
            raise Unsupported("no", capability="tap")

    with pytest.raises(AssertionError, match="the refusal names 'tap' instead"):
        refusals.exercise("ovs", DriverUnderTest(Other), stack)


def test_what_was_made_is_taken_back_ports_of_others_bridges_by_themselves():
    asked = []

    class Noting(Unable):
        does = True

        def create_ovs_patch_ports(self, *args, **options): ...

        def delete_ovs_bridge(self, bridge):
            asked.append(bridge)

        def delete_ovs_vif_port(self, bridge, dev, *, delete_dev=True):
            asked.append((bridge, dev, delete_dev))

    netdev = DriverUnderTest(Noting)
    netdev.ensure_ovs_bridge("br0")
    netdev.ensure_ovs_bridge("br1")
    netdev.create_ovs_vif_port("br0", "p0", "id", "02:00:00:00:00:01")
    netdev.create_ovs_vif_port("theirs", "p1", "id", "02:00:00:00:00:01")
    netdev.create_ovs_patch_ports("br1", "p2", "theirs", "p3")
    netdev.take_back()
    assert asked == [("theirs", "p3", False), ("theirs", "p1", False), "br1", "br0"]
    netdev.take_back()
    assert len(asked) == 4
