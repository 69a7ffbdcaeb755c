"""Wrong about files: whose they are, who can read them, and what stands in their way."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from conformance.mutants import mutant
from conformance.mutants.dhcp.making import patched
from refnet.dhcp import DhcpManager, DhcpNetwork
from refnet.dhcp.dnsmasq import server
from refnet.errors import (
    AddressInUse,
    InvalidArgument,
    KernelRefused,
    NoSuchDevice,
    PermissionDenied,
    RefnetError,
    ServerFailed,
    ToolMissing,
)

#: What a manager is made of that rests on dnsmasq.
DNSMASQ = ("DnsmasqManager",)


@mutant("takes-all-for-its-own", "removes all that is in the directory", {"DF-01": "of others' files in the directory"})
def takes_all(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def stop(self, device: str, *, forget: bool = False) -> None:
            super().stop(device, forget=forget)
            if forget:
                for path in Path(self.directory).glob("*"):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()

    return Wrong


@mutant(
    "takes-all-for-networks",
    "takes whatever is in the directory for a network",
    {"DF-01": "of a directory with others' files only, networks() says"},
)
def takes_all_for_networks(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def networks(self) -> tuple[str, ...]:
            folder = Path(self.directory)
            return tuple(one.name for one in folder.iterdir() if one.is_dir()) if folder.is_dir() else ()

    return Wrong


@mutant(
    "obeys-the-umask",
    "lets the umask decide who can read and write files",
    {"DF-02": "everybody can write"},
)
def obeys_umask(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def start(self, network: Any) -> None:
            super().start(network)
            mask = os.umask(0)
            os.umask(mask)
            for path in Path(self.directory).rglob("*"):
                if path.is_file():
                    path.chmod(0o666 & ~mask)

    return Wrong


@mutant("changes-by-halves", "changes hosts in two steps", {"DF-03": "network() has 20 hosts"})
def by_halves(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def update(self, network: Any) -> None:
            super().update(network.with_hosts(network.hosts[:20]))
            time.sleep(0.2)
            super().update(network)

    return Wrong


@mutant(
    "writes-in-place",
    "writes files where they stand, and through links",
    {"DF-04": "files outside of the directory were written or removed"},
)
def writes_in_place(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def start(self, network: Any) -> None:
            for path in Path(self.directory, network.device).glob("*"):
                if path.is_symlink():
                    path.write_text("")
            super().start(network)

    return Wrong


def _spawning(base: Any, rewrite: Callable[[Sequence[str]], Sequence[str]]) -> type[DhcpManager]:
    """Return a class that starts its servers with other arguments."""
    original = server.spawn

    def spawn(network: DhcpNetwork, arguments: Sequence[str], *rest: Any) -> None:
        original(network, rewrite(arguments), *rest)

    return patched(base, server, "spawn", spawn)


@mutant(
    "reads-the-hosts-file",
    "answers with what is in /etc/hosts",
    {"DF-05": "what is in a file of the system's is answered"},
    bases=DNSMASQ,
)
def reads_hosts(base: Any) -> type[DhcpManager]:
    return _spawning(base, lambda arguments: [one for one in arguments if one != "--no-hosts"])


@mutant("keeps-its-privileges", "lets the server be root", {"DF-06": "the server runs as user 0"}, bases=DNSMASQ)
def keeps_privileges(base: Any) -> type[DhcpManager]:
    return _spawning(base, lambda arguments: ["--user=root" if one.startswith("--user=") else one for one in arguments])


@mutant(
    "listens-everywhere",
    "listens for DNS on all addresses",
    {"DF-07": "for DNS somebody listens on"},
    bases=DNSMASQ,
)
def listens_everywhere(base: Any) -> type[DhcpManager]:
    bound = ("--bind-", "--interface", "--listen-address", "--except-interface")
    return _spawning(base, lambda arguments: [one for one in arguments if not one.startswith(bound)])


# -- what is not there, in use, full or forbidden ---------------------------------------------------------


def _raising(base: Any, kind: type[BaseException], instead: Callable[[Any], BaseException]) -> type[DhcpManager]:
    """Return a class whose start raises another error for one."""

    class Wrong(base):  # type: ignore[misc]
        def start(self, network: Any) -> None:
            try:
                super().start(network)
            except kind as error:
                raise instead(error) from error

    return Wrong


@mutant(
    "device-gone-is-a-failure",
    "leaves it to the server to say that a device is not there",
    {"DF-08": "is refused with ServerFailed and not with NoSuchDevice"},
)
def device_gone(base: Any) -> type[DhcpManager]:
    return _raising(base, NoSuchDevice, lambda error: ServerFailed(error.message))


@mutant(
    "takes-any-address",
    "does not look for the server's address at the device",
    {"DF-09": "which the device has not, goes through"},
)
def takes_any_address(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def start(self, network: Any) -> None:
            try:
                super().start(network)
            except InvalidArgument as error:
                if error.device is None:
                    raise

    return Wrong


@mutant(
    "port-in-use-is-a-failure",
    "does not tell a port in use from other failures",
    {"DF-10": "is refused with ServerFailed and not with AddressInUse"},
)
def port_in_use(base: Any) -> type[DhcpManager]:
    return _raising(base, AddressInUse, lambda error: ServerFailed(error.message))


@mutant("program-missing-untyped", "lets the system's own error out", {"DF-11": "let out a FileNotFoundError"})
def program_missing(base: Any) -> type[DhcpManager]:
    return _raising(base, ToolMissing, lambda error: FileNotFoundError(error.tool))


@mutant(
    "unprivileged-is-a-failure",
    "does not tell a missing privilege from other failures",
    {"DF-12": "was not refused with PermissionDenied"},
)
def unprivileged(base: Any) -> type[DhcpManager]:
    return _raising(base, PermissionDenied, lambda error: ServerFailed(error.message))


@mutant(
    "failures-leave-files",
    "leaves files of what it could not start",
    {
        "DF-08": "has failed, and left the files",
        "DF-09": "has failed, and left the files",
        "DF-10": "has failed, and left the files",
        "DF-13": "has failed, and left the files",
    },
)
def failures_leave(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def start(self, network: Any) -> None:
            try:
                super().start(network)
            except RefnetError:
                place = Path(self.directory, network.device)
                place.mkdir(parents=True, exist_ok=True)
                (place / "log").touch()
                raise

    return Wrong


@mutant(
    "full-disk-unnoticed",
    "goes on where files could not be written",
    {"DF-13": "says nothing", "DF-14": "says nothing", "DF-15": "on a full disk goes through"},
)
def full_disk(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def start(self, network: Any) -> None:
            try:
                super().start(network)
            except KernelRefused:
                return

        def update(self, network: Any) -> None:
            try:
                super().update(network)
            except KernelRefused:
                return

    return Wrong


@mutant(
    "replaces-the-directory",
    "removes a file that is where its directory is to be",
    {"DF-16": "start with a file in the place of the directory goes through"},
)
def replaces_directory(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def start(self, network: Any) -> None:
            if Path(self.directory).is_file():
                Path(self.directory).unlink()
            super().start(network)

    return Wrong


@mutant("makes-what-it-reads", "makes its directory to read it", {"DF-16": "has made its directory"})
def makes_what_it_reads(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def networks(self) -> tuple[str, ...]:
            found: tuple[str, ...] = super().networks()
            Path(self.directory).mkdir(parents=True, exist_ok=True)
            return found

    return Wrong
