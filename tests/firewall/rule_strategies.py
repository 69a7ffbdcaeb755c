"""Random rules, the packets that could meet them, and what a rule says of a packet, in plain Python."""

from __future__ import annotations

import ipaddress
from typing import Any, NamedTuple

from hypothesis import strategies as st

from refnet.firewall import (
    ACCEPT,
    CHECKSUM_FILL,
    DROP,
    RETURN,
    Answer,
    Dnat,
    IcmpType,
    Jump,
    Log,
    Masquerade,
    Not,
    Redirect,
    Reject,
    Rule,
    SetMark,
    Snat,
    State,
)
from refnet.firewall.values import AnyOf, Rate

NETWORKS = {
    4: ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "10.1.2.4/31", "192.0.2.0/25", "192.0.2.128/25"],
    6: ["::/0", "2001:db8::/32", "2001:db8:1::/48", "2001:db8:1::7", "fe80::/10", "2001:db8:2::/64"],
}
ADDRESSES = {
    4: ["10.1.2.3", "10.1.9.9", "10.200.0.1", "192.0.2.5", "192.0.2.200", "203.0.113.1"],
    6: ["2001:db8:1::7", "2001:db8:1::8", "2001:db8:2::1", "fe80::1", "2001:db9::1"],
}
RANGES = [80, (80, 90), (85, 100), 0, 65535, (0, 65535), (1024, 2047), *range(2000, 2040, 2)]
PORTS = [0, 80, 88, 95, 100, 101, 1024, 2000, 2001, 2038, 65535]
DEVICES = ["eth0", "eth1", "tap-1.2", "br100"]
MACS = ["52:54:00:00:00:01", "52:54:00:00:00:02", "52:54:00:00:00:03"]
WORDS = st.text("abc XYZ019_-.:/$()!#&*", min_size=1, max_size=25).map(str.strip).filter(bool)


class Packet(NamedTuple):
    """What a rule can see of a packet."""

    source: Any
    destination: Any
    source_ports: int
    destination_ports: int
    in_interface: str
    out_interface: str
    source_mac: str
    states: set[State]


def packets(family: int) -> st.SearchStrategy[Packet]:
    addresses = st.sampled_from([ipaddress.ip_address(one) for one in ADDRESSES[family]])
    states = st.sampled_from([{State.NEW}, {State.ESTABLISHED}, {State.INVALID}, {State.NEW, State.DNAT}])
    return st.builds(
        Packet,
        *(addresses, addresses, st.sampled_from(PORTS), st.sampled_from(PORTS)),
        *(st.sampled_from(DEVICES), st.sampled_from(DEVICES), st.sampled_from(MACS), states),
    )


def matches(rule: Rule, packet: Packet) -> bool:
    """Say whether a rule matches a packet of its family and protocol, the mark and the limit aside."""
    return all(
        _is_one(getattr(rule, field), getattr(packet, field)) for field in Packet._fields if getattr(rule, field)
    )


def _is_one(wanted: AnyOf[Any], value: Any) -> bool:
    if isinstance(value, set):
        found = bool(value.intersection(wanted.values))
    elif isinstance(value, int):
        found = any(one.first <= value <= one.last for one in wanted.values)
    elif isinstance(value, str):
        found = value in wanted.values
    else:
        found = any(value in one for one in wanted.values)
    return found is not wanted.negated


def _some(values: list[Any], most: int) -> st.SearchStrategy[Any]:
    """One value, several, or none of several; or nothing said."""
    several = st.lists(st.sampled_from(values), min_size=1, max_size=most, unique=True)
    return st.one_of(st.none(), several, several.map(lambda found: Not(*found)))


@st.composite
def rules(draw: st.DrawFn, family: int, *, lists: bool = True) -> Rule:
    """Any rule of a family that iptables can write; without ``lists`` one that takes a single line."""
    most = 6 if lists else 1
    icmp = {4: "icmp", 6: "ipv6-icmp"}[family]
    protocol = draw(st.sampled_from([None, "tcp", "udp", "sctp", "dccp", "udplite", icmp, "gre", "77", "esp"]))
    said: dict[str, Any] = {
        "family": family,
        "protocol": protocol,
        "source": draw(_some(NETWORKS[family], most)),
        "destination": draw(_some(NETWORKS[family], most)),
        "in_interface": draw(_some(DEVICES, most)),
        "out_interface": draw(_some(DEVICES, most)),
        "source_mac": draw(_some(MACS, most)),
        "states": draw(_some(list(State), 7)),
        "comment": draw(st.none() | WORDS),
        "mark": draw(st.none() | st.sampled_from([(0, 0xFF), (5, 0xFFFFFFFF), (0x10, 0xF0)])),
        "limit": draw(
            st.none()
            | st.builds(
                Rate,
                st.sampled_from([1, 3, 10, 60, 100]),
                st.sampled_from(["second", "minute", "hour"]),
                st.sampled_from([1, 5, 9]),
            )
        ),
    }
    if protocol in ("tcp", "udp", "sctp", "dccp", "udplite"):
        said["source_ports"] = draw(_some(RANGES, 30 if lists else 7))
        said["destination_ports"] = draw(_some(RANGES, 30 if lists else 7))
    if protocol == icmp:
        types = [IcmpType(0), IcmpType(8, 0), IcmpType(3, 4), IcmpType(254, 255)]
        said["icmp_type"] = draw(st.none() | st.sampled_from(types))
    return Rule(draw(_actions(family, protocol)), **said)


def _actions(family: int, protocol: str | None) -> st.SearchStrategy[Any]:
    address = {4: "192.0.2.77", 6: "2001:db8::77"}[family]
    answers = [one for one in Answer if one is not Answer.TCP_RESET or protocol == "tcp"]
    found: list[st.SearchStrategy[Any]] = [
        st.sampled_from([ACCEPT, DROP, RETURN, Jump("other"), Masquerade(), Snat(address), Dnat(address)]),
        st.sampled_from([Reject(one) for one in answers]),
        st.builds(Log, st.just("") | WORDS),
        st.sampled_from([SetMark(1), SetMark(0x30, 0xF0), SetMark(0, 0xFF)]),
    ]
    if protocol in ("tcp", "udp", "sctp", "dccp"):
        found.append(
            st.sampled_from(
                [Redirect(8080), Redirect((1, 2)), Masquerade((1024, 2047)), Snat(address, 9), Dnat(address, (9, 10))]
            )
        )
    if protocol in ("tcp", "udp"):
        found.append(st.just(CHECKSUM_FILL))
    return st.one_of(found)
