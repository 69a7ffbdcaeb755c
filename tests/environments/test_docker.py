"""The environment ``docker``, on a real engine: '.ci/with-engine pytest tests/environments' has one where none runs."""

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import uuid

import pytest
from docker.errors import NotFound

from conformance.environments import docker as environment
from conformance.environments import images
from conformance.environments.attached import GRACE
from conformance.environments.base import STDERR, STDOUT, Options
from conformance.environments.docker import CAPABILITIES, IMAGE_LABEL, LABEL, REPOSITORY, Docker
from conformance.environments.engine import Engine
from conformance.errors import EnvironmentUnavailable

#: Bits of Linux's capabilities (linux/capability.h).
BITS = {"SETGID": 6, "SETUID": 7, "NET_ADMIN": 12, "NET_RAW": 13, "SYS_ADMIN": 21}
LIMIT = 60


@pytest.fixture(scope="session")
def engine():
    """An engine that answers, and its SDK client."""
    try:
        connected = Engine()
    except EnvironmentUnavailable as error:
        pytest.fail(
            f"these tests need a Docker engine: start them with '.ci/with-engine pytest tests/environments' ({error})",
            pytrace=False,
        )
    yield connected
    connected.close()


@pytest.fixture
def api(engine):
    return engine.api


@pytest.fixture
def docker(engine):
    with Docker(Options()) as entered:
        yield entered


@pytest.fixture
def others(api, docker):
    """Containers that are not this suite's to touch, with a look at whether they have been."""
    made = []

    def make(**settings):
        container = api.create_container(docker.details()["image"], ["sleep", "3600"], **settings)["Id"]
        made.append(container)
        api.start(container)
        return container

    yield make
    for container in made:
        with contextlib.suppress(NotFound):
            api.remove_container(container, force=True)


def wait_until(condition, what):
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, f"not within {LIMIT} s: {what}"
        time.sleep(0.05)


def taken(channel):
    """Return all that a channel gives: output and errors."""
    streams = {STDOUT: b"", STDERR: b""}
    for stream, data in channel.receive():
        streams[stream] += data
    return streams[STDOUT], streams[STDERR]


def names(api):
    return {name.lstrip("/") for one in api.containers(all=True) for name in one["Names"]}


def sent_in_background(channel, data):
    thread = threading.Thread(target=channel.send, args=(data,), daemon=True)
    thread.start()
    return thread


# -- the channel ------------------------------------------------------------------------------------------


def test_twenty_megabytes_go_both_ways_byte_for_byte_and_errors_apart(docker):
    data = os.urandom(1 << 20) * 20
    channel = docker.start(["sh", "-c", f"head -c {len(data)} | tee /dev/stderr"])
    sending = sent_in_background(channel, data)
    output, errors = taken(channel)
    sending.join(LIMIT)
    assert output == data
    assert errors == data


def test_a_program_that_reads_nothing_yet_does_not_keep_from_hearing_it(docker):
    channel = docker.start(["sh", "-c", "head -c 3000000 /dev/zero; exec wc -c"])
    sending = sent_in_background(channel, bytes(10 << 20))
    heard = 0
    received = channel.receive()
    while heard < 3000000:
        heard += len(next(received)[1])
    sending.join(LIMIT)
    assert not sending.is_alive()
    closing = threading.Thread(target=channel.close)
    closing.start()
    rest = b"".join(data for _, data in received)
    closing.join(LIMIT)
    assert rest == b"%d\n" % (10 << 20)


def test_the_end_of_the_input_ends_the_program_which_may_still_have_words(api, docker):
    channel = docker.start(["sh", "-c", "cat; echo the end; echo of it >&2"])
    channel.send(b"first\n")
    closing = threading.Timer(0.5, channel.close)
    closing.start()
    assert taken(channel) == (b"first\nthe end\n", b"of it\n")
    closing.join(LIMIT)
    assert channel.name not in names(api)
    assert docker.last_words() == f"container {channel.name} ended with exit status 0"


def test_close_kills_what_ignores_the_end_of_its_input(api, docker):
    channel = docker.start(["sleep", "3600"])
    channel.close()
    channel.close()
    assert taken(channel) == (b"", b"")
    assert channel.name not in names(api)
    assert docker.last_words() == (
        f"container {channel.name} did not end within {GRACE:g} s of the end of its input, and was killed"
    )


