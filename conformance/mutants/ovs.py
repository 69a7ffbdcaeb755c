"""Wrong about bridges and ports of Open vSwitch, and about what is in its database."""

from __future__ import annotations

import contextlib
import subprocess
import time
from typing import Any

from conformance.mutants import mutant
from refnet.errors import NoSuchDevice, SwitchRefused
from refnet.netdev.driver import NetDevDriver


def vsctl(*words: str) -> str:
    """Ask the switch by its own tool, as a driver on commands would."""
    argv = ["ovs-vsctl", "--timeout=20", *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


@mutant("ovs-bridge-down", "leaves the device of a bridge down", {"OV-01": "the bridge's device is not up"})
def ovs_bridge_down(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_ovs_bridge(self, bridge: str, **options: Any) -> None:
            super().ensure_ovs_bridge(bridge, **options)
            super().set_device_disabled(bridge)

    return Wrong


@mutant(
    "ovs-ensure-writes",
    "notes in the database when it was last asked",
    {"OV-02": "the kernel was written to: the switch's database"},
)
def ovs_ensure_writes(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_ovs_bridge(self, bridge: str, **options: Any) -> None:
            super().ensure_ovs_bridge(bridge, **options)
            vsctl("set", "Bridge", bridge, f"external_ids:touched={time.monotonic_ns()}")

    return Wrong


@mutant(
    "ovs-ensure-resets",
    "takes what is not said of a bridge for the default",
    {"OV-02": "a second ensure_ovs_bridge: "},
)
def ovs_ensure_resets(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_ovs_bridge(self, bridge: str, **options: Any) -> None:
            super().ensure_ovs_bridge(bridge, **{"fail_mode": "standalone", **options})

    return Wrong


@mutant(
    "ovs-bridge-deletes-devices",
    "deletes the devices that were ports along with their bridge",
    {"OV-03": "with the bridge, the device p-a was deleted"},
)
def ovs_bridge_deletes_devices(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def delete_ovs_bridge(self, bridge: str) -> None:
            ports: tuple[str, ...] = ()
            with contextlib.suppress(NoSuchDevice):
                ports = super().ovs_ports(bridge)
            super().delete_ovs_bridge(bridge)
            for port in ports:
                super().delete_net_dev(port)

    return Wrong


@mutant(
    "ovs-adopts-given-up",
    "takes a port that is in the database for a port that works",
    {"OV-09": "the port that the switch had given up has the number -1"},
)
def ovs_adopts_given_up(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_vif_port(self, bridge: str, dev: str, *rest: Any, **options: Any) -> None:
            if dev not in super().ovs_ports(bridge):
                super().create_ovs_vif_port(bridge, dev, *rest, **options)

    return Wrong


@mutant(
    "ovs-port-always-anew",
    "takes a port out before it makes it again",
    {
        "OV-10": "a second create_ovs_vif_port: ",
        "OV-11": "what others had written is not as it was: ",
    },
)
def ovs_port_always_anew(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_vif_port(self, bridge: str, dev: str, *rest: Any, **options: Any) -> None:
            with contextlib.suppress(NoSuchDevice):
                if dev in super().ovs_ports(bridge):
                    super().delete_ovs_vif_port(bridge, dev, delete_dev=False)
            super().create_ovs_vif_port(bridge, dev, *rest, **options)

    return Wrong


@mutant(
    "ovs-old-ids-stay",
    "writes what is new to a port, and takes nothing off it",
    {"OV-10": "the last call named no instance"},
)
def ovs_old_ids_stay(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_vif_port(
            self, bridge: str, dev: str, iface_id: str, mac_address: str, instance_id: Any = None, **options: Any
        ) -> None:
            if instance_id is None:
                with contextlib.suppress(NoSuchDevice):
                    instance_id = super().ovs_port(dev).vm_uuid
            super().create_ovs_vif_port(bridge, dev, iface_id, mac_address, instance_id, **options)

    return Wrong


@mutant(
    "ovs-ids-renamed",
    "writes an id under a name of its own",
    {"OV-11": "the ids in the switch's database are"},
)
def ovs_ids_renamed(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_vif_port(self, bridge: str, dev: str, iface_id: str, *rest: Any, **options: Any) -> None:
            super().create_ovs_vif_port(bridge, dev, iface_id, *rest, **options)
            vsctl("set", "Interface", dev, f"external_ids:iface_id={iface_id}")

    return Wrong


@mutant(
    "ovs-ids-replaced",
    "writes its ids in the place of all that are there",
    {"OV-11": "what others had written is not as it was: Interface p-a"},
)
def ovs_ids_replaced(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_vif_port(self, bridge: str, dev: str, *rest: Any, **options: Any) -> None:
            super().create_ovs_vif_port(bridge, dev, *rest, **options)
            vsctl("remove", "Interface", dev, "external_ids", "theirs")

    return Wrong


@mutant(
    "ovs-deletes-ports-of-others",
    "deletes a port whichever bridge has it",
    {"OV-12": "delete_ovs_vif_port of a port of another bridge: the host has changed"},
)
def ovs_deletes_ports_of_others(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def delete_ovs_vif_port(self, bridge: str, dev: str, **options: Any) -> None:
            with contextlib.suppress(NoSuchDevice):
                bridge = super().ovs_port(dev).bridge
            super().delete_ovs_vif_port(bridge, dev, **options)

    return Wrong


@mutant(
    "ovs-keeps-devices",
    "leaves the device of a deleted port",
    {"OV-12": "tap1 is no port any more, and its device is still there"},
)
def ovs_keeps_devices(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def delete_ovs_vif_port(self, bridge: str, dev: str, **options: Any) -> None:
            super().delete_ovs_vif_port(bridge, dev, delete_dev=False)

    return Wrong


@mutant(
    "ovs-refusal-swallowed",
    "does not look whether the switch could do it",
    {"OV-16": "a port with a name that the switch reserves is not refused with SwitchRefused: it goes through"},
)
def ovs_refusal_swallowed(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_vif_port(self, bridge: str, dev: str, *rest: Any, **options: Any) -> None:
            with contextlib.suppress(SwitchRefused):
                super().create_ovs_vif_port(bridge, dev, *rest, **options)

    return Wrong


@mutant(
    "ovs-refusal-wordless",
    "keeps the switch's words to itself",
    {"OV-16": "the refusal has not what the switch says of it"},
)
def ovs_refusal_wordless(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_vif_port(self, bridge: str, dev: str, *rest: Any, **options: Any) -> None:
            try:
                super().create_ovs_vif_port(bridge, dev, *rest, **options)
            except SwitchRefused as error:
                error.detail = None
                raise

    return Wrong
