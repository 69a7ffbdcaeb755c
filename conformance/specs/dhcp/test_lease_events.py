"""What is told of leases: by the log, by a socket, and back to a server that keeps none."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

from conformance.harness import DhcpUnderTest, within
from conformance.spec import spec
from conformance.specs.dhcp.serving import at_once, leased, network, patience, until
from conformance.topology.dhcp.segment import Segment
from conformance.topology.sandbox import Sandbox
from refnet.dhcp import Capability, Host, events

EVENTS = (Capability.DHCP, Capability.LEASE_EVENTS)
STORE = (*EVENTS, Capability.LEASE_STORE)


def _log(dhcp: DhcpUnderTest, segment: Segment) -> Path:
    """Return the log of a network, where the interface promises it."""
    return Path(dhcp.directory, segment.device, "events")


def _told(path: Path) -> list[tuple[str, str | None, str | None]]:
    return [(one.action, str(one.address) if one.address else None, one.mac_address) for one in events.read(path)]


@spec(
    "DE-01",
    "The log has an event for each lease that is let, renewed with another name, kept through a restart, and ended.",
    capability=EVENTS,
)
def test_log(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    client = segment.client()
    dhcp.start(network(segment, lease_events="log"))
    path = _log(dhcp, segment)
    ack = leased(dhcp, segment.device, client, hostname="web-1", vendor_class="udhcp 1.35")
    here = (ack.yiaddr, client.mac)
    until(net, lambda: ("add", *here) in _told(path), lambda: f"a lease was let, and the log has {_told(path)}")
    added = next(one for one in events.read(path) if one.action == "add")
    assert added.name == "web-1", f"a client is called web-1, and the event says {added.name!r}"
    assert added.vendor_class == "udhcp 1.35", f"the event says of the client's kind {added.vendor_class!r}"
    assert added.device == segment.device, f"the client has asked through {segment.device}, and the event says {added}"
    (lease,) = dhcp.leases(segment.device)
    assert added.expires and abs(added.expires - (lease.expires or 0)) <= 2, f"the lease is {lease}, the event {added}"
    mark = added.number
    dhcp.start(network(segment, lease_events="log", mtu=1300))

    def since() -> list[tuple[str, str | None, str | None]]:
        later = events.read(path, after=mark)
        return [(one.action, str(one.address) if one.address else None, one.mac_address) for one in later]

    until(
        net, lambda: ("old", *here) in since(), lambda: f"a server started with a lease, and the log has {_told(path)}"
    )
    client.release()
    until(net, lambda: ("del", *here) in since(), lambda: f"a lease was given back, and the log has {_told(path)}")
    numbers = [one.number for one in events.read(path)]
    assert numbers == sorted(set(numbers)), f"the numbers of events are {numbers}"


@spec(
    "DE-02",
    "Who listens at the socket of a network is told each lease that is let and ended; while nobody does, clients are "
    "served all the same.",
    capability=EVENTS,
)
def test_socket(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    unheard, client = segment.client("unheard"), segment.client("heard")
    path = dhcp.scratch() / "events.sock"
    dhcp.start(network(segment, lease_events=str(path)))
    unheard.lease()
    with events.listen(path) as listener:

        def hear(action: str, mac: str) -> events.LeaseEvent:
            seen: list[events.LeaseEvent] = []
            while True:
                one = listener.wait(patience(net))
                assert one, f"a lease was let or has ended, and who listens was not told {action}, but {seen}"
                if (one.action, one.mac_address) == (action, mac):
                    return one
                seen.append(one)

        ack = client.lease(hostname="web-3")
        added = hear("add", client.mac)
        found = (str(added.address), added.name, added.device)
        assert found == (ack.yiaddr, "web-3", segment.device), (
            f"{ack.yiaddr} is let to web-3, and the event says {found}"
        )
        client.release()
        ended = hear("del", client.mac)
        assert str(ended.address) == ack.yiaddr, f"{ack.yiaddr} was given back, and the event says {ended.address}"


@spec(
    "DE-03",
    "Whatever a client says of itself, each event is one line of the log, and says what the client has said.",
    capability=EVENTS,
)
def test_hostile_clients(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    dhcp.start(network(segment, lease_events="log"))
    path = _log(dhcp, segment)
    said = (
        b'"}\n{"number":99999999999999999,"action":"del","address":"10.9.0.1"}\n',
        b'quote\' and "double" and \\ and \\n and $(id) `id`; id',
        b"\xff\xfe\x80 no UTF-8",
        b"tab\tbell\x07escape\x1b[31m",
        "gr\u00fc\u00df \U0001f600".encode(),
        b"x" * 255,
        b"\x00\x01\x02",
    )
    clients = [segment.client(f"c{number}") for number in range(len(said))]
    for words, client in zip(said, clients, strict=True):
        leased(dhcp, segment.device, client, options={60: words, 12: words[:60]})
    macs = {client.mac for client in clients}

    def added() -> list[events.LeaseEvent]:
        return [one for one in events.read(path) if one.action == "add"]

    written = [mac.encode() for mac in macs]
    until(
        net,
        lambda: path.exists() and all(mac in path.read_bytes() for mac in written),
        lambda: f"{len(said)} leases were let, and the log has {_told(path)}",
    )
    broken = [line for line in path.read_bytes().splitlines() if not _is_object(line)]
    assert not broken, f"what clients have said is in lines of the log by itself: {broken}"
    assert {one.mac_address for one in added()} >= macs, f"{len(said)} leases were let, and the log has {_told(path)}"
    foreign = [one for one in events.read(path) if one.mac_address not in {*macs, None} or one.action not in _USUAL]
    assert not foreign, f"clients have made events up: {foreign}"
    kinds = {one.mac_address: one.vendor_class or "" for one in added()}
    for words, client in list(zip(said, clients, strict=True))[4:6]:
        found = kinds[client.mac]
        assert found == words.decode(), f"a client has said {words!r}, and the event has {found!r}"
    expected = {client.mac for client in clients}
    assert {one.mac_address for one in dhcp.leases(segment.device)} == expected, "not all leases are among leases()"


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


_USUAL = ("init", "add", "old")


@spec(
    "DE-04",
    "A program that listens and reads nothing holds up neither the server nor its clients.",
    capability=EVENTS,
)
def test_deaf_listener(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    clients = [segment.client(f"c{number}") for number in range(4)]
    path = dhcp.scratch() / "events.sock"
    before = net.look.processes()
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(path))
        deaf.listen(0)
        dhcp.start(network(segment, lease_events=str(path)))
        for client in clients:
            client.lease()
        at_once(clients[0], what="leases of which a deaf listener is to be told")
        dhcp.add_host(segment.device, Host(clients[0].mac, "10.9.0.5"))
        found = clients[0].discover().yiaddr
        assert found == "10.9.0.5", f"with a deaf listener, a host that was added is offered {found}"
        with within(60, "stop of a server with a deaf listener"):
            dhcp.stop(segment.device)
        left = [one for one in net.look.processes() if one not in before]
        assert not left, f"after stop of a server with a deaf listener, there is {left}"


@spec(
    "DE-05",
    "With lease_store the server keeps no leases, and clients keep theirs through a restart and a stop.",
    capability=STORE,
)
def test_store(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    one, two = segment.client("one"), segment.client("two", client_id=b"\x01\x02\x03\x04\x05\x06\x07")
    served = network(segment, lease_events="log", lease_store=True)
    dhcp.start(served)
    held = {client.mac: client.lease(hostname=client.name).yiaddr for client in (one, two)}
    until(
        net,
        lambda: _by_mac(dhcp, segment) == held,
        lambda: f"clients have {held}, and leases() says {_by_mac(dhcp, segment)}",
    )
    steps: tuple[tuple[str, Callable[[], object]], ...] = (
        (
            "a start with another MTU",
            lambda: dhcp.start(network(segment, lease_events="log", lease_store=True, mtu=1300)),
        ),
        ("stop and start", lambda: (dhcp.stop(segment.device), dhcp.start(served))),
    )
    for what, step in steps:
        step()
        found = _by_mac(dhcp, segment)
        assert found == held, f"after {what}, leases() says {found}, and clients have {held}"
        for client in (one, two):
            assert client.renew().yiaddr == held[client.mac], f"after {what}, {client.name} has lost its lease"
    one.release()
    until(
        net,
        lambda: one.mac not in _by_mac(dhcp, segment),
        lambda: f"a lease was given back, and leases() says {_by_mac(dhcp, segment)}",
    )
    dhcp.stop(segment.device)
    dhcp.start(served)
    assert _by_mac(dhcp, segment) == {two.mac: held[two.mac]}, f"after all this, leases() says {_by_mac(dhcp, segment)}"


def _by_mac(dhcp: DhcpUnderTest, segment: Segment) -> dict[str | None, str]:
    return {one.mac_address: str(one.address) for one in dhcp.leases(segment.device)}
