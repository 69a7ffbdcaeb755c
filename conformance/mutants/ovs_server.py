"""Wrong about an Open vSwitch that is not there or hangs, and about others who use it."""

from __future__ import annotations

import contextlib
import subprocess
from typing import Any

from conformance.mutants import mutant
from conformance.mutants.ovs import vsctl
from refnet.errors import KernelRefused, SwitchRefused, SwitchUnreachable
from refnet.netdev.driver import NetDevDriver


@mutant(
    "ovs-silence-untyped",
    "has no name for a switch that does not answer",
    {"OV-13": "is not refused with SwitchUnreachable but with KernelRefused"},
)
def ovs_silence_untyped(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ovs_ports(self, bridge: str) -> tuple[str, ...]:
            try:
                return super().ovs_ports(bridge)  # type: ignore[no-any-return]
            except SwitchUnreachable as error:
                raise KernelRefused(error.message) from None

    return Wrong


@mutant(
    "ovs-absence-taken-for-done",
    "takes it for deleted where nobody can tell",
    {"OV-13": "delete_ovs_bridge without a switch, by an instance that knew the switch is not refused"},
)
def ovs_absence_taken_for_done(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def delete_ovs_bridge(self, bridge: str) -> None:
            with contextlib.suppress(SwitchUnreachable):
                super().delete_ovs_bridge(bridge)

    return Wrong


@mutant(
    "ovs-gives-up-for-good",
    "never asks again a switch that did not answer once",
    {"OV-14": "the same driver does not go on after the database's server was gone for a while"},
)
def ovs_gives_up_for_good(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        gone: SwitchUnreachable | None = None

        def create_ovs_vif_port(self, *args: Any, **options: Any) -> None:
            if self.gone:
                raise SwitchUnreachable(self.gone.message, capability="ovs")
            try:
                super().create_ovs_vif_port(*args, **options)
            except SwitchUnreachable as error:
                self.gone = error
                raise

    return Wrong


@mutant(
    "ovs-leaves-what-nobody-did",
    "leaves in the database what the switch has not taken over",
    {"OV-15": "a port while the switch hangs: the host has changed"},
)
def ovs_leaves_what_nobody_did(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_vif_port(self, bridge: str, dev: str, *rest: Any, **options: Any) -> None:
            try:
                super().create_ovs_vif_port(bridge, dev, *rest, **options)
            except SwitchUnreachable:
                vsctl("--no-wait", "--may-exist", "add-port", bridge, dev)
                raise

    return Wrong


@mutant(
    "ovs-does-not-wait",
    "takes what stands in the database for done",
    {"OV-15": "a port while the switch hangs is not refused with SwitchUnreachable: it goes through"},
)
def ovs_does_not_wait(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_vif_port(self, bridge: str, dev: str, *rest: Any, **options: Any) -> None:
            try:
                super().create_ovs_vif_port(bridge, dev, *rest, **options)
            except SwitchUnreachable:
                return

    return Wrong


@mutant(
    "ovs-port-in-two-steps",
    "makes a port and gives it its tag in two transactions, and takes a port that is there for one that is done",
    {
        "OV-17": "of create_ovs_vif_port failed, and the host is not as before",
        "OV-79": "of create_ovs_vif_port, a second call does not finish it",
    },
)
def ovs_port_in_two_steps(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_vif_port(self, bridge: str, dev: str, *rest: Any, **options: Any) -> None:
            if dev in super().ovs_ports(bridge):
                return
            tag = options.pop("tag", None)
            super().create_ovs_vif_port(bridge, dev, *rest, **options)
            super().set_ovs_port_vlan(dev, tag=tag)

    return Wrong


@mutant(
    "ovs-ports-listed-stale",
    "writes the list of ports that it has read before, whatever others have added meanwhile",
    {"OV-18": "are lost: "},
)
def ovs_ports_listed_stale(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_vif_port(self, bridge: str, dev: str, *rest: Any, **options: Any) -> None:
            known = vsctl("get", "Bridge", bridge, "ports").strip("[]").split(", ")
            # Others do the same to this one.
            with contextlib.suppress(subprocess.CalledProcessError, SwitchRefused):
                super().create_ovs_vif_port(bridge, dev, *rest, **options)
                own = vsctl("get", "Port", dev, "_uuid")
                vsctl("--no-wait", "set", "Bridge", bridge, f"ports={','.join([*known, own])}")

    return Wrong
