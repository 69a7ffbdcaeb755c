"""Lease events as programs get them: out of a log that lives on while it is read, and by a socket."""

import contextlib
import ipaddress
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time

import pytest
from dnsmasq_by_hand import BRIDGE, DUID, LATER, MAC, SERVER_DUID, Server, installed
from hypothesis import given
from hypothesis import strategies as st
from waiting import wait_until

from conformance.topology.base import GUEST_DEVICE
from refnet import dhcp_event
from refnet.dhcp import events
from refnet.dhcp.events import LeaseEvent, listen, parse, read
from refnet.errors import AlreadyExists, InvalidArgument, KernelRefused

PATIENCE = 60
LISTENER = """
import sys
from refnet.dhcp.events import listen
with listen(sys.argv[1]) as events:
    print("listening", flush=True)
    for event in events:
        print(event.number, flush=True)
"""


@pytest.fixture
def program(tmp_path):
    return installed(tmp_path)


@pytest.fixture
def log(tmp_path):
    return tmp_path / "events"


@pytest.fixture
def path(tmp_path):
    """Where a socket is to be."""
    return str(tmp_path / "socket")


def line(number, action="add", address="192.0.2.10", **fields):
    record = {"number": number, "time": 1.5, "action": action, "expires": LATER, "address": address, "mac": MAC}
    return json.dumps(record | fields) + "\n"


def tell(program, *arguments, **environment):
    subprocess.run([program, *arguments], env={**os.environ, **environment}, check=True, timeout=PATIENCE)


def numbers(found):
    return [event.number for event in found]


class Reader(threading.Thread):
    """A thread that reads a log for ever, and what it has read."""

    def __init__(self, log, **arguments):
        super().__init__(daemon=True)
        self.found = []
        self.events = read(log, **{"time_limit": PATIENCE, **arguments})
        self.start()

    def run(self):
        for event in self.events:
            self.found.append(event)
            if event.action == "init":
                return

    def until_init(self):
        self.join(PATIENCE)
        assert not self.is_alive()
        return numbers(self.found)


# -- an event -----------------------------------------------------------------------------------------


def test_what_a_line_says():
    record = {
        "number": 5,
        "time": 2.25,
        "action": "old",
        "expires": LATER,
        "address": "192.0.2.10",
        "mac": "06-52:54:00:00:00:AA",
        "client_id": "01:02",
        "name": "web",
        "domain": "example.org",
        "device": "br100",
        "relay": "198.51.100.1",
        "old_name": "webby",
        "supplied_name": "w",
        "vendor_class": "x\n",
        "tags": "known br100",
        "later": 1,
    }
    assert parse(json.dumps(record)) == LeaseEvent(
        5,
        2.25,
        "old",
        ipaddress.ip_address("192.0.2.10"),
        "52:54:00:00:00:aa",
        "01:02",
        "web",
        float(LATER),
        device="br100",
        domain="example.org",
        relay="198.51.100.1",
        old_name="webby",
        supplied_name="w",
        vendor_class="x\n",
        tags=("known", "br100"),
    )


def test_what_a_line_says_of_ipv6():
    made = parse(line(1, address="2001:db8::10", iaid="T7", client_id=DUID, server_duid=SERVER_DUID, expires=None))
    assert (made.address, made.iaid, made.client_id, made.server_duid, made.expires) == (
        ipaddress.ip_address("2001:db8::10"),
        7,
        DUID,
        SERVER_DUID,
        None,
    )


def test_what_only_the_log_needs_is_no_event(caplog):
    assert parse('{"number":1,"time":1.0,"action":"server","server_duid":"00:01"}') is None
    assert parse("") is None
    assert not caplog.records


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "[]",
        "1",
        "null",
        '"text"',
        "{}",
        "[" * 100_000,
        line(0),
        line(True),
        line(1.0),
        line("1"),
        line(2**53),
        line(1, address="192.0.2"),
        line(1, address=None),
        line(1, action=["add"]),
        line(1, expires="x"),
        line(1, expires=10**400),
        line(1, iaid="x"),
        line(1, tags=1),
        line(1, mac=1),
        line(1, time="x"),
        b"\xff\xfe",
    ],
)
def test_a_bad_line_is_left_out_with_a_warning(text, caplog):
    assert parse(text) is None
    assert "is no lease event" in caplog.text
    assert len(caplog.text) < 500


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_line_is_survived(text):
    assert parse(text) is None


