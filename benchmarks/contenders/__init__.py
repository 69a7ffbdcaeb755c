"""Who is compared: each contender is a module with the same job, one guest's plug.

A plug is: make a bridge, up; make a tap that outlives the process; give the tap a MAC address and an MTU, make it a
port of the bridge, set it up. A contender's module has ``start()``, which does what a long-running agent has done
already (imports, sockets) and returns a function that makes the plug of a given number. A contender that works on many
plugs in one go has ``start_all(numbers)`` instead, and the function that it returns takes no argument.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Bytes; not the kernel's default, so that setting it is work.
MTU = 1400


def bridge(number: int) -> str:
    """Return the name of a plug's bridge."""
    return f"br{number}"


def tap(number: int) -> str:
    """Return the name of a plug's tap."""
    return f"tap{number}"


def tap_mac(number: int) -> str:
    """Return the MAC address that a plug's tap gets."""
    return f"52:54:00:00:{number >> 8:02x}:{number & 0xFF:02x}"


def bridge_mac(number: int) -> str:
    """Return the MAC address of a plug's bridge, for contenders that are told one."""
    return f"52:54:00:01:{number >> 8:02x}:{number & 0xFF:02x}"


@dataclass(frozen=True)
class Contender:
    """One way to make a plug; ``how`` says in Markdown what it runs."""

    module: str
    title: str
    how: str
    #: Needs the virtual environment with the peers.
    is_peer: bool = False
    #: Needs the program ``ip``.
    needs_ip: bool = False
    #: Takes so long for a plug that fewer of them are enough to know it.
    is_slow: bool = False


FLOOR = Contender(
    "floor",
    "floor",
    "the least that the kernel can be asked: hand-packed messages on one netlink socket (one that creates the bridge "
    "with MAC address and up, one that sets the tap's MAC address, MTU, master and up) and the two ioctls of a tap; "
    "nothing is checked but the acknowledgement",
)
REFNET = Contender(
    "with_refnet",
    "refnet",
    "`netdev.create_bridge(b)`, `netdev.create_tap_dev(t, mac, mtu=1400)`, `netdev.add_bridge_port(b, t)`: the public "
    "functions with all their checks",
)
CONTENDERS = (
    FLOOR,
    REFNET,
    Contender(
        "with_ip_batch",
        "`ip -batch`",
        "one process for all plugs, three lines a plug, the file written beforehand",
        needs_ip=True,
    ),
    Contender(
        "with_pyroute2",
        "pyroute2 `IPRoute`",
        "`link('add', kind='bridge')`, `link('add', kind='tuntap')`, two `link_lookup`, `link('set')` with everything, "
        "on one `IPRoute`",
    ),
    Contender(
        "with_os_vif",
        "os-vif's code",
        "`vif_plug_ovs.linux_net`: `ensure_bridge`, `create_tap`, `add_bridge_port`, called in-process",
        is_peer=True,
        is_slow=True,
    ),
    Contender(
        "with_nova",
        "Nova's code",
        "`nova.privsep.linux_net`: `create_tap_dev`, `set_device_mtu`, called in-process; the bridge by the five "
        "commands that Nova ran as long as it had bridges (add, forward delay 0, STP off, up, add port), through the "
        "same `processutils.execute`",
        is_peer=True,
        needs_ip=True,
        is_slow=True,
    ),
    Contender(
        "with_ip_processes",
        "one `ip` a step",
        "seven processes a plug: add bridge, bridge up, add tap, MAC address, MTU, master, up",
        needs_ip=True,
        is_slow=True,
    ),
)
