"""The driver: each method validates, takes the lock, and has the work done, most of it in :mod:`.ensure`."""

from __future__ import annotations

from refnet import names
from refnet.errors import InvalidArgument
from refnet.netdev.driver import Capability, Device, Kind, NetDevDriver
from refnet_iproute2 import ensure, link, probe, show
from refnet_iproute2.calls import alone, device_name, operation
from refnet_iproute2.command import change
from refnet_iproute2.link import BridgeOptions
from refnet_iproute2.steps import apply, take_back


class IpCommandDriver(NetDevDriver):
    """Linux network devices by the ``ip`` command. It holds nothing open between calls."""

    # -- what can be done here ------------------------------------------------------------------------

    def probe(self, capability: Capability) -> str | None:
        """See :meth:`NetDevDriver.probe`."""
        return probe.missing(capability)

    # -- any device -----------------------------------------------------------------------------------

    def device_exists(self, dev: str) -> bool:
        """See :meth:`NetDevDriver.device_exists`."""
        with operation("device_exists", dev):
            return show.find(device_name(dev)) is not None

    def device(self, dev: str) -> Device:
        """See :meth:`NetDevDriver.device`."""
        with operation("device", dev):
            return show.get(device_name(dev)).device

    def delete_net_dev(self, dev: str) -> None:
        """See :meth:`NetDevDriver.delete_net_dev`."""
        with operation("delete_net_dev", dev):
            device_name(dev)
            with alone():
                if show.find(dev) is not None:
                    ensure.deleted(dev)

    def set_device_mtu(self, dev: str, mtu: int) -> None:
        """See :meth:`NetDevDriver.set_device_mtu`."""
        with operation("set_device_mtu", dev):
            device_name(dev)
            names.mtu(mtu)
            with alone():
                device = show.get(dev).device
                is_bridge = device.kind is Kind.BRIDGE
                apply(link.pin_mtu(device, mtu) if is_bridge else link.change(device, mtu=mtu, up=device.up))

    def set_device_macaddr(self, dev: str, mac_address: str) -> None:
        """See :meth:`NetDevDriver.set_device_macaddr`."""
        with operation("set_device_macaddr", dev):
            device_name(dev)
            mac = names.mac_address(mac_address)
            with alone():
                ensure.mac_address(dev, mac)

    def set_device_enabled(self, dev: str) -> None:
        """See :meth:`NetDevDriver.set_device_enabled`."""
        with operation("set_device_enabled", dev):
            device_name(dev)
            with alone():
                apply(link.change(show.get(dev).device, up=True))

    def set_device_disabled(self, dev: str) -> None:
        """See :meth:`NetDevDriver.set_device_disabled`."""
        with operation("set_device_disabled", dev):
            device_name(dev)
            with alone():
                apply(link.change(show.get(dev).device, up=False))

    # -- addresses ------------------------------------------------------------------------------------

    def add_device_address(self, dev: str, address: str) -> None:
        """See :meth:`NetDevDriver.add_device_address`."""
        with operation("add_device_address", dev):
            device_name(dev)
            wanted = names.interface_address(address)
            with alone():
                ensure.address(dev, wanted)

    def delete_device_address(self, dev: str, address: str) -> None:
        """See :meth:`NetDevDriver.delete_device_address`."""
        with operation("delete_device_address", dev):
            device_name(dev)
            unwanted = names.interface_address(address)
            with alone():
                ensure.no_address(dev, unwanted)

    def ensure_gateway_address(self, dev: str, address: str) -> None:
        """See :meth:`NetDevDriver.ensure_gateway_address`."""
        with operation("ensure_gateway_address", dev):
            device_name(dev)
            wanted = names.interface_address(address)
            with alone():
                ensure.first_address(dev, wanted)

    # -- bridges --------------------------------------------------------------------------------------

    def create_bridge(
        self,
        bridge: str,
        *,
        mac_address: str | None = None,
        mtu: int | None = None,
        stp: bool | None = None,
        forward_delay: float | None = None,
        ageing_time: float | None = None,
        multicast_snooping: bool | None = None,
    ) -> None:
        """See :meth:`NetDevDriver.create_bridge`."""
        with operation("create_bridge", bridge):
            device_name(bridge, "bridge")
            options = _bridge_options(mac_address, mtu, stp, forward_delay, ageing_time, multicast_snooping)
            with alone():
                ensure.new_bridge(bridge, options)

    def delete_bridge(self, bridge: str) -> None:
        """See :meth:`NetDevDriver.delete_bridge`."""
        with operation("delete_bridge", bridge):
            device_name(bridge, "bridge")
            with alone():
                there = show.find(bridge)
                if there is not None:
                    show.require(there.device, Kind.BRIDGE)
                    ensure.deleted(bridge)

    def add_bridge_port(self, bridge: str, port: str, *, move: bool = False) -> None:
        """See :meth:`NetDevDriver.add_bridge_port`."""
        with operation("add_bridge_port", port):
            device_name(bridge, "bridge")
            device_name(port, "port")
            names.flag(move, "move")
            _refuse_itself(bridge, port)
            with alone():
                show.require(show.get(bridge).device, Kind.BRIDGE)
                device = show.get(port).device
                if link.joins(device, bridge, move=move):
                    apply([link.enslave(device, bridge)])

    def remove_bridge_port(self, bridge: str, port: str) -> None:
        """See :meth:`NetDevDriver.remove_bridge_port`."""
        with operation("remove_bridge_port", port):
            device_name(bridge, "bridge")
            device_name(port, "port")
            with alone():
                there = show.find(bridge)
                if there is None:
                    return
                show.require(there.device, Kind.BRIDGE)
                member = show.find(port)
                if member is not None and member.device.master == bridge:
                    with ensure.gone_is_well(port):
                        change("link", "set", "dev", port, "nomaster")

    def bridge_ports(self, bridge: str) -> tuple[str, ...]:
        """See :meth:`NetDevDriver.bridge_ports`."""
        with operation("bridge_ports", bridge):
            device_name(bridge, "bridge")
            show.require(show.get(bridge).device, Kind.BRIDGE)
            return show.ports(bridge)

    def ensure_bridge(
        self,
        bridge: str,
        interface: str | None = None,
        *,
        move: bool = False,
        mac_address: str | None = None,
        mtu: int | None = None,
        stp: bool | None = None,
        forward_delay: float | None = None,
        ageing_time: float | None = None,
        multicast_snooping: bool | None = None,
    ) -> None:
        """See :meth:`NetDevDriver.ensure_bridge`."""
        with operation("ensure_bridge", bridge):
            device_name(bridge, "bridge")
            if interface is not None:
                device_name(interface, "interface")
                _refuse_itself(bridge, interface)
            names.flag(move, "move")
            options = _bridge_options(mac_address, mtu, stp, forward_delay, ageing_time, multicast_snooping)
            with alone():
                ensure.bridge(bridge, interface, options, move_it=move)

    # -- VLANs ----------------------------------------------------------------------------------------

    def ensure_vlan(
        self,
        vlan_num: int,
        parent: str,
        dev: str | None = None,
        *,
        mac_address: str | None = None,
        mtu: int | None = None,
    ) -> str:
        """See :meth:`NetDevDriver.ensure_vlan`."""
        with operation("ensure_vlan", _vlan_name(vlan_num, dev)):
            name, mac = _vlan_arguments(vlan_num, parent, dev, mac_address, mtu)
            with alone():
                ensure.vlan(vlan_num, parent, name, mac, mtu)
            return name

    def ensure_vlan_bridge(
        self,
        vlan_num: int,
        bridge: str,
        parent: str,
        dev: str | None = None,
        *,
        mac_address: str | None = None,
        mtu: int | None = None,
    ) -> str:
        """See :meth:`NetDevDriver.ensure_vlan_bridge`; what was changed on a VLAN device is put back as well."""
        with operation("ensure_vlan_bridge", bridge):
            device_name(bridge, "bridge")
            name, mac = _vlan_arguments(vlan_num, parent, dev, mac_address, mtu)
            _refuse_itself(bridge, name)
            with alone():
                done = ensure.vlan(vlan_num, parent, name, mac, mtu)
                try:
                    ensure.bridge(bridge, name, BridgeOptions())
                except BaseException:
                    take_back(done)
                    raise
            return name

    # -- taps and virtual cables ----------------------------------------------------------------------

    def create_tap_dev(
        self,
        dev: str,
        mac_address: str | None = None,
        *,
        multi_queue: bool = False,
        mtu: int | None = None,
        owner: int | str | None = None,
        group: int | str | None = None,
    ) -> None:
        """See :meth:`NetDevDriver.create_tap_dev`."""
        with operation("create_tap_dev", dev):
            device_name(dev)
            mac = None if mac_address is None else names.mac_address(mac_address)
            names.flag(multi_queue, "multi_queue")
            if mtu is not None:
                names.mtu(mtu)
            if owner is not None or group is not None:
                probe.require(Capability.TAP_OWNER)
            if multi_queue:
                probe.require(Capability.TAP_MULTI_QUEUE)
            with alone():
                ensure.tap(dev, mac, mtu, multi_queue=multi_queue)

    def create_veth_pair(self, dev: str, peer: str, *, mtu: int | None = None) -> None:
        """See :meth:`NetDevDriver.create_veth_pair`."""
        with operation("create_veth_pair", dev):
            device_name(dev)
            device_name(peer, "peer")
            if dev == peer:
                raise InvalidArgument(f"a cable has two ends, and both are called {dev!r}")
            if mtu is not None:
                names.mtu(mtu)
            with alone():
                ensure.cable(dev, peer, mtu)


