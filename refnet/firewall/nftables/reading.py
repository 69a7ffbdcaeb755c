"""Rules as ``nft -j -n -a list`` says them, read back. Nothing here starts a program.

Only what refnet writes is understood; anything else is left as nft's own words, so that nothing on the host is taken
for more, or less, than it is. The JSON is libnftables-json(5)'s.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from refnet.errors import InvalidArgument
from refnet.firewall.actions import (
    ACCEPT,
    DROP,
    RETURN,
    Action,
    Answer,
    Dnat,
    Jump,
    Log,
    Masquerade,
    Redirect,
    Reject,
    SetMark,
    Snat,
)
from refnet.firewall.model import Chain, Table
from refnet.firewall.nftables import render
from refnet.firewall.nftables.listing import Json, NotOurs, networks, port
from refnet.firewall.rules import Rule
from refnet.firewall.values import AnyOf, IcmpType, Mark, Not, Rate, State

_COMMENT = re.compile(r"refnet:([0-9a-f]{16})(?: (.*))?", re.ASCII)
#: <linux/netfilter/nf_conntrack_common.h>, <linux/netfilter/nf_tables.h> (NFT_REJECT_ICMPX_…), <linux/netfilter.h>.
_STATES = {
    1: State.INVALID,
    2: State.ESTABLISHED,
    4: State.RELATED,
    8: State.NEW,
    64: State.UNTRACKED,
}
_TRANSLATED = {16: State.SNAT, 32: State.DNAT}
_ICMPX = {0: Answer.NET_UNREACHABLE, 1: Answer.PORT_UNREACHABLE, 2: Answer.HOST_UNREACHABLE, 3: Answer.ADMIN_PROHIBITED}
_FAMILIES = {2: 4, 10: 6, "ipv4": 4, "ipv6": 6}
_NOTHING: Json = {}
#: nft(8), "LIMIT STATEMENT": what older nft leaves unsaid.
_BURST = 5
#: <net/if_arp.h>, ARPHRD_ETHER.
_ETHERNET = (1, "ether")


@dataclass(slots=True)
class Line:
    """A rule of nft's. ``text`` is its normal form, None where refnet would not have written it."""

    handle: int
    digest: str | None
    text: str | None = None
    #: What it says, with the states of translation apart.
    said: Rule | None = None
    translated: AnyOf[State] | None = None

    def rule(self) -> Rule | None:
        """Return the rule that was meant, if a rule can say all of it."""
        if self.said is None or self.translated is None:
            return self.said
        if self.said.states is not None:
            return None
        return Rule(**{**{one.name: getattr(self.said, one.name) for one in fields(Rule)}, "states": self.translated})


def line(chain: Chain, one: Json, sets: Mapping[str, tuple[Any, ...]]) -> Line:
    """Read a rule that stands in a chain; ``sets`` says what is in the table's sets."""
    match = _COMMENT.fullmatch(one.get("comment", ""))
    found = Line(one["handle"], match[1] if match else None)
    if not match:
        return found
    reader = _Reader(chain, sets)
    try:
        for part in one["expr"]:
            reader.take(part)
        rule = reader.rule(match[2])
        found.text = render.write(chain, rule, rule.states, reader.translated, [])
        found.said, found.translated = rule, reader.translated
    # Whatever nft says that refnet did not write: a value of another type, a rule that cannot be.
    except (NotOurs, InvalidArgument, KeyError, TypeError, ValueError, AttributeError):
        pass
    return found


