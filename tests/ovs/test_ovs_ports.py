"""Ports and bridges of a real Open vSwitch: what is written, what is kept, and what is refused."""

from __future__ import annotations

import os
import socket
import time

import pytest

from refnet.errors import (
    AlreadyEnslaved,
    InvalidArgument,
    InvalidName,
    Mismatch,
    NoSuchDevice,
    SwitchRefused,
    Unsupported,
    WrongKind,
)
from refnet.netdev import Capability, VlanMode
from tests.waiting import wait_until

MAC, OTHER_MAC = "52:54:00:12:34:56", "52:54:00:12:34:57"


def written(switch, call):
    """Return what a call writes: a text for each transaction."""
    before = len(switch.records())
    call()
    return switch.records()[before:]


def test_a_port_has_the_ids_that_controllers_know_it_by(ovs, switch, plug):
    plug("tap1", instance_id="vm-1")
    ids = switch.rows()["Interface tap1"]["external_ids"]
    assert ids == {"iface-id": "id-tap1", "iface-status": "active", "attached-mac": MAC, "vm-uuid": "vm-1"}
    assert int(switch.vsctl("get", "Interface", "tap1", "ofport")) > 0
    found = ovs.ovs_port("tap1")
    assert (found.bridge, found.iface_id, found.vm_uuid, found.error) == ("br0", "id-tap1", "vm-1", None)
    assert found.ofport == int(switch.vsctl("get", "Interface", "tap1", "ofport"))


def test_a_call_is_one_transaction_and_one_that_has_nothing_to_do_is_none(ovs, switch, plug):
    ovs.create_tap_dev("tap1")

    def create(**options):
        ovs.create_ovs_vif_port("br0", "tap1", "id", MAC, "vm", **options)

    dead = {"tag": 4095, "trunks": (4095,), "vlan_mode": "trunk"}
    for options in ({}, {"tag": 7}, {"tag": 7, "trunks": (8, 9)}, {"trunks": [8, 9, 10]}, {"vlan_mode": "trunk"}, dead):
        assert len(written(switch, lambda options=options: create(**options))) == 1, options
        assert written(switch, lambda options=options: create(**options)) == [], options
    assert len(written(switch, lambda: ovs.ensure_ovs_bridge("br0", fail_mode="secure", mac_address=MAC))) == 1
    assert written(switch, lambda: ovs.ensure_ovs_bridge("br0", fail_mode="secure", mac_address=MAC)) == []
    assert len(written(switch, lambda: ovs.set_ovs_port_vlan("tap1", tag=5))) == 1
    assert written(switch, lambda: ovs.set_ovs_port_vlan("tap1", tag=5)) == []
    assert len(written(switch, lambda: ovs.delete_ovs_vif_port("br0", "tap1"))) == 1
    assert written(switch, lambda: ovs.delete_ovs_vif_port("br0", "tap1")) == []
    assert not ovs.device_exists("tap1")


def test_only_what_differs_is_written_and_a_healthy_port_keeps_its_number(ovs, switch, plug):
    plug("tap1", instance_id="vm-1")
    number, row = ovs.ovs_port("tap1").ofport, switch.rows()["Port tap1"]["_uuid"]
    (record,) = written(switch, lambda: ovs.create_ovs_vif_port("br0", "tap1", "id-2", OTHER_MAC, tag=9))
    assert '"tag":9' in record
    assert '"ofport"' not in record
    assert ovs.ovs_port("tap1").ofport == number
    assert switch.rows()["Port tap1"]["_uuid"] == row
    # What is not named is taken off.
    ids = switch.rows()["Interface tap1"]["external_ids"]
    assert ids == {"iface-id": "id-2", "iface-status": "active", "attached-mac": OTHER_MAC}


def test_a_call_without_a_word_of_vlans_leaves_them_to_others(ovs, switch, plug):
    plug("tap1")
    switch.vsctl("set", "Port", "tap1", "tag=7", "vlan_mode=access")
    assert written(switch, lambda: plug("tap1")) == []
    assert ovs.ovs_port("tap1").tag == 7
    plug("tap1", trunks=(8,))
    found = ovs.ovs_port("tap1")
    assert (found.tag, found.trunks, found.vlan_mode) == (None, (8,), None)
    ovs.set_ovs_port_vlan("tap1")
    assert ovs.ovs_port("tap1").trunks == ()


