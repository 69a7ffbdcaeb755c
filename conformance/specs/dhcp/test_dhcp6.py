"""DHCPv6: addresses with their lifetimes, hosts, options, and what is refused (RFC 8415)."""

from __future__ import annotations

import struct
import time

from conformance.harness import DhcpUnderTest
from conformance.spec import spec
from conformance.specs.dhcp.seen import becomes
from conformance.specs.dhcp.told6 import HERE, OTHER_POOL, POOL, THERE, one_of, stateful
from conformance.system import FREEBSD, LINUX, NAME
from conformance.topology.dhcp import messages6
from conformance.topology.dhcp.advertisements import solicited
from conformance.topology.dhcp.ageing import age
from conformance.topology.dhcp.segment import Segment
from conformance.topology.sandbox import Sandbox
from refnet.dhcp import Capability, Host, Ipv6Mode, Range

DHCP6 = Capability.DHCP_IPV6
#: RFC 8415, section 7.7.
FOR_EVER = 0xFFFFFFFF
#: A range of one address, so that two clients cannot both have one.
ONE = Range("fd09::100", "fd09::100")
#: A DUID that says nothing of a MAC address (RFC 6355), as systems have that are set up from one image.
NEUTRAL = b"\0\4" + b"refnet-neutral-1"
#: Codes of options that no field of a network is about: SNTP servers (RFC 4075), time zone (RFC 4833), and one that
#: nobody has given a meaning.
SNTP, TIME_ZONE, UNASSIGNED = 31, 41, 65001
#: How many malformed messages a server that is slow gets, and the seconds that any has to come through all of them.
_FEW, _MALFORMED_LIMIT = 12, 60.0


@spec(
    "D6-01",
    "A client of DHCPv6 gets an address of the range, and is told the server as DNS server; and a lease stands of it.",
    capability=DHCP6,
)
def test_from_solicit_to_reply(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net, f"{HERE}/64")
    dhcp.start(stateful(s, search=["a.example", "b.example"]))
    client = s.client6("a")
    advertised = client.solicit()
    reply = client.lease()
    for message, what in ((advertised, "the advertisement"), (reply, "the reply")):
        assert len(message.addresses) == 1, f"{what} has {message.addresses} for one identity association"
        one_of(POOL, message.addresses[0], what=what)
        assert message.dns_servers == (HERE,), f"{what} tells the DNS servers {message.dns_servers}, and not {HERE}"
        expected = ("a.example", "b.example")
        assert message.domains == expected, f"{what} tells the search list {message.domains}, and not {expected}"

    def leases() -> list[tuple[str, str | None, int | None]]:
        return [(str(one.address), one.client_id, one.iaid) for one in dhcp.leases(s.device)]

    lease = (reply.addresses[0], client.duid.hex(":"), 1)
    found = becomes(net, leases, [lease])
    assert found == [lease], f"the client has {lease}, and the leases are {found}"
    other = s.client6("b").lease().addresses
    assert other != reply.addresses, f"two clients have {other}"


@spec(
    "D6-02",
    "The lifetimes of an address are the lease time of the network, that of a host its own, or for ever; and a client "
    "is to renew and to rebind before they end (T1, T2).",
    capability=DHCP6,
)
def test_lifetimes(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net, f"{HERE}/64")
    short, plain = s.client6("a"), s.client6("b")
    host = Host(client_id=short.duid, addresses="fd09::10", lease_time=300)
    dhcp.start(stateful(s, hosts=host, lease_time=7200))
    for client, expected, what in ((plain, 7200, "a client"), (short, 300, "a host with its own lease time")):
        reply = client.lease()
        (leased,), (association,) = reply.leased, reply.associations
        assert leased.valid == expected, f"{what} has an address for {leased.valid} s, and not {expected}"
        assert 0 < leased.preferred <= expected, f"{what} has an address that it prefers for {leased.preferred} s"
        times = (association.renew, association.rebind)
        assert 0 < times[0] <= times[1] <= expected, f"{what} is to renew and rebind after {times} s of {expected}"
        left = (_end(net, dhcp, s, leased.address) or 0) - time.time()
        # The clocks agree; the lease has begun meanwhile, and is told in whole seconds.
        assert expected - 120 < left <= expected + 2, f"{what}: the lease is said to end in {left:.0f} s"
    dhcp.update(stateful(s, hosts=host, lease_time=None))
    client = s.client6("c")
    (leased,) = client.lease().leased
    assert leased.valid == FOR_EVER, f"an address for ever is for {leased.valid} s"
    end = _end(net, dhcp, s, leased.address)
    assert end is None, f"a lease never ends, and is said to end at {end}"


