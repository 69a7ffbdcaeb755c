"""Wrong about guards when they are changed, looked at again, left by somebody, or taken down."""

from __future__ import annotations

import contextlib
import time
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

from conformance.mutants import mutant
from refnet import process
from refnet.errors import RefnetError
from refnet.firewall.layer2 import DhcpIsolation, PortGuard
from refnet.firewall.manager import FirewallManager
from refnet.firewall.model import Change, Key, Model


@mutant(
    "guards-blink",
    "takes all guards away before it writes them anew",
    {"RL-12": "have leaked", "L2-29": "from a foreign address, after a kill at request"},
)
def guards_blink(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        _guards: dict[str, PortGuard]

        def _commit(self, changes: Mapping[Key, Change], *, layer2: bool) -> None:
            if layer2:
                kept, self._guards = self._guards, {}
                super()._commit({}, layer2=True)
                time.sleep(0.02)
                self._guards = kept
            super()._commit(changes, layer2=layer2)

    return Wrong


@mutant(
    "resync-without-guards",
    "does not look at layer 2 when it looks at the host again",
    {"L2-25": "after a flush and resync"},
)
def resync_without_guards(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        _guards: dict[str, PortGuard]
        _isolations: dict[DhcpIsolation, None]

        def resync(self) -> None:
            kept, self._guards = self._guards, {}
            isolations, self._isolations = self._isolations, {}
            try:
                super().resync()
            finally:
                self._guards, self._isolations = kept, isolations

    return Wrong


@mutant(
    "adopts-guards",
    "takes over the guards that an earlier manager has left",
    {"L2-26": "which the new manager does not guard"},
)
def adopts_guards(base: Any) -> type[FirewallManager]:
    known: dict[str, dict[str, PortGuard]] = {}

    class Wrong(base):  # type: ignore[misc]
        _guards: dict[str, PortGuard]

        def _commit_all(self) -> None:
            self._guards = {**known.get(self.owner, {}), **self._guards}
            super()._commit_all()

        def _commit(self, changes: Mapping[Key, Change], *, layer2: bool) -> None:
            known[self.owner] = dict(self._guards)
            super()._commit(changes, layer2=layer2)

        def apply(self) -> None:
            super().apply()
            known[self.owner] = dict(self._guards)

    return Wrong


@mutant(
    "teardown-leaves-guards",
    "leaves its guards at teardown",
    {"L2-27": "after teardown"},
)
def teardown_leaves_guards(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        _model: Model

        def _remove_all(self) -> None:
            super()._remove_all()
            kept, self._model = self._model, Model()
            super()._commit_all()
            self._model = kept

    return Wrong


@mutant(
    "block-keeps-guards",
    "keeps the guards that were added in a deferred() block which an exception has left",
    {"L2-28": "an exception has left"},
)
def block_keeps_guards(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        _guards: dict[str, PortGuard]

        @contextlib.contextmanager
        def deferred(self) -> Iterator[None]:
            kept: dict[str, PortGuard] = {}
            try:
                with super().deferred():
                    try:
                        yield
                    finally:
                        kept = dict(self._guards)
            except BaseException:
                self._guards, self._layer2_changed = kept, True
                raise

    return Wrong


@mutant(
    "guards-fail-silently",
    "says nothing when it cannot look before it writes a guard, and writes none",
    {"L2-30": "failed, and it has said nothing"},
)
def guards_fail_silently(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def _commit(self, changes: Mapping[Key, Change], *, layer2: bool) -> None:
            try:
                process.run(["true"])
            except RefnetError:
                return
            super()._commit(changes, layer2=layer2)

    return Wrong


@mutant(
    "teardown-of-all-guards",
    "takes down the guards of all owners",
    {"OW-10": "what a-b stops, after a's teardown"},
)
def teardown_of_all_guards(base: Any) -> type[FirewallManager]:
    known: weakref.WeakSet[Any] = weakref.WeakSet()

    class Wrong(base):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            known.add(self)

        def _remove_all(self) -> None:
            super()._remove_all()
            for other in list(known):
                if other.owner != self.owner and other._guards:
                    kept, other._guards = other._guards, {}
                    base._commit(other, {}, layer2=True)
                    other._guards = kept

    return Wrong
