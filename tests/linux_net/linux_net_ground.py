"""What tests of refnet.linux_net share: Nova's networks and fixed IPs, what stands, drivers for what is not here."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any, ClassVar

from conformance.topology.base import Stack
from conformance.topology.linux import Sandbox
from refnet.errors import InvalidArgument, NoSuchDevice
from refnet.netdev import LinkState, VirtualFunction
from refnet.netdev.linux import LinuxNetDevDriver

UUID = "01234567-89ab-cdef-0123-456789abcdef"
NO_MAC = "00:00:00:00:00:00"
PCI = "0000:81:10.2"


def network(**fields: Any) -> dict[str, Any]:
    """Return a network as Nova's database has it."""
    return {
        "id": 1,
        "uuid": UUID,
        "label": "test",
        "bridge": "br100",
        "bridge_interface": None,
        "vlan": None,
        "mtu": None,
        "cidr": "10.0.0.0/24",
        "netmask": "255.255.255.0",
        "broadcast": "10.0.0.255",
        "gateway": "10.0.0.1",
        "dhcp_server": "10.0.0.1",
        "dhcp_start": "10.0.0.2",
        "cidr_v6": None,
        "gateway_v6": None,
        "dns1": None,
        "dns2": None,
        "multi_host": False,
        "share_address": False,
        **fields,
    }


def fixed_ip(address: str, mac: str, hostname: str | None, **fields: Any) -> SimpleNamespace:
    """Return a fixed IP as Nova's objects are: attributes."""
    given = {"allocated": True, "leased": True, "virtual_interface_id": 7, "default_route": True, **fields}
    return SimpleNamespace(
        address=address,
        virtual_interface=SimpleNamespace(address=mac),
        instance=SimpleNamespace(hostname=hostname),
        **given,
    )


def rules(net: Sandbox, table: str = "filter") -> list[str]:
    """Return the rules of a table as iptables itself lists them, without the chain's owner."""
    found = []
    for line in net.run("iptables", "-t", table, "-S").splitlines():
        words = line.split()
        if words[0] == "-A" and "." in words[1]:
            found.append(" ".join([words[1].partition(".")[2], *words[2:]]))
    return found


def source_at(sender: Stack, source: str, receiver: Stack, address: str) -> str:
    """Return the address that a receiver sees a datagram of a sender's come from."""
    with receiver.datagram_socket(address) as there, sender.datagram_socket(source) as here:
        there.settimeout(2)
        for _ in range(30):
            here.sendto(b"refnet: whose is this?", there.getsockname())
            try:
                return str(there.recvfrom(64)[1][0])
            except TimeoutError:
                continue
    raise AssertionError(f"{sender.name} writes to {address}, and it does not arrive")


class CardDriver(LinuxNetDevDriver):
    """The driver for Linux, with a network card whose virtual functions are kept here: this kernel has none.

    ``virtual_functions`` of the real driver are proven by the suite, where there is a card.
    """

    #: The function at :data:`PCI`, what it was before its first change, and its own device.
    function: ClassVar[VirtualFunction]
    before: ClassVar[VirtualFunction | None]
    own: ClassVar[str | None]
    looks: ClassVar[int] = 0

    @classmethod
    def insert(cls, own: str | None = None, **fields: Any) -> None:
        """Put a card in."""
        given = {"mac_address": NO_MAC, "link_state": LinkState.AUTO, "trusted": False, **fields}
        cls.function, cls.before, cls.own = VirtualFunction("eth5", 2, **given), None, own

    def virtual_functions(self, dev: str) -> tuple[VirtualFunction, ...]:
        assert dev == "eth5"
        type(self).looks += 1  # the card's other function is another guest's, and something happens to it all the time
        return (VirtualFunction("eth5", 1, f"52:54:00:00:01:{self.looks % 256:02x}"), self.function)

    def virtual_function_at(self, pci_address: str) -> VirtualFunction:
        if pci_address != PCI:
            raise NoSuchDevice(f"there is no virtual function at {pci_address}")
        return self.function

    def virtual_function_device(self, pci_address: str) -> str | None:
        self.virtual_function_at(pci_address)
        return self.own

    def set_device_macaddr_and_vlan(self, dev: str, vf_num: int, mac_address: str, vlan: int) -> None:
        clears = mac_address == NO_MAC and vlan == 0
        self._set_card(dev, vf_num, is_written=not clears, mac_address=mac_address, vlan=vlan)

    def set_device_trust(self, dev: str, vf_num: int, trusted: bool) -> None:
        self._set_card(dev, vf_num, trusted=trusted)

    def restore_virtual_function(self, dev: str, vf_num: int) -> None:
        assert (dev, vf_num) == ("eth5", 2)
        if self.before is not None:
            type(self).function, type(self).before = self.before, None

    def _set_card(self, dev: str, vf_num: int, is_written: bool = True, **fields: Any) -> None:
        assert dev == "eth5"
        if vf_num != 2 or type(vf_num) is not int:
            raise InvalidArgument(f"{dev} has no virtual function {vf_num!r}")
        if self.before is None and is_written:
            type(self).before = self.function
        type(self).function = dataclasses.replace(self.function, **fields)


class TaggedDriver(LinuxNetDevDriver):
    """The driver for Linux, with taps for VLAN devices where the kernel has no 802.1Q, and what it was asked for."""

    asked: ClassVar[list[tuple[Any, ...]]] = []

    def ensure_vlan(
        self,
        vlan_num: int,
        parent: str,
        dev: str | None = None,
        *,
        mac_address: str | None = None,
        mtu: int | None = None,
    ) -> str:
        assert type(vlan_num) is int
        assert mtu is None or type(mtu) is int
        name = dev or f"vlan{vlan_num}"
        self.asked.append((vlan_num, parent, name, mac_address, mtu))
        self.device(parent)
        self.create_tap_dev(name, mac_address, mtu=mtu)
        return name


class IvsDriver(LinuxNetDevDriver):
    """The driver for Linux, and what it was asked of Indigo Virtual Switch, which is not here."""

    asked: ClassVar[list[tuple[str, ...]]] = []

    def create_ivs_vif_port(self, dev: str, iface_id: str, mac_address: str, instance_id: str) -> None:
        self.asked.append(("create", dev, iface_id, mac_address, instance_id))

    def delete_ivs_vif_port(self, dev: str) -> None:
        self.asked.append(("delete", dev))
