"""What a Linux environment can filter with, tried in a network namespace: by any of its programs will do."""

from __future__ import annotations

import shutil
from pathlib import Path

from conformance.errors import SuiteError
from conformance.topology.linux import namespaces
from conformance.topology.linux.endpoints import LinuxStack
from refnet.firewall import Capability

_PLAIN = "type filter hook forward priority 0"
_NAT = "type nat hook postrouting priority 100"
_MANGLE = "type filter hook prerouting priority -150"
#: A rule for nft, as its chain's type and what stands in the chain.
_NFT = {
    Capability.FILTER: (_PLAIN, "ip daddr 192.0.2.1 drop"),
    Capability.FIREWALL_IPV6: (_PLAIN, "ip6 daddr 2001:db8::1 drop"),
    Capability.NAT: (_NAT, "snat ip to 192.0.2.1"),
    Capability.NAT_IPV6: (_NAT, "snat ip6 to 2001:db8::1"),
    Capability.CONNECTION_STATE: (_PLAIN, "ct state established accept"),
    Capability.TRANSLATED_STATE: (_PLAIN, "ct status dnat accept"),
    Capability.RATE_LIMIT: (_PLAIN, "limit rate 10/second accept"),
    Capability.LOG: (_PLAIN, 'log prefix "attempt"'),
    Capability.MARK: (_MANGLE, "meta mark set 1"),
    Capability.SOURCE_MAC: (_PLAIN, "ether saddr 02:00:00:00:00:01 drop"),
    Capability.COUNTERS: (_PLAIN, "counter"),
    Capability.POSITION: (_PLAIN, "accept"),
}
#: The same for iptables, as its arguments; IPv6 has a program of its own.
_IPTABLES = {
    Capability.FILTER: "-A FORWARD -d 192.0.2.1 -j DROP",
    Capability.FIREWALL_IPV6: "-A FORWARD -d 2001:db8::1 -j DROP",
    Capability.NAT: "-t nat -A POSTROUTING -j SNAT --to-source 192.0.2.1",
    Capability.NAT_IPV6: "-t nat -A POSTROUTING -j SNAT --to-source 2001:db8::1",
    Capability.CONNECTION_STATE: "-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT",
    Capability.TRANSLATED_STATE: "-A FORWARD -m conntrack --ctstate DNAT -j ACCEPT",
    Capability.RATE_LIMIT: "-A FORWARD -m limit --limit 10/second -j ACCEPT",
    Capability.LOG: "-A FORWARD -j LOG --log-prefix attempt",
    Capability.MARK: "-t mangle -A PREROUTING -j MARK --set-mark 1",
    Capability.SOURCE_MAC: "-A FORWARD -m mac --mac-source 02:00:00:00:00:01 -j DROP",
    Capability.CHECKSUM_FILL: "-t mangle -A POSTROUTING -p udp --dport 68 -j CHECKSUM --checksum-fill",
    Capability.COUNTERS: "-A FORWARD",
    Capability.POSITION: "-I FORWARD 1 -j ACCEPT",
}
_SIX = (Capability.FIREWALL_IPV6, Capability.NAT_IPV6)
_NO_PROGRAM = "neither nft nor iptables is installed: 'apt-get install nftables' or 'apt-get install iptables' does it"
_TRACKED = "/proc/sys/net/netfilter/nf_conntrack_max"


def lacking(capability: Capability) -> str | None:
    """Return why a capability cannot be had in this environment, in the system's words; None: it can."""
    stack = LinuxStack("probe", namespaces.new_network())
    try:
        if capability is Capability.FORGET_CONNECTIONS:
            with stack.entered():
                return None if Path(_TRACKED).exists() else f"{_TRACKED} is not there: connections are not tracked"
        words = None
        for argv, text in _attempts(capability):
            if shutil.which(argv[0]) is None:
                continue
            said = _attempt(stack, argv, text)
            if said is None:
                return None
            words = words or said
        return words or _NO_PROGRAM
    finally:
        stack.close()


def _attempts(capability: Capability) -> list[tuple[list[str], str | None]]:
    """Return what can be tried: programs with arguments, each with what it is to read."""
    if capability is Capability.NEIGHBOUR_TARGETS:
        # The target of RFC 4861's messages: behind the 14 bytes of Ethernet, 40 of IPv6 and 8 of ICMPv6.
        text = f"add table bridge a; add chain bridge a a {{ {_PLAIN}; }}; add rule bridge a a @nh,384,128 1 drop"
        return [(["nft", "-f", "-"], text)]
    if capability is Capability.LAYER2:
        text = f"add table bridge a; add chain bridge a a {{ {_PLAIN}; }}; add rule bridge a a drop"
        return [(["nft", "-f", "-"], text), (["ebtables", "-A", "FORWARD", "-j", "DROP"], None)]
    found: list[tuple[list[str], str | None]] = []
    if capability in _NFT:
        chain, rule = _NFT[capability]
        text = f"add table inet a; add chain inet a a {{ {chain}; }}; add rule inet a a {rule}"
        found.append((["nft", "-f", "-"], text))
    program = "ip6tables" if capability in _SIX else "iptables"
    for name in (program, f"{program}-legacy"):
        found.append(([name, *_IPTABLES[capability].split()], None))
    return found


def _attempt(stack: LinuxStack, argv: list[str], text: str | None) -> str | None:
    try:
        stack.run(*argv, stdin=text)
    except SuiteError as error:
        words = str(error).partition(f"{' '.join(argv)}: ")[2].partition(" (stdin")[0]
        return f"'{' '.join(argv)}'{f' with {text!r}' if text else ''} says: {' '.join(words.split())}"
    return None
