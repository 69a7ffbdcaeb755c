"""Networks and hosts: what is taken, what is refused, and with which words."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import re
from typing import Any

import pytest
from dhcp_strategies import ANYTHING, networks
from hypothesis import given
from hypothesis import strategies as st

from refnet.dhcp import DhcpNetwork, Dns, Forced, Host, Ipv6Mode, Option, Range, Route, RouterAdvertisement, words
from refnet.errors import InvalidArgument

MAC, MAC2, MAC3 = "52:54:00:12:34:56", "52:54:00:12:34:57", "52:54:00:12:34:58"
BOTH = ("192.0.2.1/24", "2001:db8::1/64")
POOL, POOL6 = Range("192.0.2.100", "192.0.2.199"), Range("2001:db8::1:0", "2001:db8::1:ffff")
FAR = ipaddress.ip_network("198.51.100.0/24")


def network(addresses: Any = "192.0.2.1/24", **fields: Any) -> DhcpNetwork:
    return DhcpNetwork("br100", addresses, **fields)


# -- hosts ------------------------------------------------------------------------------------------------


def test_a_host_in_its_normal_form() -> None:
    host = Host(
        (MAC.upper(), MAC2), ["192.0.2.10", ipaddress.ip_address("2001:DB8::A")], name="Web-1", client_id=b"\x00web"
    )
    assert host.mac_addresses == (MAC, MAC2)
    assert host.client_id == "00:77:65:62"
    assert host.identities == (MAC, MAC2, "00:77:65:62")
    assert [str(one) for one in host.addresses] == ["192.0.2.10", "2001:db8::a"]
    assert (host.name, str(host), host.lease_time, host.options) == ("web-1", "web-1", None, ())
    assert str(Host(MAC)) == MAC
    assert str(Host(client_id="FF:00:01")) == "ff:00:01"
    assert Host(MAC, options={"mtu": 1400}).options == (Option(26, b"\x05\x78"),)
    # What a network has fields for, a host has options for.
    assert (
        len(Host(MAC, options={1: "255.255.255.255", 3: "192.0.2.2", 6: "192.0.2.3", 15: "a", 119: "a"}).options) == 5
    )
    assert Host(MAC) == Host([MAC])
    assert len({Host(MAC), Host(MAC.upper())}) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "web"}, "host 'web' has neither a MAC address nor a client identifier"),
        ({"mac_addresses": "52:54:00:12:34"}, "six hexadecimal octets"),
        ({"mac_addresses": [MAC, MAC.upper()]}, f"MAC address {MAC} is there twice"),
        ({"mac_addresses": "01:54:00:12:34:56"}, "is a group address"),
        ({"mac_addresses": {MAC: 1}}, "six hexadecimal octets"),
        ({"mac_addresses": 5}, "six hexadecimal octets"),
        ({"mac_addresses": f"{MAC},id:*"}, "six hexadecimal octets"),
        ({"addresses": "192.0.2.10/24"}, "not an IPv4 or IPv6 address"),
        ({"addresses": ["192.0.2.10", "192.0.2.11"]}, f"host {MAC} has several IPv4 addresses"),
        ({"addresses": ["2001:db8::1", "2001:db8:0::1"]}, "is there twice"),
        ({"addresses": "fe80::1%br100"}, "not an IPv4 or IPv6 address"),
        ({"addresses": 3221225994}, "not an IPv4 or IPv6 address"),
        ({"addresses": None}, "not an IPv4 or IPv6 address"),
        ({"name": "web.example.org"}, "(and no hyphen at an end): its domain is the network's"),
        ({"name": "web\n"}, "host name 'web\\n' is not 1 to 63"),
        ({"name": "web,ignore"}, "host name 'web,ignore'"),
        ({"name": "-web"}, "host name"),
        ({"name": "web-"}, "host name"),
        ({"name": "w_b"}, "host name"),
        ({"name": "wéb"}, "host name"),
        ({"name": "w" * 64}, "host name"),
        ({"name": ""}, "host name"),
        ({"name": b"web"}, "host name"),
        ({"name": "LocalHost"}, "what every host calls itself"),
        ({"client_id": "01"}, "client identifier '01' is not 2 to 130"),
        ({"client_id": b""}, "is not 2 to 130"),
        ({"client_id": bytes(131)}, "is not 2 to 130"),
        ({"client_id": "01:2"}, "is not 2 to 130"),
        ({"client_id": "01:02\n"}, "is not 2 to 130"),
        ({"client_id": "*"}, "is not 2 to 130"),
        ({"client_id": 12}, "is not 2 to 130"),
        ({"options": {53: b"a"}}, "DHCP's own"),
        ({"options6": {"mtu": 1400}}, "none of DHCPv6"),
        ({"options": "mtu"}, "neither a mapping"),
        ({"lease_time": 119}, "lease time 119 is not a whole number of seconds from 120"),
        ({"lease_time": 2**32 - 1}, "lease time"),
        ({"lease_time": True}, "lease time"),
        ({"lease_time": 3600.0}, "lease time"),
        ({"lease_time": "1h"}, "lease time"),
        ({"is_ignored": "no"}, "is_ignored must be True or False"),
    ],
)
def test_a_host_that_is_refused(arguments: dict[str, Any], said: str) -> None:
    given = {} if arguments.keys() == {"name"} and arguments["name"] == "web" else {"mac_addresses": MAC}
    with pytest.raises(InvalidArgument, match=re.escape(said)):
        Host(**(given | arguments))


# -- networks ---------------------------------------------------------------------------------------------


def test_a_network_in_its_normal_form() -> None:
    made = network(
        BOTH,
        ranges=[POOL, POOL6],
        hosts=[Host(MAC, ["192.0.2.10", "2001:db8::10"], name="web")],
        gateway="192.0.2.254",
        dns=Dns("203.0.113.53"),
        dns_servers=["192.0.2.53", "2001:db8::53"],
        domain="Cloud.Example.ORG.",
        search=["example.org", "Example.NET"],
        routes=Route("203.0.113.0/24", "192.0.2.253"),
        options={"ntp-server": "192.0.2.123"},
        options6={"ntp-server": "2001:db8::123"},
        ipv6="stateful",
        lease_time=None,
        mtu=1400,
    )
    assert [str(one) for one in made.networks] == ["192.0.2.0/24", "2001:db8::/64"]
    assert made.domain == "cloud.example.org"
    assert made.search == ("example.org", "example.net")
    assert made.ipv6 is Ipv6Mode.STATEFUL
    assert made.serves_dhcp
    assert made.lease_time is None
    assert made.router_advertisement == RouterAdvertisement()
    assert hash(made) == hash(made.with_hosts(made.hosts))
    assert made.with_hosts([]).hosts == ()
    assert made.with_hosts(made.hosts) == made
    assert not network("2001:db8::1/64").serves_dhcp
    # What is advertised is nothing where there is nobody to be told.
    assert network(router_advertisement=RouterAdvertisement(60)).router_advertisement is None


@pytest.mark.parametrize(
    "fields",
    [
        {"addresses": "192.0.2.1/32"},
        {"addresses": "192.0.2.0/31", "ranges": Range("192.0.2.1", "192.0.2.1")},
        {"addresses": "192.0.2.1/31", "hosts": Host(MAC, "192.0.2.0")},
        {"addresses": ["192.0.2.1/24", "198.51.100.1/24"], "gateway": "198.51.100.254"},
        {"addresses": "fd00::1/64", "ipv6": "slaac"},
        {"addresses": "fd00::1/64", "ipv6": "stateless"},
        {"addresses": "2001:db8::1/112", "ipv6": "stateful", "ranges": Range("2001:db8::10", "2001:db8::ffff")},
        {"addresses": "2001:db8::/127"},
        {"addresses": BOTH, "ipv6": "stateful", "router_advertisement": None},
        # The server itself is the gateway, and a host is one: nobody else gets the address.
        {"ranges": Range("192.0.2.1", "192.0.2.99"), "gateway": "192.0.2.1"},
        {"ranges": POOL, "gateway": "192.0.2.100", "hosts": Host(MAC, "192.0.2.100")},
        {"ranges": Range("198.51.100.1", "198.51.100.9", FAR), "hosts": Host(MAC, "198.51.100.200")},
        {"ranges": [Range("198.51.100.1", "198.51.100.9", FAR), Range("198.51.100.20", "198.51.100.29", FAR)]},
        {"routes": [Route("0.0.0.0/0", "192.0.2.9"), Route("203.0.113.0/24", "0.0.0.0")], "gateway": "192.0.2.9"},
        {"dns_servers": ()},
        {"hosts": [Host(MAC, is_ignored=True), Host(client_id=b"\x01\x02")]},
        {"mtu": 68},
        {"device": "a" * 15},
        {"lease_time": 120},
        {"lease_time": 0xFFFFFFFE},
        {"lease_events": "/run/" + "a" * 98},
        {"lease_events": "log", "lease_store": True},
        {"domain": ".".join(["a" * 61] * 4), "hosts": Host(MAC, name="12345")},
    ],
)
def test_what_is_possible(fields: dict[str, Any]) -> None:
    given = {"device": "br100", "addresses": "192.0.2.1/24"} | fields
    made = DhcpNetwork(given.pop("device"), given.pop("addresses"), **given)
    assert made.with_hosts(made.hosts) == made
    assert words.network(made)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"device": "br 100"}, "device 'br 100' is not possible"),
        ({"device": "a" * 16}, "at most 15"),
        ({"device": 5}, "must be a str"),
        ({"addresses": ()}, "no server's address"),
        ({"addresses": "192.0.2.1"}, "no prefix length"),
        ({"addresses": ["192.0.2.1/24", "192.0.2.2/24"]}, "are in one network: one is enough"),
        ({"addresses": ["192.0.2.1/24", "192.0.2.1/24"]}, "is there twice"),
        ({"addresses": ["192.0.2.1/24", "192.0.0.1/16"]}, "are in one network"),
        ({"addresses": "192.0.2.0/24"}, "it stands for 192.0.2.0/24"),
        ({"addresses": "192.0.2.255/24"}, "is no host's"),
        ({"addresses": "255.255.255.255/32"}, "is no host's"),
        ({"addresses": "0.0.0.1/8"}, "is no host's"),
        ({"addresses": "2001:db8::/64"}, "is no host's"),
        ({"addresses": "127.0.0.1/8"}, "clients have a network with"),
        ({"addresses": "::1/128"}, "clients have a network with"),
        ({"addresses": "fe80::1/64"}, "clients have a network with"),
        ({"addresses": "224.0.0.1/4"}, "no unicast address"),
        ({"addresses": {"192.0.2.1/24": 1}}, "is not an address with a prefix length"),
        ({"addresses": 5}, "is not an address with a prefix length"),
        ({"ranges": "192.0.2.1-192.0.2.9"}, "is no Range: make one with refnet.dhcp.Range"),
        ({"ranges": [POOL, POOL]}, "is there twice"),
        ({"ranges": [POOL, Range("192.0.2.199", "192.0.2.210")]}, "overlap"),
        ({"ranges": Range("192.0.2.0", "192.0.2.9")}, "no host's in 192.0.2.0/24"),
        ({"ranges": Range("192.0.2.9", "192.0.2.255")}, "no host's in 192.0.2.0/24"),
        ({"ranges": Range("192.0.2.9", "192.0.3.9")}, "is in no network of the server: 192.0.2.0/24"),
        ({"ranges": Range("198.51.100.1", "198.51.100.9")}, "is in no network of the server"),
        ({"ranges": Range("192.0.2.1", "192.0.2.9", "192.0.2.0/25")}, "needs no relay"),
        ({"ranges": Range("198.51.100.0", "198.51.100.9", FAR)}, "no host's in 198.51.100.0/24"),
        (
            {
                "ranges": [
                    Range("198.51.100.1", "198.51.100.9", FAR),
                    Range("198.51.100.10", "198.51.100.11", "198.51.100.8/29"),
                ]
            },
            "their networks 198.51.100.8/29 and 198.51.100.0/24 overlap",
        ),
        ({"addresses": "2001:db8::1/64", "ranges": Range("198.51.100.1", "198.51.100.9", FAR)}, "has no IPv4 address"),
        ({"addresses": BOTH, "ranges": POOL6}, "only a network whose ipv6 is 'stateful'"),
        ({"addresses": BOTH, "ranges": POOL6, "ipv6": "slaac"}, "only a network whose ipv6 is 'stateful'"),
        ({"addresses": BOTH, "ranges": Range("2001:db8::", "2001:db8::9"), "ipv6": "stateful"}, "no host's in"),
        ({"addresses": BOTH, "ranges": Range("2001:db8:1::1", "2001:db8:1::9"), "ipv6": "stateful"}, "in no network"),
        ({"hosts": MAC}, "is no Host: make one with refnet.dhcp.Host"),
        ({"hosts": 5}, "is no Host"),
        ({"hosts": [Host(MAC), Host([MAC2, MAC])]}, f"have both {MAC}"),
        ({"hosts": [Host(MAC), Host(MAC)]}, f"have both {MAC}"),
        ({"hosts": [Host(client_id="01:02"), Host(MAC, client_id="01:02")]}, "have both 01:02"),
        ({"hosts": [Host(MAC, "192.0.2.9"), Host(MAC2, "192.0.2.9")]}, "have both 192.0.2.9"),
        ({"hosts": [Host(MAC, name="a"), Host(MAC2, name="A")]}, f"hosts {MAC} and {MAC2} have both the name 'a'"),
        ({"hosts": Host(MAC, "192.0.2.1", name="web")}, "host web: 192.0.2.1 is the server's own address"),
        ({"hosts": Host(MAC, "192.0.2.0")}, f"host {MAC}: 192.0.2.0 is no host's address in 192.0.2.0/24"),
        ({"hosts": Host(MAC, "192.0.2.255")}, "is no host's address"),
        ({"hosts": Host(MAC, "192.0.3.1")}, "is no host's address"),
        ({"addresses": BOTH, "hosts": Host(MAC, "2001:db8::9")}, "can be given only if ipv6 is 'stateful'"),
        ({"addresses": BOTH, "hosts": Host(MAC, "2001:db8::9"), "ipv6": "stateless"}, "can be given only if ipv6"),
        ({"addresses": BOTH, "hosts": Host(MAC, "2001:db8::"), "ipv6": "stateful"}, "is no host's address"),
        ({"addresses": BOTH, "hosts": Host(MAC, "fe80::9"), "ipv6": "stateful"}, "is no host's address"),
        ({"addresses": BOTH, "hosts": Host(MAC, "2001:db8::1"), "ipv6": "stateful"}, "the server's own"),
        (
            {"addresses": BOTH, "hosts": [Host(MAC, "2001:db8::9"), Host(MAC2, "2001:db8::9")], "ipv6": "stateful"},
            "have both 2001:db8::9",
        ),
        ({"hosts": Host(MAC, name="123456"), "domain": ".".join(["a" * 61] * 4)}, "longer than 253"),
        ({"gateway": "0.0.0.0"}, "gateway 0.0.0.0 is in no network of the server: 192.0.2.0/24"),
        ({"gateway": "198.51.100.1"}, "is in no network of the server"),
        ({"gateway": "192.0.2.255"}, "is no host's address in 192.0.2.0/24"),
        ({"gateway": "192.0.2.0"}, "is no host's address in 192.0.2.0/24"),
        ({"gateway": "2001:db8::1", "addresses": BOTH}, "is not an IPv4 address"),
        ({"gateway": "192.0.2.150", "ranges": POOL}, "could be given to a client"),
        ({"gateway": ""}, "not an IPv4 or IPv6 address"),
        ({"routes": Route("203.0.113.0/24", "198.51.100.1")}, "is in no network of the server"),
        ({"routes": Route("203.0.113.0/24", "192.0.2.255")}, "is no host's address"),
        ({"routes": Route("203.0.113.0/24", "192.0.2.100"), "ranges": POOL}, "could be given to a client"),
        (
            {"routes": [Route("203.0.113.0/24", "192.0.2.9"), Route("203.0.113.0/24", "192.0.2.8")]},
            "two routes to 203.0.113.0/24: by 192.0.2.9, and by 192.0.2.8",
        ),
        ({"routes": Route("0.0.0.0/0", "192.0.2.9"), "gateway": "192.0.2.8"}, "are two default gateways"),
        ({"routes": ("203.0.113.0/24", "192.0.2.9")}, "is no Route"),
        ({"routes": [Route(f"10.{one}.0.0/16", "192.0.2.9") for one in range(37)]}, "routes: they make 259 octets"),
        (
            # 36 of 7 octets fit; the default route that goes with them does not.
            {"routes": [Route(f"10.{one}.0.0/16", "192.0.2.9") for one in range(36)], "gateway": "192.0.2.9"},
            "routes: they make 257 octets",
        ),
        ({"search": ["a" * 60 + "." + chr(97 + one) * 60 for one in range(3)]}, "search domains: they make 369 octets"),
        (
            {"addresses": "2001:db8::1/64", "search": [f"x{one}.{'a' * 60}.{'b' * 60}.org" for one in range(9)]},
            "search domains: they make",
        ),
        ({"search": ["example.org", "Example.org."]}, "search domain example.org is there twice"),
        ({"search": "a b"}, "search domain 'a b' is not a domain name"),
        ({"search": "192.0.2.1"}, "is not a domain name"),
        ({"domain": "a\nb"}, "domain 'a\\nb' is not a domain name"),
        ({"domain": ""}, "is not a domain name"),
        ({"domain": "."}, "is not a domain name"),
        ({"domain": "a," * 200}, "is not a domain name"),
        ({"dns": True}, "is no Dns: make one"),
        ({"dns": Dns("192.0.2.1")}, "DNS forwarder 192.0.2.1 is this server itself"),
        ({"dns_servers": "0.0.0.0"}, "DNS server 0.0.0.0 is no unicast address"),
        ({"dns_servers": "224.0.0.251"}, "no unicast address"),
        ({"dns_servers": [f"203.0.113.{one}" for one in range(64)]}, "DNS servers: they make 256 octets"),
        ({"dns_servers": ["203.0.113.1", "203.0.113.1"]}, "is there twice"),
        ({"mtu": 67}, "MTU 67"),
        ({"mtu": 65536}, "MTU 65536"),
        ({"mtu": 1279, "addresses": BOTH, "ipv6": "stateful"}, "less than IPv6's least, 1280"),
        ({"ipv6": "slaac"}, "the server has no IPv6 address"),
        ({"ipv6": "auto", "addresses": BOTH}, "ipv6 'auto' is none of 'slaac', 'stateless'"),
        ({"ipv6": [], "addresses": BOTH}, "is none of 'slaac'"),
        ({"ipv6": "slaac", "addresses": "2001:db8::1/56"}, "networks of /64 only"),
        ({"ipv6": "slaac", "addresses": BOTH, "router_advertisement": None}, "takes router advertisements"),
        ({"router_advertisement": {"interval": 5}}, "is no RouterAdvertisement"),
        ({"options": {"mtu": 1400}}, "option 26 is what 'mtu' says: give it there"),
        ({"options": {3: None}}, "option 3 is what 'gateway' says"),
        ({"options": {"classless-static-route": [("10.0.0.0/8", "192.0.2.9")]}}, "option 121 is what 'routes' says"),
        ({"options6": {24: ["example.org"]}}, "option 24 is what 'search' says"),
        ({"options6": [Option(23, None)]}, "option 23 is what 'dns_servers' says"),
        ({"lease_time": 60}, "lease time 60"),
        ({"lease_time": 0}, "lease time 0"),
        ({"lease_time": -1}, "lease time -1"),
        ({"lease_events": "syslog"}, "neither 'log' nor a path"),
        ({"lease_events": "run/x"}, "neither 'log' nor a path"),
        ({"lease_events": "/run/" + "a" * 99}, "neither 'log' nor a path"),
        ({"lease_events": "/run/\n"}, "neither 'log' nor a path"),
        ({"lease_events": True}, "neither 'log' nor a path"),
        ({"lease_store": True}, "give lease_events='log' as well"),
        ({"lease_store": True, "lease_events": "/run/x"}, "give lease_events='log' as well"),
        ({"is_authoritative": 1}, "is_authoritative must be True or False"),
        ({"checks_addresses": None}, "checks_addresses must be True or False"),
        ({"logs_dhcp": "yes"}, "logs_dhcp must be True or False"),
    ],
)
def test_what_is_refused(fields: dict[str, Any], said: str) -> None:
    given = {"device": "br100", "addresses": "192.0.2.1/24"} | fields
    with pytest.raises(InvalidArgument, match=re.escape(said)):
        DhcpNetwork(given.pop("device"), given.pop("addresses"), **given)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("192.0.2.9", "192.0.2.1"), "the first address is to be the lower one"),
        (("192.0.2.9", "2001:db8::1"), "is none"),
        (("192.0.2.9", 5), "last address 5"),
        (("192.0.2.0/24", "192.0.2.5"), "first address '192.0.2.0/24'"),
        (("192.0.2.1", "192.0.2.9", "198.51.100.0/24"), "is not within 198.51.100.0/24"),
        (("2001:db8::1", "2001:db8::9", "2001:db8::/64"), "only IPv4 is served through relays"),
        (("192.0.2.1", "192.0.2.9", "192.0.2.1/24"), "bits set behind its prefix"),
        (("127.0.0.2", "127.0.0.9"), "no addresses that a client can have"),
        (("239.0.0.2", "239.0.0.9", "239.0.0.0/8"), "no addresses that a client can have"),
        (("::", "::9"), "no addresses that a client can have"),
    ],
)
def test_a_range_that_is_refused(arguments: tuple[Any, ...], said: str) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(said)):
        Range(*arguments)


def test_what_is_in_a_range() -> None:
    assert ipaddress.ip_address("192.0.2.100") in POOL
    assert ipaddress.ip_address("192.0.2.199") in POOL
    for one in ("192.0.2.99", "192.0.2.200", "::c000:264"):
        assert ipaddress.ip_address(one) not in POOL
    assert "192.0.2.100" not in POOL


@pytest.mark.parametrize(
    "arguments",
    [("203.0.113.1/24", "192.0.2.1"), ("2001:db8::/64", "192.0.2.1"), ("203.0.113.0/24", "::1"), ("x", "y"), (5, 6)],
)
def test_a_route_that_is_refused(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidArgument):
        Route(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"interval": 3},
        {"interval": 1801},
        {"interval": True},
        {"interval": 60, "lifetime": 59},
        {"lifetime": 9001},
        {"lifetime": False},
        {"preference": "urgent"},
        {"preference": None},
        {"mtu": 1279},
        {"mtu": True},
    ],
)
def test_an_advertisement_that_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        RouterAdvertisement(**arguments)
    assert RouterAdvertisement(4, 0, "low", 1280) == RouterAdvertisement(
        interval=4, lifetime=0, preference="low", mtu=1280
    )


@pytest.mark.parametrize("forwarders", ["0.0.0.0", "ff02::fb", "fe80::1", "dns.example", ["192.0.2.1"] * 2, {}, 53])
def test_forwarders_that_are_refused(forwarders: Any) -> None:
    with pytest.raises(InvalidArgument):
        Dns(forwarders)


def test_a_host_is_looked_at_by_itself() -> None:
    made = network(BOTH, ranges=POOL, ipv6="stateful")
    made.check_host(Host(MAC, ["192.0.2.10", "2001:db8::10"]))
    for address in ("192.0.2.1", "192.0.2.255", "10.0.0.1", "2001:db8::1", "2001:db8:1::1"):
        with pytest.raises(InvalidArgument, match=re.escape(address)):
            made.check_host(Host(MAC, address))
    with pytest.raises(InvalidArgument, match="is no Host"):
        made.check_host(MAC)  # type: ignore[arg-type]


def test_errors_say_which_device_they_are_about() -> None:
    with pytest.raises(InvalidArgument) as raised:
        network(gateway="198.51.100.1")
    assert raised.value.device == "br100"


# -- in words ---------------------------------------------------------------------------------------------


def test_networks_in_words() -> None:
    made = network(
        BOTH,
        ranges=[POOL, Range("198.51.100.1", "198.51.100.9", FAR)],
        hosts=[
            Host(
                MAC, ["192.0.2.10", "2001:db8::10"], name="web", lease_time=7260, options={"router": None, 43: b"\1\2"}
            ),
            Host([MAC2, MAC3], options6={59: Forced("tftp://a")}),
            Host(client_id=b"\0\1", is_ignored=True),
        ],
        gateway="192.0.2.1",
        dns=Dns(["203.0.113.53", "203.0.113.54"]),
        dns_servers=(),
        domain="example.org",
        search=["example.org", "example.net"],
        mtu=1400,
        routes=Route("203.0.113.0/24", "192.0.2.9"),
        lease_time=90000,
        options={"ntp-server": ["192.0.2.123"], 249: [Route("10.0.0.0/8", "192.0.2.9")], 200: bytes(33)},
        ipv6="stateful",
        router_advertisement=RouterAdvertisement(60),
        lease_events="log",
    )
    assert words.network(made) == [
        "network on br100: 192.0.2.1/24, 2001:db8::1/64",
        "leases for 1 d 1 h",
        "range 192.0.2.100-192.0.2.199",
        "range 198.51.100.1-198.51.100.9 in 198.51.100.0/24, behind a relay",
        "gateway 192.0.2.1",
        "DNS servers none",
        "domain example.org",
        "search example.org, example.net",
        "MTU 1400",
        "route to 203.0.113.0/24 by 192.0.2.9",
        "option 42 (ntp-server) 192.0.2.123",
        f"option 200 {'00:' * 31}00…",
        "option 249 (ms-classless-static-route) 10.0.0.0/8 by 192.0.2.9",
        "DNS, forwarded to 203.0.113.53, 203.0.113.54",
        "IPv6 stateful: clients get addresses by DHCPv6",
        "advertised each 1 min as a router for 30 min",
        "lease events to the log",
        f"host web: {MAC}, gets 192.0.2.10, 2001:db8::10 for 2 h 1 min; option 3 (router) withheld; "
        "option 43 (vendor-encap) 01:02",
        f"host {MAC2} or {MAC3}, gets an address out of the range; "
        "DHCPv6 option 59 (bootfile-url) tftp://a, also unasked",
        "host 00:01, gets no answer",
    ]


# -- any values -------------------------------------------------------------------------------------------


@given(networks())
def test_a_network_is_made_of_what_it_says(made: DhcpNetwork) -> None:
    assert made.with_hosts(made.hosts) == made
    for host in made.hosts:
        made.check_host(host)
    said = words.network(made)
    assert len(said) >= 1 + len(made.ranges) + len(made.hosts)
    assert all(line.isprintable() for line in said)


_FIELDS = [one.name for one in dataclasses.fields(DhcpNetwork)]


@given(st.dictionaries(st.sampled_from(_FIELDS), ANYTHING, min_size=1, max_size=3))
def test_any_value_is_taken_or_refused(fields: dict[str, Any]) -> None:
    given = {"device": "br100", "addresses": list(BOTH)} | fields
    try:
        made = DhcpNetwork(given.pop("device"), given.pop("addresses"), **given)
    except InvalidArgument:
        return
    assert made.with_hosts(made.hosts) == made


@given(st.dictionaries(st.sampled_from([one.name for one in dataclasses.fields(Host)]), ANYTHING, max_size=3))
def test_any_host_is_taken_or_refused(fields: dict[str, Any]) -> None:
    try:
        made = Host(**({"mac_addresses": MAC} | fields))
    except InvalidArgument:
        return
    assert made.identities
    assert words.host(made).isprintable()


@given(
    st.sampled_from([(Range, 2), (Range, 3), (Route, 2), (Dns, 1), (RouterAdvertisement, 4)]),
    st.lists(ANYTHING, min_size=4, max_size=4),
)
def test_any_part_is_taken_or_refused(kind: tuple[Any, int], arguments: list[Any]) -> None:
    make, count = kind
    with contextlib.suppress(InvalidArgument):
        assert make(*arguments[:count]) == make(*arguments[:count])


def test_a_name_that_is_too_long_with_the_domain_is_refused_for_a_host_alone_as_well() -> None:
    long = ".".join(["d" * 60] * 4)
    network = DhcpNetwork("br0", "192.0.2.1/24", domain=long)
    host = Host(MAC, "192.0.2.10", name="h" * 30)
    with pytest.raises(InvalidArgument, match="longer than 253"):
        network.check_host(host)
    with pytest.raises(InvalidArgument, match="longer than 253"):
        network.with_hosts([host])
    network.check_host(Host(MAC, "192.0.2.10", name="h" * 5))
