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
from refnet.netdev.driver import Kind

#: Seconds for something to arrive that must arrive. Only a failing spec waits that long.
ARRIVAL_LIMIT = 5.0
#: Seconds between two sendings of a datagram that may have been lost to address resolution.
_RESEND = 0.3

_MS_NOSUID, _MS_NODEV = 2, 4
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

    def add_address(self, device: str, *addresses: str, detection: bool = False) -> None:
        """Give a device addresses; those of IPv6 without looking for duplicates, unless ``detection`` says so."""
        commands = []
        for one in addresses:
            if ":" in one:
                option = "" if detection else " nodad"
            else:
                option = "" if one.endswith(("/31", "/32")) else " broadcast +"
            commands.append(f"addr add {one} dev {device}{option}")
        self.ip(*commands)

    def add_route(self, destination: str, gateway: str, device: str) -> None:
        """Add a route, such as one to ``203.0.113.0/24`` or ``default``, by a gateway behind a device."""
        self.ip(f"route add {destination} via {gateway} dev {device}")

    def clear(self, device: str) -> None:
        """Take addresses, but link-local IPv6 ones, and routes from a device."""
        # IPv4 routes go with the last address.
        self.ip(f"addr flush dev {device} scope global")
        self.run("ip", "-6", "route", "flush", "table", "all", "dev", device, "proto", "boot")

    def forget_neighbours(self) -> None:
        """Forget which MAC address other stacks' addresses are at, so that they have to answer for them again."""
        self.ip("neigh flush all")

    def detect_duplicates(self, device: str) -> None:
        """Have the kernel look for duplicates of new IPv6 addresses of a device, as it does outside of sandboxes."""
        for key in ("accept_dad", "dad_transmits"):
            self.sysctl(f"net/ipv6/conf/{device}/{key}", 1)

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
        try:
            self._socket.send(frame.data)
        except OSError as error:
            # The far end of the cable has dropped it, for its MTU, say: that is for the receiver to miss.
            if error.errno != errno.ENOBUFS:
                raise
        self.record.append(Captured.now(frame.data, sent=True))

    def receive(self) -> list[bytes]:
        """Return the frames that have arrived, with their VLAN tags put back where the kernel took them off."""
        seen = _drain_packets(self._socket)
        self.record += (Captured.now(data) for data in seen)
        return seen

    def tagged(self, vlan: int, *addresses: str) -> None:
        """Give the guest addresses in a VLAN of its cable; what it sends from them carries the tag."""
        device = f"eth0.{vlan}"
        self.ip(f"link add link eth0 name {device} type vlan id {vlan}", f"link set dev {device} up")
        self.add_address(device, *addresses)

    def shut(self) -> None:
        """Stop seeing frames and let go of the namespace: its end of the cable goes, and the other end with it."""
        self._socket.close()
        self.close()


