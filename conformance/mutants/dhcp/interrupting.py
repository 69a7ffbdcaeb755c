"""Wrong about callers that were killed, about pid files, and about several processes at once."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any

from conformance.mutants import mutant
from refnet.dhcp import DhcpManager, Status
from refnet.errors import RefnetError, ServerFailed


def _begun_is_done(base: Any, method: str) -> type[DhcpManager]:
    """Return a class that takes what somebody has begun for done, once."""

    def call(self: Any, *args: Any, **options: Any) -> None:
        begun = Path("/run/begun")
        if begun.exists():
            begun.unlink()
            return
        begun.touch()
        getattr(base, method)(self, *args, **options)
        begun.unlink()

    return type("Wrong", (base,), {method: call})


@mutant(
    "start-begun-is-done",
    "takes a start that was begun for done",
    {
        "DL-15": "of start, and another start",
        "DL-17": "of a start with another MTU, and another start",
    },
)
def start_begun(base: Any) -> type[DhcpManager]:
    return _begun_is_done(base, "start")


@mutant(
    "update-begun-is-done",
    "takes an update that was begun for done",
    {"DL-16": "and another update, a host is offered 10.9.0.5"},
)
def update_begun(base: Any) -> type[DhcpManager]:
    return _begun_is_done(base, "update")


@mutant(
    "stop-begun-is-done",
    "takes a stop that was begun for done",
    {"DL-18": "after a kill at step 1 of stop, and another stop"},
)
def stop_begun(base: Any) -> type[DhcpManager]:
    return _begun_is_done(base, "stop")


@mutant(
    "signals-what-a-file-says",
    "ends the process that the pid file says",
    {"DL-19": "a process of somebody else's was signalled: SIGTERM"},
    bases=("DnsmasqManager",),
)
def signals_what_a_file_says(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def stop(self, device: str, *, forget: bool = False) -> None:
            with contextlib.suppress(OSError, ValueError):
                process = int(Path(self.directory, device, "pid").read_text())
                if process > 1:  # what is less is more than a process
                    os.kill(process, signal.SIGTERM)
            super().stop(device, forget=forget)

    return Wrong


@mutant(
    "believes-a-file",
    "takes the process that the pid file says for its server",
    {"DL-19": "running() says Status(is_running=True"},
    bases=("DnsmasqManager",),
)
def believes_a_file(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def running(self, device: str) -> Status:
            with contextlib.suppress(OSError, ValueError, OverflowError):
                process = int(Path(self.directory, device, "pid").read_text())
                os.kill(process, 0)
                return Status(True, process, "")
            found: Status = super().running(device)
            return found

    return Wrong


@mutant(
    "one-start-at-a-time",
    "fails to start when another process does",
    {
        "DL-20": "of 4 processes that start one network at once, some failed",
        "DL-22": "of 2 processes that start networks at once, some failed",
    },
)
def one_at_a_time(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def start(self, network: Any) -> None:
            _meet()
            super().start(network)

    return Wrong


def _meet() -> None:
    """Fail in the second of two processes that come here; the first waits for it, however slow the machine is."""
    first, second = Path("/run/first"), Path("/run/second")
    try:
        first.touch(exist_ok=False)
    except FileExistsError:
        if first.read_text() not in ("", str(os.getpid())):
            second.touch()
            raise ServerFailed("somebody else is at work") from None
        return
    first.write_text(str(os.getpid()))
    deadline = time.monotonic() + 5
    while not second.exists() and time.monotonic() < deadline:
        time.sleep(0.01)


@mutant("hosts-overwritten", "adds a host by writing all of them again", {"DL-21": "network() lacks"})
def hosts_overwritten(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def add_host(self, device: str, host: Any) -> None:
            served = super().network(device)
            time.sleep(0.2)
            with contextlib.suppress(RefnetError):
                super().update(served.with_hosts([*served.hosts, host]))

    return Wrong
