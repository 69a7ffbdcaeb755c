"""The commands of ``refnet`` with their arguments and manual pages, as data: a module for each subject."""

from __future__ import annotations

from refnet.cli.manual import devices, dhcp, firewall, switches
from refnet.cli.parser import Command, Group

ROOT = Group(
    "",
    "",
    """
Look at and change the network of this host: its devices (bridges, VLANs, taps, virtual
cables, ports of software switches, virtual functions), its packet filter, and DHCP and
DNS for its guests. A command works on the network stack (network namespace, vnet) that
it runs in. What is not asked for keeps the system's default, and only the devices that
are named are touched.

A command that changes something prints nothing when it is done. Commands called
ensure, delete and remove-port converge: again, they change nothing.

Device names are 1 to 15 characters of A-Z a-z 0-9 . _ -. Put -- before names
that begin with '-', and write --option=-NAME for an option's value.
""",
    """
refnet bridge create br100
refnet tap create tap1 --mac 52:54:00:12:34:56 --mtu 1400
refnet bridge add-port br100 tap1
refnet device show tap1
refnet --json device show tap1 | jq -r .mac_address
refnet device show -- -odd-name
refnet ovs port add br-int tap1 --iface-id p1 --mac 52:54:00:12:34:56 --tag 7
refnet firewall apply rules.toml
refnet dhcp start network.toml
""",
)

ENTRIES: tuple[Group | Command, ...] = (*devices.ENTRIES, *switches.ENTRIES, *firewall.ENTRIES, *dhcp.ENTRIES)
