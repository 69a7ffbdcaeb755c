"""``verify`` against forgeries whose verdict agrees with their specs, and what makes a kill matrix complete."""

import copy
import json

import pytest
from test_command import command

from conformance import report as reports
from conformance import spec as specs
from conformance.outcome import Outcome
from conformance.report.matrix import KillMatrix
from conformance.verdict import ExitStatus, Status, judge
from conformance.verify import verify


@pytest.fixture(scope="module")
def genuine(tmp_path_factory):
    """A run of one spec that uses a capability, one that a kernel may lack, and one with a need."""
    directory = tmp_path_factory.mktemp("genuine")
    done = command("run", "--only", "BR-01,VL-01,TA-12", "-n", "0", "--report", str(directory))
    assert done.returncode == 0, done.stdout + done.stderr
    return directory / "report.json"


def entry(report, spec_id):
    return next(one for one in report["specs"] if one["id"] == spec_id)


def settle(report):
    """Let the verdict say what the specs come to, so that it is not the verdict that gives a forgery away."""
    statuses = {one["id"]: Status(one["status"]) for one in report["specs"] if one["id"] in report["heard_of"]}
    report["verdict"] = reports.plain_verdict(
        judge(specs.manifest(), report["selected"], statuses, report["areas"]), report["trouble"]
    )


def written(report, directory):
    path = directory / "report.json"
    path.write_text(json.dumps(report))
    return path


def deny(report, run, capability, side):
    report["runs"][run]["capabilities"][capability][side] = "not here"
    report["capabilities"] = copy.deepcopy(report["runs"][0]["capabilities"])


def second_run(report):
    report["runs"].append(copy.deepcopy(report["runs"][0]))
    entry(report, "BR-01")["run"] = 1


def unsupported_through_a_need(report):
    entry(report, "TA-12").update(status="unsupported", message="second-user: only one user id is mapped")


def unsupported_through_the_driver_of_another_run(report):
    second_run(report)
    deny(report, 1, "bridge", "driver")
    entry(report, "BR-01").update(status="unsupported", message="bridge: the driver says 'not here'")


def nothing_was_heard(report):
    report["heard_of"].remove("BR-01")
    entry(report, "BR-01").update(status="error", message="it was selected, and nothing was heard of it")


def test_a_genuine_report_is_verified(genuine):
    done = command("verify", str(genuine))
    assert done.returncode == 0, done.stdout
    assert "objection" not in done.stdout


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (second_run, ExitStatus.CONFORMANT),
        (unsupported_through_a_need, ExitStatus.CONFORMANT),
        (unsupported_through_the_driver_of_another_run, ExitStatus.CONFORMANT),
        (nothing_was_heard, ExitStatus.SUITE_FAILED),
        (lambda report: entry(report, "BR-01").update(status="failed", message="no"), ExitStatus.NOT_CONFORMANT),
    ],
)
def test_what_a_run_may_come_to_meets_no_objection(genuine, tmp_path, capsys, change, status):
    report = json.loads(genuine.read_text())
    change(report)
    settle(report)
    assert verify(written(report, tmp_path)) is status
    assert "objection" not in capsys.readouterr().out


def denied_in_another_run(report):
    second_run(report)
    deny(report, 0, "bridge", "driver")
    entry(report, "VL-01")["status"] = "passed"
    entry(report, "BR-01").update(status="unsupported", message="bridge: the driver says 'not here'")


def passed_without_its_capability(report):
    deny(report, 0, "bridge", "driver")
    entry(report, "BR-01")["capabilities"] = []


