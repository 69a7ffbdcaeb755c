"""Nova's textual tables: rules, one by one and all that Nova writes, and what comes of them in the model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from nova_rules import RULES, SECURITY_GROUPS
from nova_tables import OWNER, lines

from refnet import config
from refnet.errors import InvalidArgument, Unsupported
from refnet.firewall import ACCEPT, DROP, Capability, FirewallManager, Jump, Rule
from refnet.firewall.null import NullFirewall
from refnet.firewall.pf import PfManager
from refnet.firewall.pf.layout import laid_out
from refnet.firewall.text import parse, write


@pytest.fixture
def manager() -> Iterator[NullFirewall]:
    with NullFirewall(OWNER) as made:
        yield made


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
    nat = manager.ipv4["nat"]
    nat.add_chain("INPUT")  # of that name, and asked nowhere by itself
    with pytest.raises(Unsupported, match="addrtype"):
        nat.add_rule("INPUT", text)


@pytest.mark.parametrize("text", ["", "nonsense", "-s 10.0.0.300 -j DROP", "-j DROP\n-j ACCEPT", None, 7, b"-j DROP"])
def test_bad_text_is_refused_and_nothing_changes(manager: NullFirewall, text: Any) -> None:
    table = manager.ipv4["filter"]
    before = lines(table)
    with pytest.raises(ValueError, match=r"rule|-j|address|word|option"):
        table.add_rule("INPUT", text)
    assert lines(table) == before
    assert manager.rules("INPUT") == ()


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


# -- what a backend cannot ---------------------------------------------------------------------------


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


def test_all_of_novas_rules_can_stand_in_pf(caplog: pytest.LogCaptureFixture) -> None:
    manager = PfManager(OWNER)  # nothing of this asks the host
    for tables in (manager.ipv4, manager.ipv6):
        for name in ("sg-fallback", "provider", "inst-7"):
            tables["filter"].add_chain(name)
    for family, table, chain, text in RULES:
        (manager.ipv4 if family == 4 else manager.ipv6)[table].add_rule(chain, text)
    assert laid_out(OWNER, manager._model, ("eth0",))
    left_out = [one.args[0] for one in caplog.records if one.args and "is left out" in one.getMessage()]  # type: ignore[index]
    assert left_out == [
        "-o br100 -p udp -m udp --dport 68 -j CHECKSUM --checksum-fill",
        "-d 203.0.113.9 -p udp --dport 1000 -j DNAT --to 10.0.0.2:1194",
        "-d 203.0.113.3 -j DNAT --to 10.0.0.3",
        "-s 10.0.0.3 -m conntrack --ctstate DNAT -j SNAT --to-source 203.0.113.3",
    ]
    for table, chain, text in (
        ("filter", "FORWARD", "-m conntrack --ctstate DNAT -j ACCEPT"),
        ("nat", "POSTROUTING", "-m conntrack --ctstate DNAT -j ACCEPT"),
    ):
        with pytest.raises(Unsupported, match="translated"):
            manager.ipv4[table].add_rule(chain, text)
    text = "-s 10.0.0.0/16 -d 10.0.0.0/16 -m conntrack ! --ctstate DNAT -j ACCEPT"
    without = Rule(ACCEPT, source="10.0.0.0/16", destination="10.0.0.0/16")
    assert without in manager.rules("POSTROUTING", table="nat")
    manager.ipv4["nat"].remove_rule("POSTROUTING", text)
    assert without not in manager.rules("POSTROUTING", table="nat")
