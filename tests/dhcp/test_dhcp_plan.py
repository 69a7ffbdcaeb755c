"""What dnsmasq is started with and what it reads: line by line, and whether the real one takes it."""

from __future__ import annotations

import ipaddress
import subprocess
from pathlib import Path
from typing import Any

import pytest
from dhcp_strategies import networks
from hypothesis import given, settings

from refnet.dhcp import DhcpNetwork, Dns, Forced, Host, Option, Range, Route, RouterAdvertisement
from refnet.dhcp.dnsmasq import program
from refnet.dhcp.dnsmasq.hosts import MAX_LINE, host_line, name_lines, tag
from refnet.dhcp.dnsmasq.lines import option_line
from refnet.dhcp.dnsmasq.place import Place
from refnet.dhcp.dnsmasq.plan import Plan, Server, plan, reverse_zones
from refnet.errors import Unsupported

SERVER = Server("/usr/sbin/dnsmasq", has_inotify=True, binding="--bind-dynamic", identity=("--user=nobody",))
PLACE = Place(Path("/var/lib/refnet/dhcp"), "br0")
MAC, MAC2 = "52:54:00:00:00:01", "52:54:00:00:00:02"


def planned(*addresses: str, **fields: Any) -> Plan:
    return plan(DhcpNetwork("br0", addresses or ["192.0.2.1/24"], **fields), PLACE, SERVER)


def lines(text: str) -> list[str]:
    assert not text or text.endswith("\n")
    return text.splitlines()


def tagged(made: Plan) -> list[str]:
    """Return the lines of hosts with options."""
    assert "set:" not in made.hosts, "dnsmasq 2.90 dies when it reads such a file again"
    return [line.removeprefix("dhcp-host=") for line in lines(made.configuration) if line.startswith("dhcp-host=")]


# -- arguments --------------------------------------------------------------------------------------------


def test_the_arguments_of_a_plain_network() -> None:
    assert planned().arguments == (
        "/usr/sbin/dnsmasq",
        "--pid-file=/var/lib/refnet/dhcp/br0/pid",
        "--no-hosts",
        "--no-resolv",
        "--no-poll",
        "--user=nobody",
        "--bind-dynamic",
        "--interface=br0",
        "--except-interface=lo",
        "--log-facility=/var/lib/refnet/dhcp/br0/log",
        "--local=/2.0.192.in-addr.arpa/",
        "--dhcp-leasefile=/var/lib/refnet/dhcp/br0/leases",
        "--dhcp-lease-max=256",
        "--dhcp-authoritative",
        "--no-ping",
        "--quiet-dhcp",
        "--quiet-dhcp6",
        "--quiet-ra",
        "--dhcp-range=set:@n0,192.0.2.0,static,255.255.255.0,3600",
        "--dhcp-hostsfile=/var/lib/refnet/dhcp/br0/hosts",
        "--dhcp-optsfile=/var/lib/refnet/dhcp/br0/options",
        "--addn-hosts=/var/lib/refnet/dhcp/br0/names",
        "--dhcp-hostsdir=/var/lib/refnet/dhcp/br0/hosts.d",
        "--hostsdir=/var/lib/refnet/dhcp/br0/names.d",
        "--conf-file=/var/lib/refnet/dhcp/br0/conf",
    )


