"""The suite's eyes, on whichever system: what can be asked, and the words of the answers.

What is said of a link, an address or a route is a mapping, with these keys on every system (and others besides):

* link: ``ifname``, ``flags`` (a list; ``UP``, and ``LOWER_UP`` where the carrier is there), ``mtu``, ``address``,
  ``master`` if it is a port, and ``linkinfo.info_kind`` (``bridge``, ``vlan``, ``veth``, ``tun``) if it has a kind;
* address: ``local``, ``prefixlen``, ``scope`` (``link`` for IPv6 link-local ones), ``broadcast`` if it has one;
* route: ``dst`` (a prefix, an address, or ``default``), ``dev``, and ``gateway`` if it has one.
"""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from conformance.faults import injected
from conformance.oracles.processes import Process
from conformance.oracles.state import State, difference

if TYPE_CHECKING:
    from conformance.topology.switch import Switch

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Listing:
    """Devices, their addresses and all routes at one moment, seen by one look."""

    links: Mapping[str, Entry]
    addresses: Mapping[str, list[Entry]]
    routes: list[Entry]

    def cidrs(self, name: str) -> list[str]:
        """Return a device's addresses with their prefix lengths in the kernel's order, without IPv6 link-local ones."""
        found = self.addresses.get(name, ())
        return [f"{info['local']}/{info['prefixlen']}" for info in found if not is_link_local(info)]


@dataclass(frozen=True, slots=True)
class Counter:
    """What a rule has matched: the place where it stands, its text without the numbers, packets and bytes."""

    place: str
    rule: str
    packets: int
    bytes: int