class _Reader:
    """Collects what the expressions of a rule say."""

    def __init__(self, chain: Chain, sets: Mapping[str, tuple[Any, ...]]) -> None:
        self._chain = chain
        self._sets = sets
        self._said: dict[str, Any] = {}
        self._action: Action | None = None
        self._counted = False
        self._from_ethernet = False
        self.translated: AnyOf[State] | None = None

    def take(self, part: Json) -> None:
        """Understand one expression, or raise :class:`NotOurs`."""
        ((kind, value),) = part.items()
        is_action = kind not in ("match", "limit", "counter")
        if self._action is not None or is_action is not self._counted:
            raise NotOurs  # refnet writes what is matched, the counter, and one action
        if kind == "match":
            self._match(value)
        elif kind == "limit":
            if set(value) - {"rate", "burst", "per"}:
                raise NotOurs
            self._say("limit", Rate(value["rate"], value["per"], value.get("burst", _BURST)))
        elif kind == "counter":
            if not isinstance(value, dict):
                raise NotOurs
            self._counted = True
        else:
            self._action = self._read_action(kind, value)

    def rule(self, comment: str | None) -> Rule:
        """Return the rule, without the states of translation."""
        if self._action is None or (self._from_ethernet and "source_mac" not in self._said):
            raise NotOurs
        return Rule(self._action, **self._said, comment=comment)

    def _say(self, name: str, value: Any) -> None:
        if name in self._said and not (name == "protocol" and self._said[name] == value):
            raise NotOurs
        self._said[name] = value

    def _match(self, said: Json) -> None:
        left, right, operator = said["left"], said["right"], said["op"]
        if "meta" in left:
            self._meta(left["meta"]["key"], right, operator)
        elif "ct" in left:
            self._connection(left["ct"], right, operator)
        elif "payload" in left:
            self._payload(left["payload"]["protocol"], left["payload"]["field"], right, operator)
        elif "&" in left:
            self._masked(left["&"][0], left["&"][1], right, operator)
        else:
            raise NotOurs

    def _meta(self, key: str, right: Any, operator: str) -> None:
        if key in ("iifname", "oifname"):
            self._say("in_interface" if key == "iifname" else "out_interface", _any(_list(right), operator))
        elif operator != "==":
            raise NotOurs
        elif key == "nfproto":
            self._say("family", _FAMILIES[right])
        elif key == "l4proto":
            self._say("protocol", right)
        elif key == "iiftype" and right in _ETHERNET:
            self._from_ethernet = True  # before a MAC address: newer nft leaves it unsaid
        elif key == "mark" and isinstance(right, int):
            self._say("mark", Mark(right))
        elif key == "mark":
            prefix = right["prefix"]
            self._say("mark", Mark(prefix["addr"], render.ALL_BITS ^ (render.ALL_BITS >> prefix["len"])))
        else:
            raise NotOurs

    def _connection(self, said: Json, right: Any, operator: str) -> None:
        if set(said) != {"key"}:
            raise NotOurs
        values = _list(right)
        if said["key"] == "state":
            states = [_STATES[one] if isinstance(one, int) else State(one) for one in values]
            # "in" and "!" are nft's words for bits of which one, or none, is set.
            self._say("states", _any(states, {"in": "==", "!": "!="}.get(operator, operator)))
        elif said["key"] == "status" and operator in ("in", "!"):
            found = [_TRANSLATED[one] if isinstance(one, int) else State(one) for one in values]
            self._say_translated(found, operator == "!")
        else:
            raise NotOurs

    def _say_translated(self, states: list[State], negated: bool) -> None:
        if self.translated is not None or not set(states) <= set(render.TRANSLATED):
            raise NotOurs
        self.translated = AnyOf(tuple(sorted(states)), negated)

    def _payload(self, protocol: str, name: str, right: Any, operator: str) -> None:
        if (protocol, name) == ("ether", "saddr"):
            self._say("source_mac", _any(_list(right), operator))
        elif protocol in ("ip", "ip6") and name in ("saddr", "daddr"):
            found = self._resolved(right) or [network for one in _list(right) for network in networks(one)]
            self._say("source" if name == "saddr" else "destination", _any(found, operator))
        elif name in ("sport", "dport"):
            self._say("protocol", protocol)
            ports = self._resolved(right) or [port(one) for one in _list(right)]
            self._say("source_ports" if name == "sport" else "destination_ports", _any(ports, operator))
        elif protocol in ("icmp", "icmpv6") and operator == "==":
            self._say("protocol", protocol)
            self._icmp(name, right)
        else:
            raise NotOurs

    def _icmp(self, name: str, right: int) -> None:
        if name == "type":
            self._say("icmp_type", IcmpType(right))
        elif name == "code" and "icmp_type" in self._said and self._said["icmp_type"].code is None:
            self._said["icmp_type"] = IcmpType(self._said["icmp_type"].type, right)
        else:
            raise NotOurs

    def _masked(self, left: Json, mask: Any, right: Any, operator: str) -> None:
        if left == {"meta": {"key": "mark"}} and operator == "==":
            self._say("mark", Mark(right, mask))
        elif left == {"ct": {"key": "state"}} and right == 0:
            self._say("states", _any(_of_bits(mask, _STATES), {"==": "!=", "!=": "=="}[operator]))
        elif left == {"ct": {"key": "status"}} and right == 0 and operator in ("==", "!="):
            self._say_translated(_of_bits(mask, _TRANSLATED), operator == "==")
        else:
            raise NotOurs

    def _resolved(self, right: Any) -> list[Any] | None:
        if isinstance(right, str) and right.startswith("@"):
            return list(self._sets[right[1:]])
        return None

    def _read_action(self, kind: str, value: Any) -> Action:
        simple: dict[str, Action] = {"accept": ACCEPT, "drop": DROP, "return": RETURN}
        if kind in simple:
            return simple[kind]
        said: Json = value or _NOTHING
        known = {
            "jump": ("target",),
            "log": ("prefix",),
            "reject": ("type", "expr"),
            "snat": ("family", "addr", "port"),
            "dnat": ("family", "addr", "port"),
            "masquerade": ("port",),
            "redirect": ("port",),
            "mangle": ("key", "value"),
        }
        if kind not in known or set(said) - set(known[kind]):
            raise NotOurs
        ports = port(said["port"]) if "port" in said else None
        if kind == "jump":
            return Jump(chain_of(said["target"], self._chain.table))
        if kind == "log":
            return Log(said.get("prefix", ""))
        if kind == "reject":
            return Reject(_answer(said))
        if kind == "masquerade":
            return Masquerade(ports)
        if kind == "redirect":
            if ports is None:
                raise NotOurs
            return Redirect(ports)
        if kind == "mangle":
            return _set_mark(said["key"], said["value"])
        return (Snat if kind == "snat" else Dnat)(said["addr"], ports)


