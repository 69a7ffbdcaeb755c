"""What the pages have in common: marks and words of a status, texts made fit to be shown, and the templates.

Nothing on a page comes from elsewhere: style and script are inline, and a content security policy lets no other script
run, wherever a text came from.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from conformance.report.junit import visible
from conformance.verdict import about as verdict_about

#: From what a reader has to see first to what is as it should be.
ORDER = ("failed", "error", "known-deviation", "unsupported", "not-applicable", "passed")
PROBLEMS = ("failed", "error", "known-deviation")
#: Of a spec of the manifest that a run left out.
LEFT_OUT = "left-out"

#: What tells the statuses and words apart besides the colour.
MARKS = {
    "passed": "✓",
    "conformant": "✓",
    "available": "✓",
    "failed": "✗",
    "not conformant": "✗",
    "error": "!",
    "known-deviation": "≈",
    "unsupported": "○",
    "open": "○",
    "not-applicable": "–",
    "unavailable": "–",
    "not declared": "○",
    "over-claimed": "!",
    "under-claimed": "!",
    LEFT_OUT: "·",
}


def render(template: str, styles: Sequence[str], scripts: Sequence[str], **content: Any) -> str:
    """Return a page from a template, the names of its styles and scripts, and what it is about."""
    script = "".join(map(_source, scripts))
    return _environment.get_template(template).render(
        marks=MARKS,
        style=Markup("".join(map(_source, styles))),  # noqa: S704  (part of this package)
        script=Markup(script),  # noqa: S704
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        **content,
    )


def headline(report: Mapping[str, Any]) -> str:
    """Return the verdict as a reader has to take it: a run that leaves a level open says so in the same breath."""
    verdict = report["verdict"]
    about = verdict_about(verdict["areas"])
    if verdict["word"] == "error":
        return "Error: no verdict"
    if verdict["word"] == "not conformant":
        return f"Not conformant{about}"
    reached = [level["level"] for level in verdict["levels"] if level["word"] == "conformant"]
    if len(reached) == len(verdict["levels"]):
        return f"Conformant{about}"
    return f"Conformant{about} at level {reached[-1]}" if reached else f"Conformant{about} as far as it was run"


def tone(report: Mapping[str, Any]) -> str:
    """Return the word whose colour and mark the headline has: no level reached is no reason for green."""
    word: str = report["verdict"]["word"]
    reached = any(level["word"] == "conformant" for level in report["verdict"]["levels"])
    return word if word != "conformant" or reached else "open"


def counts(statuses: Iterable[str]) -> dict[str, int]:
    """Return how often each status occurs, the worst first."""
    found = list(statuses)
    return {status: found.count(status) for status in (*ORDER, LEFT_OUT) if status in found}


def environment_facts(environment: Mapping[str, Any]) -> dict[str, str]:
    """Return what is known of an environment as label and text, from what tells environments apart best."""
    named = {
        "Environment": environment["name"],
        **{name.capitalize(): str(words) for name, words in environment["details"].items()},
        "Kernel": f"{environment['system']} {environment['kernel']} {environment['machine']}",
        "Distribution": environment["distribution"],
        "Run as": environment["user"],
        "Python": environment["python"],
    }
    return {label: words for label, words in named.items() if words}


def told_apart(names: Sequence[str], facts: Sequence[Mapping[str, str]]) -> list[str]:
    """Return for each name what tells it from its namesakes: the first facts that differ, or a number.

    >>> told_apart(["docker", "local", "docker"], [{"Engine": "a"}, {"Engine": "a"}, {"Engine": "b"}])
    ['a', '', 'b']
    """
    added = [""] * len(names)
    for name in dict.fromkeys(names):
        group = [index for index, other in enumerate(names) if other == name]
        for label in dict.fromkeys(label for index in group for label in facts[index]):
            if len({added[index] for index in group}) == len(group):
                break
            if len({facts[index].get(label, "") for index in group}) > 1:
                for index in group:
                    added[index] = ", ".join(filter(None, [added[index], facts[index].get(label, "")]))
        if len({added[index] for index in group}) < len(group):
            for number, index in enumerate(group, 1):
                added[index] = ", ".join(filter(None, [added[index], f"no. {number}"]))
    return added


def duration(seconds: float) -> str:
    """Return a time as people read it."""
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s"


def moment(text: str) -> str:
    """Return a point in time as people read it, from ISO 8601; UTC."""
    return datetime.datetime.fromisoformat(text).astimezone(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def link(path: str) -> str:
    """Return a relative path as a link that can lead nowhere else: to no other scheme and no other host."""
    return ("" if path.startswith("../") else "./") + quote(path, errors="replace")


def _shown(value: Any) -> Any:
    """Make text of any origin fit for the page; the template escapes it after that."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _source(name: str) -> str:
    loader = _environment.loader
    assert loader is not None
    return loader.get_source(_environment, name)[0]


_environment = jinja2.Environment(
    loader=jinja2.PackageLoader("conformance.report"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
    finalize=_shown,
)
_environment.filters.update(duration=duration, moment=moment, link=link, headline=headline, tone=tone)