def test_what_others_have_written_is_kept(ovs, switch, plug):
    plug("tap1", tag=3)
    foreign = {"owner": "somebody"}
    switch.vsctl("set", "Interface", "tap1", "external_ids:owner=somebody", "other_config:theirs=1", "lldp:enable=true")
    switch.vsctl("set", "Port", "tap1", "external_ids:owner=somebody")
    switch.vsctl("set", "Bridge", "br0", "external_ids:owner=somebody", "other_config:mac-aging-time=17")
    ovs.create_ovs_vif_port("br0", "tap1", "id", OTHER_MAC, tag=4)
    ovs.ensure_ovs_bridge("br0", mac_address=OTHER_MAC)
    for _ in range(2):
        rows = switch.rows()
        assert rows["Port tap1"]["external_ids"] == foreign
        interface = rows["Interface tap1"]
        assert interface["external_ids"].items() >= foreign.items()
        assert interface["other_config"] == {"theirs": 1} or interface["other_config"] == {"theirs": "1"}
        assert interface["lldp"] == {"enable": "true"}
        assert rows["Bridge br0"]["other_config"] == {"mac-aging-time": "17", "hwaddr": OTHER_MAC}
        assert rows["Bridge br0"]["external_ids"] == foreign
        # The second time round: a port that is made anew keeps it as well.
        ovs.delete_net_dev("tap1")
        switch.vsctl("--no-wait", "set", "Interface", "tap1", "ofport_request=77")
        ovs.create_tap_dev("tap1")
        ovs.create_ovs_vif_port("br0", "tap1", "id", OTHER_MAC, tag=4)


def test_a_port_that_the_switch_has_given_up_is_made_anew_at_once(ovs, switch):
    switch.vsctl("add-port", "br0", "tap1", "--", "set", "Interface", "tap1", "external_ids:owner=somebody")
    assert ovs.ovs_port("tap1").ofport is None
    assert "tap1" in (ovs.ovs_port("tap1").error or "")
    with switch.hung_daemon():
        ovs.create_tap_dev("tap1")  # which the switch would take by itself, if it ran
    (record,) = written(switch, lambda: ovs.create_ovs_vif_port("br0", "tap1", "id", MAC)) or [""]
    assert (ovs.ovs_port("tap1").ofport or 0) > 0
    assert ovs.ovs_port("tap1").error is None
    assert switch.rows()["Interface tap1"]["external_ids"]["owner"] == "somebody"
    assert record.count('"tap1"') in (0, 2)  # both rows anew, or the switch was quicker


def test_a_device_that_is_to_come_later_is_no_error_and_is_taken_when_it_comes(ovs, switch):
    ovs.create_ovs_vif_port("br0", "tap1", "id", MAC, device_later=True)
    assert ovs.ovs_port("tap1").ofport is None
    assert written(switch, lambda: ovs.create_ovs_vif_port("br0", "tap1", "id", MAC, device_later=True)) == []
    ovs.create_tap_dev("tap1")
    wait_until(lambda: ovs.ovs_port("tap1").ofport, "the switch takes the device")
    ovs.create_ovs_vif_port("br0", "tap1", "id", MAC, device_later=True)
    for wrong in ({"mtu": 1400}, {"interface_type": "internal"}):
        with pytest.raises(InvalidArgument, match="device_later"):
            ovs.create_ovs_vif_port("br0", "tap2", "id", MAC, device_later=True, **wrong)


def test_a_device_replaced_under_its_name_is_a_port_again(ovs, switch, plug):
    plug("tap1", tag=12)
    switch.vsctl("set", "Interface", "tap1", "external_ids:owner=somebody")
    with switch.hung_daemon():
        ovs.delete_net_dev("tap1")
        ovs.create_tap_dev("tap1")
    ovs.create_ovs_vif_port("br0", "tap1", "id", MAC, tag=12)
    assert ovs._is_heard_by_switch("tap1")
    assert switch.rows()["Interface tap1"]["external_ids"]["owner"] == "somebody"
    assert int(switch.vsctl("get", "Interface", "tap1", "ifindex")) == socket.if_nametoindex("tap1")


def test_internal_ports_are_up_with_their_address_and_mtu(ovs):
    ovs.create_ovs_vif_port("br0", "gw0", "id", MAC, interface_type="internal", mtu=1400)
    device = ovs.device("gw0")
    assert (device.mac_address, device.mtu, device.up) == (MAC, 1400, True)
    ovs.set_device_disabled("gw0")
    ovs.create_ovs_vif_port("br0", "gw0", "id", OTHER_MAC, interface_type="internal", mtu=1300)
    device = ovs.device("gw0")
    assert (device.mac_address, device.mtu, device.up) == (OTHER_MAC, 1300, True)
    ovs.delete_ovs_vif_port("br0", "gw0")
    assert not ovs.device_exists("gw0")


