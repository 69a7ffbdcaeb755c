"""The report document, its JUnit XML, and the files of a run: pure, from a document with every kind of outcome."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from report_documents import fixture, of_manifest, rejudged, verdict_of

from conformance import report as reports
from conformance.report import junit
from conformance.verdict import Status


@pytest.fixture
def document() -> dict[str, Any]:
    return fixture()


def test_the_fixture_is_in_the_current_format_and_holds_together(document: dict[str, Any]) -> None:
    assert document["format"] == reports.FORMAT
    assert {entry["status"] for entry in document["specs"]} == {status.value for status in Status}
    assert document["verdict"] == json.loads(json.dumps(verdict_of(document)))
    assert {entry["run"] for entry in document["specs"]} == set(range(len(document["runs"])))


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


# -- files ------------------------------------------------------------------------------------------------


def test_the_files_are_written_together(document: dict[str, Any], tmp_path: Path) -> None:
    assert reports.write(document, tmp_path) == tmp_path / "report.json"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["badge.svg", "junit.xml", "report.html", "report.json"]
    assert json.loads((tmp_path / "report.json").read_text()) == document


def test_the_page_that_is_written_shows_the_evidence_beside_it(tmp_path: Path) -> None:
    document = of_manifest({"BR-04": "failed"}, directory=tmp_path)
    reports.write(document, tmp_path)
    assert "ether type 0x88b5 counter packets 3 bytes 234 drop" in (tmp_path / "report.html").read_text()
