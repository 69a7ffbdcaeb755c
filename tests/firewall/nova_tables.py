"""What tests of Nova's textual tables share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from refnet.firewall.null import NullFirewall

OWNER = "nova-compute"


class Undone(Exception):
    """Leaves a deferred block."""


@contextlib.contextmanager
def undone(manager: NullFirewall) -> Iterator[None]:
    """Have a deferred block taken back at its end."""
    with contextlib.suppress(Undone), manager.deferred():
        yield
        raise Undone


def lines(table: Any) -> list[str]:
    return [str(one) for one in table.rules]