def test_a_bridge_has_what_was_asked_and_keeps_what_was_not(ovs, switch):
    ovs.ensure_ovs_bridge("br1", datapath_type="netdev", fail_mode="secure", mac_address=MAC, mtu=1400)
    for _ in range(2):
        device = ovs.device("br1")
        assert (device.mac_address, device.mtu, device.up) == (MAC, 1400, True)
        row = switch.rows()["Bridge br1"]
        assert (row["datapath_type"], row["fail_mode"]) == ("netdev", "secure")
        ovs.ensure_ovs_bridge("br1")
    ovs.delete_ovs_bridge("br1")
    assert not ovs.device_exists("br1")
    ovs.delete_ovs_bridge("br1")


def test_a_datapath_that_is_not_here_is_unsupported_and_nothing_is_left(ovs, switch):
    if ovs.probe(Capability.OVS_KERNEL_DATAPATH) is None:
        pytest.skip("this kernel has the datapath")
    before = switch.rows()
    for options in ({}, {"datapath_type": "system"}):
        with pytest.raises(Unsupported) as caught:
            ovs.ensure_ovs_bridge("br1", **options)
        assert caught.value.capability == "ovs-kernel-datapath"
        assert switch.rows() == before
    with pytest.raises(Unsupported):
        ovs.ensure_ovs_bridge("br0", datapath_type="system")
    assert switch.rows() == before
    assert ovs.device("br0").up


def test_types_that_need_dpdk_are_unsupported_without_it(ovs, switch, plug):
    plug("tap1")
    before = switch.rows()
    for kind, path in (("dpdkvhostuser", None), ("dpdkvhostuserclient", "/run/vhost1")):
        with pytest.raises(Unsupported) as caught:
            ovs.create_ovs_vif_port("br0", "vhu1", "id", MAC, interface_type=kind, vhost_server_path=path)
        assert caught.value.capability == "ovs-vhost-user"
    with pytest.raises(Unsupported):
        ovs.ovs_set_vhostuser_port_type("tap1")
    assert switch.rows() == before


def test_patch_ports_join_two_bridges(ovs, switch):
    ovs.ensure_ovs_bridge("br1", datapath_type="netdev")
    long = "pbp" + "0123456789abcdef" * 2
    ovs.create_ovs_patch_ports("br0", long, "br1", "to-br0", tag=5, iface_id="id", mac_address=MAC, instance_id="vm")
    near, far = ovs.ovs_port(long), ovs.ovs_port("to-br0")
    assert (near.peer, near.tag, near.iface_id, near.error) == ("to-br0", 5, "id", None)
    assert (far.peer, far.tag, far.bridge, far.error) == (long, None, "br1", None)
    assert (
        written(
            switch,
            lambda: ovs.create_ovs_patch_ports(
                "br0", long, "br1", "to-br0", tag=5, iface_id="id", mac_address=MAC, instance_id="vm"
            ),
        )
        == []
    )
    # One end that is gone is made again.
    ovs.delete_ovs_vif_port("br0", long)
    ovs.create_ovs_patch_ports("br0", long, "br1", "to-br0")
    assert ovs.ovs_port(long).error is None
    ovs.create_tap_dev("tap1")
    ovs.create_ovs_vif_port("br0", "tap1", "id", MAC)
    for wrong in (("br0", "tap1", "br1", "p2"), ("br0", "p1", "br1", "to-br0"), ("br0", "br1", "br1", "p2")):
        before = switch.rows()
        with pytest.raises(Mismatch):
            ovs.create_ovs_patch_ports(*wrong)
        assert switch.rows() == before
    with pytest.raises(InvalidArgument):
        ovs.create_ovs_patch_ports("br0", "p1", "br0", "p2")
    with pytest.raises(NoSuchDevice) as caught:
        ovs.create_ovs_patch_ports("br0", "p1", "br9", "p2")
    assert caught.value.device == "br9"


def test_bridges_of_different_datapaths_are_not_joined(ovs, switch):
    switch.vsctl("--no-wait", "add-br", "br1")
    before = switch.rows()
    with pytest.raises(SwitchRefused, match=r"'netdev'.*'system'"):
        ovs.create_ovs_patch_ports("br0", "p1", "br1", "p2")
    assert switch.rows() == before


