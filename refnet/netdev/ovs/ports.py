"""Ports of Open vSwitch."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
from collections.abc import Callable, Sequence

from refnet import names
from refnet.errors import (
    AlreadyEnslaved,
    InvalidArgument,
    Mismatch,
    NoSuchDevice,
    RefnetError,
    SwitchRefused,
    Unsupported,
    WrongKind,
    operation,
)
from refnet.netdev.model import Capability, Device, Kind, OvsPort, VlanMode
from refnet.netdev.ovs import arguments, plan
from refnet.netdev.ovs.arguments import INTERNAL, SYSTEM, VHOST_USER, VHOST_USER_CLIENT
from refnet.netdev.ovs.base import KERNEL_DATAPATH_DEVICE, SwitchBase, refusal
from refnet.netdev.ovs.database import Session
from refnet.netdev.ovs.operations import Operations
from refnet.netdev.ovs.plan import Wanted
from refnet.netdev.ovs.records import Port, View, failure, settled

#: Types of interfaces that have a device of the system.
_SYSTEMS = (SYSTEM, "system", plan.REPLACED)


class SwitchedPorts(SwitchBase):
    """Ports."""

    @operation
    def create_ovs_vif_port(
        self,
        bridge: str,
        dev: str,
        iface_id: str,
        mac_address: str,
        instance_id: str | None = None,
        *,
        mtu: int | None = None,
        interface_type: str | None = None,
        vhost_server_path: str | None = None,
        tag: int | None = None,
        trunks: Sequence[int] = (),
        vlan_mode: VlanMode | str | None = None,
        device_later: bool = False,
    ) -> None:
        """Write port and interface in one transaction, and wait for what the switch makes of it."""
        names.device_name(bridge, "bridge")
        names.device_name(dev, "port")
        kind = arguments.interface_type(interface_type)
        wanted_mtu = names.mtu(mtu) if mtu is not None else None
        names.flag(device_later, "device_later")
        if device_later and (kind != SYSTEM or wanted_mtu is not None):
            raise InvalidArgument("device_later is about a device that somebody else makes: no interface_type, no mtu")
        if (vhost_server_path is not None) != (kind == VHOST_USER_CLIENT):
            raise InvalidArgument(f"vhost_server_path goes with interface_type {VHOST_USER_CLIENT!r}, and only with it")
        options = {}
        if vhost_server_path is not None:
            options["vhost-server-path"] = names.socket_path(vhost_server_path, "vhost_server_path")
        if kind == INTERNAL:
            self._check_switch_device_name(dev)
        wanted = Wanted(
            dev,
            kind,
            vlan=arguments.vlan_if_any(tag, trunks, vlan_mode),
            ids=arguments.ids(iface_id, mac_address, instance_id),
            options=options,
            mac=names.mac_address(mac_address) if kind == INTERNAL else None,
            mtu=wanted_mtu if kind != SYSTEM else None,
        )

        if kind == SYSTEM and wanted_mtu is not None:
            self._check_switch_mtu(dev, wanted_mtu)

        def work(session: Session) -> None:
            self._look_for_leftovers(session)
            there = plan.own_port(session.view, plan.needed_bridge(session.view, bridge), dev)
            _check_type(session.view, kind)
            if kind == INTERNAL and there is None:
                if self._is_the_systems(session, dev):
                    raise _not_the_switchs(dev)
                there = plan.own_port(session.view, plan.needed_bridge(session.view, bridge), dev)
            device = self._device_for(dev, there, kind, later=device_later)
            mend = not device_later or device is not None
            if kind == SYSTEM and there is not None:
                self._have_let_go(session, there, device)

            def make(view: View) -> Operations:
                # An older switch leaves the MTU to the system (_finish_device).
                fits = wanted if view.has("Interface", "mtu_request") else dataclasses.replace(wanted, mtu=None)
                return plan.port(view, bridge, fits, mend=mend)

            with _Mtu(self, device, wanted_mtu if kind == SYSTEM else None):
                session.apply(make, f"refnet: create_ovs_vif_port {bridge} {dev}", ports=(dev,))
                if mend:
                    self._check_port(session, dev)
                if kind == INTERNAL:
                    self._finish_device(session, dev, mac=wanted.mac, mtu=wanted_mtu)

        self.switch.run(work)

    @operation
    def delete_ovs_vif_port(self, bridge: str, dev: str, *, delete_dev: bool = True) -> None:
        """Take the port out of the database, wait until the switch has let go of the device, and delete that."""
        names.device_name(bridge, "bridge")
        names.patch_port_name(dev, "port")
        names.flag(delete_dev, "delete_dev")

        kinds: list[str] = []

        def work(session: Session) -> bool:
            there = _deletable(session.view, dev)
            if there is not None and there.bridge.name != bridge:
                return False
            if there is not None:
                kinds.append(str(there.interface.columns["type"]))

            def unwanted(view: View) -> Operations:
                now = _deletable(view, dev)
                return plan.without_port(now) if now is not None and now.bridge.name == bridge else []

            session.apply(unwanted, f"refnet: delete_ovs_vif_port {bridge} {dev}", ports=(dev,))
            return True

        is_ours = self.switch.run(work)
        # What the switch has made is gone by now, and ends of patch cables are no devices.
        is_device = not kinds or kinds[0] in _SYSTEMS
        if delete_dev and is_ours and is_device and len(dev) <= names.MAX_DEVICE_NAME:
            self._delete_device(dev)

    @operation
    def ovs_port(self, dev: str) -> OvsPort:
        """Look into the database."""
        names.patch_port_name(dev, "port")

        def work(session: Session) -> OvsPort:
            return _described(plan.needed_port(session.view, dev))

        found = self.switch.run(work)
        if found.interface_type not in (SYSTEM, "system", INTERNAL) or len(dev) > names.MAX_DEVICE_NAME:
            return found
        try:
            # The switch writes an MTU down some time after it was set.
            return dataclasses.replace(found, mtu=self.device(dev).mtu)
        except NoSuchDevice:
            if found.interface_type == INTERNAL or found.ofport is None:
                return found
            # The switch goes on telling of a port whose device has gone as if it was there.
            return dataclasses.replace(found, ofport=None, error=f"there is no device {dev}")

    @operation
    def set_ovs_port_vlan(
        self,
        dev: str,
        *,
        tag: int | None = None,
        trunks: Sequence[int] = (),
        vlan_mode: VlanMode | str | None = None,
    ) -> None:
        """Write the columns that differ in one transaction."""
        names.patch_port_name(dev, "port")
        wanted = arguments.vlan(tag, trunks, vlan_mode)
        self._change_port(dev, "set_ovs_port_vlan", lambda there: plan.vlan(there, wanted))

    @operation
    def ovs_set_vhostuser_port_type(self, dev: str) -> None:
        """Write the type, and take it back where the switch will not have it."""
        names.device_name(dev, "port")

        def work(session: Session) -> None:
            plan.not_a_bond(plan.needed_port(session.view, dev), dev)
            _check_type(session.view, VHOST_USER)

            def make(view: View) -> Operations:
                return plan.interface_type(plan.needed_port(view, dev), VHOST_USER)

            session.apply(make, f"refnet: ovs_set_vhostuser_port_type {dev}", ports=(dev,))
            self._check_port(session, dev)

        self.switch.run(work)

    @operation
    def create_ovs_patch_ports(
        self,
        bridge: str,
        port: str,
        peer_bridge: str,
        peer_port: str,
        *,
        tag: int | None = None,
        trunks: Sequence[int] = (),
        vlan_mode: VlanMode | str | None = None,
        iface_id: str | None = None,
        mac_address: str | None = None,
        instance_id: str | None = None,
    ) -> None:
        """Write both ends in one transaction."""
        names.device_name(bridge, "bridge")
        names.patch_port_name(port, "port")
        names.device_name(peer_bridge, "peer bridge")
        names.patch_port_name(peer_port, "peer port")
        if bridge == peer_bridge or port == peer_port:
            raise InvalidArgument(
                f"a cable has two ends, on two bridges: {bridge} {port} and {peer_bridge} {peer_port} were given"
            )
        vlan = arguments.vlan_if_any(tag, trunks, vlan_mode)
        ids = arguments.some_ids(iface_id, mac_address, instance_id)
        near = Wanted(port, "patch", vlan=vlan, ids=ids, options={"peer": peer_port})
        far = Wanted(peer_port, "patch", options={"peer": port})

        def work(session: Session) -> None:
            def make(view: View) -> Operations:
                return plan.cable(view, bridge, near, peer_bridge, far)

            session.apply(make, f"refnet: create_ovs_patch_ports {port} {peer_port}", ports=(port, peer_port))
            self._check_port(session, port)
            self._check_port(session, peer_port)

        self.switch.run(work)

    # -- the device behind a port ---------------------------------------------------------------------

    def _device_for(self, dev: str, there: Port | None, kind: str, *, later: bool) -> Device | None:
        """Look at the device that is to be a port; None where there is none, and need not be."""
        if kind not in (SYSTEM, INTERNAL):
            return None
        if kind == SYSTEM and there is not None:
            _check_is_systems(there)
        try:
            device = self.device(dev)
        except NoSuchDevice:
            if kind == SYSTEM and not later:
                raise NoSuchDevice(f"there is no device {dev}", device=dev, errno=errno.ENODEV) from None
            return None
        if kind == INTERNAL:
            if there is not None and there.interface.columns["type"] != INTERNAL:
                raise _not_the_switchs(dev)
            return device
        if device.master not in (None, KERNEL_DATAPATH_DEVICE):
            raise AlreadyEnslaved(
                f"{dev} is a port of {device.master}: take it out there first", master=str(device.master), device=dev
            )
        if device.kind in (Kind.BRIDGE, Kind.LOOPBACK):
            raise WrongKind(f"{dev} is of kind {device.kind}, which is no port of a switch", device=dev)
        return device

    def _delete_device(self, dev: str) -> None:
        try:
            device = self.device(dev)
        except NoSuchDevice:
            return
        if device.master is not None and device.master != KERNEL_DATAPATH_DEVICE:
            return  # a port of a bridge of the system
        if device.kind is Kind.BRIDGE:
            raise WrongKind(f"{dev} is a bridge, and no port", device=dev)
        try:
            self.delete_net_dev(dev)
        except Unsupported:
            return  # a network card

    def _have_let_go(self, session: Session, there: Port, device: Device | None) -> None:
        """Have the switch let go of a device that has been replaced unseen, so that it takes the new one next.

        It would hold on to the one that is gone, were the port deleted and put in again by one transaction. The row
        stays all the while: a call may end at any moment, and the port's VLAN is not to be lost by it.
        """
        if plan.is_parted(there):
            # By a call that was killed, or one that is under way elsewhere.
            session.catch_up()
            return
        if device is None or not self._is_deaf(there):
            return

        def apart(view: View) -> Operations:
            now = view.port(there.name)
            is_same = now is not None and now.record.uuid == there.record.uuid
            return plan.parted(now) if now is not None and is_same and self._is_deaf(now) else []

        # A switch that has just started has not come to this port yet.
        session.alive()
        session.apply(apart, f"refnet: {there.name} is another device now", ports=(there.name,), anyway=True)

    def _is_deaf(self, there: Port) -> bool:
        return settled(there.interface) and self._is_heard_by_switch(there.name) is False

    # -- what the switch says -------------------------------------------------------------------------

    def _check_port(self, session: Session, dev: str) -> None:
        def told() -> bool:
            now = session.view.port(dev)
            return now is None or settled(now.interface) or failure(now.interface) is not None

        in_time = session.wait_for(told)
        now = session.view.port(dev)
        if now is None:
            raise SwitchRefused(f"port {dev} has been deleted by somebody else meanwhile", device=dev)
        words = failure(now.interface)
        if words is not None:
            raise refusal(dev, words)
        if not in_time:
            raise SwitchRefused(
                f"Open vSwitch has given port {dev} no number: see whether bridge {now.bridge.name} works", device=dev
            )

    def _change_port(self, dev: str, verb: str, make: Callable[[Port], Operations]) -> None:
        def changes(view: View) -> Operations:
            there = view.port_of_interface(dev) or plan.needed_port(view, dev)
            plan.not_a_bond(there, dev)
            return make(there)

        def work(session: Session) -> None:
            session.apply(changes, f"refnet: {verb} {dev}", ports=(dev,))

        self.switch.run(work)


def _not_the_switchs(dev: str) -> WrongKind:
    return WrongKind(f"{dev} is a device of the system: the switch cannot make one of that name", device=dev)


def _check_is_systems(there: Port) -> None:
    """Refuse a port of another type: made one of the system's, it would lose the device that the switch has made."""
    kind = str(there.interface.columns["type"])
    # Of one that it has given up the switch has made nothing; an end of a patch cable waits for the other like that.
    is_given_up = kind != "patch" and failure(there.interface) is not None
    # What a hypervisor reaches through a socket is a port of the system first (ovs_set_vhostuser_port_type).
    if not is_given_up and kind not in (*_SYSTEMS, VHOST_USER, VHOST_USER_CLIENT):
        raise WrongKind(
            f"{there.name} is a port of type {kind!r}, and no device of the system: give its interface_type, or delete "
            "it first",
            device=there.name,
        )


