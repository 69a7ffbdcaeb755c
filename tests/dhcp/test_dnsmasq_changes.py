"""A real dnsmasq's network changes: what is done, what is refused, and what stands afterwards."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dnsmasq_manager import ADDRESS, ADDRESS6, BRIDGE, MAC, MAC2, knows, network, pid, said, servers

from conformance.steps import watched
from conformance.topology.linux import Sandbox
from refnet.dhcp import DhcpNetwork, Host
from refnet.dhcp.dnsmasq import DnsmasqManager, program
from refnet.dhcp.dnsmasq.hosts import host_line
from refnet.dhcp.dnsmasq.place import Place
from refnet.errors import (
    AddressInUse,
    InvalidArgument,
    NoAnswer,
    NoSuchDevice,
    NotRunning,
    PermissionDenied,
    ServerFailed,
    ToolMissing,
)

# -- changes -------------------------------------------------------------------------------------------------


def test_a_host_more_is_a_file_more(manager: DnsmasqManager, place: Place) -> None:
    manager.start(network(Host(MAC, "192.0.2.5")))
    before, base = pid(manager), place.hosts.stat()
    with watched(manager.directory) as steps:
        manager.add_host(BRIDGE, Host(MAC2, "192.0.2.6", name="two"))
    assert pid(manager) == before
    assert not any(one.startswith(("signal", "start")) for one in steps.seen), steps.seen
    assert place.hosts.stat() == base
    assert (place.added_hosts / MAC2).read_text() == f"{MAC2},192.0.2.6,two.\n"
    assert knows("two", "192.0.2.6")
    assert manager.network(BRIDGE) == network(Host(MAC, "192.0.2.5"), *manager.network(BRIDGE).hosts[1:])
    assert len(place.kept_hosts.read_text().splitlines()) == 2


def test_a_host_more_costs_the_same_among_many(manager: DnsmasqManager, stack: Sandbox) -> None:
    stack.add_address(BRIDGE, "10.9.0.1/16")

    def steps_among(count: int) -> list[str]:
        hosts = [Host(f"52:54:02:00:00:{one:02x}", f"10.9.8.{one}") for one in range(1, count + 1)]
        manager.start(DhcpNetwork(BRIDGE, "10.9.0.1/16", hosts=hosts))
        with watched(manager.directory) as steps:
            manager.add_host(BRIDGE, Host(MAC, "10.9.9.9", name="more"))
        return steps.seen

    assert steps_among(2) == steps_among(250)


def test_other_hosts_are_a_reload(manager: DnsmasqManager, place: Place) -> None:
    manager.start(network(Host(MAC, "192.0.2.5", name="web")))
    manager.add_host(BRIDGE, Host(MAC2, "192.0.2.6", name="two"))
    before = pid(manager)
    manager.update(network(Host(MAC, "192.0.2.7", name="web"), Host(MAC2, "192.0.2.6", name="three")))
    assert pid(manager) == before
    assert knows("web", "192.0.2.7")
    assert knows("three", "192.0.2.6")
    assert not knows("two", "192.0.2.6")
    assert not list(place.added_hosts.iterdir())
    manager.remove_host(BRIDGE, MAC2)
    assert pid(manager) == before
    assert not knows("three", "192.0.2.6")
    assert "duplicate" not in said(place)
    assert "No such file" not in said(place)


def test_other_options_are_a_reload_and_arguments_a_restart(manager: DnsmasqManager) -> None:
    manager.start(network())
    before = pid(manager)
    manager.update(network(options={"ntp-server": "192.0.2.9"}, gateway="192.0.2.1"))
    assert pid(manager) == before
    manager.update(network(mtu=1400))
    assert pid(manager) != before


def test_a_device_that_was_made_anew_takes_a_new_server(manager: DnsmasqManager, stack: Sandbox) -> None:
    manager.start(network())
    before = pid(manager)
    stack.ip(f"link del {BRIDGE}")
    with pytest.raises(NoSuchDevice):
        manager.start(network())
    stack.plain_bridge(BRIDGE)
    with pytest.raises(InvalidArgument, match="has not the server's address"):
        manager.start(network())
    stack.add_address(BRIDGE, ADDRESS, ADDRESS6)
    manager.start(network())
    assert pid(manager) != before


@pytest.mark.parametrize("has_inotify", [True, False])
def test_without_inotify_it_is_told(
    has_inotify: bool, manager: DnsmasqManager, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on FreeBSD: the lines are added to the files that there are, and the server reads them again."""
    compiled = frozenset({"DHCP", "DHCPv6", "inotify" if has_inotify else "no-inotify"})
    monkeypatch.setattr(program, "features", lambda _: compiled)
    manager.start(network(Host(MAC, "192.0.2.5", name="web")))
    before = pid(manager)
    with watched(manager.directory) as steps:
        manager.add_host(BRIDGE, Host(MAC2, "192.0.2.6", name="two"))
    assert pid(manager) == before
    assert knows("two", "192.0.2.6")
    assert (f"signal {signal.SIGHUP}" in steps.seen) is not has_inotify
    assert (f"{MAC2},192.0.2.6,two.\n" in place.hosts.read_text()) is not has_inotify
    assert place.added_hosts.exists() is has_inotify
    manager.remove_host(BRIDGE, MAC2)
    assert not knows("two", "192.0.2.6")
    assert pid(manager) == before


