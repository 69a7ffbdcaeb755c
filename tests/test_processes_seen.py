"""What the suite sees of processes and sockets: those of a stack, and nobody else's."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest
from waiting import wait_until

from conformance.oracles.linux_processes import sockets
from conformance.oracles.processes import Process, section, without_own
from conformance.oracles.state import difference
from conformance.topology.linux import namespaces
from refnet.netdev.driver import Kind

#: A daemon as daemons are made: in a session of its own, its parents gone. It says its number, and stays.
DAEMON = """\
import os, time
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
print(os.getpid(), flush=True)
if os.fork(): os.execlp("sleep", "sleep", "1001")
os.execlp("sleep", "sleep", "1002")
"""


@pytest.fixture
def daemon(stack):
    namespaces.adopt_orphans()
    with subprocess.Popen([sys.executable, "-c", DAEMON], stdout=subprocess.PIPE, text=True) as started:
        pid = int(started.stdout.readline())
    wait_until(
        lambda: {"1001", "1002"} == {one.argv[-1] for one in stack.look.processes()}, "both are what they will be"
    )
    yield pid
    for one in stack.look.processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(one.pid, signal.SIGKILL)


def test_what_runs_in_the_stack_is_seen_with_its_arguments(stack, daemon):
    found = stack.look.processes()
    assert [one.argv for one in found if one.pid == daemon] == [("sleep", "1001")]
    child = next(one for one in found if one.argv == ("sleep", "1002"))
    assert child.parent == daemon
    assert os.getpid() not in [one.pid for one in found]


def test_a_state_has_what_was_left_and_not_what_that_has_started(stack, daemon):
    assert list(stack.look.state().sections["process"]) == [f"{daemon} sleep 1001"]


def test_what_runs_elsewhere_is_not_seen(stack, daemon):
    guest = stack.guest("g")
    with guest.start("sleep", "1003") as running:
        assert "1003" not in [one.argv[-1] for one in stack.look.processes()]
        running.kill()


def test_who_has_died_is_not_there_and_is_buried(stack, daemon):
    before = stack.look.process_state()
    for one in stack.look.processes():
        os.kill(one.pid, signal.SIGKILL)
    wait_until(lambda: not stack.look.processes(), "both have ended")
    gone = difference(before, stack.look.process_state())
    assert not [one for one in gone if not one.endswith("is gone")]
    wait_until(lambda: not stack.look.process_state().sections["process"], "both are buried")


def test_what_was_started_and_not_waited_for_is_told(stack):
    before = stack.look.process_state()
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    try:
        assert any(one.startswith(f"process {child} is new") for one in difference(before, stack.look.process_state()))
    finally:
        os.waitpid(child, 0)


def test_who_looks_from_a_child_does_not_see_its_parents(stack):
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, repr(stack.look.processes()).encode() or b"?")
        os._exit(0)
    os.close(writing)
    assert os.read(reading, 1 << 16) == b"[]"
    os.close(reading)
    os.wait()


def test_a_process_is_the_same_whoever_its_parent_is():
    assert Process(5, ("a",), 1) == Process(5, ("a",), 2)
    assert Process(5, ("a",), 1) != Process(5, ("b",), 1)
    assert len(str(Process(5, ("x" * 1000,), 1))) < 200


def test_those_that_one_descends_from_are_left_out():
    found = [Process(2, ("worker",), 1), Process(7, ("spec",), 2), Process(8, ("server",), 1), Process(9, ("a",), 7)]
    assert [one.pid for one in without_own(found, 7)] == [8, 9]
    assert list(section(found)) == ["2 worker", "8 server"]


def test_sockets_that_wait_are_seen_with_address_device_and_port(stack):
    stack.foreign("br0", Kind.BRIDGE)
    stack.add_address("br0", "10.9.0.1/24")
    before = set(stack.look.sockets())
    with stack.datagram_socket("10.9.0.1", 53), stack.stream_socket("::1", 53) as listening:
        listening.listen()
        with stack.datagram_socket("0.0.0.0", 67) as bound:
            bound.setsockopt(1, 25, b"br0\0")  # SOL_SOCKET, SO_BINDTODEVICE
            assert set(stack.look.sockets()) - before == {"udp 10.9.0.1:53", "tcp [::1]:53", "udp 0.0.0.0%br0:67"}


def test_what_ss_says_is_read():
    said = "udp   UNCONN 0  0  0.0.0.0%br0:67  0.0.0.0:*\ntcp LISTEN 0 32 [fe80::1]%br0:53 [::]:*\n"
    assert sockets(said) == ["tcp [fe80::1]%br0:53", "udp 0.0.0.0%br0:67"]
