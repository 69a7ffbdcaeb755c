"""All of Nova's tables over one manager, and what is known of them beside its model."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from refnet.errors import InvalidArgument
from refnet.firewall.chains import Kept
from refnet.firewall.nova.names import model_name
from refnet.firewall.nova.table import Table, TextRule
from refnet.firewall.rules import Rule

if TYPE_CHECKING:
    from refnet.firewall.manager import FirewallManager

#: Nova's tables of each family, each with the built-in chains that have a wrapped one of the same name.
_TABLES: dict[int, dict[str, tuple[str, ...]]] = {
    4: {
        "filter": ("INPUT", "OUTPUT", "FORWARD"),
        "nat": ("PREROUTING", "OUTPUT", "POSTROUTING"),
        "mangle": ("POSTROUTING",),
    },
    6: {"filter": ("INPUT", "OUTPUT", "FORWARD")},
}


class NovaTables:
    """``ipv4`` and ``ipv6``: Nova's tables by name, and what is known of them beside the manager's model.

    That is which family has which chain, and the rules' texts. Nothing is added to the model before one of both is
    first asked for.
    """

    def __init__(self, manager: FirewallManager) -> None:
        """Lay the tables over a manager's model."""
        self._manager = manager
        self._views: dict[int, Mapping[str, Table]] = {
            family: MappingProxyType({name: Table(manager, name, family) for name in tables})
            for family, tables in _TABLES.items()
        }
        #: Family, table, whether wrapped, name; with the empty name: that the family has its standing chains.
        self._chains: dict[tuple[int, str, bool, str], bool] = {}
        self._texts: dict[tuple[int, str], dict[tuple[str, Rule], TextRule]] = {
            (family, name): {} for family, tables in _TABLES.items() for name in tables
        }
        #: In a block that may be taken back: chains and texts as they were before it.
        self._kept: tuple[Kept, dict[tuple[int, str], Kept]] | None = None

    @property
    def ipv4(self) -> Mapping[str, Table]:
        """The tables ``filter``, ``nat`` and ``mangle``."""
        with self._manager._lock:
            self.stand(4)
            return self._views[4]

    @property
    def ipv6(self) -> Mapping[str, Table]:
        """The table ``filter``, as Nova had it."""
        with self._manager._lock:
            self.stand(6)
            return self._views[6]

    def clear(self) -> None:
        """Know nothing any more, as the manager's model."""
        self._chains, self._texts = {}, {where: {} for where in self._texts}

    # -- all or nothing, as the manager's model --------------------------------------------------------

    def begin(self) -> None:
        """From here on, :meth:`undo` leads back to here."""
        self._kept = Kept(self._chains), {where: Kept(texts) for where, texts in self._texts.items()}

    def end(self) -> None:
        """Keep what has been done since :meth:`begin`."""
        self._kept = None

    def undo(self) -> None:
        """Take back what has been done since :meth:`begin`; without one, all: the tables are as new as the block."""
        kept, self._kept = self._kept, None
        if kept is None:
            self.clear()
        else:
            self._chains, self._texts = kept[0].back(), {where: texts.back() for where, texts in kept[1].items()}

    # -- what there is ---------------------------------------------------------------------------------

    def stand(self, family: int) -> None:
        """Add Nova's standing chains and jumps of a family, if they are not there."""
        if (family, "", True, "") in self._chains:
            return
        self._chains[family, "", True, ""] = True
        try:
            self._add_standing(family)
        except BaseException:
            self._drop((family, "", True, ""))
            raise

    def _add_standing(self, family: int) -> None:
        tables = self._views[family]
        tables["filter"].add_chain("nova-filter-top", wrap=False)
        tables["filter"].add_chain("local")
        for chain in ("FORWARD", "OUTPUT"):
            tables["filter"].add_rule(chain, "-j nova-filter-top", wrap=False, top=True)
        tables["filter"].add_rule("nova-filter-top", "-j $local", wrap=False)
        for name, chains in _TABLES[family].items():
            for chain in chains:
                tables[name].add_chain(chain)
                tables[name].add_rule(chain, f"-j ${chain}", wrap=False)
        if "nat" in tables:
            nat = tables["nat"]
            nat.add_chain("nova-postrouting-bottom", wrap=False)
            nat.add_chain("snat")
            nat.add_chain("float-snat")
            nat.add_rule("POSTROUTING", "-j nova-postrouting-bottom", wrap=False)
            nat.add_rule("nova-postrouting-bottom", "-j $snat", wrap=False)
            nat.add_rule("snat", "-j $float-snat")

    def has_chain(self, family: int, table: str, name: str, wrap: bool) -> bool:
        """Return whether a family has a chain."""
        return (
            isinstance(name, str)
            and name != ""
            and (family, table, wrap, name) in self._chains
            and (table, model_name(name)) in self._manager._model.chains
        )

    def names(self, family: int, table: str, wrap: bool) -> list[str]:
        """Return the names of a family's chains."""
        return [
            key[3]
            for key in self._chains
            if key[:3] == (family, table, wrap) and self.has_chain(*key[:2], key[3], wrap)
        ]

    def texts(self, family: int, table: str) -> dict[tuple[str, Rule], TextRule]:
        """Return the texts that rules were added with, by the model's chain and the rule."""
        return self._texts[family, table]

    # -- what changes ----------------------------------------------------------------------------------

    def add_chain(self, family: int, table: str, name: str, wrap: bool) -> None:
        """Add a chain to the model, and to a family."""
        if any(self.has_chain(one, table, name, not wrap) for one in _TABLES):
            raise InvalidArgument(
                f"chain {name} is there {'un' if wrap else ''}wrapped: all chains are of one owner here, "
                "so that a name cannot be both"
            )
        self._manager.add_chain(model_name(name), table=table)
        self._chains[family, table, wrap, name] = True

    def drop_chain(self, family: int, table: str, name: str, wrap: bool) -> None:
        """Take a chain from a family."""
        self._drop((family, table, wrap, name))

    def put_text(self, family: int, table: str, key: tuple[str, Rule], text: TextRule) -> None:
        """Keep a rule's text, in the place of one of a rule that has gone by another way."""
        self.drop_text(family, table, key)
        self._texts[family, table][key] = text

    def drop_text(self, family: int, table: str, key: tuple[str, Rule]) -> None:
        """Forget a rule's text."""
        texts = self._texts[family, table]
        if key in texts:
            if self._kept:
                self._kept[1][family, table].lose()
            del texts[key]

    def _drop(self, chain: tuple[int, str, bool, str]) -> None:
        if chain in self._chains:
            if self._kept:
                self._kept[0].lose()
            del self._chains[chain]