@spec(
    "D6-03",
    "A host that is known by its DUID gets its address, inside or outside of the range and whatever its MAC address, "
    "and nobody else gets it.",
    capability=DHCP6,
)
def test_host_by_duid(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net, f"{HERE}/64")
    hosts = [
        Host(client_id=NEUTRAL, addresses="fd09::10", name="out"),
        Host(client_id=b"\0\2refnet", addresses=str(ONE.first), name="in"),
    ]
    dhcp.start(stateful(s, pool=ONE, hosts=hosts))
    stranger = s.client6("a")
    statuses = stranger.solicit(wanted=["fd09::10"]).statuses
    assert "NoAddrsAvail" in statuses, f"the only address of the range is a host's, and a stranger is told {statuses}"
    for name, duid, expected in (("b", NEUTRAL, "fd09::10"), ("c", b"\0\2refnet", "fd09::100")):
        found = s.client6(name, duid=duid).lease().addresses
        assert found == (expected,), f"the host with {expected} gets {found}"

    def names() -> dict[str, str | None]:
        return {str(one.address): one.name for one in dhcp.leases(s.device)}

    told = becomes(net, names, {"fd09::10": "out", "fd09::100": "in"})
    assert told == {"fd09::10": "out", "fd09::100": "in"}, f"the leases are of {told}"


@spec(
    "D6-04",
    "A host that is known by its MAC address gets its IPv6 address as well, if its DUID is made of that MAC address.",
    capability=DHCP6,
)
def test_host_by_mac(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net, f"{HERE}/64")
    host = s.client6("a")
    dhcp.start(stateful(s, hosts=Host(host.mac, "fd09::10")))
    found = host.lease().addresses
    assert found == ("fd09::10",), f"the host with fd09::10 gets {found}"
    other = s.client6("b").lease().addresses[0]
    one_of(POOL, other, what="a client that is no host")


@spec(
    "D6-05",
    "A host that is known by its MAC address gets its IPv6 address as well, whatever its DUID.",
    capability=DHCP6,
    # FreeBSD tells programs the MAC addresses of neighbours in a way that dnsmasq does not know.
    systems=(LINUX,),
)
def test_host_by_mac_alone(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net, f"{HERE}/64")
    host = s.client6("a", duid=NEUTRAL)
    dhcp.start(stateful(s, hosts=Host(host.mac, "fd09::10")))
    found = host.lease().addresses
    assert found == ("fd09::10",), f"the host with fd09::10 gets {found}"


@spec(
    "D6-06",
    "A host with addresses in several networks of its device gets one in each, and a client that is no host one out of "
    "each range.",
    capability=DHCP6,
)
def test_several_networks(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net, f"{HERE}/64", f"{THERE}/64")
    host = Host(client_id=NEUTRAL, addresses=["fd09::10", "fd0a::10"])
    dhcp.start(stateful(s, ranges=[POOL, OTHER_POOL], hosts=host))
    found = sorted(s.client6("a", duid=NEUTRAL).lease().addresses)
    assert found == ["fd09::10", "fd0a::10"], f"the host with fd09::10 and fd0a::10 gets {found}"
    plain = sorted(s.client6("b").lease().addresses)
    assert len(plain) == 2, f"a client in two networks gets {plain}"
    for address, pool in zip(plain, (POOL, OTHER_POOL), strict=True):
        one_of(pool, address, what="a client in two networks")


