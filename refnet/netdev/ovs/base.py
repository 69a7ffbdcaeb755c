"""What bridges and ports of Open vSwitch are made with: the database, and the system's devices behind them."""

from __future__ import annotations

import errno
import time
from collections.abc import Collection
from typing import ClassVar

from refnet.errors import InvalidArgument, NoSuchDevice, SwitchRefused
from refnet.netdev.driver import NetDevDriver
from refnet.netdev.model import Device
from refnet.netdev.ovs.database import ANSWER, Database, Session

#: The device that all ports of bridges in Linux's kernel have as their master.
KERNEL_DATAPATH_DEVICE = "ovs-system"
_POLL = 0.005


class SwitchBase(NetDevDriver):
    """The connection, and devices that the switch makes."""

    @property
    def switch(self) -> Database:
        """The database of Open vSwitch; made at the first use, so that drivers need know nothing of it."""
        found: Database | None = vars(self).get("_switch")
        # Threads may come here together: one of theirs is kept.
        return found if found is not None else vars(self).setdefault("_switch", Database())

    def close(self) -> None:
        """Close the connection to Open vSwitch too."""
        found: Database | None = vars(self).get("_switch")
        if found is not None:
            found.close()
        super().close()

    # -- what systems differ in -----------------------------------------------------------------------

    #: Whether devices of the switch's making may outlive it, and are then in its way (:meth:`_clear_leftovers`).
    switch_devices_stay: ClassVar[bool] = False

    def _clear_leftovers(self, names: Collection[str]) -> bool:
        """Clear away devices of these names that a switch which was killed has left; say whether there were any."""
        return False

    def _check_switch_device_name(self, dev: str) -> None:
        """Refuse a name that the system cannot give to a device of the switch's making."""

    def _check_switch_mtu(self, dev: str, mtu: int) -> None:
        """Refuse an MTU of a device of the system that the switch cannot serve."""

    def _is_heard_by_switch(self, dev: str) -> bool | None:
        """Say whether a switch takes the device's frames; None where that cannot be seen.

        A device that was deleted and made anew under its name looks in the database as if it was still the port.
        """
        return None

    def _look_for_leftovers(self, session: Session) -> None:
        if self.switch_devices_stay and self._clear_leftovers(session.view.switch_devices()):
            session.alive()

    def _is_the_systems(self, session: Session, dev: str) -> bool:
        """Say whether a name is that of a device which is neither a bridge's nor a port's.

        Others make and delete bridges meanwhile: a device that was seen has its rows in a database that is looked at
        afterwards, and one whose rows have gone is gone when the switch has caught up.
        """

        def has_no_rows() -> bool:
            return session.view.bridge(dev) is None and session.view.port_of_interface(dev) is None

        for _ in range(2):
            if not (has_no_rows() and self.device_exists(dev)):
                return False
            session.refresh()
            if has_no_rows():
                session.catch_up()
        return has_no_rows()

    # -- devices of the switch's making ---------------------------------------------------------------

    def _finish_device(self, session: Session, dev: str, *, mac: str | None, mtu: int | None) -> None:
        """Wait for a device that the switch has made, see that it is as asked, and set it up.

        Raises:
            NoSuchDevice: the switch has it, and it is not in this network stack.
            InvalidArgument: the device does not take the MTU.
            SwitchRefused: the switch has not given it the MAC address.
        """
        device = self._made(dev)
        if mtu is not None and device.mtu != mtu:
            # Where the switch cannot set it (FreeBSD), the system can.
            self.set_device_mtu(dev, mtu)
            if self.device(dev).mtu != mtu:
                raise InvalidArgument(f"{dev} does not take an MTU of {mtu} bytes", device=dev)
        if mac is not None and device.mac_address != mac and not self._turns(dev, mac):
            raise SwitchRefused(
                f"{dev} has MAC address {self.device(dev).mac_address}: the switch has not set {mac}", device=dev
            )
        if not device.up:
            self.set_device_enabled(dev)

    def _made(self, dev: str) -> Device:
        deadline = time.monotonic() + ANSWER
        while True:
            try:
                return self.device(dev)
            except NoSuchDevice:
                if time.monotonic() >= deadline:
                    raise NoSuchDevice(
                        f"Open vSwitch has made {dev}, and it is not here: its ovs-vswitchd runs in another network "
                        "namespace or jail",
                        device=dev,
                        errno=errno.ENODEV,
                    ) from None
            time.sleep(_POLL)

    def _turns(self, dev: str, mac: str) -> bool:
        deadline = time.monotonic() + ANSWER
        while self.device(dev).mac_address != mac:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL)
        return True

    def _gone(self, dev: str) -> bool:
        """Wait until a device of the switch's making is gone."""
        deadline = time.monotonic() + ANSWER
        while self.device_exists(dev):
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL)
        return True


def refusal(dev: str, words: str) -> SwitchRefused | NoSuchDevice:
    """Turn the switch's words about an interface into an error (``Interface.error``, lib/netdev.c)."""
    if "No such device" in words or "Device not configured" in words:
        return NoSuchDevice(f"Open vSwitch finds no device {dev}", device=dev, errno=errno.ENODEV, detail=words)
    return SwitchRefused(f"Open vSwitch has not taken {dev}: {words}", device=dev, detail=words)
