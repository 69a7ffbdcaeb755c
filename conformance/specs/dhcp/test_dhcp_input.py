"""Bad input: refused with a typed error that names it, before anything is written, started or signalled."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from conformance.harness import DhcpUnderTest
from conformance.spec import spec
from conformance.specs.dhcp.serving import changed, files, network, pid
from conformance.steps import Steps, watched
from conformance.topology.dhcp.segment import Segment
from conformance.topology.sandbox import Sandbox
from refnet.dhcp import Capability, DhcpNetwork, Dns, Host, Range, Route, RouterAdvertisement
from refnet.errors import InvalidArgument, RefnetError

DHCP = Capability.DHCP
MAC = "02:00:00:00:00:07"
#: A bad value, and a call that is given it.
Case = tuple[object, Callable[[], object]]

#: Texts that are no name of any kind, and would be something else to whoever reads them from a file.
_INJECTIONS = (
    "a\nb",
    "a\n",
    "a,b",
    "a b",
    'a"b',
    "a'b",
    "a\\b",
    "a#b",
    "a;b",
    "$(id)",
    "nul\0",
    "tab\t",
    "escape\x1b",
    "gr\u00fc\u00df",
    "\u0661",
    "",
)
#: Values of a wrong type.
_ODD: tuple[Any, ...] = (b"bytes", True, 1.5, 1 << 200, {"a": 1}, object())


def each(call: Callable[[Any], object], *values: object) -> list[Case]:
    """Return a case for each value."""
    return [(value, functools.partial(call, value)) for value in values]


def refuses(dhcp: DhcpUnderTest, net: Sandbox, *cases: Case) -> None:
    """Prove that each call is refused, the value named, with nothing done, and that a server which runs goes on."""
    segment = Segment(net)
    client = segment.client()
    dhcp.start(network(segment, Host(client.mac, "10.9.0.5", name="five")))
    server, before, served = pid(dhcp, segment.device), files(dhcp.directory), dhcp.network(segment.device)
    with watched(dhcp.directory) as steps:
        for value, call in cases:
            error = _refusal(call, value)
            assert any(one in str(error) for one in _shown(value)), (
                f"the refusal of {value!r} does not name it: {error}"
            )
            _see_nothing(steps, value)
    touched = changed(before, files(dhcp.directory))
    assert not touched, f"after bad input: {'; '.join(touched)}"
    assert pid(dhcp, segment.device, "bad input") == server, "after bad input, the server is another one"
    assert dhcp.network(segment.device) == served, f"after bad input, network() says {dhcp.network(segment.device)}"


def _shown(value: object) -> list[str]:
    """Return how a value may be named, by its beginning: of several, one of them is enough."""
    parts = [value]
    if isinstance(value, dict):
        parts += [*value, *value.values()]
    elif isinstance(value, list):
        parts += value
    return [text[:8] for one in parts for text in (str(one), repr(one))]


def _see_nothing(steps: Steps, value: object) -> None:
    assert not steps.seen, f"{value!r} was refused after this was done: {steps.seen[0]}"


def _refusal(call: Callable[[], object], value: object) -> InvalidArgument:
    try:
        call()
    except InvalidArgument as error:
        return error
    except RefnetError as error:
        raise AssertionError(f"{value!r} is refused with {type(error).__name__}: {error}") from error
    except Exception as error:
        raise AssertionError(
            f"{value!r} lets out a {type(error).__name__}, which is no RefnetError: {error}"
        ) from error
    raise AssertionError(f"{value!r} is not refused: it goes through")


def _host(dhcp: DhcpUnderTest, field: str, *values: object) -> list[Case]:
    """Return a case for each value of a host's field; whoever lets it be made is to refuse to add it."""

    def add(value: object) -> object:
        given: dict[str, Any] = {"mac_addresses": MAC, field: value}
        return dhcp.add_host("br-dhcp", Host(**given))

    return each(add, *values)


