"""The daemon's half of a firewall whose model is in another process.

That process keeps chains and rules, and checks them; a *session* is the manager here that has brought them to the host.
Each request says which session, whose rules, and how the model came to be: the same as at a revision before, that one
with changes, or a whole one. A session that has been forgotten (the daemon is new) asks for the whole.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from refnet import config, firewall
from refnet.errors import InvalidArgument
from refnet.firewall.layer2 import DhcpIsolation, PortGuard
from refnet.firewall.manager import FirewallManager
from refnet.firewall.model import Hook, Table
from refnet.firewall.rules import Rule

#: The answer to a request that says too little: the whole model is to be sent.
UNKNOWN = "unknown"
#: Sessions kept at most. Who is forgotten has to send a whole model, and loses nothing else.
_KEPT = 64

#: Chains in their order, and the rules that come to an end of one: chain, rule, whether they come first.
Chains = tuple[tuple[Table, str, Hook | None], ...]
Additions = tuple[tuple[Table, str, Rule, bool], ...]
#: Guards and isolations, all of them; None: as before.
Layer2 = tuple[tuple[PortGuard, ...], tuple[DhcpIsolation, ...]] | None


class Session(NamedTuple):
    """A manager, and the number of the model that it has."""

    manager: FirewallManager
    revision: int


_sessions: OrderedDict[str, Session] = OrderedDict()
_lock = threading.Lock()


def answer(request: object) -> Any:
    """Do what a request asks for, and return what came of it.

    Raises:
        InvalidArgument: it is no request.
        Whatever the manager raises.
    """
    if not isinstance(request, dict) or request.keys() != {"session", "settings", "model", "operation", "arguments"}:
        raise InvalidArgument("that is no request of a firewall manager")
    operation, name = request["operation"], request["session"]
    if operation not in _OPERATIONS:
        raise InvalidArgument(f"there is no operation {operation!r}")
    session = _taken(name)
    settled = _settled(session, request["settings"], request["model"])
    if settled is None:
        return UNKNOWN
    # Whatever raises from here on, the session is forgotten: what the manager has is not known to the caller.
    found = _OPERATIONS[operation](settled.manager, *request["arguments"])
    _keep(name, settled)
    return found


def _taken(name: str) -> Session | None:
    with _lock:
        return _sessions.pop(name, None)


def _keep(name: str, session: Session) -> None:
    if not name:
        session.manager.close()  # what was asked had no model to do with
        return
    with _lock:
        _sessions[name] = session
        while len(_sessions) > _KEPT:
            _sessions.popitem(last=False)[1].manager.close()


def _settled(session: Session | None, settings: Mapping[str, Any], model: Mapping[str, Any]) -> Session | None:
    """Return a session with the model that the request is about; None: it cannot be had from what is known."""
    if "whole" in model:
        loaded = config.load_class(firewall.ENTRY_POINTS, config.choice(firewall.ENTRY_POINTS), FirewallManager)  # type: ignore[type-abstract]
        manager = loaded(settings["owner"], position=settings["position"], lock_time_limit=settings["lock_time_limit"])
        _fill(manager, **model["whole"])
        return Session(manager, model["revision"])
    if session is None or session.revision != model["before"]:
        return None
    if "changes" in model and not _change(session.manager, **model["changes"]):
        return None
    return Session(session.manager, model["revision"])


def _fill(manager: FirewallManager, chains: Chains, additions: Additions, layer2: Layer2) -> None:
    """Give an empty manager a model; nothing is applied."""
    for table, name, hook in chains:
        manager.add_chain(name, hook=hook, table=table)
    _add(manager, additions)
    _set_layer2(manager, layer2)


def _change(
    manager: FirewallManager,
    chains: Chains | None,
    emptied: tuple[tuple[Table, str], ...],
    removals: tuple[tuple[Table, str, Rule], ...],
    additions: Additions,
    layer2: Layer2,
) -> bool:
    """Change a manager's model; nothing is applied. False: it came out otherwise than in the other process.

    Rules go before others come: no step in between has chains that lead back to themselves.
    """
    there = {(table, name) for table, name, _ in manager.chains()}
    wanted = {(table, name) for table, name, _ in chains} if chains is not None else there
    for table, name in (*emptied, *(there - wanted)):
        if (table, name) in there:
            manager.empty_chain(name, table=table)
    for table, name, rule in removals:
        manager.remove_rule(name, rule, table=table)
    for table, name in there - wanted:
        manager.remove_chain(name, table=table)
    for table, name, hook in chains or ():
        if (table, name) not in there:
            manager.add_chain(name, hook=hook, table=table)
    if chains is not None and manager.chains() != chains:
        return False  # a chain that has gone and come again: its place or its hook is another
    _add(manager, additions)
    _set_layer2(manager, layer2)
    return True


def _add(manager: FirewallManager, additions: Additions) -> None:
    for table, name, rule, is_first in additions:
        manager.add_rule(name, rule, first=is_first, table=table)


def _set_layer2(manager: FirewallManager, layer2: Layer2) -> None:
    if layer2 is None:
        return
    guards, isolations = layer2
    for guard in set(manager.port_guards()) - set(guards):
        manager.unguard_port(guard.port)
    for isolation in set(manager.dhcp_isolations()) - set(isolations):
        manager.remove_isolate_dhcp_address(isolation.interface, str(isolation.address))
    for guard in guards:
        manager.guard_port(guard)
    for isolation in isolations:
        manager.isolate_dhcp_address(isolation.interface, str(isolation.address))


def _counters(manager: FirewallManager, table: Table, chain: str) -> Any:
    return manager.counters(chain, table=table)


#: What can be asked of a session.
_OPERATIONS: dict[str, Callable[..., Any]] = {
    "apply": lambda manager: manager.apply(),
    "teardown": lambda manager: manager.teardown(),
    "standing": lambda manager: manager.standing(),
    "counters": _counters,
    "forget_connections": lambda manager, address: manager.forget_connections(address),
    "probe": lambda manager, capability: manager.probe(capability),
    "enable": lambda manager: manager.enable(),
}
