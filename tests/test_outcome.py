"""What becomes of a spec's phases: set-up, the spec itself, and clean-up."""

import itertools
import json

import pytest

from conformance.outcome import Outcome
from conformance.verdict import Status


def merged(*statuses):
    outcome = Outcome("AA-01", Status(statuses[0]))
    for status in statuses[1:]:
        outcome.merge(Outcome("AA-01", Status(status), message=f"it {status}"))
    return outcome


@pytest.mark.parametrize(
    ("phases", "status"),
    [
        (("passed", "passed", "passed"), "passed"),
        (("passed", "unsupported", "passed"), "unsupported"),
        (("passed", "unsupported", "failed"), "failed"),
        (("passed", "failed", "passed"), "failed"),
        (("passed", "passed", "failed"), "failed"),
        (("passed", "passed", "error"), "error"),
        (("passed", "failed", "error"), "error"),
        (("error", "passed"), "error"),
        (("passed", "known-deviation", "passed"), "known-deviation"),
        (("passed", "not-applicable", "passed"), "not-applicable"),
    ],
)
def test_a_spec_has_passed_only_if_nothing_else_was_the_matter(phases, status):
    assert merged(*phases).status is Status(status)


def test_the_order_of_phases_makes_no_difference():
    for phases in itertools.permutations(["passed", "unsupported", "failed"]):
        assert merged(*phases).status is Status.FAILED


def test_messages_of_both_phases_are_kept():
    outcome = merged("passed", "failed", "error")
    assert outcome.message == "it failed\nand then: it error"


def test_it_survives_the_way_from_a_worker():
    outcome = Outcome(
        "AA-01", Status.FAILED, "why", 1.5, 0.5, "gw0", "mutant", "trace", ["call"], {"a.pcap": bytes(range(256))}
    )
    assert Outcome.from_plain(json.loads(json.dumps(outcome.plain()))) == outcome
