"""What is not there, in use, full or forbidden: typed errors, nothing left, and what ran goes on."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from conformance.errors import SuiteError
from conformance.features import SECOND_USER
from conformance.harness import DhcpUnderTest, in_child
from conformance.spec import spec
from conformance.specs.dhcp.serving import at_once, counting, files, leased, network, pid, refusal
from conformance.steps import watched
from conformance.system import LINUX
from conformance.topology.dhcp.segment import Segment
from conformance.topology.sandbox import Sandbox
from refnet.dhcp import Capability, DhcpNetwork, Dns, Host
from refnet.errors import (
    AddressInUse,
    InvalidArgument,
    KernelRefused,
    NoSuchDevice,
    NotRunning,
    PermissionDenied,
    RefnetError,
    TeardownFailed,
    ToolMissing,
)

DHCP = Capability.DHCP


@contextlib.contextmanager
def _nothing_left(dhcp: DhcpUnderTest, net: Sandbox, what: str) -> Iterator[None]:
    """See that a call which fails leaves no process and no file."""
    before, stood = net.look.processes(), set(files(dhcp.directory))
    yield
    left = [one for one in net.look.processes() if one not in before]
    assert not left, f"{what} has failed, and left {left}"
    new = sorted(set(files(dhcp.directory)) - stood)
    assert not new, f"{what} has failed, and left the files {new}"


@spec(
    "DF-08",
    "A network on a device that is not there is refused with NoSuchDevice, and nothing is left.",
    capability=DHCP,
)
def test_no_device(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    served = DhcpNetwork("nosuch0", "10.9.0.1/24", dns=None)
    with _nothing_left(dhcp, net, "start on a device that is not there"):
        error = refusal(lambda: dhcp.start(served), NoSuchDevice, "start on a device that is not there")
    assert error.device == "nosuch0", f"start on nosuch0 is refused, and the error is about {error.device}"
    assert not dhcp.networks(), f"start on a device that is not there has failed, and networks() has {dhcp.networks()}"


@spec(
    "DF-09",
    "A network whose address the device has not is refused with InvalidArgument, which names it, and nothing is left.",
    capability=DHCP,
)
def test_no_address(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net, "10.9.0.1/24", "fd09::1/64")
    net.plain_cables("other0")
    net.add_address("other0", "10.66.0.1/24")
    for addresses in (["10.9.0.2/24"], ["10.9.0.1/24", "fd09::2/64"], ["10.66.0.1/24"], ["10.9.0.1/25"]):
        served = DhcpNetwork(segment.device, addresses, dns=None)
        what = f"start with {addresses[-1]}, which the device has not,"
        with _nothing_left(dhcp, net, what):
            error = refusal(lambda served=served: dhcp.start(served), InvalidArgument, what)  # type: ignore[misc]
        missing = addresses[-1].partition("/")[0]
        assert missing in str(error), f"the error of {what} does not name {missing}: {error}"
        assert segment.device in str(error), f"the error of {what} does not name the device: {error}"
    net.remove_plain("other0")


@spec(
    "DF-10",
    "When another program has the DHCP port or the DNS port, start says so with AddressInUse, that program goes on, "
    "and nothing is left.",
    capability=(DHCP, Capability.DNS),
)
def test_port_in_use(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    served = network(segment, dns=Dns())
    for address, port in (("10.9.0.1", 53), ("0.0.0.0", 67)):  # noqa: S104 - a foreign server's
        what = f"start while another program has port {port}"
        with net.datagram_socket(address, port) as foreign, _nothing_left(dhcp, net, what):
            error = refusal(lambda: dhcp.start(served), AddressInUse, what)
            assert str(error.detail), f"the error of {what} has no words of the server's: {error}"
            with net.datagram_socket("10.9.0.1") as sender:
                sender.sendto(b"still there?", ("10.9.0.1", port))
                foreign.settimeout(net.arrival_limit)
                assert foreign.recv(64) == b"still there?", f"{what} has taken its packets"
        dhcp.start(served)
        dhcp.stop(segment.device, forget=True)


@contextlib.contextmanager
def _without_tools() -> Iterator[None]:
    path = os.environ["PATH"]
    os.environ["PATH"] = "/nonexistent"
    try:
        yield
    finally:
        os.environ["PATH"] = path


@spec(
    "DF-11",
    "Where the server's program is not installed, start says so and names it, nothing is left, and what runs can be "
    "stopped.",
    capability=DHCP,
)
def test_no_program(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    served = network(segment)
    with _without_tools(), _nothing_left(dhcp, net, "start without the program"):
        error = refusal(lambda: dhcp.fresh().start(served), ToolMissing, "start without the program")
    assert error.tool and error.tool in str(error), f"the error does not name the missing program: {error}"
    dhcp.start(served)
    with _without_tools():
        dhcp.fresh().stop(segment.device)
    assert not dhcp.running(segment.device).is_running, "without the program, stop has left the server running"


@spec(
    "DF-12",
    "Without privilege a server is neither started, replaced nor stopped, but PermissionDenied is raised, and what "
    "stands can be read.",
    capability=DHCP,
    needs=(SECOND_USER,),  # who has no other user for the server may signal it all the same
)
def test_without_privilege(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment, other = Segment(net), Segment(net, "10.10.0.1/24", device="br-two")
    served = network(segment)
    dhcp.start(served)
    held = leased(dhcp, segment.device, segment.client()).yiaddr
    server = pid(dhcp, segment.device)

    def unprivileged() -> None:
        manager = dhcp.fresh()
        net.drop_privileges()
        assert manager.running(segment.device).is_running, "running() needs a privilege"
        assert manager.network(segment.device) == served, "network() needs a privilege"
        assert [str(one.address) for one in manager.leases(segment.device)] == [held], "leases() needs a privilege"
        calls: dict[str, Callable[[], object]] = {
            "start": lambda: manager.start(other.network(dns=None)),
            "start with another MTU": lambda: manager.start(network(segment, mtu=1300)),
            "stop": lambda: manager.stop(segment.device),
        }
        for what, call in calls.items():
            error = refusal(call, RefnetError, f"without privilege, {what}")
            reasons = error.errors if isinstance(error, TeardownFailed) else [error]
            for reason in reasons:
                assert isinstance(reason, PermissionDenied), f"without privilege, {what} raises {reason!r}"

    before = net.look.processes()
    assert in_child(unprivileged) == 0, "a call without privilege was not refused with PermissionDenied"
    assert pid(dhcp, segment.device, "calls without privilege") == server, "calls without privilege ended the server"
    left = [one for one in net.look.processes() if one not in before]
    assert not left, f"calls without privilege have left {left}"
    assert dhcp.network(segment.device) == served, "calls without privilege have changed what network() says"


@spec(
    "DF-13",
    "Whichever file cannot be written for want of room, start says so and leaves nothing, and the next start goes "
    "through.",
    capability=DHCP,
)
def test_no_room_for_start(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    client = segment.client()
    served = network(segment, Host(client.mac, "10.9.0.5", name="five"))
    for at in counting("start"):
        what = f"start without room for step {at}"
        with watched(dhcp.directory, at) as steps:
            try:
                with _nothing_left(dhcp, net, what):
                    _fails_for_room(lambda: dhcp.start(served), what)
            except _WentThrough:
                if not steps.hit:
                    break
                raise AssertionError(f"{what} ({steps.seen[at - 1]}) says nothing") from None
    if at == 1:
        raise SuiteError("start writes nothing that there could be no room for: this proves nothing")
    assert at_once(client, what="starts without room").yiaddr == "10.9.0.5", "a host is not offered its address"


class _WentThrough(Exception):
    """A call went through."""


def _fails_for_room(call: Callable[[], object], what: str) -> None:
    """Make a call that may fail for want of room.

    Raises:
        _WentThrough: it does not fail.
        AssertionError: it fails for another reason.
    """
    error: RefnetError | None = None
    try:
        call()
    except RefnetError as found:
        error = found
    if error is None:
        raise _WentThrough
    assert isinstance(error, KernelRefused), f"{what} is refused with {type(error).__name__}: {error}"
    assert error.errno, f"the error of {what} has no error number: {error}"


@spec(
    "DF-14",
    "Whichever file cannot be written for want of room, the update of hosts says so, the server goes on, and the next "
    "update goes through.",
    capability=DHCP,
)
def test_no_room_for_update(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    client = segment.client()
    old, new = (network(segment, Host(client.mac, address)) for address in ("10.9.0.5", "10.9.0.6"))
    dhcp.start(old)
    server = pid(dhcp, segment.device)
    for at in counting("update"):
        what = f"update without room for step {at}"
        with watched(dhcp.directory, at) as steps:
            try:
                _fails_for_room(lambda: dhcp.update(new), what)
            except _WentThrough:
                assert not steps.hit, f"{what} ({steps.seen[at - 1]}) says nothing"
                break
        assert pid(dhcp, segment.device, what) == server, f"{what} has failed, and the server is another one"
        found = client.discover().yiaddr
        assert found in ("10.9.0.5", "10.9.0.6"), f"{what} has failed, and a host is offered {found}"
    if at == 1:
        raise SuiteError("update writes nothing that there could be no room for: this proves nothing")
    assert client.discover().yiaddr == "10.9.0.6", (
        "after updates without room, and one with it, a host has its old address"
    )


@contextlib.contextmanager
def _small_disk(net: Sandbox, directory: Path) -> Iterator[None]:
    """Have a small file system in the place of a directory that is not there."""
    directory.mkdir()
    try:
        net.run("mount", "-t", "tmpfs", "-o", "size=256k,mode=0755", "tmpfs", str(directory))
        try:
            yield
        finally:
            net.run("umount", "--lazy", str(directory))
    finally:
        directory.rmdir()


@contextlib.contextmanager
def _no_room(directory: Path) -> Iterator[None]:
    """Have no room left in a directory's file system."""
    ballast = directory / "ballast"
    try:
        with open(ballast, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1 << 12))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
        yield
    finally:
        ballast.unlink()