@spec(
    "D6-07",
    "A client that renews, rebinds or confirms keeps its address, and has the whole time again.",
    capability=DHCP6,
)
def test_renewal(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net, f"{HERE}/64")
    network = stateful(s, lease_time=1200)
    dhcp.start(network)
    client = s.client6("a")
    address = client.lease().addresses
    for again, what in ((client.renew, "a renewal"), (client.rebind, "a rebinding")):
        dhcp.stop(s.device)
        age(dhcp.directory, 600)
        dhcp.start(network)
        (before,) = _ends(dhcp, s).values()
        reply = again()
        assert reply.addresses == address, f"{what} of {address} gets {reply}"
        (leased,) = reply.leased
        assert leased.valid == 1200, f"{what} is for {leased.valid} s, and not 1200"

        def is_longer(old: float = before or 0) -> bool:
            (now,) = _ends(dhcp, s).values()
            # The clock has gone on by a second or so meanwhile; the lease by the ten minutes that it had grown old.
            return (now or 0) - old > 500

        assert becomes(net, is_longer, True), f"{what}: the lease is not longer than it was"
    statuses = client.confirm().statuses
    assert statuses == ("Success",), f"a client that has {address} asks whether it is right, and is told {statuses}"


@spec(
    "D6-08",
    "What a client asks for and cannot have it is told so: an address of another link is not on this one (NotOnLink), "
    "and a lease that the server has been made to forget it does not know (NoBinding).",
    capability=DHCP6,
)
def test_wrong_addresses(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net, f"{HERE}/64")
    network = stateful(s)
    dhcp.start(network)
    client = s.client6("a")
    client.lease()
    statuses = client.confirm("fd55::1").statuses
    assert statuses == ("NotOnLink",), f"an address of another link is confirmed with {statuses}"
    assert client.renew().addresses, "a lease that the server knows is not renewed"
    dhcp.stop(s.device, forget=True)
    dhcp.start(network)
    # With its leases the server may have forgotten who it was.
    reply = client.renew(server=client.solicit().server_id)
    assert "NoBinding" in reply.statuses, f"a lease that was to be forgotten is renewed with {reply}"


@spec(
    "D6-09",
    "When all addresses are let, the next client is told so (NoAddrsAvail); when somebody gives one back, the lease is "
    "over, and the next client gets it.",
    capability=DHCP6,
)
def test_exhausted(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net, f"{HERE}/64")
    dhcp.start(stateful(s, pool=ONE))
    first, second = s.client6("a"), s.client6("b")
    first.lease()
    advertised = second.solicit()
    assert not advertised.addresses, f"the only address is let, and a second client is offered {advertised}"
    assert "NoAddrsAvail" in advertised.statuses, f"the only address is let, and a second client gets {advertised}"
    statuses = first.release().statuses
    assert statuses[:1] == ("Success",), f"a client gives its address back, and is told {statuses}"
    left = becomes(net, lambda: dhcp.leases(s.device), ())
    assert left == (), f"all addresses were given back, and the leases are {left}"
    found = second.lease().addresses
    assert found == ("fd09::100",), f"fd09::100 was given back, and the next client gets {found}"


@spec(
    "D6-10",
    "An address that a client declines, since somebody uses it, is not given to it again as long as there is another, "
    "which it gets.",
    capability=DHCP6,
)
def test_decline(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net, f"{HERE}/64")
    pool = Range("fd09::100", "fd09::101")
    dhcp.start(stateful(s, pool=pool))
    client = s.client6("a")
    declined = client.lease().addresses
    statuses = client.decline().statuses
    assert statuses[:1] == ("Success",), f"a client declines its address, and is told {statuses}"
    found = client.lease().addresses
    one_of(pool, found[0], what="after an address was declined")
    assert found != declined, f"{declined[0]} was declined, and is given again"


