"""Two sets of rules that decide about the same packets in opposite ways: their fate tells which of them stands."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from conformance.harness import FirewallUnderTest
from conformance.specs.firewall.ground import arrives, drop, lay
from conformance.topology.routed import Flow, Routed
from conformance.topology.sandbox import Sandbox
from refnet.firewall import ACCEPT, DROP, Capability, Rule, Snat

_OPEN = Flow("a", "b", "udp", 7000)
#: What the old rules, and the new ones, make of the source of what is sent to port 7003.
_OLD_SOURCE = {4: "192.0.2.7", 6: "2001:db8::7"}
_NEW_SOURCE = {4: "192.0.2.8", 6: "2001:db8::8"}
_FILTER, _NAT = "filter-forward", "nat-postrouting"


def old(manager: FirewallUnderTest, *, nat: Collection[int] = ()) -> None:
    """Lay rules of which packets tell that they stand: all of them, or none. ``nat``: translating these families."""
    lay(manager, drop(7001), Rule(ACCEPT, protocol="udp", destination_ports=7002), drop(7002))
    _translate(manager, _OLD_SOURCE, nat)


def new(manager: FirewallUnderTest, *, nat: Collection[int] = ()) -> None:
    """Lay rules that decide the other way about the same packets."""
    lay(manager, drop(7002), Rule(ACCEPT, protocol="udp", destination_ports=7001), drop(7001))
    _translate(manager, _NEW_SOURCE, nat)


def empty(manager: FirewallUnderTest) -> None:
    """Take all rules out of the model, and leave its chains."""
    for table, name, _ in manager.chains():
        manager.empty_chain(name, table=table)


def _translate(manager: FirewallUnderTest, sources: dict[int, str], families: Collection[int]) -> None:
    if families:
        lay(manager, *(_translation(sources[family]) for family in families), hook="postrouting", table="nat")


def _translation(address: str) -> Rule:
    return Rule(Snat(address), protocol="udp", destination_ports=7003)


class Standing(NamedTuple):
    """Whether packets to ports 7001 and 7002 arrive, and whom those to port 7003 come from; {}: the sender."""

    arriving: tuple[bool, bool]
    sources: dict[int, str]
    words: str


#: If all of these rules stand, and none.
OLD = Standing((False, True), _OLD_SOURCE, "the old rules stand")
NEW = Standing((True, False), _NEW_SOURCE, "the new rules stand")
NONE = Standing((True, True), {}, "no rules stand")
#: What makes the old rules decide as the new ones do, when it is put before them.
_CHANGE = (
    Rule(DROP, protocol="udp", destination_ports=7002, comment="changed"),
    Rule(ACCEPT, protocol="udp", destination_ports=7001, comment="changed"),
)


class Ground:
    """Two hosts of both families, where datagrams to three ports tell which rules stand."""

    def __init__(self, firewall: FirewallUnderTest, net: Sandbox) -> None:
        """Lay it."""
        can = firewall.capabilities()
        families = (4, 6) if Capability.FIREWALL_IPV6 in can else (4,)
        self.routed = Routed(net, "a", "b", families=families)
        translating = {4: Capability.NAT in can, 6: {Capability.NAT, Capability.NAT_IPV6} <= can}
        #: The families whose packets the rules translate.
        self.nat = tuple(family for family in families if translating[family])

    def old(self, manager: FirewallUnderTest) -> None:
        """Lay the old rules, of table nat as well where it can be."""
        old(manager, nat=self.nat)

    def new(self, manager: FirewallUnderTest) -> None:
        """Lay the new rules, of table nat as well where it can be."""
        new(manager, nat=self.nat)

    def change(self, manager: FirewallUnderTest) -> None:
        """Put before the old rules what makes them decide as the new ones do."""
        for rule in _CHANGE:
            manager.add_rule(_FILTER, rule, first=True)
        for family in self.nat:
            manager.add_rule(_NAT, _translation(_NEW_SOURCE[family]), first=True, table="nat")

    def change_back(self, manager: FirewallUnderTest) -> None:
        """Take that away again."""
        for rule in _CHANGE:
            manager.remove_rule(_FILTER, rule)
        for family in self.nat:
            manager.remove_rule(_NAT, _translation(_NEW_SOURCE[family]), table="nat")

    def see(self, what: str, *possible: Standing, by_table: bool = False) -> None:
        """Prove that the rules of each family are all those of one of the possible sets.

        ``by_table``: those of each table are; who is killed between two tables cannot put the first one back.
        """
        for family in self.routed.families:
            control = _OPEN.but(family=family)
            one, two = (
                arrives(self.routed, control.but(dport=port), control=control, what=what) for port in (7001, 7002)
            )
            words = f"{what}: over IPv{family} "
            known = {standing.arriving: standing.words for standing in (OLD, NEW, NONE)}
            said = known.get((one, two), "half of the rules stand")
            fitting = [standing for standing in possible if standing.arriving == (one, two)]
            if not fitting:
                raise AssertionError(f"{words}{said}: 7001 and 7002 get packets: {one} and {two}")
            if family not in self.nat:
                continue
            source = self.routed.passes(control.but(dport=7003), what=f"{what}: what rules translate at most").source
            own = self.routed.address("a", family)
            expected = [standing.sources.get(family, own) for standing in (possible if by_table else fitting)]
            if source not in expected:
                wanted = " or ".join(expected)
                raise AssertionError(f"{words}{said}, and table nat with a source of {source}, not {wanted}")
