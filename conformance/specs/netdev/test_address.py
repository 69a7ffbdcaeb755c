"""Addresses of a device: that they work, their order, and what stays when one comes or goes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from conformance.errors import Inconclusive, SuiteError
from conformance.harness import DriverUnderTest
from conformance.spec import spec
from conformance.specs.netdev.refused import refusal, refused
from conformance.topology.base import Guest
from conformance.topology.sandbox import Sandbox
from refnet.errors import InvalidArgument, NoSuchDevice
from refnet.netdev.driver import Capability

_BAD_ADDRESSES: tuple[Any, ...] = (
    "192.0.2.1",
    "192.0.2.1/33",
    "192.0.2.256/24",
    "192.0.2.1/-1",
    "192.0.2.1/24/24",
    "192.0.2.1/24\n",
    " 192.0.2.1/24",
    "192.0.2.1/24 dev lo",
    "0.0.0.0/0",
    "224.0.0.1/4",
    "2001:db8::1",
    "2001:db8::1/129",
    "::/64",
    "ff02::1/64",
    "fe80::1%lo/64",
    "an address",
    "/24",
    "",
    None,
    42,
    b"192.0.2.1/24",
)


def given(netdev: DriverUnderTest, net: Sandbox, *addresses: str) -> Guest:
    """Make a guest at 192.0.2.2 and 2001:db8::2, and give the addresses to its port through the driver."""
    guest = net.guest("a", "192.0.2.2/24", "198.51.100.2/24", "2001:db8::2/64")
    for address in addresses:
        netdev.add_device_address(guest.port, address)
    return guest


def reaches_all(net: Sandbox, guest: Guest, *addresses: str, what: str) -> None:
    """Prove that the guest talks with the sandbox at each of these addresses, from its own of the same family."""
    for address in addresses:
        own = "2001:db8::2" if ":" in address else "192.0.2.2"
        net.reaches(guest, own, net, address.partition("/")[0], what=what)


def unanswered(net: Sandbox, guest: Guest, gone: str, kept: str, before: Callable[[], None], *, what: str) -> None:
    """Prove that after ``before`` the guest gets nothing through to ``gone``, which worked, while ``kept`` works still.

    What is sent to the address that stays is the fence: both have been resolved by then, and go the same way.
    """
    reaches_all(net, guest, gone, kept, what=f"{what}, before")
    anywhere, own = ("::", "2001:db8::2") if ":" in gone else ("0.0.0.0", "192.0.2.2")  # noqa: S104
    with net.datagram_socket(anywhere) as here, guest.datagram_socket(own) as there:
        before()
        port = here.getsockname()[1]
        there.sendto(b"to the address that is gone", (gone, port))
        there.sendto(b"fence", (kept, port))
        here.settimeout(net.arrival_limit)
        try:
            data = here.recv(64)
        except TimeoutError:
            raise Inconclusive(f"{what}: what was sent to {kept} behind it did not arrive") from None
        assert data == b"fence", f"{what}: the guest still gets through to {gone}"


def same_from_first(net: Sandbox, device: str, *wanted: str) -> None:
    """Assert a device's IPv4 addresses and their order."""
    found = net.look.cidrs(device)
    assert found[:1] == [*wanted[:1]], f"{wanted[0]} is not the first address of {device}: it has {', '.join(found)}"
    assert found == [*wanted], f"the addresses of {device} are {', '.join(found)}, and not {', '.join(wanted)}"


