"""What went wrong once with a real dnsmasq, and does not any more."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from dnsmasq_manager import ADDRESS, ADDRESS6, BRIDGE, MAC, MAC2, dies_at, kill, knows, network, pid, servers

from conformance.topology.dhcp.client import Client
from conformance.topology.linux import Sandbox
from refnet.dhcp import Host
from refnet.dhcp.dnsmasq import DnsmasqManager, program, server
from refnet.dhcp.dnsmasq.place import Place
from refnet.errors import (
    AddressInUse,
    InvalidArgument,
    NoSuchDevice,
    Unsupported,
)


def test_the_order_of_path_does_not_matter(manager: DnsmasqManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where /sbin is a link to /usr/sbin, cron's PATH has it first."""
    found = set()
    for path in ("/usr/sbin:/sbin", "/sbin:/usr/sbin", "/bin"):
        monkeypatch.setenv("PATH", f"{path}:/bin")
        found.add(program.found())
    assert len(found) == 1
    assert server.os.path.basename(found.pop()) == "dnsmasq"


def test_a_host_that_was_half_added_can_be_removed(manager: DnsmasqManager, place: Place) -> None:
    for step in range(1, 200):
        manager.start(network(Host(MAC, "192.0.2.5", name="web")))
        died = dies_at(step, manager.directory, lambda: manager.add_host(BRIDGE, Host(MAC2, "192.0.2.6", name="two")))
        manager.remove_host(BRIDGE, MAC2)
        assert not knows("two", "192.0.2.6"), step
        assert knows("web", "192.0.2.5"), step
        assert not place.changing.exists(), step
        if not died:
            return
    pytest.fail("it takes no end of steps")


def test_leases_survive_the_change_of_who_keeps_them(manager: DnsmasqManager, place: Place) -> None:
    kept, gone = f"4000000000 {MAC} 192.0.2.100 web *", f"4000000000 {MAC2} 192.0.2.101 * 01:02"
    new = "4000000000 7 2001:db8::100 * 00:03:00:01:52:54:00:00:00:01"
    duid = "duid 00:01:00:01:2c:00:00:00:52:54:00:00:00:ff"
    both: dict[str, Any] = {"addresses": [ADDRESS, ADDRESS6], "ipv6": "stateful"}
    place.path.mkdir(parents=True)
    place.leases.write_text("".join(f"{line}\n" for line in (kept, gone, duid, new)))
    stored = {"lease_events": "log", "lease_store": True, **both}

    def leased() -> set[str]:
        return {str(one.address) for one in manager.leases(BRIDGE)}

    everything = {"192.0.2.100", "192.0.2.101", "2001:db8::100"}
    manager.start(network(**both))
    assert leased() == everything
    manager.update(network(**stored))
    assert leased() == everything
    assert not place.leases.exists()
    manager.release(BRIDGE, "192.0.2.101", MAC2)
    manager.stop(BRIDGE)
    assert leased() == everything - {"192.0.2.101"}
    manager.start(network(**both))
    assert leased() == everything - {"192.0.2.101"}
    assert duid in place.leases.read_text()
    manager.update(network(**stored))
    assert leased() == everything - {"192.0.2.101"}


def test_a_host_more_where_the_device_is_gone_or_another(manager: DnsmasqManager, stack: Sandbox) -> None:
    manager.start(network())
    before = pid(manager)
    stack.ip(f"link del {BRIDGE}")
    with pytest.raises(NoSuchDevice):
        manager.add_host(BRIDGE, Host(MAC, "192.0.2.5", name="web"))
    stack.plain_bridge(BRIDGE)
    stack.add_address(BRIDGE, ADDRESS, ADDRESS6)
    manager.add_host(BRIDGE, Host(MAC, "192.0.2.5", name="web"))
    assert pid(manager) != before
    assert knows("web", "192.0.2.5")


