"""A server's files: whose they are, who can read them, and what becomes of what is in their way."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

from conformance.features import SECOND_USER
from conformance.harness import DhcpUnderTest
from conformance.spec import spec
from conformance.specs.dhcp.serving import at_once, changed, files, leased, network, pid
from conformance.specs.dhcp.told import HERE
from conformance.system import LINUX
from conformance.topology.dhcp.names import query
from conformance.topology.dhcp.segment import Segment
from conformance.topology.linux import namespaces
from conformance.topology.sandbox import Sandbox
from refnet.dhcp import Capability, Dns, Host
from refnet.errors import RefnetError

#: sys/mount.h
_MS_BIND = 0x1000
DHCP = Capability.DHCP
BOTH = (DHCP, Capability.DNS)


@spec(
    "DF-01",
    "What others have in the directory is neither read, listed as a network, nor removed.",
    capability=DHCP,
)
def test_foreign_files(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    served = network(segment)
    dhcp.directory.mkdir(mode=0o755)
    (dhcp.directory / "notes.txt").write_text("mine")
    (dhcp.directory / "not a device").mkdir()
    (dhcp.directory / "not a device" / "leases").write_text("mine")
    (dhcp.directory / "lost+found").mkdir()
    before = files(dhcp.directory)
    assert dhcp.networks() == (), f"of a directory with others' files only, networks() says {dhcp.networks()}"
    dhcp.start(served)
    assert dhcp.networks() == (segment.device,), f"among others' files, networks() says {dhcp.networks()}"
    dhcp.update(network(segment, Host("02:00:00:00:00:05", "10.9.0.5")))
    dhcp.stop(segment.device, forget=True)
    touched = changed(before, files(dhcp.directory))
    assert not touched, f"of others' files in the directory: {'; '.join(touched)}"
    for path in (dhcp.directory / "not a device" / "leases", dhcp.directory / "notes.txt"):
        path.unlink()
    for name in ("not a device", "lost+found"):
        (dhcp.directory / name).rmdir()


@spec(
    "DF-02",
    "Whatever the umask, the server can read its files, and not everybody can write them.",
    capability=BOTH,
)
def test_umask(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    client = segment.client()
    for umask in (0o077, 0o000):
        old = os.umask(umask)
        try:
            dhcp.start(network(segment, Host(client.mac, "10.9.0.5", name="five"), dns=Dns(), domain="example.org"))
            dhcp.add_host(segment.device, Host("02:00:00:00:00:06", "10.9.0.6", name="six"))
        finally:
            os.umask(old)
        what = f"a start with the umask {umask:03o}"
        assert at_once(client, what=what).yiaddr == "10.9.0.5", f"after {what}, a host does not get its address"
        for name, address in (("five", "10.9.0.5"), ("six", "10.9.0.6")):
            found = [data for _, _, data in query(net, HERE, f"{name}.example.org").answers]
            assert found == [address], f"after {what}, the name {name} is {found or 'unknown'}"
        for path in dhcp.directory.rglob("*"):
            mode = path.lstat().st_mode
            loose = not stat.S_ISLNK(mode) and mode & 0o002
            assert not loose, f"after {what}, everybody can write {path.name}: its mode is {mode & 0o777:03o}"
        dhcp.stop(segment.device, forget=True)


@spec(
    "DF-03",
    "Who reads meanwhile, in another thread or process, sees the network as it was before a change or after it, and "
    "never a half.",
    capability=DHCP,
)
def test_readers(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    many = [Host(f"02:00:00:00:01:{number:02x}", f"10.9.0.{number + 20}") for number in range(40)]
    one, two = network(segment, *many), network(segment, *many[:1])
    dhcp.start(one)
    held = leased(dhcp, segment.device, segment.client()).yiaddr
    done = threading.Event()
    seen: list[str] = []
    reader = dhcp.fresh()

    def read() -> None:
        try:
            while not done.is_set():
                found = reader.network(segment.device)
                if found not in (one, two):
                    seen.append(f"network() has {len(found.hosts)} hosts")
                if not reader.running(segment.device).is_running:
                    seen.append("running() says that the server does not run")
                addresses = [str(lease.address) for lease in reader.leases(segment.device)]
                if addresses != [held]:
                    seen.append(f"leases() has {addresses}")
                if reader.networks() != (segment.device,):
                    seen.append(f"networks() says {reader.networks()}")
        except BaseException as error:
            seen.append(f"{type(error).__name__}: {error}")

    thread = threading.Thread(target=read)
    thread.start()
    try:
        for _ in range(6):
            dhcp.update(two)
            dhcp.update(one)
    finally:
        done.set()
        thread.join()
    assert not seen, f"while a network was changed from 40 hosts to 1 and back, {seen[0]}"


@spec(
    "DF-04",
    "A symbolic link in the place of a file or directory of the network's is not followed: nothing outside is written.",
    capability=DHCP,
)
def test_links(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    client = segment.client()
    served = network(segment, Host(client.mac, "10.9.0.5"), lease_events="log")
    dhcp.start(served)
    client.lease()
    names = [name for name, about in files(dhcp.directory).items() if about[0] == "file"]
    dhcp.stop(segment.device, forget=True)
    outside = dhcp.directory.with_name(f"{dhcp.directory.name}-outside")
    outside.mkdir()
    try:
        for name in names:
            (outside / name.replace("/", "_")).write_text("somebody else's\n")
            place = dhcp.directory / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(outside / name.replace("/", "_"))
        # Refused or replaced, as the backend likes.
        with contextlib.suppress(RefnetError):
            dhcp.start(served)
            client.lease()
            dhcp.add_host(segment.device, Host("02:00:00:00:00:07", "10.9.0.7"))
        with contextlib.suppress(RefnetError):
            dhcp.stop(segment.device, forget=True)
        written = [one.name for one in outside.iterdir() if one.read_text() != "somebody else's\n"]
        gone = {name.replace("/", "_") for name in names} - {one.name for one in outside.iterdir()}
        assert not written and not gone, f"files outside of the directory were written or removed: {[*written, *gone]}"
    finally:
        for one in outside.iterdir():
            one.unlink()
        outside.rmdir()
        for path in sorted(dhcp.directory.rglob("*"), reverse=True):
            path.unlink() if path.is_symlink() else None
    dhcp.start(served)
    assert at_once(client, what="all this").yiaddr == "10.9.0.5", "when the links are gone, a host gets no address"


@contextlib.contextmanager
def _poisoned(scratch: Path, texts: dict[str, str]) -> Iterator[None]:
    """Have files of /etc say something else, as far as this mount namespace is concerned: no file is touched."""
    with contextlib.ExitStack() as undo:
        real = scratch / "etc"
        real.mkdir()
        namespaces.mount("/etc", str(real), None, _MS_BIND | namespaces.MS_REC)
        undo.callback(namespaces.unmount, str(real))
        namespaces.mount("tmpfs", "/etc", "tmpfs", namespaces.MS_NOSUID | namespaces.MS_NODEV)
        undo.callback(namespaces.unmount, "/etc")
        Path("/etc").chmod(0o755)
        for one in real.iterdir():
            if one.name not in texts:
                Path("/etc", one.name).symlink_to(os.readlink(one) if one.is_symlink() else one)
        for name, text in texts.items():
            Path("/etc", name).write_text(text)
            Path("/etc", name).chmod(0o644)
        yield


@spec(
    "DF-05",
    "No system-wide configuration is read: neither dnsmasq's own, nor hosts, ethers, or a resolver's.",
    capability=BOTH,
    systems=(LINUX,),  # mounts of a process's own
)
def test_no_system_configuration(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    client, guest = segment.client(), segment.client("guest")
    poison = {
        "dnsmasq.conf": "dhcp-option=42,192.0.2.42\naddress=/poison.example/192.0.2.66\nno-such-option\n",
        "hosts": "127.0.0.1 localhost\n192.0.2.66 poisoned poisoned.example.org\n",
        "ethers": f"{guest.mac} 10.9.0.66\n",
        "resolv.conf": f"nameserver {HERE}\nsearch poisoned.example\ndomain poisoned.example\n",
    }
    with _poisoned(dhcp.scratch(), poison):
        dhcp.start(network(segment, Host(client.mac, "10.9.0.5", name="five"), dns=Dns(), domain="example.org"))
        offer = client.discover(parameters=(1, 3, 6, 15, 42))
        assert 42 not in offer.options, "an option of /etc/dnsmasq.conf is told to a client"
        assert offer.text(15) == "example.org", f"the domain that a client is told is {offer.text(15)!r}"
        found = guest.discover().yiaddr
        assert found != "10.9.0.66", "an address of /etc/ethers is offered"
        for name in ("poisoned.example.org", "poisoned", "poison.example"):
            reply = query(net, HERE, name)
            assert not reply.answers, f"what is in a file of the system's is answered: {name} is {reply.answers}"
        dhcp.stop(segment.device)


@spec(
    "DF-06",
    "The server of a manager that runs as root has no privilege of root's any more when it answers.",
    capability=DHCP,
    needs=(SECOND_USER,),
)
def test_unprivileged(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    client = segment.client()
    dhcp.start(network(segment, Host(client.mac, "10.9.0.5"), lease_events="log"))
    user = net.look.user(pid(dhcp, segment.device))
    assert user != 0, f"the server runs as user {user}"
    assert client.lease().yiaddr == "10.9.0.5", "a server without privilege does not let a host its address"


@spec(
    "DF-07",
    "The server listens for DNS on the network's addresses only, and for DHCP on its device or network only.",
    capability=BOTH,
)
def test_sockets(dhcp: DhcpUnderTest, net: Sandbox) -> None:
    segment = Segment(net)
    net.plain_cables("other0")
    net.add_address("other0", "10.66.0.1/24")
    before = set(net.look.sockets())
    dhcp.start(network(segment, dns=Dns()))
    opened = sorted(set(net.look.sockets()) - before)
    dns = [one for one in opened if one.endswith(":53")]
    assert dns, f"DNS is served, and nobody listens on port 53: {opened}"
    loose = [one for one in dns if not any(address in one for address in (HERE, "fe80:"))]
    assert not loose, f"for DNS somebody listens on {loose}"
    net.remove_plain("other0")
