"""The addresses of a range: who gets which, when there are no more, and when one is free again."""

from __future__ import annotations

from conformance.harness import DhcpUnderTest
from conformance.spec import spec
from conformance.specs.dhcp.seen import becomes
from conformance.specs.dhcp.told import POOL, given
from conformance.topology.dhcp.ageing import age
from conformance.topology.dhcp.segment import Segment
from conformance.topology.sandbox import Sandbox
from refnet.dhcp import Capability, Host, Range

DHCP = Capability.DHCP
#: A range of one address, so that two clients cannot both have one.
ONE = Range("10.9.0.100", "10.9.0.100")


@spec(
    "DH-22",
    "Each client gets an address of its own; when none is left, the next one gets no answer; and when a client "
    "gives its back, that is given again.",
    capability=DHCP,
)
def test_exhausted(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net)
    first, second, third, host = (s.client(name) for name in "abcd")
    pool = Range("10.9.0.100", "10.9.0.101")
    dhcp.start(s.network(ranges=pool, hosts=Host(host.mac, "10.9.0.10")))
    addresses = [given(one.lease(), pool, what="one of two clients with two addresses") for one in (first, second)]
    assert len(set(addresses)) == 2, f"two clients have {addresses}"
    third.no_offer(host, "a third client with two addresses")
    second.release()
    freed = third.lease().yiaddr
    assert freed == addresses[1], f"{addresses[1]} was given back, and {freed} is given"
    kept = first.renew().yiaddr
    assert kept == addresses[0], f"the client that has {addresses[0]} renews it, and gets {kept}"


@spec(
    "DH-23",
    "When a lease is over, its address is given to another client, and the one that had it is refused it.",
    capability=DHCP,
)
def test_expired(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net)
    network = s.network(ranges=ONE, lease_time=120)
    dhcp.start(network)
    first, second = s.client("a"), s.client("b")
    address = first.lease().yiaddr
    dhcp.stop(s.device)
    age(dhcp.directory, 121)
    dhcp.start(network)
    ack = second.lease()
    assert ack.yiaddr == address, f"the lease of {address} is over, and the next client gets {ack.yiaddr}"
    owners = becomes(net, lambda: [one.mac_address for one in dhcp.leases(s.device)], [second.mac])
    assert owners == [second.mac], f"{second.mac} has the only address, and the leases are of {owners}"
    first.refused(address)


@spec(
    "DH-24",
    "A lease that is not over is its client's, whether the clock has leapt ahead or back while the server was not "
    "running.",
    capability=DHCP,
)
def test_clock_leaps(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net)
    first, second, host = (s.client(name) for name in "abc")
    network = s.network(ranges=ONE, hosts=Host(host.mac, "10.9.0.10"), lease_time=1200)
    dhcp.start(network)
    address = first.lease().yiaddr
    for seconds, what in ((900, "ahead by 15 minutes"), (-86400, "back by a day")):
        dhcp.stop(s.device)
        age(dhcp.directory, seconds)
        dhcp.start(network)
        second.no_offer(host, f"another client, after the clock has leapt {what}")
        ack = first.reboot(address)
        assert ack.yiaddr == address, f"after the clock has leapt {what}, {address} is renewed as {ack.yiaddr}"


@spec(
    "DH-31",
    "A client that asks for an address of the range which is free gets that, and one that asks for another gets one of "
    "the range.",
    capability=DHCP,
)
def test_asked_for(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net)
    dhcp.start(s.network(ranges=POOL))
    first = s.client("a").lease(requested="10.9.0.177").yiaddr
    assert first == "10.9.0.177", f"a client asks for 10.9.0.177, which is free, and gets {first}"
    for name, requested in (("b", "10.9.0.177"), ("c", "10.9.0.77"), ("d", "192.0.2.7")):
        address = given(s.client(name).lease(requested=requested), what=f"a client that asks for {requested}")
        assert address != first, f"two clients have {first}"
