"""From the model to the text for iptables-restore, without a host: whatever is called, it comes to the same."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from restoring import Host

from refnet.firewall import ACCEPT, DROP, Dnat, Jump, Not, Rule, SetMark
from refnet.firewall.iptables import IptablesManager, chainnames, listing
from refnet.firewall.iptables.ledger import Image, Ledger
from refnet.firewall.iptables.lines import Lines
from refnet.firewall.iptables.plan import plan
from refnet.firewall.iptables.reconcile import image_of, reconcile

PREFIX = "own."
CHAINS = ("one", "two", "x", "y", "a-chain-with-a-name-of-more-than-28-bytes")
RULES = [
    Rule(ACCEPT),
    Rule(ACCEPT, source="192.0.2.1"),
    Rule(DROP, source=["192.0.2.1", "192.0.2.9"]),
    Rule(DROP, source="2001:db8::1"),
    Rule(ACCEPT, protocol="tcp", destination_ports=[80, 81]),
    Rule(ACCEPT, protocol="tcp", destination_ports="80-81"),
    Rule(ACCEPT, source=["192.0.2.1", "192.0.2.2"]),
    Rule(DROP, in_interface=Not("a", "b")),
    Rule(ACCEPT, in_interface=["a", "b"], limit="10/minute"),
    *(Rule(Jump(name)) for name in CHAINS[2:]),
    *(Rule(Jump(name), family=family) for name in CHAINS[2:] for family in (4, 6)),
]


class Manager(IptablesManager):
    """One that writes to hosts of Python, by plans where they are possible."""

    def __init__(self, position: Any) -> None:
        super().__init__("own", position=position)
        self.hosts = {4: Host(), 6: Host()}
        self.by_plan = 0

    def _commit_bridge(self) -> None:
        pass

    def _commit(self, changes: Any, *, layer2: bool) -> None:
        first = self.position == "first"
        for family, ledger in self._ledgers.items():
            found = plan(ledger, self._model, changes, first=first)
            if found is None:
                self._commit_all()
                return
            self.hosts[family].restore(found.text)
            ledger.settle(found)
            self.by_plan += 1

    def _commit_all(self) -> None:
        for family, host in self.hosts.items():
            ledger = self._ledger(family)
            found = listing.read(host.save(), PREFIX)
            host.restore(reconcile(found, ledger.image(), first=self.position == "first"))
            self._ledgers[family] = ledger


def without_empty(tables: dict[str, dict[str, list[str]]]) -> dict[str, dict[str, list[str]]]:
    return {table: found for table, found in tables.items() if found}


def is_as(host: Host, image: Image) -> None:
    chains, jumps = host.own(PREFIX)
    assert chains == without_empty(image.chains)
    assert jumps == without_empty(image.jumps)


def calls() -> Any:
    one = st.one_of(
        st.tuples(st.just("add"), st.sampled_from(CHAINS), st.sampled_from(RULES), st.booleans()),
        st.tuples(st.just("add"), st.sampled_from(CHAINS), st.sampled_from(RULES), st.booleans()),
        st.tuples(st.just("remove"), st.sampled_from(CHAINS), st.sampled_from(RULES)),
        st.tuples(st.just("empty"), st.sampled_from(CHAINS)),
        st.tuples(st.just("remove chain"), st.sampled_from(CHAINS)),
        st.tuples(st.just("apply")),
    )
    return st.lists(one, max_size=40)


def do(manager: IptablesManager, call: tuple[Any, ...]) -> None:
    kind, *given_to = call
    if kind == "apply":
        manager.apply()
        return
    chain = given_to[0]
    hook = {"one": "forward", "two": "input"}.get(chain)
    try:
        if kind == "remove chain":
            manager.remove_chain(chain)
            return
        manager.add_chain(chain, hook=hook)
        if kind == "add":
            if isinstance(given_to[1].action, Jump):
                manager.add_chain(given_to[1].action.chain)
            manager.add_rule(chain, given_to[1], first=given_to[2])
        elif kind == "remove":
            manager.remove_rule(chain, given_to[1])
        else:
            manager.empty_chain(chain)
    except ValueError:
        pass  # a jump that would lead back, a chain that is jumped to


@given(calls(), st.sampled_from(("first", "last")))
def test_whatever_is_called_the_host_is_like_the_model(made: list[tuple[Any, ...]], position: str) -> None:
    manager = Manager(position)
    others = {"filter": "-A FORWARD -s 198.51.100.1/32 -j DROP", "nat": "-A OUTPUT -j ACCEPT"}
    for host in manager.hosts.values():
        for table, line in others.items():
            host.restore(f"*{table}\n{line}\nCOMMIT\n")
    for call in (*made, ("apply",)):
        do(manager, call)
    for family, host in manager.hosts.items():
        fresh = Ledger(family, manager._name)
        fresh.write(manager._model)
        is_as(host, fresh.image())
        is_as(host, manager._ledgers[family].image())
        assert manager._ledgers[family].references == fresh.references
        for table, line in others.items():
            chain = line.split()[1]
            at = -1 if position == "first" else 0
            assert host.tables[table][chain][at] == line
        before = len(host.written)
        manager.resync()
        assert len(host.written) == before, "a second look finds nothing to write"


def test_one_line_more_is_one_line() -> None:
    manager = Manager("first")
    manager.add_chain("one", hook="forward")
    for number in range(1, 200):
        manager.add_rule("one", Rule(DROP, source=f"192.0.2.{number}"))
    manager.apply()
    before = len(manager.hosts[4].written)
    manager.add_rule("one", Rule(ACCEPT, source="198.51.100.1"))
    manager.add_rule("one", Rule(ACCEPT, source="198.51.100.2"), first=True)
    manager.remove_rule("one", Rule(DROP, source="192.0.2.7"))
    manager.apply()
    assert manager.hosts[4].written[before:] == [
        "-A own.one -s 198.51.100.1/32 -j ACCEPT",
        "-I own.one -s 198.51.100.2/32 -j ACCEPT",
        "-D own.one -s 192.0.2.7/32 -j DROP",
    ]
    assert manager.hosts[6].written == []


def test_of_two_rules_that_are_written_alike_the_right_one_goes() -> None:
    manager = Manager("first")
    manager.add_chain("one", hook="forward")
    first, second = Rule(ACCEPT, source="192.0.2.1"), Rule(ACCEPT, source=["192.0.2.1", "192.0.2.2"])
    for rule in (first, Rule(DROP, source="192.0.2.0/24"), second):
        manager.add_rule("one", rule)
    manager.apply()
    host = manager.hosts[4]
    host.counters["filter", "own.one"] = ["[1:10]", "[2:20]", "[3:30]", "[4:40]"]
    manager.remove_rule("one", second)
    manager.apply()
    assert host.tables["filter"]["own.one"] == [
        "-A own.one -s 192.0.2.1/32 -j ACCEPT",
        "-A own.one -s 192.0.2.0/24 -j DROP",
    ]
    assert host.counters["filter", "own.one"] == ["[1:10]", "[2:20]"]


def test_counters_of_what_stays_are_kept_when_a_chain_is_mended() -> None:
    host = Host()
    host.restore(
        "*filter\n:own.a - [0:0]\n[1:10] -A own.a -s 192.0.2.1/32 -j DROP\n[7:70] -A own.a -p 41 -j DROP\n"
        "[3:30] -A own.a -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n-A FORWARD -j own.a\nCOMMIT\n"
    )
    wanted = Image()
    wanted.chains["filter"]["own.a"] = [
        "-A own.a -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-A own.a -s 192.0.2.2/32 -j DROP",
        "-A own.a -s 192.0.2.1/32 -j DROP",
    ]
    wanted.jumps["filter"]["FORWARD"] = ["own.a"]
    before = listing.read(host.save(), PREFIX)
    host.restore(reconcile(before, wanted, first=True))
    assert host.counters["filter", "own.a"] == ["[3:30]", "[0:0]", "[1:10]"]
    host.restore(reconcile(listing.read(host.save(), PREFIX), image_of(before), first=True))
    assert host.counters["filter", "own.a"] == ["[1:10]", "[7:70]", "[3:30]"]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ('-A theirs -m comment --comment "see -j own.a for more" -j ACCEPT', False),
        ('-A theirs -m comment --comment "see \\" -j own.a for more" -j ACCEPT', False),
        ('-A theirs -j LOG --log-prefix "to -g own.a: "', False),
        ("-A theirs -m comment --comment -j -j own.b-of-theirs", False),
        ('-A theirs -m string --string " -j own.a " --algo bm -j ACCEPT', False),
        ('-A theirs -m comment --comment "a -j b" -j own.a', True),
        ('-A theirs -m comment --comment "a \\" -j b" -g own.a', True),
        ("-A theirs -m comment --comment -j -j own.a", True),
    ],
)
def test_only_a_jump_is_a_jump(line: str, wanted: bool) -> None:
    found = listing.read(f"*filter\n:own.a - [0:0]\n:theirs - [0:0]\n[0:0] {line}\nCOMMIT\n", "own.a")
    assert found["filter"].wanted_by_others == ({"own.a": line} if wanted else {})


def test_marks_are_written_before_what_asks_for_them() -> None:
    wanted, ledger, model = Image(), Ledger(4, lambda name: f"own.{name}"), Manager("first")
    for table in ("filter", "mangle", "nat"):
        wanted.chains[table]["own.a"] = ["-A own.a -j ACCEPT"]
        model.add_chain("a", table=table, hook="prerouting" if table != "filter" else "forward")
    model.add_rule("a", Rule(ACCEPT, mark=1))
    model.add_rule("a", Rule(SetMark(1)), table="mangle")
    model.add_rule("a", Rule(Dnat("192.0.2.1")), table="nat")
    found = plan(ledger, model._model, model._model.changes, first=True)
    assert found
    for text in (reconcile({}, wanted, first=True), found.text):
        assert [line for line in text.splitlines() if line.startswith("*")] == ["*mangle", "*nat", "*filter"]


def test_a_chain_that_others_jump_to_stays_empty() -> None:
    host = Host()
    host.restore(
        "*filter\n:own.a - [0:0]\n:theirs - [0:0]\n"
        "-A own.a -j DROP\n-A theirs -p tcp -j own.a\n-A FORWARD -j own.a\nCOMMIT\n"
    )
    host.restore(reconcile(listing.read(host.save(), PREFIX), Image(), first=True))
    assert host.tables["filter"]["own.a"] == []
    assert host.tables["filter"]["theirs"] == ["-A theirs -p tcp -j own.a"]
    assert host.tables["filter"]["FORWARD"] == []
    assert reconcile(listing.read(host.save(), PREFIX), Image(), first=True) == ""


@pytest.mark.parametrize("position", ["first", "last"])
def test_jumps_that_somebody_moved_or_doubled_come_to_their_place(position: str) -> None:
    wanted = Image()
    for name in ("own.a", "own.b"):
        wanted.chains["filter"][name] = [f"-A {name} -j DROP"]
    wanted.jumps["filter"]["FORWARD"] = ["own.a", "own.b"]
    lines = ["-A FORWARD -j own.a", "-A FORWARD -j own.b", "-A FORWARD -p tcp -j ACCEPT", "-A FORWARD -j own.a"]
    for order in itertools.permutations(lines):
        host = Host()
        chains = "\n".join(f":{name} - [0:0]\n-A {name} -j DROP" for name in ("own.a", "own.b"))
        host.restore(f"*filter\n{chains}\n" + "\n".join(order) + "\nCOMMIT\n")
        host.restore(reconcile(listing.read(host.save(), PREFIX), wanted, first=position == "first"))
        own, theirs = ["-A FORWARD -j own.a", "-A FORWARD -j own.b"], ["-A FORWARD -p tcp -j ACCEPT"]
        assert host.tables["filter"]["FORWARD"] == (own + theirs if position == "first" else theirs + own)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("-s 192.0.2.1/32", "-s 192.0.2.1"),
        ("-p 41", "-p ipv6"),
        ("-p 2", "-p igmp"),
        ("-m conntrack --ctstate ESTABLISHED,RELATED", "-m conntrack --ctstate RELATED,ESTABLISHED"),
        ("-p tcp --dport 22", "-p tcp -m tcp --dport 22"),
        ("-m limit --limit 60/min", "-m limit --limit 1/sec --limit-burst 5"),
        ("-m limit --limit 4838/min", "-m limit --limit 80/sec"),
        ("-m limit --limit 9999/hour", "-m limit --limit 10000/hour"),
        ("-m mac --mac-source 52:54:00:AB:CD:EF", "-m mac --mac-source 52:54:00:ab:cd:ef"),
        ("-m mark --mark 0x1", "-m mark --mark 1/0xffffffff"),
        ("-m comment --comment x", '-m comment --comment "x"'),
        ("-p icmp -m icmp --icmp-type 8", "-p icmp -m icmp --icmp-type echo-request"),
    ],
)
def test_the_same_said_otherwise_is_the_same(one: str, other: str) -> None:
    assert listing.same([f"-A own.a {one} -j DROP"], [f"-A own.a {other} -j DROP"])
    assert not listing.same([f"-A own.a {one} -j DROP"], [f"-A own.a {other} -j ACCEPT"])
    negated = re.sub(r"^(-p \w+ )?(-m \w+ )?", r"\g<0>! ", other, count=1)
    assert not listing.same([f"-A own.a {one} -j DROP"], [f"-A own.a {negated} -j DROP"])


def test_comments_and_warnings_of_the_tool_are_skipped() -> None:
    printed = """\
