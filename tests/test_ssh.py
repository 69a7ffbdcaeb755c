"""The environment ``ssh``, against a real server that sees another file system: no checkout, no packages."""

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from waiting import processes, wait_until

from conformance import launcher
from conformance.cli import parser
from conformance.environments import choose, ssh, words_for
from conformance.environments.agent import PREFIX
from conformance.environments.base import Options

REPOSITORY = Path(__file__).parent.parent
#: Specs that take a while, all of which run on any kernel.
SLOW = ",".join(f"FA-{number:02}" for number in range(1, 9))

SERVER = """
mount -t tmpfs -o mode=700 tmpfs /root
mkdir -m 700 /root/.ssh
cp key.pub /root/.ssh/authorized_keys
cp host /root/host
mount -t tmpfs tmpfs {repository}
mount -t tmpfs -o size={size} tmpfs /tmp
cd /
exec dropbear -F -E -s -p 127.0.0.1:{port} -r /root/host -P /root/pid
"""

WRONG = """
from refnet.netdev.linux import LinuxNetDevDriver

class Driver(LinuxNetDevDriver):
    def add_bridge_port(self, bridge, port, *, move=False):
        super().add_bridge_port(bridge, port, move=True)
"""


class Server:
    """An ssh server in a mount namespace of its own."""

    def __init__(self, directory, port, size="200m"):
        self.directory, self.port = directory, port
        if shutil.which("dropbear") is None:
            pytest.fail("this test needs an ssh server: 'apt-get install dropbear-bin' brings it", pytrace=False)
        if not (directory / "host").exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / "key"], check=True)
            subprocess.run(["dropbearkey", "-t", "ed25519", "-f", directory / "host"], check=True, capture_output=True)
        self.key = directory / "key"
        # ssh looks its user up by id, not by $HOME: known hosts come by an option of its configuration.
        script = SERVER.format(repository=REPOSITORY, size=size, port=port)
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script],
            cwd=directory,
            stderr=subprocess.PIPE,
            env={"PATH": os.environ["PATH"]},
        )
        line = self.process.stderr.readline()
        assert b"Not backgrounding" in line, line

    @property
    def address(self):
        return f"ssh://root@127.0.0.1:{self.port}"

    def leftovers(self):
        return list(Path(f"/proc/{self.process.pid}/root/tmp").glob(f"{PREFIX}*"))

    def agents(self):
        return [pid for pid in processes("sys.stdin.buffer.readline", "ssh ", "sh -c") if self._is_here(pid)]

    def _is_here(self, pid):
        try:
            return os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink(f"/proc/{self.process.pid}/ns/mnt")
        except OSError:
            return False

    def connections(self):
        return [pid for pid in processes(f"127.0.0.1:{self.port} -r /root/host") if pid != self.process.pid]

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def server(inside, nobody, known):
    """Serve on a port of this session's own loopback. Whoever comes in, the server sets that user's groups."""
    subprocess.run(["ip", "link", "set", "dev", "lo", "up"], check=True)
    started = Server(known, 2200 + os.getpid() % 1000)
    yield started
    started.stop()


@pytest.fixture(autouse=True, scope="module")
def trusting(known):
    """Have ssh know the server's key, which is not in the user's own file."""
    wrapper = known / "bin"
    wrapper.mkdir()
    program = wrapper / "ssh"
    program.write_text(
        f"#!/bin/sh\nexec {shutil.which('ssh')} -F none -o UserKnownHostsFile={known}/known -o "
        'StrictHostKeyChecking=accept-new "$@"\n'
    )
    program.chmod(0o755)
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{wrapper}:{before}"
    yield
    os.environ["PATH"] = before


