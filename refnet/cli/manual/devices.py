"""The commands about devices."""

from __future__ import annotations

from refnet.cli import commands
from refnet.cli.parser import Command, Group, argument, name_or_number, seconds, switch, whole_number

_MAC = argument("--mac", "MAC address, such as 52:54:00:12:34:56", dest="mac_address", metavar="MAC")
_MTU = argument("--mtu", "MTU in bytes, 68 to 65535", metavar="BYTES", type=whole_number)
_BRIDGE = argument("bridge", "the bridge's name")
_PORT = argument("port", "the name of the device that is, or becomes, a port")
_DEVICE = argument("name", "the device's name")
_ADDRESS = argument("address", "an IPv4 or IPv6 address with its prefix length, such as 192.0.2.1/24")
_MOVE = argument("--move", "take the port from the bridge that has it", action="store_true")

_BRIDGE_OPTIONS = (
    _MAC,
    _MTU,
    argument("--stp", "spanning tree", metavar="on|off", type=switch),
    argument("--forward-delay", "spanning tree's delay in seconds", metavar="SECONDS", type=seconds),
    argument("--ageing-time", "seconds until an unseen MAC address is forgotten", metavar="SECONDS", type=seconds),
    argument("--multicast-snooping", "watching IGMP and MLD", metavar="on|off", type=switch),
)

