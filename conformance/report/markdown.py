"""The joined reports as GitHub-flavoured Markdown: a table of topics, and each spec that has not passed everywhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from conformance.report import pages
from conformance.report.junit import visible

if TYPE_CHECKING:
    from conformance.report.columns import Row
    from conformance.report.joined import Joined

#: What means something to Markdown, in a table or outside, and to HTML, which Markdown lets through.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~&$#!])")
#: Where GitHub would tell a person that they were named.
_MENTION = re.compile(r"(?<![\w/])@(?=\w)")
#: Characters of a message; the report has all of it.
_MESSAGE = 300


def render(joined: Joined) -> str:
    """Return the text."""
    parts = [
        f"# refnet conformance: {text(joined.headline)}",
        "\n".join(_table(joined)),
        "\n".join(_totals(joined)),
        *(["\n".join(f"> **Note:** {text(warning)}\n" for warning in joined.warnings)] if joined.warnings else []),
    ]
    wrong = [row for row in joined.rows if row.is_problem]
    rest = [row for row in joined.rows if not row.is_problem and set(row.statuses) != {"passed"}]
    if wrong:
        parts.append("\n".join(["## What went wrong", "", *(_item(row, messages=True) for row in wrong)]))
    if rest:
        parts.append("\n".join(["## Not passed everywhere", "", *(_item(row) for row in rest)]))
    return "\n\n".join(parts) + "\n"


def text(words: str) -> str:
    """Return words of any origin so that Markdown shows them as they are, on one line."""
    line = " ".join(visible(words).split())
    return _MENTION.sub("@<!-- -->", _SPECIAL.sub(r"\\\1", line))


def _table(joined: Joined) -> list[str]:
    heads = [""]
    for column in joined.columns:
        about = column.report
        named = f"{text(column.label)}" if not column.link else f"[{text(column.label)}]({_target(column.link)})"
        drivers = "<br>".join(text(f"{one['class']} {one['version']}") for one in about["drivers"].values())
        system = f"{about['environment']['system']} {about['environment']['kernel']}"
        heads.append(f"**{column.key}** {named}<br>{drivers}<br>{text(system)}")
    lines = [_line(heads), _line(["---", *(":---:" for _ in joined.columns)])]
    words = [f"{pages.MARKS[pages.tone(one.report)]} {text(pages.headline(one.report))}" for one in joined.columns]
    lines.append(_line(["**verdict**", *words]))
    for number, level in enumerate(joined.columns[0].report["verdict"]["levels"]):
        found = [column.report["verdict"]["levels"][number] for column in joined.columns]
        cells = [f"{pages.MARKS[one['word']]} {one['passed']}/{one['total']}, {one['word']}" for one in found]
        lines.append(_line([f"**{text(level['level'])}**", *cells]))
    for (area, topic), rows in joined.topics.items():
        lines.append(_line([text(f"{area}: {topic}" if area else topic), *joined.summaries(rows)]))
    return lines


def _totals(joined: Joined) -> list[str]:
    lines = []
    for total in joined.totals:
        _, name, version, _ = total.driver
        said = [f"{total.proven} of {total.total} specs proven: passed in a column, failed in none"]
        for standing, found in total.standings.items():
            words = {"failed": "failed somewhere", "error": "without a verdict somewhere", "open": "proven nowhere"}
            if standing in words and found:
                said.insert(0 if standing == "failed" else len(said), f"**{len(found)} {words[standing]}**")
        keys = f"{'columns' if len(total.keys) > 1 else 'column'} {', '.join(total.keys)}"
        lines.append(f"- {text(name)} {text(version)} ({keys}): {'; '.join(said)}.")
    nowhere = joined.passed_nowhere
    ids = ", ".join(text(row.spec.id) for row in nowhere)
    lines += ["", f"No column has proved {ids}." if nowhere else "Every spec has passed in some column."]
    return lines


def _item(row: Row, *, messages: bool = False) -> str:
    lines = [f"- **{text(row.spec.id)}** {text(row.spec.sentence)} — {text(row.words)}"]
    for status, columns in row.by_status.items():
        for column in columns if messages and status in pages.PROBLEMS else ():
            message = column.entries[row.spec.id]["message"]
            cut = message if len(message) <= _MESSAGE else message[:_MESSAGE] + "…"
            lines.append(f"  - {column.key}: {text(cut) or 'no words'}")
    return "\n".join(lines)


def _target(link: str) -> str:
    """Return a link as Markdown takes it: what the page's links leave as they are can end it here."""
    return link.replace("(", "%28").replace(")", "%29")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
