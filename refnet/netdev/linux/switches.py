"""Open vSwitch on Linux."""

from __future__ import annotations

from refnet.netdev.linux.base import LinuxBase
from refnet.netdev.ovs import OpenVSwitch


class Switches(OpenVSwitch, LinuxBase):
    """Bridges and ports of Open vSwitch."""

    def _is_heard_by_switch(self, dev: str) -> bool | None:
        """Ask whether anybody takes all frames of the device: a switch does, with either datapath.

        One that a program such as tcpdump(8) listens to as well cannot be told from it.
        """
        link = self.find(dev)
        return None if link is None else link.promiscuity > 0
