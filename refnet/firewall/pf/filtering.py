"""One rule of the filter as pf has to be told it, at each of the places where it is asked.

Linux asks one chain about a packet on its way through; pf asks when it comes in and when it goes out. The places:

``i``  input: packets that come in, to this host.
``o``  output: packets that go out, from this host.
``f``  forward, when a packet comes in. Its addresses are those that Linux's rules see: translated as destination, not
       yet as source. The device that it will leave by is not known yet: a rule that asks for that one stops the
       packet's way through these rules (``STOPPED``).
``g``  forward, when it goes out, for what was stopped: from the top, and with a copy of the rules for each device
       that rules ask packets to have come by, as pf cannot ask for that here.

What is known of a packet is in its tag, of which it has one (pf.conf(5), ``tag``).
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

from refnet.errors import Unsupported
from refnet.firewall.actions import DROP, Accept, Answer, Drop, Jump, Log, Reject, Return
from refnet.firewall.manager import Capability
from refnet.firewall.pf import descriptions
from refnet.firewall.pf.matching import KNOWN, NEVER, Match, invalid, matches, quoted, several_are_excluded, states
from refnet.firewall.rules import Rule
from refnet.firewall.values import AnyOf, State

#: To this host, forwarded, from this host; let pass by forward; stopped on the way through it; none of these.
TO_HOST, FORWARDED, FROM_HOST = "refnet:i", "refnet:f", "refnet:o"
ACCEPTED, STOPPED, NONE = "refnet:a", "refnet:s", "refnet:z"
#: By a device that the rule under way is not about all but.
_MEANT = "refnet:n"

#: ICMP's and ICMPv6's codes of "destination unreachable" (RFC 792, RFC 1812, RFC 4443).
_CODES = {
    Answer.PORT_UNREACHABLE: (3, 4),
    Answer.HOST_UNREACHABLE: (1, 3),
    Answer.NET_UNREACHABLE: (0, 0),
    Answer.ADMIN_PROHIBITED: (13, 1),
}


class Place(NamedTuple):
    """Where rules are asked: see above; ``came_by`` is for ``g``: the device's name, or "" for any that has no copy.

    ``stateful`` says that the model has rules by connection state.
    """

    letter: str
    stateful: bool
    came_by: str | None = None

    @property
    def prefix(self) -> str:
        """What the names of anchors for this place begin with."""
        return f"g-{self.came_by}" if self.letter == "g" else self.letter

    @property
    def direction(self) -> str:
        """Which way packets go here, in pf's words."""
        return "in" if self.letter in "if" else "out"


@dataclass(frozen=True, slots=True)
class Way:
    """Where a rule stands: its place, the tag that RETURN gives here, and the tag with which it is not asked."""

    place: Place
    returned: str
    unless: str


def digest(text: str) -> str:
    """Return a short name for a text, which no two texts will share: of 20,000, by one chance in a million."""
    return blake2b(text.encode(), digest_size=6).hexdigest()


def check(rule: Rule) -> None:
    """Refuse a rule that pf cannot express at any place.

    Raises:
        Unsupported: with the reason.
    """
    asked = states(rule)
    matches(rule)
    if asked is None:
        return
    if State.UNTRACKED in asked:
        raise Unsupported("pf tracks every connection that it keeps state of", capability=Capability.CONNECTION_STATE)
    if asked & KNOWN and not isinstance(rule.action, Accept):
        raise Unsupported(
            "pf lets packets of a connection that it knows pass before it asks any rule: only ACCEPT can be said of "
            f"{' and '.join(sorted(asked & KNOWN))}",
            capability=Capability.CONNECTION_STATE,
        )


def stops(rule: Rule) -> bool:
    """Whether it is only known when a packet goes out if the rule matches it."""
    asked = states(rule)
    return rule.out_interface is not None and not (asked is not None and asked <= KNOWN)


def here(rule: Rule, place: Place) -> tuple[Rule, AnyOf[str] | None, bool] | None:
    """Return how a rule is asked at a place: the rule, the device that it is about, and whether it stops a packet.

    None: no packet at this place can match it.
    """
    came, leaves = rule.in_interface, rule.out_interface
    if place.letter in "if":
        if leaves is not None and place.letter == "i":
            return (rule, came, False) if leaves.negated else None
        return rule, came, leaves is not None
    if came is not None:
        if place.letter == "o" and not came.negated:
            return None
        if place.letter == "g" and (place.came_by in came.values) is came.negated:
            return None
    return rule, leaves, False


