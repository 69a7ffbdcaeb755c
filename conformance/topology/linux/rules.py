"""Somebody else's rules on Linux, made and flushed with the system's own tools, and the table of connections."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import shutil
from pathlib import Path

from conformance.errors import SuiteError
from conformance.topology.linux.endpoints import LinuxStack

_FAMILIES = ("iptables", "ip6tables")
#: What of an entry changes by itself.
_RESTLESS = re.compile(r" (packets|bytes|use|delta-time)=\d+")
#: Names of chains have 28 bytes at most (iptables(8)).
_MOST = 28


def make_foreign(stack: LinuxStack, owner: str) -> None:
    """Make rules of somebody else's that let everything pass, with all programs that are here.

    The owner's name begins with a letter: it is made part of other names.
    """
    for program in _programs(stack):
        stack.run(f"{program}-restore", "-n", stdin=_iptables(program, owner))
    if shutil.which("ebtables-nft"):
        for words in _ebtables(owner):
            stack.run("ebtables-nft", *words)
    if shutil.which("nft"):
        stack.run("nft", "-f", "-", stdin="\n".join(_nft(owner)))


def unmake_foreign(stack: LinuxStack, owner: str) -> None:
    """Take away what is left of them, one by one: somebody may have taken some."""
    for program in _programs(stack):
        for table, line in _lines(owner):
            words = line.split(" --comment ")
            comment = ["--comment", words[1].strip('"')] if len(words) > 1 else []
            if line.startswith("-A "):
                _try(stack, program, "-t", table, "-D", *words[0].split()[1:], *comment)
        for table, line in _lines(owner):
            if line.startswith(":"):
                _try(stack, program, "-t", table, "-X", line[1:].split()[0])
    if shutil.which("ebtables-nft"):
        for words in reversed(_ebtables(owner)):
            _try(stack, "ebtables-nft", *({"-A": "-D", "-N": "-X"}.get(word, word) for word in words))
    if shutil.which("nft"):
        for table in _tables(owner):
            _try(stack, "nft", "delete", "table", *table.split())


def flush(stack: LinuxStack) -> None:
    """Flush all rules, delete all chains and sets, and let everything pass."""
    for family, program in zip(("ip", "ip6"), _FAMILIES, strict=True):
        with stack.entered():
            # Reading makes no table, where listing rules would.
            names = _read(f"/proc/thread-self/net/{family}_tables_names").split()
        for table in names:
            legacy = f"{program}-legacy"
            listed = stack.run(f"{legacy}-save", "-t", table)
            heads = [line.split() for line in listed.splitlines() if line.startswith(":")]
            built_in = "".join(f"{chain} ACCEPT [0:0]\n" for chain, policy, *_ in heads if policy != "-")
            # Without "-n", it takes the place of all that is there.
            stack.run(f"{legacy}-restore", stdin=f"*{table}\n{built_in}COMMIT\n")
    if shutil.which("nft"):
        stack.run("nft", "flush", "ruleset")


def connections(address: str) -> list[str]:
    """Return the entries of the calling thread's table of connections that have to do with an address."""
    wanted = ipaddress.ip_address(address)
    found = []
    for line in _read("/proc/thread-self/net/nf_conntrack").splitlines():
        words = line.split()
        ends = [word.partition("=")[2] for word in words if word.startswith(("src=", "dst="))]
        if wanted in map(ipaddress.ip_address, ends):
            # The fifth word is the time that is left.
            found.append(_RESTLESS.sub("", " ".join([*words[:4], *words[5:]])))
    return sorted(found)


def _programs(stack: LinuxStack) -> list[str]:
    """Return the programs of iptables that are here and have a kernel for them."""
    found = []
    for family in _FAMILIES:
        for variant in ("legacy", "nft"):
            if shutil.which(f"{family}-{variant}-restore"):
                found.append(f"{family}-{variant}")
    return found


