"""DNS for a network's clients: which names are known, what goes to others, and who is answered at all."""

from __future__ import annotations

from pathlib import Path

from conformance.harness import DhcpUnderTest
from conformance.spec import spec
from conformance.specs.dhcp.seen import becomes
from conformance.specs.dhcp.told import DNS, HERE, POOL
from conformance.specs.dhcp.told6 import HERE as HERE6
from conformance.specs.dhcp.told6 import POOL as POOL6
from conformance.system import LINUX
from conformance.topology.base import Guest, Stack
from conformance.topology.dhcp.names import Upstream, no_reply, query
from conformance.topology.dhcp.segment import Segment
from conformance.topology.sandbox import Sandbox
from refnet.dhcp import Capability, Dns, Host, Ipv6Mode

NAMES = (Capability.DHCP, Capability.DNS)
NAMES_OF_BOTH = (*NAMES, Capability.DHCP_IPV6)
FORWARDED = (*NAMES, Capability.DNS_FORWARDING)
DOMAIN = "cloud.example"
#: The server's address on a second segment.
THERE = "10.8.0.1"
#: Servers of somebody else's, the router to them, and what they say (RFC 5737, RFC 3849: networks that nobody has).
FIRST, SECOND, ROUTER, THEIRS = "192.0.2.53", "192.0.2.54", "192.0.2.1", "198.51.100.1"
FIRST6, ROUTER6 = "2001:db8:53::53", "2001:db8:53::1"
#: Names that a client may tell and that no server may take as they are.
ODD = (b"a b", b"-", b"evil\n1 02:00:00:00:00:99 10.9.0.66 evil *", b"x,y", b"\xff\xfe", b"*", b"a" * 255, b"..", b"\0")


@spec(
    "DN-01",
    "A host's name is known with all of its addresses, and they by it, before the host has asked for a lease and "
    "afterwards; by IPv4 and by IPv6, in whichever case it is written.",
    capability=NAMES_OF_BOTH,
)
def test_hosts(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net, f"{HERE}/24", f"{HERE6}/64")
    host, who = s.client("a"), s.guest("q", "10.9.0.50/24", "fd09::50/64")
    web = Host(host.mac, ["10.9.0.10", "fd09::10"], name="web")
    dhcp.start(s.network(hosts=web, domain=DOMAIN, ipv6=Ipv6Mode.STATEFUL))
    name = f"web.{DOMAIN}"
    for when in ("before its lease", "after its lease"):
        for server in (HERE, HERE6):
            _knows(who, name, ["10.9.0.10"], server=server, what=f"a host's name {when}, asked at {server}")
            _knows(who, name, ["fd09::10"], "AAAA", server=server, what=f"a host's name {when}, asked at {server}")
        _knows(who, "WEB.Cloud.Example", ["10.9.0.10"], what=f"a host's name in capitals {when}")
        for address in ("10.9.0.10", "fd09::10"):
            _knows(who, address, [name], "PTR", what=f"the address {address} {when}")
        found = host.lease().yiaddr
        assert found == "10.9.0.10", f"the host with 10.9.0.10 gets {found}"


@spec(
    "DN-02",
    "A client that tells its name is known by it within the network's domain, with the address that it was given, "
    "until it gives that back.",
    capability=NAMES_OF_BOTH,
)
def test_clients(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net, f"{HERE}/24", f"{HERE6}/64")
    four, six, who = s.client("a"), s.client6("b"), s.guest("q", "10.9.0.50/24")
    dhcp.start(s.network(ranges=[POOL, POOL6], domain=DOMAIN, ipv6=Ipv6Mode.STATEFUL))
    _knows(who, f"pc.{DOMAIN}", None, what="a name that nobody has told yet")
    address = four.lease(hostname="pc").yiaddr
    _knows(who, f"pc.{DOMAIN}", [address], what="the name that a client has told")
    _knows(who, address, [f"pc.{DOMAIN}"], "PTR", what="the address of a client that has told its name")
    (address6,) = six.lease(name="laptop").addresses
    _knows(who, f"laptop.{DOMAIN}", [address6], "AAAA", what="the name that a client of DHCPv6 has told")
    _knows(who, address6, [f"laptop.{DOMAIN}"], "PTR", what="the address of a client of DHCPv6 that has told its name")
    six.release()
    _knows(who, f"laptop.{DOMAIN}", None, "AAAA", what="the name of a client of DHCPv6 that has gone")
    four.release()
    # Nothing answers a release: the next answer of the server is behind it.
    four.discover()
    _knows(who, f"pc.{DOMAIN}", None, what="the name of a client that has gone")


