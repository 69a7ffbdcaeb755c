"""Port guards and isolated addresses by ebtables: looking at what stands there, and writing what has changed."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

from refnet import process
from refnet.errors import CommandFailed, LockTimeout, PermissionDenied, RefnetError, RuleError, ToolMissing, Unsupported
from refnet.firewall.capabilities import Capability
from refnet.firewall.iptables import chainnames, kernel
from refnet.firewall.iptables.guards import Chains, FoundJumps, commands, wanted
from refnet.firewall.iptables.listing import whole_lines
from refnet.firewall.layer2 import DhcpIsolation, PortGuard

#: Debian's package that has a program of the nft variant; the legacy one's is "ebtables".
_PACKAGE = "iptables"
_PAUSE = 0.02
_NO_TABLE = ("kernel doesn't support the ebtables", "Address family not supported", "Protocol not supported")
_PASSING = ("obtain lock", "Resource temporarily unavailable", "Interrupted system call", "Unable to update the kernel")
_FAILURE = re.compile(r" failed \(([^)]*)\)")
_BUILT_IN = ("PREROUTING", "OUTPUT", "POSTROUTING")
_TARGET = re.compile(r"-j (\S+)$")
_TYPE = re.compile(r"^-p (\S+)")
_PROTOCOL = re.compile(r"(--ip6?-proto) (icmp|udp|ipv6-icmp)\b(?!-)")
_PROTOCOLS = {"icmp": 1, "udp": 17, "ipv6-icmp": 58}


class Found(NamedTuple):
    """What stands: own chains, built-in chains that jump to one, and whom others' rules want, with the first such."""

    chains: Chains
    jumps: FoundJumps
    wanted_by_others: dict[str, str]


class Ebtables:
    """An owner's chains in ebtables's table nat, as they were last seen or written."""

    def __init__(self, owner: str) -> None:
        """Know nothing yet."""
        self.owner = owner
        self.found = Found({}, {}, {})

    def look(self, limit: float, program: str = "ebtables") -> None:
        """Read what stands. No program is asked where the kernel has nothing.

        Raises:
            ToolMissing, PermissionDenied, LockTimeout, CommandFailed: what they say.
        """
        self.found = Found({}, {}, {})
        if not (_has_legacy_table() if is_legacy(program) else self._has_nft_chain()):
            return
        try:
            printed = _run([program, "-t", "nat", "-L"], limit=limit)
        except Unsupported:
            return
        self.found = read(printed, chainnames.prefix(self.owner))

    def commit(
        self,
        guards: Iterable[PortGuard],
        isolations: Iterable[DhcpIsolation],
        first: bool,
        limit: float,
        keep: Collection[int] = (),
    ) -> None:
        """Have these stand, and nothing else of the owner's; programs inherit the descriptors to ``keep``.

        Raises:
            ToolMissing, PermissionDenied, Unsupported, RuleError, LockTimeout, CommandFailed: what they say.
        """
        chains, jumps = wanted(self.owner, guards, isolations)
        found = self.found
        at_once = not is_legacy("ebtables")
        lines = commands(
            found.chains, found.jumps, chains, jumps, first=first, kept=found.wanted_by_others, at_once=at_once
        )
        if lines:
            run("ebtables", lines, limit, keep)
            self.found = Found(chains, {built_in: [name] for built_in, name in jumps.items()}, {})

    def remove(self, limit: float, keep: Collection[int] = ()) -> list[RefnetError]:
        """Remove all of the owner's, by each variant of the tool that is here; return why something has to stay.

        Raises:
            ToolMissing, PermissionDenied, RuleError, LockTimeout, CommandFailed: what they say.
        """
        here = [one for one in ("ebtables", "ebtables-nft", "ebtables-legacy") if shutil.which(one)]
        if all(map(is_legacy, here)):
            here.append("ebtables-nft")  # which is missed only if it has something to remove
        staying: dict[str, str] = {}
        for program in here:
            self.look(limit, program)
            found = self.found
            lines = commands(found.chains, found.jumps, {}, {}, first=True, kept=found.wanted_by_others)
            if lines:
                run(program, lines, limit, keep)
            staying |= {name: rule for name, rule in found.wanted_by_others.items() if name in found.chains}
        self.found = Found({}, {}, {})
        return [
            RuleError(f"chain {name} of ebtables is jumped to by somebody's rule {rule!r}: it stays, empty", rule=rule)
            for name, rule in staying.items()
        ]

    def _has_nft_chain(self) -> bool:
        return kernel.has_nft_chain(kernel.BRIDGE, chainnames.prefix(self.owner))


