"""Runs nft and turns what it says into refnet's errors."""

from __future__ import annotations

import errno
import json
import re
import time
from collections.abc import Collection
from typing import Any, NoReturn

from refnet import process
from refnet.errors import (
    CommandFailed,
    KernelRefused,
    LockTimeout,
    PermissionDenied,
    RefnetError,
    RuleError,
    ToolMissing,
    Unsupported,
)
from refnet.firewall.capabilities import Capability, needs
from refnet.firewall.nftables import kernel
from refnet.firewall.nftables.listing import Json, Listing, listing
from refnet.firewall.rules import Rule

#: Seconds that nft gets at least: it writes 20,000 rules in less than one.
_TIME_LIMIT = 120.0
_POLL = 0.02
#: How often a table is read that somebody changes all the time; then nft's word, which is of one moment, is taken.
_READINGS = 5

_NO_JSON = "what nft printed is not its JSON (libnftables-json(5))"
_PLACE = re.compile(r"^\S*?:([0-9]+):[0-9]+-[0-9]+: Error: (.*)$", re.MULTILINE)
_BUSY = ("Interrupted system call", "Resource temporarily unavailable")
_FORBIDDEN = ("Operation not permitted", "Permission denied")
_LACKING = ("Operation not supported", "Protocol not supported", "Address family not supported")
_GONE = "No such file or directory"
#: What is to be made is there, or what is to be deleted is used: by what somebody else has put into the table.
_OTHERWISE = ("File exists", "Device or resource busy", "Resource busy")
_CRASHED = (
    "(nft crashed, as old ones do over what a newer nft has made, in this owner's table or in another: "
    "see whether 'nft list ruleset' crashes as well, and install a newer one)"
)
_TOO_LARGE = "Message too long"
_TOO_DEEP = "Too many links"


class Gone(Exception):
    """What a change builds on is not there or is otherwise: by somebody else's doing, or the kernel lacks a part."""

    def __init__(self, error: RefnetError) -> None:
        """Keep what to say if it is not the host."""
        super().__init__(str(error))
        self.error = error


class Script:
    """Commands for one transaction, and the rule that each is about, for messages."""

    def __init__(self) -> None:
        """Start without commands."""
        self.lines: list[str] = []
        self._rules: dict[int, Rule] = {}

    def add(self, line: str, rule: Rule | None = None) -> None:
        """Add a command."""
        self.lines.append(line)
        if rule is not None:
            self._rules[len(self.lines)] = rule

    def rule(self, number: int) -> Rule | None:
        """Return the rule that a line, counted from 1, is about."""
        return self._rules.get(number)

    def text(self) -> str:
        """Return what nft reads."""
        return "\n".join(self.lines) + "\n"


def run(script: Script, *, wait: float, keep: Collection[int] = (), check: bool = False) -> None:
    """Have nft do all of a script, or nothing. ``check``: ask the kernel whether it would, and change nothing.

    ``wait`` is how long to try again while somebody else changes nftables all the time, in seconds.

    Raises:
        Gone: something that the script refers to is not there.
        RuleError, Unsupported, PermissionDenied, ToolMissing, LockTimeout, CommandFailed: what they say.
    """
    argv = ["nft", *(["--check"] if check else []), "--file", "-"]
    deadline = time.monotonic() + wait
    while True:
        try:
            _nft(argv, stdin=script.text(), keep=keep)
            return
        except CommandFailed as error:
            if not _says(error, *_BUSY):
                _explain(error, script)
            if time.monotonic() >= deadline:
                raise LockTimeout(
                    f"nftables was busy for {wait:g} s: others change its rules all the time", detail=error.detail
                ) from None
        time.sleep(_POLL)


def table(name: str) -> Listing | None:
    """Read the table of family inet by that name; None: there is none.

    Raises:
        CommandFailed: nft cannot say what is in it; older ones crash over what newer tools have made.
        PermissionDenied, Unsupported, ToolMissing, KernelRefused, NoAnswer: what they say.
    """
    seen: object = None
    try:
        for _ in range(_READINGS):
            document = _json(["list", "table", "inet", name])
            try:
                found = listing(document)
                said = {chain: [one["handle"] for one in rules] for chain, rules in found.rules.items() if rules}
                numbers = kernel.numbers(name)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise CommandFailed(["nft", "--json"], 0, "", f"{_NO_JSON}: {error!r}") from None
            if said == numbers:
                break
            if (said, numbers) == seen:  # it is not that somebody changes the table meanwhile
                found.complete(numbers)
                break
            seen = said, numbers
        return found
    except CommandFailed as error:
        if _says(error, _GONE):
            return None
        _explain(error, Script())


