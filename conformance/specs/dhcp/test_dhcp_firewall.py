"""The rules that let clients ask, where a firewall lets nobody in: they come with the server, and go with it."""

from __future__ import annotations

from collections.abc import Mapping

from conformance.errors import SuiteError
from conformance.harness import DhcpUnderTest, FirewallUnderTest
from conformance.spec import spec
from conformance.specs.dhcp.serving import DUAL, Asker, at_once, network, network6, until
from conformance.specs.dhcp.told import HERE
from conformance.system import LINUX, NAME
from conformance.topology.dhcp.advertisements import solicited
from conformance.topology.dhcp.names import query
from conformance.topology.dhcp.segment import Segment
from conformance.topology.packets import Checksum
from conformance.topology.sandbox import Sandbox
from refnet.dhcp import Capability, Dns, Host, RouterAdvertisement
from refnet.firewall import ACCEPT, DROP, Rule
from refnet.firewall import Capability as Firewall

DHCP = Capability.DHCP
CLOSED = "closed"


def close(firewall: FirewallUnderTest, net: Sandbox) -> None:
    """Let nobody in, behind the rules that are there already, but what the host says to itself."""
    firewall.add_chain(CLOSED, hook="input")
    firewall.add_rule(CLOSED, Rule(ACCEPT, in_interface=net.loopback))
    if Firewall.FIREWALL_IPV6 in firewall.capabilities():
        for number in (135, 136):
            firewall.add_rule(CLOSED, Rule(ACCEPT, protocol="ipv6-icmp", icmp_type=number))
    firewall.add_rule(CLOSED, Rule(DROP))
    firewall.apply()


