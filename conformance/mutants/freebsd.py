"""Wrong in FreeBSD's own ways: what ifconfig(8) leaves behind, refuses, or does besides, taken for what was asked."""

from __future__ import annotations

import functools
from typing import Any

from conformance import freebsd_shell, mutants
from conformance.system import FREEBSD
from refnet import process
from refnet.errors import AlreadyEnslaved, AlreadyExists, CommandFailed, KernelRefused, Mismatch
from refnet.netdev.driver import Device, NetDevDriver

mutant = functools.partial(mutants.mutant, systems=(FREEBSD,))


def ifconfig(*words: str) -> str:
    """Run it as the suite's own."""
    return freebsd_shell.run(["ifconfig", *words])


def each_port(name: str, wrong: str, kills: dict[str, str], *words: str) -> None:
    """Register a mutant that does something to each port that it adds: ``ifconfig BRIDGE WORDS PORT``."""

    @mutant(name, wrong, kills)
    def build(base: Any) -> type[NetDevDriver]:
        class Wrong(base):  # type: ignore[misc]
            def add_bridge_port(self, bridge: str, port: str, *, move: bool = False) -> None:
                super().add_bridge_port(bridge, port, move=move)
                ifconfig(bridge, *words, port)

        return Wrong


# -- members of bridges -------------------------------------------------------------------------------

each_port("freebsd-private-ports", "makes every port private", {"BR-01": "did not arrive at"}, "private")
each_port("freebsd-port-stp", "has every port listen for 30 s first", {"BR-01": "did not arrive at"}, "stp")
each_port("freebsd-sticky-ports", "makes learned addresses static", {"BR-05": "did not arrive at"}, "sticky")
each_port("freebsd-no-discover", "sends nothing unknown to ports", {"BR-02": "did not arrive at"}, "-discover")
each_port("freebsd-no-learning", "has ports learn nothing", {"BR-04": "and c got it"}, "-learn")


