"""One spec's network, on whichever system: what is built in it, and what is proven between its endpoints."""

from __future__ import annotations

import abc
import contextlib
import random
import select
import socket
import time
from collections.abc import Iterator

from conformance.errors import Inconclusive, SuiteError
from conformance.oracles.base import Oracle
from conformance.topology import frames
from conformance.topology.base import Endpoint, Guest, Holder, NetworkCard, Stack
from conformance.topology.frames import Captured, Frame
from conformance.topology.switch import DEFAULT_PLACE, Switch
from refnet.netdev.driver import Kind

#: Seconds for something to arrive that must arrive. Only a failing spec waits that long.
ARRIVAL_LIMIT = 5.0
#: Seconds between two sendings of a datagram that may have been lost to address resolution.
_RESEND = 0.3


class Sandbox(Stack):
    """One spec's network: a fresh stack that the driver works in, and the endpoints around it."""

    #: What the system calls the loopback.
    loopback: str
    #: Whether its kernel deletes a tap that a program holds; one that does not would wait for the program.
    deletes_held_taps: bool
    #: Whether its kernel gives an address a broadcast address also in a /31 or a /32.
    gives_every_broadcast: bool
    look: Oracle
    #: Where its Open vSwitch is, if it has one: where drivers look for it, and no other sandbox's is.
    switch_place = DEFAULT_PLACE

    def __init__(self, seed: str, arrival_limit: float) -> None:
        """Know nothing yet."""
        self.name = "sandbox"
        self.arrival_limit = arrival_limit
        self.random = random.Random(seed)
        self._endpoints: list[Guest | Holder] = []
        self._stacks: list[Stack] = []
        self._foreign: list[str] = []
        self._tokens = 0

    # -- building -------------------------------------------------------------------------------------

    @abc.abstractmethod
    def guest(self, name: str, *addresses: str, mac: str | None = None, mtu: int = 1500) -> Guest:
        """Make a guest with these addresses; its port ``p-NAME`` is in the sandbox, up, and of no bridge."""

    @abc.abstractmethod
    def hold(self, tap: str, *, mac: str | None = None, queues: int = 1) -> Holder:
        """Hold a tap of the sandbox as a hypervisor does.

        Raises:
            OSError: the kernel does not let it be opened so.
        """

    @abc.abstractmethod
    def may_hold(self, tap: str, *, uid: int, gid: int) -> bool:
        """Whether a tap of the sandbox can be held by a user without privilege."""

    @abc.abstractmethod
    def near_end(self, guest: Guest) -> Holder:
        """Return an endpoint on the near end of a guest's cable."""

    @contextlib.contextmanager
    def attached(self, guest: Guest) -> Iterator[Endpoint]:
        """Have an endpoint on the near end of a guest's cable: what it sends, the guest gets, bridge or not."""
        near = self.near_end(guest)
        try:
            yield near
        finally:
            near.shut()

    def network_card(self, name: str = "card0", *, vfs: int) -> NetworkCard:
        """Make a network card, up, with so many virtual functions, where the feature ``netdevsim`` is to be had.

        :meth:`remove_endpoints` takes it away.

        Raises:
            SuiteError: the system cannot.
        """
        raise SuiteError(f"this system has no network card to be made for a spec ({name}, {vfs} virtual functions)")

    def remove_in_the_end(self, *devices: str) -> None:
        """Have :meth:`remove_endpoints` take plain devices away."""
        self._foreign += devices

    @abc.abstractmethod
    def remove_plain(self, *devices: str) -> None:
        """Take such plain devices away again; with one end of a cable the other goes."""

    @abc.abstractmethod
    def plain_cables(self, *names: str) -> None:
        """Make virtual cables as the system itself makes them; what bears the name is up, the other end is nobody's."""

    @abc.abstractmethod
    def foreign(self, name: str, kind: Kind) -> None:
        """Make a device that is nobody's concern but has a name that somebody wants: a bridge, a tap or a tun."""

    @abc.abstractmethod
    def rename(self, device: str, name: str) -> None:
        """Give a device another name, as somebody else would; it is up afterwards."""

    @abc.abstractmethod
    def set_mac(self, device: str, mac: str) -> None:
        """Give a device a MAC address, as somebody else would."""

    @abc.abstractmethod
    def move(self, device: str, stack: Stack) -> None:
        """Move a device of the sandbox into another stack."""

    @abc.abstractmethod
    def neighbour(self, name: str) -> Stack:
        """Make another, empty network stack beside the sandbox."""

    @abc.abstractmethod
    def clear(self, device: str) -> None:
        """Take addresses, but link-local IPv6 ones, and routes from a device."""

    @abc.abstractmethod
    def detect_duplicates(self, device: str) -> None:
        """Have the kernel look for duplicates of new IPv6 addresses of a device, as it does outside of sandboxes."""

    @abc.abstractmethod
    def other_rules(self) -> contextlib.AbstractContextManager[None]:
        """Have rules of routing beside the routes that no driver has to do with, where the system has such rules."""

    @abc.abstractmethod
    def drop_privileges(self) -> None:
        """Take from the calling process, for good, every privilege that changing a network takes.

        Raises:
            SuiteError: the system does not let it go.
        """

    # -- switches -------------------------------------------------------------------------------------

    @property
    def switch(self) -> Switch | None:
        """The sandbox's Open vSwitch, if it has been started."""
        return self.look.switch

    def open_vswitch(self) -> Switch:
        """Have an Open vSwitch of this sandbox's own, and start it if it does not run. It ends with the sandbox.

        A spec of one of its capabilities finds it running. What a driver leaves in its database counts as left.

        Raises:
            SuiteError: it does not start.
        """
        if self.look.switch is None:
            self.look.switch = Switch(self, self.switch_place)
        return self.look.switch

    def end_switch(self) -> None:
        """End the sandbox's Open vSwitch, if it has one, and remove its files."""
        if self.look.switch is not None:
            self.look.switch.close()
        self.look.switch = None

    # -- firewalls ------------------------------------------------------------------------------------

    @abc.abstractmethod
    def forward(self, *families: int) -> None:
        """Make a router of the sandbox for these families (4, 6), as an administrator does.

        :meth:`remove_endpoints` undoes it. Any sandbox, router or not, sends an ICMP error or a TCP reset as often as
        there is a reason (no rate limits), sends no redirects, and does not look at the way back to a source address.
        """

    @abc.abstractmethod
    def prepare_firewall(self) -> None:
        """Do what an administrator does before a firewall can be used here, and before the state is taken down.

        On Linux that is next to nothing. On FreeBSD pf is enabled, and its main rule set refers to refnet's anchors.
        """

    @abc.abstractmethod
    def filter_bridges(self) -> None:
        """Have bridged packets go through the rules for routed ones as well, where that is a setting of the system.

        On Linux: net.bridge.bridge-nf-call-iptables and its like; on FreeBSD: net.link.bridge.pfil_member. They do not
        in a new sandbox, and :meth:`remove_endpoints` undoes it.

        Raises:
            SuiteError: the system cannot.
        """

    @abc.abstractmethod
    def foreign_rules(self, owner: str) -> None:
        """Make rules of somebody else's: in all that the system filters with, of all kinds that it knows.

        They let everything pass, and their comments, and names as far as names go, mention ``owner``. What they are,
        :meth:`.Oracle.rules` tells. :meth:`remove_endpoints` takes away what is left of them, and nothing else.
        """

    @abc.abstractmethod
    def flush_rules(self) -> None:
        """Do what somebody does who flushes all rules, chains and sets of all packet filters, whosever they are."""

    @abc.abstractmethod
    def lock_rules(self) -> contextlib.AbstractContextManager[bool]:
        """Hold the lock that the system's own tools wait for before they write rules.

        What is yielded says whether the system has such a lock.
        """

    @abc.abstractmethod
    def connections(self, address: str) -> list[str]:
        """Return the entries of the connection tracking that have to do with an address, without times and counters."""

    @abc.abstractmethod
    def own_end(self, protocol: int, address: str, port: int = 0) -> Holder:
        """Return an endpoint that is this stack itself, for one protocol, and one of its addresses and ports.

        What is sent has to be a frame with an IP packet in it: the packet goes, as it is, the stack's own way out, past
        its rules for that. What is received is what has come the stack's own way in, past its rules for that, and for
        this protocol, address and port: with all of it that :func:`.packets.parse` tells, behind an Ethernet header of
        zeros. As long as it lasts, a UDP or TCP port is open, and the stack says nothing of its own to a datagram.
        Where the system shows no such packet to programs (FreeBSD: TCP, ICMP echo requests), its answer on its way out
        stands for it.

        Raises:
            OSError: the address is not one of this stack, or the port is in use.
        """

    def new_mac(self) -> str:
        """Return a locally administered unicast MAC address that this spec has not used."""
        return "02:" + ":".join(f"{self.random.randrange(256):02x}" for _ in range(5))

    def new_token(self) -> bytes:
        """Return 32 bytes that occur in nothing else that this spec sends."""
        self._tokens += 1
        return b"refnet-%08x-%016x" % (self._tokens, self.random.getrandbits(64))

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
        token = self.new_token()
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
            # A switch that asks a program about the first frame of a kind may let the next one overtake it.
            seen += self._until(receiver, frame) if not any(frame.token in data for data in seen) else []
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

    def let_go(self) -> None:
        """Have what a driver needs to take things back.

        Nobody holds a tap any more: FreeBSD's kernel deletes none that is held, and waits. And the switch runs.
        """
        if self.switch is not None:
            self.switch.mend()
        for endpoint in self._endpoints:
            if not isinstance(endpoint, Guest):
                endpoint.shut()

    @abc.abstractmethod
    def remove_endpoints(self) -> None:
        """Take the scaffolding away, so that what is left is the driver's."""

    def captures(self) -> dict[str, list[Captured]]:
        """Return what each endpoint has sent and seen."""
        self.drain()
        seen: dict[str, list[Captured]] = {}
        for endpoint in self._endpoints:
            seen.setdefault(endpoint.name, []).extend(endpoint.record)
        # The ends of the sandbox itself go by one name.
        return {name: sorted(record, key=lambda one: one.when) for name, record in seen.items()}

    @abc.abstractmethod
    def shell(self, pid: int) -> str:
        """Return the command that opens a shell in the sandbox, from another terminal of the host.

        ``pid`` is this process's, as the host sees it.
        """

    @abc.abstractmethod
    def leave(self) -> None:
        """Bring the calling thread back to where it was before, if it can go back, and let go of the stack."""


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
