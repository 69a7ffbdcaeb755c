"""From what is found on the host to what shall stand there: pure."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Hashable, Sequence

from refnet.firewall.iptables.ledger import Image
from refnet.firewall.iptables.listing import SavedTable, normal, same
from refnet.firewall.iptables.plan import declaration, jump_lines

_NONE = SavedTable()
#: More edits than that, times the lines of a chain, take longer than to write the chain anew.
_MOST_EDITS = 10_000_000
_BY_NUMBER = re.compile(r"^(?:\[\d+:\d+\] )?-[DI] \S+ \d+(?: |$)", re.MULTILINE)


def reconcile(found: dict[str, SavedTable], wanted: Image, *, first: bool) -> str:
    """Return the input for ``iptables-restore --noflush --counters`` that makes it as wanted; "": nothing is to do.

    Chains that are right are not written. In others, lines that stay are not written either: they keep their counters.
    Lines that move take them along, but for those of ip6tables-nft-restore, which takes no counters (1.8.9).
    """
    text: list[str] = []
    for table, chains in wanted.chains.items():
        lines = _table(table, found.get(table, _NONE), chains, wanted, first)
        if lines:
            text += [f"*{table}", *lines, "COMMIT\n"]
    # Tables that no rule of the model can be in, such as raw.
    for table, standing in found.items():
        if table not in wanted.chains and (standing.chains or any(map(any, standing.jumps.values()))):
            text += [f"*{table}", *_table(table, standing, {}, wanted, first), "COMMIT\n"]
    return "\n".join(text)


def has_numbers(text: str) -> bool:
    """Return whether lines of an input are told by number."""
    return _BY_NUMBER.search(text) is not None


def image_of(found: dict[str, SavedTable]) -> Image:
    """Return what stands as something that can be wanted again, with its counters."""
    image = Image()
    for table, saved in found.items():
        image.chains[table] = saved.chains
        image.jumps[table] = {
            built_in: own for built_in, there in saved.jumps.items() if (own := [one for one in there if one])
        }
        image.counters.update({(table, chain): counters for chain, counters in saved.counters.items()})
    return image


def _table(table: str, standing: SavedTable, chains: dict[str, list[str]], wanted: Image, first: bool) -> list[str]:
    declared: list[str] = []
    lines: list[str] = []
    for name, content in chains.items():
        there = standing.chains.get(name)
        if there is not None and (there == content or same(there, content)):
            continue
        written = _with_counters(content, wanted.counters.get((table, name)), there, standing.counters.get(name, []))
        edits = _edits(name, there, content, written) if there else None
        if edits is None:
            declared.append(declaration(name))
        lines += written if edits is None else edits
    jumps = wanted.jumps.get(table, {})
    for built_in in (*standing.jumps, *(one for one in jumps if one not in standing.jumps)):
        lines += _jumps(built_in, standing.jumps.get(built_in, []), jumps.get(built_in, []), first)
    gone = [name for name in standing.chains if name not in chains]
    # One that other people's rules jump to cannot go: it stays, and does nothing.
    lines += [f"-F {one}" for one in gone if standing.chains[one] or one not in standing.wanted_by_others]
    lines += [f"-X {one}" for one in gone if one not in standing.wanted_by_others]
    return declared + lines


def _jumps(built_in: str, there: list[str | None], wanted: list[str], first: bool) -> list[str]:
    """Return what puts the jumps of a built-in chain to the end where they belong, in order, each once."""
    own = [one for one in there if one is not None]
    at_end = there[: len(own)] if first else there[len(there) - len(own) :]
    if own != at_end or len(set(own)) < len(own):  # somebody has put something before, or the same twice
        return [f"-D {built_in} -j {one}" for one in own] + jump_lines(built_in, [], wanted, first)
    return [] if own == wanted else jump_lines(built_in, own, wanted, first)


def _edits(chain: str, there: list[str], content: list[str], written: list[str]) -> list[str] | None:
    """Return what leads from a chain's lines to others by the fewest edits; None: it is to be written anew.

    They are told by number: a rule that somebody else has put there may be printed as the tool does not take it.
    """
    standing, wanted = set(there), set(content)
    before = [one if one in wanted else normal(one) for one in there]
    after = [one if one in standing else normal(one) for one in content]
    if len(set(before)) < len(before) or len(set(after)) < len(after):
        return None
    staying = _staying(before, after)
    gone = [at for at, one in enumerate(before) if one not in staying]
    come = [at for at, one in enumerate(after) if one not in staying]
    if len(gone) == len(before) or (len(gone) + len(come)) * len(after) > _MOST_EDITS:
        return None
    inserted = [written[at].replace(f"-A {chain}", f"-I {chain} {at + 1}", 1) for at in come]
    return [*(f"-D {chain} {at + 1}" for at in reversed(gone)), *inserted]


def _staying(before: Sequence[Hashable], after: Sequence[Hashable]) -> set[Hashable]:
    """Return the most things that are in both in the same order: the longest increasing sequence of their places."""
    place = {one: at for at, one in enumerate(before)}
    #: By length less one, the least place that a sequence ends with; and by place, the one before in its sequence.
    ends: list[int] = []
    previous: dict[int, int | None] = {}
    for one in after:
        at = place.get(one)
        if at is not None:
            length = bisect_left(ends, at)
            previous[at] = ends[length - 1] if length else None
            ends[length : length + 1] = [at]
    found: set[Hashable] = set()
    last = ends[-1] if ends else None
    while last is not None:
        found.add(before[last])
        last = previous[last]
    return found


def _with_counters(
    content: list[str], counters: list[str] | None, there: list[str] | None, standing: list[str]
) -> list[str]:
    """Return a chain's lines, each with the counters that are known of it, or that an equal line there has."""
    if counters is not None:
        return [f"{counter} {line}" for counter, line in zip(counters, content, strict=True)]
    if not there:
        return content
    known: defaultdict[str, deque[str]] = defaultdict(deque)
    for line, counter in zip(there, standing, strict=True):
        known[line].append(counter)
    written = [f"{known[line].popleft()} {line}" if known.get(line) else line for line in content]
    # Lines that the tool prints otherwise than they were written.
    like: defaultdict[tuple[object, ...], deque[str]] = defaultdict(deque)
    for line, left in known.items():
        if left:
            like[normal(line)] += left
    if like:
        written = [
            one if one[0] == "[" or not like.get(normal(one)) else f"{like[normal(one)].popleft()} {one}"
            for one in written
        ]
    return written
