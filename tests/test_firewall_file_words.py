"""Rule files that are none: which file, which place in it, what is wrong, and what was perhaps meant."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refnet import toml_file
from refnet.errors import InvalidArgument, Unsupported
from refnet.firewall import file, words
from refnet.firewall.iptables import IptablesManager
from refnet.firewall.nftables import NftablesManager
from refnet.firewall.null import NullFirewall
from refnet.firewall.pf import PfManager

CHAIN = "[[chain]]\nname = 'a'\nhook = 'input'\n"
RULE = f"{CHAIN}[[chain.rule]]\naction = 'drop'\n"


def load(path: Path) -> NullFirewall:
    rules = file.read(path)
    manager = NullFirewall(rules.owner)
    rules.load(manager)
    return manager


def refusal(path: Path, content: str | bytes) -> str:
    """Return what is said of a file's content, by reading it or by the manager that it is for."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(InvalidArgument) as raised:
        load(path)
    said = str(raised.value)
    assert said.isprintable()
    return said


@pytest.mark.parametrize(
    ("content", "place", "said"),
    [
        (f"{RULE}sorce = '192.0.2.1'", "chain 'a', rule 1", "it has an unknown key 'sorce'"),
        (f"{RULE}{RULE[len(CHAIN) :]}source = '192.0.2'", "chain 'a', rule 2", "address '192.0.2' is not an address"),
        (f"{CHAIN}[[chain.rule]]\naction = {{ jump = 'b' }}", "chain 'a', rule 1", "there is no chain 'b' in table"),
        ("[[chain]]\nname = 'a'\nhook = 'up'", "chain 'a'", "hook 'up' is none"),
        ("[[chain]]\nname = 'a b'", "chain 'a b'", "chain 'a b' is not possible: 1 to 64 of"),
        ("[[chain]]\nname = 'a'\nrule = 'drop'", "chain 'a'", "rule is not a list of tables: write [[chain.rule]]"),
        ("[[port-guard]]\nport = 'tap1'\nmac-address = 5", "port-guard 1", "MAC address 5 is not six"),
        ("owner = 'a b'", "", "owner 'a b' is not possible"),
        (f'{RULE}comment = "\\u001b[31m"', "chain 'a', rule 1", "comment '\\x1b[31m' is not possible"),
    ],
)
def test_the_file_and_the_place_are_said(tmp_path: Path, content: str, place: str, said: str) -> None:
    path = tmp_path / "rules.toml"
    assert refusal(path, content).startswith(": ".join(filter(None, [f"rule file '{path}'", place, said])))


@pytest.mark.parametrize(
    ("content", "meant"),
    [
        ("[[chian]]\nname = 'a'", "chain"),
        ("portguard = 1", "port-guard"),
        ("[[chain]]\nname = 'a'\nhok = 'input'", "hook"),
        (f"{RULE}sorce = '192.0.2.1'", "source"),
        (f"{RULE}destination_ports = 80", "destination-ports"),
        (f"{CHAIN}[[chain.rule]]\naction = 'DROP'", "drop"),
        (f"{CHAIN}[[chain.rule]]\naction = 'jmp'", "jump"),
        ("[[port-guard]]\nport = 'tap1'\nmac_address = '52:54:00:12:34:56'", "mac-address"),
    ],
)
def test_what_was_perhaps_meant_is_said(tmp_path: Path, content: str, meant: str) -> None:
    assert refusal(tmp_path / "rules.toml", content).endswith(f" (did you mean {meant!r}?)")


def test_nothing_is_meant_by_what_is_like_nothing(tmp_path: Path) -> None:
    for content in (f"{RULE}'' = 1", f"{RULE}{'x' * 1000} = 1", f"{CHAIN}[[chain.rule]]\naction = 5"):
        assert "did you mean" not in refusal(tmp_path / "rules.toml", content)


@pytest.mark.parametrize("key", ["family", "protocol", "icmp-type", "mark", "limit", "comment"])
def test_of_some_keys_there_is_no_opposite(tmp_path: Path, key: str) -> None:
    said = refusal(tmp_path / "rules.toml", f"{RULE}{key} = {{ not = 'x' }}")
    assert said.endswith(f"rule 1: {key} {{'not': 'x'}} is not possible: write one value, not a table")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (f"{RULE}[[chain.rule]]\naction = 'accept'\n{RULE[len(CHAIN) :]}", "rule 3: it says the same as rule 1"),
        (f"{RULE}protocol = 6\n{RULE[len(CHAIN) :]}protocol = 'tcp'", "rule 2: it says the same as rule 1"),
        ("[[port-guard]]\nport = 't'\nmac-address = '52:54:00:12:34:56'\n" * 2, "port-guard 2: port 't' has a guard"),
        (CHAIN * 2, "chain 'a': table filter has this chain already"),
    ],
)
def test_what_is_said_twice_is_no_second_one(tmp_path: Path, content: str, said: str) -> None:
    assert said in refusal(tmp_path / "rules.toml", content)


