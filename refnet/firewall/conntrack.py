"""Linux's connection tracking: forgetting what it knows of an address, by ctnetlink and without a program.

The numbers are those of ``linux/netfilter/nfnetlink_conntrack.h``.
"""

from __future__ import annotations

import socket

from refnet.errors import RefnetError
from refnet.firewall import netfilter
from refnet.firewall.netfilter import NLM_F_ACK, NLM_F_DUMP, Netfilter, Request, attributes
from refnet.names import IPAddress

_SUBSYSTEM = 1
_GET, _DELETE, _GET_STATISTICS = 1, 2, 5
_TUPLE_ORIGINAL, _TUPLE_REPLY, _ID, _ZONE = 1, 2, 12, 18
_TUPLE_IP = 1

#: Requests in one datagram: their answers fit into the socket's buffer.
_AT_ONCE = 64


def forget(address: IPAddress) -> int:
    """Have the kernel forget all connections from, to, or translated to an address; return how many there were.

    Raises:
        Unsupported: this kernel has no connection tracking that can be asked (nf_conntrack_netlink).
        PermissionDenied: it takes CAP_NET_ADMIN in this network namespace.
        KernelRefused, NoAnswer: what they say.
    """
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with _open() as kernel:
        listed = kernel.answers(Request(_SUBSYSTEM, _GET, NLM_F_DUMP, family))
        doomed = [_identity(entry) for entry in listed if _has(entry, address.packed)]
        requests = [Request(_SUBSYSTEM, _DELETE, NLM_F_ACK, family, identity) for identity in doomed]
        return sum(kernel.acknowledged(requests[at : at + _AT_ONCE]) for at in range(0, len(requests), _AT_ONCE))


def probe() -> str | None:
    """Return None if connections can be forgotten here, else why not."""
    try:
        with _open() as kernel:
            list(kernel.answers(Request(_SUBSYSTEM, _GET_STATISTICS, NLM_F_ACK)))
    except RefnetError as error:
        return str(error)
    return None


def _open() -> Netfilter:
    return Netfilter("connection tracking", "forget-connections")


def _has(entry: bytes, packed: bytes) -> bool:
    """Return whether an address is one of the four of a connection: of its first packet and of the answer."""
    for number, value in attributes(entry):
        if number in (_TUPLE_ORIGINAL, _TUPLE_REPLY):
            for inner, addresses in attributes(value, 0):
                if inner == _TUPLE_IP and any(one == packed for _, one in attributes(addresses, 0)):
                    return True
    return False


def _identity(entry: bytes) -> bytes:
    """Return the attributes that name an entry: with its id, as another may have come in its place meanwhile."""
    return b"".join(
        netfilter.attribute(number, value, nested=number == _TUPLE_ORIGINAL)
        for number, value in attributes(entry)
        if number in (_TUPLE_ORIGINAL, _ID, _ZONE)
    )
