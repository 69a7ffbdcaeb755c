"""Layer 2: guards of ports come and go, and each is about its own port."""

from __future__ import annotations

from conformance.harness import FirewallUnderTest
from conformance.spec import spec
from conformance.specs.firewall.frames_of_guests import FOREIGN, arp, guard, guarded, sorts_named
from conformance.topology.packets import ARP_REPLY
from conformance.topology.routed import HOST, Flow
from conformance.topology.sandbox import Sandbox
from refnet.firewall import Capability, PortGuard

LAYER2 = Capability.LAYER2


@spec("L2-16", "A guard replaces that of the same port; of the former nothing is left.", capability=LAYER2)
def test_replaced(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = guarded(firewall, net)
    guard(firewall, topology, addresses=FOREIGN[4])
    new = Flow(source=FOREIGN[4])
    stopped = {"a packet from the former address": Flow(), "IPv6, of which no address is allowed": Flow(family=6)}
    sorts_named(topology, passing={"a packet from the new address": new}, stopped=stopped, control=new)
    assert len(firewall.port_guards()) == 1, f"port_guards() are {firewall.port_guards()}"


@spec("L2-17", "When a guard is removed, everything passes that port again.", capability=LAYER2)
def test_unguarded(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = guarded(firewall, net)
    firewall.unguard_port(topology.port("a"))
    firewall.apply()
    passing = {
        "a packet from another MAC address": Flow(source_mac=net.new_mac()),
        "a packet from a foreign address": Flow(source=FOREIGN[4]),
        "ARP of a foreign address": arp(topology, ARP_REPLY, FOREIGN[4], topology.address("b")),
        "a tagged packet": Flow(vlan=5),
    }
    sorts_named(topology, passing=passing, stopped={})


@spec(
    "L2-18",
    "A guard is about what comes in by its port: other ports send what they want, to the guarded guest as well.",
    capability=LAYER2,
)
def test_other_ports(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = guarded(firewall, net, "a", "b", "c")
    passing = {
        f"{what} to {receiver}": flow.but(sender="b", receiver=receiver)
        for receiver in ("a", "c", HOST)
        for what, flow in {
            "a packet from a foreign address": Flow(source=FOREIGN[4]),
            "a packet from another MAC address": Flow(source_mac=net.new_mac()),
            "a packet of IPv6 from a foreign address": Flow(source=FOREIGN[6], family=6),
        }.items()
    }
    foreign = arp(topology, ARP_REPLY, FOREIGN[4], topology.address("a"), sender_mac=topology.guests["b"].mac)
    passing["ARP of a foreign address to a"] = foreign.but(sender="b", receiver="a")
    passing["a packet of the host to a"] = Flow(HOST, "a")
    sorts_named(topology, passing=passing, stopped={"a foreign address at the guarded port": Flow(source=FOREIGN[4])})


@spec(
    "L2-19",
    "Each of two guarded ports has the addresses of its own guard, and not those of the other.",
    capability=LAYER2,
)
def test_two_guards(firewall: FirewallUnderTest, net: Sandbox) -> None:
    topology = guarded(firewall, net, "a", "b", "c")
    b = topology.guests["b"]
    firewall.guard_port(PortGuard(b.port, b.mac, [topology.address("b"), topology.address("b", 6)]))
    firewall.apply()
    for family in (4, 6):
        own = {name: Flow(name, "c", family=family) for name in ("a", "b")}
        passing = {f"a packet of {name}'s own over IPv{family}": flow for name, flow in own.items()}
        stopped = {
            f"{name}'s packet with {other}'s address over IPv{family}": own[name].but(
                source=topology.address(other, family)
            )
            for name, other in (("a", "b"), ("b", "a"))
        }
        sorts_named(topology, passing=passing, stopped=stopped)
