"""The proofs by conversations and by streams, judged by rules that are written by hand."""

import pytest
from hand_rules import DROPS, OPEN, REJECTS, SHUT, WHAT, ends, families, load, missed, rules, topo

from conformance.errors import Inconclusive, SuiteError
from conformance.topology.routed import Flow

__all__ = ["topo"]


# -- conversations ------------------------------------------------------------------------------------


@ends
@families
@pytest.mark.parametrize("protocol", ["udp", "tcp", "icmp"])
def test_kernels_talk(topo, ends, family, protocol):
    flow = Flow(*ends, protocol, OPEN, family=family)
    talk = topo.talks(flow, what=WHAT)
    assert talk.peer == topo.settled(flow).source
    assert topo.talks(flow.but(sport=4321), what=WHAT).peer_port == (0 if protocol == "icmp" else 4321)
    with pytest.raises(AssertionError, match="talks"):
        topo.does_not_talk(flow, control=Flow(*ends, "udp", OPEN + 1, family=family), what=WHAT)


@ends
@families
@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_kernels_do_not_talk(stack, topo, ends, family, protocol):
    rules(stack, DROPS, REJECTS)
    for port in (SHUT, 7002):
        shut = Flow(*ends, protocol, port, family=family)
        topo.does_not_talk(shut, control=shut.but(dport=OPEN), what=WHAT)
        with missed(stack, Inconclusive, "the control"):
            topo.does_not_talk(shut, control=shut, what=WHAT)
        with missed(stack, AssertionError, "does not talk"):
            topo.talks(shut, what=WHAT)


def test_an_answer_that_does_not_come_back_is_no_talk(stack, topo):
    load(
        stack,
        "table inet hand { chain forward { type filter hook forward priority 0;"
        " udp sport 7001 drop; tcp sport 7001 drop; icmp type echo-reply drop; }; }",
    )
    for protocol in ("udp", "tcp", "icmp"):
        shut = Flow("a", "b", protocol, SHUT)
        topo.does_not_talk(shut, control=Flow("a", "b", "udp", OPEN), what=WHAT)
        with missed(stack, AssertionError, "does not talk"):
            topo.talks(shut, what=WHAT)


def test_a_guest_that_is_not_asked_to_talk_says_nothing(topo):
    control = Flow("b", "a")
    for protocol in ("udp", "tcp", "icmp"):
        for family in (4, 6):
            flow = Flow("a", "b", protocol, family=family)
            assert topo.answer(flow, control=control, what=WHAT) is None
            with topo.awake("b"):
                answer = topo.answer(flow, control=control, what=WHAT)
            assert answer is not None
            assert topo.answer(flow, control=control, what=WHAT) is None


@families
def test_a_connection_lives_until_somebody_ends_it(topo, family):
    with topo.connected(Flow("a", "b", "tcp", OPEN, family=family), what=WHAT) as connection:
        assert connection.peer == topo.address("a", family)
        connection.exchange(what=WHAT)
        for sender in (True, False):
            for ahead in (1 << 30, -(1 << 30)):
                connection.inject(connection.segment("R", sender=sender, ahead=ahead), sender=sender)
                connection.exchange(what=WHAT)
        connection.inject(connection.segment("R"))
        with pytest.raises(AssertionError, match=r"is cut on the way|has ended on the way"):
            connection.exchange(what=WHAT)


@ends
def test_a_connection_is_cut(stack, topo, ends):
    flow = Flow(*ends, "tcp", OPEN)
    with topo.connected(flow, what=WHAT) as connection:
        connection.exchange(what=WHAT)
        with pytest.raises(AssertionError, match="is not cut"):
            connection.is_cut(control=flow.but(dport=OPEN + 1), what=WHAT)
    with topo.connected(flow, what=WHAT) as connection:
        connection.exchange(what=WHAT)
        rules(stack, "tcp dport 7000 drop; tcp sport 7000 drop; tcp dport 7001 drop;")
        with missed(stack, AssertionError, "is cut on the way there"):
            connection.exchange(what=WHAT)
        with missed(stack, Inconclusive, "the control"):
            connection.is_cut(control=flow.but(dport=SHUT), what=WHAT)
        connection.is_cut(control=flow.but(dport=OPEN + 2), what=WHAT)
    with missed(stack, AssertionError, "does not connect"), topo.connected(flow, what=WHAT):
        pass


