"""Endpoints on Linux: guests in network stacks of their own behind a cable, and programs that hold taps.

Everything here is made with the ``ip`` command and system calls; nothing is shared with the drivers that are judged.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import socket
import struct
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from conformance.errors import SuiteError
from conformance.topology.base import GUEST_DEVICE, Guest, Stack, started
from conformance.topology.frames import Captured, Frame
from conformance.topology.linux import namespaces
from conformance.topology.linux.wire import drain_packets, packet_socket

_TUNSETIFF = 0x400454CA
_SIOCGIFFLAGS, _UP_AND_RUNNING = 0x8913, 0x41
#: Seconds for the kernel to have an address used.
_ADDRESS_LIMIT = 30.0
_IFF_TAP, _IFF_NO_PI, _IFF_MULTI_QUEUE = 0x0002, 0x1000, 0x0100

#: What of it is otherwise, by a kernel's default or by that of the host.
_FRANK = {
    "net/ipv4/conf/all/rp_filter": 0,
    "net/ipv4/conf/default/rp_filter": 0,
    "net/ipv4/conf/all/send_redirects": 0,
    "net/ipv4/conf/default/send_redirects": 0,
    "net/ipv4/icmp_ratelimit": 0,
    "net/ipv4/icmp_ratemask": 0,
    "net/ipv6/icmp/ratelimit": 0,
    "net/ipv4/tcp_syncookies": 0,
    "net/ipv4/tcp_invalid_ratelimit": 0,
    **{f"net/bridge/bridge-nf-call-{program}": 0 for program in ("iptables", "ip6tables", "arptables")},
}


class LinuxStack(Stack):
    """A network namespace, kept by a descriptor."""

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

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """Start a program in this namespace."""
        with self.entered():
            return started(argv, {**os.environ, "LC_ALL": "C"})

    def ip(self, *commands: str) -> None:
        """Run ``ip`` commands in one batch, such as ``f"link set dev {GUEST_DEVICE} up"``."""
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
        if not detection:
            self._await(device, addresses)

    def _await(self, device: str, addresses: Iterable[str]) -> None:
        """Wait until IPv6 addresses can be used: the kernel makes their routes in its own time (addrconf_dad_work)."""
        missing = {socket.inet_pton(socket.AF_INET6, one.partition("/")[0]).hex() for one in addresses if ":" in one}
        deadline = time.monotonic() + _ADDRESS_LIMIT
        with self.entered():
            while missing and _is_running(device):
                # net/ipv6/route.c: destination, its prefix length, both in hexadecimal, and more.
                routes = Path("/proc/thread-self/net/ipv6_route").read_text().splitlines()
                missing -= {line[:32] for line in routes if line[33:35] == "80"}
                if missing and time.monotonic() > deadline:
                    raise SuiteError(f"the addresses of {device} in {self.name} do not come to be used")
                time.sleep(0.001 if missing else 0)

    def add_route(self, destination: str, gateway: str, device: str) -> None:
        """Add a route, such as one to ``203.0.113.0/24`` or ``default``, by a gateway behind a device."""
        self.ip(f"route add {destination} via {gateway} dev {device}")

    def forget_neighbours(self) -> None:
        """Forget which MAC address other stacks' addresses are at, so that they have to answer for them again."""
        self.ip("neigh flush all")

    def plain_bridge(self, name: str, *ports: str) -> None:
        """Make a bridge with ip(8)."""
        self.ip(
            f"link add name {name} type bridge",
            f"link set dev {name} up",
            *(f"link set dev {port} master {name}" for port in ports),
        )

    def join(self, bridge: str, *ports: str) -> None:
        """Set their master with ip(8)."""
        self.ip(*(f"link set dev {port} up master {bridge}" for port in ports))

    def give_link_local(self, bridge: str) -> None:
        """Do nothing: the kernel gives it one as soon as it has a carrier."""

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

    def stream_socket(self, address: str, port: int = 0) -> socket.socket:
        """Open a TCP socket in this stack, bound to one of its addresses, to connect or to listen with."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with self.entered():
            sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address, port))
        except OSError:
            sock.close()
            raise
        return sock

    def add_neighbour(self, device: str, address: str, mac: str) -> None:
        """Make a permanent entry with ip(8)."""
        self.ip(f"neigh replace {address} lladdr {mac} dev {device} nud permanent")

    def close(self) -> None:
        """Let go of the namespace."""
        os.close(self.namespace)


class LinuxGuest(LinuxStack, Guest):
    """A guest in a namespace of its own, behind a veth pair."""

    def __init__(self, sandbox: LinuxStack, name: str, mac: str, addresses: Sequence[str], mtu: int) -> None:
        """Make the namespace and the cable, and start seeing frames."""
        super().__init__(name, namespaces.new_network())
        self.mac = mac
        self.port = f"p-{name}"
        self.record: list[Captured] = []
        target = f"/proc/{os.getpid()}/fd/{self.namespace}"
        try:
            sandbox.ip(
                f"link add dev {self.port} mtu {mtu} type veth "
                f"peer name {GUEST_DEVICE} address {mac} mtu {mtu} netns {target}",
                f"link set dev {self.port} up",
            )
            quiet(self)
            frank(self)
            self.ip(
                "link set dev lo up",
                f"link set dev {GUEST_DEVICE} up",
                *(
                    f"addr add {address} dev {GUEST_DEVICE}{' nodad' if ':' in address else ''}"
                    for address in addresses
                ),
            )
            with self.entered():
                self._socket = packet_socket(GUEST_DEVICE)
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
        seen = drain_packets(self._socket)
        self.record += (Captured.now(data) for data in seen)
        return seen

    def tagged(self, vlan: int, *addresses: str) -> None:
        """Give the guest addresses in a VLAN of its cable; what it sends from them carries the tag."""
        device = f"{GUEST_DEVICE}.{vlan}"
        self.ip(f"link add link {GUEST_DEVICE} name {device} type vlan id {vlan}", f"link set dev {device} up")
        self.add_address(device, *addresses)

    def wake(self, *addresses: str, gateways: Sequence[str] = (), neighbours: Mapping[str, str] | None = None) -> None:
        """Give it addresses, permanent entries and routes with ip(8)."""
        self.ip(
            *(f"addr replace {one} dev {GUEST_DEVICE}{' nodad' if ':' in one else ''}" for one in addresses),
            *(
                f"neigh replace {address} lladdr {mac} dev {GUEST_DEVICE} nud permanent"
                for address, mac in (neighbours or {}).items()
            ),
            *(f"route replace default via {gateway} dev {GUEST_DEVICE}" for gateway in gateways),
        )
        self._await(GUEST_DEVICE, addresses)

    def sleep(self, *addresses: str) -> None:
        """Take the addresses away: what is sent to them is another's, and nothing is forwarded."""
        self.ip(*(f"addr delete {one} dev {GUEST_DEVICE}" for one in addresses))

    def shut(self) -> None:
        """Stop seeing frames and let go of the namespace: its end of the cable goes, and the other end with it."""
        self._socket.close()
        self.close()


