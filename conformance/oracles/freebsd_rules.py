"""The rules of FreeBSD's packet filter, as pfctl(8) lists them: the main rule set, and every anchor."""

from __future__ import annotations

import os
import re

from conformance.freebsd_shell import run, script
from conformance.oracles.base import Counter

MAIN = "pf"
_COUNTED = re.compile(r"\[ Evaluations: \d+\s+Packets: (\d+)\s+Bytes: (\d+)")
#: What is printed between two listings: a byte that none of them has.
_MARK = "\x1d"


def rules() -> dict[str, str]:
    """Return all rules and tables by the place where they stand; an anchor without any counts as absent."""
    found = {}
    for place, anchor in _places():
        parts = _listed(anchor, "rules", "nat", "ether", "Tables")
        tables = parts[3].split()
        if tables:
            shown = [f"pfctl -q {_of(anchor)} -t '{name}' -T show" for name in tables]
            parts[3] = script(*(f"echo 'table <{name}>'; {line}" for name, line in zip(tables, shown, strict=True)))
        text = "\n".join(part.rstrip() for part in parts if part.strip())
        if text:
            found[place] = text
    return found


def counters() -> list[Counter]:
    """Return what each rule has matched, and each rule of translation."""
    found = []
    for place, anchor in _places():
        for part in _listed(anchor, "rules", "nat", verbose=True):
            rule = ""
            for line in part.splitlines():
                counted = _COUNTED.match(line.strip())
                if counted:
                    found.append(Counter(place, rule, int(counted[1]), int(counted[2])))
                elif not line.startswith(" "):
                    rule = line
    return found


def evidence() -> dict[str, str]:
    """Return rules with their counters, and states, as text by file name; nothing where there is no pf."""
    if not os.path.exists("/dev/pf"):
        return {}
    texts = [
        f"--- {place}\n" + "".join(_listed(anchor, "rules", "nat", "ether", verbose=True))
        for place, anchor in _places()
    ]
    return {"pf.txt": "\n".join(texts), "pf-states.txt": run(["pfctl", "-q", "-vv", "-s", "states"], check=False)}


def _places() -> list[tuple[str, str]]:
    """Return the places, each with its anchor's name, "" for the main rule set; none where there is no pf."""
    if not os.path.exists("/dev/pf"):
        return []
    listed = run(["pfctl", "-q", "-v", "-s", "Anchors"], check=False).split()
    # What pfctl names itself it shows within the anchor that has made it, and not by its name.
    named = [name for name in listed if "/_" not in name and not name.startswith("_")]
    return [(MAIN, ""), *((f"{MAIN} anchor {name}", name) for name in sorted(named))]


def _listed(anchor: str, *kinds: str, verbose: bool = False) -> list[str]:
    lines = [f"pfctl -q -P {'-v ' if verbose else ''}{_of(anchor)} -s {kind}; printf '\\035'" for kind in kinds]
    return script(*lines, check=False).split(_MARK)[: len(kinds)]


def _of(anchor: str) -> str:
    return f"-a '{anchor}'" if anchor else ""