@pytest.mark.parametrize(
    ("forgery", "words"),
    [
        (lambda report: entry(report, "BR-01").update(status="not-applicable"), "BR-01 is listed as not-applicable"),
        (lambda report: entry(report, "BR-01").update(capabilities=[]), "another capabilities"),
        (lambda report: entry(report, "BR-01").update(needs=["luck"]), "another needs"),
        (lambda report: entry(report, "BR-01").update(level="full", topic="y"), "another level, another topic"),
        (lambda report: entry(report, "BR-01").update(level="full"), "another level"),
        (passed_without_its_capability, "BR-01 is listed as passed, and the report itself says that it was not run"),
        (lambda report: entry(report, "BR-01").update(status="unsupported"), "nothing that it uses was denied"),
        (denied_in_another_run, "nothing that it uses was denied"),
        (lambda report: report["heard_of"].append("BR-02"), "does not list: 'BR-02'"),
        (lambda report: report["selected"].append("BR-01"), "selected are not those that it lists"),
        (lambda report: report["selected"].remove("BR-01"), "selected are not those that it lists"),
        (lambda report: report["manifest"]["levels"]["full"].pop(), "its levels have other specs"),
        (lambda report: report["manifest"]["levels"].update(extra=[]), "its levels have other specs"),
        (lambda report: report["manifest"]["areas"]["netdev"].pop(), "its areas have other specs"),
        (lambda report: entry(report, "BR-01").update(run=-1), "BR-01 is listed with run -1"),
        (lambda report: entry(report, "BR-01").update(run=1), "BR-01 is listed with run 1"),
        (lambda report: report["environment"].update(kernel="7.0"), "its first run says otherwise of environment"),
        (lambda report: report["capabilities"].clear(), "its first run says otherwise of capabilities"),
    ],
)
def test_a_forgery_that_agrees_with_itself_meets_an_objection(genuine, tmp_path, capsys, forgery, words):
    report = json.loads(genuine.read_text())
    forgery(report)
    settle(report)
    assert verify(written(report, tmp_path)) is ExitStatus.SUITE_FAILED
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda report: entry(report, "BR-01").update(run=True), "run should be a whole number"),
        (lambda report: entry(report, "BR-01").update(run="0"), "run should be a whole number"),
        (lambda report: entry(report, "BR-01").update(status="fine"), "status should be one of"),
        (lambda report: report.pop("drivers"), "an object with 'drivers'"),
        (lambda report: report["drivers"].pop("netdev"), "drivers should be an object with 'netdev', for BR-01"),
        (lambda report: entry(report, "BR-01").update(area="x"), "an object with 'x', for BR-01"),
        (lambda report: report["drivers"].update(x=report["drivers"]["netdev"]), "no such area: 'x'"),
        (lambda report: report.pop("suite"), "an object with 'suite'"),
        (lambda report: report.update(runs=[]), "at least one run"),
        (lambda report: report["runs"][0].pop("capabilities"), "capabilities should be an object"),
        (lambda report: report["runs"][0]["capabilities"].pop("veth"), "an object with 'veth'"),
        (lambda report: report["runs"][0]["capabilities"]["veth"].update(driver=0), "should be a text or null"),
        (lambda report: report["runs"][0]["capabilities"]["veth"].pop("driver"), "KeyError: 'driver'"),
        (lambda report: report.update(verdict=[]), "verdict should be an object"),
        (lambda report: report.update(trouble="none"), "trouble should be a list"),
    ],
)
def test_what_is_not_whole_is_refused_with_what_is_wrong(genuine, tmp_path, damage, words):
    report = json.loads(genuine.read_text())
    damage(report)
    with pytest.raises(ValueError, match="is no whole report") as refusal:
        verify(written(report, tmp_path))
    assert words in str(refusal.value)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000])
def test_json_that_is_nested_too_deeply_is_wrong_usage(tmp_path, text):
    path = tmp_path / "report.json"
    path.write_text(text)
    done = command("verify", str(path))
    assert done.returncode == 2
    assert "nested too deeply" in done.stderr


@pytest.mark.parametrize(
    ("statuses", "complete"),
    [
        ((Status.FAILED, Status.FAILED), True),
        ((Status.FAILED, Status.UNSUPPORTED), True),
        ((Status.UNSUPPORTED, Status.UNSUPPORTED), False),
        ((Status.FAILED, Status.PASSED), False),
        ((), False),
    ],
)
def test_a_matrix_without_a_kill_is_not_complete(statuses, complete):
    pairs = {(f"BR-{number:02}", "wrong"): "no frame" for number in range(len(statuses))}
    outcomes = {
        pair: Outcome(pair[0], status, "no frame" if status is not Status.PASSED else "", mutant=pair[1])
        for pair, status in zip(pairs, statuses, strict=True)
    }
    assert KillMatrix(pairs, outcomes, []).complete is complete
