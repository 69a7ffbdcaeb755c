"""Router advertisements: what is told by them, to whom, and what real kernels make of it (RFC 4861, 4862, 8106)."""

from __future__ import annotations

import os
import signal

from conformance.harness import DhcpUnderTest
from conformance.spec import spec
from conformance.specs.dhcp.serving import until
from conformance.specs.dhcp.told6 import HERE, OTHER_PREFIX, POOL, PREFIX, THERE, stateful
from conformance.topology.base import Guest
from conformance.topology.dhcp import slaac
from conformance.topology.dhcp.advertisements import NODES, none_solicited, solicited, unsolicited
from conformance.topology.dhcp.segment import Segment
from conformance.topology.sandbox import Sandbox
from refnet.dhcp import Capability, Host, Ipv6Mode, RouterAdvertisement

RA = Capability.ROUTER_ADVERTISEMENT
WITH_DHCP6 = (RA, Capability.DHCP_IPV6)


@spec(
    "RA-01",
    "The flags M, O and A of an advertisement say how clients come to addresses, in each of the four ways; the prefix "
    "is that of the server's address, and on the link.",
    capability=WITH_DHCP6,
)
def test_flags(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net, f"{HERE}/64")
    guest = s.guest("a")
    for mode, managed, other, autonomous in (
        (Ipv6Mode.SLAAC, False, False, True),
        (Ipv6Mode.STATELESS, False, True, True),
        (Ipv6Mode.STATEFUL, True, True, False),
        (Ipv6Mode.STATEFUL_SLAAC, True, True, True),
    ):
        dhcp.start(s.network(ipv6=mode, ranges=POOL if mode.is_stateful else ()))
        found = solicited(net, guest, what=f"a network of {mode}")
        flags = (found.managed, found.other)
        assert flags == (managed, other), f"a network of {mode} has the flags M and O {flags}: {found}"
        assert len(found.prefixes) == 1, f"a network of {mode} advertises the prefixes {found.prefixes}"
        (told,) = found.prefixes
        assert told.prefix == PREFIX, f"a network of {mode} advertises {told.prefix}, and not {PREFIX}"
        assert told.on_link, f"a network of {mode} advertises a prefix that is not on the link: {found}"
        assert told.autonomous == autonomous, f"a network of {mode} has the flag A {told.autonomous}: {found}"
        assert 0 < told.preferred <= told.valid, f"a network of {mode} advertises a prefix for {told.valid} s: {told}"


@spec(
    "RA-02",
    "Lifetime and preference of the router, MTU, DNS servers and search list are told as the network has them, and "
    "what it has not is not told.",
    capability=RA,
)
def test_what_is_told(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net, f"{HERE}/64")
    guest = s.guest("a")
    for preference, servers in (("high", ("fd09::53", "2001:db8::53")), ("low", (HERE,))):
        advertised = RouterAdvertisement(interval=300, lifetime=1234, preference=preference, mtu=1400)
        network = s.network(
            ipv6=Ipv6Mode.SLAAC,
            router_advertisement=advertised,
            dns_servers=None if servers == (HERE,) else servers,
            search=["a.example", "b.example"],
        )
        dhcp.start(network)
        found = solicited(net, guest, what="a network with all that can be told")
        assert found.lifetime == 1234, f"the lifetime is to be 1234 s, and told as {found.lifetime}"
        assert found.preference == preference, f"the preference is to be {preference}, and told as {found.preference}"
        assert found.mtu == 1400, f"the MTU is to be 1400, and told as {found.mtu}"
        assert found.rdnss == servers, f"the DNS servers are {servers}, and told as {found.rdnss}"
        assert found.rdnss_lifetime, f"DNS servers are told for {found.rdnss_lifetime} s"
        assert found.dnssl == ("a.example", "b.example"), f"the search list is told as {found.dnssl}"
        assert found.dnssl_lifetime, f"the search list is told for {found.dnssl_lifetime} s"
    dhcp.start(s.network(ipv6=Ipv6Mode.SLAAC, dns=None))
    found = solicited(net, guest, what="a network with nothing but a prefix")
    assert (found.lifetime, found.preference) == (1800, "medium"), f"of the usual router it is told: {found}"
    for words, told in (("an MTU", found.mtu), ("DNS servers", found.rdnss), ("a search list", found.dnssl)):
        assert not told, f"the network has not {words}, and {told} is told"


