"""A firewall manager as specs see it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from conformance.harness.base import UnderTest
from refnet.errors import PermissionDenied, RefnetError, ToolMissing
from refnet.firewall.manager import FirewallManager

#: Whose rules a firewall's are, if a spec names nobody else.
OWNER = "suite"


class FirewallUnderTest(UnderTest):
    """A firewall manager with a witness. Of every instance that a spec has made, all of its owner's is removed."""

    def __init__(
        self,
        tested: type[FirewallManager],
        owner: str = OWNER,
        *,
        first: FirewallUnderTest | None = None,
        **options: Any,
    ) -> None:
        """Make an instance of the manager's class for an owner; ``first`` is the one that the spec was given."""
        super().__init__(tested, owner, **options)
        self.owner = owner
        self._is_closed = False
        self._all: list[FirewallUnderTest] = first._all if first else []
        self._all.append(self)
        if first:
            # One list for all of them, since what one does another may undo.
            self.calls = first.calls

    def fresh(self, owner: str | None = None, **options: Any) -> FirewallUnderTest:
        """Return another instance of the same class, for the same owner or for another one."""
        return FirewallUnderTest(
            self.driver_class, self.owner if owner is None else owner, first=self._all[0], **options
        )

    def deferred(self) -> contextlib.AbstractContextManager[None]:
        """Return the manager's block, whose end has its witness as well."""
        return self._block("deferred()", self._witness("deferred()", self.driver.deferred))

    @property
    def ipv4(self) -> Mapping[str, Any]:
        """The tables of text, their methods with a witness."""
        return self._tables("ipv4")

    @property
    def ipv6(self) -> Mapping[str, Any]:
        """The tables of text, their methods with a witness."""
        return self._tables("ipv6")

    def close(self) -> None:
        """Close the manager."""
        self._is_closed = True
        self._run("close", self.driver.close, (), {})

    def take_back(self) -> None:
        """Remove, through the manager, all that is left of each owner, and close every instance."""
        still_open = [one for one in reversed(self._all) if not one._is_closed]
        # Who was closed cannot be asked to remove anything: another of the same owner is.
        owners = dict.fromkeys(one.owner for one in self._all)
        others = [owner for owner in owners if owner not in {one.owner for one in still_open}]
        failed: list[RefnetError] = []
        for one in [*still_open, *(self.fresh(owner) for owner in others)]:
            try:
                with contextlib.closing(one):
                    one._witness("teardown() in the clean-up", one.driver.teardown)
            except (ToolMissing, PermissionDenied):
                pass  # it could not have made anything either; what is left all the same, the state difference tells
            except RefnetError as error:
                failed.append(error)
        if failed:
            raise failed[0]

    def _note(self, words: str) -> None:
        first = self._all[0] if "_all" in vars(self) else self
        super()._note(words if self is first else f"{self.owner}: {words}")

    def _tables(self, name: str) -> Mapping[str, Any]:
        found = self._witness(name, getattr, self.driver, name)
        return {key: _Part(self, f"{name}[{key!r}]", table) for key, table in found.items()}

    @contextlib.contextmanager
    def _block(self, what: str, block: contextlib.AbstractContextManager[None]) -> Iterator[None]:
        self._witness(what, block.__enter__)
        self._note(what)
        try:
            yield
        except BaseException as error:
            if not self._witness(f"the end of {what}", block.__exit__, type(error), error, error.__traceback__):
                raise
        else:
            self._witness(f"the end of {what}", block.__exit__, None, None, None)
            self._note(f"the end of {what}")


class _Part:
    """A part of what is under test, whose methods have its witness."""

    def __init__(self, whole: FirewallUnderTest, name: str, part: object) -> None:
        self._whole, self._name, self._part = whole, name, part

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        return self._whole._calling(f"{self._name}.{name}", found) if callable(found) else found
