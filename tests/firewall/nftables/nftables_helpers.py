"""What the tests of the nftables backend share: any rule, a manager's chains to put it in, and nft itself."""

from __future__ import annotations

import ipaddress
import json
import subprocess
from typing import Any

from hypothesis import strategies as st

from refnet.firewall import (
    ACCEPT,
    DROP,
    RETURN,
    Answer,
    Dnat,
    Hook,
    Jump,
    Log,
    Mark,
    Masquerade,
    Not,
    PortRange,
    Rate,
    Redirect,
    Reject,
    Rule,
    SetMark,
    Snat,
    State,
    Table,
)
from refnet.firewall.nftables import NftablesManager
from refnet.names import IPNetwork

PRINTABLE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in "\"'\\`")
ports = st.one_of(st.integers(0, 65535), st.sampled_from([0, 1, 22, 65534, 65535]))
port_ranges = st.tuples(ports, ports).map(lambda pair: PortRange(min(pair), max(pair)))
numbers32 = st.one_of(st.integers(0, 0xFFFFFFFF), st.sampled_from([0, 1, 0xFF, 0xFFFFFF00, 0x80000000, 0xFFFFFFFF]))
texts = st.text(PRINTABLE + " ", min_size=1).map(str.strip).filter(bool)


def nft(*arguments: str, script: str | None = None) -> str:
    """Run nft itself."""
    done = subprocess.run(["nft", *arguments], input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def ruleset() -> str:
    """Return all that stands, with handles and without counters."""
    document = json.loads(nft("-j", "-a", "list", "ruleset"))
    for entry in document["nftables"]:
        for part in entry.get("rule", {}).get("expr", ()):
            part.pop("counter", None)
    return json.dumps(document)


def networks(version: int) -> st.SearchStrategy[IPNetwork]:
    """Give networks of all lengths, most of them near each other, so that they touch and overlap."""
    bits = 32 if version == 4 else 128
    base = int(ipaddress.ip_address("10.0.0.0" if version == 4 else "2001:db8::"))

    def made(near: bool, offset: int, anywhere: int, length: int) -> IPNetwork:
        address = base + offset if near else anywhere & ((1 << bits) - 1)
        length = min(length, bits)
        kind = ipaddress.IPv4Network if version == 4 else ipaddress.IPv6Network
        return kind((address >> (bits - length) << (bits - length), length))

    lengths = st.one_of(st.just(bits), st.integers(0, bits))
    return st.builds(made, st.booleans(), st.integers(0, 200), st.integers(0, (1 << 128) - 1), lengths)


def lists(one: st.SearchStrategy[Any], most: int) -> st.SearchStrategy[Any]:
    """Give nothing, or several values, or none of several."""
    several = st.lists(one, min_size=1, max_size=most)
    return st.one_of(st.none(), several, several.map(lambda values: Not(*values)))


devices = st.text("abcXYZ0189._-", min_size=1, max_size=15).filter(lambda name: name not in (".", ".."))
macs = st.integers(1, (1 << 40) - 1).map(lambda number: "02:" + number.to_bytes(5, "big").hex(":"))


@st.composite
def rules(draw: st.DrawFn, table: Table = Table.FILTER, hook: Hook | None = Hook.FORWARD) -> Rule:
    """Give a rule that a chain of this table and hook can have."""
    version = draw(st.sampled_from([4, 6]))
    protocol = draw(st.sampled_from([None, "tcp", "udp", "sctp", "dccp", "udplite", "icmp", "gre", "255", "1", "esp"]))
    if protocol == "icmp" and version == 6:
        protocol = "ipv6-icmp"
    if protocol == "1":
        version = 4
    has_ports = protocol in ("tcp", "udp", "sctp", "dccp", "udplite")
    addresses = networks(version)
    few = st.one_of(st.just(3), st.just(30))
    said: dict[str, Any] = {
        "protocol": protocol,
        "family": draw(st.sampled_from([None, version])),
        "source": draw(lists(addresses, draw(few))),
        "destination": draw(lists(addresses, draw(few))),
        "states": draw(lists(st.sampled_from(State), 4)),
        "mark": draw(st.one_of(st.none(), st.builds(lambda v, m: Mark(v & m, m), numbers32, numbers32))),
        "comment": draw(st.one_of(st.none(), texts.map(lambda text: text[:100].strip()))),
    }
    if hook not in (Hook.OUTPUT, Hook.POSTROUTING):
        said["in_interface"] = draw(lists(devices, 3))
        said["source_mac"] = draw(lists(macs, 3))
    if hook not in (Hook.INPUT, Hook.PREROUTING):
        said["out_interface"] = draw(lists(devices, 3))
    if has_ports:
        said["source_ports"] = draw(lists(port_ranges, draw(few)))
        said["destination_ports"] = draw(lists(port_ranges, draw(few)))
    if protocol in ("icmp", "ipv6-icmp"):
        octet = st.integers(0, 255)
        said["icmp_type"] = draw(st.one_of(st.none(), octet, st.tuples(octet, octet)))
    if draw(st.booleans()):
        units = st.sampled_from(["second", "minute", "hour", "day"])
        said["limit"] = Rate(draw(st.integers(1, 10_000)), draw(units), draw(st.integers(1, 10_000)))
    return Rule(draw(actions(table, hook, protocol, version)), **said)


def actions(table: Table, hook: Hook | None, protocol: str | None, version: int) -> st.SearchStrategy[Any]:
    """Give an action that is possible there."""
    prefixes = st.one_of(st.just(""), texts.map(lambda text: text[:29].strip()))
    found = [st.sampled_from([ACCEPT, RETURN]), prefixes.map(Log), st.just(Jump("sub"))]
    has_ports = protocol in ("tcp", "udp", "sctp", "dccp", "udplite")
    to_ports = st.one_of(st.none(), port_ranges) if has_ports else st.none()
    address = st.sampled_from(
        ["192.0.2.1", "198.51.100.255"] if version == 4 else ["2001:db8::1", "2001:db8::ffff:0:1"]
    )
    if table is Table.FILTER:
        answers = [one for one in Answer if one is not Answer.TCP_RESET or protocol == "tcp"]
        found += [st.just(DROP), st.sampled_from(answers).map(Reject)]
    if table is Table.MANGLE:
        found += [st.just(DROP), st.builds(lambda v, m: SetMark(v & m, m), numbers32, numbers32)]
    if table is Table.NAT and hook is Hook.POSTROUTING:
        found += [st.builds(Snat, address, to_ports), st.builds(Masquerade, to_ports)]
    if table is Table.NAT and hook is Hook.PREROUTING:
        found.append(st.builds(Dnat, address, to_ports))
        if has_ports:
            found.append(st.builds(Redirect, port_ranges))
    return st.one_of(found)


MANY = [f"10.0.{number}.0/24" for number in range(0, 60, 2)]


def rule(number: int) -> Rule:
    return Rule(ACCEPT, protocol="tcp", destination=f"192.0.2.{number}", destination_ports=22)


def made(owner: str = "a", count: int = 5) -> NftablesManager:
    """Return a manager whose model has something of everything."""
    manager = NftablesManager(owner)
    manager.add_chain("local")
    manager.add_chain("guests", hook="forward")
    manager.add_chain("more", hook="forward")
    manager.add_chain("post", hook="postrouting", table="nat")
    for number in range(count):
        manager.add_rule("guests", rule(number))
    manager.add_rule("guests", Rule(Jump("local")))
    manager.add_rule("local", Rule(DROP, source=MANY, comment="members"))
    manager.add_rule("more", Rule(RETURN, states={"established"}))
    manager.add_rule("post", Rule(Masquerade(), out_interface="eth0"), table="nat")
    return manager


def stands(manager: NftablesManager) -> bool:
    there = {(one.table, one.name): one.rules for one in manager.standing()}
    return there == {(table, name): manager.rules(name, table=table) for table, name, _ in manager.chains()}