def test_what_belongs_elsewhere_stays_there(ovs, switch, plug):
    plug("tap1")
    ovs.ensure_ovs_bridge("br1", datapath_type="netdev")
    ovs.create_bridge("linuxbr")
    ovs.create_tap_dev("tap2")
    ovs.add_bridge_port("linuxbr", "tap2")
    before = switch.rows()
    with pytest.raises(AlreadyEnslaved) as caught:
        ovs.create_ovs_vif_port("br1", "tap1", "id", MAC)
    assert caught.value.master == "br0"
    with pytest.raises(AlreadyEnslaved) as caught:
        ovs.create_ovs_vif_port("br0", "tap2", "id", MAC)
    assert caught.value.master == "linuxbr"
    ovs.delete_ovs_vif_port("br1", "tap1")
    ovs.delete_ovs_vif_port("br0", "tap2")
    assert ovs.device_exists("tap1")
    assert ovs.device("tap2").master == "linuxbr"
    for wrong in ("br0", "br1", "linuxbr", "lo"):
        with pytest.raises(WrongKind):
            ovs.create_ovs_vif_port("br0", wrong, "id", MAC)
    for wrong in ("tap1", "linuxbr", "tap2"):
        with pytest.raises(WrongKind):
            ovs.ensure_ovs_bridge(wrong, datapath_type="netdev")
        if wrong != "tap1":
            with pytest.raises(WrongKind):
                ovs.delete_ovs_bridge(wrong)
    assert switch.rows() == before


def test_bonds_are_left_alone(ovs, switch):
    for dev in ("tap1", "tap2"):
        ovs.create_tap_dev(dev)
    switch.vsctl("add-bond", "br0", "bond0", "tap1", "tap2")
    before = switch.rows()
    for dev in ("bond0", "tap1"):
        with pytest.raises(Mismatch, match="bond0"):
            ovs.create_ovs_vif_port("br0", dev, "id", MAC, device_later=True)
        with pytest.raises(Mismatch, match="bond0"):
            ovs.delete_ovs_vif_port("br0", dev)
    assert switch.rows() == before
    assert ovs.ovs_ports("br0") == ("bond0",)
    assert ovs.ovs_port("bond0").bridge == "br0"


def test_what_the_switch_cannot_do_is_taken_back_with_its_words(ovs, switch, plug):
    plug("tap1", tag=3)
    before = switch.rows()
    # Names that the switch keeps for itself: devices of its tunnels (lib/netdev.c, netdev_is_reserved_name).
    for name in ("gre_sys", "vxlan_sys"):
        with pytest.raises(SwitchRefused) as caught:
            ovs.create_ovs_vif_port("br0", name, "id", MAC, interface_type="internal")
        assert (caught.value.device, bool(caught.value.detail)) == (name, True)
        assert switch.rows() == before
    assert (ovs.ovs_port("tap1").ofport or 0) > 0


def test_an_mtu_that_the_device_does_not_take_is_refused_and_taken_back(ovs, switch, plug):
    plug("tap1")
    before = switch.rows()
    with pytest.raises(InvalidArgument):
        ovs.create_ovs_vif_port("br0", "tap1", "id-tap1", MAC, mtu=65535)
    assert switch.rows() == before
    with pytest.raises(InvalidArgument):
        ovs.create_ovs_vif_port("br0", "gw0", "id", MAC, interface_type="internal", mtu=65535)
    assert switch.rows() == before
    assert not ovs.device_exists("gw0")


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (("br0", "tap1", "", MAC), {}),
        (("br0", "tap1", "x" * 256, MAC), {}),
        (("br0", "tap1", "a\nb", MAC), {}),
        (("br0", "tap1", 7, MAC), {}),
        (("br0", "tap1", "id", "01:00:00:00:00:01"), {}),
        (("br0", "tap1", "id", MAC, "\x1b[2J"), {}),
        (("br0", "tap1", "id", MAC), {"tag": 0}),
        (("br0", "tap1", "id", MAC), {"tag": 4096}),
        (("br0", "tap1", "id", MAC), {"tag": True}),
        (("br0", "tap1", "id", MAC), {"trunks": (4096,)}),
        (("br0", "tap1", "id", MAC), {"trunks": "12"}),
        (("br0", "tap1", "id", MAC), {"trunks": 12}),
        (("br0", "tap1", "id", MAC), {"vlan_mode": "dot1q-tunnel"}),
        (("br0", "tap1", "id", MAC), {"vlan_mode": "access"}),
        (("br0", "tap1", "id", MAC), {"vlan_mode": VlanMode.NATIVE_TAGGED, "trunks": (1,)}),
        (("br0", "tap1", "id", MAC), {"vlan_mode": "access", "tag": 1, "trunks": (2,)}),
        (("br0", "tap1", "id", MAC), {"interface_type": "vxlan"}),
        (("br0", "tap1", "id", MAC), {"interface_type": "dpdkvhostuserclient"}),
        (("br0", "tap1", "id", MAC), {"vhost_server_path": "/run/x"}),
        (("br0", "tap1", "id", MAC), {"interface_type": "dpdkvhostuserclient", "vhost_server_path": "run/x"}),
        (("br0", "tap1", "id", MAC), {"interface_type": "dpdkvhostuserclient", "vhost_server_path": "/" + "x" * 103}),
        (("br0", "tap1", "id", MAC), {"mtu": 67}),
        (("br0", "tap1", "id", MAC), {"device_later": "yes"}),
        (("br0", "a/b", "id", MAC), {}),
        (("br0", "x" * 16, "id", MAC), {}),
        (("br 0", "tap1", "id", MAC), {}),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_asked(driver, arguments, options):
    # There is no switch here at all: an argument is looked at first.
    with pytest.raises(InvalidArgument):
        driver.create_ovs_vif_port(*arguments, **options)


