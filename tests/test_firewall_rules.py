"""Rules and their values: what can be said, in which normal form, and what cannot."""

from __future__ import annotations

import copy
import ipaddress
import pickle
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refnet.errors import InvalidArgument, InvalidName
from refnet.firewall import (
    ACCEPT,
    CHECKSUM_FILL,
    DROP,
    Answer,
    DhcpIsolation,
    Dnat,
    IcmpType,
    Jump,
    Log,
    Mark,
    Masquerade,
    Not,
    PortGuard,
    PortRange,
    Rate,
    Redirect,
    Reject,
    Rule,
    SetMark,
    Snat,
    State,
    protocols,
    values,
)

MAC = "52:54:00:12:34:56"


@pytest.mark.parametrize(
    ("given_as", "same_as"),
    [
        ({"protocol": "TCP"}, {"protocol": 6}),
        ({"protocol": "icmpv6"}, {"protocol": "ipv6-icmp", "family": 6}),
        ({"protocol": "58"}, {"protocol": "icmp6"}),
        ({"source": "192.0.2.1"}, {"source": ["192.0.2.1/32"]}),
        ({"source": "2001:db8::1"}, {"source": ipaddress.ip_address("2001:db8::1")}),
        ({"source": ipaddress.ip_network("192.0.2.0/24")}, {"source": "192.0.2.0/24", "family": 4}),
        ({"source": ["192.0.2.2", "192.0.2.1", "192.0.2.2"]}, {"source": {"192.0.2.1", "192.0.2.2"}}),
        ({"source": Not("192.0.2.1", "192.0.2.2")}, {"source": Not(["192.0.2.2", "192.0.2.1"])}),
        ({"in_interface": "eth0"}, {"in_interface": ("eth0",)}),
        ({"source_mac": MAC.upper()}, {"source_mac": MAC}),
        ({"states": "new"}, {"states": {State.NEW}}),
        ({"states": ("related", "established")}, {"states": [State.ESTABLISHED, State.RELATED]}),
        ({"mark": 5}, {"mark": (5, 0xFFFFFFFF)}),
        ({"limit": "10/minute"}, {"limit": Rate(10, "minute", 5)}),
        ({"limit": (3, "hour", 7)}, {"limit": Rate(3, "hour", 7)}),
        ({"protocol": "icmp", "icmp_type": "echo-request"}, {"protocol": "icmp", "icmp_type": 8}),
        ({"protocol": "icmp", "icmp_type": "3/4"}, {"protocol": 1, "icmp_type": IcmpType(3, 4)}),
        ({"protocol": "icmp6", "icmp_type": "echo-request"}, {"protocol": "icmpv6", "icmp_type": (128,)}),
    ],
)
def test_what_means_the_same_is_the_same(given_as: dict[str, Any], same_as: dict[str, Any]) -> None:
    assert Rule(ACCEPT, **given_as) == Rule(ACCEPT, **same_as)
    assert hash(Rule(ACCEPT, **given_as)) == hash(Rule(ACCEPT, **same_as))


