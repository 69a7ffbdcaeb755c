"""Calls that have to come to an end, and calls by other processes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from refnet.errors import RefnetError, SwitchUnreachable
from refnet.netdev.ovs import database

#: What "bounded" is to a machine on which everything may take longer: several times what is promised.
BOUND = 4 * database.ANSWER


def bounded(call: Callable[[], Any], error: type[RefnetError] = SwitchUnreachable) -> RefnetError:
    """Have a call fail in its time, and return the error."""
    started = time.monotonic()
    with pytest.raises(error) as caught:
        call()
    assert time.monotonic() - started < BOUND
    return caught.value


def forked(*works: Callable[[], Any], meanwhile: Callable[[], Any] = lambda: None) -> list[int]:
    """Run each in a fork of this process, all at once; return their statuses, 0 where the work raised nothing."""
    children = []
    for work in works:
        child = os.fork()
        if not child:
            try:
                work()
            except BaseException as error:
                os.write(2, f"child: {error!r}\n".encode())
                os._exit(1)
            os._exit(0)
        children.append(child)
    meanwhile()
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
