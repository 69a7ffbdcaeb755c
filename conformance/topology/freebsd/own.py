"""The sandbox's own end on FreeBSD: sockets, and for what these are not shown, bpf(4).

A raw socket sees neither TCP nor ICMP echo requests. Of these, what has passed the rules is told by the stack's own
answer: a packet that was seen to come counts as received when its answer is seen to go.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
from typing import Any

from conformance.topology import packets
from conformance.topology.base import Stack
from conformance.topology.frames import Captured, Frame
from conformance.topology.freebsd import bpf

_HEADER = 14
_ROOM = 1 << 20
#: netinet/in.h, netinet6/in6.h
_IP_RECVTTL, _IPV6_RECVHOPLIMIT = 65, 37
#: The loopback's frames begin with the family, in this machine's order (DLT_NULL), and not with MAC addresses.
_FAMILIES = {socket.AF_INET: packets.IPV4, socket.AF_INET6: packets.IPV6}
_LOST = (errno.EACCES, errno.EPERM, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ECONNREFUSED, errno.EADDRNOTAVAIL)
#: kqueue(2), which is not there where this is checked.
_kernel: Any = select
_NOBODY = "00:00:00:00:00:00"


class OwnEnd:
    """Sockets of this process's stack, and a port that is open; ``devices`` are those that packets can come by."""

    def __init__(self, stack: Stack, devices: list[str], protocol: int, address: str, port: int) -> None:
        """Open the sockets.

        Raises:
            OSError: the address is not one of the stack, or the port is in use.
        """
        self.name = "host"
        self.mac = _NOBODY
        self.record: list[Captured] = []
        self._protocol, self._address, self._port = protocol, address, port
        self._is_six = ":" in address
        self._held = contextlib.ExitStack()
        self._readable = _kernel.kqueue()
        self._held.callback(self._readable.close)
        self._datagrams: socket.socket | None = None
        self._raw: socket.socket | None = None
        #: Descriptors of bpf, and whether each is the loopback's.
        self._wires: dict[int, bool] = {}
        #: What has come by a wire and not been answered yet.
        self._coming: list[tuple[packets.Packet, bytes]] = []
        self._is_open = True
        try:
            self._open(stack, devices)
        except BaseException:
            self._held.close()
            raise

    def _open(self, stack: Stack, devices: list[str]) -> None:
        if self._protocol == packets.UDP and self._port:
            self._datagrams = self._held.enter_context(stack.datagram_socket(self._address, self._port))
            self._wait_on(self._datagrams)
        elif self._protocol == packets.TCP:
            if self._port:
                self._held.enter_context(stack.stream_socket(self._address, self._port)).listen(64)
            self._watch(devices)
        elif self._protocol != packets.UDP:
            self._raw = self._held.enter_context(socket.socket(self._family, socket.SOCK_RAW, self._protocol))
            self._raw.bind((self._address, 0))
            self._wait_on(self._raw)
            if self._protocol == packets.ICMP:
                self._watch(devices)

    @property
    def _family(self) -> socket.AddressFamily:
        return socket.AF_INET6 if self._is_six else socket.AF_INET

    def _wait_on(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)
        if self._is_six:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVHOPLIMIT, 1)
        elif sock.type == socket.SOCK_DGRAM:
            sock.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)
        self._readable.control([_event(sock.fileno())], 0)

    def _watch(self, devices: list[str]) -> None:
        for device in devices:
            wire = bpf.attach(device, both_ways=True)
            self._held.callback(os.close, wire)
            self._wires[wire] = device.startswith("lo")
            self._readable.control([_event(wire)], 0)

    def fileno(self) -> int:
        """Return what to wait on for packets."""
        return int(self._readable.fileno())

    # -- sending --------------------------------------------------------------------------------------

    def send(self, frame: Frame) -> None:
        """Send the packet that is in a frame; one that the rules for output do not let out is lost."""
        self.record.append(Captured.now(frame.data, sent=True))
        data = frame.data[_HEADER:]
        packet = packets.parse(frame.data)
        try:
            if self._is_six:
                self._send_six(data, packet.destination)
            else:
                with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
                    sock.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
                    sock.sendto(data, (packet.destination, 0))
        except OSError as error:
            if error.errno not in _LOST:
                raise

    def _send_six(self, data: bytes, destination: str) -> None:
        """FreeBSD takes no packet with IPv6's header from a program, but all that is behind it, and what is in it."""
        following, hops = data[6], data[7]
        source = socket.inet_ntop(socket.AF_INET6, data[8:24])
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, following) as sock:
            sock.bind((source, 0))
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, hops)
            sock.sendto(data[40:], (destination, 0))

    # -- receiving ------------------------------------------------------------------------------------

    def receive(self) -> list[bytes]:
        """Return the packets that have arrived, each in a frame."""
        seen: list[bytes] = []
        if not self._is_open:
            return seen
        seen += self._received_datagrams()
        seen += self._received_raw()
        for wire, is_loopback in self._wires.items():
            for data in bpf.drain(wire):
                seen += self._on_the_wire(_as_frame(data) if is_loopback else data)
        self.record += (Captured.now(data) for data in seen)
        return seen

    def _received_datagrams(self) -> list[bytes]:
        seen = []
        for data, hops, sender in _all_from(self._datagrams):
            source, port = sender[0].partition("%")[0], sender[1]
            packet = packets.udp(source, self._address, port, self._port, data, ttl=hops)
            seen.append(packets.ether(_NOBODY, _NOBODY, packet))
        return seen

    def _received_raw(self) -> list[bytes]:
        seen = []
        for data, hops, sender in _all_from(self._raw):
            packet = data
            if self._is_six:
                packet = packets.ip(sender[0].partition("%")[0], self._address, self._protocol, data, ttl=hops)
            seen.append(packets.ether(_NOBODY, _NOBODY, packet))
        return seen

    def _on_the_wire(self, frame: bytes) -> list[bytes]:
        """Take in what has come or gone by a wire, and return what is known by it to have been received."""
        packet = packets.parse(frame)
        if packet.protocol != self._protocol or packet.family != (6 if self._is_six else 4):
            return []
        if self._is_answer(packet):
            for at, (asked, data) in enumerate(self._coming):
                there = (asked.source, asked.sport, asked.destination, asked.dport)
                same = there == (packet.destination, packet.dport, packet.source, packet.sport)
                if same and _answered(asked, packet):
                    del self._coming[at]
                    return [data]
            return []
        if self._protocol == packets.ICMP:
            if packet.icmp_type == packets.ECHO_REQUEST[0]:
                self._coming.append((packet, frame))
            return []
        if packet.destination == self._address and self._port not in (0, packet.dport):
            return []
        if not self._port:
            # Nobody answers what comes back to a port that is not open but by a reset, and a reset not at all.
            return [frame] if packet.destination == self._address else []
        self._coming.append((packet, frame))
        return []

    def _is_answer(self, packet: packets.Packet) -> bool:
        if self._protocol == packets.ICMP:
            return packet.icmp_type == packets.ECHO_REPLY[0]
        # A reset could be a rule's answer.
        return bool(self._port) and "A" in packet.flags and "R" not in packet.flags and "S" in packet.flags

    def shut(self) -> None:
        """Close the sockets."""
        self.receive()
        self._is_open = False
        self._held.close()


