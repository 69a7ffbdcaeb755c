"""Wrong about bridges and their ports."""

from __future__ import annotations

from typing import Any

from conformance.mutants import mutant
from refnet import process
from refnet.errors import AlreadyEnslaved, AlreadyExists, InvalidArgument, NoSuchDevice, WrongKind
from refnet.netdev.driver import Device, Kind, NetDevDriver


def set_up_so(base: Any, *settings: str) -> type[NetDevDriver]:
    """Return a driver whose new bridges get a setting that nobody asked for."""

    class Wrong(base):  # type: ignore[misc]
        def create_bridge(self, bridge: str, **options: Any) -> None:
            super().create_bridge(bridge, **options)
            process.run(["ip", "link", "set", "dev", bridge, "type", "bridge", *settings])

    return Wrong


def ports_so(base: Any, *settings: str) -> type[NetDevDriver]:
    """Return a driver whose bridges' ports get a setting that nobody asked for."""

    class Wrong(base):  # type: ignore[misc]
        def add_bridge_port(self, bridge: str, port: str, *, move: bool = False) -> None:
            super().add_bridge_port(bridge, port, move=move)
            process.run(["bridge", "link", "set", "dev", port, *settings])

    return Wrong


@mutant(
    "bridge-noop",
    "every call on a bridge returns at once, and nothing is done",
    {
        "BR-24": "ensure_bridge has made no bridge",
        "NM-02": "there is no bridge fifteen-chars.x",
        "MM-11": "there is no device br0",
    },
)
def bridge_noop(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_bridge(self, bridge: str, **options: Any) -> None:
            pass

        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            pass

    return Wrong


@mutant(
    "bridge-port-noop",
    "says that a port has joined, and does nothing",
    {
        "BR-01": "it did not arrive at b",
        "BR-07": "a frame of type 0x88b5",
        "BR-09": "the bridge's own address",
        "BR-14": "bridge_ports differs",
        "NM-03": "a bridge called -a",
    },
)
def bridge_port_noop(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def add_bridge_port(self, bridge: str, port: str, *, move: bool = False) -> None:
            pass

    return Wrong


@mutant(
    "bridge-hub",
    "sets the ageing time to 0 for everybody, so that bridges flood (it was done to OpenStack's once)",
    {
        "BR-04": "a frame to a learned address: a sent",
        "BR-05": "and b got it",
        "BR-26": "differs from the kernel's default in ['ageing_time'",
    },
)
def bridge_hub(base: Any) -> type[NetDevDriver]:
    return set_up_so(base, "ageing_time", "0")


@mutant("bridge-flood-off", "switches flooding off on each port", {"BR-02": "unknown unicast: a sent"})
def bridge_flood_off(base: Any) -> type[NetDevDriver]:
    return ports_so(base, "flood", "off")


@mutant("bridge-hairpin", "switches hairpin on at each port", {"BR-03": "a broadcast's way back: a sent"})
def bridge_hairpin(base: Any) -> type[NetDevDriver]:
    return ports_so(base, "hairpin", "on")


@mutant("bridge-shrinks-ports", "gives ports a smaller MTU", {"BR-07": "a frame of full size: a sent"})
def bridge_shrinks_ports(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def add_bridge_port(self, bridge: str, port: str, *, move: bool = False) -> None:
            super().add_bridge_port(bridge, port, move=move)
            super().set_device_mtu(port, 1000)

    return Wrong


@mutant("bridge-forwards-reserved", "has reserved groups forwarded", {"BR-08": "and b got it"})
def bridge_forwards_reserved(base: Any) -> type[NetDevDriver]:
    return set_up_so(base, "group_fwd_mask", "8")


@mutant("bridge-stp-on", "switches spanning tree on unasked", {"BR-26": "differs from the kernel's default in"})
def bridge_stp_on(base: Any) -> type[NetDevDriver]:
    return set_up_so(base, "stp_state", "1")


@mutant("bridge-down", "leaves a new bridge down", {"BR-09": "the new bridge br0 is down"})
def bridge_down(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_bridge(self, bridge: str, **options: Any) -> None:
            super().create_bridge(bridge, **options)
            super().set_device_disabled(bridge)

    return Wrong


@mutant(
    "bridge-one-for-all",
    "puts every port into br0, whichever bridge was named",
    {"BR-06": "and c got it", "BR-13": "was to move to br1 and is in br0"},
)
def bridge_one_for_all(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def add_bridge_port(self, bridge: str, port: str, *, move: bool = False) -> None:
            super().add_bridge_port("br0", port, move=move)

    return Wrong


@mutant("bridge-keeps-port", "does not remove a port that it is told to remove", {"BR-10": "is still a port of br0"})
def bridge_keeps_port(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def remove_bridge_port(self, bridge: str, port: str) -> None:
            pass

    return Wrong


@mutant(
    "bridge-removes-from-any",
    "takes a port out of whatever bridge it is in",
    {"BR-15": "the kernel was written to"},
)
def bridge_removes_from_any(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def remove_bridge_port(self, bridge: str, port: str) -> None:
            if super().device_exists(port):
                process.run(["ip", "link", "set", "dev", port, "nomaster"])

    return Wrong


@mutant(
    "bridge-joins-again",
    "takes a port that is in the bridge out and in again",
    {"BR-11": "the kernel was written to"},
)
def bridge_joins_again(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def add_bridge_port(self, bridge: str, port: str, *, move: bool = False) -> None:
            super().remove_bridge_port(bridge, port)
            super().add_bridge_port(bridge, port, move=move)

    return Wrong


@mutant(
    "bridge-steals-port",
    "takes a port from another bridge without being asked to, as netlink does",
    {"BR-12": "the port was taken from br0"},
)
def bridge_steals_port(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def add_bridge_port(self, bridge: str, port: str, *, move: bool = False) -> None:
            super().add_bridge_port(bridge, port, move=True)

    return Wrong


@mutant(
    "bridge-blames-wrong-master",
    "names the wanted bridge as the one that holds the port",
    {"BR-12": "AlreadyEnslaved names 'br1'"},
)
def bridge_blames_wrong_master(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def add_bridge_port(self, bridge: str, port: str, *, move: bool = False) -> None:
            try:
                super().add_bridge_port(bridge, port, move=move)
            except AlreadyEnslaved as refusal:
                raise AlreadyEnslaved(str(refusal), master=bridge, device=port) from None

    return Wrong


@mutant("bridge-never-moves", "refuses to move a port that it is asked to move", {"BR-13": "AlreadyEnslaved"})
def bridge_never_moves(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def add_bridge_port(self, bridge: str, port: str, *, move: bool = False) -> None:
            super().add_bridge_port(bridge, port)

    return Wrong


@mutant("bridge-lists-few", "lists the first 32 ports only", {"BR-14": "bridge_ports differs"})
def bridge_lists_few(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def bridge_ports(self, bridge: str) -> tuple[str, ...]:
            return tuple(super().bridge_ports(bridge)[:32])

    return Wrong


@mutant("bridge-lists-unsorted", "lists ports in no order", {"BR-16": "bridge_ports('br0') is"})
def bridge_lists_unsorted(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def bridge_ports(self, bridge: str) -> tuple[str, ...]:
            return tuple(reversed(super().bridge_ports(bridge)))

    return Wrong


@mutant(
    "bridge-swallows-missing",
    "takes a device that is not there for work that is done",
    {"BR-17": "nosuch0 is not there, and the call went through"},
)
def bridge_swallows_missing(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def add_bridge_port(self, bridge: str, port: str, *, move: bool = False) -> None:
            try:
                super().add_bridge_port(bridge, port, move=move)
            except NoSuchDevice:
                pass

    return Wrong


@mutant(
    "bridge-blames-wrong-device",
    "names the bridge where the port is missing",
    {"BR-17": "NoSuchDevice names 'br0'", "ER-01": "is about 'br0', not 'nosuch0'"},
)
def bridge_blames_wrong_device(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def add_bridge_port(self, bridge: str, port: str, *, move: bool = False) -> None:
            try:
                super().add_bridge_port(bridge, port, move=move)
            except NoSuchDevice as refusal:
                refusal.device = bridge
                raise

    return Wrong


@mutant(
    "bridge-swallows-refusal",
    "takes the kernel's refusal of a port for success, as brctl's callers did",
    {"BR-18": "DID NOT RAISE"},
)
def bridge_swallows_refusal(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def add_bridge_port(self, bridge: str, port: str, *, move: bool = False) -> None:
            try:
                super().add_bridge_port(bridge, port, move=move)
            except InvalidArgument:
                pass

    return Wrong


@mutant(
    "bridge-adopts",
    "takes a bridge that is there for one that it has made",
    {"BR-20": "created again without a word", "CC-02": "8 of 8 threads have created br0"},
)
def bridge_adopts(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_bridge(self, bridge: str, **options: Any) -> None:
            try:
                super().create_bridge(bridge, **options)
            except AlreadyExists:
                pass

    return Wrong


@mutant(
    "bridge-deletes-any-kind",
    "deletes whatever has the name",
    {"BR-21": "delete_bridge went through on a device that is no bridge"},
)
def bridge_deletes_any_kind(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def delete_bridge(self, bridge: str) -> None:
            super().delete_net_dev(bridge)

    return Wrong


@mutant("bridge-deletes-ports", "deletes the ports with the bridge", {"BR-22": "there is no device p-a"})
def bridge_deletes_ports(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def delete_bridge(self, bridge: str) -> None:
            try:
                ports = super().bridge_ports(bridge)
            except (NoSuchDevice, WrongKind):
                ports = ()
            super().delete_bridge(bridge)
            for port in ports:
                super().delete_net_dev(port)

    return Wrong


@mutant("bridge-delete-raises", "complains that what is to be deleted is gone", {"BR-23": "NoSuchDevice"})
def bridge_delete_raises(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def delete_bridge(self, bridge: str) -> None:
            super().device(bridge)
            super().delete_bridge(bridge)

    return Wrong


@mutant(
    "bridge-ensure-writes",
    "sets everything again on every ensure_bridge",
    {
        "BR-24": "the kernel was written to",
        "BR-27": "the kernel was written to",
        "BR-30": "the kernel was written to",
        "MM-13": "the kernel was written to",
    },
)
def bridge_ensure_writes(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            super().ensure_bridge(bridge, interface, **options)
            super().set_device_macaddr(bridge, super().device(bridge).mac_address)

    return Wrong


@mutant(
    "bridge-ensure-only-creates",
    "does not look at a bridge that is there",
    {"BR-25": "ensure_bridge has left br0 down", "BR-27": "br1 was asked for", "BR-30": "br1 was asked for"},
)
def bridge_ensure_only_creates(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            if not super().device_exists(bridge):
                super().ensure_bridge(bridge, interface, **options)

    return Wrong


@mutant(
    "bridge-ignores-options", "makes every bridge alike", {"BR-27": "br0 was asked for", "BR-30": "br0 was asked for"}
)
def bridge_ignores_options(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_bridge(self, bridge: str, **options: Any) -> None:
            super().create_bridge(bridge)

    return Wrong


@mutant(
    "bridge-takes-any-option",
    "takes options that it cannot understand for not given",
    {"BR-28": "was made"},
)
def bridge_takes_any_option(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_bridge(self, bridge: str, **options: Any) -> None:
            try:
                super().create_bridge(bridge, **options)
            except InvalidArgument:
                super().create_bridge(bridge)

    return Wrong


@mutant(
    "bridge-lies", "describes every device as one that is up and of no bridge", {"BR-29": ".master is None, not 'br0'"}
)
def bridge_lies(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def device(self, dev: str) -> Device:
            true = super().device(dev)
            return Device(
                dev, Kind.BRIDGE if true.kind is Kind.BRIDGE else Kind.VETH, true.mac_address, true.mtu, True, True
            )

    return Wrong