# -- streams ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fresh", [False, True])
@ends
def test_streams_that_must_pass_and_must_not(stack, topo, ends, fresh):
    rules(stack, DROPS)
    passing, shut = Flow(*ends, "udp", OPEN), Flow(*ends, "udp", SHUT)
    with topo.streaming(passing=[passing, passing.but(family=6)], stopped=[shut], fresh=fresh, what=WHAT) as streams:
        before = streams.sent(passing)
        assert before >= 20
        streams.more()
        assert streams.sent(passing) >= before + 20
    assert streams.arrived(passing)[: before + 40] == list(range(1, before + 41))
    assert streams.arrived(shut) == []
    assert streams.sent(shut) >= before


def test_streams_of_which_something_leaks(stack, topo):
    rules(stack, DROPS)

    def leaking():
        with topo.streaming(passing=[Flow(dport=OPEN)], stopped=[Flow(dport=SHUT)], what=WHAT) as streams:
            stack.run("nft", "flush", "ruleset")
            streams.more(5)
            rules(stack, DROPS)

    with pytest.raises(AssertionError, match=r"packets of the stream .* have leaked"):
        leaking()


def test_streams_of_which_something_is_lost(stack, topo):
    def losing():
        with topo.streaming(passing=[Flow(dport=OPEN)], what=WHAT) as streams:
            rules(stack, "udp dport 7000 drop;")
            streams.more(5)
            stack.run("nft", "flush", "ruleset")

    with pytest.raises(AssertionError, match=r"packets of the stream .* were lost: \d+"):
        losing()
    with missed(stack, AssertionError, "were lost"), topo.streaming(passing=[Flow(dport=OPEN)], what=WHAT):
        rules(stack, "udp dport 7000 drop;")


def test_a_stream_of_which_something_is_doubled(stack, topo):
    def doubling():
        with topo.streaming(passing=[Flow()], what=WHAT) as streams:
            load(stack, "table ip hand { chain f { type filter hook forward priority 0; dup to 10.0.2.2; }; }")
            streams.more(5)

    with pytest.raises(AssertionError, match="were doubled"):
        doubling()


def test_a_stream_that_must_not_pass_has_a_fence(stack, topo):
    with (
        pytest.raises(SuiteError, match="no passing stream"),
        topo.streaming(passing=[Flow("a", "c")], stopped=[Flow("a", "b")], what=WHAT),
    ):
        pass
    rules(stack, "udp dport 7000 drop; udp dport 7001 drop;")
    with (
        missed(stack, AssertionError, "lost"),
        topo.streaming(passing=[Flow(dport=OPEN)], stopped=[Flow(dport=SHUT)], what=WHAT),
    ):
        pass


def test_other_proofs_can_be_made_while_streams_run(stack, topo):
    rules(stack, DROPS)
    with topo.streaming(passing=[Flow(dport=OPEN)], what=WHAT) as streams:
        for _ in range(5):
            topo.passes(Flow(dport=OPEN), what=WHAT)
            topo.stops(Flow(dport=SHUT), control=Flow(dport=OPEN), what=WHAT)
            topo.talks(Flow(protocol="tcp", dport=OPEN), what=WHAT)
        streams.more(1)


def test_an_exception_in_the_middle_of_streams_ends_them(topo):
    with pytest.raises(ZeroDivisionError), topo.streaming(passing=[Flow()], what=WHAT):
        raise ZeroDivisionError
