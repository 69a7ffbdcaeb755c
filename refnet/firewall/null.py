"""The firewall that does nothing, and says so: for hosts whose filtering is somebody else's.

Rules are validated and kept as by every backend, so that a caller's mistakes are found here as well; none is written.
Whatever looks at the host or changes it logs a warning that nothing is there, and ``probe`` says so of everything.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from refnet.errors import Unsupported
from refnet.firewall.manager import Capability, Counter, FirewallManager, Standing
from refnet.firewall.model import Chain, Change, Key, Table
from refnet.firewall.rules import Rule
from refnet.names import IPAddress

_LOG = logging.getLogger(__name__)
_WORDS = "the null firewall filters nothing: rules are checked, and not written"


class NullFirewall(FirewallManager):
    """Keeps the model, and leaves the host as it is."""

    def standing(self) -> tuple[Standing, ...]:
        """Return nothing: nothing of this owner's stands anywhere."""
        self._say_so()
        return ()

    def counters(self, chain: str, *, table: Table | str = Table.FILTER) -> tuple[Counter, ...]:
        """Refuse: no rule matches anything."""
        raise Unsupported(_WORDS, capability=Capability.COUNTERS)

    def forget_connections(self, address: str | IPAddress) -> int:
        """Refuse: the connections are not this firewall's."""
        raise Unsupported(_WORDS, capability=Capability.FORGET_CONNECTIONS)

    def _probe(self, capability: Capability) -> str | None:
        return _WORDS

    def _render(self, chain: Chain, rule: Rule) -> Any:
        return None

    def _commit(self, changes: Mapping[Key, Change], *, layer2: bool) -> None:
        pass

    def _commit_all(self) -> None:
        self._say_so()

    def _remove_all(self) -> None:
        self._say_so()

    def _say_so(self) -> None:
        _LOG.warning("owner %s: %s", self.owner, _WORDS)
