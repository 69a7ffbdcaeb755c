"""Wrong about what passes through bridges of Open vSwitch, and goes on passing when something changes."""

from __future__ import annotations

from typing import Any

from conformance.mutants import mutant
from conformance.mutants.ovs import vsctl
from refnet.netdev.driver import NetDevDriver


def again(bridge: str, dev: str) -> None:
    """Take a port out of a bridge if it is there, and put it in again."""
    vsctl("--if-exists", "del-port", bridge, dev)
    vsctl("add-port", bridge, dev)


@mutant(
    "ovs-port-noop",
    "says that a port has joined, and does nothing",
    {
        "OV-20": "from a to b: a frame to ff:ff:ff:ff:ff:ff: a sent",
        "OV-23": "from the tap's holder to a",
        "OV-27": "over 200 ports",
    },
)
def ovs_port_noop(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_vif_port(self, bridge: str, dev: str, *ids: Any, **words: Any) -> None:
            pass

    return Wrong


@mutant(
    "ovs-one-bridge-for-all",
    "puts every port into br-int, whichever bridge was named",
    {"OV-22": "from the first bridge to the second"},
)
def ovs_one_bridge_for_all(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_vif_port(self, bridge: str, dev: str, *ids: Any, **words: Any) -> None:
            super().create_ovs_vif_port("br-int", dev, *ids, **words)

    return Wrong


@mutant(
    "ovs-keeps-ports",
    "does not delete a port that it is told to delete",
    {
        "OV-24": "to the guest whose port was deleted",
        "OV-32": "the device gw0 is still there",
        "OV-57": "through a patch with one end",
        "OV-67": "an orphan was deleted, and ovs_ports says",
    },
)
def ovs_keeps_ports(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def delete_ovs_vif_port(self, bridge: str, dev: str, **options: Any) -> None:
            pass

    return Wrong


@mutant(
    "ovs-puts-all-in-again",
    "takes the other ports out and in again when one is deleted, to be sure of them",
    {"OV-24": "the others, while a port is deleted", "OV-69": "the others, while ports come and go"},
)
def ovs_puts_all_in_again(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def delete_ovs_vif_port(self, bridge: str, dev: str, **options: Any) -> None:
            super().delete_ovs_vif_port(bridge, dev, **options)
            for other in super().ovs_ports(bridge):
                again(bridge, other)

    return Wrong


@mutant(
    "ovs-fail-mode-ignored",
    "leaves every bridge to learn by itself",
    {"OV-25": "through a secure bridge", "OV-26": "after standalone, secure: a frame to"},
)
def ovs_fail_mode_ignored(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_ovs_bridge(self, bridge: str, *, fail_mode: str | None = None, **options: Any) -> None:
            super().ensure_ovs_bridge(bridge, **options)

    return Wrong


@mutant(
    "ovs-secure-for-good",
    "takes a bridge in fail mode secure no further",
    {"OV-26": "after secure, standalone: a sent"},
)
def ovs_secure_for_good(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_ovs_bridge(self, bridge: str, *, fail_mode: str | None = None, **options: Any) -> None:
            super().ensure_ovs_bridge(bridge, fail_mode=None if fail_mode == "standalone" else fail_mode, **options)

    return Wrong


@mutant("ovs-ports-listed-in-part", "lists the first 128 ports only", {"OV-27": "ovs_ports differs from what was made"})
def ovs_ports_listed_in_part(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ovs_ports(self, bridge: str) -> tuple[str, ...]:
            return tuple(super().ovs_ports(bridge)[:128])

    return Wrong


# -- devices of the switch ----------------------------------------------------------------------------


@mutant(
    "ovs-mtu-forgotten",
    "takes an MTU, and sets none",
    {
        "OV-28": "p-a has MTU 2000, not 1300",
        "OV-30": "gw0 has MTU 1500, not the 1400 asked for",
        "OV-34": "br-int has MTU 1500, not the 1400 asked for",
    },
)
def ovs_mtu_forgotten(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_ovs_bridge(self, bridge: str, *, mtu: int | None = None, **options: Any) -> None:
            super().ensure_ovs_bridge(bridge, **options)

        def create_ovs_vif_port(self, bridge: str, dev: str, *ids: Any, mtu: int | None = None, **words: Any) -> None:
            super().create_ovs_vif_port(bridge, dev, *ids, **words)

    return Wrong


@mutant(
    "ovs-mtu-behind-the-switch",
    "sets the MTU of an internal port on the device, of which the switch knows nothing",
    {"OV-33": "gw0 has MTU 1300, not the 2000 asked for"},
)
def ovs_mtu_behind_the_switch(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_vif_port(self, bridge: str, dev: str, *ids: Any, **words: Any) -> None:
            super().create_ovs_vif_port(bridge, dev, *ids, **words)
            if words.get("interface_type") == "internal" and words.get("mtu"):
                vsctl("clear", "Interface", dev, "mtu_request")
                super().set_device_mtu(dev, words["mtu"])

    return Wrong


@mutant("ovs-gateway-down", "leaves internal ports down", {"OV-30": "gw0 is down"})
def ovs_gateway_down(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_vif_port(self, bridge: str, dev: str, *ids: Any, **words: Any) -> None:
            super().create_ovs_vif_port(bridge, dev, *ids, **words)
            if words.get("interface_type") == "internal":
                super().set_device_disabled(dev)

    return Wrong


@mutant(
    "ovs-gateway-in-all-vlans",
    "makes internal ports of no VLAN of their own",
    {"OV-31": "five asks who has 192.0.2.1"},
)
def ovs_gateway_in_all_vlans(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_vif_port(self, bridge: str, dev: str, *ids: Any, **words: Any) -> None:
            if words.get("interface_type") == "internal":
                words.pop("tag", None)
            super().create_ovs_vif_port(bridge, dev, *ids, **words)

    return Wrong


@mutant(
    "ovs-bridge-mac-stays",
    "gives a bridge that is there no other MAC address",
    {"OV-34": "br-int has MAC address"},
)
def ovs_bridge_mac_stays(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_ovs_bridge(self, bridge: str, *, mac_address: str | None = None, **options: Any) -> None:
            if not super().device_exists(bridge):
                options["mac_address"] = mac_address
            super().ensure_ovs_bridge(bridge, **options)

    return Wrong


# -- patches ------------------------------------------------------------------------------------------


@mutant(
    "ovs-patch-of-one-end",
    "connects the first end of a patch to nothing",
    {"OV-55": "through the patch with tag None", "OV-59": "through the patch: a frame to"},
)
def ovs_patch_of_one_end(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_patch_ports(self, bridge: str, port: str, *peer: str, **words: Any) -> None:
            super().create_ovs_patch_ports(bridge, port, *peer, **words)
            vsctl("set", "Interface", port, "options:peer=nobody")

    return Wrong


@mutant(
    "ovs-patch-of-all-vlans",
    "forgets the tag of a patch",
    {"OV-56": "from the VLAN of the patch: a frame to"},
)
def ovs_patch_of_all_vlans(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_patch_ports(self, bridge: str, port: str, *peer: str, **words: Any) -> None:
            super().create_ovs_patch_ports(bridge, port, *peer)

    return Wrong


@mutant(
    "ovs-patch-anew",
    "makes a patch anew that is there",
    {"OV-58": "through a patch that is asked for again: "},
)
def ovs_patch_anew(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_patch_ports(self, bridge: str, port: str, *peer: str, **words: Any) -> None:
            vsctl("--if-exists", "del-port", bridge, port)
            super().create_ovs_patch_ports(bridge, port, *peer, **words)

    return Wrong


@mutant(
    "ovs-devices-with-the-bridge",
    "deletes the devices that were ports along with their bridge",
    {"OV-59": "there is no device p-a"},
)
def ovs_devices_with_the_bridge(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def delete_ovs_bridge(self, bridge: str) -> None:
            ports = vsctl("list-ports", bridge).split()
            super().delete_ovs_bridge(bridge)
            for port in ports:
                super().delete_net_dev(port)

    return Wrong
