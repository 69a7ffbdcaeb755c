"""A rule as the lines that iptables-restore takes, in iptables-save's own order and spelling.

One line of iptables says less than a rule: one source network, one device, 15 ports. So a rule becomes several lines,
of which no packet matches two; and where that is not enough, lines that lead to an auxiliary chain.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from ipaddress import collapse_addresses
from itertools import product
from math import prod
from typing import NamedTuple

from refnet.errors import Unsupported
from refnet.firewall import protocols
from refnet.firewall.actions import (
    Accept,
    Action,
    Answer,
    ChecksumFill,
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
from refnet.firewall.rules import Rule
from refnet.firewall.values import AnyOf, IcmpType, Mark, PortRange, Rate, State
from refnet.names import IPNetwork

#: iptables-restore takes 255 words a line, and the kernel's nft variant 128 expressions a rule: so many negated values
#: are said in one line, the others in an auxiliary chain.
_NEGATED_IN_LINE = 20
#: iptables-extensions(8), multiport: "Up to 15 ports can be specified. A port range counts as two ports."
_MULTIPORT = 15
#: More lines than that for one rule are refused: they would be tried one after the other for each packet.
MAX_LINES = 4096

#: iptables(8) knows these by itself; other names are those of the host's /etc/protocols, so the number is written.
_BY_NAME = frozenset(("tcp", "udp", "udplite", "icmp", "ipv6-icmp", "esp", "ah", "sctp", "dccp"))
#: The protocols with a match of their own for one port that every kernel has; multiport is for all.
_OWN_PORT_MATCH = ("tcp", "udp")
#: Only these can have their ports changed (iptables-extensions(8), DNAT).
_PORT_CHANGE = ("tcp", "udp", "sctp", "dccp")
_PLAIN = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_STATES = (
    State.INVALID,
    State.NEW,
    State.RELATED,
    State.ESTABLISHED,
    State.UNTRACKED,
    State.SNAT,
    State.DNAT,
)
_STATE_WORDS = {state: state.value.upper() for state in _STATES}
_UNITS = {"second": "sec", "minute": "min", "hour": "hour", "day": "day"}
#: Of a second, in which iptables counts the time for a packet (linux/netfilter/xt_limit.h, XT_LIMIT_SCALE).
_LIMIT_SCALE = 10_000
#: A longer time than that the kernel may cut to whole seconds (net/netfilter/xt_limit.c, user2credits: what times its
#: credits a second is more than 32 bits; they are 38,400 at most, at HZ 300).
_LONG_PERIOD = 0xFFFFFFFF // 38_400
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
#: What iptables calls the answers of REJECT, in each family (iptables-extensions(8)).
ANSWERS = {
    4: {
        Answer.PORT_UNREACHABLE: "icmp-port-unreachable",
        Answer.HOST_UNREACHABLE: "icmp-host-unreachable",
        Answer.NET_UNREACHABLE: "icmp-net-unreachable",
        Answer.ADMIN_PROHIBITED: "icmp-admin-prohibited",
        Answer.TCP_RESET: "tcp-reset",
    },
    6: {
        Answer.PORT_UNREACHABLE: "icmp6-port-unreachable",
        Answer.HOST_UNREACHABLE: "icmp6-addr-unreachable",
        Answer.NET_UNREACHABLE: "icmp6-no-route",
        Answer.ADMIN_PROHIBITED: "icmp6-adm-prohibited",
        Answer.TCP_RESET: "tcp-reset",
    },
}


class Written(NamedTuple):
    """A rule as text: what comes behind ``-A chain`` in the input of iptables-restore, a line each, in order.

    ``lines`` belong into the rule's chain. No packet matches two of them, so what the rule has matched is the sum of
    their counters. None at all: the rule is of the other family, or no packet can match it.

    ``auxiliary`` are the lines of a chain of its own, which ``lines`` jump to, and which nothing else may jump to;
    what the rule has matched is then the counter of its last line. Empty: none is needed.
    """

    lines: tuple[str, ...]
    auxiliary: tuple[str, ...] = ()


NOTHING = Written(())


def write(
    rule: Rule,
    family: int,
    *,
    jump: Callable[[str], str] = str,
    auxiliary: Callable[[], str] | None = None,
) -> Written:
    """Return a rule as iptables's text for a family, 4 or 6.

    ``jump`` gives the name on the host of a chain that the rule jumps to. ``auxiliary`` gives the name of the
    auxiliary chain; it is called once, and only when one is needed: for a negated list of devices, a long negated
    list, and a limit on a rule that takes several lines.

    ``parse(line, family)`` of a rule that takes one line gives the rule back, with its family set, and without what
    says nothing (``0.0.0.0/0``, ports 0 to 65535).

    Raises:
        Unsupported: iptables cannot say it.
    """
    if rule.family is not None and rule.family != family:
        return NOTHING
    choices: list[Sequence[str]] = []
    tail: list[str] = []
    returns: list[str] = []
    protocol = rule.protocol
    if (rule.source and not _networks(rule.source, "-s", "--src-range", choices, tail, returns)) or (
        rule.destination and not _networks(rule.destination, "-d", "--dst-range", choices, tail, returns)
    ):
        return NOTHING
    if rule.in_interface:
        _devices(rule.in_interface, "-i", choices, returns)
    if rule.out_interface:
        _devices(rule.out_interface, "-o", choices, returns)
    of_protocol = ""
    if protocol:
        of_protocol = f"-p {protocol if protocol in _BY_NAME else protocols.number(protocol)} "
        choices.append((of_protocol[:-1],))
        if rule.icmp_type:
            choices.append((_icmp(rule.icmp_type, family),))
        elif (rule.source_ports or rule.destination_ports) and not _ports(rule, protocol, choices):
            return NOTHING
    if rule.source_mac:
        _macs(rule.source_mac, choices, returns)
    if rule.states:
        choices.append((_states(rule.states),))
    if rule.mark:
        choices.append((_mark(rule.mark),))
    if tail:
        choices.append((" ".join(tail),))
    comment = f"-m comment --comment {_quoted(rule.comment)} " if rule.comment else ""
    limit = _limit(rule.limit) if rule.limit else ""
    action = _action(rule, family, jump)
    count = prod(map(len, choices))
    if count > MAX_LINES:
        raise Unsupported(
            f"the rule's lists would take {count} lines of iptables, and at most {MAX_LINES} are written: {rule!r}",
            capability="list-product",
        )
    if returns or (limit and count > 1):
        if isinstance(rule.action, Return):
            raise Unsupported(
                "iptables cannot return by a negated list of devices, a long negated list, or a limit over a list: "
                f"write it the other way round, or as several rules: {rule!r}",
                capability="auxiliary-return",
            )
        if auxiliary is None:
            raise Unsupported(f"this rule needs an auxiliary chain: {rule!r}", capability="auxiliary-chain")
        ending = f"{comment}-j {auxiliary()}"
        inner = (*(f"{one} -j RETURN" for one in returns), f"{of_protocol}{limit}{action}")
    else:
        ending = f"{limit}{comment}{action}"
        inner = ()
    if count == 1:  # nearly every rule
        return Written((" ".join([one[0] for one in choices] + [ending]),), inner)
    return Written(tuple(" ".join((*one, ending)) for one in product(*choices)), inner)


# -- what a rule matches: each adds to the choices, of which a line takes one of each -------------------------------


def _networks(
    wanted: AnyOf[IPNetwork],
    option: str,
    range_option: str,
    choices: list[Sequence[str]],
    tail: list[str],
    returns: list[str],
) -> bool:
    """Say a source or destination; return False if no packet has it."""
    values = wanted.values
    if any(one.prefixlen == 0 for one in values):
        return not wanted.negated
    if not wanted.negated:
        if len(values) == 1:
            choices.append((f"{option} {values[0]}",))
        else:
            choices.append([f"{option} {one}" for one in collapse_addresses(values)])  # type: ignore[type-var]
        return True
    choices.append((f"! {option} {values[0]}",))
    for one in values[1:_NEGATED_IN_LINE]:
        tail.append(f"-m iprange ! {range_option} {one[0]}-{one[-1]}")
    returns += [f"{option} {one}" for one in values[_NEGATED_IN_LINE:]]
    return True


def _devices(wanted: AnyOf[str], option: str, choices: list[Sequence[str]], returns: list[str]) -> None:
    if not wanted.negated:
        choices.append([f"{option} {one}" for one in wanted.values])
        return
    choices.append((f"! {option} {wanted.values[0]}",))
    returns += [f"{option} {one}" for one in wanted.values[1:]]


def _macs(wanted: AnyOf[str], choices: list[Sequence[str]], returns: list[str]) -> None:
    if not wanted.negated:
        choices.append([f"-m mac --mac-source {one}" for one in wanted.values])
        return
    choices.append([" ".join(f"-m mac ! --mac-source {one}" for one in wanted.values[:_NEGATED_IN_LINE])])
    returns += [f"-m mac --mac-source {one}" for one in wanted.values[_NEGATED_IN_LINE:]]


def _ports(rule: Rule, protocol: str, choices: list[Sequence[str]]) -> bool:
    """Say source and destination ports; return False if no packet has them."""
    own: list[str] = []
    multiple: list[Sequence[str]] = []
    for wanted, word in ((rule.source_ports, "sport"), (rule.destination_ports, "dport")):
        if not wanted:
            continue
        if any(one == (0, 65535) for one in wanted.values):
            if wanted.negated:
                return False
            continue
        sign = "! " if wanted.negated else ""
        if len(wanted.values) == 1 and protocol in _OWN_PORT_MATCH:
            own.append(f"{sign}--{word} {_port(wanted.values[0])}")
            continue
        said = [f"-m multiport {sign}--{word}s {one}" for one in _batches(wanted)]
        multiple.append((" ".join(said),) if wanted.negated else said)
    if own:
        choices.append((f"-m {protocol} {' '.join(own)}",))
    choices += multiple
    return True


def _batches(wanted: AnyOf[PortRange]) -> list[str]:
    """Return ports as multiport takes them, in as many lists as it takes; no port is in two of them."""
    slots = sum(1 if one.first == one.last else 2 for one in wanted.values)
    if slots <= _MULTIPORT:
        return [",".join(map(_port, wanted.values))]
    batches: list[list[str]] = []
    room = 0
    for one in _joined(wanted.values):
        takes = 1 if one.first == one.last else 2
        if takes > room:
            batches.append([])
            room = _MULTIPORT
        batches[-1].append(_port(one))
        room -= takes
    return [",".join(batch) for batch in batches]


def _joined(ranges: Sequence[PortRange]) -> list[PortRange]:
    """Return sorted ranges without overlaps."""
    found: list[PortRange] = []
    for one in ranges:
        if found and one.first <= found[-1].last + 1:
            found[-1] = PortRange(found[-1].first, max(found[-1].last, one.last))
        else:
            found.append(one)
    return found


def _port(ports: PortRange, between: str = ":") -> str:
    return str(ports.first) if ports.first == ports.last else f"{ports.first}{between}{ports.last}"


def _icmp(wanted: IcmpType, family: int) -> str:
    if family == 4 and wanted.type == 255:
        raise Unsupported("iptables takes ICMP type 255 for any type", capability="icmp-type-255")
    return f"-m icmp --icmp-type {wanted}" if family == 4 else f"-m icmp6 --icmpv6-type {wanted}"


def _states(wanted: AnyOf[State]) -> str:
    words = ",".join([_STATE_WORDS[one] for one in _STATES if one in wanted.values])
    return f"-m conntrack {'! ' if wanted.negated else ''}--ctstate {words}"


def _mark(wanted: Mark) -> str:
    return f"-m mark --mark {wanted.value:#x}" + ("" if wanted.mask == 0xFFFFFFFF else f"/{wanted.mask:#x}")


def _limit(wanted: Rate) -> str:
    packets = _packets(wanted)
    # Linux, net/netfilter/xt_limit.c: the credit for a burst is counted in 32 bits, sized for one day.
    if _SECONDS[wanted.unit] * wanted.burst > 86400 * packets:
        raise Unsupported(
            f"iptables cannot limit to {wanted.packets} a {wanted.unit} with a burst of {wanted.burst}: a burst is at "
            "most what comes together in a day",
            capability="long-burst",
        )
    burst = "" if wanted.burst == 5 else f"--limit-burst {wanted.burst} "
    return f"-m limit --limit {packets}/{_UNITS[wanted.unit]} {burst}"


def _packets(wanted: Rate) -> int:
    """Return how many packets a unit to ask of iptables: as many as wanted, or what it has next below.

    It keeps a rate as the time for a packet, as a whole number (iptables 1.8, extensions/libxt_limit.c, parse_rate):
    of 6000 a second it would make 10000.
    """
    seconds = _SECONDS[wanted.unit]
    scale = seconds * _LIMIT_SCALE
    period = scale // wanted.packets
    if period > _LONG_PERIOD:
        scale, period = seconds, seconds // wanted.packets
    if scale // period <= wanted.packets:
        return wanted.packets
    return scale // -(-scale // wanted.packets)


def _quoted(text: str) -> str:
    """Return a text as iptables-save writes it: in quotes if it is more than one plain word."""
    return text if _PLAIN.fullmatch(text) else f'"{text}"'


# -- what it does -----------------------------------------------------------------------------------


def _action(rule: Rule, family: int, jump: Callable[[str], str]) -> str:
    action = rule.action
    fixed = _FIXED.get(type(action))
    if fixed:
        return fixed
    if isinstance(action, Jump):
        return f"-j {jump(action.chain)}"
    if isinstance(action, Reject):
        return f"-j REJECT --reject-with {ANSWERS[family][action.answer]}"
    if isinstance(action, Log):
        return f"-j LOG --log-prefix {_quoted(action.prefix)}" if action.prefix else "-j LOG"
    if isinstance(action, SetMark):
        return f"-j MARK --set-xmark {action.value:#x}/{action.mask:#x}"
    assert isinstance(action, Snat | Dnat | Redirect | Masquerade)
    return _translation(rule, action)


def _translation(rule: Rule, action: Snat | Dnat | Redirect | Masquerade) -> str:
    ports = "" if action.ports is None else _port(action.ports, "-")
    if ports and rule.protocol not in _PORT_CHANGE:
        raise Unsupported(
            f"iptables changes the ports of {', '.join(_PORT_CHANGE)}, not of {rule.protocol}",
            capability="port-change",
        )
    if isinstance(action, Redirect):
        return f"-j REDIRECT --to-ports {ports}"
    if isinstance(action, Masquerade):
        return f"-j MASQUERADE --to-ports {ports}" if ports else "-j MASQUERADE"
    address = str(action.address)
    if ports:
        address = f"{address}:{ports}" if action.address.version == 4 else f"[{address}]:{ports}"
    return f"-j SNAT --to-source {address}" if isinstance(action, Snat) else f"-j DNAT --to-destination {address}"


_FIXED: dict[type[Action], str] = {
    Accept: "-j ACCEPT",
    Drop: "-j DROP",
    Return: "-j RETURN",
    ChecksumFill: "-j CHECKSUM --checksum-fill",
}
