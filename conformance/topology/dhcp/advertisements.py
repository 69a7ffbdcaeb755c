"""Router advertisements: what is in them, who sends them, and that nobody does (RFC 4861, RFC 4191, RFC 8106)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from conformance.topology import packets
from conformance.topology.base import Endpoint
from conformance.topology.dhcp.messages6 import addresses, search_list
from conformance.topology.dhcp.neighbours import Neighbour
from conformance.topology.packets import Checksum, Packet
from conformance.topology.parsing import PREFIX, SOURCE_MAC
from conformance.topology.sandbox import Sandbox

ROUTER_SOLICITATION = 133
#: All routers of a link, and the MAC address of that group.
ROUTERS, ROUTERS_MAC = "ff02::2", "33:33:00:00:00:02"
NODES = "ff02::1"
#: Options of neighbour discovery: RFC 4861, 4.6, and RFC 8106, 5.
MTU, RDNSS, DNSSL = 5, 25, 31

#: RFC 4191, 2.1, by the two bits.
_PREFERENCES = ("medium", "high", "reserved", "low")


class Prefix(NamedTuple):
    """A prefix that is told, its flags L and A, and its lifetimes in seconds."""

    prefix: str
    on_link: bool
    autonomous: bool
    valid: int
    preferred: int


@dataclass(frozen=True, slots=True)
class Advertisement:
    """A router advertisement.

    Attributes:
        source, destination, source_mac, hop_limit: of the packet that it came in.
        lifetime: seconds for which the sender is a default router.
        managed, other: the flags M and O.
        preference: "low", "medium" or "high" (or "reserved", which nobody may send).
        prefixes: those that are told.
        mtu: bytes; None: none is told.
        rdnss, rdnss_lifetime, dnssl, dnssl_lifetime: DNS servers, domains to look names up in, and seconds.
        mac: the router's own MAC address as it says; "": it does not.
        is_intact: whether its checksum is right, and its hop limit what only the link's own routers can have sent.
    """

    source: str
    destination: str
    source_mac: str
    hop_limit: int
    lifetime: int
    managed: bool
    other: bool
    preference: str
    prefixes: tuple[Prefix, ...]
    mtu: int | None
    rdnss: tuple[str, ...]
    rdnss_lifetime: int | None
    dnssl: tuple[str, ...]
    dnssl_lifetime: int | None
    mac: str
    is_intact: bool

    def __str__(self) -> str:
        """Give who sent it, its flags, and the prefixes with theirs."""
        flags = "".join(letter for letter, is_set in (("M", self.managed), ("O", self.other)) if is_set)
        told = ", ".join(
            f"{one.prefix}{' L' if one.on_link else ''}{' A' if one.autonomous else ''}" for one in self.prefixes
        )
        return f"from {self.source}, lifetime {self.lifetime} s, flags {flags or 'none'}, prefixes {told or 'none'}"


def read(packet: Packet) -> Advertisement | None:
    """Return the router advertisement that a packet is; None: it is none."""
    if packet.protocol != packets.ICMPV6 or packet.icmp_type != packets.ROUTER_ADVERTISEMENT:
        return None
    if len(packet.payload) < 12:
        return None
    flags, lifetime = struct.unpack_from("!xBH", packet.payload)
    prefixes: list[Prefix] = []
    mtu = rdnss_lifetime = dnssl_lifetime = None
    rdnss: tuple[str, ...] = ()
    dnssl: tuple[str, ...] = ()
    mac = ""
    for kind, data in _options(packet.payload[12:]):
        if kind == PREFIX and len(data) >= 30:
            length, bits, valid, preferred = struct.unpack_from("!BBII", data)
            text = f"{addresses(data[14:30])[0]}/{length}"
            prefixes.append(Prefix(text, bool(bits & 0x80), bool(bits & 0x40), valid, preferred))
        elif kind == MTU and len(data) >= 6:
            (mtu,) = struct.unpack_from("!2xI", data)
        elif kind == RDNSS and len(data) >= 6:
            (rdnss_lifetime,) = struct.unpack_from("!2xI", data)
            rdnss += addresses(data[6:])
        elif kind == DNSSL and len(data) >= 6:
            (dnssl_lifetime,) = struct.unpack_from("!2xI", data)
            dnssl += search_list(data[6:])
        elif kind == SOURCE_MAC:
            mac = data[:6].hex(":")
    return Advertisement(
        source=packet.source,
        destination=packet.destination,
        source_mac=packet.source_mac,
        hop_limit=packet.ttl or 0,
        lifetime=lifetime,
        managed=bool(flags & 0x80),
        other=bool(flags & 0x40),
        preference=_PREFERENCES[flags >> 3 & 3],
        prefixes=tuple(prefixes),
        mtu=mtu,
        rdnss=rdnss,
        rdnss_lifetime=rdnss_lifetime,
        dnssl=dnssl,
        dnssl_lifetime=dnssl_lifetime,
        mac=mac,
        is_intact=packet.checksum is Checksum.GOOD and packet.ttl == 255 and packet.icmp_code == 0,
    )


def solicitation(source: str, mac: str) -> bytes:
    """Return a router solicitation; one from ``::`` does not say the sender's MAC address (RFC 4861, 4.1)."""
    option = b"" if source == "::" else bytes([SOURCE_MAC, 1]) + bytes.fromhex(mac.replace(":", ""))
    return packets.icmp(source, ROUTERS, ROUTER_SOLICITATION, 0, bytes(4) + option, ttl=255)


