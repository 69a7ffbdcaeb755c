"""Random calls, and what they cost: a manager's changes lead its host to the model, and blocks are as if they were not.

What is expected of the calls is computed with lists, which are copied for each block.
"""

from __future__ import annotations

import contextlib
import copy
import os
import threading
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recording_firewall import Recording

from refnet.errors import InvalidArgument, LockTimeout, RefnetError
from refnet.firewall import ACCEPT, DROP, Jump, Masquerade, Rule, Snat, Table
from refnet.firewall.model import Chain

MAC = "02:00:00:00:00:01"
HOOKS = {"a": "forward", "b": "output", "x": None, "y": None}
CHAINS = st.sampled_from(sorted(HOOKS))
JUMPS = [Rule(Jump("x")), Rule(Jump("y")), Rule(Jump("y"), comment="again")]
RULES = st.sampled_from(
    [*(Rule(ACCEPT, source=f"192.0.2.{number}") for number in range(3)), Rule(DROP, source_mac=MAC), *JUMPS]
)
#: Before anything else: a few of everything, or most calls would find nothing.
START = [*(("add chain", name) for name in HOOKS), ("add", "a", Rule(Jump("x")), False)]


_ONE = st.one_of(
    *(st.tuples(st.just("add"), CHAINS, RULES, st.booleans()) for _ in range(4)),
    *(st.tuples(st.just("remove"), CHAINS, RULES) for _ in range(3)),
    *(st.tuples(st.just(what), CHAINS) for what in ("empty", "remove chain", "add chain", "add chain")),
    st.sampled_from([("apply",), ("apply",), ("fail",), ("teardown",), ("lost",)]),
)
_BLOCK = st.tuples(
    st.sampled_from(("done", "undone")),
    st.lists(_ONE | st.tuples(st.sampled_from(("done", "undone")), st.lists(_ONE, max_size=3)), max_size=12),
)
_CALLS = st.lists(_ONE | _ONE | _BLOCK, max_size=25)


class Expected:
    """Chains as lists of rules, in a dict that keeps their order."""

    def __init__(self) -> None:
        self.chains: dict[str, list[Rule]] = {}

    def call(self, what: str, name: str, rule: Any = None, first: bool = False) -> bool:
        """Do the same here, and say whether it is possible at all."""
        there = self.chains.get(name)
        if what == "add chain":
            self.chains.setdefault(name, [])
        elif what == "remove chain":
            if any(_jumps(one) == name for rules in self.chains.values() for one in rules):
                return False
            self.chains.pop(name, None)
        elif there is None:
            return False
        elif what == "empty":
            there.clear()
        elif what == "remove":
            if rule in there:
                there.remove(rule)
        elif rule not in there:
            there.insert(0 if first else len(there), rule)
            if not self._can_be():
                there.remove(rule)
                return False
        return True

    def _can_be(self) -> bool:
        for name in self.chains:
            below = self._below(name, 9)
            if below is None or (name == "b" and any(rule.source_mac for one in below for rule in self.chains[one])):
                return False
        return True

    def _below(self, name: str, left: int) -> set[str] | None:
        """Return a chain and those that it leads to; None: to one that is not there, or in a circle."""
        if name not in self.chains or not left:
            return None
        found = {name}
        for target in filter(None, map(_jumps, self.chains[name])):
            below = self._below(target, left - 1)
            if below is None:
                return None
            found |= below
        return found


def _jumps(rule: Rule) -> str | None:
    return rule.action.chain if isinstance(rule.action, Jump) else None


class Leaving(Exception):
    pass


def carry_out(manager: Recording, expected: Expected, calls: list[Any], *, within: bool = False) -> None:
    for what, *more in calls:
        if what == "done":
            with manager.deferred():
                carry_out(manager, expected, more[0], within=True)
            assert within or manager.host == manager.model
        elif what == "undone":
            before = copy.deepcopy(expected.chains)
            with pytest.raises(Leaving), manager.deferred():  # noqa: PT012 - the block is what is tried
                carry_out(manager, expected, more[0], within=True)
                raise Leaving
            if not within:
                expected.chains = before
            # Within another block, it is that one's end that counts.
        elif what == "apply":
            manager.apply()
            assert within or manager.host == manager.model
        elif what == "fail":
            manager.fails, before = RefnetError("no"), manager.model
            try:
                manager.apply()
            except RefnetError:
                assert manager.model == before
            manager.fails = None
        elif what == "teardown":
            manager.teardown()
            assert manager.host == {}
            expected.chains.clear()
        elif what == "lost":
            if not within:
                manager.host.clear()
                manager.resync()
        else:
            _call(manager, expected, what, *more)
        assert {name: rules for (_, name), rules in manager.model.items()} == expected.chains
        assert list(expected.chains) == [name for _, name, _ in manager.chains()]
        see_counts(manager)


