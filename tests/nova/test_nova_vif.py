"""Nova's own libvirt VIF driver plugs and unplugs each VIF type that touches the host, by its helpers and by refnet.

What is asserted of one holds for the other, devices and packets; where the two differ, a test says how.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Nova, Refused
from nova_vifs import MAC, TAP, VIF_ID, connected, vif

from conformance import features
from conformance.topology.linux import Sandbox, namespaces
from refnet.netdev import Capability, Kind


def on_a_bridge(net: Sandbox, tap: str, *, queues: int = 1) -> None:
    """A guest that holds the tap talks with another over a plain bridge."""
    other = net.guest("other")
    net.plain_bridge("br-test", other.port, tap)
    net.remove_in_the_end("br-test")
    connected(net, net.hold(tap, mac=MAC, queues=queues), other, f"{tap} on a bridge")


# -- nova.privsep.linux_net: taps -----------------------------------------------------------------


def test_tap(stack: Sandbox, nova: Nova, tap: None) -> None:
    mine = vif("tap", details={"mac_address": "fe:16:3e:aa:bb:01"})
    nova.plug(mine)
    link = stack.look.need(TAP)
    assert (stack.look.kind(TAP), stack.look.mtu(TAP), stack.look.up(TAP)) == ("tun", 1400, True)
    assert stack.look.mac(TAP) == "fe:16:3e:aa:bb:01"
    assert not link["linkinfo"]["info_data"].get("multi_queue")
    on_a_bridge(stack, TAP)
    nova.unplug(mine)
    assert stack.look.link(TAP) is None


def test_tap_plugged_again_under_a_running_guest(stack: Sandbox, nova: Nova, tap: None) -> None:
    """nova-compute plugs what is plugged when it starts: the guest must not notice."""
    mine = vif("tap", details={"mac_address": "fe:16:3e:aa:bb:01"})
    nova.plug(mine)
    other = stack.guest("other")
    stack.plain_bridge("br-test", other.port, TAP)
    stack.remove_in_the_end("br-test")
    guest = stack.hold(TAP, mac=MAC)
    connected(stack, guest, other, "plugged once")
    with stack.look.unchanged("plug again"):
        nova.plug(mine)
    connected(stack, guest, other, "plugged twice")
    nova.unplug(mine)
    nova.unplug(mine)
    assert stack.look.link(TAP) is None


def test_tap_with_several_queues(stack: Sandbox, nova: Nova, tap: None) -> None:
    reason = features.lacking(Capability.TAP_MULTI_QUEUE)
    if reason:
        pytest.skip(reason)
    image = {"hw_vif_multiqueue_enabled": "true", "hw_vif_model": "virtio"}
    nova.plug(vif("tap"), image=image)
    assert stack.look.need(TAP)["linkinfo"]["info_data"]["multi_queue"]
    on_a_bridge(stack, TAP, queues=2)
    nova.unplug(vif("tap"), image=image)
    assert stack.look.link(TAP) is None


@pytest.mark.parametrize(
    ("kind", "program", "plugging", "unplugging"),
    [
        ("midonet", "mm-ctl", [f"--bind-port {VIF_ID} {TAP}"], [f"--unbind-port {VIF_ID}"]),
        (
            *("iovisor", "ifc_ctl"),
            [
                f"gateway add_port {TAP}",
                f"gateway ifup {TAP} access_vm {VIF_ID} {MAC} "
                "pgtag2=0b5e4a1e-1c2b-4e3d-9f10-a1b2c3d4e5f6 pgtag1=project",
            ],
            [f"gateway ifdown {TAP}", f"gateway del_port {TAP}"],
        ),
    ],
)
def test_taps_of_other_switches(
    stack: Sandbox,
    nova: Nova,
    tap: None,
    tmp_path: Path,
    kind: str,
    program: str,
    plugging: list[str],
    unplugging: list[str],
) -> None:
    """Their own programs cannot be had: one that writes down what it is told, and that the tap was there then."""
    log = tmp_path / "log"
    written = f'#!/bin/sh\n[ -e /sys/class/net/{TAP} ] && echo "$@" >>{log}\n'
    (tmp_path / program).write_text(written)
    (tmp_path / program).chmod(0o755)
    nova.plug(vif(kind), path=[str(tmp_path)])
    assert log.read_text().splitlines() == plugging
    assert stack.look.up(TAP)
    on_a_bridge(stack, TAP)
    nova.unplug(vif(kind), path=[str(tmp_path)])
    assert log.read_text().splitlines() == plugging + unplugging
    assert stack.look.link(TAP) is None


def test_a_bridge_by_the_taps_name(stack: Sandbox, plain_nova: Nova, nova_on_refnet: Nova) -> None:
    """Nova takes whatever has the name for its tap, and reports success; refnet says that it is none."""
    stack.foreign(TAP, Kind.BRIDGE)
    with stack.look.unchanged("plug"):
        with pytest.raises(Refused) as raised:
            nova_on_refnet.plug(vif("tap", mtu=1500))
        assert raised.value.error == "ProcessExecutionError"
        assert f"{TAP} is of kind bridge, not tap" in raised.value.words
        plain_nova.plug(vif("tap", mtu=1500))


# -- nova.privsep.linux_net: VLANs and virtual functions ------------------------------------------


def _macvtap() -> dict[str, Any]:
    details = {"vlan": "7", "macvtap_source": "eth.7", "physical_interface": "p-uplink"}
    return vif("macvtap", vnic_type="macvtap", details=details)


def test_vlan_below_a_macvtap(stack: Sandbox, nova: Nova) -> None:
    if features.lacking(Capability.VLAN):
        pytest.skip("the next test is for kernels without 8021q")
    uplink = stack.guest("uplink", "10.0.0.2/24")
    uplink.tagged(7, "10.0.7.2/24")
    nova.plug(_macvtap())
    nova.plug(_macvtap())
    assert stack.look.mtu("eth.7") == 1500
    assert stack.look.up("eth.7")
    stack.add_address("eth.7", "10.0.7.1/24")
    stack.reaches(stack, "10.0.7.1", uplink, "10.0.7.2", what="tag 7")
    nova.unplug(_macvtap())
    assert stack.look.up("eth.7"), "other guests may have it below them: it stays, as Nova has it"


def test_vlan_below_a_macvtap_where_the_kernel_has_none(stack: Sandbox, plain_nova: Nova, nova_on_refnet: Nova) -> None:
    """Nova takes the failure for success and stumbles over the next step; refnet says what is lacking."""
    if not features.lacking(Capability.VLAN):
        pytest.skip("the test before is for kernels with 8021q")
    stack.guest("uplink")
    with stack.look.unchanged("plug"):
        with pytest.raises(Refused, match="the kernel of this host has no vlan"):
            nova_on_refnet.plug(_macvtap())
        with pytest.raises(Refused, match="Cannot find device"):
            plain_nova.plug(_macvtap())


def _hw_veb(kind: str, pci: str) -> dict[str, Any]:
    return vif("hw_veb", vnic_type=kind, profile={"pci_slot": pci, "trusted": "true"}, details={"vlan": "7"})


def _function(net: Sandbox, card: str) -> dict[str, Any]:
    """What the kernel tells of a card's virtual function 1."""
    (link,) = json.loads(net.run("ip", "-json", "-details", "link", "show", "dev", card))
    found: dict[str, Any] = link["vfinfo_list"][1]
    return found


