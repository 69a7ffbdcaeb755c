"""Errors: their one line, the parts beside it, and which method's name they carry."""

from __future__ import annotations

import copy
import errno
import inspect
import pickle
from typing import Any

import pytest

from refnet import errors
from refnet.errors import (
    AlreadyEnslaved,
    AlreadyExists,
    AnchorNotReferenced,
    CommandFailed,
    DriverNotFound,
    InvalidArgument,
    InvalidName,
    LeaseOfAnother,
    Mismatch,
    NoSuchDevice,
    RefnetError,
    RuleError,
    SwitchUnreachable,
    TeardownFailed,
    ToolMissing,
    Unsupported,
    operation,
)
from refnet.netdev.driver import Capability

EVERY_TYPE = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, RefnetError)]
#: What these take besides the message.
MORE: dict[type[RefnetError], dict[str, Any]] = {
    AlreadyEnslaved: {"master": "br1"},
    AnchorNotReferenced: {"lines": ('anchor "refnet/*"',)},
    LeaseOfAnother: {"holder": "52:54:00:12:34:56"},
    RuleError: {"rule": "-j NOWHERE"},
    TeardownFailed: {"errors": ()},
    SwitchUnreachable: {"capability": "ovs"},
    Unsupported: {"capability": "vlan"},
    ToolMissing: {"tool": "dnsmasq"},
}


def made(kind: type[RefnetError]) -> RefnetError:
    if kind is CommandFailed:
        return CommandFailed(["ip", "link"], 2, "out", "err")
    facts = {"operation": "f", "device": "eth0", "errno": errno.EBUSY, "detail": "words", **MORE.get(kind, {})}
    return kind("a message", **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ({}, "it failed"),
        ({"operation": "create_bridge"}, "create_bridge: it failed"),
        ({"errno": errno.EBUSY}, "it failed [EBUSY]"),
        ({"errno": 0}, "it failed"),
        ({"errno": 99999}, "it failed [99999]"),
        ({"detail": "the kernel's words"}, "it failed [the kernel's words]"),
        ({"detail": "failed"}, "it failed"),
        ({"detail": ""}, "it failed"),
        ({"device": "eth0"}, "it failed"),
        (
            {"operation": "f", "device": "eth0", "errno": errno.ENODEV, "detail": "No such device"},
            "f: it failed [ENODEV: No such device]",
        ),
    ],
)
def test_an_error_is_one_line_of_what_is_known(facts: dict[str, object], line: str) -> None:
    error = RefnetError("it failed", **facts)  # type: ignore[arg-type]
    assert str(error) == line
    assert error.message == "it failed"
    assert vars(error) == {"message": "it failed", "operation": None, "device": None, "errno": None, "detail": None} | (
        facts
    )


@pytest.mark.parametrize("kind", EVERY_TYPE)
def test_every_type_can_be_raised_with_its_facts_and_caught_by_the_root(kind: type[RefnetError]) -> None:
    with pytest.raises(RefnetError) as caught:
        raise made(kind)
    for name, value in MORE.get(kind, {}).items():
        assert getattr(caught.value, name) == value


@pytest.mark.parametrize("kind", EVERY_TYPE)
def test_every_type_comes_whole_through_pickle_and_copy(kind: type[RefnetError]) -> None:
    error = made(kind)
    error.operation = "set_by_the_decorator"
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(other) is kind
        assert vars(other) == vars(error)
        assert str(other) == str(error)
        assert other.args == error.args


def test_what_refines_another_is_caught_as_it() -> None:
    assert issubclass(InvalidName, InvalidArgument)
    assert issubclass(InvalidArgument, ValueError)
    assert issubclass(DriverNotFound, InvalidArgument)
    assert issubclass(Mismatch, AlreadyExists)


@pytest.mark.parametrize(
    ("status", "stdout", "stderr", "line"),
    [
        (2, "", "no such thing\n", "'ip link' exited with 2: no such thing"),
        (2, "on the wrong side\n", "", "'ip link' exited with 2: on the wrong side"),
        (-9, "", "", "'ip link' exited with -9: it printed nothing"),
        (None, "", "half a line", "'ip link' did not end within 1.5 s: half a line"),
    ],
)
def test_a_command_that_failed_says_how(status: int | None, stdout: str, stderr: str, line: str) -> None:
    error = CommandFailed(["ip", "link"], status, stdout, stderr, time_limit=1.5)
    assert str(error) == line
    assert (error.argv, error.status, error.stdout, error.stderr) == (("ip", "link"), status, stdout, stderr)


class Example:
    """Methods such as a driver has."""

    @operation
    def outer(self, dev: str, *, number: int = 0) -> str:
        """Call another."""
        return self.inner(f"{dev}-inner")

    @operation
    def inner(self, dev: str) -> str:
        """Fail, or do not."""
        if dev == "fine-inner":
            return dev
        raise NoSuchDevice("it is gone")

    @operation
    def about(self, dev: object, device: str | None = None) -> None:
        """Fail about a device."""
        raise NoSuchDevice("it is gone", device=device)

    @operation
    def bare(self) -> None:
        """Fail about nothing."""
        raise NoSuchDevice("it is gone")

    @operation
    def broken(self, dev: str) -> None:
        """Fail in a way that is no error of refnet's."""
        raise KeyError(dev)


def test_the_outermost_method_names_the_operation() -> None:
    with pytest.raises(NoSuchDevice) as caught:
        Example().outer("eth0")
    assert caught.value.operation == "outer"
    assert caught.value.device == "eth0-inner"
    assert str(caught.value) == "outer: it is gone"


@pytest.mark.parametrize(
    ("args", "kwargs", "device"),
    [
        (("eth0",), {}, "eth0"),
        ((), {"dev": "eth0"}, "eth0"),
        ((), {"device": "eth1", "dev": "eth0"}, "eth1"),
        (("eth0", "eth1"), {}, "eth1"),
        ((7,), {}, None),
        ((), {"dev": 7}, None),
        ((Capability.BRIDGE,), {}, None),
    ],
)
def test_the_device_is_the_errors_own_or_else_the_first_argument(
    args: tuple[object, ...], kwargs: dict[str, object], device: str | None
) -> None:
    with pytest.raises(NoSuchDevice) as caught:
        Example().about(*args, **kwargs)  # type: ignore[arg-type]
    assert caught.value.device == device


def test_a_method_without_arguments_is_about_no_device() -> None:
    with pytest.raises(NoSuchDevice) as caught:
        Example().bare()
    assert (caught.value.operation, caught.value.device) == ("bare", None)


def test_the_decorator_changes_nothing_else() -> None:
    assert Example().outer("fine") == "fine-inner"
    assert str(inspect.signature(Example.outer)) == "(self, dev: 'str', *, number: 'int' = 0) -> 'str'"
    assert Example.outer.__doc__ == "Call another."
    with pytest.raises(KeyError):
        Example().broken("eth0")