def _network(dhcp: DhcpUnderTest, field: str, *values: object, **others: object) -> list[Case]:
    """Return a case for each value of a network's field."""

    def start(value: object) -> object:
        given: dict[str, Any] = {"device": "br-dhcp", "addresses": "10.9.0.1/24", "dns": None, **others, field: value}
        return dhcp.start(DhcpNetwork(**given))

    return each(start, *values)


@spec(
    "DI-01",
    "A host's name that is not one label, so that a file would have other lines or fields by it, is refused.",
    capability=DHCP,
)
def test_host_name(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    names = (*_INJECTIONS, "a.b", "-a", "a-", "a_b", "x" * 64, "*", "a=b", "a/b", "set:x", "[::1]")
    refuses(dhcp, net, *_host(dhcp, "name", *names), *_host(dhcp, "name", *_ODD))


@spec(
    "DI-02",
    "A host's MAC address, client identifier, address or lease time that is none is refused.",
    capability=DHCP,
)
def test_host(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    macs = (
        *("", "02:00:00:00:00", "02-00-00-00-00-07", "01:00:5e:00:00:01", "00:00:00:00:00:00", "*:00:00:00:00:07"),
        *(f"{MAC}\n", f"{MAC},ignore", f"{MAC} ", f"id:{MAC}", "02:00:00:00:00:0g", "0\u0662:00:00:00:00:07"),
    )
    ids = ("", "01", "zz:01", "01:02\n", "01,02", b"", b"\x01", b"x" * 131, "*", "01:", ":01", "0102", "01:2", "01:02 ")
    addresses = (
        *("10.9.0.300", "10.9.0.7/24", "10.9.0.7,10.9.0.8", "10.9.0.7\n", "", "web", "fe80::1%eth0", "010.9.0.7"),
        *(["10.9.0.7", "10.9.0.7"], "10.9.0.7 ", " 10.9.0.7", 5, b"\n\x09\0\x07"),
    )
    times = (0, 1, 119, -1, 1 << 32, True, "600", 600.0, "infinite", b"600")
    refuses(
        dhcp,
        net,
        *_host(dhcp, "mac_addresses", *macs, *_ODD, [MAC, MAC]),
        *_host(dhcp, "client_id", *ids, True, 5, 1.5, object()),
        *_host(dhcp, "addresses", *addresses, True, 1.5, object()),
        *_host(dhcp, "lease_time", *times),
        *_host(dhcp, "is_ignored", "no", 1, 0, None, b""),
        ("web", lambda: Host(name="web")),
        ("IPv4", lambda: Host(MAC, ["10.9.0.7", "10.9.0.8"])),
    )


@spec(
    "DI-03",
    "A host whose address cannot be one of the network, or whose address or name another one has, is refused.",
    capability=DHCP,
)
def test_host_in_network(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    def with_hosts(*hosts: Host) -> object:
        return dhcp.start(DhcpNetwork("br-dhcp", "10.9.0.1/24", dns=None, hosts=hosts))

    others = ("10.9.0.1", "10.9.0.0", "10.9.0.255", "10.10.0.5", "fd09::5", "10.9.0.5")
    refuses(
        dhcp,
        net,
        *_host(dhcp, "addresses", *others),
        *_host(dhcp, "name", "five"),
        *each(lambda value: with_hosts(Host(MAC, value), Host("02:00:00:00:00:08", value)), "10.9.0.7"),
        *each(lambda value: with_hosts(Host(value, "10.9.0.7"), Host(value, "10.9.0.8")), MAC),
        *each(lambda value: with_hosts(Host(MAC, name=value), Host("02:00:00:00:00:08", name=value)), "web"),
        *each(lambda value: with_hosts(Host(client_id=value), Host(MAC, client_id=value)), "01:02:03"),
        *each(lambda value: with_hosts(Host(MAC, value)), "10.9.0.1", "10.10.0.5", "fd09::5"),
    )


@spec(
    "DI-04",
    "A network's domain, search list, servers, lease time, MTU or flag that is none is refused.",
    capability=DHCP,
)
def test_network(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    domains = (*_INJECTIONS, "a..b", ".a", "-a.b", "a-.b", f"{'x' * 64}.example", ".".join(["x" * 60] * 5), ".", "#")
    servers = ("dns.example", "10.9.0.1#53", "10.9.0.1@eth0", "/example/10.9.0.1", "10.9.0.1\n", "", True, 5, b"a")
    refuses(
        dhcp,
        net,
        *_network(dhcp, "domain", *domains, *_ODD),
        *_network(dhcp, "search", *domains, True, 1.5, object(), ["a.example", "a.example"]),
        *_network(dhcp, "dns_servers", *servers),
        *each(lambda value: _network(dhcp, "dns", Dns(value))[0][1](), *servers),
        *_network(dhcp, "dns", "yes", True, 53),
        *_network(dhcp, "gateway", "10.10.0.1", "fd09::1", "10.9.0.1,10.9.0.2", "10.9.0.1\n", "", *_ODD),
        *_network(dhcp, "mtu", 67, 65536, True, "1500", 1500.0, -1),
        *_network(dhcp, "lease_time", 0, 119, -1, 1 << 32, True, "600", 600.0),
        *(
            case
            for name in ("is_authoritative", "checks_addresses", "lease_store", "logs_dhcp")
            for case in _network(dhcp, name, "no", 1, None)
        ),
        *_network(dhcp, "lease_events", "logs", "relative/path", "/" + "x" * 120, "/a\nb", "/nul\0", *_ODD),
    )


@spec(
    "DI-05",
    "A server's address, range, route, advertisement or way of IPv6 that is none, or cannot go together with the rest, "
    "is refused.",
    capability=DHCP,
)
def test_network_addresses(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    def ranged(*ends: Any, **others: Any) -> Callable[[], object]:
        return lambda: dhcp.start(DhcpNetwork("br-dhcp", "10.9.0.1/24", dns=None, ranges=Range(*ends), **others))

    def routed(value: object, gateway: object = "10.9.0.1") -> object:
        return dhcp.start(DhcpNetwork("br-dhcp", "10.9.0.1/24", dns=None, routes=Route(value, gateway)))  # type: ignore[arg-type]

    def advertised(name: str, *values: object) -> list[Case]:
        return each(lambda value: RouterAdvertisement(**{name: value}), *values)

    addresses = ("10.9.0.1", "10.9.0.1/33", "10.9.0.1/24,x", "10.9.0.1/24\n", "", "br-dhcp", *_ODD)
    refuses(
        dhcp,
        net,
        *_network(dhcp, "addresses", *addresses, ["10.9.0.1/24", "10.9.0.2/24"], ["10.9.0.1/24", "10.9.0.1/24"]),
        ("10.9.0.20", ranged("10.9.0.20", "10.9.0.10")),
        ("10.9.0.10", ranged("10.9.0.10", "fd09::5")),
        ("10.10.0.1", ranged("10.10.0.1", "10.10.0.9")),
        ("10.9.0.250", ranged("10.9.0.250", "10.9.0.255")),
        ("fd09::1", ranged("fd09::1", "fd09::9")),
        ("10.9.0.10\n", ranged("10.9.0.10\n", "10.9.0.20")),
        ("10.20.0.9", ranged("10.20.0.9", "10.20.0.99", "10.30.0.0/24")),
        *each(routed, "10.0.0.1/8", "fd00::/8", "default", "10.0.0.0/8,10.9.0.9", "", "10.0.0.0/8\n", *_ODD),
        *each(lambda value: routed("10.0.0.0/8", value), "10.10.0.1", "fd09::1", "", "br-dhcp", *_ODD),
        *advertised("interval", 3, 1801, True, "600", 600.0, None),
        *advertised("lifetime", 1, 599, 9001, True, "1800", -1, None),
        *advertised("preference", "highest", "", "HIGH", True, None, "high\n"),
        *advertised("mtu", 1279, 65536, True, "1500"),
        *_network(dhcp, "ipv6", "dhcp", "SLAAC", "", "slaac\n", True, 6, addresses=["10.9.0.1/24", "fd09::1/64"]),
        *_network(dhcp, "ipv6", "stateful"),
    )


@spec(
    "DI-06",
    "An option by a name or number that there is not, one of DHCP's own, and a value that is none of it, are refused.",
    capability=DHCP,
)
def test_options(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    codes = (
        0,
        255,
        256,
        -1,
        50,
        51,
        53,
        54,
        55,
        61,
        82,
        "nosuch",
        "",
        "mtu\n",
        "26,x",
        "option6:23",
        " 26",
        True,
        2.5,
        None,
    )
    refuses(
        dhcp,
        net,
        *_network(dhcp, "options", *({code: b"xy"} for code in codes)),
        *_host(dhcp, "options", *({code: b"xy"} for code in codes)),
        *_network(dhcp, "options", {42: "ntp.example"}, {42: "192.0.2.1\n"}, {66: "a\nb"}, {12: object()}, {42: 5}),
        *_network(
            dhcp, "options", {224: "text, whose type nobody knows"}, {224: 5}, {26: "many"}, {26: -1}, {26: 1 << 16}
        ),
        *_network(dhcp, "options", {224: b"x" * 5000}),
        *_network(dhcp, "options", {6: "10.9.0.2"}, {15: "example.org"}, {121: b"\0\n\x09\0\x01"}),
        *_network(dhcp, "options", *_ODD[1:4], "26"),
        *_network(
            dhcp, "options6", {0: b"x"}, {1: b"x"}, {3: b"x"}, {65536: b"x"}, {"nosuch": b"x"}, {31: "ntp.example"}
        ),
    )


@spec(
    "DI-07",
    "A device's name, identity, address or client that is none is refused by every call that takes one.",
    capability=DHCP,
)
def test_arguments(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    devices = (
        "",
        "br dhcp",
        "x" * 16,
        "a/b",
        "..",
        "../br-dhcp",
        "/etc",
        "br-dhcp\n",
        "br*",
        "br+",
        "a,b",
        None,
        *_ODD,
    )
    ids = ("", "five", "02:00:00:00:00:0", f"{MAC}\n", "01", "*", None, True, 5, object())
    host = Host(MAC, "10.9.0.7")
    refuses(
        dhcp,
        net,
        *_network(dhcp, "device", *devices),
        *each(dhcp.network, *devices),
        *each(dhcp.running, *devices),
        *each(dhcp.leases, *devices),
        *each(dhcp.stop, *devices),
        *each(lambda value: dhcp.add_host(value, host), *devices),
        *each(lambda value: dhcp.remove_host(value, MAC), *devices),
        *each(lambda value: dhcp.release(value, "10.9.0.7", MAC), *devices),
        *each(lambda value: dhcp.remove_host("br-dhcp", value), *ids),
        *each(lambda value: dhcp.release("br-dhcp", "10.9.0.7", value), *ids),
        *each(lambda value: dhcp.release("br-dhcp", value, MAC), "", "10.9.0.300", "10.9.0.7/24", "10.9.0.7\n", *_ODD),
        *each(dhcp.start, None, "br-dhcp", *_ODD),
        *each(dhcp.update, None, "br-dhcp", *_ODD),
        *each(lambda value: dhcp.add_host("br-dhcp", value), None, MAC, *_ODD),
        *each(lambda value: dhcp.stop("br-dhcp", forget=value), "no", 1, None),
        *each(dhcp.probe, None, "nosuch", *_ODD),
        *each(
            lambda value: dhcp.fresh(directory=value), "relative", "", "/a b", "/a,b", "/a\nb", '/a"b', "/a\\b", *_ODD
        ),
        *each(lambda value: dhcp.fresh(time_limit=value), -1, "soon", True, float("nan"), None),
        *each(lambda value: dhcp.fresh(firewall=value), "iptables", True, 5),
    )
