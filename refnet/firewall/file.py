"""Rule files: a manager's model as TOML, for people and for ``refnet firewall``.

    owner = "web"                       # whose rules these are; "refnet" if it is not said

    [[chain]]
    name = "guests"
    hook = "forward"                    # without it: a chain that rules jump to
    table = "filter"                    # filter (if it is not said), nat or mangle

    [[chain.rule]]
    action = "accept"                   # drop, return, masquerade, checksum-fill, reject, { jump = "other" },
                                        # { reject = "tcp-reset" }, { dnat = "192.0.2.7", ports = 80 }, …
    protocol = "tcp"
    source = { not = ["192.0.2.0/24"] } # one value, several, or none of several
    destination-ports = [22, "8000-8010"]

    [[port-guard]]
    port = "tap1"
    mac-address = "52:54:00:12:34:56"
    addresses = ["192.0.2.7"]

    [[dhcp-isolation]]
    interface = "eth1"
    address = "192.0.2.1"

The keys of a rule are the fields of :class:`~refnet.firewall.rules.Rule`, with ``-`` for ``_``. A chain has each rule
once, and a port one guard.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from refnet.errors import InvalidArgument
from refnet.firewall import values
from refnet.firewall.actions import (
    ACCEPT,
    CHECKSUM_FILL,
    DROP,
    RETURN,
    Action,
    Dnat,
    Jump,
    Log,
    Masquerade,
    Redirect,
    Reject,
    SetMark,
    Snat,
)
from refnet.firewall.layer2 import DhcpIsolation, PortGuard
from refnet.firewall.manager import FirewallManager
from refnet.firewall.model import Table, table_of
from refnet.firewall.rules import Rule
from refnet.firewall.values import AnyOf, Not, PortRange
from refnet.names import shown
from refnet.toml_file import at, document, fields, known, nearest, tables

DEFAULT_OWNER = "refnet"

_MATCHES = (
    "family",
    "protocol",
    "source",
    "destination",
    "source-ports",
    "destination-ports",
    "in-interface",
    "out-interface",
    "source-mac",
    "states",
    "icmp-type",
    "mark",
    "limit",
    "comment",
)
#: The keys of a rule whose value is one: neither a list of several nor ``{ not = … }``.
_SINGLE = ("family", "protocol", "icmp-type", "mark", "limit", "comment")
#: The keys of a guard; it needs the first two.
_GUARD = ("port", "mac-address", "addresses", "dhcp-server", "router", "neighbour-targets")
_CONSTANTS: dict[str, Action] = {"accept": ACCEPT, "drop": DROP, "return": RETURN, "checksum-fill": CHECKSUM_FILL}
#: Actions that can stand alone, with what they are then.
_ALONE: dict[str, Action] = {"reject": Reject(), "masquerade": Masquerade(), "log": Log()}
#: Actions with a table of their own: the key that names it, and the others that it can have.
_WITH: dict[str, tuple[str, ...]] = {
    "jump": (),
    "reject": (),
    "snat": ("ports",),
    "dnat": ("ports",),
    "redirect": (),
    "masquerade": (),
    "log": (),
    "mark": ("mask",),
}


@dataclass(frozen=True, slots=True)
class FileChain:
    """A chain of a rule file."""

    name: str
    hook: str | None
    table: Table
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class RuleFile:
    """What a rule file says."""

    owner: str
    chains: tuple[FileChain, ...]
    port_guards: tuple[PortGuard, ...]
    dhcp_isolations: tuple[DhcpIsolation, ...]
    #: What messages call the file; "": nothing.
    name: str = field(default="", compare=False)

    def load(self, manager: FirewallManager) -> None:
        """Put it into a manager's model, which is to be empty; nothing is applied.

        Raises:
            InvalidArgument, Unsupported: the manager does not take a part of it; the message says which.
        """
        with at(self.name) if self.name else contextlib.nullcontext():
            for chain in self.chains:
                with at(f"chain {chain.name!r}"):
                    manager.add_chain(chain.name, hook=chain.hook, table=chain.table)
            for chain in self.chains:
                for number, rule in enumerate(chain.rules, 1):
                    with at(f"chain {chain.name!r}, rule {number}"):
                        manager.add_rule(chain.name, rule, table=chain.table)
            for guard in self.port_guards:
                with at(f"port-guard of {guard.port!r}"):
                    manager.guard_port(guard)
            for isolation in self.dhcp_isolations:
                with at(f"dhcp-isolation of {isolation.interface!r}"):
                    manager.isolate_dhcp_address(isolation.interface, str(isolation.address))


def read(path: str | Path) -> RuleFile:
    """Read a rule file; ``-`` is the standard input.

    Raises:
        InvalidArgument: it cannot be read, is no TOML, or says what cannot be; the message says where.
    """
    content = document(path, "rule file")
    name = f"rule file {shown(str(path))}"
    with at(name):
        return parse(content, name)


def parse(content: Mapping[str, Any], name: str = "") -> RuleFile:
    """Return what a rule file says, from its document; ``name`` is for messages of :meth:`RuleFile.load`.

    Raises:
        InvalidArgument: a key is unknown or missing, or a value is none; the message says where.
    """
    known(content, ("owner", "chain", "port-guard", "dhcp-isolation"), "the file")
    owner = values.owner(content.get("owner", DEFAULT_OWNER))
    chains: dict[tuple[Table, str], FileChain] = {}
    for number, entry in enumerate(tables(content, "chain"), 1):
        chain = _chain(entry, f"chain {shown(entry.get('name', number))}")
        if (chain.table, chain.name) in chains:
            raise InvalidArgument(
                f"chain {chain.name!r}: table {chain.table} has this chain already: all of its rules go in one place"
            )
        chains[chain.table, chain.name] = chain
    guards: dict[str, PortGuard] = {}
    for number, entry in enumerate(tables(content, "port-guard"), 1):
        with at(f"port-guard {number}"):
            known(entry, _GUARD, "it", _GUARD[:2])
            guard = PortGuard(**fields(entry))
            if guard.port in guards:
                raise InvalidArgument(f"port {guard.port!r} has a guard already: all that it may do goes in one place")
            guards[guard.port] = guard
    isolations: dict[DhcpIsolation, None] = {}
    for number, entry in enumerate(tables(content, "dhcp-isolation"), 1):
        with at(f"dhcp-isolation {number}"):
            known(entry, ("interface", "address"), "it", ("interface", "address"))
            isolations[DhcpIsolation(**fields(entry))] = None
    return RuleFile(owner, tuple(chains.values()), tuple(guards.values()), tuple(isolations), name)


def rule_of(entry: Mapping[str, Any]) -> Rule:
    """Return a rule from its table.

    Raises:
        InvalidArgument: a key is unknown, or a value is none.
    """
    known(entry, ("action", *_MATCHES), "it", ("action",))
    matches = {name.replace("-", "_"): _match(name, entry[name]) for name in _MATCHES if name in entry}
    for name in ("icmp_type", "mark", "limit"):
        if isinstance(matches.get(name), list):
            matches[name] = tuple(matches[name])
    return Rule(_action(entry["action"]), **matches)


def plain(rule: Rule) -> dict[str, Any]:
    """Return a rule as a table of a rule file; :func:`rule_of` gives the rule back."""
    made: dict[str, Any] = {"action": _plain_action(rule.action)}
    for name in _MATCHES:
        value = getattr(rule, name.replace("-", "_"))
        if value is not None:
            made[name] = _plain_match(value)
    return made


# -- reading ----------------------------------------------------------------------------------------------


def _chain(entry: Mapping[str, Any], place: str) -> FileChain:
    with at(place):
        known(entry, ("name", "hook", "table", "rule"), "it", ("name",))
        name, table = values.chain_name(entry["name"]), table_of(entry.get("table", Table.FILTER))
        listed = tables(entry, "rule", within="chain")
    rules: dict[Rule, int] = {}
    for number, one in enumerate(listed, 1):
        with at(f"{place}, rule {number}"):
            rule = rule_of(one)
            if rule in rules:
                raise InvalidArgument(
                    f"it says the same as rule {rules[rule]}, and a chain has each rule once: take one of them out, or "
                    "tell them apart by a comment"
                )
            rules[rule] = number
    return FileChain(name, entry.get("hook"), table, tuple(rules))


def _action(value: Any) -> Action:
    if isinstance(value, str) and value in _CONSTANTS | _ALONE:
        return (_CONSTANTS | _ALONE)[value]
    if isinstance(value, Mapping):
        named = [name for name in _WITH if name in value]
        if len(named) == 1:
            name = named[0]
            known(value, (name, *_WITH[name]), f"the action {name}")
            main, ports = value[name], value.get("ports")
            made: dict[str, Any] = {
                "jump": lambda: Jump(main),
                "reject": lambda: Reject(main),
                "snat": lambda: Snat(main, ports),
                "dnat": lambda: Dnat(main, ports),
                "redirect": lambda: Redirect(main),
                "masquerade": lambda: Masquerade(main),
                "log": lambda: Log(main),
                "mark": lambda: SetMark(main, value.get("mask", 0xFFFFFFFF)),
            }
            action: Action = made[name]()
            return action
    alone, with_table = ", ".join([*_CONSTANTS, *_ALONE]), ", ".join(f"{{ {name} = … }}" for name in _WITH)
    meant = nearest(value, [*_CONSTANTS, *_ALONE, *_WITH])
    raise InvalidArgument(f"action {shown(value)} is none: there are {alone}; {with_table}{meant}")


def _match(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        if name in _SINGLE:
            raise InvalidArgument(f"{name} {shown(value)} is not possible: write one value, not a table")
        known(value, ("not",), name, ("not",))
        inner = value["not"]
        return Not(*inner) if isinstance(inner, list) else Not(inner)
    return value


# -- writing ----------------------------------------------------------------------------------------------


def _plain_action(action: Action) -> Any:
    for name, constant in (_CONSTANTS | _ALONE).items():
        if action == constant:
            return name
    if isinstance(action, Jump):
        return {"jump": action.chain}
    if isinstance(action, Reject):
        return {"reject": str(action.answer)}
    if isinstance(action, Log):
        return {"log": action.prefix}
    if isinstance(action, SetMark):
        return {"mark": action.value, "mask": action.mask}
    if isinstance(action, Redirect):
        return {"redirect": str(action.ports)}
    if isinstance(action, Masquerade):
        return {"masquerade": str(action.ports)}
    assert isinstance(action, Snat | Dnat)
    name = "snat" if isinstance(action, Snat) else "dnat"
    ports = {} if action.ports is None else {"ports": str(action.ports)}
    return {name: str(action.address), **ports}


def _plain_match(value: Any) -> Any:
    if isinstance(value, AnyOf):
        inner = [_plain_match(one) for one in value.values]
        shortest = inner if len(inner) > 1 else inner[0]
        return {"not": shortest} if value.negated else shortest
    if isinstance(value, tuple) and not isinstance(value, PortRange):
        return str(value) if hasattr(value, "code") else list(value)
    return value if type(value) in (int, str) else str(value)
