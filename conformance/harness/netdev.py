"""A driver of network devices as specs see it."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from conformance.harness.base import Call, UnderTest
from refnet.netdev.driver import NetDevDriver

#: What a call that succeeds has made, by method: the arguments that name it, and the method that deletes it.
_MAKES: dict[str, tuple[tuple[int, ...], str]] = {
    "create_bridge": ((0,), "delete_bridge"),
    "ensure_bridge": ((0,), "delete_bridge"),
    "create_tap_dev": ((0,), "delete_net_dev"),
    "create_veth_pair": ((0, 1), "delete_net_dev"),
    "ensure_vlan": ((), "delete_net_dev"),
    "ensure_vlan_bridge": ((1,), "delete_bridge"),
    "ensure_ovs_bridge": ((0,), "delete_ovs_bridge"),
}
#: The same for ports of a switch: where the arguments are that name bridge and port of each.
_PORTS = {"create_ovs_vif_port": ((0, 1),), "create_ovs_patch_ports": ((0, 1), (2, 3))}
#: What sets a virtual function, which the first two arguments name.
_SETS_FUNCTIONS = ("set_device_macaddr_and_vlan", "set_device_trust", "set_device_link_state")


class DriverUnderTest(UnderTest):
    """A driver of network devices with a witness: the devices that its calls have made are deleted.

    Ports of switches are taken out, and virtual functions put back as they were.
    """

    def __init__(self, tested: type[NetDevDriver]) -> None:
        """Make an instance of the driver's class."""
        super().__init__(tested)
        self._made: list[tuple[str, str]] = []
        self._ports: dict[tuple[str, str], None] = {}
        self._functions: dict[tuple[str, int], None] = {}

    def fresh(self) -> DriverUnderTest:
        """Return another instance of the same class; what it makes is its own to take back."""
        return DriverUnderTest(self.driver_class)

    def take_back(self) -> None:
        """Delete, newest first and through the driver, what its calls have made; devices that were ports stay first."""
        bridges = {name for method, name in self._made if method == "delete_ovs_bridge"}
        for bridge, port in reversed(self._ports):
            # The others go with their bridge.
            if bridge not in bridges:
                what = f"delete_ovs_vif_port({bridge!r}, {port!r}, delete_dev=False) in the clean-up"
                self._witness(what, self.driver.delete_ovs_vif_port, bridge, port, delete_dev=False)
        self._ports.clear()
        for dev, number in self._functions:
            if _is_there(dev):
                what = f"restore_virtual_function({dev!r}, {number}) in the clean-up"
                self._witness(what, self.driver.restore_virtual_function, dev, number)
        self._functions.clear()
        while self._made:
            method, name = self._made.pop()
            # A bridge may be in the switch's database without a device.
            if method == "delete_ovs_bridge" or _is_there(name):
                self._witness(f"{method}({name!r}) in the clean-up", getattr(self.driver, method), name)
        self._witness("close()", self.driver.close)

    def keep(self) -> None:
        """Forget what was made: the spec has deleted it, or means it to stay."""
        self._made.clear()
        self._ports.clear()
        self._functions.clear()

    def _run(self, name: str, method: Call, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        absent = [key for key in self._would_make(name, args) if not _is_there(key)]
        result = super()._run(name, method, args, kwargs)
        if name in ("ensure_vlan", "ensure_vlan_bridge"):
            self._made.append(("delete_net_dev", str(result)))
        self._made += [(_MAKES[name][1], key) for key in absent]
        self._ports.update(((args[bridge], args[port]), None) for bridge, port in _PORTS.get(name, ()))
        if name in _SETS_FUNCTIONS:
            self._functions[args[0], args[1]] = None
        return result

    def _would_make(self, name: str, args: tuple[Any, ...]) -> list[str]:
        positions = _MAKES.get(name, ((), ""))[0]
        return [args[at] for at in positions if at < len(args) and isinstance(args[at], str)]


def _is_there(name: str) -> bool:
    try:
        socket.if_nametoindex(name)
    except (OSError, ValueError):  # ValueError: a name with a zero byte, which no device has
        return False
    return True
