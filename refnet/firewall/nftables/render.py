"""How rules are written in nft's language. Nothing here starts a program.

A rule becomes one line of a normal form: what is read from the host (:mod:`~refnet.firewall.nftables.reading`) and
written again gives the same text if, and only if, the rule on the host is what was written.
"""

from __future__ import annotations

import functools
import hashlib
import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from refnet.errors import Unsupported
from refnet.firewall import protocols
from refnet.firewall.actions import (
    Accept,
    Answer,
    Dnat,
    Drop,
    Jump,
    Log,
    Masquerade,
    Redirect,
    Reject,
    Return,
    SetMark,
    Snat,
)
from refnet.firewall.model import Chain
from refnet.firewall.nftables import names
from refnet.firewall.rules import Rule
from refnet.firewall.values import AnyOf, PortRange, State
from refnet.names import IPNetwork

T = TypeVar("T")

#: Longer lists are looked at once for all the rules that have them.
_LONG = 16
ALL_BITS = 0xFFFFFFFF

#: Both families at once (nft(8), "REJECT STATEMENT"); each is the pair of codes that iptables-extensions(8) has.
ANSWERS = {
    Answer.NET_UNREACHABLE: "no-route",
    Answer.PORT_UNREACHABLE: "port-unreachable",
    Answer.HOST_UNREACHABLE: "host-unreachable",
    Answer.ADMIN_PROHIBITED: "admin-prohibited",
}
TRANSLATED = (State.SNAT, State.DNAT)
#: The states of packets that belong to no connection, which therefore has no status, either.
_WITHOUT_CONNECTION = (State.INVALID, State.UNTRACKED)


@dataclass(frozen=True, slots=True)
class NamedSet:
    """A set of the table; its name says what is in it, so that nobody has to compare thousands of values."""

    name: str
    type: str = field(compare=False)
    values: tuple[Any, ...] = field(compare=False)

    @property
    def elements(self) -> str:
        """Return the values as nft writes them."""
        return ", ".join(map(str, map(plain, self.values)))


class Rendered(NamedTuple):
    """A rule as it is written: one line, or two that no packet matches both of."""

    #: Each with its comment: ``tcp dport 22 counter accept comment "refnet:<digest> the user's"``.
    lines: tuple[str, ...]
    sets: tuple[NamedSet, ...] = ()
    #: The prefix of a log that has to be defined before it is used.
    prefix: str | None = None

    @property
    def digest(self) -> str:
        """Return what the rule is known by on the host."""
        start = self.lines[0].rindex(MARK) + len(MARK)
        return self.lines[0][start : start + DIGEST_LENGTH]

    @property
    def texts(self) -> tuple[str, ...]:
        """Return the lines without their comments."""
        return tuple(line[: line.rindex(MARK)] for line in self.lines)


#: No text of a rule can have this in it: quotes are not possible there (values.text).
MARK = ' comment "refnet:'
DIGEST_LENGTH = 16


def digest(text: str) -> str:
    """Return 16 hexadecimal digits for a text: that two rules of a chain share them is out of the question."""
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_LENGTH // 2).hexdigest()


def render(chain: Chain, rule: Rule) -> Rendered:
    """Return how a rule is written in a chain.

    Raises:
        Unsupported: a limit together with states that take two lines.
    """
    sets: list[NamedSet] = []
    texts = tuple(write(chain, rule, *states, sets) for states in _alternatives(rule))
    said = "".join(texts) + (rule.comment or "")
    if _is_shortened(rule):
        said += repr(rule)  # the texts do not tell it from a rule with another list of the same addresses
    comment = f'{MARK}{digest(said)}{f" {rule.comment}" if rule.comment else ""}"'
    prefix = rule.action.prefix if isinstance(rule.action, Log) and "$" in rule.action.prefix else None
    return Rendered(tuple(text + comment for text in texts), tuple(dict.fromkeys(sets)), prefix)


def definition(prefix: str) -> str:
    """Return the line that a log's prefix with a dollar in it needs first: nft looks for variables in prefixes."""
    return f'define {_variable(prefix)} = "{prefix}"'


