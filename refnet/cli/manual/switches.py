"""The commands about switch ports and virtual functions."""

from __future__ import annotations

from refnet.cli import switches
from refnet.cli.parser import Command, Group, argument, switch, tags, whole_number

_OVSDB = argument(
    "--ovsdb",
    "where Open vSwitch's database is, such as unix:/run/openvswitch/db.sock or tcp:127.0.0.1:6640 "
    "(default: REFNET_OVSDB, else where it is usually)",
    metavar="PLACE",
)
_BRIDGE = argument("bridge", "the bridge's name")
_PORT = argument("port", "the port's name, which is that of its device")
_MAC = argument("--mac", "MAC address of the virtual interface", dest="mac_address", metavar="MAC", required=True)
_IFACE_ID = argument("--iface-id", "the virtual interface's id (Neutron's port)", metavar="ID", required=True)
_MTU = argument("--mtu", "MTU in bytes, 68 to 65535", metavar="BYTES", type=whole_number)
_VLAN = (
    argument("--tag", "802.1Q tag of untagged frames, 1 to 4095", metavar="TAG", type=whole_number),
    argument("--trunks", "tags that pass, divided by commas", metavar="TAG,...", type=tags, default=()),
    argument("--vlan-mode", "access, trunk, native-untagged or native-tagged", metavar="MODE"),
)
_CARD = argument("name", "the network card's device, which is its physical function")
_NUMBER = argument("number", "the virtual function's number, from 0 on", type=whole_number)

