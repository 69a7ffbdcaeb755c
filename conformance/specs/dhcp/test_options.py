"""What clients are told besides their address: by fields of the network, and by options of any kind."""

from __future__ import annotations

from conformance.harness import DhcpUnderTest
from conformance.spec import spec
from conformance.specs.dhcp.told import (
    ANOTHER_PRIVATE,
    BROADCAST,
    DNS,
    DOMAIN,
    HERE,
    MTU,
    NTP,
    POOL,
    PRIVATE,
    ROUTER,
    ROUTES,
    SEARCH,
    THIRD_PRIVATE,
    octets,
    tells,
)
from conformance.topology.dhcp.segment import Segment
from conformance.topology.sandbox import Sandbox
from refnet.dhcp import Capability, Host, Option, Route

DHCP = Capability.DHCP
#: Octets that mean something in the files of one server or another, or end a line there.
ANY_OCTETS = b",#\"'\\\n\r\x00=[]:; end "


@spec(
    "DH-09",
    "Clients are told the gateway and the DNS servers of the network, in their order, and none where there is "
    "none; and what is withheld is not told, also where servers do by themselves.",
    capability=DHCP,
)
def test_withheld(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net)
    client = s.client()
    asked = (ROUTER, DNS, BROADCAST)
    dhcp.start(
        s.network(ranges=POOL, gateway="10.9.0.254", dns_servers=["10.9.0.53", "192.0.2.53"], options={BROADCAST: None})
    )
    expected = {ROUTER: octets("10.9.0.254"), DNS: octets("10.9.0.53", "192.0.2.53"), BROADCAST: None}
    tells(client.lease(parameters=asked), expected, what="with a gateway and two DNS servers")
    dhcp.start(s.network(ranges=POOL, dns_servers=()))
    expected = {ROUTER: None, DNS: None, BROADCAST: octets("10.9.0.255")}
    tells(client.lease(parameters=asked), expected, what="without a gateway, and with DNS servers withheld")
    dhcp.start(s.network(ranges=POOL, dns=None))
    tells(client.lease(parameters=asked), {ROUTER: None, DNS: None}, what="without DNS")


@spec(
    "DH-10",
    "Clients are told the MTU of the network, whether they ask for it or not, and none where there is none.",
    capability=DHCP,
)
def test_mtu(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net)
    dhcp.start(s.network(ranges=POOL, mtu=1450))
    client = s.client()
    for parameters, what in (((MTU,), "that asks for the MTU"), ((ROUTER,), "that does not ask for the MTU")):
        tells(client.lease(parameters=parameters), {MTU: (1450).to_bytes(2, "big")}, what=f"a client {what}")
    dhcp.start(s.network(ranges=POOL))
    tells(client.lease(parameters=(MTU,)), {MTU: None}, what="a network without an MTU")


@spec(
    "DH-11",
    "Clients are told the domain of their names, and the domains to look names up in, in their order.",
    capability=DHCP,
)
def test_domains(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net)
    search = ["cloud.example", "lab.cloud.example", "example.org"]
    dhcp.start(s.network(ranges=POOL, domain="cloud.example", search=search))
    ack = s.client().lease(parameters=(DOMAIN, SEARCH))
    tells(ack, {DOMAIN: b"cloud.example"}, what="the domain")
    assert ack.search() == search, f"names are to be looked up in {search}, and clients are told {ack.search()}"