@pytest.mark.parametrize(
    ("fields", "there", "not_there"),
    [
        ({"dns": None}, ["--port=0"], ["--local", "--addn-hosts", "--hostsdir", "--server"]),
        (
            {"dns": Dns(["203.0.113.1", "2001:db8:1::1"])},
            ["--strict-order", "--server=203.0.113.1", "--server=2001:db8:1::1", "--local=//"],
            [],
        ),
        ({}, [], ["--strict-order", "--server", "--domain", "--enable-ra", "--dhcp-script", "--leasefile-ro"]),
        ({"domain": "a.example"}, ["--domain=a.example", "--local=/a.example/"], []),
        ({"is_authoritative": False}, [], ["--dhcp-authoritative"]),
        ({"checks_addresses": True}, [], ["--no-ping"]),
        ({"logs_dhcp": True}, [], ["--quiet"]),
        ({"lease_time": None}, ["--dhcp-range=set:@n0,192.0.2.0,static,255.255.255.0,infinite"], []),
        (
            {"lease_events": "log", "lease_store": True},
            ["--dhcp-script=/var/lib/refnet/dhcp/br0/event", "--leasefile-ro"],
            [],
        ),
        (
            {"ranges": Range("198.51.100.5", "198.51.100.9", "198.51.100.0/25")},
            ["--dhcp-range=set:@r0,198.51.100.5,198.51.100.9,255.255.255.128,3600"],
            [],
        ),
    ],
)
def test_what_arguments_follow_from(fields: dict[str, Any], there: list[str], not_there: list[str]) -> None:
    found = planned(**fields).arguments
    assert not [one for one in there if one not in found], found
    assert not [one for one in found if any(one.startswith(start) for start in not_there)]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("slaac", "2001:db8::,ra-only,64,3600"),
        ("stateless", "2001:db8::,ra-stateless,64,3600"),
        ("stateful", "2001:db8::,static,64,3600"),
        ("stateful-slaac", "2001:db8::,static,slaac,64,3600"),
    ],
)
def test_the_ways_of_ipv6(mode: str, expected: str) -> None:
    found = planned("2001:db8::1/64", ipv6=mode).arguments
    assert f"--dhcp-range={expected}" in found
    assert found.count("--enable-ra") == 1
    assert "--ra-param=br0,mtu:off,600,1800" in found


def test_what_is_advertised() -> None:
    told = RouterAdvertisement(interval=10, lifetime=30, preference="high", mtu=1400)
    found = planned("2001:db8::1/64", ipv6="slaac", router_advertisement=told)
    assert "--ra-param=br0,mtu:1400,high,10,30" in found.arguments


def test_without_leases_of_ipv4_or_ipv6_options_are_in_the_configuration() -> None:
    """dnsmasq reads no file of options unless it serves leases, and advertises DNS servers by them."""
    found = planned("2001:db8::1/64", ipv6="slaac", search="a.example")
    assert lines(found.configuration) == ["dhcp-option=option6:23,[2001:db8::1]", "dhcp-option=option6:24,a.example"]


@pytest.mark.parametrize(
    ("network", "zones"),
    [
        ("192.0.2.0/24", ["2.0.192.in-addr.arpa"]),
        ("10.0.0.0/8", ["10.in-addr.arpa"]),
        ("10.8.0.0/15", ["8.10.in-addr.arpa", "9.10.in-addr.arpa"]),
        ("192.0.2.252/30", [f"{one}.2.0.192.in-addr.arpa" for one in range(252, 256)]),
        ("192.0.2.1/32", ["1.2.0.192.in-addr.arpa"]),
        ("0.0.0.0/0", ["in-addr.arpa"]),
        ("2001:db8::/64", ["0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"]),
        ("2001:db8::/31", ["8.b.d.0.1.0.0.2.ip6.arpa", "9.b.d.0.1.0.0.2.ip6.arpa"]),
    ],
)
def test_reverse_zones(network: str, zones: list[str]) -> None:
    assert reverse_zones(ipaddress.ip_network(network)) == zones


@pytest.mark.parametrize(
    ("addresses", "fields", "most"),
    [
        (["192.0.2.1/24"], {"ranges": Range("198.51.100.5", "198.51.100.9", "198.51.100.0/25")}, 256 + 128),
        (["10.0.0.1/8"], {}, 1 << 20),
        (["192.0.2.1/24", "2001:db8::1/64"], {"ipv6": "stateful"}, 256 + 65536),
        (["192.0.2.1/24", "2001:db8::1/64"], {"ipv6": "slaac"}, 256),
        (["2001:db8::1/64"], {"ipv6": "slaac"}, 1),
    ],
)
def test_leases_are_as_many_as_clients_can_be_and_no_more(
    addresses: list[str], fields: dict[str, Any], most: int
) -> None:
    """A guest can have as many identities of DHCPv6 as it likes."""
    assert f"--dhcp-lease-max={most}" in planned(*addresses, **fields).arguments


