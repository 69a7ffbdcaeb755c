"""Leases: how a client comes to one, keeps it, and gives it back; and what it is refused."""

from __future__ import annotations

from conformance.harness import DhcpUnderTest
from conformance.spec import spec
from conformance.specs.dhcp.seen import becomes
from conformance.specs.dhcp.told import (
    DNS,
    DOMAIN,
    FOR_EVER,
    HERE,
    LEASE_TIME,
    MASK,
    NTP,
    POOL,
    ROUTER,
    SERVER,
    T1,
    T2,
    given,
    octets,
    tells,
)
from conformance.topology.dhcp.ageing import age
from conformance.topology.dhcp.segment import Segment
from conformance.topology.sandbox import Sandbox
from refnet.dhcp import Capability, Host, Lease, Range

DHCP = Capability.DHCP


def the_lease(dhcp: DhcpUnderTest, segment: Segment) -> Lease:
    """Return the one lease that there is on a segment."""
    count = becomes(segment.net, lambda: len(dhcp.leases(segment.device)), 1)
    assert count == 1, f"one client has a lease, and the leases are {dhcp.leases(segment.device)}"
    found: Lease = dhcp.leases(segment.device)[0]
    return found


@spec(
    "DH-01",
    "A client gets an address of the range, with the mask, the gateway, the DNS server and the server that it is "
    "from, in the offer as in the acknowledgement; and a lease stands of it.",
    capability=DHCP,
)
def test_from_discover_to_ack(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net)
    dhcp.start(s.network(ranges=POOL, gateway=HERE, lease_time=1200))
    client = s.client()
    asked = (MASK, ROUTER, DNS)
    offer = client.discover(parameters=asked)
    ack = client.request(offer, parameters=asked)
    here = octets(HERE)
    for message, what in ((offer, "the offer"), (ack, "the acknowledgement")):
        given(message, what=what)
        tells(message, {MASK: octets("255.255.255.0"), ROUTER: here, DNS: here, SERVER: here}, what=what)
        assert message.lease_time == 1200, f"{what}: the lease is for {message.lease_time} s, and not 1200"
    assert ack.yiaddr == offer.yiaddr, f"{offer.yiaddr} was offered, and {ack.yiaddr} is acknowledged"
    expected = [(ack.yiaddr, client.mac)]
    leases = becomes(net, lambda: [(str(one.address), one.mac_address) for one in dhcp.leases(s.device)], expected)
    assert leases == expected, f"{client.mac} has {ack.yiaddr}, and the leases are {leases}"


@spec(
    "DH-02",
    "A lease is for the time of the network, that of a host for its own, or for ever; a client is to ask again "
    "well before it ends, of its server first and of any later (T1, T2).",
    capability=DHCP,
)
def test_lease_times(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net)
    short, plain = s.client("a"), s.client("b")
    hosts = Host(short.mac, "10.9.0.10", lease_time=300)
    dhcp.start(s.network(ranges=POOL, hosts=hosts, lease_time=7200))
    for client, expected, what in ((plain, 7200, "a client"), (short, 300, "a host with its own lease time")):
        ack = client.lease(parameters=(T1, T2))
        assert ack.lease_time == expected, f"{what} has a lease for {ack.lease_time} s, and not {expected}"
        # RFC 2131, section 4.4.5: what a client takes that is not told.
        first = ack.number(T1) if T1 in ack.options else expected / 2
        second = ack.number(T2) if T2 in ack.options else expected * 7 / 8
        assert 0 < first < second < expected, f"{what} is to renew after {first} s, and to rebind after {second} s"
    dhcp.start(s.network(ranges=POOL, hosts=hosts, lease_time=None))
    for_ever = s.client("c").lease().lease_time
    assert for_ever == FOR_EVER, f"a lease for ever is for {for_ever} s"
    unending = becomes(net, lambda: sum(one.expires is None for one in dhcp.leases(s.device)), 1)
    assert unending == 1, f"one lease never ends, and the leases are {dhcp.leases(s.device)}"


@spec(
    "DH-03",
    "A client that renews its lease with its server, or rebinds it with any, keeps its address and has the whole "
    "time again.",
    capability=DHCP,
)
def test_renewal(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net)
    network = s.network(ranges=POOL, lease_time=1200)
    dhcp.start(network)
    client = s.client()
    address = client.lease().yiaddr
    for again, what in ((client.renew, "a renewal"), (client.rebind, "a rebinding")):
        dhcp.stop(s.device)
        age(dhcp.directory, 600)
        dhcp.start(network)
        before = the_lease(dhcp, s)
        ack = again()
        assert ack.yiaddr == address, f"{what} of {address} gets {ack.yiaddr}"
        assert ack.lease_time == 1200, f"{what} is for {ack.lease_time} s, and not 1200"
        after = the_lease(dhcp, s)
        assert before.expires and after.expires, f"{what}: a lease of 20 minutes is said to last for ever"
        # The clock has gone on by a second or so meanwhile; the lease by the ten minutes that it had grown old.
        assert after.expires - before.expires > 500, f"{what}: the lease is not longer than it was"