def test_a_directory_that_is_not_watched_any_more(manager: DnsmasqManager, place: Place) -> None:
    manager.start(network())
    before = pid(manager)
    for path in (place.added_hosts, place.added_names):
        path.rmdir()
        path.mkdir()
    manager.add_host(BRIDGE, Host(MAC, "192.0.2.5", name="web"))
    assert pid(manager) == before
    assert knows("web", "192.0.2.5")
    assert f"{MAC},192.0.2.5,web.\n" in place.hosts.read_text()
    assert not place.changing.exists()


def test_several_hosts_more_are_one_file_more(manager: DnsmasqManager, place: Place) -> None:
    hosts = [Host(f"52:54:00:00:01:{one:02x}", f"192.0.2.{one}", name=f"vm{one}") for one in range(10, 20)]
    manager.start(network())
    before = pid(manager)
    manager.update(network(*hosts))
    assert pid(manager) == before
    assert all(knows(f"vm{one}", f"192.0.2.{one}") for one in range(10, 20))
    names = [one.name for one in place.added_names.iterdir()]
    assert len(names) == 1
    assert {one.name for one in place.added_hosts.iterdir()} == {*names, "next"}
    assert (place.added_hosts / "next").read_text() == ""


def test_hosts_with_options_survive_a_reload(manager: DnsmasqManager, place: Place, stack: Sandbox) -> None:
    """dnsmasq 2.90 dies at SIGHUP if a host with a tag in a file that it reads again has asked for a lease."""
    guest = stack.guest("g1")
    stack.ip(f"link set dev {guest.port} master {BRIDGE}")
    client = Client(stack, guest)
    told = Host(client.mac, "192.0.2.5", name="web", options={"ntp-server": "192.0.2.9"})
    manager.start(network(told, Host(MAC2, "192.0.2.6", name="two")))
    before = pid(manager)
    assert client.lease(parameters=(42,)).options[42] == socket.inet_aton("192.0.2.9")
    for _ in range(3):
        manager.remove_host(BRIDGE, MAC2)
        manager.update(network(told, Host(MAC2, "192.0.2.7", name="two")))
        assert client.renew().options[42] == socket.inet_aton("192.0.2.9")
    assert pid(manager) == before, "hosts without options are a reload all the same"
    manager.add_host(BRIDGE, Host(MAC, "192.0.2.8", options={"ntp-server": "192.0.2.10"}))
    assert pid(manager) != before
    assert client.renew().options[42] == socket.inet_aton("192.0.2.9")


def test_a_server_that_dies_of_a_reload_is_started(
    manager: DnsmasqManager, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.start(network(Host(MAC, "192.0.2.5", name="web")))
    read = server.wait_until_read

    def dies(*arguments: Any) -> None:
        monkeypatch.setattr(server, "wait_until_read", read)
        kill(pid(manager))
        read(*arguments)

    for call, name in (
        (lambda: manager.update(network(Host(MAC, "192.0.2.5", name="wide"))), "wide"),
        (lambda: manager.add_host(BRIDGE, Host(MAC2, "192.0.2.6", name="two")), "wide"),
        (lambda: manager.remove_host(BRIDGE, MAC2), "wide"),
    ):
        monkeypatch.setattr(server, "wait_until_read", dies)
        call()
        assert knows(name, "192.0.2.5")
        assert servers(place) == {pid(manager)}


def test_two_servers_on_one_device(manager: DnsmasqManager) -> None:
    """dnsmasq lets others have its ports as well, and then both answer."""
    manager.start(network(dns=None))
    other = DnsmasqManager(manager.directory / "other", time_limit=60)
    with pytest.raises(AddressInUse, match="another program serves port 67"):
        other.start(network(dns=None))
    assert not other.networks()


def test_a_user_that_is_none() -> None:
    for user in (5, None, b"nobody"):
        with pytest.raises(InvalidArgument, match="not the name of a user"):
            DnsmasqManager("/run/x", user=user)  # type: ignore[arg-type]


def test_a_network_that_is_larger_than_dnsmasq_serves(manager: DnsmasqManager) -> None:
    with pytest.raises(Unsupported, match="larger than /64"):
        manager.start(network(addresses=[ADDRESS, "2001:db8::1/56"], ipv6="stateful"))
    assert not manager.directory.exists()
