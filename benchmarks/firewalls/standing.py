"""What stands on the host: that all contenders of a tool made the same is looked up, outside of what is timed."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections import defaultdict

from benchmarks.firewalls import OWNER
from benchmarks.firewalls.with_nft import TABLE

_CHAIN = r"(guests|deny[0-9]+|i[0-9]+)"
_IPTABLES_RULE = re.compile(rf"-A {OWNER}[.-]{_CHAIN} (.*)")
_IPTABLES_NAME = re.compile(rf"\b{OWNER}[.-](?={_CHAIN})")
_NFT_CHAIN = re.compile(rf"\tchain filter\.{_CHAIN} {{")
_NFT_COMMENT = re.compile(r' comment "[^"]*"$')


def found(tool: str) -> tuple[int, str]:
    """Return how many rules stand in the workload's chains, and a digest of them in their order."""
    rules = _nft() if tool == "nftables" else _iptables(tool)
    text = "\n".join(f"{chain} {line}" for chain in sorted(rules) for line in rules[chain])
    return sum(map(len, rules.values())), hashlib.sha256(text.encode()).hexdigest()


def _iptables(variant: str) -> dict[str, list[str]]:
    rules: dict[str, list[str]] = defaultdict(list)
    for line in _run(f"iptables-{variant}-save", "-t", "filter"):
        match = _IPTABLES_RULE.match(line)
        if match:
            rules[match[1]].append(_IPTABLES_NAME.sub("", match[2]))
    return rules


def _nft() -> dict[str, list[str]]:
    rules: dict[str, list[str]] = defaultdict(list)
    chain = None
    for line in _run("nft", "-n", "list", "table", *TABLE.split()):
        if line.startswith("\tchain"):
            match = _NFT_CHAIN.match(line)
            chain = match[1] if match else None
        elif chain and line.startswith("\t\t"):
            rules[chain].append(_NFT_COMMENT.sub("", line.strip()))
    return rules


def _run(*argv: str) -> list[str]:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()