def chain_of(name: str, table: Table) -> str:
    """Return what a chain of nft's is called in the model.

    Raises:
        NotOurs: it is none of this table of the model.
    """
    where, _, chain = name.partition(".")
    if where != table.value or not chain:
        raise NotOurs
    return chain


def _answer(said: Json) -> Answer:
    if said.get("type") == "tcp reset":
        return Answer.TCP_RESET
    if said.get("type", "icmpx") != "icmpx":
        raise NotOurs
    return _ICMPX[said.get("expr", 1)]


def _set_mark(key: Any, value: Any) -> SetMark:
    mark = {"meta": {"key": "mark"}}
    if key != mark:
        raise NotOurs
    if isinstance(value, int):
        return SetMark(value)
    bits = 0
    if "|" in value:
        value, bits = value["|"]
    if value == mark:
        kept = render.ALL_BITS
    else:
        left, kept = value["&"]
        if left != mark:
            raise NotOurs
    # The kernel keeps (mark & kept) ^ bits, and nft says kept | bits for kept.
    return SetMark(bits, (kept ^ render.ALL_BITS) | bits)


def _of_bits(mask: Any, states: Mapping[int, State]) -> list[State]:
    """Return the states that are the bits of a mask."""
    bits = _number(mask)
    if bits & ~sum(states):
        raise NotOurs
    return [state for bit, state in states.items() if bits & bit]


def _number(mask: Any) -> int:
    """Return a number that nft says as itself, as its bits, or, if it is older, as ``{"|": [{"|": [1, 8]}, 64]}``."""
    if isinstance(mask, int):
        return mask
    parts = mask["|"] if isinstance(mask, dict) else mask
    if not isinstance(parts, list):
        raise NotOurs
    return sum(map(_number, parts))


def _list(right: Any) -> list[Any]:
    if isinstance(right, dict) and "set" in right:
        return list(right["set"])
    return right if isinstance(right, list) else [right]


def _any(values: list[Any], operator: str) -> Any:
    if operator not in ("==", "!="):
        raise NotOurs
    return Not(*values) if operator == "!=" else values