# -- what is refused -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def port_in_use() -> Iterator[None]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((ADDRESS[:-3], 53))
        yield


def test_a_port_in_use(manager: DnsmasqManager, place: Place) -> None:
    with port_in_use(), pytest.raises(AddressInUse, match="Address already in use"):
        manager.start(network())
    assert not servers(place)
    assert not manager.directory.exists()
    manager.start(network(dns=None))
    before = pid(manager)
    with port_in_use(), pytest.raises(AddressInUse):
        manager.update(network(Host(MAC, "192.0.2.5", name="web")))
    assert manager.network(BRIDGE) == network(dns=None)
    assert manager.running(BRIDGE).is_running, "the old one runs again"
    assert pid(manager) != before
    manager.update(network(Host(MAC, "192.0.2.5", name="web")))
    assert knows("web", "192.0.2.5")


def test_a_line_that_dnsmasq_refuses_is_taken_back(
    manager: DnsmasqManager, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No network has such a line; a version of dnsmasq that knows less might refuse one."""
    good = network(Host(MAC, "192.0.2.5", name="web"))

    def refused_of_others(host: Host, *common: Any) -> str:
        return host_line(host, *common) if host == good.hosts[0] else "192.0.2.6,zz:zz"

    manager.start(good)
    before = pid(manager)
    with monkeypatch.context() as patched:
        for module in ("plan", "life"):
            patched.setattr(f"refnet.dhcp.dnsmasq.{module}.host_line", refused_of_others)
        for call in (
            lambda: manager.update(network(Host(MAC, "192.0.2.6", name="web"))),
            lambda: manager.add_host(BRIDGE, Host(MAC2, "192.0.2.7", name="two")),
        ):
            with pytest.raises(ServerFailed, match="bad hex constant at line"):
                call()
    assert pid(manager) == before
    assert manager.network(BRIDGE) == good
    assert knows("web", "192.0.2.5")
    assert not knows("two", "192.0.2.7")
    assert not place.changing.exists()
    manager.add_host(BRIDGE, Host(MAC2, "192.0.2.7", name="two"))
    assert knows("two", "192.0.2.7")


def test_arguments_that_dnsmasq_refuses_leave_the_old_server(
    manager: DnsmasqManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.start(network())
    before = pid(manager)
    with monkeypatch.context() as patched:
        patched.setattr("refnet.dhcp.dnsmasq.plan._dns", lambda _: ["--server=nonsense@"])
        with pytest.raises(ServerFailed, match="bad command line options"):
            manager.update(network(mtu=1400))
    assert pid(manager) == before, "it was not stopped"
    assert manager.network(BRIDGE) == network()


def test_no_answer(manager: DnsmasqManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not come to say that it has read its files is stopped again."""
    monkeypatch.setattr("refnet.dhcp.dnsmasq.life.last_read", lambda *_: Path("/nosuch"))
    impatient = DnsmasqManager(manager.directory, time_limit=1)
    with pytest.raises(NoAnswer, match="has not read /nosuch within 1 s"):
        impatient.start(network())
    assert not servers(Place(manager.directory, BRIDGE))
    assert not manager.running(BRIDGE).is_running


def test_who_cannot_read_what_the_server_is_given(stack: Sandbox, device: str) -> None:
    """A directory that the server's user cannot get into."""
    closed = Path("/run") / f"refnet-closed-{os.getpid()}"
    closed.mkdir(mode=0o700)
    closed_manager = DnsmasqManager(closed / "dhcp", time_limit=60)
    try:
        if program.identity("nobody") != ("--user=", "--group="):
            with pytest.raises(PermissionDenied, match="Permission denied"):
                closed_manager.start(network())
            assert not servers(Place(closed_manager.directory, BRIDGE))
    finally:
        subprocess.run(["rm", "-rf", closed], check=True)


def test_what_is_not_there(manager: DnsmasqManager, monkeypatch: pytest.MonkeyPatch) -> None:
    for call in (
        lambda: manager.update(network()),
        lambda: manager.add_host(BRIDGE, Host(MAC)),
        lambda: manager.remove_host(BRIDGE, MAC),
        lambda: manager.network(BRIDGE),
    ):
        with pytest.raises(NotRunning, match="never started"):
            call()
    manager.stop(BRIDGE)
    manager.release(BRIDGE, "192.0.2.5", MAC)
    assert manager.leases(BRIDGE) == ()
    assert not manager.directory.exists()
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(ToolMissing, match="dnsmasq-base"):
        manager.start(network())


def test_a_directory_that_dnsmasq_cannot_call_a_program_in(device: str) -> None:
    strange = DnsmasqManager(f"/run/refnet$(id)-{os.getpid()}")
    with pytest.raises(InvalidArgument, match="lease_store"):
        strange.start(network(lease_events="log", lease_store=True))
    assert not strange.directory.exists()


def test_an_address_or_name_of_another_host(manager: DnsmasqManager) -> None:
    manager.start(network(Host(MAC, "192.0.2.5", name="web")))
    for host in (Host(MAC2, "192.0.2.5"), Host(MAC2, name="web"), Host(MAC2, "198.51.100.1")):
        with pytest.raises(InvalidArgument):
            manager.add_host(BRIDGE, host)
    manager.add_host(BRIDGE, Host([MAC, MAC2], "192.0.2.5", name="web"))
    assert manager.network(BRIDGE).hosts == (Host([MAC, MAC2], "192.0.2.5", name="web"),)
