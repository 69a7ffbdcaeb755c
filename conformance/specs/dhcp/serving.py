"""What topics about a server's life have in common: its process, its files, and that nothing is done."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from conformance.errors import Inconclusive, SuiteError
from conformance.harness import DhcpUnderTest
from conformance.specs.dhcp.told import POOL
from conformance.steps import watched
from conformance.topology import packets
from conformance.topology.dhcp.client import Client
from conformance.topology.dhcp.client6 import Client6
from conformance.topology.dhcp.messages import EVERYBODY, NOWHERE, PARAMETERS, Message, arrived, payload
from conformance.topology.dhcp.messages6 import Message6
from conformance.topology.dhcp.segment import Segment
from conformance.topology.frames import BROADCAST, Frame
from conformance.topology.sandbox import Sandbox
from refnet.dhcp import DhcpNetwork, Host, Range
from refnet.errors import RefnetError

Error = TypeVar("Error", bound=RefnetError)

#: The server's networks of both families, and what is given of the second one to whoever asks.
DUAL = ("10.9.0.1/24", "fd09::1/64")
POOL6 = Range("fd09::100", "fd09::1ff")
#: What must come about gets so many times what a packet gets to arrive. Only a failing spec waits that long.
_LIMITS = 6
#: Seconds for what the suite itself has to do.
LIMIT = 30.0
#: More steps than any call takes, by far.
_MOST_STEPS = 300


def network(segment: Segment, *hosts: Host, **fields: object) -> DhcpNetwork:
    """Return the segment's network, with a range, with these hosts, and without DNS if no field says otherwise."""
    return segment.network(**{"ranges": POOL, "dns": None, "hosts": hosts, **fields})


def network6(segment: Segment, *hosts: Host, **fields: object) -> DhcpNetwork:
    """Return the segment's network of both families, each with a range."""
    return network(segment, *hosts, **{"ranges": (POOL, POOL6), "ipv6": "stateful", **fields})


def at_once(client: Client, *, what: str) -> Message:
    """Return the offer that a client gets, which has to be an answer to its first DISCOVER."""
    mark = len(client.endpoint.record)
    offer = client.discover()
    sent = [arrived(one.data) for one in client.endpoint.record[mark:] if one.sent]
    asked = [one for one in sent if one and one.kind == "DISCOVER"]
    assert len(asked) == 1, f"after {what}, a client had to ask {len(asked)} times until it was answered"
    return offer


class Asker:
    """Asks in the place of a client, one DISCOVER after another, and does not wait for answers."""

    def __init__(self, client: Client) -> None:
        """Ask nothing yet."""
        self._client = client
        self._mark = len(client.endpoint.record)
        #: What was asked with.
        self.asked: set[int] = set()

    def ask(self) -> None:
        """Send a DISCOVER."""
        xid = self._client.net.random.getrandbits(32)
        question = Message("DISCOVER", self._client.mac, xid=xid, options={PARAMETERS: bytes((1, 3, 26))})
        packet = packets.udp(NOWHERE, EVERYBODY, packets.DHCP_CLIENT, packets.DHCP_SERVER, payload(question))
        data = packets.ether(self._client.mac, BROADCAST, packet)
        self.asked.add(xid)
        self._client.endpoint.send(Frame(data, data))

    def offers(self) -> dict[int, Message]:
        """Return the offers that have come, by what was asked with."""
        self._client.endpoint.receive()
        seen = [arrived(one.data) for one in self._client.endpoint.record[self._mark :] if not one.sent]
        return {one.xid: one for one in seen if one and one.kind == "OFFER" and one.xid in self.asked}


def pid(dhcp: DhcpUnderTest, device: str, what: str = "start") -> int:
    """Return the process of a device's server, which has to run."""
    status = dhcp.running(device)
    assert status.is_running and status.pid, f"after {what}, running({device!r}) says {status}"
    return int(status.pid)


