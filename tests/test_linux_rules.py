"""What the suite sees of the rules of Linux's packet filters, and somebody else's rules, on real ones."""

import subprocess
import time

import pytest

from conformance.errors import SuiteError
from conformance.oracles import linux_rules
from conformance.oracles.state import as_diff, difference
from conformance.topology.routed import Flow, Routed

WHAT = "the proof"


def load(stack, text):
    stack.run("nft", "-f", "-", stdin=f"{text}\n")


def legacy_tables():
    names = []
    for family in ("ip", "ip6"):
        with open(f"/proc/thread-self/net/{family}_tables_names") as file:
            names += file.read().split()
    return names


def test_where_nothing_is_nothing_is_seen_and_nothing_is_made(stack):
    assert stack.look.rules() == {}
    assert stack.look.counters() == []
    stack.look.state()
    assert "rules.txt" not in stack.look.evidence()
    assert legacy_tables() == []
    assert linux_rules.nft_tables() == []


def test_to_look_starts_no_program_where_nothing_is(stack, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a program was started")

    monkeypatch.setattr(subprocess, "run", refuse)
    assert stack.look.rules() == {}


@pytest.mark.parametrize("program", ["iptables-legacy", "ip6tables-legacy", "iptables-nft", "ip6tables-nft"])
def test_rules_of_iptables_are_seen_as_they_were_written(stack, program):
    stack.run(program, "-A", "FORWARD", "-p", "udp", "-m", "multiport", "--dports", "1,2", "-j", "DROP")
    stack.run(program, "-A", "FORWARD", "-m", "comment", "--comment", "of nobody", "-j", "RETURN")
    found = stack.look.rules()[f"{program} filter"].splitlines()
    assert found == [
        *(":INPUT ACCEPT", ":FORWARD ACCEPT", ":OUTPUT ACCEPT"),
        "-A FORWARD -p udp -m multiport --dports 1,2 -j DROP",
        '-A FORWARD -m comment --comment "of nobody" -j RETURN',
    ]
    stack.run(program, "-F")
    assert stack.look.rules() == {}, "empty built-in chains do nothing"
    stack.run(program, "-P", "OUTPUT", "DROP")
    assert ":OUTPUT DROP" in stack.look.rules()[f"{program} filter"]
    stack.run(program, "-P", "OUTPUT", "ACCEPT")
    stack.run(program, "-t", "nat", "-N", "left")
    assert stack.look.rules()[f"{program} nat"].endswith(":left -\n")
    stack.run(program, "-t", "nat", "-X", "left")
    assert stack.look.rules() == {}


def test_rules_of_ebtables_and_arptables_are_seen(stack):
    stack.run("ebtables-nft", "-A", "FORWARD", "-p", "0x88b6", "-j", "DROP")
    stack.run("arptables-nft", "-A", "INPUT", "-s", "192.0.2.1", "-j", "DROP")
    found = stack.look.rules()
    assert "-A FORWARD -p 0x88b6 -j DROP" in found["ebtables-nft filter"]
    assert "-A INPUT -j DROP -s 192.0.2.1" in found["arptables-nft filter"]
    stack.run("ebtables-nft", "-F")
    stack.run("arptables-nft", "-F")
    assert stack.look.rules() == {}


def test_tables_of_nftables_are_seen_one_by_one(stack):
    load(stack, "table inet one { set s { type ipv4_addr; flags timeout; elements = { 192.0.2.1 timeout 1h }; }; }")
    load(stack, "table ip filter { chain mine { counter drop; }; }")
    before = stack.look.rules()
    assert set(before) == {"nft inet one", "nft ip filter", "iptables-nft filter"}
    assert "192.0.2.1 timeout 1h" in before["nft inet one"]
    assert "expires" not in before["nft inet one"]
    assert stack.look.rules() == before
    load(stack, "table inet one { chain c { ip saddr 192.0.2.7 drop; }; }")
    after = stack.look.rules()
    assert after["nft ip filter"] == before["nft ip filter"]
    assert after["nft inet one"] != before["nft inet one"]
    load(stack, "delete table ip filter; flush table inet one; delete set inet one s; delete chain inet one c")
    assert list(stack.look.rules()) == ["nft inet one"], "an empty table that no tool leaves behind is somebody's"


def test_a_base_chain_that_iptables_does_not_make_is_seen_in_its_table_as_well(stack):
    stack.run("iptables-nft", "-A", "INPUT", "-j", "ACCEPT")
    stack.run("iptables-nft", "-F")
    assert stack.look.rules() == {}
    load(stack, "add chain ip filter own { type filter hook input priority 10; }")
    assert "chain own" in stack.look.rules()["nft ip filter"]


def test_rules_are_part_of_the_state(stack):
    before = stack.look.state()
    stack.run("iptables-legacy", "-A", "INPUT", "-p", "udp", "-j", "ACCEPT")
    one = stack.look.state()
    assert difference(before, one) == ["rule set iptables-legacy filter is new"]
    stack.run("iptables-legacy", "-A", "INPUT", "-p", "tcp", "-j", "ACCEPT")
    two = stack.look.state()
    assert difference(one, two) == ["rule set iptables-legacy filter: + -A INPUT -p tcp -j ACCEPT"]
    assert as_diff(one, two) == "+ rule set iptables-legacy filter: -A INPUT -p tcp -j ACCEPT\n"
    stack.run("iptables-legacy", "-F")
    assert difference(before, stack.look.state()) == [], "the lock of iptables is no leftover"
    text = "".join(f"-A INPUT -s 192.0.2.{number} -j ACCEPT\n" for number in range(30))
    stack.run("iptables-legacy-restore", "-n", stdin=f"*filter\n{text}COMMIT\n")
    (*_, last) = difference(one, stack.look.state())
    assert last == "rule set iptables-legacy filter: and 21 more lines"


def test_counters_are_those_of_the_packets(stack):
    topo = Routed(stack, "a", "b")
    for program in ("iptables-legacy", "iptables-nft"):
        stack.run(program, "-A", "FORWARD", "-p", "udp", "--dport", "9", "-j", "DROP")
    load(
        stack,
        "table inet x { chain f { type filter hook forward priority -5; udp dport 9 counter; udp dport 8 accept; }; }",
    )
    for _ in range(3):
        topo.stops(Flow(dport=9), control=Flow(dport=10), what=WHAT)
    counted = {(one.place, one.rule): (one.packets, one.bytes) for one in stack.look.counters()}
    # 32 bytes of token, behind headers of 28.
    assert counted[("nft inet x", "f: udp dport 9 counter")] == (3, 180)
    legacy = counted[("iptables-legacy filter", "-A FORWARD -p udp -m udp --dport 9 -j DROP")]
    of_nft = counted[("iptables-nft filter", "-A FORWARD -p udp -m udp --dport 9 -j DROP")]
    assert sorted([legacy, of_nft]) == [(0, 0), (3, 180)], "one of them is asked first, and drops"
    rules = stack.look.rules()
    assert "packets" not in "".join(rules.values())
    evidence = stack.look.evidence()
    assert "3 180 nft inet x" in evidence["counters.txt"]
    assert "table inet x" in evidence["rules.txt"]


def test_what_is_written_to_nftables_is_heard(stack):
    with stack.look.unannounced(WHAT):
        stack.look.rules()
        stack.run("nft", "list", "ruleset")
        stack.run("iptables-nft-save")
    with pytest.raises(AssertionError, match=r"table set \(inet x\)"), stack.look.unannounced(WHAT):
        load(stack, "add table inet x; delete table inet x")
    stack.run("iptables-nft", "-A", "INPUT", "-j", "ACCEPT")
    with pytest.raises(AssertionError, match=r"rule set \(ip filter\)"), stack.look.unannounced(WHAT):
        stack.run("sh", "-c", "iptables-nft -A INPUT -j ACCEPT && iptables-nft -D INPUT 2")


@pytest.mark.parametrize("program", ["iptables-legacy-restore", "iptables-nft-restore"])
def test_to_write_what_stands_there_already_is_to_write(stack, program):
    text = "*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n-A INPUT -j ACCEPT\nCOMMIT\n"
    stack.run(program, stdin=text)
    with pytest.raises(AssertionError, match="the kernel was written to"), stack.look.unwritten(WHAT):
        stack.run(program, stdin=text)
    with stack.look.unwritten(WHAT):
        stack.run(program.replace("restore", "save"))


# -- somebody else's rules ----------------------------------------------------------------------------


@pytest.mark.parametrize("owner", ["nova", "a", "a-b", "nova-compute-0_1"])
def test_foreign_rules_are_of_all_kinds_let_everything_pass_and_go_without_a_trace(stack, owner):
    topo = Routed(stack, "a", "b")
    before = stack.look.state()
    stack.foreign_rules(owner)
    found = stack.look.rules()
    kinds = {place.partition(" ")[0] for place in found}
    assert kinds >= {"iptables-legacy", "ip6tables-legacy", "iptables-nft", "ip6tables-nft", "ebtables-nft", "nft"}
    # What nft(8) shows of other programs' tables it shows without their comments.
    own = [text for place, text in found.items() if not place.startswith(("nft ip ", "nft ip6 ", "nft bridge filter"))]
    assert all(owner in text for text in own)
    assert stack.look.rules() == found
    for family in (4, 6):
        for ends in (("a", "b"), ("a", "host"), ("host", "a")):
            for port in (2222, 22):
                topo.talks(Flow(*ends, "tcp", port, family=family), what=WHAT)
    assert stack.look.rules() == found
    stack.remove_endpoints()
    left = [line for line in difference(before, stack.look.state()) if line.startswith("rule set")]
    assert left == []


def test_of_foreign_rules_what_somebody_has_taken_away_is_not_missed_and_nothing_else_goes(stack):
    stack.foreign_rules("nova")
    stack.run("iptables-legacy", "-F", "FORWARD")
    stack.run("nft", "delete", "table", "inet", "novax")
    stack.run("iptables-legacy", "-A", "INPUT", "-p", "udp", "-j", "ACCEPT")
    stack.remove_endpoints()
    assert stack.look.rules() == {
        "iptables-legacy filter": ":INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n-A INPUT -p udp -j ACCEPT\n"
    }


def test_a_flush_leaves_nothing_of_anybody(stack):
    stack.foreign_rules("nova")
    stack.run("iptables-legacy", "-P", "FORWARD", "DROP")
    load(stack, "table inet mine { chain c { type filter hook input priority 0; policy drop; }; }")
    stack.flush_rules()
    assert stack.look.rules() == {}
    stack.flush_rules()


def test_the_lock_is_the_one_that_iptables_waits_for(stack):
    with stack.lock_rules() as is_there:
        assert is_there
        with pytest.raises(SuiteError, match="xtables lock"):
            stack.run("iptables-legacy", "-w", "1", "-A", "INPUT", "-j", "ACCEPT")
        waiting = subprocess.Popen(["iptables-legacy", "-w", "60", "-A", "INPUT", "-j", "ACCEPT"])
        time.sleep(0.1)  # not to prove anything: it is likelier to wait now
        assert waiting.poll() is None
    assert waiting.wait(60) == 0
    assert "-A INPUT -j ACCEPT" in stack.look.rules()["iptables-legacy filter"]


def test_connections_are_told_by_address_in_either_family(stack):
    topo = Routed(stack, "a", "b", "c")
    load(stack, "table inet x { chain f { type filter hook forward priority 0; ct state new accept; }; }")
    for family in (4, 6):
        topo.talks(Flow("a", "b", "tcp", 80, sport=4000, family=family), what=WHAT)
        topo.passes(Flow("c", "b", "udp", 53, sport=4001, family=family), what=WHAT)
        assert stack.connections("192.0.2.1") == []
        (entry,) = stack.connections(topo.address("a", family))
        assert "tcp" in entry
        assert "dport=80" in entry
        assert len(stack.connections(topo.address("b", family))) == 2
        before = stack.connections(topo.address("c", family))
        topo.passes(Flow("c", "b", "udp", 53, sport=4001, family=family), what=WHAT)
        assert stack.connections(topo.address("c", family)) == before, "times and counters are left out"
