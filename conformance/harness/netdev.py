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
}


class DriverUnderTest(UnderTest):
    """A driver of network devices with a witness: the devices that its calls have made are deleted."""

    def __init__(self, tested: type[NetDevDriver]) -> None:
        """Make an instance of the driver's class."""
        super().__init__(tested)
        self._made: list[tuple[str, str]] = []

    def fresh(self) -> DriverUnderTest:
        """Return another instance of the same class; what it makes is its own to take back."""
        return DriverUnderTest(self.driver_class)

    def take_back(self) -> None:
        """Delete, newest first and through the driver, what its calls have made."""
        while self._made:
            method, name = self._made.pop()
            if _is_there(name):
                self._witness(f"{method}({name!r}) in the clean-up", getattr(self.driver, method), name)
        self._witness("close()", self.driver.close)

    def keep(self) -> None:
        """Forget what was made: the spec has deleted it, or means it to stay."""
        self._made.clear()

    def _run(self, name: str, method: Call, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        absent = [key for key in self._would_make(name, args) if not _is_there(key)]
        result = super()._run(name, method, args, kwargs)
        if name in ("ensure_vlan", "ensure_vlan_bridge"):
            self._made.append(("delete_net_dev", str(result)))
        self._made += [(_MAKES[name][1], key) for key in absent]
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