# -- a log --------------------------------------------------------------------------------------------


def test_a_log_is_read_from_a_number_on(log):
    log.write_text(line(1) + "broken\n" + line(2, "del") + line(3) + line(4)[:-5])
    assert numbers(read(log)) == [1, 2, 3]
    assert numbers(read(str(log), after=1)) == [2, 3]
    assert numbers(read(log, after=3)) == []


def test_a_log_that_is_not_there_has_no_events(log):
    assert list(read(log)) == []
    assert list(read(log, time_limit=0.2)) == []
    assert events.leases(log) == ()


def test_the_next_event_is_waited_for(program, log):
    reader = Reader(log)
    tell(program, "add", MAC, "192.0.2.10", REFNET_DHCP_EVENTS=str(log))
    wait_until(lambda: len(reader.found) == 1, "the first has come")
    tell(program, "init", REFNET_DHCP_EVENTS=str(log))
    reader.until_init()
    assert [event.action for event in reader.found] == ["add", "init"]


def test_a_line_in_two_parts_is_one_event(log):
    text = line(1)
    log.write_text(text[:20])
    reader = Reader(log)
    with log.open("a") as file:
        file.write(text[20:] + line(2, "init"))
    assert reader.until_init() == [1, 2]


def test_a_log_is_followed_when_it_is_cut_down(log):
    """Each event is seen once, in its order, while the log is replaced many times."""
    reader = Reader(log, time_limit=None)
    root = str(dhcp_event.__file__).removesuffix("/refnet/dhcp_event.py")
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "from refnet import dhcp_event as program\n"
        "program.COMPACTION_STEP = 3000\n"
        "for number in range(300):\n"
        "    address = b'192.0.2.%d' % (number % 7 + 1)\n"
        "    fields = program.event('add' if number % 2 else 'del', [b'52:54:00:00:00:01', address], os.environb)\n"
        "    program.append(os.fsencode(sys.argv[2]), fields, False)\n"
        "program.append(os.fsencode(sys.argv[2]), program.event('init', [], os.environb), False)\n"
    )
    first = log.parent / "first"
    log.touch()
    os.link(log, first)
    subprocess.run([sys.executable, "-c", code, root, str(log)], check=True, timeout=PATIENCE)
    assert not os.path.samefile(log, first)
    seen = reader.until_init()
    assert seen == sorted(set(seen))
    assert [event.action for event in reader.found] == [*["del", "add"] * 150, "init"]


def test_a_log_that_somebody_empties_or_removes_is_followed(log):
    log.write_text(line(1) + line(2))
    reader = Reader(log)
    wait_until(lambda: len(reader.found) == 2, "the first have come")
    log.write_text(line(3))
    wait_until(lambda: len(reader.found) == 3, "the third has come")
    log.unlink()
    log.write_text(line(4, "init"))
    assert reader.until_init() == [1, 2, 3, 4]


def test_what_is_too_long_for_a_line_is_not_kept(log, caplog):
    caplog.set_level(logging.CRITICAL)
    log.write_text(line(1) + "x" * (3 * dhcp_event.TAIL) + line(2) + line(3))
    assert numbers(read(log)) == [1, 3]


def test_a_log_by_another_name_is_followed(log, tmp_path):
    other = tmp_path / "other"
    other.symlink_to(log)
    log.write_text(line(1) + line(2))
    assert numbers(read(other)) == [1, 2]


@pytest.mark.parametrize(
    "arguments",
    [{"after": -1}, {"after": 1.5}, {"after": "1"}, {"time_limit": -1}, {"time_limit": "x"}, {"time_limit": True}],
)
def test_bad_arguments_are_told_before_anything_is_read(log, arguments):
    with pytest.raises(InvalidArgument):
        read(log, **arguments)


