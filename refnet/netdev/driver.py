"""The interface of a network device driver: what every system's driver promises.

No platform code is imported here. The promises are proven by the conformance suite, spec by spec; those that hold
for every method:

* Arguments are validated first. A bad one raises :class:`~refnet.errors.InvalidArgument` (a bad name
  :class:`~refnet.errors.InvalidName`) before anything has changed.
* ``ensure_*``, ``delete_*`` and ``remove_*`` converge: called again, they change nothing and write nothing.
* All or nothing: a call that fails leaves the host as it was. A process killed inside a call leaves a state that the
  same call brings to its end.
* Only the devices named in a call are touched. What a call does not ask for keeps the kernel's default.
* Every failure is a :class:`~refnet.errors.RefnetError` with operation, device, errno and the system's own words.
* What a driver cannot do it refuses with :class:`~refnet.errors.Unsupported`, the host unchanged.
* Calls from several threads and processes at once are safe, and every wait is bounded.
* A call works on the network stack (network namespace, vnet) of the thread that makes it.
"""

from __future__ import annotations

import abc
from types import TracebackType

from refnet import names
from refnet.errors import operation
from refnet.netdev.model import Address, Capability, Device, Kind, Vlan
from refnet.netdev.switch_ports import SwitchPorts
from refnet.netdev.virtual_functions import VirtualFunctions

__all__ = ["Address", "Capability", "Device", "Kind", "NetDevDriver", "Vlan"]


