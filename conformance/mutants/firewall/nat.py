"""Wrong about the translation of addresses and ports."""

from __future__ import annotations

from typing import Any

from conformance.mutants import mutant
from conformance.mutants.firewall.making import writing
from conformance.mutants.firewall.rewriting import changed
from refnet.firewall.actions import ACCEPT, DROP, Accept, Dnat, Drop, Masquerade, Redirect, Snat
from refnet.firewall.manager import FirewallManager
from refnet.firewall.model import Chain, Hook, Table
from refnet.firewall.rules import Rule
from refnet.firewall.values import AnyOf


@mutant(
    "masquerade-fixed",
    "masquerades with an address that is not that of the device",
    {"NA-01": "udp is masqueraded, and b sees 198.51.100.1"},
)
def masquerade_fixed(base: Any) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> Rule:
        return changed(rule, action=Snat("198.51.100.1"), family=4) if isinstance(rule.action, Masquerade) else rule

    return writing(base, rewrite)


@mutant("snat-masquerades", "takes SNAT for masquerading", {"NA-02": "SNAT to 192.0.2.7, and b sees 10.0.2.1"})
def snat_masquerades(base: Any) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> Rule:
        return changed(rule, action=Masquerade()) if isinstance(rule.action, Snat) else rule

    return writing(base, rewrite)


@mutant("snat-any-port", "does SNAT without its ports", {"NA-03": "SNAT to ports 40000 to 40015, and b sees"})
def snat_any_port(base: Any) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> Rule:
        return changed(rule, action=Snat(rule.action.address)) if isinstance(rule.action, Snat) else rule

    return writing(base, rewrite)


@mutant(
    "dnat-keeps-port",
    "forwards to the address, at whatever port it was sent to",
    {"NA-04": "tcp is forwarded, and b sees", "NA-11": "it was to be translated, and b sees"},
)
def dnat_keeps_port(base: Any) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> Rule:
        return changed(rule, action=Dnat(rule.action.address)) if isinstance(rule.action, Dnat) else rule

    return writing(base, rewrite)


