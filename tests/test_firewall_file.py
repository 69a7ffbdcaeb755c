"""Rule files, and rules in words: pure."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest

from refnet.errors import InvalidArgument, Unsupported
from refnet.firewall import (
    ACCEPT,
    CHECKSUM_FILL,
    DROP,
    RETURN,
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
    file,
    words,
)
from refnet.firewall.null import NullFirewall

try:
    import tomllib
except ImportError:  # Python 3.10
    import tomli as tomllib  # type: ignore[no-redef]

DOCS = Path(__file__).parent.parent / "docs" / "firewall.md"

#: Each with what it is in words.
RULES = {
    Rule(ACCEPT): "accept packets",
    Rule(DROP, family=6): "drop IPv6 packets",
    Rule(RETURN, protocol=47): "go back from here with GRE",
    Rule(Jump("other"), protocol=200): "ask chain other about protocol 200",
    Rule(
        ACCEPT, protocol="tcp", source="192.0.2.0/24", destination="198.51.100.7", destination_ports=[22, "8000-8010"]
    ): "accept IPv4 TCP from 192.0.2.0/24 to 198.51.100.7 ports 22 or 8000-8010",
    Rule(DROP, source=Not("192.0.2.7", "192.0.2.8")): "drop IPv4 packets from any but 192.0.2.7 or 192.0.2.8",
    Rule(
        DROP, protocol="tcp", destination=Not("192.0.2.7"), destination_ports=Not(22)
    ): "drop IPv4 TCP to port any but 22 of any but 192.0.2.7",
    Rule(DROP, protocol="udp", source=Not("192.0.2.7"), source_ports=[1, 2]): (
        "drop IPv4 UDP from ports 1 or 2 of any but 192.0.2.7"
    ),
    Rule(ACCEPT, protocol="udp", source_ports=68, destination_ports=67): "accept UDP from port 68 to port 67",
    Rule(ACCEPT, protocol="icmp", icmp_type="3/4"): "accept ICMP type 3/4",
    Rule(ACCEPT, protocol="icmpv6", icmp_type=128): "accept ICMPv6 type 128",
    Rule(ACCEPT, in_interface="a", out_interface=Not("b")): "accept packets that came by a and leave by any but b",
    Rule(DROP, out_interface="b"): "drop packets that leave by b",
    Rule(DROP, source_mac="02:00:00:00:00:01"): "drop packets sent by 02:00:00:00:00:01",
    Rule(ACCEPT, states={"established", "new"}): "accept packets, connection state established or new",
    Rule(DROP, mark=(1, 3)): "drop packets, marked 0x1 in the bits 0x3",
    Rule(ACCEPT, limit="10/minute"): "accept packets, at most 10 a minute (bursts of 5)",
    Rule(ACCEPT, limit=(1, "hour", 1)): "accept packets, at most 1 an hour (bursts of 1)",
    Rule(Reject(), comment="no more"): "reject packets, answering port-unreachable  # no more",
    Rule(Reject("tcp-reset"), protocol="tcp"): "reject TCP, answering tcp-reset",
    Rule(Snat("192.0.2.1")): "change the source of IPv4 packets, to 192.0.2.1",
    Rule(
        Dnat("2001:db8::1", (80, 81)), protocol="tcp"
    ): "change the destination of IPv6 TCP, to 2001:db8::1 one of ports 80-81",
    Rule(Redirect(8080), protocol="tcp"): "take in TCP, at port 8080 of this host",
    Rule(Masquerade(), source="192.0.2.0/24"): "masquerade IPv4 packets from 192.0.2.0/24",
    Rule(Masquerade((1024, 2047)), protocol="udp"): "masquerade UDP, with one of ports 1024-2047",
    Rule(Log("dropped: ")): "log packets, beginning with 'dropped: '",
    Rule(Log()): "log packets",
    Rule(SetMark(5)): "mark packets, with 0x5",
    Rule(CHECKSUM_FILL, protocol="udp", destination_ports=68): "fill in the checksum of UDP to port 68",
}


@pytest.mark.parametrize("rule", RULES, ids=RULES.values())
def test_a_rule_in_words(rule: Rule) -> None:
    assert words.rule(rule) == RULES[rule]


@pytest.mark.parametrize("rule", RULES, ids=RULES.values())
def test_a_rule_comes_back_from_its_table(rule: Rule) -> None:
    assert file.rule_of(file.plain(rule)) == rule


def test_the_file_in_the_docs_is_one() -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    rules = file.parse(tomllib.loads(text))
    assert rules.owner == "web"
    assert [(chain.name, chain.table, len(chain.rules)) for chain in rules.chains] == [
        ("guests", "filter", 2),
        ("in", "nat", 1),
    ]
    manager = NullFirewall(rules.owner)
    rules.load(manager)
    assert manager.rules("in", table="nat") == rules.chains[1].rules
    assert manager.port_guards() == (PortGuard("tap1", "52:54:00:12:34:56", ["192.0.2.7"]),)
    assert [str(one.address) for one in manager.dhcp_isolations()] == ["192.0.2.1"]


def test_the_actions_in_the_docs_are_some() -> None:
    text = DOCS.read_text(encoding="utf-8").rpartition("Actions are")[2]
    found = re.findall(r"`(\{ \w.*? \}|\"[a-z-]+\")`", text)
    assert len(found) == 15
    for action in found:
        protocol = {} if action == '"reject"' else {"protocol": "tcp"}
        assert file.rule_of({**tomllib.loads(f"action = {action}"), **protocol})


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("x = 1", "the file has an unknown key 'x': known are owner, chain"),
        ("owner = 'a b'", "owner 'a b' is not possible"),
        ("owner = 7", "owner 7 is not possible"),
        ("chain = 1", "chain is not a list of tables: write [[chain]]"),
        ("chain = [1]", "chain is not a list of tables"),
        ("[[chain]]", "chain 1: it has no 'name', which is needed"),
        ("[[chain]]\nname = 'a'\ntable = 'raw'", "chain 'a': table 'raw' is none: there are filter, nat, mangle"),
        ("[[chain]]\nname = 'a'\nrules = []", "chain 'a': it has an unknown key 'rules': known are name"),
        ("[[chain]]\nname = 'a'\n[[chain.rule]]", "chain 'a', rule 1: it has no 'action'"),
        ("[[chain]]\nname = 'a'\n[[chain.rule]]\naction = 'allow'", "rule 1: action 'allow' is none: there are accept"),
        ("[[chain]]\nname = 'a'\n[[chain.rule]]\naction = {}", "rule 1: action {} is none"),
        ("[[chain]]\nname = 'a'\n[[chain.rule]]\naction = {jump = 'b', snat = '192.0.2.1'}", "is none: there are"),
        (
            "[[chain]]\nname = 'a'\n[[chain.rule]]\naction = {jump = 'b', ports = 1}",
            "the action jump has an unknown key",
        ),
        ("[[chain]]\nname = 'a'\n[[chain.rule]]\naction = 'drop'\nsource = {but = '192.0.2.1'}", "unknown key 'but'"),
        ("[[chain]]\nname = 'a'\n[[chain.rule]]\naction = 'drop'\nsource = '192.0.2.1/24'", "write '192.0.2.0/24'"),
        ("[[chain]]\nname = 'a'\n[[chain.rule]]\naction = 'drop'\nsource = 1979-05-27", "is not an address"),
        ("[[chain]]\nname = 'a'\n[[chain.rule]]\naction = 'drop'\nlimit = 1.5", "limit 1.5 is not possible"),
        ("[[chain]]\nname = 'a'\n[[chain]]\nname = 'a'", "chain 'a': table filter has this chain already"),
        ("[[port-guard]]\nport = 'tap1'", "port-guard 1: it has no 'mac-address'"),
        ("[[port-guard]]\nport = 'a b'\nmac-address = '52:54:00:12:34:56'", "port 'a b' is not possible"),
        ("[[dhcp-isolation]]\ninterface = 'eth1'\naddress = '::1'", "::1 is not an IPv4 address"),
    ],
)
def test_what_cannot_be_is_said_with_its_place(document: str, said: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        file.parse(tomllib.loads(document))
    assert said in str(raised.value)


def test_a_rule_that_the_manager_does_not_take_is_said_with_its_place() -> None:
    class NoMarks(NullFirewall):
        from refnet.firewall import Capability

        lacks = {Capability.MARK: "no marks here"}  # noqa: RUF012 - as mappings of backends are

    rules = file.parse(tomllib.loads("[[chain]]\nname = 'a'\ntable = 'mangle'\n[[chain.rule]]\naction = {mark = 1}"))
    with pytest.raises(Unsupported) as raised:
        rules.load(NoMarks("web"))
    assert str(raised.value) == "chain 'a', rule 1: no marks here"


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"a =", "is no TOML"), (b"\xff", "is no TOML"), (b"a = " + b"[" * 100_000, "is no TOML"), (None, "No such file")],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "rules.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidArgument) as raised:
        file.read(path)
    assert said in str(raised.value)
    assert str(path) in str(raised.value)


def test_a_dash_is_the_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    class Input:
        buffer = io.BytesIO(b"owner = 'me'")

    monkeypatch.setattr("sys.stdin", Input)
    assert file.read("-").owner == "me"


@pytest.mark.parametrize(
    ("guard", "said"),
    [
        ({}, "port tap1: only from 52:54:00:12:34:56 with any address"),
        ({"addresses": []}, "port tap1: only from 52:54:00:12:34:56 with no address of its own"),
        (
            {"addresses": ["192.0.2.7", "192.0.2.128/25"], "dhcp_server": True, "router": True},
            "port tap1: only from 52:54:00:12:34:56 with 192.0.2.7 or 192.0.2.128/25; "
            "it may answer DHCP and send router advertisements",
        ),
        (
            {"neighbour_targets": True},
            "port tap1: only from 52:54:00:12:34:56 with any address; what it tells of its neighbours is looked at",
        ),
    ],
)
def test_a_guard_in_words(guard: dict[str, Any], said: str) -> None:
    assert words.guard(PortGuard("tap1", "52:54:00:12:34:56", **guard)) == said
