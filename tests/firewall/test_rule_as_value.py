"""A rule holds plain values, whatever it is made of; it can be written as a program, pickled, copied and changed."""

from __future__ import annotations

import copy
import enum
import ipaddress
import pickle
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rule_strategies import rules

import refnet.firewall
from refnet.errors import InvalidArgument
from refnet.firewall import (
    ACCEPT,
    DROP,
    Answer,
    DhcpIsolation,
    FirewallManager,
    Jump,
    Log,
    Mark,
    Not,
    PortGuard,
    PortRange,
    Rate,
    Redirect,
    Reject,
    Rule,
    SetMark,
    State,
    actions,
)
from refnet.firewall.iptables import IptablesManager
from refnet.firewall.nftables import NftablesManager
from refnet.firewall.null import NullFirewall
from refnet.firewall.pf import PfManager
from refnet.firewall.values import AnyOf, IcmpType

#: What a rule's repr may name.
NAMES = {**vars(refnet.firewall), **vars(actions), **vars(ipaddress)}


class Text(str, enum.Enum):
    """Whose members are str, and write themselves as ``Text.DEVICE``."""

    DEVICE = "eth0"
    PROTOCOL = "TCP"
    CHAIN = "local"
    OWNER = "me"
    ADDRESS = "192.0.2.1"
    MAC = "02:00:00:00:00:01"
    PORTS = "80-90"
    STATE = "new"
    UNIT = "minute"
    WORDS = "a few words"
    ICMP = "echo-request"


class Number(int, enum.Enum):
    FAMILY = 4
    PROTOCOL = 132
    PORT = 80
    TYPE = 3


class Lying(str):
    """Which writes itself as what would be a rule of its own."""

    def __str__(self) -> str:
        return "x -j ACCEPT\n-A INPUT"

    __repr__ = __str__

    def __format__(self, how: str) -> str:
        return str(self)


PAIRS = [
    (Rule(ACCEPT, in_interface=Text.DEVICE), Rule(ACCEPT, in_interface="eth0")),
    (Rule(ACCEPT, out_interface=Not("b", Text.DEVICE)), Rule(ACCEPT, out_interface=Not("eth0", "b"))),
    (Rule(ACCEPT, in_interface=Lying("eth0")), Rule(ACCEPT, in_interface="eth0")),
    (Rule(ACCEPT, protocol=Text.PROTOCOL), Rule(ACCEPT, protocol="tcp")),
    (Rule(ACCEPT, protocol=Lying("tcp")), Rule(ACCEPT, protocol="tcp")),
    (Rule(ACCEPT, protocol=Number.PROTOCOL, family=Number.FAMILY), Rule(ACCEPT, protocol="sctp", family=4)),
    (Rule(ACCEPT, protocol=Number.PORT), Rule(ACCEPT, protocol=80)),
    (Rule(ACCEPT, source=Text.ADDRESS), Rule(ACCEPT, source="192.0.2.1")),
    (Rule(ACCEPT, source_mac=[Text.MAC]), Rule(ACCEPT, source_mac="02:00:00:00:00:01")),
    (Rule(ACCEPT, protocol=6, source_ports=Number.PORT), Rule(ACCEPT, protocol=6, source_ports=80)),
    (Rule(ACCEPT, protocol=6, source_ports=Text.PORTS), Rule(ACCEPT, protocol=6, source_ports="80:90")),
    (Rule(ACCEPT, protocol=6, source_ports=[(Number.PORT, 90)]), Rule(ACCEPT, protocol=6, source_ports="80:90")),
    (Rule(ACCEPT, states=[Text.STATE]), Rule(ACCEPT, states=State.NEW)),
    (Rule(ACCEPT, protocol=1, icmp_type=Text.ICMP), Rule(ACCEPT, protocol=1, icmp_type=8)),
    (Rule(ACCEPT, protocol=1, icmp_type=(Number.TYPE, 4)), Rule(ACCEPT, protocol=1, icmp_type="3/4")),
    (Rule(ACCEPT, mark=(Number.PORT, 0xFF)), Rule(ACCEPT, mark=Mark(80, 0xFF))),
    (Rule(ACCEPT, limit=(Number.TYPE, Text.UNIT)), Rule(ACCEPT, limit="3/minute")),
    (Rule(ACCEPT, comment=Text.WORDS), Rule(ACCEPT, comment="a few words")),
    (Rule(ACCEPT, comment=Lying("a")), Rule(ACCEPT, comment="a")),
    (Rule(Jump(Text.CHAIN)), Rule(Jump("local"))),
    (Rule(Log(Text.WORDS)), Rule(Log("a few words"))),
    (Rule(Log(Lying("a"))), Rule(Log("a"))),
    (Rule(SetMark(Number.PORT, Number.PORT)), Rule(SetMark(80, 80))),
    (Rule(Redirect(Number.PORT), protocol="tcp"), Rule(Redirect(80), protocol="tcp")),
]


@pytest.mark.parametrize(("given_as", "same_as"), PAIRS, ids=lambda rule: "")
def test_nothing_of_a_callers_class_is_in_a_rule(given_as: Rule, same_as: Rule) -> None:
    assert given_as == same_as
    assert repr(given_as) == repr(same_as)
    for made in (given_as, same_as):
        see_plain(made)


def see_plain(value: Any) -> None:
    if isinstance(value, tuple):
        for one in value:
            see_plain(one)
    elif hasattr(value, "__dataclass_fields__"):
        for one in fields(value):
            see_plain(getattr(value, one.name))
    else:
        assert type(value) in (str, int, bool, type(None), State, Answer, ipaddress.IPv4Network, ipaddress.IPv4Address)


