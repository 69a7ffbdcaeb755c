"""What iptables says when it fails, as refnet's errors."""

from __future__ import annotations

import re

from refnet.errors import CommandFailed, LockTimeout, PermissionDenied, RefnetError, RuleError, Unsupported
from refnet.firewall.capabilities import Capability

_LINE = re.compile(r"line:? (\d+)")
_NOT_ALLOWED = ("Permission denied", "Operation not permitted", "you must be root", "Read-only file system")
#: XTABLES_LOCKFILE may name another one than usual.
_LOCK = re.compile(r"Can't lock (/\S+):")
_LACKING = re.compile(
    r"Extension (\S+) revision \d+ not supported"
    r"|Couldn't load (?:match|target) `([^'.]+)'"
    r"|(?:match|target) `?(\w+)'? (?:is )?not supported"
)
_NO_TABLE = re.compile(r"can't initialize ip6?tables table `(\w+)'")
_SILENT = re.compile(r"unable to initialize table '(\w+)'")
_NO_FAMILY = ("Address family not supported", "Protocol not supported", "Could not fetch rule set generation id")
#: What the kernel's nft says when another has changed rules at the same time.
_PASSING = ("Resource temporarily unavailable", "Interrupted system call", "generation changed")

_CAPABILITIES = {
    "conntrack": Capability.CONNECTION_STATE,
    "limit": Capability.RATE_LIMIT,
    "LOG": Capability.LOG,
    "mark": Capability.MARK,
    "MARK": Capability.MARK,
    "mac": Capability.SOURCE_MAC,
    "CHECKSUM": Capability.CHECKSUM_FILL,
    "SNAT": Capability.NAT,
    "DNAT": Capability.NAT,
    "MASQUERADE": Capability.NAT,
    "REDIRECT": Capability.NAT,
}


def is_passing(failed: CommandFailed) -> bool:
    """Return whether the same may go well in a moment."""
    return "xtables lock" not in failed.stderr and any(words in failed.stderr for words in _PASSING)


def without_reason(failed: CommandFailed) -> str | None:
    """Return the table that could not be had, where it is not said why."""
    match = _SILENT.search(failed.stderr)
    return match[1] if match else None


def error(failed: CommandFailed, text: str, family: int) -> RefnetError:
    """Return what a failure of iptables-restore with this input, or of iptables-save, means."""
    said = " ".join(failed.stderr.split())  # one line
    program = failed.argv[0]
    if "xtables lock" in said or "xtables.lock: Resource" in said:
        lock = _LOCK.search(said)
        path = lock[1] if lock else "/run/xtables.lock"
        return LockTimeout(
            f"another program held the xtables lock all the time: find it with 'fuser -v {path}' ({said})"
        )
    if any(words in said for words in _NOT_ALLOWED):
        return PermissionDenied(
            f"{program} may not do this here: it takes CAP_NET_ADMIN in this network namespace, and the legacy variant "
            "CAP_NET_RAW and a /run that it can write",
            detail=said,
        )
    if "Parsing nftables rule failed" in said:
        return Unsupported(
            f"{program} cannot read what somebody has written with nft into its tables, before this owner's rules; "
            "'nft list ruleset' shows it: have it behind them, or choose the firewall nftables",
            capability=Capability.FILTER,
            detail=said,
        )
    table = _NO_TABLE.search(said)
    if table or any(words in said for words in _NO_FAMILY):
        return _no_table(program, table[1] if table else "", family, said)
    lacking = _LACKING.search(said)
    if lacking:
        name = next(one for one in lacking.groups() if one)
        return Unsupported(
            f"this kernel, or {program}, has no {name}",
            capability=_CAPABILITIES.get(name, Capability.FILTER),
            detail=said,
        )
    line = _line(said, text)
    if line is not None:
        return RuleError(f"{program} refuses {line!r}", rule=line, detail=said)
    return failed


def _no_table(program: str, table: str, family: int, said: str) -> Unsupported:
    if table == "nat":
        capability = Capability.NAT if family == 4 else Capability.NAT_IPV6
    else:
        capability = Capability.FILTER if family == 4 else Capability.FIREWALL_IPV6
    what = f"table {table}" if table else "packet filter of this kind"
    return Unsupported(f"this kernel has no {what} for {program}", capability=capability, detail=said)


def _line(said: str, text: str) -> str | None:
    """Return the line of the input that a failure is about."""
    lines = text.splitlines()
    numbers = [int(number) for number in _LINE.findall(said)]
    named = [lines[number - 1] for number in numbers if 0 < number <= len(lines)]
    if not named:
        return None
    found = next((one for one in named if one != "COMMIT"), None)
    if found:
        return found
    # The kernel has refused the table as a whole, and does not say for which rule.
    rules = [one for one in _section(lines, numbers[0]) if one.startswith(("-A", "-I", "["))]
    return rules[0] if len(rules) == 1 else f"one of {len(rules)} rules of {lines[_start(lines, numbers[0])]!r}"


def _section(lines: list[str], end: int) -> list[str]:
    return lines[_start(lines, end) : end]


def _start(lines: list[str], end: int) -> int:
    return max((at for at in range(end) if lines[at].startswith("*")), default=0)
