"""Nova's own libvirt VIF driver, and os-vif's plugin below it, on Open vSwitch: by their helpers, and by refnet.

What is asserted of one holds for the other, rows and packets; where the two differ, a test says how.
"""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Nova, Refused
from nova_vifs import MAC, TAP, VIF_ID, connected, vif

from conformance.topology.linux import Sandbox
from refnet.netdev import Kind

IDS = {
    "iface-id": VIF_ID,
    "iface-status": "active",
    "attached-mac": MAC,
    "vm-uuid": "1d5c2f9e-8f4c-4a57-9a59-6a5f7a3f8b01",
}


@pytest.fixture
def switch(stack: Sandbox) -> Any:
    return stack.open_vswitch()


def on_ovs(**more: Any) -> dict[str, Any]:
    details = {"datapath_type": "netdev", **more.pop("details", {})}
    return vif("ovs", details=details, ovs_interfaceid=VIF_ID, **more)


def ids(switch: Any, port: str) -> dict[str, str]:
    listed = switch.vsctl("--bare", "get", "Interface", port, "external_ids").strip("{}")
    pairs = (pair.split("=", 1) for pair in listed.split(", ") if pair)
    return {key.strip('"'): value.strip('"') for key, value in pairs}


def ports(switch: Any, bridge: str = "br-int") -> list[str]:
    return sorted(switch.vsctl("list-ports", bridge).split())


def other_port(net: Sandbox, switch: Any, *words: str) -> Any:
    """Another guest on br-int, by the switch's own tool."""
    other = net.guest("other")
    switch.vsctl("add-port", "br-int", other.port, *words)
    return other


def hypervisor(net: Sandbox, *, queues: int = 1) -> Any:
    """Start the guest: libvirt makes the tap where nobody has, and opens it."""
    if net.look.link(TAP) is None:
        net.foreign(TAP, Kind.TAP)
    return net.hold(TAP, mac=MAC, queues=queues)


def taken(net: Sandbox, switch: Any, nova: Nova, *, late: bool) -> None:
    """Wait until the switch has a tap that came after its port.

    It sets flags of the device as soon as it sees it, and takes back what others set at the same time.
    """
    switch.vsctl("--timeout=60", "wait-until", "Interface", TAP, "ofport>0")
    if late or nova.helpers == "plain":
        net.ip(f"link set dev {TAP} up")


def test_ovs_bridge_only(stack: Sandbox, switch: Any, nova: Nova, tap: None) -> None:
    """Where libvirt makes the port, the bridge is made sure of, and the port taken away in the end."""
    nova.plug(on_ovs())
    assert switch.vsctl("get", "Bridge", "br-int", "datapath_type") == "netdev"
    assert ports(switch) == []
    guest = hypervisor(stack)
    stack.ip(f"link set dev {TAP} up")
    switch.vsctl("add-port", "br-int", TAP)
    connected(stack, guest, other_port(stack, switch), "libvirt's port")
    nova.unplug(on_ovs())
    assert ports(switch) == ["p-other"]
    assert stack.look.link(TAP) is None


@pytest.mark.parametrize("queues", [0, 1, 2])
def test_ovs_port(stack: Sandbox, switch: Any, nova: Nova, tap: None, queues: int) -> None:
    """With a tap by libvirt (0), or by os-vif, of one or more queues; plugged again meanwhile."""
    mine = on_ovs(delegate_create=True, details={"ovs_create_tap": queues > 0})
    image = {"hw_vif_multiqueue_enabled": "true"} if queues > 1 else {}
    nova.plug(mine, image=image)
    assert ports(switch) == [TAP]
    assert ids(switch, TAP) == IDS
    guest = hypervisor(stack, queues=max(queues, 1))
    other = other_port(stack, switch)
    taken(stack, switch, nova, late=queues == 0)
    assert stack.look.up(TAP)
    connected(stack, guest, other, "plugged once")
    if queues:
        assert stack.look.mtu(TAP) == 1400
    ofport = switch.vsctl("get", "Interface", TAP, "ofport")
    for port in (TAP, other.port):  # Neutron's agent says which network it is
        switch.vsctl("set", "Port", port, "tag=7")
    nova.plug(mine, image=image)
    assert switch.vsctl("get", "Interface", TAP, "ofport") == ofport
    assert switch.vsctl("get", "Port", TAP, "tag") == "7"
    connected(stack, guest, other, "plugged twice")
    nova.unplug(mine, image=image)
    assert ports(switch) == ["p-other"]
    assert stack.look.link(TAP) is None


