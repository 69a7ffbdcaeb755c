"""Wrong about bridges and their ports."""

from __future__ import annotations

from typing import Any

from conformance.mutants import mutant
from refnet.netdev.driver import NetDevDriver


@mutant(
    "bridge-without-ports",
    "says that a port has joined, and does nothing",
    {"BR-01": "it did not arrive", "BR-04": "it did not arrive"},
)
def bridge_without_ports(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def add_bridge_port(self, bridge: str, port: str, *, move: bool = False) -> None:
            pass

    return Wrong
