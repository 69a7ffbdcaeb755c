"""Wrong when several are at work at once."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

from conformance.mutants import mutant
from refnet import process
from refnet.errors import KernelRefused
from refnet.netdev.driver import NetDevDriver


@mutant(
    "race-look-then-act",
    "looks whether a bridge is there, and then creates it for good",
    {"CC-01": "some failed: AlreadyExists", "CC-03": "some failed: ["},
)
def race_look_then_act(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            if not super().device_exists(bridge):
                _wait_for_another_look()
                super().create_bridge(bridge)
            super().ensure_bridge(bridge, interface, **options)

    return Wrong


def _wait_for_another_look() -> None:
    """Wait until another thread or process has looked as well, so that the race is lost however slow the machine is."""
    looks = Path("/run/looks")
    looks.mkdir(exist_ok=True)
    (looks / f"{os.getpid()}-{threading.get_ident()}").touch()
    deadline = time.monotonic() + 5
    while len(list(looks.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)


@mutant(
    "race-everybody-creates",
    "replaces a bridge that is there by a new one",
    {"CC-02": "threads have created br0", "BR-20": "created again without a word"},
)
def race_everybody_creates(base: Any) -> type[NetDevDriver]:
    lock = threading.Lock()

    class Wrong(base):  # type: ignore[misc]
        def create_bridge(self, bridge: str, **options: Any) -> None:
            with lock:
                if super().device_exists(bridge):
                    super().delete_bridge(bridge)
                super().create_bridge(bridge, **options)

    return Wrong


@mutant("race-shared-memory", "keeps what it works on where all threads write", {"CC-04": "disturbed each other"})
def race_shared_memory(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        current = ""

        def create_bridge(self, bridge: str, **options: Any) -> None:
            super().create_bridge(bridge, **options)
            Wrong.current = bridge
            time.sleep(0.01)

        def add_bridge_port(self, bridge: str, port: str, *, move: bool = False) -> None:
            super().add_bridge_port(Wrong.current, port, move=move)

    return Wrong


@mutant(
    "race-odd-error", "calls it a kernel's refusal that others were faster", {"CC-05": "a race lets out KernelRefused"}
)
def race_odd_error(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def delete_bridge(self, bridge: str) -> None:
            if not super().device_exists(bridge):
                raise KernelRefused(f"{bridge} could not be deleted")
            super().delete_bridge(bridge)

    return Wrong


@mutant(
    "race-loses-routes",
    "brings an interface into a bridge and forgets its routes",
    {"CC-06": "of the routes only"},
)
def race_loses_routes(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            super().ensure_bridge(bridge, interface, **options)
            process.run(["ip", "route", "flush", "dev", bridge, "proto", "boot"], expect=range(256))

    return Wrong


@mutant("fork-forgotten", "works in the process that made it only", {"CC-07": "does not work in the child"})
def fork_forgotten(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.home = os.getpid()

        def device_exists(self, dev: str) -> bool:
            return os.getpid() == self.home and bool(super().device_exists(dev))

    return Wrong


@mutant(
    "fork-holds-lock",
    "holds a lock that a forked child inherits without its holder",
    {"CC-08": "children of a process with busy threads ended with"},
)
def fork_holds_lock(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.lock = threading.Lock()

        def device_exists(self, dev: str) -> bool:
            with self.lock:
                time.sleep(0.02)
                return bool(super().device_exists(dev))

    return Wrong
