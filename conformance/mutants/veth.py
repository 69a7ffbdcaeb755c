"""Wrong about virtual cables."""

from __future__ import annotations

import dataclasses
from typing import Any

from conformance.mutants import mutant
from refnet.errors import AlreadyExists, Mismatch, NoSuchDevice, RefnetError
from refnet.netdev.driver import Device, NetDevDriver


@mutant("veth-not-made", "says that the pair is there, and it is not", {"VE-01": "there is no device v0"})
def veth_not_made(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_veth_pair(self, dev: str, peer: str, *, mtu: int | None = None) -> None:
            super().create_veth_pair(dev, peer, mtu=mtu)
            super().delete_net_dev(dev)

    return Wrong


@mutant(
    "veth-far-end-down",
    "sets only the near end up",
    {"VE-01": "it did not arrive", "VE-02": "the end v1 is down", "VE-07": "the end v1 is down"},
)
def veth_far_end_down(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_veth_pair(self, dev: str, peer: str, *, mtu: int | None = None) -> None:
            super().create_veth_pair(dev, peer, mtu=mtu)
            self.set_device_disabled(peer)

    return Wrong


@mutant(
    "veth-mtu-on-one-end",
    "sets the MTU of the near end only",
    {"VE-02": "the end v1 has MTU 1500", "VE-07": "the end v1 has MTU 1500"},
)
def veth_mtu_on_one_end(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_veth_pair(self, dev: str, peer: str, *, mtu: int | None = None) -> None:
            super().create_veth_pair(dev, peer)
            if mtu is not None:
                self.set_device_mtu(dev, mtu)

    return Wrong


@mutant("veth-twins", "gives both ends one MAC address", {"VE-03": "some are the same"})
def veth_twins(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_veth_pair(self, dev: str, peer: str, *, mtu: int | None = None) -> None:
            super().create_veth_pair(dev, peer, mtu=mtu)
            self.set_device_macaddr(peer, self.device(dev).mac_address)

    return Wrong


@mutant(
    "veth-deletes-strictly",
    "does not delete what is gone already, but complains",
    {"VE-04": "NoSuchDevice", "TA-19": "NoSuchDevice", "VL-10": "NoSuchDevice"},
)
def veth_deletes_strictly(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def delete_net_dev(self, dev: str) -> None:
            if not self.device_exists(dev):
                raise NoSuchDevice(f"there is no device {dev}", device=dev)
            super().delete_net_dev(dev)

    return Wrong


@mutant(
    "veth-replaced",
    "deletes whatever has one of the two names, then makes the pair",
    {
        "VE-05": "there was nothing to do",
        "VE-06": "there was nothing to do",
        "VE-08": "is not refused with Mismatch: it goes through",
        "VE-09": "is not refused with Mismatch: it goes through",
        "VE-10": "is not refused with Mismatch: it goes through",
        "VE-11": "is not refused with Mismatch: it goes through",
        "VE-12": "is not refused with WrongKind: it goes through",
    },
)
def veth_replaced(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_veth_pair(self, dev: str, peer: str, *, mtu: int | None = None) -> None:
            for name in (dev, peer):
                self.delete_net_dev(name)
            super().create_veth_pair(dev, peer, mtu=mtu)

    return Wrong


@mutant(
    "veth-by-one-name",
    "takes the pair for there when the first name is",
    {
        "VE-07": "the end v0 is down",
        "VE-08": "is not refused with Mismatch: it goes through",
        "VE-10": "is not refused with Mismatch: it goes through",
        "VE-11": "is not refused with Mismatch: it goes through",
        "VE-12": "is not refused with WrongKind: it goes through",
    },
)
def veth_by_one_name(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_veth_pair(self, dev: str, peer: str, *, mtu: int | None = None) -> None:
            if not self.device_exists(dev):
                super().create_veth_pair(dev, peer, mtu=mtu)

    return Wrong


@mutant(
    "veth-not-adopted",
    "refuses a pair that is there",
    {"VE-05": "AlreadyExists", "VE-06": "AlreadyExists", "VE-07": "AlreadyExists"},
)
def veth_not_adopted(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_veth_pair(self, dev: str, peer: str, *, mtu: int | None = None) -> None:
            if self.device_exists(dev) and self.device_exists(peer):
                raise AlreadyExists(f"{dev} and {peer} are there already", device=dev)
            super().create_veth_pair(dev, peer, mtu=mtu)

    return Wrong


@mutant(
    "veth-tells-nothing",
    "does not say what is there instead of the other end",
    {
        "VE-08": "does not name the actual other end",
        "VE-09": "does not name the actual other end",
        "VE-10": "does not name the actual other end",
        "VE-11": "does not name the actual other end",
    },
)
def veth_tells_nothing(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_veth_pair(self, dev: str, peer: str, *, mtu: int | None = None) -> None:
            try:
                super().create_veth_pair(dev, peer, mtu=mtu)
            except Mismatch:
                raise Mismatch(f"{dev} and {peer} are not a pair", device=dev) from None

    return Wrong


@mutant(
    "veth-leaves-a-half",
    "makes the far end under a name of its own first, and leaves both behind when it cannot be renamed",
    {"VE-12": "the host has changed"},
)
def veth_leaves_a_half(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_veth_pair(self, dev: str, peer: str, *, mtu: int | None = None) -> None:
            try:
                super().create_veth_pair(dev, peer, mtu=mtu)
            except RefnetError:
                if not self.device_exists(dev):
                    super().create_veth_pair(dev, "made0")
                raise

        def delete_net_dev(self, dev: str) -> None:
            super().delete_net_dev("made0")
            super().delete_net_dev(dev)

    return Wrong


@mutant(
    "veth-takes-names-as-they-come",
    "passes names on with what the system makes of them",
    {"VE-13": "create_veth_pair('v0', 'v0') let out a ValueError"},
)
def veth_takes_names(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_veth_pair(self, dev: str, peer: str, *, mtu: int | None = None) -> None:
            if dev == peer:
                raise ValueError(f"the peer of {dev} is {dev}")
            super().create_veth_pair(dev, peer, mtu=mtu)

    return Wrong


@mutant(
    "veth-cuts-names",
    "cuts a name that is too long",
    {"VE-13": "create_veth_pair of 'veth0123456789012' and 'v1' is not refused with InvalidArgument"},
)
def veth_cuts_names(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_veth_pair(self, dev: str, peer: str, *, mtu: int | None = None) -> None:
            dev, peer = (name[:15] if isinstance(name, str) else name for name in (dev, peer))
            super().create_veth_pair(dev, peer, mtu=mtu)

    return Wrong


@mutant(
    "veth-peer-from-memory",
    "tells the other end that a pair was made with, wherever it is now",
    {"VE-11": "device() says that v0 leads to v1"},
)
def veth_peer_from_memory(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.peers: dict[str, str] = {}

        def create_veth_pair(self, dev: str, peer: str, *, mtu: int | None = None) -> None:
            super().create_veth_pair(dev, peer, mtu=mtu)
            self.peers[dev] = peer

        def device(self, dev: str) -> Device:
            found: Device = super().device(dev)
            return dataclasses.replace(found, peer=self.peers.get(dev, found.peer))

    return Wrong
