"""Clients as distributions have them: what they make of the answers."""

from __future__ import annotations

import ipaddress

from conformance.harness import DhcpUnderTest
from conformance.spec import spec
from conformance.specs.dhcp.seen import becomes
from conformance.specs.dhcp.told import HERE, POOL
from conformance.topology.dhcp import real
from conformance.topology.dhcp.segment import Segment
from conformance.topology.sandbox import Sandbox
from refnet.dhcp import Capability, Host, Route

DHCP = Capability.DHCP


def gets_all(dhcp: DhcpUnderTest, net: Sandbox, client: str) -> None:
    """See that a client gets all that a network tells, can be reached by its address, and gets that again as a host."""
    s = Segment(net)
    guest = s.guest("vm")
    fields = {
        "ranges": POOL,
        "gateway": HERE,
        "dns_servers": [HERE, "192.0.2.53"],
        "mtu": 1400,
        "domain": "cloud.example",
        "routes": Route("10.20.0.0/16", "10.9.0.5"),
        "lease_time": 1800,
    }
    dhcp.start(s.network(**fields))
    got = real.lease(guest, client)
    address = ipaddress.IPv4Interface(got.address)
    assert address.ip in POOL, f"{client} gets {address.ip}, which is not in {POOL}"
    expected = {
        "prefix length": (address.network.prefixlen, 24),
        "gateway": (got.routers, (HERE,)),
        "DNS servers": (got.dns_servers, (HERE, "192.0.2.53")),
        "MTU": (got.mtu, 1400),
        "domain": (got.domain, "cloud.example"),
        "routes": (sorted(got.routes), [("0.0.0.0/0", HERE), ("10.20.0.0/16", "10.9.0.5")]),
        "lease time": (got.lease_time, 1800),
        "server": (got.server, HERE),
    }
    for what, (found, wanted) in expected.items():
        assert found == wanted, f"{client}: the {what} is {found}, and not {wanted}"
    wanted = [(str(address.ip), guest.mac)]
    leases = becomes(net, lambda: [(str(one.address), one.mac_address) for one in dhcp.leases(s.device)], wanted)
    assert leases == wanted, f"{client} has {address.ip}, and the leases are {leases}"
    net.reaches(guest, str(address.ip), net, HERE, what=f"a guest with the address that {client} got")
    known = s.guest("known")
    dhcp.start(s.network(**fields, hosts=Host(known.mac, "10.9.0.10", name="web")))
    as_host = real.lease(known, client)
    assert as_host.address == "10.9.0.10/24", f"the host with 10.9.0.10 gets {as_host.address} by {client}"
    assert as_host.hostname == "web", f"the host 'web' is called {as_host.hostname!r} by {client}"


@spec(
    "DC-01",
    "dhclient gets an address, and all that the network tells; the address of a host, and its name.",
    capability=DHCP,
    needs=("dhclient",),
)
def test_dhclient(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    gets_all(dhcp, net, "dhclient")


@spec(
    "DC-02",
    "udhcpc gets an address, and all that the network tells; the address of a host, and its name.",
    capability=DHCP,
    needs=("udhcpc",),
)
def test_udhcpc(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    gets_all(dhcp, net, "udhcpc")


@spec(
    "DC-03",
    "dhcpcd gets an address, and all that the network tells; the address of a host, and its name.",
    capability=DHCP,
    needs=("dhcpcd",),
)
def test_dhcpcd(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    gets_all(dhcp, net, "dhcpcd")