@pytest.mark.parametrize("kind", ["direct", "macvtap"])
def test_virtual_functions(stack: Sandbox, nova: Nova, kind: str) -> None:
    if features.lacking(features.NETDEVSIM):
        pytest.skip("the next test is for kernels without netdevsim; make nova-test ENV=linux-vm has it")
    card = stack.network_card(vfs=2)
    own = stack.guest("vf").port
    mine = _hw_veb(kind, card.at_pci(1, own))
    nova.plug(mine)
    nova.plug(mine)
    now = _function(stack, card.name)
    if kind == "direct":
        assert now["trust"]
    else:
        assert (now["address"], now["vlan_list"][0]["vlan"]) == (MAC, 7)
        assert (stack.look.mac(own), stack.look.up(own)) == (MAC, True)
    nova.unplug(mine)
    now = _function(stack, card.name)
    if kind == "direct":
        assert not now["trust"]
    else:
        assert (now["address"], now.get("vlan_list", [{}])[0].get("vlan", 0)) == ("00:00:00:00:00:00", 0)
        # Nova sets it down and to an address of zeros by one command, which fails, and takes that for success.
        assert stack.look.up(own) is (nova.helpers == "plain")


@pytest.fixture
def without_functions(stack: Sandbox) -> str:
    """What sysfs has of a PCI bus with a virtual function of p-pf, which has none; its PCI address."""
    for name in ("pf", "vf"):
        stack.guest(name)
    bus = Path("/sys/bus/pci")
    if not bus.is_dir():
        pytest.skip("this machine has no PCI bus")
    namespaces.mount("tmpfs", str(bus), "tmpfs")
    address = "0000:81:10.2"
    physical, virtual = bus / "devices/0000:81:00.0", bus / "devices" / address
    (physical / "net/p-pf").mkdir(parents=True)
    (virtual / "net/p-vf").mkdir(parents=True)
    (virtual / "physfn").symlink_to(physical)
    (physical / "virtfn3").symlink_to(virtual)
    return address


@pytest.mark.parametrize("kind", ["direct", "macvtap"])
def test_virtual_functions_of_a_card_that_has_none(
    stack: Sandbox, without_functions: str, plain_nova: Nova, nova_on_refnet: Nova, kind: str
) -> None:
    """The kernel refuses; Nova takes that for success, and goes on with the function's device."""
    mine = _hw_veb(kind, without_functions)
    with stack.look.unchanged("plug and unplug"):
        for action in (nova_on_refnet.plug, nova_on_refnet.unplug):
            with pytest.raises(Refused, match=r"p-pf.*virtual function"):
                action(mine)
    plain_nova.plug(mine)
    plain_nova.unplug(mine)


def test_vifs_that_touch_nothing(stack: Sandbox, nova: Nova) -> None:
    details = {"vhostuser_mode": "server", "vhostuser_socket": "/run/vhu"}
    with stack.look.unchanged("plug and unplug"):
        for mine in (
            vif("vhostuser", details=details),
            *(vif(kind) for kind in ("hostdev_physical", "802.1qbg", "802.1qbh", "macvtap")),
        ):
            nova.plug(mine)
            nova.unplug(mine)