def read(printed: str, prefix: str) -> Found:
    """Return what ``ebtables -L`` has printed of an owner's."""
    chains: dict[str, list[str]] = {}
    jumps: FoundJumps = {}
    wanted_by_others: dict[str, str] = {}
    types = _ethertypes()
    name = ""
    for line in map(str.strip, whole_lines(printed)):
        if line.startswith("Bridge chain: "):
            name = line.removeprefix("Bridge chain: ").partition(",")[0]
            if name.startswith(prefix):
                chains[name] = []
        elif name in chains and line.startswith("-"):
            chains[name].append(_by_number(line, types))
        elif line.startswith("-"):
            match = _TARGET.search(line)
            target = match[1] if match and match[1].startswith(prefix) else None
            if target and (name not in _BUILT_IN or line != f"-j {target}"):
                wanted_by_others.setdefault(target, f"-A {name} {line}")
                target = None
            if name in _BUILT_IN:
                jumps.setdefault(name, []).append(target)
    return Found(
        {name: tuple(lines) for name, lines in chains.items()},
        {name: found for name, found in jumps.items() if any(found)},
        wanted_by_others,
    )


def _by_number(line: str, types: dict[str, str]) -> str:
    """Return a line with numbers for the names that the tool has found in the host's files."""
    line = _TYPE.sub(lambda match: f"-p {types.get(match[1], match[1])}", line)
    return _PROTOCOL.sub(lambda match: f"{match[1]} {_PROTOCOLS[match[2]]}", line)


def _ethertypes() -> dict[str, str]:
    """Return the numbers of protocols of layer 2 by the names that the tool prints for them: /etc/ethertypes."""
    found: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in Path("/etc/ethertypes").read_text(errors="replace").splitlines():
            match = re.match(r"(\S+)\s+([0-9A-Fa-f]+)\b", line)
            if match and line[0] != "#":
                found.setdefault(match[1], f"{int(match[2], 16):#x}")
    return found


def run(program: str, lines: list[str], limit: float, keep: Collection[int] = ()) -> None:
    """Carry out lines such as ``-A chain …`` in table nat: with the nft variant as one transaction, else one by one."""
    if not is_legacy(program):
        # In this file chains are made by a line of their own kind. RETURN is the one policy that takes no rule.
        text = [f":{line[3:]} RETURN" if line.startswith("-N ") else line for line in lines]
        _run([f"{program}-restore", "--noflush"], "\n".join(["*nat", *text, "COMMIT", ""]), limit, keep)
        return
    for line in lines:
        _run([program, "--concurrent", "-t", "nat", *line.split()], None, limit, keep)


def _run(argv: list[str], text: str | None = None, limit: float = 0.0, keep: Collection[int] = ()) -> str:
    deadline = time.monotonic() + limit
    while True:
        try:
            return process.run(argv, stdin=text, time_limit=process.DEFAULT_TIME_LIMIT + limit, keep=keep).stdout
        except ToolMissing as missing:
            raise ToolMissing(
                f"the program {missing.tool!r} is not installed (or not on PATH): install Debian's package {_PACKAGE}",
                tool=missing.tool,
                errno=missing.errno,
            ) from None
        except CommandFailed as failed:
            error = _error(failed, text)
            if not isinstance(error, LockTimeout) or time.monotonic() >= deadline:
                raise error from None
        time.sleep(_PAUSE)


def _error(failed: CommandFailed, text: str | None) -> RefnetError:
    said = " ".join(failed.stderr.split())  # one line
    program = failed.argv[0]
    if "Permission denied" in said or "must be root" in said or "Operation not permitted" in said:
        return PermissionDenied(
            f"{program} may not do this here: it takes CAP_NET_ADMIN in this network namespace", detail=said
        )
    if any(words in said for words in _NO_TABLE):
        return Unsupported(f"this kernel has nothing for {program}", capability=Capability.LAYER2, detail=said)
    # The nft variant writes even when it lists: the policies of all chains of all owners, which it keeps as rules. Of
    # two that do so at the same time, one does not find what it has read.
    if any(words in said for words in _PASSING) or set(_FAILURE.findall(said)) == {"No such file or directory"}:
        return LockTimeout(f"{program} met others who change rules all the time: try again", detail=said)
    if failed.status is None or not text:
        return failed
    return RuleError(f"{program} refuses the guards", rule=text, detail=said)


def is_legacy(program: str) -> bool:
    """Return whether this is the variant that writes one line at a time."""
    found = shutil.which(program)
    return found is not None and "nft" not in os.path.basename(os.path.realpath(found))


def _has_legacy_table() -> bool:
    """Return whether the kernel may have the legacy variant's table: asking its tool for it would load it."""
    try:
        if "ebtable_nat " in Path("/proc/modules").read_text():
            return True
        built_in = Path("/lib/modules", os.uname().release, "modules.builtin")
        return "/ebtable_nat.ko" in built_in.read_text()
    except OSError:
        return not Path("/proc/modules").exists()  # then it loads none
