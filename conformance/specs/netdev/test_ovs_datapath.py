"""Open vSwitch: whose datapath a bridge has, the kernel's or the switch's own, and ports that have no device."""

from __future__ import annotations

from conformance.harness import DriverUnderTest
from conformance.spec import spec
from conformance.specs.netdev.refused import refused
from conformance.specs.netdev.switch_rows import external_ids, interface_id, plugged
from conformance.topology.sandbox import Sandbox
from refnet.errors import SwitchRefused
from refnet.netdev import Capability

KERNEL, OWN = Capability.OVS_KERNEL_DATAPATH, Capability.OVS_USERSPACE_DATAPATH
_MAC = "02:00:00:00:00:0b"


def _carries(netdev: DriverUnderTest, net: Sandbox, datapath: str) -> None:
    netdev.ensure_ovs_bridge("br-int", datapath_type=datapath)
    found = net.open_vswitch().appctl("dpif/show").split("@", 1)[0].strip()
    assert found == datapath, f"the bridge was to have the datapath {datapath}, and the switch says {found}"
    a, b = plugged(netdev, net, "br-int", "a", "b")
    net.delivers(a, net.frame(a, b), b, what=f"unicast by the datapath {datapath}")
    net.delivers(b, net.frame(b, a), a, what=f"unicast back by the datapath {datapath}")
    with net.look.unwritten("a second ensure_ovs_bridge with the same datapath"):
        netdev.ensure_ovs_bridge("br-int", datapath_type=datapath)


@spec(
    "OV-75",
    "A bridge with datapath_type system is the kernel's, and carries frames there.",
    capability=KERNEL,
)
def test_kernel_datapath(netdev: DriverUnderTest, net: Sandbox) -> None:
    _carries(netdev, net, "system")


@spec(
    "OV-76",
    "A bridge with datapath_type netdev is the switch's own, and carries frames there.",
    capability=OWN,
)
def test_own_datapath(netdev: DriverUnderTest, net: Sandbox) -> None:
    _carries(netdev, net, "netdev")


@spec(
    "OV-77",
    "A cable between bridges of different datapaths is refused with SwitchRefused, and the database is as it was.",
    level="full",
    capability=(KERNEL, OWN),
)
def test_no_cable_between_datapaths(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.ensure_ovs_bridge("br-one", datapath_type="system")
    netdev.ensure_ovs_bridge("br-two", datapath_type="netdev")
    with refused(net, SwitchRefused, "a cable between bridges of different datapaths"):
        netdev.create_ovs_patch_ports("br-one", "one0", "br-two", "two0")


@spec(
    "OV-78",
    "A port that a hypervisor reaches through a socket needs no device, and has its type, the socket's path and its "
    "ids in the database.",
    capability=Capability.OVS_VHOST_USER,
)
def test_vhost_user(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.ensure_ovs_bridge("br-int", datapath_type="netdev")
    socket = "/run/refnet-vhost.sock"
    kind = "dpdkvhostuserclient"
    netdev.create_ovs_vif_port("br-int", "vhu0", interface_id("a"), _MAC, interface_type=kind, vhost_server_path=socket)
    row = net.open_vswitch().rows()["Interface vhu0"]
    assert row.get("type") == kind, f"the port has the type {row.get('type')!r}"
    assert row.get("options") == {"vhost-server-path": socket}, f"the port has the options {row.get('options')}"
    ids = external_ids(net, "vhu0")
    assert ids.get("iface-id") == interface_id("a"), f"the port has the ids {ids}"
    netdev.create_ovs_vif_port("br-int", "vhu1", interface_id("b"), _MAC, interface_type="dpdkvhostuser")
    netdev.ovs_set_vhostuser_port_type("vhu1")
    assert netdev.ovs_ports("br-int") == ("vhu0", "vhu1"), f"the bridge has the ports {netdev.ovs_ports('br-int')}"
