"""The way to Linux's netfilter by netlink: a socket, requests, and the attributes of answers.

The facts are those of ``netlink(7)`` and ``linux/netfilter/nfnetlink.h``. Answers are read attribute by attribute: a
host has up to millions of connections, and decoding all of each costs more than listing them.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator

from refnet.errors import KernelRefused, NoAnswer, PermissionDenied, RefnetError, Unsupported

NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 1, 4, 0x300
_NLM_F_DUMP_INTR = 0x10
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NETLINK_NETFILTER = 12

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_INT = struct.Struct("=i")
#: ``nfgenmsg``: family, version, resource id. It is at the beginning of each request and answer.
_GENERAL = struct.Struct("=BBH")
_NESTED = 0x8000

_TIME_LIMIT = 30
_RECEIVE_BYTES = 1 << 16
_LACKING = (errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, errno.EOPNOTSUPP, errno.EINVAL)


class Request:
    """One message: its type (subsystem and number), flags, the family it is about, and attributes."""

    __slots__ = ("body", "flags", "type")

    def __init__(self, subsystem: int, number: int, flags: int, family: int = 0, attributes: bytes = b"") -> None:
        """Make it; ``flags`` are NLM_F_ACK or NLM_F_DUMP: each request is to be answered."""
        self.type = subsystem << 8 | number
        self.flags = flags | NLM_F_REQUEST
        self.body = _GENERAL.pack(family, 0, 0) + attributes


def family_of(answer: bytes) -> int:
    """Return the family that an answer is about."""
    return answer[0]


def attributes(data: bytes, offset: int = _GENERAL.size) -> Iterator[tuple[int, bytes]]:
    """Give the attributes of an answer, or with offset 0 of a nested attribute: number and value."""
    while offset + 4 <= len(data):
        length, number = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4:
            return
        yield number & 0x3FFF, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def attribute(number: int, value: bytes, *, nested: bool = False) -> bytes:
    """Encode an attribute."""
    return _ATTRIBUTE.pack(len(value) + 4, number | (_NESTED if nested else 0)) + value + bytes(-len(value) % 4)


class Netfilter:
    """A socket in the network namespace of the calling thread.

    Raises, from each method:
        Unsupported: this kernel has not what is asked for; ``capability`` is what the caller named.
        PermissionDenied: it takes CAP_NET_ADMIN in this network namespace.
        KernelRefused, NoAnswer: what they say.
    """

    def __init__(self, what: str, capability: str) -> None:
        """Open it; ``what`` it is for is said in errors."""
        self._what = what
        self._capability = capability
        #: Whether a list has changed while it was given: something may be missing from it.
        self.interrupted = False
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
        except OSError as error:
            raise self._refused(error.errno) from None
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", _TIME_LIMIT, 0))

    def __enter__(self) -> Netfilter:
        """Return the socket, to be closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._socket.close()

    def answers(self, request: Request) -> Iterator[bytes]:
        """Give the answers to a request, until it has been acknowledged or its list has ended."""
        self._send([request])
        for kind, body in self._messages():
            if kind in (_NLMSG_DONE, _NLMSG_ERROR):
                code = _INT.unpack_from(body)[0] if len(body) >= _INT.size else 0
                if code:
                    raise self._refused(-code)
                return
            yield body

    def acknowledged(self, requests: list[Request]) -> int:
        """Have requests carried out; return how many were, as opposed to those whose object was not there."""
        self._send(requests)
        left, done = len(requests), 0
        for kind, body in self._messages() if requests else ():
            if kind != _NLMSG_ERROR:
                continue
            code = -_INT.unpack_from(body)[0]
            if code not in (0, errno.ENOENT):
                raise self._refused(code)
            done += code == 0
            left -= 1
            if not left:
                break
        return done

    def _send(self, requests: list[Request]) -> None:
        data = b"".join(
            _HEADER.pack(_HEADER.size + len(one.body), one.type, one.flags, 0, 0) + one.body for one in requests
        )
        try:
            self._socket.send(data)
        except OSError as error:
            raise self._refused(error.errno) from None

    def _messages(self) -> Iterator[tuple[int, bytes]]:
        while True:
            try:
                data = self._socket.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                raise NoAnswer(f"{self._what}: no answer within {_TIME_LIMIT} s", errno=errno.ETIMEDOUT) from None
            except OSError as error:
                raise self._refused(error.errno) from None
            offset = 0
            while offset + _HEADER.size <= len(data):
                length, kind, flags, *_ = _HEADER.unpack_from(data, offset)
                self.interrupted |= bool(flags & _NLM_F_DUMP_INTR and kind != _NLMSG_ERROR)
                yield kind, data[offset + _HEADER.size : offset + length]
                offset += (max(length, _HEADER.size) + 3) & ~3

    def _refused(self, number: int | None) -> RefnetError:
        words = os.strerror(number or errno.EIO)
        if number in (errno.EPERM, errno.EACCES):
            return PermissionDenied(
                f"{self._what}: this takes CAP_NET_ADMIN in this network namespace", errno=number, detail=words
            )
        if number in _LACKING:
            return Unsupported(
                f"{self._what}: this kernel has none that can be asked",
                capability=self._capability,
                errno=number,
                detail=words,
            )
        return KernelRefused(f"{self._what}: the kernel refused: {words}", errno=number, detail=words)
