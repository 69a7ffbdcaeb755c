"""The sandbox and its endpoints on Linux: a network namespace per spec, guests in namespaces of their own, taps held.

Everything here is made with the ``ip`` command and system calls; nothing is shared with the drivers that are judged.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import random
import select
import socket
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from conformance.errors import Inconclusive, SuiteError
from conformance.oracles.linux import Oracle
from conformance.topology import frames, namespaces
from conformance.topology.frames import Captured, Frame

#: Seconds for something to arrive that must arrive. Only a failing spec waits that long.
ARRIVAL_LIMIT = 5.0
#: Seconds between two sendings of a datagram that may have been lost to address resolution.
_RESEND = 0.3

_ETH_P_ALL = 0x0003
_SOL_PACKET = 263
_PACKET_AUXDATA = 8
_PACKET_IGNORE_OUTGOING = 23
_TP_STATUS_VLAN_VALID = 0x10
_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI, _IFF_MULTI_QUEUE = 0x0002, 0x1000, 0x0100


class Endpoint(Protocol):
    """Something that sends and sees frames at the edge of the network under test."""

    name: str
    mac: str
    #: All that it has sent and seen, for the evidence.
    record: list[Captured]

    def fileno(self) -> int:
        """Return what to wait on for frames."""
        ...

    def send(self, frame: Frame) -> None:
        """Put a frame on the wire."""
        ...

    def receive(self) -> list[bytes]:
        """Return the frames that have arrived and not been returned before."""
        ...


class Stack:
    """A network stack: the sandbox's own, or a guest's. Sockets opened in it work from anywhere."""

    def __init__(self, name: str, namespace: int) -> None:
        """Take over the descriptor of a network namespace."""
        self.name = name
        self.namespace = namespace

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Have the calling thread in this stack."""
        with namespaces.entered(self.namespace):
            yield

    def run(self, *argv: str, stdin: str | None = None) -> str:
        """Run a program of the suite's own in this stack and return what it printed.

        Raises:
            SuiteError: it failed; scaffolding that cannot be built is no verdict on anybody.
        """
        with self.entered():
            done = subprocess.run(
                argv, input=stdin, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}, timeout=30
            )
        if done.returncode:
            raise SuiteError(f"scaffolding in {self.name}: {' '.join(argv)}: {done.stderr.strip()} (stdin: {stdin!r})")
        return done.stdout

    def ip(self, *commands: str) -> None:
        """Run ``ip`` commands in one batch, such as ``"link set dev eth0 up"``."""
        self.run("ip", "-batch", "-", stdin="".join(f"{command}\n" for command in commands))

    def sysctl(self, key: str, value: int | str) -> None:
        """Write ``/proc/sys/KEY`` as this stack sees it."""
        with self.entered():
            Path("/proc/sys", key).write_text(str(value))

    def datagram_socket(self, address: str, port: int = 0) -> socket.socket:
        """Open a UDP socket in this stack, bound to one of its addresses; the caller closes it."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with self.entered():
            sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            with self.entered():
                sock.bind((address, port))
        except OSError:
            sock.close()
            raise
        return sock

    def close(self) -> None:
        """Let go of the namespace."""
        os.close(self.namespace)


class Guest(Stack):
    """A guest: a network stack of its own behind a virtual cable, whose near end ``port`` is in the sandbox."""

    def __init__(self, sandbox: Sandbox, name: str, mac: str, addresses: Sequence[str], mtu: int) -> None:
        """Make the namespace and the cable, and start seeing frames."""
        super().__init__(name, namespaces.new_network())
        self.mac = mac
        self.port = f"p-{name}"
        self.record: list[Captured] = []
        target = f"/proc/{os.getpid()}/fd/{self.namespace}"
        try:
            sandbox.ip(
                f"link add dev {self.port} mtu {mtu} type veth peer name eth0 address {mac} mtu {mtu} netns {target}",
                f"link set dev {self.port} up",
            )
            _quiet(self)
            self.ip(
                "link set dev lo up",
                "link set dev eth0 up",
                *(f"addr add {address} dev eth0{' nodad' if ':' in address else ''}" for address in addresses),
            )
            with self.entered():
                self._socket = _packet_socket("eth0")
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """Return what to wait on for frames."""
        return self._socket.fileno()

    def send(self, frame: Frame) -> None:
        """Put a frame on the wire."""
        self._socket.send(frame.data)
        self.record.append(Captured.now(frame.data, sent=True))

    def receive(self) -> list[bytes]:
        """Return the frames that have arrived, with their VLAN tags put back where the kernel took them off."""
        seen = _drain_packets(self._socket)
        self.record += (Captured.now(data) for data in seen)
        return seen

    def shut(self) -> None:
        """Stop seeing frames and let go of the namespace: its end of the cable goes, and the other end with it."""
        self._socket.close()
        self.close()


class TapHolder:
    """A program that holds a tap, as a hypervisor does. ``queues`` is how often it holds it."""

    def __init__(self, stack: Stack, tap: str, mac: str, *, queues: int = 1) -> None:
        """Open the tap.

        Raises:
            OSError: the kernel does not let it be opened so.
        """
        self.name = tap
        self.mac = mac
        self.record: list[Captured] = []
        self._descriptors: list[int] = []
        flags = _IFF_TAP | _IFF_NO_PI | (_IFF_MULTI_QUEUE if queues > 1 else 0)
        try:
            for _ in range(queues):
                with stack.entered():
                    self._descriptors.append(open_tap(tap, flags))
        except OSError:
            self.shut()
            raise

    def fileno(self) -> int:
        """Return what to wait on for frames."""
        return self._descriptors[0]

    def send(self, frame: Frame) -> None:
        """Write a frame as the guest would."""
        os.write(self._descriptors[0], frame.data)
        self.record.append(Captured.now(frame.data, sent=True))

    def receive(self) -> list[bytes]:
        """Return the frames that the guest would have got, from all queues."""
        seen = []
        for descriptor in self._descriptors:
            with contextlib.suppress(BlockingIOError):
                while True:
                    seen.append(os.read(descriptor, 1 << 16))
        self.record += (Captured.now(data) for data in seen)
        return seen

    def shut(self) -> None:
        """Let go of the tap."""
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()


class Sandbox(Stack):
    """One spec's network: a fresh namespace that the driver works in, and the endpoints around it."""

    def __init__(self, seed: str, *, arrival_limit: float = ARRIVAL_LIMIT) -> None:
        """Move the calling thread into a new network namespace, with its own view of /sys and a loopback that is up."""
        self.arrival_limit = arrival_limit
        self._home = namespaces.current_network()
        super().__init__("sandbox", namespaces.new_network())
        namespaces.setns(self.namespace)
        # /sys shows the namespace that it was mounted in: a driver that looks there has to see this one.
        namespaces.mount("sysfs", "/sys", "sysfs")
        self.random = random.Random(seed)
        self.look = Oracle()
        self._endpoints: list[Guest | TapHolder] = []
        self._stacks: list[Stack] = []
        self._tokens = 0
        _quiet(self)
        self.ip("link set dev lo up")

    # -- building -------------------------------------------------------------------------------------

    def guest(self, name: str, *addresses: str, mac: str | None = None, mtu: int = 1500) -> Guest:
        """Make a guest with these addresses; its port ``p-NAME`` is in the sandbox, up, and of no bridge."""
        guest = Guest(self, name, mac or self.new_mac(), addresses, mtu)
        self._endpoints.append(guest)
        return guest

    def hold(self, tap: str, *, mac: str | None = None, queues: int = 1) -> TapHolder:
        """Hold a tap of the sandbox as a hypervisor does.

        Raises:
            OSError: the kernel does not let it be opened so.
        """
        holder = TapHolder(self, tap, mac or self.new_mac(), queues=queues)
        self._endpoints.append(holder)
        return holder

    def neighbour(self, name: str) -> Stack:
        """Make another, empty network stack beside the sandbox."""
        stack = Stack(name, namespaces.new_network())
        self._stacks.append(stack)
        return stack

    def new_mac(self) -> str:
        """Return a locally administered unicast MAC address that this spec has not used."""
        return "02:" + ":".join(f"{self.random.randrange(256):02x}" for _ in range(5))

    def frame(
        self,
        sender: Endpoint,
        to: Endpoint | str,
        *,
        source: str | None = None,
        vlan: int | None = None,
        size: int = 64,
        ethertype: int = frames.ETHERTYPE,
    ) -> Frame:
        """Build a frame from one endpoint to another or to a MAC address, with a token of its own."""
        self._tokens += 1
        token = b"refnet-%08x-%016x" % (self._tokens, self.random.getrandbits(64))
        destination = to if isinstance(to, str) else to.mac
        return frames.build(source or sender.mac, destination, token, vlan=vlan, size=size, ethertype=ethertype)

    # -- proving --------------------------------------------------------------------------------------

    def delivers(self, sender: Endpoint, frame: Frame, *receivers: Endpoint, what: str) -> None:
        """Prove that a frame reaches each receiver, byte for byte, and once.

        That there is no second copy is a negative, so a fence follows the frame on the same way: when it has arrived,
        a copy would have too.
        """
        fence = Frame(frame.data.replace(frame.token, frame.token[::-1]), frame.token[::-1])
        sender.send(frame)
        sender.send(fence)
        for receiver in receivers:
            seen = self._until(receiver, fence)
            copies = [data for data in seen if frame.token in data]
            if not copies:
                raise AssertionError(f"{what}: {sender.name} sent {frame}, and it did not arrive at {receiver.name}")
            if fence.data not in seen and not any(fence.token in data for data in seen):
                raise Inconclusive(f"{what}: the fence behind {frame} did not arrive at {receiver.name}")
            if copies != [frame.data]:
                arrived = "; ".join(frames.describe(data) for data in copies)
                raise AssertionError(f"{what}: {sender.name} sent {frame}, {receiver.name} got: {arrived}")

    def withholds(
        self,
        sender: Endpoint,
        frame: Frame,
        receiver: Endpoint,
        *,
        fence: tuple[Endpoint, Frame],
        witness: Endpoint | None = None,
        what: str,
    ) -> None:
        """Prove that a frame does not reach a receiver.

        ``fence`` is a frame that must reach the same receiver, sent afterwards by the sender or by another
        endpoint: its arrival shows that the receiver was looking and that what was on its way has arrived.
        ``witness`` is an endpoint that must get the frame itself, which shows that it was sent at all.

        Raises:
            AssertionError: the frame arrived.
            Inconclusive: the control did not arrive, so that the silence proves nothing.
        """
        fence_sender, fence_frame = fence
        if fence_frame.token == frame.token:
            raise SuiteError(f"{what}: the fence is the frame itself")
        sender.send(frame)
        if witness is not None and not self._arrives(witness, frame):
            raise Inconclusive(f"{what}: the witness {witness.name} did not get {frame}")
        fence_sender.send(fence_frame)
        seen = self._until(receiver, fence_frame)
        if not any(fence_frame.token in data for data in seen):
            raise Inconclusive(f"{what}: the fence {fence_frame} did not arrive at {receiver.name}")
        leaked = [data for data in seen if frame.token in data]
        if leaked:
            raise AssertionError(f"{what}: {sender.name} sent {frame}, and {receiver.name} got it")

    def reaches(self, one: Stack, address: str, other: Stack, other_address: str, *, what: str) -> None:
        """Prove that two stacks talk: a datagram there and one back, address resolution and all."""
        try:
            here, there = one.datagram_socket(address), other.datagram_socket(other_address)
        except OSError as error:
            raise AssertionError(f"{what}: {address} or {other_address} cannot be used: {error}") from None
        with here, there:
            if not _converse(here, there, self.arrival_limit):
                raise AssertionError(f"{what}: {one.name} ({address}) and {other.name} ({other_address}) do not talk")

    def drain(self) -> None:
        """Forget what has arrived anywhere so far."""
        for endpoint in self._endpoints:
            endpoint.receive()

    def _arrives(self, receiver: Endpoint, frame: Frame) -> bool:
        return any(frame.token in data for data in self._until(receiver, frame))

    def _until(self, receiver: Endpoint, last: Frame) -> list[bytes]:
        """Collect what arrives up to a given frame, or up to the limit."""
        deadline = time.monotonic() + self.arrival_limit
        seen: list[bytes] = []
        while True:
            seen += receiver.receive()
            if any(last.token in data for data in seen):
                return seen
            left = deadline - time.monotonic()
            if left <= 0:
                return seen
            select.select([receiver], [], [], left)

    # -- ending ---------------------------------------------------------------------------------------

    def remove_endpoints(self) -> None:
        """Take the scaffolding away, so that what is left is the driver's."""
        ports = [endpoint.port for endpoint in self._endpoints if isinstance(endpoint, Guest)]
        for endpoint in self._endpoints:
            endpoint.shut()
        self._endpoints.clear()
        for stack in self._stacks:
            stack.close()
        self._stacks.clear()
        # The far ends go with their namespaces, which the kernel does in its own time; the near ends go now.
        for port in ports:
            with contextlib.suppress(SuiteError):
                self.ip(f"link delete dev {port}")

    def captures(self) -> dict[str, list[Captured]]:
        """Return what each endpoint has sent and seen."""
        self.drain()
        return {endpoint.name: endpoint.record for endpoint in self._endpoints}

    def leave(self) -> None:
        """Bring the calling thread back and let go of the namespace."""
        with contextlib.suppress(OSError):
            namespaces.unmount("/sys")
        namespaces.setns(self._home)
        os.close(self._home)
        self.close()


