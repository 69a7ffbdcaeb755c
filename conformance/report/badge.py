"""A badge: a flat SVG of one label and one message, which stands alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from conformance.report.junit import visible

LABEL = "refnet conformance"

#: Colours under white text, each with a contrast of at least 4.5 to it.
_TONES = {"conformant": "#1f7a3d", "open": "#8a5a00", "not conformant": "#b3261e", "error": "#b3261e"}
_LABEL_COLOUR = "#444"
_FONT = "Verdana,Geneva,DejaVu Sans,sans-serif"
#: CSS pixels: of the text, around it, and of the badge.
_SIZE, _PADDING, _HEIGHT = 11, 6, 20

#: Advance widths of Verdana in thousandths of the font's size, for the characters that are not as wide as a digit.
_DIGIT = 636
_WIDTHS = {
    **dict.fromkeys("ijl'", 290),
    **dict.fromkeys(" ft!,.", 380),
    **dict.fromkeys("rI/:;-|()[]", 454),
    **dict.fromkeys("csJz", 525),
    **dict.fromkeys("FLTPExkvy", 605),
    **dict.fromkeys("ABCKRSVXYZ", 698),
    **dict.fromkeys("GDHNOQU&", 787),
    **dict.fromkeys("w+=<>#~", 818),
    **dict.fromkeys("mMW@%", 1076),
}
#: What is not in ASCII may be as wide as it is high.
_WIDEST = 1100


def for_report(report: Mapping[str, Any]) -> str:
    """Return the badge of a run: the levels that it reached, or what it comes to instead."""
    verdict = report["verdict"]
    reached = [level["level"] for level in verdict["levels"] if level["word"] == "conformant"]
    label = label_for(verdict["areas"])
    if verdict["word"] == "error":
        return render(label, "no verdict", "error")
    if verdict["word"] == "not conformant":
        return render(label, "not conformant", "not conformant")
    if reached:
        return render(label, " + ".join(reached), "conformant")
    most = verdict["levels"][-1]
    return render(label, f"{most['passed']}/{most['total']}, open", "open")


def label_for(areas: Sequence[str]) -> str:
    """Return the label, which says what the message is about, where it is not about everything."""
    return f"{LABEL}: {', '.join(areas)}" if areas else LABEL


def render(label: str, message: str, tone: str) -> str:
    """Return the SVG. ``tone`` is a verdict's word, which gives the colour.

    The width is reckoned for Verdana; a reader's machine may have another font, and then the text is fitted into it.
    """
    label, message = visible(label), visible(message)
    left, right = (2 * _PADDING + _width(text) for text in (label, message))
    said = f"{label}: {message}"
    width = left + right
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{_HEIGHT}" viewBox="0 0 {width} {_HEIGHT}" '
        f'role="img" aria-label={quoteattr(said)}>\n'
        f"<title>{escape(said)}</title>\n"
        # Corners of their own rather than a clipping path: that has an id, of which a page with two badges has two.
        f'<path fill="{_LABEL_COLOUR}" d="M3 0H{left}V{_HEIGHT}H3a3 3 0 0 1-3-3V3a3 3 0 0 1 3-3z"/>\n'
        f'<path fill="{_TONES[tone]}" d="M{left} 0H{width - 3}a3 3 0 0 1 3 3V{_HEIGHT - 3}a3 3 0 0 1-3 3H{left}z"/>\n'
        f'<g fill="#fff" font-family="{_FONT}" font-size="{_SIZE}" aria-hidden="true">'
        f"{_text(label, _PADDING, left)}{_text(message, left + _PADDING, right)}</g>\n"
        "</svg>\n"
    )


def _text(text: str, x: int, room: int) -> str:
    length = room - 2 * _PADDING
    return f'<text x="{x}" y="14" textLength="{length}" lengthAdjust="spacingAndGlyphs">{escape(text)}</text>'


def _width(text: str) -> int:
    thousandths = sum(_WIDTHS.get(character, _DIGIT if character < "\x7f" else _WIDEST) for character in text)
    return max(1, round(thousandths * _SIZE / 1000))