# -- arguments --------------------------------------------------------------------------------------------


def _bridge_options(
    mac_address: str | None,
    mtu: int | None,
    stp: bool | None,
    forward_delay: float | None,
    ageing_time: float | None,
    multicast_snooping: bool | None,
) -> BridgeOptions:
    """Validate a bridge's properties, and refuse those that are not to be had."""
    options = BridgeOptions(mac_address, mtu, ageing_time, multicast_snooping)
    if stp is not None:
        names.flag(stp, "stp")
    if forward_delay is not None:
        names.seconds(forward_delay, "forward_delay")
    for asked, capability in (
        (stp, Capability.BRIDGE_STP),
        (forward_delay, Capability.BRIDGE_FORWARD_DELAY),
        (multicast_snooping, Capability.BRIDGE_MULTICAST_SNOOPING),
    ):
        if asked is not None:
            probe.require(capability)
    return options


def _vlan_name(vlan_num: int, dev: str | None) -> str:
    return dev if dev is not None else f"vlan{vlan_num}"


def _vlan_arguments(
    vlan_num: int, parent: str, dev: str | None, mac_address: str | None, mtu: int | None
) -> tuple[str, str | None]:
    """Validate; return the VLAN device's name and the MAC address in its normal form."""
    names.vlan_id(vlan_num)
    device_name(parent, "parent")
    name = device_name(_vlan_name(vlan_num, dev), "VLAN device")
    if mtu is not None:
        names.mtu(mtu)
    return name, None if mac_address is None else names.mac_address(mac_address)


def _refuse_itself(bridge: str, port: str) -> None:
    if bridge == port:
        raise InvalidArgument(f"a bridge cannot be a port of itself: {port!r}", device=port)
