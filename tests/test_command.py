"""The command ``refnet-conformance``: usage, the kill matrix, reports that are verified, and drivers from outside."""

import json
import os
import subprocess
import sys
import textwrap

import pytest


def command(*arguments, cwd=None, env=None, timeout=600):
    done = subprocess.run(
        [sys.executable, "-m", "conformance.cli", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        timeout=timeout,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture(scope="module")
def good_report(tmp_path_factory):
    directory = tmp_path_factory.mktemp("good")
    done = command("run", "--only", "BR-01,MM-14,NM-01", "-n", "0", "--report", str(directory))
    assert done.returncode == 0, done.stdout + done.stderr
    return directory / "report.json"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--only", "XX-99"], "no such spec: XX-99"),
        (["run", "--netdev", "no-such-driver"], "no driver 'no-such-driver'"),
        (["run", "--netdev", "no.such.module:Driver"], "cannot be imported"),
        (["run", "--netdev", "json:JSONDecoder"], "is not a subclass of NetDevDriver"),
        (["run", "-n", "-1"], "not a number of workers"),
        (["run", "--level", "some"], "invalid choice"),
        (
            ["run", "--env", "moon"],
            "there is no such environment; expected local, docker, linux-vm, freebsd-vm or ssh://USER@",
        ),
        (["run", "--env", "ssh"], "there is no such environment"),
        (["run", "--kernel", "generic"], "--kernel means nothing to the environment local"),
        (["run", "--patience", "1"], "not a number of seconds from 10"),
        (["run", "--wheel", "/dev/null"], "expected a file made by 'pip wheel'"),
        (["run", "--wheel", "/no/such.whl"], "No such file"),
        (["run", "--resume", "/no/such/directory"], "has no journal of a run"),
        (["run", "--resume", "/tmp", "--only", "BR-01"], "cannot be combined"),
        (["run", "--resume", "/tmp", "--env", "docker"], "cannot be combined"),
        (["run", "--resume", "/tmp", "--level", "core"], "cannot be combined"),
        (["mutants", "--only", ","], "names no mutant"),
        (["run", "--ssh-key", ""], "--ssh-key is empty"),
        (["run", "--wheel", ""], "--wheel is empty"),
        (["run", "--only-failed", "/no/such/directory"], "cannot be read"),
        (["run", "--only-failed", "/tmp", "--only", "BR-01"], "give one of them"),
        (["mutants", "--only", "no-such-mutant"], "no such mutant"),
        (["verify", "/no/such/report.json"], "cannot be read"),
        (["run", "--only", "BR-01", "--report", "/dev/null"], "a report cannot be written"),
        (["run", "--only", ","], "names no spec"),
        (["run", "--netdev", ""], "--netdev is empty"),
        (["run", "--firewall", ""], "--firewall is empty"),
        (["run", "--area", "firewall", "--firewall", "no-such"], "no driver 'no-such' in refnet.firewall: known are"),
        (["run", "--area", "firewall", "--firewall", "json:JSONDecoder"], "is not a subclass of FirewallManager"),
        (["run", "--area", "dns"], "no such area: 'dns'; expected one of netdev, firewall"),
        (["run", "--area", ","], "--area ',' names no area"),
        (["run", "--area", "firewall", "--only", "BR-01"], "BR-01: of another area than firewall"),
        (["mutants", "--area", "firewall", "--only", "address-added-always"], "of another area than firewall"),
        (["run", "--resume", "/tmp", "--area", "netdev"], "cannot be combined"),
        (["new-driver", "/no/such", "--interface", "dns"], "invalid choice"),
        (["frobnicate"], "invalid choice"),
        ([], "required"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_was_wrong(arguments, words):
    done = command(*arguments)
    assert done.returncode == 2
    assert words in done.stderr


@pytest.mark.parametrize("name", [(), ("run",), ("mutants",), ("specs",), ("verify",)])
def test_help_has_the_exit_statuses(name):
    done = command(*name, "--help")
    assert done.returncode == 0
    assert "exit status:" in done.stdout


def test_specs_are_listed_for_people_and_for_machines():
    listed = json.loads(command("specs", "--json").stdout)
    lines = command("specs").stdout.splitlines()
    assert [line.split()[0] for line in lines] == [entry["id"] for entry in listed]


def test_specs_are_listed_by_area():
    listed = json.loads(command("specs", "--json", "--area", "netdev").stdout)
    assert {entry["area"] for entry in listed} == {"netdev"}
    both = json.loads(command("specs", "--json", "--area", "netdev,firewall").stdout)
    assert both == json.loads(command("specs", "--json", "--area", "firewall", "--area", "netdev").stdout)
    assert {entry["area"] for entry in both} == {"netdev", "firewall"}


def test_mutants_are_listed_by_area():
    listed = json.loads(command("mutants", "--list", "--json", "--area", "firewall").stdout)
    assert {entry["area"] for entry in listed} == {"firewall"}


def test_a_reader_that_goes_away_is_no_traceback():
    done = subprocess.run(
        f"{sys.executable} -m conformance.cli specs | head -n 1", shell=True, capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_a_report_is_verified(good_report):
    done = command("verify", str(good_report))
    assert done.returncode == 0, done.stdout
    assert "verdict  conformant" in done.stdout
    assert (good_report.parent / "junit.xml").exists()
    assert (good_report.parent / "report.html").exists()


@pytest.mark.parametrize(
    ("forgery", "words"),
    [
        (lambda report: report["specs"][0].update(status="failed"), "its specs say 'not conformant'"),
        (lambda report: report["specs"].pop(0), "its specs say 'error'"),
        (lambda report: report["specs"][0].update(sentence="It is nice."), "another sentence"),
        (lambda report: report["specs"][0].update(id="ZZ-01"), "is no spec of this suite"),
        (lambda report: report["manifest"].update(hash="0" * 64), "another set of specs"),
        (lambda report: report["specs"].append(report["specs"][0]), "lists a spec twice"),
        (lambda report: report["specs"][0].update(message="refused"), "the report itself says that it was not run"),
        (lambda report: report["heard_of"].remove("BR-01"), "nothing was heard of BR-01"),
        (lambda report: report["verdict"].update(word="excellent"), "says 'excellent'"),
    ],
)
def test_a_report_that_does_not_hold_together_is_not_verified(good_report, tmp_path, forgery, words):
    report = json.loads(good_report.read_text())
    forgery(report)
    forged = tmp_path / "report.json"
    forged.write_text(json.dumps(report))
    done = command("verify", str(forged))
    assert done.returncode == 4
    assert words in done.stdout


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", '{"format": 99}', '{"format": 1}'),
        '{"format": 1, "specs": [], "selected": [], "heard_of": [], "verdict": {}, "manifest": [], "trouble": []}',
    ],
)
def test_what_is_no_report_is_wrong_usage(tmp_path, text):
    path = tmp_path / "report.json"
    path.write_text(text)
    assert command("verify", str(path)).returncode == 2


def test_a_wrong_driver_is_not_conformant_and_the_report_says_how_to_repeat_it(tmp_path):
    (tmp_path / "wrong.py").write_text(
        textwrap.dedent(
            """
            from refnet.netdev.linux import LinuxNetDevDriver

            class Driver(LinuxNetDevDriver):
                known_deviations = {"BR-02": "https://example.org/1"}

                def add_bridge_port(self, bridge, port, *, move=False):
                    pass
            """
        )
    )
    report = tmp_path / "out"
    done = command(
        *("run", "--only", "BR-01,BR-02", "--netdev", "wrong:Driver", "-n", "2", "--report", str(report)),
        env={"PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "refnet-conformance run --only BR-01 --netdev wrong:Driver --seed 0 --keep" in done.stdout
    written = json.loads((report / "report.json").read_text())
    assert {entry["id"]: entry["status"] for entry in written["specs"]} == {
        "BR-01": "failed",
        "BR-02": "known-deviation",
    }
    assert {"a.pcap", "b.pcap", "calls.txt", "links.txt"} <= {
        path.name for path in (report / "evidence/BR-01").iterdir()
    }
    assert command("verify", str(report / "report.json")).returncode == 1


def test_a_driver_that_claims_too_little_is_caught(tmp_path):
    (tmp_path / "modest.py").write_text(
        textwrap.dedent(
            """
            from refnet.netdev.driver import Capability
            from refnet.netdev.linux import LinuxNetDevDriver

            class Driver(LinuxNetDevDriver):
                def probe(self, capability):
                    return "I would rather not" if capability is Capability.VETH else super().probe(capability)
            """
        )
    )
    done = command("run", "--only", "VE-01", "--netdev", "modest:Driver", "-n", "0", env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1
    assert "veth is under-claimed" in done.stdout


def test_a_driver_that_claims_too_much_is_caught(tmp_path):
    (tmp_path / "vain.py").write_text(
        textwrap.dedent(
            """
            from refnet.netdev.driver import Capability
            from refnet.errors import Unsupported
            from refnet.netdev.linux import LinuxNetDevDriver

            class Driver(LinuxNetDevDriver):
                def create_veth_pair(self, dev, peer, *, mtu=None):
                    raise Unsupported("not really", capability=Capability.VETH, device=dev)
            """
        )
    )
    done = command("run", "--only", "VE-01", "--netdev", "vain:Driver", "-n", "0", env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1
    assert "VE-01 failed" in done.stdout


def test_a_mutant_that_is_not_caught_as_promised_is_told(tmp_path):
    (tmp_path / "saboteur.py").write_text(
        textwrap.dedent(
            """
            from conformance import mutants

            @mutants.mutant("harmless", "nothing at all", {"BR-01": "something terrible"})
            def harmless(base):
                return type("Right", (base,), {})

            @mutants.mutant("other-words", "joins no port", {"BR-01": "something terrible"})
            def other_words(base):
                return type("Wrong", (base,), {"add_bridge_port": lambda *_, **__: None})
            """
        )
    )
    env = {"PYTEST_PLUGINS": "saboteur", "PYTHONPATH": str(tmp_path)}
    code = "import saboteur, sys; from conformance.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "mutants", "--only", "harmless,other-words", "-n", "0"],
        capture_output=True,
        text=True,
        env={**os.environ, **env},
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "harmless survived BR-01: the spec passed" in done.stdout
    assert "other-words survived BR-01: it failed without the promised words 'something terrible'" in done.stdout


def test_the_specs_run_under_plain_pytest_from_anywhere(tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "--pyargs", "conformance.specs", "-p", "no:cacheprovider"),
            *("--netdev", "refnet.netdev.linux:LinuxNetDevDriver", "--conformance-only", "BR-01,BR-04"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_under_plain_pytest_the_verdict_can_be_about_one_interface(tmp_path):
    def run(area):
        words = ("--conformance-area", area, "--conformance-only", "BR-01", "--conformance-report", str(tmp_path))
        command = [sys.executable, "-m", "pytest", "-q", "--pyargs", "conformance.specs", "-p", "no:cacheprovider"]
        return subprocess.run([*command, *words], cwd=tmp_path, capture_output=True, text=True)

    done = run("netdev")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert list(report["drivers"]) == report["verdict"]["areas"] == ["netdev"]
    assert "no such area: 'dns'" in run("dns").stderr
    assert "BR-01: of another area than firewall" in run("firewall").stderr


def test_the_plugin_does_nothing_in_other_peoples_runs(tmp_path):
    (tmp_path / "test_theirs.py").write_text("def test_theirs(): pass\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "1 passed" in done.stdout


def test_a_new_driver_starts_red_and_refuses_honestly(tmp_path):
    done = command("new-driver", str(tmp_path / "my-first"))
    assert done.returncode == 0
    assert (tmp_path / "my-first/pyproject.toml").exists()
    env = {"PYTHONPATH": str(tmp_path / "my-first")}
    done = command("run", "--netdev", "my_first:Driver", "--only", "BR-01,VE-01,NM-01", "-n", "0", env=env)
    assert done.returncode == 1
    assert "NM-01 failed" in done.stdout
    assert "2 unsupported" in done.stdout


def test_a_new_firewall_starts_red_and_the_verdict_is_about_firewalls(tmp_path):
    done = command("new-driver", str(tmp_path / "my-wall"), "--interface", "firewall")
    assert done.returncode == 0
    assert 'entry-points."refnet.firewall"' in (tmp_path / "my-wall/pyproject.toml").read_text()
    env = {"PYTHONPATH": str(tmp_path / "my-wall")}
    which = ("--area", "firewall", "--firewall", "my_wall:Manager", "--only", "FW-01,FW-02")
    done = command("run", *which, "-n", "0", "--report", str(tmp_path / "report"), env=env)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FW-01 failed" in done.stdout
    assert "verdict  not conformant as to firewall" in done.stdout
    assert "refnet-conformance run --only FW-01 --firewall my_wall:Manager --seed 0 --keep" in done.stdout
    report = json.loads((tmp_path / "report/report.json").read_text())
    assert list(report["drivers"]) == report["verdict"]["areas"] == ["firewall"]
    assert {words["area"] for words in report["capabilities"].values()} == {"firewall"}
    done = command("verify", str(tmp_path / "report/report.json"))
    assert done.returncode == 1
    assert "verdict  not conformant as to firewall\n" in done.stdout
    # Where the code is the same it can be gone on with, and what failed can be run again, as it was.
    assert command("run", "--resume", str(tmp_path / "report"), env=env).returncode == 1
    done = command("run", "--only-failed", str(tmp_path / "report"), "-n", "0", env=env)
    assert "my_wall:Manager" in done.stdout
    assert command("run", "--only-failed", str(tmp_path / "report"), "--area", "netdev", env=env).returncode == 2


def test_a_class_that_no_selected_spec_needs_is_not_looked_for():
    env = {"REFNET_FIREWALL": "nowhere:Manager"}
    assert command("run", "--only", "NM-01", "-n", "0", env=env).returncode == 0
    done = command("run", "--only", "NM-01,FW-01", "-n", "0", env=env)
    assert done.returncode == 2
    assert "nowhere cannot be imported" in done.stderr


@pytest.mark.parametrize("name", ["there", "123", "file"])
def test_a_new_driver_needs_a_folder_that_is_not_there_and_a_name(tmp_path, name):
    (tmp_path / "there").mkdir()
    (tmp_path / "there/something").touch()
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    assert command("new-driver", str(tmp_path / name)).returncode == 2
    assert sorted(tmp_path.rglob("*")) == before


def test_an_outsiders_driver_passes_what_it_declares(tmp_path):
    """The driver of ``tests/outsider``, installed as a package and named by its entry point."""
    which = ("--area", "netdev", "--netdev", "iproute2")
    done = command("run", *which, "-n", "2", "--report", str(tmp_path), timeout=900)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    declared = {name for name, words in report["capabilities"].items() if words["driver"] is None}
    assert {"bridge", "veth"} <= declared
    assert "tap-owner" not in declared
    for entry in report["specs"]:
        if not entry["needs"]:
            expected = "passed" if set(entry["capabilities"]) <= declared else "unsupported"
            assert entry["status"] == expected, entry["id"]
