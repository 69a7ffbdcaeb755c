"""Fixtures: a network stack of a test's own, in the throw-away namespaces that 'make test' starts the session in."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from conformance import features
from conformance.environments.inside import INSIDE
from conformance.topology.linux import Sandbox, namespaces
from refnet.netdev.linux import LinuxNetDevDriver

# A slow machine is no reason to fail.
settings.register_profile("refnet", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("refnet")


@pytest.fixture(scope="session")
def inside() -> None:
    """See that this is inside of throw-away namespaces, where a test may make what it likes."""
    if INSIDE not in os.environ:
        pytest.fail(
            "this test changes a network, and does so in throw-away namespaces only: start the tests with 'make test', "
            "or with 'python -m conformance.environments.local python -m pytest tests'",
            pytrace=False,
        )
    _own_mounts()


@functools.cache
def _own_mounts() -> None:
    # Workers run in one mount namespace, and each test mounts a /sys of its own.
    namespaces.unshare(namespaces.CLONE_NEWNS)


@pytest.fixture
def stack(inside: None) -> Iterator[Sandbox]:
    """A network stack with nothing but a loopback that is up; the test and what it starts are in it."""
    sandbox = Sandbox("tests")
    try:
        yield sandbox
    finally:
        sandbox.remove_endpoints()
        sandbox.leave()


@pytest.fixture
def driver(stack: Sandbox) -> Iterator[LinuxNetDevDriver]:
    """The driver for Linux, in a stack of its own."""
    with LinuxNetDevDriver() as made:
        yield made


@pytest.fixture(scope="session")
def nobody() -> None:
    """Another user than root, whom a process can become: an ordinary user's ``make test`` has a namespace without."""
    if sum(int(line.split()[2]) for line in Path("/proc/self/uid_map").read_text().splitlines()) < 2:
        pytest.skip("this user namespace has one user, root: no process can become another one")


@pytest.fixture
def tap(stack: Sandbox) -> None:
    """Taps: where an ordinary user may not open their device file, there are none."""
    reason = features.lacking("tap")
    if reason:
        pytest.skip(reason)
