"""A host's state as the suite takes it down before and after, and the difference of two of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class State:
    """Sections (``link``, ``route``, …) of named things, each with all that is said of it."""

    sections: Mapping[str, Mapping[str, Any]]


#: The section of addresses that the kernel gives by itself when a link comes up: a new one is nobody's doing.
LINK_LOCAL = "link-local address"
#: The section of what packet filters have.
RULE_SET = "rule set"
#: The section of what is in the database of an Open vSwitch.
SWITCH = "switch's"
#: Lines of a text that are said to have changed; whoever wants all has the evidence.
_MOST_LINES = 10


def difference(before: State, after: State) -> list[str]:
    """Say in one line each what has come, gone and changed; empty: nothing."""
    lines = []
    for section in before.sections:
        old, new = before.sections[section], after.sections.get(section, {})
        lines += [f"{section} {name} is gone" for name in old if name not in new]
        if section != LINK_LOCAL:
            lines += [f"{section} {name} is new" for name in new if name not in old]
        for name in old:
            if name in new and old[name] != new[name]:
                lines += [f"{section} {name}: {change}" for change in _changes(old[name], new[name])]
    return lines


def as_diff(before: State, after: State) -> str:
    """Return the difference as text: a line for each value that has gone (``-``) or come (``+``), by its place."""
    old, new = set(_values(before)), set(_values(after))
    lines = [(place, "-", value) for place, value in old - new] + [(place, "+", value) for place, value in new - old]
    lines.sort(key=lambda line: (line[0], line[1] == "+", line[2]))
    return "".join(f"{sign} {place}{f': {value}' if value else ''}\n" for place, sign, value in lines)


def _values(state: State) -> Iterator[tuple[str, str]]:
    for section, things in state.sections.items():
        for name, thing in things.items():
            # A thing that nothing is said of is there all the same.
            if isinstance(thing, Mapping) and thing:
                yield from ((f"{section} {name} {key}", str(value)) for key, value in thing.items())
            elif isinstance(thing, str) and "\n" in thing:
                yield from ((f"{section} {name}", line) for line in thing.splitlines())
            else:
                yield f"{section} {name}", str(thing or "")


def _changes(old: Any, new: Any, path: str = "") -> list[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        changes = []
        for key in [*old, *(key for key in new if key not in old)]:
            if old.get(key) != new.get(key):
                changes += _changes(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
        return changes
    if isinstance(old, str) and isinstance(new, str) and "\n" in old + new:
        return _changed_lines(old.splitlines(), new.splitlines())
    return [f"{path or 'value'} was {old!r}, is {new!r}"]


def _changed_lines(old: Sequence[str], new: Sequence[str]) -> list[str]:
    """Say which lines have gone (-) and come (+)."""
    lines = [line for line in difflib.unified_diff(old, new, n=0, lineterm="") if not line.startswith("@@")][2:]
    more = [f"and {len(lines) - _MOST_LINES} more lines"] if len(lines) > _MOST_LINES else []
    return [f"{line[0]} {line[1:].strip()}" for line in lines[:_MOST_LINES]] + more
