"""What becomes of a call while daemons end, hang and come back, processes fork and die, and others write as well."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conformance import faults
from refnet import config
from refnet.errors import InvalidArgument, RefnetError, SwitchRefused, SwitchUnreachable
from refnet.netdev import Capability
from refnet.netdev.linux import LinuxNetDevDriver
from refnet.netdev.ovs import database
from tests.waiting import wait_until

MAC = "52:54:00:12:34:56"
#: What "bounded" is to a machine on which everything may take longer: several times what is promised.
BOUND = 4 * database.ANSWER


def bounded(call, error=SwitchUnreachable):
    started = time.monotonic()
    with pytest.raises(error) as caught:
        call()
    assert time.monotonic() - started < BOUND
    return caught.value


def every_method(driver):
    return {
        "ensure_ovs_bridge": lambda: driver.ensure_ovs_bridge("br0"),
        "delete_ovs_bridge": lambda: driver.delete_ovs_bridge("br0"),
        "ovs_ports": lambda: driver.ovs_ports("br0"),
        "ovs_port": lambda: driver.ovs_port("tap1"),
        "create_ovs_vif_port": lambda: driver.create_ovs_vif_port("br0", "tap1", "id", MAC),
        "delete_ovs_vif_port": lambda: driver.delete_ovs_vif_port("br0", "tap1"),
        "set_ovs_port_vlan": lambda: driver.set_ovs_port_vlan("tap1", tag=1),
        "create_ovs_patch_ports": lambda: driver.create_ovs_patch_ports("br0", "p0", "br1", "p1"),
        "ovs_set_vhostuser_port_type": lambda: driver.ovs_set_vhostuser_port_type("tap1"),
    }


def in_child(work):
    """Run in a fork of this process; return its status, 0 where the work raised nothing."""
    child = os.fork()
    if not child:
        try:
            work()
        except BaseException as error:
            os.write(2, f"child: {error!r}\n".encode())
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


# -- nobody there ---------------------------------------------------------------------------------------


def test_without_a_database_every_method_says_where_it_was_looked_for(driver, tmp_path):
    config.configure(ovsdb=f"unix:{tmp_path}/none.sock")
    try:
        for name, call in every_method(driver).items():
            error = bounded(call)
            assert (error.operation, error.capability) == (name, "ovs")
            assert f"{tmp_path}/none.sock" in str(error)
            assert "openvswitch-switch" in str(error)
        for capability in (Capability.OVS, Capability.OVS_VHOST_USER, Capability.OVS_USERSPACE_DATAPATH):
            assert f"{tmp_path}/none.sock" in (driver.probe(capability) or "")
    finally:
        config.configure(ovsdb="")


@pytest.mark.parametrize("place", ["nonsense", "punix:/run/x", "http://127.0.0.1", "unix", "ptcp:6640"])
def test_a_place_that_is_none_is_refused(driver, place):
    config.configure(ovsdb=place)
    try:
        error = bounded(lambda: driver.ovs_ports("br0"), InvalidArgument)
        assert repr(place) in str(error)
    finally:
        config.configure(ovsdb="")


@pytest.mark.parametrize("place", ["tcp:127.0.0.1:9", "tcp:nonsense:1", "ssl:127.0.0.1:9", "tcp:127.0.0.1:x", "unix:"])
def test_a_place_where_nobody_listens_is_unreachable(driver, place):
    config.configure(ovsdb=place)
    try:
        assert place in str(bounded(lambda: driver.ovs_ports("br0")))
    finally:
        config.configure(ovsdb="")


def test_a_socket_that_answers_nonsense_or_nothing_is_unreachable(driver, tmp_path, monkeypatch):
    monkeypatch.setattr(database, "ANSWER", 1.0)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{tmp_path}/s")
        server.listen(8)
        config.configure(ovsdb=f"unix:{tmp_path}/s")
        try:
            bounded(lambda: driver.ovs_ports("br0"))

            def answer(words):
                connection, _ = server.accept()
                while connection.recv(1 << 16):
                    with contextlib.suppress(OSError):
                        connection.sendall(words)
                connection.close()

            server.accept()[0].close()  # the first caller's
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
        finally:
            config.configure(ovsdb="")


# -- daemons end, hang, and come back -------------------------------------------------------------------


def test_a_restarted_database_is_found_again_within_a_call(ovs, switch, plug):
    plug("tap1")
    for kill in (False, True):
        switch.stop_database(kill=kill)
        switch.start_database()
        ovs.create_ovs_vif_port("br0", "tap1", f"id-{kill}", MAC)
        assert ovs.ovs_port("tap1").iface_id == f"id-{kill}"
        assert (ovs.ovs_port("tap1").ofport or 0) > 0


def test_a_database_that_is_away_for_a_moment_is_waited_for(ovs, switch, plug):
    plug("tap1")
    switch.stop_database()
    with ThreadPoolExecutor(1) as elsewhere:
        call = elsewhere.submit(ovs.create_ovs_vif_port, "br0", "tap1", "id-2", MAC)
        switch.start_database()
        call.result(BOUND)
    assert ovs.ovs_port("tap1").iface_id == "id-2"


def test_a_database_that_has_gone_for_good_is_told_each_time(ovs, switch, plug):
    plug("tap1")
    switch.stop_database()
    for _ in range(2):
        bounded(lambda: ovs.ovs_ports("br0"))
    # After that it is known to be gone, and nothing is waited for.
    for call in every_method(ovs).values():
        bounded(call)
    switch.mend()
    assert ovs.ovs_ports("br0") == ("tap1",)


def test_a_restarted_switch_takes_the_next_call(ovs, switch, plug):
    plug("tap1")
    for kill in (False, True):
        switch.stop_daemon(kill=kill)
        switch.start_daemon()
        plug("tap2")
        assert (ovs.ovs_port("tap2").ofport or 0) > 0
        ovs.delete_ovs_vif_port("br0", "tap2")


def test_a_switch_that_has_ended_is_told_and_nothing_is_written(ovs, switch, plug, monkeypatch):
    monkeypatch.setattr(database, "ANSWER", 1.0)
    plug("tap1")
    ovs.create_tap_dev("tap2")
    switch.stop_daemon(kill=True)
    before = switch.records()
    for call in every_method(ovs).values():
        assert "ovs-vswitchd" in str(bounded(call))
    bounded(lambda: ovs.create_ovs_vif_port("br0", "tap2", "id", MAC))
    assert switch.records() == before
    assert ovs.device_exists("tap1")
    assert "ovs-vswitchd" in (ovs.probe(Capability.OVS) or "")
    switch.start_daemon()
    assert ovs.probe(Capability.OVS) is None


def test_what_a_hung_switch_does_not_do_is_taken_back(ovs, switch, plug, monkeypatch):
    monkeypatch.setattr(database, "ANSWER", 1.5)
    plug("tap1", tag=3)
    ovs.ensure_ovs_bridge("br1", datapath_type="netdev")
    ovs.create_tap_dev("tap2")
    before = switch.rows()
    with switch.hung_daemon():
        for call in (
            lambda: ovs.create_ovs_vif_port("br0", "tap2", "id", MAC, mtu=1400),
            lambda: ovs.create_ovs_vif_port("br0", "tap1", "another", MAC, tag=4, trunks=(5,)),
            lambda: ovs.set_ovs_port_vlan("tap1", tag=9),
            lambda: ovs.ensure_ovs_bridge("br2", datapath_type="netdev"),
            lambda: ovs.ensure_ovs_bridge("br1", fail_mode="secure", mac_address=MAC, mtu=1400),
            lambda: ovs.create_ovs_patch_ports("br0", "p0", "br1", "p1"),
            lambda: ovs.delete_ovs_bridge("br1"),
        ):
            assert "ovs-vswitchd" in str(bounded(call))
            assert switch.rows() == before
        bounded(lambda: ovs.delete_ovs_vif_port("br0", "tap1"))
        assert without_ids(switch.rows()) == without_ids(before)
    assert ovs.device_exists("tap1")
    assert ovs.device("tap2").mtu == 1500
    plug("tap1", tag=3)
    assert (ovs.ovs_port("tap1").ofport or 0) > 0


def without_ids(rows):
    """Rows that were deleted and are back have new UUIDs, and no numbers yet."""
    return {
        name: {
            key: value for key, value in row.items() if key not in ("_uuid", "bridges", "ports", "interfaces", "ofport")
        }
        for name, row in rows.items()
    }


def test_a_hung_database_is_told_within_a_bound(ovs, switch, plug, monkeypatch):
    monkeypatch.setattr(database, "ANSWER", 1.5)
    plug("tap1")
    before = switch.rows()
    with switch.hung_database():
        for call in every_method(ovs).values():
            assert "ovsdb-server" in str(bounded(call))
        assert "does not answer" in (ovs.probe(Capability.OVS) or "")
    assert ovs.ovs_ports("br0") == ("tap1",)
    assert switch.rows() == before


def test_another_place_is_used_from_the_next_call_on(ovs, switch, plug, tmp_path):
    plug("tap1")
    os.symlink(switch.directory / "db.sock", tmp_path / "other.sock")
    opened = len(os.listdir("/proc/self/fd"))
    config.configure(ovsdb=f"unix:{tmp_path}/other.sock")
    assert ovs.ovs_ports("br0") == ("tap1",)
    assert len(os.listdir("/proc/self/fd")) == opened
    config.configure(ovsdb=f"unix:{tmp_path}/gone.sock")
    bounded(lambda: ovs.ovs_ports("br0"))
    config.configure(ovsdb=switch.address)
    assert ovs.ovs_ports("br0") == ("tap1",)


def test_a_database_over_tcp_does_the_same(ovs, switch, plug):
    switch.appctl("version")
    subprocess.run(
        ["ovs-appctl", "-t", f"{switch.directory}/ovsdb-server.ctl", "ovsdb-server/add-remote", "ptcp:6640:127.0.0.1"],
        check=True,
        capture_output=True,
    )
    config.configure(ovsdb="tcp:127.0.0.1:6640")
    plug("tap1", tag=4)
    assert ovs.ovs_port("tap1").tag == 4
    switch.restart()
    config.configure(ovsdb=switch.address)
    assert ovs.ovs_port("tap1").tag == 4


def test_a_database_of_an_older_schema_is_used_without_what_it_lacks(ovs, switch, plug, tmp_path):
    schema = json.loads(Path("/usr/share/openvswitch/vswitch.ovsschema").read_text())
    for table, column in (("Interface", "mtu_request"), ("Interface", "lldp"), ("Interface", "cfm_mpid")):
        del schema["tables"][table]["columns"][column]
    schema.update(version="7.1.0", cksum="0 0")
    lean = tmp_path / "lean.ovsschema"
    lean.write_text(json.dumps(schema))
    switch.stop_daemon()
    subprocess.run(
        ["ovs-appctl", "-t", f"{switch.directory}/ovsdb-server.ctl", "exit"], check=True, capture_output=True
    )
    wait_until(lambda: not (switch.directory / "ovsdb-server.pid").exists(), "the database ends")
    subprocess.run(["ovsdb-tool", "convert", str(switch.directory / "conf.db"), str(lean)], check=True)
    switch.mend()
    plug("tap1", mtu=1400)
    ovs.create_ovs_vif_port("br0", "gw0", "id", MAC, interface_type="internal", mtu=1400)
    assert ovs.device("gw0").mtu == 1400
    assert "dpdkvhostuser" in (ovs.probe(Capability.OVS_VHOST_USER) or "")


# -- processes and threads ------------------------------------------------------------------------------


def test_a_fork_has_a_connection_of_its_own(ovs, switch, plug):
    plug("tap1")
    assert in_child(lambda: ovs.create_ovs_vif_port("br0", "tap1", "child", MAC)) == 0
    assert ovs.ovs_port("tap1").iface_id == "child"
    assert in_child(ovs.close) == 0
    before = sorted(os.listdir("/proc/self/fd"))
    ovs.create_ovs_vif_port("br0", "tap1", "parent", MAC)
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_a_fork_while_other_threads_are_in_calls_is_not_held_up(ovs, switch, plug):
    plug("tap1")
    done = threading.Event()

    def busy():
        number = 0
        while not done.is_set():
            number += 1
            ovs.create_ovs_vif_port("br0", "tap1", f"id-{number}", MAC)

    with ThreadPoolExecutor(2) as others:
        calls = [others.submit(busy) for _ in range(2)]
        try:
            for _ in range(20):
                assert in_child(lambda: ovs.ovs_ports("br0")) == 0
        finally:
            done.set()
        for call in calls:
            call.result(BOUND)


def test_threads_share_a_driver(ovs, switch):
    devices = [f"tap{number}" for number in range(24)]

    def cycle(dev):
        for tag in (1, 2, None):
            ovs.create_tap_dev(dev)
            ovs.create_ovs_vif_port("br0", dev, dev, MAC, tag=tag)
            assert ovs.ovs_port(dev).tag == tag
            ovs.create_ovs_vif_port("br0", dev, dev, MAC, tag=7)
            if tag is not None:
                ovs.delete_ovs_vif_port("br0", dev)

    before = len(os.listdir("/proc/self/fd"))
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(cycle, devices))
    assert ovs.ovs_ports("br0") == tuple(sorted(devices))
    assert len(os.listdir("/proc/self/fd")) == before
    assert {switch.rows()[f"Port {dev}"]["tag"] for dev in devices} == {7}


def test_two_processes_at_once_lose_nothing_of_each_other(ovs, switch):
    def plug_all(numbers):
        with LinuxNetDevDriver() as own:
            for number in numbers:
                own.create_tap_dev(f"tap{number}")
                own.create_ovs_vif_port("br0", f"tap{number}", f"id-{number}", MAC)

    children = []
    for first in range(4):
        child = os.fork()
        if not child:
            try:
                plug_all(range(first, 40, 4))
            except BaseException as error:
                os.write(2, f"child: {error!r}\n".encode())
                os._exit(1)
            os._exit(0)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 4
    assert ovs.ovs_ports("br0") == tuple(sorted(f"tap{number}" for number in range(40)))
    assert all((ovs.ovs_port(dev).ofport or 0) > 0 for dev in ovs.ovs_ports("br0"))


def test_two_processes_that_want_the_same_port_both_get_it(ovs, switch):
    ovs.create_tap_dev("tap1")
    for _ in range(10):
        start = switch.directory / "start"
        start.unlink(missing_ok=True)
        children = []
        for number in range(2):
            child = os.fork()
            if not child:
                try:
                    with LinuxNetDevDriver() as own:
                        own.ovs_ports("br0")
                        wait_until(start.exists, "the start")
                        own.create_ovs_vif_port("br0", "tap1", f"id-{number}", MAC)
                except BaseException as error:
                    os.write(2, f"child: {error!r}\n".encode())
                    os._exit(1)
                os._exit(0)
            children.append(child)
        start.touch()
        assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
        assert ovs.ovs_port("tap1").iface_id in ("id-0", "id-1")
        ovs.delete_ovs_vif_port("br0", "tap1", delete_dev=False)


def test_an_interrupt_leaves_a_driver_that_works(ovs, switch, plug):
    plug("tap1")
    interrupted = 0
    is_called = False

    def interrupt(number, frame):
        if is_called:  # else it comes behind the call
            raise KeyboardInterrupt

    for delay in (0.0005, 0.001, 0.002, 0.004):
        for number in range(8):
            previous = signal.signal(signal.SIGALRM, interrupt)
            try:
                is_called = True
                signal.setitimer(signal.ITIMER_REAL, delay)
                ovs.create_ovs_vif_port("br0", "tap1", f"id-{delay}-{number}", MAC)
                is_called = False
            except KeyboardInterrupt:
                interrupted += 1
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, previous)
    ovs.create_ovs_vif_port("br0", "tap1", "at-last", MAC)
    assert ovs.ovs_port("tap1").iface_id == "at-last"
    assert interrupted


# -- killed half way, and refused half way --------------------------------------------------------------


def calls_of(ovs):
    return {
        "bridge": lambda: ovs.ensure_ovs_bridge("br1", datapath_type="netdev", mac_address=MAC, mtu=1400),
        "port": lambda: ovs.create_ovs_vif_port("br0", "tap1", "id", MAC, tag=5, mtu=1400),
        "gateway": lambda: ovs.create_ovs_vif_port("br0", "gw0", "id", MAC, interface_type="internal", mtu=1400),
        "cable": lambda: ovs.create_ovs_patch_ports("br0", "p0", "brx", "px"),
        "no port": lambda: ovs.delete_ovs_vif_port("br0", "gone1"),
        "no bridge": lambda: ovs.delete_ovs_bridge("brg"),
    }


def state_of(ovs, switch):
    devices = {}
    for dev in ("br1", "tap1", "gw0", "gone1", "brg"):
        if ovs.device_exists(dev):
            device = ovs.device(dev)
            devices[dev] = (device.mtu, device.up, device.mac_address if dev in ("br1", "gw0") else None)
    return without_ids(switch.rows()), devices


def prepare(ovs):
    for dev in ("tap1", "gone1"):
        ovs.create_tap_dev(dev)
    ovs.ensure_ovs_bridge("brx", datapath_type="netdev")
    ovs.ensure_ovs_bridge("brg", datapath_type="netdev")
    ovs.create_ovs_vif_port("br0", "gone1", "id", MAC)


@pytest.mark.parametrize("what", ["bridge", "port", "gateway", "cable", "no port", "no bridge"])
def test_killed_at_any_request_the_next_call_brings_it_to_its_end(ovs, switch, what):
    prepare(ovs)
    call = calls_of(ovs)[what]
    for at in range(1, 30):

        def killed(at=at):
            with faults.injected(at, kill=True):
                call()

        status = in_child(killed)
        assert status in (0, -signal.SIGKILL)
        call()
        done = state_of(ovs, switch)
        if status == 0:
            break
        undo(ovs, what)
    else:
        pytest.fail("the call has no end")
    assert at > 1
    undo(ovs, what)
    call()
    assert state_of(ovs, switch) == done


def undo(ovs, what):
    match what:
        case "bridge":
            ovs.delete_ovs_bridge("br1")
        case "port":
            ovs.delete_ovs_vif_port("br0", "tap1")
            ovs.create_tap_dev("tap1")
        case "gateway":
            ovs.delete_ovs_vif_port("br0", "gw0")
        case "cable":
            ovs.delete_ovs_vif_port("br0", "p0")
            ovs.delete_ovs_vif_port("brx", "px")
        case "no port":
            ovs.create_tap_dev("gone1")
            ovs.create_ovs_vif_port("br0", "gone1", "id", MAC)
        case "no bridge":
            ovs.ensure_ovs_bridge("brg", datapath_type="netdev")


@pytest.mark.parametrize("what", ["bridge", "port", "gateway", "cable", "no port", "no bridge"])
def test_refused_at_any_request_everything_is_as_it_was_or_done(ovs, switch, what):
    prepare(ovs)
    call = calls_of(ovs)[what]
    before = state_of(ovs, switch)
    refused = 0
    for at in range(1, 30):
        error = None
        with faults.injected(at) as injected:
            try:
                call()
            except RefnetError as caught:
                error = caught
        if error is not None:
            refused += 1
            rows, devices = state_of(ovs, switch)
            # What the switch has let go of already is not given back to it.
            is_done = {"no port": "Port gone1" not in rows, "no bridge": "Bridge brg" not in rows}.get(what, False)
            assert (rows, devices) == before or is_done, (at, error)
            assert error.operation
        if not injected.hit:
            break
        undo(ovs, what)
        state = before if what.startswith("no ") else None
        assert state is None or state_of(ovs, switch) == state
    assert refused


def test_a_transaction_that_the_database_refuses_is_told_in_its_words(ovs, switch, plug):
    plug("tap1")
    with faults.injected(1) as injected, pytest.raises(SwitchRefused) as caught:
        ovs.set_ovs_port_vlan("tap1", tag=5)
    assert injected.hit
    assert "unknown method" in (caught.value.detail or "").lower()


def test_processes_that_want_the_same_bridge_and_gateway_all_get_them(switch, driver):
    def cycle():
        with LinuxNetDevDriver() as own:
            for _ in range(6):
                own.ensure_ovs_bridge("br7", datapath_type="netdev")
                own.create_ovs_vif_port("br7", "gw7", "id", MAC, interface_type="internal")

    children = []
    for _ in range(4):
        child = os.fork()
        if not child:
            try:
                cycle()
            except BaseException as error:
                os.write(2, f"child: {error!r}\n".encode())
                os._exit(1)
            os._exit(0)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 4
    assert driver.ovs_ports("br7") == ("gw7",)