def words(name: str) -> dict[int, str]:
    """Return each rule of the table in nft's own words, by handle."""
    said = _nft(["nft", "--numeric", "--handle", "list", "table", "inet", name]).stdout
    found = (re.fullmatch(r"\t\t(.*) # handle ([0-9]+)", line) for line in said.splitlines())
    return {int(match[2]): match[1] for match in found if match}


def _json(command: list[str]) -> Json:
    said = _nft(["nft", "--json", "--numeric", "--handle", *command])
    try:
        found: Any = json.loads(said.stdout or '{"nftables": []}')
    except ValueError:
        raise CommandFailed(said.argv, 0, said.stdout[:500], "what nft printed is no JSON") from None
    if not isinstance(found, dict) or not isinstance(found.get("nftables"), list):
        raise CommandFailed(said.argv, 0, said.stdout[:500], _NO_JSON)
    return found


def _nft(argv: list[str], *, stdin: str | None = None, keep: Collection[int] = ()) -> process.Completed:
    try:
        return process.run(argv, stdin=stdin, time_limit=_TIME_LIMIT, keep=keep)
    except ToolMissing as error:
        raise ToolMissing(
            "the program 'nft' is not installed (or not on PATH): install it (Debian's package nftables)",
            tool="nft",
            errno=error.errno,
        ) from None
    except CommandFailed as error:
        if error.status is None or error.status >= 0:
            raise
        raise CommandFailed(error.argv, error.status, error.stdout, f"{error.stderr.strip()} {_CRASHED}") from None


def _says(error: CommandFailed, *words: str) -> bool:
    """Say whether nft's message has one of these words: the message, not the command that it shows below it."""
    messages = [match[2] for match in _PLACE.finditer(error.stderr)] or [error.stderr]
    return any(word in message for message in messages for word in words)


def _explain(error: CommandFailed, script: Script) -> NoReturn:
    """Raise what nft meant."""
    place = _PLACE.search(error.stderr)
    number = int(place[1]) if place else 0
    rule = script.rule(number)
    line = script.lines[number - 1] if 0 < number <= len(script.lines) else ""
    message = place[2] if place else error.stderr.strip().partition("\n")[0]
    about = f": {rule!r}" if rule is not None else f": {line}" if line else ""
    if _says(error, *_FORBIDDEN):
        raise PermissionDenied(
            "to change nftables a process needs CAP_NET_ADMIN in its network namespace: run it as root"
            + (", and see that no other program keeps the table for itself (nft's flag 'owner')" if place else ""),
            detail=message,
        ) from None
    if _says(error, _TOO_LARGE):
        raise KernelRefused(
            "this change is too large for nft's socket, which it may not enlarge in a user namespace: apply less at "
            "once, or have net.core.wmem_default and net.core.wmem_max raised on the host",
            errno=errno.EMSGSIZE,
            detail=message,
        ) from None
    if _says(error, _TOO_DEEP):
        raise RuleError(
            "rules lead from chain to chain further than the kernel follows them: through 15 chains",
            rule=line,
            detail=message,
        ) from None
    if _says(error, *_LACKING):
        raise _lacking(rule, about, message) from None
    if _says(error, _GONE):
        raise Gone(_lacking(rule, about, message)) from None
    refused: RefnetError = error
    if place:
        refused = RuleError(f"nft refuses a {'rule' if rule else 'command'}{about}", rule=line, detail=message)
    if _says(error, *_OTHERWISE):
        raise Gone(refused) from None
    raise refused from None


def _lacking(rule: Rule | None, about: str, message: str) -> Unsupported:
    capability = next(iter(needs(rule)), Capability.FILTER) if rule is not None else Capability.FILTER
    return Unsupported(f"the kernel lacks what nft needs for this{about}", capability=capability, detail=message)