def test_ovs_hybrid(stack: Sandbox, switch: Any, nova: Nova, tap: None) -> None:
    """A bridge of the guest's own for its filters, and a cable from there to the switch."""
    mine = on_ovs(details={"ovs_hybrid_plug": True})
    bridge, inner, outer = (f"{prefix}f1e2d3c4-0a" for prefix in ("qbr", "qvb", "qvo"))
    for times in ("once", "twice"):
        nova.plug(mine)
        options = stack.look.bridge_options(bridge)
        assert (options["stp"], options["multicast_snooping"]) == (False, False)
        assert (options["ageing_time"], options["forward_delay"]) == (0, 0)
        assert stack.look.master(inner) == bridge
        assert all(stack.look.up(one) and stack.look.mtu(one) == 1400 for one in (inner, outer))
        assert stack.look.up(bridge)
        assert stack.look.link_local(bridge) == set()
        assert outer in ports(switch)
        assert ids(switch, outer) == IDS
        if times == "once":
            guest = hypervisor(stack)
            stack.join(bridge, TAP)  # and sets it up
            other = other_port(stack, switch)
        connected(stack, guest, other, f"plugged {times}")
    nova.unplug(mine)
    assert ports(switch) == ["p-other"]
    assert not {bridge, inner, outer} & stack.look.names()


def test_ovs_port_kept_apart_until_neutron_comes(stack: Sandbox, switch: Any, nova: Nova, tap: None) -> None:
    mine = on_ovs(delegate_create=True, details={"ovs_create_tap": True})
    nova.plug(mine, os_vif={"isolate_vif": True})
    get = ("get", "Port", TAP)
    assert switch.vsctl(*get, "tag", "trunks", "vlan_mode").split() == ["4095", "[4095]", "trunk"]
    guest, other = hypervisor(stack), other_port(stack, switch)
    taken(stack, switch, nova, late=False)
    third = stack.guest("third")
    switch.vsctl("add-port", "br-int", third.port)
    fence = (third, stack.frame(third, other))
    stack.withholds(guest, stack.frame(guest, other), other, fence=fence, what="a port on the dead VLAN")
    switch.vsctl("clear", "Port", TAP, "tag", "trunks", "vlan_mode")
    switch.forget_ways()
    connected(stack, guest, other, "wired by Neutron")
    nova.plug(mine, os_vif={"isolate_vif": True})
    connected(stack, guest, other, "plugged again")
    nova.unplug(mine, os_vif={"isolate_vif": True})
    assert stack.look.link(TAP) is None


def test_ovs_bridge_for_each_port(stack: Sandbox, switch: Any, nova: Nova, tap: None) -> None:
    mine = on_ovs(delegate_create=True, details={"ovs_create_tap": True})
    own = f"pb{VIF_ID}"[:14]
    nova.plug(mine, os_vif={"per_port_bridge": True})
    assert ports(switch, own) == sorted([TAP, f"pbp{VIF_ID}"])
    assert ports(switch) == [f"ibp{VIF_ID}"]
    assert ids(switch, f"ibp{VIF_ID}") == IDS
    guest, other = hypervisor(stack), other_port(stack, switch)
    taken(stack, switch, nova, late=False)
    connected(stack, guest, other, "a bridge of its own")
    nova.unplug(mine, os_vif={"per_port_bridge": True})
    assert ports(switch) == ["p-other"]
    assert switch.vsctl("list-br").split() == ["br-int"]


def test_ovs_trunk_bridge_goes_with_its_port(stack: Sandbox, switch: Any, nova: Nova, tap: None) -> None:
    mine = on_ovs(bridge="tbr-12345678-a", delegate_create=True, details={"ovs_create_tap": True})
    nova.plug(mine)
    assert ports(switch, "tbr-12345678-a") == [TAP]
    nova.unplug(mine)
    assert switch.vsctl("list-br") == ""
    assert stack.look.link(TAP) is None


def test_vhost_user(stack: Sandbox, switch: Any, plain_nova: Nova, nova_on_refnet: Nova) -> None:
    """A switch without DPDK cannot have such a port: os-vif takes the row that it wrote for one; refnet says so."""
    details = {"vhostuser_ovs_plug": True, "vhostuser_mode": "server", "vhostuser_socket": "/run/vhu", "datapath": "x"}
    mine = vif("vhostuser", details={**details, "datapath_type": "netdev"}, ovs_interfaceid=VIF_ID)
    port = f"vhu{VIF_ID}"[:14]
    if "dpdkvhostuserclient" in switch.vsctl("get", "Open_vSwitch", ".", "iface_types"):
        nova_on_refnet.plug(mine)
        assert ids(switch, port) == IDS
        nova_on_refnet.unplug(mine)
    else:
        with pytest.raises(Refused, match="dpdkvhostuserclient"):
            nova_on_refnet.plug(mine)
    assert ports(switch) == []
    plain_nova.plug(mine)
    assert ports(switch) == [port]
    nova_on_refnet.unplug(mine)
    assert ports(switch) == []


def test_no_switch_answers(stack: Sandbox, nova_on_refnet: Nova) -> None:
    """Nova's caller reads refnet's words."""
    with stack.look.unchanged("plug"), pytest.raises(Refused) as raised:
        nova_on_refnet.plug(on_ovs())
    assert raised.value.error == "InternalError"
    assert "db.sock" in raised.value.words
