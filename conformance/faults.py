"""Faults on demand: the Nth request that this process makes of the system fails, or is the one that it dies at.

A request is a netlink message, an ioctl on a tap (on FreeBSD: any ioctl), a table of rules that is set as an option of
a socket, a transaction of a database (RFC 7047), or the start of a program, whatever code makes it. A message that is
to fail goes to the kernel with a type, or to the database with a method, that it does not know: the refusal that comes
back is a real one. In place of a program that is to fail, one is started that says and does what the program does when
the kernel refuses.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import signal
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from conformance import system
from conformance.asking import only_asks

_HEADER = struct.Struct("=IHHII")
#: Above every rtnetlink type (RTM_MAX): the kernel answers EOPNOTSUPP.
_UNKNOWN_TYPE = 0x0FFF
#: Netlink types come in fours: new, del, get, set. What the kernel takes of a "del", or of a "new" that must not be
#: there yet, it tells its listeners of; the others may set what is set already, of which it tells nobody.
_FIRST_TYPE, _SETTING = 16, (0, 3)
_NLM_F_EXCL = 0x200
#: Of netfilter's netlink: what only asks for connections. (Of what nf_tables writes, the kernel tells its listeners.)
_NETLINK_NETFILTER, _CONNECTIONS, _GET = 12, 1, (1, 4, 5, 6, 7)
#: linux/netfilter_ipv4/ip_tables.h: IPT_SO_SET_REPLACE and _ADD_COUNTERS, of IPv6 too, and those of arp and bridge.
_SET_TABLE, _TABLE_LEVELS = (64, 65, 96, 97, 128, 129), (socket.IPPROTO_IP, socket.IPPROTO_IPV6)

#: RFC 7047, sections 4.1.3 and 5.2: a transaction, what takes its place, and the operations that write.
_TRANSACT, _UNKNOWN_METHOD = re.compile(rb'("method"\s*:\s*)"transact"'), rb'\1"transakt"'
_DATABASE_WRITES = re.compile(rb'"op"\s*:\s*"(insert|update|mutate|delete)"')

#: What a program says on standard error, and exits with, when the kernel refuses: by how its name begins.
_FAILING = {
    "iptables-nft": ("iptables-nft v1.8.9 (nf_tables): line 2: RULE_APPEND failed (No buffer space available)", 4),
    "ip6tables-nft": ("ip6tables-nft v1.8.9 (nf_tables): line 2: RULE_APPEND failed (No buffer space available)", 4),
    "iptables": ("iptables-restore v1.8.9 (legacy): iptables-restore: line 2 failed: No buffer space available.", 1),
    "ip6tables": ("ip6tables-restore v1.8.9 (legacy): ip6tables-restore: line 2 failed: No buffer space available.", 1),
    "ebtables": ("ebtables v1.8.9 (nf_tables):  RULE_APPEND failed (No buffer space available): rule in chain", 4),
    "nft": ("netlink: Error: Could not process rule: No buffer space available", 1),
    "conntrack": ("conntrack v1.4.7 (conntrack-tools): Operation failed: No buffer space available", 1),
    "pfctl": ("pfctl: DIOCXCOMMIT: No buffer space available", 1),
    "ifconfig": ("ifconfig: ioctl SIOCAIFADDR: No buffer space available", 1),
    "": ("RTNETLINK answers: No buffer space available", 2),
}
_IOC_OUT = 0x40000000


class Injection:
    """The fault to come, and what has been seen so far."""

    def __init__(self, at: int, *, kill: bool) -> None:
        """Fail, or die at, the request number ``at``; 0 only counts."""
        self.at = at
        self.kill = kill
        #: Requests made, and those among them that set something, whether it is set already or not.
        self.requests = 0
        self.writes = 0

    @property
    def hit(self) -> bool:
        """Whether the fault has happened."""
        return 0 < self.at <= self.requests

    def request(self, *, writes: bool) -> bool:
        """Count a request; True: it is the one that has to fail."""
        self.requests += 1
        self.writes += writes
        if self.requests != self.at:
            return False
        if self.kill:
            os.kill(os.getpid(), signal.SIGKILL)
        return True


@contextlib.contextmanager
def injected(at: int, *, kill: bool = False) -> Iterator[Injection]:
    """Have the request number ``at`` of this process fail (or with ``kill``, be killed at it) within the context."""
    injection = Injection(at, kill=kill)
    with contextlib.ExitStack() as patches:
        for name in ("send", "sendall", "sendto"):
            _patch(patches, socket.socket, name, _sending(injection, getattr(socket.socket, name)))
        _patch(patches, socket.socket, "sendmsg", _sending_parts(injection, socket.socket.sendmsg))
        _patch(patches, socket.socket, "setsockopt", _setting(injection, socket.socket.setsockopt))
        _patch(patches, subprocess.Popen, "__init__", _starting(injection, subprocess.Popen.__init__))
        _patch(patches, fcntl, "ioctl", _controlling(injection, fcntl.ioctl))
        yield injection


def _patch(patches: contextlib.ExitStack, owner: Any, name: str, replacement: Callable[..., Any]) -> None:
    own = vars(owner).get(name)
    setattr(owner, name, replacement)
    # socket.socket inherits these from C: the original is uncovered by taking the replacement away.
    patches.callback(setattr, owner, name, own) if own is not None else patches.callback(delattr, owner, name)


def _sending(injection: Injection, original: Callable[..., Any]) -> Callable[..., Any]:
    def send(self: socket.socket, data: Any, *rest: Any) -> Any:
        return original(self, _through(injection, self, data), *rest)

    return send


def _sending_parts(injection: Injection, original: Callable[..., Any]) -> Callable[..., Any]:
    def sendmsg(self: socket.socket, buffers: Any, *rest: Any) -> Any:
        return original(self, [_through(injection, self, b"".join(map(bytes, buffers)))], *rest)

    return sendmsg


def _through(injection: Injection, sock: socket.socket, data: Any) -> Any:
    """Count the messages in what is sent on a netlink socket, and spoil the one that has to fail."""
    if sock.family != getattr(socket, "AF_NETLINK", None):
        return _transacting(injection, data) if sock.type == socket.SOCK_STREAM else data
    messages = bytearray(data)
    offset = 0
    while offset + _HEADER.size <= len(messages):
        length, kind, flags, *_ = _HEADER.unpack_from(messages, offset)
        if length < _HEADER.size:
            break
        if injection.request(writes=_sets(sock, kind, flags)):
            struct.pack_into("=H", messages, offset + 4, _UNKNOWN_TYPE)
        offset += (length + 3) & ~3
    return bytes(messages)


def _transacting(injection: Injection, data: Any) -> Any:
    """Count the transactions in what is sent on a stream, and spoil the one that has to fail."""

    def through(found: re.Match[bytes]) -> bytes:
        fails = injection.request(writes=bool(_DATABASE_WRITES.search(sent)))
        return found.expand(_UNKNOWN_METHOD) if fails else found[0]

    sent = bytes(data)
    return _TRANSACT.sub(through, sent) if _TRANSACT.search(sent) else data


def _sets(sock: socket.socket, kind: int, flags: int) -> bool:
    """Whether a message sets what nobody may be told of."""
    if sock.proto == _NETLINK_NETFILTER:
        return kind >> 8 == _CONNECTIONS and kind & 0xFF not in _GET
    return kind >= _FIRST_TYPE and (kind - _FIRST_TYPE) % 4 in _SETTING and not flags & _NLM_F_EXCL


def _setting(injection: Injection, original: Callable[..., Any]) -> Callable[..., Any]:
    """Count the tables of rules that are handed over as options of a socket: nobody is told of these."""

    def setsockopt(self: socket.socket, level: int, option: int, *rest: Any) -> Any:
        is_table = system.NAME == system.LINUX and self.type == socket.SOCK_RAW and level in _TABLE_LEVELS
        if is_table and option in _SET_TABLE and injection.request(writes=True):
            raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
        return original(self, level, option, *rest)

    return setsockopt


def _starting(injection: Injection, original: Callable[..., Any]) -> Callable[..., Any]:
    def start(self: Any, args: Any, *rest: Any, **kwargs: Any) -> Any:
        words = [args] if isinstance(args, str | bytes | os.PathLike) else args
        argv = [os.fsdecode(word) for word in words]
        if injection.request(writes=not only_asks(argv)):
            args = _failing(os.path.basename(argv[0]))
        return original(self, args, *rest, **kwargs)

    return start


def _failing(name: str) -> Sequence[str]:
    """Return what is started in the place of a program that is to fail."""
    wordless = "ifconfig" if system.NAME == system.FREEBSD else ""
    known = [one for one in _FAILING if one and (name == one or name.startswith(f"{one}-"))]
    words, status = _FAILING[max(known, key=len) if known else wordless]
    return ("sh", "-c", f"echo '{words}' >&2; exit {status}")


def _controlling(injection: Injection, original: Callable[..., Any]) -> Callable[..., Any]:
    def ioctl(descriptor: Any, *rest: Any) -> Any:
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        if system.NAME == system.LINUX and os.readlink(f"/proc/self/fd/{number}") != "/dev/net/tun":
            return original(descriptor, *rest)
        if injection.request(writes=False):
            raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
        result = original(descriptor, *rest)
        # A refusal has written nothing. FreeBSD's requests say whether they give an answer (sys/ioccom.h): those that
        # do and write all the same make devices, which the kernel tells its listeners of.
        injection.writes += system.NAME == system.LINUX or not rest[0] & _IOC_OUT
        return result

    return ioctl