class NetDevDriver(SwitchPorts, VirtualFunctions, abc.ABC):
    """Network devices of one system. See the module for what holds for every method.

    An instance may be shared between threads, survives a fork in both processes, and may be dropped at any time;
    :meth:`close` gives back at once what it holds open.
    """

    # -- what can be done here ------------------------------------------------------------------------

    @abc.abstractmethod
    def probe(self, capability: Capability) -> str | None:
        """Ask the running system for a capability, changing nothing.

        Returns None where it is there, else why it is not, in words for an operator ("the kernel has no 8021q: …").
        """

    def capabilities(self) -> frozenset[Capability]:
        """Return what this driver can do here and now."""
        return frozenset(capability for capability in Capability if self.probe(capability) is None)

    # Nothing to give back is the usual case: a driver on commands holds nothing open.
    def close(self) -> None:
        """Give back descriptors. The driver stays usable: the next call opens what it needs."""

    def __enter__(self) -> NetDevDriver:
        """Return the driver itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the driver."""
        self.close()

    # -- any device -----------------------------------------------------------------------------------

    @abc.abstractmethod
    def device_exists(self, dev: str) -> bool:
        """Say whether a device of that name is in the caller's network stack, whatever its kind."""

    @abc.abstractmethod
    def device(self, dev: str) -> Device:
        """Describe a device.

        Raises:
            NoSuchDevice: there is none by that name.
        """

    @abc.abstractmethod
    def delete_net_dev(self, dev: str) -> None:
        """Delete a virtual device of any kind; with one end of a virtual cable the other goes too.

        Raises:
            Unsupported: the system cannot delete such a device (a network card, the loopback).
        """

    @abc.abstractmethod
    def set_device_mtu(self, dev: str, mtu: int) -> None:
        """Set the MTU in bytes; on a bridge it then stays, whatever ports join.

        Raises:
            NoSuchDevice: there is none by that name.
            InvalidArgument: the device does not take that MTU.
        """

    @abc.abstractmethod
    def set_device_macaddr(self, dev: str, mac_address: str) -> None:
        """Set the MAC address, also of a device that is up.

        Raises:
            NoSuchDevice: there is none by that name.
        """

    @abc.abstractmethod
    def set_device_enabled(self, dev: str) -> None:
        """Set the device administratively up.

        Raises:
            NoSuchDevice: there is none by that name.
        """

    @abc.abstractmethod
    def set_device_disabled(self, dev: str) -> None:
        """Set the device administratively down.

        Raises:
            NoSuchDevice: there is none by that name.
        """

    # -- addresses ------------------------------------------------------------------------------------

    @abc.abstractmethod
    def add_device_address(self, dev: str, address: str) -> None:
        """Give a device an address such as ``192.0.2.1/24``; an address that is there stays as it is.

        An IPv4 address gets its subnet's broadcast address. An IPv6 address can be used when the call returns:
        duplicate address detection is left out.

        Raises:
            NoSuchDevice: there is none by that name.
        """

    @abc.abstractmethod
    def delete_device_address(self, dev: str, address: str) -> None:
        """Take an address from a device; other addresses stay, those of the same subnet included.

        Raises:
            NoSuchDevice: there is none by that name.
        """

    @abc.abstractmethod
    def ensure_gateway_address(self, dev: str, address: str) -> None:
        """Make an address the device's first of its family, as guests' gateway and DHCP server must be.

        The device's other addresses keep their order behind it, and its routes stay. IPv6 has no such order:
        there the address is only made sure of.

        Raises:
            NoSuchDevice: there is none by that name.
        """

    # -- bridges --------------------------------------------------------------------------------------

    @abc.abstractmethod
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
        """Create a bridge, up, with a MAC address that no port will change.

        Without ``mac_address`` it gets a random one. Times are in seconds. What is None keeps the kernel's default.

        Raises:
            AlreadyExists: there is a bridge by that name.
            WrongKind: there is another device by that name.
            Unsupported: one of the options is not to be had here.
        """

    @abc.abstractmethod
    def delete_bridge(self, bridge: str) -> None:
        """Delete a bridge; its ports stay and belong to no bridge.

        Raises:
            WrongKind: the device by that name is no bridge.
        """

    @abc.abstractmethod
    def add_bridge_port(self, bridge: str, port: str, *, move: bool = False) -> None:
        """Make a device a port of a bridge; one that is a port of it already stays as it is.

        Raises:
            NoSuchDevice: the bridge or the port is not there; ``device`` says which.
            WrongKind: the bridge is no bridge.
            AlreadyEnslaved: the port belongs to another bridge, and ``move`` is False.
            InvalidArgument: such a device cannot be a port (the bridge itself, a bridge, the loopback).
        """

    @abc.abstractmethod
    def remove_bridge_port(self, bridge: str, port: str) -> None:
        """Take a port out of a bridge; a device that is no port of this bridge is left alone.

        Raises:
            WrongKind: the bridge is no bridge.
        """

    @abc.abstractmethod
    def bridge_ports(self, bridge: str) -> tuple[str, ...]:
        """Return the names of a bridge's ports, sorted.

        Raises:
            NoSuchDevice: there is no such device.
            WrongKind: it is no bridge.
        """

    @abc.abstractmethod
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
        """Make sure of a bridge, up, with the properties that are given; with ``interface`` as a port.

        When the interface joins, its IPv4 addresses, its global IPv6 addresses and all routes through it go over to
        the bridge, with everything they carry (labels, lifetimes, order, metrics, tables). Link-local IPv6
        addresses stay. A bridge made for an interface gets the interface's MAC address, unless one is given.
        It is set up if it is down. An interface that is a port of the bridge already is otherwise left as it is.

        Raises:
            NoSuchDevice: the interface is not there.
            WrongKind: the device by the bridge's name is no bridge.
            AlreadyEnslaved: the interface belongs to another bridge, and ``move`` is False.
            Unsupported: one of the options, or something the interface carries, cannot be had on a bridge here.
        """

    # -- VLANs ----------------------------------------------------------------------------------------

    @abc.abstractmethod
    def ensure_vlan(
        self,
        vlan_num: int,
        parent: str,
        dev: str | None = None,
        *,
        mac_address: str | None = None,
        mtu: int | None = None,
    ) -> str:
        """Make sure of a VLAN device, up, that carries tag ``vlan_num`` (1 to 4094) of ``parent``; return its name.

        Without ``dev`` it is called ``vlan<N>``.

        Raises:
            NoSuchDevice: the parent is not there.
            WrongKind: the device by that name is no VLAN.
            Mismatch: it is a VLAN with another tag or parent.
            AlreadyExists: the parent has that tag under another name.
            InvalidArgument: the MTU is larger than the parent's.
        """

    @operation
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
        """Make sure of a VLAN device and of a bridge that has it as a port; return the VLAN device's name.

        ``mac_address`` and ``mtu`` are the VLAN device's; the bridge takes them over when it is made.
        A failure takes back what this call has done to the VLAN device.

        Raises: what :meth:`ensure_vlan` and :meth:`ensure_bridge` raise.
        """
        names.device_name(bridge, "bridge")
        name = names.device_name(dev if dev is not None else f"vlan{names.vlan_id(vlan_num)}", "VLAN device")
        names.device_name(parent, "parent")
        before = self.device(name) if self.device_exists(name) else None
        self.ensure_vlan(vlan_num, parent, name, mac_address=mac_address, mtu=mtu)
        try:
            self.ensure_bridge(bridge, name)
        except BaseException:
            self._put_back(name, before)
            raise
        return name

    def _put_back(self, name: str, before: Device | None) -> None:
        if before is None:
            self.delete_net_dev(name)
            return
        now = self.device(name)
        if before.mac_address is not None and before.mac_address != now.mac_address:
            self.set_device_macaddr(name, before.mac_address)
        if before.mtu != now.mtu:
            self.set_device_mtu(name, before.mtu)
        if not before.up:
            self.set_device_disabled(name)

    # -- taps and virtual cables ----------------------------------------------------------------------

    @abc.abstractmethod
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
        """Make sure of a tap device that outlives its users, up, with the properties that are given.

        ``owner`` and ``group`` are names or numbers. A tap that is there is adopted, as callers expect who plug a guest
        again: MAC address, MTU, owner, group and state are set, and what cannot be set is refused.

        Raises:
            WrongKind: there is another device by that name.
            Mismatch: the tap that is there has other queues than asked.
            Unsupported: multiple queues, or owners, are not to be had here.
        """

    @abc.abstractmethod
    def create_veth_pair(self, dev: str, peer: str, *, mtu: int | None = None) -> None:
        """Make sure of a virtual cable between two devices, both up, with ``mtu`` on both.

        A pair that is there with these two ends is adopted.

        Raises:
            WrongKind: one of the names is taken by another kind of device.
            Mismatch: one end is there and its other end is not ``peer``; the message says what it is instead.
        """
