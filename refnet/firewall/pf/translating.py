"""Translation of addresses: a model's chains of table nat as the rules of translation that pf asks, one after another.

pf has no chains of them that can be loaded together with the rest: what jumps lead to is written out where they stand,
with the conditions of both. pf translates what comes in (``rdr``) before it filters, and what goes out (``nat``) before
it filters there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from typing import Any

from refnet.errors import Unsupported
from refnet.firewall.actions import ACCEPT, Accept, Dnat, Jump, Log, Masquerade, Redirect, Return, Snat
from refnet.firewall.manager import Capability
from refnet.firewall.model import Chain, Hook, Model
from refnet.firewall.pf.matching import matches, states
from refnet.firewall.rules import Rule
from refnet.firewall.values import AnyOf, PortRange, State

_WORDS = {4: "inet", 6: "inet6"}


def check(rule: Rule) -> None:
    """Refuse a rule that pf's translation cannot express.

    Raises:
        Unsupported: with the reason.
    """

    def refuse(reason: str) -> None:
        raise Unsupported(reason, capability=Capability.NAT)

    if isinstance(rule.action, Log):
        refuse("pf does not log from rules of translation: log in table filter")
    if rule.icmp_type is not None:
        refuse("pf cannot ask for a type of ICMP in rules of translation")
    if rule.states is not None and State.NEW not in (states(rule) or ()):
        refuse("pf translates when a connection is new: rules of translation are asked about no others")
    if isinstance(rule.action, Return) and not _takes_all(rule):
        refuse("pf cannot go back from rules of translation on a condition: use ACCEPT, or jump to other rules")
    matches(rule, rule.in_interface)
    matches(rule, rule.out_interface)
    device = {Masquerade: rule.out_interface, Redirect: rule.in_interface}.get(type(rule.action))
    for name in device.values if device is not None and not device.negated else ():
        _address_of(name)


def check_way(rule: Rule, chain: Chain, model: Model) -> None:
    """Refuse a rule of a chain by which the destination of what this host sends would be translated.

    Raises:
        Unsupported: pf translates that of what comes in only.
    """
    translates = isinstance(rule.action, Dnat | Redirect)
    if isinstance(rule.action, Jump):
        below = _linked(model.chain(chain.table, rule.action.chain), model, lambda one: one.jumps)
        translates = any(one.restricted.keys() & {"Dnat", "Redirect"} for one in below)
    if translates and any(one.hook is Hook.OUTPUT for one in _linked(chain, model, lambda one: one.callers)):
        raise Unsupported(
            "pf translates the destination of what comes in only, and not of what this host sends",
            capability=Capability.NAT,
        )


def _linked(chain: Chain, model: Model, step: Callable[[Chain], Iterable[str]]) -> Iterator[Chain]:
    """Give a chain, and those that steps lead to from it, each once."""
    seen, left = {chain.name}, [chain]
    while left:
        one = left.pop()
        yield one
        new = [name for name in step(one) if name not in seen]
        seen.update(new)
        left += [model.chain(chain.table, name) for name in new]


def _takes_all(rule: Rule) -> bool:
    return all(getattr(rule, one.name) is None for one in fields(rule) if one.name not in ("action", "comment"))


class Translation:
    """Writes the chains of table nat; ``here`` are the devices of this host, for rules that name none."""

    def __init__(self, model: Model, here: tuple[str, ...]) -> None:
        """Take the model that chains are looked up in."""
        self._model = model
        self._here = here

    def write(self, chains: list[Chain], lines: list[str], of_rules: list[str]) -> None:
        """Append pf's lines, and for each the name of the rule that it is of.

        Raises:
            Unsupported: pf has no words for a rule where it is asked.
        """
        for hook in (Hook.POSTROUTING, Hook.PREROUTING, Hook.OUTPUT):
            for chain in (one for one in chains if one.hook is hook):
                for rule, name in self._flat(chain, Rule(ACCEPT)):
                    for line in self._lines(rule, hook):
                        lines.append(line)
                        of_rules.append(name)

    def _flat(self, chain: Chain, within: Rule) -> Iterator[tuple[Rule, str]]:
        """Give the rules of a chain, and of those that it jumps to, each with all of its conditions."""
        for rule, written in chain.items():
            if isinstance(rule.action, Return):
                return
            narrowed = both(within, rule)
            if narrowed is None:
                continue
            if isinstance(rule.action, Jump):
                yield from self._flat(self._model.chain(chain.table, rule.action.chain), narrowed)
            else:
                yield narrowed, written.id

    def _lines(self, rule: Rule, hook: Hook) -> list[str]:
        action = rule.action
        if hook is Hook.OUTPUT:
            if isinstance(action, Accept):
                return []
            raise Unsupported("pf does not translate the destination of what this host sends", capability="nat")
        kind, device = ("nat", rule.out_interface) if hook is Hook.POSTROUTING else ("rdr", rule.in_interface)
        other = rule.in_interface if kind == "nat" else rule.out_interface
        if other is not None and not other.negated:
            return []
        if isinstance(action, Masquerade | Redirect):
            return [
                f"{one.line(kind)} -> {_address_of(name)}{_ports(action.ports)}"
                for name in self._named(device)
                for family in ((rule.family,) if rule.family else (4, 6))
                for one in matches(with_values(rule, family=family), AnyOf((name,)))
            ]
        if isinstance(action, Snat | Dnat):
            goes = f" -> {action.address}{_ports(action.ports)}"
            return [one.line(kind) + goes for one in matches(rule, device)]
        return [one.line(f"no {kind}") for one in matches(rule, device)]

    def _named(self, condition: AnyOf[str] | None) -> list[str]:
        """Return the devices that a condition is about, by their names: each has an address of its own."""
        if condition is not None and not condition.negated:
            return list(condition.values)
        excluded = condition.values if condition is not None else ()
        return [name for name in self._here if name not in excluded]


def _address_of(device: str) -> str:
    """Return pf's words for the first address that a device has, whenever that is.

    Raises:
        Unsupported: pf takes it for no device.
    """
    if not device[0].isalpha():
        raise Unsupported(
            f"pf takes '{device}' for no device's name where its address is asked for: name a device by a letter first",
            capability=Capability.NAT,
        )
    return f"({device}:0)"


def _ports(ports: PortRange | None) -> str:
    if ports is None:
        return ""
    return f" port {ports.first}" if ports.first == ports.last else f" port {ports.first}:{ports.last}"


def with_values(rule: Rule, **values: Any) -> Rule:
    """Return a rule with other values in some of its fields."""
    given = {one.name: getattr(rule, one.name) for one in fields(rule)}
    return Rule(**{**given, **values})


def both(first: Rule, second: Rule) -> Rule | None:
    """Return a rule with the action of the second that matches what both match; None: nothing can match both.

    Raises:
        Unsupported: it cannot be said in one rule.
    """
    found: dict[str, Any] = {"comment": None}
    for name in ("family", "protocol", "icmp_type"):
        one, other = getattr(first, name), getattr(second, name)
        if None not in (one, other) and one != other:
            return None
        found[name] = second.__getattribute__(name) if one is None else one
    for name in ("source", "destination", "source_ports", "destination_ports", "in_interface", "out_interface"):
        one, other = getattr(first, name), getattr(second, name)
        if one is None or other is None or one == other:
            found[name] = other if one is None else one
            continue
        if one.negated or other.negated:
            raise Unsupported(
                f"pf cannot narrow {name.replace('_', ' ')} twice on the way to one rule of translation, once by Not",
                capability=Capability.NAT,
            )
        values = [shared for a in one.values for b in other.values if (shared := _shared(a, b)) is not None]
        if not values:
            return None
        found[name] = values
    return with_values(second, **found)


def _shared(one: Any, other: Any) -> Any:
    if isinstance(one, PortRange):
        first, last = max(one.first, other.first), min(one.last, other.last)
        return PortRange(first, last) if first <= last else None
    if isinstance(one, str):
        return one if one == other else None
    if one.version != other.version or not one.overlaps(other):
        return None
    return one if one.prefixlen >= other.prefixlen else other
