"""Interface drivers on bridges: the devices and rules that are really there when a network is plugged."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from linux_net_ground import TaggedDriver, network, rules

from conformance.topology.linux import Sandbox
from refnet import linux_net, netdev
from refnet.errors import AlreadyEnslaved, DriverNotFound, InvalidArgument, NoSuchDevice, Unsupported, WrongKind

MAC = "52:54:00:00:00:01"
ACCEPTED = ["FORWARD -i br100 -j ACCEPT", "FORWARD -o br100 -j ACCEPT"]
DROPPED = ["FORWARD -i br100 -j DROP", "FORWARD -o br100 -j DROP"]
Bridges = linux_net.LinuxBridgeInterfaceDriver


def forwarded(net: Sandbox, device: str = "br100") -> list[str]:
    """Return the rules about what a bridge forwards."""
    return [one for one in rules(net) if one.startswith("FORWARD ") and device in one]


def test_a_flat_network_is_plugged_and_unplugged(host: Sandbox) -> None:
    host.plain_cables("eth1")
    host.add_address("eth1", "192.0.2.1/24")
    flat = network(bridge_interface="eth1")
    assert linux_net.plug(flat, MAC) == "br100"
    assert linux_net.get_dev(flat) == "br100"
    assert Bridges().get_bridge(flat) == "br100"
    assert host.look.ports("br100") == {"eth1"}
    assert host.look.cidrs("br100") == ["192.0.2.1/24"]
    assert host.look.mac("br100") == host.look.mac("eth1")
    assert forwarded(host) == ACCEPTED
    with host.look.unwritten("a network that is plugged"):
        linux_net.plug(flat, MAC)
    assert linux_net.unplug(flat) == "br100"
    assert host.look.link("br100") is None
    assert host.look.link("eth1") is not None
    assert forwarded(host) == []
    assert linux_net.unplug(flat) == "br100"
    host.remove_plain("eth1")


def test_a_network_is_an_object_as_well(host: Sandbox) -> None:
    flat = SimpleNamespace(**network())
    assert linux_net.plug(flat, MAC) == "br100"
    assert host.look.kind("br100") == "bridge"
    linux_net.unplug(flat)
    with pytest.raises(InvalidArgument, match="'bridge'"):
        linux_net.plug({}, MAC)


class Lazy:
    """One of Nova's objects, which raise this for what was not loaded."""

    bridge = "br100"

    def __getattr__(self, name: str) -> Any:
        raise NotImplementedError(f"Cannot load {name!r} in the base class")


def test_what_an_object_was_not_loaded_with_is_not_said(host: Sandbox) -> None:
    assert linux_net.plug(Lazy(), MAC) == "br100"
    linux_net.unplug(Lazy())
    with pytest.raises(InvalidArgument, match="'dhcp_server'"):
        linux_net.initialize_gateway_device("br100", Lazy())


def test_bridges_are_functions_as_well(host: Sandbox, choose: Callable[[type], None], tap: None) -> None:
    choose(TaggedDriver)
    host.plain_cables("eth1")
    linux_net.ensure_bridge("br100", None, None, gateway=False)
    assert linux_net.ensure_vlan_bridge(7, "br101", "eth1") == "vlan7"
    linux_net.iptables_manager.apply()
    assert (host.look.kind("br100"), host.look.ports("br101")) == ("bridge", {"vlan7"})
    assert (forwarded(host), forwarded(host, "br101")[0]) == (DROPPED, "FORWARD -i br101 -j ACCEPT")
    host.remove_plain("br100", "br101", "vlan7", "eth1")


def test_a_bridge_that_is_no_gateway_forwards_nothing_and_may_become_one(host: Sandbox) -> None:
    linux_net.plug(network(), MAC, gateway=False)
    assert forwarded(host) == DROPPED
    linux_net.plug(network(), MAC, gateway=True)
    assert forwarded(host) == ACCEPTED
    linux_net.plug(network(), MAC, gateway=False)
    assert forwarded(host) == DROPPED
    Bridges().unplug(network(), gateway=True)  # as Nova's unplug() calls it, whatever it was
    assert forwarded(host) == []


def test_what_stood_before_a_bridge_went_by_itself_is_taken_away(host: Sandbox) -> None:
    linux_net.plug(network(), MAC)
    host.run("ip", "link", "del", "br100")
    linux_net.unplug(network())
    assert forwarded(host) == []


