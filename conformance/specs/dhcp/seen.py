"""What a server has written down, when it has: it answers first, and writes its leases afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from conformance.topology.sandbox import Sandbox

T = TypeVar("T")


def becomes(net: Sandbox, look: Callable[[], T], expected: object) -> T:
    """Return what is seen once it is what is expected; if that does not come about, what is seen in the end.

    For what is to be the case after an answer, which the server may give before it has written down what it is about.
    """
    deadline = time.monotonic() + net.arrival_limit
    while (found := look()) != expected and time.monotonic() < deadline:
        time.sleep(0.01)
    return found