def test_names_are_refused_before_anything_is_asked(driver):
    for call in (
        lambda: driver.ensure_ovs_bridge("a b"),
        lambda: driver.delete_ovs_bridge("%d"),
        lambda: driver.ovs_ports(""),
        lambda: driver.ovs_port("x" * 64),
        lambda: driver.delete_ovs_vif_port("br0", "a:b"),
        lambda: driver.set_ovs_port_vlan("*"),
        lambda: driver.create_ovs_patch_ports("br0", "x" * 64, "br1", "p"),
        lambda: driver.ovs_set_vhostuser_port_type("x" * 16),
    ):
        with pytest.raises(InvalidName):
            call()
    for options in ({"datapath_type": "kernel"}, {"fail_mode": "open"}, {"mtu": 1}, {"mac_address": "x"}):
        with pytest.raises(InvalidArgument):
            driver.ensure_ovs_bridge("br0", **options)


def test_what_is_not_there_is_named(ovs):
    ovs.create_tap_dev("tap1")
    for call, missing in (
        (lambda: ovs.create_ovs_vif_port("br9", "tap1", "id", MAC), "br9"),
        (lambda: ovs.create_ovs_vif_port("br0", "tap9", "id", MAC), "tap9"),
        (lambda: ovs.ovs_ports("br9"), "br9"),
        (lambda: ovs.ovs_port("tap1"), "tap1"),
        (lambda: ovs.set_ovs_port_vlan("tap1", tag=1), "tap1"),
        (lambda: ovs.ovs_set_vhostuser_port_type("tap1"), "tap1"),
    ):
        with pytest.raises(NoSuchDevice) as caught:
            call()
        assert caught.value.device == missing


def test_a_hundred_ports_are_listed_sorted_and_go_with_their_bridge(ovs, switch):
    devices = [f"tap{number}" for number in range(100)]
    for dev in devices:
        ovs.create_tap_dev(dev)
        ovs.create_ovs_vif_port("br0", dev, dev, MAC)
    assert ovs.ovs_ports("br0") == tuple(sorted(devices))
    ovs.delete_ovs_bridge("br0")
    assert all(ovs.device_exists(dev) for dev in devices)
    assert [name for name in switch.rows() if name.split()[0] in ("Bridge", "Port", "Interface")] == []


def test_a_port_is_taken_from_the_switch_before_its_device_goes(ovs, switch, plug):
    plug("tap1")
    ovs.delete_ovs_vif_port("br0", "tap1", delete_dev=False)
    assert ovs.device_exists("tap1")
    assert not ovs._is_heard_by_switch("tap1")
    ovs.delete_ovs_vif_port("br0", "tap1")
    assert not ovs.device_exists("tap1")


def test_five_hundred_calls_open_nothing_more(ovs, plug):
    plug("tap1")
    before = sorted(os.listdir("/proc/self/fd"))
    for number in range(500):
        ovs.create_ovs_vif_port("br0", "tap1", f"id-{number}", MAC)
    assert sorted(os.listdir("/proc/self/fd")) == before
    ovs.close()
    assert len(os.listdir("/proc/self/fd")) < len(before)


def test_probes_change_nothing_and_are_quick(ovs, switch):
    before = switch.records()
    started = time.monotonic()
    for _ in range(20):
        for capability in Capability:
            ovs.probe(capability)
    assert switch.records() == before
    assert time.monotonic() - started < 60
    assert ovs.probe(Capability.OVS) is None
    assert "dpdkvhostuser" in (ovs.probe(Capability.OVS_VHOST_USER) or "")
