"""The proofs that specs of firewalls are made of, judged by rules that are written by hand.

Each has to hold where the packets pass, to fail where they do not, and to be inconclusive where its control is lost.
"""

import contextlib

import pytest
from hand_rules import DROPS, OPEN, REJECTS, SHUT, WHAT, ends, families, load, missed, rules, topo

from conformance import features
from conformance.errors import Inconclusive, SuiteError
from conformance.oracles.state import difference
from conformance.topology import packets
from conformance.topology.packets import Checksum
from conformance.topology.routed import HOST, Bridged, Flow, Routed

__all__ = ["topo"]

# -- packets ------------------------------------------------------------------------------------------


@ends
@families
@pytest.mark.parametrize("protocol", ["udp", "tcp", "icmp", 253])
def test_what_passes_arrives_once_as_it_was_sent(topo, ends, family, protocol):
    flow = Flow(*ends, protocol, OPEN, sport=5000, family=family)
    packet = topo.passes(flow, what=WHAT)
    settled = topo.settled(flow)
    assert (packet.source, packet.destination) == (settled.source, settled.destination)
    assert packet.ttl == (63 if ends == ("a", "b") else 64)
    if protocol in ("udp", "tcp"):
        assert (packet.sport, packet.dport, packet.checksum) == (5000, OPEN, Checksum.GOOD)


@ends
@families
@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_what_is_dropped_does_not_pass(stack, topo, ends, family, protocol):
    rules(stack, DROPS)
    shut = Flow(*ends, protocol, SHUT, family=family)
    control = shut.but(dport=OPEN)
    topo.stops(shut, control=control, what=WHAT)
    with missed(stack, AssertionError, r"the proof: .* did not arrive at"):
        topo.passes(shut, what=WHAT)
    with pytest.raises(AssertionError, match="got it"):
        topo.stops(control, control=control, what=WHAT)


@ends
def test_without_its_control_a_silence_proves_nothing(stack, topo, ends):
    rules(stack, DROPS)
    shut = Flow(*ends, "udp", SHUT)
    with missed(stack, Inconclusive, "the control"):
        topo.stops(shut, control=shut, what=WHAT)
    with missed(stack, Inconclusive, "the fence"):
        topo.passes(shut.but(dport=OPEN), fence=shut, what=WHAT)
    if ends[0] != HOST:
        to_sender = Flow("c", ends[0], dport=SHUT)
        with missed(stack, Inconclusive, "the control"):
            topo.answer(shut, control=to_sender, what=WHAT)


def test_a_packet_that_arrives_twice_is_no_pass(stack, topo):
    load(
        stack,
        "table ip hand { chain forward { type filter hook forward priority 0; ip daddr 10.0.2.2 dup to 10.0.2.2; }; }",
    )
    with pytest.raises(AssertionError, match="got 2"):
        topo.passes(Flow("a", "b"), what=WHAT)


def test_a_control_has_to_have_the_same_receiver(topo):
    with pytest.raises(SuiteError, match="another receiver"):
        topo.stops(Flow("a", "b"), control=Flow("a", "c"), what=WHAT)
    with pytest.raises(SuiteError, match="does not go to a"):
        topo.answer(Flow("a", "b"), control=Flow("a", "b"), what=WHAT)
    with pytest.raises(SuiteError, match="no guest d"):
        topo.passes(Flow("a", "d"), what=WHAT)


def test_a_topology_of_one_family_refuses_the_other(stack):
    topo = Routed(stack, families=(4,))
    assert list(topo.guests) == ["a", "b"]
    topo.passes(Flow(), what=WHAT)
    with pytest.raises(SuiteError, match="no IPv6"):
        topo.passes(Flow(family=6), what=WHAT)