@spec(
    "D6-11",
    "Where DHCPv6 is for information only, a client that asks for information gets it, and one that asks for an "
    "address gets none.",
    capability=DHCP6,
)
def test_stateless(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net, f"{HERE}/64")
    dhcp.start(s.network(ipv6=Ipv6Mode.STATELESS, search="a.example", dns_servers=["fd09::53", "2001:db8::53"]))
    client = s.client6("a")
    reply = client.information()
    expected = ("fd09::53", "2001:db8::53")
    assert reply.dns_servers == expected, f"who asks for information is told the DNS servers {reply.dns_servers}"
    assert reply.domains == ("a.example",), f"who asks for information is told the search list {reply.domains}"
    client.no_address(s.client6("b").information, "where DHCPv6 is for information only")
    assert dhcp.leases(s.device) == (), f"nobody gets addresses, and the leases are {dhcp.leases(s.device)}"


@spec(
    "D6-12",
    "Where clients make their addresses themselves and there is no DHCPv6, nobody is answered by it.",
    capability=(DHCP6, Capability.ROUTER_ADVERTISEMENT),
)
def test_slaac_only(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net, f"{HERE}/64")
    dhcp.start(s.network(ipv6=Ipv6Mode.SLAAC))
    client, what = s.client6("a"), "where there is no DHCPv6"
    other = s.guest("b")

    def control() -> None:
        solicited(net, other, what=what)

    client.no_answer(control, what)
    client.no_answer(control, what, kind="INFORMATION-REQUEST", wanted={})


@spec(
    "D6-13",
    "Options of DHCPv6 are on the wire byte for byte as they were given, those of a host go before the network's, and "
    "what a client does not ask for it does not get unless that is forced.",
    capability=DHCP6,
)
def test_options(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net, f"{HERE}/64")
    host, plain = s.client6("a", duid=NEUTRAL), s.client6("b")
    data = bytes(range(1, 201))
    of_network = {SNTP: ["fd09::7", "fd09::8"], UNASSIGNED: data}
    of_host = Host(client_id=NEUTRAL, addresses="fd09::10", options6={SNTP: "fd09::9"})
    dhcp.start(stateful(s, options6=of_network, hosts=of_host))
    asked = (SNTP, UNASSIGNED)
    network_sntp = b"".join(messages6.packed(one) for one in ("fd09::7", "fd09::8"))
    for client, expected, what in (
        (plain, {SNTP: network_sntp, UNASSIGNED: data}, "a client"),
        (host, {SNTP: messages6.packed("fd09::9"), UNASSIGNED: data}, "a host with its own option"),
    ):
        reply = client.lease(parameters=asked)
        for code, content in expected.items():
            found = reply.option(code)
            words = "absent" if found is None else found.hex(":")
            assert found == content, f"{what}: option {code} is {words}, and not {content.hex(':')}"
    unasked = plain.renew(parameters=(SNTP,)).option(UNASSIGNED)
    assert unasked is None, f"a client that has not asked for option {UNASSIGNED} gets it"


@spec(
    "D6-14",
    "A host that is to be ignored gets no answer by DHCPv6, while others do.",
    capability=DHCP6,
)
def test_ignored(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net, f"{HERE}/64")
    dhcp.start(stateful(s, hosts=Host(client_id=NEUTRAL, is_ignored=True)))
    ignored, other = s.client6("a", duid=NEUTRAL), s.client6("b")
    ignored.no_address(other.solicit, "a host that is to be ignored")


