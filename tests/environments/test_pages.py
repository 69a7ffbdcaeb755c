"""The real pages in a real browser, measured: widths, contrasts, keys, pixels. No picture is compared with another."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import Browser, Tab
from report_documents import FIREWALL, MANIFEST, of_manifest

from conformance.report import badge, html, joined

CHECKS = Path(__file__).with_name("page_checks.js").read_text()
MIXED = {
    "vlan": "unsupported",
    "BR-04": "failed",
    "BR-22": "failed",
    "BR-12": "known-deviation",
    "TA-05": "not-applicable",
}
PAGES = ("passed", "open", "mixed", "error", "spread", "joined", "many")
#: Width and height in CSS pixels, dark or not.
VIEWS = {
    "phone": (360, 800, False),
    "phone in the dark": (360, 800, True),
    "desktop": (1280, 900, False),
    "desktop in the dark": (1280, 900, True),
}
TAB, HOME, ENTER = ("Tab", 9), ("Home", 36), ("Enter", 13, "\r")
RIGHT, DOWN, UP = ("ArrowRight", 39), ("ArrowDown", 40), ("ArrowUp", 38)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        started = Browser()
    except FileNotFoundError as error:
        pytest.fail(str(error), pytrace=False)
    with started:
        yield started


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The pages by name: runs of all specs that ended in each way, one of two drivers that was spread, two matrices."""
    root = tmp_path_factory.mktemp("pages")

    def run(name: str, statuses: dict[str, str], **how: Any) -> None:
        directory = root / name
        directory.mkdir()
        document = of_manifest(statuses, directory=directory, **how)
        if name == "spread":
            other = json.loads(json.dumps(document["runs"][0]))
            other["environment"]["details"]["engine"] = "28.5.0 at ssh://builder-2"
            document["runs"].append(other)
            for number, entry in enumerate(document["specs"]):
                entry["run"] = number % 2
        (directory / "report.json").write_text(json.dumps(document))
        (directory / "report.html").write_text(html.render(document, directory))

    run("passed", {})
    run("open", {"vlan": "unsupported"})
    run("mixed", MIXED)
    run("error", {**MIXED, "AD-11": "error"}, workers=1)
    both = ("netdev", "firewall")
    run("spread", MIXED, environment="docker", details={"engine": "29.1.3 at ssh://builder-1"}, workers=4, areas=both)
    run("other", {**MIXED, "bridge": "unsupported"}, driver="outside.of_this:AnotherNetDevDriver")
    pages = {name: root / name / "report.html" for name in PAGES[:5]}
    for name, columns in (("joined", ("passed", "open", "spread")), ("many", (*PAGES[:5], "other"))):
        pages[name] = joined.join([root / column for column in columns], root / name)[0]
    return pages


@pytest.fixture(scope="module")
def tab(browser: Browser) -> Tab:
    return Tab(browser)


def look(tab: Tab, path: Path, view: str = "desktop", *, scripts: bool = True) -> None:
    """Open a page in a view, with all that can be unfolded unfolded."""
    width, height, dark = VIEWS[view]
    tab.looks(width, height, dark=dark)
    tab.open(path)
    tab.evaluate(CHECKS)
    tab.evaluate("checks.openAll()")
    if scripts:
        tab.evaluate("checks.settled()")


