"""Streams of numbered frames, judged by a plain bridge that is made to lose and to double them."""

import pytest

from conformance.topology.frame_streams import streaming


@pytest.fixture
def pair(stack):
    a, b = stack.guest("a"), stack.guest("b")
    stack.plain_bridge("br0", a.port, b.port)
    stack.remove_in_the_end("br0")
    stack.look.rest()
    stack.delivers(b, stack.frame(b, a), a, what="b's first frame")
    # What is to fail shall not take a minute to.
    stack.arrival_limit = 0.25
    return a, b


def test_where_all_arrives_nothing_is_said(stack, pair):
    a, b = pair
    with streaming(stack, (a, b), (b, a), what="the bridge") as streams:
        streams.more()
    assert sum(not one.sent for one in b.record) > 40


def lose_some(stack, pair):
    with streaming(stack, pair, what="the bridge") as streams:
        stack.ip(f"link set dev {pair[1].port} nomaster")
        with pytest.raises(AssertionError, match=r"no longer arrive: none of those after the \d+th, and \d+ were sent"):
            streams.more()
        stack.join("br0", pair[1].port)


def test_what_was_lost_is_told_by_its_numbers(stack, pair):
    with pytest.raises(AssertionError, match=r"the bridge: of \d+ frames from a to b, \d+ were lost: \d+, "):
        lose_some(stack, pair)


def test_what_may_be_lost_has_to_go_on_again(stack, pair):
    with streaming(stack, pair, may_lose=True, what="the bridge") as streams:
        stack.ip(f"link set dev {pair[1].port} down")
        stack.ip(f"link set dev {pair[1].port} up")
        streams.more()
    with (
        pytest.raises(AssertionError, match="the bridge: the frames from a to b no longer arrive"),
        streaming(stack, pair, may_lose=True, what="the bridge"),
    ):
        stack.ip(f"link set dev {pair[1].port} nomaster")


class Twice:
    """An endpoint that sends each frame two times."""

    def __init__(self, endpoint):
        self.name, self.mac = endpoint.name, endpoint.mac
        self._endpoint = endpoint

    def send(self, frame):
        self._endpoint.send(frame)
        self._endpoint.send(frame)


def test_what_arrives_twice_is_told(stack, pair):
    a, b = pair
    with (
        pytest.raises(AssertionError, match=r"of \d+ frames from a to b, \d+ were doubled: 1, 2, "),
        streaming(stack, (Twice(a), b), what="the bridge"),
    ):
        pass
