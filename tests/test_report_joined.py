"""Reports of many runs as one: what counts as proven, what is told first, and that nothing in them has power."""

from __future__ import annotations

import html as html_text
import json
import re
from pathlib import Path
from typing import Any

import pytest
from report_documents import MANIFEST, SCRIPT, Page, everywhere, of_manifest, verdict_of

from conformance.report import joined, markdown

TOTAL = len(MANIFEST)
VLANS = [one.id for one in MANIFEST if "vlan" in one.capabilities]
ATTACK = f"`|<b>*_[x](y) &amp; # ~ ${{}} @somebody \\ {SCRIPT}"


def report(directory: Path, statuses: dict[str, str] | None = None, **how: Any) -> dict[str, Any]:
    document = of_manifest(statuses or {}, **how)
    write(directory, document)
    return document


def write(directory: Path, document: dict[str, Any]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "report.json").write_text(json.dumps(document))
    (directory / "report.html").write_text("a page")


def page_of(files: list[Path]) -> Page:
    return Page(files[0].read_text())


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """A run without VLANs, one in which a spec failed, one that proved everything, and one of another driver."""
    report(tmp_path / "local", {"vlan": "unsupported"})
    report(tmp_path / "docker", {"vlan": "unsupported", "BR-04": "failed"}, environment="docker")
    report(tmp_path / "vm", environment="linux-vm", kernel="6.1.0-40-cloud-amd64")
    report(tmp_path / "other", {"vlan": "unsupported", "BR-09": "known-deviation"}, driver="outside:Driver")
    return [tmp_path / name for name in ("local", "docker", "vm", "other")]


def test_a_spec_is_proven_for_a_driver_where_it_passed_once_and_failed_nowhere(
    runs: list[Path], tmp_path: Path
) -> None:
    found = joined.load(runs, tmp_path)
    one, other = found.totals
    assert (one.driver[:2], one.keys) == (("netdev", "acme_net.driver:AcmeNetDevDriver"), ["A", "B", "C"])
    assert one.standings["failed"] == ["BR-04"]
    assert one.proven == TOTAL - 1
    assert one.standings["open"] == []
    assert one.levels == []
    assert other.standings["failed"] == ["BR-09"]
    assert other.standings["open"] == VLANS
    assert other.proven == TOTAL - 1 - len(VLANS)
    # What one driver proves says nothing of another, but no column is needed to have proved it alone.
    assert found.passed_nowhere == []


def test_what_failed_anywhere_is_told_first(runs: list[Path], tmp_path: Path) -> None:
    files = joined.join(runs, tmp_path / "out")
    assert [path.name for path in files] == ["matrix.html", "matrix.md", "badge.svg"]
    page = page_of(files)
    assert page.text("h1")[1:] == "Not conformant: 2 specs failed somewhere"
    text = files[1].read_text()
    assert text.startswith("# refnet conformance: Not conformant: 2 specs failed somewhere\n")
    assert text.index("- **BR-04**") < text.index("- **BR-09**") < text.index("- **VL-01**")
    assert "failed in B; passed in A, C, D" in text
    assert "  - B: b makes itself known" in text
    assert "not conformant" in files[2].read_text()


@pytest.mark.parametrize(
    ("statuses", "headline", "badge"),
    [
        ([{}], "Conformant: every spec is proven", "core + full"),
        ([{"vlan": "unsupported"}, {}], "Conformant: every spec is proven", "core + full"),
        ([{"TA-01": "not-applicable"}], "Conformant: every spec is proven", "core + full"),
        (
            [{"vlan": "unsupported"}] * 2,
            f"Conformant as far as it was run: {TOTAL - len(VLANS)} of {TOTAL} specs proven",
            f"{TOTAL - len(VLANS)}/{TOTAL}, open",
        ),
        ([{"BR-04": "error"}, {}], "Error: a run has no verdict", "no verdict"),
        ([{"BR-04": "error"}, {"BR-09": "failed"}], "Not conformant: 1 spec failed somewhere", "not conformant"),
        ([{"BR-04": "failed"}, {}], "Not conformant: 1 spec failed somewhere", "not conformant"),
    ],
)
def test_the_total_is_honest(tmp_path: Path, statuses: list[dict[str, str]], headline: str, badge: str) -> None:
    for number, one in enumerate(statuses):
        report(tmp_path / str(number), one)
    files = joined.join([tmp_path / str(number) for number in range(len(statuses))], tmp_path)
    assert page_of(files).text("h1")[1:] == headline
    assert f'aria-label="refnet conformance: {badge}"' in files[2].read_text()


