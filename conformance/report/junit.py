"""The report as JUnit XML, for the machines that show test results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

_TAGS = {
    "failed": "failure",
    "known-deviation": "failure",
    "error": "error",
    "unsupported": "skipped",
    "not-applicable": "skipped",
}


def render(report: Mapping[str, Any]) -> str:
    """Return the XML: a test case a spec; ``unsupported`` is a skip with its reason, ``known-deviation`` a failure.

    Trouble of the suite's own is one more test case, an error: a run without a verdict must not look green.
    """
    entries = report["specs"]
    trouble = own_trouble(report)
    tags = [_TAGS.get(entry["status"]) for entry in entries] + ["error"] * bool(trouble)
    suite = ElementTree.Element(
        "testsuite",
        name=visible(f"refnet conformance: {', '.join(one['class'] for one in report['drivers'].values())}"),
        tests=str(len(tags)),
        failures=str(tags.count("failure")),
        errors=str(tags.count("error")),
        skipped=str(tags.count("skipped")),
        time=f"{report['seconds']:.3f}",
        timestamp=report["started"],
    )
    for entry in entries:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=f"{entry['area']}.{entry['topic']}",
            name=visible(f"{entry['id']} {entry['sentence']}"),
            time=f"{entry['seconds']:.3f}",
        )
        tag = _TAGS.get(entry["status"])
        if tag:
            element = ElementTree.SubElement(case, tag, message=visible(entry["message"]))
            element.text = visible(f"{entry['traceback']}\n\nrepeat: {entry['repeat']}".lstrip())
    if trouble:
        case = ElementTree.SubElement(suite, "testcase", classname="conformance", name="the suite itself", time="0")
        element = ElementTree.SubElement(case, "error", message=visible(trouble[0]))
        element.text = visible("\n".join(trouble))
    ElementTree.indent(suite)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"


def own_trouble(report: Mapping[str, Any]) -> list[str]:
    """Return why a run is without a verdict, apart from specs that ended in an error."""
    unexpected = report["verdict"]["unexpected"]
    return [
        *report["trouble"],
        *(["no spec was selected, so nothing was judged"] if not report["selected"] else []),
        *([f"not selected, and yet heard of: {', '.join(unexpected)}"] if unexpected else []),
    ]


def visible(text: str) -> str:
    r"""Write out (``\x1b``, ``\u202e``) what cannot be seen, and what XML 1.0 and UTF-8 cannot carry.

    A spec's message may hold any bytes that a device, a tool or a driver came up with.
    """
    return "".join(
        character if character.isprintable() or character in "\n\t" else character.encode("unicode_escape").decode()
        for character in text
    )
