"""Nova's textual tables: what code written for Nova's IptablesManager calls, and what comes of it in the model."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from nova_rules import RULES, SECURITY_GROUPS

from refnet import config
from refnet.errors import InvalidArgument, Mismatch, Unsupported
from refnet.firewall import ACCEPT, DROP, Capability, FirewallManager, Hook, Jump, Rule
from refnet.firewall.nova import owner_name
from refnet.firewall.null import NullFirewall
from refnet.firewall.text import parse, write

OWNER = "nova-compute"


@pytest.fixture
def manager() -> Iterator[NullFirewall]:
    with NullFirewall(OWNER) as made:
        yield made


class Undone(Exception):
    """Leaves a deferred block."""


@contextlib.contextmanager
def undone(manager: NullFirewall) -> Iterator[None]:
    """Have a deferred block taken back at its end."""
    with contextlib.suppress(Undone), manager.deferred():
        yield
        raise Undone


def lines(table: Any) -> list[str]:
    return [str(one) for one in table.rules]


# -- what stands -----------------------------------------------------------------------------------


def test_nothing_is_added_before_a_table_is_asked_for(manager: NullFirewall) -> None:
    manager.apply()
    assert manager.chains() == ()
    assert manager.ipv4
    assert manager.chains() != ()


def test_novas_standing_rules(manager: NullFirewall) -> None:
    assert sorted(manager.ipv4) == ["filter", "mangle", "nat"]
    assert sorted(manager.ipv6) == ["filter"]
    for tables in (manager.ipv4, manager.ipv6):
        assert lines(tables["filter"]) == [
            "[0:0] -A FORWARD -j nova-filter-top",
            "[0:0] -A OUTPUT -j nova-filter-top",
            "[0:0] -A nova-filter-top -j nova-compute-local",
            "[0:0] -A INPUT -j nova-compute-INPUT",
            "[0:0] -A OUTPUT -j nova-compute-OUTPUT",
            "[0:0] -A FORWARD -j nova-compute-FORWARD",
        ]
        assert tables["filter"].chains == {"local", "INPUT", "OUTPUT", "FORWARD"}
        assert tables["filter"].unwrapped_chains == {"nova-filter-top"}
    assert lines(manager.ipv4["nat"]) == [
        "[0:0] -A PREROUTING -j nova-compute-PREROUTING",
        "[0:0] -A OUTPUT -j nova-compute-OUTPUT",
        "[0:0] -A POSTROUTING -j nova-compute-POSTROUTING",
        "[0:0] -A POSTROUTING -j nova-postrouting-bottom",
        "[0:0] -A nova-postrouting-bottom -j nova-compute-snat",
        "[0:0] -A snat -j nova-compute-float-snat".replace("-A snat", "-A nova-compute-snat"),
    ]
    assert lines(manager.ipv4["mangle"]) == ["[0:0] -A POSTROUTING -j nova-compute-POSTROUTING"]


def test_the_top_is_asked_first_and_the_chains_stand_on_their_hooks(manager: NullFirewall) -> None:
    assert manager.ipv4["filter"].has_chain("local")
    assert ("filter", "at-FORWARD", Hook.FORWARD) in manager.chains()
    assert manager.rules("at-FORWARD") == (Rule(Jump("nova-filter-top"), family=4), Rule(Jump("FORWARD"), family=4))
    assert manager.rules("at-POSTROUTING", table="nat") == (
        Rule(Jump("POSTROUTING"), family=4),
        Rule(Jump("nova-postrouting-bottom"), family=4),
    )


def test_both_families_share_the_chains_of_the_model_and_not_the_rules(manager: NullFirewall) -> None:
    for tables in (manager.ipv4, manager.ipv6):
        tables["filter"].add_chain("inst-7")
        tables["filter"].add_rule("inst-7", "-j DROP")
    assert manager.rules("inst-7") == (Rule(DROP, family=4), Rule(DROP, family=6))
    manager.ipv4["filter"].remove_chain("inst-7")
    assert manager.rules("inst-7") == (Rule(DROP, family=6),)
    assert not manager.ipv4["filter"].has_chain("inst-7")
    assert manager.ipv6["filter"].has_chain("inst-7")
    manager.ipv6["filter"].remove_chain("inst-7")
    assert all(name != "inst-7" for _, name, _ in manager.chains())


# -- chains ----------------------------------------------------------------------------------------


def test_a_chain_goes_with_its_rules_and_the_jumps_to_it(manager: NullFirewall) -> None:
    table = manager.ipv4["filter"]
    for name in ("inst-1", "inst-10"):
        table.add_chain(name)
        table.add_rule(name, "-p tcp --dport 22 -j ACCEPT")
        table.add_rule("local", f"-d 10.0.0.1 -j ${name}")
        table.add_rule("FORWARD", f"-j ${name}")
    table.remove_chain("inst-1")
    assert [line for line in lines(table) if "inst-" in line] == [
        "[0:0] -A nova-compute-inst-10 -p tcp --dport 22 -j ACCEPT",
        "[0:0] -A nova-compute-local -d 10.0.0.1 -j nova-compute-inst-10",
        "[0:0] -A nova-compute-FORWARD -j nova-compute-inst-10",
    ]
    assert manager.rules("local") == (Rule(Jump("inst-10"), destination="10.0.0.1"),)


def test_chains_go_from_the_inner_to_the_outer(manager: NullFirewall) -> None:
    table = manager.ipv4["filter"]
    for name in ("inner", "outer"):
        table.add_chain(name)
    table.add_rule("outer", "-j $inner")
    for name in ("inner", "outer"):
        table.remove_chain(name)
    assert not {"inner", "outer"} & {name for _, name, _ in manager.chains()}


def test_an_unknown_chain_is_logged_when_removed_and_refused_when_added_to(
    manager: NullFirewall, caplog: pytest.LogCaptureFixture
) -> None:
    table = manager.ipv4["filter"]
    with caplog.at_level(logging.WARNING):
        table.remove_chain("inst-9")
        table.remove_chain("inst-9", wrap=False)
    assert [one.args for one in caplog.records] == [("inst-9",)] * 2
    table.empty_chain("inst-9")
    with pytest.raises(ValueError, match="Unknown chain: 'inst-9'"):
        table.add_rule("inst-9", "-j DROP")
    with pytest.raises(ValueError, match="inst-9"):
        table.add_rule("inst-9", "-j DROP", wrap=False)
    with pytest.raises(ValueError, match="PREROUTING"):
        table.add_rule("PREROUTING", "-j DROP", wrap=False)  # the filter table has none


def test_emptying_leaves_the_other_family(manager: NullFirewall) -> None:
    for tables in (manager.ipv4, manager.ipv6):
        tables["filter"].add_rule("INPUT", "-j ACCEPT")
        tables["filter"].add_rule("INPUT", "-j DROP", wrap=False)
    manager.ipv4["filter"].empty_chain("INPUT")
    assert manager.rules("INPUT") == (Rule(ACCEPT, family=6),)
    manager.ipv4["filter"].empty_chain("INPUT", wrap=False)
    assert manager.rules("at-INPUT") == (Rule(Jump("INPUT"), family=6), Rule(DROP, family=6))


def test_a_chain_that_other_rules_of_the_manager_jump_to_stays(manager: NullFirewall) -> None:
    table = manager.ipv4["filter"]
    table.add_chain("inst-1")
    table.add_rule("local", "-d 10.0.0.1 -j $inst-1")
    manager.add_chain("mine", hook="forward")
    manager.add_rule("mine", Rule(Jump("inst-1")))
    before = manager.rules("local"), lines(table)
    with pytest.raises(InvalidArgument, match="jump to chain inst-1"):
        table.remove_chain("inst-1")
    assert (manager.rules("local"), lines(table)) == before


@pytest.mark.parametrize("name", ["a-name-of-more-than-twenty-eight-characters", "x" * 80, "inst.1", "_x", "ü"])
def test_a_name_is_kept_whole(manager: NullFirewall, name: str) -> None:
    table = manager.ipv4["filter"]
    for one in (name, f"{name}2"):
        table.add_chain(one)
        table.add_rule("local", f"-d 10.0.0.{len(one)} -j ${one}")
        table.add_rule(one, "-j DROP")
    assert table.chains >= {name, f"{name}2"}
    table.remove_chain(name)
    assert table.has_chain(f"{name}2")
    assert len(manager.rules("local")) == 1


@pytest.mark.parametrize("name", ["", " ", "a b", "a\nb", "a\0b", "-a", "!a", "$a", None, 7, b"a", ["a"]])
def test_what_is_no_name_is_refused(manager: NullFirewall, name: Any) -> None:
    table = manager.ipv4["filter"]
    before = manager.chains()
    for wrap in (True, False):
        with pytest.raises(InvalidArgument):
            table.add_chain(name, wrap=wrap)
        with pytest.raises(InvalidArgument):
            table.add_rule(name, "-j DROP", wrap=wrap)
        assert not table.has_chain(name, wrap=wrap)
    assert manager.chains() == before


def test_a_name_is_wrapped_or_not(manager: NullFirewall) -> None:
    table = manager.ipv4["filter"]
    table.add_chain("both")
    with pytest.raises(InvalidArgument, match="both"):
        manager.ipv6["filter"].add_chain("both", wrap=False)
    with pytest.raises(InvalidArgument, match="nova-filter-top"):
        table.add_chain("nova-filter-top")
    with pytest.raises(Mismatch):
        table.add_chain("at-INPUT")
    table.add_chain("FORWARD", wrap=False)  # built in
    assert table.unwrapped_chains == {"nova-filter-top"}


def test_an_unwrapped_chain_is_this_owners_own(manager: NullFirewall) -> None:
    table = manager.ipv4["filter"]
    table.add_chain("shared", wrap=False)
    table.add_rule("shared", "-s 10.0.0.1 -j DROP", wrap=False)
    table.add_rule("INPUT", "-j shared", wrap=False, top=True)
    assert manager.rules("at-INPUT")[0] == Rule(Jump("shared"), family=4)
    assert str(table.rules[-2]) == "[0:0] -A shared -s 10.0.0.1 -j DROP"
    table.remove_chain("shared", wrap=False)
    assert manager.rules("at-INPUT") == (Rule(Jump("INPUT"), family=4),)


# -- rules -----------------------------------------------------------------------------------------


def test_top_rules_come_first_in_their_order(manager: NullFirewall) -> None:
    for tables in (manager.ipv4, manager.ipv6):
        table = tables["filter"]
        for number in (1, 2):
            table.add_rule("INPUT", f"-p tcp --dport {number} -j DROP")
        for number in (3, 4, 5):
            table.add_rule("INPUT", f"-p tcp --dport {number} -j DROP", top=True)
    for family in (4, 6):
        found = [one for one in manager.rules("INPUT") if one.family == family]
        assert [one.destination_ports.values[0].first for one in found if one.destination_ports] == [3, 4, 5, 1, 2]


def test_a_rule_is_there_once_and_goes_once(manager: NullFirewall, caplog: pytest.LogCaptureFixture) -> None:
    table = manager.ipv4["filter"]
    table.add_rule("INPUT", "-s 10.0.0.1 -j DROP")
    table.add_rule("INPUT", "-s 10.0.0.1/32 -j DROP")
    assert len(manager.rules("INPUT")) == 1
    table.remove_rule("INPUT", "-j DROP -s 10.0.0.1")
    assert manager.rules("INPUT") == ()
    assert caplog.records == []
    for text in ("-s 10.0.0.1 -j DROP", "nonsense", "-m physdev --physdev-in x -j DROP", "-j $nowhere"):
        table.remove_rule("INPUT", text)
    table.remove_rule("nowhere", "-j DROP")
    table.remove_rule("nowhere", "-j DROP", wrap=False)
    assert [one.levelname for one in caplog.records] == ["WARNING"] * 6
    assert caplog.records[0].args == ("INPUT", "-s 10.0.0.1 -j DROP", True, False)


def test_a_wrapped_target_can_be_written_in_full(manager: NullFirewall) -> None:
    table = manager.ipv4["filter"]
    table.add_rule("INPUT", "-s 10.0.0.1 -j nova-compute-local")
    assert manager.rules("INPUT") == (Rule(Jump("local"), source="10.0.0.1"),)
    table.remove_rule("INPUT", "-s 10.0.0.1 -j $local")
    assert manager.rules("INPUT") == ()


@pytest.mark.parametrize("target", ["$nowhere", "nowhere", "FORWARD", "nova-compute-nowhere", "x-local", "local"])
def test_a_jump_to_nowhere_is_refused(manager: NullFirewall, target: str) -> None:
    table = manager.ipv4["filter"]
    with pytest.raises(ValueError, match=re.escape(target.lstrip("$"))):
        table.add_rule("INPUT", f"-j {target}")
    assert manager.rules("INPUT") == ()


def test_floating_addresses_are_removed_by_expression(manager: NullFirewall) -> None:
    table = manager.ipv4["nat"]
    before = lines(table)
    for address in ("203.0.113.1", "203.0.113.10"):
        table.add_rule("float-snat", f"-s 10.0.0.3 -j SNAT --to {address} -d 10.0.0.3")
        table.add_rule("float-snat", f"-s 10.0.0.3 -j SNAT --to {address}")
        table.add_rule("PREROUTING", f"-d {address} -j DNAT --to 10.0.0.3")
        table.add_rule("OUTPUT", f"-d {address}/32 -j DNAT --to 10.0.0.3")
    assert table.remove_rules_regex(r".*\s+203.0.113.1(/32|\s+|$)") == 4
    assert len(lines(table)) == len(before) + 4
    assert all("203.0.113.10" in line for line in lines(table)[len(before) :])
    assert table.remove_rules_regex(re.compile(r"\[0:0\] -A nova-compute-OUTPUT ")) == 1
    assert table.remove_rules_regex("OUTPUT") == 0  # from the beginning, as Nova matched
    for wrong in ("(", None, 7):
        with pytest.raises(InvalidArgument):
            table.remove_rules_regex(wrong)


def test_neutrons_tag_and_comment(manager: NullFirewall) -> None:
    table = manager.ipv4["filter"]
    table.add_rule("INPUT", "-s 10.0.0.1 -j DROP", tag="port-1", comment="Drop it.")
    table.add_rule("INPUT", "-s 10.0.0.2 -j DROP", tag="port-2")
    assert manager.rules("INPUT")[0] == Rule(DROP, source="10.0.0.1", comment="Drop it.")
    table.remove_rule("INPUT", "-s 10.0.0.1 -j DROP", comment="Drop it.")
    assert manager.rules("INPUT") == (Rule(DROP, source="10.0.0.2"),)
    table.clear_rules_by_tag("")
    table.clear_rules_by_tag("port-2")
    assert manager.rules("INPUT") == ()
    with pytest.raises(InvalidArgument):
        table.add_rule("INPUT", "-j DROP", comment='x" -j ACCEPT -m comment --comment "')


def test_a_local_metadata_service(manager: NullFirewall) -> None:
    table = manager.ipv4["filter"]
    text = "-p tcp -m tcp --dport 8775 -m addrtype --dst-type LOCAL -j ACCEPT"
    table.add_rule("INPUT", text)
    assert manager.rules("INPUT") == (Rule(ACCEPT, family=4, protocol="tcp", destination_ports=8775),)
    assert str(table.rules[-1]) == f"[0:0] -A nova-compute-INPUT {text}"
    for chain, wider in (("INPUT", text.replace("tcp", "udp")), ("FORWARD", text)):
        with pytest.raises(Unsupported, match="addrtype"):
            table.add_rule(chain, wider)


@pytest.mark.parametrize("text", ["", "nonsense", "-s 10.0.0.300 -j DROP", "-j DROP\n-j ACCEPT", None, 7, b"-j DROP"])
def test_bad_text_is_refused_and_nothing_changes(manager: NullFirewall, text: Any) -> None:
    table = manager.ipv4["filter"]
    before = lines(table)
    with pytest.raises(ValueError, match=r"rule|-j|address|word|option"):
        table.add_rule("INPUT", text)
    assert lines(table) == before
    assert manager.rules("INPUT") == ()


# -- apply, deferred, teardown ---------------------------------------------------------------------


def test_an_undone_block_takes_everything_back(manager: NullFirewall) -> None:
    table = manager.ipv4["filter"]
    table.add_chain("inst-1")
    table.add_rule("inst-1", "-s 10.0.0.1 -j DROP", tag="one")
    table.add_rule("local", "-d 10.0.0.9 -j $inst-1")
    before = manager.chains(), lines(table), table.chains, lines(manager.ipv6["filter"])
    with undone(manager):
        table.remove_chain("inst-1")
        table.add_chain("inst-2")
        table.add_rule("INPUT", "-j $inst-2", top=True)
        manager.ipv6["filter"].add_chain("inst-1")
    after = manager.chains(), sorted(lines(table)), table.chains, lines(manager.ipv6["filter"])
    assert after == (before[0], sorted(before[1]), before[2], before[3])
    assert not manager.ipv6["filter"].has_chain("inst-1")
    table.clear_rules_by_tag("one")
    assert manager.rules("inst-1") == ()


def test_only_the_block_that_failed_is_taken_back(manager: NullFirewall) -> None:
    table = manager.ipv4["filter"]
    with manager.deferred():
        table.add_chain("kept")
        table.add_rule("kept", "-j DROP")
    with undone(manager):
        pass
    assert table.has_chain("kept")
    assert lines(table)[-1] == "[0:0] -A nova-compute-kept -j DROP"
    with undone(manager):
        table.add_chain("gone")
    assert table.has_chain("kept")
    assert not table.has_chain("gone")


def test_tables_that_were_first_asked_for_in_an_undone_block_stand_anew(manager: NullFirewall) -> None:
    with undone(manager):
        table = manager.ipv4["filter"]
        table.add_chain("inst-1")
    assert manager.chains() == ()
    assert not table.has_chain("inst-1")
    table.add_rule("INPUT", "-j DROP")
    assert manager.rules("INPUT") == (Rule(DROP, family=4),)
    assert manager.rules("at-INPUT") == (Rule(Jump("INPUT"), family=4),)


def test_after_a_teardown_tables_begin_anew(manager: NullFirewall) -> None:
    table = manager.ipv4["filter"]
    table.add_chain("inst-1")
    manager.teardown()
    assert manager.chains() == ()
    assert not table.has_chain("inst-1")
    table.add_rule("INPUT", "-j DROP")
    assert lines(table) == lines(manager.ipv4["filter"])
    assert len(lines(table)) == 7


def test_deferring_as_nova_does(manager: NullFirewall) -> None:
    manager.defer_apply_on()
    manager.ipv4["filter"].add_rule("INPUT", "-j DROP")
    manager.apply()
    manager.defer_apply_off()
    assert manager.rules("INPUT") == (Rule(DROP, family=4),)


# -- Nova's own ------------------------------------------------------------------------------------


def test_all_of_novas_rules_are_taken_kept_and_written(manager: NullFirewall) -> None:
    for tables in (manager.ipv4, manager.ipv6):
        for name in ("sg-fallback", "provider", "inst-7"):
            tables["filter"].add_chain(name)
    for family, table, chain, text in RULES:
        (manager.ipv4 if family == 4 else manager.ipv6)[table].add_rule(chain, text)
    manager.apply()
    for family, tables in ((4, manager.ipv4), (6, manager.ipv6)):
        for name in tables:
            known = {str(one) for one in tables[name].rules}
            for of, table, chain, text in RULES:
                if (of, table) == (family, name):
                    assert f"[0:0] -A nova-compute-{chain} {text.replace('$', 'nova-compute-')}" in known
    for table, chain, _ in manager.chains():
        for one in manager.rules(chain, table=table):
            assert one.family
            (line,) = write(one, one.family).lines
            assert parse(line, one.family) == one
    for family, table, chain, text in RULES:
        (manager.ipv4 if family == 4 else manager.ipv6)[table].remove_rule(chain, text)
    assert len(manager.ipv4["filter"].rules) == 6
    assert len(manager.ipv4["nat"].rules) == 6
    assert len(manager.ipv6["filter"].rules) == 6


@pytest.mark.parametrize(
    "backend",
    [
        "refnet.firewall.iptables.manager:LegacyIptablesManager",
        "refnet.firewall.iptables.manager:NftIptablesManager",
        "refnet.firewall.nftables.manager:NftablesManager",
    ],
)
def test_all_of_novas_rules_stand_on_a_host(stack: object, backend: str) -> None:
    with config.load_class("refnet.firewall", backend, FirewallManager)(OWNER) as manager:  # type: ignore[type-abstract]
        for tables in (manager.ipv4, manager.ipv6):
            for name in ("sg-fallback", "provider", "inst-7"):
                tables["filter"].add_chain(name)
        refused = []
        for family, table, chain, text in RULES:
            try:
                (manager.ipv4 if family == 4 else manager.ipv6)[table].add_rule(chain, text)
            except Unsupported as error:
                refused.append((text.partition(" -j ")[2], error.capability))
        assert refused in ([], [("CHECKSUM --checksum-fill", "checksum-fill")])
        manager.apply()
        stands = {(one.table, one.name): one.rules for one in manager.standing()}
        for table, chain, _ in manager.chains():
            assert sorted(map(str, stands[table, chain])) == sorted(map(str, manager.rules(chain, table=table)))
        manager.ipv4["filter"].remove_chain("inst-7")
        manager.apply()
        assert {one.family for one in manager.rules("inst-7") if isinstance(one, Rule)} == {6}
        manager.teardown()
        assert manager.standing() == ()


def test_an_instance_is_refreshed_in_one_block(manager: NullFirewall) -> None:
    def add() -> None:
        for tables in (manager.ipv4, manager.ipv6):
            tables["filter"].add_chain("inst-7")
        for family, table, chain, text in SECURITY_GROUPS:
            if chain in ("local", "inst-7"):
                (manager.ipv4 if family == 4 else manager.ipv6)[table].add_rule(chain, text)

    for tables in (manager.ipv4, manager.ipv6):
        for name in ("sg-fallback", "provider"):
            tables["filter"].add_chain(name)
    with manager.deferred():
        add()
    before = [manager.rules(chain, table=table) for table, chain, _ in manager.chains()]
    with manager.deferred():
        for tables in (manager.ipv4, manager.ipv6):
            tables["filter"].remove_chain("inst-7")
        assert manager.rules("local") == ()
        add()
    assert [manager.rules(chain, table=table) for table, chain, _ in manager.chains()] == before


# -- owners ----------------------------------------------------------------------------------------


def test_an_owner_from_a_programs_name() -> None:
    assert owner_name("nova-compute") == "nova-compute"
    assert owner_name("/usr/bin/nova-network") == "nova-network"
    long = {owner_name(name) for name in ("nova-api-metadata", "nova-api-metadatb", "nova-api-metadat")}
    assert len(long) == 3
    assert all(len(one) <= 16 for one in long)
    assert owner_name("nova-api-metadata") == owner_name("/opt/bin/nova-api-metadata")
    for wrong in ("", "/", "/usr/bin/", None, 7):
        with pytest.raises(InvalidArgument):
            owner_name(wrong)  # type: ignore[arg-type]


@given(st.text(min_size=1).filter(lambda name: "/" not in name))
def test_every_program_has_an_owner(name: str) -> None:
    with NullFirewall(owner_name(name)) as made:
        assert made.owner == owner_name(name)


# -- any sequence of calls -------------------------------------------------------------------------

_CHAINS = st.sampled_from(["INPUT", "local", "inst-1", "inst-2", "inst-22"])
_TEXTS = st.sampled_from(
    ["-s {} -j DROP", "-j ACCEPT", "-p tcp --dport 22 -j ACCEPT", "-j $inst-1", "-d {} -j $inst-2"]
)
_FAMILIES = st.sampled_from([4, 6])


class Calls(RuleBasedStateMachine):
    """Drives one manager's tables beside a plain model of what Nova's would hold."""

    def __init__(self) -> None:
        super().__init__()
        self.manager = NullFirewall(OWNER)
        self.chains: dict[int, set[str]] = {}
        self.rules: dict[int, list[tuple[str, str]]] = {}
        for family in (4, 6):
            self.chains[family] = set(self.table(family).chains)
            self.rules[family] = []
        self.standing = {family: lines(self.table(family)) for family in (4, 6)}

    def table(self, family: int) -> Any:
        return (self.manager.ipv4 if family == 4 else self.manager.ipv6)["filter"]

    def text(self, family: int, text: str) -> str:
        return text.format("10.0.0.1" if family == 4 else "2001:db8::1")

    @rule(family=_FAMILIES, chain=_CHAINS)
    def add_chain(self, family: int, chain: str) -> None:
        self.table(family).add_chain(chain)
        self.chains[family].add(chain)

    @rule(family=_FAMILIES, chain=st.sampled_from(["inst-1", "inst-2", "inst-22"]))
    def remove_chain(self, family: int, chain: str) -> None:
        self.table(family).remove_chain(chain)
        if chain in self.chains[family]:
            self.chains[family].discard(chain)
            self.rules[family] = [
                (of, text) for of, text in self.rules[family] if of != chain and not text.endswith(f"-j ${chain}")
            ]

    @rule(family=_FAMILIES, chain=_CHAINS, text=_TEXTS)
    def add_rule(self, family: int, chain: str, text: str) -> None:
        text = self.text(family, text)
        target = text.partition("$")[2]
        is_wrong = chain not in self.chains[family] or bool(
            target and (target not in self.chains[family] or self._leads_back(target, chain))
        )
        if is_wrong:
            with pytest.raises(InvalidArgument):
                self.table(family).add_rule(chain, text)
            return
        self.table(family).add_rule(chain, text)
        if (chain, text) not in self.rules[family]:
            self.rules[family].append((chain, text))

    def _leads_back(self, target: str, chain: str) -> bool:
        """Say whether a jump would close a circle; the families share the model's chains."""
        both = [*self.rules[4], *self.rules[6]]
        seen, left = {target}, [target]
        while left:
            one = left.pop()
            for of, text in both:
                to = text.partition("$")[2]
                if of == one and to and to not in seen:
                    seen.add(to)
                    left.append(to)
        return chain in seen

    @rule(family=_FAMILIES, chain=_CHAINS, text=_TEXTS)
    def remove_rule(self, family: int, chain: str, text: str) -> None:
        text = self.text(family, text)
        self.table(family).remove_rule(chain, text)
        self.rules[family] = [one for one in self.rules[family] if one != (chain, text)]

    @rule(family=_FAMILIES, chain=_CHAINS)
    def empty_chain(self, family: int, chain: str) -> None:
        self.table(family).empty_chain(chain)
        self.rules[family] = [one for one in self.rules[family] if one[0] != chain]

    @rule(family=_FAMILIES, word=st.sampled_from(["DROP", "inst-1", "22"]))
    def remove_by_expression(self, family: int, word: str) -> None:
        expression = rf".*-j (nova-compute-)?{word}$|.*dport {word} "
        gone = [one for one in self.rules[family] if re.match(expression, self._line(*one))]
        assert self.table(family).remove_rules_regex(expression) == len(gone)
        self.rules[family] = [one for one in self.rules[family] if one not in gone]

    @rule(family=_FAMILIES, chain=_CHAINS, text=_TEXTS)
    def undone_block(self, family: int, chain: str, text: str) -> None:
        with undone(self.manager):
            table = self.table(family)
            table.add_chain("new")
            table.add_rule("new", self.text(family, "-s {} -j DROP"))
            table.empty_chain(chain)
            table.remove_rules_regex(".*-j ACCEPT")
            table.remove_chain("inst-1")

    @rule()
    def done(self) -> None:
        with self.manager.deferred():
            pass

    def _line(self, chain: str, text: str) -> str:
        return f"[0:0] -A nova-compute-{chain} {text.replace('$', 'nova-compute-')}"

    @invariant()
    def is_as_novas(self) -> None:
        for family in (4, 6):
            table = self.table(family)
            assert table.chains == self.chains[family]
            assert sorted(lines(table)) == sorted(
                [*self.standing[family], *(self._line(*one) for one in self.rules[family])]
            )
            for chain in self.chains[family]:
                mine = [one for one in self.manager.rules(chain) if one.family == family]
                assert len(mine) == sum(1 for of, _ in self.rules[family] if of == chain)


