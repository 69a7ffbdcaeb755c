"""A host as Nova's agents have it: a network stack, options at their defaults, a firewall and servers to end."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from linux_net_ground import CardDriver, IvsDriver, TaggedDriver

from conformance.topology.linux import Sandbox
from refnet import config, dhcp, linux_net


@pytest.fixture
def host(stack: Sandbox) -> Iterator[Sandbox]:
    # Not below pytest's directories, which the server's user cannot get into.
    directory = Path("/run") / f"refnet-nova-{os.getpid()}"
    linux_net.configure(networks_path=str(directory), my_ip="192.0.2.1")
    try:
        yield stack
    finally:
        servers = dhcp.get_manager(directory, firewall=linux_net.iptables_manager.firewall)
        for name in servers.networks():
            servers.stop(name, forget=True)
        linux_net.iptables_manager.firewall.teardown()
        subprocess.run(["rm", "-rf", directory], check=True)
        linux_net.configure(**{one.name: one.default for one in dataclasses.fields(linux_net.Options)})


@pytest.fixture
def choose(host: Sandbox) -> Iterator[Callable[[type], None]]:
    """Return what has a driver of linux_net_ground do the work, as an option does."""
    del host

    def chosen(kind: type) -> None:
        config.configure(netdev=f"linux_net_ground:{kind.__name__}")

    TaggedDriver.asked.clear()
    IvsDriver.asked.clear()
    CardDriver.insert()
    try:
        yield chosen
    finally:
        config.configure(netdev="")