def write(
    chain: Chain, rule: Rule, states: AnyOf[State] | None, translated: AnyOf[State] | None, sets: list[NamedSet]
) -> str:
    """Return a rule's text, with these states instead of its own; sets that it needs are added to ``sets``."""
    parts = [
        _family_and_protocol(rule),
        _any(rule.in_interface, "iifname", _quoted),
        _any(rule.out_interface, "oifname", _quoted),
        _any(rule.source_mac, "ether saddr", str),
        _networks(rule.source, "saddr", sets),
        _networks(rule.destination, "daddr", sets),
        _ports(rule, "sport", rule.source_ports, sets),
        _ports(rule, "dport", rule.destination_ports, sets),
    ]
    if rule.icmp_type:
        protocol = "icmpv6" if rule.protocol == "ipv6-icmp" else "icmp"
        parts.append(f"{protocol} type {rule.icmp_type.type}")
        if rule.icmp_type.code is not None:
            parts.append(f"{protocol} code {rule.icmp_type.code}")
    parts += [_bits(states, "ct state"), _bits(translated, "ct status")]
    if rule.mark:
        value, mask = rule.mark
        parts.append(f"meta mark {value:#x}" if mask == ALL_BITS else f"meta mark & {mask:#x} == {value:#x}")
    if rule.limit:
        parts.append(f"limit rate {rule.limit.packets}/{rule.limit.unit} burst {rule.limit.burst} packets")
    parts += ["counter", _action(chain, rule)]
    return " ".join(part for part in parts if part)


def networks(values: Iterable[IPNetwork]) -> tuple[IPNetwork, ...]:
    """Return the same addresses, of one family, in as few networks as possible, in order: as nft keeps them.

    ``ipaddress.collapse_addresses`` says the same, and takes seconds for tens of thousands.
    """
    given = tuple(values)
    if len(given) < 2:
        return given
    kind, bits = type(given[0]), given[0].max_prefixlen
    found: list[tuple[int, int]] = []
    for first, length in sorted((int(one.network_address), one.prefixlen) for one in given):
        if found and (first ^ found[-1][0]) >> (bits - found[-1][1]) == 0:
            continue  # it is within the one before
        while found and found[-1] == (first ^ 1 << (bits - length), length):
            first, length = found.pop()[0], length - 1  # both halves of one
        found.append((first, length))
    return tuple(kind(one) for one in found)


def port_ranges(values: Iterable[PortRange]) -> tuple[PortRange, ...]:
    """Return the same ports in as few ranges as possible, in order: as nft keeps them."""
    found: list[PortRange] = []
    for one in sorted(values):
        if found and one.first <= found[-1].last + 1:
            found[-1] = PortRange(found[-1].first, max(one.last, found[-1].last))
        else:
            found.append(one)
    return tuple(found)


def plain(value: object) -> object:
    """Return a network of one address as that address, everything else as it is."""
    if isinstance(value, ipaddress.IPv4Network | ipaddress.IPv6Network) and value.prefixlen == value.max_prefixlen:
        return value.network_address
    return value


def named_set(kind: str, type_name: str, values: tuple[Any, ...]) -> NamedSet:
    """Return a set of these values, named by them."""
    return NamedSet(f"{kind}-{digest(' '.join(map(str, values)))}", type_name, values)


#: A security group's members are the same list in many rules.
_long_networks = functools.lru_cache(maxsize=64)(networks)


def _fewest(values: AnyOf[IPNetwork]) -> tuple[IPNetwork, ...]:
    return _long_networks(values.values) if len(values.values) > _LONG else networks(values.values)


def _family_and_protocol(rule: Rule) -> str:
    """Return what is to be said of family and protocol, where no other part of the rule says it."""
    parts = []
    if rule.family and not (rule.source or rule.destination or rule.icmp_type):
        parts.append(f"meta nfproto {'ipv4' if rule.family == 4 else 'ipv6'}")
    if rule.protocol and not (rule.source_ports or rule.destination_ports or rule.icmp_type):
        parts.append(f"meta l4proto {protocols.number(rule.protocol)}")
    return " ".join(parts)


def _any(values: AnyOf[T] | None, what: str, word: Callable[[T], str]) -> str:
    if values is None:
        return ""
    words = [word(value) for value in values.values]
    return f"{what} {'!= ' if values.negated else ''}{words[0] if len(words) == 1 else '{ ' + ', '.join(words) + ' }'}"


def _bits(values: AnyOf[State] | None, what: str) -> str:
    """Return a match of bits, which takes no set."""
    if values is None:
        return ""
    return f"{what} & ({' | '.join(values.values)}) {'==' if values.negated else '!='} 0"


def _networks(values: AnyOf[IPNetwork] | None, what: str, sets: list[NamedSet]) -> str:
    if values is None:
        return ""
    found = _fewest(values)
    version = found[0].version
    field = f"{'ip' if version == 4 else 'ip6'} {what}"
    return _from_list(f"addr{version}", f"ipv{version}_addr", AnyOf(found, values.negated), field, sets)


