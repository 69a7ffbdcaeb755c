"""Ports of a real Open vSwitch, and what is asked of Indigo Virtual Switch."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from linux_net_ground import UUID, IvsDriver, network, rules

from conformance.topology.base import Stack
from conformance.topology.linux import Sandbox
from conformance.topology.switch import Switch
from refnet import linux_net, netdev
from refnet.errors import AlreadyEnslaved, InvalidArgument, NoSuchDevice, RefnetError, ToolMissing, Unsupported

MAC, IFACE, INSTANCE = "52:54:00:00:00:01", "aaaaaaaa-0000-0000-0000-000000000001", UUID
DEV = "gw-01234567-89"
SO_NO_CHECK = 11  # asm-generic/socket.h


@pytest.fixture
def switch(host: Sandbox, tap: None) -> Iterator[Switch]:
    """A switch of the test's own, with an integration bridge."""
    made = host.open_vswitch()
    netdev.ensure_ovs_bridge("br-int", datapath_type=made.datapath)
    try:
        yield made
    finally:
        netdev.get_driver().close()
        host.end_switch()


def plain_socket(stack: Stack, address: str, port: int) -> socket.socket:
    """Return a socket whose datagrams have no checksum, which is valid.

    A switch in a process passes on what a virtual device leaves to its hardware: one that is not filled in.
    """
    made = stack.datagram_socket(address, port)
    made.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
    made.settimeout(30)
    return made


def ids(switch: Switch, dev: str) -> dict[str, str]:
    """Return what the database has as a port's ids."""
    words = switch.vsctl("get", "Interface", dev, "external_ids").strip("{}").split(", ")
    return {key: value.strip('"') for key, _, value in (one.partition("=") for one in words if one)}


def test_a_port_has_the_ids_that_controllers_look_for(host: Sandbox, switch: Switch) -> None:
    host.plain_cables("tap1")
    linux_net.create_ovs_vif_port("br-int", "tap1", IFACE, MAC, INSTANCE, "1400")
    assert switch.vsctl("list-ports", "br-int") == "tap1"
    assert ids(switch, "tap1") == {
        "iface-id": IFACE,
        "iface-status": "active",
        "attached-mac": MAC,
        "vm-uuid": INSTANCE,
    }
    assert host.look.mtu("tap1") == 1400
    linux_net.delete_ovs_vif_port("br-int", "tap1")
    assert (switch.vsctl("list-ports", "br-int"), host.look.link("tap1")) == ("", None)
    linux_net.delete_ovs_vif_port("br-int", "tap1")


def test_a_port_that_is_plugged_again_keeps_its_tag_and_number(host: Sandbox, switch: Switch) -> None:
    # Neutron's agent has set the tag, and would not look again at a port whose number stays.
    host.plain_cables("tap1")
    linux_net.create_ovs_vif_port("br-int", "tap1", IFACE, MAC, INSTANCE)
    switch.vsctl("set", "Port", "tap1", "tag=42")
    number = switch.vsctl("get", "Interface", "tap1", "ofport")
    linux_net.create_ovs_vif_port("br-int", "tap1", IFACE, MAC, INSTANCE)
    assert switch.vsctl("get", "Port", "tap1", "tag") == "42"
    assert switch.vsctl("get", "Interface", "tap1", "ofport") == number
    linux_net.delete_ovs_vif_port("br-int", "tap1", delete_dev=False)
    assert host.look.link("tap1") is not None
    host.remove_plain("tap1")


def test_a_device_may_come_after_its_port(host: Sandbox, switch: Switch, tap: None) -> None:
    linux_net.create_ovs_vif_port("br-int", "tap1", IFACE, MAC, INSTANCE)
    assert ids(switch, "tap1")["iface-id"] == IFACE
    linux_net.create_tap_dev("tap1", MAC)
    linux_net.create_ovs_vif_port("br-int", "tap1", IFACE, MAC, INSTANCE)
    assert int(switch.vsctl("get", "Interface", "tap1", "ofport")) > 0
    linux_net.delete_ovs_vif_port("br-int", "tap1")
    with pytest.raises(NoSuchDevice):
        linux_net.create_ovs_vif_port("br-none", "tap1", IFACE, MAC, INSTANCE)
    with pytest.raises(InvalidArgument):
        linux_net.create_ovs_vif_port("br-int", "tap1", IFACE, MAC, INSTANCE, mtu="big")


