"""Whose rules are whose: other programs', other owners', and those of an earlier process of the same owner."""

from __future__ import annotations

from collections.abc import Mapping

from conformance.errors import SuiteError
from conformance.harness import FirewallUnderTest, in_child
from conformance.spec import spec
from conformance.specs.firewall.ground import drop, lay, model, standing
from conformance.topology.routed import Flow, Routed
from conformance.topology.sandbox import Sandbox
from refnet.firewall import ACCEPT, DROP, RETURN, Capability, Jump, Rule

FILTER = Capability.FILTER
OPEN = Flow("a", "b", "udp", 7000)
_PACKETS = 17


def lost(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Return the lines that rules had before and have no more, or not in that order any more, by their places."""
    missing = []
    for place, text in before.items():
        rest = iter(after.get(place, "").splitlines())
        missing += [f"{place}: {line.strip()}" for line in text.splitlines() if line not in rest]
    return missing


@spec(
    "OW-01",
    "Rules, chains, tables and sets of others stay as they are and in their order, even where they mention the owner.",
    capability=FILTER,
)
def test_foreign(firewall: FirewallUnderTest, net: Sandbox) -> None:
    net.foreign_rules(firewall.owner)
    before = net.look.rules()
    if not any(firewall.owner in text for text in before.values()):
        raise SuiteError(f"the foreign rules do not mention {firewall.owner}: this proves little")

    def see(what: str) -> None:
        missing = lost(before, net.look.rules())
        assert not missing, f"after {what}, others have lost {'; '.join(missing[:5])}"

    chain = lay(firewall, drop(7001), drop(7002))
    lay(firewall, drop(7003), hook="input")
    firewall.apply()
    see("the first apply")
    firewall.add_rule(chain, drop(7004), first=True)
    firewall.remove_rule(chain, drop(7001))
    firewall.apply()
    see("one rule more and one less")
    firewall.resync()
    see("resync")
    other = firewall.fresh()
    lay(other, drop(7005), chain="another")
    other.apply()
    see("the apply of another manager of this owner")
    other.teardown()
    after = net.look.rules()
    changed = sorted(place for place in {**before, **after} if before.get(place) != after.get(place))
    assert not changed, f"after teardown, it is not as it was before the first apply: {', '.join(changed)}"


@spec(
    "OW-02",
    "Owners never touch each other's rules, whatever their names and their chains' names have in common.",
    capability=FILTER,
)
def test_owners(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    short, long = firewall.fresh("a"), firewall.fresh("a-b")
    # Put together by a hyphen, both names are "a-b-guests".
    lay(short, drop(7001), chain="b-guests")
    lay(long, drop(7002), chain="guests")
    for one in (short, long):
        one.apply()
    steps = (
        ("apply", lambda: (short.add_rule("b-guests", drop(7003)), short.apply())),
        ("resync", short.resync),
        ("the first apply of another process", lambda: _again(short)),
    )
    for what, step in steps:
        step()
        for port, owner in ((7001, "a"), (7002, "a-b")):
            r.stops(OPEN.but(dport=port), control=OPEN, what=f"what {owner} drops, after {what} of a's")
    short.teardown()
    r.stops(OPEN.but(dport=7002), control=OPEN, what="what a-b drops, after a's teardown")
    r.passes(OPEN.but(dport=7001), what="what a dropped, after its teardown")
    long.teardown()
    r.passes(OPEN.but(dport=7002), what="what a-b dropped, after its teardown")


def _again(manager: FirewallUnderTest) -> None:
    other = manager.fresh()
    lay(other, drop(7001), drop(7003), chain="b-guests")
    other.apply()


@spec(
    "OW-03",
    "Rules of position 'first' decide before those of position 'last', whoever has come first.",
    capability=(FILTER, Capability.POSITION, Capability.COUNTERS),
)
def test_position(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    for number, order in enumerate((("first", "last"), ("last", "first"))):
        managers = {position: firewall.fresh(f"o{number}-{position}", position=position) for position in order}
        for position in order:
            lay(managers[position], drop(7001), chain="guests")
            managers[position].apply()
        r.stops(OPEN.but(dport=7001), control=OPEN, what="what both drop")
        seen = {position: one.counters("guests")[0].packets for position, one in managers.items()}
        assert seen == {"first": 1, "last": 0}, f"applied in the order {order}, the packet was counted by {seen}"
        for one in managers.values():
            one.teardown()


@spec(
    "OW-04",
    "Rules of others are asked before own ones of position 'last', and behind those of position 'first'.",
    capability=(FILTER, Capability.POSITION),
)
def test_position_among_others(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    net.foreign_rules(firewall.owner)

    def counted(position: str) -> dict[tuple[str, str], int]:
        """Return what the others' rules count while packets come that own rules drop."""
        manager = firewall.fresh(f"p-{position}", position=position)
        before = {(one.place, one.rule): one.packets for one in net.look.counters()}
        lay(manager, drop(7001))
        manager.apply()
        for _ in range(_PACKETS):
            r.send(OPEN.but(dport=7001))
        r.passes(Flow("b", "a", "udp", 7000), what="a datagram the other way")
        after = {(one.place, one.rule): one.packets for one in net.look.counters()}
        manager.teardown()
        return {rule: after.get(rule, 0) - packets for rule, packets in before.items()}

    first, last = counted("first"), counted("last")
    more = {rule: last[rule] - first[rule] for rule in first if rule in last}
    # The host sends something itself now and then: what matters are rules that count just these packets.
    assert _PACKETS in more.values(), (
        f"no rule of others has met {_PACKETS} packets more before own rules of position 'last' than behind 'first'"
    )


@spec(
    "OW-05",
    "What an earlier process of the owner has left goes with the first apply.",
    capability=FILTER,
)
def test_leftovers(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))

    def earlier() -> None:
        manager = firewall.fresh()
        lay(manager, drop(7001), chain="left-over")
        lay(manager, drop(7002), chain="kept")
        manager.apply()

    assert in_child(earlier) == 0, "a manager does not work in a child process"
    lay(firewall, drop(7003), chain="kept")
    r.stops(OPEN.but(dport=7001), control=OPEN, what="what an earlier process drops, before the first apply")
    firewall.apply()
    for port in (7001, 7002):
        r.passes(OPEN.but(dport=port), what="what an earlier process dropped, after the first apply")
    r.stops(OPEN.but(dport=7003), control=OPEN, what="what this process drops")
    found = standing(firewall)
    assert found == model(firewall), f"after the first apply, there stands {found}"


