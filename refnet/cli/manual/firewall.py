"""The commands about the packet filter."""

from __future__ import annotations

from refnet.cli import firewall
from refnet.cli.parser import Command, Group, argument

_FILE = argument("file", "a rule file (TOML), or - for the standard input")
_OWNER = argument("--owner", "whose rules (default: refnet)", metavar="NAME", default="refnet")

ENTRIES: tuple[Group | Command, ...] = (
    Group(
        "firewall",
        "check, apply, show and remove packet filter rules",
        """
Packet filter and address translation rules, from TOML files. Rules belong to an
owner, and what bears another name is never touched: neither rules of other owners
nor those of anybody else.

A file has chains of rules. Each key of a rule narrows the packets that it is about:
family, protocol, source, destination, source-ports, destination-ports, in-interface,
out-interface, source-mac, states, icmp-type, mark, limit; comment is for people.
Values can be one, a list, or { not = ... }. The first rule of a hook that accepts,
drops or rejects a packet decides.

The firewall is iptables on Linux and pf on FreeBSD. With --driver or REFNET_FIREWALL
it is another: iptables-legacy, iptables-nft, nftables, pf, null, or a class of
somebody else's. On FreeBSD pf.conf has to call the anchors refnet/*; an error says
which lines it lacks.
""",
        """
refnet firewall check rules.toml
refnet firewall apply rules.toml
refnet firewall show --owner web
refnet --driver nftables firewall apply rules.toml
""",
    ),
    Command(
        "firewall check",
        firewall.check,
        "check",
        "validate a rule file and say in words what it means",
        """
Read a rule file, see that everything in it is possible with this firewall, and print
what each rule does, in words. Nothing on the host is looked at or changed, no program
is started, and no privilege is needed. "-" is the standard input.

A small file:

  owner = "web"

  [[chain]]
  name = "guests"
  hook = "forward"

  [[chain.rule]]
  action = "accept"
  protocol = "tcp"
  source = { not = ["192.0.2.0/24"] }
  destination-ports = [80, "8000-8010"]

  [[chain.rule]]
  action = { reject = "admin-prohibited" }

Hooks are prerouting, input, forward, output and postrouting; a chain without one is
jumped to. Tables are filter (the default), nat and mangle. Actions are

  "accept"  "drop"  "reject"  "return"  "masquerade"  "log"  "checksum-fill"
  { jump = "CHAIN" }                   { reject = "ANSWER" }
  { snat = "ADDRESS", ports = "A-B" }  { dnat = "ADDRESS", ports = "A-B" }
  { masquerade = "A-B" }               { redirect = "A-B" }
  { log = "PREFIX" }                   { mark = NUMBER, mask = NUMBER }

An ANSWER is port-unreachable, host-unreachable, net-unreachable, admin-prohibited or
tcp-reset; ports can be left out. Values that are neither a name nor an address:

  destination-ports = [22, "8000-8010"]   states = ["established", "related"]
  icmp-type = "3/4"                       limit = [10, "minute", 20]
  mark = [16, 240]                        comment = "up to 100 characters"

An icmp-type can also be a number or a name such as "echo-request", a limit "10/minute"
(with a third value, that many can come at once), and a mark a number without a mask.

Ports of a bridge are kept from pretending to be others by

  [[port-guard]]
  port = "tap1"
  mac-address = "52:54:00:12:34:56"
  addresses = ["192.0.2.7", "2001:db8::7"]
""",
        (_FILE,),
        """
refnet firewall check rules.toml
refnet --driver pf firewall check rules.toml
""",
    ),
    Command(
        "firewall apply",
        firewall.apply,
        "apply",
        "make the host like a rule file",
        """
Make the rules of the file's owner on this host be those of the file: what is missing
is added, what is no longer in the file goes, and what is right stays with its counters
and connections. Each table changes in one step, so that no packet meets half of it;
if it fails, nothing has changed. Again, it changes nothing.
""",
        (
            _FILE,
            argument("--enable", "switch the packet filter on, where it has a switch (pf)", action="store_true"),
        ),
        """
refnet firewall apply rules.toml
""",
    ),
    Command(
        "firewall show",
        firewall.show,
        "standing",
        "say in words which rules of an owner stand on the host",
        """
Print the chains of an owner as they stand on the host now, whoever has made them, and
what each rule does, in words. What cannot be read as a rule of refnet's is shown as
the system's tool writes it. With --json the rules are as a rule file has them.
Guards of ports and isolated addresses are not shown.
""",
        (_OWNER,),
        """
refnet firewall show
refnet --json firewall show --owner web | jq '.chains[].rules | length'
""",
    ),
    Command(
        "firewall teardown",
        firewall.teardown,
        "teardown",
        "remove all rules of an owner",
        """
Remove everything of an owner from this host's packet filter, whoever has made it and
when. Nothing else is touched, and where there is nothing, nothing happens. What
could not be removed is said, with the reason, after the rest is done.
""",
        (_OWNER,),
        "refnet firewall teardown --owner web",
    ),
    Command(
        "firewall capabilities",
        firewall.capabilities,
        "probe",
        "say what this firewall can do on this host",
        """
Print a table of what the firewall can do beside accepting and dropping: the name,
whether it is to be had here and now, and where it is not the reason.
""",
        (),
        "refnet --driver nftables firewall capabilities",
    ),
)
