"""Wrong about errors, and about what others do meanwhile."""

from __future__ import annotations

from typing import Any

from conformance.mutants import mutant
from refnet.errors import NoSuchDevice, PermissionDenied, Unsupported
from refnet.netdev.driver import Capability, Device, NetDevDriver


@mutant("error-anonymous", "does not say which operation failed", {"ER-01": "the error's operation is None"})
def error_anonymous(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def device(self, dev: str) -> Device:
            try:
                return super().device(dev)  # type: ignore[no-any-return]
            except NoSuchDevice as error:
                error.operation = None
                raise

    return Wrong


@mutant("error-without-number", "keeps the error number to itself", {"ER-02": "has the error number None"})
def error_without_number(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def device(self, dev: str) -> Device:
            try:
                return super().device(dev)  # type: ignore[no-any-return]
            except NoSuchDevice as error:
                error.errno = None
                raise

    return Wrong


@mutant(
    "error-untyped",
    "lets out whatever exception comes its way",
    {"ER-01": "let out a KeyError, which is no RefnetError"},
)
def error_untyped(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def device(self, dev: str) -> Device:
            if not super().device_exists(dev):
                raise KeyError(dev)
            return super().device(dev)  # type: ignore[no-any-return]

    return Wrong


@mutant(
    "error-permission-swallowed",
    "takes a refusal for want of privilege for success",
    {"ER-03": "was not refused with PermissionDenied"},
)
def error_permission_swallowed(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_bridge(self, bridge: str, **options: Any) -> None:
            try:
                super().create_bridge(bridge, **options)
            except PermissionDenied:
                pass

    return Wrong


@mutant(
    "existence-remembered",
    "remembers what it has once seen",
    {
        "ER-04": "device_exists('br0') is True in a network stack that has no br0",
        "ER-05": "br0 was deleted by somebody else",
        "ER-06": "br0 is called br7 now",
    },
)
def existence_remembered(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.seen: set[str] = set()

        def create_bridge(self, bridge: str, **options: Any) -> None:
            super().create_bridge(bridge, **options)
            self.seen.add(bridge)

        def delete_bridge(self, bridge: str) -> None:
            super().delete_bridge(bridge)
            self.seen.discard(bridge)

        def device_exists(self, dev: str) -> bool:
            return dev in self.seen or bool(super().device_exists(dev))

    return Wrong


@mutant(
    "error-unsupported-swallowed",
    "takes what cannot be done for done",
    {"ER-07": "the loopback was deleted"},
)
def error_unsupported_swallowed(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def delete_net_dev(self, dev: str) -> None:
            try:
                super().delete_net_dev(dev)
            except Unsupported:
                pass

    return Wrong


@mutant(
    "probe-by-doing",
    "makes a bridge to find out whether it can",
    {"ER-08": "asking for capabilities: there was nothing to do, and yet the kernel was written to"},
)
def probe_by_doing(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def probe(self, capability: Capability) -> str | None:
            super().create_bridge("probe0")
            super().delete_bridge("probe0")
            return super().probe(capability)  # type: ignore[no-any-return]

    return Wrong


@mutant("probe-contradicts", "denies in one answer what it declares in the other", {"ER-08": "capabilities() has it"})
def probe_contradicts(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def probe(self, capability: Capability) -> str | None:
            return "not today" if capability is Capability.IPV6 else super().probe(capability)

        def capabilities(self) -> frozenset[Capability]:
            return frozenset({*super().capabilities(), Capability.IPV6})

    return Wrong
