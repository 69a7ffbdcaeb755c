"""One ``ip`` process for each step, as scripts do it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from benchmarks import contenders


def start() -> Callable[[int], object]:
    """Prepare nothing: a process a step is the point."""

    def plug(number: int) -> None:
        bridge, tap = contenders.bridge(number), contenders.tap(number)
        _ip("link", "add", bridge, "type", "bridge")
        _ip("link", "set", bridge, "up")
        _ip("tuntap", "add", tap, "mode", "tap")
        _ip("link", "set", tap, "address", contenders.tap_mac(number))
        _ip("link", "set", tap, "mtu", str(contenders.MTU))
        _ip("link", "set", tap, "master", bridge)
        _ip("link", "set", tap, "up")

    return plug


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