# -- options ----------------------------------------------------------------------------------------------


def test_what_is_not_told_is_withheld() -> None:
    """dnsmasq tells its own address as gateway and DNS server unless it is told not to."""
    assert lines(planned(dns=None).options) == ["tag:@n0,3", "6"]


def test_gateway_and_dns_server_of_each_network() -> None:
    found = lines(
        planned(
            "192.0.2.1/24",
            "198.51.100.1/24",
            gateway="198.51.100.254",
            ranges=Range("203.0.113.5", "203.0.113.9", "203.0.113.0/24"),
        ).options
    )
    assert found == [
        "tag:@n0,3",
        "tag:@n1,3,198.51.100.254",
        "6,192.0.2.1,198.51.100.1",
        "tag:@n0,6,192.0.2.1",
        "tag:@n1,6,198.51.100.1",
    ]


def routes_told(made: Plan) -> list[str]:
    return [line for line in lines(made.options) if ",121" in line]


def test_the_default_route_is_among_the_routes() -> None:
    found = planned(gateway="192.0.2.254", routes=Route("10.0.0.0/8", "192.0.2.9"))
    assert routes_told(found) == ["tag:@n0,tag:!@4-121,121,08:0a:c0:00:02:09:00:c0:00:02:fe"]


def test_routes_are_told_where_their_gateways_are() -> None:
    found = planned(
        "192.0.2.1/24",
        "198.51.100.1/24",
        gateway="192.0.2.254",
        routes=[
            Route("10.0.0.0/8", "192.0.2.9"),
            Route("10.1.0.0/16", "198.51.100.9"),
            Route("10.2.0.0/16", "0.0.0.0"),
        ],
        ranges=Range("203.0.113.5", "203.0.113.9", "203.0.113.0/24"),
    )
    assert routes_told(found) == [
        "tag:@n0,tag:!@4-121,121,08:0a:c0:00:02:09:10:0a:02:00:00:00:00:00:c0:00:02:fe",
        "tag:@n1,tag:!@4-121,121,10:0a:01:c6:33:64:09:10:0a:02:00:00:00:00",
    ]


def test_a_gateway_of_its_own_is_in_a_hosts_routes() -> None:
    """Who takes option 121 takes no notice of option 3."""
    hosts = [
        Host(MAC, options={"router": "192.0.2.9"}),
        Host(MAC2, options={"router": None}),
        Host("52:54:00:00:00:03", options={"router": "192.0.2.9", 121: [("10.3.0.0/16", "192.0.2.3")]}),
        Host("52:54:00:00:00:04", options={"mtu": 1400}),
    ]
    found = planned(gateway="192.0.2.254", routes=Route("10.0.0.0/8", "192.0.2.8"), hosts=hosts)
    assert tagged(found)[:2] == [f"{MAC},set:@{MAC},set:@4-121", f"{MAC2},set:@{MAC2},set:@4-121"]
    assert "set:@4-121" not in tagged(found)[3]
    assert routes_told(found)[1:] == [
        f"tag:@{MAC},tag:@n0,121,08:0a:c0:00:02:08:00:c0:00:02:09",
        f"tag:@{MAC2},tag:@n0,121,08:0a:c0:00:02:08",
        "tag:@52:54:00:00:00:03,121,10:0a:03:c0:00:02:03",
    ]


def test_the_mtu_goes_to_those_as_well_who_do_not_ask() -> None:
    assert lines(planned(mtu=1400).configuration) == ["dhcp-option-force=26,05:78"]