@spec(
    "RA-03",
    "An advertisement comes from the device's link-local address with the hop limit 255, at once to whoever asks for "
    "it, and to all if that has no address yet.",
    capability=RA,
)
def test_form(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net, f"{HERE}/64")
    asking, bystander = s.guest("a"), s.guest("b")
    dhcp.start(s.network(ipv6=Ipv6Mode.SLAAC))
    own = net.look.link_local(s.device)
    for anonymous, what in ((False, "who asks for a router"), (True, "who asks for a router and has no address")):
        found = solicited(net, asking, what=what, anonymous=anonymous)
        assert found.is_intact, f"{what} gets an advertisement with a wrong checksum or hop limit: {found}"
        assert found.hop_limit == 255, f"{what} gets an advertisement with the hop limit {found.hop_limit}"
        assert found.source in own, f"{what} gets an advertisement from {found.source}, and the device has {own}"
        assert found.source_mac == s.mac, f"{what} gets an advertisement from {found.source_mac}, and not {s.mac}"
        assert found.mac in ("", s.mac), f"{what} is told that the router is at {found.mac}, and not at {s.mac}"
    # What is for one of them a bridge may bring to all.
    unsolicited(net, bystander, what="somebody asked who has no address", wanted=lambda one: one.destination == NODES)


@spec(
    "RA-04",
    "A guest's kernel makes an address of the advertised prefix, has a default route, and reaches the server with it.",
    capability=RA,
)
def test_slaac(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net, f"{HERE}/64")
    guest, what = s.guest("a"), "a guest that asks for a router"
    dhcp.start(s.network(ipv6=Ipv6Mode.SLAAC))
    slaac.ask(guest)
    address = slaac.address(net, guest, PREFIX, what=what)
    assert slaac.has_default_route(guest), f"{what} has {address}, and no default route"
    net.reaches(guest, address, net, HERE, what=what)


@spec(
    "RA-05",
    "Where addresses come from DHCPv6 alone, a guest's kernel has a default route by the advertisement, and makes no "
    "address of its own.",
    capability=WITH_DHCP6,
)
def test_no_slaac(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net, f"{HERE}/64")
    guest, what = s.guest("a"), "where addresses come from DHCPv6"
    dhcp.start(stateful(s))
    _advertised(net, guest, what)
    slaac.until_default_route(net, guest, what=what)
    found = slaac.addresses(guest)
    assert not found, f"{what}, a guest has made {found}"


@spec(
    "RA-06",
    "A router whose lifetime is 0 is no default router: a guest makes its address, and has no default route.",
    capability=RA,
)
def test_no_default_router(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net, f"{HERE}/64")
    guest, what = s.guest("a"), "with a router whose lifetime is 0"
    dhcp.start(s.network(ipv6=Ipv6Mode.SLAAC, router_advertisement=RouterAdvertisement(lifetime=0)))
    _advertised(net, guest, what)
    address = slaac.address(net, guest, PREFIX, what=what)
    assert not slaac.has_default_route(guest), f"{what}, a guest has {address} and a default route"
    net.reaches(guest, address, net, HERE, what=what)


@spec(
    "RA-07",
    "Where routers are not to be advertised none is, not even to who asks: with DHCPv6 alone, and with IPv4 alone.",
    capability=(Capability.DHCP, Capability.DHCP_IPV6),
)
def test_none(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net, f"{HERE}/64", "10.9.0.1/24")
    guest, four, six = s.guest("a"), s.client("b"), s.client6("c")
    dhcp.start(stateful(s, router_advertisement=None))
    none_solicited(net, guest, control=six.lease, what="with DHCPv6 and without advertisements")
    dhcp.start(s.network(hosts=Host(four.mac, "10.9.0.10")))
    none_solicited(net, guest, control=four.lease, what="without IPv6")


