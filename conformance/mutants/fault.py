"""Wrong when a request to the system fails, or when the process is killed: several steps without a way back."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

from conformance.mutants import mutant
from conformance.mutants.address import listed
from refnet.errors import RefnetError
from refnet.netdev.driver import NetDevDriver


@mutant(
    "bridge-left-half-made",
    "makes a bridge and then sets its MTU, and leaves it without when that fails",
    {"FA-01": "the host is not as before: link br0 is new"},
)
def bridge_left_half_made(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_bridge(self, bridge: str, *, mtu: int | None = None, **options: Any) -> None:
            super().create_bridge(bridge, **options)
            if mtu is not None:
                super().set_device_mtu(bridge, mtu)

    return Wrong


@mutant(
    "bridge-options-optional",
    "goes on when a bridge's MTU could not be set",
    {"FA-01": "the call said nothing, and left undone: MTU of br0"},
)
def bridge_options_optional(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_bridge(self, bridge: str, *, mtu: int | None = None, **options: Any) -> None:
            super().create_bridge(bridge, **options)
            if mtu is not None:
                with contextlib.suppress(RefnetError):
                    super().set_device_mtu(bridge, mtu)

    return Wrong


@mutant(
    "tap-left-half-made",
    "makes a tap and then sets its MAC address and MTU, and leaves it when that fails",
    {"FA-02": "the host is not as before: link tap0 is new"},
)
def tap_left_half_made(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_tap_dev(
            self, dev: str, mac_address: str | None = None, *, mtu: int | None = None, **options: Any
        ) -> None:
            super().create_tap_dev(dev, **options)
            if mac_address is not None:
                super().set_device_macaddr(dev, mac_address)
            if mtu is not None:
                super().set_device_mtu(dev, mtu)

    return Wrong


@mutant(
    "cable-left-half-made",
    "makes a cable and then sets its MTU, and leaves it when that fails",
    {"FA-03": "the host is not as before: link ve"},
)
def cable_left_half_made(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_veth_pair(self, dev: str, peer: str, *, mtu: int | None = None) -> None:
            super().create_veth_pair(dev, peer)
            if mtu is not None:
                super().set_device_mtu(dev, mtu)
                super().set_device_mtu(peer, mtu)

    return Wrong


@mutant(
    "failure-leaks-a-socket",
    "forgets to close a socket when making a cable fails",
    {"FA-03": "after the clean-up something is left: descriptor"},
)
def failure_leaks_a_socket(base: Any) -> type[NetDevDriver]:
    leaked = []

    class Wrong(base):  # type: ignore[misc]
        def create_veth_pair(self, dev: str, peer: str, *, mtu: int | None = None) -> None:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            leaked.append(sock.detach())
            super().create_veth_pair(dev, peer, mtu=mtu)
            socket.socket(fileno=leaked.pop()).close()

    return Wrong


@mutant(
    "failure-breaks-the-driver",
    "does nothing any more once a call has failed",
    {"FA-03": "create_veth_pair fails without a fault"},
)
def failure_breaks_the_driver(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        broken: RefnetError | None = None

        def create_veth_pair(self, dev: str, peer: str, *, mtu: int | None = None) -> None:
            if self.broken is not None:
                raise self.broken
            try:
                super().create_veth_pair(dev, peer, mtu=mtu)
            except RefnetError as error:
                self.broken = error
                raise

    return Wrong


@mutant(
    "port-leaves-first",
    "takes a port from its bridge before it asks the other, and does not put it back",
    {"FA-04": "the host is not as before: link p-a: master was 'br1'"},
)
def port_leaves_first(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def add_bridge_port(self, bridge: str, port: str, *, move: bool = False) -> None:
            master = super().device(port).master
            if move and master not in (None, bridge):
                super().remove_bridge_port(master, port)
            super().add_bridge_port(bridge, port)

    return Wrong


@mutant(
    "port-errors-swallowed",
    "says nothing when a port could not be moved",
    {"FA-04": "the call said nothing, and left undone: bridge of p-a"},
)
def port_errors_swallowed(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def add_bridge_port(self, bridge: str, port: str, *, move: bool = False) -> None:
            with contextlib.suppress(RefnetError):
                super().add_bridge_port(bridge, port, move=move)

    return Wrong


@mutant(
    "join-without-way-back",
    "makes the bridge, moves address by address, and stops where something fails",
    {"FA-05": "the host is not as before: link br0 is new", "FA-06": "the host is not as before: link br0 is new"},
)
def join_without_way_back(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            super().ensure_bridge(bridge)
            super().ensure_bridge(bridge, interface, **options)

    return Wrong


@mutant(
    "join-takes-before-it-gives",
    "takes the addresses from the interface before it adds them to the bridge",
    {
        "FA-14": "a second call does not finish it: addresses of br0",
    },
)
def join_takes_before_it_gives(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            addresses = listed(self, interface) if interface is not None else []
            for address in addresses:
                super().delete_device_address(interface, address)
            super().ensure_bridge(bridge, interface, **options)
            for address in addresses:
                super().add_device_address(bridge, address)

    return Wrong


@mutant(
    "bridge-there-is-done",
    "takes a bridge that is there for one that is finished",
    {"FA-10": "a second call does not finish it", "FA-14": "a second call does not finish it"},
)
def bridge_there_is_done(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_bridge(self, bridge: str, *, mtu: int | None = None, **options: Any) -> None:
            super().create_bridge(bridge, **options)
            if mtu is not None:
                super().set_device_mtu(bridge, mtu)

        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            if super().device_exists(bridge):
                return
            if interface is not None:
                options = {"mac_address": super().device(interface).mac_address, **options}
            super().ensure_bridge(bridge, **options)
            super().ensure_bridge(bridge, interface, **options)

    return Wrong


@mutant(
    "gateway-without-way-back",
    "takes the addresses away, adds them in the wanted order, and stops where something fails",
    {
        "FA-07": "the host is not as before",
        "FA-15": "a second call does not finish it: addresses of p-a",
    },
)
def gateway_without_way_back(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_gateway_address(self, dev: str, address: str) -> None:
            others = [one for one in listed(self, dev) if one != address]
            for one in reversed(listed(self, dev)):
                super().delete_device_address(dev, one)
            for one in [address, *others]:
                super().add_device_address(dev, one)

    return Wrong


@mutant(
    "delete-without-way-back",
    "deletes the first address with its whole subnet, and adds the others again if nothing comes in between",
    {
        "FA-08": "the host is not as before",
        "FA-16": "a second call does not finish it: addresses of p-a",
    },
)
def delete_without_way_back(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def delete_device_address(self, dev: str, address: str) -> None:
            others = [one for one in listed(self, dev) if one != address]
            super().delete_device_address(dev, address)
            for one in reversed(others):
                super().delete_device_address(dev, one)
            for one in others:
                super().add_device_address(dev, one)

    return Wrong


@mutant(
    "tap-there-is-done",
    "takes a tap that is there for one that is finished",
    {"FA-11": "a second call does not finish it"},
)
def tap_there_is_done(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_tap_dev(
            self, dev: str, mac_address: str | None = None, *, mtu: int | None = None, **options: Any
        ) -> None:
            if super().device_exists(dev):
                return
            super().create_tap_dev(dev, **options)
            if mac_address is not None:
                super().set_device_macaddr(dev, mac_address)
            if mtu is not None:
                super().set_device_mtu(dev, mtu)

    return Wrong


@mutant(
    "cable-there-is-done",
    "takes a cable that is there for one that is finished",
    {"FA-12": "a second call does not finish it"},
)
def cable_there_is_done(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_veth_pair(self, dev: str, peer: str, *, mtu: int | None = None) -> None:
            if super().device_exists(dev):
                return
            super().create_veth_pair(dev, peer)
            if mtu is not None:
                super().set_device_mtu(dev, mtu)
                super().set_device_mtu(peer, mtu)

    return Wrong


@mutant(
    "port-move-needs-a-master",
    "takes a port from its bridge first, and moves none that is in no bridge",
    {"FA-13": "a second call does not finish it: bridge of p-a"},
)
def port_move_needs_a_master(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def add_bridge_port(self, bridge: str, port: str, *, move: bool = False) -> None:
            master = super().device(port).master
            if move and master is None:
                return
            if move and master != bridge:
                super().remove_bridge_port(master, port)
            super().add_bridge_port(bridge, port)

    return Wrong


@mutant(
    "vlan-left-without-bridge",
    "makes the VLAN device, and leaves it when the bridge cannot be made",
    {"FA-09": "the host is not as before: link vlan7 is new", "FA-17": "a second call does not finish it"},
)
def vlan_left_without_bridge(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_vlan_bridge(
            self, vlan_num: int, bridge: str, parent: str, dev: str | None = None, **options: Any
        ) -> str:
            if dev is not None and super().device_exists(dev):
                return dev
            name: str = super().ensure_vlan(vlan_num, parent, dev, **options)
            super().ensure_bridge(bridge, name)
            return name

    return Wrong