def test_the_options_of_a_host_go_before_those_of_its_network() -> None:
    host = Host(MAC, options={"router": "192.0.2.9", "ntp-server": None, "mtu": 1300})
    found = planned(mtu=1400, options={"ntp-server": "192.0.2.7"}, hosts=[host, Host(MAC2, "192.0.2.5")])
    # A withheld option without a default has no line: the network's is for those without the tag.
    assert lines(found.hosts) == [f"{MAC2},192.0.2.5"]
    assert "tag:!@4-42,42,192.0.2.7\n" in found.options
    assert f"tag:@{MAC},3,192.0.2.9\n" in found.options
    # What the network forces, its host is told unasked as well.
    assert lines(found.configuration) == [
        "dhcp-option-force=26,05:78",
        f"dhcp-host={MAC},set:@{MAC},set:@4-42",
        f"dhcp-option-force=tag:@{MAC},26,05:14",
    ]


def test_a_host_that_overrides_what_another_is_kept_from_has_only_its_own() -> None:
    hosts = [Host(MAC, options={42: None}), Host(MAC2, options={42: "192.0.2.8"})]
    found = planned(options={42: "192.0.2.7"}, hosts=hosts)
    assert tagged(found) == [f"{MAC},set:@{MAC},set:@4-42", f"{MAC2},set:@{MAC2},set:@4-42"]
    assert [line for line in lines(found.options) if ",42" in line] == [
        "tag:!@4-42,42,192.0.2.7",
        f"tag:@{MAC2},42,192.0.2.8",
    ]


@pytest.mark.parametrize(
    ("option", "version", "expected"),
    [
        (Option(42, bytes([192, 0, 2, 7])), 4, "42,192.0.2.7"),
        (Option(43, b"\x01"), 4, "43,1b"),
        (Option(43, b"\x01\x02"), 4, "43,01:02"),
        (Option(17, b'/a,"b"\\#\tc'), 4, '17,"/a,\\"b\\"\\\\#\\tc"'),
        (Option(119, b"\x01a\0\x01b\xc0\0"), 4, "119,a,b.a"),
        (Option(58, b"\0\0\x0e\x10"), 4, "58,3600"),
        (Option(3, None), 4, "3"),
        (Option(31, ipaddress.ip_address("2001:db8::1").packed), 6, "option6:31,[2001:db8::1]"),
        (Option(60, b"\0\x01a\0\x02b,"), 6, 'option6:60,"a","b,"'),
        (Option(56, b"\0\x01\0\x10" + bytes(16)), 6, f"option6:56,00:01:00:10{':00' * 16}"),
    ],
)
def test_how_options_are_written(option: Option, version: int, expected: str) -> None:
    assert option_line(option, version) == expected


@pytest.mark.parametrize(
    ("option", "version"),
    [
        (Option(42, bytes(4)), 4),  # its own address
        (Option(42, b"abc"), 4),
        (Option(17, b"a\0b"), 4),
        (Option(17, b"\xff\xfe"), 4),
        (Option(17, b"12b"), 4),  # a number of one octet
        (Option(17, b"a "), 4),
        (Option(58, b"\0"), 4),
        (Option(60, b"\0\x05a"), 6),
        (Option(23, ipaddress.ip_address("fe80::").packed), 6),
    ],
)
def test_what_dnsmasq_would_send_otherwise_is_refused(option: Option, version: int) -> None:
    with pytest.raises(Unsupported, match=f"option {option.code}"):
        option_line(option, version)


