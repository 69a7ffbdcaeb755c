"""What ifconfig(8) shows, read: a look at all devices of a network stack, or at one of them."""

from __future__ import annotations

import ipaddress
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from refnet import names
from refnet.netdev.driver import Address, Kind
from refnet.netdev.freebsd.tools import Command

#: Formats that do not change with the caller's environment, lifetimes of IPv6 addresses, and (-D, not in every
#: release) the driver's own name for each device, which no renaming changes.
_FORMAT = ("-L", "-f", "inet:cidr,inet6:cidr,ether:colon")

_HEAD = re.compile(r"(?P<name>\S.*): flags=[0-9a-f]+(?:<(?P<flags>[^>]*)>)? metric \d+(?: mtu (?P<mtu>\d+))?")
_MEMBER = re.compile(r"(?P<name>.+) flags=[0-9a-f]+(?:<(?P<flags>[^>]*)>)?")
_VLAN = re.compile(r"(?P<tag>\d+) vlanproto: (?P<protocol>\S+)(?: vlanpcp: \d+)? parent interface: (?P<parent>.+)")
_NUMBER = {"fwddelay": "forward_delay", "timeout": "ageing_time"}
_NO_PARENT = "<none>"

_KINDS = {
    "bridge": Kind.BRIDGE,
    "vlan": Kind.VLAN,
    "tap": Kind.TAP,
    "tun": Kind.TUN,
    "epair": Kind.VETH,
    "lo": Kind.LOOPBACK,
}


@dataclass(frozen=True, slots=True)
class Inet:
    """One ``inet`` or ``inet6`` line; ``flags`` are IPv6's words (``tentative``, ``autoconf``, …)."""

    interface: names.InterfaceAddress
    broadcast: str | None = None
    flags: frozenset[str] = frozenset()
    valid_lifetime: int | None = None
    preferred_lifetime: int | None = None
    #: The address of carp(4), or one end of a point-to-point link: nothing that could be put on another device.
    bound: bool = False

    @property
    def version(self) -> int:
        return self.interface.version

    @property
    def link_local(self) -> bool:
        return self.version == 6 and self.interface.ip.is_link_local

    def describe(self) -> Address:
        """Return what a caller sees of it; in a /31 and a /32 there is no address left to mean "all" (RFC 3021)."""
        broadcast = self.broadcast if self.interface.network.prefixlen < 31 else None
        return Address(
            self.interface,
            broadcast=broadcast,
            valid_lifetime=self.valid_lifetime,
            preferred_lifetime=self.preferred_lifetime,
        )


@dataclass(frozen=True, slots=True)
class Interface:
    """One device as ifconfig(8) shows it.

    ``driver`` is the name it was born with (``epair0`` for both ends of a pair), None where ifconfig cannot tell;
    ``mac_address`` is the one in force, ``born_mac`` that of its birth. ``parent`` and ``tag`` are a VLAN's.
    """

    name: str
    flags: frozenset[str]
    mtu: int
    driver: str | None = None
    groups: tuple[str, ...] = ()
    mac_address: str | None = None
    born_mac: str | None = None
    status: str | None = None
    addresses: tuple[Inet, ...] = ()
    members: tuple[str, ...] = ()
    forward_delay: int | None = None
    ageing_time: int | None = None
    tag: int = 0
    protocol: str | None = None
    parent: str | None = None
    opened_by: int | None = None
    nd6: frozenset[str] = frozenset()

    @property
    def up(self) -> bool:
        return "UP" in self.flags

    @property
    def carrier(self) -> bool:
        return self.status == "active" if self.status is not None else "RUNNING" in self.flags

    @property
    def kind(self) -> Kind:
        """What it is: by its driver, else by the group that every cloned device is born into."""
        if "LOOPBACK" in self.flags:
            return Kind.LOOPBACK
        if self.driver is not None:
            base = self.driver.rstrip("0123456789")
            if base in _KINDS:
                return _KINDS[base]
            # A cloned device is in a group that is called as its driver; a network card is in none.
            return Kind.OTHER if base in self.groups or self.mac_address is None else Kind.ETHERNET
        known = [_KINDS[group] for group in self.groups if group in _KINDS]
        return known[0] if known else Kind.ETHERNET if self.mac_address is not None else Kind.OTHER

    def of_version(self, version: int) -> list[Inet]:
        return [address for address in self.addresses if address.version == version]