def test_a_bridge_that_forwards_to_some_only_may_become_a_gateway(host: Sandbox) -> None:
    linux_net.configure(forward_bridge_interface=["eth0", "eth0"])
    open_to = [
        "FORWARD -i br100 -o eth0 -j ACCEPT",
        "FORWARD -i eth0 -o br100 -j ACCEPT",
        "FORWARD -i br100 -o br100 -j ACCEPT",
        *DROPPED,
    ]
    for gateway, there in ((False, DROPPED), (True, open_to), (False, DROPPED), (True, open_to)):
        linux_net.plug(network(), MAC, gateway=gateway)
        assert forwarded(host) == there  # what drops comes last
        with host.look.unwritten("a network that is plugged"):
            linux_net.plug(network(), MAC, gateway=gateway)
    linux_net.unplug(network())
    assert forwarded(host) == []


def test_other_ways_to_forward(host: Sandbox) -> None:
    linux_net.configure(forward_bridge_interface=["eth0"], iptables_drop_action="REJECT")
    linux_net.plug(network(), MAC)
    assert forwarded(host) == [
        "FORWARD -i br100 -o eth0 -j ACCEPT",
        "FORWARD -i eth0 -o br100 -j ACCEPT",
        "FORWARD -i br100 -o br100 -j ACCEPT",
        "FORWARD -i br100 -j REJECT --reject-with icmp-port-unreachable",
        "FORWARD -o br100 -j REJECT --reject-with icmp-port-unreachable",
    ]
    linux_net.unplug(network())
    assert forwarded(host) == []


def test_filtering_can_be_left_out_and_rules_wait_for_apply(host: Sandbox) -> None:
    Bridges.ensure_bridge("br100", None, filtering=False)
    linux_net.iptables_manager.apply()
    assert forwarded(host) == []
    Bridges.ensure_bridge("br100", None)
    assert forwarded(host) == []
    linux_net.iptables_manager.apply()
    assert forwarded(host) == ACCEPTED
    Bridges.remove_bridge("br100", filtering=False)
    linux_net.iptables_manager.apply()
    assert (host.look.link("br100"), forwarded(host)) == (None, ACCEPTED)
    Bridges.remove_bridge("br100")
    linux_net.iptables_manager.apply()
    assert forwarded(host) == []


def test_a_port_of_another_bridge_is_not_taken(host: Sandbox) -> None:
    host.plain_cables("eth1")
    host.plain_bridge("br0", "eth1")
    with host.look.unchanged("a port of another bridge"), pytest.raises(AlreadyEnslaved) as caught:
        linux_net.plug(network(bridge_interface="eth1"), MAC)
    assert caught.value.master == "br0"
    with host.look.unchanged("what is no bridge"), pytest.raises(WrongKind):
        Bridges.ensure_bridge("eth1", None)
    with host.look.unchanged("an interface that is not there"), pytest.raises(NoSuchDevice):
        Bridges.ensure_bridge("br100", "eth2")
    host.remove_plain("br0", "eth1")


def test_the_bridge_s_address_stays_whatever_joins_later(host: Sandbox) -> None:
    host.plain_cables("eth1", "eth2")
    host.set_mac("eth1", "52:54:00:00:00:99")
    host.set_mac("eth2", "02:00:00:00:00:01")
    linux_net.plug(network(bridge_interface="eth1"), MAC)
    Bridges.ensure_bridge("br100", "eth2")
    assert host.look.mac("br100") == "52:54:00:00:00:99"
    linux_net.unplug(network())
    host.remove_plain("eth1", "eth2")


@pytest.mark.parametrize("shared", [{"share_address": True}, {}])
def test_a_shared_dhcp_address_is_isolated_on_the_interface(host: Sandbox, shared: dict[str, Any]) -> None:
    linux_net.configure(flat_interface="eth1", share_dhcp_address=not shared)
    host.plain_cables("eth1")
    linux_net.plug(network(bridge_interface="eth9", **shared), MAC)
    assert host.look.ports("br100") == {"eth1"}
    assert [(one.interface, str(one.address)) for one in linux_net.iptables_manager.firewall.dhcp_isolations()] == [
        ("eth1", "10.0.0.1")
    ]
    assert "10.0.0.1" in str(host.look.rules())
    linux_net.unplug(network(**shared))
    assert "10.0.0.1" not in str(host.look.rules())
    host.remove_plain("eth1")


# -- VLANs ---------------------------------------------------------------------------------------------


def test_a_network_on_a_vlan(host: Sandbox, choose: Callable[[type], None], tap: None) -> None:
    choose(TaggedDriver)
    host.plain_cables("eth1")
    tagged = network(vlan="7", bridge_interface="eth1", mtu="1400")
    for _ in range(2):
        assert linux_net.plug(tagged, MAC) == "br100"
        assert host.look.ports("br100") == {"vlan7"}
        assert (host.look.mac("br100"), host.look.mtu("br100")) == (MAC, 1400)
        assert forwarded(host) == ACCEPTED
    linux_net.configure(vlan_interface="eth1")
    linux_net.plug(network(vlan=7, bridge_interface=None, mtu=1400), MAC, gateway=False)
    assert forwarded(host) == DROPPED
    assert set(TaggedDriver.asked) == {(7, "eth1", "vlan7", MAC, 1400)}
    linux_net.unplug(tagged)
    assert (host.look.link("br100"), host.look.link("vlan7"), forwarded(host)) == (None, None, [])
    host.remove_plain("eth1")


