"""Routes: what netstat(1) shows, read, and the route(8) commands that make and delete them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from refnet.netdev.freebsd.tools import Command, Step

_VERSIONS = {"Internet": 4, "Internet6": 6}
#: route(8) says so of a route that is there, and of one that is not.
IS_THERE, IS_GONE = "already in table", "not in table"


@dataclass(frozen=True, slots=True)
class Route:
    """One route, with netstat(1)'s letters as ``flags``; ``gateway`` is None where the destination is on the link."""

    version: int
    destination: str
    gateway: str | None
    flags: str
    interface: str
    mtu: int | None = None
    weight: int = 1
    fib: int = 0

    @property
    def movable(self) -> bool:
        """Whether somebody has made it: not the kernel for an address, nor a redirect that will expire."""
        # Each address has a route to itself, which the kernel calls static as well.
        to_itself = self.gateway is None and "H" in self.flags and self.interface.startswith("lo")
        return "D" not in self.flags and ("G" in self.flags or "S" in self.flags) and not to_itself

    @property
    def by_link_local(self) -> bool:
        return self.gateway is not None and "%" in self.gateway

    def through(self, device: str) -> Route:
        """Return the same route through another device."""
        zone = f"{self.gateway.partition('%')[0]}%{device}" if self.gateway is not None and self.by_link_local else None
        return replace(self, interface=device, gateway=zone or self.gateway)

    def add(self) -> Command:
        """Return the command that makes it."""
        more: list[str] = []
        if self.mtu is not None:
            more += ["-mtu", str(self.mtu)]
        if self.weight != 1:
            more += ["-weight", str(self.weight)]
        more += [word for letter, word in (("1", "-proto1"), ("2", "-proto2")) if letter in self.flags]
        return ("route", "-n", "add", *self._what(), *more)

    def delete(self) -> Command:
        """Return the command that deletes it, and no other to the same destination."""
        return ("route", "-n", "delete", *self._what())

    def adding(self) -> Step:
        return Step(self.add(), self.delete(), IS_THERE)

    def deleting(self) -> Step:
        return Step(self.delete(), self.add(), IS_GONE)

    def _what(self) -> tuple[str, ...]:
        family = "-inet" if self.version == 4 else "-inet6"
        fib = ("-fib", str(self.fib)) if self.fib else ()
        # "-gateway" takes the next word whatever it looks like: a device may be called "-a".
        gateway = (self.gateway,) if self.gateway is not None else ("-interface", "-gateway", self.interface)
        return (family, *fib, "-host" if "H" in self.flags else "-net", self.destination, *gateway)


def command(fib: int = 0) -> Command:
    """Return the command that shows the routes of a table; ``-W``: names and addresses are not cut off."""
    return ("netstat", "-rnW", *(("-F", str(fib)) if fib else ()), "--libxo", "json")


def parse(text: str, *, fib: int = 0) -> list[Route]:
    """Read what netstat(1) has shown; nothing at all is what it shows of an empty table."""
    if not text.strip():
        return []
    found = []
    table = json.loads(text)["statistics"]["route-information"].get("route-table", {})
    for family in table.get("rt-family", ()):
        version = _VERSIONS.get(str(family.get("address-family")))
        if version is not None:
            found += [_route(entry, version, fib) for entry in family.get("rt-entry", ())]
    return found


def _route(entry: dict[str, Any], version: int, fib: int) -> Route:
    gateway = str(entry.get("gateway", ""))
    return Route(
        version,
        str(entry["destination"]),
        None if gateway.startswith("link#") or not gateway else gateway,
        str(entry.get("flags", "")),
        str(entry.get("interface-name", "")),
        mtu=int(entry["mtu"]) if "mtu" in entry else None,
        weight=int(entry.get("weight", 1)),
        fib=fib,
    )


def of_device(found: list[Route], device: str, device_mtu: int) -> list[Route]:
    """Return the routes through a device that somebody has made, those on the link first: others depend on them."""
    made = [route for route in found if route.interface == device and route.movable]
    # A route that was given no MTU shows its device's.
    made = [replace(route, mtu=None) if route.mtu == device_mtu else route for route in made]
    return sorted(made, key=lambda route: route.gateway is not None)
