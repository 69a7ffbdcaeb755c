"""The same calls on Nova's or Neutron's IptablesManager and on refnet's, by hand: the same becomes of the same packets.

They keep off what refnet does otherwise on purpose (refnet.firewall.nova says what): the last tests show that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from iptables_managers import (
    FIRST,
    FLOWS,
    VIRTUAL,
    Arrival,
    Neutron,
    Nova,
    Refnet,
    World,
    alike,
    chain,
    fates,
    no_rule,
    passed,
    rule,
)

from conformance.topology.flows import HOST, Flow
from conformance.topology.linux import Sandbox
from refnet import linux_net


@pytest.fixture
def world(stack: Sandbox) -> World:
    return World(stack)


@pytest.fixture(params=[Nova, Neutron])
def other(request: pytest.FixtureRequest) -> type[Nova] | type[Neutron]:
    """What refnet's manager is compared with."""
    found: type[Nova] | type[Neutron] = request.param
    return found


def to_b(flow: Flow) -> bool:
    return flow.receiver == "b" and flow.family == 4 and flow.destination is None


def test_top_comes_before_the_others_in_its_order(world: World, other: Any) -> None:
    found = alike(
        world,
        other,
        [
            rule("FORWARD", "-d 10.0.2.0/24 -j DROP"),
            ("apply",),
            rule("FORWARD", "-d 10.0.2.2/32 -p tcp -m tcp --dport 1001 -j ACCEPT", top=True),
            rule("FORWARD", "-d 10.0.2.0/24 -p tcp -m tcp --dport 1000 -j ACCEPT"),
            rule("FORWARD", "-p tcp -m tcp --dport 1001 -j DROP", top=True),
        ],
    )
    assert passed(found[0], to_b) == {False}
    assert passed(found[1], lambda flow: to_b(flow) and flow.protocol == "tcp" and flow.dport == 1001) == {True}
    assert passed(found[1], lambda flow: to_b(flow) and flow.protocol == "tcp" and flow.dport == 1000) == {False}


def test_wrapped_and_unwrapped_chains(world: World, other: Any) -> None:
    found = alike(
        world,
        other,
        [
            chain("x"),
            chain("common", wrap=False),
            rule("x", "-p udp -m udp --dport 1000 -j RETURN"),
            rule("x", "-p udp -j DROP"),
            rule("common", "-p tcp -m tcp --dport 1002 -j DROP", wrap=False),
            rule("common", "-p icmp -j $x", wrap=False),
            rule("FORWARD", "-d 10.0.2.2/32 -j $x"),
            rule("FORWARD", "-j common", wrap=False),
            ("apply",),
            rule("SHARED-filter-top", "-p icmp -j DROP", wrap=False),
            rule("FORWARD", "-p tcp -m tcp --dport 1001 -j DROP", wrap=False, top=True),
            no_rule("x", "-p udp -m udp --dport 1000 -j RETURN"),
            ("apply",),
            ("remove_chain", 4, "filter", ["x"], {}),
        ],
    )

    def of(protocol: str, port: int | None = None) -> Callable[[Flow], bool]:
        return lambda flow: to_b(flow) and flow.protocol == protocol and port in (None, flow.dport)

    assert [passed(one, of("udp", 1000)) for one in found] == [{True}, {False}, {True}]
    assert [passed(one, of("udp", 1001)) for one in found] == [{False}, {False}, {True}]
    assert [passed(one, of("tcp", 1001)) for one in found] == [{True}, {False}, {False}]
    assert [passed(one, of("tcp", 1002)) for one in found] == [{False}, {False}, {False}]
    assert [passed(one, of("icmp")) for one in found] == [{True}, {False}, {False}]


def test_deferred_calls_wait(world: World, other: Any) -> None:
    found = alike(
        world,
        other,
        [
            rule("FORWARD", "-p tcp -j DROP"),
            ("apply",),
            ("defer_apply_on",),
            no_rule("FORWARD", "-p tcp -j DROP"),
            rule("FORWARD", "-p udp -j DROP"),
            ("apply",),
            ("defer_apply_off",),
        ],
    )
    assert [passed(one, lambda flow: to_b(flow) and flow.protocol == "tcp") for one in found] == [
        *({False}, {False}, {True}, {True})
    ]


