"""Two sets of rules that decide about the same packets in opposite ways: their fate tells which of them stands."""

from __future__ import annotations

from conformance.harness import FirewallUnderTest
from conformance.specs.firewall.ground import arrives, drop, lay
from conformance.topology.routed import Flow, Routed
from conformance.topology.sandbox import Sandbox
from refnet.firewall import ACCEPT, DROP, Capability, Rule

_OPEN = Flow("a", "b", "udp", 7000)


def old(manager: FirewallUnderTest) -> str:
    """Lay rules of which a packet to port 7001 tells that they stand: all of them, or none."""
    return lay(manager, drop(7001), Rule(ACCEPT, protocol="udp", destination_ports=7002), drop(7002))


def new(manager: FirewallUnderTest) -> str:
    """Lay rules that decide the other way about the same packets."""
    return lay(manager, drop(7002), Rule(ACCEPT, protocol="udp", destination_ports=7001), drop(7001))


#: Whether packets to ports 7001 and 7002 arrive, if all of these rules stand, and none.
OLD, NEW, NONE = (False, True), (True, False), (True, True)
_SAID = {OLD: "the old rules stand", NEW: "the new rules stand", NONE: "no rules stand"}
#: What makes the old rules decide as the new ones do, when it is put before them.
CHANGE = (
    Rule(DROP, protocol="udp", destination_ports=7002, comment="changed"),
    Rule(ACCEPT, protocol="udp", destination_ports=7001, comment="changed"),
)


class Ground:
    """Two hosts of both families, where datagrams to two ports tell which rules stand."""

    def __init__(self, firewall: FirewallUnderTest, net: Sandbox) -> None:
        """Lay it."""
        families = (4, 6) if Capability.FIREWALL_IPV6 in firewall.capabilities() else (4,)
        self.routed = Routed(net, "a", "b", families=families)

    def see(self, what: str, *possible: tuple[bool, bool]) -> None:
        """Prove that the rules of each family are all those of one of the possible sets."""
        for family in self.routed.families:
            control = _OPEN.but(family=family)
            one, two = (
                arrives(self.routed, control.but(dport=port), control=control, what=what) for port in (7001, 7002)
            )
            if (one, two) not in possible:
                words = _SAID.get((one, two), "half of the rules stand")
                raise AssertionError(f"{what}: over IPv{family} {words}: 7001 and 7002 get packets: {one} and {two}")