def _lines(owner: str) -> list[tuple[str, str]]:
    """Return chains and rules of iptables-restore, of either family, each with its table."""
    chain = f"theirs-{owner}"[:_MOST]
    alike = f"{owner}x"[:_MOST]
    return [
        ("filter", f":{chain} - [0:0]"),
        ("filter", f":{alike} - [0:0]"),
        ("filter", f'-A INPUT -p tcp --dport 2222 -j {chain} -m comment --comment "not of {owner}, of somebody else"'),
        ("filter", f'-A FORWARD -m mark --mark 0x1234 -j ACCEPT -m comment --comment "{owner}"'),
        ("filter", f"-A FORWARD -j {chain}"),
        # Without a target: whoever looks for one finds that of the comment.
        ("filter", f'-A FORWARD -p udp --dport 2224 -m comment --comment "see -j {owner}.filter-forward too"'),
        ("filter", f"-A OUTPUT -j {alike}"),
        ("filter", f'-A {chain} -p udp --dport 2222 -j RETURN -m comment --comment "{owner}-INPUT"'),
        ("filter", f"-A {chain} -p udp --dport 2223 -j RETURN"),
        ("filter", f'-A {alike} -j RETURN -m comment --comment "not -j {owner}.filter-input or so"'),
        ("nat", f":{alike} - [0:0]"),
        ("nat", f'-A PREROUTING -p tcp --dport 2222 -j {alike} -m comment --comment "for {owner}"'),
        ("nat", "-A POSTROUTING -m mark --mark 0x1234 -j ACCEPT"),
        ("mangle", f'-A PREROUTING -m mark --mark 0x1234 -j MARK --set-xmark 0x1/0x1 -m comment --comment "{owner}"'),
    ]


def _iptables(program: str, owner: str) -> str:
    text = ""
    for table in ("filter", "nat", "mangle"):
        lines = [line for where, line in _lines(owner) if where == table]
        text += "\n".join([f"*{table}", *lines, "COMMIT", ""])
    return text


def _ebtables(owner: str) -> list[list[str]]:
    chain = f"theirs-{owner}"[:_MOST]
    return [
        ["-N", chain],
        ["-A", chain, "-p", "0x88b6", "-j", "RETURN"],
        ["-A", "FORWARD", "-p", "0x88b6", "-j", chain],
    ]


def _tables(owner: str) -> list[str]:
    return [f"inet {owner}x", f"ip theirs-{owner}", f"bridge refnet-{owner}x", f"netdev {owner}x"]


def _nft(owner: str) -> list[str]:
    inet, ip, bridge, netdev = _tables(owner)
    hook = "type filter hook forward priority 7; policy accept;"
    return [
        f'add table {inet} {{ comment "not of {owner}"; }}',
        f'add set {inet} {owner} {{ type ipv4_addr; flags interval; comment "{owner}"; }}',
        f"add element {inet} {owner} {{ 203.0.113.0/25, 192.0.2.7 }}",
        f"add chain {inet} forward {{ {hook} }}",
        f'add rule {inet} forward ip saddr @{owner} counter accept comment "{owner}"',
        f'add rule {inet} forward meta mark 0x1234 accept comment "{owner}-forward"',
        f"add table {ip}",
        f"add chain {ip} {owner}",
        f"add rule {ip} {owner} udp dport 2222 return",
        f"add table {bridge}",
        f"add chain {bridge} forward {{ {hook} }}",
        f"add rule {bridge} forward ether type 0x88b6 accept",
        f"add table {netdev}",
        f"add chain {netdev} {owner}",
        f'add rule {netdev} {owner} meta mark 0x1234 accept comment "{owner}"',
        "",
    ]


def _try(stack: LinuxStack, *argv: str) -> None:
    with contextlib.suppress(SuiteError):
        stack.run(*argv)


def _read(path: str) -> str:
    # What no module is loaded for has no file.
    with contextlib.suppress(FileNotFoundError):
        return Path(path).read_text()
    return ""