class _Mtu:
    """A device with another MTU, which is taken back where what follows fails."""

    def __init__(self, driver: SwitchBase, device: Device | None, mtu: int | None) -> None:
        self._driver, self._device = driver, device
        self._mtu = mtu if device is not None and device.mtu != mtu else None

    def __enter__(self) -> None:
        if self._device is not None and self._mtu is not None:
            self._driver.set_device_mtu(self._device.name, self._mtu)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self._device is not None and self._mtu is not None:
            with contextlib.suppress(RefnetError):  # what has failed is told, not this
                self._driver.set_device_mtu(self._device.name, self._device.mtu)


def _check_type(view: View, kind: str) -> None:
    """Refuse types that need DPDK in a switch without it; the others it need not list (FreeBSD's does not)."""
    known = view.root.all("iface_types")
    if kind in (VHOST_USER, VHOST_USER_CLIENT) and kind not in known:
        raise Unsupported(
            f"this Open vSwitch has no ports of type {kind}: it is built, or was started, without DPDK "
            "(Debian: package openvswitch-switch-dpdk, and other_config:dpdk-init)",
            capability=Capability.OVS_VHOST_USER.value,
        )


def _deletable(view: View, dev: str) -> Port | None:
    if view.bridge(dev) is not None:
        raise WrongKind(f"{dev} is a bridge of Open vSwitch, and no port of one: delete_ovs_bridge", device=dev)
    there = view.port_of_interface(dev) or view.port(dev)
    if there is not None and (there.name != dev or len(there.interfaces) > 1):
        raise Mismatch(f"{dev} belongs to port {there.name}, a bond: refnet changes none", device=dev)
    return there


def _described(there: Port) -> OvsPort:
    interface, record = there.interface, there.record
    ids = interface.map("external_ids")
    number = interface.only("ofport")
    mode = record.only("vlan_mode")
    return OvsPort(
        name=there.name,
        bridge=there.bridge.name,
        interface_type=str(interface.columns["type"]),
        ofport=number if number is not None and number >= 0 else None,
        tag=record.only("tag"),
        trunks=tuple(sorted(record.all("trunks"))),
        # "dot1q-tunnel", which refnet does not make, has no word here.
        vlan_mode=VlanMode(mode) if mode in tuple(VlanMode) else None,
        mtu=interface.only("mtu"),
        peer=interface.map("options").get("peer"),
        iface_id=ids.get("iface-id"),
        attached_mac=ids.get("attached-mac"),
        vm_uuid=ids.get("vm-uuid"),
        iface_status=ids.get("iface-status"),
        error=interface.only("error"),
    )
