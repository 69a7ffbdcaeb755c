"""Several at once: threads and processes, on one name and on many."""

from __future__ import annotations

import functools
import os
import signal
import threading
from collections.abc import Callable

from conformance.harness import DriverUnderTest, in_child, in_children
from conformance.spec import spec
from conformance.topology.sandbox import Sandbox
from refnet.errors import AlreadyExists, NoSuchDevice, RefnetError
from refnet.netdev.driver import Capability

BRIDGE = Capability.BRIDGE
THREADS, PROCESSES, ROUNDS = 8, 6, 5


def at_once(count: int, work: Callable[[int], object]) -> list[BaseException | None]:
    """Run a piece of work in several threads, let go together, and return what each raised."""
    gate = threading.Barrier(count)
    raised: list[BaseException | None] = [None] * count

    def run(number: int) -> None:
        gate.wait()
        try:
            work(number)
        except BaseException as error:
            raised[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def complaints(raised: list[BaseException | None]) -> str:
    """Say what was raised."""
    return "; ".join(f"{type(error).__name__}: {error}" for error in raised if error is not None)


@spec(
    "CC-01",
    "Threads that ensure one bridge at once all return, and there is one bridge with all ports.",
    capability=BRIDGE,
)
def test_threads_ensure(netdev: DriverUnderTest, net: Sandbox) -> None:
    guests = [net.guest(f"g{number}") for number in range(THREADS)]
    raised = at_once(THREADS, lambda number: netdev.ensure_bridge("br0", guests[number].port))
    assert not any(raised), f"of {THREADS} threads that ensured one bridge, some failed: {complaints(raised)}"
    ports = net.look.ports("br0")
    assert ports == {guest.port for guest in guests}, f"the bridge has the ports {sorted(ports)} only"
    net.delivers(guests[0], net.frame(guests[0], guests[1]), guests[1], what="unicast")


@spec(
    "CC-02",
    "Of threads that create one bridge at once one succeeds, and the others get AlreadyExists.",
    capability=BRIDGE,
)
def test_threads_create(netdev: DriverUnderTest, net: Sandbox) -> None:
    for number in range(ROUNDS):
        raised = at_once(THREADS, functools.partial(_create, netdev, f"br{number}"))
        winners = raised.count(None)
        assert winners == 1, f"{winners} of {THREADS} threads have created br{number}"
        others = [error for error in raised if error is not None]
        assert all(isinstance(error, AlreadyExists) for error in others), f"the losers got {complaints(raised)}"


@spec("CC-03", "Processes that ensure one bridge at once all return.", capability=BRIDGE)
def test_processes_ensure(netdev: DriverUnderTest, net: Sandbox) -> None:
    guests = [net.guest(f"g{number}") for number in range(PROCESSES)]
    statuses = in_children(PROCESSES, lambda number: netdev.fresh().ensure_bridge("br0", guests[number].port))
    assert statuses == [0] * PROCESSES, f"of {PROCESSES} processes that ensured one bridge, some failed: {statuses}"
    ports = net.look.ports("br0")
    assert ports == {guest.port for guest in guests}, f"the bridge has the ports {sorted(ports)} only"
    netdev.delete_bridge("br0")


@spec("CC-04", "Threads that work on names of their own do not disturb each other.", capability=BRIDGE)
def test_threads_on_many_names(netdev: DriverUnderTest, net: Sandbox) -> None:
    guests = [net.guest(f"g{number}") for number in range(THREADS)]

    def work(number: int) -> None:
        name, port = f"br{number}", guests[number].port
        for _ in range(ROUNDS):
            netdev.create_bridge(name, mtu=1400)
            netdev.add_bridge_port(name, port)
            found = netdev.device(port)
            assert found.master == name, f"{port} was put into {name} and is in {found.master}"
            assert netdev.bridge_ports(name) == (port,), f"the ports of {name} are {netdev.bridge_ports(name)!r}"
            netdev.delete_bridge(name)

    raised = at_once(THREADS, work)
    assert not any(raised), f"threads on names of their own disturbed each other: {complaints(raised)}"
    left = [name for name in net.look.names() if name.startswith("br")]
    assert not left, f"{left} are left"


@spec(
    "CC-05",
    "Creating and deleting one name in a race ends with typed errors only, and nothing half-made.",
    capability=BRIDGE,
)
def test_create_and_delete_race(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest = net.guest("a")

    def work(number: int) -> None:
        for _ in range(4 * ROUNDS):
            try:
                if number % 2:
                    netdev.ensure_bridge("br0")
                    netdev.add_bridge_port("br0", guest.port, move=True)
                else:
                    netdev.delete_bridge("br0")
            except (NoSuchDevice, AlreadyExists):
                pass
            except RefnetError as error:
                raise AssertionError(f"a race lets out {type(error).__name__}: {error}") from error

    raised = at_once(4, work)
    assert not any(raised), f"creating and deleting in a race failed: {complaints(raised)}"
    netdev.ensure_bridge("br0", guest.port)
    assert net.look.master(guest.port) == "br0", "after the race the bridge cannot be used"
    netdev.delete_bridge("br0")


@spec(
    "CC-06",
    "Processes that bring one interface with addresses and routes into a bridge at once lose none of them.",
    capability=BRIDGE,
)
def test_processes_join(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest = net.guest("a", "192.0.2.2/24")
    net.add_address(guest.port, "192.0.2.1/24", "192.0.2.9/24", "198.51.100.1/24")
    net.add_route("203.0.113.0/24", "192.0.2.2", guest.port)
    net.add_route("default", "192.0.2.2", guest.port)
    statuses = in_children(PROCESSES, lambda _: netdev.fresh().ensure_bridge("br0", guest.port))
    assert statuses == [0] * PROCESSES, f"of {PROCESSES} processes, some failed: {statuses}"
    found = net.look.cidrs("br0")
    assert sorted(found) == ["192.0.2.1/24", "192.0.2.9/24", "198.51.100.1/24"], f"the bridge has the addresses {found}"
    routes = {route["dst"] for route in net.look.routes_through("br0")}
    assert {"203.0.113.0/24", "default"} <= routes, f"of the routes only {sorted(routes)} lead through the bridge"
    net.reaches(guest, "192.0.2.2", net, "192.0.2.1", what="an address that processes have moved at once")
    netdev.delete_bridge("br0")


@spec("CC-07", "A driver works on in both processes after a fork.", capability=BRIDGE)
def test_fork(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_bridge("br0")

    def child() -> None:
        for number in range(20):
            netdev.driver.create_bridge(f"c{number}")
            if not netdev.driver.device_exists(f"c{number}"):
                raise AssertionError(f"the child does not see its c{number}")
            netdev.driver.delete_bridge(f"c{number}")

    pid = os.fork()
    if pid == 0:
        try:
            child()
            os._exit(0)
        except BaseException as error:
            os.write(2, f"in the forked child: {type(error).__name__}: {error}\n".encode())
            os._exit(1)
    try:
        for number in range(20):
            netdev.create_bridge(f"p{number}")
            assert netdev.device_exists(f"p{number}"), f"the parent does not see its p{number}"
            netdev.delete_bridge(f"p{number}")
    finally:
        _, status = os.waitpid(pid, 0)
    assert status == 0, "after a fork the driver does not work in the child"
    assert netdev.device("br0").name == "br0", "after a fork the driver does not work in the parent"


@spec("CC-08", "A driver can be used from threads while another thread forks.", level="full", capability=BRIDGE)
def test_fork_among_threads(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_bridge("br0")
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            netdev.driver.device_exists("br0")

    threads = [threading.Thread(target=busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        statuses: list[int] = []
        while len(statuses) < 10 and not any(statuses):
            statuses.append(in_child(lambda: _must_see(netdev, "br0")))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not any(statuses), f"children of a process with busy threads ended with {statuses}"


def _must_see(netdev: DriverUnderTest, name: str) -> None:
    # A lock that another thread held at the fork is never given back in the child: the alarm ends the wait for it.
    signal.alarm(5)
    if not netdev.driver.device_exists(name):
        raise AssertionError(f"the child does not see {name}")
    signal.alarm(0)


def _create(netdev: DriverUnderTest, name: str, _: int) -> None:
    netdev.create_bridge(name)
