"""What wrong firewall managers are made with: those that say what they were told and write something else."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from refnet.firewall.actions import RETURN
from refnet.firewall.manager import FirewallManager
from refnet.firewall.model import Chain
from refnet.firewall.rules import Rule

#: Makes a rule of a rule; None: one that nothing matches.
Rewrite = Callable[[Rule], Rule | None]


def writing(base: Any, rewrite: Rewrite) -> type[FirewallManager]:
    """Return a class that keeps the rules it is given, and writes others."""

    class Wrong(base):  # type: ignore[misc]
        def _render(self, chain: Chain, rule: Rule) -> Any:
            written = rewrite(rule)
            return super()._render(chain, written or Rule(RETURN, protocol=253, family=rule.family))

    return Wrong


def patched(base: Any, module: ModuleType, name: str, replacement: Any) -> type[FirewallManager]:
    """Return a class with which a function of refnet's is another one, as long as an instance is open."""
    original = getattr(module, name)

    class Wrong(base):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            setattr(module, name, replacement)

        def close(self) -> None:
            setattr(module, name, original)
            super().close()

    return Wrong
