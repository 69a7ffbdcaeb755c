"""VIFs as Nova has them, and the proof that a plugged one works."""

from __future__ import annotations

from typing import Any

from conformance.topology.base import Endpoint
from conformance.topology.linux import Sandbox

VIF_ID = "f1e2d3c4-0a1b-4c2d-8e3f-405162738495"
MAC = "fa:16:3e:aa:bb:01"
TAP = "tapf1e2d3c4-0a"


def vif(kind: str, *, bridge: str = "br-int", mtu: int = 1400, **more: Any) -> dict[str, Any]:
    return {
        "id": VIF_ID,
        "address": MAC,
        "type": kind,
        "vnic_type": "normal",
        "devname": TAP,
        "details": {},
        "profile": {},
        "network": {"id": "0b5e4a1e-1c2b-4e3d-9f10-a1b2c3d4e5f6", "bridge": bridge, "label": "net", "mtu": mtu},
        **more,
    }


def connected(net: Sandbox, one: Endpoint, other: Endpoint, what: str) -> None:
    """Frames go both ways, and to all."""
    for sender, receiver in ((one, other), (other, one)):
        net.delivers(sender, net.frame(sender, "ff:ff:ff:ff:ff:ff"), receiver, what=f"{what}, to all")
        net.delivers(sender, net.frame(sender, receiver), receiver, what=what)
