"""Tables that iptables-nft-save leaves out as a whole, because others have rules there that iptables has not.

Others may have written them with nft, into tables that are iptables's by name. What an owner has to know of such a one
is asked of the kernel, and its own chains of the tool one by one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from refnet.errors import CommandFailed, DumpInterrupted, Unsupported
from refnet.firewall.iptables import kernel
from refnet.firewall.iptables.listing import SavedTable, whole_lines
from refnet.firewall.iptables.tools import Tools
from refnet.firewall.netfilter import NLM_F_DUMP, Netfilter, Request, attribute, attributes

_LEFT_OUT = re.compile(r"^# Table `(\w+)' is incompatible", re.MULTILINE)
_COUNTERS = re.compile(r'"(?:[^"\\]|\\.)*"| -c (\d+) (\d+)')
_BUILT_IN = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
#: A line that no rule is written as: what cannot be read is to be written again.
_UNREADABLE = "# unreadable"
_ATTEMPTS = 20
#: linux/netfilter/nf_tables.h: NFNL_SUBSYS_NFTABLES, NFT_MSG_GETCHAIN and GETRULE, and attributes.
_SUBSYSTEM, _GET_CHAIN, _GET_RULE = 10, 4, 7
_CHAIN_TABLE, _CHAIN_NAME = 1, 3
_RULE_TABLE, _RULE_CHAIN, _RULE_EXPRESSIONS = 1, 2, 4
_EXPRESSION_NAME, _EXPRESSION_DATA = 1, 2
_IMMEDIATE_DATA, _DATA_VERDICT, _VERDICT_CODE, _VERDICT_CHAIN = 2, 2, 1, 2
_JUMP = (-3).to_bytes(4, "big", signed=True)


def left_out(printed: str) -> list[str]:
    """Return the tables that iptables-nft-save has left out of what it has printed."""
    return _LEFT_OUT.findall(printed)


def read(using: Tools, table: str, prefix: str) -> SavedTable:
    """Return such a table as it stands, as far as the owner has to know it.

    Raises:
        ToolMissing, PermissionDenied, Unsupported, KernelRefused, NoAnswer, DumpInterrupted: what they say.
    """
    found = SavedTable()
    for chain in _ask(using.family, _GET_CHAIN, _CHAIN_TABLE, table):
        name = _text(chain[_CHAIN_NAME])
        if name in _BUILT_IN:
            found.jumps[name] = []
        elif name.startswith(prefix):
            found.chains[name], found.counters[name] = _lines(using, table, name)
    for rule in _ask(using.family, _GET_RULE, _RULE_TABLE, table):
        chain_name, target, is_plain = _text(rule[_RULE_CHAIN]), *_target(rule.get(_RULE_EXPRESSIONS, b""))
        if chain_name.startswith(prefix):
            continue
        own = target if target.startswith(prefix) else None
        if own and not (is_plain and chain_name in found.jumps):
            found.wanted_by_others.setdefault(own, f"-A {chain_name} ... -j {own}")
            own = None
        if chain_name in found.jumps:
            found.jumps[chain_name].append(own)
    return found


def _lines(using: Tools, table: str, chain: str) -> tuple[list[str], list[str]]:
    """Return the lines of a chain, and their counters, as iptables-save would."""
    try:
        printed = using.list_chain(table, chain)
    except (CommandFailed, Unsupported):
        return [_UNREADABLE], ["[0:0]"]
    lines, counters = [], []
    for line in whole_lines(printed):
        if line.startswith("-A "):
            match = next((one for one in _COUNTERS.finditer(line) if one[1]), None)
            lines.append(line[: match.start()] + line[match.end() :] if match else line)
            counters.append(f"[{match[1]}:{match[2]}]" if match else "[0:0]")
    return lines, counters


def _target(expressions: bytes) -> tuple[str, bool]:
    """Return the chain that a rule leads to, and whether it does nothing but to jump there."""
    names, target, is_jump = [], "", False
    for _, element in attributes(expressions, 0):
        expression = dict(attributes(element, 0))
        names.append(expression[_EXPRESSION_NAME])
        data = dict(attributes(expression.get(_EXPRESSION_DATA, b""), 0)) if names[-1] == b"immediate\0" else {}
        verdict = dict(attributes(dict(attributes(data.get(_IMMEDIATE_DATA, b""), 0)).get(_DATA_VERDICT, b""), 0))
        if _VERDICT_CHAIN in verdict:
            target, is_jump = _text(verdict[_VERDICT_CHAIN]), verdict[_VERDICT_CODE] == _JUMP
    return target, is_jump and names == [b"counter\0", b"immediate\0"]


def _ask(family: int, number: int, of_table: int, table: str) -> Iterator[dict[int, bytes]]:
    for _ in range(_ATTEMPTS):
        with Netfilter("nf_tables", "filter") as asked:
            named = attribute(of_table, table.encode() + b"\0")
            request = Request(_SUBSYSTEM, number, NLM_F_DUMP, kernel.FAMILIES[family], named)
            found = [dict(attributes(answer)) for answer in asked.answers(request)]
        if not asked.interrupted:
            return (one for one in found if _text(one[of_table]) == table)
    raise DumpInterrupted(f"table {table} of IPv{family} changed during each of {_ATTEMPTS} readings: try again")


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="backslashreplace")