def lines(rule: Rule, way: Way, target: str | None, label: str) -> list[str]:
    """Return the lines of a rule where it stands.

    ``target`` is the anchor that it jumps to, ``label`` says which rule it is.

    A rule that matches nothing here, or only what pf lets pass by itself, is stored where no packet meets it.
    """
    found = here(rule, way.place)
    asked = states(rule)
    if found is None or (asked is not None and asked <= KNOWN):
        if way.place.letter == "g":
            return []  # they are stored for the other place of hook forward
        return _labelled([f"match on {quoted(NEVER)}"], rule, label)
    asked_rule, device, stops = found
    behind = f"! tagged {quoted(way.unless)}" if way.unless else ""
    asked_new = asked is not None and (State.INVALID not in asked or State.NEW in asked)
    excluded = device.values if several_are_excluded(device) and device is not None else ()
    said = matches if asked is None or asked_new else invalid
    conditions = said(asked_rule, None if excluded else device)
    before: list[str] = []
    if excluded:
        # pf can say "not by this device" of one in a rule: those that are not meant are told apart by their tag.
        direction = way.place.direction
        before = [f'match {direction} tagged "{_MEANT}" tag "{NONE}"']
        before += [one.line(f"match {direction}", _joined(behind, f'tag "{_MEANT}"')) for one in conditions]
        before += [f'match {direction} on {quoted(name)} tagged "{_MEANT}" tag "{NONE}"' for name in excluded]
        conditions, behind = matches(Rule(DROP, family=rule.family, protocol=rule.protocol)), f'tagged "{_MEANT}"'
    if stops:
        # Whether it matches is seen when the packet goes out, and counted there.
        before += [one.line("match in", _joined(behind, f"tag {quoted(STOPPED)}")) for one in conditions]
        return before + _labelled([f"match on {quoted(NEVER)}"], rule, label)
    return before + _labelled(_acting(rule, conditions, way, behind, target, asked_new=asked_new), rule, label)


def acting(rule: Rule, place: Place) -> list[str]:
    """Return the lines of a rule that asks for nothing but protocol and device, at a place where it decides."""
    return _acting(rule, matches(rule, rule.out_interface), Way(place, "", ""), "", None, asked_new=False)


def _acting(
    rule: Rule, conditions: list[Match], way: Way, behind: str, target: str | None, *, asked_new: bool
) -> list[str]:
    direction = way.place.direction
    match rule.action:
        case Accept():
            tag = f"tag {quoted(ACCEPTED)}" if way.place.letter in "fg" else ""
            is_invalid = rule.states is not None and not asked_new
            return [
                one.line(f"pass {direction} quick", _joined(behind, keeping, "allow-opts", tag))
                for one in conditions
                for keeping in (["no state"] if is_invalid else keepings(one, way.place.stateful, asked_new))
            ]
        case Drop():
            return [one.line(f"block drop {direction} quick", behind) for one in conditions]
        case Reject(answer):
            return [one.line(f"block {_answer(answer)} {direction} quick", behind) for one in conditions]
        case Return():
            return [
                one.line(f"match {direction}", _joined(behind, f"tag {quoted(way.returned)}")) for one in conditions
            ]
        case Log():
            return [one.line(f"match {direction} log", behind) for one in conditions]
        case Jump():
            # A nested anchor's own rule does not count what it matches: the line before does.
            return [
                line
                for one in conditions
                for line in (
                    one.line(f"match {direction}", behind),
                    one.line(f"anchor {quoted('../' + (target or ''))} {direction}", behind),
                )
            ]
    raise Unsupported(f"pf has no {type(rule.action).__name__} in table filter", capability=Capability.MARK)


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _answer(answer: Answer) -> str:
    if answer is Answer.TCP_RESET:
        return "return-rst"
    four, six = _CODES[answer]
    return f"return-icmp({four}, {six})"


def _may_be_tcp(one: Match) -> bool:
    words = one.hosts.split()
    return "proto" not in words or words[words.index("proto") + 1] == "6"


def keepings(one: Match, stateful: bool, only_new: bool) -> list[str]:
    """Return how what is let pass is remembered: a line each.

    Without rules by connection state nothing is: each packet is judged by itself, as on Linux. With them, a segment
    that starts a TCP connection is followed closely, one in its middle loosely: nobody knows its window scale.
    """
    if not stateful:
        return ["no state"]
    if not _may_be_tcp(one):
        return ["keep state"]
    return ["flags S/SA keep state"] if only_new else ["flags S/SA keep state", "flags any keep state (sloppy)"]


def _labelled(written: list[str], rule: Rule, label: str) -> list[str]:
    words = descriptions.labels(descriptions.described(rule), len(written))
    return [
        line
        if line.startswith("anchor")
        else " ".join([line, f"label {quoted(label)}", *(f"label {quoted(piece)}" for piece in pieces)])
        for line, pieces in zip(written, words, strict=True)
    ]
