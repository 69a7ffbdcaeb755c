"""What is kept apart on layer 2: a bridge's port that may not pretend, and an address that stays inside a bridge."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

from refnet import names
from refnet.errors import InvalidArgument
from refnet.firewall import values
from refnet.names import IPNetwork


@dataclass(frozen=True, slots=True, init=False)
class PortGuard:
    """What may come into a bridge through one of its ports: everything else is dropped, for other ports and the host.

    Attributes:
        port: the port's device.
        mac_address: the only source MAC address, in the Ethernet header and as the sender of ARP and of neighbour
            discovery. A frame with an 802.1Q tag is dropped: it would carry what cannot be looked at.
        addresses: the source addresses of IPv4, ARP and IPv6; a network with prefix length 0 means every address of
            its family. None: any address of both. Besides these a guest can always ask for an address (DHCP from
            0.0.0.0, ARP probes, DHCPv6 and neighbour discovery from ``::`` and from the link-local address of its MAC
            address, RFC 4291 appendix A).
        dhcp_server: whether it may answer as a DHCP or DHCPv6 server.
        router: whether it may send router advertisements and ICMP redirects.
        neighbour_targets: whether the guard is to be refused by a backend that cannot look into neighbour discovery
            (Unsupported, capability neighbour-targets). Those that can, do so in any case: without, a guest can still
            tell its neighbours, from its own address, that another IPv6 address is at its MAC address.
    """

    port: str
    mac_address: str
    addresses: tuple[IPNetwork, ...] | None
    dhcp_server: bool
    router: bool
    neighbour_targets: bool

    def __init__(
        self,
        port: str,
        mac_address: str,
        addresses: Any = None,
        *,
        dhcp_server: bool = False,
        router: bool = False,
        neighbour_targets: bool = False,
    ) -> None:
        """Validate.

        Raises:
            InvalidArgument: a value is none.
        """
        found = values.any_of(addresses, "addresses", names.ip_network) if addresses not in ((), []) else None
        if found is not None and found.negated:
            raise InvalidArgument("a port's addresses are those that it may use: Not(…) says nothing about them")
        none_at_all = addresses is not None and found is None
        object.__setattr__(self, "port", names.device_name(port, "port"))
        object.__setattr__(self, "mac_address", names.mac_address(mac_address))
        object.__setattr__(self, "addresses", () if none_at_all else None if found is None else found.values)
        object.__setattr__(self, "dhcp_server", names.flag(dhcp_server, "dhcp_server"))
        object.__setattr__(self, "router", names.flag(router, "router"))
        object.__setattr__(self, "neighbour_targets", names.flag(neighbour_targets, "neighbour_targets"))

    @property
    def link_local(self) -> ipaddress.IPv6Address:
        """The address that an IPv6 stack gives itself from this MAC address (RFC 4291, appendix A)."""
        octets = bytes.fromhex(self.mac_address.replace(":", ""))
        interface_id = bytes([octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]])
        return ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + interface_id)


@dataclass(frozen=True, slots=True)
class DhcpIsolation:
    """An IPv4 address of a bridge that is only for this host's guests.

    Several hosts on one network can have the same DHCP server address on their bridges: ``interface`` is the bridge's
    port to that network. Through it, nobody asks for or learns the address by ARP, and no DHCP packet passes.
    """

    interface: str
    address: ipaddress.IPv4Address

    def __init__(self, interface: str, address: str | ipaddress.IPv4Address) -> None:
        """Validate.

        Raises:
            InvalidArgument: a value is none.
        """
        parsed = names.ip_address(address, "DHCP server's address")
        if parsed.version != 4:
            raise InvalidArgument(f"DHCP server's address {parsed} is not an IPv4 address")
        object.__setattr__(self, "interface", names.device_name(interface, "interface"))
        object.__setattr__(self, "address", parsed)