def test_close_from_another_thread_ends_a_send_that_nobody_reads(docker):
    channel = docker.start(["sleep", "3600"])
    failures = []

    def send():
        try:
            channel.send(bytes(200 << 20))
        except OSError as error:
            failures.append(error)

    sending = threading.Thread(target=send, daemon=True)
    sending.start()
    channel.close()
    sending.join(LIMIT)
    assert not sending.is_alive()
    assert failures


def test_sending_to_a_program_that_has_ended_is_an_error(docker):
    channel = docker.start(["true"])
    assert taken(channel) == (b"", b"")

    def refused():
        try:
            channel.send(b"x" * 100000)
        except OSError:
            return True
        return False

    wait_until(refused, "the connection is known to be broken")


def test_a_program_that_is_not_there_is_named(docker):
    with pytest.raises(EnvironmentUnavailable, match="no-such-program"):
        docker.start(["no-such-program"])


# -- how it ends ------------------------------------------------------------------------------------------


def test_an_exit_status_is_told(docker):
    channel = docker.start(["sh", "-c", "exit 5"])
    assert taken(channel) == (b"", b"")
    assert docker.last_words() == f"container {channel.name} ended with exit status 5"


@pytest.mark.parametrize("how", ["kill", "rm -f"])
def test_a_container_that_somebody_kills_ends_its_channel_and_is_told(api, docker, how):
    channel = docker.start(["sh", "-c", "echo up; exec cat"])
    received = channel.receive()
    assert next(received) == (STDOUT, b"up\n")
    if how == "kill":
        api.kill(channel.name)
    else:
        api.remove_container(channel.name, force=True)
    assert list(received) == []
    words = docker.last_words()
    assert "was sent signal 9 by somebody" in words
    assert "exit status 137" in words


LAUNCHER = """
import sys
from conformance.environments.base import Options
from conformance.environments.docker import Docker
with Docker(Options()) as docker:
    channel = docker.start(sys.argv[1:])
    print(channel.name, flush=True)
    for _, data in channel.receive():
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
"""


def launched(*command):
    """Start a launcher of its own, and return it with the name of its container, which is up."""
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, *command], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    name = launcher.stdout.readline().strip()
    assert launcher.stdout.readline() == "up\n"
    return launcher, name


def test_kill_9_of_the_launcher_leaves_no_container(api, docker):
    launcher, name = launched("sh", "-c", "echo up; exec cat")
    assert name in names(api)
    launcher.kill()
    launcher.communicate(timeout=LIMIT)
    wait_until(lambda: name not in names(api), f"{name} is gone")


def test_a_container_that_outlives_its_launcher_is_removed_by_the_next_run(api, docker):
    launcher, name = launched("sh", "-c", "echo up; exec sleep 3600")
    launcher.kill()
    launcher.communicate(timeout=LIMIT)
    assert name in names(api)
    with Docker(Options()):
        assert name not in names(api)


def test_a_container_whose_launcher_lives_is_left_alone(api, docker):
    launcher, name = launched("sh", "-c", "echo up; exec sleep 3600")
    with Docker(Options()):
        assert name in names(api)
    launcher.kill()
    launcher.communicate(timeout=LIMIT)
    with Docker(Options()):
        assert name not in names(api)


def test_ctrl_c_leaves_no_container(api, docker):
    launcher, name = launched("sh", "-c", "echo up; exec cat")
    os.killpg(launcher.pid, signal.SIGINT)
    launcher.communicate(timeout=LIMIT)
    assert launcher.returncode != 0
    assert name not in names(api)


def test_what_is_not_ours_is_left_alone(api, docker, others):
    dead = subprocess.Popen(["true"])
    dead.wait()
    ours = {f"{LABEL}.host": environment._this_host(), f"{LABEL}.pid": str(dead.pid), f"{LABEL}.started": "1"}
    kept = [
        others(),
        others(labels={"com.example.role": "database"}),
        others(labels={LABEL: "1"}),
        others(labels={LABEL: "1", **ours, f"{LABEL}.host": "another"}),
        others(labels=ours),
    ]
    left = others(labels={LABEL: "1", **ours})
    before = {
        one["Id"]: (one["Image"], one["Created"], one["State"], one["Labels"]) for one in api.containers(all=True)
    }
    with Docker(Options()) as another:
        another.start(["cat"])
    after = {one["Id"]: (one["Image"], one["Created"], one["State"], one["Labels"]) for one in api.containers(all=True)}
    assert left not in after
    assert [after.get(one) for one in kept] == [before[one] for one in kept]