@spec(
    "OW-06",
    "What stands is the model after every apply, whoever of the owner reads it, rule by rule and in order.",
    capability=FILTER,
)
def test_standing(firewall: FirewallUnderTest, net: Sandbox) -> None:
    assert firewall.standing() == (), f"before the first apply there stands {firewall.standing()}"
    firewall.add_chain("guests", hook="forward")
    firewall.add_chain("web")
    web = Rule(ACCEPT, protocol="tcp", destination="192.0.2.0/24", destination_ports=[80, "8000-8010"], comment="web 1")
    for rule in (web, Rule(RETURN, protocol="icmp", icmp_type="echo-request")):
        firewall.add_rule("web", rule)
    for rule in (Rule(Jump("web"), in_interface="tap1"), Rule(DROP, protocol="udp", source="198.51.100.7")):
        firewall.add_rule("guests", rule)
    firewall.add_rule("guests", drop(7000), first=True)
    firewall.apply()
    firewall.remove_rule("guests", drop(7000))
    firewall.add_rule("guests", drop(7001))
    firewall.apply()
    expected = model(firewall)
    for who, manager in (("the manager", firewall), ("another manager of this owner", firewall.fresh())):
        found = standing(manager)
        assert found == expected, f"{who} reads {found}, and applied was {expected}"
    stranger = firewall.fresh("stranger").standing()
    assert stranger == (), f"an owner without rules reads {stranger}"


@spec(
    "OW-07",
    "Chains whose long names differ at their ends only are different chains.",
    capability=FILTER,
)
def test_long_names(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    alike = "instance-00000000-0000-0000-0000-00000000000"
    firewall.add_chain("guests", hook="forward")
    for number in (1, 2):
        firewall.add_chain(f"{alike}{number}")
        firewall.add_rule(f"{alike}{number}", drop(7000 + number))
    firewall.add_rule("guests", Rule(Jump(f"{alike}1"), destination=r.address("b")))
    firewall.apply()
    r.stops(OPEN.but(dport=7001), control=OPEN, what="what the chain drops that is jumped to")
    r.passes(OPEN.but(dport=7002), what="what the other chain of a similar name drops")
    firewall.add_rule("guests", Rule(Jump(f"{alike}2"), destination=r.address("b")))
    firewall.apply()
    r.stops(OPEN.but(dport=7002), control=OPEN, what="what the other chain drops, when it is jumped to")
    found = standing(firewall)
    assert found == model(firewall), f"of chains with long names, there stands {found}"


@spec(
    "OW-08",
    "Owners whose names are as long as can be, and differ at their ends only, have rules of their own.",
    capability=FILTER,
)
def test_long_owners(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    managers = [firewall.fresh(f"neutron-openvsw{number}") for number in (1, 2)]
    for number, manager in enumerate(managers, 1):
        lay(manager, drop(7000 + number), chain="instance-00000000-0000-0000-0000-000000000000")
        manager.apply()
    for port in (7001, 7002):
        r.stops(OPEN.but(dport=port), control=OPEN, what=f"port {port}, which one of two owners drops")
    managers[0].teardown()
    r.passes(OPEN.but(dport=7001), what="what an owner dropped before its teardown")
    r.stops(OPEN.but(dport=7002), control=OPEN, what="what the other owner drops, after that teardown")
    assert standing(managers[1]) == model(managers[1]), f"of the other owner there stands {standing(managers[1])}"


@spec(
    "OW-09",
    "A comment is for people: whatever it looks like, rules are told apart, read and kept as without it.",
    capability=FILTER,
)
def test_comments(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    # Marks of refnet's backends, options and words of the tools, and what parts things in their languages.
    comments = (
        "refnet:fc2aeb7c717d7d6b",
        f"{firewall.owner}.filter-forward",
        "-j ACCEPT",
        "--comment x -j ACCEPT",
        "accept; # } {",
        "COMMIT",
        "*filter",
        "refnet 0 1",
        "c=x s=192.0.2.1",
        "$nr %s 100%",
        "a  b",
        "x" * 100,
    )
    rules = [
        Rule(DROP, protocol="udp", destination_ports=7001 + number, comment=comment)
        for number, comment in enumerate(comments)
    ]
    lay(firewall, *rules)
    firewall.apply()
    for number in range(len(comments)):
        r.stops(OPEN.but(dport=7001 + number), control=OPEN, what=f"what the rule with {comments[number]!r} drops")
    other = firewall.fresh()
    found = standing(other)
    assert found == model(firewall), f"rules with comments are read as {found}"
    chain = lay(other, *rules)
    with net.look.unannounced("the apply of another manager, over rules with comments"):
        other.apply()
    other.remove_rule(chain, rules[0])
    other.apply()
    r.passes(OPEN.but(dport=7001), what=f"what the rule with {comments[0]!r} dropped before it was removed")
