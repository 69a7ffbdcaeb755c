"""What no client sends, and what a server has to bear all the same."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.harness import DhcpUnderTest
from conformance.spec import spec
from conformance.specs.dhcp.told import POOL, given
from conformance.topology import packets
from conformance.topology.dhcp.segment import Segment
from conformance.topology.frames import BROADCAST, Frame
from conformance.topology.sandbox import Sandbox
from refnet.dhcp import Capability

#: Octets of IP and UDP headers, before the message; where its options begin (RFC 2131, figure 1); and the largest that
#: an Ethernet frame carries.
_HEADERS, _OPTIONS, _LARGEST = 28, 240, 1500 - 28
#: Messages that a server's socket holds before it reads them (FreeBSD: 42080 octets).
_AT_ONCE = 20
_COOKIE = bytes.fromhex("63825363")


def _wrong(right: bytes) -> Iterator[bytes]:
    """Make messages that are wrong, each in one way, out of a right one."""
    head, end = right[:_OPTIONS], b"\xff"
    yield b""
    for length in (1, 4, 27, 28, 44, 236, 239, 240, 241, 243):
        yield right[:length]
    yield head[:236] + b"\x63\x82\x53\x64" + right[_OPTIONS:]
    # The message's kind: none, reply, unknown; the hardware, and the length of its address: none, others; hops.
    for at, values in ((0, (0, 2, 3, 255)), (1, (0, 6, 32, 255)), (2, (0, 1, 16, 17, 255)), (3, (16, 255))):
        for value in values:
            yield right[:at] + bytes([value]) + right[at + 1 :]
    # Options (RFC 2132): the message's kind of no octets, of several, or of no known value; none at all; lengths beyond
    # the end; no end; nothing but padding; each option empty, and with 255 octets.
    yield head + bytes([53, 0]) + end
    yield head + bytes([53, 3, 1, 1, 1]) + end
    for kind in (0, 9, 18, 255):
        yield head + bytes([53, 1, kind]) + end
    yield head + end
    for length in (1, 2, 200, 255):
        yield right[:-1] + bytes([61, length])
        yield right[:-1] + bytes([12, length, 65])
        yield right[:-1] + bytes([82, length, 1, 255, 65])
        yield right[:-1] + bytes([55, length, 1])
    yield right[:-1]
    yield (right[:-1] + bytes(_LARGEST))[:_LARGEST]
    for code in range(1, 255):
        yield right[:-1] + bytes([code, 0]) + end
        yield right[:-1] + bytes([code, 255]) + b"\xa5" * 255 + end
    # RFC 2132, 9.3, option overload: the options go on in fields that have an option beyond their end.
    for where in range(5):
        full = bytes([12, 255]) + b"x" * 62 + bytes([12, 255]) + b"y" * 126
        yield head[:44] + full + _COOKIE + bytes([53, 1, 1, 52, 1, where]) + end


@spec(
    "DH-27",
    "Messages that are cut off, contradict themselves or are mere noise do no harm: the same server goes on to "
    "give leases.",
    capability=Capability.DHCP,
)
def test_malformed(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    s = Segment(net)
    dhcp.start(s.network(ranges=POOL))
    before = dhcp.running(s.device)
    enemy, client = s.guest("enemy"), s.client()
    right = packets.dhcp(enemy.mac)[_HEADERS:]
    noise = [net.random.randbytes(net.random.randrange(_LARGEST)) for _ in range(100)]
    behind_cookie = [right[:_OPTIONS] + net.random.randbytes(net.random.randrange(300)) for _ in range(200)]
    messages = [*_wrong(right), *noise, *behind_cookie]
    for start in range(0, len(messages), _AT_ONCE):
        for message in messages[start : start + _AT_ONCE]:
            datagram = packets.udp("0.0.0.0", "255.255.255.255", 68, 67, message)  # noqa: S104
            enemy.send(Frame(packets.ether(enemy.mac, BROADCAST, datagram), b""))
        given(client.discover(), what="a client, after malformed messages")
    given(client.lease(), what="a client, after malformed messages")
    after = dhcp.running(s.device)
    assert after.is_running, f"after malformed messages, the server does not run: {after.reason}"
    assert after.pid == before.pid, f"after malformed messages, the server is {after.pid}, and was {before.pid}"
