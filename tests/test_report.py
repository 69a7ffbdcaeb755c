"""The reports that are made from a report document: pure, from a committed document with every kind of outcome."""

from __future__ import annotations

import base64
import copy
import hashlib
import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from conformance import report as reports
from conformance.report import html, junit
from conformance.spec import LEVELS, Spec
from conformance.verdict import Status, judge

FIXTURE = Path(__file__).parent / "data" / "report-failures.json"
#: Elements that have no end tag.
VOID = {"meta", "input", "br", "hr", "img", "link", "wbr"}
SCRIPT = "<script>alert(1)</script>"


class Page(HTMLParser):
    """What a page is made of, and whether its elements are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in dict.fromkeys(self.open):
            self.texts[tag][-1] += data

    def values(self, attribute: str) -> list[str]:
        return [attributes[attribute] or "" for _, attributes in self.elements if attribute in attributes]

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def text(self, tag: str) -> str:
        return " ".join(" ".join(self.texts.get(tag, [])).split())


def rejudged(document: dict[str, Any], *statuses: str, trouble: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the document of a run in which only the specs with these statuses exist."""
    changed = copy.deepcopy(document)
    changed["specs"] = [entry for entry in changed["specs"] if entry["status"] in statuses]
    changed["selected"] = changed["heard_of"] = [entry["id"] for entry in changed["specs"]]
    changed["manifest"]["levels"] = {
        level: [entry["id"] for entry in changed["specs"] if entry["level"] == level] for level in LEVELS
    }
    changed["trouble"] = list(trouble)
    changed["verdict"] = verdict_of(changed)
    return changed


def verdict_of(document: dict[str, Any]) -> dict[str, Any]:
    levels = {spec_id: level for level, members in document["manifest"]["levels"].items() for spec_id in members}
    specs = [Spec(spec_id, "", level, "", "") for spec_id, level in levels.items()]
    statuses = {entry["id"]: Status(entry["status"]) for entry in document["specs"]}
    heard = {spec_id: status for spec_id, status in statuses.items() if spec_id in document["heard_of"]}
    return reports.plain_verdict(judge(specs, document["selected"], heard), document["trouble"])


@pytest.fixture
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(FIXTURE.read_text())
    return loaded


@pytest.fixture
def text(document: dict[str, Any]) -> str:
    return html.render(document)


@pytest.fixture
def page(text: str) -> Page:
    return Page(text)


def test_the_fixture_is_in_the_current_format_and_holds_together(document: dict[str, Any]) -> None:
    assert document["format"] == reports.FORMAT
    assert {entry["status"] for entry in document["specs"]} == {status.value for status in Status}
    assert document["verdict"] == json.loads(json.dumps(verdict_of(document)))


# -- JUnit ------------------------------------------------------------------------------------------------


def test_junit_counts_what_is_in_it(document: dict[str, Any]) -> None:
    suite = ElementTree.fromstring(junit.render(document))
    cases = suite.findall("testcase")
    assert int(suite.attrib["tests"]) == len(cases) == len(document["specs"]) + 1
    for attribute, tag, number in (("failures", "failure", 3), ("errors", "error", 3), ("skipped", "skipped", 4)):
        assert int(suite.attrib[attribute]) == len(suite.findall(f"testcase/{tag}")) == number
    assert all(any(case.attrib["name"].startswith(entry["id"]) for case in cases) for entry in document["specs"])


def test_junit_has_the_message_the_traceback_and_the_repeat_line(document: dict[str, Any]) -> None:
    suite = ElementTree.fromstring(junit.render(document))
    entry = next(entry for entry in document["specs"] if entry["id"] == "BR-04")
    (case,) = [case for case in suite if case.attrib["name"] == f"BR-04 {entry['sentence']}"]
    failure = case.find("failure")
    assert failure is not None
    assert failure.attrib["message"] == entry["message"]
    assert failure.text is not None
    assert entry["traceback"] in failure.text
    assert entry["repeat"] in failure.text


def test_junit_survives_any_bytes(document: dict[str, Any]) -> None:
    everything = (
        "".join(map(chr, range(0x20))) + "\x7f\x85\u2028\u202e\ud800\udc80\ufffe\uffff]]><![CDATA[&<>\"'\U0001f310"
    )
    for entry in document["specs"]:
        entry["message"] = entry["traceback"] = everything
    text = junit.render(document)
    failure = ElementTree.fromstring(text.encode()).find("testcase/failure")
    assert failure is not None
    for found in (failure.attrib["message"], failure.text or ""):
        assert "]]><![CDATA[&<>\"'\U0001f310" in found
        assert r"\x00\x01" in found
        assert r"\x1b" in found
        assert r"\u202e\ud800\udc80\ufffe\uffff" in found


