"""Wrong about connections."""

from __future__ import annotations

from typing import Any

from conformance.mutants import mutant
from conformance.mutants.firewall.making import writing
from conformance.mutants.firewall.rewriting import changed, rewriting
from refnet.firewall.actions import ACCEPT
from refnet.firewall.manager import FirewallManager
from refnet.firewall.rules import Rule
from refnet.firewall.values import AnyOf, State

#: The addresses of the first three guests of a routed topology.
_GUESTS = [address for number in (1, 2, 3) for address in (f"10.0.{number}.2", f"fd00:0:0:{number}::2")]


@mutant(
    "state-ignored",
    "writes rules without the states that they are about",
    {
        "ST-01": "an answer that nobody asked for",
        "ST-02": "an ICMP error about a flow that there is not",
        "ST-03": "a reset out of the window",
        "ST-06": "a new connection whose rule was removed",
        "ST-11": "a flow that was not forwarded",
        "ST-17": "a reset out of the window",
    },
)
def state_ignored(base: Any) -> type[FirewallManager]:
    return writing(base, lambda rule: changed(rule, states=None) if rule.states else rule)


@mutant(
    "state-new-for-established",
    "takes established flows for new ones",
    {"ST-01": "its answer, udp over IPv4", "ST-05": "its answer"},
)
def state_new_for_established(base: Any) -> type[FirewallManager]:
    swapped = {State.ESTABLISHED: State.NEW, State.NEW: State.ESTABLISHED}

    def rewrite(rule: Rule) -> Rule:
        return changed(rule, states=[swapped.get(one, one) for one in rule.states.values]) if rule.states else rule

    return writing(base, rewrite)


@mutant("state-not-related", "knows no related packets", {"ST-02": "an ICMP error about a flow that is known"})
def state_not_related(base: Any) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> Rule | None:
        if not rule.states or State.RELATED not in rule.states.values:
            return rule
        rest = [one for one in rule.states.values if one is not State.RELATED]
        return changed(rule, states=rest) if rest else None

    return writing(base, rewrite)


@mutant("state-never-invalid", "finds nothing invalid", {"ST-04": "a segment with SA of no connection"})
def state_never_invalid(base: Any) -> type[FirewallManager]:
    return writing(base, lambda rule: None if rule.states and State.INVALID in rule.states.values else rule)


@mutant(
    "state-established-always-pass",
    "lets established connections pass before any rule is asked",
    {"ST-07": "is not cut"},
)
def state_established_pass(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def add_chain(self, chain: str, **options: Any) -> None:
            super().add_chain(chain, **options)
            if options.get("hook") == "forward":
                super().add_rule(chain, Rule(ACCEPT, states=State.ESTABLISHED))

    return Wrong


@mutant(
    "apply-forgets-connections",
    "forgets all connections at each apply",
    {
        "ST-05": "a flow that is known, when new ones may not pass",
        "ST-06": "an established connection whose rule was removed",
        "RL-05": "the connection after an apply",
    },
)
def apply_forgets(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def apply(self) -> None:
            super().apply()
            for address in _GUESTS:
                super().forget_connections(address)

    return Wrong


@mutant(
    "forgets-all",
    "forgets everybody's connections for one address",
    {"ST-08": "another's connection to the same server", "ST-09": "another's connection to the same server"},
)
def forgets_all(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def forget_connections(self, address: Any) -> int:
            count = int(super().forget_connections(address))
            if str(address) in _GUESTS:
                for one in _GUESTS:
                    super().forget_connections(one)
            return count

    return Wrong


@mutant(
    "forgets-nothing",
    "says that it has forgotten a connection, and forgets none",
    {
        "ST-08": "a connection that was forgotten: the connection",
        "ST-09": "a connection that was forgotten: the connection",
        "ST-10": "the same flow, forwarded to another address now",
    },
)
def forgets_nothing(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def forget_connections(self, address: Any) -> int:
            return int(str(address) in _GUESTS)

    return Wrong


@mutant(
    "forgets-without-count", "does not say how many it has forgotten", {"ST-08": "a has a connection, and forgotten"}
)
def forgets_without_count(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def forget_connections(self, address: Any) -> int:
            super().forget_connections(address)
            return 0

    return Wrong


@mutant("forgets-ipv4-only", "forgets connections of IPv4 only", {"ST-09": "a has a connection, and forgotten were 0"})
def forgets_ipv4_only(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def forget_connections(self, address: Any) -> int:
            return 0 if ":" in str(address) else int(super().forget_connections(address))

    return Wrong


def _of_ipv4(base: Any, state: State) -> type[FirewallManager]:
    """Return a class that knows a state in IPv4 only."""

    def rewrite(rule: Rule) -> list[Rule] | None:
        if not rule.states or rule.states.negated or state not in rule.states.values or rule.family == 4:
            return None
        rest = [one for one in rule.states.values if one is not state]
        six = [changed(rule, family=6, states=rest)] if rest else []
        return [changed(rule, family=4), *six] if rule.family is None else six

    return rewriting(base, rewrite)


@mutant(
    "related-of-ipv4", "knows related packets of IPv4 only", {"ST-12": "an ICMPv6 error about a flow that is known"}
)
def related_of_ipv4(base: Any) -> type[FirewallManager]:
    return _of_ipv4(base, State.RELATED)


@mutant("invalid-of-ipv4", "finds nothing of IPv6 invalid", {"ST-16": "a segment with SA of no connection"})
def invalid_of_ipv4(base: Any) -> type[FirewallManager]:
    return _of_ipv4(base, State.INVALID)


@mutant(
    "state-related-is-established",
    "takes related packets for established ones",
    {"ST-13": "where only established ones may"},
)
def related_is_established(base: Any) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> Rule:
        if not rule.states or State.ESTABLISHED not in rule.states.values:
            return rule
        return changed(rule, states=AnyOf(tuple({*rule.states.values, State.RELATED}), rule.states.negated))

    return writing(base, rewrite)


@mutant("state-not-lost", "takes 'none of these states' for 'one of these'", {"ST-14": "what starts a flow"})
def state_not_lost(base: Any) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> Rule:
        return changed(rule, states=AnyOf(rule.states.values)) if rule.states else rule

    return writing(base, rewrite)


@mutant("state-one-translation", "takes SNAT and DNAT for one state", {"ST-15": "a flow whose destination was"})
def state_one_translation(base: Any) -> type[FirewallManager]:
    translated = {State.SNAT, State.DNAT}

    def rewrite(rule: Rule) -> Rule:
        if not rule.states or not translated & {*rule.states.values}:
            return rule
        return changed(rule, states={*rule.states.values, *translated})

    return writing(base, rewrite)