# -- hosts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (Host(MAC, "192.0.2.5", name="web"), f"{MAC},192.0.2.5,web."),
        (Host([MAC, MAC2], "192.0.2.5"), f"{MAC},{MAC2},192.0.2.5"),
        (Host(client_id="ff:01"), "id:ff:01"),
        # The DUID that is made of the MAC address, for DHCPv6 where that is not known.
        (
            Host([MAC, MAC2], ["192.0.2.5", "2001:db8::5", "2001:db8::6"]),
            f"{MAC},{MAC2},id:00:03:00:01:{MAC},192.0.2.5,[2001:db8::5],[2001:db8::6]",
        ),
        (Host(MAC, "2001:db8::5", client_id="00:04:01"), f"{MAC},id:00:04:01,[2001:db8::5]"),
        (Host(MAC, lease_time=300), f"{MAC},300"),
        (Host(MAC, "192.0.2.5", name="web", is_ignored=True, options={"mtu": 1400}), f"{MAC},ignore"),
        # Words and numbers that would mean something else.
        *((Host(MAC, name=name), f"{MAC},{name}.") for name in ("ignore", "infinite", "10m", "120", "7")),
    ],
)
def test_the_line_of_a_host(host: Host, expected: str) -> None:
    assert host_line(host) == expected


def test_a_line_that_is_longer_than_dnsmasq_reads_is_refused() -> None:
    macs = [f"52:54:00:00:{one:02x}:01" for one in range(60)]
    with pytest.raises(Unsupported, match=f"no more than {MAX_LINE - 2} characters"):
        host_line(Host(macs))
    assert len(host_line(Host(macs[:56], name="a" * 14))) == MAX_LINE - 2


def test_a_tag_is_no_device_and_never_two_hosts() -> None:
    assert tag(Host(MAC)) == f"@{MAC}"
    one, other = "00" + ":01" * 120, "00" + ":01" * 119 + ":02"
    assert tag(Host(client_id=one)) != tag(Host(client_id=other))
    assert len(tag(Host(client_id=one))) < 20


def test_the_names_of_a_host() -> None:
    host = Host(MAC, ["192.0.2.5", "2001:db8::5"], name="web")
    assert name_lines(host, "a.example") == ["192.0.2.5 web.a.example web", "2001:db8::5 web.a.example web"]
    assert name_lines(host, None) == ["192.0.2.5 web", "2001:db8::5 web"]
    assert name_lines(Host(MAC, "192.0.2.5"), None) == []
    assert name_lines(Host(MAC, "192.0.2.5", name="web", is_ignored=True), None) == []
    assert planned(dns=None, hosts=Host(MAC, "192.0.2.5", name="web")).names == ""


# -- the real one -----------------------------------------------------------------------------------------


def taken(made: Plan, directory: Path) -> str:
    """Return what dnsmasq says of a plan, all of whose lines it is given to look at."""
    configuration = directory / "conf"
    configuration.write_text(
        made.configuration
        + "".join(f"dhcp-host={line}\n" for line in lines(made.hosts))
        + "".join(f"dhcp-option={line}\n" for line in lines(made.options))
    )
    arguments = [program.found(), "--test", *made.arguments[1:-1], f"--conf-file={configuration}"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, env={"LC_ALL": "C"})
    return "" if done.returncode == 0 and "syntax check OK" in done.stderr else done.stderr


def test_the_test_can_fail(tmp_path: Path) -> None:
    good = planned()
    for bad in ({"options": "3,nonsense\n"}, {"hosts": "52:54,192.0.2.300,-\n"}, {"configuration": "nosuch\n"}):
        made = Plan(**{**vars(good), **bad})
        assert taken(made, tmp_path), bad


@given(network=networks())
@settings(max_examples=150)
def test_dnsmasq_takes_every_network(network: DhcpNetwork, tmp_path_factory: pytest.TempPathFactory) -> None:
    try:
        made = plan(network, PLACE, SERVER)
    except Unsupported:
        return  # text that it would send otherwise, seen above
    assert not taken(made, tmp_path_factory.getbasetemp())
    for text in (made.configuration, made.hosts, made.options, made.names):
        assert all(line.isprintable() and len(line) < MAX_LINE - 1 for line in lines(text))


def test_a_forced_text_with_a_comma_is_one(tmp_path: Path) -> None:
    made = planned(options={"root-path": Forced("/a,3,192.0.2.66")})
    assert lines(made.configuration) == ['dhcp-option-force=17,"/a,3,192.0.2.66"']
    assert not taken(made, tmp_path)