def open_tap(tap: str, flags: int = _IFF_TAP | _IFF_NO_PI) -> int:
    """Open an existing tap in the calling thread's namespace and return the descriptor, which does not block.

    Raises:
        OSError: there is no such tap, or the kernel does not let it be opened so.
    """
    # TUNSETIFF makes what is not there; a holder only ever takes what the driver has made.
    socket.if_nametoindex(tap)
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", tap.encode(), flags))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _quiet(stack: Stack) -> None:
    """Leave duplicate address detection and router solicitation out: they take time, and prove nothing here."""
    for scope in ("all", "default"):
        with contextlib.suppress(FileNotFoundError):
            stack.sysctl(f"net/ipv6/conf/{scope}/accept_dad", 0)
            stack.sysctl(f"net/ipv6/conf/{scope}/dad_transmits", 0)
            stack.sysctl(f"net/ipv6/conf/{scope}/router_solicitations", 0)


def _packet_socket(device: str) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(_ETH_P_ALL))
    sock.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
    sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    sock.bind((device, _ETH_P_ALL))
    return sock


def _drain_packets(sock: socket.socket) -> list[bytes]:
    seen: list[bytes] = []
    while True:
        try:
            data, ancillary, _, _ = sock.recvmsg(1 << 16, socket.CMSG_SPACE(20))
        except BlockingIOError:
            return seen
        except OSError as error:
            if error.errno == errno.ENETDOWN:
                continue
            raise
        for level, kind, value in ancillary:
            if (level, kind) == (_SOL_PACKET, _PACKET_AUXDATA):
                # struct tpacket_auxdata: status, len, snaplen, mac, net, vlan_tci, vlan_tpid
                status, _, _, _, _, tci, tpid = struct.unpack_from("=IIIHHHH", value)
                if status & _TP_STATUS_VLAN_VALID:
                    data = data[:12] + struct.pack("!HH", tpid or frames.ETHERTYPE_8021Q, tci) + data[12:]
        seen.append(data)


def _converse(here: socket.socket, there: socket.socket, limit: float) -> bool:
    question, answer = b"refnet: are you there?", b"refnet: I am."
    for sock in (here, there):
        sock.settimeout(_RESEND)
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            here.sendto(question, there.getsockname())
            data, sender = there.recvfrom(64)
            if data == question:
                there.sendto(answer, sender)
                if here.recvfrom(64)[0] == answer:
                    return True
    return False