def test_junit_of_a_run_in_trouble_is_not_green(document: dict[str, Any]) -> None:
    quiet = ElementTree.fromstring(junit.render(rejudged(document, "passed")))
    assert (quiet.attrib["tests"], quiet.attrib["errors"]) == ("3", "0")
    troubled = ElementTree.fromstring(junit.render(rejudged(document, "passed", trouble=("a worker\x00 was lost",))))
    assert (troubled.attrib["tests"], troubled.attrib["errors"]) == ("4", "1")
    error = troubled.find("testcase/error")
    assert error is not None
    assert error.attrib["message"] == r"a worker\x00 was lost"
    assert ElementTree.fromstring(junit.render(rejudged(document))).attrib["errors"] == "1"


# -- HTML -------------------------------------------------------------------------------------------------


def test_the_page_loads_nothing(text: str, page: Page) -> None:
    assert not {"link", "img", "iframe", "object", "embed", "base", "video", "audio"} & {
        tag for tag, _ in page.elements
    }
    assert not page.values("src")
    assert not re.search(r"https?://|@import|url\(|//\w+\.", text)
    evidence = re.compile(r"\./evidence/[A-Za-z0-9-]+/[A-Za-z0-9._%-]+")
    for target in page.values("href"):
        assert target.startswith("#") or target == "./report.json" or evidence.fullmatch(target), target


def test_links_on_the_page_lead_somewhere(page: Page) -> None:
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {target[1:] for target in page.values("href") if target.startswith("#")} <= set(ids)
    assert {name for names in page.values("aria-labelledby") for name in names.split()} <= set(ids)


def test_the_elements_are_closed_in_order(page: Page) -> None:
    assert not page.open


def test_only_the_page_s_own_script_may_run(page: Page) -> None:
    (script,) = page.texts["script"]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [meta["content"] or "" for meta in page.named("meta") if meta.get("http-equiv")]
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


def everywhere(value: Any, words: str) -> Any:
    """Append words to every text in a document that somebody else can have written."""
    if isinstance(value, dict):
        kept = ("id", "level", "status", "started", "word", "selected", "heard_of", "levels")
        return {key: part if key in kept else everywhere(part, words) for key, part in value.items()}
    if isinstance(value, list):
        return [everywhere(part, words) for part in value]
    return value + words if isinstance(value, str) and value else value


def test_markup_in_a_message_is_escaped(document: dict[str, Any], text: str, page: Page) -> None:
    assert any(SCRIPT in entry["message"] for entry in document["specs"])
    assert SCRIPT not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert len(page.named("script")) == 1


def test_markup_anywhere_is_escaped(document: dict[str, Any], page: Page) -> None:
    attack = f"\"' onload=x {SCRIPT}</style></pre></td><b title='"
    attacked = html.render(everywhere(document, attack))
    assert SCRIPT not in attacked
    shape = [(tag, sorted(attributes)) for tag, attributes in Page(attacked).elements]
    assert shape == [(tag, sorted(attributes)) for tag, attributes in page.elements]


def test_what_cannot_be_seen_is_written_out(document: dict[str, Any], text: str) -> None:
    assert r"\x1b[31m]]&gt;\x00\x07" in text
    assert r"\u202e\ufffe\udc80 café" in text
    assert all(character.isprintable() or character in "\n\t" for character in text)
    assert html.render(everywhere(document, "\x00\ud800")).encode()


def test_an_evidence_path_leads_to_a_file_below_the_report(document: dict[str, Any]) -> None:
    paths = ["javascript:alert(1)", "//example.org/x", "/etc/passwd", "evidence/BR-04/links <&>.txt\udc80"]
    for entry in document["specs"]:
        entry["evidence"] = paths
    targets = {target for target in Page(html.render(document)).values("href") if not target.startswith("#")}
    assert targets == {
        "./report.json",
        "./javascript%3Aalert%281%29",
        ".///example.org/x",
        ".//etc/passwd",
        "./evidence/BR-04/links%20%3C%26%3E.txt%3F",
    }


