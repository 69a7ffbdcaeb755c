"""What the specs of several topics share: a call that a driver has to refuse."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from conformance.topology.sandbox import Sandbox
from refnet.errors import RefnetError


class Refusal:
    """What a driver said when it refused."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._error: RefnetError | None = None

    def take(self, error: RefnetError) -> None:
        """Keep the error."""
        self._error = error

    @property
    def error(self) -> RefnetError:
        """The error; there is one once the context has been left."""
        assert self._error is not None
        return self._error

    def names(self, word: str) -> bool:
        """Whether the error's message has a word in it, such as the name of a device."""
        return word in str(self.error).replace(",", " ").replace(":", " ").replace(";", " ").split()


@contextlib.contextmanager
def refusal(kind: type[RefnetError], what: str) -> Iterator[Refusal]:
    """Prove that a call is refused with a kind of error.

    Raises:
        AssertionError: it goes through, or is refused with another error.
    """
    taken = Refusal()
    try:
        yield taken
    except kind as error:
        taken.take(error)
    except RefnetError as error:
        raise AssertionError(
            f"{what} is not refused with {kind.__name__} but with {type(error).__name__}: {error}"
        ) from error
    else:
        raise AssertionError(f"{what} is not refused with {kind.__name__}: it goes through")


@contextlib.contextmanager
def refused(net: Sandbox, kind: type[RefnetError], what: str) -> Iterator[Refusal]:
    """Prove that a call is refused with a kind of error, and changes nothing.

    Raises:
        AssertionError: it goes through, is refused with another error, or leaves something changed.
    """
    with net.look.unchanged(what), refusal(kind, what) as taken:
        yield taken
