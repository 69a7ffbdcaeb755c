"""What a topology is made of, on whichever system: endpoints, and network stacks."""

from __future__ import annotations

import abc
import socket
import subprocess
from collections.abc import Mapping, Sequence
from typing import Protocol

from conformance.errors import SuiteError
from conformance.topology.frames import Captured, Frame

#: What a guest calls its end of the cable.
GUEST_DEVICE = "eth0"


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


class Holder(Endpoint, Protocol):
    """An endpoint that holds a tap, as a hypervisor does, until it lets go."""

    def shut(self) -> None:
        """Let go of the tap."""
        ...


class NetworkCard(abc.ABC):
    """A network card with virtual functions. Its device is in the sandbox; theirs are nowhere, as those in guests."""

    #: The name of its device.
    name: str

    @abc.abstractmethod
    def set(self, number: int, *words: str) -> None:
        """Set a virtual function as somebody else would, in the words of ip-link(8): ``"vlan", "7", "qos", "3"``."""

    @abc.abstractmethod
    def at_pci(self, number: int, device: str | None = None) -> str:
        """Have a virtual function show in /sys as one of PCI's, with ``device`` as its own; return its PCI address."""


class Stack(abc.ABC):
    """A network stack: the sandbox's own, or a guest's. Sockets opened in it work from anywhere."""

    name: str

    @abc.abstractmethod
    def run(self, *argv: str, stdin: str | None = None) -> str:
        """Run a program of the suite's own in this stack and return what it printed.

        Raises:
            SuiteError: it failed; scaffolding that cannot be built is no verdict on anybody.
        """

    @abc.abstractmethod
    def start(self, *argv: str) -> subprocess.Popen[str]:
        """Start a program of the suite's own in this stack; both its outputs are one pipe. The caller ends it.

        Raises:
            SuiteError: it cannot be started.
        """

    @abc.abstractmethod
    def add_address(self, device: str, *addresses: str, detection: bool = False) -> None:
        """Give a device addresses; those of IPv6 without looking for duplicates, unless ``detection`` says so."""

    @abc.abstractmethod
    def add_route(self, destination: str, gateway: str, device: str) -> None:
        """Add a route, such as one to ``203.0.113.0/24`` or ``default``, by a gateway behind a device."""

    @abc.abstractmethod
    def forget_neighbours(self) -> None:
        """Forget which MAC address other stacks' addresses are at, so that they have to answer for them again."""

    @abc.abstractmethod
    def plain_bridge(self, name: str, *ports: str) -> None:
        """Make a bridge as the system itself makes one, up, with these ports."""

    @abc.abstractmethod
    def join(self, bridge: str, *ports: str) -> None:
        """Make devices ports of such a bridge, and set them up."""

    @abc.abstractmethod
    def give_link_local(self, bridge: str) -> None:
        """See that such a bridge has an IPv6 link-local address, as an administrator does where the kernel does not."""

    @abc.abstractmethod
    def datagram_socket(self, address: str, port: int = 0) -> socket.socket:
        """Open a UDP socket in this stack, bound to one of its addresses; the caller closes it.

        Raises:
            OSError: it cannot be bound so.
        """

    @abc.abstractmethod
    def stream_socket(self, address: str, port: int = 0) -> socket.socket:
        """Open a TCP socket in this stack, bound to one of its addresses, to connect or to listen with.

        Its port may be bound again at once (SO_REUSEADDR). The caller closes it.

        Raises:
            OSError: it cannot be bound so.
        """

    @abc.abstractmethod
    def add_neighbour(self, device: str, address: str, mac: str) -> None:
        """Tell this stack for good which MAC address a neighbour's address is at: it never asks for it."""

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of the stack."""


class Guest(Stack):
    """A guest: a network stack of its own behind a virtual cable, whose near end ``port`` is in the sandbox.

    It is an endpoint as well: it sends and sees frames at its end of the cable.
    """

    mac: str
    port: str
    record: list[Captured]

    @abc.abstractmethod
    def fileno(self) -> int:
        """Return what to wait on for frames."""

    @abc.abstractmethod
    def send(self, frame: Frame) -> None:
        """Put a frame on the wire."""

    @abc.abstractmethod
    def receive(self) -> list[bytes]:
        """Return the frames that have arrived, with their VLAN tags, and not been returned before."""

    @abc.abstractmethod
    def tagged(self, vlan: int, *addresses: str) -> None:
        """Give the guest addresses in a VLAN of its cable; what it sends from them carries the tag."""

    @abc.abstractmethod
    def wake(self, *addresses: str, gateways: Sequence[str] = (), neighbours: Mapping[str, str] | None = None) -> None:
        """Have the guest's kernel own these addresses (``10.0.1.2/24``): it answers for them, and sockets may use them.

        ``gateways`` are the next hops of its default routes, one a family at most, and ``neighbours`` the MAC addresses
        by address that it is told for good. IPv6 addresses can be used at once.
        """

    @abc.abstractmethod
    def sleep(self, *addresses: str) -> None:
        """Take from the guest's kernel what :meth:`wake` gave it.

        It then answers nothing that is sent to these addresses, neither by a TCP reset nor by an ICMP error, while the
        endpoint goes on sending and seeing frames.
        """

    @abc.abstractmethod
    def shut(self) -> None:
        """Stop seeing frames and let go of the stack."""


def started(argv: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start a program of the suite's own, in a session of its own; both its outputs are one pipe.

    Raises:
        SuiteError: it cannot be started.
    """
    try:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise SuiteError(f"scaffolding: {' '.join(argv)}: {error}") from None
