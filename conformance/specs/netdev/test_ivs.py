"""Ports of Indigo Virtual Switch. Few hosts have it: elsewhere it has to be refused, the host unchanged."""

from __future__ import annotations

from conformance.harness import DriverUnderTest
from conformance.spec import spec
from conformance.specs.netdev.refused import refused
from conformance.topology.sandbox import Sandbox
from refnet.errors import NoSuchDevice
from refnet.netdev.model import Capability

_MAC = "02:00:00:00:00:a1"
_IDS = ("2d0a6e4c-6d5f-4bb8-b1c9-4d3f3e5a0c11", _MAC, "0f4d7e0a-3c0c-44c3-8f3f-9a3d8c1b2e55")


def _is_port(net: Sandbox, device: str) -> bool:
    """Whether the switch has a device as a port, as its own program lists them."""
    return device in net.run("ivs-ctl", "list-ports").split()


@spec(
    "IV-01",
    "create_ivs_vif_port makes a device a port of Indigo Virtual Switch, and again writes nothing; where no such "
    "switch runs it is refused.",
    level="full",
    capability=Capability.IVS,
)
def test_create(netdev: DriverUnderTest, net: Sandbox) -> None:
    port = net.guest("a").port
    netdev.create_ivs_vif_port(port, *_IDS)
    assert _is_port(net, port), f"{port} is no port of the switch"
    with net.look.unwritten("a second create_ivs_vif_port"):
        netdev.create_ivs_vif_port(port, *_IDS)
    with refused(net, NoSuchDevice, "a port of a device that is not there"):
        netdev.create_ivs_vif_port("nosuch0", *_IDS)


@spec(
    "IV-02",
    "delete_ivs_vif_port takes a port out of Indigo Virtual Switch and deletes its device, and again does nothing; "
    "where no such switch runs it is refused.",
    level="full",
    capability=Capability.IVS,
)
def test_delete(netdev: DriverUnderTest, net: Sandbox) -> None:
    port = net.guest("a").port
    netdev.create_ivs_vif_port(port, *_IDS)
    netdev.delete_ivs_vif_port(port)
    assert net.look.link(port) is None, f"{port} was unplugged, and is still there"
    with net.look.unwritten("a second delete_ivs_vif_port"):
        netdev.delete_ivs_vif_port(port)
