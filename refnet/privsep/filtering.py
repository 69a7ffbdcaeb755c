"""The packet filter, by the daemon: :class:`PrivsepFirewall`."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Literal

from refnet import config, names
from refnet.errors import NoAnswer
from refnet.firewall import ENTRY_POINTS
from refnet.firewall.capabilities import Capability
from refnet.firewall.manager import DEFAULT_LOCK_LIMIT, Counter, FirewallManager, Standing
from refnet.firewall.model import Chain, Change, Key, Table
from refnet.firewall.rules import Rule
from refnet.names import IPAddress
from refnet.privsep import client, daemon
from refnet.privsep.encoding import encode
from refnet.privsep.sessions import UNKNOWN

_POSITIONS = {"append": False, "prepend": True}


class PrivsepFirewall(FirewallManager):
    """Chains and rules that are kept and checked here, and brought to the host by the daemon's firewall.

    What is read as text, and what may be in the model, is this process's affair; the daemon is sent rules, makes them
    anew, and has its own model see that they can be.
    """

    def __init__(
        self,
        owner: str,
        *,
        position: Literal["first", "last"] = "first",
        lock_time_limit: float = DEFAULT_LOCK_LIMIT,
    ) -> None:
        """Start with an empty model, and ask the daemon which firewall it has; see :class:`FirewallManager`.

        Raises:
            DriverNotFound: this is the daemon itself, or its firewall cannot be imported here.
        """
        client.see_that_this_is_no_daemon(ENTRY_POINTS)
        chosen = client.ask(daemon.firewall_class)
        loaded = config.load_class(ENTRY_POINTS, chosen, FirewallManager)  # type: ignore[type-abstract]
        #: It only says how a rule would be written, or that it cannot be: that needs no privilege.
        self._checks = loaded(owner, position=position, lock_time_limit=lock_time_limit)
        self.lacks = loaded.lacks  # type: ignore[misc]
        super().__init__(owner, position=position, lock_time_limit=lock_time_limit)
        self._session = secrets.token_hex(16)
        #: The number of the model that the daemon has; None: it has to be sent the whole.
        self._known: int | None = None
        self._count = 0

    def standing(self) -> tuple[Standing, ...]:
        """Read this owner's chains from the host."""
        with self._lock:
            found: tuple[Standing, ...] = self._ask_about_model("standing")
            return found

    def counters(self, chain: str, *, table: Table | str = Table.FILTER) -> tuple[Counter, ...]:
        """Return what each rule of a chain has matched."""
        with self._lock:
            known = self._model.chain(table, chain)
            found: tuple[Counter, ...] = self._ask_about_model("counters", known.table, known.name)
            return found

    def forget_connections(self, address: str | IPAddress) -> int:
        """Have connection tracking forget all connections from, to or translated to an address."""
        with self._lock:
            found: int = self._ask_apart("forget_connections", names.ip_address(address, "address"))
            return found

    def enable(self) -> None:
        """Switch the system's packet filter on."""
        with self._lock:
            self._ask_apart("enable")

    def _probe(self, capability: Capability) -> str | None:
        with self._lock:
            found: str | None = self._ask_apart("probe", capability)
            return found

    def _render(self, chain: Chain, rule: Rule) -> Any:
        return self._checks._render(chain, rule)

    # -- the host --------------------------------------------------------------------------------------

    def _commit(self, changes: Mapping[Key, Change], *, layer2: bool) -> None:
        before, self._known = self._known, None  # what the daemon has after a failure is not known
        if before is None:
            self._commit_all()
            return
        self._count += 1
        model = {"before": before, "revision": self._count, "changes": self._changes(changes, layer2)}
        if self._ask("apply", model) == UNKNOWN:
            self._commit_all()
        self._known = self._count

    def _commit_all(self) -> None:
        self._known = None
        self._count += 1
        if self._ask("apply", self._whole()) == UNKNOWN:
            raise NoAnswer("the privileged daemon does not take the rules that it was sent")
        self._known = self._count

    def _remove_all(self) -> None:
        self._known = None
        self._synced = False
        self._ask_apart("teardown")

    # -- what is sent ----------------------------------------------------------------------------------

    def _ask_about_model(self, operation: str, *arguments: object) -> Any:
        """Ask of what the model is, with what has not been applied; only where that is nothing the daemon knows it."""
        if self._known is not None and not self._model.changes and not self._layer2_changed:
            found = self._ask(operation, {"before": self._known, "revision": self._known}, *arguments)
            if found != UNKNOWN:
                return found
        self._known = None
        self._count += 1
        return self._ask(operation, self._whole(), *arguments)

    def _ask_apart(self, operation: str, *arguments: object) -> Any:
        """Ask of what no model has to do with."""
        empty = {"chains": (), "additions": (), "layer2": None}
        return self._ask(operation, {"whole": empty, "revision": 0}, *arguments, apart=True)

    def _ask(self, operation: str, model: Mapping[str, Any], *arguments: object, apart: bool = False) -> Any:
        settings = {"owner": self.owner, "position": self.position, "lock_time_limit": self.lock_time_limit}
        request = {
            "session": "" if apart else self._session,
            "settings": settings,
            "model": model,
            "operation": operation,
            "arguments": arguments,
        }
        return client.ask(daemon.firewall_call, encode(request))

    def _whole(self) -> dict[str, Any]:
        additions = tuple((*key, rule, False) for key, chain in self._model.chains.items() for rule in chain.rules())
        whole = {"chains": self.chains(), "additions": additions, "layer2": self._layer2()}
        return {"whole": whole, "revision": self._count}

    def _changes(self, changes: Mapping[Key, Change], layer2: bool) -> dict[str, Any]:
        """Return what has become of the chains: those that are there, those emptied, rules gone, rules come."""
        anew = {key: change for key, change in changes.items() if change.anew and key in self._model.chains}
        edited = [
            (key, edit)
            for key, change in changes.items()
            if not change.anew and not change.removed
            for edit in change.edits
        ]
        additions = [(*key, rule, False) for key in anew for rule in self._model.chains[key].rules()]
        additions += [(*key, one.rule, _POSITIONS[one.kind]) for key, one in edited if one.kind != "remove"]
        has_other_chains = any(change.anew or change.removed for change in changes.values())
        return {
            "chains": self.chains() if has_other_chains else None,
            "emptied": tuple(anew),
            "removals": tuple((*key, one.rule) for key, one in edited if one.kind == "remove"),
            "additions": tuple(additions),
            "layer2": self._layer2() if layer2 else None,
        }

    def _layer2(self) -> tuple[Any, Any]:
        return self.port_guards(), self.dhcp_isolations()