@pytest.mark.parametrize("bad", ["", "a\0b", 1, None, b"x"])
def test_what_is_no_path(bad):
    for call in (read, events.leases, events.lease_file):
        with pytest.raises(InvalidArgument):
            call(bad)


def test_what_cannot_be_read_is_told(tmp_path):
    with pytest.raises(KernelRefused):
        list(read(tmp_path))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InvalidArgument):
        list(read(pipe))
    with pytest.raises(InvalidArgument):
        events.leases(pipe)


def test_a_reader_that_stops_leaves_nothing_open(log):
    log.write_text(line(1) + line(2))
    before = len(os.listdir("/proc/self/fd"))
    reading = read(log, time_limit=None)
    assert next(reading).number == 1
    assert len(os.listdir("/proc/self/fd")) == before + 1
    reading.close()
    assert len(os.listdir("/proc/self/fd")) == before


# -- leases out of a log ------------------------------------------------------------------------------


def test_leases_are_the_last_word_on_each_address(log):
    log.write_text(
        line(1)
        + line(2, address="192.0.2.11")
        + line(3, "old", name="web", client_id="01:02", mac="52:54:00:00:00:AA")
        + line(4, "del", address="192.0.2.11")
        + line(5, address="2001:db8::10", iaid="7", client_id=DUID, expires=None)
        + line(6, address="192.0.2.12", expires=1000)
        + line(7, address="192.0.2.13", mac="broken")
    )
    found = events.leases(log, now=999)
    assert [(str(one.address), one.mac_address, one.client_id, one.name, one.expires, one.iaid) for one in found] == [
        ("192.0.2.10", "52:54:00:00:00:aa", "01:02", "web", LATER, None),
        ("192.0.2.12", MAC, None, None, 1000, None),
        ("2001:db8::10", None, DUID, None, None, 7),
    ]
    assert events.leases(log) == tuple(one for one in found if one.expires != 1000)


# -- a socket -----------------------------------------------------------------------------------------


def test_events_come_by_a_socket(program, path):
    with listen(path) as found:
        assert os.stat(path).st_mode & 0o777 == 0o600
        tell(program, "add", MAC, "192.0.2.10", "web", REFNET_DHCP_SOCKET=path)
        tell(program, "init", REFNET_DHCP_SOCKET=path)
        first, second = next(found), found.wait(PATIENCE)
        assert (first.action, str(first.address), first.mac_address, first.name) == ("add", "192.0.2.10", MAC, "web")
        assert second.action == "init"
        assert found.wait(0) is None
        assert found.wait(0.1) is None
    assert not os.path.exists(path)


def test_a_program_can_wait_for_a_socket_in_its_own_way(program, path):
    import select

    with listen(path, mode=0o660) as found:
        assert os.stat(path).st_mode & 0o777 == 0o660
        assert not select.select([found], [], [], 0)[0]
        tell(program, "init", REFNET_DHCP_SOCKET=path)
        assert select.select([found], [], [], PATIENCE)[0]
        assert found.wait(0).action == "init"


def test_what_others_send_is_survived(path, caplog):
    with listen(path) as found:
        for data in (b"", b"garbage\n", b"\xff" * 300_000, line(1).encode() + line(2).encode(), line(3).encode()[:-1]):
            with socket.socket(socket.AF_UNIX) as one, contextlib.suppress(BlockingIOError):
                one.connect(path)
                one.setblocking(False)  # it takes a part of what is too much
                one.send(data)
        with socket.socket(socket.AF_UNIX) as silent:
            silent.connect(path)
            assert numbers([next(found), next(found), next(found)]) == [1, 2, 3]
            with socket.socket(socket.AF_UNIX) as one:
                one.connect(path)
                one.sendall(line(4).encode())
                one.shutdown(socket.SHUT_WR)
                assert found.wait(PATIENCE).number == 4


