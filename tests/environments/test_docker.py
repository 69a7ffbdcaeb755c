"""The environment ``docker``, on a real engine: '.ci/with-engine pytest tests/environments' has one where none runs."""

import contextlib
import io
import os
import re
import signal
import subprocess
import tarfile
import threading
import uuid

import pytest
from containers import LIMIT, launched, names, sent_in_background, taken
from docker.errors import NotFound
from waiting import wait_until

from conformance.environments import docker as environment
from conformance.environments import images
from conformance.environments.attached import GRACE
from conformance.environments.base import STDOUT, Options
from conformance.environments.docker import CAPABILITIES, IMAGE_LABEL, LABEL, REPOSITORY, Docker
from conformance.errors import EnvironmentUnavailable

#: Bits of Linux's capabilities (linux/capability.h).
BITS = {
    "KILL": 5,
    "SETGID": 6,
    "SETUID": 7,
    "NET_BIND_SERVICE": 10,
    "NET_ADMIN": 12,
    "NET_RAW": 13,
    "SYS_PTRACE": 19,
    "SYS_ADMIN": 21,
}
#: Does something to a process that has become nobody.
TO_NOBODY = """
import os, time
ready, done = os.pipe()
child = os.fork()
if child == 0:
    os.setresuid(65534, 65534, 65534)
    os.write(done, b"x")
    time.sleep(60)
os.read(ready, 1)
"""


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
        "NET_BIND_SERVICE": "dnsmasq --conf-file=/dev/null --bind-dynamic --pid-file= --dhcp-range=10.9.0.0,static",
        "KILL": f"python3 -c '{TO_NOBODY}os.kill(child, 9)'",
        "SYS_PTRACE": f"python3 -c '{TO_NOBODY}os.readlink(f\"/proc/{{child}}/ns/net\")'",
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
