"""Addresses as ``ip`` shows them, written as its arguments: the same address again, here or on another device."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from refnet import names
from refnet.errors import Unsupported
from refnet_iproute2.command import Words
from refnet_iproute2.show import FOREVER
from refnet_iproute2.steps import Step

#: What ``ip`` shows as true and takes as a bare word.
_FLAGS = ("noprefixroute", "mngtmpaddr", "home", "autojoin")
#: Scopes by number: names and numbers in one ``ip -batch`` are mixed up by it (see :mod:`.routes`).
_SCOPES = {"global": "0", "site": "200", "link": "253", "host": "254", "nowhere": "255"}
_LONGEST_LABEL = names.MAX_DEVICE_NAME
#: From a route's point of view, the kernel's metrics for the prefix of an address that has none of its own.
_PREFIX_METRIC = {4: 0, 6: 256}


@dataclass(frozen=True, slots=True)
class Carried:
    """An address with everything that it carries.

    ``words`` are ``ip``'s for it, without device and label; ``label`` is what follows the device's name in an IPv4
    label (``:1``), None for a label that does not begin with the device's name. ``network`` is the prefix that
    belongs to it, the other end's where it has a peer.
    """

    interface: names.InterfaceAddress
    network: ipaddress.IPv4Network | ipaddress.IPv6Network
    scope: str
    words: Words
    label: str | None = ""
    metric: int | None = None
    has_prefix_route: bool = True

    @property
    def family(self) -> int:
        """4 or 6."""
        return self.interface.version

    @property
    def prefix_route(self) -> tuple[object, int] | None:
        """Prefix and metric of the route that the kernel makes for it; None if it makes none."""
        metric = self.metric if self.metric is not None else _PREFIX_METRIC[self.family]
        return (self.network, metric) if self.has_prefix_route else None

    def step(self, dev: str) -> Step:
        """Return the step that gives it to a device.

        Raises:
            Unsupported: its label cannot be had on that device.
        """
        label: Words = ()
        if self.label:
            label = ("label", dev + self.label)
        if self.label is None or (label and len(label[1]) > _LONGEST_LABEL):
            raise Unsupported(f"{self.interface} has a label that {dev!r} cannot have", capability="address-label")
        named = self.words[: 3 if "peer" in self.words else 1]
        return Step(("address", "add", *self.words, *label, "dev", dev), ("address", "delete", *named, "dev", dev))

    def again(self, dev: str) -> Words:
        """Return the command that gives it to a device that may have it: its prefix route comes back as well."""
        return ("address", "replace", *self.step(dev).do[2:])

    def removal(self, dev: str) -> Step:
        """Return the step that takes it from a device."""
        given = self.step(dev)
        return Step(given.undo, given.do)


def carried(entries: Iterable[Mapping[str, Any]], dev: str) -> list[Carried]:
    """Read a device's addresses, in the system's order."""
    return [_carried(entry, dev) for entry in entries]


def plain(interface: names.InterfaceAddress) -> Carried:
    """Return an address as refnet's interface has it: IPv4 with its broadcast address, IPv6 for use at once."""
    words: Words = (str(interface),)
    if interface.version == 6:
        words += ("nodad",)
    elif interface.network.prefixlen <= 30:  # RFC 3021: the two addresses of a /31 are both hosts
        words += ("broadcast", str(interface.network.broadcast_address))
    return Carried(interface, interface.network, "global", words)


def in_adding_order(addresses: list[Carried]) -> list[Carried]:
    """Return the order to add them in, for the system to list them as they are listed here.

    The kernel appends to its IPv4 addresses, and puts a new IPv6 address before the others.
    """
    return [a for a in addresses if a.family == 4] + [a for a in reversed(addresses) if a.family == 6]


def _carried(entry: Mapping[str, Any], dev: str) -> Carried:
    interface = ipaddress.ip_interface(f"{entry['local']}/{entry['prefixlen']}")
    words: Words
    if "address" in entry:
        other = ipaddress.ip_interface(f"{entry['address']}/{entry['prefixlen']}")
        words, network = (entry["local"], "peer", str(other)), other.network
    else:
        words, network = (str(interface),), interface.network
    if interface.version == 4:
        words += ("scope", _SCOPES.get(entry["scope"], entry["scope"]))
        words += ("broadcast", entry["broadcast"]) if "broadcast" in entry else ()
    else:
        words += ("nodad",)
    words += ("metric", str(entry["metric"])) if "metric" in entry else ()
    words += tuple(flag for flag in _FLAGS if entry.get(flag))
    # "kernel_ll" and the like are the kernel's own, and not for others to give.
    origin = str(entry.get("protocol", "kernel"))
    words += () if origin.startswith("kernel") else ("proto", origin)
    valid, preferred = entry.get("valid_life_time", FOREVER), entry.get("preferred_life_time", FOREVER)
    if (valid, preferred) != (FOREVER, FOREVER):
        # 0 is in the last second of its life; the kernel takes no address that is dead.
        words += ("valid_lft", _lifetime(max(valid, 1)), "preferred_lft", _lifetime(preferred))
    label = str(entry.get("label", dev))
    return Carried(
        interface,
        network,
        str(entry["scope"]),
        words,
        label.removeprefix(dev) if label.startswith(dev) else None,
        entry.get("metric"),
        not entry.get("noprefixroute"),
    )


def _lifetime(seconds: int) -> str:
    return "forever" if seconds == FOREVER else str(seconds)