def _call(manager: Recording, expected: Expected, what: str, name: str, *more: Any) -> None:
    call = {
        "add chain": lambda: manager.add_chain(name, hook=HOOKS[name]),
        "remove chain": lambda: manager.remove_chain(name),
        "empty": lambda: manager.empty_chain(name),
        "remove": lambda: manager.remove_rule(name, more[0]),
        "add": lambda: manager.add_rule(name, more[0], first=more[1]),
    }[what]
    if expected.call(what, name, *more):
        call()
    else:
        with pytest.raises(InvalidArgument):
            call()


def see_counts(manager: Recording) -> None:
    """See that what is counted beside the rules is what is in them, with nothing left over."""
    chains = manager._model.chains
    calls = [(one, name) for one in chains.values() for rule in one.rules() if (name := _jumps(rule))]
    for key, chain in chains.items():
        assert dict(chain.jumps) == dict(Counter(name for one, name in calls if one is chain))
        assert dict(chain.callers) == dict(Counter(one.name for one, name in calls if (one.table, name) == key))
        assert sum(chain.restricted.values()) == sum(rule.source_mac is not None for rule in chain.rules())


@settings(max_examples=400)
@given(_CALLS)
def test_what_is_committed_leads_to_the_model(calls: list[Any]) -> None:
    manager, expected = Recording(), Expected()
    carry_out(manager, expected, START)
    carry_out(manager, expected, calls)
    manager.apply()
    assert manager.host == manager.model


@pytest.mark.parametrize("ending", ["done", "undone"])
def test_a_teardown_in_a_block_leaves_nothing_of_what_was_to_come(ending: str) -> None:
    manager, expected = Recording(), Expected()
    block = [("add", "x", JUMPS[1], False), ("teardown",), ("add chain", "y")]
    carry_out(manager, expected, [*START, (ending, block), ("apply",)])
    assert set(manager.host) == {key for key in manager.model if ending == "undone" or key[1] == "y"}


# -- what it costs: counted, not timed --------------------------------------------------------------------


def _filled(many: int) -> tuple[Recording, list[Rule]]:
    manager = Recording()
    manager.add_chain("a", hook="forward")
    rules = [Rule(ACCEPT, source=f"10.0.{number // 250}.{number % 250}") for number in range(many)]
    for rule in rules:
        manager.add_rule("a", rule)
    manager.apply()
    return manager, rules


@pytest.mark.parametrize("in_block", [False, True])
def test_removing_costs_what_is_removed(monkeypatch: pytest.MonkeyPatch, in_block: bool) -> None:
    """Rules that stand, and others that have only been added: for each, a few rules are compared."""
    manager, rules = _filled(2000)
    more = [Rule(DROP, source=one.source) for one in rules]
    compared = 0
    equal = Rule.__eq__

    def counted(one: Rule, other: object) -> bool:
        nonlocal compared
        compared += 1
        return equal(one, other)

    with manager.deferred():
        for rule in more:
            if in_block:
                with manager.deferred():
                    manager.add_rule("a", rule)
            else:
                manager.add_rule("a", rule)
        monkeypatch.setattr(Rule, "__eq__", counted)
        for rule in (*more, *rules):
            manager.remove_rule("a", rule)
        monkeypatch.undo()
    assert compared < 10 * len(rules)
    assert manager.host == manager.model == {(Table.FILTER, "a"): []}


def test_a_block_costs_what_is_done_in_it() -> None:
    """Neither rules that stand, nor chains, nor what waits to be applied, is copied for a rule more."""
    manager, rules = _filled(5000)
    for number in range(2000):
        manager.add_chain(f"c{number}")
    rule, other = Rule(DROP), Rule(DROP, source="192.0.2.1")
    manager.defer_apply_on()
    for first in (False, True):
        tracemalloc.start()
        with manager.deferred():
            manager.add_rule("a", rule, first=first)
            manager.add_rule("c7", Rule(ACCEPT), first=first)
            manager.add_chain("new")
        with contextlib.suppress(Leaving), manager.deferred():
            manager.add_rule("a", other, first=first)
            raise Leaving
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 30_000  # the copy of either takes some 200,000
        manager.remove_rule("a", rule)
    assert manager.rules("a") == tuple(rules)


