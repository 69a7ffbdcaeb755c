"""The life of a server: started, found, stopped, started again, and what of it stays meanwhile."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from conformance.harness import DhcpUnderTest, in_child, within
from conformance.spec import spec
from conformance.specs.dhcp.serving import (
    DUAL,
    Asker,
    at_once,
    ended,
    files,
    leased,
    leased6,
    network,
    network6,
    nothing_done,
    pid,
    refusal,
    until,
)
from conformance.specs.dhcp.told import HERE
from conformance.topology.dhcp.segment import Segment
from conformance.topology.sandbox import Sandbox
from refnet.dhcp import Capability, Dns, Host
from refnet.errors import NotRunning

DHCP = Capability.DHCP


@spec("DL-01", "When start returns, the first DISCOVER of a client is answered.", capability=DHCP)
def test_answers_at_once(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    client = segment.client()
    dhcp.start(network(segment))
    at_once(client, what="start")


@spec("DL-02", "With nothing to change, start and update write, start and signal nothing.", capability=DHCP)
def test_second_start(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    host = Host("02:00:00:00:00:05", "10.9.0.5", name="five")
    served = network(segment, host, dns=Dns())
    dhcp.start(served)
    with nothing_done(dhcp, segment.device, "the second start"):
        dhcp.start(network(segment, host, dns=Dns()))
    with nothing_done(dhcp, segment.device, "update with the same network"):
        dhcp.update(served)
    with nothing_done(dhcp, segment.device, "the start of another manager"):
        dhcp.fresh().start(served)
    with nothing_done(dhcp, segment.device, "a host that is there already"):
        dhcp.add_host(segment.device, host)
        dhcp.remove_host(segment.device, "02:00:00:00:00:99")


@spec(
    "DL-03",
    "With other hosts, start has the server that runs know them when it returns, and leases are kept.",
    capability=DHCP,
)
def test_other_hosts(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    known, other = segment.client("known"), segment.client("other")
    guest = segment.client("guest")
    dhcp.start(network(segment, Host(known.mac, "10.9.0.5")))
    server = pid(dhcp, segment.device)
    held = leased(dhcp, segment.device, guest).yiaddr
    dhcp.start(network(segment, Host(other.mac, "10.9.0.6")))
    assert pid(dhcp, segment.device) == server, "with other hosts, start has begun another server"
    assert other.discover().yiaddr == "10.9.0.6", "when start returned, the server did not know the new host"
    assert known.discover().yiaddr != "10.9.0.5", "when start returned, the server knew the old host still"
    addresses = [str(one.address) for one in dhcp.leases(segment.device)]
    assert addresses == [held], f"{held} is let, and after a start with other hosts leases() has {addresses}"
    assert guest.reboot(held).yiaddr == held, "after a start with other hosts, a client does not keep its address"


@spec(
    "DL-04",
    "With another range or option, start has a server that serves so when it returns, and leases are kept.",
    capability=DHCP,
)
def test_other_arguments(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    guest, other = segment.client("guest"), segment.client("other")
    dhcp.start(network(segment, mtu=1400))
    held = leased(dhcp, segment.device, guest).yiaddr
    dhcp.start(network(segment, mtu=1300))
    offer = at_once(other, what="start with another MTU")
    assert offer.number(26) == 1300, f"start was given the MTU 1300, and an offer says {offer.number(26)}"
    addresses = [str(one.address) for one in dhcp.leases(segment.device)]
    assert addresses == [held], f"{held} is let, and after a start with another MTU leases() has {addresses}"
    assert guest.renew().yiaddr == held, "after a start with another MTU, a client does not keep its address"


@spec(
    "DL-05",
    "With another option, and after a stop, leases of DHCPv6 and the server's DUID are kept.",
    capability=Capability.DHCP_IPV6,
)
def test_leases6_stay(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net, *DUAL)
    guest = segment.client6("guest")
    first = network6(segment, domain="one.example")
    dhcp.start(first)
    reply = leased6(dhcp, segment.device, guest)
    held = reply.addresses[0]
    for what, call in (
        ("start with another domain", lambda: dhcp.start(network6(segment, domain="two.example"))),
        ("stop and start", lambda: (dhcp.stop(segment.device), dhcp.start(first))),
    ):
        call()
        try:
            renewed = guest.renew()
        except AssertionError as error:
            # A server with another DUID takes it for a message to somebody else (RFC 8415, 16.6).
            raise AssertionError(f"after {what}, {error}") from None
        found = [one.address for one in renewed.leased if one.valid]
        assert found == [held], f"after {what}, the lease of {held} is renewed as {found}"
        assert renewed.server_id == reply.server_id, f"after {what}, the server has another DUID"


@spec(
    "DL-06",
    "After stop nobody answers, no process is left, and no file but the leases; stopped again, or where there is none, "
    "it is no error.",
    capability=DHCP,
)
def test_stop(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    guest, control = segment.client("guest"), segment.client("control")
    before, sockets = net.look.processes(), set(net.look.sockets())
    served = network(segment, Host("02:00:00:00:00:05", "10.9.0.5", name="five"), dns=Dns())
    dhcp.start(served)
    leased(dhcp, segment.device, control)
    started = set(files(dhcp.directory))
    dhcp.stop(segment.device)
    left = [one for one in net.look.processes() if one not in before]
    assert not left, f"after stop there is {left}"
    listening = set(net.look.sockets()) - sockets
    assert not listening, f"after stop somebody listens on {sorted(listening)}"
    kept = set(files(dhcp.directory))
    assert len(kept) < len(started) and kept < started, f"stop has left {sorted(kept)} of {sorted(started)}"
    holds_lease = [name for name in kept if _mentions(dhcp, name, control.mac)]
    others = [
        name
        for name in kept
        if name not in holds_lease and segment.device in name and Path(dhcp.directory, name).is_file()
    ]
    assert not others, f"stop has left files that no lease is in: {others}"
    asker = Asker(guest)
    asker.ask()
    with nothing_done(dhcp, segment.device, "a second stop"):
        dhcp.stop(segment.device)
        dhcp.stop("nosuch0")
    dhcp.start(served)
    control.discover()
    assert not asker.offers(), f"after stop somebody has answered: {asker.offers()}"


def _mentions(dhcp: DhcpUnderTest, name: str, mac: str) -> bool:
    path = dhcp.directory / name
    return path.is_file() and mac in path.read_text(errors="replace").lower()


@spec(
    "DL-07",
    "A stopped network is one of networks(), has its leases, is no network(), and its clients keep their addresses "
    "when it is started again.",
    capability=DHCP,
)
def test_start_after_stop(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    guest = segment.client("guest")
    dhcp.start(network(segment))
    held = leased(dhcp, segment.device, guest).yiaddr
    dhcp.stop(segment.device)
    assert dhcp.networks() == (segment.device,), f"of a stopped network, networks() says {dhcp.networks()}"
    found = [str(one.address) for one in dhcp.leases(segment.device)]
    assert found == [held], f"{held} is let, and after stop leases() has {found}"
    refusal(lambda: dhcp.network(segment.device), NotRunning, "after stop, network()")
    dhcp.start(network(segment))
    found = [str(one.address) for one in dhcp.leases(segment.device)]
    assert found == [held], f"{held} is let, and after stop and start leases() has {found}"
    assert guest.reboot(held).yiaddr == held, "after stop and start, a client does not keep its address"


@spec(
    "DL-08",
    "stop(forget=True) leaves no file and no lease, whether the server runs or was stopped before.",
    capability=DHCP,
)
def test_forget(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    guest = segment.client("guest")
    for is_stopped in (False, True):
        dhcp.start(network(segment))
        leased(dhcp, segment.device, guest)
        if is_stopped:
            dhcp.stop(segment.device)
        dhcp.stop(segment.device, forget=True)
        left = sorted(files(dhcp.directory))
        assert not left, f"stop(forget=True) has left {left}"
        assert not dhcp.networks(), f"after stop(forget=True), networks() says {dhcp.networks()}"
        assert not dhcp.leases(segment.device), f"after stop(forget=True), leases() has {dhcp.leases(segment.device)}"


@spec(
    "DL-09",
    "A server that was killed is told as such, with a reason; update and add_host refuse, and start brings it back "
    "with its leases.",
    capability=DHCP,
)
def test_killed_server(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    guest, other = segment.client("guest"), segment.client("other")
    served = network(segment)
    dhcp.start(served)
    held = leased(dhcp, segment.device, guest).yiaddr
    server = pid(dhcp, segment.device)
    os.kill(server, signal.SIGKILL)
    until(
        net, lambda: not dhcp.running(segment.device).is_running, "running() says that a server runs which was killed"
    )
    status = dhcp.running(segment.device)
    assert status.pid is None and status.reason, f"of a server that was killed, running() says {status}"
    calls = {
        "update": lambda: dhcp.update(served),
        "add_host": lambda: dhcp.add_host(segment.device, Host(other.mac, "10.9.0.7")),
        "remove_host": lambda: dhcp.remove_host(segment.device, other.mac),
    }
    for name, call in calls.items():
        before = net.look.processes()
        error = refusal(call, NotRunning, f"with a server that was killed, {name}")
        assert segment.device in str(error), f"the error of {name} does not name the device: {error}"
        started = [one for one in net.look.processes() if one not in before]
        assert not started, f"with a server that was killed, {name} has started {started}"
    dhcp.start(served)
    addresses = [str(one.address) for one in dhcp.leases(segment.device)]
    assert addresses == [held], f"{held} is let, and after the server's death and a start leases() has {addresses}"
    assert guest.reboot(held).yiaddr == held, "after the server's death and a start, a client does not keep its address"


@spec(
    "DL-10",
    "A server that takes no notice of signals is ended by stop all the same, within the time limit.",
    capability=DHCP,
)
def test_deaf_server(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    dhcp.start(network(segment))
    server = pid(dhcp, segment.device)
    os.kill(server, signal.SIGSTOP)
    until(net, lambda: net.look.is_stopped(server), "a server takes notice when it is told not to take notice")
    with within(30, "stop of a server that takes no notice of signals"), dhcp.fresh(time_limit=2) as manager:
        manager.stop(segment.device)
    ended(net, server, "a server that takes no notice of signals has outlived stop")


@spec(
    "DL-11",
    "A server whose device has gone, or has another name, is stopped without an error, and nothing of it is left.",
    capability=DHCP,
)
def test_device_gone(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    before = net.look.processes()
    dhcp.start(network(segment, dns=Dns()))
    net.rename(segment.device, "br-other")
    dhcp.stop(segment.device, forget=True)
    left = [one for one in net.look.processes() if one not in before]
    assert not left, f"after the stop of a device that was renamed, there is {left}"
    net.rename("br-other", segment.device)
    dhcp.start(network(segment, dns=Dns()))
    net.remove_plain(segment.device)
    dhcp.stop(segment.device, forget=True)
    left = [one for one in net.look.processes() if one not in before]
    assert not left, f"after the stop of a device that has gone, there is {left}"
    assert not files(dhcp.directory), (
        f"after the stop of a device that has gone, there is {sorted(files(dhcp.directory))}"
    )


@spec(
    "DL-23",
    "When a server's device was taken away and made anew under its name, start has a server that answers there.",
    capability=DHCP,
)
def test_device_made_anew(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    dhcp.start(network(segment))
    held = leased(dhcp, segment.device, segment.client("before")).yiaddr
    net.remove_plain(segment.device)
    again = Segment(net)
    client = again.client("after")
    dhcp.start(network(again))
    at_once(client, what="the start on a device that was made anew")
    addresses = [str(one.address) for one in dhcp.leases(again.device)]
    assert addresses == [held], f"{held} is let, and after its device was made anew leases() has {addresses}"


@spec(
    "DL-12",
    "A manager in another process goes on where one has ended: it knows the network, its hosts and leases, adds a "
    "host, and stops it.",
    capability=DHCP,
)
def test_new_process(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    guest, other = segment.client("guest"), segment.client("other")
    served = network(segment, Host("02:00:00:00:00:05", "10.9.0.5", name="five"), domain="example.org")

    def earlier() -> None:
        dhcp.fresh().start(served)

    assert in_child(earlier) == 0, "a manager does not start a server in a child process"
    held = leased(dhcp, segment.device, guest).yiaddr
    server = pid(dhcp, segment.device, "the end of the process that has started the server")
    found = dhcp.network(segment.device)
    assert found == served, f"another process has started {served}, and network() says {found}"
    addresses = [str(one.address) for one in dhcp.leases(segment.device)]
    assert addresses == [held], f"{held} is let, and leases() of another process has {addresses}"
    host = Host(other.mac, "10.9.0.6")
    dhcp.add_host(segment.device, host)
    assert other.discover().yiaddr == "10.9.0.6", "a host that another process has added is not known"
    found = dhcp.network(segment.device)
    assert set(found.hosts) == {*served.hosts, host}, f"after add_host, network() has the hosts {found.hosts}"
    dhcp.stop(segment.device)
    ended(net, server, "a server that another process has started outlives stop")


@spec(
    "DL-13",
    "running() tells the process of the server, or why there is none: never started, or stopped.",
    capability=DHCP,
)
def test_running(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    never = dhcp.running(segment.device)
    assert never[:2] == (False, None) and never.reason, f"of a server that was never started, running() says {never}"
    before = net.look.processes()
    dhcp.start(network(segment))
    status = dhcp.running(segment.device)
    assert status.is_running and not status.reason, f"of a server that runs, running() says {status}"
    started = [one.pid for one in net.look.processes() if one not in before]
    assert status.pid in started, f"running() says process {status.pid}, and since start there are {started}"
    dhcp.stop(segment.device)
    stopped = dhcp.running(segment.device)
    assert stopped[:2] == (False, None) and stopped.reason, f"of a stopped server, running() says {stopped}"


@spec(
    "DL-14",
    "Of two networks, each is started and stopped without the other's server taking notice.",
    capability=DHCP,
)
def test_side_by_side(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    one, two = Segment(net), Segment(net, "10.10.0.1/24", device="br-two")
    guest = one.client("guest")
    dhcp.start(network(one))
    server = pid(dhcp, one.device)
    other = two.network(dns=None, hosts=Host("02:00:00:00:00:05", "10.10.0.5"))
    dhcp.start(other)
    assert set(dhcp.networks()) == {one.device, two.device}, f"networks() says {dhcp.networks()}"
    with nothing_done(dhcp, one.device, "a start beside another network"):
        dhcp.start(other)
    dhcp.stop(two.device, forget=True)
    assert pid(dhcp, one.device, "the stop of another network") == server, "the stop of a network has ended another's"
    offer = at_once(guest, what="the stop of another network")
    assert offer.server == HERE, f"the offer is from {offer.server}"
