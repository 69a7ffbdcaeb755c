"""Who asks from elsewhere, where the system leaves it to a firewall to tell where a query comes from."""

from __future__ import annotations

from conformance.harness import DhcpUnderTest, FirewallUnderTest
from conformance.spec import spec
from conformance.specs.dhcp.told import HERE
from conformance.specs.dhcp.told6 import HERE as HERE6
from conformance.topology.base import Stack
from conformance.topology.dhcp.names import no_reply, query
from conformance.topology.dhcp.segment import Segment
from conformance.topology.sandbox import Sandbox
from refnet.dhcp import Capability, Host, Ipv6Mode

MAC = "02:00:00:00:00:05"


@spec(
    "DW-07",
    "With a firewall, DNS answers nobody who does not ask through the network's own device, though the way to the "
    "server's address is open: neither by UDP nor by TCP.",
    capability=(Capability.DHCP, Capability.DNS, Capability.DHCP_IPV6),
)
def test_from_elsewhere(dhcp: DhcpUnderTest, firewall: FirewallUnderTest, net: Sandbox) -> None:
    a, b = Segment(net, f"{HERE}/24", f"{HERE6}/64"), Segment(net, "10.8.0.1/24", "fd08::1/64", device="br-b")
    net.forward(4, 6)
    manager = dhcp.fresh(firewall=firewall)
    manager.start(a.network(hosts=Host(MAC, "10.9.0.5", name="web"), domain="a.example", ipv6=Ipv6Mode.STATEFUL))
    manager.start(b.network(hosts=Host(MAC, "10.8.0.5", name="web"), domain="b.example"))
    inside, stranger = a.guest("in", "10.9.0.50/24", "fd09::50/64"), b.guest("out")
    stranger.wake("10.8.0.50/24", "fd08::50/64", gateways=["10.8.0.1", "fd08::1"])
    for mine, server in (("10.8.0.50", HERE), ("fd08::50", HERE6)):
        net.reaches(stranger, mine, net, server, what="the way to the server's address")

    def knows(who: Stack, server: str, name: str, expected: str) -> None:
        found = query(who, server, name).data
        assert found == [expected], f"a client asks for {name} in its own network, and is told {found}"

    def control() -> None:
        knows(stranger, "10.8.0.1", "web.b.example", "10.8.0.5")
        knows(inside, HERE, "web.a.example", "10.9.0.5")
        knows(inside, HERE6, "web.a.example", "10.9.0.5")

    for server in (HERE, HERE6):
        for tcp in (False, True):
            what = f"with a firewall, from another network, {'by TCP' if tcp else 'by UDP'} at {server}"
            no_reply(stranger, server, "web.a.example", control=control, what=what, tcp=tcp)
