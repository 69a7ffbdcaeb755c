"""The driver under test, as the specs see it: every call is written down, judged by its errors, and taken back."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from refnet.errors import RefnetError
from refnet.netdev.driver import NetDevDriver

#: A call that a spec has prepared.
Call = Callable[[], object]

#: What a call that succeeds has made, by method: the arguments that name it, and the method that deletes it.
_MAKES: dict[str, tuple[tuple[int, ...], str]] = {
    "create_bridge": ((0,), "delete_bridge"),
    "ensure_bridge": ((0,), "delete_bridge"),
    "create_tap_dev": ((0,), "delete_net_dev"),
    "create_veth_pair": ((0, 1), "delete_net_dev"),
    "ensure_vlan": ((), "delete_net_dev"),
    "ensure_vlan_bridge": ((1,), "delete_bridge"),
}


class DriverUnderTest:
    """A driver with a witness. It has the driver's methods, and these two things happen besides:

    * An exception that is no :class:`RefnetError` becomes a failure of the spec: callers were promised typed errors.
    * What a call has made is remembered, and deleted through the driver when the spec is over. Specs need no
      clean-up of their own, and a driver that cannot clean up after itself fails every spec.
    """

    def __init__(self, driver_class: type[NetDevDriver]) -> None:
        """Make an instance of the driver's class."""
        self.driver_class = driver_class
        self.calls: list[str] = []
        self._made: list[tuple[str, str]] = []
        self.driver = self._witness("the constructor", driver_class)

    def fresh(self) -> DriverUnderTest:
        """Return another instance of the same class; what it makes is its own to take back."""
        return DriverUnderTest(self.driver_class)

    def __getattr__(self, name: str) -> Any:
        """Return the driver's method with its witness."""
        method = getattr(self.driver, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            shown = ", ".join([*map(repr, args), *(f"{key}={value!r}" for key, value in kwargs.items())])
            absent = [key for key in self._would_make(name, args) if not _is_there(key)]
            try:
                result = self._witness(f"{name}({shown})", method, *args, **kwargs)
            except RefnetError as error:
                self.calls.append(f"{name}({shown}) raised {type(error).__name__}: {error}")
                raise
            self.calls.append(f"{name}({shown})" + (f" -> {result!r}" if result is not None else ""))
            if name in ("ensure_vlan", "ensure_vlan_bridge"):
                self._made.append(("delete_net_dev", str(result)))
            self._made += [(_MAKES[name][1], key) for key in absent]
            return result

        return call

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

    def _would_make(self, name: str, args: tuple[Any, ...]) -> list[str]:
        positions = _MAKES.get(name, ((), ""))[0]
        return [args[at] for at in positions if at < len(args) and isinstance(args[at], str)]

    def _witness(self, what: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except RefnetError:
            raise
        except Exception as error:
            self.calls.append(f"{what} broke: {type(error).__name__}: {error}")
            where = traceback.format_tb(error.__traceback__)[-1].strip().replace("\n", " ")
            raise AssertionError(
                f"{what} let out a {type(error).__name__}, which is no RefnetError: {error} ({where})"
            ) from error


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
