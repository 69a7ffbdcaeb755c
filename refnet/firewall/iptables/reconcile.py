"""From what is found on the host to what shall stand there: pure."""

from __future__ import annotations

from collections import defaultdict, deque

from refnet.firewall.iptables.ledger import Image
from refnet.firewall.iptables.listing import SavedTable, normal, same
from refnet.firewall.iptables.plan import declaration, jump_lines

_NONE = SavedTable()


def reconcile(found: dict[str, SavedTable], wanted: Image, *, first: bool) -> str:
    """Return the input for ``iptables-restore --noflush --counters`` that makes it as wanted; "": nothing is to do.

    Chains that are right are not written. Where one is written again, lines that stay keep their counters.
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
        declared.append(declaration(name))
        lines += _with_counters(content, wanted.counters.get((table, name)), there, standing.counters.get(name, []))
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
