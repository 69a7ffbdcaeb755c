"""Calls that are disturbed at each of their requests in turn: the first, the second, …, until one comes through.

What a request is that fails, or that the process dies at, :mod:`conformance.faults` says.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

from conformance import faults
from conformance.errors import SuiteError
from conformance.harness import in_child

#: More requests than any call makes, by far.
_MOST_REQUESTS = 200


def counting(what: str) -> Iterator[int]:
    """Count requests, of which a call that ends makes so many at most."""
    yield from range(1, _MOST_REQUESTS)
    raise SuiteError(f"{what} makes more than {_MOST_REQUESTS} requests: there is no end to it")


def dies_at(what: str, call: Callable[[], object], before: Callable[[], object] = lambda: None) -> Iterator[int]:
    """Have child processes make a call and be killed at the first, the second, … request, until one comes through.

    ``before`` is what each of them does first, with nothing in its way.
    """

    def child(at: int) -> None:
        before()
        with faults.injected(at, kill=True):
            call()

    for at in counting(what):
        status = in_child(lambda at=at: child(at))  # type: ignore[misc]
        if status != -signal.SIGKILL:
            assert status == 0, f"{what} fails in another process, with nothing in its way"
            if at == 1:
                raise SuiteError(f"{what} makes no request that it could be killed at: this proves nothing")
            return
        yield at
