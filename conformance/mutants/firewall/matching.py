"""Wrong about what a rule matches."""

from __future__ import annotations

import socket
from typing import Any

from conformance.mutants import mutant
from conformance.mutants.firewall.rewriting import changed, rewriting, some
from refnet.firewall import FirewallManager, IcmpType, PortRange, Rule
from refnet.firewall.protocols import WITH_PORTS
from refnet.firewall.values import AnyOf

_LEAKED, _LOST = "and b got it", "and did not arrive"
_MANY = ("source", "destination", "source_ports", "destination_ports", "in_interface", "out_interface", "source_mac")


@mutant(
    "match-any-protocol", "forgets the protocol of a rule that is not about ports", {"FW-30": _LOST, "FW-31": _LOST}
)
def any_protocol(base: Any) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> list[Rule] | None:
        has_more = rule.source_ports or rule.destination_ports or rule.icmp_type
        return None if has_more else [changed(rule, protocol=None)]

    return rewriting(base, rewrite)


@mutant("match-protocols-by-name", "leaves out rules about protocols without a name", {"FW-31": _LEAKED})
def protocols_by_name(base: Any) -> type[FirewallManager]:
    return rewriting(base, lambda rule: [] if rule.protocol and rule.protocol.isdigit() else None)


@mutant(
    "match-tcp-ports",
    "writes rules about ports for TCP alone",
    {
        "FW-32": _LOST,
        "FW-65": "in fragments reached port 7001",
        "FW-66": "in fragments reached port 7001",
        "FW-67": _LEAKED,
    },
)
def tcp_ports(base: Any) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> list[Rule] | None:
        is_about_ports = rule.protocol in WITH_PORTS and (rule.source_ports or rule.destination_ports)
        return [changed(rule, protocol="tcp")] if is_about_ports else None

    return rewriting(base, rewrite)


@mutant("match-port-too-many", "takes in the port behind a range as well", {"FW-32": _LEAKED, "FW-33": _LEAKED})
def port_too_many(base: Any) -> type[FirewallManager]:
    def wider(ranges: tuple[PortRange, ...]) -> list[PortRange]:
        return [PortRange(one.first, min(one.last + 1, 65535)) for one in ranges]

    return rewriting(base, lambda rule: [changed(rule, destination_ports=some(rule.destination_ports, wider))])


@mutant("match-range-without-its-end", "leaves out the last port of a range", {"FW-33": _LOST, "FW-35": _LEAKED})
def range_without_its_end(base: Any) -> type[FirewallManager]:
    def shorter(ranges: tuple[PortRange, ...]) -> list[PortRange]:
        return [PortRange(one.first, max(one.first, one.last - 1)) for one in ranges]

    return rewriting(base, lambda rule: [changed(rule, destination_ports=some(rule.destination_ports, shorter))])


@mutant("match-ports-swapped", "mixes up source and destination ports", {"FW-32": _LOST, "FW-34": _LEAKED})
def ports_swapped(base: Any) -> type[FirewallManager]:
    return rewriting(
        base,
        lambda rule: [changed(rule, source_ports=rule.destination_ports, destination_ports=rule.source_ports)],
    )


@mutant(
    "match-15-ports",
    "leaves out the ports that its tool has no room for in one rule",
    {"FW-35": _LEAKED, "FW-36": _LOST, "FW-37": _LEAKED},
)
def fifteen_ports(base: Any) -> type[FirewallManager]:
    return _cut(base, 15, "source_ports", "destination_ports")


@mutant(
    "match-8-addresses",
    "leaves out the addresses behind the eighth",
    {"FW-43": _LEAKED, "FW-44": _LOST, "FW-45": _LOST},
)
def eight_addresses(base: Any) -> type[FirewallManager]:
    return _cut(base, 8, "source", "destination")


def _cut(base: Any, most: int, *names: str) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> list[Rule]:
        return [changed(rule, **{name: some(getattr(rule, name), lambda values: values[:most]) for name in names})]

    return rewriting(base, rewrite)