@mutant(
    "dnat-any-protocol",
    "forwards a port of UDP and of TCP, whichever of them was asked for",
    {"NA-04": "the forwarded port of another protocol"},
)
def dnat_any_protocol(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def add_rule(self, chain: str, rule: Rule, **options: Any) -> None:
            super().add_rule(chain, rule, **options)
            if isinstance(rule.action, Dnat):
                super().add_rule(chain, changed(rule, protocol="tcp" if rule.protocol == "udp" else "udp"), **options)

    return Wrong


@mutant(
    "dnat-first-port",
    "forwards the first of a range of ports only",
    {"NA-05": "port 8005 of the forwarded 8000 to 8010"},
)
def dnat_first_port(base: Any) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> Rule:
        if not isinstance(rule.action, Dnat) or not rule.destination_ports:
            return rule
        return changed(rule, destination_ports=rule.destination_ports.values[0].first)

    return writing(base, rewrite)


@mutant("redirect-ignored", "redirects nothing", {"NA-06": "a redirected connection"})
def redirect_ignored(base: Any) -> type[FirewallManager]:
    return writing(base, lambda rule: None if isinstance(rule.action, Redirect) else rule)


@mutant(
    "dnat-any-address",
    "forwards a port whatever address it was sent to",
    {"NA-07": "the forwarded port at another address"},
)
def dnat_any_address(base: Any) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> Rule:
        return changed(rule, destination=None) if isinstance(rule.action, Dnat) else rule

    return writing(base, rewrite)


@mutant(
    "masquerade-outward-only",
    "masquerades nothing that has a destination of its own",
    {
        "NA-08": "a connection to a port that is forwarded into the client's own network",
        "NA-24": "a datagram to b is to come from",
        "NA-25": "a connection to a port that is forwarded into the client's own network of IPv6",
    },
)
def masquerade_outward_only(base: Any) -> type[FirewallManager]:
    return writing(base, lambda rule: None if isinstance(rule.action, Masquerade) and rule.destination else rule)


@mutant(
    "nat-accept-ignored",
    "goes on to the next rule of a translation at ACCEPT",
    {"NA-09": "it was excluded from translation, and c sees"},
)
def nat_accept_ignored(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def _render(self, chain: Chain, rule: Rule) -> Any:
            is_exclusion = chain.table is Table.NAT and isinstance(rule.action, Accept)
            return super()._render(chain, changed(rule, source="192.0.2.250") if is_exclusion else rule)

    return Wrong


@mutant(
    "negation-lost",
    "takes 'none of these' for 'one of these'",
    {"NA-10": "its network is left out, and c sees"},
)
def negation_lost(base: Any) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> Rule:
        found = rule.destination
        return changed(rule, destination=AnyOf(found.values)) if found and found.negated else rule

    return writing(base, rewrite)


@mutant(
    "nat-stays",
    "leaves translations standing that were removed",
    {"NA-11": "the translation was removed, and b sees"},
)
def nat_stays(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def remove_rule(self, chain: str, rule: Rule, *, table: Table | str = Table.FILTER) -> None:
            if Table(table) is not Table.NAT:
                super().remove_rule(chain, rule, table=table)

    return Wrong


@mutant(
    "filter-before-nat",
    "filters forwarded flows by the address that they were sent to",
    {"NA-12": "a flow whose translated destination is filtered"},
)
def filter_before_nat(base: Any) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> Rule | None:
        return None if isinstance(rule.action, Drop) and rule.destination else rule

    return writing(base, rewrite)


@mutant(
    "answers-stopped", "lets no answers of forwarded flows through", {"NA-13": "the answer to a forwarded tcp flow"}
)
def answers_stopped(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def add_rule(self, chain: str, rule: Rule, **options: Any) -> None:
            super().add_rule(chain, rule, **options)
            if isinstance(rule.action, Dnat):
                super().add_chain("answers", hook=Hook.FORWARD)
                answers = Rule(DROP, protocol=rule.protocol, source=rule.action.address, source_ports=rule.action.ports)
                super().add_rule("answers", answers)

    return Wrong


@mutant("nat-of-ipv4", "translates IPv4 only", {"NA-14": "a forwarded and masqueraded IPv6 flow"})
def nat_of_ipv4(base: Any) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> Rule | None:
        translates = isinstance(rule.action, Snat | Dnat | Masquerade | Redirect)
        return None if translates and rule.family == 6 else rule

    return writing(base, rewrite)


@mutant(
    "nat-of-both-families",
    "masquerades both families, whichever a rule is about",
    {"NA-14": "no rule is about IPv4, and b sees"},
)
def nat_of_both(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def add_rule(self, chain: str, rule: Rule, **options: Any) -> None:
            super().add_rule(chain, rule, **options)
            if isinstance(rule.action, Masquerade):
                super().add_rule(chain, Rule(Masquerade()), **options)

    return Wrong


@mutant(
    "nat-of-own-ignored",
    "translates nothing that the host itself sends",
    {"NA-15": "what the host sends to a forwarded address"},
)
def nat_of_own_ignored(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def _render(self, chain: Chain, rule: Rule) -> Any:
            is_own = chain.table is Table.NAT and chain.hook is Hook.OUTPUT
            return super()._render(chain, Rule(ACCEPT, source="192.0.2.250") if is_own else rule)

    return Wrong


@mutant(
    "masquerade-any-port", "masquerades without the ports", {"NA-16": "udp is masqueraded with ports 40000 to 40015"}
)
def masquerade_any_port(base: Any) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> Rule:
        return changed(rule, action=Masquerade()) if isinstance(rule.action, Masquerade) else rule

    return writing(base, rewrite)


@mutant(
    "nat-past-the-range",
    "takes the last of a range of ports for the first, and goes on from there",
    {
        "NA-17": "is forwarded to ports 8000 to 8003, and b sees",
        "NA-18": "is redirected to 3128 to 3131, and one datagram arrives at []",
    },
)
def nat_past_the_range(base: Any) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> Rule:
        action = rule.action
        if not isinstance(action, Dnat | Redirect) or action.ports is None or action.ports.first == action.ports.last:
            return rule
        ports = (action.ports.last + 1, action.ports.last + 4)
        return changed(rule, action=Redirect(ports) if isinstance(action, Redirect) else Dnat(action.address, ports))

    return writing(base, rewrite)


@mutant("redirect-of-ipv4", "redirects IPv4 only", {"NA-19": "a redirected IPv6 connection"})
def redirect_of_ipv4(base: Any) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> Rule | None:
        return None if isinstance(rule.action, Redirect) and rule.family == 6 else rule

    return writing(base, rewrite)


@mutant("snat-of-ipv4", "does SNAT of IPv4 only", {"NA-21": "with SNAT"})
def snat_of_ipv4(base: Any) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> Rule | None:
        return None if isinstance(rule.action, Snat) and rule.family == 6 else rule

    return writing(base, rewrite)


@mutant(
    "source-ports-of-ipv4",
    "gives IPv6 flows another address, and not the ports that were asked for",
    {"NA-23": "to ports 40000 to 40015"},
)
def source_ports_of_ipv4(base: Any) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> Rule:
        if rule.family != 6 or not isinstance(rule.action, Snat | Masquerade):
            return rule
        plain = Snat(rule.action.address) if isinstance(rule.action, Snat) else Masquerade()
        return changed(rule, action=plain)

    return writing(base, rewrite)


@mutant(
    "exclusions-of-ipv4",
    "excludes from translations in IPv4 only",
    {"NA-24": "a datagram to c is to come from"},
)
def exclusions_of_ipv4(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def _render(self, chain: Chain, rule: Rule) -> Any:
            is_exclusion = chain.table is Table.NAT and isinstance(rule.action, Accept) and rule.family == 6
            return super()._render(chain, changed(rule, source="2001:db8::250") if is_exclusion else rule)

    return Wrong
