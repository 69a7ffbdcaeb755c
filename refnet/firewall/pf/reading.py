"""What pfctl prints of the rules that stand: anchors, rules, labels and counters."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from refnet.firewall.manager import Counter, Standing
from refnet.firewall.model import Hook, Key, Table
from refnet.firewall.pf import descriptions
from refnet.firewall.rules import Rule

_LABEL = re.compile(r' label "([^"]*)"')
_COUNTED = re.compile(r"\[ Evaluations: \d+\s+Packets: (\d+)\s+Bytes: (\d+)")
_NAMED = re.compile(r"refnet ([0-9a-f]{12})(?: (\d+)/(\d+))?")
_ANCHOR = re.compile(r'anchor "([^"]+)"')


@dataclass(slots=True)
class Line:
    """A rule as pfctl prints it, with its labels and what it has counted."""

    text: str
    labels: tuple[str, ...]
    packets: int = 0
    bytes: int = 0

    @property
    def rule(self) -> str | None:
        """The name of the rule of the model that it is a part of."""
        match = _NAMED.fullmatch(self.labels[0]) if self.labels else None
        return match[1] if match else None

    @property
    def counted(self) -> Counter:
        """What it has counted, with what was counted before it was loaded, which its label says."""
        match = _NAMED.fullmatch(self.labels[0]) if self.labels else None
        before = (int(match[2]), int(match[3])) if match and match[2] else (0, 0)
        return Counter(self.packets + before[0], self.bytes + before[1])


@dataclass(slots=True)
class Anchors:
    """The lines of the entrance, and of each anchor that it names, in order."""

    entrance: list[Line] = field(default_factory=list)
    anchors: dict[str, list[Line]] = field(default_factory=dict)

    def digests(self) -> dict[str, str]:
        """Return the digest that each anchor, and the entrance (""), says it has."""
        found = {}
        for line in self.entrance:
            match = _ANCHOR.match(line.text)
            if len(line.labels) == 1 and line.labels[0].startswith("refnet is "):
                found[match[1] if match else ""] = line.labels[0].removeprefix("refnet is ")
        return found


def parsed(text: str) -> Anchors:
    """Read what ``pfctl -P -v -a 'X/*' -s rules`` prints, or the same of a single anchor without the asterisk."""
    found = Anchors()
    inside: list[str | None] = []
    last: Line | None = None
    for raw in text.splitlines():
        line = raw.strip()
        if line == "}":
            if inside:
                inside.pop()
            continue
        counted = _COUNTED.match(line)
        if counted and last is not None:
            last.packets, last.bytes = int(counted[1]), int(counted[2])
        if not line or line.startswith("["):
            continue
        opens = line.endswith(" {")
        last = Line(line.removesuffix(" {"), tuple(_LABEL.findall(line)))
        if not inside:
            found.entrance.append(last)
        elif inside[-1] is not None:
            found.anchors.setdefault(inside[-1], []).append(last)
        if opens:
            match = _ANCHOR.match(line)
            # Calls from one anchor to another are printed as if that one were below, and an anchor that the entrance
            # calls twice is printed twice: what is in them is no news.
            name = match[1] if match and not inside and match[1] not in found.anchors else None
            if name is not None:
                found.anchors.setdefault(name, [])
            inside.append(name)
    return found


def counters(lines: Iterable[Line]) -> dict[str, Counter]:
    """Return what the rules of the model have counted, by their names."""
    found: dict[str, Counter] = {}
    for line in lines:
        name = line.rule
        if name is not None:
            before, more = found.get(name, Counter(0, 0)), line.counted
            found[name] = Counter(before.packets + more.packets, before.bytes + more.bytes)
    return found


def standing(anchors: Anchors) -> tuple[Standing, ...]:
    """Return the chains that stand, each once, with their rules in order."""
    found: dict[Key, Standing] = {}
    for name, lines in anchors.anchors.items():
        said = _chain_of(lines[0]) if lines else None
        if said is None:
            continue
        table, chain, hook = said
        pieces = [lines[1:]]
        for line in lines:
            match = _ANCHOR.match(line.text)
            called = match[1].removeprefix("../") if match else ""
            if called.startswith(f"{name}~"):
                pieces.append(anchors.anchors.get(called, []))
        found.setdefault((table, chain), Standing(table, chain, hook, tuple(_rules(pieces))))
    return tuple(found.values())


def _rules(pieces: list[list[Line]]) -> list[Rule | str]:
    by_name: dict[str, list[Line]] = {}
    for line in (line for piece in pieces for line in piece):
        own_words = not line.labels and not line.text.startswith(("anchor ", "match "))
        name = line.rule or (f"?{len(by_name)}" if own_words else None)
        if name is not None:
            by_name.setdefault(name, []).append(line)
    return [
        descriptions.understood_or_text(
            [label for line in lines for label in line.labels[1:]], "; ".join(line.text for line in lines)
        )
        for lines in by_name.values()
    ]


def _chain_of(line: Line) -> tuple[Table, str, Hook | None] | None:
    """Return the chain that the first line of its anchor names."""
    if len(line.labels) != 3 or not line.labels[0].startswith("refnet chain "):
        return None
    words = line.labels[0].split(" ")
    try:
        return Table(words[2]), line.labels[1][2:] + line.labels[2][2:], None if words[3] == "-" else Hook(words[3])
    except (ValueError, IndexError):
        return None
