"""What an administrator does to an owner's rules with the system's own tools, whichever of them wrote the rules.

Of Linux only: elsewhere no single rule can be taken out of a set by a tool.
"""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Iterator

from conformance.errors import SuiteError
from conformance.topology.sandbox import Sandbox

_IPTABLES = ("iptables-legacy", "iptables-nft", "ip6tables-legacy", "ip6tables-nft")


def remove_rules(net: Sandbox, port: int) -> None:
    """Remove the rules of the filter that are about a port.

    Raises:
        SuiteError: there are none.
    """
    found = 0
    for program in _installed(net):
        for words in _rules_of(net, program, port):
            net.run(program, "-D", *words[1:])
            found += 1
    for rule in _nft_rules(net, port):
        place = (rule["family"], rule["table"], rule["chain"])
        net.run("nft", "delete", "rule", *place, "handle", str(rule["handle"]))
        found += 1
    if not found:
        raise SuiteError(f"there are no rules about port {port} that could be removed")


def accept_before(net: Sandbox, port: int) -> None:
    """Put a rule that accepts all before the rules of the filter that are about a port.

    Raises:
        SuiteError: there are none.
    """
    found = 0
    for program in _installed(net):
        for words in _rules_of(net, program, port):
            net.run(program, "-I", words[1], "1", "-j", "ACCEPT")
            found += 1
    for rule in _nft_rules(net, port):
        net.run("nft", "insert", "rule", rule["family"], rule["table"], rule["chain"], "accept")
        found += 1
    if not found:
        raise SuiteError(f"there are no rules about port {port} that could be preceded")


def _installed(net: Sandbox) -> list[str]:
    return [program for program in _IPTABLES if net.run("sh", "-c", f"command -v {program} || true").strip()]


def _rules_of(net: Sandbox, program: str, port: int) -> list[list[str]]:
    """Return the words of the rules about a port, as iptables-save tells them: -A, the chain, and the rest."""
    lines = net.run(f"{program}-save", "-t", "filter").splitlines()
    split = [shlex.split(line) for line in lines if line.startswith("-A ")]
    return [words for words in split if str(port) in words]


def _nft_rules(net: Sandbox, port: int) -> list[dict[str, str]]:
    """Return nft's own rules about a port; those that iptables-nft has written are its own."""
    if not net.run("sh", "-c", "command -v nft || true").strip():
        return []
    listed = json.loads(net.run("nft", "-j", "-a", "list", "ruleset"))["nftables"]
    rules = [one["rule"] for one in listed if "rule" in one]
    return [one for one in rules if one["family"] == "inet" and str(port) in json.dumps(one["expr"])]


def double_rules(net: Sandbox, port: int) -> None:
    """Have the rules of the filter that are about a port stand twice, at the end of their chains as well.

    Raises:
        SuiteError: there are none.
    """
    found = 0
    for program in _installed(net):
        for words in _rules_of(net, program, port):
            net.run(program, *words)
            found += 1
    for rule in _nft_rules(net, port):
        copy = {key: rule[key] for key in ("family", "table", "chain", "expr", "comment") if key in rule}
        net.run("nft", "-j", "-f", "-", stdin=json.dumps({"nftables": [{"add": {"rule": copy}}]}))
        found += 1
    if not found:
        raise SuiteError(f"there are no rules about port {port} that could be doubled")


@contextlib.contextmanager
def accepted_before(net: Sandbox, port: int) -> Iterator[None]:
    """Have rules of somebody else's that accept what goes to a port come first, at hook forward, for a while."""
    words = ["-p", "udp", "--dport", str(port), "-j", "ACCEPT"]
    programs = [program for program in _installed(net) if program.startswith("iptables")]
    for program in programs:
        net.run(program, "-I", "FORWARD", "1", *words)
    try:
        yield
    finally:
        for program in programs:
            net.run(program, "-D", "FORWARD", *words)
