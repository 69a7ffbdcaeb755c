"""os-vif's Open vSwitch plugin: the part that makes Linux devices.

os-vif runs it in a privileged daemon. Here the functions are called directly, without the round trip to the daemon.
"""

from __future__ import annotations

from collections.abc import Callable

from vif_plug_ovs import linux_net, privsep

from benchmarks import contenders


def start() -> Callable[[int], object]:
    """Make the privileged functions run in this process."""
    privsep.vif_plug.set_client_mode(False)

    def plug(number: int) -> None:
        bridge, tap = contenders.bridge(number), contenders.tap(number)
        linux_net.ensure_bridge(bridge)
        linux_net.create_tap(tap, contenders.MTU, contenders.tap_mac(number))
        linux_net.add_bridge_port(bridge, tap)

    return plug
