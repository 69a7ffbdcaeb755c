"""Wrong about ports of Open vSwitch that are there: when the switch starts again, and when they are asked for again."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from conformance.mutants import mutant
from conformance.mutants.ovs import vsctl
from refnet import process
from refnet.config import ovsdb
from refnet.netdev.driver import NetDevDriver
from refnet.netdev.model import OvsPort


@mutant(
    "ovs-flows-of-its-own",
    "has frames pass by a flow that it writes into the switch, and that goes with it",
    {
        "OV-60": "since the switch was started again: the frames from a to b no longer arrive",
        "OV-61": "since the switch was started again: the frames from a to b no longer arrive",
    },
)
def ovs_flows_of_its_own(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_ovs_bridge(self, bridge: str, **options: Any) -> None:
            super().ensure_ovs_bridge(bridge, **{"fail_mode": "secure", **options})
            process.run(["ovs-ofctl", "add-flow", bridge, "actions=NORMAL"])

    return Wrong


@mutant(
    "ovs-stale-since-restart",
    "takes a port from before the database was started again for stale, and makes it anew",
    {"OV-62": "while the database is started again, and after it: "},
)
def ovs_stale_since_restart(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_vif_port(self, bridge: str, dev: str, *ids: Any, **words: Any) -> None:
            began = os.stat(ovsdb().partition(":")[2]).st_ctime_ns
            if began != getattr(self, "began", began):
                vsctl("--if-exists", "del-port", bridge, dev)
            self.began = began
            super().create_ovs_vif_port(bridge, dev, *ids, **words)

    return Wrong


@mutant(
    "ovs-port-anew",
    "takes a port that is asked for again out of the bridge and puts it in again",
    {
        "OV-65": "through a port that is asked for again: ",
        "OV-68": "since it was asked for again",
    },
)
def ovs_port_anew(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_vif_port(self, bridge: str, dev: str, *ids: Any, **words: Any) -> None:
            vsctl("--if-exists", "del-port", bridge, dev)
            super().create_ovs_vif_port(bridge, dev, *ids, **words)

    return Wrong


@mutant(
    "ovs-never-repairs",
    "takes a port for healthy because it is in the database",
    {"OV-66": "from a device that was made again: a frame to"},
)
def ovs_never_repairs(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_vif_port(self, bridge: str, dev: str, *ids: Any, **words: Any) -> None:
            if dev in super().ovs_ports(bridge):
                super().set_device_enabled(dev)
                return
            super().create_ovs_vif_port(bridge, dev, *ids, **words)

    return Wrong


@mutant(
    "ovs-orphans-look-well",
    "gives the number that a port once had, and no error",
    {"OV-67": "has gone, and ovs_port says that its number is"},
)
def ovs_orphans_look_well(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ovs_port(self, dev: str) -> OvsPort:
            true: OvsPort = super().ovs_port(dev)
            return dataclasses.replace(true, ofport=1, error=None)

    return Wrong


@mutant(
    "ovs-later-never",
    "takes a port whose device comes later, and leaves it to the next call",
    {"OV-68": "NoSuchDevice: ovs_port"},
)
def ovs_later_never(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_vif_port(
            self, bridge: str, dev: str, *ids: Any, device_later: bool = False, **words: Any
        ) -> None:
            if not device_later:
                super().create_ovs_vif_port(bridge, dev, *ids, **words)

    return Wrong


@mutant(
    "ovs-later-untagged",
    "says of a port whose device comes later only that it is one",
    {"OV-68": "from a device that came after its port: late sent"},
)
def ovs_later_untagged(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_vif_port(self, bridge: str, dev: str, *ids: Any, **words: Any) -> None:
            if words.get("device_later"):
                words.pop("tag", None)
            super().create_ovs_vif_port(bridge, dev, *ids, **words)

    return Wrong
