"""Which tables and rules there are, asked of the kernel itself.

nft lists all rules of a host to name its tables, and takes seconds to tell the counters of a long chain. The numbers
here are those of ``linux/netfilter/nfnetlink.h`` and ``nf_tables.h``. Nothing here changes anything.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

from refnet.errors import KernelRefused
from refnet.firewall.capabilities import Capability
from refnet.firewall.netfilter import NLM_F_ACK, NLM_F_DUMP, Netfilter, Request, attribute, attributes

#: <linux/netfilter.h>, NFPROTO_INET and NFPROTO_BRIDGE.
FAMILIES = {"inet": 1, "bridge": 7}

_SUBSYSTEM, _GET_TABLE, _GET_RULE = 10, 1, 7
_TABLE_NAME, _TABLE_HANDLE = 1, 4
_RULE_TABLE, _RULE_CHAIN, _RULE_HANDLE, _RULE_EXPRESSIONS, _RULE_USERDATA = 1, 2, 3, 4, 7
_EXPRESSION_NAME, _EXPRESSION_DATA = 1, 2
_COUNTER_BYTES, _COUNTER_PACKETS = 1, 2
#: How often a list is asked for during which somebody changes nftables, mostly elsewhere; then the last is taken.
_READINGS = 10
_COMMENT = re.compile(rb"refnet:([0-9a-f]{16})")


def table_handle(family: str, name: str) -> int | None:
    """Return the number of a table, which no other will have as long as this host runs. None: there is no such table.

    Raises:
        PermissionDenied, Unsupported, KernelRefused, NoAnswer: what they say.
    """
    for found in _ask(_GET_TABLE, FAMILIES[family], {_TABLE_NAME: name}, NLM_F_ACK):
        return _number(found[_TABLE_HANDLE])
    return None


def numbers(table: str) -> dict[str, list[int]]:
    """Return the numbers of all rules of a table of family inet: by their chains, in order.

    Raises:
        PermissionDenied, Unsupported, KernelRefused, NoAnswer: what they say.
    """
    found: dict[str, list[int]] = {}
    for one in _ask(_GET_RULE, FAMILIES["inet"], {_RULE_TABLE: table}, NLM_F_DUMP):
        chain = one[_RULE_CHAIN].rstrip(b"\0").decode(errors="backslashreplace")
        found.setdefault(chain, []).append(_number(one[_RULE_HANDLE]))
    return found


def rule_handles(table: str, chain: str) -> dict[str, list[int]]:
    """Return the numbers of own rules in a chain of a table of family inet, by their digests.

    If somebody changes the chain all the time, some can be missing or be there twice.

    Raises:
        PermissionDenied, Unsupported, KernelRefused, NoAnswer: what they say.
    """
    found: dict[str, list[int]] = {}
    for digest, one in _own_rules(table, chain):
        found.setdefault(digest, []).append(_number(one[_RULE_HANDLE]))
    return found


def rule_counters(table: str, chain: str) -> dict[str, tuple[int, int]]:
    """Return what own rules in a chain of a table of family inet have counted, by digest: packets and bytes.

    Raises:
        PermissionDenied, Unsupported, KernelRefused, NoAnswer: what they say.
    """
    found: dict[str, tuple[int, int]] = {}
    for digest, one in _own_rules(table, chain):
        packets, octets = found.get(digest, (0, 0))
        for _, element in attributes(one.get(_RULE_EXPRESSIONS, b""), 0):
            expression = dict(attributes(element, 0))
            if expression.get(_EXPRESSION_NAME) == b"counter\0":
                counted = dict(attributes(expression[_EXPRESSION_DATA], 0))
                packets += _number(counted[_COUNTER_PACKETS])
                octets += _number(counted[_COUNTER_BYTES])
        found[digest] = packets, octets
    return found


def _own_rules(table: str, chain: str) -> Iterator[tuple[str, dict[int, bytes]]]:
    for one in _ask(_GET_RULE, FAMILIES["inet"], {_RULE_TABLE: table, _RULE_CHAIN: chain}, NLM_F_DUMP):
        match = _COMMENT.search(one.get(_RULE_USERDATA, b""))
        if match:
            yield match[1].decode(), one


def _number(value: bytes) -> int:
    return int.from_bytes(value, "big")


def _ask(number: int, family: int, names: dict[int, str], flags: int) -> list[dict[int, bytes]]:
    """Return the attributes of each thing of that name; nothing, if there is none."""
    said = b"".join(attribute(kind, name.encode() + b"\0") for kind, name in names.items())
    try:
        request = Request(_SUBSYSTEM, number, flags, family, said)
        for _ in range(_READINGS):
            with Netfilter("nftables", Capability.FILTER) as kernel:
                answers = list(kernel.answers(request))
            if not kernel.interrupted:
                break
        return [dict(attributes(answer)) for answer in answers]
    except KernelRefused as error:
        if error.errno == errno.ENOENT:
            return []
        raise
