"""Work of a spec that has a limit, or a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator


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
