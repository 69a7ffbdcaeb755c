"""The launcher: what it believes, what it takes for lost, how specs are shared out, and going on."""

import json
import os
import signal
import subprocess
import sys
import uuid

import pytest
from waiting import processes, wait_until

from conformance import launcher
from conformance.environments.base import Availability, Environment, Options, ProcessChannel
from conformance.environments.local import Local
from conformance.errors import EnvironmentUnavailable
from conformance.journal import Journal, read
from conformance.judge import Judge, Plan
from conformance.outcome import Outcome
from conformance.verdict import Status

LINUX = "refnet.netdev.linux:LinuxNetDevDriver"
#: Specs that take a while, all of which run on any kernel and as any user.
SLOW = ",".join(f"FA-{number:02}" for number in (1, 3, 4, 5, 6, 7, 8, 15))


WRONG = """
from refnet.netdev.linux import LinuxNetDevDriver

class Driver(LinuxNetDevDriver):
    def add_bridge_port(self, bridge, port, *, move=False):
        super().add_bridge_port(bridge, port, move=True)
"""


class Scripted(Environment):
    """An environment in which, whatever is to be started, a shell script runs."""

    name = "scripted"
    script = ""

    @classmethod
    def availability(cls, options):
        return Availability()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def start(self, command):
        return ProcessChannel(["sh", "-c", self.script])

    def last_words(self):
        return "the console says: bye"


def scripted(script):
    return type("One", (Scripted,), {"script": script})(Options())


FACTS = {
    "event": "facts",
    "clock": 1.0,
    "suite": {"version": "1", "digest": "s"},
    "refnet": {"version": "1", "digest": "r"},
    "drivers": {"netdev": {"class": "a:B", "version": "1", "digest": "d", "known_deviations": {}, "bases": []}},
    "capabilities": {},
    "environment": {
        **dict.fromkeys(("name", "system", "kernel", "machine", "distribution", "python", "user"), "x"),
        "tools": {},
        "details": {},
    },
}
PASSED = {
    "event": "outcome",
    **Outcome("BR-01", Status.PASSED, started=2.0, seconds=1.0).plain(),
}


def says(*events, then=""):
    """Return a script that tells events, and then does something else."""
    lines = "\n".join(json.dumps(event) for event in events)
    return f"cat <<'END'\n{lines}\nEND\n{then}"


def launch(script, *, patience=60, selected=("BR-01",)):
    judge = Judge(Plan(selected))
    launcher.launch([scripted(script)], judge.plan, launcher.Settings({"netdev": LINUX}, patience=patience), judge)
    return judge


def test_what_is_told_whole_is_believed():
    judge = launch(says(FACTS, PASSED, {"event": "end", "status": 0}))
    assert judge.finish() == 0
    assert judge.document()["environment"]["name"] == "scripted"


def test_an_environment_that_says_nothing_could_not_be_had():
    with pytest.raises(EnvironmentUnavailable, match=r"(?s)scripted: no such thing.*the console says: bye"):
        launch("echo no such thing >&2; exit 5")


def test_a_refusal_is_passed_on():
    with pytest.raises(EnvironmentUnavailable, match="scripted: no driver"):
        launch(says({"event": "refused", "words": "no driver"}))


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (says(FACTS, PASSED), "was lost while specs were running: the console says: bye"),
        (says(FACTS, PASSED, {"event": "end", "status": 1}), "which what it told does not bear out"),
        (says(FACTS, PASSED, {"event": "end", "status": 3}), "the suite ended with status 3"),
        (says(FACTS, {"event": "end", "status": 0}), "before all of its specs had been heard of"),
        (says(FACTS, PASSED, {"event": "end", "status": 0}, then="echo rubbish"), "no event"),
        (says(FACTS, PASSED, {"event": "party"}, {"event": "end", "status": 0}), "no event of this suite"),
        (says(FACTS, PASSED, ["end"], {"event": "end", "status": 0}), "no event"),
        (says(FACTS, {**PASSED, "id": "../BR-01"}, PASSED, {"event": "end", "status": 0}), "was not asked for"),
        (says(FACTS, {**PASSED, "mutant": "m"}, PASSED, {"event": "end", "status": 0}), "was not asked for"),
        (says(FACTS, {**PASSED, "status": "not-applicable"}, PASSED, {"event": "end", "status": 0}), "cannot be"),
        (says(FACTS, {**PASSED, "started": "x"}, PASSED, {"event": "end", "status": 0}), "no event of this suite"),
        (says(FACTS, {**PASSED, "message": 5}, PASSED, {"event": "end", "status": 0}), "no event of this suite"),
        (says(FACTS, PASSED, {"event": "end", "status": 0}, then="printf '%0200000d\\n' 0 | tr 0 '['"), "no event"),
        (says(FACTS, PASSED, {"event": "end", "status": float("inf")}), "no event"),
        (says({**FACTS, "drivers": "x"}, FACTS, PASSED, {"event": "end", "status": 0}), "no event of this suite"),
        (
            says({**FACTS, "drivers": {}}, FACTS, PASSED, {"event": "end", "status": 0}),
            "nothing of what is judged: netdev",
        ),
        (says(FACTS, {"event": "outcome", "id": "BR-01"}, {"event": "end", "status": 0}), "no event of this suite"),
        (says(FACTS, PASSED, {"event": "end"}), "no event"),
    ],
)
def test_what_does_not_hold_together_is_no_verdict(script, words):
    judge = launch(script)
    assert judge.finish() == 4
    assert words in "\n".join(judge.trouble)


