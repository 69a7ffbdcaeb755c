"""Nova's ``IptablesManager``, over whichever firewall is chosen."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from typing import Any

from refnet import firewall
from refnet.errors import InvalidArgument
from refnet.firewall import FirewallManager
from refnet.firewall.nova import owner_name

_lock = threading.Lock()


def get_binary_name() -> str:
    """Return the name of the program that this process runs, uncut: its file's, or its module's (``python -m``)."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    module = (spec.name.removesuffix(".__main__") if spec else "").rpartition(".")[2]
    file = os.path.basename(sys.argv[0] if sys.argv else "")
    return module or (file if file not in ("", "-c", "-") else os.path.basename(sys.executable or "python"))


class IptablesManager:
    """Nova's rules as text, in the tables ``ipv4`` and ``ipv6``, by name: see :mod:`refnet.firewall.nova`.

    All instances of a process are views of one firewall, that of the owner named like the program
    (:func:`get_binary_name`). It is chosen at the first use.
    """

    def __init__(self, execute: object = None) -> None:
        """Look at nothing yet.

        Raises:
            InvalidArgument: a function to start programs by is given: refnet starts them itself.
        """
        if execute is not None:
            raise InvalidArgument("refnet starts iptables itself: leave out execute=")
        self._firewall: FirewallManager | None = None

    @property
    def firewall(self) -> FirewallManager:
        """The manager behind the tables."""
        with _lock:
            if self._firewall is None:
                self._firewall = firewall.get_manager(owner_name(get_binary_name()))
            return self._firewall

    @property
    def ipv4(self) -> Mapping[str, Any]:
        """The tables ``filter``, ``nat`` and ``mangle``."""
        return self.firewall.ipv4

    @property
    def ipv6(self) -> Mapping[str, Any]:
        """The table ``filter``."""
        return self.firewall.ipv6

    @property
    def iptables_apply_deferred(self) -> bool:
        """Whether :meth:`apply` does nothing now."""
        return self.firewall._is_held

    def defer_apply_on(self) -> None:
        """Have :meth:`apply` do nothing until :meth:`defer_apply_off`."""
        self.firewall.defer_apply_on()

    def defer_apply_off(self) -> None:
        """Apply what was deferred."""
        self.firewall.defer_apply_off()

    def dirty(self) -> bool:
        """Return whether :meth:`apply` has something to do."""
        behind = self.firewall
        with behind._lock:
            return not behind._synced or bool(behind._model.changes) or behind._layer2_changed

    def apply(self) -> None:
        """Make the host like the tables; see :meth:`~refnet.firewall.manager.FirewallManager.apply`."""
        self.firewall.apply()


#: What the functions of this package put their rules into.
iptables_manager = IptablesManager()