def test_every_spec_is_there(document: dict[str, Any], page: Page) -> None:
    shown = {attributes["id"]: attributes["data-status"] for attributes in page.named("tbody") if "id" in attributes}
    assert shown == {entry["id"]: entry["status"] for entry in document["specs"]}
    assert all(entry["sentence"] in page.text("td") for entry in document["specs"])


def test_every_failure_has_what_it_takes_to_look_into_it(document: dict[str, Any], page: Page) -> None:
    preformatted = "\n".join(page.texts["pre"])
    for entry in document["specs"]:
        failed = entry["status"] in ("failed", "error", "known-deviation")
        assert (entry["repeat"] in page.texts["code"]) is failed
        if failed:
            assert junit.visible(entry["message"]) in page.text("div")
            assert junit.visible(entry["traceback"]) in preformatted
            assert {junit.visible(call) for call in entry["calls"]} <= set(page.texts["code"])
    assert "the switch chip has a fixed ageing time of 30 s" in page.text("p")


def test_what_is_open_has_its_reason(document: dict[str, Any], page: Page) -> None:
    for entry in document["specs"]:
        if entry["status"] in ("unsupported", "not-applicable"):
            assert entry["message"] in page.text("p")
    assert "second-user" in page.text("li")


def test_trouble_comes_first(document: dict[str, Any], text: str) -> None:
    assert "worker gw1 was lost: Not properly terminated" in text
    assert text.index("worker gw1 was lost") < text.index("BR-04")
    assert "Trouble of the suite" not in html.render(rejudged(document, "passed"))
    assert "no spec was selected, so nothing was judged" in html.render(rejudged(document))


def test_capabilities_show_who_claims_too_much(document: dict[str, Any]) -> None:
    def findings(document: dict[str, Any]) -> dict[str, str]:
        text = html.render(document)
        rows = re.findall(r'<tr role="row" class="is-([\w-]+)">\s*<th [^>]*><code>([\w-]+)</code>', text)
        return {name: finding for finding, name in rows}

    found = findings(document)
    assert set(found) == set(document["capabilities"])
    assert found["bridge"] == "available"
    assert found["vlan"] == "unavailable"
    assert found["bridge-stp"] == "not-declared"
    assert found["bridge-multicast-snooping"] == "over-claimed"
    document["specs"][4]["message"] = "bridge-stp is under-claimed: the driver does not declare it, and does it"
    assert findings(document)["bridge-stp"] == "under-claimed"


@pytest.mark.parametrize(
    ("statuses", "word", "title"),
    [
        (("passed",), "conformant", "Conformant"),
        (("passed", "not-applicable"), "conformant", "Conformant"),
        (("passed", "unsupported"), "conformant", "Conformant as far as it was run"),
        (("passed", "failed"), "not conformant", "Not conformant"),
        (("passed", "known-deviation"), "not conformant", "Not conformant"),
        (("failed", "error"), "error", "Error: no verdict"),
        ((), "error", "Error: no verdict"),
    ],
)
def test_the_verdict_is_the_heading(document: dict[str, Any], statuses: tuple[str, ...], word: str, title: str) -> None:
    changed = rejudged(document, *statuses)
    assert changed["verdict"]["word"] == word
    page = Page(html.render(changed))
    heading = page.text("h1")
    assert heading[1:] == title
    assert word in heading.lower()
    assert page.text("title") == f"{title}: {document['driver']['class']}"


def test_a_level_that_was_reached_is_named(document: dict[str, Any]) -> None:
    changed = rejudged(document, "passed")
    changed["manifest"]["levels"]["full"].append("XX-01")
    changed["verdict"] = verdict_of(changed)
    page = Page(html.render(changed))
    assert page.text("h1")[1:] == "Conformant at level core"
    assert "1 not selected" in page.text("p")


def test_a_run_that_reached_no_level_is_not_green(document: dict[str, Any]) -> None:
    (header,) = Page(html.render(rejudged(document, "passed", "unsupported"))).named("header")
    assert header["class"] == "is-open"


def test_headings_go_down_one_at_a_time(page: Page) -> None:
    ranks = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert ranks[0] == 1
    assert ranks.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(ranks))


def test_the_files_are_written_together(document: dict[str, Any], tmp_path: Path) -> None:
    assert reports.write(document, tmp_path) == tmp_path / "report.json"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["junit.xml", "report.html", "report.json"]
    assert json.loads((tmp_path / "report.json").read_text()) == document
