"""Endpoints on FreeBSD: guests in vnet jails of their own behind an epair, and programs that hold taps."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from conformance.errors import SuiteError
from conformance.freebsd_shell import environment, run, script
from conformance.topology.base import GUEST_DEVICE, Guest, Stack, started
from conformance.topology.frames import Captured, Frame
from conformance.topology.freebsd import bpf, jails

_OPENER = Path(__file__).with_name("opener.py")
#: Seconds for the opener to answer.
_ANSWER_LIMIT = 60.0
#: Looking for duplicates takes time, and proves nothing here.
QUIET = "sysctl -q net.inet6.ip6.dad_count=0 >/dev/null"
#: What ifconfig(8) says of a renamed device with -D.
_DRIVER_NAME = re.compile(r"^\s+drivername: (\S+)$", re.MULTILINE)


class FreeBsdStack(Stack):
    """The network stack of a jail, or (None) that of this process."""

    def __init__(self, name: str, jail: str | None) -> None:
        """Know the jail's name."""
        self.name = name
        self.jail = jail

    def run(self, *argv: str, stdin: str | None = None) -> str:
        """Run a program in the jail."""
        return run([*(["jexec", self.jail] if self.jail else []), *argv], stdin=stdin)

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """Start a program in the jail."""
        return started([*(["jexec", self.jail] if self.jail else []), *argv], environment())

    def script(self, *lines: str) -> str:
        """Run lines of the suite's own by one shell, up to the first that fails, and return what they printed."""
        if self.jail is None:
            return script(*lines)
        return self.run("sh", "-e", stdin="\n".join(lines)) if lines else ""

    def add_address(self, device: str, *addresses: str, detection: bool = False) -> None:
        """Give it addresses with ifconfig(8); whether duplicates are looked for is a setting of the stack."""
        self.script(*adding(device, addresses))

    def add_route(self, destination: str, gateway: str, device: str) -> None:
        """Add it with route(8); a link-local gateway is one of the device."""
        family = "-6" if ":" in gateway else "-4"
        scope = f"%{device}" if gateway.startswith("fe80:") else ""
        self.run("route", "-q", "-n", "add", family, destination, f"{gateway}{scope}")

    def forget_neighbours(self) -> None:
        """Empty the tables of arp(8) and ndp(8)."""
        self.script("arp -d -a >/dev/null 2>&1 || true", "ndp -c >/dev/null 2>&1 || true")

    def plain_bridge(self, name: str, *ports: str) -> None:
        """Make a bridge with ifconfig(8)."""
        joining = "".join(f" addm {port}" for port in ports)
        self.script(f"ifconfig bridge create name {name}{joining} up >/dev/null")

    def join(self, bridge: str, *ports: str) -> None:
        """Add them with ifconfig(8)."""
        self.script(*(f"ifconfig {bridge} addm {port} && ifconfig {port} up" for port in ports))

    def give_link_local(self, bridge: str) -> None:
        """Ask for one with ifconfig(8), as bridges need (if_bridge(4)): it comes when the bridge is set up anew."""
        self.script(
            f"ifconfig {bridge} inet6 -ifdisabled auto_linklocal", f"ifconfig {bridge} down", f"ifconfig {bridge} up"
        )

    def datagram_socket(self, address: str, port: int = 0) -> socket.socket:
        """Open the socket, in this process's own stack."""
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.bind((address, port))
        except OSError:
            sock.close()
            raise
        return sock

    def stream_socket(self, address: str, port: int = 0) -> socket.socket:
        """Open the socket, in this process's own stack."""
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address, port))
        except OSError:
            sock.close()
            raise
        return sock

    def add_neighbour(self, device: str, address: str, mac: str) -> None:
        """Make a permanent entry with arp(8) or ndp(8); the device follows from the address."""
        self.script(knowing(address, mac))

    def close(self) -> None:
        """Remove the jail."""
        if self.jail:
            jails.remove(self.jail)


def adding(device: str, addresses: Iterable[str]) -> list[str]:
    """Return the commands that give a device addresses."""
    return [f"ifconfig {device} {'inet6' if ':' in one else 'inet'} {one} alias" for one in addresses]


def knowing(address: str, mac: str) -> str:
    """Return the command that makes a permanent entry of a neighbour."""
    return f"ndp -s {address} {mac} >/dev/null" if ":" in address else f"arp -S {address} {mac} >/dev/null"


