"""What iptables and the kernel can do here, found out by doing it in a network namespace that is gone afterwards."""

from __future__ import annotations

import shutil

from refnet import process
from refnet.errors import CommandFailed, RefnetError, ToolMissing
from refnet.firewall import conntrack, ipv6
from refnet.firewall.capabilities import Capability
from refnet.firewall.iptables import ebtables, failures, tools
from refnet.firewall.iptables.apart import MAY_NOT, apart
from refnet.firewall.iptables.tools import Tools

_LIMIT = 10.0

_REJECT = "-p tcp -m tcp --dport 22 -m multiport --sports 1,2 -m comment --comment probe -j REJECT"
#: Table, built-in chain, and rule, for each capability.
_RULES = {
    Capability.FILTER: ("filter", "FORWARD", _REJECT),
    Capability.FIREWALL_IPV6: ("filter", "FORWARD", _REJECT),
    Capability.NAT: ("nat", "POSTROUTING", "-j MASQUERADE"),
    Capability.NAT_IPV6: ("nat", "POSTROUTING", "-j MASQUERADE"),
    Capability.CONNECTION_STATE: ("filter", "FORWARD", "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"),
    Capability.TRANSLATED_STATE: ("filter", "FORWARD", "-m conntrack --ctstate SNAT,DNAT -j ACCEPT"),
    Capability.RATE_LIMIT: ("filter", "FORWARD", "-m limit --limit 10/min -j ACCEPT"),
    Capability.LOG: ("filter", "FORWARD", "-j LOG --log-prefix probe"),
    Capability.MARK: ("mangle", "FORWARD", "-m mark --mark 0x1/0xff -j MARK --set-xmark 0x1/0xff"),
    Capability.SOURCE_MAC: ("filter", "FORWARD", "-m mac --mac-source 02:00:00:00:00:01 -j ACCEPT"),
    Capability.CHECKSUM_FILL: ("mangle", "POSTROUTING", "-p udp -j CHECKSUM --checksum-fill"),
    Capability.COUNTERS: ("filter", "FORWARD", "-j ACCEPT"),
    Capability.POSITION: ("filter", "FORWARD", "-j ACCEPT"),
}
_SIX = (Capability.FIREWALL_IPV6, Capability.NAT_IPV6)
_BRIDGE = "*nat\n:probe ACCEPT\n-A probe -p ARP --arp-ip-src 192.0.2.1 -j RETURN\n-I PREROUTING -j probe\nCOMMIT\n"

#: What has been answered: neither the kernel nor the tools change.
_answers: dict[tuple[Capability, str], str | None] = {}


def probe(capability: Capability, variant: str) -> str | None:
    """Return None if it can be done here, else why not."""
    if capability is Capability.FORGET_CONNECTIONS:
        return conntrack.probe()
    if capability in _SIX and not ipv6.is_there():
        return ipv6.LACKS_IT
    known = (capability, variant)
    if known not in _answers:
        try:
            _try(capability, variant)
        except RefnetError as error:
            return str(error)  # a program or a privilege that is missing may come
        _answers[known] = None
    return _answers[known]


def _try(capability: Capability, variant: str) -> None:
    if capability is Capability.LAYER2:
        look = ["ebtables", "-t", "nat", "-L"]
        if ebtables.is_legacy("ebtables"):
            _run(["ebtables", "-t", "nat", "-N", "probe"], "", Tools(4), look)
        else:
            _run(["ebtables-restore", "--noflush"], _BRIDGE, Tools(4), look)
        return
    table, built_in, rule = _RULES[capability]
    using = Tools(6 if capability in _SIX else 4, variant)
    text = f"*{table}\n:probe - [0:0]\n-A probe {rule}\n-A {built_in} -j probe\nCOMMIT\n"
    argv = [using.program("restore"), "--noflush", "--wait", str(int(_LIMIT))]
    _run(argv, text, using, [*argv, "--test"])


def _run(argv: list[str], text: str, using: Tools, look: list[str]) -> None:
    """Run a program where it changes nothing of the host's, or where that cannot be, what only looks."""
    if not shutil.which(argv[0]):
        raise ToolMissing(f"{argv[0]} is not installed: install Debian's package {tools.PACKAGE}", tool=argv[0])
    try:
        done = process.run(apart(argv), stdin=text, expect=(0, MAY_NOT), time_limit=3 * _LIMIT)
        if done.status == MAY_NOT:
            # No namespaces for this process: then what can be seen without committing anything.
            argv = look
            process.run(argv, stdin=text, time_limit=3 * _LIMIT)
    except CommandFailed as failed:
        # Of the tool, and not of the program that has become it.
        failed = CommandFailed(argv, failed.status, failed.stdout, failed.stderr, time_limit=3 * _LIMIT)
        raise failures.error(using.clearer(failed), text, using.family) from None
