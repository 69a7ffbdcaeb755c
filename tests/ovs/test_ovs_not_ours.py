"""Devices that others delete between two looks of a call, and ports that others have made as refnet makes none."""

from __future__ import annotations

import pytest

from refnet.errors import Mismatch, NoSuchDevice
from refnet.netdev.linux import LinuxNetDevDriver

MAC = "52:54:00:12:34:56"


class Beaten(LinuxNetDevDriver):
    """A driver whose devices another process deletes just before they are looked at in detail."""

    def device(self, dev):
        with LinuxNetDevDriver() as another:
            another.delete_net_dev(dev)
        return super().device(dev)


def test_a_device_that_another_call_deletes_first_is_deleted(ovs, plug):
    plug("tap1")
    with Beaten() as slower:
        slower.delete_ovs_vif_port("br0", "tap1")
    assert not ovs.device_exists("tap1")
    assert ovs.ovs_ports("br0") == ()


def test_a_device_that_goes_under_a_call_is_one_that_is_to_come_later(ovs):
    ovs.create_tap_dev("tap1")
    with Beaten() as slower:
        slower.create_ovs_vif_port("br0", "tap1", "id", MAC, device_later=True)
        assert ovs.ovs_port("tap1").iface_id == "id"
        ovs.create_tap_dev("tap2")
        with pytest.raises(NoSuchDevice) as caught:
            slower.create_ovs_vif_port("br0", "tap2", "id", MAC)
    assert caught.value.device == "tap2"
    assert ovs.ovs_ports("br0") == ("tap1",)


def test_a_bond_and_its_members_keep_their_vlans(ovs, switch):
    for dev in ("tap1", "tap2"):
        ovs.create_tap_dev(dev)
    switch.vsctl("add-bond", "br0", "bond0", "tap1", "tap2", "--", "set", "Port", "bond0", "tag=3")
    before = switch.rows()
    for dev in ("bond0", "tap1"):
        with pytest.raises(Mismatch, match="bond0") as caught:
            ovs.set_ovs_port_vlan(dev, tag=5)
        assert caught.value.device == dev
    assert switch.rows() == before
    assert ovs.ovs_port("bond0").tag == 3


def test_a_port_with_a_name_that_no_device_can_have_tells_what_the_switch_says(ovs, switch):
    name = "a-name-of-20-letters"
    switch.vsctl("--no-wait", "add-port", "br0", name)
    ovs.ensure_ovs_bridge("br0", fail_mode="secure")  # which the switch has done behind that
    assert ovs.ovs_ports("br0") == (name,)
    found = ovs.ovs_port(name)
    assert (found.name, found.ofport, found.mtu) == (name, None, None)
    assert name in (found.error or "")
