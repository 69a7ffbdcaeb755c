"""Ports whose device was replaced while the switch did not look keep what is configured of them however a call ends."""

from __future__ import annotations

import os
import signal
import socket

import pytest

from conformance import faults
from refnet.errors import SwitchRefused, WrongKind
from refnet.netdev.linux import LinuxNetDevDriver
from refnet.netdev.ovs import database, plan

MAC = "52:54:00:12:34:56"


@pytest.fixture
def replace(ovs, switch):
    """Give tap1 to another device, unseen by the switch."""

    def replace():
        with switch.hung_daemon():
            ovs.delete_net_dev("tap1")
            ovs.create_tap_dev("tap1")
        assert ovs._is_heard_by_switch("tap1") is False

    return replace


@pytest.fixture
def quarantined(switch, plug):
    """A port that others have configured: in Neutron's VLAN of nobody, with an id, and mirrored."""
    plug("tap1", tag=4095)
    port = ("--id=@port", "get", "Port", "tap1", "--", "--id=@mirror", "create", "Mirror", "name=m")
    switch.vsctl("--", *port, "select-src-port=@port", "--", "set", "Bridge", "br0", "mirrors=@mirror")
    switch.vsctl("set", "Interface", "tap1", "external_ids:owner=somebody")
    return rows_of(switch)


def rows_of(switch):
    return {name: row for name, row in switch.rows().items() if name in ("Port tap1", "Interface tap1", "Mirror m")}


def configured(rows):
    return [rows["Port tap1"], rows["Interface tap1"]["external_ids"], rows["Mirror m"]]


def plug_again(driver):
    driver.create_ovs_vif_port("br0", "tap1", "id-tap1", MAC)


def is_whole(ovs, switch):
    return ovs._is_heard_by_switch("tap1") and int(
        switch.vsctl("get", "Interface", "tap1", "ifindex")
    ) == socket.if_nametoindex("tap1")


def test_it_is_a_port_again_by_its_own_row(ovs, switch, quarantined, replace):
    replace()
    plug_again(ovs)
    assert is_whole(ovs, switch)
    assert configured(rows_of(switch)) == configured(quarantined)
    found = ovs.ovs_port("tap1")
    assert (found.interface_type, found.tag, found.error, bool(found.ofport)) == ("", 4095, None, True)


def test_killed_at_any_request_nothing_of_its_configuration_is_lost(ovs, switch, quarantined, replace):
    between = 0
    for at in range(1, 30):
        replace()
        child = os.fork()
        if not child:
            with faults.injected(at, kill=True):
                plug_again(ovs)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, -signal.SIGKILL)
        assert configured(rows_of(switch)) == configured(quarantined), at
        between += rows_of(switch)["Interface tap1"].get("type") == plan.REPLACED
        plug_again(ovs)
        assert configured(rows_of(switch)) == configured(quarantined), at
        assert is_whole(ovs, switch)
        if status == 0:
            break
    else:
        pytest.fail("the call has no end")
    assert between


def test_a_connection_that_is_lost_half_way_loses_nothing(ovs, switch, quarantined, replace, monkeypatch):
    replace()
    planned = plan.port
    restarts = []

    def port(*arguments, **words):
        if not restarts:
            restarts.append(rows_of(switch))
            switch.stop_database(kill=True)
            switch.start_database()
        return planned(*arguments, **words)

    monkeypatch.setattr(plan, "port", port)
    plug_again(ovs)
    assert configured(restarts[0]) == configured(quarantined)
    assert configured(rows_of(switch)) == configured(quarantined)
    assert is_whole(ovs, switch)


def test_a_call_that_fails_half_way_leaves_the_row_as_it_was(ovs, switch, quarantined, replace, monkeypatch):
    replace()

    def refused(*arguments, **words):
        raise SwitchRefused("not now")

    monkeypatch.setattr(plan, "port", refused)
    with pytest.raises(SwitchRefused):
        plug_again(ovs)
    # But for its number, which is of the new device.
    rows = rows_of(switch)
    assert configured(rows) == configured(quarantined)
    assert rows["Interface tap1"].keys() == quarantined["Interface tap1"].keys()


def test_what_another_call_has_begun_is_seen_by_the_switch_before_it_is_ended(ovs, switch, plug, replace, monkeypatch):
    plug("tap1")
    replace()
    waited = database.Session.wait_for
    daemon = int((switch.directory / "ovs-vswitchd.pid").read_text())
    with switch.hung_daemon():
        number = int(switch.vsctl("get", "Open_vSwitch", ".", "next_cfg")) + 1
        begun = ("set", "Interface", "tap1", f"type={plan.REPLACED}")
        switch.vsctl("--no-wait", *begun, "--", "set", "Open_vSwitch", ".", f"next_cfg={number}")

        def wait_for(session, done):
            # The switch looks when it is waited for, and not before.
            os.kill(daemon, signal.SIGCONT)
            return waited(session, done)

        monkeypatch.setattr(database.Session, "wait_for", wait_for)
        plug_again(ovs)
    assert is_whole(ovs, switch)


def test_a_port_that_another_call_has_mended_first_is_left_alone(ovs, switch, plug, replace, monkeypatch):
    plug("tap1")
    replace()
    planned, numbers = plan.parted, []

    def parted(there):
        operations = planned(there)
        if not numbers:  # between this call's look and what it writes
            numbers.append(None)
            with LinuxNetDevDriver() as another:
                plug_again(another)
                numbers[0] = another.ovs_port("tap1").ofport
        return operations

    monkeypatch.setattr(plan, "parted", parted)
    plug_again(ovs)
    assert is_whole(ovs, switch)
    assert numbers == [ovs.ovs_port("tap1").ofport]


def test_a_port_between_two_devices_is_described_changed_and_deleted(ovs, switch, plug):
    plug("tap1", tag=7)
    switch.vsctl("set", "Interface", "tap1", f"type={plan.REPLACED}")
    found = ovs.ovs_port("tap1")
    assert (found.interface_type, found.tag, found.ofport, bool(found.error)) == (plan.REPLACED, 7, None, True)
    ovs.set_ovs_port_vlan("tap1", tag=8)
    ovs.create_ovs_vif_port("br0", "tap1", "id", MAC, device_later=True)
    assert (ovs.ovs_port("tap1").interface_type, ovs.ovs_port("tap1").tag) == ("", 8)
    switch.vsctl("set", "Interface", "tap1", f"type={plan.REPLACED}")
    ovs.delete_ovs_vif_port("br0", "tap1")
    assert not ovs.device_exists("tap1")


# -- what is not replaced -------------------------------------------------------------------------------


def test_a_device_of_the_switchs_making_outlives_a_call_that_forgets_its_type(ovs, switch):
    ovs.create_ovs_vif_port("br0", "gw0", "id", MAC, interface_type="internal", tag=7)
    ovs.add_device_address("gw0", "192.0.2.1/24")
    ovs.ensure_ovs_bridge("br1", datapath_type="netdev")
    ovs.create_ovs_patch_ports("br0", "p0", "br1", "p1")
    before, device = switch.rows(), ovs.device("gw0")
    for dev, later in (("gw0", False), ("gw0", True), ("p0", True)):
        with pytest.raises(WrongKind, match=r"'internal'|'patch'") as caught:
            ovs.create_ovs_vif_port("br0", dev, "id", MAC, device_later=later)
        assert caught.value.device == dev
        assert switch.rows() == before
        assert ovs.device("gw0") == device