def test_a_port_of_another_bridge_is_not_taken(host: Sandbox, switch: Switch) -> None:
    netdev.ensure_ovs_bridge("br-other", datapath_type=switch.datapath)
    host.plain_cables("tap1")
    linux_net.create_ovs_vif_port("br-other", "tap1", IFACE, MAC, INSTANCE)
    with pytest.raises(AlreadyEnslaved):
        linux_net.create_ovs_vif_port("br-int", "tap1", IFACE, MAC, INSTANCE)
    linux_net.delete_ovs_vif_port("br-int", "tap1")
    assert switch.vsctl("list-ports", "br-other") == "tap1"
    linux_net.delete_ovs_vif_port("br-other", "tap1")


def test_vhost_user_is_refused_without_dpdk(host: Sandbox, switch: Switch) -> None:
    host.plain_cables("tap1")
    linux_net.create_ovs_vif_port("br-int", "tap1", IFACE, MAC, INSTANCE)
    if netdev.probe(netdev.Capability.OVS_VHOST_USER) is None:
        linux_net.ovs_set_vhostuser_port_type("tap1")
        assert switch.vsctl("get", "Interface", "tap1", "type") == "dpdkvhostuser"
    else:
        with pytest.raises(Unsupported):
            linux_net.ovs_set_vhostuser_port_type("tap1")
    linux_net.delete_ovs_vif_port("br-int", "tap1")


# -- the interface driver ------------------------------------------------------------------------------


@pytest.fixture
def internal(switch: Switch) -> Switch:
    linux_net.configure(linuxnet_interface_driver="nova.network.linux_net.LinuxOVSInterfaceDriver")
    return switch


def test_a_gateway_s_port_comes_and_goes(host: Sandbox, internal: Switch) -> None:
    assert linux_net.plug(network(mtu=1400), MAC) == DEV
    assert linux_net.get_dev(network()) == DEV
    assert linux_net.LinuxOVSInterfaceDriver().get_bridge(network()) == "br-int"
    assert internal.vsctl("get", "Interface", DEV, "type") == "internal"
    assert ids(internal, DEV) == {"iface-id": DEV, "iface-status": "active", "attached-mac": MAC}
    assert (host.look.mac(DEV), host.look.mtu(DEV), host.look.up(DEV)) == (MAC, 1400, True)
    assert [one for one in rules(host) if DEV in one] == [f"FORWARD -i {DEV} -j ACCEPT", f"FORWARD -o {DEV} -j ACCEPT"]
    assert "drop" not in internal.ofctl("dump-flows", "br-int")
    linux_net.plug(network(mtu=1400), MAC)
    assert linux_net.unplug(network()) == DEV
    assert (internal.vsctl("list-ports", "br-int"), [one for one in rules(host) if DEV in one]) == ("", [])
    assert linux_net.unplug(network()) == DEV


