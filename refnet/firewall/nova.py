"""Nova's textual tables over any backend (placeholder for the contract; written by its own helper)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from refnet.firewall.manager import FirewallManager


class NovaTables:
    """``ipv4`` and ``ipv6``: Nova's tables by name."""

    def __init__(self, manager: FirewallManager) -> None:
        """Lay the tables over a manager's model."""
        self.ipv4: Mapping[str, Any] = {}
        self.ipv6: Mapping[str, Any] = {}

    def forget(self) -> None:
        """The manager's model has gone back to what it was before a deferred block."""
