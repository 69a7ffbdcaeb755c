"""Wrong about bad input: taken, mended in silence, or seen by a tool first."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from conformance.mutants import mutant
from conformance.mutants.firewall.making import patched
from refnet import names, process
from refnet.errors import InvalidArgument
from refnet.firewall import actions, protocols, values
from refnet.firewall.manager import FirewallManager
from refnet.firewall.rules import Rule
from refnet.firewall.values import PortRange


@mutant("input-any-text", "takes any text for a comment", {"IN-01": "is not refused: it goes through"})
def any_text(base: Any) -> type[FirewallManager]:
    return patched(base, values, "text", lambda value, what, most: str(value))


@mutant(
    "input-tool-judges", "asks a program about a rule first", {"IN-01": "has reached a program", "IN-05": "a program"}
)
def tool_judges(base: Any) -> type[FirewallManager]:
    text, network = values.text, names.ip_network

    def ask(original: Any) -> Any:
        def asked(value: Any, *rest: Any) -> Any:
            process.run(["true"])
            return original(value, *rest)

        return asked

    return patched(patched(base, values, "text", ask(text)), names, "ip_network", ask(network))


@mutant(
    "input-owner-mended", "makes a name that is possible of an owner's", {"IN-02": "is not refused: it goes through"}
)
def owner_mended(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def __init__(self, owner: str, **options: Any) -> None:
            super().__init__(re.sub(r"[^A-Za-z0-9]", "", owner)[:16] or "x", **options)

    return Wrong


@mutant(
    "input-chain-mended", "makes a name that is possible of a chain's", {"IN-03": "is not refused: it goes through"}
)
def chain_mended(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def add_chain(self, chain: str, **options: Any) -> None:
            if isinstance(chain, str):
                chain = re.sub(r"[^A-Za-z0-9]", "", chain)[:64] or "x"
            super().add_chain(chain, **options)

    return Wrong


@mutant("input-any-interface", "takes any name for an interface's", {"IN-04": "is not refused: it goes through"})
def any_interface(base: Any) -> type[FirewallManager]:
    return patched(base, names, "device_name", lambda name, what="": str(name))


@mutant(
    "input-host-bits",
    "takes a network with bits behind its prefix",
    {"IN-05": "'10.0.0.1/24' is not refused: it goes through"},
)
def host_bits(base: Any) -> type[FirewallManager]:
    original = names.ip_network

    def network(value: Any) -> Any:
        if value == "10.0.0.1/24":
            return ipaddress.ip_network(value, strict=False)
        return original(value)

    return patched(base, names, "ip_network", network)


@mutant("input-ports-clamped", "takes ports for the nearest ones that there are", {"IN-06": "65536 is not refused"})
def ports_clamped(base: Any) -> type[FirewallManager]:
    original = values.port_range

    def port_range(value: Any) -> PortRange:
        return original(max(0, min(value, 65535)) if isinstance(value, int) else value)

    return patched(base, values, "port_range", port_range)


@mutant("input-protocol-zero", "takes protocol 0 for any", {"IN-07": "0 is not refused: it goes through"})
def protocol_zero(base: Any) -> type[FirewallManager]:
    original = protocols.name
    return patched(base, protocols, "name", lambda value: "tcp" if value == 0 else original(value))


@mutant(
    "input-makes-chains",
    "makes chains that rules are added to or jump to",
    {"IN-08": "'nosuch' is not refused: it goes through"},
)
def makes_chains(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def add_rule(self, chain: str, rule: Rule, **options: Any) -> None:
            if isinstance(rule, Rule) and isinstance(rule.action, actions.Jump):
                super().add_chain(rule.action.chain)
            super().add_rule(chain, rule, **options)

    return Wrong


@mutant("input-loops", "jumps in circles", {"IN-08": "'one' is not refused: it goes through"})
def loops(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def add_rule(self, chain: str, rule: Rule, **options: Any) -> None:
            try:
                super().add_rule(chain, rule, **options)
            except InvalidArgument as error:
                if "lead back" not in str(error):
                    raise

    return Wrong


@mutant("input-misplaced-ignored", "leaves out rules in the wrong place", {"IN-09": "'Dnat' is not refused"})
def misplaced_ignored(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def add_rule(self, chain: str, rule: Rule, **options: Any) -> None:
            try:
                super().add_rule(chain, rule, **options)
            except InvalidArgument as error:
                if "is for" not in str(error):
                    raise

    return Wrong


@mutant(
    "input-half-added", "adds the chain of a table and hook that it then refuses", {"IN-09": "has come into the model"}
)
def half_added(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def add_chain(self, chain: str, *, hook: Any = None, table: Any = "filter") -> None:
            try:
                super().add_chain(chain, hook=hook, table=table)
            except InvalidArgument:
                super().add_chain("half")
                raise

    return Wrong


@mutant(
    "input-translates-to-network",
    "takes a network to translate to for its first address",
    {"IN-10": "'192.0.2.0/24' is not refused: it goes through"},
)
def translates_to_network(base: Any) -> type[FirewallManager]:
    original = actions._address

    def address(value: Any, what: str) -> Any:
        return original(value.partition("/")[0] if isinstance(value, str) else value, what)

    return patched(base, actions, "_address", address)


@mutant("input-types-trusted", "expects text where anything may come", {"IN-11": "let out a TypeError"})
def types_trusted(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def add_chain(self, chain: str, **options: Any) -> None:
            super().add_chain("" + chain, **options)

    return Wrong


@mutant("input-any-position", "takes any position but 'last' for 'first'", {"IN-12": "'middle' is not refused"})
def any_position(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def __init__(self, owner: str, *, position: str = "first", **options: Any) -> None:
            super().__init__(owner, position="last" if position == "last" else "first", **options)

    return Wrong
