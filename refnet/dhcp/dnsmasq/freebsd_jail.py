"""Why servers on FreeBSD live in jails, and how they come there.

All servers of a host listen on port 67 of every address: FreeBSD has no sockets that are bound to a device, and one
that is bound to an address hears no broadcasts. Broadcasts come to all of them, and each takes what has come by its
device; but what is sent to a server's address, as clients do to renew a lease, goes to the one that was started last.

A jail decides it: sockets that were made in a jail with addresses of its own get what is sent to these (in_pcb.c,
"we always prefer jails"). It shares all else with the host, and is gone with its last process, however that ends.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
from collections.abc import Callable, Collection, Sequence

from refnet.dhcp.capabilities import Capability
from refnet.dhcp.network import DhcpNetwork
from refnet.errors import InvalidArgument, Unsupported
from refnet.names import InterfaceAddress

IS_FREEBSD = sys.platform.startswith("freebsd")
#: jail(8) looks for the program itself, and repeats its command line when it has failed.
_PROGRAM = "jail"
_DNS_PORT, _DHCP_PORT = 53, 67
#: A message of BOOTP (RFC 951) that asks for nothing: an answer (2), which servers take no notice of, from nobody.
_NOTHING = bytes((2, 1, 6)).ljust(300, b"\0")


def see_that_it_can_be(network: DhcpNetwork) -> None:
    """Refuse what cannot be done from a jail.

    Raises:
        Unsupported: a forwarder is on this host's loopback.
    """
    for one in network.dns.forwarders if network.dns else ():
        if one.version == 4 and one.is_loopback and network.serves_dhcp:
            raise Unsupported(
                f"DNS forwarder {one}: on FreeBSD the server is in a jail, whose {one} is the server itself; "
                "give another address of this host, or ::1",
                capability=Capability.DNS_FORWARDING,
            )


def see_that_it_can_speak(network: DhcpNetwork, addresses: Collection[InterfaceAddress]) -> None:
    """Refuse to serve IPv6 on a device without a link-local address, which bridges have not by themselves.

    Routers speak by it (RFC 4861, 4.2); what comes from another one, clients do not believe.

    Raises:
        InvalidArgument: the device, which has these addresses, has none.
    """
    if network.ipv6 is not None and not any(one.version == 6 and one.is_link_local for one in addresses):
        raise InvalidArgument(
            f"device {network.device} has no link-local IPv6 address to advertise a router from: give it one first, by "
            f"'ifconfig {network.device} inet6 -ifdisabled auto_linklocal', 'ifconfig {network.device} down' and "
            f"'ifconfig {network.device} up'",
            device=network.device,
        )


def launched(network: DhcpNetwork, argv: Sequence[str]) -> list[str]:
    """Return the command that starts a network's server, as its arguments say, where it belongs. Pure.

    A jail needs two addresses or more: in one that has a single address, sockets are bound to that and hear no
    broadcasts. Addresses that no device has do no harm; they must not be those of another server's jail.
    """
    own = [one for one in network.addresses if one.version == 4]
    if not own:
        return list(argv)
    addresses = [str(one.ip) for one in own]
    if len(own) == 1:
        addresses += _spare(own[0])
    shared = ("path=/", "host=inherit", "ip6=inherit", "allow.raw_sockets")
    return [_PROGRAM, "-c", *shared, f"ip4.addr={','.join(addresses)}", f"command={argv[0]}", *argv[1:]]


def _spare(own: InterfaceAddress) -> list[str]:
    """Return an address that is the network's, and nobody's in it."""
    edges = (own.network[-1], own.network[0])
    return [str(next(edge for edge in edges if edge != own.ip))] if own.network.num_addresses > 1 else []


def wake(network: DhcpNetwork, disturb: Callable[[], object] = lambda: None) -> None:
    """Have a server lose a packet of ours, and not a client's, at its start, or after what disturbs it.

    dnsmasq 2.90 (dhcp.c) asks for its device's address with whatever is in its memory for an address, and in a jail
    the kernel refuses to look for one that is not the jail's ("DHCP packet received on … which has no address"). By the
    next packet the jail's own is there, until other work of dnsmasq's has passed over that memory. What is sent to all
    on the link comes back by the device, and packets wait in their order.
    """
    with contextlib.ExitStack() as stack:
        send = _sender(network, stack)
        send()
        disturb()
        send()
        send()


def _sender(network: DhcpNetwork, stack: contextlib.ExitStack) -> Callable[[], None]:
    """Return what sends a packet that asks for nothing to all on the link; where none can be sent, none is."""
    own = next((one for one in network.addresses if one.version == 4 and one.network.prefixlen <= 30), None)
    if own is None:
        return lambda: None
    sender = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    with contextlib.suppress(OSError):
        sender.bind((str(own.ip), 0))

    def send() -> None:
        # A device without a link cannot send, nor will anything come by it.
        with contextlib.suppress(OSError):
            sender.sendto(_NOTHING, (str(own.network.broadcast_address), _DHCP_PORT))

    return send


def words(stderr: str) -> str:
    """Return what the server has said, out of what came of :func:`launched`: jail(8) has its say behind it."""
    lines = stderr.splitlines()
    if lines and lines[-1].startswith(f"{_PROGRAM}: ") and lines[-1].endswith(": failed"):
        del lines[-1]
    said = "\n".join(lines).strip()
    if "addresses clash" in said:
        return f"Address already in use: another server's jail has it ({said})"
    if f"{_PROGRAM}: jail_set: Operation not permitted" in said:
        return f"{said}: it takes root, and in a jail the parameters children.max and allow.raw_sockets"
    return said


def taken(network: DhcpNetwork) -> str | None:
    """Return the port that a server needs and another program has, in words; None: none is taken.

    In a jail the server would get it all the same, and the other program would not be asked any more. A server in a
    jail of its own is no such program.
    """
    if network.serves_dhcp and not _is_free(socket.SOCK_DGRAM, "", _DHCP_PORT):
        return f"port {_DHCP_PORT}"
    for one in network.addresses if network.dns else ():
        if not all(_is_free(kind, str(one.ip), _DNS_PORT) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)):
            return f"port {_DNS_PORT} of {one.ip}"
    return None


def _is_free(kind: socket.SocketKind, address: str, port: int) -> bool:
    """Whether a socket could be bound here as dnsmasq binds its own."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if port == _DHCP_PORT:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            tried.bind((address, port))
        except OSError as error:
            return error.errno != errno.EADDRINUSE
    return True
