"""Wrong in pf's own ways: what pf.conf(5) and pfctl(8) do that is not what was asked."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

from conformance import freebsd_shell, mutants
from conformance.mutants.firewall.making import patched
from conformance.system import FREEBSD
from refnet.firewall import FirewallManager
from refnet.firewall.pf import connections, layout

mutant = functools.partial(mutants.mutant, systems=(FREEBSD,), bases=("PfManager",))
_LEAKED, _LOST, _HOST = "and b got it", "and did not arrive", "and host got it"


def loads(name: str, wrong: str, kills: dict[str, str], rewrite: Callable[[str], str]) -> None:
    """Register a mutant that loads other lines than it should."""

    @mutant(name, wrong, kills)
    def build(base: Any) -> type[FirewallManager]:
        class Wrong(base):  # type: ignore[misc]
            def __init__(self, *arguments: Any, **options: Any) -> None:
                super().__init__(*arguments, **options)
                load = self._pfctl.load
                self._pfctl.load = lambda anchor, text, keep: load(anchor, rewrite(text), keep)

        return Wrong


def replaced(old: str, new: str) -> Callable[[str], str]:
    """Return what replaces a pattern wherever it is."""
    return lambda text: re.sub(old, new, text, flags=re.MULTILINE)


# -- what decides ---------------------------------------------------------------------------------------

loads(
    "pf-last-match",
    "has the last rule that matches decide, as pf does by itself",
    {"FW-05": _LOST, "FW-06": _LOST},
    replaced(r" quick", ""),
)
loads(
    "pf-keeps-state",
    "keeps state of what it lets pass, as pf does by itself, where every packet is to be judged",
    {"ST-07": "is not cut"},
    replaced(r"no state", "flags any keep state"),
)
loads(
    "pf-input-by-name",
    "takes what is for one of this host's addresses for forwarded",
    {"FW-13": _HOST},
    replaced(r"match in to \(self\)[^\n]*\n", ""),
)
loads(
    "pf-forwarded-is-own",
    "takes all that goes out for this host's own",
    {"FW-15": _LOST},
    replaced(r"out ! tagged \"refnet:f\"", "out"),
)
loads(
    "pf-any-way-out",
    "does not look where a packet leaves",
    {"FW-51": _LOST, "FW-52": _LOST},
    replaced(r'^((?:block|pass)[^\n]* out quick) on "[^"]+"', r"\1"),
)
loads(
    "pf-one-family",
    "writes every rule for IPv4",
    {"FW-11": _LEAKED},
    replaced(r"((?:block drop|pass) in quick) (?=from|proto)", r"\1 inet "),
)
loads(
    "pf-silent-reject",
    "drops what is to be rejected",
    {"RJ-02": "was not answered at all"},
    replaced(r"block return-\S+(?: \d+\))?", "block drop"),
)


@mutant(
    "pf-goes-too-deep",
    "loads anchors that are further down than pf goes, which it passes over",
    {"FW-24": _LEAKED},
)
def goes_too_deep(base: Any) -> type[FirewallManager]:
    return patched(base, layout, "_DEEPEST", 1000)


# -- translation ----------------------------------------------------------------------------------------

loads(
    "pf-masquerades-as-another",
    "masquerades as another address than the device's",
    {"NA-01": "is masqueraded, and b sees"},
    replaced(r"-> \(\S+:0\)", "-> 192.0.2.99"),
)
loads(
    "pf-accept-translates",
    "leaves out where nothing is to be translated",
    {"NA-09": "excluded from translation"},
    replaced(r"^no (?:nat|rdr)[^\n]*\n", ""),
)

# -- whose it is, and what it costs -----------------------------------------------------------------------

loads(
    "pf-counts-anew",
    "forgets what rules have counted when it loads them again",
    {"RL-07": "the rules have counted"},
    replaced(r'(label "refnet [0-9a-f]{12}) \d+/\d+"', r'\1"'),
)


@mutant(
    "pf-flushes-the-main-rules",
    "replaces the main rule set by what calls its own anchors",
    {"OW-01": "others have lost"},
)
def flushes_the_main_rules(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def apply(self) -> None:
            lines = ("nat-anchor", "rdr-anchor", "anchor")
            freebsd_shell.run(["pfctl", "-q", "-f", "-"], stdin="\n".join(f'{line} "refnet/*"' for line in lines))
            super().apply()

    return Wrong


@mutant(
    "pf-empties-the-entrance-only",
    "leaves at teardown what its own anchors below hold",
    {"OW-01": "after teardown, it is not as it was"},
)
def empties_the_entrance_only(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def _children(self) -> list[str] | None:
            return None if super()._children() is None else []

    return Wrong


@mutant(
    "pf-forgets-sources",
    "forgets the states that come from an address alone",
    {"ST-10": "is translated to b's address"},
)
def forgets_sources(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def forget_connections(self, address: Any) -> int:
            known = connections.known(self._pfctl.ask("-vv", "-s", "states"))
            self._pfctl.kill("-k", str(address))
            left = {one.id for one in connections.known(self._pfctl.ask("-vv", "-s", "states"))}
            return len({one.connection for one in known if one.id not in left})

    return Wrong
