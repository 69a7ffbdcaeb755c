"""Killed and refused: at each of the requests that an apply or teardown makes, without privileges and without tools.

What a request is that fails, or that the process dies at, :mod:`conformance.faults` says.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

from conformance import faults
from conformance.errors import SuiteError
from conformance.harness import FirewallUnderTest, in_child
from conformance.spec import spec
from conformance.specs.firewall.each_request import counting, dies_at
from conformance.specs.firewall.old_and_new import NEW, NONE, OLD, Ground, new, old
from conformance.system import LINUX
from conformance.topology.sandbox import Sandbox
from refnet.errors import PermissionDenied, RefnetError, TeardownFailed, ToolMissing
from refnet.firewall import Capability

FILTER = Capability.FILTER


# -- killed -----------------------------------------------------------------------------------------------


@spec(
    "FF-01",
    "A manager that is killed anywhere in its first apply leaves each table's old rules or its new ones, and the next "
    "one's apply finishes it.",
    capability=FILTER,
)
def test_killed_in_whole(firewall: FirewallUnderTest, net: Sandbox) -> None:
    ground = Ground(firewall, net)

    def call() -> None:
        manager = firewall.fresh()
        ground.new(manager)
        manager.apply()

    before = firewall.fresh()
    ground.old(before)
    before.apply()
    for at in dies_at("the first apply", call):
        ground.see(f"after a kill at request {at} of the first apply", OLD, NEW, by_table=True)
        with firewall.fresh() as after:
            ground.new(after)
            after.apply()
        ground.see(f"after a kill at request {at} and the apply of the next manager", NEW)
        before.resync()
        ground.see("the old rules, applied again", OLD)


@spec(
    "FF-02",
    "A manager that is killed anywhere in the apply of a change leaves each table's rules as before it or after it, "
    "and the next one's apply finishes it.",
    capability=FILTER,
)
def test_killed_in_change(firewall: FirewallUnderTest, net: Sandbox) -> None:
    ground = Ground(firewall, net)
    ground.old(firewall)
    firewall.apply()
    own: list[FirewallUnderTest] = []

    def before() -> None:
        # A manager of the process's own, which knows what stands: a fork of this one would have to look first.
        own.append(firewall.fresh())
        ground.old(own[0])
        own[0].apply()

    def call() -> None:
        ground.change(own[0])
        own[0].apply()

    for at in dies_at("the apply of a change", call, before):
        ground.see(f"after a kill at request {at} of the apply of a change", OLD, NEW, by_table=True)
        with firewall.fresh() as after:
            ground.new(after)
            after.apply()
        ground.see(f"after a kill at request {at} and the apply of the next manager", NEW)
        firewall.resync()
        ground.see("the old rules, applied again", OLD)


@spec(
    "FF-03",
    "After a kill anywhere in teardown, the next teardown removes all that is left.",
    capability=FILTER,
)
def test_killed_in_teardown(firewall: FirewallUnderTest, net: Sandbox) -> None:
    ground = Ground(firewall, net)
    untouched = net.look.rules()
    ground.old(firewall)
    firewall.apply()
    for at in dies_at("teardown", lambda: firewall.fresh().teardown()):
        with firewall.fresh() as after:
            after.teardown()
        ground.see(f"after a kill at request {at} of teardown, and another teardown", NONE)
        left = net.look.rules()
        assert left == untouched, f"after a kill at request {at} of teardown and another teardown, there is {left}"
        firewall.resync()
    firewall.teardown()


# -- refused ----------------------------------------------------------------------------------------------


@spec(
    "FF-04",
    "Whichever request of apply fails, it raises with each family's rules as before or applied, and the next apply "
    "goes through.",
    capability=FILTER,
)
def test_fails(firewall: FirewallUnderTest, net: Sandbox) -> None:
    ground = Ground(firewall, net)
    ground.old(firewall)
    firewall.apply()
    for at in counting("apply"):
        with firewall.fresh() as manager:
            ground.new(manager)
            error: RefnetError | None = None
            with faults.injected(at) as injection:
                try:
                    manager.apply()
                except RefnetError as found:
                    error = found
            if not injection.hit:
                assert error is None, f"apply fails without a fault: {error}"
                if at == 1:
                    raise SuiteError("apply makes no request that could fail: this proves nothing")
                break
            if error is None:
                ground.see(f"request {at} of apply failed, and it has said nothing", NEW)
            else:
                ground.see(f"request {at} of apply failed", OLD, NEW)
                assert error.operation == "apply", f"the error of apply says that it is from {error.operation!r}"
            manager.apply()
            ground.see(f"request {at} of apply failed, and the next apply went through", NEW)
        firewall.resync()


@spec(
    "FF-05",
    "Whichever request of the apply of a change fails, each family's rules are as before or applied, and the next "
    "apply goes through.",
    capability=FILTER,
)
def test_change_fails(firewall: FirewallUnderTest, net: Sandbox) -> None:
    ground = Ground(firewall, net)
    ground.old(firewall)
    firewall.apply()
    for at in counting("the apply of a change"):
        ground.change(firewall)
        error: RefnetError | None = None
        with faults.injected(at) as injection:
            try:
                firewall.apply()
            except RefnetError as found:
                error = found
        if not injection.hit:
            assert error is None, f"the apply of a change fails without a fault: {error}"
            if at == 1:
                raise SuiteError("the apply of a change makes no request that could fail: this proves nothing")
            break
        possible = (NEW,) if error is None else (OLD, NEW)
        ground.see(f"request {at} of the apply of a change failed ({error})", *possible)
        firewall.apply()
        ground.see(f"request {at} of the apply of a change failed, and the next apply went through", NEW)
        ground.change_back(firewall)
        firewall.apply()
        ground.see("the change taken back", OLD)


@spec(
    "FF-16",
    "Whichever request of teardown fails, it says so or has removed all, and the next teardown removes the rest.",
    capability=FILTER,
)
def test_teardown_fails(firewall: FirewallUnderTest, net: Sandbox) -> None:
    ground = Ground(firewall, net)
    untouched = net.look.rules()
    for at in counting("teardown"):
        ground.old(firewall)
        firewall.apply()
        error: RefnetError | None = None
        with faults.injected(at) as injection:
            try:
                firewall.teardown()
            except RefnetError as found:
                error = found
        if error is None:
            left = net.look.rules()
            assert left == untouched, f"request {at} of teardown failed, it has said nothing, and there is {left}"
        if not injection.hit:
            assert error is None, f"teardown fails without a fault: {error}"
            break
        firewall.teardown()
        left = net.look.rules()
        assert left == untouched, f"request {at} of teardown failed, and after the next teardown there is {left}"


@spec(
    "FF-06",
    "Without the privilege, apply and resync raise PermissionDenied, teardown tells it as its reason, and nothing has "
    "changed.",
    capability=FILTER,
)
def test_without_privilege(firewall: FirewallUnderTest, net: Sandbox) -> None:
    old(firewall)
    firewall.apply()

    def unprivileged() -> None:
        manager = firewall.fresh()
        new(manager)
        net.drop_privileges()
        for what, call in (("apply", manager.apply), ("resync", manager.resync), ("teardown", manager.teardown)):
            try:
                call()
            except PermissionDenied:
                continue
            except TeardownFailed as error:
                if all(isinstance(one, PermissionDenied) for one in error.errors):
                    continue
                raise
            raise AssertionError(f"{what} went through without the privilege")

    with net.look.unchanged("calls without privilege"):
        status = in_child(unprivileged)
    assert status == 0, "a call without privilege was not refused with PermissionDenied"


@contextlib.contextmanager
def _without_tools() -> Iterator[None]:
    path = os.environ["PATH"]
    os.environ["PATH"] = "/nonexistent"
    try:
        yield
    finally:
        os.environ["PATH"] = path


def _missed(what: str, call: Callable[[], object]) -> ToolMissing:
    """Make a call without any tool, and return what it says is missing; of teardown that may be one of its reasons."""
    try:
        with _without_tools():
            call()
    except ToolMissing as error:
        return error
    except RefnetError as error:
        reasons = error.errors if isinstance(error, TeardownFailed) else []
        for reason in reasons:
            if isinstance(reason, ToolMissing):
                return reason
        raise AssertionError(f"without tools, {what} raises {type(error).__name__}: {error}") from error
    raise AssertionError(f"without tools, {what} goes through")


@spec(
    "FF-07",
    "Where a tool is not installed, apply and teardown say so and name it, nothing has changed, and both work when it "
    "is back.",
    capability=FILTER,
    systems=(LINUX,),  # FreeBSD's are of the base system, and are called where they are
)
def test_without_tools(firewall: FirewallUnderTest, net: Sandbox) -> None:
    untouched = net.look.rules()
    old(firewall)
    firewall.apply()
    manager = firewall.fresh()
    new(manager)
    for what, call in (("apply", manager.apply), ("teardown", firewall.teardown)):
        with net.look.unchanged(f"{what} without tools"):
            said = _missed(what, call)
        assert said.tool and said.tool in str(said), f"the error of {what} does not name the missing tool: {said}"
    manager.apply()
    firewall.teardown()
    left = net.look.rules()
    assert left == untouched, f"after a teardown without tools, and one with them, there is {left}"