def start(server, *arguments, path=None, **env):
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "conformance.cli", "run", "--env", server.address, "--ssh-key", str(server.key)),
            *map(str, arguments),
        ],
        env={**os.environ, **env, **({"PYTHONPATH": str(path)} if path else {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(server, *arguments, **how):
    process = start(server, *arguments, **how)
    out, err = process.communicate(timeout=300)
    assert "Traceback" not in err, err
    return process.returncode, out, err


def nothing_is_left(server):
    wait_until(lambda: not server.agents() and not server.leftovers(), "the agent and its directory are gone")
    return True


def wait_for_an_outcome(report):
    journal = report / "journal.jsonl"
    wait_until(lambda: journal.exists() and '"event": "outcome"' in journal.read_text(), "a spec is done", 120)


def test_specs_run_where_there_is_nothing_but_python(server, tmp_path):
    status, out, err = run(server, "--only", "BR-01,BR-04,NM-01", "-n", "2", "--report", tmp_path)
    assert status == 0, out + err
    report = json.loads((tmp_path / "report.json").read_text())
    assert {entry["status"] for entry in report["specs"]} == {"passed"}
    assert report["environment"]["name"] == "ssh"
    assert report["environment"]["details"]["host"] == f"root@127.0.0.1:{server.port}"
    assert nothing_is_left(server)


def test_a_driver_is_brought_along_and_its_evidence_back(server, tmp_path):
    (tmp_path / "wrong_driver.py").write_text(WRONG)
    report = tmp_path / "report"
    status, out, err = run(
        server, "--netdev", "wrong_driver:Driver", "--only", "BR-12", "-n", "0", "--report", report, path=tmp_path
    )
    assert status == 1, out + err
    entry = json.loads((report / "report.json").read_text())["specs"][0]
    assert entry["status"] == "failed"
    assert any(path.endswith(".pcap") for path in entry["evidence"])
    assert all((report / path).stat().st_size for path in entry["evidence"])
    assert f"--env {server.address} --ssh-key {server.key}" in entry["repeat"]


def test_a_driver_comes_from_a_wheel(server, tmp_path):
    wheel = tmp_path / "acme-1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("acme_driver/__init__.py", WRONG)
        archive.writestr("acme-1.2.dist-info/METADATA", "Metadata-Version: 2.1\nName: acme\nVersion: 1.2\n")
        archive.writestr("acme-1.2.dist-info/top_level.txt", "acme_driver\n")
        archive.writestr(
            "acme-1.2.dist-info/RECORD",
            "acme_driver/__init__.py,,\nacme-1.2.dist-info/METADATA,,\nacme-1.2.dist-info/top_level.txt,,\n",
        )
    status, out, err = run(
        server, "--wheel", wheel, "--netdev", "acme_driver:Driver", "--only", "BR-01,BR-12", "-n", "0", "--json"
    )
    assert status == 1, out + err
    report = json.loads(out)
    assert {entry["id"]: entry["status"] for entry in report["specs"]} == {"BR-01": "passed", "BR-12": "failed"}
    assert report["drivers"]["netdev"]["version"] == "1.2"

    # The driver that is judged has to be the wheel's.
    status, out, err = run(server, "--wheel", wheel, "--only", "BR-01", "-n", "0")
    assert (status, out) == (2, "")
    assert "is not from it: name one that is with --netdev" in err


def test_a_driver_that_cannot_be_imported_there_is_one_clear_error(server, tmp_path):
    (tmp_path / "needy.py").write_text(
        "import os\nif 'ONLY_HERE' not in os.environ:\n    raise ImportError('no module named libvirtmod')\n" + WRONG
    )
    status, out, err = run(server, "--netdev", "needy:Driver", "-n", "0", path=tmp_path, ONLY_HERE="1")
    assert status == 3
    assert out == ""
    assert "ssh: driver 'needy:Driver': needy cannot be imported: ImportError: no module named libvirtmod" in err
    assert nothing_is_left(server)


def test_a_wrong_key_says_what_to_do(server, tmp_path):
    other = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
    status, out, err = run(server, "--ssh-key", other, "--only", "BR-01")
    assert (status, out) == (3, "")
    assert "Permission denied" in err
    assert "--ssh-key" in err


def test_a_host_that_does_not_listen_says_what_to_do(server):
    class Nobody:
        address, key = "ssh://root@127.0.0.1:1", server.key

    status, _, err = run(Nobody, "--only", "BR-01")
    assert status == 3
    assert "see to the address and the port" in err


@pytest.mark.usefixtures("server")  # which has brought the loopback up
def test_a_full_disk_there_is_told_and_nothing_is_left(known, tmp_path):
    tiny = Server(known, 3300 + os.getpid() % 1000, size="1m")
    try:
        status, _, err = run(tiny, "--only", "BR-01")
        assert status == 3
        assert "No space left on device" in err
        assert "there is too little room in /tmp (" in err
        assert nothing_is_left(tiny)
    finally:
        tiny.stop()


def test_a_broken_connection_is_an_error_and_the_run_can_go_on(server, tmp_path):
    process = start(server, "--only", SLOW, "-n", "1", "--report", tmp_path)
    wait_for_an_outcome(tmp_path)
    for pid in server.connections():
        os.kill(pid, signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 4, out + err
    assert "ssh was lost while specs were running" in out
    assert f"go on with: refnet-conformance run --resume {tmp_path}" in err
    assert nothing_is_left(server)
    broken = json.loads((tmp_path / "report.json").read_text())
    done = {entry["id"] for entry in broken["specs"] if entry["status"] == "passed"}
    assert broken["verdict"]["word"] == "error"
    assert done

    resumed = subprocess.run(
        [sys.executable, "-m", "conformance.cli", "run", "--resume", str(tmp_path)], capture_output=True, text=True
    )
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert not [line for line in resumed.stdout.splitlines() if line.startswith("[") and line.split()[1] in done]
    whole = json.loads((tmp_path / "report.json").read_text())
    assert {entry["status"] for entry in whole["specs"]} == {"passed"}
    assert {entry["run"] for entry in whole["specs"]} == {0, 1}
    assert whole["verdict"]["missing"] == []


def test_a_launcher_that_is_killed_leaves_nothing_there(server, tmp_path):
    process = start(server, "--only", SLOW, "-n", "1", "--report", tmp_path)
    wait_for_an_outcome(tmp_path)
    process.kill()
    process.communicate(timeout=60)
    assert nothing_is_left(server)


def test_what_a_killed_agent_left_is_removed_by_the_next_run(server, tmp_path):
    process = start(server, "--only", SLOW, "-n", "1", "--report", tmp_path)
    wait_for_an_outcome(tmp_path)
    for pid in server.agents():
        os.kill(pid, signal.SIGKILL)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 4
    assert "ssh was lost" in out
    assert server.leftovers()
    status, _, _ = run(server, "--only", "NM-01", "-n", "0")
    assert status == 0
    assert nothing_is_left(server)


def test_ctrl_c_ends_the_run_there_and_the_report_says_so(server, tmp_path):
    process = start(server, "--only", SLOW, "-n", "1", "--report", tmp_path)
    wait_for_an_outcome(tmp_path)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert nothing_is_left(server)
    assert "interrupted" in json.loads((tmp_path / "report.json").read_text())["trouble"][0]


def test_a_host_that_hangs_is_given_up(server, tmp_path):
    process = start(server, "--only", SLOW, "-n", "1", "--patience", "10", "--report", tmp_path)
    wait_for_an_outcome(tmp_path)
    stopped = server.agents() + server.connections()
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        out, _ = process.communicate(timeout=120)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    assert process.returncode == 4
    assert "no sign of life for 10 s" in out
    assert nothing_is_left(server)


def test_a_host_without_python_is_told():
    find = launcher._FIND_PYTHON.replace("/usr/local/", "/nonexistent/")  # where this host may have one
    words = ["/bin/sh", "-c", find, launcher.BOOTSTRAP]
    done = subprocess.run(words, env={"PATH": "/nonexistent"}, capture_output=True, text=True)
    assert done.returncode == 3
    assert "no Python of 3.10 or later" in done.stderr


@pytest.mark.parametrize(
    "address",
    [
        "ssh://",
        "ssh://-oProxyCommand=reboot",
        "ssh://-l@host",
        "ssh://[::1",
        "ssh://host:0",
        "ssh://host:99999",
        "ssh://host:name",
        "ssh://user:word@host",
        "ssh://host/path",
        "ssh://ho st",
        "ssh://ho$st",
    ],
)
def test_an_address_that_ssh_must_not_be_given_is_refused(address):
    with pytest.raises(ValueError, match="ssh"):
        choose(address, Options(destination=address))


def test_an_address_may_leave_out_user_and_port():
    (one,) = choose("ssh://host.example", Options(destination="ssh://host.example"))
    assert (one.host, one.user, one.port) == ("host.example", "", None)
    assert ssh.command("::1", user="root", port=22)[-3:] == ["root", "--", "::1"]


def test_an_option_of_another_environment_is_refused():
    arguments = parser.build().parse_args(["run", "--env", "local", "--memory", "512"])
    with pytest.raises(ValueError, match="--memory means nothing to the environment local; it is for linux-vm"):
        choose(arguments.env, Options(memory=arguments.memory))


def test_a_command_line_says_again_what_was_said_of_where():
    given = ["--env", "docker", "--docker-host", "unix:///a b", "--docker-host", "tcp://b:1", "--privileged"]
    assert words_for(vars(parser.build().parse_args(["run", *given]))) == given
    given = ["--env", "linux-vm", "--kernel", "generic", "--memory", "512"]
    assert words_for(vars(parser.build().parse_args(["run", *given]))) == given
    given = ["--env", "freebsd-vm", "--disk", "a disk", "--ssh-key", "key", "--ssh-user", "toor", "--memory", "512"]
    assert words_for(vars(parser.build().parse_args(["run", *given]))) == given
    assert words_for(vars(parser.build().parse_args(["run"]))) == []
