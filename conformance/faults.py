"""Faults on demand: the Nth request that this process makes of the system fails, or is the one that it dies at.

A request is a netlink message, an ioctl on a tap (on FreeBSD: any ioctl), or the start of a program, whatever code
makes it. A message that is to fail goes to the kernel with a type that no kernel knows: the refusal that comes back is
a real one.
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

_HEADER = struct.Struct("=IHHII")
#: Above every rtnetlink type (RTM_MAX): the kernel answers EOPNOTSUPP.
_UNKNOWN_TYPE = 0x0FFF
#: Netlink types come in fours: new, del, get, set. What the kernel takes of a "del", or of a "new" that must not be
#: there yet, it tells its listeners of; the others may set what is set already, of which it tells nobody.
_FIRST_TYPE, _SETTING = 16, (0, 3)
_NLM_F_EXCL = 0x200

#: What a program does that is to fail: what ``ip``, or ``ifconfig``, says and exits with when the kernel refuses.
_FAILING = {
    system.LINUX: ("sh", "-c", "echo 'RTNETLINK answers: No buffer space available' >&2; exit 2"),
    system.FREEBSD: ("sh", "-c", "echo 'ifconfig: ioctl SIOCAIFADDR: No buffer space available' >&2; exit 1"),
}
#: Programs of FreeBSD that only ask, whatever they are told, and how the others look when they only ask.
_ASKERS = {"netstat", "jls", "kldstat", "procstat", "sockstat", "uname", "ps"}
_IOC_OUT = 0x40000000
_IFCONFIG_OPTION = re.compile(r"-[aCdDklLmnuv]+|-[fgGj]")


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
        return data
    messages = bytearray(data)
    offset = 0
    while offset + _HEADER.size <= len(messages):
        length, kind, flags, *_ = _HEADER.unpack_from(messages, offset)
        if length < _HEADER.size:
            break
        sets = kind >= _FIRST_TYPE and (kind - _FIRST_TYPE) % 4 in _SETTING and not flags & _NLM_F_EXCL
        if injection.request(writes=sets):
            struct.pack_into("=H", messages, offset + 4, _UNKNOWN_TYPE)
        offset += (length + 3) & ~3
    return bytes(messages)


def _starting(injection: Injection, original: Callable[..., Any]) -> Callable[..., Any]:
    def start(self: Any, args: Any, *rest: Any, **kwargs: Any) -> Any:
        # On Linux whether a program only asks is not for the suite to know: the kernel tells of what it writes.
        writes = system.NAME != system.LINUX and not only_asks([args] if isinstance(args, str) else list(args))
        if injection.request(writes=writes):
            args = _FAILING[system.NAME]
        return original(self, args, *rest, **kwargs)

    return start


def only_asks(argv: Sequence[str]) -> bool:
    """Whether a program of FreeBSD changes nothing when it is started so.

    The kernel does not tell its listeners of everything that is set (a group, a description), so that the commands are
    looked at instead. What is not known to ask only counts as writing.
    """
    program, *words = argv
    name = os.path.basename(program)
    if name in _ASKERS:
        return True
    if name == "route":
        return next((word for word in words if not word.startswith("-")), "") in ("get", "show")
    if name == "sysctl":
        return not any("=" in word or word == "-f" for word in words)
    if name != "ifconfig":
        return False
    # ifconfig [options] [interface [address family]]: more words, or a "create", set something.
    names = []
    while words:
        word = words.pop(0)
        if _IFCONFIG_OPTION.fullmatch(word):
            if word[-1] in "fgGj" and words:
                words.pop(0)
        elif word != "--":
            names.append(word)
    return len(names) <= 1 or names[1:] in (["inet"], ["inet6"], ["ether"], ["addr"])


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