def test_a_level_can_be_proven_by_several_runs_together(tmp_path: Path) -> None:
    full = {one.id: "unsupported" for one in MANIFEST if one.level == "full"}
    report(tmp_path / "a", {**full, "vlan": "unsupported"})
    report(tmp_path / "b", {**full, "BR-04": "unsupported"}, environment="docker")
    found = joined.load([tmp_path / "a", tmp_path / "b"], tmp_path)
    assert found.totals[0].levels == ["core"]
    assert found.headline.startswith("Conformant at level core: ")


def test_with_other_code_it_is_another_driver(tmp_path: Path) -> None:
    document = report(tmp_path / "a", {"vlan": "unsupported"})
    document["drivers"]["netdev"]["digest"] = "0" * 64
    write(tmp_path / "b", {**of_manifest({}), "drivers": document["drivers"]})
    found = joined.load([tmp_path / "a", tmp_path / "b"], tmp_path)
    assert [total.keys for total in found.totals] == [["A"], ["B"]]
    assert len(found.totals[0].standings["open"]) == len(VLANS)


BOTH = ("netdev", "firewall")


def test_drivers_of_two_interfaces_have_totals_of_their_own(tmp_path: Path) -> None:
    report(tmp_path / "a", {"vlan": "unsupported"}, areas=BOTH)
    report(tmp_path / "b", areas=BOTH, judged=["firewall"], firewall="acme_net.other:Another")
    found = joined.load([tmp_path / "a", tmp_path / "b"], tmp_path)
    proven = {total.driver[1].partition(":")[2]: (total.keys, total.proven, total.total) for total in found.totals}
    assert proven == {
        "AcmeNetDevDriver": (["A"], TOTAL - len(VLANS), TOTAL),
        "AcmeFirewall": (["A"], 3, 3),
        "Another": (["B"], 3, 3),
    }
    assert found.headline == f"Conformant as far as it was run: {TOTAL - len(VLANS) + 3} of {TOTAL + 3} specs proven"
    assert [column.report["verdict"]["areas"] for column in found.columns] == [[], ["firewall"]]
    text = markdown.render(found)
    assert f"acme\\_net.driver:AcmeNetDevDriver 2.3.1 (column A): {TOTAL - len(VLANS)} of {TOTAL} specs" in text
    assert "Conformant as to firewall" in text
    assert "warnings" not in text


def test_runs_about_one_interface_say_nothing_of_the_other(tmp_path: Path) -> None:
    report(tmp_path / "a", areas=BOTH, judged=["firewall"])
    report(tmp_path / "b", {"nat": "unsupported"}, areas=BOTH, judged=["firewall"])
    files = joined.join([tmp_path / "a", tmp_path / "b"], tmp_path)
    assert page_of(files).text("h1")[1:] == "Conformant as to firewall: every spec is proven"
    assert "refnet conformance: firewall: core + full" in files[2].read_text()
    assert "BR-01" not in files[1].read_text()
    report(tmp_path / "c", areas=BOTH, judged=["netdev"])
    assert joined.load([tmp_path / name for name in "abc"], tmp_path).headline == "Conformant: every spec is proven"


def test_an_interface_that_no_run_has_judged_leaves_it_open(tmp_path: Path) -> None:
    document = of_manifest({}, areas=BOTH, judged=["firewall"])
    document["areas"] = []
    document["verdict"] = verdict_of(document)
    write(tmp_path, document)
    found = joined.load([tmp_path], tmp_path)
    assert found.headline == f"Conformant as far as it was run: 3 of {TOTAL + 3} specs proven"
    assert found.tone == "open"


def test_the_matrix_has_a_cell_for_each_spec_and_column(runs: list[Path], tmp_path: Path) -> None:
    page = page_of(joined.join(runs, tmp_path / "out"))
    found = [one for one in page.named("a") if str(one.get("class")).startswith("cell")]
    assert len(found) == 4 * TOTAL
    (failed,) = [one for one in found if one["class"] == "cell is-failed"]
    assert failed["aria-label"] == "BR-04 failed in B"
    assert failed["href"] == "../docker/report.html#BR-04"
    (unsupported,) = [one for one in found if one["aria-label"] == "VL-01 unsupported in A"]
    assert unsupported["title"] == "unsupported in local; passed in C with the same driver"
    (other,) = [one for one in found if one["aria-label"] == "VL-01 unsupported in D"]
    assert other["title"] == "unsupported in local"
    rows = {one["id"]: one for one in page.named("tr") if str(one.get("class", "")).startswith("spec")}
    assert set(rows) == {one.id for one in MANIFEST}
    assert {spec_id for spec_id, row in rows.items() if row["data-differs"] == "1"} == {*VLANS, "BR-04", "BR-09"}
    assert {spec_id for spec_id, row in rows.items() if row["data-problem"] == "1"} == {"BR-04", "BR-09"}
    assert "unsupported in A, B, D; passed in C" in page.text("small")