def test_what_a_login_shell_prints_is_no_event():
    assert launch("echo Welcome; " + says(FACTS, PASSED, {"event": "end", "status": 0})).finish() == 0


def test_what_a_terminal_would_obey_is_not_passed_on():
    judge = launch(says(FACTS, {**PASSED, "status": "failed", "message": "\x1b[2Jgone"}, {"event": "end", "status": 1}))
    assert judge.outcomes["BR-01", None].message == r"\x1b[2Jgone"


def test_other_code_than_was_asked_for_is_no_verdict():
    judge = Judge(Plan(("BR-01",)))
    settings = launcher.Settings({"netdev": LINUX}, digests={"suite": "s", "netdev": "another"})
    launcher.launch([scripted(says(FACTS, PASSED, {"event": "end", "status": 0}))], judge.plan, settings, judge)
    assert judge.finish() == 4
    assert "the device driver that runs there is not the one that was asked for" in judge.trouble[0]


def test_a_run_that_kept_nothing_back_is_not_conformant_for_that():
    judge = Judge(Plan(("BR-01", "BR-04"), keep=True))
    judge.take(FACTS)
    judge.take(PASSED)
    assert judge.finish() == 4


def test_silence_is_not_waited_for_for_ever():
    judge = launch(says(FACTS, then="exec sleep 600 </dev/null"), patience=1)
    assert "no sign of life for 1 s" in judge.trouble[0]
    assert judge.finish() == 4


def test_evidence_cannot_be_written_elsewhere(tmp_path):
    judge = Judge(Plan(("BR-01",)), directory=tmp_path / "report")
    hostile = {**PASSED, "mutant": "x/../../../escaped", "evidence": {"a": ""}}
    evidence = {"../../escaped": "", "/etc/escaped": "", ".hidden": "", "links.txt": "aGVsbG8="}
    judge.take(FACTS)
    with pytest.raises(ValueError, match="was not asked for"):
        judge.take(hostile)
    judge.take({**PASSED, "status": "failed", "evidence": evidence})
    files = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]
    assert files == ["report/evidence/BR-01/links.txt"]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shares_are_whole_and_apart(count):
    specs = [f"X-{number}" for number in range(5)]
    shares = launcher._shares(specs, count)
    assert sorted(spec for share in shares for spec in share) == specs
    assert len(shares) == min(count, 5)


def test_specs_are_spread_over_several_environments(tmp_path):
    judge = Judge(Plan(("BR-01", "BR-04", "NM-01")))
    settings = launcher.Settings({"netdev": LINUX}, workers=0)
    launcher.launch([Local(Options()), Local(Options())], judge.plan, settings, judge)
    assert judge.finish() == 0
    document = judge.document()
    assert {entry["id"]: entry["run"] for entry in document["specs"]} == {"BR-01": 0, "BR-04": 1, "NM-01": 0}
    assert len(document["runs"]) == 2


# -- a run that was broken off ----------------------------------------------------------------------------


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "conformance.cli", "run", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*arguments):
    process = start(*arguments)
    out, err = process.communicate(timeout=300)
    assert "Traceback" not in err, err
    return process.returncode, out, err


def broken_off(directory, how=signal.SIGKILL):
    mark = uuid.uuid4().hex
    process = start("--only", SLOW, "-n", "1", "--report", directory, "--seed", mark)
    journal = directory / "journal.jsonl"
    wait_until(lambda: journal.exists() and '"event": "outcome"' in journal.read_text(), "a spec is done", 120)
    process.send_signal(how)
    process.communicate(timeout=120)
    wait_until(lambda: not processes(mark), "what it had started is gone")
    return process.returncode


