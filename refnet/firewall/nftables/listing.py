"""What ``nft -j -n -a list table`` says: a table, its chains and sets, and rules as they come (libnftables-json(5)).

Nothing here starts a program.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from refnet.firewall.nftables import render
from refnet.firewall.values import PortRange
from refnet.names import IPNetwork

Json = Mapping[str, Any]


class NotOurs(Exception):
    """Something that refnet does not write."""


@dataclass(slots=True)
class Listing:
    """A table as it stands."""

    flags: tuple[str, ...] = ()
    #: Each chain's hook, type, priority and policy (all None: it is only jumped to).
    chains: dict[str, tuple[Any, Any, Any, Any]] = field(default_factory=dict)
    #: Each set's type and flags, and its elements as nft says them.
    sets: dict[str, tuple[Any, tuple[str, ...], list[Any]]] = field(default_factory=dict)
    rules: dict[str, list[Json]] = field(default_factory=dict)
    #: Whether there is anything else.
    strange: bool = False

    def complete(self, numbers: Mapping[str, Iterable[int]]) -> None:
        """Put in the rules that nft leaves out without a word, made by newer tools: by the kernel's ``numbers``."""
        for chain, of_chain in numbers.items():
            said = {one["handle"]: one for one in self.rules.get(chain, ())}
            self.rules[chain] = [said.get(number, {"handle": number}) for number in of_chain]
            self.strange = self.strange or chain not in self.chains


def listing(document: Json) -> Listing:
    """Return what a listing of a table says."""
    found = Listing()
    for entry in document["nftables"]:
        for kind, one in entry.items():
            if kind == "rule":
                found.rules.setdefault(one["chain"], []).append(one)
            elif kind == "chain":
                found.chains[one["name"]] = (one.get("hook"), one.get("type"), one.get("prio"), one.get("policy"))
                found.rules.setdefault(one["name"], [])
            elif kind == "set":
                found.sets[one["name"]] = (one.get("type"), _flags(one), one.get("elem", []))
            elif kind == "table":
                found.flags = _flags(one)
            elif kind != "metainfo":
                found.strange = True
    return found


def _flags(one: Json) -> tuple[str, ...]:
    flags = one.get("flags", ())
    return (flags,) if isinstance(flags, str) else tuple(flags)


def expressions(rule: Json) -> list[Json]:
    """Return what a rule consists of; newer nft says nothing of a rule of which it has nothing to show."""
    return [part for part in rule.get("expr", ()) if isinstance(part, dict)]


def jumps(rules: Iterable[Json]) -> list[str | None]:
    """Return where the rules of a base chain jump to; None for one that is not a jump and nothing else."""
    found: list[str | None] = []
    for one in rules:
        parts = expressions(one)
        is_jump = len(parts) == 1 and "jump" in parts[0] and "comment" not in one
        found.append(parts[0]["jump"]["target"] if is_jump else None)
    return found


def elements(said: Iterable[Any]) -> tuple[Any, ...]:
    """Return the networks, or the ports, of a set, in their normal form.

    Raises:
        NotOurs: it has other elements, or such with a timeout, a comment or a counter.
    """
    values = list(said)
    try:
        if all(_is_port(one) for one in values):
            return render.port_ranges(port(one) for one in values)
        return render.networks(network for one in values for network in networks(one))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NotOurs from error


def port(one: Any) -> PortRange:
    """Return a port, or a range of them."""
    if isinstance(one, dict):
        first, last = one["range"]
        return PortRange(first, last)
    return PortRange(one, one)


def networks(one: Any) -> list[IPNetwork]:
    """Return an address, a network or a range of addresses as networks."""
    if isinstance(one, str):
        return [ipaddress.ip_network(one)]
    if "prefix" in one:
        return [ipaddress.ip_network(f"{one['prefix']['addr']}/{one['prefix']['len']}")]
    first, last = (ipaddress.ip_address(address) for address in one["range"])
    return list(ipaddress.summarize_address_range(first, last))


def _is_port(one: Any) -> bool:
    return isinstance(one, int) or (isinstance(one, dict) and "range" in one and isinstance(one["range"][0], int))
