"""What a class under test is to a spec, whatever interface it implements."""

from __future__ import annotations

import abc
import reprlib
import traceback
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from refnet.errors import RefnetError

#: A call that a spec has prepared, or a method.
Call = Callable[..., object]

#: Shows arguments and results, of which some are a thousand rules, as far as a reader wants them.
_shown = reprlib.Repr()
_shown.maxlist = _shown.maxtuple = _shown.maxset = _shown.maxfrozenset = _shown.maxdict = 6
_shown.maxstring, _shown.maxother = 200, 600


class UnderTest(abc.ABC):
    """An implementation of an interface with a witness. It has the methods of what it stands for, and besides:

    * An exception that is no :class:`RefnetError` becomes a failure of the spec: callers were promised typed errors.
    * What a spec has left is taken back through the implementation when the spec is over. Specs need no clean-up of
      their own, and an implementation that cannot clean up after itself fails every spec.

    Attributes:
        driver_class: the class under test.
        driver: the instance of it.
        calls: what was called, with which result.
    """

    def __init__(self, tested: type, *args: Any, **kwargs: Any) -> None:
        """Make an instance of the class under test."""
        self.driver_class = tested
        self.calls: list[str] = []
        self.driver = self._witness("the constructor", tested, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        """Return the method with its witness; what is no method, as it is."""
        found = getattr(self.driver, name)
        return self._calling(name, found) if callable(found) else found

    def __enter__(self) -> Any:
        """Return this, to be closed at the end; what was made is not taken back by that."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    @abc.abstractmethod
    def take_back(self) -> None:
        """Take back what is left of all that was called."""

    def evidence(self) -> Mapping[str, str]:
        """Return what a person would want to see of it beside its calls, as text by file name."""
        return {}

    def _calling(self, name: str, method: Call) -> Call:
        def call(*args: Any, **kwargs: Any) -> Any:
            return self._run(name, method, args, kwargs)

        return call

    def _run(self, name: str, method: Call, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Make a call, and write down what became of it."""
        words = [*map(_shown.repr, args), *(f"{key}={_shown.repr(value)}" for key, value in kwargs.items())]
        what = f"{name}({', '.join(words)})"
        result = self._witness(what, method, *args, **kwargs)
        self._note(what + (f" -> {_shown.repr(result)}" if result is not None else ""))
        return result

    def _note(self, words: str) -> None:
        self.calls.append(words)

    def _witness(self, what: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Do something that may raise typed errors only."""
        try:
            return function(*args, **kwargs)
        except RefnetError as error:
            self._note(f"{what} raised {type(error).__name__}: {error}")
            raise
        except Exception as error:
            self._note(f"{what} broke: {type(error).__name__}: {error}")
            where = traceback.format_tb(error.__traceback__)[-1].strip().replace("\n", " ")
            raise AssertionError(
                f"{what} let out a {type(error).__name__}, which is no RefnetError: {error} ({where})"
            ) from error