class _Near:
    """An endpoint on the near end of a guest's cable."""

    def __init__(self, stack: Stack, guest: Guest) -> None:
        self.name = guest.port
        self.mac = "02:00:00:00:00:fe"
        self.record: list[Captured] = []
        with stack.entered():
            self._socket = _packet_socket(guest.port)

    def fileno(self) -> int:
        """Return what to wait on for frames."""
        return self._socket.fileno()

    def send(self, frame: Frame) -> None:
        """Put a frame into the cable."""
        self._socket.send(frame.data)
        self.record.append(Captured.now(frame.data, sent=True))

    def receive(self) -> list[bytes]:
        """Return the frames that have come out of the cable."""
        seen = _drain_packets(self._socket)
        self.record += (Captured.now(data) for data in seen)
        return seen

    def shut(self) -> None:
        """Stop seeing frames."""
        self._socket.close()


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
        self._any_queue = select.epoll()
        flags = _IFF_TAP | _IFF_NO_PI | (_IFF_MULTI_QUEUE if queues > 1 else 0)
        try:
            for _ in range(queues):
                with stack.entered():
                    self._descriptors.append(open_tap(tap, flags))
                self._any_queue.register(self._descriptors[-1], select.EPOLLIN)
        except OSError:
            self.shut()
            raise

    def fileno(self) -> int:
        """Return what to wait on for frames."""
        return self._any_queue.fileno()

    def send(self, frame: Frame) -> None:
        """Write a frame as the guest would; while the tap is down (EIO) it is lost, as on a cable without a link."""
        try:
            os.write(self._descriptors[0], frame.data)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
        self.record.append(Captured.now(frame.data, sent=True))

    def receive(self) -> list[bytes]:
        """Return the frames that the guest would have got, from all queues."""
        seen = []
        for descriptor in self._descriptors:
            try:
                while True:
                    seen.append(os.read(descriptor, 1 << 16))
            except OSError as error:
                # EBADFD: the tap was deleted under its holder.
                if error.errno not in (errno.EAGAIN, errno.EBADFD):
                    raise
        self.record += (Captured.now(data) for data in seen)
        return seen

    def shut(self) -> None:
        """Let go of the tap."""
        self._any_queue.close()
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
        # And other sandboxes' locks and files are not this one's to see.
        namespaces.mount("tmpfs", "/run", "tmpfs", _MS_NOSUID | _MS_NODEV)
        self.random = random.Random(seed)
        self.look = Oracle()
        self._endpoints: list[Guest | TapHolder] = []
        self._stacks: list[Stack] = []
        self._foreign: list[str] = []
        self._tokens = 0
        _quiet(self)
        # The kernel's own default, which a namespace otherwise inherits from the host.
        for scope in ("all", "default"):
            self.sysctl(f"net/ipv4/conf/{scope}/promote_secondaries", 0)
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
        # Its carrier has come: a bridge takes its frames, and gives it any, when the kernel has told the bridge.
        self.look.rest()
        return holder

    @contextlib.contextmanager
    def attached(self, guest: Guest) -> Iterator[Endpoint]:
        """Have an endpoint on the near end of a guest's cable: what it sends, the guest gets, bridge or not."""
        near = _Near(self, guest)
        try:
            yield near
        finally:
            near.shut()

    def plain_bridge(self, name: str) -> None:
        """Make a bridge as the system itself makes one, for comparison."""
        self.ip(f"link add name {name} type bridge", f"link set dev {name} up")

    def remove_plain_bridge(self, name: str) -> None:
        """Take such a bridge away again."""
        self.ip(f"link delete dev {name}")

    def foreign(self, name: str, kind: Kind) -> None:
        """Make a device that is nobody's concern but has a name that somebody wants: a bridge, a tap or a tun."""
        made = {
            Kind.BRIDGE: f"link add name {name} type bridge",
            Kind.TAP: f"tuntap add dev {name} mode tap",
            Kind.TUN: f"tuntap add dev {name} mode tun",
        }
        self.ip(made[kind])
        self._foreign.append(name)

    def move(self, device: str, stack: Stack) -> None:
        """Move a device of the sandbox into another stack."""
        self.ip(f"link set dev {device} netns /proc/{os.getpid()}/fd/{stack.namespace}")

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

    def delivers(
        self, sender: Endpoint, frame: Frame, *receivers: Endpoint, what: str, arrives_as: Frame | None = None
    ) -> None:
        """Prove that a frame reaches each receiver, byte for byte, and once.

        ``arrives_as`` is what it has to look like there, where a tag is put on or taken off on the way. That there is
        no second copy is a negative, so a fence follows the frame on the same way: when it has arrived, a copy would
        have too.
        """
        expected = arrives_as or frame
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
            if copies != [expected.data]:
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

    def source_seen(self, other: Stack, other_address: str) -> str:
        """Return the address that another stack sees when this one writes to it without choosing an address.

        Raises:
            AssertionError: nothing arrived there.
        """
        here = self.datagram_socket("::" if ":" in other_address else "0.0.0.0")  # noqa: S104
        with here, other.datagram_socket(other_address) as there:
            there.settimeout(self.arrival_limit)
            try:
                here.sendto(b"refnet: who am I?", there.getsockname())
                return str(there.recvfrom(64)[1][0])
            except OSError as error:
                raise AssertionError(
                    f"{self.name} writes to {other_address}, and it does not arrive: {error}"
                ) from None

    def source_mac(self, receiver: Endpoint, address: str, target: str) -> str:
        """Return the MAC address that a receiver sees when this stack looks for ``target`` from its own ``address``.

        Raises:
            AssertionError: nothing of it arrived there.
        """
        # What is looked for is in the request (RFC 826: sender, its address, nobody, the target).
        wanted = Frame(b"", socket.inet_aton(address) + bytes(6) + socket.inet_aton(target))
        with self.datagram_socket(address) as sock:
            sock.sendto(b"refnet: are you there?", (target, 9))
            for data in self._until(receiver, wanted):
                if wanted.token in data:
                    return data[6:12].hex(":")
        raise AssertionError(f"{self.name} looks for {target} from {address}, and {receiver.name} sees nothing of it")

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
        for name in self._foreign:
            with contextlib.suppress(SuiteError):
                self.ip(f"link delete dev {name}")
        self._foreign.clear()

    def captures(self) -> dict[str, list[Captured]]:
        """Return what each endpoint has sent and seen."""
        self.drain()
        return {endpoint.name: endpoint.record for endpoint in self._endpoints}

    def leave(self) -> None:
        """Bring the calling thread back and let go of the namespace."""
        for directory in ("/run", "/sys"):
            with contextlib.suppress(OSError):
                namespaces.unmount(directory)
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


def opens_for(tap: str, *, uid: int, gid: int) -> bool:
    """Whether a tap of the calling thread's namespace can be held by a user without privilege.

    The device file is opened before the privilege is given up: whom a tap is for is asked about the tap itself.
    """
    socket.if_nametoindex(tap)
    child = os.fork()
    if child == 0:
        status = 255
        try:
            descriptor = os.open("/dev/net/tun", os.O_RDWR)
            os.setgroups([])
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            status = 1
            fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", tap.encode(), _IFF_TAP | _IFF_NO_PI))
            status = 0
        except OSError as error:
            if status == 1 and error.errno != errno.EPERM:
                status = 254
            os.write(2, f"as user {uid}, group {gid}: {error}\n".encode() if status > 1 else b"")
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status not in (0, 1):
        raise SuiteError(f"whether user {uid}, group {gid} may hold {tap} could not be tried: exit status {status}")
    return status == 0


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
