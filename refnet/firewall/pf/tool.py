"""pfctl(8): the one way to pf. Every call of it is here, and what it says is told apart here."""

from __future__ import annotations

import re
import time

from refnet import process
from refnet.errors import CommandFailed, KernelRefused, LockTimeout, PermissionDenied, RuleError, Unsupported
from refnet.firewall.manager import Capability

_PFCTL, _IFCONFIG, _SYSCTL = "/sbin/pfctl", "/sbin/ifconfig", "/sbin/sysctl"
#: Loading takes pfctl some milliseconds a rule on a slow machine.
_TIME_LIMIT, _TIME_PER_LINE = 60.0, 0.05
_ANY = range(256)
#: What pfctl says to whatever it is asked, on a kernel without ALTQ.
_CHATTER = ("No ALTQ support in kernel", "ALTQ related functions disabled")
_PAUSE = 0.05
#: strerror(3) of EBUSY.
_BUSY = "Device busy"
_AT_LINE = re.compile(r"^stdin:(\d+): (.*)$", re.MULTILINE)
_KILLED = re.compile(r"killed (\d+) states")
#: Devices that translate nothing: the loopback ones, and those that packets are only shown by.
_OF_THE_SYSTEM = re.compile(r"(lo|pflog|pfsync|enc)[0-9]+")


class Pfctl:
    """Runs pfctl; ``lock_time_limit`` is how long others may keep pf busy, in seconds."""

    def __init__(self, lock_time_limit: float) -> None:
        """Keep the limit."""
        self.lock_time_limit = lock_time_limit

    def ask(self, *arguments: str) -> str:
        """Return what pfctl prints, "" of what is not there.

        Raises:
            LockTimeout: others have been loading all the time, so that nothing could be read to its end.
            PermissionDenied, Unsupported, ToolMissing, CommandFailed: what they say.
        """
        return self._when_free(arguments).stdout

    def load(self, anchor: str, text: str, keep: tuple[int, ...]) -> None:
        """Replace what is in an anchor, and in those that it has in braces, by what the text says: all of it at once.

        Raises:
            RuleError: a line is refused; nothing has changed.
            LockTimeout: others have been loading all the time; nothing has changed.
        """
        # Its optimizer would merge rules, and move them: they would not count by themselves any more.
        self._when_free(("-o", "none", "-a", anchor, "-f", "-"), text, keep)

    def empty(self, anchor: str, keep: tuple[int, ...] = ()) -> None:
        """Remove all rules of an anchor, of every kind and at once. One without rules goes by itself."""
        self.load(anchor, "", keep)

    def kill(self, *arguments: str) -> int:
        """Remove states, and return how many."""
        match = _KILLED.search(self._run(arguments).stderr)
        return int(match[1]) if match else 0

    def enable(self) -> None:
        """Switch pf on; if it is on, leave it."""
        result = process.run([_PFCTL, "-e"], expect=_ANY, time_limit=_TIME_LIMIT)
        words = _words(result)
        if result.status and "already enabled" not in words:
            raise _error(result, words, "")

    def is_enabled(self) -> bool:
        """Whether pf is switched on."""
        result = process.run([_PFCTL, "-s", "Running"], expect=_ANY, time_limit=_TIME_LIMIT)
        said = result.stdout.strip()
        if said not in ("Enabled", "Disabled"):
            raise _error(result, _words(result), "")
        return said == "Enabled"

    def _when_free(
        self, arguments: tuple[str, ...], text: str | None = None, keep: tuple[int, ...] = ()
    ) -> process.Completed:
        deadline = time.monotonic() + self.lock_time_limit
        while True:
            try:
                return self._run(arguments, text, keep)
            except _Busy as busy:
                if time.monotonic() >= deadline:
                    raise LockTimeout(
                        f"others have been loading rules into pf for {self.lock_time_limit:g} s", detail=str(busy)
                    ) from None
            time.sleep(_PAUSE)

    def _run(
        self, arguments: tuple[str, ...], text: str | None = None, keep: tuple[int, ...] = ()
    ) -> process.Completed:
        limit = _TIME_LIMIT + _TIME_PER_LINE * (text or "").count("\n")
        result = process.run([_PFCTL, *arguments], stdin=text, expect=_ANY, time_limit=limit, keep=keep)
        words = _words(result)
        # Asked for rules that somebody replaces meanwhile, pfctl prints some of them, and ends as if that were all.
        if result.status or "/dev/pf" in words or _BUSY in words:
            raise _error(result, words, text or "")
        return result


class _Busy(CommandFailed):
    """Somebody else has begun to load rules, or has loaded them, in between (EBUSY)."""


def devices() -> list[str]:
    """Return the devices of this host that can have addresses of their own, but the loopback ones."""
    return [name for name in process.run([_IFCONFIG, "-l"]).stdout.split() if not _OF_THE_SYSTEM.fullmatch(name)]


def has_ipv6() -> bool:
    """Whether this kernel has IPv6."""
    return process.run([_SYSCTL, "-n", "kern.features.inet6"], expect=_ANY).stdout.strip() == "1"


def _words(result: process.Completed) -> str:
    lines = [line.strip() for line in result.stderr.splitlines()]
    return "; ".join(line for line in lines if line and line not in _CHATTER)


def _error(result: process.Completed, words: str, text: str) -> Exception:
    if "Permission denied" in words or "Operation not permitted" in words:
        return PermissionDenied("pf may be changed and looked at by root only", detail=words)
    if "/dev/pf" in words:
        return Unsupported(
            "there is no /dev/pf here: load pf with 'kldload pf' (and pf_load=\"YES\" in /boot/loader.conf); into a "
            "jail, the host has to let it (devfs.rules(5))",
            capability=Capability.FILTER,
            detail=words,
        )
    if _BUSY in words:
        return _Busy(result.argv, result.status, result.stdout, result.stderr)
    refused = _AT_LINE.search(result.stderr)
    if refused:
        lines = text.splitlines()
        at = int(refused[1])
        rule = lines[at - 1].strip() if 0 < at <= len(lines) else ""
        return RuleError(f"pf refuses {rule!r}: {refused[2]}; nothing has changed", rule=rule, detail=words)
    if "Cannot allocate memory" in words:
        return KernelRefused("the kernel has no memory for these rules; nothing has changed", detail=words)
    return CommandFailed(result.argv, result.status, result.stdout, result.stderr)
