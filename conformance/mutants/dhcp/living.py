"""Wrong about a server's life: when it is there, what it keeps, whom it ends, and what is said of it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

from conformance.mutants import mutant
from refnet.dhcp import DhcpManager, DhcpNetwork, Status
from refnet.errors import NoSuchDevice, NotRunning, ServerFailed


@mutant(
    "returns-early",
    "returns before the server answers",
    {"DL-01": "nobody answered", "DL-04": "nobody answered", "DU-04": "nobody answered"},
)
def returns_early(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        _at_work: threading.Thread | None = None

        def start(self, network: Any) -> None:
            if isinstance(network, DhcpNetwork) and not super().running(network.device).is_running:
                self._later(super().start, network)
            else:
                self.update(network)

        def update(self, network: Any) -> None:
            self._wait()
            if super().network(network.device) != network:
                super().stop(network.device)
                self._later(super().start, network)

        def leases(self, device: str) -> Any:
            self._wait()
            return super().leases(device)

        def stop(self, device: str, **options: Any) -> None:
            self._wait()
            super().stop(device, **options)

        def close(self) -> None:
            self._wait()
            super().close()

        def _later(self, start: Any, network: DhcpNetwork) -> None:
            self._wait()

            def work() -> None:
                time.sleep(2)
                start(network)

            self._at_work = threading.Thread(target=work)
            self._at_work.start()

        def _wait(self) -> None:
            if self._at_work:
                self._at_work.join()

    return Wrong


@mutant(
    "starts-anew-always",
    "starts the server anew, whatever has changed",
    {
        "DL-02": "the second start: there was nothing to do",
        "DL-03": "with other hosts, start has begun another server",
        "DL-14": "a start beside another network: there was nothing to do",
        "DL-16": "of an update of hosts",
        "DU-01": "add_host or remove_host has begun another server",
        "DU-03": "and some were never answered",
    },
)
def starts_anew(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def start(self, network: Any) -> None:
            for device in super().networks():
                if super().running(device).is_running:
                    super().stop(device)
                    super().start(network if network.device == device else self.kept[device])
            super().start(network)
            self.kept[network.device] = network

        kept: dict[str, DhcpNetwork] = {}  # noqa: RUF012 - a wrong class lives as long as its spec

        def update(self, network: Any) -> None:
            self.start(network)

        def add_host(self, device: str, host: Any) -> None:
            served = super().network(device)
            others = [one for one in served.hosts if not set(one.identities) & set(host.identities)]
            self.start(served.with_hosts([*others, host]))

        def remove_host(self, device: str, identity: str) -> None:
            served = super().network(device)
            self.start(served.with_hosts([one for one in served.hosts if identity not in one.identities]))

    return Wrong


@mutant(
    "running-is-enough",
    "leaves a server that runs as it is",
    {
        "DL-03": "the server did not know the new host",
        "DL-04": "start was given the MTU 1300",
        "DL-23": "nobody answered",
    },
)
def running_is_enough(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def start(self, network: Any) -> None:
            if not super().running(network.device).is_running:
                super().start(network)

        def update(self, network: Any) -> None:
            super().network(network.device)

    return Wrong


@mutant(
    "forgets-always",
    "forgets leases whenever it stops a server",
    {
        "DL-04": "after a start with another MTU leases() has []",
        "DL-05": "after start with another domain",
        "DL-07": "of a stopped network, networks() says ()",
        "DL-17": "and another start leases() has []",
        "DE-05": "after a start with another MTU, leases() says {}",
    },
)
def forgets_always(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def start(self, network: Any) -> None:
            with contextlib.suppress(NotRunning):
                if super().network(network.device).with_hosts(()) != network.with_hosts(()):
                    self.stop(network.device)
            super().start(network)

        def stop(self, device: str, *, forget: bool = False) -> None:
            super().stop(device, forget=True)

    return Wrong


@mutant(
    "loses-leases-of-the-dead",
    "begins without leases after a server that has died",
    {"DL-09": "after the server's death and a start leases() has []"},
)
def loses_leases(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def start(self, network: Any) -> None:
            if super().networks() and not super().running(network.device).is_running:
                super().stop(network.device, forget=True)
            super().start(network)

    return Wrong


@mutant(
    "stop-leaves-server",
    "takes for stopped what it was told to stop",
    {"DL-06": "after stop there is", "DL-10": "has outlived stop", "DL-12": "outlives stop", "DL-13": "of a stopped"},
)
def stop_leaves_server(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def stop(self, device: str, *, forget: bool = False) -> None:
            if forget:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(super().running(device).pid or 0, signal.SIGCONT)
                super().stop(device, forget=True)

    return Wrong


@mutant("stop-leaves-files", "leaves a note behind", {"DL-06": "stop has left files that no lease is in"})
def stop_leaves_files(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def stop(self, device: str, *, forget: bool = False) -> None:
            log = Path(self.directory, device, "log")
            kept = log.read_bytes() if log.exists() else None
            super().stop(device, forget=forget)
            if kept is not None and not forget:
                log.write_bytes(kept)

    return Wrong


@mutant("forget-keeps-leases", "keeps leases that it is to forget", {"DL-08": "stop(forget=True) has left"})
def forget_keeps(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def stop(self, device: str, *, forget: bool = False) -> None:
            super().stop(device)

    return Wrong


@mutant("stop-of-nothing-fails", "fails to stop what does not run", {"DL-06": "NotRunning"})
def stop_of_nothing(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def stop(self, device: str, *, forget: bool = False) -> None:
            if not forget and not super().running(device).is_running:
                raise NotRunning(f"no server runs on {device}")
            super().stop(device, forget=forget)

    return Wrong


@mutant(
    "dead-is-running",
    "says of a server that has died that it runs",
    {"DL-09": "running() says that a server runs which was killed"},
)
def dead_is_running(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        _last: Status | None = None

        def running(self, device: str) -> Status:
            last: Status = self._last or super().running(device)
            self._last = last
            return last

    return Wrong


@mutant(
    "gives-no-reason",
    "does not say why a server does not run",
    {"DL-09": "of a server that was killed, running() says", "DL-13": "of a server that was never started, running()"},
)
def gives_no_reason(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def running(self, device: str) -> Status:
            found: Status = super().running(device)
            return found._replace(reason="")

    return Wrong


@mutant(
    "update-starts",
    "starts a server to update it",
    {"DL-09": "with a server that was killed, update goes through", "DU-05": "update goes through"},
)
def update_starts(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def update(self, network: Any) -> None:
            self.start(network)

    return Wrong


@mutant("gives-the-deaf-up", "does not end a server that takes no notice of SIGTERM", {"DL-10": "ServerFailed"})
def gives_up(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        has_tried = False

        def stop(self, device: str, *, forget: bool = False) -> None:
            server = super().running(device).pid
            if server and not self.has_tried and Path(f"/proc/{server}/stat").read_text().split()[2] == "T":
                type(self).has_tried = True
                raise ServerFailed(f"process {server} does not end")
            super().stop(device, forget=forget)

    return Wrong


@mutant("stop-asks-for-the-device", "stops only what has its device", {"DL-11": "NoSuchDevice"})
def stop_asks(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        has_failed = False

        def stop(self, device: str, *, forget: bool = False) -> None:
            try:
                socket.if_nametoindex(device)
            except OSError:
                if not self.has_failed:
                    type(self).has_failed = True
                    raise NoSuchDevice(f"there is no device {device}", device=device) from None
            super().stop(device, forget=forget)

    return Wrong


@mutant("knows-its-own-only", "knows only what it has started itself", {"DL-12": "NotRunning"})
def knows_its_own(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.started: set[str] = set()

        def start(self, network: Any) -> None:
            self.started.add(network.device)
            super().start(network)

        def network(self, device: str) -> DhcpNetwork:
            if device not in self.started:
                raise NotRunning(f"nothing is known of {device}")
            found: DhcpNetwork = super().network(device)
            return found

    return Wrong


@mutant("tells-its-own-process", "tells its own process for the server's", {"DL-13": "running() says process"})
def tells_its_own(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def running(self, device: str) -> Status:
            found: Status = super().running(device)
            return found._replace(pid=os.getpid()) if found.is_running else found

    return Wrong


@mutant("stops-all", "stops the servers of all networks", {"DL-14": "after the stop of another network, running("})
def stops_all(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def stop(self, device: str, *, forget: bool = False) -> None:
            for one in super().networks():
                super().stop(one)
            super().stop(device, forget=forget)

    return Wrong
