"""Routes as ``ip`` shows them, written as its arguments: the same route again, here or through another device.

They are read as text, not as JSON: that leaves out that a metric is locked (``mtu lock 1400``). And with numbers for
tables, protocols and scopes, because ``ip -batch`` mixes up names: it keeps the last name that it looked up, and lets
the next number change what that name stands for ("proto boot", "proto 199", and "boot" is 199).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, replace

from refnet.errors import Unsupported
from refnet_iproute2.command import Words, listing
from refnet_iproute2.steps import Step

_LOCAL_TABLE = "255"
_KERNEL = "2"
#: The kinds of routes; a number is not taken for one.
_KINDS = dict(enumerate(("unspec", "unicast", "local", "broadcast", "anycast", "multicast"))) | dict(
    enumerate(("blackhole", "unreachable", "prohibit", "throw", "nat"), 6)
)
#: With one value; the metrics may have "lock" before it.
_VALUED = frozenset(("from", "tos", "table", "proto", "scope", "src", "metric", "pref", "realms", "expires", "error"))
_METRICS = frozenset(
    (
        *("mtu", "advmss", "hoplimit", "window", "rtt", "rttvar", "reordering", "cwnd", "ssthresh", "initcwnd"),
        *("initrwnd", "rto_min", "quickack", "congctl", "features", "fastopen_no_cookie"),
    )
)
#: What the kernel says about a route's state, or about where else it is kept: nothing to write again.
_STATES = frozenset(
    ("dead", "linkdown", "pervasive", "unresolved", "offload", "offload_failed", "trap", "rt_offload", "rt_trap")
)
_EVERYTHING = {4: "0.0.0.0/0", 6: "::/0"}


@dataclass(frozen=True, slots=True)
class Hop:
    """A next hop: gateway (``via`` and its words, or nothing) and device."""

    dev: str = ""
    via: Words = ()
    weight: int = 1
    onlink: bool = False

    def words(self) -> Words:
        """Return ``ip``'s words, without the weight."""
        return (*self.via, "dev", self.dev, *(("onlink",) if self.onlink else ()))


@dataclass(frozen=True, slots=True)
class Route:
    """A route with everything that it carries: one next hop, or several (IPv4).

    IPv6 keeps the next hops of a route as routes of their own, which come and go one by one; so they do here.
    ``expires`` is in seconds, and no part of what makes two routes equal.
    """

    family: int
    kind: str
    destination: str
    options: frozenset[tuple[str, Words]]
    hops: tuple[Hop, ...]

    def option(self, name: str) -> str:
        """Return the value of an option, empty if it is not given."""
        return " ".join(dict(self.options).get(name, ()))

    def is_kernels(self) -> bool:
        """Say whether it is marked as one that the kernel made."""
        return self.option("proto") == _KERNEL

    def through(self, old: str, new: str) -> Route:
        """Return the same route through another device."""
        hops = tuple(replace(hop, dev=new) if hop.dev == old else hop for hop in self.hops)
        return replace(self, hops=hops)

    def identity(self) -> object:
        """Return what two routes have in common that the kernel takes for the same."""
        return replace(self, options=frozenset(option for option in self.options if option[0] != "expires"))

    def step(self) -> Step:
        """Return the step that appends it, behind other routes to the same place."""
        return Step(("route", "append", *self._words("")), ("route", "delete", *self._words("expires")))

    def removal(self) -> Step:
        """Return the step that takes it away."""
        given = self.step()
        return Step(given.undo, given.do)

    def _words(self, without: str) -> Words:
        options = tuple(word for name, value in sorted(self.options) if name != without for word in (name, *value))
        if len(self.hops) == 1 and self.hops[0].weight == 1:
            hops = self.hops[0].words()
        else:
            hops = tuple(word for hop in self.hops for word in ("nexthop", *hop.words(), "weight", str(hop.weight)))
        return (self.kind, self.destination, *options, *hops)


def network(route: Route) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Return a route's destination as a network, to compare with."""
    return ipaddress.ip_network(route.destination)


def read(dev: str, family: int) -> list[Route]:
    """Return the routes through a device, of all tables but the kernel's own, in its order.

    Raises:
        Unsupported: one has something that this module cannot write again.
    """
    # Not "show dev DEV": that leaves out routes with several next hops.
    shown = listing(f"-{family}", "-Numeric", "-details", "-oneline", "route", "show", "table", "all")
    return [route for line in shown.splitlines() if not line[:1].isspace() for route in _routes(line, dev, family)]


def parse(line: str, family: int) -> list[Route]:
    """Read one line of ``ip -d -o route show``.

    Raises:
        Unsupported: it has a word that is not known here.
    """
    words = iter(word for word in line.replace("\\", " ").split())
    kind, destination = next(words), next(words)
    options: dict[str, Words] = {}
    hops = [Hop()]
    for word in words:
        if word == "nexthop":
            hops = [*hops, Hop()] if hops[0].dev else [Hop()]
        elif word == "via":
            first = next(words)
            via = ("via", first, next(words)) if first in ("inet", "inet6") else ("via", first)
            hops[-1] = replace(hops[-1], via=via)
        elif word == "dev":
            hops[-1] = replace(hops[-1], dev=next(words))
        elif word == "weight":
            hops[-1] = replace(hops[-1], weight=int(next(words)))
        elif word == "onlink":
            hops[-1] = replace(hops[-1], onlink=True)
        elif word in _VALUED or word in _METRICS:
            options[word] = _value(word, next(words), words)
        elif word not in _STATES:
            raise Unsupported(
                f"a route has {word!r}, which cannot be moved: {line.strip()}", capability=f"route-{word}"
            )
    options.pop("error", None)
    if destination == "default":
        destination = _EVERYTHING[family]  # which says the family, too
    if kind.isdigit():
        kind = _KINDS.get(int(kind), kind)
    route = Route(family, kind, destination, frozenset(options.items()), tuple(hops))
    return [replace(route, hops=(hop,)) for hop in hops] if family == 6 else [route]


def in_adding_order(routes: Iterable[Route]) -> list[Route]:
    """Return the order to add them in: a gateway has to be within reach before it is used."""
    return sorted(routes, key=lambda route: any(hop.via for hop in route.hops))


def _routes(line: str, dev: str, family: int) -> list[Route]:
    if f" dev {dev} " not in f"{line} " or f" table {_LOCAL_TABLE} " in line:
        return []
    return [route for route in parse(line, family) if any(hop.dev == dev for hop in route.hops)]


def _value(name: str, first: str, rest: Iterable[str]) -> Words:
    value = (first, next(iter(rest))) if first == "lock" else (first,)
    if name == "rto_min":
        return value[-1:]  # always locked, and taken without the word
    if name == "expires":
        return (str(max(int(first.removesuffix("sec")), 1)),)
    return value
