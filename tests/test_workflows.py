"""The workflows of CI: that they can be read, and call what there is."""

import re
from pathlib import Path

import pytest
import yaml

from conformance import environments

REPOSITORY = Path(__file__).parent.parent
WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_calls_targets_that_there_are(path):
    jobs = yaml.safe_load(path.read_text())["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    called = {target for command in commands for target in re.findall(r"\bmake ([a-z-]+)", command)}
    assert called
    assert called <= TARGETS


def test_the_suite_runs_in_every_environment_that_a_machine_of_ci_has():
    (path,) = WORKFLOWS
    jobs = yaml.safe_load(path.read_text())["jobs"]
    assert set(jobs["conformance"]["strategy"]["matrix"]["env"]) == set(environments.NAMES) - {"ssh", "freebsd-vm"}
    assert jobs["matrix"]["needs"] == ["conformance", "freebsd"]


def test_the_suite_runs_on_a_freebsd_whose_image_is_kept_as_long_as_its_recipe():
    (path,) = WORKFLOWS
    steps = yaml.safe_load(path.read_text())["jobs"]["freebsd"]["steps"]
    (cached,) = [step["with"] for step in steps if step.get("uses", "").startswith("actions/cache")]
    assert cached["path"].endswith("/.cache/refnet/freebsd-vm")
    assert "hashFiles('images/freebsd-vm/**')" in cached["key"]
    commands = [step["run"] for step in steps if "run" in step]
    assert commands.index("make freebsd-image") < commands.index(
        "make conformance ENV=freebsd-vm REPORT=build/freebsd-vm"
    )


def test_ci_calls_targets_that_there_are():
    called = set(re.findall(r"^make ([a-z-]+)", (REPOSITORY / ".ci" / "run").read_text(), re.MULTILINE))
    assert {"lint", "test", "nova-test", "conformance", "mutants", "images-test", "test-environments"} == called
    assert called <= TARGETS
