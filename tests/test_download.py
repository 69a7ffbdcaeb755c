"""Getting a big file over a network that breaks, from a server of this test's own on the loopback."""

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from waiting import wait_until

from conformance.environments import download

CONTENT = os.urandom(3 << 20)
SHA512 = hashlib.sha512(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves one file, and breaks as a test wants it.

    Attributes:
        cuts: for each connection to come, after how many bytes it is cut.
        statuses: for each connection to come, the status that it gets instead of the file.
        asked: the Range of each request, in order.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.cuts = []
        self.statuses = []
        self.asked = []
        self.knows_ranges = True
        self.has_length = True
        self.held = threading.Event()
        self.held.set()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}/file.xz"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.asked.append(asked)
        if server.statuses:
            self.send_error(server.statuses.pop(0))
            return
        start = int(asked[len("bytes=") : -1]) if asked and server.knows_ranges else 0
        if asked and server.knows_ranges and start >= len(server.content):
            self.send_error(416)
            return
        body = server.content[start:]
        self.send_response(206 if start else 200)
        if server.has_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = server.cuts.pop(0) if server.cuts else len(body)
        with contextlib.suppress(OSError):
            self.wfile.write(body[:cut])
            self.wfile.flush()
            server.held.wait(60)

    def log_message(self, *_):
        pass


@pytest.fixture(autouse=True, scope="module")
def loopback(inside):
    subprocess.run(["ip", "link", "set", "dev", "lo", "up"], check=True)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "_PAUSE", 0.01)
    with Server() as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.held.set()
        made.shutdown()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "file.xz"


def part(target):
    return target.with_name("file.xz.part")


def test_a_file_comes_whole(server, target):
    said = []
    download.fetch([server.address], target, SHA512, said.append)
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == ["file.xz"]
    assert server.asked == [None]


def test_a_connection_that_is_cut_is_gone_on_with_where_it_was(server, target):
    server.cuts = [1 << 20, 1 << 20]
    said = []
    download.fetch([server.address], target, SHA512, said.append)
    assert target.read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={1 << 20}-", f"bytes={2 << 20}-"]
    assert any("the connection broke" in words and "going on from 1 MiB" in words for words in said)


def test_what_an_earlier_run_has_left_is_gone_on_with(server, target):
    part(target).write_bytes(CONTENT[:12345])
    download.fetch([server.address], target, SHA512)
    assert target.read_bytes() == CONTENT
    assert server.asked == ["bytes=12345-"]


def test_what_has_come_whole_already_is_not_fetched_again(server, target):
    part(target).write_bytes(CONTENT)
    download.fetch([server.address], target, SHA512)
    assert target.read_bytes() == CONTENT
    assert server.asked == [f"bytes={len(CONTENT)}-"]


def test_a_run_that_is_killed_is_gone_on_with(server, target):
    server.cuts = [2 << 20]
    server.held.clear()
    program = "import sys; from pathlib import Path; from conformance.environments import download\n"
    program += "download.fetch([sys.argv[1]], Path(sys.argv[2]), '')"
    process = subprocess.Popen([sys.executable, "-c", program, server.address, str(target)])
    try:
        wait_until(lambda: part(target).exists() and part(target).stat().st_size >= 1 << 20, "some of it has come")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    server.held.set()
    come = part(target).stat().st_size
    assert 0 < come <= 2 << 20
    download.fetch([server.address], target, SHA512)
    assert target.read_bytes() == CONTENT
    assert server.asked[-1] == f"bytes={come}-"


def test_a_server_that_knows_no_ranges_is_begun_anew_with(server, target):
    server.knows_ranges = False
    part(target).write_bytes(b"other bytes")
    download.fetch([server.address], target, SHA512)
    assert target.read_bytes() == CONTENT


def test_a_length_need_not_be_told(server, target):
    server.has_length = False
    download.fetch([server.address], target, SHA512)
    assert target.read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing(server, target):
    server.content = CONTENT[:-1] + b"x"
    with pytest.raises(download.DownloadFailed, match=r"another checksum: SHA-512 \w{16}…, expected " + SHA512[:16]):
        download.fetch([server.address], target, SHA512)
    assert list(target.parent.iterdir()) == []


def test_an_old_part_of_something_else_does_not_spoil_the_next_mirror(server, target):
    part(target).write_bytes(b"other bytes")  # to which the first address adds what it thinks is lacking
    download.fetch([server.address, server.address], target, SHA512)
    assert target.read_bytes() == CONTENT


def test_the_next_mirror_is_asked_when_one_does_not_have_it(server, target):
    server.statuses = [404]
    download.fetch([server.address, server.address], target, SHA512)
    assert target.read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_a_servers_own_trouble_is_waited_for(server, target):
    server.statuses = [503, 500]
    download.fetch([server.address], target, SHA512)
    assert target.read_bytes() == CONTENT


def test_a_mirror_that_brings_nothing_is_given_up(server, target):
    server.cuts = [1 << 20, *[0] * 10]
    with pytest.raises(download.DownloadFailed, match=f"{server.address}: the connection broke"):
        download.fetch([server.address], target, SHA512)
    assert part(target).stat().st_size == 1 << 20, "what has come is kept"


def test_no_network_is_told(target, monkeypatch):
    monkeypatch.setattr(download, "_PAUSE", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}/file.xz"
    with pytest.raises(download.DownloadFailed, match=r"it cannot be reached: .*refused"):
        download.fetch([address], target, SHA512)
    with pytest.raises(download.DownloadFailed, match="it cannot be reached"):
        download.fetch(["http://name.invalid/file.xz"], target, SHA512)


def test_other_addresses_are_refused(target, tmp_path):
    (tmp_path / "local").write_bytes(CONTENT)
    with pytest.raises(download.DownloadFailed, match="it is no http or https address"):
        download.fetch([f"file://{tmp_path}/local"], target, SHA512)


def test_a_server_that_falls_silent_is_left(server, target, monkeypatch):
    monkeypatch.setattr(download, "SILENCE", 0.3)
    server.cuts = [1 << 20]
    server.held.clear()
    said = []

    def say(words):
        said.append(words)
        server.held.set()  # it has been left: the next connection may end

    download.fetch([server.address], target, SHA512, say)
    assert target.read_bytes() == CONTENT
    assert "the connection broke" in said[0]
