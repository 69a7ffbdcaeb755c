"""What is under test, as the specs see it: every call is written down, judged by its errors, and taken back."""

from __future__ import annotations

import abc
import contextlib
import os
import reprlib
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any

from refnet.errors import PermissionDenied, RefnetError, ToolMissing
from refnet.firewall.manager import FirewallManager
from refnet.netdev.driver import NetDevDriver

#: A call that a spec has prepared, or a method.
Call = Callable[..., object]

#: What a call that succeeds has made, by method: the arguments that name it, and the method that deletes it.
_MAKES: dict[str, tuple[tuple[int, ...], str]] = {
    "create_bridge": ((0,), "delete_bridge"),
    "ensure_bridge": ((0,), "delete_bridge"),
    "create_tap_dev": ((0,), "delete_net_dev"),
    "create_veth_pair": ((0, 1), "delete_net_dev"),
    "ensure_vlan": ((), "delete_net_dev"),
    "ensure_vlan_bridge": ((1,), "delete_bridge"),
}

#: Whose rules a firewall's are, if a spec names nobody else.
OWNER = "suite"

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


class DriverUnderTest(UnderTest):
    """A driver of network devices with a witness: the devices that its calls have made are deleted."""

    def __init__(self, tested: type[NetDevDriver]) -> None:
        """Make an instance of the driver's class."""
        super().__init__(tested)
        self._made: list[tuple[str, str]] = []

    def fresh(self) -> DriverUnderTest:
        """Return another instance of the same class; what it makes is its own to take back."""
        return DriverUnderTest(self.driver_class)

    def take_back(self) -> None:
        """Delete, newest first and through the driver, what its calls have made."""
        while self._made:
            method, name = self._made.pop()
            if _is_there(name):
                self._witness(f"{method}({name!r}) in the clean-up", getattr(self.driver, method), name)
        self._witness("close()", self.driver.close)

    def keep(self) -> None:
        """Forget what was made: the spec has deleted it, or means it to stay."""
        self._made.clear()

    def _run(self, name: str, method: Call, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        absent = [key for key in self._would_make(name, args) if not _is_there(key)]
        result = super()._run(name, method, args, kwargs)
        if name in ("ensure_vlan", "ensure_vlan_bridge"):
            self._made.append(("delete_net_dev", str(result)))
        self._made += [(_MAKES[name][1], key) for key in absent]
        return result

    def _would_make(self, name: str, args: tuple[Any, ...]) -> list[str]:
        positions = _MAKES.get(name, ((), ""))[0]
        return [args[at] for at in positions if at < len(args) and isinstance(args[at], str)]


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


@contextlib.contextmanager
def within(seconds: float, what: str) -> Iterator[None]:
    """End a piece of work that takes too long, whatever the driver waits for. Main thread only.

    Raises:
        AssertionError: it did not end in time.
    """

    def stop(*_: object) -> None:
        raise AssertionError(f"{what} did not end within {seconds:g} s")

    handler = signal.signal(signal.SIGALRM, stop)
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)
        signal.signal(signal.SIGALRM, handler)


def in_child(function: Callable[[], None]) -> int:
    """Run a function in a forked process and return its exit status: 0, 1 for an exception, or -N for signal N.

    What the function's exception said goes to the standard error of the suite.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        try:
            function()
            os._exit(0)
        except BaseException as error:
            os.write(2, f"in a child process: {type(error).__name__}: {error}\n".encode())
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def in_children(count: int, function: Callable[[int], None], *, time_limit: float = 60.0) -> list[int]:
    """Run a function in several forked processes at once, let go together, and return their exit statuses."""
    gate_read, gate_write = os.pipe()
    children = []
    for number in range(count):
        child = os.fork()
        if child == 0:
            os.close(gate_write)
            signal.alarm(int(time_limit))
            os.read(gate_read, 1)  # returns for all when the parent closes its end
            try:
                function(number)
                os._exit(0)
            except BaseException as error:
                os.write(2, f"in child {number}: {type(error).__name__}: {error}\n".encode())
                os._exit(1)
        children.append(child)
    os.close(gate_read)
    os.close(gate_write)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def _is_there(name: str) -> bool:
    try:
        socket.if_nametoindex(name)
    except (OSError, ValueError):  # ValueError: a name with a zero byte, which no device has
        return False
    return True
