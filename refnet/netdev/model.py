"""What drivers of network devices speak of: capabilities, kinds, and devices as they are. No platform code."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from refnet import names


class Capability(str, enum.Enum):
    """Something optional that a driver says it can do here; the value is its name in options and reports."""

    BRIDGE = "bridge"
    #: Spanning tree, as the bridge's own switch.
    BRIDGE_STP = "bridge-stp"
    BRIDGE_FORWARD_DELAY = "bridge-forward-delay"
    BRIDGE_AGEING_TIME = "bridge-ageing-time"
    BRIDGE_MULTICAST_SNOOPING = "bridge-multicast-snooping"
    VLAN = "vlan"
    TAP = "tap"
    #: Several queues (file descriptors) on one tap.
    TAP_MULTI_QUEUE = "tap-multi-queue"
    #: A user and a group that may open the tap without privilege.
    TAP_OWNER = "tap-owner"
    VETH = "veth"
    IPV6 = "ipv6"
    #: Open vSwitch: a database that answers, and a switch that takes over what stands in it.
    OVS = "ovs"
    #: Bridges of Open vSwitch in the kernel (``datapath_type`` system).
    OVS_KERNEL_DATAPATH = "ovs-kernel-datapath"
    #: Bridges of Open vSwitch in its own process (``datapath_type`` netdev).
    OVS_USERSPACE_DATAPATH = "ovs-userspace-datapath"
    #: Ports of Open vSwitch that a hypervisor reaches through a socket (``dpdkvhostuser``, ``dpdkvhostuserclient``).
    OVS_VHOST_USER = "ovs-vhost-user"
    #: Indigo Virtual Switch.
    IVS = "ivs"
    #: Virtual functions of network cards (PCI SR-IOV), set through their physical function.
    SRIOV = "sriov"

    def __str__(self) -> str:
        """Give the bare name."""
        return self.value


class Kind(str, enum.Enum):
    """What a device is, in words that mean the same on every system."""

    BRIDGE = "bridge"
    VLAN = "vlan"
    TAP = "tap"
    #: A layer 3 tunnel device, the tap's sibling.
    TUN = "tun"
    #: One end of a virtual cable: veth on Linux, epair on FreeBSD.
    VETH = "veth"
    LOOPBACK = "loopback"
    #: A network card, or anything else that the system gives no kind.
    ETHERNET = "ethernet"
    #: A virtual device of a kind that refnet does not make (``dummy``, ``bond``, ``vxlan``, …).
    OTHER = "other"

    def __str__(self) -> str:
        """Give the bare name."""
        return self.value


@dataclass(frozen=True, slots=True)
class Address:
    """An address on a device.

    ``label`` is Linux's IPv4 label (``eth0:1``), None where it is just the device's name. Lifetimes are in
    seconds; None is for ever.
    """

    interface: names.InterfaceAddress
    broadcast: str | None = None
    label: str | None = None
    valid_lifetime: int | None = None
    preferred_lifetime: int | None = None

    def __str__(self) -> str:
        """Give the address with its prefix length."""
        return str(self.interface)


@dataclass(frozen=True, slots=True)
class Vlan:
    """The 802.1Q part of a VLAN device: its tag, and the device below it (None: in another network stack)."""

    tag: int
    parent: str | None


@dataclass(frozen=True, slots=True)
class Device:
    """A device as it is now.

    ``mtu`` is in bytes; ``up`` is the administrative state and ``carrier`` whether the link is there; ``master`` is the
    bridge that has it as a port; ``peer`` is the other end of a virtual cable (None: in another network stack);
    ``addresses`` are in the system's order, so that the first of a family is the one that it prefers.
    """

    name: str
    kind: Kind
    mac_address: str | None
    mtu: int
    up: bool
    carrier: bool
    master: str | None = None
    vlan: Vlan | None = None
    peer: str | None = None
    multi_queue: bool | None = None
    owner: int | None = None
    group: int | None = None
    addresses: tuple[Address, ...] = ()


class VlanMode(str, enum.Enum):
    """What a port of Open vSwitch does with 802.1Q tags; the values are the database's (ovs-vswitchd.conf.db(5))."""

    ACCESS = "access"
    TRUNK = "trunk"
    #: A trunk that puts frames of its ``tag`` on the wire without it, and takes untagged ones for it.
    NATIVE_UNTAGGED = "native-untagged"
    #: A trunk that takes untagged frames for its ``tag``, and puts frames of it on the wire with it.
    NATIVE_TAGGED = "native-tagged"

    def __str__(self) -> str:
        """Give the bare name."""
        return self.value


@dataclass(frozen=True, slots=True)
class OvsPort:
    """A port of an Open vSwitch bridge as it is now.

    ``interface_type`` is the database's ("" is a device of the system). ``tag``, ``trunks`` and ``vlan_mode`` are
    what the database has, so None and () where nothing was asked. ``ofport`` is the number that flows know the port
    by; None while the switch has given it none, and ``error`` then says why. The ids are those of the virtual
    interface behind it: ``iface_id``, ``attached_mac``, ``vm_uuid`` and ``iface_status``.
    """

    name: str
    bridge: str
    interface_type: str = ""
    ofport: int | None = None
    tag: int | None = None
    trunks: tuple[int, ...] = ()
    vlan_mode: VlanMode | None = None
    mtu: int | None = None
    peer: str | None = None
    iface_id: str | None = None
    attached_mac: str | None = None
    vm_uuid: str | None = None
    iface_status: str | None = None
    error: str | None = None


class LinkState(str, enum.Enum):
    """What a virtual function sees as its link, whatever the cable's."""

    #: That of the physical function.
    AUTO = "auto"
    ENABLE = "enable"
    DISABLE = "disable"

    def __str__(self) -> str:
        """Give the bare name."""
        return self.value


@dataclass(frozen=True, slots=True)
class VirtualFunction:
    """A virtual function as its physical function ``dev`` has it.

    ``vlan`` is the tag that the card adds and takes off, 0 where it does not. What the card does not tell is None.
    """

    dev: str
    number: int
    mac_address: str
    vlan: int = 0
    link_state: LinkState | None = None
    spoof_check: bool | None = None
    trusted: bool | None = None