def test_a_port_that_is_no_gateway_passes_dhcp_alone_and_others_pass(host: Sandbox, internal: Switch) -> None:
    linux_net.plug(network(), MAC, gateway=False)
    host.add_address(DEV, "10.0.0.1/24")
    one, other = host.guest("one", "10.0.0.3/24"), host.guest("two", "10.0.0.4/24")
    for guest in (one, other):
        linux_net.create_ovs_vif_port("br-int", guest.port, IFACE, guest.mac, INSTANCE)
    # A host answers for all of its addresses at each of its devices, and so at the guests' ports: what a switch in a
    # process takes in comes to the kernel as well.
    Path("/proc/sys/net/ipv4/conf/all/arp_ignore").write_text("1\n")
    # Nova's flows cut the whole bridge off.
    host.delivers(one, host.frame(one, to=other), other, what="from one guest of the bridge to another")
    with (
        plain_socket(host, "10.0.0.1", 67) as server,
        plain_socket(host, "10.0.0.1", 5000) as closed,
        plain_socket(one, "10.0.0.3", 68) as client,
    ):
        for _ in range(2):  # a switch that asks about the first of a kind may let the next overtake it
            client.sendto(b"to a port that is not DHCP's", closed.getsockname())
            client.sendto(b"to DHCP's", server.getsockname())
            assert server.recvfrom(64)[0] == b"to DHCP's"
        closed.setblocking(False)
        with pytest.raises(BlockingIOError):
            closed.recvfrom(64)
        server.sendto(b"an answer", ("10.0.0.3", 68))
        assert client.recvfrom(64)[0] == b"an answer"
    assert [one for one in rules(host) if DEV in one] == [f"FORWARD -i {DEV} -j DROP", f"FORWARD -o {DEV} -j DROP"]
    assert internal.ofctl("dump-flows", "br-int").count("drop") == 2
    linux_net.plug(network(), MAC, gateway=False)
    assert internal.ofctl("dump-flows", "br-int").count("drop") == 2
    linux_net.plug(network(), MAC, gateway=True)
    with plain_socket(host, "10.0.0.1", 5000) as opened, plain_socket(one, "10.0.0.3", 68) as client:
        client.sendto(b"to a gateway", opened.getsockname())
        assert opened.recvfrom(64)[0] == b"to a gateway"
    linux_net.unplug(network())
    assert "drop" not in internal.ofctl("dump-flows", "br-int")


def test_a_port_that_cannot_be_closed_is_not_left_open(
    host: Sandbox, internal: Switch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = internal.ofctl("dump-flows", "br-int").count("cookie")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="ovs-ofctl"):
        linux_net.plug(network(), MAC, gateway=False)
    monkeypatch.undo()
    assert internal.vsctl("list-ports", "br-int") == ""
    assert host.look.link(DEV) is None
    # One that was there stays: it is somebody's.
    linux_net.plug(network(), MAC, gateway=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="ovs-ofctl"):
        linux_net.plug(network(), MAC)
    monkeypatch.undo()
    assert internal.vsctl("list-ports", "br-int") == DEV
    linux_net.unplug(network())
    assert internal.ofctl("dump-flows", "br-int").count("cookie") == before


def test_foreign_flows_stay(host: Sandbox, internal: Switch) -> None:
    internal.ofctl("add-flow", "br-int", "cookie=0x5,priority=7,arp,actions=normal")
    linux_net.plug(network(), MAC, gateway=False)
    linux_net.unplug(network())
    assert "cookie=0x5" in internal.ofctl("dump-flows", "br-int")


def test_without_a_switch_all_of_it_is_refused(host: Sandbox) -> None:
    host.plain_cables("tap1")
    linux_net.configure(linuxnet_interface_driver="refnet.linux_net.LinuxOVSInterfaceDriver")
    for call in (
        lambda: linux_net.create_ovs_vif_port("br-int", "tap1", IFACE, MAC, INSTANCE),
        lambda: linux_net.ovs_set_vhostuser_port_type("tap1"),
        lambda: linux_net.plug(network(), MAC),
    ):
        with host.look.unchanged("no switch"), pytest.raises(Unsupported):
            call()
    host.remove_plain("tap1")


# -- IVS -----------------------------------------------------------------------------------------------


def test_indigo_is_asked_as_nova_asked_it(host: Sandbox, choose: Callable[[type], None]) -> None:
    choose(IvsDriver)
    linux_net.create_ivs_vif_port("tap1", IFACE, MAC, INSTANCE)
    linux_net.delete_ivs_vif_port("tap1")
    assert IvsDriver.asked == [("create", "tap1", IFACE, MAC, INSTANCE), ("delete", "tap1")]


def test_without_indigo_it_is_refused(host: Sandbox) -> None:
    host.plain_cables("tap1")
    call: Callable[[], object]
    for call in (
        lambda: linux_net.create_ivs_vif_port("tap1", IFACE, MAC, INSTANCE),
        lambda: linux_net.delete_ivs_vif_port("tap1"),
    ):
        with host.look.unchanged("no ivs-ctl"), pytest.raises(RefnetError):
            call()
    host.remove_plain("tap1")