def test_links_lead_to_the_reports_from_wherever_the_page_is(runs: list[Path], tmp_path: Path) -> None:
    for output in (tmp_path, tmp_path / "deep" / "out", runs[0]):
        files = joined.join(runs, output)
        targets = {target for target in page_of(files).values("href") if not target.startswith(("#", "./matrix.md"))}
        assert {(output / target.partition("#")[0]).resolve() for target in targets} == {
            run / "report.html" for run in runs
        }


def test_the_page_loads_nothing_and_its_links_resolve(runs: list[Path], tmp_path: Path) -> None:
    files = joined.join(runs, tmp_path / "out")
    text = files[0].read_text()
    page = Page(text)
    assert not page.open
    assert not page.values("src")
    assert not re.search(r"https?://|@import|url\(", text)
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {target[1:] for target in page.values("href") if target.startswith("#")} <= set(ids)
    assert len(text.encode()) < 500_000


def test_columns_of_a_kind_are_told_apart(tmp_path: Path) -> None:
    report(tmp_path / "a", environment="docker", kernel="6.1.0-40")
    report(tmp_path / "b", environment="docker", kernel="6.12.41")
    report(tmp_path / "c", environment="linux-vm")
    report(tmp_path / "d", environment="linux-vm")
    labels = [one.label for one in joined.load([tmp_path / name for name in "abcd"], tmp_path).columns]
    assert labels[0] == "docker (Linux 6.1.0-40 x86_64)"
    assert labels[1] == "docker (Linux 6.12.41 x86_64)"
    assert labels[2:] == [f"linux-vm ({tmp_path / 'c'})", f"linux-vm ({tmp_path / 'd'})"]


def test_the_same_report_given_twice_is_one_column(tmp_path: Path) -> None:
    report(tmp_path / "a")
    assert len(joined.load([tmp_path / "a", tmp_path / "a" / "report.json"], tmp_path).columns) == 1


def test_columns_after_z_have_two_letters(tmp_path: Path) -> None:
    document = of_manifest({})
    for number in range(28):
        write(tmp_path / str(number), document)
    found = joined.load([tmp_path / str(number) for number in range(28)], tmp_path)
    assert [one.key for one in found.columns][-3:] == ["Z", "AA", "AB"]


# -- Markdown ---------------------------------------------------------------------------------------------


def table(text: str) -> list[list[str]]:
    """Return the cells of the table as GitHub splits them: at pipes that are not escaped."""
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def test_the_table_has_topics_by_columns(runs: list[Path], tmp_path: Path) -> None:
    text = joined.join(runs, tmp_path / "out")[1].read_text()
    rows = table(text)
    assert {len(row) for row in rows} == {5}
    by_name = {row[0]: row[1:] for row in rows}
    members = [one for one in MANIFEST if one.topic == "bridge"]
    bridges, missing = len(members), sum(one.id in VLANS for one in members)
    assert missing == 0
    assert by_name["netdev: bridge"] == [
        f"{bridges}/{bridges} ✓",
        f"{bridges - 1}/{bridges} ✗",
        f"{bridges}/{bridges} ✓",
        f"{bridges - 1}/{bridges} ≈",
    ]
    assert by_name["**full**"][2] == f"✓ {TOTAL}/{TOTAL}, conformant"
    assert "[linux-vm](../vm/report.html)<br>acme\\_net.driver:AcmeNetDevDriver 2.3.1" in rows[0][3]
    assert set(rows[1][1:]) == {":---:"}


def test_what_no_column_proved_is_a_sentence(tmp_path: Path) -> None:
    report(tmp_path / "a", {"vlan": "unsupported"})
    text = joined.join([tmp_path / "a"], tmp_path)[1].read_text()
    assert f"No column has proved {', '.join(VLANS)}." in text
    assert f"**{len(VLANS)} proven nowhere**" in text
    report(tmp_path / "b", environment="linux-vm")
    text = joined.join([tmp_path / "a", tmp_path / "b"], tmp_path)[1].read_text()
    assert "Every spec has passed in some column." in text


def test_markdown_is_escaped() -> None:
    assert markdown.text("a|b `c` <d> *e* _f_ [g](h)") == r"a\|b \`c\` \<d\> \*e\* \_f\_ \[g\](h)"
    assert markdown.text("one\n\n# two\t\x1b[0m") == r"one \# two \\x1b\[0m"
    assert markdown.text("to @somebody, veth0@if3") == "to @<!-- -->somebody, veth0@if3"


