"""A real dnsmasq's life: how it is started, found again and ended, and what is written for it."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from dnsmasq_manager import ADDRESS, ADDRESS6, BRIDGE, MAC, MAC2, descriptors, knows, network, pid, said, servers
from waiting import wait_until

from conformance.steps import watched
from refnet.dhcp import Dns, Host
from refnet.dhcp.dnsmasq import DnsmasqManager, program, server
from refnet.dhcp.dnsmasq.place import Place
from refnet.errors import (
    InvalidArgument,
    LeaseOfAnother,
    NotRunning,
    Unsupported,
)

# -- start and stop ------------------------------------------------------------------------------------------


def test_a_life(manager: DnsmasqManager, place: Place) -> None:
    assert manager.running(BRIDGE).reason == "it was never started"
    assert manager.networks() == ()
    manager.start(network(Host(MAC, "192.0.2.5", name="web")))
    assert servers(place) == {pid(manager)}
    assert manager.networks() == (BRIDGE,)
    assert knows("web", "192.0.2.5")
    os.kill(pid(manager), signal.SIGKILL)
    wait_until(lambda: not servers(place), "it is gone")
    assert manager.running(BRIDGE).reason.startswith("it ended without a word")
    manager.start(network(Host(MAC, "192.0.2.5", name="web")))
    os.kill(pid(manager), signal.SIGTERM)
    wait_until(lambda: not servers(place), "it is gone")
    assert manager.running(BRIDGE).reason == "exiting on receipt of SIGTERM"
    manager.stop(BRIDGE)
    assert [one.name for one in place.path.iterdir()] == ["leases"]
    assert manager.running(BRIDGE).reason == "it was stopped"
    manager.stop(BRIDGE, forget=True)
    assert not place.path.exists()
    assert not manager.directory.exists(), "a directory that was made goes as well"


def test_a_directory_of_somebody_elses_stays(manager: DnsmasqManager) -> None:
    manager.directory.mkdir(mode=0o755)
    manager.start(network())
    manager.stop(BRIDGE, forget=True)
    assert not list(manager.directory.iterdir())


def test_modes_and_owners(manager: DnsmasqManager, place: Place) -> None:
    old = os.umask(0o077)
    try:
        manager.start(network(Host(MAC, "192.0.2.5", name="web"), lease_events="log"))
        manager.add_host(BRIDGE, Host(MAC2, "192.0.2.6", name="two", options={"mtu": 1400}))
    finally:
        os.umask(old)
    for path in [manager.directory, place.path, *place.path.rglob("*")]:
        expected = 0o755 if path.is_dir() or path == place.event else 0o644
        assert stat.S_IMODE(path.stat().st_mode) == expected, path
    assert place.event.read_text().startswith(f"#!{sys.executable} -IS\n")


def test_with_nothing_to_do_nothing_is_done(manager: DnsmasqManager) -> None:
    wanted = network(Host(MAC, "192.0.2.5"), Host(MAC2, "192.0.2.6"), domain="a.example", options={"mtu-plateau": [68]})
    manager.start(wanted)
    again = network(Host(MAC2, "192.0.2.6"), Host(MAC, "192.0.2.5"), domain="a.example", options={"mtu-plateau": [68]})
    for one in (manager, DnsmasqManager(manager.directory)):
        with watched(manager.directory) as steps:
            one.start(wanted)
            one.update(again)
            one.add_host(BRIDGE, Host(MAC, "192.0.2.5"))
            one.remove_host(BRIDGE, "52:54:00:00:00:99")
        assert steps.seen == []


def test_descriptors_do_not_get_more(manager: DnsmasqManager) -> None:
    def round_trip() -> None:
        manager.start(network())
        manager.add_host(BRIDGE, Host(MAC, "192.0.2.5"))
        manager.update(network(mtu=1400))
        assert manager.running(BRIDGE).is_running
        manager.stop(BRIDGE)

    round_trip()
    before = descriptors()
    for _ in range(5):
        round_trip()
    assert descriptors() == before


# -- found again, and ended ----------------------------------------------------------------------------------


def test_found_without_its_files(manager: DnsmasqManager, place: Place) -> None:
    manager.start(network())
    before = pid(manager)
    for content in ("", "garbage", "1", str(os.getpid()), "99999999999", "-5", "0"):
        place.pid.unlink()
        place.pid.write_text(content)
        assert pid(manager) == before, content
    for content in ("", "{", "[]", '{"format": 1}', "\0\xff"):
        place.network.write_text(content)
        assert pid(DnsmasqManager(manager.directory)) == before, content
    manager.start(network())
    assert servers(place) == {pid(manager)} != {before}
    place.pid.unlink()
    place.network.unlink()
    manager.stop(BRIDGE)
    assert not servers(place)


def test_who_answers_by_tcp_is_no_server_and_does_not_live_on(manager: DnsmasqManager, place: Place) -> None:
    manager.start(network())
    with socket.create_connection((ADDRESS[:-3], 53), timeout=30):
        main = pid(manager)
        wait_until(lambda: len(servers(place)) == 2, "a child for the connection")
        os.kill(main, signal.SIGKILL)
        wait_until(lambda: main not in servers(place), "the server is gone")
        assert servers(place), "its child lives on"
        assert not manager.running(BRIDGE).is_running
        with pytest.raises(NotRunning):
            manager.update(network())
        manager.start(network())
        assert servers(place) == {pid(manager)}


def test_one_that_does_not_listen_is_killed(manager: DnsmasqManager, place: Place) -> None:
    manager.start(network())
    os.kill(pid(manager), signal.SIGSTOP)
    DnsmasqManager(manager.directory, time_limit=1).stop(BRIDGE)
    assert not servers(place)


@pytest.mark.parametrize("changed", [lambda argv: ["sh", *argv[1:]], lambda argv: [*argv, "more"]])
def test_a_stranger_with_its_arguments_is_left_alone(
    changed: Callable[[list[str]], list[str]], manager: DnsmasqManager, place: Place
) -> None:
    manager.start(network())
    argv = Path(f"/proc/{pid(manager)}/cmdline").read_bytes().decode().split("\0")[:-1]
    manager.stop(BRIDGE)
    program_of_strangers = "import sys,time; print(flush=True); sys.stdin.read()"
    stranger = subprocess.Popen(
        [*changed(argv)[:1], "-c", program_of_strangers, *changed(argv)[1:]],
        executable=sys.executable,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert stranger.stdout
        stranger.stdout.readline()
        place.path.mkdir(exist_ok=True)
        place.pid.write_text(str(stranger.pid))
        assert not manager.running(BRIDGE).is_running
        manager.stop(BRIDGE)
        manager.start(network())
        manager.stop(BRIDGE)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.communicate()


def test_a_server_of_another_network_stack_is_another_one(manager: DnsmasqManager, place: Place) -> None:
    """Containers may show a host their processes, and have the same paths."""
    argv = ["dnsmasq", f"--pid-file={place.pid}", "60", f"--conf-file={place.configuration}"]
    script = "import sys; print(flush=True); sys.stdin.read()"
    for unshared in (False, True):
        command = [sys.executable, "-c", f"import os\nos.execv({sys.executable!r}, {[argv[0], '-c', script]!r})"]
        with subprocess.Popen(
            ["unshare", "-n", *command] if unshared else command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as other:
            assert other.stdout
            other.stdout.readline()
            found = server.processes.find(other.pid, lambda arguments: arguments[0] == "dnsmasq")
            assert (found is None) is unshared
            if found:
                found.close()
            other.communicate()


def test_whose_arguments_are_ours(place: Place) -> None:
    good = ["/usr/sbin/dnsmasq", f"--pid-file={place.pid}", "--more", f"--conf-file={place.configuration}"]
    assert server.is_ours(good, place)
    # Whoever started it may have been killed while env(1) was about to become it.
    assert server.is_ours(("env", "-i", "LC_ALL=C", "PATH=/usr/sbin", *good), place)
    for bad in (["/bin/sh", *good[1:]], [*good, "x"], ["strace", *good], good[:1], [], [" ".join(good)]):
        assert not server.is_ours(bad, place)


# -- leases and logs -----------------------------------------------------------------------------------------


def test_release_of_what_is_not_there_and_of_anothers(manager: DnsmasqManager, place: Place) -> None:
    manager.start(network())
    manager.release(BRIDGE, "192.0.2.100", MAC)
    manager.stop(BRIDGE)
    place.path.mkdir(exist_ok=True)
    place.leases.write_text(f"4000000000 {MAC} 192.0.2.100 * *\n")
    with pytest.raises(NotRunning):
        manager.release(BRIDGE, "192.0.2.100", MAC)
    manager.start(network())
    assert [str(one.address) for one in manager.leases(BRIDGE)] == ["192.0.2.100"]
    with pytest.raises(LeaseOfAnother) as refused:
        manager.release(BRIDGE, "192.0.2.100", MAC2)
    assert refused.value.holder == MAC
    manager.release(BRIDGE, "192.0.2.100", MAC)
    assert manager.leases(BRIDGE) == ()


def test_the_log_does_not_grow_for_ever(manager: DnsmasqManager, place: Place) -> None:
    manager.start(network())
    manager.update(network(mtu=1400))
    assert said(place).count("started, version") == 2
    with place.log.open("a") as log:
        log.write("x" * (1 << 20))
    manager.update(network(mtu=1300))
    assert place.log.stat().st_size < 1 << 16
    assert said(place).count("started, version") == 1


def test_lease_store(manager: DnsmasqManager, place: Place) -> None:
    manager.start(network(lease_events="log", lease_store=True))
    assert not place.leases.exists()
    assert manager.leases(BRIDGE) == ()
    os.kill(pid(manager), signal.SIGKILL)
    wait_until(lambda: not servers(place), "it and the program's parent are gone")


# -- several at once -----------------------------------------------------------------------------------------


def test_threads_and_processes(manager: DnsmasqManager, place: Place) -> None:
    manager.start(network())
    before = pid(manager)
    failures: list[BaseException] = []

    def add(first: int) -> None:
        own = DnsmasqManager(manager.directory, time_limit=60) if first % 20 else manager
        try:
            for one in range(first, first + 10):
                own.add_host(BRIDGE, Host(f"52:54:00:00:01:{one:02x}", f"192.0.2.{one}", name=f"vm{one}"))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=add, args=(first,)) for first in (10, 20, 30, 40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert pid(manager) == before
    assert len(manager.network(BRIDGE).hosts) == 40
    assert all(knows(f"vm{one}", f"192.0.2.{one}") for one in range(10, 50))
    assert json.loads(place.network.read_text())["pid"] == before


def test_whom_it_becomes() -> None:
    if os.geteuid() == 0 and program.identity("nobody") == ("--user=nobody", "--group=nogroup"):
        alone = subprocess.run(
            [
                "unshare",
                "-U",
                "-r",
                sys.executable,
                "-c",
                "from refnet.dhcp.dnsmasq import program; print(program.identity('nobody'))",
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        assert alone.stdout.strip() == "('--user=', '--group=')"
    else:
        assert program.identity("nobody") == ("--user=", "--group=")
    with pytest.raises(InvalidArgument, match="no such user"):
        program.identity("nosuch-user")


def test_what_is_compiled_in() -> None:
    from refnet.dhcp.capabilities import Capability

    assert {"DHCP", "DHCPv6"} <= program.features(program.found())
    assert program.lacks(frozenset({"no-DHCPv6"}), Capability.DHCP_IPV6)
    assert program.lacks(frozenset({"no-DHCPv6"}), Capability.DHCP) is None
    assert program.lacks(frozenset({"no-scripts"}), Capability.LEASE_EVENTS)


def test_what_it_cannot_do_is_refused(manager: DnsmasqManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "features", lambda _: frozenset({"DHCP", "no-DHCPv6"}))
    with pytest.raises(Unsupported) as refused:
        manager.start(network(addresses=[ADDRESS, ADDRESS6], ipv6="stateful"))
    assert refused.value.capability == "dhcp-ipv6"
    assert not manager.directory.exists()


def test_a_forwarder_is_told_apart(manager: DnsmasqManager) -> None:
    manager.start(network(dns=Dns("127.0.0.1")))
    assert b"--strict-order" in Path(f"/proc/{pid(manager)}/cmdline").read_bytes()
