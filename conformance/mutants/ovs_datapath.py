"""Wrong about whose datapath a bridge of Open vSwitch has, and about ports that have no device."""

from __future__ import annotations

import contextlib
from typing import Any

from conformance.mutants import mutant
from conformance.mutants.ovs import vsctl
from refnet.errors import SwitchRefused
from refnet.netdev.driver import Capability, NetDevDriver


@mutant(
    "ovs-datapath-ignored",
    "takes the switch's own datapath where the kernel's is asked for",
    {"OV-75": "the bridge was to have the datapath system, and the switch says netdev"},
)
def ovs_datapath_ignored(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_ovs_bridge(self, bridge: str, **options: Any) -> None:
            # Where the kernel has none, that would be a refusal left out, which is another fault.
            if super().probe(Capability.OVS_KERNEL_DATAPATH) is None:
                options["datapath_type"] = "netdev"
            super().ensure_ovs_bridge(bridge, **options)

    return Wrong


@mutant(
    "ovs-datapath-set-again",
    "makes a bridge anew whenever a datapath is asked for",
    {"OV-76": "a second ensure_ovs_bridge with the same datapath: "},
)
def ovs_datapath_set_again(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_ovs_bridge(self, bridge: str, **options: Any) -> None:
            if "datapath_type" in options:
                super().delete_ovs_bridge(bridge)
            super().ensure_ovs_bridge(bridge, **options)

    return Wrong


@mutant(
    "ovs-cable-into-nothing",
    "takes a cable that the switch refuses for one that is there",
    {"OV-77": "is not refused with SwitchRefused: it goes through"},
)
def ovs_cable_into_nothing(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_patch_ports(self, *args: Any, **options: Any) -> None:
            with contextlib.suppress(SwitchRefused):
                super().create_ovs_patch_ports(*args, **options)

    return Wrong


@mutant(
    "ovs-socket-lost",
    "does not say where the hypervisor's socket is",
    {"OV-78": "the port has the options None"},
)
def ovs_socket_lost(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_vif_port(self, bridge: str, dev: str, *rest: Any, **options: Any) -> None:
            super().create_ovs_vif_port(bridge, dev, *rest, **options)
            vsctl("clear", "Interface", dev, "options")

    return Wrong
