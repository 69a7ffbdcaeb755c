"""Which engine the environment ``docker`` takes, what it says of one that cannot be had, and engines far away."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import socket
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading

import pytest
from containers import LIMIT, launched, names, sent_in_background
from waiting import wait_until

from conformance.environments import docker as environment
from conformance.environments.base import STDOUT, Options
from conformance.environments.docker import Docker
from conformance.environments.engine import Engine
from conformance.errors import EnvironmentUnavailable

# -- which engine -----------------------------------------------------------------------------------------


def test_two_engines_give_two_environments(api, docker, engine, tmp_path):
    path = tmp_path / "second.sock"
    path.symlink_to(socket_of(engine))
    first, second = Docker.for_options(Options(docker_hosts=(engine.url, f"unix://{path}")))
    with first, second:
        assert [one.details()["engine's address"] for one in (first, second)] == [engine.url, f"unix://{path}"]
        channels = [one.start(["sh", "-c", "echo up; exec cat"]) for one in (first, second)]
        assert {channel.name for channel in channels} <= names(api)
        assert [next(channel.receive()) for channel in channels] == [(STDOUT, b"up\n")] * 2
        assert f"-H unix://{path} exec -it {channels[1].name} sh" in second.shell()
    assert not {channel.name for channel in channels} & names(api)


def test_the_context_names_the_engine_and_docker_host_goes_before_it(engine, tmp_path, monkeypatch):
    name = "elsewhere"
    meta = tmp_path / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    meta.mkdir(parents=True)
    endpoint = {"Host": engine.url, "SkipTLSVerify": False}
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": endpoint}}))
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": name}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    assert engine.url in Docker.availability(Options()).found
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/such/socket")
    assert "/no/such/socket" in Docker.availability(Options()).missing[0]
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setenv("DOCKER_CONTEXT", "not-there")
    assert "no context not-there" in Docker.availability(Options()).missing[0]


@pytest.mark.parametrize(
    "address", ["", "unix://", "docker.sock", "tcp://host", "tcp://host:99999", "ssh://", "ssh://-oProxy", "fd://3"]
)
def test_what_is_no_address_of_an_engine_is_refused_with_what_is_expected(address):
    with pytest.raises(ValueError, match="expected "):
        environment.check(address)
    if address:
        with pytest.raises(ValueError, match="expected "):
            Docker.for_options(Options(docker_hosts=(address,)))


def unavailable(host):
    """Return why an engine cannot be had, which entering and asking tell alike."""
    options = Options(docker_hosts=(host,))
    (words,) = Docker.availability(options).missing
    with pytest.raises(EnvironmentUnavailable) as raised, Docker(options):
        pass
    assert re.sub(r"[\d.]+ s", "", str(raised.value)) == "docker: " + re.sub(r"[\d.]+ s", "", words)
    return words


def test_no_engine_is_said_with_three_ways_to_get_one(tmp_path):
    words = unavailable(f"unix://{tmp_path}/docker.sock")
    for advice in ("systemctl start docker", "apt-get install docker.io", ".ci/with-engine", "--docker-host"):
        assert advice in words


def test_a_socket_that_nobody_listens_at_is_no_engine(tmp_path):
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "left.sock"))
    assert "systemctl start docker" in unavailable(f"unix://{tmp_path}/left.sock")


def test_a_closed_port_is_said():
    with socket.socket() as taken_port:
        taken_port.bind(("127.0.0.1", 0))
        port = taken_port.getsockname()[1]
        words = unavailable(f"tcp://127.0.0.1:{port}")
    assert f"no Docker engine answers at tcp://127.0.0.1:{port}" in words
    assert "see to the address" in words


def test_a_host_that_has_no_address_is_said():
    assert "see to the address" in unavailable("tcp://no-such-host.invalid:2375")


class Babble(socketserver.StreamRequestHandler):
    """What is no Docker engine: says something at once."""

    def handle(self):
        self.wfile.write(b"220 mail.example ESMTP\r\n")


class Silence(socketserver.BaseRequestHandler):
    """What takes connections, and never says anything."""

    def handle(self):
        with contextlib.suppress(OSError):
            while self.request.recv(4096):
                pass


@contextlib.contextmanager
def serving(handler, address):
    class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer if isinstance(address, str) else Tcp):
        daemon_threads = True

    server = Server(address, handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class Tcp(socketserver.TCPServer):
    allow_reuse_address = True


def test_what_is_no_engine_is_said(tmp_path):
    with serving(Babble, str(tmp_path / "mail.sock")):
        assert "is no Docker engine" in unavailable(f"unix://{tmp_path}/mail.sock")


def test_what_never_answers_is_given_up(tmp_path, monkeypatch):
    with serving(Silence, str(tmp_path / "silent.sock")):
        with pytest.raises(EnvironmentUnavailable, match="does not answer within 1 s"):
            Engine(f"unix://{tmp_path}/silent.sock", limit=1)
        (words,) = Docker.availability(Options(docker_hosts=(f"unix://{tmp_path}/silent.sock",))).missing
        assert "does not answer within 5 s" in words


def test_a_socket_that_this_user_may_not_use_is_said(engine, tmp_path):
    path = tmp_path / "locked" / "docker.sock"
    path.parent.mkdir(mode=0o700)
    reading, writing = os.pipe()
    import docker.context  # noqa: F401 - the other user may not be able to read it

    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        with contextlib.suppress(BaseException):
            os.write(writing, Docker.availability(Options(docker_hosts=(f"unix://{path}",))).missing[0].encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as said:
        words = said.read()
    assert "may not be used by this user" in words
    assert "usermod -aG docker" in words


def test_without_the_sdk_it_is_said_how_to_get_it_and_the_suite_still_imports():
    code = (
        "import sys; sys.modules['docker'] = None\n"
        "from conformance.environments.docker import Docker\n"
        "from conformance.environments.base import Options\n"
        "print(*Docker.availability(Options()).missing)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Docker SDK for Python is missing" in done.stdout
    assert "pip install" in done.stdout


@pytest.mark.parametrize(
    ("changed", "words"), [({"Arch": "riscv64"}, "architecture riscv64"), ({"Os": "windows"}, "Linux containers")]
)
def test_an_engine_whose_containers_cannot_run_the_image_is_refused(engine, changed, words):
    other = object.__new__(Engine)
    other.url, other.version = engine.url, {**engine.version, **changed}
    with pytest.raises(EnvironmentUnavailable, match=words):
        environment._see_that_it_fits(other)


# -- engines far away -------------------------------------------------------------------------------------


def socket_of(engine):
    return engine.url.removeprefix("unix://")


def forwarder(engine, context=None):
    """Make a handler that joins a TCP connection, with or without TLS, to the engine's socket, half-closing and all."""

    class Forward(socketserver.BaseRequestHandler):
        def handle(self):
            try:
                near = context.wrap_socket(self.request, server_side=True) if context else self.request
            except OSError:  # the other side does not trust it, or does not speak TLS
                return
            with socket.socket(socket.AF_UNIX) as far:
                far.connect(socket_of(engine))
                back = threading.Thread(target=self.pass_on, args=(far, near), daemon=True)
                back.start()
                self.pass_on(near, far)
                back.join()
            near.close()

        def pass_on(self, source, target):
            with contextlib.suppress(OSError):
                while data := source.recv(1 << 16):
                    target.sendall(data)
            with contextlib.suppress(OSError):
                target.shutdown(socket.SHUT_WR)

    return Forward