class FreeBsdGuest(FreeBsdStack, Guest):
    """A guest in a vnet jail of its own, behind an epair."""

    def __init__(self, sandbox: FreeBsdStack, name: str, mac: str, addresses: Sequence[str], mtu: int) -> None:
        """Make the jail and the cable, and start seeing frames."""
        super().__init__(name, jails.new_name())
        assert self.jail is not None
        self.mac = mac
        self.port = f"p-{name}"
        self.record: list[Captured] = []
        self._opener: subprocess.Popen[bytes] | None = None
        self._asking: socket.socket | None = None
        self._frames = -1
        try:
            near = sandbox.script(
                f"{shlex.join(jails.making(self.jail, children=0))} >/dev/null",
                "near=$(ifconfig epair create)",
                f"ifconfig $near name {self.port} mtu {mtu} up >/dev/null",
                f"ifconfig ${{near%a}}b vnet {self.jail}",
                "echo $near",
            ).strip()
            far = f"{near[:-1]}b"
            self._start(
                QUIET,
                "ifconfig lo0 127.0.0.1/8 up",
                f"ifconfig {far} ether {mac} name {GUEST_DEVICE} mtu {mtu} up >/dev/null",
                *adding(GUEST_DEVICE, addresses),
            )
            self._frames = self._ask("bpf", GUEST_DEVICE)
        except BaseException:
            self.shut()
            raise

    def _start(self, *lines: str) -> None:
        """Set the guest up, and have the same shell become the opener."""
        assert self.jail is not None
        self._asking, answering = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._asking.settimeout(_ANSWER_LIMIT)
        script = "\n".join([*lines, f'exec "$0" -I -S "$1" {answering.fileno()}'])
        with answering:
            self._opener = subprocess.Popen(
                ["jexec", self.jail, "sh", "-e", "-c", script, sys.executable, str(_OPENER)],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[answering.fileno()],
                env=environment(),
            )

    def _ask(self, *words: str) -> int:
        """Have something opened in the guest, and return its descriptor.

        Raises:
            OSError: the guest's system refused.
            SuiteError: the guest could not be set up, or does not answer.
        """
        assert self._asking is not None
        assert self._opener is not None
        try:
            self._asking.send("\0".join(words).encode())
            # Room for two: Python makes no room for the padding behind one, and FreeBSD then cuts it off.
            answer, descriptors, _, _ = socket.recv_fds(self._asking, 1 << 12, 2)
        except OSError as error:
            answer, descriptors = b"", []
            why = str(error)
        else:
            why = "it has ended"
        if not answer:
            self._opener.kill()
            said = self._opener.communicate()[1].decode(errors="replace").strip()
            raise SuiteError(f"the guest {self.name} cannot be used: {said or why}")
        if not descriptors:
            number, _, words_of_system = answer.decode().partition("\0")
            raise OSError(int(number), words_of_system)
        return descriptors[0]

    def datagram_socket(self, address: str, port: int = 0) -> socket.socket:
        """Open the socket in the guest's stack."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return socket.socket(fileno=self._ask("udp", str(int(family)), address, str(port)))

    def stream_socket(self, address: str, port: int = 0) -> socket.socket:
        """Open the socket in the guest's stack."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return socket.socket(fileno=self._ask("tcp", str(int(family)), address, str(port)))

    def wake(self, *addresses: str, gateways: Sequence[str] = (), neighbours: Mapping[str, str] | None = None) -> None:
        """Give it addresses, permanent entries and routes with ifconfig(8), arp(8), ndp(8) and route(8)."""
        self.script(
            *adding(GUEST_DEVICE, addresses),
            *(knowing(address, mac) for address, mac in (neighbours or {}).items()),
            *(f"route -q -n add {_family(gateway)} default {gateway} >/dev/null" for gateway in gateways),
        )

    def sleep(self, *addresses: str) -> None:
        """Take routes and addresses away: what is sent to them is another's, and nothing is forwarded."""
        self.script(
            *(f"route -q -n delete {_family(one)} default >/dev/null 2>&1 || true" for one in addresses),
            *(
                f"ifconfig {GUEST_DEVICE} {'inet6' if ':' in one else 'inet'} {one.partition('/')[0]} -alias"
                for one in addresses
            ),
        )

    def fileno(self) -> int:
        """Return what to wait on for frames."""
        return self._frames

    def send(self, frame: Frame) -> None:
        """Put a frame on the wire."""
        write(self._frames, frame)
        self.record.append(Captured.now(frame.data, sent=True))

    def receive(self) -> list[bytes]:
        """Return the frames that have arrived."""
        seen = bpf.drain(self._frames)
        self.record += (Captured.now(data) for data in seen)
        return seen

    def tagged(self, vlan: int, *addresses: str) -> None:
        """Make a vlan(4) on the guest's end of the cable."""
        device = f"{GUEST_DEVICE}.{vlan}"
        self.script(
            f"ifconfig vlan create vlan {vlan} vlandev {GUEST_DEVICE} name {device} up >/dev/null",
            *adding(device, addresses),
        )

    def shut(self) -> None:
        """Stop seeing frames, and remove cable and jail; a jail lives on while somebody has a socket of its stack."""
        if self._frames >= 0:
            os.close(self._frames)
            self._frames = -1
        if self._asking is not None:
            self._asking.close()
        if self._opener is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._opener.wait(_ANSWER_LIMIT)
            self._opener.kill()
            self._opener.wait()
            if self._opener.stderr is not None:
                self._opener.stderr.close()
        # The driver may have deleted the port, or moved it. In the jail there is nothing that would not go with it.
        script(f"ifconfig {self.port} destroy", f"jail -r {self.jail}", check=False)