@dataclass(frozen=True, slots=True)
class Listing:
    """All devices of a network stack at one moment, in the system's order."""

    devices: dict[str, Interface] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Interface]:
        return iter(self.devices.values())

    def get(self, name: str) -> Interface | None:
        return self.devices.get(name)

    def master_of(self, name: str) -> str | None:
        """Return the bridge that has a device as a port."""
        return next((device.name for device in self if name in device.members), None)

    def vlan_on(self, parent: str, tag: int) -> Interface | None:
        """Return the VLAN device that has a parent's tag."""
        return next((device for device in self if device.parent == parent and device.tag == tag), None)

    def peer_of(self, end: Interface) -> str | None:
        """Return the other end of a virtual cable, None if it is in another network stack.

        Both ends keep the driver's name ``epairN`` (``net.link.generic.ifdata.<index>.drivername``). Numbers are given
        out by each network stack on its own, so that ends of two pairs, moved here, may have the same; then their
        MAC addresses tell: one pair's differ in the last octet only, ``0a`` and ``0b`` (sys/net/if_epair.c).
        """
        others = [
            other for other in self if other.kind is Kind.VETH and other.name != end.name and _may_pair(end, other)
        ]
        return others[0].name if len(others) == 1 else None


def _may_pair(one: Interface, other: Interface) -> bool:
    if one.driver != other.driver:
        return False
    macs = sorted((device.born_mac or device.mac_address or "") for device in (one, other))
    by_scheme = [mac.startswith("02:") and mac.endswith((":0a", ":0b")) for mac in macs]
    if not any(by_scheme) and one.driver is not None:
        return True  # a release that makes them up in another way
    return all(by_scheme) and macs[0][:-2] == macs[1][:-2] and macs[0] != macs[1]


def command(name: str | None = None, *, driver_names: bool = True) -> Command:
    """Return the command that shows all devices, or one."""
    which = ("-a",) if name is None else ("-n", "--", name) if name.startswith("-") else ("-n", name)
    return ("ifconfig", *(("-D",) if driver_names else ()), *_FORMAT, *which)


def parse(text: str) -> Listing:
    """Read what ifconfig(8) has shown of one device or of several."""
    found: dict[str, Interface] = {}
    block: list[str] = []
    for line in text.splitlines():
        if line[:1].isspace():
            block.append(line.strip())
            continue
        _finish(found, block)
        block = [line]
    _finish(found, block)
    return Listing(found)


def _finish(found: dict[str, Interface], block: list[str]) -> None:
    head = _HEAD.fullmatch(block[0]) if block else None
    if head is None:
        return
    device = Interface(head["name"], _split(head["flags"]), int(head["mtu"] or 0))
    for line in block[1:]:
        device = _with_line(device, line)
    found[device.name] = device


def _with_line(device: Interface, line: str) -> Interface:
    word, _, rest = line.partition(" ")
    match word:
        case "ether":
            return replace(device, mac_address=rest, born_mac=device.born_mac or rest)
        case "hwaddr":
            return replace(device, born_mac=rest)
        case "inet" | "inet6":
            address = _address(rest)
            return replace(device, addresses=(*device.addresses, address)) if address is not None else device
        case "groups:":
            return replace(device, groups=tuple(rest.split()))
        case "drivername:":
            return replace(device, driver=rest)
        case "status:":
            return replace(device, status=rest)
        case "nd6":
            return replace(device, nd6=_split(rest.partition("<")[2].rstrip(">")))
        case "member:":
            member = _MEMBER.match(rest)
            # A span port only gets copies: it belongs to no bridge.
            is_port = member is not None and "SPAN" not in _split(member["flags"])
            return replace(device, members=(*device.members, member["name"])) if member and is_port else device
        case "vlan:":
            vlan = _VLAN.fullmatch(rest)
            if vlan is None:
                return device
            parent = vlan["parent"] if vlan["parent"] != _NO_PARENT else None
            return replace(device, tag=int(vlan["tag"]), protocol=vlan["protocol"], parent=parent)
        case "id" | "maxage":
            words = line.split()
            numbers = {_NUMBER[key]: int(value) for key, value in itertools.pairwise(words) if key in _NUMBER}
            return replace(device, **numbers)  # type: ignore[arg-type]
        case "Opened":
            pid = line.rpartition(" ")[2]
            return replace(device, opened_by=int(pid)) if pid.isdigit() else device
    return device


def _address(text: str) -> Inet | None:
    """Read ``192.0.2.1/24 broadcast 192.0.2.255`` and ``fe80::1%em0/64 tentative scopeid 0x1 pltime 5 vltime 9``."""
    first, *words = text.split()
    bound = "-->" in words or "vhid" in words
    if "-->" in words:  # point to point: the prefix length stands behind the other end's address
        other = words[words.index("-->") + 1]
        first = f"{first.partition('/')[0]}/{other.partition('/')[2] or 32}"
    try:
        host, _, length = first.partition("/")
        address = ipaddress.ip_interface(f"{host.partition('%')[0]}/{length}")
    except ValueError:
        return None
    values = dict(itertools.pairwise(words))
    return Inet(
        address,
        broadcast=values.get("broadcast"),
        flags=frozenset(words),
        valid_lifetime=_seconds(values.get("vltime")),
        preferred_lifetime=_seconds(values.get("pltime")),
        bound=bound,
    )


def _seconds(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None


def _split(flags: str | None) -> frozenset[str]:
    return frozenset(flags.split(",")) if flags else frozenset()
