"""Badges: what they say, and that they are sound SVG whatever they say."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest
from report_documents import fixture, of_manifest, rejudged, verdict_of

from conformance.report import badge
from conformance.spec import manifest

SVG = "{http://www.w3.org/2000/svg}"


def said(svg: str) -> str:
    return ElementTree.fromstring(svg).attrib["aria-label"]


def core_only() -> dict[str, Any]:
    document = of_manifest({})
    for entry in document["specs"]:
        if entry["level"] == "full":
            entry["status"] = "unsupported"
    document["verdict"] = verdict_of(document)
    return document


def without_vlans() -> str:
    """Count the specs of devices that are left where there are no VLANs."""
    devices = [one for one in manifest() if one.area == "netdev"]
    return f"{sum('vlan' not in one.capabilities for one in devices)}/{len(devices)}"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (of_manifest({}), "core + full"),
        (core_only(), "core"),
        (of_manifest({"vlan": "unsupported"}), f"{without_vlans()}, open"),
        (of_manifest({"BR-04": "failed"}), "not conformant"),
        (of_manifest({"BR-04": "known-deviation"}), "not conformant"),
        (of_manifest({"BR-04": "error"}), "no verdict"),
        (fixture(), "no verdict"),
        (rejudged(fixture()), "no verdict"),
    ],
)
def test_a_badge_says_what_a_run_came_to(document: dict[str, Any], words: str) -> None:
    assert said(badge.for_report(document)) == f"refnet conformance: {words}"


@pytest.mark.parametrize(
    "text", ["core", "168/191, open", "WWWWWW", "iiiiii", "a<b>&\"'", "\x1b\u202e\ud800", "", "日本"]
)
def test_the_parts_are_as_wide_as_their_texts(text: str) -> None:
    svg = ElementTree.fromstring(badge.render("label", text, "open").encode())
    assert svg.attrib["role"] == "img"
    title = svg.find(f"{SVG}title")
    assert title is not None
    assert title.text == svg.attrib["aria-label"]
    texts = svg.findall(f".//{SVG}text")
    right = [float(one.attrib["x"]) + float(one.attrib["textLength"]) for one in texts]
    edges = [float(texts[1].attrib["x"]) - 6, float(svg.attrib["width"])]
    assert right == [edge - 6 for edge in edges]
    assert not svg.findall(f".//{SVG}script")


@pytest.mark.parametrize("tone", ["conformant", "open", "not conformant", "error"])
def test_white_on_each_colour_can_be_read(tone: str) -> None:
    svg = ElementTree.fromstring(badge.render("label", "message", tone))
    for path in svg.findall(f"{SVG}path"):
        colour = path.attrib["fill"].lstrip("#")
        colour = colour if len(colour) == 6 else "".join(2 * digit for digit in colour)
        parts = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        # Relative luminance and contrast as WCAG 2.2 defines them.
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        assert 1.05 / (luminance + 0.05) >= 4.5