@spec(
    "DW-01",
    "Where the firewall lets nobody in, clients get leases and names by the manager's rules, and nobody gets at other "
    "ports by them.",
    capability=(DHCP, Capability.DNS),
)
def test_lets_clients_in(dhcp: DhcpUnderTest, firewall: FirewallUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    client = segment.client()
    asking = segment.guest("asking")
    asking.wake("10.9.0.50/24")
    served = network(segment, Host(client.mac, "10.9.0.5", name="five"), dns=Dns(), domain="example.org")
    manager = dhcp.fresh(firewall=firewall)
    manager.start(served)
    close(firewall, net)
    found = client.lease().yiaddr
    assert found == "10.9.0.5", f"through a closed firewall, a host gets {found}"
    assert client.renew().yiaddr == "10.9.0.5", "through a closed firewall, a lease is not renewed"
    for is_tcp in (False, True):
        answers = query(asking, HERE, "five.example.org", tcp=is_tcp).answers
        assert [data for _, _, data in answers] == ["10.9.0.5"], f"through a closed firewall, DNS answers {answers}"
    with net.datagram_socket(HERE, 7001) as other, asking.datagram_socket("10.9.0.50") as sender:
        other.setblocking(False)
        sender.sendto(b"let me in", (HERE, 7001))
        query(asking, HERE, "five.example.org")
        try:
            said = other.recv(64)
        except BlockingIOError:
            said = b""
        assert not said, "a datagram to another port has come through a closed firewall"


@spec(
    "DW-02",
    "Without a server there are none of the manager's rules; a server that was started without a firewall has none.",
    capability=DHCP,
)
def test_rules_go(dhcp: DhcpUnderTest, firewall: FirewallUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    client = segment.client()
    net.foreign_rules(firewall.owner)
    untouched = net.look.rules()
    manager = dhcp.fresh(firewall=firewall)
    served = network(segment, Host(client.mac, "10.9.0.5"))
    manager.start(served)
    assert firewall.fresh().standing(), "a server was started with a firewall, and there stands no rule"
    manager.stop(segment.device)
    left = firewall.fresh().standing()
    assert not left, f"after stop, there stands {left}"
    missing = _lost(untouched, net.look.rules())
    assert not missing, f"by a server's start and stop, others have lost {'; '.join(missing[:5])}"
    dhcp.start(served)
    close(firewall, net)
    asker = Asker(client)
    asker.ask()
    firewall.remove_chain(CLOSED)
    firewall.apply()
    at_once(client, what="the end of a closed firewall")
    assert not asker.offers(), "without the manager's rules, a client gets through a closed firewall"


def _lost(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Return the lines of rules that others had, and have no more."""
    kept = {place: text.splitlines() for place, text in after.items()}
    return [
        f"{place}: {line.strip()}"
        for place, text in before.items()
        for line in text.splitlines()
        if line not in kept.get(place, [])
    ]


@spec(
    "DW-03",
    "Of two networks with a firewall, the stop of one leaves the other's clients their way in, also by a manager of "
    "another process.",
    capability=DHCP,
)
def test_two_networks(dhcp: DhcpUnderTest, firewall: FirewallUnderTest, net: Sandbox) -> None:
    one, two, three = (
        Segment(net),
        Segment(net, "10.10.0.1/24", device="br-two"),
        Segment(net, "10.11.0.1/24", device="br-three"),
    )
    client = one.client()
    manager = dhcp.fresh(firewall=firewall)
    manager.start(network(one, Host(client.mac, "10.9.0.5")))
    manager.start(two.network(dns=None))
    close(firewall, net)
    manager.stop(two.device)
    found = client.lease().yiaddr
    assert found == "10.9.0.5", f"the stop of another network has closed a client's way in: it gets {found}"
    # Of an owner there is one process at a time; what stands is in its directory.
    later = dhcp.fresh(firewall=firewall.fresh())
    later.start(three.network(dns=None))
    later.stop(three.device)
    # That process knows nothing of what was closed.
    closing = later.driver.firewall
    closing.add_chain(CLOSED, hook="input")
    closing.add_rule(CLOSED, Rule(DROP))
    closing.apply()
    assert client.renew().yiaddr == "10.9.0.5", "the stop of a network by another process has closed a client's way in"


@spec(
    "DW-04",
    "Where the firewall lets nobody in, clients of IPv6 get leases and advertisements by the manager's rules.",
    capability=(DHCP, Capability.DHCP_IPV6, Capability.ROUTER_ADVERTISEMENT),
)
def test_lets_clients6_in(dhcp: DhcpUnderTest, firewall: FirewallUnderTest, net: Sandbox) -> None:
    if Firewall.FIREWALL_IPV6 not in firewall.capabilities():
        raise SuiteError("the firewall has no rules for IPv6: choose another one")
    segment = Segment(net, *DUAL)
    client, asking = segment.client6("client"), segment.guest("asking")
    manager = dhcp.fresh(firewall=firewall)
    manager.start(network6(segment, router_advertisement=RouterAdvertisement()))
    close(firewall, net)
    assert client.lease().addresses, "through a closed firewall, a client of DHCPv6 gets no address"
    found = solicited(net, asking, what="through a closed firewall")
    assert found.lifetime, f"through a closed firewall, a router is advertised as {found}"


@spec(
    "DW-05",
    "With a firewall that can, answers have their checksums filled in, and one that cannot is no error.",
    capability=DHCP,
)
def test_checksums(dhcp: DhcpUnderTest, firewall: FirewallUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    client = segment.client()
    dhcp.fresh(firewall=firewall).start(network(segment))
    ack = client.lease()
    if Firewall.CHECKSUM_FILL in firewall.capabilities() or NAME != LINUX:
        assert ack.checksum is Checksum.GOOD, f"with a firewall, the checksum of an answer is {ack.checksum}"
    assert client.renew().yiaddr == ack.yiaddr, "with a firewall, a lease is not renewed"


@spec(
    "DW-06",
    "With nothing to change, start with a firewall writes no rule, also in another process; it puts back what somebody "
    "has flushed.",
    capability=DHCP,
)
def test_second_start(dhcp: DhcpUnderTest, firewall: FirewallUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    served = network(segment)
    manager = dhcp.fresh(firewall=firewall)
    manager.start(served)
    rules = net.look.rules()
    with net.look.unannounced("the second start with a firewall"):
        manager.start(served)
    with net.look.unannounced("the start of another manager with a firewall"):
        dhcp.fresh(firewall=firewall.fresh()).start(served)
    net.flush_rules()
    net.prepare_firewall()
    dhcp.fresh(firewall=firewall.fresh()).start(served)
    until(
        net,
        lambda: net.look.rules() == rules,
        "after a flush and another start, the manager's rules do not stand again",
    )