@spec(
    "DF-15",
    "On a disk that is full, start, update and add_host fail with a typed error, a server that runs goes on, and all "
    "goes through when there is room again.",
    capability=DHCP,
    systems=(LINUX,),  # a file system of a process's own
)
def test_full_disk(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    client, guest = segment.client(), segment.client("guest")
    place = dhcp.directory.with_name(f"{dhcp.directory.name}-disk")
    served = network(segment, Host(client.mac, "10.9.0.5"))
    many = [Host(f"02:00:00:00:01:{number:02x}", f"10.9.0.{number + 20}") for number in range(70)]
    with _small_disk(net, place), dhcp.fresh(directory=place) as manager:
        before = net.look.processes()
        with _no_room(place):
            _says_full("start", lambda: manager.start(served))
            left = [one for one in net.look.processes() if one not in before]
            assert not left, f"a start on a full disk has left {left}"
        manager.start(served)
        server = pid(manager, segment.device)
        with _no_room(place):
            _says_full("update", lambda: manager.update(network(segment, Host(client.mac, "10.9.0.6"), *many)))
            assert manager.network(segment.device) == served, "an update on a full disk has changed what network() says"
            assert pid(manager, segment.device, "an update on a full disk") == server, "the server is another one"
            found = client.discover().yiaddr
            assert found == "10.9.0.5", f"an update on a full disk has failed, and a host is offered {found}"
            held = guest.lease().yiaddr
        manager.update(network(segment, Host(client.mac, "10.9.0.6"), *many))
        found = client.discover().yiaddr
        assert found == "10.9.0.6", f"there is room again for an update, and a host is offered {found}"
        assert guest.renew().yiaddr == held, "a lease that was let on a full disk is lost"
        manager.stop(segment.device, forget=True)


def _says_full(what: str, call: Callable[[], object]) -> None:
    error = refusal(call, KernelRefused, f"{what} on a full disk")
    assert error.errno == errno.ENOSPC, f"the error of {what} on a full disk has the number {error.errno}: {error}"


@spec(
    "DF-16",
    "A directory that is a file, or cannot be written, is refused with a typed error, and nothing is left.",
    capability=DHCP,
)
def test_no_directory(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    served = network(segment)
    place = dhcp.directory.with_name(f"{dhcp.directory.name}-file")
    place.write_text("mine")
    try:
        with dhcp.fresh(directory=place) as manager:
            before = net.look.processes()
            what = "start with a file in the place of the directory"
            refusal(lambda: manager.start(served), RefnetError, what)
            left = [one for one in net.look.processes() if one not in before]
            assert not left, f"a start with a file in the place of the directory has left {left}"
            assert place.read_text() == "mine", "a file in the place of the directory was written"
    finally:
        if place.is_file():
            place.unlink()
    with dhcp.fresh(directory=place) as manager:
        assert manager.networks() == (), f"of a directory that is not there, networks() says {manager.networks()}"
        assert not manager.running(segment.device).is_running, "in a directory that is not there, a server runs"
        assert manager.leases(segment.device) == (), "in a directory that is not there, there are leases"
        refusal(lambda: manager.network(segment.device), NotRunning, "network() of a directory that is not there")
        manager.stop(segment.device)
        assert not place.exists(), "a manager that was only asked has made its directory"
