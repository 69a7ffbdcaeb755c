"""The whole model as anchors of pf: what stands in which anchor, and in which order they are asked.

Everything of an owner is under the anchor ``refnet/<owner>``. That one, the *entrance*, tells packets apart and sends
them to the anchors of the hooks (``i``, ``o``, ``f``, ``g-…``), which call those of the chains. All of them are its
direct children, so that the entrance can be loaded together with just those that have changed, as one transaction
(pfctl loads what stands in braces in it, and leaves what does not).

Nothing here starts a program.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import dropwhile

from refnet.errors import Unsupported
from refnet.firewall.actions import Accept, Drop, Jump, Reject, Return
from refnet.firewall.manager import Capability
from refnet.firewall.model import Chain, Hook, Key, Model, Table
from refnet.firewall.pf import descriptions, filtering
from refnet.firewall.pf.filtering import (
    ACCEPTED,
    FORWARDED,
    FROM_HOST,
    NONE,
    STOPPED,
    TO_HOST,
    Place,
    Way,
    digest,
)
from refnet.firewall.pf.matching import NEVER, Match, matches, quoted, several_are_excluded
from refnet.firewall.pf.translating import Translation
from refnet.firewall.rules import Rule
from refnet.firewall.values import AnyOf

#: Rules in one anchor, on average, from which on a chain is divided: what is loaded and read for one rule more.
_PIECE = 64
#: How many anchors pf goes down into each other from the entrance's hooks on (sys/netpfil/pf/pf.c, PF_ANCHOR_STACKSIZE,
#: of which "refnet/*" and the hook take two). One that is deeper it passes over, and lets what it would stop pass.
_DEEPEST = 30
#: Where packets to this host go. Multicast is not forwarded without a daemon that does so.
_HERE = (
    "to (self)",
    "to (self:broadcast)",
    "inet to 255.255.255.255",
    "inet to 224.0.0.0/4",
    "inet6 to ff00::/8",
    "inet6 to fe80::/10",
)
_LETTERS = {Hook.INPUT: "i", Hook.OUTPUT: "o", Hook.FORWARD: "f"}


class Written:
    """A rule of a chain with how it is written at each place, which is computed once."""

    __slots__ = ("_lines", "begins", "id", "rule")

    def __init__(self, rule: Rule, chain: Chain) -> None:
        """Name the rule; nothing is written yet."""
        self.rule = rule
        self.id = digest(f"{chain.table}/{chain.name}/{descriptions.described(rule)}")
        #: Whether a new piece of a long chain begins with it: decided by the rule alone, so that one rule more or less
        #: changes one piece.
        self.begins = int(self.id, 16) % _PIECE == 0
        self._lines: dict[tuple[Way, str | None], list[str]] = {}

    def lines(self, way: Way, target: str | None) -> list[str]:
        """Return its lines where it stands."""
        known = self._lines.get((way, target))
        if known is None:
            known = self._lines[way, target] = filtering.lines(self.rule, way, target, f"refnet {self.id}")
        return known


@dataclass(slots=True)
class Layout:
    """What is to stand: the entrance's lines for translation and for the filter, and the lines of each other anchor."""

    translation: list[str] = field(default_factory=list)
    #: The rule of each line of the translation, nat before rdr, as pfctl lists them.
    translating: list[str] = field(default_factory=list)
    entrance: list[str] = field(default_factory=list)
    anchors: dict[str, list[str]] = field(default_factory=dict)
    #: The anchors that hold rules of each chain; "" is the entrance.
    of_chain: dict[Key, list[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.translation or self.entrance or self.anchors)

    def digests(self) -> dict[str, str]:
        """Return for each anchor, and the entrance (""), a digest of what is in it."""
        found = {name: digest("\n".join(lines)) for name, lines in self.anchors.items()}
        found[""] = digest("\n".join([*self.translation, "", *found, "", *self.entrance]))
        return found


def laid_out(owner: str, model: Model, devices: Iterable[str] = (), *, remembers: bool = True) -> Layout:
    """Return how a model stands in pf; ``devices`` are those of this host that have addresses of their own.

    ``remembers`` says whether state may be kept of what no rule decides: not where a rule of others before would stop
    it, as it would have to be let pass for that.

    Raises:
        Unsupported: chains are put together in a way that pf has no means for.
    """
    layout = Layout()
    chains = list(model.chains.values())
    _see_that_it_is_not_too_deep(model, chains)
    _Filter(owner, model, layout, remembers=remembers).write([one for one in chains if one.table is Table.FILTER])
    translated = [one for one in chains if one.table is Table.NAT]
    if translated:
        Translation(model, tuple(devices)).write(translated, layout.translation, layout.translating)
    _describe(layout, [one for one in chains if one.table is not Table.FILTER])
    for one in chains:
        layout.of_chain.setdefault(one.key, [])
    return layout


def _see_that_it_is_not_too_deep(model: Model, chains: list[Chain]) -> None:
    found: dict[Key, int] = {}

    def depth(chain: Chain, above: int) -> int:
        """Return how many anchors there are from a chain on down."""
        here = 2 if len(chain) > _PIECE else 1
        if above + found.get(chain.key, here) > _DEEPEST:
            raise Unsupported(
                f"pf does not get as deep as chain {chain.name} leads: jump less often on the way there (pf goes down "
                f"{_DEEPEST} anchors; a chain takes one, and one of more than {_PIECE} rules two)",
                capability=Capability.FILTER,
            )
        if chain.key not in found:
            below = [model.chain(chain.table, name) for name in chain.jumps]
            found[chain.key] = here + max((depth(one, above + here) for one in below), default=0)
        return found[chain.key]

    for chain in chains:
        if chain.hook is not None:
            depth(chain, 0)


def _describe(layout: Layout, chains: list[Chain]) -> None:
    """Keep what rules are in words that have no labels in pf: those that translate, and those that do nothing."""
    for chain in chains:
        name = f"{'n' if chain.table is Table.NAT else 'm'}~{short(chain.name)}"
        lines = [_marker(chain)]
        for rule, written in chain.items():
            words = descriptions.described(rule)
            takes = max(1, -(-len(words) // ((descriptions.LABEL - 4) * descriptions.LABELS)))
            for pieces in descriptions.labels(words, takes):
                labels = (f"refnet {written.id}", *pieces)
                lines.append(" ".join([f"match on {quoted(NEVER)}", *(f"label {quoted(one)}" for one in labels)]))
        layout.anchors[name] = lines
        layout.of_chain[chain.key] = [name]


def short(chain: str) -> str:
    """Return a chain's name, shortened where an anchor's name (63 bytes) with it would be too long."""
    return chain if len(chain) <= 28 else f"{chain[:15]}~{digest(chain)}"


def _marker(chain: Chain) -> str:
    """Return the first line of a chain's anchor: which chain it is."""
    said = (f"refnet chain {chain.table} {chain.hook or '-'}", f"1:{chain.name[:50]}", f"2:{chain.name[50:]}")
    return " ".join([f"match on {quoted(NEVER)}", *(f"label {quoted(one)}" for one in said)])


class _Filter:
    """Writes the chains of table filter."""

    def __init__(self, owner: str, model: Model, layout: Layout, *, remembers: bool) -> None:
        self._owner = owner
        self._model = model
        self._layout = layout
        self._stopping: dict[str, bool] = {}
        self._first_stopping: Chain | None = None
        self._stateful = False
        self._remembers = remembers

    def write(self, chains: list[Chain]) -> None:
        hooked = [chain for chain in chains if chain.hook is not None]
        if not hooked:
            return
        reached = self._reached(hooked)
        self._stateful = any(rule.states is not None for chain in reached for rule in chain.rules())
        by_letter: dict[str, list[Chain]] = {letter: [] for letter in "iof"}
        for chain in hooked:
            assert chain.hook is not None
            by_letter[_LETTERS[chain.hook]].append(chain)
        forward = by_letter["f"]
        stops = any(self._stops(chain) for chain in forward)
        rules = [rule for chain in self._reached(forward) for rule in chain.rules()]
        named = sorted({name for rule in rules if rule.in_interface for name in rule.in_interface.values})
        entrance = self._layout.entrance
        entrance += [f'match in tag "{FORWARDED}"', *(f'match in {to} tag "{TO_HOST}"' for to in _HERE)]
        if by_letter["i"]:
            self._hook(Place("i", self._stateful), by_letter["i"], f'in tagged "{TO_HOST}"', [f'match tag "{TO_HOST}"'])
        if forward:
            behind = [f'match in ! tagged "{STOPPED}" tag "{FORWARDED}"']
            if stops:
                behind += list(self._sorted_out(forward, named))
            self._hook(Place("f", self._stateful), forward, f'in tagged "{FORWARDED}"', behind)
            self._let_out()
        if stops:
            entrance += self._decided_at_the_door(forward, named)
            # What comes before the first rule that stops packets has not decided about them, and would not now.
            left = list(dropwhile(lambda chain: not self._stops(chain), forward))
            self._first_stopping = left[0]
            for came_by in (*named, ""):
                place = Place("g", self._stateful, came_by)
                self._hook(place, left, f'out tagged "{_stopped(came_by)}"', [f'match out tag "{FORWARDED}"'])
        entrance.append(f'match out tagged "{FORWARDED}" tag "{FORWARDED}"')
        if by_letter["o"]:
            place = Place("o", self._stateful)
            self._hook(place, by_letter["o"], f'out ! tagged "{FORWARDED}"', [f'match out tag "{FROM_HOST}"'])
        else:
            entrance.append(f'match out ! tagged "{FORWARDED}" tag "{FROM_HOST}"')
        if self._stateful and self._remembers:
            self._remember({letter for letter, there in by_letter.items() if there})

    # -- the entrance ----------------------------------------------------------------------------------

    def _hook(self, place: Place, chains: list[Chain], condition: str, behind: list[str]) -> None:
        """Write the anchor of a hook, which calls its chains, and have the entrance call it."""
        lines, unless = [], ""
        for chain in chains:
            name = self._chain(chain, place)
            lines.append(f"anchor {quoted('../' + name)}" + (f" ! tagged {quoted(unless)}" if unless else ""))
            if place.letter == "f" and self._stops(chain):
                unless = STOPPED
        self._layout.anchors[place.prefix] = [*lines, *behind]
        self._layout.entrance.append(f"anchor {quoted(place.prefix)} {condition}")

    def _let_out(self) -> None:
        """What forward has let pass when it came in goes out."""
        anyone = Match("", "from any to any", "")
        for keeping in filtering.keepings(anyone, self._stateful, only_new=False):
            line = f'pass out quick tagged "{ACCEPTED}" {keeping} allow-opts tag "{ACCEPTED}"'
            self._layout.entrance.append(line)

    def _remember(self, hooks: set[str]) -> None:
        """Keep state of what no rule decides, so that its answers are known where rules would stop them.

        Not quick: rules behind the anchor decide.
        """
        wanted = []
        if "o" in hooks:
            wanted.append(("in", TO_HOST))
        if "f" in hooks:
            wanted += [("in", FORWARDED), ("out", FORWARDED)]
        if "i" in hooks:
            wanted.append(("out", FROM_HOST))
        for direction, tag in wanted:
            # The last that matches counts: the loose one is for what the close one does not take.
            for keeping in reversed(filtering.keepings(Match("", "", ""), stateful=True, only_new=False)):
                self._layout.entrance.append(f'pass {direction} tagged "{tag}" {keeping} tag "{tag}"')

    def _candidates(self, forward: list[Chain]) -> Iterator[tuple[Rule, Written]]:
        """Give the rules that can be decided when a packet goes out by the device alone.

        Only up to the first of another kind that stops packets: of what is stopped after that, nobody knows by which.
        """
        for chain in forward:
            for rule, written in chain.items():
                if not self._stops_at(rule, chain):
                    continue
                decides = isinstance(rule.action, Accept | Drop | Reject)
                if not decides or rule.states is not None or several_are_excluded(rule.out_interface):
                    return
                yield rule, written

    def _sorted_out(self, forward: list[Chain], named: list[str]) -> Iterator[str]:
        """Say in the tag of a packet that was stopped by which rule, and which device it came by.

        By then its addresses are those that rules mean; when it goes out, its source may have been translated.
        """
        for rule, written in self._candidates(forward):
            for came_by in (*named, ""):
                device = _narrowed(rule.in_interface, came_by)
                if device is _NOWHERE:
                    continue
                for one in matches(rule, device):  # type: ignore[arg-type]
                    yield one.line("match in", f'tagged "{STOPPED}" tag "{self._met(written, came_by)}"')
        for came_by in named:
            yield f'match in on {quoted(came_by)} tagged "{STOPPED}" tag "{_stopped(came_by)}"'
        yield f'match in tagged "{STOPPED}" tag "{_stopped("")}"'

    def _met(self, written: Written, came_by: str) -> str:
        return f"refnet:{digest(f'{self._owner} {written.id}')}~{came_by}"

    def _decided_at_the_door(self, forward: list[Chain], named: list[str]) -> Iterator[str]:
        for rule, written in self._candidates(forward):
            for came_by in (*named, ""):
                if _narrowed(rule.in_interface, came_by) is _NOWHERE:
                    continue
                tag = self._met(written, came_by)
                alone = Rule(rule.action, family=rule.family, protocol=rule.protocol, out_interface=rule.out_interface)
                place = Place("g", self._stateful, came_by)
                for line in filtering.acting(alone, place):
                    yield f'{line} tagged "{tag}" label "refnet {written.id}"'
                yield f'match out tagged "{tag}" tag "{_stopped(came_by)}"'
        for chain in forward:
            self._layout.of_chain.setdefault(chain.key, []).append("")

    # -- chains ----------------------------------------------------------------------------------------

    def _chain(self, chain: Chain, place: Place) -> str:
        """Write a chain for a place, and those that it jumps to; return its anchor's name."""
        name = f"{place.prefix}~{short(chain.name)}"
        if name in self._layout.anchors:
            return name
        returned = f"refnet:r{digest(chain.name)}"
        rules = list(chain.items())
        if place.letter == "g" and chain is self._first_stopping:
            rules = list(dropwhile(lambda item: not self._stops_at(item[0], chain), rules))
        head = [_marker(chain)]
        if chain.hook is None and any(isinstance(rule.action, Return) for rule, _ in rules):
            # It may have been gone back from here before, by another jump.
            head.append(f'match tag "{NONE}"')
        pieces: list[tuple[str, list[str]]] = [(name, list(head))]
        self._layout.anchors[name] = pieces[0][1]
        unless = ""
        for at, (rule, written) in enumerate(rules):
            if len(rules) > _PIECE and (written.begins or at == 0):
                piece = f"{name}~{written.id}" if written.begins else f"{name}~top"
                pieces[0][1].append(f"anchor {quoted('../' + piece)}")
                pieces.append((piece, []))
            target = None
            if isinstance(rule.action, Jump):
                target = self._chain(self._model.chain(chain.table, rule.action.chain), place)
            pieces[-1][1].extend(written.lines(Way(place, returned, unless), target))
            if isinstance(rule.action, Return):
                unless = _one(unless, returned)
            if place.letter == "f" and self._stops_at(rule, chain):
                unless = _one(unless, STOPPED)
        for piece, lines in pieces:
            # An anchor without rules would not be loaded, and keep those that it had.
            self._layout.anchors[piece] = lines or [f"match on {quoted(NEVER)}"]
        self._layout.of_chain.setdefault(chain.key, []).extend(piece for piece, _ in pieces)
        return name

    def _reached(self, chains: list[Chain]) -> list[Chain]:
        seen: dict[str, Chain] = {}
        left = list(chains)
        while left:
            one = left.pop()
            if one.name not in seen:
                seen[one.name] = one
                left += [self._model.chain(one.table, name) for name in one.jumps]
        return list(seen.values())

    def _stops_at(self, rule: Rule, chain: Chain) -> bool:
        """Whether a rule stops packets, or leads to one that does."""
        return filtering.stops(rule) or (
            isinstance(rule.action, Jump) and self._stops(self._model.chain(chain.table, rule.action.chain))
        )

    def _stops(self, chain: Chain) -> bool:
        """Whether a rule of a chain, or of one that it leads to, asks for the device that a packet leaves by."""
        known = self._stopping.get(chain.name)
        if known is None:
            reached = self._reached([chain])
            known = any(filtering.stops(rule) for one in reached for rule in one.rules())
            self._stopping[chain.name] = known
        return known


_NOWHERE = object()


def _narrowed(devices: AnyOf[str] | None, came_by: str) -> object:
    """Return the condition about the device for packets that came by one, or "" by another; _NOWHERE: there is none."""
    if came_by:
        if devices is not None and (came_by in devices.values) is devices.negated:
            return _NOWHERE
        return AnyOf((came_by,))
    if devices is not None and not devices.negated:
        return _NOWHERE
    return None


def _stopped(came_by: str) -> str:
    return f"{STOPPED}~{came_by}"


def _one(before: str, now: str) -> str:
    """Return the tag that rules further down must not see; pf can ask about one."""
    if before and before != now:
        raise Unsupported(
            "pf can ask about one tag in a rule: conditional RETURN and rules about the device that a packet leaves by "
            "cannot both come in one chain of hook forward; put them into chains of their own that are jumped to last",
            capability="out-interface",
        )
    return now
