"""What Open vSwitch can do here, asked without changing anything.

That ovs-vswitchd lives is asked of the database, which knows whether somebody holds the lock that ovs-vswitchd takes
(``ovs_vswitchd``): over any connection, and written nowhere.
"""

from __future__ import annotations

from refnet.errors import RefnetError, operation
from refnet.netdev.model import Capability
from refnet.netdev.ovs.arguments import VHOST_USER, VHOST_USER_CLIENT
from refnet.netdev.ovs.base import SwitchBase
from refnet.netdev.ovs.database import Session
from refnet.netdev.ovs.datapaths import lacks_datapath

_OURS = (
    Capability.OVS,
    Capability.OVS_KERNEL_DATAPATH,
    Capability.OVS_USERSPACE_DATAPATH,
    Capability.OVS_VHOST_USER,
)


class SwitchProbe(SwitchBase):
    """Capabilities."""

    @operation
    def probe(self, capability: Capability) -> str | None:
        """Ask the database, and the kernel for a datapath."""
        if capability not in _OURS:
            return super().probe(capability)  # type: ignore[safe-super]

        def work(session: Session) -> tuple[list[str], list[str]]:
            return session.view.root.all("iface_types"), session.view.root.all("datapath_types")

        try:
            interfaces, datapaths = self.switch.run(work, patient=False)
        except RefnetError as error:
            return error.message
        if capability is Capability.OVS_VHOST_USER:
            missing = [kind for kind in (VHOST_USER, VHOST_USER_CLIENT) if kind not in interfaces]
            return f"this Open vSwitch, without DPDK, has no ports of type {', '.join(missing)}" if missing else None
        if capability is Capability.OVS_KERNEL_DATAPATH:
            return lacks_datapath("system", datapaths)
        if capability is Capability.OVS_USERSPACE_DATAPATH:
            return lacks_datapath("netdev", datapaths)
        return None
