"""DHCPv6 and router advertisements as specs use them, against a dnsmasq that is started by hand.

Each verb has to hold where the server does as it should, to fail where it does not, and to be inconclusive where its
control is lost.
"""

import subprocess
from pathlib import Path

import pytest

from conformance.errors import Inconclusive
from conformance.topology import packets
from conformance.topology.dhcp import advertisements, messages6, slaac
from conformance.topology.dhcp.advertisements import Prefix, none_solicited, solicited, unsolicited
from conformance.topology.dhcp.client6 import Client6
from conformance.topology.packets import parse

BRIDGE, SERVER = "br-six", "fd09::1"
#: A second server would be in the way of nobody: each test has a stack of its own.
RANGE = "--dhcp-range=fd09::10,fd09::11,64,1h"
WHAT = "the proof"


class Ground:
    """A bridge with a server on it, and guests."""

    def __init__(self, stack, directory):
        self.net = stack
        self.directory = directory
        self.first, self.second = stack.guest("c1"), stack.guest("c2")
        stack.plain_bridge(BRIDGE, self.first.port, self.second.port)
        stack.remove_in_the_end(BRIDGE)
        stack.add_address(BRIDGE, f"{SERVER}/64")
        stack.look.rest()
        self.server = None

    def serve(self, *arguments):
        """Start a server that is ready when this returns, in place of the one before."""
        self.stop()
        self.server = subprocess.Popen(
            [
                "dnsmasq",
                "--keep-in-foreground",
                "--conf-file=/dev/null",
                "--no-resolv",
                "--no-hosts",
                "--port=0",
                "--user=",
                "--group=",
                "--bind-dynamic",
                f"--interface={BRIDGE}",
                "--except-interface=lo",
                f"--dhcp-leasefile={self.directory / 'leases'}",
                f"--pid-file={self.directory / 'pid'}",
                "--log-facility=-",
                "--log-dhcp",
                *arguments,
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        said = ""
        while "DHCP" not in said and "advertisement on" not in said:
            line = self.server.stderr.readline()
            assert line, f"dnsmasq ended: {said}"
            said += line

    def stop(self):
        if self.server:
            self.server.terminate()
            self.server.communicate(timeout=60)
            self.server = None

    def client(self, guest=None, **fields):
        return Client6(self.net, guest or self.first, **fields)

    def advertised(self, guest=None, **fields):
        return solicited(self.net, guest or self.second, what=WHAT, **fields)


@pytest.fixture
def ground(stack, tmp_path):
    made = Ground(stack, Path(tmp_path))
    try:
        yield made
    finally:
        made.stop()


# -- DHCPv6 ---------------------------------------------------------------------------------------------


def test_a_client_comes_to_an_address_keeps_it_and_gives_it_back(ground):
    ground.serve(RANGE, f"--dhcp-option=option6:dns-server,[{SERVER}]", "--dhcp-option=option6:domain-search,a.b,c")
    client = ground.client()
    advertised = client.solicit()
    assert advertised.kind == "ADVERTISE"
    assert advertised.addresses[0] in ("fd09::10", "fd09::11")
    reply = client.lease()
    assert reply.addresses == advertised.addresses == client.addresses
    assert [(one.preferred, one.valid) for one in reply.leased] == [(3600, 3600)]
    assert (reply.dns_servers, reply.domains) == ((SERVER,), ("a.b", "c"))
    assert reply.associations[0].iaid == 1
    assert 0 < reply.associations[0].renew < reply.associations[0].rebind < 3600
    for again in (client.renew(), client.rebind(), client.confirm()):
        assert again.kind == "REPLY"
    assert client.renew().addresses == reply.addresses
    assert client.confirm("fd55::1").statuses == ("NotOnLink",)
    assert client.release().statuses[0] == "Success"
    assert client.addresses == ()
    assert client.messages[0].kind == "ADVERTISE"


def test_a_client_has_a_link_local_address_of_its_own_and_says_where_it_is(ground):
    ground.serve(RANGE)
    client = ground.client(mac="02:00:00:00:00:11")
    assert client.neighbour.link_local == "fe80::d6:200:0:11"
    client.lease()
    # The server has asked for it, or the answer could not have come; and what it leased is answered for as well.
    with ground.net.datagram_socket(SERVER) as sock:
        sock.sendto(b"refnet: are you there?", (client.addresses[0], 9))
        seen = client.neighbour.ask(
            lambda: sock.sendto(b"refnet: are you there?", (client.addresses[0], 9)),
            lambda packet: packet if packet.dport == 9 else None,
            limit=ground.net.arrival_limit,
        )
    assert seen is not None
    assert seen.destination_mac == client.mac


def test_several_associations_have_several_addresses(ground):
    ground.serve(RANGE)
    reply = ground.client().lease(wanted={1: (), 2: ()})
    assert [one.iaid for one in reply.associations] == [1, 2]
    assert sorted(reply.addresses) == ["fd09::10", "fd09::11"]


def test_what_is_not_to_be_had_is_said(ground):
    ground.serve(RANGE)
    both = ground.client()
    both.lease(wanted={1: (), 2: ()})
    other = ground.client(ground.second)
    assert "NoAddrsAvail" in other.solicit().statuses
    with pytest.raises(AssertionError, match=r"c2 is to get an address by DHCPv6, and gets: REPLY \(NoAddrsAvail"):
        other.lease()
    assert both.decline().statuses[0] == "Success"
    assert both.addresses == ()


def test_that_there_is_no_address_takes_a_control(ground):
    ground.serve("--dhcp-range=fd09::,ra-stateless")
    other = ground.client(ground.second)
    ground.client().no_address(other.information, WHAT)
    with pytest.raises(Inconclusive, match="the proof: the control was not answered"):
        ground.client().no_address(other.lease, WHAT)
    ground.serve(RANGE)
    with pytest.raises(AssertionError, match="the proof: c1 was given fd09::1"):
        ground.client().no_address(other.information, WHAT)


def test_information_is_asked_for_without_an_address(ground):
    ground.serve("--dhcp-range=fd09::,ra-stateless", "--dhcp-option=option6:23,[fd09::53]")
    reply = ground.client().information(parameters=(messages6.DNS_SERVERS,))
    assert (reply.dns_servers, reply.addresses) == (("fd09::53",), ())


def test_a_silence_takes_a_control(ground):
    ground.serve("--dhcp-range=fd09::,ra-only")
    ground.client().no_answer(ground.advertised, WHAT)
    with pytest.raises(Inconclusive, match="the proof: the control was not answered"):
        ground.client().no_answer(lambda: ground.client(ground.second).solicit(limit=0.5), WHAT)
    ground.serve("--dhcp-range=fd09::,ra-stateless")
    with pytest.raises(AssertionError, match="the proof: c1 sent INFORMATION-REQUEST, and got REPLY"):
        ground.client().no_answer(ground.advertised, WHAT, kind="INFORMATION-REQUEST", wanted={})
    ground.serve("--dhcp-range=fd09::,ra-only")
    with pytest.raises(AssertionError, match="c1 sent SOLICIT of DHCPv6, and nobody answered"):
        ground.client().solicit(limit=0.5)


def test_rubbish_is_sent_as_it_is(ground):
    client = ground.client()
    mark = len(ground.second.record)
    client.send_raw(b"\x01\x02")
    ground.second.receive()
    sent = [parse(one.data) for one in ground.second.record[mark:]]
    found = [one for one in sent if one.dport == 547]
    assert [(one.payload, one.destination, one.sport) for one in found] == [(b"\x01\x02", "ff02::1:2", 546)]
    assert messages6.read(found[0]) is None


def test_messages_are_read_as_far_as_they_go():
    duid = bytes(10)
    inner = messages6.encoded([(messages6.STATUS, b"\x00\x03no"), (messages6.IA_ADDRESS, b"short")])
    payload = messages6.message(
        "REPLY",
        0x123456,
        [(messages6.SERVER_ID, duid), (messages6.IA_NA, bytes(12) + inner), (messages6.STATUS, b"\0")],
    )

    def come(data):
        frame = packets.ether(
            "02:00:00:00:00:01", "02:00:00:00:00:02", packets.udp("fe80::1", "fe80::2", 547, 546, data)
        )
        return messages6.read(parse(frame))

    found = come(payload)
    assert (found.kind, found.transaction, found.server_id, found.client_id) == ("REPLY", 0x123456, duid, None)
    assert found.statuses == ("NoBinding",)
    assert messages6.is_intact(found)
    assert str(found) == "REPLY (NoBinding)"
    for end in range(4, len(payload)):
        assert come(payload[:end]).kind == "REPLY"
    assert come(payload[:3]) is None
    assert messages6.search_list(b"\x01a\x01b\x00\x00\x00\x01c\x00") == ("a.b", "c")
    with pytest.raises(AssertionError, match="domains to look names up in are not whole"):
        messages6.search_list(b"\x05a")
    assert messages6.name("pc.example") == (39, b"\x01\x02pc\x07example")


# -- router advertisements --------------------------------------------------------------------------------


def test_an_advertisement_is_read_with_all_that_is_in_it(ground):
    ground.serve(
        "--enable-ra",
        "--dhcp-range=fd09::10,fd09::20,64,2h",
        f"--ra-param={BRIDGE},mtu:1400,high,60,1200",
        f"--dhcp-option=option6:dns-server,[{SERVER}],[fd09::53]",
        "--dhcp-option=option6:domain-search,a.example,b.example",
    )
    found = ground.advertised()
    assert found.is_intact
    assert found.source.startswith("fe80::")
    assert found.source_mac == found.mac == ground.net.look.mac(BRIDGE)
    assert (found.managed, found.other, found.lifetime, found.preference) == (True, True, 1200, "high")
    assert found.prefixes == (Prefix("fd09::/64", True, False, 7200, 7200),)
    assert (found.mtu, found.rdnss, found.dnssl) == (1400, (SERVER, "fd09::53"), ("a.example", "b.example"))
    assert found.rdnss_lifetime
    assert found.dnssl_lifetime
    assert "flags MO, prefixes fd09::/64 L" in str(found)


def test_who_asks_without_an_address_is_answered_for_all(ground):
    ground.serve("--dhcp-range=fd09::,ra-stateless", f"--ra-param={BRIDGE},mtu:off,0,0")
    found = ground.advertised(anonymous=True)
    assert found.destination == advertisements.NODES
    assert (found.managed, found.other, found.preference, found.mtu) == (False, True, "medium", None)
    assert found.prefixes[0][:3] == ("fd09::/64", True, True)
    # What is for all came to the other guest as well.
    unsolicited(ground.net, ground.first, what=WHAT)


def test_what_has_not_come_is_missed_with_what_has(ground):
    ground.serve("--dhcp-range=fd09::,ra-only")
    ground.net.arrival_limit = 0.5
    ground.advertised(anonymous=True)
    with pytest.raises(AssertionError, match=r"no such advertisement came to c1, but from fe80::.*, flags none, .*L A"):
        unsolicited(ground.net, ground.first, what=WHAT, wanted=lambda one: one.lifetime == 7)
    # It says so from time to time without being asked as well.
    ground.stop()
    ground.first.receive()
    with pytest.raises(AssertionError, match="no such advertisement came to c1, but none at all"):
        unsolicited(ground.net, ground.first, what=WHAT, wanted=lambda one: one.lifetime == 7)


def test_that_nobody_advertises_takes_a_control(ground):
    ground.serve(RANGE)
    other = ground.client(ground.second)
    none_solicited(ground.net, ground.first, control=other.solicit, what=WHAT)
    ground.net.arrival_limit = 0.5
    with pytest.raises(AssertionError, match="the proof: c1 asked for a router, and none advertised itself"):
        ground.advertised(ground.first)
    with pytest.raises(Inconclusive, match="the proof: the control was not answered"):
        none_solicited(ground.net, ground.first, control=lambda: ground.advertised(), what=WHAT)
    ground.net.arrival_limit = 5
    ground.serve("--enable-ra", RANGE)
    with pytest.raises(AssertionError, match="the proof: c1 got a router advertisement from fe80::"):
        none_solicited(ground.net, ground.first, control=other.solicit, what=WHAT)


# -- kernels that take them in ----------------------------------------------------------------------------


def test_a_guests_kernel_asks_for_a_router_and_makes_an_address(ground):
    ground.serve("--dhcp-range=fd09::,ra-only")
    slaac.ask(ground.first)
    address = slaac.address(ground.net, ground.first, "fd09::/64", what=WHAT)
    assert address in slaac.addresses(ground.first)
    slaac.until_default_route(ground.net, ground.first, what=WHAT)
    ground.net.reaches(ground.first, address, ground.net, SERVER, what=WHAT)


def test_a_guests_kernel_takes_in_what_is_for_all(ground):
    ground.serve("--dhcp-range=fd09::,ra-only", f"--ra-param={BRIDGE},0,0")
    slaac.accept(ground.second)
    ground.advertised(anonymous=True)
    slaac.address(ground.net, ground.second, "fd09::/64", what=WHAT)
    assert not slaac.has_default_route(ground.second)
    ground.net.arrival_limit = 0.1
    with pytest.raises(AssertionError, match=r"the proof: c2 makes no address of fd0a::/64, and has \['fd09::"):
        slaac.address(ground.net, ground.second, "fd0a::/64", what=WHAT)
    with pytest.raises(AssertionError, match="the proof: c2 has no default route"):
        slaac.until_default_route(ground.net, ground.second, what=WHAT)
    slaac.until_default_route(ground.net, ground.second, there=False, what=WHAT)
