"""Port guards and isolated addresses, by frames through a bridge."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping

import pytest
from nftables_helpers import nft
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.dhcp6 import DHCP6_Advertise, DHCP6_RelayReply, DHCP6_Solicit
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6MLReport2,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    ICMPv6ND_RS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
)
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Packet, Raw

from refnet.firewall import PortGuard
from refnet.firewall.nftables import NftablesManager
from refnet.netdev.linux import LinuxNetDevDriver

MINE, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"
ALL = "ff:ff:ff:ff:ff:ff"
LINK_LOCAL, OTHERS_LINK_LOCAL = "fe80::5054:ff:fe00:1", "fe80::5054:ff:fe00:2"
V4, V4_NET, V6, V6_NET = "192.0.2.10", "198.51.100.0/24", "2001:db8::10", "2001:db8:1:8000::/49"
GUARD = PortGuard("p1", MINE, [V4, V4_NET, V6, V6_NET])
#: How long to wait for a frame that has to come, in seconds.
LIMIT = 60.0


class Wire:
    """Two ports of a bridge, and what comes out of the second of what goes into the first."""

    def __init__(self) -> None:
        self._in = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._in.bind(("e1", 0))
        self._out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self._out.bind(("e2", 0))
        self._count = 0

    def close(self) -> None:
        self._in.close()
        self._out.close()

    def passing(self, frames: Mapping[str, Packet]) -> set[str]:
        """Send frames, and return the names of those that arrive before one that has to, which is sent last."""
        marks = {self._sent(bytes(frame)): name for name, frame in frames.items()}
        last = self._sent(bytes(Ether(src=MINE, dst=ALL, type=0x88B5)) + bytes(46))
        found = set()
        deadline = time.monotonic() + LIMIT
        while True:
            assert select.select([self._out], [], [], max(0, deadline - time.monotonic()))[0], "the last never came"
            mark = self._out.recv(65535)[-8:]
            if mark == last:
                return found
            if mark in marks:
                found.add(marks[mark])

    def _sent(self, frame: bytes) -> bytes:
        # What a frame ends with is no part of the packet in it, whose header says how long that is.
        self._count += 1
        mark = b"mark" + self._count.to_bytes(4, "big")
        self._in.send(frame + mark)
        return mark


@pytest.fixture
def wire(driver: LinuxNetDevDriver) -> Iterator[Wire]:
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(processors)})  # on one processor frames keep their order
    for name in ("1", "2"):
        driver.create_veth_pair(f"e{name}", f"p{name}")
    for port in ("p1", "p2"):
        driver.ensure_bridge("br0", port, multicast_snooping=False)
    for name in ("e1", "e2", "p1", "p2", "br0"):
        subprocess.run(["ip", "link", "set", name, "up"], check=True)
    made = Wire()
    yield made
    made.close()
    os.sched_setaffinity(0, processors)


def ether(payload: Packet, src: str = MINE, dst: str = ALL) -> Packet:
    return Ether(src=src, dst=dst) / payload


def arp(hwsrc: str = MINE, psrc: str = V4, **said: object) -> Packet:
    return ether(ARP(hwsrc=hwsrc, psrc=psrc, pdst="192.0.2.1", **said))


def udp(src: str, sport: int = 4000, dport: int = 4000, dst: str = "192.0.2.1") -> Packet:
    return ether(IP(src=src, dst=dst) / UDP(sport=sport, dport=dport) / b"hello")


def udp6(src: str, sport: int = 4000, dport: int = 4000) -> Packet:
    return ether(IPv6(src=src, dst="2001:db8::1") / UDP(sport=sport, dport=dport) / b"hello")


def bootp(src: str, dst: str, sport: int, dport: int, op: int, kind: str) -> Packet:
    return ether(IP(src=src, dst=dst) / UDP(sport=sport, dport=dport) / BOOTP(op=op) / DHCP(options=[kind, "end"]))


def discovery(payload: Packet, src: str = LINK_LOCAL) -> Packet:
    return ether(IPv6(src=src, dst="ff02::1", hlim=255) / payload)


def neighbour(kind: type[Packet], target: str, option: Packet | None = None, src: str = LINK_LOCAL) -> Packet:
    return discovery(kind(tgt=target) / option if option else kind(tgt=target), src)


def hidden(first: bytes, number: int, rest: bytes) -> list[Packet]:
    """Give a packet in two fragments, of which the first has only a header of options, and the rest in the other."""
    options = bytes(IPv6ExtHdrDestOpt(nh=number))
    ip = IPv6(src=LINK_LOCAL, dst="ff02::1", hlim=255)
    return [
        ether(ip / IPv6ExtHdrFragment(nh=60, offset=0, m=1, id=7) / Raw(options + first)),
        ether(ip / IPv6ExtHdrFragment(nh=60, offset=(len(options) + len(first)) // 8, m=0, id=7) / Raw(rest)),
    ]


SRC, DST = ICMPv6NDOptSrcLLAddr, ICMPv6NDOptDstLLAddr
TO_OTHER = IPv6(src=V6, dst="2001:db8::1")
REPORT = IPv6ExtHdrHopByHop() / ICMPv6MLReport2()
FRAGMENTS = fragment(IP(src=V4, dst="192.0.2.1") / ICMP() / bytes(3000), 1200)
SPOOFED_FRAGMENTS = fragment(IP(src="192.0.2.66", dst="192.0.2.1") / ICMP() / bytes(3000), 1200)

GOOD = {
    "arp": arp(),
    "arp of the network": arp(psrc="198.51.100.77"),
    "arp probe": arp(psrc="0.0.0.0"),
    "arp reply": arp(op=2),
    "ipv4": udp(V4),
    "ipv4 of the network": udp("198.51.100.255"),
    "tcp": ether(IP(src=V4, dst="192.0.2.1") / TCP(dport=22)),
    "ping": ether(IP(src=V4, dst="192.0.2.1") / ICMP()),
    "fragment": ether(FRAGMENTS[0]),
    "later fragment": ether(FRAGMENTS[1]),
    "another protocol": ether(IP(src=V4, dst="192.0.2.1", proto=47) / b"12345678"),
    "dhcp discover": bootp("0.0.0.0", "255.255.255.255", 68, 67, 1, ("message-type", "discover")),
    "dhcp renewal": bootp(V4, "192.0.2.1", 68, 67, 1, ("message-type", "request")),
    "ipv6": udp6(V6),
    "ipv6 of the network": udp6("2001:db8:1:ffff::1"),
    "ipv6 link-local": udp6(LINK_LOCAL),
    "ipv6 ping": ether(IPv6(src=V6, dst="2001:db8::1") / ICMPv6EchoRequest()),
    "ipv6 fragment": ether(TO_OTHER / IPv6ExtHdrFragment(nh=58, m=1) / ICMPv6EchoRequest(data=bytes(64))),
    "later ipv6 fragment": ether(TO_OTHER / IPv6ExtHdrFragment(nh=58, offset=9) / bytes(64)),
    "address tried": neighbour(ICMPv6ND_NS, "2001:db8::99", src="::"),
    "multicast report from nowhere": ether(IPv6(src="::", dst="ff02::16", hlim=1) / REPORT),
    "multicast report": ether(IPv6(src=LINK_LOCAL, dst="ff02::16", hlim=1) / REPORT),
    "solicitation": neighbour(ICMPv6ND_NS, "2001:db8::1", SRC(lladdr=MINE), V6),
    "solicitation, no option": neighbour(ICMPv6ND_NS, "2001:db8::1", None, V6),
    "advertisement": neighbour(ICMPv6ND_NA, V6, DST(lladdr=MINE)),
    "advertisement of the network": neighbour(ICMPv6ND_NA, "2001:db8:1:8000::7", DST(lladdr=MINE)),
    "advertisement of link-local": neighbour(ICMPv6ND_NA, LINK_LOCAL, DST(lladdr=MINE)),
    "advertisement, no option": neighbour(ICMPv6ND_NA, V6),
    "router solicitation": discovery(ICMPv6ND_RS()),
    "router solicitation with mac": discovery(ICMPv6ND_RS() / SRC(lladdr=MINE)),
    "router solicitation from nowhere": discovery(ICMPv6ND_RS(), "::"),
    "dhcpv6 solicit": ether(IPv6(src=LINK_LOCAL, dst="ff02::1:2") / UDP(sport=546, dport=547) / DHCP6_Solicit()),
}  # fmt: skip

PRETENDED = {
    "another mac": ether(IP(src=V4, dst="192.0.2.1") / UDP() / b"x", src=OTHER),
    "802.1q": ether(Dot1Q(vlan=5) / IP(src=V4, dst="192.0.2.1") / UDP()),
    "802.1q priority": ether(Dot1Q(vlan=0, prio=3) / IP(src="192.0.2.66", dst="192.0.2.1") / UDP()),
    "802.1ad": ether(Dot1AD(vlan=5) / Dot1Q(vlan=6) / IP(src=V4, dst="192.0.2.1") / UDP()),
    "arp of another address": arp(psrc="192.0.2.66"),
    "arp of another mac": arp(hwsrc=OTHER),
    "arp of another shape": arp(hwlen=8),
    "arp too short": Ether(src=MINE, dst=ALL, type=0x0806) / bytes(ARP(hwsrc=MINE, psrc=V4))[:10],
    "ipv4 of another": udp("192.0.2.66"),
    "ipv4 beside the network": udp("198.51.101.0"),
    "ipv4 from nowhere": udp("0.0.0.0"),
    "fragment of another": ether(SPOOFED_FRAGMENTS[0]),
    "later fragment of another": ether(SPOOFED_FRAGMENTS[1]),
    "ipv6 of another": udp6("2001:db8::66"),
    "ipv6 beside the network": udp6("2001:db8:1:7fff::1"),
    "ipv6 of another link-local": udp6(OTHERS_LINK_LOCAL),
    "ipv6 from nowhere": udp6("::"),
    "solicitation with another mac": neighbour(ICMPv6ND_NS, "2001:db8::1", SRC(lladdr=OTHER), V6),
    "solicitation with two macs": neighbour(ICMPv6ND_NS, "2001:db8::1", SRC(lladdr=MINE) / SRC(lladdr=OTHER), V6),
    "advertisement of another": neighbour(ICMPv6ND_NA, "2001:db8::66", DST(lladdr=MINE)),
    "advertisement beside the network": neighbour(ICMPv6ND_NA, "2001:db8:1:7fff::1", DST(lladdr=MINE)),
    "advertisement with another mac": neighbour(ICMPv6ND_NA, V6, DST(lladdr=OTHER)),
    "advertisement with another option": neighbour(ICMPv6ND_NA, V6, SRC(lladdr=MINE)),
    "advertisement behind a header": discovery(IPv6ExtHdrDestOpt(nh=58) / ICMPv6ND_NA(tgt=V6) / DST(lladdr=OTHER)),
    "router solicitation with another mac": discovery(ICMPv6ND_RS() / SRC(lladdr=OTHER)),
    "hidden advertisement": hidden(b"", 58, bytes(ICMPv6ND_NA(tgt="2001:db8::66")))[0],
    "hidden advertisement, its rest": hidden(b"", 58, bytes(ICMPv6ND_NA(tgt="2001:db8::66")))[1],
}  # fmt: skip

SERVER = {
    "dhcpv6 answer to a relay, its first fragment": ether(
        TO_OTHER / IPv6ExtHdrFragment(nh=17, m=1) / Raw(bytes(UDP(sport=547, dport=547, len=100, chksum=1)))
    ),
    "dhcp offer": bootp(V4, "255.255.255.255", 67, 68, 2, ("message-type", "offer")),
    "dhcp offer from another port": bootp(V4, "255.255.255.255", 4000, 68, 2, ("message-type", "offer")),
    "dhcp answer to a relay": bootp(V4, "192.0.2.1", 67, 67, 2, ("message-type", "offer")),
    "dhcpv6 advertise": ether(IPv6(src=LINK_LOCAL, dst="fe80::9") / UDP(sport=547, dport=546) / DHCP6_Advertise()),
    "dhcpv6 answer to a relay": ether(IPv6(src=V6, dst="2001:db8::1") / UDP(sport=547, dport=547) / DHCP6_RelayReply()),
}
ROUTER = {
    "router advertisement": discovery(ICMPv6ND_RA()),
    "router advertisement behind a header": discovery(IPv6ExtHdrDestOpt(nh=58) / ICMPv6ND_RA()),
    "redirect": discovery(ICMPv6ND_Redirect(tgt=LINK_LOCAL, dst="2001:db8::5")),
    "icmp redirect": ether(IP(src=V4, dst="192.0.2.1") / ICMP(type=5, code=1, gw=V4) / IP() / UDP()),
}
EVERYTHING = {**GOOD, **PRETENDED, **SERVER, **ROUTER}
#: What a guard of any address lets pass besides: it still holds the port to its MAC address.
ANY_ADDRESS = {
    "arp of another address",
    "ipv4 of another",
    "ipv4 beside the network",
    "ipv4 from nowhere",
    "fragment of another",
    "later fragment of another",
    "ipv6 of another",
    "ipv6 beside the network",
    "ipv6 of another link-local",
    "ipv6 from nowhere",
    "advertisement of another",
    "advertisement beside the network",
}
#: What a guard of no address lets pass: asking for one.
ASKING = {
    "arp probe",
    "dhcp discover",
    "ipv6 link-local",
    "address tried",
    "multicast report from nowhere",
    "multicast report",
    "advertisement of link-local",
    "router solicitation",
    "router solicitation with mac",
    "router solicitation from nowhere",
    "dhcpv6 solicit",
}

GUARDS = [
    (GUARD, set(GOOD)),
    (PortGuard("p1", MINE, GUARD.addresses, dhcp_server=True), {*GOOD, *SERVER}),
    (PortGuard("p1", MINE, GUARD.addresses, router=True), {*GOOD, *ROUTER}),
    (PortGuard("p1", MINE, GUARD.addresses, dhcp_server=True, router=True), {*GOOD, *SERVER, *ROUTER}),
    (PortGuard("p1", MINE), {*GOOD, *ANY_ADDRESS}),
    (PortGuard("p1", MINE, ["0.0.0.0/0", "::/0"]), {*GOOD, *ANY_ADDRESS}),
    (PortGuard("p1", MINE, []), ASKING),
]


@pytest.mark.parametrize(("guard", "expected"), GUARDS, ids=["plain", "server", "router", "both", "any", "all", "none"])
def test_what_a_guard_lets_pass(wire: Wire, guard: PortGuard, expected: set[str]) -> None:
    assert wire.passing(EVERYTHING) == set(EVERYTHING), "without a guard everything passes"
    manager = NftablesManager("a")
    manager.guard_port(guard)
    manager.apply()
    assert wire.passing(EVERYTHING) == expected


def test_guards_come_change_and_go_one_by_one(wire: Wire) -> None:
    manager = NftablesManager("a")
    manager.add_chain("guests", hook="forward")
    manager.guard_port(PortGuard("p9", OTHER, "192.0.2.9"))
    manager.apply()
    assert wire.passing(PRETENDED) == set(PRETENDED)
    manager.guard_port(GUARD)
    manager.apply()
    assert wire.passing(EVERYTHING) == set(GOOD)
    manager.guard_port(PortGuard("p1", MINE, []))
    manager.apply()
    assert wire.passing(EVERYTHING) == ASKING
    nft("flush", "table", "bridge", "refnet.a")
    assert wire.passing(EVERYTHING) == set(EVERYTHING)
    manager.resync()
    assert wire.passing(EVERYTHING) == ASKING
    manager.unguard_port("p1")
    manager.apply()
    assert wire.passing(EVERYTHING) == set(EVERYTHING)
    assert "guard.p9" in nft("list", "ruleset")
    assert "p1" not in nft("list", "ruleset")
    manager.unguard_port("p9")
    manager.apply()
    assert nft("list", "tables").split() == ["table", "inet", "refnet.a"]


def test_a_bridge_learns_nothing_from_what_is_dropped(wire: Wire) -> None:
    manager = NftablesManager("a")
    manager.guard_port(GUARD)
    manager.apply()
    to_bridges = Ether(src="52:54:00:00:00:03", dst="01:80:c2:00:00:03", type=0x888E) / bytes(50)
    assert wire.passing({"another mac": PRETENDED["another mac"], "to bridges": to_bridges}) == set()
    known = subprocess.run(["bridge", "fdb", "show", "br", "br0"], capture_output=True, text=True, check=True).stdout
    assert MINE in known
    assert OTHER not in known
    assert "52:54:00:00:00:03" not in known


@pytest.mark.parametrize("interface", ["p1", "p2"], ids=["coming in", "going out"])
def test_an_isolated_address(wire: Wire, interface: str) -> None:
    frames = {
        "asking": ether(ARP(hwsrc=MINE, psrc=V4, pdst="192.0.2.1")),
        "telling": ether(ARP(op=2, hwsrc=MINE, psrc="192.0.2.1", pdst=V4)),
        "asking for another": ether(ARP(hwsrc=MINE, psrc=V4, pdst="192.0.2.2")),
        "dhcp discover": GOOD["dhcp discover"],
        "dhcp offer": SERVER["dhcp offer"],
        "ipv4": GOOD["ipv4"],
        "ipv6": GOOD["ipv6"],
    }
    manager = NftablesManager("a")
    manager.isolate_dhcp_address(interface, "192.0.2.1")
    manager.isolate_dhcp_address("elsewhere", "192.0.2.2")
    manager.apply()
    assert wire.passing(frames) == {"asking for another", "ipv4", "ipv6"}
    manager.remove_isolate_dhcp_address(interface, "192.0.2.1")
    manager.apply()
    assert wire.passing(frames) == set(frames)
