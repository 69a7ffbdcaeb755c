"""Addresses and routes on Linux: reading them, and planning their way from one device to another.

They are carried as the kernel gave them, attribute by attribute, with the device exchanged: what this module does not
know of (a route's encapsulation, an address's protocol) goes over as well. Plans are made without touching anything
(:func:`plan_move`, :func:`plan_order`); :mod:`refnet.netdev.linux.change` carries them out.

The facts about the messages are those of ``rtnetlink(7)``, ``linux/if_addr.h`` and ``linux/rtnetlink.h``.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pyroute2.netlink import NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE
from pyroute2.netlink.rtnl import RTM_DELADDR, RTM_DELROUTE, RTM_GETADDR, RTM_GETROUTE, RTM_NEWADDR, RTM_NEWROUTE
from pyroute2.netlink.rtnl.ifaddrmsg import (
    IFA_F_HOMEADDRESS,
    IFA_F_MANAGETEMPADDR,
    IFA_F_MCAUTOJOIN,
    IFA_F_NODAD,
    IFA_F_NOPREFIXROUTE,
    IFA_F_PERMANENT,
    IFA_F_SECONDARY,
)

from refnet import names
from refnet.errors import Unsupported
from refnet.netdev.driver import Address
from refnet.netdev.linux.change import Step
from refnet.netdev.linux.netlink import Request, attributes, pack

#: ``ifaddrmsg``: family, prefix length, flags, scope, device index.
_IFADDR = struct.Struct("=BBBBI")
#: ``rtmsg``: family, destination length, source length, TOS, table, protocol, scope, type, flags.
_ROUTE = struct.Struct("=BBBBBBBBI")
#: ``rtnexthop``: length, flags, weight, device index.
_NEXT_HOP = struct.Struct("=HBBi")

_IFA_ADDRESS, _IFA_LOCAL, _IFA_LABEL, _IFA_BROADCAST, _IFA_CACHEINFO, _IFA_FLAGS = 1, 2, 3, 4, 6, 8
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PREFSRC, _RTA_MULTIPATH, _RTA_CACHEINFO = 1, 4, 5, 7, 9, 12
_RTA_TABLE, _RTA_VIA, _RTA_EXPIRES, _RTA_NH_ID = 15, 18, 23, 30

_RT_TABLE_LOCAL = 255
_RT_SCOPE_LINK = 253
_RT_SCOPE_HOST = 254
_RTN_UNICAST = 1
_RTPROT_KERNEL = 2
_RTNH_F_ONLINK = 4
#: ``rta_cacheinfo.rta_expires`` is the third of its 32-bit fields, in clock ticks of user space.
_EXPIRES_OFFSET, _USER_HZ = 8, 100
_FOREVER = 0xFFFFFFFF

#: What the administrator has set on an address, beside what the kernel has found out about it.
_KEPT_FLAGS = IFA_F_HOMEADDRESS | IFA_F_MANAGETEMPADDR | IFA_F_MCAUTOJOIN | IFA_F_NODAD | IFA_F_NOPREFIXROUTE

_CREATE = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL
#: Routes are appended: the kernel then takes one beside another to the same destination through another device.
_APPEND = NLM_F_ACK | NLM_F_CREATE | NLM_F_APPEND
_REPLACE = NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE
_IS_THERE = frozenset({errno.EEXIST})
_IS_GONE = frozenset({errno.EADDRNOTAVAIL, errno.ESRCH, errno.ENOENT})


@dataclass(frozen=True, slots=True)
class AddressRecord:
    """An address as the kernel listed it: the fields of its message and its attributes by number."""

    family: int
    prefix_length: int
    scope: int
    found: Mapping[int, bytes]

    @property
    def interface(self) -> names.InterfaceAddress:
        """The device's own address with its prefix length."""
        own = self.found.get(_IFA_LOCAL) or self.found[_IFA_ADDRESS]
        return ipaddress.ip_interface((own, self.prefix_length))

    @property
    def flags(self) -> int:
        """The ``IFA_F_…`` flags."""
        return int(struct.unpack("=I", self.found[_IFA_FLAGS])[0])

    @property
    def secondary(self) -> bool:
        """Whether the kernel ties this IPv4 address to an earlier one of the same subnet."""
        return self.family == socket.AF_INET and bool(self.flags & IFA_F_SECONDARY)

    @property
    def subnet(self) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
        """The subnet that ties IPv4 addresses together: that of the far end, where the address has one."""
        far = self.found.get(_IFA_ADDRESS) or self.found[_IFA_LOCAL]
        return ipaddress.ip_interface((far, self.prefix_length)).network

    @property
    def link_local(self) -> bool:
        """Whether it is an IPv6 link-local address: the kernel's own, and every device's own."""
        return self.family == socket.AF_INET6 and self.interface.ip.is_link_local

    def describe(self, device: str) -> Address:
        """Return it as refnet's callers see it."""
        preferred, valid = struct.unpack_from("=II", self.found[_IFA_CACHEINFO])
        broadcast = self.found.get(_IFA_BROADCAST)
        label = self.found.get(_IFA_LABEL, b"").rstrip(b"\0").decode(errors="surrogateescape")
        return Address(
            interface=self.interface,
            broadcast=str(ipaddress.ip_address(broadcast)) if broadcast else None,
            label=label if label not in ("", device) else None,
            valid_lifetime=None if valid == _FOREVER else valid,
            preferred_lifetime=None if preferred == _FOREVER else preferred,
        )

    def add(self, index: int, *, rename: tuple[str, str] | None = None, extra_flags: int = 0) -> Request:
        """Ask for this address on the device ``index``; ``rename`` takes its label from one device to another."""
        flags = (self.flags & _KEPT_FLAGS) | extra_flags
        found = {**self.found, _IFA_FLAGS: struct.pack("=I", flags)}
        if rename and _IFA_LABEL in found:
            found[_IFA_LABEL] = _relabel(found[_IFA_LABEL].rstrip(b"\0").decode(errors="surrogateescape"), *rename)
        return Request(RTM_NEWADDR, self._body(index, flags, found), _CREATE)

    def remove(self, index: int) -> Request:
        """Ask for this address to be taken from the device ``index``."""
        found = {number: self.found[number] for number in (_IFA_ADDRESS, _IFA_LOCAL) if number in self.found}
        return Request(RTM_DELADDR, self._body(index, 0, found))

    def _body(self, index: int, flags: int, found: Mapping[int, bytes]) -> bytes:
        header = _IFADDR.pack(self.family, self.prefix_length, flags & 0xFF, self.scope, index)
        return header + b"".join(pack(number, value) for number, value in found.items())


