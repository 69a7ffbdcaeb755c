"""The verdict: pure, and never better than what was seen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.spec import Spec
from conformance.verdict import ExitStatus, Status, judge

SPECS = [Spec("AA-01", "One.", "core", "netdev", "a"), Spec("AA-02", "Two.", "core", "netdev", "a")]
SPECS += [Spec("AA-03", "Three.", "full", "netdev", "a")]
IDS = [one.id for one in SPECS]


def verdict(*statuses: str, selected=None):
    found = {spec_id: Status(status) for spec_id, status in zip(IDS, statuses, strict=False) if status}
    return judge(SPECS, IDS if selected is None else selected, found)


def test_levels_have_the_specs_of_the_areas_that_it_is_about():
    both = [*SPECS, Spec("FF-01", "Four.", "core", "firewall", "f")]
    passed = dict.fromkeys(IDS, Status.PASSED)
    whole = judge(both, IDS, passed)
    assert [(one.word, one.total) for one in whole.levels] == [("open", 3), ("open", 4)]
    assert (whole.areas, whole.about) == ((), "")
    part = judge(both, IDS, passed, ["netdev"])
    assert [(one.word, one.total) for one in part.levels] == [("conformant", 2), ("conformant", 3)]
    assert (part.areas, part.about) == (("netdev",), " as to netdev")
    assert judge(both, IDS, passed, ["netdev", "firewall"]) == whole


@pytest.mark.parametrize(
    ("statuses", "word", "exit_status", "core", "full"),
    [
        (("passed", "passed", "passed"), "conformant", 0, "conformant", "conformant"),
        (("passed", "passed", "failed"), "not conformant", 1, "conformant", "not conformant"),
        (("passed", "failed", "passed"), "not conformant", 1, "not conformant", "not conformant"),
        (("passed", "known-deviation", "passed"), "not conformant", 1, "not conformant", "not conformant"),
        (("passed", "unsupported", "passed"), "conformant", 0, "open", "open"),
        (("passed", "not-applicable", "passed"), "conformant", 0, "conformant", "conformant"),
        (("passed", "error", "passed"), "error", 4, "error", "error"),
        (("failed", "error", "passed"), "error", 4, "error", "error"),
        (("passed", "", "passed"), "error", 4, "error", "error"),
        (("", "", ""), "error", 4, "error", "error"),
    ],
)
def test_words_and_exit_statuses(statuses, word, exit_status, core, full):
    found = verdict(*statuses)
    assert (found.word, int(found.exit_status)) == (word, exit_status)
    assert [level.word for level in found.levels] == [core, full]


def test_a_run_of_nothing_is_an_error():
    assert verdict(selected=[]).exit_status is ExitStatus.SUITE_FAILED


def test_an_outcome_that_was_not_asked_for_is_an_error():
    assert verdict("passed", "passed", "passed", selected=["AA-01"]).word == "error"


def test_what_was_not_selected_leaves_its_level_open():
    found = verdict("passed", selected=["AA-01"])
    assert found.word == "conformant"
    assert [level.word for level in found.levels] == ["open", "open"]


@given(st.lists(st.sampled_from(list(Status)), min_size=3, max_size=3))
def test_a_worse_status_never_makes_a_better_verdict(statuses):
    order = ["conformant", "not conformant", "error"]
    before = judge(SPECS, IDS, dict(zip(IDS, statuses, strict=True)))
    for position in range(3):
        worse = list(statuses)
        worse[position] = Status.ERROR
        after = judge(SPECS, IDS, dict(zip(IDS, worse, strict=True)))
        assert order.index(after.word) >= order.index(before.word)


def test_the_order_of_statuses():
    ordered = ["not-applicable", "unsupported", "passed", "known-deviation", "failed", "error"]
    assert [status.value for status in Status] == ordered
    assert Status.worst([Status.PASSED, Status.UNSUPPORTED]) is Status.PASSED