@mutant(
    "match-not-one-by-one",
    "writes a rule for each value that is not to match, so that each rule matches the others",
    {"FW-36": _LOST, "FW-44": _LOST, "FW-45": _LOST, "FW-53": _LOST},
)
def not_one_by_one(base: Any) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> list[Rule] | None:
        for name in _MANY:
            field = getattr(rule, name)
            if field and field.negated:
                return [changed(rule, **{name: AnyOf((value,), negated=True)}) for value in field.values]
        return None

    return rewriting(base, rewrite)


@mutant(
    "match-without-not",
    "overlooks that values are not to match",
    {"FW-36": _LOST, "FW-44": _LOST, "FW-45": _LOST, "FW-53": _LOST, "FW-62": _LOST},
)
def without_not(base: Any) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> list[Rule]:
        fields = {name: getattr(rule, name) for name in _MANY}
        return [changed(rule, **{name: AnyOf(one.values) for name, one in fields.items() if one})]

    return rewriting(base, rewrite)


@mutant(
    "match-half-a-network", "writes networks a bit too long", {"FW-40": _LEAKED, "FW-41": _LEAKED, "FW-42": _LEAKED}
)
def half_a_network(base: Any) -> type[FirewallManager]:
    def half(networks: tuple[Any, ...]) -> list[Any]:
        return [next(one.subnets()) if one.prefixlen < one.max_prefixlen else one for one in networks]

    return _networks(base, half)


@mutant("match-double-network", "writes networks a bit too short", {"FW-40": _LOST, "FW-41": _LOST, "FW-42": _LOST})
def double_network(base: Any) -> type[FirewallManager]:
    return _networks(base, lambda networks: [one.supernet() if one.prefixlen else one for one in networks])


@mutant("match-everything-is-of-both", "leaves 0.0.0.0/0 out, and its family with it", {"FW-42": _LOST})
def everything_is_of_both(base: Any) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> list[Rule] | None:
        if rule.source and all(one.prefixlen == 0 for one in rule.source.values):
            return [changed(rule, source=None, family=None)]
        return None

    return rewriting(base, rewrite)


def _networks(base: Any, change: Any) -> type[FirewallManager]:
    return rewriting(
        base,
        lambda rule: [changed(rule, source=some(rule.source, change), destination=some(rule.destination, change))],
    )


@mutant(
    "match-any-interface",
    "forgets the interfaces of a rule",
    {"FW-50": _LOST, "FW-51": _LOST, "FW-52": _LOST, "FW-53": _LOST, "FW-54": _LOST},
)
def any_interface(base: Any) -> type[FirewallManager]:
    return rewriting(base, lambda rule: [changed(rule, in_interface=None, out_interface=None)])


@mutant(
    "match-interfaces-swapped",
    "mixes up the interface in and the interface out",
    {"FW-50": _LOST, "FW-51": _LOST, "FW-52": _LOST},
)
def interfaces_swapped(base: Any) -> type[FirewallManager]:
    return rewriting(
        base, lambda rule: [changed(rule, in_interface=rule.out_interface, out_interface=rule.in_interface)]
    )


@mutant(
    "match-interfaces-by-beginning",
    "takes an interface's name for the beginning of one",
    {"FW-50": _LOST, "FW-51": _LOST},
)
def interfaces_by_beginning(base: Any) -> type[FirewallManager]:
    def longer(names: tuple[str, ...]) -> list[str]:
        return [*names, *(f"{name}b" for name in names)]

    return rewriting(
        base,
        lambda rule: [
            changed(rule, in_interface=some(rule.in_interface, longer), out_interface=some(rule.out_interface, longer))
        ],
    )


@mutant("match-interfaces-there", "leaves out rules about interfaces that are not there", {"FW-54": _LEAKED})
def interfaces_there(base: Any) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> list[Rule] | None:
        there = {name for _, name in socket.if_nameindex()}
        return [] if rule.in_interface and not there.issuperset(rule.in_interface.values) else None

    return rewriting(base, rewrite)


@mutant("match-any-icmp-type", "forgets types of ICMP", {"FW-60": _LOST, "FW-61": _LOST})
def any_icmp_type(base: Any) -> type[FirewallManager]:
    return rewriting(base, lambda rule: [changed(rule, icmp_type=None)])


