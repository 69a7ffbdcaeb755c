"""A manager without a host: it follows its model by the changes, as a backend does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from refnet.errors import RefnetError
from refnet.firewall import Rule
from refnet.firewall.model import Change, Key
from refnet.firewall.null import NullFirewall


class Recording(NullFirewall):
    """Follows the model by its changes, as a backend does, and writes down what it was told to do."""

    def __init__(self, owner: str = "me", **options: Any) -> None:
        super().__init__(owner, **options)
        self.host: dict[Key, list[Rule]] = {}
        self.commits: list[str] = []
        self.fails: RefnetError | None = None

    def _commit(self, changes: Mapping[Key, Change], *, layer2: bool) -> None:
        self.commits.append("layer2" if layer2 and not changes else "changes")
        if self.fails:
            raise self.fails
        for key, change in changes.items():
            if change.removed:
                self.host.pop(key, None)
            elif change.anew:
                self.host[key] = list(change.chain.rules())
            else:
                for kind, rule, rendered in change.edits:
                    assert rendered == ("rendered", rule)
                    if kind == "remove":
                        self.host[key].remove(rule)
                    else:
                        self.host[key].insert(0 if kind == "prepend" else len(self.host[key]), rule)

    def _commit_all(self) -> None:
        self.commits.append("all")
        if self.fails:
            raise self.fails
        self.host = {key: list(chain.rules()) for key, chain in self._model.chains.items()}

    def _remove_all(self) -> None:
        self.host.clear()

    def _render(self, chain: Any, rule: Rule) -> Any:
        return "rendered", rule

    @property
    def model(self) -> dict[Key, list[Rule]]:
        return {(table, name): list(self.rules(name, table=table)) for table, name, _ in self.chains()}