def test_chains_that_come_and_go_leave_nothing() -> None:
    manager = Recording()
    manager.add_chain("a", hook="forward")
    manager.add_chain("common")
    for number in range(20):
        name = f"port{number}"
        manager.add_chain(name)
        manager.add_rule("a", Rule(Jump(name)))
        manager.add_rule(name, Rule(Jump("common")))
        manager.apply()
        manager.remove_rule("a", Rule(Jump(name)))
        manager.remove_rule(name, Rule(Jump("common")))
        manager.remove_chain(name)
        manager.apply()
    for chain in manager._model.chains.values():
        assert not any((chain.jumps, chain.callers, chain.restricted))


def test_a_jump_looks_at_who_calls_only_where_hooks_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = Recording()
    for name in ("common", "below"):
        manager.add_chain(name, table="nat")
    for number in range(100):
        manager.add_chain(f"c{number}", table="nat")
        manager.add_rule(f"c{number}", Rule(Jump("common")), table="nat")
    asked: list[Chain] = []
    monkeypatch.setattr(manager._model, "_hooks_that_reach", lambda chain: asked.append(chain) or set())
    manager.add_rule("common", Rule(Jump("below")), table="nat")
    assert not asked
    manager.add_rule("below", Rule(Masquerade()), table="nat")
    manager.add_rule("below", Rule(Snat("192.0.2.1")), table="nat")
    assert len(asked) == 2


def test_a_message_names_a_few_of_thousands() -> None:
    manager = Recording()
    for number in range(1000):
        manager.add_chain(f"c{number:03}")
    with pytest.raises(InvalidArgument, match=r"there are: c000, .*, c009, and 990 more\)"):
        manager.rules("d")
    for number in range(999):
        manager.add_rule(f"c{number:03}", Rule(Jump("c999")))
    with pytest.raises(InvalidArgument, match=r"chain c999 is jumped to from c000, .*, c009, and 989 more: remove"):
        manager.remove_chain("c999")


# -- threads and processes --------------------------------------------------------------------------------


@contextlib.contextmanager
def _another_thread_in_a_block(manager: Recording) -> Iterator[None]:
    inside, leave = threading.Event(), threading.Event()

    def work() -> None:
        with manager.deferred():
            manager.add_rule("a", JUMPS[0])
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert inside.wait(60)
        yield
    finally:
        leave.set()
        thread.join()


def _waiting() -> Recording:
    manager = Recording(lock_time_limit=0.05)
    for name in ("a", "x"):
        manager.add_chain(name)
    manager.apply()
    return manager


CALLS_OF_OTHERS: list[Any] = [
    lambda manager: manager.add_rule("a", JUMPS[0]),
    lambda manager: manager.remove_chain("a"),
    lambda manager: manager.rules("a"),
    lambda manager: manager.chains(),
    lambda manager: manager.apply(),
    lambda manager: manager.teardown(),
    lambda manager: manager.deferred().__enter__(),
    lambda manager: manager.ipv4["filter"].rules,
]


@pytest.mark.parametrize("call", CALLS_OF_OTHERS)
def test_threads_do_not_wait_for_each_other_for_ever(call: Any) -> None:
    manager = _waiting()
    said = r"another thread has not let go of this manager for 0\.05 s: it is in a deferred"
    with _another_thread_in_a_block(manager), pytest.raises(LockTimeout, match=said):
        call(manager)
    assert manager.host == manager.model == {(Table.FILTER, "a"): [JUMPS[0]], (Table.FILTER, "x"): []}


def test_a_process_that_was_forked_in_another_threads_block_says_so() -> None:
    manager = _waiting()
    with _another_thread_in_a_block(manager):
        assert _in_a_fork(lambda: _refused(manager)) == "LockTimeout"


def _refused(manager: Recording) -> str:
    try:
        manager.apply()
    except RefnetError as error:
        return type(error).__name__
    return "applied"


def test_the_first_apply_of_a_process_looks_at_the_host() -> None:
    manager = _waiting()
    manager.apply()
    assert manager.commits == ["all"]

    def work() -> str:
        manager.add_rule("a", JUMPS[0])
        manager.apply()
        manager.add_rule("a", Rule(ACCEPT))
        manager.apply()
        manager.apply()
        return " ".join(manager.commits)

    assert _in_a_fork(work) == "all all changes"


def _in_a_fork(work: Any) -> str:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            os.write(writing, work().encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said