class NearEnd:
    """An endpoint on the near end of a guest's cable."""

    def __init__(self, stack: LinuxStack, guest: Guest) -> None:
        """Start seeing frames."""
        self.name = guest.port
        self.mac = "02:00:00:00:00:fe"
        self.record: list[Captured] = []
        with stack.entered():
            self._socket = packet_socket(guest.port)

    def fileno(self) -> int:
        """Return what to wait on for frames."""
        return self._socket.fileno()

    def send(self, frame: Frame) -> None:
        """Put a frame into the cable."""
        self._socket.send(frame.data)
        self.record.append(Captured.now(frame.data, sent=True))

    def receive(self) -> list[bytes]:
        """Return the frames that have come out of the cable."""
        seen = drain_packets(self._socket)
        self.record += (Captured.now(data) for data in seen)
        return seen

    def shut(self) -> None:
        """Stop seeing frames."""
        self._socket.close()


class TapHolder:
    """A program that holds a tap, as a hypervisor does. ``queues`` is how often it holds it."""

    def __init__(self, stack: LinuxStack, tap: str, mac: str, *, queues: int = 1) -> None:
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


def quiet(stack: LinuxStack) -> None:
    """Leave duplicate address detection and router solicitation out: they take time, and prove nothing here.

    And let the suite, which in a container is root without every privilege, open any port.
    """
    stack.sysctl("net/ipv4/ip_unprivileged_port_start", 0)
    for scope in ("all", "default"):
        with contextlib.suppress(FileNotFoundError):
            stack.sysctl(f"net/ipv6/conf/{scope}/accept_dad", 0)
            stack.sysctl(f"net/ipv6/conf/{scope}/dad_transmits", 0)
            stack.sysctl(f"net/ipv6/conf/{scope}/router_solicitations", 0)


def frank(stack: LinuxStack) -> None:
    """Have the stack say all that there is to say, and do nothing to packets but what it is told to."""
    for key, value in _FRANK.items():
        # Not every kernel has all of them, nor one without IPv6 or br_netfilter.
        with contextlib.suppress(FileNotFoundError, PermissionError):
            stack.sysctl(key, value)


def _is_running(device: str) -> bool:
    """Whether a device of the calling thread's stack is up and has a carrier."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        answer = fcntl.ioctl(sock, _SIOCGIFFLAGS, struct.pack("16sH22x", device.encode(), 0))
    flags: int = struct.unpack_from("16xH", answer)[0]
    return flags & _UP_AND_RUNNING == _UP_AND_RUNNING