def test_a_vlan_and_its_bridge_come_and_go_together(host: Sandbox, choose: Callable[[type], None], tap: None) -> None:
    choose(TaggedDriver)
    host.plain_cables("eth1", "br100")
    with host.look.unchanged("the bridge's name is taken"), pytest.raises(WrongKind):
        Bridges.ensure_vlan_bridge(7, "br100", "eth1", mac_address=MAC)
    host.remove_plain("br100")
    assert Bridges.ensure_vlan_bridge("7", "br100", "eth1", {"gateway": "10.0.0.1"}, MAC, "1400") == "vlan7"
    assert host.look.ports("br100") == {"vlan7"}
    linux_net.iptables_manager.apply()
    assert forwarded(host) == ACCEPTED
    Bridges.remove_vlan_bridge("7", "br100")
    assert (host.look.link("br100"), host.look.link("vlan7")) == (None, None)
    Bridges.remove_vlan_bridge(7, "br100")
    host.remove_plain("eth1")


def test_without_802_1q_a_vlan_is_refused_and_nothing_is_left(host: Sandbox) -> None:
    if netdev.probe(netdev.Capability.VLAN) is None:
        pytest.skip("this kernel has 802.1Q")
    host.plain_cables("eth1")
    with host.look.unchanged("no 802.1Q"), pytest.raises(Unsupported):
        linux_net.plug(network(vlan=7, bridge_interface="eth1"), MAC)
    host.remove_plain("eth1")


# -- Neutron's bridges, and the choice -----------------------------------------------------------------


def test_a_tap_for_neutron_s_bridge(host: Sandbox, tap: None) -> None:
    linux_net.configure(linuxnet_interface_driver="nova.network.linux_net.NeutronLinuxBridgeInterfaceDriver")
    dev, bridge = "gw-01234567-89", "brq01234567-89"
    assert linux_net.plug(network(), MAC) == dev
    assert (host.look.kind(dev), host.look.mac(dev), host.look.up(dev)) == ("tun", MAC, True)
    assert (host.look.cidrs(bridge), host.look.mac(bridge)) == (["10.0.0.1/24"], MAC)
    assert [one for one in forwarded(host, bridge) if one.endswith("ACCEPT")] == forwarded(host, bridge) != []
    assert linux_net.get_dev(network()) == dev
    assert linux_net.unplug(network()) == dev
    assert host.look.link(dev) is None
    assert linux_net.unplug(network()) is None
    assert forwarded(host, bridge) == []
    assert linux_net.plug(network(), MAC, gateway=False) == bridge
    assert [one for one in forwarded(host, bridge) if one.endswith("DROP")] == forwarded(host, bridge) != []
    host.remove_plain(bridge)
    assert linux_net.QuantumLinuxBridgeInterfaceDriver is linux_net.NeutronLinuxBridgeInterfaceDriver


class Mine(linux_net.LinuxNetInterfaceDriver):
    """An interface driver as somebody else would write it."""

    def plug(self, network: Any, mac_address: str, gateway: bool = True) -> str:
        return f"plugged {mac_address} {gateway}"

    def unplug(self, network: Any) -> str:
        return "unplugged"

    def get_dev(self, network: Any) -> str:
        return "mine"


def test_the_driver_is_an_option() -> None:
    try:
        for path in ("test_linux_net_interfaces.Mine", "test_linux_net_interfaces:Mine"):
            linux_net.configure(linuxnet_interface_driver=path)
            assert linux_net.plug({}, MAC, False) == f"plugged {MAC} False"
            assert linux_net.unplug({}) == "unplugged"
            assert linux_net.get_dev({}) == "mine"
        for wrong in (
            "nowhere.Driver",
            "test_linux_net_interfaces.MAC",
            "",
            "os.path",
            "refnet.linux_net.LinuxNetwork",
        ):
            linux_net.configure(linuxnet_interface_driver=wrong)
            with pytest.raises(DriverNotFound, match="driver"):
                linux_net.get_dev({})
        linux_net.configure(linuxnet_interface_driver="refnet.linux_net.LinuxNetInterfaceDriver")
        with pytest.raises(DriverNotFound):
            linux_net.get_dev({})
    finally:
        linux_net.configure(linuxnet_interface_driver=linux_net.Options().linuxnet_interface_driver)