# Generated by iptables-nft-save v1.8.9 (nf_tables) on Sun Nov 22 17:06:22 2026
*filter
:FORWARD ACCEPT [0:0]
:own.a - [0:0]
:owner - [0:0]
[0:0] -A FORWARD -m comment --comment "-j own.a" -j owner
[1:2] -A own.a -j DROP
COMMIT
# Completed on Sun Nov 22 17:06:22 2026
# Warning: iptables-legacy tables present, use iptables-legacy-save to see them
"""
    found = listing.read(printed, PREFIX)["filter"]
    assert found.chains == {"own.a": ["-A own.a -j DROP"]}
    assert found.counters == {"own.a": ["[1:2]"]}
    assert found.jumps == {"FORWARD": [None]}


def test_names_fit_and_are_never_just_cut() -> None:
    long = ["guests-of-the-compute-host-1", "guests-of-the-compute-host-2", "x" * 64]
    names = [chainnames.of_chain("a-16-bytes-owner", chain) for chain in long]
    assert len(set(names)) == 3
    assert all(len(name) <= 28 and name.startswith("a-16-bytes-owner.") for name in names)
    assert chainnames.of_chain("a", "b-c") != chainnames.of_chain("a-b", "c")
    assert chainnames.of_chain("own", "guests") == "own.guests"
    assert not chainnames.of_chain("a-b", "x").startswith(chainnames.prefix("a"))


@given(st.lists(st.tuples(st.sampled_from("apr"), st.sampled_from("uvwxyz")), max_size=40))
def test_lines_are_like_a_list(edits: list[tuple[str, str]]) -> None:
    lines, plain = Lines(["u", "v"]), ["u", "v"]
    for kind, line in edits:
        if kind == "a":
            lines.append([line])
            plain.append(line)
        elif kind == "p":
            lines.prepend([line, line + "2"])
            plain[:0] = [line, line + "2"]
        elif plain.count(line) == 1:
            lines.remove([line])
            plain.remove(line)
        assert lines.in_order() == plain
        assert len(lines) == len(plain)
        assert lines.count(line) == plain.count(line)


@given(st.lists(st.sampled_from("abcdefgh"), unique=True), st.lists(st.sampled_from("abcdefgh"), unique=True))
def test_what_stays_in_a_chain_is_not_written(before: list[str], after: list[str]) -> None:
    host, wanted = Host(), Image()
    there = [f"-A own.x -s 192.0.2.{ord(one)}/32 -j DROP" for one in before]
    wanted.chains["filter"]["own.x"] = [f"-A own.x -s 192.0.2.{ord(one)}/32 -j DROP" for one in after]
    host.restore("\n".join(["*filter", ":own.x - [0:0]", *there, "COMMIT"]))
    host.counters["filter", "own.x"] = [f"[{ord(one)}:1]" for one in before]
    host.written.clear()
    host.restore(reconcile(listing.read(host.save(), PREFIX), wanted, first=True))
    assert host.tables["filter"]["own.x"] == wanted.chains["filter"]["own.x"]
    assert host.counters["filter", "own.x"] == [f"[{ord(one)}:1]" if one in before else "[0:0]" for one in after]
    if set(before) & set(after):
        common = max(
            len(some)
            for count in range(len(after) + 1)
            for some in itertools.combinations(after, count)
            if list(some) == [one for one in before if one in some]
        )
        assert len(host.written) == len(before) + len(after) - 2 * common


def test_a_long_chain_takes_no_more_lines_than_it_has_or_changes() -> None:
    there = [f"-A own.x -m mark --mark {number:#x} -j DROP" for number in range(20_000)]
    host, wanted = Host(), Image()
    host.tables["filter"] = {"own.x": there}
    for content, most in ((there[::2], 10_000), (there[1:] + there[:1], 2), (there[::-1], 20_000)):
        wanted.chains["filter"]["own.x"] = content
        text = reconcile(listing.read(host.save(), PREFIX), wanted, first=True)
        assert text.count("\n") <= most + 4