def files(directory: Path | str) -> dict[str, tuple[object, ...]]:
    """Return what is below a directory, and of each file what a writer would change."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(Path(directory).rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            about = path.lstat()
            kind = "directory" if stat.S_ISDIR(about.st_mode) else "file"
            size = (about.st_size, about.st_mtime_ns) if kind == "file" else ()
            found[str(path.relative_to(directory))] = (kind, about.st_ino, about.st_mode, about.st_uid, *size)
    return found


def changed(before: dict[str, tuple[object, ...]], after: dict[str, tuple[object, ...]]) -> list[str]:
    """Return the files that have come, gone and changed, in words."""
    return [
        f"{name} {'is new' if name not in before else 'is gone' if name not in after else 'was written'}"
        for name in sorted({**before, **after})
        if before.get(name) != after.get(name)
    ]


def refusal(call: Callable[[], object], kind: type[Error], what: str) -> Error:
    """Return the error that a call has to raise.

    Raises:
        AssertionError: it goes through, or raises another one.
    """
    try:
        call()
    except kind as error:
        return error
    except RefnetError as error:
        raise AssertionError(
            f"{what} is refused with {type(error).__name__} and not with {kind.__name__}: {error}"
        ) from error
    raise AssertionError(f"{what} goes through")


@contextlib.contextmanager
def nothing_done(dhcp: DhcpUnderTest, device: str, what: str) -> Iterator[None]:
    """See that within the context no file is written, no program is started, no signal sent, and the server stays."""
    server, before = dhcp.running(device).pid, files(dhcp.directory)
    with watched(dhcp.directory) as steps:
        yield
    assert not steps.seen, f"{what}: there was nothing to do, and this was done: {'; '.join(steps.seen)}"
    touched = changed(before, files(dhcp.directory))
    assert not touched, f"{what}: there was nothing to do, and {'; '.join(touched)}"
    after = dhcp.running(device).pid
    assert after == server, f"{what}: there was nothing to do, and the server was process {server} and is {after}"


def leased(dhcp: DhcpUnderTest, device: str, client: Client, **fields: Any) -> Message:
    """Have a client come to a lease, and return its ACK when the manager tells of the lease."""
    ack = client.lease(**fields)
    _told(dhcp, device, client.net, {ack.yiaddr})
    return ack


def leased6(dhcp: DhcpUnderTest, device: str, client: Client6, **fields: Any) -> Message6:
    """Have a client of DHCPv6 come to a lease, and return its REPLY when the manager tells of the lease."""
    reply = client.lease(**fields)
    _told(dhcp, device, client.net, set(reply.addresses))
    return reply


def _told(dhcp: DhcpUnderTest, device: str, net: Sandbox, addresses: set[str]) -> None:
    """Wait until the manager tells of leases: a server answers before it writes them down."""

    def told() -> set[str]:
        return {str(one.address) for one in dhcp.leases(device)}

    until(net, lambda: addresses <= told(), lambda: f"{sorted(addresses)} is let, and leases() has {sorted(told())}")


def patience(net: Sandbox) -> float:
    """Return the seconds that something gets which must come about."""
    return _LIMITS * net.arrival_limit


def until(net: Sandbox, condition: Callable[[], object], words: str | Callable[[], str]) -> None:
    """Wait for a condition; ``words`` say what is wrong, or return that, if it does not come about.

    Raises:
        AssertionError: it does not come about.
    """
    deadline = time.monotonic() + patience(net)
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(words if isinstance(words, str) else words())
        time.sleep(0.01)


def ended(net: Sandbox, process: int, words: str) -> None:
    """Wait until a process has ended.

    Raises:
        AssertionError: it goes on.
    """
    until(net, lambda: not is_there(process), words)


def counting(what: str) -> Iterator[int]:
    """Count the steps of a call.

    Raises:
        SuiteError: there is no end to them.
    """
    yield from range(1, _MOST_STEPS)
    raise SuiteError(f"{what} takes more than {_MOST_STEPS} steps: there is no end to it")


def is_there(process: int) -> bool:
    """Whether there is a process with this number which has not ended."""
    # Where the suite inherits orphans, one that has ended stays until the suite has asked for it.
    with contextlib.suppress(ChildProcessError):
        if os.waitpid(process, os.WNOHANG)[0]:
            return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Bystander:
    """A process that has to do with nobody, and tells which signals it gets. To be closed."""

    def __init__(self) -> None:
        """Start it; it ends with whoever started it."""
        told, telling = os.pipe()
        self._last = signal.SIGRTMAX
        everything = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
        old = signal.pthread_sigmask(signal.SIG_BLOCK, everything)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setpgid(0, 0)
                os.close(told)
                while True:
                    os.write(telling, bytes([signal.sigwait(everything)]))
            finally:
                os._exit(1)
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
        os.close(telling)
        self._told = told

    def unharmed(self, what: str) -> None:
        """See that it lives and has got no signal.

        Raises:
            AssertionError: it was ended, or signalled.
        """
        ended, status = os.waitpid(self.pid, os.WNOHANG)
        if ended:
            self.pid = 0
            raise AssertionError(
                f"{what}: a process of somebody else's was ended ({os.waitstatus_to_exitcode(status)})"
            )
        # Signals are told in the order of their numbers: when the last one of all is told, the others have been.
        os.kill(self.pid, self._last)
        seen: list[int] = []
        while self._last not in seen:
            if not select.select([self._told], [], [], LIMIT)[0]:
                raise Inconclusive(f"{what}: the bystander does not tell of a signal that the suite has sent")
            seen += os.read(self._told, 64)
        seen.remove(self._last)
        if seen:
            names = ", ".join(signal.Signals(one).name for one in seen)
            raise AssertionError(f"{what}: a process of somebody else's was signalled: {names}")

    def __enter__(self) -> Bystander:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._told)