ENTRIES: tuple[Group | Command, ...] = (
    Group(
        "ovs",
        "bridges and ports of Open vSwitch",
        """
Look at and change bridges and ports of Open vSwitch, by its database. A command is
done when the switch itself has done it; what the switch cannot do is taken back, and
said in its words (status 1).
""",
        """
refnet ovs bridge ensure br-int
refnet ovs port add br-int tap1 --iface-id p1 --mac 52:54:00:12:34:56 --tag 7
refnet ovs port show tap1
""",
    ),
    Group(
        "ovs bridge",
        "make sure of and delete bridges of Open vSwitch",
        "Make sure of and delete bridges of Open vSwitch.",
        "refnet ovs bridge ensure br-int",
    ),
    Command(
        "ovs bridge ensure",
        switches.bridge_ensure,
        "ensure_ovs_bridge",
        "make sure of a bridge of Open vSwitch",
        """
Make sure of a bridge of Open vSwitch, its device of the same name up. What is not
given stays as it is; a bridge that is made gets the switch's defaults.
""",
        (
            _BRIDGE,
            argument("--datapath-type", "system (the kernel) or netdev (the switch's process)", metavar="TYPE"),
            argument("--fail-mode", "without a controller: standalone or secure", metavar="MODE"),
            argument("--mac", "MAC address of the bridge's device", dest="mac_address", metavar="MAC"),
            argument("--mtu", "MTU of the bridge's device in bytes, 68 to 65535", metavar="BYTES", type=whole_number),
            _OVSDB,
        ),
        """
refnet ovs bridge ensure br-int
refnet ovs bridge ensure br-int --datapath-type netdev --fail-mode secure
""",
    ),
    Command(
        "ovs bridge delete",
        switches.bridge_delete,
        "delete_ovs_bridge",
        "delete a bridge of Open vSwitch",
        """
Delete a bridge of Open vSwitch with all its ports. Devices of the system that were
ports stay. A bridge that is not there is no error.
""",
        (_BRIDGE, _OVSDB),
        "refnet ovs bridge delete br-int",
    ),
    Group(
        "ovs port",
        "ports of Open vSwitch: add, delete, show, and their VLANs",
        "Look at and change ports of Open vSwitch.",
        """
refnet ovs port add br-int tap1 --iface-id p1 --mac 52:54:00:12:34:56
refnet ovs port vlan tap1 --tag 100
refnet ovs port list br-int
""",
    ),
    Command(
        "ovs port add",
        switches.port_add,
        "create_ovs_vif_port",
        "make a virtual interface a port of a bridge",
        """
Make a device a port of a bridge, with the ids that controllers know the virtual
interface by: iface-id, iface-status, attached-mac and vm-uuid. With --type internal
the switch makes the device, for a gateway; dpdkvhostuser and dpdkvhostuserclient
have none.

With --tag it is an access port; with --tag and --trunks a trunk whose untagged
frames belong to the tag; --trunks alone is a trunk. Without any of these a port that
is there keeps its VLANs; with one, the others are taken off. A healthy port keeps its
number (ofport), and its traffic goes on.
""",
        (
            _BRIDGE,
            _PORT,
            _IFACE_ID,
            _MAC,
            argument("--vm-uuid", "the id of the guest", metavar="ID"),
            _MTU,
            argument("--type", "internal, dpdkvhostuser or dpdkvhostuserclient", metavar="TYPE"),
            argument("--device-later", "have the port wait for a device that is not there", action="store_true"),
            argument("--vhost-server-path", "the hypervisor's socket, for dpdkvhostuserclient", metavar="PATH"),
            *_VLAN,
            _OVSDB,
        ),
        """
refnet ovs port add br-int tap1 --iface-id p1 --mac 52:54:00:12:34:56 --tag 7
refnet ovs port add br0 t1 --iface-id p1 --mac 52:54:00:12:34:56 --trunks 7,8
""",
    ),
    Command(
        "ovs port delete",
        switches.port_delete,
        "delete_ovs_vif_port",
        "take a port out of a bridge, and delete its device",
        """
Take a port out of a bridge, and delete its device, also one that is no port (any
more). A port of another bridge is left alone, and so is its device; what the system
cannot delete (a network card) stays.
""",
        (_BRIDGE, _PORT, argument("--keep-device", "let the device be", action="store_true"), _OVSDB),
        "refnet ovs port delete br-int tap1",
    ),
    Command(
        "ovs port show",
        switches.port_show,
        "ovs_port",
        "show a port",
        """
Show a port as the switch has it: its bridge, its number (ofport), type, tags, MTU,
the other end of a patch, the ids of the virtual interface, and why it does not work
where it does not.
""",
        (_PORT, _OVSDB),
        """
refnet ovs port show tap1
refnet --json ovs port show tap1 | jq .ofport
""",
    ),
    Command(
        "ovs port vlan",
        switches.port_vlan,
        "set_ovs_port_vlan",
        "set the VLANs of a port",
        "Set what a port does with 802.1Q tags, while its traffic goes on. What is not given is taken off it.",
        (_PORT, *_VLAN, argument("--all", "let all tags pass, as they come", action="store_true"), _OVSDB),
        """
refnet ovs port vlan tap1 --tag 100
refnet ovs port vlan tap1 --trunks 7,8 --tag 5 --vlan-mode native-tagged
refnet ovs port vlan tap1 --all
""",
    ),
    Command(
        "ovs port list",
        switches.port_list,
        "ovs_ports",
        "list the ports of a bridge",
        "Print the names of a bridge's ports, sorted, one a line, without the bridge's own device.",
        (_BRIDGE, _OVSDB),
        "refnet ovs port list br-int",
    ),
    Group(
        "ovs patch",
        "cables between bridges of Open vSwitch",
        "Make cables between two bridges of one Open vSwitch.",
        "refnet ovs patch add br-int to-ex br-ex to-int",
    ),
    Command(
        "ovs patch add",
        switches.patch_add,
        "create_ovs_patch_ports",
        "make sure of a cable between two bridges",
        """
Make sure of a cable between two bridges: a port in each, and what leaves by one comes
in by the other. --tag, --trunks and --vlan-mode are those of the first. A pair that
is there with these two ends is adopted. 'refnet ovs port delete' removes an end.
""",
        (
            _BRIDGE,
            _PORT,
            argument("peer_bridge", "the other bridge's name", metavar="PEER-BRIDGE"),
            argument("peer_port", "the name of the port in the other bridge", metavar="PEER-PORT"),
            *_VLAN,
            _OVSDB,
        ),
        "refnet ovs patch add br-int to-ex br-ex to-int --tag 100",
    ),
    Group(
        "ivs",
        "ports of Indigo Virtual Switch",
        "Add and delete ports of Indigo Virtual Switch (IVS), by ivs-ctl.",
        "refnet ivs port add tap1 --iface-id p1 --mac 52:54:00:12:34:56 --vm-uuid g1",
    ),
    Group(
        "ivs port",
        "add and delete ports of IVS",
        "Add and delete ports of IVS, which has one bridge.",
        "refnet ivs port delete tap1",
    ),
    Command(
        "ivs port add",
        switches.ivs_add,
        "create_ivs_vif_port",
        "make a device a port of IVS",
        "Make a device a port of IVS. The ids are checked, and kept by nobody.",
        (_PORT, _IFACE_ID, _MAC, argument("--vm-uuid", "the id of the guest", metavar="ID", required=True)),
        "refnet ivs port add tap1 --iface-id p1 --mac 52:54:00:12:34:56 --vm-uuid g1",
    ),
    Command(
        "ivs port delete",
        switches.ivs_delete,
        "delete_ivs_vif_port",
        "take a port out of IVS, and delete its device",
        "Take a port out of IVS, and delete its device. What is not there is no error.",
        (_PORT,),
        "refnet ivs port delete tap1",
    ),
    Group(
        "vf",
        "virtual functions of network cards (SR-IOV)",
        """
Look at and set virtual functions of network cards (PCI SR-IOV), through their
physical function. Before the first change the state is written down, and 'vf restore'
puts it back.
""",
        """
refnet vf show eth2
refnet vf set eth2 0 --mac 52:54:00:12:34:56 --vlan 100
refnet vf restore eth2 0
""",
    ),
    Command(
        "vf show",
        switches.vf_show,
        "virtual_functions",
        "show the virtual functions of a network card",
        """
Print a table of a network card's virtual functions, or of one: number, MAC address,
VLAN, what it sees as its link, whether its source addresses are checked, and whether
it is trusted. What the card does not tell is '?', in JSON null.
""",
        (_CARD, argument("number", "only the virtual function with this number", type=whole_number, nargs="?")),
        """
refnet vf show eth2
refnet --json vf show eth2 3 | jq .virtual_functions[0].trusted
""",
    ),
    Command(
        "vf find",
        switches.vf_find,
        "virtual_function_at",
        "show the virtual function at a PCI address",
        """
Show the virtual function at a PCI address: the card and the number that the other
commands take, its own network device where the host has it, and what it is set to.
""",
        (argument("pci_address", "the PCI address, such as 0000:81:10.2", metavar="PCI-ADDRESS"),),
        "refnet vf find 0000:81:10.2",
    ),
    Command(
        "vf set",
        switches.vf_set,
        "set_device_macaddr_and_vlan",
        "set MAC address and VLAN of a virtual function",
        "Set a virtual function's MAC address, and the VLAN that the card keeps it in.",
        (
            _CARD,
            _NUMBER,
            argument(
                "--mac", "MAC address; all zero lets the card choose", dest="mac_address", metavar="MAC", required=True
            ),
            argument(
                "--vlan", "802.1Q tag, 1 to 4094; 0: none (the default)", metavar="TAG", type=whole_number, default=0
            ),
        ),
        "refnet vf set eth2 0 --mac 52:54:00:12:34:56 --vlan 100",
    ),
    Command(
        "vf trust",
        switches.vf_trust,
        "set_device_trust",
        "trust a virtual function, or not",
        "Let a virtual function change its MAC address and see all frames, or not.",
        (_CARD, _NUMBER, argument("trusted", "on or off", metavar="ON|OFF", type=switch)),
        "refnet vf trust eth2 0 on",
    ),
    Command(
        "vf link",
        switches.vf_link,
        "set_device_link_state",
        "say what a virtual function sees as its link",
        "Say what a virtual function sees as its link: the card's (auto), or always up or down.",
        (_CARD, _NUMBER, argument("state", "auto, enable or disable")),
        "refnet vf link eth2 0 enable",
    ),
    Command(
        "vf restore",
        switches.vf_restore,
        "restore_virtual_function",
        "put a virtual function back as it was",
        "Put a virtual function back as it was before refnet first changed it; one that it did not is left alone.",
        (_CARD, _NUMBER),
        "refnet vf restore eth2 0",
    ),
)
