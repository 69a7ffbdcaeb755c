"""Held up, and several at once: locks that somebody holds, threads with one manager, and processes."""

from __future__ import annotations

import threading

from conformance import faults
from conformance.harness import FirewallUnderTest, in_children, within
from conformance.spec import spec
from conformance.specs.firewall.ground import drop, lay, model, standing
from conformance.specs.firewall.old_and_new import NEW, OLD, Ground, empty
from conformance.topology.sandbox import Sandbox
from refnet.errors import LockTimeout
from refnet.firewall import Capability

FILTER = Capability.FILTER
_SEVERAL = 4


class Interruption(Exception):
    """What leaves a block that is deferred."""


# -- held up ----------------------------------------------------------------------------------------------


@spec(
    "FF-08",
    "While somebody holds the tools' lock, apply ends within its time limit: with LockTimeout and nothing changed, or "
    "done, where it needs no such lock.",
    capability=FILTER,
)
def test_locked(firewall: FirewallUnderTest, net: Sandbox) -> None:
    ground = Ground(firewall, net)
    manager = firewall.fresh(lock_time_limit=1.0)
    ground.old(manager)
    manager.apply()
    with net.lock_rules():
        empty(manager)
        ground.new(manager)
        with within(30, "apply, with a time limit of 1 s for a lock that somebody holds,"):
            try:
                manager.apply()
            except LockTimeout:
                ground.see("a lock was held, and apply gave up", OLD)
            else:
                ground.see("a lock was held, and apply went through", NEW)
    manager.apply()
    ground.see("the lock was let go, and apply went through", NEW)


@spec(
    "FF-09",
    "An apply that waits for the tools' lock goes through when the lock is let go.",
    capability=FILTER,
)
def test_unlocked(firewall: FirewallUnderTest, net: Sandbox) -> None:
    ground = Ground(firewall, net)
    ground.new(firewall)
    raised: list[BaseException] = []

    def work() -> None:
        try:
            firewall.apply()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    with faults.injected(0) as seen, net.lock_rules():
        started = seen.requests
        thread.start()
        # Let go as soon as it has begun, or seems to wait without having started anything.
        for _ in range(200):
            thread.join(0.01)
            if seen.requests > started or not thread.is_alive():
                break
    thread.join(60)
    assert not thread.is_alive(), "an apply still waits 60 s after the lock was let go"
    assert not raised, f"an apply that waited for a lock failed: {raised[0]}"
    ground.see("a lock was let go", NEW)


# -- several at once --------------------------------------------------------------------------------------


@spec(
    "FF-10",
    "Threads can share a manager: each one's rules stand when its apply returns, and in the end all do.",
    capability=FILTER,
)
def test_threads(firewall: FirewallUnderTest, net: Sandbox) -> None:
    firewall.add_chain("guests", hook="forward")
    firewall.apply()
    gate = threading.Barrier(_SEVERAL)
    failed: list[str] = []

    def work(number: int) -> None:
        gate.wait()
        for step in range(3):
            rule = drop(7000 + 10 * number + step)
            try:
                firewall.add_rule("guests", rule)
                firewall.apply()
                stands = any(rule in one.rules for one in firewall.standing())
            except BaseException as error:
                failed.append(f"{type(error).__name__}: {error}")
                return
            if not stands:
                failed.append(f"{rule} does not stand after its apply")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(_SEVERAL)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, f"of {_SEVERAL} threads with one manager, some failed: {'; '.join(failed)}"
    found = standing(firewall.fresh())
    assert found == model(firewall), f"after {_SEVERAL} threads, there stands {found}"
    left = firewall.rules("guests")
    assert len(left) == 3 * _SEVERAL, f"of {3 * _SEVERAL} rules that threads have added, there are {left}"


@spec("FF-11", "Processes of different owners apply at once, and all succeed.", capability=FILTER)
def test_owners_at_once(firewall: FirewallUnderTest, net: Sandbox) -> None:
    managers = [firewall.fresh(f"owner{number}") for number in range(_SEVERAL)]

    def work(number: int) -> None:
        manager = managers[number]
        chain = lay(manager, drop(7000 + number))
        manager.apply()
        for step in range(2):
            manager.add_rule(chain, drop(7100 + 10 * number + step))
            manager.apply()

    statuses = in_children(_SEVERAL, work)
    assert statuses == [0] * _SEVERAL, f"of {_SEVERAL} processes with owners of their own, some failed: {statuses}"
    for number, manager in enumerate(managers):
        found = [one.rules for one in manager.standing()]
        expected = [(drop(7000 + number), drop(7100 + 10 * number), drop(7101 + 10 * number))]
        assert found == expected, f"of owner {manager.owner} there stands {found}, and not {expected}"


@spec(
    "FF-12",
    "Two processes of one owner that apply at once leave the rules of one of them, and nobody crashes.",
    capability=FILTER,
)
def test_one_owner_at_once(firewall: FirewallUnderTest, net: Sandbox) -> None:
    ground = Ground(firewall, net)

    def work(number: int) -> None:
        manager = firewall.fresh()
        (ground.old, ground.new)[number](manager)
        for _ in range(3):
            manager.resync()

    statuses = in_children(2, work)
    assert statuses == [0, 0], f"of two processes of one owner, some failed: {statuses}"
    ground.see("two processes of one owner have applied at once", OLD, NEW)
    ground.new(firewall)
    firewall.apply()
    ground.see("the apply that comes after both", NEW)


@spec(
    "FF-15",
    "What a thread does while another one's deferred() block fails is neither part of that block nor lost with it.",
    capability=FILTER,
)
def test_block_of_another(firewall: FirewallUnderTest, net: Sandbox) -> None:
    chain = lay(firewall, drop(7000))
    firewall.apply()

    begun = threading.Event()

    def work() -> None:
        begun.set()
        firewall.add_rule(chain, drop(7001))
        firewall.apply()

    thread = threading.Thread(target=work)
    control = firewall.fresh("control")
    other = lay(control, drop(7000))
    control.apply()
    try:
        with firewall.deferred():
            firewall.add_rule(chain, drop(7002))
            thread.start()
            begun.wait()
            # If it can get into the block, it has got there before all of this was applied, each at the same cost.
            for port in (7001, 7002, 7003):
                control.add_rule(other, drop(port))
                control.apply()
            raise Interruption
    except Interruption:
        pass
    thread.join(60)
    assert not thread.is_alive(), "a thread still waits 60 s after another one's block has failed"
    expected = (drop(7000), drop(7001))
    assert firewall.rules(chain) == expected, (
        f"after another thread's block has failed, the rules are {firewall.rules(chain)}"
    )
    found = standing(firewall)
    assert found == model(firewall), f"after another thread's block has failed, there stands {found}"
