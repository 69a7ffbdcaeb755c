"""The interfaces that the suite judges, each by the specs of an area of its own.

All that depends on the interface goes through this table: which class is judged, how a spec gets an instance of it, and
what its capabilities are. A new interface is an entry here and its half of :mod:`conformance.harness`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from conformance.harness import DhcpUnderTest, DriverUnderTest, FirewallUnderTest, UnderTest
from refnet import config, dhcp, firewall, netdev

if TYPE_CHECKING:
    from conformance.topology.sandbox import Sandbox


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface, and how it is judged."""

    #: The folder of its specs, the fixture that they take, and the option that names the class.
    area: str
    #: What implements it, in words.
    noun: str
    #: The group of entry points that implementations are found in.
    group: str
    base: type
    capabilities: type[enum.Enum]
    under_test: Callable[[Any], UnderTest]
    #: What is done in a sandbox before it is used there, by whoever administrates a host.
    prepare: Callable[[Sandbox], None] = lambda net: None
    #: Areas whose interfaces its specs use besides.
    uses: tuple[str, ...] = ()

    @property
    def option(self) -> str:
        """The option that names a class."""
        return f"--{self.area}"

    @property
    def variable(self) -> str:
        """The environment variable that names a class."""
        return self.group.upper().replace(".", "_")

    def load(self, option: str | None) -> type:
        """Return the class under test: the one named by the option, by the environment, or the platform's.

        Raises:
            RefnetError: it cannot be found or imported.
        """
        return config.load_class(self.group, config.choice(self.group, option), self.base)

    def names(self) -> list[str]:
        """Return the names of its capabilities."""
        return [str(one) for one in self.capabilities]


_ALL = (
    Interface(
        area="netdev",
        noun="device driver",
        group=netdev.ENTRY_POINTS,
        base=netdev.NetDevDriver,
        capabilities=netdev.Capability,
        under_test=DriverUnderTest,
    ),
    Interface(
        area="firewall",
        noun="firewall manager",
        group=firewall.ENTRY_POINTS,
        base=firewall.FirewallManager,
        capabilities=firewall.Capability,
        under_test=FirewallUnderTest,
        prepare=lambda net: net.prepare_firewall(),
        uses=("netdev",),
    ),
    Interface(
        area="dhcp",
        noun="DHCP manager",
        group=dhcp.ENTRY_POINTS,
        base=dhcp.DhcpManager,
        capabilities=dhcp.Capability,
        under_test=DhcpUnderTest,
        uses=("netdev", "firewall"),
    ),
)
#: The interfaces by area, in the order that reports have them.
ALL: Mapping[str, Interface] = {one.area: one for one in _ALL}


def ordered(areas: Iterable[str]) -> tuple[str, ...]:
    """Return these areas, each once, in the order that reports have them.

    Raises:
        ValueError: there is no such area.
    """
    wanted = set(areas)
    unknown = sorted(wanted - set(ALL))
    if unknown:
        raise ValueError(f"no such area: {', '.join(map(repr, unknown))}; expected one of {', '.join(ALL)}")
    return tuple(area for area in ALL if area in wanted)


def with_used(areas: Iterable[str]) -> tuple[str, ...]:
    """Return these areas and those whose interfaces their specs use besides."""
    known = tuple(areas)
    return ordered({*known, *(used for area in known for used in ALL[area].uses)})


def words_for(what: str) -> str:
    """Return what to call something whose code is known by a digest: an area's class, the suite or refnet."""
    return ALL[what].noun if what in ALL else what


def of_refnet(tested: type) -> tuple[str, ...]:
    """Return the names of refnet's own classes that a class is or derives from."""
    return tuple(one.__name__ for one in tested.__mro__ if one.__module__.partition(".")[0] == "refnet")