def there_and_back(docker):
    """See that a channel takes and gives a megabyte, and that closing it ends the program."""
    data = os.urandom(1 << 20)
    channel = docker.start(["cat"])
    sending = sent_in_background(channel, data)
    received, seen = channel.receive(), b""
    while len(seen) < len(data):
        seen += next(received)[1]
    sending.join(LIMIT)
    assert seen == data
    channel.close()
    assert list(received) == []
    assert docker.last_words() == f"container {channel.name} ended with exit status 0"


def test_over_tcp(engine, docker):
    with serving(forwarder(engine), ("127.0.0.1", 0)) as server:
        options = Options(docker_hosts=(f"tcp://127.0.0.1:{server.server_address[1]}",))
        with Docker(options) as far:
            there_and_back(far)


def test_over_tls_with_the_variables_that_docker_has_for_it(engine, docker, tmp_path, monkeypatch):
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"),
        ],
        check=True,
        capture_output=True,
    )
    shutil.copy(tmp_path / "cert.pem", tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tmp_path / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with serving(forwarder(engine, context), ("127.0.0.1", 0)) as server:
        options = Options(docker_hosts=(f"tcp://127.0.0.1:{server.server_address[1]}",))
        assert Docker.availability(options).missing
        monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
        monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
        with Docker(options) as far:
            there_and_back(far)
        (tmp_path / "ca.pem").unlink()
        (words,) = Docker.availability(options).missing
        assert "ca" in words.lower()


# -- over ssh ---------------------------------------------------------------------------------------------


@pytest.fixture
def sshd(tmp_path, monkeypatch):
    """A real sshd for this user, and an ssh that knows it; gives its port."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.fail("these tests need an ssh server: 'apt-get install openssh-server' brings it", pytrace=False)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    shutil.copy(tmp_path / "user.pub", tmp_path / "authorized")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "known").write_text(f"[127.0.0.1]:{port} {(tmp_path / 'host.pub').read_text()}")
    (tmp_path / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {tmp_path}/host\nAuthorizedKeysFile {tmp_path}/authorized\n"
        "StrictModes no\nPidFile none\nPermitRootLogin prohibit-password\nUsePAM no\n"
    )
    (tmp_path / "config").write_text(f"IdentityFile {tmp_path}/user\nUserKnownHostsFile {tmp_path}/known\n")
    (tmp_path / "bin").mkdir()
    wrapper = tmp_path / "bin" / "ssh"
    wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {tmp_path}/config "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    privileges = "/run/sshd"
    made = not os.path.isdir(privileges)
    os.makedirs(privileges, exist_ok=True)
    server = subprocess.Popen([program, "-D", "-e", "-f", tmp_path / "sshd_config"], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, "sshd listens")
        yield port
    finally:
        server.terminate()
        server.wait(LIMIT)
        if made:
            with contextlib.suppress(OSError):
                os.rmdir(privileges)


def tunnels():
    return {name for name in os.listdir(tempfile.gettempdir()) if name.startswith("refnet-conformance-engine-")}


def test_over_ssh(engine, docker, sshd):
    before = tunnels()
    with Docker(Options(docker_hosts=(f"ssh://root@127.0.0.1:{sshd}{socket_of(engine)}",))) as far:
        there_and_back(far)
    assert tunnels() == before


def test_kill_9_of_a_launcher_with_an_engine_behind_ssh_leaves_nothing(api, engine, docker, sshd, monkeypatch):
    before = tunnels()
    monkeypatch.setenv("DOCKER_HOST", f"ssh://root@127.0.0.1:{sshd}{socket_of(engine)}")
    launcher, name = launched("sh", "-c", "echo up; exec cat")
    assert name in names(api)
    assert len(tunnels() - before) == 1
    launcher.kill()
    launcher.communicate(timeout=LIMIT)
    wait_until(lambda: name not in names(api), f"{name} is gone")
    wait_until(lambda: tunnels() == before, "the folder of the way to the engine is gone")


def test_what_ssh_says_is_told_with_what_would_help(engine, sshd, tmp_path):
    with socket.socket() as taken_port:
        taken_port.bind(("127.0.0.1", 0))
        words = unavailable(f"ssh://root@127.0.0.1:{taken_port.getsockname()[1]}")
    assert "no ssh server listens there" in words
    assert "does not answer behind ssh" in unavailable(f"ssh://root@127.0.0.1:{sshd}/no/such.sock")
    (tmp_path / "authorized").write_text("")
    assert "Permission denied" in unavailable(f"ssh://root@127.0.0.1:{sshd}{socket_of(engine)}")