@spec(
    "D6-15",
    "Messages of DHCPv6 that are none, in whatever way, are answered by nothing that ends the server or its clients' "
    "leases.",
    capability=DHCP6,
)
def test_malformed(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net, f"{HERE}/64")
    dhcp.start(stateful(s))
    server = dhcp.running(s.device).pid
    client = s.client6("a")
    address = client.lease().addresses
    wrong = list(_wrong(client.duid))
    if NAME == FREEBSD:
        # dnsmasq takes half a second over each: it looks for the client's MAC address, which it cannot find there.
        wrong = net.random.sample(wrong, _FEW)
    for payload in wrong:
        client.send_raw(payload)
    other = s.client6("b").lease(limit=_MALFORMED_LIMIT).addresses
    assert other != address, f"two clients have {other}"
    renewed = client.renew()
    assert renewed.addresses == address, f"after malformed messages, the lease of {address} is renewed as {renewed}"
    status = dhcp.running(s.device)
    assert status.pid == server, f"after malformed messages, the server is not the one that it was: {status}"


@spec(
    "D6-16",
    "Of several networks on one host, DHCPv6 of each serves the clients behind its own device, and no others.",
    capability=DHCP6,
)
def test_side_by_side(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    a, b = Segment(net, f"{HERE}/64"), Segment(net, f"{THERE}/64", device="br-b")
    dhcp.start(stateful(a))
    dhcp.start(stateful(b, ranges=OTHER_POOL))
    for segment, pool, what in ((a, POOL, "the first network"), (b, OTHER_POOL, "the second network")):
        reply = segment.client6(f"c-{segment.device}").lease()
        one_of(pool, reply.addresses[0], what=f"a client of {what}")
    dhcp.stop(b.device)
    other = b.client6("late")
    other.no_answer(a.client6("control").lease, "a client of a network that was stopped")


def _ends(dhcp: DhcpUnderTest, segment: Segment) -> dict[str, float | None]:
    """Return when each lease ends, by its address."""
    return {str(one.address): one.expires for one in dhcp.leases(segment.device)}


def _end(net: Sandbox, dhcp: DhcpUnderTest, segment: Segment, address: str) -> float | None:
    """Return when the lease of an address ends."""
    becomes(net, lambda: address in _ends(dhcp, segment), True)
    found = _ends(dhcp, segment)
    assert address in found, f"{address} is let, and the leases are of {sorted(found)}"
    return found[address]


def _wrong(duid: bytes) -> list[bytes]:
    """Make messages that are wrong, each in one way."""
    option = messages6.encoded
    client = (messages6.CLIENT_ID, duid)
    right = messages6.message("SOLICIT", 0x5EED, [client, messages6.association(1, ["fd09::100"])])
    found = [b"", *(right[:end] for end in range(1, len(right)))]
    # Kinds that a server does not take in, or that do not exist, relayed ones without anything relayed among them.
    found += [bytes([kind]) + right[1:] for kind in (0, 2, 7, 10, 12, 13, 14, 255)]
    found += [bytes([12, hops]) + bytes(32) + option([(9, inner)]) for hops in (0, 33) for inner in (b"", right[:3])]
    # A relayed message in a relayed message, and so on.
    nested = right
    for hops in range(30):
        nested = bytes([12, hops]) + bytes(32) + option([(9, nested)])
    found.append(nested)
    head = right[:4]
    # Options with lengths beyond the end; identity associations and names that are cut off; empty and long ones.
    for code in (1, 2, 3, 4, 5, 6, 8, 13, 14, 15, 16, 17, 18, 25, 39, 79, 65535):
        found += [head + option([client]) + struct.pack("!HH", code, size) for size in (1, 0x7FFF, 0xFFFF)]
        found += [head + option([client, (code, content)]) for content in (b"", b"\0", b"\xff" * 255, bytes(900))]
    found.append(head + option([client, messages6.association(1), (39, b"\1\x3fabc")]))
    found.append(head + option([client, (3, bytes(12) + struct.pack("!HH", 5, 200) + bytes(20))]))
    return found
