"""A network host's addresses, and what its neighbours are told."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from linux_net_ground import network

from conformance.topology.linux import Sandbox
from refnet import linux_net
from refnet.errors import InvalidArgument, KernelRefused, NoSuchDevice

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
ARP = bytes.fromhex("0806")


def test_the_servers_address_is_first_and_nothing_is_written_twice(host: Sandbox) -> None:
    host.plain_bridge("br100")
    host.add_address("br100", "10.0.0.9/24", "198.51.100.1/24")
    assert FORWARDING.read_text().strip() == "0"
    linux_net.initialize_gateway_device("br100", network())
    # Linux lists the first of each network before the others.
    assert host.look.cidrs("br100") == ["10.0.0.1/24", "198.51.100.1/24", "10.0.0.9/24"]
    assert FORWARDING.read_text().strip() == "1"
    with host.look.unwritten("a gateway that is one"):
        linux_net.initialize_gateway_device("br100", network())
    linux_net.initialize_gateway_device("none", None)  # Nova's: no network, nothing to do
    FORWARDING.write_text("0\n")
    host.remove_plain("br100")


def test_ipv6_is_there_if_it_is_used(host: Sandbox) -> None:
    host.plain_bridge("br100")
    six = network(cidr_v6="2001:db8::/64", gateway_v6="2001:db8::1")
    linux_net.initialize_gateway_device("br100", six)
    assert not [one for one in host.look.cidrs("br100", 6) if one.startswith("2001")]
    linux_net.configure(use_ipv6=True)
    linux_net.initialize_gateway_device("br100", six)
    assert "2001:db8::1/64" in host.look.cidrs("br100", 6)
    linux_net.initialize_gateway_device("br100", network())  # one that has no IPv6
    linux_net.initialize_gateway_device("br100", network(cidr_v6="2001:db8:1::5/64"))
    assert "2001:db8:1::5/64" in host.look.cidrs("br100", 6)
    with pytest.raises(InvalidArgument, match="gateway_v6"):
        linux_net.initialize_gateway_device("br100", network(cidr_v6="2001:db8::/64"))
    with pytest.raises(InvalidArgument, match="no IPv6 network"):
        linux_net.initialize_gateway_device("br100", network(cidr_v6="10.0.0.0/24"))
    FORWARDING.write_text("0\n")
    host.remove_plain("br100")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"dhcp_server": None}, "dhcp_server"),
        ({"cidr": "10.0.0.0/33"}, "10.0.0.0/33"),
        ({"dhcp_server": "10.0.1.1"}, "not in its network"),
    ],
)
def test_a_network_that_says_too_little_or_wrong_changes_nothing(
    host: Sandbox, fields: dict[str, str | None], words: str
) -> None:
    host.plain_bridge("br100")
    with host.look.unchanged("a network that cannot be"), pytest.raises(InvalidArgument, match=words):
        linux_net.initialize_gateway_device("br100", network(**fields))
    with pytest.raises(NoSuchDevice):
        linux_net.initialize_gateway_device("none", network())
    assert FORWARDING.read_text().strip() == "0"
    host.remove_plain("br100")


def test_floating_addresses_come_and_go_without_the_others(host: Sandbox) -> None:
    host.plain_cables("eth1")
    host.add_address("eth1", "192.0.2.1/24")
    linux_net.bind_floating_ip("192.0.2.100", "eth1")
    linux_net.bind_floating_ip("192.0.2.100", "eth1")
    assert host.look.cidrs("eth1") == ["192.0.2.1/24", "192.0.2.100/32"]
    linux_net.unbind_floating_ip("192.0.2.100", "eth1")
    linux_net.unbind_floating_ip("192.0.2.100", "eth1")
    assert host.look.cidrs("eth1") == ["192.0.2.1/24"]
    linux_net.unbind_floating_ip("192.0.2.100", "none")
    with pytest.raises(NoSuchDevice):
        linux_net.bind_floating_ip("192.0.2.100", "none")
    for call in (linux_net.bind_floating_ip, linux_net.unbind_floating_ip):
        for wrong in ("2001:db8::1", "192.0.2.1/24", "everywhere", None):
            with host.look.unchanged("no floating address"), pytest.raises(InvalidArgument):
                call(wrong, "eth1")  # type: ignore[arg-type]
    host.remove_plain("eth1")


def test_the_metadata_address_is_on_the_loopback_device_once(host: Sandbox) -> None:
    host.plain_cables("eth1")
    host.run("ip", "link", "set", "eth1", "up")
    host.run("ip", "route", "add", "198.51.100.0/24", "dev", "eth1")
    linux_net.ensure_metadata_ip()
    # Linux looks for a source at the loopback device first, if the one that something leaves by has no address.
    assert "169.254.169.254" not in host.run("ip", "route", "get", "198.51.100.1")
    with host.look.unwritten("the metadata address is there"):
        linux_net.ensure_metadata_ip()
    assert "169.254.169.254/32" in host.look.cidrs("lo")
    host.run("ip", "address", "del", "169.254.169.254/32", "dev", "lo")
    host.remove_plain("eth1")


def test_a_gateway_may_have_a_link_local_address(host: Sandbox) -> None:
    host.plain_bridge("br100")
    host.add_address("br100", "198.51.100.1/24")
    for address, cidr in (("169.254.1.1", "169.254.1.0/24"), ("169.254.2.1", "169.254.2.1/32")):
        local = network(dhcp_server=address, cidr=cidr)
        linux_net.initialize_gateway_device("br100", local)
        assert host.look.cidrs("br100")[0].partition("/")[0] == address
        with host.look.unwritten("a gateway that is one"):
            linux_net.initialize_gateway_device("br100", local)
    FORWARDING.write_text("0\n")
    host.remove_plain("br100")


def test_neighbours_are_told_as_often_as_asked_by_requests_and_answers(host: Sandbox) -> None:
    guest = host.guest("g1")
    host.plain_bridge("br100", guest.port)
    host.add_address("br100", "192.0.2.1/24")
    host.look.rest()
    linux_net.send_arp_for_ip("192.0.2.7", "br100", "2")
    # The last of them has come when it can be seen that the host asks for this one.
    host.source_mac(guest, "192.0.2.1", "192.0.2.200")
    own = bytes.fromhex(host.look.mac("br100").replace(":", ""))
    address = bytes([192, 0, 2, 7])
    told = [one.data for one in guest.record if one.data[12:14] == ARP and one.data[28:32] == address]
    assert [int.from_bytes(one[20:22], "big") for one in told] == [1, 2, 1, 2]
    for one in told:
        assert (one[:6], one[6:12]) == (b"\xff" * 6, own)
        assert (one[22:28], one[38:42]) == (own, address)
    host.remove_plain("br100")


def test_a_floating_address_is_told_if_that_is_wanted(host: Sandbox) -> None:
    guest = host.guest("g1")
    host.plain_bridge("br100", guest.port)
    host.add_address("br100", "192.0.2.1/24")
    host.look.rest()
    linux_net.bind_floating_ip("192.0.2.100", "br100")
    linux_net.configure(send_arp_for_ha=True, send_arp_for_ha_count=1)
    linux_net.bind_floating_ip("192.0.2.101", "br100")
    for _ in range(2):  # it is new once
        linux_net.initialize_gateway_device("br100", network())
    host.source_mac(guest, "192.0.2.1", "192.0.2.200")
    told = [one.data for one in guest.record if one.data[12:14] == ARP and one.data[28:32] == one.data[38:42]]
    assert [socket.inet_ntoa(one[28:32]) for one in told] == ["192.0.2.101"] * 2 + ["10.0.0.1"] * 2
    FORWARDING.write_text("0\n")
    host.remove_plain("br100")


def test_what_cannot_be_told_is_said(host: Sandbox) -> None:
    host.plain_cables("a0")
    host.run("ip", "link", "set", "a0", "down")
    with pytest.raises(KernelRefused, match="a0"):
        linux_net.send_arp_for_ip("192.0.2.7", "a0", 1)
    with pytest.raises(NoSuchDevice):
        linux_net.send_arp_for_ip("192.0.2.7", "none", 1)
    with pytest.raises(InvalidArgument, match="ARP"):
        linux_net.send_arp_for_ip("2001:db8::1", "a0", 1)
    with pytest.raises(InvalidArgument):
        linux_net.send_arp_for_ip("192.0.2.7", "lo", 1)
    host.run("ip", "link", "set", "a0", "up")
    for count in (-1, "-1", "once"):
        with pytest.raises(InvalidArgument, match="count"):
            linux_net.send_arp_for_ip("192.0.2.7", "a0", count)
    host.remove_plain("a0")