@spec(
    "RA-08",
    "Of several networks on one host, each advertises its own prefix on its own device, and no others; and one that is "
    "stopped none.",
    capability=RA,
)
def test_side_by_side(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    a, b = Segment(net, f"{HERE}/64"), Segment(net, f"{THERE}/64", device="br-b")
    here, there = a.guest("a"), b.guest("b")
    dhcp.start(a.network(ipv6=Ipv6Mode.SLAAC))
    dhcp.start(b.network(ipv6=Ipv6Mode.SLAAC, router_advertisement=RouterAdvertisement(lifetime=1000)))

    def told(segment: Segment) -> None:
        guest, prefix, what = (
            (here, PREFIX, "the first network") if segment is a else (there, OTHER_PREFIX, "the second")
        )
        found = solicited(net, guest, what=what)
        prefixes = [one.prefix for one in found.prefixes]
        assert prefixes == [prefix], f"{what} advertises {prefixes}, and is {prefix}"
        assert found.source_mac == segment.mac, f"{what} is advertised from {found.source_mac}"
        assert found.lifetime == (1800 if segment is a else 1000), f"{what} is advertised as {found}"

    told(a)
    told(b)
    dhcp.stop(b.device)
    none_solicited(net, there, control=lambda: told(a), what="a network that was stopped beside another")


@spec(
    "RA-09",
    "Where the server has several IPv6 networks on one device, all their prefixes are advertised, and a guest makes an "
    "address of each.",
    capability=RA,
)
def test_several_prefixes(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net, f"{HERE}/64", f"{THERE}/64")
    guest, what = s.guest("a"), "a device with two networks"
    dhcp.start(s.network(ipv6=Ipv6Mode.SLAAC))
    prefixes = sorted(one.prefix for one in solicited(net, guest, what=what).prefixes)
    assert prefixes == [PREFIX, OTHER_PREFIX], f"{what} advertises {prefixes}"
    _advertised(net, guest, what)
    for prefix, server in ((PREFIX, HERE), (OTHER_PREFIX, THERE)):
        address = slaac.address(net, guest, prefix, what=what)
        net.reaches(guest, address, net, server, what=what)


@spec(
    "RA-10",
    "A server that is stopped takes back that it is a router: by a last advertisement with the lifetime 0, by which a "
    "guest's default route goes; a server that was killed, when it is stopped.",
    capability=RA,
)
def test_taken_back(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net, f"{HERE}/64")
    guest = s.guest("a")
    network = s.network(ipv6=Ipv6Mode.SLAAC)
    for is_killed, what in ((False, "a server that was stopped"), (True, "a server that was killed, and stopped")):
        dhcp.start(network)
        _advertised(net, guest, what)
        slaac.until_default_route(net, guest, what="before a server is stopped")
        status = dhcp.running(s.device)
        if is_killed:
            os.kill(status.pid, signal.SIGKILL)
            until(net, lambda: not dhcp.running(s.device).is_running, "a server that was killed is said to run")
        dhcp.stop(s.device)
        found = unsolicited(net, guest, what=what, wanted=lambda one: one.lifetime == 0)
        assert found.is_intact, f"{what} takes back its route with a wrong checksum or hop limit: {found}"
        slaac.until_default_route(net, guest, there=False, what=what)


@spec(
    "RA-11",
    "What is changed of a network's advertisement is told from then on: the next one who asks gets that.",
    capability=RA,
)
def test_update(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net, f"{HERE}/64")
    guest = s.guest("a")
    dhcp.start(s.network(ipv6=Ipv6Mode.SLAAC, search="a.example"))
    before = solicited(net, guest, what="before a change")
    assert (before.lifetime, before.dnssl) == (1800, ("a.example",)), f"before a change, it is told: {before}"
    changed = RouterAdvertisement(lifetime=900, preference="low")
    dhcp.update(s.network(ipv6=Ipv6Mode.STATELESS, router_advertisement=changed, search="b.example"))
    found = solicited(net, guest, what="after a change")
    assert (found.lifetime, found.preference) == (900, "low"), f"after a change, the router is told as before: {found}"
    assert found.other, f"after a change, the flags are told as before: {found}"
    assert found.dnssl == ("b.example",), f"after a change, the search list is told as {found.dnssl}"


def _advertised(net: Sandbox, guest: Guest, what: str) -> None:
    """Have a guest's kernel take in an advertisement that is for all."""
    slaac.accept(guest)
    solicited(net, guest, what=what, anonymous=True)