def _ports(rule: Rule, what: str, values: AnyOf[PortRange] | None, sets: list[NamedSet]) -> str:
    if values is None:
        return ""
    found, field = port_ranges(values.values), f"{rule.protocol} {what}"
    return _from_list("port", "inet_service", AnyOf(found, values.negated), field, sets)


def _from_list(kind: str, type_name: str, values: AnyOf[Any], field: str, sets: list[NamedSet]) -> str:
    """Return a match of several values by a set of the table, which rules with the same list share.

    Sets without a name take nft and the kernel a time that grows by the square of their number in a transaction.
    """
    if len(values.values) == 1:
        return _any(values, field, lambda value: str(plain(value)))
    found = named_set(kind, type_name, values.values)
    sets.append(found)
    return f"{field} {'!= ' if values.negated else ''}@{found.name}"


def _quoted(name: str) -> str:
    return f'"{name}"'


def _action(chain: Chain, rule: Rule) -> str:
    action = rule.action
    if isinstance(action, Accept):
        return "accept"
    if isinstance(action, Drop):
        return "drop"
    if isinstance(action, Return):
        return "return"
    if isinstance(action, Jump):
        return f"jump {names.chain((chain.table, action.chain))}"
    if isinstance(action, Reject):
        if action.answer is Answer.TCP_RESET:
            return "reject with tcp reset"
        return f"reject with icmpx type {ANSWERS[action.answer]}"
    if isinstance(action, Log):
        prefix = f"${_variable(action.prefix)}" if "$" in action.prefix else action.prefix
        return f'log prefix "{prefix}"' if prefix else "log"
    if isinstance(action, SetMark):
        if action.mask == ALL_BITS:
            return f"meta mark set {action.value:#x}"
        kept = f"meta mark set meta mark & {action.mask ^ ALL_BITS:#x}"
        return f"{kept} | {action.value:#x}" if action.value else kept
    if isinstance(action, Snat | Dnat):
        word = "snat" if isinstance(action, Snat) else "dnat"
        if action.address.version == 4:
            return f"{word} ip to {action.address}{_to(action.ports)}"
        return f"{word} ip6 to " + (f"[{action.address}]{_to(action.ports)}" if action.ports else str(action.address))
    if isinstance(action, Masquerade | Redirect):
        word = "masquerade" if isinstance(action, Masquerade) else "redirect"
        return f"{word} to {_to(action.ports)}" if action.ports else word
    raise Unsupported(f"nft has no action {type(action).__name__}", capability=type(action).__name__)


def _to(ports: PortRange | None) -> str:
    return f":{ports}" if ports else ""


def _variable(prefix: str) -> str:
    return f"p{prefix.encode().hex()}"


def _is_shortened(rule: Rule) -> bool:
    """Return whether a list of the rule is written with fewer values than it has."""
    addresses, ports = (rule.source, rule.destination), (rule.source_ports, rule.destination_ports)
    return any(one and len(_fewest(one)) < len(one.values) for one in addresses) or any(
        one and len(port_ranges(one.values)) < len(one.values) for one in ports
    )


def _alternatives(rule: Rule) -> list[tuple[AnyOf[State] | None, AnyOf[State] | None]]:
    """Return what is asked of a packet's state and of its connection's translation, one for each line.

    nft asks two things, of which only one exists without a connection, and cannot ask for either in one rule.
    """
    if rule.states is None:
        return [(None, None)]
    negated = rule.states.negated
    plain_states = tuple(one for one in rule.states.values if one not in TRANSLATED)
    translated = tuple(one for one in rule.states.values if one in TRANSLATED)
    if not translated:
        return [(rule.states, None)]
    of_connection = (AnyOf(plain_states, True) if plain_states else None, AnyOf(translated, negated))
    if negated:
        loose = tuple(one for one in _WITHOUT_CONNECTION if one not in plain_states)
        found = [(AnyOf(loose), None), of_connection] if loose else [of_connection]
    else:
        found = [(AnyOf(plain_states), None), of_connection] if plain_states else [of_connection]
    if len(found) > 1 and rule.limit:
        raise Unsupported(
            f"nft cannot count these states together for one limit: {', '.join(rule.states.values)}; "
            "write a rule for those of connections and one for snat and dnat",
            capability="translated-state",
        )
    return found  # type: ignore[return-value]