ENTRIES: tuple[Group | Command, ...] = (
    Group(
        "device",
        "show, set and delete devices of any kind; their addresses",
        "Look at, set and delete a device of any kind, and change its addresses.",
        """
refnet device show eth0
refnet device set tap1 --mtu 1400 --up
refnet device address add br100 192.0.2.1/24
""",
    ),
    Command(
        "device show",
        commands.device_show,
        "device",
        "show a device and its addresses",
        """
Show a device as it is now: its kind, MAC address, MTU in bytes, administrative
state and carrier, the bridge that has it as a port (master), VLAN tag and parent,
the other end of a virtual cable, a tap's queues, owner and group, and its
addresses in the system's order. What a device does not have is left out; in JSON
it is null. Lifetimes of addresses are in seconds, null in JSON for ever.
""",
        (_DEVICE,),
        """
refnet device show eth0
refnet --json device show br100 | jq -r '.addresses[].address'
""",
    ),
    Command(
        "device delete",
        commands.device_delete,
        "delete_net_dev",
        "delete a virtual device",
        """
Delete a virtual device of any kind; with one end of a virtual cable the other goes
too. A device that is not there is no error. What the system itself made (a network
card, the loopback) cannot be deleted: status 1.
""",
        (_DEVICE,),
        "refnet device delete tap1",
    ),
    Command(
        "device set",
        commands.device_set,
        "set_device",
        "set MTU, MAC address and state of a device",
        """
Set properties of a device: first the MTU, then the MAC address, then the state.
All values are checked before the first is set. If the system refuses one, those
before it stay, the error says which, and the status is 1.
""",
        (
            _DEVICE,
            _MTU,
            _MAC,
            argument("--up", "set it up", exclusive=True, dest="up", action="store_const", const=True),
            argument("--down", "set it down", exclusive=True, dest="up", action="store_const", const=False),
        ),
        """
refnet device set eth1 --up
refnet device set tap1 --mtu 1400 --mac 52:54:00:12:34:56
""",
    ),
    Group(
        "device address",
        "add, delete and order the addresses of a device",
        "Change the addresses of a device.",
        """
refnet device address add br100 192.0.2.1/24
refnet device address gateway br100 192.0.2.254/24
""",
    ),
    Command(
        "device address add",
        commands.address_add,
        "add_device_address",
        "give a device an address",
        """
Give a device an address; one that is there stays as it is. An IPv4 address gets
its subnet's broadcast address. An IPv6 address can be used at once: duplicate
address detection is left out.
""",
        (_DEVICE, _ADDRESS),
        "refnet device address add br100 2001:db8::1/64",
    ),
    Command(
        "device address delete",
        commands.address_delete,
        "delete_device_address",
        "take an address from a device",
        "Take an address from a device; others stay, also of the same subnet. One not there is no error.",
        (_DEVICE, _ADDRESS),
        "refnet device address delete br100 192.0.2.1/24",
    ),
    Command(
        "device address gateway",
        commands.address_gateway,
        "ensure_gateway_address",
        "make an address the device's first",
        """
Make an address the device's first of its family, adding it where it is not there,
as guests' gateway and DHCP server must be. The other addresses keep their order
behind it, and routes stay. IPv6 has no such order: there the address is only made
sure of.
""",
        (_DEVICE, _ADDRESS),
        "refnet device address gateway br100 192.0.2.254/24",
    ),
    Group(
        "bridge",
        "create and delete bridges; their ports",
        "Create, make sure of and delete bridges, and change their ports.",
        """
refnet bridge ensure br100 --interface eth1
refnet bridge add-port br100 tap1
refnet bridge ports br100
""",
    ),
    Command(
        "bridge create",
        commands.bridge_create,
        "create_bridge",
        "create a bridge that is not there",
        """
Create a bridge, up, with a MAC address that no port will change: the one given, or
a random one. Options that are not given keep the kernel's default. A bridge that is
there is an error (status 1).
""",
        (_BRIDGE, *_BRIDGE_OPTIONS),
        """
refnet bridge create br100
refnet bridge create br100 --mtu 9000 --stp on --forward-delay 4
""",
    ),
    Command(
        "bridge ensure",
        commands.bridge_ensure,
        "ensure_bridge",
        "make sure of a bridge, and of an interface in it",
        """
Make sure of a bridge, up, with the properties that are given; it is made if it is
not there. With --interface that device becomes a port, and its IPv4 addresses,
global IPv6 addresses and routes go over to the bridge with all they carry. A bridge
made for an interface gets the interface's MAC address unless --mac is given. An
interface that is a port of the bridge already is left as it is.
""",
        (
            _BRIDGE,
            argument("--interface", "the device that becomes a port", metavar="NAME"),
            argument("--move", "take the interface from the bridge that has it", action="store_true"),
            *_BRIDGE_OPTIONS,
        ),
        """
refnet bridge ensure br100
refnet bridge ensure br100 --interface eth1 --mtu 1500
refnet bridge ensure br100 --interface tap1 --move
""",
    ),
    Command(
        "bridge delete",
        commands.bridge_delete,
        "delete_bridge",
        "delete a bridge",
        "Delete a bridge; its ports stay and belong to no bridge. One that is not there is no error.",
        (_BRIDGE,),
        "refnet bridge delete br100",
    ),
    Command(
        "bridge add-port",
        commands.bridge_add_port,
        "add_bridge_port",
        "make a device a port of a bridge",
        """
Make a device a port of a bridge; one that is a port of it already stays as it is.
Its addresses stay with it: 'refnet bridge ensure --interface' moves them.
""",
        (_BRIDGE, _PORT, _MOVE),
        """
refnet bridge add-port br100 tap1
refnet bridge add-port br200 tap1 --move
""",
    ),
    Command(
        "bridge remove-port",
        commands.bridge_remove_port,
        "remove_bridge_port",
        "take a port out of a bridge",
        "Take a port out of a bridge. A device that is no port of this bridge is left alone: no error.",
        (_BRIDGE, _PORT),
        "refnet bridge remove-port br100 tap1",
    ),
    Command(
        "bridge ports",
        commands.bridge_ports,
        "bridge_ports",
        "list the ports of a bridge",
        "Print the names of a bridge's ports, sorted, one a line.",
        (_BRIDGE,),
        "refnet bridge ports br100",
    ),
    Group(
        "vlan",
        "make sure of VLAN devices",
        "Make sure of VLAN devices (802.1Q), and of bridges for them.",
        "refnet vlan ensure 100 eth1",
    ),
    Command(
        "vlan ensure",
        commands.vlan_ensure,
        "ensure_vlan",
        "make sure of a VLAN device, and of a bridge for it",
        """
Make sure of a VLAN device, up, and print its name. With --bridge also make sure of a
bridge that has the VLAN device as a port; the bridge takes over MAC address and MTU
when it is made. If the bridge cannot be had, a VLAN device that this command has
made is taken back.
""",
        (
            argument("tag", "802.1Q tag, 1 to 4094", type=whole_number),
            argument("parent", "the name of the device that carries the tagged frames"),
            argument("--name", "the VLAN device's name (default: vlan and the tag, such as vlan100)"),
            argument("--bridge", "the bridge to make sure of", metavar="NAME"),
            _MAC,
            _MTU,
        ),
        """
refnet vlan ensure 100 eth1
refnet vlan ensure 100 eth1 --name guests --bridge br100
""",
    ),
    Group(
        "tap",
        "make sure of taps",
        "Make sure of tap devices, which guests are plugged in by.",
        "refnet tap create tap1",
    ),
    Command(
        "tap create",
        commands.tap_create,
        "create_tap_dev",
        "make sure of a tap",
        """
Make sure of a tap device, up, that outlives its users. A tap that is there is
adopted: MAC address, MTU, owner and group are set where they are given. Its number
of queues cannot be changed: another one is an error (status 1).
""",
        (
            _DEVICE,
            _MAC,
            _MTU,
            argument("--multi-queue", "several queues, that is file descriptors", action="store_true"),
            argument("--owner", "the user that may open it: name or uid", metavar="USER", type=name_or_number),
            argument("--group", "the group that may open it: name or gid", metavar="GROUP", type=name_or_number),
        ),
        """
refnet tap create tap1 --mac 52:54:00:12:34:56 --mtu 1400
refnet tap create tap1 --multi-queue --owner libvirt-qemu
""",
    ),
    Group(
        "veth",
        "make sure of virtual cables",
        "Make sure of virtual cables: two devices, and what enters one leaves the other.",
        "refnet veth create in0 out0",
    ),
    Command(
        "veth create",
        commands.veth_create,
        "create_veth_pair",
        "make sure of a virtual cable",
        """
Make sure of a virtual cable between two devices, both up. A cable that is there
between these two is adopted; anything else by one of the names is an error
(status 1).
""",
        (
            argument("name", "the name of one end"),
            argument("peer", "the name of the other end"),
            argument("--mtu", "MTU of both ends in bytes, 68 to 65535", metavar="BYTES", type=whole_number),
        ),
        "refnet veth create in0 out0 --mtu 9000",
    ),
    Command(
        "capabilities",
        commands.capabilities,
        "probe",
        "say what can be done on this host",
        """
Print a table of the driver's optional capabilities: the name, whether it is to be had
here and now, and where it is not the reason. That one is missing is no error.
""",
        (),
        """
refnet capabilities
refnet --json capabilities | jq .capabilities.vlan
""",
    ),
)
