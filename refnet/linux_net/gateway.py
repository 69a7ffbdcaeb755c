"""Addresses of a network host, and telling the neighbours about them."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any

from refnet import netdev, process
from refnet.errors import InvalidArgument, KernelRefused, NoSuchDevice, PermissionDenied, RefnetError, Unsupported
from refnet.linux_net.settings import options
from refnet.linux_net.values import field, ipv4_address, needed, number, text, with_prefix
from refnet.names import device_name, ip_address, mac_address

_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_METADATA = "169.254.169.254/32"
#: RFC 5227, 1.1: seconds between announcements would be two; arping, which Nova ran, had one.
_INTERVAL = 1.0
_ETH_P_ARP, _ETHERNET, _ETH_P_IP = 0x0806, 1, 0x0800
_REQUEST, _REPLY = 1, 2
_EVERYBODY = b"\xff" * 6


def initialize_gateway_device(dev: str, network_ref: Any) -> None:
    """Make a device a network's gateway: IPv4 is forwarded, and ``dhcp_server`` is the device's first address.

    With ``use_ipv6`` it gets the address of :func:`ipv6_address` as well, if the network has a ``cidr_v6``.
    ``send_arp_for_ha`` has the neighbours told, if the address is new on the device.

    Raises: what :meth:`NetDevDriver.ensure_gateway_address` raises; PermissionDenied: forwarding cannot be set.
    """
    if not network_ref:
        return
    server = needed(network_ref, "dhcp_server")
    address = with_prefix(server, needed(network_ref, "cidr"))
    other = ipv6_address(network_ref) if has_ipv6(network_ref) else None
    is_new = address not in map(str, netdev.device(dev).addresses)
    _forward_ipv4()
    netdev.ensure_gateway_address(dev, address)
    if is_new:
        _tell_if_wanted(server, dev)
    if other:
        netdev.ensure_gateway_address(dev, other)


def has_ipv6(network_ref: Any) -> bool:
    """Say whether IPv6 is used (``use_ipv6``), and the network has any."""
    return options.use_ipv6 and text(network_ref, "cidr_v6") is not None


def ipv6_address(network_ref: Any) -> str:
    """Return a network's address on this host: ``cidr_v6``, or where that is only a network its ``gateway_v6``.

    Raises:
        InvalidArgument: neither says an address that a host can have.
    """
    cidr = needed(network_ref, "cidr_v6")
    try:
        given = ipaddress.IPv6Interface(cidr)
    except ValueError as error:
        raise InvalidArgument(f"cidr_v6 {cidr!r} is no IPv6 network: {error}") from None
    # Without host bits it is the address of all routers in the subnet (RFC 4291, 2.6.1), and no host's.
    if given.ip != given.network.network_address or given.network.prefixlen >= 127:
        return str(given)
    gateway = field(network_ref, "gateway_v6", None)
    if not gateway:
        raise InvalidArgument(f"cidr_v6 {cidr!r} is a network, and there is no gateway_v6 that says an address in it")
    return with_prefix(str(gateway), str(given.network))


def told_gateway(network_ref: Any) -> str | None:
    """Return the gateway that clients are told: of a multi-host network with addresses of its own, this host."""
    is_shared = field(network_ref, "share_address", False) or options.share_dhcp_address
    is_own = field(network_ref, "multi_host", False) and not is_shared
    return text(network_ref, "dhcp_server" if is_own else "gateway")


def bind_floating_ip(floating_ip: str, device: str) -> None:
    """Give a device a floating address: :meth:`NetDevDriver.add_device_address`."""
    address = ipv4_address(floating_ip)
    netdev.add_device_address(device, f"{address}/32")
    _tell_if_wanted(address, device)


def unbind_floating_ip(floating_ip: str, device: str) -> None:
    """Take a floating address from a device: :meth:`NetDevDriver.delete_device_address`."""
    with contextlib.suppress(NoSuchDevice):
        netdev.delete_device_address(device, f"{ipv4_address(floating_ip)}/32")


def ensure_metadata_ip() -> None:
    """Give the loopback device 169.254.169.254, where guests look for metadata."""
    netdev.add_device_address("lo0" if sys.platform.startswith("freebsd") else "lo", _METADATA)


def send_arp_for_ip(ip: str, device: str, count: int | str) -> None:
    """Tell a device's neighbours ``count`` times, a second apart, that an IPv4 address is here (RFC 5227, 2.3 and 3).

    Each time as a request and as an answer: some neighbours take no notice of the one, some of the other.

    Raises:
        InvalidArgument: that is no IPv4 address, the device has no MAC address, or the count is negative.
        NoSuchDevice: there is no such device.
        Unsupported: not on this system.
        PermissionDenied: that takes CAP_NET_RAW.
        KernelRefused: the device does not send it (it is down).
    """
    address = ip_address(str(ip), "address")
    if address.version != 4:
        raise InvalidArgument(f"address {address} is not IPv4's: IPv6 has no ARP", device=device)
    times = number(count, "count")
    if times < 0:
        raise InvalidArgument(f"count {times} is negative: say how often neighbours are told", device=device)
    mac = netdev.device(device_name(device)).mac_address
    if mac is None:
        raise InvalidArgument(f"{device} has no MAC address to tell", device=device)
    if not hasattr(socket, "AF_PACKET"):
        raise Unsupported(f"neighbours cannot be told about {address} on this system", capability="arp", device=device)
    own = bytes.fromhex(mac_address(mac).replace(":", ""))
    frames = [_announcement(own, address.packed, operation) for operation in (_REQUEST, _REPLY)]
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
            sender.bind((device, _ETH_P_ARP))
            for turn in range(times):
                if turn:
                    time.sleep(_INTERVAL)
                for frame in frames:
                    sender.send(frame)
    except OSError as error:
        raise _refusal(error, device) from None


def _tell_if_wanted(address: str, device: str) -> None:
    # FreeBSD's kernel, where there is no packet socket, tells about each new address by itself.
    if options.send_arp_for_ha and hasattr(socket, "AF_PACKET"):
        send_arp_for_ip(address, device, options.send_arp_for_ha_count)


def _announcement(own: bytes, address: bytes, operation: int) -> bytes:
    """Return an Ethernet frame with an ARP message (RFC 826) in which both addresses are one's own."""
    target = own if operation == _REPLY else bytes(6)
    header = struct.pack("!HHBBH", _ETHERNET, _ETH_P_IP, 6, 4, operation)
    return _EVERYBODY + own + struct.pack("!H", _ETH_P_ARP) + header + own + address + target + address


def _refusal(error: OSError, device: str) -> RefnetError:
    words = error.strerror or str(error)
    if error.errno in (errno.ENODEV, errno.ENXIO):
        return NoSuchDevice(f"there is no device {device}", device=device, errno=error.errno, detail=words)
    if error.errno in (errno.EPERM, errno.EACCES):
        return PermissionDenied("telling neighbours takes CAP_NET_RAW", device=device, errno=error.errno, detail=words)
    return KernelRefused(
        f"{device} does not send to its neighbours: {words}", device=device, errno=error.errno, detail=words
    )


def _forward_ipv4() -> None:
    """Have this host forward IPv4, if it does not."""
    if sys.platform.startswith("freebsd"):
        if process.run(["sysctl", "-n", "net.inet.ip.forwarding"]).stdout.strip() != "1":
            process.run(["sysctl", "net.inet.ip.forwarding=1"])
        return
    try:
        if _FORWARDING.read_text().strip() != "1":
            _FORWARDING.write_text("1\n")
    except OSError as error:
        raise PermissionDenied(
            f"this host does not forward IPv4, and {_FORWARDING} cannot be written: {error.strerror}",
            errno=error.errno,
            detail=error.strerror,
        ) from None