def test_empty_chains(world: World, other: Any) -> None:
    found = alike(
        world,
        other,
        [
            chain("x"),
            chain("unused"),
            rule("FORWARD", "-j $x"),
            rule("x", "-p udp -j DROP"),
            rule("INPUT", "-p udp -m udp --dport 1001 -j DROP"),
            ("apply",),
            ("empty_chain", 4, "filter", ["x"], {}),
            ("apply",),
            rule("x", "-p tcp -j DROP"),
        ],
    )
    assert [passed(one, lambda flow: to_b(flow) and flow.protocol == "udp") for one in found] == [
        *({False}, {True}, {True})
    ]
    assert passed(found[2], lambda flow: flow.receiver == HOST and flow.dport == 1001) == {False}


def test_ipv6(world: World, other: Any) -> None:
    found = alike(
        world,
        other,
        [
            chain("x", family=6),
            rule("FORWARD", "-d fd00:0:0:2::2/128 -j $x", family=6),
            rule("x", "-p ipv6-icmp -j ACCEPT", family=6),
            rule("x", "-j DROP", family=6),
        ],
    )
    assert passed(found[0], lambda flow: flow.family == 6 and flow.receiver == "b" and flow.protocol == "udp") == {
        False
    }
    assert passed(found[0], to_b) == {True}


def test_translated_addresses(world: World, other: Any) -> None:
    """A floating address as both have it: to it, and from behind it."""
    found = alike(
        world,
        other,
        [
            rule("PREROUTING", f"-d {VIRTUAL}/32 -j DNAT --to-destination 10.0.2.2", table="nat"),
            rule("float-snat", "-s 10.0.1.2/32 -d 10.0.2.2/32 -j SNAT --to-source 10.0.2.77", table="nat"),
            rule("snat", "-s 10.0.1.0/24 -p udp -j SNAT --to-source 10.0.2.78", table="nat"),
            rule("POSTROUTING", "-p udp -m udp --dport 1002 -j ACCEPT", table="nat"),
            ("apply",),
            no_rule("float-snat", "-s 10.0.1.2/32 -d 10.0.2.2/32 -j SNAT --to-source 10.0.2.77", table="nat"),
            rule("PREROUTING", "-p udp -m udp --dport 1001 -j REDIRECT --to-ports 1000", table="nat", top=True),
        ],
    )
    before, after = (dict(zip(FLOWS, one, strict=True)) for one in found)
    virtual = Flow("a", "b", "udp", 1000, destination=VIRTUAL)
    assert before[virtual] == Arrival("b", "10.0.2.77", "10.0.2.2", 1000)
    assert after[virtual] == Arrival("b", "10.0.2.78", "10.0.2.2", 1000)
    assert before[Flow("a", "b", "udp", 1002)] == Arrival("b", "10.0.1.2", "10.0.2.2", 1002)
    assert after[Flow("a", "c", "udp", 1001)] == Arrival(HOST, "10.0.1.2", "10.0.1.1", 1000)


def test_comments_and_tags(world: World) -> None:
    """Which are Neutron's only."""
    found = alike(
        world,
        Neutron,
        [
            rule("FORWARD", "-p udp -j DROP", comment="why not", tag="one"),
            rule("FORWARD", "-p tcp -j DROP", comment="because"),
            ("apply",),
            ("clear_rules_by_tag", 4, "filter", ["one"], {}),
            no_rule("FORWARD", "-p tcp -j DROP", comment="because"),
        ],
    )
    assert [passed(one, to_b) for one in found] == [{False, True}, {True}]


def test_the_manager_of_novas_module(world: World) -> None:
    """refnet.linux_net's, of which Nova's own functions write into one that all share."""
    manager = linux_net.iptables_manager
    try:
        manager.defer_apply_on()
        for call in FIRST:
            tell_tables = {4: manager.ipv4, 6: manager.ipv6}[call[1]]
            tell_tables[call[2]].add_rule(*call[3], **call[4])
        linux_net.IptablesManager().ipv4["filter"].add_rule("FORWARD", "-d 10.0.2.2 -j DROP")
        manager.apply()
        assert passed(world.fates(FLOWS), to_b) == {True}
        manager.defer_apply_off()
        assert passed(world.fates(FLOWS), to_b) == {False}
        assert not manager.dirty()
    finally:
        manager.firewall.teardown()


