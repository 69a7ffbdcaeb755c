"""The commands about DHCP and DNS."""

from __future__ import annotations

from refnet.cli import dhcp
from refnet.cli.parser import Command, Group, argument

_FILE = argument("file", "a network file (TOML), or - for the standard input")
_DEVICE = argument("device", "the device that the network is on")
_DIRECTORY = argument(
    "--directory",
    "where networks and leases are kept (default: /var/lib/refnet/dhcp, on FreeBSD /var/db/refnet/dhcp)",
    metavar="DIR",
)
_FIREWALL = argument(
    "--firewall",
    "let clients ask by rules of the packet filter (REFNET_FIREWALL), as owner refnet-dhcp",
    action="store_true",
)

ENTRIES: tuple[Group | Command, ...] = (
    Group(
        "dhcp",
        "serve DHCP, DNS and router advertisements to guests",
        """
DHCP, DHCPv6, DNS and router advertisements for the guests behind a device, from TOML
files. Each network has a server of its own (dnsmasq), which is bound to its device,
reads no file of the system, and answers nobody else. Leases outlive restarts.

Networks and leases are kept in a directory, so that any command can go on where
another has ended. A supervisor is not part of it: a server that died is started by
the next start, and show says why it died.
""",
        """
refnet dhcp check network.toml
refnet dhcp start network.toml
refnet dhcp leases br100
refnet dhcp release br100 192.0.2.100 52:54:00:12:34:56
refnet dhcp stop br100
""",
    ),
    Command(
        "dhcp check",
        dhcp.check,
        "check",
        "validate a network file and say in words what it means",
        """
Read a network file and print in words what would be served. Nothing on the host is
looked at or changed, no program is started, and no privilege is needed. "-" is the
standard input.

A small file:

  device = "br100"
  addresses = ["192.0.2.1/24", "2001:db8::1/64"]
  gateway = "192.0.2.1"
  domain = "cloud.example.org"
  ipv6 = "stateless"

  [dns]
  forwarders = ["198.51.100.53"]

  [[range]]
  first = "192.0.2.100"
  last = "192.0.2.199"

  [[host]]
  mac-addresses = "52:54:00:12:34:56"
  addresses = "192.0.2.10"
  name = "web"

  [options]
  ntp-server = "192.0.2.1"

The server's addresses are to be on the device already. Other keys are dns-servers,
search, mtu, lease-time (seconds), [[route]], [options6], [router-advertisement],
is-authoritative, checks-addresses, lease-events, lease-store and logs-dhcp; ipv6 is
slaac, stateless, stateful or stateful-slaac. A host can have a client-id, options,
options6, a lease-time, and is-ignored.
""",
        (_FILE,),
        """
refnet dhcp check network.toml
""",
    ),
    Command(
        "dhcp start",
        dhcp.start,
        "start",
        "make sure that a network is served",
        """
Make sure that the device of the file's network has a server which serves it as the
file says, and return when it answers. A server that runs takes other hosts over by
itself; it is started anew only for what it reads at its start. Again, it changes
nothing.
""",
        (_FILE, _DIRECTORY, _FIREWALL),
        """
refnet dhcp start network.toml
refnet dhcp start --firewall network.toml
""",
    ),
    Command(
        "dhcp update",
        dhcp.update,
        "update",
        "have a running server serve a network as the file says",
        """
As start, but for a server that runs: if none does, that is an error which says how
it ended, and nothing is started.
""",
        (_FILE, _DIRECTORY, _FIREWALL),
        "refnet dhcp update network.toml",
    ),
    Command(
        "dhcp stop",
        dhcp.stop,
        "stop",
        "stop a device's server",
        """
Stop the server of a device and remove its files but for the leases. A device without
one is no error. Rules that start --firewall has made go if --firewall is given again.
""",
        (
            _DEVICE,
            argument("--forget", "remove the leases as well", action="store_true"),
            _DIRECTORY,
            _FIREWALL,
        ),
        """
refnet dhcp stop br100
refnet dhcp stop br100 --forget
""",
    ),
    Command(
        "dhcp show",
        dhcp.show,
        "running",
        "say what is served, and whether it is",
        """
Say of a device, or of all in the directory, whether the server runs, why it does not,
and in words what it serves.
""",
        (
            argument("device", "the device that the network is on (default: all)", nargs="?"),
            _DIRECTORY,
        ),
        """
refnet dhcp show
refnet --json dhcp show br100 | jq .networks[0].running
""",
    ),
    Command(
        "dhcp leases",
        dhcp.leases,
        "leases",
        "list a device's leases",
        """
List the leases of a device's clients, those that have expired left out: address, MAC
address or DUID, name, and when it ends (UTC). With --json the end is in seconds since
1970, null for never.
""",
        (_DEVICE, _DIRECTORY),
        """
refnet dhcp leases br100
refnet --json dhcp leases br100 | jq -r '.leases[].address'
""",
    ),
    Command(
        "dhcp release",
        dhcp.release,
        "release",
        "end a client's lease",
        """
End the lease of an address as if its client had said so, and return when the server
has ended it. An address that is not leased is no error; one that somebody else has
is, and then nothing is sent.
""",
        (
            _DEVICE,
            argument("address", "the leased address"),
            argument("client", "its MAC address, or for DHCPv6 its DUID"),
            _DIRECTORY,
        ),
        "refnet dhcp release br100 192.0.2.100 52:54:00:12:34:56",
    ),
    Command(
        "dhcp add-host",
        dhcp.add_host,
        "add_host",
        "add a host to a network",
        """
Add a host to the network of a device whose server runs; the server knows it when this
returns. A host with the same MAC address or client identifier is replaced. What else
a host can have is for a network file.
""",
        (
            _DEVICE,
            argument("--mac", "its MAC address; several times for several", metavar="MAC", action="append", default=[]),
            argument("--address", "its address; once for IPv4", metavar="ADDRESS", action="append", default=[]),
            argument("--name", "its name, without the domain", metavar="NAME"),
            argument("--client-id", "its client identifier or DUID, octets with colons", metavar="ID"),
            _DIRECTORY,
        ),
        "refnet dhcp add-host br100 --mac 52:54:00:12:34:56 --address 192.0.2.10",
    ),
    Command(
        "dhcp remove-host",
        dhcp.remove_host,
        "remove_host",
        "remove a host from a network",
        """
Remove the host that has this MAC address or client identifier; none is no error. The
lease that it may have stays until it ends.
""",
        (
            _DEVICE,
            argument("identity", "its MAC address, client identifier or DUID"),
            _DIRECTORY,
        ),
        "refnet dhcp remove-host br100 52:54:00:12:34:56",
    ),
    Command(
        "dhcp capabilities",
        dhcp.capabilities,
        "probe",
        "say what the DHCP server can do on this host",
        """
Print a table of what the DHCP server can do: the name, whether it is to be had here
and now, and where it is not the reason.
""",
        (),
        "refnet dhcp capabilities",
    ),
)
