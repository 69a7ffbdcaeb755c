"""What the specs of Open vSwitch share."""

from __future__ import annotations

import functools
from typing import Any

from conformance.errors import SuiteError
from conformance.harness import DriverUnderTest
from conformance.topology.base import Guest
from conformance.topology.sandbox import Sandbox

#: What numbers that the switch has given up look like in its database.
GIVEN_UP = "-1"


def made(netdev: DriverUnderTest, net: Sandbox, bridge: str, **options: Any) -> str:
    """Make a bridge of Open vSwitch through the driver, with the datapath that the environment has."""
    netdev.ensure_ovs_bridge(bridge, datapath_type=net.open_vswitch().datapath, **options)
    return bridge


def plugged(netdev: DriverUnderTest, net: Sandbox, bridge: str, *names: str) -> list[Guest]:
    """Plug a guest for each name into a bridge, through the driver."""
    guests = [net.guest(name) for name in names]
    for guest in guests:
        plug(netdev, bridge, guest)
    return guests


def plug(netdev: DriverUnderTest, bridge: str, guest: Guest, **options: Any) -> None:
    """Make a guest's port one of a bridge, with ids that can be told from those of other guests."""
    netdev.create_ovs_vif_port(bridge, guest.port, interface_id(guest.name), guest.mac, vm_id(guest.name), **options)


def interface_id(name: str) -> str:
    """Return the id that a controller would have given to a guest's interface."""
    return f"11111111-1111-4111-8111-{_twelve(name)}"


def vm_id(name: str) -> str:
    """Return the id that a compute service would have given to a guest."""
    return f"22222222-2222-4222-8222-{_twelve(name)}"


def bridge_of(net: Sandbox, port: str) -> str | None:
    """Return the bridge of the switch that has a port, as the switch's own tool tells; None: none has it."""
    switch = net.open_vswitch()
    for bridge in switch.vsctl("list-br").split():
        if port in switch.vsctl("list-ports", bridge).split():
            return bridge
    return None


def number(net: Sandbox, port: str) -> str:
    """Return the number that the switch has given to a port; ``[]``: none yet; ``-1``: it has given it up."""
    return net.open_vswitch().vsctl("get", "Interface", port, "ofport")


def external_ids(net: Sandbox, port: str) -> dict[str, str]:
    """Return the ids of a port's interface in the switch's database."""
    row = net.open_vswitch().rows().get(f"Interface {port}")
    if row is None:
        raise AssertionError(f"the switch has no interface {port}")
    return dict(row.get("external_ids", {}))


def without_numbers(net: Sandbox) -> dict[str, Any]:
    """Return what is in the switch's database, free of what is different each time that the same is made."""
    return {name: {key: value for key, value in row.items() if key in _LASTING} for name, row in _rows(net).items()}


#: Columns that are what somebody wanted.
_LASTING = ("name", "type", "tag", "trunks", "vlan_mode", "external_ids", "options", "mac", "mtu_request", "fail_mode")


def _rows(net: Sandbox) -> dict[str, dict[str, Any]]:
    return net.open_vswitch().rows()


@functools.cache
def _twelve(name: str) -> str:
    digits = name.encode().hex()
    if len(digits) > 12:
        raise SuiteError(f"{name!r} is too long for the name of a guest that has ids")
    return digits.rjust(12, "0")