@spec("AD-01", "An IPv4 address that is added answers a guest when the call returns.")
def test_add_ipv4(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest = given(netdev, net, "192.0.2.1/24")
    reaches_all(net, guest, "192.0.2.1", what="an address that was added")


@spec(
    "AD-02",
    "An IPv6 address that is added can be used when the call returns, also where duplicates are looked for.",
    capability=Capability.IPV6,
)
def test_add_ipv6_usable_at_once(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest = given(netdev, net)
    detecting(net, guest)
    netdev.add_device_address(guest.port, "2001:db8::1/64")
    reaches_all(net, guest, "2001:db8::1", what="an IPv6 address, at once")


def detecting(net: Sandbox, guest: Guest) -> None:
    """Have duplicates looked for on a guest's port, and see that this does hold up an address that somebody adds."""
    net.detect_duplicates(guest.port)
    net.add_address(guest.port, "2001:db8::beef/64", detection=True)
    try:
        net.datagram_socket("2001:db8::beef").close()
    except OSError:
        return
    raise SuiteError("the system looks for no duplicates: that an address is usable at once proves nothing")


@spec(
    "AD-03",
    "An IPv4 address that is added has its subnet's broadcast address; in a /31 or a /32, which have none, it has none "
    "or the one that the kernel gives every address (FreeBSD).",
)
def test_broadcast(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest = given(netdev, net)
    # FreeBSD's kernel gives every address one (netinet/in.c): of all hosts in a /31, its own in a /32.
    kernels = net.gives_every_broadcast
    expected = {
        "192.0.2.1/24": "192.0.2.255",
        "198.51.100.129/25": "198.51.100.255",
        "198.51.100.5/30": "198.51.100.7",
        "203.0.113.10/31": "255.255.255.255" if kernels else None,
        "203.0.113.20/32": "203.0.113.20" if kernels else None,
    }
    for address, broadcast in expected.items():
        netdev.add_device_address(guest.port, address)
        (found,) = [one for one in net.look.addresses(guest.port, 4) if one["local"] == address.partition("/")[0]]
        said = found.get("broadcast")
        assert said == broadcast, f"the broadcast address of {address} is {said}, and not {broadcast}"
    reaches_all(net, guest, "192.0.2.1", what="an address with its broadcast address")


@spec("AD-04", "Adding an IPv4 address that is there changes and writes nothing, first of its subnet or not.")
def test_add_again(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest = given(netdev, net, "192.0.2.1/24", "192.0.2.5/24")
    for address in ("192.0.2.1/24", "192.0.2.5/24"):
        with net.look.unwritten(f"adding {address} again"):
            netdev.add_device_address(guest.port, address)
    reaches_all(net, guest, "192.0.2.1", "192.0.2.5", what="an address that was added twice")


@spec(
    "AD-05",
    "Adding an IPv6 address that is there changes and writes nothing, however it is spelt.",
    capability=Capability.IPV6,
)
def test_add_ipv6_again(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest = given(netdev, net, "2001:db8::1/64")
    for spelling in ("2001:db8::1/64", "2001:DB8:0:0::0:1/64"):
        with net.look.unwritten(f"adding {spelling} again"):
            netdev.add_device_address(guest.port, spelling)
    reaches_all(net, guest, "2001:db8::1", what="an IPv6 address that was added twice")


@spec("AD-06", "An IPv4 address that is deleted answers no more; deleting it again changes and writes nothing.")
def test_delete_ipv4(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest = given(netdev, net, "192.0.2.1/24", "192.0.2.5/24")
    unanswered(
        net,
        guest,
        "192.0.2.5",
        "192.0.2.1",
        lambda: netdev.delete_device_address(guest.port, "192.0.2.5/24"),
        what="an address that was deleted",
    )
    with net.look.unwritten("deleting an address again"):
        netdev.delete_device_address(guest.port, "192.0.2.5/24")


@spec(
    "AD-07",
    "An IPv6 address that is deleted answers no more; deleting it again changes and writes nothing.",
    capability=Capability.IPV6,
)
def test_delete_ipv6(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest = given(netdev, net, "2001:db8::1/64", "2001:db8::5/64")
    unanswered(
        net,
        guest,
        "2001:db8::5",
        "2001:db8::1",
        lambda: netdev.delete_device_address(guest.port, "2001:db8::5/64"),
        what="an IPv6 address that was deleted",
    )
    with net.look.unwritten("deleting an IPv6 address again"):
        netdev.delete_device_address(guest.port, "2001:db8::5/64")


@spec(
    "AD-08",
    "What is no unicast address with a prefix length is refused as InvalidArgument, and nothing changes.",
)
def test_bad_addresses(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest = given(netdev, net, "192.0.2.5/24")
    methods = ("add_device_address", "delete_device_address", "ensure_gateway_address")
    with net.look.unchanged("bad addresses"):
        for method, address in itertools.product(methods, _BAD_ADDRESSES):
            with refusal(InvalidArgument, f"{method} with {address!r}"):
                getattr(netdev, method)(guest.port, address)


@spec("AD-09", "Each call about addresses of a device that is not there raises NoSuchDevice, naming it.")
def test_missing_device(netdev: DriverUnderTest, net: Sandbox) -> None:
    for method in ("add_device_address", "delete_device_address", "ensure_gateway_address"):
        with refused(net, NoSuchDevice, f"{method} of a device that is not there") as taken:
            getattr(netdev, method)("nosuch0", "192.0.2.1/24")
        assert taken.error.device == "nosuch0", f"{method} does not say which device is missing: {taken.error}"


@spec("AD-10", "When the first address of a subnet is deleted, the others of that subnet stay usable, in their order.")
def test_delete_first(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest = given(netdev, net, "192.0.2.1/24", "192.0.2.5/24", "192.0.2.3/24", "198.51.100.1/24")
    netdev.delete_device_address(guest.port, "192.0.2.1/24")
    reaches_all(net, guest, "192.0.2.5", "192.0.2.3", what="what is left of a subnet")
    net.reaches(guest, "198.51.100.2", net, "198.51.100.1", what="another subnet")
    kept = [one for one in net.look.cidrs(guest.port) if one.startswith("192.0.2.")]
    assert kept == ["192.0.2.5/24", "192.0.2.3/24"], f"the addresses that are left are {', '.join(kept)}"


@spec("AD-11", "When the first address of a subnet is deleted, the routes by a gateway in that subnet stay.")
def test_delete_first_keeps_routes(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest = routed(netdev, net, "192.0.2.1/24", "192.0.2.5/24")
    netdev.delete_device_address(guest.port, "192.0.2.1/24")
    reaches_beyond(net, guest, "192.0.2.5", what="after the first address was deleted")


def routed(netdev: DriverUnderTest, net: Sandbox, *addresses: str) -> Guest:
    """Make a guest that is the sandbox's router to 203.0.113.0/24 and, by default, to all the rest."""
    guest = net.guest("a", "192.0.2.2/24", "203.0.113.9/32", "198.18.0.9/32")
    for address in addresses:
        netdev.add_device_address(guest.port, address)
    net.add_route("203.0.113.0/24", "192.0.2.2", guest.port)
    net.add_route("default", "192.0.2.2", guest.port)
    return guest


def reaches_beyond(net: Sandbox, guest: Guest, own: str, *, what: str) -> None:
    """Prove that both routes of :func:`routed` are there."""
    net.reaches(net, own, guest, "203.0.113.9", what=f"a route by a gateway, {what}")
    net.reaches(net, own, guest, "198.18.0.9", what=f"the default route, {what}")


@spec("AD-12", "A gateway address becomes the first of its device, so that guests see it as the sender.")
def test_gateway_first(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest = given(netdev, net, "192.0.2.5/24", "192.0.2.6/24")
    netdev.ensure_gateway_address(guest.port, "192.0.2.1/24")
    reaches_all(net, guest, "192.0.2.1", what="a gateway address")
    seen = net.source_seen(guest, "192.0.2.2")
    assert seen == "192.0.2.1", f"the gateway address is not the first: the guest sees {seen} as the sender"
    same_from_first(net, guest.port, "192.0.2.1/24", "192.0.2.5/24", "192.0.2.6/24")


@spec("AD-13", "An address that is there becomes the gateway address, and the others stay behind it in their order.")
def test_gateway_from_the_middle(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest = given(netdev, net, "192.0.2.6/24", "192.0.2.9/24", "192.0.2.1/24", "192.0.2.7/24")
    netdev.ensure_gateway_address(guest.port, "192.0.2.1/24")
    reaches_all(net, guest, *(f"192.0.2.{host}" for host in (1, 6, 9, 7)), what="an address of the gateway's device")
    same_from_first(net, guest.port, "192.0.2.1/24", "192.0.2.6/24", "192.0.2.9/24", "192.0.2.7/24")


@spec("AD-14", "Making sure of a gateway address that is the first changes and writes nothing.")
def test_gateway_again(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest = given(netdev, net, "192.0.2.5/24")
    netdev.ensure_gateway_address(guest.port, "192.0.2.1/24")
    with net.look.unwritten("making sure of the gateway address again"):
        netdev.ensure_gateway_address(guest.port, "192.0.2.1/24")
    reaches_all(net, guest, "192.0.2.1", "192.0.2.5", what="a gateway address, made sure of twice")


@spec(
    "AD-15",
    "An IPv6 gateway address is there and usable when the call returns; a second call changes and writes nothing.",
    capability=Capability.IPV6,
)
def test_gateway_ipv6(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest = given(netdev, net, "2001:db8::5/64")
    detecting(net, guest)
    netdev.ensure_gateway_address(guest.port, "2001:db8::1/64")
    reaches_all(net, guest, "2001:db8::1", "2001:db8::5", what="an IPv6 gateway address, at once")
    netdev.delete_device_address(guest.port, "2001:db8::beef/64")  # the kernel still works on that one
    with net.look.unwritten("making sure of the IPv6 gateway address again"):
        netdev.ensure_gateway_address(guest.port, "2001:db8::1/64")


@spec("AD-16", "The routes through a device survive that its gateway address becomes the first.")
def test_gateway_keeps_routes(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest = routed(netdev, net, "192.0.2.5/24")
    netdev.ensure_gateway_address(guest.port, "192.0.2.1/24")
    reaches_beyond(net, guest, "192.0.2.1", what="with the gateway address first")
    reaches_beyond(net, guest, "192.0.2.5", what="from the address behind it")


@spec("AD-17", "An address is deleted from the device that is named, and stays on any other that has it too.")
def test_delete_from_one_device(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest = given(netdev, net, "192.0.2.1/24")
    other = net.guest("b")
    netdev.add_device_address(other.port, "192.0.2.1/24")
    netdev.delete_device_address(other.port, "192.0.2.1/24")
    assert net.look.cidrs(other.port) == [], f"{other.port} still has {net.look.cidrs(other.port)}"
    reaches_all(net, guest, "192.0.2.1", what="the same address on another device")


@spec("AD-18", "A gateway address in a subnet of its own becomes the first, and the subnets behind it stay usable.")
def test_gateway_in_its_own_subnet(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest = given(netdev, net, "198.51.100.1/24", "198.51.100.3/24")
    netdev.ensure_gateway_address(guest.port, "192.0.2.1/24")
    reaches_all(net, guest, "192.0.2.1", what="a gateway address in a subnet of its own")
    for address in ("198.51.100.1", "198.51.100.3"):
        net.reaches(guest, "198.51.100.2", net, address, what="a subnet behind the gateway address")
    same_from_first(net, guest.port, "192.0.2.1/24", "198.51.100.1/24", "198.51.100.3/24")


@spec("AD-19", "A device's description has its addresses in the system's order, each with its broadcast address.")
def test_described(netdev: DriverUnderTest, net: Sandbox) -> None:
    guest = given(netdev, net, "192.0.2.9/24", "192.0.2.1/24", "192.0.2.5/24")
    net.reaches(guest, "192.0.2.2", net, "192.0.2.9", what="the first address")
    described = [one for one in netdev.device(guest.port).addresses if one.interface.version == 4]
    seen = [str(one) for one in described]
    assert seen == net.look.cidrs(guest.port), f"the driver describes {', '.join(seen)}"
    assert {one.broadcast for one in described} == {"192.0.2.255"}, (
        f"the driver describes the broadcast addresses {', '.join(str(one.broadcast) for one in described)}"
    )
