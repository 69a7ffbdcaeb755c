"""A real dnsmasq's manager, on a bridge of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from dnsmasq_manager import ADDRESS, ADDRESS6, BRIDGE

from conformance.topology.linux import Sandbox
from refnet.dhcp.dnsmasq import DnsmasqManager
from refnet.dhcp.dnsmasq.place import Place


@pytest.fixture
def device(stack: Sandbox) -> str:
    stack.plain_bridge(BRIDGE)
    stack.remove_in_the_end(BRIDGE)
    stack.add_address(BRIDGE, ADDRESS, ADDRESS6)
    stack.look.rest()
    return BRIDGE


@pytest.fixture
def manager(device: str) -> Iterator[DnsmasqManager]:
    # Not below pytest's directories, which the server's user cannot get into.
    directory = Path("/run") / f"refnet-test-{os.getpid()}"
    made = DnsmasqManager(directory, time_limit=60)
    try:
        yield made
    finally:
        for name in made.networks():
            made.stop(name, forget=True)
        subprocess.run(["rm", "-rf", directory], check=True)


@pytest.fixture
def place(manager: DnsmasqManager) -> Place:
    return Place(manager.directory, BRIDGE)
