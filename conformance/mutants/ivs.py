"""Wrong about a switch that is not there."""

from __future__ import annotations

from typing import Any

from conformance.mutants import mutant
from refnet.errors import Unsupported
from refnet.netdev.driver import NetDevDriver


@mutant(
    "ivs-port-imagined",
    "says that a port is made where no switch could have made it",
    {"IV-01": "ivs is under-claimed"},
)
def ivs_port_imagined(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ivs_vif_port(self, dev: str, iface_id: str, mac_address: str, instance_id: str) -> None:
            """Do nothing."""

    return Wrong


@mutant(
    "ivs-blames-another-switch",
    "says that Open vSwitch is missing where IVS is",
    {"IV-02": "the refusal names 'ovs' instead"},
)
def ivs_blames_another_switch(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ivs_vif_port(self, *arguments: Any) -> None:
            try:
                super().create_ivs_vif_port(*arguments)
            except Unsupported:
                raise Unsupported("no switch answers", capability="ovs") from None

    return Wrong
