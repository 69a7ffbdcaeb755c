"""Which rule it is, where a kernel refuses a table as a whole and does not say why.

The legacy variant's kernel takes or refuses all of a table at once, and both variants see only by the jump from a
built-in chain that a rule behind it cannot be there. So parts of the table are tried, in a network namespace that is
gone afterwards.
"""

from __future__ import annotations

import re

from refnet import process
from refnet.errors import RefnetError, RuleError
from refnet.firewall.iptables.apart import apart
from refnet.firewall.iptables.tools import Tools

_JUMP = re.compile(r"-[AI] \S+ (?:.* )?-j (\S+)$")
_UNCLEAR = re.compile(r"one of \d+ rules|-[AI] [A-Z]+ -j \S+")
_LIMIT = 60.0


def is_unclear(error: RuleError) -> bool:
    """Return whether the refused line is not the one to blame."""
    return _UNCLEAR.match(error.rule) is not None


def named(error: RuleError, using: Tools, text: str, prefix: str) -> RuleError:
    """Return the error with the rule to blame, looked for in a text that makes all tables from nothing."""
    for table in text.split("*")[1:]:
        name, *lines = [line for line in table.splitlines() if line and line != "COMMIT"]
        line = _find(using, name, lines, prefix)
        if line:
            return RuleError(f"{using.program('restore')} refuses {line!r}", rule=line, detail=error.detail)
    return error


def _find(using: Tools, table: str, lines: list[str], prefix: str) -> str | None:
    frame = [line for line in lines if line[0] == ":" or _leads(line, prefix)]
    rules = [line for line in lines if line not in set(frame)]

    def works(count: int) -> bool:
        text = "\n".join([f"*{table}", *frame, *rules[:count], "COMMIT", ""])
        argv = [using.program("restore"), "--noflush", "--wait", "10"]
        try:
            return process.run(apart(argv), stdin=text, expect=range(256), time_limit=_LIMIT).status == 0
        except RefnetError:
            return False

    if not rules or works(len(rules)) or not works(0):
        return None
    good, bad = 0, len(rules)
    while bad - good > 1:
        middle = (good + bad) // 2
        if works(middle):
            good = middle
        else:
            bad = middle
    return rules[bad - 1]


def _leads(line: str, prefix: str) -> bool:
    match = _JUMP.match(line)
    return match is not None and match[1].startswith(prefix)
