"""Callers that are killed anywhere, pid files that say anything, and several processes at once."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from conformance.errors import SuiteError
from conformance.harness import DhcpUnderTest, in_child, in_children, within
from conformance.spec import spec
from conformance.specs.dhcp.serving import Bystander, at_once, counting, ended, files, leased, network, pid
from conformance.steps import watched
from conformance.topology.dhcp.client import Client
from conformance.topology.dhcp.segment import Segment
from conformance.topology.sandbox import Sandbox
from refnet.dhcp import Capability, Host

DHCP = Capability.DHCP


def _dies_at(
    dhcp: DhcpUnderTest, what: str, call: Callable[[DhcpUnderTest], object], *, first: int = 1, every: int = 1
) -> Iterator[int]:
    """Have child processes make a call and be killed at its steps, one each, until one comes through.

    ``every``: at every second one only, say, which another seed complements.
    """

    def child(at: int) -> None:
        with watched(dhcp.directory, at, kill=True):
            call(dhcp.fresh())

    for at in itertools.islice(counting(what), first - 1, None, every):
        status = in_child(lambda at=at: child(at))  # type: ignore[misc]
        if status != -signal.SIGKILL:
            assert status == 0, f"{what} fails in another process, with nothing in its way"
            if at == first:
                raise SuiteError(f"{what} takes no step that it could be killed at: this proves nothing")
            return
        yield at


def _only_server(dhcp: DhcpUnderTest, net: Sandbox, device: str, others: set[int], what: str) -> None:
    """See that the device's server runs, and that no other has been left."""
    server = pid(dhcp, device, what)
    found = {one.pid for one in net.look.processes()} - others
    assert server in found, f"after {what}, running() says process {server}, and there are {found}"
    # A server may have helpers of its own; a second server has the device's name among its arguments as well.
    left = [one for one in net.look.processes() if one.pid in found - {server} and _is_of(one.argv, device)]
    assert not left, f"after {what}, there is another server besides process {server}: {left}"


def _is_of(argv: tuple[str, ...], device: str) -> bool:
    return any(device in word for word in argv)


def _processes(net: Sandbox) -> set[int]:
    return {one.pid for one in net.look.processes()}