@spec(
    "DN-03",
    "Where the network has no domain, names of hosts and clients are known as they are.",
    capability=NAMES,
)
def test_without_a_domain(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net)
    client, who = s.client("a"), s.guest("q", "10.9.0.50/24")
    dhcp.start(s.network(ranges=POOL, hosts=Host("02:00:00:00:00:05", "10.9.0.5", name="web")))
    _knows(who, "web", ["10.9.0.5"], what="a host's name")
    _knows(who, "10.9.0.5", ["web"], "PTR", what="a host's address")
    address = client.lease(hostname="pc").yiaddr
    _knows(who, "pc", [address], what="the name that a client has told")
    _knows(who, address, ["pc"], "PTR", what="the address of a client that has told its name")


@spec(
    "DN-04",
    "Names of the network's own domain, and addresses of its networks, go to nobody else: what is not known of them "
    "does not exist; while other names are forwarded, and the answers come back.",
    capability=(*FORWARDED, Capability.DHCP_IPV6),
)
def test_own_names_stay(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net, f"{HERE}/24", f"{HERE6}/64")
    who, theirs = s.guest("q", "10.9.0.50/24"), _outside(net)
    hosts = Host("02:00:00:00:00:05", "10.9.0.5", name="web")
    dhcp.start(s.network(hosts=hosts, domain=DOMAIN, ipv6=Ipv6Mode.STATEFUL, dns=Dns(FIRST)))
    own = [f"ghost.{DOMAIN}", f"a.b.{DOMAIN}", f"web.{DOMAIN}"]
    reverse = ["77.0.9.10.in-addr.arpa", f"{'.'.join('7700000000000000')}.{'.'.join('000000000000')}.9.0.d.f.ip6.arpa"]
    known = dict.fromkeys(["other.example", *own], THEIRS) | {name: [("PTR", "theirs.example")] for name in reverse}
    with Upstream(theirs, FIRST, known) as upstream:
        _knows(who, "other.example", [THEIRS], what="a name of somebody else's")
        for name in own[:2]:
            _knows(who, name, None, what=f"{name}, which nobody has")
        for name in reverse:
            _knows(who, name, None, "PTR", what=f"{name}, which nobody has")
        reply = query(who, HERE, own[2], "AAAA")
        assert not reply.answers, f"{own[2]} has no IPv6 address, and is answered with {reply}"
        _knows(who, own[2], ["10.9.0.5"], what="a host's name, which somebody else knows as well")
        _knows(who, "other.example", [THEIRS], what="a name of somebody else's")
        asked = {name for name, _ in upstream.asked}
    assert asked == {"other.example"}, f"only other.example is somebody else's, who was asked for {sorted(asked)}"


