"""The programs of iptables: finding them, running them, and waiting for the lock of others with a limit."""

from __future__ import annotations

import functools
import math
import os
import shutil
import time
from collections.abc import Collection
from dataclasses import dataclass

from refnet import process
from refnet.errors import CommandFailed, LockTimeout, ToolMissing
from refnet.firewall.iptables import failures, kernel

#: Debian's package that has the programs.
PACKAGE = "iptables"
_PAUSE = 0.02


@dataclass(frozen=True, slots=True)
class Tools:
    """The programs of one family and variant."""

    family: int
    #: "" for whatever is called ``iptables``, else "legacy" or "nft".
    variant: str = ""

    def program(self, job: str) -> str:
        """Return a program's name: ``iptables-nft-save`` for the job ``save``."""
        name = "iptables" if self.family == 4 else "ip6tables"
        return "-".join(part for part in (name, self.variant, job) if part)

    def is_there(self) -> bool:
        """Return whether the programs are installed."""
        return shutil.which(self.program("restore")) is not None

    def is_legacy(self) -> bool:
        """Return whether these are the variant with tables of its own in the kernel, and a lock."""
        return (self.variant or _variant(self.program("restore"))) == "legacy"

    def other(self) -> Tools:
        """Return the programs of the variant that these are not."""
        return Tools(self.family, "nft" if self.is_legacy() else "legacy")

    def may_have(self, prefix: str) -> bool:
        """Return whether chains whose names begin so may stand: what the kernel tells without a program."""
        if self.is_legacy():
            return kernel.has_legacy_chain(self.family, prefix)
        return kernel.has_nft_chain(kernel.FAMILIES[self.family], prefix)

    def save(self) -> str:
        """Return what stands in all tables that there are, with counters. Makes no table.

        Raises:
            ToolMissing, PermissionDenied, Unsupported, CommandFailed: what they say.
        """
        return self._run([self.program("save"), "-c"], None, 0.0)

    def list_chain(self, table: str, chain: str) -> str:
        """Return a chain's rules, with counters: of the nft variant also where it cannot list the table."""
        return self._run([self.program(""), "--table", table, "--verbose", "--list-rules", chain], None, 0.0)

    def restore(self, text: str, limit: float, keep: Collection[int] = ()) -> None:
        """Carry out ``text`` beside what stands; each table in it wholly or not at all. Rules can have counters.

        ``limit`` is in seconds, for the lock and for those who change rules at the same time; the legacy variant can
        only wait for whole seconds, at least one. ``keep`` are descriptors that the program inherits: it goes on
        holding their locks if this process is killed.

        Raises:
            LockTimeout: the lock was held all the time, or others changed the rules all the time.
            RuleError: a line was refused.
            ToolMissing, PermissionDenied, Unsupported, CommandFailed: what they say.
        """
        wait = str(max(1, math.ceil(limit)))
        argv = [self.program("restore"), "--noflush", "--wait", wait, *(["--counters"] if "\n[" in text else [])]
        self._run(argv, text, limit, keep)

    def _run(self, argv: list[str], text: str | None, limit: float, keep: Collection[int] = ()) -> str:
        deadline = time.monotonic() + limit
        while True:
            try:
                time_limit = process.DEFAULT_TIME_LIMIT + limit
                return process.run(argv, stdin=text, time_limit=time_limit, keep=keep).stdout
            except ToolMissing as missing:
                raise ToolMissing(
                    f"the program {missing.tool!r} is not installed (or not on PATH): install Debian's package "
                    f"{PACKAGE}, or choose another firewall",
                    tool=missing.tool,
                    errno=missing.errno,
                ) from None
            except CommandFailed as failed:
                if not failures.is_passing(failed):
                    raise failures.error(self.clearer(failed), text or "", self.family) from None
                if time.monotonic() >= deadline:
                    raise LockTimeout(
                        f"{argv[0]} met others who change rules for {limit:g} s: try again", detail=failed.detail
                    ) from None
            time.sleep(_PAUSE)

    def clearer(self, failed: CommandFailed) -> CommandFailed:
        """Return a failure that says why: iptables-legacy-restore does not tell what keeps it from a table."""
        table = failures.without_reason(failed)
        if table:
            try:
                process.run([self.program(""), "--table", table, "--list-rules"])
            except CommandFailed as clearer:
                return clearer
        return failed


def _variant(program: str) -> str:
    """Return "legacy" or "nft", as the program is now: update-alternatives(1) may change it at any time."""
    found = shutil.which(program)
    if found is None:
        return "nft"
    real = os.path.realpath(found)  # xtables-nft-multi or xtables-legacy-multi
    for variant in ("legacy", "nft"):
        if variant in os.path.basename(real):
            return variant
    return _said_variant(found, real, os.stat(real).st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _said_variant(program: str, real: str, changed: int) -> str:
    """Return what a program says that it is; its file and when that was ``changed`` tell it from another one."""
    said = process.run([program, "--version"], expect=range(256)).stdout
    return "nft" if "nf_tables" in said else "legacy"
