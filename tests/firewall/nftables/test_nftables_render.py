"""How rules are written in nft's language, and that no value of a rule can say anything else in it."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nftables_helpers import PRINTABLE, networks, nft, rules, texts

from refnet.errors import Unsupported
from refnet.firewall import (
    ACCEPT,
    CHECKSUM_FILL,
    DROP,
    RETURN,
    Answer,
    Dnat,
    Hook,
    Log,
    Mark,
    Not,
    Redirect,
    Reject,
    Rule,
    SetMark,
    Snat,
    Table,
)
from refnet.firewall.model import Chain
from refnet.firewall.nftables import NftablesManager, names
from refnet.firewall.nftables.render import Rendered, definition, render
from refnet.firewall.nftables.render import networks as render_networks
from refnet.names import IPNetwork

FORWARD = Chain(Table.FILTER, "guests", Hook.FORWARD)
SUB = Chain(Table.FILTER, "sub", None)

TEXTS = [
    (Rule(ACCEPT), "counter accept"),
    (Rule(RETURN), "counter return"),
    (Rule(DROP, family=6), "meta nfproto ipv6 counter drop"),
    (Rule(DROP, source="192.0.2.7"), "ip saddr 192.0.2.7 counter drop"),
    (Rule(DROP, source=Not("2001:db8::/32")), "ip6 saddr != 2001:db8::/32 counter drop"),
    (
        Rule(ACCEPT, protocol="tcp", source_ports="80-90", destination_ports=Not(5)),
        "tcp sport 80-90 tcp dport != 5 counter accept",
    ),
    (Rule(DROP, destination=["10.0.0.0/25", "10.0.0.128/25", "10.0.0.7"]), "ip daddr 10.0.0.0/24 counter drop"),
    (Rule(ACCEPT, protocol="udp", destination_ports=[1, 2, "2-7"]), "udp dport 1-7 counter accept"),
    (Rule(ACCEPT, protocol="gre"), "meta l4proto 47 counter accept"),
    (Rule(ACCEPT, protocol="icmp", icmp_type="3/4"), "icmp type 3 icmp code 4 counter accept"),
    (Rule(ACCEPT, protocol="icmpv6"), "meta nfproto ipv6 meta l4proto 58 counter accept"),
    (Rule(DROP, in_interface=Not("tap1", "tap2")), 'iifname != { "tap1", "tap2" } counter drop'),
    (Rule(ACCEPT, states={"established", "related"}), "ct state & (established | related) != 0 counter accept"),
    (Rule(ACCEPT, states={"dnat"}), "ct status & (dnat) != 0 counter accept"),
    (Rule(ACCEPT, mark=Mark(0x10, 0xFF)), "meta mark & 0xff == 0x10 counter accept"),
    (Rule(ACCEPT, limit="10/minute"), "limit rate 10/minute burst 5 packets counter accept"),
    (Rule(Reject()), "counter reject with icmpx type port-unreachable"),
    (Rule(Reject(Answer.NET_UNREACHABLE)), "counter reject with icmpx type no-route"),
    (Rule(Reject("tcp-reset"), protocol="tcp"), "meta l4proto 6 counter reject with tcp reset"),
    (Rule(Snat("192.0.2.1")), "meta nfproto ipv4 counter snat ip to 192.0.2.1"),
    (
        Rule(Dnat("2001:db8::1", ports=(80, 81)), protocol="tcp"),
        "meta nfproto ipv6 meta l4proto 6 counter dnat ip6 to [2001:db8::1]:80-81",
    ),
    (Rule(Redirect(53), protocol="udp"), "meta l4proto 17 counter redirect to :53"),
    (Rule(SetMark(0x10, 0xF0)), "counter meta mark set meta mark & 0xffffff0f | 0x10"),
    (Rule(Log("bad:")), 'counter log prefix "bad:"'),
]


@pytest.mark.parametrize(("rule", "text"), TEXTS, ids=[text for _, text in TEXTS])
def test_text(rule: Rule, text: str) -> None:
    assert render(FORWARD, rule).texts == (text,)


def test_states_of_connections_and_of_translation_take_two_lines_that_exclude_each_other() -> None:
    assert render(SUB, Rule(ACCEPT, states={"new", "dnat"})).texts == (
        "ct state & (new) != 0 counter accept",
        "ct state & (new) == 0 ct status & (dnat) != 0 counter accept",
    )
    # A packet without a connection has not been translated, either.
    assert render(SUB, Rule(DROP, states=Not("dnat"))).texts == (
        "ct state & (invalid | untracked) != 0 counter drop",
        "ct status & (dnat) == 0 counter drop",
    )
    assert render(SUB, Rule(DROP, states=Not("dnat", "invalid", "untracked"))).texts == (
        "ct state & (invalid | untracked) == 0 ct status & (dnat) == 0 counter drop",
    )
    with pytest.raises(Unsupported, match="for one limit"):
        render(SUB, Rule(DROP, states=Not("dnat"), limit="1/second"))


def test_lists_become_sets_that_rules_share() -> None:
    members = [f"10.0.{number}.0/24" for number in range(0, 100, 2)]
    one = render(SUB, Rule(ACCEPT, protocol="tcp", source=members, destination_ports=22))
    other = render(SUB, Rule(DROP, source=Not(*members)))
    assert one.sets == other.sets
    assert one.texts == (f"ip saddr @{one.sets[0].name} tcp dport 22 counter accept",)
    assert other.texts == (f"ip saddr != @{one.sets[0].name} counter drop",)
    ports = [
        render(SUB, Rule(ACCEPT, protocol=protocol, destination_ports=[22, "80-90"])) for protocol in ("tcp", "udp")
    ]
    assert [found.elements for found in ports[0].sets] == ["22, 80-90"]
    assert [found.type for found in ports[0].sets] == ["inet_service"]
    assert ports[0].sets == ports[1].sets
    assert ports[1].texts == (f"udp dport @{ports[1].sets[0].name} counter accept",)
    assert not render(SUB, Rule(ACCEPT, source=[f"10.0.0.{number}" for number in range(256)])).sets


def test_rules_that_are_written_alike_are_told_apart() -> None:
    whole, halves = Rule(DROP, source="10.0.0.0/24"), Rule(DROP, source=["10.0.0.0/25", "10.0.0.128/25"])
    assert render(SUB, whole).texts == render(SUB, halves).texts
    assert render(SUB, whole).digest != render(SUB, halves).digest


def test_owners_and_chains_are_never_confused() -> None:
    assert names.table("a") != names.table("a-b")
    owners = ["a", "a-b", "a-", "a_b", "A", "1", "b"]
    assert len({names.table(owner) for owner in owners}) == len(owners)
    # nft's own words, and names that begin with a digit, are no trouble behind a prefix.
    assert names.chain((Table.FILTER, "accept")) == "filter.accept"
    assert names.chain((Table.NAT, "forward")) not in {names.base(Table.NAT, hook) for hook in Hook}


def test_what_nft_cannot_do_is_refused_with_what_to_do() -> None:
    manager = NftablesManager("a")
    manager.add_chain("dhcp", hook="postrouting", table="mangle")
    with pytest.raises(Unsupported, match=r"tc qdisc add dev DEVICE clsact.*tc filter add dev DEVICE egress .*csum"):
        manager.add_rule("dhcp", Rule(CHECKSUM_FILL, protocol="udp"), table="mangle")
    assert manager.rules("dhcp", table="mangle") == ()


NASTY = [
    "$x", "${x}", "a; drop", "# nothing", "{ }", "} }", "@set", "*", "a,b", "/* */", "-f /etc/passwd", "include x",
    "<>|&", "%s%n", "comment", "refnet:0123456789abcdef",
]  # fmt: skip


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize("text", NASTY)
def test_texts_stay_texts(text: str) -> None:
    with NftablesManager("nasty") as manager:
        manager.add_chain("guests", hook="forward")
        rules_ = [Rule(Log(text), comment=text), Rule(DROP, comment=text), Rule(ACCEPT, comment="behind")]
        for rule in rules_:
            manager.add_rule("guests", rule)
        manager.apply()
        assert manager.standing()[0].rules == tuple(rules_)
        assert NftablesManager("nasty").standing()[0].rules == tuple(rules_)


@pytest.mark.usefixtures("stack")
def test_every_printable_character_stays_itself() -> None:
    with NftablesManager("nasty") as manager:
        manager.add_chain("guests", hook="forward")
        wanted = [Rule(Log(f"a{one}b"), comment=f"a{one}b {one}") for one in PRINTABLE]
        wanted.append(Rule(DROP, comment="x" * 100))
        for rule in wanted:
            manager.add_rule("guests", rule)
        manager.apply()
        assert NftablesManager("nasty").standing()[0].rules == tuple(wanted)
        assert nft("list", "tables").split() == ["table", "inet", "refnet.nasty"]


@given(rules(), st.sampled_from([FORWARD, SUB]))
def test_a_rule_is_whole_lines_with_its_comment_at_the_end(rule: Rule, chain: Chain) -> None:
    try:
        rendered: Rendered = render(chain, rule)
    except Unsupported:
        return
    for line in rendered.lines:
        assert "\n" not in line
        assert line.isprintable()
        outside = "".join(line.split('"')[::2])  # what is not in quotes
        assert not set(outside) & set(";#\\'`")
        assert outside.count("$") == 0
        assert len(line[line.rindex('"refnet:') + 1 : -1]) < 128


@given(st.sampled_from([4, 6]).flatmap(lambda version: st.lists(networks(version), min_size=2)))
def test_as_few_networks_as_possible(several: list[IPNetwork]) -> None:
    assert render_networks(several) == tuple(ipaddress.collapse_addresses(several))


@given(texts)
def test_a_prefix_with_a_dollar_is_defined_by_a_name_that_is_only_letters_and_digits(text: str) -> None:
    head, _, rest = definition(text).partition(" = ")
    assert head.split(" ")[1].isalnum()
    assert rest == f'"{text}"'
