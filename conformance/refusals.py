"""How a capability that a driver does not declare is exercised: the call that needs it has to be refused.

This is what stands in the place of a skip. The refusal must be typed and name the capability, and the host must be
as it was (the state difference sees to that). A call that works all the same is ``under-claimed``.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from conformance.harness import DriverUnderTest
from conformance.topology.sandbox import Sandbox
from refnet.errors import PermissionDenied, Unsupported
from refnet.netdev.driver import Capability

_NAME = "refused0"

_EXERCISES: dict[Capability, Callable[[DriverUnderTest, Sandbox], object]] = {
    Capability.BRIDGE: lambda netdev, net: netdev.create_bridge(_NAME),
    Capability.BRIDGE_STP: lambda netdev, net: netdev.create_bridge(_NAME, stp=True),
    Capability.BRIDGE_FORWARD_DELAY: lambda netdev, net: netdev.create_bridge(_NAME, forward_delay=4),
    Capability.BRIDGE_AGEING_TIME: lambda netdev, net: netdev.create_bridge(_NAME, ageing_time=60),
    Capability.BRIDGE_MULTICAST_SNOOPING: lambda netdev, net: netdev.create_bridge(_NAME, multicast_snooping=False),
    Capability.VLAN: lambda netdev, net: netdev.ensure_vlan(5, net.guest("trunk").port, _NAME),
    Capability.TAP: lambda netdev, net: netdev.create_tap_dev(_NAME),
    Capability.TAP_MULTI_QUEUE: lambda netdev, net: netdev.create_tap_dev(_NAME, multi_queue=True),
    Capability.TAP_OWNER: lambda netdev, net: netdev.create_tap_dev(_NAME, owner=os.geteuid()),
    Capability.VETH: lambda netdev, net: netdev.create_veth_pair(_NAME, "refused1"),
    Capability.IPV6: lambda netdev, net: netdev.add_device_address(net.guest("six").port, "2001:db8::1/64"),
}


def exercise(capability: Capability, netdev: DriverUnderTest, net: Sandbox) -> None:
    """Ask a driver for what it says it cannot do.

    Raises:
        AssertionError: it does it, or refuses in another way than it has to.
    """
    try:
        _EXERCISES[capability](netdev, net)
    except Unsupported as refusal:
        if str(refusal.capability) != str(capability):
            raise AssertionError(
                f"{capability} is not declared, and the refusal names {refusal.capability!r} instead"
            ) from refusal
    except PermissionDenied:
        pass  # what is missing is a privilege, and it says so
    else:
        raise AssertionError(f"{capability} is under-claimed: the driver does not declare it, and does it")
