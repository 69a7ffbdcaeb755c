"""A driver that threads share, processes that fork, others that want the same at once, and interrupts."""

from __future__ import annotations

import functools
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

from calling import BOUND, forked

from refnet.netdev.linux import LinuxNetDevDriver
from tests.waiting import wait_until

MAC = "52:54:00:12:34:56"


def test_a_fork_has_a_connection_of_its_own(ovs, switch, plug):
    plug("tap1")
    assert forked(lambda: ovs.create_ovs_vif_port("br0", "tap1", "child", MAC)) == [0]
    assert ovs.ovs_port("tap1").iface_id == "child"
    assert forked(ovs.close) == [0]
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
                assert forked(lambda: ovs.ovs_ports("br0")) == [0]
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

    works = [functools.partial(plug_all, range(first, 40, 4)) for first in range(4)]
    assert forked(*works) == [0] * 4
    assert ovs.ovs_ports("br0") == tuple(sorted(f"tap{number}" for number in range(40)))
    assert all((ovs.ovs_port(dev).ofport or 0) > 0 for dev in ovs.ovs_ports("br0"))


def test_two_processes_that_want_the_same_port_both_get_it(ovs, switch):
    ovs.create_tap_dev("tap1")
    start = switch.directory / "start"

    def plug(number):
        with LinuxNetDevDriver() as own:
            own.ovs_ports("br0")
            wait_until(start.exists, "the start")
            own.create_ovs_vif_port("br0", "tap1", f"id-{number}", MAC)

    for _ in range(10):
        start.unlink(missing_ok=True)
        works = [functools.partial(plug, number) for number in range(2)]
        assert forked(*works, meanwhile=start.touch) == [0, 0]
        assert ovs.ovs_port("tap1").iface_id in ("id-0", "id-1")
        ovs.delete_ovs_vif_port("br0", "tap1", delete_dev=False)


def test_processes_that_want_the_same_bridge_and_gateway_all_get_them(switch, driver):
    def cycle():
        with LinuxNetDevDriver() as own:
            for _ in range(6):
                own.ensure_ovs_bridge("br7", datapath_type="netdev")
                own.create_ovs_vif_port("br7", "gw7", "id", MAC, interface_type="internal")

    assert forked(*[cycle] * 4) == [0] * 4
    assert driver.ovs_ports("br7") == ("gw7",)


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
