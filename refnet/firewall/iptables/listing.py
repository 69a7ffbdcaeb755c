"""What iptables-save prints: which of it is an owner's, and whether two rules of it are the same.

The tools print a rule differently from how it was written: names for numbers, another order of states, a prefix length
behind each address. So lines are compared by text first, and where that differs by :func:`normal`.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from refnet.errors import InvalidArgument
from refnet.firewall import protocols

_RULE = re.compile(r"(?:(\[\d+:\d+\]) )?-A (\S+)(.*)", re.DOTALL)
#: A text of somebody's choice, with its end or without.
_TEXT = re.compile(r' --[a-z-]+ "(?:[^"\\]|\\.)*("?)', re.DOTALL)
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')
#: A jump, or else a text of somebody's choice, in which there may be words like one.
_REFERENCE = re.compile(
    r' --(?:comment|log-prefix|nflog-prefix) (?:"(?:[^"\\]|\\.)*"|\S+)|"(?:[^"\\]|\\.)*"| -[jg] (\S+)'
)
#: Kernel units (XT_LIMIT_SCALE) of a rate's periods.
_PERIODS = {"sec": 10_000, "min": 600_000, "hour": 36_000_000, "day": 864_000_000}
_NETWORKS = ("-s", "-d")


@dataclass(slots=True)
class SavedTable:
    """A table as it stands, as far as an owner has to know it.

    ``chains`` has the owner's chains, each with its lines (``-A chain …``); ``counters`` what stands before them, such
    as ``[12:3456]``. ``jumps`` has by built-in chain its lines in order: the name of the owner's chain if the line does
    nothing but to jump there, else None; they are left out if nothing of the owner's is there at all.
    ``wanted_by_others`` are the owner's chains that other people's rules jump to, with the first of these rules.
    """

    chains: dict[str, list[str]] = field(default_factory=dict)
    counters: dict[str, list[str]] = field(default_factory=dict)
    jumps: dict[str, list[str | None]] = field(default_factory=dict)
    wanted_by_others: dict[str, str] = field(default_factory=dict)


def read(text: str, prefix: str) -> dict[str, SavedTable]:
    """Return by name the tables that iptables-save has printed. Comments are skipped, also those of the nft variant."""
    tables: dict[str, SavedTable] = {}
    table = SavedTable()
    mentioned = prefix in text
    for line in whole_lines(text):
        start = line[:1]
        if start == "*":
            table = tables[line[1:].strip()] = SavedTable()
        elif start == ":":
            name, policy, *_ = [*line[1:].split(), "-"]
            if policy != "-":
                table.jumps[name] = []
            elif name.startswith(prefix):
                table.chains[name], table.counters[name] = [], []
        elif mentioned and start in ("[", "-"):
            _read_rule(line, prefix, table)
    return tables


def whole_lines(text: str) -> Iterator[str]:
    """Give the lines; one with a comment in which there are ends of lines is one."""
    # Not splitlines(), which knows ten more ends of lines than the tool has.
    lines = iter(text.split("\n"))
    for line in lines:
        while '"' in line and _is_open(line):
            more = next(lines, None)
            if more is None:
                break
            line += f"\n{more}"
        yield line


def _is_open(line: str) -> bool:
    return any(not match[1] for match in _TEXT.finditer(line))


def _read_rule(line: str, prefix: str, table: SavedTable) -> None:
    match = _RULE.match(line)
    if not match:
        return
    counters, chain, rest = match.groups()
    if chain in table.chains:
        table.chains[chain].append(f"-A {chain}{rest}")
        table.counters[chain].append(counters or "[0:0]")
        return
    target = None
    if prefix in rest:
        named = next((found[1] for found in _REFERENCE.finditer(rest) if found[1]), None)
        if named and not named.startswith(prefix):
            named = None
        if named and rest == f" -j {named}" and chain in table.jumps:
            target = named
        elif named:
            table.wanted_by_others.setdefault(named, f"-A {chain}{rest}")
    if chain in table.jumps:
        table.jumps[chain].append(target)


def same(one: list[str], other: list[str]) -> bool:
    """Return whether two chains' lines are the same rules in the same order."""
    return len(one) == len(other) and all(a == b or normal(a) == normal(b) for a, b in zip(one, other, strict=True))


@functools.lru_cache(maxsize=4096)
def normal(line: str) -> tuple[object, ...]:
    """Return what a line says, equal for lines that say the same; for a line that is not understood, its words."""
    words = [quoted or plain for quoted, plain in _WORD.findall(line)]
    try:
        return tuple(sorted(_items(words[2:])))
    except (ValueError, IndexError, InvalidArgument):
        return tuple(words)


def _items(words: list[str]) -> list[tuple[str, bool, str]]:
    found: list[tuple[str, bool, str]] = []
    left = iter(words)
    negated = False
    protocol = next((words[at + 1] for at, word in enumerate(words[:-1]) if word == "-p"), None)
    for word in left:
        if word == "!":
            negated = True
            continue
        if not word.startswith("-"):
            raise ValueError(word)
        value = "" if word == "--checksum-fill" else next(left, "")
        if word not in ("-m", "--match"):
            said = _value(word, value, protocol)
            if said is not None:
                found.append((word, negated, said))
        negated = False
    return found


def _value(option: str, value: str, protocol: str | None) -> str | None:
    """Return an option's value in its normal form; None: it says what would be without it."""
    if option in _NETWORKS:
        return str(ipaddress.ip_network(value, strict=False))
    if option == "-p":
        return protocols.name(value)
    if option == "--ctstate":
        return ",".join(sorted(value.split(",")))
    if option == "--mac-source":
        return value.lower()
    if option in ("--icmp-type", "--icmpv6-type"):
        return str(protocols.icmp_type(value, protocol))
    if option in ("--mark", "--set-xmark"):
        number, _, mask = value.partition("/")
        return f"{int(number, 0):#x}/{int(mask or '0xffffffff', 0):#x}"
    if option == "--limit":
        return _rate(value)
    if (option, value) in (("--limit-burst", "5"), ("--log-level", "4"), ("--log-level", "warning")):
        return None
    return value


def _rate(value: str) -> str:
    """Return a rate as the tool prints it: it is kept as a period, in 1/10,000 s, and read back as the larger unit.

    iptables 1.8, extensions/libxt_limit.c, print_rate.
    """
    number, _, unit = value.partition("/")
    full = next(period for name, period in _PERIODS.items() if name.startswith(unit[:3]))
    period = full // int(number)
    shown = ""
    for name, size in reversed(_PERIODS.items()):
        if shown and (period > size or size // period < size % period):
            break
        shown = f"{size // period}/{name}"
    return shown
