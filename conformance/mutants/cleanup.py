"""Wrong about what it was not asked to touch, and about what it leaves."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from conformance.mutants import mutant
from refnet import process
from refnet.errors import KernelRefused
from refnet.netdev.driver import NetDevDriver


@mutant("leak-descriptor", "opens a descriptor in each call and forgets it", {"CL-01": "calls have left"})
def leak_descriptor(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def device_exists(self, dev: str) -> bool:
            os.open("/dev/null", os.O_RDONLY)
            return bool(super().device_exists(dev))

    return Wrong


@mutant(
    "leak-driver",
    "is kept alive, descriptors and all, after it was closed and dropped",
    {"CL-02": "20 closed drivers have left", "CL-03": "20 dropped drivers have left"},
)
def leak_driver(base: Any) -> type[NetDevDriver]:
    kept: list[socket.socket] = []

    class Wrong(base):  # type: ignore[misc]
        def device_exists(self, dev: str) -> bool:
            kept.append(socket.socket())
            return bool(super().device_exists(dev))

    return Wrong


@mutant("leak-device", "leaves a helper device behind", {"BR-09": "after the clean-up something is left: link helper0"})
def leak_device(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_bridge(self, bridge: str, **options: Any) -> None:
            super().create_bridge(bridge, **options)
            if not super().device_exists("helper0"):
                super().create_bridge("helper0")

    return Wrong


@mutant("close-for-good", "cannot be used once it was closed", {"CL-04": "KernelRefused"})
def close_for_good(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        closed = False

        def close(self) -> None:
            self.closed = True
            super().close()

        def device_exists(self, dev: str) -> bool:
            if self.closed:
                raise KernelRefused("this driver was closed")
            return bool(super().device_exists(dev))

    return Wrong


@mutant(
    "touches-bystanders",
    "flushes rules that it did not make",
    {"CL-05": "has changed what it had nothing to do with"},
)
def touches_bystanders(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            super().ensure_bridge(bridge, interface, **options)
            process.run(["ip", "rule", "flush", "table", "77"])

    return Wrong


@mutant(
    "switches-forwarding",
    "switches forwarding on for the whole host with a gateway address",
    {"CL-06": "settings of the whole stack have changed"},
)
def switches_forwarding(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_gateway_address(self, dev: str, address: str) -> None:
            super().ensure_gateway_address(dev, address)
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")

    return Wrong


@mutant(
    "holds-stack",
    "keeps a socket for each network stack that it has seen",
    {"CL-07": "still has a socket"},
)
def holds_stack(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.sockets: list[socket.socket] = []

        def device_exists(self, dev: str) -> bool:
            self.sockets.append(socket.socket())
            return bool(super().device_exists(dev))

        def close(self) -> None:
            super().close()
            for sock in self.sockets:
                sock.close()

    return Wrong


@mutant(
    "touches-bystanders-settings",
    "sets up ARP on every device that it sees",
    {"CL-05": "has changed what it had nothing to do with: setting net/ipv4/conf/"},
)
def touches_bystanders_settings(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            super().ensure_bridge(bridge, interface, **options)
            for path in Path("/proc/sys/net/ipv4/conf").glob("*/proxy_arp"):
                if path.parent.name not in ("all", "default"):
                    path.write_text("1")

    return Wrong


@mutant(
    "flushes-link-local",
    "flushes addresses of devices that it was not told of",
    {"CL-05": "link-local address others0 fe80:"},
)
def flushes_link_local(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            super().ensure_bridge(bridge, interface, **options)
            process.run(["ip", "-6", "addr", "flush", "scope", "link"])

    return Wrong


@mutant(
    "sets-what-is-set",
    "sets devices up that are up, of which the kernel tells nobody",
    {"BR-24": "the kernel was written to, by", "BR-11": "the kernel was written to, by"},
)
def sets_what_is_set(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def add_bridge_port(self, bridge: str, port: str, *, move: bool = False) -> None:
            super().add_bridge_port(bridge, port, move=move)
            super().set_device_enabled(bridge)

        def ensure_bridge(self, bridge: str, interface: str | None = None, **options: Any) -> None:
            super().ensure_bridge(bridge, interface, **options)
            super().set_device_enabled(bridge)

    return Wrong
