"""What becomes of a call while daemons end, hang and come back, and where it is killed or refused half way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from calling import BOUND, bounded, forked

from conformance import faults
from refnet import config
from refnet.errors import InvalidArgument, RefnetError, SwitchRefused
from refnet.netdev import Capability
from refnet.netdev.ovs import database
from tests.waiting import wait_until

MAC = "52:54:00:12:34:56"


def every_method(driver):
    return {
        "ensure_ovs_bridge": lambda: driver.ensure_ovs_bridge("br0"),
        "delete_ovs_bridge": lambda: driver.delete_ovs_bridge("br0"),
        "ovs_ports": lambda: driver.ovs_ports("br0"),
        "ovs_port": lambda: driver.ovs_port("tap1"),
        "create_ovs_vif_port": lambda: driver.create_ovs_vif_port("br0", "tap1", "id", MAC),
        "delete_ovs_vif_port": lambda: driver.delete_ovs_vif_port("br0", "tap1"),
        "set_ovs_port_vlan": lambda: driver.set_ovs_port_vlan("tap1", tag=1),
        "create_ovs_patch_ports": lambda: driver.create_ovs_patch_ports("br0", "p0", "br1", "p1"),
        "ovs_set_vhostuser_port_type": lambda: driver.ovs_set_vhostuser_port_type("tap1"),
    }


# -- nobody there ---------------------------------------------------------------------------------------


def test_without_a_database_every_method_says_where_it_was_looked_for(driver, tmp_path):
    config.configure(ovsdb=f"unix:{tmp_path}/none.sock")
    try:
        for name, call in every_method(driver).items():
            error = bounded(call)
            assert (error.operation, error.capability) == (name, "ovs")
            assert f"{tmp_path}/none.sock" in str(error)
            assert "openvswitch-switch" in str(error)
        for capability in (Capability.OVS, Capability.OVS_VHOST_USER, Capability.OVS_USERSPACE_DATAPATH):
            assert f"{tmp_path}/none.sock" in (driver.probe(capability) or "")
    finally:
        config.configure(ovsdb="")


@pytest.mark.parametrize("place", ["nonsense", "punix:/run/x", "http://127.0.0.1", "unix", "ptcp:6640"])
def test_a_place_that_is_none_is_refused(driver, place):
    config.configure(ovsdb=place)
    try:
        error = bounded(lambda: driver.ovs_ports("br0"), InvalidArgument)
        assert repr(place) in str(error)
    finally:
        config.configure(ovsdb="")


@pytest.mark.parametrize("place", ["tcp:127.0.0.1:9", "tcp:nonsense:1", "ssl:127.0.0.1:9", "tcp:127.0.0.1:x", "unix:"])
def test_a_place_where_nobody_listens_is_unreachable(driver, place):
    config.configure(ovsdb=place)
    try:
        assert place in str(bounded(lambda: driver.ovs_ports("br0")))
    finally:
        config.configure(ovsdb="")


# -- daemons end, hang, and come back -------------------------------------------------------------------


def test_a_restarted_database_is_found_again_within_a_call(ovs, switch, plug):
    plug("tap1")
    for kill in (False, True):
        switch.stop_database(kill=kill)
        switch.start_database()
        ovs.create_ovs_vif_port("br0", "tap1", f"id-{kill}", MAC)
        assert ovs.ovs_port("tap1").iface_id == f"id-{kill}"
        assert (ovs.ovs_port("tap1").ofport or 0) > 0


def test_a_database_that_is_away_for_a_moment_is_waited_for(ovs, switch, plug):
    plug("tap1")
    switch.stop_database()
    with ThreadPoolExecutor(1) as elsewhere:
        call = elsewhere.submit(ovs.create_ovs_vif_port, "br0", "tap1", "id-2", MAC)
        switch.start_database()
        call.result(BOUND)
    assert ovs.ovs_port("tap1").iface_id == "id-2"


def test_a_database_that_has_gone_for_good_is_told_each_time(ovs, switch, plug):
    plug("tap1")
    switch.stop_database()
    for _ in range(2):
        bounded(lambda: ovs.ovs_ports("br0"))
    # After that it is known to be gone, and nothing is waited for.
    for call in every_method(ovs).values():
        bounded(call)
    switch.mend()
    assert ovs.ovs_ports("br0") == ("tap1",)


def test_a_restarted_switch_takes_the_next_call(ovs, switch, plug):
    plug("tap1")
    for kill in (False, True):
        switch.stop_daemon(kill=kill)
        switch.start_daemon()
        plug("tap2")
        assert (ovs.ovs_port("tap2").ofport or 0) > 0
        ovs.delete_ovs_vif_port("br0", "tap2")


def test_a_switch_that_has_ended_is_told_and_nothing_is_written(ovs, switch, plug, monkeypatch):
    monkeypatch.setattr(database, "ANSWER", 1.0)
    plug("tap1")
    ovs.create_tap_dev("tap2")
    switch.stop_daemon(kill=True)
    before = switch.records()
    for call in every_method(ovs).values():
        assert "ovs-vswitchd" in str(bounded(call))
    bounded(lambda: ovs.create_ovs_vif_port("br0", "tap2", "id", MAC))
    assert switch.records() == before
    assert ovs.device_exists("tap1")
    assert "ovs-vswitchd" in (ovs.probe(Capability.OVS) or "")
    switch.start_daemon()
    assert ovs.probe(Capability.OVS) is None


def test_what_a_hung_switch_does_not_do_is_taken_back(ovs, switch, plug, monkeypatch):
    monkeypatch.setattr(database, "ANSWER", 1.5)
    plug("tap1", tag=3)
    ovs.ensure_ovs_bridge("br1", datapath_type="netdev")
    ovs.create_tap_dev("tap2")
    before = switch.rows()
    with switch.hung_daemon():
        for call in (
            lambda: ovs.create_ovs_vif_port("br0", "tap2", "id", MAC, mtu=1400),
            lambda: ovs.create_ovs_vif_port("br0", "tap1", "another", MAC, tag=4, trunks=(5,)),
            lambda: ovs.set_ovs_port_vlan("tap1", tag=9),
            lambda: ovs.ensure_ovs_bridge("br2", datapath_type="netdev"),
            lambda: ovs.ensure_ovs_bridge("br1", fail_mode="secure", mac_address=MAC, mtu=1400),
            lambda: ovs.create_ovs_patch_ports("br0", "p0", "br1", "p1"),
            lambda: ovs.delete_ovs_bridge("br1"),
        ):
            assert "ovs-vswitchd" in str(bounded(call))
            assert switch.rows() == before
        bounded(lambda: ovs.delete_ovs_vif_port("br0", "tap1"))
        assert without_ids(switch.rows()) == without_ids(before)
    assert ovs.device_exists("tap1")
    assert ovs.device("tap2").mtu == 1500
    plug("tap1", tag=3)
    assert (ovs.ovs_port("tap1").ofport or 0) > 0


def without_ids(rows):
    """Rows that were deleted and are back have new UUIDs, and no numbers yet."""
    return {
        name: {
            key: value for key, value in row.items() if key not in ("_uuid", "bridges", "ports", "interfaces", "ofport")
        }
        for name, row in rows.items()
    }


def test_a_hung_database_is_told_within_a_bound(ovs, switch, plug, monkeypatch):
    monkeypatch.setattr(database, "ANSWER", 1.5)
    plug("tap1")
    before = switch.rows()
    with switch.hung_database():
        for call in every_method(ovs).values():
            assert "ovsdb-server" in str(bounded(call))
        assert "does not answer" in (ovs.probe(Capability.OVS) or "")
    assert ovs.ovs_ports("br0") == ("tap1",)
    assert switch.rows() == before


def test_another_place_is_used_from_the_next_call_on(ovs, switch, plug, tmp_path):
    plug("tap1")
    os.symlink(switch.directory / "db.sock", tmp_path / "other.sock")
    opened = len(os.listdir("/proc/self/fd"))
    config.configure(ovsdb=f"unix:{tmp_path}/other.sock")
    assert ovs.ovs_ports("br0") == ("tap1",)
    assert len(os.listdir("/proc/self/fd")) == opened
    config.configure(ovsdb=f"unix:{tmp_path}/gone.sock")
    bounded(lambda: ovs.ovs_ports("br0"))
    config.configure(ovsdb=switch.address)
    assert ovs.ovs_ports("br0") == ("tap1",)


def test_a_database_over_tcp_does_the_same(ovs, switch, plug):
    switch.appctl("version")
    subprocess.run(
        ["ovs-appctl", "-t", f"{switch.directory}/ovsdb-server.ctl", "ovsdb-server/add-remote", "ptcp:6640:127.0.0.1"],
        check=True,
        capture_output=True,
    )
    config.configure(ovsdb="tcp:127.0.0.1:6640")
    plug("tap1", tag=4)
    assert ovs.ovs_port("tap1").tag == 4
    switch.restart()
    config.configure(ovsdb=switch.address)
    assert ovs.ovs_port("tap1").tag == 4


def test_a_database_of_an_older_schema_is_used_without_what_it_lacks(ovs, switch, plug, tmp_path):
    schema = json.loads(Path("/usr/share/openvswitch/vswitch.ovsschema").read_text())
    for table, column in (("Interface", "mtu_request"), ("Interface", "lldp"), ("Interface", "cfm_mpid")):
        del schema["tables"][table]["columns"][column]
    schema.update(version="7.1.0", cksum="0 0")
    lean = tmp_path / "lean.ovsschema"
    lean.write_text(json.dumps(schema))
    switch.stop_daemon()
    subprocess.run(
        ["ovs-appctl", "-t", f"{switch.directory}/ovsdb-server.ctl", "exit"], check=True, capture_output=True
    )
    wait_until(lambda: not (switch.directory / "ovsdb-server.pid").exists(), "the database ends")
    subprocess.run(["ovsdb-tool", "convert", str(switch.directory / "conf.db"), str(lean)], check=True)
    switch.mend()
    plug("tap1", mtu=1400)
    ovs.create_ovs_vif_port("br0", "gw0", "id", MAC, interface_type="internal", mtu=1400)
    assert ovs.device("gw0").mtu == 1400
    assert "dpdkvhostuser" in (ovs.probe(Capability.OVS_VHOST_USER) or "")


# -- killed half way, and refused half way --------------------------------------------------------------


def calls_of(ovs):
    return {
        "bridge": lambda: ovs.ensure_ovs_bridge("br1", datapath_type="netdev", mac_address=MAC, mtu=1400),
        "port": lambda: ovs.create_ovs_vif_port("br0", "tap1", "id", MAC, tag=5, mtu=1400),
        "gateway": lambda: ovs.create_ovs_vif_port("br0", "gw0", "id", MAC, interface_type="internal", mtu=1400),
        "cable": lambda: ovs.create_ovs_patch_ports("br0", "p0", "brx", "px"),
        "no port": lambda: ovs.delete_ovs_vif_port("br0", "gone1"),
        "no bridge": lambda: ovs.delete_ovs_bridge("brg"),
    }


def state_of(ovs, switch):
    devices = {}
    for dev in ("br1", "tap1", "gw0", "gone1", "brg"):
        if ovs.device_exists(dev):
            device = ovs.device(dev)
            devices[dev] = (device.mtu, device.up, device.mac_address if dev in ("br1", "gw0") else None)
    return without_ids(switch.rows()), devices


def prepare(ovs):
    for dev in ("tap1", "gone1"):
        ovs.create_tap_dev(dev)
    ovs.ensure_ovs_bridge("brx", datapath_type="netdev")
    ovs.ensure_ovs_bridge("brg", datapath_type="netdev")
    ovs.create_ovs_vif_port("br0", "gone1", "id", MAC)


@pytest.mark.parametrize("what", ["bridge", "port", "gateway", "cable", "no port", "no bridge"])
def test_killed_at_any_request_the_next_call_brings_it_to_its_end(ovs, switch, what):
    prepare(ovs)
    call = calls_of(ovs)[what]
    for at in range(1, 30):

        def killed(at=at):
            with faults.injected(at, kill=True):
                call()

        status = forked(killed)[0]
        assert status in (0, -signal.SIGKILL)
        call()
        done = state_of(ovs, switch)
        if status == 0:
            break
        undo(ovs, what)
    else:
        pytest.fail("the call has no end")
    assert at > 1
    undo(ovs, what)
    call()
    assert state_of(ovs, switch) == done


def undo(ovs, what):
    match what:
        case "bridge":
            ovs.delete_ovs_bridge("br1")
        case "port":
            ovs.delete_ovs_vif_port("br0", "tap1")
            ovs.create_tap_dev("tap1")
        case "gateway":
            ovs.delete_ovs_vif_port("br0", "gw0")
        case "cable":
            ovs.delete_ovs_vif_port("br0", "p0")
            ovs.delete_ovs_vif_port("brx", "px")
        case "no port":
            ovs.create_tap_dev("gone1")
            ovs.create_ovs_vif_port("br0", "gone1", "id", MAC)
        case "no bridge":
            ovs.ensure_ovs_bridge("brg", datapath_type="netdev")


@pytest.mark.parametrize("what", ["bridge", "port", "gateway", "cable", "no port", "no bridge"])
def test_refused_at_any_request_everything_is_as_it_was_or_done(ovs, switch, what):
    prepare(ovs)
    call = calls_of(ovs)[what]
    before = state_of(ovs, switch)
    refused = 0
    for at in range(1, 30):
        error = None
        with faults.injected(at) as injected:
            try:
                call()
            except RefnetError as caught:
                error = caught
        if error is not None:
            refused += 1
            rows, devices = state_of(ovs, switch)
            # What the switch has let go of already is not given back to it.
            is_done = {"no port": "Port gone1" not in rows, "no bridge": "Bridge brg" not in rows}.get(what, False)
            assert (rows, devices) == before or is_done, (at, error)
            assert error.operation
        if not injected.hit:
            break
        undo(ovs, what)
        state = before if what.startswith("no ") else None
        assert state is None or state_of(ovs, switch) == state
    assert refused


def test_a_transaction_that_the_database_refuses_is_told_in_its_words(ovs, switch, plug):
    plug("tap1")
    with faults.injected(1) as injected, pytest.raises(SwitchRefused) as caught:
        ovs.set_ovs_port_vlan("tap1", tag=5)
    assert injected.hit
    assert "unknown method" in (caught.value.detail or "").lower()