def test_nothing_in_a_report_has_power_over_page_or_table(tmp_path: Path) -> None:
    plain = report(tmp_path / "a", {"BR-04": "failed", "vlan": "unsupported"})
    before = joined.join([tmp_path / "a"], tmp_path / "before")
    attacked = everywhere(plain, ATTACK)
    for entry in attacked["specs"]:
        entry["topic"] = entry["topic"].removesuffix(ATTACK)
    attacked["verdict"] = verdict_of(attacked)
    attacked["format"] = plain["format"]
    write(tmp_path / "a", attacked)
    after = joined.join([tmp_path / "a"], tmp_path / "after")
    text = after[0].read_text()
    assert SCRIPT not in text
    assert html_text.escape(SCRIPT) in text
    assert [tag for tag, _ in Page(text).elements] == [tag for tag, _ in page_of(before).elements]
    lines = after[1].read_text()
    assert SCRIPT not in lines
    assert not re.search(r"(?<!\\)<(?!br>|!-- -->)", lines)
    assert [len(row) for row in table(lines)] == [len(row) for row in table(before[1].read_text())]


# -- what is no report, or not of this kind ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "is no report of refnet-conformance"),
        ("{}", "is no report of refnet-conformance"),
        ('{"format": 1}', "is a report of format 1, and this version joins format 4"),
        ('{"format": 4}', "is no whole report: the report should be an object with 'suite'"),
        (b"\xff\xfe", "is no JSON"),
    ],
)
def test_what_is_no_report_is_refused_by_its_name(tmp_path: Path, content: str | bytes, words: str) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=re.escape(f"{path} {words}")):
        joined.join([tmp_path], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_directory_without_a_report_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path}/report.json cannot be read: No such file")):
        joined.join([tmp_path], tmp_path)
    with pytest.raises(ValueError, match="nothing to join"):
        joined.join([], tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"drivers": None}, "drivers should be an object"),
        ({"drivers": {"netdev": {"class": "a:B", "version": 3}}}, "drivers.netdev.version should be a text"),
        ({"drivers": {}}, "drivers should be an object with 'netdev', for AD-01"),
        ({"specs": {}}, "specs should be a list"),
        ({"specs": [{"id": "BR-04"}]}, "specs[0] should be an object with 'sentence'"),
        ({"manifest": {"hash": "", "levels": {"core": []}}}, "manifest.levels should be an object with 'full'"),
        ({"seconds": True}, "seconds should be a number"),
        ({"started": "yesterday"}, "Invalid isoformat string"),
        ({"verdict": {"word": "fine"}}, "verdict.word should be one of conformant"),
        ({"runs": []}, "it lacks a level or a run"),
    ],
)
def test_a_part_that_is_missing_or_of_another_kind_is_named(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    write(tmp_path, {**of_manifest({}), **change})
    with pytest.raises(ValueError, match=re.escape(f"report.json is no whole report: {words}")):
        joined.join([tmp_path], tmp_path / "out")


def test_whatever_part_is_missing_it_is_a_refusal(tmp_path: Path) -> None:
    whole = of_manifest({"BR-04": "failed"})
    write(tmp_path, whole)
    for key in whole.keys() - {"capabilities"}:
        for changed in ({name: value for name, value in whole.items() if name != key}, {**whole, key: [None]}):
            (tmp_path / "report.json").write_text(json.dumps(changed))
            with pytest.raises(ValueError, match=re.escape(f"{tmp_path}/report.json is ")):
                joined.join([tmp_path], tmp_path / "out")


def test_another_set_of_specs_is_a_warning_with_what_only_one_has(tmp_path: Path) -> None:
    report(tmp_path / "a")
    document = of_manifest({})
    document["specs"][0]["id"] = "XX-01"
    document["selected"] = document["heard_of"] = [entry["id"] for entry in document["specs"]]
    document["manifest"]["levels"]["core"][0] = document["manifest"]["areas"]["netdev"][0] = "XX-01"
    document["manifest"]["hash"] = "0" * 64
    document["verdict"] = verdict_of(document)
    write(tmp_path / "b", document)
    files = joined.join([tmp_path / "a", tmp_path / "b"], tmp_path)
    words = "A and B were run with different sets of specs: only A has AD-01; only B has XX-01"
    assert words in page_of(files).text("li")
    assert words in files[1].read_text()
    (cell,) = [one for one in page_of(files).named("span") if str(one.get("title")).startswith("not selected")][:1]
    assert cell["class"] == "cell is-left-out"


def test_a_verdict_that_the_specs_do_not_give_is_a_warning(tmp_path: Path) -> None:
    document = of_manifest({"BR-04": "failed"})
    document["verdict"] = of_manifest({})["verdict"]
    write(tmp_path / "a", document)
    (tmp_path / "a" / "report.html").unlink()
    files = joined.join([tmp_path / "a"], tmp_path / "out")
    assert "its verdict is not what its specs come to" in page_of(files).text("li")
    assert "there is no report.html beside" in page_of(files).text("li")
    assert page_of(files).text("h1")[1:] == "Not conformant: 1 spec failed somewhere"
