"""The packet by which a client gives up its lease, made and sent in the client's place.

It is an ordinary datagram from the server's own host: no program such as ``dhcp_release`` is needed, and no raw socket.
Whether the server took it is seen in its leases only: DHCPRELEASE has no answer.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import random
import socket
import struct

from refnet.dhcp import values
from refnet.dhcp.leases import Lease
from refnet.errors import InvalidArgument, KernelRefused, NoSuchDevice, PermissionDenied, RefnetError
from refnet.names import InterfaceAddress, device_name, interface_address, shown

#: What servers listen on, by the version of IP: RFC 2131, 4.1, and RFC 8415, 7.1 and 7.2.
_PORTS = {4: 67, 6: 547}
_ALL_SERVERS = "ff02::1:2"
#: RFC 951: a message of BOOTP has at least so many octets, and servers may drop shorter ones.
_SHORTEST = 300

_BOOTREQUEST, _ETHERNET = 1, 1
_MAGIC_COOKIE = bytes((99, 130, 83, 99))
#: Options of DHCP (RFC 2132), and the message type.
_MESSAGE_TYPE, _SERVER_IDENTIFIER, _CLIENT_IDENTIFIER, _END = 53, 54, 61, 255
_DHCPRELEASE = 7
#: RFC 8415, 7.3 and 21: the message type, and options of DHCPv6.
_RELEASE = 8
_CLIENTID, _SERVERID, _IA_NA, _IA_TA, _IAADDR, _ELAPSED_TIME = 1, 2, 3, 4, 5, 8


def message(lease: Lease, server_address: ipaddress.IPv4Address) -> bytes:
    """Return the DHCPRELEASE for a lease of IPv4 (RFC 2131, 4.4.6 and table 5), for the server with this address.

    Raises:
        InvalidArgument: the lease is not one of IPv4, or does not say whose it is.
    """
    if not isinstance(lease.address, ipaddress.IPv4Address) or lease.mac_address is None:
        raise InvalidArgument(f"the lease of {lease.address} is none of IPv4 with a MAC address")
    kind, _, hardware = lease.mac_address.rpartition("-")  # dnsmasq writes 06-… for what is not Ethernet
    octets = _octets(hardware, "MAC address", 16)
    fixed = struct.pack(
        "!BBBBIHH4s4s4s4s16s64x128x",
        _BOOTREQUEST,
        int(kind, 16) if kind else _ETHERNET,
        len(octets),
        0,
        random.getrandbits(32),
        0,
        0,
        lease.address.packed,  # ciaddr
        bytes(4),
        bytes(4),
        bytes(4),
        octets,
    )
    options = bytes((_MESSAGE_TYPE, 1, _DHCPRELEASE, _SERVER_IDENTIFIER, 4)) + server_address.packed
    if lease.client_id is not None:
        # It is known by this first: without it, the server would look for another client's lease.
        identifier = _octets(lease.client_id, "client identifier", 255)
        options += bytes((_CLIENT_IDENTIFIER, len(identifier))) + identifier
    return (fixed + _MAGIC_COOKIE + options + bytes((_END,))).ljust(_SHORTEST, b"\0")


def message_v6(lease: Lease, server_duid: str) -> bytes:
    """Return the RELEASE of DHCPv6 for a lease (RFC 8415, 18.2.7), for the server with this DUID.

    Raises:
        InvalidArgument: the lease is not one of IPv6, or does not say whose it is; or the DUID is none.
    """
    if not isinstance(lease.address, ipaddress.IPv6Address) or lease.client_id is None or lease.iaid is None:
        raise InvalidArgument(f"the lease of {lease.address} is none of IPv6 with a DUID and an IAID")
    address = _option(_IAADDR, lease.address.packed + bytes(8))  # lifetimes of no meaning here: 0
    if lease.is_temporary:
        association = _option(_IA_TA, struct.pack("!I", lease.iaid) + address)
    else:
        association = _option(_IA_NA, struct.pack("!III", lease.iaid, 0, 0) + address)
    return (
        struct.pack("!I", _RELEASE << 24 | random.getrandbits(24))
        + _option(_CLIENTID, _octets(lease.client_id, "DUID", values.MAX_CLIENT_ID))
        + _option(_SERVERID, _octets(server_duid, "server's DUID", values.MAX_CLIENT_ID))
        + _option(_ELAPSED_TIME, bytes(2))
        + association
    )


def send(lease: Lease, device: str, server: str | InterfaceAddress, server_duid: str | None = None) -> None:
    """Send the packet that ends a lease, once, to the server on this host's device; it is not waited for anything.

    ``server`` is the server's address with its prefix length, in the network that the lease is of; ``server_duid`` is
    needed for leases of DHCPv6.

    Raises:
        InvalidArgument: the lease, or what is said of the server, cannot make such a packet.
        NoSuchDevice: there is no such device.
        PermissionDenied, KernelRefused: the kernel does not send it.
    """
    device_name(device, "device")
    address = interface_address(server)
    if address.version != lease.address.version:
        raise InvalidArgument(f"the server's address {address} and the lease of {lease.address} are of two families")
    if isinstance(address, ipaddress.IPv4Interface):
        data = message(lease, address.ip)
    elif server_duid is None:
        raise InvalidArgument(f"the lease of {lease.address} cannot be ended without the server's DUID")
    else:
        data = message_v6(lease, server_duid)
    try:
        with socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as sender:
            destination = (_by_device if hasattr(socket, "SO_BINDTODEVICE") else _to_all)(sender, device, address)
            sender.bind((str(address.ip), 0))
            sender.sendto(data, destination)
    except OSError as error:
        raise _refusal(error, lease, device) from None


def _by_device(sender: socket.socket, device: str, address: InterfaceAddress) -> tuple[str, int]:
    """Return where Linux sends it to: the server's address, and nobody else sees it.

    A server takes only what comes by its device, and what one sends to oneself comes by the loopback device; but that
    of a socket which is bound to a device comes by this one (ip(7), IP_PKTINFO; dhcp_release of dnsmasq).
    """
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    return str(address.ip), _PORTS[address.version]


def _to_all(
    sender: socket.socket, device: str, address: InterfaceAddress
) -> tuple[str, int] | tuple[str, int, int, int]:
    """Return where FreeBSD sends it to: all on the link, of which this host is one.

    What goes to one address of the host comes by the loopback device; and of several servers, the one that was started
    last gets it. What goes to all comes to all of them by the device, and it names its server.
    """
    try:
        index = socket.if_nametoindex(device)
    except OSError:  # Python's own, without a number
        raise OSError(errno.ENXIO, os.strerror(errno.ENXIO)) from None
    if isinstance(address, ipaddress.IPv4Interface):
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        return str(address.network.broadcast_address), _PORTS[4]
    sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    # Of an address with a scope behind it, Python would leave the scope out.
    return _ALL_SERVERS, _PORTS[6], 0, index


def _refusal(error: OSError, lease: Lease, device: str) -> RefnetError:
    words = error.strerror or str(error)
    if error.errno in (errno.ENODEV, errno.ENXIO):
        return NoSuchDevice(f"there is no device {device!r}", device=device, errno=error.errno, detail=words)
    kind = PermissionDenied if error.errno in (errno.EPERM, errno.EACCES) else KernelRefused
    return kind(
        f"the release of {lease.address} could not be sent on {device}: {words}",
        device=device,
        errno=error.errno,
        detail=words,
    )


def _option(code: int, data: bytes) -> bytes:
    return struct.pack("!HH", code, len(data)) + data


def _octets(text: str, what: str, most: int) -> bytes:
    """Return octets that are written in hexadecimal with colons."""
    try:
        octets = bytes(int(part, 16) for part in text.split(":"))
    except ValueError:
        octets = b""
    if not 1 <= len(octets) <= most:
        raise InvalidArgument(f"{what} {shown(text)} is not 1 to {most} hexadecimal octets such as '01:52:54'")
    return octets