def test_addresses_of_others_and_other_ways_are_sent_as_they_are_said(topo):
    flow = Flow("a", "b", source="198.51.100.7", ttl=9, source_mac="02:00:00:00:00:99", sport=4242)
    packet = topo.passes(flow, what=WHAT)
    assert (packet.source, packet.sport, packet.ttl) == ("198.51.100.7", 4242, 8)


def test_translated_packets_are_seen_as_they_arrive(stack, topo):
    load(
        stack,
        "table ip hand { chain post { type nat hook postrouting priority 100; oifname p-b masquerade; };"
        " chain pre { type nat hook prerouting priority -100; tcp dport 8080 dnat to 10.0.2.2:80;"
        " udp dport 8081 redirect to :5353; }; }",
    )
    packet = topo.passes(Flow("a", "b", "tcp", 8080, destination="10.0.1.1"), what=WHAT)
    assert (packet.source, packet.destination, packet.dport) == ("10.0.2.1", "10.0.2.2", 80)
    packet = topo.passes(
        Flow("a", HOST, "udp", 8081, destination="192.0.2.9", listen="10.0.1.1", listen_port=5353), what=WHAT
    )
    assert (packet.destination, packet.dport) == ("10.0.1.1", 5353)
    talk = topo.talks(Flow("a", "b", "tcp", 8080, destination="10.0.1.1", listen_port=80), what=WHAT)
    assert talk.peer == "10.0.2.1"
    # A client reaches its own port by the router's address.
    load(stack, "flush chain ip hand post; add rule ip hand post oifname p-a masquerade")
    load(stack, "add rule ip hand pre tcp dport 8082 dnat to 10.0.1.2:80")
    talk = topo.talks(Flow("a", "a", "tcp", 8082, destination="10.0.2.1", listen_port=80), what=WHAT)
    assert talk.peer == "10.0.1.1"


@families
def test_what_the_router_answers_is_told(stack, topo, family):
    rules(stack, REJECTS, DROPS)
    control = Flow("b", "a", family=family)
    reset = topo.answer(Flow("a", "b", "tcp", 7002, family=family), control=control, what=WHAT)
    assert (reset.protocol, reset.flags) == (packets.TCP, "RA")
    refusal = topo.answer(Flow("a", "b", "udp", 7002, family=family), control=control, what=WHAT)
    assert (refusal.icmp_type, refusal.icmp_code) == ((3, 3) if family == 4 else (1, 4))
    assert topo.answer(Flow("a", "b", "udp", SHUT, family=family), control=control, what=WHAT) is None
    assert topo.answer(Flow("a", "b", "udp", OPEN, family=family), control=control, what=WHAT) is None
    late = topo.answer(Flow("a", "b", "udp", OPEN, family=family, ttl=1), control=control, what=WHAT)
    assert late.icmp_type == packets.TIME_EXCEEDED[family == 6]


@families
def test_the_host_is_told_that_what_it_sends_is_rejected(stack, topo, family):
    rules(stack, REJECTS)
    control = Flow("a", HOST, family=family)
    refusal = topo.answer(Flow(HOST, "a", "udp", 7002, family=family), control=control, what=WHAT)
    assert (refusal.icmp_type, refusal.icmp_code) == ((3, 3) if family == 4 else (1, 4))
    assert topo.answer(Flow(HOST, "a", "udp", OPEN, family=family), control=control, what=WHAT) is None


def test_as_many_errors_are_sent_as_there_are_reasons(stack, topo):
    rules(stack, REJECTS)
    for family in (4, 6):
        for _ in range(40):
            assert topo.answer(Flow("a", "b", "udp", 7002, family=family), control=Flow("b", "a"), what=WHAT)


