"""Bad input: refused with a typed error that names it, before any program is started and anything has changed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from conformance import faults
from conformance.harness import FirewallUnderTest
from conformance.spec import spec
from conformance.specs.firewall.ground import lay, model
from conformance.topology.sandbox import Sandbox
from refnet.errors import InvalidArgument, Mismatch, RefnetError, Unsupported
from refnet.firewall import (
    ACCEPT,
    CHECKSUM_FILL,
    DROP,
    Capability,
    Dnat,
    Jump,
    Log,
    Masquerade,
    Not,
    PortGuard,
    Redirect,
    Reject,
    Rule,
    SetMark,
    Snat,
)

FILTER = Capability.FILTER
CHAIN = "guests"
#: A bad value, and a call that is given it.
Case = tuple[object, Callable[[], object]]


def each(call: Callable[[Any], object], *values: object) -> list[Case]:
    """Return a case for each value."""
    return [(value, functools.partial(call, value)) for value in values]


def refuses(
    firewall: FirewallUnderTest,
    net: Sandbox,
    *cases: Case,
    kinds: tuple[type[RefnetError], ...] = (InvalidArgument,),
) -> None:
    """Prove that each call is refused, the value named, with nothing started and nothing changed."""
    before = model(firewall)
    with net.look.unchanged("bad input"), faults.injected(0) as seen:
        for value, call in cases:
            error = _refusal(call, value, kinds)
            shown = (repr(value)[:8], str(value)[:8] or "empty")
            assert any(one in str(error) for one in shown), f"the refusal of {value!r} does not name it: {error}"
            found = model(firewall)
            assert found == before, f"{value!r} was refused, and has come into the model: {found}"
            firewall.apply()
            assert not seen.requests, f"{value!r} has reached a program, or whatever else was started"


def _refusal(call: Callable[[], object], value: object, kinds: tuple[type[RefnetError], ...]) -> RefnetError:
    try:
        call()
    except RefnetError as error:
        if isinstance(error, kinds):
            return error
        raise AssertionError(f"{value!r} is refused with {type(error).__name__}: {error}") from error
    except Exception as error:
        raise AssertionError(
            f"{value!r} lets out a {type(error).__name__}, which is no RefnetError: {error}"
        ) from error
    raise AssertionError(f"{value!r} is not refused: it goes through")


def _laid(firewall: FirewallUnderTest) -> None:
    """Have a model that stands, with one rule."""
    lay(firewall, Rule(DROP, protocol="udp", destination_ports=7001), chain=CHAIN)
    firewall.apply()


def _with(firewall: FirewallUnderTest, made: Callable[[Any], Rule], *values: object) -> list[Case]:
    """Return a case for each value, of a rule that is made with it and added."""
    return each(lambda value: firewall.add_rule(CHAIN, made(value)), *values)


@spec(
    "IN-01",
    "A comment with a line's end, quotes, other than printable ASCII, or too long, is refused.",
    capability=FILTER,
)
def test_comment(firewall: FirewallUnderTest, net: Sandbox) -> None:
    _laid(firewall)
    values = (
        "one\n-A INPUT -j ACCEPT",
        'a" -j ACCEPT',
        "it's",
        "`id`",
        "back\\slash",
        "nul\0byte",
        "tab\tstop",
        "gr\u00fc\u00df",
        "",
        " blank",
        "x" * 101,
    )
    refuses(firewall, net, *_with(firewall, lambda value: Rule(DROP, comment=value), *values))
    refuses(firewall, net, *_with(firewall, lambda value: Rule(Log(value)), "a\nb", 'a"b', "x" * 30))


@spec("IN-02", "An owner's name that is none is refused.", capability=FILTER)
def test_owner(firewall: FirewallUnderTest, net: Sandbox) -> None:
    _laid(firewall)
    values = ("", "two words", "x" * 17, "a/b", "a*", "*", "-a", "a;b", "a\n", 'a"', "\u00e4", "$a", "a.b")
    refuses(firewall, net, *each(firewall.fresh, *values))


@spec("IN-03", "A chain's name that is none is refused, by every call that takes one.", capability=FILTER)
def test_chain(firewall: FirewallUnderTest, net: Sandbox) -> None:
    _laid(firewall)
    values = ("", "two words", "x" * 65, "a/b", "a*", "-j", "a;b", "a\n", 'a"', "\u00e4", "$a", "{", "a#b")
    refuses(
        firewall,
        net,
        *each(lambda value: firewall.add_chain(value, hook="forward"), *values),
        *each(firewall.remove_chain, *values),
        *each(firewall.empty_chain, *values),
        *each(lambda value: firewall.add_rule(value, Rule(ACCEPT)), *values),
        *_with(firewall, lambda value: Rule(Jump(value)), *values),
    )


@spec("IN-04", "An interface's name that is none, or a pattern of a tool, is refused.", capability=FILTER)
def test_interface(firewall: FirewallUnderTest, net: Sandbox) -> None:
    _laid(firewall)
    values = ("", "eth+", "tap*", "+", "x" * 16, "a b", "eth0:1", "a/b", "..", "!eth0", "eth%d", "a\n", "{a}", "<a>")
    refuses(
        firewall,
        net,
        *_with(firewall, lambda value: Rule(DROP, in_interface=value), *values),
        *_with(firewall, lambda value: Rule(DROP, out_interface=[value, "eth1"]), *values),
    )


@spec(
    "IN-05",
    "An address that is none, has bits behind its prefix, or a zone, is refused, and so are both families in one rule.",
    capability=FILTER,
)
def test_address(firewall: FirewallUnderTest, net: Sandbox) -> None:
    _laid(firewall)
    values = (
        "10.0.0.300",
        "10.0.0.1/24",
        "10.0.0.0/33",
        "2001:db8::1/64",
        "fe80::1%eth0",
        "any",
        "host.example",
        "10.0.0.1; reboot",
        "! 10.0.0.1",
        "10.0.0.1-10.0.0.9",
        "10.0.0.1,10.0.0.2",
        "",
    )
    refuses(
        firewall,
        net,
        *_with(firewall, lambda value: Rule(DROP, source=value), *values),
        *_with(firewall, lambda value: Rule(DROP, destination=Not(value)), *values),
        *_with(firewall, lambda value: Rule(DROP, source=value, destination="2001:db8::1"), "192.0.2.1"),
        *_with(firewall, lambda value: Rule(DROP, source=[value, "2001:db8::1"]), "192.0.2.1"),
        *_with(firewall, lambda value: Rule(DROP, family=6, source=value), "192.0.2.1"),
        *_with(firewall, lambda value: Rule(DROP, protocol="ipv6-icmp", source=value), "192.0.2.1"),
    )


@spec(
    "IN-06",
    "A port that is none, a range the wrong way round, and ports of a protocol that has none, are refused.",
    capability=FILTER,
)
def test_ports(firewall: FirewallUnderTest, net: Sandbox) -> None:
    _laid(firewall)
    values = (65536, -1, "http", "80-", "90-80", "1:2:3", "80,81", "0x50", " 80", "80;", 1 << 70, "\u0661")
    refuses(
        firewall,
        net,
        *_with(firewall, lambda value: Rule(DROP, protocol="tcp", destination_ports=value), *values),
        *_with(firewall, lambda value: Rule(DROP, protocol="udp", source_ports=[value, 80]), *values),
        *_with(firewall, lambda value: Rule(DROP, protocol=value, destination_ports=80), "icmp", "gre"),
        ("any", lambda: firewall.add_rule(CHAIN, Rule(DROP, source_ports=80))),
    )


@spec("IN-07", "A protocol, family, state, ICMP type, mark or rate that is none is refused.", capability=FILTER)
def test_other_fields(firewall: FirewallUnderTest, net: Sandbox) -> None:
    _laid(firewall)

    def rules(made: Callable[[Any], Rule], *values: object) -> list[Case]:
        return _with(firewall, made, *values)

    refuses(
        firewall,
        net,
        *rules(lambda value: Rule(DROP, protocol=value), 0, 256, -1, "nosuch", "", "tcp udp", "all", "!tcp", "6.0"),
        *rules(lambda value: Rule(DROP, family=value), 5, "4", 0, True),
        *rules(lambda value: Rule(DROP, states=value), "SYN", "", "new,established", "established\n"),
        *rules(lambda value: Rule(DROP, protocol="icmp", icmp_type=value), 256, -1, "nosuch", "8/256", "8/", (3, 4, 5)),
        *rules(lambda value: Rule(DROP, protocol=value, icmp_type=8), "tcp", "udp"),
        *rules(lambda value: Rule(DROP, mark=value), -1, 1 << 32, "0x1", (1, 2, 3), ()),
        *rules(lambda value: Rule(DROP, limit=value), "0/second", "10/fortnight", "ten/second", "10001/second", "5"),
        *rules(lambda value: Rule(DROP, source_mac=value), "02:00:00:00:00", "01:00:5e:00:00:01", "02-00-00-00-00-01"),
    )


@spec(
    "IN-08",
    "A jump to a chain that is not there, is on a hook, or leads back, is refused.",
    capability=FILTER,
)
def test_jumps(firewall: FirewallUnderTest, net: Sandbox) -> None:
    _laid(firewall)
    for name in ("one", "two", "three"):
        firewall.add_chain(name)
    firewall.add_rule("one", Rule(Jump("two")))
    firewall.add_rule("two", Rule(Jump("three")))
    firewall.add_rule("three", Rule(DROP, protocol="udp", destination_ports=7002))
    firewall.add_rule(CHAIN, Rule(Jump("one")))
    firewall.add_chain("other", hook="input")
    firewall.apply()
    refuses(
        firewall,
        net,
        *_with(firewall, lambda value: Rule(Jump(value)), "nosuch", "other"),
        *each(lambda value: firewall.add_rule(value, Rule(Jump("one"))), "one", "two", "three"),
        *each(firewall.remove_chain, "one", "two"),
        *each(lambda value: firewall.add_rule(value, Rule(ACCEPT)), "nosuch"),
        *each(firewall.empty_chain, "nosuch"),
        *each(firewall.rules, "nosuch"),
    )
    if Capability.COUNTERS in firewall.capabilities():
        refuses(firewall, net, *each(firewall.counters, "nosuch"))


@spec(
    "IN-09",
    "A hook that a table has not, an action that is not for a table or hook, and a device that a hook has not, are "
    "refused.",
    capability=FILTER,
)
def test_places(firewall: FirewallUnderTest, net: Sandbox) -> None:
    _laid(firewall)
    firewall.add_chain("input", hook="input")
    firewall.add_chain("output", hook="output")
    firewall.add_chain("coming", hook="prerouting", table="nat")
    firewall.add_chain("leaving", hook="postrouting", table="nat")
    firewall.apply()

    def adding(chain: str, rule: Rule, table: str = "filter") -> Callable[[], object]:
        return lambda: firewall.add_rule(chain, rule, table=table)

    to = "192.0.2.1"
    refuses(
        firewall,
        net,
        ("Dnat", adding(CHAIN, Rule(Dnat(to)))),
        ("Snat", adding(CHAIN, Rule(Snat(to)))),
        ("Masquerade", adding("input", Rule(Masquerade()))),
        ("SetMark", adding(CHAIN, Rule(SetMark(1)))),
        ("ChecksumFill", adding(CHAIN, Rule(CHECKSUM_FILL, protocol="udp"))),
        ("Snat", adding("coming", Rule(Snat(to)), "nat")),
        ("Masquerade", adding("coming", Rule(Masquerade()), "nat")),
        ("Dnat", adding("leaving", Rule(Dnat(to)), "nat")),
        ("Redirect", adding("leaving", Rule(Redirect(80), protocol="tcp"), "nat")),
        ("Reject", adding("coming", Rule(Reject()), "nat")),
        ("Drop", adding("coming", Rule(DROP), "nat")),
        ("in interface", adding("output", Rule(DROP, in_interface="eth0"))),
        ("out interface", adding("input", Rule(DROP, out_interface="eth0"))),
        ("source MAC", adding("output", Rule(DROP, source_mac="02:00:00:00:00:01"))),
        *each(lambda value: firewall.add_chain("x", hook=value), "prerouting", "nosuch"),
        *each(lambda value: firewall.add_chain("x", hook=value, table="nat"), "forward", "nosuch"),
        *each(lambda value: firewall.add_chain("x", table=value), "raw", "nosuch"),
        *each(lambda value: firewall.add_rule(CHAIN, Rule(ACCEPT), table=value), "nosuch"),
        kinds=(InvalidArgument, Unsupported),
    )
    refuses(firewall, net, *each(lambda value: firewall.add_chain(CHAIN, hook=value), "input"), kinds=(Mismatch,))


@spec(
    "IN-10",
    "An address or port to translate to that is none, or cannot go together with the rule, is refused.",
    capability=(FILTER, Capability.NAT),
)
def test_translations(firewall: FirewallUnderTest, net: Sandbox) -> None:
    _laid(firewall)
    lay(firewall, Rule(ACCEPT, source="192.0.2.1"), chain="coming", hook="prerouting", table="nat")
    firewall.apply()

    def rules(made: Callable[[Any], Rule], *values: object) -> list[Case]:
        return each(lambda value: firewall.add_rule("coming", made(value), table="nat"), *values)

    networks = ("192.0.2.0/24", "nosuch", "", "0.0.0.0", "224.0.0.1", "fe80::1%eth0", "::")  # noqa: S104
    # What Python's own ipaddress takes for one.
    addresses = (*networks, 5, True, b"\n\0\0\1")
    refuses(
        firewall,
        net,
        *rules(lambda value: Rule(Dnat(value)), *addresses),
        *rules(lambda value: Rule(Snat(value)), *addresses),
        *rules(lambda value: Rule(Redirect(value), protocol="tcp"), 65536, "http", (90, 80)),
        *rules(lambda value: Rule(Dnat(value), destination="192.0.2.1"), "2001:db8::1"),
        ("tcp", lambda: firewall.add_rule("coming", Rule(Dnat("192.0.2.1", ports=80)), table="nat")),
        ("tcp", lambda: firewall.add_rule("coming", Rule(Redirect(80), protocol="icmp"), table="nat")),
    )


@spec(
    "IN-11",
    "Values of a wrong type (None, bytes, bool, numbers, containers, objects) are refused by a typed error.",
    capability=FILTER,
)
def test_types(firewall: FirewallUnderTest, net: Sandbox) -> None:
    _laid(firewall)
    odd: tuple[Any, ...] = (b"guests", True, 1.5, 1 << 200, {"a": 1}, object())
    fields = ("protocol", "source", "destination_ports", "in_interface", "states", "source_mac", "comment", "limit")
    refuses(
        firewall,
        net,
        *each(firewall.add_chain, None, *odd),
        *each(lambda value: firewall.add_rule(value, Rule(ACCEPT)), None, *odd),
        *each(lambda value: firewall.add_rule(CHAIN, value), None, *odd),
        *each(lambda value: firewall.remove_rule(CHAIN, value), None, *odd),
        *each(lambda value: firewall.add_rule(CHAIN, Rule(value)), None, *odd),
        *each(lambda value: firewall.add_chain("x", table=value), None, *odd),
        *each(firewall.fresh, *odd),
        *each(firewall.probe, None, *odd),
        *(
            case
            for name in fields
            for case in _with(firewall, lambda value, name=name: Rule(ACCEPT, **{name: value}), *odd)  # type: ignore[misc]
        ),
    )


@spec(
    "IN-12",
    "A position, time limit, address or device that is none is refused, by whatever takes it.",
    capability=FILTER,
)
def test_options(firewall: FirewallUnderTest, net: Sandbox) -> None:
    _laid(firewall)
    refuses(
        firewall,
        net,
        *each(lambda value: firewall.fresh(position=value), "middle", None),
        *each(lambda value: firewall.fresh(lock_time_limit=value), -1, "soon", True, float("nan")),
        *each(lambda value: firewall.guard_port(PortGuard(value, "02:00:00:00:00:01")), "p+", None),
        *each(lambda value: firewall.guard_port(PortGuard("p1", value)), "nosuch"),
        *each(firewall.guard_port, "p1"),
        *each(lambda value: firewall.add_rule(CHAIN, Rule(ACCEPT), first=value), "no", 1),
        *each(firewall.unguard_port, "p*"),
        *each(lambda value: firewall.isolate_dhcp_address("eth0", value), "2001:db8::1", "nosuch", 5),
        *each(lambda value: firewall.isolate_dhcp_address(value, "192.0.2.1"), "a b"),
    )
    if Capability.FORGET_CONNECTIONS in firewall.capabilities():
        addresses = ("nosuch", "192.0.2.0/24", "", "192.0.2.1; true", None, 5.5, 5, True)
        refuses(firewall, net, *each(firewall.forget_connections, *addresses))
