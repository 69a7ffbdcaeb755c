"""The interface's part about software switches: Open vSwitch, and Indigo Virtual Switch.

A driver that does not speak to such a switch inherits the refusals of this module. Those of refnet share
:mod:`refnet.netdev.ovs` and :mod:`refnet.netdev.ivs`, on every system. Promises that hold for every method stand in
:mod:`refnet.netdev.driver`; and these:

* A call is one transaction of the switch's database. It returns when the switch itself has done what stands in it, and
  raises what the switch says where it cannot; then the database is as it was.
* Where no switch answers, :class:`~refnet.errors.SwitchUnreachable` is raised within a bounded time.
* ``external_ids``, columns and rows that a call does not name keep what others have written there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from refnet.errors import Unsupported, operation
from refnet.netdev.model import Capability, OvsPort, VlanMode


class SwitchPorts:
    """Bridges and ports of software switches, all refused."""

    # -- Open vSwitch ---------------------------------------------------------------------------------

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
        """Make sure of a bridge of Open vSwitch, its device of the same name up.

        ``datapath_type`` is ``system`` (the kernel) or ``netdev`` (the switch's own process). ``fail_mode`` says
        what becomes of frames when no controller says so: ``standalone`` (the bridge learns) or ``secure`` (only
        flows that are there). ``mac_address`` and ``mtu`` are those of the bridge's own device. What is None keeps
        what is there, or the switch's default (``system``, ``standalone``).

        Raises:
            WrongKind: there is another device by that name, or a port of a switch.
            Unsupported: that datapath is not to be had here.
            SwitchUnreachable: no Open vSwitch answers.
            SwitchRefused: the switch cannot make it; its words are in ``detail``.
        """
        _refuse(Capability.OVS)

    @operation
    def delete_ovs_bridge(self, bridge: str) -> None:
        """Delete a bridge of Open vSwitch with all its ports; devices of the system that were ports stay.

        Raises:
            WrongKind: the device by that name is no bridge of Open vSwitch.
            SwitchUnreachable: no Open vSwitch answers.
        """
        _refuse(Capability.OVS)

    @operation
    def ovs_ports(self, bridge: str) -> tuple[str, ...]:
        """Return the names of a bridge's ports, sorted, without the bridge's own device.

        Raises:
            NoSuchDevice: there is no such bridge.
            SwitchUnreachable: no Open vSwitch answers.
        """
        _refuse(Capability.OVS)

    @operation
    def ovs_port(self, dev: str) -> OvsPort:
        """Describe a port.

        Raises:
            NoSuchDevice: no bridge has such a port.
            SwitchUnreachable: no Open vSwitch answers.
        """
        _refuse(Capability.OVS)

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
        """Make a virtual interface a port of a bridge, with the ids that controllers know it by.

        Written are ``iface-id``, ``iface-status`` (active), ``attached-mac`` and, with ``instance_id``, ``vm-uuid``.
        Without ``interface_type`` the device has to be there, unless ``device_later`` says that a hypervisor makes it
        afterwards: then the port waits for it, the switch takes the device when it comes, and an ``mtu`` is refused.

        ``internal`` has the switch make the device, with ``mac_address`` as its own and up: a gateway's port.
        ``dpdkvhostuser`` and ``dpdkvhostuserclient`` have no device; the latter needs ``vhost_server_path``, the
        hypervisor's socket. ``mtu`` is in bytes.

        ``tag`` (1 to 4094, or 4095: where Neutron keeps ports until it knows their network) makes an access port; with
        ``trunks`` a trunk whose untagged frames belong to it, and ``trunks`` alone a trunk of these tags.
        ``vlan_mode`` says otherwise. Where one of the three is given, the others are taken off the port. Where none is,
        a port that is there keeps what it has: the VLAN of a virtual interface may be another program's to set.

        A healthy port of this bridge keeps its ``ofport``, and traffic through it goes on. A port that the switch
        has given up (``ofport`` -1) is made anew in the same transaction.

        Raises:
            NoSuchDevice: the bridge, or the device, is not there; ``device`` says which.
            AlreadyEnslaved: the device is a port of another bridge, of this switch or of the system.
            WrongKind: ``dev`` is a bridge, or without ``interface_type`` an internal port, a patch or a tunnel.
            Unsupported: that type is not to be had here.
            SwitchUnreachable: no Open vSwitch answers.
            SwitchRefused: the switch cannot take the port; its words are in ``detail``.
        """
        _refuse(Capability.OVS)

    @operation
    def delete_ovs_vif_port(self, bridge: str, dev: str, *, delete_dev: bool = True) -> None:
        """Take a port out of a bridge, and delete its device.

        A port of another bridge is left alone, and so is its device. A device that is no port (a call was
        killed half way) is deleted. A device that the system cannot delete (a network card) stays.

        Raises:
            SwitchUnreachable: no Open vSwitch answers.
        """
        _refuse(Capability.OVS)

    @operation
    def set_ovs_port_vlan(
        self,
        dev: str,
        *,
        tag: int | None = None,
        trunks: Sequence[int] = (),
        vlan_mode: VlanMode | str | None = None,
    ) -> None:
        """Set what a living port does with tags, as :meth:`create_ovs_vif_port` has it; nothing: all tags pass.

        Raises:
            NoSuchDevice: no bridge has such a port.
            SwitchUnreachable: no Open vSwitch answers.
        """
        _refuse(Capability.OVS)

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
        """Make sure of a cable between two bridges of one switch; VLAN and ids are those of ``port``.

        Its ends are no devices: their names may have up to 63 characters. Ids are written where they are given, as by
        :meth:`create_ovs_vif_port`. A pair that is there with these two ends is adopted. Each end is deleted by
        :meth:`delete_ovs_vif_port`.

        Raises:
            NoSuchDevice: one of the bridges is not there.
            Mismatch: one of the names is taken by another port or cable.
            SwitchUnreachable: no Open vSwitch answers.
            SwitchRefused: the switch cannot make it (bridges of different datapaths).
        """
        _refuse(Capability.OVS)

    @operation
    def ovs_set_vhostuser_port_type(self, dev: str) -> None:
        """Make a port one of type ``dpdkvhostuser``, as Nova's helper of that name did after it had made the port.

        Raises:
            NoSuchDevice: no bridge has such a port.
            Unsupported: the switch has no such ports; it is built without DPDK.
            SwitchUnreachable: no Open vSwitch answers.
        """
        _refuse(Capability.OVS_VHOST_USER)

    # -- Indigo Virtual Switch ------------------------------------------------------------------------

    @operation
    def create_ivs_vif_port(self, dev: str, iface_id: str, mac_address: str, instance_id: str) -> None:
        """Make a device a port of IVS. It has one bridge, and keeps no ids; they are validated all the same.

        Raises:
            NoSuchDevice: the device is not there.
            Unsupported: there is no ``ivs-ctl`` here.
            CommandFailed: ``ivs-ctl`` refused.
        """
        _refuse(Capability.IVS)

    @operation
    def delete_ivs_vif_port(self, dev: str) -> None:
        """Take a port out of IVS, and delete its device.

        Raises:
            Unsupported: there is no ``ivs-ctl`` here.
            CommandFailed: ``ivs-ctl`` refused.
        """
        _refuse(Capability.IVS)


def _refuse(capability: Capability) -> NoReturn:
    raise Unsupported(f"this driver has no {capability}", capability=capability.value)
