"""Wrong when something fails, is held up, or goes on at the same time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from conformance.mutants import mutant
from refnet.errors import KernelRefused, LockTimeout, PermissionDenied, RefnetError, TeardownFailed, ToolMissing
from refnet.firewall.manager import FirewallManager, Standing
from refnet.firewall.model import Table
from refnet.firewall.rules import Rule


@mutant(
    "swallows-errors",
    "says nothing when a tool fails",
    {
        "FF-04": "failed, and it has said nothing",
        "FF-06": "was not refused with PermissionDenied",
        "FF-07": "without tools, apply goes through",
    },
)
def swallows_errors(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def apply(self) -> None:
            with contextlib.suppress(RefnetError):
                super().apply()

    return Wrong


@mutant(
    "gives-up-after-failure",
    "takes an apply that has failed for done",
    {"FF-04": "failed, and the next apply went through"},
)
def gives_up(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def apply(self) -> None:
            try:
                super().apply()
            except RefnetError:
                self._synced, self._model.changes = True, {}
                raise

    return Wrong


@mutant(
    "teardown-begun-is-done",
    "takes a teardown that was begun for one that is done",
    {"FF-03": "after a kill at request 1 of teardown, and another teardown"},
)
def teardown_begun(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def _remove_all(self) -> None:
            begun = Path("/run/begun")
            if begun.exists():
                begun.unlink()
                return
            begun.touch()
            super()._remove_all()
            begun.unlink()

    return Wrong


@mutant("privilege-untyped", "lets the system's own error out", {"FF-06": "was not refused with PermissionDenied"})
def privilege_untyped(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def apply(self) -> None:
            try:
                super().apply()
            except PermissionDenied as error:
                raise PermissionError(str(error)) from error

    return Wrong


@mutant("tool-missing-untyped", "lets the system's own error out", {"FF-07": "let out a FileNotFoundError"})
def tool_missing_untyped(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def apply(self) -> None:
            try:
                super().apply()
            except ToolMissing as error:
                raise FileNotFoundError(error.tool) from error

    return Wrong


@contextlib.contextmanager
def _tools_lock(how: int) -> Iterator[None]:
    """Hold the lock that iptables' programs wait for (iptables(8): XTABLES_LOCKFILE)."""
    descriptor = os.open(os.environ.get("XTABLES_LOCKFILE", "/run/xtables.lock"), os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


@mutant("waits-for-ever", "waits for the tools' lock without a limit", {"FF-08": "did not end within 30 s"})
def waits_for_ever(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def apply(self) -> None:
            with _tools_lock(fcntl.LOCK_EX):
                pass
            super().apply()

    return Wrong


@mutant(
    "never-waits", "gives up at once if somebody holds the tools' lock", {"FF-09": "an apply that waited for a lock"}
)
def never_waits(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def apply(self) -> None:
            try:
                with _tools_lock(fcntl.LOCK_EX | fcntl.LOCK_NB):
                    pass
            except BlockingIOError:
                raise LockTimeout("somebody holds the lock") from None
            super().apply()

    return Wrong


@mutant("threads-overwrite", "adds rules by writing all of them again", {"FF-10": " threads"})
def threads_overwrite(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def add_rule(self, chain: str, rule: Rule, **options: Any) -> None:
            rules = (*self.rules(chain), rule)
            time.sleep(0.05)
            super().empty_chain(chain)
            for one in rules:
                super().add_rule(chain, one, **options)

    return Wrong


@mutant(
    "one-at-a-time",
    "fails when another process is at work",
    {"FF-11": "with owners of their own, some failed", "FF-12": "of two processes of one owner, some failed"},
)
def one_at_a_time(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def apply(self) -> None:
            _meet()
            super().apply()

    return Wrong


def _meet() -> None:
    """Fail in the second of two processes that come here; the first waits for it, however slow the machine is."""
    first, second = Path("/run/first"), Path("/run/second")
    try:
        first.touch(exist_ok=False)
    except FileExistsError:
        if first.read_text() not in ("", str(os.getpid())):
            second.touch()
            raise KernelRefused("somebody else is at work") from None
        return
    first.write_text(str(os.getpid()))
    deadline = time.monotonic() + 5
    while not second.exists() and time.monotonic() < deadline:
        time.sleep(0.01)


@mutant(
    "block-is-everybodys",
    "takes what other threads do meanwhile for a part of a deferred() block",
    {"FF-15": "after another thread's block has failed, the rules are"},
)
def block_is_everybodys(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        @contextlib.contextmanager
        def deferred(self) -> Iterator[None]:
            self._model.begin()
            self._in_block = True
            try:
                yield
            except BaseException:
                self._model.undo()
                raise
            finally:
                self._in_block = False
            self._model.end()
            self.apply()

    return Wrong


@mutant("teardown-gives-up", "removes nothing any more once that has failed", {"FF-16": "of teardown failed"})
def teardown_gives_up(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        has_failed = False

        def _remove_all(self) -> None:
            if not self.has_failed:
                try:
                    super()._remove_all()
                except RefnetError:
                    self.has_failed = True
                    raise

    return Wrong


@mutant(
    "teardown-without-tools-is-done",
    "takes what it has no tool to remove for removed",
    {"FF-07": "without tools, teardown goes through"},
)
def teardown_without_tools(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def _remove_all(self) -> None:
            try:
                super()._remove_all()
            except ToolMissing:
                pass
            except TeardownFailed as error:
                if not all(isinstance(one, ToolMissing) for one in error.errors):
                    raise

    return Wrong


@mutant(
    "fails-in-one-table",
    "leaves table nat changed when an apply fails",
    {"FF-04": "and table nat with a source of"},
)
def fails_in_one_table(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def apply(self) -> None:
            try:
                super().apply()
            except RefnetError:
                half = base(self.owner)
                with half.deferred():
                    for one in self.standing():
                        if one.table is not Table.NAT:
                            _take(half, one)
                    for table, name, hook in self.chains():
                        if table is Table.NAT:
                            _take(half, Standing(table, name, hook, self.rules(name, table=table)))
                raise

    return Wrong


def _take(manager: FirewallManager, chain: Standing) -> None:
    manager.add_chain(chain.name, hook=chain.hook, table=chain.table)
    for rule in chain.rules:
        if isinstance(rule, Rule):
            manager.add_rule(chain.name, rule, table=chain.table)