class Oracle(abc.ABC):
    """Looks at the network stack of the calling thread, and at the Open vSwitch that belongs to it."""

    #: The stack's Open vSwitch. Its daemons and their files are nobody's doing; what is in its database is.
    switch: Switch | None = None

    @abc.abstractmethod
    def link(self, name: str) -> Entry | None:
        """Return what the system says of a device; None: it is not there."""

    @abc.abstractmethod
    def names(self) -> set[str]:
        """Return the names of all devices."""

    @abc.abstractmethod
    def ports(self, bridge: str) -> set[str]:
        """Return the ports of a bridge."""

    @abc.abstractmethod
    def bridge_options(self, bridge: str) -> Entry:
        """Return what the system says of a bridge's own settings, without its timers and ids.

        ``stp`` and ``multicast_snooping`` are bool, ``forward_delay`` and ``ageing_time`` are in seconds; what the
        system has no such setting for is not in it.
        """

    @abc.abstractmethod
    def addresses(self, name: str, family: int) -> list[Entry]:
        """Return a device's addresses of a family (4 or 6) in the kernel's order, without IPv6 link-local ones."""

    @abc.abstractmethod
    def link_local(self, name: str) -> set[str]:
        """Return a device's IPv6 link-local addresses."""

    @abc.abstractmethod
    def routes(self, family: int = 4) -> list[Entry]:
        """Return all routes of a family that are not the kernel's own local ones."""

    @abc.abstractmethod
    def listing(self) -> Listing:
        """Return devices, addresses and routes by one look."""

    @abc.abstractmethod
    def state(self) -> State:
        """Take down everything that a driver could leave behind: links, addresses, routes, rules, settings, processes.

        What :meth:`rules` tells is the section :data:`~.state.RULE_SET`.
        """

    @abc.abstractmethod
    def descriptors(self) -> list[str]:
        """Return what the descriptors of this process are open on, in the system's words."""

    @abc.abstractmethod
    def process_state(self) -> State:
        """Take down what the driver's process holds: descriptors, threads, and what it has not waited for."""

    @abc.abstractmethod
    def evidence(self) -> Mapping[str, str]:
        """Return what a person would look at, as text by file name."""

    @abc.abstractmethod
    def rest(self) -> None:
        """Wait until no link is on its way from one state to another.

        Raises:
            SuiteError: they do not come to rest.
        """

    @abc.abstractmethod
    def listening(self) -> contextlib.AbstractContextManager[Callable[[], list[str]]]:
        """Listen to what the kernel tells of writes; what is yielded returns what has been heard, in words."""

    @abc.abstractmethod
    def processes(self) -> list[Process]:
        """Return the processes in this stack: all but this one, and those that it descends from.

        On Linux they are those in the network namespace, on FreeBSD those in the jail; what is in a guest is not.
        """

    @abc.abstractmethod
    def user(self, pid: int) -> int:
        """Return the number of the user that a process is, effectively."""

    @abc.abstractmethod
    def is_stopped(self, pid: int) -> bool:
        """Whether a process was stopped (SIGSTOP)."""

    @abc.abstractmethod
    def sockets(self) -> list[str]:
        """Return the sockets of this stack that wait for UDP or TCP, as ``udp 10.9.0.1:53``.

        A device that one is bound to stands behind the address: ``udp 0.0.0.0%br0:67``. What is bound to no address is
        ``0.0.0.0``, ``[::]`` or ``*``, as the system writes it.
        """

    @abc.abstractmethod
    def rules(self) -> Mapping[str, str]:
        """Return all that any packet filter has: its text as the system lists it, by the place where it stands.

        A place is a table of a program and a family (Linux: ``iptables-legacy filter``, ``nft inet name``), or a rule
        set with its anchors (FreeBSD: ``pf``, ``pf anchor refnet/web``). Counters, handles and times are left out, so
        that equal texts mean equal rules in equal order. What tools leave behind that does nothing (built-in chains
        without rules whose policy is to accept, and tables of nothing else) counts as absent. To look makes nothing.
        """

    @abc.abstractmethod
    def counters(self) -> list[Counter]:
        """Return how many packets and bytes each rule has matched, in the order of the rules, as the system tells it.

        Rules that the system does not count for are left out.
        """

    # -- what follows from it ------------------------------------------------------------------------

    def switch_rows(self) -> Mapping[str, Any]:
        """Return the rows of the database of the stack's Open vSwitch, for :meth:`state`."""
        return self.switch.rows() if self.switch else {}

    def of_others(self, processes: Iterable[Process]) -> list[Process]:
        """Return the processes that are not those of the stack's Open vSwitch."""
        own = self.switch.pids() if self.switch else set()
        return [one for one in processes if one.pid not in own]

    def need(self, name: str) -> Entry:
        """Return what there is to say of a device that a driver says it has made.

        Raises:
            AssertionError: it is not there.
        """
        link = self.link(name)
        if link is None:
            raise AssertionError(f"there is no device {name}")
        return link

    def kind(self, name: str) -> str | None:
        """Return the system's word for a device's kind; None: it has none, or is not there."""
        return kind_of(self.link(name) or {})

    def master(self, name: str) -> str | None:
        """Return the bridge that has the device as a port."""
        master = self.need(name).get("master")
        return str(master) if master else None

    def up(self, name: str) -> bool:
        """Whether a device is administratively up."""
        return "UP" in self.need(name)["flags"]

    def carrier(self, name: str) -> bool:
        """Whether a device's link is there."""
        return "LOWER_UP" in self.need(name)["flags"]

    def mac(self, name: str) -> str:
        """Return a device's MAC address."""
        return str(self.need(name)["address"])

    def mtu(self, name: str) -> int:
        """Return a device's MTU in bytes."""
        return int(self.need(name)["mtu"])

    def cidrs(self, name: str, family: int = 4) -> list[str]:
        """Return a device's addresses with their prefix lengths, in the kernel's order."""
        return [f"{info['local']}/{info['prefixlen']}" for info in self.addresses(name, family)]

    def routes_through(self, name: str, family: int = 4) -> list[Entry]:
        """Return the routes whose way out, or one of whose ways out, is a device."""
        return through(name, self.routes(family))

    @contextlib.contextmanager
    def unchanged(self, what: str) -> Iterator[None]:
        """Assert that a piece of work changes nothing in this stack.

        Raises:
            AssertionError: naming what has changed.
        """
        before = self.state()
        yield
        changed = difference(before, self.state())
        # Raised, not asserted: it has to hold under "python -O" as well.
        if changed:
            raise AssertionError(f"{what}: the host has changed: {'; '.join(changed)}")

    @contextlib.contextmanager
    def unwritten(self, what: str) -> Iterator[None]:
        """Assert that a piece of work changes nothing and writes nothing.

        The kernel tells its listeners of writes, whoever makes them, but not of those that set what is set already:
        so the requests that this process itself makes are looked at as well.

        Raises:
            AssertionError: naming what was written.
        """
        with self.unannounced(what), injected(0) as seen:
            yield
        if seen.writes:
            raise AssertionError(
                f"{what}: there was nothing to do, and yet the kernel was written to, by {seen.writes} requests"
            )

    @contextlib.contextmanager
    def unannounced(self, what: str) -> Iterator[None]:
        """Assert that a piece of work changes nothing, and that the kernel tells its listeners of no write.

        Nor is anything written to the database of an Open vSwitch.

        Raises:
            AssertionError: naming what was written.
        """
        self.rest()
        with self.listening() as told, self.unchanged(what):
            written = len(self.switch.records()) if self.switch else 0
            yield
            heard = told()
            if self.switch:
                heard += [f"the switch's database, {record}" for record in self.switch.records()[written:]]
            if heard:
                raise AssertionError(
                    f"{what}: there was nothing to do, and yet the kernel was written to: {', '.join(heard)}"
                )


def kind_of(link: Mapping[str, Any]) -> str | None:
    """Return the system's word for the kind of a link; None: it has none."""
    kind = link.get("linkinfo", {}).get("info_kind")
    return str(kind) if kind else None


def through(name: str, routes: Sequence[Entry]) -> list[Entry]:
    """Return the routes whose way out, or one of whose ways out, is a device."""
    return [
        route
        for route in routes
        if route.get("dev") == name or any(hop.get("dev") == name for hop in route.get("nexthops", []))
    ]


def is_link_local(info: Mapping[str, Any]) -> bool:
    """Whether an address is an IPv6 link-local one, which the kernel gives by itself when a link comes up."""
    return info.get("family") == "inet6" and info.get("scope") == "link"


def counted(texts: Iterable[str]) -> list[tuple[str, int]]:
    """Return each text with the number of its equals that came before it."""
    seen: dict[str, int] = {}
    result = []
    for text in texts:
        result.append((text, seen.get(text, 0)))
        seen[text] = seen.get(text, 0) + 1
    return result
