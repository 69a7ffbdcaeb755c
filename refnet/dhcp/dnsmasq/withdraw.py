"""The last router advertisement: what a server that has gone told of routers and DNS servers holds no longer.

dnsmasq sends none when it ends. RFC 4861, 6.2.5, wants one with a lifetime of zero; RFC 8106, 5.1 and 5.2, say the same
of DNS servers and search lists.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct

from refnet.dhcp.network import DhcpNetwork
from refnet.dhcp.options import encode_names
from refnet.errors import KernelRefused, PermissionDenied

_ALL_NODES = "ff02::1"
_ADVERTISEMENT, _RDNSS, _DNSSL = 134, 25, 31
#: RFC 4861, 6.1.2: what has come through a router is not believed.
_HOPS = 255
_PREFERENCE = {"high": 0x08, "medium": 0x00, "low": 0x18}
#: Nothing has been told, or nobody is there any more who could have heard it: no device, no address, no link.
_NOTHING_TO_SAY = (
    errno.ENODEV,
    errno.ENXIO,
    errno.EADDRNOTAVAIL,
    errno.ENETUNREACH,
    errno.ENETDOWN,
    errno.EHOSTUNREACH,
)


def message(network: DhcpNetwork) -> bytes:
    """Return the advertisement that takes back what the network's server has told; its checksum is the kernel's."""
    told, mode = network.router_advertisement, network.ipv6
    preference = _PREFERENCE[told.preference if told else "medium"]
    managed = 0x80 if mode and mode.is_stateful else 0
    other = 0x40 if mode and str(mode) != "slaac" else 0
    servers = network.dns_servers
    if servers is None:
        servers = tuple(one.ip for one in network.addresses) if network.dns else ()
    parts = [struct.pack("!BBHBBHII", _ADVERTISEMENT, 0, 0, 64, managed | other | preference, 0, 0, 0)]
    packed = b"".join(one.packed for one in servers if isinstance(one, ipaddress.IPv6Address))
    if packed:
        parts.append(struct.pack("!BBHI", _RDNSS, 1 + len(packed) // 8, 0, 0) + packed)
    if network.search:
        names = encode_names(network.search)
        names += bytes(-len(names) % 8)
        parts.append(struct.pack("!BBHI", _DNSSL, 1 + len(names) // 8, 0, 0) + names)
    return b"".join(parts)


def send(network: DhcpNetwork) -> None:
    """Tell everybody on the device, if it is still there, and if anything was advertised.

    Raises:
        PermissionDenied: raw sockets are not for this user.
        KernelRefused: it cannot be sent, though there is a device.
    """
    if network.router_advertisement is None:
        return
    try:
        number = socket.if_nametoindex(network.device)
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sender:
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, _HOPS)
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, number)
            sender.sendto(message(network), (_ALL_NODES, 0, 0, number))
    except PermissionError as error:
        raise PermissionDenied(
            f"no router advertisement can be sent on {network.device}: raw sockets take root (CAP_NET_RAW)",
            errno=error.errno,
            device=network.device,
        ) from None
    except OSError as error:
        if error.errno not in _NOTHING_TO_SAY and socket_device_exists(network.device):
            raise KernelRefused(
                f"no router advertisement can be sent on {network.device}: {error.strerror}",
                errno=error.errno,
                device=network.device,
            ) from None


def socket_device_exists(device: str) -> bool:
    """Whether there is a device by that name."""
    try:
        socket.if_nametoindex(device)
    except OSError:
        return False
    return True
