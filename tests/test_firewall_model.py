"""What a manager keeps in memory: chains, what has changed since the last apply, what may not be. No host."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from recording_firewall import Recording

from refnet.errors import InvalidArgument, Mismatch, RefnetError, Unsupported
from refnet.firewall import (
    ACCEPT,
    CHECKSUM_FILL,
    DROP,
    Capability,
    DhcpIsolation,
    Dnat,
    FirewallManager,
    Hook,
    Jump,
    Masquerade,
    PortGuard,
    Redirect,
    Reject,
    Rule,
    SetMark,
    Snat,
    Table,
    get_manager,
)
from refnet.firewall.null import NullFirewall

A, B = (Rule(ACCEPT, source=f"192.0.2.{number}") for number in (1, 2))


@pytest.fixture
def manager() -> Recording:
    made = Recording()
    made.add_chain("a", hook="forward")
    made.add_chain("b")
    made.apply()
    made.commits.clear()
    return made


def test_nothing_to_do_is_nothing_done(manager: Recording) -> None:
    manager.add_rule("a", A)
    manager.apply()
    manager.apply()
    manager.add_rule("a", A)  # it is there
    manager.remove_rule("a", B)  # it is not
    manager.empty_chain("b")
    manager.add_chain("a", hook=Hook.FORWARD)
    manager.remove_chain("c")
    manager.apply()
    assert manager.commits == ["changes"]
    manager.add_rule("a", B)
    manager.remove_rule("a", B)
    manager.apply()
    assert manager.host[Table.FILTER, "a"] == [A]


def test_resync_looks_at_everything(manager: Recording) -> None:
    manager.host.clear()
    manager.resync()
    assert manager.commits == ["all"]
    assert manager.host == manager.model


def test_after_a_failure_everything_is_looked_at(manager: Recording) -> None:
    manager.add_rule("a", A)
    manager.fails = RefnetError("no")
    with pytest.raises(RefnetError, match=r"^apply: no$"):
        manager.apply()
    manager.fails = None
    manager.apply()
    manager.apply()
    assert manager.commits == ["changes", "all"]


def test_deferred_applies_once_at_the_end(manager: Recording) -> None:
    with manager.deferred():
        manager.add_rule("a", A)
        manager.apply()
        with manager.deferred():
            manager.add_rule("a", B)
        assert manager.commits == []
    assert manager.commits == ["changes"]
    assert manager.host[Table.FILTER, "a"] == [A, B]


def test_deferred_takes_everything_back_at_an_exception(manager: Recording) -> None:
    guard = PortGuard("tap1", "52:54:00:12:34:56")
    manager.guard_port(guard)
    manager.apply()
    with pytest.raises(KeyError), manager.deferred():  # noqa: PT012 - the block is what is tried
        manager.unguard_port("tap1")
        manager.isolate_dhcp_address("eth1", "192.0.2.1")
        manager.remove_chain("a")
        manager.add_chain("a")  # without the hook
        raise KeyError
    assert manager.port_guards() == (guard,)
    assert manager.dhcp_isolations() == ()
    assert manager.chains()[0] == (Table.FILTER, "a", Hook.FORWARD)
    manager.apply()
    assert manager.commits == ["layer2"]


def test_a_teardown_is_no_part_of_what_is_taken_back(manager: Recording) -> None:
    manager.add_rule("a", A)
    manager.apply()
    manager.commits.clear()
    with pytest.raises(KeyError), manager.deferred():  # noqa: PT012 - the block is what is tried
        manager.teardown()
        manager.host.clear()
        raise KeyError
    assert manager.rules("a") == (A,)
    manager.apply()
    assert manager.commits == ["all"]
    assert manager.host == manager.model


def test_novas_way_to_defer(manager: Recording) -> None:
    manager.defer_apply_on()
    manager.add_rule("a", A)
    manager.apply()
    assert manager.commits == []
    manager.defer_apply_off()
    assert manager.commits == ["changes"]


def test_novas_way_to_defer_is_a_switch(manager: Recording) -> None:
    for _ in range(2):
        manager.defer_apply_on()
    manager.add_rule("a", A)
    manager.defer_apply_off()
    assert manager.host[Table.FILTER, "a"] == [A]


def test_novas_way_to_defer_ends_no_block(manager: Recording) -> None:
    with pytest.raises(KeyError), manager.deferred():  # noqa: PT012 - the block is what is tried
        manager.defer_apply_on()
        manager.add_rule("a", A)
        manager.defer_apply_off()
        raise KeyError
    manager.apply()
    assert manager.commits == []
    assert manager.rules("a") == ()


def test_guards_and_isolations_are_applied_when_they_change(manager: Recording) -> None:
    for _ in range(2):
        manager.guard_port(PortGuard("tap1", "52:54:00:12:34:56"))
        manager.isolate_dhcp_address("eth1", "192.0.2.1")
        manager.apply()
    assert manager.commits == ["layer2"]
    assert manager.dhcp_isolations() == (DhcpIsolation("eth1", "192.0.2.1"),)
    for _ in range(2):
        manager.unguard_port("tap1")
        manager.remove_isolate_dhcp_address("eth1", "192.0.2.1")
        manager.apply()
    assert manager.commits == ["layer2", "layer2"]


def test_teardown_empties_the_model(manager: Recording) -> None:
    manager.add_rule("a", A)
    manager.teardown()
    assert manager.chains() == ()
    manager.apply()
    assert manager.commits == []


def test_threads_share_a_manager(manager: Recording) -> None:
    def work(number: int) -> None:
        for last in range(50):
            manager.add_rule("a", Rule(ACCEPT, source=f"192.0.{number}.{last}"))
            manager.apply()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(manager.rules("a")) == 200
    assert manager.host == manager.model


# -- what may not be --------------------------------------------------------------------------------------


def test_a_chain_with_another_hook_is_a_mismatch(manager: Recording) -> None:
    with pytest.raises(Mismatch, match="chain a of table filter is there with hook forward, not input"):
        manager.add_chain("a", hook="input")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m: m.add_chain("c", hook="prerouting"), "table filter has no hook prerouting: it has input"),
        (lambda m: m.add_chain("c", hook="ingress"), "hook 'ingress' is none"),
        (lambda m: m.add_chain("c", table="raw"), "table 'raw' is none"),
        (lambda m: m.add_chain("a b"), "chain 'a b' is not possible"),
        (lambda m: m.add_chain(7), "chain 7 is not possible"),
        (lambda m: m.add_rule("c", A), "there is no chain 'c' in table filter: add it first (there are: a, b)"),
        (lambda m: m.add_rule("a", "-j ACCEPT"), "'-j ACCEPT' is no Rule"),
        (lambda m: m.remove_rule("a", None), "None is no Rule"),
        (lambda m: m.add_rule("a", Rule(Jump("c"))), "there is no chain 'c'"),
        (lambda m: m.add_rule("b", Rule(Jump("b"))), "a jump from b to b would lead back to b"),
        (lambda m: m.add_rule("b", Rule(Jump("a"))), "chain a is on hook forward: jump to one without a hook"),
        (lambda m: m.add_rule("a", Rule(Masquerade())), "Masquerade is for table nat, and a is of filter"),
        (lambda m: m.add_rule("a", Rule(SetMark(1))), "SetMark is for table mangle"),
        (lambda m: m.add_rule("a", Rule(CHECKSUM_FILL, protocol="udp")), "ChecksumFill is for table mangle"),
        (lambda m: m.guard_port("tap1"), "'tap1' is no PortGuard"),
        (lambda m: m.unguard_port("tap 1"), "port 'tap 1' is not possible"),
        (lambda m: m.isolate_dhcp_address("eth1", "::1"), "::1 is not an IPv4 address"),
        (lambda m: m.probe("flying"), "'flying' is no capability"),
    ],
)
def test_a_call_that_cannot_be(manager: Recording, call: Any, said: str) -> None:
    before = manager.model
    with pytest.raises(InvalidArgument) as raised:
        call(manager)
    assert said in str(raised.value)
    assert manager.model == before
    manager.apply()
    assert manager.commits == []


def test_jumps_do_not_lead_back_over_several_chains(manager: Recording) -> None:
    manager.add_chain("c")
    manager.add_rule("b", Rule(Jump("c")))
    with pytest.raises(InvalidArgument, match="a jump from c to b would lead back to c"):
        manager.add_rule("c", Rule(Jump("b")))
    with pytest.raises(InvalidArgument, match="chain c is jumped to from b: remove those rules first"):
        manager.remove_chain("c")
    manager.empty_chain("b")
    manager.remove_chain("c")


@pytest.mark.parametrize(
    ("hook", "rule"),
    [
        ("prerouting", Rule(Snat("192.0.2.1"))),
        ("prerouting", Rule(Masquerade())),
        ("output", Rule(Snat("192.0.2.1"))),
        ("postrouting", Rule(Dnat("192.0.2.1"))),
        ("postrouting", Rule(Redirect(80), protocol="tcp")),
    ],
)
@pytest.mark.parametrize("way", ["direct", "jump last", "jump first"])
def test_translations_are_for_some_hooks(hook: str, rule: Rule, way: str) -> None:
    manager = Recording()
    manager.add_chain("at", hook=hook, table="nat")
    manager.add_chain("below", table="nat")
    manager.add_chain("deep", table="nat")
    manager.add_rule("below", Rule(Jump("deep")), table="nat")
    steps = {
        "direct": [("at", rule)],
        "jump last": [("deep", rule), ("at", Rule(Jump("below")))],
        "jump first": [("at", Rule(Jump("below"))), ("deep", rule)],
    }[way]
    for chain, step in steps[:-1]:
        manager.add_rule(chain, step, table="nat")
    with pytest.raises(InvalidArgument, match=f"and would be reached from {hook}"):
        manager.add_rule(*steps[-1], table="nat")


@pytest.mark.parametrize(
    ("hook", "said", "match"),
    [
        ("output", "in interface", {"in_interface": "a"}),
        ("input", "out interface", {"out_interface": "a"}),
    ],
)
def test_what_a_packet_does_not_have_at_a_hook(hook: str, said: str, match: dict[str, str]) -> None:
    manager = Recording()
    manager.add_chain("at", hook=hook)
    with pytest.raises(InvalidArgument, match=f"a packet has no {said} at hook {hook}"):
        manager.add_rule("at", Rule(DROP, **match))


@pytest.mark.parametrize("deep", [False, True])
def test_a_packet_from_this_host_has_no_source_mac_address(deep: bool) -> None:
    manager = Recording()
    manager.add_chain("at", hook="output")
    manager.add_chain("below")
    rule = Rule(DROP, source_mac="02:00:00:00:00:01")
    if deep:
        manager.add_rule("below", rule)
    with pytest.raises(InvalidArgument, match="a source MAC address is for hook prerouting and input and forward, and"):
        manager.add_rule("at", Rule(Jump("below")) if deep else rule)


def test_reject_is_for_the_filter() -> None:
    manager = Recording()
    manager.add_chain("at", hook="prerouting", table="mangle")
    manager.add_rule("at", Rule(DROP), table="mangle")
    with pytest.raises(InvalidArgument, match="Reject is for table filter"):
        manager.add_rule("at", Rule(Reject()), table="mangle")


# -- choice -----------------------------------------------------------------------------------------------


def test_what_the_backend_lacks_is_refused_when_it_is_added() -> None:
    class Poor(Recording):
        lacks = {Capability.RATE_LIMIT: "no limits here", Capability.LAYER2: "no layer 2 here"}  # noqa: RUF012

    manager = Poor()
    manager.add_chain("a")
    with pytest.raises(Unsupported, match="no limits here") as raised:
        manager.add_rule("a", Rule(ACCEPT, limit="1/second"))
    assert raised.value.capability == "rate-limit"
    with pytest.raises(Unsupported, match="no layer 2 here"):
        manager.guard_port(PortGuard("tap1", "52:54:00:12:34:56"))
    assert manager.rules("a") == ()
    assert manager.probe(Capability.RATE_LIMIT) == "no limits here"


def test_the_same_owner_and_choice_give_the_same_manager() -> None:
    assert get_manager("me", "null") is get_manager("me", "null")
    assert get_manager("you", "null") is not get_manager("me", "null")
    with pytest.raises(InvalidArgument, match="owner 'a b' is not possible"):
        get_manager("a b", "null")


@pytest.mark.parametrize("name", ["iptables", "iptables-legacy", "iptables-nft", "nftables", "pf", "null"])
def test_every_name_gives_a_manager_that_has_touched_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert isinstance(get_manager("me", name), FirewallManager)


def test_the_null_firewall_does_nothing_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    manager = NullFirewall("me")
    assert manager.capabilities() == frozenset()
    manager.add_chain("a", hook="input")
    manager.add_rule("a", A)
    manager.apply()
    assert "filters nothing" in caplog.text
    assert manager.standing() == ()
    for call in (lambda: manager.counters("a"), lambda: manager.forget_connections("192.0.2.1")):
        with pytest.raises(Unsupported, match="filters nothing"):
            call()
    manager.teardown()


@pytest.mark.parametrize("options", [{"position": "middle"}, {"lock_time_limit": -1}, {"lock_time_limit": "1"}])
def test_options_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        NullFirewall("me", **options)
