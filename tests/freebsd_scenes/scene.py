"""What a scene is, and what stands on the stage when it begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from refnet.errors import RefnetError
from refnet.netdev.driver import Device
from refnet.netdev.freebsd import FreeBSDNetDevDriver

#: In the place of random MAC addresses.
RANDOM_MAC = "02:00:00:00:00:fe"
MAC, OTHER_MAC = "02:00:00:00:00:0a", "02:00:00:00:00:0b"

Driver = FreeBSDNetDevDriver


def is_none(result: object) -> bool:
    return result is None


@dataclass(frozen=True)
class Scene:
    """``before`` are shell commands, not recorded; ``returns`` is asked whether the result is right."""

    name: str
    call: Callable[[Driver], Any]
    before: tuple[str, ...] = ()
    returns: Callable[[Any], bool] = is_none
    #: Where the system cannot clear up by itself.
    after: str = "true"
    raises: type[RefnetError] | None = None
    #: What the error has to say.
    says: str = ""
    #: Play it without privilege.
    unprivileged: bool = False


PAIR = "ifconfig epair create; ifconfig epair0a up; ifconfig epair0b up"
BRIDGE = "ifconfig bridge create name br0 up"
BRIDGED = (PAIR, BRIDGE, "ifconfig br0 addm epair0a")
TWO_BRIDGES = (*BRIDGED, "ifconfig bridge create name br1 up")
ROUTED = (
    PAIR,
    "ifconfig epair0a inet 192.0.2.5/24; ifconfig epair0a inet 192.0.2.6/24 alias",
    "route add 203.0.113.0/24 192.0.2.2; route add default 192.0.2.2; route add -net 203.0.115.0/24 -interface epair0a",
)
DUAL = (
    *ROUTED,
    "ifconfig epair0a inet6 no_dad -auto_linklocal 2001:db8::1/64; ifconfig epair0a inet6 fe80::77/64 alias",
    "ifconfig epair0a inet6 2001:db8::7/64 alias; ifconfig epair0a inet6 -no_dad",
    "route -6 add 2001:db8:1::/64 2001:db8::2; route -6 add default fe80::2%epair0a",
)
VLAN = (PAIR, "ifconfig vlan create vlan 5 vlandev epair0a name vlan5 up")
#: A port that cannot have its bridge's MTU: its parent's is smaller.
UNFIT = (
    *VLAN,
    "ifconfig epair create; ifconfig epair1a mtu 9000; ifconfig epair1b mtu 9000",
    f"{BRIDGE}; ifconfig br0 addm epair1a",
    "ifconfig vlan5 inet 192.0.2.1/24; ifconfig vlan5 inet 192.0.2.7/24 alias; route add 203.0.113.0/24 192.0.2.2",
)
HOLDER = "/tmp/refnet-record-holder"
TAP = "ifconfig tap5 create link0 up"


def is_device(**expected: Any) -> Callable[[Device], bool]:
    """Compare some properties of a device."""
    return lambda device: all(getattr(device, key) == value for key, value in expected.items())


def addresses(device: Device) -> list[str]:
    return [str(address) for address in device.addresses]