@mutant("match-any-icmp-code", "forgets codes of ICMP", {"FW-61": _LOST})
def any_icmp_code(base: Any) -> type[FirewallManager]:
    return rewriting(
        base, lambda rule: [changed(rule, icmp_type=IcmpType(rule.icmp_type.type))] if rule.icmp_type else None
    )


@mutant("match-icmp-code-0", "takes a type of ICMP without a code for code 0", {"FW-61": _LEAKED})
def icmp_code_0(base: Any) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> list[Rule] | None:
        kind = rule.icmp_type
        return [changed(rule, icmp_type=IcmpType(kind.type, 0))] if kind and kind.code is None else None

    return rewriting(base, rewrite)


@mutant("match-any-mac", "forgets MAC addresses", {"FW-62": _LOST})
def any_mac(base: Any) -> type[FirewallManager]:
    return rewriting(base, lambda rule: [changed(rule, source_mac=None)])


@mutant("match-without-comment", "takes rules for one that differ in their comments", {"FW-63": _LEAKED})
def without_comment(base: Any) -> type[FirewallManager]:
    return rewriting(base, lambda rule: [changed(rule, comment=None)])


@mutant("match-without-limit", "forgets the limit", {"FW-64": _LEAKED})
def without_limit(base: Any) -> type[FirewallManager]:
    return rewriting(base, lambda rule: [changed(rule, limit=None)])


@mutant("match-without-burst", "forgets the burst of a limit", {"FW-64": _LOST})
def without_burst(base: Any) -> type[FirewallManager]:
    return rewriting(base, lambda rule: [changed(rule, limit=rule.limit._replace(burst=1))] if rule.limit else None)


@mutant("match-limit-of-each", "has a limit for each address of a rule", {"FW-68": _LEAKED})
def limit_of_each(base: Any) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> list[Rule] | None:
        is_of_several = rule.limit and rule.source and not rule.source.negated
        return [changed(rule, source=one) for one in rule.source.values] if is_of_several and rule.source else None

    return rewriting(base, rewrite)


@mutant(
    "match-ports-of-two",
    "forgets the ports of a protocol that is neither TCP nor UDP",
    {"FW-47": _LEAKED},
)
def ports_of_two(base: Any) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> list[Rule] | None:
        is_other = rule.protocol in WITH_PORTS and rule.protocol not in ("tcp", "udp")
        return [changed(rule, source_ports=None, destination_ports=None)] if is_other else None

    return rewriting(base, rewrite)


@mutant("match-source-ports-without-not", "overlooks that source ports are not to match", {"FW-38": _LOST})
def source_ports_without_not(base: Any) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> list[Rule] | None:
        ports = rule.source_ports
        return [changed(rule, source_ports=AnyOf(ports.values))] if ports and ports.negated else None

    return rewriting(base, rewrite)


@mutant(
    "match-overlaps-cut",
    "keeps of values that overlap the narrower ones",
    {"FW-39": _LEAKED, "FW-46": _LEAKED},
)
def overlaps_cut(base: Any) -> type[FirewallManager]:
    def narrow(networks: tuple[Any, ...]) -> list[Any]:
        return [one for one in networks if not any(other != one and other.subnet_of(one) for other in networks)]

    def free(ranges: tuple[PortRange, ...]) -> list[PortRange]:
        return [
            one
            for one in ranges
            if not any(other != one and one.first <= other.first and other.last <= one.last for other in ranges)
        ]

    return rewriting(
        base,
        lambda rule: [
            changed(
                rule,
                source=some(rule.source, narrow),
                destination=some(rule.destination, narrow),
                source_ports=some(rule.source_ports, free),
                destination_ports=some(rule.destination_ports, free),
            )
        ],
    )


@mutant("match-lists-of-addresses", "takes a network in a list for its first address", {"FW-46": _LEAKED})
def lists_of_addresses(base: Any) -> type[FirewallManager]:
    def first(networks: tuple[Any, ...]) -> list[Any]:
        return [one.network_address for one in networks] if len(networks) > 1 else list(networks)

    return _networks(base, first)
