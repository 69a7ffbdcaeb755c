"""pyroute2 as its documentation uses it: one ``IPRoute`` object."""

from __future__ import annotations

from collections.abc import Callable

from pyroute2 import IPRoute

from benchmarks import contenders


def start() -> Callable[[int], object]:
    """Open the ``IPRoute``."""
    ip = IPRoute()

    def plug(number: int) -> None:
        bridge, tap = contenders.bridge(number), contenders.tap(number)
        ip.link("add", ifname=bridge, kind="bridge", address=contenders.bridge_mac(number), state="up")
        ip.link("add", ifname=tap, kind="tuntap", mode="tap")
        ip.link(
            "set",
            index=ip.link_lookup(ifname=tap)[0],
            address=contenders.tap_mac(number),
            mtu=contenders.MTU,
            master=ip.link_lookup(ifname=bridge)[0],
            state="up",
        )

    return plug
