"""What the kernel tells without a program: which chains of nf_tables there are, and which tables of the legacy variant.

An owner that has nothing on a host is the usual case of a first apply, and looking is most of what it would cost.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from pathlib import Path

from refnet.errors import RefnetError, Unsupported
from refnet.firewall.netfilter import NLM_F_ACK, NLM_F_DUMP, Netfilter, Request, attributes, family_of

BRIDGE = 7  # NFPROTO_BRIDGE
FAMILIES = {4: int(socket.AF_INET), 6: int(socket.AF_INET6)}
#: linux/netfilter/nf_tables.h: NFNL_SUBSYS_NFTABLES, NFT_MSG_GETCHAIN, NFTA_CHAIN_NAME, NFT_MSG_GETGEN.
_SUBSYSTEM, _GET_CHAIN, _CHAIN_NAME, _GET_GENERATION = 10, 4, 3, 16
#: About the calling thread's network namespace: /proc/net is about that of the process's first thread.
_LEGACY_TABLES = {
    4: Path("/proc/thread-self/net/ip_tables_names"),
    6: Path("/proc/thread-self/net/ip6_tables_names"),
}
#: linux/netfilter_ipv4/ip_tables.h: IPT_SO_GET_INFO with struct ipt_getinfo, which ends with the size of the
#: entries in bytes; IPT_SO_GET_ENTRIES with struct ipt_get_entries. Those of IPv6 are the same.
_GET_INFO, _GET_ENTRIES = 64, 65
_ASKED, _INFO_SIZE, _SIZE, _ENTRIES_AT = struct.Struct("32sI"), 84, struct.Struct("I"), 40
#: How often a table is asked for that somebody changes all the time.
_ATTEMPTS = 100
#: A chain begins with an entry of target ERROR, whose data are the chain's name: struct xt_error_target.
_ERROR = b"ERROR".ljust(30, b"\0")


def has_nft_chain(family: int, prefix: str) -> bool:
    """Return whether nf_tables has a chain of a family whose name begins so; also if the kernel does not tell."""
    beginning = prefix.encode()
    try:
        with Netfilter("nf_tables", "filter") as kernel:
            found = any(
                value.startswith(beginning)
                for answer in kernel.answers(Request(_SUBSYSTEM, _GET_CHAIN, NLM_F_DUMP, family))
                if family_of(answer) == family
                for number, value in attributes(answer)
                if number == _CHAIN_NAME
            )
            return found or kernel.interrupted
    except Unsupported:
        return _has_nf_tables()
    except RefnetError:
        return True  # the tools will say what is wrong


def _has_nf_tables() -> bool:
    """Return whether there are nf_tables at all: only then has a refused question to be looked into."""
    try:
        with Netfilter("nf_tables", "filter") as kernel:
            return bool(list(kernel.answers(Request(_SUBSYSTEM, _GET_GENERATION, NLM_F_ACK))))
    except Unsupported:
        return False
    except RefnetError:
        return True


def has_legacy_chain(family: int, prefix: str) -> bool:
    """Return whether a table of the legacy variant has a chain whose name begins so; also if the kernel does not tell.

    Only tables that are there are asked: to ask for another one makes it.
    """
    try:
        tables = _LEGACY_TABLES[family].read_text().split()
        if not tables:
            return False
        # Any socket of the family may ask. The tools take a raw one, and so CAP_NET_RAW, which not everybody has.
        with socket.socket(FAMILIES[family], socket.SOCK_DGRAM) as asked:
            return any(_ERROR + prefix.encode() in _entries(asked, family, table) for table in tables)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # the tools will say what is wrong


def _entries(asked: socket.socket, family: int, table: str) -> bytes:
    """Return a table of the legacy variant, as the kernel has it."""
    error = OSError()
    for _ in range(_ATTEMPTS):
        size = _SIZE.unpack(_option(asked, family, _GET_INFO, table, _INFO_SIZE)[-_SIZE.size :])[0]
        try:
            return _option(asked, family, _GET_ENTRIES, table, _ENTRIES_AT + size, size)
        except BlockingIOError as changed:  # by somebody, meanwhile
            error = changed
    raise error


def _option(asked: socket.socket, family: int, number: int, table: str, length: int, size: int = 0) -> bytes:
    """Have the kernel answer into a buffer that begins with what is asked, which Python's getsockopt cannot."""
    buffer = ctypes.create_string_buffer(_ASKED.pack(table.encode(), size), length)
    taken = ctypes.c_uint32(length)
    level = socket.IPPROTO_IP if family == 4 else socket.IPPROTO_IPV6
    if ctypes.CDLL(None, use_errno=True).getsockopt(asked.fileno(), level, number, buffer, ctypes.byref(taken)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return buffer.raw
