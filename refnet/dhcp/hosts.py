"""Hosts: clients of a network that something is known of, validated when they are made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from refnet import names
from refnet.dhcp import values
from refnet.dhcp.options import Option, Options, encoded
from refnet.errors import InvalidArgument
from refnet.names import IPAddress, flag, ip_address, shown


@dataclass(frozen=True, slots=True)
class Host:
    """A client that always gets the same addresses, or that is not to get any.

    Attributes:
        mac_addresses: its MAC addresses: one, or several of which it uses one at a time (a laptop's cable and radio).
        client_id: its client identifier (option 61), or its DUID for DHCPv6; a client that has sent one is known by it
            whatever its MAC address. At least one of both is needed.
        addresses: one of IPv4, any number of IPv6, or none for one out of the ranges.
        name: what DNS calls it and what it is told (option 12); one label.
        options: DHCP options for it alone; they go before the network's.
        options6: the same for DHCPv6.
        lease_time: seconds, or None for the network's.
        is_ignored: whether it gets no answer at all.
    """

    mac_addresses: tuple[str, ...]
    client_id: str | None
    addresses: tuple[IPAddress, ...]
    name: str | None
    options: tuple[Option, ...]
    options6: tuple[Option, ...]
    lease_time: int | None
    is_ignored: bool

    def __init__(
        self,
        mac_addresses: str | Iterable[str] = (),
        addresses: str | IPAddress | Iterable[str | IPAddress] = (),
        *,
        name: str | None = None,
        client_id: str | bytes | None = None,
        options: Options = (),
        options6: Options = (),
        lease_time: int | None = None,
        is_ignored: bool = False,
    ) -> None:
        """Validate.

        Raises:
            InvalidArgument: a value is none, or nothing says who it is.
        """
        put = object.__setattr__
        put(self, "mac_addresses", values.several(mac_addresses, "MAC address", _mac_address))
        put(self, "client_id", None if client_id is None else values.client_id(client_id))
        put(self, "addresses", values.several(addresses, "host's address", ip_address))
        put(self, "name", None if name is None else values.host_name(name))
        put(self, "options", encoded(options, 4))
        put(self, "options6", encoded(options6, 6))
        put(self, "lease_time", values.lease_time(lease_time))
        put(self, "is_ignored", flag(is_ignored, "is_ignored"))
        if not self.mac_addresses and self.client_id is None:
            raise InvalidArgument(f"host {shown(name)} has neither a MAC address nor a client identifier")
        if len(self.addresses) > 1 and sum(one.version == 4 for one in self.addresses) > 1:
            raise InvalidArgument(f"host {self} has several IPv4 addresses: DHCP gives a client one")

    @property
    def identities(self) -> tuple[str, ...]:
        """What it is known by: MAC addresses, and the client identifier."""
        return (*self.mac_addresses, self.client_id) if self.client_id else self.mac_addresses

    def __str__(self) -> str:
        """Give its name, or else what it is known by first."""
        return self.name or (self.identities or ("?",))[0]


def _mac_address(value: object, what: str) -> str:
    del what  # names has words of its own
    return names.mac_address(value)
