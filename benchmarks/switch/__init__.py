"""Ports of Open vSwitch: what the contenders do, and the switch that they do it to."""

from __future__ import annotations

#: The bridge of all ports, and how long a program may take.
BRIDGE = "br-int"
#: Where the database is: in the measuring process's own /run.
DATABASE = "unix:/run/openvswitch/db.sock"


def tap(number: int) -> str:
    """Name a port."""
    return f"tap{number}"


def mac(number: int) -> str:
    """Return the MAC address of the guest behind a port."""
    return f"52:54:00:00:{number >> 8:02x}:{number & 255:02x}"


def ids(number: int) -> dict[str, str]:
    """Return what a port is known by."""
    return {
        "iface-id": f"id-{number}",
        "iface-status": "active",
        "attached-mac": mac(number),
        "vm-uuid": "11111111-2222-3333-4444-555555555555",
    }