@mutant(
    "freebsd-ignores-file-exists",
    "takes 'BRDGADD: File exists' for 'is in this bridge', when it is in another one",
    {"BR-12": "the port was taken from br0 without being asked to", "JO-09": "is not refused with AlreadyEnslaved"},
)
def ignores_file_exists(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def add_bridge_port(self, bridge: str, port: str, *, move: bool = False) -> None:
            try:
                super().add_bridge_port(bridge, port, move=move)
            except AlreadyEnslaved:
                pass

        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            try:
                super().ensure_bridge(bridge, interface, **options)
            except AlreadyEnslaved:
                pass

    return Wrong


@mutant(
    "freebsd-believes-file-exists",
    "takes 'BRDGADD: File exists' for 'is in another bridge', when it is in this one",
    {"BR-11": "AlreadyEnslaved"},
)
def believes_file_exists(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def add_bridge_port(self, bridge: str, port: str, *, move: bool = False) -> None:
            if port in super().bridge_ports(bridge):
                raise AlreadyEnslaved(f"{port} is a port of another bridge", master="another", device=port)
            super().add_bridge_port(bridge, port, move=move)

    return Wrong


@mutant(
    "freebsd-member-mtu",
    "sets the MTU of a port at the port, and not through its bridge",
    {"MM-01": "Operation not supported"},
)
def member_mtu(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def set_device_mtu(self, dev: str, mtu: int) -> None:
            if super().device(dev).master is None:
                super().set_device_mtu(dev, mtu)
                return
            try:
                process.run(["/sbin/ifconfig", dev, "mtu", str(mtu)])
            except CommandFailed as refusal:
                raise KernelRefused(str(refusal), device=dev) from None

    return Wrong


@mutant(
    "freebsd-leaves-address-on-member",
    "has an interface join with its addresses on it",
    {"JO-01": "br0 has the addresses", "JO-14": "the order on br0 is 192.0.2.9/24"},
)
def leaves_address_on_member(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            super().ensure_bridge(bridge, **options)
            if interface is not None:
                super().add_bridge_port(bridge, interface)

    return Wrong


@mutant("freebsd-destroys-members", "deletes a bridge with its ports", {"BR-22": "there is no device p-a"})
def destroys_members(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def delete_bridge(self, bridge: str) -> None:
            ports = super().bridge_ports(bridge) if super().device_exists(bridge) else ()
            super().delete_bridge(bridge)
            for port in ports:
                super().delete_net_dev(port)

    return Wrong


# -- bridges ------------------------------------------------------------------------------------------


@mutant(
    "freebsd-leaves-clone",
    "leaves the clone of a create whose renaming was refused",
    {"BR-20": "creating a bridge that is there: the host has changed: link bridge"},
)
def leaves_clone(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_bridge(self, bridge: str, **options: Any) -> None:
            try:
                super().create_bridge(bridge, **options)
            except AlreadyExists:
                ifconfig("bridge", "create")
                raise

    return Wrong


@mutant("freebsd-bridge-not-up", "forgets 'up' on a bridge", {"BR-09": "the new bridge br0 is down"})
def bridge_not_up(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_bridge(self, bridge: str, **options: Any) -> None:
            super().create_bridge(bridge, **options)
            ifconfig(bridge, "down")

    return Wrong


@mutant(
    "freebsd-inherit-mac",
    "switches all bridges of the stack to inherit the MAC address of a port",
    {"CL-06": "settings of the whole stack have changed: ['net.link.bridge.inherit_mac']"},
)
def inherit_mac(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            freebsd_shell.run(["sysctl", "net.link.bridge.inherit_mac=1"])
            super().ensure_bridge(bridge, interface, **options)

    return Wrong


# -- addresses ----------------------------------------------------------------------------------------


@mutant(
    "freebsd-waits-for-duplicates",
    "adds an IPv6 address that the system then looks for elsewhere",
    {"AD-02": "cannot be used"},
)
def waits_for_duplicates(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def add_device_address(self, dev: str, address: str) -> None:
            if ":" in str(address):
                ifconfig(dev, "inet6", address, "alias")
            else:
                super().add_device_address(dev, address)

    return Wrong


@mutant("freebsd-replaces-address", "sets an address without 'alias'", {"AD-13": "cannot be used"})
def replaces_address(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def add_device_address(self, dev: str, address: str) -> None:
            super().device(dev)
            ifconfig(dev, "inet", address)

    return Wrong


@mutant(
    "freebsd-host-mask",
    "gives the second address of a subnet the mask of a host",
    {"AD-12": "192.0.2.6/32"},
)
def host_mask(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def add_device_address(self, dev: str, address: str) -> None:
            if super().device(dev).addresses and ":" not in address:
                ifconfig(dev, "inet", f"{address.partition('/')[0]}/32", "alias")
            else:
                super().add_device_address(dev, address)

    return Wrong


@mutant(
    "freebsd-loses-routes",
    "forgets that a route goes with the address that it was made by",
    {"JO-05": "after the interface joined", "CC-06": "of the routes only"},
)
def loses_routes(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            super().ensure_bridge(bridge, interface, **options)
            for destination in ("203.0.113.0/24", "default"):
                freebsd_shell.run(["route", "-q", "-n", "delete", "-4", destination], check=False)

    return Wrong


# -- taps, vlans, epairs ------------------------------------------------------------------------------


@mutant("freebsd-tap-not-up", "forgets 'up' on a tap", {"TA-03": "the new tap tap0 is down", "TA-08": "is still down"})
def tap_not_up(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_tap_dev(self, dev: str, *arguments: Any, **options: Any) -> None:
            super().create_tap_dev(dev, *arguments, **options)
            ifconfig(dev, "down")

    return Wrong


@mutant(
    "freebsd-tap-goes-down",
    "makes a tap that goes down with its holder (tap(4), link0)",
    {"TA-02": "the second holder"},
)
def tap_goes_down(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_tap_dev(self, dev: str, *arguments: Any, **options: Any) -> None:
            super().create_tap_dev(dev, *arguments, **options)
            ifconfig(dev, "-link0")

    return Wrong


@mutant(
    "freebsd-names-vlan-itself",
    "calls a VLAN as FreeBSD would, by its parent and its tag",
    {"VL-06": "returns 'p-trunk.5'"},
)
def names_vlan_itself(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_vlan(self, vlan_num: int, parent: str, dev: str | None = None, **options: Any) -> str:
            return str(super().ensure_vlan(vlan_num, parent, dev or f"{parent}.{vlan_num}", **options))

    return Wrong


@mutant(
    "freebsd-retags",
    "gives a VLAN that is there another tag, which vlan(4) allows",
    {"VL-14": "is not refused with Mismatch: it goes through"},
)
def retags(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_vlan(self, vlan_num: int, parent: str, dev: str | None = None, **options: Any) -> str:
            try:
                return str(super().ensure_vlan(vlan_num, parent, dev, **options))
            except Mismatch:
                ifconfig(str(dev), "vlan", str(vlan_num), "vlandev", parent)
                return str(dev)

    return Wrong


@mutant(
    "freebsd-renames-one-end",
    "leaves the other end of an epair with the name that it was born with",
    {"VE-02": "there is no device v1"},
)
def renames_one_end(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_veth_pair(self, dev: str, peer: str, **options: Any) -> None:
            super().create_veth_pair(dev, peer, **options)
            ifconfig(peer, "name", "epair99b")

    return Wrong


@mutant(
    "freebsd-peer-by-name",
    "knows the other end of an epair only by the names that they were born with",
    {"VE-02": "device() says that the other end of v0 is None"},
)
def peer_by_name(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def device(self, dev: str) -> Device:
            found = super().device(dev)
            assert isinstance(found, Device)
            return Device(**{**{key: getattr(found, key) for key in Device.__slots__}, "peer": None})

    return Wrong
