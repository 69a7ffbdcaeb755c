"""Fixtures: an Open vSwitch of a test's own, in a network stack of its own, and the driver that finds it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conformance.topology import switch as switches
from conformance.topology.linux import Sandbox
from conformance.topology.switch import Switch
from refnet import config
from refnet.netdev.linux import LinuxNetDevDriver

MAC = "52:54:00:12:34:56"


@pytest.fixture
def switch(stack: Sandbox, tap: None, tmp_path: Path) -> Iterator[Switch]:
    """Both daemons, with a database of their own; refnet is told where."""
    lacking = switches.lacking()
    if lacking:
        pytest.fail(f"{lacking} is not installed (Debian: package openvswitch-switch)", pytrace=False)
    made = Switch(stack, tmp_path / "ovs")
    config.configure(ovsdb=made.address)
    try:
        yield made
    finally:
        config.configure(ovsdb="")
        made.close()


@pytest.fixture
def ovs(switch: Switch, driver: LinuxNetDevDriver) -> LinuxNetDevDriver:
    """The driver, and a bridge br0 that the switch forwards for itself."""
    driver.ensure_ovs_bridge("br0", datapath_type="netdev")
    return driver


@pytest.fixture
def plug(ovs: LinuxNetDevDriver) -> Callable[..., None]:
    """Make a tap and have it be a port of br0."""

    def plug(dev: str, **options: object) -> None:
        ovs.create_tap_dev(dev)
        ovs.create_ovs_vif_port("br0", dev, f"id-{dev}", MAC, **options)  # type: ignore[arg-type]

    return plug
