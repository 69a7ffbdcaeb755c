"""Port guards and isolated addresses as ebtables's chains: pure.

Frames are looked at in table nat, PREROUTING: before the bridge has learnt a MAC address from them or sent them
anywhere, so that the host is as safe as the other ports are. ebtables cannot look into neighbour discovery: which
address an advertisement is about, and which MAC address it tells, is not seen; that its sender's own addresses are
right, is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from refnet.firewall.iptables import chainnames
from refnet.firewall.layer2 import DhcpIsolation, PortGuard
from refnet.names import IPNetwork

#: The chains by name, and by built-in chain who is jumped to.
Chains = dict[str, tuple[str, ...]]
Jumps = dict[str, str]
#: By built-in chain who is jumped to by its rules, in order; None: that rule is somebody else's.
FoundJumps = dict[str, list[str | None]]

# Numbers: names are those of the host's /etc/ethertypes and /etc/protocols.
_ARP, _IPV4, _IPV6 = "0x806", "0x800", "0x86dd"
_ICMP, _UDP, _ICMPV6 = 1, 17, 58
#: 802.1Q, 802.1ad, and what devices used before the latter.
_TAGS = ("0x8100", "0x88a8", "0x9100", "0x9200")
#: What may come from ``::``: multicast listeners' reports, solicitations of routers and of neighbours (RFC 4861, 3810).
_FROM_NOWHERE = (131, 133, 135, 143)


def wanted(owner: str, guards: Iterable[PortGuard], isolations: Iterable[DhcpIsolation]) -> tuple[Chains, Jumps]:
    """Return the chains to stand, and the built-in chains that jump to them.

    A chain's name changes with its content: a new one is built beside the old, and never stands half.
    """
    chains: Chains = {}
    coming: list[str] = []
    leaving: list[str] = []
    for isolation in isolations:
        coming += _isolated("-i", isolation)
        leaving += _isolated("-o", isolation)
    for guard in guards:
        lines = _guard(guard)
        name = chainnames.hashed(owner, guard.port, "\n".join((guard.port, *lines)))
        chains[name] = lines
        coming.append(f"-i {guard.port} -j {name}")
    jumps: Jumps = {}
    for built_in, word, found in (("PREROUTING", "in", coming), ("POSTROUTING", "out", leaving)):
        if found:
            # What comes to the end of a chain meets the chain's policy, which is ACCEPT unless somebody says otherwise.
            content = (*dict.fromkeys(found), "-j RETURN")
            jumps[built_in] = chainnames.hashed(owner, word, "\n".join((word, *content)))
            chains[jumps[built_in]] = content
    return chains, jumps


def commands(
    there: Chains,
    found: FoundJumps,
    chains: Chains,
    jumps: Jumps,
    *,
    first: bool,
    kept: Collection[str] = (),
    at_once: bool = False,
) -> list[str]:
    """Return the lines for ebtables that lead from what is ``there``, jumped to as ``found``, to what is wanted.

    Unless they are carried out ``at_once``, they are good one by one as well: new chains are whole before anything
    leads to them, and a port that stays guarded is so at each moment. Chains that are ``kept``, because others' rules
    jump to them, are emptied only.
    """
    lines: list[str] = []
    for name, content in chains.items():
        if there.get(name) != content:
            lines.append(f"-F {name}" if name in there else f"-N {name}")
            lines += [f"-A {name} {line}" for line in content]
    for built_in in dict.fromkeys((*jumps, *found)):
        new = jumps.get(built_in)
        moved = _jump(built_in, found.get(built_in, []), new, first)
        if new and not at_once and moved[:1] == [f"-D {built_in} -j {new}"] and set(found[built_in]) <= {new, None}:
            moved = _meanwhile(there, built_in, new, chains[new], moved)
        lines += moved
    gone = [name for name in there if name not in chains]
    emptied = [one for one in gone if there[one] or one not in kept]
    return [*lines, *(f"-F {one}" for one in emptied), *(f"-X {one}" for one in gone if one not in kept)]


def _jump(built_in: str, found: list[str | None], new: str | None, first: bool) -> list[str]:
    """Return what makes ``new`` the one own chain that a built-in chain jumps to, at its end of it."""
    old = [one for one in found if one]
    if new is None or (old == [new] and found[0 if first else -1] == new):
        return [] if new else _no_jumps(built_in, old)
    if not first:
        return [f"-A {built_in} -j {new}", *_no_jumps(built_in, old)]
    # It has to go before it comes to the front: what is deleted is the first such rule.
    others = [one for one in old if one != new]
    return [
        *_no_jumps(built_in, [new] * old.count(new)),
        f"-I {built_in} -j {new}",
        *_no_jumps(built_in, others),
    ]


def _meanwhile(there: Chains, built_in: str, name: str, content: tuple[str, ...], moved: list[str]) -> list[str]:
    """Return the lines that move a jump, with a twin of the chain in its place until it has come again."""
    twin = name.replace("~", "+")
    return [
        f"-F {twin}" if twin in there else f"-N {twin}",
        *(f"-A {twin} {line}" for line in content),
        f"-I {built_in} -j {twin}",
        *moved,
        f"-D {built_in} -j {twin}",
        *([] if twin in there else [f"-F {twin}", f"-X {twin}"]),
    ]


def _no_jumps(built_in: str, chains: list[str]) -> list[str]:
    return [f"-D {built_in} -j {one}" for one in chains]


def _isolated(side: str, one: DhcpIsolation) -> list[str]:
    return [
        f"-p {_ARP} {side} {one.interface} --arp-ip-src {one.address} -j DROP",
        f"-p {_ARP} {side} {one.interface} --arp-ip-dst {one.address} -j DROP",
        f"-p {_IPV4} {side} {one.interface} --ip-proto {_UDP} --ip-dport 67:68 -j DROP",
    ]


def _guard(one: PortGuard) -> tuple[str, ...]:
    return (
        f"-s ! {one.mac_address} -j DROP",
        *(f"-p {tag} -j DROP" for tag in _TAGS),
        *(f"-p {_ARP} {line}" for line in _arp(one)),
        *(f"-p {_IPV4} {line}" for line in _ipv4(one)),
        *(f"-p {_IPV6} {line}" for line in _ipv6(one)),
        "-j RETURN",
    )


def _arp(one: PortGuard) -> list[str]:
    lines = ["--arp-htype ! 1 -j DROP", "--arp-ptype ! 0x800 -j DROP", f"--arp-mac-src ! {one.mac_address} -j DROP"]
    if _allowed(one, 4) is not None:
        lines.append("--arp-ip-src 0.0.0.0 -j RETURN")
    return [*lines, *_from_allowed("--arp-ip-src", _allowed(one, 4))]


def _ipv4(one: PortGuard) -> list[str]:
    client = f"--ip-src 0.0.0.0 --ip-dst 255.255.255.255 --ip-proto {_UDP} --ip-sport 68 --ip-dport 67 -j RETURN"
    lines = [client]
    if not one.dhcp_server:
        lines.append(f"--ip-proto {_UDP} --ip-dport 68 -j DROP")
    if not one.router:
        lines += [f"--ip-proto {_ICMP} --ip-icmp-type {name} -j DROP" for name in ("router-advertisement", "redirect")]
    return lines + _from_allowed("--ip-src", _allowed(one, 4))


def _ipv6(one: PortGuard) -> list[str]:
    kind = f"--ip6-proto {_ICMPV6} --ip6-icmp-type"
    lines = []
    if not one.dhcp_server:
        lines.append(f"--ip6-proto {_UDP} --ip6-dport 546 -j DROP")
    if not one.router:
        lines += [f"{kind} {name} -j DROP" for name in ("router-advertisement", "redirect")]
    allowed = _allowed(one, 6)
    if allowed is not None:
        lines += [f"--ip6-src :: {kind} {_icmp(number)} -j RETURN" for number in _FROM_NOWHERE]
        allowed = [*allowed, str(one.link_local)]
    return lines + _from_allowed("--ip6-src", allowed)


def _icmp(number: int) -> str:
    """Return an ICMPv6 type as ebtables prints it."""
    return {133: "router-solicitation", 135: "neighbour-solicitation"}.get(number, f"{number}/0:255")


def _from_allowed(option: str, allowed: list[str] | None) -> list[str]:
    if allowed is None:
        return ["-j RETURN"]
    return [*(f"{option} {one} -j RETURN" for one in allowed), "-j DROP"]


def _allowed(one: PortGuard, version: int) -> list[str] | None:
    """Return the addresses of a family that a port may use, as ebtables prints them; None: any."""
    if one.addresses is None or any(net.version == version and not net.prefixlen for net in one.addresses):
        return None
    return [_shown(network) for network in one.addresses if network.version == version]


def _shown(network: IPNetwork) -> str:
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)
