"""What the kernel tells without a program: which chains of nf_tables there are, and which tables of the legacy variant.

An owner that has nothing on a host is the usual case of a first apply, and looking is most of what it would cost.
"""

from __future__ import annotations

import socket
from pathlib import Path

from refnet.errors import RefnetError
from refnet.firewall.netfilter import NLM_F_DUMP, Netfilter, Request, attributes, family_of

BRIDGE = 7  # NFPROTO_BRIDGE
FAMILIES = {4: int(socket.AF_INET), 6: int(socket.AF_INET6)}
#: linux/netfilter/nf_tables.h: NFNL_SUBSYS_NFTABLES, NFT_MSG_GETCHAIN, NFTA_CHAIN_NAME.
_SUBSYSTEM, _GET_CHAIN, _CHAIN_NAME = 10, 4, 3
_LEGACY_TABLES = {4: "ip_tables_names", 6: "ip6_tables_names"}


def has_nft_chain(family: int, prefix: str) -> bool:
    """Return whether nf_tables has a chain of a family whose name begins so; also if the kernel does not tell."""
    beginning = prefix.encode()
    try:
        with Netfilter("nf_tables", "filter") as kernel:
            return any(
                value.startswith(beginning)
                for answer in kernel.answers(Request(_SUBSYSTEM, _GET_CHAIN, NLM_F_DUMP, family))
                if family_of(answer) == family
                for number, value in attributes(answer)
                if number == _CHAIN_NAME
            )
    except RefnetError:
        return True  # the tools will say what is wrong


def has_legacy_tables(family: int) -> bool:
    """Return whether the legacy variant has made any table, in a family."""
    try:
        return bool(net(_LEGACY_TABLES[family]).read_text().strip())
    except FileNotFoundError:
        return False
    except OSError:
        return True


def has_ipv6() -> bool:
    """Return whether this network stack has IPv6: without it, rules for both families are IPv4's alone."""
    return net("if_inet6").exists()


def net(name: str) -> Path:
    """Return a file about the calling thread's network namespace: /proc/net is about the process's first thread's."""
    return Path("/proc/thread-self/net") / name