@spec(
    "DL-15",
    "When the caller of start is killed anywhere, the next start brings up the one server that answers.",
    capability=DHCP,
)
def test_killed_in_start(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    client = segment.client()
    served = network(segment, Host(client.mac, "10.9.0.5"))
    others = _processes(net)
    first = net.random.choice((1, 2))
    for at in _dies_at(dhcp, "start", lambda manager: manager.start(served), first=first, every=2):
        what = f"a kill at step {at} of start, and another start"
        dhcp.start(served)
        _only_server(dhcp, net, segment.device, others, what)
        found = at_once(client, what=what).yiaddr
        assert found == "10.9.0.5", f"after {what}, a host is offered {found}"
        dhcp.stop(segment.device, forget=True)
        left = sorted(files(dhcp.directory))
        assert not left, f"after {what}, and stop(forget=True), there is {left}"


@spec(
    "DL-16",
    "When the caller of an update is killed anywhere, the server goes on, and the next update brings it to what it is "
    "told.",
    capability=DHCP,
)
def test_killed_in_update(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    client = segment.client()
    old, new = (network(segment, Host(client.mac, address)) for address in ("10.9.0.5", "10.9.0.6"))
    dhcp.start(old)
    server = pid(dhcp, segment.device)
    for at in _dies_at(dhcp, "update", lambda manager: manager.update(new)):
        what = f"a kill at step {at} of an update of hosts"
        assert pid(dhcp, segment.device, what) == server, f"after {what}, there is another server"
        found = client.discover().yiaddr
        assert found in ("10.9.0.5", "10.9.0.6"), f"after {what}, a host is offered {found}"
        dhcp.update(new)
        found = client.discover().yiaddr
        assert found == "10.9.0.6", f"after {what}, and another update, a host is offered {found}"
        dhcp.update(old)
        found = client.discover().yiaddr
        assert found == "10.9.0.5", f"after {what}, and an update back, a host is offered {found}"


@spec(
    "DL-17",
    "When the caller of a start with another range is killed anywhere, the next start has the one server that serves "
    "it, and leases are kept.",
    capability=DHCP,
)
def test_killed_in_restart(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    client, guest = segment.client(), segment.client("guest")
    old, new = (network(segment, Host(client.mac, "10.9.0.5"), mtu=mtu) for mtu in (1400, 1300))
    others = _processes(net)
    dhcp.start(old)
    held = leased(dhcp, segment.device, guest).yiaddr
    first = net.random.choice((1, 2))
    for at in _dies_at(dhcp, "start", lambda manager: manager.start(new), first=first, every=2):
        what = f"a kill at step {at} of a start with another MTU, and another start"
        dhcp.start(new)
        _only_server(dhcp, net, segment.device, others, what)
        found = at_once(client, what=what).number(26)
        assert found == 1300, f"after {what}, a client is told the MTU {found}"
        addresses = [str(one.address) for one in dhcp.leases(segment.device)]
        assert addresses == [held], f"{held} is let, and after {what} leases() has {addresses}"
        dhcp.start(old)
    assert guest.reboot(held).yiaddr == held, "after kills and restarts, a client does not keep its address"


@spec(
    "DL-18",
    "When the caller of stop is killed anywhere, the next stop leaves no process and no file.",
    capability=DHCP,
)
def test_killed_in_stop(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    served = network(segment, Host("02:00:00:00:00:05", "10.9.0.5"))
    others = _processes(net)
    dhcp.start(served)
    for at in _dies_at(dhcp, "stop", lambda manager: manager.stop(segment.device, forget=True)):
        what = f"a kill at step {at} of stop, and another stop"
        dhcp.stop(segment.device, forget=True)
        left = [one for one in net.look.processes() if one.pid not in others]
        assert not left, f"after {what}, there is {left}"
        kept = sorted(files(dhcp.directory))
        assert not kept, f"after {what}, there is {kept}"
        dhcp.start(served)


# -- pid files --------------------------------------------------------------------------------------------


def _pid_files(dhcp: DhcpUnderTest, server: int) -> list[Path]:
    """Return the files that say nothing but the server's process, whichever the backend has."""
    found = [path for path in dhcp.directory.rglob("*") if path.is_file() and not path.is_symlink()]
    return [path for path in found if path.read_bytes().strip() == str(server).encode()]


@spec(
    "DL-19",
    "Whatever a pid file says (nothing, garbage, a process of somebody else's or of another network), nobody else is "
    "signalled, and stop and start do what they have to.",
    capability=DHCP,
)
def test_pid_file(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    one, two = Segment(net), Segment(net, "10.10.0.1/24", device="br-two")
    client = one.client()
    served = network(one, Host(client.mac, "10.9.0.5"))
    dhcp.start(two.network(dns=None, hosts=Host("02:00:00:00:00:05", "10.10.0.5")))
    another = pid(dhcp, two.device)
    with Bystander() as bystander:
        others = _processes(net)
        for words in (
            b"",
            b"\0" * 64,
            b"no number\n",
            b"-%d\n" % bystander.pid,
            b"%d\n" % bystander.pid,
            b"%d\n" % another,
        ):
            dhcp.start(served)
            server = pid(dhcp, one.device)
            places = _pid_files(dhcp, server)
            os.kill(server, signal.SIGKILL)
            ended(net, server, "a server outlives SIGKILL")
            what = f"a start over a dead server whose pid file says {words[:20]!r}"
            for path in places:
                path.write_bytes(words)
            status = dhcp.running(one.device)
            assert not status.is_running, (
                f"of a dead server whose pid file says {words[:20]!r}, running() says {status}"
            )
            dhcp.start(served)
            _only_server(dhcp, net, one.device, others, what)
            bystander.unharmed(what)
            what = f"a stop of a server whose pid file says {words[:20]!r}"
            for path in places:
                path.write_bytes(words)
            with within(60, what):
                dhcp.stop(one.device)
            left = [found for found in net.look.processes() if found.pid not in others]
            assert not left, f"after {what}, there is {left}"
            bystander.unharmed(what)
            assert pid(dhcp, two.device, what) == another, f"{what} has ended the server of another network"
        dhcp.start(served)
        assert at_once(client, what="all this").yiaddr == "10.9.0.5", "after all this, a host does not get its address"


# -- several at once --------------------------------------------------------------------------------------


@spec(
    "DL-20",
    "Of several processes that start one network at once, none fails, and there is one server.",
    capability=DHCP,
)
def test_start_at_once(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    client = segment.client()
    served = network(segment, Host(client.mac, "10.9.0.5"))
    others = _processes(net)
    statuses = in_children(4, lambda _: dhcp.fresh().start(served))
    assert statuses == [0] * 4, f"of 4 processes that start one network at once, some failed: {statuses}"
    _only_server(dhcp, net, segment.device, others, "4 starts at once")
    assert at_once(client, what="4 starts at once").yiaddr == "10.9.0.5", "a host is not offered its address"
    statuses = in_children(4, lambda _: dhcp.fresh().stop(segment.device))
    assert statuses == [0] * 4, f"of 4 processes that stop one network at once, some failed: {statuses}"


@spec(
    "DL-21",
    "Hosts that several processes and threads add at once are all known in the end.",
    capability=DHCP,
)
def test_hosts_at_once(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    clients = [segment.client(f"c{number}") for number in range(3)]
    dhcp.start(network(segment))
    hosts = {
        number: [Host(clients[number].mac, f"10.9.0.{number + 5}"), *_more(number, 4)] for number in range(len(clients))
    }

    def adding(number: int) -> None:
        manager = dhcp.fresh()
        for host in hosts[number]:
            manager.add_host(segment.device, host)

    statuses = in_children(len(clients), adding)
    assert statuses == [0] * 3, f"of 3 processes that add hosts at once, some failed: {statuses}"
    known = set(dhcp.network(segment.device).hosts)
    lost = [str(host) for several in hosts.values() for host in several if host not in known]
    assert not lost, f"of hosts that 3 processes have added at once, network() lacks {lost}"
    for number, client in enumerate(clients):
        found = client.discover().yiaddr
        assert found == f"10.9.0.{number + 5}", f"a host that was added beside others is offered {found}"


def _more(number: int, count: int) -> list[Host]:
    return [Host(f"02:00:00:00:{number:02x}:{one:02x}", f"10.9.0.{20 + 10 * number + one}") for one in range(count)]


@spec(
    "DL-22",
    "Many networks that several processes start at once all run, each answering its own clients.",
    capability=DHCP,
)
def test_many_networks(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segments = [Segment(net, f"10.{number}.0.1/24", device=f"br-{number}") for number in range(20, 26)]
    clients: list[Client] = [segment.client(f"c-{segment.device}") for segment in segments]

    def starting(number: int) -> None:
        manager = dhcp.fresh()
        for segment, client in list(zip(segments, clients, strict=True))[number::2]:
            address = segment.addresses[0].replace(".1/24", ".5")
            manager.start(segment.network(dns=None, hosts=Host(client.mac, address)))

    statuses = in_children(2, starting)
    assert statuses == [0, 0], f"of 2 processes that start networks at once, some failed: {statuses}"
    assert set(dhcp.networks()) == {one.device for one in segments}, f"networks() says {dhcp.networks()}"
    servers = {pid(dhcp, one.device) for one in segments}
    assert len(servers) == len(segments), f"{len(segments)} networks have the servers {servers}"
    for segment, client in zip(segments, clients, strict=True):
        offer = client.discover()
        expected = segment.addresses[0].replace(".1/24", ".5")
        assert offer.yiaddr == expected, f"of many networks, a host of {segment.device} is offered {offer.yiaddr}"