@spec(
    "DN-05",
    "Without forwarders, what is not the network's is refused, and no server is asked that the host itself asks.",
    capability=NAMES,
)
def test_nothing_is_forwarded(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net)
    who = s.guest("q", "10.9.0.50/24")
    dhcp.start(s.network(hosts=Host("02:00:00:00:00:05", "10.9.0.5", name="web"), domain=DOMAIN))
    theirs = _outside(net)
    for address in _resolvers():
        if address.startswith("127."):
            place: Stack = net
        else:
            place = theirs
            theirs.wake(f"{address}/{128 if ':' in address else 32}")
            net.add_route(
                f"{address}/{128 if ':' in address else 32}", FIRST6 if ":" in address else FIRST, theirs.port
            )
        with Upstream(place, address, {"other.example": THEIRS, "control.example": THEIRS}) as upstream:
            reply = query(who, HERE, "other.example")
            assert reply.rcode == "REFUSED", f"there is nobody to forward to, and other.example is answered: {reply}"
            assert not reply.answers, f"there is nobody to forward to, and other.example is answered: {reply}"
            _knows(who, f"web.{DOMAIN}", ["10.9.0.5"], what="a host's name where nothing is forwarded")
            control = query(net, address, "control.example")
            assert control.data == [THEIRS], f"the server at {address} is to know control.example, and says {control}"
            asked = {name for name, _ in upstream.asked}
        assert asked == {"control.example"}, f"{address} of /etc/resolv.conf was asked for {sorted(asked)}"


@spec(
    "DN-06",
    "Of several forwarders the first is asked, and the next only if that does not answer; what it says does not exist "
    "does not.",
    capability=FORWARDED,
)
def test_order_of_forwarders(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net)
    who, theirs = s.guest("q", "10.9.0.50/24"), _outside(net)
    dhcp.start(s.network(dns=Dns([SECOND, FIRST])))
    names = [f"name-{number}.example" for number in range(4)]
    known = dict.fromkeys([*names, "control.example"], THEIRS)
    with Upstream(theirs, FIRST, known) as last:
        with Upstream(theirs, SECOND, known) as first:
            for name in names[:3]:
                _knows(who, name, [THEIRS], what="a name that both forwarders know")
            _knows(who, "ghost.example", None, what="a name that no forwarder knows")
            # What the other one was asked it has taken in when it answers this.
            assert query(net, FIRST, "control.example").data == [THEIRS], "the second forwarder does not answer"
            asked = {name for name, _ in last.asked} - {"control.example"}
            assert not asked, f"the first forwarder answers, and the second was asked for {sorted(asked)}"
            asked = {*names[:3], "ghost.example"} - {name for name, _ in first.asked}
            assert not asked, f"the first forwarder was not asked for {sorted(asked)}"
        _knows(who, names[3], [THEIRS], what="a name when the first forwarder does not answer")


@spec(
    "DN-07",
    "Queries by TCP are answered as well, own and forwarded ones; an answer that is too long for a datagram says so, "
    "and is whole by TCP.",
    capability=(*FORWARDED, Capability.DHCP_IPV6),
)
def test_tcp(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net, f"{HERE}/24", f"{HERE6}/64")
    who, theirs = s.guest("q", "10.9.0.50/24", "fd09::50/64"), _outside(net)
    addresses = [f"fd09::{number:x}" for number in range(0x100, 0x13C)]
    host = Host("02:00:00:00:00:05", ["10.9.0.5", *addresses], name="web")
    dhcp.start(s.network(hosts=host, domain=DOMAIN, ipv6=Ipv6Mode.STATEFUL, dns=Dns(FIRST)))
    name = f"web.{DOMAIN}"
    for server in (HERE, HERE6):
        reply = query(who, server, name, tcp=True)
        assert reply.data == ["10.9.0.5"], f"by TCP, {server} says of {name}: {reply}"
    with Upstream(theirs, FIRST, {"other.example": THEIRS}):
        reply = query(who, HERE, "other.example", tcp=True)
        assert reply.data == [THEIRS], f"by TCP, it is said of a name of somebody else's: {reply}"
    short = query(who, HERE, name, "AAAA")
    assert short.truncated, f"{len(addresses)} addresses are not for one datagram, and {len(short.answers)} come whole"
    whole = query(who, HERE, name, "AAAA", tcp=True)
    missing = sorted({*addresses} - {*whole.data})
    assert not missing, f"by TCP, {len(missing)} of {len(addresses)} addresses are missing: {missing[:3]}"
    assert not whole.truncated, "by TCP, an answer is cut off"