def _family(address: str) -> str:
    return "-6" if ":" in address else "-4"


class NearEnd:
    """An endpoint on the near end of a guest's cable."""

    def __init__(self, guest: Guest) -> None:
        """Start seeing frames."""
        self.name = guest.port
        self.mac = "02:00:00:00:00:fe"
        self.record: list[Captured] = []
        self._frames = bpf.attach(guest.port)

    def fileno(self) -> int:
        """Return what to wait on for frames."""
        return self._frames

    def send(self, frame: Frame) -> None:
        """Put a frame into the cable."""
        write(self._frames, frame)
        self.record.append(Captured.now(frame.data, sent=True))

    def receive(self) -> list[bytes]:
        """Return the frames that have come out of the cable."""
        seen = bpf.drain(self._frames)
        self.record += (Captured.now(data) for data in seen)
        return seen

    def shut(self) -> None:
        """Stop seeing frames."""
        os.close(self._frames)


class TapHolder:
    """A program that holds a tap, as bhyve(8) does."""

    def __init__(self, tap: str, mac: str, *, queues: int = 1) -> None:
        """Open the tap.

        Raises:
            OSError: the kernel does not let it be opened so.
        """
        self.name = tap
        self.mac = mac
        self.record: list[Captured] = []
        if queues > 1:
            raise OSError(errno.EOPNOTSUPP, "a tap(4) has one queue")
        self._descriptor = os.open(node(tap), os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        """Return what to wait on for frames."""
        return self._descriptor

    def send(self, frame: Frame) -> None:
        """Write a frame as the guest would; while the tap is down it is lost, as on a cable without a link."""
        write(self._descriptor, frame)
        self.record.append(Captured.now(frame.data, sent=True))

    def receive(self) -> list[bytes]:
        """Return the frames that the guest would have got."""
        seen = []
        try:
            while self._descriptor >= 0:
                seen.append(os.read(self._descriptor, 1 << 16))
        except OSError as error:
            # ENXIO: the tap was deleted under its holder. EHOSTDOWN: it is down.
            if error.errno not in (errno.EAGAIN, errno.ENXIO, errno.EHOSTDOWN):
                raise
        self.record += (Captured.now(data) for data in seen)
        return seen

    def shut(self) -> None:
        """Let go of the tap."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def node(tap: str) -> str:
    """Return the path of a tap's device node.

    The node has the name that the tap was born with. A renamed one has a link of its new name, unless another stack has
    a tap of that name: /dev is one for all.

    Raises:
        OSError: there is no such tap.
    """
    said = run(["ifconfig", "-D", tap], missing=("does not exist",))
    if not said:
        raise OSError(errno.ENXIO, f"there is no tap {tap}")
    found = _DRIVER_NAME.search(said)
    return f"/dev/{found[1] if found else tap}"


def opens_for(tap: str, *, uid: int, gid: int) -> bool:
    """Whether a tap can be held by a user without privilege, tried in a child process."""
    path = node(tap)
    child = os.fork()
    if child == 0:
        status = 255
        try:
            os.setgroups([])
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            status = 1
            os.open(path, os.O_RDWR)
            status = 0
        except OSError as error:
            if status == 1 and error.errno not in (errno.EPERM, errno.EACCES):
                status = 254
            os.write(2, f"as user {uid}, group {gid}: {error}\n".encode() if status > 1 else b"")
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status not in (0, 1):
        raise SuiteError(f"whether user {uid}, group {gid} may hold {tap} could not be tried: exit status {status}")
    return status == 0


def write(descriptor: int, frame: Frame) -> None:
    """Write a frame; what the device has no room or no link for is lost, which is for the receiver to miss."""
    try:
        os.write(descriptor, frame.data)
    except OSError as error:
        if error.errno not in (errno.ENOBUFS, errno.EIO, errno.EHOSTDOWN, errno.ENETDOWN):
            raise
