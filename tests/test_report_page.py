"""The page of a run: pure, from a committed document with every kind of outcome, and from one of all specs."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from typing import Any

import pytest
from report_documents import MANIFEST, SCRIPT, Page, everywhere, fixture, of_manifest, rejudged, verdict_of

from conformance.report import badge, html, junit, pages, timeline


@pytest.fixture
def document() -> dict[str, Any]:
    return fixture()


@pytest.fixture
def text(document: dict[str, Any]) -> str:
    return html.render(document)


@pytest.fixture
def page(text: str) -> Page:
    return Page(text)


def test_the_page_loads_nothing(text: str, page: Page) -> None:
    assert not {"link", "img", "iframe", "object", "embed", "base", "video", "audio"} & {
        tag for tag, _ in page.elements
    }
    assert not page.values("src")
    assert not re.search(r"https?://|@import|url\(|//\w+\.", text)
    files = re.compile(r"\./(evidence/[A-Za-z0-9-]+/[A-Za-z0-9._%-]+|console-2\.log)")
    for target in page.values("href"):
        assert target.startswith("#") or target == "./report.json" or files.fullmatch(target), target


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
        "./console-2.log",
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
    def findings(document: dict[str, Any]) -> list[dict[str, str]]:
        tables = html.render(document).split('class="capabilities"')[1:]
        rows = re.compile(r'<tr role="row" class="is-([\w-]+)">\s*<th [^>]*><code>([\w-]+)</code>')
        return [{name: finding for finding, name in rows.findall(table)} for table in tables]

    (found,) = findings(document)
    assert set(found) == set(document["capabilities"])
    assert found["bridge"] == "available"
    assert found["vlan"] == "unavailable"
    assert found["bridge-stp"] == "not-declared"
    assert found["bridge-multicast-snooping"] == "over-claimed"
    document["specs"][4]["message"] = "bridge-stp is under-claimed: the driver does not declare it, and does it"
    here, elsewhere = findings(document)
    assert (here["bridge-stp"], elsewhere["bridge-stp"]) == ("under-claimed", "not-declared")


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
    assert page.texts["title"][0] == f"{title}: {document['drivers']['netdev']['class']}"


def test_a_level_that_was_reached_is_named(document: dict[str, Any]) -> None:
    changed = rejudged(document, "passed")
    changed["manifest"]["levels"]["full"].append("XX-01")
    changed["manifest"]["areas"]["netdev"].append("XX-01")
    changed["verdict"] = verdict_of(changed)
    page = Page(html.render(changed))
    assert page.text("h1")[1:] == "Conformant at level core"
    assert "1 not selected" in page.text("p")


def test_a_verdict_about_one_interface_says_so() -> None:
    about = of_manifest({}, areas=("netdev", "firewall"), judged=["firewall"])
    page = Page(html.render(about))
    assert page.text("h1")[1:] == "Conformant as to firewall"
    assert "3 of 3 passed" in page.text("p")
    assert "refnet conformance: firewall: core + full" in badge.for_report(about)
    about = of_manifest({"XF-01": "unsupported"}, areas=("netdev", "firewall"), judged=["firewall"])
    assert pages.headline(about) == "Conformant as to firewall as far as it was run"


def test_the_drivers_of_both_interfaces_are_named() -> None:
    both = of_manifest({"BR-04": "failed"}, areas=("netdev", "firewall"))
    page = Page(html.render(both))
    for driver in ("acme_net.driver:AcmeNetDevDriver", "acme_net.firewall:AcmeFirewall"):
        assert driver in page.texts["title"][0]
        assert driver in page.text("header")
        assert driver in page.text("dd")
    assert {"netdev", "firewall", "bridge", "nat"} <= set(page.text("th").split())
    assert (
        'name="refnet conformance: acme_net.driver:AcmeNetDevDriver, acme_net.firewall:AcmeFirewall"'
        in junit.render(both)
    )


def test_a_run_that_reached_no_level_is_not_green(document: dict[str, Any]) -> None:
    (header,) = Page(html.render(rejudged(document, "passed", "unsupported"))).named("header")
    assert header["class"] == "is-open"


def test_headings_go_down_one_at_a_time(page: Page) -> None:
    ranks = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert ranks[0] == 1
    assert ranks.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(ranks))


# -- the matrix and the plot ------------------------------------------------------------------------------


def cells(page: Page) -> dict[str, str]:
    return {
        str(one["aria-label"]).split()[0]: str(one["class"])
        for one in page.named("a")
        if str(one.get("class")).startswith("cell")
    }


def test_the_matrix_has_each_spec_once_with_its_status(document: dict[str, Any], page: Page) -> None:
    assert cells(page) == {entry["id"]: f"cell is-{entry['status']}" for entry in document["specs"]}
    for entry in document["specs"]:
        (cell,) = [one for one in page.named("a") if one.get("aria-label") == f"{entry['id']} {entry['status']}"]
        assert cell["href"] == f"#{entry['id']}"
        assert entry["sentence"] in str(cell["title"])


def test_several_environments_are_columns_told_apart(document: dict[str, Any], text: str, page: Page) -> None:
    labels = ["docker (29.1.3 at ssh://builder-1)", "docker (28.5.0 at ssh://builder-2)"]
    matrix = text[text.index('class="matrix') :]
    assert matrix.index(f"<b>{labels[0]}</b>") < matrix.index(f"<b>{labels[1]}</b>")
    environments = {one["id"]: one["data-environment"] for one in page.named("tbody") if "id" in one}
    assert environments == {entry["id"]: str(entry["run"]) for entry in document["specs"]}
    assert [one for one in page.named("select") if one["name"] == "environment"]
    # Runs that differ in their time only, as those of a resumed run do, are one column.
    document["runs"][1]["environment"] = document["runs"][0]["environment"]
    resumed = html.render(document)
    assert "<b>docker</b>" in resumed
    assert 'name="environment"' not in resumed


def test_each_environment_has_its_facts(page: Page) -> None:
    facts = page.text("dd")
    assert "29.1.3 at ssh://builder-1" in facts
    assert "28.5.0 at ssh://builder-2" in facts
    assert "Linux 6.1.0-40-amd64 x86_64" in facts
    assert "--docker-host ssh://builder-1 --docker-host ssh://builder-2" in page.text("code")
    assert "'out dir'" in page.text("code")


def test_the_plot_has_each_spec_that_was_run_in_its_worker_s_lane(document: dict[str, Any]) -> None:
    drawn = timeline.plots(document)
    assert [plot.run for plot in drawn] == [0, 1]
    for plot in drawn:
        entries = [entry for entry in document["specs"] if entry["run"] == plot.run and entry["seconds"]]
        assert {lane.worker for lane in plot.lanes} == {entry["worker"] for entry in entries}
        assert plot.specs == len(entries)
        assert plot.busy == pytest.approx(sum(entry["seconds"] for entry in entries))
        for lane in plot.lanes:
            for bar in lane.bars:
                assert bar.entry["worker"] == lane.worker
                assert 0 <= bar.left < bar.left + bar.width <= 100.001
                assert bar.left == pytest.approx(100 * bar.entry["started"] / plot.seconds, abs=0.5)


@pytest.mark.parametrize("seconds", [0.004, 0.3, 1.0, 7.7, 42.1, 300.0, 3605.0])
def test_the_axis_has_a_handful_of_round_ticks_that_reach_the_end(seconds: float) -> None:
    document = of_manifest({})
    document["specs"] = document["specs"][:1]
    document["specs"][0].update(started=seconds / 2, seconds=seconds / 2)
    (plot,) = timeline.plots(document)
    assert 2 <= len(plot.ticks) <= 8
    assert plot.ticks[0] == (0, "0 s")
    assert plot.ticks[-1][0] == pytest.approx(100)
    assert float(plot.ticks[-1][1].removesuffix(" s")) == pytest.approx(plot.seconds)
    assert seconds <= plot.seconds * 1.001 < seconds * 2


def test_bars_never_lie_on_each_other_even_where_no_worker_is_known() -> None:
    document = of_manifest({}, workers=3)
    for entry in document["specs"]:
        entry["worker"] = ""
    ((lane,),) = [plot.lanes for plot in timeline.plots(document)]
    rows: dict[int, list[tuple[float, float]]] = {}
    for bar in lane.bars:
        rows.setdefault(bar.top, []).append((bar.entry["started"], bar.entry["started"] + bar.entry["seconds"]))
    assert len(rows) == 3
    for row in rows.values():
        assert all(end <= start + 0.02 for (_, end), (start, _) in itertools.pairwise(sorted(row)))


def test_without_starts_there_are_the_slowest_only() -> None:
    document = of_manifest({})
    for entry in document["specs"]:
        entry.update(started=0.0, worker="")
    assert not timeline.plots(document)
    page = Page(html.render(document))
    assert not page.named("svg")
    slowest = sorted(document["specs"], key=lambda entry: -entry["seconds"])
    assert [entry["id"] for entry in timeline.slowest(document, alone=True)] == [entry["id"] for entry in slowest[:25]]


def test_the_plot_is_there_for_those_who_cannot_see_it(document: dict[str, Any], page: Page) -> None:
    ids = page.values("id")
    for svg in page.named("svg"):
        assert svg["role"] == "group"
        assert all(name in ids for name in str(svg["aria-labelledby"]).split())
    titles = page.texts["title"]
    for entry in document["specs"]:
        named = [title for title in titles if title.startswith(f"{entry['id']} {entry['status']}, ")]
        assert len(named) == (1 if entry["seconds"] else 0)


def test_a_page_of_all_specs_stays_light() -> None:
    document = of_manifest({})
    assert len(document["specs"]) == len(MANIFEST) >= 191
    text = html.render(document)
    assert len(text.encode()) < 500_000
    assert len(cells(Page(text))) == len(document["specs"])


def test_names_are_told_apart_by_what_differs_first() -> None:
    same = {"Kernel": "6.1", "User": "root"}
    assert pages.told_apart(["a", "b"], [same, same]) == ["", ""]
    assert pages.told_apart(["a", "a"], [same, {**same, "User": "nobody"}]) == ["root", "nobody"]
    assert pages.told_apart(["a", "a"], [same, same]) == ["no. 1", "no. 2"]
    three = [same, {**same, "Kernel": "6.2"}, {**same, "Kernel": "6.2", "User": "nobody"}]
    assert pages.told_apart(["a", "a", "a"], three) == ["6.1, root", "6.2, root", "6.2, nobody"]
