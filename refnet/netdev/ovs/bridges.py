"""Bridges of Open vSwitch."""

from __future__ import annotations

from refnet import names
from refnet.errors import SwitchRefused, Unsupported, WrongKind, operation
from refnet.netdev.model import Capability
from refnet.netdev.ovs import arguments, plan
from refnet.netdev.ovs.base import SwitchBase, refusal
from refnet.netdev.ovs.database import Session
from refnet.netdev.ovs.datapaths import lacks_datapath
from refnet.netdev.ovs.operations import Operations
from refnet.netdev.ovs.records import View, failure, settled

_DATAPATHS = {"system": Capability.OVS_KERNEL_DATAPATH, "netdev": Capability.OVS_USERSPACE_DATAPATH}
_FAIL_MODES = ("standalone", "secure")


class SwitchBridges(SwitchBase):
    """Bridges."""

    @operation
    def ensure_ovs_bridge(
        self,
        bridge: str,
        *,
        datapath_type: str | None = None,
        fail_mode: str | None = None,
        mac_address: str | None = None,
        mtu: int | None = None,
    ) -> None:
        """Write the bridge, its port and its interface in one transaction, and set the device up that comes of it."""
        names.device_name(bridge, "bridge")
        self._check_switch_device_name(bridge)
        if datapath_type is not None:
            arguments.one_of(datapath_type, "datapath_type", tuple(_DATAPATHS))
        if fail_mode is not None:
            arguments.one_of(fail_mode, "fail_mode", _FAIL_MODES)
        mac = names.mac_address(mac_address) if mac_address is not None else None
        wanted_mtu = names.mtu(mtu) if mtu is not None else None

        def wanted(view: View) -> Operations:
            # An older switch leaves the MTU to the system (_finish_device).
            request = wanted_mtu if view.has("Interface", "mtu_request") else None
            return plan.bridge(
                view, bridge, datapath_type=datapath_type, fail_mode=fail_mode, mac_address=mac, mtu=request
            )

        def work(session: Session) -> None:
            self._look_for_leftovers(session)
            self._check_bridge_possible(session, bridge, datapath_type)
            session.apply(wanted, f"refnet: ensure_ovs_bridge {bridge}", bridge=bridge)
            self._check_bridge(session, bridge)
            self._finish_device(session, bridge, mac=mac, mtu=wanted_mtu)

        self.switch.run(work)

    @operation
    def delete_ovs_bridge(self, bridge: str) -> None:
        """Take the bridge out of the database, and wait until the switch has taken its device away."""
        names.device_name(bridge, "bridge")

        def unwanted(view: View) -> Operations:
            there = view.bridge(bridge)
            return [] if there is None else plan.without_bridge(view, there)

        def work(session: Session) -> None:
            if self._is_the_systems(session, bridge) or self._is_port_elsewhere(session, bridge):
                raise WrongKind(f"{bridge} is no bridge of Open vSwitch", device=bridge)
            if session.view.bridge(bridge) is not None:
                # A bridge with all that hangs on it is not put back: first see that the switch does anything at all.
                session.alive()
                session.apply(unwanted, f"refnet: delete_ovs_bridge {bridge}")
                if not self._gone(bridge):
                    raise SwitchRefused(f"Open vSwitch has deleted {bridge}, and its device is still there")

        self.switch.run(work)

    @operation
    def ovs_ports(self, bridge: str) -> tuple[str, ...]:
        """Look into the database."""
        names.device_name(bridge, "bridge")

        def work(session: Session) -> tuple[str, ...]:
            found = plan.needed_bridge(session.view, bridge)
            return tuple(sorted(name for name in session.view.ports(found) if name != bridge))

        return self.switch.run(work)

    def _is_port_elsewhere(self, session: Session, name: str) -> bool:
        there = session.view.port_of_interface(name)
        return there is not None and not there.is_local and self.device_exists(name)

    def _check_bridge_possible(self, session: Session, bridge: str, datapath_type: str | None) -> None:
        if self._is_the_systems(session, bridge):
            raise WrongKind(f"{bridge} is a device of the system, and no bridge of Open vSwitch", device=bridge)
        view = session.view
        there = view.bridge(bridge)
        present = None if there is None else str(there.columns["datapath_type"]) or "system"
        wanted = datapath_type or present or "system"
        if wanted != present:
            self._check_datapath(view, bridge, wanted)

    def _check_datapath(self, view: View, bridge: str, datapath_type: str) -> None:
        """Look before anything is written: the switch tells in its log alone why it has made no bridge."""
        capability = _DATAPATHS.get(datapath_type)
        if capability is None:
            return  # somebody else's, that refnet makes none of
        reason = lacks_datapath(datapath_type, view.root.all("datapath_types"))
        if reason is not None:
            raise Unsupported(
                f"{bridge} cannot have a datapath of type {datapath_type!r}: {reason}",
                capability=capability.value,
                device=bridge,
            )

    def _check_bridge(self, session: Session, bridge: str) -> None:
        own = session.view.port(bridge)
        # A call may have been killed before the switch had come to it; and what it could not do then, it may do now.
        for once_more in (session.catch_up, session.alive):
            if own is None or settled(own.interface):
                break
            once_more()
            own = session.view.port(bridge)
        if own is not None and settled(own.interface):
            return
        there = session.view.bridge(bridge)
        if own is None or there is None:
            raise SwitchRefused(f"bridge {bridge} has been deleted by somebody else meanwhile", device=bridge)
        words = failure(own.interface)
        if words is not None:
            raise refusal(bridge, words)
        self._check_datapath(session.view, bridge, str(there.columns["datapath_type"]) or "system")
        raise SwitchRefused(
            f"Open vSwitch has not made bridge {bridge}; it says why in its log (ovs-vswitchd.log)", device=bridge
        )
