"""Hosts and networks that change while clients ask."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from conformance.harness import DhcpUnderTest
from conformance.spec import spec
from conformance.specs.dhcp.serving import Asker, at_once, leased, network, pid, refusal, until
from conformance.specs.dhcp.told import HERE, tells
from conformance.system import LINUX
from conformance.topology.dhcp.segment import Segment
from conformance.topology.parsing import packed
from conformance.topology.sandbox import Sandbox
from refnet.dhcp import Capability, DhcpNetwork, Dns, Host
from refnet.errors import AddressInUse, InvalidArgument, NotRunning

DHCP = Capability.DHCP
ROUNDS = 6


@spec(
    "DU-01",
    "A host that is added or removed is known, or not any more, when the call returns; the server stays, and a removed "
    "host's lease does too.",
    capability=DHCP,
)
def test_add_and_remove(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    clients = [segment.client(f"c{number}") for number in range(2)]
    dhcp.start(network(segment))
    server = pid(dhcp, segment.device)
    for turn in range(2):
        for number, client in enumerate(clients):
            address = f"10.9.0.{10 * turn + number + 5}"
            dhcp.add_host(segment.device, Host(client.mac, address))
            found = client.discover().yiaddr
            assert found == address, f"when add_host returned, a host was offered {found}, and not {address}"
        dhcp.remove_host(segment.device, clients[0].mac)
        found = clients[0].discover().yiaddr
        assert found != f"10.9.0.{10 * turn + 5}", f"when remove_host returned, a host was still offered {found}"
        assert [one.mac_addresses for one in dhcp.network(segment.device).hosts] == [(clients[1].mac,)], (
            f"after remove_host, network() has the hosts {dhcp.network(segment.device).hosts}"
        )
    held = leased(dhcp, segment.device, clients[1]).yiaddr
    dhcp.remove_host(segment.device, clients[1].mac)
    addresses = [str(one.address) for one in dhcp.leases(segment.device)]
    assert held in addresses, f"a host was removed, and its lease of {held} with it: {addresses}"
    assert pid(dhcp, segment.device) == server, "add_host or remove_host has begun another server"


@spec(
    "DU-02",
    "A host that is added with an identity of another one's replaces it: the old address can be given to others.",
    capability=DHCP,
)
def test_replace(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    one, two = segment.client("one"), segment.client("two")
    dhcp.start(network(segment, Host(one.mac, "10.9.0.5", name="first")))
    dhcp.add_host(segment.device, Host([one.mac, "02:00:00:00:00:99"], "10.9.0.6", name="second"))
    found = one.discover().yiaddr
    assert found == "10.9.0.6", f"a host was replaced, and is offered {found}"
    hosts = dhcp.network(segment.device).hosts
    assert [str(host) for host in hosts] == ["second"], f"a host was replaced, and network() has {hosts}"
    dhcp.add_host(segment.device, Host(two.mac, "10.9.0.5", name="first"))
    found = two.discover().yiaddr
    assert found == "10.9.0.5", f"an address and name of a host that was replaced were added, and offered is {found}"


@spec(
    "DU-03",
    "While hosts come and go, every DISCOVER of a stream is answered, with a host's own address.",
    capability=DHCP,
    # On FreeBSD dnsmasq may drop a packet that comes in the very moment of a reload; clients ask again.
    systems=(LINUX,),
)
def test_stream_through_reloads(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    client = segment.client()
    hosts = [Host(f"02:00:00:00:01:{number:02x}", f"10.9.0.{number + 20}") for number in range(ROUNDS)]
    dhcp.start(network(segment, Host(client.mac, "10.9.0.5")))

    def change() -> None:
        for host in hosts:
            dhcp.add_host(segment.device, host)
            time.sleep(0.01)
        for host in hosts:
            dhcp.remove_host(segment.device, host.mac_addresses[0])
            time.sleep(0.01)
        dhcp.update(network(segment, Host(client.mac, "10.9.0.5"), *hosts))

    asker = Asker(client)
    _streaming(asker, change)
    words = f"{len(asker.asked)} DISCOVERs were sent while hosts came and went, and some were never answered"
    until(net, lambda: len(asker.offers()) == len(asker.asked), words)
    wrong = {one.yiaddr for one in asker.offers().values()} - {"10.9.0.5"}
    assert not wrong, f"while hosts came and went, another host was offered {sorted(wrong)}"


def _streaming(asker: Asker, change: Callable[[], None]) -> None:
    """Have a client ask all the time that something is done, and do it again until it has asked often enough."""
    while len(asker.asked) < ROUNDS:
        failed: list[BaseException] = []

        def work(failed: list[BaseException] = failed) -> None:
            try:
                change()
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        asker.ask()
        while thread.is_alive():
            asker.ask()
            thread.join(0.005)
        if failed:
            raise failed[0]


@spec(
    "DU-04",
    "A client that asks while the server is started anew is answered by the new one without anybody's doing.",
    capability=DHCP,
)
def test_stream_through_restart(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    client = segment.client()
    dhcp.start(network(segment, Host(client.mac, "10.9.0.5"), mtu=1400))
    asker = Asker(client)

    def change() -> None:
        for mtu in (1400, 1300):
            dhcp.update(network(segment, Host(client.mac, "10.9.0.5"), mtu=mtu))

    _streaming(asker, change)
    offer = at_once(client, what="an update that starts the server anew")
    assert offer.number(26) == 1300, f"after an update to the MTU 1300 a client is told {offer.number(26)}"
    wrong = {one.number(26) for one in asker.offers().values()} - {1300, 1400}
    assert not wrong, f"during updates of the MTU between 1400 and 1300, a client was told {sorted(wrong)}"


@spec(
    "DU-05",
    "update, add_host and remove_host of a device without a server are refused with NotRunning, and start nothing.",
    capability=DHCP,
)
def test_not_running(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    served = network(segment)
    before = net.look.processes()

    def refused(what: str) -> None:
        calls: dict[str, Callable[[], object]] = {
            "update": lambda: dhcp.update(served),
            "add_host": lambda: dhcp.add_host(segment.device, Host("02:00:00:00:00:05", "10.9.0.5")),
            "remove_host": lambda: dhcp.remove_host(segment.device, "02:00:00:00:00:05"),
            "network": lambda: dhcp.network(segment.device),
        }
        for name, call in calls.items():
            error = refusal(call, NotRunning, f"of a network that {what}, {name}")
            assert segment.device in str(error), f"the error of {name} does not name the device: {error}"
        started = [one for one in net.look.processes() if one not in before]
        assert not started, f"a network that {what} was to be changed, and there is {started}"

    refused("was never started")
    dhcp.start(served)
    dhcp.stop(segment.device)
    refused("was stopped")


@spec(
    "DU-06",
    "An update that is refused leaves the server running with what it had.",
    capability=DHCP,
)
def test_refused_update(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    client = segment.client()
    served = network(segment, Host(client.mac, "10.9.0.5"))
    dhcp.start(served)
    server = pid(dhcp, segment.device)
    elsewhere = DhcpNetwork(segment.device, ["10.9.0.1/24", "10.77.0.1/24"], dns=None)
    calls: dict[str, Callable[[], object]] = {
        "update with an address that the device has not": lambda: dhcp.update(elsewhere),
        "start with an address that the device has not": lambda: dhcp.start(elsewhere),
        "add_host with the address of another host": lambda: dhcp.add_host(
            segment.device, Host("02:00:00:00:00:07", "10.9.0.5")
        ),
        "add_host with an address of another network": lambda: dhcp.add_host(
            segment.device, Host("02:00:00:00:00:07", "10.77.0.5")
        ),
    }
    for what, call in calls.items():
        refusal(call, InvalidArgument, what)
        assert pid(dhcp, segment.device, what) == server, f"{what} was refused, and the server is another one"
        assert dhcp.network(segment.device) == served, f"{what} was refused, and network() has changed"
    assert at_once(client, what="refusals").yiaddr == "10.9.0.5", "after refusals, a host is not offered its address"


@spec(
    "DU-07",
    "When the new server cannot have what it needs, the error says so, and the old one answers again, or the next "
    "start brings it back.",
    capability=(DHCP, Capability.DNS),
)
def test_failed_restart(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    client = segment.client()
    without, with_dns = (network(segment, Host(client.mac, "10.9.0.5"), dns=dns) for dns in (None, Dns()))
    dhcp.start(without)
    with net.datagram_socket(HERE, 53):
        error = refusal(lambda: dhcp.update(with_dns), AddressInUse, f"update, with port 53 of {HERE} in use,")
        assert error.detail, f"the error has no words of the server's: {error}"
        if not dhcp.running(segment.device).is_running:
            dhcp.start(without)
        found = at_once(client, what="an update that failed").yiaddr
        assert found == "10.9.0.5", f"after an update that failed, a host is offered {found}"
        assert dhcp.network(segment.device) == without, "an update has failed, and network() is what it was to be"
    dhcp.update(with_dns)
    assert dhcp.network(segment.device) == with_dns, "the update that has failed does not go through when it could"


@spec(
    "DU-08",
    "Hosts with options of their own keep them, and their leases, while others come and go; the server serves on.",
    capability=DHCP,
)
def test_options_through_changes(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    client, other = segment.client("a"), segment.client("b")
    host = Host(client.mac, "10.9.0.5", options={"ntp-server": "10.9.0.7"})
    dhcp.start(network(segment, host, options={"ntp-server": "10.9.0.8"}))
    leased(dhcp, segment.device, client)
    leased(dhcp, segment.device, other)
    changes: dict[str, Callable[[], object]] = {
        "another host was added": lambda: dhcp.add_host(segment.device, Host(other.mac, "10.9.0.6")),
        "another host was removed": lambda: dhcp.remove_host(segment.device, other.mac),
        "another host came by update": lambda: dhcp.update(
            network(segment, host, Host(other.mac, "10.9.0.6"), options={"ntp-server": "10.9.0.8"})
        ),
    }
    for what, call in changes.items():
        call()
        pid(dhcp, segment.device, what)
        renewed = client.renew()
        tells(renewed, {42: packed("10.9.0.7")}, what=f"a host with an option of its own, when {what}")
        assert renewed.yiaddr == "10.9.0.5", f"when {what}, a host renews its lease of 10.9.0.5 for {renewed.yiaddr}"
    tells(other.lease(), {42: packed("10.9.0.8")}, what="a host without options of its own")
