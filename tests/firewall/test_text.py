"""iptables's text, read as rules."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refnet.errors import InvalidArgument, Unsupported
from refnet.firewall import (
    ACCEPT,
    CHECKSUM_FILL,
    DROP,
    RETURN,
    Answer,
    Dnat,
    Jump,
    Log,
    Masquerade,
    Not,
    Redirect,
    Reject,
    Rule,
    SetMark,
    Snat,
)
from refnet.firewall.text import parse, words

FAMILIES = (4, 6)

READ: list[tuple[int, str, Rule]] = [
    (4, "-j ACCEPT", Rule(ACCEPT, family=4)),
    (6, "--jump DROP", Rule(DROP, family=6)),
    (4, "-jRETURN -ptcp", Rule(RETURN, family=4, protocol="tcp")),
    (4, "-s 10.0.0.1/24 -j ACCEPT", Rule(ACCEPT, source="10.0.0.0/24")),
    (4, "--source=10.0.0.1/255.255.255.0 --dst 10.1.1.1 -j ACCEPT",
     Rule(ACCEPT, source="10.0.0.0/24", destination="10.1.1.1")),
    (6, "-d 2001:db8::1/ffff:ffff:: -j ACCEPT", Rule(ACCEPT, destination="2001:db8::/32")),
    (4, "-s 10.0.0.1,192.0.2.0/24 -j ACCEPT", Rule(ACCEPT, source=["10.0.0.1", "192.0.2.0/24"])),
    (4, "-s 0.0.0.0/0 -d 1.2.3.4/0 -j ACCEPT", Rule(ACCEPT, family=4)),
    (4, "! -s 10.0.0.0/8 -j DROP", Rule(DROP, source=Not("10.0.0.0/8"))),
    (4, "-s ! 10.0.0.0/8 -j DROP", Rule(DROP, source=Not("10.0.0.0/8"))),
    (4, "! -i eth0 -o ! eth1 -j DROP", Rule(DROP, family=4, in_interface=Not("eth0"), out_interface=Not("eth1"))),
    (4, "-i + -p all -j DROP", Rule(DROP, family=4)),
    (4, "-p 6 -j DROP", Rule(DROP, family=4, protocol="tcp")),
    (4, "-p ipcomp -j DROP", Rule(DROP, family=4, protocol=108)),
    (4, "-p UDP --dport domain -j DROP", Rule(DROP, family=4, protocol="udp", destination_ports=53)),
    (4, "-p tcp -m tcp --sport :1023 --dport 1024: -j DROP",
     Rule(DROP, family=4, protocol="tcp", source_ports="0-1023", destination_ports="1024-65535")),
    (4, "-p tcp ! --dport 80:90 -j DROP", Rule(DROP, family=4, protocol="tcp", destination_ports=Not("80-90"))),
    (4, "-p tcp -m multiport --dport 22,http -j DROP",
     Rule(DROP, family=4, protocol="tcp", destination_ports=[22, 80])),
    (4, "-p sctp --source-port 7 -m multiport ! --destination-ports 1:2,9 -j DROP",
     Rule(DROP, family=4, protocol="sctp", source_ports=7, destination_ports=Not("1-2", 9))),
    (4, "-p tcp -m multiport ! --dports 1,2 -m multiport ! --dports 4 -j DROP",
     Rule(DROP, family=4, protocol="tcp", destination_ports=Not(1, 2, 4))),
    (4, "-p icmp --icmp-type ping -j DROP", Rule(DROP, protocol="icmp", icmp_type=8)),
    (4, "-p icmp -m icmp --icmp-type 8/0 -j DROP", Rule(DROP, protocol="icmp", icmp_type="8/0")),
    (4, "-p icmp -m icmp --icmp-type any -j DROP", Rule(DROP, protocol="icmp")),
    (4, "-p icmp -m icmp --icmp-type 255/3 -j DROP", Rule(DROP, protocol="icmp")),
    (4, "-p icmp -m icmp --icmp-type 3/255 -j DROP", Rule(DROP, protocol="icmp", icmp_type=(3, 255))),
    (4, "-p icmp -m icmp --icmp-type host-prohibited -j DROP", Rule(DROP, protocol="icmp", icmp_type="3/10")),
    (6, "-p icmpv6 -m icmpv6 --icmpv6-type neighbour-solicitation -j DROP",
     Rule(DROP, protocol="ipv6-icmp", icmp_type=135)),
    (6, "-p ipv6-icmp -m icmp6 --icmpv6-type 255 -j DROP", Rule(DROP, protocol="ipv6-icmp", icmp_type=255)),
    (6, "-p ipv6-icmp -m icmp6 --icmpv6-type 255/3 -j DROP", Rule(DROP, protocol="ipv6-icmp", icmp_type=(255, 3))),
    (4, "-m state --state NEW,ESTABLISHED -j ACCEPT", Rule(ACCEPT, family=4, states=["new", "established"])),
    (4, "-m conntrack ! --ctstate invalid -j ACCEPT", Rule(ACCEPT, family=4, states=Not("invalid"))),
    (4, "-m conntrack --ctstate SNAT,DNAT -j ACCEPT", Rule(ACCEPT, family=4, states=["snat", "dnat"])),
    (4, "-m mac --mac-source 52:54:00:AA:BB:CC -j DROP", Rule(DROP, family=4, source_mac="52:54:00:aa:bb:cc")),
    (4, "-m mark --mark 0x1/0xff -j DROP", Rule(DROP, family=4, mark=(1, 255))),
    (4, "-m mark --mark 017 -j DROP", Rule(DROP, family=4, mark=15)),
    (4, "-m limit -j DROP", Rule(DROP, family=4, limit=(3, "hour"))),
    (4, "-m limit --limit 10/m --limit-burst 7 -j DROP", Rule(DROP, family=4, limit=(10, "minute", 7))),
    (4, "-m limit --limit 4 -j DROP", Rule(DROP, family=4, limit=(4, "second"))),
    (4, "-m iprange --src-range 10.0.0.4-10.0.0.7 -j DROP", Rule(DROP, source="10.0.0.4/30")),
    (4, "! -s 10.0.0.9 -m iprange ! --src-range 10.0.0.5-10.0.0.6 -j DROP",
     Rule(DROP, source=Not("10.0.0.9", "10.0.0.5", "10.0.0.6"))),
    (4, '-m comment --comment "-j ACCEPT, not" -j DROP', Rule(DROP, family=4, comment="-j ACCEPT, not")),
    (4, "-c 12 3400 -4 -j DROP", Rule(DROP, family=4)),
    (4, "-j REJECT", Rule(Reject(), family=4)),
    (4, "-p tcp -j REJECT --reject-with tcp-rst", Rule(Reject(Answer.TCP_RESET), family=4, protocol="tcp")),
    (4, "-j REJECT --reject-with admin-prohib", Rule(Reject(Answer.ADMIN_PROHIBITED), family=4)),
    (6, "-j REJECT --reject-with icmp6-adm-prohibited", Rule(Reject(Answer.ADMIN_PROHIBITED), family=6)),
    (6, "-j REJECT --reject-with addr-unreach", Rule(Reject(Answer.HOST_UNREACHABLE), family=6)),
    (4, "-j DNAT -d 10.0.0.1 --to 10.0.0.2", Rule(Dnat("10.0.0.2"), destination="10.0.0.1")),
    (4, "-p udp -j DNAT --to-destination=10.0.0.2:80-90", Rule(Dnat("10.0.0.2", (80, 90)), protocol="udp")),
    (6, "-p udp -j SNAT --to-source [2001:db8::1]:80", Rule(Snat("2001:db8::1", 80), protocol="udp")),
    (6, "-j DNAT --to-destination [2001:db8::1]", Rule(Dnat("2001:db8::1"))),
    (4, "-j MASQUERADE", Rule(Masquerade(), family=4)),
    (4, "-p tcp -j MASQUERADE --to-ports 1024-2047", Rule(Masquerade((1024, 2047)), family=4, protocol="tcp")),
    (4, "-p tcp -j REDIRECT --to-port 8080", Rule(Redirect(8080), family=4, protocol="tcp")),
    (4, "-j LOG --log-level warning --log-prefix 'dropped by x'", Rule(Log("dropped by x"), family=4)),
    (4, "-j MARK --set-mark 5", Rule(SetMark(5), family=4)),
    (4, "-j MARK --set-mark 0x10/0x0f", Rule(SetMark(0x10, 0x1F), family=4)),
    (4, "-j MARK --set-xmark 0x1/0xff", Rule(SetMark(1, 255), family=4)),
    (4, "-j MARK --and-mark 0xff", Rule(SetMark(0, 0xFFFFFF00), family=4)),
    (4, "-j MARK --or-mark 6", Rule(SetMark(6, 6), family=4)),
    (4, "-p udp -j CHECKSUM --checksum-fill", Rule(CHECKSUM_FILL, family=4, protocol="udp")),
    (4, "-j local", Rule(Jump("local"), family=4)),
]  # fmt: skip


@pytest.mark.parametrize(("family", "text", "rule"), READ, ids=[text for _, text, _ in READ])
def test_text_is_read(family: int, text: str, rule: Rule) -> None:
    assert parse(text, family) == rule


REFUSED: list[tuple[int, str, str]] = [
    (4, "", "-j"),
    (4, "-s 10.0.0.1", "-j and a target are missing"),
    (4, "-j", "has to follow -j"),
    (4, "-j ACCEPT extra", "'extra'"),
    (4, "-j ACCEPT --", "'--'"),
    (4, "-j ACCEPT -", "'-'"),
    (4, "-j ACCEPT !", "follow '!'"),
    (4, "! -j ACCEPT", "cannot be negated"),
    (4, "! -s ! 10.0.0.1 -j ACCEPT", "negated twice"),
    (4, "-A INPUT -j ACCEPT", "'-A'"),
    (4, "-t nat -j ACCEPT", "'-t'"),
    (4, "-s 10.1 -j ACCEPT", "'10.1'"),
    (4, "-s 10.0.0.1/33 -j ACCEPT", "33"),
    (4, "-s 10.0.0.0/010 -j ACCEPT", "'10.0.0.0/010'"),
    (4, "-s 2001:db8::1 -j ACCEPT", "'2001:db8::1'"),
    (6, "-s 10.0.0.1 -j ACCEPT", "'10.0.0.1'"),
    (6, "-s fe80::1%eth0 -j ACCEPT", "'fe80::1%eth0'"),
    (4, "-s example.org -j ACCEPT", "'example.org'"),
    (4, "-s 10.0.0.1, -j ACCEPT", "''"),
    (4, "! -s 10.0.0.1,10.0.0.2 -j ACCEPT", "not a list"),
    (4, "-s 10.0.0.1 -s 10.0.0.2 -j ACCEPT", "-s is there twice"),
    (4, "-m iprange --src-range 10.0.0.9-10.0.0.1 -j DROP", "ends before"),
    (4, "-i eth0/1 -j ACCEPT", "'eth0/1'"),
    (4, "-i averyverylongdevicename -j ACCEPT", "averyverylong"),
    (4, "-p nonsense -j ACCEPT", "'nonsense'"),
    (4, "-p 010 -j ACCEPT", "'010'"),
    (4, "-p 256 -j ACCEPT", "'256'"),
    (4, "-p tcp -p udp -j ACCEPT", "-p is there twice"),
    (6, "-p icmp -j ACCEPT", "both families"),
    (4, "--dport 80 -j ACCEPT", "needs -m tcp"),
    (4, "-m tcp --dport 80 -j ACCEPT", "needs -p tcp"),
    (4, "-p udp -m tcp --dport 80 -j ACCEPT", "needs -p tcp"),
    (4, "-m multiport --dports 80 -j ACCEPT", "protocol"),
    (4, "-p tcp -m multiport -j ACCEPT", "-m multiport needs"),
    (4, "-p tcp --dport 80,81 -j ACCEPT", "'80,81'"),
    (4, "-p tcp --dport 080 -j ACCEPT", "'080'"),
    (4, "-p tcp --dport 65536 -j ACCEPT", "'65536'"),
    (4, "-p tcp --dport 90:80 -j ACCEPT", "'90:80'"),
    (4, "-p tcp --dport 80-90 -j ACCEPT", "'80-90'"),
    (4, "-p tcp --dport gopher -j ACCEPT", "'gopher'"),
    (4, "-p tcp --dport 1 --dport 2 -j ACCEPT", "--dport is there twice"),
    (4, "-p icmp --icmp-type 256 -j ACCEPT", "'256'"),
    (4, "-p icmp --icmp-type 255/256 -j ACCEPT", "'255/256'"),
    (4, "-p icmp --icmp-type 010 -j ACCEPT", "'010'"),
    (4, "-p tcp -m icmp --icmp-type 8 -j ACCEPT", "needs -p icmp"),
    (4, "-m conntrack --ctstate NEW,FOO -j ACCEPT", "'foo'"),
    (4, "-m conntrack --ctstate -j ACCEPT", "'ACCEPT'"),
    (4, "-m conntrack -j ACCEPT", "-m conntrack needs"),
    (4, "-m mac --mac-source 52:54:00 -j ACCEPT", "'52:54:00'"),
    (4, "-m mac --mac-source ff:ff:ff:ff:ff:ff -j ACCEPT", "group address"),
    (4, "-m mark --mark 08 -j ACCEPT", "'08'"),
    (4, "-m mark --mark 0x100/0xff -j ACCEPT", "outside its mask"),
    (4, "-m limit --limit 0/s -j ACCEPT", "'0/s'"),
    (4, "-m limit --limit 1/week -j ACCEPT", "'1/week'"),
    (4, "-m limit --limit 99999/s -j ACCEPT", "99999"),
    (4, "-m nonsense -j ACCEPT", "'nonsense'"),
    (4, "-m comment --comment \"it's\" -j ACCEPT", "it's"),
    (4, '-m comment --comment "open -j ACCEPT', "quotes"),
    (4, "-j REJECT --reject-with nothing", "'nothing'"),
    (4, "-j REJECT --reject-with icmp6-no-route", "'icmp6-no-route'"),
    (4, "-j REJECT --reject-with tcp-reset", "TCP"),
    (4, "-j SNAT", "-j SNAT needs --to-source"),
    (4, "-j SNAT --to-source 10.0.0.1:80", "protocol"),
    (4, "-j DNAT --to-destination 10.0.0.1.5", "'10.0.0.1.5'"),
    (4, "-j DNAT --to-source 10.0.0.1", "needs -j SNAT"),
    (6, "-j DNAT --to-destination 2001:db8::1]:80", "'2001:db8::1]:80'"),
    (4, "-p tcp -j DNAT --to-destination 10.0.0.1:", "''"),
    (4, "-p tcp -j DNAT --to-destination 10.0.0.1:9-8", "'9-8'"),
    (4, "-j MARK", "-j MARK needs"),
    (4, "-j MARK --set-mark 1 --or-mark 2", "comes second"),
    (4, "-j CHECKSUM", "needs --checksum-fill"),
    (4, "-j CHECKSUM --checksum-fill=1 -p udp", "takes no value"),
    (4, "-j $local", "'$local'"),
    (4, "-j ''", "''"),
    (4, "-6 -j ACCEPT", "IPv6"),
    (4, "-j ACCEPT\n-A INPUT -j ACCEPT", "'\\n'"),
    (4, "-j ACCEPT\0", "'\\x00'"),
    (4, "-j\tACCEPT", "'\\t'"),
    (4, "-j ACC\x1b[0mEPT", "'\\x1b'"),
]  # fmt: skip


@pytest.mark.parametrize(("family", "text", "said"), REFUSED, ids=[repr(text) for _, text, _ in REFUSED])
def test_what_is_wrong_is_refused_by_its_word(family: int, text: str, said: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse(text, family)
    assert said in str(caught.value)


NOT_MODELLED: list[tuple[str, str]] = [
    *((f"-m {match} -j ACCEPT", match) for match in sorted(words.MATCHES)),
    *((f"-j {target}", target) for target in sorted(words.TARGETS)),
    ("-m physdev --physdev-in tap1 -j ACCEPT", "physdev"),
    ("-m addrtype --dst-type LOCAL -j ACCEPT", "addrtype"),
    ("-p tcp --syn -j ACCEPT", "syn"),
    ("-p tcp -m tcp --tcp-flags SYN,ACK SYN -j ACCEPT", "tcp-flags"),
    ("-m conntrack --ctstatus ASSURED -j ACCEPT", "ctstatus"),
    ("-i tap+ -j ACCEPT", "interface wildcard"),
    ("! -i + -j ACCEPT", "interface wildcard"),
    ("! -p tcp -j ACCEPT", "negated protocol"),
    ("-p icmp ! --icmp-type 8 -j ACCEPT", "negated ICMP type"),
    ("-m mark ! --mark 1 -j ACCEPT", "negated mark"),
    ("-p tcp -m multiport --ports 80 -j ACCEPT", "multiport --ports"),
    ("-p tcp --dport 80 -m multiport --dports 80,81 -j ACCEPT", "destination_ports"),
    ("-m mark --mark 1/1 -m mark --mark 2/2 -j ACCEPT", "mark"),
    ("-m limit --limit 3/hour -m limit --limit 1/s -j ACCEPT", "limit"),
    ("-m limit --limit 1/s -m limit -j ACCEPT", "limit"),
    ("-p icmp --icmp-type 8 -m icmp --icmp-type 0 -j ACCEPT", "icmp_type"),
    ("-p icmp --icmp-type ping -m icmp --icmp-type pong -j ACCEPT", "icmp_type"),
    ("-m comment --comment a -m comment --comment b -j ACCEPT", "comment"),
    ("-s 10.0.0.0/255.0.255.0 -j ACCEPT", "mask with holes"),
    ("-s 10.0.0.0/0.0.0.255 -j ACCEPT", "mask with holes"),
    ("-f -j ACCEPT", "fragment"),
    ("-g other", "goto"),
    ("-j REJECT --reject-with icmp-host-prohibited", "reject answer"),
    ("-j DNAT --to-destination 10.0.0.1-10.0.0.9", "address range"),
    ("-p tcp -j DNAT --to-destination :80", "translation without an address"),
    ("-p tcp -j DNAT --to-destination 10.0.0.1:80-90/1080", "port shift"),
    ("-j MASQUERADE --random", "random"),
    ("-p tcp -j REDIRECT", "redirect to the same port"),
    ("-j LOG --log-level debug", "log level"),
    ("-j LOG --log-uid", "log-uid"),
    ("-j MARK --xor-mark 1", "xor of marks"),
    ("-j MARK --set-xmark 0x3/0x1", "xor of marks"),
]


@pytest.mark.parametrize(("text", "capability"), NOT_MODELLED)
def test_what_only_iptables_knows_is_unsupported_by_its_name(text: str, capability: str) -> None:
    with pytest.raises(Unsupported) as caught:
        parse(text, 4)
    assert caught.value.capability == capability
    assert text[:20] in str(caught.value)


def test_a_chain_is_resolved() -> None:
    assert parse("-j nova-local", 4, resolve=lambda name: name[5:]) == Rule(Jump("local"), family=4)


def test_a_text_or_family_of_another_type_is_refused() -> None:
    for wrong in (None, 7, b"-j ACCEPT", ["-j", "ACCEPT"]):
        with pytest.raises(InvalidArgument):
            parse(wrong, 4)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument):
        parse("-j ACCEPT", 5)


_VOCABULARY = sorted(
    {
        *words.GENERAL, *words.MATCHES, *words.TARGETS, *words.MATCH_OPTIONS, *words.TARGET_OPTIONS,
        *(one for options in words.MATCH_OPTIONS.values() for one in options),
        *(one for options in words.TARGET_OPTIONS.values() for one in options),
        *("-s", "-d", "-p", "-i", "-o", "-j", "-m", "-g", "-c", "!", "=", "-", "--", "'", '"', "\\", "tcp", "all"),
        *("10.0.0.1", "::1", "0.0.0.0/0", "80", "80:90", "1,2", "-1", "0x1/0xff", "1/s", "NEW", "52:54:00:00:00:01"),
        *("١٢", "²", "é", "10.0.0.1-10.0.0.2", "[::1]:80", "4294967296", "8/0"),
    }
)  # fmt: skip


@given(
    st.one_of(st.text(), st.lists(st.sampled_from(_VOCABULARY), max_size=12).map(" ".join)), st.sampled_from(FAMILIES)
)
@settings(max_examples=1500)
def test_any_text_is_a_rule_or_a_typed_error(text: str, family: int) -> None:
    with contextlib.suppress(InvalidArgument, Unsupported):
        assert isinstance(parse(text, family), Rule)
