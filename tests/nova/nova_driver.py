"""A driver of somebody else's, by which a test sees whether the options of ``[refnet]`` are followed."""

from __future__ import annotations

from typing import Any

from refnet.netdev.linux import LinuxNetDevDriver


class Odd(LinuxNetDevDriver):
    """The driver for Linux, which finds a device that is none and makes taps of an MTU of its own."""

    def device_exists(self, dev: str) -> bool:
        return dev == "odd0" or super().device_exists(dev)

    def create_tap_dev(self, dev: str, mac_address: str | None = None, **more: Any) -> None:
        super().create_tap_dev(dev, mac_address, **{**more, "mtu": 1300})