@families
def test_fragments_are_one_packet(stack, topo, family):
    def craft(token):
        whole = packets.udp(topo.address("a", family), topo.address("b", family), 5000, OPEN, token * 20)
        return packets.fragments(whole, 320)

    flow = Flow("a", "b", family=family, craft=craft)
    packet = topo.passes(flow, what=WHAT)
    assert (packet.dport, len(packet.payload), packet.checksum) == (OPEN, 640, Checksum.GOOD)
    load(stack, "table inet hand { chain forward { type filter hook forward priority 0; udp dport 7000 drop; }; }")
    # Without connection tracking nobody puts fragments together: those behind the first have no port.
    with pytest.raises(AssertionError, match="got it"):
        topo.stops(flow, control=Flow("a", "b", dport=OPEN + 5, family=family), what=WHAT)
    load(stack, "add chain inet hand pre { type filter hook prerouting priority 0; ct state invalid drop; }\n")
    topo.stops(flow, control=Flow("a", "b", dport=OPEN + 5, family=family), what=WHAT)


def test_a_kernels_own_datagram_has_a_partial_checksum_until_it_is_filled_in(stack, topo):
    flow = Flow(HOST, "a", "udp", 68, sport=67)
    assert topo.datagram(flow, what=WHAT).checksum is Checksum.PARTIAL
    stack.run(
        "iptables",
        "-t",
        "mangle",
        "-A",
        "POSTROUTING",
        "-p",
        "udp",
        "--dport",
        "68",
        "-j",
        "CHECKSUM",
        "--checksum-fill",
    )
    packet = topo.datagram(flow, what=WHAT)
    assert (packet.checksum, packet.sport, packet.dport) == (Checksum.GOOD, 67, 68)
    rules(stack, DROPS)
    with missed(stack, AssertionError, "did not arrive"):
        topo.datagram(flow.but(dport=SHUT), what=WHAT)


# -- bridged ------------------------------------------------------------------------------------------


@pytest.fixture
def bridged(stack):
    stack.arrival_limit = 60.0
    return Bridged(stack, "a", "b", "c")


@ends
@families
def test_packets_pass_a_bridge(bridged, ends, family):
    for protocol in ("udp", "tcp", "icmp", 253):
        packet = bridged.passes(Flow(*ends, protocol, family=family), what=WHAT)
        assert packet.ttl == 64
    for protocol in ("udp", "tcp", "icmp"):
        bridged.talks(Flow(*ends, protocol, family=family), what=WHAT)


def test_frames_of_layer_2_are_proven_like_packets(stack, bridged):
    mac = bridged.guests["a"].mac

    def asking(token):
        return packets.arp(1, mac, bridged.address("a"), bridged.address("b"), trailer=token)

    ask = Flow("a", "b", craft_frames=asking)
    seen = bridged.passes(ask, what=WHAT)
    assert (seen.arp, seen.sender_mac) == (1, mac)
    tagged = bridged.passes(Flow("a", "b", vlan=7), what=WHAT)
    assert tagged.vlans == (7,)
    load(
        stack,
        "table bridge hand { chain forward { type filter hook forward priority 0; arp operation request drop; }; }",
    )
    bridged.stops(ask, control=Flow("a", "b"), what=WHAT)
    with missed(stack, AssertionError, "did not arrive"):
        bridged.passes(ask, what=WHAT)
    bridged.does_not_talk(Flow("a", "b"), control=Flow("a", HOST), what=WHAT)


def test_bridged_packets_meet_the_rules_for_routed_ones_only_if_they_are_to(stack, bridged):
    shut = Flow("a", "b", dport=SHUT)
    stack.run("iptables", "-A", "FORWARD", "-p", "udp", "--dport", str(SHUT), "-j", "DROP")
    bridged.passes(shut, what=WHAT)
    stack.filter_bridges()
    bridged.stops(shut, control=shut.but(dport=OPEN), what=WHAT)


def test_a_bridge_can_be_filtered_from_the_start(stack):
    topo = Bridged(stack, filtered=True)
    stack.run("iptables", "-A", "FORWARD", "-p", "udp", "--dport", str(SHUT), "-j", "DROP")
    topo.stops(Flow(dport=SHUT), control=Flow(dport=OPEN), what=WHAT)


