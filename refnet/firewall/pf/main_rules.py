"""The administrator's main rule set: whether packets come to refnet's anchors, and what is decided before them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import takewhile

from refnet.errors import AnchorNotReferenced, NotEnabled
from refnet.firewall.pf.tool import Pfctl

_ANCHOR = re.compile(r'anchor "/?(?P<name>[^"*]*?)(?:/?(?P<all>\*))?"')
#: A rule as pfctl prints it, up to "quick": a word in a label, or a device's name, is further on.
_ACTION, _LOG = r"(?:pass|block (?:drop|return(?:-\w+)?(?:\([^)]*\))?))", r"(?: log(?: \([^)]*\))?)?"
_ENDS = re.compile(rf"{_ACTION}(?: in| out)?{_LOG} quick ")
_DECIDES = re.compile(
    rf"{_ACTION}{_LOG} quick all"
    r'(?: flags \S+)?(?: (?:no|keep|modulate) state(?: \([^)]*\))?)?(?: allow-opts)?(?: label "[^"]*")*(?: tag \S+)?'
)


def remembers(pfctl: Pfctl, owner: str, *, translates: bool) -> bool:
    """Look at pf and its main rule set, and return whether state may be kept there of what no rule of refnet's decides.

    It may not where a rule before the anchor stops packets unless a later one lets them pass: to keep state is to let
    them pass.

    Raises:
        NotEnabled: pf is switched off.
        AnchorNotReferenced: the owner's anchors are not asked.
    """
    if not pfctl.is_enabled():
        raise NotEnabled("pf is not enabled: 'pfctl -e' switches it on, and pf_enable=\"YES\" in /etc/rc.conf")
    main = pfctl.ask("-s", "rules")
    said = {"anchor": main}
    if translates:
        said["nat-anchor"] = said["rdr-anchor"] = pfctl.ask("-s", "nat")
    missing = [
        f'{kind} "refnet/*"'
        for kind in ("nat-anchor", "rdr-anchor", "anchor")
        if kind in said and not called(said[kind], kind, owner)
    ]
    if missing:
        raise AnchorNotReferenced(
            "pf's main rule set does not call refnet's anchors, and no packet would meet them: add to "
            f"/etc/pf.conf, in this order, {' and '.join(missing)}, and load it (pfctl -f /etc/pf.conf)",
            lines=missing,
        )
    lines = before(main, owner)
    decides = next((line for line in lines if _DECIDES.fullmatch(line)), None)
    if decides:
        raise AnchorNotReferenced(
            f"pf's main rule set says {decides!r} before it calls refnet's anchors, and no packet would meet them: put "
            'anchor "refnet/*" before that line in /etc/pf.conf, and load it (pfctl -f /etc/pf.conf)',
            lines=['anchor "refnet/*"'],
        )
    # What is stopped in anchors of others counts like what is stopped before them.
    within = [
        line for name in _anchors(pfctl, lines) for line in pfctl.ask("-a", f"{name}/*", "-s", "rules").splitlines()
    ]
    return not blocks([*lines, *within])


def _anchors(pfctl: Pfctl, lines: list[str]) -> Iterator[str]:
    """Give the names of the anchors that lines call: with an asterisk those directly below one."""
    for line in lines:
        match = _ANCHOR.match(line)
        if match and not match["all"]:
            yield match["name"]
        elif match:
            within = ("-a", match["name"]) if match["name"] else ()
            found = pfctl.ask("-v", *within, "-s", "Anchors").split()
            yield from (name for name in found if name.rpartition("/")[0] == match["name"])


def called(rules: str, kind: str, owner: str) -> bool:
    """Whether rules, as pfctl prints them, call the anchors of an owner with lines of a kind."""
    return any(_calls(line, kind, owner) for line in rules.splitlines())


def _calls(line: str, kind: str, owner: str) -> bool:
    return line.startswith(tuple(f'{kind} "{root}refnet/{name}"' for root in ("", "/") for name in ("*", owner)))


def before(rules: str, owner: str) -> list[str]:
    """Return the lines that are asked before the owner's rules of the filter."""
    return list(takewhile(lambda line: not _calls(line, "anchor", owner), rules.splitlines()))


def blocks(lines: Iterable[str]) -> bool:
    """Whether one of the lines stops packets unless a later one lets them pass: it is not quick."""
    return any(line.lstrip().startswith("block ") and not _ENDS.match(line.lstrip()) for line in lines)