def solicited(net: Sandbox, endpoint: Endpoint, *, what: str, anonymous: bool = False) -> Advertisement:
    """Send a router solicitation until an advertisement comes, and return that.

    ``anonymous``: it is sent from ``::``, as by a host that has no address yet, so that what comes is for all hosts of
    the link. What has come before is none of it.

    Raises:
        AssertionError: none came.
    """
    neighbour = Neighbour(net, endpoint)
    neighbour.receive()
    found = neighbour.ask(_asking(neighbour, anonymous), read, limit=net.arrival_limit)
    assert found is not None, f"{what}: {endpoint.name} asked for a router, and none advertised itself"
    return found


def unsolicited(
    net: Sandbox, endpoint: Endpoint, *, what: str, wanted: Callable[[Advertisement], bool] = lambda one: True
) -> Advertisement:
    """Return an advertisement that has come, or comes within the limit, without being asked for by the endpoint.

    Raises:
        AssertionError: none came that is ``wanted``.
    """
    seen: list[Advertisement] = []

    def wanted_one(packet: Packet) -> Advertisement | None:
        found = read(packet)
        seen.extend([found] if found else [])
        return found if found and wanted(found) else None

    found = Neighbour(net, endpoint).ask(lambda: None, wanted_one, limit=net.arrival_limit)
    others = "; ".join(map(str, seen))
    assert found is not None, f"{what}: no such advertisement came to {endpoint.name}, but {others or 'none at all'}"
    return found


def none_solicited(net: Sandbox, endpoint: Endpoint, *, control: Callable[[], object], what: str) -> None:
    """Prove that a router solicitation is not answered: ``control``, done twice, is, and nothing came by then.

    Of what waits for it, a server may answer first what came last (dnsmasq: DHCPv6 before ICMPv6). When it answers what
    was asked after that, it has been through all that waited.

    Raises:
        AssertionError: an advertisement came.
        Inconclusive: the control raised an AssertionError, so that the silence proves nothing.
    """
    neighbour = Neighbour(net, endpoint)

    def twice() -> None:
        control()
        control()

    seen = neighbour.silence(_asking(neighbour, False), twice, what)
    came = [found for packet in seen if (found := read(packet))]
    assert not came, f"{what}: {endpoint.name} got a router advertisement {came[0]}"


def _asking(neighbour: Neighbour, anonymous: bool) -> Callable[[], None]:
    source = "::" if anonymous else neighbour.link_local
    packet = solicitation(source, neighbour.mac)
    return lambda: neighbour.send(ROUTERS_MAC, packet)


def _options(data: bytes) -> list[tuple[int, bytes]]:
    """Return options and what is behind their type and length; a length of zero ends them (RFC 4861, 4.6)."""
    found = []
    while len(data) >= 8 and data[1]:
        size = 8 * data[1]
        found.append((data[0], data[2:size]))
        data = data[size:]
    return found