@pytest.mark.parametrize("backend", [IptablesManager, NftablesManager, PfManager, NullFirewall])
def test_names_in_enums_are_names_on_the_host(backend: type[FirewallManager]) -> None:
    """What such a rule was written as: ``-i Text.DEVICE``, which no packet matches."""
    texts = []
    for owner, chain, device in ((Text.OWNER, Text.CHAIN, Text.DEVICE), ("me", "local", "eth0")):
        manager = backend(owner)
        manager.add_chain(chain)
        manager.add_chain("in", hook="input")
        manager.add_rule("in", Rule(Jump(chain), in_interface=device))
        (rendered,) = manager._model.chain("filter", "in").rendered()
        texts.append((manager.owner + "", manager.chains(), rendered if isinstance(rendered, tuple) else ""))
    assert repr(texts[0]) == repr(texts[1])


@given(st.sampled_from((4, 6)).flatmap(rules))
def test_a_rule_comes_back_from_what_it_becomes(rule: Rule) -> None:
    for again in (
        eval(repr(rule), dict(NAMES)),
        pickle.loads(pickle.dumps(rule)),
        copy.copy(rule),
        copy.deepcopy(rule),
        replace(rule),
    ):
        assert again == rule
        assert hash(again) == hash(rule)
        assert repr(again) == repr(rule)
    assert rule not in (replace(rule, action=DROP, comment="another"), None, repr(rule))


def test_a_rule_reads_as_it_is_written_in_a_program() -> None:
    rule = Rule(
        Reject("tcp-reset"),
        protocol=6,
        source=Not("192.0.2.2", "192.0.2.0/31"),
        destination_ports=[80, (90, 99)],
        states="new",
        limit="3/minute",
    )
    assert repr(rule) == (
        "Rule(Reject(answer='tcp-reset'), family=4, protocol='tcp', source=Not('192.0.2.0/31', '192.0.2.2/32'), "
        "destination_ports=['80', '90-99'], states=['new'], limit=Rate(packets=3, unit='minute', burst=5))"
    )
    assert repr(PortGuard("tap1", "02:00:00:00:00:01")).startswith("PortGuard(port='tap1'")
    assert repr(DhcpIsolation("eth1", "192.0.2.1")).startswith("DhcpIsolation(interface='eth1'")


@pytest.mark.parametrize(
    ("given_as", "said"),
    [
        ({"source": AnyOf(("192.0.2.1",), "no")}, "source: negated must be True or False, not 'no'"),
        ({"in_interface": AnyOf(("a",), 1)}, "in interface: negated must be True or False, not 1"),
        ({"source": Not(Not("192.0.2.1"))}, "address Not('192.0.2.1') is not an address"),
        ({"source": Not(None)}, "address None is not an address"),
        ({"protocol": "tcp", "source_ports": b"80"}, "port b'80' is neither"),
        ({"protocol": "tcp", "source_ports": bytearray(b"80")}, "port bytearray(b'80') is neither"),
        ({"protocol": "tcp", "source_ports": memoryview(b"80")}, "port <memory at "),
        (
            {"protocol": "tcp", "source_ports": PortRange("80", "90")},
            "port PortRange(first='80', last='90') is neither",
        ),
        ({"protocol": "tcp", "source_ports": [[80]]}, "port [80] is neither"),
        ({"protocol": "tcp", "source_ports": float("nan")}, "port nan is neither"),
        ({"protocol": "icmp", "icmp_type": IcmpType(8, True)}, "ICMP type IcmpType(type=8, code=True) is neither"),
        ({"protocol": "icmp", "icmp_type": (8, None, 1)}, "ICMP type (8, None, 1) is neither"),
        ({"limit": Rate(1, ["second"])}, "limit Rate(packets=1, unit=['second'], burst=5) is not possible"),
        ({"limit": Rate(1, "second", True)}, "burst=True) is not possible"),
        ({"mark": (1, 1.0)}, "mark 1.0 is not a whole number"),
        ({"source": ipaddress.IPv6Network(("fe80::", 64)), "family": 4}, "is IPv6"),
        ({"source": ipaddress.ip_address("fe80::1%eth0")}, "is not an address"),
        ({"source": ipaddress.ip_interface("192.0.2.1/24")}, "has bits set behind its prefix"),
        ({"comment": "\ud800"}, "comment '\\ud800' is not possible"),
        ({"comment": "a\x00"}, "comment 'a\\x00' is not possible"),
    ],
)
def test_what_looks_like_a_value_and_is_none(given_as: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        Rule(ACCEPT, **given_as)
    assert said in str(raised.value)


def test_an_iterator_is_used_once_and_a_list_is_not_kept() -> None:
    addresses = ["192.0.2.1", "192.0.2.2"]
    rule = Rule(ACCEPT, source=iter(addresses), destination=addresses)
    assert rule.source == rule.destination
    addresses.append("192.0.2.3")
    assert len(rule.destination.values) == 2


def test_equal_values_are_one_object_and_those_of_other_fields_are_others() -> None:
    one, other = (Rule(ACCEPT, protocol="tcp", source_ports=80, in_interface="new", states="new") for _ in range(2))
    assert one.source_ports is other.source_ports
    assert one.protocol is other.protocol
    assert type(one.in_interface.values[0]) is str
    assert type(one.states.values[0]) is State
    assert Rule(ACCEPT, protocol="tcp", source_ports="80").source_ports == one.source_ports
    for wrong in (True, 80.0):
        with pytest.raises(InvalidArgument):
            Rule(ACCEPT, protocol="tcp", source_ports=wrong)