@dataclass(frozen=True, slots=True)
class RouteRecord:
    """A route as the kernel listed it: the fields of its message and its attributes by number."""

    header: tuple[int, ...]
    found: Mapping[int, bytes]

    @property
    def family(self) -> int:
        """``AF_INET`` or ``AF_INET6``."""
        return self.header[0]

    @property
    def multipath(self) -> bool:
        """Whether it has several next hops."""
        return _RTA_MULTIPATH in self.found

    @property
    def has_gateway(self) -> bool:
        """Whether its next hop must be reachable before it can be added."""
        return self.multipath or _RTA_GATEWAY in self.found or _RTA_VIA in self.found

    @property
    def movable(self) -> bool:
        """Whether it is one to carry over: not the kernel's own for local, broadcast or link-local traffic."""
        table = int.from_bytes(self.found.get(_RTA_TABLE, b""), sys.byteorder) or self.header[4]
        if table == _RT_TABLE_LOCAL or self.header[7] != _RTN_UNICAST:
            return False
        if self.family != socket.AF_INET6 or _RTA_DST not in self.found:
            return True
        destination = ipaddress.IPv6Address(self.found[_RTA_DST])
        return not (destination.is_link_local or destination.is_multicast)

    def comes_with(self, addresses: Sequence[AddressRecord]) -> bool:
        """Whether it is the route to one of the addresses' subnets that the kernel makes and deletes with it."""
        destination = (self.found.get(_RTA_DST), self.header[1])
        return self.header[5] == _RTPROT_KERNEL and any(
            destination == (record.interface.network.network_address.packed, record.prefix_length)
            and not record.flags & IFA_F_NOPREFIXROUTE
            for record in addresses
        )

    def leaves_from(self, addresses: Sequence[AddressRecord]) -> bool:
        """Whether its preferred source is one of the addresses: the kernel has it only as long as that."""
        source = self.found.get(_RTA_PREFSRC)
        return any(source == record.interface.ip.packed for record in addresses)

    def add(self, source: int, target: int) -> Request:
        """Ask for this route with the device ``target`` in the place of ``source``."""
        return Request(RTM_NEWROUTE, self._body(source, target), _APPEND)

    def exchange(self, source: int, target: int) -> Request:
        """Ask for this IPv6 route in the place of all next hops to its destination with its metric."""
        return Request(RTM_NEWROUTE, self._body(source, target), _REPLACE)

    def remove(self, source: int, target: int) -> Request:
        """Ask for that route to be deleted."""
        return Request(RTM_DELROUTE, self._body(source, target))

    def __str__(self) -> str:
        """Give destination and, where there is one, gateway."""
        address = ipaddress.IPv4Address if self.family == socket.AF_INET else ipaddress.IPv6Address
        to = f"{address(self.found[_RTA_DST])}/{self.header[1]}" if _RTA_DST in self.found else "default"
        return f"{to} via {address(self.found[_RTA_GATEWAY])}" if _RTA_GATEWAY in self.found else to

    def _body(self, source: int, target: int) -> bytes:
        header = _ROUTE.pack(*self.header[:-1], self.header[-1] & _RTNH_F_ONLINK)
        packed = []
        for number, value in self.found.items():
            if number == _RTA_OIF and value == struct.pack("=I", source):
                value = struct.pack("=I", target)
            elif number == _RTA_MULTIPATH:
                value = _exchange_next_hops(value, source, target)
            elif number == _RTA_CACHEINFO:
                number, value = _RTA_EXPIRES, self._expires(value)
                if not value:
                    continue
            packed.append(pack(number, value))
        return header + b"".join(packed)

    def _expires(self, cache_info: bytes) -> bytes:
        """Turn the remaining life that the kernel lists into the one that it takes: seconds, IPv6 only."""
        (ticks,) = struct.unpack_from("=i", cache_info, _EXPIRES_OFFSET)
        if self.family != socket.AF_INET6 or ticks <= 0:
            return b""
        return struct.pack("=I", max(1, ticks // _USER_HZ))


def list_addresses(index: int) -> Request:
    """Ask for the addresses of a device, both families."""
    return Request(RTM_GETADDR, _IFADDR.pack(socket.AF_UNSPEC, 0, 0, 0, index), flags=0)


def list_routes(family: int, index: int) -> Request:
    """Ask for the routes through a device, in all tables."""
    body = _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0) + pack(_RTA_OIF, struct.pack("=I", index))
    return Request(RTM_GETROUTE, body, flags=0)


def parse_address(body: bytes) -> AddressRecord:
    """Read the body of an ``RTM_NEWADDR`` message."""
    family, prefix_length, flags, scope, _ = _IFADDR.unpack_from(body)
    found = attributes(body, _IFADDR.size)
    found.setdefault(_IFA_FLAGS, struct.pack("=I", flags))
    return AddressRecord(family, prefix_length, scope, found)


def parse_route(body: bytes) -> RouteRecord:
    """Read the body of an ``RTM_NEWROUTE`` message."""
    return RouteRecord(_ROUTE.unpack_from(body), attributes(body, _ROUTE.size))


def new_address(address: names.InterfaceAddress) -> AddressRecord:
    """Return the record of an address to be made: with its broadcast address, or without waiting for DAD.

    A link-local IPv4 address by itself (169.254.169.254/32) has link scope (rtnetlink(7)), and so is not taken for the
    source of what goes farther (RFC 3927, 2.6.2): Linux takes one of global scope on the loopback device for that
    wherever the device that something leaves by has none.
    """
    own = address.ip.packed
    found = {_IFA_LOCAL: own, _IFA_ADDRESS: own, _IFA_FLAGS: struct.pack("=I", 0)}
    scope = _RT_SCOPE_HOST if address.ip.is_loopback else 0
    if address.version == 4 and address.network.prefixlen == 32 and address.ip.is_link_local:
        scope = _RT_SCOPE_LINK
    if isinstance(address, ipaddress.IPv6Interface):
        found[_IFA_FLAGS] = struct.pack("=I", IFA_F_NODAD)
        return AddressRecord(socket.AF_INET6, address.network.prefixlen, scope, found)
    # RFC 3021: in a /31, as with a single host, there is no address left to mean "all".
    if address.network.prefixlen <= 30 and not address.ip.is_loopback:
        found[_IFA_BROADCAST] = address.network.broadcast_address.packed
    return AddressRecord(socket.AF_INET, address.network.prefixlen, scope, found)


def plan_move(
    addresses: Sequence[AddressRecord],
    routes: Sequence[RouteRecord],
    source: tuple[str, int],
    target: tuple[str, int],
) -> list[Step]:
    """Plan the way of a device's addresses and routes to another device, both given by name and index.

    What is added comes before what is removed, so that at no time an address or a route is on neither. IPv6 has all
    next hops to a destination in one route: those of one that has several are exchanged, in one request.

    Raises:
        Unsupported: a route uses a next-hop object, which is not the route's to move.
    """
    (from_name, from_index), (to_name, to_index) = source, target
    moved = _oldest_first(record for record in addresses if not record.link_local)
    carried = _in_order(route for route in routes if not route.comes_with(moved))
    for route in carried:
        if _RTA_NH_ID in route.found:
            raise Unsupported(
                f"the route {route} through {from_name} uses a next-hop object: move it to {to_name} yourself",
                capability="next-hop-objects",
                device=from_name,
            )
    arrive = [_arrive(record, source, target) for record in moved]
    leave = []
    for route in carried:
        if route.multipath and route.family == socket.AF_INET6:
            there, back = route.exchange(from_index, to_index), route.exchange(from_index, from_index)
            arrive.append(Step(f"exchange the next hops of route {route}", there, back))
            continue
        undo = route.remove(from_index, to_index)
        arrive.append(Step(f"add route {route}", route.add(from_index, to_index), undo, _IS_THERE))
        leave.append(_drop_route(route, from_index))
    # Backwards: a secondary address goes before the one that it depends on, and all come back in their order.
    leave += [
        Step(f"take {record.interface} from {from_name}", record.remove(from_index), record.add(from_index), _IS_GONE)
        for record in reversed(moved)
    ]
    # The kernel leaves the subnet's route of an IPv6 address with a lifetime to its expiry, in the way of the new one.
    limited = [record for record in moved if record.family == socket.AF_INET6 and not record.flags & IFA_F_PERMANENT]
    leave += [_drop_route(route, from_index) for route in routes if route.movable and route.comes_with(limited)]
    return arrive + leave


def plan_order(
    present: Sequence[AddressRecord],
    wanted: Sequence[AddressRecord],
    routes: Sequence[RouteRecord],
    index: int,
) -> list[Step]:
    """Plan how a device comes from the IPv4 addresses ``present`` to exactly ``wanted``, in that order.

    The kernel only appends (see :func:`as_kept`), so everything behind the first difference is taken away and added
    again; ``routes``, which the kernel may drop on the way, are put back at the end. The way back is a plan of its
    own, made from what is there.
    """
    same = 0
    while same < min(len(present), len(wanted)) and present[same] == wanted[same]:
        same += 1
    kept = _in_order(route for route in routes if not route.comes_with([*present, *wanted]))
    staying = {record.interface for record in wanted}
    gone = [record for record in present if record.interface not in staying]
    steps = [
        Step(f"take {record.interface}", record.remove(index), record.add(index), _IS_GONE)
        for record in reversed(present[same:])
    ]
    steps += [
        Step(f"add {record.interface}", record.add(index), record.remove(index), _IS_THERE) for record in wanted[same:]
    ]
    return steps + [
        Step(f"put back route {route}", route.add(index, index), None, _IS_THERE)
        for route in kept
        if not route.leaves_from(gone)
    ]


def as_kept(added: Iterable[AddressRecord]) -> list[AddressRecord]:
    """Return the order in which the kernel keeps IPv4 addresses that are added in this one.

    The first of each subnet come before all others, and of these first ones those of a narrower scope before the rest.
    """
    first: dict[object, AddressRecord] = {}
    others = [record for record in added if first.setdefault(record.subnet, record) is not record]
    return [*sorted(first.values(), key=lambda record: -record.scope), *others]


def _in_order(routes: Iterable[RouteRecord]) -> list[RouteRecord]:
    """Put those without a gateway first, since the others are reached through them; leave out the kernel's own."""
    return sorted((route for route in routes if route.movable), key=lambda route: route.has_gateway)


def _oldest_first(addresses: Iterable[AddressRecord]) -> list[AddressRecord]:
    """Put addresses into the order to add them in: the kernel lists IPv4's oldest first, and IPv6's newest first."""
    listed = list(addresses)
    newest_first = [record for record in listed if record.family == socket.AF_INET6]
    return [record for record in listed if record.family != socket.AF_INET6] + newest_first[::-1]


def _arrive(record: AddressRecord, source: tuple[str, int], target: tuple[str, int]) -> Step:
    # The address has been found unique on this very link; a second detection would only stop its traffic.
    extra = IFA_F_NODAD if record.family == socket.AF_INET6 else 0
    request = record.add(target[1], rename=(source[0], target[0]), extra_flags=extra)
    return Step(f"add {record.interface} to {target[0]}", request, record.remove(target[1]), _IS_THERE)


def _drop_route(route: RouteRecord, index: int) -> Step:
    return Step(f"delete route {route}", route.remove(index, index), route.add(index, index), _IS_GONE)


def _relabel(label: str, source: str, target: str) -> bytes:
    """Take ``eth0`` and ``eth0:1`` to ``br0`` and ``br0:1``: a label starts with its device's name."""
    if label == source or label.startswith(f"{source}:"):
        label = target + label[len(source) :]
    # 15 bytes is the kernel's limit (IFNAMSIZ). A label that is too long with the new name becomes the plain name.
    encoded = label.encode(errors="surrogateescape")
    return (encoded if len(encoded) <= names.MAX_DEVICE_NAME else target.encode()) + b"\0"


def _exchange_next_hops(value: bytes, source: int, target: int) -> bytes:
    """Exchange the device in each next hop; leave out one that the target has already, by a move that was cut off."""
    hops: dict[tuple[int, bytes], bytes] = {}
    offset = 0
    while offset + _NEXT_HOP.size <= len(value):
        length, flags, weight, index = _NEXT_HOP.unpack_from(value, offset)
        if length < _NEXT_HOP.size:
            break
        new = target if index == source else index
        rest = value[offset + _NEXT_HOP.size : offset + length]
        hops.setdefault((new, rest), _NEXT_HOP.pack(length, flags & _RTNH_F_ONLINK, weight, new) + rest)
        offset += (length + 3) & ~3
    return b"".join(hop + bytes(-len(hop) % 4) for hop in hops.values())
