"""refnet's public functions."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks import contenders
from refnet import netdev


def start() -> Callable[[int], object]:
    """Load the driver."""
    netdev.get_driver()

    def plug(number: int) -> None:
        bridge, tap = contenders.bridge(number), contenders.tap(number)
        netdev.create_bridge(bridge)
        netdev.create_tap_dev(tap, contenders.tap_mac(number), mtu=contenders.MTU)
        netdev.add_bridge_port(bridge, tap)

    return plug