def test_whether_bridges_can_be_filtered_is_found_out_beforehand(stack):
    if features.lacking(features.FILTERED_BRIDGES):
        with pytest.raises(SuiteError, match="br_netfilter"):
            stack.filter_bridges()
    else:
        stack.filter_bridges()
        assert stack.look.state().sections["setting"]["net/bridge/bridge-nf-call-iptables"] == "1"


# -- what is left -------------------------------------------------------------------------------------


@pytest.mark.parametrize("topology", [Routed, Bridged])
def test_a_topology_leaves_nothing(stack, topology):
    before, held = stack.look.state(), stack.look.process_state()
    topo = topology(stack)
    topo.passes(Flow(), what=WHAT)
    topo.talks(Flow("a", HOST, "tcp"), what=WHAT)
    with topo.streaming(passing=[Flow("a", HOST)], what=WHAT):
        pass
    with topo.connected(Flow(HOST, "a", "tcp"), what=WHAT) as connection:
        connection.exchange(what=WHAT)
    captures = stack.captures()
    assert {"a", "b", "host"} <= captures.keys()
    assert captures["host"], "what the sandbox's own ends saw is evidence as well"
    stack.remove_endpoints()
    assert difference(before, stack.look.state()) == []
    assert difference(held, stack.look.process_state()) == []


def test_a_flow_says_what_it_is():
    assert str(Flow("a", "b", "tcp", 22)) == "a > b tcp (IPv4) to port 22"
    assert str(Flow("a", HOST, 47, family=6, source="fd00::9")) == "a > host protocol 47 (IPv6), from fd00::9"
    with pytest.raises(SuiteError, match="source port"):
        Flow().back()
    back = Flow("a", "b", "tcp", 22, sport=5000, destination="192.0.2.1").back()
    assert (back.sender, back.receiver, back.sport, back.dport, back.flags) == ("b", "a", 22, 5000, "SA")
    assert back.source == "192.0.2.1"
    with pytest.raises(SuiteError, match="flows are of"):
        _ = Flow(protocol="sctp").number


def test_answers_of_a_tracked_connection_pass(stack, topo):
    load(
        stack,
        "table inet hand { chain forward { type filter hook forward priority 0; policy drop;"
        " ct state established,related accept; iifname p-a udp dport 7000 accept; }; }",
    )
    there = Flow("a", "b", "udp", OPEN, sport=5000)
    control = Flow("b", "a", craft=lambda token: packets.udp("10.0.2.2", "10.0.1.2", OPEN, 5000, token))
    topo.passes(there, what=WHAT)
    topo.passes(there.back(), what=WHAT)
    topo.stops(there.back(dport=5001), control=control, what=WHAT)
    entries = stack.connections("10.0.2.2")
    assert len(entries) == 1
    assert "sport=5000" in entries[0]
    assert entries == stack.connections("10.0.1.2")
    assert stack.connections("10.0.1.99") == []

    # An error about what has been sent is related to it; one about what has not is not.
    def error(about_port):
        def craft(token):
            about = packets.udp("10.0.1.2", "10.0.2.2", 5000, about_port, token)
            return packets.icmp_error("10.0.2.2", "10.0.1.2", about, 3, 3)

        return Flow("b", "a", craft=craft)

    seen = topo.passes(error(OPEN), what=WHAT)
    assert (seen.icmp_type, seen.quoted.dport) == (3, OPEN)
    topo.stops(error(OPEN + 1), control=control, what=WHAT)


def test_the_own_end_of_the_sandbox_refuses_an_address_that_is_not_its_own(stack, topo):
    with pytest.raises(OSError):
        stack.own_end(packets.UDP, "10.0.1.2", 53)
    with contextlib.closing(stack.datagram_socket("10.0.1.1", 53)), pytest.raises(OSError):
        stack.own_end(packets.UDP, "10.0.1.1", 53)
