"""A firewall whose model is here and whose host is there: after each apply both models are the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refnet import config
from refnet.errors import RefnetError
from refnet.firewall import ACCEPT, DROP, DhcpIsolation, FirewallManager, Jump, PortGuard, Rule
from refnet.privsep import PrivsepFirewall, client, sessions
from refnet.privsep.contexts import context

MAC = "52:54:00:12:34:56"
CHAINS = ("a", "b", "c")
RULES = [*(Rule(DROP, protocol="udp", destination_ports=port) for port in range(4)), Rule(ACCEPT), Rule(Jump("c"))]


@pytest.fixture(autouse=True)
def one_process() -> Iterator[None]:
    """Have the daemon's half run in this process, as oslo.privsep's own fixture does, over no real firewall."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(context, "client_mode", False)
        patch.setattr(client, "see_that_this_is_no_daemon", lambda group: None)
        patch.setattr(config, "_configured", {"refnet.firewall": "null"})
        patch.setattr(sessions, "_sessions", type(sessions._sessions)())
        yield


def there(manager: PrivsepFirewall) -> FirewallManager:
    return sessions._sessions[manager._session].manager


def model(manager: FirewallManager) -> Any:
    rules = {(table, name): manager.rules(name, table=table) for table, name, _ in manager.chains()}
    return manager.chains(), rules, set(manager.port_guards()), set(manager.dhcp_isolations())


Step = Callable[[FirewallManager], None]


def _steps() -> st.SearchStrategy[Step]:
    chain, rule = st.sampled_from(CHAINS), st.sampled_from(RULES)
    hook = st.sampled_from(["forward", "input", None])
    return st.one_of(
        st.builds(lambda name, hook: lambda one: one.add_chain(name, hook=hook), chain, hook),
        st.builds(lambda name: lambda one: one.remove_chain(name), chain),
        st.builds(lambda name: lambda one: one.empty_chain(name), chain),
        st.builds(
            lambda name, rule, first: lambda one: one.add_rule(name, rule, first=first), chain, rule, st.booleans()
        ),
        st.builds(lambda name, rule: lambda one: one.remove_rule(name, rule), chain, rule),
        st.builds(lambda port: lambda one: one.guard_port(PortGuard(port, MAC)), st.sampled_from(["p0", "p1"])),
        st.builds(lambda port: lambda one: one.unguard_port(port), st.sampled_from(["p0", "p1"])),
        st.just(lambda one: one.isolate_dhcp_address("eth0", "192.0.2.1")),
        st.just(lambda one: one.remove_isolate_dhcp_address("eth0", "192.0.2.1")),
        st.just(lambda one: one.apply()),
    )


@settings(max_examples=300)
@given(st.lists(_steps(), max_size=40))
def test_both_have_the_same_after_each_apply(steps: list[Step]) -> None:
    manager = PrivsepFirewall("web")
    for step in [lambda one: one.add_chain("a", hook="forward"), lambda one: one.add_chain("c"), *steps]:
        try:
            step(manager)
        except RefnetError:
            continue  # what cannot be is refused here, and not sent
        if manager._synced and not manager._model.changes and not manager._layer2_changed:
            assert model(there(manager)) == model(manager)
    manager.apply()
    assert model(there(manager)) == model(manager)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What has been sent since."""
    requests: list[Any] = []
    answer = sessions.answer

    def told(request: Any) -> Any:
        requests.append(request)
        return answer(request)

    monkeypatch.setattr(sessions, "answer", told)
    return requests


def test_what_is_sent_is_what_has_changed(sent: list[Any]) -> None:
    manager = PrivsepFirewall("web")
    manager.add_chain("a", hook="forward")
    for rule in RULES[:4]:
        manager.add_rule("a", rule)
    manager.apply()
    assert "whole" in sent.pop()["model"]
    manager.add_rule("a", RULES[4], first=True)
    manager.remove_rule("a", RULES[2])
    manager.apply()
    changes = sent.pop()["model"]["changes"]
    assert [rule for *_, rule, _ in changes["additions"]] == [RULES[4]]
    assert [rule for *_, rule in changes["removals"]] == [RULES[2]]
    assert (changes["chains"], changes["emptied"], changes["layer2"]) == (None, (), None)
    manager.apply()
    assert sent == [], "with nothing to do, nothing is asked"


def test_a_daemon_that_knows_nothing_is_sent_all(sent: list[Any]) -> None:
    manager = PrivsepFirewall("web")
    manager.add_chain("a", hook="forward")
    manager.apply()
    sessions._sessions.clear()  # it was started anew
    manager.add_rule("a", RULES[0])
    manager.apply()
    assert ["whole" in request["model"] for request in sent] == [True, False, True]
    assert model(there(manager)) == model(manager)


def test_a_chain_that_went_and_came_is_behind_the_others(sent: list[Any]) -> None:
    manager = PrivsepFirewall("web")
    for name in ("a", "b"):
        manager.add_chain(name, hook="forward")
    manager.apply()
    manager.remove_chain("a")
    manager.add_chain("a", hook="forward")
    manager.apply()
    assert [name for _, name, _ in there(manager).chains()] == ["b", "a"]


def test_after_an_error_all_is_sent_again(sent: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    manager = PrivsepFirewall("web")
    manager.add_chain("a", hook="forward")
    manager.apply()

    def refuse(self: object, *args: object, **kwargs: object) -> None:
        raise RefnetError("not now")

    with monkeypatch.context() as patch:
        patch.setattr("refnet.firewall.null.NullFirewall._commit", refuse)
        manager.add_rule("a", RULES[0])
        with pytest.raises(RefnetError, match="not now"):
            manager.apply()
    manager.apply()
    assert "whole" in sent[-1]["model"]
    assert model(there(manager)) == model(manager)


def test_isolations_and_guards_go_as_they_came() -> None:
    manager = PrivsepFirewall("web")
    manager.isolate_dhcp_address("eth0", "192.0.2.1")
    manager.guard_port(PortGuard("p0", MAC))
    manager.apply()
    assert there(manager).dhcp_isolations() == (DhcpIsolation("eth0", "192.0.2.1"),)
    manager.guard_port(PortGuard("p0", MAC, "192.0.2.7"))
    manager.remove_isolate_dhcp_address("eth0", "192.0.2.1")
    manager.apply()
    assert there(manager).dhcp_isolations() == ()
    assert there(manager).port_guards() == (PortGuard("p0", MAC, "192.0.2.7"),)
