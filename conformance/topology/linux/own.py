"""The sandbox's own end on Linux: raw sockets.

They see what has passed the rules for input (ip_local_deliver_finish), and what they send goes by the rules for output.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import struct

from conformance.topology import packets
from conformance.topology.frames import Captured, Frame
from conformance.topology.linux.endpoints import LinuxStack

_HEADER = 14
_ROOM = 1 << 22


class OwnEnd:
    """Raw sockets of a stack, and a port that is open."""

    def __init__(self, stack: LinuxStack, protocol: int, address: str, port: int) -> None:
        """Open the sockets.

        Raises:
            OSError: the address is not one of the stack, or the port is in use.
        """
        self.name = "host"
        self.mac = "00:00:00:00:00:00"
        self.record: list[Captured] = []
        self._protocol, self._address, self._port = protocol, address, port
        self._sockets = contextlib.ExitStack()
        self._is_open = True
        self._readable = self._sockets.enter_context(select.epoll())
        self._is_six = ":" in address
        try:
            self._open(stack)
        except BaseException:
            self._sockets.close()
            raise

    def _open(self, stack: LinuxStack) -> None:
        family = socket.AF_INET6 if self._is_six else socket.AF_INET
        self._port_socket: socket.socket | None = None
        if self._port and self._protocol == packets.UDP:
            self._port_socket = self._sockets.enter_context(stack.datagram_socket(self._address, self._port))
            self._port_socket.setblocking(False)
        if self._port and self._protocol == packets.TCP:
            self._sockets.enter_context(stack.stream_socket(self._address, self._port)).listen(64)
        with stack.entered():
            self._seeing = self._sockets.enter_context(socket.socket(family, socket.SOCK_RAW, self._protocol))
            # What is sent by a socket of this protocol has its header with it, IPv6's as well (raw(7)).
            self._sending = self._sockets.enter_context(socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW))
        self._seeing.setblocking(False)
        self._seeing.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)
        if self._is_six:
            self._seeing.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        self._seeing.bind((self._address, 0))
        self._readable.register(self._seeing, select.EPOLLIN)

    def fileno(self) -> int:
        """Return what to wait on for packets."""
        return self._readable.fileno()

    def send(self, frame: Frame) -> None:
        """Send the packet that is in a frame; one that the rules for output do not let out is lost."""
        self.record.append(Captured.now(frame.data, sent=True))
        data = frame.data[_HEADER:]
        destination = packets.parse(frame.data).destination
        try:
            self._sending.sendto(data, (destination, 0))
        except OSError as error:
            # What a rule has dropped on its way out is EPERM for the sender; for what was rejected others are possible.
            if error.errno not in (
                errno.EPERM,
                errno.EACCES,
                errno.ECONNREFUSED,
                errno.EHOSTUNREACH,
                errno.ENETUNREACH,
            ):
                raise

    def receive(self) -> list[bytes]:
        """Return the packets that have arrived, each in a frame."""
        seen: list[bytes] = []
        if not self._is_open:
            return seen
        self._empty_port()
        while True:
            try:
                data, ancillary, _, sender = self._seeing.recvmsg(1 << 16, socket.CMSG_SPACE(4))
            except BlockingIOError:
                break
            except OSError:
                # An error that an ICMP message has told of.
                continue
            if self._is_six:
                # struct cmsghdr's data: the hop limit as an int.
                hops = next((struct.unpack("=i", value)[0] for *_, value in ancillary), 64)
                data = packets.ip(sender[0].partition("%")[0], self._address, self._protocol, data, ttl=hops)
            frame = packets.ether(self.mac, self.mac, data)
            if not self._port or packets.parse(frame).dport == self._port:
                seen.append(frame)
        self.record += (Captured.now(data) for data in seen)
        return seen

    def _empty_port(self) -> None:
        while self._port_socket is not None:
            try:
                self._port_socket.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:
                continue

    def shut(self) -> None:
        """Close the sockets."""
        self.receive()
        self._is_open = False
        self._sockets.close()
