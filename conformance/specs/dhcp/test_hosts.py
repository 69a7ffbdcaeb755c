"""Hosts: clients that are known, by what they are known, and what they get that nobody else does."""

from __future__ import annotations

from conformance.harness import DhcpUnderTest
from conformance.spec import spec
from conformance.specs.dhcp.seen import becomes
from conformance.specs.dhcp.told import NAME, POOL, given, tells
from conformance.topology.dhcp.segment import Segment
from conformance.topology.sandbox import Sandbox
from refnet.dhcp import Capability, Host, Range

DHCP = Capability.DHCP


@spec(
    "DH-15",
    "A host known by its MAC address gets its address, in a range or outside of all, and is told its name.",
    capability=DHCP,
)
def test_by_mac(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net)
    inside, outside = s.client("a"), s.client("b")
    hosts = [Host(inside.mac, "10.9.0.150", name="web"), Host(outside.mac, "10.9.0.20", name="db")]
    dhcp.start(s.network(ranges=POOL, hosts=hosts))
    for client, address, name in ((inside, "10.9.0.150", b"web"), (outside, "10.9.0.20", b"db")):
        ack = client.lease(parameters=(NAME,))
        assert ack.yiaddr == address, f"the host with {address} gets {ack.yiaddr}"
        tells(ack, {NAME: name}, what=f"the name of the host with {address}")
    expected = {"10.9.0.150": "web", "10.9.0.20": "db"}
    named = becomes(net, lambda: {str(one.address): one.name for one in dhcp.leases(s.device)}, expected)
    assert named == expected, f"the names of the leases are {named}"


@spec(
    "DH-16",
    "A host known by its client identifier gets its address whatever its MAC address, and a client with another "
    "identifier does not.",
    capability=DHCP,
)
def test_by_client_id(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net)
    dhcp.start(s.network(ranges=POOL, hosts=Host((), "10.9.0.30", client_id=b"\x00web-1")))
    first = s.client("a", client_id=b"\x00web-1")
    ack = first.lease()
    assert ack.yiaddr == "10.9.0.30", f"the host with a client identifier gets {ack.yiaddr}"
    expected = [b"\x00web-1".hex(":")]
    ids = becomes(net, lambda: [one.client_id for one in dhcp.leases(s.device)], expected)
    assert ids == expected, f"the leases have the client identifiers {ids}"
    first.release()
    replaced = s.client("b", client_id=b"\x00web-1").lease()
    assert replaced.yiaddr == "10.9.0.30", (
        f"the host with a client identifier and a new MAC address gets {replaced.yiaddr}"
    )
    given(s.client("c", client_id=b"\x00web-2").lease(), what="a client with another identifier")


@spec(
    "DH-17",
    "A host with several MAC addresses gets its one address by whichever of them it asks.",
    capability=DHCP,
)
def test_several_macs(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net)
    cable, radio = s.client("a"), s.client("b")
    dhcp.start(s.network(ranges=POOL, hosts=Host([cable.mac, radio.mac], "10.9.0.40", name="laptop")))
    for client, what in ((cable, "first"), (radio, "second"), (cable, "first again")):
        ack = client.lease()
        assert ack.yiaddr == "10.9.0.40", f"a host with two MAC addresses gets {ack.yiaddr} by its {what}"


@spec("DH-18", "A host that is to be ignored gets no answer, while others do.", capability=DHCP)
def test_ignored(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net)
    ignored, control = s.client("a"), s.client("b")
    dhcp.start(s.network(ranges=POOL, hosts=Host(ignored.mac, is_ignored=True)))
    ignored.no_offer(control, "a host that is to be ignored")


@spec("DH-19", "Where a network has hosts and no range, a stranger gets nothing.", capability=DHCP)
def test_hosts_only(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net)
    stranger, host = s.client("a"), s.client("b")
    dhcp.start(s.network(hosts=Host(host.mac, "10.9.0.50")))
    stranger.no_offer(host, "a stranger in a network of hosts only")
    ack = host.lease()
    assert ack.yiaddr == "10.9.0.50", f"the host with 10.9.0.50 gets {ack.yiaddr}"


@spec(
    "DH-20",
    "A host without an address of its own gets one of the range, and is told its name.",
    capability=DHCP,
)
def test_without_address(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net)
    client = s.client()
    dhcp.start(s.network(ranges=POOL, hosts=Host(client.mac, name="worker")))
    ack = client.lease(parameters=(NAME,))
    given(ack, what="a host without an address")
    tells(ack, {NAME: b"worker"}, what="the name of a host without an address")
    names = becomes(net, lambda: [one.name for one in dhcp.leases(s.device)], ["worker"])
    assert names == ["worker"], f"the host 'worker' has the only lease, and the names of the leases are {names}"


@spec(
    "DH-21",
    "The address of a host is given to nobody else, also if a range has it, it is asked for, and the host is not "
    "there.",
    capability=DHCP,
)
def test_kept_for_its_host(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net)
    host, one, other = s.client("a"), s.client("b"), s.client("c")
    pool = Range("10.9.0.100", "10.9.0.101")
    dhcp.start(s.network(ranges=pool, hosts=Host(host.mac, "10.9.0.100")))
    offer = one.discover(requested="10.9.0.100")
    assert offer.yiaddr != "10.9.0.100", "the address of a host is offered to a client that asks for it"
    given(one.request(offer), pool, what="a stranger")
    other.no_offer(host, "a stranger, when only the address of a host is left", requested="10.9.0.100")
    ack = host.lease()
    assert ack.yiaddr == "10.9.0.100", f"the host with 10.9.0.100 gets {ack.yiaddr}"
