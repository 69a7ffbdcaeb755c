"""What stands is read back as it was added, whatever there is to say of it."""

from __future__ import annotations

from typing import Any

from conformance.errors import SuiteError
from conformance.harness import FirewallUnderTest
from conformance.spec import spec
from conformance.specs.firewall.ground import model, standing
from conformance.topology.sandbox import Sandbox
from refnet.errors import Unsupported
from refnet.firewall import (
    ACCEPT,
    DROP,
    RETURN,
    Answer,
    Capability,
    Dnat,
    Jump,
    Log,
    Mark,
    Masquerade,
    Not,
    Rate,
    Redirect,
    Reject,
    Rule,
    SetMark,
    Snat,
)

_MAC = "02:00:00:00:00:01"
#: By table and hook, rules of all kinds.
_RULES: dict[tuple[str, str], list[Rule]] = {
    ("filter", "forward"): [
        Rule(ACCEPT),
        Rule(DROP, family=4),
        Rule(DROP, family=6, comment="of IPv6"),
        Rule(ACCEPT, protocol="ipv6-icmp", icmp_type="router-advertisement"),
        Rule(DROP, protocol=253),
        Rule(Reject(), family=4, protocol="udp"),
        Rule(Reject(Answer.TCP_RESET), protocol="tcp", source_ports="1024-65535", destination_ports=[22, "80-90"]),
        Rule(Reject(Answer.ADMIN_PROHIBITED), source="192.0.2.0/31"),
        Rule(ACCEPT, source="2001:db8::/127", destination=Not("2001:db8:1::/48")),
        Rule(DROP, source=["192.0.2.1", "198.51.100.0/24"], destination=["203.0.113.0/25", "203.0.113.200"]),
        Rule(DROP, source=Not("192.0.2.1", "192.0.2.3")),
        Rule(DROP, protocol="udp", destination_ports=Not(53, "67-68"), in_interface="tap1", out_interface="tap2"),
        Rule(ACCEPT, in_interface=["tap1", "tap2"]),
        Rule(ACCEPT, out_interface=Not("tap1")),
        Rule(ACCEPT, states={"established", "related"}),
        Rule(DROP, states="invalid"),
        Rule(ACCEPT, states={"new", "dnat"}),
        Rule(DROP, source_mac=_MAC),
        Rule(DROP, source_mac=Not(_MAC), family=4),
        Rule(DROP, mark=Mark(0x10, 0xF0)),
        Rule(ACCEPT, limit=Rate(5, "minute", 7)),
        Rule(Log("in: "), protocol="udp"),
        Rule(Log()),
        Rule(Jump("other"), protocol="udp"),
    ],
    ("filter", "input"): [
        Rule(RETURN, protocol="icmp", icmp_type=(3, 4)),
        Rule(DROP, source="0.0.0.0/0"),
        Rule(ACCEPT, source="::/0"),
        Rule(DROP, in_interface="lo"),
    ],
    ("filter", "output"): [Rule(DROP, protocol="tcp", destination_ports="0-1"), Rule(ACCEPT, out_interface="lo")],
    ("nat", "prerouting"): [
        Rule(Dnat("192.0.2.7"), destination="198.51.100.7"),
        Rule(Dnat("2001:db8::7", ports=80), protocol="tcp", destination_ports=8080),
        Rule(Redirect((3128, 3131)), protocol="tcp", family=4, destination_ports=80),
    ],
    ("nat", "postrouting"): [
        Rule(ACCEPT, source="192.0.2.0/24", destination="192.0.2.0/24"),
        Rule(Snat("198.51.100.7", ports=(1024, 2047)), protocol="udp", source="192.0.2.0/24"),
        Rule(Masquerade(), family=4, out_interface="eth0"),
        Rule(Masquerade(ports=(1024, 2047)), family=6, protocol="tcp"),
    ],
    ("mangle", "prerouting"): [
        Rule(SetMark(5)),
        Rule(SetMark(0x50, 0xF0), protocol="udp"),
        Rule(DROP, states="invalid"),
    ],
}


@spec(
    "OW-12",
    "A rule of any kind is read back as it was added; another manager of the owner with the same rules has nothing to "
    "mend, and reads the same.",
    capability=Capability.FILTER,
)
def test_all_kinds(firewall: FirewallUnderTest, net: Sandbox) -> None:
    for (table, hook), rules in _RULES.items():
        _fill(firewall, table, hook, rules)
    firewall.apply()
    expected = {name: rules for name, rules in model(firewall).items() if rules}
    if sum(map(len, expected.values())) < 10:
        raise SuiteError("the backend refuses nearly all rules: this proves nothing")
    _reads(firewall, expected, "the manager")
    with firewall.fresh() as other:
        for (table, hook), rules in _RULES.items():
            _fill(other, table, hook, rules)
        with net.look.unannounced("the apply of another manager, over rules of all kinds"):
            other.apply()
        _reads(other, expected, "another manager")


def _reads(manager: FirewallUnderTest, expected: dict[str, Any], who: str) -> None:
    found = {name: rules for name, rules in standing(manager).items() if rules}
    wrong = [
        f"{one} is read as {two}"
        for name, rules in expected.items()
        for one, two in zip(rules, found.get(name, ()), strict=False)
        if one != two
    ]
    assert not wrong, f"{who} reads rules in another way: {'; '.join(wrong)}"
    assert found == expected, f"{who} reads {found}, and applied was {expected}"


def _fill(firewall: FirewallUnderTest, table: str, hook: str, rules: list[Rule]) -> None:
    """Add a chain with these rules, as far as the backend takes them."""
    if (table, hook) == ("filter", "forward"):
        firewall.add_chain("other")
        firewall.add_rule("other", Rule(ACCEPT, protocol="udp", destination_ports=53))
    firewall.add_chain(hook, hook=hook, table=table)
    for rule in rules:
        try:
            firewall.add_rule(hook, rule, table=table)
        except Unsupported:
            continue
