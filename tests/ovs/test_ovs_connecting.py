"""What becomes of connections that cannot be made, or are made to somebody who is no Open vSwitch."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from calling import BOUND, bounded

from refnet import config
from refnet.errors import RefnetError, SwitchUnreachable
from refnet.netdev import Capability
from refnet.netdev.linux import LinuxNetDevDriver
from refnet.netdev.ovs import database, replica

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"


@pytest.fixture
def listener(tmp_path):
    """A socket that refnet is told is the database's."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{tmp_path}/s")
        server.listen(64)
        config.configure(ovsdb=f"unix:{tmp_path}/s")
        try:
            yield server
        finally:
            config.configure(ovsdb="")


@contextlib.contextmanager
def full(family, place):
    """Connect until the server has no room for more; yield how many have."""
    with contextlib.ExitStack() as held:
        for number in range(1000):
            one = held.enter_context(socket.socket(family))
            one.settimeout(0.3)
            try:
                one.connect(place)
            except (BlockingIOError, TimeoutError):
                yield number
                return
    pytest.fail("the server always has room")


# -- places ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["tcp:127.0.0.1:99999", "tcp:127.0.0.1:-1", "ssl:127.0.0.1:99999"])
def test_a_port_that_is_none_is_unreachable(driver, place):
    config.configure(ovsdb=place)
    try:
        with pytest.raises(SwitchUnreachable, match=place):
            driver.ovs_ports("br0")
        assert place in (driver.probe(Capability.OVS) or "")
    finally:
        config.configure(ovsdb="")


# -- others' answers ------------------------------------------------------------------------------------


def test_a_socket_that_answers_nonsense_or_nothing_is_unreachable(driver, listener, monkeypatch):
    monkeypatch.setattr(database, "ANSWER", 1.0)
    bounded(lambda: driver.ovs_ports("br0"))

    def answer(words):
        connection, _ = listener.accept()
        while connection.recv(1 << 16):
            with contextlib.suppress(OSError):
                connection.sendall(words)
        connection.close()

    listener.accept()[0].close()  # the first caller's
    for words in (
        b"HTTP/1.0 400 Bad Request\r\n\r\n",
        b'{"id":1,"result":{},"error":null}',
        b"[1]",
        b"\xff\xff",
    ):
        thread = threading.Thread(target=answer, args=(words,))
        thread.start()
        bounded(lambda: driver.ovs_ports("br0"))
        driver.close()
        thread.join(BOUND)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    "answers",
    [
        {"get_schema": {"result": {}}},
        {"get_schema": {"error": None}},
        {"get_schema": {"result": json.loads(Path(SCHEMA).read_text()), "error": None}, "lock": {"result": {}}},
        {
            "get_schema": {"result": json.loads(Path(SCHEMA).read_text()), "error": None},
            "lock": {"result": {}, "error": None},
            "unlock": {"result": {}, "error": None},
        },
    ],
)
def test_answers_without_what_they_should_have_are_nobodys(driver, listener, monkeypatch, answers):
    monkeypatch.setattr(database, "ANSWER", 1.0)

    def answer_to(connection):
        text = ""
        while piece := connection.recv(1 << 16):
            text += piece.decode()
            while text:
                try:
                    request, end = json.JSONDecoder().raw_decode(text)
                except ValueError:
                    break
                text = text[end:]
                answer = answers.get(request["method"], {"result": {}, "error": None})
                connection.sendall(json.dumps({"id": request["id"], **answer}).encode())

    ended = threading.Event()

    def serve():
        while not ended.is_set():
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                answer_to(connection)

    with ThreadPoolExecutor(1) as elsewhere:
        served = elsewhere.submit(serve)
        try:
            with pytest.raises(SwitchUnreachable):
                driver.ovs_ports("br0")
            assert driver.probe(Capability.OVS) is not None
        finally:
            driver.close()
            ended.set()
            with socket.socket(socket.AF_UNIX) as last:
                last.connect(listener.getsockname())
        served.result(60)


# -- silence --------------------------------------------------------------------------------------------


def test_threads_that_wait_for_the_same_silent_server_are_told_together(driver, listener, monkeypatch):
    monkeypatch.setattr(database, "ANSWER", 1.0)
    monkeypatch.setattr(database, "_PATIENCE", 6.0)
    errors = []
    start = threading.Barrier(16)

    def ask():
        start.wait()
        try:
            driver.ovs_ports("br0")
        except RefnetError as error:
            errors.append(error)

    with ThreadPoolExecutor(16) as threads:
        for call in [threads.submit(ask) for _ in range(16)]:
            call.result()
    assert [type(error) for error in errors] == [SwitchUnreachable] * 16
    listener.setblocking(False)
    attempts = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            listener.accept()[0].close()
            attempts += 1
    assert attempts < 16


def test_a_probe_waits_for_a_hung_database_once(ovs, switch, monkeypatch):
    monkeypatch.setattr(database, "ANSWER", 1.25)
    monkeypatch.setattr(database, "_RETRY", 0.5)
    with switch.hung_database():
        assert "within 1.25 s" in (ovs.probe(Capability.OVS) or "")
        for capability in (Capability.OVS_VHOST_USER, Capability.OVS_USERSPACE_DATAPATH):
            assert "within 0.5 s" in (ovs.probe(capability) or "")
        # A call does not give up earlier for that.
        with pytest.raises(SwitchUnreachable, match=r"within 1\.25 s"):
            ovs.ovs_ports("br0")
    assert ovs.ovs_ports("br0") == ()
    assert ovs.probe(Capability.OVS) is None
    with switch.hung_database():
        assert "within 1.25 s" in (ovs.probe(Capability.OVS) or "")


# -- many connections, and many files -------------------------------------------------------------------


def test_a_server_with_many_callers_before_this_one_is_waited_for(driver, listener, monkeypatch):
    monkeypatch.setattr(database, "ANSWER", 1.0)
    listener.listen(0)
    with full(socket.AF_UNIX, listener.getsockname()), pytest.raises(SwitchUnreachable, match="does not answer"):
        driver.ovs_ports("br0")


def test_a_database_that_comes_to_itself_takes_those_that_found_no_room(ovs, switch, monkeypatch):
    tried = threading.Event()
    tries = []
    original = replica.Stream.open

    def opened(place):
        found = original(place)
        tries.append(found[0])
        if len(tries) > 1:
            tried.set()
        return found

    monkeypatch.setattr(replica.Stream, "open", staticmethod(opened))
    with LinuxNetDevDriver() as other, ThreadPoolExecutor(1) as elsewhere:
        with switch.hung_database(), full(socket.AF_UNIX, str(switch.directory / "db.sock")):
            call = elsewhere.submit(other.ovs_ports, "br0")
            assert tried.wait(60)
        assert call.result(60) == ()
    assert tries[-1] == 0


def test_a_process_with_many_open_files_connects_by_tcp(driver, monkeypatch):
    monkeypatch.setattr(database, "ANSWER", 1.0)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limits[0], 4096), limits[1]))
    held = []
    try:
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            server.listen(0)
            place = server.getsockname()
            with full(socket.AF_INET, place):
                while not held or held[-1] < 1100:
                    held.append(os.open("/dev/null", os.O_RDONLY))
                config.configure(ovsdb=f"tcp:127.0.0.1:{place[1]}")
                with pytest.raises(SwitchUnreachable, match="does not answer within"):
                    driver.ovs_ports("br0")
    finally:
        config.configure(ovsdb="")
        for one in held:
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