# -- where they differ --------------------------------------------------------------------------------------


def test_a_chain_whose_name_begins_like_another(world: World, other: Any) -> None:
    """Both take the jumps to inst-10 away with chain inst-1: what it kept out is let in."""
    calls = [
        *(chain(name) for name in ("inst-1", "inst-10")),
        rule("inst-10", "-j DROP"),
        rule("FORWARD", "-d 10.0.2.2/32 -j $inst-10"),
        ("apply",),
        ("remove_chain", 4, "filter", ["inst-1"], {}),
    ]
    assert passed(fates(world, other(), calls)[-1], to_b) == {True}
    assert passed(fates(world, Refnet(), calls)[-1], to_b) == {False}


def test_an_unwrapped_chain_that_is_emptied(world: World, other: Any) -> None:
    """Both forget such rules and leave them standing."""
    calls = [
        rule("FORWARD", "-p udp -j DROP", wrap=False),
        ("apply",),
        ("empty_chain", 4, "filter", ["FORWARD"], {"wrap": False}),
        rule("FORWARD", "-j $FORWARD", wrap=False),
    ]
    assert passed(fates(world, other(), calls)[-1], lambda flow: to_b(flow) and flow.protocol == "udp") == {False}
    assert passed(fates(world, Refnet(), calls)[-1], lambda flow: to_b(flow) and flow.protocol == "udp") == {True}


def test_a_rule_that_is_added_again(world: World) -> None:
    """Neutron moves it to the end, behind what it was to go before; Nova and refnet leave it where it is."""
    calls = [rule("FORWARD", text) for text in ("-p udp -j ACCEPT", "-p udp -j DROP", "-p udp -j ACCEPT")]
    fared = [
        passed(fates(world, one(), calls)[-1], lambda flow: to_b(flow) and flow.protocol == "udp")
        for one in (Neutron, Nova, Refnet)
    ]
    assert fared == [{False}, {True}, {True}]


def test_an_unwrapped_rule_that_comes_back_before_it_is_gone(world: World, other: Any) -> None:
    """Both lose it: what they were told to take away they take out of what they were told to add."""
    text = "-p udp -j DROP"
    calls = [
        rule("FORWARD", text, wrap=False),
        ("apply",),
        no_rule("FORWARD", text, wrap=False),
        rule("FORWARD", text, wrap=False),
    ]
    assert passed(fates(world, other(), calls)[-1], lambda flow: to_b(flow) and flow.protocol == "udp") == {True}
    assert passed(fates(world, Refnet(), calls)[-1], lambda flow: to_b(flow) and flow.protocol == "udp") == {False}


def test_unwrapped_rules_that_come_later(world: World) -> None:
    """Nova puts what stands already behind them, with each apply; Neutron and refnet keep the order of the calls."""
    calls = [
        rule("FORWARD", "-p udp -j DROP", wrap=False),
        ("apply",),
        rule("FORWARD", "-j ACCEPT", wrap=False),
    ]
    fared = [
        passed(fates(world, one(), calls)[-1], lambda flow: to_b(flow) and flow.protocol == "udp")
        for one in (Nova, Neutron, Refnet)
    ]
    assert fared == [{True}, {False}, {False}]


def test_a_jump_that_is_taken_away(world: World) -> None:
    """Nova does not know a rule again by the text that it was added with, if that has the name of a wrapped chain."""
    calls = [
        chain("x"),
        rule("x", "-p udp -j DROP"),
        rule("FORWARD", "-j $x"),
        ("apply",),
        no_rule("FORWARD", "-j $x"),
    ]
    fared = [
        passed(fates(world, one(), calls)[-1], lambda flow: to_b(flow) and flow.protocol == "udp")
        for one in (Nova, Neutron, Refnet)
    ]
    assert fared == [{False}, {True}, {True}]