def test_any_sequence_of_calls() -> None:
    run_state_machine_as_test(Calls, settings=settings(max_examples=60, stateful_step_count=40))  # type: ignore[no-untyped-call]


def test_what_a_backend_cannot_fill_in_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    class NoChecksums(NullFirewall):
        lacks = {Capability.CHECKSUM_FILL: "no checksums here"}  # noqa: RUF012

    manager = NoChecksums("nova-network")
    text = "-o br100 -p udp -m udp --dport 68 -j CHECKSUM --checksum-fill"
    manager.ipv4["mangle"].add_rule("POSTROUTING", text)
    assert f"{text} is left out: no checksums here" in caplog.text
    assert manager.rules("POSTROUTING", table="mangle") == ()


def test_rules_for_ipv6_are_left_out_on_a_host_without_it(caplog: pytest.LogCaptureFixture) -> None:
    class NoIPv6(NullFirewall):
        lacks = {Capability.FIREWALL_IPV6: "no IPv6 here"}  # noqa: RUF012

    manager = NoIPv6("nova-network")
    manager.ipv6["filter"].add_chain("sg-fallback")
    manager.ipv6["filter"].add_rule("sg-fallback", "-j DROP")
    assert "-j DROP is left out: no IPv6 here" in caplog.text
    assert manager.rules("sg-fallback") == ()
