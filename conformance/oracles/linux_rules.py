"""What the packet filters of Linux have, of all kinds: nftables, both variants of iptables, ebtables, arptables.

They are listed by their own programs, and those are started only when the kernel says that there is something to list:
looking makes nothing, and takes next to no time where nothing is.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from conformance.errors import SuiteError
from conformance.oracles.base import Counter

#: linux/netfilter/nfnetlink.h and nf_tables.h
_NETLINK_NETFILTER = 12
_NF_TABLES = 10
_GET_TABLE, _TABLE_NAME = 1, 1
_GROUP_NF_TABLES = 7
_REQUEST, _DUMP = 0x1, 0x300
_ERROR, _DONE = 2, 3
_HEADER = struct.Struct("=IHHII")
#: struct nfgenmsg: family, version, resource id.
_GENERAL = struct.Struct("!BBH")
_FAMILIES = {0: "unspec", 1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
#: By message (NFT_MSG_…): of each kind there are three, to make, to get and to delete one.
_OBJECTS = {0: "table", 3: "chain", 6: "rule", 9: "set", 12: "set element", 18: "object", 22: "flow table"}
_TOLD = {number: f"{name} set" for number, name in _OBJECTS.items()}
_TOLD |= {number + 2: f"{name} deleted" for number, name in _OBJECTS.items()}

_LEGACY = {"ip": "iptables", "ip6": "ip6tables"}
#: Tables of nftables that iptables' and ebtables' programs keep, and what lists them as these programs see them.
_KEPT = {"ip": "iptables-nft", "ip6": "ip6tables-nft", "bridge": "ebtables-nft", "arp": "arptables-nft"}
_KEPT_TABLES = {"filter", "nat", "mangle", "raw", "security", "broute"}
_BUILT_IN = {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING", "BROUTING"}
_NFT_COUNTER = re.compile(r"counter packets (\d+) bytes (\d+)")
_SAVED_COUNTER = re.compile(r"^\[(\d+):(\d+)\] (-A .*)")
_POLICY_COUNTER = re.compile(r" \[\d+:\d+\]$")
#: What of a set's elements changes by itself.
_RESTLESS = re.compile(r" expires \S+(?=[ ,}])")


def rules() -> dict[str, str]:
    """Return all that there is, by place; see :meth:`.Oracle.rules`."""
    found = {place: text for place, text in _legacy() if not _does_nothing(text)}
    tables = nft_tables()
    if not tables:
        return found
    listed = dict(_listed_tables(_run("nft", "-s", "list", "ruleset")))
    found |= {f"nft {name}": text for name, text in listed.items() if not _is_idle(name, text)}
    for family, program in _KEPT.items():
        kept = [table for table in _KEPT_TABLES if f"nft {family} {table}" in found]
        if kept and shutil.which(f"{program}-save"):
            # As nft(8) shows them, comments and some matches are missing.
            for table, text in _saved(_run(f"{program}-save", check=False)):
                if table in kept:
                    found[f"{program} {table}"] = text
    return found


def counters() -> list[Counter]:
    """Return what each rule has matched; see :meth:`.Oracle.counters`."""
    found = []
    for family, table in _legacy_tables():
        program = f"{_LEGACY[family]}-legacy"
        found += _saved_counters(f"{program} {table}", _run(*_save(program), "-c", "-t", table))
    kept = set()
    tables = nft_tables()
    for family, program in _KEPT.items():
        if any(table.startswith(f"{family} ") for table in tables) and shutil.which(f"{program}-save"):
            text = _run(f"{program}-save", "-c", check=False)
            for table, part in _saved(text, plain=False):
                kept.add(f"{family} {table}")
                found += _saved_counters(f"{program} {table}", part)
    if tables:
        for name, text in _listed_tables(_run("nft", "list", "ruleset"), plain=False):
            if name not in kept:
                found += _listed_counters(f"nft {name}", text)
    return found


def nft_tables() -> list[str]:
    """Return the tables of nftables, such as ``inet refnet``, as the kernel tells them."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as sock:
        sock.settimeout(10)
        sock.bind((0, 0))
        body = _GENERAL.pack(0, 0, 0)
        head = _HEADER.pack(_HEADER.size + len(body), _NF_TABLES << 8 | _GET_TABLE, _REQUEST | _DUMP, 1, 0)
        sock.send(head + body)
        found: list[str] = []
        while True:
            for kind, message in _messages(sock.recv(1 << 18)):
                if kind == _DONE:
                    return found
                if kind == _ERROR:
                    number = -struct.unpack_from("=i", message)[0]
                    # A kernel that has no nf_tables.
                    if number in (errno.EINVAL, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT):
                        return []
                    raise SuiteError(f"the kernel does not tell its tables of rules: {os.strerror(number)}")
                found.append(f"{_FAMILIES.get(message[0], message[0])} {_attribute(message, _TABLE_NAME)}")


