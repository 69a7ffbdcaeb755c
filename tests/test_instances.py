"""Drivers and managers of which a process has one: asked for by several threads at once, and after a fork."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from refnet import config, firewall, netdev
from refnet.firewall.null import NullFirewall
from refnet.netdev.linux import LinuxNetDevDriver

ASKERS: dict[str, Callable[[], Any]] = {
    "netdev": lambda: netdev.get_driver("slow_drivers:Driver"),
    "firewall": lambda: firewall.get_manager("me", "slow_drivers:Manager"),
}


@pytest.fixture
def making(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Semaphore, threading.Event]]:
    """In this process, each driver and manager tells that it is being made, and waits until it may be."""
    begun, may_be, here = threading.Semaphore(0), threading.Event(), os.getpid()

    def wait() -> None:
        if os.getpid() == here:
            begun.release()
            assert may_be.wait(30)

    class Driver(LinuxNetDevDriver):
        def __init__(self) -> None:
            wait()
            super().__init__()

    class Manager(NullFirewall):
        def __init__(self, owner: str) -> None:
            wait()
            super().__init__(owner)

    module: Any = types.ModuleType("slow_drivers")
    module.Driver, module.Manager = Driver, Manager
    monkeypatch.setitem(sys.modules, "slow_drivers", module)
    monkeypatch.setattr(netdev, "_drivers", config.Instances())
    monkeypatch.setattr(firewall, "_managers", config.Instances())
    yield begun, may_be
    may_be.set()


@pytest.mark.parametrize("kind", ASKERS)
def test_threads_that_ask_at_once_get_the_same(kind: str, making: tuple[threading.Semaphore, threading.Event]) -> None:
    begun, may_be = making
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(ASKERS[kind]())) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert begun.acquire(timeout=30)
    begun.acquire(timeout=0.2)  # time for the others to come in, if they can
    may_be.set()
    for thread in threads:
        thread.join(30)
    assert len(found) == 8
    assert len(set(map(id, found))) == 1


@pytest.mark.parametrize("kind", ASKERS)
def test_a_child_does_not_wait_for_a_thread_that_it_does_not_have(
    kind: str, making: tuple[threading.Semaphore, threading.Event]
) -> None:
    begun, may_be = making
    thread = threading.Thread(target=ASKERS[kind])
    thread.start()
    assert begun.acquire(timeout=30)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            os.write(writing, type(ASKERS[kind]()).__name__.encode())
        os._exit(0)
    os.close(writing)
    has_ended, _, _ = select.select([reading], [], [], 30)
    if not has_ended:
        os.kill(child, 9)
    os.waitpid(child, 0)
    with os.fdopen(reading) as answer:
        assert answer.read() in ("Driver", "Manager")
    may_be.set()
    thread.join(30)


def test_one_that_could_not_be_made_is_tried_again() -> None:
    instances: config.Instances[str, list[int]] = config.Instances()
    with pytest.raises(ZeroDivisionError):
        instances.get("a", lambda: [1 // 0])
    first = instances.get("a", list)
    assert instances.get("a", lambda: [2]) is first
    assert instances.get("b", lambda: [3]) == [3]


def test_one_may_ask_for_another_while_it_is_made() -> None:
    instances: config.Instances[str, str] = config.Instances()
    assert instances.get("a", lambda: "a" + instances.get("b", lambda: "b")) == "ab"