@pytest.mark.parametrize(("how", "status"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_broken_off_run_goes_on_where_it_was(tmp_path, how, status):
    assert broken_off(tmp_path, how) == status
    with (tmp_path / "journal.jsonl").open("a") as journal:
        journal.write('{"event": "outcome", "id": "FA-08", "sta')  # as a kill leaves it
    status, out, err = run("--resume", tmp_path, "-n", "1")
    assert status == 0, out + err
    report = json.loads((tmp_path / "report.json").read_text())
    assert {entry["id"]: entry["status"] for entry in report["specs"]} == dict.fromkeys(SLOW.split(","), "passed")
    assert [entry["run"] for entry in report["specs"]].count(0) == 8 - out.count("  passed  ")
    assert report["command"][:4] == ["refnet-conformance", "run", "--only", SLOW]

    status, out, _ = run("--resume", tmp_path)
    assert status == 0
    assert "  passed  " not in out


def test_a_run_whose_code_has_changed_does_not_go_on(tmp_path, monkeypatch):
    report = tmp_path / "report"
    driver = tmp_path / "mine.py"
    driver.write_text("from refnet.netdev.linux import LinuxNetDevDriver as Driver\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert run("--netdev", "mine:Driver", "--only", "NM-01", "-n", "0", "--report", report)[0] == 0
    assert [entry["event"] for entry in read(report)] == ["plan", "facts", "outcome"]
    driver.write_text("from refnet.netdev.linux import LinuxNetDevDriver\nclass Driver(LinuxNetDevDriver):\n    pass\n")
    assert run("--netdev", "mine:Driver", "--only", "NM-01", "-n", "0", "--report", report)[0] == 0
    driver.write_text(driver.read_text() + "# a change\n")
    status, _, err = run("--resume", report)
    assert status == 2
    assert "the code of the device driver has changed since the run was begun: run anew" in err


@pytest.mark.parametrize(
    "lines",
    [
        "",
        "[]",
        '{"event": "plan", "run": 0}',
        '{"event": "plan", "run": 0, "selected": ["BR-01"], "arguments": [], "digests": {}, "command": []}',
        '{"run": 0}',
        '{"event": "plan", "run": "a"}',
        "[" * 100000,
    ],
)
def test_a_journal_that_says_nothing_is_not_gone_on_with(tmp_path, lines):
    (tmp_path / "journal.jsonl").write_text(lines + "\n" * bool(lines))
    status, _, err = run("--resume", tmp_path)
    assert status == 2
    assert "run anew" in err


def test_a_run_in_doubt_is_judged_again(tmp_path):
    assert run("--only", "BR-01,NM-01", "-n", "0", "--report", tmp_path)[0] == 0
    with (tmp_path / "journal.jsonl").open("a") as journal:
        journal.write('{"event": "trouble", "words": "local: the suite ended with status 1", "run": 0}\n')
    status, out, err = run("--resume", tmp_path)
    assert status == 0, out + err
    assert out.count("  passed  ") == 2


def test_only_one_run_writes_a_journal(tmp_path):
    journal = Journal(tmp_path)
    with pytest.raises(ValueError, match="another run is writing"):
        Journal(tmp_path)
    journal.close()


def test_a_damaged_journal_is_not_gone_on_with(tmp_path):
    (tmp_path / "journal.jsonl").write_text('rubbish\n{"event": "plan"}\n')
    status, _, err = run("--resume", tmp_path)
    assert status == 2
    assert "is damaged: run anew" in err


def test_the_journal_takes_an_unfinished_line_away(tmp_path):
    (tmp_path / "journal.jsonl").write_text('{"event": "plan", "run": 0}\n{"event": "fac')
    journal = Journal(tmp_path)
    journal.write({"event": "trouble", "words": "x"}, 1)
    journal.close()
    assert [entry["event"] for entry in read(tmp_path)] == ["plan", "trouble"]


def test_only_what_failed_is_run_again(tmp_path, monkeypatch):
    (tmp_path / "wrong.py").write_text(WRONG)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    first = run("--netdev", "wrong:Driver", "--only", "BR-11,BR-12", "-n", "0", "--report", tmp_path / "report")
    status, out, _ = run("--only-failed", tmp_path / "report", "-n", "0")
    assert first[0] == status == 1
    assert "[1/1] BR-12  failed" in out
    assert run("--only", "NM-01", "-n", "0", "--report", tmp_path / "report")[0] == 0
    status, _, err = run("--only-failed", tmp_path / "report")
    assert status == 2
    assert "nothing failed there" in err


def test_a_sandbox_that_is_kept_is_let_go_of_by_ctrl_c(tmp_path, monkeypatch):
    (tmp_path / "wrong.py").write_text(WRONG)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    process = start("--netdev", "wrong:Driver", "--only", "BR-12,BR-13", "--keep")
    for line in process.stderr:
        if "nsenter --target" in line:
            break
    namespace = f"/proc/{line.split('--target ')[1].split()[0]}/ns/net"
    assert os.path.exists(namespace)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 1, out
    assert "BR-13" not in out
    wait_until(lambda: not os.path.exists(namespace), "the sandbox is gone")