@spec(
    "DN-08",
    "Nobody is answered who does not ask through the network's own device, though the way to the server's address is "
    "open: neither by UDP nor by TCP.",
    capability=NAMES_OF_BOTH,
    # On FreeBSD no socket is bound to a device, and only a firewall can see to it: DW-07.
    systems=(LINUX,),
)
def test_not_from_elsewhere(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    a = Segment(net, f"{HERE}/24", f"{HERE6}/64")
    b = Segment(net, f"{THERE}/24", "fd08::1/64", device="br-b")
    net.forward(4, 6)
    host = Host("02:00:00:00:00:05", "10.9.0.5", name="web")
    dhcp.start(a.network(hosts=host, domain=DOMAIN, ipv6=Ipv6Mode.STATEFUL))
    dhcp.start(b.network(hosts=Host("02:00:00:00:00:05", "10.8.0.5", name="web"), domain="b.example"))
    inside = a.guest("in", "10.9.0.50/24", "fd09::50/64")
    stranger, at_home = b.guest("out"), "10.8.0.50"
    stranger.wake(f"{at_home}/24", "fd08::50/64", gateways=[THERE, "fd08::1"])
    # The way is open: the server's host answers at that address, from there.
    for mine, server in ((at_home, HERE), ("fd08::50", HERE6)):
        net.reaches(stranger, mine, net, server, what="the way to the server's address")

    def control() -> None:
        _knows(stranger, "web.b.example", ["10.8.0.5"], server=THERE, what="a name of the stranger's own network")
        _knows(inside, f"web.{DOMAIN}", ["10.9.0.5"], what="a name asked for from inside")

    for server in (HERE, HERE6):
        for tcp in (False, True):
            what = f"from another network, {'by TCP' if tcp else 'by UDP'} at {server}"
            no_reply(stranger, server, f"web.{DOMAIN}", control=control, what=what, tcp=tcp)


@spec(
    "DN-09",
    "A client that tells the name of a host does not come to be known by it, nor by a name of another domain; and "
    "names that are none do no harm.",
    capability=NAMES,
)
def test_names_that_clients_tell(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net)
    who = s.guest("q", "10.9.0.50/24")
    dhcp.start(s.network(ranges=POOL, hosts=Host("02:00:00:00:00:05", "10.9.0.5", name="web"), domain=DOMAIN))
    server = dhcp.running(s.device).pid
    thief = s.client("a")
    address = thief.lease(hostname="web").yiaddr
    _knows(who, f"web.{DOMAIN}", ["10.9.0.5"], what="the name of a host that a client has told as well")
    _knows(who, "10.9.0.5", [f"web.{DOMAIN}"], "PTR", what="the address of a host whose name a client has told as well")
    _knows(who, address, None, "PTR", what="the address of a client that has told a host's name")
    foreign = s.client("b")
    foreign.lease(hostname="www.other.example")
    reply = query(who, HERE, "www.other.example")
    assert not reply.answers, f"a client has told that it is www.other.example, and that is answered: {reply}"
    odd = s.client("c")
    for name in ODD:
        odd.lease(options={12: name})
    status = dhcp.running(s.device)
    assert status.pid == server, f"after odd names, the server is not the one that it was: {status}"
    expected = sorted((one.address, one.mac) for one in (thief, foreign, odd))
    leases = becomes(
        net, lambda: sorted((str(one.address), one.mac_address) for one in dhcp.leases(s.device)), expected
    )
    assert leases == expected, f"after odd names, the leases are {leases}, and not {expected}"
    _knows(who, f"web.{DOMAIN}", ["10.9.0.5"], what="a host's name after odd names")


@spec(
    "DN-10",
    "Where DNS is not served nobody answers queries, and clients are told no DNS server.",
    capability=NAMES,
)
def test_no_dns(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net)
    client, who = s.client("a"), s.guest("q", "10.9.0.50/24")
    before = set(net.look.sockets())
    dhcp.start(s.network(ranges=POOL, hosts=Host("02:00:00:00:00:05", "10.9.0.5", name="web"), dns=None))
    for tcp in (False, True):
        what = f"where DNS is not served, {'by TCP' if tcp else 'by UDP'}"
        no_reply(who, HERE, "web", control=client.discover, what=what, tcp=tcp)
    told = client.lease(parameters=(DNS,)).options.get(DNS)
    assert told is None, f"DNS is not served, and clients are told the DNS servers {told.hex(':')}"
    listening = sorted(one for one in set(net.look.sockets()) - before if one.endswith(":53"))
    assert not listening, f"DNS is not served, and somebody listens on {listening}"


@spec(
    "DN-11",
    "A host that is added is known by its name when the call returns, one that is removed is not known any more, and "
    "one that has another name is known by that alone.",
    capability=NAMES,
)
def test_changed_hosts(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net)
    who = s.guest("q", "10.9.0.50/24")
    first, second = (
        Host("02:00:00:00:00:05", "10.9.0.5", name="one"),
        Host("02:00:00:00:00:06", "10.9.0.6", name="two"),
    )
    dhcp.start(s.network(hosts=first, domain=DOMAIN))
    _knows(who, f"two.{DOMAIN}", None, what="a host that is not there yet")
    dhcp.add_host(s.device, second)
    _knows(who, f"two.{DOMAIN}", ["10.9.0.6"], what="a host that was added")
    _knows(who, "10.9.0.6", [f"two.{DOMAIN}"], "PTR", what="the address of a host that was added")
    dhcp.remove_host(s.device, first.mac_addresses[0])
    _knows(who, f"one.{DOMAIN}", None, what="a host that was removed")
    _knows(who, "10.9.0.5", None, "PTR", what="the address of a host that was removed")
    dhcp.update(s.network(hosts=Host("02:00:00:00:00:06", "10.9.0.7", name="three"), domain=DOMAIN))
    _knows(who, f"three.{DOMAIN}", ["10.9.0.7"], what="a host that has another name and address")
    _knows(who, f"two.{DOMAIN}", None, what="the name that a host had before")
    _knows(who, "10.9.0.6", None, "PTR", what="the address that a host had before")


def _knows(
    who: Stack, name: str, expected: list[str] | None, kind: str = "A", *, server: str = HERE, what: str
) -> None:
    """See that a name has just these records of a kind; None: that it does not exist."""
    reply = query(who, server, name, kind)
    if expected is None:
        assert reply.rcode == "NXDOMAIN" and not reply.answers, f"{what}: {name} is to be unknown, and is {reply}"
    else:
        found = sorted(one.data for one in reply.answers if one.type == kind)
        assert (reply.rcode, found) == ("NOERROR", sorted(expected)), (
            f"{what}: {name} is to be {', '.join(expected)}, and is {reply}"
        )


def _outside(net: Sandbox) -> Guest:
    """Make a guest beyond the segment, at the addresses of somebody else's servers, that knows the way back."""
    guest = net.guest("theirs")
    net.add_address(guest.port, f"{ROUTER}/24", f"{ROUTER6}/64")
    guest.wake(f"{FIRST}/24", f"{SECOND}/24", f"{FIRST6}/64", gateways=[ROUTER, ROUTER6])
    return guest


def _resolvers() -> list[str]:
    """Return the DNS servers that this host uses itself (resolv.conf(5)); without any, a resolver takes 127.0.0.1."""
    try:
        lines = Path("/etc/resolv.conf").read_text(errors="replace").splitlines()
    except FileNotFoundError:
        lines = []
    found = [words[1].partition("%")[0] for line in lines if (words := line.split())[:1] == ["nameserver"]]
    return [one for one in dict.fromkeys(found) if not one.startswith("fe80:")] or ["127.0.0.1"]
