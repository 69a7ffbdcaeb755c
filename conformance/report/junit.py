"""The report as JUnit XML, for the machines that show test results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree


def render(report: Mapping[str, Any]) -> str:
    """Return the XML: a test case a spec; ``unsupported`` is a skip with its reason, ``known-deviation`` a failure."""
    entries = report["specs"]
    suite = ElementTree.Element(
        "testsuite",
        name=f"refnet conformance: {report['driver']['class']}",
        tests=str(len(entries)),
        failures=str(sum(entry["status"] in ("failed", "known-deviation") for entry in entries)),
        errors=str(sum(entry["status"] == "error" for entry in entries)),
        skipped=str(sum(entry["status"] in ("unsupported", "not-applicable") for entry in entries)),
        time=f"{report['seconds']:.3f}",
        timestamp=report["started"],
    )
    for entry in entries:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=f"{entry['area']}.{entry['topic']}",
            name=f"{entry['id']} {entry['sentence']}",
            time=f"{entry['seconds']:.3f}",
        )
        tag = {
            "failed": "failure",
            "known-deviation": "failure",
            "error": "error",
            "unsupported": "skipped",
            "not-applicable": "skipped",
        }.get(entry["status"])
        if tag:
            element = ElementTree.SubElement(case, tag, message=_clean(entry["message"]))
            element.text = _clean(f"{entry['traceback']}\n\nrepeat: {entry['repeat']}")
    if report["trouble"]:
        ElementTree.SubElement(suite, "system-err").text = _clean("\n".join(report["trouble"]))
    ElementTree.indent(suite)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"


def _clean(text: str) -> str:
    """Leave out what XML 1.0 cannot carry: a test's message may hold any bytes."""
    return "".join(character for character in text if character in "\t\n\r" or ord(character) >= 0x20)