def test_a_comment_tells_rules_apart(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(f"{RULE}{RULE[len(CHAIN) :]}comment = 'again'")
    assert len(load(path).rules("a")) == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (RULE.encode("utf-16"), "is no TOML: line 1 is not UTF-8 text (byte 0xff)"),
        (f"{RULE}comment = 'caf\xe9'".encode("latin-1"), "is no TOML: line 6 is not UTF-8 text (byte 0xe9)"),
        (f"{RULE}mark = {'9' * 5000}", "is no TOML: a number in it has thousands of digits"),
        (f"{RULE}source = {'[' * 5000}", "is no TOML: it is nested too deep"),
        (f"{RULE}comment = 'a\0b'", "is no TOML: Found invalid character '\\x00' (at line 6"),
        (b"\x7fELF\x02\x01\x01", "is no TOML: "),
    ],
)
def test_what_is_no_toml_is_said_without_pythons_words(tmp_path: Path, content: str | bytes, said: str) -> None:
    path = tmp_path / "rules.toml"
    assert refusal(path, content).startswith(f"the rule file '{path}' {said}")


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf" + RULE.encode(), RULE.replace("\n", "\r\n").encode()])
def test_files_of_other_systems_editors_are_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rules.toml"
    path.write_bytes(content)
    (chain,) = file.read(path).chains
    assert [words.rule(rule) for rule in chain.rules] == ["drop packets"]


def test_what_never_ends_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toml_file, "MAX_SIZE", 1 << 20)
    with pytest.raises(InvalidArgument, match="the rule file '/dev/zero' is larger than 1 MiB"):
        file.read("/dev/zero")
    path = tmp_path / "rules.toml"
    path.write_bytes(b"#" * (1 << 20))
    assert file.read(path).chains == ()


def test_a_process_without_a_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InvalidArgument, match="'-' cannot be read: this process has no standard input"):
        file.read("-")


# -- whatever a file says ---------------------------------------------------------------------------------

_TEXTS = st.text(max_size=4) | st.sampled_from(
    [
        "accept",
        "drop",
        "log",
        "masquerade",
        "b",
        "tcp",
        "udp",
        "icmp",
        "192.0.2.1",
        "2001:db8::/32",
        "10/minute",
        "new",
        "3/4",
        "80-90",
    ]
)
_VALUES: st.SearchStrategy[Any] = st.recursive(
    _TEXTS | st.integers() | st.integers(0, 70_000) | st.booleans() | st.floats() | st.dates() | st.times(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["not", "jump", "reject", "dnat", "ports", "log", "mark", "mask"]), inner, max_size=2
        )
    ),
    max_leaves=5,
)


def _with(keys: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=keys)


_RULES = st.fixed_dictionaries(
    {"action": st.sampled_from(["accept", "drop", "log", {"jump": "b"}, {"dnat": "192.0.2.7"}, {"mark": 3}]) | _VALUES},
    optional=dict.fromkeys(file._MATCHES, _VALUES),
)
_CHAINS = st.fixed_dictionaries(
    {"name": st.sampled_from("ab"), "rule": st.lists(_RULES, max_size=3) | _VALUES},
    optional={
        "hook": st.sampled_from(["input", "forward", "prerouting"]) | _VALUES,
        "table": st.sampled_from(["filter", "nat", "mangle"]) | _VALUES,
    },
)
_DOCUMENTS = _with(
    {
        "owner": _VALUES,
        "chain": st.lists(_CHAINS, max_size=2) | _VALUES,
        "port-guard": st.lists(_with(dict.fromkeys(file._GUARD, _VALUES)), max_size=2) | _VALUES,
        "dhcp-isolation": st.lists(_with({"interface": _VALUES, "address": _VALUES}), max_size=2) | _VALUES,
    }
)


@given(_DOCUMENTS)
def test_whatever_a_file_says_it_is_taken_or_refused_in_words(document: dict[str, Any]) -> None:
    try:
        rules = file.parse(document, "it")
    except InvalidArgument:
        return
    for chain in rules.chains:
        for rule in chain.rules:
            assert words.rule(rule).isprintable()
            assert file.rule_of(file.plain(rule)) == rule
    for kind in (NullFirewall, IptablesManager, NftablesManager, PfManager):
        with contextlib.suppress(InvalidArgument, Unsupported):
            rules.load(kind(rules.owner))