def listener() -> socket.socket:
    """Return a socket that hears of all that is written to nftables."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, _NETLINK_NETFILTER)
    sock.bind((0, 1 << (_GROUP_NF_TABLES - 1)))
    return sock


def heard(sock: socket.socket) -> list[str]:
    """Return in words what a listener has heard."""
    words = []
    with contextlib.suppress(BlockingIOError):
        while True:
            for kind, message in _messages(sock.recv(1 << 18)):
                number = kind & 0xFF
                if kind >> 8 == _NF_TABLES and number in _TOLD:
                    family = _FAMILIES.get(message[0], str(message[0]))
                    # The first attribute of all of them is a table's name: its own, or of the one that it is in.
                    words.append(f"{_TOLD[number]} ({family} {_attribute(message, _TABLE_NAME)})")
    return words


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, offset)
        yield kind, data[offset + _HEADER.size : offset + length]
        offset += (max(length, _HEADER.size) + 3) & ~3


def _attribute(message: bytes, wanted: int) -> str:
    offset = _GENERAL.size
    while offset + 4 <= len(message):
        length, kind = struct.unpack_from("=HH", message, offset)
        if kind & 0x3FFF == wanted:
            return message[offset + 4 : offset + length].rstrip(b"\0").decode(errors="replace")
        offset += (max(length, 4) + 3) & ~3
    return ""


# -- iptables -----------------------------------------------------------------------------------------


def _legacy_tables() -> list[tuple[str, str]]:
    found = []
    for family in _LEGACY:
        # Of the calling thread's stack, not of the process's.
        with contextlib.suppress(FileNotFoundError):
            names = Path(f"/proc/thread-self/net/{family}_tables_names").read_text().split()
            found += [(family, name) for name in sorted(names)]
    return found


def _legacy() -> Iterator[tuple[str, str]]:
    for family in dict(_legacy_tables()):
        program = f"{_LEGACY[family]}-legacy"
        for table, text in _saved(_run(*_save(program))):
            yield f"{program} {table}", text
    # Whether there are such tables the kernel does not tell; where its module is not loaded there are none.
    if Path("/sys/module/ebtables").exists() and shutil.which("ebtables-legacy-save"):
        for table, text in _saved(_run("ebtables-legacy-save", check=False)):
            yield f"ebtables-legacy {table}", text


def _save(program: str) -> tuple[str]:
    """Return the program that lists; where there is but one variant it does not say which."""
    name = f"{program}-save"
    return (name if shutil.which(name) else f"{program.partition('-')[0]}-save",)


def _saved(text: str, *, plain: bool = True) -> Iterator[tuple[str, str]]:
    """Give the tables of what a ``…-save`` says, each with its lines; ``plain``: without comments and counters."""
    table = ""
    lines: list[str] = []
    for line in [*text.splitlines(), "*"]:
        if line.startswith("*"):
            if table:
                yield table, "\n".join(lines) + "\n"
            table, lines = line[1:], []
        elif line and not line.startswith("#") and line != "COMMIT":
            lines.append(_POLICY_COUNTER.sub("", line) if plain else line)


def _does_nothing(text: str) -> bool:
    """Whether a table has built-in chains that accept, and nothing else."""
    heads = [line[1:].split() for line in text.splitlines() if line.startswith(":")]
    only_heads = len(heads) == len(text.splitlines())
    return only_heads and all(name in _BUILT_IN and policy == "ACCEPT" for name, policy, *_ in heads)


def _saved_counters(place: str, text: str) -> list[Counter]:
    matches = [_SAVED_COUNTER.match(line) for line in text.splitlines()]
    return [Counter(place, found[3], int(found[1]), int(found[2])) for found in matches if found]


# -- nftables -----------------------------------------------------------------------------------------


def _listed_tables(text: str, *, plain: bool = True) -> Iterator[tuple[str, str]]:
    name = ""
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("table "):
            name, lines = line.split(" {")[0].removeprefix("table "), []
        lines.append(_RESTLESS.sub("", line) if plain else line)
        if line == "}":
            yield name, "\n".join(lines) + "\n"


def _is_idle(name: str, text: str) -> bool:
    """Whether a table is one that iptables leaves behind when the last rule has gone."""
    family, _, table = name.partition(" ")
    if family not in _KEPT or table not in _KEPT_TABLES:
        return False
    for line in map(str.strip, text.splitlines()[1:]):
        is_chain = line.startswith("chain ") and line.split()[1] in _BUILT_IN
        if line not in ("", "}") and not is_chain and not re.fullmatch(r"type .* policy accept;", line):
            return False
    return True


def _listed_counters(place: str, text: str) -> list[Counter]:
    chain, found = "", []
    for line in map(str.strip, text.splitlines()):
        if line.startswith("chain "):
            chain = line.split()[1]
        counted = _NFT_COUNTER.search(line)
        if counted and chain:
            rule = line[: counted.start()] + "counter" + line[counted.end() :]
            found.append(Counter(place, f"{chain}: {rule}", int(counted[1]), int(counted[2])))
    return found


def _run(*argv: str, check: bool = True) -> str:
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            env={**os.environ, "LC_ALL": "C"},
            timeout=60,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        raise SuiteError(f"there are rules here that only {argv[0]} lists, and it is not installed") from None
    if done.returncode and check:
        raise SuiteError(f"the suite's own {' '.join(argv)} failed: {done.stderr.strip()}")
    return done.stdout


def evidence(connections: str) -> Mapping[str, str]:
    """Return the rules, what they have counted, and the table of connections, as text by file name."""
    texts = {
        "rules.txt": "".join(f"# {place}\n{text}\n" for place, text in rules().items()),
        "counters.txt": "".join(f"{one.packets} {one.bytes} {one.place}: {one.rule}\n" for one in counters()),
        "connections.txt": connections,
    }
    return {name: text for name, text in texts.items() if text}
