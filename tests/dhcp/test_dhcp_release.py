"""Ending leases by the packet itself: what is in it, and that dnsmasq takes it from the host that it runs on."""

import ipaddress
import socket
import struct
import threading

import pytest
from dnsmasq_by_hand import ADDRESS, ADDRESS6, BRIDGE, CLIENT_ID, DUID, LATER, MAC, SERVER_DUID, Server
from waiting import wait_until

from refnet.dhcp import leases, release
from refnet.dhcp.leases import Lease
from refnet.errors import InvalidArgument, KernelRefused, NoSuchDevice

OTHER_MAC, OTHER_DUID = "52:54:00:00:00:02", "00:03:00:01:52:54:00:00:00:02"
LEASES = f"""\
{LATER} {MAC} 192.0.2.10 web {CLIENT_ID}
{LATER} {OTHER_MAC} 192.0.2.11 * *
0 06-{OTHER_MAC} 192.0.2.12 * ff:01
duid {SERVER_DUID}
{LATER} 7 2001:db8::10 * {DUID}
{LATER} 4294967295 2001:db8::11 * {OTHER_DUID}
{LATER} T9 2001:db8::12 * {DUID}
"""
FIRST, PLAIN, TOKEN_RING, SIX, OTHER_SIX, TEMPORARY = leases.parse(LEASES)


@pytest.fixture(params=["no member", "no carrier", "a guest"])
def server(request, stack, tmp_path):
    """A server whose bridge has carrier or not, and that has leases."""
    guests = [stack.guest("c1")] if request.param != "no member" else []
    found = Server(stack, tmp_path, *guests)
    found.guests = guests
    if request.param == "no carrier":
        guests[0].ip("link set eth0 down")
    found.leases.write_text(LEASES)
    found.program.write_text("#!/bin/true\n")
    found.start("--log-dhcp")
    yield found
    found.stop()


@pytest.fixture(params=["by the device", "to all"])
def way(request, monkeypatch):
    """Send as Linux does, or as FreeBSD has to."""
    if request.param == "to all":
        monkeypatch.delattr(socket, "SO_BINDTODEVICE")
    return request.param


def kept(server):
    return {str(lease.address) for lease in leases.read(server.leases)}


def until_left(server, *left):
    """Wait until these leases are left, and no others: dnsmasq empties its file before it writes it anew."""
    wait_until(lambda: kept(server) == set(left), f"{left} are left")


# -- what is in it ------------------------------------------------------------------------------------


def test_a_release_says_whose_lease_of_which_server_it_is():
    data = release.message(FIRST, ipaddress.IPv4Address(ADDRESS))
    assert data[:4] == bytes((1, 1, 6, 0))  # BOOTREQUEST, Ethernet, six octets, no relay
    assert data[8:28] == bytes(4) + ipaddress.ip_address("192.0.2.10").packed + bytes(12)
    assert data[28:44] == bytes.fromhex(MAC.replace(":", "")) + bytes(10)
    assert data[44:236] == bytes(192)
    options = bytes((99, 130, 83, 99, 53, 1, 7, 54, 4, 192, 0, 2, 1, 61, 7)) + bytes.fromhex(CLIENT_ID.replace(":", ""))
    assert data[236:].rstrip(b"\0") == options + b"\xff"
    assert len(data) == 300
    assert data[4:8] != release.message(FIRST, ipaddress.IPv4Address(ADDRESS))[4:8]


def test_a_client_that_has_sent_no_identifier_is_known_by_its_hardware():
    data = release.message(PLAIN, ipaddress.IPv4Address(ADDRESS))
    assert data[236:].rstrip(b"\0") == bytes((99, 130, 83, 99, 53, 1, 7, 54, 4, 192, 0, 2, 1, 255))
    assert release.message(PLAIN._replace(mac_address=f"06-{MAC}"), ipaddress.IPv4Address(ADDRESS))[1] == 6


def test_a_release_of_ipv6_names_client_server_and_association():
    data = release.message_v6(OTHER_SIX, SERVER_DUID)
    assert data[0] == 8
    options, at = [], 4
    while at < len(data):
        code, length = struct.unpack_from("!HH", data, at)
        options.append((code, data[at + 4 : at + 4 + length]))
        at += 4 + length
    address = struct.pack("!HH", 5, 24) + ipaddress.ip_address("2001:db8::11").packed + bytes(8)
    assert options == [
        (1, bytes.fromhex(OTHER_DUID.replace(":", ""))),
        (2, bytes.fromhex(SERVER_DUID.replace(":", ""))),
        (8, bytes(2)),
        (3, b"\xff\xff\xff\xff" + bytes(8) + address),
    ]
    address = struct.pack("!HH", 5, 24) + ipaddress.ip_address("2001:db8::12").packed + bytes(8)
    assert release.message_v6(TEMPORARY, SERVER_DUID).endswith(struct.pack("!HHI", 4, 32, 9) + address)


