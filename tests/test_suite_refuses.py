"""The suite's refusal to judge: whatever goes wrong in it ends as an error with exit status 4, never as a verdict.

Each test runs the real command with a saboteur: a pytest plugin that breaks one thing.
"""

import json
import os
import subprocess
import sys
import textwrap

import pytest

from conformance.oracles.state import State, as_diff, difference


@pytest.fixture
def run(tmp_path):
    """Run ``refnet-conformance run`` with a saboteur's code, and return exit status, report and all output."""

    def run(sabotage, only="BR-01,BR-02,BR-04", workers=0):
        (tmp_path / "saboteur.py").write_text(textwrap.dedent(sabotage))
        report = tmp_path / "report"
        done = subprocess.run(
            [
                *(sys.executable, "-m", "conformance.cli", "run", "--only", only),
                *("-n", str(workers), "--report", str(report)),
            ],
            env={**os.environ, "PYTEST_PLUGINS": "saboteur", "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        path = report / "report.json"
        return done.returncode, json.loads(path.read_text()) if path.exists() else None, done.stdout + done.stderr

    return run


def statuses(report):
    return {entry["id"]: entry["status"] for entry in report["specs"]}


def test_undisturbed_it_says_conformant(run):
    status, report, output = run("")
    assert status == 0, output
    assert statuses(report) == dict.fromkeys(("BR-01", "BR-02", "BR-04"), "passed")
    assert report["verdict"]["word"] == "conformant"


def test_a_missing_fence_is_an_error(run):
    status, report, output = run(
        """
        from conformance.topology import linux
        honest = linux.Sandbox.withholds

        def without_fence(self, sender, frame, receiver, *, fence, **rest):
            class Mute:
                name, mac = "mute", fence[0].mac
                def send(self, frame): pass
            honest(self, sender, frame, receiver, fence=(Mute(), fence[1]), **rest)

        linux.Sandbox.withholds = without_fence
        """
    )
    assert status == 4, output
    assert statuses(report)["BR-04"] == "error"
    assert "the fence" in output
    assert report["verdict"]["word"] == "error"


def test_a_witness_that_saw_nothing_is_an_error(run):
    status, _, output = run(
        """
        from conformance.topology import linux
        linux.Sandbox._arrives = lambda *_: False
        """
    )
    assert status == 4
    assert "the witness b did not get" in output


def test_an_exception_in_the_suite_is_an_error_and_not_a_failure_of_the_driver(run):
    status, report, output = run(
        """
        from conformance.topology import linux
        def broken(*_, **__): raise ZeroDivisionError("the suite's own")
        linux.Sandbox.frame = broken
        """
    )
    assert status == 4
    assert set(statuses(report).values()) == {"error"}
    assert "ZeroDivisionError: the suite's own" in output


def test_scaffolding_that_cannot_be_built_is_an_error(run):
    status, report, _ = run(
        """
        from conformance.topology.linux import endpoints
        honest = endpoints.LinuxStack.ip
        def failing(self, *commands): honest(self, *commands, "link add nonsense")
        endpoints.LinuxStack.ip = failing
        """
    )
    assert status == 4
    assert set(statuses(report).values()) == {"error"}


def test_a_skip_is_an_error(run):
    status, report, _ = run(
        """
        import pytest
        from conformance.topology import sandbox
        sandbox.Sandbox.delivers = lambda *_, **__: pytest.skip("not today")
        """
    )
    assert status == 4
    assert set(statuses(report).values()) == {"error"}


def test_a_crash_of_the_runner_is_an_error(run):
    status, report, output = run(
        """
        def pytest_runtest_logreport(report):
            raise RuntimeError("a plugin that crashes")
        """
    )
    assert status == 4
    assert report is None or report["verdict"]["word"] == "error"
    assert "crashe" in output


def test_a_runner_that_just_ends_is_an_error(run):
    status, report, output = run(
        """
        import os
        def pytest_runtest_setup(item):
            os._exit(0)
        """
    )
    assert status == 4
    assert set(statuses(report).values()) == {"error"}
    assert "the suite ended with status 0 before all of its specs had been heard of" in output


def test_a_report_of_an_earlier_run_is_not_taken_for_this_ones(run):
    assert run("")[0] == 0
    status, report, _ = run("import os\ndef pytest_runtest_setup(item): os._exit(0)")
    assert status == 4
    assert set(statuses(report).values()) == {"error"}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_lost_worker_is_an_error(run, workers):
    status, report, output = run(
        """
        import os, signal
        from conformance import runner
        def pytest_runtest_setup(item):
            if runner.spec_of(item).id == "BR-02":
                os.kill(os.getpid(), signal.SIGKILL)
        """,
        workers=workers,
    )
    assert status == 4
    assert statuses(report)["BR-02"] == "error"
    assert report["verdict"]["word"] == "error"
    assert "lost" in output


def test_a_spec_that_is_not_collected_is_an_error(run):
    status, report, output = run(
        """
        import pytest
        from conformance import runner
        @pytest.hookimpl(tryfirst=True)
        def pytest_collection_modifyitems(items):
            items[:] = [item for item in items if runner.spec_of(item).id != "BR-02"]
        """
    )
    assert status == 4
    assert statuses(report)["BR-02"] == "error"
    assert report["verdict"]["missing"] == ["BR-02"]
    assert "nothing was heard of it" in output


def test_a_manifest_that_does_not_know_a_collected_spec_is_an_error(run):
    status, _, _ = run(
        """
        from conformance import spec
        honest = spec.manifest
        spec.manifest = lambda: tuple(one for one in honest() if one.id != "BR-02")
        import conformance.judge
        honest_select = spec.select
        spec.select = lambda specs, **how: honest_select([*specs, *(s for s in honest() if s not in specs)], **how)
        """
    )
    assert status == 4


def test_a_test_function_that_is_no_spec_is_refused(run):
    status, _, output = run(
        """
        from conformance.specs.netdev import test_bridge
        def test_without_a_sentence(): pass
        test_bridge.test_without_a_sentence = test_without_a_sentence
        """
    )
    assert status == 4
    assert "it has no id and no sentence" in output or "without a report" in output


def test_what_is_left_behind_fails_the_spec(run):
    status, _, output = run(
        """
        import os
        from conformance.topology import linux
        honest = linux.Sandbox.delivers
        def leaky(self, *args, **rest):
            honest(self, *args, **rest)
            self.ip("link add name leftover type bridge")
        linux.Sandbox.delivers = leaky
        """,
        only="BR-01",
    )
    assert status in (1, 4)
    assert "leftover" in output


def test_the_state_difference_sees_all_kinds_of_change():
    before = State({"link": {"a": {"mtu": 1500, "flags": ["UP"]}, "b": {}}, "route": {"r": ""}})
    after = State({"link": {"a": {"mtu": 1400, "flags": ["UP"]}, "c": {}}, "route": {}})
    assert difference(before, after) == [
        "link b is gone",
        "link c is new",
        "link a: mtu was 1500, is 1400",
        "route r is gone",
    ]
    assert difference(before, before) == []
    assert as_diff(before, after).splitlines() == [
        "- link a mtu: 1500",
        "+ link a mtu: 1400",
        "- link b",
        "+ link c",
        "- route r",
    ]
    assert as_diff(before, before) == ""


def test_specs_that_were_only_set_up_have_not_passed(tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "--pyargs", "conformance.specs", "-p", "no:cacheprovider"),
            *("--setup-only", "--conformance-only", "BR-01", "--conformance-report", str(tmp_path)),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 4, done.stdout + done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert statuses(report) == {"BR-01": "error"}
    assert "the spec itself was not" in report["specs"][0]["message"]


def test_a_driver_that_hangs_in_the_clean_up_is_ended(run):
    status, report, _ = run(
        """
        import time
        from conformance import runner
        from refnet.netdev.linux import LinuxNetDevDriver
        runner._CLEAN_UP_LIMIT = 0.5
        LinuxNetDevDriver.delete_bridge = lambda self, bridge: time.sleep(3600)
        """,
        only="BR-01",
    )
    assert status == 1
    assert "the driver's clean-up did not end within 0.5 s" in report["specs"][0]["message"]