@pytest.mark.parametrize(
    ("given_as", "ports"),
    [
        (80, [(80, 80)]),
        ("80", [(80, 80)]),
        ("80-90", [(80, 90)]),
        ("80:90", [(80, 90)]),
        (PortRange(80, 90), [(80, 90)]),
        ([443, 80, (1000, 2000)], [(80, 80), (443, 443), (1000, 2000)]),
        ((80, 443), [(80, 80), (443, 443)]),
        (range(1, 4), [(1, 1), (2, 2), (3, 3)]),
        (0, [(0, 0)]),
        (65535, [(65535, 65535)]),
    ],
)
def test_ports(given_as: Any, ports: list[tuple[int, int]]) -> None:
    rule = Rule(ACCEPT, protocol="udp", destination_ports=given_as)
    assert rule.destination_ports is not None
    assert list(rule.destination_ports.values) == ports
    assert Rule(ACCEPT, protocol="udp", destination_ports=Not(given_as)) != rule


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"family": 5}, "family 5 is neither 4 nor 6 nor None"),
        ({"family": True}, "family True"),
        ({"family": "4"}, "family '4'"),
        ({"protocol": 0}, "protocol 0 is neither a number from 1 to 255"),
        ({"protocol": 256}, "protocol 256"),
        ({"protocol": "all"}, "protocol 'all'"),
        ({"protocol": "tcp;reboot"}, "protocol 'tcp;reboot'"),
        ({"protocol": True}, "protocol True"),
        ({"source": "192.0.2.1/24"}, "has bits set behind its prefix: write '192.0.2.0/24'"),
        ({"source": "192.0.2.0/0.0.0.255"}, "has a mask whose ones are not all in front"),
        ({"source": "192.0.2.300"}, "is not an address or a network"),
        ({"source": "host.example"}, "'host.example' is not an address"),
        ({"source": "fe80::1%eth0"}, "'fe80::1%eth0' is not an address"),
        ({"source": "192.0.2.1\n-j ACCEPT"}, "is not an address"),
        ({"source": []}, "source: there is no value in it; leave it out for any"),
        ({"source": Not()}, "source: there is no value in it"),
        ({"source": 3221225985}, "address 3221225985 is not an address"),
        ({"source": None, "destination": {"192.0.2.1": 1}}, "is not an address"),
        ({"source": "192.0.2.1", "destination": "2001:db8::1"}, "is IPv4, destination 2001:db8::1/128 is IPv6"),
        ({"source": ["192.0.2.1", "2001:db8::1"]}, "a rule cannot be about both families"),
        ({"family": 6, "protocol": "ah"}, "protocol ah is an extension header of IPv6"),
        ({"source": "::/0", "protocol": 44}, "protocol 44 is an extension header of IPv6"),
        ({"family": 6, "protocol": "icmp"}, "protocol icmp is IPv4, the rule itself is IPv6"),
        ({"destination_ports": 80}, "destination ports need a protocol that has ports (tcp, udp,"),
        ({"protocol": "icmp", "source_ports": 80}, "source ports need a protocol that has ports"),
        ({"protocol": "tcp", "destination_ports": 65536}, "port 65536 is neither"),
        ({"protocol": "tcp", "destination_ports": -1}, "port -1 is neither"),
        ({"protocol": "tcp", "destination_ports": "http"}, "port 'http' is neither"),
        ({"protocol": "tcp", "destination_ports": "90-80"}, "port '90-80' is neither"),
        ({"protocol": "tcp", "destination_ports": "80,90"}, "port '80,90' is neither"),
        ({"protocol": "tcp", "destination_ports": True}, "port True is neither"),
        ({"protocol": "tcp", "destination_ports": 80.0}, "port 80.0 is neither"),
        ({"protocol": "tcp", "destination_ports": "٨٠"}, "is neither a port"),
        ({"in_interface": "tap+"}, "in interface 'tap+' is not possible"),
        ({"in_interface": "eth0:1"}, "in interface 'eth0:1'"),
        ({"out_interface": "a" * 16}, "has 16 characters"),
        ({"out_interface": "a\nb"}, "is not possible"),
        ({"source_mac": "ff:ff:ff:ff:ff:ff"}, "is a group address"),
        ({"states": "open"}, "state 'open' is none: known are new, established"),
        ({"states": {1: 2}}, "is none: known are"),
        ({"icmp_type": 8}, "an ICMP type needs protocol icmp or ipv6-icmp, not any"),
        ({"protocol": "tcp", "icmp_type": 8}, "an ICMP type needs protocol icmp or ipv6-icmp, not tcp"),
        ({"protocol": "icmp", "icmp_type": 256}, "ICMP type 256 is neither"),
        ({"protocol": "icmp", "icmp_type": "8/0/0"}, "ICMP type '8/0/0' is neither"),
        ({"protocol": "icmp", "icmp_type": "neighbour-solicitation"}, "nor one of echo-reply"),
        ({"protocol": "icmp", "icmp_type": ()}, "ICMP type () is neither"),
        ({"mark": -1}, "mark -1 is not a whole number"),
        ({"mark": (4, 3)}, "mark 0x4 has bits outside its mask 0x3"),
        ({"mark": 1 << 32}, "is not a whole number from 0 to 0xffffffff"),
        ({"limit": "0/second"}, "limit '0/second' is not possible"),
        ({"limit": "1/fortnight"}, "limit '1/fortnight' is not possible"),
        ({"limit": (1, "second", 0)}, "is not possible"),
        ({"limit": "a/second"}, "is not possible"),
        ({"comment": ""}, "comment '' is not possible"),
        ({"comment": "a\nb"}, "is not possible"),
        ({"comment": 'a"b'}, "is not possible"),
        ({"comment": "a\\"}, "is not possible"),
        ({"comment": "ä"}, "is not possible"),
        ({"comment": "a" * 101}, "is not possible"),
    ],
)
def test_what_cannot_be(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        Rule(ACCEPT, **fields)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Rule("accept"), "action 'accept' is none"),  # type: ignore[arg-type]
        (lambda: Jump("a b"), "chain 'a b' is not possible"),
        (lambda: Jump("-j"), "chain '-j' is not possible"),
        (lambda: Reject("no"), "a packet cannot be rejected with 'no': known are port-unreachable"),  # type: ignore[arg-type]
        (lambda: Snat("0.0.0.0"), "SNAT's address 0.0.0.0 is no unicast address"),
        (lambda: Snat("192.0.2.0/24"), "SNAT's address '192.0.2.0/24' is not"),
        (lambda: Dnat("224.0.0.1"), "DNAT's address 224.0.0.1 is no unicast address"),
        (lambda: Dnat("fe80::1%eth0"), "'fe80::1%eth0' is not an IPv4 or IPv6 address"),
        (lambda: Dnat("192.0.2.1", (2, 1)), "port (2, 1) is neither"),
        (lambda: Redirect(-1), "port -1 is neither"),
        (lambda: Masquerade("x"), "port 'x' is neither"),  # type: ignore[arg-type]
        (lambda: Log('"'), "log prefix '\"' is not possible"),
        (lambda: Log("a" * 30), "1 to 29 printable"),
        (lambda: SetMark(2, 1), "has bits outside its mask"),
        (lambda: SetMark("1"), "mark '1' is not a whole number"),  # type: ignore[arg-type]
        (lambda: Rule(Reject(Answer.TCP_RESET), protocol="udp"), "only TCP can be rejected with tcp-reset"),
        (lambda: Rule(Redirect(80)), "to change ports, the rule needs a protocol that has them"),
        (lambda: Rule(Dnat("192.0.2.1", 80)), "to change ports"),
        (lambda: Rule(CHECKSUM_FILL), "a checksum can be filled in for protocol tcp or udp"),
        (lambda: Rule(Snat("192.0.2.1"), source="2001:db8::/64"), "the address 192.0.2.1 is IPv4"),
        (lambda: PortGuard("tap1", "nonsense"), "MAC address 'nonsense'"),
        (lambda: PortGuard("tap1", MAC, Not("192.0.2.1")), "those that it may use"),
        (lambda: PortGuard("tap1", MAC, router=1), "router must be True or False"),  # type: ignore[arg-type]
        (lambda: DhcpIsolation("eth1", "2001:db8::1"), "2001:db8::1 is not an IPv4 address"),
    ],
)
def test_actions_and_guards_that_cannot_be(make: Any, said: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        make()
    assert said in str(raised.value)


@given(st.text() | st.binary() | st.integers() | st.floats() | st.none() | st.tuples(st.text(), st.integers()))
def test_no_value_of_any_type_ends_in_a_traceback(value: Any) -> None:
    for field in ("protocol", "source", "source_ports", "in_interface", "source_mac", "states", "mark", "limit"):
        try:
            rule = Rule(ACCEPT, **{field: value, **({"protocol": "tcp"} if field == "source_ports" else {})})
        except InvalidArgument:
            continue
        assert rule.action is ACCEPT


@given(st.text(max_size=40))
def test_what_is_taken_has_nothing_that_a_tool_could_take_for_its_own(value: str) -> None:
    for check in (values.owner, values.chain_name, lambda text: values.text(text, "comment", 100)):
        try:
            taken = check(value)
        except InvalidArgument:
            continue
        assert taken == value
        assert taken.isascii()
        assert taken.isprintable()
        assert not set(taken) & set("\"'\\`")
        assert not taken.startswith(" ")


def test_the_family_follows_from_the_parts() -> None:
    assert Rule(ACCEPT).family is None
    assert Rule(ACCEPT, source="0.0.0.0/0").family == 4
    assert Rule(ACCEPT, protocol="icmpv6").family == 6
    assert Rule(Dnat("2001:db8::1")).family == 6


def test_a_rule_is_a_value() -> None:
    rule = Rule(Dnat("192.0.2.1", 80), protocol="tcp", destination_ports=8080, comment="web")
    assert replace(rule, comment=None) == Rule(Dnat("192.0.2.1", 80), protocol="tcp", destination_ports=8080)
    assert pickle.loads(pickle.dumps(rule)) == rule
    assert copy.deepcopy(rule) == rule
    with pytest.raises(AttributeError):
        rule.comment = "other"  # type: ignore[misc]
    assert repr(Rule(DROP, family=4)) == "Rule(Drop(), family=4)"


def test_names_of_interfaces_are_names() -> None:
    with pytest.raises(InvalidName):
        Rule(ACCEPT, in_interface="")


def test_protocols_by_name_and_number() -> None:
    for number in range(1, 256):
        assert protocols.number(protocols.name(number)) == number


def test_a_mark_is_read_as_it_is_written() -> None:
    rule = Rule(ACCEPT, mark=(1, 3))
    assert rule.mark == Mark(1, 3)


@pytest.mark.parametrize(
    ("mac", "address"), [("52:54:00:12:34:56", "fe80::5054:ff:fe12:3456"), ("02:00:00:00:00:01", "fe80::ff:fe00:1")]
)
def test_the_link_local_address_of_a_guard(mac: str, address: str) -> None:
    assert str(PortGuard("tap1", mac).link_local) == address


def test_no_addresses_and_any_addresses_are_not_the_same() -> None:
    assert PortGuard("tap1", MAC).addresses is None
    assert PortGuard("tap1", MAC, []).addresses == ()
    assert PortGuard("tap1", MAC, "192.0.2.1").addresses == (ipaddress.ip_network("192.0.2.1"),)