def _event(descriptor: int) -> Any:
    return _kernel.kevent(descriptor, _kernel.KQ_FILTER_READ, _kernel.KQ_EV_ADD)


def _answered(asked: packets.Packet, answer: packets.Packet) -> bool:
    if asked.protocol == packets.TCP:
        assert asked.seq is not None
        return answer.ack in ((asked.seq + 1) % (1 << 32), (asked.seq + 1 + len(asked.payload)) % (1 << 32))
    return asked.seq == answer.seq


def _all_from(sock: socket.socket | None) -> list[tuple[bytes, int, tuple[str, int]]]:
    """Return all that a socket has: data, hop limit, sender."""
    found: list[tuple[bytes, int, tuple[str, int]]] = []
    while sock is not None:
        try:
            data, ancillary, _, sender = sock.recvmsg(1 << 16, socket.CMSG_SPACE(4))
        except BlockingIOError:
            break
        except OSError:
            # An error that an ICMP message has told of.
            continue
        hops = 64
        for _, _, value in ancillary:
            hops = struct.unpack("=i", value)[0] if len(value) >= 4 else value[0]
        found.append((data, hops, sender))
    return found


def _as_frame(data: bytes) -> bytes:
    (family,) = struct.unpack_from("=I", data)
    return bytes(12) + struct.pack("!H", _FAMILIES.get(family, 0)) + data[4:]