@spec(
    "DH-04",
    "A client that asks for an address that it cannot have is refused (DHCPNAK): one of another network, one that "
    "somebody else has; for the one that is its own it is not.",
    capability=DHCP,
)
def test_refusal(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net)
    dhcp.start(s.network(ranges=POOL))
    one, other = s.client("a"), s.client("b")
    address = one.lease().yiaddr
    ack = one.reboot(address)
    assert ack.yiaddr == address, f"a client that has {address} starts again, and gets {ack.yiaddr}"
    for wrong, what in (("192.0.2.77", "of another network"), (address, "that another client has")):
        nak = other.refused(wrong)
        assert nak.yiaddr == "0.0.0.0", f"the refusal of an address {what} gives {nak.yiaddr}"  # noqa: S104
    other.refused(address, by="request")
    other_address = other.lease().yiaddr
    assert other_address != address, f"two clients have {address}"


@spec(
    "DH-05",
    "Where the server is not the only one (not authoritative), it says nothing to a client that it does not know "
    "and that asks for an address which it has from elsewhere.",
    capability=DHCP,
)
def test_not_authoritative(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net)
    dhcp.start(s.network(ranges=POOL, is_authoritative=False))
    stranger, control = s.client("a"), s.client("b")
    for address, what in (("10.9.0.150", "of the range"), ("10.9.0.20", "of the network, outside of the range")):
        stranger.no_answer_to_reboot(address, control, f"a request for an address {what} that somebody else gave")
    ack = stranger.lease()
    given(ack, what="a client that asks anew")


@spec(
    "DH-06",
    "An address that a client declines, since somebody uses it, is not offered to it again as long as there is "
    "another, which it gets.",
    capability=DHCP,
)
def test_decline(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net)
    pool = Range("10.9.0.100", "10.9.0.101")
    dhcp.start(s.network(ranges=pool))
    client = s.client()
    declined = client.lease().yiaddr
    client.decline(declined)
    offer = client.discover()
    assert offer.yiaddr != declined, f"{declined} was declined, and is offered again"
    ack = client.request(offer)
    given(ack, pool, what="after an address was declined")
    leases = becomes(net, lambda: [str(one.address) for one in dhcp.leases(s.device)], [ack.yiaddr])
    assert leases == [ack.yiaddr], f"{declined} was declined, {ack.yiaddr} given, and the leases are {leases}"


@spec(
    "DH-07",
    "A client that has an address by other means and asks for options only (DHCPINFORM) gets them, without an "
    "address and without a lease.",
    capability=DHCP,
)
def test_inform(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net)
    only = Range("10.9.0.100", "10.9.0.100")
    dhcp.start(s.network(ranges=only, domain="cloud.example", options={NTP: "10.9.0.3"}))
    client, other = s.client("a"), s.client("b")
    ack = client.inform("10.9.0.100", parameters=(DOMAIN, NTP, DNS))
    expected = {DOMAIN: b"cloud.example", NTP: octets("10.9.0.3"), DNS: octets(HERE), LEASE_TIME: None}
    tells(ack, expected, what="what was asked by DHCPINFORM")
    assert ack.yiaddr == "0.0.0.0", f"a client that has an address is given {ack.yiaddr}"  # noqa: S104
    given(other.lease(), only, what="a client, when another has only asked for options")
    owners = becomes(net, lambda: [one.mac_address for one in dhcp.leases(s.device)], [other.mac])
    assert owners == [other.mac], f"{other.mac} has the only lease, and the leases are of {owners}"


@spec(
    "DH-08",
    "Answers go to the client's own MAC address, or to everybody if it asks for that since it cannot take in "
    "anything else.",
    capability=DHCP,
)
def test_broadcast_flag(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net)
    dhcp.start(s.network(ranges=POOL))
    for name, broadcast in (("a", False), ("b", True)):
        client = s.client(name)
        offer = client.discover(broadcast=broadcast)
        ack = client.request(offer, broadcast=broadcast)
        for message, what in ((offer, "an offer"), (ack, "an acknowledgement")):
            expected = ("255.255.255.255", "ff:ff:ff:ff:ff:ff") if broadcast else (ack.yiaddr, client.mac)
            found = (message.destination, message.destination_mac)
            words = "with" if broadcast else "without"
            assert found == expected, f"{what} to a client {words} the broadcast flag goes to {' at '.join(found)}"