@pytest.mark.parametrize(
    ("lease", "duid"),
    [
        (FIRST._replace(mac_address=None), None),
        (FIRST._replace(mac_address="52:54:xx"), None),
        (FIRST._replace(mac_address=":".join(["00"] * 17)), None),
        (FIRST._replace(client_id="1:2:"), None),
        (FIRST._replace(client_id="100:20"), None),
        (SIX, SERVER_DUID),
    ],
)
def test_what_makes_no_release_is_refused(lease, duid):
    with pytest.raises(InvalidArgument):
        release.send(lease, "br100", f"{ADDRESS}/24", duid)


@pytest.mark.parametrize(
    ("lease", "duid"),
    [
        (SIX, None),
        (SIX, "server"),
        (SIX._replace(client_id=None), SERVER_DUID),
        (SIX._replace(iaid=None), SERVER_DUID),
        (FIRST, SERVER_DUID),
    ],
)
def test_what_makes_no_release_of_ipv6_is_refused(lease, duid):
    with pytest.raises(InvalidArgument):
        release.send(lease, "br100", f"{ADDRESS6}/64", duid)


def test_the_server_is_given_with_its_network():
    with pytest.raises(InvalidArgument):
        release.send(FIRST, "br100", ADDRESS)


# -- that dnsmasq takes it ----------------------------------------------------------------------------


def test_leases_are_ended(server, way):
    for lease in (FIRST, PLAIN):
        release.send(lease, BRIDGE, f"{ADDRESS}/24")
    release.send(SIX, BRIDGE, f"{ADDRESS6}/64", SERVER_DUID)
    release.send(TEMPORARY, BRIDGE, f"{ADDRESS6}/64", SERVER_DUID)
    until_left(server, "192.0.2.12", "2001:db8::11")


def test_a_lease_of_another_client_is_left(server, way):
    release.send(FIRST._replace(client_id="01:02:03"), BRIDGE, f"{ADDRESS}/24")
    release.send(FIRST._replace(client_id=None, mac_address=OTHER_MAC), BRIDGE, f"{ADDRESS}/24")
    release.send(SIX._replace(client_id=OTHER_DUID), BRIDGE, f"{ADDRESS6}/64", SERVER_DUID)
    release.send(SIX._replace(iaid=8), BRIDGE, f"{ADDRESS6}/64", SERVER_DUID)
    release.send(SIX, BRIDGE, f"{ADDRESS6}/64", SERVER_DUID + ":00")
    # What came after them has been taken, so they have been looked at.
    release.send(PLAIN, BRIDGE, f"{ADDRESS}/24")
    release.send(OTHER_SIX, BRIDGE, f"{ADDRESS6}/64", SERVER_DUID)
    until_left(server, "192.0.2.10", "192.0.2.12", "2001:db8::10", "2001:db8::12")


def test_nobody_else_sees_it_on_linux(stack, tmp_path):
    guest = stack.guest("c1")
    server = Server(stack, tmp_path, guest)
    server.leases.write_text(LEASES)
    server.program.write_text("#!/bin/true\n")
    server.start()
    try:
        guest.receive()
        release.send(FIRST, BRIDGE, f"{ADDRESS}/24")
        release.send(SIX, BRIDGE, f"{ADDRESS6}/64", SERVER_DUID)
        until_left(server, "192.0.2.11", "192.0.2.12", "2001:db8::11", "2001:db8::12")
        parts = (bytes.fromhex(MAC.replace(":", "")), bytes.fromhex(DUID.replace(":", "")))
        assert not [frame for frame in guest.receive() if any(part in frame for part in parts)]
    finally:
        server.stop()


def test_a_device_that_is_not_there(stack, way):
    with pytest.raises(NoSuchDevice) as caught:
        release.send(FIRST, "nosuch0", f"{ADDRESS}/24")
    assert caught.value.device == "nosuch0"


def test_an_address_that_is_not_this_hosts(stack, way):
    with pytest.raises(KernelRefused, match=r"the release of 192\.0\.2\.10 could not be sent on lo"):
        release.send(FIRST, "lo", f"{ADDRESS}/24")


def test_threads_may_send_at_once(server):
    senders = [threading.Thread(target=release.send, args=(one, BRIDGE, f"{ADDRESS}/24")) for one in (FIRST, PLAIN)]
    for one in senders:
        one.start()
    for one in senders:
        one.join()
    until_left(server, "192.0.2.12", "2001:db8::10", "2001:db8::11", "2001:db8::12")


def test_a_lease_is_made_by_hand_as_well(server):
    release.send(Lease(FIRST.address, MAC, CLIENT_ID.upper(), None, None), BRIDGE, f"{ADDRESS}/24")
    until_left(server, "192.0.2.11", "192.0.2.12", "2001:db8::10", "2001:db8::11", "2001:db8::12")
