"""Leases as the host sees them, and their end by the host's doing."""

from __future__ import annotations

import ipaddress
import os
import signal
import time
from pathlib import Path

from conformance.errors import SuiteError
from conformance.harness import DhcpUnderTest
from conformance.spec import spec
from conformance.specs.dhcp.serving import DUAL, ended, leased, leased6, network, network6, pid, refusal
from conformance.topology.dhcp.ageing import age
from conformance.topology.dhcp.segment import Segment
from conformance.topology.sandbox import Sandbox
from refnet.dhcp import Capability, Host, Lease, Range
from refnet.errors import LeaseOfAnother, NotRunning

RELEASE = (Capability.DHCP, Capability.RELEASE)
#: A range of one address: who gets it, has it.
ONE = Range("10.9.0.100", "10.9.0.100")


def _addresses(dhcp: DhcpUnderTest, device: str) -> list[str]:
    return [str(one.address) for one in dhcp.leases(device)]


@spec(
    "DR-01",
    "A released address is not among leases() when the call returns, and goes to whoever asks next.",
    capability=RELEASE,
)
def test_release(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    one, two, other = segment.client("one"), segment.client("two"), segment.client("other")
    dhcp.start(network(segment, Host(other.mac, "10.9.0.5"), ranges=ONE))
    leased(dhcp, segment.device, other)
    held = leased(dhcp, segment.device, one).yiaddr
    two.no_offer(one, "a client, while another has the only address")
    dhcp.release(segment.device, held, one.mac)
    found = _addresses(dhcp, segment.device)
    assert found == ["10.9.0.5"], f"after release, leases() has {found}"
    another = two.lease().yiaddr
    assert another == held, f"{held} was released, and the next client gets {another}"


@spec(
    "DR-02",
    "A lease of a client that has sent an identifier is released by its MAC address all the same.",
    capability=RELEASE,
)
def test_release_with_client_id(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    one = segment.client("one", client_id=b"\xff\x00\x01some client, whose id is no MAC address")
    two, other = segment.client("two"), segment.client("other")
    dhcp.start(network(segment, Host(other.mac, "10.9.0.5"), ranges=ONE))
    leased(dhcp, segment.device, other)
    held = leased(dhcp, segment.device, one).yiaddr
    dhcp.release(segment.device, ipaddress.ip_address(held), one.mac)
    found = _addresses(dhcp, segment.device)
    assert found == ["10.9.0.5"], f"after release, leases() has {found}"
    assert two.lease().yiaddr == held, f"{held} was released, and the next client does not get it"


@spec(
    "DR-03",
    "A lease of DHCPv6 is released by the client's DUID, and its address goes to whoever asks next.",
    capability=(*RELEASE, Capability.DHCP_IPV6),
)
def test_release6(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net, *DUAL)
    one, two, other = segment.client6("one"), segment.client6("two"), segment.client("other")
    dhcp.start(network6(segment, Host(other.mac, "10.9.0.5"), ranges=Range("fd09::100", "fd09::100")))
    leased(dhcp, segment.device, other)
    held = leased6(dhcp, segment.device, one).addresses[0]
    (duid,) = [lease.client_id for lease in dhcp.leases(segment.device) if str(lease.address) == held]
    assert duid, "a lease of DHCPv6 is without its DUID"
    dhcp.release(segment.device, held, duid)
    found = _addresses(dhcp, segment.device)
    assert found == ["10.9.0.5"], f"after release, leases() has {found}"
    assert two.lease().addresses == (held,), f"{held} was released, and the next client does not get it"


@spec(
    "DR-04",
    "The release of an address that somebody else has is refused with LeaseOfAnother, which names the holder, who "
    "keeps it.",
    capability=RELEASE,
)
def test_release_of_another(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    one, two = segment.client("one"), segment.client("two")
    dhcp.start(network(segment))
    held, other = leased(dhcp, segment.device, one).yiaddr, leased(dhcp, segment.device, two).yiaddr
    error = refusal(
        lambda: dhcp.release(segment.device, held, two.mac), LeaseOfAnother, "the release of somebody else's address"
    )
    assert error.holder == one.mac, f"{one.mac} has the address, and the error says {error.holder}"
    assert set(_addresses(dhcp, segment.device)) == {held, other}, (
        f"a release was refused, and leases() has {_addresses(dhcp, segment.device)}"
    )
    assert one.renew().yiaddr == held, "a release for another client was refused, and the holder lost its address"


@spec(
    "DR-05",
    "The release of an address that is not leased, or on a device without a network, is no error and changes nothing.",
    capability=RELEASE,
)
def test_release_of_nothing(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    client = segment.client()
    dhcp.start(network(segment))
    held = leased(dhcp, segment.device, client).yiaddr
    for device, address in ((segment.device, "10.9.0.199"), (segment.device, "192.0.2.1"), ("nosuch0", held)):
        dhcp.release(device, address, client.mac)
    dhcp.release(segment.device, "fd09::5", "00:01:00:01:2a:30:11:22:52:54:00:00:00:01")
    assert _addresses(dhcp, segment.device) == [held], f"after these, leases() has {_addresses(dhcp, segment.device)}"
    assert client.renew().yiaddr == held, "a client has lost its lease by releases of other addresses"


@spec(
    "DR-06",
    "The release of a lease whose server does not run is refused with NotRunning, and the lease stays.",
    capability=RELEASE,
)
def test_release_not_running(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    client = segment.client()
    dhcp.start(network(segment))
    held = leased(dhcp, segment.device, client).yiaddr
    server = pid(dhcp, segment.device)
    os.kill(server, signal.SIGKILL)
    ended(net, server, "a server outlives SIGKILL")
    for what in ("a server that was killed", "a server that was stopped"):
        refusal(lambda: dhcp.release(segment.device, held, client.mac), NotRunning, f"with {what}, release")
        assert _addresses(dhcp, segment.device) == [held], f"with {what}, a release has ended a lease"
        dhcp.release(segment.device, "10.9.0.150", client.mac)
        dhcp.stop(segment.device)


# -- leases() ---------------------------------------------------------------------------------------------


@spec(
    "DR-07",
    "leases() has what clients have: address, MAC address, client identifier, name, and when it ends.",
    capability=Capability.DHCP,
)
def test_leases(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    plain, named = segment.client("plain"), segment.client("named", client_id=b"\x01\x02\x00\x00\x00\x00\x07")
    dhcp.start(network(segment, lease_time=1200))
    before = time.time()
    acks = {
        plain.mac: leased(dhcp, segment.device, plain),
        named.mac: leased(dhcp, segment.device, named, hostname="web-1"),
    }
    found: dict[str | None, Lease] = {one.mac_address: one for one in dhcp.leases(segment.device)}
    assert set(found) == set(acks), f"clients {sorted(acks)} have leases, and leases() has {found}"
    for mac, ack in acks.items():
        lease = found[mac]
        assert str(lease.address) == ack.yiaddr, f"{mac} has {ack.yiaddr}, and leases() says {lease}"
        assert lease.iaid is None, f"a lease of IPv4 has an IAID: {lease}"
        ends = lease.expires or 0
        assert before + 1198 <= ends <= time.time() + 1202, f"{mac} has a lease for 1200 s, and leases() says {lease}"
    assert found[plain.mac].client_id is None, f"a client has sent no identifier, and leases() has {found[plain.mac]}"
    assert found[plain.mac].name is None, f"a client has sent no name, and leases() has {found[plain.mac]}"
    assert found[named.mac].client_id == "01:02:00:00:00:00:07", f"leases() has {found[named.mac]}"
    assert found[named.mac].name == "web-1", f"a client is called web-1, and leases() has {found[named.mac]}"


@spec(
    "DR-08",
    "leases() has those of DHCPv6 too, with DUID and IAID, and leases without an end as such.",
    capability=(Capability.DHCP, Capability.DHCP_IPV6),
)
def test_leases6(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net, *DUAL)
    six, four = segment.client6("six"), segment.client("four")
    dhcp.start(network6(segment, lease_time=None))
    reply, ack = leased6(dhcp, segment.device, six), leased(dhcp, segment.device, four)
    (association,) = reply.associations
    found = {str(one.address): one for one in dhcp.leases(segment.device)}
    assert set(found) == {*reply.addresses, ack.yiaddr}, f"leases() has {found}"
    lease = found[reply.addresses[0]]
    assert lease.client_id == (reply.client_id or b"").hex(":"), f"the DUID of a lease of DHCPv6 is {lease.client_id}"
    assert lease.iaid == association.iaid, f"the IAID is {association.iaid}, and leases() says {lease}"
    for one in found.values():
        assert one.expires is None, f"a lease without an end ends by leases(): {one}"


@spec(
    "DR-09",
    "Of leases that have expired while no server ran, leases() has none.",
    capability=Capability.DHCP,
)
def test_expired(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    short, long = segment.client("short"), segment.client("long")
    dhcp.start(network(segment, lease_time=7200))
    leased(dhcp, segment.device, short, lease_time=600)
    held = leased(dhcp, segment.device, long).yiaddr
    dhcp.stop(segment.device)
    age(dhcp.directory, 3600)
    assert _addresses(dhcp, segment.device) == [held], f"an hour later, leases() has {dhcp.leases(segment.device)}"


@spec(
    "DR-10",
    "Whatever else is in the file of the leases, leases() has those that can be read, and start goes through.",
    capability=Capability.DHCP,
)
def test_bad_lines(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    client = segment.client()
    dhcp.start(network(segment))
    held = leased(dhcp, segment.device, client).yiaddr
    dhcp.stop(segment.device)
    path = _file_with(dhcp.directory, held)
    whole = path.read_bytes()
    garbage = (
        b"\n",
        b"garbage\n",
        b"1790000000 02:00:00:00:00:01 10.9.0.300 * *\n",
        b"99999999999999999999999 02:00:00:00:00:01 10.9.0.101 * *\n",
        b"1790000000 zz:00:00:00:00:01 10.9.0.102 * *\n",
        b"\0\xff\xfe\n",
        b"duid nonsense\n",
        b"1790000000 02:00:00\n",
    )
    for lines in (b"".join(garbage) + whole, whole + b"".join(garbage)):
        path.write_bytes(lines)
        found = _addresses(dhcp, segment.device)
        assert found == [held], f"with garbage in the file of the leases, leases() has {dhcp.leases(segment.device)}"
    dhcp.start(network(segment))
    assert client.reboot(held).yiaddr == held, "with garbage in the file of the leases, a client has lost its lease"


def _file_with(directory: Path, address: str) -> Path:
    """Return the file that leases are kept in: the one that a client's address is in."""
    found = [path for path in directory.rglob("*") if path.is_file() and address.encode() in path.read_bytes()]
    if len(found) != 1:
        raise SuiteError(f"{address} is leased, and it is in the files {found}")
    return found[0]
