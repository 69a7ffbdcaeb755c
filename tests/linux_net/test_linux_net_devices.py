"""Devices: Nova's nova.privsep.linux_net, and the helpers of its VIF driver, on real devices."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from linux_net_ground import NO_MAC, PCI, CardDriver, TaggedDriver

from conformance.topology.linux import Sandbox
from refnet import linux_net, netdev
from refnet.errors import (
    AlreadyExists,
    InvalidArgument,
    Mismatch,
    NoSuchDevice,
    Unsupported,
    WrongKind,
)

MAC, MAC2 = "52:54:00:00:00:01", "52:54:00:00:00:02"
Choose = Callable[[type], None]


def test_a_tap_is_made_found_and_deleted(host: Sandbox, tap: None) -> None:
    assert linux_net.device_exists("tap1") is False
    linux_net.create_tap_dev("tap1", MAC)
    assert linux_net.device_exists("tap1") is True
    assert (host.look.kind("tap1"), host.look.mac("tap1"), host.look.up("tap1")) == ("tun", MAC, True)
    linux_net.delete_net_dev("tap1")
    assert host.look.link("tap1") is None
    linux_net.delete_net_dev("tap1")


def test_a_tap_that_is_there_is_adopted(host: Sandbox, tap: None) -> None:
    linux_net.create_tap_dev("tap1", MAC)
    host.run("ip", "link", "set", "tap1", "down")
    linux_net.create_tap_dev("tap1", MAC2)
    assert (host.look.mac("tap1"), host.look.up("tap1")) == (MAC2, True)
    linux_net.create_tap_dev("tap1")
    assert host.look.mac("tap1") == MAC2
    linux_net.delete_net_dev_escalated("tap1")
    assert host.look.link("tap1") is None


def test_a_tap_with_several_queues(host: Sandbox, tap: None) -> None:
    linux_net.create_tap_dev("tap1", multiqueue=True)
    assert netdev.device("tap1").multi_queue is True
    with pytest.raises(Mismatch):
        linux_net.create_tap_dev("tap1")
    linux_net.delete_net_dev("tap1")


def test_what_is_no_tap_is_not_taken_for_one(host: Sandbox, tap: None) -> None:
    host.plain_bridge("tap1")
    with host.look.unchanged("a bridge by the tap's name"), pytest.raises(WrongKind):
        linux_net.create_tap_dev("tap1", MAC)
    host.remove_plain("tap1")


def test_errors_that_nova_took_for_success_are_raised(host: Sandbox) -> None:
    # ip(8) ends with 2 in each of these cases, which Nova expects.
    call: Callable[[], object]
    for call in (
        lambda: linux_net.set_device_enabled("none"),
        lambda: linux_net.set_device_mtu("none", 1400),
        lambda: linux_net.set_device_macaddr("none", MAC),
        lambda: linux_net.set_device_macaddr("none", MAC, port_state="up"),
    ):
        with pytest.raises(NoSuchDevice):
            call()
    for none in ("../../class", "enp216s0f1np1.1234", "", None):
        assert linux_net.device_exists(none) is False  # type: ignore[arg-type]


def test_an_mtu_that_is_false_is_left(host: Sandbox) -> None:
    host.plain_cables("a0")
    before = host.look.mtu("a0")
    for nothing in (None, 0, "", "0"):
        linux_net.set_device_mtu("a0", nothing)
        linux_net._set_device_mtu("a0", nothing)
    assert host.look.mtu("a0") == before
    linux_net.set_device_mtu("none", None)  # nor is the device looked for
    for mtu in (1400, "1300"):
        linux_net.set_device_mtu("a0", mtu)
        assert host.look.mtu("a0") == int(mtu)
    linux_net.configure(network_device_mtu=1280)
    linux_net._set_device_mtu("a0")
    assert host.look.mtu("a0") == 1280
    for wrong in ("1400.0", "-1", "many", True, 1400.0, [1400], "١٤٠٠"):
        with pytest.raises(InvalidArgument):
            linux_net.set_device_mtu("a0", wrong)  # type: ignore[arg-type]
    host.remove_plain("a0")


def test_address_and_state_are_set_together(host: Sandbox) -> None:
    host.plain_cables("a0")
    linux_net.set_device_macaddr("a0", MAC, port_state="down")
    assert (host.look.mac("a0"), host.look.up("a0")) == (MAC, False)
    linux_net.set_device_macaddr("a0", MAC2)
    assert (host.look.mac("a0"), host.look.up("a0")) == (MAC2, False)
    linux_net.set_device_macaddr("a0", MAC, port_state="up")
    assert (host.look.mac("a0"), host.look.up("a0")) == (MAC, True)
    linux_net.set_device_enabled("a0")
    with host.look.unchanged("a state that is none"), pytest.raises(InvalidArgument, match="neither 'up' nor 'down'"):
        linux_net.set_device_macaddr("a0", MAC2, port_state="sideways")
    with host.look.unchanged("an address of zeros"), pytest.raises(InvalidArgument, match="all zero"):
        linux_net.set_device_macaddr("a0", NO_MAC)
    # So Nova unplugs virtual functions, and means the state.
    linux_net.set_device_macaddr("a0", NO_MAC, port_state="down")
    assert (host.look.mac("a0"), host.look.up("a0")) == (MAC, False)
    host.remove_plain("a0")


def test_a_cable_that_is_there_is_kept(host: Sandbox) -> None:
    linux_net.configure(network_device_mtu="1400")
    linux_net._create_veth_pair("qvb1", "qvo1")
    assert [host.look.mtu(one) for one in ("qvb1", "qvo1")] == [1400, 1400]
    with host.look.unwritten("a cable that is there"):
        linux_net._create_veth_pair("qvb1", "qvo1")
    linux_net.delete_net_dev("qvb1")
    assert host.look.link("qvo1") is None


def test_a_bridge_is_deleted_and_nothing_else(host: Sandbox) -> None:
    host.plain_bridge("br100")
    linux_net.delete_bridge_dev("br100")
    assert host.look.link("br100") is None
    linux_net.delete_bridge_dev("br100")
    host.plain_cables("a0")
    with host.look.unchanged("no bridge"), pytest.raises(WrongKind):
        linux_net.delete_bridge_dev("a0")
    host.remove_plain("a0")


# -- VLANs ---------------------------------------------------------------------------------------------


def test_a_vlan_is_made_or_refused_where_the_kernel_has_none(host: Sandbox) -> None:
    host.plain_cables("a0")
    if netdev.probe(netdev.Capability.VLAN) is None:
        assert linux_net.ensure_vlan("7", "a0", MAC, "1400") == "vlan7"
        assert (host.look.mac("vlan7"), host.look.mtu("vlan7"), host.look.up("vlan7")) == (MAC, 1400, True)
        linux_net.add_vlan("a0", "v8", 8)
        with pytest.raises(AlreadyExists):
            linux_net.add_vlan("a0", "other", 8)
        host.remove_plain("vlan7", "v8")
    else:
        with host.look.unchanged("no 802.1Q"):
            for call in (lambda: linux_net.ensure_vlan(7, "a0"), lambda: linux_net.add_vlan("a0", "v8", "8")):
                with pytest.raises(Unsupported, match="vlan"):
                    call()
    host.remove_plain("a0")


def test_what_a_vlan_is_asked_for(host: Sandbox, choose: Choose, tap: None) -> None:
    choose(TaggedDriver)
    host.plain_cables("a0")
    assert linux_net.ensure_vlan("7", "a0", MAC, "1400") == "vlan7"
    assert linux_net.ensure_vlan(8, "a0", interface="v8") == "v8"
    linux_net.configure(network_device_mtu=1300)
    assert linux_net.LinuxBridgeInterfaceDriver.ensure_vlan("9", "a0", None, None) == "vlan9"
    linux_net.add_vlan("a0", "v10", "10")
    assert TaggedDriver.asked == [
        (7, "a0", "vlan7", MAC, 1400),
        (8, "a0", "v8", None, None),
        (9, "a0", "vlan9", None, 1300),
        (10, "a0", "v10", None, None),
    ]
    linux_net.LinuxBridgeInterfaceDriver.remove_vlan("9")
    assert host.look.link("vlan9") is None
    with pytest.raises(InvalidArgument):
        linux_net.LinuxBridgeInterfaceDriver.remove_vlan("9; reboot")
    host.remove_plain("a0", "vlan7", "v8", "v10")


# -- virtual functions ---------------------------------------------------------------------------------


def test_virtual_functions_are_refused_where_there_is_no_card(host: Sandbox) -> None:
    call: Callable[[], object]
    for call in (
        lambda: linux_net.set_vf_interface_vlan(PCI, MAC, 7),
        lambda: linux_net.set_vf_trusted(PCI, True),
        lambda: linux_net.set_device_trust("lo", 0, True),
        lambda: linux_net.set_device_macaddr_and_vlan("lo", 0, MAC, 7),
    ):
        with host.look.unchanged("no card"), pytest.raises((NoSuchDevice, Unsupported, InvalidArgument)):
            call()


def test_numbers_of_functions_and_vlans_may_be_text(choose: Choose) -> None:
    choose(CardDriver)
    linux_net.set_device_macaddr_and_vlan("eth5", "2", MAC, "7")
    linux_net.set_device_trust("eth5", "2", True)
    assert (CardDriver.function.mac_address, CardDriver.function.vlan, CardDriver.function.trusted) == (MAC, 7, True)
    for wrong in ("two", "", None, 2.0, True):
        with pytest.raises(InvalidArgument):
            linux_net.set_device_trust("eth5", wrong, True)  # type: ignore[arg-type]
        with pytest.raises(InvalidArgument):
            linux_net.set_device_macaddr_and_vlan("eth5", 2, MAC, wrong)  # type: ignore[arg-type]


def test_a_function_is_plugged_and_put_back(host: Sandbox, choose: Choose) -> None:
    choose(CardDriver)
    host.plain_cables("vf2")
    CardDriver.insert("vf2", mac_address=MAC2)
    linux_net.set_vf_interface_vlan(PCI, MAC, "7")
    linux_net.set_vf_trusted(PCI, True)
    assert (CardDriver.function.mac_address, CardDriver.function.vlan, CardDriver.function.trusted) == (MAC, 7, True)
    assert (host.look.mac("vf2"), host.look.up("vf2")) == (MAC, True)
    linux_net.set_vf_interface_vlan(PCI, NO_MAC)
    assert (CardDriver.function.mac_address, CardDriver.function.vlan, CardDriver.function.trusted) == (MAC2, 0, False)
    assert (host.look.mac("vf2"), host.look.up("vf2")) == (MAC2, False)
    host.remove_plain("vf2")


def test_a_function_is_put_back_by_the_card_s_name_as_well(choose: Choose) -> None:
    # This is what Nova's own VIF driver calls.
    choose(CardDriver)
    CardDriver.insert(None, mac_address=MAC2, vlan=5)
    linux_net.set_device_macaddr_and_vlan("eth5", 2, MAC, 7)
    linux_net.set_device_macaddr_and_vlan("eth5", 2, NO_MAC, 0)
    assert (CardDriver.function.mac_address, CardDriver.function.vlan) == (MAC2, 5)


def test_a_function_without_a_vlan_is_plugged_down_as_nova_does(host: Sandbox, choose: Choose) -> None:
    choose(CardDriver)
    host.plain_cables("vf2")
    CardDriver.insert("vf2")
    linux_net.set_vf_interface_vlan(PCI, MAC)
    assert (host.look.mac("vf2"), host.look.up("vf2")) == (MAC, False)
    host.remove_plain("vf2")


def test_a_function_that_another_program_has_plugged_is_cleared(choose: Choose) -> None:
    choose(CardDriver)
    CardDriver.insert(None, mac_address=MAC, vlan=7)  # in a guest: it has no device here
    linux_net.set_vf_interface_vlan(PCI, NO_MAC, vlan=0)
    assert (CardDriver.function.mac_address, CardDriver.function.vlan) == (NO_MAC, 0)
    # The next guest's unplug does not bring the first one back.
    linux_net.set_vf_interface_vlan(PCI, MAC2, vlan=8)
    linux_net.set_vf_interface_vlan(PCI, NO_MAC, vlan=0)
    assert (CardDriver.function.mac_address, CardDriver.function.vlan) == (NO_MAC, 0)
    with pytest.raises(NoSuchDevice):
        linux_net.set_vf_interface_vlan("0000:81:10.3", MAC)
