"""Wrong about what is refused of bridges and ports of Open vSwitch."""

from __future__ import annotations

import contextlib
from typing import Any

from conformance.mutants import mutant
from conformance.mutants.ovs import vsctl
from refnet.errors import AlreadyEnslaved, InvalidArgument, InvalidName, NoSuchDevice, WrongKind
from refnet.netdev.driver import NetDevDriver


@mutant(
    "ovs-any-kind",
    "takes a device of another kind for a bridge of the switch",
    {"OV-04": "ensure_ovs_bridge('theirs0') is not refused with WrongKind: it goes through"},
)
def ovs_any_kind(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_ovs_bridge(self, bridge: str, **options: Any) -> None:
            with contextlib.suppress(WrongKind):
                super().ensure_ovs_bridge(bridge, **options)

    return Wrong


@mutant(
    "ovs-kind-deleted",
    "deletes whatever has the name of a bridge",
    {"OV-04": "delete_ovs_bridge('theirs0') is not refused with WrongKind: it goes through"},
)
def ovs_kind_deleted(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def delete_ovs_bridge(self, bridge: str) -> None:
            try:
                super().delete_ovs_bridge(bridge)
            except WrongKind:
                super().delete_net_dev(bridge)

    return Wrong


@mutant("ovs-ids-unchecked", "takes any id", {"OV-05": "was not refused with InvalidArgument"})
def ovs_ids_unchecked(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_vif_port(self, bridge: str, dev: str, iface_id: str, *rest: Any, **options: Any) -> None:
            super().create_ovs_vif_port(bridge, dev, iface_id or "none", *rest, **options)

    return Wrong


@mutant("ovs-names-unchecked", "takes any name for one of nothing", {"OV-05": "was not refused with InvalidName"})
def ovs_names_unchecked(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def delete_ovs_bridge(self, bridge: str) -> None:
            with contextlib.suppress(InvalidName):
                super().delete_ovs_bridge(bridge)

    return Wrong


@mutant(
    "ovs-checks-late",
    "looks at a tag when the bridge is made",
    {"OV-05": "calls with impossible arguments: there was nothing to do, and yet"},
)
def ovs_checks_late(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_ovs_bridge(self, bridge: str, **options: Any) -> None:
            try:
                super().ensure_ovs_bridge(bridge, **options)
            except InvalidName:
                raise
            except InvalidArgument:
                vsctl("--may-exist", "add-br", bridge, "--", "set", "Bridge", bridge, "datapath_type=netdev")
                raise

    return Wrong


@mutant(
    "ovs-blames-wrong-device",
    "names the device where the bridge is missing",
    {"OV-06": "what is missing is br-none, and the refusal names 'p-free'"},
)
def ovs_blames_wrong_device(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_vif_port(self, bridge: str, dev: str, *rest: Any, **options: Any) -> None:
            try:
                super().create_ovs_vif_port(bridge, dev, *rest, **options)
            except NoSuchDevice as error:
                error.device = dev
                raise

    return Wrong


@mutant(
    "ovs-steals-port",
    "takes a port from another bridge of the switch",
    {"OV-07": "a port of another bridge is not refused with AlreadyEnslaved: it goes through"},
)
def ovs_steals_port(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_vif_port(self, bridge: str, dev: str, *rest: Any, **options: Any) -> None:
            try:
                super().create_ovs_vif_port(bridge, dev, *rest, **options)
            except AlreadyEnslaved:
                vsctl("--if-exists", "del-port", dev)
                super().create_ovs_vif_port(bridge, dev, *rest, **options)

    return Wrong


@mutant(
    "ovs-blames-wrong-bridge",
    "names the bridge that wants the port, not the one that has it",
    {"OV-07": "the refusal says of br-two", "OV-08": "the refusal says of br-int"},
)
def ovs_blames_wrong_bridge(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_vif_port(self, bridge: str, dev: str, *rest: Any, **options: Any) -> None:
            try:
                super().create_ovs_vif_port(bridge, dev, *rest, **options)
            except AlreadyEnslaved as error:
                error.master = bridge
                raise

    return Wrong


@mutant(
    "ovs-steals-from-the-system",
    "takes a port from a bridge of the system",
    {"OV-08": "a port of the system's bridge is not refused with AlreadyEnslaved: it goes through"},
)
def ovs_steals_from_the_system(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_vif_port(self, bridge: str, dev: str, *rest: Any, **options: Any) -> None:
            try:
                super().create_ovs_vif_port(bridge, dev, *rest, **options)
            except AlreadyEnslaved as error:
                if error.master != "theirs0":
                    raise
                super().remove_bridge_port(error.master, dev)
                super().create_ovs_vif_port(bridge, dev, *rest, **options)

    return Wrong


@mutant(
    "ovs-bridge-as-port",
    "takes a bridge for a port",
    {"OV-07": "a bridge as a port is not refused with WrongKind"},
)
def ovs_bridge_as_port(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_vif_port(self, bridge: str, dev: str, *rest: Any, **options: Any) -> None:
            with contextlib.suppress(WrongKind):
                super().create_ovs_vif_port(bridge, dev, *rest, **options)

    return Wrong