def test_what_a_killed_listener_left_is_replaced(path):
    with subprocess.Popen([sys.executable, "-c", LISTENER, path], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "listening\n"
        with pytest.raises(AlreadyExists, match="another program listens"), listen(path):
            pass
        other.kill()
        other.wait(PATIENCE)
    assert os.path.exists(path)
    with listen(path) as found, socket.socket(socket.AF_UNIX) as one:
        one.connect(path)
        one.sendall(line(1).encode())
        one.close()
        assert next(found).number == 1


def test_what_is_no_socket_is_left_alone(path):
    with open(path, "w") as file:
        file.write("mine")
    with pytest.raises(AlreadyExists, match="no socket"), listen(path):
        pass
    with open(path) as file:
        assert file.read() == "mine"


def test_another_ones_socket_is_not_removed_at_the_end(path):
    with listen(path):
        os.unlink(path)
        other = socket.socket(socket.AF_UNIX)
        other.bind(path)
    other.close()
    assert os.path.exists(path)


def test_of_many_that_start_at_once_one_listens(path):
    ready, over = threading.Barrier(8), threading.Event()
    outcomes = []

    def attempt():
        ready.wait()
        try:
            with listen(path):
                outcomes.append("listens")
                over.wait(PATIENCE)
        except AlreadyExists:
            outcomes.append("refused")

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for one in threads:
        one.start()
    wait_until(lambda: len(outcomes) == 8, "all have tried")
    over.set()
    for one in threads:
        one.join()
    assert sorted(outcomes) == ["listens"] + ["refused"] * 7


@pytest.mark.parametrize("bad", ["log", "", "relative", "/" + "x" * 103, "/a\0b", "/a\nb", None, 1])
def test_what_can_be_no_socket(bad):
    with pytest.raises(InvalidArgument), listen(bad):
        pass


@pytest.mark.parametrize("bad", [-1, 0o1000, "600", True])
def test_what_can_be_no_mode(path, bad):
    with pytest.raises(InvalidArgument), listen(path, mode=bad):
        pass
    assert not os.path.exists(path)


def test_where_no_socket_can_be(path):
    with pytest.raises(KernelRefused, match="No such file or directory"), listen(f"{path}/nowhere"):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_where_one_may_not_make_a_socket(stack, nobody):
    # The stack has a /run of its own, which anybody may write to otherwise.
    os.chmod("/run", 0o755)
    os.mkdir("/run/own")
    os.chmod("/run/own", 0o777)
    code = (
        "import os; from refnet.dhcp.events import listen; from refnet.errors import PermissionDenied\n"
        "os.environ['XDG_RUNTIME_DIR'] = '/run/own'; os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try:\n    listen('/run/socket').__enter__()\n"
        "except PermissionDenied as error:\n    print(error)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE)
    said = "the socket /run/socket cannot be made: Permission denied [EACCES]\n"
    assert (shown.stdout, shown.stderr) == (said, "")


# -- by dnsmasq ---------------------------------------------------------------------------------------


def test_dnsmasq_tells_who_listens(stack, tmp_path, path):
    guest = stack.guest("c1")
    server = Server(stack, tmp_path, guest)
    server.leases.write_text(f"{LATER} {MAC} 192.0.2.20 old *\nduid {SERVER_DUID}\n{LATER} 7 2001:db8::20 * {DUID}\n")
    try:
        with listen(path) as found:
            server.start(REFNET_DHCP_SOCKET=path)
            first = {}
            while len(first) < 2:  # dnsmasq may say the same twice
                event = found.wait(PATIENCE)
                first[str(event.address)] = event
            guest.run("udhcpc", "-i", GUEST_DEVICE, "-f", "-n", "-q", "-t", "10", "-s", "/bin/true")
            added = next(event for event in found if event.action != "old")
    finally:
        server.stop()
    assert {(event.action, address) for address, event in first.items()} == {
        ("old", "192.0.2.20"),
        ("old", "2001:db8::20"),
    }
    assert first["2001:db8::20"].server_duid == SERVER_DUID
    assert (added.action, added.mac_address, added.device) == ("add", guest.mac, BRIDGE)
    assert abs(added.expires - time.time() - 3600) < PATIENCE