@spec(
    "DH-12",
    "Clients are told the routes of the network as RFC 3442 has them, the default route by the gateway among them.",
    capability=DHCP,
)
def test_routes(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net)
    client = s.client()
    dhcp.start(s.network(ranges=POOL, routes=Route("10.20.0.0/14", "10.9.0.5")))
    expected = {ROUTES: bytes.fromhex("0e 0a14 0a090005"), ROUTER: None}
    tells(client.lease(parameters=(ROUTES, ROUTER)), expected, what="one route and no gateway")
    several = {"192.0.2.128/25": "10.9.0.6", "203.0.113.7/32": "10.9.0.7", "198.51.100.0/24": "0.0.0.0"}  # noqa: S104
    dhcp.start(s.network(ranges=POOL, gateway=HERE, routes=[Route(*one) for one in several.items()]))
    ack = client.lease(parameters=(ROUTES, ROUTER))
    told = sorted(ack.routes())
    wanted = sorted([*several.items(), ("0.0.0.0/0", HERE)])
    assert told == wanted, f"clients are told the routes {told}, and not {wanted}"
    # A prefix length, as much of the destination as it says, and the gateway; of /0, /24, /25 and /32.
    length = len(ack.options[ROUTES])
    assert length == 4 * 5 + 0 + 3 + 4 + 4, f"the routes take {length} octets: destinations are not as short as can be"
    tells(ack, {ROUTER: octets(HERE)}, what="a client that knows no routes besides the gateway")


@spec(
    "DH-13",
    "An option of any number, by its number or its name, is told with just these octets to clients that ask for "
    "it, and to all if it is forced.",
    capability=DHCP,
)
def test_any_option(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net)
    values = {
        "ntp-server": ["10.9.0.3", "10.9.0.4"],
        "23": 33,
        "root-path": "10.9.0.3:/srv/guests",
        PRIVATE: bytes(range(48)),
        THIRD_PRIVATE: ANY_OCTETS,
    }
    expected = {
        NTP: octets("10.9.0.3", "10.9.0.4"),
        23: b"\x21",
        17: b"10.9.0.3:/srv/guests",
        PRIVATE: bytes(range(48)),
        THIRD_PRIVATE: ANY_OCTETS,
    }
    dhcp.start(s.network(ranges=POOL, options=values))
    client = s.client()
    tells(client.lease(parameters=tuple(expected)), expected, what="options by number and by name")
    unasked: dict[int, bytes | None] = {PRIVATE: None, NTP: None}
    tells(client.lease(parameters=(ROUTER,)), unasked, what="options that nobody has asked for")
    forced = [Option(PRIVATE, b"\x01\x02", is_forced=True), Option(ANOTHER_PRIVATE, b"\x03\x04")]
    dhcp.start(s.network(ranges=POOL, options=forced))
    what = "a forced option, and one that is not"
    tells(client.lease(parameters=(ROUTER,)), {PRIVATE: b"\x01\x02", ANOTHER_PRIVATE: None}, what=what)


@spec(
    "DH-14",
    "The options of a host go before those of the network, what is withheld from it included, and are told to "
    "nobody else.",
    capability=DHCP,
)
def test_options_of_a_host(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net)
    host, stranger = s.client("a"), s.client("b")
    own = {ROUTER: "10.9.0.2", PRIVATE: b"its own", ANOTHER_PRIVATE: None, MTU: 1400}
    network = s.network(
        ranges=POOL,
        gateway=HERE,
        mtu=1450,
        options={PRIVATE: b"of all", ANOTHER_PRIVATE: b"of others", THIRD_PRIVATE: b"of both"},
        hosts=Host(host.mac, "10.9.0.10", options=own),
    )
    dhcp.start(network)
    asked = (ROUTER, MTU, PRIVATE, ANOTHER_PRIVATE, THIRD_PRIVATE)
    expected: dict[int, bytes | None] = {
        ROUTER: octets("10.9.0.2"),
        MTU: (1400).to_bytes(2, "big"),
        PRIVATE: b"its own",
        ANOTHER_PRIVATE: None,
        THIRD_PRIVATE: b"of both",
    }
    tells(host.lease(parameters=asked), expected, what="a host with options of its own")
    of_others: dict[int, bytes | None] = {
        ROUTER: octets(HERE),
        MTU: (1450).to_bytes(2, "big"),
        PRIVATE: b"of all",
        ANOTHER_PRIVATE: b"of others",
        THIRD_PRIVATE: b"of both",
    }
    tells(stranger.lease(parameters=asked), of_others, what="another client")