def pixels(png: bytes) -> list[list[tuple[int, int, int]]]:
    """Decode a PNG file with 8 bits a channel (RFC 2083): rows of red, green and blue."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    chunks: dict[bytes, bytes] = {}
    at = 8
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        chunks[kind] = chunks.get(kind, b"") + png[at + 8 : at + 8 + length]
        at += length + 12
    width, _, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert (depth, interlaced) == (8, 0)
    size = {2: 3, 6: 4}[colour]
    raw = zlib.decompress(chunks[b"IDAT"])
    above = bytes(size * (width + 1))
    rows = []
    for start in range(0, len(raw), width * size + 1):
        # With a pixel of zeros in front, there is always one to the left.
        row = bytearray(size) + raw[start + 1 : start + 1 + width * size]
        undo = _FILTERS[raw[start]]
        for index in range(size, len(row)):
            row[index] = (row[index] + undo(row[index - size], above[index], above[index - size])) & 255
        above = bytes(row)
        rows.append([(row[index], row[index + 1], row[index + 2]) for index in range(size, len(row), size)])
    return rows


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((abs(guess - left), 0, left), (abs(guess - up), 1, up), (abs(guess - corner), 2, corner))[2]


#: What a filter has taken from a byte, from its neighbours to the left, above, and both.
_FILTERS = (
    lambda left, up, corner: 0,
    lambda left, up, corner: left,
    lambda left, up, corner: up,
    lambda left, up, corner: (left + up) // 2,
    _paeth,
)


# -- the checks themselves --------------------------------------------------------------------------------


def test_the_checks_find_what_is_wrong(tab: Tab, tmp_path: Path) -> None:
    path = tmp_path / "bad.html"
    path.write_text(
        "<!doctype html><meta name=viewport content='width=device-width'><style>:focus { outline: none }</style>"
        "<p style='color: #888; background: #aaa'>faint</p><p style='color: rgba(0,0,0,0.3)'>fainter</p><p>good</p>"
        "<svg><text y=20 fill='#ddd'>faint drawing</text></svg>"
        "<div style='width: 500px'>wide</div><a href='#nowhere'>a link</a><a href='#x' id=x class=cell>.</a>"
        "<img src='picture.png'><script>console.error('words'); thisIsNot.defined</script>"
    )
    look(tab, path, "phone")
    assert len(tab.evaluate("checks.overflow()")) >= 2
    found = tab.evaluate("checks.contrast()")
    assert [fault.partition("> ")[2] for fault in found["faults"]] == ["faint", "fainter", "faint drawing"]
    assert found["texts"] == 7
    assert tab.evaluate("checks.deadLinks()") == ["nowhere"]
    assert len(tab.evaluate("checks.small('.cell', 24)")) == 1
    assert tab.evaluate("checks.stops()") == 2
    tab.press(*TAB)
    focused = tab.evaluate("checks.focused()")
    assert (focused["stop"], focused["outlined"]) == (0, False)
    complaints = " ".join(tab.complaints())
    assert "words" in complaints
    assert "thisIsNot" in complaints
    assert "picture.png" in complaints


# -- every page in every view -----------------------------------------------------------------------------


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_can_be_read_and_asks_for_nothing(tab: Tab, files: dict[str, Path], name: str, view: str) -> None:
    look(tab, files[name], view)
    assert tab.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") is VIEWS[view][2]
    assert tab.evaluate("checks.overflow()") == []
    found = tab.evaluate("checks.contrast()")
    assert found["faults"] == []
    assert found["texts"] > 800
    assert tab.evaluate("checks.deadLinks()") == []
    assert tab.evaluate("checks.small('a.cell', 24)") == []
    assert tab.evaluate("performance.getEntriesByType('resource').map((one) => one.name)") == []
    assert tab.complaints() == []


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    ("name", "strong"), [("passed", "green"), ("open", "amber"), ("mixed", "red"), ("error", "red"), ("joined", "red")]
)
def test_the_verdict_s_colour_is_at_the_top(
    tab: Tab, files: dict[str, Path], name: str, strong: str, view: str
) -> None:
    look(tab, files[name], view)
    place = tab.evaluate(
        "(({ x, y, width }) => [x, y, width])(document.querySelector('header').getBoundingClientRect())"
    )
    x, y, width = place
    rows = pixels(tab.screenshot(x, y, width, 120))
    red, green, blue = rows[2][round(width / 2)]
    found = {
        "green": green > 1.1 * max(red, blue),
        "red": red > 1.4 * green and green < 1.5 * blue,
        "amber": red > 1.1 * green and green >= 1.5 * blue,
    }
    assert [name for name, is_so in found.items() if is_so] == [strong], (red, green, blue)
    # Below it are words: rows with many colours, as the edges of letters have.
    assert sum(len(set(row)) > 8 for row in rows) > 20


# -- without a mouse --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "view"),
    [("mixed", "phone"), ("spread", "desktop in the dark"), ("many", "phone"), ("many", "desktop in the dark")],
)
def test_the_tab_key_comes_to_everything_in_order_and_in_sight(
    tab: Tab, files: dict[str, Path], name: str, view: str
) -> None:
    look(tab, files[name], view)
    # A matrix and a plot are one stop each, and so is what scrolls.
    stops = tab.evaluate("checks.stops()")
    assert stops > 20
    for number in range(stops):
        tab.press(*TAB)
        found = tab.evaluate("checks.focused()")
        assert found is not None, f"stop {number} of {stops}: the focus has left the page"
        assert found["stop"] == number, found
        assert found["outlined"], found
        assert found["inSight"], found
    # No trap: there is a way back, and behind the last one the page is left, or begun anew.
    tab.press(*TAB, shift=True)
    assert tab.evaluate("checks.focused()")["stop"] == stops - 2
    tab.press(*TAB, times=2)
    assert tab.evaluate("checks.focused()?.stop ?? 0") == 0


@pytest.mark.parametrize(("name", "boxes"), [("mixed", 2), ("spread", 3), ("joined", 1)])
def test_arrow_keys_come_to_every_cell_and_bar(tab: Tab, files: dict[str, Path], name: str, boxes: int) -> None:
    look(tab, files[name])
    assert tab.evaluate("document.querySelectorAll('[data-rove]').length") == boxes
    for box in range(boxes):
        found = tab.evaluate(f"checks.follow(document.querySelectorAll('[data-rove]')[{box}])")
        assert found["links"] > 90
        assert found["stops"] == 1
        tab.press(*RIGHT, times=found["links"])
        assert tab.evaluate("followed.seen") == [[number, True] for number in range(found["links"])]
        tab.press(*HOME)
        tab.press(*DOWN)
        tops = "[followed.links[0], document.activeElement].map((one) => Math.round(one.getBoundingClientRect().top))"
        first, below = tab.evaluate(tops)
        assert below > first
        tab.press(*UP)
        first, above = tab.evaluate(tops)
        assert above == first


def test_the_focus_of_a_bar_can_be_seen(tab: Tab, files: dict[str, Path]) -> None:
    look(tab, files["mixed"])
    place = tab.evaluate(
        "(({ x, y }) => [x - 8, y + scrollY - 8, 200, 60])(document.querySelector('svg rect').getBoundingClientRect())"
    )
    before = pixels(tab.screenshot(*place))
    tab.evaluate("document.querySelector('svg a').focus({ preventScroll: true, focusVisible: true })")
    tab.evaluate("checks.settled()")
    after = pixels(tab.screenshot(*place))
    changed = sum(
        one != other for row, others in zip(before, after, strict=True) for one, other in zip(row, others, strict=True)
    )
    assert 20 < changed < 2000


def test_the_skip_link_leads_past_the_head(tab: Tab, files: dict[str, Path]) -> None:
    for name in ("mixed", "joined"):
        look(tab, files[name], "phone")
        tab.press(*TAB)
        assert "Skip to" in tab.evaluate("checks.focused()")["name"]
        tab.press(*ENTER)
        assert tab.evaluate("document.activeElement.id") == "specs"


# -- what the pages do ------------------------------------------------------------------------------------


def test_the_filters_of_a_report(tab: Tab, files: dict[str, Path]) -> None:
    look(tab, files["spread"])
    shown = "checks.shown('tbody[data-status]')"
    everything = tab.evaluate(shown)
    tab.evaluate("document.querySelector('[name=status][value=failed]').click()")
    assert tab.evaluate(shown) == ["BR-04", "BR-22"]
    assert tab.evaluate("document.getElementById('found').textContent") == f"2 of {len(everything)} specs are shown."
    tab.evaluate("document.querySelector('button[type=reset]').click()")
    tab.evaluate("checks.until(() => document.querySelector('button[type=reset]').hidden)")
    assert tab.evaluate(shown) == everything
    tab.evaluate("checks.choose('environment', '1')")
    assert set(tab.evaluate(shown)) == {one.id for one in [*MANIFEST, *FIREWALL][1::2]}
    tab.evaluate("checks.choose('environment', '')")
    # What a spec's evidence says is found too.
    tab.evaluate("checks.choose('text', 'RULESET 0x88b5 bridge')")
    assert tab.evaluate(shown) == ["BR-04", "BR-12", "BR-22"]
    # A link to what is hidden brings it back.
    tab.evaluate("location.hash = '#VL-01'")
    tab.evaluate("checks.until(() => checks.shown('#VL-01').length)")
    assert tab.complaints() == []


def test_the_filters_of_a_matrix(tab: Tab, files: dict[str, Path]) -> None:
    look(tab, files["joined"], "phone")
    shown = "checks.shown('tr.spec')"
    total = len(tab.evaluate(shown))
    tab.evaluate("document.querySelector('[name=problem]').click()")
    assert tab.evaluate(shown) == ["BR-04", "BR-12", "BR-22"]
    tab.evaluate("document.querySelector('[name=problem]').click()")
    tab.evaluate("document.querySelector('[name=differs]').click()")
    assert 20 < len(tab.evaluate(shown)) < total
    # The one stop of the matrix is a cell that is shown.
    assert tab.evaluate("checks.shown('a.cell[tabindex=\"0\"]').length") == 1
    tab.evaluate("location.hash = '#BR-01'")
    tab.evaluate("checks.until(() => checks.shown('#BR-01').length)")
    assert len(tab.evaluate(shown)) == total


@pytest.mark.parametrize(
    ("name", "view"), [("joined", "desktop"), ("joined", "phone"), ("many", "phone"), ("many", "desktop")]
)
def test_heads_of_a_matrix_stay_in_sight(tab: Tab, files: dict[str, Path], name: str, view: str) -> None:
    look(tab, files[name], view)
    tab.evaluate("document.getElementById('VL-10').scrollIntoView()")
    tab.evaluate("document.querySelector('.grid').scrollLeft = 1000")
    tab.evaluate("checks.settled()")
    boxes = tab.evaluate(
        "['.grid thead th:last-child', '#VL-10 th', '#VL-10 td:last-child'].map((one) => {"
        "  const { left, right, top, bottom } = document.querySelector(one).getBoundingClientRect();"
        "  return { left, right, top, bottom }; })"
    )
    head, first, cell = boxes
    width, height, _ = VIEWS[view]
    assert -1 <= head["top"] < head["bottom"] <= first["top"] + 1
    assert 0 <= first["left"] < first["right"] <= cell["left"] + 1
    assert cell["right"] <= width
    assert cell["bottom"] <= height


def test_a_command_is_copied_and_said(tab: Tab, files: dict[str, Path]) -> None:
    look(tab, files["mixed"])
    tab.evaluate("document.querySelector('#BR-04 .repeat button').click()")
    tab.evaluate("checks.until(() => document.getElementById('said').textContent)")
    said = tab.evaluate("document.getElementById('said').textContent")
    assert said.split(": ", 1)[0] in ("Copied", "Selected")
    assert said.endswith("--only BR-04 --netdev acme_net.driver:AcmeNetDevDriver --seed 7 --keep")


def test_without_scripts_all_of_it_is_there(tab: Tab, files: dict[str, Path]) -> None:
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        for name in ("mixed", "joined"):
            look(tab, files[name], "phone", scripts=False)
            assert tab.evaluate("checks.overflow()") == []
            assert tab.evaluate("checks.shown('form')") == []
            specs = "tbody[data-status]" if name == "mixed" else "tr.spec"
            assert len(tab.evaluate(f"checks.shown('{specs}')")) >= 191
            assert tab.evaluate("[...document.querySelectorAll('a.cell')].every((one) => one.tabIndex === 0)")
    finally:
        tab.call("Emulation.setScriptExecutionDisabled", value=False)


@pytest.mark.parametrize("name", ["mixed", "joined"])
def test_on_paper_it_is_light_and_nothing_is_cut_off(tab: Tab, files: dict[str, Path], name: str) -> None:
    look(tab, files[name])
    tab.looks(700, 900, dark=True, medium="print")
    assert tab.evaluate("checks.overflow()") == []
    assert tab.evaluate("checks.contrast()")["faults"] == []
    assert tab.evaluate("checks.shown('button, form, nav')") == []
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert (
        tab.evaluate(
            "[...document.querySelectorAll('pre, .why, .frames, .grid')]"
            ".filter((one) => one.checkVisibility() && one.scrollHeight > one.clientHeight + 1).length"
        )
        == 0
    )


@pytest.mark.parametrize("message", ["core + full", "168/191, open", "not conformant", "WWWW iiii", "日本"])
def test_the_texts_of_a_badge_stay_inside(tab: Tab, tmp_path: Path, message: str) -> None:
    path = tmp_path / "badge.svg"
    path.write_text(badge.render(badge.LABEL, message, "open"))
    tab.looks(400, 100)
    tab.open(path)
    boxes = tab.evaluate(
        "[...document.querySelectorAll('path, text')].map((one) => one.getBBox()).map(({ x, width }) => [x, x + width])"
    )
    for (left, right), (start, end) in zip(boxes[:2], boxes[2:], strict=True):
        assert left + 4 <= start < end <= right - 4