def test_older_images_go_unless_they_are_used_or_somebody_elses(api, engine):
    def image(repository, tag, content, label):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as archive:
            member = tarfile.TarInfo("mark")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        api.import_image_from_data(data.getvalue(), repository, tag, changes=[f"LABEL {label}=x"])
        return f"{repository}:{tag}"

    mark = uuid.uuid4().hex[:12]
    old, used, own, foreign = (
        image(repository, f"{mark}{number}", f"{mark}{number}".encode(), label)
        for number, (repository, label) in enumerate(
            [
                (REPOSITORY, IMAGE_LABEL),
                (REPOSITORY, IMAGE_LABEL),
                ("somebodys", IMAGE_LABEL),
                (REPOSITORY, "com.example.label"),
            ]
        )
    )
    container = api.create_container(used, ["true"])["Id"]
    try:
        environment._remove_older(engine, environment._image_name())
        left = {tag for one in api.images() for tag in one["RepoTags"] or ()}
        assert old not in left
        assert {used, own, foreign} <= left
    finally:
        api.remove_container(container, force=True)
        for one in (used, own, foreign):
            api.remove_image(one)


def test_the_image_is_imported_once_and_has_the_recipes_hash(api, docker):
    name = docker.details()["image"]
    assert name == f"{REPOSITORY}:{images.recipe_hash()}"
    said = []
    with Docker(Options(say=said.append)):
        pass
    assert said == []
    assert api.inspect_image(name)["Config"]["Labels"] == {IMAGE_LABEL: images.recipe_hash()}


# -- what it may do ---------------------------------------------------------------------------------------


def status(docker):
    channel = docker.start(["cat", "/proc/self/status"])
    return dict(re.findall(r"(\w+):\s*(\w+)", taken(channel)[0].decode()))


def test_a_container_has_the_capabilities_that_are_listed_and_no_other(docker):
    mask = sum(1 << BITS[name] for name in CAPABILITIES)
    seen = status(docker)
    assert set(BITS) == set(CAPABILITIES)
    assert {int(seen[kind], 16) for kind in ("CapBnd", "CapPrm", "CapEff")} == {mask}
    assert docker.details()["capabilities"].split() == list(CAPABILITIES)


def test_privileged_is_asked_for_or_not_had(api, docker):
    channel = docker.start(["cat"])
    assert api.inspect_container(channel.name)["HostConfig"]["Privileged"] is False
    with Docker(Options(privileged=True)) as trusted:
        # Made, not started: an engine that lacks a right itself cannot give them all.
        made = trusted._create(trusted._entered(), f"refnet-conformance-{uuid.uuid4().hex[:8]}", ["true"], [])
        try:
            assert api.inspect_container(made)["HostConfig"]["Privileged"] is True
        finally:
            api.remove_container(made, force=True)
        assert trusted.details()["capabilities"] == "all (--privileged)"


def test_it_has_a_network_of_its_own_without_a_way_out_and_no_folder_of_the_host(api, docker):
    channel = docker.start(["sh", "-c", "ls /sys/class/net; ls /dev/net; exec cat"])
    made = api.inspect_container(channel.name)
    channel.close()
    assert taken(channel)[0] == b"lo\ntun\n"
    assert made["HostConfig"]["NetworkMode"] == "none"
    assert made["Mounts"] == []
    assert made["HostConfig"]["LogConfig"]["Type"] == "none"


@pytest.mark.parametrize("without", list(CAPABILITIES))
def test_each_capability_is_needed(docker, without, monkeypatch):
    """See that what the table says is lost works with all of them, and without this one does not."""
    programs = {
        "SYS_ADMIN": "unshare --net --mount --pid --fork sh -c 'mount -t proc proc /proc'",
        "NET_ADMIN": "ip link add name one type bridge && ip link set dev lo up",
        "NET_RAW": "python3 -c 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)'",
        "SETUID": "python3 -c 'import os; os.setresuid(65534, 65534, 65534)'",
        "SETGID": "python3 -c 'import os; os.setgroups([]); os.setresgid(65534, 65534, 65534)'",
    }

    def works():
        channel = docker.start(["sh", "-c", f"{programs[without]} && echo works"])
        return taken(channel)[0] == b"works\n"

    assert works()
    monkeypatch.delitem(CAPABILITIES, without)
    assert not works()


def test_where_the_engines_host_has_no_tun_the_container_comes_without(docker, monkeypatch):
    monkeypatch.setattr(environment, "TUN", "/dev/net/no-such-device")
    channel = docker.start(["ls", "/dev/net"])
    assert taken(channel)[0] == b""


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
