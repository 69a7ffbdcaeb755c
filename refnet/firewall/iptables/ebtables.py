"""Port guards and isolated addresses by ebtables: looking at what stands there, and writing what has changed."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Collection, Iterable
from pathlib import Path

from refnet import process
from refnet.errors import CommandFailed, LockTimeout, PermissionDenied, RefnetError, RuleError, ToolMissing, Unsupported
from refnet.firewall.capabilities import Capability
from refnet.firewall.iptables import chainnames, kernel
from refnet.firewall.iptables.guards import Chains, Jumps, commands, wanted
from refnet.firewall.layer2 import DhcpIsolation, PortGuard

#: Debian's package that has a program of the nft variant; the legacy one's is "ebtables".
_PACKAGE = "iptables"
_PAUSE = 0.02
_NO_TABLE = ("kernel doesn't support", "Address family not supported", "Protocol not supported")
_PASSING = ("lock", "Resource temporarily unavailable", "Interrupted system call", "Unable to update the kernel")


class Ebtables:
    """An owner's chains in ebtables's table nat, as they were last seen or written."""

    def __init__(self, owner: str) -> None:
        """Know nothing yet."""
        self.owner = owner
        self.chains: Chains = {}
        self.jumps: dict[str, list[str]] = {}

    def look(self, program: str = "ebtables") -> None:
        """Read what stands. No program is asked where the kernel has nothing.

        Raises:
            ToolMissing, PermissionDenied, CommandFailed: what they say.
        """
        self.chains, self.jumps = {}, {}
        if not (_has_legacy_table() if is_legacy(program) else self._has_nft_chain()):
            return
        try:
            printed = _run([program, "-t", "nat", "-L"])
        except Unsupported:
            return
        self.chains, self.jumps = read(printed, chainnames.prefix(self.owner))

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
        self._write("ebtables", chains, jumps, first, limit, keep)

    def remove(self, limit: float, keep: Collection[int] = ()) -> None:
        """Remove all of the owner's, by each variant of the tool that is here.

        Raises:
            ToolMissing, PermissionDenied, RuleError, LockTimeout, CommandFailed: what they say.
        """
        here = [one for one in ("ebtables", "ebtables-nft", "ebtables-legacy") if shutil.which(one)]
        if all(map(is_legacy, here)):
            here.append("ebtables-nft")  # which is missed only if it has something to remove
        for program in here:
            self.look(program)
            self._write(program, {}, {}, True, limit, keep)

    def _has_nft_chain(self) -> bool:
        return kernel.has_nft_chain(kernel.BRIDGE, chainnames.prefix(self.owner))

    def _write(
        self, program: str, chains: Chains, jumps: Jumps, first: bool, limit: float, keep: Collection[int]
    ) -> None:
        lines = commands(self.chains, self.jumps, chains, jumps, first=first)
        if not lines:
            return
        run(program, lines, limit, keep)
        self.chains = chains
        self.jumps = {built_in: [name] for built_in, name in jumps.items()}


def read(printed: str, prefix: str) -> tuple[Chains, dict[str, list[str]]]:
    """Return the owner's chains in what ``ebtables -L`` has printed, and the built-in chains that jump to one."""
    chains: dict[str, list[str]] = {}
    jumps: dict[str, list[str]] = {}
    name = ""
    for line in map(str.strip, printed.splitlines()):
        if line.startswith("Bridge chain: "):
            name = line.removeprefix("Bridge chain: ").partition(",")[0]
            if name.startswith(prefix):
                chains[name] = []
        elif name in chains and line.startswith("-"):
            chains[name].append(line.replace("-p S-TAG ", "-p 0x88a8 "))  # its name in /etc/ethertypes
        elif line.startswith(f"-j {prefix}") and " " not in line[3:]:
            jumps.setdefault(name, []).append(line[3:])
    return {name: tuple(lines) for name, lines in chains.items()}, jumps


def run(program: str, lines: list[str], limit: float, keep: Collection[int] = ()) -> None:
    """Carry out lines such as ``-A chain …`` in table nat: with the nft variant as one transaction, else one by one."""
    if not is_legacy(program):
        # In this file chains are made by a line of their own kind.
        text = [f":{line[3:]} ACCEPT" if line.startswith("-N ") else line for line in lines]
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
    if any(words in said for words in _PASSING):
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
